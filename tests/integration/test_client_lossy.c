/* test_client_lossy.c - drop backpressure and seeks through libtrove and a real troved, in both directions. */
#include "client_test.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#define CHUNK (64 * KIB)

struct drops {
    atomic_uint chunks;
    atomic_ullong bytes;
    atomic_uint completed;
};

static void on_drop(void *context, const trove_drop *drop) {
    struct drops *drops = context;
    atomic_fetch_add(&drops->chunks, (unsigned)drop->count);
    atomic_fetch_add(&drops->bytes, drop->length);
}

static void on_complete(void *context, const trove_object_info *info) {
    struct drops *drops = context;
    (void)info;
    atomic_fetch_add(&drops->completed, 1);
}

static void lossy_options(trove_stream_options *options, struct drops *drops) {
    trove_stream_options_init(options);
    options->chunk_bytes = CHUNK;
    options->channel_chunks = 4;
    options->lossy = true;
    options->backpressure = TROVE_BACKPRESSURE_DROP;
    options->hooks = (trove_stream_hooks){.context = drops, .on_drop = on_drop, .on_complete = on_complete};
}

static void control(trove_stream *stream, trove_control kind, uint64_t offset, trove_stream_state expected) {
    trove_error error;
    trove_stream_state led_to;
    CHECK_OK(trove_stream_control(stream, kind, offset, 0, &led_to, &error), &error);
    assert_int_equal(led_to, expected);
}

static void check_account(trove_stream *stream) {
    trove_stream_metrics m;
    trove_stream_metrics_get(stream, &m);
    assert_int_equal(m.bytes_accepted,
                     m.bytes_acknowledged + m.bytes_dropped + m.bytes_queued + m.bytes_in_flight + m.bytes_abandoned);
    assert_int_equal(m.chunks_accepted,
                     m.chunks_acknowledged + m.chunks_dropped + m.chunks_queued + m.chunks_in_flight + m.chunks_abandoned);
}

/* The object with zeros for [begin, end). */
static void check_with_gap(const struct client_test *test, const char *key, size_t size, size_t begin, size_t end) {
    uint8_t *got = malloc(size + 1);
    size_t bytes = 0;
    trove_error error;
    trove_stream_options options;
    trove_stream_options_init(&options);
    CHECK_FAILS(trove_get_memory(test->client, BUCKET, key, got, size + 1, NULL, NULL, NULL, &error), DATA_LOSS, key, &error);
    options.allow_gaps = true;
    CHECK_OK(trove_get_memory(test->client, BUCKET, key, got, size + 1, &options, &bytes, NULL, &error), &error);
    assert_int_equal(bytes, size);
    assert_memory_equal(got, test->bytes, begin);
    for (size_t i = begin; i < end; i++)
        assert_int_equal(got[i], 0);
    assert_memory_equal(got + end, test->bytes + end, size - end);
    /* what lies beside it is to be had without being asked for zeros */
    options.allow_gaps = false;
    options.range_offset = end;
    CHECK_OK(trove_get_memory(test->client, BUCKET, key, got, size + 1, &options, &bytes, NULL, &error), &error);
    assert_memory_equal(got, test->bytes + end, size - end);
    free(got);
}

/* ---- losses ---- */

