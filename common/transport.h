/* transport.h - byte streams: dialling, reading, writing; listening is in listener.h. The only modules that include nng.
 *
 * A transport is a full-duplex byte stream with one receive and one send under way at most. For ws, whose messages are frames of
 * their own, it makes itself look like tcp: each message reads as its 8-byte length and its bytes, and what is written is cut
 * into messages by these lengths (nng copies and masks there anyway).
 * A table of functions instead of nng's types, so that tests and the simulation can put a virtual network in its place.
 * Threads: completions run on nng's threads (or the simulation's), never inside the call that submitted. They must not block.
 */
#ifndef TV_TRANSPORT_H
#define TV_TRANSPORT_H

#include "bounds.h"
#include "status.h"

#include <pthread.h>
#include <sys/uio.h>

struct nng_aio;
struct tv_transport;

/* `bytes` > 0 on OK, else 0. The end of the stream and a local close are UNAVAILABLE. */
typedef void (*tv_transport_done)(void *context, trove_status status, size_t bytes);

struct tv_transport_ops {
    /* Receives at least one byte. iov_count is 1 to TV_IOV_MAX; the iov array is copied, the memory borrowed until `done`. */
    void (*receive)(struct tv_transport *transport, const struct iovec *iov, unsigned iov_count);
    /* Sends at least one byte; may be fewer than given. What is given consists of whole messages, or of what is left of such. */
    void (*send)(struct tv_transport *transport, const struct iovec *iov, unsigned iov_count);
    /* What is under way completes with UNAVAILABLE. Any thread, completions too. Nothing may be submitted afterwards, nor may
     * a submission be under way at the same moment (the caller sees to it). */
    void (*close)(struct tv_transport *transport);
    /* After close; not from a completion. Waits for running completions. */
    void (*destroy)(struct tv_transport *transport);
};

struct tv_transport {
    const struct tv_transport_ops *ops;
    tv_transport_done on_received;
    tv_transport_done on_sent;
    void *context;    /* handed to both; set by the connection before its first submission */
    bool type_octet;  /* each message is preceded by an octet 1 (nng's ipc mapping) */
    bool no_greeting; /* ws: its subprotocol stands for the SP greeting */
    char peer[128];   /* for logs: address, or "pid 12 uid 34" */
    char *origin;     /* ws: the web page that connects, as its browser says; NULL: none. The transport's */
    /* ipc: the peer's credentials; otherwise has_credentials is false */
    bool has_credentials;
    uint64_t peer_uid;
    uint64_t peer_pid;
};

/* By which another thread ends a dial. One dial at a time. */
struct tv_dialling {
    pthread_mutex_t lock;
    /* under the lock */
    struct nng_aio *aio; /* of the one under way; NULL: none is */
    bool ended;
};

void tv_dialling_init(struct tv_dialling *dialling);
void tv_dialling_fini(struct tv_dialling *dialling);
/* Ends the dial under way, and each later one at its beginning. Any thread; doesn't wait. */
void tv_dialling_end(struct tv_dialling *dialling);

/* Dials tcp://, ipc://, ws://. Blocks up to timeout_ms; `dialling` may be NULL. Errors: INVALID_ARGUMENT (URL), UNAVAILABLE,
 * DEADLINE_EXCEEDED, CANCELLED (by tv_dialling_end). */
TROVE_WARN_UNUSED trove_status tv_transport_dial(const char *url, uint32_t timeout_ms, struct tv_dialling *dialling,
                                                 struct tv_transport **transport, trove_error *error);

#endif
