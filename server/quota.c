/* quota.c - see quota.h. */
#include "quota.h"

bool tvs_quota_take(struct tvs_quota *quota, uint64_t bytes, uint64_t bytes_max, uint32_t count_max) {
    uint64_t before = atomic_fetch_add_explicit(&quota->bytes, bytes, memory_order_relaxed);
    uint32_t count = atomic_fetch_add_explicit(&quota->count, 1, memory_order_relaxed);
    if (count < count_max && before <= bytes_max && bytes <= bytes_max - before)
        return true;
    tvs_quota_give(quota, bytes);
    return false;
}

void tvs_quota_give(struct tvs_quota *quota, uint64_t bytes) {
    atomic_fetch_sub_explicit(&quota->bytes, bytes, memory_order_relaxed);
    atomic_fetch_sub_explicit(&quota->count, 1, memory_order_release);
}

uint32_t tvs_quota_count(const struct tvs_quota *quota) {
    return atomic_load_explicit(&quota->count, memory_order_acquire);
}
