/* test_cli_object_name.c - BUCKET/KEY is cut at the first slash; keys as folders. */
#include "object_name.h"

#include "unit.h"

static void cut_at_the_first_slash(void **state) {
    (void)state;
    static const struct {
        const char *text;
        const char *bucket; /* NULL: refused */
        const char *key;
    } rows[] = {
        {"media/report.pdf", "media", "report.pdf"},
        {"media", "media", ""},
        {"media/", "media", ""},
        {"media//x", "media", "/x"},
        {"media/a/b/", "media", "a/b/"},
        {"media/../../etc/passwd", "media", "../../etc/passwd"},
        {"", NULL, NULL},
        {"/", NULL, NULL},
        {"/key", NULL, NULL},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        unit_row(rows[i].text);
        struct cli_object_name name = {0};
        if (rows[i].bucket == NULL) {
            assert_false(cli_object_name_parse(rows[i].text, &name));
            continue;
        }
        assert_true(cli_object_name_parse(rows[i].text, &name));
        assert_string_equal(name.bucket, rows[i].bucket);
        assert_string_equal(name.key, rows[i].key);
        cli_object_name_fini(&name);
    }
}

static void base_and_folder(void **state) {
    (void)state;
    static const struct {
        const char *key;
        const char *base;
        const char *folder;
    } rows[] = {
        {"", "", ""}, {"a", "a", "a/"}, {"a/", "", "a/"}, {"a/b", "b", "a/b/"}, {"/", "", "/"}, {"a//", "", "a//"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        unit_row(rows[i].key);
        assert_string_equal(cli_key_base(rows[i].key), rows[i].base);
        assert_int_equal(cli_key_is_folder(rows[i].key), *rows[i].base == 0);
        char *folder = cli_key_folder(rows[i].key);
        assert_string_equal(folder, rows[i].folder);
        free(folder);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(cut_at_the_first_slash), cmocka_unit_test(base_and_folder)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
