/* drainer.c - see drainer.h. */
#include "drainer.h"

#include <signal.h>

void tvc_drainer_init(struct tvc_drainer *drainer) {
    *drainer = (struct tvc_drainer){0};
    pthread_mutex_init(&drainer->lock, NULL);
}

/* Signals are the program's threads' business: see connect.c. */
static trove_status start_thread(struct tvc_drainer *drainer, trove_error *error) {
    sigset_t all;
    sigset_t before;
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, &before);
    trove_status status = tvc_hooks_init(&drainer->jobs, error);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (status != TROVE_OK)
        tvc_hooks_fini(&drainer->jobs);
    return status;
}

trove_status tvc_drainer_start(struct tvc_drainer *drainer, trove_error *error) {
    trove_status status = TROVE_OK;
    pthread_mutex_lock(&drainer->lock);
    if (drainer->ended)
        status = TV_FAIL(error, CANCELLED, "the client was closed");
    else if (!drainer->running)
        status = start_thread(drainer, error);
    if (status == TROVE_OK)
        drainer->running = true;
    pthread_mutex_unlock(&drainer->lock);
    return status;
}

void tvc_drainer_end(struct tvc_drainer *drainer) {
    pthread_mutex_lock(&drainer->lock);
    drainer->ended = true;
    bool running = drainer->running;
    pthread_mutex_unlock(&drainer->lock);
    if (running)
        tvc_hooks_end(&drainer->jobs);
}

void tvc_drainer_fini(struct tvc_drainer *drainer) {
    if (drainer->running)
        tvc_hooks_fini(&drainer->jobs);
    pthread_mutex_destroy(&drainer->lock);
}
