/* mem_upload.c - resumable uploads of the mem driver. See mem_upload.h; the lists are in mem_uploads.c, the bytes in mem_put.c.
 *
 * Locks: the store's, then a gate's.
 */
#include "mem_put.h"

#include <string.h>

static trove_status create(struct tvs_mem *mem, const struct tvs_upload_options *options, struct tvs_put *content,
                           struct tvs_mem_upload **upload, trove_error *error) {
    const char *key = content->object->key;
    size_t key_bytes = strlen(key) + 1, principal_bytes = strlen(options->principal) + 1;
    size_t bytes = sizeof **upload + key_bytes + principal_bytes;
    struct tvs_upload_id id;
    trove_status status = tvs_upload_id_draw(&id, error);
    if (status == TROVE_OK)
        status = tvs_mem_charge(mem, bytes, error);
    if (status != TROVE_OK)
        return status;
    struct tvs_mem_upload *made = calloc(1, bytes);
    if (made == NULL) {
        atomic_fetch_sub_explicit(&mem->bytes, bytes, memory_order_relaxed);
        return tvs_fail_no_memory("an upload", error);
    }
    tvs_upload_gate_init(&made->gate, &id);
    made->bucket_id = content->bucket_id;
    made->created_ns = tvs_now_ns();
    made->idle_ns = options->idle_ns;
    made->keep_ns = options->keep_ns;
    made->size_hint = options->put.size_hint;
    if (options->put.digest != NULL)
        made->digest = *options->put.digest;
    memcpy(made->request_id, options->request_id, sizeof made->request_id);
    memcpy(made->bucket, content->bucket, sizeof made->bucket);
    made->key = memcpy(made->text, key, key_bytes);
    made->principal = memcpy(made->text + key_bytes, options->principal, principal_bytes);
    made->charged_bytes = bytes;
    made->refs = 1;
    made->content = content;
    *upload = made;
    return TROVE_OK;
}

/* ---- holders --------------------------------------------------------------------------------------------------------- */

/* The next holder's epoch; a complete one has no holders any more. Takes a reference. */
static void fence_locked(struct tvs_mem_upload *upload, struct tvs_upload_info *info) {
    if (!upload->complete)
        tvs_upload_gate_fence(&upload->gate, ++upload->epoch);
    tvs_mem_upload_touch_locked(upload);
    tvs_mem_upload_info_locked(upload, info);
    upload->refs++;
}

static bool is_same_request(const struct tvs_mem_upload *upload, uint64_t bucket_id, const char *key,
                            const struct tvs_upload_options *options) {
    static const struct tvs_declared_digest none;
    return upload->bucket_id == bucket_id && strcmp(upload->key, key) == 0 && upload->size_hint == options->put.size_hint &&
           tvs_digest_is_same(&upload->digest, options->put.digest != NULL ? options->put.digest : &none);
}

/* Attaches to what this request began. *upload is a reference; NULL: it has begun nothing yet. */
static trove_status find_begun(struct tvs_mem *mem, const char *bucket, const char *key, const struct tvs_upload_options *options,
                               struct tvs_mem_upload **upload, struct tvs_upload_info *info, trove_error *error) {
    trove_status status = TROVE_OK;
    pthread_mutex_lock(&mem->lock);
    const struct tvs_mem_bucket *in = tvs_mem_bucket_find(mem, bucket);
    struct tvs_mem_upload *found = tvs_mem_upload_find_request_locked(mem, options->principal, options->request_id);
    if (in == NULL)
        status = tvs_fail_no_bucket(bucket, error);
    else if (found != NULL && !is_same_request(found, in->id, key, options))
        status = tvs_fail_request_reused(found->bucket, found->key, error);
    else if (found != NULL) {
        fence_locked(found, info);
        *upload = found;
    }
    pthread_mutex_unlock(&mem->lock);
    return status;
}

