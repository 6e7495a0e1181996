/* test_backoff.c - when to try again: growing pauses, chance, the end. */
#include "backoff.h"
#include "unit.h"

#include <trove.h>

#define MS  UINT64_C(1000000)
#define NOW (1000 * MS)

static const struct {
    const char *name;
    uint32_t tries;
    uint64_t ceiling_ns;
} ceilings[] = {
    {"the first", 0, 50 * MS},   {"the second", 1, 100 * MS},   {"the third", 2, 200 * MS},
    {"the sixth", 5, 1600 * MS}, {"the seventh", 6, 3000 * MS}, {"the thousandth", 999, 3000 * MS},
};

/* Each pause lies anywhere up to its ceiling, the ends included. */
static void test_ceilings(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof ceilings / sizeof ceilings[0]; i++) {
        uint64_t ceiling = ceilings[i].ceiling_ns;
        const struct tvc_backoff before = {.until_ns = UINT64_MAX, .tries = ceilings[i].tries};
        const uint32_t chances[] = {0, 1, (uint32_t)ceiling, UINT32_MAX};
        for (size_t j = 0; j < sizeof chances / sizeof chances[0]; j++) {
            struct tvc_backoff backoff = before;
            uint64_t next = tvc_backoff_next(&backoff, NOW, chances[j]);
            if (next - NOW != chances[j] % (ceiling + 1))
                fail_msg("%s: %llu ns for the chance %u", ceilings[i].name, (unsigned long long)(next - NOW), chances[j]);
            assert_int_equal(backoff.tries, ceilings[i].tries + 1);
        }
    }
}

/* The last try is made when the time is over, and none after it. */
static void test_end(void **state) {
    (void)state;
    struct tvc_backoff backoff = {0};
    tvc_backoff_begin(&backoff, 100, NOW);
    assert_int_equal(tvc_backoff_next(&backoff, NOW, 10), NOW + 10);
    assert_int_equal(tvc_backoff_next(&backoff, NOW + 99 * MS, 20 * MS), NOW + 100 * MS);
    assert_int_equal(tvc_backoff_next(&backoff, NOW + 99 * MS, 0), TVC_BACKOFF_OVER);
    tvc_backoff_begin(&backoff, 100, NOW);
    assert_int_equal(tvc_backoff_next(&backoff, NOW + 100 * MS - 1, 0), NOW + 100 * MS - 1);
    assert_int_equal(tvc_backoff_next(&backoff, NOW + 100 * MS, 0), TVC_BACKOFF_OVER);
    tvc_backoff_begin(&backoff, 0, NOW);
    assert_int_equal(tvc_backoff_next(&backoff, NOW, 0), TVC_BACKOFF_OVER);
    tvc_backoff_begin(&backoff, TROVE_NO_TIMEOUT, NOW);
    assert_int_equal(tvc_backoff_next(&backoff, UINT64_MAX / 2, 7), UINT64_MAX / 2 + 7);
}

/* What fails again right after it went well isn't tried at the pace of a first time. */
static void test_soon_again(void **state) {
    (void)state;
    struct tvc_backoff backoff = {0};
    tvc_backoff_begin(&backoff, 1000, NOW);
    for (int i = 0; i < 4; i++)
        (void)tvc_backoff_next(&backoff, NOW, 0);
    tvc_backoff_begin(&backoff, 1000, NOW + 2 * TVC_BACKOFF_MAX_NS - 1);
    assert_int_equal(backoff.tries, 4);
    tvc_backoff_begin(&backoff, 1000, backoff.begun_ns + 2 * TVC_BACKOFF_MAX_NS);
    assert_int_equal(backoff.tries, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ceilings),
        cmocka_unit_test(test_end),
        cmocka_unit_test(test_soon_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
