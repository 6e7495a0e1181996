/* test_two_way.c - streams that go both ways, at libtrove's end: the order of what is said at half-closes, what is told of which
 * way, and a server that doesn't keep to it. With a real troved: tests/integration/test_client_two_way.c.
 */
#include "unit_client.h"

#include "elsewhere.h"
#include "stream.h"

#define CHUNK   ((uint64_t)4096)
#define CHANNEL 4

struct fixture {
    struct scripted_server *server;
    trove_client *client;
    trove_stream *stream;
    uint64_t id;
    unsigned errors;
    trove_error error;
    unsigned completed;
    unsigned acks_up;
    unsigned acks_down;
};

static int begin(void **state) {
    struct fixture *fixture = calloc(1, sizeof *fixture);
    trove_error error;
    assert_non_null(fixture);
    fixture->server = scripted_server_start(TV_FEATURE_BIDI | TV_FEATURE_LOSSY);
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

/* ---- hooks; on the hook thread until the stream is released ---- */

static void on_chunk(void *context, const trove_chunk_ack *ack) {
    struct fixture *fixture = context;
    if (ack->direction == TROVE_DIRECTION_UPLOAD)
        fixture->acks_up++;
    else if (ack->direction == TROVE_DIRECTION_DOWNLOAD)
        fixture->acks_down++;
}

static void on_complete(void *context, const trove_object_info *info) {
    struct fixture *fixture = context;
    MUST(info != NULL);
    fixture->completed++;
}

static void on_error(void *context, const trove_error *error) {
    struct fixture *fixture = context;
    fixture->errors++;
    fixture->error = *error;
}

/* ---- the stream ---- */

static trove_stream_options small_options(struct fixture *fixture) {
    trove_stream_options options;
    trove_stream_options_init(&options);
    options.chunk_bytes = CHUNK;
    options.channel_chunks = CHANNEL;
    options.hooks =
        (trove_stream_hooks){.context = fixture, .on_chunk = on_chunk, .on_complete = on_complete, .on_error = on_error};
    return options;
}

/* A stream whose object has `size` bytes (TROVE_SIZE_UNKNOWN: there is none), with credit for the whole window. */
static void open_stream(struct fixture *fixture, uint64_t size) {
    trove_stream_options options = small_options(fixture);
    const struct scripted_opened opened = {
        .credit = CHANNEL * CHUNK, .has_object = size != TROVE_SIZE_UNKNOWN, .object_size = size};
    trove_error error;
    scripted_answer_opens(fixture->server, &opened);
    unit_ok(trove_stream_open(fixture->client, "media", "film", TROVE_DIRECTION_BIDI, &options, &fixture->stream, &error),
            &error);
    struct scripted_frame open = scripted_expect_open(fixture->server);
    assert_int_equal(open.open.direction, TROVE__V1__DIRECTION__BIDI);
    assert_int_equal(open.open.credit, CHANNEL * CHUNK);
    assert_int_equal(open.open.demand, CHANNEL * CHUNK);
    fixture->id = open.call_id;
    unit_ok(trove_stream_start(fixture->stream, &error), &error);
}

static void write_chunk(struct fixture *fixture, size_t bytes, bool final) {
    trove_chunk *chunk = NULL;
    trove_error error;
    unit_ok(trove_stream_chunk_get(fixture->stream, 0, &chunk, &error), &error);
    memset(chunk->data, 1, bytes);
    chunk->size = bytes;
    chunk->final = final;
    unit_ok(trove_stream_write(fixture->stream, &chunk, 0, &error), &error);
}

static void read_chunk(struct fixture *fixture, size_t bytes) {
    trove_chunk *chunk = NULL;
    trove_error error;
    unit_ok(trove_stream_read(fixture->stream, 0, &chunk, &error), &error);
    assert_non_null(chunk);
    assert_int_equal(chunk->size, bytes);
    trove_stream_chunk_put(fixture->stream, chunk);
}

static void read_end(struct fixture *fixture) {
    trove_chunk *chunk = NULL;
    trove_error error;
    unit_ok(trove_stream_read(fixture->stream, 0, &chunk, &error), &error);
    assert_null(chunk);
}

/* ---- half-close ---- */

/* The way up ends first. The server hears of it when all is acknowledged, and not before; the stream goes on. */
static void test_up_ends_first(void **state) {
    struct fixture *fixture = *state;
    trove_error error;
    open_stream(fixture, CHUNK);
    write_chunk(fixture, CHUNK, false);
    write_chunk(fixture, 10, true);
    (void)scripted_expect(fixture->server, fixture->id, TV_BODY(CHUNK));
    struct scripted_frame last = scripted_expect(fixture->server, fixture->id, TV_BODY(CHUNK));
    assert_true(last.chunk.final);
    assert_false(scripted_has(fixture->server, fixture->id, TV_BODY(COMPLETE)));
    scripted_send_ack(fixture->server, fixture->id, 0, 2, 0);
    struct scripted_frame complete = scripted_expect(fixture->server, fixture->id, TV_BODY(COMPLETE));
    assert_int_equal(complete.complete.size, CHUNK + 10);
    assert_int_equal(complete.complete.chunks, 2);
    assert_int_equal(strlen(complete.etag), TROVE_ETAG_BYTES - 1);
    assert_int_equal(trove_stream_state_get(fixture->stream), TROVE_STREAM_ACTIVE);
    trove_chunk *chunk = NULL;
    unit_ok(trove_stream_chunk_get(fixture->stream, 0, &chunk, &error), &error);
    chunk->size = 1;
    unit_fails(trove_stream_write(fixture->stream, &chunk, 0, &error), TROVE_FAILED_PRECONDITION, "last one", &error);
    trove_stream_chunk_put(fixture->stream, chunk);

    scripted_send_chunk(fixture->server, fixture->id, 0, 0, CHUNK, true);
    read_chunk(fixture, CHUNK);
    assert_false(scripted_has(fixture->server, fixture->id, TV_BODY(COMPLETED)));
    scripted_send_complete(fixture->server, fixture->id, CHUNK, 1);
    read_end(fixture);
    (void)scripted_expect(fixture->server, fixture->id, TV_BODY(COMPLETED));
    assert_int_equal(trove_stream_state_get(fixture->stream), TROVE_STREAM_COMPLETING);
    unit_check_sums(fixture->stream);
    scripted_send_completed(fixture->server, fixture->id, CHUNK + 10);
    unit_ok(trove_stream_complete(fixture->stream, 0, NULL, &error), &error);
    assert_int_equal(trove_stream_object(fixture->stream)->size, CHUNK + 10);
    assert_int_equal(trove_stream_object(fixture->stream)->generation, 2);
    unit_check_sums(fixture->stream);
    trove_stream_release(fixture->stream);
    fixture->stream = NULL;
    assert_int_equal(fixture->acks_up, 2);
    assert_int_equal(fixture->acks_down, 1);
    assert_int_equal(fixture->completed, 1);
}

/* The way down ends first: the end is read and confirmed, then writing goes on. */
static void test_down_ends_first(void **state) {
    struct fixture *fixture = *state;
    trove_error error;
    trove_object_info *info = NULL;
    open_stream(fixture, CHUNK);
    assert_int_equal(trove_stream_object(fixture->stream)->size, CHUNK);
    scripted_send_chunk(fixture->server, fixture->id, 0, 0, CHUNK, true);
    scripted_send_complete(fixture->server, fixture->id, CHUNK, 1);
    read_chunk(fixture, CHUNK);
    read_end(fixture);
    (void)scripted_expect(fixture->server, fixture->id, TV_BODY(COMPLETED));
    assert_int_equal(trove_stream_state_get(fixture->stream), TROVE_STREAM_ACTIVE);
    assert_int_equal(trove_stream_read_offset(fixture->stream), CHUNK);
    for (unsigned i = 0; i < 2 * CHANNEL; i++) {
        write_chunk(fixture, CHUNK, false);
        (void)scripted_expect(fixture->server, fixture->id, TV_BODY(CHUNK));
        scripted_send_ack(fixture->server, fixture->id, i, 1, CHUNK);
    }
    assert_int_equal(trove_stream_offset(fixture->stream), 2 * CHANNEL * CHUNK);
    assert_int_equal(trove_stream_object(fixture->stream)->generation, 1); /* still what was read */
    read_end(fixture);
    unit_fails(trove_stream_complete(fixture->stream, 50, NULL, &error), TROVE_DEADLINE_EXCEEDED, "the way up", &error);
    (void)scripted_expect(fixture->server, fixture->id, TV_BODY(CHUNK)); /* the library's own last one */
    scripted_send_ack(fixture->server, fixture->id, 2 * CHANNEL, 1, 0);
    (void)scripted_expect(fixture->server, fixture->id, TV_BODY(COMPLETE));
    assert_int_equal(trove_stream_state_get(fixture->stream), TROVE_STREAM_COMPLETING);
    scripted_send_completed(fixture->server, fixture->id, 2 * CHANNEL * CHUNK);
    unit_ok(trove_stream_complete(fixture->stream, 0, &info, &error), &error);
    assert_int_equal(info->generation, 2);
    trove_object_info_free(info);
}

/* Completing waits for both, and says for which in vain. Nothing is confirmed that wasn't read. */
static void test_complete_without_reading(void **state) {
    struct fixture *fixture = *state;
    trove_error error;
    open_stream(fixture, CHUNK);
    scripted_send_chunk(fixture->server, fixture->id, 0, 0, CHUNK, true);
    scripted_send_complete(fixture->server, fixture->id, CHUNK, 1);
    write_chunk(fixture, 5, true);
    (void)scripted_expect(fixture->server, fixture->id, TV_BODY(CHUNK));
    scripted_send_ack(fixture->server, fixture->id, 0, 1, 0);
    (void)scripted_expect(fixture->server, fixture->id, TV_BODY(COMPLETE));
    unit_fails(trove_stream_complete(fixture->stream, 50, NULL, &error), TROVE_DEADLINE_EXCEEDED, "the way down", &error);
    assert_false(scripted_has(fixture->server, fixture->id, TV_BODY(COMPLETED)));
    read_chunk(fixture, CHUNK);
    (void)scripted_expect(fixture->server, fixture->id, TV_BODY(COMPLETED));
    unit_fails(trove_stream_complete(fixture->stream, 50, NULL, &error), TROVE_DEADLINE_EXCEEDED, "the way up", &error);
    scripted_send_completed(fixture->server, fixture->id, 5);
    unit_ok(trove_stream_complete(fixture->stream, 0, NULL, &error), &error);
}

/* What the program still holds when it completes isn't acknowledged after the server was told that all is here. */
static void test_chunk_kept_beyond_the_end(void **state) {
    struct fixture *fixture = *state;
    trove_error error;
    trove_chunk *kept = NULL;
    open_stream(fixture, CHUNK);
    scripted_send_chunk(fixture->server, fixture->id, 0, 0, CHUNK, true);
    scripted_send_complete(fixture->server, fixture->id, CHUNK, 1);
    unit_ok(trove_stream_read(fixture->stream, 0, &kept, &error), &error);
    read_end(fixture);
    (void)scripted_expect(fixture->server, fixture->id, TV_BODY(COMPLETED));
    unit_check_sums(fixture->stream);
    trove_stream_chunk_put(fixture->stream, kept);
    unit_check_sums(fixture->stream);
    write_chunk(fixture, 5, true);
    (void)scripted_expect(fixture->server, fixture->id, TV_BODY(CHUNK)); /* what was put back would have been told before it */
    assert_false(scripted_has(fixture->server, fixture->id, TV_BODY(ACK)));
    scripted_send_ack(fixture->server, fixture->id, 0, 1, 0);
    (void)scripted_expect(fixture->server, fixture->id, TV_BODY(COMPLETE));
    scripted_send_completed(fixture->server, fixture->id, 5);
    unit_ok(trove_stream_complete(fixture->stream, 0, NULL, &error), &error);
}

static void test_object_absent(void **state) {
    struct fixture *fixture = *state;
    trove_error error;
    open_stream(fixture, TROVE_SIZE_UNKNOWN);
    assert_null(trove_stream_object(fixture->stream));
    scripted_send_complete(fixture->server, fixture->id, 0, 0);
    (void)scripted_expect(fixture->server, fixture->id, TV_BODY(COMPLETED)); /* nobody needs to read for that */
    read_end(fixture);
    write_chunk(fixture, 7, true);
    (void)scripted_expect(fixture->server, fixture->id, TV_BODY(CHUNK));
    scripted_send_ack(fixture->server, fixture->id, 0, 1, 0);
    (void)scripted_expect(fixture->server, fixture->id, TV_BODY(COMPLETE));
    scripted_send_completed(fixture->server, fixture->id, 7);
    unit_ok(trove_stream_complete(fixture->stream, 0, NULL, &error), &error);
    assert_int_equal(trove_stream_object(fixture->stream)->size, 7);
}

/* A failure of the program's own is its own as long as the server can't be publishing. */
static void test_fail_before_confirming(void **state) {
    struct fixture *fixture = *state;
    open_stream(fixture, CHUNK);
    write_chunk(fixture, 5, true);
    (void)scripted_expect(fixture->server, fixture->id, TV_BODY(CHUNK));
    scripted_send_ack(fixture->server, fixture->id, 0, 1, 0);
    (void)scripted_expect(fixture->server, fixture->id, TV_BODY(COMPLETE));
    scripted_send_chunk(fixture->server, fixture->id, 0, 0, CHUNK, true);
    scripted_send_complete(fixture->server, fixture->id, CHUNK, 1);
    unit_wait_for_state(fixture->stream, TROVE_STREAM_COMPLETING);
    trove_stream_fail(fixture->stream, TROVE_ABORTED, "enough");
    assert_int_equal(trove_stream_state_get(fixture->stream), TROVE_STREAM_FAILED);
    struct scripted_frame control;
    do
        control = scripted_expect(fixture->server, fixture->id, TV_BODY(CONTROL));
    while (control.control.type != TROVE__V1__CONTROL_TYPE__FAIL);
    assert_int_equal(control.reason, TROVE_ABORTED);
    assert_false(scripted_has(fixture->server, fixture->id, TV_BODY(COMPLETED)));
    trove_stream_release(fixture->stream);
    fixture->stream = NULL;
    assert_int_equal(fixture->errors, 1);
}

/* More and smaller chunks than there is memory for: what wasn't taken comes again, although its end was told already. */
static void test_resent_behind_complete(void **state) {
    struct fixture *fixture = *state;
    trove_error error;
    open_stream(fixture, (CHANNEL + 2) * 100);
    for (unsigned i = 0; i < CHANNEL + 2; i++)
        scripted_send_chunk(fixture->server, fixture->id, i, i * 100, 100, i == CHANNEL + 1);
    scripted_send_complete(fixture->server, fixture->id, (CHANNEL + 2) * 100, CHANNEL + 2);
    struct scripted_frame ack = scripted_expect(fixture->server, fixture->id, TV_BODY(ACK));
    assert_true(ack.ack.not_taken);
    assert_int_equal(ack.range.first, CHANNEL);
    for (unsigned i = 0; i < CHANNEL; i++)
        read_chunk(fixture, 100);
    unit_fails(trove_stream_complete(fixture->stream, 20, NULL, &error), TROVE_DEADLINE_EXCEEDED, "the way down", &error);
    for (unsigned i = CHANNEL; i < CHANNEL + 2; i++) {
        scripted_send_chunk(fixture->server, fixture->id, i, i * 100, 100, i == CHANNEL + 1);
        read_chunk(fixture, 100);
    }
    read_end(fixture);
    (void)scripted_expect(fixture->server, fixture->id, TV_BODY(COMPLETED));
    unit_check_sums(fixture->stream);
}

/* ---- demand ---- */

/* The timer has found the way up idle and is about to say so when the next chunk is written: what the server hears last is that
 * there is demand. */
static void test_demand_crosses_idleness(void **state) {
    struct fixture *fixture = *state;
    trove_stream *stream = NULL;
    open_stream(fixture, 0);
    stream = fixture->stream;
    pthread_mutex_lock(&stream->client->lock);
    assert_true(tvc_upload_idle(stream, tv_now_ns() + UINT64_C(2000000000)));
    pthread_mutex_unlock(&stream->client->lock);
    write_chunk(fixture, CHUNK, false);
    tvc_client_wake(stream->client, &stream->flow, TV_WANTS_CONTROL); /* by the timer */
    (void)scripted_expect(fixture->server, fixture->id, TV_BODY(CHUNK));
    write_chunk(fixture, CHUNK, false); /* a demand that came after the first chunk would be here before the second */
    (void)scripted_expect(fixture->server, fixture->id, TV_BODY(CHUNK));
    assert_int_equal(scripted_expect(fixture->server, fixture->id, TV_BODY(DEMAND)).demand.bytes, CHANNEL * CHUNK);
    assert_false(scripted_has(fixture->server, fixture->id, TV_BODY(DEMAND)));
}

/* ---- each for itself ---- */

/* Chunks of one way that the program keeps are not taken from the other. */
static void test_hoarded_chunks(void **state) {
    struct fixture *fixture = *state;
    trove_chunk *up[CHANNEL + 2];
    trove_chunk *down[CHANNEL];
    trove_chunk *none = NULL;
    trove_error error;
    trove_chunk_stats stats;
    open_stream(fixture, 2 * CHANNEL * CHUNK);
    for (unsigned i = 0; i < CHANNEL + 2; i++)
        unit_ok(trove_stream_chunk_get(fixture->stream, 0, &up[i], &error), &error);
    unit_fails(trove_stream_chunk_get(fixture->stream, 20, &none, &error), TROVE_DEADLINE_EXCEEDED, "in use", &error);
    for (unsigned i = 0; i < CHANNEL; i++) {
        scripted_send_chunk(fixture->server, fixture->id, i, i * CHUNK, CHUNK, false);
        unit_ok(trove_stream_read(fixture->stream, 0, &down[i], &error), &error);
    }
    trove_stream_chunk_stats(fixture->stream, &stats);
    assert_int_equal(stats.chunks, 2 * CHANNEL + 2);
    assert_int_equal(stats.in_use, 2 * CHANNEL + 2);
    assert_int_equal(stats.chunk_bytes, CHUNK);
    down[0]->size = 1;
    unit_fails(trove_stream_write(fixture->stream, &down[0], 0, &error), TROVE_INVALID_ARGUMENT, "trove_stream_chunk_get",
               &error);
    assert_non_null(down[0]);
    down[0]->size = CHUNK;
    for (unsigned i = 0; i < CHANNEL; i++)
        trove_stream_chunk_put(fixture->stream, down[i]);
    for (unsigned i = 0; i < CHANNEL + 2; i++)
        trove_stream_chunk_put(fixture->stream, up[i]);
    struct scripted_frame ack = scripted_expect(fixture->server, fixture->id, TV_BODY(ACK)); /* of the way down alone */
    assert_int_equal(ack.range.first, 0);
    unit_check_sums(fixture->stream);
}

/* A write that the server doesn't take waits, and reading goes on meanwhile; and the other way round. */
static void test_late_messages_name_the_way(void **state) {
    struct fixture *fixture = *state;
    trove_chunk *chunk = NULL;
    trove_error error;
    open_stream(fixture, 2 * CHUNK);
    for (unsigned i = 0; i < CHANNEL; i++)
        write_chunk(fixture, CHUNK, false);
    unit_ok(trove_stream_chunk_get(fixture->stream, 0, &chunk, &error), &error);
    chunk->size = 1;
    unit_fails(trove_stream_write(fixture->stream, &chunk, 20, &error), TROVE_DEADLINE_EXCEEDED, "media/film, the way up",
               &error);
    trove_stream_chunk_put(fixture->stream, chunk);
    unit_fails(trove_stream_read(fixture->stream, 20, &chunk, &error), TROVE_DEADLINE_EXCEEDED, "media/film, the way down",
               &error);
    scripted_send_chunk(fixture->server, fixture->id, 0, 0, CHUNK, false);
    read_chunk(fixture, CHUNK);
    unit_check_sums(fixture->stream);
}

static void test_seek(void **state) {
    struct fixture *fixture = *state;
    trove_error error;
    open_stream(fixture, CHUNK);
    unit_fails(trove_stream_control(fixture->stream, TROVE_CONTROL_SEEK, 0, 0, NULL, &error), TROVE_FAILED_PRECONDITION,
               "two-way stream can't seek", &error);
}

static void test_declared_size(void **state) {
    struct fixture *fixture = *state;
    trove_stream_options options = small_options(fixture);
    const struct scripted_opened opened = {.credit = CHANNEL * CHUNK};
    trove_error error;
    trove_chunk *chunk = NULL;
    scripted_answer_opens(fixture->server, &opened);
    options.size = 100;
    unit_ok(trove_stream_open(fixture->client, "media", "film", TROVE_DIRECTION_BIDI, &options, &fixture->stream, &error),
            &error);
    unit_ok(trove_stream_start(fixture->stream, &error), &error);
    unit_ok(trove_stream_chunk_get(fixture->stream, 0, &chunk, &error), &error);
    chunk->size = 99;
    chunk->final = true;
    unit_fails(trove_stream_write(fixture->stream, &chunk, 0, &error), TROVE_FAILED_PRECONDITION, "99 bytes", &error);
    chunk->size = 100;
    unit_ok(trove_stream_write(fixture->stream, &chunk, 0, &error), &error);
}

/* ---- follow mode ---- */

static void open_to_follow(struct fixture *fixture, bool writer) {
    trove_stream_options options = small_options(fixture);
    const struct scripted_opened opened = {.credit = CHANNEL * CHUNK, .writer = writer};
    trove_error error;
    options.follow = true;
    options.backpressure = TROVE_BACKPRESSURE_BUFFER;
    scripted_answer_opens(fixture->server, &opened);
    unit_ok(trove_stream_open(fixture->client, "media", "film", TROVE_DIRECTION_BIDI, &options, &fixture->stream, &error),
            &error);
    struct scripted_frame open = scripted_expect_open(fixture->server);
    assert_true(open.open.follow);
    fixture->id = open.call_id;
    unit_ok(trove_stream_start(fixture->stream, &error), &error);
    assert_int_equal(trove_stream_is_writer(fixture->stream), writer);
    assert_null(trove_stream_object(fixture->stream));
}

/* Nothing goes up, not even a word that nothing will; memory for it is given back. The end comes as the writer's does. */
static void test_follower(void **state) {
    struct fixture *fixture = *state;
    trove_error error;
    trove_chunk *chunk = NULL;
    trove_chunk_stats stats;
    trove_object_info *info = NULL;
    open_to_follow(fixture, false);
    unit_fails(trove_stream_chunk_get(fixture->stream, 0, &chunk, &error), TROVE_FAILED_PRECONDITION,
               "another stream writes media/film; this one follows it", &error);
    trove_stream_chunk_stats(fixture->stream, &stats);
    assert_int_equal(stats.chunks, CHANNEL);
    for (unsigned i = 0; i < 3 * CHANNEL; i++) {
        scripted_send_chunk(fixture->server, fixture->id, i, i * CHUNK, CHUNK, false);
        read_chunk(fixture, CHUNK);
        unit_check_sums(fixture->stream);
    }
    unit_fails(trove_stream_complete(fixture->stream, 20, NULL, &error), TROVE_DEADLINE_EXCEEDED, "the way down", &error);
    scripted_send_chunk(fixture->server, fixture->id, 3 * CHANNEL, 3 * CHANNEL * CHUNK, 0, true);
    scripted_send_complete(fixture->server, fixture->id, 3 * CHANNEL * CHUNK, 3 * CHANNEL + 1);
    read_end(fixture);
    (void)scripted_expect(fixture->server, fixture->id, TV_BODY(COMPLETED));
    assert_int_equal(trove_stream_state_get(fixture->stream), TROVE_STREAM_COMPLETING);
    scripted_send_completed(fixture->server, fixture->id, 3 * CHANNEL * CHUNK);
    unit_ok(trove_stream_complete(fixture->stream, 0, &info, &error), &error);
    assert_int_equal(info->generation, 2);
    trove_object_info_free(info);
    assert_false(scripted_has(fixture->server, fixture->id, TV_BODY(COMPLETE)));
    assert_false(scripted_has(fixture->server, fixture->id, TV_BODY(DEMAND)));
    assert_false(scripted_has(fixture->server, fixture->id, TV_BODY(CHUNK)));
}

static void test_writer(void **state) {
    struct fixture *fixture = *state;
    trove_error error;
    trove_chunk_stats stats;
    open_to_follow(fixture, true);
    scripted_send_complete(fixture->server, fixture->id, 0, 0);
    (void)scripted_expect(fixture->server, fixture->id, TV_BODY(COMPLETED));
    read_end(fixture);
    trove_stream_chunk_stats(fixture->stream, &stats);
    assert_int_equal(stats.chunks, CHANNEL + 3); /* of the way up: a buffering one has three to spare */
    write_chunk(fixture, CHUNK, true);
    (void)scripted_expect(fixture->server, fixture->id, TV_BODY(CHUNK));
    scripted_send_ack(fixture->server, fixture->id, 0, 1, 0);
    (void)scripted_expect(fixture->server, fixture->id, TV_BODY(COMPLETE));
    scripted_send_completed(fixture->server, fixture->id, CHUNK);
    unit_ok(trove_stream_complete(fixture->stream, 0, NULL, &error), &error);
}

static void test_follower_fails(void **state) {
    struct fixture *fixture = *state;
    Trove__V1__Status status = TROVE__V1__STATUS__INIT;
    trove_error error;
    trove_chunk *chunk = NULL;
    open_to_follow(fixture, false);
    scripted_send_chunk(fixture->server, fixture->id, 0, 0, CHUNK, false);
    read_chunk(fixture, CHUNK);
    status.code = TROVE__V1__CODE__ABORTED;
    status.message = (char *)"the writer was cancelled";
    scripted_send(fixture->server, fixture->id, TV_BODY(STATUS), &status, NULL, 0);
    unit_fails(trove_stream_read(fixture->stream, 0, &chunk, &error), TROVE_ABORTED, "the writer was cancelled", &error);
    unit_check_sums(fixture->stream);
}

static void test_follow_options(void **state) {
    struct fixture *fixture = *state;
    trove_stream *stream = NULL;
    trove_error error;
    for (unsigned i = 0; i < 6; i++) {
        trove_stream_options options = small_options(fixture);
        options.follow = true;
        options.lossy = i == 0;
        options.range_offset = i == 1 ? 1 : 0;
        options.range_length = i == 2 ? 1 : TROVE_SIZE_UNKNOWN;
        options.conditions.if_none_match = i == 3;
        options.conditions.if_generation = i == 4 ? 1 : 0;
        trove_direction direction = i == 5 ? TROVE_DIRECTION_DOWNLOAD : TROVE_DIRECTION_BIDI;
        unit_fails(trove_stream_open(fixture->client, "media", "film", direction, &options, &stream, &error),
                   TROVE_INVALID_ARGUMENT, "follow", &error);
    }
}

/* ---- a server that isn't as it should be ---- */

static void test_no_feature(void **state) {
    trove_error error;
    trove_client *client = NULL;
    trove_stream *stream = NULL;
    (void)state;
    struct scripted_server *server = scripted_server_start(0);
    unit_ok(trove_connect(scripted_server_url(server), NULL, &client, &error), &error);
    unit_fails(trove_stream_open(client, "media", "film", TROVE_DIRECTION_BIDI, NULL, &stream, &error), TROVE_UNIMPLEMENTED,
               "two-way", &error);
    trove_stream_options options;
    trove_stream_options_init(&options);
    options.lossy = true;
    unit_fails(trove_stream_open(client, "media", "film", TROVE_DIRECTION_UPLOAD, &options, &stream, &error), TROVE_UNIMPLEMENTED,
               "lossy", &error);
    assert_false(scripted_has(server, 1, TV_BODY(OPEN)));
    trove_close(client);
    scripted_server_stop(server);
}

static void ack_of_nothing(struct fixture *fixture) {
    scripted_send_ack(fixture->server, fixture->id, 0, 1, 0);
}

static void ack_of_what_it_sent(struct fixture *fixture) {
    scripted_send_chunk(fixture->server, fixture->id, 0, 0, CHUNK, false);
    read_chunk(fixture, CHUNK);
    scripted_send_ack(fixture->server, fixture->id, 0, 1, 0); /* acknowledges its own chunk */
}

static void completed_first(struct fixture *fixture) {
    scripted_send_completed(fixture->server, fixture->id, 0);
}

static void completed_before_confirmed(struct fixture *fixture) {
    write_chunk(fixture, 1, true);
    (void)scripted_expect(fixture->server, fixture->id, TV_BODY(CHUNK));
    scripted_send_ack(fixture->server, fixture->id, 0, 1, 0);
    (void)scripted_expect(fixture->server, fixture->id, TV_BODY(COMPLETE));
    scripted_send_chunk(fixture->server, fixture->id, 0, 0, 2 * CHUNK / 2, false);
    scripted_send_chunk(fixture->server, fixture->id, 1, CHUNK, CHUNK, true);
    scripted_send_complete(fixture->server, fixture->id, 2 * CHUNK, 2);
    scripted_send_completed(fixture->server, fixture->id, 1);
}

static void more_than_the_object(struct fixture *fixture) {
    scripted_send_chunk(fixture->server, fixture->id, 0, 0, CHUNK, false);
    scripted_send_chunk(fixture->server, fixture->id, 1, CHUNK, CHUNK, false);
    scripted_send_chunk(fixture->server, fixture->id, 2, 2 * CHUNK, CHUNK, false);
}

static void complete_too_early(struct fixture *fixture) {
    scripted_send_complete(fixture->server, fixture->id, 0, 0);
}

static void complete_twice(struct fixture *fixture) {
    scripted_send_chunk(fixture->server, fixture->id, 0, 0, CHUNK, false);
    scripted_send_chunk(fixture->server, fixture->id, 1, CHUNK, CHUNK, true);
    scripted_send_complete(fixture->server, fixture->id, 2 * CHUNK, 2);
    scripted_send_complete(fixture->server, fixture->id, 2 * CHUNK, 2);
}

static void chunk_after_complete(struct fixture *fixture) {
    scripted_send_chunk(fixture->server, fixture->id, 0, 0, CHUNK, false);
    scripted_send_chunk(fixture->server, fixture->id, 1, CHUNK, CHUNK, false);
    scripted_send_complete(fixture->server, fixture->id, 2 * CHUNK, 2);
    scripted_send_chunk(fixture->server, fixture->id, 2, 2 * CHUNK, 0, true);
}

static void gap_on_a_stream_that_isnt_lossy(struct fixture *fixture) {
    Trove__V1__Gap gap = TROVE__V1__GAP__INIT;
    gap.count = 1;
    gap.length = CHUNK;
    scripted_send(fixture->server, fixture->id, TV_BODY(GAP), &gap, NULL, 0);
}

/* What comes again is less than was told. */
static void other_chunks_behind_complete(struct fixture *fixture) {
    for (unsigned i = 0; i < CHANNEL + 1; i++)
        scripted_send_chunk(fixture->server, fixture->id, i, i * 100, 100, false);
    scripted_send_complete(fixture->server, fixture->id, 2 * CHUNK, CHANNEL + 1);
    assert_true(scripted_expect(fixture->server, fixture->id, TV_BODY(ACK)).ack.not_taken);
    for (unsigned i = 0; i < CHANNEL; i++)
        read_chunk(fixture, 100);
    scripted_send_chunk(fixture->server, fixture->id, CHANNEL, CHANNEL * 100, 100, true);
}

static void opened_again(struct fixture *fixture) {
    Trove__V1__Opened opened = TROVE__V1__OPENED__INIT;
    scripted_send(fixture->server, fixture->id, TV_BODY(OPENED), &opened, NULL, 0);
}

static const struct row {
    const char *name;
    void (*misbehave)(struct fixture *fixture);
    trove_status status;
    const char *text;
} rows[] = {
    {"an ack of what was never sent", ack_of_nothing, TROVE_INVALID_ARGUMENT, "acknowledged"},
    {"an ack of the server's own chunks", ack_of_what_it_sent, TROVE_INVALID_ARGUMENT, "acknowledged"},
    {"completed before anything was sent", completed_first, TROVE_INTERNAL, "before all was sent"},
    {"completed before what came down was confirmed", completed_before_confirmed, TROVE_INTERNAL, "before all was sent"},
    {"more than the object has", more_than_the_object, TROVE_INTERNAL, "more than the 8192 bytes"},
    {"complete before all was sent", complete_too_early, TROVE_DATA_LOSS, "of 8192 expected bytes 0 came"},
    {"complete twice", complete_twice, TROVE_INTERNAL, "said twice"},
    {"a chunk after complete", chunk_after_complete, TROVE_INTERNAL, "complete"},
    {"less behind complete than it told", other_chunks_behind_complete, TROVE_DATA_LOSS, "of 8192 expected bytes 500 came"},
    {"a gap on a stream that isn't lossy", gap_on_a_stream_that_isnt_lossy, TROVE_INTERNAL, "isn't lossy"},
    {"opened again", opened_again, TROVE_INTERNAL, "doesn't belong"},
};

/* What the server may not send to a stream of this kind. */
static void check_follow_misbehaviour(struct fixture *fixture, bool writer, bool chunk, trove_status status, const char *text) {
    trove_error error;
    trove_chunk *none = NULL;
    open_to_follow(fixture, writer);
    if (chunk)
        scripted_send_chunk(fixture->server, fixture->id, 0, 0, 0, true);
    else
        scripted_send_ack(fixture->server, fixture->id, 0, 1, CHUNK);
    unit_wait_for_state(fixture->stream, TROVE_STREAM_FAILED);
    unit_fails(trove_stream_read(fixture->stream, 0, &none, &error), status, text, &error);
    trove_stream_release(fixture->stream);
    fixture->stream = NULL;
}

static void test_follow_misbehaviour(void **state) {
    check_follow_misbehaviour(*state, true, true, TROVE_INTERNAL, "the stream that writes");
    check_follow_misbehaviour(*state, false, false, TROVE_INVALID_ARGUMENT, "acknowledged");
}

/* Each ends both ways with one error, which the server is told. */
static void test_misbehaviour(void **state) {
    struct fixture *fixture = *state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        trove_error error;
        trove_chunk *chunk = NULL;
        unit_row(rows[i].name);
        fixture->errors = 0;
        open_stream(fixture, 2 * CHUNK);
        rows[i].misbehave(fixture);
        struct scripted_frame control;
        do
            control = scripted_expect(fixture->server, fixture->id, TV_BODY(CONTROL));
        while (control.control.type != TROVE__V1__CONTROL_TYPE__FAIL);
        assert_int_equal(control.reason, rows[i].status);
        unit_fails(trove_stream_read(fixture->stream, 0, &chunk, &error), rows[i].status, rows[i].text, &error);
        unit_fails(trove_stream_chunk_get(fixture->stream, 0, &chunk, &error), rows[i].status, rows[i].text, &error);
        unit_check_sums(fixture->stream);
        trove_stream_release(fixture->stream);
        fixture->stream = NULL;
        assert_int_equal(fixture->errors, 1);
        assert_int_equal(fixture->error.status, rows[i].status);
    }
}

