/* server.c - what `troved` is made of: it puts store, memory, workers, listeners and sessions together and takes them apart. See
 * server.h and session.h.
 *
 * Threads: main calls in; sessions come from nng's threads; the timer ticks once a second and frees what has ended.
 */
#include "session.h"

#include "audit_events.h"
#include "collector.h"
#include "container.h"
#include "encryption.h"
#include "listener.h"
#include "resume.h"
#include "stream.h"

#include <errno.h>
#include <time.h>

#define TICK_NS          UINT64_C(1000000000)
#define RELIEVE_NS       (20 * UINT64_C(1000000)) /* until memory is asked back for one who waits, and between two rounds */
#define RELIEVE_REST     20                       /* a round through very many streams is followed by so much more of a rest */
#define WORKER_GRACE_MS  2000
#define CLOSING_GRACE_MS 3000
#define STORE_GRACE_MS   5000
#define SECOND_MS        1000
/* Of the time that a drain has: so much is kept back for what comes after it, half of it at most. */
#define ENDING_MS_MAX 2000
/* And the end comes by so much earlier than it must: a tenth of the time at most. */
#define MARGIN_MS_MAX 200
#define HOUR_MS       (3600u * SECOND_MS)

void tvs_server_options_init(struct tvs_server_options *options) {
    *options = (struct tvs_server_options){
        .memory_bytes = 256 * TV_MIB,
        .workers = 4,
        .connections_max = 4096,
        .per_address_max = 2048,
        .handshakes_max = 6000,
        .streams_max = TV_STREAMS_PER_CONN_MAX,
        .calls_max = TV_CALLS_PER_CONN_MAX,
        .keepalive_ms = 15000,
        .rate_min = 128,
        .handshake_ms = 5000,
        .call_deadline_ms = 30000,
        .uploads_idle_ms = 24 * HOUR_MS,
        .uploads_keep_ms = 7 * 24 * HOUR_MS,
        .socket_mode = 0600,
        .pools = {.count = 1, .pools[0] = {.name = TVS_POOL_NAME_DEFAULT}},
    };
    tvs_pool_limits_init(&options->pools.pools[0].limits);
}

/* ---- the timer ---- */

/* A pool was closed, and its streams have had their time. */
static void cancel_streams(void *context, struct tvs_pool *pool) {
    struct tvs_server *server = context;
    struct tvs_stream *list[64];
    uint64_t after_id = 0;
    trove_error why;
    TV_FAIL(&why, CANCELLED, "pool \"%s\" was taken out of the server's config, and drain_timeout is over", pool->name);
    for (size_t count; (count = tvs_stream_list_page(&server->streams, pool, after_id, list, 64)) > 0;) {
        after_id = list[count - 1]->id;
        for (size_t i = 0; i < count; i++) {
            tvs_stream_end(list[i], TV_EVENT_CANCEL, &why);
            tvs_stream_release(list[i]);
        }
    }
}

static void relieve_at(struct tvs_server *server, uint64_t due_ns) {
    if (tv_timer_arm(server->timers, &server->relieve, due_ns, NULL) != TROVE_OK)
        tvs_relief_disarm(&server->relief); /* the next one who waits tries again */
}

/* Calls `what` for each session. Only the timer's own thread takes sessions out of the list, so a session stays while it is
 * looked at. */
static void walk_sessions(struct tvs_server *server, void (*what)(struct tvs_session *, uint64_t), uint64_t now_ns) {
    pthread_mutex_lock(&server->lock);
    struct tvs_session *session = server->sessions;
    pthread_mutex_unlock(&server->lock);
    while (session != NULL) {
        what(session, now_ns);
        pthread_mutex_lock(&server->lock);
        session = session->next;
        pthread_mutex_unlock(&server->lock);
    }
}

/* Beside all the calls that there may be, each with a deadline, the pools' timers and the server's own find room. */
_Static_assert(TV_CALLS_MAX + 2 * TVS_POOLS_HELD_MAX + TVS_CONNECTIONS_MAX + 3 < TV_TIMERS_MAX,
               "every call, every pool, everybody who is connected and the server have their timers");

