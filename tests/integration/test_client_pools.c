/* test_client_pools.c - the client's pools on a real troved: places and their order, what is counted, walking, timeouts, closing.
 * */
#include "client_test.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static trove_pool *make_pool(const struct client_test *test, const char *name, const trove_pool_options *options) {
    trove_pool *pool = NULL;
    trove_error error;
    CHECK_OK(trove_pool_create(test->client, name, options, &pool, &error), &error);
    return pool;
}

static trove_pool *pool_of(const struct client_test *test, const char *name, uint32_t max_streams) {
    trove_pool_options options;
    trove_pool_options_init(&options);
    options.max_streams = max_streams;
    return make_pool(test, name, &options);
}

static trove_stream *acquire(trove_pool *pool, const char *key, trove_direction direction) {
    trove_stream *stream = NULL;
    trove_error error;
    CHECK_OK(trove_pool_acquire(pool, BUCKET, key, direction, NULL, 0, &stream, &error), &error);
    CHECK_OK(trove_stream_start(stream, &error), &error);
    return stream;
}

static trove_pool_metrics look(const trove_pool *pool) {
    trove_pool_metrics metrics;
    trove_pool_snapshot(pool, &metrics);
    return metrics;
}

static void wait_for_waiting(const trove_pool *pool, uint32_t count) {
    for (uint64_t until_ms = now_ms() + 10000; look(pool).waiting_acquires != count && now_ms() < until_ms;)
        pause_ms(1);
    assert_int_equal(look(pool).waiting_acquires, count);
}

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
        pools[i] = pool_of(test, "one of many", 1);
    CHECK_FAILS(trove_pool_create(test->client, "more", NULL, &pool, &error), RESOURCE_EXHAUSTED, "256 pools", &error);
    for (int i = 0; i < TROVE_POOLS_MAX; i++)
        assert_int_equal(trove_pool_close(pools[i], 0), 0);
    pools[0] = pool_of(test, "again", 1);
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
    stream = acquire(pool, "defaults", TROVE_DIRECTION_UPLOAD);
    assert_int_equal(trove_stream_chunk_bytes(stream), 64 * KIB);
    trove_stream_chunk_stats(stream, &stats);
    assert_int_equal(stats.chunks, 3 + 2); /* and two that are not in the channel */
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
    trove_pool *pool = pool_of(test, "places", 2);
    trove_stream *stream = NULL;
    trove_error error;
    trove_stream *first = acquire(pool, "a", TROVE_DIRECTION_UPLOAD);
    trove_stream *second = acquire(pool, "b", TROVE_DIRECTION_UPLOAD);
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
    first = acquire(pool, "c", TROVE_DIRECTION_UPLOAD);
    trove_stream_release(first); /* as good as trove_pool_release */
    trove_pool_release(pool, second);
    trove_pool_release(pool, NULL);
    assert_int_equal(trove_pool_active_count(pool), 0);
    assert_int_equal(trove_pool_close(pool, 0), 0);
}

#define WAITERS 8

static void test_first_come_first_served(void **state) {
    const struct client_test *test = *state;
    trove_pool *pool = pool_of(test, "order", 1);
    struct waiter waiters[WAITERS];
    atomic_uint order = 0;
    trove_stream *holder = acquire(pool, "holder", TROVE_DIRECTION_UPLOAD);
    for (uint32_t i = 0; i < WAITERS; i++) {
        waiters[i] = (struct waiter){.pool = pool, .order = &order};
        start_waiter(&waiters[i]);
        wait_for_waiting(pool, i + 1);
    }
    trove_pool_release(pool, holder);
    for (unsigned i = 0; i < WAITERS; i++) {
        pthread_join(waiters[i].thread, NULL);
        CHECK_OK(waiters[i].status, &waiters[i].error);
        assert_int_equal(waiters[i].got_as, i);
    }
    assert_int_equal(look(pool).total_streams, WAITERS + 1);
    assert_int_equal(trove_pool_close(pool, 0), 0);
}

