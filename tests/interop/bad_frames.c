/* bad_frames.c - bytes and frames that end the whole connection with a go-away. See bad_input.h. */
#include "bad_input.h"

/* ---- SP ---- */

static uint64_t send_wrong_magic(struct raw_client *client) {
    raw_bytes(client, "GET / HTTP/1.1\r\n\r\n", 18);
    return 0;
}

static uint64_t send_wrong_protocol(struct raw_client *client) {
    raw_bytes(client, "\0SP\0\0\x30\0\0", 8); /* REQ */
    return 0;
}

static uint64_t send_wrong_type(struct raw_client *client) {
    if (!client->type_octet)
        skip();
    raw_bytes(client, "\2\0\0\0\0\0\0\0\1", 9);
    return 0;
}

static uint64_t send_empty_message(struct raw_client *client) {
    raw_prefix(client, 0);
    return 0;
}

static uint64_t send_oversize(struct raw_client *client) {
    raw_prefix(client, UINT64_C(1) << 40);
    raw_bytes(client, bad_bytes, 1000);
    return 0;
}

static uint64_t send_largest_length(struct raw_client *client) {
    raw_prefix(client, UINT64_MAX);
    return 0;
}

static uint64_t send_4097(struct raw_client *client) {
    raw_prefix(client, 4097);
    return 0;
}

/* ---- hello ---- */

static uint64_t send_call_first(struct raw_client *client) {
    (void)raw_call(client, "trove.v1.Server/Health", NULL);
    return 0;
}

static uint64_t send_hello(struct raw_client *client, uint32_t version, uint64_t payload_bytes_max, uint64_t call_id) {
    raw_frame frame = TROVE__V1__FRAME__INIT;
    Trove__V1__Hello hello = TROVE__V1__HELLO__INIT;
    hello.version = version;
    hello.payload_bytes_max = payload_bytes_max;
    frame.call_id = call_id;
    frame.body_case = RAW_BODY(HELLO);
    frame.hello = &hello;
    raw_send(client, &frame);
    return 0;
}

static uint64_t send_ping(struct raw_client *client, uint64_t call_id, size_t payload_bytes) {
    raw_frame frame = TROVE__V1__FRAME__INIT;
    Trove__V1__Ping ping = TROVE__V1__PING__INIT;
    frame.call_id = call_id;
    frame.body_case = RAW_BODY(PING);
    frame.ping = &ping;
    frame.payload.data = bad_bytes;
    frame.payload.len = payload_bytes;
    raw_send(client, &frame);
    return 0;
}

static uint64_t send_long_agent(struct raw_client *client) {
    raw_frame frame = TROVE__V1__FRAME__INIT;
    Trove__V1__Hello hello = TROVE__V1__HELLO__INIT;
    char agent[130] = "";
    memset(agent, 'a', sizeof agent - 1);
    hello.version = 1;
    hello.agent = agent;
    frame.body_case = RAW_BODY(HELLO);
    frame.hello = &hello;
    raw_send(client, &frame);
    return 0;
}

static uint64_t send_ping_first(struct raw_client *client) {
    return send_ping(client, 0, 0);
}

static uint64_t send_ping_with_id(struct raw_client *client) {
    return send_ping(client, 7, 0);
}

static uint64_t send_ping_with_payload(struct raw_client *client) {
    return send_ping(client, 0, 1000);
}

static uint64_t send_version_0(struct raw_client *client) {
    return send_hello(client, 0, 0, 0);
}

static uint64_t send_tiny_payloads(struct raw_client *client) {
    return send_hello(client, 1, 1000, 0);
}

static uint64_t send_payloads_below_answers(struct raw_client *client) {
    return send_hello(client, 1, 262143, 0);
}

static uint64_t send_hello_with_id(struct raw_client *client) {
    return send_hello(client, 1, 0, 7);
}

static uint64_t send_second_hello(struct raw_client *client) {
    return send_hello(client, 1, 0, 0);
}

/* ---- frames that aren't protobuf ---- */

