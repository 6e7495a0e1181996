/* download.c - the way down of a stream on the server: reading ahead, and what goes out next. See stream.h and read_ahead.h.
 *
 * The window's chunks (sender.h) have no memory here: they are places in the object, cut by arithmetic, and the bytes come from
 * what was read ahead at the place that is to be sent next. What comes back as not taken is simply read again.
 * Reading goes as far ahead as the client's credit allows, and no further than the transport needs to be kept busy. Whoever's
 * transport doesn't ask for data gives all of it back: at once when somebody waits for memory, and else soon
 * (tvs_download_relieve_locked).
 */
#include "download.h"

#include "checked.h"
#include "follow.h"
#include "gap_check.h"
#include "upload.h"

#include <string.h>

/* Read and not yet sent, at most: one run that is being sent from, one that is ready. More only costs the caches. */
#define AHEAD_BYTES_MAX (2 * TV_PAYLOAD_BYTES_MAX)
/* A stream whose transport hasn't asked for data for so long can do without what was read for it, where somebody waits for
 * memory; after so much longer it does so anyway, for there may be thousands that stand still. */
#define UNUSED_NS (20 * UINT64_C(1000000))
#define IDLE_NS   (50 * UNUSED_NS)

/* ---- chunks; under the session's lock ---- */

/* The window lets go of a chunk: always under the lock. */
static void spare_chunk(struct tv_chunk *chunk) {
    struct tvs_stream *stream = chunk->owner;
    stream->spare_chunks[stream->spare_chunk_count++] = chunk;
}

static uint64_t chunk_bytes(const struct tvs_stream *stream) {
    return stream->adaptive != NULL ? tv_adaptive_chunk_bytes(stream->adaptive) : stream->chunk_bytes;
}

/* Where the chunk at `at` ends: chunk_bytes further at most, and on a block where it can, so that later ones are cheap. */
static uint64_t chunk_end(const struct tvs_stream *stream, uint64_t at) {
    uint64_t bytes = chunk_bytes(stream);
    uint64_t inside = at % TV_BLOCK_BYTES;
    uint64_t end = at - inside + bytes / TV_BLOCK_BYTES * TV_BLOCK_BYTES;
    if (bytes < TV_BLOCK_BYTES)
        end = bytes < TV_BLOCK_BYTES - inside ? at + bytes : at - inside + TV_BLOCK_BYTES;
    return end < stream->read_end ? end : stream->read_end;
}

/* A lossy stream makes room by losing its oldest chunk, and the bytes read for it. */
static bool make_room(struct tvs_stream *stream) {
    struct tv_chunk *lost = tv_sender_full(&stream->sender) && stream->drops ? tv_sender_drop(&stream->sender) : NULL;
    if (lost != NULL) {
        uint64_t begun_bytes = tv_sender_begun_bytes(&stream->sender);
        uint64_t from = begun_bytes > 0 ? tv_sender_position(&stream->sender) + begun_bytes : 0;
        tvs_read_ahead_discard(&stream->ahead, from, lost->offset + lost->bytes);
        tvs_stream_count_drops_locked(stream, 1);
        tv_chunk_release(lost);
    }
    return !tv_sender_full(&stream->sender);
}

/* Cuts chunks as far as there are bytes for them; where there are none to come, an empty one is the end. */
static void push_chunks(struct tvs_stream *stream) {
    struct tv_sender *sender = &stream->sender;
    while (!sender->final_pushed &&
           ((stream->ends && sender->next_offset == stream->read_end) || sender->next_offset < stream->ahead.end) &&
           make_room(stream)) {
        struct tv_chunk *chunk = stream->spare_chunks[--stream->spare_chunk_count];
        uint64_t end = chunk_end(stream, sender->next_offset);
        *chunk = (struct tv_chunk){
            .bytes = end - sender->next_offset,
            .final = stream->ends && end == stream->read_end,
            .written_ns = tv_now_ns(),
            .release = spare_chunk,
            .owner = stream,
        };
        atomic_init(&chunk->references, 1);
        tv_sender_push(sender, chunk);
    }
}

