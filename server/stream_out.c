/* stream_out.c - the frames that a stream sends, as the connection pulls them. See conn.h and stream.h.
 *
 * On whatever thread pumps; each pull takes the session's lock for a moment. What was decided elsewhere stands in the stream as a
 * flag or a number ("due"), so nothing is queued here, and several decisions become one frame.
 */
#include "download.h"
#include "resume.h"
#include "stream_control.h"

static void start(struct tvs_stream *stream, struct tv_pulled *pulled, Trove__V1__Frame__BodyCase body) {
    pulled->frame.call_id = stream->node.id;
    pulled->frame.body_case = body;
}

static void tell_upload(struct tvs_stream *stream, Trove__V1__Opened *opened, struct tvs_wire_object *wire) {
    struct tvs_resume *resume = stream->resume;
    opened->upload_id.data = resume->holder.id.bytes;
    opened->upload_id.len = sizeof resume->holder.id.bytes;
    opened->epoch = resume->holder.epoch;
    opened->durable_offset = resume->durable_offset;
    opened->expires_ns = resume->expires_ns;
    opened->survives_restart = (stream->session->server->ops->capabilities & TVS_CAP_UPLOADS_SURVIVE) != 0;
    if (resume->phase != TVS_RESUME_OVER)
        return;
    tvs_wire_object(stream->bucket, &stream->published, wire);
    opened->completed = &wire->info;
}

static void pull_opened(struct tvs_stream *stream, struct tv_pulled *pulled, struct tvs_wire_object *wire) {
    Trove__V1__Opened *opened = &pulled->scratch.opened;
    start(stream, pulled, TV_BODY(OPENED));
    trove__v1__opened__init(opened);
    opened->stream_id = stream->id;
    opened->chunk_bytes = stream->chunk_bytes;
    opened->channel_chunks = stream->channel_chunks;
    opened->backpressure = (Trove__V1__Backpressure)stream->backpressure;
    opened->credit = stream->grant.credit_due;
    stream->grant.credit_due = 0;
    opened->writer = stream->follow && !stream->follower;
    if (stream->down.open && !stream->sends_nothing && !stream->follower) {
        tvs_wire_object(stream->bucket, &stream->object, wire);
        opened->object = &wire->info;
        opened->gaps = stream->gaps.list;
        opened->n_gaps = stream->gaps.count < TV_GAPS_TOLD_MAX ? stream->gaps.count : TV_GAPS_TOLD_MAX;
    }
    if (stream->resume != NULL)
        tell_upload(stream, opened, wire);
    pulled->frame.opened = opened;
    stream->opened_sent = true;
}

/* A control from outside. */
static void pull_outside(struct tvs_stream *stream, struct tv_pulled *pulled, const struct tvs_control_answer *told) {
    Trove__V1__Control *control = &pulled->scratch.control;
    start(stream, pulled, TV_BODY(CONTROL));
    trove__v1__control__init(control);
    control->type = told->event == TV_EVENT_PAUSE ? TROVE__V1__CONTROL_TYPE__PAUSE : TROVE__V1__CONTROL_TYPE__RESUME;
    control->serial = told->serial;
    if (told->is_seek) {
        control->type = TROVE__V1__CONTROL_TYPE__SEEK;
        control->offset = told->offset;
        control->generation = told->generation;
    }
    pulled->frame.control = control;
}

static void pull_answer(struct tvs_stream *stream, struct tv_pulled *pulled, struct tvs_control_answer *kept,
                        Trove__V1__Status *status) {
    Trove__V1__State *state = &pulled->scratch.state;
    (void)tvs_stream_answer_take_locked(stream, kept);
    if (kept->is_control) {
        stream->outside_count--;
        pull_outside(stream, pulled, kept);
        return;
    }
    start(stream, pulled, TV_BODY(STATE));
    trove__v1__state__init(state);
    state->serial = kept->serial;
    state->state = (Trove__V1__StreamState)kept->state;
    state->generation = stream->generation;
    state->offset = stream->up.open && !stream->follower ? stream->receiver.taken_offset : tvs_download_offset_locked(stream);
    if (kept->status != TROVE_OK) {
        trove__v1__status__init(status);
        status->code = (Trove__V1__Code)kept->status;
        status->message = kept->message;
        state->status = status;
    }
    pulled->frame.state = state;
}

