/* stream_hooks.c - see stream_hooks.h. */
#include "stream_hooks.h"

#include "stream.h"
#include "wait.h"

#include <string.h>

#define PROGRESS_NS (UINT64_C(100) * 1000000)
#define ACK_BATCH   32
#define DROP_BATCH  8

static void run(struct tvc_job *job);

/* ---- sets ---- */

static bool is_empty(const trove_stream_hooks *program) {
    return program->on_progress == NULL && program->on_chunk == NULL && program->on_complete == NULL &&
           program->on_error == NULL && program->on_drop == NULL && program->on_opened == NULL && program->on_seek == NULL;
}

static const struct tvc_hook_set *set_at(const struct tvc_stream_hooks *hooks, unsigned at) {
    return at == 0 ? &hooks->first_set : &hooks->more_sets[at - 1];
}

/* There is room for it. */
static void append(struct tvc_stream_hooks *hooks, const trove_stream_hooks *program) {
    struct tvc_hook_set *set = hooks->set_count == 0 ? &hooks->first_set : &hooks->more_sets[hooks->set_count - 1];
    *set = (struct tvc_hook_set){
        .program = *program,
        .first_ack = hooks->ack_ring.number + hooks->ack_ring.count,
        .first_drop = hooks->drop_ring.number + hooks->drop_ring.count,
    };
    hooks->drop_merge_from = set->first_drop;
    hooks->set_count++;
    hooks->wants_progress |= program->on_progress != NULL;
    hooks->wants_chunks |= program->on_chunk != NULL;
    hooks->wants_drops |= program->on_drop != NULL;
    hooks->wants_opened |= program->on_opened != NULL;
    hooks->wants_seeks |= program->on_seek != NULL;
}

void tvc_stream_hooks_init(trove_stream *stream, const trove_stream_hooks *program) {
    if (!is_empty(program))
        append(&stream->hooks, program);
    stream->hooks.job.run = run;
}

static trove_status no_memory(trove_error *error) {
    return TV_FAIL(error, RESOURCE_EXHAUSTED, "no memory for the hooks of a stream");
}

/* Chunks that may be unacknowledged at once, both ways. */
static uint32_t chunks_open(const trove_stream *stream) {
    bool both = tvc_stream_sends(stream) && tvc_stream_receives(stream);
    return both ? 2 * stream->channel_chunks : stream->channel_chunks;
}

trove_status tvc_stream_hooks_size(trove_stream *stream, trove_error *error) {
    struct tvc_stream_hooks *hooks = &stream->hooks;
    uint32_t half = chunks_open(stream) + 1;
    uint32_t capacity = 2 * half + TROVE_HOOKS_MAX;
    if (hooks->wants_chunks && hooks->acks == NULL) {
        hooks->acks = calloc(capacity, sizeof *hooks->acks);
        if (hooks->acks == NULL)
            return no_memory(error);
        hooks->ack_ring = (struct tvc_ring){.capacity = capacity, .half = half};
    }
    if (hooks->wants_drops && hooks->drops == NULL) {
        hooks->drops = calloc(capacity, sizeof *hooks->drops);
        if (hooks->drops == NULL)
            return no_memory(error);
        hooks->drop_ring = (struct tvc_ring){.capacity = capacity, .half = half};
    }
    return TROVE_OK;
}

void tvc_stream_hooks_fini(struct tvc_stream_hooks *hooks) {
    free(hooks->acks);
    free(hooks->drops);
    free(hooks->more_sets);
}

