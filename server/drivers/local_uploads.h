/* local_uploads.h - the resumable uploads of a local store that somebody uses at the moment, in memory.
 *
 * The index has all uploads; an entry here exists while a holder's put, a request to the committer or a call points at it, so
 * that there is one gate (upload.h) for an upload and one place where the committer keeps what it has judged. What an upload is
 * never changes and an id is never used again, so an entry made from a row that is being deleted meanwhile does no harm: the
 * committer finds out that the upload doesn't exist.
 */
#ifndef TVS_LOCAL_UPLOADS_H
#define TVS_LOCAL_UPLOADS_H

#include "local_buckets.h"
#include "local_index.h"
#include "local_upload_record.h"
#include "sorted.h"

#include <stdatomic.h>

/* That aren't complete. Each has a file and a few rows. */
#define TVS_LOCAL_UPLOADS_MAX 1000000

struct tvs_local_uploads {
    /* constant */
    const struct tvs_index *index;
    /* the committer's, atomic for others: counted at the start, then with each batch */
    atomic_ullong unfinished;
    /* under `lock` */
    pthread_mutex_t lock;
    struct tvs_sorted all; /* by id */
};

struct tvs_local_upload {
    struct tvs_upload_gate gate; /* has the id */
    struct tvs_local_uploads *uploads;
    /* under the uploads' lock */
    unsigned refs;
    /* the committer's: what the index says when all that was judged is written */
    bool loaded;
    bool exists;
    struct tvs_journal journal;
    /* constant */
    struct tvs_upload_record record; /* points into `row` */
    size_t row_bytes;
    uint8_t row[];
};

void tvs_local_uploads_init(struct tvs_local_uploads *uploads, const struct tvs_index *index);
void tvs_local_uploads_fini(struct tvs_local_uploads *uploads);

/* An entry for a new upload, under a new id, that the index doesn't know yet. Errors: RESOURCE_EXHAUSTED. */
trove_status tvs_local_upload_create(struct tvs_local_uploads *uploads, const struct tvs_upload_record *record,
                                     struct tvs_local_upload **upload, trove_error *error);
/* A reference. May block for the disk. Errors: NOT_FOUND, DATA_LOSS. */
trove_status tvs_local_upload_acquire(struct tvs_local_uploads *uploads, const struct tvs_upload_id *id,
                                      struct tvs_local_upload **upload, trove_error *error);
void tvs_local_upload_release(struct tvs_local_upload *upload); /* NULL is allowed */

/* The journal's entry as it stands in the index. May block for the disk. Errors: NOT_FOUND, DATA_LOSS. */
trove_status tvs_local_journal_read(const struct tvs_index *index, const struct tvs_upload_id *id, struct tvs_journal *journal,
                                    trove_error *error);
/* False: it can't become an object any more, for its bucket was deleted; then there is no such upload for anybody, though what it
 * has isn't removed yet. */
bool tvs_local_upload_has_place(struct tvs_local_buckets *buckets, const struct tvs_local_upload *upload,
                                const struct tvs_journal *journal);
/* What this journal's entry makes of it. *result, where it is complete, is the caller's to finish, and info->result points at
 * it. */
trove_status tvs_local_upload_describe(const struct tvs_local_upload *upload, const struct tvs_journal *journal,
                                       struct tvs_upload_info *info, struct tvs_object *result, trove_error *error);

#endif
