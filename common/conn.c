/* conn.c - life and death of a connection. See conn.h; reading is in conn_read.c, writing in conn_write.c.
 *
 * One lock; it is never held over a call into the transport, the handler or a flow, but a flow's `acquire`. Closing the transport
 * must not happen while a submission is running (nng would never complete it), so submissions are counted and the last of them
 * closes.
 */
#include "conn_internal.h"

#include "timer.h"

#include <inttypes.h>
#include <string.h>

/* SP greeting: NUL 'S' 'P' version 0, then the protocol number (PAIR version 0 is 16), then two reserved octets. */
const uint8_t tv_sp_greeting[TV_GREETING_BYTES] = {0, 'S', 'P', 0, 0, 16, 0, 0};

trove_status tv_conn_create(struct tv_transport *transport_move, const struct tv_conn_handler *handler, void *context,
                            const struct tv_conn_options *options, struct tv_conn **conn_out, trove_error *error) {
    struct tv_conn *conn = calloc(1, sizeof *conn);
    if (conn == NULL) {
        transport_move->ops->close(transport_move);
        transport_move->ops->destroy(transport_move);
        return TV_FAIL(error, RESOURCE_EXHAUSTED, "no memory for a connection");
    }
    pthread_mutex_init(&conn->lock, NULL);
    conn->transport = transport_move;
    conn->handler = handler;
    conn->context = context;
    conn->prefix_bytes = transport_move->type_octet ? TV_PREFIX_BYTES_MAX : TV_PREFIX_BYTES_MAX - 1;
    conn->payload_bytes_max = options->payload_bytes_max;
    conn->reader.payload_bytes_max = options->payload_bytes_max;
    atomic_init(&conn->open, true);
    atomic_init(&conn->heard_ns, tv_now_ns()); /* the owner's timer may look before the start */
    transport_move->context = conn;
    transport_move->on_received = tv_reader_received;
    transport_move->on_sent = tv_writer_sent;
    trove_status status = tv_reader_init(conn, error);
    if (status == TROVE_OK)
        status = tv_writer_init(conn, error);
    if (status == TROVE_OK && options->secure != NULL)
        status = tv_conn_secure_create(conn, options, error);
    if (status != TROVE_OK) {
        tv_conn_destroy(conn);
        return status;
    }
    *conn_out = conn;
    return TROVE_OK;
}

void tv_conn_start(struct tv_conn *conn) {
    atomic_store_explicit(&conn->heard_ns, tv_now_ns(), memory_order_relaxed);
    pthread_mutex_lock(&conn->lock);
    conn->receiving = true;
    if (!conn->transport->no_greeting)
        tv_writer_push_raw(conn, tv_sp_greeting, sizeof tv_sp_greeting);
    pthread_mutex_unlock(&conn->lock);
    if (conn->handshake != NULL)
        tv_conn_secure_start(conn);
    tv_writer_kick(conn);
    tv_reader_submit(conn);
}

void tv_conn_destroy(struct tv_conn *conn) {
    if (conn == NULL)
        return;
    TV_ASSERT(!conn->receiving && !conn->sending);
    conn->transport->ops->close(conn->transport);
    conn->transport->ops->destroy(conn->transport);
    tv_reader_fini(conn);
    tv_writer_fini(conn);
    tv_conn_secure_destroy(conn);
    pthread_mutex_destroy(&conn->lock);
    free(conn);
}

void tv_conn_establish(struct tv_conn *conn, uint64_t payload_bytes_max, uint32_t keepalive_ms, bool checksums) {
    conn->reader.payload_bytes_max = payload_bytes_max;
    conn->reader.header_bytes_max = TV_HEADER_BYTES_MAX;
    conn->reader.checksums_next = checksums;
    conn->reader.established = true;
    pthread_mutex_lock(&conn->lock);
    conn->payload_bytes_max = payload_bytes_max;
    conn->keepalive_ms = keepalive_ms;
    conn->writer.checksums = checksums;
    pthread_mutex_unlock(&conn->lock);
}

