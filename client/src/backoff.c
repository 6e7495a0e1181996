/* backoff.c - see backoff.h. */
#include "backoff.h"

#include "trove.h"

#define NS_PER_MS UINT64_C(1000000)

void tvc_backoff_begin(struct tvc_backoff *backoff, uint32_t for_ms, uint64_t now_ns) {
    bool soon = backoff->begun_ns != 0 && now_ns - backoff->begun_ns < 2 * TVC_BACKOFF_MAX_NS;
    *backoff = (struct tvc_backoff){
        .until_ns = for_ms == TROVE_NO_TIMEOUT ? UINT64_MAX : now_ns + for_ms * NS_PER_MS,
        .begun_ns = now_ns,
        .tries = soon ? backoff->tries : 0,
    };
}

static uint64_t ceiling(uint32_t tries) {
    uint64_t ns = TVC_BACKOFF_FIRST_NS;
    while (tries-- > 0 && ns < TVC_BACKOFF_MAX_NS)
        ns *= 2;
    return ns < TVC_BACKOFF_MAX_NS ? ns : TVC_BACKOFF_MAX_NS;
}

uint64_t tvc_backoff_next(struct tvc_backoff *backoff, uint64_t now_ns, uint32_t random) {
    if (backoff->over || now_ns >= backoff->until_ns)
        return TVC_BACKOFF_OVER;
    uint64_t pause_ns = (uint64_t)random % (ceiling(backoff->tries) + 1);
    backoff->tries++;
    if (pause_ns < backoff->until_ns - now_ns)
        return now_ns + pause_ns;
    backoff->over = true;
    return backoff->until_ns;
}
