/* rate.c - see rate.h. Each sample weighs with the time it covers, against a memory of three seconds, or of as many as there
 * are. */
#include "rate.h"

#define SAMPLE_NS UINT64_C(50000000)
#define MEMORY_NS 3e9

void tv_rate_begin(struct tv_rate *rate, uint64_t now_ns) {
    *rate = (struct tv_rate){.begun_ns = now_ns, .last_ns = now_ns};
}

void tv_rate_add(struct tv_rate *rate, uint64_t now_ns, uint64_t bytes) {
    if (rate->begun_ns == 0 || now_ns <= rate->last_ns)
        return;
    if (bytes < rate->last_bytes) /* some have to be moved again */
        rate->last_bytes = bytes;
    double elapsed_ns = (double)(now_ns - rate->last_ns);
    double current = (double)(bytes - rate->last_bytes) * 1e9 / elapsed_ns;
    if (rate->last_ns == rate->begun_ns)
        rate->bytes_per_second = current; /* there is nothing older to weigh it against */
    if (elapsed_ns < (double)SAMPLE_NS)
        return;
    double known_ns = (double)(rate->last_ns - rate->begun_ns);
    double memory_ns = known_ns < MEMORY_NS ? known_ns : MEMORY_NS;
    rate->bytes_per_second += (current - rate->bytes_per_second) * elapsed_ns / (elapsed_ns + memory_ns);
    rate->last_ns = now_ns;
    rate->last_bytes = bytes;
}
