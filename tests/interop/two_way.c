/* two_way.c - streams that move both ways at once: what comes up becomes the next version of the object while the current one
 * goes down. Frame by frame, against mem:// and local://.
 */
#include "both_ways.h"
#include "troved.h"

#include <time.h>

#define CODE(name)    TROVE__V1__CODE__##name
#define STATE(name)   TROVE__V1__STREAM_STATE__##name
#define CONTROL(name) TROVE__V1__CONTROL_TYPE__##name

#define OLD_BYTES ((size_t)700 * 1000)
#define NEW_BYTES ((size_t)300 * 1000)
#define CHUNK     ((size_t)65536)
#define SLOW_MS   ((OLD_BYTES + NEW_BYTES) * 1000 / ((size_t)2 << 20)) /* for both ways, of the pool "slow" */

static const char config[] = "memory: 16MiB\n"
                             "workers: 2\n"
                             "pools:\n"
                             "  - {name: one, streams: 1}\n"
                             "  - {name: idle, idle_timeout: 1s}\n"
                             "  - {name: brief, stream_timeout: 1s}\n"
                             "  - {name: slow, bandwidth: 2MiB}\n";

static const char *group_store;
static struct troved *server;
static uint8_t old_bytes[(size_t)2 << 20];
static uint8_t new_bytes[(size_t)2 << 20];

static struct raw_client client;
static struct raw_client other; /* well-behaved, connected throughout */

static void connect_to(struct raw_client *to) {
    raw_open(to, troved_url(server, "ipc"));
    raw_greet(to, true);
}

static int begin_group(void **state) {
    const struct troved_options options = {.listen = {"ipc://%s/socket"}, .store = group_store, .config = config};
    (void)state;
    server = troved_start(&options, NULL);
    connect_to(&other);
    both_make_bucket(&other, "media");
    return 0;
}

static int end_group(void **state) {
    (void)state;
    raw_close(&other);
    return troved_stop(server, false);
}

static int begin_test(void **state) {
    (void)state;
    connect_to(&client);
    both_put(&other, "media", "kept", old_bytes, OLD_BYTES);
    return 0;
}

/* Whatever a test did: nothing is left under way. */
static int end_test(void **state) {
    (void)state;
    raw_close(&client);
    both_wait_until_quiet(&other);
    return 0;
}

static void open_kept(struct both_ways *peer) {
    Trove__V1__Open open;
    both_init_open(&open, "media", "kept");
    both_open(peer, &client, &open);
    BOTH_UNTIL(peer, peer->opened);
}

static void check_old(void) {
    both_check(&other, "media", "kept", old_bytes, OLD_BYTES);
}

static void check_came(const struct both_ways *peer) {
    assert_int_equal(peer->came_bytes, OLD_BYTES);
    assert_memory_equal(peer->bytes, old_bytes, OLD_BYTES);
}

static Trove__V1__StreamState listed_state(const struct both_ways *peer) {
    Trove__V1__StreamListResponse *list = both_streams(&other);
    assert_int_equal(list->n_streams, 1);
    assert_int_equal(list->streams[0]->stream_id, peer->stream_id);
    assert_int_equal(list->streams[0]->direction, TROVE__V1__DIRECTION__BIDI);
    Trove__V1__StreamState state = list->streams[0]->state;
    protobuf_c_message_free_unpacked(&list->base, NULL);
    return state;
}

/* The server lists the stream in this state, now or in a moment: what it was sent before is on its way to it. */
static void wait_for_state(const struct both_ways *peer, Trove__V1__StreamState state) {
    for (size_t looks = 0; listed_state(peer) != state; looks++)
        assert_true(looks < 1000000);
}

/* ---- both ways ---- */

static void test_both_at_once(void **state) {
    (void)state;
    struct both_ways peer;
    open_kept(&peer);
    assert_true(peer.has_object && !peer.writer);
    assert_int_equal(peer.object_size, OLD_BYTES);
    assert_int_equal(peer.credit_bytes, 4 * CHUNK);
    both_send_all(&peer, new_bytes, NEW_BYTES, 10000, true);
    BOTH_UNTIL(&peer, peer.complete);
    check_came(&peer);
    assert_string_not_equal(peer.complete_etag, "");
    check_old(); /* nothing is published yet */
    raw_send_completed(&client, peer.id);
    BOTH_UNTIL(&peer, peer.completed);
    assert_int_equal(peer.published_size, NEW_BYTES);
    assert_int_equal(peer.acked_chunks, peer.sent_chunks);
    both_close(&peer);
    both_check(&other, "media", "kept", new_bytes, NEW_BYTES);
}

