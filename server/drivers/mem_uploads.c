/* mem_uploads.c - the mem driver's lists of resumable uploads: by id, by request, by place; results, oldest first. */
#include "mem_put.h"

#include <string.h>

struct request {
    const char *principal;
    const uint8_t *id;
};

struct place {
    uint64_t bucket_id;
    const char *key;
    struct tvs_upload_id id;
};

static int compare_id(const void *key, const void *item) {
    const struct tvs_mem_upload *upload = item;
    return memcmp(((const struct tvs_upload_id *)key)->bytes, upload->gate.id.bytes, TVS_UPLOAD_ID_BYTES);
}

static int compare_request(const void *key, const void *item) {
    const struct request *request = key;
    const struct tvs_mem_upload *upload = item;
    int order = memcmp(request->id, upload->request_id, TVS_REQUEST_ID_BYTES);
    return order != 0 ? order : strcmp(request->principal, upload->principal);
}

static int compare_place(const void *key, const void *item) {
    const struct place *place = key;
    const struct tvs_mem_upload *upload = item;
    if (place->bucket_id != upload->bucket_id)
        return place->bucket_id < upload->bucket_id ? -1 : 1;
    int order = strcmp(place->key, upload->key);
    return order != 0 ? order : memcmp(place->id.bytes, upload->gate.id.bytes, TVS_UPLOAD_ID_BYTES);
}

static size_t find_place(const struct tvs_mem_uploads *uploads, const struct tvs_mem_upload *upload, bool *found) {
    const struct place place = {upload->bucket_id, upload->key, upload->gate.id};
    return tvs_sorted_find(&uploads->by_place, compare_place, &place, found);
}

static size_t find_request(const struct tvs_mem_uploads *uploads, const char *principal, const uint8_t *request_id, bool *found) {
    const struct request request = {principal, request_id};
    return tvs_sorted_find(&uploads->by_request, compare_request, &request, found);
}

void tvs_mem_uploads_init(struct tvs_mem_uploads *uploads) {
    *uploads = (struct tvs_mem_uploads){0};
    uploads->last_result = &uploads->first_result;
}

struct tvs_mem_upload *tvs_mem_upload_find_locked(struct tvs_mem *mem, const struct tvs_upload_id *id) {
    bool found;
    size_t at = tvs_sorted_find(&mem->uploads.by_id, compare_id, id, &found);
    return found ? mem->uploads.by_id.all[at] : NULL;
}

struct tvs_mem_upload *tvs_mem_upload_find_request_locked(struct tvs_mem *mem, const char *principal, const uint8_t *request_id) {
    bool found;
    size_t at = find_request(&mem->uploads, principal, request_id, &found);
    return found ? mem->uploads.by_request.all[at] : NULL;
}

trove_status tvs_mem_upload_insert_locked(struct tvs_mem *mem, struct tvs_mem_upload *upload, trove_error *error) {
    struct tvs_mem_uploads *uploads = &mem->uploads;
    if (uploads->by_place.count >= TVS_MEM_UPLOADS_MAX)
        return TV_FAIL(error, RESOURCE_EXHAUSTED, "there are %d unfinished uploads in the mem store; finish or abort some",
                       TVS_MEM_UPLOADS_MAX);
    if (!tvs_sorted_reserve(&uploads->by_id) || !tvs_sorted_reserve(&uploads->by_request) ||
        !tvs_sorted_reserve(&uploads->by_place))
        return tvs_fail_no_memory("an upload", error);
    bool found;
    size_t at = tvs_sorted_find(&uploads->by_id, compare_id, &upload->gate.id, &found);
    tvs_sorted_insert(&uploads->by_id, at, upload);
    at = find_request(uploads, upload->principal, upload->request_id, &found);
    tvs_sorted_insert(&uploads->by_request, at, upload);
    at = find_place(uploads, upload, &found);
    tvs_sorted_insert(&uploads->by_place, at, upload);
    return TROVE_OK;
}

static void remove_result(struct tvs_mem_uploads *uploads, struct tvs_mem_upload *upload) {
    struct tvs_mem_upload **at = &uploads->first_result;
    while (*at != upload)
        at = &(*at)->next_result;
    *at = upload->next_result;
    if (uploads->last_result == &upload->next_result)
        uploads->last_result = at;
    uploads->result_count--;
}

static void remove_place(struct tvs_mem_uploads *uploads, const struct tvs_mem_upload *upload) {
    bool found;
    size_t at = find_place(uploads, upload, &found);
    TV_ASSERT(found);
    tvs_sorted_remove(&uploads->by_place, at);
}

