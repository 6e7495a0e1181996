/* test_client_lossy.c - drop backpressure through libtrove and a real troved, in both directions. */
#include "client_test.h"

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
    WAIT_FOR(check_account(stream).chunks_acknowledged == 2);
    control_stream(stream, TROVE_CONTROL_PAUSE, 0, TROVE_STREAM_PAUSED);
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
    control_stream(stream, TROVE_CONTROL_RESUME, 0, TROVE_STREAM_ACTIVE);
    trove_object_info *info = NULL;
    CHECK_OK(trove_stream_complete(stream, 0, &info, &error), &error);
    assert_int_equal(info->size, 12 * CHUNK);
    assert_int_equal(info->gap_count, 1);
    assert_int_equal(info->gap_bytes, 6 * CHUNK);
    assert_int_equal(info->gaps[0].offset, 2 * CHUNK);
    assert_int_equal(info->gaps[0].length, 6 * CHUNK);
    trove_object_info_free(info);
    trove_stream_metrics metrics = check_account(stream);
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

/* What is under way isn't lost any more: where there is nothing else, the program waits. */
static void test_nothing_to_lose_blocks(void **state) {
    const struct client_test *test = *state;
    struct drops drops = {0};
    trove_stream_options options;
    trove_error error;
    trove_drop dropped;
    trove_chunk *chunk = NULL;
    lossy_options(&options, &drops);
    options.channel_chunks = 1;
    trove_stream *stream = open_stream(test, "whole", TROVE_DIRECTION_UPLOAD, &options);
    WAIT_FOR(check_account(stream).credit_bytes >= CHUNK);
    troved_hold(test->server);
    CHECK_OK(write_bytes(stream, test->bytes, CHUNK, 0, &error), &error);
    WAIT_FOR(check_account(stream).chunks_in_flight == 1);
    CHECK_OK(trove_stream_chunk_get(stream, 0, &chunk, &error), &error);
    memcpy(chunk->data, test->bytes + CHUNK, CHUNK);
    chunk->size = CHUNK;
    CHECK_FAILS(trove_stream_write_lossy(stream, &chunk, 200, &dropped, &error), DEADLINE_EXCEEDED, "whole", &error);
    assert_non_null(chunk);
    troved_let_go(test->server);
    CHECK_OK(trove_stream_write_lossy(stream, &chunk, 0, &dropped, &error), &error);
    assert_int_equal(dropped.count, 0);
    WAIT_FOR(check_account(stream).chunks_acknowledged == 2); /* the library's own last one would cost it */
    CHECK_OK(trove_stream_complete(stream, 0, NULL, &error), &error);
    trove_stream_release(stream);
    assert_int_equal(drops.chunks, 0);
    check_object(test, "whole", test->bytes, 2 * CHUNK);
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
        if (count == 2)
            WAIT_FOR(check_account(stream).bytes_dropped > 0); /* it reads no faster than what is lost comes */
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
    assert_int_equal(check_account(stream).bytes_dropped, lost);
    trove_stream_release(stream);
    assert_int_equal(drops.bytes, lost);
    assert_int_equal(drops.completed, 1);
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
        cmocka_unit_test(test_contradictions),
    };
    return cmocka_run_group_tests(tests, client_test_begin, client_test_end);
}
