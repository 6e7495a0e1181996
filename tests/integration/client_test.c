/* client_test.c - see client_test.h. */
#include "client_test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static const char *store = "mem://";

void client_test_arguments(int argc, char **argv) {
    if (argc > 1)
        store = argv[1];
}

const char *client_test_store(void) {
    return store;
}

static void fill(uint8_t *bytes, size_t size) {
    uint64_t x = 88172645463325252ull; /* xorshift64 */
    for (size_t i = 0; i + 8 <= size; i += 8) {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        memcpy(bytes + i, &x, 8);
    }
}

int client_test_begin(void **state) {
    struct client_test *test = calloc(1, sizeof *test);
    assert_non_null(test);
    const struct troved_options options = {.listen = {"ipc://%s/socket"}, .store = store};
    trove_error error;
    test->server = troved_start(&options, NULL);
    test->url = troved_url(test->server, "ipc");
    test->bytes = malloc(BYTES_MAX);
    assert_non_null(test->bytes);
    fill(test->bytes, BYTES_MAX);
    CHECK_OK(trove_connect(test->url, NULL, &test->client, &error), &error);
    CHECK_OK(trove_bucket_create(test->client, BUCKET, 0, &error), &error);
    *state = test;
    return 0;
}

int client_test_end(void **state) {
    struct client_test *test = *state;
    trove_close(test->client);
    int code = troved_stop(test->server, false);
    free(test->bytes);
    free(test);
    return code;
}

void check_ok(trove_status status, const trove_error *error, const char *what, const char *file, int line) {
    if (status == TROVE_OK)
        return;
    print_error("%s: %s: %s\n", what, trove_status_name(status), error->message);
    _assert_true(0, what, file, line);
}

void check_fails(trove_status status, trove_status expected, const trove_error *error, const char *text, const char *file,
                 int line) {
    if (status == expected && error->status == expected && strstr(error->message, text) != NULL)
        return;
    print_error("expected %s \"...%s...\", got %s: \"%s\"\n", trove_status_name(expected), text, trove_status_name(status),
                status != TROVE_OK ? error->message : "");
    _assert_true(0, text, file, line);
}

void check_object(const struct client_test *test, const char *key, const uint8_t *bytes, size_t size) {
    uint8_t *got = malloc(size + 1);
    size_t got_bytes = SIZE_MAX;
    trove_error error;
    trove_object_info *info = NULL;
    assert_non_null(got);
    CHECK_OK(trove_get_memory(test->client, BUCKET, key, got, size + 1, NULL, &got_bytes, &info, &error), &error);
    assert_int_equal(got_bytes, size);
    assert_true(memcmp(got, bytes, size) == 0);
    assert_string_equal(info->key, key);
    assert_int_equal(info->size, size);
    trove_object_info_free(info);
    free(got);
}

trove_stream *open_stream(const struct client_test *test, const char *key, trove_direction direction,
                          const trove_stream_options *options) {
    trove_stream *stream = NULL;
    trove_error error;
    CHECK_OK(trove_stream_open(test->client, BUCKET, key, direction, options, &stream, &error), &error);
    assert_int_equal(trove_stream_state_get(stream), TROVE_STREAM_IDLE);
    CHECK_OK(trove_stream_start(stream, &error), &error);
    assert_int_not_equal(trove_stream_state_get(stream), TROVE_STREAM_IDLE); /* an empty download may be complete already */
    return stream;
}

trove_status write_bytes(trove_stream *stream, const uint8_t *bytes, size_t size, uint32_t timeout_ms, trove_error *error) {
    while (size > 0) {
        trove_chunk *chunk = NULL;
        trove_status status = trove_stream_chunk_get(stream, timeout_ms, &chunk, error);
        if (status != TROVE_OK)
            return status;
        chunk->size = size < chunk->capacity ? size : chunk->capacity;
        memcpy(chunk->data, bytes, chunk->size);
        bytes += chunk->size;
        size -= chunk->size;
        status = trove_stream_write(stream, &chunk, timeout_ms, error);
        if (status != TROVE_OK) {
            assert_non_null(chunk);
            trove_stream_chunk_put(stream, chunk);
            return status;
        }
        assert_null(chunk);
    }
    return TROVE_OK;
}

uint64_t now_ms(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

void pause_ms(unsigned ms) {
    struct timespec pause = {.tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000) * 1000000};
    nanosleep(&pause, NULL);
}
