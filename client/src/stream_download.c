/* stream_download.c - see stream_download.h: chunks landing, acknowledgements, the end. Reading is in stream_read.c. */
#include "stream_download.h"

#include "stream.h"

/* ---- landing ---- */

/* Whether bytes of the object are among those that are read. */
static bool in_range(const struct tvc_download *download, uint64_t offset, uint64_t bytes) {
    uint64_t end = download->range_offset + download->size;
    return offset <= end && bytes <= end - offset;
}

/* Nothing may follow the server's word that it has sent all, but what wasn't taken. */
static trove_status check_open(const trove_stream *stream, const char *what, trove_error *error) {
    const struct tvc_download *download = &stream->download;
    if (download->half.chunks == NULL)
        return TV_FAIL(error, INTERNAL, "%s/%.200s: the server sent %s to the stream that writes", stream->bucket, stream->key,
                       what);
    if (!download->complete_seen || download->resending)
        return TROVE_OK;
    return TV_FAIL(error, INTERNAL, "%s/%.200s: the server sent %s after its complete", stream->bucket, stream->key, what);
}

/* On this connection. */
static uint64_t bytes_asked_for(const struct tvc_download *download) {
    return download->range_offset + download->size - download->base_offset;
}

/* What has come in all against what the server says that it sent. */
static trove_status check_sent(const trove_stream *stream, uint64_t size, uint64_t chunks, trove_error *error) {
    const struct tvc_download *download = &stream->download;
    const struct tv_receiver *receiver = &download->receiver;
    uint64_t have = receiver->expected_offset - download->base_offset;
    if (size == have && size == bytes_asked_for(download) && chunks == receiver->expected_index && !receiver->in_chunk)
        return TROVE_OK;
    return TV_FAIL(error, DATA_LOSS,
                   "%s/%.200s: the server says that it sent %llu bytes in %llu chunks; of %llu expected bytes %llu came, in %llu "
                   "chunks",
                   stream->bucket, stream->key, (unsigned long long)size, (unsigned long long)chunks,
                   (unsigned long long)bytes_asked_for(download), (unsigned long long)have,
                   (unsigned long long)receiver->expected_index);
}

/* There is no room for a chunk: the program still has some of before a seek, or they are smaller than they may be and so more
 * than there is room for. It comes again; not at once and again and again, though: all credit is taken back until a chunk is.
 * Under the lock. */
static void decline(struct tvc_download *download, const struct tv_fragment_in *fragment) {
    tv_receiver_decline(&download->receiver, fragment);
    uint64_t expired = tv_receiver_expire(&download->receiver);
    download->expired_due += expired;
    download->credit_due += expired;
    download->starved = true;
}

