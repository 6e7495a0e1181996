/* stream_resume.c - see stream_resume.h: leaving a connection, coming back. */
#include "stream_resume.h"

#include "stream.h"
#include "upload_id.h"
#include "wait.h"

#include <sodium.h>
#include <string.h>

/* A stream that was attached for so long is as good as one that was never lost. */
#define STEADY_NS (UINT64_C(10) * 1000000000)
/* So long a server may take to notice that a connection was lost: until then it may do what was asked for on it. */
#define UNANSWERED_NS (UINT64_C(60) * 1000000000)

/* ---- leaving ---- */

static bool is_upload(const trove_stream *stream) {
    return tvc_stream_sends(stream);
}

/* How far it has got: what is lost when it is lost now. */
static uint64_t mark_of(const trove_stream *stream) {
    return is_upload(stream) ? stream->upload.durable_offset : stream->download.verified_bytes;
}

/* Whoever waits for the answer to a control has none to wait for. */
static void answer_controls(trove_stream *stream, const trove_error *lost) {
    for (struct tvc_control_wait *wait = stream->control_waits; wait != NULL; wait = wait->next) {
        if (wait->answered)
            continue;
        wait->answered = true;
        wait->state = stream->state;
        wait->error = *lost;
    }
    stream->seek.serial = 0;
    stream->answered_serial = stream->last_serial;
}

static void leave_table(trove_stream *stream) {
    if (!stream->entry.listed)
        return;
    tvc_client_unlist(stream->client, &stream->entry);
    tvc_stream_release(stream); /* the table's; the caller has one */
}

/* To be attached then, or later. */
static void wait_until(trove_stream *stream, uint64_t due_ns) {
    struct trove_client *client = stream->client;
    stream->resume.waiting = true;
    stream->resume.due_ns = due_ns;
    if (due_ns < client->attach_due_ns)
        client->attach_due_ns = due_ns;
}

bool tvc_resume_detach(trove_stream *stream, const trove_error *lost) {
    struct tvc_resume *resume = &stream->resume;
    uint64_t now_ns = tv_now_ns();
    if (resume->open == NULL || !stream->opened || !tvc_client_retries(stream->client))
        return false;
    if (resume->backoff.begun_ns == 0 || mark_of(stream) != resume->mark || now_ns > resume->attached_ns + STEADY_NS)
        tvc_backoff_begin(&resume->backoff, stream->client->retry_for_ms, now_ns);
    else if (now_ns > resume->backoff.until_ns)
        return false; /* it comes back, and never gets any further */
    leave_table(stream);
    answer_controls(stream, lost);
    if (is_upload(stream))
        tvc_upload_detach(stream);
    else if (!tvc_download_detach(stream))
        return true; /* there is nothing left to come */
    resume->mark = mark_of(stream);
    resume->lost = *lost;
    resume->detached = true;
    wait_until(stream, now_ns);
    pthread_cond_broadcast(&stream->changed);
    return true;
}

void tvc_resume_unanswered(trove_stream *stream) {
    if (is_upload(stream))
        stream->resume.unanswered_until_ns = tv_now_ns() + UNANSWERED_NS;
}

void tvc_resume_interrupt(trove_stream *stream) {
    tvc_resume_unanswered(stream);
    leave_table(stream);
    wait_until(stream, tv_now_ns());
}

/* Waits for the next try; false: there is none. */
static bool wait_again(trove_stream *stream) {
    uint64_t next_ns = tvc_backoff_next(&stream->resume.backoff, tv_now_ns(), randombytes_random());
    if (next_ns == TVC_BACKOFF_OVER)
        return false;
    leave_table(stream);
    wait_until(stream, next_ns);
    tvc_alarm_by(stream->client, next_ns);
    return true;
}

/* Whether the stream was fenced off by an open of its own that came late. That can't be told from another one who attached: so
 * it is believed once, and another one is fenced off in turn. */
static bool is_own_fence(trove_stream *stream, const trove_error *why) {
    struct tvc_resume *resume = &stream->resume;
    if (why->status != TROVE_ABORTED || tv_now_ns() >= resume->unanswered_until_ns)
        return false;
    resume->unanswered_until_ns = 0;
    return true;
}

bool tvc_resume_survives(trove_stream *stream, const trove_error *why, bool damaged) {
    bool comes_back = why->status == TROVE_UNAVAILABLE || damaged || is_own_fence(stream, why);
    if (!comes_back || tv_stream_state_terminal(stream->state) || !tvc_resume_detach(stream, why))
        return false;
    return !tvc_stream_detached(stream) || wait_again(stream);
}

