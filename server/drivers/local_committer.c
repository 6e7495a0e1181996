/* local_committer.c - group commit: everything that waits goes into one batch, the batch into the index with one sync.
 *
 * Two threads: the committer judges requests, builds batches and tells the results; a second one does nothing but write them.
 * While one batch is written and synced, the next is judged and built from what comes in meanwhile (local_batch.c), so that the
 * disk waits for as little as possible. One batch is written at a time, and they are told in order.
 *
 * THE ORDER OF SYNCS. An object exists from the moment its row is durable, so all that the row points at is durable before, and
 * what it no longer points at is removed after:
 *   0. the directories on the way to it: fsync of the store's parent, of the store's own directory and of objects/, at each
 *      start, whoever made them when (local_recover.c, local_file.c)
 *   1. the bytes and checksums of the object's file: fdatasync (local_writer.c, on the worker's thread)
 *   2. the entry of that file in its directory: fsync of objects/xx (same place; shared by those who wait at the same time).
 *      Small objects have no file: for them the order begins with 3.
 *   3. the batch: object rows, inline bytes, file owners, counters of the buckets, the last number - one write, one fdatasync of
 *      RocksDB's log (here)
 *   4. `done` is called: only now does anybody hear of success, and only from now on can a new get see the object
 *   5. files that lost their owner in this batch are unlinked (local_janitor.c), without any sync
 * A crash before 3 leaves a file without an owner; a crash after 3 leaves at worst a file that should have been unlinked. Both
 * are orphans for the next start.
 *
 * A resumable upload's file is owned from its beginning on, by a row that is durable before there is a file. A flush goes the
 * same way: the bytes up to its offset (1), once the entry of the file (2), then the batch with the journal's entry and the
 * checksums (3), then `done`. So the journal never tells of a byte that isn't on the disk; what the file has behind its offset is
 * cut off by the next who opens it. The batch that publishes it has the journal's entry turned into the result.
 * `relaxed` drops the syncs in 0 to 3 and keeps the order.
 *
 * When the write in 3 fails the process ends. After a failed fsync nobody knows which pages reached the disk, and asking again
 * may say yes without having written anything ("fsyncgate"): what the memory says and what a restart would find differ from
 * then on. A start replays the log and knows again. So that a full disk isn't such a failure, puts are refused before: some
 * space is kept back for the index.
 *
 * (Rejected: many threads writing with RocksDB's own group commit. Conditions would need a lock on keys, counters a merge
 * operator, and 64 threads measured 41,000 puts/s where one with batches of 100 measured over 200,000.
 * An own log, synced instead of RocksDB's: what a put costs is its way through RocksDB's memory and tables, not the log.)
 */
#include "local_committer.h"

#include "local_upload_commit.h"
#include "local_waiter.h"
#include "store_io.h"
#include "thread.h"

#include <string.h>

/* While a batch is being written the committer is woken for so many requests at once. */
#define WAKE_COUNT 32

/* ---- the writing thread ---------------------------------------------------------------------------------------------- */

__attribute__((noreturn)) static void end_process(struct tvs_committer *committer, const char *reason) {
    char text[640];
    snprintf(text, sizeof text,
             "the store's index can't be written: %.400s; ending now, because nobody knows what reached the disk: the next start "
             "finds out",
             reason);
    if (committer->log != NULL)
        committer->log(committer->log_context, text);
    else
        fprintf(stderr, "troved: %s\n", text);
    abort();
}

static void write_batch(struct tvs_committer *committer, const struct tvs_batch *batch) {
    char *failure = NULL;
    TVS_IO(index_write)(committer->index->db, committer->index->write_options, batch->writes, &failure);
    if (failure != NULL)
        end_process(committer, failure);
    atomic_fetch_add_explicit(&committer->batches, 1, memory_order_relaxed);
}

/* Wakes the committer if it sleeps. Under the lock. */
static void wake(struct tvs_committer *committer) {
    if (!committer->sleeping)
        return;
    committer->sleeping = false;
    pthread_cond_signal(&committer->work);
}

static void *writer_run(void *argument) {
    struct tvs_committer *committer = argument;
    tvs_index_thread_start();
    pthread_mutex_lock(&committer->lock);
    for (;;) {
        while (committer->handed == NULL && !committer->ending)
            pthread_cond_wait(&committer->handing, &committer->lock);
        const struct tvs_batch *batch = committer->handed;
        if (batch == NULL)
            break;
        committer->handed = NULL;
        pthread_mutex_unlock(&committer->lock);
        write_batch(committer, batch);
        pthread_mutex_lock(&committer->lock);
        atomic_store_explicit(&committer->written, true, memory_order_release);
        wake(committer);
    }
    pthread_mutex_unlock(&committer->lock);
    return NULL;
}

