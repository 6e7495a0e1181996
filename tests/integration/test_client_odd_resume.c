/* test_client_odd_resume.c - libtrove's resumable uploads and a server that answers as a real one does at moments that can't be
 * hit, or never does. See odd_server.h.
 */
#include "odd_server.h"

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <unistd.h>

#define CHUNK  ((uint64_t)(64 * KIB))
#define CHUNKS 4
#define SIZE   (CHUNKS * CHUNK)

static const uint8_t upload_ids[2][16] = {{1, 2, 3}, {4, 5, 6}};

enum source {
    BY_STREAM, /* the program writes and completes itself */
    FROM_MEMORY,
    FROM_FILE,
    FROM_PIPE,
};

/* The program: writes all and completes, in a thread of its own. */
struct program {
    trove_client *client;
    enum source source;
    uint64_t keep_bytes;  /* 0: the usual */
    uint64_t write_bytes; /* a write; 0: a chunk */
    const uint8_t *request_id;
    atomic_bool over;
    atomic_uint opened; /* told */
    char upload_id[TROVE_UPLOAD_ID_BYTES];
    trove_status status;
    trove_error error;
    trove_stream_metrics metrics;
};

static void on_opened(void *context, const char *upload_id) {
    struct program *program = context;
    strcpy(program->upload_id, upload_id);
    atomic_fetch_add(&program->opened, 1);
}

static trove_status write_all(struct program *program, trove_stream *stream) {
    uint64_t step = program->write_bytes != 0 ? program->write_bytes : CHUNK;
    trove_status status = TROVE_OK;
    for (uint64_t at = 0; at < SIZE && status == TROVE_OK; at += step) {
        trove_chunk *chunk = NULL;
        status = trove_stream_chunk_get(stream, 0, &chunk, &program->error);
        if (status != TROVE_OK)
            return status;
        chunk->size = step < SIZE - at ? step : SIZE - at;
        memset(chunk->data, (int)(at / step), chunk->size);
        chunk->final = at + chunk->size == SIZE;
        status = trove_stream_write(stream, &chunk, 0, &program->error);
        if (status != TROVE_OK)
            trove_stream_chunk_put(stream, chunk);
    }
    return status;
}

/* A whole object, of which the stream needs not keep everything. */
static void put(struct program *program, trove_stream_options *options) {
    static uint8_t bytes[SIZE];
    trove_error *error = &program->error;
    options->metrics = &program->metrics;
    for (uint64_t i = 0; i < SIZE; i++)
        bytes[i] = (uint8_t)(i / CHUNK);
    if (program->source == FROM_MEMORY) {
        program->status = trove_put_memory(program->client, BUCKET, "k", bytes, SIZE, options, NULL, error);
        return;
    }
    int ends[2] = {-1, -1};
    FILE *file = program->source == FROM_FILE ? tmpfile() : NULL;
    if (file == NULL)
        assert_true(pipe(ends) == 0 && fcntl(ends[1], F_SETPIPE_SZ, (int)SIZE) >= (int)SIZE);
    int in = file != NULL ? fileno(file) : ends[1];
    assert_int_equal(write(in, bytes, SIZE), SIZE);
    if (file != NULL)
        rewind(file);
    else
        close(in);
    program->status = trove_put_fd(program->client, BUCKET, "k", file != NULL ? in : ends[0], options, NULL, error);
    if (file != NULL)
        fclose(file);
    else
        close(ends[0]);
}

