/* backoff.h - when to try again what has failed: exponential, with full jitter, for a bounded time. Pure: time and chance come
 * from outside.
 *
 * A pause is drawn evenly between 0 and a ceiling that doubles with each failure up to TVC_BACKOFF_MAX_NS: so a thousand clients
 * whose server has come back don't come back all at once. (Rejected: a fixed part and a small random one; it spreads less for the
 * same mean.)
 */
#ifndef TVC_BACKOFF_H
#define TVC_BACKOFF_H

#include <stdbool.h>
#include <stdint.h>

#define TVC_BACKOFF_FIRST_NS (UINT64_C(50) * 1000000)
#define TVC_BACKOFF_MAX_NS   (UINT64_C(3) * 1000000000)

#define TVC_BACKOFF_OVER UINT64_MAX

struct tvc_backoff {
    uint64_t until_ns; /* when the last try is made; UINT64_MAX: there is none */
    uint64_t begun_ns;
    uint32_t tries;
    bool over; /* the last one was */
};

/* Begins anew, for `for_ms` (TROVE_NO_TIMEOUT: for ever). Where the time before was begun so recently that nothing has been well
 * since, pauses go on where they had got to. */
void tvc_backoff_begin(struct tvc_backoff *backoff, uint32_t for_ms, uint64_t now_ns);
/* When to try next, or TVC_BACKOFF_OVER. `random` is any number. */
uint64_t tvc_backoff_next(struct tvc_backoff *backoff, uint64_t now_ns, uint32_t random);

#endif
