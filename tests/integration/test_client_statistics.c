/* test_client_statistics.c - what the server tells of its pools and streams, against a count of our own. */
#include "client_test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static int begin(void **state) {
    return client_test_begin_with(state, "pools:\n  - {name: counted, chunk_size: 64KiB, memory: 8MiB}\n");
}

/* ---- statistics ---- */

static void test_pages_of_streams(void **state) {
    const struct client_test *test = *state;
    trove_stream *streams[25];
    trove_error error;
    for (int i = 0; i < 25; i++) {
        char key[16];
        snprintf(key, sizeof key, "page%d", i);
        trove_stream_options small;
        pool_options(&small, i % 5 == 0 ? "counted" : NULL);
        small.chunk_bytes = 64 * KIB;
        small.channel_chunks = 2;
        streams[i] = open_stream(test, key, TROVE_DIRECTION_UPLOAD, &small);
    }
    trove_server_stream_options options;
    trove_server_stream_options_init(&options);
    options.limit = 10;
    uint64_t last_id = 0;
    size_t found = 0;
    for (bool more = true; more;) {
        trove_server_stream_page *page = NULL;
        CHECK_OK(trove_server_stream_list(test->client, &options, &page, &error), &error);
        assert_true(page->count <= 10);
        for (size_t i = 0; i < page->count; i++) {
            assert_true(page->streams[i].stream_id > last_id);
            last_id = page->streams[i].stream_id;
            assert_int_equal(last_id, trove_stream_id(streams[found + i]));
        }
        found += page->count;
        options.after_stream_id = last_id;
        more = page->more;
        assert_int_equal(more, found < 25);
        trove_server_stream_page_free(page);
    }
    assert_int_equal(found, 25);
    trove_server_stream_page *page = NULL;
    options = (trove_server_stream_options){.struct_bytes = sizeof options, .pool = "counted"};
    CHECK_OK(trove_server_stream_list(test->client, &options, &page, &error), &error);
    assert_int_equal(page->count, 5);
    for (size_t i = 0; i < 5; i++) {
        assert_string_equal(page->streams[i].pool, "counted");
        assert_string_equal(page->streams[i].bucket, BUCKET);
        assert_int_equal(strncmp(page->streams[i].principal, "uid:", 4), 0);
    }
    trove_server_stream_page_free(page);
    options.limit = 1001;
    CHECK_FAILS(trove_server_stream_list(test->client, &options, &page, &error), INVALID_ARGUMENT, "1001", &error);
    for (int i = 0; i < 25; i++)
        trove_stream_release(streams[i]);
    WAIT_FOR(server_stream_of(test, "page24").stream_id == 0);
}

struct count {
    uint64_t bytes;
    uint64_t chunks;
    uint64_t streams;
    uint64_t failed;
    uint64_t cancelled;
};

static void check_count(const struct client_test *test, const struct count *count) {
    WAIT_FOR(server_pool_of(test, "counted").streams_active == 0);
    trove_server_pool pool = server_pool_of(test, "counted");
    assert_int_equal(pool.total_bytes, count->bytes);
    assert_int_equal(pool.total_chunks, count->chunks);
    assert_int_equal(pool.total_streams, count->streams);
    assert_int_equal(pool.failed_streams, count->failed);
    assert_int_equal(pool.cancelled_streams, count->cancelled);
    assert_int_equal(pool.acquires_waiting, 0);
    assert_int_equal(pool.waiting_bytes, 0);
    assert_int_equal(pool.retries, 0);
}

