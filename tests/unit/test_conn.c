/* test_conn.c - two connections talk over a real unix socket: payloads land in place, control overtakes, ends have reasons.
 *
 * Each end records what it gets under a lock; the test waits for a condition with a deadline, never for a time to pass.
 */
#include "unit.h"

#include "conn.h"
#include "elsewhere.h"
#include "listener.h"
#include "scratch.h"
#include "timer.h"

#include <pthread.h>
#include <stdatomic.h>
#include <unistd.h>

#define WAIT_NS    (UINT64_C(20) * 1000000000)
#define LARGE      (1024 * 1024)
#define SMALL      100
#define CHUNKS_MAX 64

/* One end: what came in, and a flow to send chunks. */
struct end {
    struct tv_flow flow; /* first */
    struct tv_conn *conn;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    /* under the lock */
    uint64_t chunks; /* frames with a chunk */
    uint64_t pings;  /* pongs that came back */
    uint64_t calls;
    uint64_t call_at_chunk; /* how many chunks had come when the first call did */
    char message[64];
    trove_error closed;
    bool is_closed;
    trove_error gone;           /* the peer's go-away */
    uint64_t order[CHUNKS_MAX]; /* call ids of the chunks, as they came */
    /* the flow */
    uint64_t call_id;
    atomic_uint_least64_t to_send; /* a pull that finds none may come late, while the test says how many more */
    size_t chunk_bytes;
    uint8_t *source;
    uint8_t *target;
    atomic_int references;
    atomic_int sent;
};

static struct end *end_of(void *context) {
    return context;
}

static void on_payload(void *context, const tv_frame *frame, uint64_t payload_bytes, struct tv_sink *sink) {
    struct end *end = end_of(context);
    if (frame->body_case == TV_BODY(CALL)) {
        sink->kind = TV_SINK_MESSAGE;
        return;
    }
    MUST(payload_bytes <= LARGE);
    sink->kind = TV_SINK_MEMORY;
    sink->iov_count = 2; /* not in one piece, as segments are */
    sink->iov[0] = (struct iovec){end->target, payload_bytes / 3};
    sink->iov[1] = (struct iovec){end->target + payload_bytes / 3, payload_bytes - payload_bytes / 3};
}

static trove_status on_frame(void *context, const tv_frame *frame, const void *payload, uint64_t payload_bytes,
                             trove_error *error) {
    struct end *end = end_of(context);
    (void)error;
    pthread_mutex_lock(&end->lock);
    if (frame->body_case == TV_BODY(CHUNK)) {
        if (end->chunks < CHUNKS_MAX)
            end->order[end->chunks] = frame->call_id;
        end->chunks++;
    }
    end->pings += frame->body_case == TV_BODY(PONG);
    if (frame->body_case == TV_BODY(CALL)) {
        end->call_at_chunk = end->calls++ == 0 ? end->chunks : end->call_at_chunk;
        snprintf(end->message, sizeof end->message, "%.*s", (int)payload_bytes, (const char *)payload);
    }
    if (frame->body_case == TV_BODY(GO_AWAY))
        tv_status_from_wire(frame->go_away->status, &end->gone);
    pthread_cond_broadcast(&end->changed);
    pthread_mutex_unlock(&end->lock);
    return TROVE_OK;
}

static void on_closed(void *context, const trove_error *why) {
    struct end *end = end_of(context);
    pthread_mutex_lock(&end->lock);
    end->closed = *why;
    end->is_closed = true;
    pthread_cond_broadcast(&end->changed);
    pthread_mutex_unlock(&end->lock);
}

static const struct tv_conn_handler handler = {.payload = on_payload, .frame = on_frame, .closed = on_closed};

/* ---- the flow ---- */

static bool pull_control(struct tv_flow *flow, struct tv_pulled *pulled) {
    (void)flow;
    (void)pulled;
    return false;
}

