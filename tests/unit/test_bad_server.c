/* test_bad_server.c - a server that sends a download what troved never does: the stream fails and says why, and nothing else
 * happens. (On two-way streams: test_two_way.c.)
 */
#include "unit_client.h"

#include <pthread.h>

#define CHUNK   ((uint64_t)4096)
#define CHANNEL 4
#define SIZE    (2 * CHUNK)
#define GUARD   0xA5

struct fixture {
    struct scripted_server *server;
    trove_client *client;
    trove_stream *stream;
    uint64_t id;
};

static int begin(void **state) {
    struct fixture *fixture = calloc(1, sizeof *fixture);
    trove_error error;
    assert_non_null(fixture);
    fixture->server = scripted_server_start(TV_FEATURE_LOSSY);
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

/* A download of SIZE bytes. */
static void open_download(struct fixture *fixture, bool lossy) {
    const struct scripted_opened opened = {.has_object = true, .object_size = SIZE};
    trove_stream_options options;
    trove_error error;
    trove_stream_options_init(&options);
    options.chunk_bytes = CHUNK;
    options.channel_chunks = CHANNEL;
    options.lossy = lossy;
    scripted_answer_opens(fixture->server, &opened);
    unit_ok(trove_stream_open(fixture->client, "media", "film", TROVE_DIRECTION_DOWNLOAD, &options, &fixture->stream, &error),
            &error);
    fixture->id = scripted_expect_open(fixture->server).call_id;
    unit_ok(trove_stream_start(fixture->stream, &error), &error);
}

static void release(struct fixture *fixture) {
    trove_stream_release(fixture->stream);
    fixture->stream = NULL;
}

static void send_gap(struct fixture *fixture, uint64_t call_id, uint64_t count, uint64_t offset, uint64_t length) {
    Trove__V1__Gap gap = TROVE__V1__GAP__INIT;
    gap.count = count;
    gap.offset = offset;
    gap.length = length;
    scripted_send(fixture->server, call_id, TV_BODY(GAP), &gap, NULL, 0);
}

/* ---- rows ---- */

static void gap_beyond_the_end(struct fixture *fixture) {
    send_gap(fixture, fixture->id, 100, 0, SIZE + 1);
}

static void gap_far_beyond_the_end(struct fixture *fixture) {
    send_gap(fixture, fixture->id, UINT64_MAX / 2, 0, UINT64_C(1) << 62);
}

static void chunk_beyond_the_end(struct fixture *fixture) {
    scripted_send_chunk(fixture->server, fixture->id, 0, SIZE + 1, 1, false);
}

static void chunk_across_the_end(struct fixture *fixture) {
    send_gap(fixture, fixture->id, 2, 0, SIZE - 1);
    scripted_send_chunk(fixture->server, fixture->id, 2, SIZE - 1, 2, false);
}

static void chunk_abort(struct fixture *fixture) {
    Trove__V1__Chunk chunk = TROVE__V1__CHUNK__INIT;
    Trove__V1__ChunkAbort abort = TROVE__V1__CHUNK_ABORT__INIT;
    uint8_t byte = 1;
    chunk.chunk_bytes = 2;
    scripted_send(fixture->server, fixture->id, TV_BODY(CHUNK), &chunk, &byte, 1);
    scripted_send(fixture->server, fixture->id, TV_BODY(CHUNK_ABORT), &abort, NULL, 0);
}

static void middle_of_a_chunk(struct fixture *fixture) {
    Trove__V1__Chunk chunk = TROVE__V1__CHUNK__INIT;
    uint8_t byte = 1;
    chunk.chunk_bytes = 2;
    chunk.fragment_offset = 1;
    chunk.offset = 1;
    scripted_send(fixture->server, fixture->id, TV_BODY(CHUNK), &chunk, &byte, 1);
}

static const struct row {
    const char *name;
    void (*misbehave)(struct fixture *fixture);
    trove_status status;
    const char *text;
} rows[] = {
    {"a gap beyond the end", gap_beyond_the_end, TROVE_INTERNAL, "lost more than the 8192 bytes"},
    {"a gap of exabytes", gap_far_beyond_the_end, TROVE_INTERNAL, "lost more than the 8192 bytes"},
    {"a chunk beyond the end", chunk_beyond_the_end, TROVE_INTERNAL, "more than the 8192 bytes"},
    {"a chunk across the end", chunk_across_the_end, TROVE_INTERNAL, "more than the 8192 bytes"},
    {"a chunk abort", chunk_abort, TROVE_INTERNAL, "doesn't belong to this stream"},
    {"the middle of a chunk that wasn't begun", middle_of_a_chunk, TROVE_INVALID_ARGUMENT, "out of order"},
};

static void test_misbehaviour(void **state) {
    struct fixture *fixture = *state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        trove_chunk *chunk = NULL;
        trove_error error;
        unit_row(rows[i].name);
        open_download(fixture, true);
        rows[i].misbehave(fixture);
        unit_fails(trove_stream_read(fixture->stream, 0, &chunk, &error), rows[i].status, rows[i].text, &error);
        unit_check_sums(fixture->stream);
        release(fixture);
    }
}

/* ---- seeks ---- */

