/* connect.c - making a client, and a connection: dialling, hello and welcome; ending it. See client.h.
 *
 * Signals are blocked while threads are made, ours and nng's, which inherit that: a program's signals go to the program's
 * threads.
 */
#include "client.h"
#include "options.h"
#include "security.h"
#include "stream.h"
#include "utf8.h"
#include "wait.h"

#include <signal.h>
#include <sodium.h>
#include <string.h>
#include <unistd.h>

#define PROTOCOL_VERSION 1
#define RETRY_FIRST_MS   10
#define RETRY_MAX_MS     250
/* What is queued at the end may still go out for so long; then the connection is cut. */
#define FLUSH_MS 2000

static trove_status make_client(const char *url, const trove_client_options *options, struct trove_client **client_out,
                                trove_error *error) {
    struct trove_client *client = calloc(1, sizeof *client);
    if (client == NULL)
        return TV_FAIL(error, RESOURCE_EXHAUSTED, "no memory for a client");
    pthread_mutex_init(&client->lock, NULL);
    tvc_cond_init(&client->changed);
    tvc_job_thread_init(&client->hooks);
    tvc_job_thread_init(&client->drainer);
    tvc_job_thread_init(&client->resender);
    tvc_job_thread_init(&client->dialler);
    tv_dialling_init(&client->dialling);
    atomic_init(&client->references, 1);
    client->connect_timeout_ms = options->connect_timeout_ms;
    client->call_timeout_ms = options->call_timeout_ms;
    client->retry_for_ms = options->retry_for_ms;
    client->keepalive_ms = options->keepalive_ms;
    client->memory_bytes = options->memory_bytes;
    client->next_id = 1;
    client->tick.fire = tvc_client_tick;
    client->alarm.fire = tvc_alarm_fire;
    client->dial.fire = tvc_redial_fire;
    client->dial_job.run = tvc_redial_run;
    client->conn_closed = true;
    atomic_init(&client->conn_shut, true);
    client->alarm_due_ns = UINT64_MAX;
    client->attach_due_ns = UINT64_MAX;
    trove_status status = tvc_security_begin(client, url, options, error);
    client->agent = strndup(options->name, TV_AGENT_BYTES_MAX);
    if (client->agent != NULL)
        tv_utf8_trim(client->agent);
    if (status == TROVE_OK && sodium_init() < 0)
        status = TV_FAIL(error, INTERNAL, "libsodium can't be used here");
    if (status == TROVE_OK && client->agent == NULL)
        status = TV_FAIL(error, RESOURCE_EXHAUSTED, "no memory for a client");
    if (status == TROVE_OK)
        status = tv_id_table_init(&client->entries, error);
    if (status == TROVE_OK)
        status = tvc_calls_init(&client->calls, error);
    if (status == TROVE_OK)
        status = tv_timers_create(&client->timers, error);
    if (status == TROVE_OK)
        status = tvc_job_thread_start(&client->hooks, error);
    if (status != TROVE_OK) {
        tv_timers_destroy(client->timers);
        tvc_client_release(client);
        return status;
    }
    *client_out = client;
    return TROVE_OK;
}

trove_status tvc_client_send_hello(struct trove_client *client, trove_error *error) {
    tv_frame frame = TROVE__V1__FRAME__INIT;
    Trove__V1__Hello hello = TROVE__V1__HELLO__INIT;
    hello.version = PROTOCOL_VERSION;
    hello.features = TV_FEATURE_HEADER_CHECKSUM | TV_FEATURE_LOSSY | TV_FEATURE_BIDI | TV_FEATURE_RESUMABLE;
    hello.payload_bytes_max = TV_PAYLOAD_BYTES_MAX;
    hello.agent = client->agent;
    frame.body_case = TV_BODY(HELLO);
    frame.hello = &hello;
    return tv_conn_send(client->conn, &frame, NULL, 0, error);
}

static trove_status wait_for_welcome(struct trove_client *client, uint64_t deadline_ns, trove_error *error) {
    bool in_time = true;
    trove_status status = TROVE_OK;
    pthread_mutex_lock(&client->lock);
    while (client->greeting && !client->conn_closed && client->phase != TVC_LOST && in_time)
        in_time = tvc_cond_wait(&client->changed, &client->lock, deadline_ns);
    bool welcome = !client->greeting;
    bool over = client->conn_closed || client->phase == TVC_LOST;
    client->greeting = false; /* one that comes now comes too late */
    if (!welcome && !over)
        status = TV_FAIL(error, DEADLINE_EXCEEDED, "%s: a connection was made, but no server of Trove's has answered in time",
                         client->url);
    else if (!welcome)
        status = TV_FAIL(error, UNAVAILABLE, "%s: %s", client->url, client->reason.message);
    /* That is no argument of the program's: what it said was in order, and so something else is there, or what came was
     * damaged. */
    if (!welcome && over && client->reason.status != TROVE_OK && client->reason.status != TROVE_INVALID_ARGUMENT) {
        status = client->reason.status;
        if (error != NULL)
            error->status = status;
    }
    pthread_mutex_unlock(&client->lock);
    return status;
}

trove_status tvc_client_connect(struct trove_client *client, uint64_t deadline_ns, trove_error *error) {
    struct tv_transport *transport = NULL;
    trove_status status = tv_transport_dial(client->url, tvc_deadline_left_ms(deadline_ns), &client->dialling, &transport, error);
    if (status != TROVE_OK)
        return status;
    struct tv_conn_options options = {
        .payload_bytes_max = TV_PAYLOAD_BYTES_MAX,
        .secure = client->key != NULL ? &client->secure : NULL,
    };
    status = tv_conn_create(transport, &tvc_client_handler, client, &options, &client->conn, error);
    if (status != TROVE_OK)
        return status;
    pthread_mutex_lock(&client->lock);
    client->connection++;
    client->conn_closed = false;
    client->greeting = true;
    pthread_mutex_unlock(&client->lock);
    tv_conn_start(client->conn);
    if (client->key == NULL) /* else it is sent when the handshake is done */
        status = tvc_client_send_hello(client, error);
    if (status == TROVE_OK)
        status = wait_for_welcome(client, deadline_ns, error);
    if (status != TROVE_OK)
        tvc_client_disconnect(client);
    return status;
}

