/* resume.c - see resume.h; what becomes durable on the way is in resume_flush.c. On the strand and on the driver's threads,
 * unless it says otherwise. */
#include "resume.h"

#include "storage_quota.h"
#include "stream.h"
#include "upload.h"

#include <string.h>

/* How long an older holder's call in the store is waited for. */
#define FENCE_NS (5 * UINT64_C(1000000000))

/* ---- opening ---- */

static trove_status check_kind(const Trove__V1__Open *open, trove_error *error) {
    if (open->direction != TROVE__V1__DIRECTION__UPLOAD)
        return TV_FAIL(error, INVALID_ARGUMENT, "only an upload can be resumable: not a download, nor a two-way stream");
    if (open->lossy)
        return TV_FAIL(error, INVALID_ARGUMENT, "a stream can't be both lossy and resumable");
    if (open->upload_id.len > 0 && open->upload_id.len != TVS_UPLOAD_ID_BYTES)
        return TV_FAIL(error, INVALID_ARGUMENT, "an upload id of %zu bytes; they have %d", open->upload_id.len,
                       TVS_UPLOAD_ID_BYTES);
    if (open->upload_id.len == 0 && open->request_id.len != TVS_REQUEST_ID_BYTES)
        return TV_FAIL(error, INVALID_ARGUMENT, "a request id of %zu bytes; a resumable upload needs one of %d random bytes",
                       open->request_id.len, TVS_REQUEST_ID_BYTES);
    if (open->keep_bytes != 0 && open->keep_bytes < TVS_KEEP_BYTES_MIN)
        return TV_FAIL(error, INVALID_ARGUMENT, "keep_bytes %llu; at least %llu are needed, or 0 for all",
                       (unsigned long long)open->keep_bytes, (unsigned long long)TVS_KEEP_BYTES_MIN);
    return TROVE_OK;
}

trove_status tvs_resume_create(struct tvs_server *server, const Trove__V1__Open *open, struct tvs_resume **resume,
                               trove_error *error) {
    *resume = NULL;
    if (!open->resumable && open->upload_id.len == 0)
        return TROVE_OK;
    trove_status status = check_kind(open, error);
    if (status != TROVE_OK)
        return status;
    if (!(server->ops->capabilities & TVS_CAP_RESUMABLE))
        return TV_FAIL(error, UNIMPLEMENTED, "the store %s:// has no resumable uploads; open the stream without",
                       server->ops->scheme);
    struct tvs_resume *made = calloc(1, sizeof *made);
    if (made == NULL)
        return TV_FAIL(error, RESOURCE_EXHAUSTED, "no memory for a stream");
    made->attaches = open->upload_id.len > 0;
    made->keep_bytes = open->keep_bytes;
    made->written = open->written_given_case == TROVE__V1__OPEN__WRITTEN_GIVEN_WRITTEN ? open->written : UINT64_MAX;
    if (made->attaches)
        memcpy(made->holder.id.bytes, open->upload_id.data, TVS_UPLOAD_ID_BYTES);
    else
        memcpy(made->request_id, open->request_id.data, TVS_REQUEST_ID_BYTES);
    *resume = made;
    return TROVE_OK;
}

/* ---- asking the store for it ---- */

bool tvs_resume_begins_locked(const struct tvs_stream *stream) {
    const struct tvs_resume *resume = stream->resume;
    return resume->phase == TVS_RESUME_ASK || resume->phase == TVS_RESUME_OPEN;
}

/* It was complete before: its result is all that there is to tell. Returns as schedule does. */
static unsigned tell_result_locked(struct tvs_stream *stream, const struct tvs_object *result) {
    enum tv_stream_event start = stream->state == TROVE_STREAM_IDLE ? TV_EVENT_START : TV_EVENT_RESUME;
    stream->published = *result;
    stream->completed_due = true;
    if (stream->state != TROVE_STREAM_COMPLETING) {
        trove_status status = tv_stream_state_apply(&stream->state, start, NULL);
        if (status == TROVE_OK)
            status = tv_stream_state_apply(&stream->state, TV_EVENT_COMPLETE, NULL);
        TV_ASSERT(status == TROVE_OK);
    }
    return tvs_stream_end_locked(stream, TV_EVENT_COMPLETED, NULL);
}

