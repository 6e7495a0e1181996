/* test_bandwidth.c - a pool's bandwidth under a clock of our own: the rate is held, streams get equal shares, nobody is
 * forgotten. */
#include "bandwidth.h"

#include "unit.h"

#define MS      UINT64_C(1000000)
#define SECOND  (1000 * MS)
#define STREAMS 8
#define RATE    UINT64_C(1000000)

struct stream {
    struct tvs_bandwidth_waiter waiter; /* first */
    uint64_t slice;
    uint64_t moved;
    uint64_t promised; /* and not moved yet */
    uint64_t delay_ns; /* from the promise to the bytes */
    uint64_t due_ns;
};

struct world {
    struct tvs_bandwidth bandwidth;
    struct stream streams[STREAMS];
    int count;
    uint64_t now_ns;
    uint64_t moved;
};

static void promise(struct world *world, struct stream *stream) {
    stream->promised = stream->slice;
    stream->due_ns = world->now_ns + stream->delay_ns;
}

/* A stream wants to move as much as it can, one slice after the other. */
static void want(struct world *world, struct stream *stream) {
    if (stream->promised == 0 && tvs_bandwidth_take(&world->bandwidth, &stream->waiter, stream->slice, world->now_ns))
        promise(world, stream);
}

/* One millisecond: turns are given, what is due moves. */
static void step(struct world *world) {
    world->now_ns += MS;
    for (struct tvs_bandwidth_waiter *waiter; (waiter = tvs_bandwidth_next(&world->bandwidth, world->now_ns)) != NULL;)
        want(world, (struct stream *)waiter);
    for (int i = 0; i < world->count; i++) {
        struct stream *stream = &world->streams[i];
        if (stream->promised > 0 && stream->due_ns <= world->now_ns) {
            tvs_bandwidth_spend(&world->bandwidth, stream->promised, world->now_ns);
            stream->moved += stream->promised;
            world->moved += stream->promised;
            stream->promised = 0;
        }
        want(world, stream);
    }
}

static void begin(struct world *world, uint64_t rate, int count) {
    *world = (struct world){.count = count, .now_ns = SECOND};
    tvs_bandwidth_init(&world->bandwidth, rate, world->now_ns);
    for (int i = 0; i < count; i++) {
        world->streams[i].slice = tvs_bandwidth_slice(rate);
        want(world, &world->streams[i]);
    }
}

static void slices(void **state) {
    (void)state;
    assert_true(tvs_bandwidth_slice(0) == UINT64_MAX);
    assert_int_equal(tvs_bandwidth_slice(1024), 16384);
    assert_int_equal(tvs_bandwidth_slice(327680), 16384);
    assert_int_equal(tvs_bandwidth_slice(1000000), 50000);
    assert_int_equal(tvs_bandwidth_slice(1000000000), 50000000);
}

static void the_rate_is_held(void **state) {
    (void)state;
    static const struct {
        const char *name;
        uint64_t rate;
        int streams;
        uint64_t delay_ns;
    } rows[] = {
        {"one at once", RATE, 1, 0},
        {"eight at once", RATE, 8, 0},
        {"eight that are slow to use their turn", RATE, 8, 300 * MS},
        {"slow pool", 20000, 3, 20 * MS},
        {"fast pool", 1000 * RATE, 4, 2 * MS},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct world world;
        unit_row(rows[i].name);
        begin(&world, rows[i].rate, rows[i].streams);
        for (int j = 0; j < rows[i].streams; j++)
            world.streams[j].delay_ns = rows[i].delay_ns;
        for (int ms = 0; ms < 30000; ms++)
            step(&world);
        uint64_t ideal = 30 * rows[i].rate;
        uint64_t slack = ideal / 50 + (uint64_t)(rows[i].streams + 2) * world.streams[0].slice;
        assert_true(world.moved <= ideal + slack);
        assert_true(world.moved + slack >= ideal);
    }
}

static void shares_are_equal(void **state) {
    (void)state;
    struct world world;
    begin(&world, RATE, STREAMS);
    for (int i = 0; i < STREAMS; i++)
        world.streams[i].delay_ns = (uint64_t)i * 10 * MS; /* some are near, some are far */
    for (int ms = 0; ms < 40000; ms++)
        step(&world);
    for (int i = 0; i < STREAMS; i++) {
        assert_true(world.streams[i].moved <= world.streams[0].moved + 2 * world.streams[0].slice);
        assert_true(world.streams[i].moved + 2 * world.streams[0].slice >= world.streams[0].moved);
    }
}

/* One that never uses what it was promised holds nobody up; when it does after all, the limit holds over time. */
static void a_kept_promise_costs_once(void **state) {
    (void)state;
    struct world world;
    begin(&world, RATE, 3);
    world.streams[2].delay_ns = 20 * SECOND;
    for (int ms = 0; ms < 10000; ms++)
        step(&world);
    assert_int_equal(world.streams[2].moved, 0);
    assert_true(world.moved >= 98 * RATE / 10);
    for (int ms = 0; ms < 20000; ms++)
        step(&world);
    assert_int_equal(world.streams[2].moved, world.streams[2].slice);
    assert_true(world.moved <= 31 * RATE);
}