/* An open whose frame is well-formed, cut `missing` bytes before its end. */
static uint64_t send_cut(struct raw_client *client, size_t missing) {
    raw_frame frame = TROVE__V1__FRAME__INIT;
    Trove__V1__Open open;
    size_t count;
    raw_init_open(&open, "bad", "never stored", true);
    frame.call_id = raw_new_id(client);
    frame.body_case = RAW_BODY(OPEN);
    frame.open = &open;
    uint8_t *message = raw_pack(client, &frame, &count);
    raw_message(client, message, count - missing);
    free(message);
    return 0;
}

static uint64_t send_truncated(struct raw_client *client) {
    return send_cut(client, 5);
}

/* Only the tag and the length of the body are there. */
static uint64_t send_beginning(struct raw_client *client) {
    raw_message(client, "\x08\x01\xA2\x01", 4);
    return 0;
}

static uint64_t send_garbage(struct raw_client *client) {
    uint8_t garbage[100];
    memset(garbage, 0xFF, sizeof garbage);
    raw_message(client, garbage, sizeof garbage);
    return 0;
}

static uint64_t send_group(struct raw_client *client) {
    raw_message(client, "\x08\x01\x13\x14", 4);
    return 0;
}

static uint64_t send_tag_0(struct raw_client *client) {
    raw_message(client, "\x00\x01", 2);
    return 0;
}

/* The body of an open as a number. */
static uint64_t send_wrong_wire_type(struct raw_client *client) {
    raw_message(client, "\x08\x01\xA0\x01\x05", 5);
    return 0;
}

static uint64_t send_text(struct raw_client *client, const char *good, const char *bad, size_t bytes) {
    raw_frame frame = TROVE__V1__FRAME__INIT;
    Trove__V1__Open open;
    size_t count;
    raw_init_open(&open, "bad", good, true);
    frame.call_id = raw_new_id(client);
    frame.body_case = RAW_BODY(OPEN);
    frame.open = &open;
    uint8_t *message = raw_pack(client, &frame, &count);
    uint8_t *at = memmem(message, count, good, bytes);
    assert_non_null(at);
    memcpy(at, bad, bytes);
    raw_message(client, message, count);
    free(message);
    return 0;
}

static uint64_t send_invalid_utf8(struct raw_client *client) {
    return send_text(client, "a key like any", "a key\xC0\xAFlike any", 14);
}

static uint64_t send_surrogate(struct raw_client *client) {
    return send_text(client, "a key like any", "a key\xED\xA0\x80ike any", 14);
}

static uint64_t send_nul(struct raw_client *client) {
    return send_text(client, "a key like any", "a key\0like any", 14);
}

/* A whole chunk frame with the payload twice. */
static uint64_t send_two_payloads(struct raw_client *client) {
    raw_frame frame = TROVE__V1__FRAME__INIT;
    Trove__V1__Chunk chunk;
    uint64_t id = raw_upload(client);
    size_t count;
    raw_init_chunk(&chunk, id, 0, 0, bad_bytes, 100);
    frame.call_id = id;
    frame.body_case = RAW_BODY(CHUNK);
    frame.chunk = &chunk;
    frame.payload.data = bad_bytes;
    frame.payload.len = 100;
    uint8_t *message = raw_pack(client, &frame, &count);
    uint8_t twice[512];
    size_t payload_bytes = 100 + 3; /* tag of two octets, length of one */
    memcpy(twice, message, count);
    memcpy(twice + count, message + count - payload_bytes, payload_bytes);
    raw_message(client, twice, count + payload_bytes);
    free(message);
    return 0;
}

/* ---- header checksums ---- */

static uint64_t send_damaged_header(struct raw_client *client) {
    raw_frame frame = TROVE__V1__FRAME__INIT;
    Trove__V1__Demand demand = TROVE__V1__DEMAND__INIT;
    size_t count;
    uint64_t id = raw_upload(client);
    demand.bytes = 1000;
    frame.call_id = id;
    frame.body_case = RAW_BODY(DEMAND);
    frame.demand = &demand;
    uint8_t *message = raw_pack(client, &frame, &count);
    message[1] ^= 4; /* the call id */
    raw_message(client, message, count);
    free(message);
    return 0;
}

