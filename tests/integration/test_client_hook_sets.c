/* test_client_hook_sets.c - several sets of hooks on real streams, and streams that are released by hooks of their own. (All else
 * that hooks may do: test_client_hooks.c.)
 */
#include "client_test.h"

#include <stdatomic.h>
#include <stdio.h>
#include <unistd.h>

/* ---- several sets ---- */

struct set {
    uint64_t next_index;
    uint64_t next_offset;
    uint64_t bytes;
    unsigned chunks;
    unsigned ends;
    unsigned wrong; /* out of order, or after the end */
    trove_status status;
};

static void set_chunk(void *context, const trove_chunk_ack *ack) {
    struct set *set = context;
    set->wrong += set->ends > 0 || ack->index != set->next_index || ack->offset != set->next_offset || ack->latency_ns == 0;
    set->next_index = ack->index + 1;
    set->next_offset = ack->offset + ack->size;
    set->bytes += ack->size;
    set->chunks++;
}

static void set_complete(void *context, const trove_object_info *info) {
    struct set *set = context;
    (void)info;
    set->status = TROVE_OK;
    set->ends++;
}

static void set_error(void *context, const trove_error *error) {
    struct set *set = context;
    set->status = error->status;
    set->ends++;
}

static trove_stream_hooks hooks_of(struct set *set) {
    return (trove_stream_hooks){.context = set, .on_chunk = set_chunk, .on_complete = set_complete, .on_error = set_error};
}

static void check_sets(const struct client_test *test, trove_direction direction, bool complete) {
    struct set sets[TROVE_HOOKS_MAX + 1] = {0};
    trove_stream_options options;
    trove_error error;
    trove_stream_options_init(&options);
    options.chunk_bytes = 100 * KIB;
    options.channel_chunks = 4;
    options.hooks = hooks_of(&sets[0]);
    trove_stream *stream = open_stream(test, "sets", direction, &options);
    for (int i = 1; i < TROVE_HOOKS_MAX; i++) {
        const trove_stream_hooks hooks = hooks_of(&sets[i]);
        CHECK_OK(trove_stream_hooks_add(stream, &hooks, &error), &error);
    }
    const trove_stream_hooks many = hooks_of(&sets[TROVE_HOOKS_MAX]);
    CHECK_FAILS(trove_stream_hooks_add(stream, &many, &error), RESOURCE_EXHAUSTED, "8 sets", &error);
    if (direction == TROVE_DIRECTION_UPLOAD)
        CHECK_OK(write_bytes(stream, test->bytes, 3 * MIB, 0, &error), &error);
    else
        CHECK_OK(read_away(stream, test->bytes, &error), &error);
    if (complete)
        CHECK_OK(trove_stream_complete(stream, 0, NULL, &error), &error);
    else
        trove_stream_fail(stream, TROVE_ABORTED, "as the test wants it");
    CHECK_FAILS(trove_stream_hooks_add(stream, &many, &error), FAILED_PRECONDITION, "no hook is called", &error);
    trove_stream_release(stream);
    for (int i = 0; i < TROVE_HOOKS_MAX; i++) {
        assert_int_equal(sets[i].wrong, 0);
        assert_int_equal(sets[i].ends, 1);
        assert_int_equal(sets[i].status, complete ? TROVE_OK : TROVE_ABORTED);
        assert_int_equal(sets[i].chunks, sets[0].chunks); /* all sets are told the same */
        if (complete)
            assert_int_equal(sets[i].bytes, 3 * MIB);
    }
    assert_int_equal(sets[TROVE_HOOKS_MAX].ends, 0);
}

static void test_sets(void **state) {
    const struct client_test *test = *state;
    check_sets(test, TROVE_DIRECTION_UPLOAD, true);
    check_sets(test, TROVE_DIRECTION_UPLOAD, false);
    check_object(test, "sets", test->bytes, 3 * MIB); /* the second one left the first one's alone */
    check_sets(test, TROVE_DIRECTION_DOWNLOAD, true);
}

/* A set that comes in the middle is told of what comes then. */
static void test_late_set(void **state) {
    const struct client_test *test = *state;
    struct set first = {0};
    struct set late = {0};
    trove_stream_options options;
    trove_error error;
    trove_stream_options_init(&options);
    options.chunk_bytes = 100 * KIB;
    options.hooks = hooks_of(&first);
    trove_stream *stream = open_stream(test, "late", TROVE_DIRECTION_UPLOAD, &options);
    CHECK_OK(write_bytes(stream, test->bytes, 1000 * KIB, 0, &error), &error);
    WAIT_FOR(check_account(stream).chunks_acknowledged == 10);
    const trove_stream_hooks hooks = hooks_of(&late);
    CHECK_OK(trove_stream_hooks_add(stream, &hooks, &error), &error);
    late.next_index = 10;
    late.next_offset = 1000 * KIB;
    CHECK_OK(write_bytes(stream, test->bytes, 500 * KIB, 0, &error), &error);
    CHECK_OK(trove_stream_complete(stream, 0, NULL, &error), &error);
    trove_stream_release(stream);
    assert_int_equal(first.chunks, 15);
    assert_int_equal(late.chunks, 5);
    assert_int_equal(first.wrong + late.wrong, 0);
    assert_int_equal(first.ends, 1);
    assert_int_equal(late.ends, 1);
}

