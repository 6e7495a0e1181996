/* follow.c - an object that is read while it is written: one elected writer, any number of followers. Frame by frame, against
 * mem://, local:// and null://.
 */
#include "both_ways.h"
#include "troved.h"

#define CODE(name)    TROVE__V1__CODE__##name
#define STATE(name)   TROVE__V1__STREAM_STATE__##name
#define CONTROL(name) TROVE__V1__CONTROL_TYPE__##name

#define CHUNK ((size_t)65536)
#define BLOCK ((size_t)262144)
#define LARGE ((size_t)1500 * 1000)

static const char config[] = "memory: 16MiB\n"
                             "workers: 2\n"
                             "pools:\n"
                             "  - {name: idle, idle_timeout: 1s}\n";

static const char *group_store;
static struct troved *server;
static uint8_t bytes[(size_t)4 << 20];

static struct raw_client other; /* well-behaved, connected throughout */

/* One writes, two follow; each has a connection of its own. */
static struct raw_client writing, following, trailing;
static struct both_ways writer, follower, trailer;

static void connect_to(struct raw_client *to) {
    raw_open(to, troved_url(server, "ipc"));
    raw_greet(to, true);
}

static int begin_group(void **state) {
    const struct troved_options options = {.listen = {"ipc://%s/socket"}, .store = group_store, .config = config};
    (void)state;
    server = troved_start(&options, NULL);
    connect_to(&other);
    if (strncmp(group_store, "null", 4) != 0)
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
    connect_to(&writing);
    connect_to(&following);
    connect_to(&trailing);
    return 0;
}

/* Whatever a test did: nothing is left under way. */
static int end_test(void **state) {
    (void)state;
    raw_close(&writing);
    raw_close(&following);
    raw_close(&trailing);
    both_wait_until_quiet(&other);
    return 0;
}

static void init_open(Trove__V1__Open *open, const char *key) {
    both_init_open(open, "media", key);
    open->follow = true;
}

/* Opens it and checks which of both it is. */
static void open_as(struct both_ways *peer, struct raw_client *client, const char *key, bool writes) {
    Trove__V1__Open open;
    init_open(&open, key);
    both_open(peer, client, &open);
    BOTH_UNTIL(peer, peer->opened);
    assert_int_equal(peer->writer, writes);
    assert_false(peer->has_object);
    assert_int_equal(peer->credit_bytes, writes ? 4 * CHUNK : 0);
    if (!writes)
        return;
    BOTH_UNTIL(peer, peer->complete); /* nothing goes down to who writes */
    assert_int_equal(peer->complete_size, 0);
    assert_int_equal(peer->complete_chunks, 0);
    raw_send_completed(client, peer->id);
}

static void append(size_t count) {
    both_send_all(&writer, bytes + writer.sent_bytes, count, CHUNK, false);
    BOTH_UNTIL(&writer, writer.acked_chunks == writer.sent_chunks);
}

static void expect_bytes(struct both_ways *peer, size_t count) {
    BOTH_UNTIL(peer, peer->came_bytes >= count);
    assert_int_equal(peer->came_bytes, count);
    assert_memory_equal(peer->bytes, bytes, count);
}

static void publish(void) {
    both_send(&writer, NULL, 0, true);
    both_send_complete(&writer);
    BOTH_UNTIL(&writer, writer.completed);
    assert_int_equal(writer.published_size, writer.sent_bytes);
    both_close(&writer);
}

/* Takes the rest, and what was published. */
static void expect_all(struct both_ways *peer) {
    BOTH_UNTIL(peer, peer->complete);
    assert_true(peer->final_came);
    assert_int_equal(peer->complete_size, writer.published_size);
    assert_string_equal(peer->complete_etag, writer.published_etag);
    assert_int_equal(peer->came_bytes, writer.published_size);
    assert_memory_equal(peer->bytes, bytes, peer->came_bytes);
    both_finish(peer);
    assert_int_equal(peer->published_size, writer.published_size);
    assert_int_equal(peer->published_generation, writer.published_generation);
    assert_string_equal(peer->published_etag, writer.published_etag);
    assert_int_equal(peer->dropped_chunks, 0);
}

/* ---- what is written is seen ---- */

