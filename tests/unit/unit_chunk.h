/* unit_chunk.h - chunks for tests: bytes that tell their object offset, in memory cut as a pool would cut it, counted.
 */
#ifndef TROVE_TESTS_UNIT_CHUNK_H
#define TROVE_TESTS_UNIT_CHUNK_H

#include "chunk.h"
#include "unit.h"

static atomic_int unit_chunks_alive;

/* The byte that every test object has at `offset`. */
static inline uint8_t unit_byte_at(uint64_t offset) {
    return (uint8_t)((offset * UINT64_C(0x9E3779B97F4A7C15)) >> 56);
}

static inline void unit_chunk_free(struct tv_chunk *chunk) {
    for (uint32_t i = 0; i < chunk->iov_count; i++)
        free(chunk->iov[i].iov_base);
    free(chunk->iov);
    free(chunk->piece_sums);
    free(chunk);
    atomic_fetch_sub(&unit_chunks_alive, 1);
}

/* A chunk with one reference. Its memory comes in blocks of `segment_bytes`, the first of them `first_bytes` long. */
static inline struct tv_chunk *unit_chunk_new(uint64_t bytes, uint64_t segment_bytes, uint64_t first_bytes) {
    struct tv_chunk *chunk = calloc(1, sizeof *chunk);
    assert_non_null(chunk);
    chunk->bytes = bytes;
    chunk->release = unit_chunk_free;
    atomic_init(&chunk->references, 1);
    chunk->iov = calloc(bytes / segment_bytes + 3, sizeof *chunk->iov);
    chunk->piece_sums = calloc(bytes / TV_BLOCK_BYTES + 2, sizeof *chunk->piece_sums);
    uint64_t here = first_bytes;
    for (uint64_t left = bytes; left > 0; left -= here, here = segment_bytes) {
        if (here > left)
            here = left;
        chunk->iov[chunk->iov_count++] = (struct iovec){malloc(here), here};
    }
    atomic_fetch_add(&unit_chunks_alive, 1);
    return chunk;
}

/* Fills in and hashes the bytes, once the offset is known. */
static inline void unit_chunk_fill(struct tv_chunk *chunk) {
    uint64_t offset = chunk->offset;
    for (uint32_t i = 0; i < chunk->iov_count; i++)
        for (size_t j = 0; j < chunk->iov[i].iov_len; j++)
            ((uint8_t *)chunk->iov[i].iov_base)[j] = unit_byte_at(offset++);
    tv_chunk_hash(chunk);
}

/* That `data` holds the object's bytes from its offset on, and their sums. */
static inline void unit_data_check(const struct tv_data *data) {
    uint64_t offset = data->offset;
    for (uint32_t i = 0; i < data->iov_count; i++)
        for (size_t j = 0; j < data->iov[i].iov_len; j++)
            if (((const uint8_t *)data->iov[i].iov_base)[j] != unit_byte_at(offset++))
                fail_msg("the byte at %llu differs", (unsigned long long)(offset - 1));
    assert_int_equal(offset, data->offset + data->bytes);
    struct tv_data again = *data;
    tv_data_hash(&again);
    assert_int_equal(data->piece_count, tv_data_piece_count(data->offset, data->bytes));
    assert_int_equal(data->piece_count, again.piece_count);
    for (uint32_t i = 0; i < data->piece_count; i++)
        assert_int_equal(data->piece_sums[i], again.piece_sums[i]);
}

#endif
