/* test_client_follow.c - follow mode through libtrove and a real troved: one stream writes an object, others read it
 * meanwhile. */
#include "client_test.h"

#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#define CHUNK (64 * KIB)

static trove_stream_options follow_options(void) {
    trove_stream_options options;
    trove_stream_options_init(&options);
    options.chunk_bytes = CHUNK;
    options.channel_chunks = 4;
    options.follow = true;
    return options;
}

/* Opens one that must write, or must follow. */
static trove_stream *open_follow(const struct client_test *test, const char *key, bool writer) {
    const trove_stream_options options = follow_options();
    trove_stream *stream = open_stream(test, key, TROVE_DIRECTION_BIDI, &options);
    assert_int_equal(trove_stream_is_writer(stream), writer);
    assert_null(trove_stream_object(stream));
    return stream;
}

static void write_some(trove_stream *stream, const uint8_t *bytes, size_t size) {
    trove_error error;
    CHECK_OK(write_bytes(stream, bytes, size, 0, &error), &error);
}

/* Reads until so many bytes have come in all; what there is must be had without more being written. */
static void read_to(trove_stream *stream, const uint8_t *expected, size_t size) {
    while (trove_stream_read_offset(stream) < size) {
        trove_chunk *chunk = NULL;
        trove_error error;
        uint64_t at = trove_stream_read_offset(stream);
        CHECK_OK(trove_stream_read(stream, 20000, &chunk, &error), &error);
        assert_non_null(chunk);
        assert_int_equal(chunk->offset, at);
        assert_true(memcmp(chunk->data, expected + at, chunk->size) == 0);
        trove_stream_chunk_put(stream, chunk);
    }
    assert_int_equal(trove_stream_read_offset(stream), size);
}

static void read_end(trove_stream *stream) {
    trove_chunk *chunk = NULL;
    trove_error error;
    CHECK_OK(trove_stream_read(stream, 20000, &chunk, &error), &error);
    assert_null(chunk);
}

/* To the end; then all agree on what was published. */
static void finish_follower(trove_stream *stream, const uint8_t *expected, size_t size, uint64_t generation) {
    trove_error error;
    trove_object_info *info = NULL;
    read_to(stream, expected, size);
    read_end(stream);
    CHECK_OK(trove_stream_complete(stream, 0, &info, &error), &error);
    assert_int_equal(info->size, size);
    assert_int_equal(info->generation, generation);
    trove_object_info_free(info);
    trove_stream_release(stream);
}

static uint64_t finish_writer(trove_stream *stream) {
    trove_error error;
    trove_object_info *info = NULL;
    CHECK_OK(trove_stream_complete(stream, 0, &info, &error), &error);
    uint64_t generation = info->generation;
    trove_object_info_free(info);
    trove_stream_release(stream);
    return generation;
}

/* ---- reading what is written ---- */

/* Each append is seen as soon as it is made, however small; who comes later begins at 0. */
static void test_appends(void **state) {
    const struct client_test *test = *state;
    static const size_t sizes[] = {1, 10, 1000, 70 * KIB, 1, 256 * KIB, 300 * KIB, 3, 2 * MIB, 5};
    size_t count = sizeof sizes / sizeof sizes[0];
    trove_stream *followers[10];
    size_t at = 0;
    trove_stream *writer = open_follow(test, "appended", true);
    read_end(writer); /* nothing comes down to who writes */
    for (size_t i = 0; i < count; i++) {
        followers[i] = open_follow(test, "appended", false);
        write_some(writer, test->bytes + at, sizes[i]);
        at += sizes[i];
        for (size_t j = 0; j <= i; j++)
            read_to(followers[j], test->bytes, at);
    }
    trove_object_info *info = NULL;
    trove_error error;
    CHECK_FAILS(trove_object_head(test->client, BUCKET, "appended", 0, &info, &error), NOT_FOUND, "appended", &error);
    uint64_t generation = finish_writer(writer);
    for (size_t i = 0; i < count; i++)
        finish_follower(followers[i], test->bytes, at, generation);
    check_object(test, "appended", test->bytes, at);
}

