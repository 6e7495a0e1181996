/* test_client_two_way.c - streams that go both ways, through libtrove and a real troved: every byte of both ways, each way while
 * the other stands still, closing one of them, and conditions.
 */
#include "two_way_test.h"

#include <pthread.h>
#include <string.h>

/* ---- both ways ---- */

static const struct size_row {
    const char *name;
    size_t down;
    size_t up;
} size_rows[] = {
    {"a byte each", 1, 1},
    {"nothing up, something down", 100 * KIB, 0},
    {"nothing down, something up", 0, 100 * KIB},
    {"inside a chunk", CHUNK - 1, 1000},
    {"around blocks", 256 * KIB + 1, 512 * KIB - 1},
    {"large, more up", 3 * MIB, 20 * MIB},
    {"large, more down", 20 * MIB, 3 * MIB},
};

/* A chunk up, a chunk down, as long as there are any. */
static void test_one_thread(void **state) {
    const struct client_test *test = *state;
    for (size_t i = 0; i < sizeof size_rows / sizeof size_rows[0]; i++) {
        const struct size_row *row = &size_rows[i];
        const trove_stream_options options = small_options();
        trove_error error;
        trove_object_info *info = NULL;
        print_message("    %s\n", row->name);
        put_object(test, "one", row->down);
        trove_stream *stream = open_stream(test, "one", TROVE_DIRECTION_BIDI, &options);
        assert_int_equal(trove_stream_object(stream)->size, row->down);
        uint64_t generation = trove_stream_object(stream)->generation;
        bool more = true;
        for (size_t at = 0; more || at < row->up;) {
            size_t size = row->up - at < CHUNK ? row->up - at : CHUNK;
            if (size > 0)
                write_some(stream, upwards(test) + at, size, false);
            at += size;
            more = more && read_some(stream, test->bytes);
            check_account(stream);
        }
        assert_int_equal(trove_stream_read_offset(stream), row->down);
        assert_int_equal(trove_stream_offset(stream), row->up);
        CHECK_OK(trove_stream_complete(stream, 0, &info, &error), &error);
        assert_int_equal(info->size, row->up);
        assert_true(info->generation > generation);
        assert_int_equal(trove_stream_object(stream)->generation, info->generation);
        trove_object_info_free(info);
        trove_stream_metrics metrics = check_account(stream);
        assert_int_equal(metrics.state, TROVE_STREAM_COMPLETED);
        assert_int_equal(metrics.direction, TROVE_DIRECTION_BIDI);
        assert_int_equal(metrics.bytes_received, row->down);
        assert_int_equal(metrics.bytes_acknowledged, row->down + row->up);
        trove_stream_release(stream);
        check_object(test, "one", upwards(test), row->up);
    }
}

/* One thread writes and completes, the other one reads; its end is what lets the first one come back. */
static void test_two_threads(void **state) {
    const struct client_test *test = *state;
    for (size_t i = 0; i < sizeof size_rows / sizeof size_rows[0]; i++) {
        const struct size_row *row = &size_rows[i];
        const trove_stream_options options = small_options();
        print_message("    %s\n", row->name);
        put_object(test, "two", row->down);
        struct writer writer = {
            .test = test, .stream = open_stream(test, "two", TROVE_DIRECTION_BIDI, &options), .size = row->up};
        pthread_create(&writer.thread, NULL, write_in_thread, &writer);
        read_all(writer.stream, test->bytes, row->down);
        pthread_join(writer.thread, NULL);
        CHECK_OK(writer.status, &writer.error);
        trove_stream_release(writer.stream);
        check_object(test, "two", upwards(test), row->up);
    }
}

/* Large chunks as the library has them by default, and none at all. */
static void test_usual_options(void **state) {
    const struct client_test *test = *state;
    trove_error error;
    put_object(test, "usual", 10 * MIB + 3);
    struct writer writer = {.test = test, .stream = open_stream(test, "usual", TROVE_DIRECTION_BIDI, NULL), .size = 22 * MIB};
    pthread_create(&writer.thread, NULL, write_in_thread, &writer);
    read_all(writer.stream, test->bytes, 10 * MIB + 3);
    pthread_join(writer.thread, NULL);
    CHECK_OK(writer.status, &writer.error);
    trove_stream_release(writer.stream);
    check_object(test, "usual", upwards(test), 22 * MIB);
    trove_stream *stream = open_stream(test, "usual", TROVE_DIRECTION_BIDI, NULL);
    read_all(stream, upwards(test), 22 * MIB);
    CHECK_OK(trove_stream_complete(stream, 0, NULL, &error), &error);
    trove_stream_release(stream);
    check_object(test, "usual", test->bytes, 0);
}

