/* test_client_two_way.c - streams that go both ways, through libtrove and a real troved: every byte of both ways, each way while
 * the other stands still, and whatever ends them.
 *
 * What comes down is `test->bytes`, what goes up the same from another place on, so that the two can't be mistaken for each
 * other.
 */
#include "client_test.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#define CHUNK (64 * KIB)

static trove_stream_options small_options(void) {
    trove_stream_options options;
    trove_stream_options_init(&options);
    options.chunk_bytes = CHUNK;
    options.channel_chunks = 4;
    return options;
}

/* What goes up. */
static const uint8_t *upwards(const struct client_test *test) {
    return test->bytes + 1 * MIB + 1;
}

static void put_old(const struct client_test *test, const char *key, size_t size) {
    trove_error error;
    CHECK_OK(trove_put_memory(test->client, BUCKET, key, test->bytes, size, NULL, NULL, &error), &error);
}

static void write_some(trove_stream *stream, const uint8_t *bytes, size_t size, bool final) {
    trove_chunk *chunk = NULL;
    trove_error error;
    CHECK_OK(trove_stream_chunk_get(stream, 0, &chunk, &error), &error);
    assert_true(size <= chunk->capacity);
    memcpy(chunk->data, bytes, size);
    chunk->size = size;
    chunk->final = final;
    CHECK_OK(trove_stream_write(stream, &chunk, 0, &error), &error);
}

/* Reads the next chunk and compares it; false: the end. */
static bool read_some(trove_stream *stream, const uint8_t *expected) {
    trove_chunk *chunk = NULL;
    trove_error error;
    uint64_t at = trove_stream_read_offset(stream);
    CHECK_OK(trove_stream_read(stream, 0, &chunk, &error), &error);
    if (chunk == NULL)
        return false;
    assert_int_equal(chunk->offset, at);
    assert_true(memcmp(chunk->data, expected + at, chunk->size) == 0);
    trove_stream_chunk_put(stream, chunk);
    return true;
}

static void read_all(trove_stream *stream, const uint8_t *expected, size_t size) {
    while (read_some(stream, expected))
        continue;
    assert_int_equal(trove_stream_read_offset(stream), size);
}

static void check_sums(const trove_stream *stream, trove_stream_metrics *m) {
    trove_stream_metrics_get(stream, m);
    assert_int_equal(m->bytes_accepted,
                     m->bytes_acknowledged + m->bytes_dropped + m->bytes_queued + m->bytes_in_flight + m->bytes_abandoned);
    assert_int_equal(m->chunks_accepted,
                     m->chunks_acknowledged + m->chunks_dropped + m->chunks_queued + m->chunks_in_flight + m->chunks_abandoned);
    if (m->state >= TROVE_STREAM_COMPLETED)
        assert_int_equal(m->bytes_waiting, 0);
}

/* ---- both ways ---- */

static const struct size_row {
    const char *name;
    size_t down;
    size_t up;
} size_rows[] = {
    {"a byte each", 1, 1},
    {"nothing up, something down", 100 * KIB, 0},
    {"nothing down, something up", 0, 100 * KIB},
    {"inside a chunk", CHUNK - 1, 1000},
    {"around blocks", 256 * KIB + 1, 512 * KIB - 1},
    {"large, more up", 3 * MIB, 20 * MIB},
    {"large, more down", 20 * MIB, 3 * MIB},
};

/* A chunk up, a chunk down, as long as there are any. */
static void test_one_thread(void **state) {
    const struct client_test *test = *state;
    for (size_t i = 0; i < sizeof size_rows / sizeof size_rows[0]; i++) {
        const struct size_row *row = &size_rows[i];
        const trove_stream_options options = small_options();
        trove_stream_metrics metrics;
        trove_error error;
        trove_object_info *info = NULL;
        print_message("    %s\n", row->name);
        put_old(test, "one", row->down);
        trove_stream *stream = open_stream(test, "one", TROVE_DIRECTION_BIDI, &options);
        assert_int_equal(trove_stream_object(stream)->size, row->down);
        uint64_t generation = trove_stream_object(stream)->generation;
        bool more = true;
        for (size_t at = 0; more || at < row->up;) {
            size_t size = row->up - at < CHUNK ? row->up - at : CHUNK;
            if (size > 0)
                write_some(stream, upwards(test) + at, size, false);
            at += size;
            more = more && read_some(stream, test->bytes);
            check_sums(stream, &metrics);
        }
        assert_int_equal(trove_stream_read_offset(stream), row->down);
        assert_int_equal(trove_stream_offset(stream), row->up);
        CHECK_OK(trove_stream_complete(stream, 0, &info, &error), &error);
        assert_int_equal(info->size, row->up);
        assert_true(info->generation > generation);
        assert_int_equal(trove_stream_object(stream)->generation, info->generation);
        trove_object_info_free(info);
        check_sums(stream, &metrics);
        assert_int_equal(metrics.state, TROVE_STREAM_COMPLETED);
        assert_int_equal(metrics.direction, TROVE_DIRECTION_BIDI);
        assert_int_equal(metrics.bytes_received, row->down);
        assert_int_equal(metrics.bytes_acknowledged, row->down + row->up);
        trove_stream_release(stream);
        check_object(test, "one", upwards(test), row->up);
    }
}

