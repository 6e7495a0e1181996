/* stream_control.c - start, pause, resume, seek, cancel, fail: from the program, and from the server. See stream.h.
 *
 * Who pauses or resumes waits for the server's word, and the state moves when it comes: so both ends order crossing controls
 * alike.
 */
#include "stream.h"

#include "wait.h"

/* ---- out ---- */

/* Whichever connection there is. */
#define ANY_CONNECTION 0

/* On the stream's connection; without one there is nobody to be told. What was decided on `connection` isn't said on another one,
 * where the stream may stand elsewhere: who waits for the answer has been told that it was lost. */
static void send_control(trove_stream *stream, uint64_t connection, Trove__V1__Control *control) {
    tv_frame frame = TROVE__V1__FRAME__INIT;
    pthread_mutex_lock(&stream->client->lock);
    bool attached = !tvc_stream_detached(stream) || !stream->resume.waiting;
    uint64_t present = stream->client->connection;
    bool same = connection == ANY_CONNECTION || connection == present;
    frame.call_id = stream->entry.node.id;
    control->epoch = tvc_stream_detached(stream) ? 0 : stream->resume.epoch;
    pthread_mutex_unlock(&stream->client->lock);
    if (!attached || !same)
        return;
    frame.body_case = TV_BODY(CONTROL);
    frame.control = control;
    (void)!tvc_client_send_on(stream->client, present, &frame, NULL); /* a lost connection ends the stream in another way */
}

static void send_simple(trove_stream *stream, uint64_t connection, Trove__V1__ControlType type, uint64_t serial,
                        const trove_error *reason) {
    Trove__V1__Control control = TROVE__V1__CONTROL__INIT;
    Trove__V1__Status status = TROVE__V1__STATUS__INIT;
    control.type = type;
    control.serial = serial;
    if (reason != NULL) {
        tv_status_to_wire(reason, &status);
        control.reason = &status;
    }
    send_control(stream, connection, &control);
}

void tvc_stream_send_control(trove_stream *stream, Trove__V1__ControlType type, uint64_t serial, const trove_error *reason) {
    send_simple(stream, ANY_CONNECTION, type, serial, reason);
}

static void send_seek(trove_stream *stream, uint64_t connection, const struct tvc_seek *seek) {
    Trove__V1__Control control = TROVE__V1__CONTROL__INIT;
    control.type = TROVE__V1__CONTROL_TYPE__SEEK;
    control.serial = seek->serial;
    control.offset = seek->offset;
    control.generation = seek->generation;
    send_control(stream, connection, &control);
}

static void send_state(trove_stream *stream, trove_stream_state state, uint64_t serial, const trove_error *refusal) {
    tv_frame frame = TROVE__V1__FRAME__INIT;
    Trove__V1__State answer = TROVE__V1__STATE__INIT;
    Trove__V1__Status status = TROVE__V1__STATUS__INIT;
    answer.state = (Trove__V1__StreamState)state;
    answer.serial = serial;
    if (refusal->status != TROVE_OK) {
        tv_status_to_wire(refusal, &status);
        answer.status = &status;
    }
    pthread_mutex_lock(&stream->client->lock);
    frame.call_id = stream->entry.node.id;
    pthread_mutex_unlock(&stream->client->lock);
    frame.body_case = TV_BODY(STATE);
    frame.state = &answer;
    (void)!tvc_client_send(stream->client, &frame, NULL, 0, NULL);
}

/* ---- in ---- */

static const trove_error cancelled_by_server = {TROVE_CANCELLED, "the stream was cancelled"};

/* Answers the thread that waits for this serial. Under the lock. */
static void answer_wait(trove_stream *stream, const Trove__V1__State *state) {
    for (struct tvc_control_wait *wait = stream->control_waits; wait != NULL; wait = wait->next) {
        if (wait->serial != state->serial)
            continue;
        wait->answered = true;
        wait->state = (trove_stream_state)state->state;
        if (state->status != NULL && state->state != TROVE__V1__STREAM_STATE__FAILED)
            tv_status_from_wire(state->status, &wait->error);
        pthread_cond_broadcast(&stream->changed);
    }
}

/* Takes over what the server says. What doesn't fit crossed a change of ours, which the server will answer in its turn. Under the
 * lock. */
