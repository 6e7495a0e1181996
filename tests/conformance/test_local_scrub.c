/* test_local_scrub.c - what a scrub of the local store finds: bytes, checksums, files, rows that aren't what they were. */
#include "fault_io.h"
#include "local.h"
#include "local_disk.h"
#include "scrubs.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#define B ((off_t)262144)

static void must_find(struct store *store, const char *text, const char *word) {
    struct scrubbed scrubbed;
    trove_error error = {0};
    must(scrub_all(store, "", NULL, &scrubbed, &error), &error);
    assert_string_equal(scrubbed.text, text);
    if (strstr(scrubbed.last, word) == NULL)
        fail_msg("\"%s\" doesn't say \"%s\"", scrubbed.last, word);
    assert_int_equal(scrubbed.objects, 3);
}

/* Three objects, of which the second one has a file of 20 blocks and 5 bytes. */
static char *fill(struct store *store, char path[LOCAL_PATH_BYTES]) {
    char *bytes = bytes_make((size_t)(20 * B + 5), 1);
    must_put(store, "bucket", "a", bytes, 1000);
    must_put(store, "bucket", "file", bytes, (size_t)(20 * B + 5));
    must_put(store, "bucket", "z", bytes, 0);
    assert_int_equal(count_files(store, path), 1);
    return bytes;
}

static void test_damaged_blocks(void **state) {
    struct store *store = *state;
    static const struct {
        const char *name;
        off_t at[4];
        const char *text;
    } rows[] = {
        {"none", {-1, -1, -1, -1}, ""},
        {"the first", {0, -1, -1, -1}, "file 0+262144|"},
        {"the last", {20 * B + 4, -1, -1, -1}, "file 5242880+5|"},
        {"neighbours are told as one", {B, 2 * B + 7, 3 * B, -1}, "file 262144+786432|"},
        {"across runs of a mebibyte", {3 * B, 4 * B, -1, -1}, "file 786432+524288|"},
        {"across steps", {15 * B, 16 * B, -1, -1}, "file 3932160+262144|file 4194304+262144|"},
        {"apart", {0, 2 * B, 4 * B, 20 * B}, "file 0+262144|file 524288+262144|file 1048576+262144|file 5242880+5|"},
    };
    char path[LOCAL_PATH_BYTES];
    char *bytes = fill(store, path);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        print_message("    %s\n", rows[i].name);
        for (size_t d = 0; d < 4 && rows[i].at[d] >= 0; d++)
            flip_byte(path, rows[i].at[d]);
        must_find(store, rows[i].text, rows[i].text[0] == '\0' ? "" : "don't match their checksum");
        for (size_t d = 0; d < 4 && rows[i].at[d] >= 0; d++)
            flip_byte(path, rows[i].at[d]);
    }
    must_find(store, "", "");
    free(bytes);
}

static void test_damaged_checksums(void **state) {
    struct store *store = *state;
    char path[LOCAL_PATH_BYTES];
    char *bytes = fill(store, path);
    flip_byte(path, 20 * B + 5 + 2 * 8);
    must_find(store, "file 0+0|file 524288+262144|", "don't match their checksum");
    free(bytes);
}

static void test_damaged_files(void **state) {
    struct store *store = *state;
    char path[LOCAL_PATH_BYTES];
    char *bytes = fill(store, path);
    assert_int_equal(truncate(path, 20 * B + 5 + 8 * 8), 0);
    must_find(store, "file 0+5242885|", "bucket/file is damaged: the checksums of bytes from 2097152 to 5242885 are missing");
    assert_int_equal(truncate(path, 20 * B), 0);
    must_find(store, "file 0+5242885|", "bucket/file is damaged: bytes from 5242880 to 5242885 are missing");
    assert_int_equal(unlink(path), 0);
    must_find(store, "file 0+5242885|", "No such file");
    free(bytes);
}

/* Bytes in the index, changed behind RocksDB's checksums. */
static void test_damaged_inline_bytes(void **state) {
    struct store *store = *state;
    struct tvs_index *index = &tvs_local_of(store->driver)->index;
    char path[LOCAL_PATH_BYTES], *failure = NULL;
    char *bytes = fill(store, path);
    trove_error error = {0};
    struct tvs_object object = {0};
    must(store->ops->head(store->driver, "bucket", "a", &object, &error), &error);
    uint8_t key[8];
    tvs_index_key_inline(object.generation, key);
    tvs_object_fini(&object);
    bytes[999] = (char)(bytes[999] ^ 1);
    rocksdb_put_cf(index->db, index->write_options, index->inlined, (char *)key, sizeof key, bytes, 1000, &failure);
    assert_null(failure);
    must_find(store, "a 0+1000|", "don't match their checksum");
    char *got;
    size_t size;
    must_fail(get_object(store, "bucket", "a", 0, &got, &size, &error), TROVE_DATA_LOSS, &error, "bytes from 0 to 1000");
    must_fail(copy_object(store, "bucket", "a", "bucket", "copy", NULL, &object, &error), TROVE_DATA_LOSS, &error, "bucket/a");
    rocksdb_put_cf(index->db, index->write_options, index->inlined, (char *)key, sizeof key, bytes, 999, &failure);
    assert_null(failure);
    must_find(store, "a 0+1000|", "fewer or more");
    rocksdb_delete_cf(index->db, index->write_options, index->inlined, (char *)key, sizeof key, &failure);
    assert_null(failure);
    must_find(store, "a 0+1000|", "missing from the index");
    free(bytes);
}