struct writer {
    const struct client_test *test;
    trove_stream *stream;
    size_t size;
    trove_status status;
    trove_error error;
    pthread_t thread;
};

static void *write_in_thread(void *argument) {
    struct writer *writer = argument;
    writer->status = write_bytes(writer->stream, upwards(writer->test), writer->size, 0, &writer->error);
    if (writer->status == TROVE_OK)
        writer->status = trove_stream_complete(writer->stream, 0, NULL, &writer->error);
    return NULL;
}

/* One thread writes and completes, the other one reads; its end is what lets the first one come back. */
static void test_two_threads(void **state) {
    const struct client_test *test = *state;
    for (size_t i = 0; i < sizeof size_rows / sizeof size_rows[0]; i++) {
        const struct size_row *row = &size_rows[i];
        const trove_stream_options options = small_options();
        print_message("    %s\n", row->name);
        put_old(test, "two", row->down);
        struct writer writer = {
            .test = test, .stream = open_stream(test, "two", TROVE_DIRECTION_BIDI, &options), .size = row->up};
        pthread_create(&writer.thread, NULL, write_in_thread, &writer);
        read_all(writer.stream, test->bytes, row->down);
        pthread_join(writer.thread, NULL);
        CHECK_OK(writer.status, &writer.error);
        trove_stream_release(writer.stream);
        check_object(test, "two", upwards(test), row->up);
    }
}

/* Large chunks as the library has them by default, and none at all. */
static void test_usual_options(void **state) {
    const struct client_test *test = *state;
    trove_error error;
    put_old(test, "usual", 10 * MIB + 3);
    struct writer writer = {.test = test, .stream = open_stream(test, "usual", TROVE_DIRECTION_BIDI, NULL), .size = 22 * MIB};
    pthread_create(&writer.thread, NULL, write_in_thread, &writer);
    read_all(writer.stream, test->bytes, 10 * MIB + 3);
    pthread_join(writer.thread, NULL);
    CHECK_OK(writer.status, &writer.error);
    trove_stream_release(writer.stream);
    check_object(test, "usual", upwards(test), 22 * MIB);
    trove_stream *stream = open_stream(test, "usual", TROVE_DIRECTION_BIDI, NULL);
    read_all(stream, upwards(test), 22 * MIB);
    CHECK_OK(trove_stream_complete(stream, 0, NULL, &error), &error);
    trove_stream_release(stream);
    check_object(test, "usual", test->bytes, 0);
}

static void test_object_absent(void **state) {
    const struct client_test *test = *state;
    const trove_stream_options options = small_options();
    trove_error error;
    trove_stream *stream = open_stream(test, "absent", TROVE_DIRECTION_BIDI, &options);
    assert_null(trove_stream_object(stream));
    assert_false(read_some(stream, test->bytes));
    CHECK_OK(write_bytes(stream, upwards(test), 1 * MIB, 0, &error), &error);
    CHECK_OK(trove_stream_complete(stream, 0, NULL, &error), &error);
    assert_int_equal(trove_stream_object(stream)->size, 1 * MIB);
    trove_stream_release(stream);
    check_object(test, "absent", upwards(test), 1 * MIB);
    CHECK_FAILS(trove_stream_open(test->client, "nowhere", "absent", TROVE_DIRECTION_BIDI, NULL, &stream, &error), NOT_FOUND,
                "nowhere", &error);
}

/* A part of the object comes down; what goes up is the whole next one all the same. */
static void test_range(void **state) {
    const struct client_test *test = *state;
    trove_stream_options options = small_options();
    trove_error error;
    put_old(test, "ranged", 3 * MIB);
    options.range_offset = 1 * MIB + 5;
    options.range_length = 1 * MIB;
    trove_stream *stream = open_stream(test, "ranged", TROVE_DIRECTION_BIDI, &options);
    assert_int_equal(trove_stream_read_offset(stream), 1 * MIB + 5);
    assert_int_equal(trove_stream_offset(stream), 0);
    read_all(stream, test->bytes, 2 * MIB + 5);
    CHECK_OK(write_bytes(stream, upwards(test), 2 * MIB, 0, &error), &error);
    CHECK_OK(trove_stream_complete(stream, 0, NULL, &error), &error);
    trove_stream_release(stream);
    check_object(test, "ranged", upwards(test), 2 * MIB);
}

/* ---- one way while the other stands still ---- */

/* All is written before anything is read: some forty windows. */
static void test_nobody_reads(void **state) {
    const struct client_test *test = *state;
    const trove_stream_options options = small_options();
    trove_error error;
    put_old(test, "still", 5 * MIB);
    trove_stream *stream = open_stream(test, "still", TROVE_DIRECTION_BIDI, &options);
    CHECK_OK(write_bytes(stream, upwards(test), 10 * MIB, 0, &error), &error);
    CHECK_FAILS(trove_stream_complete(stream, 200, NULL, &error), DEADLINE_EXCEEDED, "the way down", &error);
    assert_int_equal(trove_stream_state_get(stream), TROVE_STREAM_ACTIVE);
    read_all(stream, test->bytes, 5 * MIB);
    CHECK_OK(trove_stream_complete(stream, 0, NULL, &error), &error);
    trove_stream_release(stream);
    check_object(test, "still", upwards(test), 10 * MIB);
}

