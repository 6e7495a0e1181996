/* transport.c - dialling, and byte streams over nng_stream. See transport.h; listening is in listener.c.
 *
 * Facts of nng that this is built around: one send may be under way per stream; a receive that is submitted after a local close
 * never completes (so the connection above never does that); aios must not be freed in their own callbacks; in ws's message mode
 * a received nng_msg stays on the aio until it is taken off.
 */
#include "iov.h"
#include "transport_nng.h"
#include "url.h"

#include <arpa/inet.h>
#include <endian.h>
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#define LENGTH_BYTES 8 /* SP: each message is preceded by its length, 64 bits, big-endian */

struct nng_transport {
    struct tv_transport base;
    nng_stream *stream;
    nng_aio *receive_aio;
    nng_aio *send_aio;
    bool messages; /* ws */

    /* ws; receiving side: a message that is being handed out, and how much of length and body was */
    nng_msg *incoming;
    size_t incoming_at;
    struct iovec wanted[TV_IOV_MAX];
    unsigned wanted_count;
    unsigned wanted_at; /* the first one that has room */
    size_t handed_out;  /* by the receive that is completing */
    /* ws; sending side: bytes of the caller's that the message under way stands for */
    size_t sending_bytes;
};

trove_status tv_nng_error(trove_error *error, int code, const char *what, const char *url) {
    switch (code) {
    case NNG_ETIMEDOUT:
        return TV_FAIL(error, DEADLINE_EXCEEDED, "%s%s: no answer within the time given", what, url);
    case NNG_ENOMEM:
    case NNG_ENOFILES:
        return TV_FAIL(error, RESOURCE_EXHAUSTED, "%s%s: %s", what, url, nng_strerror(code));
    case NNG_EINVAL:
    case NNG_EADDRINVAL:
    case NNG_ENOTSUP:
        return TV_FAIL(error, INVALID_ARGUMENT, "%s%s: not an address that can be used (%s); addresses look like " TV_URL_FORMS,
                       what, url, nng_strerror(code));
    case NNG_EADDRINUSE:
        return TV_FAIL(error, ALREADY_EXISTS, "%s%s: another server has this address", what, url);
    case NNG_EPERM:
        return TV_FAIL(error, PERMISSION_DENIED, "%s%s: %s", what, url, nng_strerror(code));
    default:
        return TV_FAIL(error, UNAVAILABLE, "%s%s: %s", what, url, nng_strerror(code));
    }
}

/* ---- ws: messages as a byte stream ---- */

static size_t copy_to_wanted(struct nng_transport *self, const void *from, size_t bytes) {
    return tv_iov_put(self->wanted, self->wanted_count, &self->wanted_at, from, bytes);
}

/* Hands out as much of the incoming message as fits, its length first. */
static size_t hand_out(struct nng_transport *self) {
    size_t before = self->incoming_at;
    size_t body_bytes = nng_msg_len(self->incoming);
    if (self->incoming_at < LENGTH_BYTES) {
        uint64_t length = htobe64(body_bytes);
        self->incoming_at += copy_to_wanted(self, (char *)&length + self->incoming_at, LENGTH_BYTES - self->incoming_at);
    }
    if (self->incoming_at >= LENGTH_BYTES) {
        size_t at = self->incoming_at - LENGTH_BYTES;
        self->incoming_at += copy_to_wanted(self, (char *)nng_msg_body(self->incoming) + at, body_bytes - at);
    }
    size_t handed_out = self->incoming_at - before;
    if (self->incoming_at == LENGTH_BYTES + body_bytes) {
        nng_msg_free(self->incoming);
        self->incoming = NULL;
    }
    return handed_out;
}

static void receive_message(struct nng_transport *self, const struct iovec *iov, unsigned iov_count) {
    memcpy(self->wanted, iov, iov_count * sizeof *iov);
    self->wanted_count = iov_count;
    self->wanted_at = 0;
    self->handed_out = 0;
    if (self->incoming == NULL) {
        nng_stream_recv(self->stream, self->receive_aio);
        return;
    }
    /* What is left of the last message completes like a receive: on nng's thread, never inside this call. */
    self->handed_out = hand_out(self);
    if (nng_aio_begin(self->receive_aio))
        nng_aio_finish(self->receive_aio, 0);
}

/* The first message of what is given; the caller comes back with the rest. */
static void send_message(struct nng_transport *self, const struct iovec *iov, unsigned iov_count) {
    uint64_t length = 0;
    size_t have = tv_iov_get(iov, iov_count, 0, &length, sizeof length);
    TV_ASSERT(have == sizeof length);
    length = be64toh(length);
    nng_msg *message = NULL;
    int code = nng_msg_alloc(&message, length);
    if (code != 0) {
        if (nng_aio_begin(self->send_aio))
            nng_aio_finish(self->send_aio, code);
        return;
    }
    have = tv_iov_get(iov, iov_count, LENGTH_BYTES, nng_msg_body(message), length);
    TV_ASSERT(have == length);
    self->sending_bytes = LENGTH_BYTES + length;
    nng_aio_set_msg(self->send_aio, message);
    nng_stream_send(self->stream, self->send_aio);
}

