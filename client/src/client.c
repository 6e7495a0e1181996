/* client.c - the client's life and what everything else in it stands on. See client.h; connecting is in connect.c. */
#include "client.h"

#include "security.h"
#include "stream.h"
#include "wait.h"

#include <sodium.h>
#include <string.h>

trove_status tvc_client_check(const struct trove_client *client, trove_error *error) {
    if (client->phase == TVC_READY)
        return TROVE_OK;
    return tv_error_copy(error, &client->lost);
}

/* Whether there will be a connection again without anyone's asking. */
static bool is_coming_back(const struct trove_client *client) {
    return client->phase == TVC_BROKEN || (client->phase == TVC_DRAINING && tvc_client_retries(client));
}

trove_status tvc_client_await(struct trove_client *client, uint64_t deadline_ns, trove_error *error) {
    if (client->phase == TVC_GIVEN_UP)
        tvc_redial_begin(client);
    uint64_t times = client->times_given_up;
    bool in_time = true;
    while (is_coming_back(client) && client->times_given_up == times && in_time)
        in_time = tvc_cond_wait(&client->changed, &client->lock, deadline_ns);
    if (!in_time && is_coming_back(client))
        return TV_FAIL(error, DEADLINE_EXCEEDED, "%.300s; it wasn't there again in time", client->lost.message);
    return tvc_client_check(client, error);
}

bool tvc_client_pause(struct trove_client *client, struct tvc_backoff *backoff, uint64_t deadline_ns) {
    uint64_t next_ns = tvc_backoff_next(backoff, tv_now_ns(), randombytes_random());
    if (next_ns >= deadline_ns)
        return false;
    bool in_time = true;
    pthread_mutex_lock(&client->lock);
    while (client->phase != TVC_LOST && in_time)
        in_time = tvc_cond_wait(&client->changed, &client->lock, next_ns);
    pthread_mutex_unlock(&client->lock);
    return true;
}

struct tvc_limits tvc_client_limits(struct trove_client *client) {
    pthread_mutex_lock(&client->lock);
    struct tvc_limits limits = client->limits;
    pthread_mutex_unlock(&client->lock);
    return limits;
}

uint64_t tvc_client_deadline(const struct trove_client *client, uint32_t timeout_ms) {
    return tvc_deadline_after_ms(timeout_ms == 0 ? client->call_timeout_ms : timeout_ms);
}

/* ---- calling the connection ---- */

static void conn_leave(struct trove_client *client) {
    if (atomic_fetch_sub(&client->conn_users, 1) == 1 && atomic_load(&client->conn_shut)) {
        pthread_mutex_lock(&client->lock);
        pthread_cond_broadcast(&client->changed);
        pthread_mutex_unlock(&client->lock);
    }
    tvc_client_release(client);
}

/* False: there is no connection, or it is being taken down. */
static bool conn_enter(struct trove_client *client) {
    tvc_client_acquire(client);
    atomic_fetch_add(&client->conn_users, 1);
    if (!atomic_load(&client->conn_shut))
        return true;
    conn_leave(client);
    return false;
}

trove_status tvc_client_send(struct trove_client *client, const tv_frame *frame, const void *payload, uint64_t payload_bytes,
                             trove_error *error) {
    if (!conn_enter(client))
        return TV_FAIL(error, UNAVAILABLE, "there is no connection to %s", client->url);
    trove_status status = tv_conn_send(client->conn, frame, payload, payload_bytes, error);
    conn_leave(client);
    return status;
}

/* Whoever has entered keeps the connection: it isn't another one before they leave. */
trove_status tvc_client_send_on(struct trove_client *client, uint64_t connection, const tv_frame *frame, trove_error *error) {
    bool entered = conn_enter(client);
    pthread_mutex_lock(&client->lock);
    bool same = entered && client->connection == connection;
    pthread_mutex_unlock(&client->lock);
    trove_status status = same ? tv_conn_send(client->conn, frame, NULL, 0, error)
                               : TV_FAIL(error, UNAVAILABLE, "the connection to %s was lost", client->url);
    if (entered)
        conn_leave(client);
    return status;
}

/* An asynchronous call that is begun by the `done` of another goes out together with its neighbours. */
static bool sent_later(const struct trove_client *client, const struct tvc_entry *entry) {
    return entry->kind == TVC_ENTRY_CALL && ((const struct tvc_call *)entry)->kind != TVC_CALL_WAITED &&
           tvc_job_thread_here(&client->hooks) && client->calls.telling;
}

/* On the connection on which the entry was listed: on the next one its id would be nobody's. Whoever is so late has been told of
 * the loss already. */
