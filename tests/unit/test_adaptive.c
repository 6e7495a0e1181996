/* test_adaptive.c - the controller against simulated peers, in virtual time, judged by a sweep of fixed sizes.
 *
 * The model: a producer that always has something writes a chunk as soon as one of `window` slots is free and the receiver's
 * memory has room; the chunk costs the sender a fixed time and the line its bytes; it travels for `delay_ns` and something at
 * random; it costs the receiver a fixed time; its acknowledgement travels back. All in order.
 */
#include "adaptive.h"

#include "unit.h"

#define KIB    UINT64_C(1024)
#define MIB    (1024 * KIB)
#define MS     UINT64_C(1000000)
#define SECOND (1000 * MS)

#define SIZE_MIN  (64 * KIB)
#define SIZE_MAX_ (16 * MIB)
#define SIZES     9
#define WINDOW    16

struct peer {
    const char *name;
    double line_rate; /* bytes per nanosecond */
    uint64_t delay_ns;
    uint64_t jitter_ns; /* at most; each way */
    uint64_t sender_ns; /* for a chunk */
    uint64_t receiver_ns;
    uint64_t memory_bytes;
    uint64_t run_ns;
};

/* GB/s are bytes per nanosecond. */
static const struct peer peers[] = {
    {"slow: 1 MB/s", 0.001, MS / 2, 0, 30000, 30000, 256 * MIB, 5000 * SECOND},
    {"slow with jitter", 0.001, MS / 2, 20 * MS, 30000, 30000, 256 * MIB, 5000 * SECOND},
    {"far: 100 ms, 1 Gbit/s", 0.125, 50 * MS, 0, 30000, 30000, 256 * MIB, 120 * SECOND},
    {"far with jitter", 0.125, 45 * MS, 10 * MS, 30000, 30000, 256 * MIB, 120 * SECOND},
    {"fast: 5 GB/s, 50 us, 30 us a chunk", 5, 25000, 0, 30000, 30000, 256 * MIB, 10 * SECOND},
    {"fast with jitter", 5, 25000, 20000, 30000, 30000, 256 * MIB, 10 * SECOND},
    {"a receiver slow at each chunk", 2, 100000, 10000, 5000, 400000, 256 * MIB, 20 * SECOND},
    {"little memory", 1, 5 * MS, 0, 30000, 30000, 4 * MIB, 20 * SECOND},
    {"little memory, far", 0.125, 50 * MS, 5 * MS, 30000, 30000, 8 * MIB, 120 * SECOND},
    {"across the world, 10 Gbit/s", 1.25, 150 * MS, 5 * MS, 30000, 30000, 512 * MIB, 200 * SECOND},
    {"a laptop's wireless", 0.02, 3 * MS, 3 * MS, 50000, 50000, 64 * MIB, 120 * SECOND},
};
#define PEERS (sizeof peers / sizeof *peers)

/* Of the jitter; TROVE_TEST_SEED gives another. A judgement under jitter errs now and then: of 121 seeds with 143 runs each, one
 * run held a size more than twice too large (at 0.998 of the best throughput) for longer than the judge allows. */
static uint64_t seed_of_run(void) {
    return getenv("TROVE_TEST_SEED") != NULL ? unit_seed() : 1;
}

/* ---- the model
 * ---------------------------------------------------------------------------------------------------------------- */

struct in_flight {
    uint64_t bytes;
    uint64_t chunk_bytes; /* the advice it follows */
    uint64_t written_ns;
    uint64_t acknowledged_ns;
};

struct way {
    struct in_flight ring[WINDOW];
    uint64_t first, next;
    uint64_t bytes; /* in flight */
    uint64_t now_ns;
    uint64_t line_free_ns;
    uint64_t arrived_ns; /* of the last one */
    uint64_t receiver_free_ns;
    uint64_t random;
    /* counted from `counts_from_ns` on */
    uint64_t counts_from_ns;
    uint64_t counted_first_ns; /* the first acknowledgement that counts: bytes are counted behind it, up to */
    uint64_t counted_last_ns;
    uint64_t acknowledged_bytes;
    uint64_t bytes_by_size[SIZES]; /* of them */
    uint64_t changes;              /* of the size */
};

/* Chooses the size of the next chunk; NULL: a fixed one. */
typedef uint64_t (*advise)(void *context, const struct in_flight *acknowledged, uint64_t now_ns);

static uint64_t max64(uint64_t a, uint64_t b) {
    return a > b ? a : b;
}

