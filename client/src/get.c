/* get.c - reading whole objects into memory or a descriptor. See transfer.h; into a file: get_file.c. */
#include "object_info.h"
#include "stream.h"
#include "transfer.h"

#include <string.h>

static trove_status read_all(const struct tvc_transfer *transfer, trove_stream *stream, tvc_consume consume, void *context,
                             trove_error *error) {
    for (;;) {
        struct tvc_chunk *chunk = NULL;
        uint64_t seen = tvc_transfer_moved(stream);
        trove_status status;
        do
            status = tvc_download_read(stream, tvc_transfer_deadline(transfer), &chunk, error);
        while (tvc_transfer_again(stream, status, &seen));
        if (status != TROVE_OK || chunk == NULL)
            return status;
        status = consume(context, stream, &chunk->handle, error);
        tvc_download_put(stream, chunk);
        if (status != TROVE_OK)
            return status;
    }
}

trove_status tvc_get(const struct tvc_transfer *transfer, const struct tvc_own_memory *own, tvc_consume consume, void *context,
                     trove_object_info **info, trove_error *error) {
    trove_stream *stream = NULL;
    trove_status status = tvc_transfer_open(transfer, TROVE_DIRECTION_DOWNLOAD, own, &stream, error);
    if (status != TROVE_OK)
        return status;
    trove_error why;
    status = read_all(transfer, stream, consume, context, &why);
    if (status == TROVE_OK && info != NULL)
        status = tvc_object_info_copy(stream->download.object, info, &why);
    if (status != TROVE_OK) {
        trove_stream_fail(stream, status, why.message);
        tv_error_copy(error, &why);
    }
    if (own != NULL)
        tvc_transfer_take_back(stream);
    tvc_transfer_release(transfer, stream);
    return status;
}

/* ---- memory ---- */

struct memory_target {
    char *data;
    uint64_t range_offset;
    uint64_t bytes; /* so far */
};

/* The bytes are where they belong already; what a lossy stream has lost reads as zeros. */
static trove_status count_bytes(void *context, const trove_stream *stream, const trove_chunk *chunk, trove_error *error) {
    struct memory_target *target = context;
    (void)stream;
    (void)error;
    uint64_t at = chunk->offset - target->range_offset;
    if (at > target->bytes)
        memset(target->data + target->bytes, 0, (size_t)(at - target->bytes));
    target->bytes = at + chunk->size;
    return TROVE_OK;
}

trove_status trove_get_memory(trove_client *client, const char *bucket, const char *key, void *data, size_t capacity,
                              const trove_stream_options *options, size_t *size_read, trove_object_info **info,
                              trove_error *error) {
    struct tvc_transfer transfer;
    trove_status status = tvc_transfer_begin(&transfer, client, bucket, key, TROVE_DIRECTION_DOWNLOAD, options, error);
    if (status == TROVE_OK && data == NULL && capacity > 0)
        status = TV_FAIL(error, INVALID_ARGUMENT, "the data is NULL");
    if (status != TROVE_OK)
        return status;
    const struct tvc_own_memory own = {data, capacity};
    struct memory_target target = {data, transfer.options.range_offset, 0};
    status = tvc_get(&transfer, &own, count_bytes, &target, info, error);
    if (status == TROVE_OK && size_read != NULL)
        *size_read = (size_t)target.bytes;
    return status;
}

/* ---- descriptors ---- */

struct fd_target {
    const struct tvc_transfer *transfer;
    int fd;
    uint64_t offset; /* of the object's next byte */
};

/* What a lossy stream has lost: zeros keep the rest in its place. */
static trove_status write_zeros(const struct fd_target *target, const trove_stream *stream, uint64_t count, trove_error *error) {
    static const char zeros[64 * TV_KIB];
    trove_status status = TROVE_OK;
    while (count > 0 && status == TROVE_OK) {
        size_t step = count < sizeof zeros ? (size_t)count : sizeof zeros;
        status = tvc_fd_write(target->transfer, stream, target->fd, zeros, step, error);
        count -= step;
    }
    return status;
}

static trove_status write_bytes(void *context, const trove_stream *stream, const trove_chunk *chunk, trove_error *error) {
    struct fd_target *target = context;
    trove_status status = write_zeros(target, stream, chunk->offset - target->offset, error);
    if (status == TROVE_OK)
        status = tvc_fd_write(target->transfer, stream, target->fd, chunk->data, chunk->size, error);
    target->offset = chunk->offset + chunk->size;
    return status;
}

trove_status trove_get_fd(trove_client *client, const char *bucket, const char *key, int fd, const trove_stream_options *options,
                          trove_object_info **info, trove_error *error) {
    struct tvc_transfer transfer;
    trove_status status = tvc_transfer_begin(&transfer, client, bucket, key, TROVE_DIRECTION_DOWNLOAD, options, error);
    if (status != TROVE_OK)
        return status;
    struct fd_target target = {&transfer, fd, transfer.options.range_offset};
    return tvc_get(&transfer, NULL, write_bytes, &target, info, error);
}
