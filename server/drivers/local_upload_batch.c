/* local_upload_batch.c - how changes of resumable uploads are judged and written. See local_upload_commit.h; all of it runs on
 * the committer's thread.
 *
 * What is judged is kept in the upload's entry (local_uploads.h), which a request holds on to until it is told: so each sees what
 * those before it do, whether that is written yet or not, and a fence takes effect for everything that is judged behind it. An
 * upload's journal is read from the index once, by the first request that finds an entry without it: nothing of that upload can
 * be under way then.
 */
#include "local_upload_commit.h"

#include "digest.h"
#include "local_committer.h"
#include "local_pending.h"

#include <string.h>

/* ---- rows ------------------------------------------------------------------------------------------------------------ */

static void put_row(struct tvs_committer *committer, const uint8_t *key, size_t key_bytes, const uint8_t *value,
                    size_t value_bytes) {
    rocksdb_writebatch_put_cf(committer->building->writes, committer->index->rows, (const char *)key, key_bytes,
                              (const char *)value, value_bytes);
}

static void delete_row(struct tvs_committer *committer, const uint8_t *key, size_t key_bytes) {
    rocksdb_writebatch_delete_cf(committer->building->writes, committer->index->rows, (const char *)key, key_bytes);
}

static const uint8_t marker[1] = {1}; /* the value of rows that only are there */

static void put_journal(struct tvs_committer *committer, struct tvs_local_upload *upload, const struct tvs_journal *journal) {
    uint8_t key[TVS_UPLOAD_KEY_BYTES], value[TVS_JOURNAL_BYTES_MAX];
    upload->journal = *journal;
    size_t bytes = tvs_journal_encode(journal, value);
    put_row(committer, key, tvs_index_key_journal(&upload->gate.id, key), value, bytes);
}

static size_t place_key(const struct tvs_local_upload *upload, uint8_t key[TVS_PLACE_KEY_BYTES_MAX]) {
    struct tvs_upload_cursor cursor;
    tvs_upload_cursor_write(upload->record.bucket_id, upload->record.key, &upload->gate.id, &cursor);
    return tvs_index_key_place(&cursor, key);
}

static void put_timer(struct tvs_committer *committer, const struct tvs_local_upload *upload, uint64_t time_ns) {
    uint8_t key[TVS_TIMER_KEY_BYTES];
    put_row(committer, key, tvs_index_key_timer(time_ns, &upload->gate.id, key), marker, sizeof marker);
}

static void delete_timer(struct tvs_committer *committer, const struct tvs_local_upload *upload) {
    uint8_t key[TVS_TIMER_KEY_BYTES];
    delete_row(committer, key, tvs_index_key_timer(upload->journal.timer_ns, &upload->gate.id, key));
}

static void put_segments(struct tvs_committer *committer, const struct tvs_upload_commit *commit) {
    uint8_t key[TVS_SEGMENT_KEY_BYTES], value[TVS_SEGMENT_BYTES_MAX];
    uint32_t segment = commit->first_segment;
    for (size_t at = 0; at < commit->sum_count; at += TVS_SEGMENT_SUMS) {
        size_t count = commit->sum_count - at < TVS_SEGMENT_SUMS ? commit->sum_count - at : TVS_SEGMENT_SUMS;
        size_t bytes = tvs_segment_encode(commit->sums + at, count, value);
        put_row(committer, key, tvs_index_key_segment(&commit->base.upload->gate.id, segment++, key), value, bytes);
    }
}

static void delete_segments(struct tvs_committer *committer, const struct tvs_local_upload *upload) {
    uint8_t key[TVS_SEGMENT_KEY_BYTES];
    uint32_t count = tvs_segment_count(upload->journal.offset);
    for (uint32_t i = 0; i < count; i++)
        delete_row(committer, key, tvs_index_key_segment(&upload->gate.id, i, key));
    committer->building->bytes += count * sizeof key;
}

static void put_owner(struct tvs_committer *committer, const struct tvs_upload_record *record) {
    uint8_t key[1 + TVS_FILE_ID_BYTES], value[TVS_OWNER_RECORD_BYTES_MAX];
    struct tvs_owner_record owner = {.bucket_id = record->bucket_id, .key = record->key, .key_bytes = strlen(record->key)};
    size_t bytes = tvs_owner_record_encode(&owner, value);
    put_row(committer, key, tvs_index_key_file(&record->file, key), value, bytes);
}

/* Whether there ever was a file doesn't matter. */
static void discard_file(struct tvs_committer *committer, const struct tvs_upload_record *record) {
    uint8_t key[1 + TVS_FILE_ID_BYTES];
    struct tvs_batch *batch = committer->building;
    delete_row(committer, key, tvs_index_key_file(&record->file, key));
    batch->removals[batch->removal_count++] = record->file;
}

