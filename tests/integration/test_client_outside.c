/* test_client_outside.c - streams that are paused, resumed and cancelled from outside, through the server, while they move: in
 * both directions, and against what their own programs do. (From every state: test_client_states.c.)
 */
#include "client_test.h"

#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

static int begin(void **state) {
    return client_test_begin_with(state, "pools:\n  - {name: slow, bandwidth: 4MiB}\n"); /* 8 MiB take two seconds */
}

static trove_status control(const struct client_test *test, uint64_t id, trove_control what, trove_stream_state *state,
                            trove_error *error) {
    return trove_server_stream_control(test->client, id, what, 0, state, error);
}

/* Moves an object on a thread, as fast as it goes. */
struct mover {
    const struct client_test *test;
    trove_stream *stream;
    pthread_t thread;
    size_t size;
    atomic_size_t moved;
    trove_status status;
    trove_error error;
    bool differs;
};

static void *upload(void *context) {
    struct mover *mover = context;
    for (size_t at = 0; at < mover->size && mover->status == TROVE_OK; at += 64 * KIB) {
        mover->status = write_bytes(mover->stream, mover->test->bytes + at, 64 * KIB, PATIENCE_MS, &mover->error);
        atomic_store(&mover->moved, at);
    }
    if (mover->status == TROVE_OK)
        mover->status = trove_stream_complete(mover->stream, PATIENCE_MS, NULL, &mover->error);
    return NULL;
}

static void *download(void *context) {
    struct mover *mover = context;
    for (;;) {
        trove_chunk *chunk = NULL;
        mover->status = trove_stream_read(mover->stream, PATIENCE_MS, &chunk, &mover->error);
        if (mover->status != TROVE_OK || chunk == NULL)
            break;
        mover->differs |= memcmp(mover->test->bytes + chunk->offset, chunk->data, chunk->size) != 0;
        atomic_store(&mover->moved, chunk->offset + chunk->size);
        trove_stream_chunk_put(mover->stream, chunk);
    }
    if (mover->status == TROVE_OK)
        mover->status = trove_stream_complete(mover->stream, PATIENCE_MS, NULL, &mover->error);
    return NULL;
}

static void begin_moving(struct mover *mover, const struct client_test *test, const char *key, trove_direction direction) {
    trove_stream_options options;
    pool_options(&options, "slow");
    options.chunk_bytes = 64 * KIB;
    options.channel_chunks = 4;
    *mover = (struct mover){.test = test, .size = 8 * MIB};
    mover->stream = open_stream(test, key, direction, &options);
    assert_int_equal(pthread_create(&mover->thread, NULL, direction == TROVE_DIRECTION_UPLOAD ? upload : download, mover), 0);
}

/* What was under way arrives; then nothing moves any more. Returns how far the stream has come. */
static uint64_t stands_still(const struct client_test *test, const char *key) {
    uint64_t stands = UINT64_MAX;
    for (uint64_t until_ms = now_ms() + PATIENCE_MS; now_ms() < until_ms; pause_ms(200)) {
        uint64_t bytes = server_stream_of(test, key).bytes;
        if (bytes == stands)
            return stands;
        stands = bytes;
    }
    fail_msg("it goes on though it is paused");
    return stands;
}

static void test_paused_under_way(void **state) {
    const struct client_test *test = *state;
    static const trove_direction directions[] = {TROVE_DIRECTION_UPLOAD, TROVE_DIRECTION_DOWNLOAD};
    put_object(test, "down", 8 * MIB);
    for (int i = 0; i < 2; i++) {
        const char *key = i == 0 ? "up" : "down";
        struct mover mover;
        trove_error error;
        trove_stream_state got;
        begin_moving(&mover, test, key, directions[i]);
        uint64_t id = trove_stream_id(mover.stream);
        for (int round = 0; round < 3; round++) {
            size_t before = atomic_load(&mover.moved);
            WAIT_FOR(atomic_load(&mover.moved) > before);
            CHECK_OK(control(test, id, TROVE_CONTROL_PAUSE, &got, &error), &error);
            assert_int_equal(got, TROVE_STREAM_PAUSED);
            WAIT_FOR(trove_stream_state_get(mover.stream) == TROVE_STREAM_PAUSED);
            assert_true(stands_still(test, key) < 8 * MIB);
            CHECK_OK(control(test, id, TROVE_CONTROL_RESUME, &got, &error), &error);
            assert_int_equal(got, TROVE_STREAM_ACTIVE);
        }
        assert_int_equal(pthread_join(mover.thread, NULL), 0);
        CHECK_OK(mover.status, &mover.error);
        assert_false(mover.differs);
        trove_stream_release(mover.stream);
    }
    check_object(test, "up", test->bytes, 8 * MIB);
}

