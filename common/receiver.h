/* receiver.h - the receiving half of one direction of a stream: order, credit given out, what to acknowledge.
 *
 * Pure; the owner's lock protects it. The server uses it for uploads, the client for downloads.
 *
 * Credit: `outstanding` is what the peer may still begin. When a grant expires, `outstanding` shrinks and `expired` grows: a
 * chunk that the peer had begun on it is drained and answered "not taken", which is no error. What exceeds both is a peer that
 * ignores its credit, and fails the stream. After a chunk was not taken all later ones are not taken either until it comes again;
 * the one answer for it stands for them too. See receiver.c.
 * What a lossy sender has lost comes as a gap in the place of the chunks, takes no credit, and is acknowledged with its
 * neighbours.
 */
#ifndef TV_RECEIVER_H
#define TV_RECEIVER_H

#include "status.h"

struct tv_receiver {
    uint64_t expected_index;  /* of the next chunk, or of the one that is coming in */
    uint64_t expected_offset; /* object offset of the next byte */
    uint64_t fragment_offset; /* next byte of the chunk that is coming in */
    uint64_t chunk_bytes;     /* of the chunk that is coming in; valid while in_chunk */
    bool in_chunk;
    bool chunk_not_taken; /* the one that is coming in is being drained */
    bool copy_aborted;    /* the late copy that came last was ended early: its index goes on */
    bool final_seen;
    uint64_t chunk_bytes_max;   /* agreed at open */
    uint64_t payload_bytes_max; /* agreed for the connection */
    uint64_t outstanding_bytes; /* granted and not begun */
    uint64_t expired_bytes;     /* taken back, may still be used by what is under way */
    uint64_t held_bytes;        /* received and not yet taken by the consumer */
    uint64_t taken_offset;      /* object offset below which the consumer has taken all */
    uint64_t taken_index;       /* chunks below it were taken whole, or lost */
    uint64_t acked_index;       /* chunks below it were acknowledged */
    uint64_t taken_bytes;       /* of begun_bytes */
    uint64_t whole_bytes;       /* of them, in chunks that were taken whole */
    uint64_t acked_bytes;       /* of them, in chunks that were acknowledged */
    uint64_t not_taken_first;   /* chunk to answer "not taken": [first, end), empty once the answer was given */
    uint64_t not_taken_end;
    uint64_t resend_end;          /* while expected_index < resend_end, a jump ahead is a late copy and not an error */
    uint64_t drained_bytes;       /* of the chunks begun since the one that wasn't taken, itself included */
    uint64_t begun_bytes;         /* of all chunks taken so far; granted - expired - begun = outstanding */
    uint64_t expired_until_bytes; /* when more than this has begun, the sender knows of all that expired */
    uint64_t generation;
    uint64_t received_bytes; /* ever, as the next ones */
    uint64_t received_chunks;
    uint64_t lost_bytes;
    uint64_t lost_chunks;
};

/* A fragment's header as far as it matters here. */
struct tv_fragment_in {
    uint64_t index;
    uint64_t offset;
    uint64_t chunk_bytes;
    uint64_t fragment_offset;
    uint64_t generation;
    uint64_t payload_bytes;
    bool final;
};

struct tv_gap_in {
    uint64_t first_index;
    uint64_t count;
    uint64_t offset;
    uint64_t length;
    uint64_t generation;
};

enum tv_receive {
    TV_RECEIVE_TAKE,  /* give it memory */
    TV_RECEIVE_DRAIN, /* read and forget; "not taken" or from before a seek */
    TV_RECEIVE_FAIL,  /* the stream fails with the error given */
};

void tv_receiver_init(struct tv_receiver *receiver, uint64_t first_offset, uint64_t chunk_bytes_max, uint64_t payload_bytes_max);

/* Judges a fragment when its header has come and, unless it fails, counts it. Fragments of an older generation are drained; their
 * credit went back to the sender with the seek.
 * Failures: INVALID_ARGUMENT (order, sizes), RESOURCE_EXHAUSTED (credit ignored). */
enum tv_receive tv_receiver_fragment(struct tv_receiver *receiver, const struct tv_fragment_in *fragment, trove_error *error);

/* Chunks that the sender of a lossy stream has lost. TAKE: the consumer has to be told in order with the fragments, and its word
 * is tv_receiver_gap_taken. Failures: INVALID_ARGUMENT. */
enum tv_receive tv_receiver_gap(struct tv_receiver *receiver, const struct tv_gap_in *gap, trove_error *error);

/* There was no memory after all for a fragment that was judged TAKE and is the first of its chunk, before any other is judged: it
 * counts as not taken. For a later fragment of a chunk memory must be there. Its credit is the sender's again, who will use it at
 * once: where memory won't be there by then, tv_receiver_expire takes it back (in a credit frame before the answer). */
void tv_receiver_decline(struct tv_receiver *receiver, const struct tv_fragment_in *fragment);

/* The peer ended the chunk that is coming in (of this generation). What came of it stays; the same index goes on at the next
 * byte, as a chunk of a size of its own. The credit of what didn't come is the sender's again. INVALID_ARGUMENT if none is coming
 * in. */
TROVE_WARN_UNUSED trove_status tv_receiver_abort(struct tv_receiver *receiver, uint64_t index, trove_error *error);

/* The consumer has taken `bytes` more; `chunk_done` where they ended a chunk. */
void tv_receiver_taken(struct tv_receiver *receiver, uint64_t bytes, bool chunk_done);
/* The consumer knows of a loss. */
void tv_receiver_gap_taken(struct tv_receiver *receiver, uint64_t count, uint64_t length);

/* Goes on at the object's `offset`, with chunk 0: what came of older generations and wasn't taken is forgotten, and so is what
 * wasn't acknowledged; its credit is the sender's again (tv_sender_seek). Of that, what was taken has perhaps been granted anew
 * already: returns how much, which counts as expired and is to be told. */
uint64_t tv_receiver_seek(struct tv_receiver *receiver, uint64_t offset, uint64_t generation);

/* Counts a grant. */
void tv_receiver_grant(struct tv_receiver *receiver, uint64_t bytes);
/* Takes back what is unused; returns how much that was. */
uint64_t tv_receiver_expire(struct tv_receiver *receiver);

/* Whether an acknowledgement is due: *count chunks from *first on; not_taken tells which kind. The kind "taken" comes first.
 * Calling it marks them as acknowledged. False: none. */
bool tv_receiver_next_ack(struct tv_receiver *receiver, uint64_t *first, uint64_t *count, bool *not_taken);

/* Whether a chunk wasn't taken and is to come again. */
bool tv_receiver_awaits_resend(const struct tv_receiver *receiver);

/* The final chunk has come, and all was taken. */
bool tv_receiver_finished(const struct tv_receiver *receiver);

#endif
