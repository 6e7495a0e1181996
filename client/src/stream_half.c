/* stream_half.c - see stream_half.h. Opening happens on the program's thread and then on the receiving one, before anyone else
 * may use the stream.
 */
#include "stream_half.h"

#include "stream.h"

void tvc_half_init(struct tvc_half *half, trove_stream *stream, unsigned wants) {
    half->stream = stream;
    half->wants = wants;
    half->own_turn.owner = half->shared_turn.owner = half;
}

/* Fewer chunks are of no use. */
static uint32_t chunks_least(const struct tvc_half *half) {
    return half->needs_spares ? half->spare_chunks + 1 : 1;
}

static trove_status no_memory(const struct tvc_half *half, uint64_t chunk_bytes, trove_error *error) {
    const trove_stream *stream = half->stream;
    uint32_t least = chunks_least(half);
    return TV_FAIL(error, RESOURCE_EXHAUSTED,
                   "%s/%.200s: no memory for %u chunk%s of %llu bytes within the client's memory_bytes of %llu; release other "
                   "streams, use smaller chunks or raise memory_bytes",
                   stream->bucket, stream->key, least, least == 1 ? "" : "s", (unsigned long long)chunk_bytes,
                   (unsigned long long)stream->client->memory_bytes);
}

/* A chunk pool that an earlier stream has left, if it fits what is asked for. */
static bool take_left_chunks(struct tvc_half *half, uint64_t chunk_bytes, size_t count) {
    struct trove_client *client = half->stream->client;
    pthread_mutex_lock(&client->lock);
    struct tvc_chunks *chunks = tvc_chunk_cache_take(&client->cache, chunk_bytes, count);
    half->chunks = chunks;
    pthread_mutex_unlock(&client->lock);
    if (chunks != NULL)
        half->memory_claimed = tvc_chunks_cost(chunks);
    return chunks != NULL;
}

trove_status tvc_half_claim(struct tvc_half *half, uint64_t chunk_bytes, uint64_t channel_chunks, trove_error *error) {
    uint64_t count = channel_chunks + half->spare_chunks;
    uint64_t cost = tvc_chunk_cost(chunk_bytes);
    if (half->stream->own_bytes || take_left_chunks(half, chunk_bytes, count))
        return TROVE_OK;
    half->memory_claimed = tvc_client_memory_claim(half->stream->client, count * cost, chunks_least(half) * cost);
    return half->memory_claimed > 0 ? TROVE_OK : no_memory(half, chunk_bytes, error);
}

uint64_t tvc_half_fitting(const struct tvc_half *half, uint64_t chunk_bytes, uint64_t channel_chunks) {
    uint64_t fitting = half->stream->own_bytes ? channel_chunks : half->memory_claimed / tvc_chunk_cost(chunk_bytes);
    return fitting < channel_chunks ? fitting : channel_chunks;
}

static size_t chunks_wanted(const struct tvc_half *half) {
    return (size_t)half->stream->channel_chunks + half->spare_chunks;
}

/* Whether the chunk pool that was taken from an earlier stream is what the server has agreed to; else it goes. */
static bool keep_left_chunks(struct tvc_half *half) {
    struct trove_client *client = half->stream->client;
    struct tvc_chunks *left = half->chunks;
    if (left == NULL)
        return false;
    if (left->chunk_bytes == half->stream->chunk_bytes && left->count >= chunks_wanted(half)) {
        tvc_chunks_reset(left, chunks_wanted(half));
        return true;
    }
    pthread_mutex_lock(&client->lock);
    half->chunks = NULL;
    client->buffers_gone += tvc_chunks_created(left);
    pthread_mutex_unlock(&client->lock);
    tvc_chunks_destroy(left);
    return false;
}

/* Claims what is missing, returns what is too much. *count chunks are there to be had. */
static trove_status settle_memory(struct tvc_half *half, size_t *count, trove_error *error) {
    const trove_stream *stream = half->stream;
    size_t wanted = chunks_wanted(half);
    *count = wanted;
    if (stream->own_bytes)
        return TROVE_OK;
    uint64_t cost = tvc_chunk_cost(stream->chunk_bytes);
    uint64_t bytes = wanted * cost;
    uint64_t have = half->memory_claimed;
    uint64_t least = chunks_least(half) * cost;
    if (have < bytes)
        half->memory_claimed += tvc_client_memory_claim(stream->client, bytes - have, have < least ? least - have : 0);
    if (half->memory_claimed < least)
        return no_memory(half, stream->chunk_bytes, error);
    uint64_t fitting = half->memory_claimed / cost;
    if (fitting < wanted)
        *count = (size_t)fitting;
    uint64_t surplus = half->memory_claimed - *count * cost;
    half->memory_claimed -= surplus;
    tvc_client_memory_return(stream->client, surplus);
    return TROVE_OK;
}

trove_status tvc_half_make(struct tvc_half *half, trove_error *error) {
    const trove_stream *stream = half->stream;
    struct tvc_chunks *chunks = NULL;
    size_t count = 0;
    if (keep_left_chunks(half))
        return TROVE_OK;
    trove_status status = settle_memory(half, &count, error);
    if (status == TROVE_OK)
        status = tvc_chunks_create(stream->chunk_bytes, count, !stream->own_bytes, &chunks, error);
    if (status != TROVE_OK)
        return status;
    pthread_mutex_lock(&stream->client->lock);
    half->chunks = chunks;
    pthread_mutex_unlock(&stream->client->lock);
    return TROVE_OK;
}

void tvc_half_close(struct tvc_half *half) {
    struct trove_client *client = half->stream->client;
    pthread_mutex_lock(&client->lock);
    struct tvc_chunks *chunks = tvc_half_give_back(half);
    pthread_mutex_unlock(&client->lock);
    tvc_chunks_destroy(chunks);
}

struct tvc_chunks *tvc_half_give_back(struct tvc_half *half) {
    struct trove_client *client = half->stream->client;
    struct tvc_chunks *chunks = half->chunks;
    TV_ASSERT(!half->own_turn.waiting && !half->shared_turn.waiting);
    half->chunks = NULL;
    if (chunks != NULL && client->phase != TVC_LOST &&
        tvc_chunk_cache_give(&client->cache, chunks, client->memory_bytes, tv_now_ns())) {
        half->memory_claimed -= tvc_chunks_cost(chunks);
        chunks = NULL;
    } else if (chunks != NULL) {
        client->buffers_gone += tvc_chunks_created(chunks);
    }
    client->memory_used -= half->memory_claimed;
    half->memory_claimed = 0;
    return chunks;
}
