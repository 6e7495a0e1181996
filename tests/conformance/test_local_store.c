/* test_local_store.c - what only the local driver promises: reopening, orphans, damage, the lock. (Disks that fail:
 * test_local_bad_disk.c; few syncs: test_local_commits.c.)
 */
#include "fault_io.h"
#include "fixture.h"
#include "local_disk.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static void reopen(struct store *store) {
    store_close(store);
    store_open(store);
}

static void test_reopened_has_all(void **state) {
    struct store *store = *state;
    const size_t kept[] = {0, 10, 65536, 65537, 1000000};
    trove_metadata pair = {.key = "k", .value = "v"};
    uint64_t generation = 0, all = 0;
    for (size_t i = 0; i < 5; i++) {
        char key[16];
        snprintf(key, sizeof key, "kept-%zu", i);
        char *bytes = bytes_make(kept[i], i);
        trove_error error = {0};
        struct tvs_object object;
        struct put_how how = {.object = &object, .options = {.content_type = "a/b", .metadata = &pair, .metadata_count = 1}};
        must(put_object(store, "bucket", key, bytes, kept[i], &how, &error), &error);
        generation = object.generation;
        tvs_object_fini(&object);
        free(bytes);
        all += kept[i];
    }
    for (int round = 0; round < 2; round++) {
        reopen(store);
        must_count(store, "bucket", 5, all);
        for (size_t i = 0; i < 5; i++) {
            char key[16];
            snprintf(key, sizeof key, "kept-%zu", i);
            char *bytes = bytes_make(kept[i], i);
            must_hold(store, "bucket", key, bytes, kept[i]);
            free(bytes);
        }
        char *text = list_text(store, "", "", "", 10);
        assert_string_equal(text, "kept-0 kept-1 kept-2 kept-3 kept-4 |");
        free(text);
    }
    trove_error error = {0};
    struct tvs_object object;
    must(store->ops->head(store->driver, "bucket", "kept-1", &object, &error), &error);
    assert_string_equal(object.content_type, "a/b");
    assert_string_equal(object.metadata[0].value, "v");
    tvs_object_fini(&object);
    must(store->ops->delete (store->driver, "bucket", "kept-4", NULL, &error), &error);
    reopen(store);
    struct put_how how = {.object = &object};
    must(put_object(store, "bucket", "kept-4", "x", 1, &how, &error), &error);
    assert_true(object.generation > generation);
    tvs_object_fini(&object);
}

static void test_files_come_and_go(void **state) {
    struct store *store = *state;
    trove_error error = {0};
    char *bytes = bytes_make(200000, 1);
    must_put(store, "bucket", "small", bytes, 65536);
    assert_int_equal(count_files(store, NULL), 0);
    must_put(store, "bucket", "large", bytes, 65537);
    assert_int_equal(count_files(store, NULL), 1);
    must_put(store, "bucket", "large", bytes, 200000);
    must_put(store, "bucket", "other", bytes, 200000);
    must(store->ops->delete (store->driver, "bucket", "other", NULL, &error), &error);
    struct tvs_put *put;
    must(put_uncommitted(store, "bucket", "aborted", bytes, 200000, NULL, &put, &error), &error);
    assert_true(count_files(store, NULL) >= 2);
    store->ops->put_abort(put);
    struct put_how how = {.options.conditions.if_generation = 1};
    must_fail(put_object(store, "bucket", "large", bytes, 200000, &how, &error), TROVE_FAILED_PRECONDITION, &error, "large");
    assert_int_equal(count_files(store, NULL), 1);
    reopen(store);
    assert_int_equal(count_files(store, NULL), 1);
    must_put(store, "bucket", "large", bytes, 10);
    reopen(store);
    assert_int_equal(count_files(store, NULL), 0);
    free(bytes);
}

