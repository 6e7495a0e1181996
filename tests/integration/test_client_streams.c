/* test_client_streams.c - streams through libtrove and a real troved: states, controls from other threads, hooks. */
#include "client_test.h"

#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

struct record {
    atomic_uint chunks;
    atomic_ullong chunk_bytes;
    atomic_uint progress;
    atomic_uint completed;
    atomic_uint failed;
    _Atomic double percent;
    trove_status status;
    uint64_t completed_size;
    uint64_t next_index;
    bool out_of_order;
    bool after_end;
};

static void note_end(struct record *record) {
    if (atomic_load(&record->completed) + atomic_load(&record->failed) > 0)
        record->after_end = true;
}

static void on_chunk(void *context, const trove_chunk_ack *ack) {
    struct record *record = context;
    note_end(record);
    record->out_of_order |= ack->index != record->next_index++ || ack->latency_ns == 0;
    atomic_fetch_add(&record->chunks, 1);
    atomic_fetch_add(&record->chunk_bytes, ack->size);
}

static void on_progress(void *context, const trove_progress *progress) {
    struct record *record = context;
    note_end(record);
    atomic_store(&record->percent, progress->percent);
    atomic_fetch_add(&record->progress, 1);
}

static void on_complete(void *context, const trove_object_info *info) {
    struct record *record = context;
    note_end(record);
    record->completed_size = info->size;
    atomic_fetch_add(&record->completed, 1);
}

static void on_error(void *context, const trove_error *error) {
    struct record *record = context;
    note_end(record);
    record->status = error->status;
    atomic_fetch_add(&record->failed, 1);
}

static void options_with_hooks(trove_stream_options *options, struct record *record) {
    trove_stream_options_init(options);
    options->chunk_bytes = 100 * KIB;
    options->channel_chunks = 4;
    options->hooks = (trove_stream_hooks){
        .context = record, .on_progress = on_progress, .on_chunk = on_chunk, .on_complete = on_complete, .on_error = on_error};
}

static void check_completed(const struct record *record, unsigned chunks, uint64_t size) {
    assert_int_equal(record->chunks, chunks);
    assert_int_equal(record->chunk_bytes, size);
    assert_int_equal(record->completed, 1);
    assert_int_equal(record->failed, 0);
    assert_int_equal(record->completed_size, size);
    assert_true(record->progress >= 1);
    assert_true(record->percent == 100.0);
    assert_false(record->out_of_order);
    assert_false(record->after_end);
}

static void check_failed(const struct record *record, trove_status status) {
    assert_int_equal(record->completed, 0);
    assert_int_equal(record->failed, 1);
    assert_int_equal(record->status, status);
    assert_false(record->after_end);
}

/* ---- the common way ---- */

static void test_upload(void **state) {
    const struct client_test *test = *state;
    struct record record = {0};
    trove_stream_options options;
    trove_error error;
    trove_object_info *info = NULL;
    options_with_hooks(&options, &record);
    trove_stream *stream = open_stream(test, "stream", TROVE_DIRECTION_UPLOAD, &options);
    assert_int_equal(trove_stream_chunk_bytes(stream), 100 * KIB);
    assert_true(trove_stream_id(stream) > 0);
    assert_null(trove_stream_object(stream));
    CHECK_OK(write_bytes(stream, test->bytes, 3 * MIB, 0, &error), &error);
    assert_int_equal(trove_stream_offset(stream), 3 * MIB);
    CHECK_OK(trove_stream_complete(stream, 0, &info, &error), &error);
    assert_int_equal(info->size, 3 * MIB);
    trove_object_info_free(info);
    assert_int_equal(trove_stream_state_get(stream), TROVE_STREAM_COMPLETED);
    assert_string_equal(trove_stream_object(stream)->key, "stream");
    trove_stream_metrics metrics;
    trove_stream_metrics_get(stream, &metrics);
    assert_int_equal(metrics.bytes_sent, 3 * MIB);
    assert_int_equal(metrics.bytes_acknowledged, 3 * MIB);
    assert_true(metrics.buffers_high_water <= 6 && metrics.buffers_in_use == 0 && metrics.elapsed_ns > 0);
    CHECK_OK(trove_stream_complete(stream, 0, NULL, &error), &error); /* the same answer again */
    trove_stream_release(stream);
    check_completed(&record, 31, 3 * MIB); /* once it is released no hook runs any more */
    check_object(test, "stream", test->bytes, 3 * MIB);
}

