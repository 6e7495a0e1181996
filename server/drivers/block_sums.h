/* block_sums.h - collects the block checksums of an object that is written front to back in pieces of any size.
 *
 * A piece that is a whole block brings its checksum along (data.h); only blocks that arrive in several pieces, and the object's
 * last one, are hashed here. Eight bytes a block are held: 32 KiB for each GiB of the object.
 *
 * Threads: one at a time, but for tvs_block_sums_verify. A sum is written once, before the call that appended it returns; all
 * that a reader of older sums must be kept from is the list moving as it grows. That is what the lock is for: it is taken once
 * for each doubling, not for each sum.
 */
#ifndef TVS_BLOCK_SUMS_H
#define TVS_BLOCK_SUMS_H

#include "data.h"
#include "status.h"

#include <pthread.h>
#include <stdatomic.h>

/* All unfinished objects of a store that count theirs together: 16 TiB. */
#define TVS_BLOCK_SUMS_BYTES_MAX (512 * TV_MIB)

struct tvs_block_sums {
    atomic_ullong *held_bytes; /* constant; NULL: nobody counts */
    pthread_mutex_t lock;      /* held where `sums` moves, and by other threads that read */
    uint64_t *sums;
    size_t count;
    size_t capacity;
    uint64_t bytes;             /* seen so far */
    struct XXH3_state_s *state; /* of the block that is not whole yet; NULL until one is needed */
    bool finished;
};

/* Where `held_bytes` isn't NULL all lists that count there have TVS_BLOCK_SUMS_BYTES_MAX together. */
void tvs_block_sums_init(struct tvs_block_sums *sums, atomic_ullong *held_bytes);
/* Takes the run that begins where the last one ended. Errors: RESOURCE_EXHAUSTED (no memory, or others have all that there may
 * be). */
trove_status tvs_block_sums_append(struct tvs_block_sums *sums, const struct tv_data *data, trove_error *error);
/* The same for `bytes` zeros. Costs the blocks, not the bytes. */
trove_status tvs_block_sums_append_zeros(struct tvs_block_sums *sums, uint64_t bytes, trove_error *error);
/* Instead of appending: all sums of an object of `bytes` bytes at once, malloc'd. */
void tvs_block_sums_set(struct tvs_block_sums *sums, uint64_t bytes, uint64_t *all_move, size_t count);
/* The same for whole blocks alone, and more may be appended. */
void tvs_block_sums_load(struct tvs_block_sums *sums, uint64_t *all_move, size_t count);
/* The checksum of what was seen of the block that isn't whole yet; 0 where there is none. */
uint64_t tvs_block_sums_tail(const struct tvs_block_sums *sums);
/* Forgets what came from `bytes` on, which is at most what was seen. `block`: all that was seen of the block that `bytes` lies
 * inside of, NULL if that is zeros; not looked at where `bytes` is a block's end. Not while others verify.
 * Errors: DATA_LOSS (the block isn't what was seen), RESOURCE_EXHAUSTED. */
trove_status tvs_block_sums_rewind(struct tvs_block_sums *sums, uint64_t bytes, const void *block, trove_error *error);
/* Any thread, while one other appends: compares the pieces of `data`, which begins at a block's beginning, that are whole blocks;
 * the calls that appended them have returned. Errors: DATA_LOSS, naming the range. */
trove_status tvs_block_sums_verify(struct tvs_block_sums *sums, const struct tv_data *data, trove_error *error);
/* Closes the last block; nothing may be appended afterwards. Computes the object's etag. Errors: RESOURCE_EXHAUSTED; DATA_LOSS
 * where `expected` isn't NULL and another one. */
trove_status tvs_block_sums_finish(struct tvs_block_sums *sums, const char *expected, char etag[TROVE_ETAG_BYTES],
                                   trove_error *error);
/* After finish: as before it, so that more can be appended. */
void tvs_block_sums_resume(struct tvs_block_sums *sums);
void tvs_block_sums_fini(struct tvs_block_sums *sums);

/* The checksum of a block of so many zeros, at most TV_BLOCK_BYTES. That of a whole block is computed once. */
uint64_t tvs_zeros_sum(size_t bytes);

#endif
