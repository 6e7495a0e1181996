/* test_moved.c - streams that the server has go on elsewhere, at libtrove's end, frame by frame: what was under way then, who
 * writes or completes at that moment, and what isn't obeyed. With a real troved: tests/integration/test_client_moved.c.
 */
#include "unit_client.h"

#include <pthread.h>

#define CHUNK ((uint64_t)4096)
#define SIZE  (4 * CHUNK)

#define LARGE_CHUNK ((uint64_t)(8 * TV_MIB))

struct fixture {
    struct scripted_server *server;
    trove_client *client;
    trove_stream *stream;
    uint64_t id;
    uint64_t object_size;
};

static int begin(void **state) {
    struct fixture *fixture = calloc(1, sizeof *fixture);
    trove_error error;
    assert_non_null(fixture);
    fixture->object_size = SIZE;
    fixture->server = scripted_server_start(TV_FEATURE_RESUMABLE);
    unit_ok(trove_connect(scripted_server_url(fixture->server), NULL, &fixture->client, &error), &error);
    *state = fixture;
    return 0;
}

static int end(void **state) {
    struct fixture *fixture = *state;
    trove_stream_release(fixture->stream);
    trove_close(fixture->client);
    scripted_server_stop(fixture->server);
    free(fixture);
    return 0;
}

static void on_seek(void *context, uint64_t offset) {
    (void)context;
    (void)offset;
}

static void open_as(struct fixture *fixture, trove_direction direction, bool movable) {
    const struct scripted_opened opened = {.has_object = true, .object_size = fixture->object_size, .credit = 4 * SIZE};
    trove_stream_options options;
    trove_error error;
    trove_stream_options_init(&options);
    options.chunk_bytes = CHUNK;
    options.channel_chunks = 4;
    options.hooks.on_seek = movable ? on_seek : NULL;
    scripted_answer_opens(fixture->server, &opened);
    unit_ok(trove_stream_open(fixture->client, "media", "film", direction, &options, &fixture->stream, &error), &error);
    struct scripted_frame open = scripted_expect_open(fixture->server);
    fixture->id = open.call_id;
    assert_int_equal(open.open.movable, movable);
    unit_ok(trove_stream_start(fixture->stream, &error), &error);
    (void)scripted_expect(fixture->server, fixture->id, TV_BODY(CONTROL)); /* START */
}

static void release(struct fixture *fixture) {
    trove_stream_release(fixture->stream);
    fixture->stream = NULL;
}

static trove_status write_at(struct fixture *fixture, uint64_t offset, trove_error *error) {
    trove_chunk *chunk = NULL;
    unit_ok(trove_stream_chunk_get(fixture->stream, 0, &chunk, error), error);
    memset(chunk->data, (int)(offset / CHUNK), CHUNK);
    chunk->size = CHUNK;
    chunk->offset = offset;
    trove_status status = trove_stream_write(fixture->stream, &chunk, 0, error);
    trove_stream_chunk_put(fixture->stream, chunk);
    return status;
}

/* A resumable upload whose chunk is more than the connection holds unread. */
static void open_large(struct fixture *fixture) {
    const struct scripted_opened opened = {.credit = LARGE_CHUNK, .resumable = true};
    trove_stream_options options;
    trove_error error;
    trove_stream_options_init(&options);
    options.chunk_bytes = LARGE_CHUNK;
    options.channel_chunks = 1;
    options.resumable = true;
    options.hooks.on_seek = on_seek;
    scripted_answer_opens(fixture->server, &opened);
    unit_ok(trove_stream_open(fixture->client, "media", "film", TROVE_DIRECTION_UPLOAD, &options, &fixture->stream, &error),
            &error);
    fixture->id = scripted_expect_open(fixture->server).call_id;
    unit_ok(trove_stream_start(fixture->stream, &error), &error);
    (void)scripted_expect(fixture->server, fixture->id, TV_BODY(CONTROL)); /* START */
}

