/* upload_store.c - the way up's strand: the driver's put is begun, written, gone back in, published or given up. See upload.h. */
#include "upload.h"

#include "follow.h"
#include "resume.h"
#include "storage_quota.h"

#include <string.h>

/* What may be stored before the sender is told: this part of the window, and for so long. */
#define UNTOLD_PART 4
#define UNTOLD_NS   ((uint64_t)50 * 1000 * 1000)

/* All has come, and the peer of a two-way stream has all that went down: a stream that fails has published nothing. */
static bool ready_to_commit(const struct tvs_stream *stream) {
    bool delivered = !stream->down.open || stream->completed_received;
    return stream->complete_received && delivered && !stream->follower && !stream->commit_running &&
           stream->fragment_first == NULL && !stream->rewind_due && stream->state == TROVE_STREAM_COMPLETING &&
           (tv_receiver_finished(&stream->receiver) || stream->receiver.expected_index == 0);
}

bool tvs_upload_work_locked(const struct tvs_stream *stream) {
    const struct tvs_resume *resume = stream->resume;
    if (tv_stream_state_terminal(stream->state))
        return !stream->up.cleaned && (resume == NULL || !resume->busy);
    if (!stream->up.begun)
        return resume == NULL || tvs_resume_begins_locked(stream);
    return stream->rewind_due || stream->fragment_first != NULL || ready_to_commit(stream) ||
           (resume != NULL && tvs_resume_flush_due_locked(stream));
}

/* Whether the object may have so many bytes. */
static trove_status fit_quota(struct tvs_stream *stream, uint64_t bytes, trove_error *error) {
    const struct tvs_upload_id *own = stream->resume != NULL ? &stream->resume->holder.id : NULL;
    return tvs_storage_quota_check(stream->session, own, bytes, &stream->fits_bytes, error);
}

static trove_status begin_put(struct tvs_stream *stream, trove_error *error) {
    struct tvs_server *server = stream->session->server;
    trove_status status =
        server->ops->put_begin(server->driver, stream->bucket, stream->key, &stream->put_options, &stream->put, error);
    if (status != TROVE_OK)
        stream->put = NULL;
    else if (stream->feed != NULL)
        tvs_feed_open(stream->feed, server->ops, stream->put);
    return status;
}

static void begin(struct tvs_stream *stream) {
    trove_error error;
    if (stream->resume != NULL) {
        tvs_resume_begin(stream);
        return;
    }
    bool sized = stream->declared_size != TROVE_SIZE_UNKNOWN;
    trove_status status = stream->follow ? tvs_follow_join(stream, &error) : TROVE_OK;
    if (status == TROVE_OK && !stream->follower) /* what can't fit isn't even begun */
        status = fit_quota(stream, sized ? stream->declared_size : 0, &error);
    if (status == TROVE_OK && !stream->follower)
        status = begin_put(stream, &error);
    if (status != TROVE_OK) {
        tvs_stream_end(stream, TV_EVENT_FAIL, &error);
        return;
    }
    pthread_mutex_lock(&stream->session->lock);
    stream->up.begun = true;
    (void)tvs_upload_grant_locked(stream);          /* told by the opened */
    unsigned strands = tvs_stream_schedule(stream); /* the way down begins now */
    pthread_mutex_unlock(&stream->session->lock);
    tvs_stream_run(stream, strands);
    tvs_stream_wake(stream, TV_WANTS_CONTROL);
}

/* Bytes are checked against what the sender hashed before the store sees them. */
static trove_status verify(const struct tvs_stream *stream, const struct tvs_fragment *fragment, trove_error *error) {
    if (!fragment->has_checksum ||
        tv_chunk_checksum(stream->node.id, fragment->chunk_index, &fragment->data) == fragment->checksum)
        return TROVE_OK;
    return TV_FAIL(error, DATA_LOSS, "chunk %llu of %s/%s (bytes %llu to %llu) doesn't match its checksum: damaged on the way",
                   (unsigned long long)fragment->chunk_index, stream->bucket, stream->key,
                   (unsigned long long)fragment->data.offset, (unsigned long long)(fragment->data.offset + fragment->data.bytes));
}

