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

int client_test_begin_with(void **state, const char *config) {
    struct client_test *test = calloc(1, sizeof *test);
    assert_non_null(test);
    const struct troved_options options = {.listen = {"ipc://%s/socket"}, .store = store, .config = config};
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

int client_test_begin(void **state) {
    return client_test_begin_with(state, NULL);
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

void put_object(const struct client_test *test, const char *key, size_t size) {
    trove_error error;
    CHECK_OK(trove_put_memory(test->client, BUCKET, key, test->bytes, size, NULL, NULL, &error), &error);
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

void pool_options(trove_stream_options *options, const char *pool) {
    trove_stream_options_init(options);
    options->pool = pool;
    options->acquire_timeout_ms = PATIENCE_MS;
}

trove_stream *open_in_pool(const struct client_test *test, const char *pool, const char *key, trove_direction direction) {
    trove_stream_options options;
    pool_options(&options, pool);
    return open_stream(test, key, direction, &options);
}

trove_pool *make_pool(const struct client_test *test, const char *name, const trove_pool_options *options) {
    trove_pool *pool = NULL;
    trove_error error;
    CHECK_OK(trove_pool_create(test->client, name, options, &pool, &error), &error);
    return pool;
}

trove_pool *make_pool_of(const struct client_test *test, const char *name, uint32_t max_streams) {
    trove_pool_options options;
    trove_pool_options_init(&options);
    options.max_streams = max_streams;
    return make_pool(test, name, &options);
}

trove_pool_metrics pool_metrics(const trove_pool *pool) {
    trove_pool_metrics metrics;
    trove_pool_snapshot(pool, &metrics);
    return metrics;
}

trove_stream *acquire_stream(trove_pool *pool, const char *key, trove_direction direction) {
    trove_stream *stream = NULL;
    trove_error error;
    CHECK_OK(trove_pool_acquire(pool, BUCKET, key, direction, NULL, PATIENCE_MS, &stream, &error), &error);
    CHECK_OK(trove_stream_start(stream, &error), &error);
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

trove_status read_away(trove_stream *stream, const uint8_t *object, trove_error *error) {
    for (;;) {
        trove_chunk *chunk = NULL;
        trove_status status = trove_stream_read(stream, 0, &chunk, error);
        if (status != TROVE_OK || chunk == NULL)
            return status;
        if (memcmp(chunk->data, object + chunk->offset, chunk->size) != 0) {
            fprintf(stderr, "the chunk of %zu bytes at %llu differs\n", chunk->size, (unsigned long long)chunk->offset);
            fail();
        }
        trove_stream_chunk_put(stream, chunk);
    }
}

void control_stream(trove_stream *stream, trove_control control, uint64_t offset, trove_stream_state expected) {
    trove_error error;
    trove_stream_state led_to;
    CHECK_OK(trove_stream_control(stream, control, offset, 0, &led_to, &error), &error);
    assert_int_equal(led_to, expected);
}

/* ---- accounts ---- */

static bool adds_up(const trove_stream_metrics *m) {
    uint64_t bytes = m->bytes_acknowledged + m->bytes_dropped + m->bytes_queued + m->bytes_in_flight + m->bytes_abandoned;
    uint64_t chunks = m->chunks_acknowledged + m->chunks_dropped + m->chunks_queued + m->chunks_in_flight + m->chunks_abandoned;
    bool over = m->state >= TROVE_STREAM_COMPLETED;
    return m->bytes_accepted == bytes && m->chunks_accepted == chunks &&
           m->bytes_waiting == m->bytes_queued + m->bytes_in_flight && (!over || m->bytes_waiting == 0);
}

void check_identity(const trove_stream_metrics *m) {
    assert_true(adds_up(m));
}

trove_stream_metrics check_account(const trove_stream *stream) {
    trove_stream_metrics m;
    trove_stream_metrics_get(stream, &m);
    if (!adds_up(&m)) {
        const struct {
            const char *name;
            uint64_t bytes;
            uint64_t chunks;
        } rows[] = {
            {"accepted", m.bytes_accepted, m.chunks_accepted},    {"acknowledged", m.bytes_acknowledged, m.chunks_acknowledged},
            {"dropped", m.bytes_dropped, m.chunks_dropped},       {"queued", m.bytes_queued, m.chunks_queued},
            {"in flight", m.bytes_in_flight, m.chunks_in_flight}, {"abandoned", m.bytes_abandoned, m.chunks_abandoned},
        };
        fprintf(stderr, "the account of a stream (%s) doesn't add up; %llu bytes wait\n", trove_stream_state_name(m.state),
                (unsigned long long)m.bytes_waiting);
        for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
            fprintf(stderr, "    %s: %llu bytes, %llu chunks\n", rows[i].name, (unsigned long long)rows[i].bytes,
                    (unsigned long long)rows[i].chunks);
        fail();
    }
    return m;
}

/* ---- what the server tells ---- */

bool server_is_idle(const struct client_test *test) {
    trove_server_info info;
    trove_error error;
    CHECK_OK(trove_server_info_get(test->client, 0, &info, &error), &error);
    return info.streams_active == 0;
}

trove_server_pool server_pool_of(const struct client_test *test, const char *name) {
    trove_server_pool *pools = NULL;
    trove_server_pool found = {.name = ""};
    size_t count = 0;
    trove_error error;
    CHECK_OK(trove_server_pool_list(test->client, 0, &pools, &count, &error), &error);
    for (size_t i = 0; i < count; i++)
        if (strcmp(pools[i].name, name) == 0)
            found = pools[i];
    trove_server_pool_list_free(pools);
    assert_string_equal(found.name, name);
    return found;
}

trove_server_stream server_stream_of(const struct client_test *test, const char *key) {
    trove_server_stream_page *page = NULL;
    trove_server_stream found = {.stream_id = 0};
    trove_error error;
    CHECK_OK(trove_server_stream_list(test->client, NULL, &page, &error), &error);
    assert_false(page->more);
    for (size_t i = 0; i < page->count; i++)
        if (strcmp(page->streams[i].key, key) == 0)
            found = page->streams[i];
    trove_server_stream_page_free(page);
    return found;
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
