/* test_upload_holders.c - resumable uploads in any driver that has them: the same request again, completing asked again, who
 * holds an upload and whose it is.
 */
#include "uploads.h"

#include <stdlib.h>

#define B TV_BLOCK_BYTES

/* ---- the same request ------------------------------------------------------------------------------------------------ */

static void test_a_request_again_is_the_same_upload(void **state) {
    struct store *store = *state;
    struct begin_how how = {.request = 7};
    char *bytes = bytes_make((size_t)(3 * B), 1);
    trove_error error = {0};
    struct told first, told;
    upload_begin(store, "bucket", "object", &how, &first); /* whose answer was lost */
    must(first.status, &first.error);
    struct tvs_put *put = must_begin(store, "object", &how, &told);
    assert_memory_equal(&told.id, &first.id, sizeof first.id);
    assert_int_equal(told.epoch, 2);
    must_fail(store->ops->upload_open(store->driver, &first.id, first.epoch, &put, &error), TROVE_ABORTED, &error, "taken over");
    must_write(store, put, bytes, 0, B + 5);
    must_flush(store, put, B + 5);
    lose_holder(store, put, true);
    put = must_begin(store, "object", &how, &told);
    assert_memory_equal(&told.id, &first.id, sizeof first.id);
    assert_int_equal(told.epoch, 3);
    assert_int_equal(told.durable_offset, B + 5);
    must_write(store, put, bytes, B + 5, 3 * B);
    struct tvs_object object = {0};
    must(put_commit_wait(store, put, &object, &error), &error);
    upload_begin(store, "bucket", "object", &how, &told);
    must_tell_result(&told, &object);
    assert_memory_equal(&told.id, &first.id, sizeof first.id);
    tvs_object_fini(&object);

    how.principal = "bob";
    upload_begin(store, "bucket", "object", &how, &told);
    must(told.status, &told.error);
    assert_memory_not_equal(&told.id, &first.id, sizeof first.id);
    free(bytes);
}

/* What a begun condition or a lost race would say isn't said to who only asks again. */
static void test_a_request_again_whose_condition_has_come_true(void **state) {
    struct store *store = *state;
    struct begin_how how = {.request = 7, .put.conditions.if_none = true};
    struct told told;
    struct tvs_put *put = must_begin(store, "object", &how, &told);
    must_write(store, put, "abc", 0, 3);
    must_commit(store, put);
    upload_begin(store, "bucket", "object", &how, &told);
    must(told.status, &told.error);
    assert_true(told.complete);
    how.request = 8;
    upload_begin(store, "bucket", "object", &how, &told);
    must_fail(told.status, TROVE_FAILED_PRECONDITION, &told.error, "exists already");
}

static void test_a_request_for_something_else(void **state) {
    struct store *store = *state;
    const struct tvs_declared_digest digest = {.kind = TVS_DIGEST_SHA256};
    trove_error error = {0};
    struct told told;
    must(store->ops->bucket_create(store->driver, "other", &error), &error);
    struct begin_how how = {.request = 7};
    upload_begin(store, "bucket", "object", &how, &told);
    must(told.status, &told.error);
    upload_begin(store, "bucket", "another", &how, &told);
    must_fail(told.status, TROVE_INVALID_ARGUMENT, &told.error, "bucket/object");
    upload_begin(store, "other", "object", &how, &told);
    must_fail(told.status, TROVE_INVALID_ARGUMENT, &told.error, "bucket/object");
    how.put.size_hint = 5;
    upload_begin(store, "bucket", "object", &how, &told);
    must_fail(told.status, TROVE_INVALID_ARGUMENT, &told.error, "request id");
    how.put.size_hint = 0;
    how.put.digest = &digest;
    upload_begin(store, "bucket", "object", &how, &told);
    must_fail(told.status, TROVE_INVALID_ARGUMENT, &told.error, "request id");
    upload_begin(store, "nowhere", "object", NULL, &told);
    must_fail(told.status, TROVE_NOT_FOUND, &told.error, "nowhere");
}

/* ---- complete -------------------------------------------------------------------------------------------------------- */

