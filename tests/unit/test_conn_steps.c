/* test_conn_steps.c - a connection step by step: what it holds for a peer that doesn't read, and in what order things end. The
 * transport does each step when the test says so; there are no threads, and no time passes. What threads could do to each other
 * is done between any two locks.
 */
#include "timer.h"
#include "unit_abort.h"
#include "unit_transport.h"

#include <pthread.h>

#define PAYLOAD_MAX TV_PAYLOAD_BYTES_MAX

/* What another thread does at the very moment before the n-th lock is taken. */
static void (*meanwhile)(void);
static unsigned locks_until_meanwhile;

int __real_pthread_mutex_lock(pthread_mutex_t *mutex);
int __wrap_pthread_mutex_lock(pthread_mutex_t *mutex);

int __wrap_pthread_mutex_lock(pthread_mutex_t *mutex) {
    if (locks_until_meanwhile > 0 && --locks_until_meanwhile == 0)
        meanwhile();
    return __real_pthread_mutex_lock(mutex);
}

struct rig {
    struct unit_transport transport;
    struct tv_conn *conn;
    bool checksums;
    unsigned frames; /* handed to the owner */
    int sink_excess; /* not 0: payloads go to memory of so much more than they have */
    unsigned end_at; /* who ends the connection with this one */
    bool end_by_abort;
    unsigned closed; /* calls */
    trove_error why;
};

static struct rig rig;
static const trove_error ended = {TROVE_UNAVAILABLE, "ended by the owner"};

static void on_payload(void *context, const tv_frame *frame, uint64_t payload_bytes, struct tv_sink *sink) {
    static uint8_t memory[PAYLOAD_MAX];
    const struct rig *self = context;
    (void)frame;
    sink->kind = TV_SINK_MESSAGE;
    if (self->sink_excess == 0)
        return;
    sink->kind = TV_SINK_MEMORY;
    sink->iov_count = 1;
    sink->iov[0] = (struct iovec){memory, (size_t)((int64_t)payload_bytes + self->sink_excess)};
}

static trove_status on_frame(void *context, const tv_frame *frame, const void *payload, uint64_t payload_bytes,
                             trove_error *error) {
    struct rig *self = context;
    (void)frame;
    (void)payload;
    (void)payload_bytes;
    (void)error;
    self->frames++;
    if (self->frames == self->end_at && self->end_by_abort)
        tv_conn_abort(self->conn, &ended);
    else if (self->frames == self->end_at)
        tv_conn_shutdown(self->conn, &ended);
    return TROVE_OK;
}

static void on_closed(void *context, const trove_error *why) {
    struct rig *self = context;
    self->closed++;
    self->why = *why;
}

static const struct tv_conn_handler handler = {.payload = on_payload, .frame = on_frame, .closed = on_closed};

/* The SP greetings have been exchanged; nothing is under way but a receive. */
static void rig_connect(void) {
    static const uint8_t greeting[] = {0, 'S', 'P', 0, 0, 16, 0, 0};
    const struct tv_conn_options options = {.payload_bytes_max = PAYLOAD_MAX};
    rig = (struct rig){.frames = 0};
    unit_transport_init(&rig.transport);
    assert_int_equal(tv_conn_create(&rig.transport.base, &handler, &rig, &options, &rig.conn, NULL), TROVE_OK);
    tv_conn_start(rig.conn);
    unit_transport_take_all(&rig.transport);
    assert_memory_equal(rig.transport.sent, greeting, sizeof greeting);
    rig.transport.sent_read = rig.transport.sent_bytes;
    rig.transport.sends = 0;
    assert_int_equal(unit_transport_feed(&rig.transport, greeting, sizeof greeting), sizeof greeting);
}

/* And welcomed. Checksums are from the second frame on, as behind a welcome. */
static void rig_open(bool checksums) {
    rig_connect();
    rig.checksums = checksums;
    tv_conn_establish(rig.conn, PAYLOAD_MAX, 1000, checksums);
}

static void rig_close(void) {
    const trove_error enough = {TROVE_OK, "the test is over"};
    tv_conn_abort(rig.conn, &enough);
    unit_transport_settle(&rig.transport);
    assert_int_equal(rig.closed, 1);
    tv_conn_destroy(rig.conn);
    assert_true(rig.transport.destroyed);
    unit_transport_fini(&rig.transport);
}