/* A header is damaged in front of a payload, right behind a frame whose payload was kept together. */
static uint64_t send_damaged_call(struct raw_client *client) {
    raw_frame frame = TROVE__V1__FRAME__INIT;
    Trove__V1__Call call = TROVE__V1__CALL__INIT;
    size_t count;
    raw_echo(client);
    call.method = raw_text("trove.v1.Server/Echo");
    frame.call_id = raw_new_id(client);
    frame.body_case = RAW_BODY(CALL);
    frame.call = &call;
    frame.payload.data = bad_bytes;
    frame.payload.len = 100000;
    uint8_t *message = raw_pack(client, &frame, &count);
    message[6] ^= 1;
    raw_message(client, message, count);
    free(message);
    return 0;
}

static uint64_t send_without_checksum(struct raw_client *client) {
    client->checksums = false;
    (void)raw_call(client, "trove.v1.Server/Health", NULL);
    return 0;
}

/* The length is part of it: a frame that is moved into a longer message doesn't match. */
static uint64_t send_checksum_of_other_length(struct raw_client *client) {
    raw_frame frame = TROVE__V1__FRAME__INIT;
    Trove__V1__Call call = TROVE__V1__CALL__INIT;
    size_t count;
    call.method = raw_text("trove.v1.Server/Health");
    frame.call_id = raw_new_id(client);
    frame.body_case = RAW_BODY(CALL);
    frame.call = &call;
    uint8_t *message = raw_pack(client, &frame, &count);
    raw_prefix(client, count + 4);
    raw_bytes(client, message, count);
    raw_bytes(client, "\xFA\x7F\x01z", 4); /* a payload of one byte */
    free(message);
    return 0;
}

static uint64_t send_payload_before_checksum(struct raw_client *client) {
    raw_message(client, "\x08\x01\xFA\x7F\x01z\xF1\x7F\1\2\3\4\5\6\7\10", 16);
    return 0;
}

/* ---- sizes ---- */

static uint64_t send_large_payload(struct raw_client *client) {
    raw_frame frame = TROVE__V1__FRAME__INIT;
    Trove__V1__Chunk chunk;
    uint64_t id = raw_upload(client);
    size_t count = 524288 + 1;
    raw_init_chunk(&chunk, id, 0, 0, bad_bytes, count);
    frame.call_id = id;
    frame.body_case = RAW_BODY(CHUNK);
    frame.chunk = &chunk;
    frame.payload.data = bad_bytes;
    frame.payload.len = count;
    raw_send(client, &frame);
    return 0;
}

/* A call with `count` times the bytes of `field` in its body. */
static uint64_t send_repeated(struct raw_client *client, unsigned body_tag, const char *field, size_t field_bytes, size_t count) {
    size_t body_bytes = field_bytes * count;
    uint8_t *message = malloc(body_bytes + 16);
    assert_non_null(message);
    size_t at = 0;
    message[at++] = 0x08; /* call_id */
    message[at++] = 1;
    unsigned key = body_tag << 3 | 2;
    if (key >= 0x80)
        message[at++] = (uint8_t)(key | 0x80);
    message[at++] = (uint8_t)(key >= 0x80 ? key >> 7 : key);
    for (size_t left = body_bytes; left > 0; left >>= 7)
        message[at++] = (uint8_t)(left >= 0x80 ? left | 0x80 : left);
    for (size_t i = 0; i < count; i++)
        memcpy(message + at + i * field_bytes, field, field_bytes);
    raw_message(client, message, at + body_bytes);
    free(message);
    return 0;
}

/* One unknown field of 40,000 bytes in front of the payload. */
static uint64_t send_large_header(struct raw_client *client) {
    raw_prefix(client, 7 + 40000 + 4);
    raw_bytes(client, "\x08\x01\xC2\x3E\xC0\xB8\x02", 7); /* call_id; field 1000 of 40,000 bytes */
    raw_bytes(client, bad_bytes, 40000);
    raw_bytes(client, "\xFA\x7F\x01z", 4);
    return 0;
}

/* Many small fields, the last of which goes beyond what a header may have. */
static uint64_t send_long_header(struct raw_client *client) {
    uint8_t *message = malloc(40000);
    assert_non_null(message);
    for (size_t i = 0; i < 40000; i += 4)
        memcpy(message + i, "\xC0\x3E\xFF\x01", 4); /* field 1000 = 255 */
    raw_prefix(client, 40000 + 200000);
    raw_bytes(client, message, 40000);
    raw_bytes(client, bad_bytes, 200000);
    free(message);
    return 0;
}