bool tvs_download_next_gap(struct tvs_stream *stream, struct tv_gap *gap) {
    push_chunks(stream); /* now, for it may lose what would be next */
    return tv_sender_next_gap(&stream->sender, gap);
}

/* Whether the bandwidth has room for the next fragment. */
static bool take_turn(struct tvs_stream *stream, uint64_t position, uint64_t payload_bytes_max) {
    uint64_t bytes = stream->read_end - position;
    bytes = bytes < stream->chunk_bytes ? bytes : stream->chunk_bytes;
    bytes = bytes < payload_bytes_max ? bytes : payload_bytes_max;
    return bytes == 0 || tvs_stream_take_turn_locked(stream, &stream->down, bytes);
}

void tvs_download_turn(struct tvs_bandwidth_waiter *waiter) {
    struct tvs_stream *stream = (struct tvs_stream *)((char *)waiter - offsetof(struct tvs_stream, down.bandwidth));
    pthread_mutex_lock(&stream->session->lock);
    stream->down.awaiting_turn = false;
    pthread_mutex_unlock(&stream->session->lock);
    tvs_stream_wake(stream, TV_WANTS_DATA);
    tvs_stream_release(stream);
}

bool tvs_download_next(struct tvs_stream *stream, uint64_t payload_bytes_max, struct tv_fragment_out *fragment,
                       struct tvs_run **run_out) {
    uint64_t have_bytes = 0;
    stream->pulled_ns = tv_now_ns();
    stream->parked = false;
    uint64_t position = tv_sender_position(&stream->sender);
    struct tvs_run *run = tvs_read_ahead_at(&stream->ahead, position, &have_bytes);
    if (run == NULL && position < stream->read_end) {
        if (position < stream->ahead.end) /* it came back as not taken, and isn't there any more */
            tvs_read_ahead_move(&stream->ahead, position);
        return false;
    }
    if (tvs_download_share_blocks(stream->budget) == 0 && payload_bytes_max > TV_STAGED_PAYLOAD_BYTES)
        payload_bytes_max =
            TV_STAGED_PAYLOAD_BYTES; /* copied by the connection: no memory of the budget is stuck in a transport */
    if (run != NULL && payload_bytes_max > have_bytes)
        payload_bytes_max = have_bytes;
    if (!tv_sender_ready(&stream->sender) || !take_turn(stream, position, payload_bytes_max))
        return false;
    if (!tv_sender_next(&stream->sender, payload_bytes_max, fragment))
        return false;
    tvs_stream_spend(stream, fragment->bytes);
    if (run != NULL)
        atomic_fetch_add_explicit(&run->references, 1, memory_order_relaxed); /* the transport's */
    *run_out = run;
    (void)tvs_read_ahead_at(&stream->ahead, tv_sender_position(&stream->sender),
                            &have_bytes); /* lets go of what was sent whole */
    return true;
}

uint64_t tvs_download_offset_locked(const struct tvs_stream *stream) {
    return stream->sender_ready ? tv_sender_position(&stream->sender) : stream->range_offset;
}

void tvs_download_acked_locked(struct tvs_stream *stream, const struct tv_chunk *chunk, uint64_t now_ns) {
    if (stream->adaptive == NULL)
        return;
    uint64_t round_trip_ns = now_ns > chunk->written_ns ? now_ns - chunk->written_ns : 0;
    tv_adaptive_acknowledged(stream->adaptive, chunk->bytes, chunk->bytes, round_trip_ns, now_ns);
}

void tvs_download_interrupted_locked(struct tvs_stream *stream) {
    if (stream->adaptive != NULL)
        tv_adaptive_interrupted(stream->adaptive);
}

void tvs_download_seek_locked(struct tvs_stream *stream, uint64_t offset, uint64_t generation) {
    tv_sender_seek(&stream->sender, offset, generation);
    tvs_download_interrupted_locked(stream);
    tvs_read_ahead_move(&stream->ahead, offset);
    stream->generation = generation;
}

