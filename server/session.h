/* session.h - a connection's calls and streams; also what server.c, session.c, call.c, stream.c share of the server.
 *
 * Locks, in the order in which they may nest: server.lock -> session.lock -> (list of streams; list of pools -> pool; list of
 * feeds; feed; holders; keyring; list of bandwidths) -> throttle -> (budget, timers, workers, connection: each inside its
 * module). None is held over a call into the connection, the driver or a handler. Streams have no lock of their own: they share
 * their session's, so that a frame and an acknowledgement cost one uncontended lock each.
 * Lifetimes are counted: a stream and a call hold their session, the session holds its connection; the last one out is freed by
 * the server's timer, never on a thread of nng's.
 */
#ifndef TVS_SESSION_H
#define TVS_SESSION_H

#include "address_limits.h"
#include "audit.h"
#include "budget.h"
#include "conn.h"
#include "copies.h"
#include "drivers/driver.h"
#include "feed.h"
#include "holders.h"
#include "id_table.h"
#include "keyring.h"
#include "log.h"
#include "pace.h"
#include "principal_bandwidth.h"
#include "quota.h"
#include "refusals.h"
#include "relief.h"
#include "scrubs.h"
#include "server.h"
#include "stream_list.h"
#include "timer.h"
#include "worker.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>

struct tvs_stream;
struct tvs_fragment;
struct tvs_call;

struct tvs_server {
    /* constant after creation */
    struct tvs_server_options options;
    const struct tvs_driver_ops *ops;
    struct tvs_driver *driver;
    struct tvs_workers *workers;
    struct tvs_budget *budget; /* of small objects in one flight, and of all pools without memory of their own */
    struct tv_timers *timers;
    struct tvs_pools *pools;
    struct tvs_keyring *keyring;
    struct tvs_address_limits *address_limits;
    struct tvs_audit *audit; /* NULL: none */
    struct tv_key *key;      /* NULL: there is none */
    struct tv_secure secure;
    uint64_t started_ns;

    /* each with a lock of its own, or atomic in itself */
    struct tvs_stream_list streams;
    struct tvs_feeds feeds;
    struct tvs_holders holders;
    struct tvs_copies copies;
    struct tvs_scrubs scrubs;
    struct tvs_principal_bandwidths bandwidths;
    struct tvs_refusals refusals;
    struct tvs_quota calls;           /* under way */
    struct tvs_quota inline_puts;     /* small objects on their way into the store: the memory that holds them */
    struct tvs_quota stream_memory;   /* streams, with their names and metadata */
    struct tvs_quota control_answers; /* that streams hold */
    struct tvs_relief relief;

    pthread_mutex_t lock;
    /* under the lock */
    struct tvs_session *sessions;
    uint32_t session_count;
    uint32_t admitted_count; /* of them, those that aren't being refused */
    bool draining;
    pthread_cond_t calmed; /* a session, a stream or a call has ended */

    /* main's: who creates, drains and destroys it */
    struct tv_listener *listeners[TVS_LISTEN_MAX];
    size_t listener_count;
    uint64_t end_ns;            /* of a drain that has begun: when all must be over; 0: none has */
    struct tvs_workers *closer; /* at the end: one that closes the store */
    struct tvs_task close_store;

    /* atomic */
    atomic_bool waiting;     /* for `calmed` */
    atomic_ullong frames_in; /* of connections that have ended */
    atomic_ullong frames_out;
    atomic_ullong payload_copied;
    atomic_uint histograms;                    /* of streams */
    atomic_uint access_edition;                /* counts changes of who is known: at the next tick sessions look again */
    atomic_bool collecting;                    /* expired uploads: `collect` is submitted or running */
    _Atomic(struct tvs_session *) flush_first; /* sessions with queued answers, see tvs_session_flush_later */

    /* the workers' and the timers', once submitted or armed */
    struct tvs_task flush;
    struct tvs_task collect;
    uint64_t collect_ns; /* the tick's: when it is next due */
    struct tv_timer tick;
    struct tv_timer reap;
    struct tv_timer relieve; /* while somebody waits for memory; see `relief` */
};

struct tvs_session {
    /* constant */
    struct tvs_server *server;
    struct tv_conn *conn;
    uint64_t opened_ns;
    struct tvs_entry entry;                    /* of its peer's address */
    bool refused;                              /* nothing of it is listened to */
    struct tvs_principal_bandwidth *bandwidth; /* once it is welcomed */

    /* under the server's lock */
    struct tvs_session *next;
    bool admitted; /* it counts */

