/* test_upload_buckets.c - buckets that are deleted while they have uploads that aren't complete, in any driver that has them. */
#include "uploads.h"

#include <stdlib.h>

#define B TV_BLOCK_BYTES

static void must_list(struct store *store, const char *bucket, const char *expected) {
    char *text = uploads_text(store, bucket, NULL, 10);
    assert_string_equal(text, expected);
    free(text);
}

static void delete_bucket(struct store *store) {
    trove_error error = {0};
    must(store->ops->bucket_delete(store->driver, "bucket", &error), &error);
}

static void make_bucket(struct store *store, const char *bucket) {
    trove_error error = {0};
    must(store->ops->bucket_create(store->driver, bucket, &error), &error);
}

static void reopen(struct store *store) {
    if (!survives_restart())
        return;
    store_close(store);
    store_open(store);
}

/* One that nobody holds, with something durable and something that isn't. */
static void leave(struct store *store, const char *key, const struct begin_how *how, const char *bytes, struct told *told) {
    struct tvs_put *put = must_begin(store, key, how, told);
    must_write(store, put, bytes, 0, 2 * B);
    must_flush(store, put, 2 * B);
    must_write(store, put, bytes, 2 * B, 3 * B);
    store->ops->put_abort(put);
}

static void test_unfinished_uploads_go_with_their_bucket(void **state) {
    struct store *store = *state;
    char *bytes = bytes_make((size_t)(3 * B), 1);
    const struct begin_how request = {.request = 1};
    struct told told, empty, elsewhere, again;
    make_bucket(store, "second");
    upload_begin(store, "second", "kept", NULL, &elsewhere);
    must(elsewhere.status, &elsewhere.error);
    for (int made_anew = 0; made_anew < 2; made_anew++) {
        leave(store, "object", &request, bytes, &told);
        store->ops->put_abort(must_begin(store, "empty", NULL, &empty));
        delete_bucket(store);
        if (made_anew)
            make_bucket(store, "bucket");
        must_be_gone(store, &told.id);
        must_be_gone(store, &empty.id);
        must_list(store, "", "second/kept |");
        reopen(store);
        must_be_gone(store, &told.id);
        must_be_gone(store, &empty.id);
        must(upload_stat(store, &elsewhere.id, "alice", &elsewhere), &elsewhere.error);
        if (!made_anew)
            make_bucket(store, "bucket");
        must_list(store, "bucket", "|");
    }
    /* The request is free, too. */
    store->ops->put_abort(must_begin(store, "object", &request, &again));
    assert_memory_not_equal(&again.id, &told.id, sizeof told.id);
    assert_int_equal(again.durable_offset, 0);
    free(bytes);
}

static void test_a_bucket_that_isnt_deleted_keeps_them(void **state) {
    struct store *store = *state;
    trove_error error = {0};
    char *bytes = bytes_make((size_t)(3 * B), 1);
    struct told told;
    leave(store, "object", NULL, bytes, &told);
    must(put_object(store, "bucket", "another", bytes, 10, &(struct put_how){0}, &error), &error);
    must_fail(store->ops->bucket_delete(store->driver, "bucket", &error), TROVE_FAILED_PRECONDITION, &error, "isn't empty");
    must_commit(store, must_attach(store, &told.id, 2 * B, &told));
    must_hold(store, "bucket", "object", bytes, (size_t)(2 * B));
    free(bytes);
}

/* Whoever writes at that moment is told at the next thing that they do, also where the bucket is made anew. */
static void test_a_holder_whose_bucket_goes(void **state) {
    struct store *store = *state;
    char *bytes = bytes_make((size_t)(2 * B), 1);
    struct tv_data data = {.offset = B, .bytes = 100, .iov_count = 1, .iov[0] = {bytes, 100}};
    tv_data_hash(&data);
    for (int made_anew = 0; made_anew < 2; made_anew++) {
        trove_error error = {0};
        struct told told, ended, opened;
        struct tvs_put *writes = must_begin(store, "writes", NULL, &told), *flushes = must_begin(store, "flushes", NULL, &told);
        struct tvs_put *commits = must_begin(store, "commits", NULL, &ended), *put;
        upload_begin(store, "bucket", "opens", NULL, &opened);
        must(opened.status, &opened.error);
        must_write(store, writes, bytes, 0, B);
        must_write(store, flushes, bytes, 0, B);
        must_write(store, commits, bytes, 0, B);
        must_flush(store, commits, B);
        delete_bucket(store);
        if (made_anew)
            make_bucket(store, "bucket");
        must_fail(store->ops->put_write(writes, &data, &error), TROVE_NOT_FOUND, &error, "its bucket was deleted");
        store->ops->put_abort(writes);
        upload_flush(store, flushes, &told);
        must_fail(told.status, TROVE_NOT_FOUND, &told.error, "its bucket was deleted");
        store->ops->put_abort(flushes);
        must_fail(put_commit_wait(store, commits, NULL, &error), TROVE_NOT_FOUND, &error, "its bucket was deleted");
        must_fail(store->ops->upload_open(store->driver, &opened.id, opened.epoch, &put, &error), TROVE_NOT_FOUND, &error,
                  "upload");
        must_be_gone(store, &ended.id);
        if (!made_anew)
            make_bucket(store, "bucket");
        must_list(store, "", "|");
        must_count(store, "bucket", 0, 0);
    }
    free(bytes);
}

/* What has become an object is told until it expires, whatever has become of the object. */
static void test_a_result_outlives_its_bucket(void **state) {
    struct store *store = *state;
    trove_error error = {0};
    struct told told;
    must_commit(store, must_begin(store, "object", NULL, &told));
    must(store->ops->delete (store->driver, "bucket", "object", NULL, &error), &error);
    delete_bucket(store);
    reopen(store);
    upload_attach(store, &told.id, "alice", &told);
    must(told.status, &told.error);
    assert_true(told.complete);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, relaxed_setup, store_teardown)

int main(int count, char **arguments) {
    fixture_choose(count, arguments);
    const struct CMUnitTest tests[] = {
        TEST(test_unfinished_uploads_go_with_their_bucket),
        TEST(test_a_bucket_that_isnt_deleted_keeps_them),
        TEST(test_a_holder_whose_bucket_goes),
        TEST(test_a_result_outlives_its_bucket),
    };
    return cmocka_run_group_tests_name("resumable uploads of deleted buckets", tests, NULL, NULL);
}
