/* test_token_bucket.c - the rate is kept exactly, over any time, from any start, with any input. */
#include "token_bucket.h"

#include "unit.h"

#define SECOND UINT64_C(1000000000)
#define YEAR   (UINT64_C(365) * 86400 * SECOND)

static struct tv_token_bucket make(uint64_t rate, uint64_t burst, uint64_t now_ns) {
    struct tv_token_bucket bucket;
    tv_token_bucket_init(&bucket, rate, burst, now_ns);
    return bucket;
}

static void starts_full_and_goes_into_debt(void **state) {
    (void)state;
    struct tv_token_bucket bucket = make(1000, 500, 7);
    assert_true(tv_token_bucket_ready(&bucket, 7));
    tv_token_bucket_debit(&bucket, 500, 7);
    assert_true(tv_token_bucket_ready(&bucket, 7)); /* at zero */
    assert_int_equal(tv_token_bucket_wait_ns(&bucket, 7), 0);
    tv_token_bucket_debit(&bucket, 2000, 7);
    assert_false(tv_token_bucket_ready(&bucket, 7));
    assert_int_equal(tv_token_bucket_wait_ns(&bucket, 7), 2 * SECOND);
    assert_false(tv_token_bucket_ready(&bucket, 7 + 2 * SECOND - 1));
    assert_int_equal(tv_token_bucket_wait_ns(&bucket, 7 + 2 * SECOND - 1), 1);
    assert_true(tv_token_bucket_ready(&bucket, 7 + 2 * SECOND));
}

static void never_holds_more_than_its_burst(void **state) {
    (void)state;
    struct tv_token_bucket bucket = make(1000, 500, 0);
    assert_true(tv_token_bucket_ready(&bucket, YEAR));
    tv_token_bucket_debit(&bucket, 501, YEAR);
    assert_int_equal(tv_token_bucket_wait_ns(&bucket, YEAR), SECOND / 1000);
}

static void without_burst_all_is_paid_before_more(void **state) {
    (void)state;
    struct tv_token_bucket bucket = make(10, 0, 0);
    assert_true(tv_token_bucket_ready(&bucket, SECOND));
    tv_token_bucket_debit(&bucket, 1, SECOND);
    assert_int_equal(tv_token_bucket_wait_ns(&bucket, SECOND), SECOND / 10);
}

static void zero_is_no_limit(void **state) {
    (void)state;
    struct tv_token_bucket bucket = make(0, 0, 0);
    for (int i = 0; i < 10; i++) {
        tv_token_bucket_debit(&bucket, UINT64_MAX, 0);
        assert_true(tv_token_bucket_ready(&bucket, 0));
        assert_int_equal(tv_token_bucket_wait_ns(&bucket, 0), 0);
    }
}

/* A rate that doesn't divide a second, looked at in steps that don't divide a byte: after each the level is what the whole time
 * since the start is worth, to the billionth of a byte. */
static void is_exact_however_often_it_is_looked_at(void **state) {
    (void)state;
    uint64_t random = unit_seed();
    for (int run = 0; run < 20; run++) {
        uint64_t rate = 1 + unit_random(&random) % (UINT64_C(1) << (unit_random(&random) % 40));
        uint64_t start = unit_random(&random) >> 1, now = start;
        tv_token_level spent = 0;
        struct tv_token_bucket bucket = make(rate, UINT64_MAX, start);
        tv_token_bucket_debit(&bucket, UINT64_MAX, start);
        for (int i = 0; i < 100000; i++) {
            now += unit_random(&random) % 1000;
            if (unit_random(&random) % 2 == 0)
                tv_token_bucket_ready(&bucket, now);
            uint64_t bytes = unit_random(&random) % 3;
            tv_token_bucket_debit(&bucket, bytes, now);
            spent += bytes;
        }
        assert_true(bucket.level == (tv_token_level)(now - start) * rate - spent * 1000000000);
    }
}

/* A sender that sends whenever it may gets through what the rate and its burst allow: no less, and no more than one frame
 * above. */
static void a_busy_sender_gets_the_rate(void **state) {
    (void)state;
    static const struct {
        const char *name;
        uint64_t rate, burst, frame;
        uint64_t seconds;
    } rows[] = {
        {"slow line, large frames", 1000003, 0, 1 << 20, 100000},
        {"burst", 12345677, 10 << 20, 65537, 1000},
        {"one byte a frame, seven a second", 7, 3, 1, 10000},
        {"fast", UINT64_C(5000000000), 1 << 20, 1 << 20, 20},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        unit_row(rows[i].name);
        struct tv_token_bucket bucket = make(rows[i].rate, rows[i].burst, 0);
        uint64_t now = 0, sent = 0, end = rows[i].seconds * SECOND;
        while (now < end) {
            assert_true(tv_token_bucket_ready(&bucket, now));
            tv_token_bucket_debit(&bucket, rows[i].frame, now);
            sent += rows[i].frame;
            uint64_t wait = tv_token_bucket_wait_ns(&bucket, now);
            if (wait > 0)
                assert_false(tv_token_bucket_ready(&bucket, now + wait - 1));
            now += wait;
        }
        uint64_t due = rows[i].rate * rows[i].seconds + rows[i].burst;
        assert_true(sent >= due && sent <= due + rows[i].frame);
    }
}

