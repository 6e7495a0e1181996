/* test_stream_hooks.c - a stream's hooks without a server: sets, drops put together, rings that can't overflow, the one end.
 *
 * The hook thread is a real one. What must happen before it runs is done under the client's lock, which it takes first; ending it
 * runs everything that was queued.
 */
#include "unit.h"

#include "elsewhere.h"
#include "stream.h"
#include "wait.h"

#include <sched.h>

#define CHANNEL_CHUNKS 4
#define EVENTS_MAX     4096

enum event {
    EVENT_CHUNK,
    EVENT_DROP,
    EVENT_PROGRESS,
    EVENT_COMPLETE,
    EVENT_ERROR,
    EVENT_SEEK,
};

struct fixture;

/* What one set of hooks was told. */
struct told {
    struct fixture *fixture;
    unsigned count;
    enum event events[EVENTS_MAX];
    uint64_t indexes[EVENTS_MAX]; /* of chunks; of a seek its offset */
    trove_drop drops[EVENTS_MAX];
    unsigned locked; /* calls that came under the lock */
};

struct fixture {
    struct trove_client client;
    trove_stream *stream;
    struct told told[TROVE_HOOKS_MAX + 1];
    bool ended;
};

static void note(struct told *told, enum event event) {
    MUST(told->count < EVENTS_MAX);
    told->events[told->count++] = event;
    if (pthread_mutex_lock(&told->fixture->client.lock) != 0) /* it checks: this very thread has it already */
        told->locked++;
    else
        pthread_mutex_unlock(&told->fixture->client.lock);
}

static void on_chunk(void *context, const trove_chunk_ack *ack) {
    struct told *told = context;
    told->indexes[told->count] = ack->index;
    note(told, EVENT_CHUNK);
}

static void on_drop(void *context, const trove_drop *drop) {
    struct told *told = context;
    told->drops[told->count] = *drop;
    note(told, EVENT_DROP);
}

static void on_progress(void *context, const trove_progress *progress) {
    (void)progress;
    note(context, EVENT_PROGRESS);
}

static void on_complete(void *context, const trove_object_info *info) {
    (void)info;
    note(context, EVENT_COMPLETE);
}

static void on_error(void *context, const trove_error *error) {
    MUST(error->status == TROVE_ABORTED);
    note(context, EVENT_ERROR);
}

static void on_seek(void *context, uint64_t offset) {
    struct told *told = context;
    told->indexes[told->count] = offset;
    note(told, EVENT_SEEK);
}

static trove_stream_hooks all_hooks(struct told *told) {
    return (trove_stream_hooks){told, on_progress, on_chunk, on_complete, on_error, on_drop, NULL, on_seek};
}

static int begin(void **state) {
    struct fixture *fixture = calloc(1, sizeof *fixture);
    trove_stream *stream = calloc(1, sizeof *stream);
    trove_error error;
    assert_non_null(fixture);
    assert_non_null(stream);
    pthread_mutexattr_t checking;
    pthread_mutexattr_init(&checking);
    pthread_mutexattr_settype(&checking, PTHREAD_MUTEX_ERRORCHECK);
    pthread_mutex_init(&fixture->client.lock, &checking);
    pthread_mutexattr_destroy(&checking);
    tvc_job_thread_init(&fixture->client.hooks);
    assert_int_equal(tvc_job_thread_start(&fixture->client.hooks, &error), TROVE_OK);
    stream->client = &fixture->client;
    stream->direction = TROVE_DIRECTION_UPLOAD;
    stream->state = TROVE_STREAM_ACTIVE;
    stream->bucket = strdup("media");
    stream->key = strdup("film");
    stream->opened = true;
    stream->channel_chunks = CHANNEL_CHUNKS;
    stream->upload.size = TROVE_SIZE_UNKNOWN;
    tvc_cond_init(&stream->changed);
    atomic_init(&stream->references, 1);
    for (unsigned i = 0; i <= TROVE_HOOKS_MAX; i++)
        fixture->told[i].fixture = fixture;
    fixture->stream = stream;
    *state = fixture;
    return 0;
}

