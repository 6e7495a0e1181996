/* download.h - the way down of a stream: reading ahead, and what goes out next. See stream.h and read_ahead.h.
 *
 * Threads: as it says with each; "locked" functions are called under the session's lock.
 */
#ifndef TVS_DOWNLOAD_H
#define TVS_DOWNLOAD_H

#include "stream.h"

void tvs_download_init(struct tvs_stream *stream);
/* The loss to be told before the next fragment. Under the lock, and before tvs_download_next. */
bool tvs_download_next_gap(struct tvs_stream *stream, struct tv_gap *gap);
/* The next fragment, and the run that it is in, with a reference for the transport (NULL for one without bytes). False: nothing
 * may be sent, or it has to be read first. Under the lock; the caller lets the strands run afterwards. */
bool tvs_download_next(struct tvs_stream *stream, uint64_t payload_bytes_max, struct tv_fragment_out *fragment,
                       struct tvs_run **run);
/* The object's next byte to be sent. Under the lock. */
uint64_t tvs_download_offset_locked(const struct tvs_stream *stream);
/* A chunk of the window was acknowledged. Under the lock. */
void tvs_download_acked_locked(struct tvs_stream *stream, const struct tv_chunk *chunk, uint64_t now_ns);
/* The stream stands still, or stood, for a reason that isn't its client's speed. Under the lock. */
void tvs_download_interrupted_locked(struct tvs_stream *stream);
/* Goes on at `offset`. Under the lock. */
void tvs_download_seek_locked(struct tvs_stream *stream, uint64_t offset, uint64_t generation);
/* Blocks that downloads may read at a time, by what they hold in all; 0: no memory may get stuck in a transport any more. */
uint64_t tvs_download_share_blocks(struct tvs_budget *budget);
/* Gives back what the transport doesn't ask for. Under the lock. */
void tvs_download_relieve_locked(struct tvs_stream *stream, uint64_t now_ns);
void tvs_download_granted(struct tvs_claim *claim);
void tvs_download_turn(struct tvs_bandwidth_waiter *waiter);
/* Whether chunks may go down now: also after their end was told, for what comes back as not taken goes again. Under the lock. */
bool tvs_download_moves_locked(const struct tvs_stream *stream);
/* Whether the way down's strand has something to do. */
bool tvs_download_work_locked(const struct tvs_stream *stream);
void tvs_download_step(struct tvs_stream *stream);
void tvs_download_fini(struct tvs_stream *stream);

#endif
