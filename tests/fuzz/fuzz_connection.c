/* fuzz_connection.c - what a stranger sends to a server that wants keys: greeting, offer, handshake, and all that isn't one.
 * libFuzzer; see CMakeLists.txt.
 *
 * The first octet says how the bytes are cut on their way, the others come in over tcp.
 */
#include "conn.h"
#include "secret.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count);

struct stub {
    struct tv_transport base; /* first */
    struct iovec receive[TV_IOV_MAX];
    unsigned receive_count;
    size_t send_bytes; /* of the send under way */
    bool closed;
};

static void stub_receive(struct tv_transport *base, const struct iovec *iov, unsigned iov_count) {
    struct stub *stub = (struct stub *)base;
    memcpy(stub->receive, iov, iov_count * sizeof *iov);
    stub->receive_count = iov_count;
}

static void stub_send(struct tv_transport *base, const struct iovec *iov, unsigned iov_count) {
    struct stub *stub = (struct stub *)base;
    for (unsigned i = 0; i < iov_count; i++)
        stub->send_bytes += iov[i].iov_len;
}

static void stub_close(struct tv_transport *base) {
    ((struct stub *)base)->closed = true;
}

static void stub_destroy(struct tv_transport *base) {
    (void)base;
}

static const struct tv_transport_ops ops = {stub_receive, stub_send, stub_close, stub_destroy};

static void take_sent(struct stub *stub) {
    while (stub->send_bytes > 0 && !stub->closed) {
        size_t bytes = stub->send_bytes;
        stub->send_bytes = 0;
        stub->base.on_sent(stub->base.context, TROVE_OK, bytes);
    }
}

static size_t give(struct stub *stub, const uint8_t *bytes, size_t count) {
    size_t given = 0;
    for (unsigned i = 0; i < stub->receive_count && given < count; i++) {
        size_t step = stub->receive[i].iov_len < count - given ? stub->receive[i].iov_len : count - given;
        memcpy(stub->receive[i].iov_base, bytes + given, step);
        given += step;
    }
    stub->receive_count = 0;
    stub->base.on_received(stub->base.context, TROVE_OK, given);
    return given;
}

static void settle(struct stub *stub) {
    bool sending = stub->send_bytes > 0;
    bool receiving = stub->receive_count > 0;
    stub->send_bytes = 0;
    stub->receive_count = 0;
    if (sending)
        stub->base.on_sent(stub->base.context, TROVE_UNAVAILABLE, 0);
    if (receiving)
        stub->base.on_received(stub->base.context, TROVE_UNAVAILABLE, 0);
}

static void on_payload(void *context, const tv_frame *frame, uint64_t payload_bytes, struct tv_sink *sink) {
    (void)context;
    (void)frame;
    (void)payload_bytes;
    sink->kind = TV_SINK_MESSAGE;
}

/* Nobody gets here: the random numbers of the handshake can't be guessed. */
static trove_status on_frame(void *context, const tv_frame *frame, const void *payload, uint64_t payload_bytes,
                             trove_error *error) {
    (void)context;
    (void)frame;
    (void)payload;
    (void)payload_bytes;
    (void)error;
    abort();
}

static void on_closed(void *context, const trove_error *why) {
    (void)context;
    (void)why;
}

static const struct tv_conn_handler handler = {.payload = on_payload, .frame = on_frame, .closed = on_closed};

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count) {
    static struct tv_key key;
    struct tv_secure secure;
    struct stub stub = {.base.ops = &ops};
    struct tv_conn *conn = NULL;
    if (count == 0 || !tv_secret_ready())
        return 0;
    memset(key.private_key, 1, sizeof key.private_key);
    tv_noise_public_key(key.private_key, key.public_key);
    tv_secure_init(&secure);
    secure.key = &key;
    const struct tv_conn_options options = {.secure = &secure, .secure_required = true};
    if (tv_conn_create(&stub.base, &handler, &stub, &options, &conn, NULL) != TROVE_OK)
        return 0;
    tv_conn_start(conn);
    size_t step = (size_t)bytes[0] + 1;
    for (size_t at = 1; at < count && stub.receive_count > 0 && !stub.closed;) {
        at += give(&stub, bytes + at, count - at < step ? count - at : step);
        take_sent(&stub);
    }
    trove_error over = {TROVE_OK, ""};
    tv_conn_abort(conn, &over);
    settle(&stub);
    tv_conn_destroy(conn);
    tv_secure_fini(&secure);
    return 0;
}