/* Runs what is queued. */
static void run_hooks(struct fixture *fixture) {
    if (!fixture->ended)
        tvc_job_thread_end(&fixture->client.hooks);
    fixture->ended = true;
    for (unsigned i = 0; i <= TROVE_HOOKS_MAX; i++)
        assert_int_equal(fixture->told[i].locked, 0);
}

static int end(void **state) {
    struct fixture *fixture = *state;
    trove_stream *stream = fixture->stream;
    run_hooks(fixture);
    assert_int_equal(atomic_load(&stream->references), 1); /* each queued job has given its own back */
    tvc_stream_hooks_fini(&stream->hooks);
    tvc_job_thread_fini(&fixture->client.hooks);
    pthread_cond_destroy(&stream->changed);
    pthread_mutex_destroy(&fixture->client.lock);
    free(stream->bucket);
    free(stream->key);
    free(stream);
    free(fixture);
    return 0;
}

/* The set of the stream's options. */
static void set_up(struct fixture *fixture) {
    const trove_stream_hooks hooks = all_hooks(&fixture->told[0]);
    trove_error error;
    tvc_stream_hooks_init(fixture->stream, &hooks);
    assert_int_equal(tvc_stream_hooks_size(fixture->stream, &error), TROVE_OK);
}

static void add_set(struct fixture *fixture, unsigned at) {
    const trove_stream_hooks hooks = all_hooks(&fixture->told[at]);
    trove_error error;
    assert_int_equal(trove_stream_hooks_add(fixture->stream, &hooks, &error), TROVE_OK);
}

static void lock(struct fixture *fixture) {
    pthread_mutex_lock(&fixture->client.lock);
}

static void unlock(struct fixture *fixture) {
    pthread_mutex_unlock(&fixture->client.lock);
}

/* Under the lock. */
static void fail_stream(struct fixture *fixture) {
    fixture->stream->state = TROVE_STREAM_FAILED;
    TV_FAIL(&fixture->stream->error, ABORTED, "as the test wants it");
    tvc_stream_hooks_ended(fixture->stream);
}

/* Chunks of 10 bytes. Under the lock. */
static void drop_chunks(trove_stream *stream, trove_direction direction, uint64_t index, uint64_t count) {
    trove_drop drop = {.first_index = index, .count = count, .offset = index * 10, .length = count * 10, .direction = direction};
    tvc_stream_hooks_drop(stream, &drop);
    assert_int_equal(drop.total_chunks, stream->counts.dropped.chunks);
}

static void check_drop(const trove_drop *drop, uint64_t index, uint64_t count, uint64_t total) {
    assert_int_equal(drop->first_index, index);
    assert_int_equal(drop->count, count);
    assert_int_equal(drop->offset, index * 10);
    assert_int_equal(drop->length, count * 10);
    assert_int_equal(drop->total_chunks, total);
    assert_int_equal(drop->total_bytes, total * 10);
}

/* ---- drops ---- */

static void test_neighbours_merge(void **state) {
    struct fixture *fixture = *state;
    struct told *told = &fixture->told[0];
    set_up(fixture);
    lock(fixture);
    drop_chunks(fixture->stream, TROVE_DIRECTION_UPLOAD, 3, 1);
    drop_chunks(fixture->stream, TROVE_DIRECTION_UPLOAD, 4, 2);
    drop_chunks(fixture->stream, TROVE_DIRECTION_UPLOAD, 7, 1); /* chunk 6 was sent */
    drop_chunks(fixture->stream, TROVE_DIRECTION_UPLOAD, 8, 1);
    unlock(fixture);
    run_hooks(fixture);
    assert_int_equal(told->count, 2);
    check_drop(&told->drops[0], 3, 3, 3);
    check_drop(&told->drops[1], 7, 2, 5);
    assert_int_equal(fixture->stream->counts.dropped.chunks, 5);
    assert_int_equal(fixture->stream->counts.dropped.bytes, 50);
}

