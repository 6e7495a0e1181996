/* data.h - a run of object bytes in memory with the checksums of its pieces, as frames carry it and drivers take and give it.
 *
 * Pieces: the run is cut where the object's offset is a multiple of TV_BLOCK_BYTES. Each piece has an XXH3-64 of its own. A piece
 * that is a whole block has the very checksum that the store keeps, so the bytes of a transfer are hashed once at each end: the
 * wire's checksum, the store's block checksums and the etag are all derived from these. (Rejected: one hash over each frame and
 * a second one per block: twice the passes over every byte.)
 */
#ifndef TV_DATA_H
#define TV_DATA_H

#include "bounds.h"

#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

struct tv_data {
    uint64_t offset; /* of the first byte in the object */
    uint64_t bytes;  /* sum of the iov */
    uint32_t iov_count;
    uint32_t piece_count;
    struct iovec iov[TV_DATA_PIECES_MAX + 1]; /* borrowed memory; need not be cut as the pieces are */
    uint64_t piece_sums[TV_DATA_PIECES_MAX];
};

/* Hashes `data` from its iov: fills piece_count and piece_sums. bytes, offset, iov and iov_count must be set. */
void tv_data_hash(struct tv_data *data);

/* The number of blocks that an object of `bytes` has. */
static inline uint64_t tv_block_count(uint64_t bytes) {
    return bytes / TV_BLOCK_BYTES + (bytes % TV_BLOCK_BYTES != 0);
}

/* The end of the piece that begins at the object's `offset`, in a run that ends at `run_end`. */
static inline uint64_t tv_piece_end(uint64_t offset, uint64_t run_end) {
    uint64_t block_end = offset - offset % TV_BLOCK_BYTES + TV_BLOCK_BYTES;
    return block_end < run_end ? block_end : run_end;
}

/* The number of pieces that a run of `bytes` at `offset` has. */
uint32_t tv_data_piece_count(uint64_t offset, uint64_t bytes);

/* XXH3-64 of `bytes` at `memory`. */
uint64_t tv_hash(const void *memory, size_t bytes);
uint64_t tv_hash_seeded(const void *memory, size_t bytes, uint64_t seed);

/* The etag: 32 hexadecimal digits and a NUL, of the XXH3-128 over the little-endian size followed by all block checksums
 * (little-endian XXH3-64 each, in order). An empty object has no blocks. */
void tv_etag(uint64_t object_bytes, const uint64_t *block_sums, size_t block_count, char etag[33]);

/* The same where the sums come in parts, in order. It may be abandoned at any time. */
struct tv_etag_hash {
    _Alignas(64) unsigned char state[576]; /* of XXH3 */
};
void tv_etag_begin(struct tv_etag_hash *hash, uint64_t object_bytes);
void tv_etag_add(struct tv_etag_hash *hash, const uint64_t *block_sums, size_t count);
void tv_etag_end(struct tv_etag_hash *hash, char etag[33]);

#endif