/* Under the lock. */
static trove_status add(trove_stream *stream, const trove_stream_hooks *program, trove_error *error) {
    struct tvc_stream_hooks *hooks = &stream->hooks;
    if (tv_stream_state_terminal(stream->state))
        return TV_FAIL(error, FAILED_PRECONDITION, "%s/%.200s: the stream is %s; no hook is called any more", stream->bucket,
                       stream->key, trove_stream_state_name(stream->state));
    if (hooks->set_count == TROVE_HOOKS_MAX)
        return TV_FAIL(error, RESOURCE_EXHAUSTED, "%s/%.200s: the stream has %d sets of hooks, and may have no more",
                       stream->bucket, stream->key, TROVE_HOOKS_MAX);
    if (hooks->set_count > 0 && hooks->more_sets == NULL)
        hooks->more_sets = calloc(TROVE_HOOKS_MAX - 1, sizeof *hooks->more_sets);
    if (hooks->set_count > 0 && hooks->more_sets == NULL)
        return no_memory(error);
    struct tvc_stream_hooks before = *hooks;
    append(hooks, program);
    trove_status status = tvc_stream_hooks_size(stream, error);
    if (status != TROVE_OK) {
        hooks->set_count = before.set_count;
        hooks->wants_progress = before.wants_progress;
        hooks->wants_chunks = before.wants_chunks;
        hooks->wants_drops = before.wants_drops;
        hooks->wants_opened = before.wants_opened;
        hooks->wants_seeks = before.wants_seeks;
    }
    return status;
}

trove_status trove_stream_hooks_add(trove_stream *stream, const trove_stream_hooks *hooks, trove_error *error) {
    if (stream == NULL || hooks == NULL)
        return TV_FAIL(error, INVALID_ARGUMENT, "the %s NULL", stream == NULL ? "stream is" : "hooks are");
    if (is_empty(hooks))
        return TV_FAIL(error, INVALID_ARGUMENT, "%s/%.200s: a set of hooks without a function", stream->bucket, stream->key);
    pthread_mutex_lock(&stream->client->lock);
    trove_status status = add(stream, hooks, error);
    pthread_mutex_unlock(&stream->client->lock);
    return status;
}

/* ---- what happens; under the lock ---- */

/* The queued job keeps the stream. */
static void post(trove_stream *stream) {
    tvc_stream_acquire(stream);
    if (!tvc_job_thread_post(&stream->client->hooks, &stream->hooks.job))
        tvc_stream_release(stream); /* not the last: the caller has one */
}

/* The place of a new last entry. */
static uint32_t push(struct tvc_ring *ring) {
    TV_ASSERT(ring->count < ring->capacity);
    return (ring->first + ring->count++) % ring->capacity;
}

/* The place of the first entry, which leaves. */
static uint32_t pop(struct tvc_ring *ring) {
    uint32_t place = ring->first;
    ring->first = (ring->first + 1) % ring->capacity;
    ring->count--;
    ring->number++;
    return place;
}

void tvc_stream_hooks_chunk(trove_stream *stream, const trove_chunk_ack *ack) {
    struct tvc_stream_hooks *hooks = &stream->hooks;
    if (!hooks->wants_chunks)
        return;
    hooks->acks[push(&hooks->ack_ring)] = *ack;
    post(stream);
}

/* The last entry of the ring, if these are its neighbours and all who are to be told of them are told of it. */
static trove_drop *neighbour(struct tvc_stream_hooks *hooks, const trove_drop *drop) {
    const struct tvc_ring *ring = &hooks->drop_ring;
    if (ring->count == 0 || ring->number + ring->count - 1 < hooks->drop_merge_from)
        return NULL;
    trove_drop *last = &hooks->drops[(ring->first + ring->count - 1) % ring->capacity];
    bool adjoins = last->first_index + last->count == drop->first_index && last->offset + last->length == drop->offset;
    return adjoins && last->direction == drop->direction ? last : NULL;
}

void tvc_stream_hooks_drop(trove_stream *stream, trove_drop *drop) {
    struct tvc_stream_hooks *hooks = &stream->hooks;
    stream->counts.dropped.chunks += drop->count;
    stream->counts.dropped.bytes += drop->length;
    drop->total_chunks = stream->counts.dropped.chunks;
    drop->total_bytes = stream->counts.dropped.bytes;
    if (!hooks->wants_drops)
        return;
    trove_drop *before = neighbour(hooks, drop);
    if (before == NULL) {
        hooks->drops[push(&hooks->drop_ring)] = *drop;
    } else {
        before->count += drop->count;
        before->length += drop->length;
        before->total_chunks = drop->total_chunks;
        before->total_bytes = drop->total_bytes;
    }
    post(stream);
}

void tvc_stream_hooks_opened(trove_stream *stream) {
    if (!stream->hooks.wants_opened)
        return;
    stream->hooks.opened_due = true;
    post(stream);
}

