/* test_client_server_pools.c - the server's stream pools through libtrove: places and queues, limits, time-outs. */
#include "client_test.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char config[] = "memory: 64MiB\n"
                             "pools:\n"
                             "  - {name: two, streams: 2}\n"
                             "  - {name: slow, bandwidth: 4MiB}\n"
                             "  - {name: lean, chunk_size: 256KiB, buffers: 8}\n"
                             "  - {name: idle, idle_timeout: 1s}\n"
                             "  - {name: paused, paused_timeout: 1s, idle_timeout: 1s}\n"
                             "  - {name: brief, stream_timeout: 1s}\n"
                             "  - {name: patient, idle_timeout: 1s}\n"
                             "  - {name: adaptive, chunk_size: 64KiB, backpressure: adaptive}\n"
                             "  - {name: buffering, chunk_size: 64KiB, channel_size: 2, backpressure: buffer}\n"
                             "  - {name: dropping, chunk_size: 64KiB, channel_size: 2, backpressure: drop}\n"
                             "  - {name: counted, chunk_size: 64KiB, memory: 8MiB}\n";

static int begin(void **state) {
    return client_test_begin_with(state, config);
}

/* ---- places ---- */

/* Opens a stream on a thread of its own. */
struct opener {
    const struct client_test *test;
    trove_client *client;
    char key[16];
    trove_direction direction;
    pthread_t thread;
    trove_stream *stream;
    trove_status status;
    trove_error error;
    atomic_bool done;
};

static void *open_waiting(void *context) {
    struct opener *opener = context;
    trove_stream_options options;
    pool_options(&options, "two");
    opener->status =
        trove_stream_open(opener->client, BUCKET, opener->key, opener->direction, &options, &opener->stream, &opener->error);
    atomic_store(&opener->done, true);
    return NULL;
}

static void begin_opening(struct opener *opener, const struct client_test *test, trove_client *client, const char *key,
                          trove_direction direction) {
    *opener = (struct opener){.test = test, .client = client, .direction = direction};
    snprintf(opener->key, sizeof opener->key, "%s", key);
    assert_int_equal(pthread_create(&opener->thread, NULL, open_waiting, opener), 0);
}

static trove_status join(struct opener *opener) {
    assert_int_equal(pthread_join(opener->thread, NULL), 0);
    return opener->status;
}

static void test_full_pool_waits_in_order(void **state) {
    const struct client_test *test = *state;
    struct opener openers[4];
    trove_error error;
    put_object(test, "waits2", 3 * MIB);
    trove_stream *first = open_in_pool(test, "two", "first", TROVE_DIRECTION_UPLOAD);
    trove_stream *second = open_in_pool(test, "two", "second", TROVE_DIRECTION_UPLOAD);
    for (uint32_t i = 0; i < 4; i++) { /* one after the other, so that their order is known */
        char key[16];
        snprintf(key, sizeof key, "waits%u", i);
        begin_opening(&openers[i], test, test->client, key, i == 2 ? TROVE_DIRECTION_DOWNLOAD : TROVE_DIRECTION_UPLOAD);
        WAIT_FOR(server_stream_of(test, key).acquire_place == i + 1);
    }
    trove_server_pool pool = server_pool_of(test, "two");
    assert_int_equal(pool.streams_active, 2);
    assert_int_equal(pool.acquires_waiting, 4);

    /* One in the middle is cancelled: it leaves at once, and those behind it move up. */
    const uint64_t middle = server_stream_of(test, "waits1").stream_id;
    CHECK_OK(trove_server_stream_control(test->client, middle, TROVE_CONTROL_CANCEL, 0, NULL, &error), &error);
    CHECK_FAILS(join(&openers[1]), CANCELLED, "was cancelled by", &openers[1].error);
    assert_int_equal(server_stream_of(test, "waits0").acquire_place, 1);
    assert_int_equal(server_stream_of(test, "waits2").acquire_place, 2);
    assert_int_equal(server_stream_of(test, "waits3").acquire_place, 3);

    trove_stream_release(second); /* its place goes to the first in the queue, and to nobody else */
    CHECK_OK(join(&openers[0]), &openers[0].error);
    assert_false(atomic_load(&openers[2].done) || atomic_load(&openers[3].done));
    assert_int_equal(server_pool_of(test, "two").acquires_waiting, 2);
    trove_stream_release(first);
    CHECK_OK(join(&openers[2]), &openers[2].error);
    assert_int_equal(server_stream_of(test, "waits3").acquire_place, 1);
    trove_stream_release(openers[0].stream);
    CHECK_OK(join(&openers[3]), &openers[3].error);
    CHECK_OK(trove_stream_start(openers[3].stream, &error), &error);
    CHECK_OK(write_bytes(openers[3].stream, test->bytes, 3 * MIB, 0, &error), &error);
    CHECK_OK(trove_stream_complete(openers[3].stream, 0, NULL, &error), &error);
    CHECK_OK(trove_stream_start(openers[2].stream, &error), &error);
    CHECK_OK(read_away(openers[2].stream, test->bytes, &error), &error);
    assert_int_equal(trove_stream_offset(openers[2].stream), 3 * MIB);
    trove_stream_release(openers[2].stream);
    trove_stream_release(openers[3].stream);
    check_object(test, "waits3", test->bytes, 3 * MIB);
    WAIT_FOR(server_pool_of(test, "two").streams_active == 0);
    assert_int_equal(server_pool_of(test, "two").acquires_waiting, 0);
}

