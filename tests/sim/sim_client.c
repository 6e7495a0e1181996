/* sim_client.c - the client's end of a stream, and the program that writes to it. After client/src/stream_upload.c. */
#include "sim.h"

#include <string.h>

#define IDLE_NS SIM_SECOND

static void wake_data(struct sim_stream *stream) {
    stream->client.wants_data = true;
    sim_pump(stream->link, true);
}

static uint64_t window(const struct sim_stream *stream) {
    return stream->server.grant.window_bytes;
}

static void send_demand(struct sim_stream *stream, uint64_t bytes) {
    struct sim_frame frame = {.kind = SIM_DEMAND, .demand = bytes};
    sim_send(stream, true, &frame, 0);
}

/* ---- the end --------------------------------------------------------------------------------------------------------------------------- */

void sim_client_end(struct sim_stream *stream, enum tv_stream_event event) {
    struct sim_client *client = &stream->client;
    bool over = tv_stream_state_terminal(client->state);
    if (over && stream->sim->plant == SIM_PLANT_SECOND_END)
        client->ends++;
    if (over || tv_stream_state_apply(&client->state, event, NULL) != TROVE_OK)
        return;
    sim_trace(stream->sim, stream, "client: %s", trove_stream_state_name(client->state));
    client->ends++;
    stream->sim->resent_chunks += client->sender.resent_chunks;
    stream->sim->dropped_chunks += client->sender.dropped_chunks;
    tv_sender_fini(&client->sender);
    client->sender_gone = true;
}

/* ---- the program -------------------------------------------------------------------------------------------------------------------------- */

static void release_chunk(struct tv_chunk *chunk) {
    free(chunk);
}

static void push(struct sim_stream *stream, uint64_t bytes, bool final) {
    struct sim_client *client = &stream->client;
    struct tv_chunk *chunk = calloc(1, sizeof *chunk);
    TV_ASSERT(chunk != NULL);
    chunk->bytes = bytes;
    chunk->final = final;
    chunk->release = release_chunk;
    atomic_init(&chunk->references, 1);
    tv_sender_push(&client->sender, chunk);
    client->busy_ns = stream->sim->now_ns;
    bool demand = client->demand_bytes == 0;
    client->demand_bytes = window(stream);
    if (demand)
        send_demand(stream, client->demand_bytes);
    wake_data(stream);
}

/* Room for one more, of which a lossy stream makes some. */
static bool make_room(struct sim_client *client) {
    struct tv_chunk *lost = NULL;
    if (!tv_sender_full(&client->sender))
        return true;
    if (client->lossy)
        lost = tv_sender_drop(&client->sender);
    if (lost == NULL)
        return false;
    tv_chunk_release(lost);
    return true;
}

/* The writing thread, which sleeps while it may not write. */
static void write_on(struct sim *sim, void *object) {
    struct sim_stream *stream = object;
    struct sim_client *client = &stream->client;
    if (tv_stream_state_terminal(client->state) || client->finishing)
        return;
    client->writer_waits = client->state != TROVE_STREAM_ACTIVE || !make_room(client);
    if (client->writer_waits)
        return;
    bool final = client->chunks_to_write == 0;
    push(stream, final ? sim_between(sim, 0, client->chunk_bytes) : sim_between(sim, 1, client->chunk_bytes), final);
    client->finishing = final;
    if (final)
        wake_data(stream);
    else
        client->chunks_to_write--;
    sim_after(sim, sim_between(sim, 0, client->gap_ns), write_on, stream);
}

/* What waits for a change looks again. */
static void changed(struct sim_stream *stream) {
    if (!stream->client.writer_waits)
        return;
    stream->client.writer_waits = false;
    sim_after(stream->sim, sim_between(stream->sim, 0, SIM_MS), write_on, stream);
}

static void control(struct sim_stream *stream, enum tv_stream_event event) {
    struct sim_client *client = &stream->client;
    if (tv_stream_state_terminal(client->state) || !client->opened)
        return;
    struct sim_frame frame = {.kind = SIM_CONTROL};
    frame.control.serial = ++client->last_serial;
    frame.control.event = event;
    if (event == TV_EVENT_PAUSE)
        client->pause_serial = client->last_serial;
    sim_send(stream, true, &frame, 0);
}

static void resume_stream(struct sim *sim, void *object) {
    (void)sim;
    control(object, TV_EVENT_RESUME);
}

static void pause_stream(struct sim *sim, void *object) {
    control(object, TV_EVENT_PAUSE);
    uint64_t longest = sim_chance(sim, 20) ? 120 * SIM_SECOND : 3 * SIM_SECOND; /* who is paused may not stop the others */
    sim_after(sim, sim_between(sim, 0, longest), resume_stream, object);
}

static void cancel_stream(struct sim *sim, void *object) {
    (void)sim;
    control(object, TV_EVENT_CANCEL);
}

void sim_client_begin(struct sim_stream *stream) {
    struct sim *sim = stream->sim;
    struct sim_client *client = &stream->client;
    if (stream->link->dead)
        return; /* it has ended before it began */
    client->state = TROVE_STREAM_ACTIVE;
    client->busy_ns = sim->now_ns;
    client->demand_bytes = window(stream);
    struct sim_frame frame = {.kind = SIM_OPEN, .demand = client->demand_bytes};
    sim_send(stream, true, &frame, 200);
    for (unsigned i = 0; i < 3 && sim_chance(sim, sim->tight ? 70 : 25); i++)
        sim_after(sim, sim_between(sim, 0, SIM_CALM_NS), pause_stream, stream);
    if (sim_chance(sim, 8))
        sim_after(sim, sim_between(sim, 0, SIM_CALM_NS), cancel_stream, stream);
}

