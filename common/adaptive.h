/* adaptive.h - how large the next chunk should be: backpressure "adaptive".
 *
 * A chunk costs something at each end whatever its size, and of a window of so many chunks only so many bytes are under way at
 * once: so larger chunks are faster, up to a point that depends on the peer. Beyond it they only cost memory, and time that
 * everything behind them waits; still larger ones are slower again where the receiver's memory holds too few of them. So the
 * objective is:
 *     the smallest size whose throughput is within 2 % of the best one's.
 *
 * How: sizes are the powers of two between the bounds. The throughput of one is measured over whole loops. A loop goes from an
 * acknowledgement to that of the first chunk written after it; the round trip tells when a chunk was written. A loop is what the
 * sender does again and again however acknowledgements bunch up in it, so bytes over time of whole loops is the throughput, and
 * one loop after a change of size the new one has settled in. Whole loops of at least 8 chunks and 10 ms in all make a round.
 *   search: measure sizes one after the other, each until it is known to 0.4 % (jitter moves the ends of a round: the more
 *           rounds, the less that matters) or clearly better or worse than the best, 2 to 16 rounds. First down, as long as the
 *           smallest known is good enough, for small chunks are tried quickly; else up, as long as the last step gained more
 *           than 1 %; then hold the smallest good one. There is one hill: what a step gains shrinks from step to step until
 *           memory runs short.
 *   hold:   go on measuring, two rounds at a time. Twice in a row clearly different (by 1/16, and four times what is usual): the
 *           peer has changed; search again, from a size as much smaller as it got slower, since going down is slow: large chunks
 *           are still under way. Else look around now and then, after 32, 64, ... 256 rounds while nothing changes: a search
 *           from where it is, which costs three changes and some 1 % of the throughput.
 * Rejected: computing the size from an estimated rate, round trip and cost of a chunk (the cost can't be told from queueing: both
 * are in the round trip, and a wrong model never notices); additive increase, multiplicative decrease (never settles, and there
 * is no loss to tell what is too much); measuring by wall time (acknowledgements come in bursts of a window, so what a stretch of
 * time holds depends on where it begins); the delivery rate of each chunk as in BBR (its maximum tells what the way carries,
 * while what is wanted is what this size gets out of it).
 *
 * Pure: the caller's lock, the caller's clock.
 */
#ifndef TV_ADAPTIVE_H
#define TV_ADAPTIVE_H

#include <stdbool.h>
#include <stdint.h>

#define TV_ADAPTIVE_SIZES_MAX 32

struct tv_adaptive {
    /* constant */
    uint64_t chunk_bytes_min;
    uint64_t chunk_bytes_max;
    uint32_t size_count; /* chunk_bytes_min << 0, 1, ... and at last chunk_bytes_max, whatever it is */

    uint32_t size_index; /* the size in use */
    bool searching;
    double rates[TV_ADAPTIVE_SIZES_MAX]; /* searching: as measured, bytes per second; 0: not yet */

    /* holding */
    uint32_t held_index; /* since the last search */
    double usual_rate;
    double usual_difference; /* of measurements, relative */
    uint32_t different_count;
    uint32_t held_rounds;
    uint32_t look_rounds; /* look around after so many */

    /* the measurement */
    enum {
        TV_ADAPTIVE_AWAIT,   /* the first chunk of this size */
        TV_ADAPTIVE_WARM_UP, /* the first loop */
        TV_ADAPTIVE_MEASURE,
    } phase;
    uint64_t loop_begun_ns;
    uint64_t round_begun_ns;
    uint64_t round_bytes;
    uint32_t round_chunks;
    uint32_t rounds;
    double bytes; /* of the rounds so far */
    double time_ns;
    double round_rate;  /* of the last one */
    double differences; /* of each round's rate from the one before, added up */

    uint64_t changes; /* of the size, ever */
};

/* chunk_bytes_first: the size to begin with, moved to the next smaller one there is. Small is better: see above.
 * 0 < chunk_bytes_min <= chunk_bytes_max < chunk_bytes_min << 31. */
void tv_adaptive_init(struct tv_adaptive *adaptive, uint64_t chunk_bytes_min, uint64_t chunk_bytes_max,
                      uint64_t chunk_bytes_first);

/* For a stream whose chunks may have so many bytes at most. */
void tv_adaptive_init_for_stream(struct tv_adaptive *adaptive, uint64_t chunk_bytes_max);

/* The size to use for the next chunk. */
uint64_t tv_adaptive_chunk_bytes(const struct tv_adaptive *adaptive);

/* A chunk of `bytes`, written when chunk_bytes was the size to use, was acknowledged at now_ns, round_trip_ns after it was
 * written. Chunks in the order of their acknowledgements. Returns the size to use next. A caller that doesn't follow loses
 * nothing: only chunks of the size in use are measured. */
uint64_t tv_adaptive_acknowledged(struct tv_adaptive *adaptive, uint64_t bytes, uint64_t chunk_bytes, uint64_t round_trip_ns,
                                  uint64_t now_ns);

/* The stream stood still for a reason that isn't the peer's speed (paused, nothing to send): what was being measured begins
 * anew. */
void tv_adaptive_interrupted(struct tv_adaptive *adaptive);

#endif
