/* local_batch.c - see local_batch.h.
 *
 * Judging: each request sees the index plus what earlier requests do, of this batch and of the one that is being written, so that
 * of two puts with "must not exist" one wins. One that fails leaves nothing in the batch and doesn't disturb its neighbours; it
 * is told with its batch, after those that it lost against. A change of a bucket has a batch of its own, with no other before or
 * behind it under way.
 */
#include "local_batch.h"

#include "local_committer.h"
#include "local_pending.h"
#include "local_upload_commit.h"
#include "store_io.h"

#include <string.h>

bool tvs_batch_init(struct tvs_batch *batch) {
    *batch = (struct tvs_batch){
        .writes = rocksdb_writebatch_create(),
        .pending = tvs_pending_create(TVS_COMMIT_BATCH_COUNT_MAX),
        /* A request may leave two behind: an upload that becomes an inline object, and the object before it. */
        .removals = malloc(2 * TVS_COMMIT_BATCH_COUNT_MAX * sizeof *batch->removals),
        .dead = malloc(TVS_COMMIT_BATCH_COUNT_MAX * sizeof *batch->dead),
    };
    batch->last = &batch->first;
    if (batch->pending != NULL && batch->removals != NULL && batch->dead != NULL)
        return true;
    tvs_batch_fini(batch);
    return false;
}

void tvs_batch_fini(struct tvs_batch *batch) {
    if (batch->writes != NULL)
        rocksdb_writebatch_destroy(batch->writes);
    tvs_pending_destroy(batch->pending);
    free(batch->removals);
    free(batch->dead);
    *batch = (struct tvs_batch){0};
}

void tvs_batch_clear(struct tvs_batch *batch) {
    rocksdb_writebatch_clear(batch->writes);
    tvs_pending_clear(batch->pending);
    batch->first = NULL;
    batch->last = &batch->first;
    batch->count = batch->bytes = 0;
    batch->removal_count = batch->dead_count = 0;
    batch->changes_bucket = false;
}

/* ---- judging --------------------------------------------------------------------------------------------------------- */

