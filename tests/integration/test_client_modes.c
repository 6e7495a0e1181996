/* test_client_modes.c - the four kinds of backpressure side by side, each with a producer twice as fast as its consumer, in both
 * directions, through libtrove and a real troved. (More of "drop": test_client_lossy.c; of "buffer": test_client_buffer.c.)
 *
 * Upload: in each turn the consumer stands still (the stream is paused) while twice as much is produced as the window holds; then
 * it takes at least what the window holds. Download: the consumer reads a chunk when it likes; the store is always faster.
 */
#include "client_test.h"

#include <stdlib.h>
#include <string.h>

#define CHUNK  (64 * KIB)
#define WINDOW 4
#define TURNS  6
#define SIZE   (TURNS * 2 * WINDOW * CHUNK)

static void mode_options(trove_stream_options *options, trove_backpressure mode) {
    trove_stream_options_init(options);
    options->chunk_bytes = CHUNK;
    options->channel_chunks = WINDOW;
    options->backpressure = mode;
    options->lossy = mode == TROVE_BACKPRESSURE_DROP;
    options->overflow_memory_bytes = CHUNK;
}

/* The stream has no more memory than its window and three chunks beside it. */
static trove_stream_metrics check_window(const trove_stream *stream) {
    trove_stream_metrics metrics = check_account(stream);
    assert_true(metrics.buffers_high_water <= WINDOW + 3);
    return metrics;
}

static void wait_settled(trove_stream *stream, uint64_t waiting_chunks) {
    trove_stream_metrics m;
    WAIT_FOR((m = check_window(stream), m.chunks_queued + m.chunks_in_flight <= waiting_chunks));
}

/* ---- uploads ---- */

/* One chunk of a turn; the drop that it caused. */
static trove_drop produce(const struct client_test *test, trove_stream *stream, unsigned index) {
    trove_chunk *chunk = NULL;
    trove_drop dropped;
    trove_error error;
    CHECK_OK(trove_stream_chunk_get(stream, PATIENCE_MS, &chunk, &error), &error);
    memcpy(chunk->data, test->bytes + index * CHUNK, CHUNK);
    chunk->size = CHUNK;
    CHECK_OK(trove_stream_write_lossy(stream, &chunk, PATIENCE_MS, &dropped, &error), &error);
    return dropped;
}

static void complete(trove_stream *stream, trove_object_info **info) {
    trove_error error;
    CHECK_OK(trove_stream_complete(stream, PATIENCE_MS, info, &error), &error);
    trove_stream_metrics metrics = check_window(stream);
    assert_int_equal(metrics.bytes_accepted, metrics.bytes_acknowledged + metrics.bytes_dropped);
    trove_stream_release(stream);
}

/* Whoever blocks has its chunk back at the deadline; nothing is lost. */
static void upload_blocks(const struct client_test *test, trove_backpressure mode, const char *key) {
    trove_stream_options options;
    trove_error error;
    mode_options(&options, mode);
    trove_stream *stream = open_stream(test, key, TROVE_DIRECTION_UPLOAD, &options);
    for (unsigned turn = 0; turn < TURNS; turn++) {
        control_stream(stream, TROVE_CONTROL_PAUSE, 0, TROVE_STREAM_PAUSED);
        CHECK_FAILS(write_bytes(stream, test->bytes, CHUNK, 1, &error), DEADLINE_EXCEEDED, key, &error);
        control_stream(stream, TROVE_CONTROL_RESUME, 0, TROVE_STREAM_ACTIVE);
        for (unsigned i = 0; i < 2 * WINDOW; i++)
            assert_int_equal(produce(test, stream, 2 * WINDOW * turn + i).count, 0);
    }
    complete(stream, NULL);
    check_object(test, key, test->bytes, SIZE);
}

static void test_upload_block(void **state) {
    upload_blocks(*state, TROVE_BACKPRESSURE_BLOCK, "up-block");
}

