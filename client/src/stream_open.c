/* stream_open.c - opening a stream: memory, the Open frame, what the server agrees to. See stream.h. */
#include "stream.h"

#include "inline_put.h"
#include "object_info.h"
#include "wait.h"

#include <string.h>

/* Beyond the window: one chunk that the program fills, and one that is on its way back. */
#define UPLOAD_SPARE_CHUNKS 2
/* A download tells the server what was read when it is this part of the window. */
#define TELL_PART 4

static bool buffers(const trove_stream *stream) {
    return stream->direction == TROVE_DIRECTION_UPLOAD && stream->upload.spill.overflow != NULL;
}

static uint32_t spare_chunks(const trove_stream *stream) {
    if (stream->direction != TROVE_DIRECTION_UPLOAD)
        return 0;
    return buffers(stream) ? TVC_SPILL_SPARE_CHUNKS : UPLOAD_SPARE_CHUNKS;
}

/* Whether a full window must leave chunks to the program, which isn't to wait for an acknowledgement. */
static bool needs_spares(const trove_stream *stream) {
    bool drops = stream->direction == TROVE_DIRECTION_UPLOAD && stream->backpressure == TROVE_BACKPRESSURE_DROP;
    return drops || buffers(stream);
}

/* Fewer are of no use. */
static uint32_t chunks_least(const trove_stream *stream) {
    return needs_spares(stream) ? spare_chunks(stream) + 1 : 1;
}

/* Chunks that the window may hold where there are so many. */
static uint32_t window_chunks(const trove_stream *stream, size_t chunk_count) {
    size_t wanted = (size_t)stream->channel_chunks + spare_chunks(stream);
    if (!needs_spares(stream) || chunk_count >= wanted)
        return stream->channel_chunks;
    return (uint32_t)chunk_count - spare_chunks(stream);
}

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
    bool upload = request->direction == TROVE_DIRECTION_UPLOAD;
    stream->entry.kind = TVC_ENTRY_STREAM;
    stream->flow.ops = upload ? &tvc_upload_flow : &tvc_download_flow;
    stream->client = client;
    stream->direction = request->direction;
    stream->size = request->options.size;
    stream->own_bytes = request->own_bytes;
    stream->lossy = request->options.lossy;
    stream->backpressure = request->options.backpressure;
    stream->start_paused = request->paused;
    stream->member.pool = request->options.client_pool;
    if (!upload) {
        stream->download.range_offset = request->options.range_offset;
        stream->download.range_length = request->options.range_length;
        stream->download.target = request->target;
        stream->download.capacity = request->capacity;
    }
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

static trove_status no_memory(const trove_stream *stream, uint64_t chunk_bytes, trove_error *error) {
    uint32_t least = chunks_least(stream);
    return TV_FAIL(error, RESOURCE_EXHAUSTED,
                   "%s/%.200s: no memory for %u chunk%s of %llu bytes within the client's memory_bytes of %llu; release other "
                   "streams, use smaller chunks or raise memory_bytes",
                   stream->bucket, stream->key, least, least == 1 ? "" : "s", (unsigned long long)chunk_bytes,
                   (unsigned long long)stream->client->memory_bytes);
}

/* A chunk pool that an earlier stream has left, if it fits what is asked for. */
static bool take_left_chunks(trove_stream *stream, uint64_t chunk_bytes, size_t count) {
    struct trove_client *client = stream->client;
    pthread_mutex_lock(&client->lock);
    struct tvc_chunks *chunks = tvc_chunk_cache_take(&client->cache, chunk_bytes, count);
    stream->chunks = chunks;
    pthread_mutex_unlock(&client->lock);
    if (chunks != NULL)
        stream->memory_claimed = tvc_chunks_bytes(chunks);
    return chunks != NULL;
}

/* Before the server has said what it agrees to: for what was asked for, or for the usual. Where memory is short, a download asks
 * for fewer chunks at once; an upload just never fills its window. */