/* ---- frames out ------------------------------------------------------------------------------------------------------------------------------ */

static bool complete_due(const struct sim_client *client) {
    return client->finishing && tv_sender_settled(&client->sender) && client->answered_serial >= client->pause_serial;
}

bool sim_client_pull(struct sim_stream *stream, struct sim_frame *frame, uint64_t *bytes) {
    struct sim_client *client = &stream->client;
    struct tv_sender *sender = &client->sender;
    struct tv_fragment_out out;
    struct tv_gap gap;
    if (client->state != TROVE_STREAM_ACTIVE || !client->opened)
        return false;
    if (tv_sender_next_gap(sender, &gap)) {
        frame->kind = SIM_GAP;
        frame->gap = (struct tv_gap_in){gap.first_index, gap.count, gap.offset, gap.length, 0};
        return true;
    }
    if (tv_sender_next(sender, stream->payload_bytes_max, &out)) {
        frame->kind = SIM_CHUNK;
        frame->chunk = (struct tv_fragment_in){
            .index = out.chunk->index,
            .offset = out.chunk->offset + out.fragment_offset,
            .chunk_bytes = out.chunk->bytes,
            .fragment_offset = out.fragment_offset,
            .payload_bytes = out.bytes,
            .final = out.chunk->final,
        };
        *bytes = out.bytes;
        return true;
    }
    if (!complete_due(client))
        return false;
    trove_status status = tv_stream_state_apply(&client->state, TV_EVENT_COMPLETE, NULL);
    TV_ASSERT(status == TROVE_OK);
    frame->kind = SIM_COMPLETE;
    frame->complete.bytes = sender->next_offset;
    frame->complete.chunks = sender->next;
    return true;
}

/* ---- frames in ------------------------------------------------------------------------------------------------------------------------------- */

static void on_ack(struct sim_stream *stream, const struct sim_frame *frame) {
    struct tv_sender *sender = &stream->client.sender;
    trove_error error;
    trove_status status = frame->ack.not_taken ? tv_sender_not_taken(sender, frame->ack.first, frame->ack.count, &error)
                                               : tv_sender_ack(sender, frame->ack.first, frame->ack.count, NULL, NULL, &error);
    if (status != TROVE_OK)
        sim_fail(stream->sim, "stream %u: client: %s", stream->number, error.message);
    tv_sender_credit(sender, frame->granted, 0);
    stream->client.busy_ns = stream->sim->now_ns;
    if (stream->sim->plant != SIM_PLANT_LOST_ACK_WAKE)
        wake_data(stream);
}

static void on_state(struct sim_stream *stream, const struct sim_frame *frame) {
    struct sim_client *client = &stream->client;
    client->answered_serial = frame->control.serial;
    if (frame->control.state == TROVE_STREAM_ACTIVE && client->state == TROVE_STREAM_PAUSED)
        (void)!tv_stream_state_apply(&client->state, TV_EVENT_RESUME, NULL);
    else if (frame->control.state == TROVE_STREAM_PAUSED)
        (void)!tv_stream_state_apply(&client->state, TV_EVENT_PAUSE, NULL);
    else if (frame->control.state == TROVE_STREAM_CANCELLED)
        sim_client_end(stream, TV_EVENT_CANCEL);
    if (client->state == TROVE_STREAM_ACTIVE)
        wake_data(stream);
}

void sim_client_frame(struct sim_stream *stream, const struct sim_frame *frame) {
    struct sim_client *client = &stream->client;
    if (tv_stream_state_terminal(client->state) && frame->kind != SIM_STATUS)
        return;
    switch (frame->kind) {
    case SIM_OPENED:
        client->opened = true;
        tv_sender_credit(&client->sender, frame->granted, 0);
        client->busy_ns = stream->sim->now_ns;
        write_on(stream->sim, stream);
        break;
    case SIM_ACK:
        on_ack(stream, frame);
        break;
    case SIM_CREDIT:
        tv_sender_credit(&client->sender, frame->granted, frame->expired);
        wake_data(stream);
        break;
    case SIM_STATE:
        on_state(stream, frame);
        break;
    case SIM_COMPLETED:
        if (client->state != TROVE_STREAM_COMPLETING)
            sim_fail(stream->sim, "stream %u: the server has all before all was sent", stream->number);
        stream->sim->completed_streams++;
        sim_client_end(stream, TV_EVENT_COMPLETED);
        break;
    default:
        sim_client_end(stream, TV_EVENT_FAIL);
        break;
    }
    changed(stream);
}

void sim_client_tick(struct sim_stream *stream) {
    struct sim_client *client = &stream->client;
    uint64_t now_ns = stream->sim->now_ns;
    if (tv_stream_state_terminal(client->state) || !client->opened)
        return;
    if (now_ns > client->deadline_ns) {
        client->deadline_ns = UINT64_MAX;
        control(stream, TV_EVENT_CANCEL);
    }
    bool idle = !client->finishing && client->demand_bytes > 0 && tv_sender_settled(&client->sender);
    if (idle && now_ns >= client->busy_ns + IDLE_NS) {
        client->demand_bytes = 0;
        send_demand(stream, 0);
    }
}
