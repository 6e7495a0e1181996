/* server_key.c - asking a server for its public key: an offer that asks for it, the server's offer, and no more. See trove.h.
 *
 * The connection is one of common/conn that never gets to its handshake; it belongs to no client. Blocking; any thread.
 */
#include "conn.h"
#include "key_file.h"
#include "known_servers.h"
#include "security.h"
#include "wait.h"

#include <signal.h>
#include <sodium.h>
#include <string.h>

#define TIMEOUT_MS 5000 /* as a client's connect_timeout_ms */

struct asking {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    /* under the lock */
    bool told;
    bool closed;
    uint8_t key[TV_NOISE_KEY_BYTES];
    trove_error why; /* what the server said, or how the connection ended */
};

/* ---- what the connection calls ---- */

static void on_payload(void *context, const tv_frame *frame, uint64_t payload_bytes, struct tv_sink *sink) {
    (void)context;
    (void)frame;
    (void)payload_bytes;
    (void)sink; /* nothing that comes here has one that is wanted */
}

static trove_status on_frame(void *context, const tv_frame *frame, const void *payload, uint64_t payload_bytes,
                             trove_error *error) {
    struct asking *asking = context;
    (void)payload;
    (void)payload_bytes;
    if (frame->body_case != TV_BODY(GO_AWAY) || frame->go_away->status == NULL)
        return TV_FAIL(error, FAILED_PRECONDITION, "what answers there isn't a server of Trove's that encrypts");
    trove_error why = {TROVE_OK, ""};
    (void)!tv_status_from_wire(frame->go_away->status, &why);
    pthread_mutex_lock(&asking->lock);
    if (asking->why.status == TROVE_OK)
        asking->why = why;
    pthread_cond_broadcast(&asking->changed);
    pthread_mutex_unlock(&asking->lock);
    return tv_error_copy(error, &why);
}

static void on_key_told(void *context, const uint8_t key[TV_NOISE_KEY_BYTES]) {
    struct asking *asking = context;
    pthread_mutex_lock(&asking->lock);
    memcpy(asking->key, key, sizeof asking->key);
    asking->told = true;
    pthread_cond_broadcast(&asking->changed);
    pthread_mutex_unlock(&asking->lock);
}

static void on_closed(void *context, const trove_error *why) {
    struct asking *asking = context;
    pthread_mutex_lock(&asking->lock);
    if (asking->why.status == TROVE_OK)
        asking->why = *why;
    asking->closed = true;
    pthread_cond_broadcast(&asking->changed);
    pthread_mutex_unlock(&asking->lock);
}

static const struct tv_conn_handler handler = {
    .payload = on_payload,
    .frame = on_frame,
    .closed = on_closed,
    .key_told = on_key_told,
};

/* ---- the program's side ---- */

/* The connection has no timer, and so no lingering: it is cut when there is an answer, or none in time. */
static trove_status wait_for_key(struct asking *asking, struct tv_conn *conn, uint64_t deadline_ns, const char *url,
                                 trove_error *error) {
    trove_error quietly = {TROVE_OK, ""};
    trove_status status = TROVE_OK;
    bool in_time = true;
    pthread_mutex_lock(&asking->lock);
    while (!asking->told && !asking->closed && asking->why.status == TROVE_OK && in_time)
        in_time = tvc_cond_wait(&asking->changed, &asking->lock, deadline_ns);
    if (!asking->told && asking->why.status != TROVE_OK)
        status = tv_error_set(error, asking->why.status, "%.200s: %.250s", url, asking->why.message);
    else if (!asking->told)
        status = asking->closed ? TV_FAIL(error, UNAVAILABLE, "%.200s: the server has closed the connection", url)
                                : TV_FAIL(error, DEADLINE_EXCEEDED, "%.200s: no server has told its key in time", url);
    pthread_mutex_unlock(&asking->lock);
    tv_conn_abort(conn, &quietly);
    pthread_mutex_lock(&asking->lock);
    while (!asking->closed)
        pthread_cond_wait(&asking->changed, &asking->lock);
    pthread_mutex_unlock(&asking->lock);
    return status;
}

