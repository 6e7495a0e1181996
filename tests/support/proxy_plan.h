/* proxy_plan.h - which byte of a connection meets which fault. See proxy.h. Pure. */
#ifndef TROVE_TESTS_PROXY_PLAN_H
#define TROVE_TESTS_PROXY_PLAN_H

#include "proxy.h"

#include <stdint.h>

#define PROXY_EVENTS_MAX 64

enum proxy_event_kind {
    PROXY_FLIP,
    PROXY_WAIT,
    PROXY_BLACK_HOLE,
    PROXY_RESET,
    PROXY_CLOSE,
    PROXY_HALF_CLOSE,
};

struct proxy_event {
    uint64_t offset; /* before this byte of the direction; a flip: in it */
    enum proxy_event_kind kind;
    unsigned value; /* PROXY_FLIP: the bit; PROXY_WAIT: milliseconds */
};

/* In the order of their offsets. */
struct proxy_plan {
    struct proxy_event events[PROXY_EVENTS_MAX];
    unsigned count;
    unsigned piece_bytes; /* of the first faults.pieces bytes */
};

void proxy_plan_make(struct proxy_plan *plan, const struct proxy_faults *faults, uint64_t connection, unsigned direction);

#endif
