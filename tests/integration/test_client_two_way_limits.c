/* test_client_two_way_limits.c - streams that go both ways within limits: bandwidth, memory, a pool's places, and each kind of
 * backpressure.
 */
#include "two_way_test.h"

#include <pthread.h>
#include <string.h>

/* ---- limits ---- */

/* Both ways together keep the stream's limit, and neither starves. */
static void test_bandwidth(void **state) {
    const struct client_test *test = *state;
    trove_stream_options options = small_options();
    trove_stream_metrics metrics;
    put_object(test, "limited", 1 * MIB);
    options.bytes_per_second = 2 * MIB;
    options.chunk_bytes = 0;
    uint64_t begun_ms = now_ms();
    trove_stream *stream = open_stream(test, "limited", TROVE_DIRECTION_BIDI, &options);
    struct writer writer = {.test = test, .stream = stream, .size = 1 * MIB};
    struct reader reader = {.test = test, .stream = stream};
    pthread_create(&writer.thread, NULL, write_in_thread, &writer);
    pthread_create(&reader.thread, NULL, read_in_thread, &reader);
    do {
        pause_ms(1);
        metrics = check_account(stream);
        assert_true(now_ms() - begun_ms < PATIENCE_MS);
    } while (metrics.bytes_sent < 512 * KIB && metrics.bytes_received < 512 * KIB);
    assert_true(metrics.bytes_sent > 64 * KIB && metrics.bytes_received > 64 * KIB);
    pthread_join(reader.thread, NULL);
    pthread_join(writer.thread, NULL);
    CHECK_OK(reader.status, &reader.error);
    CHECK_OK(writer.status, &writer.error);
    assert_true(now_ms() - begun_ms >= 1000 - 1000 / 16 - 1000 / 16 - 20); /* but for the burst and a piece */
    trove_stream_release(stream);
    check_object(test, "limited", upwards(test), 1 * MIB);
}

/* One way under a limit while the other one stands still. */
static void test_bandwidth_of_one(void **state) {
    const struct client_test *test = *state;
    trove_stream_options options = small_options();
    trove_error error;
    put_object(test, "limited", 1 * MIB);
    options.bytes_per_second = 4 * MIB;
    options.chunk_bytes = 0;
    trove_stream *stream = open_stream(test, "limited", TROVE_DIRECTION_BIDI, &options);
    CHECK_OK(write_bytes(stream, upwards(test), 1 * MIB, 0, &error), &error);
    read_all(stream, test->bytes, 1 * MIB);
    CHECK_OK(trove_stream_complete(stream, 0, NULL, &error), &error);
    trove_stream_release(stream);
}

/* Little memory at the client: fewer chunks, and it still goes both ways. */
static void test_small_memory(void **state) {
    const struct client_test *test = *state;
    struct client_test other = *test;
    trove_client_options client_options;
    trove_stream_options options;
    trove_error error;
    trove_client_options_init(&client_options);
    trove_stream_options_init(&options);
    client_options.memory_bytes = 2 * MIB;
    options.chunk_bytes = 256 * KIB;
    CHECK_OK(trove_connect(test->url, &client_options, &other.client, &error), &error);
    put_object(test, "tight", 5 * MIB);
    struct writer writer = {
        .test = &other, .stream = open_stream(&other, "tight", TROVE_DIRECTION_BIDI, &options), .size = 5 * MIB};
    trove_chunk_stats stats;
    trove_stream_chunk_stats(writer.stream, &stats);
    assert_true(stats.chunks * stats.chunk_bytes <= 2 * MIB);
    pthread_create(&writer.thread, NULL, write_in_thread, &writer);
    read_all(writer.stream, test->bytes, 5 * MIB);
    pthread_join(writer.thread, NULL);
    CHECK_OK(writer.status, &writer.error);
    trove_stream_release(writer.stream);
    options.chunk_bytes = 2 * MIB; /* one of them would have room, two don't */
    trove_stream *stream = NULL;
    CHECK_FAILS(trove_stream_open(other.client, BUCKET, "tight", TROVE_DIRECTION_BIDI, &options, &stream, &error),
                RESOURCE_EXHAUSTED, "memory_bytes", &error);
    /* What was claimed for the one that failed comes back, that of the one before when nothing uses it any more. */
    WAIT_FOR(trove_stream_open(other.client, BUCKET, "tight", TROVE_DIRECTION_UPLOAD, &options, &stream, &error) == TROVE_OK);
    trove_stream_release(stream);
    trove_close(other.client);
    check_object(test, "tight", upwards(test), 5 * MIB);
}

