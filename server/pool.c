/* pool.c - see pool.h.
 *
 * Who gives a place back holds its session's lock, and who gets it needs another session's: so a task on the workers hands places
 * on. One timer watches the deadlines of all that wait.
 */
#include "pool.h"

#include "container.h"

#include <stddef.h>
#include <string.h>

#define NS_PER_MS UINT64_C(1000000)
/* Deadlines are looked at no more often than this: each look walks the queue. */
#define DEADLINE_STEP_NS (5 * NS_PER_MS)

static struct tvs_acquire *acquire_of(struct tvs_waiter *waiter) {
    return (struct tvs_acquire *)waiter;
}

/* ---- places ---- */

/* Under the lock; true: submit the task after unlocking. */
static bool must_serve(struct tvs_pool *pool) {
    bool room = pool->acquires.first != NULL && pool->acquires.held < pool->limits.streams_max;
    if (!room || pool->serving)
        return false;
    pool->serving = true;
    (void)tvs_pool_acquire_reference(pool);
    return true;
}

static void serve(struct tvs_task *task) {
    struct tvs_pool *pool = TV_CONTAINER_OF(task, struct tvs_pool, serve);
    for (;;) {
        pthread_mutex_lock(&pool->lock);
        struct tvs_waiter *waiter = tvs_acquire_queue_next(&pool->acquires, pool->limits.streams_max);
        pool->serving = waiter != NULL;
        pthread_mutex_unlock(&pool->lock);
        if (waiter == NULL)
            break;
        acquire_of(waiter)->done(acquire_of(waiter), NULL);
    }
    tvs_pool_release_reference(pool);
}

/* Under the lock. Without memory for a timer the tick looks after the queue, once a second. */
static void watch(struct tvs_pool *pool, uint64_t due_ns) {
    pool->watched_ns = due_ns;
    if (due_ns != UINT64_MAX)
        (void)!tv_timer_arm(pool->timers, &pool->deadline, due_ns, NULL);
}

static void refuse(struct tvs_waiter *list, const trove_error *why) {
    while (list != NULL) {
        struct tvs_acquire *acquire = acquire_of(list);
        list = list->next;
        acquire->done(acquire, why);
    }
}

static void expire(struct tvs_pool *pool, uint64_t now_ns) {
    trove_error late;
    pthread_mutex_lock(&pool->lock);
    struct tvs_waiter *expired = tvs_acquire_queue_expired(&pool->acquires, now_ns);
    uint64_t next_ns = tvs_acquire_queue_deadline(&pool->acquires);
    watch(pool, next_ns > now_ns + DEADLINE_STEP_NS ? next_ns : now_ns + DEADLINE_STEP_NS);
    if (expired != NULL)
        TV_FAIL(&late, DEADLINE_EXCEEDED,
                "pool \"%s\" has as many streams open as it may have, %u (streams), and none ended in time; try again, or wait "
                "longer "
                "(acquire_timeout_ms)",
                pool->name, pool->limits.streams_max);
    pthread_mutex_unlock(&pool->lock);
    refuse(expired, &late);
}

static void on_deadline(struct tv_timer *timer) {
    expire(TV_CONTAINER_OF(timer, struct tvs_pool, deadline), tv_now_ns());
}

trove_status tvs_pool_acquire(struct tvs_pool *pool, struct tvs_acquire *acquire, uint32_t wait_ms, bool *queued,
                              trove_error *error) {
    trove_status status = TROVE_OK;
    uint64_t deadline_ns = tv_now_ns() + wait_ms * NS_PER_MS;
    pthread_mutex_lock(&pool->lock);
    if (pool->closing) {
        status = tv_error_copy(error, &pool->close_reason);
    } else {
        enum tvs_acquired acquired = tvs_acquire_queue_enter(&pool->acquires, &acquire->waiter, pool->limits.streams_max,
                                                             TVS_ACQUIRES_WAITING_MAX, deadline_ns);
        *queued = acquired == TVS_ACQUIRE_QUEUED;
        if (*queued && deadline_ns < pool->watched_ns)
            watch(pool, deadline_ns);
        if (acquired == TVS_ACQUIRE_FULL)
            status = TV_FAIL(error, RESOURCE_EXHAUSTED,
                             "pool \"%s\" has as many streams open as it may have, %u (streams), and %d wait already; try again "
                             "later",
                             pool->name, pool->limits.streams_max, TVS_ACQUIRES_WAITING_MAX);
    }
    pthread_mutex_unlock(&pool->lock);
    return status;
}

bool tvs_pool_leave(struct tvs_pool *pool, struct tvs_acquire *acquire) {
    pthread_mutex_lock(&pool->lock);
    bool left = tvs_acquire_queue_leave(&pool->acquires, &acquire->waiter);
    pthread_mutex_unlock(&pool->lock);
    return left;
}