static void send_one(struct way *way, const struct peer *peer, uint64_t bytes) {
    struct in_flight *chunk = &way->ring[way->next++ % WINDOW];
    chunk->bytes = chunk->chunk_bytes = bytes;
    chunk->written_ns = way->now_ns;
    way->bytes += bytes;
    way->line_free_ns = max64(way->line_free_ns, way->now_ns) + peer->sender_ns + (uint64_t)((double)bytes / peer->line_rate);
    uint64_t there = peer->delay_ns + unit_random(&way->random) % (peer->jitter_ns + 1);
    uint64_t back = peer->delay_ns + unit_random(&way->random) % (peer->jitter_ns + 1);
    way->arrived_ns = max64(way->arrived_ns, way->line_free_ns + there);
    way->receiver_free_ns = max64(way->receiver_free_ns, way->arrived_ns) + peer->receiver_ns;
    uint64_t before = way->next > 1 ? way->ring[(way->next - 2) % WINDOW].acknowledged_ns : 0;
    chunk->acknowledged_ns = max64(before, way->receiver_free_ns + back);
    way->now_ns += 1; /* the producer is quick, but not that quick */
}

static uint64_t take_acknowledgement(struct way *way, advise advice, void *context, uint64_t size) {
    const struct in_flight *chunk = &way->ring[way->first++ % WINDOW];
    way->bytes -= chunk->bytes;
    way->now_ns = max64(way->now_ns, chunk->acknowledged_ns);
    uint64_t next = advice != NULL ? advice(context, chunk, chunk->acknowledged_ns) : size;
    if (chunk->acknowledged_ns >= way->counts_from_ns && way->counted_first_ns == 0) {
        way->counted_first_ns = chunk->acknowledged_ns;
    } else if (chunk->acknowledged_ns >= way->counts_from_ns) {
        way->counted_last_ns = chunk->acknowledged_ns;
        way->acknowledged_bytes += chunk->bytes;
        way->bytes_by_size[__builtin_ctzll(chunk->bytes / SIZE_MIN)] += chunk->bytes;
        way->changes += next != size;
    }
    return next;
}

/* Runs until `until_ns`; returns the size in use at the end. */
static uint64_t run(struct way *way, const struct peer *peer, uint64_t until_ns, advise advice, void *context, uint64_t size) {
    while (way->now_ns < until_ns) {
        bool room = way->next - way->first < WINDOW && way->bytes + size <= peer->memory_bytes;
        bool due = way->first < way->next && way->ring[way->first % WINDOW].acknowledged_ns <= way->now_ns;
        if (room && !due)
            send_one(way, peer, size);
        else
            size = take_acknowledgement(way, advice, context, size);
    }
    return size;
}

/* ---- the sweep
 * ---------------------------------------------------------------------------------------------------------------- */

struct optimum {
    double rate;   /* the best of all sizes */
    uint64_t size; /* the smallest within 2 % of it */
};

static double rate_of(const struct way *way) {
    return (double)way->acknowledged_bytes / (double)(way->counted_last_ns - way->counted_first_ns);
}

/* The throughput of one size in the second half of a run. */
static double fixed_rate(const struct peer *peer, uint64_t size, uint64_t seed) {
    struct way way = {.random = seed, .counts_from_ns = peer->run_ns / 2};
    run(&way, peer, peer->run_ns, NULL, NULL, size);
    return rate_of(&way);
}

/* A chunk larger than its memory the receiver refuses when the stream is opened. */
static uint64_t size_max(const struct peer *peer) {
    return peer->memory_bytes < SIZE_MAX_ ? peer->memory_bytes : SIZE_MAX_;
}

static struct optimum sweep(const struct peer *peer, uint64_t largest, uint64_t seed) {
    double rates[SIZES] = {0};
    struct optimum optimum = {0, 0};
    for (unsigned i = 0; i < SIZES && SIZE_MIN << i <= largest; i++) {
        rates[i] = fixed_rate(peer, SIZE_MIN << i, seed);
        if (rates[i] > optimum.rate)
            optimum.rate = rates[i];
    }
    for (unsigned i = SIZES; i-- > 0;)
        if (rates[i] >= 0.98 * optimum.rate)
            optimum.size = SIZE_MIN << i;
    return optimum;
}

/* ---- the judge
 * ---------------------------------------------------------------------------------------------------------------- */

#define CHANGES_MAX 32 /* in the counted half of a run: the controller looks around now and then */

/* What a run must show: at least 0.95 of the best, three quarters of it in chunks of at most twice the size that would do, and
 * few changes. */
