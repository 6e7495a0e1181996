/* test_client_memory.c - what libtrove's streams take and give back: credit of idle ones, chunk buffers, the client's bound. */
#include "client_test.h"

#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* The demand is withdrawn after a second without anything to send, and announced again. */
static void test_idle_upload(void **state) {
    const struct client_test *test = *state;
    trove_error error;
    trove_stream *stream = open_stream(test, "idle", TROVE_DIRECTION_UPLOAD, NULL);
    CHECK_OK(write_bytes(stream, test->bytes, 1 * MIB, 0, &error), &error);
    WAIT_FOR(check_account(stream).credit_bytes == 0);
    CHECK_OK(write_bytes(stream, test->bytes + 1 * MIB, 3 * MIB, 0, &error), &error);
    CHECK_OK(trove_stream_complete(stream, 0, NULL, &error), &error);
    trove_stream_release(stream);
    check_object(test, "idle", test->bytes, 4 * MIB);
}

static uint64_t buffers(const struct client_test *test) {
    trove_client_metrics metrics;
    trove_client_metrics_get(test->client, &metrics);
    return metrics.buffers_allocated;
}

static void test_steady_state(void **state) {
    const struct client_test *test = *state;
    trove_stream_options options;
    trove_error error;
    trove_stream_options_init(&options);
    options.chunk_bytes = 64 * KIB;
    trove_stream *stream = open_stream(test, "steady", TROVE_DIRECTION_UPLOAD, &options);
    uint64_t before = buffers(test);
    for (int i = 0; i < 10; i++)
        CHECK_OK(write_bytes(stream, test->bytes, 10 * MIB, 0, &error), &error);
    assert_true(buffers(test) - before <= 18); /* 16 in the window, one that is filled, one on its way back */
    CHECK_OK(trove_stream_complete(stream, 0, NULL, &error), &error);
    trove_stream_release(stream);
    stream = open_stream(test, "steady", TROVE_DIRECTION_DOWNLOAD, &options);
    before = buffers(test);
    for (size_t at = 0; at < 100 * MIB;) {
        trove_chunk *chunk = NULL;
        CHECK_OK(trove_stream_read(stream, 0, &chunk, &error), &error);
        assert_true(memcmp(chunk->data, test->bytes + at % (10 * MIB), chunk->size) == 0);
        at += chunk->size;
        trove_stream_chunk_put(stream, chunk);
    }
    assert_true(buffers(test) - before <= 16);
    trove_chunk *end = NULL;
    CHECK_OK(trove_stream_read(stream, 0, &end, &error), &error);
    assert_null(end);
    trove_stream_release(stream);
}

/* Streams one after the other use the same memory, and it is given back when larger chunks need it. */
static void test_left_memory(void **state) {
    const struct client_test *test = *state;
    struct client_test other = *test;
    trove_stream_options options;
    trove_error error;
    trove_stream_options_init(&options);
    CHECK_OK(trove_connect(test->url, NULL, &other.client, &error), &error);
    for (int i = 0; i < 20; i++) {
        trove_stream *stream = open_stream(&other, "left", TROVE_DIRECTION_UPLOAD, NULL);
        CHECK_OK(write_bytes(stream, test->bytes, 20 * MIB, 0, &error), &error);
        CHECK_OK(trove_stream_complete(stream, 0, NULL, &error), &error);
        trove_stream_release(stream);
        check_object(&other, "left", test->bytes, 20 * MIB);
    }
    assert_true(buffers(&other) <= 3 * 18); /* one may still be on its way back when the next stream begins */
    options.chunk_bytes = 60 * MIB;
    trove_stream *stream = open_stream(&other, "left", TROVE_DIRECTION_UPLOAD, &options);
    CHECK_OK(write_bytes(stream, test->bytes, 20 * MIB, 0, &error), &error);
    CHECK_OK(trove_stream_complete(stream, 0, NULL, &error), &error);
    trove_stream_release(stream);
    trove_close(other.client);
}

/* All streams of a client stay within its memory. */
static void test_memory_bound(void **state) {
    const struct client_test *test = *state;
    trove_client_options options;
    trove_stream_options stream_options;
    trove_client *client = NULL;
    trove_stream *streams[32] = {NULL};
    trove_error error = {TROVE_OK, ""};
    trove_client_options_init(&options);
    trove_stream_options_init(&stream_options);
    options.memory_bytes = 8 * MIB;
    stream_options.chunk_bytes = 1 * MIB;
    CHECK_OK(trove_connect(test->url, &options, &client, &error), &error);
    int opened = 0;
    while (opened < 32 && trove_stream_open(client, BUCKET, "bound", TROVE_DIRECTION_UPLOAD, &stream_options, &streams[opened],
                                            &error) == TROVE_OK)
        opened++;
    assert_in_range(opened, 2, 8);
    CHECK_FAILS(error.status, RESOURCE_EXHAUSTED, "memory_bytes", &error);
    for (int i = 0; i < opened; i++) {
        CHECK_OK(trove_stream_start(streams[i], &error), &error);
        CHECK_OK(write_bytes(streams[i], test->bytes, 3 * MIB, 0, &error), &error);
        CHECK_OK(trove_stream_complete(streams[i], 0, NULL, &error), &error);
        trove_stream_release(streams[i]);
    }
    trove_close(client);
}

