/* sender.c - see sender.h. Pure; under the owner's lock.
 *
 * Why going back is simple: the wire keeps order, and after a chunk that it didn't take the receiver takes nothing until that
 * chunk comes again. So one answer "not taken, from F on" tells the fate of everything that was begun from F on, what is still
 * under way included; all of it is sent again and its credit is back. The receiver says it once; there are no answers for the
 * late copies, which would have to be told from answers for the copies that replace them. (Rejected: an answer for each copy,
 * matched by counting; sending only what is missing, which needs a receiver that holds bytes out of order.)
 *
 * Credit is a sum that may stand below zero: a grant can expire when the chunks begun on it are already under way. The receiver
 * may still take them (on a newer grant) or not. What was taken back after it was used is owed, and paid by whatever comes in
 * next, so that both ends always arrive at the same sum, and in whatever order grants, expiries and answers cross.
 *
 * Losses need no list: chunks keep their numbers, so what was lost is what lies between the number that comes next and the one at
 * the front of the queue. Chunks that go back into the queue bring the jumps between them along, and these are announced again.
 */
#include "sender.h"

#include "checked.h"

#include <inttypes.h>

/* ---- rings ----------------------------------------------------------------------------------------------------------------- */

static struct tv_chunk *ring_at(const struct tv_sender *sender, const struct tv_chunk_ring *ring, uint32_t position) {
    return ring->slots[(ring->first + position) % sender->channel_chunks];
}

static struct tv_chunk *ring_first(const struct tv_chunk_ring *ring) {
    return ring->count > 0 ? ring->slots[ring->first] : NULL;
}

static struct tv_chunk *ring_last(const struct tv_sender *sender, const struct tv_chunk_ring *ring) {
    return ring->count > 0 ? ring_at(sender, ring, ring->count - 1) : NULL;
}

static void push_back(const struct tv_sender *sender, struct tv_chunk_ring *ring, struct tv_chunk *chunk) {
    TV_ASSERT(ring->count < sender->channel_chunks);
    ring->slots[(ring->first + ring->count++) % sender->channel_chunks] = chunk;
}

static void push_front(const struct tv_sender *sender, struct tv_chunk_ring *ring, struct tv_chunk *chunk) {
    TV_ASSERT(ring->count < sender->channel_chunks);
    ring->first = (ring->first + sender->channel_chunks - 1) % sender->channel_chunks;
    ring->slots[ring->first] = chunk;
    ring->count++;
}

static struct tv_chunk *pop_front(const struct tv_sender *sender, struct tv_chunk_ring *ring) {
    struct tv_chunk *chunk = ring->slots[ring->first];
    ring->first = (ring->first + 1) % sender->channel_chunks;
    ring->count--;
    return chunk;
}

static struct tv_chunk *pop_back(const struct tv_sender *sender, struct tv_chunk_ring *ring) {
    return ring->slots[(ring->first + --ring->count) % sender->channel_chunks];
}

/* ---- life ------------------------------------------------------------------------------------------------------------------ */

trove_status tv_sender_init(struct tv_sender *sender, uint32_t channel_chunks, uint64_t first_offset, trove_error *error) {
    TV_ASSERT(channel_chunks > 0);
    if (first_offset > TV_OFFSET_MAX)
        return TV_FAIL(error, INVALID_ARGUMENT, "offset %" PRIu64 " is beyond any object's end", first_offset);
    struct tv_chunk **slots = calloc(2 * (size_t)channel_chunks, sizeof(struct tv_chunk *));
    if (slots == NULL)
        return TV_FAIL(error, RESOURCE_EXHAUSTED, "no memory for a window of %" PRIu32 " chunks", channel_chunks);
    *sender = (struct tv_sender){
        .channel_chunks = channel_chunks,
        .flight.slots = slots,
        .queue.slots = slots + channel_chunks,
        .sent_offset = first_offset,
        .next_offset = first_offset,
    };
    return TROVE_OK;
}

