/* test_refusals.c - of a flood a bounded number of lines is written, and all that are left out are counted. */
#include "refusals.h"
#include "unit.h"

#define SECOND UINT64_C(1000000000)

static unsigned take(struct tvs_refusals *refusals, unsigned count, uint64_t now_ns) {
    unsigned taken = 0;
    for (unsigned i = 0; i < count; i++)
        taken += tvs_refusals_take(refusals, now_ns);
    return taken;
}

static void a_flood_is_counted(void **state) {
    (void)state;
    struct tvs_refusals refusals;
    tvs_refusals_init(&refusals, SECOND);
    assert_int_equal(tvs_refusals_left_out(&refusals), 0);
    unsigned first = take(&refusals, 10000, SECOND);
    assert_in_range(first, TVS_REFUSALS_BURST, TVS_REFUSALS_BURST + 1);
    assert_int_equal(tvs_refusals_left_out(&refusals), 10000 - first);
    assert_int_equal(tvs_refusals_left_out(&refusals), 0);
    unsigned hour = 0;
    for (uint64_t s = 2; s < 2 + 3600; s++)
        hour += take(&refusals, 1000, s * SECOND);
    assert_in_range(hour, 3600 - 1, 3600 * TVS_REFUSALS_PER_SECOND + 1);
    assert_int_equal(tvs_refusals_left_out(&refusals), 3600 * 1000 - hour);
    tvs_refusals_fini(&refusals);
}

static void few_are_all_told(void **state) {
    (void)state;
    struct tvs_refusals refusals;
    tvs_refusals_init(&refusals, 0);
    assert_int_equal(take(&refusals, TVS_REFUSALS_BURST, 0), TVS_REFUSALS_BURST);
    for (uint64_t s = 10; s < 1000; s += 10)
        assert_int_equal(take(&refusals, 10, s * SECOND), 10);
    assert_int_equal(tvs_refusals_left_out(&refusals), 0);
    tvs_refusals_fini(&refusals);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_flood_is_counted),
        cmocka_unit_test(few_are_all_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
