/* hooks.c - see hooks.h. */
#include "hooks.h"

/* The next job, waiting for one; NULL at the end. Under the lock. */
static struct tvc_hook_job *next_job(struct tvc_hooks *hooks) {
    while (hooks->first == NULL) {
        if (hooks->ending)
            return NULL;
        hooks->sleeping = true;
        pthread_cond_wait(&hooks->wanted, &hooks->lock);
    }
    struct tvc_hook_job *job = hooks->first;
    hooks->first = job->next;
    if (hooks->first == NULL)
        hooks->last = NULL;
    job->next = NULL;
    job->queued = false;
    return job;
}

static void *hook_thread(void *context) {
    struct tvc_hooks *hooks = context;
    pthread_mutex_lock(&hooks->lock);
    for (struct tvc_hook_job *job = next_job(hooks); job != NULL; job = next_job(hooks)) {
        pthread_mutex_unlock(&hooks->lock);
        job->run(job);
        pthread_mutex_lock(&hooks->lock);
    }
    hooks->ended = true;
    pthread_mutex_unlock(&hooks->lock);
    return NULL;
}

trove_status tvc_hooks_init(struct tvc_hooks *hooks, trove_error *error) {
    *hooks = (struct tvc_hooks){0};
    pthread_mutex_init(&hooks->lock, NULL);
    pthread_cond_init(&hooks->wanted, NULL);
    int failed = pthread_create(&hooks->thread, NULL, hook_thread, hooks);
    if (failed == 0)
        return TROVE_OK;
    return TV_FAIL(error, RESOURCE_EXHAUSTED, "can't start another thread for the client");
}

void tvc_hooks_end(struct tvc_hooks *hooks) {
    pthread_mutex_lock(&hooks->lock);
    hooks->ending = true;
    pthread_cond_signal(&hooks->wanted);
    pthread_mutex_unlock(&hooks->lock);
    pthread_join(hooks->thread, NULL);
}

void tvc_hooks_fini(struct tvc_hooks *hooks) {
    pthread_cond_destroy(&hooks->wanted);
    pthread_mutex_destroy(&hooks->lock);
}

bool tvc_hooks_post(struct tvc_hooks *hooks, struct tvc_hook_job *job) {
    pthread_mutex_lock(&hooks->lock);
    bool post = !job->queued && !hooks->ended;
    if (post) {
        job->queued = true;
        if (hooks->last != NULL)
            hooks->last->next = job;
        else
            hooks->first = job;
        hooks->last = job;
        if (hooks->sleeping) { /* one signal wakes it for all that comes until it runs */
            hooks->sleeping = false;
            pthread_cond_signal(&hooks->wanted);
        }
    }
    pthread_mutex_unlock(&hooks->lock);
    return post;
}

bool tvc_hooks_here(const struct tvc_hooks *hooks) {
    return pthread_equal(hooks->thread, pthread_self()) != 0;
}
