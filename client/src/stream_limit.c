/* stream_limit.c - see stream_limit.h. */
#include "stream_limit.h"

#include "alarm.h"
#include "stream.h"

#define WAKE_BATCH 32

/* A chunk of a slow stream takes a quarter of a second. */
#define CHUNKS_PER_SECOND 4
#define CHUNK_BYTES_MIN   (4 * TV_KIB)

struct tvc_limit *tvc_limit_create(uint64_t bytes_per_second) {
    struct tvc_limit *limit = calloc(1, sizeof *limit);
    if (limit != NULL)
        tvc_limiter_init(&limit->limiter, bytes_per_second, tv_now_ns());
    return limit;
}

/* A power of two, so that chunks and blocks fit each other. */
static uint64_t chunk_bytes_for(uint64_t bytes_per_second) {
    uint64_t bytes = TV_CHUNK_BYTES_DEFAULT;
    while (bytes > CHUNK_BYTES_MIN && bytes > bytes_per_second / CHUNKS_PER_SECOND)
        bytes /= 2;
    return bytes;
}

trove_status tvc_stream_limit_init(trove_stream *stream, uint64_t bytes_per_second, struct tvc_limit *shared,
                                   uint32_t shared_streams, trove_error *error) {
    struct tvc_stream_limit *limit = &stream->limit;
    limit->shared = shared;
    uint64_t slowest = bytes_per_second > 0 ? bytes_per_second : UINT64_MAX;
    unsigned ways = tvc_stream_sends(stream) && tvc_stream_receives(stream) ? 2 : 1;
    if (shared != NULL && shared->limiter.bucket.bytes_per_second / shared_streams < slowest)
        slowest = shared->limiter.bucket.bytes_per_second / shared_streams;
    if (slowest < UINT64_MAX)
        limit->chunk_bytes = chunk_bytes_for(slowest / ways);
    if (bytes_per_second == 0)
        return TROVE_OK;
    limit->own = tvc_limit_create(bytes_per_second);
    return limit->own != NULL ? TROVE_OK : TV_FAIL(error, RESOURCE_EXHAUSTED, "no memory for a stream's limit");
}

void tvc_stream_limit_fini(struct tvc_stream_limit *limit) {
    free(limit->own);
    limit->own = NULL;
}

/* ---- the client's list; under the lock ---- */

static void unlist(struct trove_client *client, struct tvc_limit *limit) {
    if (!limit->listed)
        return;
    if (limit->previous != NULL)
        limit->previous->next = limit->next;
    else
        client->limited = limit->next;
    if (limit->next != NULL)
        limit->next->previous = limit->previous;
    limit->previous = limit->next = NULL;
    limit->listed = false;
}

/* Listed, with the alarm set, exactly while somebody waits. */
static void settle(struct trove_client *client, struct tvc_limit *limit) {
    if (limit->limiter.first == NULL) {
        unlist(client, limit);
        return;
    }
    if (!limit->listed) {
        limit->listed = true;
        limit->next = client->limited;
        if (client->limited != NULL)
            client->limited->previous = limit;
        client->limited = limit;
    }
    tvc_alarm_by(client, limit->limiter.due_ns);
}

/* ---- asking; under the lock ---- */

static bool ask(struct trove_client *client, struct tvc_limit *limit, struct tvc_turn *turn, uint64_t now_ns, uint64_t *bytes) {
    if (limit == NULL)
        return true;
    bool may = tvc_limiter_ask(&limit->limiter, turn, now_ns);
    if (!may)
        settle(client, limit);
    if (*bytes > limit->limiter.piece_bytes)
        *bytes = limit->limiter.piece_bytes;
    return may;
}

/* The own limit first: a stream that it holds back takes no place in the queue of its pool. */
uint64_t tvc_stream_limit_ask(struct tvc_half *half, uint64_t bytes) {
    struct trove_client *client = half->stream->client;
    const struct tvc_stream_limit *limit = &half->stream->limit;
    if (!tvc_stream_limited(limit))
        return bytes;
    uint64_t now_ns = tv_now_ns();
    bool may = ask(client, limit->own, &half->own_turn, now_ns, &bytes) &&
               ask(client, limit->shared, &half->shared_turn, now_ns, &bytes);
    return may ? bytes : 0;
}