static void test_modes(void **state) {
    struct store *store = *state;
    char *bytes = bytes_make(100000, 1);
    must_put(store, "bucket", "large", bytes, 100000);
    free(bytes);
    char path[400];
    struct stat info;
    assert_int_equal(count_files(store, path), 1);
    assert_int_equal(stat(path, &info), 0);
    assert_int_equal(info.st_mode & 0777, 0600);
    const char *folders[] = {"objects", "objects/00", "index"};
    for (size_t i = 0; i < 3; i++) {
        snprintf(path, sizeof path, "%s/%s", store->path, folders[i]);
        assert_int_equal(stat(path, &info), 0);
        assert_int_equal(info.st_mode & 0777, 0700);
    }
    snprintf(path, sizeof path, "%s/made", store->path);
    struct tvs_driver_config config = {.path = path};
    struct tvs_driver *driver;
    trove_error error = {0};
    must(store->ops->open(&config, &driver, &error), &error);
    store->ops->close(driver);
    assert_int_equal(stat(path, &info), 0);
    assert_int_equal(info.st_mode & 0777, 0700);
}

/* What a crash leaves: a file without an entry goes, what isn't ours stays. */
static void test_orphans_are_removed(void **state) {
    struct store *store = *state;
    char *bytes = bytes_make(100000, 1);
    must_put(store, "bucket", "large", bytes, 100000);
    store_close(store);
    char path[400];
    snprintf(path, sizeof path, "%s/objects/ab/0000000000000000000000000000ab01", store->path);
    close(open(path, O_CREAT | O_WRONLY, 0600));
    snprintf(path, sizeof path, "%s/objects/ab/0000000000000000000000000000ab02", store->path);
    close(open(path, O_CREAT | O_WRONLY, 0600));
    snprintf(path, sizeof path, "%s/objects/ac/notes.txt", store->path);
    close(open(path, O_CREAT | O_WRONLY, 0600));
    assert_int_equal(count_files(store, NULL), 4);
    store_open(store);
    assert_int_equal(count_files(store, NULL), 2);
    must_hold(store, "bucket", "large", bytes, 100000);
    free(bytes);
}

static void test_damage_is_named(void **state) {
    struct store *store = *state;
    char *bytes = bytes_make(900000, 1);
    must_put(store, "bucket", "damaged", bytes, 900000);
    char path[400];
    assert_int_equal(count_files(store, path), 1);
    trove_error error = {0};
    char *got;
    size_t size;
    const struct {
        off_t offset;
        const char *word;
    } damages[] = {{5, "bytes from 0 to 262144"},
                   {262144, "bytes from 262144 to 524288"},
                   {899999, "bytes from 786432 to 900000"},
                   {900000, "bytes from 0 to 262144"}, /* a stored checksum */
                   {900031, "bytes from 786432 to 900000"}};
    for (size_t i = 0; i < sizeof damages / sizeof *damages; i++) {
        flip_byte(path, damages[i].offset);
        must_fail(get_object(store, "bucket", "damaged", 0, &got, &size, &error), TROVE_DATA_LOSS, &error, "bucket/damaged");
        assert_non_null(strstr(error.message, damages[i].word));
        struct tvs_object object;
        must_fail(copy_object(store, "bucket", "damaged", "bucket", "copy", NULL, &object, &error), TROVE_DATA_LOSS, &error,
                  "bucket/damaged");
        flip_byte(path, damages[i].offset);
    }
    /* A range that isn't touched is still good. */
    flip_byte(path, 5);
    must(get_object(store, "bucket", "damaged", 262144, &got, &size, &error), &error);
    free(got);
    flip_byte(path, 900001);
    uint64_t sum; /* of another block than the one that is damaged */
    struct tvs_object object;
    must_fail(store->ops->block_sums(store->driver, "bucket", "damaged", 1, 1, &sum, &size, &object, &error), TROVE_DATA_LOSS,
              &error, "etag");
    assert_int_equal(unlink(path), 0);
    must_fail(get_object(store, "bucket", "damaged", 0, &got, &size, &error), TROVE_DATA_LOSS, &error, "bucket/damaged");
    must_put(store, "bucket", "damaged", bytes, 900000);
    must_hold(store, "bucket", "damaged", bytes, 900000);
    free(bytes);
}

