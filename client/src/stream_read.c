/* stream_read.c - the program's side of the way down: waiting for a chunk, checking its bytes, giving it back. See
 * stream_download.h.
 *
 * Bytes are hashed here, by the thread that wants them, chunk after chunk; that thread has them in its cache then. (Rejected:
 * on the transport's thread as they come in, which would make all streams of the connection wait.)
 */
#include "stream.h"

#include "wait.h"

#include <string.h>

/* A reader that takes its time tells of each chunk, so that the server sees it move. */
#define TELL_AGAIN_NS ((uint64_t)50 * 1000 * 1000)

/* ---- checking ---- */

/* One fragment against its checksum; its bytes into the object's sums. */
static bool check_fragment(trove_stream *stream, const struct tvc_chunk *chunk, const struct tvc_fragment *fragment) {
    struct tvc_download *download = &stream->download;
    char *memory = (char *)chunk->handle.data + fragment->at;
    struct tv_data data = {
        .offset = chunk->handle.offset + fragment->at,
        .bytes = fragment->bytes,
        .iov_count = 1,
        .iov[0] = {memory, fragment->bytes},
    };
    if (!fragment->has_checksum && !download->check_etag)
        return true;
    tv_data_hash(&data);
    if (download->check_etag)
        tvc_block_sums_add(&download->sums, memory, fragment->bytes, data.piece_sums);
    return !fragment->has_checksum || fragment->checksum == tv_chunk_checksum(chunk->call_id, chunk->wire.index, &data);
}

static trove_status check_chunk(trove_stream *stream, const struct tvc_chunk *chunk, trove_error *error) {
    for (uint32_t i = 0; i < chunk->fragment_count; i++)
        if (!check_fragment(stream, chunk, &chunk->fragments[i]))
            return TV_FAIL(
                error, DATA_LOSS,
                "%s/%.200s: bytes %llu to %llu don't match their checksum: they were damaged on the way; read them again",
                stream->bucket, stream->key, (unsigned long long)(chunk->handle.offset + chunk->fragments[i].at),
                (unsigned long long)(chunk->handle.offset + chunk->fragments[i].at + chunk->fragments[i].bytes));
    return TROVE_OK;
}

/* When the last byte was checked: the whole against the etag. */
static trove_status check_whole(trove_stream *stream, uint64_t end, trove_error *error) {
    struct tvc_download *download = &stream->download;
    char etag[TROVE_ETAG_BYTES];
    if (!download->check_etag || end != download->size || !tvc_block_sums_etag(&download->sums, etag))
        return TROVE_OK;
    if (strcmp(etag, download->object->etag) == 0)
        return TROVE_OK;
    return TV_FAIL(error, DATA_LOSS, "%s/%.200s: what was read has the etag %s, the object has %s", stream->bucket, stream->key,
                   etag, download->object->etag);
}

/* *damaged: the way is to blame, and not what was sent. */
static trove_status verify(trove_stream *stream, const struct tvc_chunk *chunk, bool *damaged, trove_error *error) {
    trove_status status = check_chunk(stream, chunk, error);
    *damaged = status != TROVE_OK;
    if (status == TROVE_OK && chunk->handle.size > 0)
        status = check_whole(stream, chunk->handle.offset + chunk->handle.size, error);
    return status;
}

/* ---- reading ---- */

enum step {
    STEP_CHUNK,
    STEP_END,
    STEP_WAIT,
    STEP_FAILED,
};

static struct tvc_chunk *pop_ready(struct tvc_download *download) {
    struct tvc_chunk *chunk = download->ready_first;
    download->ready_first = chunk->next;
    if (download->ready_first == NULL)
        download->ready_last = NULL;
    chunk->next = NULL;
    download->out.chunks++;
    download->out.bytes += chunk->handle.size;
    download->verifying = true;
    return chunk;
}