static void on_tick(struct tv_timer *timer) {
    struct tvs_server *server = TV_CONTAINER_OF(timer, struct tvs_server, tick);
    uint64_t now_ns = tv_now_ns();
    walk_sessions(server, tvs_session_tick, now_ns);
    tvs_pools_tick(server->pools, now_ns, cancel_streams, server);
    tvs_collector_tick(server, now_ns);
    tvs_audit_left_out(server);
    trove_status status = tv_timer_arm(server->timers, timer, now_ns + TICK_NS, NULL);
    TV_ASSERT(status == TROVE_OK); /* a timer keeps its slot while its callback runs */
}

/* As long as somebody waits for memory, those who don't use theirs are asked for it. */
static void on_relieve(struct tv_timer *timer) {
    struct tvs_server *server = TV_CONTAINER_OF(timer, struct tvs_server, relieve);
    uint64_t begun_ns = tv_now_ns();
    tvs_relief_begin(&server->relief);
    walk_sessions(server, tvs_session_relieve, begun_ns);
    uint64_t ended_ns = tv_now_ns();
    if (tvs_relief_end(&server->relief))
        relieve_at(server, ended_ns + RELIEVE_NS + (ended_ns - begun_ns) * RELIEVE_REST);
}

/* Somebody has begun to wait for memory. Under a session's lock. */
static void on_pressed(void *context) {
    struct tvs_server *server = context;
    if (tvs_relief_want(&server->relief))
        relieve_at(server, tv_now_ns() + RELIEVE_NS);
}

static struct tvs_session *unlink_ended(struct tvs_server *server) {
    struct tvs_session *ended = NULL;
    pthread_mutex_lock(&server->lock);
    for (struct tvs_session **at = &server->sessions; *at != NULL;) {
        struct tvs_session *session = *at;
        if (atomic_load_explicit(&session->references, memory_order_acquire) > 0) {
            at = &session->next;
            continue;
        }
        *at = session->next;
        session->next = ended;
        ended = session;
    }
    pthread_mutex_unlock(&server->lock);
    return ended;
}

static void on_reap(struct tv_timer *timer) {
    struct tvs_server *server = TV_CONTAINER_OF(timer, struct tvs_server, reap);
    for (struct tvs_session *session = unlink_ended(server); session != NULL;) {
        struct tvs_session *next = session->next;
        bool admitted = session->admitted;
        tvs_session_destroy(session);
        pthread_mutex_lock(&server->lock);
        server->session_count--;
        server->admitted_count -= admitted;
        pthread_cond_broadcast(&server->calmed);
        pthread_mutex_unlock(&server->lock);
        session = next;
    }
}

void tvs_server_reap(struct tvs_server *server) {
    trove_status status = tv_timer_arm(server->timers, &server->reap, tv_now_ns(), NULL);
    (void)status; /* without memory for a timer the next session that ends takes this one along */
}

void tvs_server_calmed(struct tvs_server *server) {
    if (atomic_load_explicit(&server->waiting, memory_order_relaxed))
        pthread_cond_broadcast(&server->calmed);
}

/* ---- creation ---- */

static void log_store(void *context, const char *message) {
    (void)context;
    struct tvs_log_line line;
    tvs_log_begin(&line, TVS_LOG_WARN, "store");
    tvs_log_text(&line, "what", message);
    tvs_log_end(&line);
}

static trove_status open_store(struct tvs_server *server, trove_error *error) {
    const char *path = NULL;
    server->ops = tvs_driver_find(server->options.store, &path, error);
    if (server->ops == NULL)
        return error->status;
    const struct tvs_driver_config config = {
        .path = path,
        .memory_bytes = server->options.store_memory_bytes,
        .relaxed = server->options.relaxed,
        .log = log_store,
    };
    return server->ops->open(&config, &server->driver, error);
}

static void init_conditions(struct tvs_server *server) {
    pthread_condattr_t clock;
    pthread_condattr_init(&clock);
    pthread_condattr_setclock(&clock, CLOCK_MONOTONIC);
    pthread_cond_init(&server->calmed, &clock);
    pthread_condattr_destroy(&clock);
    pthread_mutex_init(&server->lock, NULL);
}