/* ---- judging --------------------------------------------------------------------------------------------------------- */

static trove_status load(struct tvs_committer *committer, struct tvs_local_upload *upload, trove_error *error) {
    if (!upload->loaded) {
        trove_status status = tvs_local_journal_read(committer->index, &upload->gate.id, &upload->journal, error);
        if (status != TROVE_OK && status != TROVE_NOT_FOUND)
            return status;
        upload->loaded = true;
        upload->exists = status == TROVE_OK;
    }
    return upload->exists ? TROVE_OK : tvs_fail_no_upload(&upload->gate.id, error);
}

static trove_status check_holder(struct tvs_committer *committer, const struct tvs_commit *commit, trove_error *error) {
    struct tvs_local_upload *upload = commit->upload;
    trove_status status = load(committer, upload, error);
    if (status != TROVE_OK)
        return status;
    if (upload->journal.state == TVS_JOURNAL_LOST)
        return tvs_fail_upload_lost(&upload->gate.id, error);
    if (upload->journal.epoch != commit->upload_epoch || upload->journal.state != TVS_JOURNAL_OPEN)
        return tvs_fail_fenced(&upload->gate.id, commit->upload_epoch, upload->journal.epoch, error);
    return TROVE_OK;
}

static void touch(struct tvs_committer *committer, const struct tvs_local_upload *upload, struct tvs_journal *journal) {
    const struct tvs_upload_record *record = &upload->record;
    journal->expires_ns = tvs_upload_expiry(committer->building->time_ns, record->idle_ns, record->created_ns, record->keep_ns,
                                            journal->expires_ns);
}

static trove_status attach(struct tvs_committer *committer, struct tvs_upload_commit *commit, trove_error *error) {
    struct tvs_local_upload *upload = commit->base.upload;
    trove_status status = load(committer, upload, error);
    if (status != TROVE_OK)
        return status;
    if (!tvs_local_upload_has_place(committer->buckets, upload, &upload->journal))
        return tvs_fail_no_upload(&upload->gate.id, error);
    if (upload->journal.state == TVS_JOURNAL_LOST)
        return tvs_fail_upload_lost(&upload->gate.id, error);
    struct tvs_journal next = upload->journal;
    next.epoch += next.state == TVS_JOURNAL_OPEN;
    touch(committer, upload, &next);
    status = tvs_local_upload_describe(upload, &next, &commit->info, &commit->result, error);
    if (status == TROVE_OK)
        put_journal(committer, upload, &next);
    return status;
}

static trove_status flush(struct tvs_committer *committer, struct tvs_upload_commit *commit, trove_error *error) {
    struct tvs_local_upload *upload = commit->base.upload;
    trove_status status = check_holder(committer, &commit->base, error);
    if (status != TROVE_OK)
        return status;
    TV_ASSERT(commit->offset >= upload->journal.offset);
    struct tvs_journal next = upload->journal;
    next.offset = commit->offset;
    next.tail_sum = commit->tail_sum;
    touch(committer, upload, &next);
    status = tvs_local_upload_describe(upload, &next, &commit->info, &commit->result, error);
    if (status != TROVE_OK)
        return status;
    put_segments(committer, commit);
    put_journal(committer, upload, &next);
    return TROVE_OK;
}

static trove_status lose(struct tvs_committer *committer, struct tvs_upload_commit *commit, trove_error *error) {
    trove_status status = check_holder(committer, &commit->base, error);
    if (status != TROVE_OK)
        return status;
    struct tvs_journal next = commit->base.upload->journal;
    next.state = TVS_JOURNAL_LOST;
    put_journal(committer, commit->base.upload, &next);
    return TROVE_OK;
}

/* The deadline has moved since its timer was set: so does the timer. */
static void move_timer(struct tvs_committer *committer, struct tvs_local_upload *upload) {
    struct tvs_journal next = upload->journal;
    delete_timer(committer, upload);
    next.timer_ns = next.expires_ns;
    put_timer(committer, upload, next.timer_ns);
    put_journal(committer, upload, &next);
}

static void remove_rows(struct tvs_committer *committer, struct tvs_local_upload *upload) {
    const struct tvs_upload_id *id = &upload->gate.id;
    uint8_t key[TVS_PLACE_KEY_BYTES_MAX], request[TVS_REQUEST_KEY_BYTES_MAX];
    delete_row(committer, key, tvs_index_key_upload(id, key));
    delete_row(committer, key, tvs_index_key_journal(id, key));
    delete_row(committer, request, tvs_index_key_request(upload->record.request_id, upload->record.principal, request));
    delete_timer(committer, upload);
    if (upload->journal.state != TVS_JOURNAL_COMPLETE) {
        delete_row(committer, key, place_key(upload, key));
        delete_segments(committer, upload);
        discard_file(committer, &upload->record);
        atomic_fetch_sub_explicit(&upload->uploads->unfinished, 1, memory_order_relaxed);
    }
    upload->exists = false;
}

