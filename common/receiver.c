/* receiver.c - see receiver.h. Pure; under the owner's lock.
 *
 * A resend, step by step. A chunk F isn't taken (its grant had expired, or there was no memory): it is drained, and one answer
 * says so. Everything that the sender had under way behind F arrives as a late copy, F + 1, F + 2, ... and is drained without an
 * answer: the sender knows that it is lost (see sender.c). `resend_end` is one past the last copy seen. When F begins anew the
 * resend is over, for the wire keeps order: all late copies came before. The sender may break a chunk off to begin anew.
 *
 * Credit. Granted - taken back - begun is the same sum at both ends once everything has arrived; here it is `outstanding`, and
 * chunks that aren't taken never leave it. Until the sender has learned that a grant was taken back it may begin so much more:
 * `expired`. It has learned it when it has begun more than all grants before allowed (`expired_until`): what it can have begun
 * only on a later grant it began after that news, since both came in order. Then `expired` is 0 again and a sender that ignores
 * its credit is found out. (Rejected: letting `expired` only grow; taking bytes on an expired grant if there is memory by
 * chance.)
 */
#include "receiver.h"

#include "bounds.h"
#include "checked.h"

#include <inttypes.h>

void tv_receiver_init(struct tv_receiver *receiver, uint64_t first_offset, uint64_t chunk_bytes_max, uint64_t payload_bytes_max) {
    *receiver = (struct tv_receiver){
        .expected_offset = first_offset,
        .taken_offset = first_offset,
        .chunk_bytes_max = chunk_bytes_max,
        .payload_bytes_max = payload_bytes_max,
    };
}

/* ---- what comes in --------------------------------------------------------------------------------------------------------- */

bool tv_receiver_awaits_resend(const struct tv_receiver *receiver) {
    return receiver->expected_index < receiver->resend_end;
}

static trove_status check_sizes(const struct tv_receiver *receiver, const struct tv_fragment_in *f, trove_error *error) {
    if (f->payload_bytes > receiver->payload_bytes_max)
        return TV_FAIL(error, INVALID_ARGUMENT,
                       "chunk %" PRIu64 ": a payload of %" PRIu64 " bytes; at most %" PRIu64 " were agreed", f->index,
                       f->payload_bytes, receiver->payload_bytes_max);
    if (f->chunk_bytes > receiver->chunk_bytes_max)
        return TV_FAIL(error, INVALID_ARGUMENT, "chunk %" PRIu64 " has %" PRIu64 " bytes; at most %" PRIu64 " were agreed",
                       f->index, f->chunk_bytes, receiver->chunk_bytes_max);
    if (f->fragment_offset > f->chunk_bytes || f->payload_bytes > f->chunk_bytes - f->fragment_offset)
        return TV_FAIL(error, INVALID_ARGUMENT,
                       "chunk %" PRIu64 ": %" PRIu64 " bytes at %" PRIu64 " go beyond its end at %" PRIu64, f->index,
                       f->payload_bytes, f->fragment_offset, f->chunk_bytes);
    if (f->payload_bytes == 0 && !(f->chunk_bytes == 0 && f->final))
        return TV_FAIL(error, INVALID_ARGUMENT, "chunk %" PRIu64 ": a fragment without bytes; only the last chunk may be empty",
                       f->index);
    if (f->offset > TV_OFFSET_MAX || f->chunk_bytes > TV_OFFSET_MAX - f->offset)
        return TV_FAIL(error, INVALID_ARGUMENT, "chunk %" PRIu64 ": offset %" PRIu64 " is beyond any object's end", f->index,
                       f->offset);
    return TROVE_OK;
}

/* Goes on in, or ends, the chunk that the fragment belongs to. */
static void advance_in_chunk(struct tv_receiver *receiver, const struct tv_fragment_in *f) {
    receiver->chunk_bytes = f->chunk_bytes;
    receiver->fragment_offset = f->fragment_offset + f->payload_bytes;
    receiver->in_chunk = receiver->fragment_offset < f->chunk_bytes;
}

