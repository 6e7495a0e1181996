/* test_known_servers.c - the file of known servers: addresses, lines, and adding to a real file. */
#include "key_file.h"
#include "known_servers.h"
#include "scratch.h"
#include "unit.h"

#include <sys/stat.h>
#include <unistd.h>

#define ONE "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE="
#define TWO "AgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgI="

static const struct {
    const char *url;
    const char *address; /* NULL: it can't stand there */
} urls[] = {
    {"tcp://server:7070", "server:7070"},
    {"tcp://Server.Example:7070", "server.example:7070"},
    {"tcp://[::1]:7070", "[::1]:7070"},
    {"ws://server:7070/trove", "server:7070"},
    {"ipc:///run/trove/troved.sock", "/run/trove/troved.sock"},
    {"ipc:///run/Trove/troved.sock", "/run/Trove/troved.sock"},
    {"ipc:///run/my trove/troved.sock", NULL},
    {"ipc:///run/my\ttrove", NULL},
    {"ipc:///run/my\ntrove", NULL},
    {"http://server", NULL},
    {"", NULL},
};

static void addresses(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof urls / sizeof urls[0]; i++) {
        char *address = NULL;
        unit_row(urls[i].url);
        trove_status status = tvc_known_servers_address(urls[i].url, &address, NULL);
        assert_int_equal(status, urls[i].address != NULL ? TROVE_OK : TROVE_INVALID_ARGUMENT);
        if (urls[i].address != NULL)
            assert_string_equal(address, urls[i].address);
        free(address);
    }
}

static const struct {
    const char *name;
    const char *text;
    trove_status status;
    unsigned line; /* OK */
    const char *key;
    const char *said; /* else */
} files[] = {
    {"empty", "", TROVE_NOT_FOUND, 0, NULL, "FILE has no line for host:1"},
    {"comments", "# one\n\n   \t\n  # two\r\n", TROVE_NOT_FOUND, 0, NULL, "no line"},
    {"a line", "host:1 " ONE "\n", TROVE_OK, 1, ONE, NULL},
    {"no newline", "host:1 " ONE, TROVE_OK, 1, ONE, NULL},
    {"blanks and a comment", "\n\t host:1 \t" ONE "  the one\r\n", TROVE_OK, 2, ONE, NULL},
    {"others", "host:2 " TWO "\nhost:11 " TWO "\nhost:1 " ONE "\nhost " TWO "\n", TROVE_OK, 3, ONE, NULL},
    {"twice the same", "host:1 " ONE "\nhost:1 " ONE "\n", TROVE_OK, 1, ONE, NULL},
    {"twice", "host:1 " ONE "\n# x\nhost:1 " TWO "\n", TROVE_INVALID_ARGUMENT, 0, NULL,
     "line 3: another key for host:1 than line 1"},
    {"no key", "host:1\n", TROVE_INVALID_ARGUMENT, 0, NULL, "FILE line 1"},
    {"no key of another's", "host:1 " ONE "\nhost:2 nonsense\n", TROVE_INVALID_ARGUMENT, 0, NULL, "FILE line 2"},
    {"a key that is too long", "host:1 " ONE "=\n", TROVE_INVALID_ARGUMENT, 0, NULL, "FILE line 1"},
    {"a key that is too short", "host:1 AQE=\n", TROVE_INVALID_ARGUMENT, 0, NULL, "FILE line 1"},
};

static void lines(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        struct tvc_known_server found = {0};
        char text[TV_KEY_TEXT_BYTES];
        trove_error error;
        unit_row(files[i].name);
        size_t bytes = strlen(files[i].text);
        uint8_t *copy = unit_copy(files[i].text, bytes); /* no NUL behind it */
        assert_int_equal(tvc_known_servers_look("FILE", (char *)copy, bytes, "host:1", &found, &error), files[i].status);
        free(copy);
        assert_int_equal(found.line, files[i].line);
        if (files[i].said != NULL) {
            assert_non_null(strstr(error.message, files[i].said));
            continue;
        }
        tv_key_format(found.key, text);
        assert_string_equal(text, files[i].key);
    }
}

/* ---- a file ---- */

static void check_content(const char *path, const char *wanted) {
    char content[1024] = "";
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    size_t bytes = fread(content, 1, sizeof content - 1, file);
    content[bytes] = '\0';
    fclose(file);
    assert_string_equal(content, wanted);
}

