/* get.c - reading whole objects into memory or a descriptor. See transfer.h; into a file: get_file.c. */
#include "object_info.h"
#include "stream.h"
#include "transfer.h"

#include <string.h>

static trove_status read_all(const struct tvc_transfer *transfer, const struct tvc_consumer *consumer, trove_stream *stream,
                             trove_error *error) {
    trove_status status = TROVE_OK;
    if (consumer->prepare != NULL)
        status = consumer->prepare(consumer->context, stream->object, stream->size, error);
    while (status == TROVE_OK) {
        struct tvc_chunk *chunk = NULL;
        status = tvc_download_read(stream, tvc_transfer_deadline(transfer), &chunk, error);
        if (status != TROVE_OK || chunk == NULL)
            break;
        status = consumer->consume(consumer->context, &chunk->handle, error);
        tvc_download_put(stream, chunk);
    }
    return status;
}

trove_status tvc_get(const struct tvc_transfer *transfer, const struct tvc_consumer *consumer, trove_object_info **info,
                     trove_error *error) {
    trove_stream *stream = NULL;
    trove_status status = tvc_transfer_open(transfer, TROVE_DIRECTION_DOWNLOAD, false, &stream, error);
    if (status != TROVE_OK)
        return status;
    trove_error why;
    status = read_all(transfer, consumer, stream, &why);
    if (status == TROVE_OK && info != NULL)
        status = tvc_object_info_copy(stream->object, info, &why);
    if (status != TROVE_OK) {
        trove_stream_fail(stream, status, why.message);
        tv_error_copy(error, &why);
    }
    trove_stream_release(stream);
    return status;
}

/* ---- memory ---- */

struct memory_target {
    char *data;
    size_t capacity;
    size_t used;
};

static trove_status memory_prepare(void *context, const trove_object_info *object, uint64_t size, trove_error *error) {
    const struct memory_target *target = context;
    if (size > target->capacity)
        return TV_FAIL(error, OUT_OF_RANGE, "%s/%.200s: %llu bytes don't fit into %zu", object->bucket, object->key,
                       (unsigned long long)size, target->capacity);
    return TROVE_OK;
}

static trove_status memory_consume(void *context, const trove_chunk *chunk, trove_error *error) {
    struct memory_target *target = context;
    if (chunk->size > target->capacity - target->used)
        return TV_FAIL(error, INTERNAL, "the server has sent more than it said");
    memcpy(target->data + target->used, chunk->data, chunk->size);
    target->used += chunk->size;
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
    struct memory_target target = {.data = data, .capacity = capacity};
    struct tvc_consumer consumer = {memory_prepare, memory_consume, &target};
    status = tvc_get(&transfer, &consumer, info, error);
    if (status == TROVE_OK && size_read != NULL)
        *size_read = target.used;
    return status;
}

/* ---- descriptors ---- */

struct fd_target {
    const struct tvc_transfer *transfer;
    int fd;
};

static trove_status fd_consume(void *context, const trove_chunk *chunk, trove_error *error) {
    const struct fd_target *target = context;
    return tvc_fd_write(target->transfer, target->fd, chunk->data, chunk->size, error);
}

trove_status trove_get_fd(trove_client *client, const char *bucket, const char *key, int fd, const trove_stream_options *options,
                          trove_object_info **info, trove_error *error) {
    struct tvc_transfer transfer;
    trove_status status = tvc_transfer_begin(&transfer, client, bucket, key, TROVE_DIRECTION_DOWNLOAD, options, error);
    if (status != TROVE_OK)
        return status;
    struct fd_target target = {&transfer, fd};
    struct tvc_consumer consumer = {NULL, fd_consume, &target};
    return tvc_get(&transfer, &consumer, info, error);
}
