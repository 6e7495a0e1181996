/* test_client_resume.c - libtrove's resumable uploads: cut in the middle, the server killed under them, gone on with by somebody
 * else, kept within a bound. Downloads: test_client_resume_down.c.
 */
#include "coming_and_going.h"
#include "cut_proxy.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* A client behind a proxy. */
struct behind {
    struct client_test test;
    struct cut_proxy *proxy;
};

static void begin(struct behind *behind, void **state, uint32_t retry_for_ms) {
    trove_client_options options;
    trove_error error;
    behind->test = *(const struct client_test *)*state;
    behind->proxy = cut_proxy_start(behind->test.url);
    trove_client_options_init(&options);
    options.retry_for_ms = retry_for_ms;
    CHECK_OK(trove_connect(cut_proxy_url(behind->proxy), &options, &behind->test.client, &error), &error);
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

/* ---- what the hooks are told ---- */

struct told {
    trove_error error; /* of what was told wrong */
    uint64_t next_index;
    uint64_t offset;
    uint64_t durable;
    uint64_t progress;
    unsigned opened;
    unsigned ends;
    char upload_id[TROVE_UPLOAD_ID_BYTES];
};

static void on_opened(void *context, const char *upload_id) {
    struct told *told = context;
    told->opened++;
    snprintf(told->upload_id, sizeof told->upload_id, "%s", upload_id);
}

static void on_chunk(void *context, const trove_chunk_ack *ack) {
    struct told *told = context;
    if (ack->index != told->next_index++ || told->opened == 0)
        told->error.status = TROVE_INTERNAL;
    told->offset = ack->offset + ack->size;
    told->durable = ack->durable_offset;
}

static void on_progress(void *context, const trove_progress *progress) {
    struct told *told = context;
    if (progress->bytes < told->progress)
        told->error.status = TROVE_INTERNAL;
    told->progress = progress->bytes;
}

static void on_complete(void *context, const trove_object_info *info) {
    struct told *told = context;
    (void)info;
    told->ends++;
}

static void on_error(void *context, const trove_error *error) {
    struct told *told = context;
    (void)error;
    told->ends++;
}

static trove_stream_hooks hooks_of(struct told *told) {
    return (trove_stream_hooks){told, on_progress, on_chunk, on_complete, on_error, NULL, on_opened, NULL};
}

/* ---- a connection that is cut ---- */

static void test_cut(void **state) {
    struct behind behind;
    struct told told = {0};
    trove_stream_options options;
    trove_stream_metrics metrics;
    trove_object_info *info = NULL;
    trove_error error;
    const size_t size = 22 * MIB + 12345;
    begin(&behind, state, 0);
    init(&options);
    options.metrics = &metrics;
    options.hooks = hooks_of(&told);
    cut_proxy_after_up(behind.proxy, 5 * MIB + 77777, 3);
    CHECK_OK(trove_put_memory(behind.test.client, BUCKET, "cut", behind.test.bytes, size, &options, &info, &error), &error);
    trove_object_info_free(info);
    assert_int_equal(metrics.reconnects, 3);
    check_identity(&metrics);
    assert_int_equal(metrics.bytes_accepted, size);
    assert_int_equal(told.error.status, TROVE_OK);
    assert_int_equal(told.opened, 1);
    assert_int_equal(told.ends, 1);
    assert_int_equal(told.progress, size);
    assert_int_equal(told.offset, size);
    check_object(&behind.test, "cut", behind.test.bytes, size);
    end(&behind);
}

/* All of it was sent when the connection is cut: what is left is to hear of it. */
static void test_cut_at_the_end(void **state) {
    struct behind behind;
    trove_stream_options options;
    trove_stream_metrics metrics;
    trove_error error;
    trove_object_info *info = NULL;
    begin(&behind, state, 0);
    init(&options);
    trove_stream *stream = open_stream(&behind.test, "end", TROVE_DIRECTION_UPLOAD, &options);
    CHECK_OK(write_bytes(stream, behind.test.bytes, 3 * MIB, PATIENCE_MS, &error), &error);
    do
        trove_stream_metrics_get(stream, &metrics);
    while (metrics.bytes_acknowledged < 3 * MIB);
    cut_proxy_after_up(behind.proxy, 1, 1); /* with the complete, or what comes after it */
    CHECK_OK(trove_stream_complete(stream, PATIENCE_MS, &info, &error), &error);
    assert_int_equal(info->size, 3 * MIB);
    trove_object_info_free(info);
    trove_stream_release(stream);
    check_object(&behind.test, "end", behind.test.bytes, 3 * MIB);
    end(&behind);
}

/* Pausing, resuming and seeking on each side of a cut. */
static void test_controls(void **state) {
    struct behind behind;
    trove_stream_options options;
    trove_error error;
    trove_stream_state led_to;
    begin(&behind, state, 0);
    init(&options);
    trove_stream *stream = open_stream(&behind.test, "controls", TROVE_DIRECTION_UPLOAD, &options);
    CHECK_OK(write_bytes(stream, behind.test.bytes, 2 * MIB, PATIENCE_MS, &error), &error);
    CHECK_OK(trove_stream_control(stream, TROVE_CONTROL_PAUSE, 0, PATIENCE_MS, &led_to, &error), &error);
    cut_proxy_now(behind.proxy);
    CHECK_OK(trove_ping(behind.test.client, PATIENCE_MS, NULL, &error), &error);
    assert_int_equal(trove_stream_state_get(stream), TROVE_STREAM_PAUSED);
    CHECK_OK(trove_stream_control(stream, TROVE_CONTROL_PAUSE, 0, PATIENCE_MS, &led_to, &error), &error); /* it is */
    assert_int_equal(led_to, TROVE_STREAM_PAUSED);
    CHECK_OK(trove_stream_control(stream, TROVE_CONTROL_RESUME, 0, PATIENCE_MS, &led_to, &error), &error);
    assert_int_equal(led_to, TROVE_STREAM_ACTIVE);
    CHECK_OK(write_bytes(stream, behind.test.bytes + 2 * MIB, 1 * MIB, PATIENCE_MS, &error), &error);
    uint64_t durable = trove_stream_durable_offset(stream);
    assert_true(durable <= 3 * MIB);
    if (durable > 0)
        CHECK_FAILS(trove_stream_control(stream, TROVE_CONTROL_SEEK, durable - 1, PATIENCE_MS, &led_to, &error),
                    FAILED_PRECONDITION, "", &error);
    trove_stream_metrics metrics;
    do
        trove_stream_metrics_get(stream, &metrics);
    while (metrics.bytes_in_flight + metrics.bytes_queued > 0);
    CHECK_OK(trove_stream_control(stream, TROVE_CONTROL_SEEK, 3 * MIB - 100, PATIENCE_MS, &led_to, &error), &error);
    cut_proxy_now(behind.proxy);
    CHECK_OK(trove_ping(behind.test.client, PATIENCE_MS, NULL, &error), &error);
    CHECK_OK(write_bytes(stream, behind.test.bytes + 3 * MIB - 100, 2 * MIB, PATIENCE_MS, &error), &error);
    CHECK_OK(trove_stream_complete(stream, PATIENCE_MS, NULL, &error), &error);
    trove_stream_metrics_get(stream, &metrics);
    check_identity(&metrics);
    trove_stream_release(stream);
    check_object(&behind.test, "controls", behind.test.bytes, 5 * MIB - 100);
    end(&behind);
}

/* Small writes, and little to keep them in: nothing is lost, and no more is kept than was said. */
static void test_keep(void **state) {
    struct behind behind;
    trove_stream_options options;
    trove_chunk_stats stats;
    trove_error error;
    const size_t size = 3 * MIB;
    begin(&behind, state, 0);
    init(&options);
    options.chunk_bytes = 64 * KIB;
    options.channel_chunks = 4;
    options.keep_bytes = 256 * KIB;
    trove_stream *stream = open_stream(&behind.test, "keep", TROVE_DIRECTION_UPLOAD, &options);
    cut_proxy_after_up(behind.proxy, 400 * KIB, 3);
    for (size_t at = 0; at < size;) {
        trove_chunk *chunk = NULL;
        CHECK_OK(trove_stream_chunk_get(stream, PATIENCE_MS, &chunk, &error), &error);
        chunk->size = 10000 < size - at ? 10000 : size - at;
        memcpy(chunk->data, behind.test.bytes + at, chunk->size);
        at += chunk->size;
        CHECK_OK(trove_stream_write(stream, &chunk, PATIENCE_MS, &error), &error);
    }
    trove_stream_chunk_stats(stream, &stats);
    assert_true(stats.chunks <= 4 + 2 + 256 / 64);
    CHECK_OK(trove_stream_complete(stream, PATIENCE_MS, NULL, &error), &error);
    trove_stream_release(stream);
    check_object(&behind.test, "keep", behind.test.bytes, size);
    end(&behind);
}

/* Streams of a pool come back as its streams, under its limit. */
static void test_pool(void **state) {
    struct behind behind;
    trove_pool_options pool_options;
    trove_stream_options options;
    trove_pool_metrics metrics;
    trove_pool *pool = NULL;
    trove_stream *streams[2] = {NULL, NULL};
    trove_error error;
    begin(&behind, state, 0);
    trove_pool_options_init(&pool_options);
    pool_options.max_streams = 2;
    pool_options.bytes_per_second = 100 * MIB;
    CHECK_OK(trove_pool_create(behind.test.client, "pool", &pool_options, &pool, &error), &error);
    init(&options);
    const char *const keys[] = {"pool-0", "pool-1"};
    for (int i = 0; i < 2; i++) {
        CHECK_OK(trove_pool_acquire(pool, BUCKET, keys[i], TROVE_DIRECTION_UPLOAD, &options, 0, &streams[i], &error), &error);
        CHECK_OK(trove_stream_start(streams[i], &error), &error);
    }
    for (int part = 0; part < 3; part++) {
        for (int i = 0; i < 2; i++)
            CHECK_OK(write_bytes(streams[i], behind.test.bytes + (size_t)part * MIB, 1 * MIB, PATIENCE_MS, &error), &error);
        cut_proxy_now(behind.proxy);
    }
    for (int i = 0; i < 2; i++)
        CHECK_OK(trove_stream_complete(streams[i], PATIENCE_MS, NULL, &error), &error);
    assert_int_equal(trove_pool_active_count(pool), 2);
    for (int i = 0; i < 2; i++)
        trove_pool_release(pool, streams[i]);
    trove_pool_snapshot(pool, &metrics);
    assert_int_equal(metrics.completed_streams, 2);
    assert_int_equal(trove_pool_close(pool, 0), 0);
    for (int i = 0; i < 2; i++)
        check_object(&behind.test, keys[i], behind.test.bytes, 3 * MIB);
    end(&behind);
}

/* ---- who has it ---- */

/* Who attaches takes the upload over; who had it fails, and doesn't come back. */
static void test_taken_over(void **state) {
    struct behind first;
    struct told told = {0};
    trove_stream_options options;
    trove_error error;
    const struct client_test *test = *state;
    begin(&first, state, 0);
    init(&options);
    options.hooks = hooks_of(&told);
    trove_stream *before = open_stream(&first.test, "taken", TROVE_DIRECTION_UPLOAD, &options);
    CHECK_OK(write_bytes(before, test->bytes, 2 * MIB, PATIENCE_MS, &error), &error);
    init(&options);
    options.upload_id = trove_stream_upload_id(before);
    assert_int_equal(strlen(options.upload_id), 32);
    trove_stream *after = open_stream(test, "taken", TROVE_DIRECTION_UPLOAD, &options);
    assert_string_equal(trove_stream_upload_id(after), options.upload_id);
    assert_int_equal(trove_stream_upload_survives_restart(after), restarted_keeps());
    uint64_t offset = trove_stream_offset(after);
    assert_true(offset <= 2 * MIB);
    CHECK_FAILS(trove_stream_complete(before, PATIENCE_MS, NULL, &error), ABORTED, "taken", &error);
    trove_stream_release(before);
    assert_string_equal(told.upload_id, trove_stream_upload_id(after));
    assert_int_equal(told.ends, 1);
    CHECK_OK(write_bytes(after, test->bytes + offset, 3 * MIB - offset, PATIENCE_MS, &error), &error);
    CHECK_OK(trove_stream_complete(after, PATIENCE_MS, NULL, &error), &error);
    options.upload_id = trove_stream_upload_id(after);
    /* The result is told to whoever asks, again. */
    trove_object_info *info = NULL;
    trove_stream *again = NULL;
    CHECK_OK(trove_stream_open(test->client, BUCKET, "taken", TROVE_DIRECTION_UPLOAD, &options, &again, &error), &error);
    assert_int_equal(trove_stream_state_get(again), TROVE_STREAM_COMPLETED);
    CHECK_OK(trove_stream_complete(again, PATIENCE_MS, &info, &error), &error);
    assert_int_equal(info->size, 3 * MIB);
    trove_object_info_free(info);
    trove_stream_release(again);
    trove_stream_release(after);
    check_object(test, "taken", test->bytes, 3 * MIB);
    end(&first);
}

/* A stream that comes back when somebody else has got further fails, and that one isn't fenced off for it. */
static void test_behind_another(void **state) {
    struct behind first;
    trove_stream_options options;
    trove_error error;
    const struct client_test *test = *state;
    begin(&first, state, PATIENCE_MS);
    init(&options);
    trove_stream *before = open_stream(&first.test, "behind", TROVE_DIRECTION_UPLOAD, &options);
    CHECK_OK(write_bytes(before, test->bytes, 1 * MIB, PATIENCE_MS, &error), &error);
    cut_proxy_shut(first.proxy, 1);
    cut_proxy_now(first.proxy);
    options.upload_id = trove_stream_upload_id(before);
    trove_stream *after = open_stream(test, "behind", TROVE_DIRECTION_UPLOAD, &options);
    uint64_t offset = trove_stream_offset(after);
    CHECK_OK(write_bytes(after, test->bytes + offset, 2 * MIB - offset, PATIENCE_MS, &error), &error);
    WAIT_FOR(trove_stream_durable_offset(after) == 2 * MIB);
    cut_proxy_shut(first.proxy, 0);
    CHECK_FAILS(trove_stream_complete(before, PATIENCE_MS, NULL, &error), FAILED_PRECONDITION,
                "of which only 1048576 were written", &error);
    trove_stream_release(before);
    CHECK_OK(write_bytes(after, test->bytes + 2 * MIB, 1 * MIB, PATIENCE_MS, &error), &error);
    CHECK_OK(trove_stream_complete(after, PATIENCE_MS, NULL, &error), &error);
    trove_stream_release(after);
    check_object(test, "behind", test->bytes, 3 * MIB);
    end(&first);
}

/* A file is gone on with by another client, by id: what is stored isn't sent again, and counts in the etag and the digest. */
static void test_file(void **state) {
    struct behind behind;
    trove_stream_options options;
    trove_stream_metrics metrics;
    trove_error error;
    char path[300];
    const struct client_test *test = *state;
    begin(&behind, state, TROVE_NO_RETRY);
    snprintf(path, sizeof path, "%s/source", troved_folder(test->server));
    int fd = open(path, O_CREAT | O_TRUNC | O_RDWR, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, test->bytes, 20 * MIB), 20 * MIB);
    struct told told = {0};
    init(&options);
    options.hooks = hooks_of(&told);
    options.digest.kind = TROVE_DIGEST_SHA256;
    cut_proxy_after_up(behind.proxy, 17 * MIB, 1);
    trove_status status = trove_put_file(behind.test.client, BUCKET, "file", path, &options, NULL, &error);
    CHECK_FAILS(status, UNAVAILABLE, told.upload_id, &error);
    assert_int_equal(told.opened, 1);
    init(&options);
    options.upload_id = told.upload_id;
    options.digest.kind = TROVE_DIGEST_SHA256;
    options.metrics = &metrics;
    assert_int_equal(ftruncate(fd, 1 * MIB), 0); /* a source that isn't the same any more */
    CHECK_FAILS(trove_put_file(test->client, BUCKET, "file", path, &options, NULL, &error), FAILED_PRECONDITION, "", &error);
    assert_int_equal(pwrite(fd, test->bytes, 20 * MIB, 0), 20 * MIB);
    CHECK_OK(trove_put_file(test->client, BUCKET, "file", path, &options, NULL, &error), &error);
    assert_true(metrics.bytes_sent <= 20 * MIB - told.durable);
    check_object(test, "file", test->bytes, 20 * MIB);
    CHECK_OK(trove_put_file(test->client, BUCKET, "file", path, &options, NULL, &error), &error); /* it is done already */
    close(fd);
    unlink(path);
    end(&behind);
}