static void follow(trove_stream *stream, const Trove__V1__State *state) {
    trove_error why = cancelled_by_server;
    bool refusal = state->serial != 0 && state->status != NULL;
    if (refusal && tv_stream_state_terminal((trove_stream_state)state->state))
        return; /* it came too late for a stream that has ended: why that was is what the stream's own status says */
    switch (state->state) {
    case TROVE__V1__STREAM_STATE__ACTIVE:
        if (stream->state == TROVE_STREAM_IDLE)
            (void)tvc_stream_move(stream, TV_EVENT_START, NULL);
        else if (stream->state == TROVE_STREAM_PAUSED)
            (void)tvc_stream_move(stream, TV_EVENT_RESUME, NULL);
        return;
    case TROVE__V1__STREAM_STATE__PAUSED:
        (void)tvc_stream_move(stream, TV_EVENT_PAUSE, NULL);
        return;
    case TROVE__V1__STREAM_STATE__FAILED:
        if (stream->error.status != TROVE_OK)
            why = stream->error;
        else if (state->status == NULL || tv_status_from_wire(state->status, &why) == TROVE_OK)
            TV_FAIL(&why, UNKNOWN, "%s/%.200s: the server failed the stream without saying why", stream->bucket, stream->key);
        tvc_stream_end(stream, TV_EVENT_FAIL, &why);
        return;
    case TROVE__V1__STREAM_STATE__STREAM_CANCELLED:
        if (state->status != NULL && tv_status_from_wire(state->status, &why) == TROVE_OK)
            why = cancelled_by_server;
        tvc_stream_end(stream, TV_EVENT_CANCEL, &why);
        return;
    default:
        return; /* idle, completing and completed have frames of their own */
    }
}

static uint64_t generation_of(const trove_stream *stream) {
    return tvc_stream_sends(stream) ? stream->upload.sender.generation : stream->download.receiver.generation;
}

/* The server has answered a seek: if it went well both ends go on at the same place in the order of frames. Under the lock. */
static void follow_seek(trove_stream *stream, const Trove__V1__State *state) {
    struct tvc_seek seek = stream->seek;
    if (seek.serial == 0 || state->serial != seek.serial)
        return;
    stream->seek.serial = 0;
    bool refused = state->status != NULL || tv_stream_state_terminal(stream->state);
    refused |= seek.generation != generation_of(stream) + 1; /* it was moved meanwhile, so the server can't mean it */
    if (!refused && tvc_stream_sends(stream))
        tvc_upload_seek(stream, seek.offset, seek.generation);
    else if (!refused)
        tvc_download_seek(stream, seek.offset, seek.generation);
    pthread_cond_broadcast(&stream->changed);
}

void tvc_stream_on_state(trove_stream *stream, const Trove__V1__State *state) {
    pthread_mutex_lock(&stream->client->lock);
    if (state->serial != 0) {
        stream->answered_serial = state->serial;
        answer_wait(stream, state);
        follow_seek(stream, state);
    }
    follow(stream, state);
    bool open =
        !tv_stream_state_terminal(stream->state); /* a seek that was refused has held back what was to be said, in any state */
    pthread_mutex_unlock(&stream->client->lock);
    if (open)
        tvc_client_wake(stream->client, &stream->flow, TV_WANTS_DATA | TV_WANTS_CONTROL);
}

static trove_status judge_offset(const trove_stream *stream, uint64_t offset, trove_error *error);

/* Whether the server may have it go on elsewhere: it has judged that, too, but what comes of it is the program's bytes. */
static trove_status judge_move(const trove_stream *stream, const Trove__V1__Control *control, trove_error *error) {
    if (!stream->movable)
        return TV_FAIL(error, UNIMPLEMENTED, "%s/%.200s: this program can't be moved", stream->bucket, stream->key);
    if (stream->state != TROVE_STREAM_ACTIVE && stream->state != TROVE_STREAM_PAUSED)
        return TV_FAIL(error, FAILED_PRECONDITION, "%s/%.200s: a stream that is %s can't seek", stream->bucket, stream->key,
                       trove_stream_state_name(stream->state));
    if (control->generation != generation_of(stream) + 1)
        return TV_FAIL(error, INVALID_ARGUMENT, "seek %llu, where seek %llu was the last",
                       (unsigned long long)control->generation, (unsigned long long)generation_of(stream));
    if (control->offset < stream->upload.durable_offset)
        return TV_FAIL(error, FAILED_PRECONDITION, "%s/%.200s: what is below %llu is durable", stream->bucket, stream->key,
                       (unsigned long long)stream->upload.durable_offset);
    return judge_offset(stream, control->offset, error);
}

