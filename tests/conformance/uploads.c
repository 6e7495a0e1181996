/* uploads.c - see uploads.h. */
#include "uploads.h"

#include "elsewhere.h"

#include <pthread.h>
#include <stdlib.h>

struct wait {
    pthread_mutex_t lock;
    pthread_cond_t ended;
    bool has_ended;
    struct told *told;
};

bool can_resume(void) {
    return (fixture_ops->capabilities & TVS_CAP_RESUMABLE) != 0;
}

bool survives_restart(void) {
    return (fixture_ops->capabilities & TVS_CAP_UPLOADS_SURVIVE) != 0;
}

static void copy_text(char *to, size_t room, const char *from) {
    assert_true(strlen(from) < room);
    strcpy(to, from);
}

static bool take_info(void *context, const struct tvs_upload_info *info) {
    struct told *told = context;
    told->id = info->id;
    told->epoch = info->epoch;
    told->durable_offset = info->durable_offset;
    told->size_hint = info->size_hint;
    told->created_ns = info->created_ns;
    told->expires_ns = info->expires_ns;
    copy_text(told->bucket, sizeof told->bucket, info->bucket);
    copy_text(told->key, sizeof told->key, info->key);
    copy_text(told->principal, sizeof told->principal, info->principal);
    told->complete = info->result != NULL;
    if (!told->complete)
        return true;
    assert_string_equal(info->result->key, info->key);
    told->size = info->result->size;
    told->generation = info->result->generation;
    memcpy(told->etag, info->result->etag, sizeof told->etag);
    copy_text(told->content_type, sizeof told->content_type, info->result->content_type);
    told->metadata_count = info->result->metadata_count;
    return true;
}

static void wait_done(void *context, trove_status status, const struct tvs_upload_info *info, const trove_error *error) {
    struct wait *wait = context;
    MUST((status == TROVE_OK) == (info != NULL));
    if (info != NULL)
        take_info(wait->told, info);
    else
        wait->told->error = *error;
    pthread_mutex_lock(&wait->lock);
    MUST(!wait->has_ended);
    wait->told->status = status;
    wait->has_ended = true;
    pthread_cond_signal(&wait->ended);
    pthread_mutex_unlock(&wait->lock);
}

static void wait_begin(struct wait *wait, struct told *told) {
    *told = (struct told){0};
    *wait = (struct wait){.told = told};
    pthread_mutex_init(&wait->lock, NULL);
    pthread_cond_init(&wait->ended, NULL);
}

static void wait_end(struct wait *wait) {
    pthread_mutex_lock(&wait->lock);
    while (!wait->has_ended)
        pthread_cond_wait(&wait->ended, &wait->lock);
    pthread_mutex_unlock(&wait->lock);
    pthread_cond_destroy(&wait->ended);
    pthread_mutex_destroy(&wait->lock);
}

void upload_begin(struct store *store, const char *bucket, const char *key, const struct begin_how *how, struct told *told) {
    static const struct begin_how plain;
    static unsigned own = 1000000;
    how = how != NULL ? how : &plain;
    struct tvs_upload_options options = {
        .put = how->put,
        .principal = how->principal != NULL ? how->principal : "alice",
        .idle_ns = how->idle_ns != 0 ? how->idle_ns : DAY_NS,
        .keep_ns = how->keep_ns != 0 ? how->keep_ns : 10 * DAY_NS,
    };
    if (options.put.content_type == NULL)
        options.put.content_type = "";
    if (options.put.size_hint == 0)
        options.put.size_hint = TROVE_SIZE_UNKNOWN;
    unsigned request = how->request != 0 ? how->request : __atomic_add_fetch(&own, 1, __ATOMIC_RELAXED);
    memcpy(options.request_id, &request, sizeof request);
    struct wait wait;
    wait_begin(&wait, told);
    store->ops->upload_begin(store->driver, bucket, key, &options, wait_done, &wait);
    wait_end(&wait);
}

void upload_attach(struct store *store, const struct tvs_upload_id *id, const char *principal, struct told *told) {
    const struct tvs_upload_id copy = *id; /* it may lie in *told */
    struct wait wait;
    wait_begin(&wait, told);
    store->ops->upload_attach(store->driver, &copy, principal, wait_done, &wait);
    wait_end(&wait);
}

void upload_flush(struct store *store, struct tvs_put *put, struct told *told) {
    struct wait wait;
    wait_begin(&wait, told);
    store->ops->put_flush(put, wait_done, &wait);
    wait_end(&wait);
}

void upload_abort(struct store *store, const struct tvs_upload_id *id, const char *principal, struct told *told) {
    const struct tvs_upload_id copy = *id;
    struct wait wait;
    wait_begin(&wait, told);
    store->ops->upload_abort(store->driver, &copy, principal, wait_done, &wait);
    wait_end(&wait);
}

