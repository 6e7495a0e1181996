/* test_client_seek.c - streams that go on elsewhere, and downloads of a part: in both directions, with what is under way then and
 * what the program still has of before, and what the server reads for it.
 */
#include "client_test.h"

#include <stdio.h>
#include <string.h>

#define CHUNK (64 * KIB)
#define PINGS 50

/* ---- there and back ---- */

static void read_to(trove_stream *stream, const uint8_t *bytes, uint64_t from, uint64_t to) {
    trove_error error;
    while (from < to) {
        trove_chunk *chunk = NULL;
        CHECK_OK(trove_stream_read(stream, 0, &chunk, &error), &error);
        assert_non_null(chunk);
        assert_int_equal(chunk->offset, from);
        assert_memory_equal(chunk->data, bytes + from, chunk->size);
        from += chunk->size;
        trove_stream_chunk_put(stream, chunk);
    }
}

/* What progress said: never more than all, and all at the end, however often it was gone over. */
struct reports {
    unsigned count;
    double percent;
    double most;
    double seconds_left_most;
};

static void on_progress(void *context, const trove_progress *progress) {
    struct reports *reports = context;
    reports->count++;
    reports->percent = progress->percent;
    if (progress->percent > reports->most)
        reports->most = progress->percent;
    if (progress->seconds_left > reports->seconds_left_most)
        reports->seconds_left_most = progress->seconds_left;
}

static void check_reports(const struct reports *reports) {
    assert_true(reports->count > 0);
    assert_true(reports->percent == 100.0);
    assert_true(reports->most <= 100.0);
    assert_true(reports->seconds_left_most < 1e6);
}

static void test_download_seeks(void **state) {
    const struct client_test *test = *state;
    struct reports reports = {0};
    trove_stream_options options;
    trove_error error;
    const size_t size = 8 * MIB + 77;
    CHECK_OK(trove_put_memory(test->client, BUCKET, "seek", test->bytes, size, NULL, NULL, &error), &error);
    trove_stream_options_init(&options);
    options.chunk_bytes = 256 * KIB;
    options.channel_chunks = 4;
    options.hooks = (trove_stream_hooks){.context = &reports, .on_progress = on_progress};
    trove_stream *stream = open_stream(test, "seek", TROVE_DIRECTION_DOWNLOAD, &options);
    read_to(stream, test->bytes, 0, MIB);
    trove_chunk *kept = NULL; /* by the program, over the seek */
    CHECK_OK(trove_stream_read(stream, 0, &kept, &error), &error);
    static const uint64_t places[] = {5 * MIB + 3, 0, 2 * MIB, 2 * MIB, 700001, 6 * MIB};
    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
        control_stream(stream, TROVE_CONTROL_SEEK, places[i], TROVE_STREAM_ACTIVE);
        assert_int_equal(trove_stream_offset(stream), places[i]);
        check_account(stream);
        read_to(stream, test->bytes, places[i], places[i] + 1);
    }
    trove_stream_chunk_put(stream, kept);
    control_stream(stream, TROVE_CONTROL_PAUSE, 0, TROVE_STREAM_PAUSED);
    control_stream(stream, TROVE_CONTROL_SEEK, 123, TROVE_STREAM_PAUSED);
    control_stream(stream, TROVE_CONTROL_RESUME, 0, TROVE_STREAM_ACTIVE);
    CHECK_FAILS(trove_stream_control(stream, TROVE_CONTROL_SEEK, size + 1, 0, NULL, &error), OUT_OF_RANGE, "seek", &error);
    read_to(stream, test->bytes, 123, MIB);
    control_stream(stream, TROVE_CONTROL_SEEK, size - 1, TROVE_STREAM_ACTIVE);
    read_to(stream, test->bytes, size - 1, size);
    trove_chunk *end = NULL;
    CHECK_OK(trove_stream_read(stream, 0, &end, &error), &error);
    assert_null(end);
    CHECK_OK(trove_stream_complete(stream, 0, NULL, &error), &error);
    CHECK_FAILS(trove_stream_control(stream, TROVE_CONTROL_SEEK, 0, 0, NULL, &error), FAILED_PRECONDITION, "completed", &error);
    check_account(stream);
    trove_stream_release(stream);
    check_reports(&reports);
}

static void test_download_seeks_to_its_end(void **state) {
    const struct client_test *test = *state;
    trove_stream_options options;
    trove_error error;
    CHECK_OK(trove_put_memory(test->client, BUCKET, "end", test->bytes, 4 * MIB, NULL, NULL, &error), &error);
    trove_stream_options_init(&options);
    options.channel_chunks = 1;
    trove_stream *stream = open_stream(test, "end", TROVE_DIRECTION_DOWNLOAD, &options);
    control_stream(stream, TROVE_CONTROL_SEEK, 4 * MIB, TROVE_STREAM_ACTIVE);
    trove_chunk *chunk = NULL;
    CHECK_OK(trove_stream_read(stream, 0, &chunk, &error), &error);
    assert_null(chunk);
    CHECK_OK(trove_stream_complete(stream, 0, NULL, &error), &error);
    trove_stream_release(stream);
}

