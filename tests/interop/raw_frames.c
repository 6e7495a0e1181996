/* raw_frames.c - ready-made frames. See raw_client.h. */
#include "raw_client.h"
#include "stock_client.h"

uint64_t raw_new_id(struct raw_client *client) {
    return ++client->last_id;
}

void raw_send_body(struct raw_client *client, uint64_t call_id, Trove__V1__Frame__BodyCase body, ProtobufCMessage *message) {
    raw_frame frame = TROVE__V1__FRAME__INIT;
    frame.call_id = call_id;
    frame.body_case = body;
    frame.open = (Trove__V1__Open *)message; /* all members of the oneof are messages */
    raw_send(client, &frame);
}

/* ---- calls ---- */

uint64_t raw_call_bytes(struct raw_client *client, const char *method, const void *request, size_t count) {
    raw_frame frame = TROVE__V1__FRAME__INIT;
    Trove__V1__Call call = TROVE__V1__CALL__INIT;
    call.method = raw_text(method);
    frame.call_id = raw_new_id(client);
    frame.body_case = RAW_BODY(CALL);
    frame.call = &call;
    frame.payload.data = (uint8_t *)(uintptr_t)request;
    frame.payload.len = count;
    raw_send(client, &frame);
    return frame.call_id;
}

uint64_t raw_call(struct raw_client *client, const char *method, const ProtobufCMessage *request) {
    size_t count = request != NULL ? protobuf_c_message_get_packed_size(request) : 0;
    uint8_t *bytes = malloc(count + 1);
    assert_non_null(bytes);
    if (request != NULL)
        protobuf_c_message_pack(request, bytes);
    uint64_t id = raw_call_bytes(client, method, bytes, count);
    free(bytes);
    return id;
}

ProtobufCMessage *raw_answer(struct raw_client *client, uint64_t call_id, const ProtobufCMessageDescriptor *type) {
    raw_frame *frame = raw_receive(client);
    assert_non_null(frame);
    assert_int_equal(frame->body_case, RAW_BODY(STATUS));
    assert_int_equal(frame->call_id, call_id);
    if (frame->status->code != TROVE__V1__CODE__OK)
        fail_msg("status %d: %s", (int)frame->status->code, frame->status->message);
    ProtobufCMessage *answer = protobuf_c_message_unpack(type, NULL, frame->payload.len, frame->payload.data);
    assert_non_null(answer);
    raw_free(frame);
    return answer;
}

void raw_echo(struct raw_client *client) {
    Trove__V1__EchoRequest request = TROVE__V1__ECHO_REQUEST__INIT;
    request.data.data = (uint8_t[]){1, 2, 3};
    request.data.len = 3;
    uint64_t id = raw_call(client, "trove.v1.Server/Echo", &request.base);
    ProtobufCMessage *answer = raw_answer(client, id, &trove__v1__echo_response__descriptor);
    assert_int_equal(((const Trove__V1__EchoResponse *)answer)->data.len, 3);
    protobuf_c_message_free_unpacked(answer, NULL);
}

/* ---- streams ---- */

void raw_init_open(Trove__V1__Open *open, const char *bucket, const char *key, bool upload) {
    trove__v1__open__init(open);
    open->direction = upload ? TROVE__V1__DIRECTION__UPLOAD : TROVE__V1__DIRECTION__DOWNLOAD;
    open->bucket = raw_text(bucket);
    open->key = raw_text(key);
    open->chunk_bytes = 1000;
    open->channel_chunks = 4;
    open->demand = upload ? 4000 : 0;
}

uint64_t raw_open_stream(struct raw_client *client, Trove__V1__Open *open) {
    raw_frame frame = TROVE__V1__FRAME__INIT;
    frame.call_id = raw_new_id(client);
    frame.body_case = RAW_BODY(OPEN);
    frame.open = open;
    raw_send(client, &frame);
    return frame.call_id;
}