static uint64_t bytes_sent(void) {
    struct tv_conn_metrics metrics;
    tv_conn_metrics(rig.conn, &metrics);
    return metrics.bytes_sent;
}

static uint64_t allocations(void) {
    struct tv_conn_metrics metrics;
    tv_conn_metrics(rig.conn, &metrics);
    return metrics.allocations;
}

/* Packs a frame as it travels, with a payload of zeros; returns its bytes. */
static size_t message(uint8_t *out, size_t capacity, const tv_frame *frame, size_t payload_bytes, bool checksummed) {
    size_t bytes = tv_frame_pack(frame, payload_bytes, checksummed, out + UNIT_PREFIX_BYTES, capacity - UNIT_PREFIX_BYTES);
    assert_true(bytes > 0 && payload_bytes <= capacity - UNIT_PREFIX_BYTES - bytes);
    memset(out + UNIT_PREFIX_BYTES + bytes, 0, payload_bytes);
    uint64_t length = htobe64(bytes + payload_bytes);
    memcpy(out, &length, sizeof length);
    return UNIT_PREFIX_BYTES + bytes + payload_bytes;
}

static void feed(const void *bytes, size_t count) {
    assert_int_equal(unit_transport_feed(&rig.transport, bytes, count), count);
}

/* What was sent last is a go-away with this code and this word. */
static void expect_go_away(trove_status status, const char *word) {
    struct tv_arena arena;
    const tv_frame *frame = NULL;
    trove_error why;
    tv_arena_init(&arena, TV_ARENA_BYTES_MAX);
    unit_transport_take_all(&rig.transport);
    while (rig.transport.sent_read < rig.transport.sent_bytes)
        frame = unit_transport_next_frame(&rig.transport, &arena, rig.checksums);
    assert_non_null(frame);
    assert_int_equal(frame->body_case, TV_BODY(GO_AWAY));
    tv_status_from_wire(frame->go_away->status, &why);
    print_message("    %s: %s\n", trove_status_name(why.status), why.message);
    assert_int_equal(why.status, status);
    assert_non_null(strstr(why.message, word));
    tv_arena_fini(&arena);
}

static trove_status queue_demand(uint64_t id, trove_error *error) {
    tv_frame frame = TROVE__V1__FRAME__INIT;
    Trove__V1__Demand demand = TROVE__V1__DEMAND__INIT;
    frame.call_id = id;
    frame.body_case = TV_BODY(DEMAND);
    frame.demand = &demand;
    return tv_conn_send(rig.conn, &frame, NULL, 0, error);
}

static trove_status queue_answer(uint64_t id, const void *payload, size_t payload_bytes, trove_error *error) {
    tv_frame frame = TROVE__V1__FRAME__INIT;
    Trove__V1__Status status = TROVE__V1__STATUS__INIT;
    frame.call_id = id;
    frame.body_case = TV_BODY(STATUS);
    frame.status = &status;
    return tv_conn_send(rig.conn, &frame, payload, payload_bytes, error);
}

/* ---- a peer that doesn't read ---- */

/* However small the answers are: what is held for them is what they have in bytes, not a block of memory each. */
static void answers_to_pings_are_held_together(void **state) {
    (void)state;
    rig_open(false);
    tv_frame ping = TROVE__V1__FRAME__INIT;
    Trove__V1__Ping body = TROVE__V1__PING__INIT;
    ping.body_case = TV_BODY(PING);
    ping.ping = &body;
    uint8_t one[64];
    size_t bytes = message(one, sizeof one, &ping, 0, false);
    uint64_t taken = 0;
    while (unit_transport_feed(&rig.transport, one, bytes) == bytes)
        taken += bytes; /* until the connection reads no more */
    assert_in_range(taken, 3 * TV_MIB, 5 * TV_MIB);
    assert_true(allocations() <= taken / TV_STAGING_BYTES + 1);
    rig_close();
}

