/* stream_metrics.c - see stream_metrics.h. */
#include "download.h"

static struct tv_histogram *make_histogram(struct tvs_server *server) {
    unsigned before = atomic_fetch_add_explicit(&server->histograms, 1, memory_order_relaxed);
    struct tv_histogram *histogram = before < TVS_STREAM_HISTOGRAMS_MAX ? malloc(sizeof *histogram) : NULL;
    if (histogram == NULL)
        atomic_fetch_sub_explicit(&server->histograms, 1, memory_order_relaxed);
    else
        tv_histogram_init(histogram);
    return histogram;
}

/* Adds what the stream knows of its latencies. Under its session's lock. */
static void merge_latencies(struct tv_histogram *into, const struct tvs_stream_metrics *metrics) {
    for (uint32_t i = 0; i < metrics->first_latency_count; i++)
        tv_histogram_add(into, metrics->first_latencies_ns[i]);
    if (metrics->latencies != NULL)
        tv_histogram_merge(into, metrics->latencies);
}

static void count_latency(struct tvs_stream *stream, uint64_t latency_ns) {
    struct tvs_stream_metrics *metrics = &stream->metrics;
    struct tvs_pool *pool = stream->pool;
    if (metrics->latencies == NULL && metrics->first_latency_count < TVS_STREAM_FIRST_LATENCIES) {
        metrics->first_latencies_ns[metrics->first_latency_count++] = latency_ns;
        return;
    }
    if (metrics->latencies == NULL && (metrics->latencies = make_histogram(stream->session->server)) != NULL) {
        for (uint32_t i = 0; i < metrics->first_latency_count; i++)
            tv_histogram_add(metrics->latencies, metrics->first_latencies_ns[i]);
        metrics->first_latency_count = 0;
    }
    if (metrics->latencies != NULL) {
        tv_histogram_add(metrics->latencies, latency_ns);
        return;
    }
    pthread_mutex_lock(&pool->lock);
    tv_histogram_add(&pool->latencies, latency_ns);
    pthread_mutex_unlock(&pool->lock);
}

void tvs_stream_count_locked(struct tvs_stream *stream, uint64_t bytes, bool chunk_done, uint64_t latency_ns) {
    stream->metrics.bytes += bytes;
    stream->metrics.chunks += chunk_done;
    atomic_fetch_add_explicit(&stream->pool->bytes, bytes, memory_order_relaxed);
    if (!chunk_done)
        return;
    atomic_fetch_add_explicit(&stream->pool->chunks, 1, memory_order_relaxed);
    count_latency(stream, latency_ns);
}

void tvs_stream_count_retries_locked(struct tvs_stream *stream, uint64_t chunks) {
    stream->metrics.retries += chunks;
    atomic_fetch_add_explicit(&stream->pool->retries, chunks, memory_order_relaxed);
}

void tvs_stream_count_drops_locked(struct tvs_stream *stream, uint64_t chunks) {
    stream->metrics.drops += chunks;
    atomic_fetch_add_explicit(&stream->pool->drops, chunks, memory_order_relaxed);
}

void tvs_stream_metrics_fini_locked(struct tvs_stream *stream) {
    struct tvs_stream_metrics *metrics = &stream->metrics;
    struct tvs_pool *pool = stream->pool;
    pthread_mutex_lock(&pool->lock);
    merge_latencies(&pool->latencies, metrics);
    pthread_mutex_unlock(&pool->lock);
    metrics->first_latency_count = 0;
    if (metrics->latencies == NULL)
        return;
    free(metrics->latencies);
    metrics->latencies = NULL;
    atomic_fetch_sub_explicit(&stream->session->server->histograms, 1, memory_order_relaxed);
}

void tvs_stream_metrics_tick_locked(struct tvs_stream *stream, uint64_t now_ns) {
    tv_rate_add(&stream->metrics.rate, now_ns, stream->metrics.bytes);
}

/* ---- for lists ---- */

/* Come up, and not yet in the store; cut for the way down, and not yet acknowledged. Under the lock. */
static uint64_t waiting_bytes(const struct tvs_stream *stream) {
    if (tv_stream_state_terminal(stream->state))
        return 0;
    uint64_t up_bytes = stream->up.open ? stream->receiver.held_bytes : 0;
    return up_bytes + (stream->sender_ready ? stream->sender.queued_bytes : 0);
}

/* Of all that it is to move; 0 where that isn't known (yet). Under the lock. */
static uint64_t declared_size(const struct tvs_stream *stream) {
    uint64_t up_bytes = stream->up.open && !stream->follower ? stream->declared_size : 0;
    uint64_t down_bytes = stream->ends ? stream->read_end - stream->range_offset : 0;
    uint64_t sum;
    bool known = up_bytes != TROVE_SIZE_UNKNOWN && (stream->ends || !stream->down.open);
    return known && !__builtin_add_overflow(up_bytes, down_bytes, &sum) ? sum : 0;
}

/* Of the way up, where there is one. */
static uint64_t next_offset(const struct tvs_stream *stream) {
    if (stream->up.open && !stream->follower)
        return stream->receiver.expected_offset;
    return tvs_download_offset_locked(stream);
}

static uint32_t acquire_place(const struct tvs_stream *stream) {
    if (stream->place != TVS_PLACE_AWAITED)
        return 0;
    pthread_mutex_lock(&stream->pool->lock);
    uint32_t place = stream->acquire.waiter.queued ? stream->acquire.waiter.place : 0;
    pthread_mutex_unlock(&stream->pool->lock);
    return place;
}

void tvs_stream_info(struct tvs_stream *stream, Trove__V1__StreamInfo *info) {
    struct tvs_stream_metrics *metrics = &stream->metrics;
    trove__v1__stream_info__init(info);
    info->stream_id = stream->id;
    info->direction = (Trove__V1__Direction)stream->direction;
    info->bucket = stream->bucket;
    info->key = stream->key;
    info->pool = stream->pool->name;
    info->principal = stream->session->principal.name;
    pthread_mutex_lock(&stream->session->lock);
    info->state = (Trove__V1__StreamState)stream->state;
    info->bytes = metrics->bytes;
    info->size = declared_size(stream);
    info->chunks = metrics->chunks;
    info->started_ns = metrics->started_ns;
    tvs_stream_metrics_tick_locked(stream, tv_now_ns());
    info->bytes_per_second = (uint64_t)metrics->rate.bytes_per_second;
    struct tv_histogram latencies;
    tv_histogram_init(&latencies);
    merge_latencies(&latencies, metrics);
    info->latency_p50_ns = tv_histogram_quantile(&latencies, 0.5);
    info->latency_p90_ns = tv_histogram_quantile(&latencies, 0.9);
    info->latency_p99_ns = tv_histogram_quantile(&latencies, 0.99);
    info->retries = metrics->retries;
    info->drops = metrics->drops;
    info->waiting_bytes = waiting_bytes(stream);
    info->acquire_place = acquire_place(stream);
    info->offset = next_offset(stream);
    pthread_mutex_unlock(&stream->session->lock);
}

void tvs_open_streams_add(struct tvs_open_streams *open, struct tvs_stream *stream) {
    pthread_mutex_lock(&stream->session->lock);
    open->waiting_bytes += waiting_bytes(stream);
    merge_latencies(&open->latencies, &stream->metrics);
    pthread_mutex_unlock(&stream->session->lock);
}
