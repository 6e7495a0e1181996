/* conn_read.c - the read half of a connection: staging, headers, payloads straight to their place. See conn.h, conn_internal.h.
 *
 * Staging is 64 KiB, so that one read brings many small frames. Behind a large payload only 4 KiB of it are offered, which is
 * room for the next header and copies hardly any payload.
 */
#include "conn_internal.h"

#include "iov.h"
#include "pages.h"
#include "timer.h"

#include <endian.h>
#include <inttypes.h>
#include <string.h>

/* A payload from here on tells that large ones are coming: the next read is kept small. */
#define LARGE_PAYLOAD_BYTES (32 * TV_KIB)

trove_status tv_reader_init(struct tv_conn *conn, trove_error *error) {
    struct tv_reader *reader = &conn->reader;
    reader->staging = tv_pages_get(TV_STAGING_BYTES);
    if (reader->staging == NULL)
        return TV_FAIL(error, RESOURCE_EXHAUSTED, "no memory for a connection");
    reader->state = conn->transport->no_greeting ? TV_READ_PREFIX : TV_READ_GREETING;
    reader->staging_limit = TV_STAGING_BYTES;
    reader->header_bytes_max = TV_HEADER_BYTES_GREETING;
    tv_arena_init(&reader->arena, TV_ARENA_BYTES_MAX);
    return TROVE_OK;
}

void tv_reader_fini(struct tv_conn *conn) {
    tv_pages_put(conn->reader.staging, TV_STAGING_BYTES);
    free(conn->reader.message);
    tv_arena_fini(&conn->reader.arena);
}

/* ---- receiving ---- */

/* The buffers of the next receive: what is missing of a payload at its place, then staging. */
static unsigned next_iov(struct tv_reader *reader, struct iovec *iov) {
    unsigned count = 0;
    if (reader->state == TV_READ_WHOLE || (reader->state == TV_READ_PAYLOAD && reader->sink.kind == TV_SINK_MESSAGE)) {
        uint64_t total = reader->state == TV_READ_WHOLE ? reader->message_bytes : reader->layout.payload_bytes;
        iov[count++] = (struct iovec){reader->message + reader->message_have, total - reader->message_have};
    } else if (reader->state == TV_READ_PAYLOAD && reader->sink.kind == TV_SINK_MEMORY) {
        for (unsigned i = reader->sink_at; i < reader->sink.iov_count; i++)
            iov[count++] = reader->sink.iov[i];
    }
    if (reader->begin > 0) {
        memmove(reader->staging, reader->staging + reader->begin, reader->end - reader->begin);
        reader->end -= reader->begin;
        reader->begin = 0;
    }
    size_t limit = count > 0 ? TV_READ_AHEAD_BYTES : reader->staging_limit;
    if (limit <= reader->end)
        limit = TV_STAGING_BYTES;
    iov[count++] = (struct iovec){reader->staging + reader->end, limit - reader->end};
    return count;
}

static bool is_open(const struct tv_conn *conn) {
    return atomic_load_explicit(&conn->open, memory_order_relaxed);
}

/* Once it isn't open any more nothing is opened, either. */
static bool reader_is_sealed(const struct tv_conn *conn) {
    return conn->reader.records != NULL && is_open(conn);
}

/* What comes next begins a frame. */
static bool between_frames(const struct tv_reader *reader) {
    return reader->state == TV_READ_PREFIX && reader->begin == reader->end &&
           (reader->records == NULL || tv_record_reader_idle(reader->records));
}

void tv_reader_submit(struct tv_conn *conn) {
    struct iovec iov[TV_IOV_MAX];
    atomic_store_explicit(&conn->mid_frame, !between_frames(&conn->reader), memory_order_relaxed);
    unsigned count = next_iov(&conn->reader, iov);
    if (reader_is_sealed(conn)) {
        struct iovec wanted[TV_IOV_MAX];
        memcpy(wanted, iov, count * sizeof *iov);
        count = tv_record_reader_want(conn->reader.records, wanted, count, iov);
    }
    if (tv_conn_submit_begin(conn)) {
        conn->transport->ops->receive(conn->transport, iov, count);
        tv_conn_submit_end(conn);
        return;
    }
    pthread_mutex_lock(&conn->lock);
    conn->receiving = false;
    pthread_mutex_unlock(&conn->lock);
    tv_conn_maybe_closed(conn);
}