/* Nothing is written before all was read. */
static void test_nobody_writes(void **state) {
    const struct client_test *test = *state;
    const trove_stream_options options = small_options();
    trove_error error;
    put_old(test, "still", 10 * MIB);
    trove_stream *stream = open_stream(test, "still", TROVE_DIRECTION_BIDI, &options);
    read_all(stream, test->bytes, 10 * MIB);
    assert_int_equal(trove_stream_state_get(stream), TROVE_STREAM_ACTIVE);
    CHECK_OK(write_bytes(stream, upwards(test), 5 * MIB, 0, &error), &error);
    CHECK_OK(trove_stream_complete(stream, 0, NULL, &error), &error);
    trove_stream_release(stream);
    check_object(test, "still", upwards(test), 5 * MIB);
}

/* The program keeps every chunk of one way that there is; the other one doesn't notice. */
static void test_kept_chunks(void **state) {
    const struct client_test *test = *state;
    const trove_stream_options options = small_options();
    trove_chunk *kept[4] = {NULL};
    trove_chunk *mine[6] = {NULL};
    trove_error error;
    put_old(test, "kept", 5 * MIB);
    trove_stream *stream = open_stream(test, "kept", TROVE_DIRECTION_BIDI, &options);
    for (int i = 0; i < 4; i++)
        CHECK_OK(trove_stream_read(stream, 0, &kept[i], &error), &error);
    CHECK_OK(write_bytes(stream, upwards(test), 5 * MIB, 0, &error), &error);
    for (int i = 0; i < 4; i++) {
        assert_true(memcmp(kept[i]->data, test->bytes + kept[i]->offset, kept[i]->size) == 0);
        trove_stream_chunk_put(stream, kept[i]);
    }
    for (int i = 0; i < 6; i++)
        CHECK_OK(trove_stream_chunk_get(stream, 10000, &mine[i], &error), &error);
    read_all(stream, test->bytes, 5 * MIB);
    for (int i = 0; i < 6; i++)
        trove_stream_chunk_put(stream, mine[i]);
    CHECK_OK(trove_stream_complete(stream, 0, NULL, &error), &error);
    trove_stream_release(stream);
    check_object(test, "kept", upwards(test), 5 * MIB);
}

/* ---- half-close ---- */

static void test_half_close(void **state) {
    const struct client_test *test = *state;
    const trove_stream_options options = small_options();
    trove_error error;
    for (int i = 0; i < 2; i++) {
        put_old(test, "half", 2 * MIB);
        trove_stream *stream = open_stream(test, "half", TROVE_DIRECTION_BIDI, &options);
        CHECK_OK(write_bytes(stream, upwards(test), 1 * MIB, 0, &error), &error);
        if (i == 0)
            write_some(stream, upwards(test) + 1 * MIB, 99, true); /* the last one has bytes, or none */
        else
            write_some(stream, upwards(test), 0, true);
        CHECK_FAILS(write_bytes(stream, upwards(test), 1, 0, &error), FAILED_PRECONDITION, "last", &error);
        assert_int_equal(trove_stream_state_get(stream), TROVE_STREAM_ACTIVE);
        CHECK_OK(trove_stream_control(stream, TROVE_CONTROL_PAUSE, 0, 0, NULL, &error), &error);
        CHECK_OK(trove_stream_control(stream, TROVE_CONTROL_RESUME, 0, 0, NULL, &error), &error);
        read_all(stream, test->bytes, 2 * MIB);
        CHECK_OK(trove_stream_complete(stream, 0, NULL, &error), &error);
        trove_stream_release(stream);
        check_object(test, "half", upwards(test), 1 * MIB + (i == 0 ? 99 : 0));
    }
}

static void test_half_close_down_first(void **state) {
    const struct client_test *test = *state;
    const trove_stream_options options = small_options();
    trove_error error;
    put_old(test, "half", 2 * MIB);
    trove_stream *stream = open_stream(test, "half", TROVE_DIRECTION_BIDI, &options);
    read_all(stream, test->bytes, 2 * MIB);
    CHECK_OK(trove_stream_control(stream, TROVE_CONTROL_PAUSE, 0, 0, NULL, &error), &error);
    assert_int_equal(trove_stream_state_get(stream), TROVE_STREAM_PAUSED);
    CHECK_FAILS(write_bytes(stream, upwards(test), 1, 50, &error), DEADLINE_EXCEEDED, "resumed", &error);
    assert_false(read_some(stream, test->bytes)); /* the end stays the end */
    CHECK_OK(trove_stream_control(stream, TROVE_CONTROL_RESUME, 0, 0, NULL, &error), &error);
    CHECK_OK(write_bytes(stream, upwards(test), 1 * MIB, 0, &error), &error);
    CHECK_OK(trove_stream_complete(stream, 0, NULL, &error), &error);
    trove_stream_release(stream);
    check_object(test, "half", upwards(test), 1 * MIB);
}

/* ---- conditions ---- */

