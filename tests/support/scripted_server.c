/* scripted_server.c - see scripted_server.h. Frames come on the connection's receiving thread; the lock is between it and the
 * test. */
#include "scripted_server.h"

#include "conn.h"
#include "listener.h"
#include "timer.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#define FRAMES_MAX   4096
#define PATIENCE_S   30
#define KEEPALIVE_MS 60000
#define BYTE         0x5A

struct entry {
    struct scripted_frame frame;
    bool asked_for;
};

struct scripted_server {
    char folder[256];
    char url[300];
    uint64_t features;
    struct tv_listener *listener;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    /* under the lock */
    struct tv_conn *conn;
    bool closed;
    bool held;
    struct scripted_opened opened;
    size_t count;
    struct entry frames[FRAMES_MAX];
};

/* ---- the connection ---- */

static void on_payload(void *context, const tv_frame *frame, uint64_t payload_bytes, struct tv_sink *sink) {
    (void)context; /* discarded */
    (void)frame;
    (void)payload_bytes;
    (void)sink;
}

static void greet(struct scripted_server *server) {
    tv_frame frame = TROVE__V1__FRAME__INIT;
    Trove__V1__Welcome welcome = TROVE__V1__WELCOME__INIT;
    welcome.version = 1;
    welcome.features = server->features;
    welcome.payload_bytes_max = TV_PAYLOAD_BYTES_MAX;
    welcome.keepalive_ms = KEEPALIVE_MS;
    frame.body_case = TV_BODY(WELCOME);
    frame.welcome = &welcome;
    (void)!tv_conn_send(server->conn, &frame, NULL, 0, NULL);
    tv_conn_establish(server->conn, TV_PAYLOAD_BYTES_MAX, KEEPALIVE_MS, false);
}

static uint8_t no_id[16];

static void answer_open(struct scripted_server *server, const tv_frame *frame) {
    tv_frame answer = TROVE__V1__FRAME__INIT;
    Trove__V1__Opened opened = TROVE__V1__OPENED__INIT;
    Trove__V1__ObjectInfo object = TROVE__V1__OBJECT_INFO__INIT;
    pthread_mutex_lock(&server->lock);
    const struct scripted_opened how = server->opened;
    pthread_mutex_unlock(&server->lock);
    opened.stream_id = frame->call_id;
    opened.chunk_bytes = how.chunk_bytes != 0 ? how.chunk_bytes : frame->open->chunk_bytes;
    opened.channel_chunks = how.channel_chunks != 0 ? how.channel_chunks : frame->open->channel_chunks;
    opened.credit = how.credit;
    opened.writer = how.writer;
    if (how.resumable)
        opened.upload_id = (ProtobufCBinaryData){sizeof no_id, no_id};
    object.size = how.object_size;
    object.generation = 1;
    if (how.has_object)
        opened.object = &object;
    answer.call_id = frame->call_id;
    answer.body_case = TV_BODY(OPENED);
    answer.opened = &opened;
    (void)!tv_conn_send(server->conn, &answer, NULL, 0, NULL);
}

/* Bodies are messages of their own, as large as the largest that is kept or smaller. */
static void keep(struct scripted_server *server, const tv_frame *frame, uint64_t payload_bytes) {
    struct scripted_frame kept = {.call_id = frame->call_id, .kind = frame->body_case, .payload_bytes = payload_bytes};
    size_t bytes = frame->open->base.descriptor->sizeof_message;
    if (bytes <= sizeof kept.open)
        memcpy(&kept.open, frame->open, bytes);
    if (frame->body_case == TV_BODY(ACK) && frame->ack->n_ranges > 0)
        kept.range = *frame->ack->ranges[0];
    if (frame->body_case == TV_BODY(CONTROL) && frame->control->reason != NULL)
        kept.reason = frame->control->reason->code;
    if (frame->body_case == TV_BODY(STATE) && frame->state->status != NULL)
        kept.reason = frame->state->status->code;
    if (frame->body_case == TV_BODY(COMPLETE))
        snprintf(kept.etag, sizeof kept.etag, "%s", frame->complete->etag);
    pthread_mutex_lock(&server->lock);
    if (server->count < FRAMES_MAX)
        server->frames[server->count++] = (struct entry){kept, false};
    pthread_cond_broadcast(&server->changed);
    pthread_mutex_unlock(&server->lock);
}

