/* scrubs.h - verifying what the store keeps, in steps, so that nobody else has to wait for it.
 *
 * A scrub may take days, a call of it a second: the client asks again with the place that it has come to. A call is a task that
 * reads some MiB, looks whether its time is over or nobody wants it any more, and gets in line again behind what puts and gets
 * have asked for meanwhile. One is at it at a time, whatever the number of workers; the others wait in order. (Rejected: a thread
 * of its own, which takes its part of the disk whatever else there is to do.)
 * Threads: any; one lock of its own, nothing nests in it.
 */
#ifndef TVS_SCRUBS_H
#define TVS_SCRUBS_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

struct tvs_scrubs {
    pthread_mutex_t lock;
    /* under the lock */
    struct tvs_scrub_job *first; /* those that wait */
    struct tvs_scrub_job **last;
    uint32_t waiting;
    bool running;
};

void tvs_scrubs_init(struct tvs_scrubs *scrubs);
void tvs_scrubs_fini(struct tvs_scrubs *scrubs);

#endif
