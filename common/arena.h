/* arena.h - memory for unpacking one message, a frame's header or a request or answer: a bump allocator with a ceiling.
 *
 * protobuf-c asks its allocator once for each submessage, string and array; from an arena that costs nothing and is freed in one
 * step. The ceiling is what makes it safe: 200 KB of cleverly chosen bytes unpack to 15 MB, so beyond it the arena returns NULL
 * and unpacking fails cleanly. One connection, one thread at a time.
 */
#ifndef TV_ARENA_H
#define TV_ARENA_H

#include <protobuf-c/protobuf-c.h>
#include <stdbool.h>
#include <stddef.h>

struct tv_arena {
    ProtobufCAllocator allocator; /* hand &arena->allocator to unpack */
    char *memory;
    size_t used;
    size_t capacity; /* of `memory`: small at first, grown on demand up to bytes_max between uses */
    size_t bytes_max;
    size_t wanted;                   /* what the last use would have needed; above bytes_max: it met the ceiling */
    bool out_of_memory;              /* the last use got NULL for another reason than the ceiling */
    struct tv_arena_block *overflow; /* a use that outgrew `memory` */
};

/* Allocates nothing yet. */
void tv_arena_init(struct tv_arena *arena, size_t bytes_max);
void tv_arena_fini(struct tv_arena *arena);
/* Frees all that was given out. */
void tv_arena_reset(struct tv_arena *arena);
/* NULL: `wanted` and `out_of_memory` tell why. */
void *tv_arena_alloc(struct tv_arena *arena, size_t bytes);

#endif
