/* download.c - the sending side of a stream on the server: reading ahead, cutting chunks. See stream.h.
 *
 * A run is what one read brought: whole blocks of the object, one per segment, already verified. Chunks are slices of a run and hold
 * it; when the last of them has been acknowledged and let go by the transport, the run's segments and their reservation go back.
 * Reading ahead goes as far as the client's credit, or one chunk, so that a stream nobody reads holds next to nothing.
 */
#include "stream.h"

#include <string.h>

struct tvs_run {
    struct tvs_run *next; /* while spare */
    struct tvs_stream *stream;
    atomic_uint references;
    uint64_t offset; /* of the object; a multiple of the block size */
    uint64_t bytes;
    uint64_t reserved_bytes;
    uint32_t block_count;
    uint32_t blocks_max;
    void **blocks;
    uint64_t *sums;
};

struct tvs_out_chunk {
    struct tv_chunk chunk; /* first */
    struct tvs_out_chunk *next;
    struct tvs_run *run;
};

/* ---- runs and chunks; any thread ---- */

static uint32_t run_blocks_max(const struct tvs_stream *stream) {
    return stream->chunk_bytes > TV_BLOCK_BYTES ? (uint32_t)(stream->chunk_bytes / TV_BLOCK_BYTES) : 1;
}

static struct tvs_run *take_run(struct tvs_stream *stream) {
    pthread_mutex_lock(&stream->spare_lock);
    struct tvs_run *run = stream->spare_runs;
    if (run != NULL)
        stream->spare_runs = run->next;
    pthread_mutex_unlock(&stream->spare_lock);
    if (run == NULL) {
        uint32_t blocks = run_blocks_max(stream);
        run = calloc(1, sizeof *run + blocks * (sizeof(void *) + sizeof(uint64_t)));
        if (run == NULL)
            return NULL;
        run->blocks_max = blocks;
        run->sums = (uint64_t *)(run + 1);
        run->blocks = (void **)(run->sums + blocks);
        run->stream = stream;
    }
    run->block_count = 0;
    run->bytes = 0;
    atomic_store_explicit(&run->references, 1, memory_order_relaxed);
    return run;
}

static void release_run(struct tvs_run *run) {
    if (atomic_fetch_sub_explicit(&run->references, 1, memory_order_acq_rel) != 1)
        return;
    struct tvs_stream *stream = run->stream;
    struct tvs_server *server = stream->session->server;
    for (uint32_t i = 0; i < run->block_count; i++)
        tv_block_pool_put(server->pool, run->blocks[i]);
    tvs_budget_give(server->budget, run->reserved_bytes);
    pthread_mutex_lock(&stream->spare_lock);
    run->next = stream->spare_runs;
    stream->spare_runs = run;
    pthread_mutex_unlock(&stream->spare_lock);
}

static void release_chunk(struct tv_chunk *chunk) {
    struct tvs_out_chunk *out = (struct tvs_out_chunk *)chunk;
    struct tvs_stream *stream = chunk->owner;
    if (out->run != NULL)
        release_run(out->run);
    pthread_mutex_lock(&stream->spare_lock);
    out->next = stream->spare_chunks;
    stream->spare_chunks = out;
    pthread_mutex_unlock(&stream->spare_lock);
}

static struct tvs_out_chunk *take_chunk(struct tvs_stream *stream) {
    pthread_mutex_lock(&stream->spare_lock);
    struct tvs_out_chunk *out = stream->spare_chunks;
    if (out != NULL)
        stream->spare_chunks = out->next;
    pthread_mutex_unlock(&stream->spare_lock);
    if (out == NULL) {
        size_t blocks = run_blocks_max(stream) + 1;
        out = calloc(1, sizeof *out + blocks * (sizeof(struct iovec) + sizeof(uint64_t)));
        if (out == NULL)
            return NULL;
        out->chunk.iov = (struct iovec *)(out + 1);
        out->chunk.piece_sums = (uint64_t *)(out->chunk.iov + blocks);
        out->chunk.release = release_chunk;
        out->chunk.owner = stream;
    }
    out->run = NULL;
    out->chunk.iov_count = out->chunk.piece_count = 0;
    atomic_store_explicit(&out->chunk.references, 1, memory_order_relaxed);
    return out;
}