static void test_cut(void **state) {
    struct fixture *fixture = *state;
    trove_error error;
    trove_chunk *chunk = NULL;
    open_stream(fixture, 2 * CHUNK);
    scripted_send_chunk(fixture->server, fixture->id, 0, 0, CHUNK, false);
    read_chunk(fixture, CHUNK);
    write_chunk(fixture, CHUNK, false);
    scripted_cut(fixture->server);
    unit_fails(trove_stream_read(fixture->stream, 0, &chunk, &error), TROVE_UNAVAILABLE, "lost", &error);
    unit_fails(trove_stream_chunk_get(fixture->stream, 0, &chunk, &error), TROVE_UNAVAILABLE, "lost", &error);
    unit_fails(trove_stream_complete(fixture->stream, 0, NULL, &error), TROVE_UNAVAILABLE, "lost", &error);
    unit_check_sums(fixture->stream);
    trove_stream_release(fixture->stream);
    fixture->stream = NULL;
    assert_int_equal(fixture->errors, 1);
    assert_int_equal(fixture->error.status, TROVE_UNAVAILABLE);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_up_ends_first, begin, end),
        cmocka_unit_test_setup_teardown(test_down_ends_first, begin, end),
        cmocka_unit_test_setup_teardown(test_complete_without_reading, begin, end),
        cmocka_unit_test_setup_teardown(test_chunk_kept_beyond_the_end, begin, end),
        cmocka_unit_test_setup_teardown(test_object_absent, begin, end),
        cmocka_unit_test_setup_teardown(test_fail_before_confirming, begin, end),
        cmocka_unit_test_setup_teardown(test_resent_behind_complete, begin, end),
        cmocka_unit_test_setup_teardown(test_demand_crosses_idleness, begin, end),
        cmocka_unit_test_setup_teardown(test_hoarded_chunks, begin, end),
        cmocka_unit_test_setup_teardown(test_late_messages_name_the_way, begin, end),
        cmocka_unit_test_setup_teardown(test_seek, begin, end),
        cmocka_unit_test_setup_teardown(test_declared_size, begin, end),
        cmocka_unit_test_setup_teardown(test_follower, begin, end),
        cmocka_unit_test_setup_teardown(test_writer, begin, end),
        cmocka_unit_test_setup_teardown(test_follower_fails, begin, end),
        cmocka_unit_test_setup_teardown(test_follow_options, begin, end),
        cmocka_unit_test_setup_teardown(test_follow_misbehaviour, begin, end),
        cmocka_unit_test(test_no_feature),
        cmocka_unit_test_setup_teardown(test_misbehaviour, begin, end),
        cmocka_unit_test_setup_teardown(test_cut, begin, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
