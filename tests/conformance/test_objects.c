/* test_objects.c - one object's life in any driver: bytes, etags, versions, copies. (Conditions and buckets: test_buckets.c.) */
#include "fixture.h"

#include <stdlib.h>

static const size_t sizes[] = {0,
                               1,
                               4095,
                               4096,
                               65535,
                               65536,
                               65537,
                               256 * 1024 - 1,
                               256 * 1024,
                               256 * 1024 + 1,
                               1024 * 1024 - 1,
                               1024 * 1024,
                               1024 * 1024 + 1,
                               5 * 1024 * 1024 + 12345};
#define SIZE_COUNT (sizeof sizes / sizeof *sizes)

static void test_sizes_come_back(void **state) {
    struct store *store = *state;
    uint64_t all = 0;
    for (size_t i = 0; i < SIZE_COUNT; i++) {
        char key[32];
        snprintf(key, sizeof key, "size/%zu", sizes[i]);
        char *bytes = bytes_make(sizes[i], i);
        must_put(store, "bucket", key, bytes, sizes[i]);
        must_hold(store, "bucket", key, bytes, sizes[i]);
        free(bytes);
        all += sizes[i];
        must_count(store, "bucket", i + 1, all);
    }
}

static void test_small_puts_come_back(void **state) {
    struct store *store = *state;
    for (size_t i = 0; i < SIZE_COUNT && sizes[i] <= TV_INLINE_BYTES_MAX; i++) {
        trove_error error = {0};
        struct tvs_object small = {0}, begun = {0};
        struct put_how how = {.small = true, .object = &small};
        char *bytes = bytes_make(sizes[i], i);
        must(put_object(store, "bucket", "small", bytes, sizes[i], &how, &error), &error);
        must_hold(store, "bucket", "small", bytes, sizes[i]);
        how = (struct put_how){.object = &begun};
        must(put_object(store, "bucket", "begun", bytes, sizes[i], &how, &error), &error);
        assert_string_equal(small.etag, begun.etag);
        assert_int_equal(small.size, sizes[i]);
        assert_string_equal(small.key, "small");
        tvs_object_fini(&small);
        tvs_object_fini(&begun);
        free(bytes);
    }
}

/* However the bytes are cut, aligned or not: the same object. */
static void test_etag_is_of_the_bytes(void **state) {
    struct store *store = *state;
    const struct put_how ways[] = {
        {.write_bytes = 0},
        {.write_bytes = 1000003},
        {.write_bytes = 65536},
        {.write_bytes = 4096},
        {.write_bytes = 99991, .iov_bytes = 30011},
        {.write_bytes = 262144, .shift = 1},
        {.write_bytes = 1024 * 1024, .iov_bytes = 200000},
        {.write_bytes = 512 * 1024, .iov_bytes = 12288},
        {.write_bytes = 262145, .shift = 512, .iov_bytes = 4096},
    };
    const size_t chunked[] = {70000, 262144, 3 * 1024 * 1024, 3 * 1024 * 1024 + 777};
    for (size_t s = 0; s < sizeof chunked / sizeof *chunked; s++) {
        char *bytes = bytes_make(chunked[s], s + 100);
        char etag[TROVE_ETAG_BYTES] = "";
        for (size_t w = 0; w < sizeof ways / sizeof *ways; w++) {
            trove_error error = {0};
            struct tvs_object object = {0};
            struct put_how how = ways[w];
            how.object = &object;
            must(put_object(store, "bucket", "chunked", bytes, chunked[s], &how, &error), &error);
            if (w == 0)
                memcpy(etag, object.etag, sizeof etag);
            assert_string_equal(object.etag, etag);
            tvs_object_fini(&object);
            if (fixture_ops != &tvs_null_driver)
                must_hold(store, "bucket", "chunked", bytes, chunked[s]);
        }
        /* And it is what data.h says. */
        struct tv_data data = {.bytes = chunked[s]};
        uint64_t sums[64];
        size_t count = 0;
        for (uint64_t at = 0; at < chunked[s]; at += TV_BLOCK_BYTES)
            sums[count++] = tv_hash(bytes + at, chunked[s] - at < TV_BLOCK_BYTES ? chunked[s] - at : TV_BLOCK_BYTES);
        char expected[TROVE_ETAG_BYTES];
        tv_etag(data.bytes, sums, count, expected);
        assert_string_equal(etag, expected);
        free(bytes);
    }
}

