/* test_client_two_way_ends.c - what pauses and ends streams that go both ways, and what is told of them. */
#include "two_way_test.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>

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
    put_object(test, "hooked", 1 * MIB);
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
    while (!atomic_load(&watch->over))
        check_account(watch->stream);
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
    trove_error error;
    put_object(test, "ended", 20 * MIB);
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
        WAIT_FOR(trove_stream_offset(stream) >= 2 * MIB && trove_stream_read_offset(stream) == 4 * CHUNK);
        end_stream(test, stream, how);
        pthread_join(writer.thread, NULL);
        pthread_join(reader.thread, NULL);
        assert_int_equal(writer.status, statuses[how]); /* both ways, with the same error */
        assert_int_equal(reader.status, statuses[how]);
        assert_string_equal(writer.error.message, reader.error.message);
        atomic_store(&watch.over, true);
        pthread_join(watch.thread, NULL);
        trove_stream_metrics metrics = check_account(stream);
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
            WAIT_FOR(server_is_idle(test));
    }
}

/* Paused, neither way moves; resumed, both go on. */
static void test_pause(void **state) {
    const struct client_test *test = *state;
    const trove_stream_options options = small_options();
    trove_error error;
    trove_chunk *chunk = NULL;
    put_object(test, "paused", 10 * MIB);
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
    put_object(test, "sums", 10 * MIB);
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
    trove_stream_metrics metrics = check_account(stream);
    assert_int_equal(metrics.bytes_accepted, 20 * MIB);
    assert_int_equal(metrics.bytes_acknowledged, 20 * MIB);
    assert_int_equal(metrics.bytes_sent, 10 * MIB);
    assert_int_equal(metrics.bytes_received, 10 * MIB);
    assert_true(metrics.latency_p50_ns > 0);
    trove_stream_release(stream);
}

int main(int argc, char **argv) {
    client_test_arguments(argc, argv);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_hooks),
        cmocka_unit_test(test_ends),
        cmocka_unit_test(test_pause),
        cmocka_unit_test(test_sums),
    };
    return cmocka_run_group_tests_name(client_test_store(), tests, client_test_begin, client_test_end);
}
