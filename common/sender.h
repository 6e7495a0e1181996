/* sender.h - the sending half of one direction of a stream: a window of chunks, credit, acknowledgements, losses, seeks.
 *
 * Pure: it decides what may be sent next and what an acknowledgement frees; it sends nothing and knows no clock. Used by the
 * client for uploads and by the server for downloads; the owner's lock protects it.
 *
 * The window has at most `channel_chunks` chunks, in the order of their indexes: first those in flight (begun, not acknowledged),
 * then those queued. Credit is in bytes and is taken when a chunk is begun, whole. "Not taken" puts chunks back into the queue
 * and their credit too: everything that was begun from the chunk named on, see sender.c.
 * A lossy sender may drop chunks from the front of the queue. Numbers and offsets stay as they were given at the push, so that a
 * loss is a jump between what was sent last and what is next in the queue; it is announced right before that chunk is sent.
 */
#ifndef TV_SENDER_H
#define TV_SENDER_H

#include "chunk.h"

/* Chunks in order, in a ring of channel_chunks slots. */
struct tv_chunk_ring {
    struct tv_chunk **slots;
    uint32_t first;
    uint32_t count;
};

struct tv_sender {
    uint32_t channel_chunks;
    struct tv_chunk_ring flight; /* begun; the last one may be partly sent */
    struct tv_chunk_ring queue;
    uint64_t base;         /* index of the oldest chunk that isn't acknowledged, or was lost since the last one that is */
    uint64_t sent_index;   /* index that the next chunk to be begun has, unless chunks before it were lost */
    uint64_t sent_offset;  /* its offset in the object, likewise */
    uint64_t next;         /* index of the next chunk pushed */
    uint64_t next_offset;  /* object offset of the next chunk pushed */
    uint64_t generation;   /* counts the seeks */
    uint64_t credit_bytes; /* may still be begun */
    uint64_t owed_bytes;   /* taken back when it was already used; the next credit pays it. Only one of the two isn't 0 */
    uint64_t queued_bytes; /* pushed and not acknowledged */
    uint64_t unsent_bytes; /* of them, in chunks that weren't begun */
    uint64_t pushed_bytes; /* ever, as the next ones: pushed = acknowledged + dropped + abandoned + queued */
    uint64_t pushed_chunks;
    uint64_t acknowledged_bytes;
    uint64_t acknowledged_chunks;
    uint64_t dropped_bytes;
    uint64_t dropped_chunks;
    uint64_t abandoned_bytes; /* in the window at a seek or at the end */
    uint64_t abandoned_chunks;
    uint64_t resent_chunks;
    bool final_pushed;
};

/* What to put on the wire next: `bytes` of the chunk from `fragment_offset` on. The chunk is the window's; whoever needs it, or
 * its memory, for longer than the lock is held takes a reference. */
struct tv_fragment_out {
    struct tv_chunk *chunk;
    uint64_t fragment_offset;
    uint64_t bytes;
};

/* Chunks that were lost, neighbours in one. */
struct tv_gap {
    uint64_t first_index;
    uint64_t count;
    uint64_t offset;
    uint64_t length;
};

/* Allocates the rings. Errors: RESOURCE_EXHAUSTED; INVALID_ARGUMENT for an offset of 2^63 and more. */
TROVE_WARN_UNUSED trove_status tv_sender_init(struct tv_sender *sender, uint32_t channel_chunks, uint64_t first_offset,
                                              trove_error *error);
/* Releases all chunks of the window, and counts them as abandoned. The counts stay. */
void tv_sender_fini(struct tv_sender *sender);

bool tv_sender_full(const struct tv_sender *sender);
/* Appends; takes the caller's reference; sets index, offset, generation and sent_bytes. There must be room, no final chunk before
 * it, and only the final chunk may be empty. The chunk's memory is the owner's business: nothing here looks at it. */
void tv_sender_push(struct tv_sender *sender, struct tv_chunk *chunk);
/* Whether tv_sender_drop would lose one. */
bool tv_sender_may_drop(const struct tv_sender *sender);
/* Loses the oldest chunk that wasn't begun and isn't final, and returns it with its reference; NULL: there is none. */
struct tv_chunk *tv_sender_drop(struct tv_sender *sender);

/* Whether tv_sender_next would give something. */
bool tv_sender_ready(const struct tv_sender *sender);
/* The loss to be announced before the next fragment is sent. Says it once (again after "not taken"). False: there is none, or
 * nothing is ready. */
bool tv_sender_next_gap(struct tv_sender *sender, struct tv_gap *gap);
/* The next fragment of at most payload_bytes_max bytes, cut at a block boundary where that is possible. False: nothing may be
 * sent, or a loss is to be announced first. */
bool tv_sender_next(struct tv_sender *sender, uint64_t payload_bytes_max, struct tv_fragment_out *fragment);
/* The object's offset of the next byte to send. */
uint64_t tv_sender_position(const struct tv_sender *sender);
/* What is left of the chunk that was begun there; 0: none was. */
uint64_t tv_sender_begun_bytes(const struct tv_sender *sender);
/* Of the oldest chunk that wasn't begun; 0: there is none, or it is the empty last one. */
uint64_t tv_sender_waiting_bytes(const struct tv_sender *sender);
/* All that was pushed has been handed to the transport, the final chunk included. */
bool tv_sender_drained(const struct tv_sender *sender);
/* All that was pushed has been acknowledged or lost. */
bool tv_sender_settled(const struct tv_sender *sender);

void tv_sender_credit(struct tv_sender *sender, uint64_t granted_bytes, uint64_t expired_bytes);

/* Told for each chunk that an acknowledgement frees, before its reference is released. The release happens under the owner's
 * lock; an owner that can't have that takes a reference here and releases it later. */
typedef void (*tv_sender_acked)(void *context, const struct tv_chunk *chunk);

/* Acknowledges [first, first + count), which must begin at the oldest unacknowledged chunk and lie within what was sent or
 * announced as lost; else INVALID_ARGUMENT naming the index, and nothing changed. */
TROVE_WARN_UNUSED trove_status tv_sender_ack(struct tv_sender *sender, uint64_t first, uint64_t count, tv_sender_acked acked,
                                             void *context, trove_error *error);

/* The receiver didn't take [first, first + count), nor will it take anything that was begun after: chunks from `first` on are
 * queued again, and their credit comes back. INVALID_ARGUMENT for what isn't under way; nothing changed then. */
TROVE_WARN_UNUSED trove_status tv_sender_not_taken(struct tv_sender *sender, uint64_t first, uint64_t count, trove_error *error);

/* Before a seek to `offset` which the receiver has agreed to: it has all below, and says so no more. Chunks in flight that begin
 * below are acknowledged, and their credit comes back as that of others does at the seek. */
void tv_sender_ack_below(struct tv_sender *sender, uint64_t offset, tv_sender_acked acked, void *context);

/* Goes on at the object's `offset`: the window is emptied, the credit of what was in flight comes back, numbers begin at 0 again.
 * Both ends do this at the same place in the stream of frames: after the acknowledgements before the answer to the seek. */
void tv_sender_seek(struct tv_sender *sender, uint64_t offset, uint64_t generation);

/* For an owner who has to send everything again on another connection. Takes out the chunk that was pushed first, with its
 * reference, as if it had never been pushed; NULL: the window is empty. */
struct tv_chunk *tv_sender_unwind(struct tv_sender *sender);
/* Once the window is empty: begins for a receiver that knows nothing and goes on at `offset`: numbers and generation from 0, no
 * credit. */
void tv_sender_restart(struct tv_sender *sender, uint64_t offset);

#endif
