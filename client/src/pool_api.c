/* pool_api.c - what trove_pools.h says of a client's pools. See pool.h. */
#include "options.h"
#include "pool.h"
#include "stream.h"
#include "stream_limit.h"
#include "wait.h"

#include <string.h>

/* ---- making one ---- */

static trove_status check_options(const char *name, const trove_pool_options *options, trove_error *error) {
    if (name == NULL || *name == '\0' || strlen(name) > TV_BUCKET_BYTES_MAX)
        return TV_FAIL(error, INVALID_ARGUMENT, "a pool's name has 1 to %d bytes", TV_BUCKET_BYTES_MAX);
    if (options->max_streams < 1 || options->max_streams > TROVE_POOL_STREAMS_MAX)
        return TV_FAIL(error, INVALID_ARGUMENT, "pool %s: max_streams is %u; 1 to %d are allowed", name, options->max_streams,
                       TROVE_POOL_STREAMS_MAX);
    /* What its streams will be opened with. */
    trove_stream_options stream;
    trove_stream_options_init(&stream);
    stream.chunk_bytes = options->chunk_bytes;
    stream.channel_chunks = options->channel_chunks;
    stream.pool = options->server_pool;
    stream.backpressure = options->backpressure;
    stream.lossy = options->backpressure == TROVE_BACKPRESSURE_DROP;
    return tvc_stream_options_check(&stream, TROVE_DIRECTION_UPLOAD, error);
}

static void link_pool(struct trove_client *client, trove_pool *pool) {
    pool->next = client->pools;
    if (client->pools != NULL)
        client->pools->previous = pool;
    client->pools = pool;
    client->pool_count++;
}

/* Under the lock. */
static trove_status enlist(struct trove_client *client, trove_pool *pool, trove_error *error) {
    trove_status status = client->phase == TVC_LOST ? tvc_client_check(client, error) : TROVE_OK;
    if (status == TROVE_OK && client->pool_count == TROVE_POOLS_MAX)
        status = TV_FAIL(error, RESOURCE_EXHAUSTED, "pool %s: the client has %d pools, and may have no more", pool->name,
                         TROVE_POOLS_MAX);
    if (status == TROVE_OK)
        link_pool(client, pool);
    return status;
}

static trove_status make(trove_client *client, const char *name, const trove_pool_options *options, trove_pool **pool_out,
                         trove_error *error) {
    trove_pool *pool = calloc(1, sizeof *pool);
    if (pool == NULL)
        return TV_FAIL(error, RESOURCE_EXHAUSTED, "no memory for a pool");
    tvc_client_acquire(client);
    tvc_cond_init(&pool->changed);
    pool->client = client;
    pool->options = *options;
    pool->due_ns = UINT64_MAX;
    pool->name = strdup(name);
    pool->server_pool = options->server_pool != NULL ? strdup(options->server_pool) : NULL;
    pool->options.server_pool = pool->server_pool;
    if (options->bytes_per_second > 0)
        pool->limit = tvc_limit_create(options->bytes_per_second);
    bool whole = pool->name != NULL && (options->server_pool == NULL || pool->server_pool != NULL) &&
                 (options->bytes_per_second == 0 || pool->limit != NULL);
    if (!whole) {
        tvc_pool_free(pool);
        return TV_FAIL(error, RESOURCE_EXHAUSTED, "no memory for a pool");
    }
    atomic_init(&pool->references, 1);
    tvc_pool_queue_init(&pool->queue, options->max_streams);
    tv_histogram_init(&pool->latency);
    tv_rate_begin(&pool->rate, tv_now_ns());
    *pool_out = pool;
    return TROVE_OK;
}

trove_status trove_pool_create(trove_client *client, const char *name, const trove_pool_options *given, trove_pool **pool_out,
                               trove_error *error) {
    if (client == NULL || pool_out == NULL)
        return TV_FAIL(error, INVALID_ARGUMENT, "the %s is NULL", client == NULL ? "client" : "place for the pool");
    trove_pool_options options;
    trove_pool *pool = NULL;
    trove_status status = tvc_pool_options_take(given, &options, error);
    if (status == TROVE_OK)
        status = check_options(name, &options, error);
    if (status == TROVE_OK)
        status = make(client, name, &options, &pool, error);
    if (status != TROVE_OK)
        return status;
    pthread_mutex_lock(&client->lock);
    status = enlist(client, pool, error);
    pthread_mutex_unlock(&client->lock);
    if (status != TROVE_OK) {
        tvc_pool_free(pool);
        return status;
    }
    *pool_out = pool;
    return TROVE_OK;
}

/* ---- streams ---- */

