/* stream_control.c - what moves a stream's state: controls of its peer, and of others from outside. See stream.h.
 *
 * The server orders them all: the state moves here, under the session's lock, and the peer is told in the same order, for answers
 * to its own controls and controls from outside go through one queue. A stream that hasn't been opened yet keeps them until it
 * is.
 */
#include "stream_control.h"

#include "download.h"
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

/* The peer is told of a control from outside, or the stream fails: it would go on as before. */
static void tell_control(struct tvs_stream *stream, enum tv_stream_event event, unsigned *strands) {
    trove_error no_memory;
    struct tvs_control_answer *told = tvs_stream_answer_add_locked(stream);
    if (told == NULL) {
        TV_FAIL(&no_memory, RESOURCE_EXHAUSTED, "no memory to tell of a control");
        *strands |= tvs_stream_end_locked(stream, TV_EVENT_FAIL, &no_memory);
        return;
    }
    stream->outside_count++;
    told->is_control = true;
    told->event = event;
    told->serial = ++stream->control_serial;
    told->state = stream->state;
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
    if (told_by_control && stream->outside_count == TVS_CONTROLS_OUTSIDE_MAX)
        status = TV_FAIL(error, RESOURCE_EXHAUSTED, "%d controls of stream %llu are on their way to its peer; try again",
                         TVS_CONTROLS_OUTSIDE_MAX, (unsigned long long)stream->id);
    else
        status = tvs_stream_control_locked(stream, event, &why, &strands, error);
    if (status == TROVE_OK && told_by_control && stream->state != before)
        tell_control(stream, event, &strands);
    *state = stream->state;
    pthread_mutex_unlock(&session->lock);
    tvs_stream_run(stream, strands);
    if (status == TROVE_OK)
        tvs_stream_wake(stream, TV_WANTS_CONTROL | TV_WANTS_DATA);
    return status;
}
