/* test_client_failures.c - libtrove when the server doesn't answer, goes away for good, isn't there yet; and when the client is
 * closed. */
#include "client_test.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#define LATE_MS 400

/* Each test has a server of its own, for it won't be the same afterwards. */
struct own {
    struct client_test test;
    const struct client_test *group;
};

static void begin(struct own *own, void **state) {
    const struct troved_options options = {.listen = {"ipc://%s/socket"}, .store = client_test_store()};
    trove_error error;
    trove_client_options client_options;
    trove_client_options_init(&client_options);
    client_options.retry_for_ms = TROVE_NO_RETRY; /* what is gone stays away */
    own->group = *state;
    own->test = *own->group;
    own->test.server = troved_start(&options, NULL);
    own->test.url = troved_url(own->test.server, "ipc");
    CHECK_OK(trove_connect(own->test.url, &client_options, &own->test.client, &error), &error);
    CHECK_OK(trove_bucket_create(own->test.client, BUCKET, 0, &error), &error);
}

static void end(struct own *own) {
    trove_close(own->test.client);
    assert_int_equal(troved_stop(own->test.server, false), 0);
}

struct outcome {
    atomic_int done;
    trove_status status;
};

static void note_done(void *context, const trove_error *error, const void *data, size_t size) {
    struct outcome *outcome = context;
    (void)data;
    (void)size;
    outcome->status = error != NULL ? error->status : TROVE_OK;
    atomic_fetch_add(&outcome->done, 1);
}

/* ---- a server that doesn't answer ---- */

static void test_deadline(void **state) {
    struct own own;
    begin(&own, state);
    trove_client *client = own.test.client;
    trove_error error;
    trove_stream_options options;
    trove_stream *stream = NULL;
    struct outcome outcome = {0};
    trove_stream_options_init(&options);
    options.timeout_ms = LATE_MS;
    troved_hold(own.test.server);
    uint64_t begun_ms = now_ms();
    CHECK_FAILS(trove_ping(client, LATE_MS, NULL, &error), DEADLINE_EXCEEDED, own.test.url, &error);
    CHECK_FAILS(trove_put_memory(client, BUCKET, "k", "x", 1, &options, NULL, &error), DEADLINE_EXCEEDED, "", &error);
    CHECK_FAILS(trove_stream_open(client, BUCKET, "k", TROVE_DIRECTION_UPLOAD, &options, &stream, &error), DEADLINE_EXCEEDED,
                BUCKET "/k", &error);
    CHECK_OK(trove_echo_async(client, "x", 1, LATE_MS, note_done, &outcome, &error), &error);
    WAIT_FOR(atomic_load(&outcome.done) == 1);
    assert_int_equal(outcome.status, TROVE_DEADLINE_EXCEEDED);
    assert_in_range(now_ms() - begun_ms, 4 * LATE_MS - 50, 4 * LATE_MS + 4000);
    troved_let_go(own.test.server);
    CHECK_OK(trove_ping(client, 5000, NULL, &error), &error); /* late answers belong to nobody */
    CHECK_OK(trove_put_memory(client, BUCKET, "k", own.test.bytes, 3 * MIB, NULL, NULL, &error), &error);
    check_object(&own.test, "k", own.test.bytes, 3 * MIB);
    end(&own);
}

/* The caller's memory is given back in time even where the socket has taken half of it. */
static void test_deadline_in_put(void **state) {
    struct own own;
    begin(&own, state);
    trove_error error;
    trove_stream_options options;
    trove_stream_options_init(&options);
    options.timeout_ms = LATE_MS;
    trove_stream *stream = open_stream(&own.test, "k", TROVE_DIRECTION_UPLOAD, &options);
    troved_hold(own.test.server);
    uint64_t begun_ms = now_ms();
    CHECK_FAILS(write_bytes(stream, own.test.bytes, 24 * MIB, LATE_MS, &error), DEADLINE_EXCEEDED, "", &error);
    CHECK_FAILS(trove_stream_complete(stream, LATE_MS, NULL, &error), DEADLINE_EXCEEDED, BUCKET "/k", &error);
    CHECK_FAILS(trove_stream_control(stream, TROVE_CONTROL_PAUSE, 0, LATE_MS, NULL, &error), DEADLINE_EXCEEDED, "control",
                &error);
    trove_stream_release(stream);
    assert_in_range(now_ms() - begun_ms, 3 * LATE_MS - 50, 3 * LATE_MS + 4000);
    troved_let_go(own.test.server);
    end(&own);
}

