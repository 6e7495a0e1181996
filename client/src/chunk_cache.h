/* chunk_cache.h - chunk pools that streams have left behind, for the next ones: their memory is mapped and warm.
 *
 * A stream for each of many small files would otherwise spend a third of its time in page faults. What is kept stays claimed of
 * the client's memory, is at most a quarter of it, makes way for streams that need it, and is freed after TVC_CACHE_IDLE_NS. The
 * client's lock protects it; pools that are taken out to be freed are chained, and freed without the lock.
 */
#ifndef TVC_CHUNK_CACHE_H
#define TVC_CHUNK_CACHE_H

#include "chunks.h"

#define TVC_CACHE_IDLE_NS UINT64_C(10000000000)

struct tvc_chunk_cache {
    struct tvc_chunks *first; /* last used first */
    uint64_t bytes;
};

/* A pool of chunks of this size, at least `count` of them; NULL where there is none. Its memory stays claimed, by the caller
 * now. */
struct tvc_chunks *tvc_chunk_cache_take(struct tvc_chunk_cache *cache, uint64_t chunk_bytes, size_t count);
/* Keeps a pool of which no chunk is out, with its claim. False: it is still the caller's. */
bool tvc_chunk_cache_give(struct tvc_chunk_cache *cache, struct tvc_chunks *chunks, uint64_t memory_bytes, uint64_t now_ns);
/* Takes out what was given before `before_ns`; the caller frees it by tvc_chunk_cache_free. *bytes tells what it was. */
struct tvc_chunks *tvc_chunk_cache_evict(struct tvc_chunk_cache *cache, uint64_t before_ns, uint64_t *bytes);
void tvc_chunk_cache_free(struct tvc_chunks *evicted);
/* Blocks ever touched, of all that is kept or in a chain of evicted pools. */
uint64_t tvc_chunk_cache_created(const struct tvc_chunks *first);

#endif