/* Once a peer has fallen behind, small frames still go out by the thousand in an operation, and in order. */
static void small_frames_go_out_together(void **state) {
    (void)state;
    const uint64_t count = 30000;
    struct tv_arena arena;
    tv_arena_init(&arena, TV_ARENA_BYTES_MAX);
    rig_open(false);
    for (uint64_t id = 1; id <= count; id++)
        assert_int_equal(queue_demand(id, NULL), TROVE_OK);
    unit_transport_take_all(&rig.transport);
    assert_true(rig.transport.sends <= 3); /* the first frame alone, then some 400 KB */
    for (uint64_t id = 1; id <= count; id++) {
        const tv_frame *frame = unit_transport_next_frame(&rig.transport, &arena, false);
        assert_non_null(frame);
        assert_int_equal(frame->call_id, id);
        tv_arena_reset(&arena);
    }
    assert_int_equal(rig.transport.sent_read, rig.transport.sent_bytes);
    /* As long as no more than two blocks are in use, nothing is allocated. */
    uint64_t before = allocations();
    for (unsigned i = 0; i < 100; i++) {
        for (uint64_t id = 1; id <= 2000; id++)
            assert_int_equal(queue_demand(id, NULL), TROVE_OK);
        unit_transport_take_all(&rig.transport);
    }
    assert_int_equal(allocations(), before);
    tv_arena_fini(&arena);
    rig_close();
}

/* Frames of all sizes, so that they end and begin everywhere in the blocks. */
static void frames_of_any_size_keep_their_order(void **state) {
    (void)state;
    uint64_t random = unit_seed();
    static uint8_t payload[TV_MESSAGE_BYTES_MAX];
    struct tv_arena arena;
    tv_arena_init(&arena, TV_ARENA_BYTES_MAX);
    rig_open(false);
    for (uint64_t id = 1; id <= 300; id++) {
        size_t bytes = unit_random(&random) % sizeof payload >> unit_random(&random) % 18;
        assert_int_equal(queue_answer(id, payload, bytes, NULL), TROVE_OK);
        if (unit_random(&random) % 3 == 0 && rig.transport.send_count > 0)
            unit_transport_take(&rig.transport, 1 + unit_random(&random) % TV_MIB);
    }
    unit_transport_take_all(&rig.transport);
    for (uint64_t id = 1; id <= 300; id++) {
        const tv_frame *frame = unit_transport_next_frame(&rig.transport, &arena, false);
        assert_non_null(frame);
        assert_int_equal(frame->call_id, id);
        tv_arena_reset(&arena);
    }
    tv_arena_fini(&arena);
    rig_close();
}

/* Who goes on answering is stopped: then the connection ends, for its peer would wait for the answer that is missing. */
static void what_is_held_has_a_ceiling(void **state) {
    (void)state;
    static uint8_t payload[TV_MESSAGE_BYTES_MAX];
    trove_error error = {TROVE_OK, ""};
    uint64_t held = 0;
    rig_open(false);
    while (held < 2 * TV_UNSENT_BYTES_CEILING && queue_answer(1, payload, sizeof payload, &error) == TROVE_OK)
        held += sizeof payload;
    assert_in_range(held, TV_UNSENT_BYTES_CEILING / 2, TV_UNSENT_BYTES_CEILING + TV_MIB);
    assert_int_equal(error.status, TROVE_RESOURCE_EXHAUSTED);
    assert_true(rig.transport.closed);
    assert_int_equal(queue_answer(1, NULL, 0, NULL), TROVE_UNAVAILABLE);
    rig_close();
    assert_int_equal(rig.why.status, TROVE_RESOURCE_EXHAUSTED);
}

/* What didn't go out isn't counted, whatever the transport says. */
static void a_failed_send_counts_nothing(void **state) {
    (void)state;
    rig_open(false);
    assert_int_equal(queue_demand(1, NULL), TROVE_OK);
    uint64_t before = bytes_sent();
    tv_conn_abort(rig.conn, &ended);
    rig.transport.send_count = 0;
    rig.transport.base.on_sent(rig.transport.base.context, TROVE_UNAVAILABLE, 1000);
    assert_int_equal(bytes_sent(), before);
    rig_close();
}

/* ---- damage ---- */

/* A call with a payload of 500 KB, as bytes. */
static uint8_t call_bytes[600000];

static size_t pack_call(bool checksummed) {
    tv_frame frame = TROVE__V1__FRAME__INIT;
    Trove__V1__Call call = TROVE__V1__CALL__INIT;
    call.method = "trove.v1.Server/Echo";
    frame.call_id = 1;
    frame.body_case = TV_BODY(CALL);
    frame.call = &call;
    return message(call_bytes, sizeof call_bytes, &frame, 500000, checksummed);
}

