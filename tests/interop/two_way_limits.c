/* two_way_limits.c - two-way streams frame by frame: controls, what is lost, frames that don't belong, and a pool's limits. */
#include "two_way.h"

#include <time.h>

#define SLOW_MS ((OLD_BYTES + NEW_BYTES) * 1000 / ((size_t)2 << 20)) /* for both ways, of the pool "slow" */

/* ---- controls ---- */

static void test_a_pause_holds_both_ways(void **state) {
    (void)state;
    struct both_ways peer;
    Trove__V1__Open open;
    both_init_open(&open, "media", "kept");
    open.demand = CHUNK; /* so much is granted, and no more before it is there */
    open.credit = 0;
    both_open(&peer, &both_client, &open);
    BOTH_UNTIL(&peer, peer.opened);
    assert_int_equal(both_control(&peer, CONTROL(PAUSE)), STATE(PAUSED));
    both_send(&peer, both_new_bytes, CHUNK, false); /* it was under way: it is taken */
    raw_send_credit(&both_client, peer.id, 4 * CHUNK);
    BOTH_UNTIL(&peer, peer.acked_chunks == 1);
    raw_echo(&both_client);
    assert_int_equal(peer.came_chunks, 0);
    assert_int_equal(peer.credit_bytes, 0);
    assert_int_equal(both_control(&peer, CONTROL(RESUME)), STATE(ACTIVE));
    both_send_all(&peer, both_new_bytes + CHUNK, NEW_BYTES - CHUNK, CHUNK, true);
    BOTH_UNTIL(&peer, peer.complete);
    both_check_came(&peer);
    both_finish(&peer);
    both_check(&both_other, "media", "kept", both_new_bytes, NEW_BYTES);
}

/* The way down is closed, and the complete for the way up crosses a pause: it counts from the resume on. */
static void test_a_complete_crosses_a_pause(void **state) {
    (void)state;
    struct both_ways peer;
    both_open_kept(&peer);
    both_send_all(&peer, both_new_bytes, CHUNK, CHUNK, false);
    BOTH_UNTIL(&peer, peer.complete);
    raw_send_completed(&both_client, peer.id);
    assert_int_equal(both_control(&peer, CONTROL(PAUSE)), STATE(PAUSED));
    BOTH_UNTIL(&peer, peer.credit_bytes >= 10);
    both_send(&peer, both_new_bytes + CHUNK, 10, true);
    both_send_complete(&peer);
    BOTH_UNTIL(&peer, peer.acked_chunks == peer.sent_chunks);
    raw_echo(&both_client);
    both_check_old();
    assert_int_equal(both_control(&peer, CONTROL(RESUME)), STATE(COMPLETING));
    BOTH_UNTIL(&peer, peer.completed);
    both_close(&peer);
    both_check(&both_other, "media", "kept", both_new_bytes, CHUNK + 10);
}

/* The same where the way down isn't closed: the stream goes on. */
static void test_a_complete_crosses_a_pause_early(void **state) {
    (void)state;
    struct both_ways peer;
    Trove__V1__Open open;
    both_init_open(&open, "media", "kept");
    open.credit = 0;
    both_open(&peer, &both_client, &open);
    BOTH_UNTIL(&peer, peer.opened);
    assert_int_equal(both_control(&peer, CONTROL(PAUSE)), STATE(PAUSED));
    both_send(&peer, both_new_bytes, CHUNK, true);
    both_send_complete(&peer);
    BOTH_UNTIL(&peer, peer.acked_chunks == 1);
    assert_int_equal(both_control(&peer, CONTROL(RESUME)), STATE(ACTIVE));
    raw_send_credit(&both_client, peer.id, 4 * CHUNK);
    both_finish(&peer);
    both_check(&both_other, "media", "kept", both_new_bytes, CHUNK);
}

