/* test_flow.c - a sender against a receiver over a wire that keeps order, in random steps.
 *
 * Chunks, grants, expiries, refusals for want of memory, losses, seeks from either end, fragment sizes and the pace of all of
 * them are drawn at random. After every step the sums of credit at both ends are compared with what was granted, what arrives
 * with the object's bytes. Then the dice are put away, and the stream must come to its end. TROVE_TEST_SEED replays.
 */
#include "receiver.h"
#include "sender.h"

#include "unit_chunk.h"

#include <inttypes.h>

#define WIRE_MAX ((size_t)4096)

/* A seek of whoever receives: asked for on the way back, answered on the way there; of whoever sends: the other way round. */
struct seek {
    uint64_t generation; /* 0: none */
    uint64_t offset;
};

struct forward { /* a fragment, a gap or a word on a seek on the wire */
    struct tv_fragment_in in;
    struct tv_chunk *chunk; /* a fragment's; the reference is the transport's */
    struct tv_data data;
    struct tv_gap_in gap; /* count 0: none */
    struct seek seek;
};

struct backward {
    uint64_t granted, expired;
    uint64_t first, count; /* count 0: no answer */
    bool not_taken;
    struct seek seek;
};

struct held { /* a fragment that the consumer has yet to take, or a gap */
    uint64_t bytes;
    uint64_t lost_chunks; /* of a gap */
    bool ends_chunk;
};

#define QUEUE(type)                                                                                                              \
    struct {                                                                                                                     \
        type at[WIRE_MAX];                                                                                                       \
        size_t first, end;                                                                                                       \
    }
#define QUEUE_COUNT(queue) ((queue)->end - (queue)->first)
#define QUEUE_POP(queue)   (&(queue)->at[(queue)->first++ % WIRE_MAX])
#define QUEUE_PUSH(queue)  (assert_true(QUEUE_COUNT(queue) < WIRE_MAX), &(queue)->at[(queue)->end++ % WIRE_MAX])

struct plan { /* how a run goes: chances are out of 100 */
    const char *name;
    uint32_t channel_chunks;
    uint64_t chunk_bytes_max;
    uint64_t payload_bytes_max;
    uint64_t budget_bytes; /* for what is held and granted */
    uint64_t first_offset;
    unsigned steps;
    unsigned expire_chance;
    unsigned decline_chance;
    unsigned partial_grants; /* chance that a grant is smaller than a chunk */
    unsigned loss_chance;    /* that a full window loses its oldest chunk for a new one */
    unsigned seek_chance;
    bool sender_seeks;
};

static struct run {
    struct plan plan;
    uint64_t random;
    bool fair; /* the dice are put away */
    struct tv_sender sender;
    struct tv_receiver receiver;
    QUEUE(struct forward) forward;
    QUEUE(struct backward) backward;
    QUEUE(struct held) held;
    uint64_t granted_sent, expired_sent;   /* by the receiver */
    uint64_t granted_heard, expired_heard; /* by the sender */
    struct seek seeking;                   /* asked for and not answered */
    uint64_t acked_chunks;
    uint64_t declined, drained, seeks;
} run;

static bool chance(unsigned percent) {
    return unit_random(&run.random) % 100 < percent;
}

static uint64_t up_to(uint64_t most) { /* 1 to most, small ones often */
    uint64_t range = chance(30) ? most : most / 8 + 1;
    return 1 + unit_random(&run.random) % range;
}

/* ---- steps
 * ------------------------------------------------------------------------------------------------------------------------ */

static void step_push(void) {
    if (run.sender.final_pushed || (run.plan.sender_seeks && run.seeking.generation > 0))
        return;
    if (tv_sender_full(&run.sender) && chance(run.plan.loss_chance)) {
        struct tv_chunk *lost = tv_sender_drop(&run.sender);
        if (lost != NULL)
            tv_chunk_release(lost);
    }
    if (tv_sender_full(&run.sender))
        return;
    bool final = run.fair || (chance(1) && chance(20));
    uint64_t bytes = final && chance(50) ? 0 : up_to(run.plan.chunk_bytes_max);
    struct tv_chunk *chunk = unit_chunk_new(bytes, TV_SEGMENT_BYTES, up_to(TV_SEGMENT_BYTES));
    chunk->final = final;
    tv_sender_push(&run.sender, chunk);
    unit_chunk_fill(chunk);
}

