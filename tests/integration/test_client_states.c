/* test_client_states.c - the states of a stream and what leads from one to the other, in all directions: by its own program, and
 * from outside through the server; as its program sees it, as the server shows it, and as its hooks are told.
 */
#include "client_test.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>

#define CHUNK (64 * KIB)
#define SMALL (3 * CHUNK)  /* all of it has room in the window */
#define LARGE (50 * CHUNK) /* what nobody reads stays at the server */

static const char *const direction_names[] = {
    [TROVE_DIRECTION_UPLOAD] = "up", [TROVE_DIRECTION_DOWNLOAD] = "down", [TROVE_DIRECTION_BIDI] = "both ways"};

/* What the hooks were told of the end. */
struct ends {
    unsigned completed;
    unsigned failed;
    trove_status status;
    uint64_t size;
    char key[16];
};

static void on_complete(void *context, const trove_object_info *info) {
    struct ends *ends = context;
    ends->completed++;
    ends->size = info->size;
    snprintf(ends->key, sizeof ends->key, "%s", info->key);
}

static void on_error(void *context, const trove_error *error) {
    struct ends *ends = context;
    ends->failed++;
    ends->status = error->status;
}

static void check_end(const struct ends *ends, trove_stream_state state) {
    assert_int_equal(ends->completed, state == TROVE_STREAM_COMPLETED);
    assert_int_equal(ends->failed, state != TROVE_STREAM_COMPLETED);
    if (state != TROVE_STREAM_COMPLETED)
        assert_int_equal(ends->status, state == TROVE_STREAM_FAILED ? TROVE_ABORTED : TROVE_CANCELLED);
}

static trove_stream *open_idle(const struct client_test *test, const char *key, trove_direction direction, struct ends *ends) {
    trove_stream_options options;
    trove_stream *stream = NULL;
    trove_error error;
    trove_stream_options_init(&options);
    options.chunk_bytes = CHUNK;
    options.channel_chunks = 4;
    options.hooks = (trove_stream_hooks){.context = ends, .on_complete = on_complete, .on_error = on_error};
    CHECK_OK(trove_stream_open(test->client, BUCKET, key, direction, &options, &stream, &error), &error);
    return stream;
}

static void write_last(const struct client_test *test, trove_stream *stream, size_t size) {
    trove_chunk *chunk = NULL;
    trove_error error;
    CHECK_OK(trove_stream_chunk_get(stream, 0, &chunk, &error), &error);
    memcpy(chunk->data, test->bytes, size);
    chunk->size = size;
    chunk->final = true;
    CHECK_OK(trove_stream_write(stream, &chunk, 0, &error), &error);
}

/* Brings a stream into a state. Completing is one that has nothing more to send, and whose program hasn't read yet. */
static trove_stream *open_as(const struct client_test *test, const char *key, trove_direction direction, trove_stream_state state,
                             struct ends *ends) {
    trove_error error;
    put_object(test, "down", state == TROVE_STREAM_COMPLETING ? SMALL : LARGE);
    put_object(test, "both", state == TROVE_STREAM_COMPLETING ? SMALL : LARGE);
    trove_stream *stream = open_idle(test, key, direction, ends);
    if (state != TROVE_STREAM_IDLE)
        CHECK_OK(trove_stream_start(stream, &error), &error);
    if (state == TROVE_STREAM_PAUSED)
        control_stream(stream, TROVE_CONTROL_PAUSE, 0, TROVE_STREAM_PAUSED);
    if (state == TROVE_STREAM_COMPLETING && direction == TROVE_DIRECTION_BIDI)
        write_last(test, stream, 1000);
    WAIT_FOR(trove_stream_state_get(stream) == state && server_stream_of(test, key).state == state);
    return stream;
}

/* ---- from each state that isn't an end ---- */

enum event {
    START,
    PAUSE,
    RESUME,
    CANCEL,
    FAIL,
};

static const char *const event_names[] = {"start", "pause", "resume", "cancel", "fail"};

