/* chunks.h - a stream's chunk pool: the chunks that the program fills and reads, each with a block of memory.
 *
 * All descriptors are made at once, blocks are touched when they are first used; from then on taking and giving back allocates
 * nothing. A chunk that is out holds a reference of its stream, so that pool and stream outlive what the transport still reads.
 * A pool without blocks is for uploads straight out of the program's memory.
 *
 * Threads: any; the lock in here is a leaf (below the client's), held for a few instructions.
 */
#ifndef TVC_CHUNKS_H
#define TVC_CHUNKS_H

#include "block_pool.h"
#include "bounds.h"
#include "chunk.h"

#include <pthread.h>

struct tvc_chunk;

struct tvc_chunks {
    /* constant */
    struct tv_block_pool *blocks; /* NULL: the bytes are the program's */
    struct tvc_chunk *all;
    uint64_t *piece_sums;
    size_t count;
    size_t chunk_bytes;

    /* chunk_cache.h: under the client's lock */
    struct tvc_chunks *next;
    uint64_t idle_since_ns;

    pthread_mutex_t lock;
    pthread_cond_t changed;
    /* under the lock */
    struct tvc_chunk *free; /* last used first */
    size_t limit; /* so many may be out; fewer than there are where the stream has got a larger pool than it asked for */
    size_t out;
    size_t high_water; /* most that were out at once */
    uint64_t taken;    /* in all */
    bool ended;
    trove_error why;
};

/* A piece of a chunk as it came in a frame, with what the sender says about it. */
struct tvc_fragment {
    uint64_t at; /* in the chunk */
    uint64_t bytes;
    uint64_t checksum;
    bool has_checksum;
};

/* Above this many fragments a chunk is refused: the largest one in frames of the size that troved goes down to where its memory
 * is short. Frames end where a block does, so a chunk that begins inside one has one more. */
#define TVC_FRAGMENT_BYTES_MIN (4 * TV_KIB)
#define TVC_FRAGMENTS_MAX      ((uint32_t)(TV_CHUNK_BYTES_MAX / TVC_FRAGMENT_BYTES_MIN) + 1)

struct tvc_chunk {
    trove_chunk handle; /* what the program sees; comes first */
    struct tv_chunk wire;
    struct iovec iov;

    /* constant while it is out */
    struct tvc_chunks *pool;
    trove_stream *stream;
    void *block; /* NULL: the bytes are the program's */

    struct tvc_chunk *next; /* in the free list (the pool's lock), or in one of the stream's (the client's lock) */

    bool told; /* upload: the program knows that it was acknowledged; under the client's lock */

    /* download: under the client's lock until it is ready, then the reader's */
    struct tvc_fragment *fragments;
    uint32_t fragment_count;
    uint32_t fragment_capacity; /* kept from one use to the next */
    uint64_t call_id;           /* under which it came, */
    uint64_t generation;        /* and after which seek */
    uint64_t lost_chunks;       /* that a lossy sender has lost right before it, and their bytes */
    uint64_t lost_bytes;
    uint64_t arrived_ns;
};

/* `count` chunks of `chunk_bytes`; `blocks` tells whether they have memory. Errors: RESOURCE_EXHAUSTED. */
trove_status tvc_chunks_create(size_t chunk_bytes, size_t count, bool blocks, struct tvc_chunks **chunks, trove_error *error);
/* All chunks must have been given back. NULL is allowed. */
void tvc_chunks_destroy(struct tvc_chunks *chunks);

/* A free chunk with one reference, for `stream`, of which it takes a reference; NULL where there is none. Never blocks. */
struct tvc_chunk *tvc_chunks_get(struct tvc_chunks *chunks, trove_stream *stream);
/* Waits for one. Errors: DEADLINE_EXCEEDED, and what tvc_chunks_end was given. */
trove_status tvc_chunks_wait(struct tvc_chunks *chunks, trove_stream *stream, uint64_t deadline_ns, struct tvc_chunk **chunk,
                             trove_error *error);
/* The stream is over: waiting for a chunk ends with this error, now and later. */
void tvc_chunks_end(struct tvc_chunks *chunks, const trove_error *why);

/* Waits until no chunk is out. False: the deadline has passed. */
bool tvc_chunks_wait_idle(struct tvc_chunks *chunks, uint64_t deadline_ns);

/* Remembers a fragment. Errors: RESOURCE_EXHAUSTED. */
trove_status tvc_chunk_add_fragment(struct tvc_chunk *chunk, const struct tvc_fragment *fragment, trove_error *error);

/* For a next stream, which needs `limit` of them; no chunk may be out. */
void tvc_chunks_reset(struct tvc_chunks *chunks, size_t limit);

/* Memory that a chunk's bytes take: whole pages. What describes chunks isn't counted. */
uint64_t tvc_chunk_cost(uint64_t chunk_bytes);
/* All chunks' cost. */
uint64_t tvc_chunks_cost(const struct tvc_chunks *chunks);
/* Blocks that were ever touched. */
uint64_t tvc_chunks_created(const struct tvc_chunks *chunks);
/* All of it since the stream has the pool, but for the buffers. */
void tvc_chunks_stats(struct tvc_chunks *chunks, trove_chunk_stats *stats);

static inline struct tvc_chunk *tvc_chunk_of_handle(trove_chunk *handle) {
    return (struct tvc_chunk *)handle;
}

static inline struct tvc_chunk *tvc_chunk_of_wire(const struct tv_chunk *wire) {
    return wire->owner;
}

#endif
