/* thread.c - see thread.h. A thread names itself: one that nobody joins may be over before anybody else could. */
#include "thread.h"

#include <signal.h>
#include <string.h>

struct start {
    void *(*run)(void *argument);
    void *argument;
    char name[16]; /* as Linux has it */
};

static void *begin(void *context) {
    struct start start = *(struct start *)context;
    free(context);
    (void)pthread_setname_np(pthread_self(), start.name);
    return start.run(start.argument);
}

/* The thread has the mask of the one that starts it. */
static int create(struct start *start, pthread_t *thread, bool detached) {
    sigset_t all;
    sigset_t before;
    pthread_attr_t attributes;
    sigfillset(&all);
    pthread_attr_init(&attributes);
    pthread_attr_setdetachstate(&attributes, detached ? PTHREAD_CREATE_DETACHED : PTHREAD_CREATE_JOINABLE);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int failure = pthread_create(thread, &attributes, begin, start);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attributes);
    return failure;
}

trove_status tv_thread_start(const char *name, void *(*run)(void *), void *argument, pthread_t *thread, trove_error *error) {
    struct start *start = malloc(sizeof *start);
    TV_ASSERT(strlen(name) < sizeof start->name);
    if (start == NULL)
        return TV_FAIL(error, RESOURCE_EXHAUSTED, "no memory for the thread %s", name);
    *start = (struct start){.run = run, .argument = argument};
    memcpy(start->name, name, strlen(name) + 1);
    pthread_t unwanted;
    int failure = create(start, thread != NULL ? thread : &unwanted, thread == NULL);
    if (failure == 0)
        return TROVE_OK;
    free(start);
    return TV_FAIL(error, RESOURCE_EXHAUSTED, "can't start the thread %s (error %d); raise the limit of processes", name,
                   failure);
}