static trove_status judge_removal(struct tvs_committer *committer, struct tvs_upload_commit *commit, trove_error *error) {
    struct tvs_local_upload *upload = commit->base.upload;
    trove_status status = load(committer, upload, error);
    if (status != TROVE_OK)
        return status;
    if (commit->expired_ns == 0 && upload->journal.state == TVS_JOURNAL_COMPLETE)
        return tvs_fail_upload_complete(&upload->gate.id, error);
    status = tvs_local_upload_describe(upload, &upload->journal, &commit->info, &commit->result, error);
    if (status != TROVE_OK)
        return status;
    commit->removed = commit->expired_ns == 0 || upload->journal.expires_ns <= commit->expired_ns;
    if (commit->removed)
        remove_rows(committer, upload);
    else
        move_timer(committer, upload);
    return TROVE_OK;
}

/* What a damaged upload had. One that is in memory, whole, is removed as any other. */
static trove_status discard(struct tvs_committer *committer, struct tvs_upload_commit *commit, trove_error *error) {
    struct tvs_local_upload *upload = commit->base.upload;
    if (upload != NULL && upload->loaded)
        return judge_removal(committer, commit, error);
    const uint8_t *at = (const uint8_t *)commit->sums, *end = at + commit->discarded_bytes;
    for (uint16_t length; at < end; at += sizeof length + length) {
        memcpy(&length, at, sizeof length);
        delete_row(committer, at + sizeof length, length);
    }
    committer->building->bytes += commit->discarded_bytes;
    if (commit->discards_file) {
        TV_ASSERT(upload != NULL);
        discard_file(committer, &upload->record);
    }
    if (commit->was_unfinished)
        atomic_fetch_sub_explicit(&commit->uploads->unfinished, 1, memory_order_relaxed);
    return TROVE_OK;
}

/* ---- beginning ------------------------------------------------------------------------------------------------------- */

/* The upload that this request has begun, as far as has been judged: a reference. NOT_FOUND: none. */
static trove_status find_begun(struct tvs_committer *committer, const struct tvs_upload_commit *commit,
                               struct tvs_local_upload **begun, trove_error *error) {
    struct tvs_local_uploads *uploads = commit->base.upload->uploads;
    const struct tvs_commit *earlier = tvs_pending_find(committer->building->pending, &commit->base);
    if (earlier == NULL && committer->writing != NULL)
        earlier = tvs_pending_find(committer->writing->pending, &commit->base);
    struct tvs_upload_id id;
    if (earlier != NULL) {
        id = earlier->upload->gate.id;
    } else {
        struct tvs_row row;
        trove_status status = tvs_index_get(committer->index, committer->index->rows, commit->base.index_key,
                                            commit->base.index_key_bytes, &row, error);
        if (status != TROVE_OK)
            return status;
        status = row.bytes != NULL ? tvs_request_record_decode(row.bytes, row.count, &id, error) : TROVE_NOT_FOUND;
        tvs_row_fini(&row);
        if (status != TROVE_OK)
            return status;
    }
    struct tvs_local_upload *found;
    trove_status status = tvs_local_upload_acquire(uploads, &id, &found, error);
    if (status != TROVE_OK)
        return status;
    status = load(committer, found, error);
    if (status == TROVE_OK)
        *begun = found;
    else
        tvs_local_upload_release(found);
    return status;
}

static bool is_same(const struct tvs_upload_record *a, const struct tvs_upload_record *b) {
    return a->bucket_id == b->bucket_id && strcmp(a->key, b->key) == 0 && a->size_hint == b->size_hint &&
           tvs_digest_is_same(&a->digest, &b->digest);
}

