/* test_client_odd_moments.c - libtrove's threads at moments that can't be hit: one of them is held at a call between two of the
 * library's files (the linker puts these functions in their place) while the server that the test plays goes on. See
 * odd_server.h.
 */
#include "client.h"
#include "odd_server.h"
#include "stream_upload.h"

#include <pthread.h>
#include <stdatomic.h>
#include <unistd.h>

#define CHUNK ((uint64_t)(64 * KIB))

/* ---- holding ---- */

enum place {
    NOWHERE,
    BEFORE_FIRST_FRAME, /* a call is listed, and not sent */
    BEFORE_LISTING,     /* a stream is about to be attached */
    BEFORE_SENDING,     /* and is listed */
    IN_SUMS,            /* a chunk was written, and is in the window */
};

static struct {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    enum place place; /* whoever comes there next is held */
    bool held;
    bool go_on;
    unsigned begun; /* streams whose first frame was sent, or failed to be */
} hold = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};

static atomic_uint dials;

static void arm(enum place place) {
    pthread_mutex_lock(&hold.lock);
    hold.place = place;
    hold.held = hold.go_on = false;
    hold.begun = 0;
    pthread_mutex_unlock(&hold.lock);
}

static void pass(enum place place) {
    pthread_mutex_lock(&hold.lock);
    if (hold.place == place) {
        hold.place = NOWHERE;
        hold.held = true;
        pthread_cond_broadcast(&hold.changed);
        while (!hold.go_on)
            pthread_cond_wait(&hold.changed, &hold.lock);
    }
    pthread_mutex_unlock(&hold.lock);
}

static void wait_until_held(void) {
    pthread_mutex_lock(&hold.lock);
    while (!hold.held)
        pthread_cond_wait(&hold.changed, &hold.lock);
    pthread_mutex_unlock(&hold.lock);
}

static void let_go(void) {
    pthread_mutex_lock(&hold.lock);
    hold.go_on = true;
    pthread_cond_broadcast(&hold.changed);
    pthread_mutex_unlock(&hold.lock);
}

static void wait_until_begun(unsigned count) {
    pthread_mutex_lock(&hold.lock);
    while (hold.begun < count)
        pthread_cond_wait(&hold.changed, &hold.lock);
    pthread_mutex_unlock(&hold.lock);
}

uint64_t __real_tv_chunk_checksum(uint64_t call_id, uint64_t index, const struct tv_data *data);
uint64_t __wrap_tv_chunk_checksum(uint64_t call_id, uint64_t index, const struct tv_data *data);
uint64_t __wrap_tv_chunk_checksum(uint64_t call_id, uint64_t index, const struct tv_data *data) {
    pass(BEFORE_FIRST_FRAME);
    return __real_tv_chunk_checksum(call_id, index, data);
}

trove_status __real_tvc_client_begin(struct trove_client *client, struct tvc_entry *entry, tv_frame *frame, const void *payload,
                                     uint64_t payload_bytes, tvc_prepare prepare, void *context, trove_error *error);
trove_status __wrap_tvc_client_begin(struct trove_client *client, struct tvc_entry *entry, tv_frame *frame, const void *payload,
                                     uint64_t payload_bytes, tvc_prepare prepare, void *context, trove_error *error);
trove_status __wrap_tvc_client_begin(struct trove_client *client, struct tvc_entry *entry, tv_frame *frame, const void *payload,
                                     uint64_t payload_bytes, tvc_prepare prepare, void *context, trove_error *error) {
    bool stream = entry->kind == TVC_ENTRY_STREAM;
    if (stream)
        pass(BEFORE_LISTING);
    trove_status status = __real_tvc_client_begin(client, entry, frame, payload, payload_bytes, prepare, context, error);
    pthread_mutex_lock(&hold.lock);
    hold.begun += stream;
    pthread_cond_broadcast(&hold.changed);
    pthread_mutex_unlock(&hold.lock);
    return status;
}

trove_status __real_tv_conn_send(struct tv_conn *conn, const tv_frame *frame, const void *payload, uint64_t payload_bytes,
                                 trove_error *error);
trove_status __wrap_tv_conn_send(struct tv_conn *conn, const tv_frame *frame, const void *payload, uint64_t payload_bytes,
                                 trove_error *error);