/* 30,000 bytes that would unpack to 600,000: entries of metadata without name and value. */
static uint64_t send_empty_submessages(struct raw_client *client) {
    return send_repeated(client, 20, "\x7A\x00", 2, 15000);
}

/* The same in a call's metadata. */
static uint64_t send_empty_metadata(struct raw_client *client) {
    return send_repeated(client, 10, "\x1A\x00", 2, 15000);
}

/* protobuf-c keeps unknown fields. */
static uint64_t send_unknown_fields(struct raw_client *client) {
    return send_repeated(client, 10, "\xC0\x3E\x00", 3, 10000);
}

/* ---- frames at the wrong place ---- */

static uint64_t send_welcome(struct raw_client *client) {
    Trove__V1__Welcome welcome = TROVE__V1__WELCOME__INIT;
    raw_send_body(client, 0, RAW_BODY(WELCOME), &welcome.base);
    return 0;
}

static uint64_t send_opened(struct raw_client *client) {
    Trove__V1__Opened opened = TROVE__V1__OPENED__INIT;
    raw_send_body(client, 1, RAW_BODY(OPENED), &opened.base);
    return 0;
}

static uint64_t send_no_body(struct raw_client *client) {
    raw_message(client, "\x08\x01", 2);
    return 0;
}

static uint64_t send_unknown_body(struct raw_client *client) {
    raw_message(client, "\x08\x01\xC2\x02\x00", 5); /* field 40 */
    return 0;
}

static uint64_t send_call_0(struct raw_client *client) {
    Trove__V1__Call call = TROVE__V1__CALL__INIT;
    call.method = raw_text("trove.v1.Server/Health");
    raw_send_body(client, 0, RAW_BODY(CALL), &call.base);
    return 0;
}

static uint64_t send_open_0(struct raw_client *client) {
    Trove__V1__Open open;
    raw_init_open(&open, "bad", "never stored", true);
    raw_send_body(client, 0, RAW_BODY(OPEN), &open.base);
    return 0;
}

#define CODE(name) TROVE__V1__CODE__##name