/* Reads on to the end, or to an error; tells how far it got. */
static size_t read_all(trove_stream *stream, const uint8_t *expected, uint32_t timeout_ms, trove_status *status,
                       trove_error *error) {
    size_t at = trove_stream_offset(stream);
    for (;;) {
        trove_chunk *chunk = NULL;
        *status = trove_stream_read(stream, timeout_ms, &chunk, error);
        if (*status != TROVE_OK || chunk == NULL)
            return at;
        assert_int_equal(chunk->offset, at);
        assert_true(memcmp(chunk->data, expected + at, chunk->size) == 0);
        at += chunk->size;
        trove_stream_chunk_put(stream, chunk);
    }
}

static void test_download(void **state) {
    const struct client_test *test = *state;
    struct record record = {0};
    trove_stream_options options;
    trove_error error;
    trove_status status;
    CHECK_OK(trove_put_memory(test->client, BUCKET, "down", test->bytes, 3 * MIB, NULL, NULL, &error), &error);
    options_with_hooks(&options, &record);
    trove_stream *stream = open_stream(test, "down", TROVE_DIRECTION_DOWNLOAD, &options);
    assert_int_equal(trove_stream_object(stream)->size, 3 * MIB);
    assert_int_equal(read_all(stream, test->bytes, 0, &status, &error), 3 * MIB);
    CHECK_OK(status, &error);
    assert_int_equal(trove_stream_offset(stream), 3 * MIB);
    CHECK_OK(trove_stream_complete(stream, 0, NULL, &error), &error);
    trove_stream_metrics metrics;
    trove_stream_metrics_get(stream, &metrics);
    assert_int_equal(metrics.state, TROVE_STREAM_COMPLETED);
    assert_int_equal(metrics.bytes_received, 3 * MIB);
    assert_true(metrics.buffers_high_water <= 4);
    unsigned chunks = record.chunks;
    trove_stream_release(stream);
    assert_true(chunks > 0);
    check_completed(&record, record.chunks, 3 * MIB);
}

static void test_empty(void **state) {
    const struct client_test *test = *state;
    trove_error error;
    trove_chunk *chunk = NULL;
    trove_stream *stream = open_stream(test, "empty", TROVE_DIRECTION_UPLOAD, NULL);
    CHECK_OK(trove_stream_complete(stream, 0, NULL, &error), &error);
    trove_stream_release(stream);
    stream = open_stream(test, "empty", TROVE_DIRECTION_DOWNLOAD, NULL);
    CHECK_OK(trove_stream_read(stream, 0, &chunk, &error), &error);
    assert_null(chunk);
    trove_stream_release(stream);
    stream = open_stream(test, "empty", TROVE_DIRECTION_DOWNLOAD, NULL);
    CHECK_OK(trove_stream_complete(stream, 0, NULL, &error), &error); /* there is nothing to read */
    trove_stream_release(stream);
}

/* The program says which chunk is the last one; none may follow. */
static void test_final_chunk(void **state) {
    const struct client_test *test = *state;
    trove_error error;
    trove_stream *stream = open_stream(test, "final", TROVE_DIRECTION_UPLOAD, NULL);
    trove_chunk *chunk = NULL;
    CHECK_OK(trove_stream_chunk_get(stream, 0, &chunk, &error), &error);
    chunk->size = 12345;
    chunk->final = true;
    memcpy(chunk->data, test->bytes, chunk->size);
    CHECK_OK(trove_stream_write(stream, &chunk, 0, &error), &error);
    CHECK_FAILS(write_bytes(stream, test->bytes, 1, 0, &error), FAILED_PRECONDITION, "last", &error);
    CHECK_OK(trove_stream_complete(stream, 0, NULL, &error), &error);
    trove_stream_release(stream);
    check_object(test, "final", test->bytes, 12345);
}

