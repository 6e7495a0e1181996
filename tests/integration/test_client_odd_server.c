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

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_little_early_data),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
