/* stream_open.c - opening a stream: memory, the Open frame, what the server agrees to. See stream.h. */
#include "stream.h"

#include "inline_put.h"
#include "object_info.h"
#include "wait.h"

#include <sodium.h>
#include <string.h>

/* Beyond the window: one chunk that the program fills, and one that is on its way back. */
#define UPLOAD_SPARE_CHUNKS 2
/* A download tells the server what was read when it is this part of the window. */
#define TELL_PART 4

/* ---- making one ---- */

static void link_stream(struct trove_client *client, trove_stream *stream) {
    stream->next = client->streams;
    if (client->streams != NULL)
        client->streams->previous = stream;
    client->streams = stream;
}

static trove_status make_stream(trove_client *client, const struct tvc_stream_request *request, trove_stream **stream_out,
                                trove_error *error) {
    trove_stream *stream = calloc(1, sizeof *stream);
    if (stream != NULL) {
        stream->bucket = strdup(request->bucket);
        stream->key = strdup(request->key);
    }
    if (stream == NULL || stream->bucket == NULL || stream->key == NULL) {
        if (stream != NULL) {
            free(stream->bucket);
            free(stream->key);
        }
        free(stream);
        return TV_FAIL(error, RESOURCE_EXHAUSTED, "no memory for a stream");
    }
    stream->entry.kind = TVC_ENTRY_STREAM;
    stream->flow.ops = &tvc_stream_flow;
    stream->client = client;
    stream->direction = request->direction;
    stream->own_bytes = request->own_bytes;
    stream->lossy = request->options.lossy;
    stream->backpressure = request->options.backpressure;
    stream->start_paused = request->paused;
    stream->sums_first = request->sums_first;
    stream->movable = tvc_stream_may_be_moved(request);
    stream->follow = request->options.follow;
    stream->member.pool = request->options.client_pool;
    tvc_half_init(&stream->upload.half, stream, TV_WANTS_DATA);
    stream->upload.size = request->options.size;
    if (request->options.resumable)
        stream->upload.keep_bytes = request->options.keep_bytes != 0 ? request->options.keep_bytes : TVC_KEEP_BYTES_DEFAULT;
    tvc_half_init(&stream->download.half, stream, TV_WANTS_CONTROL);
    stream->download.range_offset = request->options.range_offset;
    stream->download.range_length = request->options.range_length;
    stream->download.target = request->target;
    stream->download.capacity = request->capacity;
    atomic_init(&stream->references, 1);
    tvc_cond_init(&stream->changed);
    tvc_stream_hooks_init(stream, &request->options.hooks);
    tvc_client_acquire(client);
    if (stream->member.pool != NULL)
        tvc_pool_acquire(stream->member.pool);
    pthread_mutex_lock(&client->lock);
    link_stream(client, stream);
    pthread_mutex_unlock(&client->lock);
    *stream_out = stream;
    return TROVE_OK;
}

/* ---- memory ---- */

/* How many chunks the way up has beyond its window. One that loses chunks, or puts them elsewhere, never waits for one to come
 * back; one that is resumable has those that it keeps. */
static void plan_spares(trove_stream *stream, uint64_t chunk_bytes) {
    struct tvc_half *half = &stream->upload.half;
    bool buffers = stream->upload.spill.overflow != NULL;
    half->spare_chunks = buffers ? TVC_SPILL_SPARE_CHUNKS : UPLOAD_SPARE_CHUNKS;
    half->spare_chunks += tvc_resume_keep_chunks(stream->upload.keep_bytes, chunk_bytes);
    half->needs_spares = buffers || stream->backpressure == TROVE_BACKPRESSURE_DROP;
}

/* Chunks that the window of the way up may hold, of those that there are. */
static uint32_t window_chunks(const trove_stream *stream) {
    const struct tvc_half *half = &stream->upload.half;
    size_t wanted = (size_t)stream->channel_chunks + half->spare_chunks;
    if (!half->needs_spares || half->chunks->count >= wanted)
        return stream->channel_chunks;
    /* Fewer than the spares alone: where the pool has it buffer, and hardly any memory was left. */
    return half->chunks->count > half->spare_chunks ? (uint32_t)half->chunks->count - half->spare_chunks : 1;
}