static bool pull_ack(struct tvs_stream *stream, struct tv_pulled *pulled) {
    Trove__V1__Ack *ack = &pulled->scratch.ack;
    uint64_t first = 0;
    uint64_t count = 0;
    bool not_taken = false;
    struct tvs_resume *resume = stream->resume;
    bool acked = tv_receiver_next_ack(&stream->receiver, &first, &count, &not_taken);
    if (!acked && (resume == NULL || !resume->durable_due))
        return false;
    start(stream, pulled, TV_BODY(ACK));
    trove__v1__ack__init(ack);
    trove__v1__index_range__init(&pulled->range);
    pulled->range.first = first;
    pulled->range.count = count;
    pulled->ranges[0] = &pulled->range;
    ack->n_ranges = acked ? 1 : 0;
    ack->ranges = pulled->ranges;
    if (resume != NULL) {
        ack->durable_offset = resume->durable_offset;
        ack->epoch = resume->holder.epoch;
        resume->durable_due = false;
    }
    ack->not_taken = not_taken;
    ack->received_offset = stream->receiver.taken_offset;
    ack->generation = stream->generation;
    ack->credit = stream->grant.credit_due;
    stream->grant.credit_due = 0;
    pulled->frame.ack = ack;
    return true;
}

static bool pull_credit(struct tvs_stream *stream, struct tv_pulled *pulled) {
    if (stream->grant.credit_due == 0 && stream->grant.expired_due == 0)
        return false;
    Trove__V1__Credit *credit = &pulled->scratch.credit;
    start(stream, pulled, TV_BODY(CREDIT));
    trove__v1__credit__init(credit);
    credit->bytes = stream->grant.credit_due;
    credit->expired = stream->grant.expired_due;
    stream->grant.credit_due = stream->grant.expired_due = 0;
    pulled->frame.credit = credit;
    return true;
}

static void pull_completed(struct tvs_stream *stream, struct tv_pulled *pulled, struct tvs_wire_object *wire) {
    Trove__V1__Completed *completed = &pulled->scratch.completed;
    start(stream, pulled, TV_BODY(COMPLETED));
    trove__v1__completed__init(completed);
    tvs_wire_object(stream->bucket, stream->follower ? &stream->object : &stream->published, wire);
    tvs_wire_completed(wire, &stream->published_gaps, completed);
    if (completed->n_gaps > TV_GAPS_TOLD_MAX)
        completed->n_gaps = TV_GAPS_TOLD_MAX;
    completed->dropped_chunks = stream->receiver.lost_chunks;
    completed->dropped_bytes = stream->receiver.lost_bytes;
    pulled->frame.completed = completed;
    stream->completed_due = false;
}

static void pull_status(struct tvs_stream *stream, struct tv_pulled *pulled) {
    static Trove__V1__Entry damaged = {PROTOBUF_C_MESSAGE_INIT(&trove__v1__entry__descriptor), .key = "damaged", .value = "1"};
    static Trove__V1__Entry *details[] = {&damaged};
    Trove__V1__Status *status = &pulled->scratch.status;
    start(stream, pulled, TV_BODY(STATUS));
    trove__v1__status__init(status);
    tv_status_to_wire(&stream->failure, status);
    status->n_details = stream->damaged ? 1 : 0;
    status->details = details;
    pulled->frame.status = status;
    stream->status_due = false;
}

/* Submessages that must outlive the pull until its frame is packed: by the same thread, right after. */
static _Thread_local struct {
    struct tvs_wire_object object;
    struct tvs_control_answer answer;
    Trove__V1__Status status;
} kept;

