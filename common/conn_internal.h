/* conn_internal.h - what conn.c (life and death), conn_read.c and conn_write.c share. See conn.h.
 *
 * Phases: OPEN -> (shutdown) FLUSHING -> LINGERING -> CLOSING -> CLOSED; an abort or a lost peer goes to CLOSING directly.
 *   FLUSHING   what is queued goes out, nothing new is accepted, nothing more is handled
 *   LINGERING  incoming bytes are discarded, so that the peer gets to read why
 *   CLOSING    the transport is closed; waiting for what is under way to come back
 *   CLOSED     neither direction has anything under way; `closed` was called
 *
 * The write half is a role: whoever finds `sending` false and something to send sets it and pumps; the role goes on through the
 * completions until nothing is left. The receive half is a loop that one receive after the other keeps going; it is `receiving`
 * from start to end, also while it is parked because the peer doesn't take what was answered. It is parked only while the write
 * half has its role, so that an end always finds something under way whose return calls `closed`.
 */
#ifndef TV_CONN_INTERNAL_H
#define TV_CONN_INTERNAL_H

#include "conn.h"
#include "record_reader.h"

#include <pthread.h>
#include <stdatomic.h>

#define TV_GREETING_BYTES   8
#define TV_PREFIX_BYTES_MAX 9 /* type octet (ipc), 64-bit length */

enum tv_conn_phase {
    TV_CONN_OPEN,
    TV_CONN_FLUSHING,
    TV_CONN_LINGERING,
    TV_CONN_CLOSING,
    TV_CONN_CLOSED,
    TV_CONN_PHASE_COUNT
};

enum tv_read_state {
    TV_READ_GREETING,
    TV_READ_PREFIX,
    TV_READ_HEADER,
    TV_READ_PAYLOAD,
    TV_READ_WHOLE, /* a message whose payload isn't its last field */
};

/* Packed frames, one behind the other. A block has TV_STAGING_BYTES, or what one larger frame needs. */
struct tv_unsent {
    struct tv_unsent *next;
    size_t capacity;
    size_t bytes;
    uint64_t frames;
    bool ends_plain; /* behind it everything is sealed */
    bool is_pages;   /* one of those that the connection began with */
    uint8_t data[];
};

#define TV_SPARE_BLOCKS 2

struct tv_handshake; /* conn_secure.c */

/* An encrypted connection's, in memory of secret.h. */
struct tv_secure_keys {
    struct tv_noise_cipher send;    /* the pump's alone */
    struct tv_noise_cipher receive; /* the receive loop's alone */
    uint8_t peer_key[TV_NOISE_KEY_BYTES];
};

/* The pulled frame whose payload the transport reads. */
struct tv_in_flight {
    struct tv_flow *flow; /* NULL: there is none */
    void *cookie;
};

struct tv_reader {
    enum tv_read_state state;
    uint8_t *staging;
    size_t begin;
    size_t end;
    size_t staging_limit; /* how much of staging the next receive may fill: little behind large payloads */
    uint64_t message_bytes;
    struct tv_frame_layout layout;
    struct tv_arena arena;
    tv_frame *frame;
    struct tv_sink sink;
    unsigned sink_at; /* first of sink.iov that isn't full */
    uint64_t payload_left;
    uint8_t *message; /* heap: a MESSAGE payload that didn't fit staging, or a WHOLE message */
    size_t message_have;
    const uint8_t *payload; /* MESSAGE: where it is, once complete */
    uint64_t payload_bytes_max;
    uint64_t header_bytes_max;
    bool checksums;
    bool checksums_next; /* from the next frame on */
    bool established;
    struct tv_record_reader *records; /* NULL: what comes is plain */
};

struct tv_writer {
    bool checksums; /* constant from before anything is pulled: see tv_conn_establish */

    /* under the lock: packed by tv_conn_send while an operation is under way */
    struct tv_unsent *unsent_first;
    struct tv_unsent *unsent_last; /* the one that is being filled */
    uint64_t unsent_bytes;         /* of memory, in all of them */
    struct tv_unsent *spare[TV_SPARE_BLOCKS];
    unsigned spare_count;
    struct {
        struct tv_flow *first;
        struct tv_flow *last;
    } rings[TV_RING_COUNT];

    struct tv_noise_cipher *sealer_next; /* set once there are keys */

    /* the pump's alone */
    struct tv_noise_cipher *sealer; /* NULL: what goes is plain */
    bool operation_ends_plain;
    bool plain_sent;            /* the last plain message has gone */
    struct tv_scratch *scratch; /* a sealed message that the transport has; NULL: none */
    size_t scratch_at;          /* how much of it has gone */
    size_t scratch_bytes;
    size_t scratch_plain; /* how much of the operation it stands for */
    uint8_t *pulled;      /* headers and small payloads of pulled frames */
    size_t pulled_bytes;
    struct iovec iov[TV_IOV_MAX];
    unsigned iov_first; /* of what the transport hasn't taken yet */
    unsigned iov_count;
    uint64_t operation_bytes;
    uint64_t operation_frames;
    uint64_t submitted_ns;
    struct tv_in_flight in_flight;
    struct tv_unsent *sending; /* part of the operation, or of the one before that is done */
    uint64_t rate;             /* bytes a second, smoothed; 0: not known */
};

