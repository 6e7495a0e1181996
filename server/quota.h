/* quota.h - how many of something may be under way, and how many bytes of it: counted when it begins, given back at its end.
 *
 * Both ceilings are whoever's takes: one quota may be used with several. Two that take at the same time may both be refused where
 * one would still have fitted; neither ceiling is ever passed.
 * Threads: any, without a lock.
 */
#ifndef TVS_QUOTA_H
#define TVS_QUOTA_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/* Zeroed before the first use. */
struct tvs_quota {
    atomic_ullong bytes;
    atomic_uint count;
};

/* False: one more of this size doesn't fit, and nothing was counted. */
bool tvs_quota_take(struct tvs_quota *quota, uint64_t bytes, uint64_t bytes_max, uint32_t count_max);
/* What was done before is seen by whoever finds it given back. */
void tvs_quota_give(struct tvs_quota *quota, uint64_t bytes);
uint32_t tvs_quota_count(const struct tvs_quota *quota);

#endif