    /* the receiving thread's alone */
    uint64_t features;
    struct tvs_fragment *landing; /* the chunk fragment whose payload is coming in */
    struct tvs_stream *landing_stream;
    struct tv_arena arena; /* for requests that are answered at once */

    pthread_mutex_t lock;
    /* under the lock */
    struct tv_id_table streams;
    struct tv_id_table calls;
    uint32_t calls_begun;           /* on workers or waiting for one, answered or not */
    uint64_t requests_bytes;        /* of theirs */
    struct tvs_call *waiting_first; /* calls that aren't begun until the peer has read more answers */
    struct tvs_call *waiting_last;
    uint64_t highest_id;
    struct tvs_fragment *free_fragments; /* used ones, for the next chunks */
    uint32_t free_fragment_count;
    bool draining;
    bool closed;                    /* the connection has ended */
    struct tvs_principal principal; /* its name is constant once it is welcomed */
    unsigned access_edition;        /* of the server's, by which its rights were found */

    /* atomic */
    atomic_bool welcomed; /* written by the receiving thread alone */
    atomic_uint references;
    struct tvs_quota inline_puts; /* under way: their payload */
    atomic_bool flush_marked;

    struct tvs_pace in; /* the tick's, as the next one */
    struct tvs_pace out;

    struct tvs_session *flush_next; /* of who has set flush_marked, then the flush's */
};

/* server.c */
/* A session or a stream has ended; a drain may be waiting for it. */
void tvs_server_calmed(struct tvs_server *server);
/* Sessions that have ended are freed soon, by the timer. */
void tvs_server_reap(struct tvs_server *server);

/* session.c */
/* `context`: the server. */
void tvs_session_accept(void *context, struct tv_transport *transport_move);
void tvs_session_tick(struct tvs_session *session, uint64_t now_ns);
/* Somebody waits for memory: streams give back what they don't use. */
void tvs_session_relieve(struct tvs_session *session, uint64_t now_ns);
/* New calls are refused from now on, and the peer is told. */
void tvs_session_drain(struct tvs_session *session, uint32_t drain_ms);
/* After the connection has ended and the last reference is gone; on the timer's thread. */
void tvs_session_destroy(struct tvs_session *session);
static inline void tvs_session_acquire(struct tvs_session *session) {
    atomic_fetch_add_explicit(&session->references, 1, memory_order_relaxed);
}
void tvs_session_release(struct tvs_session *session);
/* Sends what tv_conn_queue has queued, soon: when a commit answers hundreds of calls, each connection's answers go out
 * together. */
void tvs_session_flush_later(struct tvs_session *session);
void tvs_session_flush_all(struct tvs_task *task); /* the server's `flush` */

/* Calls `what` for each stream, with a reference: what is done with one may end it, and others. The timer's thread, not under the
 * lock. */
void tvs_session_each_stream(struct tvs_session *session, void (*what)(struct tvs_stream *stream, const void *argument),
                             const void *argument);

/* session_frames.c */
extern const struct tv_conn_handler tvs_session_handler;
/* It isn't let in: what the log and the audit log are told, but of a flood. Any thread. */
void tvs_session_tell_refused(struct tvs_session *session, const trove_error *why);
/* Ends a call or stream that doesn't exist (any more) with a status. Not under the session's lock. */
void tvs_session_send_status(struct tvs_session *session, uint64_t call_id, const trove_error *error, bool not_taken);

/* session_access.c */
/* Who it is, and what is theirs; once, by its hello. Errors: UNAUTHENTICATED, PERMISSION_DENIED, RESOURCE_EXHAUSTED. */
TROVE_WARN_UNUSED trove_status tvs_session_authenticate(struct tvs_session *session, trove_error *error);
/* Once a second: where what is known has changed, or the peer's time is over, streams that may not go on end. False: the peer
 * isn't let in any more; all that it has ends, and its connection. The timer's thread. */
bool tvs_session_renew(struct tvs_session *session);
/* Whether its peer is still let in: not any more, where the key has gone or expired. Any thread, not under the lock. */
bool tvs_session_known(struct tvs_session *session);
/* Whether it may, now: PERMISSION_DENIED as tvs_principal_check says it. Any thread, not under the lock. */
TROVE_WARN_UNUSED trove_status tvs_session_may(struct tvs_session *session, unsigned wanted, const char *bucket,
                                               const char *prefix, trove_error *error);
/* The pool that its streams are bound to, "" where there is none. Any thread. Errors: PERMISSION_DENIED (it asked for
 * another). */
TROVE_WARN_UNUSED trove_status tvs_session_pool(struct tvs_session *session, const char *asked,
                                                char pool[static TVS_POOL_NAME_BYTES], trove_error *error);

#endif