void tvc_resume_tell_kept(const trove_stream *stream, trove_error *why) {
    char text[TROVE_ERROR_MESSAGE_BYTES];
    if (stream->resume.open == NULL || !is_upload(stream) || !stream->opened)
        return;
    if (why->status != TROVE_UNAVAILABLE && why->status != TROVE_DEADLINE_EXCEEDED && why->status != TROVE_RESOURCE_EXHAUSTED)
        return;
    memcpy(text, why->message, sizeof text);
    tv_error_set(why, why->status, "%.390s; what is durable of it is kept as upload %s", text,
                 stream->resume.ids[stream->resume.id]);
}

void tvc_resume_give_up(trove_client *client, const trove_error *lost) {
    for (;;) {
        pthread_mutex_lock(&client->lock);
        trove_stream *stream = client->streams;
        while (stream != NULL && (tv_stream_state_terminal(stream->state) || !tvc_stream_detached(stream)))
            stream = stream->next;
        if (stream != NULL) {
            tvc_stream_acquire(stream);
            tvc_stream_end(stream, TV_EVENT_FAIL, lost);
        }
        pthread_mutex_unlock(&client->lock);
        if (stream == NULL)
            return;
        tvc_stream_release(stream);
    }
}

/* ---- coming back: what is sent ---- */

static void set_range(const trove_stream *stream, Trove__V1__Open *open, Trove__V1__ByteRange *range,
                      Trove__V1__Conditions *conditions) {
    const struct tvc_download *download = &stream->download;
    trove__v1__byte_range__init(range);
    range->offset = download->range_offset + download->verified_bytes;
    range->length_given_case = TROVE__V1__BYTE_RANGE__LENGTH_GIVEN_LENGTH;
    range->length = download->size - download->verified_bytes;
    open->range = range;
    trove__v1__conditions__init(conditions);
    conditions->if_match = (char *)download->object->etag;
    if (download->object->etag[0] == '\0')
        conditions->if_generation = download->object->generation;
    open->conditions = conditions;
}

/* Of an upload: to attach to it, or to begin it once more. */
static void set_upload(const trove_stream *stream, Trove__V1__Open *open, uint8_t *id) {
    const struct tvc_resume *resume = &stream->resume;
    bool attach = !resume->begun_anew;
    open->resumable = !attach;
    open->request_id = (ProtobufCBinaryData){attach ? 0 : TROVE_REQUEST_ID_BYTES, id};
    open->upload_id = (ProtobufCBinaryData){attach ? TVC_UPLOAD_ID_RAW_BYTES : 0, id};
    if (attach) {
        tvc_upload_id_parse(resume->ids[resume->id], id);
        open->written_given_case = TROVE__V1__OPEN__WRITTEN_GIVEN_WRITTEN;
        open->written = stream->upload.next_offset;
    } else {
        randombytes_buf(id, TROVE_REQUEST_ID_BYTES);
    }
    open->demand = tvc_upload_window(stream);
}

/* One that has ended while its open was on its way: whoever ended it may have told the server too early. To be told twice does no
 * harm. */
static void tell_end(trove_stream *stream) {
    pthread_mutex_lock(&stream->client->lock);
    trove_stream_state state = stream->state;
    pthread_mutex_unlock(&stream->client->lock);
    if (state == TROVE_STREAM_CANCELLED)
        tvc_stream_send_control(stream, TROVE__V1__CONTROL_TYPE__CANCEL, 0, NULL);
    else if (state == TROVE_STREAM_FAILED)
        tvc_stream_send_control(stream, TROVE__V1__CONTROL_TYPE__FAIL, 0, &stream->error);
}

