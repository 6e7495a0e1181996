/* storage_quota.c - see storage_quota.h. */
#include "storage_quota.h"

#include "checked.h"

bool tvs_storage_quota_has(struct tvs_session *session) {
    pthread_mutex_lock(&session->lock);
    bool has = session->principal.quota_bytes != 0;
    pthread_mutex_unlock(&session->lock);
    return has;
}

static trove_status stored_bytes(struct tvs_server *server, const struct tvs_rights *rights, uint64_t *bytes,
                                 trove_error *error) {
    struct tvs_bucket *buckets = NULL;
    size_t count = 0;
    trove_status status = server->ops->bucket_list(server->driver, &buckets, &count, error);
    if (status != TROVE_OK)
        return status;
    *bytes = 0;
    for (size_t i = 0; i < count; i++)
        if (tvs_rights_touch(rights, TVS_RIGHT_WRITE, buckets[i].name))
            *bytes = tv_add_capped(*bytes, buckets[i].object_bytes);
    free(buckets);
    return TROVE_OK;
}

trove_status tvs_storage_quota_check(struct tvs_session *session, uint64_t bytes, trove_error *error) {
    pthread_mutex_lock(&session->lock);
    uint64_t quota_bytes = session->principal.quota_bytes;
    struct tvs_rights *rights = tvs_rights_acquire(session->principal.rights);
    pthread_mutex_unlock(&session->lock);
    uint64_t stored = 0;
    trove_status status = quota_bytes != 0 ? stored_bytes(session->server, rights, &stored, error) : TROVE_OK;
    tvs_rights_release(rights);
    if (status == TROVE_OK && quota_bytes != 0 && tv_add_capped(stored, bytes) > quota_bytes)
        status = TV_FAIL(
            error, RESOURCE_EXHAUSTED,
            "the quota of %s is %llu bytes: the buckets that it may write to hold %llu, and %llu more don't fit; delete some",
            session->principal.name, (unsigned long long)quota_bytes, (unsigned long long)stored, (unsigned long long)bytes);
    return status;
}
