/* test_url.c - which addresses of servers are taken, and what is said of the others. */
#include "url.h"

#include "unit.h"

enum allowed {
    NEVER,
    LISTEN,
    ALWAYS
};

static const struct {
    const char *url;
    enum allowed allowed;
    const char *said;
} rows[] = {
    {"ipc:///run/trove/troved.sock", ALWAYS, ""},
    {"ipc:///x", ALWAYS, ""},
    {"ipc:///", NEVER, "a folder"},
    {"ipc:///run/", NEVER, "a folder"},
    {"ipc://", NEVER, "absolute path"},
    {"ipc://relative/path", NEVER, "absolute path"},
    {"ipc:/run/x", NEVER, "begins with none of"},
    {"tcp://localhost:7000", ALWAYS, ""},
    {"tcp://127.0.0.1:1", ALWAYS, ""},
    {"tcp://127.0.0.1:65535", ALWAYS, ""},
    {"tcp://127.0.0.1:65536", NEVER, "1 to 65535"},
    {"tcp://127.0.0.1:4294967297", NEVER, "1 to 65535"},
    {"tcp://127.0.0.1:0", LISTEN, "1 to 65535"},
    {"tcp://127.0.0.1:-1", NEVER, "1 to 65535"},
    {"tcp://127.0.0.1:http", NEVER, "1 to 65535"},
    {"tcp://127.0.0.1:7000x", NEVER, "1 to 65535"},
    {"tcp://127.0.0.1:7000?foo=x", NEVER, "only key= is known"},
    {"ws://127.0.0.1:80?foo=x", NEVER, "only key= is known"},
    {"tcp://127.0.0.1:", NEVER, ":PORT is missing"},
    {"tcp://127.0.0.1", NEVER, ":PORT is missing"},
    {"tcp://127.0.0.1/7000", NEVER, ":PORT is missing"},
    {"tcp://127.0.0.1:7000/", NEVER, "ends with its port"},
    {"tcp://127.0.0.1:7000/path", NEVER, "ends with its port"},
    {"tcp://", NEVER, "missing"},
    {"tcp://:7000", LISTEN, "HOST is missing"},
    {"tcp://*:7000", LISTEN, "letters, digits"},
    {"tcp://[::1]:7000", ALWAYS, ""},
    {"tcp://[::]:0", LISTEN, "1 to 65535"},
    {"tcp://[::1]", NEVER, ":PORT is missing"},
    {"tcp://[::1", NEVER, "between [ and ]"},
    {"tcp://[]:7000", NEVER, "between [ and ]"},
    {"tcp://[localhost]:7000", NEVER, "no IPv6 address"},
    {"tcp://[::1]x:7000", NEVER, ":PORT is missing"},
    {"tcp://::1:7000", NEVER, "stands in brackets"},
    {"tcp://a b:7000", NEVER, "letters, digits"},
    {"tcp://user@host:7000", NEVER, "letters, digits"},
    {"tcp://under_score.example:7000", ALWAYS, ""},
    {"ws://127.0.0.1:80", ALWAYS, ""},
    {"ws://127.0.0.1:80/", ALWAYS, ""},
    {"ws://127.0.0.1:80/trove/%C3%A4", ALWAYS, ""},
    {"ws://127.0.0.1:0/trove", LISTEN, "1 to 65535"},
    {"ws://127.0.0.1/trove", NEVER, ":PORT is missing"},
    {"ws://127.0.0.1:/trove", NEVER, ":PORT is missing"},
    {"ws://:80/trove", LISTEN, "HOST is missing"},
    {"ws://127.0.0.1:80/a b", NEVER, "%XX"},
    {"ws://127.0.0.1:80/\xC3\xA4", NEVER, "%XX"},
    {"ws://127.0.0.1:80/a\n", NEVER, "%XX"},
    {"ws://", NEVER, "missing"},
    {"http://localhost:7000", NEVER, "begins with none of"},
    {"wss://localhost:7000", NEVER, "begins with none of"},
    {"localhost:7000", NEVER, "begins with none of"},
    {"TCP://localhost:7000", NEVER, "begins with none of"},
    {"/run/trove/troved.sock", NEVER, "begins with none of"},
    {"", NEVER, "it is empty"},
};

static void forms(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        trove_error error = {.message = ""};
        unit_row(rows[i].url);
        char *url = unit_copy(rows[i].url, strlen(rows[i].url) + 1);
        assert_int_equal(tv_url_check(url, TV_URL_TO_LISTEN, NULL),
                         rows[i].allowed >= LISTEN ? TROVE_OK : TROVE_INVALID_ARGUMENT);
        assert_int_equal(tv_url_check(url, TV_URL_TO_DIAL, &error),
                         rows[i].allowed == ALWAYS ? TROVE_OK : TROVE_INVALID_ARGUMENT);
        assert_non_null(strstr(error.message, rows[i].said));
        if (rows[i].allowed != ALWAYS)
            assert_non_null(strstr(error.message, TV_URL_FORMS));
        free(url);
    }
}

/* Each limit at one less, exactly, and one more. */
static void lengths(void **state) {
    (void)state;
    static const struct {
        const char *name;
        const char *before;
        const char *behind;
        size_t longest; /* of what stands between */
    } limits[] = {
        {"a socket's path", "ipc:///", "", TV_IPC_PATH_BYTES_MAX - 1},
        {"a whole URL", "ws://h:1/", "", TV_URL_BYTES_MAX - 9},
        {"a URL with a long host", "tcp://", ":1", TV_URL_BYTES_MAX - 8},
    };
    for (size_t i = 0; i < sizeof limits / sizeof limits[0]; i++) {
        unit_row(limits[i].name);
        for (size_t bytes = limits[i].longest - 1; bytes <= limits[i].longest + 1; bytes++) {
            char url[TV_URL_BYTES_MAX + 32];
            char fill[TV_URL_BYTES_MAX + 1] = "";
            memset(fill, 'x', bytes);
            snprintf(url, sizeof url, "%s%s%s", limits[i].before, fill, limits[i].behind);
            assert_int_equal(tv_url_check(url, TV_URL_TO_DIAL, NULL),
                             bytes <= limits[i].longest ? TROVE_OK : TROVE_INVALID_ARGUMENT);
        }
    }
}

static void hosts(void **state) {
    (void)state;
    static const struct {
        const char *url;
        const char *host;
    } hosts[] = {
        {"tcp://example.org:7000", "example.org"},
        {"ws://10.0.0.1:80/x:y", "10.0.0.1"},
        {"tcp://[fe80::1]:7000", "fe80::1"},
        {"tcp://:7000", ""},
        {"ipc:///run/x:1", ""},
    };
    for (size_t i = 0; i < sizeof hosts / sizeof hosts[0]; i++) {
        unit_row(hosts[i].url);
        assert_string_equal(tv_url_host(hosts[i].url).text, hosts[i].host);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(forms),
        cmocka_unit_test(lengths),
        cmocka_unit_test(hosts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
