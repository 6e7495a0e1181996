/* local_upload.c - resumable uploads of the local store: begun, attached to, aborted, asked about. Going on with the bytes:
 * local_resume.c. Many of them: local_upload_list.c.
 */
#include "local_put.h"
#include "local_upload_commit.h"

#include <string.h>

/* ---- beginning ------------------------------------------------------------------------------------------------------- */

/* Everything that an upload is, borrowed from the options; `strings` has room for tvs_strings_bytes. */
static void describe(struct tvs_local *local, const struct tvs_local_bucket *bucket, const char *key,
                     const struct tvs_upload_options *options, char *strings, struct tvs_upload_record *record) {
    *record = (struct tvs_upload_record){
        .bucket_id = bucket->id,
        .created_ns = tvs_now_ns(),
        .idle_ns = options->idle_ns,
        .keep_ns = options->keep_ns,
        .size_hint = options->put.size_hint,
        .bucket = bucket->name,
        .principal = options->principal,
        .key = key,
        .metadata_count = (uint16_t)options->put.metadata_count,
        .strings = strings,
        .strings_bytes = tvs_strings_bytes(&options->put),
    };
    tvs_file_id_draw(&local->files, &record->file);
    memcpy(record->request_id, options->request_id, sizeof record->request_id);
    tvs_conditions_keep(&options->put.conditions, &record->conditions);
    if (options->put.digest != NULL)
        record->digest = *options->put.digest;
    tvs_strings_write(&options->put, strings);
}

/* The conditions of a request that was made before don't matter any more: what it has led to may be why they don't hold. */
static trove_status check_conditions(struct tvs_local *local, const struct tvs_local_bucket *bucket,
                                     const struct tvs_upload_record *record, trove_error *error) {
    uint8_t key[TVS_REQUEST_KEY_BYTES_MAX];
    struct tvs_row row;
    if (!record->conditions.any)
        return TROVE_OK;
    size_t key_bytes = tvs_index_key_request(record->request_id, record->principal, key);
    trove_status status = tvs_index_get(&local->index, local->index.rows, key, key_bytes, &row, error);
    if (status != TROVE_OK)
        return status;
    bool begun = row.bytes != NULL;
    tvs_row_fini(&row);
    return begun ? TROVE_OK : tvs_local_check_conditions_early(local, bucket, record->key, &record->conditions, error);
}

static trove_status make_begin(struct tvs_local *local, struct tvs_local_bucket *bucket, const struct tvs_upload_record *record,
                               struct tvs_upload_commit **commit, trove_error *error) {
    struct tvs_local_upload *upload;
    trove_status status = check_conditions(local, bucket, record, error);
    if (status == TROVE_OK)
        status = tvs_local_upload_create(&local->uploads, record, &upload, error);
    if (status != TROVE_OK)
        return status;
    status = tvs_upload_commit_create(TVS_COMMIT_UPLOAD_BEGIN, upload, 0, commit, error);
    if (status != TROVE_OK) {
        tvs_local_upload_release(upload);
        return status;
    }
    struct tvs_commit *base = &(*commit)->base;
    base->bucket = bucket;
    base->name = upload->record.key;
    base->index_key = (*commit)->request_key;
    base->index_key_bytes = tvs_index_key_request(record->request_id, record->principal, base->index_key);
    base->hash = tv_hash(base->index_key, base->index_key_bytes);
    base->row_bytes = upload->row_bytes;
    return TROVE_OK;
}

void tvs_local_upload_begin(struct tvs_driver *driver, const char *bucket, const char *key,
                            const struct tvs_upload_options *options, tvs_upload_done done, void *context) {
    struct tvs_local *local = tvs_local_of(driver);
    struct tvs_local_bucket *in = NULL;
    struct tvs_upload_commit *commit = NULL;
    trove_error error = {0};
    TV_ASSERT(options->principal[0] != '\0' && strlen(options->principal) <= TV_PRINCIPAL_BYTES_MAX);
    trove_status status = tvs_local_bucket_acquire(&local->buckets, bucket, &in, &error);
    if (status == TROVE_OK) {
        char strings[TVS_STRINGS_BYTES_MAX];
        struct tvs_upload_record record;
        describe(local, in, key, options, strings, &record);
        status = make_begin(local, in, &record, &commit, &error);
    }
    if (status == TROVE_OK) {
        tvs_upload_commit_submit(&local->committer, commit, done, context);
        return;
    }
    tvs_local_bucket_release(in);
    done(context, status, NULL, &error);
}

