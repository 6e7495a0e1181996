/* moved.c - streams that somebody has go on elsewhere, from outside, frame by frame: what of the old generation still comes, what
 * is held back until the answer, and clients that refuse.
 */
#include "raw_client.h"
#include "troved.h"

#define CHUNK   1000
#define CHUNKS  8
#define SIZE    (CHUNK * CHUNKS)
#define CODE(x) TROVE__V1__CODE__##x

static struct troved *server;

struct fixture {
    struct raw_client client;
    struct raw_client outside;
    uint64_t id;
    uint64_t stream_id;
};

static void connect_to(struct raw_client *client) {
    raw_open(client, troved_url(server, "ipc"));
    raw_greet(client, false);
}

static int begin_group(void **state) {
    const struct troved_options options = {.listen = {"ipc://%s/socket"}};
    struct raw_client client;
    Trove__V1__BucketCreateRequest bucket = TROVE__V1__BUCKET_CREATE_REQUEST__INIT;
    (void)state;
    server = troved_start(&options, NULL);
    connect_to(&client);
    bucket.bucket = raw_text("media");
    uint64_t id = raw_call(&client, "trove.v1.Buckets/Create", &bucket.base);
    protobuf_c_message_free_unpacked(raw_answer(&client, id, &trove__v1__bucket_create_response__descriptor), NULL);
    raw_close(&client);
    return 0;
}

static int end_group(void **state) {
    (void)state;
    return troved_stop(server, false);
}

static void open_stream(struct fixture *fixture, const char *key, bool upload) {
    Trove__V1__Open open;
    raw_init_open(&open, "media", key, upload);
    open.movable = true;
    open.demand = 4 * CHUNK;
    open.credit = 4 * CHUNK;
    fixture->id = raw_open_stream(&fixture->client, &open);
    raw_frame *opened = raw_expect(&fixture->client, fixture->id, RAW_BODY(OPENED));
    fixture->stream_id = opened->opened->stream_id;
    raw_free(opened);
}

static void begin(struct fixture *fixture) {
    *fixture = (struct fixture){.id = 0};
    connect_to(&fixture->client);
    connect_to(&fixture->outside);
}

static void end(struct fixture *fixture) {
    raw_close(&fixture->client);
    raw_close(&fixture->outside);
}

/* ---- from outside ---- */

static uint64_t call_seek(struct fixture *fixture, uint64_t offset) {
    Trove__V1__StreamControlRequest request = TROVE__V1__STREAM_CONTROL_REQUEST__INIT;
    request.stream_id = fixture->stream_id;
    request.type = TROVE__V1__CONTROL_TYPE__SEEK;
    request.offset = offset;
    return raw_call(&fixture->outside, "trove.v1.Streams/Control", &request.base);
}

static void move(struct fixture *fixture, uint64_t offset) {
    uint64_t id = call_seek(fixture, offset);
    ProtobufCMessage *answer = raw_answer(&fixture->outside, id, &trove__v1__stream_control_response__descriptor);
    assert_int_equal(((Trove__V1__StreamControlResponse *)answer)->state, TROVE__V1__STREAM_STATE__ACTIVE);
    protobuf_c_message_free_unpacked(answer, NULL);
}

/* The server's control; its serial. */
static uint64_t expect_seek(struct fixture *fixture, uint64_t offset, uint64_t generation) {
    raw_frame *frame = raw_receive_answer(&fixture->client);
    assert_non_null(frame);
    assert_int_equal(frame->call_id, fixture->id);
    assert_int_equal(frame->body_case, RAW_BODY(CONTROL));
    assert_int_equal(frame->control->type, TROVE__V1__CONTROL_TYPE__SEEK);
    assert_int_equal(frame->control->offset, offset);
    assert_int_equal(frame->control->generation, generation);
    uint64_t serial = frame->control->serial;
    raw_free(frame);
    return serial;
}

