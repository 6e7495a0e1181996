/* test_budget.c - who waits for memory is served in order, whoever leaves the queue meanwhile, from wherever in it. */
#include "bounds.h"
#include "budget.h"

#include "unit.h"

#include <pthread.h>

#define SEGMENTS 16
#define CLAIMS   9

struct fixture {
    struct tvs_workers *workers;
    struct tvs_budget *budget;
    atomic_uint pressed;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    /* under the lock */
    unsigned granted[CLAIMS]; /* numbers, in order */
    unsigned granted_count;
};

struct waiting {
    struct tvs_claim claim; /* first */
    struct fixture *fixture;
    unsigned number;
};

static void on_pressed(void *context) {
    struct fixture *fixture = context;
    atomic_fetch_add(&fixture->pressed, 1);
}

static void on_granted(struct tvs_claim *claim) {
    struct waiting *waiting = (struct waiting *)(void *)claim;
    struct fixture *fixture = waiting->fixture;
    pthread_mutex_lock(&fixture->lock);
    fixture->granted[fixture->granted_count++] = waiting->number;
    pthread_cond_broadcast(&fixture->changed);
    pthread_mutex_unlock(&fixture->lock);
}

static void wait_for(struct fixture *fixture, unsigned count) {
    pthread_mutex_lock(&fixture->lock);
    while (fixture->granted_count < count)
        pthread_cond_wait(&fixture->changed, &fixture->lock);
    assert_int_equal(fixture->granted_count, count);
    pthread_mutex_unlock(&fixture->lock);
}

static int begin(void **state) {
    struct fixture *fixture = calloc(1, sizeof *fixture);
    pthread_mutex_init(&fixture->lock, NULL);
    pthread_cond_init(&fixture->changed, NULL);
    *state = fixture;
    if (tvs_workers_create(1, &fixture->workers, NULL) != TROVE_OK)
        return -1;
    return tvs_budget_create(SEGMENTS * TV_SEGMENT_BYTES, fixture->workers, on_pressed, fixture, &fixture->budget, NULL) ==
                   TROVE_OK
               ? 0
               : -1;
}

static int end(void **state) {
    struct fixture *fixture = *state;
    assert_true(tvs_workers_destroy(fixture->workers, 60000));
    tvs_budget_release(fixture->budget);
    pthread_cond_destroy(&fixture->changed);
    pthread_mutex_destroy(&fixture->lock);
    free(fixture);
    return 0;
}

/* All of it is taken, and claims for all of it wait, so that each is served when the one before gives back. */
static void queue_all(struct fixture *fixture, struct waiting claims[CLAIMS], uint64_t bytes) {
    assert_true(tvs_budget_try(fixture->budget, SEGMENTS * TV_SEGMENT_BYTES));
    for (unsigned i = 0; i < CLAIMS; i++) {
        claims[i] = (struct waiting){.claim.granted = on_granted, .fixture = fixture, .number = i};
        assert_false(tvs_budget_take(fixture->budget, &claims[i].claim, bytes));
        assert_int_equal(atomic_load(&fixture->pressed), i + 1);
    }
    assert_true(tvs_budget_contended(fixture->budget));
    assert_false(tvs_budget_try(fixture->budget, 0)); /* nobody overtakes */
}

static void claims_leave_from_anywhere(void **state) {
    struct fixture *fixture = *state;
    static const struct {
        const char *name;
        unsigned leaving[CLAIMS];
        unsigned count;
    } rows[] = {
        {"nobody", {0}, 0},
        {"the first", {0}, 1},
        {"the last", {CLAIMS - 1}, 1},
        {"one in the middle", {4}, 1},
        {"neighbours", {3, 4, 5}, 3},
        {"both ends", {0, CLAIMS - 1}, 2},
        {"all but one, from the middle on", {4, 3, 5, 2, 6, 1, 7, 0}, 8},
        {"all", {0, 1, 2, 3, 4, 5, 6, 7, 8}, 9},
        {"all, from the end", {8, 7, 6, 5, 4, 3, 2, 1, 0}, 9},
    };
    for (size_t r = 0; r < sizeof rows / sizeof rows[0]; r++) {
        struct waiting claims[CLAIMS];
        bool left[CLAIMS] = {false};
        unit_row(rows[r].name);
        fixture->granted_count = 0;
        atomic_store(&fixture->pressed, 0);
        queue_all(fixture, claims, SEGMENTS * TV_SEGMENT_BYTES);
        for (unsigned i = 0; i < rows[r].count; i++) {
            left[rows[r].leaving[i]] = true;
            assert_true(tvs_budget_forget(fixture->budget, &claims[rows[r].leaving[i]].claim));
            assert_false(tvs_budget_forget(fixture->budget, &claims[rows[r].leaving[i]].claim));
        }
        unsigned served = 0;
        for (unsigned i = 0; i < CLAIMS; i++) {
            if (left[i])
                continue;
            tvs_budget_give(fixture->budget, SEGMENTS * TV_SEGMENT_BYTES);
            wait_for(fixture, ++served);
            assert_int_equal(fixture->granted[served - 1], i);
        }
        assert_false(tvs_budget_contended(fixture->budget));
        tvs_budget_give(fixture->budget, SEGMENTS * TV_SEGMENT_BYTES);
        assert_int_equal(fixture->granted_count, CLAIMS - rows[r].count);
    }
}

/* What one behind the leaving one wants may be there already. */
static void leaving_lets_the_next_through(void **state) {
    struct fixture *fixture = *state;
    struct waiting large = {.claim.granted = on_granted, .fixture = fixture, .number = 1};
    struct waiting small = {.claim.granted = on_granted, .fixture = fixture, .number = 2};
    assert_true(tvs_budget_try(fixture->budget, (SEGMENTS - 1) * TV_SEGMENT_BYTES));
    assert_false(tvs_budget_take(fixture->budget, &large.claim, 2 * TV_SEGMENT_BYTES));
    assert_false(tvs_budget_take(fixture->budget, &small.claim, TV_SEGMENT_BYTES));
    assert_true(tvs_budget_forget(fixture->budget, &large.claim));
    wait_for(fixture, 1);
    assert_int_equal(fixture->granted[0], 2);
    tvs_budget_give(fixture->budget, SEGMENTS * TV_SEGMENT_BYTES);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(claims_leave_from_anywhere, begin, end),
        cmocka_unit_test_setup_teardown(leaving_lets_the_next_through, begin, end),
    };
    return cmocka_run_group_tests_name("budget", tests, NULL, NULL);
}
