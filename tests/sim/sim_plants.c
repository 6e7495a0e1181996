/* sim_plants.c - bugs, put into the shipped code by the linker (-Wl,--wrap): each function here stands in the place of the real
 * one, and now and then does it wrong. Without a plant they are the real ones, and see what passes (sim_check.c). See sim.h.
 */
#include "sim.h"
#include "sim_checks.h"

#include "client/src/stream.h"
#include "server/drivers/upload.h"
#include "server/resume.h"
#include "server/stream.h"
#include "server/wire.h"

#include "container.h"

bool sim_plant_strikes(enum sim_plant plant, unsigned percent) {
    return sim.plant == plant && sim_chance(percent);
}

/* ---- credit and acknowledgements ---- */

void __real_tvs_grant_give(struct tvs_grant *grant, struct tv_receiver *receiver, uint64_t bytes);
void __wrap_tvs_grant_give(struct tvs_grant *grant, struct tv_receiver *receiver, uint64_t bytes);
void __wrap_tvs_grant_give(struct tvs_grant *grant, struct tv_receiver *receiver, uint64_t bytes) {
    __real_tvs_grant_give(grant, receiver, bytes);
    if (sim_plant_strikes(SIM_PLANT_LEAKED_CREDIT, 5))
        grant->credit_due -= bytes;
}

void __real_tv_sender_seek(struct tv_sender *sender, uint64_t offset, uint64_t generation);
void __wrap_tv_sender_seek(struct tv_sender *sender, uint64_t offset, uint64_t generation);
void __wrap_tv_sender_seek(struct tv_sender *sender, uint64_t offset, uint64_t generation) {
    uint64_t credit_bytes = sender->credit_bytes;
    uint64_t owed_bytes = sender->owed_bytes;
    __real_tv_sender_seek(sender, offset, generation);
    if (sim.plant == SIM_PLANT_LEAKED_CREDIT_SEEK) {
        sender->credit_bytes = credit_bytes;
        sender->owed_bytes = owed_bytes;
    }
}

trove_status __real_tv_sender_not_taken(struct tv_sender *sender, uint64_t first, uint64_t count, trove_error *error);
trove_status __wrap_tv_sender_not_taken(struct tv_sender *sender, uint64_t first, uint64_t count, trove_error *error);
trove_status __wrap_tv_sender_not_taken(struct tv_sender *sender, uint64_t first, uint64_t count, trove_error *error) {
    uint64_t credit_bytes = sender->credit_bytes;
    trove_status status = __real_tv_sender_not_taken(sender, first, count, error);
    if (sim.plant == SIM_PLANT_LEAKED_CREDIT_RESEND)
        sender->credit_bytes = credit_bytes;
    return status;
}

bool __real_tv_receiver_next_ack(struct tv_receiver *receiver, uint64_t *first, uint64_t *count, bool *not_taken);
bool __wrap_tv_receiver_next_ack(struct tv_receiver *receiver, uint64_t *first, uint64_t *count, bool *not_taken);
bool __wrap_tv_receiver_next_ack(struct tv_receiver *receiver, uint64_t *first, uint64_t *count, bool *not_taken) {
    bool due = __real_tv_receiver_next_ack(receiver, first, count, not_taken);
    if (due && sim_plant_strikes(SIM_PLANT_DROPPED_ACK, 5))
        due = __real_tv_receiver_next_ack(receiver, first, count, not_taken);
    return due;
}

uint64_t __real_tv_receiver_seek(struct tv_receiver *receiver, uint64_t offset, uint64_t generation);
uint64_t __wrap_tv_receiver_seek(struct tv_receiver *receiver, uint64_t offset, uint64_t generation);
uint64_t __wrap_tv_receiver_seek(struct tv_receiver *receiver, uint64_t offset, uint64_t generation) {
    uint64_t unacknowledged = receiver->taken_index - receiver->acked_index;
    uint64_t acked_index = receiver->acked_index;
    uint64_t bytes = __real_tv_receiver_seek(receiver, offset, generation);
    if (sim.plant == SIM_PLANT_OLD_ACK && unacknowledged > 0) {
        receiver->acked_index = acked_index;
        receiver->taken_index = receiver->expected_index = acked_index + unacknowledged;
    }
    return bytes;
}

