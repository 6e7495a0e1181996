/* test_uploads.c - the life of a resumable upload in any driver that has them: what is flushed is gone on with, by whoever came
 * last, and in the end it is as if all had been put in one go. (Who holds it, and what is told again: test_upload_holders.c.)
 */
#include "uploads.h"

#include <sodium.h>
#include <stdlib.h>
#include <time.h>

#define K ((uint64_t)1024)
#define B TV_BLOCK_BYTES

static const struct put_how ways[] = {{.write_bytes = 0},
                                      {.write_bytes = 100003, .iov_bytes = 30011},
                                      {.write_bytes = 262144, .shift = 1},
                                      {.write_bytes = 500001}};
#define WAY_COUNT (sizeof ways / sizeof *ways)

/* ---- going on -------------------------------------------------------------------------------------------------------- */

/* Flushed at `flushed`, gone at `lost`, gone on with up to `size`. */
static const struct row {
    const char *name;
    uint64_t flushed, lost, size;
} rows[] = {
    {"nothing at all", 0, 0, 0},
    {"nothing before", 0, 0, 3 * B + 5},
    {"nothing flushed of a small one", 0, 1000, 2000},
    {"nothing flushed of a large one", 0, 3 * B + 5, 4 * B},
    {"nothing flushed, then nothing", 0, 3 * B + 5, 0},
    {"all of it", 3 * B + 5, 3 * B + 5, 3 * B + 5},
    {"all of whole blocks", 3 * B, 3 * B, 3 * B},
    {"a byte", 1, 1, 2},
    {"a small one that stays small", 1000, 1500, 2000},
    {"a small one that becomes large", 1000, 1500, 3 * B},
    {"a small one that was large, unflushed", 1000, 3 * B, 2000},
    {"the largest small one", 64 * K, 64 * K, 64 * K},
    {"the largest small one and a byte", 64 * K, 64 * K, 64 * K + 1},
    {"the smallest large one", 64 * K + 1, 64 * K + 1, 64 * K + 1},
    {"all but a byte of a block", B - 1, B - 1, B},
    {"a block", B, B + 7, 2 * B},
    {"a block and a byte", B + 1, 2 * B, 2 * B + 1},
    {"inside a page", B + 4095, 3 * B, 3 * B},
    {"a page's end", B + 4096, 3 * B, 3 * B},
    {"inside a block, the rest lost", 5 * B + 100000, 9 * B + 77, 12 * B + 3},
    {"a block's end, the rest lost", 5 * B, 9 * B + 77, 12 * B + 3},
    {"inside a block, less than was lost", 5 * B + 100000, 9 * B + 77, 6 * B},
    {"inside a block, then nothing more", 5 * B + 100000, 9 * B + 77, 5 * B + 100000},
};

#define ROW_COUNT (sizeof rows / sizeof *rows)

static void run_row(struct store *store, const struct row *row, const struct put_how *how, bool restart) {
    char *bytes = bytes_make((size_t)(13 * B), 1), *others = bytes_make((size_t)(13 * B), 2);
    trove_error error = {0};
    struct told told;
    memcpy(others, bytes, (size_t)row->flushed);
    struct tvs_put *put = must_begin(store, "object", NULL, &told);
    assert_int_equal(told.epoch, 1);
    assert_int_equal(told.durable_offset, 0);
    must(put_more(store, put, bytes, 0, (size_t)row->flushed, how, &error), &error);
    if (row->flushed > 0)
        must_flush(store, put, row->flushed);
    must(put_more(store, put, others, (size_t)row->flushed, (size_t)row->lost, how, &error), &error);
    put_read_hold(store, put, others, 0, row->lost);
    lose_holder(store, put, restart);
    put = must_attach(store, &told.id, row->flushed, &told);
    assert_int_equal(told.epoch, 2);
    put_read_hold(store, put, bytes, 0, row->flushed);
    must(put_more(store, put, bytes, (size_t)row->flushed, (size_t)row->size, how, &error), &error);
    put_read_hold(store, put, bytes, 0, row->size);
    must_commit(store, put);
    must_be_plain(store, "object", bytes, row->size);
    free(others);
    free(bytes);
}

static void test_gone_on_with(void **state) {
    for (size_t i = 0; i < ROW_COUNT; i++) {
        print_message("    %s\n", rows[i].name);
        for (size_t w = 0; w < WAY_COUNT; w++)
            run_row(*state, &rows[i], &ways[w], w % 2 == 0);
    }
}

