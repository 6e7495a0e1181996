/* client.h - a client: one connection at a time, the calls and streams on it, and the lock that they share.
 *
 * Threads: the program's; the connection's receiving thread (handler functions) and whichever thread pumps (pulls); the
 * timer's; the hook thread; where there is something for them to do, the drainer, the resender and the dialler.
 * Lock order: `lock`, then the leaves (a chunk pool's, the job threads', the timers'). The connection is called without `lock`: a
 * pull may run inside the call, and takes it.
 * (Rejected: a lock for each stream. Every critical section here is some hundred instructions, hashing and copying happen
 * outside of them, and with one lock a lost connection reaches everything in one step.)
 *
 * Life: `references` counts the program's handle and every stream, so that a stream may be released after trove_close. The timers
 * and the job threads end in trove_close. `conn_users` keeps the connection until whoever calls it has come back. A connection
 * that is lost is destroyed before the next one is dialled (redial.c). So at any moment there is one at most: no handler function
 * and no pull of an older one can run beside those of the next, and nothing needs to ask which it belongs to, but for a thread of
 * the program's that comes back late from a call (tvc_client_ending).
 * (Rejected: counting references of connections that live side by side; every frame and every pull would have to be judged by
 * the connection it comes from.)
 */
#ifndef TVC_CLIENT_H
#define TVC_CLIENT_H

#include "alarm.h"
#include "backoff.h"
#include "call.h"
#include "chunk_cache.h"
#include "conn.h"
#include "id_table.h"
#include "job_thread.h"
#include "timer.h"
#include "transport.h"

#include <pthread.h>
#include <stdatomic.h>

enum tvc_phase {
    TVC_GREETING, /* the first connection: hello was sent */
    TVC_READY,
    TVC_DRAINING, /* the server takes no new calls */
    TVC_BROKEN,   /* the connection is gone, and is being made again */
    TVC_GIVEN_UP, /* not in time; whoever needs it has that begun once more */
    TVC_LOST,     /* for good: the program has closed the client, or doesn't want the connection to be made again */
};

/* From the welcome, bounded by limits.h. */
struct tvc_limits {
    uint64_t payload_bytes_max;
    uint64_t early_data_bytes;
    uint64_t inline_bytes_max;
    uint64_t chunk_bytes_max;
    uint32_t calls_max;
    uint32_t streams_max;
    bool lossy;   /* it has streams that may lose chunks */
    bool two_way; /* it has streams that go both ways */
    bool resumable;
};

struct trove_client {
    /* constant once connected */
    char *url;
    char *agent;
    uint32_t call_timeout_ms;
    uint32_t keepalive_ms;
    uint32_t connect_timeout_ms;
    uint32_t retry_for_ms;
    uint64_t memory_bytes;
    struct tv_key *key; /* NULL: the connection isn't encrypted */
    uint8_t server_key[TV_NOISE_KEY_BYTES];
    char *known_from; /* the file and line that server_key is from; NULL: it was given */
    struct tv_secure secure;
    struct tv_timers *timers;
    struct tvc_job_thread hooks;
    struct tvc_job_thread drainer;  /* of overflows */
    struct tvc_job_thread resender; /* of small objects that were not taken in one flight */
    struct tvc_job_thread dialler;  /* of what comes after a connection that was lost */
    struct tv_dialling dialling;    /* by which trove_close ends a dial */

    /* the connecting thread's: the program's in trove_connect, then the dialler. Others may look between conn_enter and _leave */
    struct tv_conn *conn;
    uint64_t connection; /* counts them; written under the lock, so that it may be read there, too */

    /* atomic */
    atomic_uint references;
    atomic_uint conn_users;
    atomic_bool conn_shut; /* the connection may not be called */

    pthread_mutex_t lock;
    pthread_cond_t changed; /* phase, calls and memory given back, conn_users */
    /* under the lock */
    enum tvc_phase phase;
    bool greeting;      /* a welcome is awaited */
    bool conn_closed;   /* `closed` was called, or there is no connection */
    trove_error lost;   /* GIVEN_UP, LOST: what every call answers with. DRAINING, BROKEN: what those that can't wait do */
    trove_error reason; /* as the connection gave it; for who connects */
    struct tvc_limits limits;
    struct tvc_backoff backoff; /* BROKEN */
    uint64_t dial_ns;           /* BROKEN: when to dial next */
    uint64_t times_given_up;
    struct tv_conn_metrics conn_totals; /* of the connections before this one */
    uint64_t reconnects;
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
    uint64_t alarm_due_ns;  /* UINT64_MAX: not set */
    uint64_t attach_due_ns; /* when the first of the streams that wait for that is to be attached again; UINT64_MAX: none */

