/* test_session.c - a connection whose rights change in the midst of what it asks for, and what comes at an odd moment. The server
 * is whole; its peer is the test, over a transport in memory, and its clock's tick is called by the test alone. */
#include "session.h"

#include "resume.h"
#include "rpc.h"
#include "stream.h"
#include "unit_transport.h"

#define UID 4711

/* ---- moments to do something in ---- */

struct scene;
static struct tvs_server *narrowed; /* its users' rights are narrowed while a stream is being opened; NULL: nothing happens */
static struct scene *sought;        /* its upload 1 goes back to 0 when a flush is about to be; NULL: nothing happens */
static unsigned invoked;            /* methods */

static void let_in(struct tvs_server *server, const char *rights) {
    char text[64];
    snprintf(text, sizeof text, "%s", rights);
    const struct tvs_user user = {.uid = UID, .rights = text};
    const struct tvs_keyring_options options = {.users = &user, .user_count = rights[0] != '\0'};
    assert_int_equal(tvs_keyring_reload(server->keyring, &options, NULL), TROVE_OK);
    atomic_fetch_add(&server->access_edition, 1);
    tvs_session_tick(server->sessions, tv_now_ns());
}

trove_status __real_tvs_resume_create(struct tvs_server *server, const Trove__V1__Open *open, struct tvs_resume **resume,
                                      trove_error *error);
trove_status __wrap_tvs_resume_create(struct tvs_server *server, const Trove__V1__Open *open, struct tvs_resume **resume,
                                      trove_error *error);
trove_status __wrap_tvs_resume_create(struct tvs_server *server, const Trove__V1__Open *open, struct tvs_resume **resume,
                                      trove_error *error) {
    if (narrowed != NULL)
        let_in(narrowed, "read:media");
    return __real_tvs_resume_create(server, open, resume, error);
}

static void send_seek(struct scene *scene, uint64_t generation);

void __real_tvs_resume_flush(struct tvs_stream *stream);
void __wrap_tvs_resume_flush(struct tvs_stream *stream);
void __wrap_tvs_resume_flush(struct tvs_stream *stream) {
    struct scene *scene = sought;
    sought = NULL;
    if (scene != NULL)
        send_seek(scene, 1);
    __real_tvs_resume_flush(stream);
}

trove_status __real_tvs_rpc_invoke(const struct tvs_method *method, const void *request, size_t request_bytes,
                                   struct tv_arena *arena, struct tvs_rpc *rpc);
trove_status __wrap_tvs_rpc_invoke(const struct tvs_method *method, const void *request, size_t request_bytes,
                                   struct tv_arena *arena, struct tvs_rpc *rpc);
trove_status __wrap_tvs_rpc_invoke(const struct tvs_method *method, const void *request, size_t request_bytes,
                                   struct tv_arena *arena, struct tvs_rpc *rpc) {
    invoked++;
    return __real_tvs_rpc_invoke(method, request, request_bytes, arena, rpc);
}

/* ---- a server and its peer ---- */

struct scene {
    struct tvs_server *server;
    struct unit_transport transport;
    struct tv_arena arena;
};

static void send_with_payload(struct scene *scene, const tv_frame *frame, const void *payload, size_t payload_bytes) {
    uint8_t message[4096];
    size_t bytes = tv_frame_pack(frame, payload_bytes, false, message + sizeof(uint64_t), sizeof message - sizeof(uint64_t));
    uint64_t length = htobe64(bytes + payload_bytes);
    assert_true(bytes > 0 && sizeof length + bytes + payload_bytes <= sizeof message);
    memcpy(message, &length, sizeof length);
    if (payload_bytes > 0)
        memcpy(message + sizeof length + bytes, payload, payload_bytes);
    bytes += sizeof length + payload_bytes;
    assert_int_equal(unit_transport_feed(&scene->transport, message, bytes), bytes);
    unit_transport_take_all(&scene->transport);
}

static void send_frame(struct scene *scene, const tv_frame *frame) {
    send_with_payload(scene, frame, NULL, 0);
}

/* The next one with this call id. */
static const tv_frame *answer(struct scene *scene, uint64_t call_id) {
    const tv_frame *frame;
    unit_transport_take_all(&scene->transport);
    while ((frame = unit_transport_next_frame(&scene->transport, &scene->arena, false)) != NULL)
        if (frame->call_id == call_id && frame->body_case != TV_BODY(WELCOME))
            return frame;
    return NULL;
}

