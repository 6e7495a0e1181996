/* proxy_plan.c - see proxy_plan.h. */
#include "proxy_plan.h"

#include "seeded.h"

#include <stdlib.h>

static int by_offset(const void *one, const void *other) {
    const struct proxy_event *a = one, *b = other;
    return a->offset < b->offset ? -1 : a->offset > b->offset;
}

static void add(struct proxy_plan *plan, struct seeded *random, const struct proxy_faults *faults, unsigned most,
                enum proxy_event_kind kind, unsigned value_below) {
    for (uint64_t left = seeded_below(random, most + UINT64_C(1)); left > 0 && plan->count < PROXY_EVENTS_MAX; left--) {
        uint64_t place =
            seeded_once_in(random, 3) ? seeded_below(random, faults->span_bytes + 1) : seeded_size(random, faults->span_bytes);
        plan->events[plan->count++] = (struct proxy_event){
            .offset = place,
            .kind = kind,
            .value = (unsigned)seeded_below(random, value_below),
        };
    }
}

void proxy_plan_make(struct proxy_plan *plan, const struct proxy_faults *faults, uint64_t connection, unsigned direction) {
    struct seeded random;
    seeded_init(&random, faults->seed * 1000003 + connection * 2 + direction);
    plan->count = 0;
    plan->piece_bytes = 1 + (unsigned)seeded_below(&random, 16);
    add(plan, &random, faults, faults->flips, PROXY_FLIP, 8);
    add(plan, &random, faults, faults->delays, PROXY_WAIT, faults->delay_ms);
    add(plan, &random, faults, faults->stalls, PROXY_WAIT, faults->stall_ms);
    add(plan, &random, faults, faults->black_holes, PROXY_BLACK_HOLE, 1);
    add(plan, &random, faults, faults->cuts, (enum proxy_event_kind)(PROXY_RESET + seeded_below(&random, 3)), 1);
    qsort(plan->events, plan->count, sizeof plan->events[0], by_offset);
}