static void test_lost_update(void **state) {
    const struct client_test *test = *state;
    trove_stream_options options = small_options();
    trove_error error;
    trove_object_info *info = NULL;
    trove_stream *stream = NULL;
    put_old(test, "update", 1 * MIB);
    CHECK_OK(trove_object_head(test->client, BUCKET, "update", 0, &info, &error), &error);
    options.conditions.if_generation = info->generation + 1;
    CHECK_FAILS(trove_stream_open(test->client, BUCKET, "update", TROVE_DIRECTION_BIDI, &options, &stream, &error),
                FAILED_PRECONDITION, "update", &error);
    options.conditions.if_generation = info->generation;
    trove_object_info_free(info);
    stream = open_stream(test, "update", TROVE_DIRECTION_BIDI, &options);
    put_old(test, "update", 2 * MIB);       /* somebody else */
    read_all(stream, test->bytes, 1 * MIB); /* what was there at the opening */
    CHECK_OK(write_bytes(stream, upwards(test), 1 * MIB, 0, &error), &error);
    CHECK_FAILS(trove_stream_complete(stream, 0, NULL, &error), FAILED_PRECONDITION, "update", &error);
    trove_stream_release(stream);
    check_object(test, "update", test->bytes, 2 * MIB);
}

static void test_create_only(void **state) {
    const struct client_test *test = *state;
    trove_stream_options options = small_options();
    trove_error error;
    trove_stream *stream = NULL;
    options.conditions.if_none_match = true;
    stream = open_stream(test, "created", TROVE_DIRECTION_BIDI, &options);
    assert_false(read_some(stream, test->bytes));
    CHECK_OK(write_bytes(stream, upwards(test), 1 * MIB, 0, &error), &error);
    CHECK_OK(trove_stream_complete(stream, 0, NULL, &error), &error);
    trove_stream_release(stream);
    CHECK_FAILS(trove_stream_open(test->client, BUCKET, "created", TROVE_DIRECTION_BIDI, &options, &stream, &error),
                FAILED_PRECONDITION, "created", &error);
    check_object(test, "created", upwards(test), 1 * MIB);
}

/* ---- ends ---- */

struct record {
    atomic_uint errors;
    atomic_uint completed;
    atomic_uint up;
    atomic_uint down;
    atomic_uint bad;
    uint64_t next_up;
    uint64_t next_down;
    trove_status status;
    trove_progress progress;
};

static void on_chunk(void *context, const trove_chunk_ack *ack) {
    struct record *record = context;
    bool up = ack->direction == TROVE_DIRECTION_UPLOAD;
    uint64_t *next = up ? &record->next_up : &record->next_down;
    if ((!up && ack->direction != TROVE_DIRECTION_DOWNLOAD) || ack->index != (*next)++)
        atomic_fetch_add(&record->bad, 1);
    atomic_fetch_add(up ? &record->up : &record->down, 1);
}

static void on_progress(void *context, const trove_progress *progress) {
    struct record *record = context;
    record->progress = *progress;
}

static void on_complete(void *context, const trove_object_info *info) {
    struct record *record = context;
    (void)info;
    atomic_fetch_add(&record->completed, 1);
}

static void on_error(void *context, const trove_error *error) {
    struct record *record = context;
    record->status = error->status;
    atomic_fetch_add(&record->errors, 1);
}

static trove_stream_options hooked_options(struct record *record) {
    trove_stream_options options = small_options();
    options.hooks = (trove_stream_hooks){
        .context = record, .on_chunk = on_chunk, .on_progress = on_progress, .on_complete = on_complete, .on_error = on_error};
    return options;
}

static void test_hooks(void **state) {
    const struct client_test *test = *state;
    struct record record = {0};
    trove_stream_options options = hooked_options(&record);
    options.size = 2 * MIB;
    put_old(test, "hooked", 1 * MIB);
    struct writer writer = {.test = test, .stream = open_stream(test, "hooked", TROVE_DIRECTION_BIDI, &options), .size = 2 * MIB};
    pthread_create(&writer.thread, NULL, write_in_thread, &writer);
    read_all(writer.stream, test->bytes, 1 * MIB);
    pthread_join(writer.thread, NULL);
    CHECK_OK(writer.status, &writer.error);
    trove_stream_release(writer.stream);
    assert_int_equal(record.up, 2 * MIB / CHUNK);
    assert_int_equal(record.down, 1 * MIB / CHUNK);
    assert_int_equal(record.bad, 0);
    assert_int_equal(record.completed, 1);
    assert_int_equal(record.errors, 0);
    assert_int_equal(record.progress.bytes, 3 * MIB);
    assert_int_equal(record.progress.total_bytes, 3 * MIB);
    assert_true(record.progress.percent == 100.0);
}

enum how {
    HOW_CANCEL,
    HOW_FAIL,
    HOW_RELEASE,
    HOW_KILL,
    HOW_COUNT,
};

struct watch {
    trove_stream *stream;
    atomic_bool over;
    pthread_t thread;
};

/* Looks as often as it can, so at moments of all kinds. */
static void *look_on(void *argument) {
    struct watch *watch = argument;
    trove_stream_metrics metrics;
    while (!atomic_load(&watch->over))
        check_sums(watch->stream, &metrics);
    return NULL;
}

struct reader {
    const struct client_test *test;
    trove_stream *stream;
    trove_status status;
    trove_error error;
    pthread_t thread;
};