static trove_status begin_new(struct tvs_driver *driver, const char *bucket, const char *key,
                              const struct tvs_upload_options *options, struct tvs_mem_upload **upload,
                              struct tvs_upload_info *info, trove_error *error) {
    struct tvs_mem *mem = tvs_mem_of(driver);
    struct tvs_put *content;
    struct tvs_mem_upload *made = NULL;
    trove_status status = tvs_mem_put_begin(driver, bucket, key, &options->put, &content, error);
    if (status != TROVE_OK)
        return status;
    status = create(mem, options, content, &made, error);
    if (status != TROVE_OK) {
        tvs_mem_put_abort(content);
        return status;
    }
    pthread_mutex_lock(&mem->lock);
    const struct tvs_mem_bucket *in = tvs_mem_bucket_find(mem, bucket);
    if (in == NULL || in->id != made->bucket_id) /* it was deleted since */
        status = tvs_fail_no_bucket(bucket, error);
    /* Another call with the same request may have been faster. */
    else if (tvs_mem_upload_find_request_locked(mem, options->principal, options->request_id) != NULL)
        status = TROVE_ABORTED;
    else
        status = tvs_mem_upload_insert_locked(mem, made, error);
    if (status == TROVE_OK) {
        fence_locked(made, info);
        *upload = made;
    }
    pthread_mutex_unlock(&mem->lock);
    if (status != TROVE_OK)
        tvs_mem_upload_release(mem, made);
    return status;
}

void tvs_mem_upload_begin(struct tvs_driver *driver, const char *bucket, const char *key,
                          const struct tvs_upload_options *options, tvs_upload_done done, void *context) {
    struct tvs_mem *mem = tvs_mem_of(driver);
    struct tvs_mem_upload *upload = NULL;
    struct tvs_upload_info info;
    trove_error error = {0};
    trove_status status;
    do {
        status = find_begun(mem, bucket, key, options, &upload, &info, &error);
        if (status == TROVE_OK && upload == NULL)
            status = begin_new(driver, bucket, key, options, &upload, &info, &error);
    } while (status == TROVE_ABORTED);
    done(context, status, status == TROVE_OK ? &info : NULL, &error);
    tvs_mem_upload_release(mem, upload);
}

static trove_status find_locked(struct tvs_mem *mem, const struct tvs_upload_id *id, const char *principal,
                                struct tvs_mem_upload **upload, trove_error *error) {
    *upload = tvs_mem_upload_find_locked(mem, id);
    if (*upload == NULL)
        return tvs_fail_no_upload(id, error);
    return tvs_upload_check_principal(id, (*upload)->principal, principal, error);
}

void tvs_mem_upload_attach(struct tvs_driver *driver, const struct tvs_upload_id *id, const char *principal, tvs_upload_done done,
                           void *context) {
    struct tvs_mem *mem = tvs_mem_of(driver);
    struct tvs_mem_upload *upload;
    struct tvs_upload_info info;
    trove_error error = {0};
    pthread_mutex_lock(&mem->lock);
    trove_status status = find_locked(mem, id, principal, &upload, &error);
    if (status == TROVE_OK)
        fence_locked(upload, &info);
    pthread_mutex_unlock(&mem->lock);
    done(context, status, status == TROVE_OK ? &info : NULL, &error);
    if (status == TROVE_OK)
        tvs_mem_upload_release(mem, upload);
}

static trove_status open_locked(struct tvs_mem *mem, const struct tvs_upload_id *id, uint64_t epoch,
                                struct tvs_mem_upload **upload, uint64_t *durable_offset, trove_error *error) {
    trove_status status = find_locked(mem, id, NULL, upload, error);
    if (status != TROVE_OK)
        return status;
    if ((*upload)->complete)
        return tvs_fail_upload_complete(id, error);
    const struct tvs_mem_bucket *in = tvs_mem_bucket_find(mem, (*upload)->bucket);
    if (in == NULL || in->id != (*upload)->bucket_id)
        return tvs_fail_no_bucket((*upload)->bucket, error);
    status = tvs_upload_gate_open(&(*upload)->gate, epoch, error);
    if (status != TROVE_OK)
        return status;
    (*upload)->refs++;
    *durable_offset = (*upload)->durable_offset;
    return TROVE_OK;
}

