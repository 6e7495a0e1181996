/* local_resume.c - the bytes of a resumable upload in the local store: opened by a new holder, flushed.
 *
 * Opening: the journal's entry and its checksums from the index, the file cut back to its offset, what is durable of the last
 * block read and compared with what the journal knows of it. What stands before that block isn't read (but for a declared
 * digest): whoever gets the object checks each block, as ever.
 */
#include "local_put.h"
#include "local_upload_commit.h"

#include <string.h>

/* ---- losing ---------------------------------------------------------------------------------------------------------- */

static void say(struct tvs_local *local, const struct tvs_local_upload *upload, const char *what, const char *why) {
    char id[TVS_UPLOAD_ID_TEXT_BYTES], name[TVS_NAME_BYTES], text[1024];
    snprintf(text, sizeof text, "upload %s of %s %s: %s", tvs_upload_id_text(&upload->gate.id, id),
             tvs_object_name(upload->record.bucket, upload->record.key, name), what, why);
    if (local->committer.log != NULL)
        local->committer.log(local->committer.log_context, text);
}

trove_status tvs_local_upload_prepare_loss(struct tvs_local *local, const struct tvs_local_upload *upload, uint64_t epoch,
                                           struct tvs_upload_commit **loss, trove_error *error) {
    struct tvs_local_upload *again; /* a reference of the commit's */
    trove_status status = tvs_local_upload_acquire(&local->uploads, &upload->gate.id, &again, error);
    if (status != TROVE_OK)
        return status;
    status = tvs_upload_commit_create(TVS_COMMIT_UPLOAD_LOSE, again, 0, loss, error);
    if (status != TROVE_OK) {
        tvs_local_upload_release(again);
        return status;
    }
    (*loss)->base.upload_epoch = epoch;
    return TROVE_OK;
}

void tvs_local_upload_lose(struct tvs_local *local, struct tvs_upload_commit **loss_move, const char *why) {
    struct tvs_upload_commit *loss = *loss_move;
    if (loss == NULL)
        return;
    *loss_move = NULL;
    say(local, loss->base.upload, "is lost", why);
    tvs_upload_commit_submit(&local->committer, loss, NULL, NULL);
}

/* ---- opening --------------------------------------------------------------------------------------------------------- */

static trove_status load_sums(struct tvs_local *local, const struct tvs_upload_id *id, uint64_t offset,
                              struct tvs_block_sums *sums, trove_error *error) {
    size_t count = (size_t)(offset / TV_BLOCK_BYTES);
    if (count == 0)
        return TROVE_OK;
    uint64_t *all = malloc(count * sizeof *all);
    if (all == NULL)
        return tvs_fail_no_memory("block checksums", error);
    trove_status status = TROVE_OK;
    for (size_t at = 0; at < count && status == TROVE_OK; at += TVS_SEGMENT_SUMS) {
        size_t here = count - at < TVS_SEGMENT_SUMS ? count - at : TVS_SEGMENT_SUMS;
        uint8_t key[TVS_SEGMENT_KEY_BYTES];
        size_t key_bytes = tvs_index_key_segment(id, (uint32_t)(at / TVS_SEGMENT_SUMS), key);
        struct tvs_row row;
        status = tvs_index_get(&local->index, local->index.rows, key, key_bytes, &row, error);
        if (status != TROVE_OK)
            break;
        status = tvs_segment_decode(id, row.bytes, row.count, all + at, here, error);
        tvs_row_fini(&row);
    }
    if (status == TROVE_OK)
        tvs_block_sums_load(sums, all, count);
    else
        free(all);
    return status;
}

