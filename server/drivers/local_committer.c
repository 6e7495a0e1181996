/* local_committer.c - group commit: everything that waits goes into one batch, the batch into the index with one sync.
 *
 * THE ORDER OF SYNCS. An object exists from the moment its row is durable, so all that the row points at is durable before, and
 * what it no longer points at is removed after:
 *   1. the bytes and checksums of the object's file: fdatasync (local_writer.c, on the worker's thread)
 *   2. the entry of that file in its directory: fsync of objects/xx (same place; shared by those who wait at the same time).
 *      Small objects have no file: for them the order begins with 3.
 *   3. the batch: object rows, inline bytes, file owners, counters of the buckets, the last number - one write, one fdatasync of
 *      RocksDB's log (here)
 *   4. `done` is called: only now does anybody hear of success, and only from now on can a new get see the object
 *   5. files that lost their owner in this batch are unlinked (local_janitor.c), without any sync
 * A crash before 3 leaves a file without an owner; a crash after 3 leaves at worst a file that should have been unlinked. Both are
 * orphans for the next start. `relaxed` drops the syncs in 1, 2 and 3 and keeps the order.
 *
 * When the write in 3 fails the process ends. After a failed fsync nobody knows which pages reached the disk, and asking again
 * may say yes without having written anything ("fsyncgate"): what the memory says and what a restart would find differ from
 * then on. A start replays the log and knows again. So that a full disk isn't such a failure, puts are refused before: some
 * space is kept back for the index.
 *
 * Judging: each request sees the index plus what the batch's earlier requests do, so that of two puts with "must not exist" in
 * one batch one wins. One that fails leaves nothing in the batch and doesn't disturb its neighbours. A change of a bucket has
 * a batch of its own.
 *
 * (Rejected: many threads writing with RocksDB's own group commit. Conditions would need a lock on keys, counters a merge
 * operator, and 64 threads measured 41,000 puts/s where one with batches of 100 measured over 200,000.)
 */
#include "local_committer.h"

#include "local_pending.h"
#include "local_thread.h"
#include "local_waiter.h"
#include "store_io.h"

#include <string.h>

/* ---- building a batch ------------------------------------------------------------------------------------------------ */

static trove_status state_before(struct tvs_committer *committer, const struct tvs_commit *commit,
                                 struct tvs_commit_state *before, trove_error *error) {
    const struct tvs_commit *earlier = tvs_pending_find(committer->pending, commit);
    if (earlier != NULL) {
        *before = earlier->after;
        return TROVE_OK;
    }
    struct tvs_row row;
    struct tvs_record record;
    bool found;
    trove_status status =
        tvs_index_get_object(committer->index, commit->index_key, commit->index_key_bytes, &row, &record, &found, error);
    if (status != TROVE_OK)
        return status;
    *before = (struct tvs_commit_state){.exists = found};
    if (found) {
        before->place = record.place;
        before->size = record.size;
        before->generation = record.generation;
        before->file = record.file;
        memcpy(before->etag, record.etag, sizeof before->etag);
    }
    tvs_row_fini(&row);
    return TROVE_OK;
}

static trove_status judge(const struct tvs_commit *commit, const struct tvs_commit_state *before, trove_error *error) {
    if (!commit->conditions.any)
        return TROVE_OK;
    char etag[TROVE_ETAG_BYTES];
    tvs_etag_from_raw(before->etag, etag);
    return tvs_conditions_check(&commit->conditions, before->exists ? etag : NULL, before->generation, commit->bucket->name,
                                commit->name, error);
}

/* What the old state has besides its row goes along with it. */
static void discard(struct tvs_committer *committer, const struct tvs_commit_state *old) {
    uint8_t key[1 + TVS_FILE_ID_BYTES];
    switch (old->place) {
    case TVS_PLACE_NONE:
        break;
    case TVS_PLACE_INLINE:
        committer->dead[committer->dead_count++] = old->generation;
        break;
    case TVS_PLACE_FILE:
        tvs_index_key_file(&old->file, key);
        rocksdb_writebatch_delete_cf(committer->batch, committer->index->rows, (const char *)key, sizeof key);
        committer->removals[committer->removal_count++] = old->file;
        break;
    }
}

/* Counters change in memory at once: if the batch can't be written there is no process left to show them. */
static void count(struct tvs_committer *committer, struct tvs_local_bucket *bucket, const struct tvs_commit_state *before,
                  const struct tvs_commit_state *after) {
    /* Modulo 2^64: adding a negative difference takes it away. */
    uint64_t objects = (uint64_t)after->exists - (uint64_t)before->exists;
    uint64_t bytes = (after->exists ? after->size : 0) - (before->exists ? before->size : 0);
    atomic_fetch_add_explicit(&bucket->object_count, objects, memory_order_relaxed);
    atomic_fetch_add_explicit(&bucket->object_bytes, bytes, memory_order_relaxed);
    if (!bucket->dirty) {
        bucket->dirty = true;
        bucket->next_dirty = committer->dirty;
        committer->dirty = bucket;
    }
}