/* Small appends come at once, also inside a block and across its end; nothing of it exists for others. */
static void test_bytes_come_before_the_object_exists(void **state) {
    (void)state;
    static const size_t steps[] = {5, 1, 3000, CHUNK, BLOCK - 5 - 1 - 3000 - CHUNK - 1, 1, 1, 100, BLOCK, 2 * BLOCK + 7};
    open_as(&writer, &writing, "log", true);
    open_as(&follower, &following, "log", false);
    size_t written = 0;
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
        append(steps[i]);
        written += steps[i];
        expect_bytes(&follower, written);
    }
    both_check_absent(&other, "media", "log");
    publish();
    expect_all(&follower);
    both_check(&other, "media", "log", bytes, written);
}

static void test_one_who_joins_late(void **state) {
    (void)state;
    open_as(&writer, &writing, "late", true);
    append(LARGE);
    open_as(&follower, &following, "late", false);
    expect_bytes(&follower, LARGE);
    append(10);
    expect_bytes(&follower, LARGE + 10);
    publish();
    expect_all(&follower);
}

/* It has credit for one chunk: the writer goes on without it, and ends; the rest comes from the object. */
static void test_a_slow_one_slows_nobody(void **state) {
    (void)state;
    Trove__V1__Open open;
    init_open(&open, "slow");
    open_as(&writer, &writing, "slow", true);
    open.credit = CHUNK;
    both_open(&follower, &following, &open);
    BOTH_UNTIL(&follower, follower.opened);
    follower.holds = true;
    append(2 * CHUNK);
    BOTH_UNTIL(&follower, follower.came_chunks == 1);
    append(LARGE - 2 * CHUNK);
    publish();
    raw_echo(&following); /* no more has come */
    assert_int_equal(follower.came_chunks, 1);
    follower.holds = false;
    raw_send_ack(&following, follower.id, 0, 1, 4 * CHUNK, false);
    expect_all(&follower);
}

static void test_two_at_different_places(void **state) {
    (void)state;
    Trove__V1__Open open;
    init_open(&open, "two");
    open_as(&writer, &writing, "two", true);
    open_as(&follower, &following, "two", false);
    open.credit = 2 * CHUNK;
    both_open(&trailer, &trailing, &open);
    BOTH_UNTIL(&trailer, trailer.opened);
    assert_false(trailer.writer);
    trailer.holds = true;
    for (size_t written = 0; written < LARGE; written += LARGE / 10) {
        append(LARGE / 10);
        expect_bytes(&follower, written + LARGE / 10);
        BOTH_UNTIL(&trailer, trailer.came_chunks == 2);
    }
    trailer.holds = false;
    raw_send_ack(&trailing, trailer.id, 0, 2, 4 * CHUNK, false);
    BOTH_UNTIL(&trailer, trailer.came_bytes >= LARGE / 2);
    publish();
    expect_all(&follower);
    expect_all(&trailer);
}

static void test_nothing_is_written(void **state) {
    (void)state;
    open_as(&writer, &writing, "empty", true);
    open_as(&follower, &following, "empty", false);
    both_send_complete(&writer);
    BOTH_UNTIL(&writer, writer.completed);
    both_close(&writer);
    expect_all(&follower);
}

/* What came back as not taken is read once more: from the put as long as that is written, and then from the object, also when the
 * end was told already. */
static void test_not_taken(void **state) {
    (void)state;
    open_as(&writer, &writing, "again", true);
    open_as(&follower, &following, "again", false);
    append(1000);
    raw_free(raw_expect(&following, follower.id, RAW_BODY(CHUNK)));
    raw_send_ack(&following, follower.id, 0, 1, 0, true);
    expect_bytes(&follower, 1000);
    append(500);
    publish();
    raw_frame *last = raw_expect(&following, follower.id, RAW_BODY(CHUNK));
    while (last->body_case != RAW_BODY(COMPLETE)) {
        raw_free(last);
        last = raw_receive(&following);
    }
    assert_int_equal(last->complete->size, 1500);
    raw_free(last);
    raw_send_ack(&following, follower.id, 1, 1, 0, true);
    BOTH_UNTIL(&follower, follower.final_came);
    expect_bytes(&follower, 1500);
    raw_send_completed(&following, follower.id);
    BOTH_UNTIL(&follower, follower.completed);
    both_close(&follower);
}

/* ---- the writer's end ---- */