static void test_upload_loses_its_oldest(void **state) {
    const struct client_test *test = *state;
    struct drops drops = {0};
    trove_stream_options options;
    trove_error error;
    lossy_options(&options, &drops);
    trove_stream *stream = open_stream(test, "lossy", TROVE_DIRECTION_UPLOAD, &options);
    CHECK_OK(write_bytes(stream, test->bytes, 2 * CHUNK, 0, &error), &error);
    trove_stream_metrics metrics;
    do
        trove_stream_metrics_get(stream, &metrics);
    while (metrics.chunks_acknowledged < 2);
    control(stream, TROVE_CONTROL_PAUSE, 0, TROVE_STREAM_PAUSED);
    for (unsigned i = 2; i < 12; i++) { /* a producer that doesn't care whether anybody takes what it makes */
        trove_chunk *chunk;
        trove_drop dropped;
        CHECK_OK(trove_stream_chunk_get(stream, 0, &chunk, &error), &error);
        memcpy(chunk->data, test->bytes + i * CHUNK, CHUNK);
        chunk->size = CHUNK;
        chunk->final = i == 11;
        CHECK_OK(trove_stream_write_lossy(stream, &chunk, 0, &dropped, &error), &error);
        assert_int_equal(dropped.count, i < 6 ? 0 : 1);
        if (dropped.count > 0)
            assert_int_equal(dropped.offset, (i - 4) * CHUNK);
        check_account(stream);
    }
    control(stream, TROVE_CONTROL_RESUME, 0, TROVE_STREAM_ACTIVE);
    trove_object_info *info = NULL;
    CHECK_OK(trove_stream_complete(stream, 0, &info, &error), &error);
    assert_int_equal(info->size, 12 * CHUNK);
    assert_int_equal(info->gap_count, 1);
    assert_int_equal(info->gap_bytes, 6 * CHUNK);
    assert_int_equal(info->gaps[0].offset, 2 * CHUNK);
    assert_int_equal(info->gaps[0].length, 6 * CHUNK);
    trove_object_info_free(info);
    check_account(stream);
    trove_stream_metrics_get(stream, &metrics);
    assert_int_equal(metrics.chunks_dropped, 6);
    assert_int_equal(metrics.bytes_dropped, 6 * CHUNK);
    trove_stream_release(stream);
    assert_int_equal(drops.chunks, 6);
    assert_int_equal(drops.bytes, 6 * CHUNK);
    assert_int_equal(drops.completed, 1);
    check_with_gap(test, "lossy", 12 * CHUNK, 2 * CHUNK, 8 * CHUNK);
    /* a copy has lost the same */
    CHECK_OK(trove_object_copy(test->client, BUCKET, "lossy", BUCKET, "lossy-copy", NULL, 0, NULL, &error), &error);
    check_with_gap(test, "lossy-copy", 12 * CHUNK, 2 * CHUNK, 8 * CHUNK);
}

static void test_nothing_to_lose_blocks(void **state) {
    const struct client_test *test = *state;
    struct drops drops = {0};
    trove_stream_options options;
    trove_error error;
    lossy_options(&options, &drops);
    options.channel_chunks = 1;
    trove_stream *stream = open_stream(test, "final", TROVE_DIRECTION_UPLOAD, &options);
    control(stream, TROVE_CONTROL_PAUSE, 0, TROVE_STREAM_PAUSED);
    trove_chunk *chunk;
    CHECK_OK(trove_stream_chunk_get(stream, 0, &chunk, &error), &error);
    memcpy(chunk->data, test->bytes, 1000);
    chunk->size = 1000;
    chunk->final = true;
    CHECK_OK(trove_stream_write(stream, &chunk, 0, &error), &error);
    assert_int_equal(drops.chunks, 0); /* the final one stays */
    control(stream, TROVE_CONTROL_RESUME, 0, TROVE_STREAM_ACTIVE);
    CHECK_OK(trove_stream_complete(stream, 0, NULL, &error), &error);
    trove_stream_release(stream);
    check_object(test, "final", test->bytes, 1000);
}

static void test_a_slow_reader_loses_the_oldest(void **state) {
    const struct client_test *test = *state;
    struct drops drops = {0};
    trove_stream_options options;
    trove_error error;
    const size_t size = 12 * MIB;
    CHECK_OK(trove_put_memory(test->client, BUCKET, "live", test->bytes, size, NULL, NULL, &error), &error);
    lossy_options(&options, &drops);
    trove_stream *stream = open_stream(test, "live", TROVE_DIRECTION_DOWNLOAD, &options);
    uint64_t next_offset = 0;
    uint64_t lost = 0;
    for (unsigned count = 0;; count++) {
        trove_chunk *chunk = NULL;
        if (count == 2) /* all that is read meanwhile has to go: as long as it takes to read it */
            pause_ms(200);
        CHECK_OK(trove_stream_read(stream, 0, &chunk, &error), &error);
        if (chunk == NULL)
            break;
        assert_true(chunk->offset >= next_offset);
        lost += chunk->offset - next_offset;
        next_offset = chunk->offset + chunk->size;
        assert_memory_equal(chunk->data, test->bytes + chunk->offset, chunk->size);
        trove_stream_chunk_put(stream, chunk);
        check_account(stream);
    }
    assert_int_equal(next_offset, size); /* the end is never lost */
    assert_true(lost > 0);
    trove_stream_metrics metrics;
    trove_stream_metrics_get(stream, &metrics);
    assert_int_equal(metrics.bytes_dropped, lost);
    check_account(stream);
    trove_stream_release(stream);
    assert_int_equal(drops.bytes, lost);
    assert_int_equal(drops.completed, 1);
}

