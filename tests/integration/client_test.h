/* client_test.h - what the tests of libtrove against a real troved share: a server, a client, bytes to send.
 *
 * A test program takes the store's DSN as its argument (mem:// or local://%s/store), so that each runs with both.
 */
#ifndef CLIENT_TEST_H
#define CLIENT_TEST_H

#include "troved.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <trove.h>

#define KIB         ((size_t)1024)
#define MIB         (1024 * KIB)
#define BUCKET      "media"
#define PATIENCE_MS 60000 /* nothing that a test waits for takes so long */

struct client_test {
    struct troved *server;
    trove_client *client;
    const char *url;
    uint8_t *bytes; /* BYTES_MAX of them, which nothing compresses and no two blocks of which are alike */
};

#define BYTES_MAX (24 * MIB)

/* Takes the program's arguments. */
void client_test_arguments(int argc, char **argv);
const char *client_test_store(void);

/* Group set-up and tear-down: server, client, bucket; at the end the server must exit with 0. */
int client_test_begin(void **state);
int client_test_end(void **state);
/* client_test_begin with a config file for the server. */
int client_test_begin_with(void **state, const char *config);

/* A call that must succeed, or fail in a certain way with a message that says `text`. */
void check_ok(trove_status status, const trove_error *error, const char *what, const char *file, int line);
void check_fails(trove_status status, trove_status expected, const trove_error *error, const char *text, const char *file,
                 int line);
#define CHECK_OK(call, error)                    check_ok((call), (error), #call, __FILE__, __LINE__)
#define CHECK_FAILS(call, expected, text, error) check_fails((call), TROVE_##expected, (error), (text), __FILE__, __LINE__)

/* Waits for a condition. A macro, since what is looked at differs. */
#define WAIT_FOR(condition)                                                                                                      \
    do {                                                                                                                         \
        uint64_t until_ms = now_ms() + PATIENCE_MS;                                                                              \
        while (!(condition)) {                                                                                                   \
            if (now_ms() > until_ms)                                                                                             \
                fail_msg("still not: %s", #condition);                                                                           \
            pause_ms(1);                                                                                                         \
        }                                                                                                                        \
    } while (0)

/* Stores that many of the test's bytes. */
void put_object(const struct client_test *test, const char *key, size_t size);
/* The account of a stream, which holds at any moment. */
void check_identity(const trove_stream_metrics *metrics);
/* Reads the object and compares it. */
void check_object(const struct client_test *test, const char *key, const uint8_t *bytes, size_t size);

/* Opens a stream of the test's client and starts it. */
trove_stream *open_stream(const struct client_test *test, const char *key, trove_direction direction,
                          const trove_stream_options *options);
/* Options of a stream in a pool of the server's, for whose place it waits patiently; and such a stream. */
void pool_options(trove_stream_options *options, const char *pool);
trove_stream *open_in_pool(const struct client_test *test, const char *pool, const char *key, trove_direction direction);
/* A pool of the client's, with options or else as many streams as said; a started stream of it; what it counts. */
trove_pool *make_pool(const struct client_test *test, const char *name, const trove_pool_options *options);
trove_pool *make_pool_of(const struct client_test *test, const char *name, uint32_t max_streams);
trove_pool_metrics pool_metrics(const trove_pool *pool);
trove_stream *acquire_stream(trove_pool *pool, const char *key, trove_direction direction);
/* Writes bytes in chunks of the stream's size; the status of the first write that fails. */
trove_status write_bytes(trove_stream *stream, const uint8_t *bytes, size_t size, uint32_t timeout_ms, trove_error *error);
/* Reads on to the end, or to an error, and compares each chunk with the object's bytes. This and check_account may be called on
 * any thread: what is wrong is on standard error before the test fails. */
trove_status read_away(trove_stream *stream, const uint8_t *object, trove_error *error);
/* What the stream counts, which adds up at any moment. */
trove_stream_metrics check_account(const trove_stream *stream);
/* A control by the stream's own program, which must lead to `expected`. */
void control_stream(trove_stream *stream, trove_control control, uint64_t offset, trove_stream_state expected);

/* Whether the server has no stream open, of any client. */
bool server_is_idle(const struct client_test *test);
/* What the server tells: of the pool of that name; of the stream of that key, with an id of 0 where there is none, and without
 * its strings. */
trove_server_pool server_pool_of(const struct client_test *test, const char *name);
trove_server_stream server_stream_of(const struct client_test *test, const char *key);

uint64_t now_ms(void);
void pause_ms(unsigned ms);

#endif