void tvs_mem_upload_remove_locked(struct tvs_mem *mem, struct tvs_mem_upload *upload) {
    struct tvs_mem_uploads *uploads = &mem->uploads;
    bool found;
    size_t at = tvs_sorted_find(&uploads->by_id, compare_id, &upload->gate.id, &found);
    TV_ASSERT(found);
    tvs_sorted_remove(&uploads->by_id, at);
    at = find_request(uploads, upload->principal, upload->request_id, &found);
    TV_ASSERT(found);
    tvs_sorted_remove(&uploads->by_request, at);
    if (upload->complete)
        remove_result(uploads, upload);
    else
        remove_place(uploads, upload);
    upload->gone = true;
    tvs_upload_gate_close(&upload->gate, TROVE_NOT_FOUND);
}

struct tvs_mem_upload *tvs_mem_uploads_drop_locked(struct tvs_mem *mem, uint64_t bucket_id) {
    struct tvs_sorted *by_place = &mem->uploads.by_place;
    const struct place first = {.bucket_id = bucket_id, .key = ""};
    struct tvs_mem_upload *dropped = NULL, *upload;
    bool found;
    size_t at = tvs_sorted_find(by_place, compare_place, &first, &found);
    while (at < by_place->count && (upload = by_place->all[at])->bucket_id == bucket_id) {
        tvs_mem_upload_remove_locked(mem, upload);
        upload->next_dropped = dropped;
        dropped = upload;
    }
    return dropped;
}

trove_status tvs_mem_upload_check_locked(const struct tvs_put *holder, trove_error *error) {
    const struct tvs_mem_upload *upload = holder->upload;
    if (upload->gone)
        return tvs_fail_no_upload(&upload->gate.id, error);
    return holder->epoch != upload->epoch ? tvs_fail_fenced(&upload->gate.id, holder->epoch, upload->epoch, error) : TROVE_OK;
}

struct tvs_mem_upload *tvs_mem_upload_complete_locked(struct tvs_mem *mem, const struct tvs_mem_change *change) {
    struct tvs_mem_uploads *uploads = &mem->uploads;
    struct tvs_mem_upload *upload = change->holder->upload;
    remove_place(uploads, upload);
    upload->complete = true;
    upload->durable_offset = change->object->size;
    upload->result = *change->result;
    upload->result.generation = change->object->generation;
    upload->result.modified_ns = change->object->modified_ns;
    *change->result = (struct tvs_object){0};
    tvs_mem_upload_touch_locked(upload);
    upload->next_result = NULL;
    *uploads->last_result = upload;
    uploads->last_result = &upload->next_result;
    if (++uploads->result_count <= TVS_MEM_RESULTS_MAX)
        return NULL;
    struct tvs_mem_upload *oldest = uploads->first_result;
    tvs_mem_upload_remove_locked(mem, oldest);
    return oldest;
}

void tvs_mem_upload_touch_locked(struct tvs_mem_upload *upload) {
    upload->expires_ns =
        tvs_upload_expiry(tvs_now_ns(), upload->idle_ns, upload->created_ns, upload->keep_ns, upload->expires_ns);
}

void tvs_mem_upload_info_locked(const struct tvs_mem_upload *upload, struct tvs_upload_info *info) {
    *info = (struct tvs_upload_info){
        .id = upload->gate.id,
        .bucket = upload->bucket,
        .key = upload->key,
        .principal = upload->principal,
        .epoch = upload->epoch,
        .durable_offset = upload->durable_offset,
        .size_hint = upload->size_hint,
        .created_ns = upload->created_ns,
        .expires_ns = upload->expires_ns,
        .result = upload->complete ? &upload->result : NULL,
    };
}

static void destroy(struct tvs_mem *mem, struct tvs_mem_upload *upload) {
    tvs_mem_put_abort(upload->content);
    tvs_object_fini(&upload->result);
    tvs_upload_gate_fini(&upload->gate);
    atomic_fetch_sub_explicit(&mem->bytes, upload->charged_bytes, memory_order_relaxed);
    free(upload);
}

void tvs_mem_upload_release(struct tvs_mem *mem, struct tvs_mem_upload *upload) {
    if (upload == NULL)
        return;
    pthread_mutex_lock(&mem->lock);
    bool last = --upload->refs == 0;
    pthread_mutex_unlock(&mem->lock);
    if (last)
        destroy(mem, upload);
}

void tvs_mem_uploads_fini(struct tvs_mem *mem) {
    struct tvs_mem_uploads *uploads = &mem->uploads;
    for (size_t i = 0; i < uploads->by_id.count; i++)
        destroy(mem, uploads->by_id.all[i]);
    tvs_sorted_fini(&uploads->by_id);
    tvs_sorted_fini(&uploads->by_request);
    tvs_sorted_fini(&uploads->by_place);
}

