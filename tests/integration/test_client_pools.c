/* test_client_pools.c - the client's pools on a real troved: making them, places and their order, closing. (What they tell and do
 * to their streams: test_client_pool_streams.c.)
 */
#include "client_test.h"

#include "elsewhere.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- making one ---- */

static void test_bad_pools(void **state) {
    const struct client_test *test = *state;
    static const struct {
        const char *name;
        const char *pool;
        trove_pool_options options;
        const char *says;
    } rows[] = {
        {"no name", NULL, {.max_streams = 1}, "name"},
        {"an empty name", "", {.max_streams = 1}, "name"},
        {"a name of 64 bytes", "0123456789012345678901234567890123456789012345678901234567890123", {.max_streams = 1}, "name"},
        {"no streams", "p", {.max_streams = 0}, "max_streams is 0"},
        {"too many streams", "p", {.max_streams = TROVE_POOL_STREAMS_MAX + 1}, "max_streams is 16385"},
        {"chunks of 65 MiB", "p", {.max_streams = 1, .chunk_bytes = 65 * MIB}, "68157440"},
        {"a channel of 1,025", "p", {.max_streams = 1, .channel_chunks = 1025}, "1025"},
        {"a backpressure that is none", "p", {.max_streams = 1, .backpressure = (trove_backpressure)9}, "9 is no backpressure"},
        {"a server's pool that is no name", "p", {.max_streams = 1, .server_pool = "\xff"}, "pool's name"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        trove_pool_options options = rows[i].options;
        trove_pool *pool = NULL;
        trove_error error;
        print_message("    %s\n", rows[i].name);
        options.struct_bytes = sizeof options;
        CHECK_FAILS(trove_pool_create(test->client, rows[i].pool, &options, &pool, &error), INVALID_ARGUMENT, rows[i].says,
                    &error);
        assert_null(pool);
    }
    trove_pool *pool = NULL;
    trove_stream *stream = NULL;
    trove_error error;
    CHECK_FAILS(trove_pool_create(NULL, "p", NULL, &pool, &error), INVALID_ARGUMENT, "client", &error);
    CHECK_FAILS(trove_pool_create(test->client, "p", NULL, NULL, &error), INVALID_ARGUMENT, "place", &error);
    CHECK_FAILS(trove_pool_acquire(NULL, BUCKET, "k", TROVE_DIRECTION_UPLOAD, NULL, 0, &stream, &error), INVALID_ARGUMENT, "pool",
                &error);
    assert_int_equal(trove_pool_close(NULL, 0), 0);
}

static void test_too_many_pools(void **state) {
    const struct client_test *test = *state;
    static trove_pool *pools[TROVE_POOLS_MAX];
    trove_pool *pool = NULL;
    trove_error error;
    for (int i = 0; i < TROVE_POOLS_MAX; i++)
        pools[i] = make_pool_of(test, "one of many", 1);
    CHECK_FAILS(trove_pool_create(test->client, "more", NULL, &pool, &error), RESOURCE_EXHAUSTED, "256 pools", &error);
    for (int i = 0; i < TROVE_POOLS_MAX; i++)
        assert_int_equal(trove_pool_close(pools[i], 0), 0);
    pools[0] = make_pool_of(test, "again", 1);
    trove_pool_close(pools[0], 0);
}

/* What a stream's options leave open, the pool says; what they say, they say. */
static void test_defaults(void **state) {
    const struct client_test *test = *state;
    trove_pool_options options;
    trove_stream_options stream_options;
    trove_chunk_stats stats;
    trove_stream *stream = NULL;
    trove_error error;
    trove_pool_options_init(&options);
    options.chunk_bytes = 64 * KIB;
    options.channel_chunks = 3;
    trove_pool *pool = make_pool(test, "defaults", &options);
    stream = acquire_stream(pool, "defaults", TROVE_DIRECTION_UPLOAD);
    assert_int_equal(trove_stream_chunk_bytes(stream), 64 * KIB);
    trove_stream_chunk_stats(stream, &stats);
    assert_int_equal(stats.chunks, 3 + 2); /* and two that are not in the channel */
    trove_pool_release(pool, stream);
    put_object(test, "defaults", 1 * MIB);
    stream = acquire_stream(pool, "defaults", TROVE_DIRECTION_DOWNLOAD);
    assert_int_equal(trove_stream_chunk_bytes(stream), 64 * KIB);
    WAIT_FOR(check_account(stream).chunks_queued == 3); /* all that its window has room for */
    trove_pool_release(pool, stream);
    trove_stream_options_init(&stream_options);
    stream_options.chunk_bytes = 4 * KIB;
    CHECK_OK(trove_pool_acquire(pool, BUCKET, "defaults", TROVE_DIRECTION_UPLOAD, &stream_options, 0, &stream, &error), &error);
    assert_int_equal(trove_stream_chunk_bytes(stream), 4 * KIB);
    trove_pool_release(pool, stream);
    assert_int_equal(trove_pool_close(pool, 0), 0);
}

/* ---- places ---- */

struct waiter {
    trove_pool *pool;
    trove_client *client;
    uint32_t timeout_ms;
    atomic_uint *order;
    unsigned got_as; /* the how-many-th that got one */
    trove_status status;
    trove_error error;
    pthread_t thread;
};

static void *wait_for_stream(void *argument) {
    struct waiter *waiter = argument;
    trove_stream *stream = NULL;
    waiter->status = trove_pool_acquire(waiter->pool, BUCKET, "waiter", TROVE_DIRECTION_UPLOAD, NULL, waiter->timeout_ms, &stream,
                                        &waiter->error);
    if (waiter->status == TROVE_OK) {
        waiter->got_as = atomic_fetch_add(waiter->order, 1);
        trove_pool_release(waiter->pool, stream);
    }
    return NULL;
}

static void start_waiter(struct waiter *waiter) {
    assert_int_equal(pthread_create(&waiter->thread, NULL, wait_for_stream, waiter), 0);
}

static void test_places(void **state) {
    const struct client_test *test = *state;
    trove_pool *pool = make_pool_of(test, "places", 2);
    trove_stream *stream = NULL;
    trove_error error;
    trove_stream *first = acquire_stream(pool, "a", TROVE_DIRECTION_UPLOAD);
    trove_stream *second = acquire_stream(pool, "b", TROVE_DIRECTION_UPLOAD);
    assert_int_equal(trove_pool_active_count(pool), 2);
    CHECK_FAILS(trove_pool_acquire(pool, BUCKET, "c", TROVE_DIRECTION_UPLOAD, NULL, 30, &stream, &error), DEADLINE_EXCEEDED,
                "pool places: all of its 2 streams were in use", &error);
    CHECK_FAILS(trove_pool_acquire(pool, BUCKET, "", TROVE_DIRECTION_UPLOAD, NULL, 30, &stream, &error), INVALID_ARGUMENT, "key",
                &error); /* is told at once */
    trove_stream_fail(first, TROVE_ABORTED, "ended, but not released");
    CHECK_FAILS(trove_pool_acquire(pool, BUCKET, "c", TROVE_DIRECTION_UPLOAD, NULL, 30, &stream, &error), DEADLINE_EXCEEDED, "2",
                &error);
    trove_pool_release(pool, first);
    assert_int_equal(trove_pool_active_count(pool), 1);
    CHECK_FAILS(trove_pool_acquire(pool, "no-such-bucket", "c", TROVE_DIRECTION_UPLOAD, NULL, 0, &stream, &error), NOT_FOUND,
                "no-such-bucket", &error);
    assert_int_equal(trove_pool_active_count(pool), 1); /* its place is free again */
    first = acquire_stream(pool, "c", TROVE_DIRECTION_UPLOAD);
    trove_stream_release(first); /* as good as trove_pool_release */
    trove_pool_release(pool, second);
    trove_pool_release(pool, NULL);
    assert_int_equal(trove_pool_active_count(pool), 0);
    assert_int_equal(trove_pool_close(pool, 0), 0);
}

#define WAITERS 8

static void test_first_come_first_served(void **state) {
    const struct client_test *test = *state;
    trove_pool *pool = make_pool_of(test, "order", 1);
    struct waiter waiters[WAITERS];
    atomic_uint order = 0;
    trove_stream *holder = acquire_stream(pool, "holder", TROVE_DIRECTION_UPLOAD);
    for (uint32_t i = 0; i < WAITERS; i++) {
        waiters[i] = (struct waiter){.pool = pool, .order = &order};
        start_waiter(&waiters[i]);
        WAIT_FOR(pool_metrics(pool).waiting_acquires == i + 1);
    }
    trove_pool_release(pool, holder);
    for (unsigned i = 0; i < WAITERS; i++) {
        pthread_join(waiters[i].thread, NULL);
        CHECK_OK(waiters[i].status, &waiters[i].error);
        assert_int_equal(waiters[i].got_as, i);
    }
    assert_int_equal(pool_metrics(pool).total_streams, WAITERS + 1);
    assert_int_equal(trove_pool_close(pool, 0), 0);
}

/* One that gives up in the middle of the queue holds nobody up. */
static void test_give_up(void **state) {
    const struct client_test *test = *state;
    trove_pool *pool = make_pool_of(test, "give up", 1);
    struct waiter waiters[3];
    atomic_uint order = 0;
    trove_stream *holder = acquire_stream(pool, "holder", TROVE_DIRECTION_UPLOAD);
    for (uint32_t i = 0; i < 3; i++) {
        waiters[i] = (struct waiter){.pool = pool, .order = &order, .timeout_ms = i == 1 ? 2000 : 0};
        start_waiter(&waiters[i]);
        WAIT_FOR(pool_metrics(pool).waiting_acquires == i + 1);
    }
    pthread_join(waiters[1].thread, NULL);
    CHECK_FAILS(waiters[1].status, DEADLINE_EXCEEDED, "2 others wait", &waiters[1].error);
    trove_pool_release(pool, holder);
    pthread_join(waiters[0].thread, NULL);
    pthread_join(waiters[2].thread, NULL);
    assert_int_equal(waiters[0].got_as, 0);
    assert_int_equal(waiters[2].got_as, 1);
    assert_int_equal(trove_pool_close(pool, 0), 0);
}

#define CROWD 12

struct crowd {
    const struct client_test *test;
    trove_pool *pool;
    atomic_int inside;
    atomic_int most;
    atomic_int next;
};

static void *put_and_get(void *argument) {
    struct crowd *crowd = argument;
    trove_stream_options options;
    trove_stream_metrics metrics;
    trove_error error;
    char key[32];
    uint8_t *got = malloc(MIB);
    trove_stream_options_init(&options);
    options.client_pool = crowd->pool;
    options.metrics = &metrics;
    for (int n; (n = atomic_fetch_add(&crowd->next, 1)) < 60;) {
        size_t size = (size_t)n * 7919 % MIB;
        size_t got_bytes = 0;
        snprintf(key, sizeof key, "crowd/%d", n);
        MUST_OK(trove_put_memory(crowd->test->client, BUCKET, key, crowd->test->bytes + n, size, &options, NULL, &error), &error);
        MUST(metrics.bytes_acknowledged == size);
        MUST_OK(trove_get_memory(crowd->test->client, BUCKET, key, got, MIB, &options, &got_bytes, NULL, &error), &error);
        MUST(got_bytes == size && metrics.bytes_received == size);
        MUST(memcmp(got, crowd->test->bytes + n, size) == 0);
    }
    free(got);
    return NULL;
}

/* Whole objects by way of a pool, from more threads than it has streams. */
static void test_crowd(void **state) {
    struct crowd crowd = {.test = *state, .pool = make_pool_of(*state, "crowd", 3)};
    pthread_t threads[CROWD];
    uint64_t bytes = 0;
    for (int i = 0; i < CROWD; i++)
        pthread_create(&threads[i], NULL, put_and_get, &crowd);
    const uint64_t until_ms = now_ms() + PATIENCE_MS;
    for (trove_pool_metrics now = pool_metrics(crowd.pool); now.completed_streams < 120; now = pool_metrics(crowd.pool)) {
        assert_true(now.active_streams <= 3);
        assert_true(now_ms() < until_ms);
        pause_ms(1);
    }
    for (int i = 0; i < CROWD; i++)
        pthread_join(threads[i], NULL);
    for (size_t n = 0; n < 60; n++)
        bytes += 2 * (n * 7919 % MIB);
    trove_pool_metrics metrics = pool_metrics(crowd.pool);
    assert_int_equal(metrics.total_streams, 120);
    assert_int_equal(metrics.completed_streams, 120);
    assert_int_equal(metrics.active_streams, 0);
    assert_int_equal(metrics.total_bytes, bytes);
    assert_int_equal(trove_pool_close(crowd.pool, 0), 0);
}

/* ---- closing ---- */

struct closer {
    trove_pool *pool;
    uint32_t drain_ms;
    uint32_t cancelled;
    pthread_t thread;
};

static void *close_pool(void *argument) {
    struct closer *closer = argument;
    closer->cancelled = trove_pool_close(closer->pool, closer->drain_ms);
    return NULL;
}

/* Who waits is refused at once, what is under way may be done. */
static void test_close_drains(void **state) {
    const struct client_test *test = *state;
    atomic_uint order = 0;
    trove_error error;
    trove_pool *pool = make_pool_of(test, "drained", 1);
    trove_stream *stream = acquire_stream(pool, "drained", TROVE_DIRECTION_UPLOAD);
    trove_stream *refused = NULL;
    struct waiter waiter = {.pool = pool, .order = &order};
    start_waiter(&waiter);
    WAIT_FOR(pool_metrics(pool).waiting_acquires == 1);
    struct closer closer = {.pool = pool, .drain_ms = 60000};
    pthread_create(&closer.thread, NULL, close_pool, &closer);
    pthread_join(waiter.thread, NULL);
    CHECK_FAILS(waiter.status, UNAVAILABLE, "pool drained is closed", &waiter.error);
    CHECK_FAILS(trove_pool_acquire(pool, BUCKET, "late", TROVE_DIRECTION_UPLOAD, NULL, 0, &refused, &error), UNAVAILABLE,
                "drained", &error);
    CHECK_OK(write_bytes(stream, test->bytes, 3 * MIB, 0, &error), &error);
    CHECK_OK(trove_stream_complete(stream, 0, NULL, &error), &error);
    pthread_join(closer.thread, NULL); /* doesn't wait for the release */
    assert_int_equal(closer.cancelled, 0);
    trove_pool_release(pool, stream);
    check_object(test, "drained", test->bytes, 3 * MIB);
}

static void note_cancel(void *context, const trove_error *error) {
    unsigned *cancels = context;
    *cancels += error->status == TROVE_CANCELLED && strstr(error->message, "pool cancelled is closed") != NULL;
}

static void test_close_cancels(void **state) {
    const struct client_test *test = *state;
    unsigned cancels = 0;
    trove_stream_options options;
    trove_stream *streams[3];
    trove_error error;
    trove_pool *pool = make_pool_of(test, "cancelled", 3);
    trove_stream_options_init(&options);
    options.hooks = (trove_stream_hooks){.context = &cancels, .on_error = note_cancel};
    put_object(test, "cancelled", 1 * MIB);
    for (int i = 0; i < 3; i++) {
        trove_direction direction = i == 2 ? TROVE_DIRECTION_DOWNLOAD : TROVE_DIRECTION_UPLOAD;
        CHECK_OK(trove_pool_acquire(pool, BUCKET, "cancelled", direction, &options, 0, &streams[i], &error), &error);
    }
    CHECK_OK(trove_stream_start(streams[0], &error), &error);
    CHECK_OK(trove_stream_complete(streams[0], 0, NULL, &error), &error);
    uint64_t begun_ms = now_ms();
    assert_int_equal(trove_pool_close(pool, 100), 2);
    assert_true(now_ms() - begun_ms >= 99);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(trove_stream_state_get(streams[i]), i == 0 ? TROVE_STREAM_COMPLETED : TROVE_STREAM_CANCELLED);
        trove_pool_release(pool, streams[i]);
    }
    assert_int_equal(cancels, 2);
}

