/* waiting.c - streams that wait for a place in their pool, or for memory, frame by frame: what comes meanwhile is kept or
 * answered. */
#include "raw_client.h"
#include "stock_client.h"
#include "troved.h"

static const char config[] = "memory: 8MiB\n"
                             "pools:\n"
                             "  - {name: one, streams: 1}\n"
                             "  - {name: greedy, credit_expiry: 10m}\n"
                             "  - {name: hasty, credit_expiry: 100ms}\n"
                             "  - {name: idle, idle_timeout: 1s}\n";

static struct troved *server;
static uint8_t bytes[1000];

static int begin_group(void **state) {
    const struct troved_options options = {.listen = {"ipc://%s/socket"}, .config = config};
    (void)state;
    server = troved_start(&options, NULL);
    return 0;
}

static int end_group(void **state) {
    (void)state;
    return troved_stop(server, false);
}

/* One connection's stream has the pool's one place, another's waits, and a third looks on. (Of one connection's streams each has
 * its own order only.) */
struct fixture {
    struct raw_client client;
    struct raw_client holding;
    struct raw_client outside;
    uint64_t holder;
};

static uint64_t open_in_pool(struct raw_client *client, const char *key, bool upload, bool opened) {
    Trove__V1__Open open;
    raw_init_open(&open, "media", key, upload);
    open.pool = raw_text("one");
    open.demand = 0;
    return opened ? raw_opened_stream(client, &open) : raw_open_stream(client, &open);
}

static void connect_to(struct raw_client *client) {
    raw_open(client, troved_url(server, "ipc"));
    raw_greet(client, false);
}

static Trove__V1__StreamListResponse *list(struct fixture *fixture) {
    Trove__V1__StreamListRequest request = TROVE__V1__STREAM_LIST_REQUEST__INIT;
    uint64_t id = raw_call(&fixture->outside, "trove.v1.Streams/List", &request.base);
    return (Trove__V1__StreamListResponse *)raw_answer(&fixture->outside, id, &trove__v1__stream_list_response__descriptor);
}

/* The streams of the test before end when the server notices that its connections have. */
static void wait_for_quiet(struct fixture *fixture) {
    for (size_t count = 1, looks = 0; count > 0; looks++) {
        Trove__V1__StreamListResponse *streams = list(fixture);
        count = streams->n_streams;
        protobuf_c_message_free_unpacked(&streams->base, NULL);
        assert_true(looks < 1000000);
    }
}

static void begin(struct fixture *fixture) {
    *fixture = (struct fixture){.holder = 0};
    connect_to(&fixture->client);
    connect_to(&fixture->holding);
    connect_to(&fixture->outside);
    Trove__V1__BucketCreateRequest bucket = TROVE__V1__BUCKET_CREATE_REQUEST__INIT;
    bucket.bucket = raw_text("media");
    (void)raw_call(&fixture->client, "trove.v1.Buckets/Create", &bucket.base);
    raw_free(raw_receive(&fixture->client)); /* it may be there from the test before */
    wait_for_quiet(fixture);
    fixture->holder = open_in_pool(&fixture->holding, "holder", true, true);
}

static void end(struct fixture *fixture) {
    raw_close(&fixture->client);
    raw_close(&fixture->holding);
    raw_close(&fixture->outside);
}

static void expect_state(struct raw_client *client, uint64_t id, uint64_t serial, Trove__V1__StreamState state) {
    raw_frame *frame = raw_expect(client, id, RAW_BODY(STATE));
    assert_int_equal(frame->state->serial, serial);
    assert_int_equal(frame->state->state, state);
    assert_null(frame->state->status);
    raw_free(frame);
}

static void expect_opened(struct raw_client *client, uint64_t id, uint64_t credit) {
    raw_frame *frame = raw_expect(client, id, RAW_BODY(OPENED));
    assert_int_equal(frame->opened->credit, credit);
    raw_free(frame);
}

/* The holder is cancelled; its place is free. */
static void give_place(struct fixture *fixture) {
    raw_send_control(&fixture->holding, fixture->holder, TROVE__V1__CONTROL_TYPE__CANCEL, 9);
    expect_state(&fixture->holding, fixture->holder, 9, TROVE__V1__STREAM_STATE__STREAM_CANCELLED);
    raw_free(raw_expect(&fixture->holding, fixture->holder, RAW_BODY(STATUS)));
}

