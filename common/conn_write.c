/* conn_write.c - the write half of a connection: staging, pulls, operations. See conn.h and conn_internal.h.
 *
 * An operation is what one call into the transport sends: first the frames that tv_conn_send packed, then control frames of
 * streams, then data. It has about a megabyte at most: blocks of packed frames, small pulled frames packed behind each other, and
 * as the last one a payload that the transport reads where it lies. Pushed frames are packed into blocks, one filling while
 * others are sent; as long as the peer keeps up two take turns and nothing is allocated. (Rejected: a buffer for each frame that
 * doesn't fit, of which an operation takes eight: a connection that has fallen behind once sends thousands of answers eight at a
 * time.)
 */
#include "conn_internal.h"

#include "iov.h"
#include "pages.h"
#include "timer.h"

#include <endian.h>
#include <inttypes.h>
#include <string.h>

/* An operation is full at this size: larger ones keep acknowledgements waiting behind them. */
#define OPERATION_BYTES TV_MIB
/* Buffers that one more pulled data frame may need: its header, its payload. */
#define FRAME_IOV_MAX (1 + TV_DATA_PIECES_MAX + 1)
/* On slow links a frame is what they carry in this time, for what the kernel holds can't be overtaken. */
#define FRAME_MS        50
#define FRAME_BYTES_MIN (16 * TV_KIB)
#define HEADER_ROOM     (TV_PREFIX_BYTES_MAX + TV_HEADER_BYTES_MAX + TV_FRAME_TAIL_BYTES_MAX)

_Static_assert(FRAME_IOV_MAX < TV_IOV_MAX, "one block and one data frame fit an operation");
_Static_assert(2 + FRAME_IOV_MAX > TV_IOV_MAX, "behind a payload of its own memory nothing more is pulled: one is in flight");
_Static_assert(HEADER_ROOM + TV_STAGED_PAYLOAD_BYTES <= TV_STAGING_BYTES, "any pulled frame fits staging");

/* Those that every connection has are pages; what is needed beyond them comes and goes often. */
static struct tv_unsent *new_block(size_t capacity, bool is_pages) {
    struct tv_unsent *block;
    block = is_pages ? tv_pages_get(sizeof *block + capacity) : malloc(sizeof *block + capacity);
    if (block == NULL)
        return NULL;
    block->capacity = capacity;
    block->is_pages = is_pages;
    return block;
}

static void free_block(struct tv_unsent *block) {
    if (block->is_pages)
        tv_pages_put(block, sizeof *block + block->capacity);
    else
        free(block);
}

static void free_blocks(struct tv_unsent *list) {
    while (list != NULL) {
        struct tv_unsent *next = list->next;
        free_block(list);
        list = next;
    }
}

trove_status tv_writer_init(struct tv_conn *conn, trove_error *error) {
    struct tv_writer *writer = &conn->writer;
    writer->pulled = tv_pages_get(TV_STAGING_BYTES);
    while (writer->spare_count < TV_SPARE_BLOCKS &&
           (writer->spare[writer->spare_count] = new_block(TV_STAGING_BYTES, true)) != NULL)
        writer->spare_count++;
    if (writer->pulled == NULL || writer->spare_count < TV_SPARE_BLOCKS)
        return TV_FAIL(error, RESOURCE_EXHAUSTED, "no memory for a connection");
    return TROVE_OK;
}

void tv_writer_fini(struct tv_conn *conn) {
    struct tv_writer *writer = &conn->writer;
    free_blocks(writer->unsent_first);
    free_blocks(writer->sending);
    while (writer->spare_count > 0)
        free_block(writer->spare[--writer->spare_count]);
    tv_pages_put(writer->pulled, TV_STAGING_BYTES);
}

/* ---- packing ---- */

static size_t put_prefix(const struct tv_conn *conn, uint8_t *at, uint64_t message_bytes) {
    uint64_t length = htobe64(message_bytes);
    if (conn->prefix_bytes == TV_PREFIX_BYTES_MAX)
        *at++ = 1;
    memcpy(at, &length, sizeof length);
    return conn->prefix_bytes;
}

/* Hello and welcome, which agree on checksums, have one themselves. */
static bool is_checksummed(const struct tv_conn *conn, const tv_frame *frame) {
    if (frame->body_case == TV_BODY(HELLO))
        return (frame->hello->features & TV_FEATURE_HEADER_CHECKSUM) != 0;
    if (frame->body_case == TV_BODY(WELCOME))
        return (frame->welcome->features & TV_FEATURE_HEADER_CHECKSUM) != 0;
    return conn->writer.checksums;
}

