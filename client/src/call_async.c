/* call_async.c - many small calls at once: echo and put, whose `done` the hook thread calls. See call.h.
 *
 * Answers are linked up by the receiving thread; the hook thread takes up to TVC_CALL_BATCH of them in one step, exchanging
 * buffers instead of copying, and their slots are free again before the first `done` runs: from there a next call may be
 * started. Such calls are queued and go out together once all of the batch is told, or after a millisecond: sent one by one, each
 * would cost a system call and wake a thread of nng's, at both ends.
 */
#include "call.h"
#include "client.h"
#include "inline_put.h"
#include "options.h"
#include "wait.h"

#include <string.h>

/* What a `done` begins is sent after this, however many of the batch are left. */
#define TELLING_NS UINT64_C(1000000)
/* Calls that are failed in one step for being late. */
#define SWEEP_BATCH 64

/* ---- deadlines ---- */

void tvc_call_watch(trove_client *client, const struct tvc_call *call) {
    struct tvc_calls *calls = &client->calls;
    if (call->kind == TVC_CALL_WAITED || call->deadline_ns == TVC_NO_DEADLINE)
        return;
    if (calls->sweep_due_ns != 0 && calls->sweep_due_ns <= call->deadline_ns)
        return;
    if (tv_timer_arm(client->timers, &calls->sweep, call->deadline_ns, NULL) == TROVE_OK)
        calls->sweep_due_ns = call->deadline_ns;
}

/* Fails up to SWEEP_BATCH calls that are late, and notes when the next one will be. Under the lock. Returns how many. */
static unsigned fail_late(struct trove_client *client, uint64_t now_ns, uint64_t *ids, bool *puts) {
    struct tvc_calls *calls = &client->calls;
    trove_error late;
    TV_FAIL(&late, DEADLINE_EXCEEDED, "%s has not answered in time", client->url);
    unsigned count = 0;
    calls->sweep_due_ns = 0;
    for (uint32_t i = 0; i < calls->made && count < SWEEP_BATCH; i++) {
        struct tvc_call *call = &calls->slots[i];
        if (!call->entry.listed || call->kind == TVC_CALL_WAITED)
            continue;
        if (call->deadline_ns > now_ns) {
            tvc_call_watch(client, call);
            continue;
        }
        ids[count] = call->entry.node.id;
        puts[count++] = call->is_put;
        tvc_call_answered(client, call, &late, false, NULL, 0, NULL);
    }
    return count;
}

void tvc_calls_sweep(struct tv_timer *timer) {
    struct trove_client *client = (struct trove_client *)((char *)timer - offsetof(struct trove_client, calls.sweep));
    uint64_t ids[SWEEP_BATCH];
    bool puts[SWEEP_BATCH];
    unsigned count;
    do {
        pthread_mutex_lock(&client->lock);
        count = fail_late(client, tv_now_ns(), ids, puts);
        pthread_mutex_unlock(&client->lock);
        for (unsigned i = 0; i < count; i++)
            tvc_call_send_cancel(client, ids[i], puts[i]);
    } while (count == SWEEP_BATCH);
}

/* ---- handing over ---- */

void tvc_call_hand_over(trove_client *client, struct tvc_call *call) {
    struct tvc_calls *calls = &client->calls;
    call->next = NULL;
    if (calls->done_last != NULL)
        calls->done_last->next = call;
    else
        calls->done_first = call;
    calls->done_last = call;
    tvc_job_thread_post(&client->hooks, &calls->job);
}

static void take_out(struct tvc_call *call, struct tvc_done *done) {
    done->kind = call->kind;
    done->failed = call->failed;
    done->done = call->done;
    done->done_context = call->done_context;
    struct tvc_buffer spare = done->buffer;
    done->buffer = call->buffer;
    call->buffer = spare;
    if (done->failed)
        done->error = call->error;
}

/* *again: some were put aside. */
static unsigned take_batch(struct trove_client *client, bool *more, bool *again) {
    struct tvc_calls *calls = &client->calls;
    unsigned count = 0;
    pthread_mutex_lock(&client->lock);
    while (calls->done_first != NULL && count < TVC_CALL_BATCH) {
        struct tvc_call *call = calls->done_first;
        calls->done_first = call->next;
        if (calls->done_first == NULL)
            calls->done_last = NULL;
        if (call->kind == TVC_CALL_PUT && call->not_taken) {
            tvc_call_put_aside(client, call);
        } else {
            take_out(call, &calls->batch[count++]);
            tvc_call_free(client, call);
        }
    }
    *more = calls->done_first != NULL;
    *again = calls->again_first != NULL;
    pthread_mutex_unlock(&client->lock);
    return count;
}

/* ---- telling ---- */

static void tell_echo(struct tvc_calls *calls, const struct tvc_done *done) {
    trove_error error;
    ProtobufCMessage *message = NULL;
    trove_status status = tv_message_unpack(&trove__v1__echo_response__descriptor, done->buffer.bytes, done->buffer.size,
                                            &calls->arena, &message, &error);
    if (status == TROVE_OK) {
        const Trove__V1__EchoResponse *answer = (const Trove__V1__EchoResponse *)message;
        done->done(done->done_context, NULL, answer->data.data, answer->data.len);
    } else {
        if (status != TROVE_RESOURCE_EXHAUSTED)
            TV_FAIL(&error, INTERNAL, "the server's answer is no EchoResponse");
        done->done(done->done_context, &error, NULL, 0);
    }
    tv_arena_reset(&calls->arena);
}

