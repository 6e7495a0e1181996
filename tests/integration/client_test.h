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

#define KIB    ((size_t)1024)
#define MIB    (1024 * KIB)
#define BUCKET "media"

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

/* A call that must succeed, or fail in a certain way with a message that says `text`. */
void check_ok(trove_status status, const trove_error *error, const char *what, const char *file, int line);
void check_fails(trove_status status, trove_status expected, const trove_error *error, const char *text, const char *file,
                 int line);
#define CHECK_OK(call, error)                    check_ok((call), (error), #call, __FILE__, __LINE__)
#define CHECK_FAILS(call, expected, text, error) check_fails((call), TROVE_##expected, (error), (text), __FILE__, __LINE__)

/* Reads the object and compares it. */
void check_object(const struct client_test *test, const char *key, const uint8_t *bytes, size_t size);

/* Opens a stream of the test's client and starts it. */
trove_stream *open_stream(const struct client_test *test, const char *key, trove_direction direction,
                          const trove_stream_options *options);
/* Writes bytes in chunks of the stream's size; the status of the first write that fails. */
trove_status write_bytes(trove_stream *stream, const uint8_t *bytes, size_t size, uint32_t timeout_ms, trove_error *error);

uint64_t now_ms(void);
void pause_ms(unsigned ms);

#endif
