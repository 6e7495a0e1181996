/* test_pace.c - who is slow is found after a whole window of it, and nobody else. */
#include "pace.h"
#include "unit.h"

#define SECOND UINT64_C(1000000000)

static void who_is_slow(void **state) {
    (void)state;
    static const struct {
        const char *name;
        uint64_t bytes; /* a second */
        uint64_t rate_min;
        bool slow;
    } rows[] = {
        {"nothing", 0, 100, true},     {"one too few", 99, 100, true}, {"just enough", 100, 100, false},
        {"one more", 101, 100, false}, {"no limit", 0, 0, false},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct tvs_pace pace = {.since_ns = 0};
        unsigned found = 0;
        printf("    %s\n", rows[i].name);
        for (uint64_t s = 0; s < 100; s++)
            found += tvs_pace_slow(&pace, true, 1000000 + s * rows[i].bytes, SECOND * (5 + s), 30000, rows[i].rate_min);
        assert_int_equal(found, rows[i].slow ? 3 : 0);
    }
}

static void not_before_the_window_is_over(void **state) {
    (void)state;
    struct tvs_pace pace = {.since_ns = 0};
    assert_false(tvs_pace_slow(&pace, true, 0, SECOND, 2000, 1));
    assert_false(tvs_pace_slow(&pace, true, 0, 3 * SECOND - 1, 2000, 1));
    assert_true(tvs_pace_slow(&pace, true, 0, 3 * SECOND, 2000, 1));
}

static void who_had_nothing_to_do_isnt(void **state) {
    (void)state;
    struct tvs_pace pace = {.since_ns = 0};
    for (uint64_t s = 1; s < 100; s++)
        assert_false(tvs_pace_slow(&pace, s % 20 != 0, 0, s * SECOND, 20000, 1000));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(who_is_slow),
        cmocka_unit_test(not_before_the_window_is_over),
        cmocka_unit_test(who_had_nothing_to_do_isnt),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
