/* test_buckets.c - buckets of any driver, their counters, and the conditions under which objects in them are put, copied and
 * deleted. */
#include "fixture.h"

#include <stdlib.h>

/* ---- buckets, counters --------------------------------------------------------------------------------------- */

static void test_buckets(void **state) {
    struct store *store = *state;
    trove_error error = {0};
    must_fail(store->ops->bucket_create(store->driver, "bucket", &error), TROVE_ALREADY_EXISTS, &error, "bucket");
    must(store->ops->bucket_create(store->driver, "another", &error), &error);
    must(store->ops->bucket_create(store->driver, "zebra", &error), &error);
    struct tvs_bucket *buckets;
    size_t count;
    must(store->ops->bucket_list(store->driver, &buckets, &count, &error), &error);
    assert_int_equal(count, 3);
    assert_string_equal(buckets[0].name, "another");
    assert_string_equal(buckets[1].name, "bucket");
    assert_string_equal(buckets[2].name, "zebra");
    assert_true(buckets[0].created_ns > 1600000000u * 1000000000ull);
    free(buckets);
    must_put(store, "another", "k", "in another", 10);
    must_put(store, "bucket", "k", "in bucket", 9);
    must_hold(store, "another", "k", "in another", 10);
    must_fail(store->ops->bucket_delete(store->driver, "another", &error), TROVE_FAILED_PRECONDITION, &error, "isn't empty");
    must(store->ops->delete (store->driver, "another", "k", NULL, &error), &error);
    must(store->ops->bucket_delete(store->driver, "another", &error), &error);
    must_fail(store->ops->bucket_delete(store->driver, "another", &error), TROVE_NOT_FOUND, &error, "another");
    must_hold(store, "bucket", "k", "in bucket", 9);
}

static void test_as_many_buckets_as_there_may_be(void **state) {
    struct store *store = *state;
    trove_error error = {0};
    char name[16];
    for (unsigned i = 1; i < TV_BUCKETS_MAX; i++) { /* there is one already */
        snprintf(name, sizeof name, "bucket-%u", i);
        must(store->ops->bucket_create(store->driver, name, &error), &error);
    }
    must_fail(store->ops->bucket_create(store->driver, "one-more", &error), TROVE_RESOURCE_EXHAUSTED, &error, "2500");
    struct tvs_bucket *buckets;
    size_t count;
    must(store->ops->bucket_list(store->driver, &buckets, &count, &error), &error);
    assert_int_equal(count, TV_BUCKETS_MAX);
    free(buckets);
    must(store->ops->bucket_delete(store->driver, "bucket-7", &error), &error);
    must(store->ops->bucket_create(store->driver, "one-more", &error), &error);
}

/* A put doesn't end in a bucket that was deleted and made again meanwhile. */
static void test_bucket_replaced_under_a_put(void **state) {
    struct store *store = *state;
    trove_error error = {0};
    must(store->ops->bucket_create(store->driver, "brief", &error), &error);
    struct tvs_put *put;
    must(put_uncommitted(store, "brief", "k", "abc", 3, NULL, &put, &error), &error);
    must(store->ops->bucket_delete(store->driver, "brief", &error), &error);
    must(store->ops->bucket_create(store->driver, "brief", &error), &error);
    must_fail(put_commit_wait(store, put, NULL, &error), TROVE_NOT_FOUND, &error, "brief");
    must_count(store, "brief", 0, 0);
    must(store->ops->bucket_delete(store->driver, "brief", &error), &error);
}

static void test_counters(void **state) {
    struct store *store = *state;
    trove_error error = {0};
    char *bytes = bytes_make(200000, 1);
    must_put(store, "bucket", "a", bytes, 200000);
    must_put(store, "bucket", "b", bytes, 100);
    must_count(store, "bucket", 2, 200100);
    must_put(store, "bucket", "a", bytes, 7);
    must_count(store, "bucket", 2, 107);
    must_put(store, "bucket", "b", bytes, 0);
    must_count(store, "bucket", 2, 7);
    must(store->ops->delete (store->driver, "bucket", "a", NULL, &error), &error);
    must_count(store, "bucket", 1, 0);
    free(bytes);
}

/* ---- conditions ------------------------------------------------------------------------------------------------------ */

static trove_status put_if(struct store *store, struct tvs_conditions conditions, bool small, trove_error *error) {
    struct put_how how = {.small = small, .options.conditions = conditions};
    return put_object(store, "bucket", "conditional", "new", 3, &how, error);
}

