/* two_way.h - what the tests of two-way streams share: a server, two connections, and an object that is read while the next one
 * is written.
 */
#ifndef TROVE_TESTS_TWO_WAY_H
#define TROVE_TESTS_TWO_WAY_H

#include "both_ways.h"
#include "troved.h"

#define CODE(name)    TROVE__V1__CODE__##name
#define STATE(name)   TROVE__V1__STREAM_STATE__##name
#define CONTROL(name) TROVE__V1__CONTROL_TYPE__##name

#define OLD_BYTES ((size_t)700 * 1000)
#define NEW_BYTES ((size_t)300 * 1000)
#define CHUNK     ((size_t)65536)

extern uint8_t both_old_bytes[(size_t)2 << 20]; /* "kept" has the first OLD_BYTES of them at the beginning of each test */
extern uint8_t both_new_bytes[(size_t)2 << 20];

extern struct raw_client both_client; /* the test's own */
extern struct raw_client both_other;  /* well-behaved, connected throughout */

void both_connect(struct raw_client *to);
void both_open_kept(struct both_ways *peer);
/* "kept" is as it was; it came down whole. */
void both_check_old(void);
void both_check_came(const struct both_ways *peer);

Trove__V1__StreamState both_listed_state(const struct both_ways *peer);
/* The server lists the stream in this state, now or in a moment: what it was sent before is on its way to it. */
void both_wait_for_state(const struct both_ways *peer, Trove__V1__StreamState state);

/* For cmocka_unit_test_setup_teardown. */
int both_begin_test(void **state);
int both_end_test(void **state);
#define TEST(function) cmocka_unit_test_setup_teardown(function, both_begin_test, both_end_test)

/* Runs them with each store; the program's exit code. */
int both_run(const struct CMUnitTest *tests, size_t count);

#endif