/* Sends the stream's open on the connection that there is. */
static void send_attach(trove_stream *stream) {
    struct tvc_resume *resume = &stream->resume;
    Trove__V1__ByteRange range;
    Trove__V1__Conditions conditions;
    uint8_t id[TVC_UPLOAD_ID_RAW_BYTES];
    tv_frame frame = TROVE__V1__FRAME__INIT;
    Trove__V1__Open *kept = trove__v1__open__unpack(NULL, resume->open_bytes, resume->open);
    if (kept == NULL) {
        trove_error why;
        TV_FAIL(&why, RESOURCE_EXHAUSTED, "%s/%.200s: no memory to go on after %.100s", stream->bucket, stream->key,
                resume->lost.message);
        tvc_stream_break(stream, &why);
        return;
    }
    Trove__V1__Open open = *kept;
    open.chunk_bytes = stream->chunk_bytes;
    open.channel_chunks = stream->channel_chunks;
    pthread_mutex_lock(&stream->client->lock);
    if (tv_stream_state_terminal(stream->state)) { /* it has ended meanwhile */
        pthread_mutex_unlock(&stream->client->lock);
        trove__v1__open__free_unpacked(kept, NULL);
        return;
    }
    open.movable = stream->movable && stream->state != TROVE_STREAM_COMPLETING; /* else nobody writes what would come again */
    open.was_started = stream->state == TROVE_STREAM_PAUSED;
    open.paused = resume->sent_paused = stream->state == TROVE_STREAM_IDLE || stream->state == TROVE_STREAM_PAUSED;
    if (is_upload(stream))
        set_upload(stream, &open, id);
    else
        set_range(stream, &open, &range, &conditions);
    if (!is_upload(stream))
        open.credit = tvc_download_begin_again(stream);
    pthread_mutex_unlock(&stream->client->lock);
    frame.body_case = TV_BODY(OPEN);
    frame.open = &open;
    tvc_stream_acquire(stream); /* the table's */
    if (tvc_client_begin(stream->client, &stream->entry, &frame, NULL, 0, NULL, NULL, NULL) != TROVE_OK) {
        pthread_mutex_lock(&stream->client->lock);
        wait_until(stream, tv_now_ns()); /* for the connection after this one, which is lost, unless it has ended */
        pthread_mutex_unlock(&stream->client->lock);
        tvc_stream_release(stream);
    } else {
        tell_end(stream);
    }
    trove__v1__open__free_unpacked(kept, NULL);
}

/* The next one that is to be attached now, with a reference; NULL: there is none. Under the lock. */
static trove_stream *take_waiting(trove_client *client, uint64_t now_ns) {
    uint64_t next_ns = UINT64_MAX;
    if (client->phase != TVC_READY || now_ns < client->attach_due_ns)
        return NULL;
    for (trove_stream *stream = client->streams; stream != NULL; stream = stream->next) {
        if (tv_stream_state_terminal(stream->state) || !stream->resume.waiting)
            continue;
        if (stream->resume.due_ns <= now_ns) {
            stream->resume.waiting = false;
            tvc_stream_acquire(stream);
            return stream;
        }
        if (stream->resume.due_ns < next_ns)
            next_ns = stream->resume.due_ns;
    }
    client->attach_due_ns = next_ns;
    if (next_ns != UINT64_MAX)
        tvc_alarm_by(client, next_ns);
    return NULL;
}

void tvc_resume_look(trove_client *client) {
    for (;;) {
        pthread_mutex_lock(&client->lock);
        trove_stream *stream = take_waiting(client, tv_now_ns());
        pthread_mutex_unlock(&client->lock);
        if (stream == NULL)
            return;
        send_attach(stream);
        tvc_stream_release(stream);
    }
}

/* ---- coming back: what is answered ---- */

void tvc_resume_take_complete(trove_stream *stream) {
    if (stream->state == TROVE_STREAM_IDLE)
        (void)tvc_stream_move(stream, TV_EVENT_START, NULL);
    if (stream->state == TROVE_STREAM_PAUSED)
        (void)tvc_stream_move(stream, TV_EVENT_RESUME, NULL);
    if (stream->state == TROVE_STREAM_ACTIVE)
        (void)tvc_stream_move(stream, TV_EVENT_COMPLETE, NULL);
    tvc_keep_all_stored(stream);
    stream->resume.complete = true;
}

trove_status tvc_resume_take_opened(trove_stream *stream, const Trove__V1__Opened *opened, trove_error *error) {
    struct tvc_resume *resume = &stream->resume;
    char id[TROVE_UPLOAD_ID_BYTES];
    if (opened->upload_id.len != TVC_UPLOAD_ID_RAW_BYTES)
        return TV_FAIL(error, INTERNAL, "%s/%.200s: the server has opened a resumable upload and not told its id", stream->bucket,
                       stream->key);
    tvc_upload_id_format(opened->upload_id.data, id);
    if (strcmp(id, resume->ids[resume->id]) != 0) {
        resume->id = 1 - resume->id;
        memcpy(resume->ids[resume->id], id, sizeof id);
        tvc_stream_hooks_opened(stream);
    }
    resume->epoch = opened->epoch;
    resume->survives_restart = opened->survives_restart;
    return TROVE_OK;
}

