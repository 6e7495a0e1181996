/* pool.h - pools of the client: how many streams at once, how fast together, how long each; inside.
 *
 * A stream takes a place before it is opened (tvc_pool_enter), is a member from when it is open (tvc_pool_join) until the program
 * releases it (tvc_pool_part), which gives the place to who waits longest. The client's lock protects everything.
 * References: the program's handle, every stream until it is freed, every thread that waits for a place.
 */
#ifndef TVC_POOL_H
#define TVC_POOL_H

#include "histogram.h"
#include "pool_queue.h"
#include "rate.h"
#include "stream_metrics.h"

#include <pthread.h>
#include <stdatomic.h>

/* What streams have done, added up. */
struct tvc_pool_sums {
    uint64_t ended[3]; /* completed, failed, cancelled */
    uint64_t chunks;
    uint64_t resent;
    uint64_t waiting_bytes;
    struct tvc_sum dropped;
    struct tvc_sum spilled;
    struct tvc_sum abandoned;
};

struct trove_pool {
    /* constant */
    struct trove_client *client;
    char *name;
    char *server_pool;
    trove_pool_options options;
    struct tvc_limit *limit; /* NULL: none */

    atomic_uint references;

    /* under the client's lock */
    pthread_cond_t changed; /* a stream has ended or parted */
    trove_pool *previous;   /* among the client's */
    trove_pool *next;
    struct tvc_pool_queue queue;
    bool cancelling;     /* closed, and nothing more is waited for */
    trove_error refusal; /* what acquires are told when it is closed */
    trove_stream *first; /* members in the order they joined */
    trove_stream *last;
    uint32_t member_count;
    uint64_t last_serial;
    uint64_t due_ns; /* when a timeout may have passed; UINT64_MAX: never */
    struct tvc_pool_sums parted;
    uint64_t moved_bytes;
    struct tv_rate rate;
    struct tv_histogram latency;
};

/* What a stream has to do with its pool. */
struct tvc_member {
    struct trove_pool *pool; /* constant, with a reference; NULL: none */
    /* under the client's lock */
    trove_stream *previous;
    trove_stream *next;
    uint64_t serial; /* 0: not a member */
    uint64_t joined_ns;
    uint64_t paused_ns;   /* since when; 0: it isn't */
    uint64_t resumed_ns;  /* when last */
    uint64_t held_ns;     /* paused in all */
    uint64_t moved_bytes; /* as counted in the pool */
    bool timed_out;
};

/* What stream options don't say. */
void tvc_pool_fill(const struct trove_pool *pool, trove_stream_options *options);

/* Waits for a place; the caller has a reference. Without the lock. */
trove_status tvc_pool_enter(struct trove_pool *pool, uint64_t deadline_ns, trove_error *error);
/* Gives a place back that never got a stream. Without the lock. */
void tvc_pool_leave(struct trove_pool *pool);
/* The stream, which has a place, is open. Without the lock. */
void tvc_pool_join(trove_stream *stream);
/* The program has released the stream, whether it is a member or not. Under the lock. */
void tvc_pool_part(trove_stream *stream);

/* A stream with a pool has moved bytes, paused or resumed, ended. Under the lock. */
void tvc_pool_moved(trove_stream *stream, uint64_t now_ns);
void tvc_pool_paused(trove_stream *stream, bool paused);
void tvc_pool_ended(trove_stream *stream);

/* Adds what a member has done so far: pool_metrics.c. Under the lock. */
void tvc_pool_add(struct tvc_pool_sums *sums, const trove_stream *stream);

/* Ends a stream of a pool that is closed; the server is to be told. Under the lock; the caller has a reference. */
void tvc_pool_cancel(trove_stream *stream);
/* No more places: who waits is woken with why. Does nothing to a pool that is closed. Under the lock. */
void tvc_pool_shut(struct trove_pool *pool, const trove_error *why);
/* The client is lost. Under the lock. */
void tvc_pools_lost(struct trove_client *client, const trove_error *lost);
/* Fails streams whose time is over. Without the lock. */
void tvc_pools_look(struct trove_client *client, uint64_t now_ns);

/* Without the lock. */
void tvc_pool_acquire(struct trove_pool *pool);
void tvc_pool_release(struct trove_pool *pool);
/* One that nobody else sees, yet or any more. */
void tvc_pool_free(struct trove_pool *pool);

#endif
