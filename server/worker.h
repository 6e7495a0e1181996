/* worker.h - threads for what may block: the disk's work.
 *
 * Tasks are embedded in what they work for, so submitting never fails and never allocates. First come, first served. What must
 * not run twice at once (a stream's chunks) is the submitter's business: it submits its task again only when it has run.
 * Threads: submit from any. `run` is called with no lock held.
 */
#ifndef TVS_WORKER_H
#define TVS_WORKER_H

#include "status.h"

#include <stdint.h>

struct tvs_workers;

struct tvs_task {
    struct tvs_task *next;
    void (*run)(struct tvs_task *task);
};

/* `threads` from 1 on. Errors: RESOURCE_EXHAUSTED, and what the system says of a thread that can't be started. */
trove_status tvs_workers_create(uint32_t threads, struct tvs_workers **workers, trove_error *error);

/* Behind what is queued; not any more once tvs_workers_destroy has been called. Never blocks. */
void tvs_workers_submit(struct tvs_workers *workers, struct tvs_task *task);

/* Runs what is queued, then ends the threads. False: one hasn't come back within timeout_ms; then the workers can't be freed and
 * the process should end. NULL is allowed. */
bool tvs_workers_destroy(struct tvs_workers *workers, uint32_t timeout_ms);

#endif
