/* sim_server.c - the server's end of a stream, and the store. After server/upload.c, stream_in.c and stream_out.c. */
#include "sim.h"

#include <string.h>

#define IDLE_TIMEOUT_NS (60 * SIM_SECOND)

static void wake_control(struct sim_stream *stream) {
    stream->server.wants_control = true;
    sim_pump(stream->link, false);
}

/* ---- memory and credit ------------------------------------------------------------------------------------------------------------------ */

static void set_reservation(struct sim_stream *stream, uint64_t bytes) {
    struct tvs_grant *grant = &stream->server.grant;
    TV_ASSERT(bytes <= grant->reserved_bytes);
    uint64_t surplus = grant->reserved_bytes - bytes;
    grant->reserved_bytes = bytes;
    if (surplus > 0)
        tvs_budget_give(stream->sim->budget, surplus);
}

static void trim(struct sim_stream *stream) {
    set_reservation(stream, tvs_grant_needed(&stream->server.grant, &stream->server.receiver));
}

static bool reserve_more(struct sim_stream *stream, uint64_t bytes) {
    struct sim_server *server = &stream->server;
    if (server->claiming)
        return false;
    trim(stream);
    if (stream->sim->plant == SIM_PLANT_OVERCOMMIT && sim_chance(stream->sim, 5)) {
        server->grant.reserved_bytes += bytes;
        return true;
    }
    server->claiming = !tvs_budget_take(stream->sim->budget, &server->claim, bytes);
    stream->sim->waited_claims += server->claiming;
    if (!server->claiming)
        server->grant.reserved_bytes += bytes;
    return !server->claiming;
}

static void give_turns(struct sim *sim, void *object) {
    (void)object;
    struct tvs_bandwidth_waiter *waiter;
    sim->turns_armed = false;
    while ((waiter = tvs_bandwidth_next(&sim->bandwidth, sim->now_ns)) != NULL)
        waiter->turn(waiter);
    uint64_t wait_ns = tvs_bandwidth_wait_ns(&sim->bandwidth, sim->now_ns);
    if (wait_ns == UINT64_MAX || sim->turns_armed)
        return;
    sim->turns_armed = true;
    sim_after(sim, wait_ns, give_turns, NULL);
}

static bool admit_bytes(struct sim_stream *stream, uint64_t bytes) {
    struct sim_server *server = &stream->server;
    struct sim *sim = stream->sim;
    if (server->awaiting_turn)
        return false;
    server->awaiting_turn = sim->limited && !tvs_bandwidth_take(&sim->bandwidth, &server->bandwidth, bytes, sim->now_ns);
    sim->waited_turns += server->awaiting_turn;
    if (server->awaiting_turn && !sim->turns_armed) {
        sim->turns_armed = true;
        sim_after(sim, tvs_bandwidth_wait_ns(&sim->bandwidth, sim->now_ns), give_turns, NULL);
    }
    if (server->awaiting_turn)
        return false;
    tvs_grant_admit(&server->grant, bytes);
    server->admitted_bytes += bytes;
    return true;
}

static bool grant_step(struct sim_stream *stream, bool *granted) {
    struct sim_server *server = &stream->server;
    struct sim *sim = stream->sim;
    uint64_t bytes = 0;
    bool limited = sim->limited && !(sim->plant == SIM_PLANT_OVERDRAW && sim_chance(sim, 5));
    switch (tvs_grant_next(&server->grant, &server->receiver, limited, &bytes)) {
    case TVS_GRANT_ADMIT:
        return admit_bytes(stream, bytes);
    case TVS_GRANT_RESERVE:
        return reserve_more(stream, bytes);
    case TVS_GRANT_CREDIT:
        tvs_grant_give(&server->grant, &server->receiver, bytes);
        server->granted_bytes += bytes;
        server->granted_ns = sim->now_ns;
        *granted = true;
        return true;
    case TVS_GRANT_DONE:
        break;
    }
    return false;
}

static bool grant(struct sim_stream *stream) {
    struct sim_server *server = &stream->server;
    bool granted = false;
    if (server->state != TROVE_STREAM_ACTIVE || !server->begun || server->receiver.final_seen)
        return false;
    while (grant_step(stream, &granted))
        continue;
    return granted;
}