/* Prefix and header of a message into `out`; 0 if they don't fit. */
static size_t pack(const struct tv_conn *conn, const tv_frame *frame, uint64_t payload_bytes, uint8_t *out, size_t capacity) {
    if (capacity <= conn->prefix_bytes)
        return 0;
    size_t packed =
        tv_frame_pack(frame, payload_bytes, is_checksummed(conn, frame), out + conn->prefix_bytes, capacity - conn->prefix_bytes);
    if (packed == 0)
        return 0;
    put_prefix(conn, out, packed + payload_bytes);
    return conn->prefix_bytes + packed;
}

/* An empty block behind the others. NULL: no memory, or too much is held already. */
static struct tv_unsent *add_block(struct tv_conn *conn, size_t capacity) {
    struct tv_writer *writer = &conn->writer;
    struct tv_unsent *block = NULL;
    if (capacity == TV_STAGING_BYTES && writer->spare_count > 0) {
        block = writer->spare[--writer->spare_count];
    } else if (writer->unsent_bytes + sizeof *block + capacity <= TV_UNSENT_BYTES_CEILING) {
        block = new_block(capacity, false);
        TV_COUNT(conn, allocations, 1);
    }
    if (block == NULL)
        return NULL;
    block->next = NULL;
    block->bytes = 0;
    block->frames = 0;
    block->ends_plain = false;
    if (writer->unsent_last != NULL)
        writer->unsent_last->next = block;
    else
        writer->unsent_first = block;
    writer->unsent_last = block;
    writer->unsent_bytes += sizeof *block + capacity;
    return block;
}

/* False: it doesn't fit. */
static bool pack_into(struct tv_conn *conn, struct tv_unsent *block, const tv_frame *frame, const void *payload,
                      uint64_t payload_bytes) {
    size_t left = block->capacity - block->bytes;
    if (payload_bytes >= left)
        return false;
    size_t packed = pack(conn, frame, payload_bytes, block->data + block->bytes, left - payload_bytes);
    if (packed == 0)
        return false;
    block->bytes += packed;
    if (payload_bytes > 0)
        memcpy(block->data + block->bytes, payload, payload_bytes);
    block->bytes += payload_bytes;
    block->frames++;
    return true;
}

/* Of a block that is sure to hold the frame: only large payloads are worth to measure their header. */
static size_t capacity_for(const tv_frame *frame, uint64_t payload_bytes) {
    if (payload_bytes <= TV_STAGING_BYTES - HEADER_ROOM)
        return TV_STAGING_BYTES;
    size_t exact =
        TV_PREFIX_BYTES_MAX + protobuf_c_message_get_packed_size(&frame->base) + TV_FRAME_TAIL_BYTES_MAX + payload_bytes;
    return exact > TV_STAGING_BYTES ? exact : TV_STAGING_BYTES;
}

trove_status tv_writer_push(struct tv_conn *conn, const tv_frame *frame, const void *payload, uint64_t payload_bytes,
                            trove_error *error) {
    struct tv_writer *writer = &conn->writer;
    if (writer->unsent_last != NULL && !writer->unsent_last->ends_plain &&
        pack_into(conn, writer->unsent_last, frame, payload, payload_bytes))
        return TROVE_OK;
    struct tv_unsent *block = add_block(conn, capacity_for(frame, payload_bytes));
    if (block == NULL)
        return TV_FAIL(error, RESOURCE_EXHAUSTED,
                       "no memory for another frame, besides %" PRIu64 " bytes that the peer hasn't read", writer->unsent_bytes);
    bool fits = pack_into(conn, block, frame, payload, payload_bytes);
    TV_ASSERT(fits);
    return TROVE_OK;
}

void tv_writer_end_plain(struct tv_conn *conn) {
    conn->writer.unsent_last->ends_plain = true;
}

void tv_writer_push_raw(struct tv_conn *conn, const void *bytes, size_t count) {
    struct tv_unsent *block = add_block(conn, TV_STAGING_BYTES); /* a spare one: nothing else was pushed */
    TV_ASSERT(block != NULL && count <= block->capacity);
    memcpy(block->data, bytes, count);
    block->bytes = count;
}

