/* session.c - a connection on the server: greeting, limits, and which call or stream a frame belongs to. See session.h.
 *
 * Everything here runs on the connection's receiving thread unless it says otherwise.
 */
#include "session.h"

#include "audit_events.h"
#include "call.h"
#include "container.h"
#include "descriptors.h"
#include "encryption.h"
#include "inline_put.h"
#include "stream.h"
#include "upload.h"

#include <string.h>

#define PROTOCOL_VERSION 1
#define FEATURES         (TV_FEATURE_HEADER_CHECKSUM | TV_FEATURE_LOSSY | TV_FEATURE_BIDI)
#define KEEPALIVE_MS_MIN 1000
/* Connections beyond the limit that are still told why, instead of just being closed. */
#define REFUSED_POLITELY_MAX 64

static bool closed_or_draining(struct tvs_session *session) {
    pthread_mutex_lock(&session->lock);
    bool draining = session->draining || session->closed;
    pthread_mutex_unlock(&session->lock);
    return draining;
}

void tvs_session_send_status(struct tvs_session *session, uint64_t call_id, const trove_error *error, bool not_taken) {
    tv_frame frame = TROVE__V1__FRAME__INIT;
    Trove__V1__Status status = TROVE__V1__STATUS__INIT;
    Trove__V1__Entry detail = TROVE__V1__ENTRY__INIT;
    Trove__V1__Entry *details[] = {&detail};
    tv_status_to_wire(error, &status);
    detail.key = "not_taken";
    detail.value = "1";
    status.n_details = not_taken ? 1 : 0;
    status.details = details;
    frame.call_id = call_id;
    frame.body_case = TV_BODY(STATUS);
    frame.status = &status;
    trove_status sent = tv_conn_send(session->conn, &frame, NULL, 0, NULL);
    (void)sent; /* a connection that is closing has no use for it */
}

/* ---- who it is ---- */

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