uint64_t __real_tv_receiver_expire(struct tv_receiver *receiver);
uint64_t __wrap_tv_receiver_expire(struct tv_receiver *receiver);
uint64_t __wrap_tv_receiver_expire(struct tv_receiver *receiver) {
    uint64_t outstanding_bytes = receiver->outstanding_bytes;
    if (sim.plant == SIM_PLANT_NO_EXPIRY)
        return 0;
    uint64_t expired = __real_tv_receiver_expire(receiver);
    sim_met.expired += expired > 0;
    if (sim_plant_strikes(SIM_PLANT_OLD_CREDIT, 20))
        receiver->outstanding_bytes = outstanding_bytes;
    return expired;
}

void __real_tv_sender_ack_below(struct tv_sender *sender, uint64_t offset, tv_sender_acked acked, void *context);
void __wrap_tv_sender_ack_below(struct tv_sender *sender, uint64_t offset, tv_sender_acked acked, void *context);
void __wrap_tv_sender_ack_below(struct tv_sender *sender, uint64_t offset, tv_sender_acked acked, void *context) {
    uint64_t acknowledged_bytes = sender->acknowledged_bytes;
    __real_tv_sender_ack_below(sender, offset, acked, context);
    sim_check_presumed(sender, sender->acknowledged_bytes - acknowledged_bytes);
}

trove_status __real_tv_sender_init(struct tv_sender *sender, uint32_t channel_chunks, uint64_t first_offset, trove_error *error);
trove_status __wrap_tv_sender_init(struct tv_sender *sender, uint32_t channel_chunks, uint64_t first_offset, trove_error *error);
trove_status __wrap_tv_sender_init(struct tv_sender *sender, uint32_t channel_chunks, uint64_t first_offset, trove_error *error) {
    sim_check_begun(sender);
    return __real_tv_sender_init(sender, channel_chunks, first_offset, error);
}

void __real_tv_sender_restart(struct tv_sender *sender, uint64_t offset);
void __wrap_tv_sender_restart(struct tv_sender *sender, uint64_t offset);
void __wrap_tv_sender_restart(struct tv_sender *sender, uint64_t offset) {
    __real_tv_sender_restart(sender, offset);
    sim_check_restarted(sender);
}

/* ---- generations ---- */

void __real_tvs_read_ahead_move(struct tvs_read_ahead *ahead, uint64_t position);
void __wrap_tvs_read_ahead_move(struct tvs_read_ahead *ahead, uint64_t position);
void __wrap_tvs_read_ahead_move(struct tvs_read_ahead *ahead, uint64_t position) {
    __real_tvs_read_ahead_move(ahead, position);
    if (sim.plant == SIM_PLANT_OLD_READ)
        ahead->moves--;
}

/* ---- losses ---- */

bool __real_tv_sender_next_gap(struct tv_sender *sender, struct tv_gap *gap);
bool __wrap_tv_sender_next_gap(struct tv_sender *sender, struct tv_gap *gap);
bool __wrap_tv_sender_next_gap(struct tv_sender *sender, struct tv_gap *gap) {
    bool due = __real_tv_sender_next_gap(sender, gap);
    if (due && sim.plant == SIM_PLANT_WRONG_GAP)
        gap->first_index++;
    return due && sim.plant != SIM_PLANT_UNTOLD_GAP;
}

struct tv_chunk *__real_tv_sender_drop(struct tv_sender *sender);
struct tv_chunk *__wrap_tv_sender_drop(struct tv_sender *sender);
struct tv_chunk *__wrap_tv_sender_drop(struct tv_sender *sender) {
    struct tv_chunk *chunk = __real_tv_sender_drop(sender);
    if (chunk != NULL && sim.plant == SIM_PLANT_UNCOUNTED_DROP)
        sender->dropped_bytes -= chunk->bytes;
    return chunk;
}