/* Others see the object before it, whole, until the writer has completed. */
static void test_others_see_the_old_one(void **state) {
    const struct client_test *test = *state;
    trove_error error;
    CHECK_OK(trove_put_memory(test->client, BUCKET, "old", test->bytes + 5, 1 * MIB, NULL, NULL, &error), &error);
    trove_stream *writer = open_follow(test, "old", true);
    trove_stream *follower = open_follow(test, "old", false);
    write_some(writer, test->bytes, 2 * MIB);
    read_to(follower, test->bytes, 2 * MIB);
    check_object(test, "old", test->bytes + 5, 1 * MIB);
    finish_follower(follower, test->bytes, 2 * MIB, finish_writer(writer));
    check_object(test, "old", test->bytes, 2 * MIB);
}

/* One that reads nothing holds nobody up, and gets all of it afterwards. */
static void test_slow_follower(void **state) {
    const struct client_test *test = *state;
    trove_stream *writer = open_follow(test, "slow", true);
    trove_stream *slow = open_follow(test, "slow", false);
    trove_stream *middle = open_follow(test, "slow", false);
    trove_stream *quick = open_follow(test, "slow", false);
    for (size_t at = 0; at < 20 * MIB; at += 1 * MIB) {
        write_some(writer, test->bytes + at, 1 * MIB);
        read_to(quick, test->bytes, at + 1 * MIB);
    }
    read_to(middle, test->bytes, 5 * CHUNK);
    uint64_t generation = finish_writer(writer);
    finish_follower(quick, test->bytes, 20 * MIB, generation);
    finish_follower(middle, test->bytes, 20 * MIB, generation);
    finish_follower(slow, test->bytes, 20 * MIB, generation);
}

struct reader {
    const struct client_test *test;
    trove_stream *stream;
    size_t size;
    pthread_t thread;
};

static void *read_in_thread(void *argument) {
    struct reader *reader = argument;
    trove_chunk *chunk = NULL;
    while (trove_stream_read(reader->stream, 20000, &chunk, NULL) == TROVE_OK && chunk != NULL) {
        if (chunk->offset != reader->size || memcmp(chunk->data, reader->test->bytes + chunk->offset, chunk->size) != 0)
            break;
        reader->size += chunk->size;
        trove_stream_chunk_put(reader->stream, chunk);
    }
    return NULL;
}

/* Many at once, from two clients, while it is written. */
static void test_many(void **state) {
    const struct client_test *test = *state;
    struct client_test other = *test;
    struct reader readers[24];
    trove_error error;
    CHECK_OK(trove_connect(test->url, NULL, &other.client, &error), &error);
    trove_stream *writer = open_follow(test, "many", true);
    for (size_t i = 0; i < 24; i++) {
        readers[i] = (struct reader){.test = test, .stream = open_follow(i % 2 == 0 ? test : &other, "many", false)};
        pthread_create(&readers[i].thread, NULL, read_in_thread, &readers[i]);
    }
    write_some(writer, test->bytes, 10 * MIB);
    uint64_t generation = finish_writer(writer);
    for (size_t i = 0; i < 24; i++) {
        pthread_join(readers[i].thread, NULL);
        assert_int_equal(readers[i].size, 10 * MIB);
        finish_follower(readers[i].stream, test->bytes, 10 * MIB, generation);
    }
    trove_close(other.client);
}

/* A client with room for one stream's chunks, more or less, has many followers: they need half of what two ways do. */
static void test_memory(void **state) {
    const struct client_test *test = *state;
    struct client_test other = *test;
    trove_client_options client_options;
    trove_stream *followers[15];
    trove_error error;
    trove_client_options_init(&client_options);
    client_options.memory_bytes = 8 * MIB;
    CHECK_OK(trove_connect(test->url, &client_options, &other.client, &error), &error);
    trove_stream *writer = open_follow(test, "memory", true);
    for (size_t i = 0; i < 15; i++)
        followers[i] = open_follow(&other, "memory", false);
    write_some(writer, test->bytes, 1 * MIB);
    for (size_t i = 0; i < 15; i++)
        read_to(followers[i], test->bytes, 1 * MIB);
    uint64_t generation = finish_writer(writer);
    for (size_t i = 0; i < 15; i++)
        finish_follower(followers[i], test->bytes, 1 * MIB, generation);
    trove_close(other.client);
}

