/* test_copies.c - copies inside a store, step by step; whole ones are with the other tests of objects. */
#include "fixture.h"
#include "local_waiter.h"

#include <stdlib.h>

/* A copy in its steps: what it copies is what was there when it began, and it can be abandoned after each. */
static void test_a_copy_takes_steps(void **state) {
    struct store *store = *state;
    size_t size = 40 * 1024 * 1024 + 7;
    char *bytes = bytes_make(size, 1), *other = bytes_make(size, 2), *got;
    trove_error error = {0};
    must_put(store, "bucket", "source", bytes, size);
    unsigned steps = 0;
    for (unsigned abandoned = 0;; abandoned++) {
        struct tvs_copy *copy;
        bool finished = false;
        must(store->ops->copy_begin(store->driver, "bucket", "source", "bucket", "copy", NULL, &copy, &error), &error);
        for (steps = 0; steps < abandoned && !finished; steps++)
            must(store->ops->copy_step(copy, &finished, &error), &error);
        if (!finished) {
            store->ops->copy_abort(copy);
            must_fail(get_object(store, "bucket", "copy", 0, &got, &size, &error), TROVE_NOT_FOUND, &error, "bucket/copy");
            continue;
        }
        struct tvs_object object = {0};
        must_put(store, "bucket", "source", other, 10);
        struct tvs_waiter waiter;
        tvs_waiter_init(&waiter, &object, &error);
        store->ops->copy_commit(copy, tvs_waiter_done, &waiter);
        must(tvs_waiter_wait(&waiter), &error);
        tvs_object_fini(&object);
        break;
    }
    assert_true(steps >= 3);
    must_hold(store, "bucket", "copy", bytes, size);
    must_hold(store, "bucket", "source", other, 10);
    store->ops->copy_abort(NULL);
    free(bytes);
    free(other);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, store_setup, store_teardown)

int main(int count, char **arguments) {
    fixture_choose(count, arguments);
    const struct CMUnitTest tests[] = {TEST(test_a_copy_takes_steps)};
    return cmocka_run_group_tests_name("copies", tests, NULL, NULL);
}
