/* test_limiter.c - a limit that many share, under a fake clock: the rate, equal shares, nobody forgotten. */
#include "unit.h"

#include "bounds.h"
#include "limiter.h"

#define SECOND_NS UINT64_C(1000000000)
#define COUNT_MAX 100

static void test_piece(void **state) {
    (void)state;
    static const struct {
        uint64_t rate;
        uint64_t piece;
    } rows[] = {
        {1, 4 * TV_KIB},       {64 * TV_KIB, 4 * TV_KIB}, {64 * TV_KIB + 16, 4 * TV_KIB + 1}, {16 * TV_MIB - 16, TV_MIB - 1},
        {16 * TV_MIB, TV_MIB}, {UINT64_MAX, TV_MIB},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        assert_int_equal(tvc_limiter_piece(rows[i].rate), rows[i].piece);
}

static void test_turns(void **state) {
    (void)state;
    struct tvc_limiter limiter;
    struct tvc_turn a = {0};
    struct tvc_turn b = {0};
    struct tvc_turn c = {0};
    tvc_limiter_init(&limiter, 16000, 0); /* a burst of 1,000 */
    assert_true(tvc_limiter_ask(&limiter, &a, 0));
    tvc_limiter_moved(&limiter, &a, 2000, 0);
    assert_int_equal(limiter.due_ns, UINT64_MAX); /* nobody waits */
    assert_false(tvc_limiter_ask(&limiter, &a, 0));
    assert_false(tvc_limiter_ask(&limiter, &b, 0));
    assert_false(tvc_limiter_ask(&limiter, &b, 0)); /* once is enough */
    assert_int_equal(limiter.due_ns, SECOND_NS / 16);
    assert_null(tvc_limiter_next(&limiter, SECOND_NS / 16 - 1));
    assert_ptr_equal(tvc_limiter_next(&limiter, SECOND_NS / 16), &a);
    assert_false(tvc_limiter_ask(&limiter, &c, SECOND_NS / 16)); /* behind b, though the bucket is ready */
    assert_true(tvc_limiter_ask(&limiter, &a, SECOND_NS / 16));  /* before b, from whom it has its turn */
    tvc_limiter_moved(&limiter, &a, 1, SECOND_NS / 16);
    assert_false(tvc_limiter_ask(&limiter, &a, SECOND_NS / 16)); /* behind c */
    tvc_limiter_leave(&limiter, &b);
    assert_ptr_equal(tvc_limiter_next(&limiter, SECOND_NS), &c);
    assert_null(tvc_limiter_next(&limiter, SECOND_NS)); /* it may go first */
    assert_ptr_equal(tvc_limiter_next(&limiter, 2 * SECOND_NS), &a);
    assert_int_equal(limiter.due_ns, UINT64_MAX);
    tvc_limiter_leave(&limiter, &a);
    tvc_limiter_leave(&limiter, &c);
}

/* All want as much as they can get; pieces differ in size. Returns the time that it took to move `total`. */
static uint64_t share(uint64_t rate, unsigned count, uint64_t total, uint64_t *moved, uint64_t *random) {
    static struct tvc_turn turns[COUNT_MAX];
    struct tvc_limiter limiter;
    uint64_t now_ns = 12345;
    uint64_t sum = 0;
    memset(turns, 0, sizeof turns);
    memset(moved, 0, COUNT_MAX * sizeof *moved);
    tvc_limiter_init(&limiter, rate, now_ns);
    while (sum < total) {
        for (unsigned i = 0; i < count; i++)
            while (tvc_limiter_ask(&limiter, &turns[i], now_ns)) {
                uint64_t bytes = 1 + unit_random(random) % limiter.piece_bytes;
                tvc_limiter_moved(&limiter, &turns[i], bytes, now_ns);
                moved[i] += bytes;
                sum += bytes;
            }
        assert_true(limiter.due_ns != UINT64_MAX);
        now_ns = limiter.due_ns + unit_random(random) % 1000000; /* timers are late */
        while (tvc_limiter_next(&limiter, now_ns) != NULL)
            continue;
    }
    return now_ns - 12345;
}

static void test_rate(void **state) {
    (void)state;
    static const struct {
        const char *name;
        uint64_t rate;
        unsigned count;
    } rows[] = {
        {"1 KiB/s, one", 1024, 1},         {"1 KiB/s, ten", 1024, 10},           {"1 MiB/s, one", TV_MIB, 1},
        {"1 MiB/s, hundred", TV_MIB, 100}, {"1 GiB/s, three", 1024 * TV_MIB, 3},
    };
    uint64_t random = unit_seed();
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        unit_row(rows[i].name);
        uint64_t moved[COUNT_MAX];
        uint64_t piece = tvc_limiter_piece(rows[i].rate);
        uint64_t total = 2000 * piece;
        double took_s = (double)share(rows[i].rate, rows[i].count, total, moved, &random) / 1e9;
        double wanted_s = (double)total / (double)rows[i].rate - 1.0 / 16; /* the burst */
        assert_true(took_s > wanted_s * 0.98 && took_s < wanted_s * 1.02);
    }
}

/* Pieces are of random sizes, so over many of them the shares come close. */
static void test_shares(void **state) {
    (void)state;
    uint64_t random = unit_seed();
    static const unsigned counts[] = {2, 3, 17, 100};
    for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++) {
        uint64_t moved[COUNT_MAX];
        uint64_t piece = tvc_limiter_piece(TV_MIB);
        (void)share(TV_MIB, counts[i], counts[i] * 1000 * piece, moved, &random);
        for (unsigned k = 0; k < counts[i]; k++)
            assert_in_range(moved[k], 850 * piece, 1150 * piece);
    }
}

/* Whoever waits is let out in time, whatever others do: ask, move or not when they may, leave. */
static void test_nobody_is_forgotten(void **state) {
    (void)state;
    uint64_t random = unit_seed();
    enum {
        COUNT = 20
    };
    struct tvc_turn turns[COUNT] = {0};
    uint64_t since_ns[COUNT] = {0}; /* of waiting */
    struct tvc_limiter limiter;
    uint64_t now_ns = 0;
    tvc_limiter_init(&limiter, TV_MIB, now_ns);
    for (int step = 0; step < 100000; step++) {
        now_ns += unit_random(&random) % 2000000;
        struct tvc_turn *turn = &turns[unit_random(&random) % COUNT];
        bool waited = turn->waiting;
        if (unit_random(&random) % 16 == 0)
            tvc_limiter_leave(&limiter, turn);
        else if (tvc_limiter_ask(&limiter, turn, now_ns) && unit_random(&random) % 4 != 0)
            tvc_limiter_moved(&limiter, turn, limiter.piece_bytes, now_ns);
        if (turn->waiting && !waited)
            since_ns[turn - turns] = now_ns;
        while (tvc_limiter_next(&limiter, now_ns) != NULL)
            continue;
        for (int i = 0; i < COUNT; i++) {
            if (!turns[i].waiting)
                continue;
            assert_true(limiter.due_ns != UINT64_MAX);
            assert_true(now_ns - since_ns[i] < 2 * COUNT * (SECOND_NS / 16)); /* a round or so */
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_piece),
        cmocka_unit_test(test_turns),
        cmocka_unit_test(test_rate),
        cmocka_unit_test(test_shares),
        cmocka_unit_test(test_nobody_is_forgotten),
    };
    return cmocka_run_group_tests_name("limiter", tests, NULL, NULL);
}