/* The beginning of the block that the durable offset lies inside of: back into memory, if it is what was flushed. */
static trove_status load_tail(struct tvs_put *put, const struct tvs_journal *journal, trove_error *error) {
    size_t kept = (size_t)(journal->offset % TV_BLOCK_BYTES);
    uint64_t begin = journal->offset - kept;
    if (kept == 0)
        return TROVE_OK;
    void *block = aligned_alloc(TVS_DIRECT_ALIGNMENT, TV_BLOCK_BYTES);
    if (block == NULL)
        return tvs_fail_no_memory("a block", error);
    struct tv_data data = {.offset = begin, .bytes = kept, .iov_count = 1, .iov[0] = {block, kept}};
    trove_status status = tvs_file_writer_read(&put->writer, &data, error);
    if (status == TROVE_OK) {
        tv_data_hash(&data);
        if (data.piece_sums[0] != journal->tail_sum)
            status = TV_FAIL(error, DATA_LOSS, "bytes from %llu to %llu don't match their checksum", (unsigned long long)begin,
                             (unsigned long long)journal->offset);
    }
    if (status == TROVE_OK)
        status = tvs_block_sums_append(&put->sums, &data, error);
    if (status == TROVE_OK)
        status = tvs_file_writer_rewind(&put->writer, journal->offset, block, error);
    free(block);
    if (status == TROVE_OK)
        tvs_file_writer_show(&put->writer);
    return status;
}

static trove_status load(struct tvs_put *put, const struct tvs_journal *journal, trove_error *error) {
    const struct tvs_upload_record *record = &put->upload->record;
    trove_status status = load_sums(put->local, &put->upload->gate.id, journal->offset, &put->sums, error);
    if (status == TROVE_OK)
        status = tvs_file_writer_reopen(&put->writer, &record->file, journal->offset, error);
    if (status == TROVE_OK)
        status = load_tail(put, journal, error);
    if (status == TROVE_OK)
        status = tvs_digest_create(&record->digest, &put->digest, error);
    if (status == TROVE_OK && put->digest != NULL)
        status = tvs_local_put_restart_digest(put, error);
    return tvs_local_put_name(put, "going on with", status, error);
}

/* Enters the gate. The journal is read before, and the gate knows if it isn't the newest any more. */
static trove_status enter_first(struct tvs_local *local, struct tvs_local_upload *upload, uint64_t epoch,
                                struct tvs_journal *journal, trove_error *error) {
    trove_status status = tvs_local_journal_read(&local->index, &upload->gate.id, journal, error);
    if (status != TROVE_OK)
        return status;
    if (journal->state == TVS_JOURNAL_COMPLETE)
        return tvs_fail_upload_complete(&upload->gate.id, error);
    if (journal->state == TVS_JOURNAL_LOST)
        return tvs_fail_upload_lost(&upload->gate.id, error);
    tvs_upload_gate_fence(&upload->gate, journal->epoch);
    return tvs_upload_gate_open(&upload->gate, epoch, error);
}

static trove_status make(struct tvs_local *local, const struct tvs_local_upload *upload, struct tvs_put **put,
                         trove_error *error) {
    const struct tvs_upload_record *record = &upload->record;
    struct tvs_local_bucket *bucket;
    trove_status status = tvs_local_bucket_acquire(&local->buckets, record->bucket, &bucket, error);
    if (status != TROVE_OK)
        return status;
    if (bucket->id != record->bucket_id)
        status = tvs_fail_no_bucket(record->bucket, error);
    else
        status = tvs_local_put_create(local, bucket, record->key, record->strings_bytes, record->metadata_count, put, error);
    if (status != TROVE_OK) {
        tvs_local_bucket_release(bucket);
        return status;
    }
    memcpy((*put)->strings, record->strings, record->strings_bytes);
    (*put)->conditions = record->conditions;
    return TROVE_OK;
}

