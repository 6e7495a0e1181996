/* stream_open.c - streams begin: what an open asks for, which pool has it, and the stream's place there. See stream.h.
 *
 * On the connection's receiving thread; but a place that was waited for comes on a worker or the timer's thread.
 */
#include "audit_events.h"
#include "download.h"
#include "names.h"
#include "resume.h"
#include "upload.h"

#include <string.h>

/* What a place in the window of a way down costs in its tables, and how many of them the smallest chunks have. */
#define WINDOW_SLOT_BYTES (sizeof(struct tv_chunk) + 3 * sizeof(void *))
#define WINDOW_SLOTS_MIN  16

/* ---- its place in the pool ---- */

/* Its turn: the store may be asked from now on, and its clocks run. Under the lock; returns as schedule does. */
static unsigned begin_locked(struct tvs_stream *stream) {
    TV_ASSERT(!tv_stream_state_terminal(stream->state) && stream->place == TVS_PLACE_NONE);
    stream->place = TVS_PLACE_HELD;
    stream->acquired_ns = stream->state_ns = stream->progress_ns = tv_now_ns();
    tv_rate_begin(&stream->metrics.rate, stream->acquired_ns);
    atomic_fetch_add_explicit(&stream->pool->streams_total, 1, memory_order_relaxed);
    return tvs_stream_schedule(stream);
}

static void acquired(struct tvs_acquire *acquire, const trove_error *why) {
    struct tvs_stream *stream = (struct tvs_stream *)((char *)acquire - offsetof(struct tvs_stream, acquire));
    struct tvs_session *session = stream->session;
    unsigned strands = 0;
    pthread_mutex_lock(&session->lock);
    stream->place = TVS_PLACE_NONE;
    if (why != NULL)
        strands = tvs_stream_end_locked(stream, TV_EVENT_FAIL, why);
    else if (tv_stream_state_terminal(stream->state)) /* it ended while its turn came */
        tvs_pool_release(stream->pool);
    else
        strands = begin_locked(stream);
    pthread_mutex_unlock(&session->lock);
    tvs_stream_run(stream, strands);
    if (why != NULL)
        tvs_stream_wake(stream, TV_WANTS_CONTROL);
    tvs_stream_release(stream);
}

/* ---- opening ---- */

static trove_status check_digest(const Trove__V1__Open *open, trove_error *error) {
    if (open->digest == NULL || open->digest->kind == TROVE__V1__DIGEST_KIND__DIGEST_NONE)
        return TROVE_OK;
    if (open->direction == TROVE__V1__DIRECTION__DOWNLOAD)
        return TV_FAIL(error, INVALID_ARGUMENT, "a digest is declared for what comes up, and this is a download");
    if (open->lossy)
        return TV_FAIL(error, INVALID_ARGUMENT, "a lossy stream can't have a declared digest: it may lose some of the bytes");
    return TROVE_OK;
}

/* A stream that follows sees the object before it exists, from its beginning, whatever was there before. */
static trove_status check_follow(const Trove__V1__Open *open, trove_error *error) {
    const Trove__V1__Conditions *conditions = open->conditions;
    if (open->direction != TROVE__V1__DIRECTION__BIDI)
        return TV_FAIL(error, INVALID_ARGUMENT, "only a two-way stream can follow another");
    if (open->lossy)
        return TV_FAIL(error, INVALID_ARGUMENT, "a stream that follows can't be lossy");
    if (open->range != NULL)
        return TV_FAIL(error, INVALID_ARGUMENT, "a stream that follows has no range: it begins with the object");
    if (conditions != NULL && (conditions->if_match[0] != '\0' || conditions->if_none_match || conditions->if_generation != 0))
        return TV_FAIL(error, INVALID_ARGUMENT, "a stream that follows has no conditions");
    return TROVE_OK;
}

static bool says(const Trove__V1__Open *open, Trove__V1__Backpressure backpressure) {
    return open->backpressure_given_case == TROVE__V1__OPEN__BACKPRESSURE_GIVEN_BACKPRESSURE &&
           open->backpressure == backpressure;
}

/* Who says nothing has its pool's; but nobody loses chunks who didn't ask for that. */
static trove_backpressure choose_backpressure(const Trove__V1__Open *open, const struct tvs_pool_limits *terms) {
    if (open->backpressure_given_case == TROVE__V1__OPEN__BACKPRESSURE_GIVEN_BACKPRESSURE)
        return (trove_backpressure)open->backpressure;
    return terms->backpressure == TROVE_BACKPRESSURE_DROP && !open->lossy ? TROVE_BACKPRESSURE_BLOCK : terms->backpressure;
}