/* Shares out what a receive brought: first what was missing of a payload, the rest is in staging. */
static void account(struct tv_reader *reader, size_t bytes) {
    size_t direct = 0;
    if (reader->state == TV_READ_WHOLE) {
        uint64_t missing = reader->message_bytes - reader->message_have;
        direct = bytes < missing ? bytes : missing;
        reader->message_have += direct;
    } else if (reader->state == TV_READ_PAYLOAD && reader->sink.kind == TV_SINK_MESSAGE) {
        direct = bytes < reader->payload_left ? bytes : reader->payload_left;
        reader->message_have += direct;
        reader->payload_left -= direct;
    } else if (reader->state == TV_READ_PAYLOAD && reader->sink.kind == TV_SINK_MEMORY) {
        direct = bytes < reader->payload_left ? bytes : reader->payload_left;
        reader->payload_left -= direct;
        tv_iov_advance(reader->sink.iov, reader->sink.iov_count, &reader->sink_at, direct);
    }
    reader->end += bytes - direct;
}

/* ---- parsing ---- */

static size_t staged(const struct tv_reader *reader) {
    return reader->end - reader->begin;
}

static trove_status read_greeting(struct tv_reader *reader, bool *more, trove_error *error) {
    if (staged(reader) < TV_GREETING_BYTES) {
        *more = true;
        return TROVE_OK;
    }
    if (memcmp(reader->staging + reader->begin, tv_sp_greeting, TV_GREETING_BYTES) != 0)
        return TV_FAIL(error, INVALID_ARGUMENT, "wrong magic: the peer doesn't greet as an SP PAIR0 socket (nng_pair0)");
    reader->begin += TV_GREETING_BYTES;
    reader->state = TV_READ_PREFIX;
    return TROVE_OK;
}

static trove_status read_prefix(struct tv_conn *conn, bool *more, trove_error *error) {
    struct tv_reader *reader = &conn->reader;
    if (staged(reader) < conn->prefix_bytes) {
        *more = true;
        return TROVE_OK;
    }
    const uint8_t *at = reader->staging + reader->begin;
    if (conn->prefix_bytes == TV_PREFIX_BYTES_MAX && *at++ != 1)
        return TV_FAIL(error, INVALID_ARGUMENT, "wrong message type octet %u; SP over ipc uses 1", at[-1]);
    uint64_t bytes;
    memcpy(&bytes, at, sizeof bytes);
    bytes = be64toh(bytes);
    uint64_t bytes_max = reader->payload_bytes_max + reader->header_bytes_max;
    if (bytes == 0)
        return TV_FAIL(error, INVALID_ARGUMENT, "an empty message; each must be one Frame");
    if (bytes > bytes_max)
        return TV_FAIL(error, RESOURCE_EXHAUSTED, "a message of %" PRIu64 " bytes; at most %" PRIu64 " are taken here", bytes,
                       bytes_max);
    reader->begin += conn->prefix_bytes;
    reader->message_bytes = bytes;
    reader->state = TV_READ_HEADER;
    return TROVE_OK;
}

static trove_status check_header(struct tv_reader *reader, const uint8_t *header, trove_error *error) {
    bool early = !reader->established && reader->layout.has_checksum; /* hello and welcome may have it */
    if (!reader->checksums && !early)
        return TROVE_OK;
    if (!reader->layout.has_checksum)
        return TV_FAIL(error, DATA_LOSS, "a frame without the header checksum that was agreed on");
    if (tv_frame_checksum(header, reader->layout.header_bytes, reader->message_bytes) != reader->layout.checksum)
        return TV_FAIL(error, DATA_LOSS, "a frame's header doesn't match its checksum: it was damaged on the way");
    return TROVE_OK;
}