static void answer(struct fixture *fixture, uint64_t serial, Trove__V1__Code code) {
    Trove__V1__State state = TROVE__V1__STATE__INIT;
    Trove__V1__Status status = TROVE__V1__STATUS__INIT;
    state.state = TROVE__V1__STREAM_STATE__ACTIVE;
    state.serial = serial;
    status.code = code;
    status.message = raw_text("no");
    if (code != CODE(OK))
        state.status = &status;
    raw_send_body(&fixture->client, fixture->id, RAW_BODY(STATE), &state.base);
}

/* ---- uploads ---- */

static void send_chunk(struct fixture *fixture, uint64_t index, uint64_t offset, uint64_t generation, int byte, bool final) {
    uint8_t bytes[CHUNK];
    Trove__V1__Chunk chunk;
    memset(bytes, byte, sizeof bytes);
    raw_init_chunk(&chunk, fixture->id, index, offset, bytes, sizeof bytes);
    chunk.generation = generation;
    chunk.final = final;
    raw_send_chunk(&fixture->client, fixture->id, &chunk, bytes, sizeof bytes);
}

/* The server's store has so many bytes. */
static void await_received(struct fixture *fixture, uint64_t offset) {
    for (uint64_t received = 0; received < offset;) {
        raw_frame *frame = raw_receive(&fixture->client);
        assert_non_null(frame);
        if (frame->body_case == RAW_BODY(ACK))
            received = frame->ack->received_offset;
        raw_free(frame);
    }
}

static void check_object(struct fixture *fixture, const char *key, uint64_t size, int byte) {
    Trove__V1__Open open;
    raw_init_open(&open, "media", key, false);
    open.credit = SIZE;
    uint64_t id = raw_opened_stream(&fixture->client, &open);
    for (uint64_t at = 0; at < size;) {
        raw_frame *frame = raw_expect(&fixture->client, id, RAW_BODY(CHUNK));
        for (size_t i = 0; i < frame->payload.len; i++)
            assert_int_equal(frame->payload.data[i], byte);
        at += frame->payload.len;
        assert_true(at <= size);
        raw_free(frame);
    }
    raw_free(raw_expect(&fixture->client, id, RAW_BODY(COMPLETE)));
    raw_send_completed(&fixture->client, id);
}

/* What a client sends that doesn't know it yet is forgotten, wherever it says that it belongs; what it sends when it does is
 * stored. Each time the credit is there again. */
static void old_bytes_are_not_stored(void **state) {
    struct fixture fixture;
    (void)state;
    begin(&fixture);
    open_stream(&fixture, "up", true);
    send_chunk(&fixture, 0, 0, 0, 'a', false);
    await_received(&fixture, CHUNK);
    for (uint64_t generation = 1; generation <= 5; generation++) {
        move(&fixture, 0);
        for (uint64_t i = 0; i < 3; i++)
            send_chunk(&fixture, 1 + i, (1 + i) * CHUNK, generation - 1, 'b', i == 2);
        answer(&fixture, expect_seek(&fixture, 0, generation), CODE(OK));
        send_chunk(&fixture, 0, 0, generation, 'c', false);
        await_received(&fixture, CHUNK);
    }
    send_chunk(&fixture, 1, CHUNK, 5, 'c', false);
    send_chunk(&fixture, 2, 2 * CHUNK, 5, 'c', true);
    raw_send_complete(&fixture.client, fixture.id, 3 * CHUNK, 3);
    raw_frame *completed = raw_receive_answer(&fixture.client);
    assert_int_equal(completed->body_case, RAW_BODY(COMPLETED));
    assert_int_equal(completed->completed->object->size, 3 * CHUNK);
    raw_free(completed);
    check_object(&fixture, "up", 3 * CHUNK, 'c');
    end(&fixture);
}