/* Of several that aren't told yet the newest is: where it goes on. */
void tvc_stream_hooks_moved(trove_stream *stream, uint64_t offset) {
    struct tvc_stream_hooks *hooks = &stream->hooks;
    if (!hooks->wants_seeks)
        return;
    hooks->seek_due = true;
    hooks->seek_offset = offset;
    hooks->seek_first_ack = hooks->ack_ring.number + hooks->ack_ring.count;
    post(stream);
}

void tvc_stream_hooks_progress(trove_stream *stream, uint64_t now_ns) {
    struct tvc_stream_hooks *hooks = &stream->hooks;
    hooks->progress_late = now_ns < hooks->progress_next_ns;
    if (!hooks->wants_progress || hooks->progress_late)
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
    if (hooks->set_count == 0 || !stream->opened) { /* a stream that the program was never given has no end for it */
        hooks->end_done = true;
        return;
    }
    hooks->end_due = true;
    post(stream);
}

static bool half_full(const struct tvc_ring *ring) {
    return ring->count > ring->half;
}

bool tvc_stream_hooks_keep_up(const trove_stream *stream) {
    return !half_full(&stream->hooks.ack_ring) && !half_full(&stream->hooks.drop_ring);
}

trove_status tvc_stream_hooks_may_wait(const trove_stream *stream, trove_error *error) {
    if (tvc_stream_hooks_keep_up(stream) || !tvc_job_thread_here(&stream->client->hooks))
        return TROVE_OK;
    return TV_FAIL(
        error, RESOURCE_EXHAUSTED,
        "%s/%.200s: the stream's hooks don't keep up, and this hook can't wait for them; go on in a later hook or in a "
        "thread of your own",
        stream->bucket, stream->key);
}

void tvc_stream_hooks_wait(trove_stream *stream) {
    if (tvc_job_thread_here(&stream->client->hooks))
        return;
    while (!stream->hooks.end_done)
        (void)tvc_stream_wait(stream, TVC_NO_DEADLINE);
}

/* ---- on the hook thread ---- */

/* What one run of the job tells. */
struct due {
    unsigned sets;
    unsigned acks;
    unsigned drops;
    uint64_t first_ack; /* its number */
    uint64_t first_drop;
    bool opened;
    bool seek; /* behind the acknowledgements */
    bool report;
    bool end;
    bool more;
    uint64_t seek_offset;
    trove_chunk_ack ack_batch[ACK_BATCH];
    trove_drop drop_batch[DROP_BATCH];
    trove_progress progress;
    char upload_id[TROVE_UPLOAD_ID_BYTES];
};

/* Both ways together, where it is known. */
static uint64_t bytes_to_move(const trove_stream *stream) {
    uint64_t up = tvc_stream_sends(stream) ? stream->upload.size : 0;
    uint64_t down = tvc_stream_receives(stream) ? stream->download.size : 0;
    return up == TROVE_SIZE_UNKNOWN || down == TROVE_SIZE_UNKNOWN ? TROVE_SIZE_UNKNOWN : up + down;
}

/* How far both ways have got, what was lost on the way included. A seek moves it, so it isn't a count of what has moved. */
static uint64_t bytes_reached(const trove_stream *stream) {
    const struct tvc_download *download = &stream->download;
    uint64_t up = stream->upload.acked_offset;
    if (!stream->opened || !tvc_stream_receives(stream))
        return up;
    uint64_t down = download->receiver.expected_offset; /* what comes once more counts once */
    return up + (down > download->reached_offset ? down : download->reached_offset) - download->range_offset;
}

static void fill_progress(trove_stream *stream, trove_progress *progress) {
    uint64_t bytes = bytes_reached(stream);
    tv_rate_add(&stream->rate, stream->ended_ns != 0 ? stream->ended_ns : tv_now_ns(), tvc_stream_bytes_done(stream));
    uint64_t total = bytes_to_move(stream);
    if (total == TROVE_SIZE_UNKNOWN && stream->state == TROVE_STREAM_COMPLETED)
        total = bytes;
    bool known = total != TROVE_SIZE_UNKNOWN;
    double rate = stream->rate.bytes_per_second;
    *progress = (trove_progress){
        .bytes = bytes,
        .total_bytes = total,
        .percent = !known       ? -1
                   : total == 0 ? 100
                                : (double)bytes * 100.0 / (double)total,
        .bytes_per_second = rate,
        .seconds_left = known && rate > 0 ? (double)(total - bytes) / rate : -1,
    };
}

