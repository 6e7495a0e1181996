/* test_client_late_control.c - a thread that is about to send a control, and isn't let go on before the connection was lost and
 * made again: its stream, which has come back, isn't touched by it.
 *
 * The thread is held before its second lock of a mutex, which it takes to see under which id the stream is known, and before it
 * sends.
 */
#include "client_test.h"
#include "cut_proxy.h"

#include <pthread.h>

struct trove_client;

static _Thread_local unsigned locks_left; /* the thread is held before the last of them; 0: it isn't */
static _Thread_local bool hold_sending;
static _Thread_local trove_status sent; /* how the one that was held ended */
static struct cut_proxy *proxy;
static trove_stream *stream;

static void lose_connection(void) {
    trove_stream_metrics metrics;
    trove_stream_metrics_get(stream, &metrics);
    uint64_t reconnects = metrics.reconnects;
    cut_proxy_now(proxy);
    do {
        pause_ms(1);
        trove_stream_metrics_get(stream, &metrics);
    } while (metrics.reconnects == reconnects);
}

int __real_pthread_mutex_lock(pthread_mutex_t *mutex);
int __wrap_pthread_mutex_lock(pthread_mutex_t *mutex);
int __wrap_pthread_mutex_lock(pthread_mutex_t *mutex) {
    if (locks_left > 0 && --locks_left == 0)
        lose_connection();
    return __real_pthread_mutex_lock(mutex);
}

trove_status __real_tvc_client_send_on(struct trove_client *client, uint64_t connection, const void *frame, trove_error *error);
trove_status __wrap_tvc_client_send_on(struct trove_client *client, uint64_t connection, const void *frame, trove_error *error);
trove_status __wrap_tvc_client_send_on(struct trove_client *client, uint64_t connection, const void *frame, trove_error *error) {
    bool held = hold_sending;
    hold_sending = false;
    if (held)
        lose_connection();
    trove_status status = __real_tvc_client_send_on(client, connection, frame, error);
    if (held)
        sent = status;
    return status;
}

/* It has failed for the program, so it may not happen: the stream goes on where it was, in its state. */
static void check_control(const struct client_test *test, trove_control control, bool sending) {
    trove_error error;
    uint64_t before = trove_stream_offset(stream);
    WAIT_FOR(check_account(stream).bytes_waiting == 0);
    locks_left = sending ? 0 : 2;
    hold_sending = sending;
    CHECK_FAILS(trove_stream_control(stream, control, before - KIB, PATIENCE_MS, NULL, &error), UNAVAILABLE, "", &error);
    assert_true(locks_left == 0 && !hold_sending);
    assert_true(!sending || sent == TROVE_UNAVAILABLE);                    /* under that id nobody would know it */
    CHECK_OK(trove_ping(test->client, PATIENCE_MS, NULL, &error), &error); /* its answer would come before that of a ping */
    assert_int_equal(trove_stream_state_get(stream), TROVE_STREAM_ACTIVE);
    assert_int_equal(trove_stream_offset(stream), before);
    CHECK_OK(write_bytes(stream, test->bytes + before, 300 * KIB, PATIENCE_MS, &error), &error);
}

static void test_late_controls(void **state) {
    const struct client_test *group = *state;
    struct client_test test = *group;
    trove_stream_options options;
    trove_error error;
    proxy = cut_proxy_start(group->url);
    CHECK_OK(trove_connect(cut_proxy_url(proxy), NULL, &test.client, &error), &error);
    trove_stream_options_init(&options);
    options.resumable = true;
    options.chunk_bytes = 64 * KIB;
    stream = open_stream(&test, "late", TROVE_DIRECTION_UPLOAD, &options);
    CHECK_OK(write_bytes(stream, test.bytes, MIB, PATIENCE_MS, &error), &error);
    for (int sending = 0; sending < 2; sending++) {
        check_control(&test, TROVE_CONTROL_SEEK, sending);
        check_control(&test, TROVE_CONTROL_PAUSE, sending);
    }
    uint64_t size = trove_stream_offset(stream);
    CHECK_OK(trove_stream_complete(stream, PATIENCE_MS, NULL, &error), &error);
    trove_stream_release(stream);
    check_object(&test, "late", test.bytes, size);
    trove_close(test.client);
    cut_proxy_stop(proxy);
}

int main(int argc, char **argv) {
    client_test_arguments(argc, argv);
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_late_controls)};
    return cmocka_run_group_tests_name(client_test_store(), tests, client_test_begin, client_test_end);
}
