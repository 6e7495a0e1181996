/* test_acquire_queue.c - places and who waits for one: order, deadlines, leaving, limits that move. A clock of our own. */
#include "acquire_queue.h"

#include "unit.h"

#define WAITERS     8
#define WAITING_MAX 6

struct fixture {
    struct tvs_acquire_queue queue;
    struct tvs_waiter waiters[WAITERS];
};

static enum tvs_acquired enter(struct fixture *fixture, int index, uint32_t places, uint64_t deadline_ns) {
    return tvs_acquire_queue_enter(&fixture->queue, &fixture->waiters[index], places, WAITING_MAX, deadline_ns);
}

/* The index of the one whose turn it is; -1: nobody's. */
static int next(struct fixture *fixture, uint32_t places) {
    struct tvs_waiter *waiter = tvs_acquire_queue_next(&fixture->queue, places);
    return waiter != NULL ? (int)(waiter - fixture->waiters) : -1;
}

/* `places` are taken, then waiters 0 to count - 1 queue up, with deadlines at 100, 200, ... */
static void fill(struct fixture *fixture, uint32_t places, int count) {
    struct tvs_waiter unused = {0};
    *fixture = (struct fixture){0};
    for (uint32_t i = 0; i < places; i++)
        assert_int_equal(tvs_acquire_queue_enter(&fixture->queue, &unused, places, WAITING_MAX, 1), TVS_ACQUIRED);
    for (int i = 0; i < count; i++)
        assert_int_equal(enter(fixture, i, places, 100 * (uint64_t)(i + 1)), TVS_ACQUIRE_QUEUED);
}

static void as_many_as_there_are_places(void **state) {
    (void)state;
    for (uint32_t places = 1; places <= 3; places++) {
        struct fixture fixture;
        fill(&fixture, places, 0);
        assert_int_equal(fixture.queue.held, places);
        assert_false(fixture.waiters[0].queued);
        assert_int_equal(enter(&fixture, 0, places, 1), TVS_ACQUIRE_QUEUED);
        assert_true(fixture.waiters[0].queued);
        assert_int_equal(next(&fixture, places), -1);
    }
}

static void first_come_first_served(void **state) {
    (void)state;
    struct fixture fixture;
    fill(&fixture, 2, 4);
    for (int i = 0; i < 4; i++) {
        tvs_acquire_queue_release(&fixture.queue);
        assert_int_equal(next(&fixture, 2), i); /* exactly one for each place that is given back */
        assert_int_equal(next(&fixture, 2), -1);
        assert_int_equal(fixture.queue.held, 2);
        assert_int_equal(fixture.queue.waiting, 3 - i);
    }
    tvs_acquire_queue_release(&fixture.queue);
    tvs_acquire_queue_release(&fixture.queue);
    assert_int_equal(fixture.queue.held, 0);
}

/* A place that is free for a moment belongs to whoever waits, and not to who comes now. */
static void nobody_overtakes(void **state) {
    (void)state;
    struct fixture fixture;
    fill(&fixture, 1, 1);
    tvs_acquire_queue_release(&fixture.queue);
    assert_int_equal(enter(&fixture, 1, 1, 50), TVS_ACQUIRE_QUEUED);
    assert_int_equal(next(&fixture, 1), 0);
    assert_int_equal(next(&fixture, 1), -1);
}

static void the_queue_is_bounded(void **state) {
    (void)state;
    struct fixture fixture;
    fill(&fixture, 1, WAITING_MAX);
    assert_int_equal(enter(&fixture, WAITING_MAX, 1, 1), TVS_ACQUIRE_FULL);
    assert_false(fixture.waiters[WAITING_MAX].queued);
    assert_true(tvs_acquire_queue_leave(&fixture.queue, &fixture.waiters[2]));
    assert_int_equal(enter(&fixture, WAITING_MAX, 1, 1), TVS_ACQUIRE_QUEUED);
}

