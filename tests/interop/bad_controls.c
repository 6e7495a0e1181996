/* bad_controls.c - calls that come too late or are taken back, controls and seeks that can't be done. See bad_input.h. */
#include "bad_input.h"

#define CODE(name) TROVE__V1__CODE__##name

/* ---- deadlines, cancelling ---- */

#define SLOW_CALLS 900 /* below the limit of a connection's unanswered calls */

/* Sends calls that keep both workers busy for a while, then one more with this deadline, whose id is returned. All in one write.
 * */
static uint64_t queue_behind_slow_calls(struct raw_client *client, uint32_t deadline_ms, bool cancelled) {
    struct raw_client many;
    raw_collect(&many, client->type_octet);
    many.last_id = client->last_id;
    Trove__V1__ObjectListRequest request = TROVE__V1__OBJECT_LIST_REQUEST__INIT;
    request.bucket = raw_text("bad");
    for (unsigned i = 0; i < SLOW_CALLS; i++)
        (void)raw_call(&many, "trove.v1.Objects/List", &request.base);
    raw_frame frame = TROVE__V1__FRAME__INIT;
    Trove__V1__Call call = TROVE__V1__CALL__INIT;
    Trove__V1__Cancel cancel = TROVE__V1__CANCEL__INIT;
    Trove__V1__BucketCreateRequest create = TROVE__V1__BUCKET_CREATE_REQUEST__INIT;
    uint8_t packed[64];
    create.bucket = raw_text("too-late");
    call.method = raw_text("trove.v1.Buckets/Create");
    call.deadline_ms = deadline_ms;
    frame.call_id = raw_new_id(&many);
    frame.body_case = RAW_BODY(CALL);
    frame.call = &call;
    frame.payload.data = packed;
    frame.payload.len = trove__v1__bucket_create_request__pack(&create, packed);
    raw_send(&many, &frame);
    if (cancelled) {
        trove__v1__frame__init(&frame);
        frame.call_id = many.last_id;
        frame.body_case = RAW_BODY(CANCEL);
        frame.cancel = &cancel;
        raw_send(&many, &frame);
    }
    client->last_id = many.last_id;
    raw_bytes(client, many.sent, many.sent_bytes);
    raw_close(&many);
    return client->last_id;
}

/* Takes the answers of all calls; returns the code of the last one, which must come exactly once. */
static Trove__V1__Code take_answers(struct raw_client *client, uint64_t last) {
    Trove__V1__Code code = CODE(UNKNOWN);
    unsigned of_last = 0;
    for (unsigned i = 0; i < SLOW_CALLS + 1; i++) {
        raw_frame *frame = raw_receive(client);
        assert_non_null(frame);
        assert_int_equal(frame->body_case, RAW_BODY(STATUS));
        if (frame->call_id == last) {
            print_message("    %d %s\n", (int)frame->status->code, frame->status->message);
            code = frame->status->code;
            of_last++;
        } else {
            assert_int_equal(frame->status->code, CODE(OK));
        }
        raw_free(frame);
    }
    assert_int_equal(of_last, 1);
    raw_echo(client); /* and nothing came behind */
    return code;
}

/* Deletes the bucket that such a call would make; says whether it was there. */
static bool delete_late_bucket(struct raw_client *client) {
    Trove__V1__BucketDeleteRequest request = TROVE__V1__BUCKET_DELETE_REQUEST__INIT;
    request.bucket = raw_text("too-late");
    uint64_t id = raw_call(client, "trove.v1.Buckets/Delete", &request.base);
    raw_frame *frame = raw_receive(client);
    assert_non_null(frame);
    assert_int_equal(frame->call_id, id);
    bool was_there = frame->status->code == CODE(OK);
    raw_free(frame);
    return was_there;
}

/* Whether the call is too late depends on how fast the workers are: it is tried until it is, and must be answered rightly each
 * time. */
static void expect_too_late(uint32_t deadline_ms, bool cancelled, Trove__V1__Code expected) {
    struct raw_client *client = bad_connect(BAD_WELCOMED);
    Trove__V1__Code code = CODE(UNKNOWN);
    for (unsigned tries = 0; tries < 100 && code != expected; tries++) {
        uint64_t id = queue_behind_slow_calls(client, deadline_ms, cancelled);
        code = take_answers(client, id);
        assert_true(code == expected || code == CODE(OK));
        /* A call that was running already may have had its effect. */
        bool made = delete_late_bucket(client);
        assert_true(made || code == expected);
    }
    assert_int_equal(code, expected);
    raw_expect_end(client);
    bad_check_server(0);
}

static void test_cancelled_call(void **state) {
    (void)state;
    expect_too_late(0, true, CODE(CANCELLED));
}

static void test_deadline(void **state) {
    (void)state;
    expect_too_late(1, false, CODE(DEADLINE_EXCEEDED));
}

