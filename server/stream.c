/* stream.c - the life of a stream on the server: opening, ending, the strands. See stream.h.
 *
 * References: the session's table has one while the stream is listed, each strand one while it is scheduled, the wait for a place in
 * the pool one, a queued claim one, a wait for bandwidth one, a running commit one, and the connection while the flow is in its rings.
 * The strands let go of the driver's handles before they end, so the last reference may be dropped anywhere.
 */
#include "stream.h"

#include "names.h"

#include <string.h>

/* A stream gives its worker back after so many steps, so that a busy one doesn't keep the others waiting. */
#define STEPS_AT_ONCE 16
#define NS_PER_MS     UINT64_C(1000000)

/* ---- references ---- */

void tvs_stream_acquire(struct tvs_stream *stream) {
    atomic_fetch_add_explicit(&stream->references, 1, memory_order_relaxed);
}

void tvs_stream_release(struct tvs_stream *stream) {
    if (atomic_fetch_sub_explicit(&stream->references, 1, memory_order_acq_rel) != 1)
        return;
    struct tvs_session *session = stream->session;
    TV_ASSERT(stream->put == NULL && stream->get == NULL && stream->place == TVS_PLACE_NONE);
    if (stream->up.open)
        tvs_upload_fini(stream);
    if (stream->down.open)
        tvs_download_fini(stream);
    tvs_stream_metrics_fini_locked(stream); /* the strands counted until now */
    tvs_follow_fini(stream);
    tvs_object_fini(&stream->published);
    tvs_wire_gaps_fini(&stream->published_gaps);
    tvs_object_fini(&stream->object);
    tvs_wire_gaps_fini(&stream->gaps);
    tvs_budget_release(stream->budget);
    tvs_pool_release_reference(stream->pool);
    free(stream->memory);
    free(stream);
    tvs_session_release(session);
}

struct tvs_stream *tvs_stream_find(struct tvs_session *session, uint64_t call_id) {
    struct tv_id_node *node = tv_id_table_find(&session->streams, call_id);
    if (node == NULL)
        return NULL;
    struct tvs_stream *stream = tvs_stream_of_node(node);
    tvs_stream_acquire(stream);
    return stream;
}

void tvs_stream_wake(struct tvs_stream *stream, unsigned wants) {
    tv_conn_wake(stream->session->conn, &stream->flow, wants);
}

/* ---- the strands ---- */

static bool work_locked(const struct tvs_stream *stream, const struct tvs_way *way) {
    if (!way->open || (stream->place == TVS_PLACE_AWAITED && !tv_stream_state_terminal(stream->state)))
        return false;
    return way == &stream->up ? tvs_upload_work_locked(stream) : tvs_download_work_locked(stream);
}

static bool schedule(struct tvs_stream *stream, struct tvs_way *way) {
    if (way->scheduled || !work_locked(stream, way))
        return false;
    way->scheduled = true;
    tvs_stream_acquire(stream);
    return true;
}

unsigned tvs_stream_schedule(struct tvs_stream *stream) {
    unsigned up = schedule(stream, &stream->up) ? TVS_RUN_UP : 0;
    unsigned down = schedule(stream, &stream->down) ? TVS_RUN_DOWN : 0;
    return up | down;
}

/* Runs steps until there is nothing to do. */
static void strand(struct tvs_stream *stream, struct tvs_way *way) {
    struct tvs_session *session = stream->session;
    for (unsigned steps = 0;; steps++) {
        pthread_mutex_lock(&session->lock);
        bool work = work_locked(stream, way);
        if (!work)
            way->scheduled = false;
        pthread_mutex_unlock(&session->lock);
        if (!work)
            break;
        if (steps >= STEPS_AT_ONCE && !(session->server->ops->capabilities & TVS_CAP_NONBLOCKING)) {
            tvs_workers_submit(session->server->workers, &way->task);
            return;
        }
        if (way == &stream->up)
            tvs_upload_step(stream);
        else
            tvs_download_step(stream);
    }
    tvs_stream_release(stream);
}

