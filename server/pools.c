/* pools.c - see pools.h.
 *
 * A list: there are some dozens at most, and the default pool, which most streams use, is found without it.
 */
#include "pools.h"

#include <string.h>

#define NS_PER_MS UINT64_C(1000000)

struct tvs_pools {
    /* constant */
    struct tvs_pools_parts parts;
    struct tvs_pool *standard; /* the default one: there as long as this is */

    pthread_mutex_t lock;
    /* under the lock */
    struct tvs_pool *first; /* with a reference each; `standard` is the first */
    uint32_t count;
};

static bool is_closing(struct tvs_pool *pool) {
    pthread_mutex_lock(&pool->lock);
    bool closing = pool->closing;
    pthread_mutex_unlock(&pool->lock);
    return closing;
}

/* ---- finding ---- */

/* Under the lock. */
static struct tvs_pool *find(const struct tvs_pools *pools, const char *name) {
    struct tvs_pool *pool = pools->first;
    while (pool != NULL && (strcmp(pool->name, name) != 0 || is_closing(pool)))
        pool = pool->next;
    return pool;
}

static void name_all(const struct tvs_pools *pools, char *text, size_t room) {
    size_t used = 0;
    text[0] = '\0';
    for (struct tvs_pool *pool = pools->first; pool != NULL && used < room; pool = pool->next)
        if (!is_closing(pool))
            used += (size_t)snprintf(text + used, room - used, "%s%s", used > 0 ? ", " : "", pool->name);
}

static struct tvs_pool *find_held(struct tvs_pools *pools, const char *name, bool closing_too, trove_error *error) {
    pthread_mutex_lock(&pools->lock);
    struct tvs_pool *pool = find(pools, name);
    for (struct tvs_pool *at = pools->first; pool == NULL && closing_too && at != NULL; at = at->next)
        if (strcmp(at->name, name) == 0)
            pool = at;
    if (pool != NULL) {
        (void)tvs_pool_acquire_reference(pool);
    } else {
        char known[256];
        name_all(pools, known, sizeof known);
        TV_FAIL(error, NOT_FOUND, "pool \"%.64s\" doesn't exist; this server has: %s", name, known);
    }
    pthread_mutex_unlock(&pools->lock);
    return pool;
}

struct tvs_pool *tvs_pools_find(struct tvs_pools *pools, const char *name, trove_error *error) {
    if (name[0] == '\0' || strcmp(name, TVS_POOL_NAME_DEFAULT) == 0)
        return tvs_pool_acquire_reference(pools->standard);
    return find_held(pools, name, false, error);
}

struct tvs_pool *tvs_pools_find_any(struct tvs_pools *pools, const char *name, trove_error *error) {
    return find_held(pools, name, true, error);
}

size_t tvs_pools_list(struct tvs_pools *pools, struct tvs_pool **list, size_t count_max) {
    size_t count = 0;
    pthread_mutex_lock(&pools->lock);
    for (int closing = 0; closing < 2; closing++)
        for (struct tvs_pool *pool = pools->first; pool != NULL && count < count_max; pool = pool->next)
            if (is_closing(pool) == (closing == 1))
                list[count++] = tvs_pool_acquire_reference(pool);
    pthread_mutex_unlock(&pools->lock);
    return count;
}

void tvs_pools_number(struct tvs_pools *pools) {
    pthread_mutex_lock(&pools->lock);
    for (struct tvs_pool *pool = pools->first; pool != NULL; pool = pool->next) {
        pthread_mutex_lock(&pool->lock);
        tvs_acquire_queue_number(&pool->acquires);
        pthread_mutex_unlock(&pool->lock);
    }
    pthread_mutex_unlock(&pools->lock);
}

uint64_t tvs_pools_streams(struct tvs_pools *pools) {
    uint64_t count = 0;
    pthread_mutex_lock(&pools->lock);
    for (struct tvs_pool *pool = pools->first; pool != NULL; pool = pool->next) {
        pthread_mutex_lock(&pool->lock);
        count += pool->acquires.held;
        pthread_mutex_unlock(&pool->lock);
    }
    pthread_mutex_unlock(&pools->lock);
    return count;
}

