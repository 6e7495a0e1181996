/* local_committer.h - the one thread that changes the index: group commit. The order of syncs is at the top of
 * local_committer.c.
 */
#ifndef TVS_LOCAL_COMMITTER_H
#define TVS_LOCAL_COMMITTER_H

#include "local_commit.h"
#include "local_janitor.h"

#define TVS_COMMIT_BATCH_COUNT_MAX 1024
#define TVS_COMMIT_BATCH_BYTES_MAX (8 * TV_MIB)
/* Requests hold copies of small objects; who comes when this much is queued waits. */
#define TVS_COMMIT_QUEUE_BYTES_MAX (32 * TV_MIB)

struct tvs_pending_table;

struct tvs_committer {
    /* constant */
    const struct tvs_index *index;
    struct tvs_local_buckets *buckets;
    struct tvs_janitor *janitor;
    int space_fd; /* a descriptor on the store's file system */
    void (*log)(void *context, const char *message);
    void *log_context;
    pthread_t thread;
    /* atomic counters; they only grow */
    atomic_ullong batches; /* synced writes of the index */
    atomic_ullong commits; /* requests that took effect */
    /* under `lock` */
    pthread_mutex_t lock;
    pthread_cond_t work; /* for the committer */
    pthread_cond_t room; /* for those who wait to queue */
    struct tvs_commit *first, **last;
    size_t queued_bytes; /* of requests that aren't done */
    unsigned waiting_for_room;
    bool stopping;
    /* the committer thread's */
    struct tvs_commit *backlog; /* taken off the queue, not in a batch yet */
    rocksdb_writebatch_t *batch;
    struct tvs_pending_table *pending; /* what the batch being built does to which key */
    struct tvs_local_bucket *dirty;    /* buckets whose counters the batch changes */
    struct tvs_file_id *removals;      /* files that nobody owns once the batch is durable */
    size_t removal_count;
    uint64_t *dead; /* generations whose inline bytes the batch deletes */
    size_t dead_count;
    uint64_t last_number; /* generations and bucket ids */
    uint64_t batch_time_ns;
    bool no_space;
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
/* The same, and waits. */
trove_status tvs_committer_run(struct tvs_committer *committer, struct tvs_commit *commit_move, trove_error *error);

#endif
