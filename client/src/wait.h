/* wait.h - deadlines: every wait of the client has one, in monotonic time. Any thread. */
#ifndef TVC_WAIT_H
#define TVC_WAIT_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#define TVC_NO_DEADLINE UINT64_MAX

/* From now; TROVE_NO_TIMEOUT is TVC_NO_DEADLINE. */
uint64_t tvc_deadline_after_ms(uint32_t timeout_ms);
/* What is left until the deadline, rounded up: 0 only when it has passed, TROVE_NO_TIMEOUT where there is none. */
uint32_t tvc_deadline_left_ms(uint64_t deadline_ns);

/* A condition that waits by the monotonic clock. */
void tvc_cond_init(pthread_cond_t *cond);
/* False: the deadline has passed. */
bool tvc_cond_wait(pthread_cond_t *cond, pthread_mutex_t *lock, uint64_t deadline_ns);

#endif