static bool judge(const struct way *way, struct optimum optimum, bool tell) {
    uint64_t moderate_bytes = 0;
    for (unsigned i = 0; i < SIZES && SIZE_MIN << i <= 2 * optimum.size; i++)
        moderate_bytes += way->bytes_by_size[i];
    double rate = rate_of(way) / optimum.rate;
    double moderate = (double)moderate_bytes / (double)way->acknowledged_bytes;
    bool good = rate >= 0.95 && moderate >= 0.75 && way->changes <= CHANGES_MAX;
    if (tell)
        print_message("        %.3f of the best, %.3f in moderate chunks, %llu changes%s\n", rate, moderate,
                      (unsigned long long)way->changes, good ? "" : ": NOT GOOD");
    return good;
}

static uint64_t advise_adaptive(void *context, const struct in_flight *chunk, uint64_t now_ns) {
    return tv_adaptive_acknowledged(context, chunk->bytes, chunk->chunk_bytes, now_ns - chunk->written_ns, now_ns);
}

static struct tv_adaptive begin(uint64_t size, uint64_t largest) {
    struct tv_adaptive adaptive;
    tv_adaptive_init(&adaptive, SIZE_MIN, largest, size);
    return adaptive;
}

static const uint64_t first_sizes[] = {SIZE_MIN, MIB, SIZE_MAX_};

static void settles_near_the_optimum(void **state) {
    (void)state;
    uint64_t seed = seed_of_run();
    for (size_t i = 0; i < PEERS; i++) {
        uint64_t largest = size_max(&peers[i]);
        struct optimum optimum = sweep(&peers[i], largest, seed);
        unit_row(peers[i].name);
        print_message("        best %.4f GB/s; %llu KiB would do\n", optimum.rate, (unsigned long long)(optimum.size / KIB));
        for (size_t j = 0; j < 3; j++) {
            struct tv_adaptive adaptive = begin(first_sizes[j], largest);
            struct way way = {.random = seed, .counts_from_ns = peers[i].run_ns / 2};
            run(&way, &peers[i], peers[i].run_ns, advise_adaptive, &adaptive, tv_adaptive_chunk_bytes(&adaptive));
            assert_true(judge(&way, optimum, true));
        }
    }
}

/* Each peer turns into each other one; what is under way then arrives as it would have. */
static void change(const struct peer *from, const struct peer *to, uint64_t seed) {
    uint64_t largest = size_max(from) < size_max(to) ? size_max(from) : size_max(to); /* the stream's, agreed at open */
    struct tv_adaptive adaptive = begin(256 * KIB, largest);
    struct optimum optimum = sweep(to, largest, seed);
    struct way way = {.random = seed, .counts_from_ns = UINT64_MAX};
    uint64_t size = run(&way, from, from->run_ns, advise_adaptive, &adaptive, 256 * KIB);
    way.counts_from_ns = way.now_ns + to->run_ns / 2;
    run(&way, to, way.now_ns + to->run_ns, advise_adaptive, &adaptive, size);
    assert_true(judge(&way, optimum, true));
}

static void follows_a_peer_that_changes(void **state) {
    (void)state;
    uint64_t seed = seed_of_run();
    for (size_t i = 0; i < PEERS * PEERS; i++) {
        const struct peer *from = &peers[i / PEERS], *to = &peers[i % PEERS];
        if (from == to)
            continue;
        print_message("    from %s to %s\n", from->name, to->name);
        change(from, to, seed);
    }
}

/* The test of the test: no fixed size passes for all peers, nor does one that always says the largest or smallest. */
static void no_constant_would_pass(void **state) {
    (void)state;
    uint64_t seed = seed_of_run();
    for (unsigned i = 0; i < SIZES; i++) {
        unsigned failed = 0;
        for (size_t j = 0; j < PEERS; j++) {
            struct optimum optimum = sweep(&peers[j], size_max(&peers[j]), seed);
            struct way way = {.random = seed, .counts_from_ns = peers[j].run_ns / 2};
            uint64_t size = SIZE_MIN << i < size_max(&peers[j]) ? SIZE_MIN << i : size_max(&peers[j]);
            run(&way, &peers[j], peers[j].run_ns, NULL, NULL, size);
            failed += !judge(&way, optimum, false);
        }
        print_message("    %llu KiB fails at %u of %zu\n", (unsigned long long)((SIZE_MIN << i) / KIB), failed, PEERS);
        assert_true(failed >= 3);
    }
}

/* ---- the interface
 * --------------------------------------------------------------------------------------------------------------- */