static bool pull_data(struct tv_flow *flow, uint64_t payload_bytes_max, struct tv_pulled *pulled) {
    struct end *end = (struct end *)flow;
    if (atomic_load(&end->to_send) == 0)
        return false;
    atomic_fetch_sub(&end->to_send, 1);
    size_t bytes = end->chunk_bytes < payload_bytes_max ? end->chunk_bytes : payload_bytes_max;
    trove__v1__chunk__init(&pulled->scratch.chunk);
    pulled->frame.call_id = end->call_id;
    pulled->frame.body_case = TV_BODY(CHUNK);
    pulled->frame.chunk = &pulled->scratch.chunk;
    pulled->payload_bytes = bytes;
    pulled->iov_count = 1;
    pulled->iov[0] = (struct iovec){end->source, bytes};
    pulled->cookie = end;
    return true;
}

static void on_sent(struct tv_flow *flow, void *cookie) {
    struct end *end = (struct end *)flow;
    MUST(end == cookie);
    atomic_fetch_add(&end->sent, 1);
}

static void acquire(struct tv_flow *flow) {
    atomic_fetch_add(&((struct end *)flow)->references, 1);
}

static void release(struct tv_flow *flow) {
    atomic_fetch_sub(&((struct end *)flow)->references, 1);
}

static const struct tv_flow_ops flow_ops = {pull_control, pull_data, on_sent, acquire, release};

/* ---- a pair ---- */

static char folder[SCRATCH_BYTES];

static int make_folder(void **state) {
    (void)state;
    return scratch_make(folder) ? 0 : -1;
}

static int remove_folder(void **state) {
    (void)state;
    return scratch_remove(folder) ? 0 : -1;
}

struct pair {
    char url[SCRATCH_BYTES + 16];
    struct tv_listener *listener;
    struct end client;
    struct end server;
    pthread_mutex_t lock;
    pthread_cond_t accepted;
    struct tv_transport *transport; /* the server's */
};

static struct timespec deadline(void) {
    struct timespec at;
    clock_gettime(CLOCK_REALTIME, &at);
    at.tv_sec += (time_t)(WAIT_NS / 1000000000);
    return at;
}

#define WAIT_FOR(end, condition)                                                                                                 \
    do {                                                                                                                         \
        struct timespec until = deadline();                                                                                      \
        int code = 0;                                                                                                            \
        pthread_mutex_lock(&(end)->lock);                                                                                        \
        while (!(condition) && code == 0)                                                                                        \
            code = pthread_cond_timedwait(&(end)->changed, &(end)->lock, &until);                                                \
        bool reached = (condition);                                                                                              \
        pthread_mutex_unlock(&(end)->lock);                                                                                      \
        assert_true(reached);                                                                                                    \
    } while (0)

static void on_accepted(void *context, struct tv_transport *transport) {
    struct pair *pair = context;
    pthread_mutex_lock(&pair->lock);
    pair->transport = transport;
    pthread_cond_signal(&pair->accepted);
    pthread_mutex_unlock(&pair->lock);
}

static void end_init(struct end *end, uint64_t call_id) {
    memset(end, 0, sizeof *end);
    end->flow.ops = &flow_ops;
    end->call_id = call_id;
    pthread_mutex_init(&end->lock, NULL);
    pthread_cond_init(&end->changed, NULL);
    end->source = malloc(LARGE);
    end->target = malloc(LARGE);
    for (size_t i = 0; i < LARGE; i++)
        end->source[i] = (uint8_t)(i * 7 + i / 251);
}

static void end_fini(struct end *end) {
    tv_conn_destroy(end->conn);
    assert_int_equal(end->references, 0);
    free(end->source);
    free(end->target);
    pthread_mutex_destroy(&end->lock);
    pthread_cond_destroy(&end->changed);
}

static void connect_end(struct end *end, struct tv_transport *transport, bool checksums) {
    const struct tv_conn_options options = {.payload_bytes_max = LARGE};
    assert_int_equal(tv_conn_create(transport, &handler, end, &options, &end->conn, NULL), TROVE_OK);
    tv_conn_establish(end->conn, LARGE, 1000, checksums);
}