/* It has one place in a pool, counts as one stream, and its bytes are those of both ways. */
static void test_pool(void **state) {
    const struct client_test *test = *state;
    trove_pool_options pool_options;
    trove_stream_options options = small_options();
    trove_pool_metrics metrics;
    trove_pool *pool = NULL;
    trove_stream *stream = NULL;
    trove_stream *second = NULL;
    trove_error error;
    trove_pool_options_init(&pool_options);
    pool_options.max_streams = 1;
    put_object(test, "pooled", 1 * MIB);
    CHECK_OK(trove_pool_create(test->client, "both", &pool_options, &pool, &error), &error);
    CHECK_OK(trove_pool_acquire(pool, BUCKET, "pooled", TROVE_DIRECTION_BIDI, &options, 0, &stream, &error), &error);
    CHECK_FAILS(trove_pool_acquire(pool, BUCKET, "pooled", TROVE_DIRECTION_UPLOAD, &options, 50, &second, &error),
                DEADLINE_EXCEEDED, "both", &error);
    CHECK_OK(trove_stream_start(stream, &error), &error);
    CHECK_OK(write_bytes(stream, upwards(test), 2 * MIB, 0, &error), &error);
    read_all(stream, test->bytes, 1 * MIB);
    CHECK_OK(trove_stream_complete(stream, 0, NULL, &error), &error);
    trove_pool_release(pool, stream);
    trove_pool_snapshot(pool, &metrics);
    assert_int_equal(metrics.total_streams, 1);
    assert_int_equal(metrics.completed_streams, 1);
    assert_int_equal(metrics.total_bytes, 3 * MIB);
    assert_int_equal(metrics.bytes_waiting, 0);
    assert_int_equal(trove_pool_close(pool, 0), 0);
}

/* ---- backpressure of the way up ---- */

/* A window that isn't emptied loses its oldest chunks upwards; what comes down is whole all the same. */
static void test_drop(void **state) {
    const struct client_test *test = *state;
    trove_stream_options options = small_options();
    trove_error error;
    trove_object_info *info = NULL;
    unsigned dropped_chunks = 0;
    put_object(test, "lossy", 1 * MIB);
    options.lossy = true;
    options.backpressure = TROVE_BACKPRESSURE_DROP;
    trove_stream *stream = open_stream(test, "lossy", TROVE_DIRECTION_BIDI, &options);
    CHECK_OK(trove_stream_control(stream, TROVE_CONTROL_PAUSE, 0, 0, NULL, &error), &error);
    for (size_t i = 0; i < 10; i++) {
        trove_chunk *chunk = NULL;
        trove_drop dropped;
        CHECK_OK(trove_stream_chunk_get(stream, 0, &chunk, &error), &error);
        memcpy(chunk->data, upwards(test) + i * CHUNK, CHUNK);
        chunk->size = CHUNK;
        chunk->final = i == 9; /* the library's own last one might cost another */
        CHECK_OK(trove_stream_write_lossy(stream, &chunk, 0, &dropped, &error), &error);
        dropped_chunks += (unsigned)dropped.count;
        if (dropped.count > 0)
            assert_int_equal(dropped.direction, TROVE_DIRECTION_UPLOAD);
        check_account(stream);
    }
    assert_int_equal(dropped_chunks, 6);
    CHECK_OK(trove_stream_control(stream, TROVE_CONTROL_RESUME, 0, 0, NULL, &error), &error);
    uint64_t received = 0; /* the server may lose some of what comes down, and says so */
    for (trove_chunk *chunk = NULL;; trove_stream_chunk_put(stream, chunk)) {
        CHECK_OK(trove_stream_read(stream, 0, &chunk, &error), &error);
        if (chunk == NULL)
            break;
        assert_true(memcmp(chunk->data, test->bytes + chunk->offset, chunk->size) == 0);
        received += chunk->size;
    }
    CHECK_OK(trove_stream_complete(stream, 0, &info, &error), &error);
    assert_int_equal(info->size, 10 * CHUNK);
    assert_int_equal(info->gap_bytes, 6 * CHUNK);
    trove_object_info_free(info);
    trove_stream_metrics metrics = check_account(stream);
    assert_int_equal(metrics.bytes_dropped, 6 * CHUNK + 1 * MIB - received);
    trove_stream_release(stream);
}