static void *run(void *argument) {
    struct program *program = argument;
    trove_stream_options options;
    trove_stream *stream = NULL;
    trove_stream_options_init(&options);
    options.resumable = true;
    options.chunk_bytes = CHUNK;
    options.channel_chunks = CHUNKS;
    options.keep_bytes = program->keep_bytes;
    options.size = SIZE;
    options.request_id = program->request_id;
    options.hooks = (trove_stream_hooks){.context = program, .on_opened = on_opened};
    trove_error *error = &program->error;
    if (program->source != BY_STREAM) {
        put(program, &options);
        atomic_store(&program->over, true);
        return NULL;
    }
    program->status = trove_stream_open(program->client, BUCKET, "k", TROVE_DIRECTION_UPLOAD, &options, &stream, error);
    if (program->status != TROVE_OK)
        return NULL;
    program->status = trove_stream_start(stream, error);
    if (program->status == TROVE_OK)
        program->status = write_all(program, stream);
    if (program->status == TROVE_OK)
        program->status = trove_stream_complete(stream, 0, NULL, error);
    trove_stream_metrics_get(stream, &program->metrics);
    trove_stream_release(stream);
    return NULL;
}

struct fixture {
    struct odd_server server;
    struct program program;
    pthread_t thread;
    Trove__V1__Welcome welcome;
};

static void begin_program(struct fixture *fixture, const struct program *program, uint32_t retry_for_ms) {
    trove_client_options options;
    trove_client_options_init(&options);
    options.retry_for_ms = retry_for_ms;
    *fixture = (struct fixture){.program = *program};
    odd_init_welcome(&fixture->welcome);
    fixture->welcome.features = TROVE__V1__FEATURE__FEATURE_RESUMABLE;
    odd_listen(&fixture->server);
    fixture->program.client = odd_connect(&fixture->server, &fixture->welcome, &options);
    assert_int_equal(pthread_create(&fixture->thread, NULL, run, &fixture->program), 0);
}

static void begin(struct fixture *fixture, uint64_t keep_bytes, uint64_t write_bytes) {
    const struct program program = {.keep_bytes = keep_bytes, .write_bytes = write_bytes};
    begin_program(fixture, &program, 0);
}

static void end(struct fixture *fixture) {
    odd_disconnect(&fixture->server, fixture->program.client);
    odd_end(&fixture->server);
}

/* Cuts the connection and takes the next one. */
static void cut(struct fixture *fixture) {
    raw_close(&fixture->server.peer);
    odd_accept(&fixture->server);
    odd_welcome(&fixture->server, &fixture->welcome);
}

static void send_opened(struct fixture *fixture, const raw_frame *open, unsigned upload, uint64_t epoch, uint64_t durable) {
    raw_frame frame = TROVE__V1__FRAME__INIT;
    Trove__V1__Opened opened = TROVE__V1__OPENED__INIT;
    opened.stream_id = open->call_id;
    opened.chunk_bytes = open->open->chunk_bytes;
    opened.channel_chunks = open->open->channel_chunks;
    opened.credit = SIZE;
    opened.upload_id = (ProtobufCBinaryData){16, (uint8_t *)upload_ids[upload]};
    opened.epoch = epoch;
    opened.durable_offset = durable;
    frame.call_id = open->call_id;
    frame.body_case = RAW_BODY(OPENED);
    frame.opened = &opened;
    raw_send(&fixture->server.peer, &frame);
}

/* The next open: one that begins an upload, or one that attaches to the first one. Its id. */
static raw_frame *expect_begin(struct fixture *fixture) {
    raw_frame *open = odd_expect(&fixture->server, RAW_BODY(OPEN));
    assert_true(open->open->resumable);
    assert_int_equal(open->open->request_id.len, 16);
    assert_int_equal(open->open->upload_id.len, 0);
    assert_int_equal(open->open->size, SIZE);
    return open;
}

static raw_frame *expect_attach(struct fixture *fixture) {
    raw_frame *open = odd_expect(&fixture->server, RAW_BODY(OPEN));
    assert_int_equal(open->open->upload_id.len, 16);
    assert_memory_equal(open->open->upload_id.data, upload_ids[0], 16);
    assert_int_equal(open->open->request_id.len, 0);
    assert_string_equal(open->open->bucket, BUCKET);
    assert_string_equal(open->open->key, "k");
    return open;
}

static uint64_t begin_upload(struct fixture *fixture) {
    raw_frame *open = expect_begin(fixture);
    uint64_t id = open->call_id;
    send_opened(fixture, open, 0, 1, 0);
    raw_free(open);
    return id;
}