static void wait_for_chunks_sent(const trove_stream *stream, uint64_t chunks) {
    const struct timespec pause = {.tv_nsec = 1000000};
    trove_stream_metrics m = {0};
    for (unsigned i = 0; i < 30000 && m.chunks_sent < chunks; i++) {
        trove_stream_metrics_get(stream, &m);
        nanosleep(&pause, NULL);
    }
    assert_int_equal(m.chunks_sent, chunks);
}

static void wait_for_offset(const trove_stream *stream, uint64_t offset) {
    const struct timespec pause = {.tv_nsec = 1000000};
    for (unsigned i = 0; i < 30000 && trove_stream_offset(stream) != offset; i++)
        nanosleep(&pause, NULL);
    assert_int_equal(trove_stream_offset(stream), offset);
}

static void expect_chunk(struct fixture *fixture, uint64_t index, uint64_t offset, uint64_t generation) {
    struct scripted_frame frame = scripted_expect(fixture->server, fixture->id, TV_BODY(CHUNK));
    assert_int_equal(frame.chunk.index, index);
    assert_int_equal(frame.chunk.offset, offset);
    assert_int_equal(frame.chunk.generation, generation);
}

static void send_seek(struct fixture *fixture, uint64_t serial, uint64_t offset, uint64_t generation) {
    Trove__V1__Control control = TROVE__V1__CONTROL__INIT;
    control.type = TROVE__V1__CONTROL_TYPE__SEEK;
    control.serial = serial;
    control.offset = offset;
    control.generation = generation;
    scripted_send(fixture->server, fixture->id, TV_BODY(CONTROL), &control, NULL, 0);
}

static void expect_answer(struct fixture *fixture, uint64_t serial, Trove__V1__Code reason) {
    struct scripted_frame frame = scripted_expect(fixture->server, fixture->id, TV_BODY(STATE));
    assert_int_equal(frame.state.serial, serial);
    assert_int_equal(frame.reason, reason);
}

/* ---- uploads ---- */

static void *complete_in_thread(void *context) {
    struct fixture *fixture = context;
    static trove_error error;
    return trove_stream_complete(fixture->stream, 0, NULL, &error) == TROVE_OK ? NULL : &error;
}

/* What is under way when it is moved is sent again from there, under the new generation; the writer has to know it. Then once
 * more, while the program waits for the end. */
static void test_upload(void **state) {
    struct fixture *fixture = *state;
    pthread_t thread;
    void *ended = NULL;
    trove_error error;
    open_as(fixture, TROVE_DIRECTION_UPLOAD, true);
    for (uint64_t i = 0; i < 2; i++) {
        unit_ok(write_at(fixture, i * CHUNK, &error), &error);
        expect_chunk(fixture, i, i * CHUNK, 0);
    }
    scripted_send_ack(fixture->server, fixture->id, 0, 1, 0);
    send_seek(fixture, 1, CHUNK, 1);
    expect_answer(fixture, 1, TROVE__V1__CODE__OK);
    assert_int_equal(trove_stream_offset(fixture->stream), CHUNK);
    unit_fails(write_at(fixture, 2 * CHUNK, &error), TROVE_OUT_OF_RANGE, "byte 4096", &error);
    unit_ok(write_at(fixture, CHUNK, &error), &error);
    expect_chunk(fixture, 0, CHUNK, 1);
    scripted_send_ack(fixture->server, fixture->id, 0, 1, 0);
    unit_check_sums(fixture->stream);

    pthread_create(&thread, NULL, complete_in_thread, fixture);
    expect_chunk(fixture, 1, 2 * CHUNK, 1); /* the empty last one */
    send_seek(fixture, 2, 0, 2);
    expect_answer(fixture, 2, TROVE__V1__CODE__OK);
    pthread_join(thread, &ended);
    assert_non_null(ended);
    unit_fails(((trove_error *)ended)->status, TROVE_OUT_OF_RANGE, "byte 0", ended);
    assert_false(scripted_has(fixture->server, fixture->id, TV_BODY(COMPLETE)));
    unit_fails(trove_stream_complete(fixture->stream, 0, NULL, &error), TROVE_OUT_OF_RANGE, "byte 0", &error);
    unit_ok(write_at(fixture, 0, &error), &error);
    expect_chunk(fixture, 0, 0, 2);
    pthread_create(&thread, NULL, complete_in_thread, fixture);
    expect_chunk(fixture, 1, CHUNK, 2);
    scripted_send_ack(fixture->server, fixture->id, 0, 2, 0);
    struct scripted_frame complete = scripted_expect(fixture->server, fixture->id, TV_BODY(COMPLETE));
    assert_int_equal(complete.complete.size, CHUNK);
    assert_int_equal(complete.complete.chunks, 2);
    assert_string_equal(complete.etag, ""); /* the sums aren't the object's */
    scripted_send_completed(fixture->server, fixture->id, CHUNK);
    pthread_join(thread, &ended);
    assert_null(ended);
    unit_check_sums(fixture->stream);
}

