/* mem.c - the driver "mem": objects in bounded memory, for tests and scratch; gone with the process.
 *
 * Threads: any. One lock guards buckets and maps and is held for look-ups and changes only, never while bytes are copied or a
 * callback runs. Objects are constant once they are published and counted by references, so a get goes on undisturbed when its
 * object is replaced or deleted. All that grows is charged against `memory_bytes` first.
 */
#include "mem.h"
#include "block_sums.h"
#include "object.h"

#include <string.h>
#include <sys/random.h>

#define MEM_BYTES_DEFAULT (256 * TV_MIB)
/* What an object costs besides its bytes and names: block table, allocator's overhead. */
#define MEM_OBJECT_OVERHEAD_BYTES 256

struct tvs_put {
    struct tvs_mem *mem;
    uint64_t bucket_id;
    char bucket[TV_BUCKET_BYTES_MAX + 1];
    struct tvs_conditions_copy conditions;
    struct tvs_block_sums sums;
    struct tv_gaps gaps;
    struct tvs_mem_object *object; /* being built */
    size_t block_capacity;         /* of its table of blocks */
    size_t last_capacity;          /* of its last block, in bytes */
};

struct tvs_get {
    struct tvs_mem_object *object;
    char bucket[TV_BUCKET_BYTES_MAX + 1];
};

trove_status tvs_mem_charge(struct tvs_mem *mem, uint64_t bytes, trove_error *error) {
    uint64_t before = atomic_fetch_add_explicit(&mem->bytes, bytes, memory_order_relaxed);
    if (bytes <= mem->bytes_max && before <= mem->bytes_max - bytes)
        return TROVE_OK;
    atomic_fetch_sub_explicit(&mem->bytes, bytes, memory_order_relaxed);
    return TV_FAIL(error, RESOURCE_EXHAUSTED,
                   "the mem store is full (%llu of %llu bytes in use); delete objects or give it more memory",
                   (unsigned long long)before, (unsigned long long)mem->bytes_max);
}

/* ---- open, close ----------------------------------------------------------------------------------------------------- */

static trove_status mem_open(const struct tvs_driver_config *config, struct tvs_driver **driver, trove_error *error) {
    struct tvs_mem *mem = calloc(1, sizeof *mem);
    if (mem == NULL)
        return tvs_fail_no_memory("the mem store", error);
    mem->base.ops = &tvs_mem_driver;
    mem->bytes_max = config->memory_bytes != 0 ? config->memory_bytes : MEM_BYTES_DEFAULT;
    if (getrandom(&mem->seed, sizeof mem->seed, 0) != (ssize_t)sizeof mem->seed)
        mem->seed = tvs_now_ns();
    pthread_mutex_init(&mem->lock, NULL);
    *driver = &mem->base;
    return TROVE_OK;
}

static void mem_close(struct tvs_driver *driver) {
    struct tvs_mem *mem = tvs_mem_of(driver);
    for (size_t i = 0; i < mem->bucket_count; i++) {
        struct tvs_mem_map *map = &mem->buckets[i]->map;
        while (map->root != NULL)
            tvs_mem_object_release(tvs_mem_map_remove(map, map->root->key));
        free(mem->buckets[i]);
    }
    free(mem->buckets);
    pthread_mutex_destroy(&mem->lock);
    free(mem);
}

/* ---- reading --------------------------------------------------------------------------------------------------------- */

trove_status tvs_mem_object_open(struct tvs_mem *mem, const char *bucket, const char *key, struct tvs_mem_object **object,
                                 trove_error *error) {
    pthread_mutex_lock(&mem->lock);
    struct tvs_mem_bucket *in = tvs_mem_bucket_find(mem, bucket);
    struct tvs_mem_object *found = in == NULL ? NULL : tvs_mem_map_find(&in->map, key);
    if (found != NULL)
        tvs_mem_object_acquire(found);
    pthread_mutex_unlock(&mem->lock);
    if (in == NULL)
        return tvs_fail_no_bucket(bucket, error);
    if (found == NULL)
        return tvs_fail_no_object(bucket, key, error);
    *object = found;
    return TROVE_OK;
}

trove_status tvs_mem_describe(const struct tvs_mem_object *from, struct tvs_object *object, trove_error *error) {
    struct tvs_object_facts facts = {.key = from->key,
                                     .key_bytes = from->key_bytes,
                                     .size = from->size,
                                     .generation = from->generation,
                                     .modified_ns = from->modified_ns,
                                     .etag = from->etag,
                                     .strings = from->strings,
                                     .strings_bytes = from->strings_bytes,
                                     .metadata_count = from->metadata_count,
                                     .gaps = from->gaps};
    return tvs_object_build(&facts, object, error);
}

