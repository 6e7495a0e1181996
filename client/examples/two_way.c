/* two_way.c - rewrites an object while it is read: one stream brings it down and takes its next version up, in capital letters.
 *
 *   two_way URL BUCKET/KEY            as in: two_way ipc:///run/trove/troved.sock texts/poem
 *
 * Readers see the old object until the new one is whole. If somebody else has replaced it meanwhile, nothing is.
 */
#include "trove.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Chunks that were read belong to the way down; what goes up needs chunks of its own. */
static trove_status send_capitals(trove_stream *stream, const trove_chunk *from, trove_error *error) {
    for (size_t at = 0; at < from->size;) {
        const unsigned char *bytes = from->data;
        trove_chunk *to = NULL;
        trove_status status = trove_stream_chunk_get(stream, 0, &to, error);
        if (status != TROVE_OK)
            return status;
        size_t left = from->size - at;
        to->size = left < to->capacity ? left : to->capacity;
        unsigned char *out = to->data;
        for (size_t i = 0; i < to->size; i++)
            out[i] = (unsigned char)toupper(bytes[at + i]);
        at += to->size;
        status = trove_stream_write(stream, &to, 0, error);
        if (status != TROVE_OK) {
            trove_stream_chunk_put(stream, to);
            return status;
        }
    }
    return TROVE_OK;
}

/* One thread does both. Neither way can block the other: while a write waits for the server, the server needs no reader to go
 * on. */
static trove_status rewrite_all(trove_stream *stream, trove_error *error) {
    for (;;) {
        trove_chunk *chunk = NULL;
        trove_status status = trove_stream_read(stream, 0, &chunk, error);
        if (status != TROVE_OK || chunk == NULL)
            return status;
        status = send_capitals(stream, chunk, error);
        trove_stream_chunk_put(stream, chunk);
        if (status != TROVE_OK)
            return status;
    }
}

static trove_status rewrite(trove_client *client, const char *bucket, const char *key, trove_error *error) {
    trove_object_info *info = NULL;
    trove_status status = trove_object_head(client, bucket, key, 0, &info, error);
    if (status != TROVE_OK)
        return status;
    trove_stream_options options;
    trove_stream_options_init(&options);
    options.conditions.if_generation = info->generation; /* this one comes down, and this one is replaced */
    options.content_type = info->content_type;
    options.size = info->size;

    trove_stream *stream = NULL;
    status = trove_stream_open(client, bucket, key, TROVE_DIRECTION_BIDI, &options, &stream, error);
    trove_object_info_free(info);
    if (status != TROVE_OK)
        return status;
    status = trove_stream_start(stream, error);
    if (status == TROVE_OK)
        status = rewrite_all(stream, error);
    if (status == TROVE_OK)
        status = trove_stream_complete(stream, 0, NULL, error); /* both ways are at their end: publishes it */
    if (status == TROVE_OK)
        printf("rewritten: %s, %llu bytes, generation %llu\n", key, (unsigned long long)trove_stream_object(stream)->size,
               (unsigned long long)trove_stream_object(stream)->generation);
    trove_stream_release(stream);
    return status;
}

int main(int argc, char **argv) {
    char *slash = argc == 3 ? strchr(argv[2], '/') : NULL;
    if (slash == NULL) {
        fprintf(stderr, "usage: %s URL BUCKET/KEY\n", argv[0]);
        return 2;
    }
    *slash = '\0';
    trove_error error;
    trove_client *client = NULL;
    trove_status status = trove_connect(argv[1], NULL, &client, &error);
    if (status == TROVE_OK)
        status = rewrite(client, argv[2], slash + 1, &error);
    if (status != TROVE_OK)
        fprintf(stderr, "%s: %s\n", trove_status_name(status), error.message);
    trove_close(client);
    return status == TROVE_OK ? 0 : 1;
}
