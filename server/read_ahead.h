/* read_ahead.h - what a download has read and not yet sent: verified blocks of the object, in order.
 *
 * A run is what one read brought: up to a frame's worth of whole blocks, one per segment of the pool. Fragments are slices of a
 * run and hold it until the transport is done with them; nothing is kept for an acknowledgement, for what comes back as not taken
 * is read again. So a download holds memory for what is on its way into the transport and a little more, and all of it but what
 * the transport reads can be dropped at any time.
 * (Rejected: chunks that keep their bytes until they are acknowledged: a reader that stands still keeps a whole window of memory
 * from everybody else.)
 *
 * Threads: init and fini by whoever owns it; making a run and releasing one from any thread, also under the owner's lock;
 * everything else under that lock. A run is constant once it was appended.
 */
#ifndef TVS_READ_AHEAD_H
#define TVS_READ_AHEAD_H

#include "budget.h"
#include "data.h"

#include <pthread.h>
#include <stdatomic.h>

#define TVS_RUN_BLOCKS_MAX (TV_PAYLOAD_BYTES_MAX / TV_BLOCK_BYTES)

struct tvs_run {
    struct tvs_run *next;
    struct tvs_read_ahead *owner;
    uint64_t reserved_bytes;
    uint64_t offset; /* of the object; a multiple of the block size */
    uint64_t bytes;
    uint32_t block_count;
    void *blocks[TVS_RUN_BLOCKS_MAX];
    uint64_t sums[TVS_RUN_BLOCKS_MAX];
    atomic_uint references;
};

struct tvs_read_ahead {
    /* constant after init */
    struct tvs_budget *budget;

    /* under the owner's lock */
    struct tvs_run *first;
    struct tvs_run *last;
    uint64_t end;   /* object offset up to which was read: where the next run begins */
    uint64_t moves; /* how often it was cleared: a read that began before a move is of no use */

    pthread_mutex_t spare_lock;
    struct tvs_run *spare; /* under spare_lock: used ones, for the next reads */
};

void tvs_read_ahead_init(struct tvs_read_ahead *ahead, struct tvs_budget *budget);
/* All runs must have been released. */
void tvs_read_ahead_fini(struct tvs_read_ahead *ahead);

/* An empty run of `block_count` blocks at `offset`, with one reference. Takes over the reservation of their bytes, also on
 * failure. Errors: RESOURCE_EXHAUSTED. */
trove_status tvs_run_create(struct tvs_read_ahead *ahead, uint64_t offset, uint32_t block_count, struct tvs_run **run,
                            trove_error *error);
void tvs_run_release(struct tvs_run *run);
/* Describes [at, at + bytes), which lies in the run, with the sums of its pieces: taken over where the piece is a whole block. */
void tvs_run_slice(const struct tvs_run *run, uint64_t at, uint64_t bytes, struct tv_data *data);

/* Forgets what was read; goes on with the block that holds `position`. */
void tvs_read_ahead_move(struct tvs_read_ahead *ahead, uint64_t position);
/* Takes the reference. run->offset is ahead->end. */
void tvs_read_ahead_append(struct tvs_read_ahead *ahead, struct tvs_run *run);
/* Lets go of runs that lie in [begin, end) as a whole: nobody will want them. */
void tvs_read_ahead_discard(struct tvs_read_ahead *ahead, uint64_t begin, uint64_t end);
/* The run that holds `position`, letting go of those before it; NULL: it has to be read. *bytes is what it has from there on. */
struct tvs_run *tvs_read_ahead_at(struct tvs_read_ahead *ahead, uint64_t position, uint64_t *bytes);

#endif
