/* inline_put.c - small objects in one flight: the open's payload is the whole object. See Open.inline_checksum in trove.proto.
 *
 * One allocation holds everything that the object needs on its way; its bytes are charged to the memory budget and counted against
 * the connection's early-data allowance. Where either is used up the answer is "not taken", and the client opens a stream instead.
 */
#include "session.h"

#include "chunk.h"
#include "names.h"

#include <string.h>

/* Small objects on their way into the store, of all connections. */
#define ALL_BYTES_MAX (12 * TV_MIB)
#define ALL_PUTS_MAX  16384

struct inline_put {
    struct tvs_task task;
    struct tvs_session *session;
    struct tvs_pool *pool; /* with a reference */
    uint64_t call_id;
    const char *bucket;
    const char *key;
    struct tvs_put_options options;
    struct tv_data data;
    trove_metadata metadata[]; /* then the strings, then the bytes */
};

/* Takes the counts back. */
static void forget(struct tvs_session *session, uint64_t bytes) {
    struct tvs_server *server = session->server;
    atomic_fetch_sub_explicit(&server->inline_bytes, bytes, memory_order_relaxed);
    atomic_fetch_sub_explicit(&server->inline_puts, 1, memory_order_relaxed);
    atomic_fetch_sub_explicit(&session->inline_bytes, bytes, memory_order_relaxed);
    atomic_fetch_sub_explicit(&session->inline_puts, 1, memory_order_release); /* a drain looks at it */
}

/* Charges the bytes to the connection's allowance, to the server's and to the budget. The server's keeps the driver's queue from
 * filling up, so that putting something there doesn't wait. */
static bool charge(struct tvs_session *session, uint64_t bytes) {
    struct tvs_server *server = session->server;
    uint64_t before = atomic_fetch_add_explicit(&session->inline_bytes, bytes, memory_order_relaxed);
    uint32_t puts = atomic_fetch_add_explicit(&session->inline_puts, 1, memory_order_relaxed);
    uint64_t all_before = atomic_fetch_add_explicit(&server->inline_bytes, bytes, memory_order_relaxed);
    uint32_t all_puts = atomic_fetch_add_explicit(&server->inline_puts, 1, memory_order_relaxed);
    if (before + bytes <= TV_EARLY_DATA_BYTES && puts < TV_EARLY_DATA_PUTS_MAX && all_before + bytes <= ALL_BYTES_MAX &&
        all_puts < ALL_PUTS_MAX && tvs_budget_try(server->budget, bytes))
        return true;
    forget(session, bytes);
    return false;
}

static void uncharge(struct tvs_session *session, uint64_t bytes) {
    tvs_budget_give(session->server->budget, bytes);
    forget(session, bytes);
}

static void finish(struct inline_put *put) {
    struct tvs_session *session = put->session;
    struct tvs_server *server = session->server;
    uncharge(session, put->data.bytes);
    tvs_pool_release_reference(put->pool);
    free(put);
    tvs_server_calmed(server);
    tvs_session_release(session);
}

/* On a thread of the driver's. */
static void on_committed(void *context, trove_status status, const struct tvs_object *object, const trove_error *error) {
    struct inline_put *put = context;
    struct tvs_session *session = put->session;
    if (status != TROVE_OK) {
        tvs_session_send_status(session, put->call_id, error, false);
        finish(put);
        return;
    }
    atomic_fetch_add_explicit(&put->pool->bytes, put->data.bytes, memory_order_relaxed);
    atomic_fetch_add_explicit(&put->pool->chunks, 1, memory_order_relaxed);
    struct tvs_wire_object wire;
    tvs_wire_object(put->bucket, object, &wire);
    tv_frame frame = TROVE__V1__FRAME__INIT;
    Trove__V1__Completed completed;
    tvs_wire_completed(&wire, NULL, &completed);
    frame.call_id = put->call_id;
    frame.body_case = TV_BODY(COMPLETED);
    frame.completed = &completed;
    trove_status queued = tv_conn_queue(session->conn, &frame, NULL, 0, NULL);
    if (queued == TROVE_OK) /* else the connection is closing: the client will ask whether the object is there */
        tvs_session_flush_later(session);
    finish(put);
}

static void run(struct tvs_task *task) {
    struct inline_put *put = (struct inline_put *)((char *)task - offsetof(struct inline_put, task));
    const struct tvs_server *server = put->session->server;
    server->ops->put_small(server->driver, put->bucket, put->key, &put->options, &put->data, on_committed, put);
}