/* What was lost on the way up is no neighbour of what was lost on the way down, whatever the numbers. */
static void test_ways_are_told_apart(void **state) {
    struct fixture *fixture = *state;
    const struct told *told = &fixture->told[0];
    fixture->stream->direction = TROVE_DIRECTION_BIDI;
    set_up(fixture);
    lock(fixture);
    drop_chunks(fixture->stream, TROVE_DIRECTION_UPLOAD, 3, 1);
    drop_chunks(fixture->stream, TROVE_DIRECTION_DOWNLOAD, 4, 1);
    drop_chunks(fixture->stream, TROVE_DIRECTION_DOWNLOAD, 5, 1);
    unlock(fixture);
    run_hooks(fixture);
    assert_int_equal(told->count, 2);
    assert_int_equal(told->drops[0].direction, TROVE_DIRECTION_UPLOAD);
    check_drop(&told->drops[0], 3, 1, 1);
    assert_int_equal(told->drops[1].direction, TROVE_DIRECTION_DOWNLOAD);
    check_drop(&told->drops[1], 4, 2, 3);
}

/* The rings have room for what the windows of both ways may hold, and as much again. */
static void test_rings_of_two_ways(void **state) {
    struct fixture *fixture = *state;
    fixture->stream->direction = TROVE_DIRECTION_BIDI;
    set_up(fixture);
    assert_true(fixture->stream->hooks.ack_ring.capacity >= 2 * (2 * CHANNEL_CHUNKS + 1));
    assert_true(fixture->stream->hooks.drop_ring.capacity >= 2 * (2 * CHANNEL_CHUNKS + 1));
}

/* Drops are counted where nobody wants to be told, too, and cost no memory then. */
static void test_drop_without_hook(void **state) {
    struct fixture *fixture = *state;
    trove_stream_hooks hooks = {.context = &fixture->told[0], .on_chunk = on_chunk};
    trove_error error;
    tvc_stream_hooks_init(fixture->stream, &hooks);
    assert_int_equal(tvc_stream_hooks_size(fixture->stream, &error), TROVE_OK);
    lock(fixture);
    for (uint64_t i = 0; i < 1000; i++)
        drop_chunks(fixture->stream, TROVE_DIRECTION_UPLOAD, 2 * i, 1);
    assert_true(tvc_stream_hooks_keep_up(fixture->stream));
    unlock(fixture);
    assert_null(fixture->stream->hooks.drops);
    assert_int_equal(fixture->stream->counts.dropped.chunks, 1000);
}

/* A writer that asks before each write, as it must, may go on for ever: nothing is lost, and all comes in order. */
static void test_random_drops(void **state) {
    struct fixture *fixture = *state;
    const struct told *told = &fixture->told[0];
    uint64_t random = unit_seed();
    uint64_t index = 0;
    uint64_t dropped = 0;
    set_up(fixture);
    lock(fixture);
    for (int i = 0; i < 2000; i++) {
        while (!tvc_stream_hooks_keep_up(fixture->stream))
            pthread_cond_wait(&fixture->stream->changed, &fixture->client.lock);
        uint64_t count = 1 + unit_random(&random) % 3;
        index += unit_random(&random) % 2;
        drop_chunks(fixture->stream, TROVE_DIRECTION_UPLOAD, index, count);
        index += count;
        dropped += count;
    }
    fail_stream(fixture);
    unlock(fixture);
    run_hooks(fixture);
    uint64_t seen = 0;
    uint64_t next = 0;
    for (unsigned i = 0; i < told->count; i++) {
        if (told->events[i] != EVENT_DROP)
            continue;
        assert_true(told->drops[i].first_index >= next);
        next = told->drops[i].first_index + told->drops[i].count;
        seen += told->drops[i].count;
        check_drop(&told->drops[i], told->drops[i].first_index, told->drops[i].count, seen);
    }
    assert_int_equal(seen, dropped);
    assert_int_equal(told->events[told->count - 1], EVENT_ERROR);
}