static void test_up_is_closed_first(void **state) {
    (void)state;
    struct both_ways peer;
    Trove__V1__Open open;
    both_init_open(&open, "media", "kept");
    open.credit = 0;
    both_open(&peer, &client, &open);
    both_send_all(&peer, new_bytes, NEW_BYTES, CHUNK, true);
    BOTH_UNTIL(&peer, peer.acked_chunks == peer.sent_chunks);
    assert_int_equal(peer.came_bytes, 0);
    assert_int_equal(listed_state(&peer), STATE(ACTIVE));
    raw_send_credit(&client, peer.id, 4 * CHUNK);
    BOTH_UNTIL(&peer, peer.complete);
    check_came(&peer);
    assert_int_equal(listed_state(&peer), STATE(COMPLETING));
    both_finish(&peer);
    both_check(&other, "media", "kept", new_bytes, NEW_BYTES);
}

static void test_down_is_closed_first(void **state) {
    (void)state;
    struct both_ways peer;
    open_kept(&peer);
    BOTH_UNTIL(&peer, peer.complete);
    check_came(&peer);
    raw_send_completed(&client, peer.id);
    raw_echo(&client);
    assert_int_equal(listed_state(&peer), STATE(ACTIVE));
    both_send_all(&peer, new_bytes, NEW_BYTES, CHUNK, true);
    BOTH_UNTIL(&peer, peer.completed);
    assert_int_equal(peer.published_size, NEW_BYTES);
    both_close(&peer);
    both_check(&other, "media", "kept", new_bytes, NEW_BYTES);
}

/* An object that doesn't exist has an end, and no chunk. */
static void test_absent_object(void **state) {
    (void)state;
    struct both_ways peer;
    Trove__V1__Open open;
    both_init_open(&open, "media", "fresh");
    both_open(&peer, &client, &open);
    BOTH_UNTIL(&peer, peer.complete);
    assert_false(peer.has_object);
    assert_int_equal(peer.complete_size, 0);
    assert_int_equal(peer.complete_chunks, 0);
    both_send_all(&peer, new_bytes, NEW_BYTES, CHUNK, true);
    both_finish(&peer);
    both_check(&other, "media", "fresh", new_bytes, NEW_BYTES);
}

static void test_nothing_both_ways(void **state) {
    (void)state;
    struct both_ways peer;
    Trove__V1__Open open;
    both_init_open(&open, "media", "empty");
    both_open(&peer, &client, &open);
    both_send_complete(&peer);
    both_finish(&peer);
    both_check(&other, "media", "empty", NULL, 0);
    both_open(&peer, &client, &open); /* an object without bytes has a last chunk, as for a download */
    both_send_complete(&peer);
    BOTH_UNTIL(&peer, peer.complete);
    assert_true(peer.has_object && peer.final_came);
    both_finish(&peer);
}

static void test_a_range_comes_down(void **state) {
    (void)state;
    struct both_ways peer;
    Trove__V1__Open open;
    Trove__V1__ByteRange range = TROVE__V1__BYTE_RANGE__INIT;
    both_init_open(&open, "media", "kept");
    range.offset = 300001;
    range.length_given_case = TROVE__V1__BYTE_RANGE__LENGTH_GIVEN_LENGTH;
    range.length = 100000;
    open.range = &range;
    both_open(&peer, &client, &open);
    both_send_all(&peer, new_bytes, 10, 10, true);
    BOTH_UNTIL(&peer, peer.complete);
    assert_int_equal(peer.first_offset, 300001);
    assert_int_equal(peer.complete_size, 100000);
    assert_memory_equal(peer.bytes, old_bytes + 300001, 100000);
    both_finish(&peer);
    both_check(&other, "media", "kept", new_bytes, 10);
}

/* What came back as not taken goes down again, also when all had been sent. */
static void test_sent_again_after_the_end(void **state) {
    (void)state;
    for (int both = 0; both < 2; both++) {
        struct both_ways peer;
        Trove__V1__Open open;
        both_init_open(&open, "media", "kept");
        open.direction = both ? TROVE__V1__DIRECTION__BIDI : TROVE__V1__DIRECTION__DOWNLOAD;
        open.demand = both ? open.demand : 0;
        open.credit = (uint64_t)OLD_BYTES;
        open.channel_chunks = 16;
        both_open(&peer, &client, &open);
        peer.holds = true;
        BOTH_UNTIL(&peer, peer.complete);
        if (both)
            both_send_complete(&peer);
        uint64_t last = peer.came_chunks - 1;
        raw_send_ack(&client, peer.id, 0, last, 0, false);
        raw_send_ack(&client, peer.id, last, 1, 0, true);
        raw_frame *again = raw_expect(&client, peer.id, RAW_BODY(CHUNK));
        assert_int_equal(again->chunk->index, last);
        assert_true(again->chunk->final);
        assert_memory_equal(again->payload.data, old_bytes + again->chunk->offset, again->payload.len);
        raw_free(again);
        raw_send_ack(&client, peer.id, last, 1, 0, false);
        if (both)
            both_finish(&peer);
        else
            raw_send_completed(&client, peer.id);
        both_close(&peer);
    }
}

