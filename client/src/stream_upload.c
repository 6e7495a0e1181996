/* stream_upload.c - see stream_upload.h.
 *
 * The way of a chunk: the program fills it; its own thread hashes it (no lock is held) and puts it into the window, or where
 * the window is full into the overflow of a stream that buffers (stream_spill.h); the
 * connection pulls it frame by frame when the transport is ready; it goes back to the pool when it is acknowledged and the
 * transport is done with it.
 */
#include "stream_upload.h"

#include "stream.h"
#include "wait.h"

#include <string.h>

/* An upload without anything to send gives its credit up after this. */
#define IDLE_NS UINT64_C(1000000000)
/* One that hasn't for so long tells nothing about the server's speed. */
#define STILL_NS UINT64_C(10000000)
/* Of a chunk: it may begin and end inside a block. */
#define PIECES_MAX (TV_CHUNK_BYTES_MAX / TV_BLOCK_BYTES + 2)

uint64_t tvc_upload_window(const trove_stream *stream) {
    return stream->channel_chunks * stream->chunk_bytes;
}

/* ---- sizes ---- */

uint64_t tvc_upload_chunk_bytes(const trove_stream *stream) {
    const struct tvc_upload *upload = &stream->upload;
    if (upload->adaptive == NULL)
        return stream->chunk_bytes;
    pthread_mutex_lock(&stream->client->lock);
    uint64_t bytes = tv_adaptive_chunk_bytes(upload->adaptive);
    uint64_t inside = upload->next_offset % (bytes < TV_BLOCK_BYTES ? bytes : TV_BLOCK_BYTES);
    pthread_mutex_unlock(&stream->client->lock);
    return bytes - inside;
}

void tvc_upload_interrupted(trove_stream *stream) {
    if (stream->upload.adaptive != NULL)
        tv_adaptive_interrupted(stream->upload.adaptive);
}

/* ---- writing ---- */

/* Whether writes go on while the stream is paused: who loses chunks keeps the newest. */
static bool waits_for_resume(const trove_stream *stream) {
    return stream->state == TROVE_STREAM_PAUSED && stream->backpressure != TROVE_BACKPRESSURE_DROP;
}

/* Whether a full window makes room by losing its oldest chunk. */
static bool may_lose(const trove_stream *stream) {
    return stream->backpressure == TROVE_BACKPRESSURE_DROP && tv_sender_may_drop(&stream->upload.sender);
}

/* Whether the window's state makes the write wait. */
static bool waits_for_window(const trove_stream *stream) {
    const struct tvc_upload *upload = &stream->upload;
    bool full = tv_sender_full(&upload->sender) && !may_lose(stream);
    return waits_for_resume(stream) || full || !tvc_stream_hooks_keep_up(stream) || upload->spill.waiting.chunks > 0;
}

/* Whether the chunk goes with the size that was declared. */
static trove_status check_size(const trove_stream *stream, const struct tv_chunk *chunk, trove_error *error) {
    const struct tvc_upload *upload = &stream->upload;
    uint64_t left = upload->size - upload->next_offset;
    if (upload->size == TROVE_SIZE_UNKNOWN)
        return TROVE_OK;
    if (chunk->bytes > left)
        return TV_FAIL(error, INVALID_ARGUMENT, "%s/%.200s: more is written than the %llu bytes that were declared",
                       stream->bucket, stream->key, (unsigned long long)upload->size);
    if (chunk->final && chunk->bytes < left)
        return TV_FAIL(error, FAILED_PRECONDITION, "%s/%.200s: %llu bytes were written of the %llu that were declared",
                       stream->bucket, stream->key, (unsigned long long)(upload->next_offset + chunk->bytes),
                       (unsigned long long)upload->size);
    return TROVE_OK;
}

/* Whether what was written before has to be sent again first. */
static bool is_behind(const trove_stream *stream) {
    return tvc_stream_detached(stream) || stream->upload.keep.again.first != NULL;
}