static trove_status create_pools(struct tvs_server *server, const struct tvs_pool_set *set, trove_error *error) {
    const struct tvs_pools_parts parts = {
        .budget = server->budget,
        .workers = server->workers,
        .timers = server->timers,
        .pressed = on_pressed,
        .context = server,
    };
    return tvs_pools_create(set, &parts, &server->pools, error);
}

/* Those that are being refused have addresses as well. */
static trove_status create_address_limits(struct tvs_server *server, trove_error *error) {
    const struct tvs_address_limits_options limits = {
        .connections_max = server->options.per_address_max,
        .handshakes_max = server->options.handshakes_max,
        .addresses_max = 2 * server->options.connections_max,
    };
    return tvs_address_limits_create(&limits, &server->address_limits, error);
}

trove_status tvs_server_create(const struct tvs_server_options *options, struct tvs_server **server_out, trove_error *error) {
    trove_error local;
    error = error != NULL ? error : &local;
    struct tvs_server *server = calloc(1, sizeof *server);
    if (server == NULL)
        return TV_FAIL(error, RESOURCE_EXHAUSTED, "no memory for a server");
    server->options = *options;
    server->started_ns = tv_now_ns();
    init_conditions(server);
    tvs_feeds_init(&server->feeds);
    tvs_holders_init(&server->holders);
    tvs_collector_init(server);
    server->tick.fire = on_tick;
    server->reap.fire = on_reap;
    server->relieve.fire = on_relieve;
    server->flush.run = tvs_session_flush_all;
    tvs_stream_list_init(&server->streams);
    tvs_copies_init(&server->copies, options->workers);
    tvs_scrubs_init(&server->scrubs);
    tvs_principal_bandwidths_init(&server->bandwidths);
    tvs_refusals_init(&server->refusals, server->started_ns);
    trove_status status = open_store(server, error);
    if (status == TROVE_OK)
        status = tvs_workers_create(options->workers, &server->workers, error);
    if (status == TROVE_OK)
        status = tv_timers_create(&server->timers, error);
    if (status == TROVE_OK)
        status = tvs_budget_create(options->memory_bytes, server->workers, on_pressed, server, &server->budget, error);
    if (status == TROVE_OK)
        status = create_pools(server, &options->pools, error);
    if (status == TROVE_OK)
        status = create_address_limits(server, error);
    if (status == TROVE_OK)
        status = tvs_keyring_create(&options->access, &server->keyring, error);
    if (status == TROVE_OK && options->audit_log != NULL)
        status = tvs_audit_create(options->audit_log, &server->audit, error);
    if (status == TROVE_OK)
        status = tvs_encryption_begin(server, error);
    if (status == TROVE_OK)
        status = tv_timer_arm(server->timers, &server->tick, tv_now_ns() + TICK_NS, error);
    if (status != TROVE_OK) {
        (void)tvs_server_destroy(server);
        return status;
    }
    *server_out = server;
    return TROVE_OK;
}

trove_status tvs_server_listen(struct tvs_server *server, const char *url, const char **bound, trove_error *error) {
    if (server->listener_count == TVS_LISTEN_MAX)
        return TV_FAIL(error, RESOURCE_EXHAUSTED, "%s is one address too many; a server listens on at most %d", url,
                       TVS_LISTEN_MAX);
    struct tv_listener *listener = NULL;
    trove_status status = tv_listener_create(url, server->options.socket_mode, tvs_session_accept, server, &listener, error);
    if (status != TROVE_OK)
        return status;
    server->listeners[server->listener_count++] = listener;
    if (bound != NULL)
        *bound = tv_listener_url(listener);
    return TROVE_OK;
}

trove_status tvs_server_reload(struct tvs_server *server, const struct tvs_pool_set *pools, uint32_t drain_ms,
                               trove_error *error) {
    return tvs_pools_reload(server->pools, pools, drain_ms, error);
}

/* Sessions look at their next tick, which is now: on the timer's thread. */
trove_status tvs_server_reload_access(struct tvs_server *server, const struct tvs_keyring_options *access, trove_error *error) {
    trove_status status = tvs_keyring_reload(server->keyring, access, error);
    if (status != TROVE_OK)
        return status;
    atomic_fetch_add_explicit(&server->access_edition, 1, memory_order_release);
    return tv_timer_arm(server->timers, &server->tick, tv_now_ns(), error);
}

