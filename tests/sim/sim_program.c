/* sim_program.c - what all programs do: options, opening, hooks, and who meddles with their streams. See sim_programs.h. */
#include "sim_programs.h"

/* ---- options ---- */

void sim_draw_options(const struct sim_client *client, trove_stream_options *options) {
    unsigned pool = (unsigned)sim_between(0, SIM_POOLS - 1);
    trove_stream_options_init(options);
    options->timeout_ms = SIM_TIMEOUT_MS;
    options->pool = sim_pool_name(pool);
    options->chunk_bytes = 1 + sim_size(sim.chunk_bytes_max[pool] - 1);
    if (sim.tight && sim_chance(40))
        options->chunk_bytes = sim.chunk_bytes_max[pool];
    options->channel_chunks = (uint32_t)sim_between(1, 12);
    if (sim_chance(40))
        options->acquire_timeout_ms = (uint32_t)sim_between(1, 8000);
    if (sim_chance(8))
        options->bytes_per_second = sim_between(TV_MIB / 4, 16 * TV_MIB);
    if (client->pool != NULL && sim_chance(40))
        options->client_pool = client->pool;
}

void sim_draw_backpressure(trove_stream_options *options) {
    static const trove_backpressure ways[] = {TROVE_BACKPRESSURE_BLOCK, TROVE_BACKPRESSURE_BLOCK, TROVE_BACKPRESSURE_DROP,
                                              TROVE_BACKPRESSURE_BUFFER, TROVE_BACKPRESSURE_ADAPTIVE};
    options->backpressure = ways[sim_between(0, 4)];
    options->lossy = options->backpressure == TROVE_BACKPRESSURE_DROP;
    options->overflow_memory_bytes = sim_size(256 * TV_KIB);
    options->overflow_bytes = 64 * TV_MIB;
}

/* ---- a stream from its opening to its end ---- */

trove_status sim_open(struct sim_client *client, const char *key, trove_direction direction, const trove_stream_options *options,
                      trove_status may_be, trove_stream **stream) {
    uint64_t begun_ns = sim.now_ns;
    trove_error error;
    trove_status status;
    client->entering++;
    if (options->client_pool != NULL)
        status = trove_pool_acquire(client->pool, SIM_BUCKET, key, direction, options, SIM_TIMEOUT_MS, stream, &error);
    else
        status = trove_stream_open(client->client, SIM_BUCKET, key, direction, options, stream, &error);
    client->entering--;
    if (status != TROVE_OK && status != may_be)
        sim_judge(client, "opening a stream", &error, false);
    else if (status == TROVE_OK && sim.now_ns >= begun_ns + SIM_TIMEOUT_MS * SIM_MS)
        sim_fail("client %u: a stream was opened only when all its time was over", client->number);
    if (status == TROVE_OK)
        sim_trace("client %u: %s is stream %llu, chunks of %llu, backpressure %d", client->number, key,
                  (unsigned long long)trove_stream_id(*stream), (unsigned long long)trove_stream_chunk_bytes(*stream),
                  (int)options->backpressure);
    return status;
}

void sim_begin(struct sim_client *client, trove_stream *stream, struct sim_meddler *meddler) {
    trove_error error;
    sim_meddle(meddler, client, stream);
    if (trove_stream_start(stream, &error) != TROVE_OK && error.status != TROVE_FAILED_PRECONDITION)
        sim_judge(client, "starting", &error, true);
}

void sim_finish(trove_stream *stream, struct sim_meddler *meddler, trove_stream_metrics *metrics) {
    sim_meddler_end(meddler);
    trove_stream_metrics_get(stream, metrics);
    if (metrics->state < TROVE_STREAM_COMPLETED) { /* the release would cancel it */
        trove_stream_fail(stream, TROVE_ABORTED, "given up");
        trove_stream_metrics_get(stream, metrics);
    }
    trove_stream_release(stream);
    sim_met.upload_drops += metrics->direction == TROVE_DIRECTION_UPLOAD ? metrics->chunks_dropped : 0;
    sim_met.download_drops += metrics->direction == TROVE_DIRECTION_DOWNLOAD ? metrics->chunks_dropped : 0;
    sim_met.resent += metrics->chunks_resent;
    sim_met.spilled += metrics->chunks_spilled;
    sim_met.resumed_uploads += metrics->direction == TROVE_DIRECTION_UPLOAD && metrics->reconnects > 0;
    sim_met.resumed_downloads += metrics->direction == TROVE_DIRECTION_DOWNLOAD && metrics->reconnects > 0;
}

/* ---- hooks ---- */

static void rest_sometimes(void) {
    if (sim_chance(3))
        sim_sleep(sim_between(0, 20 * SIM_MS));
}

static void on_chunk(void *context, const trove_chunk_ack *ack) {
    struct sim_hooked *hooked = context;
    uint64_t *next = ack->direction == TROVE_DIRECTION_UPLOAD ? &hooked->next_up : &hooked->next_down;
    if (hooked->completed + hooked->failed > 0)
        sim_fail("a hook was told of a chunk after the end");
    hooked->went_back |= ack->index < *next;
    *next = ack->index + 1;
    hooked->acked_bytes += ack->size;
    rest_sometimes();
}

