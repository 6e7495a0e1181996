/* client_frames.c - what the connection calls: greeting, frames for calls and streams, the end. See client.h.
 *
 * All of it runs on the receiving thread, one at a time. Frames for a call or stream that is no more are ignored: they crossed
 * its end.
 */
#include "client.h"
#include "object_info.h"
#include "stream.h"

#include <string.h>

#define IDLE_BATCH 32

/* ---- the connection ---- */

static uint64_t given_or(uint64_t given, uint64_t otherwise, uint64_t max) {
    if (given == 0)
        return otherwise;
    return given < max ? given : max;
}

static trove_status on_welcome(struct trove_client *client, const Trove__V1__Welcome *welcome, trove_error *error) {
    pthread_mutex_lock(&client->lock);
    bool second = client->phase == TVC_READY || client->phase == TVC_DRAINING; /* else it comes too late, that is all */
    pthread_mutex_unlock(&client->lock);
    if (second)
        return TV_FAIL(error, INVALID_ARGUMENT, "a second welcome");
    if (welcome->version != 1)
        return TV_FAIL(error, FAILED_PRECONDITION, "the server speaks version %u of the protocol, this client 1",
                       welcome->version);
    struct tvc_limits limits = {
        .payload_bytes_max = given_or(welcome->payload_bytes_max, TV_PAYLOAD_BYTES_DEFAULT, TV_PAYLOAD_BYTES_MAX),
        .early_data_bytes = welcome->early_data_bytes,
        .inline_bytes_max = given_or(welcome->inline_bytes_max, 0, TV_INLINE_BYTES_MAX),
        .chunk_bytes_max = given_or(welcome->chunk_bytes_max, TV_CHUNK_BYTES_MAX, TV_CHUNK_BYTES_MAX),
        .calls_max = (uint32_t)given_or(welcome->calls_max, TV_CALLS_PER_CONN_MAX, TV_CALLS_PER_CONN_MAX),
        .streams_max = (uint32_t)given_or(welcome->streams_max, TV_STREAMS_PER_CONN_MAX, TV_STREAMS_PER_CONN_MAX),
        .lossy = (welcome->features & TV_FEATURE_LOSSY) != 0,
        .two_way = (welcome->features & TV_FEATURE_BIDI) != 0,
        .resumable = (welcome->features & TV_FEATURE_RESUMABLE) != 0,
    };
    tv_conn_establish(client->conn, limits.payload_bytes_max, client->keepalive_ms,
                      (welcome->features & TV_FEATURE_HEADER_CHECKSUM) != 0);
    pthread_mutex_lock(&client->lock);
    if (client->greeting && client->phase != TVC_LOST) {
        client->greeting = false;
        client->limits = limits;
        client->reconnects += client->phase == TVC_BROKEN;
        client->phase = TVC_READY;
        atomic_store(&client->conn_shut, false);
    }
    pthread_cond_broadcast(&client->changed);
    pthread_mutex_unlock(&client->lock);
    return TROVE_OK;
}

/* Calls and streams that the server says it has not begun and won't. Under the lock. */
static void fail_not_begun(struct trove_client *client, uint64_t last_call_id) {
    for (uint32_t i = 0; i < client->calls.made; i++) {
        struct tvc_call *call = &client->calls.slots[i];
        if (!call->entry.listed || call->entry.node.id <= last_call_id)
            continue;
        call->again = true;
        tvc_call_answered(client, call, &client->lost, false, NULL, 0, NULL);
    }
    for (trove_stream *stream = client->streams; stream != NULL; stream = stream->next)
        if (stream->entry.listed && !stream->opened && stream->entry.node.id > last_call_id) {
            stream->open_again = true;
            tvc_stream_end(stream, TV_EVENT_FAIL, &client->lost);
        }
}

