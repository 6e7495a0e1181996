/* local_upload_commit.h - changes of resumable uploads on their way through the committer. Publishing one is a put's commit
 * (local_commit.h) that has an upload.
 */
#ifndef TVS_LOCAL_UPLOAD_COMMIT_H
#define TVS_LOCAL_UPLOAD_COMMIT_H

#include "local_commit.h"
#include "local_uploads.h"

struct tvs_committer;

struct tvs_upload_commit {
    struct tvs_commit base; /* upload: a reference; upload_epoch: of the holder who asks (flush, lose) */
    /* filled in by who asks */
    uint64_t offset;        /* flush: durable in the file */
    uint64_t tail_sum;      /* flush: as in the journal */
    uint32_t first_segment; /* flush: the sums are those of the blocks from its beginning on */
    size_t sum_count;
    uint64_t expired_ns; /* remove: only if it has expired by then; 0: in any case */
    /* discard: keys of rows in the sums' place, each behind its length: 2; `info` is filled in. The upload may be NULL. */
    struct tvs_local_uploads *uploads;
    size_t discarded_bytes;
    bool discards_file; /* its description's */
    bool was_unfinished;
    tvs_upload_done done;
    void *context;
    /* the committer's */
    bool removed;
    struct tvs_upload_info info;
    struct tvs_object result;
    uint8_t request_key[TVS_REQUEST_KEY_BYTES_MAX]; /* begin: what the pending table goes by */
    uint64_t sums[];
};

/* `kind` is one of an upload's. The reference is taken over on success. Errors: RESOURCE_EXHAUSTED. */
trove_status tvs_upload_commit_create(enum tvs_commit_kind kind, struct tvs_local_upload *upload_move, size_t sum_count,
                                      struct tvs_upload_commit **commit, trove_error *error);
/* One that isn't submitted. NULL is allowed. */
void tvs_upload_commit_destroy(struct tvs_upload_commit *commit);
/* As tvs_committer_submit. `done` may be NULL. */
void tvs_upload_commit_submit(struct tvs_committer *committer, struct tvs_upload_commit *commit_move, tvs_upload_done done,
                              void *context);

/* local_upload_batch.c, on the committer's thread. */
/* Judges a change of an upload and adds it to the batch being built. */
trove_status tvs_batch_apply_upload(struct tvs_committer *committer, struct tvs_commit *commit, trove_error *error);
/* Of a put that is an upload's: whether its holder may publish it; what else it changes then. */
trove_status tvs_batch_check_holder(struct tvs_committer *committer, const struct tvs_commit *commit, trove_error *error);
void tvs_batch_complete_upload(struct tvs_committer *committer, const struct tvs_commit *commit);
/* The batch is durable: what becomes visible besides the index. */
void tvs_upload_publish(const struct tvs_commit *commit);

#endif