/* ---- attaching, aborting --------------------------------------------------------------------------------------------- */

/* A reference to an upload of this principal's. */
static trove_status acquire(struct tvs_local *local, const struct tvs_upload_id *id, const char *principal,
                            struct tvs_local_upload **upload, trove_error *error) {
    struct tvs_local_upload *found;
    trove_status status = tvs_local_upload_acquire(&local->uploads, id, &found, error);
    if (status != TROVE_OK)
        return status;
    status = tvs_upload_check_principal(id, found->record.principal, principal, error);
    if (status == TROVE_OK)
        *upload = found;
    else
        tvs_local_upload_release(found);
    return status;
}

/* A change that needs nothing but the upload. */
static void change(struct tvs_driver *driver, enum tvs_commit_kind kind, const struct tvs_upload_id *id, const char *principal,
                   tvs_upload_done done, void *context) {
    struct tvs_local *local = tvs_local_of(driver);
    struct tvs_local_upload *upload = NULL;
    struct tvs_upload_commit *commit = NULL;
    trove_error error = {0};
    trove_status status = acquire(local, id, principal, &upload, &error);
    if (status == TROVE_OK)
        status = tvs_upload_commit_create(kind, upload, 0, &commit, &error);
    if (status == TROVE_OK) {
        tvs_upload_commit_submit(&local->committer, commit, done, context);
        return;
    }
    tvs_local_upload_release(upload);
    done(context, status, NULL, &error);
}

void tvs_local_upload_attach(struct tvs_driver *driver, const struct tvs_upload_id *id, const char *principal,
                             tvs_upload_done done, void *context) {
    change(driver, TVS_COMMIT_UPLOAD_ATTACH, id, principal, done, context);
}

void tvs_local_upload_abort(struct tvs_driver *driver, const struct tvs_upload_id *id, const char *principal,
                            tvs_upload_done done, void *context) {
    struct tvs_local *local = tvs_local_of(driver);
    struct tvs_local_upload *upload;
    trove_error error = {0};
    bool damaged = tvs_local_upload_damaged(local, id, &upload, &error);
    /* Whose it was may not be known any more; who knows its id, which nobody can guess, may be rid of it. */
    if (damaged && (upload == NULL || tvs_upload_check_principal(id, upload->record.principal, principal, &error) == TROVE_OK)) {
        tvs_local_upload_discard(local, id, upload, done, context);
        return;
    }
    tvs_local_upload_release(upload);
    change(driver, TVS_COMMIT_UPLOAD_REMOVE, id, principal, done, context);
}

/* ---- asking ---------------------------------------------------------------------------------------------------------- */

trove_status tvs_local_upload_stat(struct tvs_driver *driver, const struct tvs_upload_id *id, const char *principal,
                                   tvs_upload_visit visit, void *context, trove_error *error) {
    struct tvs_local *local = tvs_local_of(driver);
    struct tvs_local_upload *upload;
    trove_status status = acquire(local, id, principal, &upload, error);
    if (status != TROVE_OK)
        return status;
    struct tvs_journal journal;
    struct tvs_upload_info info;
    struct tvs_object result = {0};
    status = tvs_local_journal_read(&local->index, id, &journal, error);
    if (status == TROVE_OK && !tvs_local_upload_has_place(&local->buckets, upload, &journal))
        status = tvs_fail_no_upload(id, error);
    if (status == TROVE_OK)
        status = tvs_local_upload_describe(upload, &journal, &info, &result, error);
    if (status == TROVE_OK)
        (void)visit(context, &info);
    tvs_object_fini(&result);
    tvs_local_upload_release(upload);
    return status;
}
