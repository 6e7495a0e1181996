/* trove_bench.c - ours in the benchmark: libtrove's public API against a running troved. See bench_client.h for the interface.
 *
 * up, down and both (one stream that goes both ways) move chunks, the payload being what happens to lie in the pool's buffers:
 * like the peers' it is hashed by the sender and verified by the receiver, and never filled again. The call modes keep `window`
 * calls under way.
 *
 * Threads: up and down one per connection, both two: one writes, one reads; the call modes begin from one thread per connection
 * and go on on the library's hook threads.
 */
#include "bench_client.h"

#include "trove.h"

#include <pthread.h>
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
    uint64_t bytes; /* the writer's, or the calls' */
    uint64_t ops;
    uint64_t bytes_down; /* the reader's */
    uint64_t ops_down;
    /* the call modes; constant while they run */
    bool puts;
    char *data;
    struct slot *slots;
    uint32_t slot_count;
    /* theirs under `lock`; bytes and ops are, too */
    pthread_mutex_t lock;
    pthread_cond_t idle;
    uint64_t bytes_left;
    uint32_t active; /* slots that are at work */
    uint32_t failures;
    char failure[TROVE_ERROR_MESSAGE_BYTES];
};

static bool failed(struct connection *connection, const char *what, const trove_error *error) {
    fprintf(stderr, "trove_bench: connection %u: %s: %s\n", connection->index, what, error->message);
    return false;
}

/* ---- streams ---- */

static bool open_stream(struct connection *connection, uint64_t bytes) {
    const struct bench_options *options = connection->options;
    trove_direction direction = strcmp(options->mode, "up") == 0     ? TROVE_DIRECTION_UPLOAD
                                : strcmp(options->mode, "down") == 0 ? TROVE_DIRECTION_DOWNLOAD
                                                                     : TROVE_DIRECTION_BIDI;
    trove_stream_options stream_options;
    trove_stream_options_init(&stream_options);
    stream_options.chunk_bytes = options->chunk_bytes;
    stream_options.channel_chunks = options->window;
    char key[64];
    snprintf(key, sizeof key, "bench-%u-%llu", connection->index, (unsigned long long)bytes);
    trove_error error;
    if (trove_stream_open(connection->client, "bench", key, direction, &stream_options, &connection->stream, &error) != TROVE_OK)
        return failed(connection, "opening a stream", &error);
    return true;
}

static bool start(struct connection *connection) {
    trove_error error;
    return trove_stream_start(connection->stream, &error) == TROVE_OK || failed(connection, "start", &error);
}

/* Waits for both ways, where there are two. */
static bool complete(struct connection *connection) {
    trove_error error;
    return trove_stream_complete(connection->stream, TIMEOUT_MS, NULL, &error) == TROVE_OK ||
           failed(connection, "completing", &error);
}

static bool write_all(struct connection *connection) {
    uint64_t left = bench_share(connection->options, connection->index);
    trove_error error;
    for (size_t bytes; (bytes = bench_take(&left, connection->options->chunk_bytes)) > 0;) {
        trove_chunk *chunk = NULL;
        if (trove_stream_chunk_get(connection->stream, TIMEOUT_MS, &chunk, &error) != TROVE_OK)
            return failed(connection, "taking a chunk", &error);
        chunk->size = bytes;
        if (trove_stream_write(connection->stream, &chunk, TIMEOUT_MS, &error) != TROVE_OK)
            return failed(connection, "writing", &error);
        connection->bytes += bytes;
        connection->ops++;
    }
    return true;
}

static bool read_all(struct connection *connection) {
    trove_error error;
    for (;;) {
        trove_chunk *chunk = NULL;
        if (trove_stream_read(connection->stream, TIMEOUT_MS, &chunk, &error) != TROVE_OK)
            return failed(connection, "reading", &error);
        if (chunk == NULL)
            return true;
        connection->bytes_down += chunk->size;
        connection->ops_down++;
        trove_stream_chunk_put(connection->stream, chunk);
    }
}

static bool run_up(struct connection *connection) {
    return start(connection) && write_all(connection) && complete(connection);
}

static bool run_down(struct connection *connection) {
    return start(connection) && read_all(connection) && complete(connection);
}

static void *read_beside(void *argument) {
    return read_all(argument) ? argument : NULL;
}

static bool run_both(struct connection *connection) {
    pthread_t reader;
    if (!start(connection) || pthread_create(&reader, NULL, read_beside, connection) != 0)
        return false;
    bool good = write_all(connection) && complete(connection);
    if (!good)
        trove_stream_fail(connection->stream, TROVE_CANCELLED, "the other way failed"); /* or the reader would wait on */
    void *result = NULL;
    pthread_join(reader, &result);
    return good && result != NULL;
}

/* ---- calls ---- */

/* One call at a time; each answer starts the next from its own `done`, as the gRPC peer's callbacks do, so that no thread is
 * woken between calls. */
struct slot {
    struct connection *connection;
    size_t bytes; /* of the call under way */
    double begin_s;
    struct bench_latency latency;
};

static void leave(struct connection *connection) {
    pthread_mutex_lock(&connection->lock);
    if (--connection->active == 0)
        pthread_cond_signal(&connection->idle);
    pthread_mutex_unlock(&connection->lock);
}

static void fail_call(struct connection *connection, const char *why) {
    pthread_mutex_lock(&connection->lock);
    if (connection->failures++ == 0)
        snprintf(connection->failure, sizeof connection->failure, "%s", why);
    pthread_mutex_unlock(&connection->lock);
}

