/* test_local_unfinished.c - unfinished puts of the local driver that go back or are read: their files, damage, failing calls. */
#include "fault_io.h"
#include "fixture.h"
#include "local_disk.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#define K ((uint64_t)1024)
#define B TV_BLOCK_BYTES

static const struct put_how plain;

static trove_status read_range(struct store *store, struct tvs_put *put, uint64_t from, uint64_t to, trove_error *error) {
    static _Alignas(4096) char area[TV_PAYLOAD_BYTES_MAX];
    struct tv_data data = {.offset = from};
    for (char *at = area; from < to; at += B, from += B) {
        size_t block = (size_t)(to - from < B ? to - from : B);
        data.iov[data.iov_count++] = (struct iovec){at, block};
        data.bytes += block;
    }
    return store->ops->put_read(put, &data, error);
}

/* ---- files ------------------------------------------------------------------------------------------------------------ */

static void test_files_of_what_goes_back(void **state) {
    struct store *store = *state;
    char *bytes = bytes_make((size_t)(20 * B), 1), path[LOCAL_PATH_BYTES];
    trove_error error = {0};
    struct tvs_put *put;
    must(put_uncommitted(store, "bucket", "object", bytes, (size_t)(20 * B), NULL, &put, &error), &error);
    assert_int_equal(count_files(store, path), 1);
    assert_true(disk_bytes(path) >= 20 * B);
    must(store->ops->put_rewind(put, 3 * B + 5, &error), &error);
    assert_int_equal(count_files(store, path), 1);
    assert_true(disk_bytes(path) <= 4 * B);
    must(store->ops->put_rewind(put, 64 * K + 1, &error), &error);
    assert_int_equal(count_files(store, NULL), 1);
    must(store->ops->put_rewind(put, 64 * K, &error), &error);
    assert_int_equal(count_files(store, NULL), 0);
    must(put_more(store, put, bytes, (size_t)(64 * K), (size_t)(3 * B), &plain, &error), &error);
    assert_int_equal(count_files(store, NULL), 1);
    must(store->ops->put_rewind(put, 1000, &error), &error);
    must(put_commit_wait(store, put, NULL, &error), &error);
    assert_int_equal(count_files(store, NULL), 0);
    must_hold(store, "bucket", "object", bytes, 1000);
    store_close(store);
    store_open(store);
    must_hold(store, "bucket", "object", bytes, 1000);
    must_count(store, "bucket", 1, 1000);
    free(bytes);
}

/* A gap where bytes were is a hole, and reads as zeros. */
static void test_gaps_over_old_bytes(void **state) {
    struct store *store = *state;
    char *bytes = bytes_make((size_t)(20 * B), 1), path[LOCAL_PATH_BYTES];
    trove_error error = {0};
    struct tvs_put *put;
    must(put_uncommitted(store, "bucket", "object", bytes, (size_t)(20 * B), NULL, &put, &error), &error);
    must(store->ops->put_rewind(put, B + 77, &error), &error);
    must(store->ops->put_gap(put, B + 77, 17 * B, &error), &error);
    memset(bytes + B + 77, 0, (size_t)(17 * B));
    put_read_hold(store, put, bytes, 0, 18 * B + 77);
    must(put_more(store, put, bytes, (size_t)(18 * B + 77), (size_t)(20 * B), &plain, &error), &error);
    must(put_commit_wait(store, put, NULL, &error), &error);
    must_hold(store, "bucket", "object", bytes, (size_t)(20 * B));
    assert_int_equal(count_files(store, path), 1);
    assert_true(disk_bytes(path) <= 5 * B);
    free(bytes);
}

static void test_what_file_systems_refuse(void **state) {
    struct store *store = *state;
    char *bytes = bytes_make((size_t)(12 * B), 1);
    const struct fault_plan plans[] = {
        {.refuse_alignment = true}, {.short_moves = true}, {.refuse_direct = true}, {.refuse_direct = true, .short_moves = true}};
    const struct put_how ways[] = {{.write_bytes = 0}, {.write_bytes = 300001}, {.write_bytes = 262144, .shift = 8}};
    static const uint64_t backs[] = {9 * B + 5, 4 * B, 3 * B + 4096, 70000, 100, 0};
    for (size_t p = 0; p < sizeof plans / sizeof *plans; p++) {
        for (size_t w = 0; w < sizeof ways / sizeof *ways; w++) {
            fault_plan_set(plans[p]);
            trove_error error = {0};
            struct tvs_put *put;
            must(put_uncommitted(store, "bucket", "object", bytes, (size_t)(12 * B), NULL, &put, &error), &error);
            for (size_t b = 0; b < sizeof backs / sizeof *backs; b++) {
                must(store->ops->put_rewind(put, backs[b], &error), &error);
                must(put_more(store, put, bytes, (size_t)backs[b], (size_t)(11 * B + 9), &ways[w], &error), &error);
                put_read_hold(store, put, bytes, 0, 11 * B + 9);
            }
            must(put_commit_wait(store, put, NULL, &error), &error);
            must_hold(store, "bucket", "object", bytes, (size_t)(11 * B + 9));
        }
    }
    free(bytes);
}

