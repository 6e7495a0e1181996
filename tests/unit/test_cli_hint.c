/* test_cli_hint.c - advice on failures: each row is one that a server or the library really tells. */
#include "failure.h"
#include "hint.h"
#include "unit.h"

static const trove_conditions none = {0};
static const trove_conditions only_new = {.if_none_match = true};
static const trove_conditions same_etag = {.if_match = "0123456789abcdef0123456789abcdef"};
static const trove_conditions same_generation = {.if_generation = 3};

#define OBJECT .bucket = "media", .object = "media/film"

static const struct {
    struct cli_hint_about about;
    trove_status status;
    const char *message;
    const char *hint; /* NULL: none */
} rows[] = {
    /* What is missing. */
    {{.way = CLI_HINT_STORE, OBJECT}, TROVE_NOT_FOUND, "bucket media doesn't exist", "make it with 'trove mb media'"},
    {{.way = CLI_HINT_STORE, OBJECT}, TROVE_NOT_FOUND, "media/film: bucket media doesn't exist", "make it with 'trove mb media'"},
    {{.way = CLI_HINT_TO_FILE, OBJECT}, TROVE_NOT_FOUND, "bucket media doesn't exist", "'trove ls' lists the buckets"},
    {{.way = CLI_HINT_CALL}, TROVE_NOT_FOUND, "bucket media doesn't exist", "'trove ls' lists the buckets"},
    {{.way = CLI_HINT_CALL, OBJECT},
     TROVE_NOT_FOUND,
     "object media/film doesn't exist (its bucket does)",
     "'trove ls media' lists what is there"},
    {{.way = CLI_HINT_CALL, OBJECT}, TROVE_NOT_FOUND, "no key begins with film/", "'trove ls media' lists what is there"},
    {{.way = CLI_HINT_CALL}, TROVE_NOT_FOUND, "nothing of the kind", NULL},
    {{.way = CLI_HINT_STORE, OBJECT},
     TROVE_NOT_FOUND,
     "pool \"none\" doesn't exist; this server has: default",
     "'trove pools' lists them"},
    {{.way = CLI_HINT_TO_OUTPUT, OBJECT},
     TROVE_NOT_FOUND,
     "pool \"none\" doesn't exist; this server has: default",
     "'trove pools' lists them"},
    {{.way = CLI_HINT_CALL}, TROVE_NOT_FOUND, "stream 999 doesn't exist; it may have ended", "'trove streams' lists them"},
    /* A bucket that is called like a kind of thing. */
    {{.way = CLI_HINT_CALL, .bucket = "pool", .object = "pool/x"},
     TROVE_NOT_FOUND,
     "object pool/x doesn't exist (its bucket does)",
     "'trove ls pool' lists what is there"},
    {{.way = CLI_HINT_CALL, .bucket = "pool", .object = "pool/x"},
     TROVE_DEADLINE_EXCEEDED,
     "pool/x: no answer in time",
     "allow more with --timeout SECONDS; 'trove ping' tells how fast the server answers"},
    /* What the same command goes on with. */
    {{.way = CLI_HINT_TO_FILE, OBJECT, .goes_on = true},
     TROVE_UNAVAILABLE,
     "the connection is lost",
     "'trove ping --wait 30' waits until the server answers again; run the same command again, and it goes on where this one "
     "was"},
    {{.way = CLI_HINT_STORE, OBJECT, .goes_on = true},
     TROVE_RESOURCE_EXHAUSTED,
     "the disk is full",
     "run the same command again, and it goes on where this one was"},
    {{.way = CLI_HINT_STORE, OBJECT, .goes_on = true},
     TROVE_UNAUTHENTICATED,
     "the server doesn't know this key, or it has expired",
     "when you may (again); run the same command again, and it goes on where this one was"},
    /* A pipe's bytes come once. */
    {{.way = CLI_HINT_STORE, OBJECT, .waits_for_pipe = true},
     TROVE_UNAVAILABLE,
     "the connection to ipc:///x was lost: closed by the peer",
     "what was read can't be read again, so run the whole pipeline once more; 'trove ping --wait 30' waits until the server "
     "answers"},
    {{.way = CLI_HINT_TO_OUTPUT, OBJECT, .waits_for_pipe = true},
     TROVE_UNAVAILABLE,
     "the connection to ipc:///x was lost: closed by the peer",
     "'trove ping --wait 30' waits until the server answers again"},
    {{.way = CLI_HINT_CALL, OBJECT},
     TROVE_DEADLINE_EXCEEDED,
     "the connection to ipc:///x was lost; it wasn't there again in time",
     "'trove ping --wait 30' waits until the server answers again"},
    /* What takes too long. */
    {{.way = CLI_HINT_CALL},
     TROVE_DEADLINE_EXCEEDED,
     "ipc:///x has not answered in time",
     "allow more with --timeout SECONDS; 'trove ping' tells how fast the server answers"},
    {{.way = CLI_HINT_STORE, OBJECT, .waits_for_pipe = true},
     TROVE_DEADLINE_EXCEEDED,
     "media/film: standard input has given nothing for 1 s",
     "allow more with --timeout SECONDS, or any time for one's own input and output with --timeout 0"},
    {{.way = CLI_HINT_STORE, OBJECT, .waits_for_pipe = true},
     TROVE_DEADLINE_EXCEEDED,
     "pool \"one\" has as many streams open as it may have",
     "'trove pools' shows how many wait; wait longer with --acquire-timeout SECONDS"},
    {{.way = CLI_HINT_STORE, OBJECT, .waits_for_pipe = true},
     TROVE_DEADLINE_EXCEEDED,
     "stream 5 (media/film) made no progress for 1000 ms",
     "'trove pools --json' tells the pool's limits"},
    {{.way = CLI_HINT_STORE, OBJECT},
     TROVE_RESOURCE_EXHAUSTED,
     "pool \"one\" has as many streams open as it may have, and 9 wait already",
     "'trove pools' shows how many wait"},
    {{.way = CLI_HINT_STORE, OBJECT}, TROVE_UNAVAILABLE, "pool \"one\" is closing", "'trove pools' lists the others"},
    {{.way = CLI_HINT_STORE, OBJECT},
     TROVE_UNAVAILABLE,
     "the connection to ipc:///x was lost: closed by the peer",
     "'trove ping --wait 30' waits until the server answers again"},
    {{.way = CLI_HINT_STORE, OBJECT},
     TROVE_UNAVAILABLE,
     "the server is shutting down; try again in a moment",
     "'trove ping --wait 30' waits until the server answers again"},
    /* What somebody else did. */
    {{.way = CLI_HINT_STORE, OBJECT}, TROVE_CANCELLED, "stream 5 (media/film) was cancelled by uid:0", NULL},
    {{.way = CLI_HINT_STORE, OBJECT, .conditions = &only_new},
     TROVE_FAILED_PRECONDITION,
     "object media/film exists already",
     "'trove stat media/film' shows what is there now"},
    {{.way = CLI_HINT_CALL, OBJECT, .conditions = &same_etag},
     TROVE_FAILED_PRECONDITION,
     "object media/film has the etag x now",
     "'trove stat media/film' shows what is there now"},
    {{.way = CLI_HINT_CALL, OBJECT, .conditions = &same_generation},
     TROVE_FAILED_PRECONDITION,
     "object media/film has generation 4 now",
     "'trove stat media/film' shows what is there now"},
    {{.way = CLI_HINT_CALL, OBJECT, .conditions = &none}, TROVE_FAILED_PRECONDITION, "it is no regular file any more", NULL},
    {{.way = CLI_HINT_CALL, OBJECT}, TROVE_FAILED_PRECONDITION, "bucket media isn't empty", NULL},
    /* Who writes what is followed. */
    {{.way = CLI_HINT_TO_OUTPUT, OBJECT},
     TROVE_NOT_FOUND,
     "nobody writes media/film now",
     "'trove put --follow' writes it; without --follow, what was published is read"},
    {{.way = CLI_HINT_STORE, OBJECT},
     TROVE_FAILED_PRECONDITION,
     "another stream writes media/film now",
     "'trove cat --follow media/film' shows what it writes"},
    {{.way = CLI_HINT_CALL}, TROVE_FAILED_PRECONDITION, "another stream writes media/film now", NULL},
    /* What became of the bytes. */
    {{.way = CLI_HINT_STORE, OBJECT}, TROVE_DATA_LOSS, "a checksum differs", "nothing of it was stored"},
    {{.way = CLI_HINT_TO_FILE, OBJECT}, TROVE_DATA_LOSS, "block 3 is damaged", "no file was made or changed"},
    {{.way = CLI_HINT_TO_OUTPUT, OBJECT}, TROVE_DATA_LOSS, "block 3 is damaged", NULL},
    {{.way = CLI_HINT_CALL, OBJECT}, TROVE_DATA_LOSS, "the index is damaged", NULL},
    /* The message says it all. */
    {{.way = CLI_HINT_STORE, OBJECT}, TROVE_RESOURCE_EXHAUSTED, "the store's disk is nearly full; delete something", NULL},
    {{.way = CLI_HINT_STORE, OBJECT}, TROVE_INVALID_ARGUMENT, "bucket \"X\" is no name", NULL},
    {{.way = CLI_HINT_CALL, OBJECT}, TROVE_OUT_OF_RANGE, "object media/film has 10 bytes", NULL},
    {{.way = CLI_HINT_CALL}, TROVE_ALREADY_EXISTS, "bucket media exists already", NULL},
    {{.way = CLI_HINT_CALL}, TROVE_PERMISSION_DENIED, "no", NULL},
    {{.way = CLI_HINT_CALL}, TROVE_UNAUTHENTICATED, "no", NULL},
    {{.way = CLI_HINT_CALL}, TROVE_ABORTED, "again", NULL},
    {{.way = CLI_HINT_CALL}, TROVE_UNIMPLEMENTED, "not yet", NULL},
    {{.way = CLI_HINT_CALL}, TROVE_INTERNAL, "oh", NULL},
    {{.way = CLI_HINT_CALL}, TROVE_UNKNOWN, "?", NULL},
};