/* ---- the rings; under the lock ---- */

static void ring_add(struct tv_conn *conn, struct tv_flow *flow, enum tv_ring ring) {
    struct tv_writer *writer = &conn->writer;
    if (flow->wants & 1u << ring)
        return;
    if (flow->wants == 0)
        flow->ops->acquire(flow);
    flow->wants |= 1u << ring;
    flow->next[ring] = NULL;
    if (writer->rings[ring].last != NULL)
        writer->rings[ring].last->next[ring] = flow;
    else
        writer->rings[ring].first = flow;
    writer->rings[ring].last = flow;
}

void tv_writer_wake(struct tv_conn *conn, struct tv_flow *flow, unsigned wants) {
    pthread_mutex_lock(&conn->lock);
    for (enum tv_ring ring = 0; ring < TV_RING_COUNT && conn->phase == TV_CONN_OPEN; ring++)
        if (wants & 1u << ring)
            ring_add(conn, flow, ring);
    pthread_mutex_unlock(&conn->lock);
}

/* Takes the first flow out of a ring; the caller gets a reference. */
static struct tv_flow *ring_pop(struct tv_conn *conn, enum tv_ring ring) {
    struct tv_writer *writer = &conn->writer;
    struct tv_flow *flow = writer->rings[ring].first;
    if (flow == NULL)
        return NULL;
    writer->rings[ring].first = flow->next[ring];
    if (writer->rings[ring].first == NULL)
        writer->rings[ring].last = NULL;
    flow->wants &= ~(1u << ring);
    if (flow->wants != 0) /* the other ring keeps its reference */
        flow->ops->acquire(flow);
    return flow;
}

void tv_writer_drop_flows(struct tv_conn *conn) {
    for (enum tv_ring ring = 0; ring < TV_RING_COUNT; ring++) {
        for (;;) {
            pthread_mutex_lock(&conn->lock);
            struct tv_flow *flow = ring_pop(conn, ring);
            pthread_mutex_unlock(&conn->lock);
            if (flow == NULL)
                break;
            flow->ops->release(flow);
        }
    }
}

/* ---- an operation; the pump's alone ---- */

static void append(struct tv_writer *writer, void *bytes, size_t count) {
    struct iovec *last = writer->iov_count > 0 ? &writer->iov[writer->iov_count - 1] : NULL;
    if (last != NULL && (char *)last->iov_base + last->iov_len == (char *)bytes)
        last->iov_len += count;
    else
        writer->iov[writer->iov_count++] = (struct iovec){bytes, count};
    writer->operation_bytes += count;
}

/* What tv_conn_send has queued. Under the lock. */
static void take_pushed(struct tv_conn *conn) {
    struct tv_writer *writer = &conn->writer;
    struct tv_unsent **tail = &writer->sending;
    while (writer->unsent_first != NULL && writer->iov_count < TV_IOV_MAX && writer->operation_bytes < OPERATION_BYTES &&
           !writer->operation_ends_plain) {
        struct tv_unsent *block = writer->unsent_first;
        writer->unsent_first = block->next;
        if (writer->unsent_first == NULL)
            writer->unsent_last = NULL;
        writer->unsent_bytes -= sizeof *block + block->capacity;
        block->next = NULL;
        *tail = block;
        tail = &block->next;
        append(writer, block->data, block->bytes);
        writer->operation_frames += block->frames;
        writer->operation_ends_plain = block->ends_plain;
    }
}

/* The blocks of the operation before are spare again. Under the lock; returns those that are too many, for free_blocks. */
static struct tv_unsent *take_back_sent(struct tv_writer *writer) {
    struct tv_unsent *excess = NULL;
    while (writer->sending != NULL) {
        struct tv_unsent *block = writer->sending;
        writer->sending = block->next;
        if (block->capacity == TV_STAGING_BYTES && writer->spare_count < TV_SPARE_BLOCKS) {
            writer->spare[writer->spare_count++] = block;
        } else {
            block->next = excess;
            excess = block;
        }
    }
    return excess;
}