    /* the receiving thread's alone: the chunk whose payload is coming in */
    trove_stream *landing;

    struct tv_timer tick;
    struct tv_timer alarm;
    struct tv_timer dial;
    struct tvc_job dial_job;
};

/* Whether calls may begin now. Under the lock. */
trove_status tvc_client_check(const struct trove_client *client, trove_error *error);
/* Waits until they may: for the connection that is being made again. Under the lock, which is let go of meanwhile; the caller has
 * a reference, or a call that is waiting. Errors: DEADLINE_EXCEEDED; why the client is lost, or has been given up meanwhile. */
trove_status tvc_client_await(struct trove_client *client, uint64_t deadline_ns, trove_error *error);
/* Waits until the next try, or until the client is closed. False: there is none before the deadline. Without the lock; the caller
 * has a reference. */
bool tvc_client_pause(struct trove_client *client, struct tvc_backoff *backoff, uint64_t deadline_ns);
/* Whether a connection that is lost is made again. */
static inline bool tvc_client_retries(const struct trove_client *client) {
    return client->retry_for_ms != TROVE_NO_RETRY;
}
/* What the server has said that it takes. Without the lock. */
struct tvc_limits tvc_client_limits(struct trove_client *client);

/* The deadline of a call that was given `timeout_ms`. */
uint64_t tvc_client_deadline(const struct trove_client *client, uint32_t timeout_ms);

/* Calls of the connection that are safe against trove_close. Without the lock. */
trove_status tvc_client_send(struct trove_client *client, const tv_frame *frame, const void *payload, uint64_t payload_bytes,
                             trove_error *error);
/* The same, but only on that connection: from a thread that may be so late that there is another one already. Errors:
 * UNAVAILABLE. */
trove_status tvc_client_send_on(struct trove_client *client, uint64_t connection, const tv_frame *frame, trove_error *error);
void tvc_client_tick_connection(struct trove_client *client, uint64_t now_ns);
/* Sends what was only queued. */
void tvc_client_flush(struct trove_client *client);
void tvc_client_wake(struct trove_client *client, struct tv_flow *flow, unsigned wants);
/* Ends the connection when what is queued has gone out. */
void tvc_client_leave(struct trove_client *client, const char *why);
/* Ends the connection at once. */
void tvc_client_abort(struct trove_client *client, const trove_error *why);

/* Told a first frame's call id (frame->call_id) before it is packed. */
typedef void (*tvc_prepare)(void *context, tv_frame *frame);

/* Draws an id for `entry`, lists it and sends its first frame. On failure the entry isn't listed; where the connection was lost
 * meanwhile and everything listed with it was failed, that counts as sent. A stream that has ended isn't listed any more: its own
 * error. `prepare` may be NULL. Without the lock. */
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
/* The connection is gone: fails all calls and those streams that can't outlive it. `for_good`: it isn't made again, and
 * everything that waits for that fails as well. Without the lock. */
void tvc_client_lose(struct trove_client *client, bool for_good, const trove_error *lost, const trove_error *reason);
/* This connection takes nothing any more, and `closed`, which does the rest, may be a while yet: who comes next is to wait for
 * another one. Without the lock; from a thread that may be so late that there is another one already, which isn't touched. */
void tvc_client_ending(struct trove_client *client, uint64_t connection, const trove_error *why);
/* connect.c */
TROVE_WARN_UNUSED trove_status tvc_client_send_hello(struct trove_client *client, trove_error *error);
/* Fires every second. */
void tvc_client_tick(struct tv_timer *timer);

/* connect.c: dials and greets. On failure nothing is left of it. On the connecting thread, without the lock. */
trove_status tvc_client_connect(struct trove_client *client, uint64_t deadline_ns, trove_error *error);
/* Lets the connection, if there is one, say its last word. On the connecting thread, without the lock. */
void tvc_client_end_connection(struct trove_client *client);
/* Cuts it, if it still is there, and destroys it. On the connecting thread, without the lock. */
void tvc_client_disconnect(struct trove_client *client);
void tvc_client_add_metrics(struct tv_conn_metrics *to, const struct tv_conn *conn);

/* redial.c: making a lost connection again. See there. */

/* Has it begun: the phase is BROKEN then. Under the lock. */
void tvc_redial_begin(struct trove_client *client);
/* Has the dialler look for what is due. Without the lock. */
void tvc_redial_start(struct trove_client *client);
/* The dialler's job. */
void tvc_redial_run(struct tvc_job *job);
void tvc_redial_fire(struct tv_timer *timer);

#endif