static void strand_up(struct tvs_task *task) {
    struct tvs_stream *stream = (struct tvs_stream *)((char *)task - offsetof(struct tvs_stream, up.task));
    strand(stream, &stream->up);
}

static void strand_down(struct tvs_task *task) {
    struct tvs_stream *stream = (struct tvs_stream *)((char *)task - offsetof(struct tvs_stream, down.task));
    strand(stream, &stream->down);
}

static void run(struct tvs_server *server, struct tvs_task *task) {
    if (server->ops->capabilities & TVS_CAP_NONBLOCKING)
        task->run(task);
    else
        tvs_workers_submit(server->workers, task);
}

void tvs_stream_run(struct tvs_stream *stream, unsigned strands) {
    struct tvs_server *server = stream->session->server;
    if (strands & TVS_RUN_UP)
        run(server, &stream->up.task);
    if (strands & TVS_RUN_DOWN)
        run(server, &stream->down.task);
}

/* ---- ending ---- */

/* Gives the place back, or the wait for one up. Under the lock; the caller has a reference. */
static void leave_pool_locked(struct tvs_stream *stream) {
    struct tvs_pool *pool = stream->pool;
    if (stream->place == TVS_PLACE_HELD) {
        stream->place = TVS_PLACE_NONE;
        atomic_fetch_add_explicit(&pool->streams_failed, stream->state == TROVE_STREAM_FAILED, memory_order_relaxed);
        atomic_fetch_add_explicit(&pool->streams_cancelled, stream->state == TROVE_STREAM_CANCELLED, memory_order_relaxed);
        tvs_pool_release(pool);
    } else if (stream->place == TVS_PLACE_AWAITED && tvs_pool_leave(pool, &stream->acquire)) {
        stream->place = TVS_PLACE_NONE;
        tvs_stream_release(stream); /* the wait's */
    }
}

bool tvs_stream_take_turn_locked(struct tvs_stream *stream, struct tvs_way *way, uint64_t bytes) {
    if (!atomic_load_explicit(&stream->pool->limited, memory_order_relaxed))
        return true;
    if (way->awaiting_turn)
        return false;
    tvs_stream_acquire(stream); /* the wait's, if there is one */
    way->awaiting_turn = !tvs_pool_bandwidth_take(stream->pool, &way->bandwidth, bytes);
    if (way->awaiting_turn)
        return false;
    tvs_stream_release(stream);
    return true;
}

/* Waits for nothing any more. Under the lock; the caller has a reference. */
static void leave_queues_locked(struct tvs_stream *stream, struct tvs_way *way) {
    if (way->awaiting_turn && tvs_pool_bandwidth_leave(stream->pool, &way->bandwidth)) {
        way->awaiting_turn = false;
        tvs_stream_release(stream); /* the wait's */
    }
    if (way->claiming && tvs_budget_forget(stream->budget, &way->claim)) {
        way->claiming = false;
        tvs_stream_release(stream); /* the claim's */
    }
}

void tvs_stream_log_end(const struct tvs_stream *stream) {
    struct tvs_log_line line;
    tvs_log_begin(&line, stream->state == TROVE_STREAM_FAILED ? TVS_LOG_WARN : TVS_LOG_DEBUG, "stream ended");
    tvs_log_number(&line, "stream", stream->id);
    tvs_log_text(&line, "state", trove_stream_state_name(stream->state));
    tvs_log_text(&line, "bucket", stream->bucket);
    tvs_log_text(&line, "key", stream->key);
    tvs_log_text(&line, "pool", stream->pool->name);
    tvs_log_text(&line, "principal", stream->session->principal);
    if (stream->state != TROVE_STREAM_COMPLETED)
        tvs_log_error(&line, &stream->failure);
    tvs_log_end(&line);
}

unsigned tvs_stream_end_locked(struct tvs_stream *stream, enum tv_stream_event event, const trove_error *why) {
    if (tv_stream_state_terminal(stream->state) || (stream->commit_running && event != TV_EVENT_COMPLETED))
        return 0;
    trove_status status = tv_stream_state_apply(&stream->state, event, NULL);
    TV_ASSERT(status == TROVE_OK);
    if (event != TV_EVENT_COMPLETED) {
        stream->failure = *why;
        stream->status_due = true;
    }
    if (stream->feed != NULL && !stream->follower)
        tvs_feed_retire(stream->feed); /* who comes from now on, when the peer knows of the end, doesn't follow it any more */
    leave_pool_locked(stream);
    leave_queues_locked(stream, &stream->up);
    leave_queues_locked(stream, &stream->down);
    return tvs_stream_schedule(stream);
}

