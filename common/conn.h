/* conn.h - a connection: frames in, frames out, over one transport. Both ends use the same code.
 *
 * Reading: bytes come into a small staging area; a frame's header is unpacked there, then the handler says where the payload goes
 * (`sink`), and the rest of it is read straight to that place. Of each payload at most the staging size is copied, and counted.
 * Writing: small frames are packed into staging by whoever sends them. Streams don't queue frames at all: they raise a flag
 * (tv_conn_wake), and when the transport is ready for more, the connection asks them in turn for their next frame (`pull`): first
 * every stream's control frames, then data round robin. So acknowledgements and control overtake data, streams are treated alike,
 * and the queue is bounded by construction. (Rejected: a queue of ready frames; it needs a bound, a policy when it is full, and
 * a decision on fragment sizes long before the bytes go out.)
 *
 * Threads: handler functions run on the transport's receiving thread, one at a time per connection; pulls run on whatever thread
 * pumps, one at a time per connection, perhaps at the same time as a handler function. No lock of the connection is held while
 * either runs (but while a flow's `acquire` does); the owner brings its own. All functions here may be called from any thread and
 * from both kinds of callback, except tv_conn_establish and tv_conn_destroy. None blocks, except tv_conn_destroy.
 * tv_conn_send, tv_conn_wake and tv_conn_shutdown may pump, that is call pulls, before they return: the caller must not hold a
 * lock that its pull functions take. (From within a handler function they only mark: what a batch of frames leads to goes out
 * together at its end.)
 */
#ifndef TV_CONN_H
#define TV_CONN_H

#include "data.h"
#include "frame.h"
#include "secure.h"
#include "transport.h"

struct tv_conn;
struct tv_flow;

/* Where a payload goes. */
enum tv_sink_kind {
    TV_SINK_DISCARD,
    TV_SINK_MEMORY,  /* to `iov`, which holds exactly the payload; valid until `frame` is called or the connection is closed */
    TV_SINK_MESSAGE, /* the connection keeps it together; at most TV_MESSAGE_BYTES_MAX, else it is discarded */
};

struct tv_sink {
    enum tv_sink_kind kind;
    unsigned iov_count;
    struct iovec iov[TV_DATA_PIECES_MAX + 1];
};

struct tv_conn_handler {
    /* A frame with a payload: fill in *sink (it is DISCARD). Not called for frames without. */
    void (*payload)(void *context, const tv_frame *frame, uint64_t payload_bytes, struct tv_sink *sink);
    /* A whole frame. `payload` points to its bytes for the sink MESSAGE, else it is NULL. Frame and payload are valid during the
     * call. An error that is returned ends the connection with it (go-away, lingering close). */
    trove_status (*frame)(void *context, const tv_frame *frame, const void *payload, uint64_t payload_bytes, trove_error *error);
    /* The connection has ended; the last call of all, exactly once. From now on nothing is read into a sink or from a pulled
     * frame's memory. Every `sent` has been called before it. */
    void (*closed)(void *context, const trove_error *why);
    /* tv_conn_crowded said yes, and there is room again. On the sending thread, under no lock. NULL for who never asks. */
    void (*drained)(void *context);
    /* A client's, where `secure` was given: the handshake is done, and what is sent from now on is encrypted; nothing was before.
     * On the receiving thread, under no lock. */
    void (*secured)(void *context);
    /* A client's that only asks: the public key that the server says to have; nothing else happens on the connection. On the
     * receiving thread, under no lock. NULL for who never asks. */
    void (*key_told)(void *context, const uint8_t key[TV_NOISE_KEY_BYTES]);
};

/* What streams have to send waits in two rings; the first goes before the second. */
enum tv_ring {
    TV_RING_CONTROL,
    TV_RING_DATA,
    TV_RING_COUNT
};

#define TV_WANTS_CONTROL (1u << TV_RING_CONTROL)
#define TV_WANTS_DATA    (1u << TV_RING_DATA)

/* What a stream embeds to send. The connection links it into its rings. */
struct tv_flow {
    const struct tv_flow_ops *ops;
    struct tv_flow *next[TV_RING_COUNT]; /* under the connection's lock, as the next one */
    unsigned wants;                      /* TV_WANTS_..: which rings it is in */
};

/* One frame to be filled in by a pull. `frame` is set up with TROVE__V1__FRAME__INIT; submessages must live in `scratch` or
 * outlive the pull; everything is packed right after the pull returns. */
struct tv_pulled {
    tv_frame frame;
    union {
        Trove__V1__Chunk chunk;
        Trove__V1__Ack ack;
        Trove__V1__Credit credit;
        Trove__V1__Demand demand;
        Trove__V1__Control control;
        Trove__V1__State state;
        Trove__V1__Complete complete;
        Trove__V1__Completed completed;
        Trove__V1__ChunkAbort chunk_abort;
        Trove__V1__Gap gap;
        Trove__V1__Opened opened;
        Trove__V1__Open open;
        Trove__V1__Status status;
    } scratch;
    Trove__V1__IndexRange range;
    Trove__V1__IndexRange *ranges[1];
    uint64_t payload_bytes; /* up to TV_STAGED_PAYLOAD_BYTES are copied, and `sent` is called at once */
    unsigned iov_count;
    struct iovec iov[TV_DATA_PIECES_MAX + 1];
    void *cookie; /* handed to `sent` when the transport no longer needs the payload's memory; NULL: no call */
};