/* A small chunk takes a page, and is counted as one. */
static void test_memory_bound_of_small_chunks(void **state) {
    const struct client_test *test = *state;
    trove_client_options options;
    trove_stream_options stream_options;
    trove_client *client = NULL;
    trove_stream *streams[32] = {NULL};
    trove_error error = {TROVE_OK, ""};
    trove_client_options_init(&options);
    trove_stream_options_init(&stream_options);
    options.memory_bytes = 1 * MIB;
    stream_options.chunk_bytes = 64;
    stream_options.channel_chunks = 1024;
    CHECK_OK(trove_connect(test->url, &options, &client, &error), &error);
    int opened = 0;
    uint64_t chunks = 0;
    while (opened < 32 && trove_stream_open(client, BUCKET, "bound", TROVE_DIRECTION_UPLOAD, &stream_options, &streams[opened],
                                            &error) == TROVE_OK) {
        trove_chunk_stats stats;
        trove_stream_chunk_stats(streams[opened++], &stats);
        chunks += stats.chunks;
    }
    CHECK_FAILS(error.status, RESOURCE_EXHAUSTED, "memory_bytes", &error);
    assert_in_range(chunks, 1, 1 * MIB / (uint64_t)sysconf(_SC_PAGESIZE));
    for (int i = 0; i < opened; i++)
        trove_stream_release(streams[i]);
    trove_close(client);
}

struct counter {
    atomic_int done;
    atomic_int failed;
};

static void stored(void *context, const trove_error *error, const void *data, size_t size) {
    struct counter *counter = context;
    (void)data;
    (void)size;
    if (error != NULL)
        print_error("%s\n", error->message);
    atomic_fetch_add(&counter->failed, error != NULL);
    atomic_fetch_add(&counter->done, 1);
}

#define TIGHT_CLIENTS 6
#define TIGHT_OBJECTS 60

/* A server without memory for so many small objects at once refuses to take them; the library sends them again as streams. */
static void test_tight_server(void **state) {
    const struct client_test *test = *state;
    const struct troved_options options = {
        .listen = {"ipc://%s/socket"},
        .store = client_test_store(),
        .config = "memory: 8MiB\npool:\n  chunk_size: 1MiB\n",
    };
    struct troved *server = troved_start(&options, NULL);
    struct client_test tight[TIGHT_CLIENTS];
    struct counter counter = {0};
    trove_error error;
    char key[64];
    for (int i = 0; i < TIGHT_CLIENTS; i++) {
        tight[i] = *test;
        CHECK_OK(trove_connect(troved_url(server, "ipc"), NULL, &tight[i].client, &error), &error);
    }
    CHECK_OK(trove_bucket_create(tight[0].client, BUCKET, 0, &error), &error);
    for (int n = 0; n < TIGHT_OBJECTS; n++) {
        for (int i = 0; i < TIGHT_CLIENTS; i++) {
            snprintf(key, sizeof key, "tight/%d/%d", i, n);
            CHECK_OK(trove_put_async(tight[i].client, BUCKET, key, test->bytes + n, 60000, 0, stored, &counter, &error), &error);
        }
    }
    WAIT_FOR(atomic_load(&counter.done) == TIGHT_CLIENTS * TIGHT_OBJECTS);
    assert_int_equal(counter.failed, 0);
    for (int i = 0; i < TIGHT_CLIENTS; i++) {
        snprintf(key, sizeof key, "tight/%d/%d", i, TIGHT_OBJECTS - 1);
        check_object(&tight[i], key, test->bytes + TIGHT_OBJECTS - 1, 60000);
        trove_close(tight[i].client);
    }
    assert_int_equal(troved_stop(server, false), 0);
}

int main(int argc, char **argv) {
    client_test_arguments(argc, argv);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_idle_upload),
        cmocka_unit_test(test_steady_state),
        cmocka_unit_test(test_left_memory),
        cmocka_unit_test(test_memory_bound),
        cmocka_unit_test(test_memory_bound_of_small_chunks),
        cmocka_unit_test(test_tight_server),
    };
    return cmocka_run_group_tests_name(client_test_store(), tests, client_test_begin, client_test_end);
}