static trove_status header_too_large(const struct tv_reader *reader, trove_error *error) {
    return TV_FAIL(error, INVALID_ARGUMENT, "a frame's header has more than %" PRIu64 " bytes", reader->header_bytes_max);
}

/* Unpacks the header, asks where the payload goes. */
static trove_status begin_frame(struct tv_conn *conn, const uint8_t *header, trove_error *error) {
    struct tv_reader *reader = &conn->reader;
    trove_status status = check_header(reader, header, error);
    if (status == TROVE_OK && reader->layout.header_bytes > reader->header_bytes_max)
        status = header_too_large(reader, error);
    if (status == TROVE_OK && reader->layout.payload_bytes > reader->payload_bytes_max)
        status = TV_FAIL(error, RESOURCE_EXHAUSTED, "a payload of %" PRIu64 " bytes; at most %" PRIu64 " were agreed on",
                         reader->layout.payload_bytes, reader->payload_bytes_max);
    /* What is said before the handshake is done goes into its prologue as it came, and so has to lie in staging whole. */
    if (status == TROVE_OK && conn->handshake != NULL && reader->layout.payload_bytes > 0)
        status = TV_FAIL(error, INVALID_ARGUMENT, "a frame with a payload before anybody is known");
    if (status == TROVE_OK)
        status = tv_frame_unpack(header, reader->layout.header_bytes, &reader->arena, &reader->frame, error);
    if (status != TROVE_OK)
        return status;
    reader->sink.kind = TV_SINK_DISCARD;
    reader->sink.iov_count = 0;
    reader->sink_at = 0;
    reader->payload = NULL;
    reader->payload_left = reader->layout.payload_bytes;
    if (reader->payload_left > 0) {
        conn->handler->payload(conn->context, reader->frame, reader->payload_left, &reader->sink);
        if (reader->sink.kind == TV_SINK_MESSAGE && reader->payload_left > TV_MESSAGE_BYTES_MAX)
            reader->sink.kind = TV_SINK_DISCARD;
        TV_ASSERT(reader->sink.kind != TV_SINK_MEMORY ||
                  tv_iov_bytes(reader->sink.iov, reader->sink.iov_count) == reader->payload_left);
    }
    bool large = reader->payload_left >= LARGE_PAYLOAD_BYTES && reader->sink.kind != TV_SINK_DISCARD;
    reader->staging_limit = large ? TV_READ_AHEAD_BYTES : TV_STAGING_BYTES;
    return TROVE_OK;
}

static trove_status allocate_message(struct tv_conn *conn, uint64_t bytes, trove_error *error) {
    conn->reader.message = malloc(bytes);
    conn->reader.message_have = 0;
    TV_COUNT(conn, allocations, 1);
    if (conn->reader.message == NULL)
        return TV_FAIL(error, RESOURCE_EXHAUSTED, "no memory for a message of %" PRIu64 " bytes", bytes);
    return TROVE_OK;
}

/* The rare message whose fields come in another order: it is collected whole. */
static trove_status begin_whole(struct tv_conn *conn, trove_error *error) {
    struct tv_reader *reader = &conn->reader;
    trove_status status = allocate_message(conn, reader->message_bytes, error);
    if (status != TROVE_OK)
        return status;
    size_t have = staged(reader) < reader->message_bytes ? staged(reader) : reader->message_bytes;
    memcpy(reader->message, reader->staging + reader->begin, have);
    reader->begin += have;
    reader->message_have = have;
    reader->state = TV_READ_WHOLE;
    return TROVE_OK;
}

/* With checksums agreed on, a header that can't be read was damaged on the way: its sender isn't to blame. */
static trove_status unreadable(const struct tv_reader *reader, const trove_error *why, trove_error *error) {
    if (!reader->checksums)
        return tv_error_copy(error, why);
    return TV_FAIL(error, DATA_LOSS, "a frame's header was damaged on the way: %s", why->message);
}

