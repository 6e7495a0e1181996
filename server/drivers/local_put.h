/* local_put.h - a put into the local store: what local_put.c, local_upload.c and local_resume.c share. */
#ifndef TVS_LOCAL_PUT_H
#define TVS_LOCAL_PUT_H

#include "block_sums.h"
#include "digest.h"
#include "local.h"

struct tvs_put {
    struct tvs_local *local;
    struct tvs_local_bucket *bucket; /* a reference */
    struct tvs_local_upload *upload; /* a reference: a resumable put; else NULL */
    uint64_t epoch;                  /* of its holder */
    struct tvs_upload_commit *loss;  /* of a resumable put: what tells that it is lost, for there may be no memory then */
    struct tvs_conditions_copy conditions;
    struct tvs_block_sums sums;
    struct tv_gaps gaps;
    uint64_t gap_sums_bytes;   /* of the store's */
    struct tvs_digest *digest; /* NULL: none declared */
    struct tvs_file_writer writer;
    size_t metadata_count;
    size_t strings_bytes;
    char *strings; /* behind the key */
    char key[];
};

/* An empty one. Its strings are to be filled in. The reference is taken over on success. Errors: RESOURCE_EXHAUSTED. */
trove_status tvs_local_put_create(struct tvs_local *local, struct tvs_local_bucket *bucket_move, const char *key,
                                  size_t strings_bytes, size_t metadata_count, struct tvs_put **put, trove_error *error);
/* A condition that fails now is known before any byte is sent; the committer asks again. */
trove_status tvs_local_check_conditions_early(struct tvs_local *local, const struct tvs_local_bucket *bucket, const char *key,
                                              const struct tvs_conditions_copy *conditions, trove_error *error);
/* Everything that was written, once more: read, checked and hashed for the declared digest. */
trove_status tvs_local_put_restart_digest(struct tvs_put *put, trove_error *error);
/* Says which object it was, and what was being done with it. */
trove_status tvs_local_put_name(const struct tvs_put *put, const char *what, trove_status status, trove_error *error);

/* A call on a put begins; where it may, it ends with `leave`. Errors: of a resumable one's gate. */
static inline trove_status tvs_local_put_enter(struct tvs_put *put, trove_error *error) {
    return put->upload == NULL ? TROVE_OK : tvs_upload_gate_enter(&put->upload->gate, put->epoch, error);
}

static inline void tvs_local_put_leave(struct tvs_put *put) {
    if (put->upload != NULL)
        tvs_upload_gate_leave(&put->upload->gate);
}

/* local_upload_list.c: that the file of an unfinished upload has what the journal tells of. What it has beyond is cut off by
 * whoever goes on with it. Blocks. Errors: DATA_LOSS, and *lost: it is shorter, or gone; anything else: it can't be looked at
 * now. */
trove_status tvs_local_upload_check_file(struct tvs_local *local, const struct tvs_local_upload *upload,
                                         const struct tvs_journal *journal, bool *lost, trove_error *error);

/* local_resume.c: what it takes to lose an upload, without losing it yet. Errors: RESOURCE_EXHAUSTED. */
trove_status tvs_local_upload_prepare_loss(struct tvs_local *local, const struct tvs_local_upload *upload, uint64_t epoch,
                                           struct tvs_upload_commit **loss, trove_error *error);
/* Where a failed sync or a file that is too short has taken durable bytes of the upload away, it says so, in the log and for
 * good: nobody goes on with it. *loss_move is NULL then; where it was, that is said and done. */
void tvs_local_upload_lose(struct tvs_local *local, struct tvs_upload_commit **loss_move, const char *why);

#endif