/* What the sender computed over its own bytes is checked before anything is published. */
static void test_another_etag_is_refused(void **state) {
    struct store *store = *state;
    const size_t size = TV_BLOCK_BYTES + 77;
    char *bytes = bytes_make(size, 1), *others = bytes_make(size, 2);
    trove_error error = {0};
    struct tvs_object object = {0};
    struct put_how how = {.object = &object};
    must(put_object(store, "bucket", "key", bytes, size, &how, &error), &error);
    struct put_how right = {.etag = object.etag}, wrong = {.etag = object.etag};
    must(put_object(store, "bucket", "key", bytes, size, &right, &error), &error);
    must_fail(put_object(store, "bucket", "key", others, size, &wrong, &error), TROVE_DATA_LOSS, &error, object.etag);
    must_hold(store, "bucket", "key", bytes, size);
    must_count(store, "bucket", 1, size);
    tvs_object_fini(&object);
    free(bytes);
    free(others);
}

static void test_description_comes_back(void **state) {
    struct store *store = *state;
    trove_metadata metadata[TV_METADATA_COUNT_MAX];
    char names[TV_METADATA_COUNT_MAX][16];
    for (size_t i = 0; i < TV_METADATA_COUNT_MAX; i++) {
        snprintf(names[i], sizeof names[i], "key-%zu", i);
        metadata[i] = (trove_metadata){.key = names[i], .value = i % 3 == 0 ? "" : "wert \xC3\xA4\xC3\xB6"};
    }
    for (int large = 0; large < 2; large++) {
        size_t size = large ? 100000 : 10;
        char *bytes = bytes_make(size, 5);
        trove_error error = {0};
        struct tvs_object put = {0}, head = {0};
        struct put_how how = {.object = &put,
                              .options = {.content_type = "text/plain; charset=utf-8",
                                          .metadata = metadata,
                                          .metadata_count = TV_METADATA_COUNT_MAX}};
        must(put_object(store, "bucket", "described", bytes, size, &how, &error), &error);
        must(store->ops->head(store->driver, "bucket", "described", &head, &error), &error);
        const struct tvs_object *both[] = {&put, &head};
        for (size_t i = 0; i < 2; i++) {
            assert_string_equal(both[i]->key, "described");
            assert_string_equal(both[i]->content_type, "text/plain; charset=utf-8");
            assert_int_equal(both[i]->size, size);
            assert_int_equal(both[i]->generation, put.generation);
            assert_int_equal(both[i]->modified_ns, put.modified_ns);
            assert_int_equal(both[i]->metadata_count, TV_METADATA_COUNT_MAX);
            for (size_t m = 0; m < TV_METADATA_COUNT_MAX; m++) {
                assert_string_equal(both[i]->metadata[m].key, metadata[m].key);
                assert_string_equal(both[i]->metadata[m].value, metadata[m].value);
            }
        }
        assert_true(put.modified_ns > 1600000000u * 1000000000ull);
        tvs_object_fini(&put);
        tvs_object_fini(&head);
        free(bytes);
    }
}

static void test_block_sums_match(void **state) {
    struct store *store = *state;
    for (size_t i = 0; i < SIZE_COUNT; i++) {
        char *bytes = bytes_make(sizes[i], i);
        must_put(store, "bucket", "sums", bytes, sizes[i]);
        must_have_sums(store, "bucket", "sums", bytes, sizes[i]);
        free(bytes);
    }
}

static void test_ranges_from_blocks(void **state) {
    struct store *store = *state;
    size_t size = 2 * 1024 * 1024 + 5;
    char *bytes = bytes_make(size, 77);
    must_put(store, "bucket", "ranged", bytes, size);
    for (uint64_t offset = 0; offset < size; offset += TV_BLOCK_BYTES) {
        trove_error error = {0};
        char *got;
        size_t got_size;
        must(get_object(store, "bucket", "ranged", offset, &got, &got_size, &error), &error);
        assert_int_equal(got_size, size - offset);
        assert_memory_equal(got, bytes + offset, got_size);
        free(got);
    }
    free(bytes);
}

