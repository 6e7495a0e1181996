/* test_local_start.c - how a local store begins: in which directory, and what of it is durable before the first object is. */
#include "fault_io.h"
#include "fixture.h"
#include "local.h"
#include "local_disk.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static unsigned directory_syncs(void) {
    return atomic_load(&fault_counts[FAULT_SYNC_DIRECTORY]);
}

/* Opens and closes a store in a directory of its own. */
static trove_status try(struct store *store, const char *name, bool relaxed, trove_error *error) {
    char path[300];
    struct tvs_driver *driver;
    snprintf(path, sizeof path, "%s/%s", store->path, name);
    struct tvs_driver_config config = {.path = path, .relaxed = relaxed};
    trove_status status = store->ops->open(&config, &driver, error);
    if (status == TROVE_OK)
        store->ops->close(driver);
    return status;
}

/* ---- directories of somebody else ---- */

static void write_text(const char *path, const char *text) {
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_int_equal(fputs(text, file) >= 0, 1);
    assert_int_equal(fclose(file), 0);
}

static void must_have_text(const char *path, const char *expected) {
    char text[100];
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    text[fread(text, 1, sizeof text - 1, file)] = '\0';
    fclose(file);
    assert_string_equal(text, expected);
}

/* A directory that isn't a store is as it was after an attempt to open it as one. */
static void test_a_foreign_directory_is_left_alone(void **state) {
    struct store *store = *state;
    char path[300], file[400];
    trove_error error = {0};
    snprintf(path, sizeof path, "%s/foreign", store->path);
    assert_int_equal(mkdir(path, 0700), 0);
    snprintf(file, sizeof file, "%s/thesis.txt", path);
    write_text(file, "precious");
    must_fail(try(store, "foreign", false, &error), TROVE_FAILED_PRECONDITION, &error, "FORMAT");
    snprintf(file, sizeof file, "%s/LOCK", path);
    assert_int_equal(access(file, F_OK), -1);
    write_text(file, "somebody's");
    must_fail(try(store, "foreign", false, &error), TROVE_FAILED_PRECONDITION, &error, "FORMAT");
    must_have_text(file, "somebody's");
    snprintf(file, sizeof file, "%s/FORMAT", path);
    write_text(file, "trove-local 99\n");
    must_fail(try(store, "foreign", false, &error), TROVE_FAILED_PRECONDITION, &error, "trove-local 99");
    must_have_text(file, "trove-local 99\n");
    snprintf(file, sizeof file, "%s/LOCK", path);
    must_have_text(file, "somebody's");
}

/* ---- long paths ---- */

/* Fills `path` up to `bytes`, with directories that are made but for the last one. */
static void make_path(const struct store *store, char *path, size_t bytes) {
    size_t used = (size_t)snprintf(path, bytes + 1, "%s", store->path);
    while (used < bytes) {
        assert_true(mkdir(path, 0700) == 0 || errno == EEXIST);
        size_t name = bytes - used - 1 < 200 ? bytes - used - 1 : 200;
        if (bytes - used - 1 - name == 1) /* not a slash alone at the end */
            name--;
        path[used++] = '/';
        memset(path + used, 'd', name);
        used += name;
        path[used] = '\0';
    }
}

/* A path is never cut: the longest works, with its index inside of it, and one more byte is too many. */
static void test_the_longest_path(void **state) {
    struct store *store = *state;
    char path[TVS_LOCAL_PATH_BYTES_MAX + 100], index[sizeof path + 10];
    struct tvs_driver *driver;
    trove_error error = {0};
    struct tvs_driver_config config = {.path = path};
    for (size_t bytes = TVS_LOCAL_PATH_BYTES_MAX; bytes < sizeof path - 1; bytes += bytes % 7 + 1) {
        make_path(store, path, bytes);
        assert_int_equal(strlen(path), bytes);
        trove_status status = store->ops->open(&config, &driver, &error);
        if (bytes > TVS_LOCAL_PATH_BYTES_MAX) {
            must_fail(status, TROVE_INVALID_ARGUMENT, &error, "4000");
            assert_int_equal(access(path, F_OK), -1);
            continue;
        }
        must(status, &error);
        store->ops->close(driver);
        snprintf(index, sizeof index, "%s/index/CURRENT", path);
        assert_int_equal(access(index, F_OK), 0);
    }
}

/* ---- syncs ---- */

/* Whoever made the directories, and however that ended: each start makes their entries durable, those of the store's parent, of
 * the store and of objects/. */
static void test_each_start_syncs_the_directories(void **state) {
    struct store *store = *state;
    trove_error error = {0};
    static const struct {
        const char *name;
        bool relaxed;
        unsigned syncs;
    } starts[] = {{"new", true, 1} /* FORMAT's */, {"new", true, 0}, {"new", false, 3}, {"new", false, 3}, {"other", false, 4}};
    for (size_t i = 0; i < sizeof starts / sizeof *starts; i++) {
        unsigned before = directory_syncs();
        must(try(store, starts[i].name, starts[i].relaxed, &error), &error);
        assert_int_equal(directory_syncs() - before, starts[i].syncs);
    }
}

/* One sync after the other fails: the store isn't opened, and is at the next try. */
static void test_a_failing_sync_is_an_error(void **state) {
    struct store *store = *state;
    static const struct {
        unsigned nth;
        const char *word;
    } failures[] = {{1, "above"}, {2, "FORMAT"}, {1, "above"}, {2, "store's directory"}, {3, "objects"}};
    for (size_t i = 0; i < sizeof failures / sizeof *failures; i++) {
        trove_error error = {0};
        fault_plan_set((struct fault_plan){.call = FAULT_SYNC_DIRECTORY, .nth = failures[i].nth, .error_number = EIO});
        must_fail(try(store, "new", false, &error), TROVE_DATA_LOSS, &error, failures[i].word);
        assert_int_equal(atomic_load(&fault_hits), 1);
    }
    fault_plan_set((struct fault_plan){0});
    trove_error error = {0};
    must(try(store, "new", false, &error), &error);
}

static int start_setup(void **state) {
    fault_plan_set((struct fault_plan){0});
    return store_setup(state);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, start_setup, store_teardown)

int main(void) {
    fault_io_install();
    fixture_ops = &tvs_local_driver;
    const struct CMUnitTest tests[] = {
        TEST(test_a_foreign_directory_is_left_alone),
        TEST(test_the_longest_path),
        TEST(test_each_start_syncs_the_directories),
        TEST(test_a_failing_sync_is_an_error),
    };
    return cmocka_run_group_tests_name("the start of a local store", tests, NULL, NULL);
}