/* The store has a fragment, or knows of a loss. */
static void taken_locked(struct tvs_stream *stream, struct tvs_fragment *fragment) {
    stream->progress_ns = tv_now_ns();
    if (fragment->generation != stream->generation) { /* a seek came meanwhile, and the store is brought back next */
        tvs_upload_give_locked(stream, fragment);
        (void)tvs_upload_grant_locked(stream); /* its memory is free */
        return;
    }
    if (fragment->lost_chunks > 0) {
        tv_receiver_gap_taken(&stream->receiver, fragment->lost_chunks, fragment->data.bytes);
        tvs_stream_count_drops_locked(stream, fragment->lost_chunks);
        tvs_upload_give_locked(stream, fragment);
        return;
    }
    tv_receiver_taken(&stream->receiver, fragment->data.bytes, fragment->ends_chunk);
    tvs_stream_count_locked(stream, fragment->data.bytes, fragment->ends_chunk, stream->progress_ns - fragment->arrived_ns);
    tvs_upload_give_locked(stream, fragment);
    if (stream->fragment_count == 0) /* all is stored: the reservation stays, the memory goes to who is next, still warm */
        tvs_upload_drop_segment_locked(stream);
    if (tvs_budget_contended(stream->budget) || stream->receiver.final_seen)
        tvs_upload_trim_locked(stream);
    (void)tvs_upload_grant_locked(stream); /* the acknowledgement tells it */
}

/* Whether it is time to acknowledge. While more lies here already, which the strand comes to next, acknowledgements are gathered
 * up to a quarter of the window: each one costs both ends as much as a small chunk, and three quarters keep the sender busy. A
 * slow store's sender is told all the same, or it would think that nothing moves. Not for lossy streams: the sooner their sender
 * knows, the less it drops. */
static bool ack_due_locked(struct tvs_stream *stream, uint64_t bytes) {
    stream->untold_bytes += bytes;
    bool more = stream->fragment_first != NULL && !stream->lossy;
    if (more && stream->untold_bytes < stream->grant.window_bytes / UNTOLD_PART &&
        stream->progress_ns < stream->told_ns + UNTOLD_NS)
        return false;
    stream->untold_bytes = 0;
    stream->told_ns = stream->progress_ns; /* now */
    return true;
}

/* *in_store: where it failed, the store has a part in it. */
static trove_status store_fragment(struct tvs_stream *stream, struct tvs_fragment *fragment, bool *in_store, trove_error *error) {
    const struct tvs_driver_ops *ops = stream->session->server->ops;
    uint64_t end = fragment->data.offset + fragment->data.bytes;
    trove_status status = end > stream->fits_bytes ? fit_quota(stream, end, error) : TROVE_OK;
    *in_store = status == TROVE_OK;
    if (status != TROVE_OK)
        return status;
    if (fragment->lost_chunks > 0)
        return ops->put_gap(stream->put, fragment->data.offset, fragment->data.bytes, error);
    if (fragment->data.bytes > 0)
        status = ops->put_write(stream->put, &fragment->data, error);
    if (status == TROVE_OK && stream->feed != NULL)
        tvs_feed_grow(stream->feed, end);
    return status;
}

static void write_fragment(struct tvs_stream *stream, struct tvs_fragment *fragment) {
    struct tvs_session *session = stream->session;
    uint64_t bytes = fragment->data.bytes;
    bool due = false, in_store = false;
    trove_error error;
    trove_status status = fragment->lost_chunks == 0 ? verify(stream, fragment, &error) : TROVE_OK;
    bool damaged = status != TROVE_OK;
    if (!damaged)
        status = store_fragment(stream, fragment, &in_store, &error);
    pthread_mutex_lock(&session->lock);
    stream->storing_segments = 0;
    stream->grant.storing_bytes = 0;
    if (status == TROVE_OK) {
        taken_locked(stream, fragment);
        due = ack_due_locked(stream, bytes);
    } else {
        tvs_upload_give_locked(stream, fragment);
        stream->damaged = damaged;
        if (stream->resume != NULL && in_store)
            stream->resume->broken = true;
    }
    pthread_mutex_unlock(&session->lock);
    if (status != TROVE_OK)
        tvs_stream_end(stream, TV_EVENT_FAIL, &error);
    else if (due)
        tvs_stream_wake(stream, TV_WANTS_CONTROL);
}