static enum tv_receive take(struct tv_receiver *receiver, const struct tv_fragment_in *f) {
    advance_in_chunk(receiver, f);
    receiver->chunk_not_taken = false;
    receiver->expected_offset += f->payload_bytes;
    receiver->held_bytes += f->payload_bytes;
    receiver->received_bytes += f->payload_bytes;
    if (!receiver->in_chunk) {
        receiver->expected_index++;
        receiver->received_chunks++;
        receiver->final_seen = f->final;
    }
    return TV_RECEIVE_TAKE;
}

static enum tv_receive drain(struct tv_receiver *receiver, const struct tv_fragment_in *f) {
    advance_in_chunk(receiver, f);
    receiver->chunk_not_taken = true;
    return TV_RECEIVE_DRAIN;
}

static enum tv_receive credit_ignored(const struct tv_receiver *receiver, const struct tv_fragment_in *f, trove_error *error) {
    (void)TV_FAIL(error, RESOURCE_EXHAUSTED,
                  "chunk %" PRIu64 " of %" PRIu64 " bytes was sent where the credit left was %" PRIu64
                  " bytes; wait for credit before sending",
                  f->index, f->chunk_bytes, receiver->outstanding_bytes);
    return TV_RECEIVE_FAIL;
}

static enum tv_receive out_of_order(const struct tv_fragment_in *f, uint64_t index, uint64_t offset, uint64_t fragment_offset,
                                    trove_error *error) {
    (void)TV_FAIL(error, INVALID_ARGUMENT,
                  "out of order: chunk %" PRIu64 " at offset %" PRIu64 ", byte %" PRIu64
                  " of the chunk, came where chunk %" PRIu64 " at offset %" PRIu64 ", byte %" PRIu64 ", was expected",
                  f->index, f->offset, f->fragment_offset, index, offset, fragment_offset);
    return TV_RECEIVE_FAIL;
}

/* The chunk isn't taken; its credit, which was never taken from `outstanding` or is there again, is the sender's once more when
 * the answer reaches it. */
static void begin_resend(struct tv_receiver *receiver, const struct tv_fragment_in *f) {
    receiver->not_taken_first = f->index;
    receiver->not_taken_end = f->index + 1;
    receiver->resend_end = f->index + 1;
    receiver->drained_bytes = f->chunk_bytes;
    receiver->copy_aborted = false;
}

static enum tv_receive begin_chunk(struct tv_receiver *receiver, const struct tv_fragment_in *f, trove_error *error) {
    if (receiver->final_seen) {
        (void)TV_FAIL(error, INVALID_ARGUMENT, "chunk %" PRIu64 " came after the final one", f->index);
        return TV_RECEIVE_FAIL;
    }
    if (f->index != receiver->expected_index || f->offset != receiver->expected_offset || f->fragment_offset != 0)
        return out_of_order(f, receiver->expected_index, receiver->expected_offset, 0, error);
    if (f->chunk_bytes > receiver->outstanding_bytes) {
        if (f->chunk_bytes > tv_add_capped(receiver->outstanding_bytes, receiver->expired_bytes))
            return credit_ignored(receiver, f, error);
        begin_resend(receiver, f);
        return drain(receiver, f);
    }
    receiver->outstanding_bytes -= f->chunk_bytes;
    receiver->begun_bytes += f->chunk_bytes;
    if (receiver->begun_bytes > receiver->expired_until_bytes)
        receiver->expired_bytes = 0;
    return take(receiver, f);
}