/* Connected and greeted; checksums from the second frame of each end on, as after a welcome. */
static void pair_open(struct pair *pair) {
    memset(pair, 0, sizeof *pair);
    pthread_mutex_init(&pair->lock, NULL);
    pthread_cond_init(&pair->accepted, NULL);
    end_init(&pair->client, 1);
    end_init(&pair->server, 2);
    snprintf(pair->url, sizeof pair->url, "ipc://%s/s", folder);
    trove_error error;
    assert_int_equal(tv_listener_create(pair->url, 0600, on_accepted, pair, &pair->listener, &error), TROVE_OK);
    struct tv_transport *transport = NULL;
    assert_int_equal(tv_transport_dial(pair->url, 5000, NULL, &transport, &error), TROVE_OK);
    struct timespec until = deadline();
    pthread_mutex_lock(&pair->lock);
    while (pair->transport == NULL && pthread_cond_timedwait(&pair->accepted, &pair->lock, &until) == 0)
        continue;
    pthread_mutex_unlock(&pair->lock);
    assert_non_null(pair->transport);
    connect_end(&pair->client, transport, false);
    connect_end(&pair->server, pair->transport, false);
}

static void pair_start(struct pair *pair) {
    tv_conn_start(pair->client.conn);
    tv_conn_start(pair->server.conn);
}

static void pair_close(struct pair *pair) {
    trove_error enough = {TROVE_OK, "the test is over"};
    tv_conn_abort(pair->client.conn, &enough);
    WAIT_FOR(&pair->client, pair->client.is_closed);
    WAIT_FOR(&pair->server, pair->server.is_closed);
    end_fini(&pair->client);
    end_fini(&pair->server);
    tv_listener_destroy(pair->listener);
    unlink(pair->url + strlen("ipc://"));
    pthread_mutex_destroy(&pair->lock);
    pthread_cond_destroy(&pair->accepted);
}

static void send_chunks(struct end *from, uint64_t count, size_t bytes) {
    from->chunk_bytes = bytes;
    atomic_store(&from->to_send, count);
    tv_conn_wake(from->conn, &from->flow, TV_WANTS_DATA);
}

static trove_status send_call(struct end *from, const char *text) {
    tv_frame frame = TROVE__V1__FRAME__INIT;
    Trove__V1__Call call = TROVE__V1__CALL__INIT;
    call.method = "trove.v1.Server/Echo";
    frame.call_id = 9;
    frame.body_case = TV_BODY(CALL);
    frame.call = &call;
    return tv_conn_send(from->conn, &frame, text, strlen(text), NULL);
}

/* ---- tests ---- */

static void large_payloads_land_in_place(void **state) {
    (void)state;
    struct pair pair;
    pair_open(&pair);
    pair_start(&pair);
    struct tv_conn_metrics before;
    struct tv_conn_metrics after;
    send_chunks(&pair.client, 4, LARGE);
    WAIT_FOR(&pair.server, pair.server.chunks == 4);
    tv_conn_metrics(pair.server.conn, &before);
    struct tv_conn_metrics sender;
    tv_conn_metrics(pair.client.conn, &sender);
    send_chunks(&pair.client, 32, LARGE);
    WAIT_FOR(&pair.server, pair.server.chunks == 36);
    tv_conn_metrics(pair.server.conn, &after);
    assert_memory_equal(pair.client.source, pair.server.target, LARGE);
    assert_int_equal(after.payload_received_bytes - before.payload_received_bytes, 32 * LARGE);
    assert_true(after.payload_copied_bytes - before.payload_copied_bytes <= 32 * TV_STAGING_BYTES);
    assert_int_equal(after.allocations, before.allocations);
    struct tv_conn_metrics sender_after;
    tv_conn_metrics(pair.client.conn, &sender_after);
    assert_int_equal(sender_after.allocations, sender.allocations);
    assert_int_equal(sender_after.payload_staged_bytes, 0);
    pair_close(&pair);
    assert_int_equal(pair.client.sent, 36);
}

static void small_frames_share_reads(void **state) {
    (void)state;
    struct pair pair;
    pair_open(&pair);
    pair_start(&pair);
    send_chunks(&pair.client, 5000, SMALL);
    send_chunks(&pair.server, 5000, SMALL);
    WAIT_FOR(&pair.server, pair.server.chunks == 5000);
    WAIT_FOR(&pair.client, pair.client.chunks == 5000);
    assert_memory_equal(pair.client.source, pair.server.target, SMALL);
    struct tv_conn_metrics metrics;
    tv_conn_metrics(pair.server.conn, &metrics);
    assert_int_equal(metrics.allocations, 0);
    pair_close(&pair);
}

