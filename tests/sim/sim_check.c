/* sim_check.c - what must be true after every step, and at the end. See sim.h. */
#include "sim.h"

#include "block_pool.h"

static bool over(const struct sim_stream *stream) {
    return tv_stream_state_terminal(stream->client.state) || tv_stream_state_terminal(stream->server.state);
}

/* Credit at the client, what it has used, and what is on the way to it are what the server has granted: none leaks, none is made. */
static void check_credit(struct sim *sim, const struct sim_stream *stream) {
    const struct tv_sender *sender = &stream->client.sender;
    const struct tv_receiver *receiver = &stream->server.receiver;
    const struct tvs_grant *grant = &stream->server.grant;
    int64_t in_flight = (int64_t)(sender->queued_bytes - sender->unsent_bytes);
    int64_t client =
        (int64_t)sender->credit_bytes - (int64_t)sender->owed_bytes + in_flight + (int64_t)sender->acknowledged_bytes;
    int64_t way =
        (int64_t)(grant->credit_due + stream->granted_on_the_way) - (int64_t)(grant->expired_due + stream->expired_on_the_way);
    int64_t server = (int64_t)(receiver->outstanding_bytes + receiver->begun_bytes);
    if (client + way != server)
        sim_fail(sim, "stream %u: credit doesn't add up: %lld at the client, %lld on the way, %lld by the server", stream->number,
                 (long long)client, (long long)way, (long long)server);
}

static void check_memory(struct sim *sim, const struct sim_stream *stream) {
    uint64_t charged = tvs_grant_charged(&stream->server.receiver);
    uint64_t covered = tvs_grant_covered(&stream->server.grant);
    if (charged > covered)
        sim_fail(sim, "stream %u: %llu bytes may come or wait, but memory is reserved for %llu", stream->number,
                 (unsigned long long)charged, (unsigned long long)covered);
    if (charged > stream->server.grant.window_bytes)
        sim_fail(sim, "stream %u: %llu bytes in a window of %llu", stream->number, (unsigned long long)charged,
                 (unsigned long long)stream->server.grant.window_bytes);
}

static void check_bandwidth(struct sim *sim, const struct sim_stream *stream) {
    const struct sim_server *server = &stream->server;
    if (sim->limited && server->granted_bytes + server->grant.admitted_bytes != server->admitted_bytes)
        sim_fail(sim, "stream %u: the bandwidth allowed %llu bytes; %llu were granted, %llu may be", stream->number,
                 (unsigned long long)server->admitted_bytes, (unsigned long long)server->granted_bytes,
                 (unsigned long long)server->grant.admitted_bytes);
}

static void check_counts(struct sim *sim, const struct sim_stream *stream) {
    const struct tv_sender *sender = &stream->client.sender;
    uint64_t bytes = sender->acknowledged_bytes + sender->dropped_bytes + sender->abandoned_bytes + sender->queued_bytes;
    uint64_t chunks = sender->acknowledged_chunks + sender->dropped_chunks + sender->abandoned_chunks + sender->queue.count +
                      sender->flight.count;
    if (sender->pushed_bytes != bytes || sender->pushed_chunks != chunks)
        sim_fail(sim, "stream %u: %llu bytes in %llu chunks were accepted, %llu in %llu are accounted for", stream->number,
                 (unsigned long long)sender->pushed_bytes, (unsigned long long)sender->pushed_chunks, (unsigned long long)bytes,
                 (unsigned long long)chunks);
    if (stream->client.ends > 1 || stream->server.ends > 1)
        sim_fail(sim, "stream %u ended %u times at the client, %u times at the server", stream->number, stream->client.ends,
                 stream->server.ends);
}

void sim_check(struct sim *sim) {
    uint64_t reserved_bytes = 0;
    for (unsigned i = 0; i < sim->stream_count; i++) {
        const struct sim_stream *stream = &sim->streams[i];
        reserved_bytes += stream->server.grant.reserved_bytes;
        check_counts(sim, stream);
        if (!stream->server.listed || over(stream))
            continue;
        check_memory(sim, stream);
        check_bandwidth(sim, stream);
        check_credit(sim, stream);
    }
    struct tv_block_stats stats;
    tv_block_pool_stats(tvs_budget_pool(sim->budget), &stats);
    if (stats.reserved_bytes != reserved_bytes || reserved_bytes > tvs_budget_bytes(sim->budget))
        sim_fail(sim, "streams have reserved %llu bytes, the budget knows of %llu and has %llu",
                 (unsigned long long)reserved_bytes, (unsigned long long)stats.reserved_bytes,
                 (unsigned long long)tvs_budget_bytes(sim->budget));
}

/* Nothing will happen any more. */
void sim_check_end(struct sim *sim) {
    for (unsigned i = 0; i < sim->stream_count; i++) {
        const struct sim_stream *stream = &sim->streams[i];
        const struct sim_client *client = &stream->client;
        const struct sim_server *server = &stream->server;
        if (client->ends != 1 || (server->ends != 1 && client->state != TROVE_STREAM_FAILED))
            sim_fail(sim, "stream %u was forgotten: it is %s at the client and %s at the server", i,
                     trove_stream_state_name(client->state), trove_stream_state_name(server->state));
        if (server->grant.reserved_bytes != 0)
            sim_fail(sim, "stream %u has ended and keeps %llu bytes", i, (unsigned long long)server->grant.reserved_bytes);
        if (client->state != TROVE_STREAM_COMPLETED)
            continue;
        bool all = server->stored_offset == client->sender.next_offset && server->complete_bytes == server->stored_offset;
        bool lost = server->receiver.lost_chunks == client->sender.dropped_chunks;
        if (server->state != TROVE_STREAM_COMPLETED || !all || !lost)
            sim_fail(sim, "stream %u was completed, but %llu bytes of %llu are stored, %llu chunks lost of %llu", i,
                     (unsigned long long)server->stored_offset, (unsigned long long)client->sender.next_offset,
                     (unsigned long long)server->receiver.lost_chunks, (unsigned long long)client->sender.dropped_chunks);
    }
}