static trove_status claim_halves(trove_stream *stream, uint64_t chunk_bytes, uint64_t channel_chunks, trove_error *error) {
    trove_status status = TROVE_OK;
    if (tvc_stream_sends(stream))
        status = tvc_half_claim(&stream->upload.half, chunk_bytes, channel_chunks, error);
    if (status == TROVE_OK && tvc_stream_receives(stream))
        status = tvc_half_claim(&stream->download.half, chunk_bytes, channel_chunks, error);
    return status;
}

/* Before the server has said what it agrees to: for what was asked for, or for the usual. Where memory is short, the way down
 * asks for fewer chunks at once; the way up just never fills its window. */
static trove_status claim_memory(trove_stream *stream, Trove__V1__Open *open, uint64_t *chunk_bytes_out, trove_error *error) {
    const struct tvc_limits limits = tvc_client_limits(stream->client);
    if (open->chunk_bytes == 0)
        open->chunk_bytes = stream->limit.chunk_bytes;
    if (open->chunk_bytes > limits.chunk_bytes_max)
        return TV_FAIL(error, INVALID_ARGUMENT, "%s/%.200s: chunks of %llu bytes; this server takes at most %llu", stream->bucket,
                       stream->key, (unsigned long long)open->chunk_bytes, (unsigned long long)limits.chunk_bytes_max);
    bool adaptive = stream->backpressure == TROVE_BACKPRESSURE_ADAPTIVE;
    uint64_t usual_bytes = TV_CHUNK_BYTES_DEFAULT * (adaptive ? TV_ADAPTIVE_CHUNK_FACTOR : 1);
    uint64_t chunk_bytes = open->chunk_bytes != 0 ? open->chunk_bytes : usual_bytes;
    uint64_t usual_chunks = adaptive ? TV_CHANNEL_CHUNKS_DEFAULT / TV_ADAPTIVE_CHANNEL_FACTOR : TV_CHANNEL_CHUNKS_DEFAULT;
    uint64_t channel_chunks = open->channel_chunks != 0 ? open->channel_chunks : usual_chunks;
    plan_spares(stream, chunk_bytes);
    *chunk_bytes_out = chunk_bytes;
    trove_status status = claim_halves(stream, chunk_bytes, channel_chunks, error);
    if (status != TROVE_OK)
        return status;
    if (tvc_stream_receives(stream)) {
        uint64_t fitting = tvc_half_fitting(&stream->download.half, chunk_bytes, channel_chunks);
        if (fitting < channel_chunks) {
            open->chunk_bytes = chunk_bytes;
            open->channel_chunks = (uint32_t)fitting;
            channel_chunks = fitting;
        }
        open->credit = stream->download.window_bytes =
            tvc_stream_limited(&stream->limit) ? 0 : channel_chunks * chunk_bytes; /* limited: as it may move */
    }
    if (tvc_stream_sends(stream))
        open->demand = stream->upload.demand_bytes = channel_chunks * chunk_bytes;
    return TROVE_OK;
}

/* ---- the server's answer ---- */

static trove_status check_opened(const trove_stream *stream, const Trove__V1__Opened *opened, trove_error *error) {
    if (opened->chunk_bytes < TV_CHUNK_BYTES_MIN || opened->chunk_bytes > TV_CHUNK_BYTES_MAX || opened->channel_chunks < 1 ||
        opened->channel_chunks > TV_CHANNEL_CHUNKS_MAX)
        return TV_FAIL(error, INTERNAL, "%s/%.200s: the server wants %u chunks of %llu bytes, which can't be", stream->bucket,
                       stream->key, opened->channel_chunks, (unsigned long long)opened->chunk_bytes);
    return TROVE_OK;
}

/* Where the program leaves it to the server's pool. */
static trove_status take_backpressure(trove_stream *stream, const Trove__V1__Opened *opened, trove_error *error) {
    if (stream->backpressure != TROVE_BACKPRESSURE_DEFAULT)
        return TROVE_OK;
    bool known = (unsigned)opened->backpressure <= TROVE__V1__BACKPRESSURE__ADAPTIVE;
    if (!known || (opened->backpressure == TROVE__V1__BACKPRESSURE__DROP && !stream->lossy))
        return TV_FAIL(error, INTERNAL, "%s/%.200s: the server wants backpressure %d, which can't be", stream->bucket,
                       stream->key, (int)opened->backpressure);
    stream->backpressure = (trove_backpressure)opened->backpressure;
    return stream->backpressure == TROVE_BACKPRESSURE_BUFFER ? tvc_spill_make(stream, error) : TROVE_OK;
}

