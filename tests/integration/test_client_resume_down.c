/* test_client_resume_down.c - libtrove's resumable downloads: cut in the middle, of an object that is replaced meanwhile, in the
 * hands of a program that reads chunk by chunk.
 */
#include "client_test.h"
#include "cut_proxy.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SIZE (20 * MIB + 4321)

struct behind {
    struct client_test test;
    struct cut_proxy *proxy;
};

static void begin(struct behind *behind, void **state, const char *key) {
    trove_error error;
    behind->test = *(const struct client_test *)*state;
    CHECK_OK(trove_put_memory(behind->test.client, BUCKET, key, behind->test.bytes, SIZE, NULL, NULL, &error), &error);
    behind->proxy = cut_proxy_start(behind->test.url);
    CHECK_OK(trove_connect(cut_proxy_url(behind->proxy), NULL, &behind->test.client, &error), &error);
}

static void end(struct behind *behind) {
    trove_close(behind->test.client);
    cut_proxy_stop(behind->proxy);
}

static void init(trove_stream_options *options) {
    trove_stream_options_init(options);
    options->resumable = true;
    options->timeout_ms = PATIENCE_MS;
}

struct told {
    uint64_t progress;
    unsigned wrong;
    unsigned completes;
};

static void on_progress(void *context, const trove_progress *progress) {
    struct told *told = context;
    told->wrong += progress->bytes < told->progress;
    told->progress = progress->bytes;
}

static void on_complete(void *context, const trove_object_info *info) {
    struct told *told = context;
    told->completes += info->size == SIZE;
}

/* ---- whole objects ---- */

static void test_get(void **state) {
    struct behind behind;
    struct told told = {0};
    trove_stream_options options;
    trove_stream_metrics metrics;
    trove_error error;
    size_t got_bytes = 0;
    begin(&behind, state, "get");
    uint8_t *got = calloc(1, SIZE);
    init(&options);
    options.metrics = &metrics;
    options.hooks = (trove_stream_hooks){.context = &told, .on_progress = on_progress, .on_complete = on_complete};
    cut_proxy_after_down(behind.proxy, 4 * MIB + 777, 4);
    CHECK_OK(trove_get_memory(behind.test.client, BUCKET, "get", got, SIZE, &options, &got_bytes, NULL, &error), &error);
    assert_int_equal(got_bytes, SIZE);
    assert_true(memcmp(got, behind.test.bytes, SIZE) == 0);
    assert_int_equal(metrics.reconnects, 4);
    check_identity(&metrics);
    assert_int_equal(told.wrong, 0);
    assert_int_equal(told.progress, SIZE);
    assert_int_equal(told.completes, 1);
    /* A range goes on within the range. */
    options.range_offset = 1 * MIB + 1;
    options.range_length = 15 * MIB;
    options.hooks = (trove_stream_hooks){0};
    cut_proxy_after_down(behind.proxy, 4 * MIB + 777, 2);
    cut_proxy_now(behind.proxy);
    memset(got, 0, SIZE);
    CHECK_OK(trove_get_memory(behind.test.client, BUCKET, "get", got, SIZE, &options, &got_bytes, NULL, &error), &error);
    assert_int_equal(got_bytes, 15 * MIB);
    assert_true(memcmp(got, behind.test.bytes + 1 * MIB + 1, 15 * MIB) == 0);
    assert_true(metrics.reconnects >= 2);
    free(got);
    end(&behind);
}

static void test_get_file(void **state) {
    struct behind behind;
    trove_stream_options options;
    trove_error error;
    char path[300];
    begin(&behind, state, "file");
    snprintf(path, sizeof path, "%s/target", troved_folder(behind.test.server));
    init(&options);
    cut_proxy_after_down(behind.proxy, 6 * MIB, 3);
    CHECK_OK(trove_get_file(behind.test.client, BUCKET, "file", path, &options, NULL, &error), &error);
    uint8_t *got = calloc(1, SIZE + 1);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(read(fd, got, SIZE + 1), SIZE);
    assert_true(memcmp(got, behind.test.bytes, SIZE) == 0);
    close(fd);
    unlink(path);
    free(got);
    end(&behind);
}

