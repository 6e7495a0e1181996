/* pace.h - whether a peer is too slow at what it has begun: a frame that it sends, or what it is to read. A window of time after
 * the other is looked at; one in which there was a moment without anything under way doesn't count.
 * Pure: time is given; the owner's lock protects it.
 */
#ifndef TVS_PACE_H
#define TVS_PACE_H

#include <stdbool.h>
#include <stdint.h>

/* Zeroed: nothing was under way. */
struct tvs_pace {
    uint64_t since_ns; /* this window's beginning; 0: nothing is under way */
    uint64_t bytes;    /* all that had moved by then */
};

/* Now and then, once a second at least: something is under way or not, and `bytes` have moved in all. True: for the whole of
 * window_ms it was, and fewer than rate_min bytes a second have moved. 0: no limit. */
bool tvs_pace_slow(struct tvs_pace *pace, bool under_way, uint64_t bytes, uint64_t now_ns, uint64_t window_ms, uint64_t rate_min);

#endif