static void test_deadline_of_waiting(void **state) {
    const struct client_test *test = *state;
    trove_stream *held[2] = {open_in_pool(test, "two", "a", TROVE_DIRECTION_UPLOAD),
                             open_in_pool(test, "two", "b", TROVE_DIRECTION_UPLOAD)};
    trove_stream_options options;
    trove_error error;
    trove_stream *stream = NULL;
    pool_options(&options, "two");
    options.acquire_timeout_ms = 150;
    uint64_t begun_ms = now_ms();
    CHECK_FAILS(trove_stream_open(test->client, BUCKET, "late", TROVE_DIRECTION_UPLOAD, &options, &stream, &error),
                DEADLINE_EXCEEDED, "pool \"two\" has as many streams open as it may have, 2 (streams)", &error);
    uint64_t took_ms = now_ms() - begun_ms;
    assert_true(took_ms >= 150 && took_ms < PATIENCE_MS);
    assert_int_equal(server_pool_of(test, "two").acquires_waiting, 0);
    assert_int_equal(server_pool_of(test, "two").streams_active, 2);
    trove_stream_release(held[0]);
    trove_stream_release(held[1]);
}

/* A connection that is lost takes its streams out of the queue. */
static void test_lost_connection_leaves_the_queue(void **state) {
    const struct client_test *test = *state;
    trove_stream *held[2] = {open_in_pool(test, "two", "a", TROVE_DIRECTION_UPLOAD),
                             open_in_pool(test, "two", "b", TROVE_DIRECTION_UPLOAD)};
    struct opener lost;
    struct opener after;
    trove_client *other = NULL;
    trove_error error;
    CHECK_OK(trove_connect(test->url, NULL, &other, &error), &error);
    begin_opening(&lost, test, other, "lost", TROVE_DIRECTION_UPLOAD);
    WAIT_FOR(server_stream_of(test, "lost").acquire_place == 1);
    begin_opening(&after, test, test->client, "after", TROVE_DIRECTION_UPLOAD);
    WAIT_FOR(server_stream_of(test, "after").acquire_place == 2);
    trove_close(other);
    assert_int_not_equal(join(&lost), TROVE_OK);
    WAIT_FOR(server_stream_of(test, "after").acquire_place == 1);
    trove_stream_release(held[0]);
    CHECK_OK(join(&after), &after.error);
    trove_stream_release(after.stream);
    trove_stream_release(held[1]);
    WAIT_FOR(server_pool_of(test, "two").streams_active == 0);
}

static void test_unknown_pool(void **state) {
    const struct client_test *test = *state;
    trove_stream_options options;
    trove_stream *stream = NULL;
    trove_error error;
    pool_options(&options, "none-such");
    CHECK_FAILS(trove_stream_open(test->client, BUCKET, "k", TROVE_DIRECTION_UPLOAD, &options, &stream, &error), NOT_FOUND,
                "pool \"none-such\" doesn't exist; this server has: default, two, slow, lean,", &error);
    CHECK_FAILS(trove_put_memory(test->client, BUCKET, "k", test->bytes, 100, &options, NULL, &error), NOT_FOUND,
                "pool \"none-such\" doesn't exist", &error);
    trove_server_stream_options list;
    trove_server_stream_page *page = NULL;
    trove_server_stream_options_init(&list);
    list.pool = "none-such";
    CHECK_FAILS(trove_server_stream_list(test->client, &list, &page, &error), NOT_FOUND, "none-such", &error);
}

