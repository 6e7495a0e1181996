/* test_secure.c - memory to seal messages in: counted, bounded, and charged to whoever owns it. */
#include "bounds.h"
#include "secure.h"
#include "unit.h"

#define LARGE (TV_RECORD_BYTES_MAX + 1)

struct budget {
    size_t left;
    size_t charged;
};

static bool charge(void *context, size_t bytes) {
    struct budget *budget = context;
    if (bytes > budget->left)
        return false;
    budget->left -= bytes;
    budget->charged += bytes;
    return true;
}

static void uncharge(void *context, size_t bytes) {
    struct budget *budget = context;
    assert_true(bytes <= budget->charged);
    budget->charged -= bytes;
    budget->left += bytes;
}

static void init(struct tv_secure *secure, struct budget *budget) {
    tv_secure_init(secure);
    secure->context = budget;
    secure->charge = charge;
    secure->uncharge = uncharge;
}

static void large_ones_are_charged(void **state) {
    (void)state;
    struct budget budget = {.left = 1 << 20};
    struct tv_secure secure;
    init(&secure, &budget);
    struct tv_scratch *first = tv_secure_scratch_get(&secure, LARGE);
    assert_non_null(first);
    assert_true(first->capacity > LARGE);
    assert_int_equal(budget.charged, first->capacity);
    struct tv_scratch *record = tv_secure_scratch_get(&secure, LARGE); /* the budget has no more */
    assert_non_null(record);
    assert_true(record->capacity < LARGE + TV_RECORD_BYTES_MAX);
    struct tv_scratch *small = tv_secure_scratch_get(&secure, 100);
    assert_non_null(small);
    assert_int_equal(budget.charged, first->capacity);
    tv_secure_scratch_put(&secure, first);
    assert_int_equal(budget.charged, 0); /* it is kept, and nobody's */
    struct tv_scratch *again = tv_secure_scratch_get(&secure, LARGE);
    assert_ptr_equal(again, first);
    assert_int_equal(budget.charged, again->capacity);
    tv_secure_scratch_put(&secure, small);
    tv_secure_scratch_put(&secure, again);
    tv_secure_scratch_put(&secure, record);
    assert_int_equal(budget.charged, 0);
    tv_secure_fini(&secure);
}

static void they_have_a_ceiling(void **state) {
    (void)state;
    struct budget budget = {.left = SIZE_MAX};
    struct tv_secure secure;
    init(&secure, &budget);
    secure.scratch_bytes_max = TV_MIB;
    struct tv_scratch *list[64];
    for (unsigned i = 0; i < 64; i++)
        list[i] = tv_secure_scratch_get(&secure, TV_PAYLOAD_BYTES_MAX);
    assert_in_range(budget.charged, TV_MIB, 2 * TV_MIB); /* the last one begins below it */
    for (unsigned i = 0; i < 64; i++)
        tv_secure_scratch_put(&secure, list[i]);
    assert_int_equal(budget.charged, 0);
    assert_int_equal(secure.scratch_bytes, 0);
    tv_secure_fini(&secure);
}

static void without_a_budget(void **state) {
    (void)state;
    struct tv_secure secure;
    tv_secure_init(&secure);
    struct tv_scratch *scratch = tv_secure_scratch_get(&secure, LARGE);
    assert_true(scratch->capacity > LARGE);
    tv_secure_scratch_put(&secure, scratch);
    tv_secure_fini(&secure);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(large_ones_are_charged),
        cmocka_unit_test(they_have_a_ceiling),
        cmocka_unit_test(without_a_budget),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
