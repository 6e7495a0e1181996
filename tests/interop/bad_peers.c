/* bad_peers.c - peers whose frames are fine, or nearly, but half-sent, byte by byte, shuffled, spoilt, left alone, or too late.
 * See bad_input.h. (Peers that don't read: bad_readers.c; deadlines and controls: bad_controls.c.)
 */
#include "bad_input.h"

#include <time.h>

#define CODE(name) TROVE__V1__CODE__##name

/* ---- a whole conversation, as bytes ---- */

/* What a client would send for an upload of 2,500 bytes in three chunks and a call behind it. The credit for it is asked for in
 * the open and not waited for. Returns the upload's id. */
static uint64_t collect_conversation(struct raw_client *client, bool wait_for_credit) {
    Trove__V1__Open open;
    Trove__V1__Chunk chunk;
    raw_greeting(client);
    raw_send_hello(client, false);
    raw_init_open(&open, "bad", "conversation", true);
    uint64_t id = raw_open_stream(client, &open);
    if (!wait_for_credit)
        return id;
    for (uint64_t i = 0; i < 3; i++) {
        size_t count = i < 2 ? 1000 : 500;
        raw_init_chunk(&chunk, id, i, i * 1000, bad_bytes + i * 1000, count);
        chunk.final = i == 2;
        raw_send_chunk(client, id, &chunk, bad_bytes + i * 1000, count);
    }
    raw_send_complete(client, id, 2500, 3);
    (void)raw_call(client, "trove.v1.Server/Health", NULL);
    return id;
}

/* The bytes up to the open, and those behind it. */
static size_t conversation_open_bytes(bool type_octet) {
    struct raw_client only_open;
    raw_collect(&only_open, type_octet);
    collect_conversation(&only_open, false);
    size_t bytes = only_open.sent_bytes;
    raw_close(&only_open);
    return bytes;
}

/* Every byte on its own; each is a receive of its own on the server, more or less. */
static void test_byte_at_a_time(void **state) {
    (void)state;
    struct raw_client talk;
    raw_connect(&bad_client, bad_url);
    raw_collect(&talk, bad_client.type_octet);
    uint64_t id = collect_conversation(&talk, true);
    size_t open_bytes = conversation_open_bytes(bad_client.type_octet);
    for (size_t i = 0; i < talk.sent_bytes; i++) {
        raw_bytes(&bad_client, talk.sent + i, 1);
        if (i + 1 < open_bytes)
            continue;
        if (i + 1 == open_bytes) {
            raw_skip_greeting(&bad_client);
            raw_expect_answer(&bad_client, 0, RAW_BODY(WELCOME));
            raw_expect_answer(&bad_client, id, RAW_BODY(OPENED));
        }
    }
    raw_close(&talk);
    /* The answer of the call may overtake the end of the upload. */
    bool completed = false;
    bool answered = false;
    while (!completed || !answered) {
        raw_frame *frame = raw_receive_answer(&bad_client);
        assert_non_null(frame);
        completed |= frame->body_case == RAW_BODY(COMPLETED) && frame->completed->object->size == 2500;
        answered |= frame->body_case == RAW_BODY(STATUS) && frame->status->code == CODE(OK);
        raw_free(frame);
    }
    raw_expect_end(&bad_client);
    bad_check_server(1);
    bad_remove("conversation");
}

/* The connection is closed after every possible number of bytes; of large payloads, after some. */
static void test_half_sent(void **state) {
    (void)state;
    struct raw_client talk;
    raw_connect(&bad_client, bad_url);
    raw_collect(&talk, bad_client.type_octet);
    raw_close(&bad_client);
    bad_client.fd = -1;
    collect_conversation(&talk, true);
    size_t open_bytes = conversation_open_bytes(talk.type_octet);
    /* Before the complete is whole nothing may be stored: it is the last frame but one. */
    struct raw_client behind;
    raw_collect(&behind, talk.type_octet);
    raw_send_complete(&behind, 1, 2500, 3);
    behind.last_id = 1;
    (void)raw_call(&behind, "trove.v1.Server/Health", NULL);
    size_t most = talk.sent_bytes - behind.sent_bytes;
    raw_close(&behind);
    for (size_t count = 0; count < most; count += count < open_bytes + 100 ? 1 : 37) {
        raw_connect(&bad_client, bad_url);
        raw_bytes(&bad_client, talk.sent, count < open_bytes ? count : open_bytes);
        if (count >= open_bytes) {
            raw_skip_greeting(&bad_client);
            raw_expect_answer(&bad_client, 0, RAW_BODY(WELCOME));
            raw_expect_answer(&bad_client, 1, RAW_BODY(OPENED));
            raw_bytes(&bad_client, talk.sent + open_bytes, count - open_bytes);
        }
        raw_close(&bad_client);
        bad_client.fd = -1;
    }
    raw_close(&talk);
    bad_check_server(0);
}