static void test_empty(void **state) {
    const struct client_test *test = *state;
    trove_stream *writer = open_follow(test, "empty", true);
    trove_stream *follower = open_follow(test, "empty", false);
    finish_follower(follower, test->bytes, 0, finish_writer(writer));
    check_object(test, "empty", test->bytes, 0);
}

/* Hooks and metrics of both; the account holds. */
static void count_chunk(void *context, const trove_chunk_ack *ack) {
    atomic_uint *counts = context;
    atomic_fetch_add(&counts[ack->direction], 1);
}

static void test_metrics(void **state) {
    const struct client_test *test = *state;
    atomic_uint counts[4] = {0};
    trove_stream_options options = follow_options();
    trove_stream_metrics m;
    trove_error error;
    options.hooks.context = counts;
    options.hooks.on_chunk = count_chunk;
    trove_stream *writer = open_follow(test, "counted", true);
    trove_stream *follower = open_stream(test, "counted", TROVE_DIRECTION_BIDI, &options);
    write_some(writer, test->bytes, 1 * MIB);
    read_to(follower, test->bytes, 1 * MIB);
    trove_stream_metrics_get(follower, &m);
    assert_int_equal(m.direction, TROVE_DIRECTION_BIDI);
    assert_int_equal(m.bytes_received, 1 * MIB);
    assert_int_equal(m.bytes_acknowledged, 1 * MIB);
    assert_int_equal(m.bytes_accepted, m.bytes_acknowledged + m.bytes_queued + m.bytes_in_flight);
    assert_int_equal(m.bytes_sent, 0);
    (void)finish_writer(writer);
    read_end(follower);
    CHECK_OK(trove_stream_complete(follower, 0, NULL, &error), &error);
    trove_stream_release(follower);
    assert_int_equal(counts[TROVE_DIRECTION_UPLOAD], 0);
    assert_true(counts[TROVE_DIRECTION_DOWNLOAD] >= 1 * MIB / CHUNK);
}

/* ---- who writes ---- */

static void test_followers_cannot_write(void **state) {
    const struct client_test *test = *state;
    trove_error error;
    trove_chunk *chunk = NULL;
    trove_stream *writer = open_follow(test, "refused", true);
    trove_stream *follower = open_follow(test, "refused", false);
    CHECK_FAILS(trove_stream_chunk_get(follower, 0, &chunk, &error), FAILED_PRECONDITION,
                "another stream writes " BUCKET "/refused; this one follows it", &error);
    CHECK_OK(trove_stream_chunk_get(writer, 0, &chunk, &error), &error);
    chunk->size = 1;
    CHECK_FAILS(trove_stream_write(follower, &chunk, 0, &error), FAILED_PRECONDITION, "another stream writes", &error);
    trove_stream_chunk_put(writer, chunk);
    finish_follower(follower, test->bytes, 0, finish_writer(writer));
}

/* When the writer is gone, its followers fail and say why, and the next stream writes. */
static void test_writer_fails(void **state) {
    const struct client_test *test = *state;
    for (int i = 0; i < 3; i++) {
        struct client_test other = *test;
        trove_error error;
        trove_chunk *chunk = NULL;
        trove_object_info *info = NULL;
        CHECK_OK(trove_connect(test->url, NULL, &other.client, &error), &error);
        trove_stream *writer = open_follow(&other, "failing", true);
        trove_stream *follower = open_follow(test, "failing", false);
        write_some(writer, test->bytes, 1 * MIB);
        read_to(follower, test->bytes, 1 * MIB);
        if (i == 0)
            CHECK_OK(trove_stream_control(writer, TROVE_CONTROL_CANCEL, 0, 0, NULL, &error), &error);
        else if (i == 1)
            trove_stream_fail(writer, TROVE_DATA_LOSS, "the source is broken");
        else
            trove_close(other.client);
        CHECK_FAILS(trove_stream_read(follower, 20000, &chunk, &error), ABORTED, i == 1 ? "the source is broken" : "failing",
                    &error);
        CHECK_FAILS(trove_stream_complete(follower, 0, NULL, &error), ABORTED, "failing", &error);
        trove_stream_release(follower);
        trove_stream_release(writer);
        if (i < 2)
            trove_close(other.client);
        CHECK_FAILS(trove_object_head(test->client, BUCKET, "failing", 0, &info, &error), NOT_FOUND, "failing", &error);
        writer = open_follow(test, "failing", true);
        follower = open_follow(test, "failing", false);
        write_some(writer, test->bytes + 7, 100);
        finish_follower(follower, test->bytes + 7, 100, finish_writer(writer));
        CHECK_OK(trove_object_delete(test->client, BUCKET, "failing", NULL, 0, &error), &error);
    }
}