trove_status __real_tv_overflow_pop(struct tv_overflow *overflow, const struct iovec *iov, trove_error *error);
trove_status __wrap_tv_overflow_pop(struct tv_overflow *overflow, const struct iovec *iov, trove_error *error);
trove_status __wrap_tv_overflow_pop(struct tv_overflow *overflow, const struct iovec *iov, trove_error *error) {
    struct tv_overflow_stats stats;
    trove_status status = __real_tv_overflow_pop(overflow, iov, error);
    tv_overflow_stats(overflow, &stats);
    if (status == TROVE_OK && stats.chunks > 1 && sim_plant_strikes(SIM_PLANT_UNFINISHED_SPILL, 20))
        tv_overflow_discard(overflow, 1);
    return status;
}

/* ---- memory ---- */

void __real_tvs_budget_give(struct tvs_budget *budget, uint64_t bytes);
void __wrap_tvs_budget_give(struct tvs_budget *budget, uint64_t bytes);
void __wrap_tvs_budget_give(struct tvs_budget *budget, uint64_t bytes) {
    if (!sim_plant_strikes(SIM_PLANT_LEAKED_MEMORY, 5))
        __real_tvs_budget_give(budget, bytes);
}

bool __real_tvs_budget_take(struct tvs_budget *budget, struct tvs_claim *claim, uint64_t bytes);
bool __wrap_tvs_budget_take(struct tvs_budget *budget, struct tvs_claim *claim, uint64_t bytes);
bool __wrap_tvs_budget_take(struct tvs_budget *budget, struct tvs_claim *claim, uint64_t bytes) {
    if (sim_plant_strikes(SIM_PLANT_OVERCOMMIT, 5))
        return true;
    bool taken = __real_tvs_budget_take(budget, claim, bytes);
    sim_met.memory_waits += !taken;
    return taken;
}

void __real_tvs_run_release(struct tvs_run *run);
void __wrap_tvs_run_release(struct tvs_run *run);
void __wrap_tvs_run_release(struct tvs_run *run) {
    if (!sim_plant_strikes(SIM_PLANT_LEAKED_RUN, 5))
        __real_tvs_run_release(run);
}

void __real_tvs_run_slice(const struct tvs_run *run, uint64_t at, uint64_t bytes, struct tv_data *data);
void __wrap_tvs_run_slice(const struct tvs_run *run, uint64_t at, uint64_t bytes, struct tv_data *data);
void __wrap_tvs_run_slice(const struct tvs_run *run, uint64_t at, uint64_t bytes, struct tv_data *data) {
    __real_tvs_run_slice(run, at, bytes, data);
    if (bytes > 1 && sim_plant_strikes(SIM_PLANT_WRONG_BYTES, 5))
        *(unsigned char *)data->iov[0].iov_base ^= 1;
}

/* Now and then there is no memory for a chunk after all, as where the fragment's own record can't be had: it comes again. */
static const struct sim_thread *begins_chunk; /* the thread for which there is none */

void __real_tvs_upload_payload(struct tvs_session *session, const tv_frame *frame, uint64_t payload_bytes, struct tv_sink *sink);
void __wrap_tvs_upload_payload(struct tvs_session *session, const tv_frame *frame, uint64_t payload_bytes, struct tv_sink *sink);
void __wrap_tvs_upload_payload(struct tvs_session *session, const tv_frame *frame, uint64_t payload_bytes, struct tv_sink *sink) {
    if (frame->chunk->fragment_offset == 0 && sim_chance(1))
        begins_chunk = sim_self();
    __real_tvs_upload_payload(session, frame, payload_bytes, sink);
    if (begins_chunk == sim_self())
        begins_chunk = NULL;
}

void *__real_tv_block_pool_get(struct tv_block_pool *pool);
void *__wrap_tv_block_pool_get(struct tv_block_pool *pool);
void *__wrap_tv_block_pool_get(struct tv_block_pool *pool) {
    return begins_chunk != NULL && begins_chunk == sim_self() ? NULL : __real_tv_block_pool_get(pool);
}

/* ---- wake-ups ---- */