/* What credit a small chunk leaves over doesn't keep a large one waiting, where the window has room for no more than one. */
static void test_window_of_one_chunk(void **state) {
    const struct client_test *test = *state;
    trove_error error;
    trove_stream_options options;
    trove_stream_options_init(&options);
    options.chunk_bytes = 100 * KIB;
    options.channel_chunks = 1;
    trove_stream *stream = open_stream(test, "one", TROVE_DIRECTION_UPLOAD, &options);
    size_t at = 0;
    for (size_t bytes = 1; at < 500 * KIB; at += bytes, bytes = bytes * 7 % (100 * KIB) + 1)
        CHECK_OK(write_bytes(stream, test->bytes + at, bytes, 10000, &error), &error);
    CHECK_OK(trove_stream_complete(stream, 10000, NULL, &error), &error);
    trove_stream_release(stream);
    check_object(test, "one", test->bytes, at);
}

/* The program keeps all the chunks that it may, and gives them back in another order. */
static void test_keep_chunks(void **state) {
    const struct client_test *test = *state;
    trove_error error;
    trove_stream_options options;
    trove_stream_options_init(&options);
    options.chunk_bytes = 256 * KIB;
    options.channel_chunks = 4;
    CHECK_OK(trove_put_memory(test->client, BUCKET, "kept", test->bytes, 5 * MIB, NULL, NULL, &error), &error);
    trove_stream *stream = open_stream(test, "kept", TROVE_DIRECTION_DOWNLOAD, &options);
    size_t at = 0;
    while (at < 5 * MIB) {
        trove_chunk *chunks[4] = {NULL};
        for (int i = 0; i < 4; i++) {
            CHECK_OK(trove_stream_read(stream, 0, &chunks[i], &error), &error);
            assert_non_null(chunks[i]);
            assert_int_equal(chunks[i]->offset, at);
            at += chunks[i]->size;
        }
        trove_chunk *none = NULL;
        if (at < 5 * MIB)
            CHECK_FAILS(trove_stream_read(stream, 50, &none, &error), DEADLINE_EXCEEDED, "kept", &error);
        static const int order[] = {2, 0, 3, 1};
        for (int i = 0; i < 4; i++) {
            trove_chunk *chunk = chunks[order[i]];
            assert_true(memcmp(chunk->data, test->bytes + chunk->offset, chunk->size) == 0);
            trove_stream_chunk_put(stream, chunk);
        }
    }
    CHECK_OK(trove_stream_complete(stream, 0, NULL, &error), &error);
    trove_stream_release(stream);
}

/* The program keeps all but two of its chunks and reads on with those: the little that it gives back is told as well. */
static void test_keep_most(void **state) {
    const struct client_test *test = *state;
    trove_error error;
    trove_stream_options options;
    trove_stream_options_init(&options);
    options.chunk_bytes = 256 * KIB;
    options.channel_chunks = 16;
    CHECK_OK(trove_put_memory(test->client, BUCKET, "most", test->bytes, 8 * MIB, NULL, NULL, &error), &error);
    trove_stream *stream = open_stream(test, "most", TROVE_DIRECTION_DOWNLOAD, &options);
    trove_chunk *kept[14];
    for (int i = 0; i < 14; i++)
        CHECK_OK(trove_stream_read(stream, 0, &kept[i], &error), &error);
    uint64_t at = kept[13]->offset + kept[13]->size;
    while (at < 8 * MIB) {
        trove_chunk *chunk = NULL;
        CHECK_OK(trove_stream_read(stream, 10000, &chunk, &error), &error);
        assert_int_equal(chunk->offset, at);
        at += chunk->size;
        trove_stream_chunk_put(stream, chunk);
    }
    for (int i = 0; i < 14; i++)
        trove_stream_chunk_put(stream, kept[i]);
    CHECK_OK(trove_stream_complete(stream, 0, NULL, &error), &error);
    trove_stream_release(stream);
}

/* ---- misuse ---- */