/* The order matters: opened before anything, credit that has expired before the answer "not taken" that follows from it,
 * acknowledgements before the end that they lead to, the status last. */
static bool pull_control_locked(struct tvs_stream *stream, struct tv_pulled *pulled, bool *last) {
    if (!stream->listed)
        return false; /* its last frame has been sent */
    bool terminal = tv_stream_state_terminal(stream->state);
    bool upload = stream->up.open;
    if (tvs_stream_begun(stream) && !stream->opened_sent && !terminal) {
        pull_opened(stream, pulled, &kept.object);
        return true;
    }
    /* The peer knows no controls of a stream that wasn't opened; one that has ended without that has its status. */
    bool held_back = stream->answer_count > 0 && stream->answer_first->is_control && !stream->opened_sent;
    if (stream->answer_count > 0 && !held_back) {
        pull_answer(stream, pulled, &kept.answer, &kept.status);
        return true;
    }
    bool expired_first = upload && !terminal && stream->grant.expired_due > 0;
    if (expired_first && pull_credit(stream, pulled))
        return true;
    if (upload && !stream->status_due && (pull_ack(stream, pulled) || (!terminal && pull_credit(stream, pulled))))
        return true;
    if (stream->completed_due) {
        if (!stream->opened_sent) {
            pull_opened(stream, pulled, &kept.object);
            return true;
        }
        pull_completed(stream, pulled, &kept.object);
        *last = true;
        return true;
    }
    if (stream->status_due) {
        pull_status(stream, pulled);
        *last = true;
        return true;
    }
    return false;
}

static bool pull_control(struct tv_flow *flow, struct tv_pulled *pulled) {
    struct tvs_stream *stream = tvs_stream_of_flow(flow);
    struct tvs_session *session = stream->session;
    bool last = false;
    pthread_mutex_lock(&session->lock);
    bool opened_before = stream->opened_sent;
    unsigned answers_before = stream->answer_count;
    bool pulled_one = pull_control_locked(stream, pulled, &last);
    bool release = last && tvs_stream_unlist_locked(stream);
    bool opened = stream->opened_sent && !opened_before;
    bool answered = answers_before > 0 && stream->answer_count == 0;
    pthread_mutex_unlock(&session->lock);
    if (opened || answered) /* a chunk that was ready earlier was not pulled: data comes after them */
        tvs_stream_wake(stream, TV_WANTS_DATA);
    if (release)
        tvs_stream_release(stream); /* the connection still holds the flow */
    return pulled_one;
}

static void pull_gap(struct tvs_stream *stream, const struct tv_gap *lost, struct tv_pulled *pulled) {
    Trove__V1__Gap *gap = &pulled->scratch.gap;
    start(stream, pulled, TV_BODY(GAP));
    trove__v1__gap__init(gap);
    gap->first_index = lost->first_index;
    gap->count = lost->count;
    gap->offset = lost->offset;
    gap->length = lost->length;
    gap->generation = stream->generation;
    pulled->frame.gap = gap;
}

/* What the window says about the fragment. Under the lock: later the chunk may be gone. */
static void describe_fragment(struct tvs_stream *stream, const struct tv_fragment_out *fragment, struct tv_pulled *pulled) {
    const struct tv_chunk *from = fragment->chunk;
    Trove__V1__Chunk *chunk = &pulled->scratch.chunk;
    start(stream, pulled, TV_BODY(CHUNK));
    trove__v1__chunk__init(chunk);
    chunk->index = from->index;
    chunk->offset = from->offset + fragment->fragment_offset;
    chunk->chunk_bytes = from->bytes;
    chunk->fragment_offset = fragment->fragment_offset;
    chunk->generation = from->generation;
    chunk->final = from->final;
    chunk->checksum_given_case = TROVE__V1__CHUNK__CHECKSUM_GIVEN_CHECKSUM;
    pulled->frame.chunk = chunk;
    pulled->payload_bytes = fragment->bytes;
}

