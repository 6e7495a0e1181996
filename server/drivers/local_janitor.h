/* local_janitor.h - removes the files of objects that are gone, on a thread of its own.
 *
 * Unlinking a file costs time with its size (200 ms for 1 GiB on ext4 with discard, measured), which neither a commit nor a
 * worker may wait for. A get that is still reading has the file open and goes on: the file system frees the blocks when the last
 * descriptor is closed. What isn't removed before a crash has no owner in the index and goes at the next start.
 */
#ifndef TVS_LOCAL_JANITOR_H
#define TVS_LOCAL_JANITOR_H

#include "local_file.h"

#define TVS_JANITOR_QUEUE 4096

struct tvs_janitor {
    /* constant */
    struct tvs_file_store *files;
    pthread_t thread;
    /* under `lock` */
    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct tvs_file_id queue[TVS_JANITOR_QUEUE]; /* a ring */
    size_t first;
    size_t count;
    bool stopping;
};

trove_status tvs_janitor_start(struct tvs_janitor *janitor, struct tvs_file_store *files, trove_error *error);
/* Blocks: finishes what is queued. */
void tvs_janitor_stop(struct tvs_janitor *janitor);
/* Blocks only where the queue is full: then the caller removes the file itself, which slows down whoever deletes faster than
 * the disk can follow. */
void tvs_janitor_remove(struct tvs_janitor *janitor, const struct tvs_file_id *id);

#endif