/* ---- the committer's thread ------------------------------------------------------------------------------------------ */

/* Whether the batch that was handed over is in the index. */
static bool is_written(struct tvs_committer *committer) {
    return committer->writing != NULL && atomic_load_explicit(&committer->written, memory_order_acquire);
}

/* What becomes visible besides the index. */
static void publish(struct tvs_committer *committer, struct tvs_commit *commit) {
    if (commit->status != TROVE_OK) {
        /* A put that lost leaves its file behind; a resumable one goes on with it. */
        if (commit->kind == TVS_COMMIT_PUT && commit->after.place == TVS_PLACE_FILE && commit->upload == NULL)
            tvs_janitor_remove(committer->janitor, &commit->after.file);
        return;
    }
    atomic_fetch_add_explicit(&committer->commits, 1, memory_order_relaxed);
    if (commit->kind == TVS_COMMIT_BUCKET_CREATE) {
        tvs_local_buckets_add(committer->buckets, commit->bucket);
        commit->bucket = NULL;
    } else if (commit->kind == TVS_COMMIT_BUCKET_DELETE) {
        atomic_store_explicit(&commit->bucket->deleted, true, memory_order_relaxed);
        tvs_local_buckets_remove(committer->buckets, commit->bucket);
    } else if (commit->upload != NULL) {
        tvs_upload_publish(commit);
    }
}

/* Tells what became of a batch's requests, which ends them, and empties it. */
static void tell(struct tvs_committer *committer, struct tvs_batch *batch) {
    size_t bytes = 0;
    for (struct tvs_commit *commit = batch->first, *next; commit != NULL; commit = next) {
        next = commit->next;
        bytes += commit->memory_bytes;
        publish(committer, commit);
        bool object = commit->status == TROVE_OK && commit->kind == TVS_COMMIT_PUT;
        commit->done(commit->context, commit->status, object ? &commit->object : NULL,
                     commit->status == TROVE_OK ? NULL : &commit->error);
        tvs_commit_destroy(commit);
    }
    for (size_t i = 0; i < batch->removal_count; i++)
        tvs_janitor_remove(committer->janitor, &batch->removals[i]);
    tvs_batch_clear(batch);
    pthread_mutex_lock(&committer->lock);
    committer->queued_bytes -= bytes;
    if (committer->waiting_for_room > 0)
        pthread_cond_broadcast(&committer->room);
    pthread_mutex_unlock(&committer->lock);
}

static void judge_backlog(struct tvs_committer *committer) {
    while (committer->backlog != NULL && tvs_batch_takes(committer, committer->backlog) && !is_written(committer)) {
        struct tvs_commit *commit = committer->backlog;
        committer->backlog = commit->next;
        tvs_batch_add(committer, commit);
    }
}

/* What was built is written next; `building` is NULL then. */
static void hand_over(struct tvs_committer *committer) {
    struct tvs_batch *batch = committer->building;
    if (batch->count == 0)
        return;
    bool write = tvs_batch_close(committer);
    committer->building = NULL;
    committer->writing = batch;
    atomic_store_explicit(&committer->written, !write, memory_order_relaxed);
    if (!write)
        return;
    pthread_mutex_lock(&committer->lock);
    committer->handed = batch;
    pthread_cond_signal(&committer->handing);
    pthread_mutex_unlock(&committer->lock);
}

/* Waits until there is something to do, and takes over what is queued. False: it was stopped, and all is done. */
static bool wait_for_work(struct tvs_committer *committer) {
    pthread_mutex_lock(&committer->lock);
    bool idle = committer->writing == NULL;
    committer->wake_at = idle ? 1 : committer->backlog == NULL ? WAKE_COUNT : SIZE_MAX;
    while (!(idle && (committer->backlog != NULL || committer->stopping)) && !is_written(committer) &&
           committer->queued_count < committer->wake_at) {
        committer->sleeping = true;
        pthread_cond_wait(&committer->work, &committer->lock);
    }
    committer->sleeping = false;
    if (committer->backlog == NULL) {
        committer->backlog = committer->first;
        committer->first = NULL;
        committer->last = &committer->first;
        committer->queued_count = 0;
    }
    pthread_mutex_unlock(&committer->lock);
    return !idle || committer->backlog != NULL;
}

static void *committer_run(void *argument) {
    struct tvs_committer *committer = argument;
    tvs_index_thread_start();
    while (wait_for_work(committer)) {
        judge_backlog(committer);
        struct tvs_batch *spare = &committer->pair[committer->building == &committer->pair[0]];
        if (is_written(committer)) {
            committer->writing = NULL;
            hand_over(committer); /* before anybody is told: the disk goes on meanwhile */
            tell(committer, spare);
        } else if (committer->writing == NULL) {
            hand_over(committer);
        }
        if (committer->building == NULL)
            committer->building = spare;
    }
    return NULL;
}