/* Up to a seek, which is told then, or a batch. */
static void take_acks(struct tvc_stream_hooks *hooks, struct due *due) {
    struct tvc_ring *ring = &hooks->ack_ring;
    uint64_t most = hooks->seek_due ? hooks->seek_first_ack - ring->number : ACK_BATCH;
    for (due->acks = 0; due->acks < ACK_BATCH && due->acks < most && ring->count > 0; due->acks++)
        due->ack_batch[due->acks] = hooks->acks[pop(ring)];
    due->seek = hooks->seek_due && ring->number == hooks->seek_first_ack;
    due->seek_offset = hooks->seek_offset;
    hooks->seek_due &= !due->seek;
}

/* Under the lock. */
static void take(trove_stream *stream, struct due *due) {
    struct tvc_stream_hooks *hooks = &stream->hooks;
    due->sets = hooks->set_count;
    due->opened = hooks->opened_due;
    hooks->opened_due = false;
    memcpy(due->upload_id, stream->resume.ids[stream->resume.id], sizeof due->upload_id);
    due->first_ack = hooks->ack_ring.number;
    due->first_drop = hooks->drop_ring.number;
    take_acks(hooks, due);
    for (due->drops = 0; due->drops < DROP_BATCH && hooks->drop_ring.count > 0; due->drops++)
        due->drop_batch[due->drops] = hooks->drops[pop(&hooks->drop_ring)];
    due->more = hooks->ack_ring.count > 0 || hooks->drop_ring.count > 0 || hooks->seek_due;
    due->end = hooks->end_due && !hooks->end_done && !due->more;
    due->report = hooks->wants_progress && (hooks->progress_due || due->end);
    hooks->progress_due = false;
    if (due->report)
        fill_progress(stream, &due->progress);
}

/* What stands at the end doesn't change any more: state, error and object may be read without the lock. */
static void tell_end(const trove_stream *stream, const trove_stream_hooks *program) {
    if (stream->state == TROVE_STREAM_COMPLETED) {
        if (program->on_complete != NULL)
            program->on_complete(program->context, tvc_stream_object(stream));
    } else if (program->on_error != NULL) {
        program->on_error(program->context, &stream->error);
    }
}

static void tell_set(const trove_stream *stream, const struct tvc_hook_set *set, const struct due *due) {
    const trove_stream_hooks *program = &set->program;
    if (due->opened && program->on_opened != NULL)
        program->on_opened(program->context, due->upload_id);
    for (unsigned i = 0; i < due->acks && program->on_chunk != NULL; i++)
        if (due->first_ack + i >= set->first_ack)
            program->on_chunk(program->context, &due->ack_batch[i]);
    if (due->seek && program->on_seek != NULL)
        program->on_seek(program->context, due->seek_offset);
    for (unsigned i = 0; i < due->drops && program->on_drop != NULL; i++)
        if (due->first_drop + i >= set->first_drop)
            program->on_drop(program->context, &due->drop_batch[i]);
    if (due->report && program->on_progress != NULL)
        program->on_progress(program->context, &due->progress);
    if (due->end)
        tell_end(stream, program);
}

static void run(struct tvc_job *job) {
    trove_stream *stream = (trove_stream *)((char *)job - offsetof(trove_stream, hooks.job));
    struct tvc_stream_hooks *hooks = &stream->hooks;
    pthread_mutex_t *lock = &stream->client->lock;
    struct due due;

    pthread_mutex_lock(lock);
    bool full = !tvc_stream_hooks_keep_up(stream);
    take(stream, &due);
    if (full)
        pthread_cond_broadcast(&stream->changed);
    if (full)
        tvc_spill_wake(stream);
    pthread_mutex_unlock(lock);

    for (unsigned i = 0; i < due.sets; i++)
        tell_set(stream, set_at(hooks, i), &due);

    pthread_mutex_lock(lock);
    if (due.end) {
        hooks->end_done = true;
        pthread_cond_broadcast(&stream->changed);
    }
    if (due.more)
        post(stream);
    pthread_mutex_unlock(lock);
    tvc_stream_release(stream);
}