static void test_the_writer_is_cancelled(void **state) {
    (void)state;
    open_as(&writer, &writing, "broken", true);
    open_as(&follower, &following, "broken", false);
    open_as(&trailer, &trailing, "broken", false);
    assert_int_equal(both_control(&trailer, CONTROL(PAUSE)), STATE(PAUSED));
    append(CHUNK);
    expect_bytes(&follower, CHUNK);
    assert_int_equal(both_control(&writer, CONTROL(CANCEL)), STATE(STREAM_CANCELLED));
    both_expect_end(&writer, CODE(CANCELLED), "cancelled");
    both_expect_end(&follower, CODE(ABORTED), "cancelled by the client");
    both_expect_end(&trailer, CODE(ABORTED), "cancelled by the client");
    both_check_absent(&other, "media", "broken");
    /* The next one writes, at once. */
    open_as(&writer, &writing, "broken", true);
    open_as(&follower, &following, "broken", false);
    append(100);
    expect_bytes(&follower, 100);
    publish();
    expect_all(&follower);
}

static void test_the_writer_is_lost(void **state) {
    (void)state;
    open_as(&writer, &writing, "lost", true);
    open_as(&follower, &following, "lost", false);
    append(100);
    expect_bytes(&follower, 100);
    raw_close(&writing);
    both_close(&writer);
    both_expect_end(&follower, CODE(ABORTED), "connection was lost");
    both_check_absent(&other, "media", "lost");
    connect_to(&writing);
}

/* It says that more came than did. */
static void test_the_writer_fails_at_its_end(void **state) {
    (void)state;
    open_as(&writer, &writing, "short", true);
    open_as(&follower, &following, "short", false);
    append(100);
    both_send(&writer, NULL, 0, true);
    raw_send_complete(&writing, writer.id, 101, writer.sent_chunks);
    both_expect_end(&writer, CODE(INVALID_ARGUMENT), "101");
    both_expect_end(&follower, CODE(ABORTED), "101 bytes were announced");
    both_check_absent(&other, "media", "short");
}

static void test_the_bucket_is_missing(void **state) {
    (void)state;
    Trove__V1__Open open;
    init_open(&open, "key");
    open.bucket = raw_text("nobuckethere");
    both_open(&writer, &writing, &open);
    both_expect_end(&writer, CODE(NOT_FOUND), "nobuckethere");
}

/* When its end was told the writer isn't followed any more, also on its own connection; whoever follows what is being published
 * gets that. */
static void test_elected_anew_after_publishing(void **state) {
    (void)state;
    for (unsigned round = 0; round < 20; round++) {
        open_as(&writer, &writing, "anew", true);
        open_as(&follower, &following, "anew", false);
        append(100 + round);
        publish();
        expect_all(&follower);
    }
}

/* Whether a follower got hold of what was published before it is replaced is a matter of luck, but not what it is told. */
static void test_replaced_after_publishing(void **state) {
    (void)state;
    unsigned replaced = 0;
    for (unsigned round = 0; round < 50; round++) {
        open_as(&writer, &writing, "replaced", true);
        open_as(&follower, &following, "replaced", false);
        append(1000);
        publish();
        both_put(&other, "media", "replaced", bytes + 1, 2000);
        follower.may_fail = true;
        BOTH_UNTIL(&follower, follower.complete || follower.ended);
        replaced += follower.ended;
        if (follower.ended)
            both_expect_end(&follower, CODE(ABORTED), "was replaced");
        else
            expect_all(&follower);
    }
    print_message("    %u of 50 were replaced too soon\n", replaced);
}

/* In the null store nothing can be opened that was published, unless its name says its size. */
static void test_gone_after_publishing(void **state) {
    (void)state;
    static const char *const keys[] = {"gone", "zeros-99", "zeros-100"};
    memset(bytes, 0, 100);
    for (size_t i = 0; i < 3; i++) {
        open_as(&writer, &writing, keys[i], true);
        open_as(&follower, &following, keys[i], false);
        append(100);
        expect_bytes(&follower, 100);
        publish();
        if (i < 2)
            both_expect_end(&follower, CODE(ABORTED), "was replaced or deleted");
        else
            expect_all(&follower);
    }
}

/* ---- a follower's own ---- */