static void sizes_and_bounds(void **state) {
    (void)state;
    static const struct {
        const char *name;
        uint64_t min, max, first;
        uint32_t count;
        uint64_t begins;
    } rows[] = {
        {"powers of two", 64 * KIB, MIB, 256 * KIB, 5, 256 * KIB},
        {"between two sizes: the smaller", 64 * KIB, MIB, 300 * KIB, 5, 256 * KIB},
        {"below the smallest", 64 * KIB, MIB, 1, 5, 64 * KIB},
        {"above the largest", 64 * KIB, MIB, UINT64_MAX, 5, MIB},
        {"the largest is no power of two", 64 * KIB, 200 * KIB, 200 * KIB, 3, 200 * KIB},
        {"only one size", 1000, 1000, 7, 1, 1000},
        {"from one byte on", 1, UINT64_C(1) << 30, 1, 31, 1},
        {"the ends of the type", UINT64_C(1) << 33, UINT64_MAX, UINT64_MAX, 32, UINT64_MAX},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        unit_row(rows[i].name);
        struct tv_adaptive adaptive;
        tv_adaptive_init(&adaptive, rows[i].min, rows[i].max, rows[i].first);
        assert_int_equal(adaptive.size_count, rows[i].count);
        assert_true(tv_adaptive_chunk_bytes(&adaptive) == rows[i].begins);
    }
}

static void bounds_of_a_stream(void **state) {
    (void)state;
    static const struct {
        const char *name;
        uint64_t max, least, begins;
    } rows[] = {
        {"the usual", 4 * MIB, 64 * KIB, 256 * KIB},
        {"the largest", 64 * MIB, 64 * KIB, 256 * KIB},
        {"not a block", 100 * KIB, 64 * KIB, 100 * KIB},
        {"only one size", 64 * KIB, 64 * KIB, 64 * KIB},
        {"below the bound", 64 * KIB - 1, 64 * KIB - 1, 64 * KIB - 1},
        {"one byte", 1, 1, 1},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        unit_row(rows[i].name);
        struct tv_adaptive adaptive;
        tv_adaptive_init_for_stream(&adaptive, rows[i].max);
        assert_int_equal(adaptive.chunk_bytes_min, rows[i].least);
        assert_int_equal(adaptive.chunk_bytes_max, rows[i].max);
        assert_int_equal(tv_adaptive_chunk_bytes(&adaptive), rows[i].begins);
    }
}

/* A thousand acknowledgements, one a millisecond, of chunks written 16 before. */
static uint64_t acknowledge_many(struct tv_adaptive *adaptive, uint64_t *now_ns, uint64_t chunk_bytes, bool interrupt) {
    uint64_t next = tv_adaptive_chunk_bytes(adaptive);
    for (int i = 0; i < 1000; i++) {
        *now_ns += MS;
        next = tv_adaptive_acknowledged(adaptive, chunk_bytes, chunk_bytes, 16 * MS, *now_ns);
        if (interrupt && i % 10 == 0)
            tv_adaptive_interrupted(adaptive);
    }
    return next;
}

static void what_is_not_of_the_size_in_use_is_not_measured(void **state) {
    (void)state;
    struct tv_adaptive adaptive = begin(MIB, SIZE_MAX_);
    uint64_t now_ns = SECOND;
    assert_int_equal(acknowledge_many(&adaptive, &now_ns, MIB - 1, false), MIB);
    assert_int_equal(acknowledge_many(&adaptive, &now_ns, MIB, true), MIB); /* interrupted all the time */
    assert_int_equal(adaptive.changes, 0);
    assert_int_not_equal(acknowledge_many(&adaptive, &now_ns, MIB, false), MIB);
    assert_int_equal(adaptive.changes, 1);
}

/* A stream without any progress in time or bytes must not divide by it. */
static void empty_and_immediate_chunks(void **state) {
    (void)state;
    struct tv_adaptive adaptive = begin(MIB, SIZE_MAX_);
    uint64_t size = MIB;
    for (int i = 0; i < 1000; i++)
        size = tv_adaptive_acknowledged(&adaptive, size, size, 0, SECOND);
    assert_int_equal(size, MIB); /* no time has passed: nothing is known */
    for (uint64_t i = 0; i < 100000; i++)
        size = tv_adaptive_acknowledged(&adaptive, 0, size, UINT64_MAX, SECOND + i * MS);
    for (uint64_t i = 0; i < 100000; i++)
        size = tv_adaptive_acknowledged(&adaptive, 0, size, 0, 200 * SECOND + i * MS);
    assert_int_equal(size, SIZE_MIN); /* all sizes are as slow: the smallest will do */
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(settles_near_the_optimum),   cmocka_unit_test(follows_a_peer_that_changes),
        cmocka_unit_test(no_constant_would_pass),     cmocka_unit_test(sizes_and_bounds),
        cmocka_unit_test(bounds_of_a_stream),         cmocka_unit_test(what_is_not_of_the_size_in_use_is_not_measured),
        cmocka_unit_test(empty_and_immediate_chunks),
    };
    return cmocka_run_group_tests_name("adaptive", tests, NULL, NULL);
}
