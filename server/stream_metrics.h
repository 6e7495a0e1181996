/* stream_metrics.h - what a stream has done so far, for whoever lists streams. See StreamInfo in trove.proto.
 *
 * A stream's latencies are kept apart from the pool's while it is open, so that counting one costs no lock besides the session's;
 * they are added to the pool's at its end. The first few are kept one by one; the histogram is made with the chunk after them,
 * and for so many streams at most: of those beyond, the pool alone knows the latencies.
 */
#ifndef TVS_STREAM_METRICS_H
#define TVS_STREAM_METRICS_H

#include "frame.h"
#include "histogram.h"
#include "rate.h"

/* Histograms that the streams of a server may have at once: 32 MiB. */
#define TVS_STREAM_HISTOGRAMS_MAX 16384

/* Chunks whose latencies are kept without a histogram: thousands of streams that hardly move don't cost 2 KiB each. */
#define TVS_STREAM_FIRST_LATENCIES 8

struct tvs_pool;
struct tvs_stream;

/* Under the session's lock. */
struct tvs_stream_metrics {
    uint64_t started_ns; /* since the epoch */
    uint64_t bytes;      /* acknowledged */
    uint64_t chunks;
    uint64_t retries;
    uint64_t drops;
    struct tv_rate rate;
    uint64_t first_latencies_ns[TVS_STREAM_FIRST_LATENCIES]; /* until there is a histogram, which takes them over */
    uint32_t first_latency_count;
    struct tv_histogram *latencies; /* NULL: none yet, or none to be had */
};

/* Counts what was acknowledged, for the stream and its pool: bytes, and a chunk if that ended one, with its latency. */
void tvs_stream_count_locked(struct tvs_stream *stream, uint64_t bytes, bool chunk_done, uint64_t latency_ns);
/* Chunks that are sent again. */
void tvs_stream_count_retries_locked(struct tvs_stream *stream, uint64_t chunks);
/* Chunks that a lossy stream has lost. */
void tvs_stream_count_drops_locked(struct tvs_stream *stream, uint64_t chunks);
/* Its latencies go to the pool. */
void tvs_stream_metrics_fini_locked(struct tvs_stream *stream);
/* Brings the rate up to date; at least once a second. */
void tvs_stream_metrics_tick_locked(struct tvs_stream *stream, uint64_t now_ns);

/* Fills *info; it borrows strings of the stream, which must be held as long as it is used. Not under the lock. */
void tvs_stream_info(struct tvs_stream *stream, Trove__V1__StreamInfo *info);

/* What only the open streams of a pool know. */
struct tvs_open_streams {
    uint64_t waiting_bytes;
    struct tv_histogram latencies;
};
/* Adds a stream's part. Not under the lock. */
void tvs_open_streams_add(struct tvs_open_streams *open, struct tvs_stream *stream);

#endif
