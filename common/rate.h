/* rate.h - a rolling average of bytes a second. Pure; the owner's lock protects it. */
#ifndef TV_RATE_H
#define TV_RATE_H

#include <stdint.h>

struct tv_rate {
    uint64_t begun_ns; /* 0: not begun */
    uint64_t last_ns;
    uint64_t last_bytes;
    double bytes_per_second;
};

void tv_rate_begin(struct tv_rate *rate, uint64_t now_ns);
/* `bytes` in all so far. Samples that come close on each other are put together. */
void tv_rate_add(struct tv_rate *rate, uint64_t now_ns, uint64_t bytes);

#endif
