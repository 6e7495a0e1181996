/* What rights are as text, and what they allow on which key. */
#include "bounds.h"
#include "principal.h"
#include "unit.h"

#define ALL TVS_RIGHTS_ALL

static struct tvs_rights *rights_of(const char *text) {
    struct tvs_rights *rights = NULL;
    trove_error error = {.message = ""};
    char *copy = unit_copy(text, strlen(text) + 1);
    trove_status status = tvs_rights_parse(copy, &rights, &error);
    free(copy);
    assert_string_equal(error.message, "");
    assert_int_equal(status, TROVE_OK);
    return rights;
}

static void grants_cover(void **state) {
    (void)state;
    static const struct {
        const char *name;
        const char *text;
        unsigned wanted;
        const char *bucket; /* NULL: the whole server */
        const char *prefix;
        bool allowed;
    } rows[] = {
        {"everything, everywhere", "all", ALL, NULL, "", true},
        {"everything, in a bucket", "all", ALL, "media", "", true},
        {"one right, everywhere", "read", TVS_RIGHT_READ, "media", "a", true},
        {"another right", "read", TVS_RIGHT_WRITE, "media", "a", false},
        {"one of two", "read", TVS_RIGHT_READ | TVS_RIGHT_WRITE, "media", "a", false},
        {"two of two", "read,write", TVS_RIGHT_READ | TVS_RIGHT_WRITE, "media", "a", true},
        {"two of two by two grants", "read:media write", TVS_RIGHT_READ | TVS_RIGHT_WRITE, "media", "a", true},
        {"in its bucket", "read:media", TVS_RIGHT_READ, "media", "a", true},
        {"its whole bucket", "list:media", TVS_RIGHT_LIST, "media", "", true},
        {"in another bucket", "read:media", TVS_RIGHT_READ, "media2", "a", false},
        {"a bucket isn't the server", "admin:media", TVS_RIGHT_ADMIN, NULL, "", false},
        {"nor are all that there are", "read", TVS_RIGHT_READ, NULL, "", true},
        {"below its prefix", "read:media/a/", TVS_RIGHT_READ, "media", "a/b", true},
        {"the prefix itself", "read:media/a/", TVS_RIGHT_READ, "media", "a/", true},
        {"above its prefix", "read:media/a/", TVS_RIGHT_READ, "media", "a", false},
        {"a prefix isn't the bucket", "list:media/a/", TVS_RIGHT_LIST, "media", "", false},
        {"beside its prefix", "read:media/a/", TVS_RIGHT_READ, "media", "ab", false},
        {"a prefix is no folder", "read:media/a", TVS_RIGHT_READ, "media", "ab", true},
        {"an empty prefix", "read:media/", TVS_RIGHT_READ, "media", "", true},
        {"a prefix with a comma", "read:media/a,b:c", TVS_RIGHT_READ, "media", "a,b:c", true},
        {"a prefix with a comma before a right's name", "read:media/a%2Cwrite:b", TVS_RIGHT_READ, "media", "a,write:b", true},
        {"escaped", "read:media/%20%25%23", TVS_RIGHT_READ, "media", " %#x", true},
        {"escaped at its end only", "read:media/a%0A", TVS_RIGHT_READ, "media", "a", false},
        {"many blanks", "  read:media \t write:media  ", TVS_RIGHT_WRITE, "media", "a", true},
        {"nothing wanted", "read:media", 0, "other", "", true},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        unit_row(rows[i].name);
        struct tvs_rights *rights = rights_of(rows[i].text);
        assert_int_equal(tvs_rights_allow(rights, rows[i].wanted, rows[i].bucket, rows[i].prefix), rows[i].allowed);
        tvs_rights_release(rights);
    }
}

static void nobody_may_do_anything(void **state) {
    (void)state;
    assert_false(tvs_rights_allow(NULL, TVS_RIGHT_READ, "media", "a"));
    assert_false(tvs_rights_touch(NULL, ALL, "media"));
    tvs_rights_release(tvs_rights_acquire(NULL));
}

static void buckets_show(void **state) {
    (void)state;
    static const struct {
        const char *text;
        const char *bucket;
        bool shows;
    } rows[] = {
        {"read", "media", true},        {"list:media/a/", "media", true},       {"read:media/a/", "media", true},
        {"read:media", "other", false}, {"write,delete,admin", "media", false},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        unit_row(rows[i].text);
        struct tvs_rights *rights = rights_of(rows[i].text);
        assert_int_equal(tvs_rights_touch(rights, TVS_RIGHT_READ | TVS_RIGHT_LIST, rows[i].bucket), rows[i].shows);
        tvs_rights_release(rights);
    }
}

