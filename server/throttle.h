/* throttle.h - bytes per second, shared out among streams: bandwidth.h with a lock and a timer of its own. A stream pool has one,
 * and so has each key or user.
 *
 * Who wants `bytes` to move takes them first; false: it waits, and `turn` will be called, under no lock, unless it leaves before;
 * then its next take succeeds. What really moves is told by tvs_throttle_spend: by a download when it hands a frame to the
 * connection, by an upload when a fragment has come in. `bytes` should be a slice at most: a stream's chunks are no larger where
 * there is a limit, so frames aren't, either.
 * Threads: any. The lock is taken for a moment inside each function; `turn` is called on the timer's thread.
 */
#ifndef TVS_THROTTLE_H
#define TVS_THROTTLE_H

#include "bandwidth.h"
#include "timer.h"

#include <pthread.h>
#include <stdatomic.h>

struct tvs_throttle {
    struct tv_timers *timers; /* constant */

    pthread_mutex_t lock;
    struct tvs_bandwidth bandwidth; /* under the lock */

    atomic_bool limited; /* there is a limit, or somebody still waits for a turn */
    struct tv_timer turns;
};

void tvs_throttle_init(struct tvs_throttle *throttle, struct tv_timers *timers, uint64_t bytes_per_second);
/* Disarms its timer; on the timer's own thread it is quiet then. */
void tvs_throttle_disarm(struct tvs_throttle *throttle);
/* Disarmed, and nobody waits. */
void tvs_throttle_fini(struct tvs_throttle *throttle);

/* From now on; 0: no limit. Who waits keeps its place. */
void tvs_throttle_set(struct tvs_throttle *throttle, uint64_t bytes_per_second);
/* Once a second, on the timer's thread: for where there was no memory to arm the timer. */
void tvs_throttle_tick(struct tvs_throttle *throttle);

static inline bool tvs_throttle_limited(const struct tvs_throttle *throttle) {
    return atomic_load_explicit(&throttle->limited, memory_order_relaxed);
}
/* Bytes of a slice, as it is now; UINT64_MAX without a limit. */
uint64_t tvs_throttle_slice(struct tvs_throttle *throttle);

bool tvs_throttle_take(struct tvs_throttle *throttle, struct tvs_bandwidth_waiter *waiter, uint64_t bytes);
/* Now or not at all. */
bool tvs_throttle_try(struct tvs_throttle *throttle, uint64_t bytes);
void tvs_throttle_spend(struct tvs_throttle *throttle, uint64_t bytes);
/* False: it didn't wait; `turn` has been called or will be. */
bool tvs_throttle_leave(struct tvs_throttle *throttle, struct tvs_bandwidth_waiter *waiter);

#endif
