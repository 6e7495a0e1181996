/* mem.c - the driver "mem": objects in bounded memory, for tests and scratch; gone with the process.
 *
 * Threads: any. One lock guards buckets and maps and is held for look-ups and changes only, never while bytes are copied or a
 * callback runs. Objects are constant once they are published and counted by references, so a get goes on undisturbed when its
 * object is replaced or deleted. All that grows is charged against `memory_bytes` first.
 */
#include "mem_upload.h"
#include "object.h"

#include <string.h>
#include <sys/random.h>

#define MEM_BYTES_DEFAULT (256 * TV_MIB)
/* What an object costs besides its bytes and names: block table, allocator's overhead. */
#define MEM_OBJECT_OVERHEAD_BYTES 256

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
    tvs_mem_uploads_init(&mem->uploads);
    *driver = &mem->base;
    return TROVE_OK;
}

static void mem_close(struct tvs_driver *driver) {
    struct tvs_mem *mem = tvs_mem_of(driver);
    tvs_mem_uploads_fini(mem);
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

static trove_status mem_block_sums(struct tvs_driver *driver, const char *bucket, const char *key, uint64_t first,
                                   size_t count_max, uint64_t *sums, size_t *count, struct tvs_object *object,
                                   trove_error *error) {
    struct tvs_mem_object *found = NULL;
    trove_status status = tvs_mem_object_open(tvs_mem_of(driver), bucket, key, &found, error);
    if (status != TROVE_OK)
        return status;
    status = tvs_mem_describe(found, object, error);
    if (status == TROVE_OK) {
        size_t behind = first < found->block_count ? found->block_count - (size_t)first : 0;
        *count = behind < count_max ? behind : count_max;
        if (*count > 0)
            memcpy(sums, found->sums + first, *count * sizeof *sums);
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

const struct tvs_mem_object *tvs_mem_get_object(const struct tvs_get *get) {
    return get->object;
}

void tvs_mem_copy_piece(const struct iovec *to, const void *block) {
    if (block != NULL)
        memcpy(to->iov_base, block, to->iov_len);
    else
        memset(to->iov_base, 0, to->iov_len);
}

static trove_status mem_get_read(struct tvs_get *get, struct tv_data *data, trove_error *error) {
    const struct tvs_mem_object *object = get->object;
    char name[TVS_NAME_BYTES];
    trove_status status = tvs_range_check(data, object->size, get->bucket, object->key, error);
    if (status != TROVE_OK)
        return status;
    size_t first = (size_t)(data->offset / TV_BLOCK_BYTES);
    for (uint32_t i = 0; i < data->iov_count; i++)
        tvs_mem_copy_piece(&data->iov[i], object->blocks[first + i]);
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

/* ---- changing -------------------------------------------------------------------------------------------------------- */

/* The old object is given back for release outside the lock. */
static trove_status publish(struct tvs_mem *mem, const struct tvs_mem_change *change, struct tvs_mem_object **old,
                            trove_error *error) {
    struct tvs_mem_bucket *in = tvs_mem_bucket_find(mem, change->bucket);
    struct tvs_mem_object *object = change->object;
    if (in == NULL || (change->bucket_id != 0 && in->id != change->bucket_id))
        return tvs_fail_no_bucket(change->bucket, error);
    struct tvs_mem_object *found = tvs_mem_map_find(&in->map, change->key);
    if (found == NULL && object == NULL)
        return tvs_fail_no_object(change->bucket, change->key, error);
    trove_status status = tvs_conditions_check(change->conditions, found == NULL ? NULL : found->etag,
                                               found == NULL ? 0 : found->generation, change->bucket, change->key, error);
    if (status != TROVE_OK)
        return status;
    if (found != NULL) {
        *old = tvs_mem_map_remove(&in->map, change->key);
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

trove_status tvs_mem_publish(struct tvs_mem *mem, const struct tvs_mem_change *change, trove_error *error) {
    struct tvs_mem_object *old = NULL;
    struct tvs_mem_upload *too_many = NULL;
    trove_status status = TROVE_OK;
    pthread_mutex_lock(&mem->lock);
    if (change->holder != NULL)
        status = tvs_mem_upload_check_locked(change->holder, error);
    if (status == TROVE_OK)
        status = publish(mem, change, &old, error);
    if (status == TROVE_OK && change->holder != NULL)
        too_many = tvs_mem_upload_complete_locked(mem, change);
    pthread_mutex_unlock(&mem->lock);
    tvs_mem_object_release(old);
    tvs_mem_upload_release(mem, too_many);
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

static trove_status mem_delete(struct tvs_driver *driver, const char *bucket, const char *key,
                               const struct tvs_conditions *conditions, trove_error *error) {
    struct tvs_conditions_copy wanted;
    tvs_conditions_keep(conditions, &wanted);
    const struct tvs_mem_change change = {.bucket = bucket, .key = key, .conditions = &wanted};
    return tvs_mem_publish(tvs_mem_of(driver), &change, error);
}

const struct tvs_driver_ops tvs_mem_driver = {
    .scheme = "mem",
    .capabilities = TVS_CAP_RANGE | TVS_CAP_SERVER_COPY | TVS_CAP_NONBLOCKING | TVS_CAP_RESUMABLE,
    .open = mem_open,
    .close = mem_close,
    .bucket_create = tvs_mem_bucket_create,
    .bucket_delete = tvs_mem_bucket_delete,
    .bucket_list = tvs_mem_bucket_list,
    .head = mem_head,
    .list = tvs_mem_list,
    .delete = mem_delete,
    .copy_begin = tvs_mem_copy_begin,
    .copy_step = tvs_mem_copy_step,
    .copy_commit = tvs_mem_copy_commit,
    .copy_abort = tvs_mem_copy_abort,
    .block_sums = mem_block_sums,
    .put_begin = tvs_mem_put_begin,
    .put_write = tvs_mem_put_write,
    .put_gap = tvs_mem_put_gap,
    .put_rewind = tvs_mem_put_rewind,
    .put_read = tvs_mem_put_read,
    .put_expect = tvs_mem_put_expect,
    .put_commit = tvs_mem_put_commit,
    .put_abort = tvs_mem_put_abort,
    .put_small = tvs_mem_put_small,
    .get_begin = mem_get_begin,
    .get_read = mem_get_read,
    .get_end = mem_get_end,
    .upload_begin = tvs_mem_upload_begin,
    .upload_attach = tvs_mem_upload_attach,
    .upload_open = tvs_mem_upload_open,
    .put_flush = tvs_mem_put_flush,
    .upload_abort = tvs_mem_upload_abort,
    .upload_stat = tvs_mem_upload_stat,
    .upload_list = tvs_mem_upload_list,
    .upload_collect = tvs_mem_upload_collect,
    .scrub = tvs_mem_scrub,
};