/* To the end, or to an error; keeps a chunk in its hands. */
static void *read_in_thread(void *argument) {
    struct reader *reader = argument;
    trove_chunk *before = NULL;
    trove_chunk *chunk = NULL;
    while ((reader->status = trove_stream_read(reader->stream, 0, &chunk, &reader->error)) == TROVE_OK && chunk != NULL) {
        if (memcmp(chunk->data, reader->test->bytes + chunk->offset, chunk->size) != 0)
            abort();
        trove_stream_chunk_put(reader->stream, before);
        before = chunk;
    }
    trove_stream_chunk_put(reader->stream, before);
    return NULL;
}

/* Writes on and on, to an error. */
static void *write_for_ever(void *argument) {
    struct writer *writer = argument;
    do
        writer->status = write_bytes(writer->stream, upwards(writer->test), 1 * MIB, 0, &writer->error);
    while (writer->status == TROVE_OK);
    return NULL;
}

/* Keeps all that its window holds, and so waits for what can't come, to an error. */
static void *read_and_keep(void *argument) {
    struct reader *reader = argument;
    trove_chunk *kept[5] = {NULL};
    unsigned count = 0;
    while ((reader->status = trove_stream_read(reader->stream, 0, &kept[count], &reader->error)) == TROVE_OK && count < 4)
        count++;
    for (unsigned i = 0; i < count; i++)
        trove_stream_chunk_put(reader->stream, kept[i]);
    return NULL;
}

static void end_stream(struct client_test *test, trove_stream *stream, enum how how) {
    trove_error error;
    if (how == HOW_CANCEL)
        CHECK_OK(trove_stream_control(stream, TROVE_CONTROL_CANCEL, 0, 0, NULL, &error), &error);
    else if (how == HOW_FAIL)
        trove_stream_fail(stream, TROVE_ABORTED, "as the test wants it");
    else if (how == HOW_KILL)
        kill(troved_pid(test->server), SIGKILL);
}

static void run_end(struct client_test *test, enum how how) {
    static const trove_status statuses[] = {TROVE_CANCELLED, TROVE_ABORTED, TROVE_CANCELLED, TROVE_UNAVAILABLE};
    struct record record = {0};
    trove_stream_options options = hooked_options(&record);
    trove_stream_metrics metrics;
    trove_error error;
    put_old(test, "ended", 20 * MIB);
    trove_stream *stream = open_stream(test, "ended", TROVE_DIRECTION_BIDI, &options);
    if (how == HOW_RELEASE) {
        CHECK_OK(write_bytes(stream, upwards(test), 1 * MIB, 0, &error), &error);
        assert_true(read_some(stream, test->bytes));
    } else {
        struct watch watch = {.stream = stream};
        struct writer writer = {.test = test, .stream = stream};
        struct reader reader = {.test = test, .stream = stream};
        pthread_create(&watch.thread, NULL, look_on, &watch);
        pthread_create(&writer.thread, NULL, write_for_ever, &writer);
        pthread_create(&reader.thread, NULL, read_and_keep, &reader);
        while (trove_stream_offset(stream) < 2 * MIB || trove_stream_read_offset(stream) < 4 * CHUNK)
            pause_ms(1);
        end_stream(test, stream, how);
        pthread_join(writer.thread, NULL);
        pthread_join(reader.thread, NULL);
        assert_int_equal(writer.status, statuses[how]); /* both ways, with the same error */
        assert_int_equal(reader.status, statuses[how]);
        assert_string_equal(writer.error.message, reader.error.message);
        atomic_store(&watch.over, true);
        pthread_join(watch.thread, NULL);
        check_sums(stream, &metrics);
        assert_true(metrics.bytes_abandoned > 0);
    }
    trove_stream_release(stream);
    assert_int_equal(record.errors, 1);
    assert_int_equal(record.completed, 0);
    assert_int_equal(record.bad, 0);
    assert_int_equal(record.status, statuses[how]);
    if (how != HOW_KILL)
        check_object(test, "ended", test->bytes, 20 * MIB); /* nothing was published */
}

static void wait_until_idle(const struct client_test *test) {
    trove_server_info info = {.streams_active = 1};
    trove_error error;
    for (uint64_t until_ms = now_ms() + 10000; info.streams_active > 0 && now_ms() < until_ms; pause_ms(5))
        CHECK_OK(trove_server_info_get(test->client, 0, &info, &error), &error);
    assert_int_equal(info.streams_active, 0);
}

static void test_ends(void **state) {
    static const char *const names[] = {"cancelled", "failed", "released", "the server dies"};
    for (int how = 0; how < HOW_COUNT; how++) {
        struct client_test *test = *state;
        struct client_test *other = NULL;
        print_message("    %s\n", names[how]);
        if (how == HOW_KILL)
            client_test_begin((void **)&other);
        run_end(other != NULL ? other : test, (enum how)how);
        if (other != NULL)
            assert_int_equal(client_test_end((void **)&other), 128 + SIGKILL);
        else
            wait_until_idle(test);
    }
}