/* Up and down, whole and broken off: each chunk and byte is counted here as well. */
static void test_statistics(void **state) {
    const struct client_test *test = *state;
    trove_server_pool before = server_pool_of(test, "counted");
    struct count count = {before.total_bytes, before.total_chunks, before.total_streams, before.failed_streams,
                          before.cancelled_streams};
    trove_stream_options options;
    trove_error error;
    pool_options(&options, "counted");
    CHECK_OK(trove_put_memory(test->client, BUCKET, "inline", test->bytes, 5000, &options, NULL, &error), &error);
    count.bytes += 5000; /* in one flight: a chunk, and no stream */
    count.chunks++;
    for (unsigned i = 1; i <= 5; i++) {
        trove_stream *stream = open_in_pool(test, "counted", "object", TROVE_DIRECTION_UPLOAD);
        CHECK_OK(write_bytes(stream, test->bytes, i * 100 * KIB, 0, &error), &error); /* chunks of 64 KiB */
        CHECK_OK(trove_stream_complete(stream, 0, NULL, &error), &error);
        trove_stream_release(stream);
        uint64_t whole = (i * 100 * KIB + 64 * KIB - 1) / (64 * KIB);
        count.bytes += i * 100 * KIB;
        count.chunks += whole + 1; /* the empty final chunk */
        count.streams++;
    }
    uint8_t *got = malloc(1 * MIB);
    CHECK_OK(trove_get_memory(test->client, BUCKET, "object", got, 1 * MIB, &options, NULL, NULL, &error), &error);
    free(got);
    count.bytes += 500 * KIB;
    count.chunks += 8;
    count.streams++;
    trove_stream *failed = open_in_pool(test, "counted", "failed", TROVE_DIRECTION_UPLOAD);
    trove_stream_fail(failed, TROVE_ABORTED, "on purpose");
    trove_stream_release(failed);
    count.streams++;
    count.failed++;
    trove_stream *cancelled = open_in_pool(test, "counted", "cancelled", TROVE_DIRECTION_UPLOAD);
    CHECK_OK(trove_stream_control(cancelled, TROVE_CONTROL_CANCEL, 0, 0, NULL, &error), &error);
    trove_stream_release(cancelled);
    count.streams++;
    count.cancelled++;
    check_count(test, &count);
    trove_server_pool pool = server_pool_of(test, "counted");
    assert_true(pool.latency_p50_ns > 0 && pool.latency_p50_ns <= pool.latency_p90_ns &&
                pool.latency_p90_ns <= pool.latency_p99_ns);
    assert_int_equal(pool.memory_budget_bytes, 8 * MIB);
    assert_int_equal(pool.memory_in_use_bytes, 0);
    assert_int_equal(pool.buffers_allocated, pool.buffers_released);
    assert_true(pool.buffers_allocated > 0);
    WAIT_FOR(server_pool_of(test, "counted").bytes_per_second > 0);
}

static void test_statistics_of_a_stream(void **state) {
    const struct client_test *test = *state;
    trove_stream_options options;
    trove_error error;
    pool_options(&options, "counted");
    options.size = 2 * MIB;
    trove_stream *stream = open_stream(test, "watched", TROVE_DIRECTION_UPLOAD, &options);
    CHECK_OK(write_bytes(stream, test->bytes, 1 * MIB, 0, &error), &error);
    WAIT_FOR(server_stream_of(test, "watched").bytes == 1 * MIB);
    trove_server_stream seen = server_stream_of(test, "watched");
    assert_int_equal(seen.stream_id, trove_stream_id(stream));
    assert_int_equal(seen.direction, TROVE_DIRECTION_UPLOAD);
    assert_int_equal(seen.state, TROVE_STREAM_ACTIVE);
    assert_int_equal(seen.size, 2 * MIB);
    assert_int_equal(seen.chunks, 16);
    assert_int_equal(seen.offset, 1 * MIB);
    assert_int_equal(seen.waiting_bytes, 0);
    assert_int_equal(seen.acquire_place, 0);
    assert_true(seen.bytes_per_second > 0);
    assert_true(seen.latency_p50_ns > 0 && seen.latency_p50_ns <= seen.latency_p99_ns);
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    uint64_t now_ns = (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
    assert_true(seen.started_ns < now_ns && seen.started_ns + UINT64_C(600000000000) > now_ns);
    CHECK_OK(write_bytes(stream, test->bytes + 1 * MIB, 1 * MIB, 0, &error), &error);
    CHECK_OK(trove_stream_complete(stream, 0, NULL, &error), &error);
    trove_stream_release(stream);

    options.size = TROVE_SIZE_UNKNOWN;
    options.range_offset = 300 * KIB;
    options.range_length = 1 * MIB;
    options.channel_chunks = 2;
    trove_stream *down = open_stream(test, "watched", TROVE_DIRECTION_DOWNLOAD, &options);
    for (int i = 0; i < 3; i++) {
        trove_chunk *chunk = NULL;
        CHECK_OK(trove_stream_read(down, 0, &chunk, &error), &error);
        trove_stream_chunk_put(down, chunk);
    }
    WAIT_FOR(server_stream_of(test, "watched").chunks == 3);
    seen = server_stream_of(test, "watched");
    assert_int_equal(seen.direction, TROVE_DIRECTION_DOWNLOAD);
    assert_int_equal(seen.size, 1 * MIB);
    assert_true(seen.offset >= 300 * KIB + seen.bytes && seen.offset <= 1324 * KIB);
    assert_true(seen.waiting_bytes > 0 && seen.latency_p99_ns > 0);
    trove_stream_release(down);
    WAIT_FOR(server_stream_of(test, "watched").stream_id == 0);
}

int main(int argc, char **argv) {
    client_test_arguments(argc, argv);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pages_of_streams),
        cmocka_unit_test(test_statistics),
        cmocka_unit_test(test_statistics_of_a_stream),
    };
    return cmocka_run_group_tests_name(client_test_store(), tests, begin, client_test_end);
}
