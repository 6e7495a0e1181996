/* stream.c - the life of a stream on the server: references, strands, its end. See stream.h.
 *
 * References: the session's table has one while the stream is listed, each strand one while it is scheduled, the wait for a place
 * in the pool one, a queued claim one, a wait for bandwidth one, a running commit one, and the connection while the flow is in
 * its rings; whoever has found it in a table or a list one as long as it looks at it, and the session while a payload for it is
 * coming in. The strands let go of the driver's handles before they end, so the last reference may be dropped anywhere.
 */
#include "stream.h"

#include "audit_events.h"
#include "download.h"
#include "follow.h"
#include "resume.h"
#include "stream_control.h"
#include "upload.h"

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
    struct tvs_control_answer untold;
    while (tvs_stream_answer_take_locked(stream, &untold)) /* nobody else has it any more */
        continue;
    free(stream->resume);
    tvs_object_fini(&stream->published);
    tvs_wire_gaps_fini(&stream->published_gaps);
    tvs_object_fini(&stream->object);
    tvs_wire_gaps_fini(&stream->gaps);
    tvs_budget_release(stream->budget);
    tvs_pool_release_reference(stream->pool);
    tvs_quota_give(&session->server->stream_memory, stream->charged_bytes);
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

void tvs_stream_init_strands(struct tvs_stream *stream) {
    stream->up.task.run = strand_up;
    stream->down.task.run = strand_down;
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

/* Whether a client asked for what isn't there or isn't allowed: that is no failure of the server's, nor of a transfer. */
static bool blames_client(trove_status status) {
    switch (status) {
    case TROVE_INVALID_ARGUMENT:
    case TROVE_NOT_FOUND:
    case TROVE_ALREADY_EXISTS:
    case TROVE_PERMISSION_DENIED:
    case TROVE_FAILED_PRECONDITION:
    case TROVE_OUT_OF_RANGE:
    case TROVE_UNIMPLEMENTED:
    case TROVE_UNAUTHENTICATED:
        return true;
    default:
        return false;
    }
}

/* Gives the place back, or the wait for one up. Under the lock; the caller has a reference. */
static void leave_pool_locked(struct tvs_stream *stream) {
    struct tvs_pool *pool = stream->pool;
    if (stream->place == TVS_PLACE_HELD) {
        stream->place = TVS_PLACE_NONE;
        bool failed = stream->state == TROVE_STREAM_FAILED && !stream->refused;
        atomic_fetch_add_explicit(&pool->streams_failed, failed, memory_order_relaxed);
        atomic_fetch_add_explicit(&pool->streams_cancelled, stream->state == TROVE_STREAM_CANCELLED, memory_order_relaxed);
        tvs_pool_release(pool);
    } else if (stream->place == TVS_PLACE_AWAITED && tvs_pool_leave(pool, &stream->acquire)) {
        stream->place = TVS_PLACE_NONE;
        tvs_stream_release(stream); /* the wait's */
    }
}

/* Its principal's bandwidth first, then its pool's: one waiter does for both. */
static bool take_turns(struct tvs_stream *stream, struct tvs_way *way, uint64_t bytes) {
    if (!way->had_own_turn && !tvs_throttle_take(&stream->session->bandwidth->throttle, &way->bandwidth, bytes))
        return false;
    way->had_own_turn = !tvs_pool_bandwidth_take(stream->pool, &way->bandwidth, bytes);
    return !way->had_own_turn;
}

static bool leave_turns(struct tvs_stream *stream, struct tvs_way *way) {
    struct tvs_throttle *own = &stream->session->bandwidth->throttle;
    return tvs_throttle_leave(way->had_own_turn ? &stream->pool->throttle : own, &way->bandwidth);
}

/* Turns that were given under a limit which has gone pay for nothing when there is one again. Those that it is still to be called
 * for are the throttle's: they are taken, or forgotten, when it has been. */
static void forget_turns(struct tvs_way *way) {
    if (way->awaiting_turn)
        return;
    way->had_own_turn = false;
    way->bandwidth.has_turn = false;
}

bool tvs_stream_take_turn_locked(struct tvs_stream *stream, struct tvs_way *way, uint64_t bytes) {
    if (!tvs_stream_limited(stream)) {
        forget_turns(way);
        return true;
    }
    if (way->awaiting_turn)
        return false;
    tvs_stream_acquire(stream); /* the wait's, if there is one */
    way->awaiting_turn = !take_turns(stream, way, bytes);
    if (way->awaiting_turn)
        return false;
    tvs_stream_release(stream);
    return true;
}

/* Waits for nothing any more. Under the lock; the caller has a reference. */
static void leave_queues_locked(struct tvs_stream *stream, struct tvs_way *way) {
    if (way->awaiting_turn && leave_turns(stream, way)) {
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
    bool failed = stream->state == TROVE_STREAM_FAILED && !stream->refused;
    tvs_log_begin(&line, failed ? TVS_LOG_WARN : TVS_LOG_DEBUG, "stream ended");
    tvs_log_number(&line, "stream", stream->id);
    tvs_log_text(&line, "state", trove_stream_state_name(stream->state));
    tvs_log_text(&line, "bucket", stream->bucket);
    tvs_log_text(&line, "key", stream->key);
    tvs_log_text(&line, "pool", stream->pool->name);
    tvs_log_text(&line, "principal", stream->session->principal.name);
    if (stream->state != TROVE_STREAM_COMPLETED)
        tvs_log_error(&line, &stream->failure);
    tvs_log_end(&line);
    tvs_audit_stream(stream);
}

unsigned tvs_stream_end_locked(struct tvs_stream *stream, enum tv_stream_event event, const trove_error *why) {
    if (tv_stream_state_terminal(stream->state) || (stream->commit_running && event != TV_EVENT_COMPLETED))
        return 0;
    trove_status status = tv_stream_state_apply(&stream->state, event, NULL);
    TV_ASSERT(status == TROVE_OK);
    if (event != TV_EVENT_COMPLETED) {
        stream->failure = *why;
        stream->refused = event == TV_EVENT_FAIL && !tvs_stream_begun(stream) && blames_client(why->status);
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

/* It waits for its turn of the bandwidth, for memory that others have, or for another stream to write more: it isn't the
 * peer that is idle. */
static bool held_up(const struct tvs_stream *stream) {
    return waits_in_line(&stream->up) || waits_in_line(&stream->down) || tvs_follow_idles_locked(stream);
}

static bool moves(const struct tvs_stream *stream) {
    return stream->state == TROVE_STREAM_ACTIVE || stream->state == TROVE_STREAM_COMPLETING;
}

static trove_status check_rate(const struct tvs_stream *stream, uint64_t now_ns, trove_error *error) {
    const struct tvs_pool_limits *terms = &stream->terms;
    if (terms->rate_min == 0 || !over(stream->fast_ns, now_ns, terms->idle_timeout_ms))
        return TROVE_OK;
    return TV_FAIL(
        error, RESOURCE_EXHAUSTED,
        "stream %llu (%s/%.200s) has moved fewer than %llu bytes a second for %u ms, which pool \"%s\" needs (min_rate)",
        (unsigned long long)stream->id, stream->bucket, stream->key, (unsigned long long)terms->rate_min, terms->idle_timeout_ms,
        stream->pool->name);
}

/* Which of its limits the stream has passed; OK: none. While it waits for its place none counts; while it is paused or held up
 * the idle clock is held. */
static trove_status check_limits(const struct tvs_stream *stream, uint64_t now_ns, trove_error *error) {
    const struct tvs_pool_limits *terms = &stream->terms;
    bool moving = moves(stream);
    if (stream->place != TVS_PLACE_HELD)
        return TROVE_OK;
    if (over(stream->acquired_ns, now_ns, terms->stream_timeout_ms))
        return late(stream, "wasn't done within", terms->stream_timeout_ms, "stream_timeout", error);
    if (moving && !held_up(stream) && over(stream->progress_ns, now_ns, terms->idle_timeout_ms))
        return late(stream, "made no progress for", terms->idle_timeout_ms, "idle_timeout", error);
    if (!moving && over(stream->state_ns, now_ns, terms->paused_timeout_ms))
        return late(stream, stream->state == TROVE_STREAM_IDLE ? "wasn't started within" : "was paused for",
                    terms->paused_timeout_ms, "paused_timeout", error);
    return check_rate(stream, now_ns, error);
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
    bool fast = stream->metrics.rate.bytes_per_second >= (double)stream->terms.rate_min;
    if (fast || stream->fast_ns == 0 || !moves(stream) || stream->place != TVS_PLACE_HELD || held_up(stream))
        stream->fast_ns = now_ns;
    if (stream->down.open && !tv_stream_state_terminal(stream->state))
        tvs_download_relieve_locked(stream, now_ns);
    if (check_limits(stream, now_ns, &why) != TROVE_OK) {
        strands = tvs_stream_end_locked(stream, TV_EVENT_FAIL, &why);
        wake = true;
    } else if (stream->resume != NULL && !tv_stream_state_terminal(stream->state)) {
        strands = tvs_resume_tick_locked(stream, now_ns);
        wake = stream->status_due;
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