static void abandon(struct tv_sender *sender, struct tv_chunk_ring *ring) {
    while (ring->count > 0) {
        struct tv_chunk *chunk = pop_front(sender, ring);
        sender->abandoned_bytes += chunk->bytes;
        sender->abandoned_chunks++;
        tv_chunk_release(chunk);
    }
}

static void abandon_window(struct tv_sender *sender) {
    abandon(sender, &sender->flight);
    abandon(sender, &sender->queue);
    sender->queued_bytes = sender->unsent_bytes = 0;
}

void tv_sender_fini(struct tv_sender *sender) {
    if (sender->flight.slots == NULL)
        return;
    abandon_window(sender);
    free(sender->flight.slots);
    sender->flight.slots = sender->queue.slots = NULL;
    sender->credit_bytes = 0;
}

bool tv_sender_full(const struct tv_sender *sender) {
    return sender->flight.count + sender->queue.count == sender->channel_chunks;
}

void tv_sender_push(struct tv_sender *sender, struct tv_chunk *chunk) {
    TV_ASSERT(!tv_sender_full(sender) && !sender->final_pushed);
    TV_ASSERT(chunk->bytes > 0 || chunk->final);
    TV_ASSERT(chunk->bytes <= TV_OFFSET_MAX - sender->next_offset);
    chunk->index = sender->next++;
    chunk->offset = sender->next_offset;
    chunk->generation = sender->generation;
    chunk->sent_bytes = 0;
    push_back(sender, &sender->queue, chunk);
    sender->next_offset += chunk->bytes;
    sender->queued_bytes += chunk->bytes;
    sender->unsent_bytes += chunk->bytes;
    sender->pushed_bytes += chunk->bytes;
    sender->pushed_chunks++;
    sender->final_pushed = chunk->final;
}

bool tv_sender_may_drop(const struct tv_sender *sender) {
    const struct tv_chunk *oldest = ring_first(&sender->queue);
    return oldest != NULL && !oldest->final;
}

struct tv_chunk *tv_sender_drop(struct tv_sender *sender) {
    if (!tv_sender_may_drop(sender))
        return NULL;
    struct tv_chunk *chunk = pop_front(sender, &sender->queue);
    sender->queued_bytes -= chunk->bytes;
    sender->unsent_bytes -= chunk->bytes;
    sender->dropped_bytes += chunk->bytes;
    sender->dropped_chunks++;
    return chunk;
}

/* ---- what goes out --------------------------------------------------------------------------------------------------------- */

/* The chunk that was begun and isn't sent whole. */
static struct tv_chunk *begun(const struct tv_sender *sender) {
    struct tv_chunk *last = ring_last(sender, &sender->flight);
    return last != NULL && last->sent_bytes < last->bytes ? last : NULL;
}

bool tv_sender_ready(const struct tv_sender *sender) {
    if (begun(sender) != NULL)
        return true;
    const struct tv_chunk *chunk = ring_first(&sender->queue);
    return chunk != NULL && chunk->bytes <= sender->credit_bytes;
}

bool tv_sender_next_gap(struct tv_sender *sender, struct tv_gap *gap) {
    if (begun(sender) != NULL || !tv_sender_ready(sender))
        return false;
    const struct tv_chunk *chunk = ring_first(&sender->queue);
    if (chunk->index == sender->sent_index)
        return false;
    *gap = (struct tv_gap){
        .first_index = sender->sent_index,
        .count = chunk->index - sender->sent_index,
        .offset = sender->sent_offset,
        .length = chunk->offset - sender->sent_offset,
    };
    sender->sent_index = chunk->index;
    sender->sent_offset = chunk->offset;
    return true;
}

/* Ends at a block boundary if the fragment reaches one: then the pieces behind it are whole, and their sums are known. */
static uint64_t fragment_bytes(const struct tv_chunk *chunk, uint64_t payload_bytes_max) {
    uint64_t left = chunk->bytes - chunk->sent_bytes;
    if (payload_bytes_max > TV_PAYLOAD_BYTES_MAX)
        payload_bytes_max = TV_PAYLOAD_BYTES_MAX;
    if (left <= payload_bytes_max)
        return left;
    uint64_t begin = chunk->offset + chunk->sent_bytes;
    uint64_t end = begin + payload_bytes_max;
    uint64_t boundary = end - end % TV_BLOCK_BYTES;
    return boundary > begin ? boundary - begin : payload_bytes_max;
}