trove_status __wrap_tv_conn_send(struct tv_conn *conn, const tv_frame *frame, const void *payload, uint64_t payload_bytes,
                                 trove_error *error) {
    if (frame->body_case == RAW_BODY(OPEN))
        pass(BEFORE_SENDING);
    return __real_tv_conn_send(conn, frame, payload, payload_bytes, error);
}

static atomic_bool sums_changed;

void __real_tvc_block_sums_add(struct tvc_block_sums *sums, const void *memory, uint64_t bytes, const uint64_t *piece_sums);
void __wrap_tvc_block_sums_add(struct tvc_block_sums *sums, const void *memory, uint64_t bytes, const uint64_t *piece_sums);
void __wrap_tvc_block_sums_add(struct tvc_block_sums *sums, const void *memory, uint64_t bytes, const uint64_t *piece_sums) {
    uint64_t before = piece_sums[0];
    pass(IN_SUMS);
    atomic_store(&sums_changed, before != piece_sums[0]);
    __real_tvc_block_sums_add(sums, memory, bytes, piece_sums);
}

void __real_nng_stream_dialer_dial(void *dialer, void *aio);
void __wrap_nng_stream_dialer_dial(void *dialer, void *aio);
void __wrap_nng_stream_dialer_dial(void *dialer, void *aio) {
    __real_nng_stream_dialer_dial(dialer, aio);
    atomic_fetch_add(&dials, 1);
}

/* ---- what they share ---- */

static trove_client *connect_client(struct odd_server *server) {
    trove_client_options options;
    Trove__V1__Welcome welcome;
    trove_client_options_init(&options);
    odd_init_welcome(&welcome);
    welcome.features = TROVE__V1__FEATURE__FEATURE_RESUMABLE;
    odd_listen(server);
    return odd_connect(server, &welcome, &options);
}

/* Cuts the connection and takes the next one. */
static void cut(struct odd_server *server) {
    Trove__V1__Welcome welcome;
    odd_init_welcome(&welcome);
    welcome.features = TROVE__V1__FEATURE__FEATURE_RESUMABLE;
    raw_close(&server->peer);
    odd_accept(server);
    odd_welcome(server, &welcome);
}

/* All that the client has sent so far is without such a frame. */
static void expect_none(struct odd_server *server, Trove__V1__Frame__BodyCase body) {
    raw_frame ping = TROVE__V1__FRAME__INIT;
    Trove__V1__Ping message = TROVE__V1__PING__INIT;
    ping.body_case = RAW_BODY(PING);
    ping.ping = &message;
    raw_send(&server->peer, &ping);
    for (bool over = false; !over;) {
        raw_frame *frame = raw_receive(&server->peer);
        assert_non_null(frame);
        assert_int_not_equal(frame->body_case, body);
        over = frame->body_case == RAW_BODY(PONG);
        raw_free(frame);
    }
}

static void send_opened(struct odd_server *server, const raw_frame *open) {
    static const uint8_t upload_id[16] = {1, 2, 3};
    raw_frame frame = TROVE__V1__FRAME__INIT;
    Trove__V1__Opened opened = TROVE__V1__OPENED__INIT;
    opened.stream_id = open->call_id;
    opened.chunk_bytes = CHUNK;
    opened.channel_chunks = 4;
    opened.credit = 4 * CHUNK;
    opened.upload_id = (ProtobufCBinaryData){sizeof upload_id, (uint8_t *)upload_id};
    opened.epoch = 1;
    frame.call_id = open->call_id;
    frame.body_case = RAW_BODY(OPENED);
    frame.opened = &opened;
    raw_send(&server->peer, &frame);
}

struct program {
    pthread_t thread;
    trove_client *client;
    trove_stream *stream;
    const struct odd_server *server; /* whose key is asked for */
    trove_status status;
    trove_error error;
};

static void *open_upload(void *argument) {
    struct program *program = argument;
    trove_stream_options options;
    trove_stream_options_init(&options);
    options.resumable = true;
    options.chunk_bytes = CHUNK;
    options.channel_chunks = 4;
    trove_error *error = &program->error;
    program->status = trove_stream_open(program->client, BUCKET, "k", TROVE_DIRECTION_UPLOAD, &options, &program->stream, error);
    if (program->status == TROVE_OK)
        program->status = trove_stream_start(program->stream, error);
    return NULL;
}