/* ---- when to read; under the session's lock ---- */

/* Downloads in all may have half of the budget in their hands, for what a transport holds can't be taken back from it. The nearer
 * they come to that, the less is read at a time. */
uint64_t tvs_download_share_blocks(struct tvs_budget *budget) {
    uint64_t most = tvs_budget_bytes(budget) / 2;
    uint64_t charged = tvs_budget_read_ahead_bytes(budget);
    return charged < most ? (most - charged) / 4 / TV_BLOCK_BYTES : 0;
}

bool tvs_download_moves_locked(const struct tvs_stream *stream) {
    return stream->state == TROVE_STREAM_ACTIVE || stream->state == TROVE_STREAM_COMPLETING;
}

/* How far ahead of what was sent it is worth reading: as far as the credit goes. */
static uint64_t wanted_bytes(const struct tvs_stream *stream) {
    const struct tv_sender *sender = &stream->sender;
    uint64_t position = tv_sender_position(sender);
    uint64_t begun_bytes = tv_sender_begun_bytes(sender);
    uint64_t next_offset = position + begun_bytes;
    uint64_t next_bytes = tv_sender_waiting_bytes(sender); /* perhaps of another size than those that are cut now */
    if (next_bytes == 0)
        next_bytes = chunk_end(stream, next_offset) - next_offset;
    uint64_t credit_bytes = next_bytes <= sender->credit_bytes ? sender->credit_bytes : 0;
    if (begun_bytes >= AHEAD_BYTES_MAX || credit_bytes >= AHEAD_BYTES_MAX - begun_bytes)
        return AHEAD_BYTES_MAX;
    return begun_bytes + credit_bytes;
}

/* How many blocks the next read is to bring: a run's, unless the credit ends before. */
static uint64_t wanted_blocks(const struct tvs_stream *stream) {
    uint64_t end = tv_add_capped(tv_sender_position(&stream->sender), wanted_bytes(stream));
    bool all = stream->drops || wanted_bytes(stream) == AHEAD_BYTES_MAX;
    end = all || end > stream->read_end ? stream->read_end : end;
    return (end - stream->ahead.end + TV_BLOCK_BYTES - 1) / TV_BLOCK_BYTES;
}

static bool wants_more(const struct tvs_stream *stream) {
    bool may = tvs_download_moves_locked(stream) && !stream->parked && !stream->down.claiming && !stream->sends_nothing;
    bool can = stream->ahead.end < stream->read_end && (stream->ends || !stream->feed_closed);
    if (!may || !can)
        return false;
    if (stream->drops) /* reads on whether the client keeps up or not */
        return true;
    uint64_t position = tv_sender_position(&stream->sender); /* inside the block that ahead.end begins, where nothing was read */
    uint64_t ahead_bytes = stream->ahead.end > position ? stream->ahead.end - position : 0;
    if (ahead_bytes > 0 && stream->ahead.end % TV_BLOCK_BYTES != 0)
        return false; /* a follower's: the block has grown, and is read again when what was read of it has gone */
    return ahead_bytes < wanted_bytes(stream);
}

/* What was reserved and isn't in a run. */
static void give_back(struct tvs_stream *stream) {
    if (stream->reserved_bytes > 0)
        tvs_budget_give(stream->budget, stream->reserved_bytes);
    stream->reserved_bytes = 0;
}

/* Takes a reservation of `bytes` out of what the stream has, or else from the budget. False: it has to be waited for. */
static bool reserve(struct tvs_stream *stream, uint64_t bytes) {
    if (stream->reserved_bytes >= bytes) {
        stream->reserved_bytes -= bytes;
        return true;
    }
    give_back(stream);          /* who waits holds nothing that it can do without, or all would wait for each other */
    tvs_stream_acquire(stream); /* the claim's, if it has to wait */
    stream->down.claiming = !tvs_budget_take(stream->budget, &stream->down.claim, bytes);
    if (stream->down.claiming)
        return false;
    tvs_stream_release(stream);
    return true;
}