/* The newest stream waits, as the first in the queue; its id. */
static uint64_t check_waiting(struct fixture *fixture) {
    Trove__V1__StreamListResponse *streams = list(fixture);
    assert_int_equal(streams->n_streams, 2);
    assert_int_equal(streams->streams[0]->acquire_place, 0);
    assert_int_equal(streams->streams[1]->acquire_place, 1);
    assert_string_equal(streams->streams[1]->pool, "one");
    uint64_t id = streams->streams[1]->stream_id;
    protobuf_c_message_free_unpacked(&streams->base, NULL);
    return id;
}

/* Sends the one chunk and the end, and takes the answers. */
static void finish_upload(struct raw_client *client, uint64_t id) {
    Trove__V1__Chunk chunk;
    raw_init_chunk(&chunk, id, 0, 0, bytes, sizeof bytes);
    chunk.final = true;
    raw_send_chunk(client, id, &chunk, bytes, sizeof bytes);
    raw_send_complete(client, id, sizeof bytes, 1);
    raw_frame *frame = raw_receive_answer(client);
    assert_int_equal(frame->body_case, RAW_BODY(COMPLETED));
    assert_int_equal(frame->completed->object->size, sizeof bytes);
    raw_free(frame);
}

static void demand_is_kept(void **state) {
    (void)state;
    struct fixture fixture;
    begin(&fixture);
    uint64_t id = open_in_pool(&fixture.client, "kept", true, false);
    Trove__V1__Demand demand = TROVE__V1__DEMAND__INIT;
    demand.bytes = 1000;
    raw_send_body(&fixture.client, id, RAW_BODY(DEMAND), &demand.base);
    raw_echo(&fixture.client); /* nothing was said about the stream before this answer */
    (void)check_waiting(&fixture);
    give_place(&fixture);
    expect_opened(&fixture.client, id, 1000);
    finish_upload(&fixture.client, id);
    end(&fixture);
}

static void credit_is_kept(void **state) {
    (void)state;
    struct fixture fixture;
    begin(&fixture);
    uint64_t id = open_in_pool(&fixture.client, "kept", false, false);
    Trove__V1__Credit credit = TROVE__V1__CREDIT__INIT;
    credit.bytes = 1000;
    raw_send_body(&fixture.client, id, RAW_BODY(CREDIT), &credit.base);
    raw_echo(&fixture.client);
    (void)check_waiting(&fixture);
    give_place(&fixture);
    expect_opened(&fixture.client, id, 0);
    raw_frame *frame = raw_expect(&fixture.client, id, RAW_BODY(CHUNK));
    assert_int_equal(frame->chunk->chunk_bytes, 1000);
    raw_free(frame);
    end(&fixture);
}

/* The peer's own controls are answered at once, and count from the opening on. */
static void own_controls_are_answered(void **state) {
    (void)state;
    struct fixture fixture;
    begin(&fixture);
    Trove__V1__Demand demand = TROVE__V1__DEMAND__INIT;
    uint64_t id = open_in_pool(&fixture.client, "paused", true, false);
    demand.bytes = 1000;
    raw_send_body(&fixture.client, id, RAW_BODY(DEMAND), &demand.base);
    raw_send_control(&fixture.client, id, TROVE__V1__CONTROL_TYPE__PAUSE, 1);
    expect_state(&fixture.client, id, 1, TROVE__V1__STREAM_STATE__PAUSED);
    (void)check_waiting(&fixture);
    give_place(&fixture);
    expect_opened(&fixture.client, id, 0); /* while it is paused there is no credit */
    raw_echo(&fixture.client);
    raw_send_control(&fixture.client, id, TROVE__V1__CONTROL_TYPE__RESUME, 2);
    expect_state(&fixture.client, id, 2, TROVE__V1__STREAM_STATE__ACTIVE);
    raw_frame *frame = raw_expect(&fixture.client, id, RAW_BODY(CREDIT));
    assert_int_equal(frame->credit->bytes, 1000);
    raw_free(frame);
    finish_upload(&fixture.client, id);
    end(&fixture);
}

/* What hasn't begun yet will begin where its range does. */
static void answers_tell_where_a_range_begins(void **state) {
    (void)state;
    struct fixture fixture;
    Trove__V1__Open open;
    Trove__V1__ByteRange range = TROVE__V1__BYTE_RANGE__INIT;
    begin(&fixture);
    raw_init_open(&open, "media", "kept", false);
    range.offset = 77;
    open.range = &range;
    open.pool = raw_text("one");
    open.backpressure_given_case = TROVE__V1__OPEN__BACKPRESSURE_GIVEN_BACKPRESSURE;
    open.backpressure = TROVE__V1__BACKPRESSURE__ADAPTIVE;
    uint64_t id = raw_open_stream(&fixture.client, &open);
    raw_send_control(&fixture.client, id, TROVE__V1__CONTROL_TYPE__PAUSE, 1);
    raw_frame *frame = raw_expect(&fixture.client, id, RAW_BODY(STATE));
    assert_int_equal(frame->state->offset, 77);
    raw_free(frame);
    end(&fixture);
}