/* The stream goes on elsewhere at once; the server knows, or will with our answer. A seek of the program's own that is under way
 * is refused by the server. Under the lock. */
static trove_status move(trove_stream *stream, const Trove__V1__Control *control, trove_error *refusal) {
    trove_status status = judge_move(stream, control, refusal);
    if (status != TROVE_OK)
        return status;
    if (tvc_stream_sends(stream))
        tvc_upload_move(stream, control->offset, control->generation);
    else
        tvc_download_seek(stream, control->offset, control->generation);
    tvc_stream_hooks_moved(stream, control->offset);
    pthread_cond_broadcast(&stream->changed);
    return TROVE_OK;
}

/* Under the lock. */
static trove_status obey(trove_stream *stream, const Trove__V1__Control *control, trove_error *refusal) {
    trove_error why = cancelled_by_server;
    switch (control->type) {
    case TROVE__V1__CONTROL_TYPE__PAUSE:
        return tvc_stream_move(stream, TV_EVENT_PAUSE, refusal);
    case TROVE__V1__CONTROL_TYPE__RESUME:
        return tvc_stream_move(stream, stream->state == TROVE_STREAM_IDLE ? TV_EVENT_START : TV_EVENT_RESUME, refusal);
    case TROVE__V1__CONTROL_TYPE__SEEK:
        return move(stream, control, refusal);
    case TROVE__V1__CONTROL_TYPE__CANCEL:
        tvc_stream_end(stream, TV_EVENT_CANCEL, &why);
        return TROVE_OK;
    case TROVE__V1__CONTROL_TYPE__FAIL:
        if (control->reason == NULL || tv_status_from_wire(control->reason, &why) == TROVE_OK)
            TV_FAIL(&why, UNKNOWN, "%s/%.200s: the server failed the stream without saying why", stream->bucket, stream->key);
        tvc_stream_end(stream, TV_EVENT_FAIL, &why);
        return TROVE_OK;
    default:
        return TV_FAIL(refusal, UNIMPLEMENTED, "a client doesn't take controls of kind %d", (int)control->type);
    }
}

void tvc_stream_on_control(trove_stream *stream, const Trove__V1__Control *control) {
    trove_error refusal = {TROVE_OK, ""};
    pthread_mutex_lock(&stream->client->lock);
    (void)!obey(stream, control, &refusal);
    trove_stream_state state = stream->state;
    pthread_mutex_unlock(&stream->client->lock);
    send_state(stream, state, control->serial, &refusal);
    if (state == TROVE_STREAM_ACTIVE)
        tvc_client_wake(stream->client, &stream->flow, TV_WANTS_DATA | TV_WANTS_CONTROL);
}

/* ---- the program's side ---- */

trove_status trove_stream_start(trove_stream *stream, trove_error *error) {
    if (stream == NULL)
        return TV_FAIL(error, INVALID_ARGUMENT, "the stream is NULL");
    pthread_mutex_lock(&stream->client->lock);
    bool idle = stream->state == TROVE_STREAM_IDLE;
    trove_status status = TROVE_OK;
    if (tv_stream_state_terminal(stream->state))
        status = tvc_stream_over(stream, error);
    else
        status = tvc_stream_move(stream, TV_EVENT_START, error);
    uint64_t serial = idle ? ++stream->last_serial : 0;
    bool told = !tvc_stream_detached(stream); /* else the server is told when it has opened the stream */
    uint64_t connection = stream->client->connection;
    pthread_mutex_unlock(&stream->client->lock);
    if (status == TROVE_OK && idle && told)
        send_simple(stream, connection, TROVE__V1__CONTROL_TYPE__START, serial, NULL);
    return status;
}

static enum tv_stream_event event_of(trove_control control) {
    switch (control) {
    case TROVE_CONTROL_PAUSE:
        return TV_EVENT_PAUSE;
    case TROVE_CONTROL_RESUME:
        return TV_EVENT_RESUME;
    default:
        return TV_EVENT_CANCEL;
    }
}

