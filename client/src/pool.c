/* pool.c - see pool.h: places, members, timeouts. The program's side of it is in pool_api.c, what it counts in
 * pool_metrics.c. */
#include "pool.h"

#include "alarm.h"
#include "stream.h"
#include "wait.h"

#include <string.h>

#define NS_PER_MS     UINT64_C(1000000)
#define TIMEOUT_BATCH 32

/* ---- life ---- */

void tvc_pool_acquire(struct trove_pool *pool) {
    atomic_fetch_add_explicit(&pool->references, 1, memory_order_relaxed);
}

void tvc_pool_free(struct trove_pool *pool) {
    struct trove_client *client = pool->client;
    pthread_cond_destroy(&pool->changed);
    free(pool->limit);
    free(pool->server_pool);
    free(pool->name);
    free(pool);
    tvc_client_release(client);
}

void tvc_pool_release(struct trove_pool *pool) {
    if (atomic_fetch_sub_explicit(&pool->references, 1, memory_order_acq_rel) != 1)
        return;
    struct trove_client *client = pool->client;
    pthread_mutex_lock(&client->lock);
    if (pool->previous != NULL)
        pool->previous->next = pool->next;
    else
        client->pools = pool->next;
    if (pool->next != NULL)
        pool->next->previous = pool->previous;
    client->pool_count--;
    pthread_mutex_unlock(&client->lock);
    tvc_pool_free(pool);
}

void tvc_pool_fill(const struct trove_pool *pool, trove_stream_options *options) {
    const trove_pool_options *own = &pool->options;
    if (options->chunk_bytes == 0)
        options->chunk_bytes = own->chunk_bytes;
    if (options->channel_chunks == 0)
        options->channel_chunks = own->channel_chunks;
    if (options->pool == NULL)
        options->pool = pool->server_pool;
    if (options->backpressure != TROVE_BACKPRESSURE_DEFAULT)
        return;
    options->backpressure = own->backpressure;
    if (own->backpressure == TROVE_BACKPRESSURE_DROP)
        options->lossy = true;
}

/* ---- places ---- */

struct waiter {
    struct tvc_pool_ticket ticket; /* first */
    pthread_cond_t granted;
};

static void wake_waiter(struct tvc_pool_ticket *ticket) {
    if (ticket != NULL)
        pthread_cond_signal(&((struct waiter *)ticket)->granted);
}

/* Under the lock. */
static trove_status wait_for_place(struct trove_pool *pool, struct waiter *waiter, uint64_t deadline_ns, trove_error *error) {
    struct tvc_pool_ticket *ticket = &waiter->ticket;
    bool in_hook = tvc_job_thread_here(&pool->client->hooks);
    tvc_pool_queue_ask(&pool->queue, ticket, in_hook ? 0 : deadline_ns);
    while (ticket->state == TVC_TICKET_WAITING) {
        bool in_time = !in_hook && tvc_cond_wait(&waiter->granted, &pool->client->lock, deadline_ns);
        if (!in_time)
            tvc_pool_queue_expire(&pool->queue, ticket, tv_now_ns());
    }
    if (ticket->state == TVC_TICKET_GRANTED)
        return TROVE_OK;
    if (ticket->state == TVC_TICKET_CLOSED)
        return tv_error_copy(error, &pool->refusal);
    if (in_hook)
        return TV_FAIL(error, RESOURCE_EXHAUSTED, "pool %s: all of its %u streams are in use, and a hook can't wait for one",
                       pool->name, pool->queue.places);
    return TV_FAIL(error, DEADLINE_EXCEEDED,
                   "pool %s: all of its %u streams were in use, and %u others wait for one; release streams or raise max_streams",
                   pool->name, pool->queue.places, pool->queue.waiting);
}

trove_status tvc_pool_enter(struct trove_pool *pool, uint64_t deadline_ns, trove_error *error) {
    struct waiter waiter;
    tvc_cond_init(&waiter.granted);
    pthread_mutex_lock(&pool->client->lock);
    trove_status status = wait_for_place(pool, &waiter, deadline_ns, error);
    pthread_mutex_unlock(&pool->client->lock);
    pthread_cond_destroy(&waiter.granted);
    return status;
}