static void an_earlier_time_earns_nothing_twice(void **state) {
    (void)state;
    struct tv_token_bucket bucket = make(1000, 1000, 0);
    tv_token_bucket_debit(&bucket, 3000, 0);
    assert_int_equal(tv_token_bucket_wait_ns(&bucket, SECOND), SECOND);
    assert_int_equal(tv_token_bucket_wait_ns(&bucket, SECOND / 2), SECOND + SECOND / 2);
    assert_int_equal(tv_token_bucket_wait_ns(&bucket, 0), 2 * SECOND);
    assert_int_equal(tv_token_bucket_wait_ns(&bucket, SECOND), SECOND);
    assert_true(tv_token_bucket_ready(&bucket, 2 * SECOND));
}

static void a_clock_that_stands_still_earns_nothing(void **state) {
    (void)state;
    struct tv_token_bucket bucket = make(UINT64_MAX, 0, 5);
    tv_token_bucket_debit(&bucket, 1, 5);
    for (int i = 0; i < 1000; i++)
        assert_false(tv_token_bucket_ready(&bucket, 5));
    assert_int_equal(tv_token_bucket_wait_ns(&bucket, 5), 1);
}

static void no_input_overflows(void **state) {
    (void)state;
    static const uint64_t ends[] = {0, 1, SECOND - 1, SECOND, UINT64_MAX / 2, UINT64_MAX - 1, UINT64_MAX};
    enum {
        COUNT = sizeof ends / sizeof *ends
    };
    for (size_t i = 0; i < (size_t)COUNT * COUNT * COUNT * COUNT; i++) {
        uint64_t rate = ends[i % COUNT], burst = ends[i / COUNT % COUNT];
        uint64_t bytes = ends[i / COUNT / COUNT % COUNT], then = ends[i / COUNT / COUNT / COUNT];
        struct tv_token_bucket bucket = make(rate, burst, 0);
        for (int j = 0; j < 3; j++)
            tv_token_bucket_debit(&bucket, bytes, 0);
        tv_token_level before = bucket.level;
        assert_true(before <= (tv_token_level)burst * 1000000000);
        assert_true(before >= -(tv_token_level)UINT64_MAX * 1000000000);
        uint64_t wait = tv_token_bucket_wait_ns(&bucket, 0);
        assert_true((wait == 0) == (rate == 0 || before >= 0));
        if (wait < UINT64_MAX) /* else it may be more than can be told */
            assert_int_equal(tv_token_bucket_ready(&bucket, then), then >= wait);
        assert_true(bucket.level <= (tv_token_level)burst * 1000000000);
        tv_token_bucket_set_rate(&bucket, ends[(i + 3) % COUNT], bytes, UINT64_MAX);
        assert_true(bucket.level <= (tv_token_level)bytes * 1000000000);
    }
}

static void a_debt_that_cannot_be_paid_waits_for_ever(void **state) {
    (void)state;
    struct tv_token_bucket bucket = make(1, 0, 0);
    tv_token_bucket_debit(&bucket, UINT64_MAX, 0);
    assert_true(tv_token_bucket_wait_ns(&bucket, 0) == UINT64_MAX);
}

static void a_new_rate(void **state) {
    (void)state;
    static const struct {
        const char *name;
        uint64_t rate, burst, debit;
        uint64_t new_rate, new_burst;
        uint64_t wait_ns; /* after one second at the old rate, the new one, and 100 more bytes */
    } rows[] = {
        {"a debt stays owed, paid at the new rate", 1000, 0, 2000, 100, 0, 11 * SECOND},
        {"time up to now is paid at the old rate", 1000, 0, 1000, 1, 0, 100 * SECOND},
        {"more than the new burst is cut", 1000, 5000, 0, 10, 60, 4 * SECOND},
        {"less than the new burst isn't topped up", 10, 50, 50, 10, 100, 9 * SECOND},
        {"to unlimited", 10, 0, 1000000, 0, 0, 0},
        {"from unlimited starts full", 0, 0, 1000000, 10, 50, 5 * SECOND},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        unit_row(rows[i].name);
        struct tv_token_bucket bucket = make(rows[i].rate, rows[i].burst, 0);
        tv_token_bucket_debit(&bucket, rows[i].debit, 0);
        tv_token_bucket_set_rate(&bucket, rows[i].new_rate, rows[i].new_burst, SECOND);
        tv_token_bucket_debit(&bucket, 100, SECOND);
        assert_int_equal(tv_token_bucket_wait_ns(&bucket, SECOND), rows[i].wait_ns);
    }
}

static void unlimited_and_back_forgives(void **state) {
    (void)state;
    struct tv_token_bucket bucket = make(10, 0, 0);
    tv_token_bucket_debit(&bucket, 1000000, 0);
    tv_token_bucket_set_rate(&bucket, 0, 0, 0);
    assert_true(tv_token_bucket_ready(&bucket, 0));
    tv_token_bucket_set_rate(&bucket, 10, 0, 0);
    assert_true(tv_token_bucket_ready(&bucket, 0));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(starts_full_and_goes_into_debt),
        cmocka_unit_test(never_holds_more_than_its_burst),
        cmocka_unit_test(without_burst_all_is_paid_before_more),
        cmocka_unit_test(zero_is_no_limit),
        cmocka_unit_test(is_exact_however_often_it_is_looked_at),
        cmocka_unit_test(a_busy_sender_gets_the_rate),
        cmocka_unit_test(an_earlier_time_earns_nothing_twice),
        cmocka_unit_test(a_clock_that_stands_still_earns_nothing),
        cmocka_unit_test(no_input_overflows),
        cmocka_unit_test(a_debt_that_cannot_be_paid_waits_for_ever),
        cmocka_unit_test(a_new_rate),
        cmocka_unit_test(unlimited_and_back_forgives),
    };
    return cmocka_run_group_tests_name("token_bucket", tests, NULL, NULL);
}