/* Moved to where it stands: who writes needs to know nothing. */
static void test_upload_to_where_it_stands(void **state) {
    struct fixture *fixture = *state;
    trove_error error;
    open_as(fixture, TROVE_DIRECTION_UPLOAD, true);
    unit_ok(write_at(fixture, 0, &error), &error);
    expect_chunk(fixture, 0, 0, 0);
    scripted_send_ack(fixture->server, fixture->id, 0, 1, 0);
    send_seek(fixture, 1, CHUNK, 1);
    expect_answer(fixture, 1, TROVE__V1__CODE__OK);
    unit_ok(write_at(fixture, CHUNK, &error), &error);
    expect_chunk(fixture, 0, CHUNK, 1);
}

/* The server reads nothing while it moves the upload into a chunk that is still being sent: the client follows all the same, and
 * goes on hearing what the server says. */
static void test_upload_into_what_is_being_sent(void **state) {
    struct fixture *fixture = *state;
    const uint64_t target = CHUNK + TV_BLOCK_BYTES / 2;
    trove_chunk *chunk = NULL;
    trove_error error;
    open_large(fixture);
    scripted_hold(fixture->server, true);
    unit_ok(trove_stream_chunk_get(fixture->stream, 0, &chunk, &error), &error);
    memset(chunk->data, 1, LARGE_CHUNK);
    chunk->size = LARGE_CHUNK;
    chunk->offset = 0;
    unit_ok(trove_stream_write(fixture->stream, &chunk, 0, &error), &error);
    wait_for_chunks_sent(fixture->stream, 1);
    send_seek(fixture, 1, target, 1);
    wait_for_offset(fixture->stream, target);
    send_seek(fixture, 2, CHUNK, 2); /* and once more, into what is left of it */
    wait_for_offset(fixture->stream, CHUNK);
    unit_check_sums(fixture->stream);
    scripted_hold(fixture->server, false);
    expect_answer(fixture, 1, TROVE__V1__CODE__OK);
    expect_answer(fixture, 2, TROVE__V1__CODE__OK);
    unit_check_sums(fixture->stream);
}

/* ---- downloads ---- */

static void send_chunk(struct fixture *fixture, uint64_t index, uint64_t offset, uint64_t generation) {
    static const char zeros[CHUNK];
    Trove__V1__Chunk chunk = TROVE__V1__CHUNK__INIT;
    chunk.index = index;
    chunk.offset = offset;
    chunk.chunk_bytes = CHUNK;
    chunk.generation = generation;
    scripted_send(fixture->server, fixture->id, TV_BODY(CHUNK), &chunk, zeros, CHUNK);
}

