/* test_rate.c - the rolling average: exact over what there is until that is longer than its memory, then by its last seconds. */
#include "rate.h"

#include "unit.h"

#define MS     UINT64_C(1000000)
#define SECOND (1000 * MS)

static void assert_near(double rate, double expected) {
    if (rate < expected * 0.99 || rate > expected * 1.01)
        fail_msg("%.0f bytes a second, where %.0f are expected", rate, expected);
}

static void not_begun_is_none(void **state) {
    (void)state;
    struct tv_rate rate = {0};
    tv_rate_add(&rate, 5 * SECOND, 1000);
    assert_true(rate.bytes_per_second == 0);
}

/* At once, however little time has passed. */
static void the_first_sample_is_the_rate(void **state) {
    (void)state;
    struct tv_rate rate;
    tv_rate_begin(&rate, 7);
    tv_rate_add(&rate, 7 + MS, 1000);
    assert_near(rate.bytes_per_second, 1e6);
    tv_rate_add(&rate, 7 + 10 * MS, 2000);
    assert_near(rate.bytes_per_second, 2e5);
}

/* How it began, with a burst or with nothing, weighs no more than the time that it took. */
static void the_beginning_weighs_as_much_as_it_lasted(void **state) {
    (void)state;
    static const uint64_t first[] = {0, 1000, 1000000};
    for (unsigned i = 0; i < sizeof first / sizeof first[0]; i++) {
        struct tv_rate rate;
        uint64_t bytes = first[i];
        tv_rate_begin(&rate, 1);
        tv_rate_add(&rate, 1 + 50 * MS, bytes);
        for (uint64_t at = 100 * MS; at <= 2 * SECOND; at += 50 * MS) {
            bytes += 50000;
            tv_rate_add(&rate, 1 + at, bytes);
            assert_near(rate.bytes_per_second, (double)bytes * 1e9 / (double)at);
        }
    }
}

/* However often it is looked at: what comes too close on each other is put together. */
static void steady_is_steady(void **state) {
    (void)state;
    static const uint64_t steps[] = {1 * MS, 49 * MS, 50 * MS, 333 * MS, 20 * SECOND};
    for (unsigned i = 0; i < sizeof steps / sizeof steps[0]; i++) {
        struct tv_rate rate;
        tv_rate_begin(&rate, 1);
        for (uint64_t at = steps[i]; at <= 60 * SECOND; at += steps[i]) {
            tv_rate_add(&rate, 1 + at, at / 1000);
            assert_near(rate.bytes_per_second, 1e6);
        }
    }
}

static void what_is_long_ago_is_forgotten(void **state) {
    (void)state;
    struct tv_rate rate;
    uint64_t bytes = 0;
    tv_rate_begin(&rate, 1);
    for (uint64_t at = 100 * MS; at <= 30 * SECOND; at += 100 * MS) {
        bytes += at <= 10 * SECOND ? 10000000 : 1000;
        tv_rate_add(&rate, 1 + at, bytes);
    }
    assert_true(rate.bytes_per_second < 200000); /* of 1e8, twenty seconds ago */
    tv_rate_add(&rate, 1000 * SECOND, bytes);
    assert_true(rate.bytes_per_second < 1000);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(not_begun_is_none),
        cmocka_unit_test(the_first_sample_is_the_rate),
        cmocka_unit_test(the_beginning_weighs_as_much_as_it_lasted),
        cmocka_unit_test(steady_is_steady),
        cmocka_unit_test(what_is_long_ago_is_forgotten),
    };
    return cmocka_run_group_tests_name("rate", tests, NULL, NULL);
}