void tvs_stream_end(struct tvs_stream *stream, enum tv_stream_event event, const trove_error *why) {
    struct tvs_session *session = stream->session;
    pthread_mutex_lock(&session->lock);
    unsigned strands = tvs_stream_end_locked(stream, event, why);
    pthread_mutex_unlock(&session->lock);
    tvs_stream_run(stream, strands);
    tvs_stream_wake(stream, TV_WANTS_CONTROL);
}

bool tvs_stream_unlist_locked(struct tvs_stream *stream) {
    if (!stream->listed)
        return false;
    stream->listed = false;
    tv_id_table_remove(&stream->session->streams, &stream->node);
    tvs_stream_list_remove(&stream->session->server->streams, stream);
    tvs_stream_metrics_fini_locked(stream);
    tvs_server_calmed(stream->session->server);
    return true;
}

void tvs_streams_abandon(struct tvs_session *session, const trove_error *why) {
    for (;;) {
        pthread_mutex_lock(&session->lock);
        struct tv_id_node *node = tv_id_table_any(&session->streams);
        struct tvs_stream *stream = node != NULL ? tvs_stream_of_node(node) : NULL;
        unsigned strands = 0;
        if (stream != NULL) {
            strands = tvs_stream_end_locked(stream, TV_EVENT_FAIL, why);
            bool listed = tvs_stream_unlist_locked(stream);
            TV_ASSERT(listed);
        }
        pthread_mutex_unlock(&session->lock);
        if (stream == NULL)
            return;
        tvs_stream_run(stream, strands);
        tvs_stream_release(stream);
    }
}

static trove_status late(const struct tvs_stream *stream, const char *what, uint32_t limit_ms, const char *key,
                         trove_error *error) {
    return TV_FAIL(error, DEADLINE_EXCEEDED, "stream %llu (%s/%.200s) %s %u ms, which is the limit of pool \"%s\" (%s)",
                   (unsigned long long)stream->id, stream->bucket, stream->key, what, limit_ms, stream->pool->name, key);
}

static bool over(uint64_t since_ns, uint64_t now_ns, uint32_t limit_ms) {
    return limit_ms != 0 && now_ns > since_ns && (now_ns - since_ns) / NS_PER_MS >= limit_ms;
}

static bool waits_in_line(const struct tvs_way *way) {
    return way->awaiting_turn || way->claiming;
}

/* It waits for its turn of the pool's bandwidth, for memory that others have, or for another stream to write more: it isn't the peer that
 * is idle. */
static bool held_up(const struct tvs_stream *stream) {
    return waits_in_line(&stream->up) || waits_in_line(&stream->down) || tvs_follow_idles_locked(stream);
}

/* Which of its limits the stream has passed; OK: none. While it waits for its place none counts; while it is paused or held up the
 * idle clock is held. */
static trove_status check_limits(const struct tvs_stream *stream, uint64_t now_ns, trove_error *error) {
    const struct tvs_pool_limits *terms = &stream->terms;
    bool moving = stream->state == TROVE_STREAM_ACTIVE || stream->state == TROVE_STREAM_COMPLETING;
    if (stream->place != TVS_PLACE_HELD)
        return TROVE_OK;
    if (over(stream->acquired_ns, now_ns, terms->stream_timeout_ms))
        return late(stream, "wasn't done within", terms->stream_timeout_ms, "stream_timeout", error);
    if (moving && !held_up(stream) && over(stream->progress_ns, now_ns, terms->idle_timeout_ms))
        return late(stream, "made no progress for", terms->idle_timeout_ms, "idle_timeout", error);
    if (!moving && over(stream->state_ns, now_ns, terms->paused_timeout_ms))
        return late(stream, stream->state == TROVE_STREAM_IDLE ? "wasn't started within" : "was paused for",
                    terms->paused_timeout_ms, "paused_timeout", error);
    return TROVE_OK;
}

