/* upload.c - chunks come up: memory for what comes, and its order. See upload.h.
 *
 * A stream's payloads are laid end to end in segments of the pool; upload_credit.c sees to it that there is memory for what may
 * come.
 */
#include "upload.h"

#include "follow.h"
#include "resume.h"

#include <string.h>

/* Used ones that a connection keeps, for its streams' next chunks: as many as come in while the store takes what came before. */
#define FREE_FRAGMENTS_MAX 256

/* ---- fragments; under the session's lock ---- */

static struct tvs_fragment *take_fragment(struct tvs_session *session) {
    struct tvs_fragment *fragment = session->free_fragments;
    if (fragment != NULL) {
        session->free_fragments = fragment->next;
        session->free_fragment_count--;
    } else {
        fragment = malloc(sizeof *fragment);
    }
    if (fragment == NULL)
        return NULL;
    fragment->next = NULL;
    fragment->segment_count = 0;
    fragment->lost_chunks = 0;
    fragment->generation = 0;
    fragment->data.iov_count = 0;
    fragment->data.piece_count = 0;
    return fragment;
}

void tvs_upload_give_locked(struct tvs_stream *stream, struct tvs_fragment *fragment) {
    struct tvs_session *session = stream->session;
    struct tv_block_pool *pool = tvs_budget_pool(stream->budget);
    for (uint32_t i = 0; i < fragment->segment_count; i++)
        tv_block_pool_put(pool, fragment->segments[i]);
    if (session->free_fragment_count == FREE_FRAGMENTS_MAX) {
        free(fragment);
        return;
    }
    fragment->next = session->free_fragments;
    session->free_fragments = fragment;
    session->free_fragment_count++;
}

/* Lays `bytes` end to end behind what the stream has. False: the pool is empty, and nothing is held. */
static bool place(struct tvs_stream *stream, struct tvs_fragment *fragment, uint64_t bytes) {
    struct tv_block_pool *pool = tvs_budget_pool(stream->budget);
    fragment->data.bytes = bytes;
    while (bytes > 0) {
        if (stream->segment == NULL) {
            stream->segment = tv_block_pool_get(pool);
            stream->segment_used_bytes = 0;
        }
        if (stream->segment == NULL)
            return false;
        uint64_t step = TV_SEGMENT_BYTES - stream->segment_used_bytes;
        if (step > bytes)
            step = bytes;
        fragment->data.iov[fragment->data.iov_count++] =
            (struct iovec){(char *)stream->segment + stream->segment_used_bytes, step};
        fragment->segments[fragment->segment_count++] = stream->segment;
        stream->segment_used_bytes += step;
        bytes -= step;
        if (stream->segment_used_bytes == TV_SEGMENT_BYTES)
            stream->segment = NULL; /* the stream's hold is now the fragment's */
        else
            tv_block_pool_hold(pool, stream->segment);
    }
    return true;
}

void tvs_upload_drop_segment_locked(struct tvs_stream *stream) {
    if (stream->segment != NULL)
        tv_block_pool_put(tvs_budget_pool(stream->budget), stream->segment);
    stream->segment = NULL;
}

/* ---- chunks; the receiving thread ---- */

static void judge_input(const Trove__V1__Chunk *chunk, uint64_t payload_bytes, struct tv_fragment_in *in) {
    *in = (struct tv_fragment_in){
        .index = chunk->index,
        .offset = chunk->offset,
        .chunk_bytes = chunk->chunk_bytes,
        .fragment_offset = chunk->fragment_offset,
        .generation = chunk->generation,
        .payload_bytes = payload_bytes,
        .final = chunk->final,
    };
}