static void append_pulled(struct tv_conn *conn, struct tv_flow *flow, struct tv_pulled *pulled) {
    struct tv_writer *writer = &conn->writer;
    uint8_t *at = writer->pulled + writer->pulled_bytes;
    size_t packed = pack(conn, &pulled->frame, pulled->payload_bytes, at, TV_STAGING_BYTES - writer->pulled_bytes);
    TV_ASSERT(packed > 0 && pulled->iov_count <= TV_DATA_PIECES_MAX + 1);
    TV_ASSERT(tv_iov_bytes(pulled->iov, pulled->iov_count) == pulled->payload_bytes);
    writer->pulled_bytes += packed;
    writer->operation_frames++;
    if (pulled->payload_bytes <= TV_STAGED_PAYLOAD_BYTES) {
        writer->pulled_bytes += tv_iov_get(pulled->iov, pulled->iov_count, 0, at + packed, pulled->payload_bytes);
        append(writer, at, packed + pulled->payload_bytes);
        TV_COUNT(conn, payload_staged, pulled->payload_bytes);
        if (pulled->cookie != NULL)
            flow->ops->sent(flow, pulled->cookie);
        return;
    }
    append(writer, at, packed);
    for (unsigned i = 0; i < pulled->iov_count; i++)
        append(writer, pulled->iov[i].iov_base, pulled->iov[i].iov_len);
    if (pulled->cookie != NULL) {
        TV_ASSERT(writer->in_flight.flow == NULL);
        flow->ops->acquire(flow);
        writer->in_flight = (struct tv_in_flight){flow, pulled->cookie};
    }
}

/* Small enough that a slow link isn't blocked by one frame for long, and never more than was agreed on. */
static uint64_t frame_payload_max(const struct tv_conn *conn) {
    uint64_t bytes = conn->payload_bytes_max;
    if (conn->writer.rate > 0 && conn->writer.rate < bytes * 1000 / FRAME_MS)
        bytes = conn->writer.rate * FRAME_MS / 1000;
    if (bytes < FRAME_BYTES_MIN)
        bytes = FRAME_BYTES_MIN;
    return bytes < conn->payload_bytes_max ? bytes : conn->payload_bytes_max;
}

/* What streams have to say still goes out before the connection is closed, their data doesn't. Under the lock. */
static bool may_pull(const struct tv_conn *conn, enum tv_ring ring) {
    return conn->phase == TV_CONN_OPEN || (conn->phase == TV_CONN_FLUSHING && ring == TV_RING_CONTROL);
}

/* Whether there is anything to send. Under the lock. */
static bool has_work(const struct tv_conn *conn) {
    const struct tv_writer *writer = &conn->writer;
    return (conn->phase <= TV_CONN_FLUSHING && writer->unsent_first != NULL) ||
           (writer->rings[TV_RING_CONTROL].first != NULL && may_pull(conn, TV_RING_CONTROL)) ||
           (writer->rings[TV_RING_DATA].first != NULL && may_pull(conn, TV_RING_DATA));
}

/* Asks the next flow for a frame, those with control frames first. False: there is none, or something goes before it. */
static bool pull_one(struct tv_conn *conn) {
    pthread_mutex_lock(&conn->lock);
    /* What was queued meanwhile goes first, in the next operation: a welcome isn't overtaken by what it leads to. */
    bool queued = conn->writer.unsent_first != NULL;
    bool control = conn->writer.rings[TV_RING_CONTROL].first != NULL;
    enum tv_ring ring = control ? TV_RING_CONTROL : TV_RING_DATA;
    struct tv_flow *flow = !queued && may_pull(conn, ring) ? ring_pop(conn, ring) : NULL;
    uint64_t payload_bytes_max = frame_payload_max(conn);
    pthread_mutex_unlock(&conn->lock);
    if (flow == NULL)
        return false;
    struct tv_pulled pulled;
    trove__v1__frame__init(&pulled.frame);
    pulled.payload_bytes = 0;
    pulled.iov_count = 0;
    pulled.cookie = NULL;
    bool filled = control ? flow->ops->pull_control(flow, &pulled) : flow->ops->pull_data(flow, payload_bytes_max, &pulled);
    if (filled) {
        append_pulled(conn, flow, &pulled);
        pthread_mutex_lock(&conn->lock);
        if (may_pull(conn, ring))
            ring_add(conn, flow, ring);
        pthread_mutex_unlock(&conn->lock);
    }
    flow->ops->release(flow);
    return true;
}