/* ---- nothing is published ---- */

/* All has been sent both ways, but the client hasn't said that it has what went down. */
static void open_all_but_completed(struct both_ways *peer) {
    open_kept(peer);
    both_send_all(peer, new_bytes, NEW_BYTES, CHUNK, true);
    BOTH_UNTIL(peer, peer->complete && peer->acked_chunks == peer->sent_chunks);
    wait_for_state(peer, STATE(COMPLETING));
}

static void test_cancelled_before_completed(void **state) {
    (void)state;
    struct both_ways peer;
    open_all_but_completed(&peer);
    check_old();
    assert_int_equal(both_control(&peer, CONTROL(CANCEL)), STATE(STREAM_CANCELLED));
    both_expect_end(&peer, CODE(CANCELLED), "cancelled");
    check_old();
}

static void test_lost_before_completed(void **state) {
    (void)state;
    struct both_ways peer;
    open_all_but_completed(&peer);
    raw_close(&client);
    both_close(&peer);
    both_wait_until_quiet(&other);
    check_old();
    connect_to(&client);
}

static void test_cancelled_half_way(void **state) {
    (void)state;
    struct both_ways peer;
    open_kept(&peer);
    peer.holds = true;
    both_send_all(&peer, new_bytes, 3 * CHUNK, CHUNK, false);
    BOTH_UNTIL(&peer, peer.came_chunks == 4);
    assert_int_equal(both_control(&peer, CONTROL(CANCEL)), STATE(STREAM_CANCELLED));
    both_expect_end(&peer, CODE(CANCELLED), "cancelled");
    check_old();
}

static void test_failed_by_the_client(void **state) {
    (void)state;
    struct both_ways peer;
    Trove__V1__Status status = TROVE__V1__STATUS__INIT;
    open_kept(&peer);
    status.code = CODE(DATA_LOSS);
    status.message = raw_text("the source is broken");
    raw_send_body(&client, peer.id, RAW_BODY(STATUS), &status.base);
    both_expect_end(&peer, CODE(DATA_LOSS), "source is broken");
    check_old();
}

/* ---- conditions ---- */

static void test_conditions_at_the_opening(void **state) {
    (void)state;
    struct both_ways peer;
    Trove__V1__Open open;
    Trove__V1__Conditions conditions = TROVE__V1__CONDITIONS__INIT;
    both_init_open(&open, "media", "kept");
    open.conditions = &conditions;
    conditions.if_none_match = true;
    both_open(&peer, &client, &open);
    both_expect_end(&peer, CODE(FAILED_PRECONDITION), "exists already");
    conditions.if_none_match = false;
    conditions.if_match = raw_text("00112233445566778899aabbccddeeff");
    both_open(&peer, &client, &open);
    both_expect_end(&peer, CODE(FAILED_PRECONDITION), "00112233445566778899aabbccddeeff");
    open.key = raw_text("nowhere");
    both_open(&peer, &client, &open);
    both_expect_end(&peer, CODE(FAILED_PRECONDITION), "doesn't exist");
    conditions.if_match = raw_text("");
    open.bucket = raw_text("nobuckethere");
    both_open(&peer, &client, &open);
    both_expect_end(&peer, CODE(NOT_FOUND), "nobuckethere");
}

/* Only if there was none: nothing comes down, and another one that was faster wins. */
static void test_if_none_match(void **state) {
    (void)state;
    static const char *const keys[] = {"first", "second"};
    for (int late = 0; late < 2; late++) {
        struct both_ways peer;
        Trove__V1__Open open;
        Trove__V1__Conditions conditions = TROVE__V1__CONDITIONS__INIT;
        both_init_open(&open, "media", keys[late]);
        open.conditions = &conditions;
        conditions.if_none_match = true;
        both_open(&peer, &client, &open);
        BOTH_UNTIL(&peer, peer.complete);
        assert_false(peer.has_object);
        if (late)
            both_put(&other, "media", keys[late], old_bytes, OLD_BYTES);
        both_send_all(&peer, new_bytes, NEW_BYTES, CHUNK, true);
        if (late) {
            raw_send_completed(&client, peer.id);
            both_expect_end(&peer, CODE(FAILED_PRECONDITION), "exists already");
            both_check(&other, "media", keys[late], old_bytes, OLD_BYTES);
        } else {
            both_finish(&peer);
            both_check(&other, "media", keys[late], new_bytes, NEW_BYTES);
        }
    }
}

