/* client.h - a client: one connection, the calls and streams on it, and the lock that they share.
 *
 * Threads: the program's; the connection's receiving thread (handler functions) and whichever thread pumps (pulls); the
 * timer's; the hook thread; where there is something for them to do, the drainer and the resender.
 * Lock order: `lock`, then the leaves (a chunk pool's, the job threads', the timers'). The connection is called without `lock`: a
 * pull may run inside the call, and takes it.
 * (Rejected: a lock for each stream. Every critical section here is some hundred instructions, hashing and copying happen
 * outside of them, and with one lock a lost connection reaches everything in one step.)
 *
 * Life: `references` counts the program's handle and every stream, so that a stream may be released after trove_close. The
 * connection, the timers and the job threads end in trove_close; `conn_users` keeps the connection until whoever calls it has
 * come back.
 */
#ifndef TVC_CLIENT_H
#define TVC_CLIENT_H

#include "alarm.h"
#include "call.h"
#include "chunk_cache.h"
#include "conn.h"
#include "id_table.h"
#include "job_thread.h"
#include "timer.h"

#include <pthread.h>
#include <stdatomic.h>

enum tvc_phase {
    TVC_GREETING, /* hello was sent */
    TVC_READY,
    TVC_DRAINING, /* the server takes no new calls */
    TVC_LOST,     /* the connection is gone, or the program has closed the client */
};

/* From the welcome, bounded by limits.h. Constant once the phase is READY. */
struct tvc_limits {
    uint64_t payload_bytes_max;
    uint64_t early_data_bytes;
    uint64_t inline_bytes_max;
    uint64_t chunk_bytes_max;
    uint32_t calls_max;
    uint32_t streams_max;
    bool lossy;   /* it has streams that may lose chunks */
    bool two_way; /* it has streams that go both ways */
};

struct trove_client {
    /* constant once connected */
    char *url;
    char *agent;
    uint32_t call_timeout_ms;
    uint32_t keepalive_ms;
    uint64_t memory_bytes;
    struct tv_conn *conn;
    struct tv_timers *timers;
    struct tvc_limits limits;
    struct tvc_job_thread hooks;
    struct tvc_job_thread drainer;  /* of overflows */
    struct tvc_job_thread resender; /* of small objects that were not taken in one flight */

    /* atomic */
    atomic_uint references;
    atomic_uint conn_users;
    atomic_bool closing; /* the connection may no longer be called */

    pthread_mutex_t lock;
    pthread_cond_t changed; /* phase, calls and memory given back, conn_users */
    /* under the lock */
    enum tvc_phase phase;
    bool conn_closed;   /* `closed` was called */
    trove_error lost;   /* LOST: what every call answers with. DRAINING: what new ones do */
    trove_error reason; /* LOST: as the connection gave it; for trove_connect */
    uint64_t next_id;
    struct tv_id_table entries;
    struct tvc_calls calls;
    trove_stream *streams; /* all that aren't freed yet */
    uint64_t memory_used;  /* claimed by streams, and by what is in `cache` */
    struct tvc_chunk_cache cache;
    uint64_t buffers_gone;     /* created by chunk pools that are no more */
    struct tvc_limit *limited; /* those that somebody waits for */
    trove_pool *pools;         /* all that aren't freed yet */
    uint32_t pool_count;
    uint64_t alarm_due_ns; /* UINT64_MAX: not set */

    /* the receiving thread's alone: the chunk whose payload is coming in */
    trove_stream *landing;

    struct tv_timer tick;
    struct tv_timer alarm;
};

/* Whether calls may begin. Under the lock. A lost connection would be made again here. */
trove_status tvc_client_check(const struct trove_client *client, trove_error *error);

/* The deadline of a call that was given `timeout_ms`. */
uint64_t tvc_client_deadline(const struct trove_client *client, uint32_t timeout_ms);

/* Calls of the connection that are safe against trove_close. Without the lock. */
trove_status tvc_client_send(struct trove_client *client, const tv_frame *frame, const void *payload, uint64_t payload_bytes,
                             trove_error *error);
void tvc_client_wake(struct trove_client *client, struct tv_flow *flow, unsigned wants);
/* Ends the connection at once. */
void tvc_client_abort(struct trove_client *client, const trove_error *why);

/* Told a first frame's call id (frame->call_id) before it is packed. */
typedef void (*tvc_prepare)(void *context, tv_frame *frame);

/* Draws an id for `entry`, lists it and sends its first frame. On failure the entry isn't listed; where the connection was lost
 * meanwhile and everything listed with it was failed, that counts as sent. `prepare` may be NULL. Without the lock. */
trove_status tvc_client_begin(struct trove_client *client, struct tvc_entry *entry, tv_frame *frame, const void *payload,
                              uint64_t payload_bytes, tvc_prepare prepare, void *context, trove_error *error);
/* Under the lock. */
struct tvc_entry *tvc_client_find(struct trove_client *client, uint64_t id);
void tvc_client_unlist(struct trove_client *client, struct tvc_entry *entry);

/* Claims up to `want` bytes of the client's memory, at least `least`: all of it while that leaves as much again, else half of
 * what is free, so that many streams share. Returns what was claimed; 0: not even `least` is free. Without the lock. */
uint64_t tvc_client_memory_claim(struct trove_client *client, uint64_t want, uint64_t least);
void tvc_client_memory_return(struct trove_client *client, uint64_t bytes);
/* Frees chunk pools that have been idle since before `before_ns`. Without the lock. */
void tvc_client_trim(struct trove_client *client, uint64_t before_ns);

void tvc_client_acquire(struct trove_client *client);
void tvc_client_release(struct trove_client *client);

/* client_frames.c: what the connection calls. */
extern const struct tv_conn_handler tvc_client_handler;
/* Fails all calls and streams, once. Without the lock. */
void tvc_client_lose(struct trove_client *client, const trove_error *lost, const trove_error *reason);
/* Fires every second. */
void tvc_client_tick(struct tv_timer *timer);

#endif