/* Where one octet was changed on the way, the sender isn't blamed, and nothing is collected for it. */
static void damage_is_told_from_mistakes(void **state) {
    (void)state;
    /* 8 bytes of length; call id 08 01; call 52 16, 22 bytes; checksum F1 7F, 8 bytes; payload FA 7F A0 C2 1E, 500,000 bytes */
    static const struct {
        const char *name;
        size_t at;
        uint8_t becomes;
        trove_status without; /* the status where no checksums were agreed on; OK: the frame can be read */
    } rows[] = {
        {"a tag becomes 0", 8, 0x00, TROVE_INVALID_ARGUMENT},
        {"a tag becomes a group", 8, 0x0B, TROVE_INVALID_ARGUMENT},
        {"a body's length goes beyond the header", 11, 0x7F, TROVE_INVALID_ARGUMENT},
        {"a body's tag becomes another's", 10, 0xC2, TROVE_INVALID_ARGUMENT},
        {"the call id", 9, 0x02, TROVE_OK},
        {"the payload's tag becomes another's", 44, 0xEA, TROVE_INVALID_ARGUMENT},
        {"the payload's length shrinks", 46, 0x02, TROVE_INVALID_ARGUMENT},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        for (int checksums = 0; checksums <= 1; checksums++) {
            unit_row(rows[i].name);
            rig_open(checksums);
            feed("\0\0\0\0\0\0\0\4\x08\x07\x2A\x00", 12); /* a pong */
            assert_int_equal(rig.frames, 1);
            size_t bytes = pack_call(checksums);
            size_t at = rows[i].at - (!checksums && rows[i].at > 40 ? 10 : 0);
            assert_int_not_equal(call_bytes[at], rows[i].becomes);
            call_bytes[at] = rows[i].becomes;
            feed(call_bytes, checksums ? 200 : bytes); /* what is damaged is told before its payload has come */
            if (checksums)
                expect_go_away(TROVE_DATA_LOSS, "");
            else if (rows[i].without != TROVE_OK)
                expect_go_away(rows[i].without, "frame");
            assert_int_equal(rig.frames, 1 + (!checksums && rows[i].without == TROVE_OK));
            rig_close();
        }
}

/* Whatever bit of a hello's header changes on the way, a hello that has a checksum isn't taken for another one. */
static void a_damaged_hello_is_noticed(void **state) {
    uint8_t right[128], damaged[128];
    tv_frame frame = TROVE__V1__FRAME__INIT;
    Trove__V1__Hello hello = TROVE__V1__HELLO__INIT;
    (void)state;
    hello.version = 1;
    hello.features = 15;
    hello.agent = (char[]){"somebody"};
    frame.body_case = TV_BODY(HELLO);
    frame.hello = &hello;
    size_t bytes = message(right, sizeof right, &frame, 0, true);
    for (size_t bit = 8 * UNIT_PREFIX_BYTES; bit < 8 * (bytes - 10); bit++) {
        rig_connect();
        memcpy(damaged, right, bytes);
        damaged[bit / 8] ^= (uint8_t)(1u << bit % 8);
        feed(damaged, bytes);
        assert_int_equal(rig.frames, 0);
        rig_close();
    }
    rig_connect();
    feed(right, bytes);
    assert_int_equal(rig.frames, 1);
    rig_close();
}

/* ---- pulled frames ---- */

static uint64_t payload_asked; /* of the last pull */
static unsigned pulls_left;
static size_t pulled_missing; /* bytes of a payload that the pull doesn't give */

static bool pull_nothing(struct tv_flow *flow, struct tv_pulled *pulled) {
    (void)flow;
    (void)pulled;
    return false;
}

static bool pull_data(struct tv_flow *flow, uint64_t payload_bytes_max, struct tv_pulled *pulled) {
    static uint8_t bytes[PAYLOAD_MAX];
    (void)flow;
    payload_asked = payload_bytes_max;
    if (pulls_left == 0)
        return false;
    pulls_left--;
    trove__v1__chunk__init(&pulled->scratch.chunk);
    pulled->frame.call_id = 1;
    pulled->frame.body_case = TV_BODY(CHUNK);
    pulled->frame.chunk = &pulled->scratch.chunk;
    pulled->payload_bytes = payload_bytes_max;
    pulled->iov_count = 1;
    pulled->iov[0] = (struct iovec){bytes, payload_bytes_max - pulled_missing};
    return true;
}

static void hold(struct tv_flow *flow) {
    (void)flow;
}

static const struct tv_flow_ops flow_ops = {pull_nothing, pull_data, NULL, hold, hold};

/* No payload is larger than what was agreed on, however small that is. */
static void payloads_are_as_large_as_was_agreed(void **state) {
    (void)state;
    static const uint64_t agreed[] = {1, 4 * TV_KIB, 16 * TV_KIB, 16 * TV_KIB + 1, PAYLOAD_MAX};
    for (size_t i = 0; i < sizeof agreed / sizeof agreed[0]; i++) {
        struct tv_flow flow = {.ops = &flow_ops};
        rig_connect();
        tv_conn_establish(rig.conn, agreed[i], 1000, false);
        pulls_left = 1;
        tv_conn_wake(rig.conn, &flow, TV_WANTS_DATA);
        assert_int_equal(payload_asked, agreed[i]);
        unit_transport_take_all(&rig.transport);
        rig_close();
    }
}

/* ---- the greeting's limits ---- */

/* Before the welcome a header may have 4 KiB, wherever its payload lies. */
static void headers_are_small_before_the_welcome(void **state) {
    (void)state;
    static const struct {
        const char *name;
        size_t header_bytes;
        bool shuffled;
        trove_status status;
    } rows[] = {
        {"all that is allowed", TV_HEADER_BYTES_GREETING, false, TROVE_OK},
        {"one byte more", TV_HEADER_BYTES_GREETING + 1, false, TROVE_INVALID_ARGUMENT},
        {"all that is allowed, behind the payload", TV_HEADER_BYTES_GREETING, true, TROVE_OK},
        {"one byte more, behind the payload", TV_HEADER_BYTES_GREETING + 1, true, TROVE_INVALID_ARGUMENT},
    };
    static uint8_t bytes[2 * TV_HEADER_BYTES_GREETING];
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        unit_row(rows[i].name);
        rig_connect();
        size_t unknown_bytes = rows[i].header_bytes - 6; /* behind a body, a tag of two octets and a length of two */
        uint64_t length = htobe64(rows[i].header_bytes + 4);
        uint8_t *at = bytes;
        memset(bytes, 0, sizeof bytes);
        memcpy(at, &length, sizeof length);
        at += sizeof length;
        if (rows[i].shuffled)
            memcpy(at, "\xFA\x7F\x01z", 4), at += 4; /* a payload of one byte */
        memcpy(at, "\x2A\x00\xC2\x3E", 4);           /* a pong; field 1000 */
        at[4] = (uint8_t)(unknown_bytes | 0x80);
        at[5] = (uint8_t)(unknown_bytes >> 7);
        at += 6 + unknown_bytes;
        if (!rows[i].shuffled)
            memcpy(at, "\xFA\x7F\x01z", 4), at += 4;
        feed(bytes, (size_t)(at - bytes));
        assert_int_equal(rig.frames, rows[i].status == TROVE_OK);
        if (rows[i].status != TROVE_OK)
            expect_go_away(rows[i].status, "header");
        rig_close();
    }
}

