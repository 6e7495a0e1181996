/* session_frames.c - what a session's peer says: the greeting, then which call or stream a frame belongs to; and its end. See
 * session.h.
 *
 * Everything here runs on the connection's receiving thread unless it says otherwise.
 */
#include "audit_events.h"
#include "call.h"
#include "inline_put.h"
#include "stream.h"
#include "upload.h"

#include <string.h>

#define PROTOCOL_VERSION 1
#define FEATURES         (TV_FEATURE_HEADER_CHECKSUM | TV_FEATURE_LOSSY | TV_FEATURE_BIDI)

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
    trove_status status = session->principal.kind == TVS_PRINCIPAL_NOBODY ? tvs_session_authenticate(session, error) : TROVE_OK;
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

/* A call id that is given twice ends what has it: answers to the one and to the other couldn't be told apart. Returns whether it
 * was in use. */
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

/* A client that ends the connection for an error takes nothing any more, and waits until it is closed here: so it knows that what
 * it said was read. What else it means by a go-away it does itself. */
static void on_go_away(struct tvs_session *session, const Trove__V1__GoAway *go_away) {
    trove_error reason = {TROVE_OK, ""};
    if (go_away->status == NULL || tv_status_from_wire(go_away->status, &reason) == TROVE_OK)
        return;
    trove_error why;
    TV_FAIL(&why, UNAVAILABLE, "the client has ended it: %.400s", reason.message);
    tv_conn_abort(session->conn, &why);
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
        return TROVE_OK;
    case TV_BODY(GO_AWAY):
        on_go_away(session, frame->go_away);
        return TROVE_OK;
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

/* ---- the end ---- */

static void log_end(struct tvs_session *session, const trove_error *why, bool dull) {
    struct tvs_log_line line;
    tvs_log_begin(&line, dull ? TVS_LOG_DEBUG : TVS_LOG_WARN, "disconnected");
    tvs_log_text(&line, "peer", tv_conn_peer(session->conn));
    tvs_log_error(&line, why);
    tvs_log_end(&line);
}

/* Whoever isn't let in; but for a flood of them, and for those that leave by themselves, or come while the server ends. */
void tvs_session_tell_refused(struct tvs_session *session, const trove_error *why) {
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
        tvs_session_tell_refused(session, why);
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

const struct tv_conn_handler tvs_session_handler = {
    .payload = on_payload,
    .frame = on_frame,
    .closed = on_closed,
    .drained = on_drained,
};