/* Under the lock. */
static void give_back(struct trove_pool *pool) {
    wake_waiter(tvc_pool_queue_give_back(&pool->queue));
    pthread_cond_broadcast(&pool->changed);
}

void tvc_pool_leave(struct trove_pool *pool) {
    pthread_mutex_lock(&pool->client->lock);
    give_back(pool);
    pthread_mutex_unlock(&pool->client->lock);
}

void tvc_pool_shut(struct trove_pool *pool, const trove_error *why) {
    if (pool->queue.closed)
        return;
    pool->refusal = *why;
    for (struct tvc_pool_ticket *ticket; (ticket = tvc_pool_queue_close(&pool->queue)) != NULL;)
        wake_waiter(ticket);
}

void tvc_pools_lost(struct trove_client *client, const trove_error *lost) {
    for (struct trove_pool *pool = client->pools; pool != NULL; pool = pool->next)
        tvc_pool_shut(pool, lost);
}

/* ---- members; under the lock ---- */

static uint64_t after_ms(uint64_t since_ns, uint32_t timeout_ms) {
    return timeout_ms == 0 ? UINT64_MAX : since_ns + timeout_ms * NS_PER_MS;
}

static uint64_t later(uint64_t a, uint64_t b) {
    return a > b ? a : b;
}

/* Written, acknowledged, received, given back; and waking from a pause counts, too. */
static uint64_t active_ns(const trove_stream *stream) {
    const struct tvc_member *member = &stream->member;
    uint64_t active = later(later(member->joined_ns, member->resumed_ns), stream->counts.moved_ns);
    return later(active, stream->upload.busy_ns);
}

static uint64_t stream_due_ns(const trove_stream *stream) {
    const struct tvc_member *member = &stream->member;
    return after_ms(member->joined_ns + member->held_ns, member->pool->options.stream_timeout_ms);
}

static uint64_t idle_due_ns(const trove_stream *stream) {
    return after_ms(active_ns(stream), stream->member.pool->options.idle_timeout_ms);
}

/* When the first of the two timeouts passes, as it looks now. */
static uint64_t due_ns(const trove_stream *stream) {
    if (tv_stream_state_terminal(stream->state) || stream->member.paused_ns != 0 || stream->member.timed_out)
        return UINT64_MAX;
    uint64_t stream_due = stream_due_ns(stream);
    uint64_t idle_due = idle_due_ns(stream);
    return stream_due < idle_due ? stream_due : idle_due;
}

static void look_by(struct trove_pool *pool, uint64_t due) {
    if (due >= pool->due_ns)
        return;
    pool->due_ns = due;
    tvc_alarm_by(pool->client, due);
}

static void join(trove_stream *stream) {
    struct trove_pool *pool = stream->member.pool;
    struct tvc_member *member = &stream->member;
    member->serial = ++pool->last_serial;
    member->joined_ns = tv_now_ns();
    member->previous = pool->last;
    if (pool->last != NULL)
        pool->last->member.next = stream;
    else
        pool->first = stream;
    pool->last = stream;
    pool->member_count++;
    look_by(pool, due_ns(stream));
}

void tvc_pool_cancel(trove_stream *stream) {
    trove_error cancelled = stream->member.pool->refusal;
    cancelled.status = TROVE_CANCELLED;
    tvc_stream_end(stream, TV_EVENT_CANCEL, &cancelled);
}

/* A stream that comes when all others have been cancelled is nothing special: whoever opened it finds it ended. */
void tvc_pool_join(trove_stream *stream) {
    struct trove_pool *pool = stream->member.pool;
    pthread_mutex_lock(&pool->client->lock);
    join(stream);
    bool late = pool->cancelling && !tv_stream_state_terminal(stream->state);
    if (late)
        tvc_pool_cancel(stream);
    pthread_mutex_unlock(&pool->client->lock);
    if (late)
        tvc_stream_send_control(stream, TROVE__V1__CONTROL_TYPE__CANCEL, 0, NULL);
}