/* Draws the next call's number and bytes; false: enough. */
static bool claim(struct connection *connection, uint64_t *number, size_t *bytes) {
    pthread_mutex_lock(&connection->lock);
    *bytes = connection->failures == 0 ? bench_take(&connection->bytes_left, connection->options->chunk_bytes) : 0;
    *number = connection->ops;
    connection->ops += *bytes > 0;
    connection->bytes += *bytes;
    pthread_mutex_unlock(&connection->lock);
    return *bytes > 0;
}

static void on_done(void *context, const trove_error *error, const void *data, size_t size);

static void next_call(struct slot *slot) {
    struct connection *connection = slot->connection;
    trove_client *client = connection->client;
    uint64_t number;
    if (!claim(connection, &number, &slot->bytes)) {
        leave(connection);
        return;
    }
    slot->begin_s = bench_now_s();
    trove_error error;
    trove_status status;
    if (connection->puts) {
        char key[32];
        /* Each object of a run has its own key; the next run on the same store writes all of them again. Random keys of
         * redis-benchmark's are likewise new at first and overwritten later. */
        snprintf(key, sizeof key, "%u-%llu", connection->index, (unsigned long long)number);
        status = trove_put_async(client, "bench", key, connection->data, slot->bytes, TIMEOUT_MS, on_done, slot, &error);
    } else {
        status = trove_echo_async(client, connection->data, slot->bytes, TIMEOUT_MS, on_done, slot, &error);
    }
    if (status == TROVE_OK)
        return;
    fail_call(connection, error.message);
    leave(connection);
}

static void on_done(void *context, const trove_error *error, const void *data, size_t size) {
    struct slot *slot = context;
    struct connection *connection = slot->connection;
    if (error != NULL)
        fail_call(connection, error->message);
    else if (!connection->puts && (size != slot->bytes || memcmp(data, connection->data, size) != 0))
        fail_call(connection, "the answer isn't what was sent");
    bench_latency_add(&slot->latency, bench_now_s() - slot->begin_s);
    next_call(slot);
}

static bool run_calls(struct connection *connection) {
    for (uint32_t i = 0; i < connection->slot_count; i++)
        next_call(&connection->slots[i]);
    pthread_mutex_lock(&connection->lock);
    while (connection->active > 0)
        pthread_cond_wait(&connection->idle, &connection->lock);
    pthread_mutex_unlock(&connection->lock);
    if (connection->failures > 0)
        fprintf(stderr, "trove_bench: %u calls failed, the first with: %s\n", connection->failures, connection->failure);
    return connection->failures == 0;
}

static bool make_slots(struct connection *connection) {
    const struct bench_options *options = connection->options;
    uint32_t window = strcmp(options->mode, "unary-one") == 0 ? 1 : options->window;
    connection->slots = calloc(window, sizeof *connection->slots);
    connection->data = malloc(options->chunk_bytes);
    if (connection->slots == NULL || connection->data == NULL)
        return false;
    memset(connection->data, 'x', options->chunk_bytes);
    connection->slot_count = window;
    connection->active = window;
    connection->bytes_left = bench_share(options, connection->index);
    connection->puts = strcmp(options->mode, "durable-put") == 0;
    for (uint32_t i = 0; i < window; i++)
        connection->slots[i].connection = connection;
    return true;
}

/* ---- all connections ---- */

static void *run(void *argument) {
    struct connection *connection = argument;
    bool good = strcmp(connection->options->mode, "up") == 0     ? run_up(connection)
                : strcmp(connection->options->mode, "down") == 0 ? run_down(connection)
                : strcmp(connection->options->mode, "both") == 0 ? run_both(connection)
                                                                 : run_calls(connection);
    return good ? connection : NULL;
}

static bool connect_all(struct connection *connections, const struct bench_options *options) {
    for (uint32_t i = 0; i < options->connections; i++) {
        struct connection *connection = &connections[i];
        connection->options = options;
        connection->index = i;
        pthread_mutex_init(&connection->lock, NULL);
        pthread_cond_init(&connection->idle, NULL);
        trove_error error;
        trove_client_options client;
        trove_client_options_init(&client);
        client.key_file = getenv("TROVE_KEY_FILE");
        if (trove_connect(options->server, &client, &connection->client, &error) != TROVE_OK)
            return failed(connection, "connecting", &error);
        if (bench_mode_is_stream(options->mode) ? !open_stream(connection, bench_share(options, i)) : !make_slots(connection))
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

static void report(const struct connection *connections, uint32_t count, double seconds, double cpu_s) {
    struct bench_report total = {.seconds = seconds, .cpu_client_s = cpu_s};
    struct bench_latency latency = {0};
    for (uint32_t i = 0; i < count; i++) {
        total.bytes += connections[i].bytes + connections[i].bytes_down;
        total.ops += connections[i].ops + connections[i].ops_down;
        for (uint32_t j = 0; j < connections[i].slot_count; j++)
            bench_latency_merge(&latency, &connections[i].slots[j].latency);
    }
    total.p50_us = bench_latency_percentile_us(&latency, 0.50);
    total.p99_us = bench_latency_percentile_us(&latency, 0.99);
    bench_latency_fini(&latency);
    bench_report_print(&total);
}

static void fini(struct connection *connection) {
    trove_stream_release(connection->stream);
    trove_close(connection->client);
    for (uint32_t i = 0; i < connection->slot_count; i++)
        bench_latency_fini(&connection->slots[i].latency);
    free(connection->slots);
    free(connection->data);
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
    for (uint32_t i = 0; connections != NULL && i < options.connections; i++)
        fini(&connections[i]);
    free(connections);
    return good ? 0 : 1;
}