void __real_tv_conn_wake(struct tv_conn *conn, struct tv_flow *flow, unsigned wants);
void __wrap_tv_conn_wake(struct tv_conn *conn, struct tv_flow *flow, unsigned wants);
void __wrap_tv_conn_wake(struct tv_conn *conn, struct tv_flow *flow, unsigned wants) {
    bool servers = flow->ops == &tvs_stream_flow_ops;
    if ((wants & TV_WANTS_CONTROL) && servers && sim_plant_strikes(SIM_PLANT_LOST_CONTROL_WAKE, 5))
        return;
    if ((wants & TV_WANTS_DATA) && servers && sim_plant_strikes(SIM_PLANT_LOST_DOWNLOAD_WAKE, 5))
        return;
    if (!servers && sim_plant_strikes(SIM_PLANT_LOST_CLIENT_WAKE, 5))
        return;
    __real_tv_conn_wake(conn, flow, wants);
}

/* ---- the pool ---- */

bool __real_tvs_pool_bandwidth_take(struct tvs_pool *pool, struct tvs_bandwidth_waiter *waiter, uint64_t bytes);
bool __wrap_tvs_pool_bandwidth_take(struct tvs_pool *pool, struct tvs_bandwidth_waiter *waiter, uint64_t bytes);
bool __wrap_tvs_pool_bandwidth_take(struct tvs_pool *pool, struct tvs_bandwidth_waiter *waiter, uint64_t bytes) {
    uint64_t debited_bytes = waiter->has_turn ? waiter->bytes : bytes; /* with its turn, for what it wanted when it asked */
    bool taken = sim_plant_strikes(SIM_PLANT_OVERDRAW, 20) || __real_tvs_pool_bandwidth_take(pool, waiter, bytes);
    sim_met.turn_waits += !taken;
    if (taken)
        sim_check_allowed(pool, debited_bytes);
    return taken;
}

bool __real_tvs_pool_bandwidth_try(struct tvs_pool *pool, uint64_t bytes);
bool __wrap_tvs_pool_bandwidth_try(struct tvs_pool *pool, uint64_t bytes);
bool __wrap_tvs_pool_bandwidth_try(struct tvs_pool *pool, uint64_t bytes) {
    bool taken = __real_tvs_pool_bandwidth_try(pool, bytes);
    if (taken)
        sim_check_allowed(pool, bytes);
    return taken;
}

struct tvs_bandwidth_waiter *__real_tvs_bandwidth_next(struct tvs_bandwidth *bandwidth, uint64_t now_ns);
struct tvs_bandwidth_waiter *__wrap_tvs_bandwidth_next(struct tvs_bandwidth *bandwidth, uint64_t now_ns);
struct tvs_bandwidth_waiter *__wrap_tvs_bandwidth_next(struct tvs_bandwidth *bandwidth, uint64_t now_ns) {
    struct tvs_bandwidth_waiter *waiter = __real_tvs_bandwidth_next(bandwidth, now_ns);
    if (waiter != NULL && sim_plant_strikes(SIM_PLANT_LOST_TURN, 5))
        waiter = __real_tvs_bandwidth_next(bandwidth, now_ns);
    return waiter;
}

enum tvs_acquired __real_tvs_acquire_queue_enter(struct tvs_acquire_queue *queue, struct tvs_waiter *waiter, uint32_t places,
                                                 uint32_t waiting_max, uint64_t deadline_ns);
enum tvs_acquired __wrap_tvs_acquire_queue_enter(struct tvs_acquire_queue *queue, struct tvs_waiter *waiter, uint32_t places,
                                                 uint32_t waiting_max, uint64_t deadline_ns);
enum tvs_acquired __wrap_tvs_acquire_queue_enter(struct tvs_acquire_queue *queue, struct tvs_waiter *waiter, uint32_t places,
                                                 uint32_t waiting_max, uint64_t deadline_ns) {
    enum tvs_acquired acquired = __real_tvs_acquire_queue_enter(queue, waiter, places, waiting_max, deadline_ns);
    if (acquired == TVS_ACQUIRE_QUEUED)
        sim_check_queued(waiter);
    return acquired;
}