trove_status tvs_local_upload_open(struct tvs_driver *driver, const struct tvs_upload_id *id, uint64_t epoch,
                                   struct tvs_put **put, trove_error *error) {
    struct tvs_local *local = tvs_local_of(driver);
    struct tvs_local_upload *upload;
    struct tvs_put *made = NULL;
    struct tvs_journal journal;
    trove_error inner = {0};
    trove_status status = tvs_local_upload_acquire(&local->uploads, id, &upload, error);
    if (status != TROVE_OK)
        return status;
    status = make(local, upload, &made, &inner);
    if (status == TROVE_OK)
        status = tvs_local_upload_prepare_loss(local, upload, epoch, &made->loss, &inner);
    if (status == TROVE_OK)
        status = enter_first(local, upload, epoch, &journal, &inner);
    if (status != TROVE_OK) {
        tvs_local_put_abort(made);
        tvs_local_upload_release(upload);
        return tv_error_copy(error, &inner);
    }
    made->upload = upload;
    made->epoch = epoch;
    bool lost = false;
    status = tvs_local_upload_check_file(local, upload, &journal, &lost, &inner);
    if (status == TROVE_OK)
        status = load(made, &journal, &inner);
    tvs_local_put_leave(made);
    if (status == TROVE_OK) {
        *put = made;
        return TROVE_OK;
    }
    if (lost)
        tvs_local_upload_lose(local, &made->loss, inner.message);
    else if (status == TROVE_DATA_LOSS) /* a disk may read better the next time */
        say(local, upload, "can't be gone on with", inner.message);
    tvs_local_put_abort(made);
    return tv_error_copy(error, &inner);
}

/* ---- flushing -------------------------------------------------------------------------------------------------------- */

/* What the journal is to know. The sums are those from the row on that the last flush ended in. */
static trove_status make_flush(struct tvs_put *put, uint64_t flushed_before, struct tvs_upload_commit **commit,
                               trove_error *error) {
    size_t first = (size_t)(flushed_before / TV_BLOCK_BYTES / TVS_SEGMENT_SUMS * TVS_SEGMENT_SUMS);
    size_t whole = (size_t)(put->sums.bytes / TV_BLOCK_BYTES), count = whole - first;
    struct tvs_local_upload *upload; /* a reference of the commit's */
    trove_status status = tvs_local_upload_acquire(&put->local->uploads, &put->upload->gate.id, &upload, error);
    if (status != TROVE_OK)
        return status;
    status = tvs_upload_commit_create(TVS_COMMIT_UPLOAD_FLUSH, upload, count, commit, error);
    if (status != TROVE_OK) {
        tvs_local_upload_release(upload);
        return status;
    }
    struct tvs_upload_commit *made = *commit;
    made->base.upload_epoch = put->epoch;
    made->base.row_bytes = count * sizeof(uint64_t) + TVS_JOURNAL_BYTES_MAX;
    made->offset = put->sums.bytes;
    made->tail_sum = tvs_block_sums_tail(&put->sums);
    made->first_segment = (uint32_t)(first / TVS_SEGMENT_SUMS);
    if (count > 0)
        memcpy(made->sums, put->sums.sums + first, count * sizeof(uint64_t));
    return TROVE_OK;
}

static trove_status sync_bytes(struct tvs_put *put, struct tvs_upload_commit **commit, trove_error *error) {
    trove_status status = tvs_local_put_enter(put, error);
    if (status != TROVE_OK)
        return status;
    uint64_t flushed_before = put->writer.synced_bytes;
    status = tvs_file_writer_sync(&put->writer, error);
    if (status == TROVE_OK)
        status = make_flush(put, flushed_before, commit, error);
    tvs_local_put_leave(put);
    if (put->writer.sync_failed)
        tvs_local_upload_lose(put->local, &put->loss, error->message);
    return tvs_local_put_name(put, "flushing", status, error);
}

void tvs_local_put_flush(struct tvs_put *put, tvs_upload_done done, void *context) {
    struct tvs_upload_commit *commit = NULL;
    trove_error error = {0};
    TV_ASSERT(put->upload != NULL);
    trove_status status = sync_bytes(put, &commit, &error);
    if (status == TROVE_OK)
        tvs_upload_commit_submit(&put->local->committer, commit, done, context);
    else
        done(context, status, NULL, &error);
}
