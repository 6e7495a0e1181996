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

/* The stream is cancelled as others of the pool are; what the server sends meanwhile lands before the call returns, or nowhere. */
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

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pool_closed_meanwhile),
        cmocka_unit_test(test_little_early_data),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