/* What goes down is the version that was there at the opening. */
static void test_replaced_meanwhile(void **state) {
    (void)state;
    for (int conditional = 0; conditional < 2; conditional++) {
        struct both_ways peer;
        Trove__V1__Open open;
        Trove__V1__Conditions conditions = TROVE__V1__CONDITIONS__INIT;
        both_put(&other, "media", "kept", old_bytes, OLD_BYTES);
        Trove__V1__ObjectHeadResponse *head = both_head(&other, "media", "kept");
        both_init_open(&open, "media", "kept");
        conditions.if_generation = conditional ? head->object->generation : 0;
        open.conditions = &conditions;
        protobuf_c_message_free_unpacked(&head->base, NULL);
        both_open(&peer, &client, &open);
        BOTH_UNTIL(&peer, peer.opened);
        both_put(&other, "media", "kept", new_bytes, 777);
        both_send_all(&peer, new_bytes, NEW_BYTES, CHUNK, true);
        BOTH_UNTIL(&peer, peer.complete);
        check_came(&peer);
        raw_send_completed(&client, peer.id);
        if (conditional) {
            both_expect_end(&peer, CODE(FAILED_PRECONDITION), "generation");
            both_check(&other, "media", "kept", new_bytes, 777);
        } else {
            BOTH_UNTIL(&peer, peer.completed);
            both_close(&peer);
            both_check(&other, "media", "kept", new_bytes, NEW_BYTES);
        }
    }
}

/* ---- controls ---- */

static void test_a_pause_holds_both_ways(void **state) {
    (void)state;
    struct both_ways peer;
    Trove__V1__Open open;
    both_init_open(&open, "media", "kept");
    open.demand = CHUNK; /* so much is granted, and no more before it is there */
    open.credit = 0;
    both_open(&peer, &client, &open);
    BOTH_UNTIL(&peer, peer.opened);
    assert_int_equal(both_control(&peer, CONTROL(PAUSE)), STATE(PAUSED));
    both_send(&peer, new_bytes, CHUNK, false); /* it was under way: it is taken */
    raw_send_credit(&client, peer.id, 4 * CHUNK);
    BOTH_UNTIL(&peer, peer.acked_chunks == 1);
    raw_echo(&client);
    assert_int_equal(peer.came_chunks, 0);
    assert_int_equal(peer.credit_bytes, 0);
    assert_int_equal(both_control(&peer, CONTROL(RESUME)), STATE(ACTIVE));
    both_send_all(&peer, new_bytes + CHUNK, NEW_BYTES - CHUNK, CHUNK, true);
    BOTH_UNTIL(&peer, peer.complete);
    check_came(&peer);
    both_finish(&peer);
    both_check(&other, "media", "kept", new_bytes, NEW_BYTES);
}

/* The way down is closed, and the complete for the way up crosses a pause: it counts from the resume on. */
static void test_a_complete_crosses_a_pause(void **state) {
    (void)state;
    struct both_ways peer;
    open_kept(&peer);
    both_send_all(&peer, new_bytes, CHUNK, CHUNK, false);
    BOTH_UNTIL(&peer, peer.complete);
    raw_send_completed(&client, peer.id);
    assert_int_equal(both_control(&peer, CONTROL(PAUSE)), STATE(PAUSED));
    BOTH_UNTIL(&peer, peer.credit_bytes >= 10);
    both_send(&peer, new_bytes + CHUNK, 10, true);
    both_send_complete(&peer);
    BOTH_UNTIL(&peer, peer.acked_chunks == peer.sent_chunks);
    raw_echo(&client);
    check_old();
    assert_int_equal(both_control(&peer, CONTROL(RESUME)), STATE(COMPLETING));
    BOTH_UNTIL(&peer, peer.completed);
    both_close(&peer);
    both_check(&other, "media", "kept", new_bytes, CHUNK + 10);
}