/* Judges a fragment and, if it is taken, gives it memory. Under the lock; NULL: drained, or the stream fails with *error. */
static struct tvs_fragment *admit(struct tvs_stream *stream, const Trove__V1__Chunk *chunk, uint64_t payload_bytes,
                                  trove_error *error) {
    struct tv_fragment_in in;
    judge_input(chunk, payload_bytes, &in);
    error->status = TROVE_OK;
    if (stream->follower) {
        (void)tvs_follow_refuse(stream, error);
        return NULL;
    }
    if (stream->complete_received) { /* it may be committed at this moment */
        TV_FAIL(error, INVALID_ARGUMENT, "chunk %llu of %s/%s came after its complete", (unsigned long long)chunk->index,
                stream->bucket, stream->key);
        return NULL;
    }
    if (tvs_resume_check_epoch_locked(stream, chunk->epoch, error) != TROVE_OK)
        return NULL;
    enum tv_receive verdict = tv_receiver_fragment(&stream->receiver, &in, error);
    if (verdict == TV_RECEIVE_DRAIN && in.fragment_offset == 0 && in.generation == stream->generation)
        tvs_stream_count_retries_locked(stream, 1);
    if (verdict != TV_RECEIVE_TAKE)
        return NULL;
    bool room = stream->fragment_count < TVS_FRAGMENTS_MAX(stream->grant.reserved_bytes);
    struct tvs_fragment *fragment = room ? take_fragment(stream->session) : NULL;
    if (fragment != NULL && place(stream, fragment, payload_bytes)) {
        stream->fragment_count++;
        fragment->data.offset = chunk->offset;
        fragment->chunk_index = chunk->index;
        fragment->generation = chunk->generation;
        fragment->has_checksum = chunk->checksum_given_case == TROVE__V1__CHUNK__CHECKSUM_GIVEN_CHECKSUM;
        fragment->checksum = fragment->has_checksum ? chunk->checksum : 0;
        fragment->ends_chunk = chunk->fragment_offset + payload_bytes == chunk->chunk_bytes;
        return fragment;
    }
    if (fragment != NULL)
        tvs_upload_give_locked(stream, fragment);
    if (in.fragment_offset == 0) {
        tv_receiver_decline(&stream->receiver, &in);
        tvs_stream_count_retries_locked(stream, 1);
        (void)tvs_upload_expire_locked(stream); /* told before the answer, or the peer would send it again at once */
    } else {
        TV_FAIL(error, RESOURCE_EXHAUSTED, "no memory for the rest of chunk %llu%s", (unsigned long long)chunk->index,
                room ? "" : ": too many small fragments wait for the store; send larger ones");
    }
    return NULL;
}

static bool takes_chunks(const struct tvs_stream *stream) {
    return stream->up.open && !tv_stream_state_terminal(stream->state);
}

void tvs_upload_payload(struct tvs_session *session, const tv_frame *frame, uint64_t payload_bytes, struct tv_sink *sink) {
    trove_error error = {TROVE_OK, ""};
    struct tvs_fragment *fragment = NULL;
    pthread_mutex_lock(&session->lock);
    struct tvs_stream *stream = tvs_stream_find(session, frame->call_id);
    if (stream != NULL && takes_chunks(stream))
        fragment = admit(stream, frame->chunk, payload_bytes, &error);
    if (fragment != NULL)
        stream->landing_segments = fragment->segment_count;
    pthread_mutex_unlock(&session->lock);
    if (fragment != NULL) {
        sink->kind = TV_SINK_MEMORY;
        sink->iov_count = fragment->data.iov_count;
        memcpy(sink->iov, fragment->data.iov, fragment->data.iov_count * sizeof(struct iovec));
        session->landing = fragment;
        session->landing_stream = stream;
        return;
    }
    if (stream != NULL && error.status != TROVE_OK)
        tvs_stream_end(stream, TV_EVENT_FAIL, &error);
    if (stream != NULL)
        tvs_stream_release(stream);
}

/* What came in goes to the strand. */
static void queue_fragment(struct tvs_stream *stream, struct tvs_fragment *fragment) {
    if (stream->fragment_last != NULL)
        stream->fragment_last->next = fragment;
    else
        stream->fragment_first = fragment;
    stream->fragment_last = fragment;
    stream->progress_ns = fragment->arrived_ns = tv_now_ns();
}

static void landed(struct tvs_session *session) {
    struct tvs_stream *stream = session->landing_stream;
    unsigned strands = 0;
    tvs_stream_spend(stream, session->landing->data.bytes);
    /* Here and not by the worker, for the bytes lie in this core's cache: half the time, some 30 us a MiB. */
    tv_data_hash(&session->landing->data);
    pthread_mutex_lock(&session->lock);
    stream->landing_segments = 0;
    if (tv_stream_state_terminal(stream->state) || session->landing->generation != stream->generation) {
        tvs_upload_give_locked(session->landing_stream, session->landing);
        stream->fragment_count--;
    } else {
        queue_fragment(stream, session->landing);
        strands = tvs_stream_schedule(stream);
    }
    pthread_mutex_unlock(&session->lock);
    session->landing = NULL;
    session->landing_stream = NULL;
    tvs_stream_run(stream, strands);
    tvs_stream_release(stream);
}