static void test_object_absent(void **state) {
    const struct client_test *test = *state;
    const trove_stream_options options = small_options();
    trove_error error;
    trove_stream *stream = open_stream(test, "absent", TROVE_DIRECTION_BIDI, &options);
    assert_null(trove_stream_object(stream));
    assert_false(read_some(stream, test->bytes));
    CHECK_OK(write_bytes(stream, upwards(test), 1 * MIB, 0, &error), &error);
    CHECK_OK(trove_stream_complete(stream, 0, NULL, &error), &error);
    assert_int_equal(trove_stream_object(stream)->size, 1 * MIB);
    trove_stream_release(stream);
    check_object(test, "absent", upwards(test), 1 * MIB);
    CHECK_FAILS(trove_stream_open(test->client, "nowhere", "absent", TROVE_DIRECTION_BIDI, NULL, &stream, &error), NOT_FOUND,
                "nowhere", &error);
}

/* A part of the object comes down; what goes up is the whole next one all the same. */
static void test_range(void **state) {
    const struct client_test *test = *state;
    trove_stream_options options = small_options();
    trove_error error;
    put_object(test, "ranged", 3 * MIB);
    options.range_offset = 1 * MIB + 5;
    options.range_length = 1 * MIB;
    trove_stream *stream = open_stream(test, "ranged", TROVE_DIRECTION_BIDI, &options);
    assert_int_equal(trove_stream_read_offset(stream), 1 * MIB + 5);
    assert_int_equal(trove_stream_offset(stream), 0);
    read_all(stream, test->bytes, 2 * MIB + 5);
    CHECK_OK(write_bytes(stream, upwards(test), 2 * MIB, 0, &error), &error);
    CHECK_OK(trove_stream_complete(stream, 0, NULL, &error), &error);
    trove_stream_release(stream);
    check_object(test, "ranged", upwards(test), 2 * MIB);
}

/* ---- one way while the other stands still ---- */

/* All is written before anything is read: some forty windows. */
static void test_nobody_reads(void **state) {
    const struct client_test *test = *state;
    const trove_stream_options options = small_options();
    trove_error error;
    put_object(test, "still", 5 * MIB);
    trove_stream *stream = open_stream(test, "still", TROVE_DIRECTION_BIDI, &options);
    CHECK_OK(write_bytes(stream, upwards(test), 10 * MIB, 0, &error), &error);
    CHECK_FAILS(trove_stream_complete(stream, 200, NULL, &error), DEADLINE_EXCEEDED, "the way down", &error);
    assert_int_equal(trove_stream_state_get(stream), TROVE_STREAM_ACTIVE);
    read_all(stream, test->bytes, 5 * MIB);
    CHECK_OK(trove_stream_complete(stream, 0, NULL, &error), &error);
    trove_stream_release(stream);
    check_object(test, "still", upwards(test), 10 * MIB);
}

/* Nothing is written before all was read. */
static void test_nobody_writes(void **state) {
    const struct client_test *test = *state;
    const trove_stream_options options = small_options();
    trove_error error;
    put_object(test, "still", 10 * MIB);
    trove_stream *stream = open_stream(test, "still", TROVE_DIRECTION_BIDI, &options);
    read_all(stream, test->bytes, 10 * MIB);
    assert_int_equal(trove_stream_state_get(stream), TROVE_STREAM_ACTIVE);
    CHECK_OK(write_bytes(stream, upwards(test), 5 * MIB, 0, &error), &error);
    CHECK_OK(trove_stream_complete(stream, 0, NULL, &error), &error);
    trove_stream_release(stream);
    check_object(test, "still", upwards(test), 5 * MIB);
}

/* The program keeps every chunk of one way that there is; the other one doesn't notice. */
static void test_kept_chunks(void **state) {
    const struct client_test *test = *state;
    const trove_stream_options options = small_options();
    trove_chunk *kept[4] = {NULL};
    trove_chunk *mine[6] = {NULL};
    trove_error error;
    put_object(test, "kept", 5 * MIB);
    trove_stream *stream = open_stream(test, "kept", TROVE_DIRECTION_BIDI, &options);
    for (int i = 0; i < 4; i++)
        CHECK_OK(trove_stream_read(stream, 0, &kept[i], &error), &error);
    CHECK_OK(write_bytes(stream, upwards(test), 5 * MIB, 0, &error), &error);
    for (int i = 0; i < 4; i++) {
        assert_true(memcmp(kept[i]->data, test->bytes + kept[i]->offset, kept[i]->size) == 0);
        trove_stream_chunk_put(stream, kept[i]);
    }
    for (int i = 0; i < 6; i++)
        CHECK_OK(trove_stream_chunk_get(stream, 10000, &mine[i], &error), &error);
    read_all(stream, test->bytes, 5 * MIB);
    for (int i = 0; i < 6; i++)
        trove_stream_chunk_put(stream, mine[i]);
    CHECK_OK(trove_stream_complete(stream, 0, NULL, &error), &error);
    trove_stream_release(stream);
    check_object(test, "kept", upwards(test), 5 * MIB);
}

/* ---- half-close ---- */

