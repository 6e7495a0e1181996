/* test_client_seek.c - downloads that go on elsewhere while their program still has chunks of before. */
#include "client_test.h"

#define CHUNK (64 * KIB)
#define PINGS 50

static uint64_t retries_of(const struct client_test *test, uint64_t stream_id) {
    trove_server_stream_page *page = NULL;
    trove_error error;
    uint64_t retries = 0;
    CHECK_OK(trove_server_stream_list(test->client, NULL, &page, &error), &error);
    for (size_t i = 0; i < page->count; i++)
        if (page->streams[i].stream_id == stream_id)
            retries = page->streams[i].retries;
    trove_server_stream_page_free(page);
    return retries;
}

static void read_one(trove_stream *stream, const uint8_t *bytes, uint64_t offset, trove_chunk **chunk) {
    trove_error error;
    CHECK_OK(trove_stream_read(stream, 0, chunk, &error), &error);
    assert_non_null(*chunk);
    assert_int_equal((*chunk)->offset, offset);
    assert_int_equal((*chunk)->size, CHUNK);
    assert_memory_equal((*chunk)->data, bytes + offset, CHUNK);
}

/* There is room for two chunks, and the program has one of them: the object's last one comes when its end has been told already, finds no
 * room, and has to come again, but not again and again. */
static void check_chunk_in_hand(const struct client_test *test, uint64_t bytes_per_second) {
    trove_stream_options options;
    trove_client_metrics before;
    trove_client_metrics after;
    trove_chunk *kept = NULL;
    trove_chunk *chunk = NULL;
    trove_error error;
    CHECK_OK(trove_put_memory(test->client, BUCKET, "three", test->bytes, 3 * CHUNK, NULL, NULL, &error), &error);
    trove_stream_options_init(&options);
    options.chunk_bytes = CHUNK;
    options.channel_chunks = 2;
    options.bytes_per_second = bytes_per_second;
    trove_stream *stream = open_stream(test, "three", TROVE_DIRECTION_DOWNLOAD, &options);
    read_one(stream, test->bytes, 0, &kept);
    CHECK_OK(trove_stream_control(stream, TROVE_CONTROL_SEEK, CHUNK, 0, NULL, &error), &error);
    uint64_t late_ms = now_ms() + 20000;
    while (retries_of(test, trove_stream_id(stream)) == 0 && now_ms() < late_ms)
        pause_ms(1);
    trove_client_metrics_get(test->client, &before);
    for (unsigned i = 0; i < PINGS; i++)
        CHECK_OK(trove_ping(test->client, 0, NULL, &error), &error);
    trove_client_metrics_get(test->client, &after);
    assert_true(after.frames_received - before.frames_received < 2 * PINGS);
    read_one(stream, test->bytes, CHUNK, &chunk);
    trove_stream_chunk_put(stream, chunk);
    read_one(stream, test->bytes, 2 * CHUNK, &chunk);
    trove_stream_chunk_put(stream, chunk);
    CHECK_OK(trove_stream_read(stream, 0, &chunk, &error), &error);
    assert_null(chunk);
    trove_stream_chunk_put(stream, kept);
    CHECK_OK(trove_stream_complete(stream, 0, NULL, &error), &error);
    trove_stream_release(stream);
}

static void test_chunk_in_hand(void **state) {
    check_chunk_in_hand(*state, 0);
}

/* The limit lets credit through only while something moves, and something still does when the end has been told. */
static void test_chunk_in_hand_under_a_limit(void **state) {
    check_chunk_in_hand(*state, 64 * MIB);
}

int main(int argc, char **argv) {
    client_test_arguments(argc, argv);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_chunk_in_hand),
        cmocka_unit_test(test_chunk_in_hand_under_a_limit),
    };
    return cmocka_run_group_tests(tests, client_test_begin, client_test_end);
}
