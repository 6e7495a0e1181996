/*
 * Ours in the benchmark: libtrove's public API against a running troved. See bench_client.h for the interface.
 *
 * up and down move chunks through streams, the payload being what happens to lie in the pool's buffers: like the peers' it is
 * hashed by the sender and verified by the receiver, and never filled again. The call modes keep `window` calls under way.
 *
 * Threads: up and down one per connection; the call modes submit from one thread per connection, while completions come on the
 * library's hook threads.
 */
#include "bench_client.h"

#include "trove.h"

#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TIMEOUT_MS 60000

struct connection {
    const struct bench_options *options;
    uint32_t index;
    trove_client *client;
    trove_stream *stream;
    uint64_t bytes;
    uint64_t ops;
    struct bench_latency latency;
    sem_t slots; /* call modes: calls that may still be begun */
    atomic_uint failures;
    char failure[TROVE_ERROR_MESSAGE_BYTES];
};

static bool failed(struct connection *connection, const char *what, const trove_error *error) {
    fprintf(stderr, "trove_bench: connection %u: %s: %s\n", connection->index, what, error->message);
    return false;
}

/* ---- streams ---- */

static bool open_stream(struct connection *connection, uint64_t bytes) {
    const struct bench_options *options = connection->options;
    bool up = strcmp(options->mode, "up") == 0;
    trove_stream_options stream_options;
    trove_stream_options_init(&stream_options);
    stream_options.chunk_bytes = options->chunk_bytes;
    stream_options.channel_chunks = options->window;
    char key[64];
    snprintf(key, sizeof key, "bench-%u-%llu", connection->index, (unsigned long long)bytes);
    trove_error error;
    if (trove_stream_open(connection->client, "bench", key, up ? TROVE_DIRECTION_UPLOAD : TROVE_DIRECTION_DOWNLOAD,
                          &stream_options, &connection->stream, &error) != TROVE_OK)
        return failed(connection, "opening a stream", &error);
    return true;
}

static bool run_up(struct connection *connection) {
    struct bench_budget budget = bench_budget_share(connection->options, connection->index);
    trove_error error;
    if (trove_stream_start(connection->stream, &error) != TROVE_OK)
        return failed(connection, "start", &error);
    for (size_t bytes; (bytes = bench_budget_take(&budget, connection->options->chunk_bytes)) > 0;) {
        trove_chunk *chunk = NULL;
        if (trove_stream_chunk_get(connection->stream, TIMEOUT_MS, &chunk, &error) != TROVE_OK)
            return failed(connection, "taking a chunk", &error);
        chunk->size = bytes;
        if (trove_stream_write(connection->stream, &chunk, TIMEOUT_MS, &error) != TROVE_OK)
            return failed(connection, "writing", &error);
        connection->bytes += bytes;
        connection->ops++;
    }
    if (trove_stream_complete(connection->stream, TIMEOUT_MS, NULL, &error) != TROVE_OK)
        return failed(connection, "completing", &error);
    return true;
}

static bool run_down(struct connection *connection) {
    trove_error error;
    if (trove_stream_start(connection->stream, &error) != TROVE_OK)
        return failed(connection, "start", &error);
    for (;;) {
        trove_chunk *chunk = NULL;
        if (trove_stream_read(connection->stream, TIMEOUT_MS, &chunk, &error) != TROVE_OK)
            return failed(connection, "reading", &error);
        if (chunk == NULL)
            break;
        connection->bytes += chunk->size;
        connection->ops++;
        trove_stream_chunk_put(connection->stream, chunk);
    }
    if (trove_stream_complete(connection->stream, TIMEOUT_MS, NULL, &error) != TROVE_OK)
        return failed(connection, "completing", &error);
    return true;
}

/* ---- calls ---- */

static void on_done(void *context, const trove_error *error, const void *data, size_t size) {
    struct connection *connection = context;
    (void)data;
    (void)size;
    if (error != NULL && atomic_fetch_add(&connection->failures, 1) == 0)
        snprintf(connection->failure, sizeof connection->failure, "%s", error->message);
    sem_post(&connection->slots);
}

static bool submit(struct connection *connection, const void *data, size_t bytes) {
    trove_error error;
    trove_status status;
    if (strcmp(connection->options->mode, "durable-put") == 0) {
        char key[32];
        /* Each object is a new one, which costs a store more than the one key that redis-benchmark writes again and again. */
        snprintf(key, sizeof key, "%u-%llu", connection->index, (unsigned long long)connection->ops);
        status = trove_put_async(connection->client, "bench", key, data, bytes, TIMEOUT_MS, on_done, connection, &error);
    } else {
        status = trove_echo_async(connection->client, data, bytes, TIMEOUT_MS, on_done, connection, &error);
    }
    return status == TROVE_OK || failed(connection, "a call", &error);
}

