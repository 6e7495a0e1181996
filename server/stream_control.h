/* stream_control.h - what moves a stream's state from outside of its own doings. See stream.h. */
#ifndef TVS_STREAM_CONTROL_H
#define TVS_STREAM_CONTROL_H

#include "stream.h"

/* What the peer is to be told of a control, behind all that it is to be told of others; to be filled in. NULL: no memory. Under the
 * lock. */
struct tvs_control_answer *tvs_stream_answer_add_locked(struct tvs_stream *stream);
/* Takes the first of them out: false: there is none. Under the lock. */
bool tvs_stream_answer_take_locked(struct tvs_stream *stream, struct tvs_control_answer *answer);

/* Pauses, resumes, starts, cancels or fails the stream; `why` is read for the last two. Under the lock; adds to *strands those
 * that the caller is to run after unlocking. FAILED_PRECONDITION, naming both states; the state is unchanged then. */
trove_status tvs_stream_control_locked(struct tvs_stream *stream, enum tv_stream_event event, const trove_error *why,
                                       unsigned *strands, trove_error *error);
/* The same (pause, resume, cancel) for `who` of another connection; the peer is told, *state is what it led to. Not under the
 * lock. Errors: likewise, RESOURCE_EXHAUSTED (the peer doesn't read what it was told before). */
trove_status tvs_stream_control(struct tvs_stream *stream, enum tv_stream_event event, const char *who, trove_stream_state *state,
                                trove_error *error);

#endif
