/* gap_check.h - whether a reader may have a range of an object: not across what a lossy stream lost, unless it allows gaps.
 * Pure. */
#ifndef TVS_GAP_CHECK_H
#define TVS_GAP_CHECK_H

#include "drivers/driver.h"

/* For the object as get_begin described it; a `length` beyond its end (TROVE_SIZE_UNKNOWN) means up to there. Bytes outside of
 * the range don't matter, also where they share a block with it. Errors: DATA_LOSS, naming the object, what is lost first in the
 * range, and how to read it all the same. */
trove_status tvs_gaps_check(const char *bucket, const struct tvs_object *object, uint64_t offset, uint64_t length,
                            bool allow_gaps, trove_error *error);

#endif