/* The same where the way down isn't closed: the stream goes on. */
static void test_a_complete_crosses_a_pause_early(void **state) {
    (void)state;
    struct both_ways peer;
    Trove__V1__Open open;
    both_init_open(&open, "media", "kept");
    open.credit = 0;
    both_open(&peer, &client, &open);
    BOTH_UNTIL(&peer, peer.opened);
    assert_int_equal(both_control(&peer, CONTROL(PAUSE)), STATE(PAUSED));
    both_send(&peer, new_bytes, CHUNK, true);
    both_send_complete(&peer);
    BOTH_UNTIL(&peer, peer.acked_chunks == 1);
    assert_int_equal(both_control(&peer, CONTROL(RESUME)), STATE(ACTIVE));
    raw_send_credit(&client, peer.id, 4 * CHUNK);
    both_finish(&peer);
    both_check(&other, "media", "kept", new_bytes, CHUNK);
}

static Trove__V1__StreamState control_from_outside(const struct both_ways *peer, Trove__V1__ControlType type) {
    Trove__V1__StreamControlRequest request = TROVE__V1__STREAM_CONTROL_REQUEST__INIT;
    request.stream_id = peer->stream_id;
    request.type = type;
    uint64_t call = raw_call(&other, "trove.v1.Streams/Control", &request.base);
    ProtobufCMessage *answer = raw_answer(&other, call, &trove__v1__stream_control_response__descriptor);
    Trove__V1__StreamState state = ((const Trove__V1__StreamControlResponse *)answer)->state;
    protobuf_c_message_free_unpacked(answer, NULL);
    return state;
}

static void test_controls_from_outside(void **state) {
    (void)state;
    struct both_ways peer;
    open_kept(&peer);
    assert_int_equal(control_from_outside(&peer, CONTROL(PAUSE)), STATE(PAUSED));
    BOTH_UNTIL(&peer, peer.controls == 1);
    assert_int_equal(peer.control, CONTROL(PAUSE));
    assert_int_equal(control_from_outside(&peer, CONTROL(RESUME)), STATE(ACTIVE));
    BOTH_UNTIL(&peer, peer.controls == 2);
    BOTH_UNTIL(&peer, peer.complete);
    assert_int_equal(control_from_outside(&peer, CONTROL(CANCEL)), STATE(STREAM_CANCELLED));
    both_expect_end(&peer, CODE(CANCELLED), "was cancelled by");
    check_old();
}

static void test_opened_paused(void **state) {
    (void)state;
    struct both_ways peer;
    Trove__V1__Open open;
    both_init_open(&open, "media", "kept");
    open.paused = true;
    both_open(&peer, &client, &open);
    BOTH_UNTIL(&peer, peer.opened);
    raw_echo(&client);
    assert_int_equal(peer.credit_bytes, 0);
    assert_int_equal(both_control(&peer, CONTROL(START)), STATE(ACTIVE));
    both_send_all(&peer, new_bytes, NEW_BYTES, CHUNK, true);
    BOTH_UNTIL(&peer, peer.complete);
    check_came(&peer);
    both_finish(&peer);
}

static void test_seek_is_refused(void **state) {
    (void)state;
    struct both_ways peer;
    open_kept(&peer);
    (void)both_control(&peer, CONTROL(SEEK));
    assert_int_equal(peer.refusal, CODE(FAILED_PRECONDITION));
    assert_int_equal(peer.state, STATE(ACTIVE));
    both_send_all(&peer, new_bytes, NEW_BYTES, CHUNK, true);
    BOTH_UNTIL(&peer, peer.complete);
    check_came(&peer);
    both_finish(&peer);
}

/* ---- losses ---- */

static void test_lossy_both_ways(void **state) {
    (void)state;
    struct both_ways peer;
    Trove__V1__Open open;
    Trove__V1__Gap gap = TROVE__V1__GAP__INIT;
    both_init_open(&open, "media", "kept");
    open.lossy = true;
    open.backpressure = TROVE__V1__BACKPRESSURE__DROP;
    open.credit = 2 * CHUNK;
    both_open(&peer, &client, &open);
    BOTH_UNTIL(&peer, peer.opened);
    both_send_all(&peer, new_bytes, CHUNK, CHUNK, false);
    gap.first_index = 1;
    gap.count = 3;
    gap.offset = CHUNK;
    gap.length = 3 * CHUNK;
    raw_send_body(&client, peer.id, RAW_BODY(GAP), &gap.base);
    peer.sent_bytes += gap.length;
    peer.sent_chunks += gap.count;
    both_send_all(&peer, new_bytes + peer.sent_bytes, 100, CHUNK, true);
    /* What comes down is acknowledged with credit only now and then: meanwhile the oldest chunks are lost. */
    BOTH_UNTIL(&peer, peer.complete);
    for (uint64_t i = 0; i < peer.came_bytes; i++)
        assert_true(peer.bytes[i] == old_bytes[i] || peer.bytes[i] == 0);
    raw_send_completed(&client, peer.id);
    BOTH_UNTIL(&peer, peer.completed);
    assert_int_equal(peer.dropped_chunks, 3);
    assert_int_equal(peer.dropped_bytes, 3 * CHUNK);
    both_close(&peer);
    Trove__V1__ObjectHeadResponse *head = both_head(&other, "media", "kept");
    assert_int_equal(head->object->size, 4 * CHUNK + 100);
    assert_int_equal(head->n_gaps, 1);
    assert_int_equal(head->gaps[0]->offset, CHUNK);
    assert_int_equal(head->gaps[0]->length, 3 * CHUNK);
    protobuf_c_message_free_unpacked(&head->base, NULL);
}