void tvc_pool_part(trove_stream *stream) {
    struct tvc_member *member = &stream->member;
    struct trove_pool *pool = member->pool;
    if (pool == NULL || member->serial == 0)
        return;
    tvc_pool_add(&pool->parted, stream);
    if (member->previous != NULL)
        member->previous->member.next = member->next;
    else
        pool->first = member->next;
    if (member->next != NULL)
        member->next->member.previous = member->previous;
    else
        pool->last = member->previous;
    member->serial = 0;
    member->previous = member->next = NULL;
    pool->member_count--;
    give_back(pool);
}

void tvc_pool_moved(trove_stream *stream, uint64_t now_ns) {
    struct trove_pool *pool = stream->member.pool;
    uint64_t bytes = tvc_stream_bytes_done(stream);
    pool->moved_bytes += bytes - stream->member.moved_bytes; /* modulo 2^64: what comes again was taken back */
    stream->member.moved_bytes = bytes;
    tv_rate_add(&pool->rate, now_ns, pool->moved_bytes);
}

void tvc_pool_paused(trove_stream *stream, bool paused) {
    struct tvc_member *member = &stream->member;
    uint64_t now_ns = tv_now_ns();
    if (paused) {
        member->paused_ns = now_ns;
        return;
    }
    member->held_ns += now_ns - later(member->paused_ns, member->joined_ns);
    member->paused_ns = 0;
    member->resumed_ns = now_ns;
    if (member->serial != 0)
        look_by(member->pool, due_ns(stream));
}

void tvc_pool_ended(trove_stream *stream) {
    pthread_cond_broadcast(&stream->member.pool->changed);
}

/* ---- timeouts ---- */

struct late {
    trove_stream *stream; /* with a reference */
    trove_error why;
};

/* Under the lock. */
static void note_late(trove_stream *stream, uint64_t now_ns, struct late *late) {
    const struct trove_pool *pool = stream->member.pool;
    tvc_stream_acquire(stream);
    stream->member.timed_out = true;
    late->stream = stream;
    if (stream_due_ns(stream) <= now_ns)
        TV_FAIL(&late->why, DEADLINE_EXCEEDED, "%s/%.200s: not done in %u ms, the stream_timeout_ms of pool %s", stream->bucket,
                stream->key, pool->options.stream_timeout_ms, pool->name);
    else
        TV_FAIL(&late->why, DEADLINE_EXCEEDED, "%s/%.200s: nothing has moved for %u ms, the idle_timeout_ms of pool %s",
                stream->bucket, stream->key, pool->options.idle_timeout_ms, pool->name);
}

/* Up to TIMEOUT_BATCH late streams of all pools. */
static unsigned take_late(struct trove_client *client, uint64_t now_ns, struct late *late) {
    unsigned count = 0;
    pthread_mutex_lock(&client->lock);
    for (struct trove_pool *pool = client->pools; pool != NULL; pool = pool->next) {
        uint64_t next_ns = pool->due_ns;
        if (now_ns >= pool->due_ns)
            next_ns = UINT64_MAX;
        for (trove_stream *stream = pool->first; now_ns >= pool->due_ns && stream != NULL; stream = stream->member.next) {
            uint64_t due = due_ns(stream);
            if (due <= now_ns && count < TIMEOUT_BATCH)
                note_late(stream, now_ns, &late[count++]);
            else if (due < next_ns)
                next_ns = due;
        }
        pool->due_ns = next_ns;
        tvc_alarm_by(client, next_ns);
    }
    pthread_mutex_unlock(&client->lock);
    return count;
}

void tvc_pools_look(struct trove_client *client, uint64_t now_ns) {
    struct late late[TIMEOUT_BATCH];
    unsigned count = 0;
    do {
        count = take_late(client, now_ns, late);
        for (unsigned i = 0; i < count; i++) {
            trove_stream_fail(late[i].stream, late[i].why.status, late[i].why.message);
            tvc_stream_release(late[i].stream);
        }
    } while (count == TIMEOUT_BATCH);
}
