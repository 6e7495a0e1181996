/* local_waiter.h - waiting for a commit, for the calls that block until they are durable.
 *
 * Threads: one waits, once; another is done, once, before or after the wait begins.
 */
#ifndef TVS_LOCAL_WAITER_H
#define TVS_LOCAL_WAITER_H

#include "object.h"

#include <pthread.h>

struct tvs_waiter {
    pthread_mutex_t lock;
    pthread_cond_t finished;
    bool is_finished;
    trove_status status;
    struct tvs_object *object;
    trove_error *error;
};

/* Both outputs may be NULL. *object is the caller's to finish after success. */
void tvs_waiter_init(struct tvs_waiter *waiter, struct tvs_object *object, trove_error *error);
/* A tvs_commit_done whose context is the waiter. */
void tvs_waiter_done(void *context, trove_status status, const struct tvs_object *object, const trove_error *error);
/* Blocks until tvs_waiter_done was called, then takes the waiter down. */
trove_status tvs_waiter_wait(struct tvs_waiter *waiter);

#endif
