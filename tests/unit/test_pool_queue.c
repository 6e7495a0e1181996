/* test_pool_queue.c - places of a client's pool: as many as there are, first come first served, deadlines, closing. */
#include "unit.h"

#include "pool_queue.h"

static void test_places(void **state) {
    (void)state;
    for (uint32_t places = 1; places <= 3; places++) {
        struct tvc_pool_queue queue;
        struct tvc_pool_ticket tickets[4];
        tvc_pool_queue_init(&queue, places);
        for (uint32_t i = 0; i <= places; i++) {
            tvc_pool_queue_ask(&queue, &tickets[i], 100);
            assert_int_equal(tickets[i].state, i < places ? TVC_TICKET_GRANTED : TVC_TICKET_WAITING);
        }
        assert_int_equal(queue.taken, places);
        assert_int_equal(queue.waiting, 1);
        assert_ptr_equal(tvc_pool_queue_give_back(&queue), &tickets[places]);
        assert_int_equal(tickets[places].state, TVC_TICKET_GRANTED);
        assert_int_equal(queue.taken, places);
        for (uint32_t i = 0; i < places; i++)
            assert_null(tvc_pool_queue_give_back(&queue));
        assert_int_equal(queue.taken, 0);
    }
}

/* Who asks when a place has just become free doesn't overtake those who wait. */
static void test_order(void **state) {
    (void)state;
    struct tvc_pool_queue queue;
    struct tvc_pool_ticket tickets[6];
    tvc_pool_queue_init(&queue, 1);
    for (int i = 0; i < 5; i++)
        tvc_pool_queue_ask(&queue, &tickets[i], 100);
    for (int i = 1; i < 5; i++) {
        assert_ptr_equal(tvc_pool_queue_give_back(&queue), &tickets[i]);
        if (i == 2)
            tvc_pool_queue_ask(&queue, &tickets[5], 100);
    }
    assert_ptr_equal(tvc_pool_queue_give_back(&queue), &tickets[5]);
    assert_null(tvc_pool_queue_give_back(&queue));
}

static void test_deadline(void **state) {
    (void)state;
    static const struct {
        const char *name;
        int expires; /* of the four that wait: 0 the first, 3 the last */
    } rows[] = {{"the first", 0}, {"one in the middle", 1}, {"another", 2}, {"the last", 3}};
    for (size_t row = 0; row < sizeof rows / sizeof rows[0]; row++) {
        unit_row(rows[row].name);
        struct tvc_pool_queue queue;
        struct tvc_pool_ticket holder;
        struct tvc_pool_ticket tickets[4];
        tvc_pool_queue_init(&queue, 1);
        tvc_pool_queue_ask(&queue, &holder, 0);
        for (int i = 0; i < 4; i++)
            tvc_pool_queue_ask(&queue, &tickets[i], 100 + (uint64_t)i);
        struct tvc_pool_ticket *late = &tickets[rows[row].expires];
        tvc_pool_queue_expire(&queue, late, late->deadline_ns - 1);
        assert_int_equal(late->state, TVC_TICKET_WAITING);
        tvc_pool_queue_expire(&queue, late, late->deadline_ns);
        assert_int_equal(late->state, TVC_TICKET_EXPIRED);
        assert_int_equal(queue.waiting, 3);
        for (int i = 0; i < 4; i++)
            if (&tickets[i] != late)
                assert_ptr_equal(tvc_pool_queue_give_back(&queue), &tickets[i]);
        tvc_pool_queue_expire(&queue, &tickets[3], 1000); /* too late: it has its place, or has gone already */
        assert_int_equal(tickets[3].state, rows[row].expires == 3 ? TVC_TICKET_EXPIRED : TVC_TICKET_GRANTED);
    }
}

static void test_close(void **state) {
    (void)state;
    struct tvc_pool_queue queue;
    struct tvc_pool_ticket tickets[4];
    tvc_pool_queue_init(&queue, 1);
    for (int i = 0; i < 3; i++)
        tvc_pool_queue_ask(&queue, &tickets[i], 100);
    assert_ptr_equal(tvc_pool_queue_close(&queue), &tickets[1]);
    assert_ptr_equal(tvc_pool_queue_close(&queue), &tickets[2]);
    assert_null(tvc_pool_queue_close(&queue));
    assert_int_equal(tickets[1].state, TVC_TICKET_CLOSED);
    assert_int_equal(tickets[2].state, TVC_TICKET_CLOSED);
    assert_int_equal(tickets[0].state, TVC_TICKET_GRANTED); /* keeps its place */
    tvc_pool_queue_ask(&queue, &tickets[3], 100);
    assert_int_equal(tickets[3].state, TVC_TICKET_CLOSED);
    assert_null(tvc_pool_queue_give_back(&queue));
    tvc_pool_queue_ask(&queue, &tickets[3], 100);
    assert_int_equal(tickets[3].state, TVC_TICKET_CLOSED);
}

/* Against a model: an array in the order of asking. */
static void test_random(void **state) {
    (void)state;
    enum {
        COUNT = 64
    };
    uint64_t random = unit_seed();
    struct tvc_pool_queue queue;
    static struct tvc_pool_ticket tickets[COUNT];
    bool used[COUNT] = {false};
    int order[COUNT]; /* of those who wait */
    unsigned waiting = 0;
    unsigned taken = 0;
    tvc_pool_queue_init(&queue, 5);
    for (uint64_t now_ns = 1; now_ns < 100000; now_ns++) {
        int i = (int)(unit_random(&random) % COUNT);
        if (!used[i]) {
            tvc_pool_queue_ask(&queue, &tickets[i], now_ns + unit_random(&random) % 200);
            used[i] = true;
            assert_int_equal(tickets[i].state, taken < 5 ? TVC_TICKET_GRANTED : TVC_TICKET_WAITING);
            if (taken < 5)
                taken++;
            else
                order[waiting++] = i;
        } else if (tickets[i].state == TVC_TICKET_GRANTED) {
            struct tvc_pool_ticket *next = tvc_pool_queue_give_back(&queue);
            used[i] = false;
            assert_ptr_equal(next, waiting > 0 ? &tickets[order[0]] : NULL);
            if (waiting > 0)
                memmove(order, order + 1, --waiting * sizeof order[0]);
            else
                taken--;
        } else {
            tvc_pool_queue_expire(&queue, &tickets[i], now_ns);
            bool late = now_ns >= tickets[i].deadline_ns;
            assert_int_equal(tickets[i].state, late ? TVC_TICKET_EXPIRED : TVC_TICKET_WAITING);
            unsigned at = 0;
            while (order[at] != i)
                at++;
            if (late)
                memmove(order + at, order + at + 1, (--waiting - at) * sizeof order[0]);
            used[i] = !late;
        }
        assert_int_equal(queue.waiting, waiting);
        assert_int_equal(queue.taken, taken);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_places), cmocka_unit_test(test_order),  cmocka_unit_test(test_deadline),
        cmocka_unit_test(test_close),  cmocka_unit_test(test_random),
    };
    return cmocka_run_group_tests_name("pool queue", tests, NULL, NULL);
}