/* ---- the operations ---- */

static void set_iov(nng_aio *aio, const struct iovec *iov, unsigned iov_count) {
    nng_iov list[TV_IOV_MAX];
    for (unsigned i = 0; i < iov_count; i++)
        list[i] = (nng_iov){.iov_buf = iov[i].iov_base, .iov_len = iov[i].iov_len};
    int code = nng_aio_set_iov(aio, iov_count, list);
    TV_ASSERT(code == 0);
}

static void transport_receive(struct tv_transport *transport, const struct iovec *iov, unsigned iov_count) {
    struct nng_transport *self = (struct nng_transport *)transport;
    if (self->messages) {
        receive_message(self, iov, iov_count);
        return;
    }
    set_iov(self->receive_aio, iov, iov_count);
    nng_stream_recv(self->stream, self->receive_aio);
}

static void transport_send(struct tv_transport *transport, const struct iovec *iov, unsigned iov_count) {
    struct nng_transport *self = (struct nng_transport *)transport;
    if (self->messages) {
        send_message(self, iov, iov_count);
        return;
    }
    set_iov(self->send_aio, iov, iov_count);
    nng_stream_send(self->stream, self->send_aio);
}

static void on_received(void *argument) {
    struct nng_transport *self = argument;
    int code = nng_aio_result(self->receive_aio);
    size_t bytes = 0;
    if (code == 0 && !self->messages)
        bytes = nng_aio_count(self->receive_aio);
    if (code == 0 && self->messages) {
        if (self->handed_out == 0) {
            self->incoming = nng_aio_get_msg(self->receive_aio);
            nng_aio_set_msg(self->receive_aio, NULL);
            self->incoming_at = 0;
            self->handed_out = hand_out(self);
        }
        bytes = self->handed_out;
    }
    self->base.on_received(self->base.context, code == 0 ? TROVE_OK : TROVE_UNAVAILABLE, bytes);
}

static void on_sent(void *argument) {
    struct nng_transport *self = argument;
    int code = nng_aio_result(self->send_aio);
    size_t bytes = 0;
    if (code == 0)
        bytes = self->messages ? self->sending_bytes : nng_aio_count(self->send_aio);
    if (code != 0 && self->messages) { /* an unsent message stays ours */
        nng_msg_free(nng_aio_get_msg(self->send_aio));
        nng_aio_set_msg(self->send_aio, NULL);
    }
    self->base.on_sent(self->base.context, code == 0 ? TROVE_OK : TROVE_UNAVAILABLE, bytes);
}

static void transport_close(struct tv_transport *transport) {
    struct nng_transport *self = (struct nng_transport *)transport;
    nng_stream_close(self->stream);
    /* ws may leave a receive hanging after the peer has closed; canceling an aio that has completed does nothing. */
    nng_aio_cancel(self->receive_aio);
    nng_aio_cancel(self->send_aio);
}

static void transport_destroy(struct tv_transport *transport) {
    struct nng_transport *self = (struct nng_transport *)transport;
    if (self->receive_aio != NULL)
        nng_aio_stop(self->receive_aio);
    if (self->send_aio != NULL)
        nng_aio_stop(self->send_aio);
    nng_aio_free(self->receive_aio);
    nng_aio_free(self->send_aio);
    if (self->incoming != NULL)
        nng_msg_free(self->incoming);
    nng_strfree(self->base.origin);
    nng_stream_free(self->stream);
    free(self);
}

static const struct tv_transport_ops nng_ops = {
    .receive = transport_receive,
    .send = transport_send,
    .close = transport_close,
    .destroy = transport_destroy,
};

static void describe_tcp_peer(struct nng_transport *self) {
    nng_sockaddr address;
    char text[INET6_ADDRSTRLEN] = "";
    if (nng_stream_get_addr(self->stream, NNG_OPT_REMADDR, &address) != 0)
        return;
    if (address.s_family == NNG_AF_INET) {
        inet_ntop(AF_INET, &address.s_in.sa_addr, text, sizeof text);
        snprintf(self->base.peer, sizeof self->base.peer, "%s:%u", text, ntohs(address.s_in.sa_port));
    } else if (address.s_family == NNG_AF_INET6) {
        inet_ntop(AF_INET6, &address.s_in6.sa_addr, text, sizeof text);
        snprintf(self->base.peer, sizeof self->base.peer, "[%s]:%u", text, ntohs(address.s_in6.sa_port));
    }
}

static void describe_ipc_peer(struct nng_transport *self) {
    struct tv_transport *base = &self->base;
    base->has_credentials = nng_stream_get_uint64(self->stream, NNG_OPT_IPC_PEER_UID, &base->peer_uid) == 0 &&
                            nng_stream_get_uint64(self->stream, NNG_OPT_IPC_PEER_PID, &base->peer_pid) == 0;
    if (base->has_credentials)
        snprintf(base->peer, sizeof base->peer, "pid %" PRIu64 " uid %" PRIu64, base->peer_pid, base->peer_uid);
}