static void test_upload_adaptive_blocks(void **state) {
    upload_blocks(*state, TROVE_BACKPRESSURE_ADAPTIVE, "up-adaptive");
}

static void test_upload_drop(void **state) {
    const struct client_test *test = *state;
    trove_stream_options options;
    trove_error error;
    mode_options(&options, TROVE_BACKPRESSURE_DROP);
    trove_stream *stream = open_stream(test, "up-drop", TROVE_DIRECTION_UPLOAD, &options);
    for (unsigned turn = 0; turn < TURNS; turn++) {
        control_stream(stream, TROVE_CONTROL_PAUSE, 0, TROVE_STREAM_PAUSED);
        for (unsigned i = 0; i < 2 * WINDOW; i++) { /* none waits; the first half has to go */
            trove_drop dropped = produce(test, stream, 2 * WINDOW * turn + i);
            assert_int_equal(dropped.count, i < WINDOW ? 0 : 1);
            if (dropped.count > 0)
                assert_int_equal(dropped.offset, (2 * WINDOW * turn + i - WINDOW) * CHUNK);
        }
        control_stream(stream, TROVE_CONTROL_RESUME, 0, TROVE_STREAM_ACTIVE);
        wait_settled(stream, 0);
        assert_int_equal(check_window(stream).bytes_dropped, (turn + 1) * WINDOW * CHUNK);
    }
    trove_object_info *info = NULL;
    complete(stream, &info);
    assert_int_equal(info->gap_count, TURNS);
    assert_int_equal(info->gap_bytes, SIZE / 2);
    uint8_t *got = malloc(SIZE);
    size_t bytes = 0;
    assert_non_null(got);
    trove_stream_options_init(&options);
    options.allow_gaps = true;
    CHECK_OK(trove_get_memory(test->client, BUCKET, "up-drop", got, SIZE, &options, &bytes, NULL, &error), &error);
    assert_int_equal(bytes, SIZE);
    uint8_t *expected = malloc(SIZE);
    assert_non_null(expected);
    memcpy(expected, test->bytes, SIZE);
    for (unsigned turn = 0; turn < TURNS; turn++) {
        assert_int_equal(info->gaps[turn].offset, turn * 2 * WINDOW * CHUNK);
        assert_int_equal(info->gaps[turn].length, WINDOW * CHUNK);
        memset(expected + turn * 2 * WINDOW * CHUNK, 0, WINDOW * CHUNK);
    }
    assert_memory_equal(got, expected, SIZE);
    free(expected);
    free(got);
    trove_object_info_free(info);
}

static void test_upload_buffer(void **state) {
    const struct client_test *test = *state;
    trove_stream_options options;
    mode_options(&options, TROVE_BACKPRESSURE_BUFFER);
    trove_stream *stream = open_stream(test, "up-buffer", TROVE_DIRECTION_UPLOAD, &options);
    for (unsigned turn = 0; turn < TURNS; turn++) {
        control_stream(stream, TROVE_CONTROL_PAUSE, 0, TROVE_STREAM_PAUSED);
        for (unsigned i = 0; i < 2 * WINDOW; i++) /* none waits, and all are kept */
            assert_int_equal(produce(test, stream, 2 * WINDOW * turn + i).count, 0);
        trove_stream_metrics metrics = check_window(stream);
        assert_int_equal(metrics.bytes_accepted, (turn + 1) * 2 * WINDOW * CHUNK);
        assert_true(metrics.bytes_waiting >= 2 * WINDOW * CHUNK);
        control_stream(stream, TROVE_CONTROL_RESUME, 0, TROVE_STREAM_ACTIVE);
        wait_settled(stream, metrics.chunks_queued + metrics.chunks_in_flight - WINDOW);
    }
    assert_true(check_window(stream).chunks_spilled >= TURNS * WINDOW);
    complete(stream, NULL);
    check_object(test, "up-buffer", test->bytes, SIZE);
}

