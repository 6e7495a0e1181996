/* two_way.c - streams that move both ways at once: what comes up becomes the next version of the object while the current one
 * goes down. Frame by frame, against mem:// and local://. (Controls, losses, limits: two_way_limits.c.)
 */
#include "two_way.h"

/* ---- both ways ---- */

static void test_both_at_once(void **state) {
    (void)state;
    struct both_ways peer;
    both_open_kept(&peer);
    assert_true(peer.has_object && !peer.writer);
    assert_int_equal(peer.object_size, OLD_BYTES);
    assert_int_equal(peer.credit_bytes, 4 * CHUNK);
    both_send_all(&peer, both_new_bytes, NEW_BYTES, 10000, true);
    BOTH_UNTIL(&peer, peer.complete);
    both_check_came(&peer);
    assert_string_not_equal(peer.complete_etag, "");
    both_check_old(); /* nothing is published yet */
    raw_send_completed(&both_client, peer.id);
    BOTH_UNTIL(&peer, peer.completed);
    assert_int_equal(peer.published_size, NEW_BYTES);
    assert_int_equal(peer.acked_chunks, peer.sent_chunks);
    both_close(&peer);
    both_check(&both_other, "media", "kept", both_new_bytes, NEW_BYTES);
}

static void test_up_is_closed_first(void **state) {
    (void)state;
    struct both_ways peer;
    Trove__V1__Open open;
    both_init_open(&open, "media", "kept");
    open.credit = 0;
    both_open(&peer, &both_client, &open);
    both_send_all(&peer, both_new_bytes, NEW_BYTES, CHUNK, true);
    BOTH_UNTIL(&peer, peer.acked_chunks == peer.sent_chunks);
    assert_int_equal(peer.came_bytes, 0);
    assert_int_equal(both_listed_state(&peer), STATE(ACTIVE));
    raw_send_credit(&both_client, peer.id, 4 * CHUNK);
    BOTH_UNTIL(&peer, peer.complete);
    both_check_came(&peer);
    assert_int_equal(both_listed_state(&peer), STATE(COMPLETING));
    both_finish(&peer);
    both_check(&both_other, "media", "kept", both_new_bytes, NEW_BYTES);
}

static void test_down_is_closed_first(void **state) {
    (void)state;
    struct both_ways peer;
    both_open_kept(&peer);
    BOTH_UNTIL(&peer, peer.complete);
    both_check_came(&peer);
    raw_send_completed(&both_client, peer.id);
    raw_echo(&both_client);
    assert_int_equal(both_listed_state(&peer), STATE(ACTIVE));
    both_send_all(&peer, both_new_bytes, NEW_BYTES, CHUNK, true);
    BOTH_UNTIL(&peer, peer.completed);
    assert_int_equal(peer.published_size, NEW_BYTES);
    both_close(&peer);
    both_check(&both_other, "media", "kept", both_new_bytes, NEW_BYTES);
}

/* An object that doesn't exist has an end, and no chunk. */
static void test_absent_object(void **state) {
    (void)state;
    struct both_ways peer;
    Trove__V1__Open open;
    both_init_open(&open, "media", "fresh");
    both_open(&peer, &both_client, &open);
    BOTH_UNTIL(&peer, peer.complete);
    assert_false(peer.has_object);
    assert_int_equal(peer.complete_size, 0);
    assert_int_equal(peer.complete_chunks, 0);
    both_send_all(&peer, both_new_bytes, NEW_BYTES, CHUNK, true);
    both_finish(&peer);
    both_check(&both_other, "media", "fresh", both_new_bytes, NEW_BYTES);
}

static void test_nothing_both_ways(void **state) {
    (void)state;
    struct both_ways peer;
    Trove__V1__Open open;
    both_init_open(&open, "media", "empty");
    both_open(&peer, &both_client, &open);
    both_send_complete(&peer);
    both_finish(&peer);
    both_check(&both_other, "media", "empty", NULL, 0);
    both_open(&peer, &both_client, &open); /* an object without bytes has a last chunk, as for a download */
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
    both_open(&peer, &both_client, &open);
    both_send_all(&peer, both_new_bytes, 10, 10, true);
    BOTH_UNTIL(&peer, peer.complete);
    assert_int_equal(peer.first_offset, 300001);
    assert_int_equal(peer.complete_size, 100000);
    assert_memory_equal(peer.bytes, both_old_bytes + 300001, 100000);
    both_finish(&peer);
    both_check(&both_other, "media", "kept", both_new_bytes, 10);
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
        both_open(&peer, &both_client, &open);
        peer.holds = true;
        BOTH_UNTIL(&peer, peer.complete);
        if (both)
            both_send_complete(&peer);
        uint64_t last = peer.came_chunks - 1;
        raw_send_ack(&both_client, peer.id, 0, last, 0, false);
        raw_send_ack(&both_client, peer.id, last, 1, 0, true);
        raw_frame *again = raw_expect(&both_client, peer.id, RAW_BODY(CHUNK));
        assert_int_equal(again->chunk->index, last);
        assert_true(again->chunk->final);
        assert_memory_equal(again->payload.data, both_old_bytes + again->chunk->offset, again->payload.len);
        raw_free(again);
        raw_send_ack(&both_client, peer.id, last, 1, 0, false);
        if (both)
            both_finish(&peer);
        else
            raw_send_completed(&both_client, peer.id);
        both_close(&peer);
    }
}