static trove_status read_header(struct tv_conn *conn, bool *more, trove_error *error) {
    struct tv_reader *reader = &conn->reader;
    const uint8_t *at = reader->staging + reader->begin;
    size_t have = staged(reader) < reader->message_bytes ? staged(reader) : reader->message_bytes;
    trove_error why;
    switch (tv_frame_scan(at, have, reader->message_bytes, &reader->layout, &why)) {
    case TV_SCAN_BAD:
        return unreadable(reader, &why, error);
    case TV_SCAN_SHUFFLED:
        if (!reader->checksums && conn->handshake == NULL)
            return begin_whole(conn, error);
        TV_FAIL(&why, DATA_LOSS, "its checksum and its payload aren't its last fields");
        return unreadable(reader, &why, error);
    case TV_SCAN_MORE:
        if (have >= reader->header_bytes_max + TV_FRAME_TAIL_BYTES_MAX || have == reader->message_bytes) {
            header_too_large(reader, &why);
            return unreadable(reader, &why, error);
        }
        reader->staging_limit = TV_STAGING_BYTES;
        *more = true;
        return TROVE_OK;
    case TV_SCAN_OK:
        break;
    }
    trove_status status = begin_frame(conn, at, error);
    reader->begin += reader->layout.payload_at;
    reader->state = TV_READ_PAYLOAD;
    return status;
}

static void copy_to_sink(struct tv_conn *conn, const uint8_t *from, size_t bytes) {
    struct tv_reader *reader = &conn->reader;
    TV_COUNT(conn, payload_copied, bytes);
    (void)tv_iov_put(reader->sink.iov, reader->sink.iov_count, &reader->sink_at, from, bytes);
    reader->payload_left -= bytes;
}

/* A MESSAGE payload that lies in staging whole is used where it is; otherwise it is collected. */
static trove_status take_message(struct tv_conn *conn, size_t have, trove_error *error) {
    struct tv_reader *reader = &conn->reader;
    const uint8_t *at = reader->staging + reader->begin;
    if (reader->message == NULL && have == reader->layout.payload_bytes) {
        reader->payload = at;
    } else if (reader->message == NULL) {
        trove_status status = allocate_message(conn, reader->layout.payload_bytes, error);
        if (status != TROVE_OK)
            return status;
    }
    if (reader->payload == NULL && have > 0) {
        TV_ASSERT(reader->message != NULL);
        memcpy(reader->message + reader->message_have, at, have);
        reader->message_have += have;
        TV_COUNT(conn, payload_copied, have);
    }
    reader->begin += have;
    reader->payload_left -= have;
    if (reader->payload_left == 0 && reader->payload == NULL)
        reader->payload = reader->message;
    return TROVE_OK;
}

static trove_status answer_ping(struct tv_conn *conn, const tv_frame *frame, uint64_t payload_bytes, trove_error *error) {
    if (frame->call_id != 0 || payload_bytes > 0)
        return TV_FAIL(error, INVALID_ARGUMENT, "a ping with a call id or a payload; it belongs to the connection alone");
    tv_frame answer = TROVE__V1__FRAME__INIT;
    Trove__V1__Pong pong = TROVE__V1__PONG__INIT;
    pong.token = frame->ping->token;
    answer.body_case = TV_BODY(PONG);
    answer.pong = &pong;
    return tv_conn_send(conn, &answer, NULL, 0, error);
}

