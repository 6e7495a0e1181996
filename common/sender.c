/* sender.c - see sender.h. Pure; under the owner's lock.
 *
 * Why going back is simple: the wire keeps order, and after a chunk that it didn't take the receiver takes nothing until that
 * chunk comes again. So one answer "not taken, from F on" tells the fate of everything that was begun from F on, what is still
 * under way included; all of it is sent again and its credit is back. The receiver says it once; there are no answers for the late
 * copies, which would have to be told from answers for the copies that replace them. (Rejected: an answer for each copy, matched
 * by counting; sending only what is missing, which needs a receiver that holds bytes out of order.)
 *
 * Credit is a sum that may stand below zero: a grant can expire when the chunks begun on it are already under way. The receiver
 * may still take them (on a newer grant) or not. What was taken back after it was used is owed, and paid by whatever comes in next,
 * so that both ends always arrive at the same sum, and in whatever order grants, expiries and answers cross.
 */
#include "sender.h"

#include <inttypes.h>

/* Objects are smaller; so no sum of an offset and a size overflows. */
#define OFFSET_MAX ((uint64_t)INT64_MAX)

trove_status tv_sender_init(struct tv_sender *sender, uint32_t channel_chunks, uint64_t first_offset, trove_error *error) {
    TV_ASSERT(channel_chunks > 0);
    if (first_offset > OFFSET_MAX)
        return TV_FAIL(error, INVALID_ARGUMENT, "offset %" PRIu64 " is beyond any object's end", first_offset);
    struct tv_chunk **ring = calloc(channel_chunks, sizeof *ring);
    if (ring == NULL)
        return TV_FAIL(error, RESOURCE_EXHAUSTED, "no memory for a window of %" PRIu32 " chunks", channel_chunks);
    *sender = (struct tv_sender){.ring = ring, .channel_chunks = channel_chunks, .next_offset = first_offset};
    return TROVE_OK;
}

static struct tv_chunk **slot(const struct tv_sender *sender, uint64_t index) {
    return &sender->ring[index % sender->channel_chunks];
}

void tv_sender_fini(struct tv_sender *sender) {
    if (sender->ring == NULL)
        return;
    for (uint64_t index = sender->base; index < sender->next; index++)
        tv_chunk_release(*slot(sender, index));
    free(sender->ring);
    *sender = (struct tv_sender){.ring = NULL};
}

bool tv_sender_full(const struct tv_sender *sender) {
    return sender->next - sender->base == sender->channel_chunks;
}

void tv_sender_push(struct tv_sender *sender, struct tv_chunk *chunk) {
    TV_ASSERT(!tv_sender_full(sender) && !sender->final_pushed);
    TV_ASSERT(chunk->bytes > 0 || chunk->final);
    TV_ASSERT(chunk->bytes <= OFFSET_MAX - sender->next_offset);
    chunk->index = sender->next++;
    chunk->offset = sender->next_offset;
    chunk->sent_bytes = 0;
    *slot(sender, chunk->index) = chunk;
    sender->next_offset += chunk->bytes;
    sender->queued_bytes += chunk->bytes;
    sender->unsent_bytes += chunk->bytes;
    sender->final_pushed = chunk->final;
}

/* ---- what goes out --------------------------------------------------------------------------------------------------------- */

