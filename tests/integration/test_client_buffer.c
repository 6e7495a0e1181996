/* test_client_buffer.c - backpressure "buffer" through libtrove and a real troved: the producer never waits, nothing that was
 * accepted is lost, and whatever ends a stream ends it cleanly.
 *
 * The consumer stands still while the stream is paused: what is written then can't be waiting for it. (The overflow's file:
 * test_client_overflow.c.)
 */
#include "client_test.h"

#include "elsewhere.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CHUNK  (64 * KIB)
#define WINDOW 4

static void buffer_options(trove_stream_options *options) {
    trove_stream_options_init(options);
    options->chunk_bytes = CHUNK;
    options->channel_chunks = WINDOW;
    options->backpressure = TROVE_BACKPRESSURE_BUFFER;
    options->overflow_memory_bytes = 2 * CHUNK; /* what goes beyond is the file's */
}

static void wait_acknowledged(trove_stream *stream, uint64_t chunks) {
    WAIT_FOR(check_account(stream).chunks_acknowledged >= chunks);
}

/* A whole chunk; the status of the write. */
static trove_status write_one(trove_stream *stream, const uint8_t *bytes, trove_error *error) {
    return write_bytes(stream, bytes, CHUNK, PATIENCE_MS, error);
}

/* A stream that is paused and has `chunks` written to it. */
static trove_stream *open_paused(const struct client_test *test, trove_client *client, const char *key,
                                 const trove_stream_options *options, unsigned chunks) {
    struct client_test of_client = *test;
    of_client.client = client;
    trove_error error;
    trove_stream *stream = open_stream(&of_client, key, TROVE_DIRECTION_UPLOAD, options);
    control_stream(stream, TROVE_CONTROL_PAUSE, 0, TROVE_STREAM_PAUSED);
    CHECK_OK(write_bytes(stream, test->bytes, chunks * CHUNK, PATIENCE_MS, &error), &error);
    trove_stream_metrics metrics = check_account(stream);
    assert_int_equal(metrics.chunks_accepted, chunks);
    assert_int_equal(metrics.chunks_queued, chunks);
    assert_int_equal(metrics.bytes_queued, chunks * CHUNK);
    assert_int_equal(metrics.chunks_spilled, chunks > WINDOW ? chunks - WINDOW : 0);
    assert_int_equal(metrics.bytes_spilled, metrics.chunks_spilled * CHUNK);
    assert_int_equal(trove_stream_offset(stream), chunks * CHUNK);
    return stream;
}

static void complete(trove_stream *stream) {
    trove_error error;
    CHECK_OK(trove_stream_complete(stream, PATIENCE_MS, NULL, &error), &error);
    trove_stream_metrics metrics = check_account(stream);
    assert_int_equal(metrics.bytes_accepted, metrics.bytes_acknowledged + metrics.bytes_abandoned);
    assert_true(metrics.buffers_high_water <= WINDOW + 3);
    trove_stream_release(stream);
}

/* ---- what it is for ---- */

static void test_the_producer_never_waits(void **state) {
    const struct client_test *test = *state;
    enum {
        TURNS = 8
    };
    trove_stream_options options;
    trove_error error;
    buffer_options(&options);
    trove_stream *stream = open_stream(test, "buffer", TROVE_DIRECTION_UPLOAD, &options);
    for (unsigned turn = 0; turn < TURNS; turn++) { /* twice as much comes as is sure to be taken meanwhile */
        control_stream(stream, TROVE_CONTROL_PAUSE, 0, TROVE_STREAM_PAUSED);
        for (unsigned i = 0; i < 2 * WINDOW; i++) {
            CHECK_OK(write_one(stream, test->bytes + (2 * WINDOW * turn + i) * CHUNK, &error), &error);
            check_account(stream);
        }
        control_stream(stream, TROVE_CONTROL_RESUME, 0, TROVE_STREAM_ACTIVE);
        wait_acknowledged(stream, (turn + 1) * WINDOW);
    }
    trove_stream_metrics metrics = check_account(stream);
    assert_true(metrics.chunks_spilled >= TURNS * WINDOW);
    trove_object_info *info = NULL;
    trove_object_info *same = NULL;
    const size_t size = TURNS * 2 * WINDOW * CHUNK;
    CHECK_OK(trove_stream_complete(stream, PATIENCE_MS, &info, &error), &error);
    complete(stream);
    check_object(test, "buffer", test->bytes, size);
    CHECK_OK(trove_put_memory(test->client, BUCKET, "buffer-same", test->bytes, size, NULL, &same, &error), &error);
    assert_string_equal(info->etag, same->etag);
    trove_object_info_free(info);
    trove_object_info_free(same);
}

