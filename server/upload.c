/* upload.c - the way up of a stream on the server: memory for what comes, credit, and the way into the store. See stream.h.
 *
 * Memory: a stream's payloads are laid end to end in segments of the pool; grant.h says how much of it is reserved. As long as nobody
 * waits for memory a stream keeps its reservation and grants itself again what the driver has taken; when somebody does, it gives back
 * what is free and queues like everybody else.
 */
#include "stream.h"

#include <string.h>

/* What may be stored before the sender is told: this part of the window, and for so long. */
#define UNTOLD_PART 4
#define UNTOLD_NS   ((uint64_t)50 * 1000 * 1000)

/* ---- fragments; under the session's lock ---- */

static struct tvs_fragment *take_fragment(struct tvs_session *session) {
    struct tvs_fragment *fragment = session->free_fragments;
    if (fragment != NULL)
        session->free_fragments = fragment->next;
    else
        fragment = malloc(sizeof *fragment);
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

static void give_fragment(struct tvs_stream *stream, struct tvs_fragment *fragment) {
    struct tvs_session *session = stream->session;
    struct tv_block_pool *pool = tvs_budget_pool(stream->budget);
    for (uint32_t i = 0; i < fragment->segment_count; i++)
        tv_block_pool_put(pool, fragment->segments[i]);
    fragment->next = session->free_fragments;
    session->free_fragments = fragment;
}

/* Lays `bytes` end to end behind what the stream has. False: the pool is empty, and nothing is held. */
static bool place(struct tvs_stream *stream, struct tvs_fragment *fragment, uint64_t bytes) {
    struct tv_block_pool *pool = tvs_budget_pool(stream->budget);
    fragment->data.bytes = bytes;
    while (bytes > 0) {
        if (stream->segment == NULL) {
            stream->segment = tv_block_pool_get(pool);
            stream->segment_used = 0;
        }
        if (stream->segment == NULL)
            return false;
        uint64_t step = TV_SEGMENT_BYTES - stream->segment_used;
        if (step > bytes)
            step = bytes;
        fragment->data.iov[fragment->data.iov_count++] = (struct iovec){(char *)stream->segment + stream->segment_used, step};
        fragment->segments[fragment->segment_count++] = stream->segment;
        stream->segment_used += step;
        bytes -= step;
        if (stream->segment_used == TV_SEGMENT_BYTES)
            stream->segment = NULL; /* the stream's hold is now the fragment's */
        else
            tv_block_pool_hold(pool, stream->segment);
    }
    return true;
}

static void drop_segment(struct tvs_stream *stream) {
    if (stream->segment != NULL)
        tv_block_pool_put(tvs_budget_pool(stream->budget), stream->segment);
    stream->segment = NULL;
}

/* ---- credit; under the session's lock ---- */

static void set_reservation(struct tvs_stream *stream, uint64_t bytes) {
    TV_ASSERT(bytes <= stream->grant.reserved_bytes);
    uint64_t surplus = stream->grant.reserved_bytes - bytes;
    stream->grant.reserved_bytes = bytes;
    if (surplus > 0)
        tvs_budget_give(stream->budget, surplus);
}

/* Gives back what neither credit nor held bytes need. */
static void trim_reservation(struct tvs_stream *stream) {
    uint64_t needed = tvs_grant_needed(&stream->grant, &stream->receiver);
    if (needed == 0)
        drop_segment(stream);
    set_reservation(stream, needed);
}

/* More memory for the stream; false: it is waited for. */
static bool reserve_more(struct tvs_stream *stream, uint64_t bytes) {
    if (stream->up.claiming)
        return false;
    trim_reservation(stream);   /* who waits holds nothing that it can do without, or all would wait for each other */
    tvs_stream_acquire(stream); /* the claim's, if it has to wait */
    stream->up.claiming = !tvs_budget_take(stream->budget, &stream->up.claim, bytes);
    if (stream->up.claiming)
        return false;
    stream->grant.reserved_bytes += bytes;
    tvs_stream_release(stream);
    return true;
}

/* Whether the pool's bandwidth allows so much more to come now; if not, the stream waits for its turn. */
static bool admit_bytes(struct tvs_stream *stream, uint64_t bytes) {
    if (!tvs_stream_take_turn_locked(stream, &stream->up, bytes))
        return false;
    tvs_grant_admit(&stream->grant, bytes);
    return true;
}

/* One step towards what the stream wants; false: no more for now. */
static bool grant_step(struct tvs_stream *stream, bool *granted) {
    uint64_t bytes = 0;
    bool limited = atomic_load_explicit(&stream->pool->limited, memory_order_relaxed);
    switch (tvs_grant_next(&stream->grant, &stream->receiver, limited, &bytes)) {
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
        trim_reservation(stream); /* paused or ended meanwhile */
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
    trim_reservation(stream);
    /* Its demand stands and is not told again: it queues behind those who wait. Otherwise it would have nothing for ever. */
    (void)tvs_upload_grant_locked(stream);
    return true;
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
    enum tv_receive verdict = tv_receiver_fragment(&stream->receiver, &in, error);
    if (verdict == TV_RECEIVE_DRAIN && in.fragment_offset == 0 && in.generation == stream->generation)
        tvs_stream_count_retries_locked(stream, 1);
    if (verdict != TV_RECEIVE_TAKE)
        return NULL;
    bool room = stream->fragment_count < TVS_FRAGMENTS_MAX(stream->channel_chunks, stream->grant.window_bytes);
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
        give_fragment(stream, fragment);
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
    tvs_pool_bandwidth_spend(stream->pool, session->landing->data.bytes);
    /* Here and not by the worker, for the bytes lie in this core's cache: half the time, some 30 us a MiB. */
    tv_data_hash(&session->landing->data);
    pthread_mutex_lock(&session->lock);
    stream->landing_segments = 0;
    if (tv_stream_state_terminal(stream->state) || session->landing->generation != stream->generation) {
        give_fragment(session->landing_stream, session->landing);
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
    give_fragment(session->landing_stream, session->landing);
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
    bool room = stream->fragment_count < TVS_FRAGMENTS_MAX(stream->channel_chunks, stream->grant.window_bytes);
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

static void drop_fragments(struct tvs_stream *stream) {
    while (stream->fragment_first != NULL) {
        struct tvs_fragment *fragment = stream->fragment_first;
        stream->fragment_first = fragment->next;
        stream->fragment_count--;
        give_fragment(stream, fragment);
    }
    stream->fragment_last = NULL;
}

void tvs_upload_seek_locked(struct tvs_stream *stream, uint64_t offset, uint64_t generation) {
    drop_fragments(stream);
    stream->grant.expired_due += tv_receiver_seek(&stream->receiver, offset, generation);
    stream->grant.storing_bytes = stream->storing_segments * TV_SEGMENT_BYTES;
    if (tvs_grant_charged(&stream->receiver) > tvs_grant_covered(&stream->grant))
        (void)tvs_upload_expire_locked(
            stream); /* the sender has credit back for what is still in memory here; it gets what there is */
    stream->generation = generation;
    stream->rewind_due = true;
    stream->rewind_offset = offset;
}

/* ---- the strand ---- */

/* All has come, and the peer of a two-way stream has all that went down: a stream that fails has published nothing. */
static bool ready_to_commit(const struct tvs_stream *stream) {
    bool delivered = !stream->down.open || stream->completed_received;
    return stream->complete_received && delivered && !stream->follower && !stream->commit_running &&
           stream->fragment_first == NULL && !stream->rewind_due && stream->state == TROVE_STREAM_COMPLETING &&
           (tv_receiver_finished(&stream->receiver) || stream->receiver.expected_index == 0);
}

bool tvs_upload_work_locked(const struct tvs_stream *stream) {
    if (tv_stream_state_terminal(stream->state))
        return !stream->up.cleaned;
    return !stream->up.begun || stream->rewind_due || stream->fragment_first != NULL || ready_to_commit(stream);
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
    trove_status status = stream->follow ? tvs_follow_join(stream, &error) : TROVE_OK;
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
        give_fragment(stream, fragment);
        (void)tvs_upload_grant_locked(stream); /* its memory is free */
        return;
    }
    if (fragment->lost_chunks > 0) {
        tv_receiver_gap_taken(&stream->receiver, fragment->lost_chunks, fragment->data.bytes);
        tvs_stream_count_drops_locked(stream, fragment->lost_chunks);
        give_fragment(stream, fragment);
        return;
    }
    tv_receiver_taken(&stream->receiver, fragment->data.bytes, fragment->ends_chunk);
    tvs_stream_count_locked(stream, fragment->data.bytes, fragment->ends_chunk, stream->progress_ns - fragment->arrived_ns);
    give_fragment(stream, fragment);
    if (tvs_budget_contended(stream->budget) || stream->receiver.final_seen)
        trim_reservation(stream);
    (void)tvs_upload_grant_locked(stream); /* the acknowledgement tells it */
}

/* Whether it is time to acknowledge. While more lies here already, which the strand comes to next, acknowledgements are gathered up to
 * a quarter of the window: each one costs both ends as much as a small chunk, and three quarters keep the sender busy. A slow store's
 * sender is told all the same, or it would think that nothing moves. Not for lossy streams: the sooner their sender knows, the less it
 * drops. */
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

static void write_fragment(struct tvs_stream *stream, struct tvs_fragment *fragment) {
    struct tvs_session *session = stream->session;
    uint64_t bytes = fragment->data.bytes;
    bool due = false;
    trove_error error;
    trove_status status = TROVE_OK;
    if (fragment->lost_chunks > 0) {
        status = session->server->ops->put_gap(stream->put, fragment->data.offset, fragment->data.bytes, &error);
    } else {
        status = verify(stream, fragment, &error);
        if (status == TROVE_OK && fragment->data.bytes > 0)
            status = session->server->ops->put_write(stream->put, &fragment->data, &error);
        if (status == TROVE_OK && stream->feed != NULL)
            tvs_feed_grow(stream->feed, fragment->data.offset + fragment->data.bytes);
    }
    pthread_mutex_lock(&session->lock);
    stream->storing_segments = 0;
    stream->grant.storing_bytes = 0;
    if (status == TROVE_OK) {
        taken_locked(stream, fragment);
        due = ack_due_locked(stream, bytes);
    } else {
        give_fragment(stream, fragment);
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

/* On a thread of the driver's. */
static void on_committed(void *context, trove_status status, const struct tvs_object *object, const trove_error *error) {
    struct tvs_stream *stream = context;
    struct tvs_session *session = stream->session;
    struct tvs_object copy = {0};
    struct tvs_wire_gaps gaps = {0};
    trove_error why = {TROVE_OK, ""};
    if (status != TROVE_OK)
        (void)tv_error_set(&why, status, "storing %s/%.200s: %s", stream->bucket, stream->key, error->message);
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

static void commit(struct tvs_stream *stream) {
    trove_error error;
    if (check_size(stream, &error) != TROVE_OK) {
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

/* The stream has ended: nothing of it stays. */
static void clean(struct tvs_stream *stream) {
    struct tvs_session *session = stream->session;
    bool writes_for_others = stream->feed != NULL && !stream->follower;
    tvs_stream_log_end(stream);
    if (writes_for_others)
        tvs_feed_close(stream->feed);
    session->server->ops->put_abort(stream->put);
    stream->put = NULL;
    if (writes_for_others)
        tvs_follow_settle(stream);
    pthread_mutex_lock(&session->lock);
    drop_fragments(stream);
    drop_segment(stream);
    /* A payload that is still coming in keeps its segments until it has, or the connection ends: then the last reference gives this
     * back. */
    set_reservation(stream, stream->landing_segments * TV_SEGMENT_BYTES);
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
    if (!ended && begun && !rewinding && stream->fragment_first != NULL) {
        fragment = stream->fragment_first;
        stream->fragment_first = fragment->next;
        if (stream->fragment_first == NULL)
            stream->fragment_last = NULL;
        stream->fragment_count--;
        stream->storing_segments = fragment->segment_count;
    }
    bool committing = !ended && begun && !rewinding && fragment == NULL && ready_to_commit(stream);
    pthread_mutex_unlock(&session->lock);
    if (ended)
        clean(stream);
    else if (!begun)
        begin(stream);
    else if (rewinding)
        rewind_store(stream, rewind_offset);
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