static trove_status mem_head(struct tvs_driver *driver, const char *bucket, const char *key, struct tvs_object *object,
                             trove_error *error) {
    struct tvs_mem_object *found = NULL;
    trove_status status = tvs_mem_object_open(tvs_mem_of(driver), bucket, key, &found, error);
    if (status == TROVE_OK)
        status = tvs_mem_describe(found, object, error);
    tvs_mem_object_release(found);
    return status;
}

static trove_status mem_block_sums(struct tvs_driver *driver, const char *bucket, const char *key, struct tvs_object *object,
                                   uint64_t **sums, size_t *count, trove_error *error) {
    struct tvs_mem_object *found = NULL;
    trove_status status = tvs_mem_object_open(tvs_mem_of(driver), bucket, key, &found, error);
    if (status != TROVE_OK)
        return status;
    uint64_t *copy = malloc((found->block_count + 1) * sizeof *copy);
    status = copy == NULL ? tvs_fail_no_memory("block checksums", error) : tvs_mem_describe(found, object, error);
    if (status == TROVE_OK) {
        if (found->block_count > 0)
            memcpy(copy, found->sums, found->block_count * sizeof *copy);
        *sums = copy;
        *count = found->block_count;
    } else {
        free(copy);
    }
    tvs_mem_object_release(found);
    return status;
}

static trove_status mem_get_begin(struct tvs_driver *driver, const char *bucket, const char *key,
                                  const struct tvs_conditions *conditions, struct tvs_get **get, struct tvs_object *object,
                                  trove_error *error) {
    struct tvs_mem_object *found = NULL;
    trove_status status = tvs_mem_object_open(tvs_mem_of(driver), bucket, key, &found, error);
    if (status != TROVE_OK)
        return status;
    struct tvs_conditions_copy wanted;
    tvs_conditions_keep(conditions, &wanted);
    status = tvs_conditions_check(&wanted, found->etag, found->generation, bucket, key, error);
    struct tvs_get *made = NULL;
    if (status == TROVE_OK && (made = malloc(sizeof *made)) == NULL)
        status = tvs_fail_no_memory("a get", error);
    if (status == TROVE_OK)
        status = tvs_mem_describe(found, object, error);
    if (status != TROVE_OK) {
        free(made);
        tvs_mem_object_release(found);
        return status;
    }
    made->object = found;
    memcpy(made->bucket, bucket, strlen(bucket) + 1);
    *get = made;
    return TROVE_OK;
}

static trove_status mem_get_read(struct tvs_get *get, struct tv_data *data, trove_error *error) {
    const struct tvs_mem_object *object = get->object;
    char name[TVS_NAME_BYTES];
    if (data->offset > object->size || data->bytes > object->size - data->offset)
        return TV_FAIL(error, OUT_OF_RANGE, "bytes from %llu to %llu of %s, which has %llu", (unsigned long long)data->offset,
                       (unsigned long long)(data->offset + data->bytes), tvs_object_name(get->bucket, object->key, name),
                       (unsigned long long)object->size);
    size_t first = (size_t)(data->offset / TV_BLOCK_BYTES);
    for (uint32_t i = 0; i < data->iov_count; i++) {
        if (object->blocks[first + i] != NULL)
            memcpy(data->iov[i].iov_base, object->blocks[first + i], data->iov[i].iov_len);
        else
            memset(data->iov[i].iov_base, 0, data->iov[i].iov_len);
    }
    tv_data_hash(data);
    for (uint32_t i = 0; i < data->piece_count; i++) {
        if (data->piece_sums[i] == object->sums[first + i])
            continue;
        uint64_t at = data->offset + i * TV_BLOCK_BYTES;
        return TV_FAIL(error, DATA_LOSS, "object %s is damaged in memory: bytes from %llu to %llu don't match their checksum",
                       tvs_object_name(get->bucket, object->key, name), (unsigned long long)at,
                       (unsigned long long)(at + data->iov[i].iov_len));
    }
    return TROVE_OK;
}

static void mem_get_end(struct tvs_get *get_move) {
    if (get_move == NULL)
        return;
    tvs_mem_object_release(get_move->object);
    free(get_move);
}

/* ---- writing --------------------------------------------------------------------------------------------------------- */