static void rewind_store(struct tvs_stream *stream, uint64_t offset) {
    trove_error error;
    if (stream->session->server->ops->put_rewind(stream->put, offset, &error) != TROVE_OK)
        tvs_stream_end(stream, TV_EVENT_FAIL, &error);
}

/* What a driver says of a commit may name the object, or not. */
static void name_object(const struct tvs_stream *stream, const trove_error *error, trove_error *why) {
    char name[TV_BUCKET_BYTES_MAX + 1 + 200 + 1];
    snprintf(name, sizeof name, "%s/%.200s", stream->bucket, stream->key);
    if (strstr(error->message, name) != NULL)
        (void)tv_error_copy(why, error);
    else
        (void)tv_error_set(why, error->status, "storing %s: %s", name, error->message);
}

/* On a thread of the driver's. */
static void on_committed(void *context, trove_status status, const struct tvs_object *object, const trove_error *error) {
    struct tvs_stream *stream = context;
    struct tvs_session *session = stream->session;
    struct tvs_object copy = {0};
    struct tvs_wire_gaps gaps = {0};
    trove_error why = {TROVE_OK, ""};
    if (status != TROVE_OK)
        name_object(stream, error, &why);
    else if (tvs_object_copy(&copy, object, &why) == TROVE_OK && tvs_wire_gaps_init(&gaps, object, &why) != TROVE_OK)
        tvs_object_fini(&copy);
    pthread_mutex_lock(&session->lock);
    stream->commit_running = false;
    unsigned strands = 0;
    if (why.status == TROVE_OK) {
        stream->published = copy;
        stream->published_gaps = gaps;
        stream->completed_due = true;
        strands = tvs_stream_end_locked(stream, TV_EVENT_COMPLETED, NULL);
    } else {
        strands = tvs_stream_end_locked(stream, TV_EVENT_FAIL, &why);
    }
    pthread_mutex_unlock(&session->lock);
    tvs_stream_run(stream, strands);
    tvs_stream_wake(stream, TV_WANTS_CONTROL);
    tvs_stream_release(stream);
}

static trove_status check_size(const struct tvs_stream *stream, trove_error *error) {
    uint64_t size = stream->receiver.taken_offset;
    uint64_t said = stream->complete_size != size ? stream->complete_size : stream->declared_size;
    if (said != size && (stream->complete_size != size || stream->declared_size != TROVE_SIZE_UNKNOWN))
        return TV_FAIL(error, INVALID_ARGUMENT, "%s/%.200s: %llu bytes were announced, but %llu came", stream->bucket,
                       stream->key, (unsigned long long)said, (unsigned long long)size);
    if (stream->complete_chunks != stream->receiver.expected_index)
        return TV_FAIL(error, INVALID_ARGUMENT, "%s/%.200s: %llu chunks were announced, but %llu came", stream->bucket,
                       stream->key, (unsigned long long)stream->complete_chunks,
                       (unsigned long long)stream->receiver.expected_index);
    return TROVE_OK;
}

static trove_status expect_digest(const struct tvs_stream *stream, trove_error *error) {
    if (stream->complete_digest.kind == TVS_DIGEST_NONE)
        return TROVE_OK;
    return stream->session->server->ops->put_expect(stream->put, &stream->complete_digest, error);
}