trove_status trove_pool_acquire(trove_pool *pool, const char *bucket, const char *key, trove_direction direction,
                                const trove_stream_options *given, uint32_t timeout_ms, trove_stream **stream,
                                trove_error *error) {
    if (pool == NULL)
        return TV_FAIL(error, INVALID_ARGUMENT, "the pool is NULL");
    trove_stream_options options;
    trove_status status = tvc_stream_options_copy(given, &options, error);
    if (status != TROVE_OK)
        return status;
    options.client_pool = pool;
    options.timeout_ms = timeout_ms;
    return trove_stream_open(pool->client, bucket, key, direction, &options, stream, error);
}

void trove_pool_release(trove_pool *pool, trove_stream *stream) {
    (void)pool; /* may have been closed; the stream knows it, and keeps it */
    trove_stream_release(stream);
}

uint32_t trove_pool_active_count(const trove_pool *pool) {
    pthread_mutex_lock(&pool->client->lock);
    uint32_t count = pool->queue.taken;
    pthread_mutex_unlock(&pool->client->lock);
    return count;
}

/* ---- looking at them ---- */

/* The first member that joined after *serial and no later than `last`, with a reference; its own is *serial then. Where `before`
 * still is a member the search begins behind it, so that a walk doesn't begin at the first one each time. Under the lock. */
static trove_stream *next_member(const trove_pool *pool, const trove_stream *before, uint64_t *serial, uint64_t last) {
    trove_stream *stream = before != NULL && before->member.serial != 0 ? before->member.next : pool->first;
    while (stream != NULL && stream->member.serial <= *serial)
        stream = stream->member.next;
    if (stream == NULL || stream->member.serial > last)
        return NULL;
    *serial = stream->member.serial;
    tvc_stream_acquire(stream);
    return stream;
}

void trove_pool_walk(trove_pool *pool, trove_pool_visit_fn visit, void *context) {
    struct trove_client *client = pool->client;
    uint64_t serial = 0;
    pthread_mutex_lock(&client->lock);
    uint64_t last = pool->last_serial;
    trove_stream *stream = next_member(pool, NULL, &serial, last);
    pthread_mutex_unlock(&client->lock);
    while (stream != NULL) {
        bool go_on = visit(context, stream);
        trove_stream *before = stream;
        pthread_mutex_lock(&client->lock);
        stream = go_on ? next_member(pool, before, &serial, last) : NULL;
        pthread_mutex_unlock(&client->lock);
        tvc_stream_release(before);
    }
}

trove_stream *trove_pool_borrow(trove_pool *pool, uint64_t stream_id) {
    pthread_mutex_lock(&pool->client->lock);
    trove_stream *stream = pool->first;
    while (stream != NULL && stream->stream_id != stream_id)
        stream = stream->member.next;
    if (stream != NULL)
        tvc_stream_acquire(stream);
    pthread_mutex_unlock(&pool->client->lock);
    return stream;
}

void trove_pool_give_back(trove_pool *pool, trove_stream *stream) {
    (void)pool;
    if (stream != NULL)
        tvc_stream_release(stream);
}

/* ---- closing ---- */

/* Whether every place that is taken belongs to a stream that has ended. Under the lock. */
static bool is_drained(const trove_pool *pool) {
    if (pool->queue.taken > pool->member_count) /* one is being opened */
        return false;
    for (const trove_stream *stream = pool->first; stream != NULL; stream = stream->member.next)
        if (!tv_stream_state_terminal(stream->state))
            return false;
    return true;
}

/* False: there is none left to be cancelled. */
static bool cancel_one(trove_pool *pool) {
    pthread_mutex_lock(&pool->client->lock);
    trove_stream *stream = pool->first;
    while (stream != NULL && tv_stream_state_terminal(stream->state))
        stream = stream->member.next;
    if (stream != NULL) {
        tvc_stream_acquire(stream);
        tvc_pool_cancel(stream);
    }
    pthread_mutex_unlock(&pool->client->lock);
    if (stream == NULL)
        return false;
    tvc_stream_send_control(stream, TROVE__V1__CONTROL_TYPE__CANCEL, 0, NULL);
    tvc_stream_release(stream);
    return true;
}

uint32_t trove_pool_close(trove_pool *pool, uint32_t drain_ms) {
    if (pool == NULL)
        return 0;
    bool in_hook = tvc_job_thread_here(&pool->client->hooks);
    uint64_t deadline_ns = tvc_deadline_after_ms(drain_ms);
    trove_error why;
    TV_FAIL(&why, UNAVAILABLE, "pool %s is closed", pool->name);
    pthread_mutex_lock(&pool->client->lock);
    tvc_pool_shut(pool, &why);
    bool in_time = !in_hook;
    while (!is_drained(pool) && in_time)
        in_time = tvc_cond_wait(&pool->changed, &pool->client->lock, deadline_ns);
    pool->cancelling = true;
    pthread_mutex_unlock(&pool->client->lock);
    uint32_t cancelled = 0;
    while (cancel_one(pool))
        cancelled++;
    tvc_pool_release(pool);
    return cancelled;
}
