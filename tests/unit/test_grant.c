/* test_grant.c - what an upload is granted, what has to be reserved for it, and that credit never exceeds memory. */
#include "grant.h"

#include "bounds.h"

#include "unit.h"

#define SEGMENT TV_SEGMENT_BYTES

struct stream {
    struct tvs_grant grant;
    struct tv_receiver receiver;
};

static struct stream make(uint64_t chunk_bytes, uint64_t window_bytes, uint64_t demand_bytes, uint64_t reserved_bytes) {
    struct stream stream = {.grant = {.chunk_bytes = chunk_bytes,
                                      .window_bytes = window_bytes,
                                      .demand_bytes = demand_bytes,
                                      .reserved_bytes = reserved_bytes}};
    tv_receiver_init(&stream.receiver, 0, chunk_bytes, TV_PAYLOAD_BYTES_MAX);
    return stream;
}

static void what_to_do_next(void **state) {
    (void)state;
    static const struct {
        const char *name;
        uint64_t chunk_bytes, window_bytes, demand_bytes, reserved_bytes;
        uint64_t outstanding_bytes, held_bytes;
        uint64_t admitted_bytes; /* 0: more than enough; and then the bandwidth isn't limited */
        enum tvs_grant_step step;
        uint64_t bytes;
    } rows[] = {
        {"no demand", SEGMENT, 4 * SEGMENT, 0, 0, 0, 0, 0, TVS_GRANT_DONE, 0},
        {"nothing reserved", SEGMENT, 4 * SEGMENT, 4 * SEGMENT, 0, 0, 0, 0, TVS_GRANT_RESERVE, 2 * SEGMENT},
        {"one segment carries nothing", SEGMENT, 4 * SEGMENT, 4 * SEGMENT, SEGMENT, 0, 0, 0, TVS_GRANT_RESERVE, 2 * SEGMENT},
        {"reserved", SEGMENT, 4 * SEGMENT, 4 * SEGMENT, 2 * SEGMENT, 0, 0, 0, TVS_GRANT_CREDIT, SEGMENT},
        {"more than the window", SEGMENT, 4 * SEGMENT, 9 * SEGMENT, 9 * SEGMENT, 0, 0, 0, TVS_GRANT_CREDIT, 4 * SEGMENT},
        {"more than the demand", SEGMENT, 4 * SEGMENT, 1000, 9 * SEGMENT, 0, 0, 0, TVS_GRANT_CREDIT, 1000},
        {"all granted", SEGMENT, 4 * SEGMENT, 4 * SEGMENT, 9 * SEGMENT, 4 * SEGMENT, 0, 0, TVS_GRANT_DONE, 0},
        {"all held", SEGMENT, 4 * SEGMENT, 4 * SEGMENT, 9 * SEGMENT, 0, 4 * SEGMENT, 0, TVS_GRANT_DONE, 0},
        {"room for less than a chunk", SEGMENT, 4 * SEGMENT, 4 * SEGMENT, 9 * SEGMENT, 0, 3 * SEGMENT + 1, 0, TVS_GRANT_DONE, 0},
        {"room for a chunk", SEGMENT, 4 * SEGMENT, 4 * SEGMENT, 9 * SEGMENT, 0, 3 * SEGMENT, 0, TVS_GRANT_CREDIT, SEGMENT},
        {"a rest is made up to a chunk", SEGMENT, SEGMENT, SEGMENT, 2 * SEGMENT, 7, 0, 0, TVS_GRANT_CREDIT, SEGMENT - 7},
        {"a rest, and no memory", SEGMENT, SEGMENT, SEGMENT, 0, 7, 0, 0, TVS_GRANT_RESERVE, 2 * SEGMENT},
        {"a rest, and something held", SEGMENT, SEGMENT, SEGMENT, 2 * SEGMENT, 7, 1, 0, TVS_GRANT_DONE, 0},
        {"small chunks share a segment", 100, 1600, 1600, 2 * SEGMENT, 0, 0, 0, TVS_GRANT_CREDIT, 1600},
        {"a chunk of no whole segments", SEGMENT + 1, 2 * SEGMENT + 2, UINT64_MAX, 0, 0, 0, 0, TVS_GRANT_RESERVE, 3 * SEGMENT},
        {"bandwidth comes before memory", SEGMENT, 4 * SEGMENT, 4 * SEGMENT, 0, 0, 0, SEGMENT - 1, TVS_GRANT_ADMIT, SEGMENT},
        {"and memory after it", SEGMENT, 4 * SEGMENT, 4 * SEGMENT, 0, 0, 0, SEGMENT, TVS_GRANT_RESERVE, 2 * SEGMENT},
        {"a chunk for a turn", SEGMENT, 4 * SEGMENT, 4 * SEGMENT, 9 * SEGMENT, 0, 0, SEGMENT, TVS_GRANT_CREDIT, SEGMENT},
        {"less wanted than admitted", SEGMENT, 4 * SEGMENT, 1000, 9 * SEGMENT, 0, 0, SEGMENT, TVS_GRANT_CREDIT, 1000},
        {"all granted, none admitted", SEGMENT, 4 * SEGMENT, 4 * SEGMENT, 9 * SEGMENT, 4 * SEGMENT, 0, 1, TVS_GRANT_DONE, 0},
        {"a rest is made up from what is admitted", SEGMENT, SEGMENT, SEGMENT, 2 * SEGMENT, 7, 0, SEGMENT - 7, TVS_GRANT_CREDIT,
         SEGMENT - 7},
        {"or from a whole turn", SEGMENT, SEGMENT, SEGMENT, 2 * SEGMENT, 7, 0, 1, TVS_GRANT_ADMIT, SEGMENT},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        unit_row(rows[i].name);
        struct stream stream = make(rows[i].chunk_bytes, rows[i].window_bytes, rows[i].demand_bytes, rows[i].reserved_bytes);
        stream.receiver.outstanding_bytes = rows[i].outstanding_bytes;
        stream.receiver.held_bytes = rows[i].held_bytes;
        uint64_t bytes = 0;
        bool limited = rows[i].admitted_bytes > 0;
        stream.grant.admitted_bytes = limited ? rows[i].admitted_bytes : UINT64_MAX;
        assert_int_equal(tvs_grant_next(&stream.grant, &stream.receiver, limited, &bytes), rows[i].step);
        assert_int_equal(bytes, rows[i].bytes);
    }
}

