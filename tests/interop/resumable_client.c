/* resumable_client.c - see resumable.h. */
#include "resumable.h"

#include <signal.h>
#include <time.h>

#define PATIENCE_S 20

uint8_t resumable_bytes[PIECES_MAX * PIECE];

void resumable_start(struct resumable_server *server, const char *store, const char *config) {
    for (size_t i = 0; i < sizeof resumable_bytes; i++)
        resumable_bytes[i] = (uint8_t)(i * 2654435761u >> 13);
    server->options = (struct troved_options){.listen = {"ipc://%s/socket"}, .store = store, .config = config};
    server->troved = troved_start(&server->options, NULL);
}

void resumable_kill_and_restart(struct resumable_server *server) {
    char folder[256];
    snprintf(folder, sizeof folder, "%s", troved_folder(server->troved));
    kill(troved_pid(server->troved), SIGKILL);
    assert_int_equal(troved_stop(server->troved, true), 128 + SIGKILL);
    server->troved = troved_start(&server->options, folder);
}

void resumable_connect(struct raw_client *client, const struct resumable_server *server) {
    raw_open(client, troved_url(server->troved, "ipc"));
    raw_greet(client, false);
}

void resumable_make_bucket(struct raw_client *client) {
    Trove__V1__BucketCreateRequest request = TROVE__V1__BUCKET_CREATE_REQUEST__INIT;
    request.bucket = raw_text("media");
    (void)raw_call(client, "trove.v1.Buckets/Create", &request.base);
    raw_free(raw_receive(client)); /* it may be there from the test before */
}

static uint8_t request_id[16];

void resumable_init_open(Trove__V1__Open *open, const char *key, uint8_t request) {
    raw_init_open(open, "media", key, true);
    memset(request_id, request, sizeof request_id);
    open->resumable = true;
    open->request_id.data = request_id;
    open->request_id.len = sizeof request_id;
    open->chunk_bytes = PIECE;
    open->channel_chunks = 4;
    open->demand = UINT64_C(4) * PIECE;
}

void resumable_init_attach(Trove__V1__Open *open, const char *key, const struct resumable *to) {
    resumable_init_open(open, key, 0);
    open->resumable = false;
    open->request_id.len = 0;
    open->upload_id.data = (uint8_t *)(uintptr_t)to->upload_id;
    open->upload_id.len = sizeof to->upload_id;
}

void resumable_open(struct resumable *upload, struct raw_client *client, Trove__V1__Open *open) {
    *upload = (struct resumable){.client = client};
    upload->call_id = raw_open_stream(client, open);
    raw_frame *frame = raw_expect(client, upload->call_id, RAW_BODY(OPENED));
    const Trove__V1__Opened *opened = frame->opened;
    assert_int_equal(opened->upload_id.len, UPLOAD_ID_BYTES);
    memcpy(upload->upload_id, opened->upload_id.data, UPLOAD_ID_BYTES);
    assert_null(opened->completed);
    assert_true(opened->epoch > 0 && opened->expires_ns > 0);
    upload->epoch = opened->epoch;
    upload->durable_offset = upload->received_offset = upload->offset = opened->durable_offset;
    raw_free(frame);
}

void resumable_begin(struct resumable *upload, struct raw_client *client, const char *key, uint8_t request) {
    Trove__V1__Open open;
    resumable_init_open(&open, key, request);
    resumable_open(upload, client, &open);
}

void resumable_attach(struct resumable *upload, struct raw_client *client, const char *key, const struct resumable *to) {
    Trove__V1__Open open;
    resumable_init_attach(&open, key, to);
    resumable_open(upload, client, &open);
}

void resumable_send(struct resumable *upload, bool final, uint64_t epoch) {
    Trove__V1__Chunk chunk;
    const uint8_t *bytes = resumable_bytes + upload->offset;
    raw_init_chunk(&chunk, upload->call_id, upload->chunks++, upload->offset, bytes, PIECE);
    chunk.final = final;
    chunk.epoch = epoch;
    raw_send_chunk(upload->client, upload->call_id, &chunk, bytes, PIECE);
    upload->offset += PIECE;
}

/* The next acknowledgement. */
static void take_ack(struct resumable *upload) {
    raw_frame *frame = raw_receive(upload->client);
    assert_non_null(frame);
    if (frame->body_case == RAW_BODY(STATUS))
        fail_msg("an acknowledgement was expected, and there came: %s", frame->status->message);
    assert_true(frame->body_case == RAW_BODY(ACK) || frame->body_case == RAW_BODY(CREDIT));
    if (frame->body_case == RAW_BODY(ACK)) {
        assert_int_equal(frame->ack->epoch, upload->epoch);
        assert_true(frame->ack->durable_offset >= upload->durable_offset);
        assert_true(frame->ack->received_offset >= frame->ack->durable_offset);
        upload->durable_offset = frame->ack->durable_offset;
        upload->received_offset = frame->ack->received_offset;
    }
    raw_free(frame);
}

void resumable_await_received(struct resumable *upload, uint64_t offset) {
    while (upload->received_offset < offset)
        take_ack(upload);
}

void resumable_await_durable(struct resumable *upload, uint64_t offset) {
    while (upload->durable_offset < offset)
        take_ack(upload);
}