/* Judges a fragment when its header has come; memory is found for the first one of a chunk. Under the lock. */
static enum tv_receive judge(trove_stream *stream, const Trove__V1__Chunk *chunk, uint64_t payload_bytes, trove_error *error) {
    struct tvc_download *download = &stream->download;
    if (!stream->opened || tv_stream_state_terminal(stream->state) || tvc_stream_detached(stream))
        return TV_RECEIVE_DRAIN;
    struct tv_fragment_in fragment = {
        .index = chunk->index,
        .offset = chunk->offset,
        .chunk_bytes = chunk->chunk_bytes,
        .fragment_offset = chunk->fragment_offset,
        .generation = chunk->generation,
        .payload_bytes = payload_bytes,
        .final = chunk->final,
    };
    if (check_open(stream, "a chunk", error) != TROVE_OK)
        return TV_RECEIVE_FAIL;
    if (chunk->fragment_offset <= chunk->chunk_bytes &&
        !in_range(download, chunk->offset, chunk->chunk_bytes - chunk->fragment_offset)) {
        (void)TV_FAIL(error, INTERNAL, "%s/%.200s: the server sent more than the %llu bytes of the range", stream->bucket,
                      stream->key, (unsigned long long)download->size);
        return TV_RECEIVE_FAIL;
    }
    enum tv_receive verdict = tv_receiver_fragment(&download->receiver, &fragment, error);
    if (verdict != TV_RECEIVE_TAKE || download->incoming != NULL)
        return verdict;
    TV_ASSERT(chunk->fragment_offset == 0); /* a chunk that is coming in is in `incoming` until it is whole */
    download->incoming = tvc_chunks_get(download->half.chunks, stream);
    if (download->incoming == NULL) {
        decline(download, &fragment);
        return TV_RECEIVE_DRAIN;
    }
    struct tvc_chunk *incoming = download->incoming;
    incoming->wire.index = chunk->index;
    incoming->handle.index = chunk->index + download->index_base;
    incoming->handle.offset = chunk->offset;
    incoming->handle.size = chunk->chunk_bytes;
    incoming->handle.final = chunk->final;
    incoming->call_id = stream->entry.node.id;
    incoming->generation = chunk->generation;
    incoming->lost_chunks = download->lost_chunks;
    incoming->lost_bytes = download->lost_bytes;
    download->lost_chunks = download->lost_bytes = 0;
    if (download->target != NULL)
        incoming->handle.data = download->target + (chunk->offset - download->range_offset);
    return TV_RECEIVE_TAKE;
}

void tvc_download_land(trove_stream *stream, const tv_frame *frame, uint64_t payload_bytes, struct tv_sink *sink) {
    struct tvc_download *download = &stream->download;
    const Trove__V1__Chunk *chunk = frame->chunk;
    trove_error error;
    pthread_mutex_lock(&stream->client->lock);
    enum tv_receive verdict = judge(stream, chunk, payload_bytes, &error);
    download->verdict = verdict;
    if (verdict == TV_RECEIVE_TAKE) {
        download->landing = true;
        sink->kind = TV_SINK_MEMORY;
        sink->iov_count = 1;
        sink->iov[0] = (struct iovec){(char *)download->incoming->handle.data + chunk->fragment_offset, payload_bytes};
    }
    pthread_mutex_unlock(&stream->client->lock);
    if (verdict == TV_RECEIVE_FAIL)
        tvc_stream_break(stream, &error);
}

/* Chunks that the server has lost come to the program with the chunk behind them: as a jump. Under the lock. */
static trove_status take_gap(trove_stream *stream, const Trove__V1__Gap *gap, trove_error *error) {
    struct tvc_download *download = &stream->download;
    const struct tv_gap_in in = {gap->first_index, gap->count, gap->offset, gap->length, gap->generation};
    if (!stream->lossy)
        return TV_FAIL(error, INTERNAL, "%s/%.200s: the server lost chunks of a stream that isn't lossy", stream->bucket,
                       stream->key);
    if (check_open(stream, "a gap", error) != TROVE_OK)
        return error->status;
    if (!in_range(download, gap->offset, gap->length))
        return TV_FAIL(error, INTERNAL, "%s/%.200s: the server lost more than the %llu bytes of the range", stream->bucket,
                       stream->key, (unsigned long long)download->size);
    enum tv_receive verdict = tv_receiver_gap(&download->receiver, &in, error);
    if (verdict != TV_RECEIVE_TAKE)
        return verdict == TV_RECEIVE_FAIL ? error->status : TROVE_OK;
    download->lost_chunks += gap->count;
    download->lost_bytes += gap->length;
    download->check_etag = false;
    trove_drop drop = {
        .first_index = gap->first_index,
        .count = gap->count,
        .offset = gap->offset,
        .length = gap->length,
        .direction = TROVE_DIRECTION_DOWNLOAD,
    };
    tvc_stream_hooks_drop(stream, &drop);
    return TROVE_OK;
}