/* A cancel of what was never called, or answered long ago, is no error: it may always cross with the answer. */
static void test_cancel_of_nothing(void **state) {
    (void)state;
    struct raw_client *client = bad_connect(BAD_WELCOMED);
    raw_frame frame = TROVE__V1__FRAME__INIT;
    Trove__V1__Cancel cancel = TROVE__V1__CANCEL__INIT;
    raw_echo(client);
    frame.body_case = RAW_BODY(CANCEL);
    frame.cancel = &cancel;
    frame.call_id = client->last_id;
    raw_send(client, &frame);
    frame.call_id = 1000;
    raw_send(client, &frame);
    raw_echo(client);
    raw_expect_end(client);
    bad_check_server(0);
}

/* ---- controls ---- */

static raw_frame *expect_state(struct raw_client *client, uint64_t call_id) {
    raw_frame *frame = raw_receive_answer(client);
    assert_non_null(frame);
    assert_int_equal(frame->body_case, RAW_BODY(STATE));
    assert_int_equal(frame->call_id, call_id);
    return frame;
}

static void expect_refusal(struct raw_client *client, uint64_t call_id, uint64_t serial, Trove__V1__Code code, const char *word) {
    raw_frame *frame = expect_state(client, call_id);
    assert_int_equal(frame->state->serial, serial);
    assert_non_null(frame->state->status);
    print_message("    %d %s\n", (int)frame->state->status->code, frame->state->status->message);
    assert_int_equal(frame->state->status->code, code);
    assert_non_null(strstr(frame->state->status->message, word));
    raw_free(frame);
}

static void test_controls(void **state) {
    (void)state;
    struct raw_client *client = bad_connect(BAD_WELCOMED);
    Trove__V1__Open open;
    raw_init_open(&open, "bad", "never stored", true);
    open.paused = true;
    uint64_t id = raw_open_stream(client, &open);
    raw_expect_answer(client, id, RAW_BODY(OPENED));
    raw_send_control(client, id, TROVE__V1__CONTROL_TYPE__PAUSE, 1);
    expect_refusal(client, id, 1, CODE(FAILED_PRECONDITION), "idle");
    raw_send_control(client, id, TROVE__V1__CONTROL_TYPE__SEEK, 2);
    expect_refusal(client, id, 2, CODE(FAILED_PRECONDITION), "seek");
    raw_send_control(client, id, (Trove__V1__ControlType)99, 3);
    expect_refusal(client, id, 3, CODE(INVALID_ARGUMENT), "99");
    raw_send_control(client, id, TROVE__V1__CONTROL_TYPE__CANCEL, 4);
    raw_free(expect_state(client, id));
    raw_expect_answer(client, id, RAW_BODY(STATUS));
    raw_send_control(client, id, TROVE__V1__CONTROL_TYPE__CANCEL, 5);
    expect_refusal(client, id, 5, CODE(FAILED_PRECONDITION), "ended");
    raw_echo(client);
    raw_expect_end(client);
    bad_check_server(0);
}

/* Asks for a place that isn't the stream's. */
static void expect_no_seek(struct raw_client *client, uint64_t id, uint64_t offset, Trove__V1__Code code, const char *word) {
    Trove__V1__Control seek = TROVE__V1__CONTROL__INIT;
    seek.type = TROVE__V1__CONTROL_TYPE__SEEK;
    seek.serial = offset;
    seek.offset = offset;
    seek.generation = 1;
    raw_send_body(client, id, RAW_BODY(CONTROL), &seek.base);
    expect_refusal(client, id, offset, code, word);
}

/* libtrove doesn't ask for them. */
static void test_seeks(void **state) {
    (void)state;
    struct raw_client *client = bad_connect(BAD_WELCOMED);
    Trove__V1__Open open;
    Trove__V1__ByteRange range = TROVE__V1__BYTE_RANGE__INIT;
    range.offset = 10;
    range.length_given_case = TROVE__V1__BYTE_RANGE__LENGTH_GIVEN_LENGTH;
    range.length = 20;
    expect_no_seek(client, raw_upload(client), 1, CODE(FAILED_PRECONDITION), "it has received 0 bytes");
    raw_init_open(&open, "bad", "kept", false);
    open.credit = 0;
    open.range = &range;
    uint64_t id = raw_opened_stream(client, &open);
    expect_no_seek(client, id, 9, CODE(OUT_OF_RANGE), "bytes 10 to 30");
    expect_no_seek(client, id, 31, CODE(OUT_OF_RANGE), "bytes 10 to 30");
    expect_no_seek(client, id, UINT64_MAX, CODE(OUT_OF_RANGE), "bytes 10 to 30");
    raw_echo(client);
    raw_expect_end(client);
    bad_check_server(0);
}

const struct CMUnitTest bad_control_tests[] = {
    cmocka_unit_test(test_cancelled_call), cmocka_unit_test(test_deadline), cmocka_unit_test(test_cancel_of_nothing),
    cmocka_unit_test(test_controls),       cmocka_unit_test(test_seeks),
};
const size_t bad_control_test_count = sizeof bad_control_tests / sizeof bad_control_tests[0];
