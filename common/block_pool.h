/* block_pool.h - memory for chunks: blocks of one size under one ceiling, taken and given back without allocating.
 *
 * A pool is made of `blocks_max` blocks of `block_bytes` each. Address space is reserved at creation, memory is touched when a
 * block is first used and then kept, last used first reused (warm), until the owner trims the pool. The server has one pool of
 * 256 KiB segments for everything that its budget covers; each client stream has one whose blocks are as large as its chunks.
 * Two steps, so that credit can stand for memory: `reserve` counts bytes that may be claimed later, `get` claims a block.
 * Threads: all functions from any thread; one lock inside, held for a few instructions. Blocks are page-aligned.
 */
#ifndef TV_BLOCK_POOL_H
#define TV_BLOCK_POOL_H

#include "status.h"

#include <stddef.h>

struct tv_block_pool;

struct tv_block_stats {
    uint64_t allocated; /* blocks handed out, ever */
    uint64_t released;  /* blocks given back, ever */
    uint64_t in_use;
    uint64_t high_water; /* most that were in use at once */
    uint64_t created;    /* blocks ever touched: stands still in the steady state */
    uint64_t dry;        /* of them, those whose memory was given back to the system, and that weren't used since */
    uint64_t blocks_max;
    uint64_t block_bytes;
    uint64_t reserved_bytes; /* by tv_block_pool_reserve */
};

/* block_bytes is rounded up to whole pages. Errors: RESOURCE_EXHAUSTED (address space). */
TROVE_WARN_UNUSED trove_status tv_block_pool_create(size_t block_bytes, size_t blocks_max, struct tv_block_pool **pool,
                                                    trove_error *error);
/* What a block of so many bytes takes. */
size_t tv_block_rounded(size_t block_bytes);
/* All blocks must have been given back. NULL is allowed. */
void tv_block_pool_destroy(struct tv_block_pool *pool);

/* Claims a block, with one holder; never waits. NULL when blocks_max are in use. */
void *tv_block_pool_get(struct tv_block_pool *pool);
/* One holder less; the last one's put gives the block back. */
void tv_block_pool_put(struct tv_block_pool *pool, void *block);

/* Counts `bytes` against the pool's size; false, and nothing counted, if they don't fit. */
bool tv_block_pool_reserve(struct tv_block_pool *pool, uint64_t bytes);
void tv_block_pool_unreserve(struct tv_block_pool *pool, uint64_t bytes);

/* Another holder of a block: it is given back when each has put it. */
void tv_block_pool_hold(struct tv_block_pool *pool, void *block);

/* Gives memory back to the system: of at most `most` blocks that were free ever since the last call, as long as more than `keep`
 * have some. Takes some 10 us for each, in which the pool's other users may have to wait. */
void tv_block_pool_trim(struct tv_block_pool *pool, size_t keep, size_t most);

void tv_block_pool_stats(struct tv_block_pool *pool, struct tv_block_stats *stats);

#endif