static void test_download(void **state) {
    struct fixture *fixture = *state;
    trove_chunk *kept = NULL;
    trove_chunk *chunk = NULL;
    trove_error error;
    open_as(fixture, TROVE_DIRECTION_DOWNLOAD, true);
    send_chunk(fixture, 0, 0, 0);
    send_chunk(fixture, 1, CHUNK, 0);
    unit_ok(trove_stream_read(fixture->stream, 0, &kept, &error), &error);
    send_seek(fixture, 1, 2 * CHUNK, 1);
    expect_answer(fixture, 1, TROVE__V1__CODE__OK);
    assert_int_equal(trove_stream_offset(fixture->stream), 2 * CHUNK);
    send_chunk(fixture, 0, 2 * CHUNK, 1);
    unit_ok(trove_stream_read(fixture->stream, 0, &chunk, &error), &error);
    assert_int_equal(chunk->offset, 2 * CHUNK);
    assert_int_equal(chunk->index, 0);
    trove_stream_chunk_put(fixture->stream, kept); /* nobody wants to know of it any more */
    trove_stream_chunk_put(fixture->stream, chunk);
    struct scripted_frame ack = scripted_expect(fixture->server, fixture->id, TV_BODY(ACK));
    assert_int_equal(ack.ack.generation, 1);
    assert_int_equal(ack.range.first, 0);
    assert_int_equal(ack.range.count, 1);
    unit_check_sums(fixture->stream);
}

/* ---- crossing ---- */

static void *seek_in_thread(void *context) {
    struct fixture *fixture = context;
    static trove_error error;
    bool done = trove_stream_control(fixture->stream, TROVE_CONTROL_SEEK, 0, 0, NULL, &error) == TROVE_OK;
    return done ? NULL : &error;
}

/* The program's own seek is under way: the server was first, and says so. */
static void test_crossing(void **state) {
    struct fixture *fixture = *state;
    pthread_t thread;
    void *ended = NULL;
    trove_error error;
    Trove__V1__State refusal = TROVE__V1__STATE__INIT;
    Trove__V1__Status why = TROVE__V1__STATUS__INIT;
    open_as(fixture, TROVE_DIRECTION_UPLOAD, true);
    for (uint64_t i = 0; i < 2; i++) {
        unit_ok(write_at(fixture, i * CHUNK, &error), &error);
        expect_chunk(fixture, i, i * CHUNK, 0); /* while the seek is unanswered nothing is sent */
    }
    scripted_send_ack(fixture->server, fixture->id, 0, 2, 0);
    pthread_create(&thread, NULL, seek_in_thread, fixture);
    struct scripted_frame own = scripted_expect(fixture->server, fixture->id, TV_BODY(CONTROL));
    assert_int_equal(own.control.type, TROVE__V1__CONTROL_TYPE__SEEK);
    assert_int_equal(own.control.generation, 1);
    send_seek(fixture, 1, CHUNK, 1);
    expect_answer(fixture, 1, TROVE__V1__CODE__OK);
    why.code = TROVE__V1__CODE__FAILED_PRECONDITION;
    why.message = (char *)"it was moved";
    refusal.serial = own.control.serial;
    refusal.state = TROVE__V1__STREAM_STATE__ACTIVE;
    refusal.status = &why;
    scripted_send(fixture->server, fixture->id, TV_BODY(STATE), &refusal, NULL, 0);
    pthread_join(thread, &ended);
    assert_non_null(ended);
    unit_fails(((trove_error *)ended)->status, TROVE_FAILED_PRECONDITION, "it was moved", ended);
    assert_int_equal(trove_stream_offset(fixture->stream), CHUNK);
    unit_ok(write_at(fixture, CHUNK, &error), &error);
    expect_chunk(fixture, 0, CHUNK, 1);
}

/* A server that moves a stream and then agrees to the program's own seek of before, too: that was for another place. */
static void test_both(void **state) {
    struct fixture *fixture = *state;
    for (trove_direction direction = TROVE_DIRECTION_UPLOAD; direction <= TROVE_DIRECTION_DOWNLOAD; direction++) {
        pthread_t thread;
        trove_error error;
        Trove__V1__State agreed = TROVE__V1__STATE__INIT;
        open_as(fixture, direction, true);
        if (direction == TROVE_DIRECTION_UPLOAD)
            unit_ok(write_at(fixture, 0, &error), &error);
        pthread_create(&thread, NULL, seek_in_thread, fixture);
        struct scripted_frame own = scripted_expect(fixture->server, fixture->id, TV_BODY(CONTROL));
        send_seek(fixture, 1, CHUNK, 1);
        expect_answer(fixture, 1, TROVE__V1__CODE__OK);
        agreed.serial = own.control.serial;
        agreed.state = TROVE__V1__STREAM_STATE__ACTIVE;
        scripted_send(fixture->server, fixture->id, TV_BODY(STATE), &agreed, NULL, 0);
        pthread_join(thread, NULL);
        assert_int_equal(trove_stream_offset(fixture->stream), CHUNK);
        unit_check_sums(fixture->stream);
        release(fixture);
    }
}