static trove_status begin_new(struct tvs_committer *committer, struct tvs_upload_commit *commit, trove_error *error) {
    struct tvs_local_upload *upload = commit->base.upload;
    const struct tvs_upload_id *id = &upload->gate.id;
    if (committer->building->no_space)
        return TV_FAIL(error, RESOURCE_EXHAUSTED,
                       "the store's disk is nearly full, so no upload into %s can begin; delete something or give it more room",
                       commit->base.bucket->name);
    if (atomic_load_explicit(&upload->uploads->unfinished, memory_order_relaxed) >= TVS_LOCAL_UPLOADS_MAX)
        return TV_FAIL(error, RESOURCE_EXHAUSTED, "there are %d unfinished uploads; finish or abort some", TVS_LOCAL_UPLOADS_MAX);
    struct tvs_journal first = {.epoch = 1};
    touch(committer, upload, &first);
    first.timer_ns = first.expires_ns;
    trove_status status = tvs_local_upload_describe(upload, &first, &commit->info, &commit->result, error);
    if (status != TROVE_OK)
        return status;
    uint8_t key[TVS_PLACE_KEY_BYTES_MAX], request[TVS_REQUEST_RECORD_BYTES];
    put_row(committer, key, tvs_index_key_upload(id, key), upload->row, upload->row_bytes);
    tvs_request_record_encode(id, request);
    put_row(committer, commit->base.index_key, commit->base.index_key_bytes, request, sizeof request);
    put_row(committer, key, place_key(upload, key), marker, sizeof marker);
    put_owner(committer, &upload->record);
    put_timer(committer, upload, first.timer_ns);
    put_journal(committer, upload, &first);
    upload->exists = true;
    atomic_fetch_add_explicit(&upload->uploads->unfinished, 1, memory_order_relaxed);
    tvs_pending_insert(committer->building->pending, &commit->base);
    return TROVE_OK;
}

static trove_status begin(struct tvs_committer *committer, struct tvs_upload_commit *commit, trove_error *error) {
    const struct tvs_local_bucket *bucket = commit->base.bucket;
    if (atomic_load_explicit(&bucket->deleted, memory_order_relaxed))
        return tvs_fail_no_bucket(bucket->name, error);
    struct tvs_local_upload *begun = NULL;
    trove_error inner;
    trove_status status = find_begun(committer, commit, &begun, &inner);
    if (status == TROVE_NOT_FOUND)
        return begin_new(committer, commit, error);
    if (status != TROVE_OK)
        return tv_error_copy(error, &inner);
    if (!is_same(&commit->base.upload->record, &begun->record)) {
        status = tvs_fail_request_reused(begun->record.bucket, begun->record.key, error);
        tvs_local_upload_release(begun);
        return status;
    }
    tvs_local_upload_release(commit->base.upload);
    commit->base.upload = begun;
    return attach(committer, commit, error);
}

/* ---- from the committer ---------------------------------------------------------------------------------------------- */

trove_status tvs_batch_apply_upload(struct tvs_committer *committer, struct tvs_commit *commit, trove_error *error) {
    struct tvs_upload_commit *upload = (struct tvs_upload_commit *)(void *)commit;
    switch (commit->kind) {
    case TVS_COMMIT_UPLOAD_BEGIN:
        return begin(committer, upload, error);
    case TVS_COMMIT_UPLOAD_ATTACH:
        return attach(committer, upload, error);
    case TVS_COMMIT_UPLOAD_FLUSH:
        return flush(committer, upload, error);
    case TVS_COMMIT_UPLOAD_LOSE:
        return lose(committer, upload, error);
    case TVS_COMMIT_UPLOAD_DISCARD:
        return discard(committer, upload, error);
    default:
        return judge_removal(committer, upload, error);
    }
}

trove_status tvs_batch_check_holder(struct tvs_committer *committer, const struct tvs_commit *commit, trove_error *error) {
    return check_holder(committer, commit, error);
}

void tvs_batch_complete_upload(struct tvs_committer *committer, const struct tvs_commit *commit) {
    struct tvs_local_upload *upload = commit->upload;
    uint8_t key[TVS_PLACE_KEY_BYTES_MAX];
    struct tvs_journal result = upload->journal;
    result.state = TVS_JOURNAL_COMPLETE;
    result.offset = commit->after.size;
    result.tail_sum = 0;
    result.generation = commit->after.generation;
    result.modified_ns = committer->building->time_ns;
    memcpy(result.etag, commit->after.etag, sizeof result.etag);
    touch(committer, upload, &result);
    delete_row(committer, key, place_key(upload, key));
    delete_segments(committer, upload);
    if (commit->after.place != TVS_PLACE_FILE)
        discard_file(committer, &upload->record);
    put_journal(committer, upload, &result);
    atomic_fetch_sub_explicit(&upload->uploads->unfinished, 1, memory_order_relaxed);
}

void tvs_upload_publish(const struct tvs_commit *commit) {
    const struct tvs_upload_commit *upload = (const struct tvs_upload_commit *)(const void *)commit;
    if (commit->kind == TVS_COMMIT_UPLOAD_BEGIN || commit->kind == TVS_COMMIT_UPLOAD_ATTACH)
        tvs_upload_gate_fence(&commit->upload->gate, upload->info.epoch);
    else if (commit->kind == TVS_COMMIT_UPLOAD_LOSE)
        tvs_upload_gate_close(&commit->upload->gate, TROVE_DATA_LOSS);
    else if (commit->kind == TVS_COMMIT_UPLOAD_REMOVE && upload->removed)
        tvs_upload_gate_close(&commit->upload->gate, TROVE_NOT_FOUND);
}
