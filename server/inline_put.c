/* inline_put.c - see inline_put.h.
 *
 * One allocation holds everything that the object needs on its way; this, and what the driver holds of it meanwhile, is charged
 * to the memory budget and counted against a ceiling of all that are on their way. Its bytes are counted against the connection's
 * early-data allowance. Where any of these is used up the answer is "not taken", and the client opens a stream instead.
 */
#include "inline_put.h"

#include "audit_events.h"
#include "chunk.h"
#include "container.h"
#include "names.h"
#include "storage_quota.h"
#include "wire.h"

#include <string.h>

struct inline_put {
    struct tvs_task task;
    struct tvs_session *session;
    struct tvs_pool *pool; /* with a reference */
    uint64_t call_id;
    uint64_t held_bytes; /* as it was charged */
    const char *bucket;
    const char *key;
    struct tvs_put_options options;
    struct tvs_declared_digest digest;
    struct tv_data data;
    trove_metadata metadata[]; /* then the strings, then the bytes */
};

/* What is to be put, before there is memory for it; borrowed. */
struct described {
    const char *bucket;
    const char *key;
    struct tvs_put_options options;
    struct tvs_declared_digest digest;
    trove_metadata metadata[TV_METADATA_COUNT_MAX];
    struct tv_data data;
    uint64_t put_bytes;  /* of a struct inline_put with all that is behind it */
    uint64_t held_bytes; /* the same, and the driver's part */
};

static bool charge(struct tvs_session *session, uint64_t data_bytes, uint64_t held_bytes) {
    struct tvs_server *server = session->server;
    if (!tvs_quota_take(&session->inline_puts, data_bytes, TV_EARLY_DATA_BYTES, TV_EARLY_DATA_PUTS_MAX))
        return false;
    if (tvs_quota_take(&server->inline_puts, held_bytes, TV_INLINE_ALL_BYTES_MAX, UINT32_MAX)) {
        if (tvs_budget_try(server->budget, held_bytes))
            return true;
        tvs_quota_give(&server->inline_puts, held_bytes);
    }
    tvs_quota_give(&session->inline_puts, data_bytes);
    return false;
}

static void uncharge(struct tvs_session *session, uint64_t data_bytes, uint64_t held_bytes) {
    struct tvs_server *server = session->server;
    tvs_budget_give(server->budget, held_bytes);
    tvs_quota_give(&server->inline_puts, held_bytes);
    tvs_quota_give(&session->inline_puts, data_bytes); /* a drain looks at it */
}

static void finish(struct inline_put *put) {
    struct tvs_session *session = put->session;
    struct tvs_server *server = session->server;
    struct tvs_pool *pool = put->pool;
    uint64_t data_bytes = put->data.bytes;
    uint64_t held_bytes = put->held_bytes;
    free(put);
    tvs_pool_release_reference(pool);
    uncharge(session, data_bytes, held_bytes);
    tvs_server_calmed(server);
    tvs_session_release(session);
}

/* On a thread of the driver's. */
static void on_committed(void *context, trove_status status, const struct tvs_object *object, const trove_error *error) {
    struct inline_put *put = context;
    static const trove_error fine = {TROVE_OK, ""};
    struct tvs_session *session = put->session;
    tvs_audit_put(session, put->bucket, put->key, put->data.bytes, status == TROVE_OK ? &fine : error);
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
    struct inline_put *put = TV_CONTAINER_OF(task, struct inline_put, task);
    const struct tvs_server *server = put->session->server;
    server->ops->put_small(server->driver, put->bucket, put->key, &put->options, &put->data, on_committed, put);
}