bool tvs_download_work_locked(const struct tvs_stream *stream) {
    if (tv_stream_state_terminal(stream->state))
        return !stream->down.cleaned;
    if (!stream->down.begun)
        return !stream->up.open || stream->up.begun;
    return (stream->follower && tvs_follow_work_locked(stream)) || wants_more(stream);
}

void tvs_download_granted(struct tvs_claim *claim) {
    struct tvs_stream *stream = (struct tvs_stream *)((char *)claim - offsetof(struct tvs_stream, down.claim));
    struct tvs_session *session = stream->session;
    pthread_mutex_lock(&session->lock);
    stream->down.claiming = false;
    stream->reserved_bytes += claim->bytes;
    unsigned strands = tvs_stream_schedule(stream);
    if (!stream->down.scheduled)
        give_back(stream);
    pthread_mutex_unlock(&session->lock);
    tvs_stream_run(stream, strands);
    tvs_stream_release(stream);
}

void tvs_download_relieve_locked(struct tvs_stream *stream, uint64_t now_ns) {
    bool wanted = tvs_budget_contended(stream->budget);
    if (!stream->sender_ready || now_ns < stream->pulled_ns + (wanted ? UNUSED_NS : IDLE_NS) || (stream->drops && !wanted))
        return;
    /* Whoever has bytes to send is in the connection's ring, or gets there with the credit that it lacks: it will be asked
     * again. */
    if (stream->ahead.first != NULL) {
        stream->parked = true;
        tvs_read_ahead_move(&stream->ahead, tv_sender_position(&stream->sender));
    }
    if (!stream->down.scheduled) /* else the strand is about to use it */
        give_back(stream);
}

/* ---- the strand ---- */

static trove_status resolve_range(struct tvs_stream *stream, trove_error *error) {
    uint64_t size = stream->object.size;
    if (stream->range_offset > size)
        return TV_FAIL(error, OUT_OF_RANGE, "%s/%s has %llu bytes; a range can't begin at %llu", stream->bucket, stream->key,
                       (unsigned long long)size, (unsigned long long)stream->range_offset);
    uint64_t left = size - stream->range_offset;
    stream->read_end = stream->range_offset + (stream->range_length < left ? stream->range_length : left);
    return TROVE_OK;
}

/* What a way down needs for its chunks. Made without the lock, and shown to others when it is complete. */
struct window {
    struct tv_adaptive *adaptive;
    struct tv_sender sender;
    struct tv_chunk *chunks; /* behind them the list of those to spare */
};

static trove_status make_window(const struct tvs_stream *stream, struct window *window, trove_error *error) {
    size_t count = stream->channel_chunks;
    trove_status status = tv_sender_init(&window->sender, stream->channel_chunks, stream->range_offset, error);
    if (status != TROVE_OK)
        return status;
    window->chunks = calloc(count, sizeof(struct tv_chunk) + sizeof(struct tv_chunk *));
    window->adaptive = stream->adapts ? malloc(sizeof *window->adaptive) : NULL;
    if (window->chunks == NULL || (stream->adapts && window->adaptive == NULL)) {
        tv_sender_fini(&window->sender);
        free(window->chunks);
        free(window->adaptive);
        return TV_FAIL(error, RESOURCE_EXHAUSTED, "no memory for a window of %zu chunks", count);
    }
    if (stream->adapts)
        tv_adaptive_init_for_stream(window->adaptive, stream->chunk_bytes);
    return TROVE_OK;
}

static void take_window_locked(struct tvs_stream *stream, const struct window *window) {
    stream->adaptive = window->adaptive;
    stream->sender = window->sender;
    stream->chunks = window->chunks;
    stream->spare_chunks = (struct tv_chunk **)(stream->chunks + stream->channel_chunks);
    for (; stream->spare_chunk_count < stream->channel_chunks; stream->spare_chunk_count++)
        stream->spare_chunks[stream->spare_chunk_count] = &stream->chunks[stream->spare_chunk_count];
    stream->sender_ready = true;
    tvs_read_ahead_move(&stream->ahead, stream->range_offset);
    tv_sender_credit(&stream->sender, stream->early_credit, stream->early_expired);
}