static trove_status check_open(const Trove__V1__Open *open, trove_error *error) {
    if (says(open, TROVE__V1__BACKPRESSURE__DROP) && !open->lossy)
        return TV_FAIL(error, INVALID_ARGUMENT, "backpressure DROP loses chunks: the stream must be opened as lossy");
    trove_status status = check_digest(open, error);
    if (status == TROVE_OK && open->follow)
        status = check_follow(open, error);
    if (status != TROVE_OK)
        return status;
    if (open->backpressure_given_case == TROVE__V1__OPEN__BACKPRESSURE_GIVEN_BACKPRESSURE &&
        (unsigned)open->backpressure > TROVE__V1__BACKPRESSURE__ADAPTIVE)
        return TV_FAIL(error, INVALID_ARGUMENT, "backpressure %d is none", (int)open->backpressure);
    if (open->direction < TROVE__V1__DIRECTION__UPLOAD || open->direction > TROVE__V1__DIRECTION__BIDI)
        return TV_FAIL(error, INVALID_ARGUMENT, "direction %d is none", (int)open->direction);
    if (open->chunk_bytes > TV_CHUNK_BYTES_MAX)
        return TV_FAIL(error, INVALID_ARGUMENT, "chunk_bytes %llu; at most %llu are allowed",
                       (unsigned long long)open->chunk_bytes, (unsigned long long)TV_CHUNK_BYTES_MAX);
    if (open->channel_chunks > TV_CHANNEL_CHUNKS_MAX)
        return TV_FAIL(error, INVALID_ARGUMENT, "channel_chunks %u; at most %d are allowed", open->channel_chunks,
                       TV_CHANNEL_CHUNKS_MAX);
    status = tv_bucket_check(open->bucket, error);
    if (status == TROVE_OK)
        status = tv_key_check(open->key, error);
    return status == TROVE_OK ? tv_content_type_check(open->content_type, error) : status;
}

static unsigned rights_wanted(trove_direction direction, bool follow) {
    unsigned wanted = direction != TROVE_DIRECTION_UPLOAD ? TVS_RIGHT_READ : 0;
    if (direction != TROVE_DIRECTION_DOWNLOAD &&
        !follow) /* of those that follow the one who writes is asked when it is elected */
        wanted |= TVS_RIGHT_WRITE;
    return wanted;
}

trove_status tvs_stream_authorize(struct tvs_session *session, trove_direction direction, bool follow, const char *bucket,
                                  const char *key, trove_error *error) {
    return tvs_session_may(session, rights_wanted(direction, follow), bucket, key, error);
}

static char *take_text(char **at, const char *text) {
    size_t bytes = strlen(text) + 1;
    char *copy = memcpy(*at, text, bytes);
    *at += bytes;
    return copy;
}

/* Copies the frame's strings, which live no longer than the frame, into one block. */
static trove_status copy_names(struct tvs_stream *stream, const Trove__V1__Open *open, trove_error *error) {
    trove_metadata list[TV_METADATA_COUNT_MAX];
    trove_status status = tvs_metadata_from_wire(open->metadata, open->n_metadata, list, error);
    if (status != TROVE_OK)
        return status;
    struct tvs_declared_digest digest;
    status = tvs_digest_from_wire(open->digest, &digest, error);
    if (status != TROVE_OK)
        return status;
    size_t digest_bytes = digest.kind != TVS_DIGEST_NONE ? sizeof digest : 0;
    struct tvs_conditions *conditions = &stream->put_options.conditions;
    tvs_conditions_from_wire(open->conditions, conditions);
    size_t bytes = strlen(open->bucket) + strlen(open->key) + strlen(open->content_type) + 3;
    bytes += conditions->if_match != NULL ? strlen(conditions->if_match) + 1 : 0;
    for (size_t i = 0; i < open->n_metadata; i++)
        bytes += strlen(list[i].key) + strlen(list[i].value) + 2;
    bytes += open->n_metadata * sizeof(trove_metadata) + digest_bytes;
    stream->memory = malloc(bytes);
    if (stream->memory == NULL)
        return TV_FAIL(error, RESOURCE_EXHAUSTED, "no memory for a stream");
    stream->charged_bytes = sizeof *stream + bytes;
    trove_metadata *metadata = stream->memory;
    char *at = (char *)(metadata + open->n_metadata);
    if (digest_bytes > 0)
        stream->put_options.digest = memcpy(at, &digest, digest_bytes);
    at += digest_bytes;
    stream->bucket = take_text(&at, open->bucket);
    stream->key = take_text(&at, open->key);
    stream->put_options.content_type = take_text(&at, open->content_type);
    if (conditions->if_match != NULL)
        conditions->if_match = take_text(&at, conditions->if_match);
    for (size_t i = 0; i < open->n_metadata; i++) {
        metadata[i].key = take_text(&at, list[i].key);
        metadata[i].value = take_text(&at, list[i].value);
    }
    stream->put_options.metadata = metadata;
    stream->put_options.metadata_count = open->n_metadata;
    return TROVE_OK;
}