static void test_half_close(void **state) {
    const struct client_test *test = *state;
    const trove_stream_options options = small_options();
    trove_error error;
    for (int i = 0; i < 2; i++) {
        put_object(test, "half", 2 * MIB);
        trove_stream *stream = open_stream(test, "half", TROVE_DIRECTION_BIDI, &options);
        CHECK_OK(write_bytes(stream, upwards(test), 1 * MIB, 0, &error), &error);
        if (i == 0)
            write_some(stream, upwards(test) + 1 * MIB, 99, true); /* the last one has bytes, or none */
        else
            write_some(stream, upwards(test), 0, true);
        CHECK_FAILS(write_bytes(stream, upwards(test), 1, 0, &error), FAILED_PRECONDITION, "last", &error);
        assert_int_equal(trove_stream_state_get(stream), TROVE_STREAM_ACTIVE);
        CHECK_OK(trove_stream_control(stream, TROVE_CONTROL_PAUSE, 0, 0, NULL, &error), &error);
        CHECK_OK(trove_stream_control(stream, TROVE_CONTROL_RESUME, 0, 0, NULL, &error), &error);
        read_all(stream, test->bytes, 2 * MIB);
        CHECK_OK(trove_stream_complete(stream, 0, NULL, &error), &error);
        trove_stream_release(stream);
        check_object(test, "half", upwards(test), 1 * MIB + (i == 0 ? 99 : 0));
    }
}

static void test_half_close_down_first(void **state) {
    const struct client_test *test = *state;
    const trove_stream_options options = small_options();
    trove_error error;
    put_object(test, "half", 2 * MIB);
    trove_stream *stream = open_stream(test, "half", TROVE_DIRECTION_BIDI, &options);
    read_all(stream, test->bytes, 2 * MIB);
    CHECK_OK(trove_stream_control(stream, TROVE_CONTROL_PAUSE, 0, 0, NULL, &error), &error);
    assert_int_equal(trove_stream_state_get(stream), TROVE_STREAM_PAUSED);
    CHECK_FAILS(write_bytes(stream, upwards(test), 1, 50, &error), DEADLINE_EXCEEDED, "resumed", &error);
    assert_false(read_some(stream, test->bytes)); /* the end stays the end */
    CHECK_OK(trove_stream_control(stream, TROVE_CONTROL_RESUME, 0, 0, NULL, &error), &error);
    CHECK_OK(write_bytes(stream, upwards(test), 1 * MIB, 0, &error), &error);
    CHECK_OK(trove_stream_complete(stream, 0, NULL, &error), &error);
    trove_stream_release(stream);
    check_object(test, "half", upwards(test), 1 * MIB);
}

/* ---- conditions ---- */

static void test_lost_update(void **state) {
    const struct client_test *test = *state;
    trove_stream_options options = small_options();
    trove_error error;
    trove_object_info *info = NULL;
    trove_stream *stream = NULL;
    put_object(test, "update", 1 * MIB);
    CHECK_OK(trove_object_head(test->client, BUCKET, "update", 0, &info, &error), &error);
    options.conditions.if_generation = info->generation + 1;
    CHECK_FAILS(trove_stream_open(test->client, BUCKET, "update", TROVE_DIRECTION_BIDI, &options, &stream, &error),
                FAILED_PRECONDITION, "update", &error);
    options.conditions.if_generation = info->generation;
    trove_object_info_free(info);
    stream = open_stream(test, "update", TROVE_DIRECTION_BIDI, &options);
    put_object(test, "update", 2 * MIB);    /* somebody else */
    read_all(stream, test->bytes, 1 * MIB); /* what was there at the opening */
    CHECK_OK(write_bytes(stream, upwards(test), 1 * MIB, 0, &error), &error);
    CHECK_FAILS(trove_stream_complete(stream, 0, NULL, &error), FAILED_PRECONDITION, "update", &error);
    trove_stream_release(stream);
    check_object(test, "update", test->bytes, 2 * MIB);
}

static void test_create_only(void **state) {
    const struct client_test *test = *state;
    trove_stream_options options = small_options();
    trove_error error;
    trove_stream *stream = NULL;
    options.conditions.if_none_match = true;
    stream = open_stream(test, "created", TROVE_DIRECTION_BIDI, &options);
    assert_false(read_some(stream, test->bytes));
    CHECK_OK(write_bytes(stream, upwards(test), 1 * MIB, 0, &error), &error);
    CHECK_OK(trove_stream_complete(stream, 0, NULL, &error), &error);
    trove_stream_release(stream);
    CHECK_FAILS(trove_stream_open(test->client, BUCKET, "created", TROVE_DIRECTION_BIDI, &options, &stream, &error),
                FAILED_PRECONDITION, "created", &error);
    check_object(test, "created", upwards(test), 1 * MIB);
}

int main(int argc, char **argv) {
    client_test_arguments(argc, argv);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_thread),    cmocka_unit_test(test_two_threads),
        cmocka_unit_test(test_usual_options), cmocka_unit_test(test_object_absent),
        cmocka_unit_test(test_range),         cmocka_unit_test(test_nobody_reads),
        cmocka_unit_test(test_nobody_writes), cmocka_unit_test(test_kept_chunks),
        cmocka_unit_test(test_half_close),    cmocka_unit_test(test_half_close_down_first),
        cmocka_unit_test(test_lost_update),   cmocka_unit_test(test_create_only),
    };
    return cmocka_run_group_tests_name(client_test_store(), tests, client_test_begin, client_test_end);
}
