/* test_local_janitor.c - files are removed behind everybody's back: nobody waits for it, neither commits nor the end of a store.
 * Removals are held by fault_io.
 */
#include "fault_io.h"
#include "fixture.h"
#include "local.h"
#include "local_disk.h"

#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

static unsigned unlinks(void) {
    return atomic_load(&fault_counts[FAULT_UNLINK]);
}

/* From now on the next removal doesn't come back. */
static unsigned hold(void) {
    fault_plan_set((struct fault_plan){.hold_unlink = true});
    return unlinks();
}

static void wait_until_held(unsigned before) {
    WAIT_FOR(unlinks() > before);
}

static bool is_stopping(struct tvs_janitor *janitor) {
    pthread_mutex_lock(&janitor->lock);
    bool stopping = janitor->stopping;
    pthread_mutex_unlock(&janitor->lock);
    return stopping;
}

static void count_lines(void *context, const char *message) {
    print_message("log: %s\n", message);
    ++*(unsigned *)context;
}

/* However many wait, whoever has one more only queues it: what is too much stays for the next start, and that is said once. */
static void test_a_full_queue_makes_nobody_wait(void **state) {
    struct store *store = *state;
    struct tvs_janitor janitor;
    unsigned lines = 0;
    struct tvs_driver_config config = {.log = count_lines, .log_context = &lines};
    trove_error error = {0};
    struct tvs_file_id id = {{0}};
    must(tvs_janitor_start(&janitor, &tvs_local_of(store->driver)->files, &config, &error), &error);
    for (int round = 1; round <= 2; round++) {
        unsigned before = hold();
        tvs_janitor_remove(&janitor, &id);
        wait_until_held(before);
        for (unsigned i = 0; i < TVS_JANITOR_QUEUE_MAX; i++)
            tvs_janitor_remove(&janitor, &id);
        assert_int_equal(lines, round - 1);
        for (unsigned i = 0; i < 10; i++)
            tvs_janitor_remove(&janitor, &id);
        assert_int_equal(lines, round);
        fault_plan_set((struct fault_plan){0});
        wait_for_janitor(&janitor);
        assert_int_equal(unlinks() - before, TVS_JANITOR_QUEUE_MAX + 1);
    }
    tvs_janitor_stop(&janitor);
}

/* A put that is given up, whose file may take the disk a while to remove: the worker doesn't wait for it. */
static void test_giving_up_makes_nobody_wait(void **state) {
    struct store *store = *state;
    char *bytes = bytes_make(400000, 1);
    trove_error error = {0};
    struct tvs_put *put;
    must(put_uncommitted(store, "bucket", "given up", bytes, 400000, NULL, &put, &error), &error);
    unsigned before = hold();
    store->ops->put_abort(put);
    wait_until_held(before);
    must_put(store, "bucket", "stored meanwhile", bytes, 400000);
    fault_plan_set((struct fault_plan){0});
    assert_int_equal(count_files(store, NULL), 1);
    free(bytes);
}

/* Ids come out as they went in, while the ring grows and turns. */
static void test_each_is_removed_once(void **state) {
    struct store *store = *state;
    trove_error error = {0};
    char *bytes = bytes_make(100000, 1);
    char key[16];
    for (int round = 0; round < 2; round++) {
        unsigned before = unlinks();
        for (unsigned i = 0; i < 300; i++) {
            snprintf(key, sizeof key, "%u", i);
            must_put(store, "bucket", key, bytes, 70000);
            if (i == 100)
                (void)hold();
            if (i % 3 != 0)
                must(store->ops->delete (store->driver, "bucket", key, NULL, &error), &error);
        }
        fault_plan_set((struct fault_plan){0});
        assert_int_equal(count_files(store, NULL), 100);
        assert_int_equal(unlinks() - before, round == 0 ? 200 : 300); /* the second time some are replaced */
    }
    free(bytes);
}

static void *close_store(void *argument) {
    store_close(argument);
    return NULL;
}

/* The end waits for the one that is being removed; the next start has the others removed, and doesn't wait for it either. */
static void test_the_end_leaves_what_waits(void **state) {
    struct store *store = *state;
    trove_error error = {0};
    char *bytes = bytes_make(100000, 1);
    char key[16];
    pthread_t closing;
    for (unsigned i = 0; i < 5; i++) {
        snprintf(key, sizeof key, "%u", i);
        must_put(store, "bucket", key, bytes, 100000);
    }
    unsigned before = hold();
    for (unsigned i = 0; i < 5; i++) {
        snprintf(key, sizeof key, "%u", i);
        must(store->ops->delete (store->driver, "bucket", key, NULL, &error), &error);
    }
    wait_until_held(before);
    struct tvs_janitor *janitor = &tvs_local_of(store->driver)->janitor;
    assert_int_equal(pthread_create(&closing, NULL, close_store, store), 0);
    WAIT_FOR(is_stopping(janitor));
    fault_plan_set((struct fault_plan){0});
    pthread_join(closing, NULL);
    assert_int_equal(count_files(store, NULL), 4);
    before = hold();
    store_open(store);
    wait_until_held(before);
    must_put(store, "bucket", "new", bytes, 100000);
    fault_plan_set((struct fault_plan){0});
    assert_int_equal(count_files(store, NULL), 1);
    must_hold(store, "bucket", "new", bytes, 100000);
    free(bytes);
}

static int janitor_setup(void **state) {
    fault_plan_set((struct fault_plan){0});
    return store_setup(state);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, janitor_setup, store_teardown)

int main(void) {
    fault_io_install();
    fixture_ops = &tvs_local_driver;
    const struct CMUnitTest tests[] = {
        TEST(test_a_full_queue_makes_nobody_wait),
        TEST(test_giving_up_makes_nobody_wait),
        TEST(test_each_is_removed_once),
        TEST(test_the_end_leaves_what_waits),
    };
    return cmocka_run_group_tests_name("removing files", tests, NULL, NULL);
}
