/* local_batch.h - one batch of changes on its way into the index: judged and built by the committer's thread, written by its
 * writing thread, told and emptied by the committer's again. It has one owner at a time.
 */
#ifndef TVS_LOCAL_BATCH_H
#define TVS_LOCAL_BATCH_H

#include "local_commit.h"

#define TVS_COMMIT_BATCH_COUNT_MAX 1024
#define TVS_COMMIT_BATCH_BYTES_MAX (8 * TV_MIB)

struct tvs_committer;
struct tvs_pending_table;

struct tvs_batch {
    rocksdb_writebatch_t *writes;
    struct tvs_pending_table *pending; /* what the batch does to which key */
    struct tvs_commit *first, **last;  /* its requests, those that failed included */
    size_t count;
    size_t bytes;                 /* of rows and inline bytes */
    struct tvs_file_id *removals; /* files that nobody owns once the batch is durable */
    size_t removal_count;
    uint64_t *dead; /* generations whose inline bytes the batch deletes */
    size_t dead_count;
    uint64_t time_ns;
    bool no_space;
    bool changes_bucket; /* then that is its only request */
};

bool tvs_batch_init(struct tvs_batch *batch); /* false: no memory, and nothing to finish */
void tvs_batch_fini(struct tvs_batch *batch); /* a zeroed one is allowed */

/* Whether this request may be judged now, into `building`: there is room, and a change of a bucket stays by itself. */
bool tvs_batch_takes(const struct tvs_committer *committer, const struct tvs_commit *commit);
/* Judges the request and adds what it changes to `building`. One that fails leaves nothing there but itself, to be told. */
void tvs_batch_add(struct tvs_committer *committer, struct tvs_commit *commit_move);
/* Adds what is written once for all of `building`. False: all of it has failed, there is nothing to write. */
bool tvs_batch_close(struct tvs_committer *committer);
/* Empties a batch whose requests are gone. */
void tvs_batch_clear(struct tvs_batch *batch);

#endif