/* ---- from other threads ---------------------------------------------------------------------------------------------- */

/* Under the lock. */
static void append(struct tvs_committer *committer, struct tvs_commit *commit_move, tvs_commit_done done, void *context) {
    commit_move->done = done;
    commit_move->context = context;
    commit_move->next = NULL;
    committer->queued_bytes += commit_move->memory_bytes;
    *committer->last = commit_move;
    committer->last = &commit_move->next;
    if (++committer->queued_count >= committer->wake_at)
        wake(committer);
}

void tvs_committer_submit(struct tvs_committer *committer, struct tvs_commit *commit_move, tvs_commit_done done, void *context) {
    bool may_wait = !pthread_equal(pthread_self(), committer->thread);
    pthread_mutex_lock(&committer->lock);
    while (may_wait && committer->queued_bytes > TVS_COMMIT_QUEUE_BYTES_MAX) {
        committer->waiting_for_room++;
        pthread_cond_wait(&committer->room, &committer->lock);
        committer->waiting_for_room--;
    }
    append(committer, commit_move, done, context);
    pthread_mutex_unlock(&committer->lock);
}

void tvs_committer_queue(struct tvs_committer *committer, struct tvs_commit *commit_move, tvs_commit_done done, void *context) {
    pthread_mutex_lock(&committer->lock);
    append(committer, commit_move, done, context);
    pthread_mutex_unlock(&committer->lock);
}

trove_status tvs_committer_run(struct tvs_committer *committer, struct tvs_commit *commit_move, trove_error *error) {
    struct tvs_waiter waiter;
    tvs_waiter_init(&waiter, NULL, error);
    tvs_committer_submit(committer, commit_move, tvs_waiter_done, &waiter);
    return tvs_waiter_wait(&waiter);
}

static trove_status read_last_number(struct tvs_committer *committer, trove_error *error) {
    struct tvs_row row;
    trove_status status = tvs_index_get(committer->index, committer->index->rows, "g", 1, &row, error);
    if (status != TROVE_OK)
        return status;
    if (row.bytes != NULL && row.count == 8)
        committer->last_number = tvs_read_u64((const uint8_t *)row.bytes);
    else if (row.bytes != NULL)
        status = TV_FAIL(error, DATA_LOSS, "the index is damaged: its last number has %zu bytes", row.count);
    tvs_row_fini(&row);
    return status;
}

static void end_writer(struct tvs_committer *committer) {
    pthread_mutex_lock(&committer->lock);
    committer->ending = true;
    pthread_cond_signal(&committer->handing);
    pthread_mutex_unlock(&committer->lock);
    pthread_join(committer->writer, NULL);
}

static void fini(struct tvs_committer *committer) {
    for (unsigned i = 0; i < 2; i++)
        tvs_batch_fini(&committer->pair[i]);
    pthread_cond_destroy(&committer->handing);
    pthread_cond_destroy(&committer->room);
    pthread_cond_destroy(&committer->work);
    pthread_mutex_destroy(&committer->lock);
}

trove_status tvs_committer_start(struct tvs_committer *committer, const struct tvs_index *index,
                                 struct tvs_local_buckets *buckets, struct tvs_janitor *janitor, int space_fd,
                                 const struct tvs_driver_config *config, trove_error *error) {
    memset(committer, 0, sizeof *committer);
    committer->index = index;
    committer->buckets = buckets;
    committer->janitor = janitor;
    committer->space_fd = space_fd;
    committer->log = config->log;
    committer->log_context = config->log_context;
    committer->last = &committer->first;
    trove_status status = read_last_number(committer, error);
    if (status != TROVE_OK)
        return status;
    committer->building = &committer->pair[0];
    pthread_mutex_init(&committer->lock, NULL);
    pthread_cond_init(&committer->work, NULL);
    pthread_cond_init(&committer->room, NULL);
    pthread_cond_init(&committer->handing, NULL);
    if (!tvs_batch_init(&committer->pair[0]) || !tvs_batch_init(&committer->pair[1]))
        status = tvs_fail_no_memory("the committer", error);
    if (status == TROVE_OK)
        status = tv_thread_start("trove-sync", writer_run, committer, &committer->writer, error);
    if (status != TROVE_OK) {
        fini(committer);
        return status;
    }
    status = tv_thread_start("trove-commit", committer_run, committer, &committer->thread, error);
    if (status != TROVE_OK) {
        end_writer(committer);
        fini(committer);
    }
    return status;
}

void tvs_committer_stop(struct tvs_committer *committer) {
    pthread_mutex_lock(&committer->lock);
    committer->stopping = true;
    wake(committer);
    pthread_mutex_unlock(&committer->lock);
    pthread_join(committer->thread, NULL);
    end_writer(committer);
    fini(committer);
}
