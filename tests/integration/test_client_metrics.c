/* test_client_metrics.c - what streams count: that it adds up at any moment and after any end, and latencies against the ones
 * that on_chunk was told.
 */
#include "client_test.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#define CHUNK_BYTES (40 * KIB)
#define SIZE        (6 * MIB)
#define CHUNKS      ((SIZE + CHUNK_BYTES - 1) / CHUNK_BYTES)
#define CHUNKS_MAX  (2 * CHUNKS) /* the server may cut more and smaller ones */

/* On any thread. */
static trove_stream_metrics check_sums(const trove_stream *stream) {
    trove_stream_metrics metrics = check_account(stream);
    bool ended_early = metrics.state == TROVE_STREAM_FAILED || metrics.state == TROVE_STREAM_CANCELLED;
    if (!ended_early && metrics.bytes_abandoned + metrics.chunks_abandoned > 0) {
        fprintf(stderr, "a stream that is %s has abandoned something\n", trove_stream_state_name(metrics.state));
        fail();
    }
    return metrics;
}

/* ---- at any moment ---- */

enum how {
    HOW_COMPLETE,
    HOW_CANCEL,
    HOW_FAIL,
    HOW_LOSE, /* the server is killed */
};

struct row {
    const char *name;
    trove_direction direction;
    enum how how;
    trove_stream_state state;
};

static const struct row rows[] = {
    {"an upload that completes", TROVE_DIRECTION_UPLOAD, HOW_COMPLETE, TROVE_STREAM_COMPLETED},
    {"an upload that is cancelled", TROVE_DIRECTION_UPLOAD, HOW_CANCEL, TROVE_STREAM_CANCELLED},
    {"an upload that fails", TROVE_DIRECTION_UPLOAD, HOW_FAIL, TROVE_STREAM_FAILED},
    {"an upload whose server dies", TROVE_DIRECTION_UPLOAD, HOW_LOSE, TROVE_STREAM_FAILED},
    {"a download that completes", TROVE_DIRECTION_DOWNLOAD, HOW_COMPLETE, TROVE_STREAM_COMPLETED},
    {"a download that is cancelled", TROVE_DIRECTION_DOWNLOAD, HOW_CANCEL, TROVE_STREAM_CANCELLED},
    {"a download that fails", TROVE_DIRECTION_DOWNLOAD, HOW_FAIL, TROVE_STREAM_FAILED},
    {"a download whose server dies", TROVE_DIRECTION_DOWNLOAD, HOW_LOSE, TROVE_STREAM_FAILED},
};

struct watch {
    trove_stream *stream;
    atomic_bool over;
    atomic_uint looks;
    pthread_t thread;
};

/* Looks as often as it can, so at moments of all kinds. */
static void *look_on(void *argument) {
    struct watch *watch = argument;
    while (!atomic_load(&watch->over)) {
        check_sums(watch->stream);
        atomic_fetch_add(&watch->looks, 1);
    }
    return NULL;
}

/* Uploads or downloads until an error, or until `stop_at`. The program keeps a chunk or two in its hands. */
static void move_bytes(const struct client_test *test, trove_stream *stream, trove_direction direction, size_t stop_at) {
    trove_error error;
    if (direction == TROVE_DIRECTION_UPLOAD) {
        (void)!write_bytes(stream, test->bytes, stop_at, 0, &error);
        return;
    }
    trove_chunk *before = NULL;
    trove_chunk *chunk = NULL;
    while (trove_stream_offset(stream) < stop_at && trove_stream_read(stream, 0, &chunk, &error) == TROVE_OK && chunk != NULL) {
        if (before != NULL)
            trove_stream_chunk_put(stream, before);
        before = chunk;
    }
    if (before != NULL)
        trove_stream_chunk_put(stream, before);
}

static void end_stream(struct client_test *test, trove_stream *stream, enum how how) {
    trove_error error;
    trove_stream_state state;
    switch (how) {
    case HOW_COMPLETE:
        CHECK_OK(trove_stream_complete(stream, 0, NULL, &error), &error);
        return;
    case HOW_CANCEL:
        CHECK_OK(trove_stream_control(stream, TROVE_CONTROL_CANCEL, 0, 0, &state, &error), &error);
        return;
    case HOW_FAIL:
        trove_stream_fail(stream, TROVE_ABORTED, "as the test wants it");
        return;
    case HOW_LOSE:
        kill(troved_pid(test->server), SIGKILL);
        WAIT_FOR(trove_stream_state_get(stream) == TROVE_STREAM_FAILED);
        return;
    }
}