/* The same request is the same upload. */
static void test_request_id(void **state) {
    const struct client_test *test = *state;
    trove_stream_options options;
    trove_error error;
    uint8_t request[TROVE_REQUEST_ID_BYTES] = {7, 7, 7};
    char id[TROVE_UPLOAD_ID_BYTES];
    init(&options);
    options.request_id = request;
    trove_stream *stream = open_stream(test, "request", TROVE_DIRECTION_UPLOAD, &options);
    strcpy(id, trove_stream_upload_id(stream));
    trove_stream_fail(stream, TROVE_UNKNOWN, "no more of it");
    trove_stream_release(stream);
    stream = open_stream(test, "request", TROVE_DIRECTION_UPLOAD, &options);
    assert_string_equal(trove_stream_upload_id(stream), id);
    CHECK_OK(write_bytes(stream, test->bytes, 1 * MIB, PATIENCE_MS, &error), &error);
    CHECK_OK(trove_stream_complete(stream, PATIENCE_MS, NULL, &error), &error);
    trove_stream_release(stream);
    check_object(test, "request", test->bytes, 1 * MIB);
}

/* ---- what can't be ---- */

static void test_errors(void **state) {
    const struct client_test *test = *state;
    trove_stream_options options;
    trove_stream *stream = NULL;
    trove_error error;
    trove_client *client = test->client;
    init(&options);
    CHECK_FAILS(trove_stream_open(client, BUCKET, "k", TROVE_DIRECTION_BIDI, &options, &stream, &error), INVALID_ARGUMENT,
                "two-way", &error);
    options.upload_id = "0123";
    CHECK_FAILS(trove_stream_open(client, BUCKET, "k", TROVE_DIRECTION_UPLOAD, &options, &stream, &error), INVALID_ARGUMENT,
                "0123", &error);
    options.upload_id = "0123456789abcdef0123456789abcdef";
    CHECK_FAILS(trove_stream_open(client, BUCKET, "k", TROVE_DIRECTION_UPLOAD, &options, &stream, &error), NOT_FOUND, "", &error);
    init(&options);
    options.keep_bytes = 65535;
    CHECK_FAILS(trove_stream_open(client, BUCKET, "k", TROVE_DIRECTION_UPLOAD, &options, &stream, &error), INVALID_ARGUMENT,
                "keep_bytes", &error);
    init(&options);
    options.digest = (trove_digest){.kind = TROVE_DIGEST_SHA256, .size = 31};
    CHECK_FAILS(trove_stream_open(client, BUCKET, "k", TROVE_DIRECTION_UPLOAD, &options, &stream, &error), INVALID_ARGUMENT, "32",
                &error);
    struct told told = {0};
    options.digest = (trove_digest){.kind = TROVE_DIGEST_BLAKE2B, .size = 64};
    options.hooks = hooks_of(&told);
    CHECK_FAILS(trove_put_memory(client, BUCKET, "k", "abc", 3, &options, NULL, &error), DATA_LOSS, "", &error);
    options.hooks = (trove_stream_hooks){0};
    /* What isn't what it was to be is thrown away. */
    trove_stream_options gone;
    init(&gone);
    gone.upload_id = told.upload_id;
    trove_status status = TROVE_OK;
    for (uint64_t until_ms = now_ms() + PATIENCE_MS; status != TROVE_NOT_FOUND && now_ms() < until_ms; pause_ms(5)) {
        status = trove_stream_open(client, BUCKET, "k", TROVE_DIRECTION_UPLOAD, &gone, &stream, &error);
        if (status == TROVE_OK)
            trove_stream_fail(stream, TROVE_UNKNOWN, "still there");
        if (status == TROVE_OK)
            trove_stream_release(stream);
    }
    CHECK_FAILS(status, NOT_FOUND, "", &error);
    options.resumable = false;
    CHECK_FAILS(trove_put_memory(client, BUCKET, "k", "abc", 3, &options, NULL, &error), DATA_LOSS, "", &error);
    options.digest.size = 0;
    CHECK_OK(trove_put_memory(client, BUCKET, "k", "abc", 3, &options, NULL, &error), &error);
    CHECK_OK(trove_put_memory(client, BUCKET, "k", test->bytes, 3 * MIB, &options, NULL, &error), &error);
}