static uint64_t attach(struct fixture *fixture, uint64_t epoch, uint64_t durable) {
    raw_frame *open = expect_attach(fixture);
    uint64_t id = open->call_id;
    send_opened(fixture, open, 0, epoch, durable);
    raw_free(open);
    return id;
}

static void expect_chunk(struct fixture *fixture, uint64_t call_id, uint64_t index, uint64_t offset, uint64_t bytes,
                         uint64_t epoch) {
    raw_frame *frame = odd_expect(&fixture->server, RAW_BODY(CHUNK));
    assert_int_equal(frame->call_id, call_id);
    assert_int_equal(frame->chunk->index, index);
    assert_int_equal(frame->chunk->offset, offset);
    assert_int_equal(frame->chunk->chunk_bytes, bytes);
    assert_int_equal(frame->chunk->epoch, epoch);
    assert_int_equal(frame->payload.len, bytes);
    for (uint64_t i = 0; i < bytes; i++)
        assert_int_equal(frame->payload.data[i], (offset + i) / CHUNK);
    assert_int_equal(frame->chunk->final, offset + bytes == SIZE);
    raw_free(frame);
}

static void send_ack(struct fixture *fixture, uint64_t call_id, uint64_t first, uint64_t count, uint64_t durable) {
    raw_frame frame = TROVE__V1__FRAME__INIT;
    Trove__V1__Ack ack = TROVE__V1__ACK__INIT;
    Trove__V1__IndexRange range = TROVE__V1__INDEX_RANGE__INIT;
    Trove__V1__IndexRange *ranges[] = {&range};
    range.first = first;
    range.count = count;
    ack.ranges = ranges;
    ack.n_ranges = count > 0 ? 1 : 0;
    ack.durable_offset = durable;
    frame.call_id = call_id;
    frame.body_case = RAW_BODY(ACK);
    frame.ack = &ack;
    raw_send(&fixture->server.peer, &frame);
}

static void finish(struct fixture *fixture, uint64_t call_id, uint64_t chunks, uint64_t epoch) {
    raw_frame frame = TROVE__V1__FRAME__INIT;
    Trove__V1__Completed completed = TROVE__V1__COMPLETED__INIT;
    Trove__V1__ObjectInfo object = TROVE__V1__OBJECT_INFO__INIT;
    raw_frame *complete = odd_expect(&fixture->server, RAW_BODY(COMPLETE));
    assert_int_equal(complete->complete->size, SIZE);
    assert_int_equal(complete->complete->chunks, chunks);
    assert_int_equal(complete->complete->epoch, epoch);
    assert_int_equal(strlen(complete->complete->etag), 32);
    raw_free(complete);
    object.bucket = raw_text(BUCKET);
    object.key = raw_text("k");
    object.size = SIZE;
    completed.object = &object;
    frame.call_id = call_id;
    frame.body_case = RAW_BODY(COMPLETED);
    frame.completed = &completed;
    raw_send(&fixture->server.peer, &frame);
}

static void expect_success(struct fixture *fixture) {
    const trove_stream_metrics *metrics = &fixture->program.metrics;
    pthread_join(fixture->thread, NULL);
    CHECK_OK(fixture->program.status, &fixture->program.error);
    assert_int_equal(metrics->bytes_accepted, SIZE);
    assert_int_equal(metrics->bytes_acknowledged, SIZE);
    end(fixture);
}

static void expect_end(struct fixture *fixture, trove_status status, const char *text) {
    pthread_join(fixture->thread, NULL);
    check_fails(fixture->program.status, status, &fixture->program.error, text, __FILE__, __LINE__);
    end(fixture);
}

/* ---- going on ---- */