/* One that gives up in the middle of the queue holds nobody up. */
static void test_give_up(void **state) {
    const struct client_test *test = *state;
    trove_pool *pool = pool_of(test, "give up", 1);
    struct waiter waiters[3];
    atomic_uint order = 0;
    trove_stream *holder = acquire(pool, "holder", TROVE_DIRECTION_UPLOAD);
    for (uint32_t i = 0; i < 3; i++) {
        waiters[i] = (struct waiter){.pool = pool, .order = &order, .timeout_ms = i == 1 ? 50 : 0};
        start_waiter(&waiters[i]);
        wait_for_waiting(pool, i + 1);
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
        CHECK_OK(trove_put_memory(crowd->test->client, BUCKET, key, crowd->test->bytes + n, size, &options, NULL, &error),
                 &error);
        assert_int_equal(metrics.bytes_acknowledged, size);
        CHECK_OK(trove_get_memory(crowd->test->client, BUCKET, key, got, MIB, &options, &got_bytes, NULL, &error), &error);
        assert_int_equal(got_bytes, size);
        assert_int_equal(metrics.bytes_received, size);
        assert_true(memcmp(got, crowd->test->bytes + n, size) == 0);
    }
    free(got);
    return NULL;
}

/* Whole objects by way of a pool, from more threads than it has streams. */
static void test_crowd(void **state) {
    struct crowd crowd = {.test = *state, .pool = pool_of(*state, "crowd", 3)};
    pthread_t threads[CROWD];
    uint64_t bytes = 0;
    for (int i = 0; i < CROWD; i++)
        pthread_create(&threads[i], NULL, put_and_get, &crowd);
    for (trove_pool_metrics now = look(crowd.pool); now.completed_streams < 120; now = look(crowd.pool)) {
        assert_true(now.active_streams <= 3);
        pause_ms(1);
    }
    for (int i = 0; i < CROWD; i++)
        pthread_join(threads[i], NULL);
    for (size_t n = 0; n < 60; n++)
        bytes += 2 * (n * 7919 % MIB);
    trove_pool_metrics metrics = look(crowd.pool);
    assert_int_equal(metrics.total_streams, 120);
    assert_int_equal(metrics.completed_streams, 120);
    assert_int_equal(metrics.active_streams, 0);
    assert_int_equal(metrics.total_bytes, bytes);
    assert_int_equal(trove_pool_close(crowd.pool, 0), 0);
}

/* ---- what is counted ---- */

