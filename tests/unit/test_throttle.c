/* test_throttle.c - a throttle with its timer, and those of keys and users, under a clock of our own: who waits is called when
 * its time has come, a limit that changes holds at once, and everybody of one name has one throttle together.
 */
#include "principal_bandwidth.h"
#include "stream.h"

#include "unit.h"

#define MS     UINT64_C(1000000)
#define SECOND (1000 * MS)
#define RATE   UINT64_C(1000000)
#define SLICE  (RATE / 20)

/* ---- the clock and its timers, in the place of the real ones (--wrap) ----------------------------------------------------- */

static uint64_t now_ns;
static struct tv_timer *armed[4]; /* NULL: free */
static bool no_memory;            /* arming fails */

uint64_t __wrap_tv_now_ns(void); /* NOLINT(bugprone-reserved-identifier): the linker's */
uint64_t __wrap_tv_now_ns(void) {
    return now_ns;
}

static bool is_armed(const struct tv_timer *timer) {
    for (size_t i = 0; i < sizeof armed / sizeof *armed; i++)
        if (armed[i] == timer)
            return true;
    return false;
}

static void put(const struct tv_timer *old, struct tv_timer *new) {
    for (size_t i = 0; i < sizeof armed / sizeof *armed; i++)
        if (armed[i] == old) {
            armed[i] = new;
            return;
        }
    fail_msg("no timer to arm, or to disarm");
}

/* NOLINTNEXTLINE(bugprone-reserved-identifier) */
trove_status __wrap_tv_timer_arm(struct tv_timers *timers, struct tv_timer *timer, uint64_t due_ns, trove_error *error);
trove_status __wrap_tv_timer_arm(struct tv_timers *timers, struct tv_timer *timer, uint64_t due_ns, trove_error *error) {
    (void)timers;
    if (no_memory)
        return TV_FAIL(error, RESOURCE_EXHAUSTED, "no memory for a timer");
    timer->due_ns = due_ns;
    if (!is_armed(timer))
        put(NULL, timer);
    return TROVE_OK;
}

void __wrap_tv_timer_cancel(struct tv_timers *timers, struct tv_timer *timer); /* NOLINT(bugprone-reserved-identifier) */
void __wrap_tv_timer_cancel(struct tv_timers *timers, struct tv_timer *timer) {
    (void)timers;
    if (is_armed(timer))
        put(timer, NULL);
}

/* Time goes on, and what is due fires when it is. */
static void pass(uint64_t ns) {
    for (uint64_t end_ns = now_ns + ns;;) {
        struct tv_timer *next = NULL;
        for (size_t i = 0; i < sizeof armed / sizeof *armed; i++)
            if (armed[i] != NULL && armed[i]->due_ns <= end_ns && (next == NULL || armed[i]->due_ns < next->due_ns))
                next = armed[i];
        if (next == NULL) {
            now_ns = end_ns;
            return;
        }
        now_ns = next->due_ns > now_ns ? next->due_ns : now_ns;
        put(next, NULL);
        next->fire(next);
    }
}

/* ---- one that moves as much as it may ------------------------------------------------------------------------------------- */

struct mover {
    struct tvs_bandwidth_waiter waiter; /* first */
    struct tvs_throttle *throttle;
    uint64_t slice_bytes;
    uint64_t moved, bytes_max;
    unsigned turns;
};

static void move(struct mover *mover) {
    while (mover->moved < mover->bytes_max && tvs_throttle_take(mover->throttle, &mover->waiter, mover->slice_bytes)) {
        tvs_throttle_spend(mover->throttle, mover->slice_bytes);
        mover->moved += mover->slice_bytes;
    }
}

static void on_turn(struct tvs_bandwidth_waiter *waiter) {
    struct mover *mover = (struct mover *)waiter;
    mover->turns++;
    move(mover);
}

static struct mover mover_of(struct tvs_throttle *throttle) {
    return (struct mover){.waiter = {.turn = on_turn}, .throttle = throttle, .slice_bytes = SLICE, .bytes_max = UINT64_MAX};
}