/* ---- creation and reload ---- */

/* What a reload makes before it changes anything. */
struct planned {
    struct tvs_pool *existing;
    struct tvs_pool *pool; /* new, where there is none */
    struct tvs_budget *budget;
};

static void drop_plan(struct planned *plan, uint32_t count) {
    for (uint32_t i = 0; i < count; i++) {
        tvs_pool_destroy(plan[i].pool);
        tvs_budget_release(plan[i].budget);
    }
}

/* The memory that a pool is to have, held: what it has, if that has the right size. */
static trove_status plan_budget(struct tvs_pools *pools, const struct tvs_pool_config *config, struct tvs_pool *existing,
                                struct tvs_budget **budget, trove_error *error) {
    uint64_t own_bytes = tvs_pool_own_bytes(&config->limits);
    if (existing != NULL) {
        struct tvs_pool_limits before;
        tvs_pool_terms(existing, &before, budget);
        if (tvs_pool_own_bytes(&before) == own_bytes)
            return TROVE_OK;
        tvs_budget_release(*budget);
        *budget = NULL;
    }
    if (own_bytes > 0)
        return tvs_budget_create(own_bytes, pools->parts.workers, pools->parts.pressed, pools->parts.context, budget, error);
    *budget = tvs_budget_acquire(pools->parts.budget);
    return TROVE_OK;
}

static trove_status plan_one(struct tvs_pools *pools, const struct tvs_pool_config *config, struct planned *planned,
                             trove_error *error) {
    trove_status status = tvs_pool_config_check(config, tvs_budget_bytes(pools->parts.budget), error);
    if (status != TROVE_OK)
        return status;
    planned->existing = find(pools, config->name);
    status = plan_budget(pools, config, planned->existing, &planned->budget, error);
    if (status == TROVE_OK && planned->existing == NULL)
        status = tvs_pool_create(config, planned->budget, pools->parts.workers, pools->parts.timers, &planned->pool, error);
    return status;
}

static bool in_set(const struct tvs_pool_set *set, const char *name) {
    for (uint32_t i = 0; i < set->count; i++)
        if (strcmp(set->pools[i].name, name) == 0)
            return true;
    return false;
}

static void append(struct tvs_pools *pools, struct tvs_pool *pool) {
    struct tvs_pool **at = &pools->first;
    while (*at != NULL)
        at = &(*at)->next;
    *at = pool;
    pools->count++;
}

/* Under the lock; nothing can fail any more. Pools that are to be closed are held and listed for the caller. */
static size_t carry_out(struct tvs_pools *pools, const struct tvs_pool_set *set, struct planned *plan, struct tvs_pool **gone) {
    size_t gone_count = 0;
    for (struct tvs_pool *pool = pools->first; pool != NULL; pool = pool->next)
        if (!in_set(set, pool->name) && !is_closing(pool))
            gone[gone_count++] = tvs_pool_acquire_reference(pool);
    for (uint32_t i = 0; i < set->count; i++) {
        if (plan[i].pool != NULL)
            append(pools, plan[i].pool);
        else
            tvs_pool_set(plan[i].existing, &set->pools[i].limits, plan[i].budget);
        plan[i].pool = NULL;
    }
    return gone_count;
}