/* A frame without payload (the empty final chunk), or one whose payload was drained. */
static void chunk_without_bytes(struct tvs_session *session, const tv_frame *frame, uint64_t payload_bytes) {
    trove_error error = {TROVE_OK, ""};
    unsigned strands = 0;
    pthread_mutex_lock(&session->lock);
    struct tvs_stream *stream = tvs_stream_find(session, frame->call_id);
    if (stream != NULL && !stream->up.open)
        TV_FAIL(&error, INVALID_ARGUMENT, "a chunk for a download");
    if (stream != NULL && takes_chunks(stream) && payload_bytes == 0) {
        struct tvs_fragment *fragment = admit(stream, frame->chunk, 0, &error);
        if (fragment != NULL)
            queue_fragment(stream, fragment);
        strands = tvs_stream_schedule(stream);
    }
    pthread_mutex_unlock(&session->lock);
    if (stream == NULL) {
        tvs_stream_unknown(session, frame, "a chunk");
        return;
    }
    tvs_stream_run(stream, strands);
    if (error.status != TROVE_OK)
        tvs_stream_end(stream, TV_EVENT_FAIL, &error);
    else
        tvs_stream_wake(stream, TV_WANTS_CONTROL); /* "not taken" may be due */
    tvs_stream_release(stream);
}

void tvs_upload_chunk(struct tvs_session *session, const tv_frame *frame, uint64_t payload_bytes) {
    if (session->landing != NULL)
        landed(session);
    else
        chunk_without_bytes(session, frame, payload_bytes);
}

void tvs_upload_landing_lost(struct tvs_session *session) {
    if (session->landing == NULL)
        return;
    pthread_mutex_lock(&session->lock);
    session->landing_stream->landing_segments = 0;
    tvs_upload_give_locked(session->landing_stream, session->landing);
    pthread_mutex_unlock(&session->lock);
    tvs_stream_release(session->landing_stream);
    session->landing = NULL;
    session->landing_stream = NULL;
}

trove_status tvs_upload_gap_locked(struct tvs_stream *stream, const Trove__V1__Gap *gap, trove_error *error) {
    const struct tv_gap_in in = {gap->first_index, gap->count, gap->offset, gap->length, gap->generation};
    if (!stream->lossy)
        return TV_FAIL(error, INVALID_ARGUMENT, "a gap in %s/%s, which was not opened as lossy", stream->bucket, stream->key);
    if (stream->complete_received)
        return TV_FAIL(error, INVALID_ARGUMENT, "a gap in %s/%s came after its complete", stream->bucket, stream->key);
    enum tv_receive verdict = tv_receiver_gap(&stream->receiver, &in, error);
    if (verdict != TV_RECEIVE_TAKE)
        return verdict == TV_RECEIVE_FAIL ? error->status : TROVE_OK;
    struct tvs_fragment *last = stream->fragment_last;
    if (last != NULL && last->lost_chunks > 0 && last->generation == gap->generation) {
        /* What was to come next after one loss was lost as well: that may go on without an end, and be no more than one. */
        last->lost_chunks += gap->count;
        last->data.bytes += gap->length;
        return TROVE_OK;
    }
    /* One between each two of chunks, at most. */
    bool room = stream->fragment_count <= 2 * TVS_FRAGMENTS_MAX(stream->grant.reserved_bytes);
    struct tvs_fragment *fragment = room ? take_fragment(stream->session) : NULL;
    if (fragment == NULL)
        return TV_FAIL(error, RESOURCE_EXHAUSTED, "no memory for a gap in %s/%s", stream->bucket, stream->key);
    fragment->data.offset = gap->offset;
    fragment->data.bytes = gap->length;
    fragment->lost_chunks = gap->count;
    fragment->generation = gap->generation;
    stream->fragment_count++;
    queue_fragment(stream, fragment);
    return TROVE_OK;
}

void tvs_upload_drop_locked(struct tvs_stream *stream) {
    while (stream->fragment_first != NULL) {
        struct tvs_fragment *fragment = stream->fragment_first;
        stream->fragment_first = fragment->next;
        stream->fragment_count--;
        tvs_upload_give_locked(stream, fragment);
    }
    stream->fragment_last = NULL;
}

void tvs_upload_seek_locked(struct tvs_stream *stream, uint64_t offset, uint64_t generation) {
    tvs_upload_drop_locked(stream);
    stream->grant.expired_due += tv_receiver_seek(&stream->receiver, offset, generation);
    stream->grant.storing_bytes = stream->storing_segments * TV_SEGMENT_BYTES;
    if (tvs_grant_charged(&stream->receiver) > tvs_grant_covered(&stream->grant))
        (void)tvs_upload_expire_locked(
            stream); /* the sender has credit back for what is still in memory here; it gets what there is */
    else
        (void)tvs_upload_grant_locked(stream); /* anew for what counts as expired, or what is left may fit no chunk */
    stream->generation = generation;
    stream->rewind_due = true;
    stream->rewind_offset = offset;
}
