/* services_streams.c - the unary methods on pools and streams. See rpc.h.
 *
 * Locks are taken for one pool or stream at a time, and none while an answer is packed. A page ends early when the answer would
 * grow past what a message may have.
 */
#include "rpc.h"
#include "stream_control.h"

#include <string.h>

/* What a stream takes on the wire besides its names: tags, lengths, numbers. */
#define ENTRY_BYTES 224
#define AT_ONCE     256

/* ---- pools ---- */

/* What the open streams have on hand, added up by pool in one walk. Those of a pool that has come meanwhile aren't in the
 * answer. */
static void ask_streams(struct tvs_server *server, struct tvs_pool *const *pools, size_t pool_count,
                        struct tvs_open_streams *open) {
    struct tvs_stream *list[AT_ONCE];
    uint64_t after_id = 0;
    size_t pool = 0;
    for (size_t count; (count = tvs_stream_list_page(&server->streams, NULL, after_id, list, AT_ONCE)) > 0;) {
        after_id = list[count - 1]->id;
        for (size_t i = 0; i < count; i++) {
            /* Neighbours are mostly of one pool: it is looked for from the last one on. */
            size_t tried = 0;
            while (tried < pool_count && pools[pool] != list[i]->pool) {
                pool = pool + 1 < pool_count ? pool + 1 : 0;
                tried++;
            }
            if (tried < pool_count)
                tvs_open_streams_add(&open[pool], list[i]);
            tvs_stream_release(list[i]);
        }
    }
}

static void limits_to_wire(const struct tvs_pool_limits *limits, Trove__V1__PoolInfo *info) {
    info->streams_max = limits->streams_max;
    info->chunk_bytes = limits->chunk_bytes;
    info->channel_chunks = limits->channel_chunks;
    info->bandwidth_bytes_per_second = limits->bandwidth;
    info->stream_timeout_ms = limits->stream_timeout_ms;
    info->idle_timeout_ms = limits->idle_timeout_ms;
    info->paused_timeout_ms = limits->paused_timeout_ms;
    info->buffers_max = limits->buffers_max;
}

static void counters_to_wire(struct tvs_pool *pool, Trove__V1__PoolInfo *info) {
    info->total_bytes = atomic_load_explicit(&pool->bytes, memory_order_relaxed);
    info->total_chunks = atomic_load_explicit(&pool->chunks, memory_order_relaxed);
    info->total_streams = atomic_load_explicit(&pool->streams_total, memory_order_relaxed);
    info->failed_streams = atomic_load_explicit(&pool->streams_failed, memory_order_relaxed);
    info->cancelled_streams = atomic_load_explicit(&pool->streams_cancelled, memory_order_relaxed);
    info->retries = atomic_load_explicit(&pool->retries, memory_order_relaxed);
    info->drops = atomic_load_explicit(&pool->drops, memory_order_relaxed);
}

static void pool_to_wire(struct tvs_pool *pool, struct tvs_open_streams *open, Trove__V1__PoolInfo *info) {
    struct tv_block_stats stats;
    trove__v1__pool_info__init(info);
    info->name = pool->name;
    info->waiting_bytes = open->waiting_bytes;
    counters_to_wire(pool, info);
    uint64_t now_ns = tv_now_ns();
    pthread_mutex_lock(&pool->lock);
    limits_to_wire(&pool->limits, info);
    info->streams_active = pool->acquires.held;
    info->acquires_waiting = pool->acquires.waiting;
    info->closing = pool->closing;
    info->memory_budget_bytes = tvs_budget_bytes(pool->budget);
    tv_block_pool_stats(tvs_budget_pool(pool->budget), &stats);
    tv_rate_add(&pool->rate, now_ns, info->total_bytes);
    info->bytes_per_second = (uint64_t)pool->rate.bytes_per_second;
    tv_histogram_merge(&open->latencies, &pool->latencies);
    pthread_mutex_unlock(&pool->lock);
    info->latency_p50_ns = tv_histogram_quantile(&open->latencies, 0.5);
    info->latency_p90_ns = tv_histogram_quantile(&open->latencies, 0.9);
    info->latency_p99_ns = tv_histogram_quantile(&open->latencies, 0.99);
    info->memory_in_use_bytes = stats.in_use * stats.block_bytes;
    info->memory_high_water_bytes = stats.high_water * stats.block_bytes;
    info->buffers_allocated = stats.allocated;
    info->buffers_released = stats.released;
}

