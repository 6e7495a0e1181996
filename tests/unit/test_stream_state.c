/* test_stream_state.c - every state against every event. */
#include "stream_state.h"

#include "unit_abort.h"

#define I  TROVE_STREAM_IDLE
#define A  TROVE_STREAM_ACTIVE
#define P  TROVE_STREAM_PAUSED
#define C  TROVE_STREAM_COMPLETING
#define D  TROVE_STREAM_COMPLETED
#define F  TROVE_STREAM_FAILED
#define X  TROVE_STREAM_CANCELLED
#define NO -1

/* The seed's diagram written out, independently of the table under test. */
static const int leads_to[TV_STREAM_STATE_COUNT][TV_EVENT_COUNT] = {
    /*            start pause resume complete completed fail cancel */
    [I] = {/*  */ A, NO, NO, NO, NO, F, X},    [A] = {/*  */ A, P, A, C, NO, F, X},
    [P] = {/*  */ NO, P, A, NO, NO, F, X},     [C] = {/*  */ NO, NO, NO, NO, D, F, X},
    [D] = {/*  */ NO, NO, NO, NO, NO, NO, NO}, [F] = {/*  */ NO, NO, NO, NO, NO, NO, NO},
    [X] = {/*  */ NO, NO, NO, NO, NO, NO, NO},
};

static void every_event_in_every_state(void **context) {
    (void)context;
    for (int from = 0; from < TV_STREAM_STATE_COUNT; from++)
        for (int event = 0; event < TV_EVENT_COUNT; event++) {
            const char *state_name = trove_stream_state_name((trove_stream_state)from);
            print_message("    %s, event %d\n", state_name, event);
            trove_stream_state state = (trove_stream_state)from;
            trove_error error = {TROVE_OK, ""};
            trove_status status = tv_stream_state_apply(&state, (enum tv_stream_event)event, &error);
            int to = leads_to[from][event];
            assert_int_equal(status, to == NO ? TROVE_FAILED_PRECONDITION : TROVE_OK);
            assert_int_equal(state, to == NO ? from : to);
            if (to == NO) {
                assert_int_equal(error.status, TROVE_FAILED_PRECONDITION);
                assert_non_null(strstr(error.message, state_name));
            } else {
                assert_string_equal(error.message, "");
            }
        }
}

static void terminal_states_are_those_that_nothing_leads_out_of(void **context) {
    (void)context;
    for (int from = 0; from < TV_STREAM_STATE_COUNT; from++) {
        bool leads_out = false;
        for (int event = 0; event < TV_EVENT_COUNT; event++)
            leads_out = leads_out || leads_to[from][event] != NO;
        assert_int_equal(tv_stream_state_terminal((trove_stream_state)from), !leads_out);
    }
}

static void says_what_it_refuses(void **context) {
    (void)context;
    static const struct {
        trove_stream_state state;
        enum tv_stream_event event;
        const char *message;
    } rows[] = {
        {D, TV_EVENT_PAUSE, "a completed stream can't be paused"},      {I, TV_EVENT_RESUME, "an idle stream can't be resumed"},
        {A, TV_EVENT_COMPLETED, "an active stream can't be completed"}, {X, TV_EVENT_FAIL, "a cancelled stream can't be failed"},
        {P, TV_EVENT_START, "a paused stream can't be started"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        unit_row(rows[i].message);
        trove_stream_state state = rows[i].state;
        trove_error error;
        assert_int_equal(tv_stream_state_apply(&state, rows[i].event, &error), TROVE_FAILED_PRECONDITION);
        assert_string_equal(error.message, rows[i].message);
        assert_int_equal(tv_stream_state_apply(&state, rows[i].event, NULL), TROVE_FAILED_PRECONDITION);
    }
}

static void names_are_distinct(void **context) {
    (void)context;
    for (int i = 0; i < TV_STREAM_STATE_COUNT; i++)
        for (int j = 0; j < i; j++)
            assert_string_not_equal(trove_stream_state_name((trove_stream_state)i),
                                    trove_stream_state_name((trove_stream_state)j));
    assert_string_equal(trove_stream_state_name((trove_stream_state)7), "unknown");
}

static void apply_to_no_state(void) {
    trove_stream_state state = (trove_stream_state)7;
    (void)!tv_stream_state_apply(&state, TV_EVENT_FAIL, NULL);
}

static void a_state_that_is_none_is_our_own_mistake(void **context) {
    (void)context;
    unit_expect_abort(apply_to_no_state);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_event_in_every_state),
        cmocka_unit_test(terminal_states_are_those_that_nothing_leads_out_of),
        cmocka_unit_test(says_what_it_refuses),
        cmocka_unit_test(names_are_distinct),
        cmocka_unit_test(a_state_that_is_none_is_our_own_mistake),
    };
    return cmocka_run_group_tests_name("stream_state", tests, NULL, NULL);
}