static void test_misuse(void **state) {
    const struct client_test *test = *state;
    trove_client *client = test->client;
    trove_error error;
    trove_stream *stream = NULL;
    trove_chunk *chunk = NULL;
    trove_stream_options options;
    trove_stream_options_init(&options);
    CHECK_FAILS(trove_stream_open(client, NULL, "k", TROVE_DIRECTION_UPLOAD, NULL, &stream, &error), INVALID_ARGUMENT, "bucket",
                &error);
    CHECK_FAILS(trove_stream_open(client, "A", "k", TROVE_DIRECTION_UPLOAD, NULL, &stream, &error), INVALID_ARGUMENT, "A",
                &error);
    CHECK_FAILS(trove_stream_open(client, BUCKET, "", TROVE_DIRECTION_UPLOAD, NULL, &stream, &error), INVALID_ARGUMENT, "key",
                &error);
    options.chunk_bytes = 64 * MIB + 1;
    CHECK_FAILS(trove_stream_open(client, BUCKET, "k", TROVE_DIRECTION_UPLOAD, &options, &stream, &error), INVALID_ARGUMENT,
                "67108865", &error);
    options.chunk_bytes = 0;
    options.lossy = options.resumable = true;
    CHECK_FAILS(trove_stream_open(client, BUCKET, "k", TROVE_DIRECTION_UPLOAD, &options, &stream, &error), INVALID_ARGUMENT,
                "lossy", &error);
    options.lossy = false;
    CHECK_FAILS(trove_stream_open(client, BUCKET, "k", TROVE_DIRECTION_BIDI, &options, &stream, &error), INVALID_ARGUMENT,
                "resumable", &error);
    options.struct_bytes = 0;
    CHECK_FAILS(trove_stream_open(client, BUCKET, "k", TROVE_DIRECTION_UPLOAD, &options, &stream, &error), INVALID_ARGUMENT,
                "_init", &error);
    CHECK_FAILS(trove_stream_open(client, "no-such-bucket", "k", TROVE_DIRECTION_UPLOAD, NULL, &stream, &error), NOT_FOUND,
                "no-such-bucket", &error);
    assert_null(stream);

    CHECK_OK(trove_stream_open(client, BUCKET, "k", TROVE_DIRECTION_UPLOAD, NULL, &stream, &error), &error);
    CHECK_FAILS(write_bytes(stream, test->bytes, 1, 0, &error), FAILED_PRECONDITION, "start", &error);
    CHECK_FAILS(trove_stream_complete(stream, 0, NULL, &error), FAILED_PRECONDITION, "start", &error);
    CHECK_OK(trove_stream_start(stream, &error), &error);
    CHECK_OK(trove_stream_chunk_get(stream, 0, &chunk, &error), &error);
    CHECK_FAILS(trove_stream_write(stream, &chunk, 0, &error), INVALID_ARGUMENT, "0 bytes", &error);
    chunk->size = chunk->capacity + 1;
    CHECK_FAILS(trove_stream_write(stream, &chunk, 0, &error), INVALID_ARGUMENT, "1048577", &error);
    trove_stream_chunk_put(stream, chunk);
    CHECK_FAILS(trove_stream_read(stream, 0, &chunk, &error), FAILED_PRECONDITION, "upload", &error);
    CHECK_FAILS(trove_stream_control(stream, TROVE_CONTROL_SEEK, 1, 0, NULL, &error), FAILED_PRECONDITION, "of which 0 bytes",
                &error);
    trove_stream_release(stream);

    trove_stream_options_init(&options);
    options.size = 1000;
    stream = open_stream(test, "k", TROVE_DIRECTION_UPLOAD, &options);
    CHECK_FAILS(write_bytes(stream, test->bytes, 1001, 0, &error), INVALID_ARGUMENT, "1000", &error);
    CHECK_OK(write_bytes(stream, test->bytes, 999, 0, &error), &error);
    CHECK_FAILS(trove_stream_complete(stream, 0, NULL, &error), FAILED_PRECONDITION, "999", &error);
    CHECK_OK(write_bytes(stream, test->bytes, 1, 0, &error), &error);
    CHECK_OK(trove_stream_complete(stream, 0, NULL, &error), &error);
    trove_stream_release(stream);
}

/* ---- controls ---- */

struct writer {
    const struct client_test *test;
    trove_stream *stream;
    size_t size;
    trove_status status;
    trove_error error;
    pthread_t thread;
};

static void *write_in_thread(void *argument) {
    struct writer *writer = argument;
    writer->status = write_bytes(writer->stream, writer->test->bytes, writer->size, 0, &writer->error);
    return NULL;
}

static uint64_t settled_offset(trove_stream *stream) {
    uint64_t before = UINT64_MAX;
    for (uint64_t now = trove_stream_offset(stream); now != before; now = trove_stream_offset(stream)) {
        before = now;
        pause_ms(100);
    }
    return before;
}