/* Nothing comes before hello and welcome, not even the question whether the peer is still there. */
static void nobody_is_asked_before_the_welcome(void **state) {
    (void)state;
    for (int welcomed = 0; welcomed <= 1; welcomed++) {
        if (welcomed)
            rig_open(false);
        else
            rig_connect();
        tv_conn_tick(rig.conn, tv_now_ns() + UINT64_C(1500) * 1000000); /* keep-alive is 1 s */
        assert_int_equal(rig.transport.send_count > 0, welcomed);
        tv_conn_tick(rig.conn, tv_now_ns() + UINT64_C(2500) * 1000000);
        assert_int_equal(rig.transport.closed, welcomed); /* the owner has a deadline of his own for the welcome */
        rig_close();
    }
}

static void tick_after(uint64_t ms) {
    tv_conn_tick(rig.conn, tv_now_ns() + ms * 1000000);
}

/* However late the owner looks: a peer that wasn't asked isn't given up, and has the time to answer. */
static void nobody_is_given_up_unasked(void **state) {
    (void)state;
    rig_open(false);
    tick_after(2500); /* keep-alive is 1 s */
    assert_int_equal(rig.transport.closed, 0);
    assert_true(rig.transport.send_count > 0);
    unit_transport_take_all(&rig.transport);
    tick_after(3000);
    assert_int_equal(rig.transport.closed, 0);
    assert_int_equal(rig.transport.send_count, 0); /* once is enough */
    tick_after(4000);
    assert_int_equal(rig.transport.closed, 1);
    rig_close();
}

