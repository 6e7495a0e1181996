/* download.c - a managed download stream: open, start, read verified chunks, give them back.
 *
 *   download URL BUCKET/KEY > FILE
 */
#include "trove.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Every chunk's bytes were checked before they are seen here. Giving a chunk back lets the server send the next one. */
static trove_status receive(trove_stream *stream, FILE *file, trove_error *error) {
    for (;;) {
        trove_chunk *chunk = NULL;
        trove_status status = trove_stream_read(stream, 0, &chunk, error);
        if (status != TROVE_OK || chunk == NULL)
            return status;
        size_t written = fwrite(chunk->data, 1, chunk->size, file);
        size_t size = chunk->size;
        trove_stream_chunk_put(stream, chunk);
        if (written < size)
            trove_stream_fail(stream, TROVE_ABORTED, "the output can't be written");
    }
}

static trove_status download(trove_client *client, const char *bucket, const char *key, FILE *file, trove_error *error) {
    trove_stream *stream = NULL;
    trove_status status = trove_stream_open(client, bucket, key, TROVE_DIRECTION_DOWNLOAD, NULL, &stream, error);
    if (status != TROVE_OK)
        return status;
    const trove_object_info *info = trove_stream_object(stream);
    fprintf(stderr, "%s: %llu bytes, %s\n", info->key, (unsigned long long)info->size, info->content_type);
    status = trove_stream_start(stream, error);
    if (status == TROVE_OK)
        status = receive(stream, file, error);
    if (status == TROVE_OK)
        status = trove_stream_complete(stream, 0, NULL, error);
    trove_stream_metrics metrics;
    trove_stream_metrics_get(stream, &metrics);
    fprintf(stderr, "%s: %llu chunks, %.0f bytes/s\n", trove_stream_state_name(metrics.state),
            (unsigned long long)metrics.chunks_received, metrics.bytes_per_second);
    trove_stream_release(stream);
    return status;
}

int main(int argc, char **argv) {
    char *slash = argc == 3 ? strchr(argv[2], '/') : NULL;
    if (slash == NULL) {
        fprintf(stderr, "usage: %s URL BUCKET/KEY > FILE\n", argv[0]);
        return 2;
    }
    *slash = '\0';
    trove_error error;
    trove_client *client = NULL;
    trove_status status = trove_connect(argv[1], NULL, &client, &error);
    if (status == TROVE_OK)
        status = download(client, argv[2], slash + 1, stdout, &error);
    if (status != TROVE_OK)
        fprintf(stderr, "%s: %s\n", trove_status_name(status), error.message);
    trove_close(client);
    return status == TROVE_OK && fflush(stdout) == 0 ? 0 : 1;
}