static void calls_overtake_data(void **state) {
    (void)state;
    struct pair pair;
    pair_open(&pair);
    tv_conn_start(pair.client.conn);
    send_chunks(&pair.client, 200, LARGE);
    assert_int_equal(send_call(&pair.client, "hurry"), TROVE_OK);
    tv_conn_start(pair.server.conn); /* only now is anything read */
    WAIT_FOR(&pair.server, pair.server.calls == 1);
    assert_string_equal(pair.server.message, "hurry");
    /* It waits for the operation under way and for what the kernel holds, not for 200 MiB. */
    assert_true(pair.server.call_at_chunk <= 8);
    WAIT_FOR(&pair.server, pair.server.chunks == 200);
    pair_close(&pair);
}

static void a_reason_reaches_a_busy_peer(void **state) {
    (void)state;
    struct pair pair;
    pair_open(&pair);
    pair_start(&pair);
    send_chunks(&pair.client, 48, LARGE); /* most unread when the server gives up; less than a connection lingers for */
    WAIT_FOR(&pair.server, pair.server.chunks >= 1);
    trove_error reason = {TROVE_RESOURCE_EXHAUSTED, "too many of you"};
    tv_conn_shutdown(pair.server.conn, &reason);
    WAIT_FOR(&pair.client, pair.client.gone.status != TROVE_OK);
    assert_int_equal(pair.client.gone.status, TROVE_RESOURCE_EXHAUSTED);
    assert_string_equal(pair.client.gone.message, "too many of you");
    assert_int_equal(send_call(&pair.server, "late"), TROVE_UNAVAILABLE);
    pair_close(&pair);
    assert_int_equal(pair.server.closed.status, TROVE_RESOURCE_EXHAUSTED);
}

static void a_silent_peer_is_asked_then_given_up(void **state) {
    (void)state;
    struct pair pair;
    pair_open(&pair);
    pair_start(&pair);
    assert_int_equal(send_call(&pair.server, "hello"), TROVE_OK);
    WAIT_FOR(&pair.client, pair.client.calls == 1);
    uint64_t now_ns = tv_now_ns();
    tv_conn_tick(pair.client.conn, now_ns + UINT64_C(1500) * 1000000); /* keep-alive is 1 s */
    WAIT_FOR(&pair.client, pair.client.pings == 1);
    assert_false(pair.client.is_closed);
    tv_conn_tick(pair.client.conn, tv_now_ns() + UINT64_C(2500) * 1000000);
    WAIT_FOR(&pair.client, pair.client.is_closed);
    assert_int_equal(pair.client.closed.status, TROVE_UNAVAILABLE);
    assert_non_null(strstr(pair.client.closed.message, "silent"));
    pair_close(&pair);
}

static void damaged_headers_are_noticed(void **state) {
    (void)state;
    struct pair pair;
    pair_open(&pair);
    /* One end expects checksums and the other doesn't send them. */
    tv_conn_establish(pair.server.conn, LARGE, 1000, true);
    pair_start(&pair);
    assert_int_equal(send_call(&pair.client, "first"), TROVE_OK); /* checksums count from the frame after this */
    assert_int_equal(send_call(&pair.client, "second"), TROVE_OK);
    WAIT_FOR(&pair.client, pair.client.gone.status == TROVE_DATA_LOSS);
    assert_int_equal(pair.server.calls, 1);
    pair_close(&pair);
}

static void data_in_both_directions_ends_whole(void **state) {
    (void)state;
    struct pair pair;
    pair_open(&pair);
    pair_start(&pair);
    send_chunks(&pair.client, 300, LARGE);
    send_chunks(&pair.server, 300, LARGE / 2 + 1);
    WAIT_FOR(&pair.server, pair.server.chunks == 300);
    WAIT_FOR(&pair.client, pair.client.chunks == 300);
    pair_close(&pair);
    assert_int_equal(pair.client.sent, 300);
    assert_int_equal(pair.server.sent, 300);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(large_payloads_land_in_place),
        cmocka_unit_test(small_frames_share_reads),
        cmocka_unit_test(calls_overtake_data),
        cmocka_unit_test(a_reason_reaches_a_busy_peer),
        cmocka_unit_test(a_silent_peer_is_asked_then_given_up),
        cmocka_unit_test(damaged_headers_are_noticed),
        cmocka_unit_test(data_in_both_directions_ends_whole),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
