/* copies.c - long copies inside the store leave room for everything else, and end when nobody wants them any more. The server has
 * one worker, and one copy at a time.
 */
#include "raw_client.h"
#include "troved.h"

#define CODE(name)  TROVE__V1__CODE__##name
#define CHUNK_BYTES 500000
#define CHUNKS      100 /* 50 MB: several steps */
#define CALLS_MAX   1024

static struct troved *server;
static struct raw_client client;

static void call_bucket_create(void) {
    Trove__V1__BucketCreateRequest request = TROVE__V1__BUCKET_CREATE_REQUEST__INIT;
    request.bucket = raw_text("media");
    uint64_t id = raw_call(&client, "trove.v1.Buckets/Create", &request.base);
    protobuf_c_message_free_unpacked(raw_answer(&client, id, &trove__v1__bucket_create_response__descriptor), NULL);
}

static void put(const char *key, uint64_t chunks) {
    static uint8_t bytes[CHUNK_BYTES];
    Trove__V1__Open open;
    Trove__V1__Chunk chunk;
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (uint8_t)(i * 2654435761u >> 13);
    raw_init_open(&open, "media", key, true);
    open.chunk_bytes = open.demand = CHUNK_BYTES;
    uint64_t id = raw_opened_stream(&client, &open);
    for (uint64_t i = 0; i < chunks; i++) {
        for (bool credit = i == 0; !credit;) {
            raw_frame *frame = raw_receive(&client);
            assert_non_null(frame);
            credit = (frame->body_case == RAW_BODY(ACK) && frame->ack->credit > 0) || frame->body_case == RAW_BODY(CREDIT);
            raw_free(frame);
        }
        raw_init_chunk(&chunk, id, i, i * CHUNK_BYTES, bytes, CHUNK_BYTES);
        chunk.final = i == chunks - 1;
        raw_send_chunk(&client, id, &chunk, bytes, CHUNK_BYTES);
    }
    raw_send_complete(&client, id, chunks * CHUNK_BYTES, chunks);
    raw_frame *frame = raw_receive_answer(&client);
    assert_non_null(frame);
    assert_int_equal(frame->body_case, RAW_BODY(COMPLETED));
    raw_free(frame);
}

static int begin(void **state) {
    const struct troved_options options = {
        .listen = {"ipc://%s/socket"}, .store = "local://%s/store", .config = "workers: 1\nmemory: 16MiB\n"};
    (void)state;
    server = troved_start(&options, NULL);
    raw_open(&client, troved_url(server, "ipc"));
    raw_greet(&client, false);
    call_bucket_create();
    put("large", CHUNKS);
    put("small", 1);
    return 0;
}

static int end(void **state) {
    (void)state;
    raw_close(&client);
    return troved_stop(server, false);
}

static uint64_t send_copy(struct raw_client *to, const char *from_key, const char *to_key, uint32_t deadline_ms) {
    uint8_t packed[256];
    Trove__V1__ObjectCopyRequest request = TROVE__V1__OBJECT_COPY_REQUEST__INIT;
    Trove__V1__Call call = TROVE__V1__CALL__INIT;
    raw_frame frame = TROVE__V1__FRAME__INIT;
    request.from_bucket = request.to_bucket = raw_text("media");
    request.from_key = raw_text(from_key);
    request.to_key = raw_text(to_key);
    call.method = raw_text("trove.v1.Objects/Copy");
    call.deadline_ms = deadline_ms;
    frame.call_id = raw_new_id(to);
    frame.body_case = RAW_BODY(CALL);
    frame.call = &call;
    frame.payload.data = packed;
    frame.payload.len = trove__v1__object_copy_request__pack(&request, packed);
    raw_send(to, &frame);
    return frame.call_id;
}

static uint64_t send_head(struct raw_client *to, const char *key) {
    Trove__V1__ObjectHeadRequest request = TROVE__V1__OBJECT_HEAD_REQUEST__INIT;
    request.bucket = raw_text("media");
    request.key = raw_text(key);
    return raw_call(to, "trove.v1.Objects/Head", &request.base);
}

static void send_collected(struct raw_client *collected) {
    client.last_id = collected->last_id;
    raw_bytes(&client, collected->sent, collected->sent_bytes);
    raw_close(collected);
}

static void begin_collecting(struct raw_client *collected) {
    raw_collect(collected, client.type_octet);
    collected->last_id = client.last_id;
}

static Trove__V1__Code take_status(struct raw_client *from, uint64_t *id) {
    raw_frame *frame = raw_receive(from);
    assert_non_null(frame);
    assert_int_equal(frame->body_case, RAW_BODY(STATUS));
    Trove__V1__Code code = frame->status->code;
    *id = frame->call_id;
    raw_free(frame);
    return code;
}

static void expect(uint64_t id, Trove__V1__Code code) {
    uint64_t answered;
    assert_int_equal(take_status(&client, &answered), code);
    assert_int_equal(answered, id);
}

static void delete_object(const char *key) {
    Trove__V1__ObjectDeleteRequest request = TROVE__V1__OBJECT_DELETE_REQUEST__INIT;
    request.bucket = raw_text("media");
    request.key = raw_text(key);
    expect(raw_call(&client, "trove.v1.Objects/Delete", &request.base), CODE(OK));
}

