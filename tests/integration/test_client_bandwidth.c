/* test_client_bandwidth.c - limits of bytes per second on real streams, both ways: they hold, are shared, and cost no waiting in
 * loops.
 *
 * That a limit is reached exactly is tested under a fake clock (test_limiter); here a transfer may not be faster than its limit,
 * and not slower by a multiple, for the machine has other things to do.
 */
#include "client_test.h"

#include "elsewhere.h"

#include <pthread.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static uint64_t cpu_ms(void) {
    struct timespec used;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used);
    return (uint64_t)used.tv_sec * 1000 + (uint64_t)used.tv_nsec / 1000000;
}

/* Less by the burst and one piece; more by whatever the machine is doing. */
static void check_time(uint64_t begun_ms, uint64_t bytes, uint64_t bytes_per_second) {
    uint64_t took_ms = now_ms() - begun_ms;
    uint64_t wanted_ms = bytes * 1000 / bytes_per_second;
    uint64_t piece_ms = bytes_per_second < 64 * KIB ? 4 * KIB * 1000 / bytes_per_second : 1000 / 16;
    uint64_t less_ms = 1000 / 16 + piece_ms + 10;
    if (took_ms + less_ms < wanted_ms)
        print_error("%llu bytes took %llu ms; at %llu bytes/s that are %llu\n", (unsigned long long)bytes,
                    (unsigned long long)took_ms, (unsigned long long)bytes_per_second, (unsigned long long)wanted_ms);
    assert_true(took_ms + less_ms >= wanted_ms);
    assert_true(wanted_ms < 500 || took_ms <= 4 * wanted_ms + 2000);
}

/* Who waits, sleeps. */
static void check_cpu(uint64_t cpu_begun_ms, uint64_t begun_ms, uint64_t bytes, uint64_t bytes_per_second) {
    if (bytes * 1000 / bytes_per_second >= 500)
        assert_true(cpu_ms() - cpu_begun_ms < (now_ms() - begun_ms) / 2 + 100);
}

static trove_stream_options limited(uint64_t bytes_per_second) {
    trove_stream_options options;
    trove_stream_options_init(&options);
    options.bytes_per_second = bytes_per_second;
    return options;
}

/* ---- one stream ---- */

static const struct row {
    const char *name;
    uint64_t bytes_per_second;
    size_t size;
    uint64_t chunk_bytes;
} rows[] = {
    {"slow, chunks as the limit wants them", 100 * KIB, 100 * KIB, 0},
    {"chunks larger than the burst", 1 * MIB, 2 * MIB, 1 * MIB},
    {"small chunks", 1 * MIB, 1 * MIB, 3000},
    {"an object smaller than the burst", 1 * MIB, 1000, 0},
    {"faster than it can be", 100 * 1024 * MIB, 20 * MIB, 0},
};

static void test_upload(void **state) {
    const struct client_test *test = *state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        trove_stream_options options = limited(rows[i].bytes_per_second);
        trove_error error;
        print_message("    %s\n", rows[i].name);
        options.chunk_bytes = rows[i].chunk_bytes;
        uint64_t begun_ms = now_ms();
        uint64_t cpu_begun_ms = cpu_ms();
        trove_stream *stream = open_stream(test, "limited", TROVE_DIRECTION_UPLOAD, &options);
        CHECK_OK(write_bytes(stream, test->bytes, rows[i].size, 0, &error), &error);
        CHECK_OK(trove_stream_complete(stream, 0, NULL, &error), &error);
        check_time(begun_ms, rows[i].size, rows[i].bytes_per_second);
        check_cpu(cpu_begun_ms, begun_ms, rows[i].size, rows[i].bytes_per_second);
        trove_stream_release(stream);
        check_object(test, "limited", test->bytes, rows[i].size);
    }
}

