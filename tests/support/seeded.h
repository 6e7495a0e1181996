/* seeded.h - for tests that draw what they do: a seed that is printed and replays, random numbers, bytes that can be made again.
 *
 * Such a test is a program that runs rounds; each has a seed of its own, one more than that of the round before:
 *
 *   test_x [--seed N] [--rounds N]
 *
 * Without --seed it is TROVE_TEST_SEED or, where that isn't set either, the time. Assertions are cmocka's, from any thread, but
 * there is no cmocka group: the first that fails ends the process with its message and the command that replays the round of its
 * thread. So does a round that hangs.
 */
#ifndef TROVE_TESTS_SEEDED_H
#define TROVE_TESTS_SEEDED_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

struct seeded_run {
    uint64_t seed; /* of the first round */
    uint64_t rounds;
};

/* Reads the arguments and prints the seed. With TROVE_TEST_LONG in the environment there are `rounds_long` rounds unless it is
 * told. */
void seeded_begin(struct seeded_run *run, int argc, char **argv, uint64_t rounds, uint64_t rounds_long);
/* Names what replays the calling thread's round, for the message: rounds that go on with what those before them left behind need
 * these as well. */
void seeded_round(uint64_t seed, uint64_t rounds);
/* The whole process must have come here again within so many seconds; 0: never. One thread calls it. */
void seeded_watchdog(unsigned seconds);

struct seeded {
    uint64_t state;
};

void seeded_init(struct seeded *random, uint64_t seed);
uint64_t seeded_next(struct seeded *random);
/* 0 to below - 1. */
uint64_t seeded_below(struct seeded *random, uint64_t below);
/* True once in `times`. */
bool seeded_once_in(struct seeded *random, uint64_t times);
/* 0 to `most`, small ones as likely as large ones. */
uint64_t seeded_size(struct seeded *random, uint64_t most);

/* Bytes from `offset` on of a content that has a number; no two blocks of it are alike, nor like those of another one. */
void seeded_fill(uint64_t content, uint64_t offset, void *bytes, size_t size);
/* Whether they are that. */
bool seeded_is(uint64_t content, uint64_t offset, const void *bytes, size_t size);

uint64_t seeded_now_ms(void);

#endif