static void test_it_drains_by_itself(void **state) {
    const struct client_test *test = *state;
    trove_stream_options options;
    buffer_options(&options);
    trove_stream *stream = open_paused(test, test->client, "alone", &options, 40);
    control_stream(stream, TROVE_CONTROL_RESUME, 0, TROVE_STREAM_ACTIVE);
    wait_acknowledged(stream, 40); /* while the program does nothing */
    complete(stream);
    check_object(test, "alone", test->bytes, 40 * CHUNK);
}

static void test_past_the_bound(void **state) {
    const struct client_test *test = *state;
    static const struct {
        const char *key;
        uint64_t memory_bytes;
        uint64_t bytes;
    } rows[] = {{"bound", 2 * CHUNK, 4 * CHUNK}, {"in-memory", 9 * CHUNK, 4 * CHUNK}, {"on-disk", 0, 4 * CHUNK}, {"none", 0, 0}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        trove_stream_options options;
        trove_error error;
        buffer_options(&options);
        options.overflow_memory_bytes = rows[i].memory_bytes;
        options.overflow_bytes = rows[i].bytes;
        unsigned chunks = WINDOW + (unsigned)(rows[i].bytes / CHUNK);
        trove_stream *stream = open_paused(test, test->client, rows[i].key, &options, chunks);
        for (unsigned again = 0; again < 3; again++) { /* the chunk stays the caller's: write_one checks that */
            CHECK_FAILS(write_one(stream, test->bytes + chunks * CHUNK, &error), RESOURCE_EXHAUSTED, rows[i].key, &error);
            assert_int_equal(check_account(stream).chunks_accepted, chunks);
        }
        control_stream(stream, TROVE_CONTROL_RESUME, 0, TROVE_STREAM_ACTIVE);
        wait_acknowledged(stream, chunks); /* and goes on afterwards */
        CHECK_OK(write_one(stream, test->bytes + chunks * CHUNK, &error), &error);
        complete(stream);
        check_object(test, rows[i].key, test->bytes, (chunks + 1) * CHUNK);
    }
}

static void test_its_own_last_chunk_waits_too(void **state) {
    const struct client_test *test = *state;
    for (unsigned empty = 0; empty < 2; empty++) {
        trove_stream_options options;
        trove_error error;
        trove_chunk *chunk;
        buffer_options(&options);
        trove_stream *stream = open_paused(test, test->client, "final", &options, 6);
        CHECK_OK(trove_stream_chunk_get(stream, PATIENCE_MS, &chunk, &error), &error);
        memcpy(chunk->data, test->bytes + 6 * CHUNK, 10);
        chunk->size = empty ? 0 : 10;
        chunk->final = true;
        CHECK_OK(trove_stream_write(stream, &chunk, PATIENCE_MS, &error), &error);
        CHECK_FAILS(write_one(stream, test->bytes, &error), FAILED_PRECONDITION, "last", &error);
        CHECK_FAILS(trove_stream_complete(stream, 1, NULL, &error), DEADLINE_EXCEEDED, "final", &error);
        control_stream(stream, TROVE_CONTROL_RESUME, 0, TROVE_STREAM_ACTIVE);
        complete(stream);
        check_object(test, "final", test->bytes, 6 * CHUNK + (empty ? 0 : 10));
    }
}

/* Completing waits, and its deadline holds; afterwards it can be gone on with. */
static void test_complete_waits_for_all(void **state) {
    const struct client_test *test = *state;
    trove_stream_options options;
    trove_error error;
    buffer_options(&options);
    trove_stream *stream = open_paused(test, test->client, "flush", &options, 20);
    CHECK_FAILS(trove_stream_complete(stream, 1, NULL, &error), DEADLINE_EXCEEDED, "flush", &error);
    CHECK_OK(write_one(stream, test->bytes + 20 * CHUNK, &error), &error);
    control_stream(stream, TROVE_CONTROL_RESUME, 0, TROVE_STREAM_ACTIVE);
    complete(stream);
    check_object(test, "flush", test->bytes, 21 * CHUNK);
}