/* A get keeps its version through replacement and deletion, also where it hasn't read a byte yet. */
static void test_get_survives(void **state) {
    struct store *store = *state;
    const size_t survivors[] = {10, 60000, 900000, 3000000};
    for (size_t s = 0; s < 4; s++) {
        for (int way = 0; way < 3; way++) {
            size_t size = survivors[s];
            char *old = bytes_make(size, s), *new = bytes_make(size, s + 50);
            trove_error error = {0};
            must_put(store, "bucket", "survivor", old, size);
            struct tvs_get *get;
            struct tvs_object object;
            must(store->ops->get_begin(store->driver, "bucket", "survivor", NULL, &get, &object, &error), &error);
            if (way == 0)
                must_put(store, "bucket", "survivor", new, size);
            else
                must(store->ops->delete (store->driver, "bucket", "survivor", NULL, &error), &error);
            if (way == 2)
                must_put(store, "bucket", "survivor", "x", 1);
            char *got = aligned_alloc(4096, (size + 4096) / 4096 * 4096);
            must(get_rest(store, get, 0, size, got, &error), &error);
            assert_memory_equal(got, old, size);
            store->ops->get_end(get);
            tvs_object_fini(&object);
            if (way == 0)
                must_hold(store, "bucket", "survivor", new, size);
            free(got);
            free(old);
            free(new);
        }
    }
}

static void test_put_is_atomic(void **state) {
    struct store *store = *state;
    trove_error error = {0};
    char *old = bytes_make(500000, 1), *new = bytes_make(700000, 2);
    must_put(store, "bucket", "atomic", old, 500000);
    struct tvs_put *put;
    must(put_uncommitted(store, "bucket", "atomic", new, 700000, NULL, &put, &error), &error);
    must_hold(store, "bucket", "atomic", old, 500000);
    struct tvs_put *aborted;
    must(put_uncommitted(store, "bucket", "atomic", new, 600000, NULL, &aborted, &error), &error);
    store->ops->put_abort(aborted);
    must_hold(store, "bucket", "atomic", old, 500000);
    must(put_commit_wait(store, put, NULL, &error), &error);
    must_hold(store, "bucket", "atomic", new, 700000);
    must_count(store, "bucket", 1, 700000);
    free(old);
    free(new);
}

static void test_abort_leaves_nothing(void **state) {
    struct store *store = *state;
    const size_t aborted[] = {0, 100, 100000, 2000000};
    for (size_t i = 0; i < 4; i++) {
        trove_error error = {0};
        char *bytes = bytes_make(aborted[i], 3);
        struct tvs_put *put;
        must(put_uncommitted(store, "bucket", "aborted", bytes, aborted[i], NULL, &put, &error), &error);
        store->ops->put_abort(put);
        struct tvs_object object;
        must_fail(store->ops->head(store->driver, "bucket", "aborted", &object, &error), TROVE_NOT_FOUND, &error,
                  "bucket/aborted");
        free(bytes);
    }
    must_count(store, "bucket", 0, 0);
    store->ops->put_abort(NULL);
    store->ops->get_end(NULL);
}

static void test_generations_grow(void **state) {
    struct store *store = *state;
    uint64_t last = 0;
    for (int i = 0; i < 6; i++) {
        trove_error error = {0};
        struct tvs_object object = {0};
        struct put_how how = {.object = &object, .small = i % 2 == 0};
        must(put_object(store, "bucket", "generation", "abc", 3, &how, &error), &error);
        assert_true(object.generation > last);
        last = object.generation;
        tvs_object_fini(&object);
        if (i % 3 == 2)
            must(store->ops->delete (store->driver, "bucket", "generation", NULL, &error), &error);
    }
}

static void test_what_is_missing_is_named(void **state) {
    struct store *store = *state;
    trove_error error = {0};
    struct tvs_object object;
    struct tvs_get *get;
    struct tvs_put *put;
    struct tvs_put_options options = {.content_type = ""};
    uint64_t sum;
    size_t count;
    bool more;
    struct tvs_list_query query = {.prefix = "", .delimiter = "", .after = "", .limit = 1};
    must_fail(store->ops->head(store->driver, "nowhere", "k", &object, &error), TROVE_NOT_FOUND, &error, "bucket nowhere");
    must_fail(store->ops->head(store->driver, "bucket", "k", &object, &error), TROVE_NOT_FOUND, &error, "bucket/k");
    must_fail(store->ops->get_begin(store->driver, "nowhere", "k", NULL, &get, &object, &error), TROVE_NOT_FOUND, &error,
              "bucket nowhere");
    must_fail(store->ops->get_begin(store->driver, "bucket", "k", NULL, &get, &object, &error), TROVE_NOT_FOUND, &error,
              "bucket/k");
    must_fail(store->ops->put_begin(store->driver, "nowhere", "k", &options, &put, &error), TROVE_NOT_FOUND, &error,
              "bucket nowhere");
    must_fail(put_object(store, "nowhere", "k", "x", 1, &(struct put_how){.small = true}, &error), TROVE_NOT_FOUND, &error,
              "bucket nowhere");
    must_fail(store->ops->delete (store->driver, "nowhere", "k", NULL, &error), TROVE_NOT_FOUND, &error, "bucket nowhere");
    must_fail(store->ops->delete (store->driver, "bucket", "k", NULL, &error), TROVE_NOT_FOUND, &error, "bucket/k");
    must_fail(copy_object(store, "bucket", "k", "bucket", "l", NULL, &object, &error), TROVE_NOT_FOUND, &error, "bucket/k");
    must_fail(store->ops->block_sums(store->driver, "bucket", "k", 0, 1, &sum, &count, &object, &error), TROVE_NOT_FOUND, &error,
              "bucket/k");
    must_fail(store->ops->list(store->driver, "nowhere", &query, NULL, NULL, &more, &error), TROVE_NOT_FOUND, &error,
              "bucket nowhere");
    must_fail(store->ops->bucket_delete(store->driver, "nowhere", &error), TROVE_NOT_FOUND, &error, "bucket nowhere");
}

