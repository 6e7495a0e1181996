/* local_uploads.c - see local_uploads.h. */
#include "local_uploads.h"

#include <string.h>

void tvs_local_uploads_init(struct tvs_local_uploads *uploads, const struct tvs_index *index) {
    *uploads = (struct tvs_local_uploads){.index = index};
    pthread_mutex_init(&uploads->lock, NULL);
}

void tvs_local_uploads_fini(struct tvs_local_uploads *uploads) {
    TV_ASSERT(uploads->all.count == 0);
    tvs_sorted_fini(&uploads->all);
    pthread_mutex_destroy(&uploads->lock);
}

static int compare(const void *key, const void *item) {
    const struct tvs_local_upload *upload = item;
    return memcmp(((const struct tvs_upload_id *)key)->bytes, upload->gate.id.bytes, TVS_UPLOAD_ID_BYTES);
}

static void destroy(struct tvs_local_upload *upload) {
    tvs_upload_gate_fini(&upload->gate);
    free(upload);
}

/* An entry that isn't in the table yet, with one reference. */
static trove_status make(struct tvs_local_uploads *uploads, const struct tvs_upload_id *id, const void *row, size_t row_bytes,
                         struct tvs_local_upload **upload, trove_error *error) {
    struct tvs_local_upload *made = calloc(1, sizeof *made + row_bytes);
    if (made == NULL)
        return tvs_fail_no_memory("an upload", error);
    tvs_upload_gate_init(&made->gate, id);
    made->uploads = uploads;
    made->refs = 1;
    made->row_bytes = row_bytes;
    memcpy(made->row, row, row_bytes);
    trove_status status = tvs_upload_record_decode(id, made->row, row_bytes, &made->record, error);
    if (status != TROVE_OK) {
        destroy(made);
        return status;
    }
    *upload = made;
    return TROVE_OK;
}

/* Puts a new entry into the table, or, if there is one by now, takes that one instead. */
static trove_status insert(struct tvs_local_uploads *uploads, struct tvs_local_upload *made_move,
                           struct tvs_local_upload **upload, trove_error *error) {
    struct tvs_local_upload *unused = NULL;
    pthread_mutex_lock(&uploads->lock);
    bool found, room = true;
    size_t at = tvs_sorted_find(&uploads->all, compare, &made_move->gate.id, &found);
    if (found) {
        unused = made_move;
        *upload = uploads->all.all[at];
        (*upload)->refs++;
    } else if ((room = tvs_sorted_reserve(&uploads->all))) {
        tvs_sorted_insert(&uploads->all, at, made_move);
        *upload = made_move;
    } else {
        unused = made_move;
    }
    pthread_mutex_unlock(&uploads->lock);
    if (unused != NULL)
        destroy(unused);
    return room ? TROVE_OK : tvs_fail_no_memory("an upload", error);
}

trove_status tvs_local_upload_create(struct tvs_local_uploads *uploads, const struct tvs_upload_record *record,
                                     struct tvs_local_upload **upload, trove_error *error) {
    uint8_t row[TVS_UPLOAD_RECORD_BYTES_MAX];
    struct tvs_upload_id id;
    struct tvs_local_upload *made = NULL;
    tvs_upload_record_encode(record, row);
    trove_status status = tvs_upload_id_draw(&id, error);
    if (status == TROVE_OK)
        status = make(uploads, &id, row, tvs_upload_record_bytes(record), &made, error);
    if (status != TROVE_OK)
        return status;
    made->loaded = true; /* there is nothing to load */
    return insert(uploads, made, upload, error);
}

static bool find(struct tvs_local_uploads *uploads, const struct tvs_upload_id *id, struct tvs_local_upload **upload) {
    pthread_mutex_lock(&uploads->lock);
    bool found;
    size_t at = tvs_sorted_find(&uploads->all, compare, id, &found);
    if (found) {
        *upload = uploads->all.all[at];
        (*upload)->refs++;
    }
    pthread_mutex_unlock(&uploads->lock);
    return found;
}