/* ---- payloads of calls and answers ---- */

/* Feeds a call, or an answer, of 100 zeros that says the checksum of these bytes; 0: says none. */
static void feed_checked(bool is_call, const uint8_t *bytes, size_t count) {
    uint8_t out[512];
    tv_frame frame = TROVE__V1__FRAME__INIT;
    Trove__V1__Call call = TROVE__V1__CALL__INIT;
    Trove__V1__Status answer = TROVE__V1__STATUS__INIT;
    frame.call_id = 1;
    frame.body_case = is_call ? TV_BODY(CALL) : TV_BODY(STATUS);
    if (is_call)
        frame.call = &call;
    else
        frame.status = &answer;
    tv_call_set_checksum(&call, bytes, count);
    tv_status_set_checksum(&answer, bytes, count);
    feed(out, message(out, sizeof out, &frame, 100, true));
}

static void damaged_payloads_are_noticed(void **state) {
    uint8_t bytes[100] = {0};
    (void)state;
    for (int is_call = 0; is_call <= 1; is_call++) {
        bytes[99] = 0;
        rig_open(true);
        feed_checked(is_call, bytes, 0);
        feed_checked(is_call, bytes, sizeof bytes);
        assert_int_equal(rig.frames, 2);
        bytes[99] = 1;
        feed_checked(is_call, bytes, sizeof bytes);
        assert_int_equal(rig.frames, 2);
        expect_go_away(TROVE_DATA_LOSS, "payload");
        rig_close();
    }
}

/* ---- mistakes of the owner's ---- */

static void give_a_sink_that_is_too_small(void) {
    rig_open(false);
    rig.sink_excess = -1;
    feed(call_bytes, pack_call(false));
}

static void give_a_sink_that_is_too_large(void) {
    rig_open(false);
    rig.sink_excess = 1;
    feed(call_bytes, pack_call(false));
}

static void pull_less_than_announced(void) {
    struct tv_flow flow = {.ops = &flow_ops};
    rig_open(false);
    pulls_left = 1;
    pulled_missing = 1;
    tv_conn_wake(rig.conn, &flow, TV_WANTS_DATA);
}

/* They would write beyond the memory given, or take the wire apart. */
static void payloads_must_have_the_bytes_they_say(void **state) {
    (void)state;
    unit_expect_abort(give_a_sink_that_is_too_small);
    unit_expect_abort(give_a_sink_that_is_too_large);
    unit_expect_abort(pull_less_than_announced);
}

/* ---- the end ---- */

/* Of ten frames that one read has brought, none is handled after the connection was ended. */
static void what_comes_after_the_end_is_not_handled(void **state) {
    (void)state;
    for (int by_abort = 0; by_abort <= 1; by_abort++) {
        static const char pong[] = "\0\0\0\0\0\0\0\4\x08\x07\x2A";
        char ten[10 * sizeof pong];
        rig_open(false);
        for (size_t i = 0; i < 10; i++)
            memcpy(ten + i * sizeof pong, pong, sizeof pong);
        rig.end_at = 3;
        rig.end_by_abort = by_abort;
        feed(ten, sizeof ten);
        assert_int_equal(rig.frames, 3);
        if (!by_abort) {
            expect_go_away(TROVE_UNAVAILABLE, "by the owner");
            feed(ten + 5, sizeof ten - 5); /* what lingers needn't begin where a frame does */
            assert_int_equal(rig.frames, 3);
        }
        rig_close();
        assert_int_equal(rig.why.status, TROVE_UNAVAILABLE);
    }
}

