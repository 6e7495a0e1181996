/* holder.c - see holder.h. */
#include "holder.h"

#include "seeded.h"

#define WINDOW_PIECES 4

static void took_opened(struct holder *holder, const Trove__V1__Opened *opened) {
    struct holder_upload *upload = holder->upload;
    assert_int_equal(opened->upload_id.len, HOLDER_ID_BYTES);
    if (upload->begun)
        assert_memory_equal(opened->upload_id.data, upload->upload_id, HOLDER_ID_BYTES);
    memcpy(upload->upload_id, opened->upload_id.data, HOLDER_ID_BYTES);
    upload->begun = true;
    if (opened->completed != NULL)
        return; /* completed comes by itself */
    if (opened->durable_offset < upload->durable || opened->durable_offset > upload->size)
        fail_msg("%s was durable up to %llu, and goes on at %llu of %llu", upload->key, (unsigned long long)upload->durable,
                 (unsigned long long)opened->durable_offset, (unsigned long long)upload->size);
    holder->epoch = opened->epoch;
    holder->base = holder->offset = holder->received = upload->durable = opened->durable_offset;
    holder->credit = (int64_t)opened->credit;
}

static uint64_t piece_at(const struct holder *holder, uint64_t offset) {
    uint64_t left = holder->upload->size - offset;
    return left < holder->upload->piece ? left : holder->upload->piece;
}

static void took_ack(struct holder *holder, const Trove__V1__Ack *ack) {
    struct holder_upload *upload = holder->upload;
    assert_int_equal(ack->epoch, holder->epoch);
    assert_true(ack->durable_offset >= upload->durable && ack->received_offset >= ack->durable_offset);
    assert_true(ack->received_offset <= holder->offset);
    upload->durable = ack->durable_offset;
    holder->received = ack->received_offset;
    holder->credit += (int64_t)ack->credit;
    if (!ack->not_taken)
        return;
    assert_int_equal(ack->n_ranges, 1);
    uint64_t back_to = holder->base + ack->ranges[0]->first * upload->piece;
    holder->credit += (int64_t)(holder->offset - back_to);
    holder->offset = back_to;
    holder->chunks = ack->ranges[0]->first;
}

static void took_status(struct holder *holder, const Trove__V1__Status *status) {
    holder->state = HOLDER_ENDED;
    holder->code = status->code;
    snprintf(holder->message, sizeof holder->message, "%s", status->message);
    assert_true(status->code != TROVE__V1__CODE__OK && status->message[0] != '\0');
}

void holder_take(struct holder *holder) {
    raw_frame *frame = raw_receive(holder->client);
    if (frame == NULL) {
        holder->state = HOLDER_LOST;
        return;
    }
    if (frame->call_id != holder->call_id) {
        raw_free(frame);
        return;
    }
    switch (frame->body_case) {
    case RAW_BODY(OPENED):
        took_opened(holder, frame->opened);
        break;
    case RAW_BODY(ACK):
        took_ack(holder, frame->ack);
        break;
    case RAW_BODY(CREDIT):
        holder->credit += (int64_t)frame->credit->bytes - (int64_t)frame->credit->expired;
        break;
    case RAW_BODY(COMPLETED):
        assert_int_equal(frame->completed->object->size, holder->upload->size);
        snprintf(holder->etag, sizeof holder->etag, "%s", frame->completed->object->etag);
        holder->state = HOLDER_COMPLETED;
        break;
    case RAW_BODY(STATUS):
        took_status(holder, frame->status);
        break;
    default:
        fail_msg("body %d came for an upload", (int)frame->body_case);
    }
    raw_free(frame);
}

void holder_open(struct holder *holder, struct raw_client *client, struct holder_upload *upload) {
    Trove__V1__Open open;
    *holder = (struct holder){.client = client, .upload = upload};
    raw_init_open(&open, HOLDER_BUCKET, upload->key, true);
    open.chunk_bytes = upload->piece;
    open.channel_chunks = WINDOW_PIECES;
    open.demand = WINDOW_PIECES * upload->piece;
    open.keep_bytes = upload->keep;
    open.resumable = !upload->begun;
    ProtobufCBinaryData id = {HOLDER_ID_BYTES, upload->begun ? upload->upload_id : upload->request_id};
    *(upload->begun ? &open.upload_id : &open.request_id) = id;
    holder->call_id = raw_open_stream(client, &open);
    while (holder->state == HOLDER_OPEN && holder->epoch == 0)
        holder_take(holder);
}

bool holder_may_send(const struct holder *holder) {
    return holder->state == HOLDER_OPEN && holder->offset < holder->upload->size &&
           holder->credit >= (int64_t)piece_at(holder, holder->offset);
}

void holder_send(struct holder *holder, uint64_t content) {
    Trove__V1__Chunk chunk;
    size_t bytes = piece_at(holder, holder->offset);
    uint8_t *piece = malloc(bytes);
    assert_non_null(piece);
    seeded_fill(content, holder->offset, piece, bytes);
    raw_init_chunk(&chunk, holder->call_id, holder->chunks, holder->offset, piece, bytes);
    chunk.final = holder->offset + bytes == holder->upload->size;
    chunk.epoch = holder->epoch;
    raw_send_chunk(holder->client, holder->call_id, &chunk, piece, bytes);
    holder->chunks++;
    holder->offset += bytes;
    holder->credit -= (int64_t)bytes;
    free(piece);
}

bool holder_may_complete(const struct holder *holder) {
    return holder->state == HOLDER_OPEN && holder->offset == holder->upload->size && !holder->complete_sent;
}

void holder_send_complete(struct holder *holder) {
    Trove__V1__Complete complete = TROVE__V1__COMPLETE__INIT;
    complete.size = holder->upload->size;
    complete.chunks = holder->chunks;
    complete.epoch = holder->epoch;
    raw_send_body(holder->client, holder->call_id, RAW_BODY(COMPLETE), &complete.base);
    holder->complete_sent = true;
}

void holder_finish(struct holder *holder, uint64_t content) {
    while (holder->state == HOLDER_OPEN) {
        if (holder_may_send(holder))
            holder_send(holder, content);
        else if (holder_may_complete(holder))
            holder_send_complete(holder);
        else
            holder_take(holder);
    }
}
