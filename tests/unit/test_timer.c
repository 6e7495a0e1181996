/* test_timer.c - the heap's order, and what cancelling promises. Waits are for callbacks, never for a time to pass. */
#include "timer.h"

#include "bounds.h"
#include "elsewhere.h"
#include "unit.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>

#define MS UINT64_C(1000000)

/* ---- a timer that tells when it fired
 * ------------------------------------------------------------------------------------------ */

struct probe {
    struct tv_timer timer;
    struct tv_timers *timers;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    unsigned fired;
    unsigned rearm; /* so many times, from its own callback */
    bool cancel_itself;
    bool gate; /* stay in the callback until it is opened */
    bool inside;
    uint64_t order;
    uint64_t fired_ns;
    sigset_t blocked;
};

static atomic_uint_fast64_t fire_order;

static void probe_fire(struct tv_timer *timer) {
    struct probe *probe = (struct probe *)timer;
    pthread_mutex_lock(&probe->lock);
    probe->inside = true;
    probe->fired_ns = tv_now_ns();
    probe->order = atomic_fetch_add(&fire_order, 1);
    pthread_sigmask(SIG_SETMASK, NULL, &probe->blocked);
    pthread_cond_broadcast(&probe->changed);
    while (probe->gate)
        pthread_cond_wait(&probe->changed, &probe->lock);
    if (probe->rearm > 0) {
        probe->rearm--;
        MUST(tv_timer_arm(probe->timers, timer, tv_now_ns(), NULL) == TROVE_OK);
    }
    if (probe->cancel_itself)
        tv_timer_cancel(probe->timers, timer);
    probe->fired++;
    probe->inside = false;
    pthread_cond_broadcast(&probe->changed);
    pthread_mutex_unlock(&probe->lock);
}

static void probe_init(struct probe *probe, struct tv_timers *timers) {
    *probe = (struct probe){.timer = {.fire = probe_fire}, .timers = timers};
    pthread_mutex_init(&probe->lock, NULL);
    pthread_cond_init(&probe->changed, NULL);
}

static void probe_wait(struct probe *probe, unsigned fired) {
    pthread_mutex_lock(&probe->lock);
    while (probe->fired < fired)
        pthread_cond_wait(&probe->changed, &probe->lock);
    pthread_mutex_unlock(&probe->lock);
}

static void probe_wait_inside(struct probe *probe) {
    pthread_mutex_lock(&probe->lock);
    while (!probe->inside)
        pthread_cond_wait(&probe->changed, &probe->lock);
    pthread_mutex_unlock(&probe->lock);
}

static void probe_open_gate(struct probe *probe) {
    pthread_mutex_lock(&probe->lock);
    probe->gate = false;
    pthread_cond_broadcast(&probe->changed);
    pthread_mutex_unlock(&probe->lock);
}

static unsigned probe_fired(struct probe *probe) {
    pthread_mutex_lock(&probe->lock);
    unsigned fired = probe->fired;
    pthread_mutex_unlock(&probe->lock);
    return fired;
}

static bool probe_inside(struct probe *probe) {
    pthread_mutex_lock(&probe->lock);
    bool inside = probe->inside;
    pthread_mutex_unlock(&probe->lock);
    return inside;
}

static int create_timers(void **state) {
    struct tv_timers *timers = NULL;
    trove_error error;
    if (tv_timers_create(&timers, &error) != TROVE_OK)
        return -1;
    *state = timers;
    return 0;
}

static int destroy_timers(void **state) {
    tv_timers_destroy(*state);
    return 0;
}

/* Returns when the thread has fired everything that was due before the call. */
static void flush(struct tv_timers *timers) {
    struct probe probe;
    probe_init(&probe, timers);
    MUST(tv_timer_arm(timers, &probe.timer, tv_now_ns(), NULL) == TROVE_OK);
    probe_wait(&probe, 1);
    tv_timer_cancel(timers, &probe.timer);
}

/* ---- the tests
 * ------------------------------------------------------------------------------------------------------------------ */

static void fires_when_due_with_all_signals_blocked(void **state) {
    struct probe probe;
    probe_init(&probe, *state);
    uint64_t due_ns = tv_now_ns() + MS;
    assert_int_equal(tv_timer_arm(*state, &probe.timer, due_ns, NULL), TROVE_OK);
    probe_wait(&probe, 1);
    assert_true(probe.fired_ns >= due_ns);
    tv_timer_cancel(*state, &probe.timer);
    assert_int_equal(probe.timer.position, 0);
    assert_int_equal(sigismember(&probe.blocked, SIGTERM), 1);
    assert_int_equal(sigismember(&probe.blocked, SIGUSR1), 1);
    sigset_t own;
    pthread_sigmask(SIG_SETMASK, NULL, &own);
    assert_int_equal(sigismember(&own, SIGTERM), 0);
}

#define MANY 500

/* Armed, moved and cancelled at random behind a callback that holds the thread up; then all that is left fires by its due
 * time. */