/* ---- several sets ---- */

static void acknowledge(struct fixture *fixture, uint64_t index) {
    const trove_chunk_ack ack = {.index = index};
    tvc_stream_hooks_chunk(fixture->stream, &ack);
}

/* A set is told of what comes after it was added, drops that would have been put together included. */
static void test_late_set(void **state) {
    struct fixture *fixture = *state;
    trove_stream *stream = fixture->stream;
    set_up(fixture);
    lock(fixture);
    acknowledge(fixture, 0);
    drop_chunks(stream, TROVE_DIRECTION_UPLOAD, 1, 1);
    unlock(fixture); /* the hook thread may or may not run in between: the late set must not see the difference */
    add_set(fixture, 1);
    lock(fixture);
    drop_chunks(stream, TROVE_DIRECTION_UPLOAD, 2, 1);
    drop_chunks(stream, TROVE_DIRECTION_UPLOAD, 3, 1);
    acknowledge(fixture, 4);
    fail_stream(fixture);
    unlock(fixture);
    run_hooks(fixture);
    const struct told *late = &fixture->told[1];
    assert_int_equal(late->count, 4); /* a chunk, a drop, the last progress, the end */
    assert_int_equal(late->events[0], EVENT_CHUNK);
    assert_int_equal(late->indexes[0], 4);
    assert_int_equal(late->events[1], EVENT_DROP);
    check_drop(&late->drops[1], 2, 2, 3);
    assert_int_equal(late->events[2], EVENT_PROGRESS);
    assert_int_equal(late->events[3], EVENT_ERROR);
    const struct told *first = &fixture->told[0];
    unsigned chunks = 0;
    for (unsigned i = 0; i < first->count; i++)
        chunks += first->events[i] == EVENT_CHUNK;
    assert_int_equal(chunks, 2);
}

/* A move comes behind what was acknowledged before it and before what is after it, however much that is; of several that wait the
 * newest is told. */
static void test_seek_in_its_place(void **state) {
    struct fixture *fixture = *state;
    const struct told *told = &fixture->told[0];
    set_up(fixture);
    lock(fixture);
    for (uint64_t i = 0; i < CHANNEL_CHUNKS; i++)
        acknowledge(fixture, 10 + i);
    tvc_stream_hooks_moved(fixture->stream, 700);
    tvc_stream_hooks_moved(fixture->stream, 500);
    for (uint64_t i = 0; i < CHANNEL_CHUNKS; i++)
        acknowledge(fixture, i);
    fail_stream(fixture);
    unlock(fixture);
    run_hooks(fixture);
    assert_int_equal(told->count, 2 * CHANNEL_CHUNKS + 3); /* with the last progress and the end */
    for (unsigned i = 0; i < CHANNEL_CHUNKS; i++) {
        assert_int_equal(told->events[i], EVENT_CHUNK);
        assert_int_equal(told->indexes[i], 10 + i);
    }
    assert_int_equal(told->events[CHANNEL_CHUNKS], EVENT_SEEK);
    assert_int_equal(told->indexes[CHANNEL_CHUNKS], 500);
    for (unsigned i = 0; i < CHANNEL_CHUNKS; i++) {
        assert_int_equal(told->events[CHANNEL_CHUNKS + 1 + i], EVENT_CHUNK);
        assert_int_equal(told->indexes[CHANNEL_CHUNKS + 1 + i], i);
    }
    assert_int_equal(told->events[told->count - 1], EVENT_ERROR);
}