static trove_status check(const tv_frame *frame, const void *payload, uint64_t payload_bytes, struct tv_data *data,
                          trove_error *error) {
    const Trove__V1__Open *open = frame->open;
    if (open->direction != TROVE__V1__DIRECTION__UPLOAD || open->resumable || open->lossy || open->paused)
        return TV_FAIL(error, INVALID_ARGUMENT, "an inline object can only be a plain upload");
    if (open->digest != NULL && open->digest->kind != TROVE__V1__DIGEST_KIND__DIGEST_NONE)
        return TV_FAIL(error, UNIMPLEMENTED, "declared digests aren't there yet in this version of the server");
    if (payload_bytes > TV_INLINE_BYTES_MAX)
        return TV_FAIL(error, INVALID_ARGUMENT, "an inline object of %llu bytes; at most %llu are taken in one flight",
                       (unsigned long long)payload_bytes, (unsigned long long)TV_INLINE_BYTES_MAX);
    if (open->size_given_case == TROVE__V1__OPEN__SIZE_GIVEN_SIZE && open->size != payload_bytes)
        return TV_FAIL(error, INVALID_ARGUMENT, "%s/%s: %llu bytes were announced, but %llu came", open->bucket, open->key,
                       (unsigned long long)open->size, (unsigned long long)payload_bytes);
    trove_status status = tv_bucket_check(open->bucket, error);
    if (status == TROVE_OK)
        status = tv_key_check(open->key, error);
    if (status == TROVE_OK)
        status = tv_content_type_check(open->content_type, error);
    if (status != TROVE_OK)
        return status;
    *data = (struct tv_data){.bytes = payload_bytes, .iov_count = payload_bytes > 0};
    data->iov[0] = (struct iovec){(void *)(uintptr_t)payload, payload_bytes};
    tv_data_hash(data);
    if (tv_chunk_checksum(frame->call_id, 0, data) != open->inline_checksum)
        return TV_FAIL(error, DATA_LOSS, "%s/%s doesn't match its checksum: damaged on the way", open->bucket, open->key);
    return TROVE_OK;
}

static char *take_bytes(char **at, const void *bytes, size_t count) {
    char *copy = *at;
    if (count > 0)
        memcpy(copy, bytes, count);
    *at += count;
    return copy;
}

static char *take_text(char **at, const char *text) {
    return take_bytes(at, text, strlen(text) + 1);
}

static struct inline_put *create(struct tvs_session *session, const tv_frame *frame, const struct tv_data *data,
                                 trove_error *error) {
    const Trove__V1__Open *open = frame->open;
    trove_metadata list[TV_METADATA_COUNT_MAX];
    struct tvs_conditions conditions;
    if (tvs_metadata_from_wire(open->metadata, open->n_metadata, list, error) != TROVE_OK)
        return NULL;
    tvs_conditions_from_wire(open->conditions, &conditions);
    const char *if_match = conditions.if_match != NULL ? conditions.if_match : "";
    size_t bytes = strlen(open->bucket) + strlen(open->key) + strlen(open->content_type) + strlen(if_match) + 4;
    for (size_t i = 0; i < open->n_metadata; i++)
        bytes += strlen(list[i].key) + strlen(list[i].value) + 2;
    struct inline_put *put = malloc(sizeof *put + open->n_metadata * sizeof(trove_metadata) + bytes + data->bytes);
    if (put == NULL) {
        TV_FAIL(error, RESOURCE_EXHAUSTED, "no memory for %s/%s", open->bucket, open->key);
        return NULL;
    }
    char *at = (char *)(put->metadata + open->n_metadata);
    *put = (struct inline_put){.task.run = run, .session = session, .call_id = frame->call_id, .data = *data};
    put->bucket = take_text(&at, open->bucket);
    put->key = take_text(&at, open->key);
    put->options = (struct tvs_put_options){
        .content_type = take_text(&at, open->content_type),
        .metadata = put->metadata,
        .metadata_count = open->n_metadata,
        .size_hint = data->bytes,
        .conditions = conditions,
    };
    if (conditions.if_match != NULL)
        put->options.conditions.if_match = take_text(&at, if_match);
    for (size_t i = 0; i < open->n_metadata; i++) {
        put->metadata[i].key = take_text(&at, list[i].key);
        put->metadata[i].value = take_text(&at, list[i].value);
    }
    put->data.iov[0].iov_base = take_bytes(&at, data->iov[0].iov_base, data->bytes);
    return put;
}

void tvs_inline_put(struct tvs_session *session, const tv_frame *frame, const void *payload, uint64_t payload_bytes) {
    struct tvs_server *server = session->server;
    struct tv_data data;
    trove_error error;
    if (check(frame, payload, payload_bytes, &data, &error) != TROVE_OK) {
        tvs_session_send_status(session, frame->call_id, &error, false);
        return;
    }
    struct tvs_pool *pool = tvs_pools_find(server->pools, frame->open->pool, &error);
    if (pool == NULL) {
        tvs_session_send_status(session, frame->call_id, &error, false);
        return;
    }
    tvs_pool_bandwidth_spend(pool, data.bytes); /* they have come, whether they are taken or not */
    bool room = charge(session, data.bytes);
    if (room && !tvs_pool_bandwidth_try(pool, data.bytes)) {
        uncharge(session, data.bytes);
        room = false;
    }
    if (!room) {
        tvs_pool_release_reference(pool);
        TV_FAIL(&error, RESOURCE_EXHAUSTED, "no room for early data now; open a stream for %s/%s", frame->open->bucket,
                frame->open->key);
        tvs_session_send_status(session, frame->call_id, &error, true);
        return;
    }
    struct inline_put *put = create(session, frame, &data, &error);
    if (put == NULL) {
        uncharge(session, data.bytes);
        tvs_pool_release_reference(pool);
        tvs_session_send_status(session, frame->call_id, &error, false);
        return;
    }
    put->pool = pool;
    tvs_session_acquire(session);
    if (server->ops->capabilities & (TVS_CAP_NONBLOCKING | TVS_CAP_SMALL_QUEUED))
        run(&put->task);
    else
        tvs_workers_submit(server->workers, &put->task);
}