static void test_reading_past_the_end(void **state) {
    struct store *store = *state;
    const size_t read_sizes[] = {0, 100, 300000};
    for (size_t i = 0; i < 3; i++) {
        char *bytes = bytes_make(read_sizes[i], i);
        must_put(store, "bucket", "short", bytes, read_sizes[i]);
        trove_error error = {0};
        struct tvs_get *get;
        struct tvs_object object;
        must(store->ops->get_begin(store->driver, "bucket", "short", NULL, &get, &object, &error), &error);
        char *to = malloc(TV_BLOCK_BYTES);
        struct tv_data data = {.offset = 2 * TV_BLOCK_BYTES, .bytes = 1, .iov_count = 1, .iov[0] = {to, 1}};
        must_fail(store->ops->get_read(get, &data, &error), TROVE_OUT_OF_RANGE, &error, "bucket/short");
        data = (struct tv_data){.offset = 0, .bytes = TV_BLOCK_BYTES, .iov_count = 1, .iov[0] = {to, TV_BLOCK_BYTES}};
        if (read_sizes[i] < TV_BLOCK_BYTES)
            must_fail(store->ops->get_read(get, &data, &error), TROVE_OUT_OF_RANGE, &error, "bucket/short");
        free(to);
        store->ops->get_end(get);
        tvs_object_fini(&object);
        free(bytes);
    }
}

static void test_copy(void **state) {
    struct store *store = *state;
    trove_error error = {0};
    must(store->ops->bucket_create(store->driver, "target", &error), &error);
    for (size_t i = 0; i < SIZE_COUNT; i++) {
        char *bytes = bytes_make(sizes[i], i);
        trove_metadata pair = {.key = "color", .value = "green"};
        struct tvs_object object = {0}, copied = {0};
        struct put_how how = {.object = &object,
                              .options = {.content_type = "image/png", .metadata = &pair, .metadata_count = 1}};
        must(put_object(store, "bucket", "source", bytes, sizes[i], &how, &error), &error);
        must(copy_object(store, "bucket", "source", "target", "copy", NULL, &copied, &error), &error);
        assert_string_equal(copied.key, "copy");
        assert_string_equal(copied.etag, object.etag);
        assert_string_equal(copied.content_type, "image/png");
        assert_int_equal(copied.metadata_count, 1);
        assert_string_equal(copied.metadata[0].value, "green");
        assert_true(copied.generation > object.generation);
        must(store->ops->delete (store->driver, "bucket", "source", NULL, &error), &error);
        must_hold(store, "target", "copy", bytes, sizes[i]);
        must_count(store, "target", 1, sizes[i]);
        tvs_object_fini(&object);
        tvs_object_fini(&copied);
        /* Onto itself: a new generation of the same bytes. */
        must(copy_object(store, "target", "copy", "target", "copy", NULL, &copied, &error), &error);
        must_hold(store, "target", "copy", bytes, sizes[i]);
        tvs_object_fini(&copied);
        free(bytes);
    }
    must_fail(copy_object(store, "target", "copy", "nowhere", "k", NULL, &(struct tvs_object){0}, &error), TROVE_NOT_FOUND,
              &error, "bucket nowhere");
}

/* ---- mem ------------------------------------------------------------------------------------------------------------- */

