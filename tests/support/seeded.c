/* seeded.c - see seeded.h. */
#include "seeded.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static char program[128];
static _Thread_local uint64_t round_seed;
static _Thread_local uint64_t round_count; /* 0: between rounds */

/* ---- the run ---- */

/* In a signal handler: what isn't safe there (none of it waits for a lock that the thread may hold) is worth the message. */
static void tell_replay(int number) {
    char text[256];
    int bytes = round_count > 0
                    /* NOLINTNEXTLINE(bugprone-signal-handler): as said above */
                    ? snprintf(text, sizeof text, "%s; again with: %s --seed %llu --rounds %llu\n",
                               number == SIGALRM ? "it hangs" : "it has failed", program, (unsigned long long)round_seed,
                               (unsigned long long)round_count)
                    : snprintf(text, sizeof text, "%s\n", number == SIGALRM ? "it hangs" : "it has failed, between rounds");
    if (write(STDERR_FILENO, text, (size_t)bytes) < 0 || number == SIGALRM)
        _exit(EXIT_FAILURE);
    signal(number, SIG_DFL);
    raise(number);
}

static uint64_t number(const char *text, const char *what) {
    char *end;
    errno = 0;
    uint64_t value = strtoull(text, &end, 0);
    if (errno != 0 || end == text || *end != '\0') {
        fprintf(stderr, "%s: %s isn't a number\n", what, text);
        exit(64);
    }
    return value;
}

void seeded_begin(struct seeded_run *run, int argc, char **argv, uint64_t rounds, uint64_t rounds_long) {
    const char *seed = getenv("TROVE_TEST_SEED");
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    run->seed = seed != NULL ? number(seed, "TROVE_TEST_SEED") : (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
    run->rounds = getenv("TROVE_TEST_LONG") != NULL ? rounds_long : rounds;
    for (int i = 1; i < argc; i += 2) {
        bool is_seed = strcmp(argv[i], "--seed") == 0;
        if (i + 1 == argc || (!is_seed && strcmp(argv[i], "--rounds") != 0)) {
            fprintf(stderr, "usage: %s [--seed N] [--rounds N]\n", argv[0]);
            exit(64);
        }
        *(is_seed ? &run->seed : &run->rounds) = number(argv[i + 1], argv[i]);
    }
    snprintf(program, sizeof program, "%s", argv[0]);
    printf("%s --seed %llu --rounds %llu\n", program, (unsigned long long)run->seed, (unsigned long long)run->rounds);
    fflush(stdout);
    setenv("CMOCKA_TEST_ABORT", "1", 1);
    signal(SIGABRT, tell_replay);
    signal(SIGALRM, tell_replay);
    signal(SIGPIPE, SIG_IGN);
}

void seeded_round(uint64_t seed, uint64_t rounds) {
    round_seed = seed;
    round_count = rounds;
}

void seeded_watchdog(unsigned seconds) {
    alarm(seconds);
}

/* ---- random numbers: splitmix64 ---- */

static uint64_t mix(uint64_t z) {
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EB;
    return z ^ (z >> 31);
}

void seeded_init(struct seeded *random, uint64_t seed) {
    random->state = mix(seed + 0x9E3779B97F4A7C15);
}

uint64_t seeded_next(struct seeded *random) {
    return mix(random->state += 0x9E3779B97F4A7C15);
}

uint64_t seeded_below(struct seeded *random, uint64_t below) {
    return below == 0 ? 0 : seeded_next(random) % below;
}

bool seeded_once_in(struct seeded *random, uint64_t times) {
    return seeded_below(random, times) == 0;
}

uint64_t seeded_size(struct seeded *random, uint64_t most) {
    unsigned bits = 0;
    while (bits < 63 && (most >> bits) > 0)
        bits++;
    uint64_t size = seeded_next(random) & ((UINT64_C(1) << seeded_below(random, bits + 1)) - 1);
    return size <= most ? size : seeded_below(random, most + 1);
}

/* ---- contents ---- */

static uint64_t word_of(uint64_t content, uint64_t index) {
    return mix(mix(content) + index * 0x9E3779B97F4A7C15);
}

void seeded_fill(uint64_t content, uint64_t offset, void *bytes, size_t size) {
    uint8_t *at = bytes;
    while (size > 0) {
        uint64_t word = word_of(content, offset / 8);
        size_t skip = offset % 8, step = size < 8 - skip ? size : 8 - skip;
        memcpy(at, (const uint8_t *)&word + skip, step);
        at += step;
        offset += step;
        size -= step;
    }
}

bool seeded_is(uint64_t content, uint64_t offset, const void *bytes, size_t size) {
    const uint8_t *at = bytes;
    while (size > 0) {
        uint64_t word = word_of(content, offset / 8);
        size_t skip = offset % 8, step = size < 8 - skip ? size : 8 - skip;
        if (memcmp(at, (const uint8_t *)&word + skip, step) != 0)
            return false;
        at += step;
        offset += step;
        size -= step;
    }
    return true;
}

uint64_t seeded_now_ms(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}