static void test_complete_asked_again(void **state) {
    struct store *store = *state;
    const trove_metadata pair = {.key = "k", .value = "v"};
    struct begin_how how = {.put = {.content_type = "a/b", .metadata = &pair, .metadata_count = 1}};
    static const uint64_t sizes[] = {0, 1000, 3 * B + 5};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        char *bytes = bytes_make((size_t)sizes[i], 1);
        trove_error error = {0};
        struct told told;
        struct tvs_object object = {0};
        struct tvs_put *put = must_begin(store, "object", &how, &told), *none;
        must_write(store, put, bytes, 0, sizes[i]);
        if (i == 2)
            must_flush(store, put, sizes[i]);
        must(put_commit_wait(store, put, &object, &error), &error);
        for (int round = 0; round < 4; round++) {
            uint64_t epoch = told.epoch;
            upload_attach(store, &told.id, "alice", &told);
            must_tell_result(&told, &object);
            assert_int_equal(told.epoch, epoch);
            assert_int_equal(told.durable_offset, sizes[i]);
            must(upload_stat(store, &told.id, "alice", &told), &told.error);
            must_tell_result(&told, &object);
            must_fail(store->ops->upload_open(store->driver, &told.id, told.epoch, &none, &error), TROVE_FAILED_PRECONDITION,
                      &error, "complete");
            /* What becomes of the object then is another matter. */
            if (round == 1)
                must_put(store, "bucket", "object", "new", 3);
            if (round == 2 && survives_restart()) {
                store_close(store);
                store_open(store);
            }
        }
        must_hold(store, "bucket", "object", "new", 3);
        struct told aborted;
        upload_abort(store, &told.id, "alice", &aborted);
        must_fail(aborted.status, TROVE_FAILED_PRECONDITION, &aborted.error, "complete");
        tvs_object_fini(&object);
        free(bytes);
    }
}

/* A commit that fails takes nothing away: what was flushed is still there. */
static void test_a_commit_that_fails(void **state) {
    struct store *store = *state;
    char *bytes = bytes_make((size_t)(3 * B + 5), 1);
    trove_error error = {0};
    struct begin_how how = {.put.conditions.if_none = true};
    struct told told;
    struct tvs_object plain = {0};
    for (int round = 0; round < 2; round++) {
        uint64_t flushed = round == 0 ? 2 * B + 77 : 3 * B + 5;
        struct tvs_put *put = must_begin(store, "object", &how, &told);
        must_write(store, put, bytes, 0, flushed);
        must_flush(store, put, flushed);
        must_write(store, put, bytes, flushed, 3 * B + 5);
        must_put(store, "bucket", "object", "faster", 6);
        must_fail(put_commit_wait(store, put, NULL, &error), TROVE_FAILED_PRECONDITION, &error, "bucket/object");
        must_hold(store, "bucket", "object", "faster", 6);

        put = must_attach(store, &told.id, flushed, &told);
        must_write(store, put, bytes, flushed, 3 * B + 5);
        must_fail(put_commit_as(store, put, "00000000000000000000000000000000", NULL, &error), TROVE_DATA_LOSS, &error, "etag");

        must(store->ops->delete (store->driver, "bucket", "object", NULL, &error), &error);
        if (survives_restart()) {
            store_close(store);
            store_open(store);
        }
        put = must_attach(store, &told.id, flushed, &told);
        put_read_hold(store, put, bytes, 0, flushed);
        must_write(store, put, bytes, flushed, 3 * B + 5);
        must(put_object(store, "bucket", "plain", bytes, (size_t)(3 * B + 5), &(struct put_how){.object = &plain}, &error),
             &error);
        must(put_commit_as(store, put, plain.etag, NULL, &error), &error);
        must_be_plain(store, "object", bytes, 3 * B + 5);
        must(store->ops->delete (store->driver, "bucket", "object", NULL, &error), &error);
        tvs_object_fini(&plain);
    }
    free(bytes);
}