/* ---- chunk by chunk ---- */

/* Reads on to `until`; chunks come in order, without a gap. */
static void read_until(const struct behind *behind, trove_stream *stream, uint64_t *offset, uint64_t *index, uint64_t until) {
    trove_error error;
    trove_chunk *chunk = NULL;
    while (*offset < until) {
        CHECK_OK(trove_stream_read(stream, PATIENCE_MS, &chunk, &error), &error);
        assert_non_null(chunk);
        assert_int_equal(chunk->offset, *offset);
        assert_int_equal(chunk->index, *index);
        assert_true(memcmp(chunk->data, behind->test.bytes + *offset, chunk->size) == 0);
        *offset += chunk->size;
        ++*index;
        trove_stream_chunk_put(stream, chunk);
    }
}

static void test_read(void **state) {
    struct behind behind;
    trove_stream_options options;
    trove_stream_metrics metrics;
    trove_stream_state led_to;
    trove_error error;
    trove_chunk *held = NULL;
    trove_chunk *chunk = NULL;
    uint64_t offset = 0;
    uint64_t index = 0;
    begin(&behind, state, "read");
    init(&options);
    options.channel_chunks = 4; /* so that it isn't completing before its end */
    trove_stream *stream = open_stream(&behind.test, "read", TROVE_DIRECTION_DOWNLOAD, &options);
    assert_string_equal(trove_stream_upload_id(stream), "");
    assert_int_equal(trove_stream_durable_offset(stream), 0);
    read_until(&behind, stream, &offset, &index, 2 * MIB);
    CHECK_OK(trove_stream_read(stream, PATIENCE_MS, &held, &error), &error); /* kept over the cut */
    offset += held->size;
    index++;
    cut_proxy_now(behind.proxy);
    read_until(&behind, stream, &offset, &index, 6 * MIB);
    assert_true(memcmp(held->data, behind.test.bytes + held->offset, held->size) == 0);
    trove_stream_chunk_put(stream, held);
    CHECK_OK(trove_stream_control(stream, TROVE_CONTROL_PAUSE, 0, PATIENCE_MS, &led_to, &error), &error);
    cut_proxy_now(behind.proxy);
    CHECK_OK(trove_ping(behind.test.client, PATIENCE_MS, NULL, &error), &error);
    assert_int_equal(trove_stream_state_get(stream), TROVE_STREAM_PAUSED);
    CHECK_OK(trove_stream_control(stream, TROVE_CONTROL_PAUSE, 0, PATIENCE_MS, &led_to, &error), &error); /* it is */
    offset += 1000;
    CHECK_OK(trove_stream_control(stream, TROVE_CONTROL_SEEK, offset, PATIENCE_MS, &led_to, &error), &error);
    assert_int_equal(led_to, TROVE_STREAM_PAUSED);
    index = 0;
    CHECK_OK(trove_stream_control(stream, TROVE_CONTROL_RESUME, 0, PATIENCE_MS, &led_to, &error), &error);
    CHECK_FAILS(trove_stream_control(stream, TROVE_CONTROL_SEEK, 0, PATIENCE_MS, &led_to, &error), OUT_OF_RANGE,
                "can't go on at 0", &error);
    read_until(&behind, stream, &offset, &index, 8 * MIB);
    offset -= 1000;
    CHECK_OK(trove_stream_control(stream, TROVE_CONTROL_SEEK, offset, PATIENCE_MS, &led_to, &error), &error);
    index = 0;
    read_until(&behind, stream, &offset, &index, 10 * MIB);
    cut_proxy_now(behind.proxy);
    read_until(&behind, stream, &offset, &index, SIZE);
    CHECK_OK(trove_stream_read(stream, PATIENCE_MS, &chunk, &error), &error);
    assert_null(chunk);
    assert_int_equal(offset, SIZE);
    CHECK_OK(trove_stream_complete(stream, PATIENCE_MS, NULL, &error), &error);
    trove_stream_metrics_get(stream, &metrics);
    assert_int_equal(metrics.reconnects, 3);
    check_identity(&metrics);
    trove_stream_release(stream);
    end(&behind);
}

