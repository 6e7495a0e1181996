/* stream.c - the life of a stream, its state, what the program can see of it. See stream.h. */
#include "stream.h"

#include "object_info.h"
#include "wait.h"

/* ---- life ---- */

static void unlink_stream(struct trove_client *client, trove_stream *stream) {
    if (stream->previous != NULL)
        stream->previous->next = stream->next;
    else
        client->streams = stream->next;
    if (stream->next != NULL)
        stream->next->previous = stream->previous;
}

static void destroy(trove_stream *stream) {
    struct trove_client *client = stream->client;
    pthread_mutex_lock(&client->lock);
    unlink_stream(client, stream);
    struct tvc_chunks *up = tvc_half_give_back(&stream->upload.half);
    struct tvc_chunks *down = tvc_half_give_back(&stream->download.half);
    pthread_mutex_unlock(&client->lock);
    tvc_chunks_destroy(up);
    tvc_chunks_destroy(down);
    tvc_block_sums_fini(&stream->upload.sums);
    tvc_block_sums_fini(&stream->download.sums);
    tvc_digest_destroy(stream->upload.digesting);
    tvc_resume_fini(&stream->resume);
    tvc_spill_fini(stream);
    free(stream->upload.adaptive);
    tvc_stream_hooks_fini(&stream->hooks);
    free(stream->counts.latency);
    tvc_stream_limit_fini(&stream->limit);
    trove_object_info_free(stream->published);
    trove_object_info_free(stream->download.object);
    pthread_cond_destroy(&stream->changed);
    free(stream->bucket);
    free(stream->key);
    if (stream->member.pool != NULL)
        tvc_pool_release(stream->member.pool);
    free(stream);
    tvc_client_release(client);
}

void tvc_stream_release(trove_stream *stream) {
    if (atomic_fetch_sub_explicit(&stream->references, 1, memory_order_acq_rel) == 1)
        destroy(stream);
}

/* ---- state ---- */

trove_status tvc_stream_move(trove_stream *stream, enum tv_stream_event event, trove_error *error) {
    bool was_paused = stream->state == TROVE_STREAM_PAUSED;
    trove_status status = tv_stream_state_apply(&stream->state, event, error);
    if (status == TROVE_OK && stream->state == TROVE_STREAM_ACTIVE && stream->rate.begun_ns == 0)
        tv_rate_begin(&stream->rate, tv_now_ns());
    bool is_paused = stream->state == TROVE_STREAM_PAUSED;
    if (is_paused != was_paused)
        tvc_upload_interrupted(stream);
    if (stream->member.pool != NULL && is_paused != was_paused)
        tvc_pool_paused(stream, is_paused);
    if (status == TROVE_OK)
        pthread_cond_broadcast(&stream->changed);
    return status;
}

void tvc_stream_end(trove_stream *stream, enum tv_stream_event event, const trove_error *why) {
    if (tv_stream_state_terminal(stream->state))
        return;
    trove_status moved = tv_stream_state_apply(&stream->state, event, NULL);
    TV_ASSERT(moved == TROVE_OK);
    if (why != NULL) {
        stream->error = *why;
        tvc_resume_tell_kept(stream, &stream->error);
    } else {
        TV_FAIL(&stream->error, FAILED_PRECONDITION, "%s/%.200s: the stream has completed", stream->bucket, stream->key);
    }
    stream->ended_ns = tv_now_ns();
    tvc_stream_abandon(stream);
    tvc_stream_limit_leave(&stream->upload.half);
    tvc_stream_limit_leave(&stream->download.half);
    tvc_upload_end(stream);
    tvc_download_end(stream);
    if (stream->entry.listed) {
        tvc_client_unlist(stream->client, &stream->entry);
        tvc_stream_release(stream); /* the table's */
    }
    if (stream->member.pool != NULL)
        tvc_pool_ended(stream);
    tvc_stream_hooks_ended(stream);
    pthread_cond_broadcast(&stream->changed);
}

void tvc_stream_break(trove_stream *stream, const trove_error *why) {
    pthread_mutex_lock(&stream->client->lock);
    bool first = !tv_stream_state_terminal(stream->state);
    if (first)
        tvc_stream_end(stream, TV_EVENT_FAIL, why);
    pthread_mutex_unlock(&stream->client->lock);
    if (first)
        tvc_stream_send_control(stream, TROVE__V1__CONTROL_TYPE__FAIL, 0, why);
}

