/* bad_peers.c - peers whose frames are fine, or nearly, but not what they do with them: half-sent, byte by byte, shuffled, never
 * reading, too late, flooding. See bad_input.h.
 */
#include "bad_input.h"

#include <errno.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define CODE(name) TROVE__V1__CODE__##name

static void expect_body(struct raw_client *client, uint64_t call_id, Trove__V1__Frame__BodyCase body) {
    raw_frame *frame = raw_receive_answer(client);
    assert_non_null(frame);
    if (frame->body_case == RAW_BODY(STATUS) && body != RAW_BODY(STATUS))
        fail_msg("status %d: %s", (int)frame->status->code, frame->status->message);
    assert_int_equal(frame->body_case, body);
    assert_int_equal(frame->call_id, call_id);
    raw_free(frame);
}

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
            expect_body(&bad_client, 0, RAW_BODY(WELCOME));
            expect_body(&bad_client, id, RAW_BODY(OPENED));
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
            expect_body(&bad_client, 0, RAW_BODY(WELCOME));
            expect_body(&bad_client, 1, RAW_BODY(OPENED));
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
    expect_body(client, id, RAW_BODY(COMPLETED));

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
    expect_body(client, frame.call_id, RAW_BODY(COMPLETED));
    raw_expect_end(client);
    bad_check_server(2);
    bad_remove("shuffled");
    bad_remove("shuffled inline");
}

/* ---- peers that don't read ---- */

/* Resident memory of the server, in bytes. */
static uint64_t server_memory(void) {
    char path[64];
    unsigned long pages = 0;
    snprintf(path, sizeof path, "/proc/%d/statm", (int)troved_pid(bad_server));
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    assert_int_equal(fscanf(file, "%*u %lu", &pages), 1);
    fclose(file);
    return (uint64_t)pages * (uint64_t)sysconf(_SC_PAGESIZE);
}

/* Sends `bytes` again and again, `times` at most, until the server takes no more while the bystander was served some times.
 * Returns how many bytes it has taken. */
