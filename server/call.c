/* call.c - the life of a unary call: deadline, cancellation, answer. See call.h and rpc.h.
 *
 * A call that may block is listed in its session until somebody answers it: the worker with the result, the timer at its
 * deadline, the receiving thread for a cancel. Whoever takes it out of the list answers; the others find it gone. Whoever ends it
 * frees it: the worker, or what its method has begun (tvs_rpc_later).
 * An answer may be a thousand times as large as its call: while the peer leaves too much unread, calls aren't begun but wait.
 */
#include "call.h"

#include "audit_events.h"
#include "rpc.h"

#include "container.h"

#include <string.h>

struct tvs_call {
    struct tv_id_node node;
    struct tvs_call *next_waiting; /* under the session's lock */
    struct tvs_session *session;
    struct tvs_method method;
    struct tvs_task task;
    struct tv_timer timer;
    bool listed; /* under the session's lock */
    uint32_t deadline_ms;
    size_t request_bytes;
    uint8_t request[];
};

_Static_assert(sizeof(struct tvs_call) <= TV_CALLS_BYTES_MAX / TV_CALLS_MAX / 2, "half of what a call may have is its request's");

static void send_answer(struct tvs_session *session, uint64_t call_id, const struct tvs_rpc *rpc) {
    if (rpc->error.status != TROVE_OK) {
        tvs_session_send_status(session, call_id, &rpc->error, false);
        return;
    }
    tv_frame frame = TROVE__V1__FRAME__INIT;
    Trove__V1__Status ok = TROVE__V1__STATUS__INIT;
    frame.call_id = call_id;
    frame.body_case = TV_BODY(STATUS);
    frame.status = &ok;
    tv_status_set_checksum(&ok, rpc->response, rpc->response_bytes);
    trove_error error;
    trove_status status = tv_conn_send(session->conn, &frame, rpc->response, rpc->response_bytes, &error);
    (void)status; /* the connection is closing: nobody is left to be told */
}

/* Whoever gets true is the one to answer. */
static bool unlist(struct tvs_call *call) {
    struct tvs_session *session = call->session;
    pthread_mutex_lock(&session->lock);
    bool mine = call->listed;
    if (mine) {
        call->listed = false;
        tv_id_table_remove(&session->calls, &call->node);
    }
    pthread_mutex_unlock(&session->lock);
    return mine;
}

static void destroy(struct tvs_call *call) {
    tvs_quota_give(&call->session->server->calls, sizeof *call + call->request_bytes);
    free(call);
}

static void discard(struct tvs_call *call) {
    struct tvs_session *session = call->session;
    pthread_mutex_lock(&session->lock);
    session->calls_begun--;
    session->requests_bytes -= call->request_bytes;
    pthread_mutex_unlock(&session->lock);
    destroy(call);
}

void tvs_calls_resume(struct tvs_session *session) {
    pthread_mutex_lock(&session->lock);
    struct tvs_call *call = session->waiting_first;
    session->waiting_first = session->waiting_last = NULL;
    pthread_mutex_unlock(&session->lock);
    while (call != NULL) {
        struct tvs_call *next = call->next_waiting;
        tvs_workers_submit(session->server->workers, &call->task);
        call = next;
    }
}

/* True: the call waits, and isn't the caller's any more. */
static bool wait_for_room(struct tvs_call *call) {
    struct tvs_session *session = call->session;
    if (!tv_conn_crowded(session->conn))
        return false;
    tvs_session_acquire(session); /* the call may run and be gone as soon as it is in the list */
    pthread_mutex_lock(&session->lock);
    call->next_waiting = NULL;
    if (session->waiting_last != NULL)
        session->waiting_last->next_waiting = call;
    else
        session->waiting_first = call;
    session->waiting_last = call;
    pthread_mutex_unlock(&session->lock);
    if (!tv_conn_crowded(session->conn)) /* there was room again before it was in the list */
        tvs_calls_resume(session);
    tvs_session_release(session);
    return true;
}

