/* chunks.c - see chunks.h. */
#include "chunks.h"

#include "conn.h"
#include "stream.h"
#include "wait.h"

#include <string.h>

/* NOLINTNEXTLINE(misc-redundant-expression): they are the same number, and needn't be */
_Static_assert(TVC_FRAGMENT_BYTES_MIN <= TV_STAGED_PAYLOAD_BYTES, "troved sends no smaller ones");

static void chunk_released(struct tv_chunk *wire);

trove_status tvc_chunks_create(size_t chunk_bytes, size_t count, bool blocks, struct tvc_chunks **chunks_out,
                               trove_error *error) {
    size_t pieces = chunk_bytes / TV_BLOCK_BYTES + 2; /* a chunk may begin and end inside a block */
    struct tvc_chunks *chunks = calloc(1, sizeof *chunks);
    if (chunks == NULL)
        return TV_FAIL(error, RESOURCE_EXHAUSTED, "no memory for a stream's chunks");
    pthread_mutex_init(&chunks->lock, NULL);
    tvc_cond_init(&chunks->changed);
    chunks->count = chunks->limit = count;
    chunks->chunk_bytes = chunk_bytes;
    chunks->all = calloc(count, sizeof *chunks->all);
    chunks->piece_sums = calloc(count * pieces, sizeof *chunks->piece_sums);
    trove_status status = TROVE_OK;
    if (chunks->all == NULL || chunks->piece_sums == NULL)
        status = TV_FAIL(error, RESOURCE_EXHAUSTED, "no memory for a stream's chunks");
    else if (blocks)
        status = tv_block_pool_create(chunk_bytes, count, &chunks->blocks, error);
    if (status != TROVE_OK) {
        chunks->count = 0;
        tvc_chunks_destroy(chunks);
        return status;
    }
    for (size_t i = count; i-- > 0;) {
        struct tvc_chunk *chunk = &chunks->all[i];
        chunk->pool = chunks;
        chunk->wire.owner = chunk;
        chunk->wire.release = chunk_released;
        chunk->wire.iov = &chunk->iov;
        chunk->wire.iov_count = 1;
        chunk->wire.piece_sums = chunks->piece_sums + i * pieces;
        chunk->next = chunks->free;
        chunks->free = chunk;
    }
    *chunks_out = chunks;
    return TROVE_OK;
}

void tvc_chunks_destroy(struct tvc_chunks *chunks) {
    if (chunks == NULL)
        return;
    TV_ASSERT(chunks->out == 0);
    for (size_t i = 0; i < chunks->count; i++)
        free(chunks->all[i].fragments);
    tv_block_pool_destroy(chunks->blocks);
    free(chunks->piece_sums);
    free(chunks->all);
    pthread_cond_destroy(&chunks->changed);
    pthread_mutex_destroy(&chunks->lock);
    free(chunks);
}

/* Under the lock. */
static struct tvc_chunk *take(struct tvc_chunks *chunks) {
    struct tvc_chunk *chunk = chunks->out < chunks->limit ? chunks->free : NULL;
    if (chunk == NULL)
        return NULL;
    if (chunks->blocks != NULL) {
        chunk->block = tv_block_pool_get(chunks->blocks);
        TV_ASSERT(chunk->block != NULL); /* there are as many blocks as descriptors */
    }
    chunks->free = chunk->next;
    chunks->out++;
    chunks->taken++;
    if (chunks->out > chunks->high_water)
        chunks->high_water = chunks->out;
    return chunk;
}

static void set_up(struct tvc_chunk *chunk, trove_stream *stream) {
    tvc_stream_acquire(stream);
    chunk->stream = stream;
    chunk->next = NULL;
    chunk->fragment_count = 0;
    chunk->told = false;
    chunk->generation = chunk->lost_chunks = chunk->lost_bytes = 0;
    chunk->iov = (struct iovec){chunk->block, 0};
    chunk->wire.final = false;
    atomic_store_explicit(&chunk->wire.references, 1, memory_order_relaxed);
    size_t capacity = chunk->block != NULL ? chunk->pool->chunk_bytes : 0;
    chunk->handle = (trove_chunk){.data = chunk->block, .capacity = capacity};
}

struct tvc_chunk *tvc_chunks_get(struct tvc_chunks *chunks, trove_stream *stream) {
    pthread_mutex_lock(&chunks->lock);
    struct tvc_chunk *chunk = take(chunks);
    pthread_mutex_unlock(&chunks->lock);
    if (chunk != NULL)
        set_up(chunk, stream);
    return chunk;
}

