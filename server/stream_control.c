/* stream_control.c - what moves a stream's state: controls of its peer, and of others from outside. See stream.h.
 *
 * The server orders them all: the state moves here, under the session's lock, and the peer is told in the same order, for answers
 * to its own controls and controls from outside go through one queue. A stream that hasn't been opened yet keeps them until it
 * is.
 */
#include "stream_control.h"

#include "download.h"
#include "resume.h"
#include "upload.h"

struct tvs_control_answer *tvs_stream_answer_add_locked(struct tvs_stream *stream) {
    struct tvs_quota *quota = &stream->session->server->control_answers;
    struct tvs_control_answer *answer = NULL;
    if (!tvs_quota_take(quota, sizeof *answer, TV_CONTROL_ANSWERS_BYTES_MAX, UINT32_MAX))
        return NULL;
    answer = calloc(1, sizeof *answer);
    if (answer == NULL) {
        tvs_quota_give(quota, sizeof *answer);
        return NULL;
    }
    if (stream->answer_last != NULL)
        stream->answer_last->next = answer;
    else
        stream->answer_first = answer;
    stream->answer_last = answer;
    stream->answer_count++;
    return answer;
}

bool tvs_stream_answer_take_locked(struct tvs_stream *stream, struct tvs_control_answer *answer) {
    struct tvs_control_answer *first = stream->answer_first;
    if (first == NULL)
        return false;
    stream->answer_first = first->next;
    if (stream->answer_first == NULL)
        stream->answer_last = NULL;
    stream->answer_count--;
    *answer = *first;
    free(first);
    tvs_quota_give(&stream->session->server->control_answers, sizeof *answer);
    return true;
}

/* The state has changed, or not: its clocks. */
static trove_status apply(struct tvs_stream *stream, enum tv_stream_event event, trove_error *error) {
    trove_stream_state before = stream->state;
    trove_status status = tv_stream_state_apply(&stream->state, event, error);
    /* It goes on with its end, where the peer had sent all before it heard of a pause. */
    if (status == TROVE_OK && stream->state == TROVE_STREAM_ACTIVE && tvs_stream_ways_closed(stream))
        status = tv_stream_state_apply(&stream->state, TV_EVENT_COMPLETE, error);
    if (stream->state != before)
        stream->state_ns = stream->progress_ns = tv_now_ns();
    return status;
}

trove_status tvs_stream_control_locked(struct tvs_stream *stream, enum tv_stream_event event, const trove_error *why,
                                       unsigned *strands, trove_error *error) {
    bool ends = event == TV_EVENT_CANCEL || event == TV_EVENT_FAIL;
    if (event == TV_EVENT_RESUME && stream->state == TROVE_STREAM_IDLE) /* what was never started is resumed into its start */
        event = TV_EVENT_START;
    if (ends && stream->commit_running)
        return TV_FAIL(error, FAILED_PRECONDITION, "a %s stream can't be %s any more: %s/%.200s is being published",
                       trove_stream_state_name(stream->state), event == TV_EVENT_CANCEL ? "cancelled" : "failed", stream->bucket,
                       stream->key);
    if (ends && !tv_stream_state_terminal(stream->state)) {
        *strands |= tvs_stream_end_locked(stream, event, why);
        return TROVE_OK;
    }
    trove_status status = apply(stream, event, error);
    if (stream->down.open)
        tvs_download_interrupted_locked(stream);
    if (stream->up.open && stream->state == TROVE_STREAM_ACTIVE)
        (void)tvs_upload_grant_locked(stream); /* the caller wakes the ring in any case */
    *strands |= tvs_stream_schedule(stream);
    return status;
}

/* ---- seeks ---- */