static trove_status on_frame(void *context, const tv_frame *frame, const void *payload, uint64_t payload_bytes,
                             trove_error *error) {
    struct scripted_server *server = context;
    (void)payload;
    (void)error;
    pthread_mutex_lock(&server->lock);
    while (server->held)
        pthread_cond_wait(&server->changed, &server->lock);
    pthread_mutex_unlock(&server->lock);
    if (frame->body_case == TV_BODY(OPEN))
        answer_open(server, frame); /* first, so that nothing that the test sends for the stream can come before it */
    if (frame->body_case == TV_BODY(HELLO))
        greet(server);
    else if (frame->body_case != TROVE__V1__FRAME__BODY__NOT_SET)
        keep(server, frame, payload_bytes);
    return TROVE_OK;
}

static void on_closed(void *context, const trove_error *why) {
    struct scripted_server *server = context;
    (void)why;
    pthread_mutex_lock(&server->lock);
    server->closed = true;
    pthread_cond_broadcast(&server->changed);
    pthread_mutex_unlock(&server->lock);
}

static const struct tv_conn_handler handler = {.payload = on_payload, .frame = on_frame, .closed = on_closed};

static void on_accepted(void *context, struct tv_transport *transport) {
    struct scripted_server *server = context;
    const struct tv_conn_options options = {.payload_bytes_max = TV_PAYLOAD_BYTES_MAX};
    struct tv_conn *conn = NULL;
    if (tv_conn_create(transport, &handler, server, &options, &conn, NULL) != TROVE_OK)
        return;
    pthread_mutex_lock(&server->lock);
    server->conn = conn;
    pthread_mutex_unlock(&server->lock);
    tv_conn_start(conn);
}

/* ---- life ---- */

struct scripted_server *scripted_server_start(uint64_t features) {
    struct scripted_server *server = calloc(1, sizeof *server);
    trove_error error;
    assert_non_null(server);
    const char *base = getenv("TMPDIR");
    snprintf(server->folder, sizeof server->folder, "%s/trove-test-XXXXXX", base != NULL && base[0] != '\0' ? base : "/tmp");
    assert_non_null(mkdtemp(server->folder));
    snprintf(server->url, sizeof server->url, "ipc://%s/socket", server->folder);
    server->features = features;
    pthread_mutex_init(&server->lock, NULL);
    pthread_cond_init(&server->changed, NULL);
    trove_status status = tv_listener_create(server->url, 0600, on_accepted, server, &server->listener, &error);
    if (status != TROVE_OK)
        fail_msg("%s", error.message);
    return server;
}

const char *scripted_server_url(const struct scripted_server *server) {
    return server->url;
}

void scripted_answer_opens(struct scripted_server *server, const struct scripted_opened *opened) {
    pthread_mutex_lock(&server->lock);
    server->opened = *opened;
    pthread_mutex_unlock(&server->lock);
}

void scripted_cut(struct scripted_server *server) {
    trove_error why = {TROVE_OK, ""};
    tv_conn_abort(server->conn, &why);
}

void scripted_hold(struct scripted_server *server, bool hold) {
    pthread_mutex_lock(&server->lock);
    server->held = hold;
    pthread_cond_broadcast(&server->changed);
    pthread_mutex_unlock(&server->lock);
}

void scripted_server_stop(struct scripted_server *server) {
    scripted_hold(server, false);
    tv_listener_destroy(server->listener);
    if (server->conn != NULL) {
        scripted_cut(server);
        pthread_mutex_lock(&server->lock);
        while (!server->closed)
            pthread_cond_wait(&server->changed, &server->lock);
        pthread_mutex_unlock(&server->lock);
        tv_conn_destroy(server->conn);
    }
    unlink(server->url + strlen("ipc://"));
    assert_int_equal(rmdir(server->folder), 0);
    pthread_cond_destroy(&server->changed);
    pthread_mutex_destroy(&server->lock);
    free(server);
}

/* ---- what comes ---- */

#define ANY_CALL UINT64_MAX

