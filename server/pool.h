/* pool.h - a stream pool: how many streams may be open, with how much memory and bandwidth, and what they have done.
 *
 * A stream takes a place (tvs_pool_acquire), now or in its turn, and gives it back at its end. The limits that a stream has are
 * those of its opening: a reload changes limits for what comes. What the pool itself keeps (places, bandwidth) follows at once.
 * A pool that is closing takes nobody in any more; those that wait are told at once.
 *
 * Threads: any. The pool's lock is taken for a moment inside each function and nests inside a session's; callbacks (`done`,
 * `turn`) are called on a worker or the timer's thread, under no lock. References: the list of pools has one, each stream one;
 * the timer's tick frees a closed pool whose only reference is the list's (pools.c), so that no callback of its timer can still
 * be under way.
 */
#ifndef TVS_POOL_H
#define TVS_POOL_H

#include "acquire_queue.h"
#include "budget.h"
#include "histogram.h"
#include "pool_limits.h"
#include "rate.h"
#include "throttle.h"

#include <pthread.h>
#include <stdatomic.h>

/* Streams that may wait for a place in one pool. Each costs its memory, but none of the budget. */
#define TVS_ACQUIRES_WAITING_MAX TV_STREAMS_PER_CONN_MAX

/* Embedded in a stream; zeroed but for `done`. */
struct tvs_acquire {
    struct tvs_waiter waiter; /* first */
    /* Its turn has come and the place is its own (`why` is NULL), or it won't come. It is out of the queue. */
    void (*done)(struct tvs_acquire *acquire, const trove_error *why);
};

struct tvs_pool {
    /* constant */
    char name[TVS_POOL_NAME_BYTES];
    struct tvs_workers *workers;
    struct tv_timers *timers;

    struct tvs_pool *next;        /* under the lock of the list */
    struct tvs_throttle throttle; /* has a lock of its own */

    pthread_mutex_t lock;
    /* under the lock */
    struct tvs_pool_limits limits;
    struct tvs_budget *budget; /* its own or the server's; one hold */
    struct tvs_acquire_queue acquires;
    bool serving; /* the task is submitted */
    struct tv_rate rate;
    struct tv_histogram latencies; /* of streams that have ended; see stream_metrics.h */
    uint64_t watched_ns;           /* when the deadlines are looked at next */
    bool closing;
    uint64_t cancel_ns;       /* closing: when what is still open is cancelled; UINT64_MAX: never, or done */
    trove_error close_reason; /* told to those who come */

    /* atomic; the counters only grow */
    atomic_uint references;
    atomic_ullong streams_total; /* that had a place */
    atomic_ullong streams_failed;
    atomic_ullong streams_cancelled;
    atomic_ullong bytes; /* acknowledged, both directions */
    atomic_ullong chunks;
    atomic_ullong retries; /* chunks that were sent again */
    atomic_ullong drops;   /* chunks that lossy streams lost */

    struct tvs_task serve;
    struct tv_timer deadline; /* of the first that waits, about */
};

/* With one reference, the caller's. `budget` is held, not taken. */
trove_status tvs_pool_create(const struct tvs_pool_config *config, struct tvs_budget *budget, struct tvs_workers *workers,
                             struct tv_timers *timers, struct tvs_pool **pool, trove_error *error);
/* No stream and no callback of its timer may use it any more. NULL is allowed. */
void tvs_pool_destroy(struct tvs_pool *pool);
/* Disarms its timers; on the timer's own thread they are quiet then. */
void tvs_pool_disarm(struct tvs_pool *pool);

static inline struct tvs_pool *tvs_pool_acquire_reference(struct tvs_pool *pool) {
    atomic_fetch_add_explicit(&pool->references, 1, memory_order_relaxed);
    return pool;
}

static inline void tvs_pool_release_reference(struct tvs_pool *pool) {
    atomic_fetch_sub_explicit(&pool->references, 1, memory_order_release);
}

/* What a stream that opens now gets; *budget is held for the caller. */
void tvs_pool_terms(struct tvs_pool *pool, struct tvs_pool_limits *limits, struct tvs_budget **budget);
/* New limits and, where it isn't NULL, another budget. Who waits is served if there is more room now. */
void tvs_pool_set(struct tvs_pool *pool, const struct tvs_pool_limits *limits, struct tvs_budget *budget);
/* From now on nobody gets a place: `reason` (UNAVAILABLE) is told to who comes and to those who wait. What is open may go on
 * until cancel_ns (a pool that is closing already: the earlier of both). */
void tvs_pool_close(struct tvs_pool *pool, uint64_t cancel_ns, const trove_error *reason);
/* Once a second, on the timer's thread. True, once: it was closed, its time is over, and its streams are to be cancelled. */
bool tvs_pool_tick(struct tvs_pool *pool, uint64_t now_ns);

/* Takes a place, or waits for it until wait_ms from now have passed: then *queued, and `done` will be called unless
 * tvs_pool_leave comes before. Errors: RESOURCE_EXHAUSTED (too many wait already), UNAVAILABLE (closing). */
trove_status tvs_pool_acquire(struct tvs_pool *pool, struct tvs_acquire *acquire, uint32_t wait_ms, bool *queued,
                              trove_error *error);
/* Out of the queue. False: it wasn't in it; `done` has been called or will be. */
bool tvs_pool_leave(struct tvs_pool *pool, struct tvs_acquire *acquire);
/* Gives a place back; the next in the queue is told by a worker. */
void tvs_pool_release(struct tvs_pool *pool);

/* Bandwidth: tvs_throttle_take and tvs_throttle_try of the pool's `throttle`. */
bool tvs_pool_bandwidth_take(struct tvs_pool *pool, struct tvs_bandwidth_waiter *waiter, uint64_t bytes);
bool tvs_pool_bandwidth_try(struct tvs_pool *pool, uint64_t bytes);

#endif