/* ---- damage ----------------------------------------------------------------------------------------------------------- */

static void test_damage_is_found_by_readers(void **state) {
    struct store *store = *state;
    char *bytes = bytes_make((size_t)(8 * B), 1), path[LOCAL_PATH_BYTES];
    trove_error error = {0};
    struct tvs_put *put;
    must(put_uncommitted(store, "bucket", "object", bytes, (size_t)(8 * B), NULL, &put, &error), &error);
    assert_int_equal(count_files(store, path), 1);
    static const struct {
        off_t offset;
        const char *word;
    } damages[] = {
        {0, "bytes from 0 to 262144"}, {3 * B - 1, "bytes from 524288 to 786432"}, {3 * B, "bytes from 786432 to 1048576"}};
    for (size_t i = 0; i < sizeof damages / sizeof *damages; i++) {
        flip_byte(path, damages[i].offset);
        must_fail(read_range(store, put, 0, 4 * B, &error), TROVE_DATA_LOSS, &error, damages[i].word);
        assert_non_null(strstr(error.message, "bucket/object"));
        put_read_hold(store, put, bytes, 4 * B, 8 * B);
        flip_byte(path, damages[i].offset);
        put_read_hold(store, put, bytes, 0, 8 * B);
    }
    assert_int_equal(truncate(path, 2 * B), 0);
    must_fail(read_range(store, put, 0, 4 * B, &error), TROVE_DATA_LOSS, &error, "bucket/object");
    store->ops->put_abort(put);
    free(bytes);
}

/* A block that is damaged isn't hashed anew as if it were good; what isn't looked at doesn't matter. */
static void test_damage_is_found_by_going_back(void **state) {
    struct store *store = *state;
    char *bytes = bytes_make((size_t)(8 * B), 1);
    static const struct {
        const char *name;
        size_t put_bytes;
        off_t damaged;
        uint64_t back;
        const char *word; /* NULL: it isn't found, and needn't be */
    } rows[] = {
        {"in what is kept of a whole block", 8 * B, 2 * B + 5, 2 * B + 1000, "bytes from 524288 to 786432"},
        {"in what is forgotten of it", 8 * B, 2 * B + 5000, 2 * B + 1000, "bytes from 524288 to 786432"},
        {"in what is kept of the last block", 3 * B + 9 * 4096 + 7, 3 * B + 5, 3 * B + 1000, "bytes from 786432 to"},
        {"in a block before", 8 * B, B + 5, 2 * B + 1000, NULL},
        {"in a block behind", 8 * B, 3 * B + 5, 2 * B + 1000, NULL},
        {"right behind a block's end", 8 * B, 2 * B, 2 * B, NULL},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        print_message("    %s\n", rows[i].name);
        char path[LOCAL_PATH_BYTES];
        trove_error error = {0};
        struct tvs_put *put;
        /* In two steps, so that a part of a block lies in the file. */
        must(put_uncommitted(store, "bucket", "object", bytes, rows[i].put_bytes, NULL, &put, &error), &error);
        if (rows[i].put_bytes % B != 0) {
            must(store->ops->put_gap(put, rows[i].put_bytes, 20000, &error), &error);
        }
        assert_int_equal(count_files(store, path), 1);
        flip_byte(path, rows[i].damaged);
        trove_status status = store->ops->put_rewind(put, rows[i].back, &error);
        if (rows[i].word != NULL) {
            must_fail(status, TROVE_DATA_LOSS, &error, rows[i].word);
            assert_non_null(strstr(error.message, "bucket/object"));
        } else {
            must(status, &error);
        }
        store->ops->put_abort(put);
        assert_int_equal(count_files(store, NULL), 0);
    }
    free(bytes);
}

/* ---- failing calls ---------------------------------------------------------------------------------------------------- */

static const struct {
    int number;
    trove_status status;
} errors[] = {{ENOSPC, TROVE_RESOURCE_EXHAUSTED}, {EIO, TROVE_DATA_LOSS}, {EMFILE, TROVE_RESOURCE_EXHAUSTED}};