static void fires_in_order(void **state) {
    struct tv_timers *timers = *state;
    static struct probe probes[MANY];
    struct probe gate;
    uint64_t random = unit_seed();
    probe_init(&gate, timers);
    gate.gate = true;
    assert_int_equal(tv_timer_arm(timers, &gate.timer, tv_now_ns(), NULL), TROVE_OK);
    probe_wait_inside(&gate);
    for (size_t i = 0; i < MANY; i++)
        probe_init(&probes[i], timers);
    for (size_t i = 0; i < 10 * MANY; i++) {
        struct tv_timer *timer = &probes[unit_random(&random) % MANY].timer;
        if (unit_random(&random) % 4 == 0)
            tv_timer_cancel(timers, timer);
        else
            assert_int_equal(tv_timer_arm(timers, timer, 1 + unit_random(&random) % 1000000, NULL), TROVE_OK);
    }
    bool armed[MANY];
    for (size_t i = 0; i < MANY; i++)
        armed[i] = probes[i].timer.position != 0;
    probe_open_gate(&gate);
    flush(timers);
    for (size_t i = 0; i < MANY; i++) {
        assert_int_equal(probe_fired(&probes[i]), armed[i] ? 1 : 0);
        for (size_t j = 0; j < MANY; j++)
            if (armed[i] && armed[j] && probes[i].timer.due_ns < probes[j].timer.due_ns)
                assert_true(probes[i].order < probes[j].order);
        tv_timer_cancel(timers, &probes[i].timer);
    }
    tv_timer_cancel(timers, &gate.timer);
}

static void an_earlier_deadline_wakes_the_thread(void **state) {
    struct probe late, soon;
    probe_init(&late, *state);
    probe_init(&soon, *state);
    assert_int_equal(tv_timer_arm(*state, &late.timer, UINT64_MAX, NULL), TROVE_OK);
    flush(*state); /* the thread now sleeps till the end of time */
    assert_int_equal(tv_timer_arm(*state, &soon.timer, tv_now_ns(), NULL), TROVE_OK);
    probe_wait(&soon, 1);
    assert_int_equal(tv_timer_arm(*state, &late.timer, 1, NULL), TROVE_OK); /* moved */
    probe_wait(&late, 1);
    tv_timer_cancel(*state, &late.timer);
    tv_timer_cancel(*state, &soon.timer);
}

static void rearms_from_its_own_callback(void **state) {
    struct probe probe;
    probe_init(&probe, *state);
    probe.rearm = 5;
    assert_int_equal(tv_timer_arm(*state, &probe.timer, tv_now_ns(), NULL), TROVE_OK);
    probe_wait(&probe, 6);
    tv_timer_cancel(*state, &probe.timer);
    assert_int_equal(probe_fired(&probe), 6);
}

static void cancels_itself_in_its_own_callback(void **state) {
    struct probe probe;
    probe_init(&probe, *state);
    probe.rearm = 5;
    probe.cancel_itself = true;
    assert_int_equal(tv_timer_arm(*state, &probe.timer, tv_now_ns(), NULL), TROVE_OK);
    probe_wait(&probe, 1);
    flush(*state);
    assert_int_equal(probe_fired(&probe), 1);
    assert_int_equal(probe.timer.position, 0);
    tv_timer_cancel(*state, &probe.timer);
}

static void cancelling_what_is_not_armed_does_nothing(void **state) {
    struct tv_timer timer = {0};
    tv_timer_cancel(*state, &timer);
    tv_timer_cancel(*state, &timer);
    assert_int_equal(timer.position, 0);
}

struct canceller {
    struct probe *probe;
    atomic_bool calling;
    atomic_bool done;
    bool inside; /* the callback, when it had been cancelled */
};

static void *cancel_in_thread(void *context) {
    struct canceller *canceller = context;
    atomic_store(&canceller->calling, true);
    tv_timer_cancel(canceller->probe->timers, &canceller->probe->timer);
    canceller->inside = probe_inside(canceller->probe);
    atomic_store(&canceller->done, true);
    return NULL;
}

/* Another thread's cancel returns only when the callback is over, even one that arms its timer again on its way out. */
static void cancel_waits_for_the_callback(void **state) {
    struct probe probe;
    probe_init(&probe, *state);
    probe.gate = true;
    probe.rearm = 1000;
    assert_int_equal(tv_timer_arm(*state, &probe.timer, tv_now_ns(), NULL), TROVE_OK);
    probe_wait_inside(&probe);
    struct canceller canceller = {.probe = &probe};
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, cancel_in_thread, &canceller), 0);
    while (!atomic_load(&canceller.calling))
        sched_yield();
    unsigned early = 0;
    for (int i = 0; i < 1000; i++) { /* turns in which it could come back, if it didn't wait */
        sched_yield();
        early += atomic_load(&canceller.done);
    }
    probe_open_gate(&probe);
    pthread_join(thread, NULL);
    assert_int_equal(early, 0);
    unsigned fired = probe_fired(&probe);
    assert_false(canceller.inside);
    flush(*state);
    assert_int_equal(probe_fired(&probe), fired);
    assert_int_equal(probe.timer.position, 0);
}

