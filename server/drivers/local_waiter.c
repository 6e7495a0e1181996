/* local_waiter.c - see local_waiter.h. */
#include "local_waiter.h"

void tvs_waiter_init(struct tvs_waiter *waiter, struct tvs_object *object, trove_error *error) {
    *waiter = (struct tvs_waiter){.object = object, .error = error};
    pthread_mutex_init(&waiter->lock, NULL);
    pthread_cond_init(&waiter->finished, NULL);
}

void tvs_waiter_done(void *context, trove_status status, const struct tvs_object *object, const trove_error *error) {
    struct tvs_waiter *waiter = context;
    if (status != TROVE_OK && waiter->error != NULL)
        *waiter->error = *error;
    else if (status == TROVE_OK && waiter->object != NULL)
        status = tvs_object_copy(waiter->object, object, waiter->error); /* it is only lent during the call */
    pthread_mutex_lock(&waiter->lock);
    waiter->status = status;
    waiter->is_finished = true;
    pthread_cond_signal(&waiter->finished);
    pthread_mutex_unlock(&waiter->lock);
}

trove_status tvs_waiter_wait(struct tvs_waiter *waiter) {
    pthread_mutex_lock(&waiter->lock);
    while (!waiter->is_finished)
        pthread_cond_wait(&waiter->finished, &waiter->lock);
    pthread_mutex_unlock(&waiter->lock);
    pthread_cond_destroy(&waiter->finished);
    pthread_mutex_destroy(&waiter->lock);
    return waiter->status;
}