/* Finds the pool and takes over its terms. Chunks that its memory can't carry are refused: they would wait for it for ever. */
static trove_status choose_pool(struct tvs_stream *stream, const Trove__V1__Open *open, trove_error *error) {
    char bound[TVS_POOL_NAME_BYTES];
    trove_status status = tvs_session_pool(stream->session, open->pool, bound, error);
    if (status != TROVE_OK)
        return status;
    stream->pool = tvs_pools_find(stream->session->server->pools, bound[0] != '\0' ? bound : open->pool, error);
    if (stream->pool == NULL)
        return error->status;
    tvs_pool_terms(stream->pool, &stream->terms, &stream->budget);
    uint64_t most = tvs_budget_bytes(stream->budget) / 4;
    if (open->chunk_bytes > most)
        return TV_FAIL(error, RESOURCE_EXHAUSTED,
                       "chunk_bytes %llu; the memory budget of pool \"%s\" carries chunks of at most %llu bytes",
                       (unsigned long long)open->chunk_bytes, stream->pool->name, (unsigned long long)most);
    return TROVE_OK;
}

/* What an adaptive stream may look for where its client leaves it to the server: more than the usual, as far as a window of such
 * chunks fits the memory. */
static uint64_t adaptive_chunk_bytes(const struct tvs_stream *stream) {
    uint64_t window_bytes_max = tvs_budget_bytes(stream->budget) / 4;
    uint64_t bytes = stream->terms.chunk_bytes;
    for (unsigned factor = 2; factor <= TV_ADAPTIVE_CHUNK_FACTOR; factor *= 2)
        if (bytes * 2 <= TV_CHUNK_BYTES_MAX && bytes * 2 * stream->channel_chunks <= window_bytes_max)
            bytes *= 2;
    return bytes;
}

static void choose_chunks(struct tvs_stream *stream, const Trove__V1__Open *open) {
    stream->channel_chunks = open->channel_chunks != 0 ? open->channel_chunks : stream->terms.channel_chunks;
    if (stream->adapts && open->channel_chunks == 0 && stream->channel_chunks > TV_ADAPTIVE_CHANNEL_FACTOR)
        stream->channel_chunks /= TV_ADAPTIVE_CHANNEL_FACTOR;
    stream->chunk_bytes = open->chunk_bytes != 0 ? open->chunk_bytes : stream->terms.chunk_bytes;
    if (stream->adapts && open->chunk_bytes == 0)
        stream->chunk_bytes = adaptive_chunk_bytes(stream);
}

/* What isn't durable is sent again after a crash: it has a bound, and the client perhaps less to keep it in. */
static void limit_chunk(struct tvs_stream *stream) {
    uint64_t keep_bytes = stream->resume->keep_bytes;
    uint64_t most = keep_bytes != 0 && keep_bytes / 2 < TVS_RESUMABLE_WINDOW ? keep_bytes / 2 : TVS_RESUMABLE_WINDOW;
    if (stream->chunk_bytes > most)
        stream->chunk_bytes = most;
}