/* Controls from outside are told when the stream has been opened, before anything else. */
static void outside_controls_are_kept(void **state) {
    (void)state;
    struct fixture fixture;
    begin(&fixture);
    uint64_t id = open_in_pool(&fixture.client, "outside", true, false);
    raw_echo(&fixture.client);
    Trove__V1__StreamControlRequest request = TROVE__V1__STREAM_CONTROL_REQUEST__INIT;
    request.stream_id = check_waiting(&fixture);
    request.type = TROVE__V1__CONTROL_TYPE__PAUSE;
    uint64_t call = raw_call(&fixture.outside, "trove.v1.Streams/Control", &request.base);
    ProtobufCMessage *answer = raw_answer(&fixture.outside, call, &trove__v1__stream_control_response__descriptor);
    assert_int_equal(((Trove__V1__StreamControlResponse *)answer)->state, TROVE__V1__STREAM_STATE__PAUSED);
    protobuf_c_message_free_unpacked(answer, NULL);
    raw_echo(&fixture.client);
    give_place(&fixture);
    expect_opened(&fixture.client, id, 0);
    raw_frame *frame = raw_expect(&fixture.client, id, RAW_BODY(CONTROL));
    assert_int_equal(frame->control->type, TROVE__V1__CONTROL_TYPE__PAUSE);
    assert_int_equal(frame->control->serial, 1);
    raw_free(frame);
    end(&fixture);
}

/* Who doesn't read what it is told of controls from outside isn't told more and more. */
static void outside_controls_are_bounded(void **state) {
    (void)state;
    struct fixture fixture;
    begin(&fixture);
    (void)open_in_pool(&fixture.client, "flood", true, false);
    raw_echo(&fixture.client);
    Trove__V1__StreamControlRequest request = TROVE__V1__STREAM_CONTROL_REQUEST__INIT;
    request.stream_id = check_waiting(&fixture);
    Trove__V1__Code code = TROVE__V1__CODE__OK;
    int done = 0;
    for (; done < 100 && code == TROVE__V1__CODE__OK; done++) {
        request.type = done % 2 == 0 ? TROVE__V1__CONTROL_TYPE__PAUSE : TROVE__V1__CONTROL_TYPE__RESUME;
        (void)raw_call(&fixture.outside, "trove.v1.Streams/Control", &request.base);
        raw_frame *frame = raw_receive(&fixture.outside);
        code = frame->status->code;
        raw_free(frame);
    }
    assert_int_equal(code, TROVE__V1__CODE__RESOURCE_EXHAUSTED);
    assert_int_equal(done, 5);
    end(&fixture);
}

static void a_cancel_leaves_the_queue(void **state) {
    (void)state;
    struct fixture fixture;
    begin(&fixture);
    uint64_t id = open_in_pool(&fixture.client, "cancelled", true, false);
    raw_echo(&fixture.client);
    (void)check_waiting(&fixture);
    raw_send_control(&fixture.client, id, TROVE__V1__CONTROL_TYPE__CANCEL, 1);
    expect_state(&fixture.client, id, 1, TROVE__V1__STREAM_STATE__STREAM_CANCELLED);
    raw_expect_failure(&fixture.client, id, TROVE__V1__CODE__CANCELLED, "cancelled");
    Trove__V1__StreamListResponse *streams = list(&fixture);
    assert_int_equal(streams->n_streams, 1);
    protobuf_c_message_free_unpacked(&streams->base, NULL);
    end(&fixture);
}

/* There is no credit yet: a chunk is as wrong as ever, and ends the wait. */
static void a_chunk_without_credit_fails(void **state) {
    (void)state;
    struct fixture fixture;
    Trove__V1__Chunk chunk;
    begin(&fixture);
    uint64_t id = open_in_pool(&fixture.client, "early", true, false);
    raw_init_chunk(&chunk, id, 0, 0, bytes, sizeof bytes);
    raw_send_chunk(&fixture.client, id, &chunk, bytes, sizeof bytes);
    raw_expect_failure(&fixture.client, id, TROVE__V1__CODE__RESOURCE_EXHAUSTED, "credit");
    Trove__V1__StreamListResponse *streams = list(&fixture);
    assert_int_equal(streams->n_streams, 1);
    protobuf_c_message_free_unpacked(&streams->base, NULL);
    end(&fixture);
}

