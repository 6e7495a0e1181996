/* chunk_cache.c - see chunk_cache.h. A list: there are few pools. */
#include "chunk_cache.h"

static void take_out(struct tvc_chunk_cache *cache, struct tvc_chunks **at) {
    struct tvc_chunks *chunks = *at;
    *at = chunks->next;
    chunks->next = NULL;
    cache->bytes -= tvc_chunks_cost(chunks);
}

struct tvc_chunks *tvc_chunk_cache_take(struct tvc_chunk_cache *cache, uint64_t chunk_bytes, size_t count) {
    for (struct tvc_chunks **at = &cache->first; *at != NULL; at = &(*at)->next) {
        struct tvc_chunks *chunks = *at;
        if (chunks->chunk_bytes != chunk_bytes || chunks->count < count)
            continue;
        take_out(cache, at);
        tvc_chunks_reset(chunks, count);
        return chunks;
    }
    return NULL;
}

bool tvc_chunk_cache_give(struct tvc_chunk_cache *cache, struct tvc_chunks *chunks, uint64_t memory_bytes, uint64_t now_ns) {
    uint64_t bytes = tvc_chunks_cost(chunks);
    if (chunks->blocks == NULL || cache->bytes + bytes > memory_bytes / 4)
        return false;
    chunks->idle_since_ns = now_ns;
    chunks->next = cache->first;
    cache->first = chunks;
    cache->bytes += bytes;
    return true;
}

struct tvc_chunks *tvc_chunk_cache_evict(struct tvc_chunk_cache *cache, uint64_t before_ns, uint64_t *bytes) {
    struct tvc_chunks *evicted = NULL;
    *bytes = 0;
    for (struct tvc_chunks **at = &cache->first; *at != NULL;) {
        struct tvc_chunks *chunks = *at;
        if (chunks->idle_since_ns >= before_ns) {
            at = &chunks->next;
            continue;
        }
        take_out(cache, at);
        *bytes += tvc_chunks_cost(chunks);
        chunks->next = evicted;
        evicted = chunks;
    }
    return evicted;
}

void tvc_chunk_cache_free(struct tvc_chunks *evicted) {
    while (evicted != NULL) {
        struct tvc_chunks *chunks = evicted;
        evicted = chunks->next;
        tvc_chunks_destroy(chunks);
    }
}

uint64_t tvc_chunk_cache_created(const struct tvc_chunks *first) {
    uint64_t created = 0;
    for (const struct tvc_chunks *chunks = first; chunks != NULL; chunks = chunks->next)
        created += tvc_chunks_created(chunks);
    return created;
}