/* What is still reserved goes back with the last reference. */
static void release(struct sim_stream *stream) {
    struct sim_server *server = &stream->server;
    if (!server->listed && server->cleaned && !server->claiming && !server->awaiting_turn && !server->scheduled &&
        stream->sim->plant != SIM_PLANT_LEAKED_MEMORY)
        set_reservation(stream, 0);
}

static void claim_granted(struct tvs_claim *claim) {
    struct sim_stream *stream = (struct sim_stream *)((char *)claim - offsetof(struct sim_stream, server.claim));
    stream->server.claiming = false;
    stream->server.grant.reserved_bytes += claim->bytes;
    bool told = grant(stream);
    if (!told)
        trim(stream);
    else if (stream->sim->plant != SIM_PLANT_LOST_GRANT_WAKE)
        wake_control(stream);
    release(stream);
}

static void turn_given(struct tvs_bandwidth_waiter *waiter) {
    struct sim_stream *stream = (struct sim_stream *)((char *)waiter - offsetof(struct sim_stream, server.bandwidth));
    stream->server.awaiting_turn = false;
    if (stream->sim->plant == SIM_PLANT_LOST_TURN && sim_chance(stream->sim, 5))
        return;
    if (grant(stream))
        wake_control(stream);
    release(stream);
}

static bool expire(struct sim_stream *stream) {
    if (!tvs_grant_expire(&stream->server.grant, &stream->server.receiver))
        return false;
    stream->sim->expired_grants++;
    trim(stream);
    (void)grant(stream);
    return true;
}

/* ---- the strand and the store -------------------------------------------------------------------------------------------------------------- */

static bool ready_to_commit(const struct sim_server *server) {
    return server->complete_received && !server->commit_running && server->held_count == 0 &&
           server->state == TROVE_STREAM_COMPLETING && tv_receiver_finished(&server->receiver);
}

static bool work(const struct sim_server *server) {
    if (tv_stream_state_terminal(server->state))
        return !server->cleaned;
    return !server->begun || server->held_count > 0 || ready_to_commit(server);
}

static void strand(struct sim *sim, void *object);

static void schedule(struct sim_stream *stream) {
    if (stream->server.scheduled || !work(&stream->server))
        return;
    stream->server.scheduled = true;
    sim_after(stream->sim, sim_between(stream->sim, 0, SIM_MS), strand, stream);
}

static uint64_t disk_ns(struct sim *sim, uint64_t bytes) {
    uint64_t stalled = sim->disk_stalled_until_ns > sim->now_ns ? sim->disk_stalled_until_ns - sim->now_ns : 0;
    return stalled + sim_between(sim, 10000, 200000) + bytes * SIM_MS / sim->disk_bytes_per_ms;
}

static void begun(struct sim *sim, void *object) {
    struct sim_stream *stream = object;
    stream->server.begun = true;
    (void)grant(stream);
    wake_control(stream);
    strand(sim, stream);
}

static bool ack_due(struct sim_stream *stream, uint64_t bytes) {
    struct sim_server *server = &stream->server;
    server->untold_bytes += bytes;
    bool more = server->held_count > 0 && !stream->client.lossy;
    if (more && server->untold_bytes < server->grant.window_bytes / 4 && server->progress_ns < server->told_ns + 50 * SIM_MS)
        return false;
    server->untold_bytes = 0;
    server->told_ns = server->progress_ns;
    return true;
}

static void written(struct sim *sim, void *object) {
    struct sim_stream *stream = object;
    struct sim_server *server = &stream->server;
    struct sim_held held = server->held[server->held_first];
    server->held_first = (server->held_first + 1) % SIM_HELD_MAX;
    server->held_count--;
    if (held.offset != server->stored_offset)
        sim_fail(sim, "stream %u: the store is given bytes at %llu, where %llu is its end", stream->number,
                 (unsigned long long)held.offset, (unsigned long long)server->stored_offset);
    server->stored_offset += held.bytes;
    server->progress_ns = sim->now_ns;
    if (held.lost_chunks > 0)
        tv_receiver_gap_taken(&server->receiver, held.lost_chunks, held.bytes);
    else
        tv_receiver_taken(&server->receiver, held.bytes, held.ends_chunk);
    if (held.lost_chunks == 0 && (tvs_budget_contended(sim->budget) || server->receiver.final_seen))
        trim(stream);
    (void)grant(stream);
    if (ack_due(stream, held.bytes))
        wake_control(stream);
    strand(sim, stream);
}