/* ---- downloads ---- */

/* Reads chunk by chunk. Returns what was lost; everything else is right, and in order. */
static uint64_t download(const struct client_test *test, trove_backpressure mode, uint64_t size) {
    trove_stream_options options;
    trove_error error;
    mode_options(&options, mode);
    trove_stream *stream = open_stream(test, "down", TROVE_DIRECTION_DOWNLOAD, &options);
    uint64_t at = 0;
    uint64_t lost = 0;
    for (unsigned count = 0;; count++) {
        trove_chunk *chunk = NULL;
        if (count == 2 && mode == TROVE_BACKPRESSURE_DROP)
            WAIT_FOR(check_window(stream).bytes_dropped > 0); /* it reads no faster than what is lost comes */
        CHECK_OK(trove_stream_read(stream, PATIENCE_MS, &chunk, &error), &error);
        if (chunk == NULL)
            break;
        assert_true(chunk->offset >= at && chunk->size <= CHUNK);
        if (mode != TROVE_BACKPRESSURE_ADAPTIVE) /* there the server chooses */
            assert_true(chunk->size == CHUNK || chunk->offset + chunk->size == size);
        lost += chunk->offset - at;
        at = chunk->offset + chunk->size;
        assert_memory_equal(chunk->data, test->bytes + chunk->offset, chunk->size);
        trove_stream_chunk_put(stream, chunk);
        check_window(stream);
    }
    assert_int_equal(at, size);
    CHECK_OK(trove_stream_complete(stream, PATIENCE_MS, NULL, &error), &error);
    trove_stream_metrics metrics = check_window(stream);
    assert_int_equal(metrics.bytes_dropped, lost);
    assert_int_equal(metrics.bytes_accepted, size);
    trove_stream_release(stream);
    return lost;
}

static void test_downloads(void **state) {
    const struct client_test *test = *state;
    const size_t size = 8 * MIB + 77;
    trove_error error;
    CHECK_OK(trove_put_memory(test->client, BUCKET, "down", test->bytes, size, NULL, NULL, &error), &error);
    assert_int_equal(download(test, TROVE_BACKPRESSURE_BLOCK, size), 0);
    assert_true(download(test, TROVE_BACKPRESSURE_DROP, size) > 0);
    assert_int_equal(download(test, TROVE_BACKPRESSURE_BUFFER, size), 0);
    assert_int_equal(download(test, TROVE_BACKPRESSURE_ADAPTIVE, size), 0);
}

/* A reader that stands still for long loses nothing with "buffer": the object is where it waits. */
static void test_download_buffer_waits_in_the_store(void **state) {
    const struct client_test *test = *state;
    trove_stream_options options;
    trove_error error;
    mode_options(&options, TROVE_BACKPRESSURE_BUFFER);
    CHECK_OK(trove_put_memory(test->client, BUCKET, "still", test->bytes, BYTES_MAX, NULL, NULL, &error), &error);
    trove_stream *stream = open_stream(test, "still", TROVE_DIRECTION_DOWNLOAD, &options);
    WAIT_FOR(check_window(stream).bytes_received >= WINDOW * CHUNK);
    for (uint64_t at = 0; at < BYTES_MAX;) {
        trove_chunk *chunk = NULL;
        assert_true(check_window(stream).bytes_received <= at + WINDOW * CHUNK);
        CHECK_OK(trove_stream_read(stream, PATIENCE_MS, &chunk, &error), &error);
        assert_int_equal(chunk->offset, at);
        assert_memory_equal(chunk->data, test->bytes + at, chunk->size);
        at += chunk->size;
        trove_stream_chunk_put(stream, chunk);
    }
    CHECK_OK(trove_stream_complete(stream, PATIENCE_MS, NULL, &error), &error);
    trove_stream_release(stream);
}

/* ---- by way of a pool ---- */