static void test_nothing_comes_up_from_a_follower(void **state) {
    (void)state;
    Trove__V1__Demand demand = TROVE__V1__DEMAND__INIT;
    open_as(&writer, &writing, "up", true);
    open_as(&follower, &following, "up", false);
    open_as(&trailer, &trailing, "up", false);
    demand.bytes = 4 * CHUNK;
    raw_send_body(&following, follower.id, RAW_BODY(DEMAND), &demand.base); /* it didn't know yet */
    both_send_complete(&follower);                                          /* nor here */
    append(100);
    expect_bytes(&follower, 100);
    both_send(&follower, bytes, 10, false);
    both_expect_end(&follower, CODE(FAILED_PRECONDITION), "another stream writes media/up; this one follows it");
    raw_send_complete(&trailing, trailer.id, 10, 1);
    both_expect_end(&trailer, CODE(FAILED_PRECONDITION), "another stream writes");
    raw_echo(&following);
    raw_echo(&trailing);
    publish(); /* the writer doesn't care */
    both_check(&other, "media", "up", bytes, 100);
}

static void test_a_follower_is_cancelled(void **state) {
    (void)state;
    open_as(&writer, &writing, "alone", true);
    open_as(&follower, &following, "alone", false);
    open_as(&trailer, &trailing, "alone", false);
    append(100);
    expect_bytes(&follower, 100);
    assert_int_equal(both_control(&follower, CONTROL(CANCEL)), STATE(STREAM_CANCELLED));
    both_expect_end(&follower, CODE(CANCELLED), "cancelled");
    raw_close(&following);
    append(100);
    expect_bytes(&trailer, 200);
    publish();
    expect_all(&trailer);
    connect_to(&following);
}

static void test_a_follower_is_paused(void **state) {
    (void)state;
    open_as(&writer, &writing, "paused", true);
    open_as(&follower, &following, "paused", false);
    append(100);
    expect_bytes(&follower, 100);
    assert_int_equal(both_control(&follower, CONTROL(PAUSE)), STATE(PAUSED));
    append(LARGE);
    raw_echo(&following);
    assert_int_equal(follower.came_bytes, 100);
    assert_int_equal(both_control(&follower, CONTROL(RESUME)), STATE(ACTIVE));
    expect_bytes(&follower, LARGE + 100);
    assert_int_equal(both_control(&follower, CONTROL(PAUSE)), STATE(PAUSED));
    publish();
    /* It has opened what was published, although it is paused. */
    raw_echo(&following);
    assert_false(follower.final_came);
    assert_int_equal(both_control(&follower, CONTROL(RESUME)), STATE(ACTIVE));
    expect_all(&follower);
}

/* Before the writer is published a follower can't be complete. */
static void test_completed_early(void **state) {
    (void)state;
    open_as(&writer, &writing, "early", true);
    open_as(&follower, &following, "early", false);
    append(100);
    expect_bytes(&follower, 100);
    raw_send_completed(&following, follower.id);
    both_expect_end(&follower, CODE(FAILED_PRECONDITION), "before everything");
    publish();
}

/* While it waits for the writer it isn't idle. That time has passed is seen by another stream of the same pool, which came
 * later. */
static void test_waiting_for_the_writer_is_not_idle(void **state) {
    (void)state;
    struct both_ways idle;
    Trove__V1__Open open;
    open_as(&writer, &writing, "patient", true);
    init_open(&open, "patient");
    open.pool = raw_text("idle");
    both_open(&follower, &following, &open);
    append(100);
    expect_bytes(&follower, 100);
    init_open(&open, "idle");
    open.pool = raw_text("idle");
    both_open(&idle, &trailing, &open);
    both_expect_end(&idle, CODE(DEADLINE_EXCEEDED), "idle_timeout");
    append(100);
    expect_bytes(&follower, 200);
    publish();
    expect_all(&follower);
}

/* One that doesn't acknowledge what it got is idle all the same. */
static void test_a_follower_can_be_idle(void **state) {
    (void)state;
    Trove__V1__Open open;
    open_as(&writer, &writing, "idle", true);
    init_open(&open, "idle");
    open.pool = raw_text("idle");
    both_open(&follower, &following, &open);
    follower.holds = true;
    append(100);
    both_expect_end(&follower, CODE(DEADLINE_EXCEEDED), "idle_timeout");
    publish();
}

