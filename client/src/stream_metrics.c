/* stream_metrics.c - see stream_metrics.h. */
#include "stream_metrics.h"

#include "stream.h"

/* ---- the account; under the lock ---- */

/* The window and the overflow count everything, and their counts stay when they are gone. */
static void account_upload(const struct tvc_upload *upload, struct tvc_account *account) {
    const struct tv_sender *sender = &upload->sender;
    const struct tvc_spill *spill = &upload->spill;
    *account = (struct tvc_account){
        .accepted = {sender->pushed_bytes, sender->pushed_chunks},
        .acknowledged = {sender->acknowledged_bytes, sender->acknowledged_chunks},
        .dropped = {sender->dropped_bytes, sender->dropped_chunks},
        .queued = {sender->unsent_bytes, sender->queue.count},
        .in_flight = {sender->queued_bytes - sender->unsent_bytes, sender->flight.count},
        .abandoned = {sender->abandoned_bytes, sender->abandoned_chunks},
    };
    /* So has what is to be sent again to another connection's server. */
    tvc_sum_add(&account->accepted, &upload->keep.again.sum);
    tvc_sum_add(&account->queued, &upload->keep.again.sum);
    /* What waits in the overflow, and what was given up there, has never been in the window. */
    tvc_sum_add(&account->accepted, &spill->waiting);
    tvc_sum_add(&account->queued, &spill->waiting);
    tvc_sum_add(&account->accepted, &spill->abandoned);
    tvc_sum_add(&account->abandoned, &spill->abandoned);
}

static void held_download(const struct tvc_download *download, struct tvc_sum *queued, struct tvc_sum *in_flight) {
    for (const struct tvc_chunk *chunk = download->ready_first; chunk != NULL; chunk = chunk->next) {
        queued->bytes += chunk->handle.size;
        queued->chunks++;
    }
    *in_flight = download->out;
    if (download->incoming == NULL)
        return;
    bool whole = !download->receiver.in_chunk; /* its last payload is on its way into memory */
    in_flight->bytes += whole ? download->incoming->handle.size : download->receiver.fragment_offset;
    in_flight->chunks += whole;
}

static void account_download(const trove_stream *stream, struct tvc_account *account) {
    const struct tv_receiver *receiver = &stream->download.receiver;
    *account = (struct tvc_account){
        .accepted = {receiver->received_bytes + receiver->lost_bytes, receiver->received_chunks + receiver->lost_chunks},
        .acknowledged = stream->download.given_back,
        .dropped = {receiver->lost_bytes, receiver->lost_chunks},
        .abandoned = stream->download.abandoned,
    };
    if (stream->opened && !tv_stream_state_terminal(stream->state))
        held_download(&stream->download, &account->queued, &account->in_flight);
}

void tvc_stream_account(const trove_stream *stream, struct tvc_account *account) {
    struct tvc_account down;
    account_upload(&stream->upload, account);
    account_download(stream, &down);
    tvc_sum_add(&account->accepted, &down.accepted);
    tvc_sum_add(&account->acknowledged, &down.acknowledged);
    tvc_sum_add(&account->dropped, &down.dropped);
    tvc_sum_add(&account->queued, &down.queued);
    tvc_sum_add(&account->in_flight, &down.in_flight);
    tvc_sum_add(&account->abandoned, &down.abandoned);
}

uint64_t tvc_stream_resent(const trove_stream *stream) {
    return stream->upload.sender.resent_chunks;
}

void tvc_stream_abandon(trove_stream *stream) {
    struct tvc_sum queued = {0};
    struct tvc_sum in_flight = {0};
    if (!tvc_stream_receives(stream) || !stream->opened)
        return;
    held_download(&stream->download, &queued, &in_flight);
    struct tvc_sum *to = stream->state == TROVE_STREAM_COMPLETED ? &stream->download.given_back : &stream->download.abandoned;
    to->bytes += queued.bytes + in_flight.bytes;
    to->chunks += queued.chunks + in_flight.chunks;
}

/* ---- what happens; under the lock ---- */

static void count_latency(struct tv_histogram **histogram, uint64_t latency_ns) {
    if (*histogram == NULL) {
        *histogram = malloc(sizeof **histogram);
        if (*histogram == NULL)
            return; /* it is only not counted */
        tv_histogram_init(*histogram);
    }
    tv_histogram_add(*histogram, latency_ns);
}

void tvc_stream_acked(trove_stream *stream, const trove_chunk_ack *ack) {
    stream->counts.moved_ns = tv_now_ns();
    count_latency(&stream->counts.latency, ack->latency_ns);
    if (stream->member.pool != NULL)
        tv_histogram_add(&stream->member.pool->latency, ack->latency_ns);
    tvc_stream_hooks_chunk(stream, ack);
}

