/* worker.c - see worker.h. */
#include "worker.h"

#include "thread.h"

#include <errno.h>
#include <time.h>

struct tvs_workers {
    pthread_mutex_t lock;
    /* under the lock */
    pthread_cond_t work;
    pthread_cond_t ended;
    struct tvs_task *first;
    struct tvs_task *last;
    uint32_t idle;
    uint32_t running; /* threads */
    bool stopping;
};

static struct tvs_task *next_task(struct tvs_workers *workers) {
    pthread_mutex_lock(&workers->lock);
    while (workers->first == NULL && !workers->stopping) {
        workers->idle++;
        pthread_cond_wait(&workers->work, &workers->lock);
        workers->idle--;
    }
    struct tvs_task *task = workers->first;
    if (task != NULL) {
        workers->first = task->next;
        if (workers->first == NULL)
            workers->last = NULL;
    }
    pthread_mutex_unlock(&workers->lock);
    return task;
}

static void *work(void *argument) {
    struct tvs_workers *workers = argument;
    for (struct tvs_task *task = next_task(workers); task != NULL; task = next_task(workers))
        task->run(task);
    pthread_mutex_lock(&workers->lock);
    workers->running--;
    pthread_cond_signal(&workers->ended);
    pthread_mutex_unlock(&workers->lock);
    return NULL;
}

trove_status tvs_workers_create(uint32_t threads, struct tvs_workers **workers_out, trove_error *error) {
    struct tvs_workers *workers = calloc(1, sizeof *workers);
    if (workers == NULL)
        return TV_FAIL(error, RESOURCE_EXHAUSTED, "no memory for workers");
    pthread_mutex_init(&workers->lock, NULL);
    pthread_cond_init(&workers->work, NULL);
    pthread_condattr_t clock;
    pthread_condattr_init(&clock);
    pthread_condattr_setclock(&clock, CLOCK_MONOTONIC);
    pthread_cond_init(&workers->ended, &clock);
    pthread_condattr_destroy(&clock);
    for (uint32_t i = 0; i < threads; i++) {
        pthread_mutex_lock(&workers->lock);
        /* Nobody joins them: one that is stuck in I/O must not be waited for. */
        trove_status status = tv_thread_start("trove-worker", work, workers, NULL, error);
        workers->running += status == TROVE_OK;
        pthread_mutex_unlock(&workers->lock);
        if (status != TROVE_OK) {
            tvs_workers_destroy(workers, 1000);
            return status;
        }
    }
    *workers_out = workers;
    return TROVE_OK;
}

void tvs_workers_submit(struct tvs_workers *workers, struct tvs_task *task) {
    task->next = NULL;
    pthread_mutex_lock(&workers->lock);
    if (workers->last != NULL)
        workers->last->next = task;
    else
        workers->first = task;
    workers->last = task;
    bool wake = workers->idle > 0;
    pthread_mutex_unlock(&workers->lock);
    if (wake)
        pthread_cond_signal(&workers->work);
}

bool tvs_workers_destroy(struct tvs_workers *workers, uint32_t timeout_ms) {
    if (workers == NULL)
        return true;
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += timeout_ms / 1000;
    until.tv_nsec += (long)(timeout_ms % 1000) * 1000000;
    if (until.tv_nsec >= 1000000000) {
        until.tv_sec++;
        until.tv_nsec -= 1000000000;
    }
    pthread_mutex_lock(&workers->lock);
    workers->stopping = true;
    pthread_cond_broadcast(&workers->work);
    int code = 0;
    while (workers->running > 0 && code != ETIMEDOUT)
        code = pthread_cond_timedwait(&workers->ended, &workers->lock, &until);
    bool all = workers->running == 0;
    pthread_mutex_unlock(&workers->lock);
    if (!all)
        return false;
    pthread_mutex_destroy(&workers->lock);
    pthread_cond_destroy(&workers->work);
    pthread_cond_destroy(&workers->ended);
    free(workers);
    return true;
}
