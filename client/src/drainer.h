/* drainer.h - the client's thread that empties overflows (stream_spill.h). It is made when the first stream that buffers is opened:
 * most programs never have one.
 *
 * A thread of its own, for it waits for the disk: the hook thread is the program's, the receiving thread would keep all streams
 * waiting.
 * Threads: any; the lock in here is taken before the jobs', and after no other.
 */
#ifndef TVC_DRAINER_H
#define TVC_DRAINER_H

#include "hooks.h"

struct tvc_drainer {
    struct tvc_hooks jobs; /* valid while `running` */

    pthread_mutex_t lock;
    /* under the lock */
    bool running;
    bool ended; /* it isn't started any more */
};

void tvc_drainer_init(struct tvc_drainer *drainer);
/* Starts the thread if there is none. Errors: RESOURCE_EXHAUSTED; CANCELLED once it has been ended. */
trove_status tvc_drainer_start(struct tvc_drainer *drainer, trove_error *error);
/* Runs what is queued, then ends the thread; later posts do nothing. */
void tvc_drainer_end(struct tvc_drainer *drainer);
void tvc_drainer_fini(struct tvc_drainer *drainer);

#endif