struct stopper {
    pid_t pid;
    atomic_int chunks;
};

static void stop_server(void *context, const trove_chunk_ack *ack) {
    struct stopper *stopper = context;
    (void)ack;
    if (atomic_fetch_add(&stopper->chunks, 1) == 3)
        kill(stopper->pid, SIGSTOP);
}

/* The caller's memory is the caller's again even where the server stops in the middle of a frame. */
static void test_stopped_in_transfer(void **state) {
    struct own own;
    begin(&own, state);
    trove_error error;
    trove_stream_options options;
    struct stopper stopper = {.pid = troved_pid(own.test.server)};
    size_t size = 100 * MIB;
    uint8_t *bytes = calloc(1, size);
    assert_non_null(bytes);
    CHECK_OK(trove_put_memory(own.test.client, BUCKET, "k", bytes, size, NULL, NULL, &error), &error);
    trove_stream_options_init(&options);
    options.timeout_ms = LATE_MS;
    options.hooks.context = &stopper;
    options.hooks.on_chunk = stop_server;
    for (int i = 0; i < 2; i++) {
        bool put = i == 0;
        uint64_t begun_ms = now_ms();
        atomic_store(&stopper.chunks, 0);
        trove_status status = put ? trove_put_memory(own.test.client, BUCKET, "k", bytes, size, &options, NULL, &error)
                                  : trove_get_memory(own.test.client, BUCKET, "k", bytes, size, &options, NULL, NULL, &error);
        CHECK_FAILS(status, DEADLINE_EXCEEDED, BUCKET "/k", &error);
        memset(bytes, put ? 1 : 2, size);
        assert_in_range(now_ms() - begun_ms, LATE_MS - 50, LATE_MS + 10000);
        kill(stopper.pid, SIGCONT);
        trove_close(own.test.client); /* the connection may have been cut */
        CHECK_OK(trove_connect(own.test.url, NULL, &own.test.client, &error), &error);
    }
    free(bytes);
    end(&own);
}

/* ---- a server that is gone ---- */

struct hooked {
    atomic_int errors;
    trove_status status;
};

static void note_error(void *context, const trove_error *error) {
    struct hooked *hooked = context;
    hooked->status = error->status;
    atomic_fetch_add(&hooked->errors, 1);
}

static void *kill_soon(void *argument) {
    pause_ms(200);
    kill(*(pid_t *)argument, SIGKILL);
    return NULL;
}

static void test_lost_server(void **state) {
    struct own own;
    begin(&own, state);
    trove_client *client = own.test.client;
    trove_error error;
    trove_stream_options options;
    struct hooked hooked = {0};
    trove_stream_options_init(&options);
    options.hooks.context = &hooked;
    options.hooks.on_error = note_error;
    trove_stream *stream = open_stream(&own.test, "k", TROVE_DIRECTION_UPLOAD, &options);
    CHECK_OK(trove_stream_control(stream, TROVE_CONTROL_PAUSE, 0, 0, NULL, &error), &error);
    pid_t pid = troved_pid(own.test.server);
    pthread_t thread;
    pthread_create(&thread, NULL, kill_soon, &pid);
    uint64_t begun_ms = now_ms();
    CHECK_FAILS(write_bytes(stream, own.test.bytes, 1 * MIB, 0, &error), UNAVAILABLE, own.test.url,
                &error); /* waits, and is woken */
    assert_true(now_ms() - begun_ms < 5000);
    pthread_join(thread, NULL);
    CHECK_FAILS(trove_ping(client, 0, NULL, &error), UNAVAILABLE, own.test.url, &error);
    CHECK_FAILS(trove_put_memory(client, BUCKET, "k", own.test.bytes, 3 * MIB, NULL, NULL, &error), UNAVAILABLE, own.test.url,
                &error);
    CHECK_FAILS(trove_echo_async(client, "x", 1, 0, note_done, NULL, &error), UNAVAILABLE, own.test.url, &error);
    trove_stream_release(stream);
    assert_int_equal(hooked.errors, 1);
    assert_int_equal(hooked.status, TROVE_UNAVAILABLE);
    trove_close(client);
    (void)troved_stop(own.test.server, false); /* it was killed */
}