/* Paused, neither way moves; resumed, both go on. */
static void test_pause(void **state) {
    const struct client_test *test = *state;
    const trove_stream_options options = small_options();
    trove_error error;
    trove_chunk *chunk = NULL;
    put_old(test, "paused", 10 * MIB);
    trove_stream *stream = open_stream(test, "paused", TROVE_DIRECTION_BIDI, &options);
    CHECK_OK(write_bytes(stream, upwards(test), 1 * MIB, 0, &error), &error);
    assert_true(read_some(stream, test->bytes));
    CHECK_OK(trove_stream_control(stream, TROVE_CONTROL_PAUSE, 0, 0, NULL, &error), &error);
    trove_status status;
    while ((status = trove_stream_read(stream, 100, &chunk, &error)) == TROVE_OK) { /* what was under way */
        assert_true(memcmp(chunk->data, test->bytes + chunk->offset, chunk->size) == 0);
        trove_stream_chunk_put(stream, chunk);
    }
    CHECK_FAILS(status, DEADLINE_EXCEEDED, "the way down: the stream was not resumed", &error);
    CHECK_FAILS(write_bytes(stream, upwards(test), 1, 100, &error), DEADLINE_EXCEEDED, "the way up: the stream was not resumed",
                &error);
    CHECK_OK(trove_stream_control(stream, TROVE_CONTROL_RESUME, 0, 0, NULL, &error), &error);
    CHECK_OK(write_bytes(stream, upwards(test) + 1 * MIB, 1 * MIB, 0, &error), &error);
    read_all(stream, test->bytes, 10 * MIB);
    CHECK_FAILS(trove_stream_control(stream, TROVE_CONTROL_SEEK, 0, 0, NULL, &error), FAILED_PRECONDITION, "can't seek", &error);
    CHECK_OK(trove_stream_complete(stream, 0, NULL, &error), &error);
    trove_stream_release(stream);
    check_object(test, "paused", upwards(test), 2 * MIB);
}

/* The account holds all the time while it completes, too. */
static void test_sums(void **state) {
    const struct client_test *test = *state;
    const trove_stream_options options = small_options();
    trove_stream_metrics metrics;
    put_old(test, "sums", 10 * MIB);
    trove_stream *stream = open_stream(test, "sums", TROVE_DIRECTION_BIDI, &options);
    struct watch watch = {.stream = stream};
    struct writer writer = {.test = test, .stream = stream, .size = 10 * MIB};
    struct reader reader = {.test = test, .stream = stream};
    pthread_create(&watch.thread, NULL, look_on, &watch);
    pthread_create(&writer.thread, NULL, write_in_thread, &writer);
    pthread_create(&reader.thread, NULL, read_in_thread, &reader);
    pthread_join(reader.thread, NULL);
    pthread_join(writer.thread, NULL);
    CHECK_OK(reader.status, &reader.error);
    CHECK_OK(writer.status, &writer.error);
    atomic_store(&watch.over, true);
    pthread_join(watch.thread, NULL);
    check_sums(stream, &metrics);
    assert_int_equal(metrics.bytes_accepted, 20 * MIB);
    assert_int_equal(metrics.bytes_acknowledged, 20 * MIB);
    assert_int_equal(metrics.bytes_sent, 10 * MIB);
    assert_int_equal(metrics.bytes_received, 10 * MIB);
    assert_true(metrics.latency_p50_ns > 0);
    trove_stream_release(stream);
}

/* ---- limits ---- */

/* Both ways together keep the stream's limit, and neither starves. */
static void test_bandwidth(void **state) {
    const struct client_test *test = *state;
    trove_stream_options options = small_options();
    trove_stream_metrics metrics;
    put_old(test, "limited", 1 * MIB);
    options.bytes_per_second = 2 * MIB;
    options.chunk_bytes = 0;
    uint64_t begun_ms = now_ms();
    trove_stream *stream = open_stream(test, "limited", TROVE_DIRECTION_BIDI, &options);
    struct writer writer = {.test = test, .stream = stream, .size = 1 * MIB};
    struct reader reader = {.test = test, .stream = stream};
    pthread_create(&writer.thread, NULL, write_in_thread, &writer);
    pthread_create(&reader.thread, NULL, read_in_thread, &reader);
    do {
        pause_ms(1);
        trove_stream_metrics_get(stream, &metrics);
    } while (metrics.bytes_sent < 512 * KIB && metrics.bytes_received < 512 * KIB);
    assert_true(metrics.bytes_sent > 64 * KIB && metrics.bytes_received > 64 * KIB);
    pthread_join(reader.thread, NULL);
    pthread_join(writer.thread, NULL);
    CHECK_OK(reader.status, &reader.error);
    CHECK_OK(writer.status, &writer.error);
    assert_true(now_ms() - begun_ms >= 1000 - 1000 / 16 - 1000 / 16 - 20); /* but for the burst and a piece */
    trove_stream_release(stream);
    check_object(test, "limited", upwards(test), 1 * MIB);
}

/* One way under a limit while the other one stands still. */
static void test_bandwidth_of_one(void **state) {
    const struct client_test *test = *state;
    trove_stream_options options = small_options();
    trove_error error;
    put_old(test, "limited", 1 * MIB);
    options.bytes_per_second = 4 * MIB;
    options.chunk_bytes = 0;
    trove_stream *stream = open_stream(test, "limited", TROVE_DIRECTION_BIDI, &options);
    CHECK_OK(write_bytes(stream, upwards(test), 1 * MIB, 0, &error), &error);
    read_all(stream, test->bytes, 1 * MIB);
    CHECK_OK(trove_stream_complete(stream, 0, NULL, &error), &error);
    trove_stream_release(stream);
}