static void run(struct program *program, void *(*function)(void *)) {
    assert_int_equal(pthread_create(&program->thread, NULL, function, program), 0);
}

static void join(struct program *program) {
    pthread_join(program->thread, NULL);
    CHECK_OK(program->status, &program->error);
}

/* Opens a resumable upload; its call's id. */
static uint64_t open_stream_of(struct program *program, struct odd_server *server) {
    program->client = connect_client(server);
    run(program, open_upload);
    raw_frame *open = odd_expect(server, RAW_BODY(OPEN));
    uint64_t id = open->call_id;
    send_opened(server, open);
    raw_free(open);
    join(program);
    return id;
}

/* ---- a call that is sent so late that there is another connection ---- */

static void *put_small(void *argument) {
    struct program *program = argument;
    program->status = trove_put_memory(program->client, BUCKET, "k", "abc", 3, NULL, NULL, &program->error);
    return NULL;
}

static void test_late_call(void **state) {
    (void)state;
    struct odd_server server;
    struct program program = {.client = connect_client(&server)};
    arm(BEFORE_FIRST_FRAME);
    run(&program, put_small);
    wait_until_held();
    cut(&server);
    odd_settle(&server);
    let_go();
    pthread_join(program.thread, NULL);
    CHECK_FAILS(program.status, UNAVAILABLE, "lost", &program.error);
    expect_none(&server, RAW_BODY(OPEN)); /* nobody would know its id */
    odd_disconnect(&server, program.client);
    odd_end(&server);
}

/* ---- a stream that ends while it is attached ---- */

static void test_ended_before_listing(void **state) {
    (void)state;
    struct odd_server server;
    struct program program = {0};
    (void)open_stream_of(&program, &server);
    arm(BEFORE_LISTING);
    cut(&server);
    wait_until_held();
    trove_stream_fail(program.stream, TROVE_UNKNOWN, "no more of it");
    let_go();
    wait_until_begun(1);
    expect_none(&server, RAW_BODY(OPEN));
    trove_stream_release(program.stream);
    odd_disconnect(&server, program.client);
    odd_end(&server);
}

/* The server hears of the end once more, behind the opening: what came before it said nothing. */
static void test_ended_before_sending(void **state) {
    (void)state;
    for (int cancelled = 0; cancelled < 2; cancelled++) {
        struct odd_server server;
        struct program program = {0};
        (void)open_stream_of(&program, &server);
        arm(BEFORE_SENDING);
        cut(&server);
        wait_until_held();
        if (cancelled)
            trove_stream_release(program.stream);
        else
            trove_stream_fail(program.stream, TROVE_UNKNOWN, "no more of it");
        let_go();
        raw_frame *open = odd_expect(&server, RAW_BODY(OPEN));
        raw_frame *control = odd_expect(&server, RAW_BODY(CONTROL));
        assert_int_equal(control->call_id, open->call_id);
        assert_int_equal(control->control->type, cancelled ? TROVE__V1__CONTROL_TYPE__CANCEL : TROVE__V1__CONTROL_TYPE__FAIL);
        raw_free(control);
        raw_free(open);
        if (!cancelled)
            trove_stream_release(program.stream);
        odd_disconnect(&server, program.client);
        odd_end(&server);
    }
}

/* ---- a seek into a chunk whose writer isn't done with it ---- */

static void *write_one(void *argument) {
    struct program *program = argument;
    trove_chunk *chunk = NULL;
    program->status = trove_stream_chunk_get(program->stream, 0, &chunk, &program->error);
    if (program->status != TROVE_OK)
        return NULL;
    memset(chunk->data, 'w', CHUNK);
    chunk->size = CHUNK;
    program->status = trove_stream_write(program->stream, &chunk, 0, &program->error);
    return NULL;
}

static void *seek(void *argument) {
    struct program *program = argument;
    program->status = trove_stream_control(program->stream, TROVE_CONTROL_SEEK, 1000, 0, NULL, &program->error);
    return NULL;
}