/* Whether a stream that can seek can go there. More than this the server alone knows. */
static trove_status judge_offset(const trove_stream *stream, uint64_t offset, trove_error *error) {
    const struct tvc_download *download = &stream->download;
    if (tvc_stream_sends(stream) && offset > stream->upload.next_offset)
        return TV_FAIL(error, FAILED_PRECONDITION, "%s/%.200s: an upload of which %llu bytes were written can't go on at %llu",
                       stream->bucket, stream->key, (unsigned long long)stream->upload.next_offset, (unsigned long long)offset);
    uint64_t first = download->base_offset;
    bool in_range = offset >= first && offset - download->range_offset <= download->size && offset <= TV_OFFSET_MAX;
    if (tvc_stream_receives(stream) && !in_range)
        return TV_FAIL(error, OUT_OF_RANGE, "%s/%.200s: a download of bytes %llu to %llu can't go on at %llu", stream->bucket,
                       stream->key, (unsigned long long)first, (unsigned long long)(download->range_offset + download->size),
                       (unsigned long long)offset);
    return TROVE_OK;
}

static trove_status judge_seek(const trove_stream *stream, uint64_t offset, trove_error *error) {
    trove_stream_state state = stream->state;
    if (state != TROVE_STREAM_ACTIVE && state != TROVE_STREAM_PAUSED)
        return TV_FAIL(error, FAILED_PRECONDITION, "%s/%.200s: a stream that is %s can't seek", stream->bucket, stream->key,
                       trove_stream_state_name(state));
    if (stream->direction == TROVE_DIRECTION_BIDI)
        return TV_FAIL(error, FAILED_PRECONDITION, "%s/%.200s: a two-way stream can't seek: which way would it be?",
                       stream->bucket, stream->key);
    if (stream->own_bytes)
        return TV_FAIL(error, FAILED_PRECONDITION, "%s/%.200s: the bytes are the caller's, so the stream can't seek",
                       stream->bucket, stream->key);
    if (stream->upload.digesting != NULL)
        return TV_FAIL(error, FAILED_PRECONDITION,
                       "%s/%.200s: the library computes the digest of what is written, so the stream can't seek", stream->bucket,
                       stream->key);
    if (stream->upload.finishing)
        return TV_FAIL(error, FAILED_PRECONDITION, "%s/%.200s: the stream is being completed and can't seek", stream->bucket,
                       stream->key);
    if (stream->seek.serial != 0)
        return TV_FAIL(error, FAILED_PRECONDITION, "%s/%.200s: the server has not answered the seek before this one",
                       stream->bucket, stream->key);
    return judge_offset(stream, offset, error);
}

/* Whether the state lets the control happen. */
static trove_status judge(const trove_stream *stream, trove_control control, uint64_t offset, trove_error *error) {
    trove_stream_state state = stream->state;
    if (control == TROVE_CONTROL_SEEK)
        return judge_seek(stream, offset, error);
    return tv_stream_state_apply(&state, event_of(control), error);
}

static void remove_wait(trove_stream *stream, struct tvc_control_wait *wait) {
    struct tvc_control_wait **at = &stream->control_waits;
    while (*at != wait)
        at = &(*at)->next;
    *at = wait->next;
}

/* The outcome of a control whose stream has ended before an answer came. Under the lock. */
static trove_status judge_end(const trove_stream *stream, trove_control control, struct tvc_control_wait *wait) {
    wait->state = stream->state;
    if (control == TROVE_CONTROL_CANCEL && stream->state == TROVE_STREAM_CANCELLED)
        return TROVE_OK;
    return judge(stream, control, 0, &wait->error); /* it doesn't get as far as the offset */
}

static trove_status wait_for_answer(trove_stream *stream, trove_control control, struct tvc_control_wait *wait,
                                    uint64_t deadline_ns) {
    bool in_time = true;
    pthread_mutex_lock(&stream->client->lock);
    while (!wait->answered && !tv_stream_state_terminal(stream->state) && in_time)
        in_time = tvc_stream_wait(stream, deadline_ns);
    trove_status status = wait->error.status;
    if (!wait->answered)
        status = tv_stream_state_terminal(stream->state)
                     ? judge_end(stream, control, wait)
                     : tvc_stream_late(stream, TROVE_DIRECTION_BIDI, "the server has not answered a control", &wait->error);
    remove_wait(stream, wait);
    pthread_mutex_unlock(&stream->client->lock);
    return status;
}