static void step_send(void) {
    struct tv_fragment_out out;
    uint64_t most = run.fair ? run.plan.payload_bytes_max : up_to(run.plan.payload_bytes_max);
    if (QUEUE_COUNT(&run.forward) > WIRE_MAX / 2 || (run.plan.sender_seeks && run.seeking.generation > 0))
        return;
    struct tv_gap gap;
    if (tv_sender_next_gap(&run.sender, &gap)) {
        *QUEUE_PUSH(&run.forward) = (struct forward){
            .gap = {gap.first_index, gap.count, gap.offset, gap.length, run.sender.generation},
        };
        return;
    }
    if (!tv_sender_next(&run.sender, most, &out))
        return;
    struct forward *forward = QUEUE_PUSH(&run.forward);
    *forward = (struct forward){.gap.count = 0};
    forward->chunk = out.chunk;
    tv_chunk_acquire(out.chunk);
    tv_chunk_slice(out.chunk, out.fragment_offset, out.bytes, &forward->data);
    forward->in = (struct tv_fragment_in){
        .index = out.chunk->index,
        .offset = forward->data.offset,
        .chunk_bytes = out.chunk->bytes,
        .fragment_offset = out.fragment_offset,
        .payload_bytes = out.bytes,
        .generation = out.chunk->generation,
        .final = out.chunk->final,
    };
}

static void send_back(uint64_t granted, uint64_t expired) {
    *QUEUE_PUSH(&run.backward) = (struct backward){.granted = granted, .expired = expired};
    run.granted_sent += granted;
    run.expired_sent += expired;
}

static void receiver_seeks(const struct seek *seek) {
    uint64_t expired = tv_receiver_seek(&run.receiver, seek->offset, seek->generation);
    if (expired > 0)
        send_back(0, expired);
    run.held.first = run.held.end; /* what the consumer has not taken is of no use any more */
}

static void sender_seeks(const struct seek *seek) {
    tv_sender_seek(&run.sender, seek->offset, seek->generation);
    run.acked_chunks = 0;
}

/* Whoever receives asks for, whoever sends announces, a place to go on at: some place before or behind. */
static void step_seek(void) {
    if (run.fair || run.seeking.generation > 0 || run.sender.final_pushed || !chance(run.plan.seek_chance) || !chance(10))
        return;
    struct seek seek = {run.receiver.generation + 1, unit_random(&run.random) % (run.receiver.expected_offset + 1)};
    if (QUEUE_COUNT(&run.backward) >= WIRE_MAX / 2 || QUEUE_COUNT(&run.forward) >= WIRE_MAX / 2)
        return;
    run.seeking = seek;
    run.seeks++;
    if (run.plan.sender_seeks)
        *QUEUE_PUSH(&run.forward) = (struct forward){.seek = seek};
    else
        *QUEUE_PUSH(&run.backward) = (struct backward){.seek = seek};
}

static void receive_gap(const struct tv_gap_in *gap) {
    trove_error error = {TROVE_OK, ""};
    enum tv_receive verdict = tv_receiver_gap(&run.receiver, gap, &error);
    if (verdict == TV_RECEIVE_FAIL)
        fail_msg("refused: %s", error.message);
    if (verdict == TV_RECEIVE_TAKE)
        *QUEUE_PUSH(&run.held) = (struct held){.bytes = gap->length, .lost_chunks = gap->count};
}

static void receive_seek(const struct seek *seek) {
    receiver_seeks(seek);
    if (run.plan.sender_seeks)
        *QUEUE_PUSH(&run.backward) = (struct backward){.seek = *seek};
    else
        run.seeking.generation = 0;
}