void resumable_send_until(struct resumable *upload, uint64_t count, bool final) {
    while (upload->offset < count * PIECE) {
        resumable_send(upload, final && upload->offset == (count - 1) * PIECE, upload->epoch);
        resumable_await_received(upload, upload->offset);
    }
}

void resumable_send_complete(struct resumable *upload, Trove__V1__Digest *digest) {
    Trove__V1__Complete complete = TROVE__V1__COMPLETE__INIT;
    complete.size = upload->offset;
    complete.chunks = upload->chunks;
    complete.epoch = upload->epoch;
    complete.digest = digest;
    raw_send_body(upload->client, upload->call_id, RAW_BODY(COMPLETE), &complete.base);
}

void resumable_expect_completed(struct resumable *upload, uint64_t size) {
    raw_frame *frame = raw_receive_answer(upload->client);
    assert_non_null(frame);
    if (frame->body_case == RAW_BODY(STATUS))
        fail_msg("completed was expected, and there came: %s", frame->status->message);
    assert_int_equal(frame->body_case, RAW_BODY(COMPLETED));
    assert_int_equal(frame->call_id, upload->call_id);
    assert_int_equal(frame->completed->object->size, size);
    raw_free(frame);
}

void resumable_send_control(struct resumable *upload, Trove__V1__ControlType type, uint64_t offset, uint64_t epoch) {
    Trove__V1__Control control = TROVE__V1__CONTROL__INIT;
    control.type = type;
    control.offset = offset;
    control.generation = type == TROVE__V1__CONTROL_TYPE__SEEK ? 1 : 0;
    control.epoch = epoch;
    control.serial = 1;
    raw_send_body(upload->client, upload->call_id, RAW_BODY(CONTROL), &control.base);
}

Trove__V1__UploadAttachResponse *resumable_status(struct raw_client *client, const struct resumable *upload) {
    Trove__V1__UploadAttachRequest request = TROVE__V1__UPLOAD_ATTACH_REQUEST__INIT;
    request.upload_id.data = (uint8_t *)(uintptr_t)upload->upload_id;
    request.upload_id.len = sizeof upload->upload_id;
    uint64_t id = raw_call(client, "trove.v1.Uploads/Attach", &request.base);
    raw_frame *frame = raw_expect(client, id, RAW_BODY(STATUS));
    ProtobufCMessage *answer = NULL;
    if (frame->status->code == CODE(OK))
        answer = protobuf_c_message_unpack(&trove__v1__upload_attach_response__descriptor, NULL, frame->payload.len,
                                           frame->payload.data);
    else
        assert_int_equal(frame->status->code, CODE(NOT_FOUND));
    raw_free(frame);
    return (Trove__V1__UploadAttachResponse *)answer;
}

uint64_t resumable_call_flush(struct raw_client *client, const struct resumable *upload, uint64_t epoch) {
    Trove__V1__UploadFlushRequest request = TROVE__V1__UPLOAD_FLUSH_REQUEST__INIT;
    request.upload_id.data = (uint8_t *)(uintptr_t)upload->upload_id;
    request.upload_id.len = sizeof upload->upload_id;
    request.epoch = epoch;
    return raw_call(client, "trove.v1.Uploads/Flush", &request.base);
}

/* UINT64_MAX: it is gone. */
static uint64_t ask_durable(struct raw_client *client, const struct resumable *upload) {
    Trove__V1__UploadAttachResponse *status = resumable_status(client, upload);
    uint64_t offset = status != NULL ? status->upload->durable_offset : UINT64_MAX;
    if (status != NULL)
        protobuf_c_message_free_unpacked(&status->base, NULL);
    return offset;
}

static void await(struct raw_client *client, const struct resumable *upload, uint64_t durable_offset) {
    time_t end = time(NULL) + PATIENCE_S;
    uint64_t offset;
    while ((offset = ask_durable(client, upload)) != durable_offset) {
        assert_true(durable_offset == UINT64_MAX || offset != UINT64_MAX);
        assert_true(time(NULL) < end);
    }
}

void resumable_await_gone(struct raw_client *client, const struct resumable *upload) {
    await(client, upload, UINT64_MAX);
}

void resumable_await_parked(struct raw_client *client, const struct resumable *upload, uint64_t durable_offset) {
    await(client, upload, durable_offset);
}

void resumable_check_object(struct raw_client *client, const char *key, uint64_t size) {
    Trove__V1__Open open;
    raw_init_open(&open, "media", key, false);
    open.chunk_bytes = PIECE;
    open.channel_chunks = PIECES_MAX;
    open.credit = UINT64_C(2) * PIECES_MAX * PIECE;
    uint64_t id = raw_opened_stream(client, &open);
    uint64_t offset = 0;
    for (bool ended = false; !ended;) {
        raw_frame *frame = raw_receive(client);
        assert_non_null(frame);
        assert_int_equal(frame->call_id, id);
        ended = frame->body_case == RAW_BODY(COMPLETE);
        if (!ended) {
            assert_int_equal(frame->body_case, RAW_BODY(CHUNK));
            assert_int_equal(frame->chunk->offset, offset);
            assert_true(offset + frame->payload.len <= sizeof resumable_bytes);
            assert_memory_equal(frame->payload.data, resumable_bytes + offset, frame->payload.len);
            offset += frame->payload.len;
        }
        raw_free(frame);
    }
    assert_int_equal(offset, size);
    raw_send_completed(client, id);
}