static void test_pause_upload(void **state) {
    const struct client_test *test = *state;
    struct record record = {0};
    trove_stream_options options;
    trove_stream_state reached = TROVE_STREAM_IDLE;
    trove_error error;
    options_with_hooks(&options, &record);
    trove_stream *stream = open_stream(test, "paused", TROVE_DIRECTION_UPLOAD, &options);
    CHECK_OK(trove_stream_control(stream, TROVE_CONTROL_PAUSE, 0, 0, &reached, &error), &error);
    assert_int_equal(reached, TROVE_STREAM_PAUSED);
    assert_int_equal(trove_stream_state_get(stream), TROVE_STREAM_PAUSED);
    struct writer writer = {.test = test, .stream = stream, .size = 20 * MIB};
    pthread_create(&writer.thread, NULL, write_in_thread, &writer);
    assert_int_equal(settled_offset(stream), 0); /* a paused stream's writer waits */
    CHECK_OK(trove_stream_control(stream, TROVE_CONTROL_RESUME, 0, 0, &reached, &error), &error);
    assert_int_equal(reached, TROVE_STREAM_ACTIVE);
    for (int i = 0; i < 20; i++) {
        CHECK_OK(trove_stream_control(stream, TROVE_CONTROL_PAUSE, 0, 0, &reached, &error), &error);
        assert_int_equal(reached, TROVE_STREAM_PAUSED);
        CHECK_OK(trove_stream_control(stream, TROVE_CONTROL_PAUSE, 0, 0, &reached, &error), &error); /* it is already */
        pause_ms(2);
        CHECK_OK(trove_stream_control(stream, TROVE_CONTROL_RESUME, 0, 0, &reached, &error), &error);
    }
    pthread_join(writer.thread, NULL);
    CHECK_OK(writer.status, &writer.error);
    CHECK_OK(trove_stream_complete(stream, 0, NULL, &error), &error);
    CHECK_FAILS(trove_stream_control(stream, TROVE_CONTROL_PAUSE, 0, 0, NULL, &error), FAILED_PRECONDITION, "completed", &error);
    CHECK_FAILS(trove_stream_control(stream, TROVE_CONTROL_CANCEL, 0, 0, NULL, &error), FAILED_PRECONDITION, "completed", &error);
    trove_stream_release(stream);
    check_completed(&record, 205, 20 * MIB);
    check_object(test, "paused", test->bytes, 20 * MIB);
}

static void test_pause_download(void **state) {
    const struct client_test *test = *state;
    trove_stream_options options;
    trove_error error;
    trove_status status;
    trove_stream_options_init(&options);
    options.chunk_bytes = 64 * KIB;
    options.channel_chunks = 4;
    CHECK_OK(trove_put_memory(test->client, BUCKET, "down", test->bytes, 10 * MIB, NULL, NULL, &error), &error);
    trove_stream *stream = open_stream(test, "down", TROVE_DIRECTION_DOWNLOAD, &options);
    CHECK_OK(trove_stream_control(stream, TROVE_CONTROL_PAUSE, 0, 0, NULL, &error), &error);
    size_t got = read_all(stream, test->bytes, 200, &status, &error); /* what was under way */
    CHECK_FAILS(status, DEADLINE_EXCEEDED, "resumed", &error);
    assert_true(got < 10 * MIB);
    CHECK_OK(trove_stream_control(stream, TROVE_CONTROL_RESUME, 0, 0, NULL, &error), &error);
    assert_int_equal(read_all(stream, test->bytes, 0, &status, &error), 10 * MIB);
    CHECK_OK(status, &error);
    trove_stream_release(stream);
}

static void test_cancel(void **state) {
    const struct client_test *test = *state;
    struct record record = {0};
    trove_stream_options options;
    trove_stream_state reached = TROVE_STREAM_IDLE;
    trove_error error;
    trove_object_info *info = NULL;
    options_with_hooks(&options, &record);
    trove_stream *stream = open_stream(test, "cancelled", TROVE_DIRECTION_UPLOAD, &options);
    struct writer writer = {.test = test, .stream = stream, .size = 20 * MIB};
    pthread_create(&writer.thread, NULL, write_in_thread, &writer);
    WAIT_FOR(trove_stream_offset(stream) >= 200 * KIB);
    CHECK_OK(trove_stream_control(stream, TROVE_CONTROL_CANCEL, 0, 0, &reached, &error), &error);
    assert_int_equal(reached, TROVE_STREAM_CANCELLED);
    pthread_join(writer.thread, NULL);
    assert_int_equal(writer.status, TROVE_CANCELLED);
    CHECK_FAILS(trove_stream_complete(stream, 0, NULL, &error), CANCELLED, "cancelled", &error);
    trove_stream_release(stream);
    check_failed(&record, TROVE_CANCELLED);
    CHECK_FAILS(trove_object_head(test->client, BUCKET, "cancelled", 0, &info, &error), NOT_FOUND, "cancelled", &error);
}