static void commit(struct tvs_stream *stream) {
    trove_error error;
    if (check_size(stream, &error) != TROVE_OK || expect_digest(stream, &error) != TROVE_OK ||
        tvs_session_may(stream->session, TVS_RIGHT_WRITE, stream->bucket, stream->key, &error) != TROVE_OK ||
        fit_quota(stream, stream->receiver.taken_offset, &error) != TROVE_OK) {
        tvs_stream_end(stream, TV_EVENT_FAIL, &error);
        return;
    }
    pthread_mutex_lock(&stream->session->lock);
    bool go = !tv_stream_state_terminal(stream->state);
    stream->commit_running = go;
    pthread_mutex_unlock(&stream->session->lock);
    if (!go)
        return; /* cancelled meanwhile; the next step cleans up */
    if (stream->feed != NULL)
        tvs_feed_close(stream->feed);
    struct tvs_put *put = stream->put;
    stream->put = NULL;
    tvs_stream_acquire(stream);
    stream->session->server->ops->put_commit(put, stream->complete_etag[0] != '\0' ? stream->complete_etag : NULL, on_committed,
                                             stream);
}

/* The stream has ended: nothing of it stays, but what is durable of a resumable upload. */
static void clean(struct tvs_stream *stream) {
    struct tvs_session *session = stream->session;
    bool writes_for_others = stream->feed != NULL && !stream->follower;
    if (stream->resume != NULL && tvs_resume_park(stream))
        return; /* it comes again */
    tvs_stream_log_end(stream);
    if (writes_for_others)
        tvs_feed_close(stream->feed);
    session->server->ops->put_abort(stream->put);
    stream->put = NULL;
    if (writes_for_others)
        tvs_follow_settle(stream);
    if (stream->resume != NULL)
        tvs_resume_leave(stream);
    pthread_mutex_lock(&session->lock);
    tvs_upload_drop_locked(stream);
    tvs_upload_drop_segment_locked(stream);
    /* A payload that is still coming in keeps its segments until it has, or the connection ends: then the last reference gives
     * this back. */
    tvs_upload_keep_locked(stream, stream->landing_segments * TV_SEGMENT_BYTES);
    stream->up.cleaned = true;
    pthread_mutex_unlock(&session->lock);
}

void tvs_upload_step(struct tvs_stream *stream) {
    struct tvs_session *session = stream->session;
    struct tvs_fragment *fragment = NULL;
    pthread_mutex_lock(&session->lock);
    bool ended = tv_stream_state_terminal(stream->state);
    bool begun = stream->up.begun;
    bool rewinding = !ended && begun && stream->rewind_due;
    uint64_t rewind_offset = stream->rewind_offset;
    stream->rewind_due &= !rewinding;
    bool flushing = !ended && begun && !rewinding && stream->resume != NULL && tvs_resume_flush_due_locked(stream);
    if (flushing)
        tvs_resume_flush_begin_locked(stream);
    if (!ended && begun && !rewinding && !flushing && stream->fragment_first != NULL) {
        fragment = stream->fragment_first;
        stream->fragment_first = fragment->next;
        if (stream->fragment_first == NULL)
            stream->fragment_last = NULL;
        stream->fragment_count--;
        stream->storing_segments = fragment->segment_count;
    }
    bool committing = !ended && begun && !rewinding && !flushing && fragment == NULL && ready_to_commit(stream);
    pthread_mutex_unlock(&session->lock);
    if (ended)
        clean(stream);
    else if (!begun)
        begin(stream);
    else if (rewinding)
        rewind_store(stream, rewind_offset);
    else if (flushing)
        tvs_resume_flush(stream);
    else if (fragment != NULL)
        write_fragment(stream, fragment);
    else if (committing)
        commit(stream);
}

void tvs_upload_fini(struct tvs_stream *stream) {
    TV_ASSERT(stream->fragment_first == NULL);
    if (stream->grant.reserved_bytes > 0) /* granted, or a payload still coming in, when the strand had cleaned up */
        tvs_budget_give(stream->budget, stream->grant.reserved_bytes);
}