/* Many flushes, in the block and beyond it, and a new holder after each. */
static void test_again_and_again(void **state) {
    struct store *store = *state;
    static const uint64_t offsets[] = {1, 5, 4096, 70000, 70001, B - 1, B, B + 9, 2 * B - 4096, 4 * B, 4 * B + 100, 7 * B + 5};
    char *bytes = bytes_make((size_t)(8 * B), 1);
    struct told told;
    struct tvs_put *put = must_begin(store, "object", NULL, &told);
    uint64_t at = 0;
    for (size_t i = 0; i < sizeof offsets / sizeof *offsets; i++) {
        must_write(store, put, bytes, at, offsets[i]);
        must_flush(store, put, offsets[i]);
        must_flush(store, put, offsets[i]); /* costs nothing, changes nothing */
        at = offsets[i];
        if (i % 3 == 1)
            continue;
        lose_holder(store, put, i % 2 == 0);
        put = must_attach(store, &told.id, at, &told);
    }
    must_write(store, put, bytes, at, 8 * B);
    must_commit(store, put);
    must_be_plain(store, "object", bytes, 8 * B);
    free(bytes);
}

static void test_it_is_described_as_begun(void **state) {
    struct store *store = *state;
    const trove_metadata pairs[] = {{.key = "color", .value = "green"}, {.key = "empty", .value = ""}};
    struct begin_how how = {.put = {.content_type = "text/plain", .metadata = pairs, .metadata_count = 2, .size_hint = 3 * B}};
    char *bytes = bytes_make((size_t)(3 * B), 1);
    trove_error error = {0};
    struct told told, before;
    struct tvs_put *put = must_begin(store, "object", &how, &before);
    assert_string_equal(before.bucket, "bucket");
    assert_string_equal(before.key, "object");
    assert_string_equal(before.principal, "alice");
    assert_int_equal(before.size_hint, 3 * B);
    must_write(store, put, bytes, 0, B);
    must_flush(store, put, B);
    lose_holder(store, put, true);
    put = must_attach(store, &before.id, B, &told);
    assert_string_equal(told.bucket, "bucket");
    assert_string_equal(told.key, "object");
    assert_int_equal(told.size_hint, 3 * B);
    assert_int_equal(told.created_ns, before.created_ns);
    must_write(store, put, bytes, B, 3 * B);
    struct tvs_object object = {0}, head = {0};
    must(put_commit_wait(store, put, &object, &error), &error);
    must(store->ops->head(store->driver, "bucket", "object", &head, &error), &error);
    assert_string_equal(head.content_type, "text/plain");
    assert_int_equal(head.metadata_count, 2);
    assert_string_equal(head.metadata[0].value, "green");
    assert_int_equal(head.generation, object.generation);
    tvs_object_fini(&head);
    tvs_object_fini(&object);
    free(bytes);
}

/* ---- going back ------------------------------------------------------------------------------------------------------ */

static void test_not_below_what_was_flushed(void **state) {
    struct store *store = *state;
    static const uint64_t flushes[] = {1000, 64 * K + 100, B + 5, 2 * B, 3 * B + 100000};
    char *bytes = bytes_make((size_t)(6 * B), 1), *others = bytes_make((size_t)(6 * B), 2);
    for (size_t i = 0; i < sizeof flushes / sizeof *flushes; i++) {
        uint64_t flushed = flushes[i];
        trove_error error = {0};
        struct told told;
        struct tvs_put *put = must_begin(store, "object", NULL, &told);
        must_write(store, put, bytes, 0, flushed);
        must_flush(store, put, flushed);
        must_write(store, put, others, flushed, 5 * B);
        must_fail(store->ops->put_rewind(put, flushed - 1, &error), TROVE_FAILED_PRECONDITION, &error, "durable");
        must_fail(store->ops->put_rewind(put, 0, &error), TROVE_FAILED_PRECONDITION, &error, "durable");
        must(store->ops->put_rewind(put, 4 * B + 7, &error), &error);
        must(store->ops->put_rewind(put, flushed, &error), &error);
        must_write(store, put, bytes, flushed, flushed + 10);
        /* Nothing of what was durable is hurt by having gone back to it. */
        lose_holder(store, put, i % 2 == 0);
        put = must_attach(store, &told.id, flushed, &told);
        put_read_hold(store, put, bytes, 0, flushed);
        must_write(store, put, bytes, flushed, 6 * B);
        must(store->ops->put_rewind(put, 5 * B, &error), &error);
        must_write(store, put, bytes, 5 * B, 6 * B);
        must_commit(store, put);
        must_be_plain(store, "object", bytes, 6 * B);
    }
    free(others);
    free(bytes);
}

/* ---- digests --------------------------------------------------------------------------------------------------------- */