static void test_its_bucket_is_gone(void **state) {
    struct store *store = *state;
    char *bytes = bytes_make((size_t)(2 * B), 1);
    trove_error error = {0};
    struct tvs_put *put;
    struct told told, again;
    for (int round = 0; round < 2; round++) {
        must(store->ops->bucket_create(store->driver, "other", &error), &error);
        upload_begin(store, "other", "object", NULL, &told);
        must(told.status, &told.error);
        must(store->ops->upload_open(store->driver, &told.id, told.epoch, &put, &error), &error);
        must_write(store, put, bytes, 0, 2 * B);
        must_flush(store, put, 2 * B);
        must(store->ops->bucket_delete(store->driver, "other", &error), &error);
        if (round == 1) /* another one of that name isn't it */
            must(store->ops->bucket_create(store->driver, "other", &error), &error);
        must_fail(put_commit_wait(store, put, NULL, &error), TROVE_NOT_FOUND, &error, "its bucket was deleted");
        must_be_gone(store, &told.id);
        must_fail(store->ops->upload_open(store->driver, &told.id, told.epoch, &put, &error), TROVE_NOT_FOUND, &error,
                  "its bucket was deleted");
        upload_abort(store, &told.id, "alice", &again);
        must_fail(again.status, TROVE_NOT_FOUND, &again.error, "its bucket was deleted");
        if (round == 1)
            must(store->ops->bucket_delete(store->driver, "other", &error), &error);
    }
    free(bytes);
}

/* ---- who holds it ---------------------------------------------------------------------------------------------------- */

/* Everything that an older holder asks for. */
static void must_be_fenced(struct store *store, struct tvs_put *put_move, const char *bytes, uint64_t at, trove_status expected,
                           const char *word) {
    trove_error error = {0};
    struct told told;
    static _Alignas(4096) char area[B];
    const struct tvs_declared_digest none = {0};
    struct tv_data data = {.offset = at, .bytes = 100, .iov_count = 1, .iov[0] = {(void *)(uintptr_t)(bytes + at), 100}};
    tv_data_hash(&data);
    must_fail(store->ops->put_write(put_move, &data, &error), expected, &error, word);
    data = (struct tv_data){.bytes = 100, .iov_count = 1, .iov[0] = {area, 100}};
    must_fail(store->ops->put_read(put_move, &data, &error), expected, &error, word);
    must_fail(store->ops->put_rewind(put_move, at - 1, &error), expected, &error, word);
    must_fail(store->ops->put_expect(put_move, &none, &error), expected, &error, word);
    upload_flush(store, put_move, &told);
    must_fail(told.status, expected, &told.error, word);
    must_fail(put_commit_wait(store, put_move, NULL, &error), expected, &error, word);
}

static void test_older_holders_are_fenced(void **state) {
    struct store *store = *state;
    char *bytes = bytes_make((size_t)(4 * B), 1), *others = bytes_make((size_t)(4 * B), 2);
    struct told told;
    struct tvs_put *first = must_begin(store, "object", NULL, &told);
    must_write(store, first, bytes, 0, B + 5);
    must_flush(store, first, B + 5);
    must_write(store, first, others, B + 5, 3 * B);
    struct tvs_put *second = must_attach(store, &told.id, B + 5, &told);
    must_write(store, second, bytes, B + 5, 2 * B);
    must_be_fenced(store, first, others, 3 * B, TROVE_ABORTED, "taken over");
    must_flush(store, second, 2 * B);
    struct tvs_put *third = must_attach(store, &told.id, 2 * B, &told);
    must_write(store, third, bytes, 2 * B, 4 * B);
    store->ops->put_abort(second); /* lets go of nothing but itself */
    put_read_hold(store, third, bytes, 0, 4 * B);
    must_commit(store, third);
    must_be_plain(store, "object", bytes, 4 * B);
    free(others);
    free(bytes);
}