struct tvs_waiter *__real_tvs_acquire_queue_next(struct tvs_acquire_queue *queue, uint32_t places);
struct tvs_waiter *__wrap_tvs_acquire_queue_next(struct tvs_acquire_queue *queue, uint32_t places);
struct tvs_waiter *__wrap_tvs_acquire_queue_next(struct tvs_acquire_queue *queue, uint32_t places) {
    struct tvs_waiter *last = queue->held < places ? queue->last : NULL;
    if (last != NULL && sim.plant == SIM_PLANT_QUEUE_JUMPER) {
        (void)tvs_acquire_queue_leave(queue, last);
        queue->held++;
        sim_check_served(queue, last);
        return last;
    }
    struct tvs_waiter *waiter = __real_tvs_acquire_queue_next(queue, places);
    if (waiter != NULL && sim_plant_strikes(SIM_PLANT_FORGOTTEN_WAITER, 20))
        waiter = __real_tvs_acquire_queue_next(queue, places);
    if (waiter != NULL)
        sim_check_served(queue, waiter);
    return waiter;
}

void __real_tvs_acquire_queue_release(struct tvs_acquire_queue *queue);
void __wrap_tvs_acquire_queue_release(struct tvs_acquire_queue *queue);
void __wrap_tvs_acquire_queue_release(struct tvs_acquire_queue *queue) {
    if (!sim_plant_strikes(SIM_PLANT_LEAKED_PLACE, 10))
        __real_tvs_acquire_queue_release(queue);
}

struct tvs_waiter *__real_tvs_acquire_queue_expired(struct tvs_acquire_queue *queue, uint64_t now_ns);
struct tvs_waiter *__wrap_tvs_acquire_queue_expired(struct tvs_acquire_queue *queue, uint64_t now_ns);
struct tvs_waiter *__wrap_tvs_acquire_queue_expired(struct tvs_acquire_queue *queue, uint64_t now_ns) {
    return sim.plant == SIM_PLANT_FORGOTTEN_DEADLINE ? NULL : __real_tvs_acquire_queue_expired(queue, now_ns);
}

struct tvc_pool_ticket *__real_tvc_pool_queue_give_back(struct tvc_pool_queue *queue);
struct tvc_pool_ticket *__wrap_tvc_pool_queue_give_back(struct tvc_pool_queue *queue);
struct tvc_pool_ticket *__wrap_tvc_pool_queue_give_back(struct tvc_pool_queue *queue) {
    struct tvc_pool_ticket *ticket = __real_tvc_pool_queue_give_back(queue);
    return sim.plant == SIM_PLANT_FORGOTTEN_TICKET ? NULL : ticket;
}

enum tvs_feed_news __real_tvs_feed_look(struct tvs_feed *feed, struct tvs_follower *follower, uint64_t *end);
enum tvs_feed_news __wrap_tvs_feed_look(struct tvs_feed *feed, struct tvs_follower *follower, uint64_t *end);
enum tvs_feed_news __wrap_tvs_feed_look(struct tvs_feed *feed, struct tvs_follower *follower, uint64_t *end) {
    enum tvs_feed_news news = __real_tvs_feed_look(feed, follower, end);
    return news == TVS_FEED_MORE && sim_plant_strikes(SIM_PLANT_LOST_NEWS, 20) ? TVS_FEED_NONE : news;
}

/* ---- states and ends ---- */

trove_status __real_tv_stream_state_apply(trove_stream_state *state, enum tv_stream_event event, trove_error *error);
trove_status __wrap_tv_stream_state_apply(trove_stream_state *state, enum tv_stream_event event, trove_error *error);
trove_status __wrap_tv_stream_state_apply(trove_stream_state *state, enum tv_stream_event event, trove_error *error) {
    if (event == TV_EVENT_RESUME && *state == TROVE_STREAM_PAUSED && sim_plant_strikes(SIM_PLANT_IGNORED_RESUME, 10))
        return TROVE_OK;
    return __real_tv_stream_state_apply(state, event, error);
}

void __real_tvc_stream_hooks_wait(trove_stream *stream);
void __wrap_tvc_stream_hooks_wait(trove_stream *stream);
void __wrap_tvc_stream_hooks_wait(trove_stream *stream) {
    __real_tvc_stream_hooks_wait(stream);
    if (!sim_plant_strikes(SIM_PLANT_SECOND_END, 20))
        return;
    stream->hooks.end_done = false;
    tvc_stream_hooks_ended(stream);
    __real_tvc_stream_hooks_wait(stream);
}

/* ---- connections that are made again ---- */