/* Nobody comes back in time: it fails, and says what is left of it. */
static void test_time_is_over(void **state) {
    struct behind behind;
    trove_stream_options options;
    trove_error error;
    begin(&behind, state, 500);
    init(&options);
    trove_stream *stream = open_stream(&behind.test, "over", TROVE_DIRECTION_UPLOAD, &options);
    CHECK_OK(write_bytes(stream, behind.test.bytes, 1 * MIB, PATIENCE_MS, &error), &error);
    cut_proxy_shut(behind.proxy, 1);
    cut_proxy_now(behind.proxy);
    CHECK_FAILS(trove_stream_complete(stream, PATIENCE_MS, NULL, &error), UNAVAILABLE, trove_stream_upload_id(stream), &error);
    trove_stream_release(stream);
    cut_proxy_shut(behind.proxy, 0);
    CHECK_OK(trove_ping(behind.test.client, PATIENCE_MS, NULL, &error), &error);
    end(&behind);
}

/* A whole object waits for the connection as long as the client does, however short its steps are. */
static void test_short_steps(void **state) {
    struct behind behind;
    trove_stream_options options;
    trove_error error;
    begin(&behind, state, 1500);
    init(&options);
    options.timeout_ms = 100;
    cut_proxy_shut(behind.proxy, 1);
    cut_proxy_now(behind.proxy);
    uint64_t begun_ms = now_ms();
    CHECK_FAILS(trove_put_memory(behind.test.client, BUCKET, "short", behind.test.bytes, 1 * MIB, &options, NULL, &error),
                UNAVAILABLE, "couldn't be made again", &error);
    assert_true(now_ms() - begun_ms >= 1000);
    cut_proxy_shut(behind.proxy, 0);
    options.timeout_ms = PATIENCE_MS;
    CHECK_OK(trove_put_memory(behind.test.client, BUCKET, "short", behind.test.bytes, 1 * MIB, &options, NULL, &error), &error);
    end(&behind);
}