trove_status tvs_pools_reload(struct tvs_pools *pools, const struct tvs_pool_set *set, uint32_t drain_ms, trove_error *error) {
    struct planned plan[TVS_POOLS_MAX] = {0};
    struct tvs_pool *gone[TVS_POOLS_MAX];
    size_t gone_count = 0;
    trove_status status = TROVE_OK;
    pthread_mutex_lock(&pools->lock);
    if (pools->count + set->count > TVS_POOLS_HELD_MAX)
        status =
            TV_FAIL(error, RESOURCE_EXHAUSTED,
                    "%u pools are there already, closed ones that still have streams included; try again later", pools->count);
    for (uint32_t i = 0; i < set->count && status == TROVE_OK; i++)
        status = plan_one(pools, &set->pools[i], &plan[i], error);
    if (status == TROVE_OK)
        gone_count = carry_out(pools, set, plan, gone);
    pthread_mutex_unlock(&pools->lock);
    drop_plan(plan, set->count);
    for (size_t i = 0; i < gone_count; i++) {
        trove_error reason;
        TV_FAIL(&reason, UNAVAILABLE, "pool \"%s\" is closing: it was taken out of the server's config; name another one",
                gone[i]->name);
        tvs_pool_close(gone[i], tv_now_ns() + drain_ms * NS_PER_MS, &reason);
        tvs_pool_release_reference(gone[i]);
    }
    return status;
}

trove_status tvs_pools_create(const struct tvs_pool_set *set, const struct tvs_pools_parts *parts, struct tvs_pools **pools_out,
                              trove_error *error) {
    struct tvs_pools *pools = calloc(1, sizeof *pools);
    if (pools == NULL)
        return TV_FAIL(error, RESOURCE_EXHAUSTED, "no memory for pools");
    pools->parts = *parts;
    pthread_mutex_init(&pools->lock, NULL);
    trove_status status = tvs_pools_reload(pools, set, 0, error);
    if (status != TROVE_OK) {
        tvs_pools_destroy(pools);
        return status;
    }
    pools->standard = pools->first;
    *pools_out = pools;
    return TROVE_OK;
}

void tvs_pools_destroy(struct tvs_pools *pools) {
    if (pools == NULL)
        return;
    while (pools->first != NULL) {
        struct tvs_pool *pool = pools->first;
        pools->first = pool->next;
        tvs_pool_destroy(pool);
    }
    pthread_mutex_destroy(&pools->lock);
    free(pools);
}

/* ---- closing ---- */

void tvs_pools_close(struct tvs_pools *pools, const trove_error *reason) {
    struct tvs_pool *list[TVS_POOLS_HELD_MAX];
    size_t count = tvs_pools_list(pools, list, TVS_POOLS_HELD_MAX);
    for (size_t i = 0; i < count; i++) {
        tvs_pool_close(list[i], UINT64_MAX, reason);
        tvs_pool_release_reference(list[i]);
    }
}

/* Closed pools that nobody uses any more. Whoever finds a pool takes its reference under the same lock. */
static struct tvs_pool *unlink_closed(struct tvs_pools *pools) {
    struct tvs_pool *closed = NULL;
    pthread_mutex_lock(&pools->lock);
    for (struct tvs_pool **at = &pools->first->next; *at != NULL;) {
        struct tvs_pool *pool = *at;
        if (!is_closing(pool) || atomic_load_explicit(&pool->references, memory_order_acquire) > 1) {
            at = &pool->next;
            continue;
        }
        *at = pool->next;
        pools->count--;
        pool->next = closed;
        closed = pool;
    }
    pthread_mutex_unlock(&pools->lock);
    return closed;
}

void tvs_pools_tick(struct tvs_pools *pools, uint64_t now_ns, void (*cancel)(void *context, struct tvs_pool *pool),
                    void *context) {
    struct tvs_pool *list[TVS_POOLS_HELD_MAX];
    size_t count = tvs_pools_list(pools, list, TVS_POOLS_HELD_MAX);
    for (size_t i = 0; i < count; i++) {
        if (tvs_pool_tick(list[i], now_ns))
            cancel(context, list[i]);
        tvs_pool_release_reference(list[i]);
    }
    for (struct tvs_pool *pool = unlink_closed(pools); pool != NULL;) {
        struct tvs_pool *next = pool->next;
        tvs_pool_disarm(pool);
        tvs_pool_destroy(pool);
        pool = next;
    }
}