static void set_sizes(struct tvs_stream *stream, const Trove__V1__Open *open) {
    stream->backpressure = choose_backpressure(open, &stream->terms);
    stream->adapts = stream->backpressure == TROVE_BACKPRESSURE_ADAPTIVE;
    choose_chunks(stream, open);
    uint64_t slice_bytes = tvs_throttle_slice(&stream->session->bandwidth->throttle);
    if (slice_bytes > tvs_bandwidth_slice(stream->terms.bandwidth))
        slice_bytes = tvs_bandwidth_slice(stream->terms.bandwidth);
    if (stream->chunk_bytes > slice_bytes) /* it is credited, and cut into frames, by the chunk */
        stream->chunk_bytes = slice_bytes;
    if (stream->resume != NULL)
        limit_chunk(stream);
    /* A window that is more than a quarter of everything would only wait in line with itself. */
    uint64_t fits = tvs_budget_bytes(stream->budget) / 4 / stream->chunk_bytes;
    if (stream->channel_chunks > fits)
        stream->channel_chunks = fits > 0 ? (uint32_t)fits : 1;
    if (stream->resume != NULL && stream->channel_chunks > TVS_RESUMABLE_WINDOW / stream->chunk_bytes)
        stream->channel_chunks = (uint32_t)(TVS_RESUMABLE_WINDOW / stream->chunk_bytes);
    /* Nor are the tables of a window to cost more than an eighth of what its chunks may. */
    uint64_t slots = stream->chunk_bytes * stream->channel_chunks / 8 / WINDOW_SLOT_BYTES;
    slots = slots > WINDOW_SLOTS_MIN ? slots : WINDOW_SLOTS_MIN;
    if (stream->down.open && stream->channel_chunks > slots)
        stream->channel_chunks = (uint32_t)slots;
    stream->grant.chunk_bytes = stream->chunk_bytes;
    stream->grant.window_bytes = stream->chunk_bytes * stream->channel_chunks;
    bool sized = open->size_given_case == TROVE__V1__OPEN__SIZE_GIVEN_SIZE;
    stream->declared_size = sized ? open->size : TROVE_SIZE_UNKNOWN;
    stream->put_options.size_hint = stream->declared_size;
    stream->lossy = open->lossy;
    stream->drops = stream->backpressure == TROVE_BACKPRESSURE_DROP;
    stream->allow_gaps = open->allow_gaps;
    stream->movable = open->movable;
    stream->follow = open->follow;
    stream->range_length = TROVE_SIZE_UNKNOWN;
    if (open->range != NULL) {
        stream->range_offset = open->range->offset;
        if (open->range->length_given_case == TROVE__V1__BYTE_RANGE__LENGTH_GIVEN_LENGTH)
            stream->range_length = open->range->length;
    }
}

static void set_up(struct tvs_stream *stream, const tv_frame *frame) {
    const Trove__V1__Open *open = frame->open;
    stream->flow.ops = &tvs_stream_flow_ops;
    stream->node.id = frame->call_id;
    stream->direction = (trove_direction)open->direction;
    stream->state = !open->paused ? TROVE_STREAM_ACTIVE : open->was_started ? TROVE_STREAM_PAUSED : TROVE_STREAM_IDLE;
    stream->progress_ns = tv_now_ns();
    stream->metrics.started_ns = tv_wall_ns();
    stream->up.open = stream->direction != TROVE_DIRECTION_DOWNLOAD;
    stream->up.bandwidth.turn = tvs_upload_turn;
    stream->up.claim.granted = tvs_upload_granted;
    stream->down.open = stream->direction != TROVE_DIRECTION_UPLOAD;
    stream->down.bandwidth.turn = tvs_download_turn;
    stream->down.claim.granted = tvs_download_granted;
    tvs_stream_init_strands(stream);
    stream->acquire.done = acquired;
    stream->grant.demand_bytes = open->demand;
    stream->early_credit = open->credit;
    atomic_init(&stream->references, 1);
    set_sizes(stream, open);
    if (stream->up.open)
        tv_receiver_init(&stream->receiver, 0, stream->chunk_bytes, tv_conn_payload_bytes_max(stream->session->conn));
    if (stream->down.open)
        tvs_download_init(stream);
}

/* Streams cost memory before they have a place in a pool. */
static trove_status charge(struct tvs_stream *stream, trove_error *error) {
    struct tvs_quota *quota = &stream->session->server->stream_memory;
    stream->charged_bytes += stream->resume != NULL ? sizeof *stream->resume : 0;
    if (tvs_quota_take(quota, stream->charged_bytes, TV_STREAMS_BYTES_MAX, UINT32_MAX))
        return TROVE_OK;
    return TV_FAIL(error, RESOURCE_EXHAUSTED,
                   "the server has %u streams open or waiting, and no memory for more; try again later", tvs_quota_count(quota));
}

