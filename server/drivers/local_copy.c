/* local_copy.c - copies inside the local store: the blocks shared where the file system can, else read, checked and written, some
 * at a time. A copy belongs to one thread at a time.
 */
#include "local.h"

#define COPY_READ_BYTES TV_PAYLOAD_BYTES_MAX
/* What a step reads and writes: some milliseconds for a disk. */
#define COPY_STEP_BYTES (16 * TV_MIB)

struct tvs_copy {
    struct tvs_object source;
    struct tvs_get *get;
    struct tvs_put *put;
    bool begun; /* it is known whether blocks can be shared */
    uint64_t offset;
};

/* How many bytes from `offset`, a block's beginning, on are zeros without a look at them: whole blocks, or up to the object's
 * end, inside one gap. The last entry of a list that isn't complete covers other bytes as well. */
static uint64_t zeros_at(const struct tvs_object *source, uint64_t offset) {
    uint32_t exact = source->gaps_listed - (source->gap_count > source->gaps_listed);
    const trove_gap *gap = tv_gaps_find(source->gaps, exact, offset, 1);
    if (gap == NULL)
        return 0;
    uint64_t left = gap->offset + gap->length - offset;
    return offset + left == source->size ? left : left - left % TV_BLOCK_BYTES;
}

/* A put like any other, fed from a get: the next bytes, or the next zeros. */
static trove_status copy_some(struct tvs_copy *copy, uint8_t *buffer, trove_error *error) {
    uint64_t size = copy->source.size;
    uint64_t zeros = zeros_at(&copy->source, copy->offset);
    if (zeros > 0) {
        copy->offset += zeros;
        return tvs_local_put_zeros(copy->put, zeros, error);
    }
    struct tv_data data = {.offset = copy->offset};
    while (copy->offset < size && data.bytes < COPY_READ_BYTES) {
        uint64_t block = size - copy->offset < TV_BLOCK_BYTES ? size - copy->offset : TV_BLOCK_BYTES;
        data.iov[data.iov_count].iov_base = buffer + data.bytes;
        data.iov[data.iov_count++].iov_len = (size_t)block;
        data.bytes += block;
        copy->offset += block;
    }
    trove_status status = tvs_local_get_read(copy->get, &data, error);
    return status == TROVE_OK ? tvs_local_put_write(copy->put, &data, error) : status;
}

/* The buffer is there for a step alone: many copies may have begun, and few are at it. */
static trove_status copy_bytes(struct tvs_copy *copy, trove_error *error) {
    uint64_t size = copy->source.size;
    uint64_t end = size - copy->offset < COPY_STEP_BYTES ? size : copy->offset + COPY_STEP_BYTES;
    uint8_t *buffer = copy->offset < size ? aligned_alloc(4096, COPY_READ_BYTES) : NULL;
    if (copy->offset < size && buffer == NULL)
        return tvs_fail_no_memory("a copy's buffer", error);
    trove_status status = TROVE_OK;
    while (copy->offset < end && status == TROVE_OK)
        status = copy_some(copy, buffer, error);
    free(buffer);
    return status;
}

trove_status tvs_local_copy_begin(struct tvs_driver *driver, const char *from_bucket, const char *from_key, const char *to_bucket,
                                  const char *to_key, const struct tvs_conditions *conditions, struct tvs_copy **copy_out,
                                  trove_error *error) {
    struct tvs_copy *copy = calloc(1, sizeof *copy);
    if (copy == NULL)
        return tvs_fail_no_memory("a copy", error);
    trove_status status = tvs_local_get_begin(driver, from_bucket, from_key, NULL, &copy->get, &copy->source, error);
    if (status == TROVE_OK) {
        struct tvs_put_options options = {.content_type = copy->source.content_type,
                                          .metadata = copy->source.metadata,
                                          .metadata_count = copy->source.metadata_count,
                                          .size_hint = copy->source.size};
        if (conditions != NULL)
            options.conditions = *conditions;
        status = tvs_local_put_begin(driver, to_bucket, to_key, &options, &copy->put, error);
    }
    if (status != TROVE_OK) {
        tvs_local_copy_abort(copy);
        return status;
    }
    *copy_out = copy;
    return TROVE_OK;
}

trove_status tvs_local_copy_step(struct tvs_copy *copy, bool *finished, trove_error *error) {
    trove_status status = TROVE_UNIMPLEMENTED;
    if (!copy->begun)
        status = tvs_local_put_clone(copy->put, copy->get, error);
    copy->begun = true;
    if (status == TROVE_OK)
        copy->offset = copy->source.size;
    else if (status == TROVE_UNIMPLEMENTED)
        status = copy_bytes(copy, error);
    if (status == TROVE_OK && copy->offset == copy->source.size) {
        status = tvs_local_put_take_gaps(copy->put, &copy->source, error);
        *finished = status == TROVE_OK;
    }
    return status;
}

void tvs_local_copy_commit(struct tvs_copy *copy_move, tvs_commit_done done, void *context) {
    struct tvs_put *put = copy_move->put;
    copy_move->put = NULL;
    tvs_local_copy_abort(copy_move);
    tvs_local_put_commit(put, NULL, done, context);
}

void tvs_local_copy_abort(struct tvs_copy *copy_move) {
    if (copy_move == NULL)
        return;
    tvs_local_put_abort(copy_move->put);
    tvs_local_get_end(copy_move->get);
    tvs_object_fini(&copy_move->source);
    free(copy_move);
}