static void *complete(void *argument) {
    trove_stream *stream = argument;
    return (void *)(intptr_t)trove_stream_complete(stream, PATIENCE_MS, NULL, NULL);
}

static void test_close_meanwhile(void **state) {
    struct behind behind;
    trove_stream_options options;
    trove_error error;
    pthread_t thread;
    void *status = NULL;
    begin(&behind, state, TROVE_NO_TIMEOUT);
    init(&options);
    trove_stream *stream = open_stream(&behind.test, "close", TROVE_DIRECTION_UPLOAD, &options);
    CHECK_OK(write_bytes(stream, behind.test.bytes, 1 * MIB, PATIENCE_MS, &error), &error);
    cut_proxy_shut(behind.proxy, 1);
    cut_proxy_now(behind.proxy);
    assert_int_equal(pthread_create(&thread, NULL, complete, stream), 0);
    pause_ms(100);
    uint64_t begun_ms = now_ms();
    trove_close(behind.test.client);
    assert_true(now_ms() - begun_ms < 5000);
    pthread_join(thread, &status);
    assert_int_equal((intptr_t)status, TROVE_CANCELLED);
    trove_stream_release(stream);
    cut_proxy_stop(behind.proxy);
}

static void test_no_such_store(void **state) {
    (void)state;
    const struct troved_options server_options = {.listen = {"ipc://%s/socket"}, .store = "null://"};
    struct troved *server = troved_start(&server_options, NULL);
    trove_stream_options options;
    trove_client *client = NULL;
    trove_stream *stream = NULL;
    trove_error error;
    init(&options);
    CHECK_OK(trove_connect(troved_url(server, "ipc"), NULL, &client, &error), &error);
    CHECK_FAILS(trove_stream_open(client, BUCKET, "k", TROVE_DIRECTION_UPLOAD, &options, &stream, &error), UNIMPLEMENTED,
                "no resumable uploads", &error);
    trove_close(client);
    assert_int_equal(troved_stop(server, false), 0);
}

int main(int argc, char **argv) {
    client_test_arguments(argc, argv);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cut),
        cmocka_unit_test(test_cut_at_the_end),
        cmocka_unit_test(test_controls),
        cmocka_unit_test(test_keep),
        cmocka_unit_test(test_pool),
        cmocka_unit_test(test_taken_over),
        cmocka_unit_test(test_behind_another),
        cmocka_unit_test(test_file),
        cmocka_unit_test(test_request_id),
        cmocka_unit_test(test_errors),
        cmocka_unit_test(test_no_such_store),
        cmocka_unit_test(test_time_is_over),
        cmocka_unit_test(test_short_steps),
        cmocka_unit_test(test_close_meanwhile),
    };
    return cmocka_run_group_tests_name(client_test_store(), tests, client_test_begin, client_test_end);
}
