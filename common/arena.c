/* arena.c - see arena.h.
 *
 * A use bumps through `memory`; what doesn't fit any more goes to overflow blocks, and the next use finds `memory` large enough.
 * So a connection whose frames look alike stops allocating after its first few, and one that only ever sees small headers keeps
 * a kilobyte. (Rejected: bytes_max for every connection from its start: 128 KiB each for headers of 60 bytes.)
 */
#include "arena.h"

#include "status.h"

#include <stdlib.h>

/* What any C object may need. */
#define ALIGNMENT    _Alignof(max_align_t)
#define MEMORY_MIN   ((size_t)1024)
#define OVERFLOW_MIN ((size_t)4096)

struct tv_arena_block {
    struct tv_arena_block *next;
    size_t used;
    size_t capacity;
    max_align_t memory[];
};

static void *arena_allocator_alloc(void *arena, size_t bytes) {
    return tv_arena_alloc(arena, bytes);
}

/* Everything is freed at once by a reset. */
static void arena_allocator_free(void *arena, void *memory) {
    (void)arena;
    (void)memory;
}

void tv_arena_init(struct tv_arena *arena, size_t bytes_max) {
    *arena = (struct tv_arena){
        .allocator = {arena_allocator_alloc, arena_allocator_free, arena},
        .bytes_max = bytes_max,
    };
}

static void free_overflow(struct tv_arena *arena) {
    while (arena->overflow != NULL) {
        struct tv_arena_block *block = arena->overflow;
        arena->overflow = block->next;
        free(block);
    }
}

void tv_arena_fini(struct tv_arena *arena) {
    free_overflow(arena);
    free(arena->memory);
    arena->memory = NULL;
    arena->capacity = 0;
    arena->used = 0;
    arena->wanted = 0;
    arena->out_of_memory = false;
}

/* Doubles until the last use would have fitted. Without memory for that, the arena goes on with overflow blocks. */
static void grow(struct tv_arena *arena) {
    size_t capacity = arena->capacity;
    while (capacity < arena->wanted)
        capacity *= 2;
    if (capacity > arena->bytes_max)
        capacity = arena->bytes_max;
    char *memory = malloc(capacity);
    if (memory == NULL)
        return;
    free(arena->memory);
    arena->memory = memory;
    arena->capacity = capacity;
}

void tv_arena_reset(struct tv_arena *arena) {
    if (arena->overflow != NULL) {
        free_overflow(arena);
        grow(arena);
    }
    arena->used = 0;
    arena->wanted = 0;
    arena->out_of_memory = false;
}

static void *alloc_from_overflow(struct tv_arena *arena, size_t bytes) {
    struct tv_arena_block *block = arena->overflow;
    if (block == NULL || block->capacity - block->used < bytes) {
        size_t capacity = bytes > OVERFLOW_MIN ? bytes : OVERFLOW_MIN;
        block = malloc(sizeof *block + capacity);
        if (block == NULL) {
            arena->out_of_memory = true;
            return NULL;
        }
        block->next = arena->overflow;
        block->used = 0;
        block->capacity = capacity;
        arena->overflow = block;
    }
    void *memory = (char *)block->memory + block->used;
    block->used += bytes;
    return memory;
}

void *tv_arena_alloc(struct tv_arena *arena, size_t bytes) {
    if (bytes > arena->bytes_max) {
        arena->wanted = arena->bytes_max + 1;
        return NULL;
    }
    bytes = bytes == 0 ? ALIGNMENT : (bytes + ALIGNMENT - 1) & ~(ALIGNMENT - 1);
    if (arena->wanted > arena->bytes_max || bytes > arena->bytes_max - arena->wanted) {
        arena->wanted = arena->bytes_max + 1;
        return NULL;
    }
    if (arena->memory == NULL) {
        arena->memory = malloc(MEMORY_MIN);
        if (arena->memory == NULL) {
            arena->out_of_memory = true;
            return NULL;
        }
        arena->capacity = MEMORY_MIN;
    }
    arena->wanted += bytes;
    if (arena->capacity - arena->used < bytes)
        return alloc_from_overflow(arena, bytes);
    void *memory = arena->memory + arena->used;
    arena->used += bytes;
    return memory;
}