static void test_refused(void **state) {
    (void)state;
    static const char *const words[] = {"two-way",    "two-way",    "lossy",      "range",
                                        "conditions", "conditions", "conditions", "inline"};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        Trove__V1__Open open;
        Trove__V1__ByteRange range = TROVE__V1__BYTE_RANGE__INIT;
        Trove__V1__Conditions conditions = TROVE__V1__CONDITIONS__INIT;
        init_open(&open, "refused");
        conditions.if_none_match = i == 4;
        conditions.if_generation = i == 5;
        conditions.if_match = raw_text(i == 6 ? "00112233445566778899aabbccddeeff" : "");
        open.direction = i == 0 || i == 7 ? TROVE__V1__DIRECTION__UPLOAD
                         : i == 1         ? TROVE__V1__DIRECTION__DOWNLOAD
                                          : TROVE__V1__DIRECTION__BIDI;
        open.lossy = i == 2;
        open.range = i == 3 ? &range : NULL;
        open.conditions = i >= 4 ? &conditions : NULL;
        if (i == 7)
            open.inline_checksum_given_case = TROVE__V1__OPEN__INLINE_CHECKSUM_GIVEN_INLINE_CHECKSUM;
        both_open(&follower, &following, &open);
        both_expect_end(&follower, CODE(INVALID_ARGUMENT), words[i]);
    }
}

/* Many followers of many small appends, far more than there is memory for a block each: the budget holds, and all get
 * everything. */
#define MANY 100

static void test_many_followers(void **state) {
    (void)state;
    static struct both_ways many[MANY];
    Trove__V1__Open open;
    init_open(&open, "many");
    open_as(&writer, &writing, "many", true);
    for (size_t i = 0; i < MANY; i++)
        both_open(&many[i], &following, &open);
    for (unsigned step = 1; step <= 30; step++) {
        append(step * 100);
        for (size_t there = 0; there < MANY && step % 10 == 0;) {
            there = 0;
            for (size_t i = 0; i < MANY; i++)
                there += many[i].came_bytes == writer.sent_bytes;
            if (there < MANY)
                both_take(many, MANY);
        }
    }
    publish();
    for (size_t done = 0; done < MANY;) {
        done = 0;
        for (size_t i = 0; i < MANY; i++)
            done += many[i].complete;
        if (done < MANY)
            both_take(many, MANY);
    }
    ProtobufCMessage *answer;
    const Trove__V1__PoolInfo *pool = both_pool(&other, "default", &answer);
    assert_true(pool->memory_high_water_bytes <= pool->memory_budget_bytes);
    protobuf_c_message_free_unpacked(answer, NULL);
    for (size_t i = 0; i < MANY; i++) {
        assert_int_equal(many[i].came_bytes, writer.published_size);
        assert_memory_equal(many[i].bytes, bytes, writer.published_size);
        both_close(&many[i]);
    }
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, begin_test, end_test)

static int run_group(const char *store) {
    const struct CMUnitTest tests[] = {
        TEST(test_bytes_come_before_the_object_exists),
        TEST(test_one_who_joins_late),
        TEST(test_a_slow_one_slows_nobody),
        TEST(test_two_at_different_places),
        TEST(test_nothing_is_written),
        TEST(test_not_taken),
        TEST(test_the_writer_is_cancelled),
        TEST(test_the_writer_is_lost),
        TEST(test_the_writer_fails_at_its_end),
        TEST(test_the_bucket_is_missing),
        TEST(test_elected_anew_after_publishing),
        TEST(test_replaced_after_publishing),
        TEST(test_nothing_comes_up_from_a_follower),
        TEST(test_a_follower_is_cancelled),
        TEST(test_a_follower_is_paused),
        TEST(test_completed_early),
        TEST(test_waiting_for_the_writer_is_not_idle),
        TEST(test_a_follower_can_be_idle),
        TEST(test_refused),
        TEST(test_many_followers),
    };
    group_store = store;
    print_message("---- %s ----\n", store);
    return cmocka_run_group_tests_name(store, tests, begin_group, end_group);
}

static int run_null(void) {
    const struct CMUnitTest tests[] = {TEST(test_gone_after_publishing)};
    group_store = "null://";
    return cmocka_run_group_tests_name(group_store, tests, begin_group, end_group);
}

int main(void) {
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (uint8_t)(i * 2654435761u >> 13);
    int failed = run_group("mem://");
    failed += run_group("local://%s/store");
    failed += run_null();
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