static void advice(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        trove_error error;
        unit_row(rows[i].message);
        cli_error_set(&error, rows[i].status, "%s", rows[i].message);
        char *hint = cli_hint(&rows[i].about, &error);
        if (rows[i].hint == NULL)
            assert_null(hint);
        else
            assert_string_equal(hint, rows[i].hint);
        free(hint);
    }
}

static const struct {
    const char *server;
    trove_status status;
    const char *message;
    const char *hint; /* NULL: none; else how it begins */
} connections[] = {
    {"tcp://x:1", TROVE_UNAUTHENTICATED,
     "tcp://x:1: the server lets nobody in here without a key: connect with its public key, and a key of your own",
     "give the server's public key, which 'trove keygen --public -o KEY_FILE' prints there"},
    {"tcp://x:1", TROVE_UNAUTHENTICATED, "tcp://x:1: the server doesn't know this key, or it has expired",
     "whoever runs the server can let you in: its authorized_keys needs a line with your public key, which 'trove keygen "
     "--public -o "
     "/k' prints"},
    {"tcp://x:1", TROVE_UNAUTHENTICATED,
     "tcp://x:1: the handshake doesn't fit: the client expects another server key than this server has", "see that --server-key"},
    {"tcp://x:1", TROVE_UNAUTHENTICATED, "tcp://x:1: THE SERVER'S KEY ISN'T THE ONE RECORDED in /f line 3", NULL},
    {"ipc:///x", TROVE_UNAUTHENTICATED, "ipc:///x: uid 65534 stands for everybody", NULL},
    {"ipc:///x", TROVE_PERMISSION_DENIED, "ipc:///x: Permission denied", "only the user that troved runs as"},
    {"ipc:///x", TROVE_PERMISSION_DENIED, "ipc:///x: uid:1 has no rights here; they are given by `users`", NULL},
    {"tcp://x:1", TROVE_PERMISSION_DENIED, "opening the file of known servers /f: Permission denied",
     "without it no key is checked"},
    {"ipc:///x", TROVE_NOT_FOUND, "opening the key file /k: No such file or directory", "'trove keygen' makes a key"},
    {"ipc:///x", TROVE_PERMISSION_DENIED, "opening the key file /k: Permission denied", "see that you may read it"},
    {"tcp://x:1", TROVE_NOT_FOUND, "opening the folder of /f/known: No such file or directory", "make that folder first"},
    {"ipc:///x", TROVE_UNAVAILABLE, "ipc:///x: Connection refused", "start a server with 'troved'"},
    {"tcp://x:1", TROVE_UNAVAILABLE, "tcp://x:1: Connection refused", "see that host and port"},
    {"tcp://x:1", TROVE_UNAVAILABLE, "tcp://x:1: no host is known by the name x", "see that the name is right"},
    {"tcp://x:1", TROVE_DEADLINE_EXCEEDED, "tcp://x:1: no answer within the time given", "see that host and port"},
    {"tcp://x:1", TROVE_FAILED_PRECONDITION, "the key file /k is no regular file", NULL},
};

static void advice_on_connections(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof connections / sizeof connections[0]; i++) {
        trove_error error;
        unit_row(connections[i].message);
        cli_error_set(&error, connections[i].status, "%s", connections[i].message);
        char *hint = cli_connect_hint(connections[i].server, "/k", &error);
        if (connections[i].hint == NULL)
            assert_null(hint);
        else
            assert_true(hint != NULL && strncmp(hint, connections[i].hint, strlen(connections[i].hint)) == 0);
        free(hint);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(advice),
        cmocka_unit_test(advice_on_connections),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
