/* budget.c - see budget.h. */
#include "budget.h"

#include "bounds.h"
#include "container.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>

/* Memory that nobody used for so long goes back to the system, so much of it at a time, but for a part of the budget: as much as
 * what comes next is likely to need at once. */
#define TRIM_NS         (5 * (uint64_t)1000 * 1000 * 1000)
#define TRIM_BLOCKS_MAX 2048
#define TRIM_KEEP_PART  8

struct tvs_budget {
    struct tv_block_pool *pool; /* constant */
    struct tvs_workers *workers;
    uint64_t bytes;
    void (*pressed)(void *context);
    void *context;

    pthread_mutex_t lock;
    /* under the lock */
    struct tvs_claim *first;
    struct tvs_claim *last;
    bool serving; /* the task is submitted */

    uint64_t trimmed_ns; /* the tick's */

    atomic_uint waiting;
    atomic_uint holds;
    atomic_ullong read_ahead_bytes;
    struct tvs_task task; /* holds the budget while it is submitted */
};

/* Under the lock. */
static void append(struct tvs_budget *budget, struct tvs_claim *claim) {
    claim->next = NULL;
    claim->previous = budget->last;
    if (budget->last != NULL)
        budget->last->next = claim;
    else
        budget->first = claim;
    budget->last = claim;
    claim->queued = true;
    atomic_fetch_add_explicit(&budget->waiting, 1, memory_order_relaxed);
}

/* Under the lock. */
static void unlink_claim(struct tvs_budget *budget, struct tvs_claim *claim) {
    if (claim->previous != NULL)
        claim->previous->next = claim->next;
    else
        budget->first = claim->next;
    if (claim->next != NULL)
        claim->next->previous = claim->previous;
    else
        budget->last = claim->previous;
    claim->queued = false;
    atomic_fetch_sub_explicit(&budget->waiting, 1, memory_order_relaxed);
}

/* In order: a large claim at the front isn't overtaken by small ones, or it would wait for ever. */
static void serve(struct tvs_task *task) {
    struct tvs_budget *budget = TV_CONTAINER_OF(task, struct tvs_budget, task);
    for (;;) {
        pthread_mutex_lock(&budget->lock);
        struct tvs_claim *claim = budget->first;
        if (claim == NULL || !tv_block_pool_reserve(budget->pool, claim->bytes)) {
            budget->serving = false;
            pthread_mutex_unlock(&budget->lock);
            tvs_budget_release(budget);
            return;
        }
        unlink_claim(budget, claim);
        pthread_mutex_unlock(&budget->lock);
        claim->granted(claim);
    }
}

trove_status tvs_budget_create(uint64_t bytes, struct tvs_workers *workers, void (*pressed)(void *context), void *context,
                               struct tvs_budget **budget_out, trove_error *error) {
    struct tvs_budget *budget = calloc(1, sizeof *budget);
    if (budget == NULL)
        return TV_FAIL(error, RESOURCE_EXHAUSTED, "no memory for the budget");
    trove_status status = tv_block_pool_create(TV_SEGMENT_BYTES, bytes / TV_SEGMENT_BYTES, &budget->pool, error);
    if (status != TROVE_OK) {
        free(budget);
        return status;
    }
    pthread_mutex_init(&budget->lock, NULL);
    budget->workers = workers;
    budget->bytes = bytes / TV_SEGMENT_BYTES * TV_SEGMENT_BYTES;
    budget->pressed = pressed;
    budget->context = context;
    budget->task.run = serve;
    atomic_init(&budget->holds, 1);
    *budget_out = budget;
    return TROVE_OK;
}

struct tvs_budget *tvs_budget_acquire(struct tvs_budget *budget) {
    atomic_fetch_add_explicit(&budget->holds, 1, memory_order_relaxed);
    return budget;
}

void tvs_budget_release(struct tvs_budget *budget) {
    if (budget == NULL || atomic_fetch_sub_explicit(&budget->holds, 1, memory_order_acq_rel) != 1)
        return;
    TV_ASSERT(budget->first == NULL);
    tv_block_pool_destroy(budget->pool);
    pthread_mutex_destroy(&budget->lock);
    free(budget);
}

struct tv_block_pool *tvs_budget_pool(struct tvs_budget *budget) {
    return budget->pool;
}

uint64_t tvs_budget_bytes(const struct tvs_budget *budget) {
    return budget->bytes;
}

void tvs_budget_read_ahead_add(struct tvs_budget *budget, uint64_t bytes) {
    atomic_fetch_add_explicit(&budget->read_ahead_bytes, bytes, memory_order_relaxed);
}

void tvs_budget_read_ahead_sub(struct tvs_budget *budget, uint64_t bytes) {
    atomic_fetch_sub_explicit(&budget->read_ahead_bytes, bytes, memory_order_relaxed);
}

uint64_t tvs_budget_read_ahead_bytes(const struct tvs_budget *budget) {
    return atomic_load_explicit(&budget->read_ahead_bytes, memory_order_relaxed);
}

void tvs_budget_tick(struct tvs_budget *budget, uint64_t now_ns) {
    if (now_ns < budget->trimmed_ns + TRIM_NS)
        return;
    budget->trimmed_ns = now_ns;
    tv_block_pool_trim(budget->pool, budget->bytes / TV_SEGMENT_BYTES / TRIM_KEEP_PART, TRIM_BLOCKS_MAX);
}

bool tvs_budget_contended(struct tvs_budget *budget) {
    return atomic_load_explicit(&budget->waiting, memory_order_relaxed) > 0;
}

bool tvs_budget_try(struct tvs_budget *budget, uint64_t bytes) {
    return !tvs_budget_contended(budget) && tv_block_pool_reserve(budget->pool, bytes);
}

/* Whether the task is to be submitted: somebody waits, and it isn't under way. Under the lock; true: it counts as under way. */
static bool must_serve(struct tvs_budget *budget) {
    if (budget->first == NULL || budget->serving)
        return false;
    budget->serving = true;
    (void)tvs_budget_acquire(budget);
    return true;
}

bool tvs_budget_take(struct tvs_budget *budget, struct tvs_claim *claim, uint64_t bytes) {
    if (tvs_budget_try(budget, bytes))
        return true;
    pthread_mutex_lock(&budget->lock);
    TV_ASSERT(!claim->queued);
    claim->bytes = bytes;
    append(budget, claim);
    /* Something may have been given back between the try and now, by somebody who saw nobody waiting. */
    bool submit = must_serve(budget);
    pthread_mutex_unlock(&budget->lock);
    if (submit)
        tvs_workers_submit(budget->workers, &budget->task);
    budget->pressed(budget->context);
    return false;
}

bool tvs_budget_forget(struct tvs_budget *budget, struct tvs_claim *claim) {
    pthread_mutex_lock(&budget->lock);
    bool found = claim->queued;
    if (found)
        unlink_claim(budget, claim);
    /* The one behind it may want less. */
    bool submit = found && must_serve(budget);
    pthread_mutex_unlock(&budget->lock);
    if (submit)
        tvs_workers_submit(budget->workers, &budget->task);
    return found;
}

void tvs_budget_give(struct tvs_budget *budget, uint64_t bytes) {
    tv_block_pool_unreserve(budget->pool, bytes);
    pthread_mutex_lock(&budget->lock);
    bool submit = must_serve(budget);
    pthread_mutex_unlock(&budget->lock);
    if (submit)
        tvs_workers_submit(budget->workers, &budget->task);
}