static void init(struct tvs_throttle *throttle, uint64_t rate) {
    now_ns = SECOND;
    no_memory = false;
    tvs_throttle_init(throttle, NULL, rate);
}

static void fini(struct tvs_throttle *throttle) {
    tvs_throttle_disarm(throttle);
    assert_false(is_armed(&throttle->turns));
    tvs_throttle_fini(throttle);
}

/* What has moved in a while: the rate, but for what may go at once and a slice that is under way. */
static void must_be_limited(uint64_t moved, uint64_t rate, uint64_t seconds) {
    if (moved < rate * seconds - 2 * SLICE || moved > rate * seconds + rate / 2)
        fail_msg("%llu bytes in %llu s at %llu bytes a second", (unsigned long long)moved, (unsigned long long)seconds,
                 (unsigned long long)rate);
}

/* ---- a throttle ----------------------------------------------------------------------------------------------------------- */

static void without_a_limit_nobody_waits(void **state) {
    (void)state;
    struct tvs_throttle throttle;
    init(&throttle, 0);
    struct mover mover = mover_of(&throttle);
    mover.bytes_max = 1000 * RATE;
    assert_false(tvs_throttle_limited(&throttle));
    assert_true(tvs_throttle_slice(&throttle) == UINT64_MAX);
    move(&mover);
    assert_int_equal(mover.moved, 1000 * RATE);
    assert_true(tvs_throttle_try(&throttle, 1000 * RATE));
    assert_false(is_armed(&throttle.turns));
    fini(&throttle);
}

static void who_waits_is_called(void **state) {
    (void)state;
    struct tvs_throttle throttle;
    init(&throttle, RATE);
    struct mover movers[2] = {mover_of(&throttle), mover_of(&throttle)};
    assert_true(tvs_throttle_limited(&throttle));
    assert_int_equal(tvs_throttle_slice(&throttle), SLICE);
    for (int i = 0; i < 2; i++)
        move(&movers[i]);
    assert_true(is_armed(&throttle.turns));
    assert_false(tvs_throttle_try(&throttle, SLICE)); /* others are before it */
    pass(10 * SECOND);
    must_be_limited(movers[0].moved + movers[1].moved, RATE, 10);
    assert_true(movers[0].turns > 50 && movers[1].turns > 50);
    for (int i = 0; i < 2; i++)
        assert_true(tvs_throttle_leave(&throttle, &movers[i].waiter));
    assert_false(tvs_throttle_leave(&throttle, &movers[0].waiter));
    fini(&throttle);
}

/* Changed while one waits: faster, slower, not at all any more, and anew. */
static void a_limit_that_changes_holds_at_once(void **state) {
    (void)state;
    static const struct {
        const char *name;
        uint64_t from, to;
    } rows[] = {{"faster", RATE, 4 * RATE}, {"slower", 4 * RATE, RATE}, {"the same", RATE, RATE}, {"anew", 0, RATE}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct tvs_throttle throttle;
        unit_row(rows[i].name);
        init(&throttle, rows[i].from);
        struct mover mover = mover_of(&throttle);
        mover.bytes_max = rows[i].from == 0 ? 100 * SLICE : UINT64_MAX;
        move(&mover);
        pass(SECOND);
        tvs_throttle_set(&throttle, rows[i].to);
        assert_true(tvs_throttle_limited(&throttle));
        mover.bytes_max = UINT64_MAX;
        if (rows[i].from == 0)
            move(&mover);
        uint64_t before = mover.moved;
        pass(10 * SECOND);
        must_be_limited(mover.moved - before, rows[i].to, 10);
        assert_true(tvs_throttle_leave(&throttle, &mover.waiter));
        fini(&throttle);
    }
}

