/* test_local_stuck.c - a server whose disk doesn't answer any more ends nevertheless. The write of the index is held by
 * fault_io. */
#include "session.h"

#include "elsewhere.h"
#include "fault_io.h"
#include "fixture.h"

#include <stdlib.h>
#include <unistd.h>

/* What is left behind; seen by whoever looks for leaks. */
static struct tvs_server *server;
static atomic_bool stored;

static void on_stored(void *context, trove_status status, const struct tvs_object *object, const trove_error *error) {
    (void)context, (void)object, (void)error;
    MUST(status == TROVE_OK);
    atomic_store(&stored, true);
}

static void test_a_store_that_hangs_is_left_behind(void **state) {
    struct store *store = *state;
    struct tvs_server_options options;
    char dsn[300];
    trove_error error = {0};
    store_close(store);
    tvs_server_options_init(&options);
    snprintf(dsn, sizeof dsn, "local://%s", store->path);
    options.store = dsn;
    must(tvs_server_create(&options, &server, &error), &error);
    unsigned before = atomic_load(&fault_counts[FAULT_INDEX_WRITE]);
    fault_plan_set((struct fault_plan){.hold_index = true});
    struct tv_data data = {.bytes = 3, .iov_count = 1, .iov[0] = {(char *)(uintptr_t) "abc", 3}};
    const struct tvs_put_options put = {.content_type = ""};
    tv_data_hash(&data);
    server->ops->put_small(server->driver, "bucket", "key", &put, &data, on_stored, NULL);
    WAIT_FOR(atomic_load(&fault_counts[FAULT_INDEX_WRITE]) > before);
    assert_false(tvs_server_destroy(server));
    assert_false(atomic_load(&stored));
    /* The disk comes back: what was left behind finishes, and lets go of the lock. */
    fault_plan_set((struct fault_plan){0});
    trove_status status = TROVE_OK;
    WAIT_FOR((status = store->ops->open(&store->config, &store->driver, &error)) != TROVE_FAILED_PRECONDITION);
    must(status, &error);
    assert_true(atomic_load(&stored));
    must_hold(store, "bucket", "key", "abc", 3);
}

static void test_one_that_answers_is_closed(void **state) {
    struct store *store = *state;
    struct tvs_server_options options;
    struct tvs_server *other;
    char dsn[300];
    trove_error error = {0};
    store_close(store);
    tvs_server_options_init(&options);
    snprintf(dsn, sizeof dsn, "local://%s", store->path);
    options.store = dsn;
    must(tvs_server_create(&options, &other, &error), &error);
    assert_true(tvs_server_destroy(other));
    store_open(store);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, store_setup, store_teardown)

int main(void) {
    fault_io_install();
    fixture_ops = &tvs_local_driver;
    const struct CMUnitTest tests[] = {
        TEST(test_one_that_answers_is_closed),
        TEST(test_a_store_that_hangs_is_left_behind),
    };
    return cmocka_run_group_tests_name("a store that hangs", tests, NULL, NULL);
}
