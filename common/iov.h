/* iov.h - walking over memory in pieces. Pure; any thread. */
#ifndef TV_IOV_H
#define TV_IOV_H

#include <stddef.h>
#include <string.h>
#include <sys/uio.h>

static inline size_t tv_iov_bytes(const struct iovec *iov, unsigned count) {
    size_t bytes = 0;
    for (unsigned i = 0; i < count; i++)
        bytes += iov[i].iov_len;
    return bytes;
}

/* Moves on by `bytes`: *first becomes the index of the first piece with anything left, which begins there; `count`: none has. */
static inline void tv_iov_advance(struct iovec *iov, unsigned count, unsigned *first, size_t bytes) {
    while (*first < count && bytes >= iov[*first].iov_len)
        bytes -= iov[(*first)++].iov_len;
    if (*first == count)
        return;
    iov[*first].iov_base = (char *)iov[*first].iov_base + bytes;
    iov[*first].iov_len -= bytes;
}

/* Copies what fits of `bytes` to where *first stands, and moves on. Returns how many. */
static inline size_t tv_iov_put(struct iovec *iov, unsigned count, unsigned *first, const void *from, size_t bytes) {
    size_t copied = 0;
    while (*first < count && copied < bytes) {
        size_t step = iov[*first].iov_len < bytes - copied ? iov[*first].iov_len : bytes - copied;
        memcpy(iov[*first].iov_base, (const char *)from + copied, step);
        tv_iov_advance(iov, count, first, step);
        copied += step;
    }
    return copied;
}

/* Copies up to `bytes` from `skip` on. Returns how many there were. */
static inline size_t tv_iov_get(const struct iovec *iov, unsigned count, size_t skip, void *to, size_t bytes) {
    size_t copied = 0;
    for (unsigned i = 0; i < count && copied < bytes; i++) {
        if (skip >= iov[i].iov_len) {
            skip -= iov[i].iov_len;
            continue;
        }
        size_t step = iov[i].iov_len - skip;
        if (step > bytes - copied)
            step = bytes - copied;
        /* NOLINTNEXTLINE(clang-analyzer-core.NonNullParamChecker): a buffer that has bytes has a place */
        memcpy((char *)to + copied, (const char *)iov[i].iov_base + skip, step);
        copied += step;
        skip = 0;
    }
    return copied;
}

#endif
