/* upload.c - a managed upload stream: open, start, fill chunks from the stream's pool, complete.
 *
 *   upload URL FILE BUCKET/KEY        as in: upload ipc:///run/trove/troved.sock video.mp4 media/video.mp4
 */
#include "trove.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void on_progress(void *context, const trove_progress *progress) {
    (void)context;
    printf("\r%3.0f%% (%.0f bytes/s)", progress->percent, progress->bytes_per_second);
    fflush(stdout);
}

static void on_complete(void *context, const trove_object_info *info) {
    (void)context;
    printf("\nupload complete: %s (%llu bytes, etag %s)\n", info->key, (unsigned long long)info->size, info->etag);
}

static void on_error(void *context, const trove_error *error) {
    (void)context;
    fprintf(stderr, "\nstream error: %s\n", error->message);
}

/* Reads the file chunk by chunk, straight into the stream's own buffers. */
static trove_status send_file(trove_stream *stream, FILE *file, trove_error *error) {
    for (;;) {
        trove_chunk *chunk = NULL;
        trove_status status = trove_stream_chunk_get(stream, 0, &chunk, error);
        if (status != TROVE_OK)
            return status;
        chunk->size = fread(chunk->data, 1, chunk->capacity, file);
        if (chunk->size > 0)
            status = trove_stream_write(stream, &chunk, 0, error); /* blocks while the server doesn't keep up */
        if (chunk == NULL)
            continue;
        trove_stream_chunk_put(stream, chunk); /* it is still ours: the end of the file, or an error */
        if (status == TROVE_OK && ferror(file)) {
            trove_stream_fail(stream, TROVE_ABORTED, "the file can't be read");
            return trove_stream_complete(stream, 0, NULL, error);
        }
        return status;
    }
}

static trove_status upload(trove_client *client, FILE *file, uint64_t size, const char *bucket, const char *key,
                           trove_error *error) {
    trove_stream_options options;
    trove_stream_options_init(&options);
    options.chunk_bytes = (uint64_t)4 * 1024 * 1024;
    options.size = size; /* so that progress has a percentage; TROVE_SIZE_UNKNOWN for a pipe */
    options.content_type = "application/octet-stream";
    options.hooks.on_progress = on_progress;
    options.hooks.on_complete = on_complete;
    options.hooks.on_error = on_error;

    trove_stream *stream = NULL;
    trove_status status = trove_stream_open(client, bucket, key, TROVE_DIRECTION_UPLOAD, &options, &stream, error);
    if (status != TROVE_OK)
        return status;
    status = trove_stream_start(stream, error);
    if (status == TROVE_OK)
        status = send_file(stream, file, error);
    if (status == TROVE_OK)
        status = trove_stream_complete(stream, 0, NULL, error); /* waits until the object is durable */
    trove_stream_release(stream);                               /* cancels what isn't complete */
    return status;
}

int main(int argc, char **argv) {
    char *slash = argc == 4 ? strchr(argv[3], '/') : NULL;
    if (slash == NULL) {
        fprintf(stderr, "usage: %s URL FILE BUCKET/KEY\n", argv[0]);
        return 2;
    }
    *slash = '\0';
    FILE *file = fopen(argv[2], "rb");
    long size = -1;
    if (file != NULL && fseek(file, 0, SEEK_END) == 0)
        size = ftell(file);
    if (size < 0 || fseek(file, 0, SEEK_SET) != 0) {
        perror(argv[2]);
        return 1;
    }
    trove_error error;
    trove_client *client = NULL;
    trove_status status = trove_connect(argv[1], NULL, &client, &error);
    if (status == TROVE_OK)
        status = trove_bucket_create(client, argv[3], 0, &error);
    if (status == TROVE_ALREADY_EXISTS)
        status = TROVE_OK;
    if (status == TROVE_OK)
        status = upload(client, file, (uint64_t)size, argv[3], slash + 1, &error);
    if (status != TROVE_OK)
        fprintf(stderr, "%s: %s\n", trove_status_name(status), error.message);
    trove_close(client);
    fclose(file);
    return status == TROVE_OK ? 0 : 1;
}
