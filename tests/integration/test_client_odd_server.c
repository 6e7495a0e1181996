/* test_client_odd_server.c - libtrove and a server that isn't like troved, or is at an odd moment. See odd_server.h. */
#include "odd_server.h"

#include <pthread.h>
#include <stdatomic.h>

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

/* ---- greeting ---- */

static void test_second_welcome(void **state) {
    (void)state;
    struct odd_server server;
    Trove__V1__Welcome welcome;
    trove_error error;
    odd_init_welcome(&welcome);
    odd_listen(&server);
    trove_client *client = odd_connect(&server, NULL, NULL);
    odd_welcome(&server, &welcome);
    raw_expect_failure(&server.peer, 0, TROVE__V1__CODE__INVALID_ARGUMENT, "second welcome");
    raw_close(&server.peer);
    server.peer.fd = -1;
    CHECK_FAILS(trove_ping(client, 0, NULL, &error), UNAVAILABLE, "", &error);
    trove_close(client);
    odd_end(&server);
}

/* ---- limits ---- */

/* What could never be sent is refused at once. */
static void test_little_early_data(void **state) {
    (void)state;
    struct odd_server server;
    Trove__V1__Welcome welcome;
    struct outcome outcome = {0};
    static const char bytes[2000];
    trove_error error;
    odd_init_welcome(&welcome);
    welcome.early_data_bytes = 1000;
    odd_listen(&server);
    trove_client *client = odd_connect(&server, &welcome, NULL);
    CHECK_FAILS(trove_put_async(client, BUCKET, "k", bytes, 1001, 500, note_done, &outcome, &error), INVALID_ARGUMENT,
                "at most 1000", &error);
    CHECK_OK(trove_put_async(client, BUCKET, "k", bytes, 1000, 0, note_done, &outcome, &error), &error);
    assert_int_equal(atomic_load(&outcome.done), 0);
    odd_disconnect(&server, client);
    assert_int_equal(atomic_load(&outcome.done), 1);
    odd_end(&server);
}

/* ---- a pool that is closed while a stream of it is being opened ---- */

#define TARGET_BYTES (512 * KIB)

struct getter {
    trove_client *client;
    trove_pool *pool;
    trove_status status;
    trove_error error;
    struct outcome hooked;
    char target[TARGET_BYTES];
};

static void note_error(void *context, const trove_error *error) {
    note_done(context, error, NULL, 0);
}

static void *get_into_memory(void *argument) {
    struct getter *getter = argument;
    trove_stream_options options;
    trove_stream_options_init(&options);
    options.client_pool = getter->pool;
    options.hooks = (trove_stream_hooks){.context = &getter->hooked, .on_error = note_error};
    getter->status =
        trove_get_memory(getter->client, BUCKET, "k", getter->target, TARGET_BYTES, &options, NULL, NULL, &getter->error);
    memset(getter->target, 'p', TARGET_BYTES); /* it is the program's again */
    return NULL;
}

/* The stream is cancelled as others of the pool are; what the server sends meanwhile lands before the call returns, or
 * nowhere. */
static void test_pool_closed_meanwhile(void **state) {
    (void)state;
    struct odd_server server;
    struct raw_client sent;
    Trove__V1__Chunk chunk;
    pthread_t thread;
    static struct getter getter;
    static char bytes[TARGET_BYTES];
    trove_error error;
    odd_listen(&server);
    getter.client = odd_connect(&server, NULL, NULL);
    CHECK_OK(trove_pool_create(getter.client, "closed", NULL, &getter.pool, &error), &error);
    assert_int_equal(pthread_create(&thread, NULL, get_into_memory, &getter), 0);
    raw_frame *frame = odd_expect(&server, RAW_BODY(OPEN));
    assert_int_equal(trove_pool_close(getter.pool, 0), 0);
    odd_send_opened(&server, frame->call_id, frame->open, TARGET_BYTES);
    raw_collect(&sent, true);
    raw_init_chunk(&chunk, frame->call_id, 0, 0, bytes, TARGET_BYTES);
    raw_send_chunk(&sent, frame->call_id, &chunk, bytes, TARGET_BYTES);
    raw_bytes(&server.peer, sent.sent, sent.sent_bytes / 2);
    raw_frame *control = odd_expect(&server, RAW_BODY(CONTROL));
    assert_int_equal(control->control->type, TROVE__V1__CONTROL_TYPE__CANCEL);
    raw_bytes(&server.peer, sent.sent + sent.sent_bytes / 2, sent.sent_bytes - sent.sent_bytes / 2);
    pthread_join(thread, NULL);
    odd_settle(&server);
    for (size_t i = 0; i < TARGET_BYTES; i++)
        assert_int_equal(getter.target[i], 'p');
    CHECK_FAILS(getter.status, CANCELLED, "closed", &getter.error);
    assert_int_equal(atomic_load(&getter.hooked.done), 1);
    raw_free(control);
    raw_free(frame);
    raw_close(&sent);
    odd_disconnect(&server, getter.client);
    odd_end(&server);
}