/* Streams that name no pool are the default one's, which other pools take after. */
static void test_default_pool(void **state) {
    static const trove_direction directions[] = {TROVE_DIRECTION_UPLOAD, TROVE_DIRECTION_DOWNLOAD};
    struct client_test *test = NULL;
    (void)state;
    assert_int_equal(client_test_begin_with((void **)&test, "pool: {streams: 2, chunk_size: 128KiB, channel_size: 3}\n"
                                                            "pools:\n  - {name: more, streams: 5}\n"),
                     0);
    put_object(test, "down", 1 * MIB);
    for (int i = 0; i < 2; i++) {
        trove_stream *streams[2] = {open_stream(test, i == 0 ? "up" : "down", directions[i], NULL),
                                    open_stream(test, i == 0 ? "up" : "down", directions[i], NULL)};
        trove_stream *third = NULL;
        trove_stream_options options;
        trove_error error;
        assert_int_equal(trove_stream_chunk_bytes(streams[0]), 128 * KIB);
        if (directions[i] == TROVE_DIRECTION_DOWNLOAD) /* what its window has room for comes without being read */
            WAIT_FOR(check_account(streams[0]).chunks_queued == 3);
        pool_options(&options, NULL);
        options.acquire_timeout_ms = 50;
        CHECK_FAILS(trove_stream_open(test->client, BUCKET, "down", directions[i], &options, &third, &error), DEADLINE_EXCEEDED,
                    "pool \"default\" has as many streams open as it may have, 2 (streams)", &error);
        for (int j = 0; j < 2; j++)
            trove_stream_release(streams[j]);
        WAIT_FOR(server_pool_of(test, "default").streams_active == 0);
    }
    trove_server_pool more = server_pool_of(test, "more");
    assert_int_equal(more.chunk_bytes, 128 * KIB);
    assert_int_equal(more.channel_chunks, 3);
    assert_int_equal(more.streams_max, 5);
    assert_int_equal(client_test_end((void **)&test), 0);
}

/* What can't be opened is its client's mistake: no stream has failed. */
static void test_refused_openings_are_no_failures(void **state) {
    const struct client_test *test = *state;
    static const struct {
        const char *name;
        const char *bucket;
        const char *key;
        trove_direction direction;
        trove_status status;
    } rows[] = {
        {"no object", BUCKET, "none", TROVE_DIRECTION_DOWNLOAD, TROVE_NOT_FOUND},
        {"no bucket", "no-bucket", "k", TROVE_DIRECTION_UPLOAD, TROVE_NOT_FOUND},
        {"condition", BUCKET, "refused", TROVE_DIRECTION_UPLOAD, TROVE_FAILED_PRECONDITION},
        {"range", BUCKET, "refused", TROVE_DIRECTION_DOWNLOAD, TROVE_OUT_OF_RANGE},
    };
    put_object(test, "refused", 1000);
    uint64_t failed = server_pool_of(test, "two").failed_streams;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        trove_stream_options options;
        trove_stream *stream = NULL;
        trove_error error;
        pool_options(&options, "two");
        options.conditions.if_none_match = rows[i].direction == TROVE_DIRECTION_UPLOAD;
        options.range_offset = rows[i].status == TROVE_OUT_OF_RANGE ? 1001 : 0;
        print_message("    %s\n", rows[i].name);
        assert_int_equal(
            trove_stream_open(test->client, rows[i].bucket, rows[i].key, rows[i].direction, &options, &stream, &error),
            rows[i].status);
    }
    WAIT_FOR(server_pool_of(test, "two").streams_active == 0);
    assert_int_equal(server_pool_of(test, "two").failed_streams, failed);
}

/* ---- limits ---- */

static uint64_t time_put(const struct client_test *test, const char *pool, size_t size) {
    trove_stream_options options;
    trove_error error;
    pool_options(&options, pool);
    uint64_t begun_ms = now_ms();
    CHECK_OK(trove_put_memory(test->client, BUCKET, "timed", test->bytes, size, &options, NULL, &error), &error);
    return now_ms() - begun_ms;
}

