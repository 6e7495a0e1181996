/* bandwidth.h - a pool's bytes per second, shared out fairly among its streams.
 *
 * Who wants to send, or to let a peer send, takes turns for a slice of bytes each: at once if the limit allows it and nobody
 * waits, else in a queue, round robin. Two buckets stand behind that: `promised` is debited when a turn is given, `spent` when
 * the bytes really move. A peer that sends what it was promised a minute ago thus costs the others a pause and doesn't break the
 * limit, and one that never uses its promise holds nobody up.
 * (Rejected: to debit when bytes arrive alone: everyone who waits would be let go in the moment before the first byte comes. To
 * debit promises alone: a promise that was kept back for long makes a burst.)
 *
 * Pure: time is given; the owner's lock protects it.
 */
#ifndef TVS_BANDWIDTH_H
#define TVS_BANDWIDTH_H

#include "token_bucket.h"

#include <stddef.h>

/* A slice is what passes in so many milliseconds: no one frame or promise keeps the others waiting for longer. */
#define TVS_SLICE_MS        50
#define TVS_SLICE_BYTES_MIN UINT64_C(16384)

/* Embedded in a stream; zeroed but for `turn`, which is the owner's business: see pool.h. */
struct tvs_bandwidth_waiter {
    struct tvs_bandwidth_waiter *next;
    struct tvs_bandwidth_waiter *previous;
    uint64_t bytes; /* what it wants to move */
    bool queued;
    bool has_turn; /* it was taken out of the queue, and hasn't asked again yet */
    void (*turn)(struct tvs_bandwidth_waiter *waiter);
};

struct tvs_bandwidth {
    uint64_t bytes_per_second; /* 0: no limit */
    struct tv_token_bucket promised;
    struct tv_token_bucket spent;
    struct tvs_bandwidth_waiter *first;
    struct tvs_bandwidth_waiter *last;
};

void tvs_bandwidth_init(struct tvs_bandwidth *bandwidth, uint64_t bytes_per_second, uint64_t now_ns);
/* From now on; who waits keeps its place. */
void tvs_bandwidth_set(struct tvs_bandwidth *bandwidth, uint64_t bytes_per_second, uint64_t now_ns);

/* Bytes of a slice; UINT64_MAX without a limit. */
uint64_t tvs_bandwidth_slice(uint64_t bytes_per_second);

/* True: `bytes` (a slice at most, or the others wait longer than they should) may move now. False: the waiter is queued. */
bool tvs_bandwidth_take(struct tvs_bandwidth *bandwidth, struct tvs_bandwidth_waiter *waiter, uint64_t bytes, uint64_t now_ns);
/* Now or not at all, and without a queue: for who has another way. */
bool tvs_bandwidth_try(struct tvs_bandwidth *bandwidth, uint64_t bytes, uint64_t now_ns);
/* Bytes have moved. */
void tvs_bandwidth_spend(struct tvs_bandwidth *bandwidth, uint64_t bytes, uint64_t now_ns);
/* Out of the queue; false: it wasn't in it. A turn that it has is given up. */
bool tvs_bandwidth_leave(struct tvs_bandwidth *bandwidth, struct tvs_bandwidth_waiter *waiter);

/* Takes out the one whose turn it is now: its next take succeeds. NULL: nobody's; look again after tvs_bandwidth_wait_ns. */
struct tvs_bandwidth_waiter *tvs_bandwidth_next(struct tvs_bandwidth *bandwidth, uint64_t now_ns);
/* Until the first in the queue has its turn; UINT64_MAX: nobody waits. */
uint64_t tvs_bandwidth_wait_ns(struct tvs_bandwidth *bandwidth, uint64_t now_ns);

#endif