static trove_status finish_frame(struct tv_conn *conn, trove_error *error) {
    struct tv_reader *reader = &conn->reader;
    TV_COUNT(conn, frames_received, 1);
    TV_COUNT(conn, payload_received, reader->layout.payload_bytes);
    trove_status status = TROVE_OK;
    bool taken = false;
    if (conn->handshake != NULL) /* its message lies in staging, whole: it has no payload */
        status = tv_conn_secure_frame(conn, reader->frame, reader->staging + reader->begin - reader->message_bytes,
                                      reader->message_bytes, &taken, error);
    if (taken || status != TROVE_OK)
        taken = true;
    else if (reader->payload != NULL && !tv_frame_payload_matches(reader->frame, reader->payload, reader->layout.payload_bytes))
        status =
            TV_FAIL(error, DATA_LOSS, "the payload of call %" PRIu64 " doesn't match its checksum: it was damaged on the way",
                    reader->frame->call_id);
    else if (reader->frame->body_case == TV_BODY(PING) && reader->established)
        status = answer_ping(conn, reader->frame, reader->layout.payload_bytes, error);
    else
        status = conn->handler->frame(conn->context, reader->frame, reader->payload, reader->layout.payload_bytes, error);
    free(reader->message);
    reader->message = NULL;
    reader->message_have = 0;
    tv_arena_reset(&reader->arena);
    reader->frame = NULL;
    reader->checksums = reader->checksums_next;
    reader->state = TV_READ_PREFIX;
    return status;
}

static trove_status read_payload(struct tv_conn *conn, bool *more, trove_error *error) {
    struct tv_reader *reader = &conn->reader;
    size_t have = staged(reader) < reader->payload_left ? staged(reader) : reader->payload_left;
    trove_status status = TROVE_OK;
    if (have > 0 && reader->sink.kind == TV_SINK_MEMORY) {
        copy_to_sink(conn, reader->staging + reader->begin, have);
        reader->begin += have;
    } else if (reader->sink.kind == TV_SINK_MESSAGE && reader->payload == NULL) {
        if (reader->payload_left > 0)
            status = take_message(conn, have, error);
        else
            reader->payload = reader->message; /* its rest was read straight to its place */
    } else if (have > 0) {
        reader->begin += have;
        reader->payload_left -= have;
    }
    if (status != TROVE_OK)
        return status;
    if (reader->payload_left > 0) {
        *more = true;
        return TROVE_OK;
    }
    return finish_frame(conn, error);
}

/* Deals with a collected message: sorts it, then hands header and payload on like any other. */
static trove_status read_whole(struct tv_conn *conn, bool *more, trove_error *error) {
    struct tv_reader *reader = &conn->reader;
    if (reader->message_have < reader->message_bytes) {
        *more = true;
        return TROVE_OK;
    }
    uint8_t *message = reader->message;
    reader->message = NULL;
    trove_status status = tv_frame_compact(message, reader->message_bytes, &reader->layout, error);
    if (status == TROVE_OK)
        status = begin_frame(conn, message, error);
    if (status == TROVE_OK) {
        if (reader->sink.kind == TV_SINK_MEMORY)
            copy_to_sink(conn, message + reader->layout.payload_at, reader->layout.payload_bytes);
        else if (reader->sink.kind == TV_SINK_MESSAGE)
            reader->payload = message + reader->layout.payload_at;
        status = finish_frame(conn, error);
    }
    free(message);
    return status;
}

static trove_status parse_step(struct tv_conn *conn, bool *more, trove_error *error) {
    switch (conn->reader.state) {
    case TV_READ_GREETING:
        return read_greeting(&conn->reader, more, error);
    case TV_READ_PREFIX:
        return read_prefix(conn, more, error);
    case TV_READ_HEADER:
        return read_header(conn, more, error);
    case TV_READ_PAYLOAD:
        return read_payload(conn, more, error);
    case TV_READ_WHOLE:
        return read_whole(conn, more, error);
    }
    return TROVE_OK;
}

/* From now on bytes are only counted, and may come in the midst of anything. */
static void forget(struct tv_reader *reader) {
    reader->state = TV_READ_PREFIX;
    reader->begin = reader->end = 0;
    reader->staging_limit = TV_STAGING_BYTES;
}