/* Takes the chunk at the front of the queue into flight. */
static struct tv_chunk *begin_chunk(struct tv_sender *sender) {
    struct tv_chunk *chunk = pop_front(sender, &sender->queue);
    push_back(sender, &sender->flight, chunk);
    sender->credit_bytes -= chunk->bytes;
    sender->unsent_bytes -= chunk->bytes;
    sender->sent_index = chunk->index + 1;
    sender->sent_offset = chunk->offset + chunk->bytes;
    return chunk;
}

bool tv_sender_next(struct tv_sender *sender, uint64_t payload_bytes_max, struct tv_fragment_out *fragment) {
    TV_ASSERT(payload_bytes_max > 0);
    struct tv_chunk *chunk = begun(sender);
    if (chunk == NULL) {
        if (!tv_sender_ready(sender) || ring_first(&sender->queue)->index != sender->sent_index)
            return false;
        chunk = begin_chunk(sender);
    }
    uint64_t bytes = fragment_bytes(chunk, payload_bytes_max);
    *fragment = (struct tv_fragment_out){.chunk = chunk, .fragment_offset = chunk->sent_bytes, .bytes = bytes};
    chunk->sent_bytes += bytes;
    return true;
}

uint64_t tv_sender_position(const struct tv_sender *sender) {
    const struct tv_chunk *chunk = begun(sender);
    if (chunk == NULL)
        chunk = ring_first(&sender->queue);
    return chunk != NULL ? chunk->offset + chunk->sent_bytes : sender->next_offset;
}

uint64_t tv_sender_begun_bytes(const struct tv_sender *sender) {
    const struct tv_chunk *chunk = begun(sender);
    return chunk != NULL ? chunk->bytes - chunk->sent_bytes : 0;
}

uint64_t tv_sender_waiting_bytes(const struct tv_sender *sender) {
    const struct tv_chunk *chunk = ring_first(&sender->queue);
    return chunk != NULL ? chunk->bytes : 0;
}

bool tv_sender_drained(const struct tv_sender *sender) {
    return sender->final_pushed && sender->queue.count == 0 && begun(sender) == NULL;
}

bool tv_sender_settled(const struct tv_sender *sender) {
    return sender->queue.count == 0 && sender->flight.count == 0;
}

/* ---- what comes back ------------------------------------------------------------------------------------------------------- */

static void add_credit(struct tv_sender *sender, uint64_t bytes) {
    uint64_t paid = bytes < sender->owed_bytes ? bytes : sender->owed_bytes;
    sender->owed_bytes -= paid;
    sender->credit_bytes = tv_add_capped(sender->credit_bytes, bytes - paid);
}

void tv_sender_credit(struct tv_sender *sender, uint64_t granted_bytes, uint64_t expired_bytes) {
    add_credit(sender, granted_bytes);
    uint64_t unused = expired_bytes < sender->credit_bytes ? expired_bytes : sender->credit_bytes;
    sender->credit_bytes -= unused;
    sender->owed_bytes = tv_add_capped(sender->owed_bytes, expired_bytes - unused);
}

static void acknowledge_first(struct tv_sender *sender, tv_sender_acked acked, void *context) {
    struct tv_chunk *chunk = pop_front(sender, &sender->flight);
    sender->queued_bytes -= chunk->bytes;
    sender->acknowledged_bytes += chunk->bytes;
    sender->acknowledged_chunks++;
    if (acked != NULL)
        acked(context, chunk);
    tv_chunk_release(chunk);
}

