/* test_client_pool_streams.c - a pool of the client's and its streams on a real troved: what is counted, walking, time-outs. */
#include "client_test.h"

#include <stdlib.h>

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
    trove_pool *pool = make_pool_of(test, "snapshot", 5);
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
    trove_pool_metrics before = pool_metrics(pool);
    assert_int_equal(before.completed_streams, 1); /* though it isn't released */
    CHECK_OK(trove_stream_complete(streams[0], 0, NULL, &error), &error);
    trove_stream_fail(streams[1], TROVE_ABORTED, "as the test wants it");
    CHECK_OK(trove_stream_control(streams[2], TROVE_CONTROL_CANCEL, 0, 0, NULL, &error), &error);
    for (int i = 0; i < 4; i++) {
        trove_pool_metrics now = pool_metrics(pool); /* releasing changes nothing but the number of those that are active */
        assert_int_equal(now.active_streams, 4 - i);
        assert_int_equal(now.total_streams, 4);
        assert_int_equal(now.completed_streams, 2);
        assert_int_equal(now.failed_streams, 1);
        assert_int_equal(now.cancelled_streams, 1);
        assert_int_equal(now.bytes_waiting, 0);
        assert_int_equal(now.total_bytes + now.bytes_abandoned, 9 * MIB);
        trove_pool_release(pool, streams[i]);
    }
    trove_pool_metrics after = pool_metrics(pool);
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
        walk->added = acquire_stream(walk->pool, "added", TROVE_DIRECTION_UPLOAD);
    }
    return walk->count != walk->stop_after;
}

static void test_walk(void **state) {
    const struct client_test *test = *state;
    trove_pool *pool = make_pool_of(test, "walk", 6);
    trove_stream *streams[5];
    struct walk none = {.pool = pool};
    trove_pool_walk(pool, visit, &none);
    assert_int_equal(none.count, 0);
    for (int i = 0; i < 5; i++)
        streams[i] = acquire_stream(pool, "walked", TROVE_DIRECTION_UPLOAD);
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
        streams[released] = acquire_stream(pool, "walked", TROVE_DIRECTION_UPLOAD);
        if (released == 0) { /* back to the first place */
            for (int i = 1; i < 5; i++) {
                trove_pool_release(pool, streams[i]);
                streams[i] = acquire_stream(pool, "walked", TROVE_DIRECTION_UPLOAD);
            }
        }
    }
    for (int i = 0; i < 5; i++)
        trove_pool_release(pool, streams[i]);
    assert_int_equal(trove_pool_close(pool, 0), 0);
}

static void test_get(void **state) {
    const struct client_test *test = *state;
    trove_pool *pool = make_pool_of(test, "get", 4);
    trove_stream *stream = acquire_stream(pool, "got", TROVE_DIRECTION_UPLOAD);
    trove_stream *other = acquire_stream(pool, "other", TROVE_DIRECTION_UPLOAD);
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

/* While something moves the idle timeout doesn't pass, and a pause holds both: more than the limit of each. */
static void outlast(const struct client_test *test, trove_stream *stream, bool moves) {
    trove_error error;
    for (unsigned n = 0; moves && n < 4; n++) {
        pause_ms(500);
        CHECK_OK(write_bytes(stream, test->bytes, 100, 0, &error), &error);
    }
    control_stream(stream, TROVE_CONTROL_PAUSE, 0, TROVE_STREAM_PAUSED);
    pause_ms(2000);
    control_stream(stream, TROVE_CONTROL_RESUME, 0, TROVE_STREAM_ACTIVE);
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
        {"an idle upload", 0, 500, TROVE_DIRECTION_UPLOAD, "nothing has moved for 500 ms, the idle_timeout_ms of pool timeouts"},
        {"an idle download", 0, 500, TROVE_DIRECTION_DOWNLOAD, "idle_timeout_ms"},
        {"a long upload", 500, 0, TROVE_DIRECTION_UPLOAD, "not done in 500 ms, the stream_timeout_ms of pool timeouts"},
        {"a long download", 500, 0, TROVE_DIRECTION_DOWNLOAD, "stream_timeout_ms"},
        {"idle before long", 60000, 500, TROVE_DIRECTION_UPLOAD, "idle_timeout_ms"},
        {"long before idle", 500, 60000, TROVE_DIRECTION_UPLOAD, "stream_timeout_ms"},
        {"idle after moving and a pause", 0, 1500, TROVE_DIRECTION_UPLOAD, "idle_timeout_ms"},
        {"long, and a pause", 1500, 0, TROVE_DIRECTION_UPLOAD, "stream_timeout_ms"},
    };
    put_object(test, "timeout", 5 * MIB);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        trove_pool_options options;
        trove_error error;
        print_message("    %s\n", rows[i].name);
        trove_pool_options_init(&options);
        options.stream_timeout_ms = rows[i].stream_ms;
        options.idle_timeout_ms = rows[i].idle_ms;
        options.chunk_bytes = 100 * KIB;
        trove_pool *pool = make_pool(test, "timeouts", &options);
        bool upload = rows[i].direction == TROVE_DIRECTION_UPLOAD;
        uint64_t begun_ms = now_ms();
        trove_stream *stream = acquire_stream(pool, upload ? "timeout/up" : "timeout", rows[i].direction);
        if (rows[i].stream_ms == 1500 || rows[i].idle_ms == 1500) {
            outlast(test, stream, rows[i].idle_ms > 0);
            begun_ms += 2000;
        }
        WAIT_FOR(trove_stream_state_get(stream) == TROVE_STREAM_FAILED);
        assert_true(now_ms() - begun_ms >= 500);
        CHECK_FAILS(trove_stream_complete(stream, 0, NULL, &error), DEADLINE_EXCEEDED, rows[i].says, &error);
        trove_pool_release(pool, stream);
        assert_int_equal(pool_metrics(pool).failed_streams, 1);
        assert_int_equal(trove_pool_close(pool, 0), 0);
    }
}

int main(int argc, char **argv) {
    client_test_arguments(argc, argv);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_snapshot),
        cmocka_unit_test(test_walk),
        cmocka_unit_test(test_get),
        cmocka_unit_test(test_timeouts),
    };
    return cmocka_run_group_tests_name(client_test_store(), tests, client_test_begin, client_test_end);
}