static void test_every_set_ends_once(void **state) {
    struct fixture *fixture = *state;
    trove_error error;
    set_up(fixture);
    for (unsigned i = 1; i < TROVE_HOOKS_MAX; i++)
        add_set(fixture, i);
    const trove_stream_hooks one_too_many = all_hooks(&fixture->told[TROVE_HOOKS_MAX]);
    assert_int_equal(trove_stream_hooks_add(fixture->stream, &one_too_many, &error), TROVE_RESOURCE_EXHAUSTED);
    assert_non_null(strstr(error.message, "8 sets"));
    lock(fixture);
    for (uint64_t i = 0; i < CHANNEL_CHUNKS; i++)
        acknowledge(fixture, i);
    fail_stream(fixture);
    unlock(fixture);
    run_hooks(fixture);
    for (unsigned i = 0; i < TROVE_HOOKS_MAX; i++) {
        const struct told *told = &fixture->told[i];
        assert_int_equal(told->count, CHANNEL_CHUNKS + 2);
        for (unsigned chunk = 0; chunk < CHANNEL_CHUNKS; chunk++)
            assert_int_equal(told->indexes[chunk], chunk);
        assert_int_equal(told->events[CHANNEL_CHUNKS], EVENT_PROGRESS);
        assert_int_equal(told->events[CHANNEL_CHUNKS + 1], EVENT_ERROR);
    }
    assert_int_equal(fixture->told[TROVE_HOOKS_MAX].count, 0);
}

static void test_refused(void **state) {
    struct fixture *fixture = *state;
    const trove_stream_hooks good = all_hooks(&fixture->told[1]);
    const trove_stream_hooks empty = {.context = fixture};
    trove_error error;
    assert_int_equal(trove_stream_hooks_add(NULL, &good, &error), TROVE_INVALID_ARGUMENT);
    assert_int_equal(trove_stream_hooks_add(fixture->stream, NULL, &error), TROVE_INVALID_ARGUMENT);
    assert_int_equal(trove_stream_hooks_add(fixture->stream, &empty, &error), TROVE_INVALID_ARGUMENT);
    lock(fixture);
    fail_stream(fixture);
    unlock(fixture);
    assert_int_equal(trove_stream_hooks_add(fixture->stream, &good, &error), TROVE_FAILED_PRECONDITION);
    assert_non_null(strstr(error.message, "failed"));
    run_hooks(fixture);
    assert_int_equal(fixture->told[1].count, 0);
}

/* ---- keeping up ---- */

static void test_half_full(void **state) {
    struct fixture *fixture = *state;
    set_up(fixture);
    lock(fixture);
    for (uint64_t i = 0; i <= CHANNEL_CHUNKS; i++) {
        acknowledge(fixture, i);
        assert_true(tvc_stream_hooks_keep_up(fixture->stream));
    }
    acknowledge(fixture, CHANNEL_CHUNKS + 1);
    assert_false(tvc_stream_hooks_keep_up(fixture->stream));
    for (uint64_t i = 0; i < CHANNEL_CHUNKS; i++) /* what was under way */
        acknowledge(fixture, CHANNEL_CHUNKS + 2 + i);
    trove_error error;
    assert_int_equal(tvc_stream_hooks_may_wait(fixture->stream, &error), TROVE_OK); /* not the hook thread */
    unlock(fixture);
    run_hooks(fixture);
    assert_true(tvc_stream_hooks_keep_up(fixture->stream));
    assert_int_equal(fixture->told[0].count, 2 * CHANNEL_CHUNKS + 2);
}

struct gate {
    atomic_bool entered;
    atomic_bool open;
};

static void wait_at_gate(void *context, const trove_drop *drop) {
    struct gate *gate = context;
    (void)drop;
    atomic_store(&gate->entered, true);
    while (!atomic_load(&gate->open))
        sched_yield();
}

/* Losses side by side that would be put together, but for the sets that are added in between: while the hook thread is in a hook,
 * and the ring as full as it may be. */
