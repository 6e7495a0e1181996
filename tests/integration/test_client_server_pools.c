/* test_client_server_pools.c - the server's stream pools through libtrove: places and queues, limits, time-outs, control from outside,
 * statistics against a count of our own. */
#include "client_test.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PATIENCE_MS 60000

static const char config[] = "memory: 64MiB\n"
                             "pools:\n"
                             "  - {name: two, streams: 2}\n"
                             "  - {name: slow, bandwidth: 4MiB}\n"
                             "  - {name: lean, chunk_size: 256KiB, buffers: 8}\n"
                             "  - {name: idle, idle_timeout: 1s}\n"
                             "  - {name: paused, paused_timeout: 1s, idle_timeout: 1s}\n"
                             "  - {name: brief, stream_timeout: 1s}\n"
                             "  - {name: patient, idle_timeout: 1s}\n"
                             "  - {name: counted, chunk_size: 64KiB, memory: 8MiB}\n";

static int begin(void **state) {
    struct client_test *test = calloc(1, sizeof *test);
    assert_non_null(test);
    const struct troved_options options = {.listen = {"ipc://%s/socket"}, .store = client_test_store(), .config = config};
    trove_error error;
    test->server = troved_start(&options, NULL);
    test->url = troved_url(test->server, "ipc");
    test->bytes = malloc(BYTES_MAX);
    assert_non_null(test->bytes);
    for (size_t i = 0; i < BYTES_MAX; i++)
        test->bytes[i] = (uint8_t)(i * 2654435761u >> 13);
    CHECK_OK(trove_connect(test->url, NULL, &test->client, &error), &error);
    CHECK_OK(trove_bucket_create(test->client, BUCKET, 0, &error), &error);
    *state = test;
    return 0;
}

/* ---- what the server says ---- */

static trove_server_pool pool_of(const struct client_test *test, const char *name) {
    trove_server_pool *pools = NULL;
    trove_server_pool found = {.name = ""};
    size_t count = 0;
    trove_error error;
    CHECK_OK(trove_server_pool_list(test->client, 0, &pools, &count, &error), &error);
    for (size_t i = 0; i < count; i++)
        if (strcmp(pools[i].name, name) == 0)
            found = pools[i];
    trove_server_pool_list_free(pools);
    assert_string_equal(found.name, name);
    return found;
}

/* The stream of that key; an id of 0 where there is none. Its strings are gone. */
static trove_server_stream stream_of(const struct client_test *test, const char *key) {
    trove_server_stream_page *page = NULL;
    trove_server_stream found = {.stream_id = 0};
    trove_error error;
    CHECK_OK(trove_server_stream_list(test->client, NULL, &page, &error), &error);
    assert_false(page->more);
    for (size_t i = 0; i < page->count; i++)
        if (strcmp(page->streams[i].key, key) == 0)
            found = page->streams[i];
    trove_server_stream_page_free(page);
    return found;
}