uint64_t raw_opened_stream(struct raw_client *client, Trove__V1__Open *open) {
    uint64_t id = raw_open_stream(client, open);
    if (client->collecting)
        return id;
    raw_frame *frame = raw_receive(client);
    assert_non_null(frame);
    if (frame->body_case == RAW_BODY(STATUS))
        fail_msg("status %d: %s", (int)frame->status->code, frame->status->message);
    assert_int_equal(frame->body_case, RAW_BODY(OPENED));
    assert_int_equal(frame->call_id, id);
    assert_int_equal(frame->opened->credit, open->demand);
    raw_free(frame);
    return id;
}

uint64_t raw_upload(struct raw_client *client) {
    Trove__V1__Open open;
    raw_init_open(&open, "bad", "never stored", true);
    return raw_opened_stream(client, &open);
}

void raw_init_chunk(Trove__V1__Chunk *chunk, uint64_t call_id, uint64_t index, uint64_t offset, const void *bytes, size_t count) {
    trove__v1__chunk__init(chunk);
    chunk->index = index;
    chunk->offset = offset;
    chunk->chunk_bytes = count;
    chunk->checksum_given_case = TROVE__V1__CHUNK__CHECKSUM_GIVEN_CHECKSUM;
    chunk->checksum = stock_chunk_checksum(call_id, index, offset, bytes, count);
}

void raw_send_chunk(struct raw_client *client, uint64_t call_id, Trove__V1__Chunk *chunk, const void *bytes, size_t count) {
    raw_frame frame = TROVE__V1__FRAME__INIT;
    frame.call_id = call_id;
    frame.body_case = RAW_BODY(CHUNK);
    frame.chunk = chunk;
    frame.payload.data = (uint8_t *)(uintptr_t)bytes;
    frame.payload.len = count;
    raw_send(client, &frame);
}

void raw_send_complete(struct raw_client *client, uint64_t call_id, uint64_t size, uint64_t chunks) {
    raw_frame frame = TROVE__V1__FRAME__INIT;
    Trove__V1__Complete complete = TROVE__V1__COMPLETE__INIT;
    complete.size = size;
    complete.chunks = chunks;
    frame.call_id = call_id;
    frame.body_case = RAW_BODY(COMPLETE);
    frame.complete = &complete;
    raw_send(client, &frame);
}

void raw_send_ack(struct raw_client *client, uint64_t call_id, uint64_t first, uint64_t count, uint64_t credit, bool not_taken) {
    Trove__V1__Ack ack = TROVE__V1__ACK__INIT;
    Trove__V1__IndexRange range = TROVE__V1__INDEX_RANGE__INIT;
    Trove__V1__IndexRange *ranges[] = {&range};
    range.first = first;
    range.count = count;
    ack.n_ranges = 1;
    ack.ranges = ranges;
    ack.credit = credit;
    ack.not_taken = not_taken;
    raw_send_body(client, call_id, RAW_BODY(ACK), &ack.base);
}

void raw_send_credit(struct raw_client *client, uint64_t call_id, uint64_t bytes) {
    Trove__V1__Credit credit = TROVE__V1__CREDIT__INIT;
    credit.bytes = bytes;
    raw_send_body(client, call_id, RAW_BODY(CREDIT), &credit.base);
}

void raw_send_completed(struct raw_client *client, uint64_t call_id) {
    Trove__V1__Completed completed = TROVE__V1__COMPLETED__INIT;
    raw_send_body(client, call_id, RAW_BODY(COMPLETED), &completed.base);
}

void raw_send_control(struct raw_client *client, uint64_t call_id, Trove__V1__ControlType type, uint64_t serial) {
    raw_frame frame = TROVE__V1__FRAME__INIT;
    Trove__V1__Control control = TROVE__V1__CONTROL__INIT;
    control.type = type;
    control.serial = serial;
    frame.call_id = call_id;
    frame.body_case = RAW_BODY(CONTROL);
    frame.control = &control;
    raw_send(client, &frame);
}
