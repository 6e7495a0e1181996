/* budget.h - memory for what moves, shared out fairly: the server's, or a stream pool's own.
 *
 * Everything that moves is charged to a pool of segments: credit that was granted, chunks that wait for the disk, read-ahead of
 * downloads, small objects on their way. Whoever needs some takes it if it fits and nobody waits; otherwise it queues and is
 * served in turn, so that under pressure every stream gets one chunk's worth after the other.
 * Threads: any; one lock inside. `granted` is called on a worker with no lock held.
 */
#ifndef TVS_BUDGET_H
#define TVS_BUDGET_H

#include "block_pool.h"
#include "worker.h"

#include <stdatomic.h>

struct tvs_budget;

/* Embedded in what wants memory; zeroed but for `granted`. */
struct tvs_claim {
    struct tvs_claim *next; /* both under the budget's lock, where it is queued */
    struct tvs_claim *previous;
    uint64_t bytes;
    bool queued;                              /* under the budget's lock: the owner has to know by itself whether it waits */
    void (*granted)(struct tvs_claim *claim); /* `bytes` have been reserved for it; it may be used again */
};

/* With one hold, the caller's. `pressed` is called whenever somebody begins to wait: those who hold what they don't use may be
 * asked for it. It must not block, and is called under the locks of the one who waits. */
trove_status tvs_budget_create(uint64_t bytes, struct tvs_workers *workers, void (*pressed)(void *context), void *context,
                               struct tvs_budget **budget, trove_error *error);
/* A pool's budget may be replaced while streams still use it: it lives as long as somebody holds it. */
struct tvs_budget *tvs_budget_acquire(struct tvs_budget *budget);
/* The last one frees it: nobody may wait any more, and all must have been given back. NULL is allowed. */
void tvs_budget_release(struct tvs_budget *budget);

/* Where the segments come from; claimed blocks are taken from and given back to it directly. */
struct tv_block_pool *tvs_budget_pool(struct tvs_budget *budget);
uint64_t tvs_budget_bytes(const struct tvs_budget *budget);
/* What of it is in the hands of downloads; they count it themselves. */
void tvs_budget_read_ahead_add(struct tvs_budget *budget, uint64_t bytes);
void tvs_budget_read_ahead_sub(struct tvs_budget *budget, uint64_t bytes);
uint64_t tvs_budget_read_ahead_bytes(const struct tvs_budget *budget);

/* Once a second, or more often, on the timer's thread: memory that wasn't used for some seconds goes back to the system. */
void tvs_budget_tick(struct tvs_budget *budget, uint64_t now_ns);

/* Reserves now or not at all. */
bool tvs_budget_try(struct tvs_budget *budget, uint64_t bytes);
/* Reserves now (true), or queues the claim, which must not wait already: from here until `granted` has been called. */
bool tvs_budget_take(struct tvs_budget *budget, struct tvs_claim *claim, uint64_t bytes);
/* Takes a claim out of the queue; false if it wasn't there (`granted` may be running). */
bool tvs_budget_forget(struct tvs_budget *budget, struct tvs_claim *claim);
/* Gives back what was reserved. Calls nobody: those who wait are served by a worker. */
void tvs_budget_give(struct tvs_budget *budget, uint64_t bytes);
/* Whether anybody waits: then what isn't needed now should be given back rather than kept. */
bool tvs_budget_contended(struct tvs_budget *budget);

#endif