trove_status tv_sender_ack(struct tv_sender *sender, uint64_t first, uint64_t count, tv_sender_acked acked, void *context,
                           trove_error *error) {
    if (first != sender->base)
        return TV_FAIL(error, INVALID_ARGUMENT,
                       "chunk %" PRIu64 " was acknowledged where chunk %" PRIu64 " is the oldest outstanding", first,
                       sender->base);
    const struct tv_chunk *partly = begun(sender);
    uint64_t sent_end = partly != NULL ? partly->index : sender->sent_index;
    if (count == 0 || count > sent_end - first)
        return TV_FAIL(error, INVALID_ARGUMENT,
                       "%" PRIu64 " chunks from %" PRIu64 " on were acknowledged, of which only %" PRIu64 " were sent", count,
                       first, sent_end - first);
    sender->base = first + count;
    while (sender->flight.count > 0 && ring_first(&sender->flight)->index < sender->base)
        acknowledge_first(sender, acked, context);
    return TROVE_OK;
}

void tv_sender_ack_below(struct tv_sender *sender, uint64_t offset, tv_sender_acked acked, void *context) {
    while (sender->flight.count > 0 && ring_first(&sender->flight)->offset < offset) {
        const struct tv_chunk *chunk = ring_first(&sender->flight);
        sender->base = chunk->index + 1;
        add_credit(sender, chunk->bytes);
        acknowledge_first(sender, acked, context);
    }
}

/* How many of the chunks in flight come from `index` on. */
static uint32_t in_flight_from(const struct tv_sender *sender, uint64_t index) {
    uint32_t position = sender->flight.count;
    while (position > 0 && ring_at(sender, &sender->flight, position - 1)->index >= index)
        position--;
    return sender->flight.count - position;
}

trove_status tv_sender_not_taken(struct tv_sender *sender, uint64_t first, uint64_t count, trove_error *error) {
    uint32_t back = in_flight_from(sender, first);
    bool known = back > 0 && ring_at(sender, &sender->flight, sender->flight.count - back)->index == first;
    if (!known || count == 0 || count > sender->sent_index - first)
        return TV_FAIL(error, INVALID_ARGUMENT,
                       "%" PRIu64 " chunks from %" PRIu64 " on came back as not taken, but only %" PRIu64 " to %" PRIu64
                       " are under way",
                       count, first, sender->base, sender->sent_index);
    struct tv_chunk *chunk = NULL;
    while (back-- > 0) {
        chunk = pop_back(sender, &sender->flight);
        add_credit(sender, chunk->bytes);
        sender->unsent_bytes += chunk->bytes;
        chunk->sent_bytes = 0;
        sender->resent_chunks++;
        push_front(sender, &sender->queue, chunk);
    }
    sender->sent_index = chunk->index;
    sender->sent_offset = chunk->offset;
    return TROVE_OK;
}

void tv_sender_seek(struct tv_sender *sender, uint64_t offset, uint64_t generation) {
    TV_ASSERT(offset <= TV_OFFSET_MAX);
    for (uint32_t i = 0; i < sender->flight.count; i++)
        add_credit(sender, ring_at(sender, &sender->flight, i)->bytes);
    abandon_window(sender);
    sender->base = sender->next = sender->sent_index = 0;
    sender->next_offset = sender->sent_offset = offset;
    sender->generation = generation;
    sender->final_pushed = false;
}

struct tv_chunk *tv_sender_unwind(struct tv_sender *sender) {
    bool queued = sender->flight.count == 0;
    struct tv_chunk_ring *ring = queued ? &sender->queue : &sender->flight;
    if (ring->count == 0)
        return NULL;
    struct tv_chunk *chunk = pop_front(sender, ring);
    sender->queued_bytes -= chunk->bytes;
    if (queued)
        sender->unsent_bytes -= chunk->bytes;
    sender->pushed_bytes -= chunk->bytes;
    sender->pushed_chunks--;
    return chunk;
}

void tv_sender_restart(struct tv_sender *sender, uint64_t offset) {
    TV_ASSERT(tv_sender_settled(sender) && offset <= TV_OFFSET_MAX);
    sender->base = sender->next = sender->sent_index = 0;
    sender->next_offset = sender->sent_offset = offset;
    sender->generation = 0;
    sender->credit_bytes = sender->owed_bytes = 0;
    sender->final_pushed = false;
}