/* ---- when to read; under the session's lock ---- */

/* The client can take more than is queued, or nothing is queued. */
static bool wants_more(const struct tvs_stream *stream) {
    const struct tv_sender *sender = &stream->sender;
    if (tv_sender_full(sender))
        return false;
    return sender->next == sender->cursor || sender->unsent_bytes + stream->chunk_bytes <= sender->credit_bytes;
}

bool tvs_download_work_locked(const struct tvs_stream *stream) {
    if (tv_stream_state_terminal(stream->state))
        return !stream->cleaned;
    if (!stream->begun)
        return true;
    return stream->state == TROVE_STREAM_ACTIVE && !stream->eof && !stream->claiming && wants_more(stream);
}

void tvs_download_granted(struct tvs_claim *claim) {
    struct tvs_stream *stream = (struct tvs_stream *)((char *)claim - offsetof(struct tvs_stream, claim));
    struct tvs_session *session = stream->session;
    pthread_mutex_lock(&session->lock);
    stream->claiming = false;
    stream->reserved_bytes += claim->bytes;
    bool run = tvs_stream_schedule(stream);
    pthread_mutex_unlock(&session->lock);
    if (run)
        tvs_stream_run(stream);
    tvs_stream_release(stream);
}

/* ---- the strand ---- */

static trove_status resolve_range(struct tvs_stream *stream, trove_error *error) {
    uint64_t size = stream->object.size;
    if (stream->range_offset > size)
        return TV_FAIL(error, OUT_OF_RANGE, "%s/%s has %llu bytes; a range can't begin at %llu", stream->bucket, stream->key,
                       (unsigned long long)size, (unsigned long long)stream->range_offset);
    uint64_t left = size - stream->range_offset;
    stream->read_offset = stream->range_offset;
    stream->read_end = stream->range_offset + (stream->range_length < left ? stream->range_length : left);
    return TROVE_OK;
}

static void begin(struct tvs_stream *stream) {
    struct tvs_session *session = stream->session;
    struct tvs_server *server = session->server;
    trove_error error;
    trove_status status = server->ops->get_begin(server->driver, stream->bucket, stream->key, &stream->put_options.conditions,
                                                 &stream->get, &stream->object, &error);
    if (status != TROVE_OK)
        stream->get = NULL;
    else
        status = resolve_range(stream, &error);
    if (status == TROVE_OK)
        status = tv_sender_init(&stream->sender, stream->channel_chunks, stream->range_offset, &error);
    if (status != TROVE_OK) {
        tvs_stream_end(stream, TV_EVENT_FAIL, &error);
        return;
    }
    pthread_mutex_lock(&session->lock);
    stream->sender_ready = true;
    tv_sender_credit(&stream->sender, stream->early_credit, stream->early_expired);
    stream->begun = true;
    pthread_mutex_unlock(&session->lock);
    tvs_stream_wake(stream, TV_WANTS_CONTROL);
}

/* Fills the run's next blocks, as many as one call takes. */
static trove_status read_blocks(struct tvs_stream *stream, struct tvs_run *run, uint64_t end, trove_error *error) {
    struct tvs_server *server = stream->session->server;
    struct tv_data data = {.offset = run->offset + run->bytes};
    uint32_t first = run->block_count;
    while (data.iov_count < TV_PAYLOAD_BYTES_MAX / TV_BLOCK_BYTES && data.offset + data.bytes < end) {
        void *block = tv_block_pool_get(server->pool);
        if (block == NULL)
            return TV_FAIL(error, RESOURCE_EXHAUSTED, "no memory to read %s/%s", stream->bucket, stream->key);
        uint64_t left = end - data.offset - data.bytes;
        uint64_t bytes = left < TV_BLOCK_BYTES ? left : TV_BLOCK_BYTES;
        run->blocks[run->block_count++] = block;
        data.iov[data.iov_count++] = (struct iovec){block, bytes};
        data.bytes += bytes;
    }
    trove_status status = server->ops->get_read(stream->get, &data, error);
    if (status != TROVE_OK)
        return status;
    memcpy(run->sums + first, data.piece_sums, data.piece_count * sizeof(uint64_t));
    run->bytes += data.bytes;
    return TROVE_OK;
}

