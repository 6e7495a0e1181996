/* test_client_moved.c - streams that somebody has go on elsewhere, from outside: programs that are told of it, that don't look,
 * that can't; whole objects that go back in their source by themselves. Whatever happens, no byte is stored but where it belongs.
 */
#include "client_test.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define CHUNK (64 * KIB)
#define SIZE  (4 * MIB)

static trove_status move(const struct client_test *test, const trove_stream *stream, uint64_t offset, trove_error *error) {
    trove_stream_state got;
    trove_status status = trove_server_stream_seek(test->client, trove_stream_id(stream), offset, 0, &got, error);
    if (status == TROVE_OK)
        assert_int_equal(got, trove_stream_state_get(stream));
    return status;
}

struct told {
    atomic_uint moves;
    atomic_ullong offset;
};

static void on_seek(void *context, uint64_t offset) {
    struct told *told = context;
    atomic_store(&told->offset, offset);
    atomic_fetch_add(&told->moves, 1);
}

static void init(trove_stream_options *options, struct told *told) {
    *told = (struct told){0};
    trove_stream_options_init(options);
    options->chunk_bytes = CHUNK;
    options->channel_chunks = 4;
    options->hooks = (trove_stream_hooks){.context = told, .on_seek = on_seek};
}

/* ---- uploads ---- */

/* The next chunk of the test's bytes, which says where it belongs. */
static trove_status write_at(const struct client_test *test, trove_stream *stream, uint64_t at, size_t size, trove_error *error) {
    trove_chunk *chunk = NULL;
    trove_status status = trove_stream_chunk_get(stream, PATIENCE_MS, &chunk, error);
    if (status != TROVE_OK)
        return status;
    chunk->offset = at;
    chunk->size = size;
    memcpy(chunk->data, test->bytes + at, size);
    status = trove_stream_write(stream, &chunk, PATIENCE_MS, error);
    trove_stream_chunk_put(stream, chunk);
    return status;
}

static void write_from(const struct client_test *test, trove_stream *stream, uint64_t from, uint64_t to) {
    trove_error error;
    for (; from < to; from += CHUNK)
        CHECK_OK(write_at(test, stream, from, to - from < CHUNK ? to - from : CHUNK, &error), &error);
}

/* What the server has received is where it can be moved to. */
static void await_received(const struct client_test *test, const char *key, uint64_t offset) {
    WAIT_FOR(server_stream_of(test, key).offset == offset && server_stream_of(test, key).waiting_bytes == 0);
}

static void test_an_upload_goes_back(void **state) {
    const struct client_test *test = *state;
    struct told told;
    trove_stream_options options;
    trove_error error;
    init(&options, &told);
    trove_stream *stream = open_stream(test, "back", TROVE_DIRECTION_UPLOAD, &options);
    write_from(test, stream, 0, 8 * CHUNK);
    await_received(test, "back", 8 * CHUNK);
    static const uint64_t places[] = {5 * CHUNK, 2 * CHUNK + 77, 2 * CHUNK + 77, 0, 0};
    for (unsigned i = 0; i < sizeof places / sizeof places[0]; i++) {
        bool paused = i == 1;
        if (paused)
            control_stream(stream, TROVE_CONTROL_PAUSE, 0, TROVE_STREAM_PAUSED);
        CHECK_OK(move(test, stream, places[i], &error), &error);
        WAIT_FOR(atomic_load(&told.moves) == i + 1);
        assert_int_equal(atomic_load(&told.offset), places[i]);
        assert_int_equal(trove_stream_offset(stream), places[i]);
        assert_int_equal(server_stream_of(test, "back").offset, places[i]);
        check_account(stream);
        if (paused)
            control_stream(stream, TROVE_CONTROL_RESUME, 0, TROVE_STREAM_ACTIVE);
        CHECK_FAILS(write_at(test, stream, 8 * CHUNK, CHUNK, &error), OUT_OF_RANGE, "moved from outside", &error);
        CHECK_FAILS(trove_stream_complete(stream, 0, NULL, &error), OUT_OF_RANGE, "moved from outside", &error);
        write_from(test, stream, places[i], places[i] + CHUNK);
        CHECK_FAILS(move(test, stream, 9 * CHUNK, &error), FAILED_PRECONDITION, "can't go on at", &error);
        write_from(test, stream, places[i] + CHUNK, 8 * CHUNK);
        await_received(test, "back", 8 * CHUNK);
    }
    CHECK_OK(trove_stream_complete(stream, 0, NULL, &error), &error);
    check_account(stream);
    CHECK_FAILS(move(test, stream, 0, &error), NOT_FOUND, "doesn't exist", &error);
    trove_stream_release(stream);
    check_object(test, "back", test->bytes, 8 * CHUNK);
}