/* ---- hooks that don't keep up ---- */

struct slow_hook {
    pthread_mutex_t lock;
    pthread_cond_t open;
    bool is_open;
    uint64_t told;
};

static void on_chunk(void *context, const trove_chunk_ack *ack) {
    struct slow_hook *hook = context;
    pthread_mutex_lock(&hook->lock);
    while (!hook->is_open)
        pthread_cond_wait(&hook->open, &hook->lock);
    MUST(ack->index == hook->told);
    hook->told++;
    pthread_mutex_unlock(&hook->lock);
}

static void test_slow_hooks_dont_make_it_wait(void **state) {
    const struct client_test *test = *state;
    struct slow_hook hook = {.lock = PTHREAD_MUTEX_INITIALIZER, .open = PTHREAD_COND_INITIALIZER};
    trove_stream_options options;
    trove_error error;
    buffer_options(&options);
    options.hooks = (trove_stream_hooks){.context = &hook, .on_chunk = on_chunk};
    trove_stream *stream = open_stream(test, "hooks", TROVE_DIRECTION_UPLOAD, &options);
    for (unsigned i = 0; i < 40; i++)
        CHECK_OK(write_one(stream, test->bytes + i * CHUNK, &error), &error);
    pthread_mutex_lock(&hook.lock);
    hook.is_open = true;
    pthread_cond_broadcast(&hook.open);
    pthread_mutex_unlock(&hook.lock);
    complete(stream);
    assert_int_equal(hook.told, 40);
    check_object(test, "hooks", test->bytes, 40 * CHUNK);
}

/* ---- ends ---- */

enum end {
    CANCEL,
    FAIL,
    RELEASE,
    CLOSE,
    LOSE
};

static void end_stream(enum end how, trove_stream *stream, trove_client **client, const struct troved *server) {
    switch (how) {
    case CANCEL:
        control_stream(stream, TROVE_CONTROL_CANCEL, 0, TROVE_STREAM_CANCELLED);
        break;
    case FAIL:
        trove_stream_fail(stream, TROVE_ABORTED, "enough");
        break;
    case CLOSE:
        trove_close(*client);
        *client = NULL;
        break;
    case LOSE:
        assert_int_equal(kill(troved_pid(server), SIGKILL), 0);
        WAIT_FOR(trove_stream_state_get(stream) == TROVE_STREAM_FAILED);
        break;
    case RELEASE:
        break;
    }
}

static void test_ends_with_a_full_overflow(void **state) {
    const struct client_test *test = *state;
    for (enum end how = CANCEL; how <= LOSE; how++) {
        trove_stream_options options;
        trove_error error;
        const struct troved_options server_options = {.listen = {"ipc://%s/socket"}, .store = client_test_store()};
        struct troved *server = troved_start(&server_options, NULL);
        trove_client *client = NULL;
        CHECK_OK(trove_connect(troved_url(server, "ipc"), NULL, &client, &error), &error);
        CHECK_OK(trove_bucket_create(client, BUCKET, 0, &error), &error);
        buffer_options(&options);
        trove_stream *stream = open_paused(test, client, "ended", &options, 30);
        end_stream(how, stream, &client, server);
        if (how != RELEASE) {
            trove_stream_metrics metrics = check_account(stream);
            assert_int_equal(metrics.chunks_abandoned, 30);
            assert_int_equal(metrics.bytes_abandoned, 30 * CHUNK);
            assert_int_equal(metrics.bytes_waiting, 0);
            trove_chunk *chunk = NULL;
            assert_int_not_equal(trove_stream_chunk_get(stream, 1, &chunk, &error), TROVE_OK);
        }
        trove_stream_release(stream);
        trove_close(client);
        assert_int_equal(troved_stop(server, false), how == LOSE ? 128 + SIGKILL : 0);
    }
}

/* While the drainer is at it, in every state of its work. */
static void test_ends_in_the_middle(void **state) {
    const struct client_test *test = *state;
    for (unsigned round = 0; round < 40; round++) {
        trove_stream_options options;
        buffer_options(&options);
        trove_stream *stream = open_paused(test, test->client, "middle", &options, 30);
        control_stream(stream, TROVE_CONTROL_RESUME, 0, TROVE_STREAM_ACTIVE);
        wait_acknowledged(stream, round % 20);
        if (round % 2 == 0)
            trove_stream_fail(stream, TROVE_ABORTED, "enough");
        check_account(stream);
        trove_stream_release(stream);
    }
    trove_object_info *info = NULL;
    trove_error error;
    assert_int_not_equal(trove_object_head(test->client, BUCKET, "middle", 0, &info, &error), TROVE_OK);
}