static void learn_locked(struct tvs_resume *resume, const struct tvs_upload_info *info) {
    resume->holder.id = info->id;
    resume->holder.epoch = info->epoch;
    resume->durable_offset = info->durable_offset;
    resume->expires_ns = info->expires_ns;
    resume->wait_ends_ns = tv_now_ns() + FENCE_NS;
    resume->phase = info->result != NULL ? TVS_RESUME_OVER : TVS_RESUME_OPEN;
}

static void on_attached(void *context, trove_status status, const struct tvs_upload_info *info, const trove_error *error) {
    struct tvs_stream *stream = context;
    struct tvs_session *session = stream->session;
    struct tvs_resume *resume = stream->resume;
    struct tvs_object result = {0};
    trove_error why = {TROVE_OK, ""};
    if (status != TROVE_OK)
        (void)tv_error_set(&why, status, "%s/%.200s: %s", stream->bucket, stream->key, error->message);
    bool is_over = status == TROVE_OK && info->result != NULL;
    if (is_over)
        status = tvs_object_copy(&result, info->result, &why);
    unsigned strands = 0;
    pthread_mutex_lock(&session->lock);
    resume->busy = false;
    if (info != NULL) {
        learn_locked(resume, info);
        stream->declared_size = info->size_hint;
    }
    bool live = !tv_stream_state_terminal(stream->state);
    if (status != TROVE_OK)
        strands = tvs_stream_end_locked(stream, TV_EVENT_FAIL, &why);
    else if (is_over && live)
        strands = tell_result_locked(stream, &result);
    strands |= tvs_stream_schedule(stream);
    pthread_mutex_unlock(&session->lock);
    if (is_over && !live)
        tvs_object_fini(&result);
    tvs_stream_run(stream, strands);
    tvs_stream_wake(stream, TV_WANTS_CONTROL);
    tvs_stream_release(stream);
}

/* What the upload was begun for is what this stream is for: asked before anybody is fenced for a mistake. */
struct wanted {
    const struct tvs_stream *stream;
    trove_error *error;
};

static bool compare(void *context, const struct tvs_upload_info *info) {
    const struct wanted *wanted = context;
    const struct tvs_stream *stream = wanted->stream;
    uint64_t size = stream->put_options.size_hint;
    if (strcmp(info->bucket, stream->bucket) != 0 || strcmp(info->key, stream->key) != 0)
        (void)TV_FAIL(wanted->error, INVALID_ARGUMENT, "this upload isn't of %s/%.200s but of %s/%.200s", stream->bucket,
                      stream->key, info->bucket, info->key);
    else if (size != TROVE_SIZE_UNKNOWN && size != info->size_hint)
        (void)TV_FAIL(wanted->error, INVALID_ARGUMENT, "%s/%.200s: this upload was begun with another size than %llu",
                      stream->bucket, stream->key, (unsigned long long)size);
    else if (info->result == NULL && info->durable_offset > stream->resume->written)
        (void)TV_FAIL(wanted->error, FAILED_PRECONDITION,
                      "%s/%.200s: the server has %llu bytes, of which only %llu were written by who comes back", stream->bucket,
                      stream->key, (unsigned long long)info->durable_offset, (unsigned long long)stream->resume->written);
    return true;
}

static trove_status check_upload(struct tvs_stream *stream, trove_error *error) {
    struct tvs_server *server = stream->session->server;
    trove_error different = {TROVE_OK, ""};
    struct wanted wanted = {stream, &different};
    trove_status status = server->ops->upload_stat(server->driver, &stream->resume->holder.id, stream->session->principal.name,
                                                   compare, &wanted, error);
    return status == TROVE_OK && different.status != TROVE_OK ? tv_error_copy(error, &different) : status;
}