/* A program that writes as ever, and doesn't look at what it is told. */
static void test_who_does_not_look(void **state) {
    const struct client_test *test = *state;
    struct told told;
    trove_stream_options options;
    trove_object_info *info = NULL;
    trove_chunk *chunk = NULL;
    trove_error error;
    init(&options, &told);
    trove_stream *stream = open_stream(test, "unseen", TROVE_DIRECTION_UPLOAD, &options);
    write_from(test, stream, 0, 4 * CHUNK);
    await_received(test, "unseen", 4 * CHUNK);
    CHECK_OK(move(test, stream, CHUNK, &error), &error);
    WAIT_FOR(trove_stream_offset(stream) == CHUNK);
    CHECK_FAILS(write_at(test, stream, 4 * CHUNK, CHUNK, &error), OUT_OF_RANGE, "byte 65536", &error);
    CHECK_FAILS(write_at(test, stream, 5 * CHUNK, CHUNK, &error), OUT_OF_RANGE, "byte 65536", &error);
    CHECK_OK(trove_stream_chunk_get(stream, 0, &chunk, &error), &error);
    chunk->size = 1;
    CHECK_FAILS(trove_stream_write(stream, &chunk, 0, &error), INVALID_ARGUMENT, "without an offset", &error);
    trove_stream_chunk_put(stream, chunk);
    CHECK_FAILS(trove_stream_complete(stream, 0, NULL, &error), OUT_OF_RANGE, "byte 65536", &error);
    trove_stream_release(stream);
    WAIT_FOR(server_is_idle(test));
    CHECK_FAILS(trove_object_head(test->client, BUCKET, "unseen", 0, &info, &error), NOT_FOUND, "unseen", &error);
}

/* ---- while bytes move ---- */

struct writer {
    const struct client_test *test;
    trove_stream *stream;
    pthread_t thread;
    atomic_bool may_end;
    trove_status status;
    trove_error error;
};

/* The last chunk isn't written before it may be. */
static bool holds(struct writer *writer, uint64_t at) {
    if (at + CHUNK < SIZE || atomic_load(&writer->may_end))
        return false;
    pause_ms(1);
    return true;
}

static void *write_all(void *context) {
    struct writer *writer = context;
    uint64_t at = 0;
    for (;;) {
        while (at < SIZE && (writer->status == TROVE_OK || writer->status == TROVE_OUT_OF_RANGE)) {
            if (holds(writer, at) && trove_stream_offset(writer->stream) == at)
                continue;
            size_t size = SIZE - at < CHUNK ? SIZE - at : CHUNK;
            writer->status = write_at(writer->test, writer->stream, at, size, &writer->error);
            at = writer->status == TROVE_OUT_OF_RANGE ? trove_stream_offset(writer->stream) : at + size;
        }
        if (writer->status != TROVE_OK)
            return NULL;
        writer->status = trove_stream_complete(writer->stream, PATIENCE_MS, NULL, &writer->error);
        if (writer->status != TROVE_OUT_OF_RANGE)
            return NULL;
        at = trove_stream_offset(writer->stream);
    }
}

