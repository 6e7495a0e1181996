/* local_copy.c - copies inside the local store: the blocks shared where the file system can, else read, checked and written. */
#include "local.h"
#include "local_waiter.h"

#define COPY_STEP_BYTES TV_PAYLOAD_BYTES_MAX

struct copy {
    struct tvs_driver *driver;
    struct tvs_get *get;
    struct tvs_put *put;
    uint8_t *buffer;
};

/* How many bytes from `offset`, a block's beginning, on are zeros without a look at them: whole blocks, or up to the object's end,
 * inside one gap. The last entry of a list that isn't complete covers other bytes as well. */
static uint64_t zeros_at(const struct tvs_object *source, uint64_t offset) {
    uint32_t exact = source->gaps_listed - (source->gap_count > source->gaps_listed);
    const trove_gap *gap = tv_gaps_find(source->gaps, exact, offset, 1);
    if (gap == NULL)
        return 0;
    uint64_t left = gap->offset + gap->length - offset;
    return offset + left == source->size ? left : left - left % TV_BLOCK_BYTES;
}

/* A put like any other, fed from a get. */
static trove_status copy_bytes(struct copy *copy, const struct tvs_object *source, trove_error *error) {
    uint64_t size = source->size;
    if (size > 0 && (copy->buffer = aligned_alloc(4096, COPY_STEP_BYTES)) == NULL)
        return tvs_fail_no_memory("a copy's buffer", error);
    for (uint64_t offset = 0; offset < size;) {
        uint64_t zeros = zeros_at(source, offset);
        if (zeros > 0) {
            trove_status status = tvs_local_put_zeros(copy->put, zeros, error);
            if (status != TROVE_OK)
                return status;
            offset += zeros;
            continue;
        }
        struct tv_data data = {.offset = offset};
        while (offset < size && data.bytes < COPY_STEP_BYTES) {
            uint64_t block = size - offset < TV_BLOCK_BYTES ? size - offset : TV_BLOCK_BYTES;
            data.iov[data.iov_count].iov_base = copy->buffer + data.bytes;
            data.iov[data.iov_count++].iov_len = (size_t)block;
            data.bytes += block;
            offset += block;
        }
        trove_status status = tvs_local_get_read(copy->get, &data, error);
        if (status == TROVE_OK)
            status = tvs_local_put_write(copy->put, &data, error);
        if (status != TROVE_OK)
            return status;
    }
    return TROVE_OK;
}

static trove_status copy_object(struct copy *copy, const struct tvs_object *source, const char *to_bucket, const char *to_key,
                                const struct tvs_conditions *conditions, trove_error *error) {
    struct tvs_put_options options = {.content_type = source->content_type,
                                      .metadata = source->metadata,
                                      .metadata_count = source->metadata_count,
                                      .size_hint = source->size};
    if (conditions != NULL)
        options.conditions = *conditions;
    trove_status status = tvs_local_put_begin(copy->driver, to_bucket, to_key, &options, &copy->put, error);
    if (status != TROVE_OK)
        return status;
    status = tvs_local_put_clone(copy->put, copy->get, error);
    if (status == TROVE_UNIMPLEMENTED)
        status = copy_bytes(copy, source, error);
    return status == TROVE_OK ? tvs_local_put_take_gaps(copy->put, source, error) : status;
}

trove_status tvs_local_copy(struct tvs_driver *driver, const char *from_bucket, const char *from_key, const char *to_bucket,
                            const char *to_key, const struct tvs_conditions *conditions, struct tvs_object *object,
                            trove_error *error) {
    struct copy copy = {.driver = driver};
    struct tvs_object source = {0};
    trove_status status = tvs_local_get_begin(driver, from_bucket, from_key, NULL, &copy.get, &source, error);
    if (status != TROVE_OK)
        return status;
    status = copy_object(&copy, &source, to_bucket, to_key, conditions, error);
    if (status == TROVE_OK) {
        struct tvs_waiter waiter;
        tvs_waiter_init(&waiter, object, error);
        tvs_local_put_commit(copy.put, NULL, tvs_waiter_done, &waiter);
        status = tvs_waiter_wait(&waiter);
    } else {
        tvs_local_put_abort(copy.put);
    }
    tvs_object_fini(&source);
    tvs_local_get_end(copy.get);
    free(copy.buffer);
    return status;
}