trove_status tvs_stream_check_seek_locked(const struct tvs_stream *stream, uint64_t offset, trove_error *error) {
    bool moving = stream->state == TROVE_STREAM_ACTIVE || stream->state == TROVE_STREAM_PAUSED;
    if (stream->up.open && stream->down.open)
        return TV_FAIL(error, FAILED_PRECONDITION, "a two-way stream can't seek (stream %llu, %s): its ways have an offset each",
                       (unsigned long long)stream->id, trove_stream_state_name(stream->state));
    if (!moving || !stream->opened_sent || stream->complete_received)
        return TV_FAIL(error, FAILED_PRECONDITION, "%s stream %llu can't seek: only an active or paused one can",
                       trove_stream_state_name(stream->state), (unsigned long long)stream->id);
    if (stream->up.open && offset > stream->receiver.taken_offset)
        return TV_FAIL(error, FAILED_PRECONDITION, "%s/%s: an upload can't go on at %llu; it has received %llu bytes",
                       stream->bucket, stream->key, (unsigned long long)offset,
                       (unsigned long long)stream->receiver.taken_offset);
    if (offset < tvs_resume_least_offset_locked(stream))
        return TV_FAIL(error, FAILED_PRECONDITION, "%s/%s: an upload can't go back to %llu; what is below %llu is durable",
                       stream->bucket, stream->key, (unsigned long long)offset,
                       (unsigned long long)tvs_resume_least_offset_locked(stream));
    if (stream->down.open && (offset < stream->range_offset || offset > stream->read_end))
        return TV_FAIL(error, OUT_OF_RANGE, "%s/%s: a download of bytes %llu to %llu can't go on at %llu", stream->bucket,
                       stream->key, (unsigned long long)stream->range_offset, (unsigned long long)stream->read_end,
                       (unsigned long long)offset);
    return TROVE_OK;
}

void tvs_stream_seek_locked(struct tvs_stream *stream, uint64_t offset, uint64_t generation) {
    if (stream->up.open)
        tvs_upload_seek_locked(stream, offset, generation);
    else
        tvs_download_seek_locked(stream, offset, generation);
    stream->progress_ns = tv_now_ns();
}

/* An upload whose final chunk has come is complete, as far as its sender knows. */
static trove_status check_move(const struct tvs_stream *stream, uint64_t offset, trove_error *error) {
    const char *kind = stream->up.open ? "upload" : "download";
    trove_status status = tvs_stream_check_seek_locked(stream, offset, error);
    if (status != TROVE_OK)
        return status;
    if (stream->lossy)
        return TV_FAIL(error, FAILED_PRECONDITION, "%s/%s: a lossy %s can't be moved from outside", stream->bucket, stream->key,
                       kind);
    if (!stream->movable)
        return TV_FAIL(error, FAILED_PRECONDITION, "%s/%s: the program at the other end of this %s can't be moved from outside",
                       stream->bucket, stream->key, kind);
    if (stream->up.open && stream->receiver.final_seen)
        return TV_FAIL(error, FAILED_PRECONDITION, "%s stream %llu can't seek: all of it has come, and completing is next",
                       trove_stream_state_name(stream->state), (unsigned long long)stream->id);
    if (stream->move.serial != 0)
        return TV_FAIL(error, RESOURCE_EXHAUSTED,
                       "the program at the other end of stream %llu is being told to go on at %llu; try again",
                       (unsigned long long)stream->id, (unsigned long long)stream->move.offset);
    return TROVE_OK;
}

/* ---- from outside ---- */

/* The peer is told of a control from outside, or the stream fails: it would go on as before. NULL then. */
static struct tvs_control_answer *tell_control(struct tvs_stream *stream, unsigned *strands) {
    trove_error no_memory;
    struct tvs_control_answer *told = tvs_stream_answer_add_locked(stream);
    if (told == NULL) {
        TV_FAIL(&no_memory, RESOURCE_EXHAUSTED, "no memory to tell of a control");
        *strands |= tvs_stream_end_locked(stream, TV_EVENT_FAIL, &no_memory);
        return NULL;
    }
    stream->outside_count++;
    told->is_control = true;
    told->serial = ++stream->control_serial;
    told->state = stream->state;
    return told;
}