const struct bad_case bad_frame_cases[] = {
    {"wrong magic", BAD_CONNECTED, send_wrong_magic, CODE(INVALID_ARGUMENT), "magic"},
    {"another SP protocol", BAD_CONNECTED, send_wrong_protocol, CODE(INVALID_ARGUMENT), "PAIR0"},
    {"wrong type of message", BAD_WELCOMED, send_wrong_type, CODE(INVALID_ARGUMENT), "type octet 2"},
    {"empty message", BAD_WELCOMED, send_empty_message, CODE(INVALID_ARGUMENT), "empty"},
    {"oversize length", BAD_WELCOMED, send_oversize, CODE(RESOURCE_EXHAUSTED), "1099511627776"},
    {"largest length", BAD_WELCOMED, send_largest_length, CODE(RESOURCE_EXHAUSTED), "18446744073709551615"},
    {"oversize length first", BAD_GREETED, send_oversize, CODE(RESOURCE_EXHAUSTED), "at most 4096"},
    {"a little oversize first", BAD_GREETED, send_4097, CODE(RESOURCE_EXHAUSTED), "4097"},
    {"first frame not hello", BAD_GREETED, send_call_first, CODE(FAILED_PRECONDITION), "hello"},
    {"agent of 129 bytes", BAD_GREETED, send_long_agent, CODE(INVALID_ARGUMENT), "129"},
    {"ping before hello", BAD_GREETED, send_ping_first, CODE(FAILED_PRECONDITION), "hello"},
    {"ping for a call", BAD_WELCOMED, send_ping_with_id, CODE(INVALID_ARGUMENT), "ping"},
    {"ping with a payload", BAD_WELCOMED, send_ping_with_payload, CODE(INVALID_ARGUMENT), "ping"},
    {"hello for a call", BAD_GREETED, send_hello_with_id, CODE(FAILED_PRECONDITION), "hello"},
    {"version 0", BAD_GREETED, send_version_0, CODE(FAILED_PRECONDITION), "version 0"},
    {"tiny payloads", BAD_GREETED, send_tiny_payloads, CODE(INVALID_ARGUMENT), "payload_bytes_max"},
    {"payloads below an answer's", BAD_GREETED, send_payloads_below_answers, CODE(INVALID_ARGUMENT), "262144"},
    {"garbage first", BAD_GREETED, send_garbage, CODE(INVALID_ARGUMENT), "malformed"},
    {"second hello", BAD_WELCOMED, send_second_hello, CODE(FAILED_PRECONDITION), "second hello"},
    {"truncated protobuf", BAD_WELCOMED, send_truncated, CODE(INVALID_ARGUMENT), "malformed"},
    {"only the beginning", BAD_WELCOMED, send_beginning, CODE(INVALID_ARGUMENT), "malformed"},
    {"garbage", BAD_WELCOMED, send_garbage, CODE(INVALID_ARGUMENT), "malformed"},
    {"group", BAD_WELCOMED, send_group, CODE(INVALID_ARGUMENT), "malformed"},
    {"tag 0", BAD_WELCOMED, send_tag_0, CODE(INVALID_ARGUMENT), "malformed"},
    {"wrong wire type", BAD_WELCOMED, send_wrong_wire_type, CODE(INVALID_ARGUMENT), "malformed"},
    {"invalid UTF-8", BAD_WELCOMED, send_invalid_utf8, CODE(INVALID_ARGUMENT), "UTF-8"},
    {"surrogate", BAD_WELCOMED, send_surrogate, CODE(INVALID_ARGUMENT), "UTF-8"},
    {"NUL in a key", BAD_WELCOMED, send_nul, CODE(INVALID_ARGUMENT), "NUL"},
    {"two payloads", BAD_WELCOMED, send_two_payloads, CODE(INVALID_ARGUMENT), "two payloads"},
    {"damaged header", BAD_CHECKSUMS, send_damaged_header, CODE(DATA_LOSS), "checksum"},
    {"damaged header before a payload", BAD_CHECKSUMS, send_damaged_call, CODE(DATA_LOSS), "checksum"},
    {"without header checksum", BAD_CHECKSUMS, send_without_checksum, CODE(DATA_LOSS), "without the header checksum"},
    {"checksum of another length", BAD_CHECKSUMS, send_checksum_of_other_length, CODE(DATA_LOSS), "checksum"},
    {"payload before checksum", BAD_CHECKSUMS, send_payload_before_checksum, CODE(DATA_LOSS), "checksum"},
    {"tag damaged to 0", BAD_CHECKSUMS, send_tag_0, CODE(DATA_LOSS), "damaged"},
    {"large payload", BAD_WELCOMED, send_large_payload, CODE(RESOURCE_EXHAUSTED), "524289"},
    {"large header", BAD_WELCOMED, send_large_header, CODE(INVALID_ARGUMENT), "header"},
    {"long header", BAD_WELCOMED, send_long_header, CODE(INVALID_ARGUMENT), "header"},
    {"empty submessages", BAD_WELCOMED, send_empty_submessages, CODE(INVALID_ARGUMENT), "would unpack to more"},
    {"empty metadata", BAD_WELCOMED, send_empty_metadata, CODE(INVALID_ARGUMENT), "would unpack to more"},
    {"unknown fields", BAD_WELCOMED, send_unknown_fields, CODE(INVALID_ARGUMENT), "would unpack to more"},
    {"welcome from a client", BAD_WELCOMED, send_welcome, CODE(INVALID_ARGUMENT), "only a server sends"},
    {"opened from a client", BAD_WELCOMED, send_opened, CODE(INVALID_ARGUMENT), "only a server sends"},
    {"no body", BAD_WELCOMED, send_no_body, CODE(INVALID_ARGUMENT), "body"},
    {"unknown body", BAD_WELCOMED, send_unknown_body, CODE(INVALID_ARGUMENT), "body"},
    {"call without id", BAD_WELCOMED, send_call_0, CODE(INVALID_ARGUMENT), "call id"},
    {"open without id", BAD_WELCOMED, send_open_0, CODE(INVALID_ARGUMENT), "call id"},
    {.name = NULL},
};