/* Takes nearly all of the memory there is, and has a stream wait for more. */
static void use_up_memory(struct raw_client *client) {
    Trove__V1__Open open;
    raw_init_open(&open, "media", "greedy", true);
    open.pool = raw_text("greedy");
    open.chunk_bytes = open.demand = 1 << 20;
    open.channel_chunks = 1;
    for (uint64_t credit = open.demand; credit > 0;) {
        raw_frame *frame = raw_expect(client, raw_open_stream(client, &open), RAW_BODY(OPENED));
        credit = frame->opened->credit;
        raw_free(frame);
    }
}

static uint64_t retries_of(struct fixture *fixture, const char *pool) {
    Trove__V1__StreamListResponse *streams = list(fixture);
    uint64_t retries = UINT64_MAX;
    for (size_t i = 0; i < streams->n_streams; i++)
        if (strcmp(streams->streams[i]->pool, pool) == 0)
            retries = streams->streams[i]->retries;
    protobuf_c_message_free_unpacked(&streams->base, NULL);
    return retries;
}

/* Credit that isn't used while others wait for memory is taken back. A chunk that was sent on it all the same, for the two may
 * cross, isn't taken and comes again. */
static void a_chunk_on_expired_credit_comes_again(void **state) {
    (void)state;
    struct fixture fixture;
    Trove__V1__Open open;
    Trove__V1__Chunk chunk;
    Trove__V1__Demand demand = TROVE__V1__DEMAND__INIT;
    begin(&fixture);
    raw_init_open(&open, "media", "late", true);
    open.pool = raw_text("hasty");
    open.demand = demand.bytes = sizeof bytes;
    uint64_t id = raw_open_stream(&fixture.client, &open);
    expect_opened(&fixture.client, id, sizeof bytes);
    use_up_memory(&fixture.holding);
    raw_frame *frame = raw_expect(&fixture.client, id, RAW_BODY(CREDIT));
    assert_int_equal(frame->credit->expired, sizeof bytes);
    raw_free(frame);
    raw_init_chunk(&chunk, id, 0, 0, bytes, sizeof bytes);
    chunk.final = true;
    raw_send_chunk(&fixture.client, id, &chunk, bytes, sizeof bytes);
    frame = raw_expect(&fixture.client, id, RAW_BODY(ACK));
    assert_true(frame->ack->not_taken);
    assert_int_equal(frame->ack->received_offset, 0);
    raw_free(frame);
    assert_int_equal(retries_of(&fixture, "hasty"), 1);
    raw_close(&fixture.holding);
    raw_send_body(&fixture.client, id, RAW_BODY(DEMAND), &demand.base);
    frame = raw_expect(&fixture.client, id, RAW_BODY(CREDIT));
    assert_int_equal(frame->credit->bytes, sizeof bytes);
    raw_free(frame);
    finish_upload(&fixture.client, id);
    connect_to(&fixture.holding);
    end(&fixture);
}

/* Who waits for memory that others have isn't idle. That time has passed is seen by a stream of the same pool that came later,
 * waits for nothing, and is. */
static void waiting_for_memory_is_not_idle(void **state) {
    (void)state;
    struct fixture fixture;
    Trove__V1__Open open;
    begin(&fixture);
    raw_init_open(&open, "media", "greedy", true);
    open.pool = raw_text("greedy");
    open.chunk_bytes = 1 << 20;
    open.channel_chunks = 1;
    open.demand = 1 << 20;
    for (unsigned i = 0; i < 6; i++) /* with a segment besides each they have nearly all of it */
        (void)raw_opened_stream(&fixture.holding, &open);
    raw_init_open(&open, "media", "waits", true);
    open.pool = raw_text("idle");
    open.chunk_bytes = open.demand = 1 << 20;
    uint64_t waits = raw_open_stream(&fixture.client, &open);
    expect_opened(&fixture.client, waits, 0);
    raw_init_open(&open, "media", "idle", true);
    open.pool = raw_text("idle");
    open.demand = 0;
    uint64_t idle = raw_opened_stream(&fixture.outside, &open);
    raw_expect_failure(&fixture.outside, idle, TROVE__V1__CODE__DEADLINE_EXCEEDED, "idle_timeout");
    raw_echo(&fixture.client); /* nothing was said about the stream before this answer */
    raw_close(&fixture.holding);
    raw_frame *credit = raw_expect(&fixture.client, waits, RAW_BODY(CREDIT));
    assert_true(credit->credit->bytes >= 1 << 20);
    raw_free(credit);
    connect_to(&fixture.holding);
    end(&fixture);
}

