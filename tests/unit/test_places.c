/* Where socket and store are when nobody says. The first table stands in test_cli_server_url.c as well: both ends must agree. */
#include "places.h"
#include "unit.h"

static void listens_where_the_command_looks(void **state) {
    (void)state;
    static const struct {
        const char *name;
        const char *runtime_folder;
        uid_t user;
        const char *url;
    } rows[] = {
        {"user", "/run/user/1000", 1000, "ipc:///run/user/1000/trove/troved.sock"},
        {"user without a runtime folder", NULL, 1000, "ipc:///run/trove/troved.sock"},
        {"user with an empty one", "", 1000, "ipc:///run/trove/troved.sock"},
        {"user with a relative one", "run", 1000, "ipc:///run/trove/troved.sock"},
        {"root", "/run/user/0", 0, "ipc:///run/trove/troved.sock"},
        {"root without", NULL, 0, "ipc:///run/trove/troved.sock"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        unit_row(rows[i].name);
        char *url = tvs_place_listen(rows[i].runtime_folder, rows[i].user);
        assert_string_equal(url, rows[i].url);
        free(url);
    }
}

static void stores_below_the_data_folder(void **state) {
    (void)state;
    static const struct {
        const char *name;
        const char *data_folder;
        const char *home;
        uid_t user;
        const char *dsn;
    } rows[] = {
        {"user", NULL, "/home/ann", 1000, "local:///home/ann/.local/share/trove"},
        {"user with a data folder", "/data", "/home/ann", 1000, "local:///data/trove"},
        {"a relative one is ignored", "data", "/home/ann", 1000, "local:///home/ann/.local/share/trove"},
        {"root", "/data", "/root", 0, "local:///var/lib/trove"},
        {"nothing known", NULL, NULL, 1000, NULL},
        {"no absolute home", NULL, "", 1000, NULL},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        unit_row(rows[i].name);
        char *dsn = tvs_place_store(rows[i].data_folder, rows[i].home, rows[i].user);
        if (rows[i].dsn == NULL)
            assert_null(dsn);
        else
            assert_string_equal(dsn, rows[i].dsn);
        free(dsn);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(listens_where_the_command_looks),
        cmocka_unit_test(stores_below_the_data_folder),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