/* ---- seeks ---- */

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
        control(stream, TROVE_CONTROL_SEEK, places[i], TROVE_STREAM_ACTIVE);
        assert_int_equal(trove_stream_offset(stream), places[i]);
        check_account(stream);
        read_to(stream, test->bytes, places[i], places[i] + 1);
    }
    trove_stream_chunk_put(stream, kept);
    control(stream, TROVE_CONTROL_PAUSE, 0, TROVE_STREAM_PAUSED);
    control(stream, TROVE_CONTROL_SEEK, 123, TROVE_STREAM_PAUSED);
    control(stream, TROVE_CONTROL_RESUME, 0, TROVE_STREAM_ACTIVE);
    CHECK_FAILS(trove_stream_control(stream, TROVE_CONTROL_SEEK, size + 1, 0, NULL, &error), OUT_OF_RANGE, "seek", &error);
    read_to(stream, test->bytes, 123, MIB);
    control(stream, TROVE_CONTROL_SEEK, size - 1, TROVE_STREAM_ACTIVE);
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
    control(stream, TROVE_CONTROL_SEEK, 4 * MIB, TROVE_STREAM_ACTIVE);
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
        trove_stream_metrics metrics;
        do /* only what the server has received can be gone back to */
            trove_stream_metrics_get(stream, &metrics);
        while (metrics.bytes_waiting > 0);
        control(stream, TROVE_CONTROL_SEEK, places[i], TROVE_STREAM_ACTIVE);
        assert_int_equal(trove_stream_offset(stream), places[i]);
        CHECK_OK(write_bytes(stream, test->bytes + places[i], MIB - places[i], 0, &error), &error);
        check_account(stream);
    }
    control(stream, TROVE_CONTROL_PAUSE, 0, TROVE_STREAM_PAUSED);
    trove_stream_metrics metrics;
    trove_stream_metrics_get(stream, &metrics);
    control(stream, TROVE_CONTROL_SEEK, 0, TROVE_STREAM_PAUSED); /* with chunks under way */
    control(stream, TROVE_CONTROL_RESUME, 0, TROVE_STREAM_ACTIVE);
    CHECK_OK(write_bytes(stream, test->bytes, 3 * MIB + 5, 0, &error), &error);
    CHECK_OK(trove_stream_complete(stream, 0, NULL, &error), &error);
    check_account(stream);
    trove_stream_release(stream);
    check_reports(&reports);
    check_object(test, "rewound", test->bytes, 3 * MIB + 5);
}

static void test_contradictions(void **state) {
    const struct client_test *test = *state;
    trove_stream_options options;
    trove_stream *stream = NULL;
    trove_error error;
    trove_stream_options_init(&options);
    options.backpressure = TROVE_BACKPRESSURE_DROP;
    CHECK_FAILS(trove_stream_open(test->client, BUCKET, "no", TROVE_DIRECTION_UPLOAD, &options, &stream, &error),
                INVALID_ARGUMENT, "lossy", &error);
    options.lossy = options.resumable = true;
    CHECK_FAILS(trove_stream_open(test->client, BUCKET, "no", TROVE_DIRECTION_UPLOAD, &options, &stream, &error),
                INVALID_ARGUMENT, "resumable", &error);
}

int main(int argc, char **argv) {
    client_test_arguments(argc, argv);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_upload_loses_its_oldest),
        cmocka_unit_test(test_nothing_to_lose_blocks),
        cmocka_unit_test(test_a_slow_reader_loses_the_oldest),
        cmocka_unit_test(test_download_seeks),
        cmocka_unit_test(test_download_seeks_to_its_end),
        cmocka_unit_test(test_upload_seeks),
        cmocka_unit_test(test_contradictions),
    };
    return cmocka_run_group_tests(tests, client_test_begin, client_test_end);
}