static void test_a_seek_gives_up_what_waits(void **state) {
    const struct client_test *test = *state;
    trove_stream_options options;
    trove_error error;
    buffer_options(&options);
    options.overflow_bytes = 12 * CHUNK;
    trove_stream *stream = open_stream(test, "sought", TROVE_DIRECTION_UPLOAD, &options);
    CHECK_OK(write_bytes(stream, test->bytes, 8 * CHUNK, PATIENCE_MS, &error), &error);
    wait_acknowledged(stream, 8);
    uint64_t abandoned = 0;
    for (unsigned round = 0; round < 10; round++) {
        bool active = round % 2 == 1; /* then the seek crosses what is under way */
        control_stream(stream, TROVE_CONTROL_PAUSE, 0, TROVE_STREAM_PAUSED);
        for (unsigned i = 0; i < 16; i++) /* all that there is room for, right after the last 16 were given up */
            CHECK_OK(write_one(stream, test->bytes + (20 + i) * CHUNK, &error), &error);
        if (active)
            control_stream(stream, TROVE_CONTROL_RESUME, 0, TROVE_STREAM_ACTIVE);
        control_stream(stream, TROVE_CONTROL_SEEK, 2 * CHUNK, active ? TROVE_STREAM_ACTIVE : TROVE_STREAM_PAUSED);
        if (!active)
            control_stream(stream, TROVE_CONTROL_RESUME, 0, TROVE_STREAM_ACTIVE);
        trove_stream_metrics metrics = check_account(stream);
        assert_int_equal(metrics.bytes_waiting, 0);
        assert_true(metrics.chunks_abandoned >= abandoned);
        abandoned = metrics.chunks_abandoned;
        assert_int_equal(trove_stream_offset(stream), 2 * CHUNK);
    }
    assert_true(abandoned >= 5 * 16);
    CHECK_OK(write_bytes(stream, test->bytes + 2 * CHUNK, 16 * CHUNK - 7, PATIENCE_MS, &error), &error);
    complete(stream);
    check_object(test, "sought", test->bytes, 18 * CHUNK - 7);
}

/* ---- memory ---- */

/* The client has less than the stream would like: the window is smaller, and the program waits all the same for nobody. */
static void test_with_little_memory(void **state) {
    const struct client_test *test = *state;
    trove_client_options client_options;
    trove_client *client = NULL;
    trove_stream_options options;
    trove_error error;
    trove_client_options_init(&client_options);
    client_options.memory_bytes = MIB;
    CHECK_OK(trove_connect(test->url, &client_options, &client, &error), &error);
    buffer_options(&options);
    options.overflow_memory_bytes = 700 * KIB; /* half of what is free is given, the rest is the file's */
    options.channel_chunks = 64;
    struct client_test of_client = *test;
    of_client.client = client;
    trove_stream *stream = open_stream(&of_client, "little", TROVE_DIRECTION_UPLOAD, &options);
    control_stream(stream, TROVE_CONTROL_PAUSE, 0, TROVE_STREAM_PAUSED);
    CHECK_OK(write_bytes(stream, test->bytes, 60 * CHUNK, PATIENCE_MS, &error), &error);
    assert_true(check_account(stream).buffers_high_water <= 8);
    control_stream(stream, TROVE_CONTROL_RESUME, 0, TROVE_STREAM_ACTIVE);
    CHECK_OK(trove_stream_complete(stream, PATIENCE_MS, NULL, &error), &error);
    trove_stream_release(stream);
    check_object(test, "little", test->bytes, 60 * CHUNK);
    options.chunk_bytes = 300 * KIB; /* of which it would need four */
    options.overflow_memory_bytes = 0;
    CHECK_FAILS(trove_stream_open(client, BUCKET, "no", TROVE_DIRECTION_UPLOAD, &options, &stream, &error), RESOURCE_EXHAUSTED,
                "4 chunks", &error);
    trove_close(client);
}

/* ---- everything at once ---- */

