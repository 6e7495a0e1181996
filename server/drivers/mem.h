/* mem.h - the mem driver from inside: what its files share. Puts: mem_put.h. Resumable uploads: mem_upload.h.
 *
 * Threads: any; one lock over buckets, maps and uploads, held for a look-up or a change and never while bytes are copied. A
 * published object is constant and counted by references.
 */
#ifndef TVS_MEM_H
#define TVS_MEM_H

#include "mem_map.h"
#include "object.h"
#include "sorted.h"

#include <pthread.h>

struct tvs_mem_bucket {
    char name[TV_BUCKET_BYTES_MAX + 1];
    uint64_t id; /* never used again, so that a put notices that its bucket is another one now */
    uint64_t created_ns;
    uint64_t object_count;
    uint64_t object_bytes;
    struct tvs_mem_map map;
};

/* Resumable uploads: see mem_upload.h. Under the store's lock. */
struct tvs_mem_uploads {
    struct tvs_sorted by_id;      /* all */
    struct tvs_sorted by_request; /* all: request id, principal */
    struct tvs_sorted by_place;   /* those that aren't complete: bucket id, key, id */
    struct tvs_mem_upload *first_result, **last_result;
    size_t result_count;
    size_t collect_at; /* in by_id: where collecting goes on */
};

struct tvs_mem {
    struct tvs_driver base;
    /* constant */
    uint64_t bytes_max;
    uint64_t seed;
    /* atomic */
    atomic_ullong bytes;
    /* under `lock` */
    pthread_mutex_t lock;
    struct tvs_mem_bucket **buckets; /* by name */
    size_t bucket_count;
    size_t bucket_capacity;
    uint64_t last_number; /* generations and bucket ids */
    struct tvs_mem_uploads uploads;
};

static inline struct tvs_mem *tvs_mem_of(struct tvs_driver *driver) {
    return (struct tvs_mem *)(void *)driver;
}

/* Under the lock. NULL: none. */
struct tvs_mem_bucket *tvs_mem_bucket_find(const struct tvs_mem *mem, const char *name);

/* What a block costs that lies in a gap: its places in the tables. Those of others are small change beside their bytes. */
#define TVS_MEM_HOLE_BYTES (sizeof(void *) + sizeof(uint64_t))

/* Takes `bytes` of the store's memory. Errors: RESOURCE_EXHAUSTED. */
trove_status tvs_mem_charge(struct tvs_mem *mem, uint64_t bytes, trove_error *error);
/* A reference to a published object. Errors: NOT_FOUND. */
trove_status tvs_mem_object_open(struct tvs_mem *mem, const char *bucket, const char *key, struct tvs_mem_object **object,
                                 trove_error *error);
/* A new one: empty, charged, its strings unset. */
trove_status tvs_mem_object_create(struct tvs_mem *mem, const char *key, size_t strings_bytes, size_t metadata_count,
                                   struct tvs_mem_object **object, trove_error *error);
trove_status tvs_mem_describe(const struct tvs_mem_object *from, struct tvs_object *object, trove_error *error);
/* A change of one key. */
struct tvs_mem_change {
    const char *bucket;
    uint64_t bucket_id; /* 0: whichever bucket has the name */
    const char *key;
    const struct tvs_conditions_copy *conditions;
    struct tvs_mem_object *object; /* put in place; NULL: the one that is there is taken away */
    struct tvs_put *holder;        /* whose upload this completes, and what it becomes then; else NULL */
    struct tvs_object *result;     /* taken over */
};
trove_status tvs_mem_publish(struct tvs_mem *mem, const struct tvs_mem_change *change, trove_error *error);

/* What a get reads; its own reference. */
const struct tvs_mem_object *tvs_mem_get_object(const struct tvs_get *get);

/* `block` NULL: zeros. */
void tvs_mem_copy_piece(const struct iovec *to, const void *block);

/* Of the driver's table. */
trove_status tvs_mem_scrub(struct tvs_driver *driver, const char *bucket, struct tvs_scrub *scrub, bool *finished,
                           trove_error *error);
trove_status tvs_mem_bucket_create(struct tvs_driver *driver, const char *bucket, trove_error *error);
trove_status tvs_mem_bucket_delete(struct tvs_driver *driver, const char *bucket, trove_error *error);
trove_status tvs_mem_bucket_list(struct tvs_driver *driver, struct tvs_bucket **buckets, size_t *count, trove_error *error);
trove_status tvs_mem_copy_begin(struct tvs_driver *driver, const char *from_bucket, const char *from_key, const char *to_bucket,
                                const char *to_key, const struct tvs_conditions *conditions, struct tvs_copy **copy,
                                trove_error *error);
trove_status tvs_mem_copy_step(struct tvs_copy *copy, bool *finished, trove_error *error);
void tvs_mem_copy_commit(struct tvs_copy *copy_move, tvs_commit_done done, void *context);
void tvs_mem_copy_abort(struct tvs_copy *copy_move);
trove_status tvs_mem_list(struct tvs_driver *driver, const char *bucket, const struct tvs_list_query *query, tvs_list_visit visit,
                          void *context, bool *more, trove_error *error);
trove_status tvs_mem_put_begin(struct tvs_driver *driver, const char *bucket, const char *key,
                               const struct tvs_put_options *options, struct tvs_put **put, trove_error *error);
trove_status tvs_mem_put_write(struct tvs_put *put, const struct tv_data *data, trove_error *error);
trove_status tvs_mem_put_gap(struct tvs_put *put, uint64_t offset, uint64_t length, trove_error *error);
trove_status tvs_mem_put_rewind(struct tvs_put *put, uint64_t offset, trove_error *error);
trove_status tvs_mem_put_read(struct tvs_put *put, struct tv_data *data, trove_error *error);
trove_status tvs_mem_put_expect(struct tvs_put *put, const struct tvs_declared_digest *digest, trove_error *error);
void tvs_mem_put_commit(struct tvs_put *put_move, const char *expected, tvs_commit_done done, void *context);
void tvs_mem_put_abort(struct tvs_put *put_move);
void tvs_mem_put_small(struct tvs_driver *driver, const char *bucket, const char *key, const struct tvs_put_options *options,
                       const struct tv_data *data, tvs_commit_done done, void *context);

#endif