static bool run_calls(struct connection *connection) {
    const struct bench_options *options = connection->options;
    struct bench_budget budget = bench_budget_share(options, connection->index);
    uint32_t window = strcmp(options->mode, "unary-one") == 0 ? 1 : options->window;
    char *data = calloc(1, options->chunk_bytes);
    bool good = data != NULL && sem_init(&connection->slots, 0, window) == 0;
    for (size_t bytes; good && (bytes = bench_budget_take(&budget, options->chunk_bytes)) > 0;) {
        double begin_s = bench_now_s();
        sem_wait(&connection->slots);
        good = submit(connection, data, bytes);
        if (good && window == 1) { /* its completion gives the only slot back */
            sem_wait(&connection->slots);
            bench_latency_add(&connection->latency, bench_now_s() - begin_s);
            sem_post(&connection->slots);
        }
        connection->bytes += bytes;
        connection->ops += good;
    }
    for (uint32_t i = 0; good && i < window; i++)
        sem_wait(&connection->slots);
    free(data);
    if (atomic_load(&connection->failures) > 0) {
        fprintf(stderr, "trove_bench: %u calls failed, the first with: %s\n", connection->failures, connection->failure);
        return false;
    }
    return good;
}

/* ---- all connections ---- */

static bool is_stream(const struct bench_options *options) {
    return strcmp(options->mode, "up") == 0 || strcmp(options->mode, "down") == 0;
}

static void *run(void *argument) {
    struct connection *connection = argument;
    bool good = strcmp(connection->options->mode, "up") == 0     ? run_up(connection)
                : strcmp(connection->options->mode, "down") == 0 ? run_down(connection)
                                                                 : run_calls(connection);
    return good ? connection : NULL;
}

static bool connect_all(struct connection *connections, const struct bench_options *options) {
    for (uint32_t i = 0; i < options->connections; i++) {
        struct connection *connection = &connections[i];
        connection->options = options;
        connection->index = i;
        trove_error error;
        if (trove_connect(options->server, NULL, &connection->client, &error) != TROVE_OK)
            return failed(connection, "connecting", &error);
        struct bench_budget budget = bench_budget_share(options, i);
        if (is_stream(options) && !open_stream(connection, budget.bytes_left))
            return false;
    }
    return true;
}

static bool run_all(struct connection *connections, uint32_t count) {
    pthread_t *threads = calloc(count, sizeof *threads);
    bool good = threads != NULL;
    uint32_t started = 0;
    while (good && started < count && pthread_create(&threads[started], NULL, run, &connections[started]) == 0)
        started++;
    good = good && started == count;
    for (uint32_t i = 0; i < started; i++) {
        void *result = NULL;
        pthread_join(threads[i], &result);
        good = good && result != NULL;
    }
    free(threads);
    return good;
}

static void report(struct connection *connections, uint32_t count, double seconds, double cpu_s) {
    struct bench_report total = {.seconds = seconds, .cpu_client_s = cpu_s, .p50_us = -1.0, .p99_us = -1.0};
    for (uint32_t i = 0; i < count; i++) {
        total.bytes += connections[i].bytes;
        total.ops += connections[i].ops;
    }
    if (count == 1) {
        total.p50_us = bench_latency_percentile_us(&connections[0].latency, 0.50);
        total.p99_us = bench_latency_percentile_us(&connections[0].latency, 0.99);
    }
    bench_report_print(&total);
}

int main(int argc, char **argv) {
    struct bench_options options;
    if (bench_options_parse(argc, argv, &options) != 0)
        return 2;
    struct connection *connections = calloc(options.connections, sizeof *connections);
    bool good = connections != NULL && connect_all(connections, &options);
    double begin_s = bench_now_s();
    double begin_cpu_s = bench_cpu_s();
    good = good && run_all(connections, options.connections);
    double seconds = bench_now_s() - begin_s;
    double cpu_s = bench_cpu_s() - begin_cpu_s;
    if (good)
        report(connections, options.connections, seconds, cpu_s);
    for (uint32_t i = 0; connections != NULL && i < options.connections; i++) {
        trove_stream_release(connections[i].stream);
        trove_close(connections[i].client);
        bench_latency_fini(&connections[i].latency);
    }
    free(connections);
    return good ? 0 : 1;
}