static void begin(struct scene *scene) {
    struct tvs_server_options options;
    static const uint8_t greeting[] = {0, 'S', 'P', 0, 0, 16, 0, 0};
    tvs_server_options_init(&options);
    options.store = "mem://";
    options.workers = 1;
    memset(scene, 0, sizeof *scene);
    tv_arena_init(&scene->arena, TV_MIB);
    assert_int_equal(tvs_server_create(&options, &scene->server, NULL), TROVE_OK);
    tv_timer_cancel(scene->server->timers, &scene->server->tick);
    assert_int_equal(scene->server->ops->bucket_create(scene->server->driver, "media", NULL), TROVE_OK);
    unit_transport_init(&scene->transport);
    scene->transport.base.has_credentials = true;
    scene->transport.base.peer_uid = UID;
    snprintf(scene->transport.base.peer, sizeof scene->transport.base.peer, "pid 1 uid %d", UID);
    const struct tvs_user user = {.uid = UID, .rights = "all"};
    const struct tvs_keyring_options users = {.users = &user, .user_count = 1};
    assert_int_equal(tvs_keyring_reload(scene->server->keyring, &users, NULL), TROVE_OK);
    tvs_session_accept(scene->server, &scene->transport.base);
    assert_int_equal(unit_transport_feed(&scene->transport, greeting, sizeof greeting), sizeof greeting);
    tv_frame hello = TROVE__V1__FRAME__INIT;
    Trove__V1__Hello body = TROVE__V1__HELLO__INIT;
    body.version = 1;
    hello.body_case = TV_BODY(HELLO);
    hello.hello = &body;
    send_frame(scene, &hello);
    scene->transport.sent_read = sizeof greeting;
    const tv_frame *welcome = unit_transport_next_frame(&scene->transport, &scene->arena, false);
    assert_non_null(welcome);
    assert_int_equal(welcome->body_case, TV_BODY(WELCOME));
}

static void end(struct scene *scene) {
    struct tvs_session *session = scene->server->sessions;
    tvs_session_acquire(session);   /* the timer frees it, and the transport, as soon as nobody holds it */
    if (!scene->transport.closed) { /* the peer leaves */
        scene->transport.receive_count = 0;
        scene->transport.base.on_received(scene->transport.base.context, TROVE_UNAVAILABLE, 0);
    }
    unit_transport_settle(&scene->transport);
    tvs_session_release(session);
    assert_true(tvs_server_destroy(scene->server));
    assert_true(scene->transport.destroyed);
    unit_transport_fini(&scene->transport);
    tv_arena_fini(&scene->arena);
}

/* ---- tests ---- */

static void open_upload(struct scene *scene, uint64_t id) {
    tv_frame frame = TROVE__V1__FRAME__INIT;
    Trove__V1__Open open = TROVE__V1__OPEN__INIT;
    open.direction = TROVE__V1__DIRECTION__UPLOAD;
    open.bucket = "media";
    open.key = "x";
    frame.call_id = id;
    frame.body_case = TV_BODY(OPEN);
    frame.open = &open;
    send_frame(scene, &frame);
}

static void a_stream_opened_while_rights_are_narrowed(void **state) {
    (void)state;
    struct scene scene;
    begin(&scene);
    open_upload(&scene, 1);
    const tv_frame *frame = answer(&scene, 1);
    assert_non_null(frame);
    assert_int_equal(frame->body_case, TV_BODY(OPENED));
    narrowed = scene.server;
    open_upload(&scene, 2);
    narrowed = NULL;
    frame = answer(&scene, 1); /* which was there when they were: it has ended */
    assert_non_null(frame);
    assert_int_equal(frame->body_case, TV_BODY(STATUS));
    assert_int_equal(frame->status->code, TROVE__V1__CODE__PERMISSION_DENIED);
    scene.transport.sent_read = 8;
    frame = answer(&scene, 2);
    assert_non_null(frame);
    assert_int_equal(frame->body_case, TV_BODY(STATUS));
    assert_int_equal(frame->status->code, TROVE__V1__CODE__PERMISSION_DENIED);
    assert_int_equal(scene.server->sessions->streams.count, 0);
    end(&scene);
}