/* A follower that goes is missed by nobody. */
static void test_follower_leaves(void **state) {
    const struct client_test *test = *state;
    trove_stream *writer = open_follow(test, "left", true);
    trove_stream *stays = open_follow(test, "left", false);
    trove_stream *leaves = open_follow(test, "left", false);
    write_some(writer, test->bytes, 1 * MIB);
    read_to(leaves, test->bytes, CHUNK);
    trove_stream_release(leaves);
    write_some(writer, test->bytes + 1 * MIB, 1 * MIB);
    finish_follower(stays, test->bytes, 2 * MIB, finish_writer(writer));
}

/* Either may be paused, and goes on where it was. */
static void test_pause(void **state) {
    const struct client_test *test = *state;
    trove_error error;
    trove_chunk *chunk = NULL;
    trove_stream *writer = open_follow(test, "paused", true);
    trove_stream *follower = open_follow(test, "paused", false);
    write_some(writer, test->bytes, CHUNK);
    read_to(follower, test->bytes, CHUNK);
    CHECK_OK(trove_stream_control(follower, TROVE_CONTROL_PAUSE, 0, 0, NULL, &error), &error);
    write_some(writer, test->bytes + CHUNK, 2 * MIB);
    CHECK_FAILS(trove_stream_read(follower, 100, &chunk, &error), DEADLINE_EXCEEDED, "resumed", &error);
    CHECK_OK(trove_stream_control(follower, TROVE_CONTROL_RESUME, 0, 0, NULL, &error), &error);
    read_to(follower, test->bytes, CHUNK + 2 * MIB);
    CHECK_OK(trove_stream_control(writer, TROVE_CONTROL_PAUSE, 0, 0, NULL, &error), &error);
    CHECK_FAILS(trove_stream_read(follower, 100, &chunk, &error), DEADLINE_EXCEEDED, "the way down: the server has sent nothing",
                &error);
    CHECK_OK(trove_stream_control(writer, TROVE_CONTROL_RESUME, 0, 0, NULL, &error), &error);
    write_some(writer, test->bytes + CHUNK + 2 * MIB, 3);
    read_to(follower, test->bytes, CHUNK + 2 * MIB + 3);
    finish_follower(follower, test->bytes, CHUNK + 2 * MIB + 3, finish_writer(writer));
}

/* A limit of the follower's own slows it down, and it alone. */
static void test_limited_follower(void **state) {
    const struct client_test *test = *state;
    trove_stream_options options = follow_options();
    options.bytes_per_second = 4 * MIB;
    options.chunk_bytes = 0;
    trove_stream *writer = open_follow(test, "limited", true);
    uint64_t begun_ms = now_ms();
    trove_stream *follower = open_stream(test, "limited", TROVE_DIRECTION_BIDI, &options);
    write_some(writer, test->bytes, 2 * MIB);
    uint64_t generation = finish_writer(writer);
    finish_follower(follower, test->bytes, 2 * MIB, generation);
    assert_true(now_ms() - begun_ms >= 500 - 1000 / 16 - 1000 / 16 - 20); /* but for the burst and a piece */
}

int main(int argc, char **argv) {
    client_test_arguments(argc, argv);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_appends),       cmocka_unit_test(test_others_see_the_old_one),
        cmocka_unit_test(test_slow_follower), cmocka_unit_test(test_many),
        cmocka_unit_test(test_memory),        cmocka_unit_test(test_empty),
        cmocka_unit_test(test_metrics),       cmocka_unit_test(test_followers_cannot_write),
        cmocka_unit_test(test_writer_fails),  cmocka_unit_test(test_follower_leaves),
        cmocka_unit_test(test_pause),         cmocka_unit_test(test_limited_follower),
    };
    return cmocka_run_group_tests_name(client_test_store(), tests, client_test_begin, client_test_end);
}