static trove_status make_halves(trove_stream *stream, trove_error *error) {
    trove_status status = TROVE_OK;
    if (tvc_stream_follows(stream)) {
        tvc_half_close(&stream->upload.half);
        tvc_spill_fini(stream);
    } else if (tvc_stream_sends(stream)) {
        status = tvc_half_make(&stream->upload.half, error);
    }
    if (stream->writer)
        tvc_half_close(&stream->download.half);
    else if (status == TROVE_OK && tvc_stream_receives(stream))
        status = tvc_half_make(&stream->download.half, error);
    return status;
}

/* What is made without the lock, before anyone else may use the stream. */
static trove_status prepare(trove_stream *stream, const Trove__V1__Opened *opened, trove_object_info **object,
                            trove_error *error) {
    trove_status status = check_opened(stream, opened, error);
    if (status != TROVE_OK)
        return status;
    stream->stream_id = opened->stream_id;
    stream->chunk_bytes = opened->chunk_bytes;
    stream->channel_chunks = opened->channel_chunks;
    stream->writer = stream->follow && opened->writer;
    status = take_backpressure(stream, opened, error);
    if (status != TROVE_OK)
        return status;
    plan_spares(stream, stream->chunk_bytes);
    status = make_halves(stream, error);
    bool told = opened->object != NULL || !tvc_stream_sends(stream); /* else it doesn't exist yet, and nothing comes down */
    if (status == TROVE_OK && tvc_stream_receives(stream) && told)
        status = tvc_object_info_create_with_gaps(opened->object, opened->gaps, opened->n_gaps, stream->bucket, stream->key,
                                                  object, error);
    return status;
}

/* The upload goes on behind what another stream has stored. */
static trove_status begin_behind(trove_stream *stream, uint64_t offset, trove_error *error) {
    struct tvc_upload *upload = &stream->upload;
    if (upload->size != TROVE_SIZE_UNKNOWN && offset > upload->size)
        return TV_FAIL(error, FAILED_PRECONDITION, "%s/%.200s: the server has %llu bytes already of what is to have %llu",
                       stream->bucket, stream->key, (unsigned long long)offset, (unsigned long long)upload->size);
    if (upload->digesting != NULL && !stream->sums_first)
        return TV_FAIL(error, INVALID_ARGUMENT,
                       "%s/%.200s: the upload goes on at byte %llu, so the digest of the whole has to be given", stream->bucket,
                       stream->key, (unsigned long long)offset);
    upload->next_offset = upload->acked_offset = upload->received_offset = upload->durable_offset = offset;
    upload->sought = !stream->sums_first;
    return TROVE_OK;
}

static trove_status install_upload(trove_stream *stream, const Trove__V1__Opened *opened, trove_error *error) {
    struct tvc_upload *upload = &stream->upload;
    if (tvc_stream_follows(stream)) { /* the server doesn't expect a word of it */
        upload->finishing = upload->complete_sent = true;
        upload->size = 0;
        return TROVE_OK;
    }
    if (stream->resume.open != NULL && tvc_resume_take_opened(stream, opened, error) != TROVE_OK)
        return error->status;
    uint64_t begin = stream->resume.open != NULL && opened->completed == NULL ? opened->durable_offset : 0;
    trove_status status = tv_sender_init(&upload->sender, window_chunks(stream), begin, error);
    if (status == TROVE_OK && begin > 0)
        status = begin_behind(stream, begin, error);
    if (status != TROVE_OK)
        return status;
    tv_sender_credit(&upload->sender, opened->credit, 0);
    upload->busy_ns = tv_now_ns();
    if (stream->backpressure == TROVE_BACKPRESSURE_ADAPTIVE) {
        upload->adaptive = malloc(sizeof *upload->adaptive);
        if (upload->adaptive == NULL)
            return TV_FAIL(error, RESOURCE_EXHAUSTED, "no memory for a stream");
        tv_adaptive_init_for_stream(upload->adaptive, stream->chunk_bytes);
    }
    return TROVE_OK;
}

