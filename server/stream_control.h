/* stream_control.h - what moves a stream's state from outside of its own doings. See stream.h. */
#ifndef TVS_STREAM_CONTROL_H
#define TVS_STREAM_CONTROL_H

#include "stream.h"

/* What the peer is to be told of a control, behind all that it is to be told of others; to be filled in. NULL: no memory. Under
 * the lock. */
struct tvs_control_answer *tvs_stream_answer_add_locked(struct tvs_stream *stream);
/* Takes the first of them out: false: there is none. Under the lock. */
bool tvs_stream_answer_take_locked(struct tvs_stream *stream, struct tvs_control_answer *answer);

/* Pauses, resumes, starts, cancels or fails the stream; `why` is read for the last two. Under the lock; adds to *strands those
 * that the caller is to run after unlocking. FAILED_PRECONDITION, naming both states; the state is unchanged then. */
trove_status tvs_stream_control_locked(struct tvs_stream *stream, enum tv_stream_event event, const trove_error *why,
                                       unsigned *strands, trove_error *error);
/* Whether the stream can go on at `offset` of its object. Under the lock. Errors: FAILED_PRECONDITION naming its state or what
 * stands against it, OUT_OF_RANGE (download). */
trove_status tvs_stream_check_seek_locked(const struct tvs_stream *stream, uint64_t offset, trove_error *error);
/* Goes on there: the stream can, and both ends agree on the generation. Under the lock; the caller lets the strands run, and
 * wakes the rings. */
void tvs_stream_seek_locked(struct tvs_stream *stream, uint64_t offset, uint64_t generation);
/* The peer's answer to a control from outside. Under the lock; adds to *strands. True: data may be sent. */
bool tvs_stream_answered_locked(struct tvs_stream *stream, const Trove__V1__State *answer, unsigned *strands);

/* The same (pause, resume, cancel) for `who` of another connection; the peer is told, *state is what it led to. Not under the
 * lock. Errors: likewise, RESOURCE_EXHAUSTED (the peer doesn't read what it was told before). */
trove_status tvs_stream_control(struct tvs_stream *stream, enum tv_stream_event event, const char *who, trove_stream_state *state,
                                trove_error *error);
/* Likewise has it go on at `offset`: an upload at once, a download when its peer has answered. Errors: those of
 * tvs_stream_check_seek_locked, FAILED_PRECONDITION (lossy, or its peer can't be moved), RESOURCE_EXHAUSTED (likewise, or the
 * last such seek is unanswered). */
trove_status tvs_stream_move(struct tvs_stream *stream, uint64_t offset, trove_stream_state *state, trove_error *error);

#endif