static trove_status check_outside(const struct tvs_stream *stream, trove_error *error) {
    if (stream->outside_count < TVS_CONTROLS_OUTSIDE_MAX)
        return TROVE_OK;
    return TV_FAIL(error, RESOURCE_EXHAUSTED, "%d controls of stream %llu are on their way to its peer; try again",
                   TVS_CONTROLS_OUTSIDE_MAX, (unsigned long long)stream->id);
}

trove_status tvs_stream_control(struct tvs_stream *stream, enum tv_stream_event event, const char *who, trove_stream_state *state,
                                trove_error *error) {
    struct tvs_session *session = stream->session;
    trove_error why;
    unsigned strands = 0;
    TV_FAIL(&why, CANCELLED, "stream %llu (%s/%.200s) was cancelled by %s", (unsigned long long)stream->id, stream->bucket,
            stream->key, who);
    pthread_mutex_lock(&session->lock);
    trove_stream_state before = stream->state;
    trove_status status = TROVE_OK;
    bool told_by_control = event != TV_EVENT_CANCEL; /* a cancel is told by the status that ends the stream */
    if (told_by_control)
        status = check_outside(stream, error);
    if (status == TROVE_OK)
        status = tvs_stream_control_locked(stream, event, &why, &strands, error);
    struct tvs_control_answer *told = NULL;
    if (status == TROVE_OK && told_by_control && stream->state != before)
        told = tell_control(stream, &strands);
    if (told != NULL)
        told->event = event;
    *state = stream->state;
    pthread_mutex_unlock(&session->lock);
    tvs_stream_run(stream, strands);
    if (status == TROVE_OK)
        tvs_stream_wake(stream, TV_WANTS_CONTROL | TV_WANTS_DATA);
    return status;
}

/* What is on its way up when an upload is moved is of the old generation, and forgotten: the store goes back now. A download's
 * acknowledgements that are on their way still count; so it goes elsewhere when the answer has come, behind the last of them, and
 * sends nothing meanwhile (stream_out.c). */
trove_status tvs_stream_move(struct tvs_stream *stream, uint64_t offset, trove_stream_state *state, trove_error *error) {
    struct tvs_session *session = stream->session;
    struct tvs_control_answer *told = NULL;
    unsigned strands = 0;
    pthread_mutex_lock(&session->lock);
    trove_status status = check_outside(stream, error);
    if (status == TROVE_OK)
        status = check_move(stream, offset, error);
    if (status == TROVE_OK)
        told = tell_control(stream, &strands);
    if (told != NULL) {
        stream->move = (struct tvs_move){told->serial, offset, stream->generation + 1};
        told->is_seek = true;
        told->offset = offset;
        told->generation = stream->move.generation;
        if (stream->up.open)
            tvs_stream_seek_locked(stream, offset, stream->move.generation);
        strands |= tvs_stream_schedule(stream);
    }
    *state = stream->state;
    pthread_mutex_unlock(&session->lock);
    tvs_stream_run(stream, strands);
    if (status == TROVE_OK)
        tvs_stream_wake(stream, TV_WANTS_CONTROL | TV_WANTS_DATA);
    return status;
}

bool tvs_stream_answered_locked(struct tvs_stream *stream, const Trove__V1__State *answer, unsigned *strands) {
    const struct tvs_move move = stream->move;
    if (move.serial == 0 || answer->serial != move.serial)
        return false; /* it confirms what we know */
    stream->move.serial = 0;
    if (stream->down.open && answer->status == NULL)
        tvs_stream_seek_locked(stream, move.offset, move.generation);
    if (stream->up.open && answer->status != NULL && !stream->complete_received) {
        trove_error why;
        TV_FAIL(&why, ABORTED, "%s/%.200s was moved to byte %llu from outside, and its client can't go on there", stream->bucket,
                stream->key, (unsigned long long)move.offset);
        *strands |= tvs_stream_end_locked(stream, TV_EVENT_FAIL, &why);
    }
    return true;
}