/* Moves it there, unless the move before isn't answered yet, or the server hasn't as much. Whether it was. */
static bool moves_to(const struct client_test *test, const trove_stream *stream, uint64_t offset) {
    trove_error error;
    trove_status status = trove_server_stream_seek(test->client, trove_stream_id(stream), offset, 0, NULL, &error);
    if (status != TROVE_OK && status != TROVE_RESOURCE_EXHAUSTED && status != TROVE_FAILED_PRECONDITION)
        CHECK_OK(status, &error);
    return status == TROVE_OK;
}

static void move_while_it_writes(const struct client_test *test, const char *key, const trove_stream_options *options) {
    struct writer writer = {.test = test};
    writer.stream = open_stream(test, key, TROVE_DIRECTION_UPLOAD, options);
    assert_int_equal(pthread_create(&writer.thread, NULL, write_all, &writer), 0);
    unsigned moved = 0;
    for (uint64_t i = 0; moved < 20; i++) {
        uint64_t received = server_stream_of(test, key).offset;
        moved += received > 0 && moves_to(test, writer.stream, received * (i % 5) / 5 + i % 3);
        check_account(writer.stream);
    }
    atomic_store(&writer.may_end, true);
    assert_int_equal(pthread_join(writer.thread, NULL), 0);
    CHECK_OK(writer.status, &writer.error);
    check_account(writer.stream);
    trove_stream_release(writer.stream);
    check_object(test, key, test->bytes, SIZE);
}

static void test_moved_while_it_writes(void **state) {
    const struct client_test *test = *state;
    struct told told;
    trove_stream_options options;
    init(&options, &told);
    move_while_it_writes(test, "writes", &options);
    assert_true(atomic_load(&told.moves) > 0);
    init(&options, &told);
    options.backpressure = TROVE_BACKPRESSURE_BUFFER;
    options.overflow_memory_bytes = MIB;
    move_while_it_writes(test, "buffers", &options);
}

static void test_moved_while_it_is_resumable(void **state) {
    const struct client_test *test = *state;
    struct told told;
    trove_stream_options options;
    trove_error error;
    init(&options, &told);
    options.resumable = true;
    trove_stream *stream = open_stream(test, "resumable", TROVE_DIRECTION_UPLOAD, &options);
    write_from(test, stream, 0, 16 * CHUNK);
    await_received(test, "resumable", 16 * CHUNK);
    WAIT_FOR(trove_stream_durable_offset(stream) > 0); /* a second later */
    uint64_t durable = trove_stream_durable_offset(stream);
    CHECK_FAILS(move(test, stream, durable - 1, &error), FAILED_PRECONDITION, "durable", &error);
    CHECK_OK(move(test, stream, durable, &error), &error);
    WAIT_FOR(atomic_load(&told.moves) == 1);
    write_from(test, stream, durable, 20 * CHUNK);
    CHECK_OK(trove_stream_complete(stream, PATIENCE_MS, NULL, &error), &error);
    trove_stream_release(stream);
    check_object(test, "resumable", test->bytes, 20 * CHUNK);
}

/* ---- downloads ---- */

static void read_to(const struct client_test *test, trove_stream *stream, uint64_t from, uint64_t to) {
    trove_error error;
    while (from < to) {
        trove_chunk *chunk = NULL;
        CHECK_OK(trove_stream_read(stream, PATIENCE_MS, &chunk, &error), &error);
        assert_non_null(chunk);
        assert_int_equal(chunk->offset, from);
        assert_memory_equal(chunk->data, test->bytes + from, chunk->size);
        from += chunk->size;
        trove_stream_chunk_put(stream, chunk);
    }
}