/* Whether there is room now. *wait: there may be later. Under the lock. */
static trove_status may_write(const trove_stream *stream, const struct tvc_chunk *chunk, bool *wait, trove_error *error) {
    const struct tvc_upload *upload = &stream->upload;
    *wait = false;
    if (tv_stream_state_terminal(stream->state))
        return tvc_stream_over(stream, error);
    if (stream->state == TROVE_STREAM_IDLE)
        return TV_FAIL(error, FAILED_PRECONDITION, "%s/%.200s: the stream is idle; start it first", stream->bucket, stream->key);
    if (upload->finishing || upload->sender.final_pushed || upload->spill.final)
        return TV_FAIL(error, FAILED_PRECONDITION, "%s/%.200s: no chunk may follow the last one", stream->bucket, stream->key);
    if (chunk->wire.offset != upload->next_offset)
        return tvc_upload_elsewhere(stream, error);
    trove_status status = check_size(stream, &chunk->wire, error);
    if (status != TROVE_OK)
        return status;
    *wait = stream->seek.serial != 0 || tvc_spill_busy(&upload->spill) || is_behind(stream);
    if (tvc_spill_takes(stream, chunk))
        return TROVE_OK;
    *wait = *wait || waits_for_window(stream);
    return tvc_stream_hooks_may_wait(stream, error);
}

static trove_status wait_for_room(trove_stream *stream, const struct tvc_chunk *chunk, uint64_t deadline_ns, trove_error *error) {
    bool wait = false;
    bool in_time = true;
    trove_status status = may_write(stream, chunk, &wait, error);
    while (status == TROVE_OK && wait && in_time) {
        in_time = tvc_stream_wait(stream, deadline_ns);
        status = may_write(stream, chunk, &wait, error);
    }
    if (status == TROVE_OK && wait)
        status = tvc_stream_late(
            stream, TROVE_DIRECTION_UPLOAD,
            stream->state == TROVE_STREAM_PAUSED ? "the stream was not resumed" : "the server has not taken a chunk", error);
    return status;
}

/* Makes room in a full window of a lossy stream. Under the lock. */
static void lose_oldest(trove_stream *stream, trove_drop *lost) {
    struct tv_chunk *chunk = tv_sender_drop(&stream->upload.sender);
    trove_drop drop = {
        .first_index = chunk->index,
        .count = 1,
        .offset = chunk->offset,
        .length = chunk->bytes,
        .direction = TROVE_DIRECTION_UPLOAD,
    };
    tvc_stream_hooks_drop(stream, &drop);
    if (lost != NULL)
        *lost = drop;
    tv_chunk_release(chunk);
}

unsigned tvc_upload_push(trove_stream *stream, struct tv_chunk *wire) {
    struct tvc_upload *upload = &stream->upload;
    uint64_t now_ns = tv_now_ns();
    if (tv_sender_settled(&upload->sender) && now_ns > upload->busy_ns + STILL_NS)
        tvc_upload_interrupted(stream);
    tv_sender_push(&upload->sender, wire);
    upload->busy_ns = now_ns;
    upload->demand_due |= upload->demand_bytes == 0;
    upload->demand_bytes = tvc_upload_window(stream);
    return upload->demand_due ? TV_WANTS_DATA | TV_WANTS_CONTROL : TV_WANTS_DATA;
}

/* The last chunk was written: the server is told when all is acknowledged. (Unless the stream was moved meanwhile: then it isn't
 * the last.) By the writing thread. */
static void close_way(trove_stream *stream) {
    struct tvc_upload *upload = &stream->upload;
    char etag[TROVE_ETAG_BYTES] = "";
    trove_digest digest = {.kind = TROVE_DIGEST_NONE};
    (void)tvc_block_sums_etag(&upload->sums, etag);
    if (upload->digesting != NULL)
        tvc_digest_final(upload->digesting, &digest);
    pthread_mutex_lock(&stream->client->lock);
    if (!upload->moved) {
        upload->finishing = true;
        upload->digest = digest;
    }
    if (upload->finishing && !upload->sought && upload->sender.dropped_chunks == 0) /* else it isn't the object's */
        memcpy(upload->etag, etag, sizeof etag);
    pthread_mutex_unlock(&stream->client->lock);
    tvc_client_wake(stream->client, &stream->flow, TV_WANTS_DATA);
}

