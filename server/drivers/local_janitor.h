/* local_janitor.h - removes the files of objects that are gone, on a thread of its own.
 *
 * Unlinking a file costs time with its size (200 ms for 1 GiB on ext4 with discard, measured), which neither a commit nor a
 * worker may wait for, nor the start or the end of a store. A get that is still reading has the file open and goes on: the file
 * system frees the blocks when the last descriptor is closed. What isn't removed before the store is closed, or a crash, has no
 * owner in the index and goes to the next start's janitor.
 */
#ifndef TVS_LOCAL_JANITOR_H
#define TVS_LOCAL_JANITOR_H

#include "driver.h"
#include "local_file.h"

/* So many files may wait to be removed: 4 MiB of ids. Further ones stay where they are until the next start. */
#define TVS_JANITOR_QUEUE_MAX 262144

struct tvs_janitor {
    /* constant */
    struct tvs_file_store *files;
    void (*log)(void *context, const char *message);
    void *log_context;
    pthread_t thread;

    pthread_mutex_t lock;
    /* under the lock */
    pthread_cond_t changed;
    struct tvs_file_id *queue; /* a ring that grows */
    size_t capacity;
    size_t first;
    size_t count;
    bool removing;  /* one that isn't in the queue any more */
    bool overflown; /* since it was empty last */
    bool stopping;
};

trove_status tvs_janitor_start(struct tvs_janitor *janitor, struct tvs_file_store *files, const struct tvs_driver_config *config,
                               trove_error *error);
/* Blocks until the file that is being removed is; leaves the others. */
void tvs_janitor_stop(struct tvs_janitor *janitor);
/* Only queues, whatever the thread. */
void tvs_janitor_remove(struct tvs_janitor *janitor, const struct tvs_file_id *id);

#endif