/* ---- phases ---- */

#define TO(phase) (1u << TV_CONN_##phase)

/* Which phases one leads to; the diagram is in conn_internal.h. */
static const unsigned moves[TV_CONN_PHASE_COUNT] = {
    [TV_CONN_OPEN] = TO(FLUSHING) | TO(CLOSING),
    [TV_CONN_FLUSHING] = TO(LINGERING) | TO(CLOSING),
    [TV_CONN_LINGERING] = TO(CLOSING),
    [TV_CONN_CLOSING] = TO(CLOSED),
    [TV_CONN_CLOSED] = 0,
};

void tv_conn_move(struct tv_conn *conn, enum tv_conn_phase phase) {
    TV_ASSERT(moves[conn->phase] & 1u << phase);
    TV_ASSERT(!conn->parked || (conn->receiving && conn->sending));
    TV_ASSERT(phase != TV_CONN_CLOSED || (!conn->receiving && !conn->sending && conn->submitting == 0));
    conn->phase = phase;
    conn->phase_since_ns = tv_now_ns();
    atomic_store_explicit(&conn->open, phase == TV_CONN_OPEN, memory_order_relaxed);
}

/* ---- submissions and closing ---- */

/* Whether nothing uses the connection any more, a submission's way back included: then the caller, and nobody else ever, must
 * call `closed`. Under the lock. */
static bool last_locked(struct tv_conn *conn) {
    if (conn->phase != TV_CONN_CLOSING || conn->receiving || conn->sending || conn->submitting > 0 || conn->closed_called)
        return false;
    conn->closed_called = true;
    conn->sending = true; /* nobody pumps any more */
    return true;
}

/* The owner may destroy the connection from here on. */
static void closed(struct tv_conn *conn) {
    tv_writer_drop_flows(conn);
    pthread_mutex_lock(&conn->lock);
    conn->sending = false;
    tv_conn_move(conn, TV_CONN_CLOSED);
    trove_error why = conn->reason;
    pthread_mutex_unlock(&conn->lock);
    conn->handler->closed(conn->context, &why);
}

bool tv_conn_submit_begin(struct tv_conn *conn) {
    pthread_mutex_lock(&conn->lock);
    bool open = conn->phase < TV_CONN_CLOSING;
    if (open)
        conn->submitting++;
    pthread_mutex_unlock(&conn->lock);
    return open;
}

void tv_conn_submit_end(struct tv_conn *conn) {
    pthread_mutex_lock(&conn->lock);
    if (conn->close_pending && conn->submitting == 1) {
        conn->close_pending = false;
        pthread_mutex_unlock(&conn->lock);
        conn->transport->ops->close(conn->transport); /* still counted: the connection stays */
        pthread_mutex_lock(&conn->lock);
    }
    conn->submitting--;
    bool last = last_locked(conn);
    pthread_mutex_unlock(&conn->lock);
    if (last)
        closed(conn);
}

bool tv_conn_begin_closing(struct tv_conn *conn, const trove_error *why) {
    if (conn->phase >= TV_CONN_CLOSING)
        return false;
    if (conn->phase == TV_CONN_OPEN)
        conn->reason = *why;
    tv_conn_move(conn, TV_CONN_CLOSING);
    if (conn->parked) {
        conn->parked = false;
        conn->receiving = false;
    }
    conn->close_pending = conn->submitting > 0;
    return !conn->close_pending;
}

void tv_conn_maybe_closed(struct tv_conn *conn) {
    pthread_mutex_lock(&conn->lock);
    bool last = last_locked(conn);
    pthread_mutex_unlock(&conn->lock);
    if (last)
        closed(conn);
}

void tv_conn_abort(struct tv_conn *conn, const trove_error *reason) {
    pthread_mutex_lock(&conn->lock);
    bool close = tv_conn_begin_closing(conn, reason);
    pthread_mutex_unlock(&conn->lock);
    if (close)
        conn->transport->ops->close(conn->transport);
}