static void adding(void **state) {
    (void)state;
    char folder[SCRATCH_BYTES];
    char path[SCRATCH_BYTES + 16];
    char next[SCRATCH_BYTES + 32];
    uint8_t one[TV_NOISE_KEY_BYTES];
    uint8_t two[TV_NOISE_KEY_BYTES];
    struct tvc_known_server found;
    struct stat about;
    trove_error error;
    memset(one, 1, sizeof one);
    memset(two, 2, sizeof two);
    assert_true(scratch_make(folder));
    snprintf(path, sizeof path, "%s/known", folder);
    snprintf(next, sizeof next, "%s.new", path);
    assert_int_equal(tvc_known_servers_find(path, "tcp://host:1", &found, NULL), TROVE_NOT_FOUND);
    assert_int_equal(tvc_known_servers_add(path, "tcp://host:1", one, NULL), TROVE_OK);
    assert_int_equal(stat(path, &about), 0);
    assert_int_equal(about.st_mode & 07777, 0600);
    assert_int_equal(chmod(path, 0644), 0);
    fclose(fopen(next, "w")); /* a crash has left it */
    assert_int_equal(tvc_known_servers_add(path, "ipc:///a/socket", two, NULL), TROVE_OK);
    assert_int_equal(tvc_known_servers_add(path, "ws://HOST:1/trove", one, NULL), TROVE_OK);
    check_content(path, "host:1 " ONE "\n/a/socket " TWO "\n");
    assert_int_equal(stat(path, &about), 0);
    assert_int_equal(about.st_mode & 07777, 0644);
    assert_int_equal(tvc_known_servers_add(path, "tcp://host:1", two, &error), TROVE_ALREADY_EXISTS);
    assert_non_null(strstr(error.message, "line 1 has another key for host:1"));
    assert_int_equal(tvc_known_servers_find(path, "ipc:///a/socket", &found, NULL), TROVE_OK);
    assert_int_equal(found.line, 2);
    assert_memory_equal(found.key, two, sizeof two);
    assert_int_equal(tvc_known_servers_find(path, "ipc:///a b/socket", &found, NULL), TROVE_NOT_FOUND);
    assert_int_equal(tvc_known_servers_find(path, "a b", &found, NULL), TROVE_INVALID_ARGUMENT);
    assert_int_equal(tvc_known_servers_add(path, "ipc:///a b/socket", two, NULL), TROVE_INVALID_ARGUMENT);
    assert_int_equal(access(next, F_OK), -1);
    assert_int_equal(chmod(path, 0664), 0);
    assert_int_equal(tvc_known_servers_find(path, "tcp://host:1", &found, NULL), TROVE_FAILED_PRECONDITION);
    assert_int_equal(tvc_known_servers_add(path, "tcp://host:3", one, NULL), TROVE_FAILED_PRECONDITION);
    assert_true(scratch_remove(folder));
    assert_int_equal(tvc_known_servers_add(path, "tcp://host:1", one, NULL), TROVE_NOT_FOUND);
}

/* A file that can't be read any more would be worse than one that doesn't grow. */
static void full(void **state) {
    (void)state;
    static char comment[TVC_KNOWN_SERVERS_BYTES_MAX];
    static const size_t line_bytes = sizeof "host:1 " ONE; /* its newline counts as the NUL does */
    char folder[SCRATCH_BYTES];
    char path[SCRATCH_BYTES + 16];
    uint8_t one[TV_NOISE_KEY_BYTES];
    struct tvc_known_server found;
    trove_error error;
    memset(one, 1, sizeof one);
    memset(comment, '#', sizeof comment);
    comment[sizeof comment - line_bytes - 1] = '\n';
    assert_true(scratch_make(folder));
    snprintf(path, sizeof path, "%s/known", folder);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_int_equal(fwrite(comment, sizeof comment - line_bytes, 1, file), 1);
    fclose(file);
    assert_int_equal(tvc_known_servers_add(path, "tcp://host:22", one, &error), TROVE_RESOURCE_EXHAUSTED);
    assert_non_null(strstr(error.message, "no room for another line"));
    assert_int_equal(tvc_known_servers_add(path, "tcp://host:1", one, NULL), TROVE_OK);
    assert_int_equal(tvc_known_servers_find(path, "tcp://host:1", &found, NULL), TROVE_OK);
    assert_int_equal(found.line, 2);
    assert_true(scratch_remove(folder));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(addresses),
        cmocka_unit_test(lines),
        cmocka_unit_test(adding),
        cmocka_unit_test(full),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
