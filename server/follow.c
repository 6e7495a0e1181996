/* follow.c - see follow.h.
 *
 * The way up's strand elects: the stream that writes has an empty way down, one that follows has no way up. The way down of a
 * follower is a download whose end isn't known yet: it reads from the feed until that is settled, and then goes on with the
 * object that was published. `read_end` is how far it knows that it can read; only when it `ends` there can there be a last
 * chunk.
 */
#include "follow.h"

/* ---- the election; by the way up's strand ---- */

trove_status tvs_follow_join(struct tvs_stream *stream, trove_error *error) {
    struct tvs_session *session = stream->session;
    struct tvs_server *server = session->server;
    struct tvs_feed *feed = NULL;
    bool writer = false;
    trove_status status = tvs_session_may(session, TVS_RIGHT_WRITE, stream->bucket, stream->key, error);
    if (status != TROVE_OK && (feed = tvs_feeds_find(&server->feeds, stream->bucket, stream->key)) != NULL)
        status = TROVE_OK; /* it only reads */
    else if (status == TROVE_OK)
        status = tvs_feeds_join(&server->feeds, stream->bucket, stream->key, &feed, &writer, error);
    if (status != TROVE_OK)
        return status;
    pthread_mutex_lock(&session->lock);
    stream->feed = feed;
    stream->follower = !writer;
    stream->complete_received |= stream->follower; /* nothing comes up */
    if (writer && tv_stream_state_terminal(stream->state))
        tvs_feed_retire(feed); /* it ended before it could be found here */
    pthread_mutex_unlock(&session->lock);
    if (stream->follower && server->ops->put_read == NULL)
        return TV_FAIL(error, UNIMPLEMENTED, "%s/%.200s is being written, and the store (%s) can't read what isn't complete",
                       stream->bucket, stream->key, server->ops->scheme);
    return TROVE_OK;
}

void tvs_follow_settle(struct tvs_stream *stream) {
    bool published = stream->state == TROVE_STREAM_COMPLETED;
    tvs_feed_retire(stream->feed);
    tvs_feed_settle(stream->feed, published ? &stream->published : NULL, &stream->failure);
}

void tvs_follow_fini(struct tvs_stream *stream) {
    if (stream->feed != NULL)
        tvs_feed_release(stream->feed);
}

trove_status tvs_follow_refuse(const struct tvs_stream *stream, trove_error *error) {
    return TV_FAIL(error, FAILED_PRECONDITION, "another stream writes %s/%.200s; this one follows it", stream->bucket,
                   stream->key);
}

/* ---- a follower's way down ---- */

static struct tvs_stream *stream_of(struct tvs_follower *follower) {
    return (struct tvs_stream *)((char *)follower - offsetof(struct tvs_stream, following));
}

static void acquire(struct tvs_follower *follower) {
    tvs_stream_acquire(stream_of(follower));
}

/* On the writer's strand. */
static void told(struct tvs_follower *follower) {
    struct tvs_stream *stream = stream_of(follower);
    struct tvs_session *session = stream->session;
    pthread_mutex_lock(&session->lock);
    stream->awaits_news = false;
    stream->settled = tvs_feed_settled(stream->feed);
    unsigned strands = tvs_stream_schedule(stream);
    pthread_mutex_unlock(&session->lock);
    tvs_stream_run(stream, strands);
    tvs_stream_release(stream);
}

void tvs_follow_enter(struct tvs_stream *stream) {
    stream->following.acquire = acquire;
    stream->following.told = told;
    bool live = tvs_feed_enter(stream->feed, &stream->following);
    if (live)
        return;
    pthread_mutex_lock(&stream->session->lock);
    stream->settled = true;
    pthread_mutex_unlock(&stream->session->lock);
}

void tvs_follow_leave(struct tvs_stream *stream) {
    pthread_mutex_lock(&stream->session->lock);
    stream->awaits_news = false;
    pthread_mutex_unlock(&stream->session->lock);
    tvs_feed_leave(stream->feed, &stream->following);
}

bool tvs_follow_work_locked(const struct tvs_stream *stream) {
    if (stream->ends || stream->settled) /* also while it is paused: it gets hold of the object before that is replaced */
        return !stream->ends;
    bool knows_no_more = stream->ahead.end >= stream->read_end && !stream->feed_closed;
    return stream->state == TROVE_STREAM_ACTIVE && !stream->awaits_news && knows_no_more;
}

bool tvs_follow_idles_locked(const struct tvs_stream *stream) {
    bool waits = stream->awaits_news || stream->feed_closed;
    return stream->follower && waits && !stream->settled && stream->sender_ready && tv_sender_settled(&stream->sender);
}

/* Whether there is more. */
static void look(struct tvs_stream *stream) {
    pthread_mutex_lock(&stream->session->lock);
    enum tvs_feed_news news = tvs_feed_look(stream->feed, &stream->following, &stream->read_end);
    stream->awaits_news = news == TVS_FEED_NONE;
    stream->settled |= news == TVS_FEED_SETTLED;
    pthread_mutex_unlock(&stream->session->lock);
}

/* Opens what was published, and nothing else. */
static trove_status open_published(struct tvs_stream *stream, const struct tvs_feed_outcome *outcome, trove_error *error) {
    struct tvs_server *server = stream->session->server;
    const struct tvs_conditions conditions = {.if_match = outcome->etag, .if_generation = outcome->generation};
    if (!outcome->published)
        return TV_FAIL(error, ABORTED, "%s/%.200s: the stream that wrote it has ended before it was published: %s",
                       stream->bucket, stream->key, outcome->why.message);
    struct tvs_get *get = NULL;
    trove_status status =
        server->ops->get_begin(server->driver, stream->bucket, stream->key, &conditions, &get, &stream->object, error);
    if (status == TROVE_NOT_FOUND || status == TROVE_FAILED_PRECONDITION)
        return TV_FAIL(error, ABORTED,
                       "%s/%.200s was replaced or deleted as soon as it was published (generation %llu); this stream had not "
                       "opened it yet",
                       stream->bucket, stream->key, (unsigned long long)outcome->generation);
    stream->get = status == TROVE_OK ? get : NULL;
    return status;
}

/* The feed is settled: what is left is read from the object. */
static void go_over(struct tvs_stream *stream) {
    trove_error error;
    if (open_published(stream, tvs_feed_outcome(stream->feed), &error) != TROVE_OK) {
        tvs_stream_end(stream, TV_EVENT_FAIL, &error);
        return;
    }
    pthread_mutex_lock(&stream->session->lock);
    stream->read_end = stream->object.size;
    stream->ends = true;
    stream->progress_ns = tv_now_ns();
    pthread_mutex_unlock(&stream->session->lock);
    tvs_stream_wake(stream, TV_WANTS_DATA);
}

void tvs_follow_step(struct tvs_stream *stream) {
    pthread_mutex_lock(&stream->session->lock);
    bool settled = stream->settled;
    pthread_mutex_unlock(&stream->session->lock);
    if (settled)
        go_over(stream);
    else
        look(stream);
}