void tvc_download_on_gap(trove_stream *stream, const Trove__V1__Gap *gap) {
    trove_error error;
    trove_status status = TROVE_OK;
    pthread_mutex_lock(&stream->client->lock);
    if (!tv_stream_state_terminal(stream->state))
        status = take_gap(stream, gap, &error);
    pthread_mutex_unlock(&stream->client->lock);
    if (status != TROVE_OK)
        tvc_stream_break(stream, &error);
}

static void drop_incoming(struct tvc_download *download) {
    if (download->incoming != NULL)
        tv_chunk_release(&download->incoming->wire);
    download->incoming = NULL;
}

/* A chunk is whole: it may be read. Under the lock. */
static void make_ready(trove_stream *stream) {
    struct tvc_download *download = &stream->download;
    struct tvc_chunk *chunk = download->incoming;
    download->incoming = NULL;
    chunk->arrived_ns = tv_now_ns();
    if (download->ready_last != NULL)
        download->ready_last->next = chunk;
    else
        download->ready_first = chunk;
    download->ready_last = chunk;
    tvc_stream_moved(stream, chunk->arrived_ns);
    pthread_cond_broadcast(&stream->changed);
}

/* A fragment that was taken has come whole. Under the lock. */
static trove_status take_fragment(trove_stream *stream, const Trove__V1__Chunk *chunk, uint64_t payload_bytes,
                                  trove_error *error) {
    struct tvc_fragment fragment = {
        .at = chunk->fragment_offset,
        .bytes = payload_bytes,
        .has_checksum = chunk->checksum_given_case == TROVE__V1__CHUNK__CHECKSUM_GIVEN_CHECKSUM,
        .checksum = chunk->checksum,
    };
    struct tvc_download *download = &stream->download;
    trove_status status = tvc_chunk_add_fragment(download->incoming, &fragment, error);
    if (status != TROVE_OK || chunk->fragment_offset + payload_bytes < chunk->chunk_bytes)
        return status;
    make_ready(stream);
    bool last = download->complete_seen && download->receiver.expected_index >= download->complete_chunks;
    return last ? check_sent(stream, bytes_asked_for(download), download->complete_chunks, error) : TROVE_OK;
}

void tvc_download_landed(trove_stream *stream, const tv_frame *frame, uint64_t payload_bytes) {
    struct tvc_download *download = &stream->download;
    trove_error error = {TROVE_OK, ""};
    pthread_mutex_lock(&stream->client->lock);
    if (payload_bytes == 0)
        download->verdict = judge(stream, frame->chunk, 0, &error);
    download->landing = false;
    bool over = tv_stream_state_terminal(stream->state);
    bool declined = download->verdict == TV_RECEIVE_DRAIN && !over;
    if (over) /* no seek takes place between a header and its payload: all of it is of this thread */
        drop_incoming(download);
    else if (download->verdict == TV_RECEIVE_TAKE)
        (void)take_fragment(stream, frame->chunk, payload_bytes, &error);
    pthread_mutex_unlock(&stream->client->lock);
    if (error.status != TROVE_OK)
        tvc_stream_break(stream, &error);
    else if (declined)
        tvc_client_wake(stream->client, &stream->flow, TV_WANTS_CONTROL);
}

void tvc_download_unland(trove_stream *stream) {
    pthread_mutex_lock(&stream->client->lock);
    stream->download.landing = false;
    if (tv_stream_state_terminal(stream->state))
        drop_incoming(&stream->download);
    pthread_mutex_unlock(&stream->client->lock);
}

/* ---- the end ---- */

/* Under the lock. */
static trove_status take_complete(trove_stream *stream, const Trove__V1__Complete *complete, trove_error *error) {
    struct tvc_download *download = &stream->download;
    if (download->complete_seen)
        return TV_FAIL(error, INTERNAL, "%s/%.200s: the server said twice that it has sent all", stream->bucket, stream->key);
    if (download->size == TROVE_SIZE_UNKNOWN)
        download->size = complete->size;
    bool again = tv_receiver_awaits_resend(&download->receiver) && complete->size == bytes_asked_for(download);
    trove_status status = again ? TROVE_OK : check_sent(stream, complete->size, complete->chunks, error);
    if (status != TROVE_OK)
        return status;
    download->resending = again;
    download->complete_chunks = complete->chunks;
    download->complete_seen = true;
    pthread_cond_broadcast(&stream->changed);
    return tvc_stream_closed(stream, error);
}

