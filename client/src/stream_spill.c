/* stream_spill.c - see stream_spill.h. */
#include "stream_spill.h"

#include "stream.h"
#include "wait.h"

#include <stdlib.h>
#include <string.h>

/* The drainer takes so many chunks of one stream before it looks after the others. */
#define BATCH 16

/* The overflow's list: chunks may be so much smaller than the stream's size before it bounds them. */
#define SMALL_CHUNKS     16
#define LIST_CHUNKS_MIN  1024
#define LIST_CHUNKS_MAX  ((uint64_t)1 << 20)
#define FOLDER_OTHERWISE "/tmp"

static void run(struct tvc_job *job);

/* ---- life ---- */

static uint32_t list_chunks(const trove_stream_options *options) {
    uint64_t chunk_bytes = options->chunk_bytes != 0 ? options->chunk_bytes : TV_CHUNK_BYTES_DEFAULT;
    uint64_t chunks = options->overflow_bytes / chunk_bytes;
    if (chunks >= LIST_CHUNKS_MAX / SMALL_CHUNKS)
        return LIST_CHUNKS_MAX;
    return chunks < LIST_CHUNKS_MIN / SMALL_CHUNKS ? LIST_CHUNKS_MIN : (uint32_t)chunks * SMALL_CHUNKS;
}

static const char *folder(const trove_stream_options *options) {
    const char *temporary = getenv("TMPDIR");
    if (options->overflow_folder != NULL)
        return options->overflow_folder;
    return temporary != NULL && temporary[0] != '\0' ? temporary : FOLDER_OTHERWISE;
}

trove_status tvc_spill_init(trove_stream *stream, const trove_stream_options *options, trove_error *error) {
    bool buffers = options->backpressure == TROVE_BACKPRESSURE_BUFFER;
    bool may_buffer = buffers || options->backpressure == TROVE_BACKPRESSURE_DEFAULT;
    /* What is the program's already needs no other place to wait in. */
    if (!may_buffer || !tvc_stream_sends(stream) || stream->own_bytes)
        return TROVE_OK;
    struct tvc_spill *spill = &stream->upload.spill;
    uint64_t memory_bytes = options->overflow_memory_bytes;
    if (memory_bytes > options->overflow_bytes)
        memory_bytes = options->overflow_bytes;
    spill->folder = strdup(folder(options));
    if (spill->folder == NULL)
        return TV_FAIL(error, RESOURCE_EXHAUSTED, "no memory for a stream");
    spill->bounds = (struct tv_overflow_options){
        .memory_bytes_max = memory_bytes,
        .bytes_max = options->overflow_bytes,
        .chunks_max = list_chunks(options),
        .folder = spill->folder,
    };
    spill->job.run = run;
    return buffers ? tvc_spill_make(stream, error) : TROVE_OK;
}

trove_status tvc_spill_make(trove_stream *stream, trove_error *error) {
    struct tvc_spill *spill = &stream->upload.spill;
    if (spill->folder == NULL)
        return TROVE_OK; /* nothing that it sends needs it */
    spill->memory_claimed = tvc_client_memory_claim(stream->client, spill->bounds.memory_bytes_max, 0);
    spill->bounds.memory_bytes_max = spill->memory_claimed;
    trove_status status = tvc_job_thread_start(&stream->client->drainer, error);
    return status == TROVE_OK ? tv_overflow_create(&spill->bounds, &spill->overflow, error) : status;
}

void tvc_spill_fini(trove_stream *stream) {
    struct tvc_spill *spill = &stream->upload.spill;
    tv_overflow_destroy(spill->overflow);
    spill->overflow = NULL;
    free(spill->folder);
    spill->folder = NULL;
    if (spill->memory_claimed > 0)
        tvc_client_memory_return(stream->client, spill->memory_claimed);
    spill->memory_claimed = 0;
}

/* ---- writing ---- */

bool tvc_spill_takes(const trove_stream *stream, const struct tvc_chunk *chunk) {
    bool library_made = chunk->wire.bytes == 0 && !chunk->handle.final;
    return stream->upload.spill.overflow != NULL && !library_made;
}

static bool window_has_room(const trove_stream *stream) {
    return !tv_sender_full(&stream->upload.sender) && tvc_stream_hooks_keep_up(stream);
}

bool tvc_spill_due(const trove_stream *stream, const struct tvc_chunk *chunk) {
    return tvc_spill_takes(stream, chunk) && (stream->upload.spill.waiting.chunks > 0 || !window_has_room(stream));
}