struct tv_conn {
    /* constant after creation */
    struct tv_transport *transport;
    const struct tv_conn_handler *handler;
    void *context;
    struct tv_secure *secure; /* NULL: never encrypted */
    size_t prefix_bytes;      /* but once, see conn_secure.c */

    struct tv_reader reader;        /* the receive loop's alone */
    struct tv_handshake *handshake; /* the same; NULL: none, or it is done */
    struct tv_secure_keys *keys;    /* the same; NULL: plain */

    pthread_mutex_t lock;
    /* under the lock */
    enum tv_conn_phase phase;
    bool receiving;
    bool parked;  /* the receive loop waits for the peer to take answers */
    bool crowded; /* the owner does, too */
    bool sending;
    bool handling; /* handler functions are being called, by `handler_thread` */
    pthread_t handler_thread;
    unsigned submitting; /* calls into the transport that are running: closing waits for them */
    bool close_pending;
    bool closed_called;
    bool peer_left; /* it has closed between two frames; constant when `closed` is called */
    trove_error reason;
    uint64_t payload_bytes_max;
    uint32_t keepalive_ms; /* 0: a silent peer isn't asked: it was told not to be, or isn't established */
    uint64_t phase_since_ns;
    uint64_t sent_since_ns; /* when the operation under way was submitted; 0: none */
    uint64_t lingered_bytes;
    uint64_t asked_ns; /* whether it is still there, for the last time; 0: never */
    struct tv_writer writer;

    /* atomic */
    atomic_bool open;          /* the phase is OPEN: what comes is handled. Written under the lock */
    atomic_bool mid_frame;     /* the receive under way is to bring more of one. The receive loop writes it */
    _Atomic uint64_t heard_ns; /* when the last byte came */
    struct {
        _Atomic uint64_t frames_sent, frames_received, bytes_sent, bytes_received;
        _Atomic uint64_t payload_copied, payload_staged, payload_received, allocations;
    } count;
};

#define TV_COUNT(conn, what, by) atomic_fetch_add_explicit(&(conn)->count.what, (by), memory_order_relaxed)

/* conn.c */
extern const uint8_t tv_sp_greeting[TV_GREETING_BYTES];
/* The one place where the phase changes. Under the lock. */
void tv_conn_move(struct tv_conn *conn, enum tv_conn_phase phase);
/* Goes to CLOSING. Under the lock; returns true if the caller must close the transport after unlocking. */
bool tv_conn_begin_closing(struct tv_conn *conn, const trove_error *why);
/* After a half has stopped: calls `closed` when both have. No lock. */
void tv_conn_maybe_closed(struct tv_conn *conn);
/* Brackets for calls into the transport: false if it is closed or about to be. */
bool tv_conn_submit_begin(struct tv_conn *conn);
void tv_conn_submit_end(struct tv_conn *conn);

/* conn_read.c */
TROVE_WARN_UNUSED trove_status tv_reader_init(struct tv_conn *conn, trove_error *error);
void tv_reader_fini(struct tv_conn *conn);
void tv_reader_submit(struct tv_conn *conn);
void tv_reader_received(void *context, trove_status status, size_t bytes);

/* conn_secure.c */
TROVE_WARN_UNUSED trove_status tv_conn_secure_create(struct tv_conn *conn, const struct tv_conn_options *options,
                                                     trove_error *error);
void tv_conn_secure_destroy(struct tv_conn *conn);
/* Behind the greeting; before anything is received. */
void tv_conn_secure_start(struct tv_conn *conn);
/* A frame while there is a handshake, whose message is `raw`. Not *taken: it is for the handler, as ever. */
TROVE_WARN_UNUSED trove_status tv_conn_secure_frame(struct tv_conn *conn, const tv_frame *frame, const void *raw,
                                                    size_t raw_bytes, bool *taken, trove_error *error);

/* conn_write.c */
TROVE_WARN_UNUSED trove_status tv_writer_init(struct tv_conn *conn, trove_error *error);
void tv_writer_fini(struct tv_conn *conn);
void tv_writer_sent(void *context, trove_status status, size_t bytes);
/* Packs a frame behind what is queued. Under the lock. Errors: RESOURCE_EXHAUSTED (memory, or TV_UNSENT_BYTES_CEILING). */
TROVE_WARN_UNUSED trove_status tv_writer_push(struct tv_conn *conn, const tv_frame *frame, const void *payload,
                                              uint64_t payload_bytes, trove_error *error);
/* What was pushed last is the last plain message. Under the lock. */
void tv_writer_end_plain(struct tv_conn *conn);
/* Queues bytes as they are. Under the lock; before any frame (greeting). */
void tv_writer_push_raw(struct tv_conn *conn, const void *bytes, size_t count);
/* Puts a flow into the rings. No lock. */
void tv_writer_wake(struct tv_conn *conn, struct tv_flow *flow, unsigned wants);
/* Takes the role if it is free and something is to be sent, and pumps. No lock. */
void tv_writer_kick(struct tv_conn *conn);
/* Takes all flows out of the rings. Under no lock; phase must be past OPEN. */
void tv_writer_drop_flows(struct tv_conn *conn);

#endif