static void test_upload_seeks(void **state) {
    const struct client_test *test = *state;
    struct reports reports = {0};
    trove_stream_options options;
    trove_error error;
    trove_stream_options_init(&options);
    options.chunk_bytes = 100 * KIB;
    options.channel_chunks = 4;
    options.size = 3 * MIB + 5;
    options.hooks = (trove_stream_hooks){.context = &reports, .on_progress = on_progress};
    trove_stream *stream = open_stream(test, "rewound", TROVE_DIRECTION_UPLOAD, &options);
    CHECK_OK(write_bytes(stream, test->bytes + 5 * MIB, 2 * MIB, 0, &error), &error); /* not what it is to be */
    CHECK_FAILS(trove_stream_control(stream, TROVE_CONTROL_SEEK, 9 * MIB, 0, NULL, &error), FAILED_PRECONDITION, "rewound",
                &error);
    static const size_t places[] = {0, 300 * KIB, 256 * KIB, 77, 0, 0};
    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
        WAIT_FOR(check_account(stream).bytes_waiting == 0); /* only what the server has received can be gone back to */
        control_stream(stream, TROVE_CONTROL_SEEK, places[i], TROVE_STREAM_ACTIVE);
        assert_int_equal(trove_stream_offset(stream), places[i]);
        CHECK_OK(write_bytes(stream, test->bytes + places[i], MIB - places[i], 0, &error), &error);
        check_account(stream);
    }
    control_stream(stream, TROVE_CONTROL_PAUSE, 0, TROVE_STREAM_PAUSED);
    control_stream(stream, TROVE_CONTROL_SEEK, 0, TROVE_STREAM_PAUSED); /* with chunks under way */
    control_stream(stream, TROVE_CONTROL_RESUME, 0, TROVE_STREAM_ACTIVE);
    CHECK_OK(write_bytes(stream, test->bytes, 3 * MIB + 5, 0, &error), &error);
    CHECK_OK(trove_stream_complete(stream, 0, NULL, &error), &error);
    check_account(stream);
    trove_stream_release(stream);
    check_reports(&reports);
    check_object(test, "rewound", test->bytes, 3 * MIB + 5);
}

/* ---- chunks of before ---- */

static void read_one(trove_stream *stream, const uint8_t *bytes, uint64_t offset, trove_chunk **chunk) {
    trove_error error;
    CHECK_OK(trove_stream_read(stream, 0, chunk, &error), &error);
    assert_non_null(*chunk);
    assert_int_equal((*chunk)->offset, offset);
    assert_int_equal((*chunk)->size, CHUNK);
    assert_memory_equal((*chunk)->data, bytes + offset, CHUNK);
}

/* There is room for two chunks, and the program has one of them: the object's last one comes when its end has been told already,
 * finds no room, and has to come again, but not again and again. */
static void check_chunk_in_hand(const struct client_test *test, uint64_t bytes_per_second) {
    trove_stream_options options;
    trove_client_metrics before;
    trove_client_metrics after;
    trove_chunk *kept = NULL;
    trove_chunk *chunk = NULL;
    trove_error error;
    CHECK_OK(trove_put_memory(test->client, BUCKET, "three", test->bytes, 3 * CHUNK, NULL, NULL, &error), &error);
    trove_stream_options_init(&options);
    options.chunk_bytes = CHUNK;
    options.channel_chunks = 2;
    options.bytes_per_second = bytes_per_second;
    trove_stream *stream = open_stream(test, "three", TROVE_DIRECTION_DOWNLOAD, &options);
    read_one(stream, test->bytes, 0, &kept);
    CHECK_OK(trove_stream_control(stream, TROVE_CONTROL_SEEK, CHUNK, 0, NULL, &error), &error);
    WAIT_FOR(server_stream_of(test, "three").retries > 0);
    trove_client_metrics_get(test->client, &before);
    for (unsigned i = 0; i < PINGS; i++)
        CHECK_OK(trove_ping(test->client, 0, NULL, &error), &error);
    trove_client_metrics_get(test->client, &after);
    assert_true(after.frames_received - before.frames_received < 2 * PINGS);
    read_one(stream, test->bytes, CHUNK, &chunk);
    trove_stream_chunk_put(stream, chunk);
    read_one(stream, test->bytes, 2 * CHUNK, &chunk);
    trove_stream_chunk_put(stream, chunk);
    CHECK_OK(trove_stream_read(stream, 0, &chunk, &error), &error);
    assert_null(chunk);
    trove_stream_chunk_put(stream, kept);
    CHECK_OK(trove_stream_complete(stream, 0, NULL, &error), &error);
    trove_stream_release(stream);
}