static void nobody_overtakes(void **state) {
    (void)state;
    struct tvs_bandwidth bandwidth;
    struct tvs_bandwidth_waiter a = {0};
    struct tvs_bandwidth_waiter b = {0};
    tvs_bandwidth_init(&bandwidth, RATE, SECOND);
    assert_true(tvs_bandwidth_take(&bandwidth, &a, 100000, SECOND)); /* twice the burst: 50 ms of debt */
    assert_false(tvs_bandwidth_take(&bandwidth, &a, 50000, SECOND));
    assert_false(tvs_bandwidth_take(&bandwidth, &a, 50000, SECOND)); /* it is queued once */
    assert_int_equal(tvs_bandwidth_wait_ns(&bandwidth, SECOND), 50 * MS);
    assert_false(tvs_bandwidth_take(&bandwidth, &b, 50000, SECOND + 60 * MS)); /* allowed, but a is first */
    assert_false(tvs_bandwidth_try(&bandwidth, 1, SECOND + 60 * MS));
    assert_ptr_equal(tvs_bandwidth_next(&bandwidth, SECOND + 60 * MS), &a);
    assert_null(tvs_bandwidth_next(&bandwidth, SECOND + 60 * MS)); /* a's slice is debited before a asks again */
    assert_true(tvs_bandwidth_take(&bandwidth, &a, 50000, SECOND + 60 * MS));
    assert_false(tvs_bandwidth_take(&bandwidth, &a, 50000, SECOND + 60 * MS));
    assert_ptr_equal(tvs_bandwidth_next(&bandwidth, SECOND + 100 * MS), &b);
    assert_ptr_equal(tvs_bandwidth_next(&bandwidth, SECOND + 150 * MS), &a);
    assert_true(tvs_bandwidth_wait_ns(&bandwidth, SECOND + 150 * MS) == UINT64_MAX);
}

static void one_leaves(void **state) {
    (void)state;
    for (int gone = 0; gone < 3; gone++) {
        struct tvs_bandwidth bandwidth;
        struct tvs_bandwidth_waiter waiters[3] = {0};
        tvs_bandwidth_init(&bandwidth, RATE, 0);
        assert_true(tvs_bandwidth_try(&bandwidth, 60000, 0));
        for (int i = 0; i < 3; i++)
            assert_false(tvs_bandwidth_take(&bandwidth, &waiters[i], 1, 0));
        assert_true(tvs_bandwidth_leave(&bandwidth, &waiters[gone]));
        assert_false(tvs_bandwidth_leave(&bandwidth, &waiters[gone]));
        for (int i = 0; i < 3; i++)
            if (i != gone)
                assert_ptr_equal(tvs_bandwidth_next(&bandwidth, SECOND), &waiters[i]);
        assert_null(tvs_bandwidth_next(&bandwidth, SECOND));
        assert_null(bandwidth.last);
    }
}

static void a_turn_is_given_up(void **state) {
    (void)state;
    struct tvs_bandwidth bandwidth;
    struct tvs_bandwidth_waiter waiter = {0};
    tvs_bandwidth_init(&bandwidth, RATE, 0);
    assert_true(tvs_bandwidth_try(&bandwidth, 60000, 0));
    assert_false(tvs_bandwidth_take(&bandwidth, &waiter, 50000, 0));
    assert_ptr_equal(tvs_bandwidth_next(&bandwidth, 10 * MS), &waiter);
    assert_false(tvs_bandwidth_leave(&bandwidth, &waiter));
    assert_false(tvs_bandwidth_take(&bandwidth, &waiter, 50000, 10 * MS)); /* it has to wait like everybody else */
}

static void the_limit_moves(void **state) {
    (void)state;
    struct world world;
    begin(&world, RATE, 4);
    for (int ms = 0; ms < 5000; ms++)
        step(&world);
    tvs_bandwidth_set(&world.bandwidth, 4 * RATE, world.now_ns);
    uint64_t before = world.moved;
    for (int ms = 0; ms < 5000; ms++)
        step(&world);
    assert_true(world.moved - before >= 19 * RATE && world.moved - before <= 21 * RATE);
    tvs_bandwidth_set(&world.bandwidth, 0, world.now_ns); /* whoever waits goes at once */
    before = world.moved;
    step(&world);
    step(&world);
    assert_null(world.bandwidth.first);
    assert_true(world.moved - before >= 4 * world.streams[0].slice);
    tvs_bandwidth_set(&world.bandwidth, RATE, world.now_ns);
    before = world.moved;
    for (int ms = 0; ms < 10000; ms++)
        step(&world);
    assert_true(world.moved - before >= 98 * RATE / 10 && world.moved - before <= 105 * RATE / 10);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(slices),
        cmocka_unit_test(the_rate_is_held),
        cmocka_unit_test(shares_are_equal),
        cmocka_unit_test(a_kept_promise_costs_once),
        cmocka_unit_test(nobody_overtakes),
        cmocka_unit_test(one_leaves),
        cmocka_unit_test(a_turn_is_given_up),
        cmocka_unit_test(the_limit_moves),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
