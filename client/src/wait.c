/* wait.c - see wait.h. */
#include "wait.h"

#include "timer.h"

#define NS_PER_MS  UINT64_C(1000000)
#define NS_PER_SEC UINT64_C(1000000000)

uint64_t tvc_deadline_after_ms(uint32_t timeout_ms) {
    return timeout_ms == TROVE_NO_TIMEOUT ? TVC_NO_DEADLINE : tv_now_ns() + timeout_ms * NS_PER_MS;
}

uint32_t tvc_deadline_left_ms(uint64_t deadline_ns) {
    if (deadline_ns == TVC_NO_DEADLINE)
        return TROVE_NO_TIMEOUT;
    uint64_t now_ns = tv_now_ns();
    return now_ns >= deadline_ns ? 0 : (uint32_t)((deadline_ns - now_ns + NS_PER_MS - 1) / NS_PER_MS);
}

void tvc_cond_init(pthread_cond_t *cond) {
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    int failed = pthread_cond_init(cond, &attributes);
    TV_ASSERT(failed == 0);
    pthread_condattr_destroy(&attributes);
}

bool tvc_cond_wait(pthread_cond_t *cond, pthread_mutex_t *lock, uint64_t deadline_ns) {
    if (deadline_ns == TVC_NO_DEADLINE)
        return pthread_cond_wait(cond, lock) == 0;
    struct timespec until = {.tv_sec = (time_t)(deadline_ns / NS_PER_SEC), .tv_nsec = (long)(deadline_ns % NS_PER_SEC)};
    return pthread_cond_timedwait(cond, lock, &until) == 0;
}