void tvc_download_on_complete(trove_stream *stream, const Trove__V1__Complete *complete) {
    trove_error error;
    trove_status status = TROVE_OK;
    bool finished = false;
    pthread_mutex_lock(&stream->client->lock);
    if (!tv_stream_state_terminal(stream->state)) {
        status = take_complete(stream, complete, &error);
        finished = status == TROVE_OK && tvc_download_finish(stream, false);
    }
    pthread_mutex_unlock(&stream->client->lock);
    if (status != TROVE_OK)
        tvc_stream_break(stream, &error);
    else if (finished)
        tvc_client_wake(stream->client, &stream->flow, TV_WANTS_CONTROL);
}

/* The empty chunk that only says that it is the last needs no reader. Under the lock. */
static void take_empty(struct tvc_download *download) {
    struct tvc_chunk *chunk = download->ready_first;
    if (chunk == NULL || chunk->handle.size > 0)
        return;
    download->ready_first = download->ready_last = NULL;
    if (chunk->lost_chunks > 0)
        tv_receiver_gap_taken(&download->receiver, chunk->lost_chunks, chunk->lost_bytes);
    download->verified_bytes += chunk->lost_bytes;
    tv_receiver_taken(&download->receiver, 0, true);
    download->given_back.chunks++;
    tv_chunk_release(&chunk->wire);
}

bool tvc_download_finish(trove_stream *stream, bool asked) {
    struct tvc_download *download = &stream->download;
    if (download->finished || tv_stream_state_terminal(stream->state))
        return download->finished;
    if (download->complete_seen)
        take_empty(download);
    bool here = download->complete_seen && download->receiver.expected_index == download->complete_chunks;
    bool read = here && download->ready_first == NULL && download->verified_bytes == download->size;
    if (!read || (download->out.chunks > 0 && !asked))
        return false;
    download->finished = download->completed_due = true;
    tvc_stream_limit_leave(&download->half);
    if (!tvc_stream_sends(stream))
        tvc_stream_end(stream, TV_EVENT_COMPLETED, NULL);
    pthread_cond_broadcast(&stream->changed);
    return true;
}

/* What has come and was not read. Under the lock. */
static void drop_unread(struct tvc_download *download) {
    while (download->ready_first != NULL) {
        struct tvc_chunk *chunk = download->ready_first;
        download->ready_first = chunk->next;
        tv_chunk_release(&chunk->wire);
    }
    download->ready_last = NULL;
    if (!download->landing) /* else the transport still writes into it */
        drop_incoming(download);
}

void tvc_download_forget(trove_stream *stream) {
    struct tvc_download *download = &stream->download;
    tvc_stream_abandon(stream);
    drop_unread(download);
    download->out = (struct tvc_sum){0}; /* what the program has isn't counted any more when it comes back */
    download->starved = false;
    download->lost_chunks = download->lost_bytes = 0;
}

void tvc_download_seek(trove_stream *stream, uint64_t offset, uint64_t generation) {
    struct tvc_download *download = &stream->download;
    tvc_download_forget(stream);
    download->index_base = download->next_index = download->reached_offset = 0;
    uint64_t granted = tv_receiver_seek(&download->receiver, offset, generation);
    TV_ASSERT(granted <= download->credit_due); /* given back by the program, and the server hadn't been told */
    tv_receiver_grant(&download->receiver, granted);
    download->credit_due -= granted;
    download->verified_bytes = offset - download->range_offset;
    download->check_etag = false;
}

