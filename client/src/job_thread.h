/* job_thread.h - a thread that runs jobs, one after the other. A client has three: the hook thread, which calls the program back
 * (stream hooks, the `done` of asynchronous calls); the drainer, which waits for the disk (stream_spill.h); the resender, which
 * waits for the server (call_again.c). The latter two are started when they are first needed: most programs never have them.
 *
 * Jobs are embedded in what they are about; a job is queued at most once, so the queue is bounded by the number of streams and
 * allocates nothing. A job's `run` finds out under its owner's lock what there is to do (merged meanwhile) and does it with no
 * lock held. (Rejected: a queue of events; it needs a bound of its own and a policy when it is full, and one wake-up for each.)
 *
 * Threads: post from any, also under the client's lock; the lock in here is a leaf.
 */
#ifndef TVC_JOB_THREAD_H
#define TVC_JOB_THREAD_H

#include "status.h"

#include <pthread.h>

struct tvc_job {
    struct tvc_job *next;
    bool queued; /* under the thread's lock */
    void (*run)(struct tvc_job *job);
};

struct tvc_job_thread {
    pthread_t thread; /* constant once it was started */

    pthread_mutex_t lock;
    pthread_cond_t wanted;
    /* under the lock */
    struct tvc_job *first;
    struct tvc_job *last;
    bool sleeping;
    bool running; /* jobs are taken */
    bool ending;
};

/* Nothing runs before it is started. */
void tvc_job_thread_init(struct tvc_job_thread *thread);
/* Starts it, unless it was started before. Signals are blocked in it: they are for the program's threads. Errors:
 * RESOURCE_EXHAUSTED; CANCELLED once it has been ended. */
trove_status tvc_job_thread_start(struct tvc_job_thread *thread, trove_error *error);
/* Runs what is queued, then ends the thread, if it was ever started. The structure stays valid: posting to it does nothing. Not
 * from that thread. */
void tvc_job_thread_end(struct tvc_job_thread *thread);
void tvc_job_thread_fini(struct tvc_job_thread *thread);

/* False: it was queued already, or the thread doesn't run. A job that is posted while it runs runs again. */
bool tvc_job_thread_post(struct tvc_job_thread *thread, struct tvc_job *job);
/* Whether this is the thread, which was started before anyone else knew of it. */
bool tvc_job_thread_here(const struct tvc_job_thread *thread);

#endif