static void what_is_not_told_yet_need_not_be_taken_back(void **state) {
    (void)state;
    struct stream stream = make(100, 1000, 1000, 2 * SEGMENT);
    assert_false(tvs_grant_expire(&stream.grant, &stream.receiver));
    tvs_grant_give(&stream.grant, &stream.receiver, 600);
    stream.grant.credit_due = 0; /* told */
    tvs_grant_give(&stream.grant, &stream.receiver, 300);
    assert_int_equal(tvs_grant_needed(&stream.grant, &stream.receiver), 2 * SEGMENT);
    assert_true(tvs_grant_expire(&stream.grant, &stream.receiver));
    assert_int_equal(stream.grant.credit_due, 0);
    assert_int_equal(stream.grant.expired_due, 600);
    assert_int_equal(tvs_grant_needed(&stream.grant, &stream.receiver), 0);
}

/* A seek forgets what came and wasn't stored. What the store has in its hands at that moment keeps its segments until it gives
 * them back: they don't stand behind new credit. */
static void what_is_being_stored_at_a_seek_keeps_its_memory(void **state) {
    (void)state;
    struct stream stream = make(SEGMENT, 4 * SEGMENT, 4 * SEGMENT, 5 * SEGMENT);
    uint64_t bytes = 0;
    tvs_grant_admit(&stream.grant, UINT64_MAX);
    assert_int_equal(tvs_grant_next(&stream.grant, &stream.receiver, false, &bytes), TVS_GRANT_CREDIT);
    assert_int_equal(bytes, 4 * SEGMENT);
    stream.grant.storing_bytes = 2 * SEGMENT;
    assert_int_equal(tvs_grant_covered(&stream.grant), 2 * SEGMENT);
    assert_int_equal(tvs_grant_needed(&stream.grant, &stream.receiver), 2 * SEGMENT);
    assert_int_equal(tvs_grant_next(&stream.grant, &stream.receiver, false, &bytes), TVS_GRANT_CREDIT);
    assert_int_equal(bytes, 2 * SEGMENT);
    tvs_grant_give(&stream.grant, &stream.receiver, bytes);
    assert_int_equal(tvs_grant_needed(&stream.grant, &stream.receiver), 5 * SEGMENT);
    stream.grant.storing_bytes = 0;
    assert_int_equal(tvs_grant_needed(&stream.grant, &stream.receiver), 3 * SEGMENT);
    assert_int_equal(tvs_grant_next(&stream.grant, &stream.receiver, false, &bytes), TVS_GRANT_CREDIT);
    assert_int_equal(bytes, 2 * SEGMENT);
    stream.grant.reserved_bytes = SEGMENT;
    stream.grant.storing_bytes = 2 * SEGMENT; /* more than all: nothing is covered */
    assert_int_equal(tvs_grant_covered(&stream.grant), 0);
    assert_int_equal(tvs_grant_needed(&stream.grant, &stream.receiver), SEGMENT);
}