trove_status tvc_stream_closed(trove_stream *stream, trove_error *error) {
    bool up_open = tvc_stream_sends(stream) && !stream->upload.complete_sent;
    bool down_open = tvc_stream_receives(stream) && !stream->download.complete_seen;
    if (stream->state == TROVE_STREAM_COMPLETING && stream->resume.reconnects > 0)
        return TROVE_OK; /* it was so before its connection was lost */
    return up_open || down_open ? TROVE_OK : tvc_stream_move(stream, TV_EVENT_COMPLETE, error);
}

trove_status tvc_stream_over(const trove_stream *stream, trove_error *error) {
    return tv_error_copy(error, &stream->error);
}

bool tvc_stream_wait(trove_stream *stream, uint64_t deadline_ns) {
    return tvc_cond_wait(&stream->changed, &stream->client->lock, deadline_ns);
}

trove_status tvc_stream_late(const trove_stream *stream, trove_direction way, const char *what, trove_error *error) {
    static const char *const ways[] = {
        [TROVE_DIRECTION_UPLOAD] = ", the way up",
        [TROVE_DIRECTION_DOWNLOAD] = ", the way down",
        [TROVE_DIRECTION_BIDI] = "",
    };
    const char *which = stream->direction == TROVE_DIRECTION_BIDI ? ways[way] : "";
    return TV_FAIL(error, DEADLINE_EXCEEDED, "%s/%.200s%s: %s in time", stream->bucket, stream->key, which, what);
}

/* ---- frames out ---- */

static trove_stream *stream_of_flow(struct tv_flow *flow) {
    return (trove_stream *)((char *)flow - offsetof(trove_stream, flow));
}

/* Controls aren't among these: they are sent at once, for there is nothing to be merged. */
static bool pull_control(struct tv_flow *flow, struct tv_pulled *pulled) {
    trove_stream *stream = stream_of_flow(flow);
    return (tvc_stream_sends(stream) && tvc_upload_pull_control(stream, pulled)) ||
           (tvc_stream_receives(stream) && tvc_download_pull(stream, pulled));
}

static bool pull_data(struct tv_flow *flow, uint64_t payload_bytes_max, struct tv_pulled *pulled) {
    trove_stream *stream = stream_of_flow(flow);
    return tvc_stream_sends(stream) && tvc_upload_pull(stream, payload_bytes_max, pulled);
}

/* The cookie is the chunk. */
static void sent(struct tv_flow *flow, void *cookie) {
    trove_stream *stream = stream_of_flow(flow);
    tv_chunk_release(cookie);
    if (stream->resume.open != NULL)
        tvc_keep_released(stream);
}

static void flow_acquire(struct tv_flow *flow) {
    tvc_stream_acquire(stream_of_flow(flow));
}

static void flow_release(struct tv_flow *flow) {
    tvc_stream_release(stream_of_flow(flow));
}

const struct tv_flow_ops tvc_stream_flow = {
    .pull_control = pull_control,
    .pull_data = pull_data,
    .sent = sent,
    .acquire = flow_acquire,
    .release = flow_release,
};

/* ---- frames in ---- */

static void on_status(trove_stream *stream, const Trove__V1__Status *wire) {
    trove_error why = {TROVE_OK, ""};
    if (tv_status_from_wire(wire, &why) == TROVE_OK)
        TV_FAIL(&why, INTERNAL, "%s/%.200s: the server ended the stream without completing it", stream->bucket, stream->key);
    if (tvc_stream_detached(stream)) {
        tvc_resume_on_status(stream, &why);
        return;
    }
    pthread_mutex_lock(&stream->client->lock);
    bool damaged = tv_status_detail(wire, "damaged") != NULL;
    bool useless = why.status == TROVE_DATA_LOSS && !damaged && stream->opened && stream->upload.complete_sent &&
                   stream->resume.open != NULL;
    if (!tvc_resume_survives(stream, &why, damaged)) {
        tvc_resume_note_end(stream, &why);
        tvc_stream_end(stream, why.status == TROVE_CANCELLED ? TV_EVENT_CANCEL : TV_EVENT_FAIL, &why);
    }
    pthread_mutex_unlock(&stream->client->lock);
    if (useless)
        tvc_resume_discard(stream);
}

static void unexpected(trove_stream *stream, const tv_frame *frame) {
    trove_error why;
    TV_FAIL(&why, INTERNAL, "%s/%.200s: the server sent a frame of kind %d, which doesn't belong to this stream", stream->bucket,
            stream->key, (int)frame->body_case);
    tvc_stream_break(stream, &why);
}