static void on_go_away(struct trove_client *client, const Trove__V1__GoAway *go_away) {
    trove_error reason = {TROVE_OK, ""};
    if (go_away->status != NULL)
        tv_status_from_wire(go_away->status, &reason);
    if (reason.status != TROVE_OK) {
        trove_error lost;
        TV_FAIL(&lost, UNAVAILABLE, "the server at %s has ended the connection: %s", client->url, reason.message);
        tvc_client_lose(client, false, &lost, &reason);
        tv_conn_abort(client->conn, &reason);
        return;
    }
    pthread_mutex_lock(&client->lock);
    if (client->phase == TVC_READY) {
        client->phase = TVC_DRAINING;
        TV_FAIL(&client->lost, UNAVAILABLE, "the server at %s is shutting down and takes no new calls; try again later",
                client->url);
        fail_not_begun(client, go_away->last_call_id);
        pthread_cond_broadcast(&client->changed);
    }
    pthread_mutex_unlock(&client->lock);
}

/* ---- finding whom a frame is for ---- */

/* The stream with a reference for the caller; NULL for an id that isn't one. */
static trove_stream *find_stream(struct trove_client *client, uint64_t id) {
    pthread_mutex_lock(&client->lock);
    struct tvc_entry *entry = tvc_client_find(client, id);
    trove_stream *stream = NULL;
    if (entry != NULL && entry->kind == TVC_ENTRY_STREAM) {
        stream = (trove_stream *)entry;
        tvc_stream_acquire(stream);
    }
    pthread_mutex_unlock(&client->lock);
    return stream;
}

static void on_payload(void *context, const tv_frame *frame, uint64_t payload_bytes, struct tv_sink *sink) {
    struct trove_client *client = context;
    if (frame->body_case == TV_BODY(STATUS)) {
        sink->kind = TV_SINK_MESSAGE;
        return;
    }
    if (frame->body_case != TV_BODY(CHUNK))
        return;
    trove_stream *stream = find_stream(client, frame->call_id);
    if (stream == NULL)
        return;
    if (!tvc_stream_receives(stream)) {
        tvc_stream_release(stream);
        return;
    }
    client->landing = stream;
    tvc_download_land(stream, frame, payload_bytes, sink);
}

static void on_chunk(struct trove_client *client, const tv_frame *frame, uint64_t payload_bytes) {
    trove_stream *stream = client->landing;
    client->landing = NULL;
    if (payload_bytes == 0)
        stream = find_stream(client, frame->call_id);
    if (stream == NULL)
        return;
    if (tvc_stream_receives(stream))
        tvc_download_landed(stream, frame, payload_bytes);
    tvc_stream_release(stream);
}

/* ---- calls ---- */

static void answer_with_status(struct trove_client *client, struct tvc_call *call, const tv_frame *frame, const void *payload,
                               uint64_t payload_bytes) {
    trove_error error = {TROVE_OK, ""};
    bool not_taken = tv_status_detail(frame->status, "not_taken") != NULL;
    if (tv_status_from_wire(frame->status, &error) == TROVE_OK && payload == NULL && payload_bytes > 0)
        TV_FAIL(&error, INTERNAL, "the server's answer has %llu bytes; at most %d are taken", (unsigned long long)payload_bytes,
                (int)TV_MESSAGE_BYTES_MAX);
    if (error.status == TROVE_OK && call->is_put)
        TV_FAIL(&error, INTERNAL, "the server has not said what it stored");
    tvc_call_answered(client, call, &error, not_taken, payload, payload_bytes, NULL);
}

/* True: the frame was for a call. */
static bool call_frame(struct trove_client *client, const tv_frame *frame, const void *payload, uint64_t payload_bytes) {
    trove_object_info *object = NULL;
    trove_error error = {TROVE_OK, ""};
    pthread_mutex_lock(&client->lock);
    struct tvc_entry *entry = tvc_client_find(client, frame->call_id);
    bool ours = entry != NULL && entry->kind == TVC_ENTRY_CALL;
    struct tvc_call *call = (struct tvc_call *)entry;
    if (ours && frame->body_case == TV_BODY(STATUS)) {
        answer_with_status(client, call, frame, payload, payload_bytes);
    } else if (ours && frame->body_case == TV_BODY(COMPLETED) && call->is_put) {
        if (call->kind == TVC_CALL_WAITED)
            (void)tvc_object_info_create(frame->completed->object, "", "", &object, &error);
        tvc_call_answered(client, call, &error, false, NULL, 0, object);
    } else if (ours) {
        TV_FAIL(&error, INTERNAL, "the server answered a call with a frame of kind %d", (int)frame->body_case);
        tvc_call_answered(client, call, &error, false, NULL, 0, NULL);
    }
    pthread_mutex_unlock(&client->lock);
    return ours;
}

