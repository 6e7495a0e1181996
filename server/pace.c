/* pace.c - see pace.h. Pure. */
#include "pace.h"

#define NS_PER_MS UINT64_C(1000000)

bool tvs_pace_slow(struct tvs_pace *pace, bool under_way, uint64_t bytes, uint64_t now_ns, uint64_t window_ms,
                   uint64_t rate_min) {
    if (!under_way) {
        pace->since_ns = 0;
        return false;
    }
    if (pace->since_ns != 0 && now_ns < pace->since_ns + window_ms * NS_PER_MS)
        return false;
    bool whole = pace->since_ns != 0;
    uint64_t moved = bytes - pace->bytes;
    uint64_t window_s = whole ? (now_ns - pace->since_ns) / (1000 * NS_PER_MS) : 0;
    pace->since_ns = now_ns;
    pace->bytes = bytes;
    return whole && window_s > 0 && moved / window_s < rate_min;
}
