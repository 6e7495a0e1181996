/* test_listing.c - listings of any driver: order, pages, prefixes, delimiters, keys of every kind. */
#include "fixture.h"
#include "local.h"

#include <stdlib.h>

static void put_keys(struct store *store, const char *const *keys, size_t count) {
    for (size_t i = 0; i < count; i++)
        must_put(store, "bucket", keys[i], keys[i], strlen(keys[i]) % 7);
}

static void must_list(struct store *store, const char *prefix, const char *delimiter, const char *after, uint32_t limit,
                      const char *expected) {
    char *text = list_text(store, prefix, delimiter, after, limit);
    assert_string_equal(text, expected);
    free(text);
}

static int by_bytes(const void *a, const void *b) {
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

struct page {
    char keys[32][TV_KEY_BYTES_MAX + 1];
    size_t count;
};

static bool take_key(void *context, const struct tvs_list_entry *entry) {
    struct page *page = context;
    assert_true(page->count < sizeof page->keys / sizeof page->keys[0]);
    assert_true(strlen(entry->key) <= TV_KEY_BYTES_MAX);
    strcpy(page->keys[page->count++], entry->key);
    return true;
}

/* Page by page the keys come in byte order, each once, and as many as fit. */
static void check_pages(struct store *store, const char *const *keys, size_t count, uint32_t limit) {
    char after[TV_KEY_BYTES_MAX + 1] = "";
    size_t seen = 0;
    for (bool more = true; more;) {
        static struct page page;
        trove_error error = {0};
        struct tvs_list_query query = {.prefix = "", .delimiter = "", .after = after, .limit = limit};
        page.count = 0;
        must(store->ops->list(store->driver, "bucket", &query, take_key, &page, &more, &error), &error);
        assert_int_equal(page.count, count - seen < limit ? count - seen : limit);
        for (size_t i = 0; i < page.count; i++)
            assert_string_equal(page.keys[i], keys[seen + i]);
        seen += page.count;
        assert_true(more == (seen < count));
        strcpy(after, page.keys[page.count - 1]);
    }
    assert_int_equal(seen, count);
}

static void test_order_and_odd_keys(void **state) {
    struct store *store = *state;
    static char long_key[TV_KEY_BYTES_MAX + 1], long_key_2[TV_KEY_BYTES_MAX + 1];
    memset(long_key, 'k', TV_KEY_BYTES_MAX);
    memset(long_key_2, 'k', TV_KEY_BYTES_MAX);
    long_key_2[TV_KEY_BYTES_MAX - 1] = 'l';
    const char *keys[] = {"a",
                          "a/b",
                          "../../etc/passwd",
                          "//",
                          "/",
                          "a//b",
                          ".",
                          "..",
                          "\xF0\x9F\x98\x80",
                          "\xEF\xBF\xBD",
                          "a b",
                          "A",
                          "a/",
                          "a.",
                          "\x01",
                          "a\nb",
                          "%2F",
                          "\x7F",
                          "\xC3\xA4",
                          long_key,
                          long_key_2};
    size_t count = sizeof keys / sizeof *keys;
    put_keys(store, keys, count);
    for (size_t i = 0; i < count; i++)
        must_hold(store, "bucket", keys[i], keys[i], strlen(keys[i]) % 7);
    qsort(keys, count, sizeof keys[0], by_bytes);
    for (uint32_t limit = 1; limit <= count + 1; limit++)
        check_pages(store, keys, count, limit);
}

static void test_pages(void **state) {
    struct store *store = *state;
    const char *keys[] = {"k1", "k2", "k3", "k4", "k5"};
    put_keys(store, keys, 5);
    must_list(store, "", "", "", 5, "k1 k2 k3 k4 k5 |");
    must_list(store, "", "", "", 4, "k1 k2 k3 k4 | more");
    must_list(store, "", "", "", 1000, "k1 k2 k3 k4 k5 |");
    must_list(store, "", "", "k4", 2, "k5 |");
    must_list(store, "", "", "k5", 2, "|");
    must_list(store, "", "", "k31", 1, "k4 | more");
    must_list(store, "", "", "a", 1, "k1 | more");
    must_list(store, "", "", "z", 1, "|");
}

static void test_prefix(void **state) {
    struct store *store = *state;
    const char *keys[] = {"a", "a/", "a/1", "a/2", "a0", "b", "b/1", "ba"};
    put_keys(store, keys, 8);
    must_list(store, "a/", "", "", 10, "a/ a/1 a/2 |");
    must_list(store, "a", "", "", 3, "a a/ a/1 | more");
    must_list(store, "a", "", "a/2", 3, "a0 |");
    must_list(store, "a/1", "", "", 3, "a/1 |");
    must_list(store, "a/1", "", "a/1", 3, "|");
    must_list(store, "c", "", "", 3, "|");
    must_list(store, "b", "", "a", 3, "b b/1 ba |");
    must_list(store, "a", "", "b", 3, "|");
    must_list(store, "", "", "", 10, "a a/ a/1 a/2 a0 b b/1 ba |");
}

static void test_delimiter(void **state) {
    struct store *store = *state;
    const char *keys[] = {"a/1", "a/2", "a/x/1", "b", "c/", "c/1", "d//e", "e--f--g", "e--h", "z/z"};
    put_keys(store, keys, 10);
    must_list(store, "", "/", "", 10, "*a/ b *c/ *d/ e--f--g e--h *z/ |");
    must_list(store, "", "/", "", 1, "*a/ | more");
    must_list(store, "", "/", "a/", 1, "b | more");
    must_list(store, "", "/", "a/1", 2, "b *c/ | more");
    must_list(store, "", "/", "b", 2, "*c/ *d/ | more");
    must_list(store, "", "/", "e--h", 2, "*z/ |");
    must_list(store, "", "/", "z/", 2, "|");
    must_list(store, "a/", "/", "", 10, "a/1 a/2 *a/x/ |");
    must_list(store, "a/", "/", "a/2", 10, "*a/x/ |");
    must_list(store, "a/", "/", "a/x/", 10, "|");
    must_list(store, "a", "/", "", 10, "*a/ |");
    must_list(store, "c/", "/", "", 10, "c/ c/1 |");
    must_list(store, "d/", "/", "", 10, "*d// |");
    must_list(store, "e", "--", "", 10, "*e-- |");
    must_list(store, "e--", "--", "", 10, "*e--f-- e--h |");
    must_list(store, "", "x/", "", 3, "a/1 a/2 *a/x/ | more");
}

struct taken {
    unsigned count, limit;
};

static bool take_some(void *context, const struct tvs_list_entry *entry) {
    struct taken *taken = context;
    (void)entry;
    if (taken->count == taken->limit)
        return false;
    taken->count++;
    return true;
}

static void test_visitor_ends_the_page(void **state) {
    struct store *store = *state;
    const char *keys[] = {"k1", "k2", "k3"};
    put_keys(store, keys, 3);
    for (unsigned limit = 0; limit <= 3; limit++) {
        trove_error error = {0};
        struct taken taken = {.limit = limit};
        struct tvs_list_query query = {.prefix = "", .delimiter = "", .after = "", .limit = 100};
        bool more = false;
        must(store->ops->list(store->driver, "bucket", &query, take_some, &taken, &more, &error), &error);
        assert_int_equal(taken.count, limit);
        assert_true(more == (limit < 3));
    }
}

static void test_buckets_are_apart(void **state) {
    struct store *store = *state;
    trove_error error = {0};
    must(store->ops->bucket_create(store->driver, "bucket-2", &error), &error);
    must_put(store, "bucket", "z", "", 0);
    must_put(store, "bucket-2", "a", "", 0);
    must_list(store, "", "", "", 10, "z |");
    must(store->ops->delete (store->driver, "bucket", "z", NULL, &error), &error);
    must_list(store, "", "", "", 10, "|");
}

/* Keys that share 600 bytes, listed completely and in order. */
static void test_many_long_keys(void **state) {
    struct store *store = *state;
    enum {
        COUNT = 3000
    };
    char key[700];
    memset(key, 'p', 600);
    for (unsigned i = 0; i < COUNT; i++) {
        trove_error error = {0};
        snprintf(key + 600, 100, "/%08u", i * 7919u % COUNT);
        must(put_object(store, "bucket", key, key, 20, &(struct put_how){.small = true}, &error), &error);
    }
    char after[700] = "";
    unsigned seen = 0;
    for (bool more = true; more;) {
        char *text = list_text(store, "", "", after, 257);
        more = strstr(text, "| more") != NULL;
        for (char *word = strtok(text, " "); word != NULL && word[0] != '|'; word = strtok(NULL, " ")) {
            snprintf(key + 600, 100, "/%08u", seen++);
            assert_string_equal(word, key);
            strcpy(after, word);
        }
        free(text);
    }
    assert_int_equal(seen, COUNT);
    char expected[700];
    snprintf(expected, sizeof expected, "*%.601s |", key);
    must_list(store, "", "/", "", 10, expected);
}

static bool take_any(void *context, const struct tvs_list_entry *entry) {
    (void)context;
    (void)entry;
    return true;
}

/* A listing that meets a row that can't be an object's fails: it must not look as if it had come to the end. */
static void test_a_damaged_index_is_no_end(void **state) {
    struct store *store = *state;
    const struct tvs_index *index = &tvs_local_of(store->driver)->index;
    struct tvs_local_bucket *bucket;
    trove_error error = {0};
    must(tvs_local_bucket_acquire(&tvs_local_of(store->driver)->buckets, "bucket", &bucket, &error), &error);
    uint64_t id = bucket->id;
    tvs_local_bucket_release(bucket);
    must_put(store, "bucket", "a", "first", 5);
    must_put(store, "bucket", "z", "last", 4);
    char key[TV_KEY_BYTES_MAX + 2];
    memset(key, 'k', sizeof key);
    static const struct {
        size_t bytes;
        const char *words;
    } damages[] = {{TV_KEY_BYTES_MAX + 1, "1025 bytes"}, {0, "0 bytes"}};
    for (size_t i = 0; i < sizeof damages / sizeof *damages; i++) {
        uint8_t row_key[TVS_INDEX_KEY_BYTES_MAX + 1];
        size_t row_key_bytes = tvs_index_key_object(id, key, damages[i].bytes, row_key);
        char *failure = NULL;
        rocksdb_put_cf(index->db, index->write_options, index->rows, (const char *)row_key, row_key_bytes, "x", 1, &failure);
        assert_null(failure);
        for (uint32_t limit = 1; limit <= 10; limit += 9) {
            struct tvs_list_query query = {.prefix = "", .delimiter = "", .after = "", .limit = limit};
            bool more = false;
            must_fail(store->ops->list(store->driver, "bucket", &query, take_any, NULL, &more, &error), TROVE_DATA_LOSS, &error,
                      damages[i].words);
        }
        rocksdb_delete_cf(index->db, index->write_options, index->rows, (const char *)row_key, row_key_bytes, &failure);
        assert_null(failure);
        must_list(store, "", "", "", 10, "a z |");
    }
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, store_setup, store_teardown)

int main(int count, char **arguments) {
    fixture_choose(count, arguments);
    const struct CMUnitTest tests[] = {
        TEST(test_order_and_odd_keys),
        TEST(test_pages),
        TEST(test_prefix),
        TEST(test_delimiter),
        TEST(test_visitor_ends_the_page),
        TEST(test_buckets_are_apart),
        TEST(test_many_long_keys),
    };
    const struct CMUnitTest local_tests[] = {TEST(test_a_damaged_index_is_no_end)};
    if (fixture_ops == &tvs_local_driver && cmocka_run_group_tests_name("damage", local_tests, NULL, NULL) != 0)
        return 1;
    return cmocka_run_group_tests_name(fixture_ops == &tvs_mem_driver ? "listing in mem" : "listing in local", tests, NULL, NULL);
}