/* So is what a file has lost with its end, whatever is read of it and however much is gone. */
static void test_a_lost_end_is_named(void **state) {
    struct store *store = *state;
    char *bytes = bytes_make(900000, 1);
    static const struct {
        off_t length;
        const char *lost;
    } rows[] = {{900031, "checksums of bytes from 786432 to 900000 are missing"},
                {900008, "checksums of bytes from 262144 to 900000 are missing"},
                {900000, "checksums of bytes from 0 to 900000 are missing"},
                {899999, "bytes from 899999 to 900000 are missing"},
                {262144, "bytes from 262144 to 900000 are missing"},
                {0, "bytes from 0 to 900000 are missing"},
                {900033, "has 900033 bytes instead of 900032"}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char path[400], *got;
        size_t size;
        trove_error error = {0};
        struct tvs_object object;
        must_put(store, "bucket", "cut", bytes, 900000);
        WAIT_FOR(count_files(store, path) == 1); /* the one before goes when all has been told */
        assert_int_equal(truncate(path, rows[i].length), 0);
        for (uint64_t from = 0; from < 900000; from += 3 * 262144) {
            must_fail(get_object(store, "bucket", "cut", from, &got, &size, &error), TROVE_DATA_LOSS, &error,
                      "object bucket/cut is damaged");
            assert_non_null(strstr(error.message, rows[i].lost));
            assert_null(strstr(error.message, "objects/"));
        }
        must_fail(copy_object(store, "bucket", "cut", "bucket", "copy", NULL, &object, &error), TROVE_DATA_LOSS, &error,
                  rows[i].lost);
    }
    free(bytes);
}

/* The same while it is being read. */
static void test_an_end_that_is_lost_meanwhile(void **state) {
    struct store *store = *state;
    char *bytes = bytes_make(900000, 1), path[400];
    must_put(store, "bucket", "cut", bytes, 900000);
    assert_int_equal(count_files(store, path), 1);
    struct tvs_get *get;
    struct tvs_object object;
    trove_error error = {0};
    must(store->ops->get_begin(store->driver, "bucket", "cut", NULL, &get, &object, &error), &error);
    assert_int_equal(truncate(path, 900016), 0);
    must(get_rest(store, get, 0, 2 * 262144, bytes, &error), &error);
    must_fail(get_rest(store, get, 524288, 900000, bytes, &error), TROVE_DATA_LOSS, &error,
              "object bucket/cut is damaged: bytes from 524288 to 900000: its file ends");
    assert_int_equal(truncate(path, 600000), 0);
    must_fail(get_rest(store, get, 524288, 786432, bytes, &error), TROVE_DATA_LOSS, &error,
              "object bucket/cut is damaged: bytes from 524288 to 786432: its file ends at byte 600000 instead of 786432");
    store->ops->get_end(get);
    tvs_object_fini(&object);
    free(bytes);
}

static void test_second_opener_is_refused(void **state) {
    struct store *store = *state;
    trove_error error = {0};
    struct tvs_driver *driver;
    char pid[32];
    snprintf(pid, sizeof pid, "process %ld", (long)getpid());
    must_fail(store->ops->open(&store->config, &driver, &error), TROVE_FAILED_PRECONDITION, &error, pid);
    must_put(store, "bucket", "k", "still works", 11);
    reopen(store);
}

static void test_only_stores_are_opened(void **state) {
    struct store *store = *state;
    char path[300], file[400];
    trove_error error = {0};
    struct tvs_driver *driver;
    snprintf(path, sizeof path, "%s/foreign", store->path);
    struct tvs_driver_config config = {.path = path};
    assert_int_equal(mkdir(path, 0700), 0);
    snprintf(file, sizeof file, "%s/thesis.txt", path);
    close(open(file, O_CREAT | O_WRONLY, 0600));
    must_fail(store->ops->open(&config, &driver, &error), TROVE_FAILED_PRECONDITION, &error, "FORMAT");
    assert_int_equal(access(file, F_OK), 0);
    snprintf(file, sizeof file, "%s/FORMAT", path);
    int fd = open(file, O_CREAT | O_WRONLY, 0600);
    assert_int_equal(write(fd, "trove-local 99\n", 15), 15);
    close(fd);
    must_fail(store->ops->open(&config, &driver, &error), TROVE_FAILED_PRECONDITION, &error, "trove-local 99");
    config.path = "relative";
    must_fail(store->ops->open(&config, &driver, &error), TROVE_INVALID_ARGUMENT, &error, "relative");
    config.path = "/proc/nowhere/store";
    assert_true(store->ops->open(&config, &driver, &error) != TROVE_OK);
    assert_non_null(strstr(error.message, "/proc/nowhere/store"));
}