/* What the sums of the whole need of a chunk. Once it is in the window the chunk itself may be cut, by a seek: only its memory
 * stays as it is for as long as there is a reference. */
struct written {
    const void *memory;
    uint64_t bytes;
    uint64_t piece_sums[PIECES_MAX];
};

static void note_written(const struct tvc_chunk *chunk, struct written *written) {
    const struct tv_chunk *wire = &chunk->wire;
    written->memory = chunk->iov.iov_base;
    written->bytes = wire->bytes;
    memcpy(written->piece_sums, wire->piece_sums, wire->piece_count * sizeof *wire->piece_sums);
}

static void add_sums(struct tvc_upload *upload, const struct written *written) {
    tvc_block_sums_add(&upload->sums, written->memory, written->bytes, written->piece_sums);
    if (upload->digesting != NULL)
        tvc_digest_add(upload->digesting, written->memory, written->bytes);
}

void tvc_upload_sum(trove_stream *stream, struct tvc_chunk *chunk, uint64_t offset, uint64_t bytes) {
    struct written written;
    chunk->wire.offset = offset;
    chunk->wire.bytes = chunk->iov.iov_len = bytes;
    tv_chunk_hash(&chunk->wire);
    note_written(chunk, &written);
    add_sums(&stream->upload, &written);
}

trove_status tvc_upload_write(trove_stream *stream, struct tvc_chunk *chunk, uint64_t deadline_ns, trove_drop *lost,
                              trove_error *error) {
    struct tvc_upload *upload = &stream->upload;
    struct tv_chunk *wire = &chunk->wire;
    bool final = wire->final;
    struct written written;
    wire->written_ns = tv_now_ns();
    tv_chunk_hash(wire);
    note_written(chunk, &written);
    unsigned wants = 0;
    pthread_mutex_lock(&stream->client->lock);
    trove_status status = wait_for_room(stream, chunk, deadline_ns, error);
    if (status == TROVE_OK && lost != NULL)
        *lost = (trove_drop){0};
    if (status == TROVE_OK && tvc_spill_due(stream, chunk)) {
        status = tvc_spill_push(stream, chunk, error);
    } else if (status == TROVE_OK) {
        if (tv_sender_full(&upload->sender))
            lose_oldest(stream, lost);
        tv_chunk_acquire(wire); /* for the sums below: the server may have acknowledged it by then */
        wants = tvc_upload_push(stream, wire);
    }
    if (status == TROVE_OK) {
        upload->next_offset += wire->bytes;
        upload->moved = false;
    }
    pthread_mutex_unlock(&stream->client->lock);
    if (status != TROVE_OK)
        return status;
    tvc_client_wake(stream->client, &stream->flow, wants);
    add_sums(upload, &written);
    tv_chunk_release(wire);
    if (stream->resume.open != NULL)
        tvc_keep_released(stream);
    if (final && tvc_stream_receives(stream)) /* a mere upload is completed by the program alone */
        close_way(stream);
    return TROVE_OK;
}

/* ---- the end ---- */

/* The last chunk says that it is; where the program's own didn't, an empty one follows, at `offset`. */
static trove_status write_final(trove_stream *stream, uint64_t offset, uint64_t deadline_ns, trove_error *error) {
    struct tvc_chunk *chunk = NULL;
    trove_status status = tvc_upload_chunk(stream, deadline_ns, &chunk, error);
    if (status != TROVE_OK)
        return status;
    TV_ASSERT(chunk != NULL);
    chunk->wire.offset = offset;
    chunk->wire.bytes = 0;
    chunk->wire.final = true;
    status = tvc_upload_write(stream, chunk, deadline_ns, NULL, error);
    if (status != TROVE_OK)
        tv_chunk_release(&chunk->wire);
    return status;
}