static void tell(struct trove_client *client, const struct tvc_done *done) {
    if (done->failed)
        done->done(done->done_context, &done->error, NULL, 0);
    else if (done->kind == TVC_CALL_ECHO)
        tell_echo(&client->calls, done);
    else
        done->done(done->done_context, NULL, NULL, 0);
}

void tvc_calls_flush(trove_client *client) {
    if (!client->calls.unsent)
        return;
    client->calls.unsent = false;
    tvc_client_flush(client);
}

void tvc_calls_run_done(struct tvc_job *job) {
    struct trove_client *client = (struct trove_client *)((char *)job - offsetof(struct trove_client, calls.job));
    bool more = false;
    bool again = false;
    unsigned count = take_batch(client, &more, &again);
    if (more)
        tvc_job_thread_post(&client->hooks, job);
    if (again)
        tvc_calls_begin_again(client);
    uint64_t flush_ns = tv_now_ns() + TELLING_NS;
    client->calls.telling = true;
    for (unsigned i = 0; i < count; i++) {
        tell(client, &client->calls.batch[i]);
        tvc_buffer_clear(&client->calls.batch[i].buffer);
        uint64_t now_ns = tv_now_ns();
        if (now_ns > flush_ns) {
            tvc_calls_flush(client);
            flush_ns = now_ns + TELLING_NS;
        }
    }
    client->calls.telling = false;
    tvc_calls_flush(client);
}

/* ---- the program's side ---- */

static trove_status check(trove_client *client, const void *data, size_t size, trove_done_fn done, trove_error *error) {
    if (client == NULL || done == NULL || (data == NULL && size > 0))
        return TV_FAIL(error, INVALID_ARGUMENT, "the %s is NULL",
                       client == NULL ? "client"
                       : done == NULL ? "done function"
                                      : "data");
    if (size > TV_INLINE_BYTES_MAX)
        return TV_FAIL(error, INVALID_ARGUMENT, "%zu bytes; a small call takes at most %d", size, (int)TV_INLINE_BYTES_MAX);
    return TROVE_OK;
}

trove_status trove_echo_async(trove_client *client, const void *data, size_t size, uint32_t timeout_ms, trove_done_fn done,
                              void *context, trove_error *error) {
    trove_status status = check(client, data, size, done, error);
    if (status != TROVE_OK)
        return status;
    struct tvc_call *call = NULL;
    status = tvc_call_claim(client, TVC_CALL_ECHO, 0, tvc_client_deadline(client, timeout_ms), &call, error);
    if (status != TROVE_OK)
        return status;
    call->done = done;
    call->done_context = context;
    Trove__V1__EchoRequest request = TROVE__V1__ECHO_REQUEST__INIT;
    request.data = (ProtobufCBinaryData){size, (uint8_t *)data};
    status = tvc_call_start(client, call, "trove.v1.Server/Echo", &request.base, error);
    if (status != TROVE_OK)
        tvc_call_give_back(client, call);
    return status;
}

/* Keeps what is needed to send the object again as a stream. */
static trove_status keep(struct tvc_call *call, const char *bucket, const char *key, const void *data, size_t size,
                         trove_error *error) {
    size_t bucket_bytes = strlen(bucket) + 1;
    size_t key_bytes = strlen(key) + 1;
    struct tvc_buffer *buffer = &call->buffer;
    if (!tvc_buffer_reserve(buffer, bucket_bytes + key_bytes + size))
        return TV_FAIL(error, RESOURCE_EXHAUSTED, "no memory for an object of %zu bytes", size);
    memcpy(buffer->bytes, bucket, bucket_bytes);
    memcpy(buffer->bytes + bucket_bytes, key, key_bytes);
    if (size > 0)
        memcpy(buffer->bytes + bucket_bytes + key_bytes, data, size);
    buffer->size = bucket_bytes + key_bytes + size;
    return TROVE_OK;
}

trove_status trove_put_async(trove_client *client, const char *bucket, const char *key, const void *data, size_t size,
                             uint32_t timeout_ms, trove_done_fn done, void *context, trove_error *error) {
    trove_status status = check(client, data, size, done, error);
    if (status == TROVE_OK)
        status = tvc_names_check(bucket, key, error);
    if (status == TROVE_OK && size > tvc_inline_put_most(client))
        status = TV_FAIL(error, INVALID_ARGUMENT, "%zu bytes; this server takes small objects of at most %llu", size,
                         (unsigned long long)tvc_inline_put_most(client));
    if (status != TROVE_OK)
        return status;
    struct tvc_call *call = NULL;
    status = tvc_call_claim(client, TVC_CALL_PUT, size, tvc_client_deadline(client, timeout_ms), &call, error);
    if (status != TROVE_OK)
        return status;
    call->done = done;
    call->done_context = context;
    trove_stream_options options;
    status = tvc_stream_options_take(NULL, &options, error);
    if (status == TROVE_OK)
        status = keep(call, bucket, key, data, size, error);
    if (status == TROVE_OK)
        status = tvc_inline_put_start(client, call, bucket, key, data, size, &options, error);
    if (status != TROVE_OK)
        tvc_call_give_back(client, call);
    return status;
}