/* One that was under way when the connection was lost may be tried again. */
static trove_status control_again(trove_stream *stream, trove_control control, trove_error *error) {
    trove_status status;
    do
        status = trove_stream_control(stream, control, 0, PATIENCE_MS, NULL, error);
    while (status == TROVE_UNAVAILABLE);
    return status;
}

/* Everything has come when the connection is lost: there is nothing to come back for, and nobody to be asked. */
static void test_lost_when_all_is_here(void **state) {
    struct behind behind;
    trove_stream_options options;
    trove_stream_metrics metrics;
    trove_error error;
    trove_chunk *chunk = NULL;
    begin(&behind, state, "here");
    init(&options);
    options.range_length = 3 * MIB; /* it fits the window */
    trove_stream *stream = open_stream(&behind.test, "here", TROVE_DIRECTION_DOWNLOAD, &options);
    while (trove_stream_state_get(stream) != TROVE_STREAM_COMPLETING)
        pause_ms(1);
    do
        trove_stream_metrics_get(stream, &metrics);
    while (metrics.bytes_received < 3 * MIB);
    cut_proxy_shut(behind.proxy, 1);
    cut_proxy_now(behind.proxy);
    assert_int_not_equal(trove_ping(behind.test.client, 100, NULL, &error), TROVE_OK); /* it has noticed */
    CHECK_FAILS(control_again(stream, TROVE_CONTROL_PAUSE, &error), FAILED_PRECONDITION, "a completing stream can't be paused",
                &error);
    for (uint64_t offset = 0; offset < 3 * MIB; offset += chunk->size) {
        CHECK_OK(trove_stream_read(stream, PATIENCE_MS, &chunk, &error), &error);
        assert_true(memcmp(chunk->data, behind.test.bytes + offset, chunk->size) == 0);
        trove_stream_chunk_put(stream, chunk);
    }
    CHECK_OK(trove_stream_complete(stream, PATIENCE_MS, NULL, &error), &error);
    trove_stream_release(stream);
    cut_proxy_shut(behind.proxy, 0);
    end(&behind);
}

/* ---- another object ---- */

/* What is read is one object or an error, never a mix of two. */
static void test_replaced(void **state) {
    struct behind behind;
    const struct client_test *test = *state;
    trove_stream_options options;
    trove_error error;
    trove_chunk *chunk = NULL;
    uint64_t offset = 0;
    uint64_t index = 0;
    begin(&behind, state, "replaced");
    init(&options);
    trove_stream *stream = open_stream(&behind.test, "replaced", TROVE_DIRECTION_DOWNLOAD, &options);
    read_until(&behind, stream, &offset, &index, 2 * MIB);
    cut_proxy_shut(behind.proxy, 1);
    CHECK_OK(trove_put_memory(test->client, BUCKET, "replaced", test->bytes + 1, SIZE, NULL, NULL, &error), &error);
    cut_proxy_now(behind.proxy);
    cut_proxy_shut(behind.proxy, 0);
    trove_status status = TROVE_OK;
    while ((status = trove_stream_read(stream, PATIENCE_MS, &chunk, &error)) == TROVE_OK && chunk != NULL) {
        assert_true(memcmp(chunk->data, test->bytes + chunk->offset, chunk->size) == 0); /* what had come before */
        trove_stream_chunk_put(stream, chunk);
    }
    CHECK_FAILS(status, FAILED_PRECONDITION, "replaced", &error);
    trove_stream_release(stream);
    end(&behind);
}

int main(int argc, char **argv) {
    client_test_arguments(argc, argv);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_get),      cmocka_unit_test(test_get_file),
        cmocka_unit_test(test_read),     cmocka_unit_test(test_lost_when_all_is_here),
        cmocka_unit_test(test_replaced),
    };
    return cmocka_run_group_tests_name(client_test_store(), tests, client_test_begin, client_test_end);
}
