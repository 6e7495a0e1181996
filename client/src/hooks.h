/* hooks.h - the thread that calls the program back: stream hooks and the `done` of asynchronous calls. (A second one like it empties
 * overflows: drainer.h.)
 *
 * What is to be called belongs to jobs, embedded in what they are about; a job is queued at most once, so the queue is bounded
 * by the number of streams and allocates nothing. A job's `run` finds out under its owner's lock what there is to tell (merged
 * meanwhile) and calls the program with no lock held. (Rejected: a queue of events; it needs a bound of its own and a policy
 * when it is full, and one wake-up for each.)
 *
 * Threads: post from any, also under the client's lock; the lock in here is a leaf.
 */
#ifndef TVC_HOOKS_H
#define TVC_HOOKS_H

#include "status.h"

#include <pthread.h>

struct tvc_hook_job {
    struct tvc_hook_job *next;
    bool queued; /* under the hooks' lock */
    void (*run)(struct tvc_hook_job *job);
};

struct tvc_hooks {
    pthread_t thread; /* constant */

    pthread_mutex_t lock;
    pthread_cond_t wanted;
    /* under the lock */
    struct tvc_hook_job *first;
    struct tvc_hook_job *last;
    bool sleeping;
    bool ending;
    bool ended; /* posts are ignored */
};

/* Starts the thread. Errors: RESOURCE_EXHAUSTED. */
trove_status tvc_hooks_init(struct tvc_hooks *hooks, trove_error *error);
/* Runs what is queued, then ends the thread. The structure stays valid: posting to it does nothing. Not from that thread. */
void tvc_hooks_end(struct tvc_hooks *hooks);
void tvc_hooks_fini(struct tvc_hooks *hooks);

/* False: it was queued already, or the thread has ended. A job that is posted while it runs runs again. */
bool tvc_hooks_post(struct tvc_hooks *hooks, struct tvc_hook_job *job);
/* Whether this is the hook thread. */
bool tvc_hooks_here(const struct tvc_hooks *hooks);

#endif