/* Whoever attached, but hasn't opened yet, has fenced the others all the same. */
static void test_fenced_by_attaching(void **state) {
    struct store *store = *state;
    char *bytes = bytes_make((size_t)(2 * B), 1);
    trove_error error = {0};
    struct told told, newer;
    struct tvs_put *put = must_begin(store, "object", NULL, &told), *none;
    must_write(store, put, bytes, 0, B);
    upload_attach(store, &told.id, "alice", &newer);
    must(newer.status, &newer.error);
    assert_int_equal(newer.epoch, told.epoch + 1);
    must_be_fenced(store, put, bytes, B, TROVE_ABORTED, "epoch 1, now 2");
    must_fail(store->ops->upload_open(store->driver, &told.id, told.epoch, &none, &error), TROVE_ABORTED, &error, "taken over");
    must_fail(store->ops->upload_open(store->driver, &told.id, newer.epoch + 1, &none, &error), TROVE_ABORTED, &error, "epoch");
    must(store->ops->upload_open(store->driver, &told.id, newer.epoch, &put, &error), &error);
    must_fail(store->ops->upload_open(store->driver, &told.id, newer.epoch, &none, &error), TROVE_ABORTED, &error, "already");
    must_write(store, put, bytes, 0, 2 * B);
    must_commit(store, put);
    must_be_plain(store, "object", bytes, 2 * B);
    free(bytes);
}

static void test_whose_it_is(void **state) {
    struct store *store = *state;
    struct told told, other;
    struct tvs_put *put = must_begin(store, "object", NULL, &told);
    upload_attach(store, &told.id, "bob", &other);
    must_fail(other.status, TROVE_PERMISSION_DENIED, &other.error, "bob");
    upload_abort(store, &told.id, "bob", &other);
    must_fail(other.status, TROVE_PERMISSION_DENIED, &other.error, "bob");
    must_fail(upload_stat(store, &told.id, "bob", &other), TROVE_PERMISSION_DENIED, &other.error, "bob");
    must_write(store, put, "abc", 0, 3); /* who may not hasn't fenced anybody */
    must_flush(store, put, 3);
    must(upload_stat(store, &told.id, NULL, &other), &other.error);
    assert_int_equal(other.durable_offset, 3);
    assert_int_equal(other.epoch, told.epoch);
    must_write(store, put, "abcd", 3, 4); /* nor who only asks */
    must_commit(store, put);
    must_hold(store, "bucket", "object", "abcd", 4);
    struct tvs_upload_id none = told.id;
    none.bytes[3] ^= 1;
    must_be_gone(store, &none);
    upload_abort(store, &none, NULL, &other);
    must_fail(other.status, TROVE_NOT_FOUND, &other.error, "upload");
    assert_int_equal(store->ops->upload_open(store->driver, &none, 1, &put, NULL), TROVE_NOT_FOUND);
}

static void test_aborted(void **state) {
    struct store *store = *state;
    char *bytes = bytes_make((size_t)(2 * B), 1);
    struct begin_how how = {.request = 7};
    for (int round = 0; round < 4; round++) {
        struct told told, again;
        struct tvs_put *put = must_begin(store, "object", &how, &told);
        must_write(store, put, bytes, 0, 2 * B);
        if (round % 2 == 0)
            must_flush(store, put, 2 * B);
        if (round < 2) {
            must_abort(store, &told.id);
            must_be_fenced(store, put, bytes, 2 * B - 100, TROVE_NOT_FOUND, "aborted");
        } else {
            store->ops->put_abort(put);
            must_abort(store, &told.id);
        }
        must_be_gone(store, &told.id);
        /* The request is free again. */
        put = must_begin(store, "object", &how, &again);
        assert_memory_not_equal(&again.id, &told.id, sizeof told.id);
        assert_int_equal(again.epoch, 1);
        assert_int_equal(again.durable_offset, 0);
        store->ops->put_abort(put);
        must_abort(store, &again.id);
    }
    must_count(store, "bucket", 0, 0);
    free(bytes);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, relaxed_setup, store_teardown)

int main(int count, char **arguments) {
    fixture_choose(count, arguments);
    const struct CMUnitTest tests[] = {
        TEST(test_a_request_again_is_the_same_upload),
        TEST(test_a_request_again_whose_condition_has_come_true),
        TEST(test_a_request_for_something_else),
        TEST(test_complete_asked_again),
        TEST(test_a_commit_that_fails),
        TEST(test_its_bucket_is_gone),
        TEST(test_older_holders_are_fenced),
        TEST(test_fenced_by_attaching),
        TEST(test_whose_it_is),
        TEST(test_aborted),
    };
    return cmocka_run_group_tests_name("holders of uploads", tests, NULL, NULL) != 0;
}