void tvs_stream_tick(struct tvs_stream *stream, uint64_t now_ns) {
    struct tvs_session *session = stream->session;
    unsigned strands = 0;
    bool wake = false;
    trove_error why;
    pthread_mutex_lock(&session->lock);
    tvs_stream_metrics_tick_locked(stream, now_ns);
    if (held_up(stream))
        stream->progress_ns = now_ns;
    if (check_limits(stream, now_ns, &why) != TROVE_OK) {
        strands = tvs_stream_end_locked(stream, TV_EVENT_FAIL, &why);
        wake = true;
    }
    pthread_mutex_unlock(&session->lock);
    tvs_stream_run(stream, strands);
    if (wake)
        tvs_stream_wake(stream, TV_WANTS_CONTROL);
}

void tvs_stream_relieve(struct tvs_stream *stream, uint64_t now_ns) {
    struct tvs_session *session = stream->session;
    bool wake = false;
    if (!tvs_budget_contended(stream->budget))
        return;
    (void)tvs_relief_want(&session->server->relief); /* this round isn't the last */
    pthread_mutex_lock(&session->lock);
    bool live = !tv_stream_state_terminal(stream->state);
    if (live && stream->down.open)
        tvs_download_relieve_locked(stream, now_ns);
    if (live && stream->up.open && now_ns > stream->granted_ns + stream->terms.grant_expiry_ms * NS_PER_MS)
        wake = tvs_upload_expire_locked(stream);
    pthread_mutex_unlock(&session->lock);
    if (wake)
        tvs_stream_wake(stream, TV_WANTS_CONTROL);
}

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