static void run_row(struct client_test *test, const struct row *row) {
    trove_stream_options options;
    trove_error error;
    trove_stream_options_init(&options);
    options.chunk_bytes = CHUNK_BYTES;
    options.channel_chunks = 8;
    if (row->direction == TROVE_DIRECTION_DOWNLOAD)
        CHECK_OK(trove_put_memory(test->client, BUCKET, "sums", test->bytes, SIZE, NULL, NULL, &error), &error);
    struct watch watch = {.stream = open_stream(test, "sums", row->direction, &options)};
    pthread_create(&watch.thread, NULL, look_on, &watch);
    WAIT_FOR(atomic_load(&watch.looks) > 0);
    move_bytes(test, watch.stream, row->direction, row->how == HOW_COMPLETE ? SIZE : SIZE / 2);
    end_stream(test, watch.stream, row->how);
    atomic_store(&watch.over, true);
    pthread_join(watch.thread, NULL);
    trove_stream_metrics metrics = check_sums(watch.stream);
    assert_int_equal(metrics.state, row->state);
    if (row->how == HOW_COMPLETE) {
        assert_int_equal(metrics.bytes_accepted, SIZE);
        assert_int_equal(metrics.bytes_acknowledged, SIZE);
    } else {
        assert_true(metrics.bytes_accepted >= SIZE / 2);
    }
    trove_stream_release(watch.stream);
}

static void test_sums(void **state) {
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct client_test *test = *state;
        struct client_test *other = NULL;
        print_message("    %s\n", rows[i].name);
        if (rows[i].how == HOW_LOSE)
            client_test_begin((void **)&other);
        run_row(other != NULL ? other : test, &rows[i]);
        if (other != NULL)
            assert_int_equal(client_test_end((void **)&other), 128 + SIGKILL);
    }
}

/* What was received and not given back is abandoned, in the program's hands or not. */
static void test_abandoned(void **state) {
    const struct client_test *test = *state;
    trove_stream_options options;
    trove_error error;
    CHECK_OK(trove_put_memory(test->client, BUCKET, "abandoned", test->bytes, 10 * CHUNK_BYTES, NULL, NULL, &error), &error);
    trove_stream_options_init(&options);
    options.chunk_bytes = CHUNK_BYTES;
    options.channel_chunks = 4;
    trove_stream *stream = open_stream(test, "abandoned", TROVE_DIRECTION_DOWNLOAD, &options);
    trove_chunk *chunk = NULL;
    CHECK_OK(trove_stream_read(stream, 0, &chunk, &error), &error);
    WAIT_FOR(check_sums(stream).chunks_queued == 3);          /* received, not read */
    assert_int_equal(check_sums(stream).chunks_in_flight, 1); /* in the program's hands */
    trove_stream_fail(stream, TROVE_ABORTED, "enough");
    trove_stream_chunk_put(stream, chunk);
    trove_stream_metrics metrics = check_sums(stream);
    assert_int_equal(metrics.chunks_abandoned, 4);
    assert_int_equal(metrics.bytes_abandoned, 4 * CHUNK_BYTES);
    trove_stream_release(stream);
}

/* ---- latencies ---- */

struct latencies {
    atomic_uint count;
    uint64_t ns[CHUNKS_MAX];
};

static void note_latency(void *context, const trove_chunk_ack *ack) {
    struct latencies *latencies = context;
    unsigned at = atomic_fetch_add(&latencies->count, 1);
    if (at < CHUNKS_MAX)
        latencies->ns[at] = ack->latency_ns;
}