static void ask(struct tvs_stream *stream) {
    struct tvs_session *session = stream->session;
    struct tvs_server *server = session->server;
    struct tvs_resume *resume = stream->resume;
    trove_error error;
    if (resume->attaches && check_upload(stream, &error) != TROVE_OK) {
        tvs_stream_end(stream, TV_EVENT_FAIL, &error);
        return;
    }
    pthread_mutex_lock(&session->lock);
    bool go = !tv_stream_state_terminal(stream->state);
    if (go) {
        resume->phase = TVS_RESUME_ASKED;
        resume->busy = true;
    }
    pthread_mutex_unlock(&session->lock);
    if (!go)
        return;
    tvs_stream_acquire(stream); /* the question's */
    if (resume->attaches) {
        server->ops->upload_attach(server->driver, &resume->holder.id, session->principal.name, on_attached, stream);
        return;
    }
    struct tvs_upload_options options = {
        .put = stream->put_options,
        .principal = session->principal.name,
        .idle_ns = (uint64_t)server->options.uploads_idle_ms * 1000000,
        .keep_ns = (uint64_t)server->options.uploads_keep_ms * 1000000,
    };
    memcpy(options.request_id, resume->request_id, sizeof options.request_id);
    server->ops->upload_begin(server->driver, stream->bucket, stream->key, &options, on_attached, stream);
}

/* ---- those before ---- */

static void fence(struct tvs_stream *older, uint64_t epoch) {
    struct tvs_session *session = older->session;
    trove_error why;
    TV_FAIL(&why, ABORTED, "the upload of %s/%.200s was attached elsewhere (epoch %llu)", older->bucket, older->key,
            (unsigned long long)epoch);
    pthread_mutex_lock(&session->lock);
    older->resume->fenced = true;
    unsigned strands = tvs_stream_end_locked(older, TV_EVENT_FAIL, &why);
    pthread_mutex_unlock(&session->lock);
    tvs_stream_run(older, strands);
    tvs_stream_wake(older, TV_WANTS_CONTROL);
}

static void fence_older(struct tvs_stream *stream) {
    struct tvs_holders *holders = &stream->session->server->holders;
    struct tvs_holder *own = &stream->resume->holder;
    if (!own->here) { /* only this strand puts it there and takes it away */
        own->stream = stream;
        tvs_holders_add(holders, own);
    }
    uint64_t below = own->epoch;
    for (struct tvs_stream *older; (older = tvs_holders_find(holders, &own->id, below)) != NULL;) {
        below = older->resume->holder.epoch;
        fence(older, own->epoch);
        tvs_stream_release(older);
    }
}

/* An older holder has let go: whoever waits for that tries again. */
static void call_waiting(struct tvs_stream *stream) {
    struct tvs_holders *holders = &stream->session->server->holders;
    uint64_t below = UINT64_MAX;
    for (struct tvs_stream *other; (other = tvs_holders_find(holders, &stream->resume->holder.id, below)) != NULL;) {
        struct tvs_session *session = other->session;
        below = other->resume->holder.epoch;
        pthread_mutex_lock(&session->lock);
        other->resume->again = true;
        if (other->resume->phase == TVS_RESUME_WAIT)
            other->resume->phase = TVS_RESUME_OPEN;
        unsigned strands = tvs_stream_schedule(other);
        pthread_mutex_unlock(&session->lock);
        tvs_stream_run(other, strands);
        tvs_stream_release(other);
    }
}

/* ---- the put ---- */