static trove_status push_go_away(struct tv_conn *conn, const trove_error *reason) {
    tv_frame frame = TROVE__V1__FRAME__INIT;
    Trove__V1__GoAway go_away = TROVE__V1__GO_AWAY__INIT;
    Trove__V1__Status status = TROVE__V1__STATUS__INIT;
    tv_status_to_wire(reason, &status);
    go_away.status = &status;
    frame.body_case = TV_BODY(GO_AWAY);
    frame.go_away = &go_away;
    return tv_writer_push(conn, &frame, NULL, 0, NULL);
}

void tv_conn_shutdown(struct tv_conn *conn, const trove_error *reason) {
    pthread_mutex_lock(&conn->lock);
    bool first = conn->phase == TV_CONN_OPEN;
    if (first) {
        tv_conn_move(conn, TV_CONN_FLUSHING);
        conn->reason = *reason;
        if (reason->status != TROVE_OK)
            (void)push_go_away(conn, reason); /* without memory the peer learns less */
    }
    bool unpark = first && conn->parked;
    conn->parked = false;
    pthread_mutex_unlock(&conn->lock);
    if (!first)
        return;
    if (unpark)
        tv_reader_submit(conn);
    tv_writer_kick(conn);
}

/* ---- sending ---- */

trove_status tv_conn_queue(struct tv_conn *conn, const tv_frame *frame, const void *payload, uint64_t payload_bytes,
                           trove_error *error) {
    trove_error why;
    pthread_mutex_lock(&conn->lock);
    bool open = conn->phase == TV_CONN_OPEN;
    trove_status status = TROVE_OK;
    if (open)
        status = tv_writer_push(conn, frame, payload, payload_bytes, &why);
    else
        status = TV_FAIL(error, UNAVAILABLE, "the connection is closing%s%s", conn->reason.message[0] != '\0' ? ": " : "",
                         conn->reason.message);
    pthread_mutex_unlock(&conn->lock);
    if (open && status != TROVE_OK) {
        tv_error_copy(error, &why);
        tv_conn_abort(conn, &why); /* the peer would wait for it in vain */
    }
    return status;
}

void tv_conn_flush(struct tv_conn *conn) {
    tv_writer_kick(conn);
}

trove_status tv_conn_send(struct tv_conn *conn, const tv_frame *frame, const void *payload, uint64_t payload_bytes,
                          trove_error *error) {
    trove_status status = tv_conn_queue(conn, frame, payload, payload_bytes, error);
    if (status == TROVE_OK)
        tv_writer_kick(conn);
    return status;
}

bool tv_conn_crowded(struct tv_conn *conn) {
    pthread_mutex_lock(&conn->lock);
    bool crowded = conn->phase == TV_CONN_OPEN && conn->writer.unsent_bytes > TV_UNSENT_BYTES_MAX;
    conn->crowded |= crowded;
    pthread_mutex_unlock(&conn->lock);
    return crowded;
}

/* ---- time ---- */

static void ping(struct tv_conn *conn) {
    tv_frame frame = TROVE__V1__FRAME__INIT;
    Trove__V1__Ping body = TROVE__V1__PING__INIT;
    frame.body_case = TV_BODY(PING);
    frame.ping = &body;
    trove_status status = tv_conn_send(conn, &frame, NULL, 0, NULL);
    (void)status; /* a connection that can't be asked is given up at the next tick */
}

static uint64_t silence_ms(uint64_t now_ns, uint64_t since_ns) {
    return now_ns > since_ns ? (now_ns - since_ns) / 1000000 : 0;
}