static void test_download(void **state) {
    const struct client_test *test = *state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        trove_stream_options options = limited(rows[i].bytes_per_second);
        trove_stream_metrics metrics;
        trove_error error;
        print_message("    %s\n", rows[i].name);
        options.chunk_bytes = rows[i].chunk_bytes;
        CHECK_OK(trove_put_memory(test->client, BUCKET, "limited", test->bytes, rows[i].size, NULL, NULL, &error), &error);
        uint64_t begun_ms = now_ms();
        uint64_t cpu_begun_ms = cpu_ms();
        trove_stream *stream = open_stream(test, "limited", TROVE_DIRECTION_DOWNLOAD, &options);
        CHECK_OK(read_away(stream, test->bytes, &error), &error);
        trove_stream_metrics_get(stream, &metrics);
        assert_int_equal(metrics.bytes_received, rows[i].size);
        assert_int_equal(metrics.credit_bytes, 0); /* no more was granted than could be used */
        check_time(begun_ms, rows[i].size, rows[i].bytes_per_second);
        check_cpu(cpu_begun_ms, begun_ms, rows[i].size, rows[i].bytes_per_second);
        trove_stream_release(stream);
    }
}

/* What is read twice is credited twice. */
static void test_seek(void **state) {
    const struct client_test *test = *state;
    trove_stream_options options = limited(1 * MIB);
    trove_error error;
    size_t read = 0;
    CHECK_OK(trove_put_memory(test->client, BUCKET, "sought", test->bytes, 1 * MIB, NULL, NULL, &error), &error);
    uint64_t begun_ms = now_ms();
    trove_stream *stream = open_stream(test, "sought", TROVE_DIRECTION_DOWNLOAD, &options);
    for (trove_chunk *chunk = NULL;; trove_stream_chunk_put(stream, chunk)) {
        if (read == 256 * KIB)
            CHECK_OK(trove_stream_control(stream, TROVE_CONTROL_SEEK, 0, 0, NULL, &error), &error);
        CHECK_OK(trove_stream_read(stream, 0, &chunk, &error), &error);
        if (chunk == NULL)
            break;
        assert_int_equal(chunk->offset, read < 256 * KIB ? read : read - 256 * KIB);
        assert_true(memcmp(chunk->data, test->bytes + chunk->offset, chunk->size) == 0);
        read += chunk->size;
    }
    assert_int_equal(read, 1 * MIB + 256 * KIB);
    check_time(begun_ms, read, 1 * MIB);
    trove_stream_release(stream);
}

/* Whole objects, small ones included, which else would go up in one flight. */
static void test_whole(void **state) {
    const struct client_test *test = *state;
    trove_stream_options options = limited(40 * KIB);
    trove_stream_metrics metrics;
    trove_error error;
    uint8_t got[20 * KIB];
    size_t got_bytes = 0;
    options.metrics = &metrics;
    uint64_t begun_ms = now_ms();
    CHECK_OK(trove_put_memory(test->client, BUCKET, "whole", test->bytes, sizeof got, &options, NULL, &error), &error);
    check_time(begun_ms, sizeof got, 40 * KIB);
    assert_int_equal(metrics.bytes_acknowledged, sizeof got);
    assert_true(metrics.latency_p50_ns > 0);
    begun_ms = now_ms();
    CHECK_OK(trove_get_memory(test->client, BUCKET, "whole", got, sizeof got, &options, &got_bytes, NULL, &error), &error);
    check_time(begun_ms, sizeof got, 40 * KIB);
    assert_int_equal(metrics.bytes_received, sizeof got);
    assert_true(memcmp(got, test->bytes, sizeof got) == 0);
}

static void *fill_pipe(void *argument) {
    const int *fd = argument;
    static const char bytes[3 * 128 * KIB];
    MUST(write(*fd, bytes, sizeof bytes) == (ssize_t)sizeof bytes);
    close(*fd);
    return NULL;
}

/* The overflow is full, and the next chunk leaves it only after twice the timeout: bytes move all the time. */
static void test_full_overflow(void **state) {
    const struct client_test *test = *state;
    trove_stream_options options = limited(64 * KIB);
    trove_error error;
    pthread_t thread;
    int ends[2];
    options.chunk_bytes = options.overflow_bytes = 128 * KIB;
    options.channel_chunks = 1;
    options.backpressure = TROVE_BACKPRESSURE_BUFFER;
    options.timeout_ms = 1000;
    assert_int_equal(pipe(ends), 0);
    assert_int_equal(pthread_create(&thread, NULL, fill_pipe, &ends[1]), 0);
    CHECK_OK(trove_put_fd(test->client, BUCKET, "whole", ends[0], &options, NULL, &error), &error);
    pthread_join(thread, NULL);
    close(ends[0]);
}