/* Whatever chunks a sender makes of its credit: it is never more than memory, a whole chunk always fits again once all is taken,
 * and a claim is always enough for the next step. */
static void always_enough_never_more_than_memory(void **state) {
    (void)state;
    uint64_t random = unit_seed();
    for (int run = 0; run < 300; run++) {
        uint64_t chunk_bytes = 1 + unit_random(&random) % (UINT64_C(1) << (unit_random(&random) % 23));
        uint64_t window_bytes = chunk_bytes * (1 + unit_random(&random) % 8);
        struct stream stream = make(chunk_bytes, window_bytes, 1 + unit_random(&random) % (2 * window_bytes), 0);
        uint64_t unit = chunk_bytes < stream.grant.demand_bytes ? chunk_bytes : stream.grant.demand_bytes;
        uint64_t admitted = 0, granted = 0;
        bool limited = unit_random(&random) % 2 == 0;
        for (int i = 0; i < 200; i++) {
            uint64_t bytes = 0;
            if (i % 7 == 0) { /* a seek, while the store has up to all of it in its hands */
                stream.grant.storing_bytes = unit_random(&random) % (stream.grant.reserved_bytes / SEGMENT + 1) * SEGMENT;
                stream.receiver.held_bytes = 0;
                (void)tvs_grant_expire(&stream.grant, &stream.receiver);
                granted = admitted = stream.grant.admitted_bytes = 0;
            }
            enum tvs_grant_step step = tvs_grant_next(&stream.grant, &stream.receiver, limited, &bytes);
            if (step == TVS_GRANT_ADMIT) {
                admitted += bytes;
                tvs_grant_admit(&stream.grant, bytes);
                step = tvs_grant_next(&stream.grant, &stream.receiver, limited, &bytes);
                assert_true(step == TVS_GRANT_RESERVE || step == TVS_GRANT_CREDIT);
            }
            if (step == TVS_GRANT_RESERVE) {
                stream.grant.reserved_bytes = tvs_grant_needed(&stream.grant, &stream.receiver) + bytes;
                step = tvs_grant_next(&stream.grant, &stream.receiver, limited, &bytes);
                assert_int_equal(step, TVS_GRANT_CREDIT);
            }
            if (step == TVS_GRANT_CREDIT) {
                granted += bytes;
                tvs_grant_give(&stream.grant, &stream.receiver, bytes);
            }
            if (limited) /* nothing is granted that wasn't taken of the bandwidth, and nothing of that is lost */
                assert_int_equal(granted + stream.grant.admitted_bytes, admitted);
            uint64_t charged = tvs_grant_charged(&stream.receiver);
            assert_true(charged <= tvs_grant_covered(&stream.grant) && charged <= window_bytes);
            if (stream.receiver.held_bytes == 0)
                assert_true(stream.receiver.outstanding_bytes >= unit);
            uint64_t sent = unit_random(&random) % (unit + 1);
            if (sent <= stream.receiver.outstanding_bytes) {
                stream.receiver.outstanding_bytes -= sent;
                stream.receiver.held_bytes += sent;
            }
            if (unit_random(&random) % 2 == 0)
                stream.receiver.held_bytes = 0;
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_to_do_next),
        cmocka_unit_test(what_is_not_told_yet_need_not_be_taken_back),
        cmocka_unit_test(what_is_being_stored_at_a_seek_keeps_its_memory),
        cmocka_unit_test(always_enough_never_more_than_memory),
    };
    return cmocka_run_group_tests_name("grant", tests, NULL, NULL);
}