static void test_a_download_goes_elsewhere(void **state) {
    const struct client_test *test = *state;
    struct told told;
    trove_stream_options options;
    trove_chunk *kept = NULL;
    trove_error error;
    put_object(test, "down", SIZE);
    init(&options, &told);
    options.range_offset = 10;
    options.range_length = SIZE - 20;
    trove_stream *stream = open_stream(test, "down", TROVE_DIRECTION_DOWNLOAD, &options);
    read_to(test, stream, 10, 5 * CHUNK);
    CHECK_OK(trove_stream_read(stream, PATIENCE_MS, &kept, &error), &error);
    static const uint64_t places[] = {SIZE / 2, 10, 10, SIZE / 3, SIZE - 12 * CHUNK};
    for (unsigned i = 0; i < sizeof places / sizeof places[0]; i++) {
        bool paused = i == 3;
        if (paused)
            control_stream(stream, TROVE_CONTROL_PAUSE, 0, TROVE_STREAM_PAUSED);
        CHECK_OK(move(test, stream, places[i], &error), &error);
        WAIT_FOR(atomic_load(&told.moves) == i + 1);
        assert_int_equal(atomic_load(&told.offset), places[i]);
        assert_int_equal(trove_stream_offset(stream), places[i]);
        check_account(stream);
        if (paused)
            control_stream(stream, TROVE_CONTROL_RESUME, 0, TROVE_STREAM_ACTIVE);
        read_to(test, stream, places[i], places[i] + 2 * CHUNK);
    }
    CHECK_FAILS(move(test, stream, 9, &error), OUT_OF_RANGE, "can't go on at 9", &error);
    CHECK_FAILS(move(test, stream, SIZE - 9, &error), OUT_OF_RANGE, "can't go on at", &error);
    trove_stream_chunk_put(stream, kept);
    read_to(test, stream, trove_stream_offset(stream), SIZE - 10);
    CHECK_OK(trove_stream_read(stream, PATIENCE_MS, &kept, &error), &error);
    assert_null(kept);
    CHECK_OK(trove_stream_complete(stream, PATIENCE_MS, NULL, &error), &error);
    check_account(stream);
    trove_stream_release(stream);
}

struct reader {
    const struct client_test *test;
    trove_stream *stream;
    pthread_t thread;
    atomic_bool may_end;
    bool differs;
    trove_status status;
    trove_error error;
};

static void *read_all(void *context) {
    struct reader *reader = context;
    for (unsigned seeks = 0;;) {
        trove_chunk *chunk = NULL;
        reader->status = trove_stream_read(reader->stream, PATIENCE_MS, &chunk, &reader->error);
        if (reader->status != TROVE_OK || chunk == NULL)
            break;
        reader->differs |= memcmp(reader->test->bytes + chunk->offset, chunk->data, chunk->size) != 0;
        bool near_end = chunk->offset + 8 * CHUNK > SIZE;
        uint64_t back = chunk->offset / 2;
        trove_stream_chunk_put(reader->stream, chunk);
        /* Seeks of its own cross those from outside: one of the two is refused, or both happen. */
        if (!atomic_load(&reader->may_end) && (near_end || ++seeks % 9 == 0))
            (void)!trove_stream_control(reader->stream, TROVE_CONTROL_SEEK, back, PATIENCE_MS, NULL, &reader->error);
    }
    if (reader->status == TROVE_OK)
        reader->status = trove_stream_complete(reader->stream, PATIENCE_MS, NULL, &reader->error);
    return NULL;
}

/* Both ends move it at once; credit and order are right to the end, or it wouldn't get there. */
static void test_moved_while_it_reads(void **state) {
    const struct client_test *test = *state;
    struct told told;
    trove_stream_options options;
    struct reader reader = {.test = test};
    put_object(test, "reads", SIZE);
    init(&options, &told);
    reader.stream = open_stream(test, "reads", TROVE_DIRECTION_DOWNLOAD, &options);
    assert_int_equal(pthread_create(&reader.thread, NULL, read_all, &reader), 0);
    unsigned moved = 0;
    for (uint64_t i = 0; moved < 40; i++)
        moved += moves_to(test, reader.stream, SIZE * (i % 11) / 16 + i % 5);
    atomic_store(&reader.may_end, true);
    assert_int_equal(pthread_join(reader.thread, NULL), 0);
    CHECK_OK(reader.status, &reader.error);
    assert_false(reader.differs);
    check_account(reader.stream);
    trove_stream_release(reader.stream);
}

/* ---- who can't ---- */