/* A server that is asked to end lets what is under way finish and takes nothing new. */
static void test_drain(void **state) {
    struct own own;
    begin(&own, state);
    trove_error error;
    trove_stream *stream = open_stream(&own.test, "k", TROVE_DIRECTION_UPLOAD, NULL);
    CHECK_OK(write_bytes(stream, own.test.bytes, 1 * MIB, 0, &error), &error);
    troved_ask_to_end(own.test.server);
    trove_status status = TROVE_OK;
    for (uint64_t until_ms = now_ms() + 5000; status == TROVE_OK && now_ms() < until_ms; pause_ms(5))
        status = trove_ping(own.test.client, 0, NULL, &error);
    CHECK_FAILS(status, UNAVAILABLE, "shutting down", &error);
    CHECK_OK(write_bytes(stream, own.test.bytes + 1 * MIB, 1 * MIB, 0, &error), &error);
    CHECK_OK(trove_stream_complete(stream, 0, NULL, &error), &error);
    trove_stream_release(stream);
    end(&own);
}

/* ---- connecting ---- */

/* ---- reasons ---- */

/* A message may repeat a part of a long key, and a program's reason may be in any encoding: neither costs the connection. */
static void test_messages_are_text(void **state) {
    const struct client_test *test = *state;
    trove_error error;
    trove_stream_state led_to;
    char key[211] = "";
    for (unsigned i = 0; i < 70; i++)
        strcat(key, "\xE9\x9B\xAA");
    trove_stream *stream = open_stream(test, key, TROVE_DIRECTION_UPLOAD, NULL);
    CHECK_OK(trove_server_stream_control(test->client, trove_stream_id(stream), TROVE_CONTROL_CANCEL, 0, &led_to, &error),
             &error);
    CHECK_FAILS(trove_stream_complete(stream, 0, NULL, &error), CANCELLED, "was cancelled by", &error);
    trove_stream_release(stream);
    stream = open_stream(test, "k", TROVE_DIRECTION_UPLOAD, NULL);
    trove_stream_fail(stream, TROVE_ABORTED,
                      "Gr\xFC\xDF"
                      "e");
    CHECK_FAILS(trove_stream_complete(stream, 0, NULL, &error), ABORTED, "Gr??e", &error);
    trove_stream_release(stream);
    CHECK_OK(trove_ping(test->client, 0, NULL, &error), &error);
    trove_client *named = NULL;
    trove_client_options options;
    trove_client_options_init(&options);
    char name[130] = "";
    memset(name, 'n', 127);
    strcat(name, "\xC3\xA4"); /* the 128 bytes that are told of it end within a character */
    options.name = name;
    CHECK_OK(trove_connect(test->url, &options, &named, &error), &error);
    trove_close(named);
}

static void test_connect(void **state) {
    const struct client_test *test = *state;
    trove_client *client = NULL;
    trove_error error;
    char url[512];
    snprintf(url, sizeof url, "ipc://%s/nobody", troved_folder(test->server));
    CHECK_FAILS(trove_connect(NULL, NULL, &client, &error), INVALID_ARGUMENT, "URL", &error);
    CHECK_FAILS(trove_connect("gopher://x", NULL, &client, &error), INVALID_ARGUMENT, "gopher", &error);
    CHECK_FAILS(trove_connect(url, NULL, &client, &error), UNAVAILABLE, url, &error);
    uint64_t begun_ms = now_ms();
    CHECK_FAILS(trove_connect_wait(url, NULL, LATE_MS, &client, &error), UNAVAILABLE, url, &error);
    assert_in_range(now_ms() - begun_ms, LATE_MS / 2, LATE_MS + 2000);
    assert_null(client);
    troved_hold(test->server);
    trove_client_options options;
    trove_client_options_init(&options);
    options.connect_timeout_ms = LATE_MS;
    trove_status status = trove_connect(test->url, &options, &client, &error);
    troved_let_go(test->server);
    CHECK_FAILS(status, DEADLINE_EXCEEDED, test->url, &error);
    CHECK_OK(trove_connect_wait(test->url, NULL, 5000, &client, &error), &error);
    trove_close(client);
    trove_close(NULL);
}