static bool has_room(const struct tv_writer *writer) {
    return writer->operation_bytes < OPERATION_BYTES && writer->iov_count + FRAME_IOV_MAX <= TV_IOV_MAX &&
           writer->pulled_bytes + HEADER_ROOM + TV_STAGED_PAYLOAD_BYTES <= TV_STAGING_BYTES;
}

static void build_operation(struct tv_conn *conn) {
    struct tv_writer *writer = &conn->writer;
    writer->iov_first = writer->iov_count = 0;
    writer->operation_bytes = 0;
    writer->operation_frames = 0;
    writer->pulled_bytes = 0;
    writer->operation_ends_plain = false;
    pthread_mutex_lock(&conn->lock);
    if (writer->plain_sent)
        writer->sealer = writer->sealer_next;
    struct tv_unsent *excess = take_back_sent(writer);
    take_pushed(conn);
    pthread_mutex_unlock(&conn->lock);
    free_blocks(excess);
    while (!writer->operation_ends_plain && has_room(writer) && pull_one(conn))
        continue;
}

static void finish_operation(struct tv_conn *conn) {
    struct tv_in_flight done = conn->writer.in_flight;
    if (done.flow == NULL)
        return;
    conn->writer.in_flight.flow = NULL;
    done.flow->ops->sent(done.flow, done.cookie);
    done.flow->ops->release(done.flow);
}

/* ---- the pump ---- */

static void put_scratch(struct tv_conn *conn) {
    if (conn->writer.scratch != NULL)
        tv_secure_scratch_put(conn->secure, conn->writer.scratch);
    conn->writer.scratch = NULL;
}

/* Seals the beginning of what the operation has left. The plain bytes stay as they are: they may have to be sent again. */
static trove_status seal(struct tv_conn *conn, trove_error *error) {
    struct tv_writer *writer = &conn->writer;
    const struct iovec *iov = writer->iov + writer->iov_first;
    unsigned count = writer->iov_count - writer->iov_first;
    size_t octet = conn->transport->type_octet ? 1 : 0;
    writer->scratch = tv_secure_scratch_get(conn->secure, tv_iov_bytes(iov, count));
    if (writer->scratch == NULL)
        return TV_FAIL(error, RESOURCE_EXHAUSTED, "no memory to encrypt a message in");
    uint8_t *out = writer->scratch->data;
    size_t framing = octet + sizeof(uint64_t);
    size_t sealed_bytes = 0;
    trove_status status = tv_records_seal(writer->sealer, iov, count, out + framing, writer->scratch->capacity - framing,
                                          &writer->scratch_plain, &sealed_bytes, error);
    uint64_t length = htobe64(sealed_bytes);
    out[0] = 1; /* of ipc; the length's first byte is written over it otherwise */
    memcpy(out + octet, &length, sizeof length);
    writer->scratch_at = 0;
    writer->scratch_bytes = framing + sealed_bytes;
    return status;
}

/* Sends what the operation has left, or seals the next message of it and sends that. False: the connection is closed. */
static bool submit(struct tv_conn *conn) {
    struct tv_writer *writer = &conn->writer;
    struct iovec sealed;
    const struct iovec *iov = writer->iov + writer->iov_first;
    unsigned count = writer->iov_count - writer->iov_first;
    if (writer->sealer != NULL) {
        trove_error error;
        if (writer->scratch == NULL && seal(conn, &error) != TROVE_OK) {
            put_scratch(conn);
            tv_conn_abort(conn, &error);
            return false;
        }
        sealed = (struct iovec){writer->scratch->data + writer->scratch_at, writer->scratch_bytes - writer->scratch_at};
        iov = &sealed;
        count = 1;
    }
    if (!tv_conn_submit_begin(conn)) {
        put_scratch(conn);
        return false;
    }
    conn->transport->ops->send(conn->transport, iov, count);
    tv_conn_submit_end(conn);
    return true;
}

/* Of a sealed message so many bytes have gone. Returns how many bytes of the operation that were: all at once, with the last. */
static size_t count_sealed(struct tv_conn *conn, size_t bytes) {
    struct tv_writer *writer = &conn->writer;
    writer->scratch_at += bytes;
    if (writer->scratch_at < writer->scratch_bytes)
        return 0;
    put_scratch(conn);
    return writer->scratch_plain;
}