/* Whether the control may be sent at all. Under the lock. */
static trove_status begin_control(trove_stream *stream, trove_control control, uint64_t offset, struct tvc_control_wait *wait,
                                  trove_error *error) {
    bool alone = tvc_stream_alone(stream);
    if (tv_stream_state_terminal(stream->state) || control == TROVE_CONTROL_SEEK || alone) {
        trove_status status = judge(stream, control, offset, error);
        if (status != TROVE_OK)
            return status;
    }
    if (alone) { /* it is completing: that can only be cancelled */
        trove_error why;
        TV_FAIL(&why, CANCELLED, "%s/%.200s: the stream was cancelled", stream->bucket, stream->key);
        tvc_stream_end(stream, TV_EVENT_CANCEL, &why);
    }
    wait->serial = ++stream->last_serial;
    if (control == TROVE_CONTROL_SEEK) {
        stream->seek = (struct tvc_seek){wait->serial, offset, generation_of(stream) + 1};
    }
    if (control == TROVE_CONTROL_PAUSE)
        stream->pause_serial = wait->serial;
    wait->next = stream->control_waits;
    stream->control_waits = wait;
    return TROVE_OK;
}

/* Under the lock. */
static trove_status wait_for_connection(trove_stream *stream, uint64_t deadline_ns, trove_error *error) {
    bool in_time = true;
    while (tvc_stream_detached(stream) && !tv_stream_state_terminal(stream->state) && in_time)
        in_time = tvc_stream_wait(stream, deadline_ns);
    if (in_time || !tvc_stream_detached(stream))
        return TROVE_OK;
    return tvc_stream_late(stream, TROVE_DIRECTION_BIDI, "the stream has not got a connection again", error);
}

trove_status trove_stream_control(trove_stream *stream, trove_control control, uint64_t offset, uint32_t timeout_ms,
                                  trove_stream_state *state, trove_error *error) {
    static const Trove__V1__ControlType types[] = {
        [TROVE_CONTROL_PAUSE] = TROVE__V1__CONTROL_TYPE__PAUSE,
        [TROVE_CONTROL_RESUME] = TROVE__V1__CONTROL_TYPE__RESUME,
        [TROVE_CONTROL_CANCEL] = TROVE__V1__CONTROL_TYPE__CANCEL,
    };
    if (stream == NULL || control < TROVE_CONTROL_PAUSE || control > TROVE_CONTROL_SEEK)
        return TV_FAIL(error, INVALID_ARGUMENT, "%s", stream == NULL ? "the stream is NULL" : "no such control");
    struct tvc_control_wait wait = {.error = {TROVE_OK, ""}};
    uint64_t deadline_ns = tvc_client_deadline(stream->client, timeout_ms);
    tvc_stream_acquire(stream); /* a hook may release it meanwhile */
    pthread_mutex_lock(&stream->client->lock);
    trove_status status = wait_for_connection(stream, deadline_ns, error);
    if (status == TROVE_OK)
        status = begin_control(stream, control, offset, &wait, error);
    struct tvc_seek seek = stream->seek;
    uint64_t connection = stream->client->connection;
    pthread_mutex_unlock(&stream->client->lock);
    if (status != TROVE_OK) {
        tvc_stream_release(stream);
        return status;
    }
    if (control == TROVE_CONTROL_SEEK)
        send_seek(stream, connection, &seek);
    else
        send_simple(stream, connection, types[control], wait.serial, NULL);
    status = wait_for_answer(stream, control, &wait, deadline_ns);
    tvc_stream_release(stream);
    if (status != TROVE_OK)
        return tv_error_copy(error, &wait.error);
    if (state != NULL)
        *state = wait.state;
    return TROVE_OK;
}

void trove_stream_fail(trove_stream *stream, trove_status status, const char *reason) {
    if (stream == NULL)
        return;
    trove_error why;
    tv_error_set(&why, status == TROVE_OK ? TROVE_UNKNOWN : status, "%s",
                 reason != NULL ? reason : "the program failed the stream");
    pthread_mutex_lock(&stream->client->lock);
    bool open = !tv_stream_state_terminal(stream->state);
    /* The server may be publishing the object already: then its word decides. */
    bool confirmed = !tvc_stream_receives(stream) || stream->download.completed_told;
    bool server_decides =
        tvc_stream_sends(stream) && stream->state == TROVE_STREAM_COMPLETING && confirmed && !tvc_stream_detached(stream);
    if (open && server_decides)
        stream->error = why;
    else if (open)
        tvc_stream_end(stream, TV_EVENT_FAIL, &why);
    uint64_t serial = ++stream->last_serial;
    uint64_t connection = stream->client->connection;
    pthread_mutex_unlock(&stream->client->lock);
    if (open)
        send_simple(stream, connection, TROVE__V1__CONTROL_TYPE__FAIL, serial, &why);
}