void tvc_stream_limit_moved(struct tvc_half *half, uint64_t bytes) {
    const struct tvc_stream_limit *limit = &half->stream->limit;
    if (!tvc_stream_limited(limit))
        return;
    uint64_t now_ns = tv_now_ns();
    if (limit->own != NULL)
        tvc_limiter_moved(&limit->own->limiter, &half->own_turn, bytes, now_ns);
    if (limit->shared != NULL)
        tvc_limiter_moved(&limit->shared->limiter, &half->shared_turn, bytes, now_ns);
}

static void leave(struct trove_client *client, struct tvc_limit *limit, struct tvc_turn *turn) {
    if (limit == NULL)
        return;
    tvc_limiter_leave(&limit->limiter, turn);
    settle(client, limit);
}

void tvc_stream_limit_leave(struct tvc_half *half) {
    trove_stream *stream = half->stream;
    leave(stream->client, stream->limit.own, &half->own_turn);
    leave(stream->client, stream->limit.shared, &half->shared_turn);
}

/* Credit that the server can still use: more would be counted as moved, and never be. */
static uint64_t usable_credit(const trove_stream *stream) {
    const struct tv_receiver *receiver = &stream->download.receiver;
    if (stream->download.size == TROVE_SIZE_UNKNOWN)
        return UINT64_MAX;
    uint64_t end = stream->download.range_offset + stream->download.size;
    uint64_t begun = receiver->expected_offset;
    if (receiver->in_chunk && !receiver->chunk_not_taken)
        begun += receiver->chunk_bytes - receiver->fragment_offset;
    uint64_t needed = end > begun ? end - begun : 0;
    return needed > receiver->outstanding_bytes ? needed - receiver->outstanding_bytes : 0;
}

uint64_t tvc_stream_limit_grant(trove_stream *stream, uint64_t due_bytes) {
    struct tvc_half *half = &stream->download.half;
    if (!tvc_stream_limited(&stream->limit))
        return due_bytes;
    bool moves =
        stream->state == TROVE_STREAM_ACTIVE || stream->state == TROVE_STREAM_COMPLETING; /* what wasn't taken comes again */
    if (!moves) /* what was granted would be the pool's loss; starting and resuming wake the flow */
        return 0;
    uint64_t usable = usable_credit(stream);
    uint64_t wanted = due_bytes < usable ? due_bytes : usable;
    uint64_t granted = wanted > 0 ? tvc_stream_limit_ask(half, wanted) : 0;
    if (granted > 0)
        tvc_stream_limit_moved(half, granted);
    return granted;
}

/* ---- waking ---- */

/* Up to WAKE_BATCH halves, with references of their streams. */
static unsigned take_next(struct trove_client *client, uint64_t now_ns, struct tvc_half **woken) {
    unsigned count = 0;
    pthread_mutex_lock(&client->lock);
    for (struct tvc_limit *limit = client->limited; limit != NULL && count < WAKE_BATCH;) {
        struct tvc_limit *next = limit->next;
        struct tvc_turn *turn = NULL;
        while (count < WAKE_BATCH && (turn = tvc_limiter_next(&limit->limiter, now_ns)) != NULL) {
            woken[count] = turn->owner;
            tvc_stream_acquire(woken[count++]->stream);
        }
        settle(client, limit);
        limit = next;
    }
    pthread_mutex_unlock(&client->lock);
    return count;
}

void tvc_limits_look(struct trove_client *client, uint64_t now_ns) {
    struct tvc_half *woken[WAKE_BATCH];
    unsigned count = 0;
    do {
        count = take_next(client, now_ns, woken);
        for (unsigned i = 0; i < count; i++) {
            trove_stream *stream = woken[i]->stream;
            tvc_client_wake(client, &stream->flow, woken[i]->wants);
            tvc_stream_release(stream);
        }
    } while (count == WAKE_BATCH);
}
