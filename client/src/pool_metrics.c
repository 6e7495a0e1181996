/* pool_metrics.c - what a client's pool counts: sums over its members, and over those who have parted. See pool.h. */
#include "pool.h"

#include "stream.h"

void tvc_pool_add(struct tvc_pool_sums *sums, const trove_stream *stream) {
    struct tvc_account account;
    tvc_stream_account(stream, &account);
    if (tv_stream_state_terminal(stream->state))
        sums->ended[stream->state - TROVE_STREAM_COMPLETED]++;
    sums->chunks += account.acknowledged.chunks;
    sums->resent += tvc_stream_resent(stream);
    sums->waiting_bytes += account.queued.bytes + account.in_flight.bytes;
    tvc_sum_add(&sums->dropped, &account.dropped);
    tvc_sum_add(&sums->spilled, &stream->counts.spilled);
    tvc_sum_add(&sums->abandoned, &account.abandoned);
}

/* Under the lock. */
static void fill(struct trove_pool *pool, trove_pool_metrics *metrics) {
    struct tvc_pool_sums sums = pool->parted;
    for (const trove_stream *stream = pool->first; stream != NULL; stream = stream->member.next)
        tvc_pool_add(&sums, stream);
    tv_rate_add(&pool->rate, tv_now_ns(), pool->moved_bytes);
    *metrics = (trove_pool_metrics){
        .max_streams = pool->queue.places,
        .active_streams = pool->queue.taken,
        .waiting_acquires = pool->queue.waiting,
        .total_streams = pool->last_serial,
        /* NOLINTNEXTLINE(misc-redundant-expression): the first of those that end a stream */
        .completed_streams = sums.ended[TROVE_STREAM_COMPLETED - TROVE_STREAM_COMPLETED],
        .failed_streams = sums.ended[TROVE_STREAM_FAILED - TROVE_STREAM_COMPLETED],
        .cancelled_streams = sums.ended[TROVE_STREAM_CANCELLED - TROVE_STREAM_COMPLETED],
        .total_bytes = pool->moved_bytes,
        .total_chunks = sums.chunks,
        .bytes_per_second = pool->rate.bytes_per_second,
        .latency_p50_ns = tv_histogram_quantile(&pool->latency, 0.5),
        .latency_p90_ns = tv_histogram_quantile(&pool->latency, 0.9),
        .latency_p99_ns = tv_histogram_quantile(&pool->latency, 0.99),
        .chunks_resent = sums.resent,
        .bytes_dropped = sums.dropped.bytes,
        .chunks_dropped = sums.dropped.chunks,
        .bytes_spilled = sums.spilled.bytes,
        .chunks_spilled = sums.spilled.chunks,
        .bytes_waiting = sums.waiting_bytes,
        .bytes_abandoned = sums.abandoned.bytes,
        .chunks_abandoned = sums.abandoned.chunks,
    };
}

void trove_pool_snapshot(const trove_pool *pool, trove_pool_metrics *metrics) {
    trove_pool *self = (trove_pool *)pool; /* the rolling average is brought up to date by looking at it */
    pthread_mutex_lock(&pool->client->lock);
    fill(self, metrics);
    pthread_mutex_unlock(&pool->client->lock);
}
