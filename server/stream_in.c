/* stream_in.c - frames for a stream, other than its chunks. See stream.h. On the connection's receiving thread.
 *
 * Each handler changes the stream under its session's lock and says what is to be done after unlocking: run the strand, wake
 * rings.
 */
#include "checked.h"
#include "download.h"
#include "follow.h"
#include "resume.h"
#include "stream_control.h"
#include "upload.h"
#include "utf8.h"

#include <string.h>

/* What is to be done without the lock. */
struct after {
    unsigned strands; /* to be run */
    unsigned wake;
    bool unlisted; /* drop the table's reference */
};

void tvs_stream_unknown(struct tvs_session *session, const tv_frame *frame, const char *what) {
    pthread_mutex_lock(&session->lock);
    bool ended = frame->call_id <= session->highest_id && frame->call_id != 0;
    pthread_mutex_unlock(&session->lock);
    trove_error error;
    if (!ended) {
        TV_FAIL(&error, INVALID_ARGUMENT, "%s for call %llu, which was never opened", what, (unsigned long long)frame->call_id);
        tvs_session_send_status(session, frame->call_id, &error, false);
        return;
    }
    if (frame->body_case != TV_BODY(CONTROL))
        return; /* crossed with the stream's end */
    TV_FAIL(&error, FAILED_PRECONDITION, "the stream of call %llu has ended", (unsigned long long)frame->call_id);
    tv_frame answer = TROVE__V1__FRAME__INIT;
    Trove__V1__State state = TROVE__V1__STATE__INIT;
    Trove__V1__Status status = TROVE__V1__STATUS__INIT;
    tv_status_to_wire(&error, &status);
    state.serial = frame->control->serial;
    state.state = TROVE__V1__STREAM_STATE__FAILED;
    state.status = &status;
    answer.call_id = frame->call_id;
    answer.body_case = TV_BODY(STATE);
    answer.state = &state;
    trove_status sent = tv_conn_send(session->conn, &answer, NULL, 0, NULL);
    (void)sent;
}

static void fail(struct tvs_stream *stream, const trove_error *why, struct after *after) {
    after->strands |= tvs_stream_end_locked(stream, TV_EVENT_FAIL, why);
    after->wake |= TV_WANTS_CONTROL;
}

/* ---- the way down: what the receiver says ---- */

static void count_acked(void *context, const struct tv_chunk *chunk) {
    struct tvs_stream *stream = context;
    uint64_t now_ns = stream->progress_ns; /* on_ack has just set it */
    tvs_stream_count_locked(stream, chunk->bytes, true, now_ns > chunk->written_ns ? now_ns - chunk->written_ns : 0);
    tvs_download_acked_locked(stream, chunk, now_ns);
}

static void on_ack(struct tvs_stream *stream, const Trove__V1__Ack *ack, struct after *after) {
    trove_error error;
    trove_status status = TROVE_OK;
    uint64_t resent_before = stream->sender.resent_chunks;
    stream->progress_ns = tv_now_ns();
    if (!stream->sender_ready)
        status = TV_FAIL(&error, INVALID_ARGUMENT, "an acknowledgement before anything was sent");
    else if (ack->generation != stream->generation)
        status = TV_FAIL(&error, INVALID_ARGUMENT, "an acknowledgement of seek %llu, where seek %llu is the last",
                         (unsigned long long)ack->generation, (unsigned long long)stream->generation);
    for (size_t i = 0; i < ack->n_ranges && status == TROVE_OK; i++) {
        const Trove__V1__IndexRange *range = ack->ranges[i];
        status = ack->not_taken ? tv_sender_not_taken(&stream->sender, range->first, range->count, &error)
                                : tv_sender_ack(&stream->sender, range->first, range->count, count_acked, stream, &error);
    }
    if (status != TROVE_OK) {
        fail(stream, &error, after);
        return;
    }
    tvs_stream_count_retries_locked(stream, stream->sender.resent_chunks - resent_before);
    tv_sender_credit(&stream->sender, ack->credit, 0);
    after->wake |= TV_WANTS_DATA;
}