/* Where a run ends: after a chunk's worth of blocks, or with the last block that the range needs. */
static uint64_t run_end(const struct tvs_stream *stream, const struct tvs_run *run) {
    uint64_t most = run->offset + (uint64_t)run->blocks_max * TV_BLOCK_BYTES;
    if (stream->read_end >= most)
        return most;
    uint64_t beyond = stream->read_end % TV_BLOCK_BYTES;
    uint64_t needed = beyond == 0 ? stream->read_end : stream->read_end - beyond + TV_BLOCK_BYTES;
    return needed < stream->object.size ? needed : stream->object.size;
}

/* Reads the blocks around the next byte: up to a chunk's worth, at the range's end less. */
static trove_status read_run(struct tvs_stream *stream, uint64_t reserved_bytes, trove_error *error) {
    struct tvs_run *run = take_run(stream);
    if (run == NULL) {
        tvs_budget_give(stream->session->server->budget, reserved_bytes);
        return TV_FAIL(error, RESOURCE_EXHAUSTED, "no memory to read %s/%s", stream->bucket, stream->key);
    }
    run->reserved_bytes = reserved_bytes;
    run->offset = stream->read_offset / TV_BLOCK_BYTES * TV_BLOCK_BYTES;
    uint64_t end = run_end(stream, run);
    trove_status status = TROVE_OK;
    while (status == TROVE_OK && run->offset + run->bytes < end)
        status = read_blocks(stream, run, end, error);
    if (status != TROVE_OK)
        release_run(run);
    else
        stream->run = run;
    return status;
}

/* The chunk's bytes are [at, at + bytes) of the object, inside the run. Its pieces that are whole blocks have their sums already. */
static void slice_run(struct tvs_run *run, uint64_t at, uint64_t bytes, struct tv_chunk *chunk) {
    chunk->offset = at;
    chunk->bytes = bytes;
    bool whole = at % TV_BLOCK_BYTES == 0;
    uint64_t end = at + bytes;
    while (at < end) {
        uint32_t block = (uint32_t)((at - run->offset) / TV_BLOCK_BYTES);
        uint64_t inside = at % TV_BLOCK_BYTES;
        uint64_t step = TV_BLOCK_BYTES - inside < end - at ? TV_BLOCK_BYTES - inside : end - at;
        chunk->iov[chunk->iov_count++] = (struct iovec){(char *)run->blocks[block] + inside, step};
        chunk->piece_sums[chunk->piece_count++] = run->sums[block];
        at += step;
    }
    if (!whole || (end % TV_BLOCK_BYTES != 0 && end != run->offset + run->bytes))
        tv_chunk_hash(chunk);
}

/* The next chunk: what is left of the run, at most chunk_bytes; ends on a block where it can, so that later ones are cheap. */
static struct tvs_out_chunk *cut(struct tvs_stream *stream) {
    struct tvs_out_chunk *out = take_chunk(stream);
    if (out == NULL)
        return NULL;
    uint64_t at = stream->read_offset;
    uint64_t bytes = 0;
    if (stream->run != NULL) {
        uint64_t end = stream->run->offset + stream->run->bytes;
        if (end > stream->read_end)
            end = stream->read_end;
        bytes = end - at < stream->chunk_bytes ? end - at : stream->chunk_bytes;
        out->run = stream->run;
        atomic_fetch_add_explicit(&stream->run->references, 1, memory_order_relaxed);
        slice_run(stream->run, at, bytes, &out->chunk);
        if (at + bytes == end) {
            release_run(stream->run);
            stream->run = NULL;
        }
    } else {
        out->chunk.offset = at;
        out->chunk.bytes = 0; /* an empty object or range is one empty final chunk */
    }
    stream->read_offset = at + bytes;
    out->chunk.final = stream->read_offset == stream->read_end;
    out->chunk.written_ns = tv_now_ns();
    return out;
}

