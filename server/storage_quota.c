/* storage_quota.c - see storage_quota.h. */
#include "storage_quota.h"

#include "checked.h"

#include <string.h>

/* An object that grows is looked at again after so much: others store, too. */
#define STEP_BYTES (64 * TV_MIB)

bool tvs_storage_quota_has(struct tvs_session *session) {
    pthread_mutex_lock(&session->lock);
    bool has = session->principal.quota_bytes != 0;
    pthread_mutex_unlock(&session->lock);
    return has;
}

static trove_status add_objects(struct tvs_server *server, const struct tvs_rights *rights, uint64_t *bytes, trove_error *error) {
    struct tvs_bucket *buckets = NULL;
    size_t count = 0;
    trove_status status = server->ops->bucket_list(server->driver, &buckets, &count, error);
    if (status != TROVE_OK)
        return status;
    for (size_t i = 0; i < count; i++)
        if (tvs_rights_touch(rights, TVS_RIGHT_WRITE, buckets[i].name))
            *bytes = tv_add_capped(*bytes, buckets[i].object_bytes);
    free(buckets);
    return TROVE_OK;
}

struct unfinished {
    const struct tvs_rights *rights;
    const struct tvs_upload_id *own;
    uint64_t bytes;
};

static bool add_upload(void *context, const struct tvs_upload_info *info) {
    struct unfinished *unfinished = context;
    bool own = unfinished->own != NULL && memcmp(&info->id, unfinished->own, sizeof info->id) == 0;
    if (!own && tvs_rights_touch(unfinished->rights, TVS_RIGHT_WRITE, info->bucket))
        unfinished->bytes = tv_add_capped(unfinished->bytes, info->durable_offset);
    return true;
}

static trove_status add_uploads(struct tvs_server *server, const struct tvs_rights *rights, const struct tvs_upload_id *own,
                                uint64_t *bytes, trove_error *error) {
    struct unfinished unfinished = {rights, own, 0};
    struct tvs_upload_cursor cursor = {.count = 0};
    bool more = (server->ops->capabilities & TVS_CAP_RESUMABLE) != 0;
    trove_status status = TROVE_OK;
    while (more && status == TROVE_OK)
        status = server->ops->upload_list(server->driver, "", &cursor, TV_LIST_LIMIT_MAX, add_upload, &unfinished, &more, error);
    *bytes = tv_add_capped(*bytes, unfinished.bytes);
    return status;
}

static trove_status compare(const struct tvs_session *session, uint64_t quota_bytes, uint64_t stored, uint64_t bytes,
                            uint64_t *fits_bytes, trove_error *error) {
    uint64_t left = stored < quota_bytes ? quota_bytes - stored : 0;
    if (bytes > left)
        return TV_FAIL(
            error, RESOURCE_EXHAUSTED,
            "the quota of %s is %llu bytes: the buckets that it may write to hold %llu, and %llu more don't fit; delete some "
            "(what is replaced counts until it is)",
            session->principal.name, (unsigned long long)quota_bytes, (unsigned long long)stored, (unsigned long long)bytes);
    *fits_bytes = left - bytes < STEP_BYTES ? left : bytes + STEP_BYTES;
    return TROVE_OK;
}

trove_status tvs_storage_quota_check(struct tvs_session *session, const struct tvs_upload_id *own, uint64_t bytes,
                                     uint64_t *fits_bytes, trove_error *error) {
    pthread_mutex_lock(&session->lock);
    uint64_t quota_bytes = session->principal.quota_bytes;
    struct tvs_rights *rights = tvs_rights_acquire(session->principal.rights);
    pthread_mutex_unlock(&session->lock);
    uint64_t stored = 0, fits = UINT64_MAX;
    trove_status status = TROVE_OK;
    if (quota_bytes != 0)
        status = add_objects(session->server, rights, &stored, error);
    if (quota_bytes != 0 && status == TROVE_OK)
        status = add_uploads(session->server, rights, own, &stored, error);
    if (quota_bytes != 0 && status == TROVE_OK)
        status = compare(session, quota_bytes, stored, bytes, &fits, error);
    tvs_rights_release(rights);
    if (status == TROVE_OK && fits_bytes != NULL)
        *fits_bytes = fits;
    return status;
}
