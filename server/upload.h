/* upload.h - the way up of a stream: chunks that come in (upload.c), credit for more (upload_credit.c), and what the strand does
 * with them (upload_store.c). See stream.h.
 *
 * Threads: as it says with each; "locked" functions are called under the session's lock.
 */
#ifndef TVS_UPLOAD_H
#define TVS_UPLOAD_H

#include "stream.h"

/* upload.c */
/* Says where a chunk's payload goes; sets the session's landing. */
void tvs_upload_payload(struct tvs_session *session, const tv_frame *frame, uint64_t payload_bytes, struct tv_sink *sink);
void tvs_upload_chunk(struct tvs_session *session, const tv_frame *frame, uint64_t payload_bytes);
/* The sender has lost chunks. Errors end the stream. Under the lock; the caller lets the strands run. */
trove_status tvs_upload_gap_locked(struct tvs_stream *stream, const Trove__V1__Gap *gap, trove_error *error);
/* Goes on at `offset`, which is below what was taken. Under the lock; the caller lets the strands run. */
void tvs_upload_seek_locked(struct tvs_stream *stream, uint64_t offset, uint64_t generation);
void tvs_upload_landing_lost(struct tvs_session *session);
/* For the strand: gives a fragment's memory back; all that waits; and the segment that is being filled. */
void tvs_upload_give_locked(struct tvs_stream *stream, struct tvs_fragment *fragment);
void tvs_upload_drop_locked(struct tvs_stream *stream);
void tvs_upload_drop_segment_locked(struct tvs_stream *stream);

/* upload_credit.c */
/* Gives credit as far as demand, window and memory go. True: the peer is to be told (wake control). */
bool tvs_upload_grant_locked(struct tvs_stream *stream);
/* Takes unused credit back. True: the peer is to be told. */
bool tvs_upload_expire_locked(struct tvs_stream *stream);
void tvs_upload_granted(struct tvs_claim *claim);
void tvs_upload_turn(struct tvs_bandwidth_waiter *waiter);
/* Gives back what neither credit nor held bytes need. */
void tvs_upload_trim_locked(struct tvs_stream *stream);
/* Keeps so much of the reservation, which has it. */
void tvs_upload_keep_locked(struct tvs_stream *stream, uint64_t bytes);

/* upload_store.c */
/* Whether the way up's strand has something to do. */
bool tvs_upload_work_locked(const struct tvs_stream *stream);
/* One step of it. */
void tvs_upload_step(struct tvs_stream *stream);
void tvs_upload_fini(struct tvs_stream *stream);

#endif