/* ---- other writers' order of fields ---- */

/* Sends a frame with its payload field before all others. */
static void send_shuffled(struct raw_client *client, raw_frame *frame) {
    size_t count;
    uint8_t *message = raw_pack(client, frame, &count);
    raw_frame header = *frame;
    header.payload = (ProtobufCBinaryData){0};
    size_t header_bytes = trove__v1__frame__get_packed_size(&header);
    raw_prefix(client, count);
    raw_bytes(client, message + header_bytes, count - header_bytes);
    raw_bytes(client, message, header_bytes);
    free(message);
}

static void test_shuffled(void **state) {
    (void)state;
    struct raw_client *client = bad_connect(BAD_WELCOMED);
    Trove__V1__Open open;
    raw_init_open(&open, "bad", "shuffled", true);
    open.chunk_bytes = open.demand = 500000;
    uint64_t id = raw_opened_stream(client, &open);
    Trove__V1__Chunk chunk;
    raw_init_chunk(&chunk, id, 0, 0, bad_bytes, 500000);
    chunk.final = true;
    raw_frame frame = TROVE__V1__FRAME__INIT;
    frame.call_id = id;
    frame.body_case = RAW_BODY(CHUNK);
    frame.chunk = &chunk;
    frame.payload.data = bad_bytes;
    frame.payload.len = 500000;
    send_shuffled(client, &frame);
    raw_send_complete(client, id, 500000, 1);
    raw_expect_answer(client, id, RAW_BODY(COMPLETED));

    Trove__V1__Call call = TROVE__V1__CALL__INIT;
    call.method = raw_text("trove.v1.Server/Echo");
    trove__v1__frame__init(&frame);
    frame.call_id = raw_new_id(client);
    frame.body_case = RAW_BODY(CALL);
    frame.call = &call;
    frame.payload.data = (uint8_t *)(uintptr_t) "\x0A\x02hi";
    frame.payload.len = 4;
    send_shuffled(client, &frame);
    ProtobufCMessage *answer = raw_answer(client, frame.call_id, &trove__v1__echo_response__descriptor);
    assert_memory_equal(((const Trove__V1__EchoResponse *)answer)->data.data, "hi", 2);
    protobuf_c_message_free_unpacked(answer, NULL);

    raw_init_open(&open, "bad", "shuffled inline", true);
    trove__v1__frame__init(&frame);
    frame.call_id = raw_new_id(client);
    open.inline_checksum_given_case = TROVE__V1__OPEN__INLINE_CHECKSUM_GIVEN_INLINE_CHECKSUM;
    open.inline_checksum = stock_chunk_checksum(frame.call_id, 0, 0, bad_bytes, 60000);
    frame.body_case = RAW_BODY(OPEN);
    frame.open = &open;
    frame.payload.data = bad_bytes;
    frame.payload.len = 60000;
    send_shuffled(client, &frame);
    raw_expect_answer(client, frame.call_id, RAW_BODY(COMPLETED));
    raw_expect_end(client);
    bad_check_server(2);
    bad_remove("shuffled");
    bad_remove("shuffled inline");
}

/* ---- many streams that are left alone ---- */

static void test_abandoned_streams(void **state) {
    (void)state;
    struct raw_client *client = bad_connect(BAD_WELCOMED);
    Trove__V1__Open open;
    Trove__V1__Chunk chunk;
    for (unsigned i = 0; i < 200; i++) {
        raw_init_open(&open, "bad", i % 2 == 0 ? "never stored" : "kept", i % 2 == 0);
        if (i % 2 == 1) {
            open.credit = 4000;
            (void)raw_open_stream(client, &open);
            continue;
        }
        uint64_t id = raw_open_stream(client, &open);
        raw_init_chunk(&chunk, id, 0, 0, bad_bytes, 1000);
        if (i % 4 == 0)
            raw_send_chunk(client, id, &chunk, bad_bytes, 1000); /* on credit that it hasn't seen: some fail, some don't */
    }
    raw_close(client);
    *client = (struct raw_client){.fd = -1};
    bad_check_server(0);
}

/* ---- spoilt conversations ---- */

#define SPOILT_COUNT 300

static uint64_t next_random(uint64_t *state) {
    uint64_t z = (*state += 0x9E3779B97F4A7C15);
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EB;
    return z ^ (z >> 31);
}