static trove_status claim_memory(trove_stream *stream, Trove__V1__Open *open, trove_error *error) {
    const struct tvc_limits *limits = &stream->client->limits;
    if (open->chunk_bytes == 0)
        open->chunk_bytes = stream->limit.chunk_bytes;
    if (open->chunk_bytes > limits->chunk_bytes_max)
        return TV_FAIL(error, INVALID_ARGUMENT, "%s/%.200s: chunks of %llu bytes; this server takes at most %llu", stream->bucket,
                       stream->key, (unsigned long long)open->chunk_bytes, (unsigned long long)limits->chunk_bytes_max);
    bool adaptive = stream->backpressure == TROVE_BACKPRESSURE_ADAPTIVE;
    uint64_t usual_bytes = TV_CHUNK_BYTES_DEFAULT * (adaptive ? TV_ADAPTIVE_CHUNK_FACTOR : 1);
    uint64_t chunk_bytes = open->chunk_bytes != 0 ? open->chunk_bytes : usual_bytes;
    uint64_t usual_chunks = adaptive ? TV_CHANNEL_CHUNKS_DEFAULT / TV_ADAPTIVE_CHANNEL_FACTOR : TV_CHANNEL_CHUNKS_DEFAULT;
    uint64_t channel_chunks = open->channel_chunks != 0 ? open->channel_chunks : usual_chunks;
    uint64_t count = channel_chunks + spare_chunks(stream);
    bool download = stream->direction == TROVE_DIRECTION_DOWNLOAD;
    if (!stream->own_bytes && !take_left_chunks(stream, chunk_bytes, count)) {
        stream->memory_claimed = tvc_client_memory_claim(stream->client, count * chunk_bytes, chunks_least(stream) * chunk_bytes);
        if (stream->memory_claimed == 0)
            return no_memory(stream, chunk_bytes, error);
        if (download && stream->memory_claimed < count * chunk_bytes) {
            open->chunk_bytes = chunk_bytes;
            open->channel_chunks = (uint32_t)(stream->memory_claimed / chunk_bytes);
            channel_chunks = open->channel_chunks;
        }
    }
    if (download)
        open->credit = stream->download.window_bytes =
            tvc_stream_limited(&stream->limit) ? 0 : channel_chunks * chunk_bytes; /* limited: as it may move */
    else
        open->demand = stream->upload.demand_bytes = channel_chunks * chunk_bytes;
    return TROVE_OK;
}

/* Now that chunk size and number are known: claims what is missing, returns what is too much. *count chunks are there to be
 * had. */