static trove_status check_unimplemented(const Trove__V1__Open *open, trove_error *error) {
    const char *what = NULL;
    if (open->resumable || open->upload_id.len > 0)
        what = "resumable uploads";
    else if (open->digest != NULL && open->digest->kind != TROVE__V1__DIGEST_KIND__DIGEST_NONE)
        what = "declared digests";
    if (what != NULL)
        return TV_FAIL(error, UNIMPLEMENTED, "%s aren't there yet in this version of the server", what);
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

static trove_status check_open(const Trove__V1__Open *open, trove_error *error) {
    if (open->lossy && open->resumable)
        return TV_FAIL(error, INVALID_ARGUMENT, "a stream can't be both lossy and resumable");
    if (open->backpressure == TROVE__V1__BACKPRESSURE__DROP && !open->lossy)
        return TV_FAIL(error, INVALID_ARGUMENT, "backpressure DROP loses chunks: the stream must be opened as lossy");
    trove_status status = check_unimplemented(open, error);
    if (status == TROVE_OK && open->follow)
        status = check_follow(open, error);
    if (status != TROVE_OK)
        return status;
    if ((unsigned)open->backpressure > TROVE__V1__BACKPRESSURE__ADAPTIVE)
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
    struct tvs_conditions *conditions = &stream->put_options.conditions;
    tvs_conditions_from_wire(open->conditions, conditions);
    size_t bytes = strlen(open->bucket) + strlen(open->key) + strlen(open->content_type) + 3;
    bytes += conditions->if_match != NULL ? strlen(conditions->if_match) + 1 : 0;
    for (size_t i = 0; i < open->n_metadata; i++)
        bytes += strlen(list[i].key) + strlen(list[i].value) + 2;
    stream->memory = malloc(open->n_metadata * sizeof(trove_metadata) + bytes);
    if (stream->memory == NULL)
        return TV_FAIL(error, RESOURCE_EXHAUSTED, "no memory for a stream");
    trove_metadata *metadata = stream->memory;
    char *at = (char *)(metadata + open->n_metadata);
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
    stream->pool = tvs_pools_find(stream->session->server->pools, open->pool, error);
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

/* What an adaptive stream may look for where its client leaves it to the server: more than the usual, as far as a window of such chunks fits
 * the memory. */
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

static void set_sizes(struct tvs_stream *stream, const Trove__V1__Open *open) {
    stream->adapts = open->backpressure == TROVE__V1__BACKPRESSURE__ADAPTIVE;
    choose_chunks(stream, open);
    uint64_t slice_bytes = tvs_bandwidth_slice(stream->terms.bandwidth);
    if (stream->chunk_bytes > slice_bytes) /* it is credited, and cut into frames, by the chunk */
        stream->chunk_bytes = slice_bytes;
    /* A window that is more than a quarter of everything would only wait in line with itself. */
    uint64_t fits = tvs_budget_bytes(stream->budget) / 4 / stream->chunk_bytes;
    if (stream->channel_chunks > fits)
        stream->channel_chunks = fits > 0 ? (uint32_t)fits : 1;
    stream->grant.chunk_bytes = stream->chunk_bytes;
    stream->grant.window_bytes = stream->chunk_bytes * stream->channel_chunks;
    bool sized = open->size_given_case == TROVE__V1__OPEN__SIZE_GIVEN_SIZE;
    stream->declared_size = sized ? open->size : TROVE_SIZE_UNKNOWN;
    stream->put_options.size_hint = stream->declared_size;
    stream->lossy = open->lossy;
    stream->drops = open->backpressure == TROVE__V1__BACKPRESSURE__DROP;
    stream->allow_gaps = open->allow_gaps;
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
    stream->state = open->paused ? TROVE_STREAM_IDLE : TROVE_STREAM_ACTIVE;
    stream->progress_ns = tv_now_ns();
    stream->metrics.started_ns = tv_wall_ns();
    stream->up.open = stream->direction != TROVE_DIRECTION_DOWNLOAD;
    stream->up.task.run = strand_up;
    stream->up.bandwidth.turn = tvs_upload_turn;
    stream->up.claim.granted = tvs_upload_granted;
    stream->down.open = stream->direction != TROVE_DIRECTION_UPLOAD;
    stream->down.task.run = strand_down;
    stream->down.bandwidth.turn = tvs_download_turn;
    stream->down.claim.granted = tvs_download_granted;
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

static trove_status create(struct tvs_session *session, const tv_frame *frame, struct tvs_stream **stream_out,
                           trove_error *error) {
    const Trove__V1__Open *open = frame->open;
    trove_status status = check_open(open, error);
    if (status != TROVE_OK)
        return status;
    struct tvs_stream *stream = calloc(1, sizeof *stream);
    if (stream == NULL)
        return TV_FAIL(error, RESOURCE_EXHAUSTED, "no memory for a stream");
    stream->session = session;
    status = choose_pool(stream, open, error);
    if (status == TROVE_OK)
        status = copy_names(stream, open, error);
    if (status != TROVE_OK) {
        tvs_budget_release(stream->budget);
        if (stream->pool != NULL)
            tvs_pool_release_reference(stream->pool);
        free(stream);
        return status;
    }
    set_up(stream, frame);
    *stream_out = stream;
    return TROVE_OK;
}

/* Into the connection's table and the server's list. Under the lock. */
static trove_status enlist_locked(struct tvs_stream *stream, trove_error *error) {
    struct tvs_session *session = stream->session;
    if (session->streams.count >= TV_STREAMS_PER_CONN_MAX)
        return TV_FAIL(error, RESOURCE_EXHAUSTED, "this connection has %d streams open, which is the limit",
                       TV_STREAMS_PER_CONN_MAX);
    tv_id_table_add(&session->streams, &stream->node);
    tvs_stream_list_add(&session->server->streams, stream);
    stream->listed = true;
    return TROVE_OK;
}

/* Takes a place in the pool, or its turn in the queue; if neither is to be had, the stream fails. Under the lock; returns as schedule
 * does. */
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

/* One step: whoever finds the stream in the list finds it with a place, waiting for one, or failed. Takes the reference over that the table
 * is to have. */
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
        tvs_session_send_status(session, frame->call_id, &error, false);
        return;
    }
    tvs_session_acquire(session); /* the stream's */
    enter(stream, wait_ms != 0 ? wait_ms : session->server->options.call_deadline_ms);
}