/* A client that doesn't wait for the ack of its final chunk can't be told from one that never sent it: what trove.proto says. */
static void a_complete_must_not_cross(void **state) {
    struct fixture fixture;
    (void)state;
    begin(&fixture);
    for (int waits = 0; waits < 2; waits++) {
        open_stream(&fixture, waits ? "waited" : "crossed", true);
        send_chunk(&fixture, 0, 0, 0, 'a', false);
        await_received(&fixture, CHUNK);
        move(&fixture, 0);
        send_chunk(&fixture, 1, CHUNK, 0, 'a', true);
        if (!waits)
            raw_send_complete(&fixture.client, fixture.id, 2 * CHUNK, 2);
        uint64_t serial = expect_seek(&fixture, 0, 1);
        if (!waits) {
            raw_expect_failure(&fixture.client, fixture.id, CODE(FAILED_PRECONDITION), "complete before the final chunk");
            continue;
        }
        answer(&fixture, serial, CODE(OK));
        send_chunk(&fixture, 0, 0, 1, 'c', false);
        send_chunk(&fixture, 1, CHUNK, 1, 'c', true);
        await_received(&fixture, 2 * CHUNK);
        raw_send_complete(&fixture.client, fixture.id, 2 * CHUNK, 2);
        raw_free(raw_expect(&fixture.client, fixture.id, RAW_BODY(COMPLETED)));
        check_object(&fixture, "waited", 2 * CHUNK, 'c');
    }
    end(&fixture);
}

static void a_refusal_ends_an_upload(void **state) {
    struct fixture fixture;
    (void)state;
    begin(&fixture);
    open_stream(&fixture, "refused", true);
    answer(&fixture, 99, CODE(ABORTED)); /* of nothing */
    send_chunk(&fixture, 0, 0, 0, 'a', false);
    await_received(&fixture, CHUNK);
    move(&fixture, 0);
    answer(&fixture, expect_seek(&fixture, 0, 1), CODE(UNIMPLEMENTED));
    raw_frame *status = raw_receive_answer(&fixture.client);
    assert_int_equal(status->body_case, RAW_BODY(STATUS));
    assert_int_equal(status->status->code, CODE(ABORTED));
    assert_non_null(strstr(status->status->message, "can't go on there"));
    raw_free(status);
    end(&fixture);
}

/* One at a time, and a seek of the client's own that crosses it has lost. */
static void one_at_a_time(void **state) {
    struct fixture fixture;
    Trove__V1__Control seek = TROVE__V1__CONTROL__INIT;
    (void)state;
    begin(&fixture);
    open_stream(&fixture, "twice", true);
    send_chunk(&fixture, 0, 0, 0, 'a', false);
    await_received(&fixture, CHUNK);
    move(&fixture, 500);
    raw_expect_failure(&fixture.outside, call_seek(&fixture, 0), CODE(RESOURCE_EXHAUSTED), "go on at 500; try again");
    seek.type = TROVE__V1__CONTROL_TYPE__SEEK;
    seek.serial = 1;
    seek.generation = 1;
    raw_send_body(&fixture.client, fixture.id, RAW_BODY(CONTROL), &seek.base);
    uint64_t serial = expect_seek(&fixture, 500, 1);
    raw_frame *refused = raw_receive_answer(&fixture.client);
    assert_int_equal(refused->body_case, RAW_BODY(STATE));
    assert_int_equal(refused->state->serial, 1);
    assert_int_equal(refused->state->status->code, CODE(FAILED_PRECONDITION));
    raw_free(refused);
    answer(&fixture, serial, CODE(OK));
    raw_echo(&fixture.client); /* the server has it */
    move(&fixture, 0);
    answer(&fixture, expect_seek(&fixture, 0, 2), CODE(OK));
    end(&fixture);
}

/* ---- downloads ---- */

static void put_object(struct fixture *fixture, const char *key) {
    Trove__V1__Open open;
    raw_init_open(&open, "media", key, true);
    open.demand = SIZE;
    open.channel_chunks = CHUNKS;
    fixture->id = raw_opened_stream(&fixture->client, &open);
    for (uint64_t i = 0; i < CHUNKS; i++) {
        send_chunk(fixture, i, i * CHUNK, 0, 'd', i + 1 == CHUNKS);
        await_received(fixture, (i + 1) * CHUNK);
    }
    raw_send_complete(&fixture->client, fixture->id, SIZE, CHUNKS);
    raw_expect_answer(&fixture->client, fixture->id, RAW_BODY(COMPLETED));
}

