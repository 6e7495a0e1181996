/* stream_half.h - what each way of a stream, up and down, has for itself: chunks with their memory, and its turns at limits of
 * bandwidth. See stream.h.
 *
 * So a program that keeps all the chunks of one way doesn't take any from the other: the server was given credit for those of the
 * way down. A stream has a half for each way, of which one that goes one way uses one.
 */
#ifndef TVC_STREAM_HALF_H
#define TVC_STREAM_HALF_H

#include "chunks.h"
#include "limiter.h"

struct tvc_half {
    /* constant once the stream is open */
    trove_stream *stream;
    unsigned wants;            /* TV_WANTS_...: the ring in which its bytes go out, or the credit for them */
    uint32_t spare_chunks;     /* that are wanted beyond the window */
    bool needs_spares;         /* a full window must leave them to the program, which isn't to wait for an acknowledgement */
    uint64_t memory_claimed;   /* of the client's */
    struct tvc_chunks *chunks; /* NULL: none, for the stream doesn't go this way, or this way is closed from the beginning */

    /* under the client's lock */
    struct tvc_turn own_turn; /* see stream_limit.h */
    struct tvc_turn shared_turn;
};

void tvc_half_init(struct tvc_half *half, trove_stream *stream, unsigned wants);

/* Before the server has said what it agrees to: claims memory for so many chunks and the spare ones, for fewer where it is short;
 * tvc_half_fitting tells. Errors: RESOURCE_EXHAUSTED. Without the lock. */
trove_status tvc_half_claim(struct tvc_half *half, uint64_t chunk_bytes, uint64_t channel_chunks, trove_error *error);
/* How many of them there is memory for. */
uint64_t tvc_half_fitting(const struct tvc_half *half, uint64_t chunk_bytes, uint64_t channel_chunks);
/* Now that the stream's chunk size and number are known: makes the chunks, of which there may be fewer than the channel has, or
 * more.
 * Errors: RESOURCE_EXHAUSTED. Without the lock. */
trove_status tvc_half_make(struct tvc_half *half, trove_error *error);

/* This way is closed from the beginning: gives back what was claimed for it. On the receiving thread, before the stream is
 * open. */
void tvc_half_close(struct tvc_half *half);

/* Gives memory back; the next stream may have the chunks. What it doesn't take is returned, for the caller to destroy without the
 * lock. Under the lock; no chunk is out. */
struct tvc_chunks *tvc_half_give_back(struct tvc_half *half);

#endif