static void test_mem_is_bounded(void **state) {
    struct store *store = *state;
    store_close(store);
    store->config.memory_bytes = 4 * TV_MIB;
    store_open(store);
    trove_error error = {0};
    must(store->ops->bucket_create(store->driver, "bucket", &error), &error);
    char *bytes = bytes_make(3 * 1024 * 1024, 1);
    for (int round = 0; round < 3; round++) {
        must_put(store, "bucket", "first", bytes, 3 * 1024 * 1024);
        must_fail(put_object(store, "bucket", "second", bytes, 2 * 1024 * 1024, NULL, &error), TROVE_RESOURCE_EXHAUSTED, &error,
                  "full");
        must_hold(store, "bucket", "first", bytes, 3 * 1024 * 1024);
        must(store->ops->delete (store->driver, "bucket", "first", NULL, &error), &error);
        /* Small ones fill it too, names and overhead included, and all of it comes back. */
        unsigned count = 0;
        char key[32];
        struct put_how small = {.small = true};
        trove_status status;
        do {
            snprintf(key, sizeof key, "small-%u", count++);
            status = put_object(store, "bucket", key, bytes, 10, &small, &error);
        } while (status == TROVE_OK);
        must_fail(status, TROVE_RESOURCE_EXHAUSTED, &error, "full");
        assert_true(count > 1000 && count < 4 * 1024 * 1024 / 256);
        while (--count > 0) {
            snprintf(key, sizeof key, "small-%u", count - 1);
            must(store->ops->delete (store->driver, "bucket", key, NULL, &error), &error);
        }
        must_count(store, "bucket", 0, 0);
    }
    free(bytes);
}

/* ---- null ------------------------------------------------------------------------------------------------------------ */

static void test_null_store(void **state) {
    struct store *store = *state;
    trove_error error = {0};
    char *zeros = calloc(1, 3 * 1024 * 1024 + 1);
    must_hold(store, "any", "zeros-0", zeros, 0);
    must_hold(store, "any", "a-b-100", zeros, 100);
    must_hold(store, "bucket", "zeros-3145729", zeros, 3145729);
    struct tvs_object object;
    must_fail(store->ops->head(store->driver, "bucket", "plain", &object, &error), TROVE_NOT_FOUND, &error, "plain");
    must_fail(store->ops->head(store->driver, "bucket", "x-", &object, &error), TROVE_NOT_FOUND, &error, "x-");
    must_fail(store->ops->head(store->driver, "bucket", "x-12a", &object, &error), TROVE_NOT_FOUND, &error, "x-12a");
    must_fail(store->ops->head(store->driver, "bucket", "x-99999999999999999999999999", &object, &error), TROVE_NOT_FOUND, &error,
              "x-9999");
    must_put(store, "bucket", "swallowed", zeros, 1000000);
    must_fail(store->ops->head(store->driver, "bucket", "swallowed", &object, &error), TROVE_NOT_FOUND, &error, "swallowed");
    char *listed = list_text(store, "", "", "", 10);
    assert_string_equal(listed, "|");
    free(listed);
    /* The etag that reading promises is the one that putting the same bytes gives. */
    struct tvs_object put = {0};
    must(put_object(store, "bucket", "k", zeros, 3145729, &(struct put_how){.object = &put}, &error), &error);
    must(store->ops->head(store->driver, "bucket", "zeros-3145729", &object, &error), &error);
    assert_string_equal(put.etag, object.etag);
    tvs_object_fini(&put);
    tvs_object_fini(&object);
    free(zeros);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, store_setup, store_teardown)

int main(int count, char **arguments) {
    fixture_choose(count, arguments);
    const struct CMUnitTest null_tests[] = {
        TEST(test_null_store),
        TEST(test_etag_is_of_the_bytes),
    };
    const struct CMUnitTest tests[] = {
        TEST(test_sizes_come_back),        TEST(test_small_puts_come_back),
        TEST(test_etag_is_of_the_bytes),   TEST(test_another_etag_is_refused),
        TEST(test_description_comes_back), TEST(test_block_sums_match),
        TEST(test_ranges_from_blocks),     TEST(test_get_survives),
        TEST(test_put_is_atomic),          TEST(test_abort_leaves_nothing),
        TEST(test_generations_grow),       TEST(test_what_is_missing_is_named),
        TEST(test_reading_past_the_end),   TEST(test_copy),
    };
    const struct CMUnitTest mem_tests[] = {TEST(test_mem_is_bounded)};
    if (fixture_ops == &tvs_null_driver)
        return cmocka_run_group_tests_name("objects in null", null_tests, NULL, NULL);
    if (fixture_ops == &tvs_mem_driver && cmocka_run_group_tests_name("mem", mem_tests, NULL, NULL) != 0)
        return 1;
    return cmocka_run_group_tests_name(fixture_ops == &tvs_mem_driver ? "objects in mem" : "objects in local", tests, NULL, NULL);
}