static void respond_pools(struct tvs_pool *const *pools, size_t count, struct tvs_open_streams *open,
                          Trove__V1__PoolListResponse_Closure respond, struct tvs_rpc *rpc) {
    Trove__V1__PoolInfo infos[TVS_POOLS_HELD_MAX];
    Trove__V1__PoolInfo *list[TVS_POOLS_HELD_MAX];
    for (size_t i = 0; i < count; i++)
        tv_histogram_init(&open[i].latencies);
    ask_streams(rpc->server, pools, count, open);
    for (size_t i = 0; i < count; i++) {
        pool_to_wire(pools[i], &open[i], &infos[i]);
        list[i] = &infos[i];
    }
    Trove__V1__PoolListResponse response = TROVE__V1__POOL_LIST_RESPONSE__INIT;
    response.n_pools = count;
    response.pools = list;
    respond(&response, rpc);
}

static void pools_list(Trove__V1__Pools_Service *service, const Trove__V1__PoolListRequest *request,
                       Trove__V1__PoolListResponse_Closure respond, void *closure_data) {
    struct tvs_rpc *rpc = closure_data;
    (void)service;
    (void)request;
    struct tvs_pool *pools[TVS_POOLS_HELD_MAX];
    size_t count = tvs_pools_list(rpc->server->pools, pools, TVS_POOLS_HELD_MAX);
    struct tvs_open_streams *open = calloc(count, sizeof *open);
    if (open == NULL)
        TV_FAIL(&rpc->error, RESOURCE_EXHAUSTED, "no memory to list %zu pools", count);
    else
        respond_pools(pools, count, open, respond, rpc);
    free(open);
    for (size_t i = 0; i < count; i++)
        tvs_pool_release_reference(pools[i]);
}

Trove__V1__Pools_Service tvs_pools_service = TROVE__V1__POOLS__INIT(pools_);

/* ---- streams ---- */

static size_t wire_bytes(const Trove__V1__StreamInfo *info) {
    return ENTRY_BYTES + strlen(info->bucket) + strlen(info->key) + strlen(info->pool) + strlen(info->principal);
}

/* `streams` has one more than fits the page, where there is one. */
static void respond_streams(struct tvs_stream **streams, size_t count, size_t limit,
                            Trove__V1__StreamListResponse_Closure respond, struct tvs_rpc *rpc) {
    Trove__V1__StreamInfo *infos = calloc(count + 1, sizeof *infos);
    Trove__V1__StreamInfo **list = calloc(count + 1, sizeof *list);
    Trove__V1__StreamListResponse response = TROVE__V1__STREAM_LIST_RESPONSE__INIT;
    size_t bytes = 0;
    if (infos == NULL || list == NULL) {
        TV_FAIL(&rpc->error, RESOURCE_EXHAUSTED, "no memory to list %zu streams", count);
    } else {
        while (response.n_streams < count && response.n_streams < limit) {
            Trove__V1__StreamInfo *info = &infos[response.n_streams];
            tvs_stream_info(streams[response.n_streams], info);
            bytes += wire_bytes(info);
            if (bytes > TVS_PAGE_BYTES_MAX)
                break;
            list[response.n_streams++] = info;
        }
        response.streams = list;
        response.more = response.n_streams < count;
        respond(&response, rpc);
    }
    free(infos);
    free(list);
}

/* The caller's own, or where it is an admin. */
static bool visible(struct tvs_rpc *rpc, const struct tvs_stream *stream) {
    trove_error error;
    return strcmp(stream->session->principal.name, rpc->session->principal.name) == 0 ||
           tvs_session_may(rpc->session, TVS_RIGHT_ADMIN, stream->bucket, stream->key, &error) == TROVE_OK;
}

