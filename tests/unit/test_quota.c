/* test_quota.c - both ceilings at one below, at, and one above; what was refused isn't counted. */
#include "quota.h"

#include "elsewhere.h"
#include "unit.h"

#include <pthread.h>

static void both_ceilings_hold(void **state) {
    (void)state;
    static const struct {
        const char *name;
        uint32_t count; /* taken before, of 100 bytes each */
        uint64_t bytes;
        bool fits;
    } rows[] = {
        {"the first", 0, 100, true},
        {"one below the count", 8, 10, true},
        {"the last of the count", 9, 10, true},
        {"one too many", 10, 0, false},
        {"a byte below", 9, 99, true},
        {"the last byte", 9, 100, true},
        {"a byte too many", 9, 101, false},
        {"all at once", 0, 1000, true},
        {"more than all at once", 0, 1001, false},
        {"past the end", 1, UINT64_MAX, false},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct tvs_quota quota = {0};
        print_message("    %s\n", rows[i].name);
        for (uint32_t taken = 0; taken < rows[i].count; taken++)
            assert_true(tvs_quota_take(&quota, 100, 1000, 10));
        assert_int_equal(tvs_quota_take(&quota, rows[i].bytes, 1000, 10), rows[i].fits);
        assert_int_equal(tvs_quota_count(&quota), rows[i].count + rows[i].fits);
        if (rows[i].fits)
            tvs_quota_give(&quota, rows[i].bytes);
        for (uint32_t taken = 0; taken < rows[i].count; taken++)
            tvs_quota_give(&quota, 100);
        assert_int_equal(tvs_quota_count(&quota), 0);
        assert_true(tvs_quota_take(&quota, 1000, 1000, 1));
    }
}

#define PLACES 3

struct shared {
    struct tvs_quota quota;
    atomic_uint inside;
};

static void *take_and_give(void *context) {
    struct shared *shared = context;
    for (unsigned i = 0; i < 20000; i++) {
        if (!tvs_quota_take(&shared->quota, 10, 10 * PLACES, 1000))
            continue;
        MUST(atomic_fetch_add(&shared->inside, 1) < PLACES);
        atomic_fetch_sub(&shared->inside, 1);
        tvs_quota_give(&shared->quota, 10);
    }
    return NULL;
}

static void many_threads_at_once(void **state) {
    (void)state;
    struct shared shared = {0};
    pthread_t threads[8];
    for (size_t i = 0; i < 8; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, take_and_give, &shared), 0);
    for (size_t i = 0; i < 8; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(tvs_quota_count(&shared.quota), 0);
    assert_true(tvs_quota_take(&shared.quota, 10 * PLACES, 10 * PLACES, 1));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(both_ceilings_hold),
        cmocka_unit_test(many_threads_at_once),
    };
    return cmocka_run_group_tests_name("quota", tests, NULL, NULL);
}
