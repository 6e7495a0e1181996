/* test_local_bad_disk.c - the local driver on a disk that fails, is full, or refuses what file systems may: the right status, the
 * old object, no file too many; and a failed write of the index, which ends the process.
 */
#include "fault_io.h"
#include "fixture.h"
#include "local_disk.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>

static void reopen(struct store *store) {
    store_close(store);
    store_open(store);
}

/* One call after the other fails while an object is replaced: the right status, the old object, no file too many. */
static void faults_of_a_put(struct store *store, bool lossy) {
    const enum fault_call calls[] = {FAULT_OPEN, FAULT_WRITE, FAULT_SYNC, FAULT_SYNC_DIRECTORY};
    const struct {
        int number;
        trove_status status;
    } errors[] = {{ENOSPC, TROVE_RESOURCE_EXHAUSTED}, {EIO, TROVE_DATA_LOSS}, {EMFILE, TROVE_RESOURCE_EXHAUSTED}};
    /* One that cuts what waits to be written, one between writes, one that reaches to the end. */
    static const trove_gap gaps[] = {{70000, 300000}, {900000, 5000}, {1400000, 100000}};
    char *old = bytes_make(400000, 1), *new = bytes_make(1500000, 2);
    for (size_t i = 0; i < 3 && lossy; i++)
        memset(new + gaps[i].offset, 0, (size_t)gaps[i].length);
    must_put(store, "bucket", "object", old, 400000);
    for (size_t c = 0; c < sizeof calls / sizeof *calls; c++) {
        for (size_t e = 0; e < sizeof errors / sizeof *errors; e++) {
            unsigned nth = 0;
            do {
                fault_plan_set((struct fault_plan){.call = calls[c], .nth = ++nth, .error_number = errors[e].number});
                trove_error error = {0};
                struct put_how how = {.write_bytes = 500001, .gaps = gaps, .gap_count = lossy ? 3 : 0};
                trove_status status = put_object(store, "bucket", "object", new, 1500000, &how, &error);
                if (atomic_load(&fault_hits) == 0) {
                    must(status, &error);
                    break;
                }
                must_fail(status, errors[e].status, &error, "");
                fault_plan_set((struct fault_plan){0});
                must_hold(store, "bucket", "object", old, 400000);
            } while (nth < 100);
            assert_true(nth > 1 && nth < 100);
            fault_plan_set((struct fault_plan){0});
            must_hold(store, "bucket", "object", new, 1500000);
            must_put(store, "bucket", "object", old, 400000);
        }
    }
    reopen(store);
    must_hold(store, "bucket", "object", old, 400000);
    must_count(store, "bucket", 1, 400000);
    assert_int_equal(count_files(store, NULL), 1);
    free(old);
    free(new);
}

static void test_faults_of_a_put(void **state) {
    faults_of_a_put(*state, false);
}

static void test_faults_of_a_put_with_gaps(void **state) {
    faults_of_a_put(*state, true);
}

static void test_full_disk_is_said_early(void **state) {
    struct store *store = *state;
    trove_error error = {0};
    char *bytes = bytes_make(400000, 1);
    must_put(store, "bucket", "small", "old", 3);
    must_put(store, "bucket", "large", bytes, 400000);
    fault_plan_set((struct fault_plan){.no_space = true});
    struct put_how small = {.small = true};
    must_fail(put_object(store, "bucket", "small", "newer", 5, &small, &error), TROVE_RESOURCE_EXHAUSTED, &error, "full");
    must_fail(put_object(store, "bucket", "large", bytes, 300000, NULL, &error), TROVE_RESOURCE_EXHAUSTED, &error, "full");
    must_hold(store, "bucket", "small", "old", 3);
    must_hold(store, "bucket", "large", bytes, 400000);
    /* Deleting is what helps, so it works. */
    must(store->ops->delete (store->driver, "bucket", "large", NULL, &error), &error);
    fault_plan_set((struct fault_plan){0});
    must_put(store, "bucket", "large", bytes, 300000);
    must_count(store, "bucket", 2, 300003);
    free(bytes);
}

static void test_what_file_systems_refuse(void **state) {
    struct store *store = *state;
    static const trove_gap gap = {1000001, 600000};
    char *bytes = bytes_make(3000000, 1), *zeroed = bytes_make(3000000, 1);
    memset(zeroed + gap.offset, 0, (size_t)gap.length);
    const struct fault_plan plans[] = {
        {.refuse_alignment = true}, {.short_moves = true}, {.refuse_direct = true}, {.refuse_direct = true, .short_moves = true}};
    const struct put_how ways[] = {{.write_bytes = 0}, {.write_bytes = 300001}, {.write_bytes = 262144, .shift = 8}};
    for (size_t p = 0; p < sizeof plans / sizeof *plans; p++) {
        for (size_t w = 0; w < sizeof ways / sizeof *ways; w++) {
            fault_plan_set(plans[p]);
            trove_error error = {0};
            must(put_object(store, "bucket", "object", bytes, 3000000, &ways[w], &error), &error);
            must_hold(store, "bucket", "object", bytes, 3000000);
            struct put_how lossy = ways[w];
            lossy.gaps = &gap;
            lossy.gap_count = 1;
            must(put_object(store, "bucket", "object", bytes, 3000000, &lossy, &error), &error);
            must_hold(store, "bucket", "object", zeroed, 3000000);
        }
    }
    free(zeroed);
    free(bytes);
}