static void committed(struct sim *sim, void *object) {
    struct sim_stream *stream = object;
    stream->server.commit_running = false;
    stream->server.completed_due = true;
    sim_server_end(stream, TV_EVENT_COMPLETED, NULL);
    wake_control(stream);
    strand(sim, stream);
}

static void clean(struct sim_stream *stream) {
    stream->server.held_count = 0;
    if (stream->sim->plant != SIM_PLANT_LEAKED_MEMORY)
        set_reservation(stream, 0);
    stream->server.cleaned = true;
}

static void strand(struct sim *sim, void *object) {
    struct sim_stream *stream = object;
    struct sim_server *server = &stream->server;
    if (tv_stream_state_terminal(server->state) && !server->cleaned)
        clean(stream);
    if (!work(server)) {
        server->scheduled = false;
        release(stream);
    } else if (!server->begun) {
        sim_after(sim, disk_ns(sim, 0), begun, stream);
    } else if (server->held_count > 0) {
        const struct sim_held *held = &server->held[server->held_first];
        sim_after(sim, disk_ns(sim, held->lost_chunks > 0 ? 0 : held->bytes), written, stream);
    } else {
        server->commit_running = true;
        sim_after(sim, disk_ns(sim, 0), committed, stream);
    }
}

/* ---- the end --------------------------------------------------------------------------------------------------------------------------------- */

void sim_server_end(struct sim_stream *stream, enum tv_stream_event event, const trove_error *why) {
    struct sim_server *server = &stream->server;
    if (tv_stream_state_terminal(server->state) || (server->commit_running && event != TV_EVENT_COMPLETED))
        return;
    trove_status status = tv_stream_state_apply(&server->state, event, NULL);
    TV_ASSERT(status == TROVE_OK);
    sim_trace(stream->sim, stream, "server: %s %s", trove_stream_state_name(server->state), why != NULL ? why->message : "");
    server->ends++;
    if (event != TV_EVENT_COMPLETED) {
        server->failure = *why;
        server->status_due = true;
    }
    if (server->awaiting_turn && tvs_bandwidth_leave(&stream->sim->bandwidth, &server->bandwidth))
        server->awaiting_turn = false;
    if (server->claiming && tvs_budget_forget(stream->sim->budget, &server->claim))
        server->claiming = false;
    schedule(stream);
    wake_control(stream);
}

static void fail(struct sim_stream *stream, const trove_error *why) {
    sim_fail(stream->sim, "stream %u: server: %s", stream->number, why->message); /* the client does nothing wrong */
    sim_server_end(stream, TV_EVENT_FAIL, why);
}

void sim_server_abandon(struct sim_stream *stream) {
    trove_error why;
    TV_FAIL(&why, UNAVAILABLE, "the connection has ended");
    if (!stream->server.listed)
        return;
    sim_server_end(stream, TV_EVENT_FAIL, &why);
    stream->server.listed = false;
    release(stream);
}

static void stuck(struct sim_stream *stream) {
    const struct sim_server *server = &stream->server;
    const struct tv_sender *sender = &stream->client.sender;
    sim_fail(stream->sim,
             "stream %u made no progress for %llu s. Client: %s, %u queued, %u in flight, %u to write, credit %llu; server: %s, "
             "demand %llu, charged %llu, covered %llu%s",
             stream->number, (unsigned long long)(IDLE_TIMEOUT_NS / SIM_SECOND), trove_stream_state_name(stream->client.state),
             sender->queue.count, sender->flight.count, stream->client.chunks_to_write, (unsigned long long)sender->credit_bytes,
             trove_stream_state_name(server->state), (unsigned long long)server->grant.demand_bytes,
             (unsigned long long)tvs_grant_charged(&server->receiver), (unsigned long long)tvs_grant_covered(&server->grant),
             server->claiming ? ", waits for memory" : "");
}

void sim_server_tick(struct sim_stream *stream) {
    struct sim_server *server = &stream->server;
    struct sim *sim = stream->sim;
    if (!server->listed || tv_stream_state_terminal(server->state))
        return;
    if (server->awaiting_turn)
        server->progress_ns = sim->now_ns;
    bool timed = server->state == TROVE_STREAM_ACTIVE || server->state == TROVE_STREAM_COMPLETING;
    if (timed && sim->now_ns > server->progress_ns + IDLE_TIMEOUT_NS)
        stuck(stream);
}