struct tv_flow_ops {
    /* Fills in the flow's next control (or data) frame. Returns false if there is none: the flow leaves that ring, until it is
     * woken again. After true it stays, at the end. */
    bool (*pull_control)(struct tv_flow *flow, struct tv_pulled *pulled);
    bool (*pull_data)(struct tv_flow *flow, uint64_t payload_bytes_max, struct tv_pulled *pulled);
    /* The transport is done with a pulled frame's memory, sent or not. */
    void (*sent)(struct tv_flow *flow, void *cookie);
    /* The connection keeps flows that are in a ring or being pulled alive by these. `acquire` is called under the connection's
     * lock, for the flow must not be gone between being found and being held: it counts, and takes no lock. `release` may free
     * the flow. */
    void (*acquire)(struct tv_flow *flow);
    void (*release)(struct tv_flow *flow);
};

struct tv_conn_options {
    uint64_t payload_bytes_max; /* of an incoming frame, now; the greeting's limits until tv_conn_establish */
    struct tv_secure
        *secure;          /* to encrypt; a client's connection always is then, a server's if the client begins so. NULL: never */
    bool secure_required; /* of a server: plain connections are refused with UNAUTHENTICATED */
};

struct tv_conn_metrics {
    uint64_t frames_sent;
    uint64_t frames_received;
    uint64_t bytes_sent;
    uint64_t bytes_received;
    uint64_t payload_copied_bytes; /* received payload that went through staging */
    uint64_t payload_staged_bytes; /* sent payload that was packed into staging: small ones */
    uint64_t payload_received_bytes;
    uint64_t allocations; /* by the connection since it was created */
};

/* Takes the transport over (also on failure). Nothing happens before tv_conn_start. Errors: RESOURCE_EXHAUSTED. */
TROVE_WARN_UNUSED trove_status tv_conn_create(struct tv_transport *transport_move, const struct tv_conn_handler *handler,
                                              void *context, const struct tv_conn_options *options, struct tv_conn **conn,
                                              trove_error *error);
/* Sends the SP greeting and begins to read. */
void tv_conn_start(struct tv_conn *conn);
/* After `closed` has been called and every other call into the connection has come back, or before tv_conn_start; not from a
 * callback of this connection. Waits for completions of the transport that are still running. NULL is allowed. */
void tv_conn_destroy(struct tv_conn *conn);

/* The welcome has been agreed on: full limits from now on, and header checksums in both directions where `checksums` is set: on
 * what is packed after this call, and on what is read after the frame that is being handled. From now on the connection answers
 * pings by itself and asks a silent peer (keepalive_ms; 0: never). The server calls it right after it has sent the welcome, the
 * client while it handles it: only from a handler function, which the receive loop waits for, or before tv_conn_start; and before
 * the first wake. */
void tv_conn_establish(struct tv_conn *conn, uint64_t payload_bytes_max, uint32_t keepalive_ms, bool checksums);

/* Packs a frame and queues it before all data. The payload (at most TV_MESSAGE_BYTES_MAX) is copied.
 * Errors: UNAVAILABLE (closing); RESOURCE_EXHAUSTED (no memory, or TV_UNSENT_BYTES_CEILING is reached): then the connection is
 * ended, for its peer would wait for the frame in vain. */
TROVE_WARN_UNUSED trove_status tv_conn_send(struct tv_conn *conn, const tv_frame *frame, const void *payload,
                                            uint64_t payload_bytes, trove_error *error);

/* The same, but nothing goes out for it alone: it takes the next frames along, or a flush. For who answers many calls at once. */
TROVE_WARN_UNUSED trove_status tv_conn_queue(struct tv_conn *conn, const tv_frame *frame, const void *payload,
                                             uint64_t payload_bytes, trove_error *error);
/* Sends what was queued; any thread, under no lock that a pull takes. */
void tv_conn_flush(struct tv_conn *conn);

/* Whether the peer leaves so much unread of what tv_conn_send queued that nothing large should be added. If so, `drained` is
 * called when it has read most of it (unless the connection ends first). */
bool tv_conn_crowded(struct tv_conn *conn);

/* The flow has control frames or data (TV_WANTS_...) to be pulled. */
void tv_conn_wake(struct tv_conn *conn, struct tv_flow *flow, unsigned wants);

/* Ends the connection: what is queued by tv_conn_send goes out first, for TV_LINGER_MS at most. With a reason other than OK a
 * go-away that tells it follows, and incoming bytes are discarded until the peer closes, for TV_LINGER_MS and TV_LINGER_BYTES_MAX
 * at most; with OK the connection is closed. The times pass by tv_conn_tick, which the owner goes on calling until `closed`. */
void tv_conn_shutdown(struct tv_conn *conn, const trove_error *reason);
/* Ends it at once. */
void tv_conn_abort(struct tv_conn *conn, const trove_error *reason);

/* To be called about once a second by the owner's timer from tv_conn_start until `closed`: keep-alive, lingering, peers that
 * don't read. */
void tv_conn_tick(struct tv_conn *conn, uint64_t now_ns);

/* What the peer has begun, and how far it is. Any thread. */
struct tv_conn_progress {
    uint64_t bytes_received; /* ever, as the next one */
    uint64_t bytes_sent;
    bool receiving; /* a frame is half here */
    bool sending;   /* the transport has something for it to take */
};
void tv_conn_progress(struct tv_conn *conn, struct tv_conn_progress *progress);

/* The public key that the peer has, of an encrypted connection; NULL of a plain one. From a handler function. */
const uint8_t *tv_conn_peer_key(const struct tv_conn *conn);
const char *tv_conn_peer(const struct tv_conn *conn);
/* In `closed`: the peer has closed the connection, and not in the midst of a frame. */
bool tv_conn_left(const struct tv_conn *conn);
const struct tv_transport *tv_conn_transport(const struct tv_conn *conn);
uint64_t tv_conn_payload_bytes_max(struct tv_conn *conn);
void tv_conn_metrics(const struct tv_conn *conn, struct tv_conn_metrics *metrics);

#endif