/* Puts, goes back a few times, puts the rest and commits; each of these may be what fails. */
static trove_status put_to_and_fro(struct store *store, const char *bytes, trove_error *error) {
    static const uint64_t backs[] = {5 * B + 70000, 3 * B, 2 * B + 9, 64 * K, 0};
    struct tvs_put *put;
    trove_status status = put_uncommitted(store, "bucket", "object", bytes, (size_t)(6 * B), NULL, &put, error);
    if (status != TROVE_OK)
        return status;
    for (size_t i = 0; i < sizeof backs / sizeof *backs && status == TROVE_OK; i++) {
        status = store->ops->put_rewind(put, backs[i], error);
        if (status == TROVE_OK)
            status = put_more(store, put, bytes, (size_t)backs[i], (size_t)(6 * B), &plain, error);
    }
    if (status == TROVE_OK)
        return put_commit_wait(store, put, NULL, error);
    store->ops->put_abort(put);
    return status;
}

static void test_faults_of_going_back(void **state) {
    struct store *store = *state;
    static const enum fault_call calls[] = {FAULT_OPEN, FAULT_READ, FAULT_WRITE, FAULT_SET_LENGTH, FAULT_SYNC};
    char *old = bytes_make(400000, 1), *new = bytes_make((size_t)(6 * B), 2);
    must_put(store, "bucket", "object", old, 400000);
    for (size_t c = 0; c < sizeof calls / sizeof *calls; c++) {
        for (size_t e = 0; e < sizeof errors / sizeof *errors; e++) {
            unsigned nth = 0;
            do {
                fault_plan_set((struct fault_plan){.call = calls[c], .nth = ++nth, .error_number = errors[e].number});
                trove_error error = {0};
                trove_status status = put_to_and_fro(store, new, &error);
                if (atomic_load(&fault_hits) == 0) {
                    must(status, &error);
                    break;
                }
                must_fail(status, errors[e].status, &error, "bucket/object");
                fault_plan_set((struct fault_plan){0});
                must_hold(store, "bucket", "object", old, 400000);
            } while (nth < 200);
            assert_true(nth > 1 && nth < 200);
            fault_plan_set((struct fault_plan){0});
            must_hold(store, "bucket", "object", new, (size_t)(6 * B));
            must_put(store, "bucket", "object", old, 400000);
        }
    }
    store_close(store);
    store_open(store);
    must_hold(store, "bucket", "object", old, 400000);
    must_count(store, "bucket", 1, 400000);
    assert_int_equal(count_files(store, NULL), 1);
    free(old);
    free(new);
}

/* A reader's failure is its own: the next one reads, the writer goes on. */
static void test_faults_of_reading(void **state) {
    struct store *store = *state;
    static const enum fault_call calls[] = {FAULT_OPEN, FAULT_READ};
    char *bytes = bytes_make((size_t)(6 * B), 1);
    for (size_t c = 0; c < sizeof calls / sizeof *calls; c++) {
        for (size_t e = 0; e < sizeof errors / sizeof *errors; e++) {
            trove_error error = {0};
            struct tvs_put *put;
            must(put_uncommitted(store, "bucket", "object", bytes, (size_t)(4 * B + 5), NULL, &put, &error), &error);
            fault_plan_set((struct fault_plan){.call = calls[c], .nth = 1, .error_number = errors[e].number});
            must_fail(read_range(store, put, B, 4 * B, &error), errors[e].status, &error, "bucket/object");
            assert_int_equal(atomic_load(&fault_hits), 1);
            put_read_hold(store, put, bytes, 0, 4 * B + 5);
            must(put_more(store, put, bytes, (size_t)(4 * B + 5), (size_t)(6 * B), &plain, &error), &error);
            put_read_hold(store, put, bytes, 0, 6 * B);
            must(put_commit_wait(store, put, NULL, &error), &error);
            must_hold(store, "bucket", "object", bytes, (size_t)(6 * B));
        }
    }
    free(bytes);
}

/* A hole needs no call to read, but one to make. */
static void test_faults_of_holes(void **state) {
    struct store *store = *state;
    char *bytes = bytes_make((size_t)(2 * B), 1);
    for (size_t e = 0; e < sizeof errors / sizeof *errors; e++) {
        trove_error error = {0};
        struct tvs_put *put;
        must(put_uncommitted(store, "bucket", "object", bytes, (size_t)(2 * B), NULL, &put, &error), &error);
        fault_plan_set((struct fault_plan){.call = FAULT_SET_LENGTH, .nth = 1, .error_number = errors[e].number});
        must_fail(store->ops->put_gap(put, 2 * B, 9 * B, &error), errors[e].status, &error, "bucket/object");
        store->ops->put_abort(put);
        fault_plan_set((struct fault_plan){0});
        assert_int_equal(count_files(store, NULL), 0);
    }
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
        TEST(test_files_of_what_goes_back),
        TEST(test_gaps_over_old_bytes),
        TEST(test_what_file_systems_refuse),
        TEST(test_damage_is_found_by_readers),
        TEST(test_damage_is_found_by_going_back),
        TEST(test_faults_of_going_back),
        TEST(test_faults_of_reading),
        TEST(test_faults_of_holes),
    };
    return cmocka_run_group_tests_name("unfinished puts in the local store", tests, NULL, NULL);
}