/* Whoever guesses the id of a stream that is just being opened may cancel it, but not in between its steps: when it has a place,
 * or waits for one. The server comes to the open while it reads the cancels. */
#define GUESSES 30
#define ROUNDS  8000

static uint64_t memory_in_use(struct raw_client *client) {
    uint64_t id = raw_call(client, "trove.v1.Server/Info", NULL);
    Trove__V1__ServerInfoResponse *info =
        (Trove__V1__ServerInfoResponse *)raw_answer(client, id, &trove__v1__server_info_response__descriptor);
    uint64_t in_use = info->memory_in_use_bytes;
    protobuf_c_message_free_unpacked(&info->base, NULL);
    return in_use;
}

/* What was stored leaves no memory behind, though the stream may go on at any time: its credit stands. */
static void an_upload_between_chunks_holds_no_memory(void **state) {
    (void)state;
    struct fixture fixture;
    begin(&fixture);
    Trove__V1__Open open;
    raw_init_open(&open, "media", "between", true);
    uint64_t id = raw_opened_stream(&fixture.outside, &open);
    for (uint64_t index = 0; index < 3; index++) {
        Trove__V1__Chunk chunk;
        raw_init_chunk(&chunk, id, index, index * sizeof bytes, bytes, sizeof bytes);
        raw_send_chunk(&fixture.outside, id, &chunk, bytes, sizeof bytes);
        raw_free(raw_expect(&fixture.outside, id, RAW_BODY(ACK)));
        assert_int_equal(memory_in_use(&fixture.outside), 0);
    }
    end(&fixture);
}

static void send_guesses(struct raw_client *client, uint64_t stream_id) {
    struct raw_client collected;
    Trove__V1__StreamControlRequest request = TROVE__V1__STREAM_CONTROL_REQUEST__INIT;
    raw_collect(&collected, client->type_octet);
    collected.last_id = client->last_id;
    request.stream_id = stream_id;
    request.type = TROVE__V1__CONTROL_TYPE__CANCEL;
    for (unsigned i = 0; i < GUESSES; i++)
        (void)raw_call(&collected, "trove.v1.Streams/Control", &request.base);
    raw_bytes(client, collected.sent, collected.sent_bytes);
    client->last_id = collected.last_id;
    raw_close(&collected);
}

static void ids_may_be_guessed(void **state) {
    (void)state;
    struct fixture fixture;
    begin(&fixture);
    Trove__V1__StreamListResponse *streams = list(&fixture);
    uint64_t last = streams->streams[streams->n_streams - 1]->stream_id;
    protobuf_c_message_free_unpacked(&streams->base, NULL);
    for (unsigned round = 0; round < ROUNDS; round++) {
        Trove__V1__Open open;
        raw_init_open(&open, "media", "guessed", true);
        open.demand = 0;
        send_guesses(&fixture.outside, ++last);
        uint64_t id = raw_open_stream(&fixture.client, &open);
        bool cancelled = false;
        for (unsigned i = 0; i < GUESSES; i++) {
            raw_frame *answer = raw_receive(&fixture.outside); /* in any order */
            assert_non_null(answer);
            assert_int_equal(answer->body_case, RAW_BODY(STATUS));
            cancelled |= answer->status->code == TROVE__V1__CODE__OK;
            raw_free(answer);
        }
        if (!cancelled)
            raw_send_control(&fixture.client, id, TROVE__V1__CONTROL_TYPE__CANCEL, 1);
        for (bool ended = false; !ended;) { /* opened or not, answered or not; its status is the last of it */
            raw_frame *frame = raw_receive(&fixture.client);
            assert_non_null(frame);
            ended = frame->body_case == RAW_BODY(STATUS);
            raw_free(frame);
        }
    }
    end(&fixture);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(demand_is_kept),
        cmocka_unit_test(credit_is_kept),
        cmocka_unit_test(own_controls_are_answered),
        cmocka_unit_test(answers_tell_where_a_range_begins),
        cmocka_unit_test(outside_controls_are_kept),
        cmocka_unit_test(outside_controls_are_bounded),
        cmocka_unit_test(a_cancel_leaves_the_queue),
        cmocka_unit_test(a_chunk_without_credit_fails),
        cmocka_unit_test(a_chunk_on_expired_credit_comes_again),
        cmocka_unit_test(waiting_for_memory_is_not_idle),
        cmocka_unit_test(an_upload_between_chunks_holds_no_memory),
        cmocka_unit_test(ids_may_be_guessed),
    };
    return cmocka_run_group_tests(tests, begin_group, end_group);
}
