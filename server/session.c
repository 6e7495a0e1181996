/* session.c - a connection on the server from its beginning to its end: who is let in, time, limits. See session.h; what its peer
 * says comes to session_frames.c, what it may do is in session_access.c.
 */
#include "session.h"

#include "container.h"
#include "descriptors.h"
#include "encryption.h"
#include "stream.h"

#include <string.h>

/* Connections beyond the limit that are still told why, instead of just being closed. */
#define REFUSED_POLITELY_MAX 64

/* Links the session in; and counts it, where it is one of `max`, among those that are let in. Returns how many sessions there
 * are. */
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
    if (tv_conn_create(transport_move, &tvs_session_handler, session, &options, &conn, NULL) != TROVE_OK || session == NULL ||
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
        tvs_session_tell_refused(session, &refusal);
    if (session->refused && politely)
        tv_conn_shutdown(session->conn, &refusal);
    else if (session->refused)
        tv_conn_abort(session->conn, &refusal);
    tvs_session_release(session);
}

/* ---- time ---- */

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

void tvs_session_each_stream(struct tvs_session *session, void (*what)(struct tvs_stream *, const void *), const void *argument) {
    for (struct tvs_stream *stream = list_streams(session); stream != NULL; stream = next_listed(stream))
        what(stream, argument);
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

static void tick_stream(struct tvs_stream *stream, const void *now_ns) {
    tvs_stream_tick(stream, *(const uint64_t *)now_ns);
}

static void relieve_stream(struct tvs_stream *stream, const void *now_ns) {
    tvs_stream_relieve(stream, *(const uint64_t *)now_ns);
}

void tvs_session_tick(struct tvs_session *session, uint64_t now_ns) {
    const struct tvs_server_options *options = &session->server->options;
    tv_conn_tick(session->conn, now_ns);
    bool welcomed = atomic_load_explicit(&session->welcomed, memory_order_relaxed);
    trove_error why = {TROVE_OK, ""};
    if (!welcomed && now_ns > session->opened_ns + (uint64_t)options->handshake_ms * 1000000) {
        TV_FAIL(&why, DEADLINE_EXCEEDED, "no hello within %u ms", options->handshake_ms);
        tv_conn_shutdown(session->conn, &why);
        return;
    }
    if (!tvs_session_renew(session))
        return;
    if (welcomed && check_pace(session, now_ns, &why) != TROVE_OK)
        tv_conn_shutdown(session->conn, &why);
    if (welcomed)
        tvs_throttle_tick(&session->bandwidth->throttle);
    tvs_session_each_stream(session, tick_stream, &now_ns);
}

void tvs_session_relieve(struct tvs_session *session, uint64_t now_ns) {
    tvs_session_each_stream(session, relieve_stream, &now_ns);
}

/* ---- answers that go out together ---- */

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

/* ---- the end ---- */

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