/* Who has hooks is told, also of what else would go up in one flight. */
static void test_small_objects(void **state) {
    const struct client_test *test = *state;
    char path[512];
    trove_error error;
    snprintf(path, sizeof path, "%s/small", troved_folder(test->server));
    for (unsigned i = 0; i < 4; i++) {
        const size_t size = i % 2 * 10;
        const bool from_file = i >= 2;
        struct set set = {0};
        trove_stream_options options;
        trove_stream_options_init(&options);
        options.hooks = hooks_of(&set);
        FILE *file = fopen(path, "wb");
        assert_int_equal(fwrite(test->bytes, 1, size, file), size);
        fclose(file);
        trove_status status = from_file
                                  ? trove_put_file(test->client, BUCKET, "small", path, &options, NULL, &error)
                                  : trove_put_memory(test->client, BUCKET, "small", test->bytes, size, &options, NULL, &error);
        CHECK_OK(status, &error);
        assert_int_equal(set.ends, 1);
        assert_int_equal(set.status, TROVE_OK);
        assert_int_equal(set.chunks, size > 0);
        assert_int_equal(set.bytes, size);
        assert_int_equal(set.wrong, 0);
    }
    unlink(path);
}

/* ---- releasing in a hook ---- */

struct releaser {
    const struct client_test *test;
    trove_stream *stream;
    atomic_bool released;
    trove_status ping;
    unsigned ends;
};

static void release_on_complete(void *context, const trove_object_info *info) {
    struct releaser *releaser = context;
    (void)info;
    releaser->ping = trove_ping(releaser->test->client, 0, NULL, NULL);
    trove_stream_release(releaser->stream);
    atomic_store(&releaser->released, true);
}

static void test_release_from_hook(void **state) {
    struct releaser releaser = {.test = *state};
    trove_stream_options options;
    trove_error error;
    trove_stream_options_init(&options);
    options.hooks.context = &releaser;
    options.hooks.on_complete = release_on_complete;
    releaser.stream = open_stream(releaser.test, "hooked", TROVE_DIRECTION_UPLOAD, &options);
    CHECK_OK(write_bytes(releaser.stream, releaser.test->bytes, 100, 0, &error), &error);
    CHECK_OK(trove_stream_complete(releaser.stream, 0, NULL, &error), &error);
    WAIT_FOR(atomic_load(&releaser.released));
    assert_int_equal(releaser.ping, TROVE_OK);
}

static void release_on_chunk(void *context, const trove_chunk_ack *ack) {
    struct releaser *releaser = context;
    (void)ack;
    if (!atomic_exchange(&releaser->released, true))
        trove_stream_release(releaser->stream);
}

static void count_error(void *context, const trove_error *error) {
    struct releaser *releaser = context;
    releaser->ends += error->status == TROVE_CANCELLED;
}

/* Released in the middle, by a hook of its own; its end is told all the same, once. */
static void test_release_in_the_middle(void **state) {
    const struct client_test *test = *state;
    struct releaser releaser = {0};
    trove_stream_options options;
    trove_error error;
    trove_stream_options_init(&options);
    options.chunk_bytes = 1 * MIB; /* one chunk in all: when it is acknowledged nothing here uses the stream any more */
    options.hooks = (trove_stream_hooks){.context = &releaser, .on_chunk = release_on_chunk, .on_error = count_error};
    releaser.stream = open_stream(test, "middle", TROVE_DIRECTION_UPLOAD, &options);
    CHECK_OK(write_bytes(releaser.stream, test->bytes, 1 * MIB, 0, &error), &error);
    WAIT_FOR(atomic_load(&releaser.released));
    trove_stream *after = open_stream(test, "after", TROVE_DIRECTION_UPLOAD, &options);
    trove_stream_release(after); /* waits for the hook thread, which has told the first one's end before */
    assert_int_equal(releaser.ends, 2);
}

int main(int argc, char **argv) {
    client_test_arguments(argc, argv);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sets),
        cmocka_unit_test(test_late_set),
        cmocka_unit_test(test_small_objects),
        cmocka_unit_test(test_release_from_hook),
        cmocka_unit_test(test_release_in_the_middle),
    };
    return cmocka_run_group_tests_name(client_test_store(), tests, client_test_begin, client_test_end);
}