static Trove__V1__StreamState control_from_outside(const struct both_ways *peer, Trove__V1__ControlType type) {
    Trove__V1__StreamControlRequest request = TROVE__V1__STREAM_CONTROL_REQUEST__INIT;
    request.stream_id = peer->stream_id;
    request.type = type;
    uint64_t call = raw_call(&both_other, "trove.v1.Streams/Control", &request.base);
    ProtobufCMessage *answer = raw_answer(&both_other, call, &trove__v1__stream_control_response__descriptor);
    Trove__V1__StreamState state = ((const Trove__V1__StreamControlResponse *)answer)->state;
    protobuf_c_message_free_unpacked(answer, NULL);
    return state;
}

static void test_controls_from_outside(void **state) {
    (void)state;
    struct both_ways peer;
    both_open_kept(&peer);
    assert_int_equal(control_from_outside(&peer, CONTROL(PAUSE)), STATE(PAUSED));
    BOTH_UNTIL(&peer, peer.controls == 1);
    assert_int_equal(peer.control, CONTROL(PAUSE));
    assert_int_equal(control_from_outside(&peer, CONTROL(RESUME)), STATE(ACTIVE));
    BOTH_UNTIL(&peer, peer.controls == 2);
    BOTH_UNTIL(&peer, peer.complete);
    assert_int_equal(control_from_outside(&peer, CONTROL(CANCEL)), STATE(STREAM_CANCELLED));
    both_expect_end(&peer, CODE(CANCELLED), "was cancelled by");
    both_check_old();
}

static void test_opened_paused(void **state) {
    (void)state;
    struct both_ways peer;
    Trove__V1__Open open;
    both_init_open(&open, "media", "kept");
    open.paused = true;
    both_open(&peer, &both_client, &open);
    BOTH_UNTIL(&peer, peer.opened);
    raw_echo(&both_client);
    assert_int_equal(peer.credit_bytes, 0);
    assert_int_equal(both_control(&peer, CONTROL(START)), STATE(ACTIVE));
    both_send_all(&peer, both_new_bytes, NEW_BYTES, CHUNK, true);
    BOTH_UNTIL(&peer, peer.complete);
    both_check_came(&peer);
    both_finish(&peer);
}

static void test_seek_is_refused(void **state) {
    (void)state;
    struct both_ways peer;
    both_open_kept(&peer);
    (void)both_control(&peer, CONTROL(SEEK));
    assert_int_equal(peer.refusal, CODE(FAILED_PRECONDITION));
    assert_int_equal(peer.state, STATE(ACTIVE));
    both_send_all(&peer, both_new_bytes, NEW_BYTES, CHUNK, true);
    BOTH_UNTIL(&peer, peer.complete);
    both_check_came(&peer);
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
    open.backpressure_given_case = TROVE__V1__OPEN__BACKPRESSURE_GIVEN_BACKPRESSURE;
    open.backpressure = TROVE__V1__BACKPRESSURE__DROP;
    open.credit = 2 * CHUNK;
    both_open(&peer, &both_client, &open);
    BOTH_UNTIL(&peer, peer.opened);
    both_send_all(&peer, both_new_bytes, CHUNK, CHUNK, false);
    gap.first_index = 1;
    gap.count = 3;
    gap.offset = CHUNK;
    gap.length = 3 * CHUNK;
    raw_send_body(&both_client, peer.id, RAW_BODY(GAP), &gap.base);
    peer.sent_bytes += gap.length;
    peer.sent_chunks += gap.count;
    both_send_all(&peer, both_new_bytes + peer.sent_bytes, 100, CHUNK, true);
    /* What comes down is acknowledged with credit only now and then: meanwhile the oldest chunks are lost. */
    BOTH_UNTIL(&peer, peer.complete);
    for (uint64_t i = 0; i < peer.came_bytes; i++)
        assert_true(peer.bytes[i] == both_old_bytes[i] || peer.bytes[i] == 0);
    raw_send_completed(&both_client, peer.id);
    BOTH_UNTIL(&peer, peer.completed);
    assert_int_equal(peer.dropped_chunks, 3);
    assert_int_equal(peer.dropped_bytes, 3 * CHUNK);
    both_close(&peer);
    Trove__V1__ObjectHeadResponse *head = both_head(&both_other, "media", "kept");
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
    open.backpressure_given_case = TROVE__V1__OPEN__BACKPRESSURE_GIVEN_BACKPRESSURE;
    open.backpressure = TROVE__V1__BACKPRESSURE__DROP;
    open.credit = 0;
    both_open(&peer, &both_client, &open);
    both_send_all(&peer, both_new_bytes, NEW_BYTES, CHUNK, true);
    /* It reads on whether the client keeps up or not: to the end, with a full window left. */
    for (uint64_t drops = 0, looks = 0; drops == 0; looks++) {
        Trove__V1__StreamListResponse *list = both_streams(&both_other);
        drops = list->streams[0]->offset > 0 ? list->streams[0]->drops : 0;
        protobuf_c_message_free_unpacked(&list->base, NULL);
        assert_true(looks < 1000000);
    }
    raw_send_credit(&both_client, peer.id, 4 * CHUNK);
    BOTH_UNTIL(&peer, peer.complete);
    assert_true(peer.lost_chunks > 0 && peer.final_came);
    assert_int_equal(peer.came_bytes, OLD_BYTES);
    assert_memory_equal(peer.bytes + OLD_BYTES - 1000, both_old_bytes + OLD_BYTES - 1000, 1000);
    both_finish(&peer);
    both_check(&both_other, "media", "kept", both_new_bytes, NEW_BYTES);
}

