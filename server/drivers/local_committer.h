/* local_committer.h - all changes of the index: group commit. The order of syncs is at the top of local_committer.c.
 *
 * Threads: requests come from any; two of its own judge and build, and write. Who may touch which field is said with it.
 */
#ifndef TVS_LOCAL_COMMITTER_H
#define TVS_LOCAL_COMMITTER_H

#include "local_batch.h"
#include "local_janitor.h"

/* Who comes when this much is queued waits; but for small objects. */
#define TVS_COMMIT_QUEUE_BYTES_MAX (32 * TV_MIB)

struct tvs_committer {
    /* constant */
    const struct tvs_index *index;
    struct tvs_local_buckets *buckets;
    struct tvs_janitor *janitor;
    int space_fd; /* a descriptor on the store's file system */
    void (*log)(void *context, const char *message);
    void *log_context;
    pthread_t thread;
    pthread_t writer;

    /* atomic */
    atomic_ullong batches; /* synced writes of the index; only grows */
    atomic_ullong commits; /* requests that took effect; only grows */
    atomic_bool written;   /* `writing` is in the index, or had nothing to go there */

    pthread_mutex_t lock;
    /* under the lock */
    pthread_cond_t work;    /* for the committer */
    pthread_cond_t handing; /* for the writing thread */
    pthread_cond_t room;    /* for those who wait to queue */
    struct tvs_commit *first, **last;
    size_t queued_count; /* in that list */
    size_t queued_bytes; /* of requests that aren't done */
    unsigned waiting_for_room;
    size_t wake_at; /* the queued_count that the committer waits for */
    bool sleeping;  /* the committer, and nobody has woken it yet */
    bool stopping;
    bool ending;                    /* the writing thread */
    const struct tvs_batch *handed; /* to be written */

    /* the committer thread's */
    struct tvs_commit *backlog; /* taken off the queue, not judged yet */
    struct tvs_batch pair[2];   /* they take turns */
    struct tvs_batch *building;
    struct tvs_batch *writing;      /* handed over and not told yet, or NULL */
    struct tvs_local_bucket *dirty; /* buckets whose counters `building` changes */
    uint64_t last_number;           /* generations and bucket ids */
};

/* Blocks: reads the last number. */
trove_status tvs_committer_start(struct tvs_committer *committer, const struct tvs_index *index,
                                 struct tvs_local_buckets *buckets, struct tvs_janitor *janitor, int space_fd,
                                 const struct tvs_driver_config *config, trove_error *error);
/* Blocks: does what is queued. */
void tvs_committer_stop(struct tvs_committer *committer);

/* Queues a request; its `done` is called from the committer's thread when it is durable or has failed, and then the request is
 * destroyed. Blocks only while TVS_COMMIT_QUEUE_BYTES_MAX are queued (never within a `done`). */
void tvs_committer_submit(struct tvs_committer *committer, struct tvs_commit *commit_move, tvs_commit_done done, void *context);
/* The same, without ever waiting: for small objects, whose number and bytes are bounded by who puts them. */
void tvs_committer_queue(struct tvs_committer *committer, struct tvs_commit *commit_move, tvs_commit_done done, void *context);
/* The same, and waits. */
trove_status tvs_committer_run(struct tvs_committer *committer, struct tvs_commit *commit_move, trove_error *error);

#endif