struct rhythm {
    trove_stream *stream;
    atomic_bool done;
};

/* The consumer: takes, and stands still. */
static void *pause_and_resume(void *context) {
    struct rhythm *rhythm = context;
    while (!atomic_load(&rhythm->done)) {
        trove_error error;
        (void)!trove_stream_control(rhythm->stream, TROVE_CONTROL_PAUSE, 0, 0, NULL, &error);
        for (unsigned i = 0; i < 50; i++)
            check_account(rhythm->stream);
        (void)!trove_stream_control(rhythm->stream, TROVE_CONTROL_RESUME, 0, 0, NULL, &error);
        for (unsigned i = 0; i < 50; i++)
            check_account(rhythm->stream);
    }
    return NULL;
}

static void test_any_sizes_in_any_rhythm(void **state) {
    const struct client_test *test = *state;
    trove_stream_options options;
    trove_error error;
    buffer_options(&options);
    options.overflow_bytes = BYTES_MAX;
    struct rhythm rhythm = {.stream = open_stream(test, "rhythm", TROVE_DIRECTION_UPLOAD, &options)};
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, pause_and_resume, &rhythm), 0);
    const size_t size = BYTES_MAX / 2;
    uint64_t random = 88172645463325252ull;
    for (size_t at = 0; at < size;) {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        size_t bytes = 1 + (size_t)(random % CHUNK);
        if (bytes > size - at)
            bytes = size - at;
        CHECK_OK(write_bytes(rhythm.stream, test->bytes + at, bytes, PATIENCE_MS, &error), &error);
        at += bytes;
    }
    atomic_store(&rhythm.done, true);
    assert_int_equal(pthread_join(thread, NULL), 0);
    complete(rhythm.stream);
    check_object(test, "rhythm", test->bytes, size);
}

/* ---- whole objects ---- */

struct pipe_source {
    int fd;
    const uint8_t *bytes;
    size_t size;
};

static void *fill_pipe(void *context) {
    const struct pipe_source *source = context;
    for (size_t at = 0; at < source->size;) {
        ssize_t step = write(source->fd, source->bytes + at, source->size - at);
        MUST(step > 0);
        at += (size_t)step;
    }
    close(source->fd);
    return NULL;
}

/* A bound that is hit makes the pipe's writer wait, instead of failing the put. */
static void test_whole_objects(void **state) {
    const struct client_test *test = *state;
    trove_stream_options options;
    trove_stream_metrics metrics;
    trove_error error;
    const size_t size = 8 * MIB + 5;
    buffer_options(&options);
    options.overflow_bytes = 6 * CHUNK;
    options.bytes_per_second = 16 * MIB;
    options.metrics = &metrics;
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    const struct pipe_source source = {ends[1], test->bytes, size};
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, fill_pipe, (void *)&source), 0);
    CHECK_OK(trove_put_fd(test->client, BUCKET, "pipe", ends[0], &options, NULL, &error), &error);
    assert_int_equal(pthread_join(thread, NULL), 0);
    close(ends[0]);
    assert_true(metrics.chunks_spilled > 0);
    check_object(test, "pipe", test->bytes, size);
    options.bytes_per_second = 0;
    CHECK_OK(trove_put_memory(test->client, BUCKET, "memory", test->bytes, size, &options, NULL, &error), &error);
    assert_int_equal(metrics.chunks_spilled, 0); /* it waits where it is */
    check_object(test, "memory", test->bytes, size);
}

int main(int argc, char **argv) {
    client_test_arguments(argc, argv);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_producer_never_waits),
        cmocka_unit_test(test_it_drains_by_itself),
        cmocka_unit_test(test_past_the_bound),
        cmocka_unit_test(test_its_own_last_chunk_waits_too),
        cmocka_unit_test(test_complete_waits_for_all),
        cmocka_unit_test(test_slow_hooks_dont_make_it_wait),
        cmocka_unit_test(test_ends_with_a_full_overflow),
        cmocka_unit_test(test_ends_in_the_middle),
        cmocka_unit_test(test_a_seek_gives_up_what_waits),
        cmocka_unit_test(test_with_little_memory),
        cmocka_unit_test(test_any_sizes_in_any_rhythm),
        cmocka_unit_test(test_whole_objects),
    };
    return cmocka_run_group_tests(tests, client_test_begin, client_test_end);
}