/* Under the lock. *final: the last chunk has been written; *done: this was called before. */
static trove_status may_complete(const trove_stream *stream, bool *final, bool *done, trove_error *error) {
    const struct tvc_upload *upload = &stream->upload;
    *done = upload->finishing || tv_stream_state_terminal(stream->state);
    *final = upload->sender.final_pushed || upload->spill.final;
    if (*done)
        return TROVE_OK;
    if (stream->state == TROVE_STREAM_IDLE)
        return TV_FAIL(error, FAILED_PRECONDITION, "%s/%.200s: the stream is idle; start it first", stream->bucket, stream->key);
    if (upload->moved)
        return tvc_upload_elsewhere(stream, error);
    if (upload->size != TROVE_SIZE_UNKNOWN && upload->size != upload->next_offset)
        return TV_FAIL(error, FAILED_PRECONDITION, "%s/%.200s: %llu bytes were written of the %llu that were declared",
                       stream->bucket, stream->key, (unsigned long long)upload->next_offset, (unsigned long long)upload->size);
    return TROVE_OK;
}

trove_status tvc_upload_finish(trove_stream *stream, uint64_t deadline_ns, trove_error *error) {
    bool final = false;
    bool done = false;
    pthread_mutex_lock(&stream->client->lock);
    trove_status status = may_complete(stream, &final, &done, error);
    uint64_t offset = stream->upload.next_offset;
    pthread_mutex_unlock(&stream->client->lock);
    if (status != TROVE_OK || done)
        return status;
    if (!final)
        status = write_final(stream, offset, deadline_ns, error);
    if (status == TROVE_OK && !tvc_stream_receives(stream)) /* else the last chunk did it */
        close_way(stream);
    return status;
}

trove_status tvc_upload_wait(trove_stream *stream, uint64_t deadline_ns, trove_error *error) {
    trove_status status = TROVE_OK;
    bool in_time = true;
    pthread_mutex_lock(&stream->client->lock);
    while (!tv_stream_state_terminal(stream->state) && !stream->upload.moved && in_time)
        in_time = tvc_stream_wait(stream, deadline_ns);
    if (!tv_stream_state_terminal(stream->state) && stream->upload.moved)
        status = tvc_upload_elsewhere(stream, error);
    else if (!tv_stream_state_terminal(stream->state))
        status = tvc_stream_late(stream, TROVE_DIRECTION_UPLOAD, "the server has not said that the object is stored", error);
    else if (stream->state != TROVE_STREAM_COMPLETED)
        status = tvc_stream_over(stream, error);
    pthread_mutex_unlock(&stream->client->lock);
    return status;
}

/* ---- frames out ---- */

/* Under the lock, for the chunk may be cut, begun once more or moved as soon as it is let go of (stream_keep.c): the transport's
 * reference is one of its memory. (It is hashed before: only where the frame's cut goes through a block that block is hashed.) */
static void fill_chunk(const trove_stream *stream, const struct tv_fragment_out *fragment, struct tv_pulled *pulled) {
    const struct tv_chunk *chunk = fragment->chunk;
    uint64_t call_id = stream->entry.node.id;
    Trove__V1__Chunk *body = &pulled->scratch.chunk;
    struct tv_data data;
    tv_chunk_slice(chunk, fragment->fragment_offset, fragment->bytes, &data);
    trove__v1__chunk__init(body);
    body->index = chunk->index;
    body->offset = data.offset;
    body->chunk_bytes = chunk->bytes;
    body->fragment_offset = fragment->fragment_offset;
    body->generation = chunk->generation;
    body->epoch = stream->resume.epoch;
    body->final = chunk->final;
    body->checksum_given_case = TROVE__V1__CHUNK__CHECKSUM_GIVEN_CHECKSUM;
    body->checksum = tv_chunk_checksum(call_id, chunk->index, &data);
    pulled->frame.call_id = call_id;
    pulled->frame.body_case = TV_BODY(CHUNK);
    pulled->frame.chunk = body;
    pulled->payload_bytes = data.bytes;
    pulled->iov_count = data.iov_count;
    memcpy(pulled->iov, data.iov, data.iov_count * sizeof *pulled->iov);
    pulled->cookie = fragment->chunk;
}