/* ---- what isn't obeyed ---- */

static const struct row {
    const char *name;
    trove_direction direction;
    bool movable;
    uint64_t offset;
    uint64_t generation;
    Trove__V1__Code code;
} rows[] = {
    {"an upload that can't be moved", TROVE_DIRECTION_UPLOAD, false, 0, 1, TROVE__V1__CODE__UNIMPLEMENTED},
    {"a download that can't be moved", TROVE_DIRECTION_DOWNLOAD, false, 0, 1, TROVE__V1__CODE__UNIMPLEMENTED},
    {"the generation that there is", TROVE_DIRECTION_UPLOAD, true, 0, 0, TROVE__V1__CODE__INVALID_ARGUMENT},
    {"a generation later", TROVE_DIRECTION_UPLOAD, true, 0, 2, TROVE__V1__CODE__INVALID_ARGUMENT},
    {"beyond what was written", TROVE_DIRECTION_UPLOAD, true, CHUNK + 1, 1, TROVE__V1__CODE__FAILED_PRECONDITION},
    {"beyond the object", TROVE_DIRECTION_DOWNLOAD, true, SIZE + 1, 1, TROVE__V1__CODE__OUT_OF_RANGE},
    {"as far as it goes", TROVE_DIRECTION_DOWNLOAD, true, UINT64_MAX, 1, TROVE__V1__CODE__OUT_OF_RANGE},
};

/* It goes on as if nothing had been said. */
static void test_not_obeyed(void **state) {
    struct fixture *fixture = *state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const struct row *row = &rows[i];
        bool upload = row->direction == TROVE_DIRECTION_UPLOAD;
        trove_chunk *chunk = NULL;
        trove_error error;
        unit_row(row->name);
        open_as(fixture, row->direction, row->movable);
        if (upload)
            unit_ok(write_at(fixture, 0, &error), &error);
        send_seek(fixture, 7, row->offset, row->generation);
        expect_answer(fixture, 7, row->code);
        if (upload) {
            unit_ok(write_at(fixture, CHUNK, &error), &error);
            expect_chunk(fixture, 0, 0, 0);
            expect_chunk(fixture, 1, CHUNK, 0);
        } else {
            send_chunk(fixture, 0, 0, 0);
            unit_ok(trove_stream_read(fixture->stream, 0, &chunk, &error), &error);
            trove_stream_chunk_put(fixture->stream, chunk);
        }
        unit_check_sums(fixture->stream);
        release(fixture);
    }
}

/* A server that says to have more than there can be. */
static void test_beyond_all(void **state) {
    struct fixture *fixture = *state;
    fixture->object_size = UINT64_MAX - 1;
    open_as(fixture, TROVE_DIRECTION_DOWNLOAD, true);
    send_seek(fixture, 7, TV_OFFSET_MAX + 1, 1);
    expect_answer(fixture, 7, TROVE__V1__CODE__OUT_OF_RANGE);
    send_seek(fixture, 8, TV_OFFSET_MAX, 1);
    expect_answer(fixture, 8, TROVE__V1__CODE__OK);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_upload, begin, end),
        cmocka_unit_test_setup_teardown(test_upload_to_where_it_stands, begin, end),
        cmocka_unit_test_setup_teardown(test_upload_into_what_is_being_sent, begin, end),
        cmocka_unit_test_setup_teardown(test_download, begin, end),
        cmocka_unit_test_setup_teardown(test_crossing, begin, end),
        cmocka_unit_test_setup_teardown(test_both, begin, end),
        cmocka_unit_test_setup_teardown(test_not_obeyed, begin, end),
        cmocka_unit_test_setup_teardown(test_beyond_all, begin, end),
    };
    return cmocka_run_group_tests_name("moved", tests, NULL, NULL);
}