/* ---- small objects that aren't taken in one flight ---- */

/* The next Open, of an object in one flight or of a stream. Returns its id. */
static uint64_t expect_open(struct odd_server *server, bool in_one_flight) {
    raw_frame *open = odd_expect(server, RAW_BODY(OPEN));
    uint64_t id = open->call_id;
    assert_int_equal(open->open->inline_checksum_given_case != TROVE__V1__OPEN__INLINE_CHECKSUM_GIVEN__NOT_SET, in_one_flight);
    raw_free(open);
    return id;
}

static void refuse(struct odd_server *server, uint64_t id) {
    odd_send_status(server, id, TROVE__V1__CODE__RESOURCE_EXHAUSTED, "not now", true);
}

static void answer_echo(struct odd_server *server) {
    raw_frame *call = odd_expect(server, RAW_BODY(CALL));
    raw_frame frame = TROVE__V1__FRAME__INIT;
    Trove__V1__Status status = TROVE__V1__STATUS__INIT;
    frame.call_id = call->call_id;
    frame.body_case = RAW_BODY(STATUS);
    frame.status = &status;
    raw_send(&server->peer, &frame);
    raw_free(call);
}

/* Those that are put again, which takes its time, keep no hook and no other `done` waiting. */
static void test_put_again(void **state) {
    (void)state;
    struct odd_server server;
    struct outcome puts = {0};
    struct outcome echo = {0};
    trove_error error;
    odd_listen(&server);
    trove_client *client = odd_connect(&server, NULL, NULL);
    uint64_t ids[3];
    for (int i = 0; i < 3; i++) {
        CHECK_OK(trove_put_async(client, BUCKET, "k", "abc", 3, 60000, note_done, &puts, &error), &error);
        ids[i] = expect_open(&server, true);
    }
    for (int i = 0; i < 3; i++)
        refuse(&server, ids[i]);
    (void)expect_open(&server, false);
    CHECK_OK(trove_echo_async(client, "", 0, 60000, note_done, &echo, &error), &error);
    answer_echo(&server);
    WAIT_FOR(atomic_load(&echo.done) == 1);
    assert_int_equal(echo.status, TROVE_OK);
    assert_int_equal(atomic_load(&puts.done), 0);
    odd_disconnect(&server, client);
    assert_int_equal(atomic_load(&puts.done), 3);
    assert_int_equal(puts.status, TROVE_CANCELLED);
    odd_end(&server);
}

static void wait_until_open(void *context, const trove_error *error, const void *data, size_t size) {
    const atomic_bool *open = context;
    (void)error, (void)data, (void)size;
    while (!atomic_load(open))
        pause_ms(1);
}

/* The program's time is up when the library gets to hear of the refusal: there is no time left for a second try. */
static void test_put_too_late(void **state) {
    (void)state;
    struct odd_server server;
    struct outcome put = {0};
    atomic_bool open = false;
    trove_error error;
    odd_listen(&server);
    trove_client *client = odd_connect(&server, NULL, NULL);
    CHECK_OK(trove_echo_async(client, "", 0, 60000, wait_until_open, &open, &error), &error);
    answer_echo(&server);
    uint64_t begun_ms = now_ms();
    CHECK_OK(trove_put_async(client, BUCKET, "k", "abc", 3, 300, note_done, &put, &error), &error);
    refuse(&server, expect_open(&server, true));
    odd_settle(&server);
    while (now_ms() <= begun_ms + 300)
        pause_ms(1);
    atomic_store(&open, true);
    WAIT_FOR(atomic_load(&put.done) == 1);
    assert_int_equal(put.status, TROVE_DEADLINE_EXCEEDED);
    odd_disconnect(&server, client);
    odd_end(&server);
}

