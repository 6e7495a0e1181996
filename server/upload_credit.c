/* upload_credit.c - what may come up: credit, and the memory and bandwidth behind it. See upload.h, and grant.h for how much.
 *
 * As long as nobody waits for memory a stream keeps its reservation and grants itself again what the driver has taken; when
 * somebody does, it gives back what is free and queues like everybody else.
 */
#include "upload.h"

void tvs_upload_keep_locked(struct tvs_stream *stream, uint64_t bytes) {
    TV_ASSERT(bytes <= stream->grant.reserved_bytes);
    uint64_t surplus = stream->grant.reserved_bytes - bytes;
    stream->grant.reserved_bytes = bytes;
    if (surplus > 0)
        tvs_budget_give(stream->budget, surplus);
}

void tvs_upload_trim_locked(struct tvs_stream *stream) {
    if (tvs_grant_charged(&stream->receiver) == 0) /* nothing goes on in it; what is still being stored holds its own */
        tvs_upload_drop_segment_locked(stream);
    tvs_upload_keep_locked(stream, tvs_grant_needed(&stream->grant, &stream->receiver));
}

/* More memory for the stream; false: it is waited for. */
static bool reserve_more(struct tvs_stream *stream, uint64_t bytes) {
    if (stream->up.claiming)
        return false;
    tvs_upload_trim_locked(stream); /* who waits holds nothing that it can do without, or all would wait for each other */
    tvs_stream_acquire(stream);     /* the claim's, if it has to wait */
    stream->up.claiming = !tvs_budget_take(stream->budget, &stream->up.claim, bytes);
    if (stream->up.claiming)
        return false;
    stream->grant.reserved_bytes += bytes;
    tvs_stream_release(stream);
    return true;
}

/* Whether the bandwidth allows so much more to come now; if not, the stream waits for its turn. */
static bool admit_bytes(struct tvs_stream *stream, uint64_t bytes) {
    if (!tvs_stream_take_turn_locked(stream, &stream->up, bytes))
        return false;
    tvs_grant_admit(&stream->grant, bytes);
    return true;
}

/* One step towards what the stream wants; false: no more for now. */
static bool grant_step(struct tvs_stream *stream, bool *granted) {
    uint64_t bytes = 0;
    switch (tvs_grant_next(&stream->grant, &stream->receiver, tvs_stream_limited(stream), &bytes)) {
    case TVS_GRANT_ADMIT:
        return admit_bytes(stream, bytes);
    case TVS_GRANT_RESERVE:
        return reserve_more(stream, bytes);
    case TVS_GRANT_CREDIT:
        tvs_grant_give(&stream->grant, &stream->receiver, bytes);
        stream->granted_ns = tv_now_ns();
        *granted = true;
        return true;
    case TVS_GRANT_DONE:
        break;
    }
    return false;
}

bool tvs_upload_grant_locked(struct tvs_stream *stream) {
    bool granted = false;
    bool all_came = stream->receiver.final_seen || stream->complete_received;
    if (stream->state != TROVE_STREAM_ACTIVE || !tvs_stream_begun(stream) || all_came)
        return false;
    while (grant_step(stream, &granted))
        continue;
    return granted;
}

void tvs_upload_granted(struct tvs_claim *claim) {
    struct tvs_stream *stream = (struct tvs_stream *)((char *)claim - offsetof(struct tvs_stream, up.claim));
    struct tvs_session *session = stream->session;
    pthread_mutex_lock(&session->lock);
    stream->up.claiming = false;
    stream->grant.reserved_bytes += claim->bytes;
    bool told = tvs_upload_grant_locked(stream);
    if (!told)
        tvs_upload_trim_locked(stream); /* paused or ended meanwhile */
    pthread_mutex_unlock(&session->lock);
    if (told)
        tvs_stream_wake(stream, TV_WANTS_CONTROL);
    tvs_stream_release(stream);
}

void tvs_upload_turn(struct tvs_bandwidth_waiter *waiter) {
    struct tvs_stream *stream = (struct tvs_stream *)((char *)waiter - offsetof(struct tvs_stream, up.bandwidth));
    struct tvs_session *session = stream->session;
    pthread_mutex_lock(&session->lock);
    stream->up.awaiting_turn = false;
    bool told = tvs_upload_grant_locked(stream);
    pthread_mutex_unlock(&session->lock);
    if (told)
        tvs_stream_wake(stream, TV_WANTS_CONTROL);
    tvs_stream_release(stream);
}

bool tvs_upload_expire_locked(struct tvs_stream *stream) {
    if (!tvs_grant_expire(&stream->grant, &stream->receiver))
        return false;
    tvs_upload_trim_locked(stream);
    /* Its demand stands and is not told again: it queues behind those who wait. Otherwise it would have nothing for ever. */
    (void)tvs_upload_grant_locked(stream);
    return true;
}
