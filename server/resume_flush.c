/* resume_flush.c - what of a resumable upload becomes durable on its way: flushes, and the calls that wait for one. See resume.h.
 * On the strand and on the driver's threads.
 */
#include "resume.h"

#include "stream.h"
#include "upload.h"

bool tvs_resume_flush_due_locked(const struct tvs_stream *stream) {
    const struct tvs_resume *resume = stream->resume;
    if (resume->busy || stream->commit_running)
        return false;
    bool ends = stream->complete_received && resume->flush.wanted_offset <= resume->flush.asked_offset; /* by being published */
    return !ends && tvs_flush_policy_due(&resume->flush, stream->receiver.taken_offset, tv_now_ns());
}

static void answer(struct tvs_flush_call *call, uint64_t durable_offset, const trove_error *why) {
    Trove__V1__UploadFlushResponse response = TROVE__V1__UPLOAD_FLUSH_RESPONSE__INIT;
    response.durable_offset = durable_offset;
    if (why != NULL)
        call->rpc.error = *why;
    else
        tvs_rpc_respond(&response.base, &call->rpc);
    tvs_rpc_end(&call->rpc);
    free(call);
}

/* Takes those out that wait for nothing any more. Under the lock. */
static struct tvs_flush_call *take_calls_locked(struct tvs_resume *resume, uint64_t durable_offset) {
    struct tvs_flush_call *taken = NULL;
    for (struct tvs_flush_call **at = &resume->calls; *at != NULL;) {
        struct tvs_flush_call *call = *at;
        if (call->offset > durable_offset) {
            at = &call->next;
            continue;
        }
        *at = call->next;
        call->next = taken;
        taken = call;
        resume->call_count--;
    }
    return taken;
}

static void answer_all(struct tvs_flush_call *calls, uint64_t durable_offset, const trove_error *why) {
    while (calls != NULL) {
        struct tvs_flush_call *next = calls->next;
        answer(calls, durable_offset, why);
        calls = next;
    }
}

static void on_flushed(void *context, trove_status status, const struct tvs_upload_info *info, const trove_error *error) {
    struct tvs_stream *stream = context;
    struct tvs_session *session = stream->session;
    struct tvs_resume *resume = stream->resume;
    struct tvs_flush_call *done = NULL;
    trove_error why;
    unsigned strands = 0;
    if (status != TROVE_OK)
        (void)tv_error_set(&why, status, "%s/%.200s: %s", stream->bucket, stream->key, error->message);
    pthread_mutex_lock(&session->lock);
    resume->busy = false;
    if (status == TROVE_OK) {
        resume->durable_offset = info->durable_offset;
        resume->expires_ns = info->expires_ns;
        resume->durable_due = true;
        done = take_calls_locked(resume, info->durable_offset);
    } else {
        resume->broken = true;
        strands = tvs_stream_end_locked(stream, TV_EVENT_FAIL, &why);
    }
    uint64_t durable_offset = resume->durable_offset;
    strands |= tvs_stream_schedule(stream);
    pthread_mutex_unlock(&session->lock);
    answer_all(done, durable_offset, NULL);
    tvs_stream_run(stream, strands);
    tvs_stream_wake(stream, TV_WANTS_CONTROL);
    tvs_stream_release(stream);
}

void tvs_resume_flush_begin_locked(struct tvs_stream *stream) {
    stream->resume->busy = true;
    tvs_flush_policy_ask(&stream->resume->flush, stream->receiver.taken_offset, tv_now_ns());
}

void tvs_resume_flush(struct tvs_stream *stream) {
    tvs_stream_acquire(stream); /* the flush's */
    stream->session->server->ops->put_flush(stream->put, on_flushed, stream);
}

trove_status tvs_resume_flush_call(struct tvs_stream *stream, uint64_t epoch, struct tvs_rpc *rpc, trove_error *error) {
    struct tvs_session *session = stream->session;
    struct tvs_resume *resume = stream->resume;
    struct tvs_flush_call *call = calloc(1, sizeof *call);
    if (call == NULL)
        return TV_FAIL(error, RESOURCE_EXHAUSTED, "no memory for a flush");
    unsigned strands = 0;
    pthread_mutex_lock(&session->lock);
    uint64_t durable_offset = resume->durable_offset;
    uint64_t offset = stream->receiver.taken_offset;
    bool waits = false;
    trove_status status = tvs_resume_check_epoch_locked(stream, epoch, error);
    if (status == TROVE_OK && (tv_stream_state_terminal(stream->state) || stream->commit_running))
        status = TV_FAIL(error, ABORTED, "the upload of %s/%.200s is no longer under way here; attach to it", stream->bucket,
                         stream->key);
    else if (status == TROVE_OK && resume->call_count == TVS_FLUSH_CALLS_MAX)
        status = TV_FAIL(error, RESOURCE_EXHAUSTED, "%d calls wait for a flush of this upload; wait for their answers",
                         TVS_FLUSH_CALLS_MAX);
    else if (status == TROVE_OK && offset > durable_offset)
        waits = true;
    if (waits) {
        tvs_rpc_later(rpc, &call->rpc);
        call->offset = offset;
        call->next = resume->calls;
        resume->calls = call;
        resume->call_count++;
        tvs_flush_policy_want(&resume->flush, offset);
        strands = tvs_stream_schedule(stream);
    }
    pthread_mutex_unlock(&session->lock);
    tvs_stream_run(stream, strands);
    if (waits)
        return TROVE_OK;
    free(call);
    if (status != TROVE_OK)
        return status;
    Trove__V1__UploadFlushResponse response = TROVE__V1__UPLOAD_FLUSH_RESPONSE__INIT;
    response.durable_offset = durable_offset;
    tvs_rpc_respond(&response.base, rpc);
    return TROVE_OK;
}

void tvs_resume_answer_all(struct tvs_stream *stream, uint64_t durable_offset, const trove_error *why) {
    pthread_mutex_lock(&stream->session->lock);
    struct tvs_flush_call *calls = take_calls_locked(stream->resume, UINT64_MAX);
    pthread_mutex_unlock(&stream->session->lock);
    answer_all(calls, durable_offset, why);
}