/* ---- frames that don't belong ---- */

static void chunk_beyond_the_credit(struct both_ways *peer) {
    assert_int_equal(both_control(peer, CONTROL(PAUSE)), STATE(PAUSED)); /* nothing is granted any more */
    for (unsigned i = 0; i < 5; i++)
        both_send(peer, both_new_bytes, CHUNK, false);
}

static void chunk_after_complete(struct both_ways *peer) {
    both_send_complete(peer);
    both_send(peer, both_new_bytes, CHUNK, false);
}

static void gap_of_no_lossy(struct both_ways *peer) {
    Trove__V1__Gap gap = TROVE__V1__GAP__INIT;
    gap.count = 1;
    gap.length = CHUNK;
    raw_send_body(&both_client, peer->id, RAW_BODY(GAP), &gap.base);
}

static void complete_early(struct both_ways *peer) {
    both_send(peer, both_new_bytes, CHUNK, false);
    both_send_complete(peer);
}

static void complete_twice(struct both_ways *peer) {
    both_send_complete(peer);
    both_send_complete(peer);
}

static void completed_early(struct both_ways *peer) {
    raw_send_completed(&both_client, peer->id);
}

static void completed_twice(struct both_ways *peer) {
    raw_send_credit(&both_client, peer->id, OLD_BYTES);
    BOTH_UNTIL(peer, peer->complete);
    raw_send_completed(&both_client, peer->id);
    raw_send_completed(&both_client, peer->id);
}

static void ack_of_nothing(struct both_ways *peer) {
    raw_send_ack(&both_client, peer->id, 0, 1, 0, false);
}

static void ack_where_nothing_is_sent(struct both_ways *peer) {
    both_control(peer, CONTROL(CANCEL));
    both_expect_end(peer, CODE(CANCELLED), "cancelled");
    Trove__V1__Open open;
    both_init_open(&open, "media", "absent");
    both_open(peer, &both_client, &open);
    BOTH_UNTIL(peer, peer->complete);
    raw_send_ack(&both_client, peer->id, 0, 1, 0, false);
}