static void change_row(struct store *store, const uint8_t *key, size_t key_bytes, const char *value, size_t bytes) {
    struct tvs_index *index = &tvs_local_of(store->driver)->index;
    char *failure = NULL;
    if (value == NULL)
        rocksdb_delete_cf(index->db, index->write_options, index->rows, (const char *)key, key_bytes, &failure);
    else
        rocksdb_put_cf(index->db, index->write_options, index->rows, (const char *)key, key_bytes, value, bytes, &failure);
    assert_null(failure);
}

static void test_damaged_rows(void **state) {
    struct store *store = *state;
    char path[LOCAL_PATH_BYTES];
    char *bytes = fill(store, path);
    struct tvs_local *local = tvs_local_of(store->driver);
    struct tvs_local_bucket *bucket;
    trove_error error = {0};
    must(tvs_local_bucket_acquire(&local->buckets, "bucket", &bucket, &error), &error);
    uint8_t key[TVS_INDEX_KEY_BYTES_MAX], owner_key[1 + TVS_FILE_ID_BYTES], value[TVS_OWNER_RECORD_BYTES_MAX];
    size_t key_bytes = tvs_index_key_object(bucket->id, "z", 1, key);
    struct tvs_file_id id;
    const char *slash = strrchr(path, '/');
    assert_true(tvs_file_id_parse((unsigned)strtoul(slash - 2, NULL, 16), slash + 1, &id));
    size_t owner_key_bytes = tvs_index_key_file(&id, owner_key);
    struct tvs_owner_record owner = {.bucket_id = bucket->id, .key = "fil", .key_bytes = 3};
    tvs_local_bucket_release(bucket);

    change_row(store, owner_key, owner_key_bytes, (const char *)value, tvs_owner_record_encode(&owner, value));
    must_find(store, "file 0+0|", "belongs to another object");
    change_row(store, owner_key, owner_key_bytes, NULL, 0);
    must_find(store, "file 0+0|", "has lost that its file has an owner");
    owner.key = "file";
    owner.key_bytes = 4;
    change_row(store, owner_key, owner_key_bytes, (const char *)value, tvs_owner_record_encode(&owner, value));
    must_find(store, "", "");
    change_row(store, key, key_bytes, "\1nonsense", 9);
    must_find(store, "z 0+0|", "row");
    free(bytes);
}

/* What can't be read for want of something isn't damage: the step is tried again. */
static void test_faults(void **state) {
    struct store *store = *state;
    char path[LOCAL_PATH_BYTES];
    char *bytes = fill(store, path);
    static const enum fault_call calls[] = {FAULT_OPEN, FAULT_READ};
    for (size_t c = 0; c < 2; c++) {
        for (unsigned nth = 1, hits = 1; hits > 0; nth++) {
            struct scrubbed scrubbed = {.steps = 0};
            struct tvs_scrub scrub = {.prefix = "", .visit = scrub_note, .context = &scrubbed};
            trove_error error = {0};
            fault_plan_set((struct fault_plan){.call = calls[c], .nth = nth, .error_number = ENOMEM});
            for (bool finished = false; !finished;)
                if (store->ops->scrub(store->driver, "bucket", &scrub, &finished, &error) != TROVE_OK)
                    assert_int_equal(error.status, TROVE_RESOURCE_EXHAUSTED);
            hits = atomic_load(&fault_hits);
            assert_int_equal(error.status != TROVE_OK, hits);
            assert_string_equal(scrubbed.text, "");
            assert_int_equal(scrub.objects, 3);
            assert_int_equal(scrub.bytes, 1000 + 20 * B + 5);
            assert_true(nth < 200);
        }
    }
    fault_plan_set((struct fault_plan){.call = FAULT_READ, .nth = 2, .error_number = EIO});
    must_find(store, "", ""); /* it was readable when it was looked at once more */
    free(bytes);
}

static int local_setup(void **state) {
    fault_plan_set((struct fault_plan){0});
    return relaxed_setup(state);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, local_setup, store_teardown)

int main(void) {
    fault_io_install();
    fixture_ops = &tvs_local_driver;
    const struct CMUnitTest tests[] = {
        TEST(test_damaged_blocks),       TEST(test_damaged_checksums), TEST(test_damaged_files),
        TEST(test_damaged_inline_bytes), TEST(test_damaged_rows),      TEST(test_faults),
    };
    return cmocka_run_group_tests_name("scrubs of the local store", tests, NULL, NULL);
}
