/* stream_metrics.h - what a stream counts, and how the counts hold together. See stream.h.
 *
 * The identity: accepted = acknowledged + dropped + queued + in flight + abandoned, in bytes and in chunks, at any moment and
 * after any end. tvc_stream_account is the one place that says what belongs where; whatever takes a chunk from one place to
 * another (dropping, spilling, ending) must leave it true.
 *
 *                 upload                                     download
 *   accepted      written by the program                     received from the server, and told to have been dropped
 *   acknowledged  taken by the server's store                given back by the program
 *   dropped       lost by drop backpressure at this end      lost by drop backpressure at the server
 *   queued        not begun to be sent, spilled or not       whole, and not read yet
 *   in flight     begun, and not acknowledged                coming in, or in the program's hands
 *   abandoned     queued or in flight when the stream ended  the same
 * A completed download counts what the program still has as acknowledged. A stream that goes both ways adds the two up.
 */
#ifndef TVC_STREAM_METRICS_H
#define TVC_STREAM_METRICS_H

#include "histogram.h"
#include "status.h"

struct tvc_sum {
    uint64_t bytes;
    uint64_t chunks;
};

static inline void tvc_sum_add(struct tvc_sum *sum, const struct tvc_sum *more) {
    sum->bytes += more->bytes;
    sum->chunks += more->chunks;
}

/* Under the client's lock. */
struct tvc_counts {
    struct tv_histogram *latency; /* of acknowledged chunks; made with the first, so that idle streams have none */
    uint64_t moved_ns;            /* when a chunk last came or went */
    struct tvc_sum dropped;       /* counted by tvc_stream_hooks_drop */
    struct tvc_sum spilled;       /* went through the overflow, once each */
};

struct tvc_account {
    struct tvc_sum accepted;
    struct tvc_sum acknowledged;
    struct tvc_sum dropped;
    struct tvc_sum queued;
    struct tvc_sum in_flight;
    struct tvc_sum abandoned;
};

/* All of these under the client's lock. */
void tvc_stream_account(const trove_stream *stream, struct tvc_account *account);
/* Chunks that were sent again. */
uint64_t tvc_stream_resent(const trove_stream *stream);
/* A download has ended, and what it still has is about to be let go of. (An upload's window counts that by itself.) */
void tvc_stream_abandon(trove_stream *stream);
/* A chunk was acknowledged (upload), or given back (download): counts its latency, and tells the hooks. */
void tvc_stream_acked(trove_stream *stream, const trove_chunk_ack *ack);
/* Bytes have come or gone: speed, progress, idleness. */
void tvc_stream_moved(trove_stream *stream, uint64_t now_ns);

#endif
