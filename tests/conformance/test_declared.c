/* test_declared.c - puts that declare a digest, in any driver: what matches is published, what doesn't leaves the old object. */
#include "fixture.h"

#include <sodium.h>
#include <stdlib.h>

#define K ((uint64_t)1024)
#define B TV_BLOCK_BYTES

static const struct put_how plain;

static const enum tvs_digest_kind kinds[] = {TVS_DIGEST_SHA256, TVS_DIGEST_BLAKE2B};
#define KIND_COUNT (sizeof kinds / sizeof *kinds)

/* Straight from the library: what the driver's hashing along must come to. */
static struct tvs_declared_digest digest_of(enum tvs_digest_kind kind, const char *bytes, size_t size) {
    struct tvs_declared_digest digest = {.kind = kind, .has_value = true};
    if (kind == TVS_DIGEST_SHA256)
        crypto_hash_sha256(digest.value, (const unsigned char *)bytes, size);
    else
        crypto_generichash_blake2b(digest.value, TVS_BLAKE2B_BYTES, (const unsigned char *)bytes, size, NULL, 0);
    return digest;
}

static bool keeps_bytes(void) {
    return fixture_ops != &tvs_null_driver;
}

static void must_still_hold(struct store *store, const char *key, const char *bytes, size_t size) {
    if (keeps_bytes())
        must_hold(store, "bucket", key, bytes, size);
}

static const struct {
    const char *name;
    size_t size;
    struct put_how how;
} rows[] = {
    {"an empty one", 0, {0}},
    {"a small one", 1000, {0}},
    {"a small one in one step", 1000, {.small = true}},
    {"an empty one in one step", 0, {.small = true}},
    {"the largest small one, in one step", 64 * K, {.small = true}},
    {"the smallest large one", 64 * K + 1, {0}},
    {"whole blocks", 4 * B, {0}},
    {"whole blocks and a bit", 5 * B + 77, {0}},
    {"in odd pieces", 5 * B + 77, {.write_bytes = 100003, .iov_bytes = 30011}},
    {"from memory that isn't aligned", 5 * B + 77, {.write_bytes = 262144, .shift = 1}},
};

#define ROW_COUNT (sizeof rows / sizeof *rows)

static void test_right_and_wrong(void **state) {
    struct store *store = *state;
    for (size_t i = 0; i < ROW_COUNT; i++) {
        print_message("    %s\n", rows[i].name);
        char *bytes = bytes_make(rows[i].size, i);
        for (size_t k = 0; k < KIND_COUNT; k++) {
            struct tvs_declared_digest digest = digest_of(kinds[k], bytes, rows[i].size);
            struct put_how how = rows[i].how;
            how.options.digest = &digest;
            trove_error error = {0};
            must(put_object(store, "bucket", "old", "old", 3, NULL, &error), &error);
            must(put_object(store, "bucket", "new", bytes, rows[i].size, &how, &error), &error);
            must_still_hold(store, "new", bytes, rows[i].size);
            digest.value[31] ^= 0x40;
            must_fail(put_object(store, "bucket", "old", bytes, rows[i].size, &how, &error), TROVE_DATA_LOSS, &error,
                      k == 0 ? "SHA-256" : "BLAKE2b");
            must_still_hold(store, "old", "old", 3);
        }
        free(bytes);
    }
}

static void test_what_goes_back_is_hashed_again(void **state) {
    struct store *store = *state;
    static const uint64_t backs[] = {0, 1000, B, 3 * B + 5, 4 * B, 5 * B + 77};
    size_t size = (size_t)(5 * B + 77);
    char *first = bytes_make(size, 1), *bytes = bytes_make(size, 1), *second = bytes_make(size, 2);
    for (size_t i = 0; i < sizeof backs / sizeof *backs; i++) {
        size_t back = (size_t)backs[i];
        memcpy(bytes, first, back);
        memcpy(bytes + back, second + back, size - back);
        for (size_t k = 0; k < KIND_COUNT; k++) {
            struct tvs_declared_digest digest = digest_of(kinds[k], bytes, size);
            struct put_how how = {.options.digest = &digest};
            trove_error error = {0};
            struct tvs_put *put;
            must(put_uncommitted(store, "bucket", "object", first, size, &how, &put, &error), &error);
            trove_status status = store->ops->put_rewind(put, back, &error);
            if (!keeps_bytes() && back != 0 && back != size) {
                must_fail(status, TROVE_UNIMPLEMENTED, &error, "digest");
                store->ops->put_abort(put);
                continue;
            }
            must(status, &error);
            must(put_more(store, put, bytes, back, size, &plain, &error), &error);
            must(put_commit_wait(store, put, NULL, &error), &error);
            must_still_hold(store, "object", bytes, size);
        }
    }
    free(second);
    free(bytes);
    free(first);
}

/* A pipe's digest is known when all of it was read. */
static void test_said_at_the_end(void **state) {
    struct store *store = *state;
    size_t size = (size_t)(B + 5);
    char *bytes = bytes_make(size, 1);
    for (size_t k = 0; k < KIND_COUNT; k++) {
        struct tvs_declared_digest right = digest_of(kinds[k], bytes, size), wrong = right, none = {.kind = kinds[k]};
        wrong.value[0] ^= 1;
        struct put_how how = {.options.digest = &none};
        trove_error error = {0};
        struct tvs_put *put;
        must(put_uncommitted(store, "bucket", "object", bytes, size, &how, &put, &error), &error);
        must(store->ops->put_expect(put, &right, &error), &error);
        must(put_commit_wait(store, put, NULL, &error), &error);
        must_still_hold(store, "object", bytes, size);

        must(put_uncommitted(store, "bucket", "object", "wrong", 5, &how, &put, &error), &error);
        must(store->ops->put_expect(put, &wrong, &error), &error);
        must_fail(put_commit_wait(store, put, NULL, &error), TROVE_DATA_LOSS, &error, "declared");

        must(put_uncommitted(store, "bucket", "object", bytes, size, &how, &put, &error), &error);
        must_fail(put_commit_wait(store, put, NULL, &error), TROVE_INVALID_ARGUMENT, &error, "never given");

        must(put_uncommitted(store, "bucket", "object", bytes, size, NULL, &put, &error), &error);
        must_fail(store->ops->put_expect(put, &right, &error), TROVE_INVALID_ARGUMENT, &error, "at the beginning");
        must(put_commit_wait(store, put, NULL, &error), &error);
        must_still_hold(store, "object", bytes, size);
    }
    free(bytes);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, store_setup, store_teardown)

int main(int count, char **arguments) {
    fixture_choose(count, arguments);
    const struct CMUnitTest tests[] = {TEST(test_right_and_wrong), TEST(test_what_goes_back_is_hashed_again),
                                       TEST(test_said_at_the_end)};
    return cmocka_run_group_tests_name("puts that declare a digest", tests, NULL, NULL) != 0;
}