static trove_status state_before(struct tvs_committer *committer, const struct tvs_commit *commit,
                                 struct tvs_commit_state *before, trove_error *error) {
    const struct tvs_commit *earlier = tvs_pending_find(committer->building->pending, commit);
    if (earlier == NULL && committer->writing != NULL)
        earlier = tvs_pending_find(committer->writing->pending, commit);
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
    struct tvs_batch *batch = committer->building;
    uint8_t key[1 + TVS_FILE_ID_BYTES];
    switch (old->place) {
    case TVS_PLACE_NONE:
        break;
    case TVS_PLACE_INLINE:
        batch->dead[batch->dead_count++] = old->generation;
        break;
    case TVS_PLACE_FILE:
        tvs_index_key_file(&old->file, key);
        rocksdb_writebatch_delete_cf(batch->writes, committer->index->rows, (const char *)key, sizeof key);
        batch->removals[batch->removal_count++] = old->file;
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
    const struct tvs_batch *batch = committer->building;
    uint64_t generation = ++committer->last_number;
    commit->after.generation = generation;
    commit->object.generation = generation;
    commit->object.modified_ns = batch->time_ns;
    tvs_record_stamp(commit->row, generation, batch->time_ns);
    rocksdb_writebatch_put_cf(batch->writes, index->rows, (const char *)commit->index_key, commit->index_key_bytes,
                              (const char *)commit->row, commit->row_bytes);
    if (commit->after.place == TVS_PLACE_INLINE) {
        uint8_t key[8];
        tvs_index_key_inline(generation, key);
        rocksdb_writebatch_put_cf(batch->writes, index->inlined, (const char *)key, sizeof key, commit->data, commit->data_bytes);
    } else if (commit->after.place == TVS_PLACE_FILE) {
        uint8_t key[1 + TVS_FILE_ID_BYTES], value[TVS_OWNER_RECORD_BYTES_MAX];
        struct tvs_owner_record owner = {.bucket_id = commit->bucket->id, .key = commit->name, .key_bytes = strlen(commit->name)};
        size_t value_bytes = tvs_owner_record_encode(&owner, value);
        rocksdb_writebatch_put_cf(batch->writes, index->rows, (const char *)key, tvs_index_key_file(&commit->after.file, key),
                                  (const char *)value, value_bytes);
    }
}

static trove_status apply_object(struct tvs_committer *committer, struct tvs_commit *commit, trove_error *error) {
    struct tvs_local_bucket *bucket = commit->bucket;
    if (atomic_load_explicit(&bucket->deleted, memory_order_relaxed))
        return tvs_fail_no_bucket(bucket->name, error);
    if (commit->kind == TVS_COMMIT_PUT && committer->building->no_space)
        return TV_FAIL(error, RESOURCE_EXHAUSTED,
                       "the store's disk is nearly full, so %s can't be stored; delete something or give it more room",
                       bucket->name);
    struct tvs_commit_state before;
    trove_status status = commit->upload != NULL ? tvs_batch_check_holder(committer, commit, error) : TROVE_OK;
    if (status == TROVE_OK)
        status = state_before(committer, commit, &before, error);
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
        rocksdb_writebatch_delete_cf(committer->building->writes, committer->index->rows, (const char *)commit->index_key,
                                     commit->index_key_bytes);
    count(committer, bucket, &before, &commit->after);
    if (commit->upload != NULL)
        tvs_batch_complete_upload(committer, commit);
    tvs_pending_insert(committer->building->pending, commit);
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
    rocksdb_writebatch_put_cf(committer->building->writes, committer->index->rows, (const char *)key,
                              tvs_index_key_bucket(bucket->name, key), (const char *)value, sizeof value);
}

static trove_status apply_bucket_create(struct tvs_committer *committer, struct tvs_commit *commit, trove_error *error) {
    struct tvs_local_bucket *bucket;
    if (tvs_local_bucket_acquire(committer->buckets, commit->name, &bucket, NULL) == TROVE_OK) {
        tvs_local_bucket_release(bucket);
        return TV_FAIL(error, ALREADY_EXISTS, "bucket %s exists already", commit->name);
    }
    if (committer->buckets->count >= TV_BUCKETS_MAX)
        return tvs_fail_too_many_buckets(error);
    trove_status status = tvs_local_buckets_reserve(committer->buckets, error);
    if (status != TROVE_OK)
        return status;
    struct tvs_bucket_record record = {.id = ++committer->last_number, .created_ns = committer->building->time_ns};
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
    rocksdb_writebatch_delete_cf(committer->building->writes, committer->index->rows, (const char *)commit->index_key,
                                 commit->index_key_bytes);
    return TROVE_OK;
}

/* ---- a batch as a whole ---------------------------------------------------------------------------------------------- */

static bool is_bucket_change(const struct tvs_commit *commit) {
    return commit->kind == TVS_COMMIT_BUCKET_CREATE || commit->kind == TVS_COMMIT_BUCKET_DELETE;
}

bool tvs_batch_takes(const struct tvs_committer *committer, const struct tvs_commit *commit) {
    const struct tvs_batch *building = committer->building, *writing = committer->writing;
    if (building->changes_bucket || (writing != NULL && writing->changes_bucket))
        return false;
    if (is_bucket_change(commit))
        return building->count == 0 && writing == NULL;
    return building->count < TVS_COMMIT_BATCH_COUNT_MAX && building->bytes < TVS_COMMIT_BATCH_BYTES_MAX;
}

static trove_status apply(struct tvs_committer *committer, struct tvs_commit *commit) {
    switch (commit->kind) {
    case TVS_COMMIT_PUT:
    case TVS_COMMIT_DELETE:
        break;
    case TVS_COMMIT_BUCKET_CREATE:
        return apply_bucket_create(committer, commit, &commit->error);
    case TVS_COMMIT_BUCKET_DELETE:
        return apply_bucket_delete(committer, commit, &commit->error);
    case TVS_COMMIT_UPLOAD_BEGIN:
    case TVS_COMMIT_UPLOAD_ATTACH:
    case TVS_COMMIT_UPLOAD_FLUSH:
    case TVS_COMMIT_UPLOAD_LOSE:
    case TVS_COMMIT_UPLOAD_REMOVE:
    case TVS_COMMIT_UPLOAD_DISCARD:
        return tvs_batch_apply_upload(committer, commit, &commit->error);
    }
    return apply_object(committer, commit, &commit->error);
}

void tvs_batch_add(struct tvs_committer *committer, struct tvs_commit *commit_move) {
    struct tvs_batch *batch = committer->building;
    if (batch->count == 0) {
        batch->time_ns = tvs_now_ns();
        batch->no_space = tvs_file_space_is_low(committer->space_fd, committer->index->memory_bytes);
        batch->changes_bucket = is_bucket_change(commit_move);
    }
    commit_move->status = apply(committer, commit_move);
    commit_move->next = NULL;
    *batch->last = commit_move;
    batch->last = &commit_move->next;
    batch->count++;
    batch->bytes += commit_move->data_bytes + commit_move->row_bytes;
}

static int compare_u64(const void *left, const void *right) {
    uint64_t a = *(const uint64_t *)left, b = *(const uint64_t *)right;
    return (a > b) - (a < b);
}

/* Inline bytes that nobody owns any more go behind all that the batch puts, in order. RocksDB's skip list remembers where it last
 * inserted: bytes that are put come at its end and cost hardly anything as long as nothing is inserted elsewhere in between. */
static void delete_dead(struct tvs_batch *batch, const struct tvs_index *index) {
    qsort(batch->dead, batch->dead_count, sizeof *batch->dead, compare_u64);
    for (size_t i = 0; i < batch->dead_count; i++) {
        uint8_t key[8];
        tvs_index_key_inline(batch->dead[i], key);
        rocksdb_writebatch_delete_cf(batch->writes, index->inlined, (const char *)key, sizeof key);
    }
}

bool tvs_batch_close(struct tvs_committer *committer) {
    struct tvs_batch *batch = committer->building;
    if (rocksdb_writebatch_count(batch->writes) == 0)
        return false;
    delete_dead(batch, committer->index);
    for (struct tvs_local_bucket *bucket = committer->dirty; bucket != NULL; bucket = bucket->next_dirty) {
        put_bucket_row(committer, bucket);
        bucket->dirty = false;
    }
    committer->dirty = NULL;
    uint8_t number[8];
    tvs_write_u64(number, committer->last_number);
    rocksdb_writebatch_put_cf(batch->writes, committer->index->rows, "g", 1, (const char *)number, sizeof number);
    return true;
}