/* ---- streams that share ---- */

#define SHARERS 4

struct sharer {
    const struct client_test *test;
    trove_stream *stream;
    trove_direction direction;
    size_t size;
    trove_status status;
    trove_error error;
    pthread_t thread;
};

static void *move_bytes(void *argument) {
    struct sharer *sharer = argument;
    if (sharer->direction == TROVE_DIRECTION_UPLOAD) {
        sharer->status = write_bytes(sharer->stream, sharer->test->bytes, sharer->size, 0, &sharer->error);
        if (sharer->status == TROVE_OK)
            sharer->status = trove_stream_complete(sharer->stream, 0, NULL, &sharer->error);
        return NULL;
    }
    sharer->status = read_away(sharer->stream, sharer->test->bytes, &sharer->error);
    return NULL;
}

static trove_pool *limited_pool(const struct client_test *test, uint64_t bytes_per_second) {
    trove_pool_options options;
    trove_pool *pool = NULL;
    trove_error error;
    trove_pool_options_init(&options);
    options.bytes_per_second = bytes_per_second;
    options.max_streams = SHARERS;
    options.channel_chunks = 4;
    CHECK_OK(trove_pool_create(test->client, "shared", &options, &pool, &error), &error);
    return pool;
}

static void start_sharers(const struct client_test *test, trove_pool *pool, struct sharer *sharers, size_t size) {
    trove_error error;
    CHECK_OK(trove_put_memory(test->client, BUCKET, "shared", test->bytes, size, NULL, NULL, &error), &error);
    for (int i = 0; i < SHARERS; i++) {
        trove_direction direction = i % 2 == 0 ? TROVE_DIRECTION_UPLOAD : TROVE_DIRECTION_DOWNLOAD;
        sharers[i] = (struct sharer){.test = test, .direction = direction, .size = size};
        CHECK_OK(
            trove_pool_acquire(pool, BUCKET, i % 2 == 0 ? "shared/up" : "shared", direction, NULL, 0, &sharers[i].stream, &error),
            &error);
    }
    for (int i = 0; i < SHARERS; i++) {
        CHECK_OK(trove_stream_start(sharers[i].stream, &error), &error);
        pthread_create(&sharers[i].thread, NULL, move_bytes, &sharers[i]);
    }
}

static uint64_t moved(const struct sharer *sharer) {
    trove_stream_metrics metrics;
    trove_stream_metrics_get(sharer->stream, &metrics);
    return sharer->direction == TROVE_DIRECTION_UPLOAD ? metrics.bytes_sent : metrics.bytes_received;
}

static void look_at(const struct sharer *sharers, uint64_t *bytes) {
    for (int i = 0; i < SHARERS; i++)
        bytes[i] = moved(&sharers[i]);
}

struct spread {
    uint64_t least;
    uint64_t most;
};

/* How much each has moved since then. */
static struct spread spread_of(const uint64_t *before, const uint64_t *after) {
    struct spread spread = {UINT64_MAX, 0};
    for (int i = 0; i < SHARERS; i++) {
        uint64_t bytes = after[i] - before[i];
        spread.least = bytes < spread.least ? bytes : spread.least;
        spread.most = bytes > spread.most ? bytes : spread.most;
    }
    return spread;
}

/* Two uploads and two downloads keep the one limit together and get the same. */
static void test_shared(void **state) {
    const struct client_test *test = *state;
    const size_t size = 768 * KIB;
    const size_t chunk = 64 * KIB;
    struct sharer sharers[SHARERS];
    trove_pool *pool = limited_pool(test, 1 * MIB);
    uint64_t begun_ms = now_ms();
    start_sharers(test, pool, sharers, size);
    uint64_t before[SHARERS];
    uint64_t after[SHARERS];
    struct spread spread;
    for (int i = 0; i < SHARERS; i++)
        WAIT_FOR(moved(&sharers[i]) > 0);
    look_at(sharers, before);
    do {
        pause_ms(5);
        look_at(sharers, after);
        spread = spread_of(before, after);
    } while (spread.most < 6 * chunk);
    assert_true(spread.most <= 2 * spread.least + 2 * chunk); /* give or take what comes in lumps */
    for (int i = 0; i < SHARERS; i++) {
        pthread_join(sharers[i].thread, NULL);
        CHECK_OK(sharers[i].status, &sharers[i].error);
        trove_pool_release(pool, sharers[i].stream);
    }
    check_time(begun_ms, SHARERS * size, 1 * MIB);
    assert_int_equal(trove_pool_close(pool, 0), 0);
}

