/* unit_transport.h - a transport that does each step when the test says so, on the test's own thread: what a connection takes
 * from it and gives to it is bytes in memory.
 */
#ifndef TROVE_TESTS_UNIT_TRANSPORT_H
#define TROVE_TESTS_UNIT_TRANSPORT_H

#include "conn.h"
#include "unit.h"

#include <endian.h>

#define UNIT_PREFIX_BYTES 8 /* as over tcp */

struct unit_transport {
    struct tv_transport base; /* first */
    struct iovec receive_iov[TV_IOV_MAX];
    unsigned receive_count; /* 0: no receive is under way */
    struct iovec send_iov[TV_IOV_MAX];
    unsigned send_count; /* 0: no send is under way */
    unsigned sends;      /* ever */
    bool closed;
    bool destroyed;
    uint8_t *sent; /* what was taken from the connection */
    size_t sent_bytes;
    size_t sent_capacity;
    size_t sent_read; /* of it, by unit_transport_next_frame */
};

static inline void unit_transport_receive(struct tv_transport *base, const struct iovec *iov, unsigned iov_count) {
    struct unit_transport *self = (struct unit_transport *)base;
    assert_false(self->closed);
    assert_int_equal(self->receive_count, 0);
    assert_in_range(iov_count, 1, TV_IOV_MAX);
    memcpy(self->receive_iov, iov, iov_count * sizeof *iov);
    self->receive_count = iov_count;
}

static inline void unit_transport_send(struct tv_transport *base, const struct iovec *iov, unsigned iov_count) {
    struct unit_transport *self = (struct unit_transport *)base;
    assert_false(self->closed);
    assert_int_equal(self->send_count, 0);
    assert_in_range(iov_count, 1, TV_IOV_MAX);
    memcpy(self->send_iov, iov, iov_count * sizeof *iov);
    self->send_count = iov_count;
    self->sends++;
}

static inline void unit_transport_close(struct tv_transport *base) {
    ((struct unit_transport *)base)->closed = true;
}

static inline void unit_transport_destroy(struct tv_transport *base) {
    struct unit_transport *self = (struct unit_transport *)base;
    assert_true(self->closed && self->receive_count == 0 && self->send_count == 0);
    self->destroyed = true;
}

static inline void unit_transport_init(struct unit_transport *self) {
    static const struct tv_transport_ops ops = {unit_transport_receive, unit_transport_send, unit_transport_close,
                                                unit_transport_destroy};
    *self = (struct unit_transport){.base.ops = &ops};
}

static inline void unit_transport_fini(struct unit_transport *self) {
    free(self->sent);
}

/* Hands bytes to the receives of the connection until they are used up or it receives no more; returns how many it took. */
static inline size_t unit_transport_feed(struct unit_transport *self, const void *bytes, size_t count) {
    size_t taken = 0;
    while (taken < count && self->receive_count > 0 && !self->closed) {
        size_t before = taken;
        for (unsigned i = 0; i < self->receive_count && taken < count; i++) {
            size_t step = self->receive_iov[i].iov_len < count - taken ? self->receive_iov[i].iov_len : count - taken;
            memcpy(self->receive_iov[i].iov_base, (const char *)bytes + taken, step);
            taken += step;
        }
        self->receive_count = 0;
        self->base.on_received(self->base.context, TROVE_OK, taken - before);
    }
    return taken;
}

/* Completes the send under way: it has taken so many bytes, or all. Returns how many. */
static inline size_t unit_transport_take(struct unit_transport *self, size_t bytes_max) {
    size_t taken = 0;
    for (unsigned i = 0; i < self->send_count && taken < bytes_max; i++) {
        size_t step = self->send_iov[i].iov_len < bytes_max - taken ? self->send_iov[i].iov_len : bytes_max - taken;
        if (self->sent_bytes + step > self->sent_capacity) {
            self->sent_capacity = 2 * (self->sent_bytes + step);
            self->sent = realloc(self->sent, self->sent_capacity);
            assert_non_null(self->sent);
        }
        memcpy(self->sent + self->sent_bytes, self->send_iov[i].iov_base, step);
        self->sent_bytes += step;
        taken += step;
    }
    assert_true(taken > 0);
    self->send_count = 0;
    self->base.on_sent(self->base.context, TROVE_OK, taken);
    return taken;
}

static inline void unit_transport_take_all(struct unit_transport *self) {
    while (self->send_count > 0 && !self->closed)
        unit_transport_take(self, SIZE_MAX);
}

/* What was under way when the transport was closed comes back. */
static inline void unit_transport_settle(struct unit_transport *self) {
    assert_true(self->closed);
    unsigned receive_count = self->receive_count;
    unsigned send_count = self->send_count;
    self->receive_count = self->send_count = 0;
    if (send_count > 0)
        self->base.on_sent(self->base.context, TROVE_UNAVAILABLE, 0);
    if (receive_count > 0)
        self->base.on_received(self->base.context, TROVE_UNAVAILABLE, 0);
}

/* The next frame of what was sent, unpacked into the arena; NULL: there is no whole one. `checked`: its header checksum must
 * fit. */
static inline tv_frame *unit_transport_next_frame(struct unit_transport *self, struct tv_arena *arena, bool checked) {
    uint64_t length;
    size_t left = self->sent_bytes - self->sent_read;
    if (left < sizeof length)
        return NULL;
    memcpy(&length, self->sent + self->sent_read, sizeof length);
    length = be64toh(length);
    if (left - sizeof length < length)
        return NULL;
    const uint8_t *message = self->sent + self->sent_read + sizeof length;
    struct tv_frame_layout layout;
    tv_frame *frame = NULL;
    assert_int_equal(tv_frame_scan(message, length, length, &layout, NULL), TV_SCAN_OK);
    assert_int_equal(layout.has_checksum, checked);
    if (checked)
        assert_int_equal(tv_frame_checksum(message, layout.header_bytes, length), layout.checksum);
    assert_int_equal(tv_frame_unpack(message, layout.header_bytes, arena, &frame, NULL), TROVE_OK);
    self->sent_read += sizeof length + length;
    return frame;
}

#endif