/* Its bytes and their checksum. Without the lock: pieces that the cut went through are hashed. */
static void fill_fragment(const struct tvs_stream *stream, struct tvs_run *run, struct tv_pulled *pulled) {
    Trove__V1__Chunk *chunk = &pulled->scratch.chunk;
    struct tv_data data = {.offset = chunk->offset};
    if (run != NULL)
        tvs_run_slice(run, chunk->offset, pulled->payload_bytes, &data);
    chunk->checksum = tv_chunk_checksum(stream->node.id, chunk->index, &data);
    pulled->iov_count = data.iov_count;
    for (unsigned i = 0; i < data.iov_count; i++)
        pulled->iov[i] = data.iov[i];
    pulled->cookie = run;
}

static void pull_complete(struct tvs_stream *stream, struct tv_pulled *pulled) {
    Trove__V1__Complete *complete = &pulled->scratch.complete;
    start(stream, pulled, TV_BODY(COMPLETE));
    trove__v1__complete__init(complete);
    if (!stream->sends_nothing) {
        complete->size = stream->sender.next_offset - stream->range_offset;
        complete->chunks = stream->sender.next;
        complete->etag = stream->object.etag;
    }
    pulled->frame.complete = complete;
    stream->complete_sent = true;
    if (!tvs_stream_ways_closed(stream))
        return; /* the way up goes on */
    trove_status status = tv_stream_state_apply(&stream->state, TV_EVENT_COMPLETE, NULL);
    TV_ASSERT(status == TROVE_OK);
}

/* All of the way down has been handed over, or there is nothing. */
static bool may_complete(const struct tvs_stream *stream) {
    return !stream->complete_sent && (stream->sends_nothing || tv_sender_drained(&stream->sender));
}

static bool pull_data(struct tv_flow *flow, uint64_t payload_bytes_max, struct tv_pulled *pulled) {
    struct tvs_stream *stream = tvs_stream_of_flow(flow);
    struct tvs_session *session = stream->session;
    struct tv_fragment_out fragment;
    struct tvs_run *run = NULL;
    struct tv_gap gap;
    bool sliced = false;
    bool other = false;
    pthread_mutex_lock(&session->lock);
    /* The answer to a seek tells that what follows is of the new generation: it isn't overtaken. */
    bool moves = tvs_download_moves_locked(stream) && stream->move.serial == 0;
    bool active = stream->down.open && stream->opened_sent && stream->answer_count == 0 && moves;
    bool sends = active && !stream->sends_nothing;
    if (sends && tvs_download_next_gap(stream, &gap)) {
        pull_gap(stream, &gap, pulled);
        other = true;
    } else if (sends && tvs_download_next(stream, payload_bytes_max, &fragment, &run)) {
        sliced = true;
        describe_fragment(stream, &fragment, pulled);
        stream->progress_ns = tv_now_ns();
    } else if (active && may_complete(stream)) {
        pull_complete(stream, pulled);
        other = true;
    }
    unsigned strands = active ? tvs_stream_schedule(stream) : 0; /* there may be more to read */
    pthread_mutex_unlock(&session->lock);
    if (sliced)
        fill_fragment(stream, run, pulled);
    tvs_stream_run(stream, strands);
    return sliced || other;
}

static void sent(struct tv_flow *flow, void *cookie) {
    (void)flow;
    tvs_run_release(cookie);
}

static void acquire(struct tv_flow *flow) {
    tvs_stream_acquire(tvs_stream_of_flow(flow));
}

static void release(struct tv_flow *flow) {
    tvs_stream_release(tvs_stream_of_flow(flow));
}

const struct tv_flow_ops tvs_stream_flow_ops = {
    .pull_control = pull_control,
    .pull_data = pull_data,
    .sent = sent,
    .acquire = acquire,
    .release = release,
};