static void put_rows(struct tvs_committer *committer, struct tvs_commit *commit) {
    const struct tvs_index *index = committer->index;
    uint64_t generation = ++committer->last_number;
    commit->after.generation = generation;
    commit->object.generation = generation;
    commit->object.modified_ns = committer->batch_time_ns;
    tvs_record_stamp(commit->row, generation, committer->batch_time_ns);
    rocksdb_writebatch_put_cf(committer->batch, index->rows, (const char *)commit->index_key, commit->index_key_bytes,
                              (const char *)commit->row, commit->row_bytes);
    if (commit->after.place == TVS_PLACE_INLINE) {
        uint8_t key[8];
        tvs_index_key_inline(generation, key);
        rocksdb_writebatch_put_cf(committer->batch, index->inlined, (const char *)key, sizeof key, commit->data,
                                  commit->data_bytes);
    } else if (commit->after.place == TVS_PLACE_FILE) {
        uint8_t key[1 + TVS_FILE_ID_BYTES], value[TVS_OWNER_RECORD_BYTES_MAX];
        struct tvs_owner_record owner = {.bucket_id = commit->bucket->id, .key = commit->name, .key_bytes = strlen(commit->name)};
        size_t value_bytes = tvs_owner_record_encode(&owner, value);
        rocksdb_writebatch_put_cf(committer->batch, index->rows, (const char *)key, tvs_index_key_file(&commit->after.file, key),
                                  (const char *)value, value_bytes);
    }
}

static trove_status apply_object(struct tvs_committer *committer, struct tvs_commit *commit, trove_error *error) {
    struct tvs_local_bucket *bucket = commit->bucket;
    if (atomic_load_explicit(&bucket->deleted, memory_order_relaxed))
        return tvs_fail_no_bucket(bucket->name, error);
    if (commit->kind == TVS_COMMIT_PUT && committer->no_space)
        return TV_FAIL(error, RESOURCE_EXHAUSTED,
                       "the store's disk is nearly full, so %s can't be stored; delete something or give it more room",
                       bucket->name);
    struct tvs_commit_state before;
    trove_status status = state_before(committer, commit, &before, error);
    if (status != TROVE_OK)
        return status;
    if (commit->kind == TVS_COMMIT_DELETE && !before.exists)
        return tvs_fail_no_object(bucket->name, commit->name, error);
    status = judge(commit, &before, error);
    if (status != TROVE_OK)
        return status;
    if (before.exists)
        discard(committer, &before);
    if (commit->kind == TVS_COMMIT_PUT)
        put_rows(committer, commit);
    else
        rocksdb_writebatch_delete_cf(committer->batch, committer->index->rows, (const char *)commit->index_key,
                                     commit->index_key_bytes);
    count(committer, bucket, &before, &commit->after);
    tvs_pending_insert(committer->pending, commit);
    return TROVE_OK;
}

static void put_bucket_row(struct tvs_committer *committer, const struct tvs_local_bucket *bucket) {
    uint8_t key[1 + TV_BUCKET_BYTES_MAX + 1], value[TVS_BUCKET_RECORD_BYTES];
    struct tvs_bucket_record record = {
        .id = bucket->id,
        .created_ns = bucket->created_ns,
        .object_count = atomic_load_explicit(&bucket->object_count, memory_order_relaxed),
        .object_bytes = atomic_load_explicit(&bucket->object_bytes, memory_order_relaxed),
    };
    tvs_bucket_record_encode(&record, value);
    rocksdb_writebatch_put_cf(committer->batch, committer->index->rows, (const char *)key,
                              tvs_index_key_bucket(bucket->name, key), (const char *)value, sizeof value);
}

static trove_status apply_bucket_create(struct tvs_committer *committer, struct tvs_commit *commit, trove_error *error) {
    struct tvs_local_bucket *bucket;
    if (tvs_local_bucket_acquire(committer->buckets, commit->name, &bucket, NULL) == TROVE_OK) {
        tvs_local_bucket_release(bucket);
        return TV_FAIL(error, ALREADY_EXISTS, "bucket %s exists already", commit->name);
    }
    trove_status status = tvs_local_buckets_reserve(committer->buckets, error);
    if (status != TROVE_OK)
        return status;
    struct tvs_bucket_record record = {.id = ++committer->last_number, .created_ns = committer->batch_time_ns};
    status = tvs_local_bucket_create(commit->name, &record, &bucket, error);
    if (status != TROVE_OK)
        return status;
    put_bucket_row(committer, bucket);
    commit->bucket = bucket;
    return TROVE_OK;
}