static int by_size(const void *a, const void *b) {
    uint64_t x = *(const uint64_t *)a;
    uint64_t y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

/* Within 1/16 of the exact one. */
static void check_quantile(const struct latencies *latencies, unsigned per_cent, uint64_t told) {
    uint64_t exact = latencies->ns[(latencies->count * per_cent + 99) / 100 - 1];
    uint64_t error = told > exact ? told - exact : exact - told;
    if (error > exact / 16 + 1)
        print_error("p%u is told as %llu, and was %llu\n", per_cent, (unsigned long long)told, (unsigned long long)exact);
    assert_true(error <= exact / 16 + 1);
}

static void check_latencies(const struct client_test *test, trove_direction direction) {
    struct latencies latencies = {0};
    trove_stream_options options;
    trove_stream_metrics metrics;
    trove_error error;
    trove_stream_options_init(&options);
    options.chunk_bytes = CHUNK_BYTES;
    options.hooks.context = &latencies;
    options.hooks.on_chunk = note_latency;
    trove_stream *stream = open_stream(test, "latency", direction, &options);
    trove_stream_metrics_get(stream, &metrics);
    assert_int_equal(metrics.latency_p50_ns, 0);
    move_bytes(test, stream, direction, SIZE);
    CHECK_OK(trove_stream_complete(stream, 0, NULL, &error), &error);
    trove_stream_metrics_get(stream, &metrics);
    trove_stream_release(stream);
    assert_in_range(latencies.count, metrics.chunks_acknowledged - 1, metrics.chunks_acknowledged); /* the last may be empty */
    assert_in_range(latencies.count, CHUNKS, CHUNKS_MAX);
    qsort(latencies.ns, latencies.count, sizeof latencies.ns[0], by_size);
    check_quantile(&latencies, 50, metrics.latency_p50_ns);
    check_quantile(&latencies, 90, metrics.latency_p90_ns);
    check_quantile(&latencies, 99, metrics.latency_p99_ns);
}

static void test_latencies(void **state) {
    check_latencies(*state, TROVE_DIRECTION_UPLOAD);
    check_latencies(*state, TROVE_DIRECTION_DOWNLOAD);
}

/* ---- throughput ---- */

#define RATE (2 * MIB)

struct speeds {
    unsigned told;
    double seconds_left_most;
};

static void note_speed(void *context, const trove_progress *progress) {
    struct speeds *speeds = context;
    speeds->told += progress->bytes_per_second > 0;
    if (progress->seconds_left > speeds->seconds_left_most)
        speeds->seconds_left_most = progress->seconds_left;
}

/* A stream that is held to a rate tells no higher one, and one that moves tells one. */
static void check_throughput(const struct client_test *test, trove_direction direction) {
    struct speeds speeds = {0};
    trove_stream_options options;
    put_object(test, "rate", SIZE);
    trove_stream_options_init(&options);
    options.bytes_per_second = RATE;
    options.size = direction == TROVE_DIRECTION_UPLOAD ? SIZE : TROVE_SIZE_UNKNOWN;
    options.hooks = (trove_stream_hooks){.context = &speeds, .on_progress = note_speed};
    trove_stream *stream = open_stream(test, "rate", direction, &options);
    trove_stream_metrics metrics = check_sums(stream);
    assert_true(metrics.bytes_per_second == 0);
    move_bytes(test, stream, direction, SIZE / 2);
    WAIT_FOR(check_sums(stream).bytes_acknowledged >= SIZE / 2);
    metrics = check_sums(stream);
    assert_true(metrics.bytes_per_second > 0 && metrics.bytes_per_second < 1.25 * RATE);
    assert_true(metrics.elapsed_ns > 0);
    trove_stream_fail(stream, TROVE_ABORTED, "enough");
    trove_stream_release(stream);
    assert_true(speeds.told > 0);
    assert_true(speeds.seconds_left_most > 0);
}

static void test_throughput(void **state) {
    check_throughput(*state, TROVE_DIRECTION_UPLOAD);
    check_throughput(*state, TROVE_DIRECTION_DOWNLOAD);
}

/* ---- the chunk pool ---- */

static void check_stats(const trove_stream *stream, uint64_t allocated, uint64_t released) {
    trove_chunk_stats stats;
    trove_stream_chunk_stats(stream, &stats);
    assert_int_equal(stats.chunk_bytes, CHUNK_BYTES);
    assert_true(stats.chunks >= 4);
    assert_int_equal(stats.allocated, allocated);
    assert_int_equal(stats.released, released);
    assert_int_equal(stats.in_use, allocated - released);
    assert_int_equal(stats.high_water, allocated);
}

/* The program takes three and gives them back. */
static void test_chunk_stats(void **state) {
    const struct client_test *test = *state;
    trove_stream_options options;
    trove_error error;
    trove_chunk *chunks[3];
    put_object(test, "stats", 3 * CHUNK_BYTES);
    trove_stream_options_init(&options);
    options.chunk_bytes = CHUNK_BYTES;
    options.channel_chunks = 4;
    for (int round = 0; round < 4; round++) { /* the second stream gets the pool that the first one leaves behind */
        bool upload = round % 2 == 0;
        trove_stream *stream = open_stream(test, "stats", upload ? TROVE_DIRECTION_UPLOAD : TROVE_DIRECTION_DOWNLOAD, &options);
        for (int i = 0; i < 3; i++)
            CHECK_OK(upload ? trove_stream_chunk_get(stream, 0, &chunks[i], &error)
                            : trove_stream_read(stream, 0, &chunks[i], &error),
                     &error);
        check_stats(stream, 3, 0);
        trove_stream_chunk_put(stream, chunks[1]);
        check_stats(stream, 3, 1);
        trove_stream_chunk_put(stream, chunks[0]);
        trove_stream_chunk_put(stream, chunks[2]);
        check_stats(stream, 3, 3);
        trove_stream_release(stream);
    }
}

int main(int argc, char **argv) {
    client_test_arguments(argc, argv);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sums),       cmocka_unit_test(test_abandoned),   cmocka_unit_test(test_latencies),
        cmocka_unit_test(test_throughput), cmocka_unit_test(test_chunk_stats),
    };
    return cmocka_run_group_tests_name(client_test_store(), tests, client_test_begin, client_test_end);
}