trove_status tvs_mem_upload_open(struct tvs_driver *driver, const struct tvs_upload_id *id, uint64_t epoch, struct tvs_put **put,
                                 trove_error *error) {
    struct tvs_mem *mem = tvs_mem_of(driver);
    struct tvs_put *made = calloc(1, sizeof *made);
    if (made == NULL)
        return tvs_fail_no_memory("a put", error);
    struct tvs_mem_upload *upload;
    uint64_t durable_offset = 0;
    pthread_mutex_lock(&mem->lock);
    trove_status status = open_locked(mem, id, epoch, &upload, &durable_offset, error);
    pthread_mutex_unlock(&mem->lock);
    if (status != TROVE_OK) {
        free(made);
        return status;
    }
    made->upload = upload;
    made->epoch = epoch;
    made->mem = mem;
    status = tvs_mem_content_rewind(upload->content, durable_offset, error);
    if (upload->content->digest != NULL)
        tvs_digest_redeclare(upload->content->digest, &upload->digest);
    tvs_upload_gate_leave(&upload->gate);
    if (status != TROVE_OK) {
        tvs_mem_put_abort(made);
        return status;
    }
    *put = made;
    return TROVE_OK;
}

uint64_t tvs_mem_upload_durable_offset(const struct tvs_put *holder) {
    pthread_mutex_lock(&holder->mem->lock);
    uint64_t offset = holder->upload->durable_offset;
    pthread_mutex_unlock(&holder->mem->lock);
    return offset;
}

void tvs_mem_put_flush(struct tvs_put *put, tvs_upload_done done, void *context) {
    struct tvs_mem_upload *upload = put->upload;
    struct tvs_upload_info info;
    trove_error error = {0};
    trove_status status = tvs_upload_gate_enter(&upload->gate, put->epoch, &error);
    if (status == TROVE_OK) {
        uint64_t offset = upload->content->sums.bytes;
        pthread_mutex_lock(&put->mem->lock);
        status = tvs_mem_upload_check_locked(put, &error);
        if (status == TROVE_OK) {
            upload->durable_offset = offset;
            tvs_mem_upload_touch_locked(upload);
            tvs_mem_upload_info_locked(upload, &info);
        }
        pthread_mutex_unlock(&put->mem->lock);
        tvs_upload_gate_leave(&upload->gate);
    }
    done(context, status, status == TROVE_OK ? &info : NULL, &error);
}

/* ---- everybody else -------------------------------------------------------------------------------------------------- */

void tvs_mem_upload_abort(struct tvs_driver *driver, const struct tvs_upload_id *id, const char *principal, tvs_upload_done done,
                          void *context) {
    struct tvs_mem *mem = tvs_mem_of(driver);
    struct tvs_mem_upload *upload;
    struct tvs_upload_info info;
    trove_error error = {0};
    pthread_mutex_lock(&mem->lock);
    trove_status status = find_locked(mem, id, principal, &upload, &error);
    if (status == TROVE_OK && upload->complete)
        status = tvs_fail_upload_complete(id, &error);
    if (status == TROVE_OK) {
        tvs_mem_upload_info_locked(upload, &info);
        tvs_mem_upload_remove_locked(mem, upload);
    }
    pthread_mutex_unlock(&mem->lock);
    done(context, status, status == TROVE_OK ? &info : NULL, &error);
    if (status == TROVE_OK)
        tvs_mem_upload_release(mem, upload); /* the lists' */
}

trove_status tvs_mem_upload_stat(struct tvs_driver *driver, const struct tvs_upload_id *id, const char *principal,
                                 tvs_upload_visit visit, void *context, trove_error *error) {
    struct tvs_mem *mem = tvs_mem_of(driver);
    struct tvs_mem_upload *upload;
    struct tvs_upload_info info;
    pthread_mutex_lock(&mem->lock);
    trove_status status = find_locked(mem, id, principal, &upload, error);
    if (status == TROVE_OK) {
        upload->refs++;
        tvs_mem_upload_info_locked(upload, &info);
    }
    pthread_mutex_unlock(&mem->lock);
    if (status != TROVE_OK)
        return status;
    (void)visit(context, &info);
    tvs_mem_upload_release(mem, upload);
    return TROVE_OK;
}