static const struct row {
    trove_stream_state from;
    enum event event;
    trove_stream_state to;
    const char *refused; /* NULL: it isn't */
    bool own_only;       /* what is done by its program alone */
} rows[] = {
    {TROVE_STREAM_IDLE, START, TROVE_STREAM_ACTIVE, NULL, true},
    {TROVE_STREAM_IDLE, PAUSE, TROVE_STREAM_IDLE, "an idle stream can't be paused", false},
    {TROVE_STREAM_IDLE, RESUME, TROVE_STREAM_ACTIVE, NULL, false}, /* as start does */
    {TROVE_STREAM_IDLE, CANCEL, TROVE_STREAM_CANCELLED, NULL, false},
    {TROVE_STREAM_IDLE, FAIL, TROVE_STREAM_FAILED, NULL, true},
    {TROVE_STREAM_ACTIVE, START, TROVE_STREAM_ACTIVE, NULL, true},
    {TROVE_STREAM_ACTIVE, PAUSE, TROVE_STREAM_PAUSED, NULL, false},
    {TROVE_STREAM_ACTIVE, RESUME, TROVE_STREAM_ACTIVE, NULL, false},
    {TROVE_STREAM_ACTIVE, CANCEL, TROVE_STREAM_CANCELLED, NULL, false},
    {TROVE_STREAM_ACTIVE, FAIL, TROVE_STREAM_FAILED, NULL, true},
    {TROVE_STREAM_PAUSED, START, TROVE_STREAM_PAUSED, "a paused stream can't be started", true},
    {TROVE_STREAM_PAUSED, PAUSE, TROVE_STREAM_PAUSED, NULL, false},
    {TROVE_STREAM_PAUSED, RESUME, TROVE_STREAM_ACTIVE, NULL, false},
    {TROVE_STREAM_PAUSED, CANCEL, TROVE_STREAM_CANCELLED, NULL, false},
    {TROVE_STREAM_PAUSED, FAIL, TROVE_STREAM_FAILED, NULL, true},
    {TROVE_STREAM_COMPLETING, START, TROVE_STREAM_COMPLETING, "a completing stream can't be started", true},
    {TROVE_STREAM_COMPLETING, PAUSE, TROVE_STREAM_COMPLETING, "a completing stream can't be paused", false},
    {TROVE_STREAM_COMPLETING, RESUME, TROVE_STREAM_COMPLETING, "a completing stream can't be resumed", false},
    {TROVE_STREAM_COMPLETING, CANCEL, TROVE_STREAM_CANCELLED, NULL, false},
    {TROVE_STREAM_COMPLETING, FAIL, TROVE_STREAM_FAILED, NULL, true},
};

static trove_control control_of(enum event event) {
    static const trove_control controls[] = {
        [PAUSE] = TROVE_CONTROL_PAUSE, [RESUME] = TROVE_CONTROL_RESUME, [CANCEL] = TROVE_CONTROL_CANCEL};
    return controls[event];
}

/* `to` becomes what the answer says, where there is one. */
static trove_status send_event(const struct client_test *test, trove_stream *stream, enum event event, bool from_outside,
                               trove_stream_state *to, trove_error *error) {
    if (event == START)
        return trove_stream_start(stream, error);
    if (event == FAIL) {
        trove_stream_fail(stream, TROVE_ABORTED, "upload interrupted");
        return TROVE_OK;
    }
    return from_outside ? trove_server_stream_control(test->client, trove_stream_id(stream), control_of(event), 0, to, error)
                        : trove_stream_control(stream, control_of(event), 0, 0, to, error);
}

static void check_row(const struct client_test *test, const struct row *row, trove_direction direction, bool from_outside) {
    static const char *const keys[] = {
        [TROVE_DIRECTION_UPLOAD] = "up", [TROVE_DIRECTION_DOWNLOAD] = "down", [TROVE_DIRECTION_BIDI] = "both"};
    const char *key = keys[direction];
    struct ends ends = {0};
    trove_error error;
    trove_stream *stream = open_as(test, key, direction, row->from, &ends);
    trove_stream_state to = row->to;
    trove_status status = send_event(test, stream, row->event, from_outside, &to, &error);
    if (row->refused != NULL)
        CHECK_FAILS(status, FAILED_PRECONDITION, row->refused, &error);
    else
        CHECK_OK(status, &error);
    assert_int_equal(to, row->to);
    WAIT_FOR(trove_stream_state_get(stream) == row->to); /* of what came from outside it is told */
    bool over = row->to >= TROVE_STREAM_COMPLETED;
    WAIT_FOR(over ? server_stream_of(test, key).stream_id == 0 : server_stream_of(test, key).state == row->to);
    trove_stream_release(stream);
    check_end(&ends, over ? row->to : TROVE_STREAM_CANCELLED);
}