static trove_status send_first(struct trove_client *client, uint64_t connection, const struct tvc_entry *entry,
                               const tv_frame *frame, const void *payload, uint64_t payload_bytes, trove_error *error) {
    trove_status status = TROVE_OK;
    if (!conn_enter(client))
        return TV_FAIL(error, UNAVAILABLE, "there is no connection to %s", client->url);
    if (client->connection != connection) {
        status = TV_FAIL(error, UNAVAILABLE, "the connection to %s was lost", client->url);
    } else if (sent_later(client, entry)) {
        client->calls.unsent = true;
        status = tv_conn_queue(client->conn, frame, payload, payload_bytes, error);
    } else {
        status = tv_conn_send(client->conn, frame, payload, payload_bytes, error);
    }
    conn_leave(client);
    return status;
}

void tvc_client_flush(struct trove_client *client) {
    if (!conn_enter(client))
        return;
    tv_conn_flush(client->conn);
    conn_leave(client);
}

void tvc_client_tick_connection(struct trove_client *client, uint64_t now_ns) {
    if (!conn_enter(client))
        return;
    tv_conn_tick(client->conn, now_ns);
    conn_leave(client);
}

void tvc_client_wake(struct trove_client *client, struct tv_flow *flow, unsigned wants) {
    if (!conn_enter(client))
        return;
    tv_conn_wake(client->conn, flow, wants);
    conn_leave(client);
}

void tvc_client_leave(struct trove_client *client, const char *why) {
    trove_error reason = {TROVE_OK, ""};
    snprintf(reason.message, sizeof reason.message, "%s", why);
    if (!conn_enter(client))
        return;
    tv_conn_shutdown(client->conn, &reason);
    conn_leave(client);
}

void tvc_client_abort(struct trove_client *client, const trove_error *why) {
    if (!conn_enter(client))
        return;
    tv_conn_abort(client->conn, why);
    conn_leave(client);
}

/* Under the lock. */
static trove_status enlist(struct trove_client *client, struct tvc_entry *entry, trove_error *error) {
    trove_status status = tvc_client_check(client, error);
    if (status == TROVE_OK && entry->kind == TVC_ENTRY_STREAM && tv_stream_state_terminal(((trove_stream *)entry)->state))
        status = tvc_stream_over((trove_stream *)entry, error); /* nobody would take it out of the table again */
    if (status != TROVE_OK)
        return status;
    entry->node.id = client->next_id++;
    entry->listed = true;
    tv_id_table_add(&client->entries, &entry->node);
    if (entry->kind == TVC_ENTRY_CALL)
        tvc_call_watch(client, (struct tvc_call *)entry);
    return TROVE_OK;
}

void tvc_client_unlist(struct trove_client *client, struct tvc_entry *entry) {
    if (!entry->listed)
        return;
    entry->listed = false;
    tv_id_table_remove(&client->entries, &entry->node);
}

struct tvc_entry *tvc_client_find(struct trove_client *client, uint64_t id) {
    return (struct tvc_entry *)tv_id_table_find(&client->entries, id);
}

trove_status tvc_client_begin(struct trove_client *client, struct tvc_entry *entry, tv_frame *frame, const void *payload,
                              uint64_t payload_bytes, tvc_prepare prepare, void *context, trove_error *error) {
    pthread_mutex_lock(&client->lock);
    trove_status status = enlist(client, entry, error);
    uint64_t id = entry->node.id;
    uint64_t connection = client->connection;
    pthread_mutex_unlock(&client->lock);
    if (status != TROVE_OK)
        return status;
    frame->call_id = id;
    if (prepare != NULL)
        prepare(context, frame);
    trove_error why;
    status = send_first(client, connection, entry, frame, payload, payload_bytes, &why);
    if (status == TROVE_OK)
        return TROVE_OK;
    pthread_mutex_lock(&client->lock);
    bool ours = tvc_client_find(client, id) == entry; /* else it has been failed already, and told so */
    if (ours)
        tvc_client_unlist(client, entry);
    pthread_mutex_unlock(&client->lock);
    if (status == TROVE_UNAVAILABLE)
        tvc_client_ending(client, connection, &why);
    return ours ? tv_error_copy(error, &why) : TROVE_OK;
}

/* ---- memory ---- */

/* Takes out of the cache what was left there before `before_ns`, for the caller to free. Under the lock. */
static struct tvc_chunks *evict(struct trove_client *client, uint64_t before_ns) {
    uint64_t bytes = 0;
    struct tvc_chunks *evicted = tvc_chunk_cache_evict(&client->cache, before_ns, &bytes);
    client->memory_used -= bytes;
    client->buffers_gone += tvc_chunk_cache_created(evicted);
    return evicted;
}

void tvc_client_trim(struct trove_client *client, uint64_t before_ns) {
    pthread_mutex_lock(&client->lock);
    struct tvc_chunks *evicted = evict(client, before_ns);
    pthread_mutex_unlock(&client->lock);
    tvc_chunk_cache_free(evicted);
}