static void step_receive(void) {
    if (QUEUE_COUNT(&run.forward) == 0)
        return;
    struct forward forward = *QUEUE_POP(&run.forward);
    const struct tv_fragment_in *in = &forward.in;
    if (forward.gap.count > 0 || forward.seek.generation > 0) {
        if (forward.seek.generation > 0)
            receive_seek(&forward.seek);
        else
            receive_gap(&forward.gap);
        return;
    }
    trove_error error = {TROVE_OK, ""};
    enum tv_receive verdict = tv_receiver_fragment(&run.receiver, in, &error);
    if (verdict == TV_RECEIVE_FAIL)
        fail_msg("refused: %s", error.message);
    run.drained += verdict == TV_RECEIVE_DRAIN;
    if (verdict == TV_RECEIVE_TAKE && in->fragment_offset == 0 && !run.fair && chance(run.plan.decline_chance)) {
        tv_receiver_decline(&run.receiver, in);
        run.declined++;
        if (chance(50))
            send_back(0, tv_receiver_expire(&run.receiver));
    } else if (verdict == TV_RECEIVE_TAKE) {
        unit_data_check(&forward.data);
        assert_int_equal(run.receiver.expected_offset, in->offset + in->payload_bytes);
        *QUEUE_PUSH(&run.held) = (struct held){
            .bytes = in->payload_bytes,
            .ends_chunk = in->fragment_offset + in->payload_bytes == in->chunk_bytes,
        };
    }
    tv_chunk_release(forward.chunk);
}

static void step_take(void) {
    if (QUEUE_COUNT(&run.held) == 0)
        return;
    struct held *next = &run.held.at[run.held.first % WIRE_MAX];
    if (next->lost_chunks > 0) {
        tv_receiver_gap_taken(&run.receiver, next->lost_chunks, next->bytes);
        run.held.first++;
        return;
    }
    if (next->bytes > 1 && chance(20)) { /* half of it now, half later */
        uint64_t half = next->bytes / 2;
        tv_receiver_taken(&run.receiver, half, false);
        next->bytes -= half;
        return;
    }
    struct held held = *QUEUE_POP(&run.held);
    tv_receiver_taken(&run.receiver, held.bytes, held.ends_chunk);
}

static void step_answer(void) {
    struct backward answer = {.granted = 0};
    if (!run.plan.sender_seeks && run.seeking.generation > 0)
        return; /* what is acknowledged now would be of an older generation when it is heard */
    if (QUEUE_COUNT(&run.backward) < WIRE_MAX / 2 &&
        tv_receiver_next_ack(&run.receiver, &answer.first, &answer.count, &answer.not_taken))
        *QUEUE_PUSH(&run.backward) = answer;
}

static void step_grant(void) {
    uint64_t used = run.receiver.held_bytes + run.receiver.outstanding_bytes;
    if (QUEUE_COUNT(&run.backward) >= WIRE_MAX / 2)
        return;
    /* an unfinished chunk's credit is used up, its memory is not yet held: it must stay free */
    if (run.receiver.in_chunk && !run.receiver.chunk_not_taken)
        used += run.receiver.chunk_bytes - run.receiver.fragment_offset;
    assert_true(used <= run.plan.budget_bytes);
    uint64_t bytes = run.plan.chunk_bytes_max;
    if (!run.fair && chance(run.plan.partial_grants))
        bytes = up_to(run.plan.chunk_bytes_max);
    if (run.fair && run.receiver.outstanding_bytes >= run.plan.chunk_bytes_max)
        return;
    if (bytes > run.plan.budget_bytes - used)
        bytes = run.plan.budget_bytes - used;
    uint64_t expired = !run.fair && chance(run.plan.expire_chance) ? tv_receiver_expire(&run.receiver) : 0;
    if (bytes == 0 && expired == 0)
        return;
    tv_receiver_grant(&run.receiver, bytes);
    send_back(bytes, expired);
}

static void step_expire(void) {
    if (run.fair || QUEUE_COUNT(&run.backward) >= WIRE_MAX / 2 || !chance(run.plan.expire_chance))
        return;
    uint64_t expired = tv_receiver_expire(&run.receiver);
    if (expired > 0)
        send_back(0, expired);
}