static void send_state(struct odd_server *server, uint64_t id, uint64_t serial) {
    raw_frame frame = TROVE__V1__FRAME__INIT;
    Trove__V1__State answer = TROVE__V1__STATE__INIT;
    answer.state = TROVE__V1__STREAM_STATE__ACTIVE;
    answer.serial = serial;
    frame.call_id = id;
    frame.body_case = RAW_BODY(STATE);
    frame.state = &answer;
    raw_send(&server->peer, &frame);
}

static void test_seek_beside_write(void **state) {
    (void)state;
    struct odd_server server;
    struct program opened = {0};
    uint64_t id = open_stream_of(&opened, &server);
    struct program writer = {.stream = opened.stream};
    struct program seeker = {.stream = opened.stream};
    arm(IN_SUMS);
    run(&writer, write_one);
    raw_free(odd_expect(&server, RAW_BODY(CHUNK)));
    wait_until_held();
    raw_send_ack(&server.peer, id, 0, 1, 0, false);
    odd_settle(&server);
    run(&seeker, seek);
    raw_frame *control = odd_expect(&server, RAW_BODY(CONTROL));
    while (control->control->type != TROVE__V1__CONTROL_TYPE__SEEK) {
        raw_free(control); /* the start */
        control = odd_expect(&server, RAW_BODY(CONTROL));
    }
    send_state(&server, id, control->control->serial);
    raw_free(control);
    join(&seeker);
    let_go();
    join(&writer);
    assert_false(atomic_load(&sums_changed));
    trove_stream_release(opened.stream);
    odd_disconnect(&server, opened.client);
    odd_end(&server);
}

/* ---- closing while it dials ---- */

/* The server's machine answers no more: its queue of connections is full, and what else comes isn't even refused. */
static void test_close_while_dialling(void **state) {
    (void)state;
    struct odd_server server;
    Trove__V1__Welcome welcome;
    trove_client_options options;
    trove_client_options_init(&options);
    options.connect_timeout_ms = 3600000; /* nobody waits for that */
    options.retry_for_ms = TROVE_NO_TIMEOUT;
    odd_init_welcome(&welcome);
    odd_listen_tcp(&server);
    trove_client *client = odd_connect(&server, &welcome, &options);
    int filler = odd_fill_queue(&server);
    atomic_store(&dials, 0);
    raw_close(&server.peer);
    server.peer.fd = -1;
    WAIT_FOR(atomic_load(&dials) == 1);
    trove_close(client);
    close(filler);
    odd_end(&server);
}

/* ---- a key that isn't told ---- */

static void *ask_key(void *argument) {
    struct program *program = argument;
    char key[TROVE_KEY_TEXT_BYTES];
    program->status = trove_server_key(program->server->url, TROVE_NO_TIMEOUT, key, &program->error);
    return NULL;
}

/* A server that says why not waits for the client to go, so the client mustn't wait for the server. */
static void test_key_refused(void **state) {
    (void)state;
    struct odd_server server;
    raw_frame frame = TROVE__V1__FRAME__INIT;
    Trove__V1__GoAway go_away = TROVE__V1__GO_AWAY__INIT;
    Trove__V1__Status why = TROVE__V1__STATUS__INIT;
    odd_listen(&server);
    struct program program = {.server = &server};
    run(&program, ask_key);
    odd_take(&server);
    raw_free(odd_expect(&server, RAW_BODY(OFFER)));
    why.code = TROVE__V1__CODE__FAILED_PRECONDITION;
    why.message = raw_text("no key here");
    go_away.status = &why;
    frame.body_case = RAW_BODY(GO_AWAY);
    frame.go_away = &go_away;
    raw_send(&server.peer, &frame);
    for (raw_frame *last = NULL; (last = raw_receive(&server.peer)) != NULL;)
        raw_free(last);
    pthread_join(program.thread, NULL);
    assert_int_equal(program.status, TROVE_FAILED_PRECONDITION);
    assert_non_null(strstr(program.error.message, "no key here"));
    raw_close(&server.peer);
    odd_end(&server);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_late_call),
        cmocka_unit_test(test_ended_before_listing),
        cmocka_unit_test(test_ended_before_sending),
        cmocka_unit_test(test_seek_beside_write),
        cmocka_unit_test(test_close_while_dialling),
        cmocka_unit_test(test_key_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