/* A window full and one chunk more, while nothing is taken. */
static void check_full_window(const struct client_test *test, trove_stream *stream, trove_backpressure mode) {
    trove_error error;
    control_stream(stream, TROVE_CONTROL_PAUSE, 0, TROVE_STREAM_PAUSED);
    if (mode == TROVE_BACKPRESSURE_BLOCK || mode == TROVE_BACKPRESSURE_ADAPTIVE) {
        CHECK_FAILS(write_bytes(stream, test->bytes, CHUNK, 1, &error), DEADLINE_EXCEEDED, "resumed", &error);
    } else {
        for (unsigned i = 0; i < WINDOW; i++)
            assert_int_equal(produce(test, stream, i).count, 0);
        assert_int_equal(produce(test, stream, WINDOW).count, mode == TROVE_BACKPRESSURE_DROP ? 1 : 0);
    }
    trove_stream_metrics metrics = check_account(stream);
    assert_int_equal(metrics.chunks_dropped, mode == TROVE_BACKPRESSURE_DROP);
    assert_int_equal(metrics.chunks_spilled, mode == TROVE_BACKPRESSURE_BUFFER);
    bool smaller = trove_stream_chunk_bytes_next(stream) < trove_stream_chunk_bytes(stream);
    assert_int_equal(smaller, mode == TROVE_BACKPRESSURE_ADAPTIVE);
}

/* Streams whose options don't say go by their pool's backpressure. */
static void test_mode_of_the_pool(void **state) {
    const struct client_test *test = *state;
    put_object(test, "pooled", 8 * MIB);
    for (trove_backpressure mode = TROVE_BACKPRESSURE_BLOCK; mode <= TROVE_BACKPRESSURE_ADAPTIVE; mode++) {
        trove_pool_options options;
        trove_error error;
        trove_pool_options_init(&options);
        options.backpressure = mode;
        options.channel_chunks = WINDOW;
        options.chunk_bytes = mode == TROVE_BACKPRESSURE_ADAPTIVE ? MIB : CHUNK;
        trove_pool *pool = make_pool(test, "modes", &options);
        trove_stream *up = acquire_stream(pool, "pooled-up", TROVE_DIRECTION_UPLOAD);
        check_full_window(test, up, mode);
        trove_pool_release(pool, up);
        trove_stream *down = acquire_stream(pool, "pooled", TROVE_DIRECTION_DOWNLOAD);
        if (mode == TROVE_BACKPRESSURE_DROP)
            WAIT_FOR(check_account(down).bytes_dropped > 0);
        CHECK_OK(read_away(down, test->bytes, &error), &error);
        trove_stream_metrics metrics = check_account(down);
        assert_int_equal(metrics.bytes_received + metrics.bytes_dropped, 8 * MIB);
        assert_true(mode == TROVE_BACKPRESSURE_DROP || metrics.bytes_dropped == 0);
        trove_pool_release(pool, down);
        assert_int_equal(trove_pool_close(pool, 0), 0);
    }
}

/* ---- adaptive: the size moves ---- */

#define MOVES      2
#define BYTES_HELD (128 * MIB) /* a store in memory has room for no more: then the upload begins anew */

/* The object's byte at `at` and as many behind it as there are in one piece. */
static const uint8_t *bytes_at(const struct client_test *test, uint64_t at, size_t *there) {
    size_t inside = (size_t)(at % BYTES_MAX);
    *there = BYTES_MAX - inside;
    return test->bytes + inside;
}

static void fill(const struct client_test *test, uint64_t at, uint8_t *to, size_t bytes) {
    while (bytes > 0) {
        size_t there;
        const uint8_t *from = bytes_at(test, at, &there);
        size_t step = bytes < there ? bytes : there;
        memcpy(to, from, step);
        at += step;
        to += step;
        bytes -= step;
    }
}

static void compare(const struct client_test *test, uint64_t at, const uint8_t *with, size_t bytes) {
    while (bytes > 0) {
        size_t there;
        const uint8_t *from = bytes_at(test, at, &there);
        size_t step = bytes < there ? bytes : there;
        assert_true(memcmp(with, from, step) == 0);
        at += step;
        with += step;
        bytes -= step;
    }
}