/* Inside a chunk: what the server has of it is cut off; numbers begin at 0, the epoch is the new one. */
static void test_inside_a_chunk(void **state) {
    (void)state;
    struct fixture fixture;
    begin(&fixture, 0, 0);
    uint64_t id = begin_upload(&fixture);
    for (uint64_t i = 0; i < CHUNKS; i++)
        expect_chunk(&fixture, id, i, i * CHUNK, CHUNK, 1);
    send_ack(&fixture, id, 0, 3, CHUNK);
    odd_settle(&fixture.server);
    cut(&fixture);
    id = attach(&fixture, 2, CHUNK + 1000);
    expect_chunk(&fixture, id, 0, CHUNK + 1000, CHUNK - 1000, 2);
    expect_chunk(&fixture, id, 1, 2 * CHUNK, CHUNK, 2);
    expect_chunk(&fixture, id, 2, 3 * CHUNK, CHUNK, 2);
    send_ack(&fixture, id, 0, 2, 3 * CHUNK);
    send_ack(&fixture, id, 0, 0, 3 * CHUNK + 1); /* an acknowledgement of nothing */
    odd_settle(&fixture.server);
    cut(&fixture);
    id = attach(&fixture, 3, SIZE); /* nothing is left but the word that it was the last */
    expect_chunk(&fixture, id, 0, SIZE, 0, 3);
    send_ack(&fixture, id, 0, 1, SIZE);
    finish(&fixture, id, 1, 3);
    expect_success(&fixture);
    assert_int_equal(fixture.program.metrics.reconnects, 2);
}

/* What the server can't do now is asked for again: at the beginning with the same request id. */
static void test_try_again(void **state) {
    (void)state;
    struct fixture fixture;
    uint8_t request[16];
    begin(&fixture, 0, 0);
    raw_frame *open = expect_begin(&fixture);
    memcpy(request, open->open->request_id.data, sizeof request);
    odd_send_status(&fixture.server, open->call_id, TROVE__V1__CODE__ABORTED, "try again", false);
    raw_free(open);
    open = expect_begin(&fixture);
    assert_memory_equal(open->open->request_id.data, request, sizeof request);
    raw_free(open);
    cut(&fixture); /* before the answer */
    open = expect_begin(&fixture);
    assert_memory_equal(open->open->request_id.data, request, sizeof request);
    uint64_t id = open->call_id;
    send_opened(&fixture, open, 0, 1, 0);
    raw_free(open);
    expect_chunk(&fixture, id, 0, 0, CHUNK, 1);
    cut(&fixture);
    open = expect_attach(&fixture);
    odd_send_status(&fixture.server, open->call_id, TROVE__V1__CODE__ABORTED, "try again", false);
    raw_free(open);
    open = expect_attach(&fixture);
    raw_free(open);
    cut(&fixture);
    id = attach(&fixture, 3, 0);
    for (uint64_t i = 0; i < CHUNKS; i++)
        expect_chunk(&fixture, id, i, i * CHUNK, CHUNK, 3);
    /* The server shuts down: the stream ends, and its connection not yet. */
    odd_send_status(&fixture.server, id, TROVE__V1__CODE__UNAVAILABLE, "shutting down", false);
    id = attach(&fixture, 4, 2 * CHUNK);
    expect_chunk(&fixture, id, 0, 2 * CHUNK, CHUNK, 4);
    expect_chunk(&fixture, id, 1, 3 * CHUNK, CHUNK, 4);
    send_ack(&fixture, id, 0, 2, 2 * CHUNK);
    finish(&fixture, id, 2, 4);
    expect_success(&fixture);
}

