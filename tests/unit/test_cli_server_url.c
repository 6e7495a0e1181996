/* test_cli_server_url.c - the default server follows troved's rule. */
#include "server_url.h"

#include "unit.h"

static void default_by_user_and_folder(void **state) {
    (void)state;
    static const struct {
        const char *runtime_folder;
        uid_t user;
        const char *url;
    } rows[] = {
        {"/run/user/1000", 1000, "ipc:///run/user/1000/trove/troved.sock"},
        {"/run/user/0", 0, "ipc:///run/trove/troved.sock"},
        {NULL, 1000, "ipc:///run/trove/troved.sock"},
        {"", 1000, "ipc:///run/trove/troved.sock"},
        {"relative", 1000, "ipc:///run/trove/troved.sock"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        unit_row(rows[i].url);
        char *url = cli_server_url_default(rows[i].runtime_folder, rows[i].user);
        assert_string_equal(url, rows[i].url);
        free(url);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(default_by_user_and_folder)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