bool tvs_rpc_wanted(const struct tvs_rpc *rpc) {
    struct tvs_call *call = rpc->call;
    pthread_mutex_lock(&call->session->lock);
    bool wanted = call->listed;
    pthread_mutex_unlock(&call->session->lock);
    return wanted;
}

void tvs_rpc_later(struct tvs_rpc *rpc, struct tvs_rpc *later) {
    TV_ASSERT(rpc->call != NULL && !rpc->is_moved);
    *later = *rpc;
    rpc->is_moved = true;
}

void tvs_rpc_end(struct tvs_rpc *rpc) {
    struct tvs_call *call = rpc->call;
    struct tvs_session *session = call->session;
    tvs_audit_call(session, &call->method, call->request, call->request_bytes, &rpc->error);
    if (unlist(call))
        send_answer(session, call->node.id, rpc);
    tv_timer_cancel(session->server->timers, &call->timer);
    free(rpc->response);
    discard(call);
    tvs_session_release(session);
}

static void run(struct tvs_task *task) {
    struct tvs_call *call = TV_CONTAINER_OF(task, struct tvs_call, task);
    struct tvs_session *session = call->session;
    struct tvs_rpc rpc = {.server = session->server, .session = session, .call = call};
    bool wanted = tvs_rpc_wanted(&rpc);
    if (wanted && wait_for_room(call))
        return;
    if (!wanted)
        TV_FAIL(&rpc.error, CANCELLED, "it was cancelled, or its deadline was over, before it began");
    if (wanted) {
        struct tv_arena arena;
        tv_arena_init(&arena, 4 * TV_MESSAGE_BYTES_MAX);
        trove_status status = tvs_rpc_invoke(&call->method, call->request, call->request_bytes, &arena, &rpc);
        (void)status; /* stands in rpc.error */
        tv_arena_fini(&arena);
    }
    if (!rpc.is_moved) /* else the call may be gone by now */
        tvs_rpc_end(&rpc);
}

static void on_deadline(struct tv_timer *timer) {
    struct tvs_call *call = TV_CONTAINER_OF(timer, struct tvs_call, timer);
    trove_error late;
    TV_FAIL(&late, DEADLINE_EXCEEDED, "%s took longer than its deadline of %u ms", call->method.descriptor->name,
            call->deadline_ms);
    if (unlist(call))
        tvs_session_send_status(call->session, call->node.id, &late, false);
}

static struct tvs_call *create(struct tvs_session *session, const tv_frame *frame, const struct tvs_method *method,
                               const void *payload, size_t payload_bytes, trove_error *error) {
    struct tvs_server *server = session->server;
    size_t bytes = sizeof(struct tvs_call) + payload_bytes;
    if (!tvs_quota_take(&server->calls, bytes, TV_CALLS_BYTES_MAX, TV_CALLS_MAX)) {
        TV_FAIL(error, RESOURCE_EXHAUSTED, "%s: the server has as many calls under way as it can hold, %u; try again in a moment",
                method->descriptor->name, tvs_quota_count(&server->calls));
        return NULL;
    }
    struct tvs_call *call = calloc(1, bytes);
    if (call == NULL) {
        tvs_quota_give(&server->calls, bytes);
        TV_FAIL(error, RESOURCE_EXHAUSTED, "no memory for a call");
        return NULL;
    }
    call->node.id = frame->call_id;
    call->session = session;
    call->method = *method;
    call->task.run = run;
    call->timer.fire = on_deadline;
    call->deadline_ms = frame->call->deadline_ms != 0 ? frame->call->deadline_ms : server->options.call_deadline_ms;
    call->request_bytes = payload_bytes;
    if (payload_bytes > 0)
        memcpy(call->request, payload, payload_bytes);
    return call;
}

/* Those that were answered early, by their deadline or a cancel, count until a worker has come to them. */
static bool list(struct tvs_call *call) {
    struct tvs_session *session = call->session;
    pthread_mutex_lock(&session->lock);
    bool fits = session->calls_begun < session->server->options.calls_max &&
                session->requests_bytes + call->request_bytes <= TV_REQUESTS_PER_CONN_BYTES_MAX;
    if (fits) {
        session->calls_begun++;
        session->requests_bytes += call->request_bytes;
        tv_id_table_add(&session->calls, &call->node);
        call->listed = true;
    }
    pthread_mutex_unlock(&session->lock);
    return fits;
}

