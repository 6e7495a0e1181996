/* test_client_reconnect.c - libtrove when its connection is lost and made again: what waits, what is sent again, what fails, for
 * how long; closing meanwhile. Streams that outlive it: test_client_resume.c.
 */
#include "coming_and_going.h"

#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

static void begin(struct restarted *own, void **state, uint32_t retry_for_ms) {
    trove_client_options options;
    trove_client_options_init(&options);
    options.retry_for_ms = retry_for_ms;
    restarted_begin(own, *state, &options);
}

static uint64_t reconnects(const struct restarted *own) {
    trove_client_metrics metrics;
    trove_client_metrics_get(own->test.client, &metrics);
    return metrics.reconnects;
}

/* Where a kill costs the bucket, too. */
static void make_bucket_again(struct restarted *own) {
    trove_error error;
    if (!restarted_keeps())
        CHECK_OK(trove_bucket_create(own->test.client, BUCKET, PATIENCE_MS, &error), &error);
}

/* ---- the server comes back ---- */

static void test_calls_wait(void **state) {
    struct restarted own;
    trove_error error;
    trove_client_metrics before;
    trove_client_metrics after;
    begin(&own, state, 0);
    trove_client *client = own.test.client;
    CHECK_OK(trove_put_memory(client, BUCKET, "kept", own.test.bytes, 1 * MIB, NULL, NULL, &error), &error);
    trove_client_metrics_get(client, &before);
    restarted_kill(&own);
    restarted_start_soon(&own, 200);
    CHECK_OK(trove_ping(client, PATIENCE_MS, NULL, &error), &error);
    assert_int_equal(reconnects(&own), 1);
    make_bucket_again(&own);
    if (restarted_keeps())
        check_object(&own.test, "kept", own.test.bytes, 1 * MIB);
    CHECK_OK(trove_put_memory(client, BUCKET, "new", own.test.bytes, 3 * MIB, NULL, NULL, &error), &error);
    check_object(&own.test, "new", own.test.bytes, 3 * MIB);
    trove_client_metrics_get(client, &after);
    assert_true(after.bytes_sent > before.bytes_sent + 3 * MIB && after.frames_received > before.frames_received);
    restarted_wait_for_start(&own);
    restarted_end(&own);
}

/* Streams that are opened meanwhile wait, in a pool as well; those that were open have failed. */
static void test_streams_wait(void **state) {
    struct restarted own;
    trove_error error;
    trove_pool *pool = NULL;
    trove_stream *before = NULL;
    trove_stream *after = NULL;
    begin(&own, state, 0);
    CHECK_OK(trove_pool_create(own.test.client, "pool", NULL, &pool, &error), &error);
    CHECK_OK(trove_pool_acquire(pool, BUCKET, "k", TROVE_DIRECTION_UPLOAD, NULL, 0, &before, &error), &error);
    CHECK_OK(trove_stream_start(before, &error), &error);
    restarted_kill(&own);
    trove_status status = TROVE_OK;
    while (status == TROVE_OK)
        status = write_bytes(before, own.test.bytes, 1 * MIB, PATIENCE_MS, &error);
    CHECK_FAILS(status, UNAVAILABLE, own.test.url, &error);
    trove_pool_release(pool, before);
    restarted_start_soon(&own, 200);
    CHECK_OK(trove_ping(own.test.client, PATIENCE_MS, NULL, &error), &error);
    make_bucket_again(&own);
    restarted_wait_for_start(&own);
    restarted_kill(&own);
    restarted_start_soon(&own, 200);
    if (restarted_keeps()) {
        CHECK_OK(trove_pool_acquire(pool, BUCKET, "k", TROVE_DIRECTION_UPLOAD, NULL, PATIENCE_MS, &after, &error), &error);
        CHECK_OK(trove_stream_start(after, &error), &error);
        CHECK_OK(write_bytes(after, own.test.bytes, 2 * MIB, PATIENCE_MS, &error), &error);
        CHECK_OK(trove_stream_complete(after, PATIENCE_MS, NULL, &error), &error);
        trove_pool_release(pool, after);
        check_object(&own.test, "k", own.test.bytes, 2 * MIB);
    } else {
        CHECK_FAILS(trove_pool_acquire(pool, BUCKET, "k", TROVE_DIRECTION_UPLOAD, NULL, PATIENCE_MS, &after, &error), NOT_FOUND,
                    BUCKET, &error);
    }
    trove_pool_close(pool, 0);
    restarted_wait_for_start(&own);
    restarted_end(&own);
}

