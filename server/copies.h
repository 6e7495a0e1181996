/* copies.h - copies of objects inside the store: in steps, a few at a time, so that they leave workers for everything else.
 *
 * A copy may take hours. It is a task that copies some MiB, looks whether its call is still wanted, and gets in line again; the
 * commit at its end is answered when it comes, and no worker waits for it. Of all that were asked for at most half as many as
 * there are workers are at it, the others wait in order, holding nothing but their names: so what else is to be done waits for a
 * few steps at most. (Rejected: one thread for each copy, of which there may be a thousand; all at once in the workers' queue,
 * where everybody would be behind all of them.)
 * Threads: any; one lock of its own, nothing nests in it.
 */
#ifndef TVS_COPIES_H
#define TVS_COPIES_H

#include <pthread.h>
#include <stdint.h>

struct tvs_copies {
    uint32_t running_max; /* constant */

    pthread_mutex_t lock;
    /* under the lock */
    struct tvs_copy_job *first; /* those that wait */
    struct tvs_copy_job **last;
    uint32_t running;
    uint32_t waiting;
};

void tvs_copies_init(struct tvs_copies *copies, uint32_t workers);
void tvs_copies_fini(struct tvs_copies *copies);

#endif
