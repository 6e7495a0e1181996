/* test_cli_local_path.c - no key leads out of its folder, none takes another's place. */
#include "local_path.h"

#include "unit.h"

static void safe_paths_are_taken(void **state) {
    (void)state;
    static const char *const rows[] = {"a", "a/b", "-", "...", "..a", "a..", ".hidden", "a/.b/c", " ", "e\xCC\x81", "a\nb"};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        unit_row(rows[i]);
        assert_null(cli_local_path_refusal(rows[i]));
    }
}

static void others_are_refused(void **state) {
    (void)state;
    static const struct {
        const char *path;
        const char *why;
    } rows[] = {
        {"", "empty"},           {"/", "begins with '/'"}, {"/etc/passwd", "begins with '/'"},
        {"..", "\"..\""},        {"../x", "\"..\""},       {"a/../../x", "\"..\""},
        {"a/..", "\"..\""},      {".", "\".\""},           {"./a", "\".\""},
        {"a/./b", "\".\""},      {"a//b", "empty part"},   {"a/", "ends in '/'"},
        {"a/b/", "ends in '/'"}, {"a//", "empty part"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        unit_row(rows[i].path);
        const char *refusal = cli_local_path_refusal(rows[i].path);
        assert_non_null(refusal);
        assert_non_null(strstr(refusal, rows[i].why));
    }
}

static void parts_fit_a_file_name(void **state) {
    (void)state;
    char path[2 + 256 + 1] = "a/";
    memset(path + 2, 'n', 255);
    path[2 + 255] = 0;
    assert_null(cli_local_path_refusal(path));
    path[2 + 255] = 'n';
    path[2 + 256] = 0;
    assert_non_null(cli_local_path_refusal(path));
}

static void what_lies_below_is_found(void **state) {
    (void)state;
    /* In byte order '-' and '.' come before '/', so what lies below needn't be the neighbour. */
    static const struct {
        const char *path;
        const char *below;
    } rows[] = {
        {"a", "a/b"}, {"a-b", NULL},  {"a.txt", NULL}, {"a/b", "a/b/c"},           {"a/b/c", NULL},      {"a0", NULL},
        {"b", NULL},  {"ba", "ba/x"}, {"ba/x", NULL},  {"\xC3\xA9", "\xC3\xA9/1"}, {"\xC3\xA9/1", NULL},
    };
    enum {
        COUNT = sizeof rows / sizeof rows[0]
    };
    const char *paths[COUNT];
    for (size_t i = 0; i < COUNT; i++)
        paths[i] = rows[i].path;
    for (size_t i = 0; i < COUNT; i++) {
        size_t below = cli_local_path_below(paths, COUNT, i);
        if (rows[i].below == NULL)
            assert_int_equal(below, COUNT);
        else
            assert_string_equal(paths[below], rows[i].below);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(safe_paths_are_taken),
        cmocka_unit_test(others_are_refused),
        cmocka_unit_test(parts_fit_a_file_name),
        cmocka_unit_test(what_lies_below_is_found),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