/* Reads all of it, in chunks whose sizes are counted. Returns how often they changed. */
static unsigned read_back(const struct client_test *test, trove_backpressure mode, uint64_t size) {
    trove_stream_options options;
    trove_error error;
    trove_stream_options_init(&options);
    options.backpressure = mode;
    trove_stream *stream = open_stream(test, "adaptive", TROVE_DIRECTION_DOWNLOAD, &options);
    uint64_t most = trove_stream_chunk_bytes(stream);
    assert_int_equal(trove_stream_chunk_bytes_next(stream), most);
    unsigned moves = 0;
    size_t before = 0;
    for (uint64_t at = 0;;) {
        trove_chunk *chunk = NULL;
        CHECK_OK(trove_stream_read(stream, PATIENCE_MS, &chunk, &error), &error);
        if (chunk == NULL) {
            assert_int_equal(at, size);
            break;
        }
        assert_int_equal(chunk->offset, at);
        assert_true(chunk->size <= most);
        moves += at > 0 && chunk->size != before && at + chunk->size < size;
        before = chunk->size;
        compare(test, at, chunk->data, chunk->size);
        at += chunk->size;
        trove_stream_chunk_put(stream, chunk);
    }
    CHECK_OK(trove_stream_complete(stream, PATIENCE_MS, NULL, &error), &error);
    trove_stream_release(stream);
    return moves;
}

static void test_adaptive_sizes_move(void **state) {
    const struct client_test *test = *state;
    trove_stream_options options;
    trove_error error;
    trove_stream_options_init(&options);
    options.backpressure = TROVE_BACKPRESSURE_ADAPTIVE;
    trove_stream *stream = open_stream(test, "adaptive", TROVE_DIRECTION_UPLOAD, &options);
    assert_int_equal(trove_stream_chunk_bytes(stream), 4 * MIB);
    assert_int_equal(trove_stream_chunk_bytes_next(stream), 256 * KIB);
    uint64_t size = 0;
    uint64_t written = 0;
    uint64_t before = 256 * KIB;
    unsigned moves = 0;
    const uint64_t until_ms = now_ms() + PATIENCE_MS; /* it moves long before, unless the machine is very busy */
    while (moves < MOVES && now_ms() < until_ms) {
        trove_chunk *chunk = NULL;
        if (size > BYTES_HELD) {
            CHECK_OK(trove_stream_control(stream, TROVE_CONTROL_SEEK, 0, PATIENCE_MS, NULL, &error), &error);
            size = 0;
        }
        CHECK_OK(trove_stream_chunk_get(stream, PATIENCE_MS, &chunk, &error), &error);
        assert_true(chunk->capacity >= 64 * KIB && chunk->capacity <= 4 * MIB);
        moves += chunk->capacity != before;
        before = chunk->capacity;
        chunk->size = chunk->capacity;
        fill(test, size, chunk->data, chunk->size);
        size += chunk->size;
        written += chunk->size;
        CHECK_OK(trove_stream_write(stream, &chunk, PATIENCE_MS, &error), &error);
    }
    CHECK_OK(trove_stream_complete(stream, PATIENCE_MS, NULL, &error), &error);
    trove_stream_metrics metrics;
    trove_stream_metrics_get(stream, &metrics);
    assert_int_equal(metrics.bytes_acknowledged + metrics.bytes_abandoned, written);
    assert_true(metrics.buffers_high_water <= 8 + 2);
    trove_stream_release(stream);
    assert_true(moves >= MOVES);
    assert_int_equal(read_back(test, TROVE_BACKPRESSURE_BLOCK, size), 0);
    (void)read_back(test, TROVE_BACKPRESSURE_ADAPTIVE, size);
}