trove_status upload_stat(struct store *store, const struct tvs_upload_id *id, const char *principal, struct told *told) {
    const struct tvs_upload_id copy = *id;
    *told = (struct told){0};
    told->status = store->ops->upload_stat(store->driver, &copy, principal, take_info, told, &told->error);
    return told->status;
}

/* ---- asserting ------------------------------------------------------------------------------------------------------- */

struct tvs_put *must_begin(struct store *store, const char *key, const struct begin_how *how, struct told *told) {
    trove_error error = {0};
    struct tvs_put *put;
    upload_begin(store, "bucket", key, how, told);
    must(told->status, &told->error);
    must(store->ops->upload_open(store->driver, &told->id, told->epoch, &put, &error), &error);
    return put;
}

struct tvs_put *must_attach(struct store *store, const struct tvs_upload_id *id, uint64_t durable_offset, struct told *told) {
    trove_error error = {0};
    struct tvs_put *put;
    upload_attach(store, id, "alice", told);
    must(told->status, &told->error);
    assert_false(told->complete);
    assert_int_equal(told->durable_offset, durable_offset);
    must(store->ops->upload_open(store->driver, &told->id, told->epoch, &put, &error), &error);
    return put;
}

void must_flush(struct store *store, struct tvs_put *put, uint64_t offset) {
    struct told told;
    upload_flush(store, put, &told);
    must(told.status, &told.error);
    assert_int_equal(told.durable_offset, offset);
}

void must_write(struct store *store, struct tvs_put *put, const char *bytes, uint64_t from, uint64_t to) {
    static const struct put_how plain;
    trove_error error = {0};
    must(put_more(store, put, bytes, (size_t)from, (size_t)to, &plain, &error), &error);
}

void must_commit(struct store *store, struct tvs_put *put_move) {
    trove_error error = {0};
    must(put_commit_wait(store, put_move, NULL, &error), &error);
}

void must_abort(struct store *store, const struct tvs_upload_id *id) {
    struct told told;
    upload_abort(store, id, "alice", &told);
    must(told.status, &told.error);
}

void must_be_gone(struct store *store, const struct tvs_upload_id *id) {
    struct told told;
    upload_attach(store, id, NULL, &told);
    must_fail(told.status, TROVE_NOT_FOUND, &told.error, "upload");
    must_fail(upload_stat(store, id, NULL, &told), TROVE_NOT_FOUND, &told.error, "upload");
}

unsigned must_collect(struct store *store, uint64_t now_ns, uint32_t limit) {
    unsigned all = 0;
    for (bool more = true; more;) {
        uint32_t removed;
        trove_error error = {0};
        must(store->ops->upload_collect(store->driver, now_ns, limit, &removed, &more, &error), &error);
        assert_true(removed <= limit);
        all += removed;
    }
    return all;
}

void must_tell_result(const struct told *told, const struct tvs_object *object) {
    must(told->status, &told->error);
    assert_true(told->complete);
    assert_int_equal(told->size, object->size);
    assert_int_equal(told->generation, object->generation);
    assert_string_equal(told->etag, object->etag);
    assert_string_equal(told->content_type, object->content_type);
    assert_int_equal(told->metadata_count, object->metadata_count);
}

static bool append_upload(void *context, const struct tvs_upload_info *info) {
    FILE *text = context;
    assert_null(info->result);
    fprintf(text, "%s/%s ", info->bucket, info->key);
    return true;
}

char *uploads_text(struct store *store, const char *bucket, struct tvs_upload_cursor *cursor, uint32_t limit) {
    trove_error error = {0};
    char *memory = NULL;
    size_t bytes = 0;
    struct tvs_upload_cursor own = {0};
    FILE *text = open_memstream(&memory, &bytes);
    bool more = false;
    must(
        store->ops->upload_list(store->driver, bucket, cursor != NULL ? cursor : &own, limit, append_upload, text, &more, &error),
        &error);
    fprintf(text, "%s", more ? "| more" : "|");
    fclose(text);
    return memory;
}

void lose_holder(struct store *store, struct tvs_put *put_move, bool restart) {
    store->ops->put_abort(put_move);
    if (!restart || !survives_restart())
        return;
    store_close(store);
    store_open(store);
}

void must_be_plain(struct store *store, const char *key, const char *bytes, uint64_t size) {
    trove_error error = {0};
    struct tvs_object object = {0}, plain = {0};
    must(put_object(store, "bucket", "plain", bytes, (size_t)size, &(struct put_how){.object = &plain}, &error), &error);
    must(store->ops->head(store->driver, "bucket", key, &object, &error), &error);
    assert_int_equal(object.size, size);
    assert_string_equal(object.etag, plain.etag);
    must_hold(store, "bucket", key, bytes, (size_t)size);
    must_have_sums(store, "bucket", key, bytes, (size_t)size);
    tvs_object_fini(&object);
    tvs_object_fini(&plain);
}