static size_t flood(int fd, const uint8_t *bytes, size_t count, size_t times) {
    size_t sent = 0;
    unsigned refused = 0;
    while (sent < count * times && refused < 50) {
        size_t at = sent % count;
        ssize_t step = send(fd, bytes + at, count - at, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (step > 0) {
            sent += (size_t)step;
            refused = 0;
            continue;
        }
        assert_true(errno == EAGAIN);
        raw_echo(&bad_bystander);
        refused++;
    }
    return sent;
}

/* Room for what the allocator and the sanitizers keep on top. */
#define MEMORY_GROWTH_MAX ((uint64_t)96 << 20)
#define ECHO_BYTES        60000
#define ECHO_COUNT        5000 /* 300 MB */

/* Thousands of echoes without reading one answer; then all the answers are there. */
static void test_never_reads_echoes(void **state) {
    (void)state;
    struct raw_client *client = bad_connect(BAD_WELCOMED);
    struct raw_client one;
    raw_collect(&one, client->type_octet);
    Trove__V1__EchoRequest request = TROVE__V1__ECHO_REQUEST__INIT;
    request.data.data = bad_bytes;
    request.data.len = ECHO_BYTES;
    (void)raw_call(&one, "trove.v1.Server/Echo", &request.base);
    uint64_t before = server_memory();
    size_t sent = flood(client->fd, one.sent, one.sent_bytes, ECHO_COUNT);
    uint64_t after = server_memory();
    print_message("    %zu bytes taken, memory from %llu to %llu\n", sent, (unsigned long long)before, (unsigned long long)after);
    assert_true(sent < one.sent_bytes * ECHO_COUNT);
    assert_true(after < before + MEMORY_GROWTH_MAX);
    /* Now it reads: one answer for each call that went out whole, and for the rest of the one that didn't. */
    size_t calls = sent / one.sent_bytes;
    for (size_t i = 0; i < calls; i++)
        expect_body(client, 1, RAW_BODY(STATUS));
    size_t rest = sent % one.sent_bytes;
    if (rest > 0) {
        raw_bytes(client, one.sent + rest, one.sent_bytes - rest);
        expect_body(client, 1, RAW_BODY(STATUS));
    }
    raw_close(&one);
    raw_echo(client);
    raw_expect_end(client);
    bad_check_server(0);
}

#define LONG_KEYS     220
#define LISTING_COUNT 20000
#define LATE_COUNT    300 /* answers of 66 MB in all */

static void call_with_bucket(const char *method, const char *bucket) {
    Trove__V1__BucketCreateRequest request = TROVE__V1__BUCKET_CREATE_REQUEST__INIT;
    request.bucket = raw_text(bucket);
    uint64_t id = raw_call(&bad_bystander, method, &request.base);
    expect_body(&bad_bystander, id, RAW_BODY(STATUS));
}

/* A bucket whose listing nearly fills a message: empty objects with long keys. */
static void fill_bucket(const char *bucket, bool remove) {
    char key[1024];
    if (!remove)
        call_with_bucket("trove.v1.Buckets/Create", bucket);
    memset(key, 'k', sizeof key - 1);
    for (unsigned i = 0; i < LONG_KEYS; i++) {
        snprintf(key + 1000, sizeof key - 1000, "%u", i);
        uint64_t id = remove ? bad_send_delete(bucket, key) : bad_send_inline(bucket, key, 0);
        expect_body(&bad_bystander, id, remove ? RAW_BODY(STATUS) : RAW_BODY(COMPLETED));
    }
    if (remove)
        call_with_bucket("trove.v1.Buckets/Delete", bucket);
}

/* The same with calls whose answers are much larger than they, and come from the workers. */
static void test_never_reads_listings(void **state) {
    (void)state;
    struct raw_client *client = bad_connect(BAD_WELCOMED);
    struct raw_client many;
    fill_bucket("long-keys", false);
    raw_collect(&many, client->type_octet);
    Trove__V1__ObjectListRequest request = TROVE__V1__OBJECT_LIST_REQUEST__INIT;
    request.bucket = raw_text("long-keys");
    for (unsigned i = 0; i < LISTING_COUNT; i++)
        (void)raw_call(&many, "trove.v1.Objects/List", &request.base);
    uint64_t before = server_memory();
    size_t sent = flood(client->fd, many.sent, many.sent_bytes, 1);
    for (unsigned i = 0; i < 200; i++) /* behind the listings that wait for a worker */
        call_with_bucket("trove.v1.Buckets/Create", "bad");
    uint64_t after = server_memory();
    print_message("    %zu of %zu bytes taken, memory from %llu to %llu\n", sent, many.sent_bytes, (unsigned long long)before,
                  (unsigned long long)after);
    assert_true(after < before + MEMORY_GROWTH_MAX);
    raw_close(&many);
    raw_close(client); /* with all of that unread */
    *client = (struct raw_client){.fd = -1};
    fill_bucket("long-keys", true);
    bad_check_server(0);
}

/* Answers that wait for a slow reader do come, each once. */
static void test_reads_listings_late(void **state) {
    (void)state;
    struct raw_client *client = bad_connect(BAD_WELCOMED);
    bool answered[LATE_COUNT + 1] = {false};
    fill_bucket("long-keys", false);
    Trove__V1__ObjectListRequest request = TROVE__V1__OBJECT_LIST_REQUEST__INIT;
    request.bucket = raw_text("long-keys");
    for (unsigned i = 0; i < LATE_COUNT; i++)
        (void)raw_call(client, "trove.v1.Objects/List", &request.base);
    for (unsigned i = 0; i < 50; i++) /* the workers are done with what they do at once */
        call_with_bucket("trove.v1.Buckets/Create", "bad");
    for (unsigned i = 0; i < LATE_COUNT; i++) {
        raw_frame *frame = raw_receive(client);
        assert_non_null(frame);
        assert_int_equal(frame->body_case, RAW_BODY(STATUS));
        assert_int_equal(frame->status->code, CODE(OK));
        assert_in_range(frame->call_id, 1, LATE_COUNT);
        assert_false(answered[frame->call_id]);
        answered[frame->call_id] = true;
        raw_free(frame);
    }
    raw_echo(client);
    raw_expect_end(client);
    fill_bucket("long-keys", true);
    bad_check_server(0);
}

/* A client that takes no larger payloads than it must isn't sent any, however much there is to tell. */
static void test_smallest_payloads(void **state) {
    (void)state;
    struct raw_client *client = bad_connect(BAD_GREETED);
    raw_frame frame = TROVE__V1__FRAME__INIT;
    Trove__V1__Hello hello = TROVE__V1__HELLO__INIT;
    hello.version = 1;
    hello.payload_bytes_max = 262144;
    frame.body_case = RAW_BODY(HELLO);
    frame.hello = &hello;
    raw_send(client, &frame);
    raw_frame *welcome = raw_receive(client);
    assert_non_null(welcome);
    assert_int_equal(welcome->body_case, RAW_BODY(WELCOME));
    assert_int_equal(welcome->welcome->payload_bytes_max, 262144);
    raw_free(welcome);
    fill_bucket("long-keys", false);
    Trove__V1__ObjectListRequest request = TROVE__V1__OBJECT_LIST_REQUEST__INIT;
    request.bucket = raw_text("long-keys");
    (void)raw_call(client, "trove.v1.Objects/List", &request.base);
    raw_frame *answer = raw_receive(client);
    assert_non_null(answer);
    assert_int_equal(answer->status->code, CODE(OK));
    assert_in_range(answer->payload.len, 65537, 262144);
    raw_free(answer);
    raw_expect_end(client);
    fill_bucket("long-keys", true);
    bad_check_server(0);
}

/* Downloads that are never read, more than the budget could carry; others get their turn. */
static void test_never_reads_downloads(void **state) {
    (void)state;
    struct raw_client *client = bad_connect(BAD_WELCOMED);
    Trove__V1__Open open;
    Trove__V1__Chunk chunk;
    raw_init_open(&open, "bad", "large", true);
    open.chunk_bytes = open.demand = 500000;
    uint64_t id = raw_opened_stream(client, &open);
    for (uint64_t i = 0; i < 16; i++) {
        if (i > 0)
            for (bool credit = false; !credit;) {
                raw_frame *frame = raw_receive(client);
                assert_non_null(frame);
                credit = (frame->body_case == RAW_BODY(ACK) && frame->ack->credit > 0) || frame->body_case == RAW_BODY(CREDIT);
                raw_free(frame);
            }
        raw_init_chunk(&chunk, id, i, i * 500000, bad_bytes, 500000);
        chunk.final = i == 15;
        raw_send_chunk(client, id, &chunk, bad_bytes, 500000);
    }
    raw_send_complete(client, id, 16 * 500000, 16);
    expect_body(client, id, RAW_BODY(COMPLETED));
    raw_init_open(&open, "bad", "large", false);
    open.chunk_bytes = (uint64_t)1 << 20;
    open.channel_chunks = 64;
    open.credit = (uint64_t)1 << 30;
    for (unsigned i = 0; i < 32; i++)
        (void)raw_open_stream(client, &open);
    for (unsigned i = 0; i < 200; i++)
        raw_echo(&bad_bystander);
    raw_close(client);
    *client = (struct raw_client){.fd = -1};
    bad_check_server(1);
    bad_remove("large");
}

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
    expect_body(client, id, RAW_BODY(OPENED));
    raw_send_control(client, id, TROVE__V1__CONTROL_TYPE__PAUSE, 1);
    expect_refusal(client, id, 1, CODE(FAILED_PRECONDITION), "idle");
    raw_send_control(client, id, TROVE__V1__CONTROL_TYPE__SEEK, 2);
    expect_refusal(client, id, 2, CODE(FAILED_PRECONDITION), "seek");
    raw_send_control(client, id, (Trove__V1__ControlType)99, 3);
    expect_refusal(client, id, 3, CODE(INVALID_ARGUMENT), "99");
    raw_send_control(client, id, TROVE__V1__CONTROL_TYPE__CANCEL, 4);
    raw_free(expect_state(client, id));
    expect_body(client, id, RAW_BODY(STATUS));
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

/* More controls than answers may be due: at some point the stream fails, and the connection stays. */
static void test_control_flood(void **state) {
    (void)state;
    struct raw_client *client = bad_connect(BAD_WELCOMED);
    struct raw_client many;
    uint64_t id = raw_upload(client);
    raw_collect(&many, client->type_octet);
    for (uint64_t i = 1; i <= 1000; i++)
        raw_send_control(&many, id, i % 2 == 1 ? TROVE__V1__CONTROL_TYPE__PAUSE : TROVE__V1__CONTROL_TYPE__RESUME, i);
    raw_bytes(client, many.sent, many.sent_bytes);
    raw_close(&many);
    bool failed = false;
    uint64_t echo = raw_call_bytes(client, "trove.v1.Server/Echo", "", 0);
    for (bool answered = false; !answered;) {
        raw_frame *frame = raw_receive_answer(client);
        assert_non_null(frame);
        answered = frame->call_id == echo;
        failed |= frame->body_case == RAW_BODY(STATUS) && frame->status->code == CODE(RESOURCE_EXHAUSTED);
        raw_free(frame);
    }
    if (failed)
        print_message("    the stream has failed\n");
    raw_expect_end(client);
    bad_check_server(0);
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
        shutdown(bad_client.fd, SHUT_WR);
        char answer[4096];
        while (recv(bad_client.fd, answer, sizeof answer, 0) > 0)
            continue;
        raw_close(&bad_client);
        bad_client.fd = -1;
    }
    free(spoilt);
    raw_close(&talk);
    raw_echo(&bad_bystander);
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
    expect_body(client, id, RAW_BODY(STATUS));
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
    expect_body(client, upload, RAW_BODY(COMPLETED));
    raw_expect_failure(client, 0, CODE(UNAVAILABLE), "shut down");
    raw_expect_end(client);
    assert_int_equal(troved_stop(draining, false), 0);
}

const struct CMUnitTest bad_peer_tests[] = {
    cmocka_unit_test(test_byte_at_a_time),
    cmocka_unit_test(test_half_sent),
    cmocka_unit_test(test_shuffled),
    cmocka_unit_test(test_never_reads_echoes),
    cmocka_unit_test(test_never_reads_listings),
    cmocka_unit_test(test_reads_listings_late),
    cmocka_unit_test(test_smallest_payloads),
    cmocka_unit_test(test_never_reads_downloads),
    cmocka_unit_test(test_cancelled_call),
    cmocka_unit_test(test_deadline),
    cmocka_unit_test(test_cancel_of_nothing),
    cmocka_unit_test(test_controls),
    cmocka_unit_test(test_seeks),
    cmocka_unit_test(test_control_flood),
    cmocka_unit_test(test_abandoned_streams),
    cmocka_unit_test(test_spoilt),
    cmocka_unit_test(test_drain),
};
const size_t bad_peer_test_count = sizeof bad_peer_tests / sizeof bad_peer_tests[0];