static void free_on_fire(struct tv_timer *timer) {
    free(timer);
}

static void a_callback_may_free_its_timer(void **state) {
    for (int i = 0; i < 100; i++) {
        struct tv_timer *timer = calloc(1, sizeof *timer);
        timer->fire = free_on_fire;
        assert_int_equal(tv_timer_arm(*state, timer, tv_now_ns(), NULL), TROVE_OK);
    }
    flush(*state);
}

/* Threads that arm and cancel timers of their own while these fire: after a cancel nothing fires. */
static void *arm_and_cancel(void *context) {
    struct tv_timers *timers = context;
    struct probe probe;
    probe_init(&probe, timers);
    for (int i = 0; i < 2000; i++) {
        MUST(tv_timer_arm(timers, &probe.timer, tv_now_ns() + (uint64_t)(i % 7) * 1000, NULL) == TROVE_OK);
        if (i % 3 == 0)
            tv_timer_cancel(timers, &probe.timer);
    }
    tv_timer_cancel(timers, &probe.timer);
    unsigned fired = probe_fired(&probe);
    flush(timers);
    MUST(probe_fired(&probe) == fired);
    return NULL;
}

static void many_threads_at_once(void **state) {
    pthread_t threads[4];
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, arm_and_cancel, *state), 0);
    for (size_t i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
}

static void is_bounded(void **state) {
    struct tv_timers *timers = *state;
    struct tv_timer *many = calloc(TV_TIMERS_MAX + 1, sizeof *many);
    assert_non_null(many);
    for (size_t i = 0; i < TV_TIMERS_MAX; i++)
        assert_int_equal(tv_timer_arm(timers, &many[i], UINT64_MAX - i, NULL), TROVE_OK);
    trove_error error;
    assert_int_equal(tv_timer_arm(timers, &many[TV_TIMERS_MAX], UINT64_MAX, &error), TROVE_RESOURCE_EXHAUSTED);
    assert_non_null(strstr(error.message, "1048576"));
    assert_int_equal(tv_timer_arm(timers, &many[7], UINT64_MAX, NULL), TROVE_OK); /* moving one is always possible */
    tv_timer_cancel(timers, &many[0]);
    assert_int_equal(tv_timer_arm(timers, &many[TV_TIMERS_MAX], UINT64_MAX, NULL), TROVE_OK);
    for (size_t i = 0; i <= TV_TIMERS_MAX; i++)
        tv_timer_cancel(timers, &many[i]);
    free(many);
}

/* However many are armed while a callback is under way: its own timer has a place when it comes back for it. */
static void a_callback_can_always_arm_its_timer_again(void **state) {
    struct tv_timers *timers = *state;
    struct tv_timer *many = calloc(TV_TIMERS_MAX, sizeof *many);
    assert_non_null(many);
    struct probe probe;
    probe_init(&probe, timers);
    probe.gate = true;
    probe.rearm = 1;
    assert_int_equal(tv_timer_arm(timers, &probe.timer, tv_now_ns(), NULL), TROVE_OK);
    probe_wait_inside(&probe);
    for (size_t i = 0; i < TV_TIMERS_MAX - 1; i++)
        assert_int_equal(tv_timer_arm(timers, &many[i], UINT64_MAX, NULL), TROVE_OK);
    assert_int_equal(tv_timer_arm(timers, &many[TV_TIMERS_MAX - 1], UINT64_MAX, NULL), TROVE_RESOURCE_EXHAUSTED);
    probe_open_gate(&probe);
    probe_wait(&probe, 2);
    for (size_t i = 0; i < TV_TIMERS_MAX; i++)
        tv_timer_cancel(timers, &many[i]);
    tv_timer_cancel(timers, &probe.timer);
    free(many);
}

static void what_is_armed_at_the_end_never_fires(void **state) {
    (void)state;
    struct tv_timers *timers;
    assert_int_equal(tv_timers_create(&timers, NULL), TROVE_OK);
    struct probe probe;
    probe_init(&probe, timers);
    assert_int_equal(tv_timer_arm(timers, &probe.timer, UINT64_MAX, NULL), TROVE_OK);
    tv_timers_destroy(timers);
    assert_int_equal(probe.fired, 0);
    tv_timers_destroy(NULL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fires_when_due_with_all_signals_blocked),
        cmocka_unit_test(fires_in_order),
        cmocka_unit_test(an_earlier_deadline_wakes_the_thread),
        cmocka_unit_test(rearms_from_its_own_callback),
        cmocka_unit_test(cancels_itself_in_its_own_callback),
        cmocka_unit_test(cancelling_what_is_not_armed_does_nothing),
        cmocka_unit_test(cancel_waits_for_the_callback),
        cmocka_unit_test(a_callback_may_free_its_timer),
        cmocka_unit_test(many_threads_at_once),
        cmocka_unit_test(is_bounded),
        cmocka_unit_test(a_callback_can_always_arm_its_timer_again),
        cmocka_unit_test(what_is_armed_at_the_end_never_fires),
    };
    return cmocka_run_group_tests_name("timer", tests, create_timers, destroy_timers);
}