/* Under the lock; NULL: none has come. */
static struct entry *find(struct scripted_server *server, uint64_t call_id, Trove__V1__Frame__BodyCase kind) {
    for (size_t i = 0; i < server->count; i++) {
        struct entry *entry = &server->frames[i];
        bool fits = entry->frame.kind == kind && (call_id == ANY_CALL || entry->frame.call_id == call_id);
        if (fits && !entry->asked_for)
            return entry;
    }
    return NULL;
}

struct scripted_frame scripted_expect_open(struct scripted_server *server) {
    return scripted_expect(server, ANY_CALL, TV_BODY(OPEN));
}

struct scripted_frame scripted_expect(struct scripted_server *server, uint64_t call_id, Trove__V1__Frame__BodyCase kind) {
    struct timespec until;
    struct entry *entry;
    struct scripted_frame frame = {0};
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += PATIENCE_S;
    int late = 0;
    pthread_mutex_lock(&server->lock);
    while ((entry = find(server, call_id, kind)) == NULL && late == 0 && !server->closed)
        late = pthread_cond_timedwait(&server->changed, &server->lock, &until);
    if (entry != NULL) {
        entry->asked_for = true;
        frame = entry->frame;
    }
    pthread_mutex_unlock(&server->lock);
    if (entry == NULL)
        fail_msg("no frame of kind %d has come", (int)kind);
    return frame;
}

bool scripted_has(struct scripted_server *server, uint64_t call_id, Trove__V1__Frame__BodyCase kind) {
    pthread_mutex_lock(&server->lock);
    bool has = find(server, call_id, kind) != NULL;
    pthread_mutex_unlock(&server->lock);
    return has;
}

/* ---- what goes ---- */

void scripted_send(struct scripted_server *server, uint64_t call_id, Trove__V1__Frame__BodyCase kind, void *body,
                   const void *payload, uint64_t payload_bytes) {
    tv_frame frame = TROVE__V1__FRAME__INIT;
    frame.call_id = call_id;
    frame.body_case = kind;
    frame.open = body; /* all members of the oneof are messages */
    trove_error error;
    if (tv_conn_send(server->conn, &frame, payload, payload_bytes, &error) != TROVE_OK)
        fail_msg("%s", error.message);
}

void scripted_send_chunk(struct scripted_server *server, uint64_t call_id, uint64_t index, uint64_t offset, uint64_t bytes,
                         bool final) {
    Trove__V1__Chunk chunk = TROVE__V1__CHUNK__INIT;
    void *payload = malloc(bytes + 1);
    assert_non_null(payload);
    memset(payload, BYTE, bytes);
    chunk.index = index;
    chunk.offset = offset;
    chunk.chunk_bytes = bytes;
    chunk.final = final;
    scripted_send(server, call_id, TV_BODY(CHUNK), &chunk, payload, bytes);
    free(payload);
}

void scripted_send_ack(struct scripted_server *server, uint64_t call_id, uint64_t first, uint64_t count, uint64_t credit) {
    Trove__V1__Ack ack = TROVE__V1__ACK__INIT;
    Trove__V1__IndexRange range = TROVE__V1__INDEX_RANGE__INIT;
    Trove__V1__IndexRange *ranges[] = {&range};
    range.first = first;
    range.count = count;
    ack.n_ranges = 1;
    ack.ranges = ranges;
    ack.credit = credit;
    scripted_send(server, call_id, TV_BODY(ACK), &ack, NULL, 0);
}

void scripted_send_complete(struct scripted_server *server, uint64_t call_id, uint64_t size, uint64_t chunks) {
    Trove__V1__Complete complete = TROVE__V1__COMPLETE__INIT;
    complete.size = size;
    complete.chunks = chunks;
    scripted_send(server, call_id, TV_BODY(COMPLETE), &complete, NULL, 0);
}

void scripted_send_completed(struct scripted_server *server, uint64_t call_id, uint64_t size) {
    Trove__V1__Completed completed = TROVE__V1__COMPLETED__INIT;
    Trove__V1__ObjectInfo object = TROVE__V1__OBJECT_INFO__INIT;
    object.size = size;
    object.generation = 2;
    completed.object = &object;
    scripted_send(server, call_id, TV_BODY(COMPLETED), &completed, NULL, 0);
}