static void on_credit(struct tvs_stream *stream, const Trove__V1__Credit *credit, struct after *after) {
    if (stream->sender_ready) {
        tv_sender_credit(&stream->sender, credit->bytes, credit->expired);
    } else {
        stream->early_credit = tv_add_capped(stream->early_credit, credit->bytes);
        stream->early_expired = tv_add_capped(stream->early_expired, credit->expired);
    }
    after->wake |= TV_WANTS_DATA;
}

static void on_completed(struct tvs_stream *stream, struct after *after) {
    if (!stream->complete_sent || stream->completed_received) {
        trove_error error;
        TV_FAIL(&error, FAILED_PRECONDITION, stream->complete_sent ? "completed twice" : "completed before everything was sent");
        fail(stream, &error, after);
        return;
    }
    stream->completed_received = true;
    stream->progress_ns = tv_now_ns();
    if (stream->up.open && !stream->follower)
        return; /* what came up is published next, if all has come */
    after->strands |= tvs_stream_end_locked(stream, TV_EVENT_COMPLETED, NULL);
    stream->completed_due = stream->follower;
    if (stream->completed_due)
        after->wake |= TV_WANTS_CONTROL;
    else
        after->unlisted = tvs_stream_unlist_locked(stream);
}

/* ---- the way up: what the sender says ---- */

static void on_demand(struct tvs_stream *stream, const Trove__V1__Demand *demand, struct after *after) {
    stream->grant.demand_bytes = demand->bytes;
    bool told = demand->bytes == 0 ? tvs_upload_expire_locked(stream) : tvs_upload_grant_locked(stream);
    after->wake |= told ? TV_WANTS_CONTROL : 0;
}

/* All that the stream will ever move was sent, or it was never started. (Paused: it may have crossed a pause; then it counts from
 * the resume on.) */
static trove_status close_up(struct tvs_stream *stream, trove_error *error) {
    stream->complete_received = true;
    bool moves = tvs_stream_ways_closed(stream) || stream->state == TROVE_STREAM_IDLE;
    if (!moves || stream->state == TROVE_STREAM_PAUSED)
        return TROVE_OK;
    return tv_stream_state_apply(&stream->state, TV_EVENT_COMPLETE, error);
}

static void on_complete(struct tvs_stream *stream, const Trove__V1__Complete *complete, struct after *after) {
    trove_error error;
    trove_status status = TROVE_OK;
    struct tvs_declared_digest digest = {0};
    uint64_t first_offset = stream->resume != NULL ? stream->resume->first_offset : 0;
    if (stream->follower && complete->chunks == 0 && complete->size == 0)
        return; /* sent before it knew that another stream writes */
    if (stream->follower)
        status = tvs_follow_refuse(stream, &error);
    else if (stream->complete_received)
        status = TV_FAIL(&error, FAILED_PRECONDITION, "complete was sent twice");
    else if (stream->resume != NULL && !stream->opened_sent)
        status = TV_FAIL(&error, FAILED_PRECONDITION, "complete before the upload was opened, which tells where to go on");
    else if (tvs_resume_check_epoch_locked(stream, complete->epoch, &error) != TROVE_OK)
        status = error.status;
    else if (strlen(complete->etag) >= sizeof stream->complete_etag)
        status =
            TV_FAIL(&error, INVALID_ARGUMENT, "the etag in complete has %zu characters; etags have 32", strlen(complete->etag));
    else if (complete->n_metadata > 0)
        status = TV_FAIL(&error, UNIMPLEMENTED, "metadata in complete isn't there yet; give it when opening");
    else if (tvs_digest_from_wire(complete->digest, &digest, &error) != TROVE_OK)
        status = error.status;
    else if (!stream->receiver.final_seen && !(complete->chunks == 0 && complete->size == first_offset))
        status = TV_FAIL(&error, FAILED_PRECONDITION, "complete before the final chunk");
    else
        status = close_up(stream, &error);
    if (status != TROVE_OK) {
        fail(stream, &error, after);
        return;
    }
    stream->complete_size = complete->size;
    stream->complete_chunks = complete->chunks;
    memcpy(stream->complete_etag, complete->etag, strlen(complete->etag) + 1);
    stream->complete_digest = digest;
    stream->progress_ns = tv_now_ns();
}