/* The writer finds no free chunk, for all wait for being durable: the server is asked to see to that. */
static void test_flush(void **state) {
    (void)state;
    struct fixture fixture;
    begin(&fixture, 2 * CHUNK, 1000);
    uint64_t id = begin_upload(&fixture);
    uint64_t flushes = 0;
    uint64_t offset = 0;
    uint64_t index = 0;
    while (offset < SIZE) {
        raw_frame *frame = raw_receive(&fixture.server.peer);
        assert_non_null(frame);
        if (frame->body_case == RAW_BODY(CHUNK)) {
            assert_int_equal(frame->chunk->index, index);
            offset += frame->chunk->chunk_bytes;
            send_ack(&fixture, id, index++, 1, 0);
        } else if (frame->body_case == RAW_BODY(CALL)) {
            raw_frame answer = TROVE__V1__FRAME__INIT;
            Trove__V1__Status status = TROVE__V1__STATUS__INIT;
            Trove__V1__UploadFlushResponse response = TROVE__V1__UPLOAD_FLUSH_RESPONSE__INIT;
            uint8_t packed[16];
            assert_string_equal(frame->call->method, "trove.v1.Uploads/Flush");
            response.durable_offset = offset;
            answer.payload = (ProtobufCBinaryData){trove__v1__upload_flush_response__pack(&response, packed), packed};
            answer.call_id = frame->call_id;
            answer.body_case = RAW_BODY(STATUS);
            answer.status = &status;
            raw_send(&fixture.server.peer, &answer);
            flushes++;
        }
        raw_free(frame);
    }
    finish(&fixture, id, index, 1);
    assert_true(flushes > 0);
    expect_success(&fixture);
}

/* ---- an upload that the server has lost ---- */

static void test_begun_anew(void **state) {
    (void)state;
    struct fixture fixture;
    begin(&fixture, 0, 0);
    uint64_t id = begin_upload(&fixture);
    expect_chunk(&fixture, id, 0, 0, CHUNK, 1);
    send_ack(&fixture, id, 0, 1, 0);
    odd_settle(&fixture.server);
    cut(&fixture);
    raw_frame *open = expect_attach(&fixture);
    odd_send_status(&fixture.server, open->call_id, TROVE__V1__CODE__NOT_FOUND, "no such upload", false);
    raw_free(open);
    open = expect_begin(&fixture);
    id = open->call_id;
    send_opened(&fixture, open, 1, 1, 0);
    raw_free(open);
    for (uint64_t i = 0; i < CHUNKS; i++)
        expect_chunk(&fixture, id, i, i * CHUNK, CHUNK, 1);
    send_ack(&fixture, id, 0, CHUNKS, 0);
    finish(&fixture, id, CHUNKS, 1);
    expect_success(&fixture);
    assert_int_equal(atomic_load(&fixture.program.opened), 2);
    assert_string_equal(fixture.program.upload_id, "04050600000000000000000000000000");
}

/* Of what was let go nothing can be sent again. */
static void test_lost_for_good(void **state) {
    (void)state;
    struct fixture fixture;
    begin(&fixture, 0, 0);
    uint64_t id = begin_upload(&fixture);
    expect_chunk(&fixture, id, 0, 0, CHUNK, 1);
    send_ack(&fixture, id, 0, 1, 1);
    odd_settle(&fixture.server);
    cut(&fixture);
    raw_frame *open = expect_attach(&fixture);
    odd_send_status(&fixture.server, open->call_id, TROVE__V1__CODE__NOT_FOUND, "no such upload", false);
    raw_free(open);
    expect_end(&fixture, TROVE_NOT_FOUND, "no such upload");
}

/* Up to where the server says that it doesn't know the upload, of which a part was durable. */
static void lose(struct fixture *fixture) {
    uint64_t id = begin_upload(fixture);
    expect_chunk(fixture, id, 0, 0, CHUNK, 1);
    send_ack(fixture, id, 0, 1, CHUNK);
    odd_settle(&fixture->server);
    cut(fixture);
    raw_frame *open = expect_attach(fixture);
    odd_send_status(&fixture->server, open->call_id, TROVE__V1__CODE__NOT_FOUND, "no such upload", false);
    raw_free(open);
}