static void test_put_conditions(void **state) {
    struct store *store = *state;
    for (int small = 0; small < 2; small++) {
        trove_error error = {0};
        struct tvs_object object = {0};
        struct put_how how = {.object = &object};
        must_fail(put_if(store, (struct tvs_conditions){.if_match = "00000000000000000000000000000000"}, small, &error),
                  TROVE_FAILED_PRECONDITION, &error, "bucket/conditional");
        must_fail(put_if(store, (struct tvs_conditions){.if_generation = 1}, small, &error), TROVE_FAILED_PRECONDITION, &error,
                  "bucket/conditional");
        /* Both can't hold. */
        must_fail(put_if(store, (struct tvs_conditions){.if_none = true, .if_generation = 1}, small, &error),
                  TROVE_FAILED_PRECONDITION, &error, "bucket/conditional");
        must(put_if(store, (struct tvs_conditions){.if_none = true}, small, &error), &error);
        must_fail(put_if(store, (struct tvs_conditions){.if_none = true}, small, &error), TROVE_FAILED_PRECONDITION, &error,
                  "bucket/conditional");
        must(put_object(store, "bucket", "conditional", "old", 3, &how, &error), &error);
        must_fail(put_if(store, (struct tvs_conditions){.if_match = "0123"}, small, &error), TROVE_FAILED_PRECONDITION, &error,
                  "bucket/conditional");
        must_fail(put_if(store, (struct tvs_conditions){.if_generation = object.generation + 1}, small, &error),
                  TROVE_FAILED_PRECONDITION, &error, "bucket/conditional");
        must_hold(store, "bucket", "conditional", "old", 3);
        must(put_if(store, (struct tvs_conditions){.if_match = object.etag, .if_generation = object.generation}, small, &error),
             &error);
        must_hold(store, "bucket", "conditional", "new", 3);
        must(store->ops->delete (store->driver, "bucket", "conditional", NULL, &error), &error);
        tvs_object_fini(&object);
    }
    must_count(store, "bucket", 0, 0);
}

/* A condition that held at the beginning is asked for again at the end. */
static void test_conditions_at_the_commit(void **state) {
    struct store *store = *state;
    for (int large = 0; large < 2; large++) {
        size_t size = large ? 300000 : 5;
        char *bytes = bytes_make(size, 9);
        trove_error error = {0};
        struct put_how how = {.options.conditions.if_none = true};
        struct tvs_put *first, *second;
        must(put_uncommitted(store, "bucket", "late", bytes, size, &how, &first, &error), &error);
        must(put_uncommitted(store, "bucket", "late", bytes, size, &how, &second, &error), &error);
        must(put_commit_wait(store, second, NULL, &error), &error);
        must_fail(put_commit_wait(store, first, NULL, &error), TROVE_FAILED_PRECONDITION, &error, "bucket/late");
        must_hold(store, "bucket", "late", bytes, size);
        must(store->ops->delete (store->driver, "bucket", "late", NULL, &error), &error);
        free(bytes);
    }
}

static void test_other_conditions(void **state) {
    struct store *store = *state;
    trove_error error = {0};
    struct tvs_object object = {0}, copied = {0}, got = {0};
    struct put_how how = {.object = &object};
    must(put_object(store, "bucket", "c", "abc", 3, &how, &error), &error);
    struct tvs_conditions bad = {.if_generation = object.generation + 1}, good = {.if_match = object.etag};
    struct tvs_conditions none = {.if_none = true};
    struct tvs_get *get;
    must_fail(store->ops->get_begin(store->driver, "bucket", "c", &bad, &get, &got, &error), TROVE_FAILED_PRECONDITION, &error,
              "bucket/c");
    must(store->ops->get_begin(store->driver, "bucket", "c", &good, &get, &got, &error), &error);
    store->ops->get_end(get);
    must(copy_object(store, "bucket", "c", "bucket", "d", &none, &copied, &error), &error);
    tvs_object_fini(&copied);
    must_fail(copy_object(store, "bucket", "c", "bucket", "d", &none, &copied, &error), TROVE_FAILED_PRECONDITION, &error,
              "bucket/d");
    must_fail(store->ops->delete (store->driver, "bucket", "c", &bad, &error), TROVE_FAILED_PRECONDITION, &error, "bucket/c");
    must(store->ops->delete (store->driver, "bucket", "c", &good, &error), &error);
    tvs_object_fini(&got);
    tvs_object_fini(&object);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, store_setup, store_teardown)

int main(int count, char **arguments) {
    fixture_choose(count, arguments);
    const struct CMUnitTest tests[] = {
        TEST(test_put_conditions), TEST(test_conditions_at_the_commit),        TEST(test_other_conditions),
        TEST(test_buckets),        TEST(test_as_many_buckets_as_there_may_be), TEST(test_bucket_replaced_under_a_put),
        TEST(test_counters),
    };
    return cmocka_run_group_tests_name("buckets and conditions", tests, NULL, NULL);
}