/* Under the lock. */
static trove_status check_started(const trove_stream *stream, trove_error *error) {
    if (stream->state == TROVE_STREAM_IDLE)
        return TV_FAIL(error, FAILED_PRECONDITION, "%s/%.200s: the stream is idle; start it first", stream->bucket, stream->key);
    return TROVE_OK;
}

/* Under the lock. */
static enum step step(trove_stream *stream, struct tvc_chunk **chunk, trove_error *error) {
    struct tvc_download *download = &stream->download;
    bool finished = tvc_download_finish(stream, true);
    if (tv_stream_state_terminal(stream->state) && stream->state != TROVE_STREAM_COMPLETED) {
        (void)!tvc_stream_over(stream, error);
        return STEP_FAILED;
    }
    if (finished)
        return STEP_END;
    if (check_started(stream, error) != TROVE_OK)
        return STEP_FAILED;
    if (tvc_stream_hooks_may_wait(stream, error) != TROVE_OK)
        return STEP_FAILED;
    if (download->ready_first == NULL || !tvc_stream_hooks_keep_up(stream))
        return STEP_WAIT;
    *chunk = pop_ready(download);
    return STEP_CHUNK;
}

/* Waits for the next chunk or the end (*chunk is NULL then). */
static trove_status next_chunk(trove_stream *stream, uint64_t deadline_ns, struct tvc_chunk **chunk, trove_error *error) {
    struct trove_client *client = stream->client;
    trove_error why = {TROVE_OK, ""};
    bool in_time = true;
    bool told = false; /* the server that all credit is to be had */
    enum step next;
    *chunk = NULL;
    pthread_mutex_lock(&client->lock);
    while ((next = step(stream, chunk, &why)) == STEP_WAIT && in_time) {
        if (!told && stream->download.credit_due > 0) {
            told = true;
            pthread_mutex_unlock(&client->lock);
            tvc_client_wake(client, &stream->flow, TV_WANTS_CONTROL);
            pthread_mutex_lock(&client->lock);
            continue;
        }
        in_time = tvc_stream_wait(stream, deadline_ns);
    }
    if (next == STEP_WAIT)
        tvc_stream_late(stream, TROVE_DIRECTION_DOWNLOAD,
                        stream->state == TROVE_STREAM_PAUSED ? "the stream was not resumed" : "the server has sent nothing",
                        &why);
    bool finished = next == STEP_END && stream->download.completed_due;
    pthread_mutex_unlock(&client->lock);
    if (finished)
        tvc_client_wake(client, &stream->flow, TV_WANTS_CONTROL);
    return why.status == TROVE_OK ? TROVE_OK : tv_error_copy(error, &why);
}

trove_status tvc_download_read(trove_stream *stream, uint64_t deadline_ns, struct tvc_chunk **chunk_out, trove_error *error) {
    for (;;) {
        struct tvc_chunk *chunk = NULL;
        trove_status status = next_chunk(stream, deadline_ns, &chunk, error);
        if (status != TROVE_OK || chunk == NULL) {
            if (status == TROVE_OK)
                *chunk_out = NULL;
            return status;
        }
        trove_error damage;
        bool damaged;
        status = verify(stream, chunk, &damaged, &damage);
        pthread_mutex_lock(&stream->client->lock);
        bool current = tvc_download_current(stream, chunk);
        stream->download.verifying = false;
        if (status == TROVE_OK && current) {
            stream->download.verified_bytes += chunk->lost_bytes + chunk->handle.size;
            stream->download.next_index = chunk->handle.index + 1;
        }
        pthread_mutex_unlock(&stream->client->lock);
        if (damaged && tvc_resume_damaged(stream, deadline_ns, &damage)) {
            tvc_download_put(stream, chunk);
            continue;
        }
        if (status != TROVE_OK) {
            tvc_stream_break(stream, &damage);
            tvc_download_put(stream, chunk);
            return tv_error_copy(error, &damage);
        }
        if (chunk->handle.size > 0 && current) {
            *chunk_out = chunk;
            return TROVE_OK;
        }
        tvc_download_put(stream, chunk); /* only says that it is the last, or nobody waits for it any more */
    }
}

