/* mem_bucket.c - the buckets of the mem driver: a sorted array under the store's lock. */
#include "mem_upload.h"
#include "object.h"

#include <string.h>

/* Where a bucket is or belongs. Under the lock. */
static size_t bucket_index(const struct tvs_mem *mem, const char *name, bool *found) {
    size_t low = 0, high = mem->bucket_count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (strcmp(mem->buckets[middle]->name, name) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    *found = low < mem->bucket_count && strcmp(mem->buckets[low]->name, name) == 0;
    return low;
}

struct tvs_mem_bucket *tvs_mem_bucket_find(const struct tvs_mem *mem, const char *name) {
    bool found;
    size_t index = bucket_index(mem, name, &found);
    return found ? mem->buckets[index] : NULL;
}

static trove_status bucket_room(struct tvs_mem *mem, trove_error *error) {
    if (mem->bucket_count == TV_BUCKETS_MAX)
        return tvs_fail_too_many_buckets(error);
    if (mem->bucket_count < mem->bucket_capacity)
        return TROVE_OK;
    size_t capacity = mem->bucket_capacity == 0 ? 16 : mem->bucket_capacity * 2;
    struct tvs_mem_bucket **grown = realloc(mem->buckets, capacity * sizeof(struct tvs_mem_bucket *));
    if (grown == NULL)
        return tvs_fail_no_memory("a bucket", error);
    mem->buckets = grown;
    mem->bucket_capacity = capacity;
    return TROVE_OK;
}

static trove_status bucket_create_locked(struct tvs_mem *mem, const char *name, trove_error *error) {
    bool found;
    size_t index = bucket_index(mem, name, &found);
    if (found)
        return TV_FAIL(error, ALREADY_EXISTS, "bucket %s exists already", name);
    trove_status status = bucket_room(mem, error);
    if (status != TROVE_OK)
        return status;
    struct tvs_mem_bucket *bucket = calloc(1, sizeof *bucket);
    if (bucket == NULL)
        return tvs_fail_no_memory("a bucket", error);
    memcpy(bucket->name, name, strlen(name) + 1);
    bucket->id = ++mem->last_number;
    bucket->created_ns = tvs_now_ns();
    bucket->map.seed = mem->seed;
    memmove(mem->buckets + index + 1, mem->buckets + index, (mem->bucket_count - index) * sizeof(struct tvs_mem_bucket *));
    mem->buckets[index] = bucket;
    mem->bucket_count++;
    return TROVE_OK;
}

trove_status tvs_mem_bucket_create(struct tvs_driver *driver, const char *bucket, trove_error *error) {
    struct tvs_mem *mem = tvs_mem_of(driver);
    pthread_mutex_lock(&mem->lock);
    trove_status status = bucket_create_locked(mem, bucket, error);
    pthread_mutex_unlock(&mem->lock);
    return status;
}

trove_status tvs_mem_bucket_delete(struct tvs_driver *driver, const char *bucket, trove_error *error) {
    struct tvs_mem *mem = tvs_mem_of(driver);
    struct tvs_mem_upload *dropped = NULL;
    pthread_mutex_lock(&mem->lock);
    bool found;
    size_t index = bucket_index(mem, bucket, &found);
    trove_status status = TROVE_OK;
    if (!found) {
        status = tvs_fail_no_bucket(bucket, error);
    } else if (mem->buckets[index]->object_count > 0) {
        status = TV_FAIL(error, FAILED_PRECONDITION, "bucket %s isn't empty: it has %llu objects; delete them first", bucket,
                         (unsigned long long)mem->buckets[index]->object_count);
    } else {
        dropped = tvs_mem_uploads_drop_locked(mem, mem->buckets[index]->id);
        free(mem->buckets[index]);
        mem->bucket_count--;
        memmove(mem->buckets + index, mem->buckets + index + 1, (mem->bucket_count - index) * sizeof(struct tvs_mem_bucket *));
    }
    pthread_mutex_unlock(&mem->lock);
    for (struct tvs_mem_upload *next; dropped != NULL; dropped = next) {
        next = dropped->next_dropped;
        tvs_mem_upload_release(mem, dropped);
    }
    return status;
}

trove_status tvs_mem_bucket_list(struct tvs_driver *driver, struct tvs_bucket **buckets, size_t *count, trove_error *error) {
    struct tvs_mem *mem = tvs_mem_of(driver);
    pthread_mutex_lock(&mem->lock);
    struct tvs_bucket *all = calloc(mem->bucket_count + 1, sizeof *all);
    size_t bucket_count = mem->bucket_count;
    for (size_t i = 0; all != NULL && i < bucket_count; i++) {
        const struct tvs_mem_bucket *bucket = mem->buckets[i];
        memcpy(all[i].name, bucket->name, sizeof all[i].name);
        all[i].created_ns = bucket->created_ns;
        all[i].object_count = bucket->object_count;
        all[i].object_bytes = bucket->object_bytes;
    }
    pthread_mutex_unlock(&mem->lock);
    if (all == NULL)
        return tvs_fail_no_memory("the list of buckets", error);
    *buckets = all;
    *count = bucket_count;
    return TROVE_OK;
}
