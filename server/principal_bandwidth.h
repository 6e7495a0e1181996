/* principal_bandwidth.h - the bytes per second of each key and user who is connected: one throttle for all connections and
 * streams of theirs, both directions together, beside that of the stream's pool.
 *
 * Threads: any; one lock. It is freed by the last one of its principal's sessions, on the timer's thread.
 */
#ifndef TVS_PRINCIPAL_BANDWIDTH_H
#define TVS_PRINCIPAL_BANDWIDTH_H

#include "principal.h"
#include "throttle.h"

struct tvs_principal_bandwidth {
    struct tvs_throttle throttle;
    /* under the lock of the list */
    struct tvs_principal_bandwidth *next;
    unsigned references;
    char name[TVS_PRINCIPAL_NAME_BYTES];
};

struct tvs_principal_bandwidths {
    pthread_mutex_t lock;
    struct tvs_principal_bandwidth *first; /* under the lock */
};

void tvs_principal_bandwidths_init(struct tvs_principal_bandwidths *list);
/* All have been released. */
void tvs_principal_bandwidths_fini(struct tvs_principal_bandwidths *list);

/* That of the principal, with a reference, and with its limit as it is known now. NULL: no memory. */
struct tvs_principal_bandwidth *tvs_principal_bandwidth_acquire(struct tvs_principal_bandwidths *list, struct tv_timers *timers,
                                                                const struct tvs_principal *principal);
/* NULL is allowed. On the timer's thread, or when that has ended. */
void tvs_principal_bandwidth_release(struct tvs_principal_bandwidths *list, struct tvs_principal_bandwidth *bandwidth);

#endif