static void count_acked(void *context, const struct tv_chunk *chunk) {
    (void)context;
    assert_true(chunk->index >= run.acked_chunks);
    run.acked_chunks = chunk->index + 1;
}

static void step_hear(void) {
    if (QUEUE_COUNT(&run.backward) == 0)
        return;
    struct backward heard = *QUEUE_POP(&run.backward);
    trove_error error = {TROVE_OK, ""};
    trove_status status = TROVE_OK;
    if (heard.seek.generation > 0) {
        sender_seeks(&heard.seek);
        if (run.plan.sender_seeks)
            run.seeking.generation = 0;
        else
            *QUEUE_PUSH(&run.forward) = (struct forward){.seek = heard.seek};
        return;
    }
    tv_sender_credit(&run.sender, heard.granted, heard.expired);
    run.granted_heard += heard.granted;
    run.expired_heard += heard.expired;
    if (heard.count > 0)
        status = heard.not_taken ? tv_sender_not_taken(&run.sender, heard.first, heard.count, &error)
                                 : tv_sender_ack(&run.sender, heard.first, heard.count, count_acked, NULL, &error);
    if (status != TROVE_OK)
        fail_msg("the answer was refused: %s", error.message);
}

/* ---- what always holds
 * ------------------------------------------------------------------------------------------------------------ */

static void check(void) {
    const struct tv_sender *sender = &run.sender;
    const struct tv_receiver *receiver = &run.receiver;
    assert_true(sender->base <= sender->sent_index && sender->sent_index <= sender->next);
    assert_true(sender->flight.count + sender->queue.count <= run.plan.channel_chunks);

    uint64_t flying = sender->queued_bytes - sender->unsent_bytes;
    uint64_t begun = flying + sender->acknowledged_bytes;
    assert_int_equal(sender->acknowledged_bytes + sender->queued_bytes + sender->dropped_bytes + sender->abandoned_bytes,
                     sender->pushed_bytes);
    /* the sender: what it heard is what it has, owes and has begun; it never begins more than it was granted */
    assert_true(sender->credit_bytes == 0 || sender->owed_bytes == 0);
    assert_int_equal(run.granted_heard - run.expired_heard + sender->owed_bytes, begun + sender->credit_bytes);
    assert_true(begun <= run.granted_heard);
    /* the receiver: the same sum */
    assert_int_equal(run.granted_sent - run.expired_sent, receiver->begun_bytes + receiver->outstanding_bytes);
    uint64_t untaken = 0;
    for (size_t i = run.held.first; i != run.held.end; i++)
        untaken += run.held.at[i % WIRE_MAX].bytes;
    assert_int_equal(receiver->taken_offset + untaken, receiver->expected_offset);
    assert_true(receiver->acked_bytes <= receiver->whole_bytes && receiver->whole_bytes <= receiver->taken_bytes);
    assert_int_equal(receiver->acked_bytes <= receiver->begun_bytes, true);
    /* memory: what was granted and what is held fit the budget */
    assert_true(receiver->held_bytes + receiver->outstanding_bytes <= run.plan.budget_bytes);
    /* when all has arrived both ends agree */
    if (QUEUE_COUNT(&run.forward) == 0 && QUEUE_COUNT(&run.backward) == 0 && run.seeking.generation == 0 &&
        receiver->not_taken_first == receiver->not_taken_end && begun == receiver->begun_bytes) {
        assert_int_equal(sender->owed_bytes, 0);
        assert_int_equal(sender->credit_bytes, receiver->outstanding_bytes);
    }
}

static void (*const steps[])(void) = {step_push,  step_send,   step_receive, step_take, step_answer,
                                      step_grant, step_expire, step_hear,    step_seek};
#define STEP_KINDS (sizeof steps / sizeof steps[0])

static void step(size_t kind) {
    steps[kind]();
    check();
}

/* ---- runs
 * ------------------------------------------------------------------------------------------------------------------------- */