static trove_status ask_over(struct tv_transport *transport, struct tv_secure *secure, uint64_t deadline_ns, const char *url,
                             uint8_t key[static TV_NOISE_KEY_BYTES], trove_error *error) {
    struct asking asking = {.why = {TROVE_OK, ""}};
    struct tv_conn *conn = NULL;
    const struct tv_conn_options options = {.payload_bytes_max = TV_PAYLOAD_BYTES_MAX, .secure = secure};
    trove_status status = tv_conn_create(transport, &handler, &asking, &options, &conn, error);
    if (status != TROVE_OK)
        return status;
    pthread_mutex_init(&asking.lock, NULL);
    tvc_cond_init(&asking.changed);
    tv_conn_start(conn);
    status = wait_for_key(&asking, conn, deadline_ns, url, error);
    tv_conn_destroy(conn);
    pthread_cond_destroy(&asking.changed);
    pthread_mutex_destroy(&asking.lock);
    if (status == TROVE_OK)
        memcpy(key, asking.key, sizeof asking.key);
    return status;
}

static trove_status ask(const char *url, uint32_t timeout_ms, uint8_t key[static TV_NOISE_KEY_BYTES], trove_error *error) {
    uint64_t deadline_ns = tvc_deadline_after_ms(timeout_ms != 0 ? timeout_ms : TIMEOUT_MS);
    struct tv_transport *transport = NULL;
    struct tv_secure secure;
    if (sodium_init() < 0)
        return TV_FAIL(error, INTERNAL, "libsodium can't be used here");
    trove_status status = tv_transport_dial(url, tvc_deadline_left_ms(deadline_ns), NULL, &transport, error);
    if (status != TROVE_OK)
        return status;
    tv_secure_init(&secure);
    secure.asks_key = true;
    status = ask_over(transport, &secure, deadline_ns, url, key, error);
    tv_secure_fini(&secure);
    return status;
}

static trove_status check(const char *url, const char *text, trove_error *error) {
    if (url == NULL || text == NULL)
        return TV_FAIL(error, INVALID_ARGUMENT, "the %s is NULL", url == NULL ? "URL" : "place for the public key");
    if (tvc_security_url_key(url) != NULL)
        return TV_FAIL(error, INVALID_ARGUMENT, "the server's key stands in the URL already: %.300s", url);
    return TROVE_OK;
}

trove_status trove_server_key(const char *url, uint32_t timeout_ms, char public_key[TROVE_KEY_TEXT_BYTES], trove_error *error) {
    uint8_t key[TV_NOISE_KEY_BYTES];
    sigset_t all;
    sigset_t before;
    trove_status status = check(url, public_key, error);
    if (status != TROVE_OK)
        return status;
    sigfillset(&all); /* nng's threads inherit it; see connect.c */
    pthread_sigmask(SIG_BLOCK, &all, &before);
    status = ask(url, timeout_ms, key, error);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (status == TROVE_OK)
        tv_key_format(key, public_key);
    return status;
}

/* ---- the file of known servers, for programs ---- */

trove_status trove_known_server_find(const char *path, const char *url, char public_key[TROVE_KEY_TEXT_BYTES],
                                     trove_error *error) {
    struct tvc_known_server found;
    trove_status status = check(url, public_key, error);
    if (status == TROVE_OK && path == NULL)
        status = TV_FAIL(error, INVALID_ARGUMENT, "the path of the known servers is NULL");
    if (status == TROVE_OK)
        status = tvc_known_servers_find(path, url, &found, error);
    if (status == TROVE_OK)
        tv_key_format(found.key, public_key);
    return status;
}

trove_status trove_known_server_add(const char *path, const char *url, const char *public_key, trove_error *error) {
    uint8_t key[TV_NOISE_KEY_BYTES];
    trove_status status = check(url, public_key, error);
    if (status == TROVE_OK && path == NULL)
        status = TV_FAIL(error, INVALID_ARGUMENT, "the path of the known servers is NULL");
    if (status == TROVE_OK)
        status = tv_key_parse(public_key, key, error);
    return status == TROVE_OK ? tvc_known_servers_add(path, url, key, error) : status;
}
