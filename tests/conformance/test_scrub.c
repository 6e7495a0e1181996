/* test_scrub.c - scrubs of stores that are whole: all is read, once, in steps that are bounded, whatever changes meanwhile. */
#include "mem.h"
#include "scrubs.h"

#include <stdlib.h>

static const struct {
    const char *key;
    size_t size;
} objects[] = {{"a", 0}, {"a/1", 10}, {"a/2", 65536}, {"a/3", 65537}, {"b", 262144}, {"c", 9 * 1048576 + 7}, {"d", 1}};

static void fill(struct store *store) {
    for (size_t i = 0; i < sizeof objects / sizeof *objects; i++) {
        char *bytes = bytes_make(objects[i].size, i);
        must_put(store, "bucket", objects[i].key, bytes, objects[i].size);
        free(bytes);
    }
}

static void test_all_that_begins_with_a_prefix(void **state) {
    struct store *store = *state;
    static const struct {
        const char *prefix;
        uint64_t objects;
        uint64_t bytes;
    } rows[] = {
        {"", 7, 10 + 65536 + 65537 + 262144 + 9 * 1048576 + 7 + 1},
        {"a", 4, 10 + 65536 + 65537},
        {"a/", 3, 10 + 65536 + 65537},
        {"c", 1, 9 * 1048576 + 7},
        {"d", 1, 1},
        {"x", 0, 0},
        {"a/11", 0, 0},
    };
    fill(store);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        print_message("    \"%s\"\n", rows[i].prefix);
        struct scrubbed scrubbed;
        trove_error error = {0};
        must(scrub_all(store, rows[i].prefix, NULL, &scrubbed, &error), &error);
        assert_string_equal(scrubbed.text, "");
        assert_int_equal(scrubbed.objects, rows[i].objects);
        assert_int_equal(scrubbed.bytes, rows[i].bytes);
        assert_true(scrubbed.steps > rows[i].bytes / TVS_SCRUB_STEP_BYTES);
    }
}

static void test_many_objects_take_many_steps(void **state) {
    struct store *store = *state;
    for (unsigned i = 0; i < 3 * TVS_SCRUB_STEP_OBJECTS + 1; i++) {
        char key[16];
        snprintf(key, sizeof key, "%04u", i);
        must_put(store, "bucket", key, "abc", 3);
    }
    struct scrubbed scrubbed;
    trove_error error = {0};
    must(scrub_all(store, "", NULL, &scrubbed, &error), &error);
    assert_int_equal(scrubbed.objects, 3 * TVS_SCRUB_STEP_OBJECTS + 1);
    assert_int_equal(scrubbed.steps, 4);
}

/* After the first step, which ends inside "c". */
static void replace_it(struct store *store, unsigned steps) {
    if (steps == 0)
        must_put(store, "bucket", "c", "other", 5);
}

static void delete_it(struct store *store, unsigned steps) {
    trove_error error = {0};
    if (steps == 0)
        must(store->ops->delete (store->driver, "bucket", "c", NULL, &error), &error);
}

static void test_what_changes_meanwhile(void **state) {
    struct store *store = *state;
    struct scrubbed scrubbed;
    trove_error error = {0};
    fill(store);
    must(scrub_all(store, "c", replace_it, &scrubbed, &error), &error);
    assert_string_equal(scrubbed.text, "");
    assert_int_equal(scrubbed.objects, 1);
    assert_int_equal(scrubbed.bytes, TVS_SCRUB_STEP_BYTES + 5);
    fill(store);
    must(scrub_all(store, "c", delete_it, &scrubbed, &error), &error);
    assert_string_equal(scrubbed.text, "");
    assert_int_equal(scrubbed.objects, 0);
    assert_int_equal(scrubbed.bytes, TVS_SCRUB_STEP_BYTES);
}

static void test_gaps_are_no_damage(void **state) {
    struct store *store = *state;
    static const trove_gap gaps[] = {{0, 1000}, {262144, 3 * 262144 + 5}};
    char *bytes = bytes_make(6 * 262144, 1);
    const struct put_how how = {.gaps = gaps, .gap_count = 2};
    struct scrubbed scrubbed;
    trove_error error = {0};
    must(put_object(store, "bucket", "lossy", bytes, 6 * 262144, &how, &error), &error);
    must(scrub_all(store, "", NULL, &scrubbed, &error), &error);
    assert_string_equal(scrubbed.text, "");
    assert_int_equal(scrubbed.bytes, 6 * 262144);
    free(bytes);
}

/* Memory is damaged less often than a disk. Of the local store's damage: test_local_scrub. */
static void test_damage_in_memory(void **state) {
    struct store *store = *state;
    struct tvs_mem *mem = tvs_mem_of(store->driver);
    struct tvs_mem_object *object;
    struct scrubbed scrubbed;
    trove_error error = {0};
    fill(store);
    must(tvs_mem_object_open(mem, "bucket", "c", &object, &error), &error);
    ((char *)object->blocks[20])[5] ^= 1;
    must(scrub_all(store, "", NULL, &scrubbed, &error), &error);
    assert_string_equal(scrubbed.text, "c 5242880+262144|");
    object->sums[20] ^= 1;
    must(scrub_all(store, "", NULL, &scrubbed, &error), &error);
    assert_string_equal(scrubbed.text, "c 0+0|c 5242880+262144|");
    assert_int_equal(scrubbed.objects, 7);
    tvs_mem_object_release(object);
}

static void test_no_bucket(void **state) {
    struct store *store = *state;
    struct scrubbed scrubbed = {.steps = 0};
    struct tvs_scrub scrub = {.prefix = "", .visit = scrub_note, .context = &scrubbed};
    trove_error error = {0};
    bool finished = false;
    must_fail(store->ops->scrub(store->driver, "nowhere", &scrub, &finished, &error), TROVE_NOT_FOUND, &error, "nowhere");
    assert_false(finished);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, relaxed_setup, store_teardown)

int main(int count, char **arguments) {
    fixture_choose(count, arguments);
    const struct CMUnitTest tests[] = {
        TEST(test_all_that_begins_with_a_prefix),
        TEST(test_many_objects_take_many_steps),
        TEST(test_what_changes_meanwhile),
        TEST(test_gaps_are_no_damage),
        TEST(test_no_bucket),
    };
    const struct CMUnitTest mem_tests[] = {TEST(test_damage_in_memory)};
    int failed = cmocka_run_group_tests_name("scrubs", tests, NULL, NULL);
    if (fixture_ops == &tvs_mem_driver)
        failed += cmocka_run_group_tests_name("scrubs of memory", mem_tests, NULL, NULL);
    return failed;
}