static void run_begin(const struct plan *plan, uint64_t seed) {
    run = (struct run){.plan = *plan, .random = seed};
    assert_int_equal(tv_sender_init(&run.sender, plan->channel_chunks, plan->first_offset, NULL), TROVE_OK);
    tv_receiver_init(&run.receiver, plan->first_offset, plan->chunk_bytes_max, plan->payload_bytes_max);
}

static void run_end(void) {
    while (QUEUE_COUNT(&run.forward) > 0) {
        struct tv_chunk *chunk = QUEUE_POP(&run.forward)->chunk;
        if (chunk != NULL)
            tv_chunk_release(chunk);
    }
    tv_sender_fini(&run.sender);
    assert_int_equal(unit_chunks_alive, 0);
}

/* The dice put away: every step in turn, until the stream has ended; a bound on the turns is what makes it a proof. */
static void run_to_the_end(void) {
    run.fair = true;
    for (unsigned turn = 0; turn < 20 * WIRE_MAX; turn++) {
        if (tv_receiver_finished(&run.receiver) && tv_sender_drained(&run.sender) && tv_sender_settled(&run.sender))
            return;
        for (size_t kind = 0; kind < STEP_KINDS; kind++)
            step(kind);
    }
    fail_msg("stuck: base %" PRIu64 " cursor %" PRIu64 " next %" PRIu64 " credit %" PRIu64 " owed %" PRIu64 "; expected %" PRIu64
             " outstanding %" PRIu64 " held %" PRIu64,
             run.sender.base, run.sender.sent_index, run.sender.next, run.sender.credit_bytes, run.sender.owed_bytes,
             run.receiver.expected_index, run.receiver.outstanding_bytes, run.receiver.held_bytes);
}

static const struct plan plans[] = {
    /* name, channel, chunk, payload, budget, first offset, steps, expire, decline, partial, loss, seek, the sender seeks */
    {"one chunk at a time", 1, 1000, 300, 1000, 0, 3000, 10, 10, 50, 0, 0, false},
    {"all goes well", 16, 1000, 1000, 20000, 0, 3000, 0, 0, 0, 0, 0, false},
    {"grants expire all the time", 16, 1000, 300, 5000, 0, 4000, 80, 0, 50, 0, 0, false},
    {"memory is refused all the time", 16, 1000, 300, 5000, 0, 4000, 0, 50, 20, 0, 0, false},
    {"everything at once", 8, 1000, 300, 4000, 0, 6000, 30, 20, 60, 0, 0, false},
    {"one byte more or less", 4, 3, 2, 7, 0, 6000, 30, 20, 60, 0, 0, false},
    {"across a block", 8, 1000, 300, 4000, TV_BLOCK_BYTES - 2000, 4000, 20, 10, 50, 0, 0, false},
    {"larger than a block", 4, 3 * TV_BLOCK_BYTES, TV_PAYLOAD_BYTES_MAX, 8 * TV_BLOCK_BYTES, 777, 300, 20, 10, 50, 0, 0, false},
    {"chunks are lost", 4, 1000, 300, 4000, 0, 6000, 20, 10, 50, 80, 0, false},
    {"the sender seeks", 8, 1000, 300, 4000, 0, 6000, 20, 10, 50, 0, 60, true},
    {"the receiver seeks", 8, 1000, 300, 4000, 0, 6000, 20, 10, 50, 0, 60, false},
    {"losses and seeks", 4, 1000, 300, 4000, 0, 6000, 20, 10, 50, 80, 60, false},
    {"losses, and the sender seeks", 4, 100, 30, 400, 0, 6000, 20, 10, 50, 80, 60, true},
};