static trove_status authenticate(struct tvs_session *session, const uint8_t *public_key, trove_error *error) {
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

/* ---- greeting ---- */

static void send_welcome(struct tvs_session *session, uint64_t payload_bytes_max) {
    const struct tvs_server_options *options = &session->server->options;
    tv_frame frame = TROVE__V1__FRAME__INIT;
    Trove__V1__Welcome welcome = TROVE__V1__WELCOME__INIT;
    welcome.version = PROTOCOL_VERSION;
    welcome.features = session->features;
    welcome.payload_bytes_max = payload_bytes_max;
    welcome.early_data_bytes = TV_EARLY_DATA_BYTES;
    welcome.inline_bytes_max = TV_INLINE_BYTES_MAX;
    welcome.calls_max = options->calls_max;
    welcome.streams_max = options->streams_max;
    welcome.chunk_bytes_max = TV_CHUNK_BYTES_MAX;
    welcome.agent = "troved";
    welcome.keepalive_ms = options->keepalive_ms;
    frame.body_case = TV_BODY(WELCOME);
    frame.welcome = &welcome;
    trove_status sent = tv_conn_send(session->conn, &frame, NULL, 0, NULL);
    (void)sent; /* if not, the connection is closing */
}

static trove_status greet(struct tvs_session *session, const tv_frame *frame, trove_error *error) {
    if (frame->body_case == TV_BODY(OFFER))
        return TV_FAIL(error, FAILED_PRECONDITION, "this server has no key of its own (key_file), so it can't encrypt");
    if (frame->body_case != TV_BODY(HELLO) || frame->call_id != 0)
        return TV_FAIL(error, FAILED_PRECONDITION, "the first frame of a connection must be a hello");
    const Trove__V1__Hello *hello = frame->hello;
    trove_status status = session->principal.kind == TVS_PRINCIPAL_NOBODY
                              ? authenticate(session, tv_conn_peer_key(session->conn), error)
                              : TROVE_OK;
    if (status != TROVE_OK)
        return status;
    if (hello->version < PROTOCOL_VERSION)
        return TV_FAIL(error, FAILED_PRECONDITION, "the client speaks version %u of the protocol; this server needs %u",
                       hello->version, PROTOCOL_VERSION);
    if (strlen(hello->agent) > TV_AGENT_BYTES_MAX)
        return TV_FAIL(error, INVALID_ARGUMENT, "the agent's name has %zu bytes; at most %d are allowed", strlen(hello->agent),
                       TV_AGENT_BYTES_MAX);
    uint64_t payload_bytes_max = hello->payload_bytes_max != 0 ? hello->payload_bytes_max : TV_PAYLOAD_BYTES_DEFAULT;
    if (payload_bytes_max > TV_PAYLOAD_BYTES_MAX)
        payload_bytes_max = TV_PAYLOAD_BYTES_MAX;
    if (payload_bytes_max < TV_MESSAGE_BYTES_MAX)
        return TV_FAIL(error, INVALID_ARGUMENT, "payload_bytes_max is %llu; at least %llu are needed for a call's answer",
                       (unsigned long long)payload_bytes_max, (unsigned long long)TV_MESSAGE_BYTES_MAX);
    bool resumes = (session->server->ops->capabilities & TVS_CAP_RESUMABLE) != 0;
    session->features = hello->features & (FEATURES | (resumes ? TV_FEATURE_RESUMABLE : 0));
    send_welcome(session, payload_bytes_max);
    tv_conn_establish(session->conn, payload_bytes_max, session->server->options.keepalive_ms,
                      (session->features & TV_FEATURE_HEADER_CHECKSUM) != 0);
    atomic_store_explicit(&session->welcomed, true, memory_order_relaxed);
    struct tvs_log_line line;
    tvs_log_begin(&line, TVS_LOG_DEBUG, "connected");
    tvs_log_text(&line, "peer", tv_conn_peer(session->conn));
    tvs_log_text(&line, "principal", session->principal.name);
    tvs_log_text(&line, "agent", hello->agent);
    tvs_log_end(&line);
    return TROVE_OK;
}

static trove_status greet_or_not(struct tvs_session *session, const tv_frame *frame, trove_error *error) {
    static const trove_error fine = {TROVE_OK, ""};
    if (session->refused) /* it is about to be told */
        return TROVE_OK;
    trove_status status = greet(session, frame, error);
    if (status == TROVE_OK) /* else why not is told when it ends */
        tvs_audit_connect(session, frame->hello->agent, &fine);
    return status;
}

/* ---- frames ---- */

static void on_payload(void *context, const tv_frame *frame, uint64_t payload_bytes, struct tv_sink *sink) {
    struct tvs_session *session = context;
    if (!atomic_load_explicit(&session->welcomed, memory_order_relaxed))
        return;
    if (frame->body_case == TV_BODY(CHUNK))
        tvs_upload_payload(session, frame, payload_bytes, sink);
    else if (frame->body_case == TV_BODY(CALL) || frame->body_case == TV_BODY(OPEN))
        sink->kind = TV_SINK_MESSAGE;
}

/* A call id that is given twice ends what has it: answers to the one and to the other couldn't be told apart. Returns whether it was in
 * use. */
static bool end_duplicate(struct tvs_session *session, uint64_t id) {
    pthread_mutex_lock(&session->lock);
    struct tvs_stream *stream = tvs_stream_find(session, id);
    bool call = stream == NULL && tv_id_table_find(&session->calls, id) != NULL;
    if (id > session->highest_id)
        session->highest_id = id;
    pthread_mutex_unlock(&session->lock);
    if (stream == NULL && !call)
        return false;
    trove_error why;
    TV_FAIL(&why, INVALID_ARGUMENT, "call id %llu is in use already; each call needs one of its own", (unsigned long long)id);
    if (stream != NULL) {
        tvs_stream_end(stream, TV_EVENT_FAIL, &why);
        tvs_stream_release(stream);
    } else {
        tvs_call_cancel(session, id, why.status, why.message);
    }
    return true;
}

static trove_status on_new(struct tvs_session *session, const tv_frame *frame, const void *payload, uint64_t payload_bytes,
                           trove_error *error) {
    if (frame->call_id == 0)
        return TV_FAIL(error, INVALID_ARGUMENT, "a call without a call id");
    if (end_duplicate(session, frame->call_id))
        return TROVE_OK;
    trove_error why;
    trove_status status = TROVE_OK;
    if (closed_or_draining(session))
        status = TV_FAIL(&why, UNAVAILABLE, "the server is shutting down; try again in a moment");
    if (status == TROVE_OK && payload_bytes > 0 && payload == NULL)
        status = TV_FAIL(&why, RESOURCE_EXHAUSTED, "a request of %llu bytes; at most %llu are taken",
                         (unsigned long long)payload_bytes, (unsigned long long)TV_MESSAGE_BYTES_MAX);
    if (status == TROVE_OK && frame->body_case == TV_BODY(CALL))
        status = tvs_call_begin(session, frame, payload, payload_bytes, &why);
    else if (status == TROVE_OK &&
             frame->open->inline_checksum_given_case == TROVE__V1__OPEN__INLINE_CHECKSUM_GIVEN_INLINE_CHECKSUM)
        tvs_inline_put(session, frame, payload, payload_bytes);
    else if (status == TROVE_OK && payload_bytes > 0)
        status = TV_FAIL(&why, INVALID_ARGUMENT, "an open with a payload but without inline_checksum");
    else if (status == TROVE_OK)
        tvs_stream_open(session, frame);
    if (status != TROVE_OK)
        tvs_session_send_status(session, frame->call_id, &why, false);
    return TROVE_OK;
}

static trove_status on_frame(void *context, const tv_frame *frame, const void *payload, uint64_t payload_bytes,
                             trove_error *error) {
    struct tvs_session *session = context;
    if (!atomic_load_explicit(&session->welcomed, memory_order_relaxed))
        return greet_or_not(session, frame, error);
    switch (frame->body_case) {
    case TV_BODY(CHUNK):
        tvs_upload_chunk(session, frame, payload_bytes);
        return TROVE_OK;
    case TV_BODY(CALL):
    case TV_BODY(OPEN):
        return on_new(session, frame, payload, payload_bytes, error);
    case TV_BODY(CANCEL):
        tvs_call_cancel(session, frame->call_id, TROVE_CANCELLED, "cancelled by the client");
        return TROVE_OK;
    case TV_BODY(PONG):
    case TV_BODY(GO_AWAY):
        return TROVE_OK; /* what the client means by it, it does itself: it closes */
    case TV_BODY(ACK):
    case TV_BODY(CHUNK_ABORT):
    case TV_BODY(GAP):
    case TV_BODY(DEMAND):
    case TV_BODY(CREDIT):
    case TV_BODY(CONTROL):
    case TV_BODY(STATE):
    case TV_BODY(COMPLETE):
    case TV_BODY(COMPLETED):
    case TV_BODY(STATUS):
        tvs_stream_frame(session, frame);
        return TROVE_OK;
    case TV_BODY(HELLO):
        return TV_FAIL(error, FAILED_PRECONDITION, "a second hello; a connection begins once");
    case TV_BODY(_NOT_SET):
        return TV_FAIL(error, INVALID_ARGUMENT, "a frame without a body that this server knows");
    default:
        return TV_FAIL(error, INVALID_ARGUMENT, "a frame that only a server sends (field %d)", (int)frame->body_case);
    }
}

static void log_end(struct tvs_session *session, const trove_error *why, bool dull) {
    struct tvs_log_line line;
    tvs_log_begin(&line, dull ? TVS_LOG_DEBUG : TVS_LOG_WARN, "disconnected");
    tvs_log_text(&line, "peer", tv_conn_peer(session->conn));
    tvs_log_error(&line, why);
    tvs_log_end(&line);
}

/* Whoever isn't let in; but for a flood of them, and for those that leave by themselves, or come while the server ends. */
static void tell_refused(struct tvs_session *session, const trove_error *why) {
    bool dull = why->status == TROVE_OK || why->status == TROVE_UNAVAILABLE ||
                !tvs_refusals_take(&session->server->refusals, tv_now_ns());
    log_end(session, why, dull);
    if (!dull)
        tvs_audit_connect(session, NULL, why);
}

static void tell_end(struct tvs_session *session, const trove_error *why, bool idle) {
    static const trove_error closed = {TROVE_OK, "closed by the client"};
    log_end(session, why, why->status == TROVE_OK || why->status == TROVE_UNAVAILABLE);
    tvs_audit_disconnect(session, idle && tv_conn_left(session->conn) ? &closed : why);
}

static void on_closed(void *context, const trove_error *why) {
    struct tvs_session *session = context;
    pthread_mutex_lock(&session->lock);
    session->closed = true;
    bool idle = session->streams.count == 0 && session->calls.count == 0;
    pthread_mutex_unlock(&session->lock);
    if (atomic_load_explicit(&session->welcomed, memory_order_relaxed))
        tell_end(session, why, idle);
    else if (!session->refused) /* else it was told when it came */
        tell_refused(session, why);
    tvs_upload_landing_lost(session);
    trove_error lost;
    TV_FAIL(&lost, UNAVAILABLE, "the connection was lost: %s", why->message);
    tvs_streams_abandon(session, &lost);
    tvs_calls_abandon(session);
    tvs_session_release(session);
}

static void on_drained(void *context) {
    tvs_calls_resume(context);
}

static const struct tv_conn_handler handler = {
    .payload = on_payload,
    .frame = on_frame,
    .closed = on_closed,
    .drained = on_drained,
};

/* ---- life ---- */

/* Links the session in; and counts it, where it is one of `max`, among those that are let in. Returns how many sessions there are. */
static uint32_t enlist(struct tvs_session *session, uint32_t max, bool *draining) {
    struct tvs_server *server = session->server;
    pthread_mutex_lock(&server->lock);
    session->next = server->sessions;
    server->sessions = session;
    uint32_t count = ++server->session_count;
    *draining = server->draining;
    session->admitted = !session->refused && server->admitted_count < max;
    server->admitted_count += session->admitted;
    pthread_mutex_unlock(&server->lock);
    return count;
}

static struct tvs_session *create(struct tvs_server *server, struct tv_transport *transport_move) {
    struct tvs_session *session = calloc(1, sizeof *session);
    const struct tv_conn_options options = tvs_encryption_options(server, transport_move);
    struct tv_conn *conn = NULL;
    if (tv_conn_create(transport_move, &handler, session, &options, &conn, NULL) != TROVE_OK || session == NULL ||
        tv_id_table_init(&session->streams, NULL) != TROVE_OK || tv_id_table_init(&session->calls, NULL) != TROVE_OK) {
        tv_conn_destroy(conn);
        if (session != NULL)
            tv_id_table_fini(&session->streams);
        free(session);
        return NULL;
    }
    session->server = server;
    session->conn = conn;
    session->opened_ns = tv_now_ns();
    pthread_mutex_init(&session->lock, NULL);
    tv_arena_init(&session->arena, TV_ARENA_BYTES_MAX);
    atomic_init(&session->references, 1); /* the connection's, until it is closed */
    return session;
}

/* A browser lets any page connect anywhere, and says which one it is: that is to be looked at here. */
static bool origin_allowed(const struct tvs_server_options *options, const char *origin) {
    bool allowed = origin == NULL;
    for (size_t i = 0; i < options->origin_count && !allowed; i++)
        allowed = strcmp(options->origins[i], origin) == 0;
    return allowed;
}

/* Why there is no room for a connection more than `max`; without `has_descriptors` for none more than there are. */
static trove_status fail_full(const struct tvs_server *server, uint32_t max, bool has_descriptors, trove_error *refusal) {
    if (has_descriptors && max == server->options.connections_max)
        return TV_FAIL(refusal, RESOURCE_EXHAUSTED, "the server has %u connections, which is its limit (connections_max)", max);
    return TV_FAIL(refusal, RESOURCE_EXHAUSTED,
                   "the server has no more open files for connections (of %u); raise its limit of open files",
                   tv_descriptors_max());
}

/* What its peer's address and origin say of a new connection. */
static trove_status judge(struct tvs_session *session, trove_error *refusal) {
    const struct tvs_server_options *options = &session->server->options;
    const struct tv_transport *transport = tv_conn_transport(session->conn);
    bool handshake = options->access.authorized_keys != NULL && !transport->type_octet;
    trove_status status = tvs_address_limits_enter(session->server->address_limits, transport->peer, handshake,
                                                   session->opened_ns, &session->entry, refusal);
    if (status == TROVE_OK && !origin_allowed(options, transport->origin))
        return TV_FAIL(refusal, PERMISSION_DENIED,
                       "web pages of %.200s may not connect; they would have to be in `allow_origins`", transport->origin);
    return status;
}

void tvs_session_accept(void *context, struct tv_transport *transport_move) {
    struct tvs_server *server = context;
    struct tvs_session *session = create(server, transport_move);
    uint32_t max = tv_descriptors_connections_max();
    max = max < server->options.connections_max ? max : server->options.connections_max;
    if (session == NULL)
        return;
    bool has_descriptors = tv_descriptors_for_connection();
    bool draining = false;
    trove_error refusal;
    session->refused = judge(session, &refusal) != TROVE_OK;
    uint32_t count = enlist(session, has_descriptors ? max : 0, &draining);
    if (draining)
        TV_FAIL(&refusal, UNAVAILABLE, "the server is shutting down");
    else if (!session->refused && !session->admitted)
        (void)fail_full(server, max, has_descriptors, &refusal);
    session->refused = draining || !session->admitted;
    bool politely =
        has_descriptors && count <= max + REFUSED_POLITELY_MAX && (!session->entry.refused || session->entry.politely);
    tvs_session_acquire(session); /* a peer that is gone at once must not take it away while it is started here */
    tv_conn_start(session->conn);
    if (session->refused)
        tell_refused(session, &refusal);
    if (session->refused && politely)
        tv_conn_shutdown(session->conn, &refusal);
    else if (session->refused)
        tv_conn_abort(session->conn, &refusal);
    tvs_session_release(session);
}

/* All streams, each with a reference: what is done with one may end it, which changes the table. The timer's thread. */
static struct tvs_stream *list_streams(struct tvs_session *session) {
    struct tvs_stream *list = NULL;
    pthread_mutex_lock(&session->lock);
    for (struct tv_id_node *node = NULL; (node = tv_id_table_next(&session->streams, node)) != NULL;) {
        struct tvs_stream *stream = tvs_stream_of_node(node);
        tvs_stream_acquire(stream);
        stream->tick_next = list;
        list = stream;
    }
    pthread_mutex_unlock(&session->lock);
    return list;
}

/* Gives the reference to the first of a list back, and returns the next one. */
static struct tvs_stream *next_listed(struct tvs_stream *stream) {
    struct tvs_stream *next = stream->tick_next;
    tvs_stream_release(stream);
    return next;
}

static void for_each_stream(struct tvs_session *session, void (*what)(struct tvs_stream *, uint64_t), uint64_t now_ns) {
    for (struct tvs_stream *stream = list_streams(session); stream != NULL; stream = next_listed(stream))
        what(stream, now_ns);
}

/* The peer isn't known any more: its streams and calls end with that reason, then its connection. */
static void expel(struct tvs_session *session, const trove_error *why) {
    for (struct tvs_stream *stream = list_streams(session); stream != NULL; stream = next_listed(stream))
        tvs_stream_end(stream, TV_EVENT_FAIL, why);
    tvs_calls_refuse(session, why);
    tv_conn_shutdown(session->conn, why);
}

/* The rights have changed. */
static void recheck_stream(struct tvs_stream *stream, uint64_t unused) {
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

/* What is known of the peer is read anew where that has changed, or its time is over. *changed tells whether its rights may be others now. */
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

/* Who lets a frame trickle in, or reads drop by drop, has a connection for nothing. */
static trove_status check_pace(struct tvs_session *session, uint64_t now_ns, trove_error *error) {
    const struct tvs_server_options *options = &session->server->options;
    uint64_t window_ms = 2 * (uint64_t)options->keepalive_ms;
    struct tv_conn_progress progress;
    tv_conn_progress(session->conn, &progress);
    bool slow_in = tvs_pace_slow(&session->in, progress.receiving, progress.bytes_received, now_ns, window_ms, options->rate_min);
    bool slow_out = tvs_pace_slow(&session->out, progress.sending, progress.bytes_sent, now_ns, window_ms, options->rate_min);
    if (!slow_in && !slow_out)
        return TROVE_OK;
    return TV_FAIL(error, RESOURCE_EXHAUSTED,
                   "the peer has %s fewer than %llu bytes a second for %llu ms, with %s (connections.min_rate)",
                   slow_in ? "sent" : "read", (unsigned long long)options->rate_min, (unsigned long long)window_ms,
                   slow_in ? "a frame half sent" : "more to read");
}

void tvs_session_tick(struct tvs_session *session, uint64_t now_ns) {
    const struct tvs_server_options *options = &session->server->options;
    tv_conn_tick(session->conn, now_ns);
    bool welcomed = atomic_load_explicit(&session->welcomed, memory_order_relaxed);
    bool changed = false;
    trove_error why = {TROVE_OK, ""};
    if (!welcomed && now_ns > session->opened_ns + (uint64_t)options->handshake_ms * 1000000) {
        TV_FAIL(&why, DEADLINE_EXCEEDED, "no hello within %u ms", options->handshake_ms);
        tv_conn_shutdown(session->conn, &why);
        return;
    }
    if (renew(session, &changed, &why) != TROVE_OK) {
        expel(session, &why);
        return;
    }
    if (welcomed && check_pace(session, now_ns, &why) != TROVE_OK)
        tv_conn_shutdown(session->conn, &why);
    if (changed)
        for_each_stream(session, recheck_stream, now_ns);
    if (welcomed)
        tvs_throttle_tick(&session->bandwidth->throttle);
    for_each_stream(session, tvs_stream_tick, now_ns);
}

void tvs_session_relieve(struct tvs_session *session, uint64_t now_ns) {
    for_each_stream(session, tvs_stream_relieve, now_ns);
}

void tvs_session_flush_later(struct tvs_session *session) {
    struct tvs_server *server = session->server;
    if (atomic_exchange_explicit(&session->flush_marked, true, memory_order_acq_rel))
        return;
    tvs_session_acquire(session);
    struct tvs_session *first = atomic_load_explicit(&server->flush_first, memory_order_relaxed);
    do
        session->flush_next = first;
    while (!atomic_compare_exchange_weak_explicit(&server->flush_first, &first, session, memory_order_acq_rel,
                                                  memory_order_relaxed));
    if (first == NULL) /* the task takes the whole list, so it is submitted by whoever begins one */
        tvs_workers_submit(server->workers, &server->flush);
}

void tvs_session_flush_all(struct tvs_task *task) {
    struct tvs_server *server = TV_CONTAINER_OF(task, struct tvs_server, flush);
    struct tvs_session *session = atomic_exchange_explicit(&server->flush_first, NULL, memory_order_acq_rel);
    while (session != NULL) {
        struct tvs_session *next = session->flush_next;
        atomic_store_explicit(&session->flush_marked, false, memory_order_release);
        tv_conn_flush(session->conn);
        tvs_session_release(session);
        session = next;
    }
}

void tvs_session_drain(struct tvs_session *session, uint32_t drain_ms) {
    pthread_mutex_lock(&session->lock);
    session->draining = true;
    uint64_t last = session->highest_id;
    pthread_mutex_unlock(&session->lock);
    tv_frame frame = TROVE__V1__FRAME__INIT;
    Trove__V1__GoAway go_away = TROVE__V1__GO_AWAY__INIT;
    Trove__V1__Status status = TROVE__V1__STATUS__INIT;
    status.code = TROVE__V1__CODE__OK;
    status.message = "the server is shutting down";
    go_away.status = &status;
    go_away.last_call_id = last;
    go_away.drain_ms = drain_ms;
    frame.body_case = TV_BODY(GO_AWAY);
    frame.go_away = &go_away;
    trove_status sent = tv_conn_send(session->conn, &frame, NULL, 0, NULL);
    (void)sent;
}

void tvs_session_release(struct tvs_session *session) {
    struct tvs_server *server = session->server;
    if (atomic_fetch_sub_explicit(&session->references, 1, memory_order_acq_rel) == 1)
        tvs_server_reap(server);
}

void tvs_session_destroy(struct tvs_session *session) {
    struct tvs_server *server = session->server;
    struct tv_conn_metrics metrics;
    tv_conn_metrics(session->conn, &metrics);
    atomic_fetch_add_explicit(&server->frames_in, metrics.frames_received, memory_order_relaxed);
    atomic_fetch_add_explicit(&server->frames_out, metrics.frames_sent, memory_order_relaxed);
    atomic_fetch_add_explicit(&server->payload_copied, metrics.payload_copied_bytes, memory_order_relaxed);
    tv_conn_destroy(session->conn);
    tvs_address_limits_leave(server->address_limits, &session->entry);
    tvs_principal_bandwidth_release(&server->bandwidths, session->bandwidth);
    while (session->free_fragments != NULL) {
        struct tvs_fragment *fragment = session->free_fragments;
        session->free_fragments = fragment->next;
        free(fragment);
    }
    tv_id_table_fini(&session->streams);
    tv_id_table_fini(&session->calls);
    tv_arena_fini(&session->arena);
    tvs_principal_fini(&session->principal);
    pthread_mutex_destroy(&session->lock);
    free(session);
}
