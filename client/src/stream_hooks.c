/* stream_hooks.c - see stream_hooks.h. */
#include "stream_hooks.h"

#include "stream.h"
#include "wait.h"

#define PROGRESS_NS (UINT64_C(100) * 1000000)
#define ACK_BATCH   32

static void run(struct tvc_hook_job *job);

void tvc_stream_hooks_init(trove_stream *stream, const trove_stream_hooks *program) {
    struct tvc_stream_hooks *hooks = &stream->hooks;
    hooks->program = *program;
    hooks->any =
        program->on_progress != NULL || program->on_chunk != NULL || program->on_complete != NULL || program->on_error != NULL;
    hooks->job.run = run;
}

trove_status tvc_stream_hooks_size(trove_stream *stream, uint32_t channel_chunks, trove_error *error) {
    struct tvc_stream_hooks *hooks = &stream->hooks;
    if (hooks->program.on_chunk == NULL)
        return TROVE_OK;
    hooks->acks = calloc(2 * (size_t)channel_chunks, sizeof *hooks->acks);
    if (hooks->acks == NULL)
        return TV_FAIL(error, RESOURCE_EXHAUSTED, "no memory for the hooks of a stream");
    hooks->ack_capacity = 2 * channel_chunks;
    return TROVE_OK;
}

void tvc_stream_hooks_fini(struct tvc_stream_hooks *hooks) {
    free(hooks->acks);
}

/* The queued job keeps the stream. */
static void post(trove_stream *stream) {
    tvc_stream_acquire(stream);
    if (!tvc_hooks_post(&stream->client->hooks, &stream->hooks.job))
        tvc_stream_release(stream); /* not the last: the caller has one */
}

void tvc_stream_hooks_chunk(trove_stream *stream, const trove_chunk_ack *ack) {
    struct tvc_stream_hooks *hooks = &stream->hooks;
    if (hooks->program.on_chunk == NULL)
        return;
    TV_ASSERT(hooks->ack_count < hooks->ack_capacity);
    hooks->acks[(hooks->ack_first + hooks->ack_count) % hooks->ack_capacity] = *ack;
    hooks->ack_count++;
    post(stream);
}

void tvc_stream_hooks_progress(trove_stream *stream, uint64_t now_ns) {
    struct tvc_stream_hooks *hooks = &stream->hooks;
    hooks->progress_late = now_ns < hooks->progress_next_ns;
    if (hooks->program.on_progress == NULL || hooks->progress_late)
        return;
    hooks->progress_next_ns = now_ns + PROGRESS_NS;
    hooks->progress_due = true;
    post(stream);
}

void tvc_stream_hooks_tick(trove_stream *stream, uint64_t now_ns) {
    if (stream->hooks.progress_late)
        tvc_stream_hooks_progress(stream, now_ns);
}

void tvc_stream_hooks_ended(trove_stream *stream) {
    struct tvc_stream_hooks *hooks = &stream->hooks;
    if (!hooks->any || !stream->opened) { /* a stream that the program was never given has no end for it */
        hooks->end_done = true;
        return;
    }
    hooks->end_due = true;
    post(stream);
}

bool tvc_stream_hooks_keep_up(const trove_stream *stream) {
    return stream->hooks.ack_count <= stream->hooks.ack_capacity / 2;
}

void tvc_stream_hooks_wait(trove_stream *stream) {
    if (tvc_hooks_here(&stream->client->hooks))
        return;
    while (!stream->hooks.end_done)
        (void)tvc_stream_wait(stream, TVC_NO_DEADLINE);
}

/* ---- on the hook thread ---- */

/* Takes up to ACK_BATCH acknowledgements out of the ring. Under the lock. */
static unsigned take_acks(struct tvc_stream_hooks *hooks, trove_chunk_ack *batch) {
    unsigned count = 0;
    while (count < ACK_BATCH && hooks->ack_count > 0) {
        batch[count++] = hooks->acks[hooks->ack_first];
        hooks->ack_first = (hooks->ack_first + 1) % hooks->ack_capacity;
        hooks->ack_count--;
    }
    return count;
}

static void fill_progress(trove_stream *stream, trove_progress *progress) {
    uint64_t bytes = tvc_stream_bytes_done(stream);
    tvc_rate_add(&stream->rate, stream->ended_ns != 0 ? stream->ended_ns : tv_now_ns(), bytes);
    bool known = stream->size != TROVE_SIZE_UNKNOWN;
    if (!known && stream->state == TROVE_STREAM_COMPLETED) {
        stream->size = bytes;
        known = true;
    }
    double rate = stream->rate.bytes_per_second;
    *progress = (trove_progress){
        .bytes = bytes,
        .total_bytes = stream->size,
        .percent = !known              ? -1
                   : stream->size == 0 ? 100
                                       : (double)bytes * 100.0 / (double)stream->size,
        .bytes_per_second = rate,
        .seconds_left = known && rate > 0 ? (double)(stream->size - bytes) / rate : -1,
    };
}

static void tell_end(const trove_stream *stream) {
    const trove_stream_hooks *program = &stream->hooks.program;
    if (stream->state == TROVE_STREAM_COMPLETED) {
        if (program->on_complete != NULL)
            program->on_complete(program->context, stream->object);
    } else if (program->on_error != NULL) {
        program->on_error(program->context, &stream->error);
    }
}

/* What stands at the end doesn't change any more: state, error and object may be read without the lock. */
static void run(struct tvc_hook_job *job) {
    trove_stream *stream = (trove_stream *)((char *)job - offsetof(trove_stream, hooks.job));
    struct tvc_stream_hooks *hooks = &stream->hooks;
    const trove_stream_hooks *program = &hooks->program;
    pthread_mutex_t *lock = &stream->client->lock;
    trove_chunk_ack batch[ACK_BATCH];
    trove_progress progress;

    pthread_mutex_lock(lock);
    bool full = !tvc_stream_hooks_keep_up(stream);
    unsigned acks = take_acks(hooks, batch);
    bool more = hooks->ack_count > 0;
    bool end = hooks->end_due && !hooks->end_done && !more;
    bool report = program->on_progress != NULL && (hooks->progress_due || end);
    hooks->progress_due = false;
    if (report)
        fill_progress(stream, &progress);
    if (full)
        pthread_cond_broadcast(&stream->changed);
    pthread_mutex_unlock(lock);

    for (unsigned i = 0; i < acks; i++)
        program->on_chunk(program->context, &batch[i]);
    if (report)
        program->on_progress(program->context, &progress);
    if (end)
        tell_end(stream);

    pthread_mutex_lock(lock);
    if (end) {
        hooks->end_done = true;
        pthread_cond_broadcast(&stream->changed);
    }
    if (more)
        post(stream);
    pthread_mutex_unlock(lock);
    tvc_stream_release(stream);
}