static void bytes_arrive_in_order_whatever_happens(void **state) {
    (void)state;
    uint64_t seed = unit_seed();
    uint64_t declined = 0, drained = 0, resent = 0, lost = 0, seeks = 0;
    for (size_t p = 0; p < sizeof plans / sizeof plans[0]; p++) {
        unit_row(plans[p].name);
        for (unsigned round = 0; round < 25; round++) {
            run_begin(&plans[p], seed + round * 1000 + p);
            for (unsigned i = 0; i < plans[p].steps; i++)
                step(unit_random(&run.random) % STEP_KINDS);
            run_to_the_end();
            assert_int_equal(run.receiver.taken_offset, run.sender.next_offset);
            assert_int_equal(run.acked_chunks, run.sender.next);
            lost += run.sender.dropped_chunks;
            seeks += run.seeks;
            declined += run.declined;
            drained += run.drained;
            resent += run.sender.resent_chunks;
            run_end();
        }
    }
    print_message("    declined %" PRIu64 ", drained %" PRIu64 ", sent again %" PRIu64 ", lost %" PRIu64 ", seeks %" PRIu64 "\n",
                  declined, drained, resent, lost, seeks);
    assert_true(declined > 100 && drained > 100 && resent > 100 && lost > 100 && seeks > 100);
}

static void a_stream_that_ends_anywhere_leaks_nothing(void **state) {
    (void)state;
    uint64_t seed = unit_seed();
    for (unsigned round = 0; round < 300; round++) {
        run_begin(&plans[round % (sizeof plans / sizeof plans[0])], seed + round);
        unsigned count = (unsigned)(unit_random(&run.random) % 1000);
        for (unsigned i = 0; i < count; i++)
            step(unit_random(&run.random) % STEP_KINDS);
        run_end();
    }
}

/* A peer that makes its fragments up: it is refused or not, but no sum ever breaks. */
static void a_peer_that_makes_things_up_breaks_nothing(void **state) {
    (void)state;
    uint64_t random = unit_seed();
    for (unsigned round = 0; round < 3000; round++) {
        struct tv_receiver receiver;
        tv_receiver_init(&receiver, 0, 100, 50);
        uint64_t granted = 0, expired = 0, waiting_chunks = 0;
        for (unsigned i = 0; i < 60; i++) {
            uint64_t dice = unit_random(&random);
            uint64_t first, count;
            bool not_taken;
            struct tv_fragment_in in = {
                .index = receiver.expected_index + (dice % 16 == 0) + (dice % 8 == 1 && receiver.in_chunk),
                .offset = receiver.expected_offset + (dice % 16 == 2),
                .chunk_bytes = receiver.in_chunk ? receiver.chunk_bytes : dice / 16 % 101,
                .fragment_offset = receiver.in_chunk && dice % 4 != 0 ? receiver.fragment_offset : 0,
                .final = dice % 32 == 3,
            };
            if (receiver.resend_end > receiver.expected_index && dice % 2 == 0)
                in.index = receiver.resend_end - (receiver.in_chunk ? 1 : 0);
            uint64_t left = in.chunk_bytes - in.fragment_offset;
            in.payload_bytes = left < 50 ? left : 50;
            switch (dice / 4096 % 6) {
            case 0:
                tv_receiver_grant(&receiver, dice / 65536 % 100);
                granted += dice / 65536 % 100;
                break;
            case 1:
                expired += tv_receiver_expire(&receiver);
                break;
            case 2:
                (void)tv_receiver_next_ack(&receiver, &first, &count, &not_taken);
                break;
            case 3:
                (void)!tv_receiver_abort(&receiver, in.index, NULL);
                break;
            default:
                if (tv_receiver_fragment(&receiver, &in, NULL) == TV_RECEIVE_TAKE && in.fragment_offset == 0 && dice % 64 == 5)
                    tv_receiver_decline(&receiver, &in);
            }
            waiting_chunks = receiver.expected_index - receiver.taken_index;
            if (waiting_chunks > 0)
                tv_receiver_taken(&receiver, receiver.in_chunk ? 0 : receiver.held_bytes, true);
            assert_int_equal(granted - expired, receiver.begun_bytes + receiver.outstanding_bytes);
            assert_true(receiver.held_bytes <= receiver.begun_bytes);
            assert_true(receiver.begun_bytes <= granted);
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bytes_arrive_in_order_whatever_happens),
        cmocka_unit_test(a_stream_that_ends_anywhere_leaks_nothing),
        cmocka_unit_test(a_peer_that_makes_things_up_breaks_nothing),
    };
    return cmocka_run_group_tests_name("flow", tests, NULL, NULL);
}