/* What doesn't move any more, cancelled or paused while it waits, gives its turn away. */
static void test_others_go_on(void **state) {
    const struct client_test *test = *state;
    const size_t size = 400 * KIB;
    struct sharer sharers[SHARERS];
    trove_error error;
    trove_pool *pool = limited_pool(test, 1 * MIB);
    start_sharers(test, pool, sharers, size);
    WAIT_FOR(moved(&sharers[0]) >= size / 8 && moved(&sharers[3]) >= size / 8);
    CHECK_OK(trove_stream_control(sharers[0].stream, TROVE_CONTROL_PAUSE, 0, 0, NULL, &error), &error);
    trove_stream_fail(sharers[3].stream, TROVE_ABORTED, "as the test wants it");
    for (int i = 1; i < SHARERS; i++)
        pthread_join(sharers[i].thread, NULL);
    CHECK_OK(sharers[1].status, &sharers[1].error);
    CHECK_OK(sharers[2].status, &sharers[2].error);
    CHECK_FAILS(sharers[3].status, ABORTED, "as the test wants it", &sharers[3].error);
    assert_int_equal(trove_stream_state_get(sharers[0].stream), TROVE_STREAM_PAUSED);
    CHECK_OK(trove_stream_control(sharers[0].stream, TROVE_CONTROL_RESUME, 0, 0, NULL, &error), &error);
    pthread_join(sharers[0].thread, NULL);
    CHECK_OK(sharers[0].status, &sharers[0].error);
    for (int i = 0; i < SHARERS; i++)
        trove_pool_release(pool, sharers[i].stream);
    assert_int_equal(trove_pool_close(pool, 0), 0);
}

/* A stream's own limit within that of its pool: it leaves to the others what it doesn't use. */
static void test_both_limits(void **state) {
    const struct client_test *test = *state;
    struct sharer slow = {.test = test, .direction = TROVE_DIRECTION_UPLOAD, .size = 200 * KIB};
    struct sharer fast = {.test = test, .direction = TROVE_DIRECTION_UPLOAD, .size = 1 * MIB};
    trove_stream_options options = limited(200 * KIB);
    trove_error error;
    trove_pool *pool = limited_pool(test, 1 * MIB);
    CHECK_OK(trove_pool_acquire(pool, BUCKET, "slow", TROVE_DIRECTION_UPLOAD, &options, 0, &slow.stream, &error), &error);
    CHECK_OK(trove_pool_acquire(pool, BUCKET, "fast", TROVE_DIRECTION_UPLOAD, NULL, 0, &fast.stream, &error), &error);
    CHECK_OK(trove_stream_start(slow.stream, &error), &error);
    CHECK_OK(trove_stream_start(fast.stream, &error), &error);
    uint64_t begun_ms = now_ms();
    pthread_create(&slow.thread, NULL, move_bytes, &slow);
    pthread_create(&fast.thread, NULL, move_bytes, &fast);
    pthread_join(slow.thread, NULL);
    CHECK_OK(slow.status, &slow.error);
    check_time(begun_ms, slow.size, 200 * KIB);
    pthread_join(fast.thread, NULL);
    CHECK_OK(fast.status, &fast.error);
    check_time(begun_ms, slow.size + fast.size, 1 * MIB);
    trove_pool_release(pool, slow.stream);
    trove_pool_release(pool, fast.stream);
    assert_int_equal(trove_pool_close(pool, 0), 0);
}

int main(int argc, char **argv) {
    client_test_arguments(argc, argv);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_upload),       cmocka_unit_test(test_download),      cmocka_unit_test(test_seek),
        cmocka_unit_test(test_whole),        cmocka_unit_test(test_full_overflow), cmocka_unit_test(test_shared),
        cmocka_unit_test(test_others_go_on), cmocka_unit_test(test_both_limits),
    };
    return cmocka_run_group_tests_name(client_test_store(), tests, client_test_begin, client_test_end);
}