static void expect_refusal(const struct client_test *test, const char *key, trove_direction direction,
                           const trove_stream_options *options, const char *text) {
    trove_error error;
    trove_stream *stream = open_stream(test, key, direction, options);
    WAIT_FOR(server_stream_of(test, key).stream_id != 0);
    CHECK_FAILS(move(test, stream, 0, &error), FAILED_PRECONDITION, text, &error);
    trove_stream_release(stream);
    WAIT_FOR(server_is_idle(test));
}

static void test_who_can_not_be_moved(void **state) {
    const struct client_test *test = *state;
    struct told told;
    trove_stream_options options;
    trove_stream *stream = NULL;
    trove_error error;
    put_object(test, "large", BYTES_MAX);
    init(&options, &told);
    options.hooks = (trove_stream_hooks){0};
    expect_refusal(test, "up", TROVE_DIRECTION_UPLOAD, &options, "the program at the other end of this upload can't be moved");
    expect_refusal(test, "large", TROVE_DIRECTION_DOWNLOAD, &options, "the program at the other end of this download can't");
    init(&options, &told);
    expect_refusal(test, "large", TROVE_DIRECTION_BIDI, &options, "a two-way stream can't seek");
    options.lossy = true;
    expect_refusal(test, "up", TROVE_DIRECTION_UPLOAD, &options, "a lossy upload can't be moved");
    expect_refusal(test, "large", TROVE_DIRECTION_DOWNLOAD, &options, "a lossy download can't be moved");
    init(&options, &told);
    options.digest.kind = TROVE_DIGEST_SHA256; /* the library's to compute, as it goes by */
    expect_refusal(test, "up", TROVE_DIRECTION_UPLOAD, &options, "can't be moved from outside");
    stream = open_stream(test, "up", TROVE_DIRECTION_UPLOAD, &options);
    CHECK_FAILS(trove_stream_control(stream, TROVE_CONTROL_SEEK, 0, 0, NULL, &error), FAILED_PRECONDITION, "digest", &error);
    trove_stream_release(stream);
    init(&options, &told);
    CHECK_OK(trove_stream_open(test->client, BUCKET, "up", TROVE_DIRECTION_UPLOAD, &options, &stream, &error), &error);
    CHECK_FAILS(move(test, stream, 0, &error), FAILED_PRECONDITION, "idle stream", &error);
    CHECK_OK(trove_stream_start(stream, &error), &error);
    trove_chunk *chunk = NULL;
    CHECK_OK(trove_stream_chunk_get(stream, 0, &chunk, &error), &error);
    chunk->offset = 0;
    chunk->size = 100;
    chunk->final = true;
    CHECK_OK(trove_stream_write(stream, &chunk, 0, &error), &error);
    await_received(test, "up", 100);
    CHECK_FAILS(move(test, stream, 0, &error), FAILED_PRECONDITION, "all of it has come", &error);
    trove_stream_release(stream);
    assert_int_equal(atomic_load(&told.moves), 0);
}

/* ---- whole objects ---- */

/* Moves the put of its key when it has been told of so many chunks; the put can't get far away meanwhile. */
struct mover {
    const struct client_test *test;
    const char *key;
    unsigned chunks;
    unsigned moves;
    unsigned told;
    uint64_t offset;
};

static void move_in_hook(void *context, const trove_chunk_ack *ack) {
    struct mover *mover = context;
    trove_error error;
    (void)ack;
    if (++mover->chunks % 10 != 0 || mover->moves == 3)
        return;
    static const uint64_t parts[] = {0, 2, 1};
    uint64_t offset = ack->received_offset / 4 * parts[mover->moves] + mover->moves;
    uint64_t id = server_stream_of(mover->test, mover->key).stream_id;
    trove_status status = trove_server_stream_seek(mover->test->client, id, offset, 0, NULL, &error);
    if (status != TROVE_OK)
        print_error("%s\n", error.message);
    else
        mover->moves++;
    mover->offset = offset;
}