/* Under the lock. */
static void fill_gap(const trove_stream *stream, const struct tv_gap *gap, struct tv_pulled *pulled) {
    Trove__V1__Gap *body = &pulled->scratch.gap;
    trove__v1__gap__init(body);
    body->first_index = gap->first_index;
    body->count = gap->count;
    body->offset = gap->offset;
    body->length = gap->length;
    body->generation = stream->upload.sender.generation;
    pulled->frame.call_id = stream->entry.node.id;
    pulled->frame.body_case = TV_BODY(GAP);
    pulled->frame.gap = body;
}

/* Under the lock. */
static void fill_complete(const trove_stream *stream, Trove__V1__Digest *digest, struct tv_pulled *pulled) {
    Trove__V1__Complete *body = &pulled->scratch.complete;
    trove__v1__complete__init(body);
    body->size = stream->upload.next_offset;
    body->chunks = stream->upload.sender.next;
    body->epoch = stream->resume.epoch;
    body->digest = tvc_digest_to_wire(&stream->upload.digest, digest);
    if (stream->upload.etag[0] != '\0')
        body->etag = (char *)stream->upload.etag; /* doesn't change any more */
    pulled->frame.call_id = stream->entry.node.id;
    pulled->frame.body_case = TV_BODY(COMPLETE);
    pulled->frame.complete = body;
}

/* Whether the server is to be told that it has all. Not before all is acknowledged: a chunk whose grant expires under way comes
 * back as not taken. Not while a pause is unanswered: a paused stream can't be completed. Under the lock. */
static bool complete_due(const trove_stream *stream) {
    const struct tvc_upload *upload = &stream->upload;
    bool settled = tv_sender_settled(&upload->sender) && upload->spill.waiting.chunks == 0 && !is_behind(stream);
    return upload->finishing && !upload->complete_sent && settled && stream->answered_serial >= stream->pause_serial;
}

/* The next piece of what may be sent, as large as the limits of bandwidth allow. Under the lock. */
static bool next_fragment(struct tvc_upload *upload, uint64_t bytes_max, struct tv_fragment_out *fragment) {
    struct tv_sender *sender = &upload->sender;
    uint64_t bytes = tv_sender_ready(sender) ? tvc_stream_limit_ask(&upload->half, bytes_max) : 0;
    if (bytes == 0 || !tv_sender_next(sender, bytes, fragment))
        return false;
    tvc_stream_limit_moved(&upload->half, fragment->bytes);
    return true;
}

/* A stream that was completing when its connection was lost has to send the rest again. Under the lock. */
static bool may_send(const trove_stream *stream) {
    bool again = stream->state == TROVE_STREAM_COMPLETING && stream->resume.reconnects > 0 && !stream->upload.complete_sent;
    return (stream->state == TROVE_STREAM_ACTIVE || again) && stream->seek.serial == 0 && !tvc_stream_detached(stream);
}

bool tvc_upload_pull(trove_stream *stream, uint64_t payload_bytes_max, struct tv_pulled *pulled) {
    struct tvc_upload *upload = &stream->upload;
    struct tv_fragment_out fragment;
    struct tv_gap gap;
    pthread_mutex_lock(&stream->client->lock);
    bool active = may_send(stream);
    bool lost = active && tv_sender_next_gap(&upload->sender, &gap);
    bool chunk = active && !lost && next_fragment(upload, payload_bytes_max, &fragment);
    bool complete = active && !lost && !chunk && complete_due(stream);
    if (chunk) {
        fill_chunk(stream, &fragment, pulled);
        tv_chunk_acquire(fragment.chunk); /* the transport's, until it is sent */
        upload->bytes_sent += fragment.bytes;
        upload->chunks_sent += fragment.fragment_offset == 0;
    } else if (complete) {
        upload->complete_sent = true;
        (void)tvc_stream_closed(stream, NULL);
        fill_complete(stream, &upload->wire_digest, pulled);
    } else if (lost) {
        fill_gap(stream, &gap, pulled);
    }
    pthread_mutex_unlock(&stream->client->lock);
    return chunk || complete || lost;
}