static void a_limit_that_goes_lets_everybody_go(void **state) {
    (void)state;
    struct tvs_throttle throttle;
    init(&throttle, RATE);
    struct mover movers[3];
    for (int i = 0; i < 3; i++) {
        movers[i] = mover_of(&throttle);
        movers[i].bytes_max = 100 * RATE;
        move(&movers[i]);
        assert_true(movers[i].waiter.queued);
    }
    tvs_throttle_set(&throttle, 0);
    assert_true(tvs_throttle_limited(&throttle)); /* some still wait for their turn */
    pass(0);
    for (int i = 0; i < 3; i++)
        assert_int_equal(movers[i].moved, 100 * RATE);
    assert_false(tvs_throttle_limited(&throttle));
    fini(&throttle);
}

/* One gets its turn, and doesn't take it before the limit has gone: the turn is used up by what it takes then. */
static void a_turn_outlives_no_limit(void **state) {
    (void)state;
    struct tvs_throttle throttle;
    init(&throttle, RATE);
    struct mover mover = mover_of(&throttle);
    mover.bytes_max = 100 * SLICE;
    move(&mover);
    mover.bytes_max = mover.moved; /* when it is called it doesn't ask */
    pass(SECOND);
    assert_int_equal(mover.turns, 1);
    assert_true(mover.waiter.has_turn);
    tvs_throttle_set(&throttle, 0);
    assert_true(tvs_throttle_take(&throttle, &mover.waiter, SLICE));
    assert_false(mover.waiter.has_turn);
    fini(&throttle);
}

static void the_tick_does_it_where_the_timer_cannot(void **state) {
    (void)state;
    struct tvs_throttle throttle;
    init(&throttle, RATE);
    struct mover mover = mover_of(&throttle);
    no_memory = true;
    move(&mover);
    uint64_t before = mover.moved;
    assert_false(is_armed(&throttle.turns));
    pass(SECOND);
    assert_int_equal(mover.moved, before);
    no_memory = false;
    tvs_throttle_tick(&throttle);
    assert_true(mover.moved > before);
    assert_true(is_armed(&throttle.turns));
    assert_true(tvs_throttle_leave(&throttle, &mover.waiter));
    fini(&throttle);
}

/* ---- a stream under two of them ------------------------------------------------------------------------------------------- */

static void on_streams_turn(struct tvs_bandwidth_waiter *waiter) {
    struct tvs_stream *stream = (struct tvs_stream *)((char *)waiter - offsetof(struct tvs_stream, down.bandwidth));
    stream->down.awaiting_turn = false;
    tvs_stream_release(stream);
}

/* A stream has its turn, and the limit goes before it has used it: what comes then needs none, and a
 * limit that comes back finds it with none. */
static void a_stream_keeps_no_turn_without_a_limit(void **state) {
    (void)state;
    static const struct {
        const char *name;
        uint64_t own, pools;
        bool own_turn; /* it has had its principal's when the limits go */
    } rows[] = {{"its principal's", RATE, 0, false}, {"its pool's", 0, RATE, true}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct tvs_principal_bandwidth own = {0};
        struct tvs_session session = {.bandwidth = &own};
        struct tvs_pool pool = {0};
        struct tvs_stream stream = {.session = &session, .pool = &pool};
        unit_row(rows[i].name);
        atomic_init(&stream.references, 1);
        stream.down.bandwidth.turn = on_streams_turn;
        init(&own.throttle, rows[i].own);
        init(&pool.throttle, rows[i].pools);
        while (tvs_stream_take_turn_locked(&stream, &stream.down, SLICE))
            continue;
        pass(SECOND);
        assert_false(stream.down.awaiting_turn);
        assert_int_equal(stream.down.had_own_turn, rows[i].own_turn);
        assert_true(stream.down.bandwidth.has_turn);
        tvs_throttle_set(&own.throttle, 0);
        tvs_throttle_set(&pool.throttle, 0);
        assert_true(tvs_stream_take_turn_locked(&stream, &stream.down, SLICE));
        assert_false(stream.down.had_own_turn);
        assert_false(stream.down.bandwidth.has_turn);
        assert_int_equal(atomic_load(&stream.references), 1);
        fini(&own.throttle);
        fini(&pool.throttle);
    }
}