/* A conversation with a few octets changed, sent at once; whatever the server says, it goes on. TROVE_TEST_SEED replays. */
static void test_spoilt(void **state) {
    (void)state;
    const char *given = getenv("TROVE_TEST_SEED");
    uint64_t seed = given != NULL ? strtoull(given, NULL, 0) : (uint64_t)time(NULL);
    print_message("    TROVE_TEST_SEED=%llu\n", (unsigned long long)seed);
    struct raw_client talk;
    raw_connect(&bad_client, bad_url);
    raw_collect(&talk, bad_client.type_octet);
    raw_close(&bad_client);
    bad_client.fd = -1;
    (void)collect_conversation(&talk, true);
    uint8_t *spoilt = malloc(talk.sent_bytes);
    assert_non_null(spoilt);
    for (unsigned i = 0; i < SPOILT_COUNT; i++) {
        memcpy(spoilt, talk.sent, talk.sent_bytes);
        for (uint64_t changes = 1 + next_random(&seed) % 4; changes > 0; changes--) {
            /* Where the frames are, rather than within the payloads. */
            size_t at = next_random(&seed) % 2 == 0 ? next_random(&seed) % 150 : next_random(&seed) % talk.sent_bytes;
            spoilt[at] = (uint8_t)next_random(&seed);
        }
        raw_connect(&bad_client, bad_url);
        raw_bytes(&bad_client, spoilt, talk.sent_bytes);
        raw_expect_end_of_bytes(&bad_client);
        raw_close(&bad_client);
        bad_client.fd = -1;
    }
    free(spoilt);
    raw_close(&talk);
    bad_remove_all(); /* a change in the bucket's name or the bytes may do no harm */
    bad_check_server(0);
}

/* ---- clients that go away ---- */

/* Who says that something was wrong waits for the end; who doesn't may still be answered. */
static void test_go_away(void **state) {
    (void)state;
    Trove__V1__GoAway go_away = TROVE__V1__GO_AWAY__INIT;
    Trove__V1__Status status = TROVE__V1__STATUS__INIT;
    raw_open(&bad_client, bad_url);
    raw_greet(&bad_client, false);
    go_away.status = &status;
    raw_send_body(&bad_client, 0, RAW_BODY(GO_AWAY), &go_away.base);
    raw_echo(&bad_client);
    status.code = CODE(DATA_LOSS);
    raw_send_body(&bad_client, 0, RAW_BODY(GO_AWAY), &go_away.base);
    assert_null(raw_receive(&bad_client));
    raw_close(&bad_client);
    bad_client.fd = -1;
    bad_check_server(0);
}

/* ---- calls while the server drains ---- */

/* A server of its own drains while an upload is open: what is new is refused, what is under way is finished, then it ends. */
static void test_drain(void **state) {
    (void)state;
    const struct troved_options options = {.listen = {"ipc://%s/socket"}};
    struct troved *draining = troved_start(&options, NULL);
    struct raw_client *client = &bad_client;
    raw_open(client, troved_url(draining, "ipc"));
    raw_greet(client, false);
    Trove__V1__BucketCreateRequest request = TROVE__V1__BUCKET_CREATE_REQUEST__INIT;
    request.bucket = raw_text("bad");
    uint64_t id = raw_call(client, "trove.v1.Buckets/Create", &request.base);
    raw_expect_answer(client, id, RAW_BODY(STATUS));
    uint64_t upload = raw_upload(client);
    troved_ask_to_end(draining);
    raw_expect_failure(client, 0, CODE(OK), "shutting down");
    raw_expect_failure(client, raw_call(client, "trove.v1.Server/Health", NULL), CODE(UNAVAILABLE), "shutting down");
    Trove__V1__Open open;
    raw_init_open(&open, "bad", "late", true);
    raw_expect_failure(client, raw_open_stream(client, &open), CODE(UNAVAILABLE), "shutting down");
    Trove__V1__Chunk chunk;
    raw_init_chunk(&chunk, upload, 0, 0, bad_bytes, 1000);
    chunk.final = true;
    raw_send_chunk(client, upload, &chunk, bad_bytes, 1000);
    raw_send_complete(client, upload, 1000, 1);
    raw_expect_answer(client, upload, RAW_BODY(COMPLETED));
    raw_expect_failure(client, 0, CODE(UNAVAILABLE), "shut down");
    raw_expect_end(client);
    assert_int_equal(troved_stop(draining, false), 0);
}

const struct CMUnitTest bad_peer_tests[] = {
    cmocka_unit_test(test_byte_at_a_time),    cmocka_unit_test(test_half_sent), cmocka_unit_test(test_shuffled),
    cmocka_unit_test(test_abandoned_streams), cmocka_unit_test(test_spoilt),    cmocka_unit_test(test_drain),
    cmocka_unit_test(test_go_away),
};
const size_t bad_peer_test_count = sizeof bad_peer_tests / sizeof bad_peer_tests[0];