/* The client goes first: its streams end, who waits comes back, and the pool can still be closed. */
static void test_client_closes_first(void **state) {
    const struct client_test *test = *state;
    struct client_test other = *test;
    trove_error error;
    atomic_uint order = 0;
    CHECK_OK(trove_connect(test->url, NULL, &other.client, &error), &error);
    trove_pool *pool = make_pool_of(&other, "left", 1);
    trove_stream *stream = acquire_stream(pool, "left", TROVE_DIRECTION_UPLOAD);
    struct waiter waiter = {.pool = pool, .order = &order};
    start_waiter(&waiter);
    WAIT_FOR(pool_metrics(pool).waiting_acquires == 1);
    trove_close(other.client);
    pthread_join(waiter.thread, NULL);
    CHECK_FAILS(waiter.status, CANCELLED, "the client was closed", &waiter.error);
    assert_int_equal(trove_stream_state_get(stream), TROVE_STREAM_CANCELLED);
    assert_int_equal(pool_metrics(pool).cancelled_streams, 1);
    trove_pool_release(pool, stream);
    assert_int_equal(trove_pool_close(pool, 1000), 0);
}

static void test_other_clients_pool(void **state) {
    const struct client_test *test = *state;
    struct client_test other = *test;
    trove_stream_options options;
    trove_stream *stream = NULL;
    trove_error error;
    CHECK_OK(trove_connect(test->url, NULL, &other.client, &error), &error);
    trove_stream_options_init(&options);
    options.client_pool = make_pool_of(&other, "other", 1);
    CHECK_FAILS(trove_stream_open(test->client, BUCKET, "k", TROVE_DIRECTION_UPLOAD, &options, &stream, &error), INVALID_ARGUMENT,
                "another client", &error);
    assert_int_equal(trove_pool_close(options.client_pool, 0), 0);
    trove_close(other.client);
}

int main(int argc, char **argv) {
    client_test_arguments(argc, argv);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bad_pools),
        cmocka_unit_test(test_too_many_pools),
        cmocka_unit_test(test_defaults),
        cmocka_unit_test(test_places),
        cmocka_unit_test(test_first_come_first_served),
        cmocka_unit_test(test_give_up),
        cmocka_unit_test(test_crowd),
        cmocka_unit_test(test_close_drains),
        cmocka_unit_test(test_close_cancels),
        cmocka_unit_test(test_client_closes_first),
        cmocka_unit_test(test_other_clients_pool),
    };
    return cmocka_run_group_tests_name(client_test_store(), tests, client_test_begin, client_test_end);
}