/* Takes the object over; it is NULL where there is none. */
static trove_status install_download(trove_stream *stream, const Trove__V1__Opened *opened, trove_object_info **object_move,
                                     trove_error *error) {
    struct tvc_download *download = &stream->download;
    const trove_object_info *object = *object_move;
    uint64_t object_size = object != NULL ? object->size : 0;
    uint64_t left = object_size > download->range_offset ? object_size - download->range_offset : 0;
    download->size = download->range_length < left ? download->range_length : left;
    if (tvc_stream_follows(stream))
        download->size = TROVE_SIZE_UNKNOWN; /* until the server has sent all */
    if (stream->own_bytes && download->size > download->capacity)
        return TV_FAIL(error, OUT_OF_RANGE, "%s/%.200s: %llu bytes don't fit into %zu", stream->bucket, stream->key,
                       (unsigned long long)download->size, download->capacity);
    bool whole = object != NULL && download->size == object_size && !opened->object->has_gaps;
    download->check_etag = whole && object->etag[0] != '\0';
    tv_receiver_init(&download->receiver, download->range_offset, stream->chunk_bytes, stream->client->limits.payload_bytes_max);
    tv_receiver_grant(&download->receiver, download->window_bytes);
    size_t count = download->half.chunks != NULL ? download->half.chunks->count : 0;
    size_t chunks = count < stream->channel_chunks ? count : stream->channel_chunks;
    uint64_t window_bytes = chunks * stream->chunk_bytes;
    if (window_bytes > download->window_bytes)
        download->credit_due = window_bytes - download->window_bytes;
    if (!stream->lossy) { /* else the sooner the server knows, the less it drops */
        download->tell_bytes = window_bytes / TELL_PART;
        download->tell_chunks = chunks / TELL_PART;
    }
    download->object = *object_move;
    *object_move = NULL;
    download->base_offset = download->range_offset;
    download->call_id = stream->entry.node.id;
    return TROVE_OK;
}

/* Under the lock. */
static trove_status install(trove_stream *stream, const Trove__V1__Opened *opened, trove_object_info **object_move,
                            trove_error *error) {
    trove_status status = tvc_stream_hooks_size(stream, error);
    if (status == TROVE_OK && tvc_stream_sends(stream))
        status = install_upload(stream, opened, error);
    if (status == TROVE_OK && tvc_stream_receives(stream))
        status = install_download(stream, opened, object_move, error);
    if (status != TROVE_OK)
        return status;
    stream->opened = true;
    if (!stream->start_paused)
        (void)tvc_stream_move(stream, TV_EVENT_START, NULL);
    if (opened->completed != NULL && stream->resume.open != NULL)
        tvc_resume_take_complete(stream);
    pthread_cond_broadcast(&stream->changed);
    return TROVE_OK;
}

void tvc_stream_opened(trove_stream *stream, const Trove__V1__Opened *opened) {
    struct trove_client *client = stream->client;
    trove_object_info *object = NULL;
    trove_error error = {TROVE_OK, ""};
    trove_status status = prepare(stream, opened, &object, &error);
    bool credit_due = false;
    if (status == TROVE_OK) {
        pthread_mutex_lock(&client->lock);
        if (!tv_stream_state_terminal(stream->state))
            status = install(stream, opened, &object, &error);
        credit_due = stream->download.credit_due > 0;
        pthread_mutex_unlock(&client->lock);
    }
    trove_object_info_free(object);
    if (status != TROVE_OK)
        tvc_stream_break(stream, &error);
    else if (credit_due)
        tvc_client_wake(client, &stream->flow, TV_WANTS_CONTROL);
}

/* ---- the program's side ---- */