/* ---- syncs ----------------------------------------------------------------------------------------------------------- */

static void test_relaxed_has_no_syncs(void **state) {
    struct store *store = *state;
    store_close(store);
    store->config.relaxed = true;
    store_open(store);
    unsigned syncs = atomic_load(&fault_counts[FAULT_SYNC]);
    unsigned directory_syncs = atomic_load(&fault_counts[FAULT_SYNC_DIRECTORY]);
    char *bytes = bytes_make(300000, 1);
    must_put(store, "bucket", "relaxed", bytes, 300000);
    must_hold(store, "bucket", "relaxed", bytes, 300000);
    assert_int_equal(atomic_load(&fault_counts[FAULT_SYNC]), syncs);
    assert_int_equal(atomic_load(&fault_counts[FAULT_SYNC_DIRECTORY]), directory_syncs);
    free(bytes);
}

/* What was lost takes no space, in a copy neither; and where something stands in a hole, that is damage as anywhere. */
static void test_gaps_are_holes(void **state) {
    struct store *store = *state;
    static const trove_gap gap = {300000, 50000000};
    char *bytes = bytes_make(50400000, 1), path[400], *got;
    memset(bytes + gap.offset, 0, (size_t)gap.length);
    struct put_how how = {.gaps = &gap, .gap_count = 1};
    trove_error error = {0};
    struct tvs_object object;
    must(put_object(store, "bucket", "object", bytes, 50400000, &how, &error), &error);
    assert_int_equal(count_files(store, path), 1);
    assert_true(disk_bytes(path) < 1000000);
    must(copy_object(store, "bucket", "object", "bucket", "copy", NULL, &object, &error), &error);
    assert_int_equal(object.gap_bytes, gap.length);
    tvs_object_fini(&object);
    must(store->ops->delete (store->driver, "bucket", "object", NULL, &error), &error);
    reopen(store);
    assert_int_equal(count_files(store, path), 1);
    assert_true(disk_bytes(path) < 2000000);
    must_hold(store, "bucket", "copy", bytes, 50400000);
    flip_byte(path, 25000000);
    size_t size;
    must_fail(get_object(store, "bucket", "copy", 0, &got, &size, &error), TROVE_DATA_LOSS, &error, "bytes from 24903680");
    free(bytes);
}

static void test_copy_by_clone(void **state) {
    struct store *store = *state;
    static const trove_gap gap = {5, 700000};
    char *bytes = bytes_make(1000000, 1);
    memset(bytes + gap.offset, 0, (size_t)gap.length);
    struct put_how how = {.gaps = &gap, .gap_count = 1};
    must(put_object(store, "bucket", "object", bytes, 1000000, &how, NULL), NULL);
    fault_plan_set((struct fault_plan){.clone = true});
    trove_error error = {0};
    struct tvs_object object;
    must(copy_object(store, "bucket", "object", "bucket", "copy", NULL, &object, &error), &error);
    assert_int_equal(object.gap_count, 1);
    assert_memory_equal(object.gaps, &gap, sizeof gap);
    tvs_object_fini(&object);
    must(store->ops->delete (store->driver, "bucket", "object", NULL, &error), &error);
    must_hold(store, "bucket", "copy", bytes, 1000000);
    reopen(store);
    must_hold(store, "bucket", "copy", bytes, 1000000);
    free(bytes);
}

static int local_setup(void **state) {
    fault_plan_set((struct fault_plan){0});
    return store_setup(state);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, local_setup, store_teardown)

int main(void) {
    fault_io_install();
    fixture_ops = &tvs_local_driver;
    const struct CMUnitTest tests[] = {
        TEST(test_reopened_has_all),
        TEST(test_files_come_and_go),
        TEST(test_modes),
        TEST(test_orphans_are_removed),
        TEST(test_damage_is_named),
        TEST(test_a_lost_end_is_named),
        TEST(test_an_end_that_is_lost_meanwhile),
        TEST(test_second_opener_is_refused),
        TEST(test_only_stores_are_opened),
        TEST(test_relaxed_has_no_syncs),
        TEST(test_gaps_are_holes),
        TEST(test_copy_by_clone),
    };
    return cmocka_run_group_tests_name("the local store", tests, NULL, NULL);
}