void tvs_pool_release(struct tvs_pool *pool) {
    pthread_mutex_lock(&pool->lock);
    tvs_acquire_queue_release(&pool->acquires);
    bool submit = must_serve(pool);
    pthread_mutex_unlock(&pool->lock);
    if (submit)
        tvs_workers_submit(pool->workers, &pool->serve);
}

/* ---- bandwidth ---- */

bool tvs_pool_bandwidth_take(struct tvs_pool *pool, struct tvs_bandwidth_waiter *waiter, uint64_t bytes) {
    return tvs_throttle_take(&pool->throttle, waiter, bytes);
}

bool tvs_pool_bandwidth_try(struct tvs_pool *pool, uint64_t bytes) {
    return tvs_throttle_try(&pool->throttle, bytes);
}

/* ---- life ---- */

trove_status tvs_pool_create(const struct tvs_pool_config *config, struct tvs_budget *budget, struct tvs_workers *workers,
                             struct tv_timers *timers, struct tvs_pool **pool_out, trove_error *error) {
    struct tvs_pool *pool = calloc(1, sizeof *pool);
    if (pool == NULL)
        return TV_FAIL(error, RESOURCE_EXHAUSTED, "no memory for the pool \"%s\"", config->name);
    memcpy(pool->name, config->name, sizeof pool->name);
    pool->workers = workers;
    pool->timers = timers;
    pthread_mutex_init(&pool->lock, NULL);
    pool->limits = config->limits;
    pool->budget = tvs_budget_acquire(budget);
    pool->watched_ns = UINT64_MAX;
    pool->serve.run = serve;
    pool->deadline.fire = on_deadline;
    tvs_throttle_init(&pool->throttle, timers, config->limits.bandwidth);
    tv_rate_begin(&pool->rate, tv_now_ns());
    tv_histogram_init(&pool->latencies);
    atomic_init(&pool->references, 1);
    *pool_out = pool;
    return TROVE_OK;
}

void tvs_pool_destroy(struct tvs_pool *pool) {
    if (pool == NULL)
        return;
    TV_ASSERT(pool->acquires.first == NULL && pool->acquires.held == 0);
    tvs_throttle_fini(&pool->throttle);
    tvs_budget_release(pool->budget);
    pthread_mutex_destroy(&pool->lock);
    free(pool);
}

void tvs_pool_disarm(struct tvs_pool *pool) {
    tv_timer_cancel(pool->timers, &pool->deadline);
    tvs_throttle_disarm(&pool->throttle);
}

void tvs_pool_terms(struct tvs_pool *pool, struct tvs_pool_limits *limits, struct tvs_budget **budget) {
    pthread_mutex_lock(&pool->lock);
    *limits = pool->limits;
    *budget = tvs_budget_acquire(pool->budget);
    pthread_mutex_unlock(&pool->lock);
}

void tvs_pool_set(struct tvs_pool *pool, const struct tvs_pool_limits *limits, struct tvs_budget *budget) {
    struct tvs_budget *before = NULL;
    tvs_throttle_set(&pool->throttle, limits->bandwidth);
    pthread_mutex_lock(&pool->lock);
    pool->limits = *limits;
    if (budget != NULL) {
        before = pool->budget;
        pool->budget = tvs_budget_acquire(budget);
    }
    bool submit = must_serve(pool);
    pthread_mutex_unlock(&pool->lock);
    if (submit)
        tvs_workers_submit(pool->workers, &pool->serve);
    tvs_budget_release(before);
}

void tvs_pool_close(struct tvs_pool *pool, uint64_t cancel_ns, const trove_error *reason) {
    pthread_mutex_lock(&pool->lock);
    if (!pool->closing || cancel_ns < pool->cancel_ns)
        pool->cancel_ns = cancel_ns;
    pool->closing = true;
    pool->close_reason = *reason;
    struct tvs_waiter *list = tvs_acquire_queue_expired(&pool->acquires, UINT64_MAX);
    pthread_mutex_unlock(&pool->lock);
    refuse(list, reason);
}

bool tvs_pool_tick(struct tvs_pool *pool, uint64_t now_ns) {
    expire(pool, now_ns);
    tvs_throttle_tick(&pool->throttle);
    pthread_mutex_lock(&pool->lock);
    tv_rate_add(&pool->rate, now_ns, atomic_load_explicit(&pool->bytes, memory_order_relaxed));
    bool cancel = pool->closing && now_ns >= pool->cancel_ns;
    if (cancel)
        pool->cancel_ns = UINT64_MAX; /* once */
    struct tvs_budget *budget = tvs_budget_acquire(pool->budget);
    pthread_mutex_unlock(&pool->lock);
    tvs_budget_tick(budget, now_ns);
    tvs_budget_release(budget);
    return cancel;
}
