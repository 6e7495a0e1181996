/* stream_upload_in.c - what the server says about the way up: acknowledgements, credit, the end; and another connection. See
 * stream_upload.h.
 */
#include "stream_upload.h"

#include "object_info.h"
#include "stream.h"

/* ---- frames in ---- */

struct acked {
    trove_stream *stream;
    uint64_t now_ns;
};

void tvc_upload_acked(trove_stream *stream, const struct tv_chunk *chunk, uint64_t now_ns) {
    struct tvc_upload *upload = &stream->upload;
    struct tvc_chunk *own = tvc_chunk_of_wire(chunk);
    trove_chunk_ack ack = {
        .index = chunk->index + upload->keep.index_base,
        .offset = chunk->offset,
        .size = chunk->bytes,
        .received_offset = upload->received_offset,
        .durable_offset = upload->durable_offset,
        .latency_ns = now_ns - chunk->written_ns,
        .direction = TROVE_DIRECTION_UPLOAD,
    };
    if (chunk->offset + chunk->bytes > upload->acked_offset) /* else it had to be sent again */
        upload->acked_offset = chunk->offset + chunk->bytes;
    if (own->told)
        return;
    own->told = true;
    if (upload->adaptive != NULL)
        tv_adaptive_acknowledged(upload->adaptive, chunk->bytes, chunk->bytes, ack.latency_ns, now_ns);
    if (chunk->bytes > 0 || own->handle.final) /* not the library's own, which only ends the stream */
        tvc_stream_acked(stream, &ack);
}

/* Under the lock. */
static void chunk_acked(void *context, const struct tv_chunk *chunk) {
    const struct acked *acked = context;
    tvc_upload_acked(acked->stream, chunk, acked->now_ns);
    if (acked->stream->resume.open != NULL)
        tvc_keep_add(acked->stream, tvc_chunk_of_wire(chunk));
}

void tvc_upload_taken(trove_stream *stream, uint64_t offset) {
    struct acked acked = {stream, tv_now_ns()};
    tv_sender_ack_below(&stream->upload.sender, offset, chunk_acked, &acked);
}

void tvc_upload_durable(trove_stream *stream, uint64_t durable_offset) {
    if (durable_offset <= stream->upload.durable_offset)
        return;
    stream->upload.durable_offset = durable_offset;
    tvc_keep_durable(stream);
}

/* Under the lock. */
static trove_status take_ack(trove_stream *stream, const Trove__V1__Ack *ack, trove_error *error) {
    struct tvc_upload *upload = &stream->upload;
    struct acked acked = {stream, tv_now_ns()};
    upload->busy_ns = acked.now_ns;
    if (ack->received_offset > upload->received_offset)
        upload->received_offset = ack->received_offset;
    tvc_upload_durable(stream, ack->durable_offset);
    trove_status status = TROVE_OK;
    for (size_t i = 0; i < ack->n_ranges && status == TROVE_OK; i++) {
        const Trove__V1__IndexRange *range = ack->ranges[i];
        if (ack->not_taken)
            status = tv_sender_not_taken(&upload->sender, range->first, range->count, error);
        else
            status = tv_sender_ack(&upload->sender, range->first, range->count, chunk_acked, &acked, error);
    }
    tv_sender_credit(&upload->sender, ack->credit, 0);
    (void)tvc_keep_refill(stream); /* the data ring is woken in any case, and there is demand */
    tvc_spill_wake(stream);
    tvc_stream_moved(stream, acked.now_ns);
    pthread_cond_broadcast(&stream->changed);
    return status;
}

void tvc_upload_on_ack(trove_stream *stream, const Trove__V1__Ack *ack) {
    trove_error error;
    trove_status status = TROVE_OK;
    pthread_mutex_lock(&stream->client->lock);
    if (!tv_stream_state_terminal(stream->state))
        status = take_ack(stream, ack, &error);
    pthread_mutex_unlock(&stream->client->lock);
    if (status != TROVE_OK)
        tvc_stream_break(stream, &error);
    else
        tvc_client_wake(stream->client, &stream->flow, TV_WANTS_DATA);
}

void tvc_upload_on_credit(trove_stream *stream, const Trove__V1__Credit *credit) {
    pthread_mutex_lock(&stream->client->lock);
    if (!tv_stream_state_terminal(stream->state))
        tv_sender_credit(&stream->upload.sender, credit->bytes, credit->expired);
    pthread_mutex_unlock(&stream->client->lock);
    tvc_client_wake(stream->client, &stream->flow, TV_WANTS_DATA);
}

void tvc_upload_on_completed(trove_stream *stream, const Trove__V1__Completed *completed) {
    trove_object_info *object = NULL;
    trove_error error;
    trove_status status = tvc_object_info_create_with_gaps(completed->object, completed->gaps, completed->n_gaps, stream->bucket,
                                                           stream->key, &object, &error);
    pthread_mutex_lock(&stream->client->lock);
    /* Nothing is published before the server knows that what came down has arrived as well. */
    bool confirmed = !tvc_stream_receives(stream) || stream->download.completed_told;
    bool sent = !tvc_stream_sends(stream) || stream->upload.complete_sent || stream->resume.complete;
    if (status == TROVE_OK && stream->state == TROVE_STREAM_COMPLETING && confirmed && sent) {
        stream->published = object;
        tvc_stream_end(stream, TV_EVENT_COMPLETED, NULL);
        object = NULL;
    } else if (status == TROVE_OK) {
        status = TV_FAIL(&error, INTERNAL, "%s/%.200s: the server says that it has all before all was sent", stream->bucket,
                         stream->key);
    }
    pthread_mutex_unlock(&stream->client->lock);
    trove_object_info_free(object);
    if (status != TROVE_OK)
        tvc_stream_break(stream, &error);
}

/* ---- another connection ---- */

void tvc_upload_detach(trove_stream *stream) {
    struct tvc_upload *upload = &stream->upload;
    tvc_stream_limit_leave(&upload->half);
    tvc_keep_unwind(stream);
    upload->complete_sent = false;
    upload->demand_due = false;
    tvc_upload_interrupted(stream);
}

unsigned tvc_upload_attach(trove_stream *stream, const Trove__V1__Opened *opened) {
    struct tvc_upload *upload = &stream->upload;
    tvc_keep_go_on(stream, opened->durable_offset);
    upload->durable_offset = opened->durable_offset;
    upload->received_offset = opened->durable_offset;
    upload->demand_bytes = tvc_upload_window(stream);
    tv_sender_credit(&upload->sender, opened->credit, 0);
    upload->busy_ns = tv_now_ns();
    return tvc_keep_refill(stream) | TV_WANTS_DATA;
}