/* What comes behind a copy doesn't wait for its end. */
static void test_others_are_served_between_its_steps(void **state) {
    (void)state;
    struct raw_client many;
    begin_collecting(&many);
    uint64_t copy = send_copy(&many, "large", "copy", 0);
    for (unsigned i = 0; i < 50; i++)
        (void)send_head(&many, "large");
    send_collected(&many);
    unsigned before = 0;
    for (unsigned i = 0; i < 51; i++) {
        uint64_t id;
        assert_int_equal(take_status(&client, &id), CODE(OK));
        if (id == copy)
            before = i;
    }
    print_message("    %u calls were answered before the copy\n", before);
    assert_true(before > 0);
    expect(send_head(&client, "copy"), CODE(OK));
}

/* The next copy has its turn when the one before is over, however that ended. */
static void expect_nothing_at(const char *key) {
    expect(send_copy(&client, "small", "next", 0), CODE(OK));
    expect(send_head(&client, key), CODE(NOT_FOUND));
}

static Trove__V1__Code copy_and_cancel(void) {
    struct raw_client many;
    raw_frame frame = TROVE__V1__FRAME__INIT;
    Trove__V1__Cancel cancel = TROVE__V1__CANCEL__INIT;
    uint64_t id;
    begin_collecting(&many);
    frame.call_id = send_copy(&many, "large", "unwanted", 0);
    frame.body_case = RAW_BODY(CANCEL);
    frame.cancel = &cancel;
    raw_send(&many, &frame);
    send_collected(&many);
    return take_status(&client, &id);
}

static Trove__V1__Code copy_with_deadline(void) {
    uint64_t id;
    (void)send_copy(&client, "large", "unwanted", 1);
    return take_status(&client, &id);
}

/* Whether it is soon enough depends on who is fast: it is tried until it is, and must be answered rightly each time. */
static void expect_unwanted(Trove__V1__Code (*attempt)(void), Trove__V1__Code expected) {
    Trove__V1__Code code = CODE(OK);
    for (unsigned tries = 0; tries < 100 && code == CODE(OK); tries++) {
        code = attempt();
        if (code == CODE(OK))
            delete_object("unwanted");
    }
    assert_int_equal(code, expected);
    expect_nothing_at("unwanted");
}

static void test_a_cancelled_one_ends(void **state) {
    (void)state;
    expect_unwanted(copy_and_cancel, CODE(CANCELLED));
}

static void test_one_past_its_deadline_ends(void **state) {
    (void)state;
    expect_unwanted(copy_with_deadline, CODE(DEADLINE_EXCEEDED));
}

static void test_one_of_a_lost_connection_ends(void **state) {
    (void)state;
    Trove__V1__Code code = CODE(OK);
    for (unsigned tries = 0; tries < 100 && code == CODE(OK); tries++) {
        struct raw_client other;
        uint64_t id;
        raw_open(&other, troved_url(server, "ipc"));
        raw_greet(&other, false);
        (void)send_copy(&other, "large", "lost", 0);
        raw_echo(&other); /* the server has it */
        raw_close(&other);
        expect(send_copy(&client, "small", "next", 0), CODE(OK));
        (void)send_head(&client, "lost");
        code = take_status(&client, &id);
        if (code == CODE(OK))
            delete_object("lost");
    }
    assert_int_equal(code, CODE(NOT_FOUND));
}

/* Where too many wait the next is refused; those that wait all have their turn. */
static void test_so_many_may_wait(void **state) {
    (void)state;
    struct raw_client other;
    struct raw_client many;
    raw_open(&other, troved_url(server, "ipc"));
    raw_greet(&other, false);
    raw_collect(&many, client.type_octet);
    (void)send_copy(&many, "large", "busy", 0);
    for (unsigned i = 1; i < CALLS_MAX; i++)
        (void)send_copy(&many, "small", "busy", 0);
    raw_bytes(&other, many.sent, many.sent_bytes);
    other.last_id = many.last_id;
    raw_close(&many);
    raw_echo(&other);
    unsigned refused = 0;
    begin_collecting(&many);
    for (unsigned i = 0; i < 20; i++)
        (void)send_copy(&many, "small", "copy", 0);
    send_collected(&many);
    for (unsigned i = 0; i < 20; i++) {
        uint64_t id;
        Trove__V1__Code code = take_status(&client, &id);
        assert_true(code == CODE(OK) || code == CODE(RESOURCE_EXHAUSTED));
        refused += code != CODE(OK);
        if (i == 0)
            raw_close(&other); /* nobody wants those any more */
    }
    print_message("    %u of 20 were refused\n", refused);
    assert_true(refused > 0);
    expect(send_copy(&client, "small", "next", 0), CODE(OK));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_others_are_served_between_its_steps),
        cmocka_unit_test(test_a_cancelled_one_ends),
        cmocka_unit_test(test_one_past_its_deadline_ends),
        cmocka_unit_test(test_one_of_a_lost_connection_ends),
        cmocka_unit_test(test_so_many_may_wait),
    };
    return cmocka_run_group_tests_name("copies", tests, begin, end);
}