static void test_cancelled_under_way(void **state) {
    const struct client_test *test = *state;
    put_object(test, "down", 8 * MIB);
    for (int i = 0; i < 2; i++) {
        const char *key = i == 0 ? "gone" : "down";
        struct mover mover;
        trove_error error;
        begin_moving(&mover, test, key, i == 0 ? TROVE_DIRECTION_UPLOAD : TROVE_DIRECTION_DOWNLOAD);
        WAIT_FOR(atomic_load(&mover.moved) > 0);
        trove_server_stream before = server_stream_of(test, key);
        CHECK_OK(control(test, before.stream_id, TROVE_CONTROL_CANCEL, NULL, &error), &error);
        assert_int_equal(pthread_join(mover.thread, NULL), 0);
        CHECK_FAILS(mover.status, CANCELLED, "was cancelled by uid:", &mover.error);
        assert_int_equal(trove_stream_state_get(mover.stream), TROVE_STREAM_CANCELLED);
        trove_stream_release(mover.stream);
    }
    trove_object_info *info = NULL;
    trove_error error;
    CHECK_FAILS(trove_object_head(test->client, BUCKET, "gone", 0, &info, &error), NOT_FOUND, "gone", &error);
}

/* A cancel from outside ends a resumable upload's stream, and leaves the upload; the program's own throws it away. */
static void test_cancelled_upload_stays(void **state) {
    const struct client_test *test = *state;
    for (int outside = 0; outside < 2; outside++) {
        trove_stream_options options;
        trove_error error;
        trove_upload *kept = NULL;
        trove_stream_options_init(&options);
        options.resumable = true;
        trove_stream *stream = open_stream(test, "kept", TROVE_DIRECTION_UPLOAD, &options);
        char id[TROVE_UPLOAD_ID_BYTES];
        strcpy(id, trove_stream_upload_id(stream));
        CHECK_OK(write_bytes(stream, test->bytes, 64 * KIB, PATIENCE_MS, &error), &error);
        WAIT_FOR(trove_stream_durable_offset(stream) == 64 * KIB);
        if (outside)
            CHECK_OK(control(test, trove_stream_id(stream), TROVE_CONTROL_CANCEL, NULL, &error), &error);
        else
            CHECK_OK(trove_stream_control(stream, TROVE_CONTROL_CANCEL, 0, PATIENCE_MS, NULL, &error), &error);
        WAIT_FOR(trove_stream_state_get(stream) == TROVE_STREAM_CANCELLED);
        trove_stream_release(stream);
        if (outside) {
            CHECK_OK(trove_upload_stat(test->client, id, 0, &kept, &error), &error);
            assert_int_equal(kept->durable_offset, 64 * KIB);
            CHECK_OK(trove_upload_abort(test->client, id, 0, &error), &error);
        } else {
            WAIT_FOR(trove_upload_stat(test->client, id, 0, &kept, &error) == TROVE_NOT_FOUND);
        }
        trove_upload_free(kept);
    }
}

/* Both ends pause and resume at the same time; in the end both agree, and the bytes arrive. */
static void test_controls_cross(void **state) {
    const struct client_test *test = *state;
    struct mover mover;
    trove_error error;
    begin_moving(&mover, test, "crossed", TROVE_DIRECTION_UPLOAD);
    uint64_t id = trove_stream_id(mover.stream);
    for (int round = 0; round < 50; round++) {
        (void)!control(test, id, round % 2 == 0 ? TROVE_CONTROL_PAUSE : TROVE_CONTROL_RESUME, NULL, &error);
        (void)!trove_stream_control(mover.stream, round % 3 == 0 ? TROVE_CONTROL_PAUSE : TROVE_CONTROL_RESUME, 0, 0, NULL,
                                    &error);
    }
    trove_stream_state got = TROVE_STREAM_FAILED;
    if (control(test, id, TROVE_CONTROL_RESUME, &got, &error) == TROVE_OK)
        assert_true(got == TROVE_STREAM_ACTIVE || got == TROVE_STREAM_COMPLETING);
    assert_int_equal(pthread_join(mover.thread, NULL), 0);
    CHECK_OK(mover.status, &mover.error);
    trove_stream_release(mover.stream);
    check_object(test, "crossed", test->bytes, 8 * MIB);
}

int main(int argc, char **argv) {
    client_test_arguments(argc, argv);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_paused_under_way),
        cmocka_unit_test(test_cancelled_under_way),
        cmocka_unit_test(test_cancelled_upload_stays),
        cmocka_unit_test(test_controls_cross),
    };
    return cmocka_run_group_tests_name(client_test_store(), tests, begin, client_test_end);
}