static int by_size(const void *a, const void *b) {
    uint64_t x = *(const uint64_t *)a;
    uint64_t y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

struct count {
    uint64_t bytes;
    unsigned chunks;
    uint64_t ns[1000];
};

static void count_chunk(void *context, const trove_chunk_ack *ack) {
    struct count *count = context;
    count->bytes += ack->size;
    count->ns[count->chunks++ % 1000] = ack->latency_ns;
}

static void check_quantile(const struct count *count, unsigned per_cent, uint64_t told) {
    uint64_t exact = count->ns[(count->chunks * per_cent + 99) / 100 - 1];
    assert_in_range(told, exact - exact / 16 - 1, exact + exact / 16 + 1);
}

/* Four streams, each with another end, against what on_chunk was told. */
static void test_snapshot(void **state) {
    const struct client_test *test = *state;
    struct count count = {0};
    trove_stream_options options;
    trove_error error;
    trove_stream *streams[4];
    trove_pool *pool = pool_of(test, "snapshot", 5);
    CHECK_OK(trove_put_memory(test->client, BUCKET, "snapshot", test->bytes, 3 * MIB, NULL, NULL, &error), &error);
    trove_stream_options_init(&options);
    options.chunk_bytes = 50 * KIB;
    options.hooks = (trove_stream_hooks){.context = &count, .on_chunk = count_chunk};
    for (int i = 0; i < 4; i++) {
        trove_direction direction = i == 3 ? TROVE_DIRECTION_DOWNLOAD : TROVE_DIRECTION_UPLOAD;
        const char *key = i == 3 ? "snapshot" : "snapshot/up";
        CHECK_OK(trove_pool_acquire(pool, BUCKET, key, direction, &options, 0, &streams[i], &error), &error);
        CHECK_OK(trove_stream_start(streams[i], &error), &error);
    }
    for (int i = 0; i < 3; i++)
        CHECK_OK(write_bytes(streams[i], test->bytes, 2 * MIB, 0, &error), &error);
    for (trove_chunk *chunk = NULL;; trove_stream_chunk_put(streams[3], chunk)) {
        CHECK_OK(trove_stream_read(streams[3], 0, &chunk, &error), &error);
        if (chunk == NULL)
            break;
    }
    trove_pool_metrics before = look(pool);
    assert_int_equal(before.completed_streams, 1); /* though it isn't released */
    CHECK_OK(trove_stream_complete(streams[0], 0, NULL, &error), &error);
    trove_stream_fail(streams[1], TROVE_ABORTED, "as the test wants it");
    CHECK_OK(trove_stream_control(streams[2], TROVE_CONTROL_CANCEL, 0, 0, NULL, &error), &error);
    for (int i = 0; i < 4; i++) {
        trove_pool_metrics now = look(pool); /* releasing changes nothing but the number of those that are active */
        assert_int_equal(now.active_streams, 4 - i);
        assert_int_equal(now.total_streams, 4);
        assert_int_equal(now.completed_streams, 2);
        assert_int_equal(now.failed_streams, 1);
        assert_int_equal(now.cancelled_streams, 1);
        assert_int_equal(now.bytes_waiting, 0);
        assert_int_equal(now.total_bytes + now.bytes_abandoned, 9 * MIB);
        trove_pool_release(pool, streams[i]);
    }
    trove_pool_metrics after = look(pool);
    assert_int_equal(after.total_bytes, count.bytes);
    /* The empty ones that say "the end" aren't told to hooks; of a download that depends on the server. */
    assert_in_range(after.total_chunks, count.chunks + 1, count.chunks + 2);
    assert_true(count.chunks < 1000);
    qsort(count.ns, count.chunks, sizeof count.ns[0], by_size);
    check_quantile(&count, 50, after.latency_p50_ns);
    check_quantile(&count, 90, after.latency_p90_ns);
    check_quantile(&count, 99, after.latency_p99_ns);
    assert_true(after.bytes_per_second > 0);
    assert_int_equal(after.max_streams, 5);
    assert_int_equal(trove_pool_close(pool, 0), 0);
}

/* ---- looking at streams ---- */

struct walk {
    trove_pool *pool;
    trove_stream *release; /* one to be released when the first one is visited */
    unsigned stop_after;
    unsigned count;
    trove_stream *visited[16];
    trove_stream *added;
};

static bool visit(void *context, trove_stream *stream) {
    struct walk *walk = context;
    trove_error error;
    walk->visited[walk->count++] = stream;
    CHECK_OK(trove_stream_control(stream, TROVE_CONTROL_PAUSE, 0, 0, NULL, &error), &error); /* waits for the server */
    CHECK_OK(trove_stream_control(stream, TROVE_CONTROL_RESUME, 0, 0, NULL, &error), &error);
    if (walk->count == 1 && walk->release != NULL) {
        trove_pool_release(walk->pool, walk->release);
        walk->added = acquire(walk->pool, "added", TROVE_DIRECTION_UPLOAD);
    }
    return walk->count != walk->stop_after;
}

static void test_walk(void **state) {
    const struct client_test *test = *state;
    trove_pool *pool = pool_of(test, "walk", 6);
    trove_stream *streams[5];
    struct walk none = {.pool = pool};
    trove_pool_walk(pool, visit, &none);
    assert_int_equal(none.count, 0);
    for (int i = 0; i < 5; i++)
        streams[i] = acquire(pool, "walked", TROVE_DIRECTION_UPLOAD);
    struct walk all = {.pool = pool};
    trove_pool_walk(pool, visit, &all);
    assert_int_equal(all.count, 5);
    assert_memory_equal(all.visited, streams, sizeof streams);
    struct walk some = {.pool = pool, .stop_after = 2};
    trove_pool_walk(pool, visit, &some);
    assert_int_equal(some.count, 2);
    for (unsigned released = 0; released < 2; released++) { /* the one that is being visited, and the next one */
        struct walk changed = {.pool = pool, .release = streams[released]};
        trove_pool_walk(pool, visit, &changed);
        assert_int_equal(changed.count, released == 0 ? 5 : 4);
        trove_pool_release(pool, changed.added);
        streams[released] = acquire(pool, "walked", TROVE_DIRECTION_UPLOAD);
        if (released == 0) { /* back to the first place */
            for (int i = 1; i < 5; i++) {
                trove_pool_release(pool, streams[i]);
                streams[i] = acquire(pool, "walked", TROVE_DIRECTION_UPLOAD);
            }
        }
    }
    for (int i = 0; i < 5; i++)
        trove_pool_release(pool, streams[i]);
    assert_int_equal(trove_pool_close(pool, 0), 0);
}

static void test_get(void **state) {
    const struct client_test *test = *state;
    trove_pool *pool = pool_of(test, "get", 4);
    trove_stream *stream = acquire(pool, "got", TROVE_DIRECTION_UPLOAD);
    trove_stream *other = acquire(pool, "other", TROVE_DIRECTION_UPLOAD);
    trove_stream_metrics metrics;
    trove_stream *got = trove_pool_borrow(pool, trove_stream_id(stream));
    assert_ptr_equal(got, stream);
    assert_null(trove_pool_borrow(pool, UINT64_MAX));
    trove_pool_release(pool, stream);
    assert_null(trove_pool_borrow(pool, trove_stream_id(got))); /* active no more, and still here */
    assert_int_equal(trove_stream_state_get(got), TROVE_STREAM_CANCELLED);
    trove_stream_metrics_get(got, &metrics);
    assert_int_equal(trove_pool_active_count(pool), 1);
    trove_pool_give_back(pool, got);
    trove_pool_give_back(pool, NULL);
    got = trove_pool_borrow(pool, trove_stream_id(other));
    trove_pool_release(pool, other);
    assert_int_equal(trove_pool_close(pool, 0), 0);
    trove_pool_give_back(pool, got); /* after the pool */
}

/* ---- timeouts ---- */

static void wait_for_end(trove_stream *stream) {
    for (uint64_t until_ms = now_ms() + 20000; trove_stream_state_get(stream) < TROVE_STREAM_COMPLETED && now_ms() < until_ms;)
        pause_ms(1);
}

static void test_timeouts(void **state) {
    const struct client_test *test = *state;
    static const struct {
        const char *name;
        uint32_t stream_ms;
        uint32_t idle_ms;
        trove_direction direction;
        const char *says;
    } rows[] = {
        {"an idle upload", 0, 400, TROVE_DIRECTION_UPLOAD, "nothing has moved for 400 ms, the idle_timeout_ms of pool timeouts"},
        {"an idle download", 0, 400, TROVE_DIRECTION_DOWNLOAD, "idle_timeout_ms"},
        {"a long upload", 500, 0, TROVE_DIRECTION_UPLOAD, "not done in 500 ms, the stream_timeout_ms of pool timeouts"},
        {"a long download", 500, 0, TROVE_DIRECTION_DOWNLOAD, "stream_timeout_ms"},
        {"idle before long", 60000, 400, TROVE_DIRECTION_UPLOAD, "idle_timeout_ms"},
        {"long before idle", 400, 60000, TROVE_DIRECTION_UPLOAD, "stream_timeout_ms"},
    };
    trove_error error;
    CHECK_OK(trove_put_memory(test->client, BUCKET, "timeout", test->bytes, 5 * MIB, NULL, NULL, &error), &error);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        trove_pool_options options;
        print_message("    %s\n", rows[i].name);
        trove_pool_options_init(&options);
        options.stream_timeout_ms = rows[i].stream_ms;
        options.idle_timeout_ms = rows[i].idle_ms;
        options.chunk_bytes = 100 * KIB;
        trove_pool *pool = make_pool(test, "timeouts", &options);
        bool upload = rows[i].direction == TROVE_DIRECTION_UPLOAD;
        uint64_t begun_ms = now_ms();
        trove_stream *stream = acquire(pool, upload ? "timeout/up" : "timeout", rows[i].direction);
        /* While something moves the idle timeout doesn't pass, and a pause holds both. */
        unsigned steps = rows[i].idle_ms == 400 ? 9 : 2;
        for (unsigned n = 0; n < steps; n++) {
            trove_chunk *chunk = NULL;
            pause_ms(50);
            if (upload) {
                CHECK_OK(write_bytes(stream, test->bytes, 100, 0, &error), &error);
            } else {
                trove_status status = trove_stream_read(stream, 0, &chunk, &error);
                if (status == TROVE_OK && chunk != NULL)
                    trove_stream_chunk_put(stream, chunk);
            }
        }
        CHECK_OK(trove_stream_control(stream, TROVE_CONTROL_PAUSE, 0, 0, NULL, &error), &error);
        pause_ms(600);
        assert_int_equal(trove_stream_state_get(stream), TROVE_STREAM_PAUSED);
        CHECK_OK(trove_stream_control(stream, TROVE_CONTROL_RESUME, 0, 0, NULL, &error), &error);
        wait_for_end(stream);
        assert_true(now_ms() - begun_ms >= 600 + 400);
        CHECK_FAILS(trove_stream_complete(stream, 0, NULL, &error), DEADLINE_EXCEEDED, rows[i].says, &error);
        trove_pool_release(pool, stream);
        assert_int_equal(look(pool).failed_streams, 1);
        assert_int_equal(trove_pool_close(pool, 0), 0);
    }
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
    trove_pool *pool = pool_of(test, "drained", 1);
    trove_stream *stream = acquire(pool, "drained", TROVE_DIRECTION_UPLOAD);
    trove_stream *refused = NULL;
    struct waiter waiter = {.pool = pool, .order = &order};
    start_waiter(&waiter);
    wait_for_waiting(pool, 1);
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
    trove_pool *pool = pool_of(test, "cancelled", 3);
    trove_stream_options_init(&options);
    options.hooks = (trove_stream_hooks){.context = &cancels, .on_error = note_cancel};
    for (int i = 0; i < 3; i++)
        CHECK_OK(trove_pool_acquire(pool, BUCKET, "cancelled", TROVE_DIRECTION_UPLOAD, &options, 0, &streams[i], &error), &error);
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
    trove_pool *pool = pool_of(&other, "left", 1);
    trove_stream *stream = acquire(pool, "left", TROVE_DIRECTION_UPLOAD);
    struct waiter waiter = {.pool = pool, .order = &order};
    start_waiter(&waiter);
    wait_for_waiting(pool, 1);
    trove_close(other.client);
    pthread_join(waiter.thread, NULL);
    CHECK_FAILS(waiter.status, CANCELLED, "the client was closed", &waiter.error);
    assert_int_equal(trove_stream_state_get(stream), TROVE_STREAM_CANCELLED);
    assert_int_equal(look(pool).cancelled_streams, 1);
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
    options.client_pool = pool_of(&other, "other", 1);
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
        cmocka_unit_test(test_snapshot),
        cmocka_unit_test(test_walk),
        cmocka_unit_test(test_get),
        cmocka_unit_test(test_timeouts),
        cmocka_unit_test(test_close_drains),
        cmocka_unit_test(test_close_cancels),
        cmocka_unit_test(test_client_closes_first),
        cmocka_unit_test(test_other_clients_pool),
    };
    return cmocka_run_group_tests_name(client_test_store(), tests, client_test_begin, client_test_end);
}