/* What was opened with a right is not published without it, though nobody has looked at the stream since. */
static void a_right_that_is_gone_when_it_is_published(void **state) {
    (void)state;
    static const struct {
        const char *name, *rights;
        bool published;
    } rows[] = {{"still there", "all", true}, {"gone", "read:media", false}, {"for another prefix", "write:media/y", false}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct scene scene;
        unit_row(rows[i].name);
        begin(&scene);
        open_upload(&scene, 1);
        struct tvs_session *session = scene.server->sessions;
        pthread_mutex_lock(&session->lock);
        tvs_rights_release(session->principal.rights);
        assert_int_equal(tvs_rights_parse(rows[i].rights, &session->principal.rights, NULL), TROVE_OK);
        pthread_mutex_unlock(&session->lock);
        tv_frame frame = TROVE__V1__FRAME__INIT;
        Trove__V1__Complete complete = TROVE__V1__COMPLETE__INIT; /* of an empty object */
        frame.call_id = 1;
        frame.body_case = TV_BODY(COMPLETE);
        frame.complete = &complete;
        assert_non_null(answer(&scene, 1));
        send_frame(&scene, &frame);
        const tv_frame *told = answer(&scene, 1);
        assert_non_null(told);
        assert_int_equal(told->body_case, rows[i].published ? TV_BODY(COMPLETED) : TV_BODY(STATUS));
        if (!rows[i].published)
            assert_int_equal(told->status->code, TROVE__V1__CODE__PERMISSION_DENIED);
        struct tvs_object object = {0};
        trove_status found = scene.server->ops->head(scene.server->driver, "media", "x", &object, NULL);
        assert_int_equal(found, rows[i].published ? TROVE_OK : TROVE_NOT_FOUND);
        tvs_object_fini(&object);
        end(&scene);
    }
}

/* ---- a seek while what has come is being made durable ---- */

static void open_resumable(struct scene *scene) {
    static uint8_t request_id[16] = {1};
    tv_frame frame = TROVE__V1__FRAME__INIT;
    Trove__V1__Open open = TROVE__V1__OPEN__INIT;
    open.direction = TROVE__V1__DIRECTION__UPLOAD;
    open.bucket = "media";
    open.key = "x";
    open.resumable = true;
    open.request_id = (ProtobufCBinaryData){sizeof request_id, request_id};
    open.demand = 4096;
    frame.call_id = 1;
    frame.body_case = TV_BODY(OPEN);
    frame.open = &open;
    send_frame(scene, &frame);
    const tv_frame *told = answer(scene, 1);
    assert_non_null(told);
    assert_int_equal(told->body_case, TV_BODY(OPENED));
    assert_int_equal(told->opened->epoch, 1);
}

static void send_chunk(struct scene *scene) {
    uint8_t bytes[100] = {42};
    struct tv_data data = {.iov = {{bytes, sizeof bytes}}, .iov_count = 1, .bytes = sizeof bytes};
    tv_frame frame = TROVE__V1__FRAME__INIT;
    Trove__V1__Chunk chunk = TROVE__V1__CHUNK__INIT;
    tv_data_hash(&data);
    chunk.chunk_bytes = sizeof bytes;
    chunk.epoch = 1;
    chunk.checksum_given_case = TROVE__V1__CHUNK__CHECKSUM_GIVEN_CHECKSUM;
    chunk.checksum = tv_chunk_checksum(1, 0, &data);
    frame.call_id = 1;
    frame.body_case = TV_BODY(CHUNK);
    frame.chunk = &chunk;
    send_with_payload(scene, &frame, bytes, sizeof bytes);
}

static void send_seek(struct scene *scene, uint64_t generation) {
    tv_frame frame = TROVE__V1__FRAME__INIT;
    Trove__V1__Control control = TROVE__V1__CONTROL__INIT;
    control.type = TROVE__V1__CONTROL_TYPE__SEEK;
    control.epoch = 1;
    control.serial = 7;
    control.generation = generation;
    frame.call_id = 1;
    frame.body_case = TV_BODY(CONTROL);
    frame.control = &control;
    send_frame(scene, &frame);
}

