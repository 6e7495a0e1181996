/* anew.c - see anew.h. On the calling thread. */
#include "anew.h"

#include "stream.h"

bool tvc_anew_lost(const trove_stream *stream) {
    pthread_mutex_lock(&stream->client->lock);
    bool lost = stream->resume.gone;
    pthread_mutex_unlock(&stream->client->lock);
    return lost;
}

static void add(trove_stream_metrics *to, const trove_stream_metrics *from) {
    to->bytes_sent += from->bytes_sent;
    to->chunks_sent += from->chunks_sent;
    to->chunks_resent += from->chunks_resent;
    to->elapsed_ns += from->elapsed_ns;
    to->reconnects += from->reconnects;
}

bool tvc_anew_begin(struct tvc_anew *anew, struct tvc_transfer *transfer, trove_stream *stream) {
    struct trove_client *client = transfer->client;
    trove_stream_metrics metrics;
    if (!tvc_client_retries(client))
        return false;
    pthread_mutex_lock(&client->lock);
    uint64_t reached = stream->upload.durable_offset;
    pthread_mutex_unlock(&client->lock);
    if (anew->backoff.begun_ns == 0 || reached > anew->mark) {
        tvc_backoff_begin(&anew->backoff, client->retry_for_ms, tv_now_ns());
        anew->mark = reached;
    }
    if (!tvc_client_pause(client, &anew->backoff, transfer->deadline_ns))
        return false;
    trove_stream_metrics_get(stream, &metrics);
    add(&anew->before, &metrics);
    anew->before.reconnects++;
    transfer->options.upload_id = NULL;
    return true;
}

void tvc_anew_add(const struct tvc_anew *anew, const struct tvc_transfer *transfer) {
    if (transfer->options.metrics != NULL)
        add(transfer->options.metrics, &anew->before);
}