/* Another thread, or a handler function, may end the connection at any frame. */
static void parse(struct tv_conn *conn) {
    trove_error error;
    trove_status status = TROVE_OK;
    bool more = false;
    while (status == TROVE_OK && !more && is_open(conn))
        status = parse_step(conn, &more, &error);
    if (status == TROVE_OK && more)
        return;
    forget(&conn->reader);
    if (status != TROVE_OK)
        tv_conn_shutdown(conn, &error);
}

/* ---- the loop ---- */

/* While it lingers, a connection only counts what comes. Returns true when it has had enough. */
static bool discard(struct tv_conn *conn, size_t bytes) {
    forget(&conn->reader);
    pthread_mutex_lock(&conn->lock);
    conn->lingered_bytes += bytes;
    bool enough = conn->lingered_bytes > TV_LINGER_BYTES_MAX;
    pthread_mutex_unlock(&conn->lock);
    return enough;
}

static void handle_batch(struct tv_conn *conn) {
    pthread_mutex_lock(&conn->lock);
    conn->handling = true;
    conn->handler_thread = pthread_self();
    pthread_mutex_unlock(&conn->lock);
    parse(conn);
    pthread_mutex_lock(&conn->lock);
    conn->handling = false;
    pthread_mutex_unlock(&conn->lock);
    tv_writer_kick(conn);
}

/* Whether to stop reading until the peer has taken more of what was answered. Only while something is being sent: its coming back
 * is what leads on, to the end too. */
static bool park(struct tv_conn *conn) {
    pthread_mutex_lock(&conn->lock);
    bool stop = conn->phase == TV_CONN_OPEN && conn->sending && conn->writer.unsent_bytes > TV_UNSENT_BYTES_MAX;
    conn->parked = stop;
    pthread_mutex_unlock(&conn->lock);
    return stop;
}

/* Opens and handles all that is there: nothing waits for the next receive that could be handled before it. What an encrypted peer
 * can have sent ahead is little (TV_SEALED_AHEAD_BYTES, a record). */
static void handle_records(struct tv_conn *conn) {
    for (size_t plain = 1; plain > 0 && is_open(conn);) {
        struct iovec iov[TV_IOV_MAX];
        trove_error error;
        unsigned count = next_iov(&conn->reader, iov);
        if (tv_record_reader_open(conn->reader.records, iov, count, &plain, &error) != TROVE_OK) {
            forget(&conn->reader);
            tv_conn_shutdown(conn, &error);
            return;
        }
        if (plain > 0) {
            account(&conn->reader, plain);
            handle_batch(conn);
        }
    }
}

static void take_received(struct tv_conn *conn, size_t bytes) {
    if (conn->reader.records != NULL) {
        tv_record_reader_add(conn->reader.records, bytes);
    } else {
        account(&conn->reader, bytes);
        handle_batch(conn);
    }
    if (conn->reader.records != NULL) /* perhaps since just now */
        handle_records(conn);
}

void tv_reader_received(void *context, trove_status status, size_t bytes) {
    struct tv_conn *conn = context;
    trove_error lost = {TROVE_UNAVAILABLE, "the peer has closed the connection"};
    if (status == TROVE_OK) {
        atomic_store_explicit(&conn->heard_ns, tv_now_ns(), memory_order_relaxed);
        TV_COUNT(conn, bytes_received, bytes);
        if (is_open(conn)) {
            take_received(conn, bytes);
        } else if (discard(conn, bytes)) {
            tv_conn_abort(conn, &lost);
        }
        if (!park(conn))
            tv_reader_submit(conn);
        return;
    }
    pthread_mutex_lock(&conn->lock);
    conn->peer_left = conn->phase == TV_CONN_OPEN && between_frames(&conn->reader);
    pthread_mutex_unlock(&conn->lock);
    tv_conn_abort(conn, &lost);
    pthread_mutex_lock(&conn->lock);
    conn->receiving = false;
    pthread_mutex_unlock(&conn->lock);
    tv_conn_maybe_closed(conn);
}