static void expect_chunk(struct fixture *fixture, uint64_t index, uint64_t offset, uint64_t generation) {
    raw_frame *frame = raw_expect(&fixture->client, fixture->id, RAW_BODY(CHUNK));
    assert_int_equal(frame->chunk->index, index);
    assert_int_equal(frame->chunk->offset, offset);
    assert_int_equal(frame->chunk->generation, generation);
    raw_free(frame);
}

static void begin_download(struct fixture *fixture, const char *key) {
    begin(fixture);
    put_object(fixture, key);
    open_stream(fixture, key, false);
    for (uint64_t i = 0; i < 4; i++)
        expect_chunk(fixture, i, i * CHUNK, 0);
}

static void send_ack(struct fixture *fixture, uint64_t first, uint64_t count, uint64_t generation) {
    Trove__V1__Ack ack = TROVE__V1__ACK__INIT;
    Trove__V1__IndexRange range = TROVE__V1__INDEX_RANGE__INIT;
    Trove__V1__IndexRange *ranges[] = {&range};
    range.first = first;
    range.count = count;
    ack.n_ranges = 1;
    ack.ranges = ranges;
    ack.generation = generation;
    ack.credit = count * CHUNK;
    raw_send_body(&fixture->client, fixture->id, RAW_BODY(ACK), &ack.base);
}

/* Nothing comes before the answer, whatever credit there is; acknowledgements that were under way count. With the answer it goes
 * on there, with the credit of what it gives up: four chunks, none of which was acknowledged twice. */
static void a_download_waits_for_the_answer(void **state) {
    struct fixture fixture;
    (void)state;
    begin_download(&fixture, "down");
    move(&fixture, 2 * CHUNK);
    send_ack(&fixture, 0, 3, 0);
    uint64_t serial = expect_seek(&fixture, 2 * CHUNK, 1);
    raw_echo(&fixture.client);
    answer(&fixture, serial, CODE(OK));
    for (uint64_t i = 0; i < 4; i++)
        expect_chunk(&fixture, i, (2 + i) * CHUNK, 1);
    raw_echo(&fixture.client); /* no fifth */
    send_ack(&fixture, 0, 4, 1);
    expect_chunk(&fixture, 4, 6 * CHUNK, 1);
    expect_chunk(&fixture, 5, 7 * CHUNK, 1);
    raw_frame *complete = raw_expect(&fixture.client, fixture.id, RAW_BODY(COMPLETE));
    assert_int_equal(complete->complete->size, SIZE);
    assert_int_equal(complete->complete->chunks, 6);
    raw_free(complete);
    raw_expect_failure(&fixture.outside, call_seek(&fixture, 0), CODE(FAILED_PRECONDITION), "completing stream");
    end(&fixture);
}

static void a_download_that_refuses_goes_on(void **state) {
    struct fixture fixture;
    (void)state;
    begin_download(&fixture, "stays");
    move(&fixture, 0);
    uint64_t serial = expect_seek(&fixture, 0, 1);
    answer(&fixture, serial, CODE(UNIMPLEMENTED));
    send_ack(&fixture, 0, 4, 0);
    for (uint64_t i = 4; i < CHUNKS; i++)
        expect_chunk(&fixture, i, i * CHUNK, 0);
    raw_free(raw_expect(&fixture.client, fixture.id, RAW_BODY(COMPLETE)));
    raw_send_completed(&fixture.client, fixture.id);
    raw_echo(&fixture.client);
    end(&fixture);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(old_bytes_are_not_stored),        cmocka_unit_test(a_complete_must_not_cross),
        cmocka_unit_test(a_refusal_ends_an_upload),        cmocka_unit_test(one_at_a_time),
        cmocka_unit_test(a_download_waits_for_the_answer), cmocka_unit_test(a_download_that_refuses_goes_on),
    };
    return cmocka_run_group_tests_name("moved", tests, begin_group, end_group);
}