/* How exact it is, is judged under a clock of the test's own (test_bandwidth.c). */
static void test_bandwidth(void **state) {
    const struct client_test *test = *state;
    assert_true(time_put(test, "slow", 8 * MIB) >= 1500); /* at 4 MiB/s */
    check_object(test, "timed", test->bytes, 8 * MIB);
}

static void test_bandwidth_of_downloads(void **state) {
    const struct client_test *test = *state;
    trove_stream_options options;
    trove_error error;
    uint8_t *got = malloc(8 * MIB);
    assert_non_null(got);
    put_object(test, "limited", 8 * MIB);
    pool_options(&options, "slow");
    uint64_t begun_ms = now_ms();
    CHECK_OK(trove_get_memory(test->client, BUCKET, "limited", got, 8 * MIB, &options, NULL, NULL, &error), &error);
    assert_true(now_ms() - begun_ms >= 1500); /* at 4 MiB/s */
    assert_true(memcmp(got, test->bytes, 8 * MIB) == 0);
    free(got);
}

/* Small objects have no way around the limit: while it is used up they become streams. */
static void test_bandwidth_of_small_objects(void **state) {
    const struct client_test *test = *state;
    trove_stream_options options;
    trove_error error;
    pool_options(&options, "slow");
    uint64_t begun_ms = now_ms();
    for (int i = 0; i < 64; i++) /* 4 MiB at 4 MiB/s */
        CHECK_OK(trove_put_memory(test->client, BUCKET, "small", test->bytes, 64 * KIB, &options, NULL, &error), &error);
    assert_true(now_ms() - begun_ms >= 700);
    check_object(test, "small", test->bytes, 64 * KIB);
}

static void test_memory_of_its_own(void **state) {
    const struct client_test *test = *state;
    trove_stream *streams[12];
    trove_error error;
    trove_server_pool pool = server_pool_of(test, "lean");
    assert_int_equal(pool.memory_budget_bytes, 2 * MIB); /* 8 buffers of 256 KiB */
    assert_int_equal(pool.buffers_max, 8);
    for (int i = 0; i < 12; i++) {
        char key[16];
        snprintf(key, sizeof key, "lean%d", i);
        streams[i] = open_in_pool(test, "lean", key, TROVE_DIRECTION_UPLOAD);
    }
    for (int round = 0; round < 4; round++)
        for (int i = 0; i < 12; i++)
            CHECK_OK(write_bytes(streams[i], test->bytes + (size_t)round * 256 * KIB, 256 * KIB, 0, &error), &error);
    for (int i = 0; i < 12; i++) {
        CHECK_OK(trove_stream_complete(streams[i], 0, NULL, &error), &error);
        trove_stream_release(streams[i]);
    }
    pool = server_pool_of(test, "lean");
    assert_true(pool.memory_high_water_bytes > 0 && pool.memory_high_water_bytes <= 2 * MIB);
    assert_int_equal(pool.buffers_allocated, pool.buffers_released);
    assert_int_equal(pool.memory_in_use_bytes, 0);
    assert_int_equal(pool.total_bytes, 12 * MIB);
    check_object(test, "lean11", test->bytes, 1 * MIB);
    trove_stream_options options;
    trove_stream *stream = NULL;
    pool_options(&options, "lean");
    options.chunk_bytes = 513 * KIB;
    CHECK_FAILS(trove_stream_open(test->client, BUCKET, "k", TROVE_DIRECTION_UPLOAD, &options, &stream, &error),
                RESOURCE_EXHAUSTED, "pool \"lean\" carries chunks of at most 524288", &error);
}

/* ---- backpressure ---- */

/* Chunks beyond the window while the stream is paused: what becomes of them shows the backpressure. */
static void write_paused(trove_stream *stream, uint32_t count, trove_error *error) {
    CHECK_OK(trove_stream_control(stream, TROVE_CONTROL_PAUSE, 0, PATIENCE_MS, NULL, error), error);
    for (uint32_t i = 0; i < count; i++) {
        trove_chunk *chunk = NULL;
        CHECK_OK(trove_stream_chunk_get(stream, PATIENCE_MS, &chunk, error), error);
        memset(chunk->data, (int)i, chunk->capacity);
        chunk->size = chunk->capacity;
        CHECK_OK(trove_stream_write(stream, &chunk, PATIENCE_MS, error), error);
    }
    CHECK_OK(trove_stream_control(stream, TROVE_CONTROL_RESUME, 0, PATIENCE_MS, NULL, error), error);
}

