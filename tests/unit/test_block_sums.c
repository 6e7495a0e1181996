/* test_block_sums.c - the memory that lists of block checksums take: counted as they grow, shrink and go, and bounded. (What they
 * hold is compared by the conformance tests.) */
#include "block_sums.h"
#include "bounds.h"

#include "unit.h"

#include <stdlib.h>
#include <string.h>

static void appends(struct tvs_block_sums *sums, uint64_t blocks) {
    trove_error error;
    assert_int_equal(tvs_block_sums_append_zeros(sums, blocks * TV_BLOCK_BYTES, &error), TROVE_OK);
}

static void counts_what_it_holds(void **state) {
    (void)state;
    atomic_ullong held = 0;
    struct tvs_block_sums sums;
    trove_error error;
    tvs_block_sums_init(&sums, &held);
    assert_int_equal(atomic_load(&held), 0);
    appends(&sums, 1);
    assert_int_equal(atomic_load(&held), sums.capacity * 8);
    appends(&sums, 1000);
    assert_true(sums.capacity >= 1001);
    assert_int_equal(atomic_load(&held), sums.capacity * 8);
    assert_int_equal(tvs_block_sums_rewind(&sums, TV_BLOCK_BYTES, NULL, &error), TROVE_OK);
    assert_true(sums.capacity < 100);
    assert_int_equal(atomic_load(&held), sums.capacity * 8);
    tvs_block_sums_fini(&sums);
    assert_int_equal(atomic_load(&held), 0);
}

static void counts_what_it_was_given(void **state) {
    (void)state;
    atomic_ullong held = 0;
    struct tvs_block_sums sums;
    tvs_block_sums_init(&sums, &held);
    tvs_block_sums_load(&sums, calloc(7, 8), 7);
    assert_int_equal(atomic_load(&held), 56);
    appends(&sums, 1);
    assert_int_equal(atomic_load(&held), sums.capacity * 8);
    tvs_block_sums_fini(&sums);
    assert_int_equal(atomic_load(&held), 0);
}

/* All lists of a store together; what is there stays right. */
static void ends_at_its_bound(void **state) {
    (void)state;
    atomic_ullong held = 0;
    struct tvs_block_sums sums;
    trove_error error;
    tvs_block_sums_init(&sums, &held);
    appends(&sums, 16);
    uint64_t own_bytes = atomic_load(&held);
    assert_int_equal(own_bytes, 128);
    const uint64_t others_bytes = TVS_BLOCK_SUMS_BYTES_MAX - own_bytes - 255;
    atomic_fetch_add(&held, others_bytes);
    assert_int_equal(tvs_block_sums_append_zeros(&sums, TV_BLOCK_BYTES, &error), TROVE_RESOURCE_EXHAUSTED);
    assert_non_null(strstr(error.message, "checksums"));
    assert_int_equal(sums.count, 16);
    assert_int_equal(atomic_load(&held), own_bytes + others_bytes);
    atomic_fetch_sub(&held, others_bytes);
    appends(&sums, 1);
    assert_int_equal(sums.count, 17);
    tvs_block_sums_fini(&sums);
    assert_int_equal(atomic_load(&held), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(counts_what_it_holds),
        cmocka_unit_test(counts_what_it_was_given),
        cmocka_unit_test(ends_at_its_bound),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
