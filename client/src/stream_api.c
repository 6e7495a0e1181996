/* stream_api.c - what trove.h says of streams: arguments are checked, then the two directions do it.
 *
 * Whatever waits holds a reference meanwhile: a hook may release the stream that another thread waits for.
 */
#include "stream.h"

#include "object_info.h"
#include "options.h"
#include "wait.h"

trove_status trove_stream_open(trove_client *client, const char *bucket, const char *key, trove_direction direction,
                               const trove_stream_options *options, trove_stream **stream, trove_error *error) {
    if (client == NULL || stream == NULL)
        return TV_FAIL(error, INVALID_ARGUMENT, "the %s is NULL", client == NULL ? "client" : "place for the stream");
    struct tvc_stream_request request = {.bucket = bucket, .key = key, .direction = direction, .paused = true};
    trove_status status = tvc_names_check(bucket, key, error);
    if (status == TROVE_OK)
        status = tvc_stream_options_take(options, &request.options, error);
    if (status == TROVE_OK)
        status = tvc_stream_options_check(&request.options, direction, error);
    if (status != TROVE_OK)
        return status;
    return tvc_stream_open(client, &request, tvc_client_deadline(client, request.options.timeout_ms), stream, error);
}

static trove_status check_sends(const trove_stream *stream, trove_error *error) {
    if (stream == NULL)
        return TV_FAIL(error, INVALID_ARGUMENT, "the stream is NULL");
    if (!tvc_stream_sends(stream))
        return TV_FAIL(error, FAILED_PRECONDITION, "%s/%.200s: the stream is a download; it can't be written", stream->bucket,
                       stream->key);
    if (tvc_stream_follows(stream))
        return TV_FAIL(error, FAILED_PRECONDITION, "another stream writes %s/%.200s; this one follows it", stream->bucket,
                       stream->key);
    return TROVE_OK;
}

static trove_status check_receives(const trove_stream *stream, trove_error *error) {
    if (stream == NULL)
        return TV_FAIL(error, INVALID_ARGUMENT, "the stream is NULL");
    if (!tvc_stream_receives(stream))
        return TV_FAIL(error, FAILED_PRECONDITION, "%s/%.200s: the stream is an upload; it can't be read", stream->bucket,
                       stream->key);
    return TROVE_OK;
}

trove_status trove_stream_chunk_get(trove_stream *stream, uint32_t timeout_ms, trove_chunk **chunk_out, trove_error *error) {
    trove_status status = check_sends(stream, error);
    if (status != TROVE_OK)
        return status;
    struct tvc_chunk *chunk = NULL;
    tvc_stream_acquire(stream);
    status = tvc_upload_chunk(stream, tvc_client_deadline(stream->client, timeout_ms), &chunk, error);
    if (status == TROVE_OK) {
        chunk->handle.capacity = (size_t)tvc_upload_chunk_bytes(stream);
        if (stream->movable)
            chunk->handle.offset = TROVE_SIZE_UNKNOWN; /* the program has to say it */
        *chunk_out = &chunk->handle;
    }
    tvc_stream_release(stream);
    return status;
}

void trove_stream_chunk_put(trove_stream *stream, trove_chunk *handle) {
    if (stream == NULL || handle == NULL)
        return;
    struct tvc_chunk *chunk = tvc_chunk_of_handle(handle);
    if (chunk->pool == stream->download.half.chunks) {
        tvc_download_put(stream, chunk);
        return;
    }
    tvc_stream_acquire(stream); /* the chunk's reference may be the last one */
    tv_chunk_release(&chunk->wire);
    if (stream->resume.open != NULL)
        tvc_keep_released(stream);
    tvc_stream_release(stream);
}

trove_status trove_stream_write(trove_stream *stream, trove_chunk **chunk_move, uint32_t timeout_ms, trove_error *error) {
    return trove_stream_write_lossy(stream, chunk_move, timeout_ms, NULL, error);
}