/* ---- closing ---- */

struct blocked {
    trove_stream *stream;
    atomic_bool reading;
    trove_status status;
};

static void *read_until_closed(void *argument) {
    struct blocked *blocked = argument;
    trove_chunk *chunk = NULL;
    atomic_store(&blocked->reading, true);
    blocked->status = trove_stream_read(blocked->stream, 0, &chunk, NULL);
    return NULL;
}

/* Closing wakes whoever waits, runs the hooks, and leaves streams that may only be released. */
static void test_close(void **state) {
    const struct client_test *test = *state;
    trove_client *client = NULL;
    trove_error error;
    trove_stream_options options;
    trove_stream *up = NULL;
    trove_stream *down = NULL;
    struct hooked hooked = {0};
    trove_stream_options_init(&options);
    options.hooks.context = &hooked;
    options.hooks.on_error = note_error;
    options.chunk_bytes = 64 * KIB;
    options.channel_chunks = 4; /* so that the pause comes long before the end */
    put_object(test, "k", BYTES_MAX);
    CHECK_OK(trove_connect(test->url, NULL, &client, &error), &error);
    CHECK_OK(trove_stream_open(client, BUCKET, "up", TROVE_DIRECTION_UPLOAD, &options, &up, &error), &error);
    CHECK_OK(trove_stream_open(client, BUCKET, "k", TROVE_DIRECTION_DOWNLOAD, &options, &down, &error), &error);
    CHECK_OK(trove_stream_start(up, &error), &error);
    CHECK_OK(trove_stream_start(down, &error), &error);
    control_stream(down, TROVE_CONTROL_PAUSE, 0, TROVE_STREAM_PAUSED);
    trove_chunk *held = NULL;
    while (trove_stream_read(down, 100, &held, &error) == TROVE_OK && held != NULL) /* what came before the pause */
        trove_stream_chunk_put(down, held);
    assert_int_equal(trove_stream_state_get(down), TROVE_STREAM_PAUSED);
    CHECK_OK(trove_stream_chunk_get(up, 0, &held, &error), &error);
    pthread_t thread;
    struct blocked blocked = {.stream = down};
    pthread_create(&thread, NULL, read_until_closed, &blocked);
    WAIT_FOR(atomic_load(&blocked.reading) && check_account(down).chunks_queued == 0);
    trove_close(client);
    pthread_join(thread, NULL);
    assert_int_equal(blocked.status, TROVE_CANCELLED);
    assert_int_equal(hooked.errors, 2);
    held->size = 1;
    CHECK_FAILS(trove_stream_write(up, &held, 0, &error), CANCELLED, "closed", &error);
    trove_stream_chunk_put(up, held);
    trove_stream_release(up);
    trove_stream_release(down);
}

/* Clients come and go while one of them works. */
static void test_many_clients(void **state) {
    const struct client_test *test = *state;
    trove_error error;
    for (int i = 0; i < 50; i++) {
        trove_client *client = NULL;
        struct outcome outcome = {0};
        CHECK_OK(trove_connect(test->url, NULL, &client, &error), &error);
        for (int j = 0; j < 20; j++)
            CHECK_OK(trove_echo_async(client, "x", 1, 0, note_done, &outcome, &error), &error);
        trove_close(client); /* with calls under way: each is told */
        assert_int_equal(atomic_load(&outcome.done), 20);
    }
}

int main(int argc, char **argv) {
    client_test_arguments(argc, argv);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_deadline),    cmocka_unit_test(test_deadline_in_put), cmocka_unit_test(test_stopped_in_transfer),
        cmocka_unit_test(test_lost_server), cmocka_unit_test(test_drain),           cmocka_unit_test(test_connect),
        cmocka_unit_test(test_close),       cmocka_unit_test(test_many_clients),    cmocka_unit_test(test_messages_are_text),
    };
    return cmocka_run_group_tests_name(client_test_store(), tests, client_test_begin, client_test_end);
}