/* ---- dispatch ---- */

static trove_status on_frame(void *context, const tv_frame *frame, const void *payload, uint64_t payload_bytes,
                             trove_error *error) {
    struct trove_client *client = context;
    switch (frame->body_case) {
    case TV_BODY(WELCOME):
        return on_welcome(client, frame->welcome, error);
    case TV_BODY(GO_AWAY):
        on_go_away(client, frame->go_away);
        return TROVE_OK;
    case TV_BODY(CHUNK):
        on_chunk(client, frame, payload_bytes);
        return TROVE_OK;
    default:
        break;
    }
    if (frame->call_id == 0 || call_frame(client, frame, payload, payload_bytes))
        return TROVE_OK;
    trove_stream *stream = find_stream(client, frame->call_id);
    if (stream != NULL) {
        tvc_stream_frame(stream, frame);
        tvc_stream_release(stream);
    }
    return TROVE_OK;
}

/* ---- the end ---- */

/* Ends one stream that can't outlive the connection; false if there is none left. */
static bool end_one_stream(struct trove_client *client, bool for_good, const trove_error *lost) {
    pthread_mutex_lock(&client->lock);
    trove_stream *stream = client->streams;
    while (stream != NULL && (tv_stream_state_terminal(stream->state) || (!for_good && !stream->entry.listed)))
        stream = stream->next; /* those that aren't listed have nothing to do with this connection */
    if (stream != NULL) {
        tvc_stream_acquire(stream);
        stream->open_again = !stream->opened;
        if (!for_good && tvc_stream_detached(stream))
            tvc_resume_interrupt(stream);
        else if (for_good || !tvc_resume_detach(stream, lost))
            tvc_stream_end(stream, lost->status == TROVE_CANCELLED ? TV_EVENT_CANCEL : TV_EVENT_FAIL, lost);
    }
    pthread_mutex_unlock(&client->lock);
    if (stream == NULL)
        return false;
    tvc_stream_release(stream);
    return true;
}

/* What was sent and can't be sent again may have been done or not. Under the lock. */
static void lose_calls(struct trove_client *client, bool for_good, const trove_error *lost) {
    trove_error unknown;
    tv_error_set(&unknown, lost->status, "%.380s; whether the server has done what it was asked for isn't known", lost->message);
    for (uint32_t i = 0; i < client->calls.made; i++) {
        struct tvc_call *call = &client->calls.slots[i];
        if (!call->entry.listed)
            continue;
        call->again = !for_good && call->reads;
        tvc_call_answered(client, call, call->reads || for_good ? lost : &unknown, false, NULL, 0, NULL);
    }
}

/* What becomes of the client without its connection. False: the connection was lost before. Under the lock. */
static bool take_loss(struct trove_client *client, bool for_good, const trove_error *lost, const trove_error *reason) {
    if (client->phase == TVC_LOST || (!for_good && (client->phase == TVC_BROKEN || client->phase == TVC_GIVEN_UP)))
        return false;
    client->lost = *lost;
    client->reason = *reason;
    if (for_good) {
        client->phase = TVC_LOST;
        tvc_pools_lost(client, lost);
    } else {
        tvc_redial_begin(client);
    }
    pthread_cond_broadcast(&client->changed);
    return true;
}

void tvc_client_lose(struct trove_client *client, bool for_good, const trove_error *lost, const trove_error *reason) {
    pthread_mutex_lock(&client->lock);
    for_good |= !tvc_client_retries(client) || client->phase == TVC_GREETING;
    (void)take_loss(client, for_good, lost, reason); /* it may be known already: what hangs on it ends here all the same */
    trove_error told = client->lost;
    lose_calls(client, told.status == TROVE_CANCELLED, &told);
    pthread_mutex_unlock(&client->lock);
    while (end_one_stream(client, for_good, &told))
        continue;
}

