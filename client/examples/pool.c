/* pool.c - several files at once through a pool: three streams at a time, one limit for all, hooks that tell what happens.
 *
 *   pool URL BUCKET FILE...           as in: pool ipc:///run/trove/troved.sock media *.mp4
 */
#include "trove.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FILES_MAX 64

struct job {
    trove_pool *pool;
    const char *bucket;
    const char *path;
    unsigned chunks; /* acknowledged; the hooks' alone until the stream is released, as the next one */
    bool told;       /* that it failed */
    trove_status status;
    pthread_t thread;
};

/* Hooks are called from one thread of the client's, one after the other, so what they share needs no lock. */
static void on_chunk(void *context, const trove_chunk_ack *ack) {
    struct job *job = context;
    (void)ack;
    job->chunks++;
}

static void on_complete(void *context, const trove_object_info *info) {
    const struct job *job = context;
    printf("stored: %s (%llu bytes in %u chunks)\n", info->key, (unsigned long long)info->size, job->chunks);
}

static void on_error(void *context, const trove_error *error) {
    struct job *job = context;
    fprintf(stderr, "%s: %s\n", job->path, error->message);
    job->told = true;
}

/* Log lines of the program's own: a second set beside that of the options. */
static void log_chunk(void *context, const trove_chunk_ack *ack) {
    const struct job *job = context;
    fprintf(stderr, "%s: chunk %llu after %.1f ms\n", job->path, (unsigned long long)ack->index, (double)ack->latency_ns / 1e6);
}

static trove_status send_file(trove_stream *stream, FILE *file, trove_error *error) {
    for (;;) {
        trove_chunk *chunk = NULL;
        trove_status status = trove_stream_chunk_get(stream, 0, &chunk, error);
        if (status != TROVE_OK)
            return status;
        chunk->size = fread(chunk->data, 1, chunk->capacity, file);
        if (chunk->size > 0)
            status = trove_stream_write(stream, &chunk, 0, error); /* waits while the limit is used up */
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

static trove_status upload(struct job *job, FILE *file, trove_error *error) {
    const char *slash = strrchr(job->path, '/');
    const trove_stream_hooks more = {.context = job, .on_chunk = log_chunk};
    trove_stream_options options;
    trove_stream_options_init(&options);
    options.hooks = (trove_stream_hooks){.context = job, .on_chunk = on_chunk, .on_complete = on_complete, .on_error = on_error};

    trove_stream *stream = NULL;
    /* Waits for its turn, for a minute at most. */
    trove_status status = trove_pool_acquire(job->pool, job->bucket, slash != NULL ? slash + 1 : job->path,
                                             TROVE_DIRECTION_UPLOAD, &options, 60000, &stream, error);
    if (status != TROVE_OK)
        return status;
    status = trove_stream_hooks_add(stream, &more, error);
    if (status == TROVE_OK)
        status = trove_stream_start(stream, error);
    if (status == TROVE_OK)
        status = send_file(stream, file, error);
    if (status == TROVE_OK)
        status = trove_stream_complete(stream, 0, NULL, error);
    trove_pool_release(job->pool, stream); /* lets the next one in; from here on no hook of the stream runs */
    return status;
}

static void *run(void *context) {
    struct job *job = context;
    trove_error error;
    FILE *file = fopen(job->path, "rb");
    job->status = TROVE_NOT_FOUND;
    if (file == NULL) {
        perror(job->path);
        return NULL;
    }
    job->status = upload(job, file, &error);
    if (job->status != TROVE_OK && !job->told) /* it never came to a stream */
        fprintf(stderr, "%s: %s\n", trove_status_name(job->status), error.message);
    fclose(file);
    return NULL;
}

static bool tell_stream(void *context, trove_stream *stream) {
    trove_stream_metrics metrics;
    (void)context;
    trove_stream_metrics_get(stream, &metrics);
    fprintf(stderr, "stream %llu: %s, %llu bytes\n", (unsigned long long)trove_stream_id(stream),
            trove_stream_state_name(metrics.state), (unsigned long long)metrics.bytes_acknowledged);
    return true;
}

static int run_all(trove_pool *pool, const char *bucket, char **paths, int count) {
    struct job jobs[FILES_MAX];
    int failed = 0;
    for (int i = 0; i < count; i++) {
        jobs[i] = (struct job){.pool = pool, .bucket = bucket, .path = paths[i]};
        if (pthread_create(&jobs[i].thread, NULL, run, &jobs[i]) != 0)
            abort();
    }
    trove_pool_walk(pool, tell_stream, NULL); /* those that are under way already */
    for (int i = 0; i < count; i++) {
        pthread_join(jobs[i].thread, NULL);
        failed += jobs[i].status != TROVE_OK;
    }
    trove_pool_metrics metrics;
    trove_pool_snapshot(pool, &metrics);
    printf("total: %llu streams, %llu bytes, half of the chunks within %.1f ms\n", (unsigned long long)metrics.total_streams,
           (unsigned long long)metrics.total_bytes, (double)metrics.latency_p50_ns / 1e6);
    return failed;
}

int main(int argc, char **argv) {
    if (argc < 4 || argc > 3 + FILES_MAX) {
        fprintf(stderr, "usage: %s URL BUCKET FILE...\n", argv[0]);
        return 2;
    }
    trove_error error;
    trove_client *client = NULL;
    trove_pool *pool = NULL;
    trove_pool_options options;
    trove_pool_options_init(&options);
    options.max_streams = 3;
    options.bytes_per_second = (uint64_t)100 * 1024 * 1024;
    options.idle_timeout_ms = 30000;
    int failed = 1;
    trove_status status = trove_connect(argv[1], NULL, &client, &error);
    if (status == TROVE_OK)
        status = trove_bucket_create(client, argv[2], 0, &error);
    if (status == TROVE_ALREADY_EXISTS)
        status = TROVE_OK;
    if (status == TROVE_OK)
        status = trove_pool_create(client, "uploads", &options, &pool, &error);
    if (status == TROVE_OK)
        failed = run_all(pool, argv[2], argv + 3, argc - 3);
    else
        fprintf(stderr, "%s: %s\n", trove_status_name(status), error.message);
    trove_pool_close(pool, 0);
    trove_close(client);
    return failed == 0 ? 0 : 1;
}
