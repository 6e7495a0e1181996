/* unit_client.h - what the tests of libtrove against a scripted server share. */
#ifndef TROVE_TESTS_UNIT_CLIENT_H
#define TROVE_TESTS_UNIT_CLIENT_H

#include "scripted_server.h"
#include "trove.h"
#include "unit.h"

static inline void unit_ok(trove_status status, const trove_error *error) {
    if (status != TROVE_OK)
        fail_msg("%s: %s", trove_status_name(status), error->message);
}

static inline void unit_fails(trove_status status, trove_status expected, const char *text, const trove_error *error) {
    if (status != expected || strstr(error->message, text) == NULL)
        fail_msg("expected %s \"%s\", got %s \"%s\"", trove_status_name(expected), text, trove_status_name(status),
                 status != TROVE_OK ? error->message : "");
}

/* It will come, on the receiving thread. */
static inline void unit_wait_for_state(const trove_stream *stream, trove_stream_state state) {
    const struct timespec pause = {.tv_nsec = 1000000};
    for (unsigned i = 0; i < 30000 && trove_stream_state_get(stream) != state; i++)
        nanosleep(&pause, NULL);
    assert_int_equal(trove_stream_state_get(stream), state);
}

/* The account, which holds at any moment. */
static inline void unit_check_sums(const trove_stream *stream) {
    trove_stream_metrics m;
    trove_stream_metrics_get(stream, &m);
    assert_int_equal(m.bytes_accepted,
                     m.bytes_acknowledged + m.bytes_dropped + m.bytes_queued + m.bytes_in_flight + m.bytes_abandoned);
    assert_int_equal(m.chunks_accepted,
                     m.chunks_acknowledged + m.chunks_dropped + m.chunks_queued + m.chunks_in_flight + m.chunks_abandoned);
}

#endif
