/* refusals.h - how much is written of connections that aren't let in: anybody may make any number of them. The first ones, and
 * then one a second; how many were left out is told.
 * Threads: any; one lock. Time is given.
 */
#ifndef TVS_REFUSALS_H
#define TVS_REFUSALS_H

#include "token_bucket.h"

#include <pthread.h>

#define TVS_REFUSALS_BURST      100
#define TVS_REFUSALS_PER_SECOND 1

struct tvs_refusals {
    pthread_mutex_t lock;
    /* under the lock */
    struct tv_token_bucket lines;
    uint64_t left_out;
};

void tvs_refusals_init(struct tvs_refusals *refusals, uint64_t now_ns);
void tvs_refusals_fini(struct tvs_refusals *refusals);
/* Whether one more may be written; if not, it is counted. */
bool tvs_refusals_take(struct tvs_refusals *refusals, uint64_t now_ns);
/* How many weren't, since this was last asked. */
uint64_t tvs_refusals_left_out(struct tvs_refusals *refusals);

#endif