trove_status tvs_server_reopen_audit(struct tvs_server *server, trove_error *error) {
    return server->audit != NULL ? tvs_audit_reopen(server->audit, error) : TROVE_OK;
}

/* ---- the end ---- */

static struct timespec deadline_in(uint32_t timeout_ms) {
    uint64_t at_ns = tv_now_ns() + (uint64_t)timeout_ms * 1000000;
    return (struct timespec){(time_t)(at_ns / 1000000000), (long)(at_ns % 1000000000)};
}

static uint32_t at_most(uint32_t left, uint32_t right) {
    return left < right ? left : right;
}

/* How long a step of the end may take that would get `grace_ms` if there were time enough. */
static uint32_t grace_left_ms(const struct tvs_server *server, uint32_t grace_ms) {
    if (server->end_ns == 0)
        return grace_ms;
    uint64_t now_ns = tv_now_ns();
    uint64_t left_ms = server->end_ns > now_ns ? (server->end_ns - now_ns) / 1000000 : 0;
    return left_ms < grace_ms ? (uint32_t)left_ms : grace_ms;
}

static void stop_listening(struct tvs_server *server) {
    for (size_t i = 0; i < server->listener_count; i++)
        tv_listener_destroy(server->listeners[i]);
    server->listener_count = 0;
}

static bool session_calm(struct tvs_session *session) {
    pthread_mutex_lock(&session->lock);
    bool calm = session->streams.count == 0 && session->calls.count == 0;
    pthread_mutex_unlock(&session->lock);
    return calm && tvs_quota_count(&session->inline_puts) == 0;
}

/* Resumable uploads go on at the next server. */
static void park_uploads(struct tvs_server *server) {
    struct tvs_stream *list[64];
    uint64_t after_id = 0;
    for (size_t count; (count = tvs_stream_list_page(&server->streams, NULL, after_id, list, 64)) > 0;) {
        after_id = list[count - 1]->id;
        for (size_t i = 0; i < count; i++) {
            if (list[i]->resume != NULL)
                tvs_resume_drain(list[i]);
            tvs_stream_release(list[i]);
        }
    }
}

/* Under the server's lock. */
static bool all_calm(struct tvs_server *server) {
    if (tvs_holders_count(&server->holders) > 0)
        return false; /* an upload is being parked */
    for (struct tvs_session *session = server->sessions; session != NULL; session = session->next)
        if (!session_calm(session))
            return false;
    return true;
}

static bool no_sessions(struct tvs_server *server) {
    return server->session_count == 0;
}

/* Waits, in slices, so that a signal that was given before the wait began costs a moment and not the whole time. */
static bool wait_until(struct tvs_server *server, bool (*done)(struct tvs_server *), uint32_t timeout_ms) {
    uint64_t end_ns = tv_now_ns() + (uint64_t)timeout_ms * 1000000;
    atomic_store_explicit(&server->waiting, true, memory_order_relaxed);
    pthread_mutex_lock(&server->lock);
    bool is_done = done(server);
    while (!is_done && tv_now_ns() < end_ns) {
        struct timespec slice = deadline_in(20);
        pthread_cond_timedwait(&server->calmed, &server->lock, &slice);
        is_done = done(server);
    }
    pthread_mutex_unlock(&server->lock);
    atomic_store_explicit(&server->waiting, false, memory_order_relaxed);
    return is_done;
}

/* Calls `what` for each session; none is freed meanwhile, for each is held. */
static void for_each_session(struct tvs_server *server, void (*what)(struct tvs_session *, uint32_t), uint32_t argument) {
    size_t count = 0;
    pthread_mutex_lock(&server->lock);
    struct tvs_session **list = calloc(server->session_count + 1, sizeof *list);
    for (struct tvs_session *session = server->sessions; session != NULL && list != NULL; session = session->next) {
        unsigned references = atomic_load_explicit(&session->references, memory_order_relaxed);
        while (references > 0 && !atomic_compare_exchange_weak(&session->references, &references, references + 1))
            continue;
        if (references > 0) /* else it is about to be freed */
            list[count++] = session;
    }
    pthread_mutex_unlock(&server->lock);
    for (size_t i = 0; i < count; i++) {
        what(list[i], argument);
        tvs_session_release(list[i]);
    }
    free(list);
}