/* A client that doesn't read loses what came first, and never the last. */
static void test_drops_downwards(void **state) {
    (void)state;
    struct both_ways peer;
    Trove__V1__Open open;
    both_init_open(&open, "media", "kept");
    open.lossy = true;
    open.backpressure = TROVE__V1__BACKPRESSURE__DROP;
    open.credit = 0;
    both_open(&peer, &client, &open);
    both_send_all(&peer, new_bytes, NEW_BYTES, CHUNK, true);
    /* It reads on whether the client keeps up or not: to the end, with a full window left. */
    for (uint64_t drops = 0, looks = 0; drops == 0; looks++) {
        Trove__V1__StreamListResponse *list = both_streams(&other);
        drops = list->streams[0]->offset > 0 ? list->streams[0]->drops : 0;
        protobuf_c_message_free_unpacked(&list->base, NULL);
        assert_true(looks < 1000000);
    }
    raw_send_credit(&client, peer.id, 4 * CHUNK);
    BOTH_UNTIL(&peer, peer.complete);
    assert_true(peer.lost_chunks > 0 && peer.final_came);
    assert_int_equal(peer.came_bytes, OLD_BYTES);
    assert_memory_equal(peer.bytes + OLD_BYTES - 1000, old_bytes + OLD_BYTES - 1000, 1000);
    both_finish(&peer);
    both_check(&other, "media", "kept", new_bytes, NEW_BYTES);
}

/* ---- frames that don't belong ---- */

static void chunk_beyond_the_credit(struct both_ways *peer) {
    assert_int_equal(both_control(peer, CONTROL(PAUSE)), STATE(PAUSED)); /* nothing is granted any more */
    for (unsigned i = 0; i < 5; i++)
        both_send(peer, new_bytes, CHUNK, false);
}

static void chunk_after_complete(struct both_ways *peer) {
    both_send_complete(peer);
    both_send(peer, new_bytes, CHUNK, false);
}

static void gap_of_no_lossy(struct both_ways *peer) {
    Trove__V1__Gap gap = TROVE__V1__GAP__INIT;
    gap.count = 1;
    gap.length = CHUNK;
    raw_send_body(&client, peer->id, RAW_BODY(GAP), &gap.base);
}

static void complete_early(struct both_ways *peer) {
    both_send(peer, new_bytes, CHUNK, false);
    both_send_complete(peer);
}

static void complete_twice(struct both_ways *peer) {
    both_send_complete(peer);
    both_send_complete(peer);
}

static void completed_early(struct both_ways *peer) {
    raw_send_completed(&client, peer->id);
}

static void completed_twice(struct both_ways *peer) {
    raw_send_credit(&client, peer->id, OLD_BYTES);
    BOTH_UNTIL(peer, peer->complete);
    raw_send_completed(&client, peer->id);
    raw_send_completed(&client, peer->id);
}

static void ack_of_nothing(struct both_ways *peer) {
    raw_send_ack(&client, peer->id, 0, 1, 0, false);
}

static void ack_where_nothing_is_sent(struct both_ways *peer) {
    both_control(peer, CONTROL(CANCEL));
    both_expect_end(peer, CODE(CANCELLED), "cancelled");
    Trove__V1__Open open;
    both_init_open(&open, "media", "absent");
    both_open(peer, &client, &open);
    BOTH_UNTIL(peer, peer->complete);
    raw_send_ack(&client, peer->id, 0, 1, 0, false);
}

static void wrong_size(struct both_ways *peer) {
    raw_send_complete(&client, peer->id, 0, 0);
    raw_send_credit(&client, peer->id, OLD_BYTES);
    BOTH_UNTIL(peer, peer->complete);
    peer->sent_bytes = 0;
    raw_send_completed(&client, peer->id);
}