/* What isn't an object can't be put again. */
static void test_echo_not_taken(void **state) {
    (void)state;
    struct odd_server server;
    struct outcome echo = {0};
    trove_error error;
    odd_listen(&server);
    trove_client *client = odd_connect(&server, NULL, NULL);
    CHECK_OK(trove_echo_async(client, "abc", 3, 60000, note_done, &echo, &error), &error);
    raw_frame *call = odd_expect(&server, RAW_BODY(CALL));
    refuse(&server, call->call_id);
    raw_free(call);
    WAIT_FOR(atomic_load(&echo.done) == 1);
    assert_int_equal(echo.status, TROVE_RESOURCE_EXHAUSTED);
    odd_disconnect(&server, client);
    odd_end(&server);
}

struct calling {
    trove_client *client;
    bool deletes;
    trove_status status;
    trove_error error;
};

/* ---- a server that drains ---- */

static void *ping(void *argument) {
    struct calling *calling = argument;
    calling->status = trove_ping(calling->client, 30000, NULL, &calling->error);
    return NULL;
}

/* It may take its time with what others do: who has nothing to do there any more goes to the next one. */
static void test_left_when_idle(void **state) {
    (void)state;
    struct odd_server server;
    struct calling calling = {0};
    trove_client_options options;
    Trove__V1__Welcome welcome;
    Trove__V1__GoAway go_away = TROVE__V1__GO_AWAY__INIT;
    Trove__V1__Status ok = TROVE__V1__STATUS__INIT;
    raw_frame frame = TROVE__V1__FRAME__INIT;
    pthread_t thread;
    trove_client_options_init(&options);
    odd_init_welcome(&welcome);
    odd_listen(&server);
    calling.client = odd_connect(&server, NULL, &options);
    go_away.status = &ok;
    go_away.drain_ms = 60000;
    frame.body_case = RAW_BODY(GO_AWAY);
    frame.go_away = &go_away;
    raw_send(&server.peer, &frame);
    odd_settle(&server);
    assert_int_equal(pthread_create(&thread, NULL, ping, &calling), 0);
    for (raw_frame *got; (got = raw_receive(&server.peer)) != NULL;) {
        assert_int_not_equal(got->body_case, RAW_BODY(CALL)); /* it waits for the next one */
        raw_free(got);
    }
    raw_close(&server.peer);
    odd_accept(&server);
    odd_welcome(&server, &welcome);
    answer_echo(&server);
    pthread_join(thread, NULL);
    CHECK_OK(calling.status, &calling.error);
    odd_disconnect(&server, calling.client);
    odd_end(&server);
}

/* ---- a connection that is lost under a call ---- */

static void *call(void *argument) {
    struct calling *calling = argument;
    trove_object_info *info = NULL;
    if (calling->deletes)
        calling->status = trove_object_delete(calling->client, BUCKET, "k", NULL, 30000, &calling->error);
    else
        calling->status = trove_object_head(calling->client, BUCKET, "k", 30000, &info, &calling->error);
    trove_object_info_free(info);
    return NULL;
}

/* What only looks is sent again, what changes something isn't: whether it was done nobody knows. */
static void test_lost_under_call(void **state) {
    (void)state;
    trove_client_options options;
    trove_client_options_init(&options);
    for (int i = 0; i < 2; i++) {
        struct odd_server server;
        Trove__V1__Welcome welcome;
        pthread_t thread;
        odd_init_welcome(&welcome);
        odd_listen(&server);
        struct calling calling = {.client = odd_connect(&server, NULL, &options), .deletes = i == 0};
        assert_int_equal(pthread_create(&thread, NULL, call, &calling), 0);
        raw_free(odd_expect(&server, RAW_BODY(CALL)));
        raw_close(&server.peer);
        odd_accept(&server);
        odd_welcome(&server, &welcome);
        if (!calling.deletes) {
            raw_frame *again = odd_expect(&server, RAW_BODY(CALL));
            odd_send_status(&server, again->call_id, TROVE__V1__CODE__NOT_FOUND, "there is none", false);
            raw_free(again);
        }
        pthread_join(thread, NULL);
        if (calling.deletes)
            CHECK_FAILS(calling.status, UNAVAILABLE, "isn't known", &calling.error);
        else
            CHECK_FAILS(calling.status, NOT_FOUND, "there is none", &calling.error);
        odd_disconnect(&server, calling.client);
        odd_end(&server);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_left_when_idle),        cmocka_unit_test(test_lost_under_call),
        cmocka_unit_test(test_second_welcome),        cmocka_unit_test(test_put_again),
        cmocka_unit_test(test_put_too_late),          cmocka_unit_test(test_echo_not_taken),
        cmocka_unit_test(test_pool_closed_meanwhile), cmocka_unit_test(test_little_early_data),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
