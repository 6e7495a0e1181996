/* overflow_test.h - what the tests of the overflow share: chunks whose bytes follow from their number, and a rhythm in which they
 * come and go.
 */
#ifndef TROVE_TESTS_OVERFLOW_TEST_H
#define TROVE_TESTS_OVERFLOW_TEST_H

#include "overflow.h"
#include "unit.h"

#define OVERFLOW_CHUNK_BYTES_MAX 4096

/* The sanitizers are slow. */
#ifdef TROVE_SANITIZED
#define OVERFLOW_OPERATIONS 100000
#else
#define OVERFLOW_OPERATIONS 1000000
#endif

trove_status overflow_push(struct tv_overflow *overflow, uint64_t number, uint64_t bytes, trove_error *error);
/* What comes back is the chunk `number` with so many bytes, unless pop fails. */
trove_status overflow_pop(struct tv_overflow *overflow, uint64_t number, uint64_t bytes, trove_error *error);
void overflow_push_ok(struct tv_overflow *overflow, uint64_t number, uint64_t bytes);
void overflow_pop_ok(struct tv_overflow *overflow, uint64_t number, uint64_t bytes);
struct tv_overflow_stats overflow_stats_of(struct tv_overflow *overflow);

/* A size that is drawn from the number. */
uint64_t overflow_chunk_bytes(uint64_t seed, uint64_t number);
/* So many pushes and pops of chunks of such sizes, against a model, until it is empty. */
void overflow_random_rhythm(struct tv_overflow *overflow, uint64_t bytes_max, uint32_t chunks_max, uint64_t operations);

#endif