/* What is about to be durable can't be gone back from: that is refused, and the stream goes on. */
static void a_seek_while_a_flush_begins(void **state) {
    (void)state;
    struct scene scene;
    begin(&scene);
    open_resumable(&scene);
    send_chunk(&scene);
    struct tvs_session *session = scene.server->sessions;
    struct tvs_stream *stream = tvs_stream_of_node(tv_id_table_next(&session->streams, NULL));
    assert_int_equal(stream->receiver.taken_offset, 100);
    pthread_mutex_lock(&session->lock);
    stream->resume->flush.asked_ns = 0; /* long ago */
    pthread_mutex_unlock(&session->lock);
    sought = &scene;
    tvs_session_tick(session, tv_now_ns());
    assert_null(sought);
    bool refused = false;
    uint64_t durable_offset = 0;
    for (const tv_frame *told; (told = answer(&scene, 1)) != NULL;) {
        assert_int_not_equal(told->body_case, TV_BODY(STATUS)); /* the stream's end */
        if (told->body_case == TV_BODY(STATE) && told->state->serial == 7)
            refused = told->state->status != NULL && told->state->status->code == TROVE__V1__CODE__FAILED_PRECONDITION;
        if (told->body_case == TV_BODY(ACK) && told->ack->durable_offset > 0)
            durable_offset = told->ack->durable_offset;
    }
    assert_true(refused);
    assert_int_equal(durable_offset, 100);
    end(&scene);
}

struct gate {
    struct tvs_task task;
    pthread_mutex_t closed;
};

static void wait_at(struct tvs_task *task) {
    struct gate *gate = (struct gate *)task;
    pthread_mutex_lock(&gate->closed);
    pthread_mutex_unlock(&gate->closed);
}

static void calls_of_who_is_sent_away_never_begin(void **state) {
    (void)state;
    struct scene scene;
    struct gate gate = {.task.run = wait_at, .closed = PTHREAD_MUTEX_INITIALIZER};
    begin(&scene);
    pthread_mutex_lock(&gate.closed);
    tvs_workers_submit(scene.server->workers, &gate.task); /* the only worker is busy */
    tv_frame frame = TROVE__V1__FRAME__INIT;
    Trove__V1__Call call = TROVE__V1__CALL__INIT;
    call.method = "trove.v1.Streams/List"; /* which asks for no right */
    frame.body_case = TV_BODY(CALL);
    frame.call = &call;
    invoked = 0;
    for (frame.call_id = 1; frame.call_id <= 3; frame.call_id++)
        send_frame(&scene, &frame);
    let_in(scene.server, "");
    for (uint64_t id = 1; id <= 3; id++) {
        scene.transport.sent_read = 8;
        const tv_frame *told = answer(&scene, id);
        assert_non_null(told);
        assert_int_equal(told->body_case, TV_BODY(STATUS));
        assert_int_equal(told->status->code, TROVE__V1__CODE__PERMISSION_DENIED);
        assert_non_null(strstr(told->status->message, "has no rights here"));
    }
    pthread_mutex_unlock(&gate.closed);
    end(&scene);
    assert_int_equal(invoked, 0);
}

static void sealed_messages_are_charged_to_the_budget(void **state) {
    (void)state;
    struct scene scene;
    struct tv_block_stats stats;
    begin(&scene);
    struct tvs_server *server = scene.server;
    assert_int_equal(server->secure.scratch_bytes_max, TV_SCRATCH_BYTES_MAX);
    struct tv_scratch *scratch = tv_secure_scratch_get(&server->secure, TV_RECORD_BYTES_MAX + 1);
    assert_non_null(scratch);
    tv_block_pool_stats(tvs_budget_pool(server->budget), &stats);
    assert_int_equal(stats.reserved_bytes, scratch->capacity);
    tv_secure_scratch_put(&server->secure, scratch);
    tv_block_pool_stats(tvs_budget_pool(server->budget), &stats);
    assert_int_equal(stats.reserved_bytes, 0);
    end(&scene);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_stream_opened_while_rights_are_narrowed),
        cmocka_unit_test(a_right_that_is_gone_when_it_is_published),
        cmocka_unit_test(a_seek_while_a_flush_begins),
        cmocka_unit_test(calls_of_who_is_sent_away_never_begin),
        cmocka_unit_test(sealed_messages_are_charged_to_the_budget),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