/* Bounds are the agreed size and 64 KiB; a stream of smaller chunks has nothing to look for. */
static void test_adaptive_bounds(void **state) {
    const struct client_test *test = *state;
    static const struct {
        uint64_t chunk_bytes;
        uint64_t first;
    } rows[] = {{1000, 1000}, {64 * KIB, 64 * KIB}, {100 * KIB, 100 * KIB}, {256 * KIB, 256 * KIB}, {MIB, 256 * KIB}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        trove_stream_options options;
        trove_error error;
        trove_chunk *chunk = NULL;
        trove_stream_options_init(&options);
        options.backpressure = TROVE_BACKPRESSURE_ADAPTIVE;
        options.chunk_bytes = rows[i].chunk_bytes;
        trove_stream *stream = open_stream(test, "bounds", TROVE_DIRECTION_UPLOAD, &options);
        assert_int_equal(trove_stream_chunk_bytes(stream), rows[i].chunk_bytes);
        assert_int_equal(trove_stream_chunk_bytes_next(stream), rows[i].first);
        CHECK_OK(trove_stream_chunk_get(stream, PATIENCE_MS, &chunk, &error), &error);
        assert_int_equal(chunk->capacity, rows[i].first);
        trove_stream_chunk_put(stream, chunk);
        CHECK_OK(write_bytes(stream, test->bytes, 3 * MIB / 2 + 1, PATIENCE_MS, &error), &error);
        CHECK_OK(trove_stream_complete(stream, PATIENCE_MS, NULL, &error), &error);
        trove_stream_release(stream);
        check_object(test, "bounds", test->bytes, 3 * MIB / 2 + 1);
    }
}

/* What takes the whole object at once follows the size, too. */
static void test_whole_objects(void **state) {
    const struct client_test *test = *state;
    trove_stream_options options;
    trove_stream_metrics metrics;
    trove_error error;
    trove_stream_options_init(&options);
    options.metrics = &metrics;
    options.lossy = true; /* for "drop"; the others don't mind */
    for (trove_backpressure mode = TROVE_BACKPRESSURE_BLOCK; mode <= TROVE_BACKPRESSURE_ADAPTIVE; mode++) {
        size_t bytes = 0;
        uint8_t *got = malloc(BYTES_MAX);
        options.backpressure = mode;
        CHECK_OK(trove_put_memory(test->client, BUCKET, "whole", test->bytes, BYTES_MAX, &options, NULL, &error), &error);
        assert_int_equal(metrics.bytes_acknowledged, BYTES_MAX - metrics.bytes_dropped);
        if (mode == TROVE_BACKPRESSURE_ADAPTIVE)
            assert_true(metrics.chunks_acknowledged > BYTES_MAX / (4 * MIB)); /* which it doesn't begin with */
        CHECK_OK(trove_put_memory(test->client, BUCKET, "whole", test->bytes, BYTES_MAX, NULL, NULL, &error), &error);
        CHECK_OK(trove_get_memory(test->client, BUCKET, "whole", got, BYTES_MAX, &options, &bytes, NULL, &error), &error);
        assert_int_equal(bytes, BYTES_MAX);
        if (metrics.bytes_dropped == 0)
            assert_memory_equal(got, test->bytes, BYTES_MAX);
        free(got);
    }
}

int main(int argc, char **argv) {
    client_test_arguments(argc, argv);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_upload_block),        cmocka_unit_test(test_upload_adaptive_blocks),
        cmocka_unit_test(test_upload_drop),         cmocka_unit_test(test_upload_buffer),
        cmocka_unit_test(test_downloads),           cmocka_unit_test(test_download_buffer_waits_in_the_store),
        cmocka_unit_test(test_adaptive_sizes_move), cmocka_unit_test(test_adaptive_bounds),
        cmocka_unit_test(test_whole_objects),       cmocka_unit_test(test_mode_of_the_pool),
    };
    return cmocka_run_group_tests(tests, client_test_begin, client_test_end);
}
