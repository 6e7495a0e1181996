/* two_way_test.h - what the tests of two-way streams through libtrove share.
 *
 * What comes down is `test->bytes`, what goes up the same from another place on, so that the two can't be mistaken for each
 * other.
 */
#ifndef TWO_WAY_TEST_H
#define TWO_WAY_TEST_H

#include "client_test.h"

#include <pthread.h>

#define CHUNK (64 * KIB)

/* Chunks of that size, and a window of four. */
trove_stream_options small_options(void);
/* What goes up. */
const uint8_t *upwards(const struct client_test *test);

void write_some(trove_stream *stream, const uint8_t *bytes, size_t size, bool final);
/* Reads the next chunk and compares it; false: the end. */
bool read_some(trove_stream *stream, const uint8_t *expected);
/* To the end, which must be there. */
void read_all(trove_stream *stream, const uint8_t *expected, size_t size);

/* A thread, given a struct writer, that writes `size` bytes and completes, or comes to an error. */
struct writer {
    const struct client_test *test;
    trove_stream *stream;
    size_t size;
    trove_status status;
    trove_error error;
    pthread_t thread;
};
void *write_in_thread(void *argument);

/* A thread, given a struct reader, that reads to the end, or to an error; keeps a chunk in its hands. */
struct reader {
    const struct client_test *test;
    trove_stream *stream;
    trove_status status;
    trove_error error;
    pthread_t thread;
};
void *read_in_thread(void *argument);

#endif