static void test_declared_digests(void **state) {
    struct store *store = *state;
    static const uint64_t flushes[] = {0, 1000, B, 3 * B + 77};
    char *bytes = bytes_make((size_t)(5 * B + 9), 1), *others = bytes_make((size_t)(5 * B + 9), 2);
    struct tvs_declared_digest digests[2] = {{.kind = TVS_DIGEST_SHA256, .has_value = true},
                                             {.kind = TVS_DIGEST_BLAKE2B, .has_value = true}};
    crypto_hash_sha256(digests[0].value, (const unsigned char *)bytes, 5 * B + 9);
    crypto_generichash_blake2b(digests[1].value, TVS_BLAKE2B_BYTES, (const unsigned char *)bytes, 5 * B + 9, NULL, 0);
    for (size_t i = 0; i < 2 * sizeof flushes / sizeof *flushes; i++) {
        uint64_t flushed = flushes[i / 2];
        trove_error error = {0};
        struct begin_how how = {.put.digest = &digests[i % 2]};
        struct told told;
        struct tvs_put *put = must_begin(store, "object", &how, &told);
        must_write(store, put, bytes, 0, flushed);
        must_flush(store, put, flushed);
        must_write(store, put, others, flushed, 4 * B);
        lose_holder(store, put, true);
        put = must_attach(store, &told.id, flushed, &told);
        must_write(store, put, others, flushed, 5 * B + 9);
        must_fail(put_commit_wait(store, put, NULL, &error), TROVE_DATA_LOSS, &error, "declared");
        put = must_attach(store, &told.id, flushed, &told);
        must_write(store, put, bytes, flushed, 5 * B + 9);
        must(store->ops->put_rewind(put, 4 * B + 1, &error), &error);
        must_write(store, put, bytes, 4 * B + 1, 5 * B + 9);
        must_commit(store, put);
        must_be_plain(store, "object", bytes, 5 * B + 9);
    }
    free(others);
    free(bytes);
}

/* What the digest must be is said by each holder anew. */
static void test_digests_said_at_the_end(void **state) {
    struct store *store = *state;
    const struct tvs_declared_digest none = {.kind = TVS_DIGEST_SHA256};
    struct tvs_declared_digest right = {.kind = TVS_DIGEST_SHA256, .has_value = true}, wrong = right;
    trove_error error = {0};
    struct told told;
    crypto_hash_sha256(right.value, (const unsigned char *)"abcdef", 6);
    struct tvs_put *put = must_begin(store, "object", &(struct begin_how){.put.digest = &none}, &told);
    must_write(store, put, "abc", 0, 3);
    must_flush(store, put, 3);
    must(store->ops->put_expect(put, &wrong, &error), &error);
    must_write(store, put, "abcdef", 3, 6);
    must_fail(put_commit_wait(store, put, NULL, &error), TROVE_DATA_LOSS, &error, "declared");
    put = must_attach(store, &told.id, 3, &told);
    must_write(store, put, "abcdef", 3, 6);
    must_fail(put_commit_wait(store, put, NULL, &error), TROVE_INVALID_ARGUMENT, &error, "never given");
    put = must_attach(store, &told.id, 3, &told);
    must(store->ops->put_expect(put, &right, &error), &error);
    must_write(store, put, "abcdef", 3, 6);
    must_commit(store, put);
    must_hold(store, "bucket", "object", "abcdef", 6);
}

/* ---- at random ------------------------------------------------------------------------------------------------------- */

static uint64_t draw(uint64_t *random, uint64_t below) {
    *random = *random * 6364136223846793005u + 1442695040888963407u;
    return below > 0 ? (*random >> 33) % below : 0;
}

/* Whatever happens in between, the durable offset is the last one told, and what comes out is what stood there in the end. */
static void test_random_steps(void **state) {
    struct store *store = *state;
    const char *given = getenv("TROVE_TEST_SEED");
    uint64_t seed = given != NULL ? strtoull(given, NULL, 0) : (uint64_t)time(NULL), random = seed;
    print_message("TROVE_TEST_SEED=%llu\n", (unsigned long long)seed);
    int rounds = getenv("TROVE_TEST_LONG") != NULL ? 300 : 12;
    char *bytes = calloc(1, (size_t)(40 * B));
    for (int round = 0; round < rounds; round++) {
        trove_error error = {0};
        struct told told;
        struct tvs_put *put = must_begin(store, "object", NULL, &told), *older = NULL;
        uint64_t size = 0, flushed = 0, step_bytes = draw(&random, 3) == 0 ? 30 * K : 3 * B;
        for (int i = 0; i < 12; i++) {
            uint64_t what = draw(&random, 6), more = draw(&random, step_bytes);
            if (what < 3) {
                char *own = bytes_make((size_t)(size + more), random);
                memcpy(bytes + size, own + size, (size_t)more);
                free(own);
                must(put_more(store, put, bytes, (size_t)size, (size_t)(size + more), &ways[draw(&random, WAY_COUNT)], &error),
                     &error);
                size += more;
            } else if (what == 3) {
                must_flush(store, put, size);
                flushed = size;
            } else if (what == 4) {
                size = flushed + draw(&random, size - flushed + 1);
                must(store->ops->put_rewind(put, size, &error), &error);
            } else {
                if (older != NULL)
                    store->ops->put_abort(older);
                older = put;
                if (draw(&random, 2) == 0) {
                    lose_holder(store, put, true);
                    older = NULL;
                }
                put = must_attach(store, &told.id, flushed, &told);
                size = flushed;
            }
        }
        put_read_hold(store, put, bytes, 0, size);
        must_commit(store, put);
        if (older != NULL)
            store->ops->put_abort(older);
        must_be_plain(store, "object", bytes, size);
    }
    free(bytes);
}

