/* sender.h - the sending half of one direction of a stream: a window of chunks, credit, acknowledgements.
 *
 * Pure: it decides what may be sent next and what an acknowledgement frees; it sends nothing and knows no clock. Used by the
 * client for uploads and by the server for downloads; the owner's lock protects it.
 *
 * The window is a ring of at most `channel_chunks` chunks in index order:
 *     base <= cursor <= next      [base, cursor) under way and unacknowledged, [cursor, next) queued
 * Credit is in bytes and is taken when a chunk is begun, whole. "Not taken" puts the cursor back and the credit too: of everything
 * that was begun from the chunk named on, see sender.c.
 */
#ifndef TV_SENDER_H
#define TV_SENDER_H

#include "chunk.h"

struct tv_sender {
    struct tv_chunk **ring; /* channel_chunks slots; slot = index % channel_chunks */
    uint32_t channel_chunks;
    uint64_t base;         /* oldest chunk not acknowledged */
    uint64_t cursor;       /* next chunk to send; may be partly sent */
    uint64_t next;         /* index of the next chunk pushed */
    uint64_t next_offset;  /* object offset of the next chunk pushed */
    uint64_t credit_bytes; /* may still be begun */
    uint64_t owed_bytes;   /* taken back when it was already used; the next credit pays it. Only one of the two isn't 0 */
    uint64_t queued_bytes; /* pushed and not acknowledged */
    uint64_t unsent_bytes; /* of them, in chunks that weren't begun */
    uint64_t acknowledged_bytes;
    uint64_t resent_chunks;
    bool final_pushed;
};

/* What to put on the wire next: `bytes` of the chunk from `fragment_offset` on. The chunk is the window's; whoever needs it, or its
 * memory, for longer than the lock is held takes a reference. */
struct tv_fragment_out {
    struct tv_chunk *chunk;
    uint64_t fragment_offset;
    uint64_t bytes;
};

/* Allocates the ring. Errors: RESOURCE_EXHAUSTED; INVALID_ARGUMENT for an offset of 2^63 and more. */
trove_status tv_sender_init(struct tv_sender *sender, uint32_t channel_chunks, uint64_t first_offset, trove_error *error);
/* Releases all chunks of the window. */
void tv_sender_fini(struct tv_sender *sender);

bool tv_sender_full(const struct tv_sender *sender);
/* Appends; takes the caller's reference; sets index, offset and sent_bytes. There must be room, no final chunk before it, and
 * only the final chunk may be empty. The chunk's memory is the owner's business: nothing here looks at it. */
void tv_sender_push(struct tv_sender *sender, struct tv_chunk *chunk);

/* Whether tv_sender_next would give something. */
bool tv_sender_ready(const struct tv_sender *sender);
/* The next fragment of at most payload_bytes_max bytes, cut at a block boundary where that is possible. False: nothing may be sent. */
bool tv_sender_next(struct tv_sender *sender, uint64_t payload_bytes_max, struct tv_fragment_out *fragment);
/* The object's offset of the next byte to send. */
uint64_t tv_sender_position(const struct tv_sender *sender);
/* What is left of the chunk that was begun there; 0: none was. */
uint64_t tv_sender_begun_bytes(const struct tv_sender *sender);
/* All that was pushed has been handed to the transport, the final chunk included. */
bool tv_sender_drained(const struct tv_sender *sender);
/* All that was pushed has been acknowledged. */
bool tv_sender_settled(const struct tv_sender *sender);

void tv_sender_credit(struct tv_sender *sender, uint64_t granted_bytes, uint64_t expired_bytes);

/* Told for each chunk that an acknowledgement frees, before its reference is released. The release happens under the owner's lock;
 * an owner that can't have that takes a reference here and releases it later. */
typedef void (*tv_sender_acked)(void *context, const struct tv_chunk *chunk);

/* Acknowledges [first, first + count), which must begin at the oldest unacknowledged chunk and lie within what was sent; else
 * INVALID_ARGUMENT naming the index, and nothing changed. */
trove_status tv_sender_ack(struct tv_sender *sender, uint64_t first, uint64_t count, tv_sender_acked acked, void *context,
                           trove_error *error);

/* The receiver didn't take [first, first + count), nor will it take anything that was begun after: the cursor goes back to `first`,
 * the credit of all that was begun from there on comes back. INVALID_ARGUMENT for what isn't under way; nothing changed then. */
trove_status tv_sender_not_taken(struct tv_sender *sender, uint64_t first, uint64_t count, trove_error *error);

#endif
