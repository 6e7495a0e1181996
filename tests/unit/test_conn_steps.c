/* test_conn_steps.c - a connection step by step: what it holds for a peer that doesn't read, and in what order things end. The
 * transport does each step when the test says so; there are no threads, and no time passes.
 */
#include "unit_transport.h"

#define PAYLOAD_MAX TV_PAYLOAD_BYTES_MAX

struct rig {
    struct unit_transport transport;
    struct tv_conn *conn;
    unsigned frames; /* handed to the owner */
    unsigned closed; /* calls */
    trove_error why;
};

static struct rig rig;

static void on_payload(void *context, const tv_frame *frame, uint64_t payload_bytes, struct tv_sink *sink) {
    (void)context;
    (void)frame;
    (void)payload_bytes;
    sink->kind = TV_SINK_MESSAGE;
}

static trove_status on_frame(void *context, const tv_frame *frame, const void *payload, uint64_t payload_bytes,
                             trove_error *error) {
    struct rig *self = context;
    (void)frame;
    (void)payload;
    (void)payload_bytes;
    (void)error;
    self->frames++;
    return TROVE_OK;
}

static void on_closed(void *context, const trove_error *why) {
    struct rig *self = context;
    self->closed++;
    self->why = *why;
}

static const struct tv_conn_handler handler = {.payload = on_payload, .frame = on_frame, .closed = on_closed};

/* Greeted and established; nothing is under way but a receive. */
static void rig_open(void) {
    memset(&rig, 0, sizeof rig);
    unit_transport_init(&rig.transport);
    const struct tv_conn_options options = {.payload_bytes_max = 0, .keepalive_ms = 1000};
    assert_int_equal(tv_conn_create(&rig.transport.base, &handler, &rig, &options, &rig.conn, NULL), TROVE_OK);
    tv_conn_start(rig.conn);
    static const uint8_t greeting[] = {0, 'S', 'P', 0, 0, 16, 0, 0};
    assert_int_equal(unit_transport_feed(&rig.transport, greeting, sizeof greeting), sizeof greeting);
    tv_conn_establish(rig.conn, PAYLOAD_MAX, 1000, false);
    unit_transport_take_all(&rig.transport);
    assert_memory_equal(rig.transport.sent, greeting, sizeof greeting);
    rig.transport.sent_read = rig.transport.sent_bytes;
    rig.transport.sends = 0;
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

static uint64_t allocations(void) {
    struct tv_conn_metrics metrics;
    tv_conn_metrics(rig.conn, &metrics);
    return metrics.allocations;
}

/* Packs a frame as it travels; returns its bytes. */
static size_t message(uint8_t *out, size_t capacity, const tv_frame *frame) {
    size_t bytes = tv_frame_pack(frame, 0, false, out + UNIT_PREFIX_BYTES, capacity - UNIT_PREFIX_BYTES);
    assert_true(bytes > 0);
    uint64_t length = htobe64(bytes);
    memcpy(out, &length, sizeof length);
    return UNIT_PREFIX_BYTES + bytes;
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
    rig_open();
    tv_frame ping = TROVE__V1__FRAME__INIT;
    Trove__V1__Ping body = TROVE__V1__PING__INIT;
    ping.body_case = TV_BODY(PING);
    ping.ping = &body;
    uint8_t one[64];
    size_t bytes = message(one, sizeof one, &ping);
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
    rig_open();
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
    rig_open();
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
    rig_open();
    while (held < 2 * TV_UNSENT_BYTES_CEILING && queue_answer(1, payload, sizeof payload, &error) == TROVE_OK)
        held += sizeof payload;
    assert_in_range(held, TV_UNSENT_BYTES_CEILING / 2, TV_UNSENT_BYTES_CEILING + TV_MIB);
    assert_int_equal(error.status, TROVE_RESOURCE_EXHAUSTED);
    assert_true(rig.transport.closed);
    assert_int_equal(queue_answer(1, NULL, 0, NULL), TROVE_UNAVAILABLE);
    rig_close();
    assert_int_equal(rig.why.status, TROVE_RESOURCE_EXHAUSTED);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(answers_to_pings_are_held_together),
        cmocka_unit_test(small_frames_go_out_together),
        cmocka_unit_test(frames_of_any_size_keep_their_order),
        cmocka_unit_test(what_is_held_has_a_ceiling),
    };
    return cmocka_run_group_tests_name("conn_steps", tests, NULL, NULL);
}