/* What can't fit isn't begun, and nothing of it is left behind; what is durable already stays. */
static trove_status check_quota(struct tvs_stream *stream, trove_error *error) {
    struct tvs_session *session = stream->session;
    struct tvs_resume *resume = stream->resume;
    bool sized = stream->declared_size != TROVE_SIZE_UNKNOWN;
    trove_status status = tvs_storage_quota_check(
        session, &resume->holder.id, sized ? stream->declared_size : resume->durable_offset, &stream->fits_bytes, error);
    if (status == TROVE_RESOURCE_EXHAUSTED && resume->durable_offset == 0) {
        pthread_mutex_lock(&session->lock);
        resume->given_up = true;
        pthread_mutex_unlock(&session->lock);
    }
    return status;
}

static trove_status open_put(struct tvs_stream *stream, trove_error *error) {
    struct tvs_server *server = stream->session->server;
    const struct tvs_holder *holder = &stream->resume->holder;
    const struct tvs_declared_digest *digest = stream->put_options.digest;
    trove_status status = check_quota(stream, error);
    if (status != TROVE_OK)
        return status;
    status = server->ops->upload_open(server->driver, &holder->id, holder->epoch, &stream->put, error);
    if (status != TROVE_OK)
        stream->put = NULL;
    else if (digest != NULL)
        status = server->ops->put_expect(stream->put, digest, error);
    return status;
}

/* Under the lock. */
static void go_on_locked(struct tvs_stream *stream) {
    struct tvs_resume *resume = stream->resume;
    resume->phase = TVS_RESUME_HELD;
    resume->first_offset = resume->durable_offset;
    tvs_flush_policy_init(&resume->flush, resume->keep_bytes, resume->durable_offset, tv_now_ns());
    tv_receiver_init(&stream->receiver, resume->durable_offset, stream->chunk_bytes,
                     tv_conn_payload_bytes_max(stream->session->conn));
    stream->up.begun = true;
    (void)tvs_upload_grant_locked(stream); /* told by the opened */
}

static void open_upload(struct tvs_stream *stream) {
    struct tvs_session *session = stream->session;
    struct tvs_resume *resume = stream->resume;
    trove_error error;
    pthread_mutex_lock(&session->lock);
    resume->again = false;
    pthread_mutex_unlock(&session->lock);
    fence_older(stream);
    trove_status status = open_put(stream, &error);
    pthread_mutex_lock(&session->lock);
    if (status == TROVE_UNAVAILABLE && !resume->again)
        resume->phase = TVS_RESUME_WAIT;
    else if (status == TROVE_OK && !tv_stream_state_terminal(stream->state))
        go_on_locked(stream);
    pthread_mutex_unlock(&session->lock);
    if (status != TROVE_OK && status != TROVE_UNAVAILABLE)
        tvs_stream_end(stream, TV_EVENT_FAIL, &error);
    else if (status == TROVE_OK)
        tvs_stream_wake(stream, TV_WANTS_CONTROL);
}

void tvs_resume_begin(struct tvs_stream *stream) {
    pthread_mutex_lock(&stream->session->lock);
    enum tvs_resume_phase phase = stream->resume->phase;
    pthread_mutex_unlock(&stream->session->lock);
    if (phase == TVS_RESUME_ASK)
        ask(stream);
    else if (phase == TVS_RESUME_OPEN)
        open_upload(stream);
}

/* ---- epochs and offsets ---- */

trove_status tvs_resume_check_epoch_locked(const struct tvs_stream *stream, uint64_t epoch, trove_error *error) {
    const struct tvs_resume *resume = stream->resume;
    if (resume == NULL || epoch == resume->holder.epoch)
        return TROVE_OK;
    return TV_FAIL(error, ABORTED, "epoch %llu of the upload of %s/%.200s, where %llu is the present one",
                   (unsigned long long)epoch, stream->bucket, stream->key, (unsigned long long)resume->holder.epoch);
}

uint64_t tvs_resume_least_offset_locked(const struct tvs_stream *stream) {
    return stream->resume != NULL ? stream->resume->flush.asked_offset : 0;
}