/* False: it has an origin that can't be told. */
static bool learn_origin(struct nng_transport *self) {
    int code = nng_stream_get_string(self->stream, NNG_OPT_WS_REQUEST_HEADER "Origin", &self->base.origin);
    if (code != 0)
        self->base.origin = NULL;
    return code == 0 || code == NNG_ENOENT;
}

trove_status tv_nng_transport_create(nng_stream *stream_move, const char *url, struct tv_transport **transport,
                                     trove_error *error) {
    struct nng_transport *self = calloc(1, sizeof *self);
    if (self == NULL) {
        nng_stream_free(stream_move);
        return TV_FAIL(error, RESOURCE_EXHAUSTED, "no memory for a connection");
    }
    self->base.ops = &nng_ops;
    self->stream = stream_move;
    self->messages = strncmp(url, "ws://", 5) == 0;
    self->base.no_greeting = self->messages;
    self->base.type_octet = strncmp(url, "ipc://", 6) == 0;
    snprintf(self->base.peer, sizeof self->base.peer, "unknown");
    if (nng_aio_alloc(&self->receive_aio, on_received, self) != 0 || nng_aio_alloc(&self->send_aio, on_sent, self) != 0 ||
        (self->messages && !learn_origin(self))) {
        transport_destroy(&self->base);
        return TV_FAIL(error, RESOURCE_EXHAUSTED, "no memory for a connection");
    }
    if (self->base.type_octet)
        describe_ipc_peer(self);
    else
        describe_tcp_peer(self);
    *transport = &self->base;
    return TROVE_OK;
}

/* ---- dialling ---- */

static int set_dialer_options(nng_stream_dialer *dialer, const char *url) {
    if (strncmp(url, "ipc://", 6) == 0)
        return 0;
    int code = nng_stream_dialer_set_bool(dialer, NNG_OPT_TCP_NODELAY, true);
    if (strncmp(url, "ws://", 5) != 0)
        return code;
#define SET(kind, name, value) code = code == 0 ? nng_stream_dialer_set_##kind(dialer, name, value) : code;
    TV_WS_OPTIONS(SET)
#undef SET
    return code;
}

void tv_dialling_init(struct tv_dialling *dialling) {
    *dialling = (struct tv_dialling){0};
    pthread_mutex_init(&dialling->lock, NULL);
}

void tv_dialling_fini(struct tv_dialling *dialling) {
    pthread_mutex_destroy(&dialling->lock);
}

/* The lock, a leaf that no callback takes, keeps the aio from being freed meanwhile. */
void tv_dialling_end(struct tv_dialling *dialling) {
    pthread_mutex_lock(&dialling->lock);
    dialling->ended = true;
    if (dialling->aio != NULL)
        nng_aio_cancel(dialling->aio);
    pthread_mutex_unlock(&dialling->lock);
}

/* Tells others which aio to cancel. Returns whether it is to be: canceling one that isn't submitted yet would do nothing. */
static bool set_dialling(struct tv_dialling *dialling, nng_aio *aio) {
    if (dialling == NULL)
        return false;
    pthread_mutex_lock(&dialling->lock);
    dialling->aio = aio;
    bool ended = dialling->ended;
    pthread_mutex_unlock(&dialling->lock);
    return ended;
}

static int dial(nng_stream_dialer *dialer, uint32_t timeout_ms, struct tv_dialling *dialling, nng_stream **stream) {
    nng_aio *aio = NULL;
    int code = nng_aio_alloc(&aio, NULL, NULL);
    if (code != 0)
        return code;
    nng_aio_set_timeout(aio, timeout_ms < INT32_MAX ? (nng_duration)timeout_ms : INT32_MAX);
    nng_stream_dialer_dial(dialer, aio);
    if (set_dialling(dialling, aio))
        nng_aio_cancel(aio);
    nng_aio_wait(aio);
    (void)set_dialling(dialling, NULL);
    code = nng_aio_result(aio);
    if (code == 0)
        *stream = nng_aio_get_output(aio, 0);
    nng_aio_free(aio);
    return code;
}

trove_status tv_transport_dial(const char *url, uint32_t timeout_ms, struct tv_dialling *dialling,
                               struct tv_transport **transport, trove_error *error) {
    trove_status status = tv_url_check(url, TV_URL_TO_DIAL, error);
    if (status != TROVE_OK)
        return status;
    nng_stream_dialer *dialer = NULL;
    int code = nng_stream_dialer_alloc(&dialer, url);
    if (code != 0)
        return tv_nng_error(error, code, "", url);
    nng_stream *stream = NULL;
    code = set_dialer_options(dialer, url);
    if (code == 0)
        code = dial(dialer, timeout_ms, dialling, &stream);
    nng_stream_dialer_free(dialer);
    if (code == NNG_ECANCELED)
        return TV_FAIL(error, CANCELLED, "%s: it was ended while it was dialled", url);
    if (code == NNG_EADDRINVAL && tv_url_is_network(url)) /* its form is fine: the name isn't known, or not yet */
        return TV_FAIL(error, UNAVAILABLE, "%s: no host is known by the name %s", url, tv_url_host(url).text);
    if (code != 0)
        return tv_nng_error(error, code, "", url);
    return tv_nng_transport_create(stream, url, transport, error);
}