/* Takes the reservation for a run. False: it has to be waited for. */
static bool reserve_run(struct tvs_stream *stream, uint64_t *reserved_bytes) {
    struct tvs_session *session = stream->session;
    uint64_t bytes = (uint64_t)run_blocks_max(stream) * TV_SEGMENT_BYTES;
    pthread_mutex_lock(&session->lock);
    bool have = stream->reserved_bytes >= bytes;
    if (have) {
        stream->reserved_bytes -= bytes;
    } else {
        tvs_stream_acquire(stream); /* the claim's, if it has to wait */
        have = tvs_budget_take(session->server->budget, &stream->claim, bytes);
        stream->claiming = !have;
        if (have)
            tvs_stream_release(stream);
    }
    pthread_mutex_unlock(&session->lock);
    *reserved_bytes = bytes;
    return have;
}

static void produce(struct tvs_stream *stream) {
    struct tvs_session *session = stream->session;
    trove_error error;
    trove_status status = TROVE_OK;
    if (stream->run == NULL && stream->read_offset < stream->read_end) {
        uint64_t reserved_bytes = 0;
        if (!reserve_run(stream, &reserved_bytes))
            return;
        status = read_run(stream, reserved_bytes, &error);
    }
    struct tvs_out_chunk *out = status == TROVE_OK ? cut(stream) : NULL;
    if (status == TROVE_OK && out == NULL)
        status = TV_FAIL(&error, RESOURCE_EXHAUSTED, "no memory to send %s/%s", stream->bucket, stream->key);
    if (status != TROVE_OK) {
        tvs_stream_end(stream, TV_EVENT_FAIL, &error);
        return;
    }
    bool final = out->chunk.final;
    pthread_mutex_lock(&session->lock);
    tv_sender_push(&stream->sender, &out->chunk);
    stream->eof = final;
    stream->progress_ns = tv_now_ns();
    pthread_mutex_unlock(&session->lock);
    tvs_stream_wake(stream, TV_WANTS_DATA);
}

static void clean(struct tvs_stream *stream) {
    struct tvs_session *session = stream->session;
    tvs_stream_log_end(stream);
    session->server->ops->get_end(stream->get);
    stream->get = NULL;
    if (stream->run != NULL)
        release_run(stream->run);
    stream->run = NULL;
    pthread_mutex_lock(&session->lock);
    if (stream->sender_ready)
        tv_sender_fini(&stream->sender);
    stream->sender_ready = false;
    stream->cleaned = true;
    pthread_mutex_unlock(&session->lock);
}

void tvs_download_step(struct tvs_stream *stream) {
    pthread_mutex_lock(&stream->session->lock);
    bool ended = tv_stream_state_terminal(stream->state);
    bool begun = stream->begun;
    pthread_mutex_unlock(&stream->session->lock);
    if (ended)
        clean(stream);
    else if (!begun)
        begin(stream);
    else
        produce(stream);
}

void tvs_download_fini(struct tvs_stream *stream) {
    if (stream->reserved_bytes > 0) /* granted and never used */
        tvs_budget_give(stream->session->server->budget, stream->reserved_bytes);
    while (stream->spare_runs != NULL) {
        struct tvs_run *run = stream->spare_runs;
        stream->spare_runs = run->next;
        free(run);
    }
    while (stream->spare_chunks != NULL) {
        struct tvs_out_chunk *out = stream->spare_chunks;
        stream->spare_chunks = out->next;
        free(out);
    }
}