static void test_chunk_in_hand(void **state) {
    check_chunk_in_hand(*state, 0);
}

/* The limit lets credit through only while something moves, and something still does when the end has been told. */
static void test_chunk_in_hand_under_a_limit(void **state) {
    check_chunk_in_hand(*state, 64 * MIB);
}

/* ---- on another connection ---- */

/* A download whose connection is lost goes on at its offset with another one, as long as the object is the same. */
static void test_download_goes_on_with_another_connection(void **state) {
    const struct client_test *test = *state;
    struct client_test lost = *test;
    trove_stream_options options;
    trove_stream *stream = NULL;
    trove_error error;
    char etag[TROVE_ETAG_BYTES];
    put_object(test, "goes-on", 8 * MIB);
    trove_stream_options_init(&options);
    options.chunk_bytes = CHUNK;
    options.channel_chunks = 4;
    CHECK_OK(trove_connect(test->url, NULL, &lost.client, &error), &error);
    stream = open_stream(&lost, "goes-on", TROVE_DIRECTION_DOWNLOAD, &options);
    memcpy(etag, trove_stream_object(stream)->etag, sizeof etag);
    read_to(stream, test->bytes, 0, 3 * MIB);
    trove_close(lost.client);
    trove_chunk *chunk = NULL;
    CHECK_FAILS(trove_stream_read(stream, 0, &chunk, &error), CANCELLED, "closed", &error);
    options.range_offset = trove_stream_offset(stream);
    options.conditions.if_match = etag;
    trove_stream_release(stream);
    assert_int_equal(options.range_offset, 3 * MIB);
    stream = open_stream(test, "goes-on", TROVE_DIRECTION_DOWNLOAD, &options);
    assert_int_equal(trove_stream_offset(stream), 3 * MIB);
    CHECK_OK(read_away(stream, test->bytes, &error), &error);
    assert_int_equal(trove_stream_offset(stream), 8 * MIB);
    trove_stream_release(stream);
    put_object(test, "goes-on", 9 * MIB);
    CHECK_FAILS(trove_stream_open(test->client, BUCKET, "goes-on", TROVE_DIRECTION_DOWNLOAD, &options, &stream, &error),
                FAILED_PRECONDITION, "goes-on", &error);
}

/* ---- what is read ---- */

/* Bytes that the server has read so far, from whatever. */
static uint64_t bytes_read(const struct client_test *test) {
    char path[64];
    char line[64];
    unsigned long long bytes = 0;
    snprintf(path, sizeof path, "/proc/%d/io", (int)troved_pid(test->server));
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    while (fgets(line, sizeof line, file) != NULL)
        sscanf(line, "rchar: %llu", &bytes);
    fclose(file);
    return bytes;
}

/* A range, and a seek, cost the reading of what is sent, and not of what lies before it. */
static void test_reads_only_what_it_sends(void **state) {
    const struct client_test *test = *state;
    const bool on_disk = strncmp(client_test_store(), "local:", 6) == 0;
    for (int seek = 0; seek < 2; seek++) {
        trove_stream_options options;
        trove_error error;
        trove_chunk *chunk = NULL;
        put_object(test, "part", BYTES_MAX);
        trove_stream_options_init(&options);
        options.chunk_bytes = CHUNK;
        options.channel_chunks = 2;
        options.range_offset = seek ? 0 : BYTES_MAX - 1 * MIB;
        uint64_t before = bytes_read(test);
        trove_stream *stream = open_stream(test, "part", TROVE_DIRECTION_DOWNLOAD, &options);
        if (seek) {
            read_one(stream, test->bytes, 0, &chunk);
            trove_stream_chunk_put(stream, chunk);
            control_stream(stream, TROVE_CONTROL_SEEK, BYTES_MAX - 1 * MIB, TROVE_STREAM_ACTIVE);
        }
        assert_int_equal(trove_stream_offset(stream), BYTES_MAX - 1 * MIB);
        CHECK_OK(read_away(stream, test->bytes, &error), &error);
        assert_int_equal(trove_stream_offset(stream), BYTES_MAX);
        trove_stream_release(stream);
        uint64_t taken = bytes_read(test) - before;
        assert_true(!on_disk || taken >= 1 * MIB);
        assert_true(taken < 4 * MIB);
    }
}

int main(int argc, char **argv) {
    client_test_arguments(argc, argv);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_download_seeks),
        cmocka_unit_test(test_download_seeks_to_its_end),
        cmocka_unit_test(test_upload_seeks),
        cmocka_unit_test(test_chunk_in_hand),
        cmocka_unit_test(test_chunk_in_hand_under_a_limit),
        cmocka_unit_test(test_download_goes_on_with_another_connection),
        cmocka_unit_test(test_reads_only_what_it_sends),
    };
    return cmocka_run_group_tests(tests, client_test_begin, client_test_end);
}