/* Who says nothing has the pool's; who says something has that. */
static void test_backpressure_of_the_pool(void **state) {
    const struct client_test *test = *state;
    static const struct {
        const char *name;
        const char *pool;
        trove_backpressure said;
        bool lossy;
        trove_backpressure got;
    } rows[] = {
        {"nothing said, adaptive", "adaptive", TROVE_BACKPRESSURE_DEFAULT, false, TROVE_BACKPRESSURE_ADAPTIVE},
        {"block said", "adaptive", TROVE_BACKPRESSURE_BLOCK, false, TROVE_BACKPRESSURE_BLOCK},
        {"nothing said, buffer", "buffering", TROVE_BACKPRESSURE_DEFAULT, false, TROVE_BACKPRESSURE_BUFFER},
        {"nothing said, drop", "dropping", TROVE_BACKPRESSURE_DEFAULT, true, TROVE_BACKPRESSURE_DROP},
        {"not lossy, drop", "dropping", TROVE_BACKPRESSURE_DEFAULT, false, TROVE_BACKPRESSURE_BLOCK},
        {"nothing said, block", "counted", TROVE_BACKPRESSURE_DEFAULT, false, TROVE_BACKPRESSURE_BLOCK},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        trove_stream_options options;
        trove_stream_metrics metrics;
        trove_stream *stream = NULL;
        trove_error error;
        print_message("%s\n", rows[i].name);
        pool_options(&options, rows[i].pool);
        options.backpressure = rows[i].said;
        options.lossy = rows[i].lossy;
        CHECK_OK(trove_stream_open(test->client, BUCKET, "mode", TROVE_DIRECTION_UPLOAD, &options, &stream, &error), &error);
        CHECK_OK(trove_stream_start(stream, &error), &error);
        bool adaptive = rows[i].got == TROVE_BACKPRESSURE_ADAPTIVE;
        bool waits = adaptive || rows[i].got == TROVE_BACKPRESSURE_BLOCK;
        assert_int_equal(trove_stream_chunk_bytes(stream), adaptive ? 256 * KIB : 64 * KIB);
        write_paused(stream, waits ? 0 : 6, &error);
        CHECK_OK(trove_stream_complete(stream, PATIENCE_MS, NULL, &error), &error);
        trove_stream_metrics_get(stream, &metrics);
        assert_int_equal(metrics.chunks_spilled > 0, rows[i].got == TROVE_BACKPRESSURE_BUFFER);
        assert_int_equal(metrics.chunks_dropped > 0, rows[i].got == TROVE_BACKPRESSURE_DROP);
        trove_stream_release(stream);
    }
}

/* ---- time-outs ---- */

struct limited {
    trove_stream *stream;
    uint64_t begun_ms;
    uint64_t ended_ms;
};

/* Waits for all at once, for each has a second or two to wait. */
static void await_ends(struct limited *limited, size_t count) {
    size_t ended = 0;
    for (uint64_t until_ms = now_ms() + PATIENCE_MS; ended < count; pause_ms(5)) {
        assert_true(now_ms() < until_ms);
        for (size_t i = 0; i < count; i++) {
            if (limited[i].ended_ms == 0 && trove_stream_state_get(limited[i].stream) >= TROVE_STREAM_COMPLETED) {
                limited[i].ended_ms = now_ms();
                ended++;
            }
        }
    }
}