void sim_server_relieve(struct sim_stream *stream) {
    struct sim_server *server = &stream->server;
    struct sim *sim = stream->sim;
    bool old = sim->now_ns > server->granted_ns + sim->expiry_ns;
    if (!server->listed || tv_stream_state_terminal(server->state) || !old || sim->plant == SIM_PLANT_NO_EXPIRY)
        return;
    if (expire(stream))
        wake_control(stream);
}

/* ---- frames in ----------------------------------------------------------------------------------------------------------------------------------- */

static void hold(struct sim_stream *stream, struct sim_held held) {
    struct sim_server *server = &stream->server;
    TV_ASSERT(server->held_count < SIM_HELD_MAX);
    server->held[(server->held_first + server->held_count++) % SIM_HELD_MAX] = held;
    server->progress_ns = stream->sim->now_ns;
    schedule(stream);
}

static void on_open(struct sim_stream *stream, const struct sim_frame *frame) {
    struct sim_server *server = &stream->server;
    server->state = TROVE_STREAM_ACTIVE;
    server->listed = true;
    server->progress_ns = stream->sim->now_ns;
    server->grant.demand_bytes = frame->demand;
    server->claim.granted = claim_granted;
    server->bandwidth.turn = turn_given;
    tv_receiver_init(&server->receiver, 0, server->grant.chunk_bytes, stream->payload_bytes_max);
    schedule(stream);
}

static void on_chunk(struct sim_stream *stream, const struct tv_fragment_in *chunk) {
    struct sim_server *server = &stream->server;
    trove_error error;
    enum tv_receive verdict = tv_receiver_fragment(&server->receiver, chunk, &error);
    bool no_memory = verdict == TV_RECEIVE_TAKE && chunk->fragment_offset == 0 && sim_chance(stream->sim, 1);
    if (verdict == TV_RECEIVE_FAIL) {
        fail(stream, &error);
    } else if (no_memory) { /* for the fragment's own record, say */
        tv_receiver_decline(&server->receiver, chunk);
        (void)expire(stream);
    } else if (verdict == TV_RECEIVE_TAKE) {
        tvs_bandwidth_spend(&stream->sim->bandwidth, chunk->payload_bytes, stream->sim->now_ns);
        bool ends = chunk->fragment_offset + chunk->payload_bytes == chunk->chunk_bytes;
        hold(stream, (struct sim_held){chunk->offset, chunk->payload_bytes, 0, ends});
    }
    wake_control(stream); /* "not taken" may be due */
}

static void on_gap(struct sim_stream *stream, const struct tv_gap_in *gap) {
    trove_error error;
    enum tv_receive verdict = tv_receiver_gap(&stream->server.receiver, gap, &error);
    if (verdict == TV_RECEIVE_FAIL)
        fail(stream, &error);
    else if (verdict == TV_RECEIVE_TAKE)
        hold(stream, (struct sim_held){gap->offset, gap->length, gap->count, true});
}

static void on_control(struct sim_stream *stream, const struct sim_frame *frame) {
    struct sim_server *server = &stream->server;
    enum tv_stream_event event = frame->control.event;
    trove_error error = {TROVE_OK, ""};
    if (event == TV_EVENT_CANCEL && server->commit_running) {
        TV_FAIL(&error, FAILED_PRECONDITION, "it is being published");
    } else if (event == TV_EVENT_CANCEL && !tv_stream_state_terminal(server->state)) {
        trove_error why;
        TV_FAIL(&why, CANCELLED, "cancelled by the client");
        sim_server_end(stream, event, &why);
    } else {
        error.status = tv_stream_state_apply(&server->state, event, &error);
    }
    TV_ASSERT(server->answer_count < 16);
    server->answers[server->answer_count].serial = frame->control.serial;
    server->answers[server->answer_count++].status = error.status;
    if (server->state == TROVE_STREAM_ACTIVE)
        (void)grant(stream);
    server->progress_ns = stream->sim->now_ns;
    wake_control(stream);
}