static void check_rows(const struct client_test *test, bool from_outside) {
    for (trove_direction direction = TROVE_DIRECTION_UPLOAD; direction <= TROVE_DIRECTION_BIDI; direction++) {
        for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
            bool cant_be_held = rows[i].from == TROVE_STREAM_COMPLETING && direction == TROVE_DIRECTION_UPLOAD; /* see below */
            if ((from_outside && rows[i].own_only) || cant_be_held)
                continue;
            print_message("    %s: %s, %s\n", direction_names[direction], trove_stream_state_name(rows[i].from),
                          event_names[rows[i].event]);
            check_row(test, &rows[i], direction, from_outside);
        }
    }
    trove_object_info *info = NULL;
    trove_error error;
    CHECK_FAILS(trove_object_head(test->client, BUCKET, "up", 0, &info, &error), NOT_FOUND, "up", &error);
    check_object(test, "both", test->bytes, SMALL); /* nothing was published */
}

static void test_by_its_own_program(void **state) {
    check_rows(*state, false);
}

static void test_from_outside(void **state) {
    const struct client_test *test = *state;
    trove_error error;
    check_rows(test, true);
    CHECK_FAILS(trove_server_stream_control(test->client, 1 << 30, TROVE_CONTROL_PAUSE, 0, NULL, &error), NOT_FOUND,
                "stream 1073741824 doesn't exist", &error);
    CHECK_FAILS(trove_server_stream_control(test->client, 1, TROVE_CONTROL_SEEK, 0, NULL, &error), INVALID_ARGUMENT, "control 4",
                &error);
}

/* ---- to the end ---- */

/* From idle to completed, in all directions; the end is told once, with the object. */
static void test_completed(void **state) {
    const struct client_test *test = *state;
    static const char *const keys[] = {"done-up", "done-down", "done-both"};
    put_object(test, "done-down", SMALL);
    put_object(test, "done-both", SMALL);
    for (int i = 0; i < 3; i++) {
        static const trove_direction directions[] = {TROVE_DIRECTION_UPLOAD, TROVE_DIRECTION_DOWNLOAD, TROVE_DIRECTION_BIDI};
        struct ends ends = {0};
        trove_object_info *info = NULL;
        trove_error error;
        trove_stream *stream = open_idle(test, keys[i], directions[i], &ends);
        assert_int_equal(trove_stream_state_get(stream), TROVE_STREAM_IDLE);
        CHECK_FAILS(trove_stream_complete(stream, 0, NULL, &error), FAILED_PRECONDITION, "start", &error);
        CHECK_OK(trove_stream_start(stream, &error), &error);
        if (directions[i] != TROVE_DIRECTION_DOWNLOAD)
            CHECK_OK(write_bytes(stream, test->bytes, 2 * CHUNK, 0, &error), &error);
        if (directions[i] != TROVE_DIRECTION_UPLOAD)
            CHECK_OK(read_away(stream, test->bytes, &error), &error);
        CHECK_OK(trove_stream_complete(stream, 0, &info, &error), &error);
        assert_int_equal(trove_stream_state_get(stream), TROVE_STREAM_COMPLETED);
        const uint64_t size = directions[i] == TROVE_DIRECTION_DOWNLOAD ? SMALL : 2 * CHUNK;
        assert_int_equal(info->size, size);
        trove_object_info_free(info);
        trove_stream_release(stream);
        check_end(&ends, TROVE_STREAM_COMPLETED);
        assert_string_equal(ends.key, keys[i]);
        assert_int_equal(ends.size, size);
        check_object(test, keys[i], test->bytes, size);
    }
}