static void test_sets_added_between_drops(void **state) {
    struct fixture *fixture = *state;
    trove_stream *stream = fixture->stream;
    struct gate gate = {0};
    const trove_stream_hooks hooks = {.context = &gate, .on_drop = wait_at_gate};
    trove_error error;
    uint64_t index = 0;
    tvc_stream_hooks_init(stream, &hooks);
    assert_int_equal(tvc_stream_hooks_size(stream, &error), TROVE_OK);
    lock(fixture);
    drop_chunks(stream, TROVE_DIRECTION_UPLOAD, 2 * index++, 1);
    unlock(fixture);
    while (!atomic_load(&gate.entered))
        sched_yield();
    lock(fixture);
    while (tvc_stream_hooks_keep_up(stream))
        drop_chunks(stream, TROVE_DIRECTION_UPLOAD, 2 * index++, 1);
    for (uint64_t i = 0; i < CHANNEL_CHUNKS; i++) /* what was under way: a loss between any two of them */
        drop_chunks(stream, TROVE_DIRECTION_UPLOAD, 2 * index++, 1);
    for (unsigned i = 1; i < TROVE_HOOKS_MAX; i++) {
        unlock(fixture);
        add_set(fixture, i);
        lock(fixture);
        drop_chunks(stream, TROVE_DIRECTION_UPLOAD, 2 * index - 2 + i, 1);
    }
    fail_stream(fixture);
    unlock(fixture);
    atomic_store(&gate.open, true);
    run_hooks(fixture);
    assert_int_equal(stream->counts.dropped.chunks, index + TROVE_HOOKS_MAX - 1);
    assert_int_equal(fixture->told[TROVE_HOOKS_MAX - 1].drops[0].count, 1);
}

struct asker {
    struct fixture *fixture;
    trove_status status;
};

static void ask_in_hook(void *context, const trove_drop *drop) {
    struct asker *asker = context;
    trove_error error;
    (void)drop;
    lock(asker->fixture);
    for (uint64_t i = 0; i <= CHANNEL_CHUNKS + 1; i++)
        acknowledge(asker->fixture, i);
    asker->status = tvc_stream_hooks_may_wait(asker->fixture->stream, &error);
    unlock(asker->fixture);
}

/* The hook thread can't wait for itself. */
static void test_wait_in_hook(void **state) {
    struct fixture *fixture = *state;
    struct asker asker = {.fixture = fixture};
    const trove_stream_hooks hooks = {.context = &asker, .on_drop = ask_in_hook};
    trove_error error;
    set_up(fixture);
    assert_int_equal(trove_stream_hooks_add(fixture->stream, &hooks, &error), TROVE_OK);
    lock(fixture);
    drop_chunks(fixture->stream, TROVE_DIRECTION_UPLOAD, 0, 1);
    unlock(fixture);
    run_hooks(fixture);
    assert_int_equal(asker.status, TROVE_RESOURCE_EXHAUSTED);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_neighbours_merge, begin, end),
        cmocka_unit_test_setup_teardown(test_ways_are_told_apart, begin, end),
        cmocka_unit_test_setup_teardown(test_rings_of_two_ways, begin, end),
        cmocka_unit_test_setup_teardown(test_drop_without_hook, begin, end),
        cmocka_unit_test_setup_teardown(test_random_drops, begin, end),
        cmocka_unit_test_setup_teardown(test_late_set, begin, end),
        cmocka_unit_test_setup_teardown(test_seek_in_its_place, begin, end),
        cmocka_unit_test_setup_teardown(test_every_set_ends_once, begin, end),
        cmocka_unit_test_setup_teardown(test_refused, begin, end),
        cmocka_unit_test_setup_teardown(test_half_full, begin, end),
        cmocka_unit_test_setup_teardown(test_sets_added_between_drops, begin, end),
        cmocka_unit_test_setup_teardown(test_wait_in_hook, begin, end),
    };
    return cmocka_run_group_tests_name("stream hooks", tests, NULL, NULL);
}