/* ---- what it costs, where it ends ------------------------------------------------------------------------------------ */

static void test_memory_is_given_back(void **state) {
    struct store *store = *state;
    char *bytes = bytes_make((size_t)(12 * B), 1);
    store_close(store);
    store->config.memory_bytes = 4 * TV_MIB;
    store_open(store);
    (void)!store->ops->bucket_create(store->driver, "bucket", NULL);
    for (int round = 0; round < 30; round++) {
        struct told told;
        trove_error error = {0};
        struct tvs_put *put = must_begin(store, "object", NULL, &told);
        must_write(store, put, bytes, 0, 12 * B);
        must_flush(store, put, 12 * B);
        if (round % 3 == 0) {
            must_commit(store, put);
            must(store->ops->delete (store->driver, "bucket", "object", NULL, &error), &error);
        } else if (round % 3 == 1) {
            must_abort(store, &told.id);
            store->ops->put_abort(put);
        } else {
            store->ops->put_abort(put);
            must_collect(store, told.expires_ns + DAY_NS, 10);
        }
    }
    free(bytes);
}

static void test_a_restart(void **state) {
    struct store *store = *state;
    struct told told;
    struct tvs_put *put = must_begin(store, "object", NULL, &told);
    must_write(store, put, "abc", 0, 3);
    must_flush(store, put, 3);
    store->ops->put_abort(put);
    store_close(store);
    store_open(store);
    if (survives_restart()) {
        put = must_attach(store, &told.id, 3, &told);
        must_commit(store, put);
        must_hold(store, "bucket", "object", "abc", 3);
    } else {
        must_be_gone(store, &told.id);
    }
}

static void test_unimplemented(void **state) {
    struct store *store = *state;
    struct told told;
    trove_error error = {0};
    const struct tvs_upload_id id = {{1}};
    struct tvs_put *put;
    bool more;
    uint32_t removed;
    upload_begin(store, "bucket", "object", NULL, &told);
    must_fail(told.status, TROVE_UNIMPLEMENTED, &told.error, "null");
    upload_attach(store, &id, "alice", &told);
    must_fail(told.status, TROVE_UNIMPLEMENTED, &told.error, "null");
    upload_abort(store, &id, "alice", &told);
    must_fail(told.status, TROVE_UNIMPLEMENTED, &told.error, "null");
    must_fail(upload_stat(store, &id, NULL, &told), TROVE_UNIMPLEMENTED, &told.error, "null");
    must_fail(store->ops->upload_open(store->driver, &id, 1, &put, &error), TROVE_UNIMPLEMENTED, &error, "null");
    struct tvs_upload_cursor cursor = {0};
    must_fail(store->ops->upload_list(store->driver, "", &cursor, 1, NULL, NULL, &more, &error), TROVE_UNIMPLEMENTED, &error,
              "null");
    must_fail(store->ops->upload_collect(store->driver, 0, 1, &removed, &more, &error), TROVE_UNIMPLEMENTED, &error, "null");
    must(put_uncommitted(store, "bucket", "object", "abc", 3, NULL, &put, &error), &error);
    upload_flush(store, put, &told);
    must_fail(told.status, TROVE_UNIMPLEMENTED, &told.error, "null");
    store->ops->put_abort(put);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, relaxed_setup, store_teardown)

int main(int count, char **arguments) {
    fixture_choose(count, arguments);
    const struct CMUnitTest tests[] = {
        TEST(test_gone_on_with),
        TEST(test_again_and_again),
        TEST(test_it_is_described_as_begun),
        TEST(test_not_below_what_was_flushed),
        TEST(test_declared_digests),
        TEST(test_digests_said_at_the_end),
        TEST(test_random_steps),
        TEST(test_memory_is_given_back),
        TEST(test_a_restart),
    };
    const struct CMUnitTest without[] = {TEST(test_unimplemented)};
    if (!can_resume())
        return cmocka_run_group_tests_name("no resumable uploads", without, NULL, NULL) != 0;
    return cmocka_run_group_tests_name("resumable uploads", tests, NULL, NULL) != 0;
}