static void test_fail(void **state) {
    const struct client_test *test = *state;
    struct record record = {0};
    trove_stream_options options;
    trove_error error;
    trove_object_info *info = NULL;
    options_with_hooks(&options, &record);
    trove_stream *stream = open_stream(test, "failed", TROVE_DIRECTION_UPLOAD, &options);
    CHECK_OK(write_bytes(stream, test->bytes, 1 * MIB, 0, &error), &error);
    trove_stream_fail(stream, TROVE_ABORTED, "upload interrupted");
    trove_stream_fail(stream, TROVE_INTERNAL, "again");
    CHECK_FAILS(write_bytes(stream, test->bytes, 1, 0, &error), ABORTED, "upload interrupted", &error);
    CHECK_FAILS(trove_stream_complete(stream, 0, NULL, &error), ABORTED, "upload interrupted", &error);
    assert_int_equal(trove_stream_state_get(stream), TROVE_STREAM_FAILED);
    trove_stream_release(stream);
    check_failed(&record, TROVE_ABORTED);
    CHECK_FAILS(trove_object_head(test->client, BUCKET, "failed", 0, &info, &error), NOT_FOUND, "failed", &error);
}

/* Released in the middle, each in another state; the server must have nothing left of them. */
static void test_release(void **state) {
    const struct client_test *test = *state;
    trove_error error;
    CHECK_OK(trove_put_memory(test->client, BUCKET, "down", test->bytes, 10 * MIB, NULL, NULL, &error), &error);
    for (int i = 0; i < 20; i++) {
        struct record record = {0};
        trove_stream_options options;
        options_with_hooks(&options, &record);
        trove_stream *up = open_stream(test, "released", TROVE_DIRECTION_UPLOAD, &options);
        trove_stream *down = open_stream(test, "down", TROVE_DIRECTION_DOWNLOAD, NULL);
        trove_chunk *chunk = NULL;
        CHECK_OK(write_bytes(up, test->bytes, (size_t)i * 50 * KIB, 0, &error), &error);
        CHECK_OK(trove_stream_read(down, 0, &chunk, &error), &error);
        trove_stream_chunk_put(down, chunk);
        trove_stream_release(up);
        trove_stream_release(down);
        check_failed(&record, TROVE_CANCELLED);
    }
    WAIT_FOR(server_is_idle(test));
    trove_stream_release(NULL);
}

static void slow_chunk(void *context, const trove_chunk_ack *ack) {
    pause_ms(2);
    on_chunk(context, ack);
}

/* A slow hook slows its own stream down and loses nothing. */
static void test_slow_hook(void **state) {
    const struct client_test *test = *state;
    struct record record = {0};
    trove_stream_options options;
    trove_error error;
    options_with_hooks(&options, &record);
    options.chunk_bytes = 4 * KIB;
    options.hooks.on_chunk = slow_chunk;
    trove_stream *stream = open_stream(test, "slow", TROVE_DIRECTION_UPLOAD, &options);
    CHECK_OK(write_bytes(stream, test->bytes, 400 * KIB, 0, &error), &error);
    CHECK_OK(trove_stream_complete(stream, 0, NULL, &error), &error);
    trove_stream_release(stream);
    check_completed(&record, 100, 400 * KIB);
}

int main(int argc, char **argv) {
    client_test_arguments(argc, argv);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_upload),       cmocka_unit_test(test_download),
        cmocka_unit_test(test_empty),        cmocka_unit_test(test_final_chunk),
        cmocka_unit_test(test_keep_chunks),  cmocka_unit_test(test_misuse),
        cmocka_unit_test(test_pause_upload), cmocka_unit_test(test_pause_download),
        cmocka_unit_test(test_cancel),       cmocka_unit_test(test_fail),
        cmocka_unit_test(test_release),      cmocka_unit_test(test_slow_hook),
        cmocka_unit_test(test_keep_most),    cmocka_unit_test(test_window_of_one_chunk),
    };
    return cmocka_run_group_tests_name(client_test_store(), tests, client_test_begin, client_test_end);
}