static void one_leaves(void **state) {
    (void)state;
    for (int gone = 0; gone < 4; gone++) { /* the first, from the middle, the last */
        struct fixture fixture;
        fill(&fixture, 1, 4);
        assert_true(tvs_acquire_queue_leave(&fixture.queue, &fixture.waiters[gone]));
        assert_false(tvs_acquire_queue_leave(&fixture.queue, &fixture.waiters[gone]));
        tvs_acquire_queue_number(&fixture.queue);
        uint32_t place = 0;
        for (int i = 0; i < 4; i++) {
            if (i == gone)
                continue;
            assert_int_equal(fixture.waiters[i].place, ++place);
            tvs_acquire_queue_release(&fixture.queue);
            assert_int_equal(next(&fixture, 1), i);
        }
        assert_int_equal(fixture.queue.waiting, 0);
        assert_null(fixture.queue.first);
        assert_null(fixture.queue.last);
    }
}

static void deadlines(void **state) {
    (void)state;
    static const struct {
        uint64_t now_ns;
        int expired; /* 0 to expired - 1 */
        uint64_t next_ns;
    } rows[] = {
        {0, 0, 100}, {99, 0, 100}, {100, 1, 200}, {299, 2, 300}, {400, 4, UINT64_MAX}, {UINT64_MAX, 4, UINT64_MAX},
    };
    for (size_t row = 0; row < sizeof rows / sizeof rows[0]; row++) {
        struct fixture fixture;
        fill(&fixture, 1, 4);
        assert_int_equal(tvs_acquire_queue_deadline(&fixture.queue), 100);
        struct tvs_waiter *waiter = tvs_acquire_queue_expired(&fixture.queue, rows[row].now_ns);
        for (int i = 0; i < rows[row].expired; i++, waiter = waiter->next) {
            assert_ptr_equal(waiter, &fixture.waiters[i]);
            assert_false(waiter->queued);
        }
        assert_null(waiter);
        assert_true(tvs_acquire_queue_deadline(&fixture.queue) == rows[row].next_ns);
        assert_int_equal(fixture.queue.waiting, 4 - rows[row].expired);
        assert_int_equal(fixture.queue.held, 1); /* who gave up has no place */
        tvs_acquire_queue_release(&fixture.queue);
        assert_int_equal(next(&fixture, 1), rows[row].expired < 4 ? rows[row].expired : -1);
    }
}

/* The one in the middle has the earliest deadline. */
static void a_deadline_in_the_middle(void **state) {
    (void)state;
    struct fixture fixture;
    fill(&fixture, 1, 1);
    assert_int_equal(enter(&fixture, 1, 1, 10), TVS_ACQUIRE_QUEUED);
    assert_int_equal(enter(&fixture, 2, 1, 300), TVS_ACQUIRE_QUEUED);
    assert_int_equal(tvs_acquire_queue_deadline(&fixture.queue), 10);
    assert_ptr_equal(tvs_acquire_queue_expired(&fixture.queue, 10), &fixture.waiters[1]);
    assert_int_equal(tvs_acquire_queue_deadline(&fixture.queue), 100);
    tvs_acquire_queue_release(&fixture.queue);
    assert_int_equal(next(&fixture, 1), 0);
    tvs_acquire_queue_release(&fixture.queue);
    assert_int_equal(next(&fixture, 1), 2);
}

static void limits_move(void **state) {
    (void)state;
    struct fixture fixture;
    fill(&fixture, 1, 4);
    assert_int_equal(next(&fixture, 3), 0); /* raised: two more have room */
    assert_int_equal(next(&fixture, 3), 1);
    assert_int_equal(next(&fixture, 3), -1);
    tvs_acquire_queue_release(&fixture.queue);
    assert_int_equal(next(&fixture, 2), -1); /* lowered: nobody loses a place, and who waits waits longer */
    tvs_acquire_queue_release(&fixture.queue);
    assert_int_equal(next(&fixture, 2), 2);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(as_many_as_there_are_places),
        cmocka_unit_test(first_come_first_served),
        cmocka_unit_test(nobody_overtakes),
        cmocka_unit_test(the_queue_is_bounded),
        cmocka_unit_test(one_leaves),
        cmocka_unit_test(deadlines),
        cmocka_unit_test(a_deadline_in_the_middle),
        cmocka_unit_test(limits_move),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