/* ---- nothing is published ---- */

/* All has been sent both ways, but the client hasn't said that it has what went down. */
static void open_all_but_completed(struct both_ways *peer) {
    both_open_kept(peer);
    both_send_all(peer, both_new_bytes, NEW_BYTES, CHUNK, true);
    BOTH_UNTIL(peer, peer->complete && peer->acked_chunks == peer->sent_chunks);
    both_wait_for_state(peer, STATE(COMPLETING));
}

static void test_cancelled_before_completed(void **state) {
    (void)state;
    struct both_ways peer;
    open_all_but_completed(&peer);
    both_check_old();
    assert_int_equal(both_control(&peer, CONTROL(CANCEL)), STATE(STREAM_CANCELLED));
    both_expect_end(&peer, CODE(CANCELLED), "cancelled");
    both_check_old();
}

static void test_lost_before_completed(void **state) {
    (void)state;
    struct both_ways peer;
    open_all_but_completed(&peer);
    raw_close(&both_client);
    both_close(&peer);
    both_wait_until_quiet(&both_other);
    both_check_old();
    both_connect(&both_client);
}

static void test_cancelled_half_way(void **state) {
    (void)state;
    struct both_ways peer;
    both_open_kept(&peer);
    peer.holds = true;
    both_send_all(&peer, both_new_bytes, 3 * CHUNK, CHUNK, false);
    BOTH_UNTIL(&peer, peer.came_chunks == 4);
    assert_int_equal(both_control(&peer, CONTROL(CANCEL)), STATE(STREAM_CANCELLED));
    both_expect_end(&peer, CODE(CANCELLED), "cancelled");
    both_check_old();
}

static void test_failed_by_the_client(void **state) {
    (void)state;
    struct both_ways peer;
    Trove__V1__Status status = TROVE__V1__STATUS__INIT;
    both_open_kept(&peer);
    status.code = CODE(DATA_LOSS);
    status.message = raw_text("the source is broken");
    raw_send_body(&both_client, peer.id, RAW_BODY(STATUS), &status.base);
    both_expect_end(&peer, CODE(DATA_LOSS), "source is broken");
    both_check_old();
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
    both_open(&peer, &both_client, &open);
    both_expect_end(&peer, CODE(FAILED_PRECONDITION), "exists already");
    conditions.if_none_match = false;
    conditions.if_match = raw_text("00112233445566778899aabbccddeeff");
    both_open(&peer, &both_client, &open);
    both_expect_end(&peer, CODE(FAILED_PRECONDITION), "00112233445566778899aabbccddeeff");
    open.key = raw_text("nowhere");
    both_open(&peer, &both_client, &open);
    both_expect_end(&peer, CODE(FAILED_PRECONDITION), "doesn't exist");
    conditions.if_match = raw_text("");
    open.bucket = raw_text("nobuckethere");
    both_open(&peer, &both_client, &open);
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
        both_open(&peer, &both_client, &open);
        BOTH_UNTIL(&peer, peer.complete);
        assert_false(peer.has_object);
        if (late)
            both_put(&both_other, "media", keys[late], both_old_bytes, OLD_BYTES);
        both_send_all(&peer, both_new_bytes, NEW_BYTES, CHUNK, true);
        if (late) {
            raw_send_completed(&both_client, peer.id);
            both_expect_end(&peer, CODE(FAILED_PRECONDITION), "exists already");
            both_check(&both_other, "media", keys[late], both_old_bytes, OLD_BYTES);
        } else {
            both_finish(&peer);
            both_check(&both_other, "media", keys[late], both_new_bytes, NEW_BYTES);
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
        both_put(&both_other, "media", "kept", both_old_bytes, OLD_BYTES);
        Trove__V1__ObjectHeadResponse *head = both_head(&both_other, "media", "kept");
        both_init_open(&open, "media", "kept");
        conditions.if_generation = conditional ? head->object->generation : 0;
        open.conditions = &conditions;
        protobuf_c_message_free_unpacked(&head->base, NULL);
        both_open(&peer, &both_client, &open);
        BOTH_UNTIL(&peer, peer.opened);
        both_put(&both_other, "media", "kept", both_new_bytes, 777);
        both_send_all(&peer, both_new_bytes, NEW_BYTES, CHUNK, true);
        BOTH_UNTIL(&peer, peer.complete);
        both_check_came(&peer);
        raw_send_completed(&both_client, peer.id);
        if (conditional) {
            both_expect_end(&peer, CODE(FAILED_PRECONDITION), "generation");
            both_check(&both_other, "media", "kept", both_new_bytes, 777);
        } else {
            BOTH_UNTIL(&peer, peer.completed);
            both_close(&peer);
            both_check(&both_other, "media", "kept", both_new_bytes, NEW_BYTES);
        }
    }
}

int main(void) {
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
    };
    return both_run(tests, sizeof tests / sizeof tests[0]);
}
