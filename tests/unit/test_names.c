/* test_names.c - what may be a bucket, a key, a content type, metadata, each limit at one less, exactly and one more. */
#include "names.h"

#include "bounds.h"
#include "unit.h"

static char *repeated(const char *unit, size_t bytes) {
    char *text = malloc(bytes + 1);
    size_t unit_bytes = strlen(unit);
    for (size_t i = 0; i < bytes; i++)
        text[i] = unit[i % unit_bytes];
    text[bytes] = '\0';
    return text;
}

static void judges_buckets(void **state) {
    (void)state;
    static const struct {
        const char *bucket;
        const char *says; /* NULL: a good name */
    } rows[] = {
        {"", "0 bytes"},
        {"ab", "2 bytes"},
        {"abc", NULL},
        {"a.b", NULL},
        {"my-bucket.2024", NULL},
        {"000", NULL},
        {"Abc", "position 1"},
        {"ab_c", "position 3"},
        {"ab c", "position 3"},
        {"\xC3\xA4\xC3\xB6\xC3\xBC", "position 1"},
        {"a..b", "two dots"},
        {".ab", "begin and end"},
        {"ab.", "begin and end"},
        {"-ab", "begin and end"},
        {"ab-", "begin and end"},
        {"192.168.0.1", "IP address"},
        {"192.168.0.1.5", NULL},
        {"192.168.0.256", NULL},
        {"a/b", "position 2"},
        {"../etc", "two dots"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        unit_row(rows[i].bucket);
        trove_error error = {TROVE_OK, ""};
        trove_status status = tv_bucket_check(rows[i].bucket, &error);
        assert_int_equal(status, rows[i].says == NULL ? TROVE_OK : TROVE_INVALID_ARGUMENT);
        assert_non_null(strstr(error.message, rows[i].says == NULL ? "" : rows[i].says));
    }
    for (size_t bytes = TV_BUCKET_BYTES_MAX - 1; bytes <= TV_BUCKET_BYTES_MAX + 1; bytes++) {
        char *bucket = repeated("b", bytes);
        assert_int_equal(tv_bucket_check(bucket, NULL), bytes <= TV_BUCKET_BYTES_MAX ? TROVE_OK : TROVE_INVALID_ARGUMENT);
        free(bucket);
    }
}

static void judges_keys(void **state) {
    (void)state;
    static const struct {
        const char *key;
        trove_status status;
    } rows[] = {
        {"", TROVE_INVALID_ARGUMENT},
        {"a", TROVE_OK},
        {"a/b", TROVE_OK},
        {"../../etc/passwd", TROVE_OK},
        {"//a//", TROVE_OK},
        {".", TROVE_OK},
        {"\n\t", TROVE_OK},
        {"\xF0\x9F\x90\x8B", TROVE_OK},
        {"a\xFF", TROVE_INVALID_ARGUMENT},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        unit_row(rows[i].key);
        assert_int_equal(tv_key_check(rows[i].key, NULL), rows[i].status);
    }
    for (size_t bytes = TV_KEY_BYTES_MAX - 1; bytes <= TV_KEY_BYTES_MAX + 1; bytes++) {
        char *key = repeated("k", bytes);
        trove_error error = {TROVE_OK, ""};
        bool fits = bytes <= TV_KEY_BYTES_MAX;
        assert_int_equal(tv_key_check(key, &error), fits ? TROVE_OK : TROVE_INVALID_ARGUMENT);
        assert_non_null(strstr(error.message, fits ? "" : "1025 bytes; at most 1024"));
        assert_true(strlen(error.message) < 200); /* the key isn't repeated whole */
        free(key);
    }
}

static void judges_content_types(void **state) {
    (void)state;
    assert_int_equal(tv_content_type_check("", NULL), TROVE_OK);
    assert_int_equal(tv_content_type_check("text/plain; charset=utf-8", NULL), TROVE_OK);
    assert_int_equal(tv_content_type_check("text\n", NULL), TROVE_INVALID_ARGUMENT);
    assert_int_equal(tv_content_type_check("\x7F", NULL), TROVE_INVALID_ARGUMENT);
    assert_int_equal(tv_content_type_check("\xC3\xA4", NULL), TROVE_INVALID_ARGUMENT);
    for (size_t bytes = TV_CONTENT_TYPE_BYTES_MAX - 1; bytes <= TV_CONTENT_TYPE_BYTES_MAX + 1; bytes++) {
        char *type = repeated("t", bytes);
        assert_int_equal(tv_content_type_check(type, NULL),
                         bytes <= TV_CONTENT_TYPE_BYTES_MAX ? TROVE_OK : TROVE_INVALID_ARGUMENT);
        free(type);
    }
}

static void judges_metadata(void **state) {
    (void)state;
    static const struct {
        const char *name;
        trove_metadata entries[2];
        size_t count;
        trove_status status;
    } rows[] = {
        {"none", {{NULL, NULL}}, 0, TROVE_OK},
        {"one", {{"author", "ada"}}, 1, TROVE_OK},
        {"an empty value", {{"author", ""}}, 1, TROVE_OK},
        {"an empty name", {{"", "ada"}}, 1, TROVE_INVALID_ARGUMENT},
        {"the same name twice", {{"a", "1"}, {"a", "2"}}, 2, TROVE_INVALID_ARGUMENT},
        {"names that differ in case", {{"a", "1"}, {"A", "2"}}, 2, TROVE_OK},
        {"a name that isn't UTF-8", {{"\xFF", "1"}}, 1, TROVE_INVALID_ARGUMENT},
        {"a value that isn't UTF-8", {{"a", "\xFF"}}, 1, TROVE_INVALID_ARGUMENT},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        unit_row(rows[i].name);
        assert_int_equal(tv_metadata_check(rows[i].entries, rows[i].count, NULL), rows[i].status);
    }
}

static void bounds_metadata(void **state) {
    (void)state;
    char names[TV_METADATA_COUNT_MAX + 1][8];
    trove_metadata many[TV_METADATA_COUNT_MAX + 1];
    for (size_t i = 0; i <= TV_METADATA_COUNT_MAX; i++) {
        snprintf(names[i], sizeof names[i], "n%zu", i);
        many[i] = (trove_metadata){names[i], "v"};
    }
    for (size_t count = TV_METADATA_COUNT_MAX - 1; count <= TV_METADATA_COUNT_MAX + 1; count++)
        assert_int_equal(tv_metadata_check(many, count, NULL),
                         count <= TV_METADATA_COUNT_MAX ? TROVE_OK : TROVE_INVALID_ARGUMENT);
    for (size_t bytes = TV_METADATA_BYTES_MAX - 1; bytes <= TV_METADATA_BYTES_MAX + 1; bytes++) {
        char *value = repeated("v", bytes - 1);
        trove_metadata one = {"k", value};
        assert_int_equal(tv_metadata_check(&one, 1, NULL), bytes <= TV_METADATA_BYTES_MAX ? TROVE_OK : TROVE_INVALID_ARGUMENT);
        free(value);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(judges_buckets),  cmocka_unit_test(judges_keys),     cmocka_unit_test(judges_content_types),
        cmocka_unit_test(judges_metadata), cmocka_unit_test(bounds_metadata),
    };
    return cmocka_run_group_tests_name("names", tests, NULL, NULL);
}