static trove_status set_up(struct tvs_stream *stream, struct window *window, trove_error *error) {
    trove_status status = resolve_range(stream, error);
    if (status == TROVE_OK)
        status = tvs_gaps_check(stream->bucket, &stream->object, stream->range_offset, stream->range_length, stream->allow_gaps,
                                error);
    if (status == TROVE_OK && stream->allow_gaps)
        status = tvs_wire_gaps_init(&stream->gaps, &stream->object, error);
    return status == TROVE_OK ? make_window(stream, window, error) : status;
}

/* A two-way stream may be the first to put its object: then there is nothing to send. (The way up has begun, so the bucket
 * exists.) */
static trove_status open_object(struct tvs_stream *stream, struct window *window, trove_error *error) {
    struct tvs_server *server = stream->session->server;
    const struct tvs_conditions *conditions = &stream->put_options.conditions;
    trove_status status = TROVE_OK;
    if (stream->up.open && (conditions->if_none || stream->follow)) {
        stream->sends_nothing = true;
    } else {
        status =
            server->ops->get_begin(server->driver, stream->bucket, stream->key, conditions, &stream->get, &stream->object, error);
        if (status != TROVE_OK)
            stream->get = NULL;
        stream->sends_nothing = stream->up.open && status == TROVE_NOT_FOUND;
    }
    if (!stream->sends_nothing)
        return status == TROVE_OK ? set_up(stream, window, error) : status;
    stream->read_end = stream->range_offset;
    return TROVE_OK;
}

static void begin(struct tvs_stream *stream) {
    struct tvs_session *session = stream->session;
    struct window window = {.chunks = NULL};
    trove_error error;
    trove_status status = stream->follower ? make_window(stream, &window, &error) : open_object(stream, &window, &error);
    if (status != TROVE_OK) {
        tvs_stream_end(stream, TV_EVENT_FAIL, &error);
        return;
    }
    pthread_mutex_lock(&session->lock);
    if (!stream->sends_nothing)
        take_window_locked(stream, &window);
    stream->ends = !stream->follower;
    stream->down.begun = true;
    if (stream->up.open)
        (void)tvs_upload_grant_locked(stream); /* told by the opened */
    pthread_mutex_unlock(&session->lock);
    if (stream->follower)
        tvs_follow_enter(stream);
    tvs_stream_wake(stream, TV_WANTS_CONTROL | TV_WANTS_DATA);
}

/* What one step of the strand reads. */
struct reading {
    uint64_t offset;
    uint64_t end; /* of what there is to be read; inside a block only where the object ends, or has come to so far */
    uint64_t moves;
    uint32_t block_count;
};

/* Decides what to read and takes the reservation for it. False: nothing, or the memory has to be waited for. */
static bool plan(struct tvs_stream *stream, struct reading *reading) {
    struct tvs_session *session = stream->session;
    pthread_mutex_lock(&session->lock);
    bool go = wants_more(stream);
    if (go && stream->ahead.end % TV_BLOCK_BYTES != 0)
        tvs_read_ahead_move(&stream->ahead, stream->ahead.end);
    if (go) {
        uint64_t blocks = wanted_blocks(stream);
        uint64_t share = tvs_download_share_blocks(stream->budget);
        uint64_t most = share < TVS_RUN_BLOCKS_MAX ? share : TVS_RUN_BLOCKS_MAX;
        blocks = blocks < most ? blocks : most;
        *reading = (struct reading){
            .offset = stream->ahead.end,
            .end = stream->ends ? stream->object.size : stream->read_end,
            .moves = stream->ahead.moves,
            .block_count = blocks > 0 ? (uint32_t)blocks : 1,
        };
        go = reserve(stream, reading->block_count * TV_SEGMENT_BYTES);
    }
    pthread_mutex_unlock(&session->lock);
    return go;
}