static void on_complete(struct sim_stream *stream, const struct sim_frame *frame) {
    struct sim_server *server = &stream->server;
    trove_error error = {TROVE_OK, ""};
    if (!server->receiver.final_seen)
        TV_FAIL(&error, INVALID_ARGUMENT, "complete before the final chunk");
    else
        error.status = tv_stream_state_apply(&server->state, TV_EVENT_COMPLETE, &error);
    if (error.status != TROVE_OK) {
        fail(stream, &error);
        return;
    }
    server->complete_received = true;
    server->complete_bytes = frame->complete.bytes;
    server->complete_chunks = frame->complete.chunks;
    server->progress_ns = stream->sim->now_ns;
    schedule(stream);
}

static void on_demand(struct sim_stream *stream, uint64_t bytes) {
    stream->server.grant.demand_bytes = bytes;
    if (bytes == 0 ? expire(stream) : grant(stream))
        wake_control(stream);
}

void sim_server_frame(struct sim_stream *stream, const struct sim_frame *frame) {
    if (frame->kind == SIM_OPEN)
        on_open(stream, frame);
    if (!stream->server.listed || frame->kind == SIM_OPEN)
        return;
    if (tv_stream_state_terminal(stream->server.state) && frame->kind != SIM_CONTROL)
        return; /* crossed with the end */
    switch (frame->kind) {
    case SIM_CHUNK:
        on_chunk(stream, &frame->chunk);
        break;
    case SIM_GAP:
        on_gap(stream, &frame->gap);
        break;
    case SIM_DEMAND:
        on_demand(stream, frame->demand);
        break;
    case SIM_COMPLETE:
        on_complete(stream, frame);
        break;
    default:
        on_control(stream, frame);
        break;
    }
}

/* ---- frames out ---------------------------------------------------------------------------------------------------------------------------------- */

static bool pull_credit(struct sim_server *server, struct sim_frame *frame) {
    if (server->grant.credit_due == 0 && server->grant.expired_due == 0)
        return false;
    frame->kind = SIM_CREDIT;
    frame->granted = server->grant.credit_due;
    frame->expired = server->grant.expired_due;
    server->grant.credit_due = server->grant.expired_due = 0;
    return true;
}

static bool pull_ack(struct sim_stream *stream, struct sim_frame *frame) {
    struct sim_server *server = &stream->server;
    if (!tv_receiver_next_ack(&server->receiver, &frame->ack.first, &frame->ack.count, &frame->ack.not_taken))
        return false;
    bool dropped = stream->sim->plant == SIM_PLANT_DROPPED_ACK && sim_chance(stream->sim, 5);
    if (dropped)
        return pull_ack(stream, frame);
    frame->kind = SIM_ACK;
    frame->granted = server->grant.credit_due;
    server->grant.credit_due = 0;
    if (stream->sim->plant == SIM_PLANT_LEAKED_CREDIT && sim_chance(stream->sim, 5))
        frame->granted = 0;
    return true;
}

static void pull_answer(struct sim_server *server, struct sim_frame *frame) {
    frame->kind = SIM_STATE;
    frame->control.serial = server->answers[0].serial;
    frame->control.status = server->answers[0].status;
    frame->control.state = server->state;
    memmove(server->answers, server->answers + 1, --server->answer_count * sizeof server->answers[0]);
}

static bool pull_opened(struct sim_server *server, struct sim_frame *frame) {
    frame->kind = SIM_OPENED;
    frame->granted = server->grant.credit_due;
    server->grant.credit_due = 0;
    server->opened_sent = true;
    return true;
}

/* Its last frame: it leaves the table. */
static bool pull_last(struct sim_stream *stream, struct sim_frame *frame, enum sim_frame_kind kind) {
    frame->kind = kind;
    frame->why = stream->server.failure;
    stream->server.listed = false;
    release(stream);
    return true;
}

bool sim_server_pull(struct sim_stream *stream, struct sim_frame *frame) {
    struct sim_server *server = &stream->server;
    bool terminal = tv_stream_state_terminal(server->state);
    if (!server->listed)
        return false;
    if (server->begun && !server->opened_sent && !terminal)
        return pull_opened(server, frame);
    if (server->answer_count > 0) {
        pull_answer(server, frame);
        return true;
    }
    if (!terminal && server->grant.expired_due > 0)
        return pull_credit(server, frame);
    if (!server->status_due && (pull_ack(stream, frame) || (!terminal && pull_credit(server, frame))))
        return true;
    if (server->completed_due)
        return pull_last(stream, frame, SIM_COMPLETED);
    return server->status_due && pull_last(stream, frame, SIM_STATUS);
}
