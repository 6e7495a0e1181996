/* chunk.c - see chunk.h. Pure; the caller's thread.
 *
 * A chunk is hashed once, when it is written; its fragments take over the sums of the pieces that they hold whole, and hash only
 * pieces that the cut went through, which happens where frames are smaller than a block.
 */
#include "chunk.h"

#include <endian.h>
#include <string.h>

/* Lets data->iov describe data->bytes of the chunk from `at` on. Two entries of the chunk's iov may be short, its first and last;
 * the others are blocks of a pool, so that a payload's worth never needs more than data->iov holds. */
static void describe(const struct tv_chunk *chunk, uint64_t at, struct tv_data *data) {
    const struct iovec *iov = chunk->iov;
    while (at > 0 && at >= iov->iov_len) {
        at -= iov->iov_len;
        iov++;
    }
    data->iov_count = 0;
    for (uint64_t left = data->bytes; left > 0; iov++) {
        size_t here = iov->iov_len - at;
        if (here > left)
            here = left;
        TV_ASSERT(data->iov_count < TV_DATA_PIECES_MAX + 1);
        data->iov[data->iov_count++] = (struct iovec){(char *)iov->iov_base + at, here};
        left -= here;
        at = 0;
    }
}

/* The sum of the piece that begins at the object's `offset`, and its end. */
static uint64_t hash_piece(const struct tv_chunk *chunk, uint64_t offset, uint64_t *sum) {
    uint64_t end = tv_piece_end(offset, chunk->offset + chunk->bytes);
    struct tv_data piece = {.offset = offset, .bytes = end - offset};
    describe(chunk, offset - chunk->offset, &piece);
    tv_data_hash(&piece);
    *sum = piece.piece_sums[0];
    return end;
}

void tv_chunk_hash(struct tv_chunk *chunk) {
    uint64_t end = chunk->offset + chunk->bytes;
    chunk->piece_count = 0;
    for (uint64_t offset = chunk->offset; offset < end;)
        offset = hash_piece(chunk, offset, &chunk->piece_sums[chunk->piece_count++]);
}

void tv_chunk_cut(struct tv_chunk *chunk, uint64_t offset, uint64_t end) {
    uint64_t ahead = offset - chunk->offset;
    uint64_t first = offset / TV_BLOCK_BYTES - chunk->offset / TV_BLOCK_BYTES;
    TV_ASSERT(chunk->iov_count == 1 && chunk->offset <= offset && offset <= end && end <= chunk->offset + chunk->bytes);
    chunk->offset = offset;
    chunk->bytes = end - offset;
    chunk->iov->iov_base = (char *)chunk->iov->iov_base + ahead;
    chunk->iov->iov_len = chunk->bytes;
    chunk->piece_count = tv_data_piece_count(offset, chunk->bytes);
    if (chunk->piece_count == 0)
        return;
    memmove(chunk->piece_sums, chunk->piece_sums + first, chunk->piece_count * sizeof *chunk->piece_sums);
    uint64_t last = end - 1 - (end - 1) % TV_BLOCK_BYTES;
    (void)hash_piece(chunk, offset, &chunk->piece_sums[0]);
    if (last > offset)
        (void)hash_piece(chunk, last, &chunk->piece_sums[chunk->piece_count - 1]);
}

void tv_chunk_slice(const struct tv_chunk *chunk, uint64_t at, uint64_t bytes, struct tv_data *data) {
    TV_ASSERT(bytes <= TV_PAYLOAD_BYTES_MAX && at <= chunk->bytes && bytes <= chunk->bytes - at);
    uint64_t chunk_end = chunk->offset + chunk->bytes;
    uint64_t end = chunk->offset + at + bytes;
    data->offset = chunk->offset + at;
    data->bytes = bytes;
    data->piece_count = 0;
    describe(chunk, at, data);
    for (uint64_t offset = data->offset; offset < end;) {
        struct tv_data piece = {.offset = offset, .bytes = tv_piece_end(offset, end) - offset};
        bool begins = offset == chunk->offset || offset % TV_BLOCK_BYTES == 0;
        if (begins && offset + piece.bytes == tv_piece_end(offset, chunk_end)) {
            uint64_t number = offset / TV_BLOCK_BYTES - chunk->offset / TV_BLOCK_BYTES;
            piece.piece_sums[0] = chunk->piece_sums[number];
        } else {
            describe(chunk, offset - chunk->offset, &piece);
            tv_data_hash(&piece);
        }
        data->piece_sums[data->piece_count++] = piece.piece_sums[0];
        offset += piece.bytes;
    }
}

uint64_t tv_chunk_checksum(uint64_t call_id, uint64_t index, const struct tv_data *data) {
    uint64_t words[4 + TV_DATA_PIECES_MAX] = {htole64(call_id), htole64(index), htole64(data->offset), htole64(data->bytes)};
    TV_ASSERT(data->piece_count <= TV_DATA_PIECES_MAX);
    for (uint32_t i = 0; i < data->piece_count; i++)
        words[4 + i] = htole64(data->piece_sums[i]);
    return tv_hash(words, (4 + data->piece_count) * sizeof words[0]);
}