void tvc_download_end(trove_stream *stream) {
    drop_unread(&stream->download);
    if (stream->download.half.chunks != NULL)
        tvc_chunks_end(stream->download.half.chunks, &stream->error);
}

/* ---- frames out ---- */

/* Grants the credit that is due, as far as the limits of bandwidth allow. Under the lock. */
static uint64_t grant(trove_stream *stream) {
    struct tvc_download *download = &stream->download;
    if (download->starved)
        return 0;
    uint64_t bytes = download->credit_due > 0 ? tvc_stream_limit_grant(stream, download->credit_due) : 0;
    tv_receiver_grant(&download->receiver, bytes);
    download->credit_due -= bytes;
    return bytes;
}

/* Under the lock. */
static bool fill_ack(trove_stream *stream, struct tv_pulled *pulled) {
    struct tvc_download *download = &stream->download;
    bool not_taken = false;
    trove__v1__index_range__init(&pulled->range);
    if (!tv_receiver_next_ack(&download->receiver, &pulled->range.first, &pulled->range.count, &not_taken))
        return false;
    Trove__V1__Ack *body = &pulled->scratch.ack;
    trove__v1__ack__init(body);
    body->n_ranges = 1;
    body->ranges = pulled->ranges;
    pulled->ranges[0] = &pulled->range;
    body->not_taken = not_taken;
    body->received_offset = download->receiver.taken_offset;
    body->generation = download->receiver.generation;
    if (!not_taken) {
        body->credit = grant(stream);
        download->untold_chunks = 0;
    }
    pulled->frame.body_case = TV_BODY(ACK);
    pulled->frame.ack = body;
    return true;
}

/* Under the lock. */
static bool fill_credit(trove_stream *stream, struct tv_pulled *pulled) {
    uint64_t bytes = grant(stream);
    if (bytes == 0)
        return false;
    Trove__V1__Credit *body = &pulled->scratch.credit;
    trove__v1__credit__init(body);
    body->bytes = bytes;
    pulled->frame.body_case = TV_BODY(CREDIT);
    pulled->frame.credit = body;
    return true;
}

/* What was taken back: before the answer that a chunk wasn't taken, or it would come again at once. Under the lock. */
static bool fill_expired(struct tvc_download *download, struct tv_pulled *pulled) {
    if (download->expired_due == 0)
        return false;
    Trove__V1__Credit *body = &pulled->scratch.credit;
    trove__v1__credit__init(body);
    body->expired = download->expired_due;
    download->expired_due = 0;
    pulled->frame.body_case = TV_BODY(CREDIT);
    pulled->frame.credit = body;
    return true;
}

/* Acknowledgements, then the word that all is here. */
bool tvc_download_pull(trove_stream *stream, struct tv_pulled *pulled) {
    struct tvc_download *download = &stream->download;
    pthread_mutex_lock(&stream->client->lock);
    bool completed = stream->state == TROVE_STREAM_COMPLETED;
    bool over = tv_stream_state_terminal(stream->state) && !completed;
    over |= tvc_stream_detached(stream);
    over |= download->completed_told; /* what is given back after that is of no interest */
    /* What is acknowledged now would be of an older generation when it is heard. (A seek that was unanswered at the end is
     * refused.) */
    over |= stream->seek.serial != 0 && !completed;
    bool filled = !over;
    pulled->frame.call_id = stream->entry.node.id;
    if (over || fill_expired(download, pulled) || fill_ack(stream, pulled)) {
        /* done */
    } else if (download->completed_due) {
        download->completed_due = false;
        download->completed_told = true;
        trove__v1__completed__init(&pulled->scratch.completed);
        pulled->frame.body_case = TV_BODY(COMPLETED);
        pulled->frame.completed = &pulled->scratch.completed;
    } else {
        filled = !download->finished && fill_credit(stream, pulled);
    }
    pthread_mutex_unlock(&stream->client->lock);
    return filled;
}
