/* local_buckets.h - the buckets of a local store in memory: who they are and what they hold.
 *
 * The index has the authoritative rows; this is a copy, read once at the start and changed by the committer alone, after each
 * batch that changed the rows. So a look-up costs no read of the index. An entry is counted by references: it outlives the
 * deletion of its bucket while a put or a commit still points at it, and says so.
 */
#ifndef TVS_LOCAL_BUCKETS_H
#define TVS_LOCAL_BUCKETS_H

#include "local_index.h"

#include <pthread.h>
#include <stdatomic.h>

struct tvs_local_bucket {
    /* constant */
    char name[TV_BUCKET_BYTES_MAX + 1];
    uint64_t id; /* never used again */
    uint64_t created_ns;
    /* atomic */
    atomic_uint refs;
    /* written by the committer, read by anyone */
    atomic_bool deleted;
    atomic_ullong object_count;
    atomic_ullong object_bytes;
    /* the committer's: changed in the batch being built, and in its list of those */
    bool dirty;
    struct tvs_local_bucket *next_dirty;
};

struct tvs_local_buckets {
    pthread_rwlock_t lock;
    /* under `lock` */
    struct tvs_local_bucket **all; /* by name; each holds a reference */
    size_t count;
    size_t capacity;
};

/* Blocks: reads the bucket rows. */
trove_status tvs_local_buckets_load(struct tvs_local_buckets *buckets, const struct tvs_index *index, trove_error *error);
void tvs_local_buckets_fini(struct tvs_local_buckets *buckets);

/* NOT_FOUND; else *bucket is a reference. */
trove_status tvs_local_bucket_acquire(struct tvs_local_buckets *buckets, const char *name, struct tvs_local_bucket **bucket,
                                      trove_error *error);
/* Whether there is a bucket of this name that is this one. */
bool tvs_local_bucket_is(struct tvs_local_buckets *buckets, const char *name, uint64_t id);
void tvs_local_bucket_release(struct tvs_local_bucket *bucket); /* NULL is allowed */

/* All of them, in byte order of their names: one malloc'd array, the caller's. Errors: RESOURCE_EXHAUSTED. */
trove_status tvs_local_buckets_snapshot(struct tvs_local_buckets *buckets, struct tvs_bucket **snapshot, size_t *count,
                                        trove_error *error);

/* For the committer. A bucket to be added is made first, for adding it must not fail: `reserve`, then the synced batch, then
 * `add`, which takes the reference over. */
trove_status tvs_local_bucket_create(const char *name, const struct tvs_bucket_record *record, struct tvs_local_bucket **bucket,
                                     trove_error *error);
trove_status tvs_local_buckets_reserve(struct tvs_local_buckets *buckets, trove_error *error);
void tvs_local_buckets_add(struct tvs_local_buckets *buckets, struct tvs_local_bucket *bucket_move);
void tvs_local_buckets_remove(struct tvs_local_buckets *buckets, struct tvs_local_bucket *bucket);

#endif