/* A frame about the way up; false: it is none. */
static bool upload_frame(trove_stream *stream, const tv_frame *frame) {
    switch (frame->body_case) {
    case TV_BODY(ACK):
        tvc_upload_on_ack(stream, frame->ack);
        return true;
    case TV_BODY(CREDIT):
        tvc_upload_on_credit(stream, frame->credit);
        return true;
    case TV_BODY(COMPLETED):
        tvc_upload_on_completed(stream, frame->completed);
        return true;
    default:
        return false;
    }
}

/* Likewise about the way down. */
static bool download_frame(trove_stream *stream, const tv_frame *frame) {
    switch (frame->body_case) {
    case TV_BODY(GAP):
        tvc_download_on_gap(stream, frame->gap);
        return true;
    case TV_BODY(COMPLETE):
        tvc_download_on_complete(stream, frame->complete);
        return true;
    case TV_BODY(DEMAND):
        return true; /* credit is given as memory allows, whether it is asked for or not */
    default:
        return false;
    }
}

void tvc_stream_frame(trove_stream *stream, const tv_frame *frame) {
    bool opened = stream->opened && !tvc_stream_detached(stream); /* both are written by this thread only */
    if (frame->body_case == TV_BODY(STATUS))
        on_status(stream, frame->status);
    else if (frame->body_case == TV_BODY(OPENED) && tvc_stream_detached(stream))
        tvc_resume_on_opened(stream, frame->opened);
    else if (frame->body_case == TV_BODY(OPENED) && !opened)
        tvc_stream_opened(stream, frame->opened);
    else if (!opened)
        unexpected(stream, frame);
    else if (frame->body_case == TV_BODY(STATE))
        tvc_stream_on_state(stream, frame->state);
    else if (frame->body_case == TV_BODY(CONTROL))
        tvc_stream_on_control(stream, frame->control);
    else if (!(tvc_stream_sends(stream) && upload_frame(stream, frame)) &&
             !(tvc_stream_receives(stream) && download_frame(stream, frame)))
        unexpected(stream, frame);
}

/* ---- what the program sees ---- */

uint64_t tvc_stream_bytes_done(const trove_stream *stream) {
    return stream->upload.sender.acknowledged_bytes + stream->download.receiver.received_bytes;
}

const trove_object_info *tvc_stream_object(const trove_stream *stream) {
    return stream->published != NULL ? stream->published : stream->download.object;
}

/* Of the way down. Under the lock. */
static uint64_t read_offset(const trove_stream *stream) {
    return stream->download.range_offset + stream->download.verified_bytes;
}

uint64_t trove_stream_offset(const trove_stream *stream) {
    pthread_mutex_lock(&stream->client->lock);
    uint64_t offset = tvc_stream_sends(stream) ? stream->upload.next_offset : read_offset(stream);
    pthread_mutex_unlock(&stream->client->lock);
    return offset;
}

uint64_t trove_stream_read_offset(const trove_stream *stream) {
    pthread_mutex_lock(&stream->client->lock);
    uint64_t offset = tvc_stream_receives(stream) ? read_offset(stream) : 0;
    pthread_mutex_unlock(&stream->client->lock);
    return offset;
}

trove_stream_state trove_stream_state_get(const trove_stream *stream) {
    pthread_mutex_lock(&stream->client->lock);
    trove_stream_state state = stream->state;
    pthread_mutex_unlock(&stream->client->lock);
    return state;
}

uint64_t trove_stream_chunk_bytes(const trove_stream *stream) {
    return stream->chunk_bytes;
}

uint64_t trove_stream_chunk_bytes_next(const trove_stream *stream) {
    return tvc_upload_chunk_bytes(stream);
}

uint64_t trove_stream_id(const trove_stream *stream) {
    pthread_mutex_lock(&stream->client->lock);
    uint64_t id = stream->stream_id;
    pthread_mutex_unlock(&stream->client->lock);
    return id;
}

bool trove_stream_is_writer(const trove_stream *stream) {
    return stream->writer;
}

const trove_object_info *trove_stream_object(const trove_stream *stream) {
    pthread_mutex_lock(&stream->client->lock);
    const trove_object_info *object = tvc_stream_object(stream);
    pthread_mutex_unlock(&stream->client->lock);
    return object;
}
