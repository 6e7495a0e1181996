/* pools.h - the server's stream pools by name: the default one, those of the config, and closed ones that still have streams.
 *
 * Threads: any; one lock, which nests inside a session's and outside a pool's. A pool that is found is held.
 */
#ifndef TVS_POOLS_H
#define TVS_POOLS_H

#include "pool.h"

/* Pools that there may be at once, those included that are closed and still have streams. */
#define TVS_POOLS_HELD_MAX (4 * TVS_POOLS_MAX)

struct tvs_pools;

/* What the config says of all pools: the default one first. */
struct tvs_pool_set {
    uint32_t count;
    struct tvs_pool_config pools[TVS_POOLS_MAX];
};

/* What pools are made with; all of it lives longer. */
struct tvs_pools_parts {
    struct tvs_budget *budget; /* the server's, for pools without memory of their own */
    struct tvs_workers *workers;
    struct tv_timers *timers;
    void (*pressed)(void *context); /* see tvs_budget_create */
    void *context;
};

/* Errors: INVALID_ARGUMENT (limits that don't go together), RESOURCE_EXHAUSTED. */
trove_status tvs_pools_create(const struct tvs_pool_set *set, const struct tvs_pools_parts *parts, struct tvs_pools **pools,
                              trove_error *error);
/* Timers and workers have ended, and no stream is left. NULL is allowed. */
void tvs_pools_destroy(struct tvs_pools *pools);

/* The pool of that name that takes streams ("" is the default one); to be given back by tvs_pool_release_reference. NULL with
 * NOT_FOUND, naming those that there are. */
struct tvs_pool *tvs_pools_find(struct tvs_pools *pools, const char *name, trove_error *error);
/* The same for who only looks: one that is closing will do, where no other has the name. */
struct tvs_pool *tvs_pools_find_any(struct tvs_pools *pools, const char *name, trove_error *error);
/* The first so many, held: the default one first, then as the config has them, closing ones last. Returns how many. */
size_t tvs_pools_list(struct tvs_pools *pools, struct tvs_pool **list, size_t count_max);

/* Numbers all that wait for a place, see acquire_queue.h. */
void tvs_pools_number(struct tvs_pools *pools);
/* Streams that have a place, in all pools. */
uint64_t tvs_pools_streams(struct tvs_pools *pools);

/* Takes over a new set: limits change for what comes, new pools appear, one that isn't in it any more is closed, and what is
 * still open in it after drain_ms is cancelled. On failure nothing has changed. Errors as above. */
trove_status tvs_pools_reload(struct tvs_pools *pools, const struct tvs_pool_set *set, uint32_t drain_ms, trove_error *error);

/* No stream gets a place any more; those that wait are told. Again does no harm. */
void tvs_pools_close(struct tvs_pools *pools, const trove_error *reason);

/* Once a second, on the timer's thread: deadlines, closed pools. `cancel` is called for a pool whose streams are to be
 * cancelled. */
void tvs_pools_tick(struct tvs_pools *pools, uint64_t now_ns, void (*cancel)(void *context, struct tvs_pool *pool),
                    void *context);

#endif