void __real_tvs_flush_policy_ask(struct tvs_flush_policy *policy, uint64_t offset, uint64_t now_ns);
void __wrap_tvs_flush_policy_ask(struct tvs_flush_policy *policy, uint64_t offset, uint64_t now_ns);
void __wrap_tvs_flush_policy_ask(struct tvs_flush_policy *policy, uint64_t offset, uint64_t now_ns) {
    __real_tvs_flush_policy_ask(policy, offset, now_ns);
    if (sim.plant == SIM_PLANT_RECEIVED_AS_DURABLE)
        TV_CONTAINER_OF(policy, struct tvs_resume, flush)->durable_offset = offset;
}

void __real_tvc_keep_durable(trove_stream *stream);
void __wrap_tvc_keep_durable(trove_stream *stream);
void __wrap_tvc_keep_durable(trove_stream *stream) {
    uint64_t durable_offset = stream->upload.durable_offset;
    if (sim.plant == SIM_PLANT_EARLY_LET_GO)
        stream->upload.durable_offset = stream->upload.received_offset;
    __real_tvc_keep_durable(stream);
    stream->upload.durable_offset = durable_offset;
}

trove_status __real_tvs_upload_gate_enter(struct tvs_upload_gate *gate, uint64_t epoch, trove_error *error);
trove_status __wrap_tvs_upload_gate_enter(struct tvs_upload_gate *gate, uint64_t epoch, trove_error *error);
trove_status __wrap_tvs_upload_gate_enter(struct tvs_upload_gate *gate, uint64_t epoch, trove_error *error) {
    return __real_tvs_upload_gate_enter(gate, sim.plant == SIM_PLANT_UNCHECKED_EPOCH ? gate->epoch : epoch, error);
}

void __real_tvc_resume_on_opened(trove_stream *stream, const Trove__V1__Opened *opened);
void __wrap_tvc_resume_on_opened(trove_stream *stream, const Trove__V1__Opened *opened);
void __wrap_tvc_resume_on_opened(trove_stream *stream, const Trove__V1__Opened *opened) {
    __real_tvc_resume_on_opened(stream, opened);
    if (sim.plant == SIM_PLANT_ATTACHED_TWICE)
        __real_tvc_resume_on_opened(stream, opened);
}

void __real_tvc_resume_interrupt(trove_stream *stream);
void __wrap_tvc_resume_interrupt(trove_stream *stream);
void __wrap_tvc_resume_interrupt(trove_stream *stream) {
    sim_met.lost_answers++;
    __real_tvc_resume_interrupt(stream);
}

void __real_tvc_redial_fire(struct tv_timer *timer);
void __wrap_tvc_redial_fire(struct tv_timer *timer);
void __wrap_tvc_redial_fire(struct tv_timer *timer) {
    if (!sim_plant_strikes(SIM_PLANT_LOST_DIAL, 20))
        __real_tvc_redial_fire(timer);
}

/* It is asked for without conditions, and what came isn't compared. */
void __real_tvs_conditions_from_wire(const Trove__V1__Conditions *wire, struct tvs_conditions *conditions);
void __wrap_tvs_conditions_from_wire(const Trove__V1__Conditions *wire, struct tvs_conditions *conditions);
void __wrap_tvs_conditions_from_wire(const Trove__V1__Conditions *wire, struct tvs_conditions *conditions) {
    __real_tvs_conditions_from_wire(sim.plant == SIM_PLANT_UNPINNED_DOWNLOAD ? NULL : wire, conditions);
}

trove_status __real_tvc_download_attach(trove_stream *stream, const Trove__V1__Opened *opened, trove_error *error);
trove_status __wrap_tvc_download_attach(trove_stream *stream, const Trove__V1__Opened *opened, trove_error *error);
trove_status __wrap_tvc_download_attach(trove_stream *stream, const Trove__V1__Opened *opened, trove_error *error) {
    trove_status status = __real_tvc_download_attach(stream, opened, error);
    if (sim.plant != SIM_PLANT_UNPINNED_DOWNLOAD)
        return status;
    stream->download.call_id = stream->entry.node.id;
    stream->download.check_etag = false;
    return TROVE_OK;
}