/* ---- of keys and users ---------------------------------------------------------------------------------------------------- */

static struct tvs_principal principal_of(const char *name, uint64_t bandwidth) {
    struct tvs_principal principal = {.bandwidth = bandwidth};
    snprintf(principal.name, sizeof principal.name, "%s", name);
    return principal;
}

static void connections_of_one_share(void **state) {
    (void)state;
    struct tvs_principal_bandwidths list;
    struct tvs_principal one = principal_of("key:one", RATE), two = principal_of("key:two", 0);
    now_ns = SECOND;
    tvs_principal_bandwidths_init(&list);
    struct tvs_principal_bandwidth *first = tvs_principal_bandwidth_acquire(&list, NULL, &one);
    struct tvs_principal_bandwidth *other = tvs_principal_bandwidth_acquire(&list, NULL, &two);
    struct tvs_principal_bandwidth *second = tvs_principal_bandwidth_acquire(&list, NULL, &one);
    assert_ptr_equal(first, second);
    assert_ptr_not_equal(first, other);
    struct mover movers[2] = {mover_of(&first->throttle), mover_of(&second->throttle)};
    for (int i = 0; i < 2; i++)
        move(&movers[i]);
    pass(10 * SECOND);
    must_be_limited(movers[0].moved + movers[1].moved, RATE, 10);
    assert_true(tvs_throttle_try(&other->throttle, 100 * RATE)); /* it has no limit */
    assert_true(tvs_throttle_leave(&second->throttle, &movers[1].waiter));
    tvs_principal_bandwidth_release(&list, second);
    uint64_t before = movers[0].moved;
    pass(10 * SECOND);
    must_be_limited(movers[0].moved - before, RATE, 10); /* all of it is the first one's now */
    assert_true(tvs_throttle_leave(&first->throttle, &movers[0].waiter));
    tvs_principal_bandwidth_release(&list, first);
    tvs_principal_bandwidth_release(&list, NULL);
    assert_ptr_equal(list.first, other);
    tvs_principal_bandwidth_release(&list, other);
    for (size_t i = 0; i < sizeof armed / sizeof *armed; i++)
        assert_null(armed[i]);
    tvs_principal_bandwidths_fini(&list);
}

/* Who comes after a limit was changed brings it along for those that are there. */
static void the_newest_limit_is_everybodys(void **state) {
    (void)state;
    struct tvs_principal_bandwidths list;
    struct tvs_principal slow = principal_of("uid:1", RATE), fast = principal_of("uid:1", 4 * RATE);
    now_ns = SECOND;
    tvs_principal_bandwidths_init(&list);
    struct tvs_principal_bandwidth *bandwidth = tvs_principal_bandwidth_acquire(&list, NULL, &slow);
    struct mover mover = mover_of(&bandwidth->throttle);
    move(&mover);
    assert_ptr_equal(tvs_principal_bandwidth_acquire(&list, NULL, &fast), bandwidth);
    uint64_t before = mover.moved;
    pass(10 * SECOND);
    must_be_limited(mover.moved - before, 4 * RATE, 10);
    assert_true(tvs_throttle_leave(&bandwidth->throttle, &mover.waiter));
    for (int i = 0; i < 2; i++)
        tvs_principal_bandwidth_release(&list, bandwidth);
    assert_null(list.first);
    tvs_principal_bandwidths_fini(&list);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_a_limit_nobody_waits),
        cmocka_unit_test(who_waits_is_called),
        cmocka_unit_test(a_limit_that_changes_holds_at_once),
        cmocka_unit_test(a_limit_that_goes_lets_everybody_go),
        cmocka_unit_test(a_turn_outlives_no_limit),
        cmocka_unit_test(the_tick_does_it_where_the_timer_cannot),
        cmocka_unit_test(a_stream_keeps_no_turn_without_a_limit),
        cmocka_unit_test(connections_of_one_share),
        cmocka_unit_test(the_newest_limit_is_everybodys),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
