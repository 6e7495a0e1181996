/* token_bucket.c - see token_bucket.h. Pure; under the owner's lock. */
#include "token_bucket.h"

#define PER_BYTE ((tv_token_level)1000000000)
#define DEBT_MAX ((tv_token_level)UINT64_MAX * PER_BYTE) /* below 2^94: far from the type's ends */

__extension__ typedef unsigned __int128 wide;

void tv_token_bucket_init(struct tv_token_bucket *bucket, uint64_t bytes_per_second, uint64_t burst_bytes, uint64_t now_ns) {
    *bucket = (struct tv_token_bucket){.level = (tv_token_level)burst_bytes * PER_BYTE,
                                       .bytes_per_second = bytes_per_second,
                                       .burst_bytes = burst_bytes,
                                       .seen_ns = now_ns};
}

/* Earns what the time since the last call is worth. */
static void settle(struct tv_token_bucket *bucket, uint64_t now_ns) {
    if (now_ns <= bucket->seen_ns)
        return;
    wide earned =
        (wide)(now_ns - bucket->seen_ns) * bucket->bytes_per_second; /* below 2^128, the product of two 64-bit numbers */
    wide missing =
        (wide)((tv_token_level)bucket->burst_bytes * PER_BYTE - bucket->level); /* the level is never above the burst */
    bucket->seen_ns = now_ns;
    bucket->level += (tv_token_level)(earned < missing ? earned : missing);
}

bool tv_token_bucket_ready(struct tv_token_bucket *bucket, uint64_t now_ns) {
    settle(bucket, now_ns);
    return bucket->bytes_per_second == 0 || bucket->level >= 0;
}

void tv_token_bucket_debit(struct tv_token_bucket *bucket, uint64_t bytes, uint64_t now_ns) {
    settle(bucket, now_ns);
    if (bucket->bytes_per_second == 0)
        return;
    bucket->level -= (tv_token_level)bytes * PER_BYTE;
    if (bucket->level < -DEBT_MAX)
        bucket->level = -DEBT_MAX;
}

uint64_t tv_token_bucket_wait_ns(struct tv_token_bucket *bucket, uint64_t now_ns) {
    if (tv_token_bucket_ready(bucket, now_ns))
        return 0;
    wide rate = bucket->bytes_per_second;
    wide wait_ns = ((wide)-bucket->level + rate - 1) / rate;
    if (now_ns < bucket->seen_ns)
        wait_ns += bucket->seen_ns - now_ns;
    return wait_ns < UINT64_MAX ? (uint64_t)wait_ns : UINT64_MAX;
}

void tv_token_bucket_set_rate(struct tv_token_bucket *bucket, uint64_t bytes_per_second, uint64_t burst_bytes, uint64_t now_ns) {
    settle(bucket, now_ns);
    tv_token_level full = (tv_token_level)burst_bytes * PER_BYTE;
    if (bucket->bytes_per_second == 0 || bytes_per_second == 0 || bucket->level > full)
        bucket->level = full;
    bucket->bytes_per_second = bytes_per_second;
    bucket->burst_bytes = burst_bytes;
}