/* A page of those that the caller may see; each has a reference. */
static size_t visible_page(struct tvs_rpc *rpc, const struct tvs_pool *pool, uint64_t after_id, struct tvs_stream **streams,
                           size_t count_max) {
    size_t count = 0;
    for (size_t got = 1; got > 0 && count < count_max;) {
        got = tvs_stream_list_page(&rpc->server->streams, pool, after_id, streams + count, count_max - count);
        struct tvs_stream **page = streams + count;
        for (size_t i = 0; i < got; i++) {
            struct tvs_stream *stream = page[i];
            after_id = stream->id;
            if (visible(rpc, stream))
                streams[count++] = stream;
            else
                tvs_stream_release(stream);
        }
    }
    return count;
}

static void list_streams(const Trove__V1__StreamListRequest *request, const struct tvs_pool *pool,
                         Trove__V1__StreamListResponse_Closure respond, struct tvs_rpc *rpc) {
    size_t limit = request->limit != 0 ? request->limit : TV_LIST_LIMIT_MAX;
    struct tvs_stream *streams[TV_LIST_LIMIT_MAX + 1];
    tvs_pools_number(rpc->server->pools);
    size_t count = visible_page(rpc, pool, request->after_stream_id, streams, limit + 1);
    respond_streams(streams, count, limit, respond, rpc);
    for (size_t i = 0; i < count; i++)
        tvs_stream_release(streams[i]);
}

static void streams_list(Trove__V1__Streams_Service *service, const Trove__V1__StreamListRequest *request,
                         Trove__V1__StreamListResponse_Closure respond, void *closure_data) {
    struct tvs_rpc *rpc = closure_data;
    (void)service;
    if (request->limit > TV_LIST_LIMIT_MAX) {
        TV_FAIL(&rpc->error, INVALID_ARGUMENT, "limit %u; at most %d streams fit a page", request->limit, TV_LIST_LIMIT_MAX);
        return;
    }
    struct tvs_pool *pool = NULL;
    if (request->pool[0] != '\0') {
        pool = tvs_pools_find_any(rpc->server->pools, request->pool, &rpc->error);
        if (pool == NULL)
            return;
    }
    list_streams(request, pool, respond, rpc);
    if (pool != NULL)
        tvs_pool_release_reference(pool);
}

static bool event_of(Trove__V1__ControlType type, enum tv_stream_event *event, trove_error *error) {
    switch (type) {
    case TROVE__V1__CONTROL_TYPE__PAUSE:
        *event = TV_EVENT_PAUSE;
        return true;
    case TROVE__V1__CONTROL_TYPE__RESUME:
        *event = TV_EVENT_RESUME;
        return true;
    case TROVE__V1__CONTROL_TYPE__CANCEL:
        *event = TV_EVENT_CANCEL;
        return true;
    default:
        TV_FAIL(error, INVALID_ARGUMENT, "control %d; a stream of another can be paused, resumed, cancelled and moved (seek)",
                (int)type);
        return false;
    }
}

static void streams_control(Trove__V1__Streams_Service *service, const Trove__V1__StreamControlRequest *request,
                            Trove__V1__StreamControlResponse_Closure respond, void *closure_data) {
    struct tvs_rpc *rpc = closure_data;
    bool seek = request->type == TROVE__V1__CONTROL_TYPE__SEEK;
    enum tv_stream_event event;
    (void)service;
    if (!seek && !event_of(request->type, &event, &rpc->error))
        return;
    struct tvs_stream *stream = tvs_stream_list_find(&rpc->server->streams, request->stream_id);
    if (stream == NULL || !visible(rpc, stream)) { /* one answer: others' streams aren't the caller's business */
        if (stream != NULL)
            tvs_stream_release(stream);
        TV_FAIL(&rpc->error, NOT_FOUND, "stream %llu doesn't exist; it may have ended", (unsigned long long)request->stream_id);
        return;
    }
    trove_stream_state state;
    trove_status status = seek ? tvs_stream_move(stream, request->offset, &state, &rpc->error)
                               : tvs_stream_control(stream, event, rpc->session->principal.name, &state, &rpc->error);
    if (status == TROVE_OK) {
        Trove__V1__StreamControlResponse response = TROVE__V1__STREAM_CONTROL_RESPONSE__INIT;
        response.state = (Trove__V1__StreamState)state;
        respond(&response, rpc);
    }
    tvs_stream_release(stream);
}

Trove__V1__Streams_Service tvs_streams_service = TROVE__V1__STREAMS__INIT(streams_);
