/* timer.h - deadlines: a heap of them and one thread that calls what is due.
 *
 * Threads: callbacks run on the timer's thread, one after the other, with no lock held; they must not block. Arming and disarming
 * from any thread, from callbacks too.
 */
#ifndef TV_TIMER_H
#define TV_TIMER_H

#include "status.h"

#include <stddef.h>

/* Nanoseconds of CLOCK_MONOTONIC. */
uint64_t tv_now_ns(void);
/* Nanoseconds since the epoch. */
uint64_t tv_wall_ns(void);

struct tv_timers;

/* Embedded in what waits; zero it before the first use. */
struct tv_timer {
    uint64_t due_ns;
    size_t position; /* in the heap, from 1; 0: not armed */
    void (*fire)(struct tv_timer *timer);
};

/* Starts the thread. Errors: RESOURCE_EXHAUSTED (memory, threads). */
TROVE_WARN_UNUSED trove_status tv_timers_create(struct tv_timers **timers, trove_error *error);
/* Ends the thread; what is armed never fires. Not from a callback. NULL is allowed. */
void tv_timers_destroy(struct tv_timers *timers);

/* Arms, or moves, `timer` to fire at due_ns (monotonic). Errors: RESOURCE_EXHAUSTED; never from the timer's own callback. */
TROVE_WARN_UNUSED trove_status tv_timer_arm(struct tv_timers *timers, struct tv_timer *timer, uint64_t due_ns,
                                            trove_error *error);
/* Disarms. On return the callback neither runs nor will; so it must not be called while holding a lock that the callback takes.
 * From within the timer's own callback it only disarms. */
void tv_timer_cancel(struct tv_timers *timers, struct tv_timer *timer);

#endif