static trove_status check(const tv_frame *frame, const void *payload, uint64_t payload_bytes, struct tv_data *data,
                          trove_error *error) {
    const Trove__V1__Open *open = frame->open;
    if (open->direction != TROVE__V1__DIRECTION__UPLOAD || open->resumable || open->upload_id.len > 0 || open->lossy ||
        open->paused || open->follow)
        return TV_FAIL(error, INVALID_ARGUMENT, "an inline object can only be a plain upload");
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

static trove_status describe(const tv_frame *frame, const void *payload, uint64_t payload_bytes, struct described *described,
                             trove_error *error) {
    const Trove__V1__Open *open = frame->open;
    struct tvs_put_options *options = &described->options;
    trove_status status = check(frame, payload, payload_bytes, &described->data, error);
    if (status == TROVE_OK)
        status = tvs_metadata_from_wire(open->metadata, open->n_metadata, described->metadata, error);
    if (status == TROVE_OK)
        status = tvs_digest_from_wire(open->digest, &described->digest, error);
    if (status != TROVE_OK)
        return status;
    described->bucket = open->bucket;
    described->key = open->key;
    *options = (struct tvs_put_options){
        .content_type = open->content_type,
        .metadata = described->metadata,
        .metadata_count = open->n_metadata,
        .size_hint = payload_bytes,
        .digest = described->digest.kind != TVS_DIGEST_NONE ? &described->digest : NULL,
    };
    tvs_conditions_from_wire(open->conditions, &options->conditions);
    uint64_t bytes = strlen(open->bucket) + strlen(open->key) + strlen(open->content_type) + 3;
    if (options->conditions.if_match != NULL)
        bytes += strlen(options->conditions.if_match) + 1;
    for (size_t i = 0; i < options->metadata_count; i++)
        bytes += strlen(described->metadata[i].key) + strlen(described->metadata[i].value) + 2;
    described->put_bytes =
        sizeof(struct inline_put) + options->metadata_count * sizeof(trove_metadata) + bytes + described->data.bytes;
    described->held_bytes = described->put_bytes + tvs_small_put_bytes(open->key, options, payload_bytes);
    return TROVE_OK;
}

/* A copy that holds all its texts and bytes itself; NULL: no memory. */
static struct inline_put *create(const struct described *described) {
    size_t metadata_count = described->options.metadata_count;
    struct inline_put *put = malloc(described->put_bytes);
    if (put == NULL)
        return NULL;
    char *at = (char *)(put->metadata + metadata_count);
    *put = (struct inline_put){
        .task.run = run,
        .held_bytes = described->held_bytes,
        .options = described->options,
        .digest = described->digest,
        .data = described->data,
    };
    if (put->options.digest != NULL)
        put->options.digest = &put->digest;
    put->bucket = take_text(&at, described->bucket);
    put->key = take_text(&at, described->key);
    put->options.content_type = take_text(&at, described->options.content_type);
    put->options.metadata = put->metadata;
    if (described->options.conditions.if_match != NULL)
        put->options.conditions.if_match = take_text(&at, described->options.conditions.if_match);
    for (size_t i = 0; i < metadata_count; i++) {
        put->metadata[i].key = take_text(&at, described->metadata[i].key);
        put->metadata[i].value = take_text(&at, described->metadata[i].value);
    }
    put->data.iov[0].iov_base = take_bytes(&at, described->data.iov[0].iov_base, described->data.bytes);
    TV_ASSERT(at <= (char *)put + described->put_bytes);
    return put;
}

/* OK: it is charged, and *put_out is to be run. */
static trove_status admit(struct tvs_session *session, struct tvs_pool *pool, const struct described *described,
                          struct inline_put **put_out, bool *not_taken, trove_error *error) {
    uint64_t bytes = described->data.bytes;
    struct tvs_throttle *own = &session->bandwidth->throttle;
    tvs_throttle_spend(own, bytes); /* they have come, whether they are taken or not */
    tvs_throttle_spend(&pool->throttle, bytes);
    /* Whether it fits a quota can't be asked here, where nothing may block. */
    bool room = !tvs_storage_quota_has(session) && charge(session, bytes, described->held_bytes);
    if (room && (!tvs_throttle_try(own, bytes) || !tvs_pool_bandwidth_try(pool, bytes))) {
        uncharge(session, bytes, described->held_bytes);
        room = false;
    }
    if (!room) {
        *not_taken = true;
        return TV_FAIL(error, RESOURCE_EXHAUSTED, "no room for early data now; open a stream for %s/%s", described->bucket,
                       described->key);
    }
    struct inline_put *put = create(described);
    if (put == NULL) {
        uncharge(session, bytes, described->held_bytes);
        return TV_FAIL(error, RESOURCE_EXHAUSTED, "no memory for %s/%s", described->bucket, described->key);
    }
    *put_out = put;
    return TROVE_OK;
}

static struct tvs_pool *find_pool(struct tvs_session *session, const char *asked, trove_error *error) {
    char bound[TVS_POOL_NAME_BYTES];
    if (tvs_session_pool(session, asked, bound, error) != TROVE_OK)
        return NULL;
    return tvs_pools_find(session->server->pools, bound[0] != '\0' ? bound : asked, error);
}

void tvs_inline_put(struct tvs_session *session, const tv_frame *frame, const void *payload, uint64_t payload_bytes) {
    struct tvs_server *server = session->server;
    struct described described;
    struct inline_put *put = NULL;
    struct tvs_pool *pool = NULL;
    bool not_taken = false;
    trove_error error;
    trove_status status = describe(frame, payload, payload_bytes, &described, &error);
    if (status == TROVE_OK)
        status = tvs_session_may(session, TVS_RIGHT_WRITE, described.bucket, described.key, &error);
    if (status == TROVE_OK && (pool = find_pool(session, frame->open->pool, &error)) == NULL)
        status = error.status;
    if (status == TROVE_OK)
        status = admit(session, pool, &described, &put, &not_taken, &error);
    if (status != TROVE_OK) {
        if (pool != NULL)
            tvs_pool_release_reference(pool);
        if (!not_taken) /* else it comes again */
            tvs_audit_put(session, frame->open->bucket, frame->open->key, payload_bytes, &error);
        tvs_session_send_status(session, frame->call_id, &error, not_taken);
        return;
    }
    put->session = session;
    put->pool = pool;
    put->call_id = frame->call_id;
    tvs_session_acquire(session);
    if (server->ops->capabilities & (TVS_CAP_NONBLOCKING | TVS_CAP_SMALL_QUEUED))
        run(&put->task);
    else
        tvs_workers_submit(server->workers, &put->task);
}