/* Without the lock. */
static trove_status push(trove_stream *stream, const struct tvc_chunk *chunk, trove_error *error) {
    struct tv_overflow *overflow = stream->upload.spill.overflow;
    const struct tv_chunk *wire = &chunk->wire;
    const struct tv_overflow_chunk waiting = {.bytes = wire->bytes, .written_ns = wire->written_ns, .final = wire->final};
    bool fits = tv_overflow_fits(overflow, wire->bytes);
    trove_error why;
    trove_status status = tv_overflow_push(overflow, &waiting, wire->iov, &why);
    if (status == TROVE_OK)
        return TROVE_OK;
    /* Elsewhere these two are about the object. */
    bool local = status == TROVE_NOT_FOUND || status == TROVE_PERMISSION_DENIED;
    trove_error told;
    tv_error_set(&told, local ? TROVE_FAILED_PRECONDITION : status, "%s/%.200s: %s", stream->bucket, stream->key, why.message);
    if (fits)
        tvc_stream_break(stream, &told);
    return tv_error_copy(error, &told);
}

trove_status tvc_spill_push(trove_stream *stream, const struct tvc_chunk *chunk, trove_error *error) {
    struct tvc_spill *spill = &stream->upload.spill;
    pthread_mutex_t *lock = &stream->client->lock;
    uint64_t generation = stream->upload.sender.generation;
    spill->pushing = true;
    pthread_mutex_unlock(lock);
    trove_status status = push(stream, chunk, error);
    pthread_mutex_lock(lock);
    spill->pushing = false;
    pthread_cond_broadcast(&stream->changed);
    if (status == TROVE_OK && tv_stream_state_terminal(stream->state))
        status = tvc_stream_over(stream, error);
    if (status != TROVE_OK)
        return status;
    if (stream->upload.sender.generation != generation) { /* moved meanwhile: it lies behind what was given up, and is as stale */
        spill->stale_chunks++;
        tvc_spill_wake(stream);
        return tvc_upload_elsewhere(stream, error);
    }
    spill->waiting.chunks++;
    spill->waiting.bytes += chunk->wire.bytes;
    spill->final = chunk->wire.final;
    stream->counts.spilled.chunks++;
    stream->counts.spilled.bytes += chunk->wire.bytes;
    tvc_spill_wake(stream);
    return TROVE_OK;
}

void tvc_spill_abandon(trove_stream *stream) {
    struct tvc_spill *spill = &stream->upload.spill;
    if (spill->overflow == NULL)
        return;
    spill->stale_chunks += spill->waiting.chunks - (spill->moving ? 1 : 0);
    spill->moving = false; /* what the drainer may still have in its hands was one of these: it is counted once */
    spill->abandoned.chunks += spill->waiting.chunks;
    spill->abandoned.bytes += spill->waiting.bytes;
    spill->waiting = (struct tvc_sum){0};
    spill->final = false;
    tvc_spill_wake(stream);
}

/* ---- draining ---- */

static bool has_room_for_oldest(const trove_stream *stream) {
    const struct tvc_spill *spill = &stream->upload.spill;
    return !tv_stream_state_terminal(stream->state) && spill->waiting.chunks > 0 && !spill->moving && window_has_room(stream);
}

/* Under the lock. */
static bool has_work(const trove_stream *stream) {
    return stream->upload.spill.stale_chunks > 0 || has_room_for_oldest(stream);
}

static void post(trove_stream *stream) {
    tvc_stream_acquire(stream); /* the job's */
    if (!tvc_job_thread_post(&stream->client->drainer, &stream->upload.spill.job))
        tvc_stream_release(stream); /* not the last: the caller has one */
}

void tvc_spill_wake(trove_stream *stream) {
    if (stream->upload.spill.overflow != NULL && has_work(stream))
        post(stream);
}

void tvc_spill_chunk_free(trove_stream *stream) {
    struct tvc_spill *spill = &stream->upload.spill;
    if (atomic_load(&spill->starved) && atomic_exchange(&spill->starved, false))
        post(stream);
}

/* A chunk to be filled; NULL: the next one that comes back wakes the drainer. */
static struct tvc_chunk *get_chunk(trove_stream *stream) {
    atomic_bool *starved = &stream->upload.spill.starved;
    struct tvc_chunk *chunk = tvc_chunks_get(stream->upload.half.chunks, stream);
    if (chunk != NULL)
        return chunk;
    atomic_store(starved, true);
    chunk = tvc_chunks_get(stream->upload.half.chunks, stream); /* one may have come back just before that */
    if (chunk != NULL)
        atomic_store(starved, false);
    return chunk;
}