trove_status trove_stream_write_lossy(trove_stream *stream, trove_chunk **chunk_move, uint32_t timeout_ms, trove_drop *dropped,
                                      trove_error *error) {
    trove_status status = check_sends(stream, error);
    if (status != TROVE_OK)
        return status;
    if (chunk_move == NULL || *chunk_move == NULL)
        return TV_FAIL(error, INVALID_ARGUMENT, "the chunk is NULL");
    struct tvc_chunk *chunk = tvc_chunk_of_handle(*chunk_move);
    const trove_chunk *handle = &chunk->handle;
    if (chunk->pool != stream->upload.half.chunks)
        return TV_FAIL(error, INVALID_ARGUMENT,
                       "%s/%.200s: the chunk is not of this stream's way up; take one from trove_stream_chunk_get",
                       stream->bucket, stream->key);
    if (handle->size > handle->capacity || (handle->size == 0 && !handle->final))
        return TV_FAIL(error, INVALID_ARGUMENT,
                       "%s/%.200s: a chunk of %zu bytes; 1 to %zu are allowed, and 0 only in the last one", stream->bucket,
                       stream->key, handle->size, handle->capacity);
    if (stream->movable && handle->offset == TROVE_SIZE_UNKNOWN)
        return TV_FAIL(error, INVALID_ARGUMENT, "%s/%.200s: a chunk without an offset; a stream with on_seek needs to know it",
                       stream->bucket, stream->key);
    chunk->wire.offset = stream->movable ? handle->offset : stream->upload.next_offset;
    chunk->wire.bytes = handle->size;
    chunk->wire.final = handle->final;
    chunk->iov.iov_len = handle->size;
    tvc_stream_acquire(stream);
    status = tvc_upload_write(stream, chunk, tvc_client_deadline(stream->client, timeout_ms), dropped, error);
    if (status == TROVE_OK)
        *chunk_move = NULL;
    tvc_stream_release(stream);
    return status;
}

trove_status trove_stream_read(trove_stream *stream, uint32_t timeout_ms, trove_chunk **chunk_out, trove_error *error) {
    trove_status status = check_receives(stream, error);
    if (status != TROVE_OK)
        return status;
    struct tvc_chunk *chunk = NULL;
    tvc_stream_acquire(stream);
    status = tvc_download_read(stream, tvc_client_deadline(stream->client, timeout_ms), &chunk, error);
    if (status == TROVE_OK)
        *chunk_out = chunk != NULL ? &chunk->handle : NULL;
    tvc_stream_release(stream);
    return status;
}

trove_status trove_stream_complete(trove_stream *stream, uint32_t timeout_ms, trove_object_info **info, trove_error *error) {
    if (stream == NULL)
        return TV_FAIL(error, INVALID_ARGUMENT, "the stream is NULL");
    uint64_t deadline_ns = tvc_client_deadline(stream->client, timeout_ms);
    tvc_stream_acquire(stream);
    trove_status status = TROVE_OK;
    if (tvc_stream_sends(stream))
        status = tvc_upload_finish(stream, deadline_ns, error);
    if (status == TROVE_OK && tvc_stream_receives(stream))
        status = tvc_download_complete(stream, deadline_ns, error);
    if (status == TROVE_OK && tvc_stream_sends(stream))
        status = tvc_upload_wait(stream, deadline_ns, error);
    if (status == TROVE_OK && info != NULL)
        status = tvc_object_info_copy(tvc_stream_object(stream), info, error); /* doesn't change any more */
    tvc_stream_release(stream);
    return status;
}

void trove_stream_release(trove_stream *stream) {
    if (stream == NULL)
        return;
    trove_error why = {TROVE_CANCELLED, "the stream was released before its end"};
    pthread_mutex_lock(&stream->client->lock);
    bool unfinished = !tv_stream_state_terminal(stream->state);
    tvc_stream_end(stream, TV_EVENT_CANCEL, &why);
    pthread_mutex_unlock(&stream->client->lock);
    if (unfinished)
        tvc_stream_send_control(stream, TROVE__V1__CONTROL_TYPE__CANCEL, 0, NULL);
    pthread_mutex_lock(&stream->client->lock);
    tvc_stream_hooks_wait(stream);
    tvc_pool_part(stream);
    pthread_mutex_unlock(&stream->client->lock);
    tvc_stream_release(stream);
}
