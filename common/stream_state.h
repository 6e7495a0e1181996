/* stream_state.h - the seven states of a stream and what moves them; one table, used by client and server.
 *
 *   idle --start--> active <--pause/resume--> paused
 *                   active --complete--> completing --completed--> completed
 *   any state that isn't terminal --fail--> failed, --cancel--> cancelled
 *
 * Pure. Terminal states never change. Pausing a stream that is completing is refused: its last chunk is already sent.
 */
#ifndef TV_STREAM_STATE_H
#define TV_STREAM_STATE_H

#include "status.h"

enum tv_stream_event {
    TV_EVENT_START,
    TV_EVENT_PAUSE,
    TV_EVENT_RESUME,
    TV_EVENT_COMPLETE,  /* all was sent; waiting for the other end's word */
    TV_EVENT_COMPLETED, /* that word */
    TV_EVENT_FAIL,
    TV_EVENT_CANCEL,
    TV_EVENT_COUNT
};

#define TV_STREAM_STATE_COUNT 7

/* Moves *state by `event`. FAILED_PRECONDITION, naming both states ("a completed stream can't be paused"), leaves it.
 * Idempotent: pausing a paused, resuming or starting an active stream is OK and moves nothing. */
TROVE_WARN_UNUSED trove_status tv_stream_state_apply(trove_stream_state *state, enum tv_stream_event event, trove_error *error);

bool tv_stream_state_terminal(trove_stream_state state);

#endif
