/* job_thread.c - see job_thread.h. */
#include "job_thread.h"

#include <signal.h>

/* The next job, waiting for one; NULL at the end. Under the lock. */
static struct tvc_job *next_job(struct tvc_job_thread *thread) {
    while (thread->first == NULL) {
        if (thread->ending)
            return NULL;
        thread->sleeping = true;
        pthread_cond_wait(&thread->wanted, &thread->lock);
    }
    struct tvc_job *job = thread->first;
    thread->first = job->next;
    if (thread->first == NULL)
        thread->last = NULL;
    job->next = NULL;
    job->queued = false;
    return job;
}

static void *run_jobs(void *context) {
    struct tvc_job_thread *thread = context;
    pthread_mutex_lock(&thread->lock);
    for (struct tvc_job *job = next_job(thread); job != NULL; job = next_job(thread)) {
        pthread_mutex_unlock(&thread->lock);
        job->run(job);
        pthread_mutex_lock(&thread->lock);
    }
    thread->running = false;
    pthread_mutex_unlock(&thread->lock);
    return NULL;
}

void tvc_job_thread_init(struct tvc_job_thread *thread) {
    *thread = (struct tvc_job_thread){0};
    pthread_mutex_init(&thread->lock, NULL);
    pthread_cond_init(&thread->wanted, NULL);
}

/* Under the lock. */
static trove_status start(struct tvc_job_thread *thread, trove_error *error) {
    sigset_t all;
    sigset_t before;
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, &before);
    int failed = pthread_create(&thread->thread, NULL, run_jobs, thread);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (failed != 0)
        return TV_FAIL(error, RESOURCE_EXHAUSTED, "can't start another thread for the client");
    thread->running = true;
    return TROVE_OK;
}

trove_status tvc_job_thread_start(struct tvc_job_thread *thread, trove_error *error) {
    trove_status status = TROVE_OK;
    pthread_mutex_lock(&thread->lock);
    if (thread->ending)
        status = TV_FAIL(error, CANCELLED, "the client was closed");
    else if (!thread->running)
        status = start(thread, error);
    pthread_mutex_unlock(&thread->lock);
    return status;
}

void tvc_job_thread_end(struct tvc_job_thread *thread) {
    pthread_mutex_lock(&thread->lock);
    bool running = thread->running;
    thread->ending = true;
    pthread_cond_signal(&thread->wanted);
    pthread_mutex_unlock(&thread->lock);
    if (running)
        pthread_join(thread->thread, NULL);
}

void tvc_job_thread_fini(struct tvc_job_thread *thread) {
    pthread_cond_destroy(&thread->wanted);
    pthread_mutex_destroy(&thread->lock);
}

bool tvc_job_thread_post(struct tvc_job_thread *thread, struct tvc_job *job) {
    pthread_mutex_lock(&thread->lock);
    bool post = !job->queued && thread->running;
    if (post) {
        job->queued = true;
        if (thread->last != NULL)
            thread->last->next = job;
        else
            thread->first = job;
        thread->last = job;
        if (thread->sleeping) { /* one signal wakes it for all that comes until it runs */
            thread->sleeping = false;
            pthread_cond_signal(&thread->wanted);
        }
    }
    pthread_mutex_unlock(&thread->lock);
    return post;
}

bool tvc_job_thread_here(const struct tvc_job_thread *thread) {
    return pthread_equal(thread->thread, pthread_self()) != 0;
}