static void test_wrong_frames(void **state) {
    (void)state;
    static const struct {
        const char *name;
        void (*send)(struct both_ways *peer);
        Trove__V1__Code code;
        const char *word;
        uint64_t declared;
    } rows[] = {
        {"chunk beyond the credit", chunk_beyond_the_credit, CODE(RESOURCE_EXHAUSTED), "wait for credit", 0},
        {"chunk after complete", chunk_after_complete, CODE(INVALID_ARGUMENT), "after its complete", 0},
        {"gap of a stream that isn't lossy", gap_of_no_lossy, CODE(INVALID_ARGUMENT), "lossy", 0},
        {"complete before the final chunk", complete_early, CODE(FAILED_PRECONDITION), "final chunk", 0},
        {"complete twice", complete_twice, CODE(FAILED_PRECONDITION), "twice", 0},
        {"completed before all was sent", completed_early, CODE(FAILED_PRECONDITION), "before everything", 0},
        {"completed twice", completed_twice, CODE(FAILED_PRECONDITION), "twice", 0},
        {"acknowledgement of nothing", ack_of_nothing, CODE(INVALID_ARGUMENT), "acknowledged", 0},
        {"acknowledgement where nothing is sent", ack_where_nothing_is_sent, CODE(INVALID_ARGUMENT), "before anything", 0},
        {"another size than declared", wrong_size, CODE(INVALID_ARGUMENT), "5 bytes were announced", 5},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct both_ways peer;
        Trove__V1__Open open;
        print_message("  %s\n", rows[i].name);
        both_init_open(&open, "media", "kept");
        open.credit = 0;
        open.size_given_case = rows[i].declared != 0 ? TROVE__V1__OPEN__SIZE_GIVEN_SIZE : TROVE__V1__OPEN__SIZE_GIVEN__NOT_SET;
        open.size = rows[i].declared;
        both_open(&peer, &client, &open);
        peer.may_fail = true;
        BOTH_UNTIL(&peer, peer.opened);
        rows[i].send(&peer);
        both_expect_end(&peer, rows[i].code, rows[i].word);
        raw_echo(&client); /* the connection goes on */
    }
    check_old();
    both_check_absent(&other, "media", "absent");
}

/* ---- the pool ---- */

/* It has one place, and is counted once. */
static void test_one_place_in_its_pool(void **state) {
    (void)state;
    struct both_ways peer, waiting;
    Trove__V1__Open open;
    ProtobufCMessage *answer;
    both_init_open(&open, "media", "kept");
    open.pool = raw_text("one");
    uint64_t before = both_pool(&other, "one", &answer)->total_streams;
    protobuf_c_message_free_unpacked(answer, NULL);
    both_open(&peer, &client, &open);
    BOTH_UNTIL(&peer, peer.opened);
    const Trove__V1__PoolInfo *pool = both_pool(&other, "one", &answer);
    assert_int_equal(pool->streams_active, 1);
    assert_int_equal(pool->total_streams, before + 1);
    uint64_t bytes_before = pool->total_bytes;
    protobuf_c_message_free_unpacked(answer, NULL);
    struct raw_client queue;
    connect_to(&queue);
    both_open(&waiting, &queue, &open);
    raw_echo(&queue); /* it isn't opened */
    both_send_all(&peer, new_bytes, NEW_BYTES, CHUNK, true);
    both_finish(&peer);
    BOTH_UNTIL(&waiting, waiting.opened);
    assert_int_equal(waiting.object_size, NEW_BYTES);
    pool = both_pool(&other, "one", &answer);
    assert_int_equal(pool->total_bytes, bytes_before + OLD_BYTES + NEW_BYTES); /* both ways; the rest isn't acknowledged yet */
    protobuf_c_message_free_unpacked(answer, NULL);
    raw_close(&queue);
    both_close(&waiting);
}

static void test_timeouts(void **state) {
    (void)state;
    static const char *const pools[] = {"idle", "brief"};
    static const char *const words[] = {"idle_timeout", "stream_timeout"};
    struct both_ways peers[2];
    for (size_t i = 0; i < 2; i++) {
        Trove__V1__Open open;
        both_init_open(&open, "media", "kept");
        open.pool = raw_text(pools[i]);
        both_open(&peers[i], &client, &open);
        peers[i].may_fail = peers[i].holds = true;
    }
    while (!peers[0].ended || !peers[1].ended)
        both_take(peers, 2);
    for (size_t i = 0; i < 2; i++)
        both_expect_end(&peers[i], CODE(DEADLINE_EXCEEDED), words[i]);
    check_old();
}

