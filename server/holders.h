/* holders.h - which streams of this server have resumable uploads in their hands, by upload id: for whoever attaches after them,
 * asks for their progress, or aborts them.
 *
 * A stream is here from before its put is opened until that was given up or published; of one upload there may be several, of
 * which only the one with the highest epoch is not about to end. Whoever is here has a reference of its own.
 * Threads: any; one lock, under which nothing else is taken.
 */
#ifndef TVS_HOLDERS_H
#define TVS_HOLDERS_H

#include "drivers/driver.h"

#include <pthread.h>

struct tvs_stream;

#define TVS_HOLDER_SLOTS 1024

/* Embedded in what a stream has for its upload; under the lock, `id`, `epoch` and `stream` constant while it is here. */
struct tvs_holder {
    struct tvs_holder *next;
    struct tvs_stream *stream;
    struct tvs_upload_id id;
    uint64_t epoch;
    bool here;
};

struct tvs_holders {
    pthread_mutex_t lock;
    /* under the lock */
    struct tvs_holder *slots[TVS_HOLDER_SLOTS];
    size_t count;
};

void tvs_holders_init(struct tvs_holders *holders);
void tvs_holders_fini(struct tvs_holders *holders);

void tvs_holders_add(struct tvs_holders *holders, struct tvs_holder *holder);
/* No-op where it isn't here. */
void tvs_holders_remove(struct tvs_holders *holders, struct tvs_holder *holder);
/* The stream with the highest epoch of an upload, among those below `epoch_below`, with a reference; NULL: there is none. */
struct tvs_stream *tvs_holders_find(struct tvs_holders *holders, const struct tvs_upload_id *id, uint64_t epoch_below);
size_t tvs_holders_count(struct tvs_holders *holders);

#endif