/* From the object, or from what a stream that is followed has written of it so far. */
static trove_status read_source(struct tvs_stream *stream, struct tv_data *data, bool *closed, trove_error *error) {
    if (stream->get != NULL)
        return stream->session->server->ops->get_read(stream->get, data, error);
    return tvs_feed_read(stream->feed, data, closed, error);
}

/* *run_out is NULL where a follower's feed was closed. */
static trove_status read_run(struct tvs_stream *stream, const struct reading *reading, struct tvs_run **run_out,
                             trove_error *error) {
    struct tvs_run *run = NULL;
    bool closed = false;
    trove_status status = tvs_run_create(&stream->ahead, reading->offset, reading->block_count, &run, error);
    if (status != TROVE_OK)
        return status;
    struct tv_data data = {.offset = reading->offset};
    uint64_t left = reading->end - reading->offset;
    for (uint32_t i = 0; i < reading->block_count; i++) {
        uint64_t bytes = left < TV_BLOCK_BYTES ? left : TV_BLOCK_BYTES;
        data.iov[data.iov_count++] = (struct iovec){run->blocks[i], bytes};
        data.bytes += bytes;
        left -= bytes;
    }
    status = read_source(stream, &data, &closed, error);
    if (status != TROVE_OK || closed) {
        tvs_run_release(run);
        return status;
    }
    memcpy(run->sums, data.piece_sums, data.piece_count * sizeof run->sums[0]);
    run->bytes = data.bytes;
    *run_out = run;
    return TROVE_OK;
}

static void produce(struct tvs_stream *stream) {
    struct tvs_session *session = stream->session;
    struct reading reading;
    struct tvs_run *run = NULL;
    trove_error error;
    if (!plan(stream, &reading))
        return;
    if (read_run(stream, &reading, &run, &error) != TROVE_OK) {
        tvs_stream_end(stream, TV_EVENT_FAIL, &error);
        return;
    }
    pthread_mutex_lock(&session->lock);
    bool fits = run != NULL && reading.moves == stream->ahead.moves;
    stream->feed_closed |= run == NULL;
    if (fits) {
        tvs_read_ahead_append(&stream->ahead, run);
        push_chunks(stream);
    }
    stream->progress_ns = tv_now_ns();
    pthread_mutex_unlock(&session->lock);
    if (run != NULL && !fits) /* the place to go on at has moved meanwhile */
        tvs_run_release(run);
    tvs_stream_wake(stream, TV_WANTS_DATA);
}

static void clean(struct tvs_stream *stream) {
    struct tvs_session *session = stream->session;
    if (!stream->up.open) /* else the way up does it */
        tvs_stream_log_end(stream);
    if (stream->down.begun && stream->follower)
        tvs_follow_leave(stream);
    session->server->ops->get_end(stream->get);
    stream->get = NULL;
    pthread_mutex_lock(&session->lock);
    tvs_read_ahead_move(&stream->ahead, 0);
    give_back(stream);
    if (stream->sender_ready)
        tv_sender_fini(&stream->sender);
    stream->sender_ready = false;
    stream->down.cleaned = true;
    pthread_mutex_unlock(&session->lock);
}

void tvs_download_step(struct tvs_stream *stream) {
    pthread_mutex_lock(&stream->session->lock);
    bool ended = tv_stream_state_terminal(stream->state);
    bool begun = stream->down.begun;
    bool follows = begun && stream->follower && tvs_follow_work_locked(stream);
    pthread_mutex_unlock(&stream->session->lock);
    if (ended)
        clean(stream);
    else if (!begun)
        begin(stream);
    else if (follows)
        tvs_follow_step(stream);
    else
        produce(stream);
}

void tvs_download_init(struct tvs_stream *stream) {
    tvs_read_ahead_init(&stream->ahead, stream->budget);
}

void tvs_download_fini(struct tvs_stream *stream) {
    free(stream->adaptive);
    give_back(stream);
    tvs_read_ahead_fini(&stream->ahead);
    free(stream->chunks);
}