static uint64_t now_ms(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* The limit is for both ways together: neither of them would take so long alone. */
static void test_bandwidth_both_ways(void **state) {
    (void)state;
    struct both_ways peer;
    Trove__V1__Open open;
    uint64_t begun_ms = now_ms();
    both_init_open(&open, "media", "kept");
    open.pool = raw_text("slow");
    both_open(&peer, &client, &open);
    both_send_all(&peer, new_bytes, NEW_BYTES, CHUNK, true);
    BOTH_UNTIL(&peer, peer.complete);
    check_came(&peer);
    both_finish(&peer);
    assert_true(now_ms() - begun_ms >= SLOW_MS - SLOW_MS / 4); /* but for the burst */
    both_check(&other, "media", "kept", new_bytes, NEW_BYTES);
}

/* Far more streams than the memory has windows for, all of which want both ways: each gets its turn, and the budget holds. */
#define MANY       32
#define MANY_BYTES ((size_t)1 << 20)

static bool step_of_many(struct both_ways *peer) {
    size_t left = MANY_BYTES - peer->sent_bytes;
    size_t step = left < MANY_BYTES / 4 ? left : MANY_BYTES / 4;
    if (left > 0 && peer->opened && peer->credit_bytes >= step) {
        both_send(peer, new_bytes + peer->sent_bytes, step, step == left);
        if (step == left)
            both_send_complete(peer);
    }
    if (peer->complete && peer->may_fail) { /* used as a mark here: it was told once */
        raw_send_completed(peer->client, peer->id);
        peer->may_fail = false;
    }
    return peer->completed;
}

static void test_many_within_the_memory(void **state) {
    (void)state;
    struct both_ways *peers = calloc(MANY, sizeof *peers);
    assert_non_null(peers);
    Trove__V1__Open open;
    both_put(&other, "media", "large", old_bytes, MANY_BYTES);
    both_init_open(&open, "media", "large");
    open.chunk_bytes = MANY_BYTES / 4;
    open.demand = open.credit = MANY_BYTES;
    for (size_t i = 0; i < MANY; i++) {
        both_open(&peers[i], &client, &open);
        peers[i].may_fail = true;
    }
    for (size_t done = 0; done < MANY;) {
        both_take(peers, MANY);
        done = 0;
        for (size_t i = 0; i < MANY; i++)
            done += step_of_many(&peers[i]);
    }
    ProtobufCMessage *answer;
    const Trove__V1__PoolInfo *pool = both_pool(&other, "default", &answer);
    assert_true(pool->memory_high_water_bytes <= pool->memory_budget_bytes);
    protobuf_c_message_free_unpacked(answer, NULL);
    for (size_t i = 0; i < MANY; i++) {
        assert_int_equal(peers[i].came_bytes, MANY_BYTES);
        both_close(&peers[i]);
    }
    free(peers);
    both_check(&other, "media", "large", new_bytes, MANY_BYTES);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, begin_test, end_test)

static int run_group(const char *store) {
    const struct CMUnitTest tests[] = {
        TEST(test_both_at_once),
        TEST(test_up_is_closed_first),
        TEST(test_down_is_closed_first),
        TEST(test_absent_object),
        TEST(test_nothing_both_ways),
        TEST(test_a_range_comes_down),
        TEST(test_sent_again_after_the_end),
        TEST(test_cancelled_before_completed),
        TEST(test_lost_before_completed),
        TEST(test_cancelled_half_way),
        TEST(test_failed_by_the_client),
        TEST(test_conditions_at_the_opening),
        TEST(test_if_none_match),
        TEST(test_replaced_meanwhile),
        TEST(test_a_pause_holds_both_ways),
        TEST(test_a_complete_crosses_a_pause),
        TEST(test_a_complete_crosses_a_pause_early),
        TEST(test_controls_from_outside),
        TEST(test_opened_paused),
        TEST(test_seek_is_refused),
        TEST(test_lossy_both_ways),
        TEST(test_drops_downwards),
        TEST(test_wrong_frames),
        TEST(test_one_place_in_its_pool),
        TEST(test_timeouts),
        TEST(test_bandwidth_both_ways),
        TEST(test_many_within_the_memory),
    };
    group_store = store;
    print_message("---- %s ----\n", store);
    return cmocka_run_group_tests_name(store, tests, begin_group, end_group);
}

int main(void) {
    for (size_t i = 0; i < sizeof old_bytes; i++) {
        old_bytes[i] = (uint8_t)((i * 2654435761u >> 13) | 1); /* never zero */
        new_bytes[i] = (uint8_t)((i * 2246822519u >> 11) | 1);
    }
    int failed = run_group("mem://");
    failed += run_group("local://%s/store");
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
