/* test_client_restart.c - libtrove's resumable streams when the server is killed, or ends, under them and comes back with its
 * store. */
#include "coming_and_going.h"

#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#define SIZE      (100 * MIB)
#define KILLS_MAX 5
/* So that the hook, which is called some ten times a second, doesn't miss much. */
#define BYTES_PER_SECOND (100 * MIB)
/* What may have to be sent again after each: a window, and what is kept. */
#define AGAIN (48 * MIB)

static uint8_t *many_bytes(void) {
    uint8_t *bytes = malloc(SIZE);
    assert_non_null(bytes);
    for (size_t i = 0; i < SIZE / 8; i++)
        ((uint64_t *)bytes)[i] = i * 0x9e3779b97f4a7c15u;
    return bytes;
}

static void init(trove_stream_options *options) {
    trove_stream_options_init(options);
    options->resumable = true;
    options->timeout_ms = PATIENCE_MS;
}

/* Ends the server each time another part of the object has got there, and has it started again. */
struct killer {
    struct restarted *own;
    uint64_t next;
    unsigned kills;
    unsigned kills_max;
    bool ask; /* instead of killing it */
};

static void end_from_time_to_time(void *context, const trove_progress *progress) {
    struct killer *killer = context;
    if (progress->bytes < killer->next || killer->kills == killer->kills_max)
        return;
    killer->next = progress->bytes + SIZE / (2 * KILLS_MAX);
    killer->kills++;
    restarted_wait_for_start(killer->own); /* of the time before */
    if (killer->ask)
        troved_ask_to_end(killer->own->test.server);
    else
        restarted_kill(killer->own);
    restarted_start_soon(killer->own, 50);
}

static void under_fire(void **state, unsigned kills, bool ask, bool put) {
    struct restarted own;
    trove_stream_options options;
    trove_stream_metrics metrics;
    trove_error error;
    uint8_t *bytes = many_bytes();
    restarted_begin(&own, *state, NULL);
    struct killer killer = {.own = &own, .kills_max = kills, .next = SIZE / (2 * KILLS_MAX), .ask = ask};
    if (!put)
        CHECK_OK(trove_put_memory(own.test.client, BUCKET, "fire", bytes, SIZE, NULL, NULL, &error), &error);
    init(&options);
    options.metrics = &metrics;
    options.bytes_per_second = BYTES_PER_SECOND;
    options.hooks.context = &killer;
    options.hooks.on_progress = end_from_time_to_time;
    if (put) {
        CHECK_OK(trove_put_memory(own.test.client, BUCKET, "fire", bytes, SIZE, &options, NULL, &error), &error);
        restarted_wait_for_start(&own);
        check_object(&own.test, "fire", bytes, SIZE);
    } else {
        uint8_t *got = calloc(1, SIZE);
        size_t got_bytes = 0;
        assert_non_null(got);
        CHECK_OK(trove_get_memory(own.test.client, BUCKET, "fire", got, SIZE, &options, &got_bytes, NULL, &error), &error);
        restarted_wait_for_start(&own);
        assert_int_equal(got_bytes, SIZE);
        assert_true(memcmp(got, bytes, SIZE) == 0);
        free(got);
    }
    assert_int_equal(killer.kills, kills);
    assert_int_equal(metrics.reconnects, kills);
    assert_true(metrics.bytes_sent + metrics.bytes_received <= SIZE + kills * AGAIN);
    print_message("%.2f times the object went over the wire\n",
                  (double)(metrics.bytes_sent + metrics.bytes_received) / (double)SIZE);
    restarted_end(&own);
    free(bytes);
}

static void test_put_killed(void **state) {
    if (restarted_keeps())
        under_fire(state, KILLS_MAX, false, true);
}

static void test_put_shut_down(void **state) {
    if (restarted_keeps())
        under_fire(state, 2, true, true);
}

static void test_get_killed(void **state) {
    if (restarted_keeps())
        under_fire(state, 2, false, false);
}

/* ---- elsewhere, before all was sent again ---- */