static void test_failing_reads(void **state) {
    struct store *store = *state;
    char *bytes = bytes_make(1000000, 1), *got;
    size_t size;
    must_put(store, "bucket", "object", bytes, 1000000);
    trove_error error = {0};
    fault_plan_set((struct fault_plan){.call = FAULT_READ, .nth = 1, .error_number = EIO});
    must_fail(get_object(store, "bucket", "object", 0, &got, &size, &error), TROVE_DATA_LOSS, &error, "bucket/object");
    fault_plan_set((struct fault_plan){.call = FAULT_OPEN, .nth = 1, .error_number = EMFILE});
    must_fail(get_object(store, "bucket", "object", 0, &got, &size, &error), TROVE_RESOURCE_EXHAUSTED, &error, "open files");
    must_hold(store, "bucket", "object", bytes, 1000000);
    free(bytes);
}

/* What can't be removed now is removed at the next start. */
static void test_failing_unlink(void **state) {
    struct store *store = *state;
    char *bytes = bytes_make(100000, 1);
    must_put(store, "bucket", "object", bytes, 100000);
    fault_plan_set((struct fault_plan){.call = FAULT_UNLINK, .nth = 1, .error_number = EIO});
    must_put(store, "bucket", "object", bytes, 100000);
    assert_int_equal(count_files(store, NULL), 2);
    reopen(store);
    assert_int_equal(count_files(store, NULL), 1);
    must_hold(store, "bucket", "object", bytes, 100000);
    free(bytes);
}

static void log_to_stderr(void *context, const char *message) {
    (void)context;
    fprintf(stderr, "logged: %s\n", message);
}

/* This program again, as `test_local_bad_disk crash STORE`: its first commit's write of the index fails. (Not only forked:
 * RocksDB's threads don't survive that.) */
static int crash_at_commit(const char *path) {
    struct rlimit none = {0};
    setrlimit(RLIMIT_CORE, &none);
    fault_io_install();
    struct store store = {.ops = &tvs_local_driver, .config = {.path = path, .log = log_to_stderr}};
    if (store.ops->open(&store.config, &store.driver, NULL) != TROVE_OK)
        return 1;
    fault_plan_set((struct fault_plan){.call = FAULT_INDEX_WRITE, .nth = 1, .error_number = EIO});
    trove_error error = {0};
    (void)!put_object(&store, "bucket", "lost", "abc", 3, NULL, &error);
    return 2;
}

/* A failed write of the index ends the process, and what was acknowledged before is there afterwards. */
static void test_failed_index_write_ends_the_process(void **state) {
    struct store *store = *state;
    must_put(store, "bucket", "acknowledged", "abc", 3);
    store_close(store);
    int output[2];
    assert_int_equal(pipe(output), 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        dup2(output[1], 2);
        execl("/proc/self/exe", "test_local_bad_disk", "crash", store->path, (char *)NULL);
        _exit(3);
    }
    close(output[1]);
    FILE *text = fdopen(output[0], "r");
    char said[4000];
    said[fread(said, 1, sizeof said - 1, text)] = '\0';
    fclose(text);
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
    char *once = strstr(said, "logged: the store's index can't be written");
    assert_non_null(once);
    assert_null(strstr(once + 10, "the store's index can't be written"));
    store_open(store);
    must_hold(store, "bucket", "acknowledged", "abc", 3);
    must_count(store, "bucket", 1, 3);
}

static int local_setup(void **state) {
    fault_plan_set((struct fault_plan){0});
    return store_setup(state);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, local_setup, store_teardown)

int main(int count, char **arguments) {
    if (count == 3 && strcmp(arguments[1], "crash") == 0)
        return crash_at_commit(arguments[2]);
    fault_io_install();
    fixture_ops = &tvs_local_driver;
    const struct CMUnitTest tests[] = {
        TEST(test_faults_of_a_put),
        TEST(test_faults_of_a_put_with_gaps),
        TEST(test_full_disk_is_said_early),
        TEST(test_what_file_systems_refuse),
        TEST(test_failing_reads),
        TEST(test_failing_unlink),
        TEST(test_failed_index_write_ends_the_process),
    };
    return cmocka_run_group_tests_name("the local store on a bad disk", tests, NULL, NULL);
}
