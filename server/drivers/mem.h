/* mem.h - the mem driver from inside: what mem.c, mem_bucket.c and mem_list.c share. */
#ifndef TVS_MEM_H
#define TVS_MEM_H

#include "mem_map.h"

#include <pthread.h>

struct tvs_mem_bucket {
    char name[TV_BUCKET_BYTES_MAX + 1];
    uint64_t id; /* never used again, so that a put notices that its bucket is another one now */
    uint64_t created_ns;
    uint64_t object_count;
    uint64_t object_bytes;
    struct tvs_mem_map map;
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
};

static inline struct tvs_mem *tvs_mem_of(struct tvs_driver *driver) {
    return (struct tvs_mem *)(void *)driver;
}

/* Under the lock. NULL: none. */
struct tvs_mem_bucket *tvs_mem_bucket_find(const struct tvs_mem *mem, const char *name);

/* Of the driver's table. */
trove_status tvs_mem_bucket_create(struct tvs_driver *driver, const char *bucket, trove_error *error);
trove_status tvs_mem_bucket_delete(struct tvs_driver *driver, const char *bucket, trove_error *error);
trove_status tvs_mem_bucket_list(struct tvs_driver *driver, struct tvs_bucket **buckets, size_t *count, trove_error *error);
trove_status tvs_mem_list(struct tvs_driver *driver, const char *bucket, const struct tvs_list_query *query, tvs_list_visit visit,
                          void *context, bool *more, trove_error *error);

#endif