trove_status tvs_local_upload_acquire(struct tvs_local_uploads *uploads, const struct tvs_upload_id *id,
                                      struct tvs_local_upload **upload, trove_error *error) {
    if (find(uploads, id, upload))
        return TROVE_OK;
    uint8_t key[TVS_UPLOAD_KEY_BYTES];
    struct tvs_row row;
    trove_status status = tvs_index_get(uploads->index, uploads->index->rows, key, tvs_index_key_upload(id, key), &row, error);
    if (status != TROVE_OK)
        return status;
    struct tvs_local_upload *made = NULL;
    status = row.bytes == NULL ? tvs_fail_no_upload(id, error) : make(uploads, id, row.bytes, row.count, &made, error);
    tvs_row_fini(&row);
    return status == TROVE_OK ? insert(uploads, made, upload, error) : status;
}

void tvs_local_upload_release(struct tvs_local_upload *upload) {
    if (upload == NULL)
        return;
    struct tvs_local_uploads *uploads = upload->uploads;
    pthread_mutex_lock(&uploads->lock);
    bool last = --upload->refs == 0;
    if (last) {
        bool found;
        size_t at = tvs_sorted_find(&uploads->all, compare, &upload->gate.id, &found);
        TV_ASSERT(found && uploads->all.all[at] == upload);
        tvs_sorted_remove(&uploads->all, at);
    }
    pthread_mutex_unlock(&uploads->lock);
    if (last)
        destroy(upload);
}

trove_status tvs_local_journal_read(const struct tvs_index *index, const struct tvs_upload_id *id, struct tvs_journal *journal,
                                    trove_error *error) {
    uint8_t key[TVS_UPLOAD_KEY_BYTES];
    struct tvs_row row;
    trove_status status = tvs_index_get(index, index->rows, key, tvs_index_key_journal(id, key), &row, error);
    if (status != TROVE_OK)
        return status;
    status = row.bytes == NULL ? tvs_fail_no_upload(id, error) : tvs_journal_decode(id, row.bytes, row.count, journal, error);
    tvs_row_fini(&row);
    return status;
}

bool tvs_local_upload_has_place(struct tvs_local_buckets *buckets, const struct tvs_local_upload *upload,
                                const struct tvs_journal *journal) {
    return journal->state == TVS_JOURNAL_COMPLETE ||
           tvs_local_bucket_is(buckets, upload->record.bucket, upload->record.bucket_id);
}

static trove_status describe_result(const struct tvs_upload_record *record, const struct tvs_journal *journal,
                                    struct tvs_object *result, trove_error *error) {
    char etag[TROVE_ETAG_BYTES];
    tvs_etag_from_raw(journal->etag, etag);
    struct tvs_object_facts facts = {.key = record->key,
                                     .key_bytes = strlen(record->key),
                                     .size = journal->offset,
                                     .generation = journal->generation,
                                     .modified_ns = journal->modified_ns,
                                     .etag = etag,
                                     .strings = record->strings,
                                     .strings_bytes = record->strings_bytes,
                                     .metadata_count = record->metadata_count};
    return tvs_object_build(&facts, result, error);
}

trove_status tvs_local_upload_describe(const struct tvs_local_upload *upload, const struct tvs_journal *journal,
                                       struct tvs_upload_info *info, struct tvs_object *result, trove_error *error) {
    const struct tvs_upload_record *record = &upload->record;
    bool complete = journal->state == TVS_JOURNAL_COMPLETE;
    trove_status status = complete ? describe_result(record, journal, result, error) : TROVE_OK;
    if (status != TROVE_OK)
        return status;
    *info = (struct tvs_upload_info){
        .id = upload->gate.id,
        .bucket = record->bucket,
        .key = record->key,
        .principal = record->principal,
        .epoch = journal->epoch,
        .durable_offset = journal->offset,
        .size_hint = record->size_hint,
        .created_ns = record->created_ns,
        .expires_ns = journal->expires_ns,
        .result = complete ? result : NULL,
    };
    return TROVE_OK;
}