/* Waits for a condition; the macro, since what is looked at differs. */
#define WAIT_FOR(condition)                                                                                                      \
    do {                                                                                                                         \
        uint64_t until_ms = now_ms() + PATIENCE_MS;                                                                              \
        while (!(condition)) {                                                                                                   \
            if (now_ms() > until_ms)                                                                                             \
                fail_msg("still not: %s", #condition);                                                                           \
            pause_ms(2);                                                                                                         \
        }                                                                                                                        \
    } while (0)

static trove_status control(const struct client_test *test, uint64_t id, trove_control what, trove_stream_state *state,
                            trove_error *error) {
    return trove_server_stream_control(test->client, id, what, 0, state, error);
}

static void pool_options(trove_stream_options *options, const char *pool) {
    trove_stream_options_init(options);
    options->pool = pool;
    options->acquire_timeout_ms = PATIENCE_MS;
}

static trove_stream *open_in(const struct client_test *test, const char *pool, const char *key, trove_direction direction) {
    trove_stream_options options;
    pool_options(&options, pool);
    return open_stream(test, key, direction, &options);
}

static void put(const struct client_test *test, const char *key, size_t size) {
    trove_error error;
    CHECK_OK(trove_put_memory(test->client, BUCKET, key, test->bytes, size, NULL, NULL, &error), &error);
}

/* ---- places ---- */

/* Opens a stream on a thread of its own. */
struct opener {
    const struct client_test *test;
    trove_client *client;
    char key[16];
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
        trove_stream_open(opener->client, BUCKET, opener->key, TROVE_DIRECTION_UPLOAD, &options, &opener->stream, &opener->error);
    atomic_store(&opener->done, true);
    return NULL;
}

static void begin_opening(struct opener *opener, const struct client_test *test, trove_client *client, const char *key) {
    *opener = (struct opener){.test = test, .client = client};
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
    trove_stream *first = open_in(test, "two", "first", TROVE_DIRECTION_UPLOAD);
    trove_stream *second = open_in(test, "two", "second", TROVE_DIRECTION_UPLOAD);
    for (uint32_t i = 0; i < 4; i++) { /* one after the other, so that their order is known */
        char key[16];
        snprintf(key, sizeof key, "waits%u", i);
        begin_opening(&openers[i], test, test->client, key);
        WAIT_FOR(stream_of(test, key).acquire_place == i + 1);
    }
    trove_server_pool pool = pool_of(test, "two");
    assert_int_equal(pool.streams_active, 2);
    assert_int_equal(pool.acquires_waiting, 4);

    /* One in the middle is cancelled: it leaves at once, and those behind it move up. */
    CHECK_OK(control(test, stream_of(test, "waits1").stream_id, TROVE_CONTROL_CANCEL, NULL, &error), &error);
    CHECK_FAILS(join(&openers[1]), CANCELLED, "was cancelled by", &openers[1].error);
    assert_int_equal(stream_of(test, "waits0").acquire_place, 1);
    assert_int_equal(stream_of(test, "waits2").acquire_place, 2);
    assert_int_equal(stream_of(test, "waits3").acquire_place, 3);

    trove_stream_release(second); /* its place goes to the first in the queue, and to nobody else */
    CHECK_OK(join(&openers[0]), &openers[0].error);
    assert_false(atomic_load(&openers[2].done) || atomic_load(&openers[3].done));
    assert_int_equal(pool_of(test, "two").acquires_waiting, 2);
    trove_stream_release(first);
    CHECK_OK(join(&openers[2]), &openers[2].error);
    assert_int_equal(stream_of(test, "waits3").acquire_place, 1);
    trove_stream_release(openers[0].stream);
    CHECK_OK(join(&openers[3]), &openers[3].error);
    CHECK_OK(trove_stream_start(openers[3].stream, &error), &error);
    CHECK_OK(write_bytes(openers[3].stream, test->bytes, 3 * MIB, 0, &error), &error);
    CHECK_OK(trove_stream_complete(openers[3].stream, 0, NULL, &error), &error);
    trove_stream_release(openers[2].stream);
    trove_stream_release(openers[3].stream);
    check_object(test, "waits3", test->bytes, 3 * MIB);
    WAIT_FOR(pool_of(test, "two").streams_active == 0);
    assert_int_equal(pool_of(test, "two").acquires_waiting, 0);
}

static void test_deadline_of_waiting(void **state) {
    const struct client_test *test = *state;
    trove_stream *held[2] = {open_in(test, "two", "a", TROVE_DIRECTION_UPLOAD),
                             open_in(test, "two", "b", TROVE_DIRECTION_UPLOAD)};
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
    assert_int_equal(pool_of(test, "two").acquires_waiting, 0);
    assert_int_equal(pool_of(test, "two").streams_active, 2);
    trove_stream_release(held[0]);
    trove_stream_release(held[1]);
}

/* A connection that is lost takes its streams out of the queue. */
static void test_lost_connection_leaves_the_queue(void **state) {
    const struct client_test *test = *state;
    trove_stream *held[2] = {open_in(test, "two", "a", TROVE_DIRECTION_UPLOAD),
                             open_in(test, "two", "b", TROVE_DIRECTION_UPLOAD)};
    struct opener lost;
    struct opener after;
    trove_client *other = NULL;
    trove_error error;
    CHECK_OK(trove_connect(test->url, NULL, &other, &error), &error);
    begin_opening(&lost, test, other, "lost");
    WAIT_FOR(stream_of(test, "lost").acquire_place == 1);
    begin_opening(&after, test, test->client, "after");
    WAIT_FOR(stream_of(test, "after").acquire_place == 2);
    trove_close(other);
    assert_int_not_equal(join(&lost), TROVE_OK);
    WAIT_FOR(stream_of(test, "after").acquire_place == 1);
    trove_stream_release(held[0]);
    CHECK_OK(join(&after), &after.error);
    trove_stream_release(after.stream);
    trove_stream_release(held[1]);
    WAIT_FOR(pool_of(test, "two").streams_active == 0);
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
    uint64_t free_ms = time_put(test, NULL, 8 * MIB);
    uint64_t slow_ms = time_put(test, "slow", 8 * MIB); /* at 4 MiB/s */
    assert_true(slow_ms >= 1500);
    assert_true(slow_ms > 3 * free_ms || free_ms > 1000); /* a machine that is that busy tells nothing */
    check_object(test, "timed", test->bytes, 8 * MIB);
}

static void test_bandwidth_of_downloads(void **state) {
    const struct client_test *test = *state;
    trove_stream_options options;
    trove_error error;
    uint8_t *got = malloc(8 * MIB);
    assert_non_null(got);
    put(test, "limited", 8 * MIB);
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
    trove_server_pool pool = pool_of(test, "lean");
    assert_int_equal(pool.memory_budget_bytes, 2 * MIB); /* 8 buffers of 256 KiB */
    assert_int_equal(pool.buffers_max, 8);
    for (int i = 0; i < 12; i++) {
        char key[16];
        snprintf(key, sizeof key, "lean%d", i);
        streams[i] = open_in(test, "lean", key, TROVE_DIRECTION_UPLOAD);
    }
    for (int round = 0; round < 4; round++)
        for (int i = 0; i < 12; i++)
            CHECK_OK(write_bytes(streams[i], test->bytes + (size_t)round * 256 * KIB, 256 * KIB, 0, &error), &error);
    for (int i = 0; i < 12; i++) {
        CHECK_OK(trove_stream_complete(streams[i], 0, NULL, &error), &error);
        trove_stream_release(streams[i]);
    }
    pool = pool_of(test, "lean");
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

/* ---- time-outs ---- */

static trove_status wait_for_end(trove_stream *stream, trove_error *error) {
    WAIT_FOR(trove_stream_state_get(stream) >= TROVE_STREAM_COMPLETED);
    trove_chunk *chunk = NULL;
    return trove_stream_chunk_get(stream, 1, &chunk, error);
}

static void test_timeouts(void **state) {
    const struct client_test *test = *state;
    static const struct {
        const char *name;
        const char *pool;
        bool start;
        bool pause;
        const char *message;
    } rows[] = {
        {"idle", "idle", true, false, "made no progress for 1000 ms, which is the limit of pool \"idle\" (idle_timeout)"},
        {"paused", "paused", true, true, "was paused for 1000 ms, which is the limit of pool \"paused\" (paused_timeout)"},
        {"unstarted", "paused", false, false, "wasn't started within 1000 ms, which is the limit of pool \"paused\""},
        {"whole life", "brief", true, false, "wasn't done within 1000 ms, which is the limit of pool \"brief\" (stream_timeout)"},
        {"whole life, paused", "brief", true, true, "(stream_timeout)"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        print_message("    %s\n", rows[i].name);
        trove_stream_options options;
        trove_stream *stream = NULL;
        trove_error error;
        pool_options(&options, rows[i].pool);
        CHECK_OK(trove_stream_open(test->client, BUCKET, "late", TROVE_DIRECTION_UPLOAD, &options, &stream, &error), &error);
        if (rows[i].start)
            CHECK_OK(trove_stream_start(stream, &error), &error);
        if (rows[i].pause)
            CHECK_OK(trove_stream_control(stream, TROVE_CONTROL_PAUSE, 0, 0, NULL, &error), &error);
        uint64_t begun_ms = now_ms();
        CHECK_FAILS(wait_for_end(stream, &error), DEADLINE_EXCEEDED, rows[i].message, &error);
        assert_true(now_ms() - begun_ms >= 900);
        assert_int_equal(trove_stream_state_get(stream), TROVE_STREAM_FAILED);
        trove_stream_release(stream);
    }
    trove_object_info *info = NULL;
    trove_error error;
    CHECK_FAILS(trove_object_head(test->client, BUCKET, "late", 0, &info, &error), NOT_FOUND, "late", &error);
}

/* The idle clock stands still while the stream is paused. */
static void test_pause_holds_the_idle_clock(void **state) {
    const struct client_test *test = *state;
    trove_stream *stream = open_in(test, "patient", "patient", TROVE_DIRECTION_UPLOAD);
    trove_error error;
    CHECK_OK(write_bytes(stream, test->bytes, 1 * MIB, 0, &error), &error);
    CHECK_OK(trove_stream_control(stream, TROVE_CONTROL_PAUSE, 0, 0, NULL, &error), &error);
    pause_ms(3100); /* three ticks of the server's clock beyond the limit */
    assert_int_equal(stream_of(test, "patient").state, TROVE_STREAM_PAUSED);
    CHECK_OK(trove_stream_control(stream, TROVE_CONTROL_RESUME, 0, 0, NULL, &error), &error);
    CHECK_OK(trove_stream_complete(stream, 0, NULL, &error), &error);
    trove_stream_release(stream);
}

/* ---- control from outside ---- */

static void test_transitions(void **state) {
    const struct client_test *test = *state;
    enum setting {
        IDLE,
        ACTIVE,
        PAUSED,
        COMPLETING
    };
    static const struct {
        const char *name;
        enum setting setting;
        trove_control control;
        trove_status status;
        trove_stream_state state;
        const char *message;
    } rows[] = {
        {"idle pause", IDLE, TROVE_CONTROL_PAUSE, TROVE_FAILED_PRECONDITION, TROVE_STREAM_IDLE, "an idle stream can't be paused"},
        {"idle resume", IDLE, TROVE_CONTROL_RESUME, TROVE_FAILED_PRECONDITION, TROVE_STREAM_IDLE,
         "an idle stream can't be resumed"},
        {"idle cancel", IDLE, TROVE_CONTROL_CANCEL, TROVE_OK, TROVE_STREAM_CANCELLED, ""},
        {"active pause", ACTIVE, TROVE_CONTROL_PAUSE, TROVE_OK, TROVE_STREAM_PAUSED, ""},
        {"active resume", ACTIVE, TROVE_CONTROL_RESUME, TROVE_OK, TROVE_STREAM_ACTIVE, ""},
        {"active cancel", ACTIVE, TROVE_CONTROL_CANCEL, TROVE_OK, TROVE_STREAM_CANCELLED, ""},
        {"paused pause", PAUSED, TROVE_CONTROL_PAUSE, TROVE_OK, TROVE_STREAM_PAUSED, ""},
        {"paused resume", PAUSED, TROVE_CONTROL_RESUME, TROVE_OK, TROVE_STREAM_ACTIVE, ""},
        {"paused cancel", PAUSED, TROVE_CONTROL_CANCEL, TROVE_OK, TROVE_STREAM_CANCELLED, ""},
        {"completing pause", COMPLETING, TROVE_CONTROL_PAUSE, TROVE_FAILED_PRECONDITION, TROVE_STREAM_COMPLETING,
         "a completing stream can't be paused"},
        {"completing resume", COMPLETING, TROVE_CONTROL_RESUME, TROVE_FAILED_PRECONDITION, TROVE_STREAM_COMPLETING,
         "a completing stream can't be resumed"},
        {"completing cancel", COMPLETING, TROVE_CONTROL_CANCEL, TROVE_OK, TROVE_STREAM_CANCELLED, ""},
    };
    put(test, "small", 1000);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        print_message("    %s\n", rows[i].name);
        bool download = rows[i].setting == COMPLETING; /* all was sent, and the program doesn't read it */
        const char *key = download ? "small" : "moved";
        trove_stream *stream = NULL;
        trove_error error = {0};
        trove_stream_state got = TROVE_STREAM_FAILED;
        CHECK_OK(trove_stream_open(test->client, BUCKET, key, download ? TROVE_DIRECTION_DOWNLOAD : TROVE_DIRECTION_UPLOAD, NULL,
                                   &stream, &error),
                 &error);
        if (rows[i].setting != IDLE)
            CHECK_OK(trove_stream_start(stream, &error), &error);
        if (rows[i].setting == PAUSED)
            CHECK_OK(trove_stream_control(stream, TROVE_CONTROL_PAUSE, 0, 0, NULL, &error), &error);
        if (rows[i].setting == ACTIVE) /* the start has no answer that is waited for */
            WAIT_FOR(stream_of(test, key).state == TROVE_STREAM_ACTIVE);
        if (rows[i].setting == COMPLETING)
            WAIT_FOR(stream_of(test, key).state == TROVE_STREAM_COMPLETING);
        uint64_t id = trove_stream_id(stream);
        trove_status status = control(test, id, rows[i].control, &got, &error);
        if (rows[i].status != TROVE_OK) {
            CHECK_FAILS(status, FAILED_PRECONDITION, rows[i].message, &error);
            assert_int_equal(stream_of(test, key).state, rows[i].state);
        } else {
            CHECK_OK(status, &error);
            assert_int_equal(got, rows[i].state);
            WAIT_FOR(trove_stream_state_get(stream) == rows[i].state); /* the client is told */
        }
        if (rows[i].state == TROVE_STREAM_CANCELLED) { /* what has ended is there no more */
            WAIT_FOR(stream_of(test, key).stream_id == 0);
            CHECK_FAILS(control(test, id, TROVE_CONTROL_CANCEL, NULL, &error), NOT_FOUND, "doesn't exist", &error);
        }
        trove_stream_release(stream);
    }
    trove_error error;
    CHECK_FAILS(control(test, 1 << 30, TROVE_CONTROL_PAUSE, NULL, &error), NOT_FOUND, "stream 1073741824 doesn't exist", &error);
    CHECK_FAILS(control(test, 1, TROVE_CONTROL_SEEK, NULL, &error), INVALID_ARGUMENT, "control 4", &error);
}

/* Moves an object on a thread, as fast as it goes. */
struct mover {
    const struct client_test *test;
    trove_stream *stream;
    pthread_t thread;
    size_t size;
    atomic_size_t moved;
    trove_status status;
    trove_error error;
    bool differs;
};

static void *upload(void *context) {
    struct mover *mover = context;
    for (size_t at = 0; at < mover->size && mover->status == TROVE_OK; at += 64 * KIB) {
        mover->status = write_bytes(mover->stream, mover->test->bytes + at, 64 * KIB, PATIENCE_MS, &mover->error);
        atomic_store(&mover->moved, at);
    }
    if (mover->status == TROVE_OK)
        mover->status = trove_stream_complete(mover->stream, PATIENCE_MS, NULL, &mover->error);
    return NULL;
}

static void *download(void *context) {
    struct mover *mover = context;
    for (;;) {
        trove_chunk *chunk = NULL;
        mover->status = trove_stream_read(mover->stream, PATIENCE_MS, &chunk, &mover->error);
        if (mover->status != TROVE_OK || chunk == NULL)
            break;
        mover->differs |= memcmp(mover->test->bytes + chunk->offset, chunk->data, chunk->size) != 0;
        atomic_store(&mover->moved, chunk->offset + chunk->size);
        trove_stream_chunk_put(mover->stream, chunk);
        pause_ms(1); /* so that it isn't over before it is paused */
    }
    if (mover->status == TROVE_OK)
        mover->status = trove_stream_complete(mover->stream, PATIENCE_MS, NULL, &mover->error);
    return NULL;
}

static void begin_moving(struct mover *mover, const struct client_test *test, const char *key, trove_direction direction) {
    trove_stream_options options;
    pool_options(&options, direction == TROVE_DIRECTION_UPLOAD ? "slow" : NULL);
    options.chunk_bytes = 64 * KIB;
    options.channel_chunks = 4;
    *mover = (struct mover){.test = test, .size = 8 * MIB};
    mover->stream = open_stream(test, key, direction, &options);
    assert_int_equal(pthread_create(&mover->thread, NULL, direction == TROVE_DIRECTION_UPLOAD ? upload : download, mover), 0);
}

/* What was under way arrives; then nothing moves any more. Returns how far the stream has come. */
static uint64_t stands_still(const struct client_test *test, const char *key) {
    uint64_t stands = UINT64_MAX;
    for (uint64_t until_ms = now_ms() + PATIENCE_MS; now_ms() < until_ms; pause_ms(200)) {
        uint64_t bytes = stream_of(test, key).bytes;
        if (bytes == stands)
            return stands;
        stands = bytes;
    }
    fail_msg("it goes on though it is paused");
    return stands;
}

static void test_paused_under_way(void **state) {
    const struct client_test *test = *state;
    static const trove_direction directions[] = {TROVE_DIRECTION_UPLOAD, TROVE_DIRECTION_DOWNLOAD};
    put(test, "down", 8 * MIB);
    for (int i = 0; i < 2; i++) {
        const char *key = i == 0 ? "up" : "down";
        struct mover mover;
        trove_error error;
        trove_stream_state got;
        begin_moving(&mover, test, key, directions[i]);
        uint64_t id = trove_stream_id(mover.stream);
        for (int round = 0; round < 3; round++) {
            size_t before = atomic_load(&mover.moved);
            WAIT_FOR(atomic_load(&mover.moved) > before);
            CHECK_OK(control(test, id, TROVE_CONTROL_PAUSE, &got, &error), &error);
            assert_int_equal(got, TROVE_STREAM_PAUSED);
            WAIT_FOR(trove_stream_state_get(mover.stream) == TROVE_STREAM_PAUSED);
            assert_true(stands_still(test, key) < 8 * MIB);
            CHECK_OK(control(test, id, TROVE_CONTROL_RESUME, &got, &error), &error);
            assert_int_equal(got, TROVE_STREAM_ACTIVE);
        }
        assert_int_equal(pthread_join(mover.thread, NULL), 0);
        CHECK_OK(mover.status, &mover.error);
        assert_false(mover.differs);
        trove_stream_release(mover.stream);
    }
    check_object(test, "up", test->bytes, 8 * MIB);
}

static void test_cancelled_under_way(void **state) {
    const struct client_test *test = *state;
    put(test, "down", 8 * MIB);
    for (int i = 0; i < 2; i++) {
        const char *key = i == 0 ? "gone" : "down";
        struct mover mover;
        trove_error error;
        begin_moving(&mover, test, key, i == 0 ? TROVE_DIRECTION_UPLOAD : TROVE_DIRECTION_DOWNLOAD);
        WAIT_FOR(atomic_load(&mover.moved) > 0);
        trove_server_stream before = stream_of(test, key);
        CHECK_OK(control(test, before.stream_id, TROVE_CONTROL_CANCEL, NULL, &error), &error);
        assert_int_equal(pthread_join(mover.thread, NULL), 0);
        CHECK_FAILS(mover.status, CANCELLED, "was cancelled by uid:", &mover.error);
        assert_int_equal(trove_stream_state_get(mover.stream), TROVE_STREAM_CANCELLED);
        trove_stream_release(mover.stream);
    }
    trove_object_info *info = NULL;
    trove_error error;
    CHECK_FAILS(trove_object_head(test->client, BUCKET, "gone", 0, &info, &error), NOT_FOUND, "gone", &error);
}

/* Both ends pause and resume at the same time; in the end both agree, and the bytes arrive. */
static void test_controls_cross(void **state) {
    const struct client_test *test = *state;
    struct mover mover;
    trove_error error;
    begin_moving(&mover, test, "crossed", TROVE_DIRECTION_UPLOAD);
    uint64_t id = trove_stream_id(mover.stream);
    for (int round = 0; round < 50; round++) {
        (void)!control(test, id, round % 2 == 0 ? TROVE_CONTROL_PAUSE : TROVE_CONTROL_RESUME, NULL, &error);
        (void)!trove_stream_control(mover.stream, round % 3 == 0 ? TROVE_CONTROL_PAUSE : TROVE_CONTROL_RESUME, 0, 0, NULL,
                                    &error);
    }
    trove_stream_state got = TROVE_STREAM_FAILED;
    if (control(test, id, TROVE_CONTROL_RESUME, &got, &error) == TROVE_OK)
        assert_true(got == TROVE_STREAM_ACTIVE || got == TROVE_STREAM_COMPLETING);
    assert_int_equal(pthread_join(mover.thread, NULL), 0);
    CHECK_OK(mover.status, &mover.error);
    trove_stream_release(mover.stream);
    check_object(test, "crossed", test->bytes, 8 * MIB);
}

/* ---- statistics ---- */

static void test_pages_of_streams(void **state) {
    const struct client_test *test = *state;
    trove_stream *streams[25];
    trove_error error;
    for (int i = 0; i < 25; i++) {
        char key[16];
        snprintf(key, sizeof key, "page%d", i);
        trove_stream_options small;
        pool_options(&small, i % 5 == 0 ? "counted" : NULL);
        small.chunk_bytes = 64 * KIB;
        small.channel_chunks = 2;
        streams[i] = open_stream(test, key, TROVE_DIRECTION_UPLOAD, &small);
    }
    trove_server_stream_options options;
    trove_server_stream_options_init(&options);
    options.limit = 10;
    uint64_t last_id = 0;
    size_t found = 0;
    for (bool more = true; more;) {
        trove_server_stream_page *page = NULL;
        CHECK_OK(trove_server_stream_list(test->client, &options, &page, &error), &error);
        assert_true(page->count <= 10);
        for (size_t i = 0; i < page->count; i++) {
            assert_true(page->streams[i].stream_id > last_id);
            last_id = page->streams[i].stream_id;
            assert_int_equal(last_id, trove_stream_id(streams[found + i]));
        }
        found += page->count;
        options.after_stream_id = last_id;
        more = page->more;
        assert_int_equal(more, found < 25);
        trove_server_stream_page_free(page);
    }
    assert_int_equal(found, 25);
    trove_server_stream_page *page = NULL;
    options = (trove_server_stream_options){.struct_bytes = sizeof options, .pool = "counted"};
    CHECK_OK(trove_server_stream_list(test->client, &options, &page, &error), &error);
    assert_int_equal(page->count, 5);
    for (size_t i = 0; i < 5; i++) {
        assert_string_equal(page->streams[i].pool, "counted");
        assert_string_equal(page->streams[i].bucket, BUCKET);
        assert_int_equal(strncmp(page->streams[i].principal, "uid:", 4), 0);
    }
    trove_server_stream_page_free(page);
    options.limit = 1001;
    CHECK_FAILS(trove_server_stream_list(test->client, &options, &page, &error), INVALID_ARGUMENT, "1001", &error);
    for (int i = 0; i < 25; i++)
        trove_stream_release(streams[i]);
    WAIT_FOR(stream_of(test, "page24").stream_id == 0);
}

struct count {
    uint64_t bytes;
    uint64_t chunks;
    uint64_t streams;
    uint64_t failed;
    uint64_t cancelled;
};

static void check_count(const struct client_test *test, const struct count *count) {
    WAIT_FOR(pool_of(test, "counted").streams_active == 0);
    trove_server_pool pool = pool_of(test, "counted");
    assert_int_equal(pool.total_bytes, count->bytes);
    assert_int_equal(pool.total_chunks, count->chunks);
    assert_int_equal(pool.total_streams, count->streams);
    assert_int_equal(pool.failed_streams, count->failed);
    assert_int_equal(pool.cancelled_streams, count->cancelled);
    assert_int_equal(pool.acquires_waiting, 0);
    assert_int_equal(pool.waiting_bytes, 0);
    assert_int_equal(pool.retries, 0);
}

/* Up and down, whole and broken off: each chunk and byte is counted here as well. */
static void test_statistics(void **state) {
    const struct client_test *test = *state;
    trove_server_pool before = pool_of(test, "counted");
    struct count count = {before.total_bytes, before.total_chunks, before.total_streams, before.failed_streams,
                          before.cancelled_streams};
    trove_stream_options options;
    trove_error error;
    pool_options(&options, "counted");
    CHECK_OK(trove_put_memory(test->client, BUCKET, "inline", test->bytes, 5000, &options, NULL, &error), &error);
    count.bytes += 5000; /* in one flight: a chunk, and no stream */
    count.chunks++;
    for (unsigned i = 1; i <= 5; i++) {
        trove_stream *stream = open_in(test, "counted", "object", TROVE_DIRECTION_UPLOAD);
        CHECK_OK(write_bytes(stream, test->bytes, i * 100 * KIB, 0, &error), &error); /* chunks of 64 KiB */
        CHECK_OK(trove_stream_complete(stream, 0, NULL, &error), &error);
        trove_stream_release(stream);
        uint64_t whole = (i * 100 * KIB + 64 * KIB - 1) / (64 * KIB);
        count.bytes += i * 100 * KIB;
        count.chunks += whole + 1; /* the empty final chunk */
        count.streams++;
    }
    uint8_t *got = malloc(1 * MIB);
    CHECK_OK(trove_get_memory(test->client, BUCKET, "object", got, 1 * MIB, &options, NULL, NULL, &error), &error);
    free(got);
    count.bytes += 500 * KIB;
    count.chunks += 8;
    count.streams++;
    trove_stream *failed = open_in(test, "counted", "failed", TROVE_DIRECTION_UPLOAD);
    trove_stream_fail(failed, TROVE_ABORTED, "on purpose");
    trove_stream_release(failed);
    count.streams++;
    count.failed++;
    trove_stream *cancelled = open_in(test, "counted", "cancelled", TROVE_DIRECTION_UPLOAD);
    CHECK_OK(trove_stream_control(cancelled, TROVE_CONTROL_CANCEL, 0, 0, NULL, &error), &error);
    trove_stream_release(cancelled);
    count.streams++;
    count.cancelled++;
    check_count(test, &count);
    trove_server_pool pool = pool_of(test, "counted");
    assert_true(pool.latency_p50_ns > 0 && pool.latency_p50_ns <= pool.latency_p90_ns &&
                pool.latency_p90_ns <= pool.latency_p99_ns);
    assert_int_equal(pool.memory_budget_bytes, 8 * MIB);
    assert_int_equal(pool.memory_in_use_bytes, 0);
    assert_int_equal(pool.buffers_allocated, pool.buffers_released);
    assert_true(pool.buffers_allocated > 0);
    WAIT_FOR(pool_of(test, "counted").bytes_per_second > 0);
}

static void test_statistics_of_a_stream(void **state) {
    const struct client_test *test = *state;
    trove_stream_options options;
    trove_error error;
    pool_options(&options, "counted");
    options.size = 2 * MIB;
    trove_stream *stream = open_stream(test, "watched", TROVE_DIRECTION_UPLOAD, &options);
    CHECK_OK(write_bytes(stream, test->bytes, 1 * MIB, 0, &error), &error);
    WAIT_FOR(stream_of(test, "watched").bytes == 1 * MIB);
    trove_server_stream seen = stream_of(test, "watched");
    assert_int_equal(seen.stream_id, trove_stream_id(stream));
    assert_int_equal(seen.direction, TROVE_DIRECTION_UPLOAD);
    assert_int_equal(seen.state, TROVE_STREAM_ACTIVE);
    assert_int_equal(seen.size, 2 * MIB);
    assert_int_equal(seen.chunks, 16);
    assert_int_equal(seen.offset, 1 * MIB);
    assert_int_equal(seen.waiting_bytes, 0);
    assert_int_equal(seen.acquire_place, 0);
    assert_true(seen.bytes_per_second > 0);
    assert_true(seen.latency_p50_ns > 0 && seen.latency_p50_ns <= seen.latency_p99_ns);
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    uint64_t now_ns = (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
    assert_true(seen.started_ns < now_ns && seen.started_ns + UINT64_C(600000000000) > now_ns);
    CHECK_OK(write_bytes(stream, test->bytes + 1 * MIB, 1 * MIB, 0, &error), &error);
    CHECK_OK(trove_stream_complete(stream, 0, NULL, &error), &error);
    trove_stream_release(stream);

    options.size = TROVE_SIZE_UNKNOWN;
    options.range_offset = 300 * KIB;
    options.range_length = 1 * MIB;
    options.channel_chunks = 2;
    trove_stream *down = open_stream(test, "watched", TROVE_DIRECTION_DOWNLOAD, &options);
    for (int i = 0; i < 3; i++) {
        trove_chunk *chunk = NULL;
        CHECK_OK(trove_stream_read(down, 0, &chunk, &error), &error);
        trove_stream_chunk_put(down, chunk);
    }
    WAIT_FOR(stream_of(test, "watched").chunks == 3);
    seen = stream_of(test, "watched");
    assert_int_equal(seen.direction, TROVE_DIRECTION_DOWNLOAD);
    assert_int_equal(seen.size, 1 * MIB);
    assert_true(seen.offset >= 300 * KIB + seen.bytes && seen.offset <= 1324 * KIB);
    assert_true(seen.waiting_bytes > 0 && seen.latency_p99_ns > 0);
    trove_stream_release(down);
    WAIT_FOR(stream_of(test, "watched").stream_id == 0);
}

int main(int argc, char **argv) {
    client_test_arguments(argc, argv);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_full_pool_waits_in_order),
        cmocka_unit_test(test_deadline_of_waiting),
        cmocka_unit_test(test_lost_connection_leaves_the_queue),
        cmocka_unit_test(test_unknown_pool),
        cmocka_unit_test(test_bandwidth),
        cmocka_unit_test(test_bandwidth_of_downloads),
        cmocka_unit_test(test_bandwidth_of_small_objects),
        cmocka_unit_test(test_memory_of_its_own),
        cmocka_unit_test(test_timeouts),
        cmocka_unit_test(test_pause_holds_the_idle_clock),
        cmocka_unit_test(test_transitions),
        cmocka_unit_test(test_paused_under_way),
        cmocka_unit_test(test_cancelled_under_way),
        cmocka_unit_test(test_controls_cross),
        cmocka_unit_test(test_pages_of_streams),
        cmocka_unit_test(test_statistics),
        cmocka_unit_test(test_statistics_of_a_stream),
    };
    return cmocka_run_group_tests(tests, begin, client_test_end);
}
