/* stream_state.c - see stream_state.h. Pure; any thread.
 *
 * One constant table, so that what moves what can be read, and tested, in one place. (Rejected: a switch for each event, in
 * client and server; they drift apart.)
 */
#include "stream_state.h"

#define STATE(name) (TROVE_STREAM_##name + 1)

/* Where an event leads from each state, plus one; 0: it is refused. */
static const unsigned char moves[TV_STREAM_STATE_COUNT][TV_EVENT_COUNT] = {
    [TROVE_STREAM_IDLE] =
        {
            [TV_EVENT_START] = STATE(ACTIVE),
            [TV_EVENT_FAIL] = STATE(FAILED),
            [TV_EVENT_CANCEL] = STATE(CANCELLED),
        },
    [TROVE_STREAM_ACTIVE] =
        {
            [TV_EVENT_START] = STATE(ACTIVE),
            [TV_EVENT_PAUSE] = STATE(PAUSED),
            [TV_EVENT_RESUME] = STATE(ACTIVE),
            [TV_EVENT_COMPLETE] = STATE(COMPLETING),
            [TV_EVENT_FAIL] = STATE(FAILED),
            [TV_EVENT_CANCEL] = STATE(CANCELLED),
        },
    [TROVE_STREAM_PAUSED] =
        {
            [TV_EVENT_PAUSE] = STATE(PAUSED),
            [TV_EVENT_RESUME] = STATE(ACTIVE),
            [TV_EVENT_FAIL] = STATE(FAILED),
            [TV_EVENT_CANCEL] = STATE(CANCELLED),
        },
    [TROVE_STREAM_COMPLETING] =
        {
            [TV_EVENT_COMPLETED] = STATE(COMPLETED),
            [TV_EVENT_FAIL] = STATE(FAILED),
            [TV_EVENT_CANCEL] = STATE(CANCELLED),
        },
    /* completed, failed, cancelled: nothing leads out */
};

static const char *const state_names[TV_STREAM_STATE_COUNT] = {
    [TROVE_STREAM_IDLE] = "idle",           [TROVE_STREAM_ACTIVE] = "active",
    [TROVE_STREAM_PAUSED] = "paused",       [TROVE_STREAM_COMPLETING] = "completing",
    [TROVE_STREAM_COMPLETED] = "completed", [TROVE_STREAM_FAILED] = "failed",
    [TROVE_STREAM_CANCELLED] = "cancelled",
};

/* As in "can't be ...". */
static const char *const done[TV_EVENT_COUNT] = {
    [TV_EVENT_START] = "started",      [TV_EVENT_PAUSE] = "paused",        [TV_EVENT_RESUME] = "resumed",
    [TV_EVENT_COMPLETE] = "completed", [TV_EVENT_COMPLETED] = "completed", [TV_EVENT_FAIL] = "failed",
    [TV_EVENT_CANCEL] = "cancelled",
};

const char *trove_stream_state_name(trove_stream_state state) {
    return (unsigned)state < TV_STREAM_STATE_COUNT ? state_names[state] : "unknown";
}

bool tv_stream_state_terminal(trove_stream_state state) {
    return state == TROVE_STREAM_COMPLETED || state == TROVE_STREAM_FAILED || state == TROVE_STREAM_CANCELLED;
}

trove_status tv_stream_state_apply(trove_stream_state *state, enum tv_stream_event event, trove_error *error) {
    TV_ASSERT((unsigned)*state < TV_STREAM_STATE_COUNT && (unsigned)event < TV_EVENT_COUNT);
    unsigned to = moves[*state][event];
    if (to == 0) {
        const char *name = state_names[*state];
        bool vowel = *state == TROVE_STREAM_IDLE || *state == TROVE_STREAM_ACTIVE;
        return TV_FAIL(error, FAILED_PRECONDITION, "%s %s stream can't be %s", vowel ? "an" : "a", name, done[event]);
    }
    *state = (trove_stream_state)(to - 1);
    return TROVE_OK;
}