/* Whether both ends still fit together. Under the lock. */
static trove_status check_opened(const trove_stream *stream, const Trove__V1__Opened *opened, trove_error *error) {
    const struct tvc_upload *upload = &stream->upload;
    bool fits = is_upload(stream) ? opened->chunk_bytes >= stream->chunk_bytes : opened->chunk_bytes <= stream->chunk_bytes;
    if (!fits)
        return TV_FAIL(error, FAILED_PRECONDITION,
                       "%s/%.200s: the stream has chunks of %llu bytes, and the server goes on with %llu only", stream->bucket,
                       stream->key, (unsigned long long)stream->chunk_bytes, (unsigned long long)opened->chunk_bytes);
    if (!is_upload(stream) || opened->completed != NULL)
        return TROVE_OK;
    if (opened->durable_offset < upload->durable_offset)
        return TV_FAIL(error, DATA_LOSS, "%s/%.200s: %llu bytes were durable, of which the server has %llu", stream->bucket,
                       stream->key, (unsigned long long)upload->durable_offset, (unsigned long long)opened->durable_offset);
    if (opened->durable_offset > upload->next_offset)
        return TV_FAIL(error, FAILED_PRECONDITION, "%s/%.200s: the server has %llu bytes, of which only %llu were written here",
                       stream->bucket, stream->key, (unsigned long long)opened->durable_offset,
                       (unsigned long long)upload->next_offset);
    return TROVE_OK;
}

/* Under the lock; the rings to be woken. */
static trove_status come_back(trove_stream *stream, const Trove__V1__Opened *opened, unsigned *wants, trove_error *error) {
    struct tvc_resume *resume = &stream->resume;
    trove_status status = check_opened(stream, opened, error);
    if (status == TROVE_OK && is_upload(stream))
        status = tvc_resume_take_opened(stream, opened, error);
    if (status != TROVE_OK)
        return status;
    stream->stream_id = opened->stream_id;
    resume->begun_anew = false;
    if (opened->completed != NULL)
        tvc_resume_take_complete(stream);
    else if (is_upload(stream))
        *wants = tvc_upload_attach(stream, opened);
    else
        status = tvc_download_attach(stream, opened, error);
    if (status != TROVE_OK || tv_stream_state_terminal(stream->state))
        return status;
    resume->reconnects++;
    resume->attached_ns = tv_now_ns();
    resume->detached = false;
    pthread_cond_broadcast(&stream->changed);
    return TROVE_OK;
}

void tvc_resume_on_opened(trove_stream *stream, const Trove__V1__Opened *opened) {
    trove_error error;
    trove_status status = TROVE_OK;
    unsigned wants = 0;
    pthread_mutex_lock(&stream->client->lock);
    if (!tv_stream_state_terminal(stream->state))
        status = come_back(stream, opened, &wants, &error);
    /* The program started it, and nobody could tell the server. */
    bool start = stream->resume.sent_paused && stream->state == TROVE_STREAM_ACTIVE;
    uint64_t serial = start ? ++stream->last_serial : 0;
    pthread_mutex_unlock(&stream->client->lock);
    if (status != TROVE_OK) {
        tvc_stream_break(stream, &error);
        return;
    }
    if (start)
        tvc_stream_send_control(stream, TROVE__V1__CONTROL_TYPE__START, serial, NULL);
    tvc_client_wake(stream->client, &stream->flow, wants | TV_WANTS_CONTROL);
}

/* An upload that the server has no more: it can be begun once more while all of it is here. Under the lock. */
static bool begin_anew(trove_stream *stream) {
    struct tvc_resume *resume = &stream->resume;
    const struct tvc_upload *upload = &stream->upload;
    const struct tvc_chunk *first = upload->keep.again.first;
    bool whole = first != NULL ? first->wire.offset == 0 : upload->next_offset == 0;
    if (!is_upload(stream) || resume->begun_anew || upload->durable_offset > 0 || !whole)
        return false;
    resume->begun_anew = true;
    return wait_again(stream);
}

/* Whether the server may say something else a little later. "Try again" is what ABORTED says of an attach. */
static bool is_passing(trove_status status) {
    return status == TROVE_UNAVAILABLE || status == TROVE_ABORTED;
}

void tvc_resume_note_end(trove_stream *stream, const trove_error *why) {
    bool upload = stream->resume.open != NULL && is_upload(stream) && stream->opened;
    if (upload && why->status == TROVE_NOT_FOUND && !tv_stream_state_terminal(stream->state))
        stream->resume.gone = true;
}