uint64_t tvc_client_memory_claim(struct trove_client *client, uint64_t want, uint64_t least) {
    struct tvc_chunks *evicted = NULL;
    pthread_mutex_lock(&client->lock);
    if (want > (client->memory_bytes - client->memory_used) / 2)
        evicted = evict(client, UINT64_MAX);
    uint64_t free_bytes = client->memory_bytes - client->memory_used;
    uint64_t claimed = want;
    if (want > free_bytes / 2)
        claimed = free_bytes / 2 > least ? free_bytes / 2 : least;
    if (claimed > free_bytes)
        claimed = 0;
    client->memory_used += claimed;
    pthread_mutex_unlock(&client->lock);
    tvc_chunk_cache_free(evicted);
    return claimed;
}

void tvc_client_memory_return(struct trove_client *client, uint64_t bytes) {
    pthread_mutex_lock(&client->lock);
    client->memory_used -= bytes;
    pthread_mutex_unlock(&client->lock);
}

/* ---- life ---- */

void tvc_client_acquire(struct trove_client *client) {
    atomic_fetch_add_explicit(&client->references, 1, memory_order_relaxed);
}

void tvc_client_release(struct trove_client *client) {
    if (atomic_fetch_sub_explicit(&client->references, 1, memory_order_acq_rel) != 1)
        return;
    tvc_calls_fini(&client->calls);
    tv_id_table_fini(&client->entries);
    tvc_job_thread_fini(&client->dialler);
    tv_dialling_fini(&client->dialling);
    tvc_job_thread_fini(&client->resender);
    tvc_job_thread_fini(&client->drainer);
    tvc_job_thread_fini(&client->hooks);
    pthread_cond_destroy(&client->changed);
    pthread_mutex_destroy(&client->lock);
    tvc_security_end(client);
    free(client->agent);
    free(client->url);
    free(client);
}

static bool calls_are_back(const struct trove_client *client) {
    return client->calls.in_use == 0 && client->calls.waiting == 0;
}

void trove_close(trove_client *client) {
    if (client == NULL)
        return;
    trove_error closed = {TROVE_CANCELLED, "the client was closed"};
    tvc_client_lose(client, true, &closed, &closed);
    tvc_client_trim(client, UINT64_MAX);
    tv_dialling_end(&client->dialling);
    tvc_job_thread_end(&client->dialler);
    tvc_client_end_connection(client);
    tv_timers_destroy(client->timers);
    /* Calls that waited come back by themselves, asynchronous ones are given back by the hook thread and the resender. */
    pthread_mutex_lock(&client->lock);
    while (!calls_are_back(client))
        pthread_cond_wait(&client->changed, &client->lock);
    pthread_mutex_unlock(&client->lock);
    tvc_job_thread_end(&client->resender);
    tvc_job_thread_end(&client->drainer); /* what it ends has hooks */
    tvc_job_thread_end(&client->hooks);
    tvc_client_disconnect(client);
    tvc_client_release(client);
}

/* ---- metrics ---- */

void trove_client_metrics_get(trove_client *client, trove_client_metrics *metrics) {
    bool entered = conn_enter(client); /* which isn't counted among those before it until we leave */
    pthread_mutex_lock(&client->lock);
    struct tv_conn_metrics conn = client->conn_totals;
    if (entered)
        tvc_client_add_metrics(&conn, client->conn);
    *metrics = (trove_client_metrics){
        .frames_sent = conn.frames_sent,
        .frames_received = conn.frames_received,
        .bytes_sent = conn.bytes_sent,
        .bytes_received = conn.bytes_received,
        .payload_copied_bytes = conn.payload_copied_bytes,
        .reconnects = client->reconnects,
        .reconnecting = client->phase == TVC_BROKEN,
    };
    metrics->buffers_allocated = client->buffers_gone + tvc_chunk_cache_created(client->cache.first);
    for (trove_stream *stream = client->streams; stream != NULL; stream = stream->next) {
        const struct tvc_chunks *ways[] = {stream->upload.half.chunks, stream->download.half.chunks};
        for (unsigned i = 0; i < 2; i++)
            metrics->buffers_allocated += ways[i] != NULL ? tvc_chunks_created(ways[i]) : 0;
    }
    pthread_mutex_unlock(&client->lock);
    if (entered)
        conn_leave(client);
}

const char *trove_version(void) {
#define VERSION_TEXT(major, minor, patch)     #major "." #minor "." #patch
#define VERSION_EXPANDED(major, minor, patch) VERSION_TEXT(major, minor, patch)
    return VERSION_EXPANDED(TROVE_VERSION_MAJOR, TROVE_VERSION_MINOR, TROVE_VERSION_PATCH);
}