static trove_status settle_memory(trove_stream *stream, size_t *count, trove_error *error) {
    size_t wanted = (size_t)stream->channel_chunks + spare_chunks(stream);
    *count = wanted;
    if (stream->own_bytes)
        return TROVE_OK;
    uint64_t bytes = wanted * stream->chunk_bytes;
    uint64_t have = stream->memory_claimed;
    uint64_t least = chunks_least(stream) * stream->chunk_bytes;
    if (have < bytes)
        stream->memory_claimed += tvc_client_memory_claim(stream->client, bytes - have, have < least ? least - have : 0);
    if (stream->memory_claimed < least)
        return no_memory(stream, stream->chunk_bytes, error);
    uint64_t fitting = stream->memory_claimed / stream->chunk_bytes;
    if (fitting < wanted)
        *count = (size_t)fitting;
    uint64_t surplus = stream->memory_claimed - *count * stream->chunk_bytes;
    stream->memory_claimed -= surplus;
    tvc_client_memory_return(stream->client, surplus);
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

/* What is made without the lock, before anyone else sees it. */
struct prepared {
    struct tvc_chunks *chunks;
    trove_object_info *object;
    size_t chunk_count;
};

static void drop_prepared(struct prepared *prepared) {
    tvc_chunks_destroy(prepared->chunks);
    trove_object_info_free(prepared->object);
}

/* Whether the chunk pool that was taken from an earlier stream is what the server has agreed to; else it goes. */
static bool keep_left_chunks(trove_stream *stream) {
    struct tvc_chunks *left = stream->chunks;
    size_t wanted = (size_t)stream->channel_chunks + spare_chunks(stream);
    if (left == NULL || (left->chunk_bytes == stream->chunk_bytes && left->count >= wanted))
        return left != NULL;
    pthread_mutex_lock(&stream->client->lock);
    stream->chunks = NULL;
    stream->client->buffers_gone += tvc_chunks_created(left);
    pthread_mutex_unlock(&stream->client->lock);
    tvc_chunks_destroy(left);
    return false;
}

static trove_status make_chunks(trove_stream *stream, struct prepared *prepared, trove_error *error) {
    if (keep_left_chunks(stream)) {
        prepared->chunk_count = stream->chunks->count;
        return TROVE_OK;
    }
    trove_status status = settle_memory(stream, &prepared->chunk_count, error);
    if (status != TROVE_OK)
        return status;
    return tvc_chunks_create(stream->chunk_bytes, prepared->chunk_count, !stream->own_bytes, &prepared->chunks, error);
}

static trove_status prepare(trove_stream *stream, const Trove__V1__Opened *opened, struct prepared *prepared,
                            trove_error *error) {
    trove_status status = check_opened(stream, opened, error);
    if (status != TROVE_OK)
        return status;
    stream->stream_id = opened->stream_id;
    stream->chunk_bytes = opened->chunk_bytes;
    stream->channel_chunks = opened->channel_chunks;
    status = make_chunks(stream, prepared, error);
    if (status == TROVE_OK && stream->direction == TROVE_DIRECTION_DOWNLOAD)
        status = tvc_object_info_create_with_gaps(opened->object, opened->gaps, opened->n_gaps, stream->bucket, stream->key,
                                                  &prepared->object, error);
    return status;
}

static trove_status install_upload(trove_stream *stream, const Trove__V1__Opened *opened, size_t chunk_count,
                                   trove_error *error) {
    struct tvc_upload *upload = &stream->upload;
    trove_status status = tv_sender_init(&upload->sender, window_chunks(stream, chunk_count), 0, error);
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

static trove_status install_download(trove_stream *stream, const Trove__V1__Opened *opened, const struct prepared *prepared,
                                     trove_error *error) {
    struct tvc_download *download = &stream->download;
    const trove_object_info *object = prepared->object;
    uint64_t left = object->size > download->range_offset ? object->size - download->range_offset : 0;
    stream->size = download->range_length < left ? download->range_length : left;
    if (stream->own_bytes && stream->size > download->capacity)
        return TV_FAIL(error, OUT_OF_RANGE, "%s/%.200s: %llu bytes don't fit into %zu", stream->bucket, stream->key,
                       (unsigned long long)stream->size, download->capacity);
    download->check_etag = stream->size == object->size && object->etag[0] != '\0' && !opened->object->has_gaps;
    tv_receiver_init(&download->receiver, download->range_offset, stream->chunk_bytes, stream->client->limits.payload_bytes_max);
    tv_receiver_grant(&download->receiver, download->window_bytes);
    size_t chunks = prepared->chunk_count < stream->channel_chunks ? prepared->chunk_count : stream->channel_chunks;
    uint64_t window_bytes = chunks * stream->chunk_bytes;
    if (window_bytes > download->window_bytes)
        download->credit_due = window_bytes - download->window_bytes;
    if (!stream->lossy) { /* else the sooner the server knows, the less it drops */
        download->tell_bytes = window_bytes / TELL_PART;
        download->tell_chunks = chunks / TELL_PART;
    }
    return TROVE_OK;
}

/* Under the lock. */
static trove_status install(trove_stream *stream, const Trove__V1__Opened *opened, struct prepared *prepared,
                            trove_error *error) {
    trove_status status = tvc_stream_hooks_size(stream, stream->channel_chunks, error);
    if (status == TROVE_OK && stream->direction == TROVE_DIRECTION_UPLOAD)
        status = install_upload(stream, opened, prepared->chunk_count, error);
    else if (status == TROVE_OK)
        status = install_download(stream, opened, prepared, error);
    if (status != TROVE_OK)
        return status;
    if (prepared->chunks != NULL)
        stream->chunks = prepared->chunks;
    stream->object = prepared->object;
    *prepared = (struct prepared){0};
    stream->opened = true;
    if (!stream->start_paused)
        (void)tvc_stream_move(stream, TV_EVENT_START, NULL);
    pthread_cond_broadcast(&stream->changed);
    return TROVE_OK;
}

void tvc_stream_opened(trove_stream *stream, const Trove__V1__Opened *opened) {
    struct trove_client *client = stream->client;
    struct prepared prepared = {0};
    trove_error error = {TROVE_OK, ""};
    trove_status status = prepare(stream, opened, &prepared, &error);
    bool credit_due = false;
    if (status == TROVE_OK) {
        pthread_mutex_lock(&client->lock);
        if (!tv_stream_state_terminal(stream->state))
            status = install(stream, opened, &prepared, &error);
        credit_due = stream->direction == TROVE_DIRECTION_DOWNLOAD && stream->download.credit_due > 0;
        pthread_mutex_unlock(&client->lock);
    }
    drop_prepared(&prepared);
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
    trove_status status = claim_memory(stream, &open, error);
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
    while (!stream->opened && !tv_stream_state_terminal(stream->state) && in_time)
        in_time = tvc_stream_wait(stream, deadline_ns);
    if (!stream->opened && !tv_stream_state_terminal(stream->state)) {
        trove_error why;
        status = tvc_stream_late(stream, "the server has not opened the stream", &why);
        tv_error_copy(error, &why);
        tvc_stream_end(stream, TV_EVENT_CANCEL, &why);
        late = true;
    } else if (!stream->opened) {
        status = tvc_stream_over(stream, error);
    }
    pthread_mutex_unlock(&client->lock);
    if (late)
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

static trove_status open_stream(trove_client *client, const struct tvc_stream_request *request, uint64_t deadline_ns,
                                trove_stream **stream_out, trove_error *error) {
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
        status = send_open(stream, request, error);
    if (status == TROVE_OK)
        status = wait_for_opened(stream, add_acquire(deadline_ns, request->options.acquire_timeout_ms), error);
    if (status != TROVE_OK) {
        discard(stream);
        return status;
    }
    *stream_out = stream;
    return TROVE_OK;
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
        status = open_stream(client, request, deadline_ns, &stream, error);
        if (status == TROVE_OK)
            status = tvc_pool_join(stream, error);
        if (status != TROVE_OK) {
            trove_stream_release(stream);
            tvc_pool_leave(pool);
        }
    }
    tvc_pool_release(pool);
    if (status == TROVE_OK)
        *stream_out = stream;
    return status;
}

trove_status tvc_stream_open(trove_client *client, const struct tvc_stream_request *request, uint64_t deadline_ns,
                             trove_stream **stream_out, trove_error *error) {
    bool member = request->options.client_pool != NULL;
    return (member ? open_member : open_stream)(client, request, deadline_ns, stream_out, error);
}