/* What had to be sent again, and was written behind where the stream goes on now, is given up with the rest. */
static void test_seek_while_behind(void **state) {
    struct restarted own;
    trove_stream_options options;
    trove_stream_metrics metrics;
    trove_error error;
    if (!restarted_keeps())
        return;
    restarted_begin(&own, *state, NULL);
    init(&options);
    options.chunk_bytes = 64 * KIB;
    options.channel_chunks = 1;
    trove_stream *stream = open_stream(&own.test, "behind", TROVE_DIRECTION_UPLOAD, &options);
    CHECK_OK(write_bytes(stream, own.test.bytes, 10 * MIB, PATIENCE_MS, &error), &error);
    restarted_kill(&own);
    restarted_start(&own);
    do
        trove_stream_metrics_get(stream, &metrics);
    while (metrics.reconnects == 0);
    trove_status status;
    do /* what is durable moves on meanwhile */
        status = trove_stream_control(stream, TROVE_CONTROL_SEEK, trove_stream_durable_offset(stream), PATIENCE_MS, NULL, &error);
    while (status == TROVE_FAILED_PRECONDITION);
    CHECK_OK(status, &error);
    check_account(stream);
    uint64_t from = trove_stream_offset(stream);
    CHECK_OK(write_bytes(stream, own.test.bytes + from, 12 * MIB - from, PATIENCE_MS, &error), &error);
    CHECK_OK(trove_stream_complete(stream, PATIENCE_MS, NULL, &error), &error);
    check_account(stream);
    trove_stream_release(stream);
    check_object(&own.test, "behind", own.test.bytes, 12 * MIB);
    restarted_end(&own);
}

/* ---- streams of another server ---- */

static uint64_t open_and_tell_id(struct restarted *own, const char *key, trove_stream **stream) {
    trove_stream_options options;
    init(&options);
    *stream = open_stream(&own->test, key, TROVE_DIRECTION_UPLOAD, &options);
    return trove_stream_id(*stream);
}

/* Somebody who has seen a stream ends it when the next server is there: not the one that has come instead. */
static void test_id_of_the_server_before(void **state) {
    struct restarted own;
    trove_stream *stream = NULL;
    trove_error error;
    if (!restarted_keeps())
        return;
    restarted_begin(&own, *state, NULL);
    uint64_t id = open_and_tell_id(&own, "before", &stream);
    CHECK_OK(trove_stream_control(stream, TROVE_CONTROL_CANCEL, 0, PATIENCE_MS, NULL, &error), &error);
    trove_stream_release(stream);
    restarted_kill(&own);
    restarted_start(&own);
    (void)open_and_tell_id(&own, "after", &stream);
    CHECK_FAILS(trove_server_stream_control(own.test.client, id, TROVE_CONTROL_CANCEL, PATIENCE_MS, NULL, &error), NOT_FOUND,
                "doesn't exist", &error);
    CHECK_OK(trove_stream_complete(stream, PATIENCE_MS, NULL, &error), &error);
    trove_stream_release(stream);
    restarted_end(&own);
}

/* ---- a store that doesn't survive ---- */

/* What the server has lost the program may have lost as well. */
static void test_lost_upload(void **state) {
    struct restarted own;
    trove_stream_options options;
    trove_error error;
    if (restarted_keeps())
        return;
    restarted_begin(&own, *state, NULL);
    init(&options);
    trove_stream *stream = open_stream(&own.test, "lost", TROVE_DIRECTION_UPLOAD, &options);
    assert_false(trove_stream_upload_survives_restart(stream));
    CHECK_OK(write_bytes(stream, own.test.bytes, 1 * MIB, PATIENCE_MS, &error), &error);
    while (trove_stream_durable_offset(stream) == 0)
        pause_ms(1);
    restarted_kill(&own);
    restarted_start(&own);
    CHECK_FAILS(trove_stream_complete(stream, PATIENCE_MS, NULL, &error), NOT_FOUND, "", &error);
    trove_stream_release(stream);
    restarted_end(&own);
}

int main(int argc, char **argv) {
    client_test_arguments(argc, argv);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_put_killed),
        cmocka_unit_test(test_put_shut_down),
        cmocka_unit_test(test_get_killed),
        cmocka_unit_test(test_seek_while_behind),
        cmocka_unit_test(test_id_of_the_server_before),
        cmocka_unit_test(test_lost_upload),
    };
    return cmocka_run_group_tests_name(client_test_store(), tests, client_test_begin, client_test_end);
}