/* Little memory at the client: fewer chunks, and it still goes both ways. */
static void test_small_memory(void **state) {
    const struct client_test *test = *state;
    struct client_test other = *test;
    trove_client_options client_options;
    trove_stream_options options;
    trove_error error;
    trove_client_options_init(&client_options);
    trove_stream_options_init(&options);
    client_options.memory_bytes = 2 * MIB;
    options.chunk_bytes = 256 * KIB;
    CHECK_OK(trove_connect(test->url, &client_options, &other.client, &error), &error);
    put_old(test, "tight", 5 * MIB);
    struct writer writer = {
        .test = &other, .stream = open_stream(&other, "tight", TROVE_DIRECTION_BIDI, &options), .size = 5 * MIB};
    trove_chunk_stats stats;
    trove_stream_chunk_stats(writer.stream, &stats);
    assert_true(stats.chunks * stats.chunk_bytes <= 2 * MIB);
    pthread_create(&writer.thread, NULL, write_in_thread, &writer);
    read_all(writer.stream, test->bytes, 5 * MIB);
    pthread_join(writer.thread, NULL);
    CHECK_OK(writer.status, &writer.error);
    trove_stream_release(writer.stream);
    options.chunk_bytes = 2 * MIB; /* one of them would have room, two don't */
    trove_stream *stream = NULL;
    CHECK_FAILS(trove_stream_open(other.client, BUCKET, "tight", TROVE_DIRECTION_BIDI, &options, &stream, &error),
                RESOURCE_EXHAUSTED, "memory_bytes", &error);
    trove_status
        status; /* what was claimed for the one that failed comes back, that of the one before when nothing uses it any more */
    uint64_t until_ms = now_ms() + 10000;
    while ((status = trove_stream_open(other.client, BUCKET, "tight", TROVE_DIRECTION_UPLOAD, &options, &stream, &error)) !=
               TROVE_OK &&
           now_ms() < until_ms)
        pause_ms(1);
    CHECK_OK(status, &error);
    trove_stream_release(stream);
    trove_close(other.client);
    check_object(test, "tight", upwards(test), 5 * MIB);
}

/* It has one place in a pool, counts as one stream, and its bytes are those of both ways. */
static void test_pool(void **state) {
    const struct client_test *test = *state;
    trove_pool_options pool_options;
    trove_stream_options options = small_options();
    trove_pool_metrics metrics;
    trove_pool *pool = NULL;
    trove_stream *stream = NULL;
    trove_stream *second = NULL;
    trove_error error;
    trove_pool_options_init(&pool_options);
    pool_options.max_streams = 1;
    put_old(test, "pooled", 1 * MIB);
    CHECK_OK(trove_pool_create(test->client, "both", &pool_options, &pool, &error), &error);
    CHECK_OK(trove_pool_acquire(pool, BUCKET, "pooled", TROVE_DIRECTION_BIDI, &options, 0, &stream, &error), &error);
    CHECK_FAILS(trove_pool_acquire(pool, BUCKET, "pooled", TROVE_DIRECTION_UPLOAD, &options, 50, &second, &error),
                DEADLINE_EXCEEDED, "both", &error);
    CHECK_OK(trove_stream_start(stream, &error), &error);
    CHECK_OK(write_bytes(stream, upwards(test), 2 * MIB, 0, &error), &error);
    read_all(stream, test->bytes, 1 * MIB);
    CHECK_OK(trove_stream_complete(stream, 0, NULL, &error), &error);
    trove_pool_release(pool, stream);
    trove_pool_snapshot(pool, &metrics);
    assert_int_equal(metrics.total_streams, 1);
    assert_int_equal(metrics.completed_streams, 1);
    assert_int_equal(metrics.total_bytes, 3 * MIB);
    assert_int_equal(metrics.bytes_waiting, 0);
    assert_int_equal(trove_pool_close(pool, 0), 0);
}

/* ---- backpressure of the way up ---- */