/* ---- listing and collecting ------------------------------------------------------------------------------------------ */

struct page {
    struct tvs_mem_upload *upload; /* a reference */
    struct tvs_upload_info info;
};

/* Up to `limit` uploads from `place` on, that place itself excluded; of one bucket unless `bucket_id` is 0. */
static uint32_t take_page_locked(struct tvs_mem_uploads *uploads, const struct place *place, uint64_t bucket_id, uint32_t limit,
                                 struct page *page, bool *more) {
    bool found;
    size_t at = tvs_sorted_find(&uploads->by_place, compare_place, place, &found);
    uint32_t count = 0;
    for (at += found; at < uploads->by_place.count; at++) {
        struct tvs_mem_upload *upload = uploads->by_place.all[at];
        if (bucket_id != 0 && upload->bucket_id != bucket_id)
            break;
        *more = count == limit;
        if (*more)
            break;
        upload->refs++;
        page[count].upload = upload;
        tvs_mem_upload_info_locked(upload, &page[count++].info);
    }
    return count;
}

trove_status tvs_mem_upload_list(struct tvs_driver *driver, const char *bucket, struct tvs_upload_cursor *cursor, uint32_t limit,
                                 tvs_upload_visit visit, void *context, bool *more, trove_error *error) {
    struct tvs_mem *mem = tvs_mem_of(driver);
    struct place place = {.key = ""};
    trove_status status = TROVE_OK;
    if (cursor->count > 0)
        status = tvs_upload_cursor_read(cursor, &place.bucket_id, &place.key, &place.id, error);
    if (status != TROVE_OK)
        return status;
    struct page *page = malloc(limit * sizeof *page);
    if (page == NULL)
        return tvs_fail_no_memory("a listing", error);
    bool follows = false;
    uint32_t count = 0, taken = 0;
    pthread_mutex_lock(&mem->lock);
    const struct tvs_mem_bucket *in = bucket[0] != '\0' ? tvs_mem_bucket_find(mem, bucket) : NULL;
    uint64_t bucket_id = in != NULL ? in->id : 0;
    if (place.bucket_id < bucket_id)
        place = (struct place){.bucket_id = bucket_id, .key = ""};
    if (bucket[0] != '\0' && in == NULL)
        status = tvs_fail_no_bucket(bucket, error);
    else
        count = take_page_locked(&mem->uploads, &place, bucket_id, limit, page, &follows);
    pthread_mutex_unlock(&mem->lock);
    while (taken < count && visit(context, &page[taken].info))
        taken++;
    if (taken > 0)
        tvs_upload_cursor_write(page[taken - 1].upload->bucket_id, page[taken - 1].info.key, &page[taken - 1].info.id, cursor);
    for (uint32_t i = 0; i < count; i++)
        tvs_mem_upload_release(mem, page[i].upload);
    free(page);
    if (status == TROVE_OK)
        *more = follows || taken < count;
    return status;
}

/* Looks at so many uploads a call: which have expired stands nowhere in order. */
#define COLLECT_STEP 4096

trove_status tvs_mem_upload_collect(struct tvs_driver *driver, uint64_t now_ns, uint32_t limit, uint32_t *removed, bool *more,
                                    trove_error *error) {
    struct tvs_mem *mem = tvs_mem_of(driver);
    struct tvs_mem_uploads *uploads = &mem->uploads;
    struct tvs_mem_upload **expired = malloc(limit * sizeof(struct tvs_mem_upload *));
    if (expired == NULL)
        return tvs_fail_no_memory("collecting uploads", error);
    uint32_t count = 0;
    pthread_mutex_lock(&mem->lock);
    for (unsigned i = 0; i < COLLECT_STEP && count < limit && uploads->collect_at < uploads->by_id.count; i++) {
        struct tvs_mem_upload *upload = uploads->by_id.all[uploads->collect_at];
        if (upload->expires_ns > now_ns) {
            uploads->collect_at++;
            continue;
        }
        tvs_mem_upload_remove_locked(mem, upload);
        expired[count++] = upload;
    }
    *more = uploads->collect_at < uploads->by_id.count;
    if (!*more)
        uploads->collect_at = 0;
    pthread_mutex_unlock(&mem->lock);
    for (uint32_t i = 0; i < count; i++)
        tvs_mem_upload_release(mem, expired[i]);
    free(expired);
    *removed = count;
    return TROVE_OK;
}
