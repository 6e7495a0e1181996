/* local_thread.h - starts a thread of the local driver: named, and with all signals blocked, which belong to the program. */
#ifndef TVS_LOCAL_THREAD_H
#define TVS_LOCAL_THREAD_H

#include "status.h"

#include <pthread.h>
#include <signal.h>

static inline trove_status tvs_local_thread_start(pthread_t *thread, const char *name, void *(*run)(void *), void *argument,
                                                  trove_error *error) {
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int failure = pthread_create(thread, NULL, run, argument);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (failure != 0)
        return tv_error_errno(error, failure, "can't start the thread %s", name);
    (void)pthread_setname_np(*thread, name);
    return TROVE_OK;
}

#endif
