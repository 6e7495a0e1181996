/* block_pool.c - see block_pool.h.
 *
 * One mapping of address space; the kernel gives memory when a block is first written. Free blocks are a stack of indexes, so the
 * warmest is reused first, what was never needed is never touched, and what isn't needed any more lies at the bottom. (Rejected:
 * malloc for each block: with 256 KiB it maps and unmaps, and each first touch costs more than a copy of the bytes.)
 * Under AddressSanitizer free blocks are poisoned, so that I/O into memory that was given back is seen.
 */
#include "block_pool.h"

#include <pthread.h>
#include <sanitizer/asan_interface.h>
#include <sys/mman.h>
#include <unistd.h>

struct tv_block_pool {
    /* constant */
    char *memory;
    size_t block_bytes;
    size_t blocks_max;
    uint64_t bytes; /* of the whole pool */

    pthread_mutex_t lock;
    /* under the lock */
    uint32_t *free_blocks; /* a stack of indexes below `created` */
    size_t free_count;
    size_t dry_count;  /* so many at the bottom of the stack have no memory */
    size_t idle_count; /* so many at the bottom weren't used since the last trim */
    uint32_t *holds;   /* of each block; 0: free */
    size_t created;    /* blocks from here on were never handed out */
    uint64_t allocated;
    uint64_t released;
    uint64_t high_water;
    uint64_t reserved_bytes;
};

static trove_status no_address_space(size_t block_bytes, size_t blocks_max, trove_error *error) {
    return TV_FAIL(error, RESOURCE_EXHAUSTED,
                   "no address space for %zu blocks of %zu bytes; lower the memory budget or raise the limit of "
                   "address space (ulimit -v, vm.overcommit_memory)",
                   blocks_max, block_bytes);
}

size_t tv_block_rounded(size_t block_bytes) {
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    size_t missing = (page - block_bytes % page) % page;
    return block_bytes <= SIZE_MAX - missing ? block_bytes + missing : SIZE_MAX;
}

trove_status tv_block_pool_create(size_t block_bytes, size_t blocks_max, struct tv_block_pool **pool, trove_error *error) {
    TV_ASSERT(block_bytes > 0 && blocks_max > 0);
    size_t rounded = tv_block_rounded(block_bytes);
    size_t bytes;
    if (rounded == SIZE_MAX || blocks_max > UINT32_MAX || __builtin_mul_overflow(rounded, blocks_max, &bytes))
        return no_address_space(rounded, blocks_max, error);
    struct tv_block_pool *made = calloc(1, sizeof *made);
    if (made == NULL)
        return no_address_space(rounded, blocks_max, error);
    made->block_bytes = rounded;
    made->blocks_max = blocks_max;
    made->bytes = bytes;
    made->free_blocks = calloc(blocks_max, sizeof *made->free_blocks);
    made->holds = calloc(blocks_max, sizeof *made->holds);
    void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory != MAP_FAILED)
        made->memory = memory;
    if (made->free_blocks == NULL || made->holds == NULL || made->memory == NULL) {
        if (made->memory != NULL)
            munmap(made->memory, bytes);
        free(made->free_blocks);
        free(made->holds);
        free(made);
        return no_address_space(rounded, blocks_max, error);
    }
    pthread_mutex_init(&made->lock, NULL);
    *pool = made;
    return TROVE_OK;
}

void tv_block_pool_destroy(struct tv_block_pool *pool) {
    if (pool == NULL)
        return;
    TV_ASSERT(pool->allocated == pool->released);
    ASAN_UNPOISON_MEMORY_REGION(pool->memory, pool->created * pool->block_bytes);
    munmap(pool->memory, pool->bytes);
    pthread_mutex_destroy(&pool->lock);
    free(pool->free_blocks);
    free(pool->holds);
    free(pool);
}

static size_t least(size_t a, size_t b) {
    return a < b ? a : b;
}

