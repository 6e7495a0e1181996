/* local_commit.h - one change that waits for the committer: its request, in one block of memory.
 *
 * Whoever asks fills it in on its own thread (the row is encoded there already), so that the committer has little left to do: it
 * looks the old row up, judges the conditions, stamps generation and time, and puts the bytes into the batch.
 * Threads: one owner at a time: who asks, then the committer's.
 */
#ifndef TVS_LOCAL_COMMIT_H
#define TVS_LOCAL_COMMIT_H

#include "local_buckets.h"

enum tvs_commit_kind {
    TVS_COMMIT_PUT,
    TVS_COMMIT_DELETE,
    TVS_COMMIT_BUCKET_CREATE,
    TVS_COMMIT_BUCKET_DELETE,
    /* local_upload_commit.h */
    TVS_COMMIT_UPLOAD_BEGIN,
    TVS_COMMIT_UPLOAD_ATTACH,
    TVS_COMMIT_UPLOAD_FLUSH,
    TVS_COMMIT_UPLOAD_LOSE,
    TVS_COMMIT_UPLOAD_REMOVE,
    TVS_COMMIT_UPLOAD_DISCARD, /* one whose rows are damaged */
};

struct tvs_local_upload;

/* What a key's row says of the object, as far as the next change of that key needs it. */
struct tvs_commit_state {
    bool exists;
    enum tvs_record_place place;
    uint64_t size;
    uint64_t generation;
    uint8_t etag[TVS_ETAG_RAW_BYTES];
    struct tvs_file_id file;
};

struct tvs_commit {
    /* filled in by who asks, constant afterwards */
    enum tvs_commit_kind kind;
    struct tvs_local_bucket *bucket; /* a reference; NULL for bucket_create, and for what concerns none */
    struct tvs_local_upload *upload; /* a reference; of a put: the resumable upload that it completes; else NULL */
    uint64_t upload_epoch;           /* of the holder who asks */
    struct tvs_conditions_copy conditions;
    const char *name; /* the key, or the bucket to create; NUL-terminated */
    uint8_t *index_key;
    size_t index_key_bytes;
    uint64_t hash; /* of the index key */
    uint8_t *row;
    size_t row_bytes;
    const void *data; /* of an inline object */
    size_t data_bytes;
    size_t memory_bytes;
    tvs_commit_done done;
    void *context;
    /* the committer's */
    struct tvs_commit *next;
    struct tvs_commit_state after; /* the key's state once this is done; filled in by who asks but for the generation */
    struct tvs_object object;      /* of a put; its texts lie in this block */
    trove_status status;
    trove_error error;
};

struct tvs_commit_put {
    struct tvs_local_bucket *bucket; /* a reference, taken over on success */
    const char *key;
    const struct tvs_conditions_copy *conditions;
    uint64_t size;
    const char *etag;
    const char *strings; /* NULL: `options` has what makes them */
    size_t strings_bytes;
    size_t metadata_count;
    const struct tvs_put_options *options;
    struct tv_packed_gaps gaps;     /* copied */
    const struct tvs_file_id *file; /* NULL: inline */
    uint64_t inline_sum;
    const struct iovec *data; /* of an inline object; copied */
    uint32_t data_count;
};

/* Errors: RESOURCE_EXHAUSTED. */
trove_status tvs_commit_create_put(const struct tvs_commit_put *put, struct tvs_commit **commit, trove_error *error);
trove_status tvs_commit_create_delete(struct tvs_local_bucket *bucket_move, const char *key,
                                      const struct tvs_conditions_copy *conditions, struct tvs_commit **commit,
                                      trove_error *error);
/* bucket_create with `bucket_move` NULL, else bucket_delete. */
trove_status tvs_commit_create_bucket(struct tvs_local_bucket *bucket_move, const char *name, struct tvs_commit **commit,
                                      trove_error *error);
void tvs_commit_destroy(struct tvs_commit *commit);

#endif
