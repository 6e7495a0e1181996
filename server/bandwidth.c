/* bandwidth.c - see bandwidth.h. Pure; under the owner's lock. */
#include "bandwidth.h"

uint64_t tvs_bandwidth_slice(uint64_t bytes_per_second) {
    uint64_t bytes = bytes_per_second / 1000 * TVS_SLICE_MS;
    if (bytes_per_second == 0)
        return UINT64_MAX;
    return bytes > TVS_SLICE_BYTES_MIN ? bytes : TVS_SLICE_BYTES_MIN;
}

void tvs_bandwidth_init(struct tvs_bandwidth *bandwidth, uint64_t bytes_per_second, uint64_t now_ns) {
    uint64_t burst_bytes = bytes_per_second != 0 ? tvs_bandwidth_slice(bytes_per_second) : 0;
    *bandwidth = (struct tvs_bandwidth){.bytes_per_second = bytes_per_second};
    tv_token_bucket_init(&bandwidth->promised, bytes_per_second, burst_bytes, now_ns);
    tv_token_bucket_init(&bandwidth->spent, bytes_per_second, burst_bytes, now_ns);
}

void tvs_bandwidth_set(struct tvs_bandwidth *bandwidth, uint64_t bytes_per_second, uint64_t now_ns) {
    uint64_t burst_bytes = bytes_per_second != 0 ? tvs_bandwidth_slice(bytes_per_second) : 0;
    bandwidth->bytes_per_second = bytes_per_second;
    tv_token_bucket_set_rate(&bandwidth->promised, bytes_per_second, burst_bytes, now_ns);
    tv_token_bucket_set_rate(&bandwidth->spent, bytes_per_second, burst_bytes, now_ns);
}

static bool ready(struct tvs_bandwidth *bandwidth, uint64_t now_ns) {
    return tv_token_bucket_ready(&bandwidth->promised, now_ns) && tv_token_bucket_ready(&bandwidth->spent, now_ns);
}

bool tvs_bandwidth_try(struct tvs_bandwidth *bandwidth, uint64_t bytes, uint64_t now_ns) {
    if (bandwidth->first != NULL || !ready(bandwidth, now_ns))
        return false;
    tv_token_bucket_debit(&bandwidth->promised, bytes, now_ns);
    return true;
}

bool tvs_bandwidth_take(struct tvs_bandwidth *bandwidth, struct tvs_bandwidth_waiter *waiter, uint64_t bytes, uint64_t now_ns) {
    if (waiter->has_turn) { /* paid for when it got it */
        waiter->has_turn = false;
        return true;
    }
    if (waiter->queued)
        return false;
    if (tvs_bandwidth_try(bandwidth, bytes, now_ns))
        return true;
    waiter->bytes = bytes;
    waiter->next = NULL;
    waiter->previous = bandwidth->last;
    waiter->queued = true;
    if (bandwidth->last != NULL)
        bandwidth->last->next = waiter;
    else
        bandwidth->first = waiter;
    bandwidth->last = waiter;
    return false;
}

void tvs_bandwidth_spend(struct tvs_bandwidth *bandwidth, uint64_t bytes, uint64_t now_ns) {
    tv_token_bucket_debit(&bandwidth->spent, bytes, now_ns);
}

static void take_out(struct tvs_bandwidth *bandwidth, struct tvs_bandwidth_waiter *waiter) {
    if (waiter->previous != NULL)
        waiter->previous->next = waiter->next;
    else
        bandwidth->first = waiter->next;
    if (waiter->next != NULL)
        waiter->next->previous = waiter->previous;
    else
        bandwidth->last = waiter->previous;
    waiter->next = waiter->previous = NULL;
    waiter->queued = false;
}

bool tvs_bandwidth_leave(struct tvs_bandwidth *bandwidth, struct tvs_bandwidth_waiter *waiter) {
    waiter->has_turn = false;
    if (!waiter->queued)
        return false;
    take_out(bandwidth, waiter);
    return true;
}

struct tvs_bandwidth_waiter *tvs_bandwidth_next(struct tvs_bandwidth *bandwidth, uint64_t now_ns) {
    struct tvs_bandwidth_waiter *waiter = bandwidth->first;
    if (waiter == NULL || !ready(bandwidth, now_ns))
        return NULL;
    take_out(bandwidth, waiter);
    waiter->has_turn = true;
    tv_token_bucket_debit(&bandwidth->promised, waiter->bytes, now_ns);
    return waiter;
}

uint64_t tvs_bandwidth_wait_ns(struct tvs_bandwidth *bandwidth, uint64_t now_ns) {
    if (bandwidth->first == NULL)
        return UINT64_MAX;
    uint64_t promised_ns = tv_token_bucket_wait_ns(&bandwidth->promised, now_ns);
    uint64_t spent_ns = tv_token_bucket_wait_ns(&bandwidth->spent, now_ns);
    return promised_ns > spent_ns ? promised_ns : spent_ns;
}