/* More is written than the window holds while nothing may be sent: it spills, and nothing is lost. */
static void test_buffer(void **state) {
    const struct client_test *test = *state;
    trove_stream_options options = small_options();
    trove_error error;
    put_object(test, "buffered", 1 * MIB);
    options.backpressure = TROVE_BACKPRESSURE_BUFFER;
    options.overflow_memory_bytes = 1 * MIB;
    trove_stream *stream = open_stream(test, "buffered", TROVE_DIRECTION_BIDI, &options);
    CHECK_OK(trove_stream_control(stream, TROVE_CONTROL_PAUSE, 0, 0, NULL, &error), &error);
    CHECK_OK(write_bytes(stream, upwards(test), 5 * MIB, 1000, &error), &error);
    trove_stream_metrics metrics = check_account(stream);
    assert_true(metrics.bytes_spilled >= 5 * MIB - 4 * CHUNK);
    CHECK_OK(trove_stream_control(stream, TROVE_CONTROL_RESUME, 0, 0, NULL, &error), &error);
    write_some(stream, upwards(test) + 5 * MIB, 77, true); /* the last one waits behind the others */
    read_all(stream, test->bytes, 1 * MIB);
    CHECK_OK(trove_stream_complete(stream, 0, NULL, &error), &error);
    trove_stream_release(stream);
    check_object(test, "buffered", upwards(test), 5 * MIB + 77);
}

/* The way up begins small and never goes beyond what was agreed; while it stands still the writer waits. */
static void test_adaptive(void **state) {
    const struct client_test *test = *state;
    trove_stream_options options;
    trove_error error;
    put_object(test, "adaptive", 20 * MIB);
    trove_stream_options_init(&options);
    options.backpressure = TROVE_BACKPRESSURE_ADAPTIVE;
    trove_stream *stream = open_stream(test, "adaptive", TROVE_DIRECTION_BIDI, &options);
    trove_chunk *chunk = NULL;
    assert_int_equal(trove_stream_chunk_bytes(stream), 4 * MIB);
    assert_int_equal(trove_stream_chunk_bytes_next(stream), 256 * KIB);
    CHECK_OK(trove_stream_chunk_get(stream, 0, &chunk, &error), &error);
    assert_int_equal(chunk->capacity, 256 * KIB);
    trove_stream_chunk_put(stream, chunk);
    control_stream(stream, TROVE_CONTROL_PAUSE, 0, TROVE_STREAM_PAUSED);
    CHECK_FAILS(write_bytes(stream, upwards(test), 256 * KIB, 50, &error), DEADLINE_EXCEEDED, "the way up", &error);
    control_stream(stream, TROVE_CONTROL_RESUME, 0, TROVE_STREAM_ACTIVE);
    struct reader reader = {.test = test, .stream = stream};
    pthread_create(&reader.thread, NULL, read_in_thread, &reader);
    CHECK_OK(write_bytes(stream, upwards(test), 20 * MIB, 0, &error), &error);
    assert_in_range(trove_stream_chunk_bytes_next(stream), 64 * KIB, 4 * MIB);
    assert_true(check_account(stream).chunks_accepted > 20 * MIB / (4 * MIB)); /* it hasn't begun with the largest */
    CHECK_OK(trove_stream_complete(stream, 0, NULL, &error), &error);
    pthread_join(reader.thread, NULL);
    CHECK_OK(reader.status, &reader.error);
    trove_stream_release(stream);
    check_object(test, "adaptive", upwards(test), 20 * MIB);
}

int main(int argc, char **argv) {
    client_test_arguments(argc, argv);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bandwidth),    cmocka_unit_test(test_bandwidth_of_one),
        cmocka_unit_test(test_small_memory), cmocka_unit_test(test_pool),
        cmocka_unit_test(test_drop),         cmocka_unit_test(test_buffer),
        cmocka_unit_test(test_adaptive),
    };
    return cmocka_run_group_tests_name(client_test_store(), tests, client_test_begin, client_test_end);
}