static void on_gap(struct tvs_stream *stream, const Trove__V1__Gap *gap, struct after *after) {
    trove_error error;
    if (tvs_upload_gap_locked(stream, gap, &error) != TROVE_OK)
        fail(stream, &error, after);
}

static void on_chunk_abort(struct tvs_stream *stream, const Trove__V1__ChunkAbort *abort_chunk, struct after *after) {
    trove_error error;
    if (abort_chunk->generation != stream->generation)
        return; /* from before a seek, like the chunk */
    if (tv_receiver_abort(&stream->receiver, abort_chunk->index, &error) != TROVE_OK)
        fail(stream, &error, after);
}

/* ---- control ---- */

static void control_event(struct tvs_stream *stream, enum tv_stream_event event, const Trove__V1__Control *control,
                          struct tvs_control_answer *answer, struct after *after) {
    trove_error error = {TROVE_OK, ""};
    trove_error why;
    if (event != TV_EVENT_FAIL)
        TV_FAIL(&why, CANCELLED, "cancelled by the client");
    else if (control->reason == NULL || tv_status_from_wire(control->reason, &why) == TROVE_OK)
        TV_FAIL(&why, ABORTED, "given up by the client");
    answer->status = tvs_stream_control_locked(stream, event, &why, &after->strands, &error);
    if (event == TV_EVENT_CANCEL && answer->status == TROVE_OK && stream->resume != NULL)
        stream->resume->given_up = true; /* the strand comes to it after this */
    tv_utf8_copy(answer->message, sizeof answer->message, error.message);
    after->wake |= TV_WANTS_CONTROL | TV_WANTS_DATA;
}

static trove_status check_seek(const struct tvs_stream *stream, const Trove__V1__Control *control, trove_error *error) {
    trove_status status = tvs_stream_check_seek_locked(stream, control->offset, error);
    if (status != TROVE_OK)
        return status;
    if (control->generation != stream->generation + 1)
        return TV_FAIL(error, FAILED_PRECONDITION, "seek %llu, where seek %llu was the last",
                       (unsigned long long)control->generation, (unsigned long long)stream->generation);
    if (stream->move.serial != 0)
        return TV_FAIL(error, FAILED_PRECONDITION, "stream %llu is being moved to %llu from outside",
                       (unsigned long long)stream->id, (unsigned long long)stream->move.offset);
    return TROVE_OK;
}

static void control_seek(struct tvs_stream *stream, const Trove__V1__Control *control, struct tvs_control_answer *answer,
                         struct after *after) {
    trove_error error = {TROVE_OK, ""};
    answer->status = check_seek(stream, control, &error);
    tv_utf8_copy(answer->message, sizeof answer->message, error.message);
    if (answer->status != TROVE_OK)
        return;
    tvs_stream_seek_locked(stream, control->offset, control->generation);
    after->wake |= TV_WANTS_DATA;
}

static void on_control(struct tvs_stream *stream, const Trove__V1__Control *control, struct after *after) {
    if (stream->answer_count - stream->outside_count == TVS_CONTROL_ANSWERS_MAX) {
        trove_error flood;
        TV_FAIL(&flood, RESOURCE_EXHAUSTED, "%d controls are unanswered; wait for their answers", TVS_CONTROL_ANSWERS_MAX);
        fail(stream, &flood, after);
        return;
    }
    struct tvs_control_answer *answer = tvs_stream_answer_add_locked(stream);
    if (answer == NULL) {
        trove_error no_memory;
        TV_FAIL(&no_memory, RESOURCE_EXHAUSTED, "no memory to answer a control");
        fail(stream, &no_memory, after);
        return;
    }
    answer->serial = control->serial;
    trove_error stale = {TROVE_OK, ""};
    bool told = stream->opened_sent; /* the epoch */
    if (told && tvs_resume_check_epoch_locked(stream, control->epoch, &stale) != TROVE_OK) {
        answer->status = stale.status;
        tv_utf8_copy(answer->message, sizeof answer->message, stale.message);
        answer->state = stream->state;
        after->wake |= TV_WANTS_CONTROL;
        return;
    }
    switch (control->type) {
    case TROVE__V1__CONTROL_TYPE__START:
        control_event(stream, TV_EVENT_START, control, answer, after);
        break;
    case TROVE__V1__CONTROL_TYPE__PAUSE:
        control_event(stream, TV_EVENT_PAUSE, control, answer, after);
        break;
    case TROVE__V1__CONTROL_TYPE__RESUME:
        control_event(stream, TV_EVENT_RESUME, control, answer, after);
        break;
    case TROVE__V1__CONTROL_TYPE__CANCEL:
        control_event(stream, TV_EVENT_CANCEL, control, answer, after);
        break;
    case TROVE__V1__CONTROL_TYPE__FAIL:
        control_event(stream, TV_EVENT_FAIL, control, answer, after);
        break;
    case TROVE__V1__CONTROL_TYPE__SEEK:
        control_seek(stream, control, answer, after);
        break;
    default:
        answer->status = TROVE_INVALID_ARGUMENT;
        snprintf(answer->message, sizeof answer->message, "control %d is none", (int)control->type);
        break;
    }
    answer->state = stream->state;
    after->wake |= TV_WANTS_CONTROL;
}