/* Puts an object in place under its conditions, or, with `object` NULL, takes the one that is there away. The old one is given
 * back for release outside the lock. */
static trove_status publish(struct tvs_mem *mem, const char *bucket, uint64_t bucket_id, const char *key,
                            const struct tvs_conditions_copy *conditions, struct tvs_mem_object *object,
                            struct tvs_mem_object **old, trove_error *error) {
    struct tvs_mem_bucket *in = tvs_mem_bucket_find(mem, bucket);
    if (in == NULL || (bucket_id != 0 && in->id != bucket_id))
        return tvs_fail_no_bucket(bucket, error);
    struct tvs_mem_object *found = tvs_mem_map_find(&in->map, key);
    if (found == NULL && object == NULL)
        return tvs_fail_no_object(bucket, key, error);
    trove_status status = tvs_conditions_check(conditions, found == NULL ? NULL : found->etag,
                                               found == NULL ? 0 : found->generation, bucket, key, error);
    if (status != TROVE_OK)
        return status;
    if (found != NULL) {
        *old = tvs_mem_map_remove(&in->map, key);
        in->object_count--;
        in->object_bytes -= found->size;
    }
    if (object != NULL) {
        object->generation = ++mem->last_number;
        object->modified_ns = tvs_now_ns();
        tvs_mem_object_acquire(object);
        tvs_mem_map_insert(&in->map, object);
        in->object_count++;
        in->object_bytes += object->size;
    }
    return TROVE_OK;
}

trove_status tvs_mem_publish(struct tvs_mem *mem, const char *bucket, uint64_t bucket_id, const char *key,
                             const struct tvs_conditions_copy *conditions, struct tvs_mem_object *object, trove_error *error) {
    struct tvs_mem_object *old = NULL;
    pthread_mutex_lock(&mem->lock);
    trove_status status = publish(mem, bucket, bucket_id, key, conditions, object, &old, error);
    pthread_mutex_unlock(&mem->lock);
    tvs_mem_object_release(old);
    return status;
}

trove_status tvs_mem_object_create(struct tvs_mem *mem, const char *key, size_t strings_bytes, size_t metadata_count,
                                   struct tvs_mem_object **object, trove_error *error) {
    size_t key_bytes = strlen(key);
    size_t bytes = sizeof **object + key_bytes + 1 + strings_bytes;
    trove_status status = tvs_mem_charge(mem, bytes + MEM_OBJECT_OVERHEAD_BYTES, error);
    if (status != TROVE_OK)
        return status;
    struct tvs_mem_object *made = calloc(1, bytes);
    if (made == NULL) {
        atomic_fetch_sub(&mem->bytes, bytes + MEM_OBJECT_OVERHEAD_BYTES);
        return tvs_fail_no_memory("an object", error);
    }
    atomic_init(&made->refs, 1);
    made->charge = &mem->bytes;
    made->charged_bytes = bytes + MEM_OBJECT_OVERHEAD_BYTES;
    made->key_bytes = key_bytes;
    made->strings_bytes = strings_bytes;
    made->metadata_count = metadata_count;
    memcpy(made->key, key, key_bytes + 1);
    made->strings = made->key + key_bytes + 1;
    *object = made;
    return TROVE_OK;
}

static void mem_put_abort(struct tvs_put *put_move) {
    if (put_move == NULL)
        return;
    tvs_mem_object_release(put_move->object);
    tvs_block_sums_fini(&put_move->sums);
    tv_gaps_fini(&put_move->gaps);
    free(put_move);
}

static trove_status mem_put_begin(struct tvs_driver *driver, const char *bucket, const char *key,
                                  const struct tvs_put_options *options, struct tvs_put **put, trove_error *error) {
    struct tvs_mem *mem = tvs_mem_of(driver);
    struct tvs_put *made = calloc(1, sizeof *made);
    if (made == NULL)
        return tvs_fail_no_memory("a put", error);
    made->mem = mem;
    memcpy(made->bucket, bucket, strlen(bucket) + 1);
    tvs_conditions_keep(&options->conditions, &made->conditions);
    pthread_mutex_lock(&mem->lock);
    struct tvs_mem_bucket *in = tvs_mem_bucket_find(mem, bucket);
    trove_status status = TROVE_OK;
    if (in == NULL) {
        status = tvs_fail_no_bucket(bucket, error);
    } else {
        made->bucket_id = in->id;
        const struct tvs_mem_object *found = tvs_mem_map_find(&in->map, key);
        status = tvs_conditions_check(&made->conditions, found == NULL ? NULL : found->etag,
                                      found == NULL ? 0 : found->generation, bucket, key, error);
    }
    pthread_mutex_unlock(&mem->lock);
    if (status == TROVE_OK)
        status = tvs_mem_object_create(mem, key, tvs_strings_bytes(options), options->metadata_count, &made->object, error);
    if (status != TROVE_OK) {
        mem_put_abort(made);
        return status;
    }
    tvs_strings_write(options, made->object->key + made->object->key_bytes + 1);
    *put = made;
    return TROVE_OK;
}