/* A server that shuts down takes nothing new: that waits for the next one. */
static void test_shutdown(void **state) {
    struct restarted own;
    trove_error error;
    begin(&own, state, 0);
    troved_ask_to_end(own.test.server);
    restarted_start_soon(&own, 100);
    for (uint64_t until_ms = now_ms() + PATIENCE_MS; reconnects(&own) == 0 && now_ms() < until_ms;)
        CHECK_OK(trove_ping(own.test.client, PATIENCE_MS, NULL, &error), &error);
    assert_int_equal(reconnects(&own), 1);
    restarted_wait_for_start(&own);
    restarted_end(&own);
}

/* ---- it doesn't ---- */

/* The message says the address once. */
static void check_address(const struct restarted *own, const trove_error *error) {
    const char *first = strstr(error->message, own->test.url);
    assert_non_null(first);
    if (strstr(first + 1, own->test.url) != NULL)
        fail_msg("%s", error->message);
}

static void test_time_is_over(void **state) {
    struct restarted own;
    trove_client *another = NULL;
    trove_error error;
    begin(&own, state, 600);
    uint64_t begun_ms = now_ms(); /* its time begins when the client sees the loss, which is before whatever is tried here */
    restarted_kill(&own);
    CHECK_FAILS(trove_connect_wait(own.test.url, NULL, 100, &another, &error), UNAVAILABLE, "refused", &error);
    check_address(&own, &error);
    CHECK_FAILS(trove_ping(own.test.client, PATIENCE_MS, NULL, &error), UNAVAILABLE, "couldn't be made again in time", &error);
    check_address(&own, &error);
    assert_in_range(now_ms() - begun_ms, 500, 600 + 5000);
    CHECK_FAILS(trove_ping(own.test.client, 100, NULL, &error), DEADLINE_EXCEEDED, "wasn't there again in time", &error);
    check_address(&own, &error);
    assert_int_equal(reconnects(&own), 0);
    restarted_start(&own); /* whoever needs it next has it dialled again */
    CHECK_OK(trove_ping(own.test.client, PATIENCE_MS, NULL, &error), &error);
    assert_int_equal(reconnects(&own), 1);
    restarted_end(&own);
}

static void test_deadline(void **state) {
    struct restarted own;
    trove_error error;
    begin(&own, state, TROVE_NO_TIMEOUT);
    restarted_kill(&own);
    uint64_t begun_ms = now_ms();
    trove_status status = TROVE_OK;
    while (status == TROVE_OK) /* the first may be faster than the signal */
        status = trove_ping(own.test.client, 300, NULL, &error);
    CHECK_FAILS(status, DEADLINE_EXCEEDED, own.test.url, &error);
    assert_in_range(now_ms() - begun_ms, 250, 300 + 5000);
    restarted_start(&own);
    restarted_end(&own);
}

/* ---- closing meanwhile ---- */

struct pinging {
    trove_client *client;
    atomic_bool begun;
    trove_error error;
};

static void *ping(void *argument) {
    struct pinging *pinging = argument;
    trove_status status = TROVE_OK;
    while (status == TROVE_OK) {
        atomic_store(&pinging->begun, true);
        status = trove_ping(pinging->client, TROVE_NO_TIMEOUT, NULL, &pinging->error);
    }
    return NULL;
}

static void test_close(void **state) {
    struct restarted own;
    struct pinging pinging = {0};
    pthread_t thread;
    begin(&own, state, TROVE_NO_TIMEOUT);
    pinging.client = own.test.client;
    restarted_kill(&own);
    assert_int_equal(pthread_create(&thread, NULL, ping, &pinging), 0);
    while (!atomic_load(&pinging.begun))
        pause_ms(1);
    pause_ms(100);
    uint64_t begun_ms = now_ms();
    trove_close(own.test.client);
    pthread_join(thread, NULL);
    assert_true(now_ms() - begun_ms < 5000);
    assert_int_equal(pinging.error.status, TROVE_CANCELLED);
    own.test.client = NULL;
    restarted_start(&own);
    restarted_end(&own);
}

int main(int argc, char **argv) {
    client_test_arguments(argc, argv);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_calls_wait),   cmocka_unit_test(test_streams_wait), cmocka_unit_test(test_shutdown),
        cmocka_unit_test(test_time_is_over), cmocka_unit_test(test_deadline),     cmocka_unit_test(test_close),
    };
    return cmocka_run_group_tests_name(client_test_store(), tests, client_test_begin, client_test_end);
}