static enum tv_receive go_on_in_chunk(struct tv_receiver *receiver, const struct tv_fragment_in *f, trove_error *error) {
    if (f->index != receiver->expected_index || f->offset != receiver->expected_offset ||
        f->fragment_offset != receiver->fragment_offset)
        return out_of_order(f, receiver->expected_index, receiver->expected_offset, receiver->fragment_offset, error);
    if (f->chunk_bytes != receiver->chunk_bytes) {
        (void)TV_FAIL(error, INVALID_ARGUMENT,
                      "chunk %" PRIu64 " began with a size of %" PRIu64 " bytes and goes on with %" PRIu64, f->index,
                      receiver->chunk_bytes, f->chunk_bytes);
        return TV_RECEIVE_FAIL;
    }
    return take(receiver, f);
}

/* While a resend is awaited: what is left of the chunk that is being drained, or the next late copy. Together they may not exceed
 * what the sender could begin before the answer reached it. */
static enum tv_receive late_copy(struct tv_receiver *receiver, const struct tv_fragment_in *f, trove_error *error) {
    bool same = receiver->in_chunk || (receiver->copy_aborted && f->index == receiver->resend_end - 1);
    uint64_t index = same ? receiver->resend_end - 1 : receiver->resend_end;
    uint64_t fragment_offset = receiver->in_chunk ? receiver->fragment_offset : 0;
    bool fits = !receiver->in_chunk || f->chunk_bytes == receiver->chunk_bytes;
    if (f->index != index || f->fragment_offset != fragment_offset || !fits)
        return out_of_order(f, index, f->offset, fragment_offset, error);
    if (!receiver->in_chunk) {
        uint64_t allowed = tv_add_capped(receiver->outstanding_bytes, receiver->expired_bytes);
        if (f->chunk_bytes > allowed || receiver->drained_bytes > allowed - f->chunk_bytes)
            return credit_ignored(receiver, f, error);
        receiver->drained_bytes += f->chunk_bytes;
        receiver->resend_end = index + 1;
        receiver->copy_aborted = false;
    }
    return drain(receiver, f);
}

static enum tv_receive not_sought(uint64_t index, uint64_t generation, trove_error *error) {
    (void)TV_FAIL(error, INVALID_ARGUMENT, "chunk %" PRIu64 " of seek %" PRIu64 ", which has not taken place", index, generation);
    return TV_RECEIVE_FAIL;
}

/* Whether what begins there is what was asked for again, or lost instead. */
static bool comes_again(const struct tv_receiver *receiver, uint64_t index, uint64_t offset) {
    bool asked = receiver->not_taken_first == receiver->not_taken_end;
    return asked && index == receiver->expected_index && offset == receiver->expected_offset;
}

enum tv_receive tv_receiver_fragment(struct tv_receiver *receiver, const struct tv_fragment_in *fragment, trove_error *error) {
    if (fragment->generation < receiver->generation)
        return TV_RECEIVE_DRAIN; /* from before a seek, at which the sender took all credit under way back */
    if (fragment->generation > receiver->generation)
        return not_sought(fragment->index, fragment->generation, error);
    if (check_sizes(receiver, fragment, error) != TROVE_OK)
        return TV_RECEIVE_FAIL;
    if (tv_receiver_awaits_resend(receiver)) {
        bool again = comes_again(receiver, fragment->index, fragment->offset) && fragment->fragment_offset == 0;
        if (!again)
            return late_copy(receiver, fragment, error);
        receiver->resend_end = 0;
        receiver->in_chunk = false;
    }
    return receiver->in_chunk ? go_on_in_chunk(receiver, fragment, error) : begin_chunk(receiver, fragment, error);
}

