/* test_cli_key_path.c - where the command's own key is. */
#include "key_path.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>

static void default_by_folders(void **state) {
    (void)state;
    static const struct {
        const char *config_folder;
        const char *home;
        const char *path;
    } rows[] = {
        {"/etc/x", "/home/a", "/etc/x/trove/key"},
        {NULL, "/home/a", "/home/a/.config/trove/key"},
        {"", "/home/a", "/home/a/.config/trove/key"},
        {"relative", "/home/a", "/home/a/.config/trove/key"},
        {NULL, NULL, NULL},
        {"relative", "", NULL},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char *path = cli_key_path_default(rows[i].config_folder, rows[i].home);
        if (rows[i].path == NULL)
            assert_null(path);
        else
            assert_string_equal(path, rows[i].path);
        free(path);
    }
}

static void known_servers_are_beside_it(void **state) {
    (void)state;
    char *path = cli_known_servers_path_default(NULL, "/home/a");
    assert_string_equal(path, "/home/a/.config/trove/known_servers");
    free(path);
    assert_null(cli_known_servers_path_default(NULL, NULL));
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(default_by_folders), cmocka_unit_test(known_servers_are_beside_it)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
