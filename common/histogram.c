/* histogram.c - see histogram.h. Pure; under the owner's lock. */
#include "histogram.h"

#include <stdbool.h>
#include <stddef.h>

#define BITS           3 /* of a value that name its bin within its power of two */
#define BINS_PER_POWER (1U << BITS)

_Static_assert(TV_HISTOGRAM_BINS == (64 - BITS + 1) * BINS_PER_POWER, "the largest value has the last bin");
_Static_assert(sizeof(struct tv_histogram) <= 2048, "each stream has one");

void tv_histogram_init(struct tv_histogram *histogram) {
    *histogram = (struct tv_histogram){0};
}

static size_t bin_of(uint64_t value) {
    if (value < BINS_PER_POWER)
        return (size_t)value;
    unsigned shift = 63 - BITS - (unsigned)__builtin_clzll(value); /* leaves BITS + 1 bits, of which the first is set */
    return shift * BINS_PER_POWER + (size_t)(value >> shift);
}

static uint64_t middle_of(size_t bin) {
    if (bin < BINS_PER_POWER)
        return bin;
    size_t shift = bin / BINS_PER_POWER - 1;
    uint64_t width = UINT64_C(1) << shift;
    return (bin - shift * BINS_PER_POWER) * width + (width - 1) / 2;
}

static void halve(struct tv_histogram *histogram) {
    histogram->count = 0;
    for (size_t i = 0; i < TV_HISTOGRAM_BINS; i++) {
        histogram->bins[i] /= 2;
        histogram->count += histogram->bins[i];
    }
}

void tv_histogram_add(struct tv_histogram *histogram, uint64_t value) {
    size_t bin = bin_of(value);
    if (histogram->bins[bin] == UINT32_MAX)
        halve(histogram);
    histogram->bins[bin]++;
    histogram->count++;
}

/* Which in order of size, from 1. */
static uint64_t rank_of(double q, uint64_t count) {
    double exact = q * (double)count;
    if (!(exact > 1)) /* or not a number */
        return 1;
    if (exact >= (double)count)
        return count;
    uint64_t rank = (uint64_t)exact;
    return (double)rank < exact ? rank + 1 : rank;
}

uint64_t tv_histogram_quantile(const struct tv_histogram *histogram, double q) {
    if (histogram->count == 0)
        return 0;
    uint64_t before = rank_of(q, histogram->count); /* so many, less those in the bins passed */
    size_t bin = 0;
    while (histogram->bins[bin] < before)
        before -= histogram->bins[bin++]; /* ends: the bins add up to the count, and the rank isn't above it */
    return middle_of(bin);
}

void tv_histogram_merge(struct tv_histogram *into, const struct tv_histogram *from) {
    bool overflow = false;
    for (size_t i = 0; i < TV_HISTOGRAM_BINS; i++)
        overflow |= into->bins[i] > UINT32_MAX - from->bins[i];
    uint64_t count = 0;
    for (size_t i = 0; i < TV_HISTOGRAM_BINS; i++) {
        uint64_t sum = (uint64_t)into->bins[i] + from->bins[i];
        into->bins[i] = (uint32_t)(overflow ? sum / 2 : sum);
        count += into->bins[i];
    }
    into->count = count;
}
