/* services_streams.c - the unary methods on pools and streams. See rpc.h.
 *
 * Locks are taken for one pool or stream at a time, and not while an answer is packed.
 */
#include "rpc.h"

static void pool_to_wire(struct tvs_pool *pool, Trove__V1__PoolInfo *info) {
    struct tv_block_stats stats;
    trove__v1__pool_info__init(info);
    info->name = pool->name;
    info->total_bytes = atomic_load_explicit(&pool->bytes, memory_order_relaxed);
    info->total_chunks = atomic_load_explicit(&pool->chunks, memory_order_relaxed);
    info->total_streams = atomic_load_explicit(&pool->streams_total, memory_order_relaxed);
    info->failed_streams = atomic_load_explicit(&pool->streams_failed, memory_order_relaxed);
    info->cancelled_streams = atomic_load_explicit(&pool->streams_cancelled, memory_order_relaxed);
    info->retries = atomic_load_explicit(&pool->retries, memory_order_relaxed);
    info->drops = atomic_load_explicit(&pool->drops, memory_order_relaxed);
    info->spills = atomic_load_explicit(&pool->spills, memory_order_relaxed);
    pthread_mutex_lock(&pool->lock);
    const struct tvs_pool_limits *limits = &pool->limits;
    info->streams_active = pool->acquires.held;
    info->acquires_waiting = pool->acquires.waiting;
    info->streams_max = limits->streams_max;
    info->chunk_bytes = limits->chunk_bytes;
    info->channel_chunks = limits->channel_chunks;
    info->bandwidth_bytes_per_second = limits->bandwidth;
    info->stream_timeout_ms = limits->stream_timeout_ms;
    info->idle_timeout_ms = limits->idle_timeout_ms;
    info->paused_timeout_ms = limits->paused_timeout_ms;
    info->backpressure = (Trove__V1__Backpressure)limits->backpressure;
    info->buffers_max = limits->buffers_max;
    info->closing = pool->closing;
    info->memory_budget_bytes = tvs_budget_bytes(pool->budget);
    tv_block_pool_stats(tvs_budget_pool(pool->budget), &stats);
    pthread_mutex_unlock(&pool->lock);
    info->memory_in_use_bytes = stats.in_use * stats.block_bytes;
    info->memory_high_water_bytes = stats.high_water * stats.block_bytes;
    info->buffers_allocated = stats.allocated;
    info->buffers_released = stats.released;
}

static void pools_list(Trove__V1__Pools_Service *service, const Trove__V1__PoolListRequest *request,
                       Trove__V1__PoolListResponse_Closure respond, void *closure_data) {
    struct tvs_rpc *rpc = closure_data;
    (void)service;
    (void)request;
    struct tvs_pool *pools[TVS_POOLS_HELD_MAX];
    Trove__V1__PoolInfo infos[TVS_POOLS_HELD_MAX];
    Trove__V1__PoolInfo *list[TVS_POOLS_HELD_MAX];
    size_t count = tvs_pools_list(rpc->server->pools, pools, TVS_POOLS_HELD_MAX);
    for (size_t i = 0; i < count; i++) {
        pool_to_wire(pools[i], &infos[i]);
        list[i] = &infos[i];
    }
    Trove__V1__PoolListResponse response = TROVE__V1__POOL_LIST_RESPONSE__INIT;
    response.n_pools = count;
    response.pools = list;
    respond(&response, closure_data);
    for (size_t i = 0; i < count; i++)
        tvs_pool_release_reference(pools[i]);
}

Trove__V1__Pools_Service tvs_pools_service = TROVE__V1__POOLS__INIT(pools_);
