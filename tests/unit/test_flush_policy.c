/* test_flush_policy.c - when a resumable upload's bytes are made durable. */
#include "flush_policy.h"

#include "unit.h"

static void when_a_flush_is_due(void **state) {
    (void)state;
    static const struct {
        const char *name;
        uint64_t keep_bytes, asked_offset, wanted_offset, offset, passed_ns;
        bool due;
    } rows[] = {
        {"nothing new", 0, 100, 0, 100, 10 * TVS_FLUSH_NS, false},
        {"nothing new, and wanted", 0, 100, 100, 100, 10 * TVS_FLUSH_NS, false},
        {"one byte, at once", 0, 100, 0, 101, 0, false},
        {"one byte, and wanted", 0, 100, 101, 101, 0, true},
        {"one byte, just before a second", 0, 100, 0, 101, TVS_FLUSH_NS - 1, false},
        {"one byte, after a second", 0, 100, 0, 101, TVS_FLUSH_NS, true},
        {"one byte less than the interval", 0, 100, 0, 100 + TVS_FLUSH_BYTES - 1, 0, false},
        {"the interval", 0, 100, 0, 100 + TVS_FLUSH_BYTES, 0, true},
        {"more", 0, 0, 0, TVS_FLUSH_BYTES + 1, 0, true},
        {"one byte less than half of what is kept", TV_MIB, 0, 0, TV_MIB / 2 - 1, 0, false},
        {"half of what is kept", TV_MIB, 0, 0, TV_MIB / 2, 0, true},
        {"much is kept: the interval all the same", 1000 * TV_MIB, 0, 0, TVS_FLUSH_BYTES, 0, true},
        {"much is kept, and a byte less", 1000 * TV_MIB, 0, 0, TVS_FLUSH_BYTES - 1, 0, false},
        {"the largest numbers", UINT64_MAX, 0, UINT64_MAX, UINT64_MAX, 0, true},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const uint64_t begun_ns = 12345;
        struct tvs_flush_policy policy;
        unit_row(rows[i].name);
        tvs_flush_policy_init(&policy, rows[i].keep_bytes, 0, 0);
        tvs_flush_policy_ask(&policy, rows[i].asked_offset, begun_ns);
        tvs_flush_policy_want(&policy, rows[i].wanted_offset);
        assert_int_equal(tvs_flush_policy_due(&policy, rows[i].offset, begun_ns + rows[i].passed_ns), rows[i].due);
    }
}

static void a_flush_fulfils_what_was_wanted(void **state) {
    struct tvs_flush_policy policy;
    (void)state;
    tvs_flush_policy_init(&policy, 0, 50, 0);
    assert_false(tvs_flush_policy_due(&policy, 50, 0)); /* that was durable before */
    tvs_flush_policy_want(&policy, 70);
    tvs_flush_policy_want(&policy, 60); /* more is wanted already */
    assert_true(tvs_flush_policy_due(&policy, 70, 0));
    tvs_flush_policy_ask(&policy, 70, 0);
    assert_false(tvs_flush_policy_due(&policy, 71, 0));
}

static void what_isnt_durable_has_a_bound(void **state) {
    (void)state;
    assert_true(TVS_RESUMABLE_WINDOW + TVS_FLUSH_BYTES <= TVS_UNDURABLE_BYTES_MAX);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(when_a_flush_is_due),
        cmocka_unit_test(a_flush_fulfils_what_was_wanted),
        cmocka_unit_test(what_isnt_durable_has_a_bound),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
