/* transfer.c - see transfer.h. */
#include "transfer.h"

#include "inline_put.h"
#include "options.h"
#include "stream.h"
#include "wait.h"

/* A socket that neither gives nor takes the rest of a frame of a transfer that has ended: after this the connection is cut. */
#define STUCK_GRACE_MS 2000

trove_status tvc_transfer_begin(struct tvc_transfer *transfer, trove_client *client, const char *bucket, const char *key,
                                trove_direction direction, const trove_stream_options *options, trove_error *error) {
    if (client == NULL)
        return TV_FAIL(error, INVALID_ARGUMENT, "the client is NULL");
    *transfer = (struct tvc_transfer){.client = client, .bucket = bucket, .key = key, .deadline_ns = TVC_NO_DEADLINE};
    trove_status status = tvc_names_check(bucket, key, error);
    if (status == TROVE_OK)
        status = tvc_stream_options_take(options, &transfer->options, error);
    if (transfer->options.metrics != NULL)
        *transfer->options.metrics = (trove_stream_metrics){.direction = direction};
    if (status == TROVE_OK)
        status = tvc_stream_options_check(&transfer->options, direction, error);
    transfer->timeout_ms = transfer->options.timeout_ms;
    return status;
}

uint64_t tvc_transfer_deadline(const struct tvc_transfer *transfer) {
    uint64_t step_ns = tvc_client_deadline(transfer->client, transfer->timeout_ms);
    return step_ns < transfer->deadline_ns ? step_ns : transfer->deadline_ns;
}

uint64_t tvc_transfer_moved(trove_stream *stream) {
    const struct tvc_upload *upload = &stream->upload;
    const struct tv_receiver *receiver = &stream->download.receiver;
    pthread_mutex_lock(&stream->client->lock);
    uint64_t moved = upload->bytes_sent + upload->sender.acknowledged_bytes;
    /* A download under a limit of its own gives credit little by little: that is progress, too. */
    moved += receiver->received_bytes + receiver->begun_bytes + receiver->outstanding_bytes;
    moved += stream->resume.reconnects + upload->durable_offset;
    pthread_mutex_unlock(&stream->client->lock);
    return moved;
}

bool tvc_transfer_again(trove_stream *stream, trove_status status, uint64_t *seen) {
    if (status != TROVE_DEADLINE_EXCEEDED)
        return false;
    uint64_t moved = tvc_transfer_moved(stream);
    pthread_mutex_lock(&stream->client->lock);
    bool over = tv_stream_state_terminal(stream->state); /* then it was the server that was late */
    bool away = tvc_stream_detached(stream);             /* for how long that may be is another bound's business */
    pthread_mutex_unlock(&stream->client->lock);
    bool again = !over && (moved != *seen || away);
    *seen = moved;
    return again;
}

trove_status tvc_transfer_complete(const struct tvc_transfer *transfer, trove_stream *stream, trove_object_info **info,
                                   trove_error *error) {
    uint64_t seen = tvc_transfer_moved(stream);
    trove_status status;
    do {
        uint32_t left_ms = tvc_deadline_left_ms(tvc_transfer_deadline(transfer));
        status = trove_stream_complete(stream, left_ms > 0 ? left_ms : 1, info, error); /* 0 would be the client's default */
    } while (tvc_transfer_again(stream, status, &seen));
    return status;
}

/* How long that may take is for the client's retry_for_ms to say, not for a step's timeout. */
static trove_status wait_for_connection(const struct tvc_transfer *transfer, trove_error *error) {
    struct trove_client *client = transfer->client;
    tvc_client_acquire(client);
    pthread_mutex_lock(&client->lock);
    trove_status status = tvc_client_await(client, transfer->deadline_ns, error);
    pthread_mutex_unlock(&client->lock);
    tvc_client_release(client);
    return status;
}

/* Whether there is no connection now. */
static bool is_away(struct trove_client *client) {
    pthread_mutex_lock(&client->lock);
    bool away = client->phase == TVC_BROKEN || client->phase == TVC_DRAINING;
    pthread_mutex_unlock(&client->lock);
    return away && tvc_client_retries(client);
}

trove_status tvc_transfer_open(const struct tvc_transfer *transfer, trove_direction direction, const struct tvc_own_memory *own,
                               trove_stream **stream, trove_error *error) {
    struct tvc_stream_request request = {
        .bucket = transfer->bucket,
        .key = transfer->key,
        .direction = direction,
        .options = transfer->options,
        .own_bytes = own != NULL,
        .target = own != NULL ? own->data : NULL,
        .capacity = own != NULL ? own->capacity : 0,
        .sums_first = true,
        .whole = true,
        .replays = transfer->replays,
    };
    bool again = false;
    trove_status status;
    if (transfer->options.metrics != NULL) /* what a stream before this one has moved is counted elsewhere: anew.h */
        *transfer->options.metrics = (trove_stream_metrics){.direction = direction};
    do {
        status = request.options.resumable ? wait_for_connection(transfer, error) : TROVE_OK;
        if (status == TROVE_OK)
            status = tvc_stream_open(transfer->client, &request, tvc_transfer_deadline(transfer), stream, error);
        again = request.options.resumable && status == TROVE_DEADLINE_EXCEEDED && is_away(transfer->client) &&
                tvc_deadline_left_ms(transfer->deadline_ns) > 0;
    } while (again);
    return status;
}

void tvc_transfer_release(const struct tvc_transfer *transfer, trove_stream *stream) {
    if (transfer->options.metrics != NULL)
        trove_stream_metrics_get(stream, transfer->options.metrics);
    trove_stream_release(stream);
}

bool tvc_transfer_in_one_flight(const struct tvc_transfer *transfer, uint64_t size) {
    const trove_stream_options *options = &transfer->options;
    const trove_stream_hooks *hooks = &options->hooks; /* what they are to be told only a stream knows */
    bool watched = hooks->on_chunk != NULL || hooks->on_complete != NULL || hooks->on_error != NULL;
    bool managed = options->bytes_per_second != 0 || options->client_pool != NULL || options->resumable;
    return !watched && !managed && size <= tvc_inline_put_most(transfer->client);
}

void tvc_transfer_take_back(trove_stream *stream) {
    struct tvc_chunks *chunks = tvc_stream_sends(stream) ? stream->upload.half.chunks : stream->download.half.chunks;
    if (tvc_chunks_wait_idle(chunks, tvc_deadline_after_ms(STUCK_GRACE_MS)))
        return;
    trove_error why;
    TV_FAIL(&why, DEADLINE_EXCEEDED, "the server has stopped in the middle of %s/%.200s, and the program's memory can't wait",
            stream->bucket, stream->key);
    tvc_client_abort(stream->client, &why);
    (void)tvc_chunks_wait_idle(chunks, TVC_NO_DEADLINE); /* a cut connection lets go of everything at once */
}