bool tv_sender_ready(const struct tv_sender *sender) {
    if (sender->cursor == sender->next)
        return false;
    const struct tv_chunk *chunk = *slot(sender, sender->cursor);
    return chunk->sent_bytes > 0 || chunk->bytes <= sender->credit_bytes;
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

bool tv_sender_next(struct tv_sender *sender, uint64_t payload_bytes_max, struct tv_fragment_out *fragment) {
    TV_ASSERT(payload_bytes_max > 0);
    if (!tv_sender_ready(sender))
        return false;
    struct tv_chunk *chunk = *slot(sender, sender->cursor);
    if (chunk->sent_bytes == 0) {
        sender->credit_bytes -= chunk->bytes;
        sender->unsent_bytes -= chunk->bytes;
    }
    uint64_t bytes = fragment_bytes(chunk, payload_bytes_max);
    *fragment = (struct tv_fragment_out){.chunk = chunk, .fragment_offset = chunk->sent_bytes, .bytes = bytes};
    chunk->sent_bytes += bytes;
    if (chunk->sent_bytes == chunk->bytes)
        sender->cursor++;
    return true;
}

uint64_t tv_sender_position(const struct tv_sender *sender) {
    if (sender->cursor == sender->next)
        return sender->next_offset;
    const struct tv_chunk *chunk = *slot(sender, sender->cursor);
    return chunk->offset + chunk->sent_bytes;
}

uint64_t tv_sender_begun_bytes(const struct tv_sender *sender) {
    if (sender->cursor == sender->next)
        return 0;
    const struct tv_chunk *chunk = *slot(sender, sender->cursor);
    return chunk->sent_bytes > 0 ? chunk->bytes - chunk->sent_bytes : 0;
}

bool tv_sender_drained(const struct tv_sender *sender) {
    return sender->final_pushed && sender->cursor == sender->next;
}

bool tv_sender_settled(const struct tv_sender *sender) {
    return sender->base == sender->next;
}

/* ---- what comes back ------------------------------------------------------------------------------------------------------- */

/* Sums of what a peer says: they stop at the largest number instead of wrapping. */
static uint64_t add_capped(uint64_t a, uint64_t b) {
    uint64_t sum;
    return __builtin_add_overflow(a, b, &sum) ? UINT64_MAX : sum;
}

static void add_credit(struct tv_sender *sender, uint64_t bytes) {
    uint64_t paid = bytes < sender->owed_bytes ? bytes : sender->owed_bytes;
    sender->owed_bytes -= paid;
    sender->credit_bytes = add_capped(sender->credit_bytes, bytes - paid);
}

void tv_sender_credit(struct tv_sender *sender, uint64_t granted_bytes, uint64_t expired_bytes) {
    add_credit(sender, granted_bytes);
    uint64_t unused = expired_bytes < sender->credit_bytes ? expired_bytes : sender->credit_bytes;
    sender->credit_bytes -= unused;
    sender->owed_bytes = add_capped(sender->owed_bytes, expired_bytes - unused);
}

trove_status tv_sender_ack(struct tv_sender *sender, uint64_t first, uint64_t count, tv_sender_acked acked, void *context,
                           trove_error *error) {
    if (first != sender->base)
        return TV_FAIL(error, INVALID_ARGUMENT,
                       "chunk %" PRIu64 " was acknowledged where chunk %" PRIu64 " is the oldest outstanding", first,
                       sender->base);
    if (count == 0 || count > sender->cursor - first)
        return TV_FAIL(error, INVALID_ARGUMENT,
                       "%" PRIu64 " chunks from %" PRIu64 " on were acknowledged, of which only %" PRIu64 " were sent", count,
                       first, sender->cursor - first);
    for (; count > 0; count--) {
        struct tv_chunk *chunk = *slot(sender, sender->base++);
        sender->queued_bytes -= chunk->bytes;
        sender->acknowledged_bytes += chunk->bytes;
        if (acked != NULL)
            acked(context, chunk);
        tv_chunk_release(chunk);
    }
    return TROVE_OK;
}

/* The end of what was begun: the chunk at the cursor counts if a part of it was sent. */
static uint64_t begun_end(const struct tv_sender *sender) {
    bool partly = sender->cursor < sender->next && (*slot(sender, sender->cursor))->sent_bytes > 0;
    return sender->cursor + (partly ? 1 : 0);
}

trove_status tv_sender_not_taken(struct tv_sender *sender, uint64_t first, uint64_t count, trove_error *error) {
    uint64_t end = begun_end(sender);
    if (first < sender->base || first >= end || count == 0 || count > end - first)
        return TV_FAIL(error, INVALID_ARGUMENT,
                       "%" PRIu64 " chunks from %" PRIu64 " on came back as not taken, but only %" PRIu64 " to %" PRIu64
                       " are under way",
                       count, first, sender->base, end);
    for (uint64_t index = first; index < end; index++) {
        struct tv_chunk *chunk = *slot(sender, index);
        add_credit(sender, chunk->bytes);
        sender->unsent_bytes += chunk->bytes;
        chunk->sent_bytes = 0;
        sender->resent_chunks++;
    }
    sender->cursor = first;
    return TROVE_OK;
}