static void refused_texts(void **state) {
    (void)state;
    static const struct {
        const char *name;
        const char *text;
        const char *message;
    } rows[] = {
        {"nothing", "", "no rights are named"},
        {"blanks alone", " \t ", "no rights are named"},
        {"no right", "raed", "grant \"raed\": \"raed\" is no right; there are read"},
        {"the wrong case", "Read", "is no right"},
        {"an empty word", "read,,write", "\"\" is no right"},
        {"a comma at the end", "read,", "\"\" is no right"},
        {"no words before the place", ":media", "\"\" is no right"},
        {"no bucket", "read:", "bucket"},
        {"no bucket before a prefix", "read:/a", "bucket"},
        {"two grants without a space", "read:media/a,write:media/b", "between grants it is a space"},
        {"two grants without a space, behind a comma", "read:media/a,b,write,list:media/b", "between grants it is a space"},
        {"a bucket that is none", "read:Media", "bucket"},
        {"all buckets are said by no place", "read:*", "bucket"},
        {"half an escape", "read:media/a%2", "'%'"},
        {"a whole escape is needed", "read:media/%", "'%'"},
        {"lower case in an escape", "read:media/%2f", "'%'"},
        {"no NUL", "read:media/%00", "'%'"},
        {"a control character", "read:media/a\x01", "write it as %01"},
        {"not UTF-8", "read:media/%FF", "isn't UTF-8"},
        {"a later one", "read write:x", "grant \"write:x\""},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct tvs_rights *rights = NULL;
        trove_error error = {.message = ""};
        unit_row(rows[i].name);
        char *copy = unit_copy(rows[i].text, strlen(rows[i].text) + 1);
        assert_int_equal(tvs_rights_parse(copy, &rights, &error), TROVE_INVALID_ARGUMENT);
        free(copy);
        assert_non_null(strstr(error.message, rows[i].message));
        assert_null(rights);
    }
}

static void as_many_as_fit(void **state) {
    (void)state;
    char text[TVS_RIGHTS_TEXT_BYTES_MAX + 2];
    struct tvs_rights *rights = NULL;
    trove_error error;
    for (int count = TVS_GRANTS_MAX - 1; count <= TVS_GRANTS_MAX + 1; count++) {
        text[0] = '\0';
        for (int i = 0; i < count; i++)
            strcat(text, "read:media ");
        bool fits = count <= TVS_GRANTS_MAX;
        assert_int_equal(tvs_rights_parse(text, &rights, &error), fits ? TROVE_OK : TROVE_INVALID_ARGUMENT);
        if (fits)
            tvs_rights_release(rights);
    }
    for (int more = -1; more <= 1; more++) {
        snprintf(text, sizeof text, "read%*s", TVS_RIGHTS_TEXT_BYTES_MAX - 4 + more, "");
        assert_int_equal(tvs_rights_parse(text, &rights, &error), more <= 0 ? TROVE_OK : TROVE_INVALID_ARGUMENT);
        if (more <= 0)
            tvs_rights_release(rights);
    }
}

static void long_prefixes(void **state) {
    (void)state;
    char text[64 + TV_KEY_BYTES_MAX];
    struct tvs_rights *rights = NULL;
    trove_error error;
    for (int more = -1; more <= 1; more++) {
        int used = snprintf(text, sizeof text, "read:media/");
        memset(text + used, 'k', (size_t)(TV_KEY_BYTES_MAX + more));
        text[used + TV_KEY_BYTES_MAX + more] = '\0';
        assert_int_equal(tvs_rights_parse(text, &rights, &error), more <= 0 ? TROVE_OK : TROVE_INVALID_ARGUMENT);
        if (more <= 0)
            tvs_rights_release(rights);
    }
}

static void refusals_name_who_what_and_where(void **state) {
    (void)state;
    static const struct {
        const char *text;
        unsigned wanted;
        const char *bucket;
        const char *prefix;
        const char *message;
    } rows[] = {
        {"read", TVS_RIGHT_WRITE, "media", "a", "key:ops doesn't have the right `write` on media/a"},
        {"read", TVS_RIGHT_READ | TVS_RIGHT_WRITE, "media", "a", "key:ops doesn't have the right `write` on media/a"},
        {"read:media/a/", TVS_RIGHT_LIST, "media", "", "key:ops doesn't have the right `list` on the whole of bucket media"},
        {"admin:media", TVS_RIGHT_ADMIN, NULL, "", "key:ops doesn't have the right `admin` on the whole server"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct tvs_principal principal = {.name = "key:ops", .rights = rights_of(rows[i].text)};
        trove_error error = {.message = ""};
        assert_int_equal(tvs_principal_check(&principal, rows[i].wanted, rows[i].bucket, rows[i].prefix, &error),
                         TROVE_PERMISSION_DENIED);
        assert_string_equal(error.message, rows[i].message);
        tvs_principal_fini(&principal);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(grants_cover),
        cmocka_unit_test(nobody_may_do_anything),
        cmocka_unit_test(buckets_show),
        cmocka_unit_test(refused_texts),
        cmocka_unit_test(as_many_as_fit),
        cmocka_unit_test(long_prefixes),
        cmocka_unit_test(refusals_name_who_what_and_where),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