void tvc_resume_on_status(trove_stream *stream, const trove_error *why) {
    pthread_mutex_lock(&stream->client->lock);
    bool open = !tv_stream_state_terminal(stream->state);
    bool again = open && is_passing(why->status) && wait_again(stream);
    if (!again && open && why->status == TROVE_NOT_FOUND)
        again = begin_anew(stream);
    if (!again)
        tvc_resume_note_end(stream, why);
    if (!again)
        tvc_stream_end(stream, why->status == TROVE_CANCELLED ? TV_EVENT_CANCEL : TV_EVENT_FAIL, why);
    pthread_mutex_unlock(&stream->client->lock);
}

/* ---- making durable ---- */

static void take_durable(trove_stream *stream, uint64_t durable_offset) {
    pthread_mutex_lock(&stream->client->lock);
    if (!tv_stream_state_terminal(stream->state) && !tvc_stream_detached(stream))
        tvc_upload_durable(stream, durable_offset);
    pthread_mutex_unlock(&stream->client->lock);
}

void tvc_resume_flush(trove_stream *stream, uint64_t deadline_ns) {
    struct tvc_resume *resume = &stream->resume;
    Trove__V1__UploadFlushRequest request = TROVE__V1__UPLOAD_FLUSH_REQUEST__INIT;
    uint8_t id[TVC_UPLOAD_ID_RAW_BYTES];
    ProtobufCMessage *message = NULL;
    pthread_mutex_lock(&stream->client->lock);
    tvc_upload_id_parse(resume->ids[resume->id], id);
    request.epoch = resume->epoch;
    pthread_mutex_unlock(&stream->client->lock);
    request.upload_id = (ProtobufCBinaryData){sizeof id, id};
    uint32_t left_ms = tvc_deadline_left_ms(deadline_ns);
    /* It only hastens what comes by itself: whatever fails here shows elsewhere. */
    if (left_ms == 0 || tvc_call(stream->client, "trove.v1.Uploads/Flush", &request.base,
                                 &trove__v1__upload_flush_response__descriptor, left_ms, &message, NULL) != TROVE_OK)
        return;
    take_durable(stream, ((const Trove__V1__UploadFlushResponse *)message)->durable_offset);
    tvc_answer_free(message);
}

/* ---- throwing away ---- */

void tvc_resume_discard(trove_stream *stream) {
    struct trove_client *client = stream->client;
    tv_frame frame = TROVE__V1__FRAME__INIT;
    Trove__V1__Call call = TROVE__V1__CALL__INIT;
    Trove__V1__UploadAbortRequest request = TROVE__V1__UPLOAD_ABORT_REQUEST__INIT;
    uint8_t id[TVC_UPLOAD_ID_RAW_BYTES];
    uint8_t packed[2 + sizeof id];
    pthread_mutex_lock(&client->lock);
    tvc_upload_id_parse(stream->resume.ids[stream->resume.id], id);
    frame.call_id = client->next_id++; /* nobody waits for the answer, which belongs to no call then */
    pthread_mutex_unlock(&client->lock);
    request.upload_id = (ProtobufCBinaryData){sizeof id, id};
    TV_ASSERT(trove__v1__upload_abort_request__get_packed_size(&request) <= sizeof packed);
    size_t bytes = trove__v1__upload_abort_request__pack(&request, packed);
    call.method = (char *)"trove.v1.Uploads/Abort";
    call.deadline_ms = client->call_timeout_ms;
    frame.body_case = TV_BODY(CALL);
    frame.call = &call;
    (void)!tvc_client_send(client, &frame, packed, bytes, NULL); /* else it expires */
}

/* ---- what the program sees ---- */

const char *trove_stream_upload_id(const trove_stream *stream) {
    pthread_mutex_lock(&stream->client->lock);
    const char *id = stream->resume.ids[stream->resume.id];
    pthread_mutex_unlock(&stream->client->lock);
    return id;
}

uint64_t trove_stream_durable_offset(const trove_stream *stream) {
    pthread_mutex_lock(&stream->client->lock);
    uint64_t offset = stream->resume.ids[stream->resume.id][0] != '\0' ? stream->upload.durable_offset : 0;
    pthread_mutex_unlock(&stream->client->lock);
    return offset;
}

bool trove_stream_upload_survives_restart(const trove_stream *stream) {
    pthread_mutex_lock(&stream->client->lock);
    bool survives = stream->resume.survives_restart;
    pthread_mutex_unlock(&stream->client->lock);
    return survives;
}