static trove_status add_block(struct tvs_put *put, trove_error *error) {
    struct tvs_mem_object *object = put->object;
    if (object->block_count == put->block_capacity) {
        size_t capacity = put->block_capacity == 0 ? 1 : put->block_capacity * 2;
        void **grown = realloc(object->blocks, capacity * sizeof *grown);
        if (grown == NULL)
            return tvs_fail_no_memory("an object's blocks", error);
        object->blocks = grown;
        put->block_capacity = capacity;
    }
    object->blocks[object->block_count++] = NULL;
    put->last_capacity = 0;
    return TROVE_OK;
}

/* Makes the last block so large. What it costs is charged before it is taken. */
static trove_status resize_last_block(struct tvs_put *put, size_t capacity, trove_error *error) {
    struct tvs_mem_object *object = put->object;
    if (capacity > put->last_capacity) {
        trove_status status = tvs_mem_charge(put->mem, capacity - put->last_capacity, error);
        if (status != TROVE_OK)
            return status;
    }
    void *resized = realloc(object->blocks[object->block_count - 1], capacity);
    if (resized == NULL && capacity > put->last_capacity)
        atomic_fetch_sub(&put->mem->bytes, capacity - put->last_capacity);
    if (resized == NULL)
        return tvs_fail_no_memory("an object's block", error);
    if (capacity < put->last_capacity)
        atomic_fetch_sub(&put->mem->bytes, put->last_capacity - capacity);
    object->charged_bytes = object->charged_bytes - put->last_capacity + capacity;
    object->blocks[object->block_count - 1] = resized;
    put->last_capacity = capacity;
    return TROVE_OK;
}

/* Room for `bytes` more in the last block, which has `used`: exactly so many at first, twice as many when it has to grow. */
static trove_status make_room(struct tvs_put *put, size_t used, size_t bytes, trove_error *error) {
    if (used == 0) {
        trove_status status = add_block(put, error);
        return status != TROVE_OK ? status : resize_last_block(put, bytes, error);
    }
    if (used + bytes <= put->last_capacity)
        return TROVE_OK;
    size_t capacity = put->last_capacity * 2 > used + bytes ? put->last_capacity * 2 : used + bytes;
    return resize_last_block(put, capacity < TV_BLOCK_BYTES ? capacity : TV_BLOCK_BYTES, error);
}

static trove_status mem_put_write(struct tvs_put *put, const struct tv_data *data, trove_error *error) {
    struct tvs_mem_object *object = put->object;
    for (uint32_t i = 0; i < data->iov_count; i++) {
        const char *from = data->iov[i].iov_base;
        size_t left = data->iov[i].iov_len;
        while (left > 0) {
            size_t used = (size_t)(object->size % TV_BLOCK_BYTES);
            size_t here = TV_BLOCK_BYTES - used < left ? TV_BLOCK_BYTES - used : left;
            trove_status status = make_room(put, used, here, error);
            if (status != TROVE_OK)
                return status;
            memcpy((char *)object->blocks[object->block_count - 1] + used, from, here);
            object->size += here;
            from += here;
            left -= here;
        }
    }
    return tvs_block_sums_append(&put->sums, data, error);
}

/* Zeros in a block that has other bytes, too. */
static trove_status write_zeros(struct tvs_put *put, size_t used, size_t bytes, trove_error *error) {
    trove_status status = make_room(put, used, bytes, error);
    if (status == TROVE_OK)
        memset((char *)put->object->blocks[put->object->block_count - 1] + used, 0, bytes);
    return status;
}

