/* mem_put.c - puts into the mem driver: an object that one thread builds, block by block, each charged before it is taken. */
#include "mem_put.h"

#include <string.h>

void tvs_mem_put_abort(struct tvs_put *put_move) {
    if (put_move == NULL)
        return;
    if (put_move->upload != NULL) {
        tvs_mem_upload_release(put_move->mem, put_move->upload);
        free(put_move);
        return;
    }
    tvs_mem_object_release(put_move->object);
    tvs_block_sums_fini(&put_move->sums);
    tv_gaps_fini(&put_move->gaps);
    tvs_digest_destroy(put_move->digest);
    pthread_mutex_destroy(&put_move->lock);
    free(put_move);
}

trove_status tvs_mem_put_begin(struct tvs_driver *driver, const char *bucket, const char *key,
                               const struct tvs_put_options *options, struct tvs_put **put, trove_error *error) {
    struct tvs_mem *mem = tvs_mem_of(driver);
    struct tvs_put *made = calloc(1, sizeof *made);
    if (made == NULL)
        return tvs_fail_no_memory("a put", error);
    made->mem = mem;
    pthread_mutex_init(&made->lock, NULL);
    tvs_block_sums_init(&made->sums, NULL); /* bounded as the bytes are */
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
        status = tvs_digest_create(options->digest, &made->digest, error);
    if (status == TROVE_OK)
        status = tvs_mem_object_create(mem, key, tvs_strings_bytes(options), options->metadata_count, &made->object, error);
    if (status != TROVE_OK) {
        tvs_mem_put_abort(made);
        return status;
    }
    tvs_strings_write(options, made->object->key + made->object->key_bytes + 1);
    *put = made;
    return TROVE_OK;
}

static bool resize_table(struct tvs_put *put, size_t capacity) {
    pthread_mutex_lock(&put->lock);
    void **resized = realloc(put->object->blocks, capacity * sizeof *resized);
    if (resized != NULL)
        put->object->blocks = resized;
    pthread_mutex_unlock(&put->lock);
    if (resized != NULL)
        put->block_capacity = capacity;
    return resized != NULL;
}

static trove_status add_block(struct tvs_put *put, trove_error *error) {
    struct tvs_mem_object *object = put->object;
    if (object->block_count == put->block_capacity && !resize_table(put, put->block_capacity == 0 ? 1 : put->block_capacity * 2))
        return tvs_fail_no_memory("an object's blocks", error);
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
    pthread_mutex_lock(&put->lock);
    void *resized = realloc(object->blocks[object->block_count - 1], capacity);
    if (resized != NULL)
        object->blocks[object->block_count - 1] = resized;
    pthread_mutex_unlock(&put->lock);
    if (resized == NULL && capacity > put->last_capacity)
        atomic_fetch_sub(&put->mem->bytes, capacity - put->last_capacity);
    if (resized == NULL)
        return tvs_fail_no_memory("an object's block", error);
    if (capacity < put->last_capacity)
        atomic_fetch_sub(&put->mem->bytes, put->last_capacity - capacity);
    object->charged_bytes = object->charged_bytes - put->last_capacity + capacity;
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

/* A call on a put begins: *content is the one that has the bytes. On success it ends with `leave`. */
static trove_status enter(struct tvs_put *put, struct tvs_put **content, trove_error *error) {
    *content = put;
    if (put->upload == NULL)
        return TROVE_OK;
    trove_status status = tvs_upload_gate_enter(&put->upload->gate, put->epoch, error);
    if (status == TROVE_OK)
        *content = put->upload->content;
    return status;
}

static void leave(struct tvs_put *put) {
    if (put->upload != NULL)
        tvs_upload_gate_leave(&put->upload->gate);
}

static trove_status write_content(struct tvs_put *put, const struct tv_data *data, trove_error *error) {
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
            TV_ASSERT(object->blocks[object->block_count - 1] != NULL);
            memcpy((char *)object->blocks[object->block_count - 1] + used, from, here);
            object->size += here;
            from += here;
            left -= here;
        }
    }
    if (put->digest != NULL)
        tvs_digest_add(put->digest, data);
    return tvs_block_sums_append(&put->sums, data, error);
}

trove_status tvs_mem_put_write(struct tvs_put *put, const struct tv_data *data, trove_error *error) {
    struct tvs_put *content;
    trove_status status = enter(put, &content, error);
    if (status != TROVE_OK)
        return status;
    status = write_content(content, data, error);
    leave(put);
    return status;
}

/* Zeros in a block that has other bytes, too. */
static trove_status write_zeros(struct tvs_put *put, size_t used, size_t bytes, trove_error *error) {
    trove_status status = make_room(put, used, bytes, error);
    if (status == TROVE_OK)
        memset((char *)put->object->blocks[put->object->block_count - 1] + used, 0, bytes);
    return status;
}