/* A window that isn't emptied loses its oldest chunks upwards; what comes down is whole all the same. */
static void test_drop(void **state) {
    const struct client_test *test = *state;
    trove_stream_options options = small_options();
    trove_error error;
    trove_object_info *info = NULL;
    trove_stream_metrics metrics;
    unsigned dropped_chunks = 0;
    put_old(test, "lossy", 1 * MIB);
    options.lossy = true;
    options.backpressure = TROVE_BACKPRESSURE_DROP;
    trove_stream *stream = open_stream(test, "lossy", TROVE_DIRECTION_BIDI, &options);
    CHECK_OK(trove_stream_control(stream, TROVE_CONTROL_PAUSE, 0, 0, NULL, &error), &error);
    for (size_t i = 0; i < 10; i++) {
        trove_chunk *chunk = NULL;
        trove_drop dropped;
        CHECK_OK(trove_stream_chunk_get(stream, 0, &chunk, &error), &error);
        memcpy(chunk->data, upwards(test) + i * CHUNK, CHUNK);
        chunk->size = CHUNK;
        chunk->final = i == 9; /* the library's own last one might cost another */
        CHECK_OK(trove_stream_write_lossy(stream, &chunk, 0, &dropped, &error), &error);
        dropped_chunks += (unsigned)dropped.count;
        if (dropped.count > 0)
            assert_int_equal(dropped.direction, TROVE_DIRECTION_UPLOAD);
        check_sums(stream, &metrics);
    }
    assert_int_equal(dropped_chunks, 6);
    CHECK_OK(trove_stream_control(stream, TROVE_CONTROL_RESUME, 0, 0, NULL, &error), &error);
    uint64_t received = 0; /* the server may lose some of what comes down, and says so */
    for (trove_chunk *chunk = NULL;; trove_stream_chunk_put(stream, chunk)) {
        CHECK_OK(trove_stream_read(stream, 0, &chunk, &error), &error);
        if (chunk == NULL)
            break;
        assert_true(memcmp(chunk->data, test->bytes + chunk->offset, chunk->size) == 0);
        received += chunk->size;
    }
    CHECK_OK(trove_stream_complete(stream, 0, &info, &error), &error);
    assert_int_equal(info->size, 10 * CHUNK);
    assert_int_equal(info->gap_bytes, 6 * CHUNK);
    trove_object_info_free(info);
    check_sums(stream, &metrics);
    assert_int_equal(metrics.bytes_dropped, 6 * CHUNK + 1 * MIB - received);
    trove_stream_release(stream);
}

/* More is written than the window holds while nothing may be sent: it spills, and nothing is lost. */
static void test_buffer(void **state) {
    const struct client_test *test = *state;
    trove_stream_options options = small_options();
    trove_stream_metrics metrics;
    trove_error error;
    put_old(test, "buffered", 1 * MIB);
    options.backpressure = TROVE_BACKPRESSURE_BUFFER;
    options.overflow_memory_bytes = 1 * MIB;
    trove_stream *stream = open_stream(test, "buffered", TROVE_DIRECTION_BIDI, &options);
    CHECK_OK(trove_stream_control(stream, TROVE_CONTROL_PAUSE, 0, 0, NULL, &error), &error);
    CHECK_OK(write_bytes(stream, upwards(test), 5 * MIB, 1000, &error), &error);
    check_sums(stream, &metrics);
    assert_true(metrics.bytes_spilled >= 5 * MIB - 4 * CHUNK);
    CHECK_OK(trove_stream_control(stream, TROVE_CONTROL_RESUME, 0, 0, NULL, &error), &error);
    write_some(stream, upwards(test) + 5 * MIB, 77, true); /* the last one waits behind the others */
    read_all(stream, test->bytes, 1 * MIB);
    CHECK_OK(trove_stream_complete(stream, 0, NULL, &error), &error);
    trove_stream_release(stream);
    check_object(test, "buffered", upwards(test), 5 * MIB + 77);
}

static void test_adaptive(void **state) {
    const struct client_test *test = *state;
    trove_stream_options options;
    trove_error error;
    put_old(test, "adaptive", 20 * MIB);
    trove_stream_options_init(&options);
    options.backpressure = TROVE_BACKPRESSURE_ADAPTIVE;
    trove_stream *stream = open_stream(test, "adaptive", TROVE_DIRECTION_BIDI, &options);
    struct reader reader = {.test = test, .stream = stream};
    pthread_create(&reader.thread, NULL, read_in_thread, &reader);
    CHECK_OK(write_bytes(stream, upwards(test), 20 * MIB, 0, &error), &error);
    assert_true(trove_stream_chunk_bytes_next(stream) <= trove_stream_chunk_bytes(stream));
    CHECK_OK(trove_stream_complete(stream, 0, NULL, &error), &error);
    pthread_join(reader.thread, NULL);
    CHECK_OK(reader.status, &reader.error);
    trove_stream_release(stream);
    check_object(test, "adaptive", upwards(test), 20 * MIB);
}

int main(int argc, char **argv) {
    client_test_arguments(argc, argv);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_thread),    cmocka_unit_test(test_two_threads),
        cmocka_unit_test(test_usual_options), cmocka_unit_test(test_object_absent),
        cmocka_unit_test(test_range),         cmocka_unit_test(test_nobody_reads),
        cmocka_unit_test(test_nobody_writes), cmocka_unit_test(test_kept_chunks),
        cmocka_unit_test(test_half_close),    cmocka_unit_test(test_half_close_down_first),
        cmocka_unit_test(test_lost_update),   cmocka_unit_test(test_create_only),
        cmocka_unit_test(test_hooks),         cmocka_unit_test(test_ends),
        cmocka_unit_test(test_pause),         cmocka_unit_test(test_sums),
        cmocka_unit_test(test_bandwidth),     cmocka_unit_test(test_bandwidth_of_one),
        cmocka_unit_test(test_small_memory),  cmocka_unit_test(test_pool),
        cmocka_unit_test(test_drop),          cmocka_unit_test(test_buffer),
        cmocka_unit_test(test_adaptive),
    };
    return cmocka_run_group_tests_name(client_test_store(), tests, client_test_begin, client_test_end);
}