static trove_status begin_on_worker(struct tvs_session *session, const tv_frame *frame, const struct tvs_method *method,
                                    const void *payload, size_t payload_bytes, trove_error *error) {
    struct tvs_server *server = session->server;
    struct tvs_call *call = create(session, frame, method, payload, payload_bytes, error);
    if (call == NULL)
        return TROVE_RESOURCE_EXHAUSTED;
    if (!list(call)) {
        destroy(call);
        return TV_FAIL(error, RESOURCE_EXHAUSTED,
                       "%s: this connection has as many calls under way as are allowed, %u of together %llu bytes; wait for some",
                       method->descriptor->name, server->options.calls_max, (unsigned long long)TV_REQUESTS_PER_CONN_BYTES_MAX);
    }
    trove_status status = tv_timer_arm(server->timers, &call->timer, tv_now_ns() + (uint64_t)call->deadline_ms * 1000000, error);
    if (status != TROVE_OK) {
        (void)unlist(call);
        discard(call);
        return status;
    }
    tvs_session_acquire(session);
    tvs_workers_submit(server->workers, &call->task);
    return TROVE_OK;
}

trove_status tvs_call_begin(struct tvs_session *session, const tv_frame *frame, const void *payload, uint64_t payload_bytes,
                            trove_error *error) {
    struct tvs_method method;
    trove_status status = tvs_rpc_find(frame->call->method, &method, error);
    if (status != TROVE_OK)
        return status;
    if (method.blocks)
        return begin_on_worker(session, frame, &method, payload, payload_bytes, error);
    struct tvs_rpc rpc = {.server = session->server, .session = session};
    status = tvs_rpc_invoke(&method, payload, payload_bytes, &session->arena, &rpc);
    tvs_audit_call(session, &method, payload, payload_bytes, &rpc.error);
    if (status == TROVE_OK)
        send_answer(session, frame->call_id, &rpc);
    else
        tv_error_copy(error, &rpc.error);
    free(rpc.response);
    tv_arena_reset(&session->arena);
    return status;
}

static struct tvs_call *take(struct tvs_session *session, uint64_t call_id) {
    struct tv_id_node *node = tv_id_table_find(&session->calls, call_id);
    if (node == NULL)
        return NULL;
    struct tvs_call *call = TV_CONTAINER_OF(node, struct tvs_call, node);
    call->listed = false;
    tv_id_table_remove(&session->calls, node);
    return call;
}

void tvs_call_cancel(struct tvs_session *session, uint64_t call_id, trove_status status, const char *why) {
    pthread_mutex_lock(&session->lock);
    bool found = take(session, call_id) != NULL;
    pthread_mutex_unlock(&session->lock);
    trove_error error;
    tv_error_set(&error, status, "%s", why);
    if (found)
        tvs_session_send_status(session, call_id, &error, false);
}

void tvs_calls_refuse(struct tvs_session *session, const trove_error *why) {
    pthread_mutex_lock(&session->lock);
    size_t count = session->calls.count; /* those that come meanwhile are refused when they begin */
    pthread_mutex_unlock(&session->lock);
    for (; count > 0; count--) {
        pthread_mutex_lock(&session->lock);
        struct tv_id_node *node = tv_id_table_any(&session->calls);
        uint64_t id = node != NULL ? node->id : 0;
        (void)take(session, id);
        pthread_mutex_unlock(&session->lock);
        if (node != NULL)
            tvs_session_send_status(session, id, why, false);
    }
    tvs_calls_resume(session); /* those that wait are freed */
}

void tvs_calls_abandon(struct tvs_session *session) {
    pthread_mutex_lock(&session->lock);
    for (struct tv_id_node *node; (node = tv_id_table_any(&session->calls)) != NULL;)
        (void)take(session, node->id);
    pthread_mutex_unlock(&session->lock);
    tvs_calls_resume(session); /* those that wait are freed */
}
