/* token_bucket.h - a limit of bytes per second, with bursts: whether more may be sent now, and if not, how long to wait.
 *
 * The bucket fills with time, up to its burst, and is emptied by what was sent. Sending is allowed while it is not below zero,
 * and what is sent is debited afterwards in full, however large: a frame is never cut to fit. Below zero the bucket is in debt,
 * which time pays. So in any stretch of t seconds at most burst + t * rate bytes and one frame are sent, and a sender that always
 * has something reaches the rate exactly.
 * Exact: the level is kept in billionths of a byte, of which a nanosecond earns bytes_per_second. Nothing is ever rounded but the
 * time to wait (up). No input overflows: what doesn't fit saturates.
 * Rejected: a level in whole bytes with a remainder beside it (two numbers for one thing), and an earliest next time to send
 * instead of a level (a changed rate would have to rescale it).
 *
 * Threads: none of its own, no locks: the caller's. Times are of one monotonic clock; threads that read it and then take the lock
 * may come in late, so a time before the latest one seen counts as that one.
 */
#ifndef TV_TOKEN_BUCKET_H
#define TV_TOKEN_BUCKET_H

#include <stdbool.h>
#include <stdint.h>

__extension__ typedef __int128 tv_token_level;

struct tv_token_bucket {
    tv_token_level level;      /* billionths of a byte; negative: a debt */
    uint64_t bytes_per_second; /* 0: no limit */
    uint64_t burst_bytes;
    uint64_t seen_ns; /* the level is as of here */
};

/* Starts full. bytes_per_second 0: unlimited, always ready. burst_bytes 0 is allowed: what is sent is always paid for before
 * more. */
void tv_token_bucket_init(struct tv_token_bucket *bucket, uint64_t bytes_per_second, uint64_t burst_bytes, uint64_t now_ns);

/* Whether something may be sent now. */
bool tv_token_bucket_ready(struct tv_token_bucket *bucket, uint64_t now_ns);

/* Counts what was sent, ready or not. A debt is at most 2^64 bytes: what goes beyond is forgiven. Unlimited: counts nothing. */
void tv_token_bucket_debit(struct tv_token_bucket *bucket, uint64_t bytes, uint64_t now_ns);

/* Nanoseconds from now_ns after which it is ready if nothing is debited meanwhile, and before which it isn't; 0: ready now. */
uint64_t tv_token_bucket_wait_ns(struct tv_token_bucket *bucket, uint64_t now_ns);

/* A new limit from now on. Time up to now is earned at the old rate, a debt stays owed, a level above the new burst is cut to it.
 * To unlimited forgives the debt; from unlimited starts full. */
void tv_token_bucket_set_rate(struct tv_token_bucket *bucket, uint64_t bytes_per_second, uint64_t burst_bytes, uint64_t now_ns);

#endif