void tvc_stream_moved(trove_stream *stream, uint64_t now_ns) {
    stream->counts.moved_ns = now_ns;
    tv_rate_add(&stream->rate, now_ns, tvc_stream_bytes_done(stream));
    if (stream->member.pool != NULL)
        tvc_pool_moved(stream, now_ns);
    tvc_stream_hooks_progress(stream, now_ns);
}

/* ---- what the program sees ---- */

static void fill_account(const trove_stream *stream, trove_stream_metrics *metrics) {
    struct tvc_account account;
    tvc_stream_account(stream, &account);
    metrics->bytes_accepted = account.accepted.bytes;
    metrics->chunks_accepted = account.accepted.chunks;
    metrics->bytes_acknowledged = account.acknowledged.bytes;
    metrics->chunks_acknowledged = account.acknowledged.chunks;
    metrics->bytes_dropped = account.dropped.bytes;
    metrics->chunks_dropped = account.dropped.chunks;
    metrics->bytes_queued = account.queued.bytes;
    metrics->chunks_queued = account.queued.chunks;
    metrics->bytes_in_flight = account.in_flight.bytes;
    metrics->chunks_in_flight = account.in_flight.chunks;
    metrics->bytes_abandoned = account.abandoned.bytes;
    metrics->chunks_abandoned = account.abandoned.chunks;
    metrics->bytes_waiting = account.queued.bytes + account.in_flight.bytes;
    metrics->bytes_spilled = stream->counts.spilled.bytes;
    metrics->chunks_spilled = stream->counts.spilled.chunks;
}

/* What each way counts for itself. */
static void fill_ways(const trove_stream *stream, trove_stream_metrics *metrics) {
    const struct tvc_upload *upload = &stream->upload;
    const struct tv_receiver *receiver = &stream->download.receiver;
    metrics->bytes_sent = upload->bytes_sent;
    metrics->chunks_sent = upload->chunks_sent;
    metrics->chunks_resent = tvc_stream_resent(stream);
    metrics->bytes_received = receiver->received_bytes;
    metrics->chunks_received = receiver->received_chunks;
    metrics->credit_bytes = tvc_stream_sends(stream) ? upload->sender.credit_bytes : receiver->outstanding_bytes;
}

static void fill_latency(const struct tv_histogram *latency, trove_stream_metrics *metrics) {
    if (latency == NULL)
        return;
    metrics->latency_p50_ns = tv_histogram_quantile(latency, 0.5);
    metrics->latency_p90_ns = tv_histogram_quantile(latency, 0.9);
    metrics->latency_p99_ns = tv_histogram_quantile(latency, 0.99);
}

void trove_stream_metrics_get(const trove_stream *stream, trove_stream_metrics *metrics) {
    trove_stream *self = (trove_stream *)stream; /* the rolling average is brought up to date by looking at it */
    trove_chunk_stats chunks;
    trove_stream_chunk_stats(stream, &chunks);
    *metrics = (trove_stream_metrics){
        .direction = stream->direction,
        .buffers_allocated = chunks.buffers,
        .buffers_in_use = chunks.in_use,
        .buffers_high_water = chunks.high_water,
    };
    pthread_mutex_lock(&stream->client->lock);
    uint64_t now_ns = stream->ended_ns != 0 ? stream->ended_ns : tv_now_ns();
    tv_rate_add(&self->rate, now_ns, tvc_stream_bytes_done(stream));
    metrics->state = stream->state;
    metrics->bytes_per_second = stream->rate.bytes_per_second;
    metrics->reconnects = stream->resume.reconnects;
    metrics->elapsed_ns = stream->rate.begun_ns != 0 ? now_ns - stream->rate.begun_ns : 0;
    fill_account(stream, metrics);
    fill_ways(stream, metrics);
    fill_latency(stream->counts.latency, metrics);
    pthread_mutex_unlock(&stream->client->lock);
}

static void add_chunk_stats(const struct tvc_half *half, trove_chunk_stats *stats) {
    trove_chunk_stats more;
    if (half->chunks == NULL)
        return;
    tvc_chunks_stats(half->chunks, &more);
    stats->chunk_bytes = more.chunk_bytes;
    stats->chunks += more.chunks;
    stats->allocated += more.allocated;
    stats->released += more.released;
    stats->in_use += more.in_use;
    stats->high_water += more.high_water;
    stats->buffers += more.buffers;
}

void trove_stream_chunk_stats(const trove_stream *stream, trove_chunk_stats *stats) {
    *stats = (trove_chunk_stats){0};
    add_chunk_stats(&stream->upload.half, stats);
    add_chunk_stats(&stream->download.half, stats);
}