/* Who has the whole object begins anew with its first byte. */
static void test_put_begins_anew(void **state) {
    (void)state;
    for (enum source source = FROM_MEMORY; source <= FROM_FILE; source++) {
        struct fixture fixture;
        const struct program program = {.source = source};
        begin_program(&fixture, &program, 0);
        lose(&fixture);
        raw_frame *open = expect_begin(&fixture);
        uint64_t id = open->call_id;
        send_opened(&fixture, open, 1, 1, 0);
        raw_free(open);
        for (uint64_t i = 0; i < CHUNKS; i++)
            expect_chunk(&fixture, id, i, i * CHUNK, CHUNK, 1);
        send_ack(&fixture, id, 0, CHUNKS, SIZE);
        finish(&fixture, id, CHUNKS, 1);
        expect_success(&fixture);
        assert_int_equal(fixture.program.metrics.reconnects, 1);
        assert_true(fixture.program.metrics.bytes_sent > SIZE);
        assert_int_equal(atomic_load(&fixture.program.opened), 2);
        assert_string_equal(fixture.program.upload_id, "04050600000000000000000000000000");
    }
}

/* An upload that was begun with the program's request id is lost: a put begins another one with it, for the program may look for
 * that; a stream, which couldn't go on with what somebody else has begun with it, draws one. */
static void test_request_id_anew(void **state) {
    (void)state;
    static const uint8_t request[16] = "the program's id";
    for (enum source source = BY_STREAM; source <= FROM_FILE; source++) {
        struct fixture fixture;
        const struct program program = {.source = source, .request_id = request};
        begin_program(&fixture, &program, 0);
        raw_frame *open = expect_begin(&fixture);
        assert_memory_equal(open->open->request_id.data, request, sizeof request);
        send_opened(&fixture, open, 0, 1, 0);
        expect_chunk(&fixture, open->call_id, 0, 0, CHUNK, 1);
        raw_free(open);
        cut(&fixture);
        open = expect_attach(&fixture);
        odd_send_status(&fixture.server, open->call_id, TROVE__V1__CODE__NOT_FOUND, "no such upload", false);
        raw_free(open);
        open = expect_begin(&fixture); /* by the stream, which has all */
        assert_memory_not_equal(open->open->request_id.data, request, sizeof request);
        send_opened(&fixture, open, 1, 1, 0);
        for (uint64_t i = 0; i < CHUNKS; i++)
            expect_chunk(&fixture, open->call_id, i, i * CHUNK, CHUNK, 1);
        send_ack(&fixture, open->call_id, 0, 1, CHUNK);
        odd_settle(&fixture.server);
        odd_send_status(&fixture.server, open->call_id, TROVE__V1__CODE__NOT_FOUND, "no such upload", false);
        raw_free(open);
        if (source == BY_STREAM) {
            expect_end(&fixture, TROVE_NOT_FOUND, "no such upload");
            continue;
        }
        open = expect_begin(&fixture);
        assert_memory_equal(open->open->request_id.data, request, sizeof request);
        send_opened(&fixture, open, 1, 1, 0);
        for (uint64_t i = 0; i < CHUNKS; i++)
            expect_chunk(&fixture, open->call_id, i, i * CHUNK, CHUNK, 1);
        send_ack(&fixture, open->call_id, 0, CHUNKS, SIZE);
        finish(&fixture, open->call_id, CHUNKS, 1);
        raw_free(open);
        expect_success(&fixture);
    }
}

static void test_pipe_cannot(void **state) {
    (void)state;
    struct fixture fixture;
    const struct program program = {.source = FROM_PIPE};
    begin_program(&fixture, &program, 0);
    lose(&fixture);
    expect_end(&fixture, TROVE_NOT_FOUND, "no such upload (what was read of the source can't be read again)");
}

/* What a stream has moved counts once, also where none follows it. */
static void test_put_may_not_begin_anew(void **state) {
    (void)state;
    struct fixture fixture;
    const struct program program = {.source = FROM_MEMORY};
    begin_program(&fixture, &program, 0);
    uint64_t id = begin_upload(&fixture);
    for (uint64_t i = 0; i < CHUNKS; i++)
        expect_chunk(&fixture, id, i, i * CHUNK, CHUNK, 1);
    send_ack(&fixture, id, 0, 1, CHUNK);
    odd_settle(&fixture.server);
    odd_send_status(&fixture.server, id, TROVE__V1__CODE__NOT_FOUND, "no such upload", false);
    raw_frame *open = expect_begin(&fixture);
    odd_send_status(&fixture.server, open->call_id, TROVE__V1__CODE__PERMISSION_DENIED, "not any more", false);
    raw_free(open);
    expect_end(&fixture, TROVE_PERMISSION_DENIED, "not any more");
    assert_int_equal(fixture.program.metrics.reconnects, 1);
    assert_int_equal(fixture.program.metrics.bytes_sent, SIZE);
}