void *tv_block_pool_get(struct tv_block_pool *pool) {
    char *block = NULL;
    pthread_mutex_lock(&pool->lock);
    if (pool->free_count > 0 || pool->created < pool->blocks_max) {
        size_t index = pool->free_count > 0 ? pool->free_blocks[--pool->free_count] : pool->created++;
        pool->dry_count = least(pool->dry_count, pool->free_count);
        pool->idle_count = least(pool->idle_count, pool->free_count);
        pool->holds[index] = 1;
        pool->allocated++;
        uint64_t in_use = pool->allocated - pool->released;
        if (in_use > pool->high_water)
            pool->high_water = in_use;
        block = pool->memory + index * pool->block_bytes;
    }
    pthread_mutex_unlock(&pool->lock);
    if (block != NULL)
        ASAN_UNPOISON_MEMORY_REGION(block, pool->block_bytes);
    return block;
}

/* The lock is held. A block that isn't handed out is our own mistake: given back twice, or none of this pool. */
static size_t index_in_use(const struct tv_block_pool *pool, const void *block) {
    TV_ASSERT((const char *)block >= pool->memory);
    size_t at = (size_t)((const char *)block - pool->memory);
    size_t index = at / pool->block_bytes;
    TV_ASSERT(at % pool->block_bytes == 0 && index < pool->created && pool->holds[index] > 0);
    return index;
}

void tv_block_pool_put(struct tv_block_pool *pool, void *block) {
    pthread_mutex_lock(&pool->lock);
    size_t index = index_in_use(pool, block);
    if (--pool->holds[index] == 0) {
        ASAN_POISON_MEMORY_REGION(block, pool->block_bytes);
        pool->free_blocks[pool->free_count++] = (uint32_t)index;
        pool->released++;
    }
    pthread_mutex_unlock(&pool->lock);
}

void tv_block_pool_hold(struct tv_block_pool *pool, void *block) {
    pthread_mutex_lock(&pool->lock);
    size_t index = index_in_use(pool, block);
    TV_ASSERT(pool->holds[index] < UINT32_MAX);
    pool->holds[index]++;
    pthread_mutex_unlock(&pool->lock);
}

/* One at a time: the lock is held for a call into the kernel. */
static bool dry_one(struct tv_block_pool *pool, size_t keep) {
    pthread_mutex_lock(&pool->lock);
    bool more = pool->dry_count < pool->idle_count && pool->created - pool->dry_count > keep;
    if (more) {
        char *block = pool->memory + pool->free_blocks[pool->dry_count] * pool->block_bytes;
        (void)madvise(block, pool->block_bytes, MADV_DONTNEED); /* at worst it stays */
        pool->dry_count++;
    }
    pthread_mutex_unlock(&pool->lock);
    return more;
}

void tv_block_pool_trim(struct tv_block_pool *pool, size_t keep, size_t most) {
    while (most > 0 && dry_one(pool, keep))
        most--;
    pthread_mutex_lock(&pool->lock);
    pool->idle_count = pool->free_count;
    pthread_mutex_unlock(&pool->lock);
}

bool tv_block_pool_reserve(struct tv_block_pool *pool, uint64_t bytes) {
    pthread_mutex_lock(&pool->lock);
    bool fits = bytes <= pool->bytes - pool->reserved_bytes;
    if (fits)
        pool->reserved_bytes += bytes;
    pthread_mutex_unlock(&pool->lock);
    return fits;
}

void tv_block_pool_unreserve(struct tv_block_pool *pool, uint64_t bytes) {
    pthread_mutex_lock(&pool->lock);
    TV_ASSERT(bytes <= pool->reserved_bytes);
    pool->reserved_bytes -= bytes;
    pthread_mutex_unlock(&pool->lock);
}

void tv_block_pool_stats(struct tv_block_pool *pool, struct tv_block_stats *stats) {
    pthread_mutex_lock(&pool->lock);
    *stats = (struct tv_block_stats){
        .allocated = pool->allocated,
        .released = pool->released,
        .in_use = pool->allocated - pool->released,
        .high_water = pool->high_water,
        .created = pool->created,
        .dry = pool->dry_count,
        .blocks_max = pool->blocks_max,
        .block_bytes = pool->block_bytes,
        .reserved_bytes = pool->reserved_bytes,
    };
    pthread_mutex_unlock(&pool->lock);
}