bool tvs_server_drain(struct tvs_server *server, uint32_t timeout_ms) {
    pthread_mutex_lock(&server->lock);
    server->draining = true;
    pthread_mutex_unlock(&server->lock);
    server->end_ns = tv_now_ns() + (uint64_t)(timeout_ms - at_most(timeout_ms / 10, MARGIN_MS_MAX)) * 1000000;
    uint32_t drain_ms = timeout_ms - at_most(timeout_ms / 2, ENDING_MS_MAX);
    stop_listening(server);
    trove_error reason;
    TV_FAIL(&reason, UNAVAILABLE, "the server is shutting down; try again in a moment");
    tvs_pools_close(server->pools, &reason);
    for_each_session(server, tvs_session_drain, drain_ms);
    park_uploads(server);
    return wait_until(server, all_calm, drain_ms);
}

static void close_session(struct tvs_session *session, uint32_t unused) {
    (void)unused;
    trove_error why;
    TV_FAIL(&why, UNAVAILABLE, "the server has shut down");
    tv_conn_shutdown(session->conn, &why);
}

static void abort_session(struct tvs_session *session, uint32_t unused) {
    (void)unused;
    trove_error why;
    TV_FAIL(&why, UNAVAILABLE, "the server has shut down");
    tv_conn_abort(session->conn, &why);
}

static bool end_sessions(struct tvs_server *server) {
    for_each_session(server, close_session, 0);
    if (wait_until(server, no_sessions, grace_left_ms(server, SECOND_MS)))
        return true;
    for_each_session(server, abort_session, 0);
    return wait_until(server, no_sessions, grace_left_ms(server, CLOSING_GRACE_MS));
}

static void run_close(struct tvs_task *task) {
    struct tvs_server *server = TV_CONTAINER_OF(task, struct tvs_server, close_store);
    server->ops->close(server->driver);
}

/* Closing waits for the disk, which may never answer: so it is done on a thread that can be left behind. */
static bool close_store(struct tvs_server *server) {
    if (server->driver == NULL)
        return true;
    server->close_store.run = run_close;
    if (tvs_workers_create(1, &server->closer, NULL) != TROVE_OK) {
        run_close(&server->close_store); /* at worst the operator has to end it */
        return true;
    }
    tvs_workers_submit(server->closer, &server->close_store);
    return tvs_workers_destroy(server->closer, grace_left_ms(server, STORE_GRACE_MS));
}

bool tvs_server_destroy(struct tvs_server *server) {
    if (server == NULL)
        return true;
    pthread_mutex_lock(&server->lock);
    server->draining = true; /* nothing new is begun by the timer */
    pthread_mutex_unlock(&server->lock);
    stop_listening(server);
    bool clean = server->timers == NULL || end_sessions(server);
    if (!clean || !tvs_workers_destroy(server->workers, grace_left_ms(server, WORKER_GRACE_MS)) || !close_store(server))
        return false;
    tv_timers_destroy(
        server->timers); /* a thread of the driver's may have been about to ask for the reaping of the last session */
    tvs_pools_destroy(server->pools);
    tvs_address_limits_destroy(server->address_limits);
    tvs_encryption_end(server);
    tvs_keyring_destroy(server->keyring);
    tvs_audit_left_out(server);
    tvs_audit_destroy(server->audit);
    tvs_budget_release(server->budget);
    tvs_stream_list_fini(&server->streams);
    tvs_feeds_fini(&server->feeds);
    tvs_holders_fini(&server->holders);
    tvs_copies_fini(&server->copies);
    tvs_scrubs_fini(&server->scrubs);
    tvs_principal_bandwidths_fini(&server->bandwidths);
    tvs_refusals_fini(&server->refusals);
    pthread_cond_destroy(&server->calmed);
    pthread_mutex_destroy(&server->lock);
    free(server);
    return true;
}
