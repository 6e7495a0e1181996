/* trove_crowd.c - a crowd of clients in the benchmark whose streams stand still: what do they cost the server, and the others?
 *
 *   trove_crowd MODE --server URL --connections N --count STREAMS [--chunk BYTES] [--window N]
 *
 * Every other stream is a download of one object that all share and that the crowd stores first, the rest are uploads.
 * - stalled: the downloads give credit and are never read. Of the uploads every other one is never written; the rest have sent
 *   half of their window.
 * - open: each stream moves two chunks, written and read to the end as everywhere, and then is idle.
 * It prints "msg=ready" when all stand as they should, and stands until a signal ends it: all at once, as a host is lost.
 *
 * Threads: main opens the streams, one after the other; what comes is the library's threads' business.
 */
#include "bench_client.h"

#include "trove.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#define TIMEOUT_MS 60000

static const uint32_t chunks_moved = 2;

struct crowd {
    const struct bench_options *options;
    bool stalled;
    trove_stream **streams; /* none is released: they stand until the process ends */
    trove_error error;
};

/* A descriptor for each connection. */
static void raise_file_limit(void) {
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
}

/* Twice what a download's window takes, so that its end never comes. */
static size_t object_bytes(const struct bench_options *options) {
    return 2 * options->chunk_bytes * (options->window + chunks_moved);
}

static void object_key(const struct bench_options *options, char *key, size_t bytes) {
    snprintf(key, bytes, "crowd-%zu", object_bytes(options));
}

static bool store_object(struct crowd *crowd) {
    char key[64];
    object_key(crowd->options, key, sizeof key);
    trove_client *client = NULL;
    void *zeros = calloc(1, object_bytes(crowd->options));
    bool good =
        zeros != NULL && trove_connect(crowd->options->server, NULL, &client, &crowd->error) == TROVE_OK &&
        trove_put_memory(client, "bench", key, zeros, object_bytes(crowd->options), NULL, NULL, &crowd->error) == TROVE_OK;
    trove_close(client);
    free(zeros);
    return good;
}

static bool write_chunks(struct crowd *crowd, trove_stream *stream, uint32_t count) {
    for (uint32_t i = 0; i < count; i++) {
        trove_chunk *chunk = NULL;
        if (trove_stream_chunk_get(stream, TIMEOUT_MS, &chunk, &crowd->error) != TROVE_OK)
            return false;
        memset(chunk->data, 'x', chunk->capacity);
        chunk->size = chunk->capacity;
        if (trove_stream_write(stream, &chunk, TIMEOUT_MS, &crowd->error) != TROVE_OK) {
            trove_stream_chunk_put(stream, chunk);
            return false;
        }
    }
    return true;
}

static bool read_chunks(struct crowd *crowd, trove_stream *stream, uint32_t count) {
    for (uint32_t i = 0; i < count; i++) {
        trove_chunk *chunk = NULL;
        if (trove_stream_read(stream, TIMEOUT_MS, &chunk, &crowd->error) != TROVE_OK)
            return false;
        trove_stream_chunk_put(stream, chunk);
    }
    return true;
}

static bool open_stream(struct crowd *crowd, trove_client *client, uint32_t index) {
    bool down = index % 2 == 0;
    bool never_written = crowd->stalled && index % 4 == 1;
    trove_stream_options options;
    trove_stream_options_init(&options);
    options.chunk_bytes = crowd->options->chunk_bytes;
    options.channel_chunks = crowd->options->window;
    char key[64];
    snprintf(key, sizeof key, "crowd-up-%u", index);
    if (down)
        object_key(crowd->options, key, sizeof key);
    trove_stream *stream = NULL;
    if (trove_stream_open(client, "bench", key, down ? TROVE_DIRECTION_DOWNLOAD : TROVE_DIRECTION_UPLOAD, &options, &stream,
                          &crowd->error) != TROVE_OK ||
        trove_stream_start(stream, &crowd->error) != TROVE_OK)
        return false;
    crowd->streams[index] = stream;
    if (down)
        return read_chunks(crowd, stream, crowd->stalled ? 0 : chunks_moved);
    uint32_t half = crowd->options->window / 2;
    return write_chunks(crowd, stream, never_written ? 0 : crowd->stalled ? half : chunks_moved);
}

/* Neighbours share a connection: with an even number on each, half of them are downloads. */
static bool open_all(struct crowd *crowd) {
    const struct bench_options *options = crowd->options;
    trove_client **clients = calloc(options->connections, sizeof(trove_client *));
    bool good = clients != NULL;
    for (uint32_t i = 0; good && i < options->connections; i++)
        good = trove_connect(options->server, NULL, &clients[i], &crowd->error) == TROVE_OK;
    for (uint32_t i = 0; good && i < options->count; i++)
        good = open_stream(crowd, clients[(uint64_t)i * options->connections / options->count], i);
    free(clients);
    return good;
}

/* Nobody stands while bytes are still on their way: downloads fill their windows, uploads have theirs acknowledged. */
static bool wait_still(struct crowd *crowd) {
    const double deadline_s = bench_now_s() + TIMEOUT_MS / 1000.0;
    for (uint64_t i = 0; i < crowd->options->count;) {
        trove_stream_metrics metrics;
        trove_stream_metrics_get(crowd->streams[i], &metrics);
        bool still = i % 2 == 0 ? metrics.chunks_queued == crowd->options->window : metrics.bytes_waiting == 0;
        if (!still && bench_now_s() > deadline_s) {
            snprintf(crowd->error.message, sizeof crowd->error.message, "stream %llu doesn't come to a stand",
                     (unsigned long long)i);
            return false;
        }
        i += still;
        if (!still)
            usleep(1000);
    }
    return true;
}

int main(int argc, char **argv) {
    struct bench_options options;
    if (bench_options_parse(argc, argv, &options) != 0)
        return 2;
    struct crowd crowd = {.options = &options, .stalled = strcmp(options.mode, "stalled") == 0};
    if (!crowd.stalled && strcmp(options.mode, "open") != 0) {
        fprintf(stderr, "trove_crowd: unknown mode %s\n", options.mode);
        return 2;
    }
    raise_file_limit();
    crowd.streams = calloc(options.count, sizeof(trove_stream *));
    if (crowd.streams == NULL || !store_object(&crowd) || !open_all(&crowd) || !wait_still(&crowd)) {
        fprintf(stderr, "trove_crowd: %s\n", crowd.error.message);
        return 1;
    }
    printf("msg=ready connections=%u streams=%llu\n", options.connections, (unsigned long long)options.count);
    fflush(stdout);
    for (;;)
        pause();
}
