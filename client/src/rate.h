/* rate.h - a rolling average of bytes a second. Pure; the owner's lock protects it. */
#ifndef TVC_RATE_H
#define TVC_RATE_H

#include <stdint.h>

struct tvc_rate {
    uint64_t begun_ns; /* 0: not begun */
    uint64_t last_ns;
    uint64_t last_bytes;
    double bytes_per_second;
};

void tvc_rate_begin(struct tvc_rate *rate, uint64_t now_ns);
/* `bytes` in all so far. Samples that come close on each other are put together. */
void tvc_rate_add(struct tvc_rate *rate, uint64_t now_ns, uint64_t bytes);

#endif