static void wrong_size(struct both_ways *peer) {
    raw_send_complete(&both_client, peer->id, 0, 0);
    raw_send_credit(&both_client, peer->id, OLD_BYTES);
    BOTH_UNTIL(peer, peer->complete);
    peer->sent_bytes = 0;
    raw_send_completed(&both_client, peer->id);
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
        both_open(&peer, &both_client, &open);
        peer.may_fail = true;
        BOTH_UNTIL(&peer, peer.opened);
        rows[i].send(&peer);
        both_expect_end(&peer, rows[i].code, rows[i].word);
        raw_echo(&both_client); /* the connection goes on */
    }
    both_check_old();
    both_check_absent(&both_other, "media", "absent");
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
    uint64_t before = both_pool(&both_other, "one", &answer)->total_streams;
    protobuf_c_message_free_unpacked(answer, NULL);
    both_open(&peer, &both_client, &open);
    BOTH_UNTIL(&peer, peer.opened);
    const Trove__V1__PoolInfo *pool = both_pool(&both_other, "one", &answer);
    assert_int_equal(pool->streams_active, 1);
    assert_int_equal(pool->total_streams, before + 1);
    uint64_t bytes_before = pool->total_bytes;
    protobuf_c_message_free_unpacked(answer, NULL);
    struct raw_client queue;
    both_connect(&queue);
    both_open(&waiting, &queue, &open);
    raw_echo(&queue); /* it isn't opened */
    both_send_all(&peer, both_new_bytes, NEW_BYTES, CHUNK, true);
    both_finish(&peer);
    BOTH_UNTIL(&waiting, waiting.opened);
    assert_int_equal(waiting.object_size, NEW_BYTES);
    pool = both_pool(&both_other, "one", &answer);
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
        both_open(&peers[i], &both_client, &open);
        peers[i].may_fail = peers[i].holds = true;
    }
    while (!peers[0].ended || !peers[1].ended)
        both_take(peers, 2);
    for (size_t i = 0; i < 2; i++)
        both_expect_end(&peers[i], CODE(DEADLINE_EXCEEDED), words[i]);
    both_check_old();
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
    both_open(&peer, &both_client, &open);
    both_send_all(&peer, both_new_bytes, NEW_BYTES, CHUNK, true);
    BOTH_UNTIL(&peer, peer.complete);
    both_check_came(&peer);
    both_finish(&peer);
    assert_true(now_ms() - begun_ms >= SLOW_MS - SLOW_MS / 4); /* but for the burst */
    both_check(&both_other, "media", "kept", both_new_bytes, NEW_BYTES);
}

/* Far more streams than the memory has windows for, all of which want both ways: each gets its turn, and the budget holds. */
#define MANY       32
#define MANY_BYTES ((size_t)1 << 20)

static bool step_of_many(struct both_ways *peer) {
    size_t left = MANY_BYTES - peer->sent_bytes;
    size_t step = left < MANY_BYTES / 4 ? left : MANY_BYTES / 4;
    if (left > 0 && peer->opened && peer->credit_bytes >= step) {
        both_send(peer, both_new_bytes + peer->sent_bytes, step, step == left);
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
    both_put(&both_other, "media", "large", both_old_bytes, MANY_BYTES);
    both_init_open(&open, "media", "large");
    open.chunk_bytes = MANY_BYTES / 4;
    open.demand = open.credit = MANY_BYTES;
    for (size_t i = 0; i < MANY; i++) {
        both_open(&peers[i], &both_client, &open);
        peers[i].may_fail = true;
    }
    for (size_t done = 0; done < MANY;) {
        both_take(peers, MANY);
        done = 0;
        for (size_t i = 0; i < MANY; i++)
            done += step_of_many(&peers[i]);
    }
    ProtobufCMessage *answer;
    const Trove__V1__PoolInfo *pool = both_pool(&both_other, "default", &answer);
    assert_true(pool->memory_high_water_bytes <= pool->memory_budget_bytes);
    protobuf_c_message_free_unpacked(answer, NULL);
    for (size_t i = 0; i < MANY; i++) {
        assert_int_equal(peers[i].came_bytes, MANY_BYTES);
        both_close(&peers[i]);
    }
    free(peers);
    both_check(&both_other, "media", "large", both_new_bytes, MANY_BYTES);
}

int main(void) {
    const struct CMUnitTest tests[] = {
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
    return both_run(tests, sizeof tests / sizeof tests[0]);
}