void tvc_client_end_connection(struct trove_client *client) {
    trove_error quietly = {TROVE_OK, ""};
    if (client->conn == NULL)
        return;
    tv_conn_shutdown(client->conn, &quietly);
    uint64_t deadline_ns = tvc_deadline_after_ms(FLUSH_MS);
    bool in_time = true;
    pthread_mutex_lock(&client->lock);
    while (!client->conn_closed && in_time)
        in_time = tvc_cond_wait(&client->changed, &client->lock, deadline_ns);
    pthread_mutex_unlock(&client->lock);
}

void tvc_client_add_metrics(struct tv_conn_metrics *to, const struct tv_conn *conn) {
    struct tv_conn_metrics more;
    tv_conn_metrics(conn, &more);
    to->frames_sent += more.frames_sent;
    to->frames_received += more.frames_received;
    to->bytes_sent += more.bytes_sent;
    to->bytes_received += more.bytes_received;
    to->payload_copied_bytes += more.payload_copied_bytes;
}

/* `closed` always comes, and after it nothing of the connection runs but what is counted in conn_users. */
void tvc_client_disconnect(struct trove_client *client) {
    struct tv_conn *conn = client->conn;
    trove_error quietly = {TROVE_OK, ""};
    if (conn == NULL)
        return;
    tv_conn_abort(conn, &quietly);
    pthread_mutex_lock(&client->lock);
    while (!client->conn_closed)
        pthread_cond_wait(&client->changed, &client->lock);
    atomic_store(&client->conn_shut, true);
    while (atomic_load(&client->conn_users) > 0)
        pthread_cond_wait(&client->changed, &client->lock);
    tvc_client_add_metrics(&client->conn_totals, conn);
    client->conn = NULL;
    pthread_mutex_unlock(&client->lock);
    tv_conn_destroy(conn);
}

static trove_status greet(struct trove_client *client, uint64_t deadline_ns, trove_error *error) {
    trove_status status = tvc_client_connect(client, deadline_ns, error);
    if (status == TROVE_OK)
        status = tv_timer_arm(client->timers, &client->tick, tv_now_ns() + UINT64_C(1000000000), error);
    return status;
}

static trove_status make_and_greet(const char *url, const trove_client_options *options, uint64_t deadline_ns,
                                   trove_client **client_out, trove_error *error) {
    struct trove_client *client = NULL;
    trove_status status = make_client(url, options, &client, error);
    if (status != TROVE_OK)
        return status;
    status = greet(client, deadline_ns, error);
    if (status != TROVE_OK) {
        trove_close(client);
        return status;
    }
    *client_out = client;
    return TROVE_OK;
}

static trove_status connect_once(const char *url, const trove_client_options *options, uint32_t timeout_ms, trove_client **client,
                                 trove_error *error) {
    sigset_t all;
    sigset_t before;
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, &before);
    trove_status status = make_and_greet(url, options, tvc_deadline_after_ms(timeout_ms), client, error);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return status;
}

static trove_status take_arguments(const char *url, const trove_client_options *given, trove_client_options *options,
                                   trove_client **client, trove_error *error) {
    if (url == NULL || client == NULL)
        return TV_FAIL(error, INVALID_ARGUMENT, "the %s is NULL", url == NULL ? "URL" : "client's address");
    return tvc_client_options_take(given, options, error);
}

trove_status trove_connect(const char *url, const trove_client_options *given, trove_client **client, trove_error *error) {
    trove_client_options options;
    trove_status status = take_arguments(url, given, &options, client, error);
    return status != TROVE_OK ? status : connect_once(url, &options, options.connect_timeout_ms, client, error);
}

/* Whether a server that is just starting may be the reason. */
static bool may_come(trove_status status) {
    return status == TROVE_UNAVAILABLE || status == TROVE_DEADLINE_EXCEEDED || status == TROVE_RESOURCE_EXHAUSTED;
}

trove_status trove_connect_wait(const char *url, const trove_client_options *given, uint32_t wait_ms, trove_client **client,
                                trove_error *error) {
    trove_client_options options;
    trove_status status = take_arguments(url, given, &options, client, error);
    if (status != TROVE_OK)
        return status;
    uint64_t deadline_ns = tvc_deadline_after_ms(wait_ms);
    trove_error last = {TROVE_OK, ""};
    for (uint32_t pause_ms = RETRY_FIRST_MS;; pause_ms = pause_ms * 2 < RETRY_MAX_MS ? pause_ms * 2 : RETRY_MAX_MS) {
        trove_error why;
        uint32_t left_ms = tvc_deadline_left_ms(deadline_ns);
        uint32_t timeout_ms = left_ms < options.connect_timeout_ms ? left_ms : options.connect_timeout_ms;
        status = connect_once(url, &options, timeout_ms, client, &why);
        if (status == TROVE_OK)
            return status;
        /* A try that was cut short by the end of the wait says less than the one before it. */
        bool cut_short = status == TROVE_DEADLINE_EXCEEDED && left_ms < options.connect_timeout_ms;
        if (!cut_short || last.status == TROVE_OK)
            last = why;
        if (!may_come(status) || tvc_deadline_left_ms(deadline_ns) <= pause_ms)
            return tv_error_copy(error, &last);
        usleep(pause_ms * 1000);
    }
}