/* Nothing to send: gives the role back, unless something has come meanwhile. Returns whether the role was given back. */
static bool rest(struct tv_conn *conn) {
    bool close = false;
    pthread_mutex_lock(&conn->lock);
    bool stays = has_work(conn);
    if (!stays) {
        TV_ASSERT(!conn->parked); /* or much would be unsent */
        conn->sending = false;
        conn->sent_since_ns = 0;
        if (conn->phase == TV_CONN_FLUSHING && conn->reason.status != TROVE_OK) {
            tv_conn_move(conn, TV_CONN_LINGERING);
        } else if (conn->phase == TV_CONN_FLUSHING) {
            close = tv_conn_begin_closing(conn, &conn->reason);
        }
    }
    pthread_mutex_unlock(&conn->lock);
    if (close)
        conn->transport->ops->close(conn->transport);
    return !stays;
}

/* The receive loop and the owner may go on when the peer has taken enough of what was answered. */
static void tell_of_room(struct tv_conn *conn) {
    pthread_mutex_lock(&conn->lock);
    bool room = conn->writer.unsent_bytes < TV_UNSENT_BYTES_MAX / 2;
    bool unpark = room && conn->parked;
    bool uncrowd = room && conn->crowded;
    if (unpark) {
        conn->parked = false;
        atomic_store_explicit(&conn->heard_ns, tv_now_ns(), memory_order_relaxed); /* it has read all the while */
    }
    conn->crowded &= !room;
    pthread_mutex_unlock(&conn->lock);
    if (unpark)
        tv_reader_submit(conn);
    if (uncrowd)
        conn->handler->drained(conn->context);
}

/* Has the role. */
static void pump(struct tv_conn *conn) {
    for (;;) {
        build_operation(conn);
        if (conn->writer.operation_bytes == 0) {
            if (rest(conn)) {
                tv_conn_maybe_closed(conn);
                return;
            }
            continue;
        }
        conn->writer.submitted_ns = tv_now_ns();
        pthread_mutex_lock(&conn->lock);
        conn->sent_since_ns = conn->writer.submitted_ns;
        pthread_mutex_unlock(&conn->lock);
        if (submit(conn))
            return; /* the role goes on in tv_writer_sent */
        finish_operation(conn);
    }
}

void tv_writer_kick(struct tv_conn *conn) {
    pthread_mutex_lock(&conn->lock);
    bool wanted = has_work(conn) || conn->phase == TV_CONN_FLUSHING; /* to flush leads on even with nothing to send */
    /* What a handler sends goes out when its batch of frames is done. */
    bool later = conn->handling && pthread_equal(conn->handler_thread, pthread_self());
    bool take = wanted && !conn->sending && !later;
    if (take)
        conn->sending = true;
    pthread_mutex_unlock(&conn->lock);
    if (take)
        pump(conn);
}

/* Smooths over some eight operations; small ones say more about scheduling than about the link. */
static void measure(struct tv_writer *writer) {
    uint64_t took_ns = tv_now_ns() - writer->submitted_ns;
    if (writer->operation_bytes < FRAME_BYTES_MIN || took_ns == 0)
        return;
    uint64_t rate = (uint64_t)((double)writer->operation_bytes * 1e9 / (double)took_ns);
    writer->rate = writer->rate == 0 ? rate : writer->rate - writer->rate / 8 + rate / 8;
}

void tv_writer_sent(void *context, trove_status status, size_t bytes) {
    struct tv_conn *conn = context;
    struct tv_writer *writer = &conn->writer;
    if (status != TROVE_OK) {
        trove_error lost = {TROVE_UNAVAILABLE, "the connection was lost"};
        tv_conn_abort(conn, &lost);
        put_scratch(conn);
        finish_operation(conn);
        pump(conn); /* finds the phase changed, and rests */
        return;
    }
    TV_COUNT(conn, bytes_sent, bytes);
    if (writer->scratch != NULL)
        bytes = count_sealed(conn, bytes);
    tv_iov_advance(writer->iov, writer->iov_count, &writer->iov_first, bytes);
    if (writer->iov_first < writer->iov_count) {
        pthread_mutex_lock(&conn->lock);
        conn->sent_since_ns = tv_now_ns(); /* progress */
        pthread_mutex_unlock(&conn->lock);
        if (submit(conn))
            return;
    } else {
        TV_COUNT(conn, frames_sent, writer->operation_frames);
        measure(writer);
        writer->plain_sent |= writer->operation_ends_plain;
    }
    finish_operation(conn);
    tell_of_room(conn);
    pump(conn);
}