/* What is told is what holds when it goes out, whoever has decided it: no older word can come after a newer one. */
bool tvc_upload_pull_control(trove_stream *stream, struct tv_pulled *pulled) {
    struct tvc_upload *upload = &stream->upload;
    pthread_mutex_lock(&stream->client->lock);
    bool due = upload->demand_due && !tv_stream_state_terminal(stream->state) && !tvc_stream_detached(stream);
    if (due) {
        Trove__V1__Demand *body = &pulled->scratch.demand;
        trove__v1__demand__init(body);
        body->bytes = upload->demand_bytes;
        pulled->frame.call_id = stream->entry.node.id;
        pulled->frame.body_case = TV_BODY(DEMAND);
        pulled->frame.demand = body;
    }
    upload->demand_due = false;
    pthread_mutex_unlock(&stream->client->lock);
    return due;
}

bool tvc_upload_idle(trove_stream *stream, uint64_t now_ns) {
    struct tvc_upload *upload = &stream->upload;
    bool running = stream->opened && !tv_stream_state_terminal(stream->state) && !upload->finishing;
    bool settled = tv_sender_settled(&upload->sender) && upload->spill.waiting.chunks == 0 && !is_behind(stream);
    if (!running || upload->demand_bytes == 0 || !settled || now_ns < upload->busy_ns + IDLE_NS)
        return false;
    upload->demand_bytes = 0;
    upload->demand_due = true;
    return true;
}

/* ---- ending ---- */

void tvc_upload_end(trove_stream *stream) {
    tvc_keep_end(stream);
    tv_sender_fini(&stream->upload.sender);
    tvc_spill_abandon(stream);
    if (stream->upload.half.chunks != NULL)
        tvc_chunks_end(stream->upload.half.chunks, &stream->error);
}

/* ---- chunks for the program ---- */

/* Whether what keeps a writer waiting is for the most part received, and only not durable. Under the lock. */
static bool waits_for_durable(const trove_stream *stream) {
    const struct tvc_upload *upload = &stream->upload;
    return !tvc_stream_detached(stream) && upload->keep.again.first == NULL &&
           upload->keep.kept.sum.chunks > upload->sender.flight.count + upload->sender.queue.count;
}

/* Waits for a chunk of a resumable upload. *flush: the server is to be asked first. Under the lock. */
static trove_status wait_for_chunk(trove_stream *stream, uint64_t *asked, uint64_t deadline_ns, struct tvc_chunk **chunk,
                                   bool *flush, trove_error *error) {
    struct tvc_chunks *chunks = stream->upload.half.chunks;
    const struct tvc_chunk_list *kept = &stream->upload.keep.kept;
    bool in_time = true;
    for (;;) {
        if (tv_stream_state_terminal(stream->state))
            return tvc_stream_over(stream, error);
        *chunk = tvc_chunks_get(chunks, stream);
        *flush = *chunk == NULL && waits_for_durable(stream) && kept->first->wire.offset != *asked;
        if (*flush)
            *asked = kept->first->wire.offset; /* once for each that is the oldest */
        if (*chunk != NULL || *flush)
            return TROVE_OK;
        if (!in_time)
            return TV_FAIL(error, DEADLINE_EXCEEDED, "all %zu chunks are in use: the other end didn't keep up", chunks->limit);
        in_time = tvc_stream_wait(stream, deadline_ns);
    }
}

trove_status tvc_upload_chunk(trove_stream *stream, uint64_t deadline_ns, struct tvc_chunk **chunk, trove_error *error) {
    uint64_t asked = UINT64_MAX;
    bool flush = false;
    if (stream->resume.open == NULL)
        return tvc_chunks_wait(stream->upload.half.chunks, stream, deadline_ns, chunk, error);
    do {
        pthread_mutex_lock(&stream->client->lock);
        trove_status status = wait_for_chunk(stream, &asked, deadline_ns, chunk, &flush, error);
        pthread_mutex_unlock(&stream->client->lock);
        if (status != TROVE_OK)
            return status;
        if (flush)
            tvc_resume_flush(stream, deadline_ns);
    } while (flush);
    return TROVE_OK;
}