static trove_status mem_put_gap(struct tvs_put *put, uint64_t offset, uint64_t length, trove_error *error) {
    struct tvs_mem_object *object = put->object;
    TV_ASSERT(offset == object->size);
    uint64_t tables = length / TV_BLOCK_BYTES * TVS_MEM_HOLE_BYTES;
    trove_status status = tvs_mem_charge(put->mem, tables, error);
    if (status != TROVE_OK)
        return status;
    object->charged_bytes += tables;
    for (uint64_t left = length; left > 0;) {
        size_t used = (size_t)(object->size % TV_BLOCK_BYTES);
        size_t here = TV_BLOCK_BYTES - used < left ? TV_BLOCK_BYTES - used : (size_t)left;
        status = here == TV_BLOCK_BYTES ? add_block(put, error) : write_zeros(put, used, here, error);
        if (status != TROVE_OK)
            return status;
        object->size += here;
        left -= here;
    }
    status = tvs_block_sums_append_zeros(&put->sums, length, error);
    return status == TROVE_OK ? tv_gaps_append(&put->gaps, offset, length, error) : status;
}

static trove_status keep_gaps(struct tvs_put *put, trove_error *error) {
    struct tvs_mem_object *object = put->object;
    size_t bytes = tv_gaps_packed_bytes(&put->gaps);
    trove_status status = tvs_mem_charge(put->mem, bytes, error);
    if (status != TROVE_OK)
        return status;
    object->charged_bytes += bytes;
    return tvs_gaps_keep(&put->gaps, &object->packed_gaps, &object->gaps, error);
}

static trove_status put_finish(struct tvs_put *put, const char *expected, struct tvs_object *described, trove_error *error) {
    struct tvs_mem_object *object = put->object;
    trove_status status = tvs_block_sums_finish(&put->sums, expected, object->etag, error);
    if (status == TROVE_OK)
        status = keep_gaps(put, error);
    if (status != TROVE_OK)
        return status;
    size_t used = (size_t)(object->size % TV_BLOCK_BYTES);
    if (used != 0 && used < put->last_capacity)
        (void)!resize_last_block(put, used, NULL); /* only gives back: that it fails does no harm */
    object->sums = put->sums.sums;
    put->sums.sums = NULL;
    /* Described before it is published: afterwards nothing may fail. */
    status = tvs_mem_describe(object, described, error);
    if (status == TROVE_OK)
        status = tvs_mem_publish(put->mem, put->bucket, put->bucket_id, object->key, &put->conditions, object, error);
    described->generation = object->generation;
    described->modified_ns = object->modified_ns;
    return status;
}

static void mem_put_commit(struct tvs_put *put_move, const char *expected, tvs_commit_done done, void *context) {
    trove_error error = {0};
    struct tvs_object object = {0};
    trove_status status = put_finish(put_move, expected, &object, &error);
    done(context, status, status == TROVE_OK ? &object : NULL, &error);
    tvs_object_fini(&object);
    mem_put_abort(put_move);
}

static void mem_put_small(struct tvs_driver *driver, const char *bucket, const char *key, const struct tvs_put_options *options,
                          const struct tv_data *data, tvs_commit_done done, void *context) {
    struct tvs_put *put = NULL;
    trove_error error = {0};
    trove_status status = mem_put_begin(driver, bucket, key, options, &put, &error);
    if (status == TROVE_OK)
        status = mem_put_write(put, data, &error);
    if (status == TROVE_OK) {
        mem_put_commit(put, NULL, done, context);
        return;
    }
    mem_put_abort(put);
    done(context, status, NULL, &error);
}

static trove_status mem_delete(struct tvs_driver *driver, const char *bucket, const char *key,
                               const struct tvs_conditions *conditions, trove_error *error) {
    struct tvs_conditions_copy wanted;
    tvs_conditions_keep(conditions, &wanted);
    return tvs_mem_publish(tvs_mem_of(driver), bucket, 0, key, &wanted, NULL, error);
}

const struct tvs_driver_ops tvs_mem_driver = {
    .scheme = "mem",
    .capabilities = TVS_CAP_RANGE | TVS_CAP_SERVER_COPY | TVS_CAP_NONBLOCKING,
    .open = mem_open,
    .close = mem_close,
    .bucket_create = tvs_mem_bucket_create,
    .bucket_delete = tvs_mem_bucket_delete,
    .bucket_list = tvs_mem_bucket_list,
    .head = mem_head,
    .list = tvs_mem_list,
    .delete = mem_delete,
    .copy = tvs_mem_copy,
    .block_sums = mem_block_sums,
    .put_begin = mem_put_begin,
    .put_write = mem_put_write,
    .put_gap = mem_put_gap,
    .put_commit = mem_put_commit,
    .put_abort = mem_put_abort,
    .put_small = mem_put_small,
    .get_begin = mem_get_begin,
    .get_read = mem_get_read,
    .get_end = mem_get_end,
};