static trove_status send_open(trove_stream *stream, const struct tvc_stream_request *request, trove_error *error) {
    tv_frame frame = TROVE__V1__FRAME__INIT;
    Trove__V1__Open open;
    struct tvc_open_parts parts;
    tvc_open_fill(&open, &parts, request->bucket, request->key, request->direction, &request->options);
    open.movable = stream->movable;
    uint64_t chunk_bytes = 0;
    uint8_t id[TROVE_REQUEST_ID_BYTES];
    trove_status status = claim_memory(stream, &open, &chunk_bytes, error);
    if (status == TROVE_OK && request->options.resumable)
        status = tvc_resume_prepare(stream, &request->options, chunk_bytes, &open, id, error);
    if (status == TROVE_OK && request->unanswered)
        tvc_resume_unanswered(stream);
    if (status != TROVE_OK)
        return status;
    open.paused = request->paused;
    frame.body_case = TV_BODY(OPEN);
    frame.open = &open;
    tvc_stream_acquire(stream); /* the table's */
    status = tvc_client_begin(stream->client, &stream->entry, &frame, NULL, 0, NULL, NULL, error);
    if (status != TROVE_OK)
        tvc_stream_release(stream);
    return status;
}

static trove_status wait_for_opened(trove_stream *stream, uint64_t deadline_ns, trove_error *error) {
    struct trove_client *client = stream->client;
    trove_status status = TROVE_OK;
    bool in_time = true;
    bool late = false;
    pthread_mutex_lock(&client->lock);
    while ((!stream->opened || stream->resume.complete) && !tv_stream_state_terminal(stream->state) && in_time)
        in_time = tvc_stream_wait(stream, deadline_ns);
    if (!stream->opened && !tv_stream_state_terminal(stream->state)) {
        trove_error why;
        status = tvc_stream_late(stream, TROVE_DIRECTION_BIDI, "the server has not opened the stream", &why);
        tv_error_copy(error, &why);
        tvc_stream_end(stream, TV_EVENT_CANCEL, &why);
        late = true;
    } else if (!stream->opened) {
        status = tvc_stream_over(stream, error);
    }
    pthread_mutex_unlock(&client->lock);
    /* A cancel throws an upload away. */
    if (late && stream->resume.open != NULL)
        tvc_stream_send_control(stream, TROVE__V1__CONTROL_TYPE__FAIL, 0, &stream->error);
    else if (late)
        tvc_stream_send_control(stream, TROVE__V1__CONTROL_TYPE__CANCEL, 0, NULL);
    return status;
}

/* A stream that was never opened: ended without a word to the program. */
static void discard(trove_stream *stream) {
    trove_error why = {TROVE_CANCELLED, "the stream was not opened"};
    pthread_mutex_lock(&stream->client->lock);
    tvc_stream_end(stream, TV_EVENT_CANCEL, &why);
    pthread_mutex_unlock(&stream->client->lock);
    tvc_stream_release(stream);
}

/* The server's answer may come as late as that, and tells which pool was full: it is given the time to. */
static uint64_t add_acquire(uint64_t deadline_ns, uint32_t acquire_timeout_ms) {
    uint64_t wait_ns = (uint64_t)acquire_timeout_ms * 1000000;
    return deadline_ns < UINT64_MAX - wait_ns ? deadline_ns + wait_ns : UINT64_MAX;
}

/* Where the library is to compute it. */
static trove_status begin_digest(trove_stream *stream, const trove_digest *digest, trove_error *error) {
    if (digest->kind == TROVE_DIGEST_NONE || digest->size > 0)
        return TROVE_OK;
    stream->upload.digesting = tvc_digest_create(digest->kind);
    return stream->upload.digesting != NULL ? TROVE_OK : TV_FAIL(error, RESOURCE_EXHAUSTED, "no memory for a digest");
}

static trove_status open_stream(trove_client *client, const struct tvc_stream_request *request, uint64_t deadline_ns,
                                trove_stream **stream_out, bool *again, bool *pause, trove_error *error) {
    trove_stream *stream = NULL;
    trove_status status = make_stream(client, request, &stream, error);
    if (status != TROVE_OK)
        return status;
    const struct trove_pool *pool = request->options.client_pool;
    status = tvc_stream_limit_init(stream, request->options.bytes_per_second, pool != NULL ? pool->limit : NULL,
                                   pool != NULL ? pool->options.max_streams : 1, error);
    if (status == TROVE_OK)
        status = tvc_spill_init(stream, &request->options, error);
    if (status == TROVE_OK)
        status = begin_digest(stream, &request->options.digest, error);
    if (status == TROVE_OK) {
        status = send_open(stream, request, error);
        *again = status == TROVE_UNAVAILABLE;
    }
    if (status == TROVE_OK) {
        status = wait_for_opened(stream, add_acquire(deadline_ns, request->options.acquire_timeout_ms), error);
        *again = status == TROVE_UNAVAILABLE && stream->open_again;
        *pause = !*again && request->options.resumable && (status == TROVE_UNAVAILABLE || status == TROVE_ABORTED);
    }
    if (status != TROVE_OK) {
        discard(stream);
        return status;
    }
    *stream_out = stream;
    return TROVE_OK;
}