/* A server that loses each of them at once is given up when the client's time is over. */
static void test_put_gives_up(void **state) {
    (void)state;
    struct fixture fixture;
    const struct program program = {.source = FROM_MEMORY};
    begin_program(&fixture, &program, 300);
    lose(&fixture);
    struct pollfd coming = {.fd = fixture.server.peer.fd, .events = POLLIN};
    while (!atomic_load(&fixture.program.over)) {
        if (poll(&coming, 1, 1) == 0)
            continue;
        raw_frame *frame = raw_receive(&fixture.server.peer);
        assert_non_null(frame);
        if (frame->body_case == RAW_BODY(OPEN)) {
            send_opened(&fixture, frame, 1, 1, 0);
            odd_send_status(&fixture.server, frame->call_id, TROVE__V1__CODE__NOT_FOUND, "no such upload", false);
        }
        raw_free(frame);
    }
    expect_end(&fixture, TROVE_NOT_FOUND, "no such upload");
}

/* ---- a server that is wrong ---- */

static const struct {
    const char *name;
    uint64_t durable; /* as the second opened says; the first acknowledgement told one chunk */
    trove_status status;
    const char *text;
} wrongs[] = {
    {"less than was durable", CHUNK - 1, TROVE_DATA_LOSS, "65535"},
    {"more than was written", SIZE + 1, TROVE_FAILED_PRECONDITION, "262145"},
};

static void test_wrong_offset(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof wrongs / sizeof wrongs[0]; i++) {
        struct fixture fixture;
        print_message("    %s\n", wrongs[i].name);
        begin(&fixture, 0, 0);
        uint64_t id = begin_upload(&fixture);
        for (uint64_t at = 0; at < CHUNKS; at++)
            expect_chunk(&fixture, id, at, at * CHUNK, CHUNK, 1);
        send_ack(&fixture, id, 0, 1, CHUNK);
        odd_settle(&fixture.server);
        cut(&fixture);
        (void)attach(&fixture, 2, wrongs[i].durable);
        raw_frame *control = odd_expect(&fixture.server, RAW_BODY(CONTROL));
        assert_int_equal(control->control->type, TROVE__V1__CONTROL_TYPE__FAIL); /* which parks it */
        raw_free(control);
        expect_end(&fixture, wrongs[i].status, wrongs[i].text);
    }
}

/* Somebody else has it now: that is the end here, whoever is right. */
static void test_taken_over(void **state) {
    (void)state;
    struct fixture fixture;
    begin(&fixture, 0, 0);
    uint64_t id = begin_upload(&fixture);
    expect_chunk(&fixture, id, 0, 0, CHUNK, 1);
    odd_send_status(&fixture.server, id, TROVE__V1__CODE__ABORTED, "attached elsewhere", false);
    expect_end(&fixture, TROVE_ABORTED, "attached elsewhere");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_inside_a_chunk),  cmocka_unit_test(test_try_again),
        cmocka_unit_test(test_flush),           cmocka_unit_test(test_begun_anew),
        cmocka_unit_test(test_lost_for_good),   cmocka_unit_test(test_wrong_offset),
        cmocka_unit_test(test_taken_over),      cmocka_unit_test(test_put_begins_anew),
        cmocka_unit_test(test_pipe_cannot),     cmocka_unit_test(test_put_may_not_begin_anew),
        cmocka_unit_test(test_request_id_anew), cmocka_unit_test(test_put_gives_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
