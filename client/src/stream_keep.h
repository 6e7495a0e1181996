/* stream_keep.h - what a resumable upload keeps until it is durable, and sends again when its connection was lost. See
 * stream_resume.h.
 *
 *      window --acknowledged--> kept --durable--> let go
 *         ^                       |
 *         |                       | the connection is lost: all that is not durable, in order
 *         +------- again <--------+--- window
 *
 * Chunks stay in the buffers that the program has filled: nothing is copied. The stream's pool has as many more of them as
 * keep_bytes says, and a writer that finds none free waits: that is the bound. While there are some in `again` nothing new is let
 * into the window, so the order stays. Where the server goes on inside a chunk, what it has of it is cut off; where a seek's
 * target lies in one, what lies behind it is.
 * Counts: what has to be sent again isn't acknowledged any more; it is queued.
 * The client's lock protects it all.
 */
#ifndef TVC_STREAM_KEEP_H
#define TVC_STREAM_KEEP_H

#include "chunks.h"
#include "stream_metrics.h"

/* Chunks one behind the other, each with a reference. */
struct tvc_chunk_list {
    struct tvc_chunk *first;
    struct tvc_chunk *last;
    struct tvc_sum sum;
};

struct tvc_keep {
    struct tvc_chunk_list kept;
    struct tvc_chunk_list again;
    uint64_t index_base; /* of a chunk, as the program counts: this and the index that it has on the wire, modulo 2^64 */
};

/* A chunk was acknowledged, and the window is about to let go of it. */
void tvc_keep_add(trove_stream *stream, struct tvc_chunk *chunk);
/* All below the stream's durable offset is let go. */
void tvc_keep_durable(trove_stream *stream);
/* The connection is lost: all that is kept or in the window is to be sent again. */
void tvc_keep_unwind(trove_stream *stream);
/* The server goes on at `offset`, which lies within what is kept: the window begins there. */
void tvc_keep_go_on(trove_stream *stream, uint64_t offset);
/* Somebody else has let go of a chunk, which may be free now: who waits for one looks again. Without the lock. */
void tvc_keep_released(trove_stream *stream);
/* Puts into the window what fits. Returns which rings are to be woken. */
unsigned tvc_keep_refill(trove_stream *stream);
/* The stream goes on at `offset`, which isn't below what is durable: what was written from there on is given up. */
void tvc_keep_seek(trove_stream *stream, uint64_t offset);
/* All that was written is stored: what is left is acknowledged. */
void tvc_keep_all_stored(trove_stream *stream);
/* The stream has ended. */
void tvc_keep_end(trove_stream *stream);

#endif