/* Whether the server can do what is asked for. */
static trove_status check_features(trove_client *client, const struct tvc_stream_request *request, trove_error *error) {
    const struct tvc_limits limits = tvc_client_limits(client);
    if (request->direction == TROVE_DIRECTION_BIDI && !limits.two_way)
        return TV_FAIL(error, UNIMPLEMENTED, "%s/%.200s: the server at %s has no two-way streams; open an upload and a download",
                       request->bucket, request->key, client->url);
    if (request->options.lossy && !limits.lossy)
        return TV_FAIL(error, UNIMPLEMENTED, "%s/%.200s: the server at %s has no lossy streams; open one that loses nothing",
                       request->bucket, request->key, client->url);
    if (request->options.resumable && request->direction == TROVE_DIRECTION_UPLOAD && !limits.resumable)
        return TV_FAIL(error, UNIMPLEMENTED, "%s/%.200s: the store of the server at %s has no resumable uploads", request->bucket,
                       request->key, client->url);
    return TROVE_OK;
}

/* Opens one on whatever connection there is. A stream that wasn't opened has done nothing: one more does no harm. */
static trove_status open_somehow(trove_client *client, const struct tvc_stream_request *request, uint64_t deadline_ns,
                                 trove_stream **stream, trove_error *error) {
    struct tvc_backoff backoff = {0};
    struct tvc_stream_request own = *request;
    bool again;
    trove_status status;
    tvc_backoff_begin(&backoff, client->retry_for_ms != TROVE_NO_RETRY ? client->retry_for_ms : 0, tv_now_ns());
    do {
        bool pause = false;
        again = false;
        pthread_mutex_lock(&client->lock);
        status = tvc_client_await(client, deadline_ns, error);
        pthread_mutex_unlock(&client->lock);
        if (status == TROVE_OK)
            status = check_features(client, request, error);
        if (status == TROVE_OK)
            status = open_stream(client, &own, deadline_ns, stream, &again, &pause, error);
        own.unanswered |= again;
        again |= pause && tvc_client_pause(client, &backoff, deadline_ns); /* what it can't do now it may do later */
    } while (again); /* the next one waits for the next connection, or fails without having been sent */
    return status;
}

/* With a place in its pool, which goes over to the stream. */
static trove_status open_member(trove_client *client, const struct tvc_stream_request *request, uint64_t deadline_ns,
                                trove_stream **stream_out, trove_error *error) {
    struct trove_pool *pool = request->options.client_pool;
    if (pool->client != client)
        return TV_FAIL(error, INVALID_ARGUMENT, "pool %s belongs to another client", pool->name);
    trove_stream *stream = NULL;
    tvc_pool_acquire(pool);
    trove_status status = tvc_pool_enter(pool, deadline_ns, error);
    if (status == TROVE_OK) {
        status = open_somehow(client, request, deadline_ns, &stream, error);
        if (status == TROVE_OK)
            tvc_pool_join(stream);
        else
            tvc_pool_leave(pool);
    }
    tvc_pool_release(pool);
    if (status == TROVE_OK)
        *stream_out = stream;
    return status;
}

trove_status tvc_stream_open(trove_client *client, const struct tvc_stream_request *request, uint64_t deadline_ns,
                             trove_stream **stream_out, trove_error *error) {
    bool member = request->options.client_pool != NULL;
    struct tvc_stream_request own = *request;
    uint8_t request_id[TROVE_REQUEST_ID_BYTES]; /* the same for all tries */
    if (own.options.resumable && own.options.request_id == NULL) {
        randombytes_buf(request_id, sizeof request_id);
        own.options.request_id = request_id;
    }
    tvc_client_acquire(client);
    trove_status status = (member ? open_member : open_somehow)(client, &own, deadline_ns, stream_out, error);
    tvc_client_release(client);
    return status;
}
