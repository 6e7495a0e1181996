/* block_sums.h - collects the block checksums of an object that is written front to back in pieces of any size.
 *
 * A piece that is a whole block brings its checksum along (data.h); only blocks that arrive in several pieces, and the object's
 * last one, are hashed here. Eight bytes a block are held: 32 KiB for each GiB of the object. One thread at a time.
 */
#ifndef TVS_BLOCK_SUMS_H
#define TVS_BLOCK_SUMS_H

#include "data.h"
#include "status.h"

struct tvs_block_sums {
    uint64_t *sums;
    size_t count;
    size_t capacity;
    uint64_t bytes;             /* seen so far */
    struct XXH3_state_s *state; /* of the block that is not whole yet; NULL until one is needed */
    bool finished;
};

/* Zeroed memory is an empty collection. */
/* Takes the run that begins where the last one ended. Errors: RESOURCE_EXHAUSTED (no memory). */
trove_status tvs_block_sums_append(struct tvs_block_sums *sums, const struct tv_data *data, trove_error *error);
/* The same for `bytes` zeros. Costs the blocks, not the bytes. */
trove_status tvs_block_sums_append_zeros(struct tvs_block_sums *sums, uint64_t bytes, trove_error *error);
/* Instead of appending: all sums of an object of `bytes` bytes at once, malloc'd. */
void tvs_block_sums_set(struct tvs_block_sums *sums, uint64_t bytes, uint64_t *all_move, size_t count);
/* Closes the last block; nothing may be appended afterwards. Computes the object's etag. Errors: RESOURCE_EXHAUSTED; DATA_LOSS where
 * `expected` isn't NULL and another one. */
trove_status tvs_block_sums_finish(struct tvs_block_sums *sums, const char *expected, char etag[TROVE_ETAG_BYTES],
                                   trove_error *error);
void tvs_block_sums_fini(struct tvs_block_sums *sums);

/* The checksum of a block of so many zeros, at most TV_BLOCK_BYTES. That of a whole block is computed once. */
uint64_t tvs_zeros_sum(size_t bytes);

#endif