/* Nothing leads out of an end, and it isn't told twice. */
static void test_ends_are_ends(void **state) {
    const struct client_test *test = *state;
    static const char *const done[] = {[PAUSE] = "paused", [RESUME] = "resumed", [CANCEL] = "cancelled"};
    for (trove_stream_state end = TROVE_STREAM_COMPLETED; end <= TROVE_STREAM_CANCELLED; end++) {
        struct ends ends = {0};
        trove_error error;
        trove_stream *stream = open_as(test, "ended", TROVE_DIRECTION_UPLOAD, TROVE_STREAM_ACTIVE, &ends);
        if (end == TROVE_STREAM_COMPLETED)
            CHECK_OK(trove_stream_complete(stream, 0, NULL, &error), &error);
        else if (end == TROVE_STREAM_FAILED)
            trove_stream_fail(stream, TROVE_ABORTED, "upload interrupted");
        else
            control_stream(stream, TROVE_CONTROL_CANCEL, 0, TROVE_STREAM_CANCELLED);
        for (enum event event = PAUSE; event <= CANCEL; event++) {
            char refusal[64];
            snprintf(refusal, sizeof refusal, "a %s stream can't be %s", trove_stream_state_name(end), done[event]);
            CHECK_FAILS(send_event(test, stream, event, false, NULL, &error), FAILED_PRECONDITION, refusal, &error);
            WAIT_FOR(server_stream_of(test, "ended").stream_id == 0);
            CHECK_FAILS(send_event(test, stream, event, true, NULL, &error), NOT_FOUND, "doesn't exist", &error);
        }
        trove_stream_fail(stream, TROVE_INTERNAL, "too late");
        assert_int_equal(trove_stream_state_get(stream), end);
        trove_stream_release(stream);
        check_end(&ends, end);
    }
}

/* ---- an upload that is completing ---- */

/* One that has told a server that stands still that this was all. */
static trove_stream *open_completing(const struct client_test *test, struct ends *ends) {
    trove_error error;
    trove_stream *stream = open_as(test, "last", TROVE_DIRECTION_UPLOAD, TROVE_STREAM_ACTIVE, ends);
    write_last(test, stream, 1000);
    WAIT_FOR(check_account(stream).chunks_acknowledged == 1);
    troved_hold(test->server);
    CHECK_FAILS(trove_stream_complete(stream, 200, NULL, &error), DEADLINE_EXCEEDED, "last", &error);
    assert_int_equal(trove_stream_state_get(stream), TROVE_STREAM_COMPLETING);
    CHECK_FAILS(trove_stream_start(stream, &error), FAILED_PRECONDITION, "a completing stream can't be started", &error);
    return stream;
}

static void test_completing_upload(void **state) {
    const struct client_test *test = *state;
    struct ends ends = {0};
    trove_error error;
    trove_stream *stream = open_completing(test, &ends);
    troved_let_go(test->server);
    CHECK_OK(trove_stream_complete(stream, 0, NULL, &error), &error);
    assert_int_equal(trove_stream_state_get(stream), TROVE_STREAM_COMPLETED);
    trove_stream_release(stream);
    check_end(&ends, TROVE_STREAM_COMPLETED);
    check_object(test, "last", test->bytes, 1000);
}

/* The server's word decides, and it may have stored the object when it hears of it; when it is gone there is none to wait for. */
static void test_completing_upload_that_fails(void **state) {
    const struct client_test *test = *state;
    struct ends ends = {0};
    trove_error error;
    trove_stream *stream = open_completing(test, &ends);
    trove_stream_fail(stream, TROVE_ABORTED, "upload interrupted");
    troved_let_go(test->server);
    trove_status status = trove_stream_complete(stream, 0, NULL, &error);
    trove_stream_state end = trove_stream_state_get(stream);
    if (end == TROVE_STREAM_COMPLETED)
        CHECK_OK(status, &error);
    else
        CHECK_FAILS(status, ABORTED, "upload interrupted", &error);
    trove_stream_release(stream);
    check_end(&ends, end);

    struct client_test *other = NULL;
    assert_int_equal(client_test_begin((void **)&other), 0);
    ends = (struct ends){0};
    stream = open_completing(other, &ends);
    kill(troved_pid(other->server), SIGKILL);
    CHECK_FAILS(trove_stream_complete(stream, 0, NULL, &error), UNAVAILABLE, "", &error);
    assert_int_equal(trove_stream_state_get(stream), TROVE_STREAM_FAILED);
    trove_stream_release(stream);
    assert_int_equal(ends.failed, 1);
    assert_int_equal(ends.status, TROVE_UNAVAILABLE);
    assert_int_equal(client_test_end((void **)&other), 128 + SIGKILL);
}

int main(int argc, char **argv) {
    client_test_arguments(argc, argv);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_by_its_own_program), cmocka_unit_test(test_from_outside),
        cmocka_unit_test(test_completed),          cmocka_unit_test(test_ends_are_ends),
        cmocka_unit_test(test_completing_upload),  cmocka_unit_test(test_completing_upload_that_fails),
    };
    return cmocka_run_group_tests_name(client_test_store(), tests, client_test_begin, client_test_end);
}
