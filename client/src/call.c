/* call.c - slots, and calls that are waited for. See call.h; asynchronous ones are in call_async.c. */
#include "call.h"

#include "client.h"
#include "wait.h"

#include <string.h>

/* Requests up to this are packed on the stack. */
#define STACK_REQUEST_BYTES 4096

/* ---- slots ---- */

trove_status tvc_calls_init(struct tvc_calls *calls, trove_error *error) {
    calls->slots = calloc(TV_CALLS_PER_CONN_MAX, sizeof *calls->slots);
    calls->batch = calloc(TVC_CALL_BATCH, sizeof *calls->batch);
    calls->job.run = tvc_calls_run_done;
    calls->again_job.run = tvc_calls_run_again;
    calls->sweep.fire = tvc_calls_sweep;
    tv_arena_init(&calls->arena, TV_ARENA_BYTES_MAX);
    if (calls->slots == NULL || calls->batch == NULL)
        return TV_FAIL(error, RESOURCE_EXHAUSTED, "no memory for %d calls", TV_CALLS_PER_CONN_MAX);
    return TROVE_OK;
}

void tvc_calls_fini(struct tvc_calls *calls) {
    for (uint32_t i = 0; i < calls->made; i++) {
        free(calls->slots[i].buffer.bytes);
        pthread_cond_destroy(&calls->slots[i].changed);
    }
    for (uint32_t i = 0; calls->batch != NULL && i < TVC_CALL_BATCH; i++)
        free(calls->batch[i].buffer.bytes);
    tv_arena_fini(&calls->arena);
    free(calls->batch);
    free(calls->slots);
}

/* A slot of its own, NULL where all are in use. Under the lock. */
static struct tvc_call *take_slot(struct trove_client *client) {
    struct tvc_calls *calls = &client->calls;
    if (calls->in_use >= client->limits.calls_max)
        return NULL;
    struct tvc_call *call = calls->free;
    if (call != NULL) {
        calls->free = call->next;
    } else {
        call = &calls->slots[calls->made++];
        tvc_cond_init(&call->changed);
    }
    calls->in_use++;
    return call;
}

/* Why a claim can't be met now; under the lock. */
static trove_status why_not(const struct trove_client *client, uint64_t early_bytes, trove_error *error) {
    if (client->calls.in_use >= client->limits.calls_max)
        return TV_FAIL(error, RESOURCE_EXHAUSTED, "%u calls are unanswered, which is the connection's limit",
                       client->limits.calls_max);
    return TV_FAIL(error, RESOURCE_EXHAUSTED,
                   "%llu bytes of small objects are unanswered; with %llu more they exceed the "
                   "connection's early data of %llu",
                   (unsigned long long)client->calls.early_used, (unsigned long long)early_bytes,
                   (unsigned long long)client->limits.early_data_bytes);
}

/* NULL where slots or early data are used up. Under the lock. */
static struct tvc_call *try_claim(struct trove_client *client, uint64_t early_bytes) {
    if (client->calls.early_used + early_bytes > client->limits.early_data_bytes)
        return NULL;
    return take_slot(client);
}

/* Waits for the connection, where it is being made again. Under the lock. */
static trove_status await_ready(struct trove_client *client, uint64_t deadline_ns, trove_error *error) {
    if (client->phase == TVC_READY)
        return TROVE_OK;
    client->calls.waiting++;
    trove_status status = tvc_client_await(client, deadline_ns, error);
    client->calls.waiting--;
    return status;
}

static void set_up(struct tvc_call *call, enum tvc_call_kind kind, uint64_t early_bytes, uint64_t deadline_ns) {
    call->entry.kind = TVC_ENTRY_CALL;
    call->next = NULL;
    call->kind = kind;
    call->is_put = false;
    call->answered = false;
    call->not_taken = false;
    call->failed = false;
    call->reads = false;
    call->again = false;
    call->deadline_ns = deadline_ns;
    call->early_bytes = early_bytes;
    call->object = NULL;
}