static void on_drop(void *context, const trove_drop *drop) {
    struct sim_hooked *hooked = context;
    hooked->dropped_chunks += drop->count;
    hooked->dropped_bytes += drop->length;
    hooked->dropped_below += drop->direction == TROVE_DIRECTION_DOWNLOAD ? drop->length : 0;
    rest_sometimes();
}

static void on_complete(void *context, const trove_object_info *info) {
    struct sim_hooked *hooked = context;
    hooked->completed++;
    if (info == NULL)
        sim_fail("a stream was completed without an object");
}

static void on_error(void *context, const trove_error *error) {
    struct sim_hooked *hooked = context;
    hooked->failed++;
    if (error->status == TROVE_OK)
        sim_fail("a stream failed with OK");
}

void sim_hooks(struct sim_hooked *hooked, trove_stream_hooks *hooks) {
    *hooked = (struct sim_hooked){0};
    *hooks = (trove_stream_hooks){hooked, NULL, on_chunk, on_complete, on_error, on_drop, NULL, NULL};
}

void sim_hooks_judge(const struct sim_hooked *hooked, const trove_stream_metrics *metrics, bool sought) {
    bool good = metrics->state == TROVE_STREAM_COMPLETED;
    if (hooked->completed != good || hooked->failed != !good)
        sim_fail("a stream ended as %s; its hooks were told %u times that it completed and %u times that it failed",
                 trove_stream_state_name(metrics->state), hooked->completed, hooked->failed);
    if (hooked->went_back && !sought)
        sim_fail("chunks were acknowledged out of order");
    bool reads = metrics->direction != TROVE_DIRECTION_UPLOAD;
    bool same_bytes = hooked->acked_bytes == metrics->bytes_acknowledged ||
                      (reads && good && hooked->acked_bytes < metrics->bytes_acknowledged); /* what the program still had */
    /* A chunk may be known to be stored in part only; one that was lost after all, and given up by a seek, isn't acknowledged. */
    if (hooked->resumable && !reads)
        same_bytes = hooked->acked_bytes <= (good && !sought ? metrics->bytes_acknowledged : metrics->bytes_accepted);
    if (!same_bytes || hooked->dropped_bytes != metrics->bytes_dropped || hooked->dropped_chunks != metrics->chunks_dropped)
        sim_fail("hooks were told of %llu bytes acknowledged and %llu dropped, the metrics have %llu and %llu",
                 (unsigned long long)hooked->acked_bytes, (unsigned long long)hooked->dropped_bytes,
                 (unsigned long long)metrics->bytes_acknowledged, (unsigned long long)metrics->bytes_dropped);
}

/* ---- meddling ---- */

/* False: nobody knows of it, for the connection was lost. */
static bool control(struct sim_meddler *meddler, trove_control what) {
    trove_stream_state state = TROVE_STREAM_IDLE;
    trove_error error = {TROVE_OK, ""};
    trove_status status = trove_stream_control(meddler->stream, what, 0, SIM_TIMEOUT_MS, &state, &error);
    sim_trace("client %u: stream %llu: control %d: %s %s", meddler->client->number,
              (unsigned long long)trove_stream_id(meddler->stream), (int)what, trove_stream_state_name(state), error.message);
    bool ended = status == TROVE_FAILED_PRECONDITION || (status != TROVE_OK && sim_excused(meddler->client, &error, true));
    if (status != TROVE_OK && !ended)
        sim_fail("client %u: a control failed without a reason: %s: %s", meddler->client->number, trove_status_name(status),
                 error.message);
    return status != TROVE_UNAVAILABLE || trove_stream_state_get(meddler->stream) >= TROVE_STREAM_COMPLETED;
}

static void meddle(void *argument) {
    struct sim_meddler *meddler = argument;
    for (unsigned times = (unsigned)sim_between(1, 3); times > 0 && sim.now_ns < SIM_CALM_NS; times--) {
        sim_sleep(sim_between(0, 2 * SIM_SECOND));
        unsigned kind = (unsigned)sim_between(0, 99);
        if (kind < 80) {
            sim_met.pauses++;
            (void)control(meddler, TROVE_CONTROL_PAUSE);
            sim_sleep(sim_between(0, sim_chance(sim.tight ? 40 : 15) ? 60 * SIM_SECOND : 2 * SIM_SECOND));
            while (!control(meddler, TROVE_CONTROL_RESUME) && sim.failure[0] == '\0')
                sim_sleep(100 * SIM_MS);
            continue;
        }
        meddler->cancels = true;
        if (kind < 92)
            (void)control(meddler, TROVE_CONTROL_CANCEL);
        else
            trove_stream_fail(meddler->stream, TROVE_ABORTED, "the program has had enough");
        return;
    }
}

void sim_meddle(struct sim_meddler *meddler, struct sim_client *client, trove_stream *stream) {
    *meddler = (struct sim_meddler){.client = client, .stream = stream};
    if (sim_chance(35))
        meddler->thread = sim_spawn("meddler", meddle, meddler);
}

void sim_meddler_end(struct sim_meddler *meddler) {
    if (meddler->thread != NULL)
        sim_join(meddler->thread);
    meddler->thread = NULL;
}
