/* checked.h - sums of what a peer says. Pure; any thread. */
#ifndef TV_CHECKED_H
#define TV_CHECKED_H

#include <stdint.h>

/* Stops at the largest number instead of wrapping. */
static inline uint64_t tv_add_capped(uint64_t a, uint64_t b) {
    uint64_t sum;
    return __builtin_add_overflow(a, b, &sum) ? UINT64_MAX : sum;
}

#endif