/* A server might agree to any place: it isn't asked about those that the stream doesn't have. */
static void test_seeks_out_of_reach(void **state) {
    struct fixture *fixture = *state;
    const struct scripted_opened opened = {
        .chunk_bytes = CHUNK, .channel_chunks = CHANNEL, .has_object = true, .object_size = 3 * SIZE};
    static const uint64_t places[] = {0, CHUNK - 1, CHUNK + SIZE + 1, UINT64_C(1) << 63, UINT64_MAX};
    trove_stream_options options;
    trove_error error;
    trove_stream_options_init(&options);
    options.range_offset = CHUNK;
    options.range_length = SIZE;
    for (int upload = 0; upload <= 1; upload++) {
        trove_direction direction = upload ? TROVE_DIRECTION_UPLOAD : TROVE_DIRECTION_DOWNLOAD;
        trove_status status = upload ? TROVE_FAILED_PRECONDITION : TROVE_OUT_OF_RANGE;
        unit_row(upload ? "upload" : "download");
        scripted_answer_opens(fixture->server, &opened);
        unit_ok(
            trove_stream_open(fixture->client, "media", "film", direction, upload ? NULL : &options, &fixture->stream, &error),
            &error);
        fixture->id = scripted_expect_open(fixture->server).call_id;
        unit_ok(trove_stream_start(fixture->stream, &error), &error);
        struct scripted_frame control = scripted_expect(fixture->server, fixture->id, TV_BODY(CONTROL));
        assert_int_equal(control.control.type, TROVE__V1__CONTROL_TYPE__START);
        for (size_t i = (size_t)upload; i < sizeof places / sizeof places[0]; i++)
            unit_fails(trove_stream_control(fixture->stream, TROVE_CONTROL_SEEK, places[i], 0, NULL, &error), status,
                       "can't go on at", &error);
        assert_false(scripted_has(fixture->server, fixture->id, TV_BODY(CONTROL)));
        release(fixture);
    }
}

/* ---- more chunks than were agreed on ---- */

/* Of a pool that a stream with a larger window has left, the next stream takes what it asked for: a server that cuts its credit
 * into many small chunks has them come back, one after the other. */
static void test_window_of_one_chunk(void **state) {
    struct fixture *fixture = *state;
    const struct scripted_opened opened = {.has_object = true, .object_size = SIZE};
    trove_stream_options options;
    trove_error error;
    trove_chunk *chunk = NULL;
    trove_chunk_stats stats;
    open_download(fixture, false);
    release(fixture);
    trove_stream_options_init(&options);
    options.chunk_bytes = CHUNK;
    options.channel_chunks = 1;
    scripted_answer_opens(fixture->server, &opened);
    unit_ok(trove_stream_open(fixture->client, "media", "film", TROVE_DIRECTION_DOWNLOAD, &options, &fixture->stream, &error),
            &error);
    fixture->id = scripted_expect_open(fixture->server).call_id;
    unit_ok(trove_stream_start(fixture->stream, &error), &error);
    trove_stream_chunk_stats(fixture->stream, &stats);
    assert_int_equal(stats.chunks, 1);
    scripted_send_chunk(fixture->server, fixture->id, 0, 0, 10, false);
    scripted_send_chunk(fixture->server, fixture->id, 1, 10, 10, false);
    struct scripted_frame ack = scripted_expect(fixture->server, fixture->id, TV_BODY(ACK));
    assert_true(ack.ack.not_taken);
    assert_int_equal(ack.range.first, 1);
    unit_ok(trove_stream_read(fixture->stream, 0, &chunk, &error), &error);
    trove_stream_chunk_put(fixture->stream, chunk);
    unit_check_sums(fixture->stream);
}

/* ---- the program's memory ---- */

struct getter {
    struct fixture *fixture;
    uint8_t *memory;
    trove_status status;
    trove_error error;
    pthread_t thread;
};

static void *get_in_thread(void *argument) {
    struct getter *getter = argument;
    trove_stream_options options;
    trove_stream_options_init(&options);
    options.lossy = true;
    getter->status =
        trove_get_memory(getter->fixture->client, "media", "film", getter->memory, SIZE, &options, NULL, NULL, &getter->error);
    return NULL;
}

/* Whatever the server says that it lost, nothing is written outside of what was given. */
static void test_memory_of_the_program(void **state) {
    struct fixture *fixture = *state;
    const struct scripted_opened opened = {
        .chunk_bytes = CHUNK, .channel_chunks = CHANNEL, .has_object = true, .object_size = SIZE};
    uint8_t *memory = malloc(4 * SIZE);
    assert_non_null(memory);
    memset(memory, GUARD, 4 * SIZE);
    scripted_answer_opens(fixture->server, &opened);
    struct getter getter = {.fixture = fixture, .memory = memory};
    pthread_create(&getter.thread, NULL, get_in_thread, &getter);
    uint64_t id = scripted_expect_open(fixture->server).call_id;
    send_gap(fixture, id, 3, 0, 3 * SIZE);
    scripted_send_chunk(fixture->server, id, 3, 3 * SIZE, 1, true);
    pthread_join(getter.thread, NULL);
    unit_fails(getter.status, TROVE_INTERNAL, "lost more than", &getter.error);
    for (size_t i = SIZE; i < 4 * SIZE; i++)
        assert_int_equal(memory[i], GUARD);
    free(memory);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_misbehaviour, begin, end),
        cmocka_unit_test_setup_teardown(test_seeks_out_of_reach, begin, end),
        cmocka_unit_test_setup_teardown(test_window_of_one_chunk, begin, end),
        cmocka_unit_test_setup_teardown(test_memory_of_the_program, begin, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