trove_status tvc_call_claim(trove_client *client, enum tvc_call_kind kind, uint64_t early_bytes, uint64_t deadline_ns,
                            struct tvc_call **call_out, trove_error *error) {
    struct tvc_call *call = NULL;
    bool on_hook_thread = tvc_job_thread_here(&client->hooks);
    bool in_time = true;
    pthread_mutex_lock(&client->lock);
    trove_status status = await_ready(client, deadline_ns, error);
    while (status == TROVE_OK && (call = try_claim(client, early_bytes)) == NULL && in_time) {
        if (on_hook_thread && client->calls.in_use >= client->limits.calls_max)
            break;
        if (on_hook_thread && client->calls.unsent) { /* what is waited for may be among what was only queued */
            pthread_mutex_unlock(&client->lock);
            tvc_calls_flush(client);
            pthread_mutex_lock(&client->lock);
            continue;
        }
        client->calls.waiting++;
        client->calls.hook_waits |= on_hook_thread;
        in_time = tvc_cond_wait(&client->changed, &client->lock, deadline_ns);
        client->calls.waiting--;
        client->calls.hook_waits &= !on_hook_thread;
        status = await_ready(client, deadline_ns, error);
    }
    if (status == TROVE_OK && call == NULL) {
        status = why_not(client, early_bytes, error);
        if (!in_time)
            status = TV_FAIL(error, DEADLINE_EXCEEDED, "no call could be begun in time: too many are unanswered");
    }
    if (call != NULL) {
        client->calls.early_used += early_bytes;
        set_up(call, kind, early_bytes, deadline_ns);
    }
    if (client->phase == TVC_LOST && client->calls.waiting == 0)
        pthread_cond_broadcast(&client->changed); /* trove_close waits for the last one */
    pthread_mutex_unlock(&client->lock);
    if (status == TROVE_OK)
        *call_out = call;
    return status;
}

static void return_early_data(struct trove_client *client, struct tvc_call *call) {
    client->calls.early_used -= call->early_bytes;
    call->early_bytes = 0;
    if (client->calls.hook_waits) /* others are woken when the hook thread gives the slot back */
        pthread_cond_broadcast(&client->changed);
}

void tvc_call_free(trove_client *client, struct tvc_call *call) {
    return_early_data(client, call);
    tvc_buffer_clear(&call->buffer);
    call->next = client->calls.free;
    client->calls.free = call;
    client->calls.in_use--;
    if (client->calls.waiting > 0 || (client->phase == TVC_LOST && client->calls.in_use == 0))
        pthread_cond_broadcast(&client->changed);
}

void tvc_call_give_back(trove_client *client, struct tvc_call *call) {
    pthread_mutex_lock(&client->lock);
    tvc_call_free(client, call);
    pthread_mutex_unlock(&client->lock);
}

/* ---- the way of a call ---- */

static trove_status send_packed(trove_client *client, struct tvc_call *call, const char *method, const void *request,
                                size_t request_bytes, trove_error *error) {
    tv_frame frame = TROVE__V1__FRAME__INIT;
    Trove__V1__Call body = TROVE__V1__CALL__INIT;
    body.method = (char *)method;
    body.deadline_ms = tvc_deadline_left_ms(call->deadline_ns);
    frame.body_case = TV_BODY(CALL);
    frame.call = &body;
    tv_call_set_checksum(&body, request, request_bytes);
    return tvc_client_begin(client, &call->entry, &frame, request, request_bytes, NULL, NULL, error);
}

trove_status tvc_call_start(trove_client *client, struct tvc_call *call, const char *method, const ProtobufCMessage *request,
                            trove_error *error) {
    uint8_t stack[STACK_REQUEST_BYTES];
    size_t bytes = protobuf_c_message_get_packed_size(request);
    if (bytes > TV_MESSAGE_BYTES_MAX)
        return TV_FAIL(error, INVALID_ARGUMENT, "a request of %zu bytes; at most %d are allowed", bytes,
                       (int)TV_MESSAGE_BYTES_MAX);
    uint8_t *packed = bytes <= sizeof stack ? stack : malloc(bytes);
    if (packed == NULL)
        return TV_FAIL(error, RESOURCE_EXHAUSTED, "no memory for a request of %zu bytes", bytes);
    protobuf_c_message_pack(request, packed);
    trove_status status = send_packed(client, call, method, packed, bytes, error);
    if (packed != stack)
        free(packed);
    return status;
}

void tvc_call_send_cancel(trove_client *client, uint64_t id, bool is_put) {
    tv_frame frame = TROVE__V1__FRAME__INIT;
    Trove__V1__Cancel cancel = TROVE__V1__CANCEL__INIT;
    Trove__V1__Control control = TROVE__V1__CONTROL__INIT;
    frame.call_id = id;
    if (is_put) {
        control.type = TROVE__V1__CONTROL_TYPE__CANCEL;
        frame.body_case = TV_BODY(CONTROL);
        frame.control = &control;
    } else {
        frame.body_case = TV_BODY(CANCEL);
        frame.cancel = &cancel;
    }
    (void)!tvc_client_send(client, &frame, NULL, 0, NULL);
}

trove_status tvc_call_wait(trove_client *client, struct tvc_call *call, trove_error *error) {
    bool in_time = true;
    pthread_mutex_lock(&client->lock);
    while (!call->answered && in_time)
        in_time = tvc_cond_wait(&call->changed, &client->lock, call->deadline_ns);
    bool late = !call->answered;
    if (late)
        tvc_client_unlist(client, &call->entry);
    pthread_mutex_unlock(&client->lock);
    if (late) {
        tvc_call_send_cancel(client, call->entry.node.id, call->is_put);
        return TV_FAIL(error, DEADLINE_EXCEEDED, "%s has not answered in time", client->url);
    }
    return call->failed ? tv_error_copy(error, &call->error) : TROVE_OK;
}