static void on_status(struct tvs_stream *stream, const Trove__V1__Status *status, struct after *after) {
    trove_error why;
    if (tv_status_from_wire(status, &why) == TROVE_OK)
        TV_FAIL(&why, ABORTED, "given up by the client");
    fail(stream, &why, after);
}

/* ---- dispatch ---- */

/* Whether the frame is about a way that the stream has. */
static bool fits_direction(const struct tvs_stream *stream, Trove__V1__Frame__BodyCase body) {
    switch (body) {
    case TV_BODY(DEMAND):
    case TV_BODY(COMPLETE):
    case TV_BODY(CHUNK_ABORT):
    case TV_BODY(GAP):
        return stream->up.open;
    case TV_BODY(ACK):
    case TV_BODY(CREDIT):
    case TV_BODY(COMPLETED):
        return stream->down.open;
    default:
        return true;
    }
}

static void dispatch(struct tvs_stream *stream, const tv_frame *frame, struct after *after) {
    if (tv_stream_state_terminal(stream->state) && frame->body_case != TV_BODY(CONTROL))
        return; /* crossed with the end, which the peer is about to learn */
    if (!fits_direction(stream, frame->body_case)) {
        trove_error error;
        TV_FAIL(&error, INVALID_ARGUMENT, "a frame (field %d) that doesn't belong to this direction or kind of stream",
                (int)frame->body_case);
        fail(stream, &error, after);
        return;
    }
    switch (frame->body_case) {
    case TV_BODY(ACK):
        on_ack(stream, frame->ack, after);
        break;
    case TV_BODY(CREDIT):
        on_credit(stream, frame->credit, after);
        break;
    case TV_BODY(COMPLETED):
        on_completed(stream, after);
        break;
    case TV_BODY(DEMAND):
        on_demand(stream, frame->demand, after);
        break;
    case TV_BODY(COMPLETE):
        on_complete(stream, frame->complete, after);
        break;
    case TV_BODY(CHUNK_ABORT):
        on_chunk_abort(stream, frame->chunk_abort, after);
        break;
    case TV_BODY(GAP):
        on_gap(stream, frame->gap, after);
        break;
    case TV_BODY(CONTROL):
        on_control(stream, frame->control, after);
        break;
    case TV_BODY(STATE):
        if (tvs_stream_answered_locked(stream, frame->state, &after->strands))
            after->wake |= TV_WANTS_DATA | TV_WANTS_CONTROL;
        break;
    case TV_BODY(STATUS):
        on_status(stream, frame->status, after);
        break;
    default:
        break;
    }
}

void tvs_stream_frame(struct tvs_session *session, const tv_frame *frame) {
    struct after after = {0};
    pthread_mutex_lock(&session->lock);
    struct tvs_stream *stream = tvs_stream_find(session, frame->call_id);
    if (stream != NULL) {
        dispatch(stream, frame, &after);
        after.strands |= tvs_stream_schedule(stream);
    }
    pthread_mutex_unlock(&session->lock);
    if (stream == NULL) {
        tvs_stream_unknown(session, frame, "a frame");
        return;
    }
    tvs_stream_run(stream, after.strands);
    if (after.wake != 0)
        tvs_stream_wake(stream, after.wake);
    if (after.unlisted)
        tvs_stream_release(stream);
    tvs_stream_release(stream);
}