static trove_status check_gap(const struct tv_receiver *receiver, const struct tv_gap_in *gap, trove_error *error) {
    uint64_t end = 0;
    uint64_t longest = 0;
    if (__builtin_mul_overflow(gap->count, receiver->chunk_bytes_max, &longest))
        longest = UINT64_MAX;
    if (gap->count == 0 || gap->count > UINT64_MAX - gap->first_index || gap->length < gap->count || gap->length > longest ||
        __builtin_add_overflow(gap->offset, gap->length, &end) || end > TV_OFFSET_MAX)
        return TV_FAIL(error, INVALID_ARGUMENT,
                       "a gap of %" PRIu64 " chunks from %" PRIu64 " on, %" PRIu64 " bytes at offset %" PRIu64 ", can't be",
                       gap->count, gap->first_index, gap->length, gap->offset);
    if (receiver->final_seen)
        return TV_FAIL(error, INVALID_ARGUMENT, "a gap at chunk %" PRIu64 " came after the final chunk", gap->first_index);
    return TROVE_OK;
}

enum tv_receive tv_receiver_gap(struct tv_receiver *receiver, const struct tv_gap_in *gap, trove_error *error) {
    if (gap->generation < receiver->generation)
        return TV_RECEIVE_DRAIN;
    if (gap->generation > receiver->generation)
        return not_sought(gap->first_index, gap->generation, error);
    if (check_gap(receiver, gap, error) != TROVE_OK)
        return TV_RECEIVE_FAIL;
    bool late = tv_receiver_awaits_resend(receiver) && !comes_again(receiver, gap->first_index, gap->offset);
    if (late && !receiver->in_chunk && gap->first_index == receiver->resend_end) {
        receiver->resend_end += gap->count; /* among late copies; it is announced again */
        receiver->copy_aborted = false;
        return TV_RECEIVE_DRAIN;
    }
    bool inside = receiver->in_chunk && !tv_receiver_awaits_resend(receiver);
    if (late || inside || gap->first_index != receiver->expected_index || gap->offset != receiver->expected_offset) {
        (void)TV_FAIL(error, INVALID_ARGUMENT,
                      "out of order: a gap at chunk %" PRIu64 ", offset %" PRIu64 ", came where chunk %" PRIu64
                      " at offset %" PRIu64 " was expected",
                      gap->first_index, gap->offset, receiver->expected_index, receiver->expected_offset);
        return TV_RECEIVE_FAIL;
    }
    receiver->resend_end = 0;
    receiver->in_chunk = false;
    receiver->expected_index += gap->count;
    receiver->expected_offset += gap->length;
    receiver->lost_chunks += gap->count;
    receiver->lost_bytes += gap->length;
    return TV_RECEIVE_TAKE;
}

void tv_receiver_decline(struct tv_receiver *receiver, const struct tv_fragment_in *fragment) {
    bool ended = !receiver->in_chunk;
    TV_ASSERT(fragment->fragment_offset == 0 && !tv_receiver_awaits_resend(receiver));
    TV_ASSERT(fragment->index + (ended ? 1 : 0) == receiver->expected_index);
    receiver->expected_index = fragment->index;
    receiver->expected_offset = fragment->offset;
    receiver->held_bytes -= fragment->payload_bytes;
    receiver->received_bytes -= fragment->payload_bytes;
    if (ended) {
        receiver->received_chunks--;
        receiver->final_seen = false;
    }
    receiver->outstanding_bytes += fragment->chunk_bytes;
    receiver->begun_bytes -= fragment->chunk_bytes;
    receiver->chunk_not_taken = true;
    begin_resend(receiver, fragment);
}

trove_status tv_receiver_abort(struct tv_receiver *receiver, uint64_t index, trove_error *error) {
    uint64_t coming = tv_receiver_awaits_resend(receiver) ? receiver->resend_end - 1 : receiver->expected_index;
    if (!receiver->in_chunk || index != coming)
        return TV_FAIL(error, INVALID_ARGUMENT, "chunk %" PRIu64 " was aborted, which was not coming in", index);
    uint64_t missing_bytes = receiver->chunk_bytes - receiver->fragment_offset;
    receiver->in_chunk = false;
    receiver->copy_aborted = receiver->chunk_not_taken;
    if (receiver->chunk_not_taken) {
        receiver->drained_bytes -= missing_bytes;
    } else {
        receiver->outstanding_bytes += missing_bytes;
        receiver->begun_bytes -= missing_bytes;
    }
    return TROVE_OK;
}