/* Whether the connection is to be ended now, and why. Under the lock. */
static bool overdue(const struct tv_conn *conn, uint64_t now_ns, uint64_t heard_ns, trove_error *why) {
    if (conn->phase == TV_CONN_FLUSHING || conn->phase == TV_CONN_LINGERING) {
        *why = conn->reason;
        return now_ns > conn->phase_since_ns + (uint64_t)TV_LINGER_MS * 1000000;
    }
    if (conn->phase != TV_CONN_OPEN || conn->keepalive_ms == 0)
        return false;
    uint64_t limit_ms = 2 * (uint64_t)conn->keepalive_ms, silent_ms = silence_ms(now_ns, heard_ns);
    /* Looks may be as far apart as a peer may be silent: who wasn't asked, or had no time to answer, isn't given up. Nor who is
     * parked: it is we who don't listen. */
    bool asked = conn->asked_ns > heard_ns && silence_ms(now_ns, conn->asked_ns) >= conn->keepalive_ms;
    bool silent = silent_ms >= limit_ms && asked && !conn->parked;
    bool stuck = conn->sent_since_ns != 0 && now_ns > conn->sent_since_ns + limit_ms * 1000000;
    if (silent)
        TV_FAIL(why, UNAVAILABLE, "the peer has been silent for %" PRIu64 " ms", silent_ms);
    else if (stuck)
        TV_FAIL(why, UNAVAILABLE, "the peer hasn't read anything for %" PRIu64 " ms", limit_ms);
    return silent || stuck;
}

void tv_conn_tick(struct tv_conn *conn, uint64_t now_ns) {
    uint64_t heard_ns = atomic_load_explicit(&conn->heard_ns, memory_order_relaxed);
    trove_error why;
    pthread_mutex_lock(&conn->lock);
    bool end = overdue(conn, now_ns, heard_ns, &why);
    bool quiet = conn->phase == TV_CONN_OPEN && conn->keepalive_ms > 0 && silence_ms(now_ns, heard_ns) >= conn->keepalive_ms &&
                 !conn->parked;
    bool ask = quiet && conn->asked_ns <= heard_ns;
    if (ask)
        conn->asked_ns = now_ns;
    pthread_mutex_unlock(&conn->lock);
    if (end)
        tv_conn_abort(conn, &why);
    else if (ask)
        ping(conn);
}

/* ---- looking at it ---- */

void tv_conn_progress(struct tv_conn *conn, struct tv_conn_progress *progress) {
    progress->bytes_received = atomic_load_explicit(&conn->count.bytes_received, memory_order_relaxed);
    progress->bytes_sent = atomic_load_explicit(&conn->count.bytes_sent, memory_order_relaxed);
    pthread_mutex_lock(&conn->lock);
    bool open = conn->phase == TV_CONN_OPEN;
    progress->receiving = open && !conn->parked && atomic_load_explicit(&conn->mid_frame, memory_order_relaxed);
    progress->sending = open && conn->sent_since_ns != 0;
    pthread_mutex_unlock(&conn->lock);
}

bool tv_conn_left(const struct tv_conn *conn) {
    return conn->peer_left;
}

const char *tv_conn_peer(const struct tv_conn *conn) {
    return conn->transport->peer;
}

uint64_t tv_conn_payload_bytes_max(struct tv_conn *conn) {
    pthread_mutex_lock(&conn->lock);
    uint64_t bytes = conn->payload_bytes_max;
    pthread_mutex_unlock(&conn->lock);
    return bytes;
}

const struct tv_transport *tv_conn_transport(const struct tv_conn *conn) {
    return conn->transport;
}

void tv_conn_metrics(const struct tv_conn *conn, struct tv_conn_metrics *metrics) {
#define LOAD(what) atomic_load_explicit(&conn->count.what, memory_order_relaxed)
    *metrics = (struct tv_conn_metrics){
        .frames_sent = LOAD(frames_sent),
        .frames_received = LOAD(frames_received),
        .bytes_sent = LOAD(bytes_sent),
        .bytes_received = LOAD(bytes_received),
        .payload_copied_bytes = LOAD(payload_copied),
        .payload_staged_bytes = LOAD(payload_staged),
        .payload_received_bytes = LOAD(payload_received),
        .allocations = LOAD(allocations),
    };
#undef LOAD
}

void tv_conn_wake(struct tv_conn *conn, struct tv_flow *flow, unsigned wants) {
    tv_writer_wake(conn, flow, wants);
    tv_writer_kick(conn);
}
