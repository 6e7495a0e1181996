/* call_again.c - small objects that the server didn't take in one flight: put once more, as streams. See call.h.
 *
 * Each may wait for the server until its deadline. So a thread of its own does it, started when it is first needed: the hook
 * thread is the program's. One after the other; who has to wait for too long is told so. (Rejected: to begin them all at once; a
 * server that is short of memory has no use for that.)
 */
#include "call.h"
#include "client.h"
#include "options.h"
#include "transfer.h"
#include "wait.h"

#include <string.h>

void tvc_call_put_aside(trove_client *client, struct tvc_call *call) {
    struct tvc_calls *calls = &client->calls;
    call->next = NULL;
    if (calls->again_last != NULL)
        calls->again_last->next = call;
    else
        calls->again_first = call;
    calls->again_last = call;
}

/* The first of them; NULL: there is none. */
static struct tvc_call *take_first(struct trove_client *client) {
    struct tvc_calls *calls = &client->calls;
    pthread_mutex_lock(&client->lock);
    struct tvc_call *call = calls->again_first;
    if (call != NULL)
        calls->again_first = call->next;
    if (calls->again_first == NULL)
        calls->again_last = NULL;
    pthread_mutex_unlock(&client->lock);
    return call;
}

static void answer(struct trove_client *client, struct tvc_call *call, trove_status status, const trove_error *why) {
    pthread_mutex_lock(&client->lock);
    call->not_taken = false;
    call->failed = status != TROVE_OK;
    if (call->failed)
        call->error = *why;
    tvc_call_hand_over(client, call);
    pthread_mutex_unlock(&client->lock);
}

/* What the buffer of an asynchronous put keeps: bucket and key with their NULs, then the bytes. */
static trove_status put(struct trove_client *client, const struct tvc_call *call, trove_error *error) {
    const char *bucket = (const char *)call->buffer.bytes;
    const char *key = bucket + strlen(bucket) + 1;
    const char *data = key + strlen(key) + 1;
    size_t size = call->buffer.size - (size_t)(data - bucket);
    struct tvc_transfer transfer = {
        .client = client,
        .bucket = bucket,
        .key = key,
        .timeout_ms = TROVE_NO_TIMEOUT,
        .deadline_ns = call->deadline_ns,
    };
    if (tvc_deadline_left_ms(call->deadline_ns) == 0)
        return TV_FAIL(error, DEADLINE_EXCEEDED, "%s/%.200s: the server has not taken the object in time", bucket, key);
    trove_status status = tvc_stream_options_take(NULL, &transfer.options, error);
    return status == TROVE_OK ? tvc_put_memory_stream(&transfer, data, size, NULL, error) : status;
}

void tvc_calls_begin_again(trove_client *client) {
    trove_error why;
    trove_status status = tvc_job_thread_start(&client->resender, &why);
    if (status == TROVE_OK) {
        tvc_job_thread_post(&client->resender, &client->calls.again_job);
        return;
    }
    for (struct tvc_call *call = take_first(client); call != NULL; call = take_first(client))
        answer(client, call, status, &why);
}

void tvc_calls_run_again(struct tvc_job *job) {
    struct trove_client *client = (struct trove_client *)((char *)job - offsetof(struct trove_client, calls.again_job));
    for (struct tvc_call *call = take_first(client); call != NULL; call = take_first(client)) {
        trove_error why;
        trove_status status = put(client, call, &why);
        answer(client, call, status, &why);
    }
}
