/* local_buckets.c - see local_buckets.h. */
#include "local_buckets.h"

#include <string.h>

/* Where a bucket is or belongs. Under the lock. */
static size_t position(const struct tvs_local_buckets *buckets, const char *name, bool *found) {
    size_t low = 0, high = buckets->count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (strcmp(buckets->all[middle]->name, name) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    *found = low < buckets->count && strcmp(buckets->all[low]->name, name) == 0;
    return low;
}

trove_status tvs_local_bucket_create(const char *name, const struct tvs_bucket_record *record, struct tvs_local_bucket **bucket,
                                     trove_error *error) {
    struct tvs_local_bucket *made = calloc(1, sizeof *made);
    if (made == NULL)
        return tvs_fail_no_memory("a bucket", error);
    memcpy(made->name, name, strlen(name) + 1);
    made->id = record->id;
    made->created_ns = record->created_ns;
    atomic_init(&made->refs, 1);
    atomic_init(&made->object_count, record->object_count);
    atomic_init(&made->object_bytes, record->object_bytes);
    *bucket = made;
    return TROVE_OK;
}

trove_status tvs_local_buckets_reserve(struct tvs_local_buckets *buckets, trove_error *error) {
    if (buckets->count < buckets->capacity)
        return TROVE_OK;
    size_t capacity = buckets->capacity == 0 ? 16 : buckets->capacity * 2;
    pthread_rwlock_wrlock(&buckets->lock);
    struct tvs_local_bucket **grown = realloc(buckets->all, capacity * sizeof(struct tvs_local_bucket *));
    if (grown != NULL) {
        buckets->all = grown;
        buckets->capacity = capacity;
    }
    pthread_rwlock_unlock(&buckets->lock);
    return grown == NULL ? tvs_fail_no_memory("a bucket", error) : TROVE_OK;
}

void tvs_local_buckets_add(struct tvs_local_buckets *buckets, struct tvs_local_bucket *bucket_move) {
    pthread_rwlock_wrlock(&buckets->lock);
    bool found;
    size_t at = position(buckets, bucket_move->name, &found);
    TV_ASSERT(!found && buckets->count < buckets->capacity);
    memmove(buckets->all + at + 1, buckets->all + at, (buckets->count - at) * sizeof(struct tvs_local_bucket *));
    buckets->all[at] = bucket_move;
    buckets->count++;
    pthread_rwlock_unlock(&buckets->lock);
}

void tvs_local_buckets_remove(struct tvs_local_buckets *buckets, struct tvs_local_bucket *bucket) {
    pthread_rwlock_wrlock(&buckets->lock);
    bool found;
    size_t at = position(buckets, bucket->name, &found);
    TV_ASSERT(found && buckets->all[at] == bucket);
    buckets->count--;
    memmove(buckets->all + at, buckets->all + at + 1, (buckets->count - at) * sizeof(struct tvs_local_bucket *));
    pthread_rwlock_unlock(&buckets->lock);
    tvs_local_bucket_release(bucket);
}

trove_status tvs_local_bucket_acquire(struct tvs_local_buckets *buckets, const char *name, struct tvs_local_bucket **bucket,
                                      trove_error *error) {
    pthread_rwlock_rdlock(&buckets->lock);
    bool found;
    size_t at = position(buckets, name, &found);
    if (found) {
        *bucket = buckets->all[at];
        atomic_fetch_add_explicit(&(*bucket)->refs, 1, memory_order_relaxed);
    }
    pthread_rwlock_unlock(&buckets->lock);
    return found ? TROVE_OK : tvs_fail_no_bucket(name, error);
}

bool tvs_local_bucket_is(struct tvs_local_buckets *buckets, const char *name, uint64_t id) {
    pthread_rwlock_rdlock(&buckets->lock);
    bool found;
    size_t at = position(buckets, name, &found);
    bool same = found && buckets->all[at]->id == id;
    pthread_rwlock_unlock(&buckets->lock);
    return same;
}

void tvs_local_bucket_release(struct tvs_local_bucket *bucket) {
    if (bucket != NULL && atomic_fetch_sub_explicit(&bucket->refs, 1, memory_order_acq_rel) == 1)
        free(bucket);
}

trove_status tvs_local_buckets_snapshot(struct tvs_local_buckets *buckets, struct tvs_bucket **snapshot, size_t *count,
                                        trove_error *error) {
    pthread_rwlock_rdlock(&buckets->lock);
    size_t all_count = buckets->count;
    struct tvs_bucket *all = calloc(all_count + 1, sizeof *all);
    for (size_t i = 0; all != NULL && i < all_count; i++) {
        const struct tvs_local_bucket *bucket = buckets->all[i];
        memcpy(all[i].name, bucket->name, sizeof all[i].name);
        all[i].created_ns = bucket->created_ns;
        all[i].object_count = atomic_load_explicit(&bucket->object_count, memory_order_relaxed);
        all[i].object_bytes = atomic_load_explicit(&bucket->object_bytes, memory_order_relaxed);
    }
    pthread_rwlock_unlock(&buckets->lock);
    if (all == NULL)
        return tvs_fail_no_memory("the list of buckets", error);
    *snapshot = all;
    *count = all_count;
    return TROVE_OK;
}

static trove_status load_one(struct tvs_local_buckets *buckets, const char *name, size_t name_bytes, const char *value,
                             size_t value_bytes, trove_error *error) {
    struct tvs_bucket_record record;
    trove_status status = tvs_bucket_record_decode(value, value_bytes, &record, error);
    if (status != TROVE_OK)
        return status;
    char text[TV_BUCKET_BYTES_MAX + 1];
    if (name_bytes == 0 || name_bytes >= sizeof text)
        return TV_FAIL(error, DATA_LOSS, "the index has a bucket whose name is %zu bytes long", name_bytes);
    memcpy(text, name, name_bytes);
    text[name_bytes] = '\0';
    struct tvs_local_bucket *bucket = NULL;
    status = tvs_local_buckets_reserve(buckets, error);
    if (status == TROVE_OK)
        status = tvs_local_bucket_create(text, &record, &bucket, error);
    if (status != TROVE_OK)
        return status;
    TV_ASSERT(bucket != NULL);
    tvs_local_buckets_add(buckets, bucket);
    return TROVE_OK;
}

trove_status tvs_local_buckets_load(struct tvs_local_buckets *buckets, const struct tvs_index *index, trove_error *error) {
    *buckets = (struct tvs_local_buckets){0};
    pthread_rwlock_init(&buckets->lock, NULL);
    rocksdb_iterator_t *rows = rocksdb_create_iterator_cf(index->db, index->read_options, index->rows);
    trove_status status = TROVE_OK;
    for (rocksdb_iter_seek(rows, "b", 1); status == TROVE_OK && rocksdb_iter_valid(rows); rocksdb_iter_next(rows)) {
        size_t key_bytes, value_bytes;
        const char *key = rocksdb_iter_key(rows, &key_bytes);
        if (key_bytes == 0 || key[0] != 'b')
            break;
        const char *value = rocksdb_iter_value(rows, &value_bytes);
        status = load_one(buckets, key + 1, key_bytes - 1, value, value_bytes, error);
    }
    char *failure = NULL;
    rocksdb_iter_get_error(rows, &failure);
    rocksdb_iter_destroy(rows);
    if (failure != NULL)
        return tvs_index_fail(failure, "can't read the buckets", error);
    return status;
}

void tvs_local_buckets_fini(struct tvs_local_buckets *buckets) {
    for (size_t i = 0; i < buckets->count; i++)
        tvs_local_bucket_release(buckets->all[i]);
    free(buckets->all);
    pthread_rwlock_destroy(&buckets->lock);
}