static trove_status create(struct tvs_session *session, const tv_frame *frame, struct tvs_stream **stream_out,
                           trove_error *error) {
    const Trove__V1__Open *open = frame->open;
    trove_status status = check_open(open, error);
    if (status == TROVE_OK)
        status = tvs_stream_authorize(session, (trove_direction)open->direction, open->follow, open->bucket, open->key, error);
    if (status != TROVE_OK)
        return status;
    struct tvs_stream *stream = calloc(1, sizeof *stream);
    if (stream == NULL)
        return TV_FAIL(error, RESOURCE_EXHAUSTED, "no memory for a stream");
    stream->session = session;
    status = choose_pool(stream, open, error);
    if (status == TROVE_OK)
        status = copy_names(stream, open, error);
    if (status == TROVE_OK)
        status = tvs_resume_create(session->server, open, &stream->resume, error);
    if (status == TROVE_OK)
        status = charge(stream, error);
    if (status != TROVE_OK) {
        free(stream->resume);
        tvs_budget_release(stream->budget);
        if (stream->pool != NULL)
            tvs_pool_release_reference(stream->pool);
        free(stream->memory);
        free(stream);
        return status;
    }
    set_up(stream, frame);
    *stream_out = stream;
    return TROVE_OK;
}

/* Into the connection's table and the server's list. When rights change, or an expired key loses them, those in the table are
 * looked at again: so one that comes in after that is judged by what is true now. Under the lock. */
static trove_status enlist_locked(struct tvs_stream *stream, trove_error *error) {
    struct tvs_session *session = stream->session;
    uint32_t streams_max = session->server->options.streams_max;
    if (session->streams.count >= streams_max)
        return TV_FAIL(error, RESOURCE_EXHAUSTED, "this connection has %u streams open, which is the limit", streams_max);
    trove_status status = tvs_principal_check(&session->principal, rights_wanted(stream->direction, stream->follow),
                                              stream->bucket, stream->key, error);
    if (status != TROVE_OK)
        return status;
    tv_id_table_add(&session->streams, &stream->node);
    tvs_stream_list_add(&session->server->streams, stream);
    stream->listed = true;
    return TROVE_OK;
}

/* Takes a place in the pool, or its turn in the queue; if neither is to be had, the stream fails. Under the lock; returns as
 * schedule does. */
static unsigned enter_pool_locked(struct tvs_stream *stream, uint32_t wait_ms) {
    trove_error why;
    bool queued = false;
    if (tvs_pool_acquire(stream->pool, &stream->acquire, wait_ms, &queued, &why) != TROVE_OK)
        return tvs_stream_end_locked(stream, TV_EVENT_FAIL, &why);
    if (!queued)
        return begin_locked(stream);
    stream->place = TVS_PLACE_AWAITED;
    tvs_stream_acquire(stream); /* the wait's */
    return 0;
}

/* One step: whoever finds the stream in the list finds it with a place, waiting for one, or failed. Takes the reference over that
 * the table is to have. */
static void enter(struct tvs_stream *stream, uint32_t wait_ms) {
    struct tvs_session *session = stream->session;
    trove_error error;
    unsigned strands = 0;
    tvs_stream_acquire(stream); /* the table's may be dropped as soon as the lock is free */
    pthread_mutex_lock(&session->lock);
    trove_status status = enlist_locked(stream, &error);
    if (status == TROVE_OK)
        strands = enter_pool_locked(stream, wait_ms);
    bool failed = stream->status_due;
    pthread_mutex_unlock(&session->lock);
    tvs_stream_run(stream, strands);
    if (failed)
        tvs_stream_wake(stream, TV_WANTS_CONTROL);
    if (status != TROVE_OK) {
        tvs_audit_refused(session, stream->direction, stream->bucket, stream->key, &error);
        tvs_session_send_status(session, stream->node.id, &error, false);
        tvs_stream_release(stream); /* the table's, which didn't take it */
    }
    tvs_stream_release(stream);
}

void tvs_stream_open(struct tvs_session *session, const tv_frame *frame) {
    uint32_t wait_ms = frame->open->acquire_timeout_ms;
    struct tvs_stream *stream = NULL;
    trove_error error;
    if (create(session, frame, &stream, &error) != TROVE_OK) {
        tvs_audit_refused(session, (trove_direction)frame->open->direction, frame->open->bucket, frame->open->key, &error);
        tvs_session_send_status(session, frame->call_id, &error, false);
        return;
    }
    tvs_session_acquire(session); /* the stream's */
    enter(stream, wait_ms != 0 ? wait_ms : session->server->options.call_deadline_ms);
}