void tvc_call_answered(trove_client *client, struct tvc_call *call, const trove_error *error, bool not_taken, const void *payload,
                       size_t payload_bytes, trove_object_info *object) {
    tvc_client_unlist(client, &call->entry);
    return_early_data(client, call);
    call->answered = true;
    call->not_taken = not_taken;
    call->object = object;
    call->failed = error->status != TROVE_OK;
    if (call->failed) {
        call->error = *error;
    } else if (call->kind != TVC_CALL_PUT) {
        if (tvc_buffer_reserve(&call->buffer, payload_bytes)) {
            if (payload_bytes > 0)
                memcpy(call->buffer.bytes, payload, payload_bytes);
            call->buffer.size = payload_bytes;
        } else {
            call->failed = true;
            TV_FAIL(&call->error, RESOURCE_EXHAUSTED, "no memory for an answer of %zu bytes", payload_bytes);
        }
    }
    if (call->kind == TVC_CALL_WAITED)
        pthread_cond_signal(&call->changed);
    else
        tvc_call_hand_over(client, call);
}

/* protobuf-c doesn't say why it has given up. */
static void *allocate(void *out_of_memory, size_t bytes) {
    void *memory = malloc(bytes);
    if (memory == NULL)
        *(bool *)out_of_memory = true;
    return memory;
}

static void release(void *out_of_memory, void *memory) {
    (void)out_of_memory;
    free(memory);
}

static trove_status unpack(struct tvc_call *call, const ProtobufCMessageDescriptor *type, ProtobufCMessage **answer,
                           trove_error *error) {
    bool out_of_memory = false;
    ProtobufCAllocator allocator = {.alloc = allocate, .free = release, .allocator_data = &out_of_memory};
    if (answer == NULL)
        return TROVE_OK;
    ProtobufCMessage *message = protobuf_c_message_unpack(type, &allocator, call->buffer.size, call->buffer.bytes);
    if (out_of_memory)
        return TV_FAIL(error, RESOURCE_EXHAUSTED, "no memory for an answer of %zu bytes", call->buffer.size);
    if (message == NULL)
        return TV_FAIL(error, INTERNAL, "the server's answer is no %s", type->name);
    *answer = message;
    return TROVE_OK;
}

void tvc_answer_free(ProtobufCMessage *answer) {
    protobuf_c_message_free_unpacked(answer, NULL);
}

/* Methods that change nothing. */
static bool only_reads(const char *method) {
    static const char *const reading[] = {
        "trove.v1.Buckets/List",  "trove.v1.Objects/Head",   "trove.v1.Objects/List", "trove.v1.Objects/BlockSums",
        "trove.v1.Uploads/List",  "trove.v1.Uploads/Attach", "trove.v1.Pools/List",   "trove.v1.Streams/List",
        "trove.v1.Server/Health", "trove.v1.Server/Info",    "trove.v1.Server/Echo",
    };
    for (size_t i = 0; i < sizeof reading / sizeof reading[0]; i++)
        if (strcmp(method, reading[i]) == 0)
            return true;
    return false;
}

/* *again: it failed with its connection, and may be sent once more. */
static trove_status call_once(trove_client *client, const char *method, const ProtobufCMessage *request,
                              const ProtobufCMessageDescriptor *answer_type, uint64_t deadline_ns, ProtobufCMessage **answer,
                              bool *again, trove_error *error) {
    struct tvc_call *call = NULL;
    *again = false;
    trove_status status = tvc_call_claim(client, TVC_CALL_WAITED, 0, deadline_ns, &call, error);
    if (status != TROVE_OK)
        return status;
    call->reads = only_reads(method);
    status = tvc_call_start(client, call, method, request, error);
    *again = status == TROVE_UNAVAILABLE; /* it wasn't sent */
    if (status == TROVE_OK) {
        status = tvc_call_wait(client, call, error);
        *again = status == TROVE_UNAVAILABLE && call->again;
    }
    if (status == TROVE_OK)
        status = unpack(call, answer_type, answer, error);
    tvc_call_give_back(client, call);
    return status;
}

trove_status tvc_call(trove_client *client, const char *method, const ProtobufCMessage *request,
                      const ProtobufCMessageDescriptor *answer_type, uint32_t timeout_ms, ProtobufCMessage **answer,
                      trove_error *error) {
    if (client == NULL)
        return TV_FAIL(error, INVALID_ARGUMENT, "the client is NULL");
    uint64_t deadline_ns = tvc_client_deadline(client, timeout_ms);
    bool again = false;
    trove_status status;
    do
        status = call_once(client, method, request, answer_type, deadline_ns, answer, &again, error);
    while (again); /* the next one waits for the next connection, or fails without having been sent */
    return status;
}