trove_status tvc_chunks_wait(struct tvc_chunks *chunks, trove_stream *stream, uint64_t deadline_ns, struct tvc_chunk **chunk_out,
                             trove_error *error) {
    struct tvc_chunk *chunk = NULL;
    bool in_time = true;
    pthread_mutex_lock(&chunks->lock);
    while (!chunks->ended && (chunk = take(chunks)) == NULL && in_time)
        in_time = tvc_cond_wait(&chunks->changed, &chunks->lock, deadline_ns);
    trove_status status = TROVE_OK;
    if (chunk == NULL)
        status = chunks->ended ? tv_error_copy(error, &chunks->why)
                               : TV_FAIL(error, DEADLINE_EXCEEDED, "all %zu chunks are in use: the other end didn't keep up",
                                         chunks->limit);
    pthread_mutex_unlock(&chunks->lock);
    if (chunk == NULL)
        return status;
    set_up(chunk, stream);
    *chunk_out = chunk;
    return TROVE_OK;
}

/* The last reference is gone; the client's lock may be held. */
static void chunk_released(struct tv_chunk *wire) {
    struct tvc_chunk *chunk = tvc_chunk_of_wire(wire);
    struct tvc_chunks *chunks = chunk->pool;
    trove_stream *stream = chunk->stream;
    pthread_mutex_lock(&chunks->lock);
    if (chunk->block != NULL)
        tv_block_pool_put(chunks->blocks, chunk->block);
    chunk->block = NULL;
    chunk->next = chunks->free;
    chunks->free = chunk;
    chunks->out--;
    pthread_cond_broadcast(&chunks->changed);
    pthread_mutex_unlock(&chunks->lock);
    if (chunks == stream->upload.half.chunks)
        tvc_spill_chunk_free(stream);
    tvc_stream_release(stream);
}

void tvc_chunks_end(struct tvc_chunks *chunks, const trove_error *why) {
    pthread_mutex_lock(&chunks->lock);
    chunks->ended = true;
    chunks->why = *why;
    pthread_cond_broadcast(&chunks->changed);
    pthread_mutex_unlock(&chunks->lock);
}

bool tvc_chunks_wait_idle(struct tvc_chunks *chunks, uint64_t deadline_ns) {
    bool in_time = true;
    pthread_mutex_lock(&chunks->lock);
    while (chunks->out > 0 && in_time)
        in_time = tvc_cond_wait(&chunks->changed, &chunks->lock, deadline_ns);
    bool idle = chunks->out == 0;
    pthread_mutex_unlock(&chunks->lock);
    return idle;
}

trove_status tvc_chunk_add_fragment(struct tvc_chunk *chunk, const struct tvc_fragment *fragment, trove_error *error) {
    if (chunk->fragment_count == chunk->fragment_capacity) {
        uint32_t capacity = chunk->fragment_capacity == 0 ? 4 : chunk->fragment_capacity * 2;
        if (chunk->fragment_capacity == TVC_FRAGMENTS_MAX)
            return TV_FAIL(error, RESOURCE_EXHAUSTED, "a chunk came in more than %u frames", TVC_FRAGMENTS_MAX);
        if (capacity > TVC_FRAGMENTS_MAX)
            capacity = TVC_FRAGMENTS_MAX;
        struct tvc_fragment *larger = realloc(chunk->fragments, capacity * sizeof *larger);
        if (larger == NULL)
            return TV_FAIL(error, RESOURCE_EXHAUSTED, "no memory for a chunk's fragments");
        chunk->fragments = larger;
        chunk->fragment_capacity = capacity;
    }
    chunk->fragments[chunk->fragment_count++] = *fragment;
    return TROVE_OK;
}

void tvc_chunks_reset(struct tvc_chunks *chunks, size_t limit) {
    pthread_mutex_lock(&chunks->lock);
    TV_ASSERT(chunks->out == 0 && limit <= chunks->count);
    chunks->limit = limit;
    chunks->high_water = 0;
    chunks->taken = 0;
    chunks->ended = false;
    pthread_mutex_unlock(&chunks->lock);
}

uint64_t tvc_chunk_cost(uint64_t chunk_bytes) {
    return tv_block_rounded(chunk_bytes);
}

uint64_t tvc_chunks_cost(const struct tvc_chunks *chunks) {
    return chunks->count * tvc_chunk_cost(chunks->chunk_bytes);
}

uint64_t tvc_chunks_created(const struct tvc_chunks *chunks) {
    struct tv_block_stats stats = {0};
    if (chunks->blocks != NULL)
        tv_block_pool_stats(chunks->blocks, &stats);
    return stats.created;
}

void tvc_chunks_stats(struct tvc_chunks *chunks, trove_chunk_stats *stats) {
    pthread_mutex_lock(&chunks->lock);
    *stats = (trove_chunk_stats){
        .chunk_bytes = chunks->chunk_bytes,
        .chunks = chunks->limit,
        .allocated = chunks->taken,
        .released = chunks->taken - chunks->out,
        .in_use = chunks->out,
        .high_water = chunks->high_water,
    };
    pthread_mutex_unlock(&chunks->lock);
    stats->buffers = tvc_chunks_created(chunks);
}