/* ---- the end ---- */

bool tvs_resume_park(struct tvs_stream *stream) {
    struct tvs_session *session = stream->session;
    struct tvs_resume *resume = stream->resume;
    pthread_mutex_lock(&session->lock);
    bool useful =
        stream->put != NULL && resume->phase == TVS_RESUME_HELD && stream->receiver.taken_offset > resume->flush.asked_offset;
    /* What a seek went back from must not become durable. */
    bool allowed = !resume->parked && !resume->fenced && !resume->broken && !resume->given_up && !stream->rewind_due;
    resume->parked = true;
    if (useful && allowed)
        tvs_resume_flush_begin_locked(stream);
    pthread_mutex_unlock(&session->lock);
    if (!useful || !allowed)
        return false;
    tvs_resume_flush(stream);
    return true;
}

static void on_aborted(void *context, trove_status status, const struct tvs_upload_info *info, const trove_error *error) {
    struct tvs_stream *stream = context;
    (void)info;
    if (status != TROVE_OK) {
        struct tvs_log_line line;
        tvs_log_begin(&line, TVS_LOG_WARN, "a cancelled upload couldn't be removed; it will expire");
        tvs_log_text(&line, "bucket", stream->bucket);
        tvs_log_text(&line, "key", stream->key);
        tvs_log_error(&line, error);
        tvs_log_end(&line);
    }
    tvs_stream_release(stream);
}

void tvs_resume_leave(struct tvs_stream *stream) {
    struct tvs_session *session = stream->session;
    struct tvs_server *server = session->server;
    struct tvs_resume *resume = stream->resume;
    pthread_mutex_lock(&session->lock);
    bool removes = resume->given_up && !resume->fenced && resume->phase != TVS_RESUME_ASK && resume->phase != TVS_RESUME_ASKED &&
                   resume->phase != TVS_RESUME_OVER;
    bool completed = stream->state == TROVE_STREAM_COMPLETED;
    uint64_t size = completed ? stream->published.size : 0;
    trove_error why = stream->failure;
    pthread_mutex_unlock(&session->lock);
    tvs_resume_answer_all(stream, size, completed ? NULL : &why);
    if (removes) {
        tvs_stream_acquire(stream); /* the removal's */
        server->ops->upload_abort(server->driver, &resume->holder.id, session->principal.name, on_aborted, stream);
    }
    tvs_holders_remove(&server->holders, &resume->holder);
    if (resume->holder.epoch != 0)
        call_waiting(stream);
    tvs_server_calmed(server);
}

unsigned tvs_resume_tick_locked(struct tvs_stream *stream, uint64_t now_ns) {
    struct tvs_resume *resume = stream->resume;
    trove_error why;
    if (resume->phase != TVS_RESUME_WAIT)
        return tvs_stream_schedule(stream); /* a flush may be due */
    if (now_ns < resume->wait_ends_ns) {
        resume->phase = TVS_RESUME_OPEN;
        return tvs_stream_schedule(stream);
    }
    TV_FAIL(&why, ABORTED, "%s/%.200s: who held this upload before is still writing to the store; try again", stream->bucket,
            stream->key);
    return tvs_stream_end_locked(stream, TV_EVENT_FAIL, &why);
}

void tvs_resume_drain(struct tvs_stream *stream) {
    struct tvs_session *session = stream->session;
    trove_error why;
    TV_FAIL(&why, UNAVAILABLE, "the server is shutting down; attach to the upload of %s/%.200s at the next one", stream->bucket,
            stream->key);
    pthread_mutex_lock(&session->lock);
    unsigned strands = stream->complete_received ? 0 : tvs_stream_end_locked(stream, TV_EVENT_FAIL, &why);
    pthread_mutex_unlock(&session->lock);
    tvs_stream_run(stream, strands);
    tvs_stream_wake(stream, TV_WANTS_CONTROL);
}