void tvc_client_ending(struct trove_client *client, uint64_t connection, const trove_error *why) {
    trove_error lost;
    TV_FAIL(&lost, UNAVAILABLE, "the connection to %s was lost: %s", client->url, why->message);
    pthread_mutex_lock(&client->lock);
    if (client->connection == connection)
        (void)take_loss(client, !tvc_client_retries(client) || client->phase == TVC_GREETING, &lost, why);
    pthread_mutex_unlock(&client->lock);
}

static void on_closed(void *context, const trove_error *why) {
    struct trove_client *client = context;
    if (client->landing != NULL) {
        tvc_download_unland(client->landing);
        tvc_stream_release(client->landing);
        client->landing = NULL;
    }
    trove_error lost;
    TV_FAIL(&lost, UNAVAILABLE, "the connection to %s was lost: %s", client->url, why->message);
    tvc_client_lose(client, false, &lost, why);
    pthread_mutex_lock(&client->lock);
    client->conn_closed = true;
    if (client->greeting)
        client->reason = *why;
    bool again = client->phase == TVC_BROKEN;
    pthread_cond_broadcast(&client->changed);
    pthread_mutex_unlock(&client->lock);
    if (again)
        tvc_redial_start(client);
}

static void on_secured(void *context) {
    struct trove_client *client = context;
    trove_error error;
    if (tvc_client_send_hello(client, &error) != TROVE_OK)
        tv_conn_abort(client->conn, &error);
}

const struct tv_conn_handler tvc_client_handler = {
    .payload = on_payload,
    .frame = on_frame,
    .closed = on_closed,
    .secured = on_secured,
};

/* ---- time ---- */

/* Withdraws the demand of streams that have had nothing to send for a while; up to IDLE_BATCH of them. Returns how many. */
static unsigned withdraw_idle(struct trove_client *client, uint64_t now_ns) {
    trove_stream *idle[IDLE_BATCH];
    unsigned count = 0;
    pthread_mutex_lock(&client->lock);
    for (trove_stream *stream = client->streams; stream != NULL && count < IDLE_BATCH; stream = stream->next) {
        if (!tvc_stream_sends(stream) || !tvc_upload_idle(stream, now_ns))
            continue;
        tvc_stream_acquire(stream);
        idle[count++] = stream;
    }
    pthread_mutex_unlock(&client->lock);
    for (unsigned i = 0; i < count; i++) {
        tvc_client_wake(client, &idle[i]->flow, TV_WANTS_CONTROL);
        tvc_stream_release(idle[i]);
    }
    return count;
}

static void tell_progress(struct trove_client *client, uint64_t now_ns) {
    pthread_mutex_lock(&client->lock);
    for (trove_stream *stream = client->streams; stream != NULL; stream = stream->next)
        if (!tv_stream_state_terminal(stream->state)) /* else it may be about to be freed */
            tvc_stream_hooks_tick(stream, now_ns);
    pthread_mutex_unlock(&client->lock);
}

/* A server that drains may do that for a while yet, for others; one that is used no more is left for the next one. */
static void leave_draining(struct trove_client *client) {
    pthread_mutex_lock(&client->lock);
    bool idle = client->phase == TVC_DRAINING && tvc_client_retries(client) && client->entries.count == 0;
    pthread_mutex_unlock(&client->lock);
    if (idle)
        tvc_client_leave(client, "the server is shutting down");
}

void tvc_client_tick(struct tv_timer *timer) {
    struct trove_client *client = (struct trove_client *)((char *)timer - offsetof(struct trove_client, tick));
    uint64_t now_ns = tv_now_ns();
    tvc_client_tick_connection(client, now_ns);
    leave_draining(client);
    while (withdraw_idle(client, now_ns) == IDLE_BATCH)
        continue;
    tell_progress(client, now_ns);
    tvc_alarm_look(client, now_ns);
    tvc_client_trim(client, now_ns - TVC_CACHE_IDLE_NS);
    /* Without memory to arm it the connection goes on, only its keep-alive is late until the program is closed. */
    (void)!tv_timer_arm(client->timers, timer, now_ns + UINT64_C(1000000000), NULL);
}
