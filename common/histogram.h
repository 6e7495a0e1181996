/* histogram.h - counts values by size, so that quantiles of a stream that never ends can be told from a fixed 2 KiB.
 *
 * Log-linear: each power of two is cut into 8 equal bins, so a bin is at most 1/8 of its values wide, and its middle is at most
 * 1/16 away from any value in it. Values up to 15 are exact. All of uint64 is covered: nothing is clamped.
 * When a bin's counter (32 bits) would overflow, all are halved: what is old then weighs half as much as what comes, and the
 * shape stays. Rejected: 16-bit counters (1 KiB, but busy streams halve all the time, and a merge of streams that were halved
 * differently has the wrong weights) and sketches that merge bins as they go (smaller for narrow distributions, but they allocate
 * or shift).
 *
 * Threads: none of its own, no locks: the caller's.
 */
#ifndef TV_HISTOGRAM_H
#define TV_HISTOGRAM_H

#include <stdint.h>

#define TV_HISTOGRAM_BINS 496 /* 8 for 0..7, then 8 for each of the 61 powers of two from 2^3 on */

struct tv_histogram {
    uint64_t count; /* the sum of the bins: how many values were added, as long as nothing was halved */
    uint32_t bins[TV_HISTOGRAM_BINS];
};

void tv_histogram_init(struct tv_histogram *histogram);

void tv_histogram_add(struct tv_histogram *histogram, uint64_t value);

/* The value that a share q (0 to 1; what is outside counts as the nearer end) of all values doesn't exceed, within 1/16: the
 * exact one would be the ceil(q * count)-th smallest, at least the first. 0 if there are none. */
uint64_t tv_histogram_quantile(const struct tv_histogram *histogram, double q);

/* Adds to `into` what `from` counted. Both may be the same. */
void tv_histogram_merge(struct tv_histogram *into, const struct tv_histogram *from);

#endif
