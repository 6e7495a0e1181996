/* test_relief.c - a wish at each point of a round makes a round that begins after it; and none is run for nobody. */
#include "relief.h"

#include "unit.h"

#include <pthread.h>

static void one_wish_makes_one_round(void **state) {
    (void)state;
    struct tvs_relief relief = {0};
    assert_true(tvs_relief_want(&relief));
    assert_false(tvs_relief_want(&relief)); /* served by the same round */
    tvs_relief_begin(&relief);
    assert_false(tvs_relief_end(&relief));
    assert_true(tvs_relief_want(&relief));
    tvs_relief_begin(&relief);
    assert_false(tvs_relief_end(&relief));
}

static void a_wish_during_a_round_makes_another(void **state) {
    (void)state;
    struct tvs_relief relief = {0};
    assert_true(tvs_relief_want(&relief));
    tvs_relief_begin(&relief);
    assert_false(tvs_relief_want(&relief));
    assert_true(tvs_relief_end(&relief));
    tvs_relief_begin(&relief);
    assert_false(tvs_relief_end(&relief));
}

static void what_could_not_be_armed_is_wanted_still(void **state) {
    (void)state;
    struct tvs_relief relief = {0};
    assert_true(tvs_relief_want(&relief));
    tvs_relief_disarm(&relief);
    assert_true(tvs_relief_want(&relief));
    tvs_relief_begin(&relief);
    assert_false(tvs_relief_end(&relief));
}

/* ---- with threads: each wish is answered by a round that begins after it ---- */

#define WISHES 2000

struct shared {
    struct tvs_relief relief;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    unsigned armed;   /* rounds to be run; under the lock */
    unsigned begun;   /* likewise */
    unsigned wishers; /* that aren't done; likewise */
};

static void arm(struct shared *shared) {
    pthread_mutex_lock(&shared->lock);
    shared->armed++;
    assert_int_equal(shared->armed, 1); /* never two at once */
    pthread_cond_broadcast(&shared->changed);
    pthread_mutex_unlock(&shared->lock);
}

static void *run_rounds(void *context) {
    struct shared *shared = context;
    pthread_mutex_lock(&shared->lock);
    for (;;) {
        while (shared->armed == 0 && shared->wishers > 0)
            pthread_cond_wait(&shared->changed, &shared->lock);
        if (shared->armed == 0)
            break;
        shared->armed--;
        shared->begun++;
        tvs_relief_begin(&shared->relief);
        pthread_cond_broadcast(&shared->changed);
        pthread_mutex_unlock(&shared->lock);
        if (tvs_relief_end(&shared->relief))
            arm(shared);
        pthread_mutex_lock(&shared->lock);
    }
    pthread_mutex_unlock(&shared->lock);
    return NULL;
}

static void *wish(void *context) {
    struct shared *shared = context;
    for (unsigned i = 0; i < WISHES; i++) {
        pthread_mutex_lock(&shared->lock);
        unsigned before = shared->begun;
        pthread_mutex_unlock(&shared->lock);
        if (tvs_relief_want(&shared->relief))
            arm(shared);
        pthread_mutex_lock(&shared->lock);
        while (shared->begun == before) /* for ever, if the wish is lost */
            pthread_cond_wait(&shared->changed, &shared->lock);
        pthread_mutex_unlock(&shared->lock);
    }
    pthread_mutex_lock(&shared->lock);
    shared->wishers--;
    pthread_cond_broadcast(&shared->changed);
    pthread_mutex_unlock(&shared->lock);
    return NULL;
}

static void no_wish_is_lost(void **state) {
    (void)state;
    struct shared shared = {.wishers = 3, .lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};
    pthread_t rounds;
    pthread_t wishers[3];
    assert_int_equal(pthread_create(&rounds, NULL, run_rounds, &shared), 0);
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(pthread_create(&wishers[i], NULL, wish, &shared), 0);
    for (size_t i = 0; i < 3; i++)
        pthread_join(wishers[i], NULL);
    pthread_join(rounds, NULL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_wish_makes_one_round),
        cmocka_unit_test(a_wish_during_a_round_makes_another),
        cmocka_unit_test(what_could_not_be_armed_is_wanted_still),
        cmocka_unit_test(no_wish_is_lost),
    };
    return cmocka_run_group_tests_name("relief", tests, NULL, NULL);
}
