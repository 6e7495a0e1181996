/* faulty_streams.c - streams over a bad connection: both ways at once, and seeking. See faulty_wire.h. */
#include "faulty_wire.h"

#include <string.h>

/* A failure of opening or starting; the stream is released then. */
static trove_status open_stream(struct faulty_worker *worker, const char *key, trove_direction direction, trove_stream **stream,
                                trove_error *error) {
    trove_stream_options options;
    trove_stream_options_init(&options);
    options.timeout_ms = FAULTY_STEP_MS;
    options.chunk_bytes = 1024 + seeded_size(&worker->random, 500000);
    trove_status status = trove_stream_open(worker->client, FAULTY_BUCKET, key, direction, &options, stream, error);
    if (status != TROVE_OK)
        return status;
    status = trove_stream_start(*stream, error);
    if (status != TROVE_OK)
        trove_stream_release(*stream);
    return status;
}

static trove_status write_bytes(trove_stream *stream, uint64_t content, size_t from, size_t to, trove_error *error) {
    trove_status status = TROVE_OK;
    while (from < to && status == TROVE_OK) {
        trove_chunk *chunk;
        status = trove_stream_chunk_get(stream, FAULTY_STEP_MS, &chunk, error);
        if (status != TROVE_OK)
            break;
        chunk->size = to - from < chunk->capacity ? to - from : chunk->capacity;
        seeded_fill(content, from, chunk->data, chunk->size);
        from += chunk->size;
        status = trove_stream_write(stream, &chunk, FAULTY_STEP_MS, error);
        if (status != TROVE_OK)
            trove_stream_chunk_put(stream, chunk);
    }
    return status;
}

/* Reads up to `to`, or as little more as whole chunks allow; *from is where it has got to. */
static trove_status read_bytes(trove_stream *stream, uint64_t content, size_t *from, size_t to, trove_error *error) {
    while (*from < to) {
        trove_chunk *chunk;
        trove_status status = trove_stream_read(stream, FAULTY_STEP_MS, &chunk, error);
        if (status != TROVE_OK)
            return status;
        if (chunk == NULL)
            fail_msg("the download has ended at byte %zu of %zu", *from, to);
        if (chunk->offset != *from || !seeded_is(content, *from, chunk->data, chunk->size))
            fail_msg("%zu bytes of a download from %zu are other ones", chunk->size, *from);
        *from += chunk->size;
        trove_stream_chunk_put(stream, chunk);
    }
    return TROVE_OK;
}

static trove_status read_end(trove_stream *stream, trove_error *error) {
    trove_chunk *chunk;
    trove_status status = trove_stream_read(stream, FAULTY_STEP_MS, &chunk, error);
    if (status == TROVE_OK && chunk != NULL)
        fail_msg("a download has %zu bytes too many", chunk->size);
    return status;
}

/* Seeking to where the stream can't go, or no more, is refused, and it goes on as before. Returns whether it was moved. */
static trove_status seek(trove_stream *stream, size_t to, bool *moved, trove_error *error) {
    trove_status status = trove_stream_control(stream, TROVE_CONTROL_SEEK, to, FAULTY_STEP_MS, NULL, error);
    trove_stream_state state = trove_stream_state_get(stream);
    *moved = status == TROVE_OK;
    if (status != TROVE_FAILED_PRECONDITION)
        return status;
    if (state == TROVE_STREAM_FAILED)
        return error->status = TROVE_UNAVAILABLE; /* why is told by what it was doing: see trove_stream_write */
    return TROVE_OK;
}

trove_status faulty_two_way(struct faulty_worker *worker) {
    struct faulty_object object = {0};
    trove_stream *stream;
    trove_error error = {0};
    size_t read = 0;
    faulty_new_key(worker, object.key);
    if (!seeded_once_in(&worker->random, 4))
        faulty_store(worker, &object, faulty_draw_version(worker));
    struct faulty_version next = faulty_draw_version(worker);
    uint64_t began_ms = seeded_now_ms();
    trove_status status = open_stream(worker, object.key, TROVE_DIRECTION_BIDI, &stream, &error);
    if (status == TROVE_OK) {
        status = write_bytes(stream, next.content, 0, next.size, &error);
        if (status == TROVE_OK)
            status = read_bytes(stream, object.now.content, &read, object.now.size, &error);
        if (status == TROVE_OK)
            status = read_end(stream, &error);
        if (status == TROVE_OK)
            status = trove_stream_complete(stream, FAULTY_STEP_MS, NULL, &error);
        trove_stream_release(stream);
    }
    faulty_ended(worker, "two-way", began_ms, status, &error);
    faulty_check_object(worker, &object, next, status);
    return status;
}

/* Writes some of it wrongly, goes back to what is acknowledged of that at most, and writes on as it is to be. What was right
 * already is the same in both, so that nobody need know how far the server has got. */
trove_status faulty_seek_upload(struct faulty_worker *worker) {
    struct faulty_object object = {0};
    struct faulty_version next = faulty_draw_version(worker);
    trove_stream *stream;
    trove_error error = {0};
    bool moved = false;
    size_t right = seeded_below(&worker->random, next.size + 1);
    faulty_new_key(worker, object.key);
    uint64_t began_ms = seeded_now_ms();
    trove_status status = open_stream(worker, object.key, TROVE_DIRECTION_UPLOAD, &stream, &error);
    if (status == TROVE_OK) {
        status = write_bytes(stream, next.content, 0, right, &error);
        if (status == TROVE_OK)
            status = write_bytes(stream, next.content + 1, right, right + seeded_size(&worker->random, 300000), &error);
        trove_stream_metrics metrics;
        trove_stream_metrics_get(stream, &metrics);
        size_t to = seeded_below(&worker->random, (metrics.bytes_acknowledged < right ? metrics.bytes_acknowledged : right) + 1);
        if (status == TROVE_OK)
            status = seek(stream, to, &moved, &error);
        if (status == TROVE_OK && !moved)
            fail_msg("an upload didn't go back to %zu, of %llu acknowledged bytes: %s", to,
                     (unsigned long long)metrics.bytes_acknowledged, error.message);
        if (status == TROVE_OK)
            status = write_bytes(stream, next.content, to, next.size, &error);
        if (status == TROVE_OK)
            status = trove_stream_complete(stream, FAULTY_STEP_MS, NULL, &error);
        trove_stream_release(stream);
    }
    faulty_ended(worker, "seek up", began_ms, status, &error);
    faulty_check_object(worker, &object, next, status);
    return status;
}

trove_status faulty_seek_download(struct faulty_worker *worker) {
    const struct faulty_version *version = &worker->base.now;
    trove_stream *stream;
    trove_error error = {0};
    size_t at = 0;
    uint64_t began_ms = seeded_now_ms();
    trove_status status = open_stream(worker, worker->base.key, TROVE_DIRECTION_DOWNLOAD, &stream, &error);
    if (status == TROVE_OK) {
        for (uint64_t seeks = seeded_below(&worker->random, 3); seeks > 0 && status == TROVE_OK; seeks--) {
            bool moved;
            size_t to = seeded_below(&worker->random, version->size + 1);
            status = read_bytes(stream, version->content, &at, seeded_below(&worker->random, version->size + 1), &error);
            if (status == TROVE_OK)
                status = seek(stream, to, &moved, &error);
            if (status == TROVE_OK && moved)
                at = to;
        }
        if (status == TROVE_OK)
            status = read_bytes(stream, version->content, &at, version->size, &error);
        if (status == TROVE_OK)
            status = read_end(stream, &error);
        trove_stream_release(stream);
    }
    return faulty_ended(worker, "seek down", began_ms, status, &error);
}