static void test_timeouts(void **state) {
    const struct client_test *test = *state;
    static const struct {
        const char *name;
        const char *pool;
        trove_direction direction;
        bool start;
        bool pause;
        const char *message;
    } rows[] = {
        {"idle upload", "idle", TROVE_DIRECTION_UPLOAD, true, false,
         "made no progress for 1000 ms, which is the limit of pool \"idle\" (idle_timeout)"},
        {"idle download", "idle", TROVE_DIRECTION_DOWNLOAD, true, false, "(idle_timeout)"},
        {"paused upload", "paused", TROVE_DIRECTION_UPLOAD, true, true,
         "was paused for 1000 ms, which is the limit of pool \"paused\" (paused_timeout)"},
        {"paused download", "paused", TROVE_DIRECTION_DOWNLOAD, true, true, "(paused_timeout)"},
        {"unstarted upload", "paused", TROVE_DIRECTION_UPLOAD, false, false,
         "wasn't started within 1000 ms, which is the limit of pool \"paused\""},
        {"unstarted download", "paused", TROVE_DIRECTION_DOWNLOAD, false, false, "wasn't started within 1000 ms"},
        {"whole life of an upload", "brief", TROVE_DIRECTION_UPLOAD, true, false,
         "wasn't done within 1000 ms, which is the limit of pool \"brief\" (stream_timeout)"},
        {"whole life of a download", "brief", TROVE_DIRECTION_DOWNLOAD, true, false, "(stream_timeout)"},
        {"whole life, paused", "brief", TROVE_DIRECTION_UPLOAD, true, true, "(stream_timeout)"},
    };
    struct limited limited[sizeof rows / sizeof rows[0]] = {0};
    trove_object_info *info = NULL;
    trove_error error;
    put_object(test, "down", 8 * MIB);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        trove_stream_options options;
        trove_stream **stream = &limited[i].stream;
        bool upload = rows[i].direction == TROVE_DIRECTION_UPLOAD;
        pool_options(&options, rows[i].pool);
        options.channel_chunks = 2; /* fewer than "down" has: who reads nothing stands still */
        CHECK_OK(trove_stream_open(test->client, BUCKET, upload ? "late" : "down", rows[i].direction, &options, stream, &error),
                 &error);
        if (rows[i].start)
            CHECK_OK(trove_stream_start(*stream, &error), &error);
        if (rows[i].pause)
            CHECK_OK(trove_stream_control(*stream, TROVE_CONTROL_PAUSE, 0, 0, NULL, &error), &error);
        limited[i].begun_ms = now_ms();
    }
    await_ends(limited, sizeof rows / sizeof rows[0]);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        print_message("    %s\n", rows[i].name);
        CHECK_FAILS(trove_stream_complete(limited[i].stream, 1, NULL, &error), DEADLINE_EXCEEDED, rows[i].message, &error);
        assert_true(limited[i].ended_ms - limited[i].begun_ms >= 900);
        assert_int_equal(trove_stream_state_get(limited[i].stream), TROVE_STREAM_FAILED);
        trove_stream_release(limited[i].stream);
    }
    CHECK_FAILS(trove_object_head(test->client, BUCKET, "late", 0, &info, &error), NOT_FOUND, "late", &error);
}

/* The idle clock stands still while the stream is paused. */
static void test_pause_holds_the_idle_clock(void **state) {
    const struct client_test *test = *state;
    trove_stream *stream = open_in_pool(test, "patient", "patient", TROVE_DIRECTION_UPLOAD);
    trove_error error;
    CHECK_OK(write_bytes(stream, test->bytes, 1 * MIB, 0, &error), &error);
    CHECK_OK(trove_stream_control(stream, TROVE_CONTROL_PAUSE, 0, 0, NULL, &error), &error);
    pause_ms(3100); /* three ticks of the server's clock beyond the limit */
    assert_int_equal(server_stream_of(test, "patient").state, TROVE_STREAM_PAUSED);
    CHECK_OK(trove_stream_control(stream, TROVE_CONTROL_RESUME, 0, 0, NULL, &error), &error);
    CHECK_OK(trove_stream_complete(stream, 0, NULL, &error), &error);
    trove_stream_release(stream);
}

int main(int argc, char **argv) {
    client_test_arguments(argc, argv);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_full_pool_waits_in_order),
        cmocka_unit_test(test_deadline_of_waiting),
        cmocka_unit_test(test_lost_connection_leaves_the_queue),
        cmocka_unit_test(test_unknown_pool),
        cmocka_unit_test(test_default_pool),
        cmocka_unit_test(test_bandwidth),
        cmocka_unit_test(test_bandwidth_of_downloads),
        cmocka_unit_test(test_bandwidth_of_small_objects),
        cmocka_unit_test(test_memory_of_its_own),
        cmocka_unit_test(test_backpressure_of_the_pool),
        cmocka_unit_test(test_refused_openings_are_no_failures),
        cmocka_unit_test(test_timeouts),
        cmocka_unit_test(test_pause_holds_the_idle_clock),
    };
    return cmocka_run_group_tests(tests, begin, client_test_end);
}