static trove_status apply_bucket_delete(struct tvs_committer *committer, struct tvs_commit *commit, trove_error *error) {
    struct tvs_local_bucket *bucket = commit->bucket;
    if (atomic_load_explicit(&bucket->deleted, memory_order_relaxed))
        return tvs_fail_no_bucket(bucket->name, error);
    uint64_t objects = atomic_load_explicit(&bucket->object_count, memory_order_relaxed);
    if (objects > 0)
        return TV_FAIL(error, FAILED_PRECONDITION, "bucket %s isn't empty: it has %llu objects; delete them first", bucket->name,
                       (unsigned long long)objects);
    rocksdb_writebatch_delete_cf(committer->batch, committer->index->rows, (const char *)commit->index_key,
                                 commit->index_key_bytes);
    return TROVE_OK;
}

static void apply(struct tvs_committer *committer, struct tvs_commit *commit) {
    switch (commit->kind) {
    case TVS_COMMIT_PUT:
    case TVS_COMMIT_DELETE:
        commit->status = apply_object(committer, commit, &commit->error);
        break;
    case TVS_COMMIT_BUCKET_CREATE:
        commit->status = apply_bucket_create(committer, commit, &commit->error);
        break;
    case TVS_COMMIT_BUCKET_DELETE:
        commit->status = apply_bucket_delete(committer, commit, &commit->error);
        break;
    }
}

/* ---- writing it ------------------------------------------------------------------------------------------------------ */

__attribute__((noreturn)) static void end_process(struct tvs_committer *committer, const char *reason) {
    char text[640];
    snprintf(text, sizeof text,
             "the store's index can't be written: %.400s; ending now, because nobody knows what reached the disk: the next start "
             "finds out",
             reason);
    if (committer->log != NULL)
        committer->log(committer->log_context, text);
    fprintf(stderr, "troved: %s\n", text);
    abort();
}

static int compare_u64(const void *left, const void *right) {
    uint64_t a = *(const uint64_t *)left, b = *(const uint64_t *)right;
    return (a > b) - (a < b);
}

/* Inline bytes that nobody owns any more go behind all that the batch puts, in order. RocksDB's skip list remembers where it last
 * inserted: bytes that are put come at its end and cost hardly anything as long as nothing is inserted elsewhere in between. */
static void delete_dead(struct tvs_committer *committer) {
    qsort(committer->dead, committer->dead_count, sizeof *committer->dead, compare_u64);
    for (size_t i = 0; i < committer->dead_count; i++) {
        uint8_t key[8];
        tvs_index_key_inline(committer->dead[i], key);
        rocksdb_writebatch_delete_cf(committer->batch, committer->index->inlined, (const char *)key, sizeof key);
    }
    committer->dead_count = 0;
}

static void write_batch(struct tvs_committer *committer) {
    if (rocksdb_writebatch_count(committer->batch) == 0)
        return;
    delete_dead(committer);
    for (struct tvs_local_bucket *bucket = committer->dirty; bucket != NULL; bucket = bucket->next_dirty) {
        put_bucket_row(committer, bucket);
        bucket->dirty = false;
    }
    committer->dirty = NULL;
    uint8_t number[8];
    tvs_write_u64(number, committer->last_number);
    rocksdb_writebatch_put_cf(committer->batch, committer->index->rows, "g", 1, (const char *)number, sizeof number);
    char *failure = NULL;
    tvs_store_io->index_write(committer->index->db, committer->index->write_options, committer->batch, &failure);
    if (failure != NULL)
        end_process(committer, failure);
    rocksdb_writebatch_clear(committer->batch);
    atomic_fetch_add_explicit(&committer->batches, 1, memory_order_relaxed);
}

/* What becomes visible besides the index. */
static void publish(struct tvs_committer *committer, struct tvs_commit *commit) {
    if (commit->status != TROVE_OK) {
        /* A put that lost leaves its file behind. */
        if (commit->kind == TVS_COMMIT_PUT && commit->after.place == TVS_PLACE_FILE)
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
    }
}

static bool is_bucket_change(const struct tvs_commit *commit) {
    return commit->kind == TVS_COMMIT_BUCKET_CREATE || commit->kind == TVS_COMMIT_BUCKET_DELETE;
}

/* Cuts the next batch off the backlog. */
static struct tvs_commit *next_batch(struct tvs_committer *committer) {
    struct tvs_commit *first = committer->backlog, *last = first;
    size_t number = 1, bytes = first->data_bytes + first->row_bytes;
    while (last->next != NULL && number < TVS_COMMIT_BATCH_COUNT_MAX && bytes < TVS_COMMIT_BATCH_BYTES_MAX &&
           !is_bucket_change(first) && !is_bucket_change(last->next)) {
        last = last->next;
        bytes += last->data_bytes + last->row_bytes;
        number++;
    }
    committer->backlog = last->next;
    last->next = NULL;
    return first;
}

