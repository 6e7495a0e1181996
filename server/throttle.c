/* throttle.c - see throttle.h. */
#include "throttle.h"

#include "container.h"

/* Under the lock. Without memory for the timer the tick does it. */
static void arm_turns(struct tvs_throttle *throttle, uint64_t now_ns) {
    uint64_t wait_ns = tvs_bandwidth_wait_ns(&throttle->bandwidth, now_ns);
    if (wait_ns != UINT64_MAX)
        (void)!tv_timer_arm(throttle->timers, &throttle->turns, now_ns + wait_ns, NULL);
}

/* Under the lock. */
static void set_limited(struct tvs_throttle *throttle) {
    bool limited = throttle->bandwidth.bytes_per_second != 0 || throttle->bandwidth.first != NULL;
    atomic_store_explicit(&throttle->limited, limited, memory_order_relaxed);
}

/* Gives turns as far as they go. On the timer's thread. */
static void give_turns(struct tvs_throttle *throttle) {
    for (;;) {
        uint64_t now_ns = tv_now_ns();
        pthread_mutex_lock(&throttle->lock);
        struct tvs_bandwidth_waiter *waiter = tvs_bandwidth_next(&throttle->bandwidth, now_ns);
        if (waiter == NULL)
            arm_turns(throttle, now_ns);
        set_limited(throttle);
        pthread_mutex_unlock(&throttle->lock);
        if (waiter == NULL)
            return;
        waiter->turn(waiter);
    }
}

static void on_turns(struct tv_timer *timer) {
    give_turns(TV_CONTAINER_OF(timer, struct tvs_throttle, turns));
}

void tvs_throttle_init(struct tvs_throttle *throttle, struct tv_timers *timers, uint64_t bytes_per_second) {
    throttle->timers = timers;
    pthread_mutex_init(&throttle->lock, NULL);
    tvs_bandwidth_init(&throttle->bandwidth, bytes_per_second, tv_now_ns());
    atomic_init(&throttle->limited, bytes_per_second != 0);
    throttle->turns = (struct tv_timer){.fire = on_turns};
}

void tvs_throttle_disarm(struct tvs_throttle *throttle) {
    tv_timer_cancel(throttle->timers, &throttle->turns);
}

void tvs_throttle_fini(struct tvs_throttle *throttle) {
    TV_ASSERT(throttle->bandwidth.first == NULL);
    pthread_mutex_destroy(&throttle->lock);
}

void tvs_throttle_set(struct tvs_throttle *throttle, uint64_t bytes_per_second) {
    uint64_t now_ns = tv_now_ns();
    pthread_mutex_lock(&throttle->lock);
    if (throttle->bandwidth.bytes_per_second != bytes_per_second) {
        tvs_bandwidth_set(&throttle->bandwidth, bytes_per_second, now_ns);
        set_limited(throttle);
        arm_turns(throttle, now_ns);
    }
    pthread_mutex_unlock(&throttle->lock);
}

void tvs_throttle_tick(struct tvs_throttle *throttle) {
    if (tvs_throttle_limited(throttle))
        give_turns(throttle);
}

uint64_t tvs_throttle_slice(struct tvs_throttle *throttle) {
    pthread_mutex_lock(&throttle->lock);
    uint64_t bytes = tvs_bandwidth_slice(throttle->bandwidth.bytes_per_second);
    pthread_mutex_unlock(&throttle->lock);
    return bytes;
}

bool tvs_throttle_take(struct tvs_throttle *throttle, struct tvs_bandwidth_waiter *waiter, uint64_t bytes) {
    if (!tvs_throttle_limited(throttle)) {
        waiter->has_turn = false; /* it was given while there was a limit */
        return true;
    }
    uint64_t now_ns = tv_now_ns();
    pthread_mutex_lock(&throttle->lock);
    bool alone = throttle->bandwidth.first == NULL;
    bool taken = tvs_bandwidth_take(&throttle->bandwidth, waiter, bytes, now_ns);
    if (!taken && alone)
        arm_turns(throttle, now_ns);
    pthread_mutex_unlock(&throttle->lock);
    return taken;
}

bool tvs_throttle_try(struct tvs_throttle *throttle, uint64_t bytes) {
    if (!tvs_throttle_limited(throttle))
        return true;
    pthread_mutex_lock(&throttle->lock);
    bool taken = tvs_bandwidth_try(&throttle->bandwidth, bytes, tv_now_ns());
    pthread_mutex_unlock(&throttle->lock);
    return taken;
}

void tvs_throttle_spend(struct tvs_throttle *throttle, uint64_t bytes) {
    if (!tvs_throttle_limited(throttle))
        return;
    pthread_mutex_lock(&throttle->lock);
    tvs_bandwidth_spend(&throttle->bandwidth, bytes, tv_now_ns());
    pthread_mutex_unlock(&throttle->lock);
}

bool tvs_throttle_leave(struct tvs_throttle *throttle, struct tvs_bandwidth_waiter *waiter) {
    pthread_mutex_lock(&throttle->lock);
    bool left = tvs_bandwidth_leave(&throttle->bandwidth, waiter);
    pthread_mutex_unlock(&throttle->lock);
    return left;
}