/* ---- what the consumer takes, what goes back ------------------------------------------------------------------------------- */

void tv_receiver_taken(struct tv_receiver *receiver, uint64_t bytes, bool chunk_done) {
    TV_ASSERT(bytes <= receiver->held_bytes);
    receiver->held_bytes -= bytes;
    receiver->taken_offset += bytes;
    receiver->taken_bytes += bytes;
    if (chunk_done) {
        TV_ASSERT(receiver->taken_index < receiver->expected_index);
        receiver->taken_index++;
        receiver->whole_bytes = receiver->taken_bytes;
    }
}

void tv_receiver_gap_taken(struct tv_receiver *receiver, uint64_t count, uint64_t length) {
    TV_ASSERT(count <= receiver->expected_index - receiver->taken_index);
    receiver->taken_index += count;
    receiver->taken_offset += length;
}

/* Takes `bytes` of what is unused back. */
static void expire(struct tv_receiver *receiver, uint64_t bytes) {
    uint64_t begun_at_most = tv_add_capped(receiver->begun_bytes, receiver->outstanding_bytes);
    if (bytes == 0)
        return;
    if (begun_at_most > receiver->expired_until_bytes)
        receiver->expired_until_bytes = begun_at_most;
    receiver->expired_bytes = tv_add_capped(receiver->expired_bytes, bytes);
    receiver->outstanding_bytes -= bytes;
}

uint64_t tv_receiver_seek(struct tv_receiver *receiver, uint64_t offset, uint64_t generation) {
    TV_ASSERT(offset <= TV_OFFSET_MAX && generation > receiver->generation);
    uint64_t taken_bytes = receiver->taken_bytes - receiver->acked_bytes;
    receiver->outstanding_bytes += receiver->begun_bytes - receiver->acked_bytes;
    receiver->begun_bytes = receiver->taken_bytes = receiver->whole_bytes = receiver->acked_bytes;
    receiver->held_bytes = 0;
    receiver->expected_index = receiver->taken_index = receiver->acked_index = 0;
    receiver->expected_offset = receiver->taken_offset = offset;
    receiver->not_taken_first = receiver->not_taken_end = receiver->resend_end = 0;
    receiver->in_chunk = receiver->chunk_not_taken = receiver->copy_aborted = receiver->final_seen = false;
    receiver->generation = generation;
    expire(receiver, taken_bytes);
    return taken_bytes;
}

void tv_receiver_grant(struct tv_receiver *receiver, uint64_t bytes) {
    TV_ASSERT(bytes <= UINT64_MAX - receiver->outstanding_bytes);
    receiver->outstanding_bytes += bytes;
}

uint64_t tv_receiver_expire(struct tv_receiver *receiver) {
    uint64_t unused = receiver->outstanding_bytes;
    expire(receiver, unused);
    return unused;
}

bool tv_receiver_next_ack(struct tv_receiver *receiver, uint64_t *first, uint64_t *count, bool *not_taken) {
    if (receiver->acked_index < receiver->taken_index) {
        *first = receiver->acked_index;
        *count = receiver->taken_index - receiver->acked_index;
        *not_taken = false;
        receiver->acked_index = receiver->taken_index;
        receiver->acked_bytes = receiver->whole_bytes;
        return true;
    }
    if (receiver->not_taken_first < receiver->not_taken_end) {
        *first = receiver->not_taken_first;
        *count = receiver->not_taken_end - receiver->not_taken_first;
        *not_taken = true;
        receiver->not_taken_first = receiver->not_taken_end;
        return true;
    }
    return false;
}

bool tv_receiver_finished(const struct tv_receiver *receiver) {
    return receiver->final_seen && receiver->held_bytes == 0 && receiver->taken_index == receiver->expected_index;
}
