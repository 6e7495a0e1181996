/* chunk.h - a chunk on its way out: bytes, checksums, how much of it was sent.
 *
 * Memory: `iov` points into pool blocks, which belong to whoever made the chunk (`release` gives them back). A chunk is counted
 * by references: its stream's window has one until it is acknowledged, and each frame of it that the transport holds has one, for
 * nng may still read the memory after the acknowledgement has come.
 * Threads: reference counting from any; the fields belong to the stream's lock.
 */
#ifndef TV_CHUNK_H
#define TV_CHUNK_H

#include "data.h"
#include "status.h"

#include <stdatomic.h>
#include <sys/uio.h>

struct tv_chunk {
    /* constant from the write on, unless it is cut: see tv_chunk_cut */
    uint64_t index;
    uint64_t offset; /* of its first byte in the object */
    uint64_t bytes;
    bool final;
    uint64_t written_ns; /* monotonic; for the latency */
    uint32_t iov_count;
    uint32_t piece_count;
    struct iovec *iov;
    uint64_t *piece_sums; /* as tv_data's, for the whole chunk */

    /* under the stream's lock */
    uint64_t sent_bytes; /* handed to the transport */
    uint64_t generation;

    /* atomic */
    atomic_uint references;

    /* constant */
    void (*release)(struct tv_chunk *chunk); /* the last reference is gone; any thread, perhaps under the stream's lock */
    void *owner;
};

static inline void tv_chunk_acquire(struct tv_chunk *chunk) {
    atomic_fetch_add_explicit(&chunk->references, 1, memory_order_relaxed);
}

static inline void tv_chunk_release(struct tv_chunk *chunk) {
    if (atomic_fetch_sub_explicit(&chunk->references, 1, memory_order_acq_rel) == 1)
        chunk->release(chunk);
}

/* Hashes the chunk's bytes: fills piece_count and piece_sums (room for tv_data_piece_count of them). */
void tv_chunk_hash(struct tv_chunk *chunk);

/* Leaves the object's bytes [offset, end) of a hashed chunk whose memory is in one piece; it must have them. Its memory stays as
 * it is, so frames of before may still be read from it; the fields don't: whoever looks at them holds the stream's lock. Hashes
 * what lies before the first block boundary and behind the last one, the other sums hold. */
void tv_chunk_cut(struct tv_chunk *chunk, uint64_t offset, uint64_t end);

/* Describes `bytes` of the chunk from `at` on, at most TV_PAYLOAD_BYTES_MAX, in *data: iov, and the sums of its pieces, which are
 * taken from the chunk where the cut allows and computed where it doesn't. */
void tv_chunk_slice(const struct tv_chunk *chunk, uint64_t at, uint64_t bytes, struct tv_data *data);

/* The checksum that a frame carries; see Chunk.checksum in trove.proto. */
uint64_t tv_chunk_checksum(uint64_t call_id, uint64_t index, const struct tv_data *data);

#endif