static void commit_batch(struct tvs_committer *committer, struct tvs_commit *first) {
    committer->batch_time_ns = tvs_now_ns();
    committer->no_space = tvs_file_space_is_low(committer->space_fd);
    for (struct tvs_commit *commit = first; commit != NULL; commit = commit->next)
        apply(committer, commit);
    write_batch(committer);
    tvs_pending_clear(committer->pending);
    size_t bytes = 0;
    for (struct tvs_commit *commit = first, *next; commit != NULL; commit = next) {
        next = commit->next;
        bytes += commit->memory_bytes;
        publish(committer, commit);
        bool object = commit->status == TROVE_OK && commit->kind == TVS_COMMIT_PUT;
        commit->done(commit->context, commit->status, object ? &commit->object : NULL,
                     commit->status == TROVE_OK ? NULL : &commit->error);
        tvs_commit_destroy(commit);
    }
    for (size_t i = 0; i < committer->removal_count; i++)
        tvs_janitor_remove(committer->janitor, &committer->removals[i]);
    committer->removal_count = 0;
    pthread_mutex_lock(&committer->lock);
    committer->queued_bytes -= bytes;
    if (committer->waiting_for_room > 0)
        pthread_cond_broadcast(&committer->room);
    pthread_mutex_unlock(&committer->lock);
}

static bool take_queue(struct tvs_committer *committer) {
    pthread_mutex_lock(&committer->lock);
    while (committer->first == NULL && !committer->stopping)
        pthread_cond_wait(&committer->work, &committer->lock);
    committer->backlog = committer->first;
    committer->first = NULL;
    committer->last = &committer->first;
    pthread_mutex_unlock(&committer->lock);
    return committer->backlog != NULL;
}

static void *committer_run(void *argument) {
    struct tvs_committer *committer = argument;
    tvs_index_thread_start();
    while (take_queue(committer))
        while (committer->backlog != NULL)
            commit_batch(committer, next_batch(committer));
    return NULL;
}

/* ---- from other threads ---------------------------------------------------------------------------------------------- */

void tvs_committer_submit(struct tvs_committer *committer, struct tvs_commit *commit_move, tvs_commit_done done, void *context) {
    commit_move->done = done;
    commit_move->context = context;
    commit_move->next = NULL;
    bool may_wait = !pthread_equal(pthread_self(), committer->thread);
    pthread_mutex_lock(&committer->lock);
    while (may_wait && committer->queued_bytes > TVS_COMMIT_QUEUE_BYTES_MAX) {
        committer->waiting_for_room++;
        pthread_cond_wait(&committer->room, &committer->lock);
        committer->waiting_for_room--;
    }
    bool idle = committer->first == NULL;
    committer->queued_bytes += commit_move->memory_bytes;
    *committer->last = commit_move;
    committer->last = &commit_move->next;
    pthread_mutex_unlock(&committer->lock);
    if (idle)
        pthread_cond_signal(&committer->work);
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
    committer->pending = tvs_pending_create(TVS_COMMIT_BATCH_COUNT_MAX);
    committer->removals = malloc(TVS_COMMIT_BATCH_COUNT_MAX * sizeof *committer->removals);
    committer->dead = malloc(TVS_COMMIT_BATCH_COUNT_MAX * sizeof *committer->dead);
    if (committer->pending == NULL || committer->removals == NULL || committer->dead == NULL) {
        status = tvs_fail_no_memory("the committer", error);
        goto fail;
    }
    committer->batch = rocksdb_writebatch_create();
    pthread_mutex_init(&committer->lock, NULL);
    pthread_cond_init(&committer->work, NULL);
    pthread_cond_init(&committer->room, NULL);
    status = tvs_local_thread_start(&committer->thread, "trove-commit", committer_run, committer, error);
    if (status == TROVE_OK)
        return TROVE_OK;
    rocksdb_writebatch_destroy(committer->batch);
    pthread_cond_destroy(&committer->room);
    pthread_cond_destroy(&committer->work);
    pthread_mutex_destroy(&committer->lock);
fail:
    tvs_pending_destroy(committer->pending);
    free(committer->removals);
    free(committer->dead);
    return status;
}

void tvs_committer_stop(struct tvs_committer *committer) {
    pthread_mutex_lock(&committer->lock);
    committer->stopping = true;
    pthread_cond_signal(&committer->work);
    pthread_mutex_unlock(&committer->lock);
    pthread_join(committer->thread, NULL);
    rocksdb_writebatch_destroy(committer->batch);
    tvs_pending_destroy(committer->pending);
    free(committer->removals);
    free(committer->dead);
    pthread_cond_destroy(&committer->room);
    pthread_cond_destroy(&committer->work);
    pthread_mutex_destroy(&committer->lock);
}
