/* unit.h - what the unit tests share: cmocka's includes, names of table rows, random numbers that replay.
 *
 * A test that draws random numbers takes its seed from TROVE_TEST_SEED where that is set, else from the clock, and prints it.
 */
#ifndef TROVE_TESTS_UNIT_H
#define TROVE_TESTS_UNIT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

static inline uint64_t unit_seed(void) {
    const char *given = getenv("TROVE_TEST_SEED");
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    uint64_t seed = given != NULL ? strtoull(given, NULL, 0) : (uint64_t)now.tv_nsec ^ (uint64_t)now.tv_sec << 20;
    print_message("TROVE_TEST_SEED=%llu\n", (unsigned long long)seed);
    return seed;
}

/* splitmix64 */
static inline uint64_t unit_random(uint64_t *state) {
    uint64_t z = (*state += 0x9E3779B97F4A7C15);
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EB;
    return z ^ (z >> 31);
}

/* Tells which row of a table is being tested; the last one printed before a failure is the one that failed. */
static inline void unit_row(const char *name) {
    print_message("    %s\n", name);
}

/* A block of exactly `count` bytes, so that the sanitizer sees a read beyond its end. */
static inline void *unit_copy(const void *bytes, size_t count) {
    void *copy = malloc(count > 0 ? count : 1);
    assert_non_null(copy);
    if (count > 0)
        memcpy(copy, bytes, count);
    return copy;
}

#endif