/* The blocks that lie wholly in this range. */
static uint64_t holes_in(uint64_t offset, uint64_t length) {
    uint64_t lead = (TV_BLOCK_BYTES - offset % TV_BLOCK_BYTES) % TV_BLOCK_BYTES;
    return length > lead ? (length - lead) / TV_BLOCK_BYTES : 0;
}

trove_status tvs_mem_put_gap(struct tvs_put *put, uint64_t offset, uint64_t length, trove_error *error) {
    TV_ASSERT(put->upload == NULL && put->digest == NULL);
    struct tvs_mem_object *object = put->object;
    TV_ASSERT(offset == object->size);
    uint64_t tables = holes_in(offset, length) * TVS_MEM_HOLE_BYTES;
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

static void give_back(struct tvs_put *put, size_t bytes) {
    put->object->charged_bytes -= bytes;
    atomic_fetch_sub_explicit(&put->mem->bytes, bytes, memory_order_relaxed);
}

static void drop_last_block(struct tvs_put *put) {
    struct tvs_mem_object *object = put->object;
    void *block = object->blocks[--object->block_count];
    give_back(put, block != NULL ? put->last_capacity : TVS_MEM_HOLE_BYTES);
    free(block);
    put->last_capacity = TV_BLOCK_BYTES; /* of the one before it, which is whole */
}

/* A block that lay in a gap and isn't whole any more has its zeros for itself. */
static trove_status rewind_blocks(struct tvs_put *put, uint64_t offset, trove_error *error) {
    struct tvs_mem_object *object = put->object;
    size_t kept = (size_t)(offset % TV_BLOCK_BYTES);
    while (object->block_count > tv_block_count(offset))
        drop_last_block(put);
    object->size = offset;
    bool is_hole = kept > 0 && object->blocks[object->block_count - 1] == NULL;
    if (is_hole)
        drop_last_block(put);
    if (put->block_capacity > 4 * (object->block_count + 1))
        (void)resize_table(put, object->block_count + 1); /* that a smaller one can't be had does no harm */
    return is_hole ? write_zeros(put, 0, kept, error) : TROVE_OK;
}

/* What is left is hashed once more. */
static void restart_digest(struct tvs_put *put) {
    const struct tvs_mem_object *object = put->object;
    tvs_digest_restart(put->digest);
    for (uint64_t offset = 0; offset < object->size; offset += TV_BLOCK_BYTES) {
        uint64_t left = object->size - offset;
        struct tv_data data = {.offset = offset, .bytes = left < TV_BLOCK_BYTES ? left : TV_BLOCK_BYTES, .iov_count = 1};
        data.iov[0] = (struct iovec){object->blocks[offset / TV_BLOCK_BYTES], (size_t)data.bytes};
        tvs_digest_add(put->digest, &data);
    }
}

trove_status tvs_mem_content_rewind(struct tvs_put *put, uint64_t offset, trove_error *error) {
    struct tvs_mem_object *object = put->object;
    TV_ASSERT(offset <= object->size);
    if (offset == object->size && offset == put->sums.bytes)
        return TROVE_OK;
    size_t index = (size_t)(offset / TV_BLOCK_BYTES);
    trove_error inner = {0};
    trove_status status =
        tvs_block_sums_rewind(&put->sums, offset, index < object->block_count ? object->blocks[index] : NULL, &inner);
    if (status != TROVE_OK) {
        char name[TVS_NAME_BYTES];
        return tv_error_set(error, status, "going back in %s: %s", tvs_object_name(put->bucket, object->key, name),
                            inner.message);
    }
    tv_gaps_truncate(&put->gaps, offset);
    status = rewind_blocks(put, offset, error);
    if (status == TROVE_OK && put->digest != NULL)
        restart_digest(put);
    return status;
}

trove_status tvs_mem_put_rewind(struct tvs_put *put, uint64_t offset, trove_error *error) {
    struct tvs_put *content;
    trove_status status = enter(put, &content, error);
    if (status != TROVE_OK)
        return status;
    uint64_t flushed = put->upload != NULL ? tvs_mem_upload_durable_offset(put) : 0;
    if (offset < flushed)
        status = tvs_fail_rewind(offset, flushed, error);
    else
        status = tvs_mem_content_rewind(content, offset, error);
    leave(put);
    return status;
}

static trove_status read_content(struct tvs_put *put, struct tv_data *data, trove_error *error) {
    const void *blocks[TV_DATA_PIECES_MAX];
    size_t first = (size_t)(data->offset / TV_BLOCK_BYTES);
    TV_ASSERT(data->iov_count <= TV_DATA_PIECES_MAX);
    pthread_mutex_lock(&put->lock);
    for (uint32_t i = 0; i < data->iov_count; i++) {
        blocks[i] = put->object->blocks[first + i];
        if (data->iov[i].iov_len < TV_BLOCK_BYTES) /* it may be the last one, which moves */
            tvs_mem_copy_piece(&data->iov[i], blocks[i]);
    }
    pthread_mutex_unlock(&put->lock);
    for (uint32_t i = 0; i < data->iov_count; i++)
        if (data->iov[i].iov_len == TV_BLOCK_BYTES)
            tvs_mem_copy_piece(&data->iov[i], blocks[i]);
    tv_data_hash(data);
    trove_error inner = {0};
    trove_status status = tvs_block_sums_verify(&put->sums, data, &inner);
    if (status == TROVE_OK)
        return TROVE_OK;
    char name[TVS_NAME_BYTES];
    return tv_error_set(error, status, "reading what was put so far of %s: %s",
                        tvs_object_name(put->bucket, put->object->key, name), inner.message);
}

trove_status tvs_mem_put_read(struct tvs_put *put, struct tv_data *data, trove_error *error) {
    struct tvs_put *content;
    trove_status status = enter(put, &content, error);
    if (status != TROVE_OK)
        return status;
    status = read_content(content, data, error);
    leave(put);
    return status;
}

trove_status tvs_mem_put_expect(struct tvs_put *put, const struct tvs_declared_digest *digest, trove_error *error) {
    struct tvs_put *content;
    trove_status status = enter(put, &content, error);
    if (status != TROVE_OK)
        return status;
    status = tvs_digest_expect(content->digest, digest, error);
    leave(put);
    return status;
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

/* Publishes what the put has. `holder`: whose upload it is, and `result` what becomes of that; else both NULL. */
static trove_status finish(struct tvs_put *put, struct tvs_put *holder, struct tvs_object *result, const char *expected,
                           struct tvs_object *described, trove_error *error) {
    struct tvs_mem_object *object = put->object;
    trove_status status = tvs_block_sums_finish(&put->sums, expected, object->etag, error);
    if (status == TROVE_OK)
        status = tvs_digest_check(put->digest, error);
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
    if (status == TROVE_OK && holder != NULL)
        status = tvs_object_copy(result, described, error);
    const struct tvs_mem_change change = {.bucket = put->bucket,
                                          .bucket_id = put->bucket_id,
                                          .key = object->key,
                                          .conditions = &put->conditions,
                                          .object = object,
                                          .holder = holder,
                                          .result = result};
    if (status == TROVE_OK)
        status = tvs_mem_publish(put->mem, &change, error);
    described->generation = object->generation;
    described->modified_ns = object->modified_ns;
    return status;
}

/* As it was before `finish`, which has failed. */
static void reopen(struct tvs_put *put) {
    if (put->object->sums != NULL) {
        put->sums.sums = put->object->sums;
        put->object->sums = NULL;
    }
    tvs_block_sums_resume(&put->sums);
}

static trove_status finish_upload(struct tvs_put *holder, const char *expected, struct tvs_object *described,
                                  trove_error *error) {
    struct tvs_put *content;
    struct tvs_object result = {0};
    trove_status status = enter(holder, &content, error);
    if (status != TROVE_OK)
        return status;
    status = finish(content, holder, &result, expected, described, error);
    if (status == TROVE_OK) {
        holder->upload->content = NULL;
        tvs_mem_put_abort(content); /* the object lives on */
    } else {
        reopen(content);
    }
    leave(holder);
    tvs_object_fini(&result);
    return status;
}

void tvs_mem_put_commit(struct tvs_put *put_move, const char *expected, tvs_commit_done done, void *context) {
    trove_error error = {0};
    struct tvs_object object = {0};
    trove_status status = put_move->upload != NULL ? finish_upload(put_move, expected, &object, &error)
                                                   : finish(put_move, NULL, NULL, expected, &object, &error);
    done(context, status, status == TROVE_OK ? &object : NULL, &error);
    tvs_object_fini(&object);
    tvs_mem_put_abort(put_move);
}

void tvs_mem_put_small(struct tvs_driver *driver, const char *bucket, const char *key, const struct tvs_put_options *options,
                       const struct tv_data *data, tvs_commit_done done, void *context) {
    struct tvs_put *put = NULL;
    trove_error error = {0};
    trove_status status = tvs_mem_put_begin(driver, bucket, key, options, &put, &error);
    if (status == TROVE_OK)
        status = tvs_mem_put_write(put, data, &error);
    if (status == TROVE_OK) {
        tvs_mem_put_commit(put, NULL, done, context);
        return;
    }
    tvs_mem_put_abort(put);
    done(context, status, NULL, &error);
}