/* Takes the oldest chunk out of the overflow. Without the lock. */
static trove_status pop(trove_stream *stream, struct tvc_chunk *chunk, uint64_t offset, trove_error *error) {
    struct tv_overflow *overflow = stream->upload.spill.overflow;
    struct tv_overflow_chunk oldest;
    bool some = tv_overflow_peek(overflow, &oldest);
    TV_ASSERT(some && oldest.bytes <= chunk->pool->chunk_bytes);
    chunk->iov.iov_len = oldest.bytes;
    trove_error why;
    trove_status status = tv_overflow_pop(overflow, &chunk->iov, &why);
    if (status != TROVE_OK)
        return tv_error_set(error, status, "%s/%.200s: %s", stream->bucket, stream->key, why.message);
    struct tv_chunk *wire = &chunk->wire;
    chunk->handle.final = wire->final = oldest.final;
    wire->bytes = oldest.bytes;
    wire->written_ns = oldest.written_ns;
    wire->offset = offset;
    tv_chunk_hash(wire);
    return TROVE_OK;
}

/* Puts what was taken out into the window. Under the lock. */
static void enter_window(trove_stream *stream, struct tvc_chunk *chunk, unsigned *wants) {
    struct tvc_spill *spill = &stream->upload.spill;
    spill->waiting.chunks--;
    spill->waiting.bytes -= chunk->wire.bytes;
    spill->moved_chunks++;
    *wants |= tvc_upload_push(stream, &chunk->wire);
    pthread_cond_broadcast(&stream->changed);
}

/* Under the lock, which is let go of meanwhile. False: there is nothing more to be done for now. */
static bool move_oldest(trove_stream *stream, unsigned *wants) {
    struct tvc_spill *spill = &stream->upload.spill;
    pthread_mutex_t *lock = &stream->client->lock;
    struct tvc_chunk *chunk = get_chunk(stream);
    if (chunk == NULL)
        return false;
    uint64_t offset = stream->upload.sender.next_offset; /* nobody else pushes while something waits */
    spill->moving = true;
    pthread_mutex_unlock(lock);
    trove_error why;
    trove_status status = pop(stream, chunk, offset, &why);
    if (status != TROVE_OK)
        tvc_stream_break(stream, &why);
    pthread_mutex_lock(lock);
    bool wanted = spill->moving; /* else it was given up meanwhile */
    spill->moving = false;
    if (status == TROVE_OK && wanted)
        enter_window(stream, chunk, wants);
    else
        tv_chunk_release(&chunk->wire);
    return status == TROVE_OK;
}

/* Under the lock, which is let go of meanwhile. */
static void forget_stale(trove_stream *stream) {
    struct tvc_spill *spill = &stream->upload.spill;
    uint64_t chunks = spill->stale_chunks;
    pthread_mutex_unlock(&stream->client->lock);
    tv_overflow_discard(spill->overflow, chunks);
    pthread_mutex_lock(&stream->client->lock);
    spill->stale_chunks -= chunks;
    pthread_cond_broadcast(&stream->changed);
}

static void run(struct tvc_job *job) {
    trove_stream *stream = (trove_stream *)((char *)job - offsetof(trove_stream, upload.spill.job));
    unsigned wants = 0; /* rings to be woken */
    bool go_on = true;
    pthread_mutex_lock(&stream->client->lock);
    if (stream->upload.spill.stale_chunks > 0)
        forget_stale(stream);
    for (unsigned moved = 0; moved < BATCH && go_on && has_room_for_oldest(stream); moved++)
        go_on = move_oldest(stream, &wants);
    if (go_on && has_work(stream))
        post(stream);
    pthread_mutex_unlock(&stream->client->lock);
    tvc_client_wake(stream->client, &stream->flow, wants);
    tvc_stream_release(stream);
}

/* ---- whole objects ---- */

trove_status tvc_spill_wait(trove_stream *stream, uint64_t deadline_ns, uint64_t *left, trove_error *error) {
    const struct tvc_spill *spill = &stream->upload.spill;
    trove_status status = TROVE_OK;
    bool in_time = true;
    pthread_mutex_lock(&stream->client->lock);
    uint64_t moved_before = spill->moved_chunks;
    bool done = false;
    for (;;) {
        bool empty = spill->waiting.chunks == 0 && window_has_room(stream);
        done = tv_stream_state_terminal(stream->state) || empty || spill->moved_chunks != moved_before;
        if (done || !in_time)
            break;
        in_time = tvc_stream_wait(stream, deadline_ns);
    }
    if (tv_stream_state_terminal(stream->state))
        status = tvc_stream_over(stream, error);
    else if (!done)
        status = tvc_stream_late(stream, TROVE_DIRECTION_UPLOAD, "the server has not taken a chunk", error);
    *left = spill->waiting.chunks;
    pthread_mutex_unlock(&stream->client->lock);
    return status;
}
