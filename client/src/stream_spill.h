/* stream_spill.h - backpressure "buffer" of an upload: what the window has no room for waits in an overflow (overflow.h), and the
 * client's drainer takes it from there as acknowledgements make room.
 *
 *     write --> window --> server               while nothing waits and there is room
 *         \--> overflow --drainer--> window     else; and everything that is written behind it, so the order stays
 *
 * What waits is on its way as far as the program can tell: it counts as accepted and queued, is hashed for the object's etag when
 * it is written, and as a chunk (whose offset a seek would change) when it enters the window. Copying and the disk happen without
 * the client's lock. A seek, or the stream's end, gives up what waits: it counts as abandoned at once; what lies in the overflow
 * is stale then, and the drainer forgets it before a next chunk is let in.
 * The chunk that the library adds to end an upload never waits here: whoever completes waits himself.
 *
 * Threads: the program's writing thread pushes, the drainer pops; whatever else changes is under the client's lock.
 */
#ifndef TVC_STREAM_SPILL_H
#define TVC_STREAM_SPILL_H

#include "job_thread.h"
#include "overflow.h"
#include "stream_metrics.h"

#include <stdatomic.h>

struct tvc_chunk;

/* Chunks of a buffering stream beyond its window: one that the program fills, one for the drainer, one on its way back. So
 * neither waits for an acknowledgement. */
#define TVC_SPILL_SPARE_CHUNKS 3

struct tvc_spill {
    /* constant once the stream is open */
    struct tv_overflow_options bounds;
    char *folder;                 /* theirs */
    struct tv_overflow *overflow; /* NULL: the stream doesn't buffer */
    uint64_t memory_claimed;

    atomic_bool starved; /* the drainer found no free chunk: the next one that is given back lets it go on */
    struct tvc_job job;

    /* under the client's lock */
    struct tvc_sum waiting; /* the chunk that the drainer has in its hands included */
    struct tvc_sum abandoned;
    uint64_t stale_chunks; /* the oldest ones in the overflow: given up */
    uint64_t moved_chunks; /* that have left it for the window */
    bool final;            /* the last chunk is, or was, in here */
    bool pushing;
    bool moving; /* the drainer has taken one of those that wait out, or is about to */
};

/* Before the stream is opened: makes the overflow, if its backpressure asks for one, and keeps its bounds where the server's pool
 * may do so. Errors: RESOURCE_EXHAUSTED. */
trove_status tvc_spill_init(trove_stream *stream, const trove_stream_options *options, trove_error *error);
/* Makes it, when the pool has. */
trove_status tvc_spill_make(trove_stream *stream, trove_error *error);
/* When the last reference is gone; or before the stream is open, when it turns out that nothing will be written. */
void tvc_spill_fini(trove_stream *stream);

/* Whether writing the chunk never waits for the window. */
bool tvc_spill_takes(const trove_stream *stream, const struct tvc_chunk *chunk);
/* Whether it has to wait here now. Under the lock. */
bool tvc_spill_due(const trove_stream *stream, const struct tvc_chunk *chunk);
/* Whether nothing may be written for the moment: another thread does, or what was given up isn't gone yet. Under the lock. */
static inline bool tvc_spill_busy(const struct tvc_spill *spill) {
    return spill->pushing || spill->stale_chunks > 0;
}

/* Copies the chunk to the overflow; the caller keeps it. Under the lock, which is let go of meanwhile.
 * Errors: RESOURCE_EXHAUSTED (past a bound; the stream goes on), the stream's own if it has ended, which errors of the file make
 * it. */
trove_status tvc_spill_push(trove_stream *stream, const struct tvc_chunk *chunk, trove_error *error);

/* There may be something for the drainer to do. Under the lock; the caller has a reference. */
void tvc_spill_wake(trove_stream *stream);
/* A chunk of the way up was given back. Any thread, with or without the lock; the caller has a reference. */
void tvc_spill_chunk_free(trove_stream *stream);

/* What waits is given up. Under the lock. */
void tvc_spill_abandon(trove_stream *stream);

/* Waits until a chunk has left the overflow, or one that is refused now would be taken. *left tells how many still wait. Errors:
 * DEADLINE_EXCEEDED, and the stream's own if it has ended. Without the lock. */
trove_status tvc_spill_wait(trove_stream *stream, uint64_t deadline_ns, uint64_t *left, trove_error *error);

#endif