/* So many bytes are discarded so that the peer gets to read why. */
static void it_lingers_for_some_bytes(void **state) {
    (void)state;
    static uint8_t bytes[TV_MIB];
    rig_open(false);
    tv_conn_shutdown(rig.conn, &ended);
    expect_go_away(TROVE_UNAVAILABLE, "by the owner");
    for (uint64_t fed = 0; fed < TV_LINGER_BYTES_MAX; fed += sizeof bytes)
        feed(bytes, sizeof bytes);
    assert_false(rig.transport.closed);
    feed(bytes, 1);
    assert_true(rig.transport.closed);
    rig_close();
}

/* And for some time; what is queued waits as long to be taken. */
static void it_lingers_for_some_time(void **state) {
    (void)state;
    for (int taken = 0; taken <= 1; taken++) {
        rig_open(false);
        tv_conn_shutdown(rig.conn, &ended);
        if (taken)
            expect_go_away(TROVE_UNAVAILABLE, "by the owner");
        tv_conn_tick(rig.conn, tv_now_ns());
        assert_false(rig.transport.closed);
        tv_conn_tick(rig.conn, tv_now_ns() + (uint64_t)(TV_LINGER_MS + 1) * 1000000);
        assert_true(rig.transport.closed);
        rig_close();
    }
}

static void queue_much(void) {
    static uint8_t payload[TV_MESSAGE_BYTES_MAX];
    tv_frame frame = TROVE__V1__FRAME__INIT;
    Trove__V1__Status status = TROVE__V1__STATUS__INIT;
    frame.body_case = TV_BODY(STATUS);
    frame.status = &status;
    for (unsigned i = 0; i < 20; i++) /* 5 MiB: more than a connection goes on reading with */
        assert_int_equal(tv_conn_queue(rig.conn, &frame, payload, sizeof payload, NULL), TROVE_OK);
}

static void flush(void) {
    tv_conn_flush(rig.conn);
}

static void abort_it(void) {
    tv_conn_abort(rig.conn, &ended);
}

static void shut_it_down(void) {
    tv_conn_shutdown(rig.conn, &ended);
}

/* Whatever happens at whatever moment of a receive and a send: `closed` is called once, when both have come back. */
static void it_is_closed_once_whatever_happens_meanwhile(void **state) {
    (void)state;
    static void (*const happens[])(void) = {queue_much, flush, abort_it, shut_it_down};
    unsigned moments = 0;
    for (size_t i = 0; i < sizeof happens / sizeof happens[0]; i++)
        for (int sending = 0; sending <= 1; sending++)
            for (unsigned n = 1, left = 0; left == 0; n++) {
                rig_open(false);
                if (sending)
                    queue_much();
                meanwhile = happens[i];
                locks_until_meanwhile = n;
                (void)unit_transport_feed(&rig.transport, "\0\0\0\0\0\0\0\4\x08\x07\x2A\x00", 12);
                if (rig.transport.send_count > 0 && !rig.transport.closed)
                    unit_transport_take(&rig.transport, SIZE_MAX);
                left = locks_until_meanwhile; /* the moment didn't come any more */
                locks_until_meanwhile = 0;
                moments += left == 0;
                rig_close();
            }
    assert_true(moments > 50);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(answers_to_pings_are_held_together),
        cmocka_unit_test(small_frames_go_out_together),
        cmocka_unit_test(frames_of_any_size_keep_their_order),
        cmocka_unit_test(what_is_held_has_a_ceiling),
        cmocka_unit_test(a_failed_send_counts_nothing),
        cmocka_unit_test(damage_is_told_from_mistakes),
        cmocka_unit_test(a_damaged_hello_is_noticed),
        cmocka_unit_test(payloads_are_as_large_as_was_agreed),
        cmocka_unit_test(headers_are_small_before_the_welcome),
        cmocka_unit_test(nobody_is_asked_before_the_welcome),
        cmocka_unit_test(nobody_is_given_up_unasked),
        cmocka_unit_test(damaged_payloads_are_noticed),
        cmocka_unit_test(payloads_must_have_the_bytes_they_say),
        cmocka_unit_test(what_comes_after_the_end_is_not_handled),
        cmocka_unit_test(it_lingers_for_some_bytes),
        cmocka_unit_test(it_lingers_for_some_time),
        cmocka_unit_test(it_is_closed_once_whatever_happens_meanwhile),
    };
    return cmocka_run_group_tests_name("conn_steps", tests, NULL, NULL);
}
