/* session_access.c - who a session's peer is and what it may do, also when that has changed. See session.h.
 *
 * Its rights are asked for from any thread. They are read anew by the timer's tick, which then looks at its streams again; a
 * stream that is being opened at that moment looks itself, when it is listed (stream_open.c).
 */
#include "call.h"
#include "stream.h"

#include <string.h>

/* ---- asking ---- */

static trove_status learn_locked(struct tvs_session *session, const uint8_t *public_key, struct tvs_principal *found,
                                 trove_error *error) {
    struct tvs_server *server = session->server;
    const struct tv_transport *transport = tv_conn_transport(session->conn);
    session->access_edition = atomic_load_explicit(&server->access_edition, memory_order_acquire); /* or one later */
    if (public_key != NULL)
        return tvs_keyring_find(server->keyring, public_key, found, error);
    if (transport->has_credentials)
        return tvs_keyring_find_user(server->keyring, transport->peer_uid, found, error);
    if (transport->type_octet || !server->options.insecure)
        return TV_FAIL(error, UNAUTHENTICATED, "the server lets nobody in here without a key");
    tvs_keyring_anonymous(server->keyring, found);
    return TROVE_OK;
}

trove_status tvs_session_authenticate(struct tvs_session *session, trove_error *error) {
    const uint8_t *public_key = tv_conn_peer_key(session->conn);
    struct tvs_principal found;
    struct tvs_server *server = session->server;
    pthread_mutex_lock(&session->lock);
    trove_status status = learn_locked(session, public_key, &found, error);
    if (status == TROVE_OK) {
        session->bandwidth = tvs_principal_bandwidth_acquire(&server->bandwidths, server->timers, &found);
        if (session->bandwidth == NULL) {
            tvs_principal_fini(&found);
            status = TV_FAIL(error, RESOURCE_EXHAUSTED, "no memory for a connection");
        }
    }
    if (status == TROVE_OK)
        session->principal = found; /* which was nobody's */
    pthread_mutex_unlock(&session->lock);
    return status;
}

bool tvs_session_known(struct tvs_session *session) {
    pthread_mutex_lock(&session->lock);
    bool known = session->principal.rights != NULL;
    pthread_mutex_unlock(&session->lock);
    return known;
}

trove_status tvs_session_may(struct tvs_session *session, unsigned wanted, const char *bucket, const char *prefix,
                             trove_error *error) {
    pthread_mutex_lock(&session->lock);
    trove_status status = tvs_principal_check(&session->principal, wanted, bucket, prefix, error);
    pthread_mutex_unlock(&session->lock);
    return status;
}

trove_status tvs_session_pool(struct tvs_session *session, const char *asked, char pool[static TVS_POOL_NAME_BYTES],
                              trove_error *error) {
    pthread_mutex_lock(&session->lock);
    const struct tvs_principal *principal = &session->principal;
    trove_status status = TROVE_OK;
    if (principal->pool[0] != '\0' && asked[0] != '\0' && strcmp(asked, principal->pool) != 0)
        status = TV_FAIL(error, PERMISSION_DENIED, "%s has its streams in pool \"%s\", and none in \"%.80s\"", principal->name,
                         principal->pool, asked);
    else
        snprintf(pool, TVS_POOL_NAME_BYTES, "%.*s", TVS_POOL_NAME_BYTES - 1, principal->pool);
    pthread_mutex_unlock(&session->lock);
    return status;
}

/* ---- when it has changed ---- */

static void end_stream(struct tvs_stream *stream, const void *why) {
    tvs_stream_end(stream, TV_EVENT_FAIL, why);
}

/* The peer isn't known any more: its streams and calls end with that reason, then its connection. */
static void expel(struct tvs_session *session, const trove_error *why) {
    tvs_session_each_stream(session, end_stream, why);
    tvs_calls_refuse(session, why);
    tv_conn_shutdown(session->conn, why);
}

/* The rights have changed. */
static void recheck_stream(struct tvs_stream *stream, const void *unused) {
    trove_error why;
    (void)unused;
    pthread_mutex_lock(&stream->session->lock);
    bool writes = !stream->follow || (stream->feed != NULL && !stream->follower); /* the one that was elected, too */
    pthread_mutex_unlock(&stream->session->lock);
    if (tvs_stream_authorize(stream->session, stream->direction, !writes, stream->bucket, stream->key, &why) != TROVE_OK)
        tvs_stream_end(stream, TV_EVENT_FAIL, &why);
}

/* Takes over what may change; others read the name without a lock. */
static void renew_locked(struct tvs_session *session, struct tvs_principal *found) {
    struct tvs_principal *principal = &session->principal;
    struct tvs_rights *before = principal->rights;
    principal->rights = found->rights;
    principal->expires_ns = found->expires_ns;
    principal->quota_bytes = found->quota_bytes;
    principal->bandwidth = found->bandwidth;
    tvs_throttle_set(&session->bandwidth->throttle, found->bandwidth);
    memcpy(principal->pool, found->pool, sizeof principal->pool);
    found->rights = before;
}

/* What is known of the peer is read anew where that has changed, or its time is over. *changed tells whether its rights may be
 * others now. */
static trove_status renew(struct tvs_session *session, bool *changed, trove_error *error) {
    struct tvs_principal found = {.kind = TVS_PRINCIPAL_NOBODY};
    struct tvs_principal *principal = &session->principal;
    unsigned edition = atomic_load_explicit(&session->server->access_edition, memory_order_acquire);
    trove_status status = TROVE_OK;
    pthread_mutex_lock(&session->lock);
    /* Who isn't known yet is asked for later, and then as it is now. */
    *changed = principal->kind != TVS_PRINCIPAL_NOBODY && session->access_edition != edition;
    if (*changed)
        status = learn_locked(session, principal->kind == TVS_PRINCIPAL_KEY ? principal->public_key : NULL, &found, error);
    if (*changed && status == TROVE_OK && strcmp(found.name, principal->name) != 0)
        status = TV_FAIL(error, UNAUTHENTICATED, "the key has another name now; connect again");
    else if (*changed && status == TROVE_OK)
        renew_locked(session, &found);
    if (status == TROVE_OK && tvs_principal_expired(principal, tv_wall_ns()))
        status = TV_FAIL(error, UNAUTHENTICATED, "the key %s has expired", principal->name);
    if (status != TROVE_OK) { /* nothing is allowed while the connection ends */
        tvs_rights_release(principal->rights);
        principal->rights = NULL;
    }
    pthread_mutex_unlock(&session->lock);
    tvs_principal_fini(&found);
    return status;
}

bool tvs_session_renew(struct tvs_session *session) {
    bool changed = false;
    trove_error why = {TROVE_OK, ""};
    if (renew(session, &changed, &why) != TROVE_OK) {
        expel(session, &why);
        return false;
    }
    if (changed)
        tvs_session_each_stream(session, recheck_stream, NULL);
    return true;
}