static void count_seek(void *context, uint64_t offset) {
    struct mover *mover = context;
    mover->told += offset == mover->offset;
}

static void begin_put(const struct client_test *test, const char *key, struct mover *mover, trove_stream_options *options) {
    *mover = (struct mover){.test = test, .key = key};
    trove_stream_options_init(options);
    options->chunk_bytes = CHUNK;
    options->channel_chunks = 2;
    options->hooks = (trove_stream_hooks){.context = mover, .on_chunk = move_in_hook, .on_seek = count_seek};
}

static void check_put(const struct client_test *test, const struct mover *mover, const uint8_t *bytes) {
    assert_int_equal(mover->moves, 3);
    assert_int_equal(mover->told, 3);
    check_object(test, mover->key, bytes, SIZE);
}

static void test_a_put_from_memory(void **state) {
    const struct client_test *test = *state;
    struct mover mover;
    trove_stream_options options;
    trove_error error;
    for (int kind = 0; kind < 2; kind++) {
        begin_put(test, kind == 0 ? "memory" : "memory-digest", &mover, &options);
        options.digest.kind = kind == 0 ? TROVE_DIGEST_NONE : TROVE_DIGEST_BLAKE2B;
        CHECK_OK(trove_put_memory(test->client, BUCKET, mover.key, test->bytes, SIZE, &options, NULL, &error), &error);
        check_put(test, &mover, test->bytes);
    }
}

/* A file, from its middle on; with a digest, an overflow, as a resumable upload. */
static void test_a_put_from_a_file(void **state) {
    const struct client_test *test = *state;
    static const char *const keys[] = {"file", "file-digest", "file-buffer", "file-resumable"};
    char path[512];
    struct mover mover;
    trove_stream_options options;
    trove_error error;
    snprintf(path, sizeof path, "%s/source", troved_folder(test->server));
    int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, test->bytes, SIZE + 5), SIZE + 5);
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        begin_put(test, keys[i], &mover, &options);
        options.digest.kind = i == 1 ? TROVE_DIGEST_SHA256 : TROVE_DIGEST_NONE;
        options.backpressure = i == 2 ? TROVE_BACKPRESSURE_BUFFER : TROVE_BACKPRESSURE_BLOCK;
        options.resumable = i == 3;
        assert_int_equal(lseek(fd, 5, SEEK_SET), 5);
        CHECK_OK(trove_put_fd(test->client, BUCKET, keys[i], fd, &options, NULL, &error), &error);
        check_put(test, &mover, test->bytes + 5);
    }
    close(fd);
    unlink(path);
}

/* A pipe can't go back; what is read into memory would have a hole. */
static void test_what_can_not_go_back(void **state) {
    const struct client_test *test = *state;
    struct mover mover;
    trove_stream_options options;
    trove_error error;
    static uint8_t got[SIZE];
    put_object(test, "got", SIZE);
    begin_put(test, "got", &mover, &options);
    mover.chunks = 5;
    size_t got_bytes = 0;
    CHECK_OK(trove_get_memory(test->client, BUCKET, "got", got, SIZE, &options, &got_bytes, NULL, &error), &error);
    assert_int_equal(mover.moves, 0);
    assert_int_equal(mover.told, 0);
    assert_memory_equal(got, test->bytes, SIZE);
}

int main(int argc, char **argv) {
    client_test_arguments(argc, argv);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_an_upload_goes_back),       cmocka_unit_test(test_who_does_not_look),
        cmocka_unit_test(test_moved_while_it_writes),     cmocka_unit_test(test_moved_while_it_is_resumable),
        cmocka_unit_test(test_a_download_goes_elsewhere), cmocka_unit_test(test_moved_while_it_reads),
        cmocka_unit_test(test_who_can_not_be_moved),      cmocka_unit_test(test_a_put_from_memory),
        cmocka_unit_test(test_a_put_from_a_file),         cmocka_unit_test(test_what_can_not_go_back),
    };
    return cmocka_run_group_tests_name(client_test_store(), tests, client_test_begin, client_test_end);
}