/* ---- giving back ---- */

/* Under the lock. */
static void taken(trove_stream *stream, const struct tvc_chunk *chunk, uint64_t now_ns) {
    struct tvc_download *download = &stream->download;
    if (chunk->lost_chunks > 0)
        tv_receiver_gap_taken(&download->receiver, chunk->lost_chunks, chunk->lost_bytes);
    tv_receiver_taken(&download->receiver, chunk->handle.size, true);
    download->given_back.chunks++;
    download->given_back.bytes += chunk->handle.size;
    download->credit_due += chunk->handle.size;
    download->untold_chunks++;
    trove_chunk_ack ack = {
        .index = chunk->handle.index,
        .offset = chunk->handle.offset,
        .size = chunk->handle.size,
        .received_offset = download->receiver.taken_offset,
        .latency_ns = now_ns - chunk->arrived_ns,
        .direction = TROVE_DIRECTION_DOWNLOAD,
    };
    if (chunk->handle.size > 0)
        tvc_stream_acked(stream, &ack);
}

/* Whether to acknowledge now. Each acknowledgement costs both ends as much as a small chunk, so while there is more to read they
 * are gathered up to a quarter of the window. Under the lock. */
static bool tell_due(struct tvc_download *download, uint64_t now_ns) {
    if (download->ready_first != NULL && download->credit_due < download->tell_bytes &&
        download->untold_chunks < download->tell_chunks && now_ns < download->told_ns + TELL_AGAIN_NS)
        return false;
    download->told_ns = now_ns;
    return true;
}

void tvc_download_put(trove_stream *stream, struct tvc_chunk *chunk) {
    struct tvc_download *download = &stream->download;
    uint64_t now_ns = tv_now_ns();
    bool wake = false;
    tvc_stream_acquire(stream); /* the chunk's reference may be the last one */
    pthread_mutex_lock(&stream->client->lock);
    bool current = tvc_download_current(stream, chunk); /* else it was counted as abandoned */
    if (current) {
        download->out.chunks--;
        download->out.bytes -= chunk->handle.size;
    }
    if (current && !tv_stream_state_terminal(stream->state)) {
        taken(stream, chunk, now_ns);
        wake = tell_due(download, now_ns);
        (void)tvc_download_finish(stream, false);
        wake |= download->completed_due;
    }
    /* Before anybody can acknowledge it, or the server's next chunk would find none free and be sent again. */
    tv_chunk_release(&chunk->wire);
    wake |= download->starved; /* one is free now */
    download->starved = false;
    pthread_mutex_unlock(&stream->client->lock);
    if (wake)
        tvc_client_wake(stream->client, &stream->flow, TV_WANTS_CONTROL);
    tvc_stream_release(stream);
}

trove_status tvc_download_complete(trove_stream *stream, uint64_t deadline_ns, trove_error *error) {
    bool in_time = true;
    pthread_mutex_lock(&stream->client->lock);
    trove_status status = check_started(stream, error);
    while (status == TROVE_OK && !tvc_download_finish(stream, true) && !tv_stream_state_terminal(stream->state) && in_time)
        in_time = tvc_stream_wait(stream, deadline_ns);
    if (tv_stream_state_terminal(stream->state) && stream->state != TROVE_STREAM_COMPLETED)
        status = tvc_stream_over(stream, error);
    else if (status == TROVE_OK && !stream->download.finished)
        status = tvc_stream_late(stream, TROVE_DIRECTION_DOWNLOAD, "not everything was received and read", error);
    bool wake = stream->download.completed_due;
    pthread_mutex_unlock(&stream->client->lock);
    if (wake)
        tvc_client_wake(stream->client, &stream->flow, TV_WANTS_CONTROL);
    return status;
}
