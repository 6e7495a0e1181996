/* trove_pools.h - pools of streams: a client's own, and the server's, with the streams that are open there. Comes with trove.h,
 * whose first comment is true of this as well.
 */
#ifndef TROVE_POOLS_H
#define TROVE_POOLS_H

#include "trove.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- pools ---------------------------------------------------------------------------------------------------------------- */

/* A pool of a client manages streams that share limits: how many there are at once, how fast they are together, how long one may
 * take. (The server has pools of its own, for all its clients; see trove_pool_options.server_pool.)
 * All functions may be called from any thread. A pool belongs to a client and must be closed by trove_pool_close, before or after
 * trove_close, which ends its streams and its waiting acquires. */

#define TROVE_POOL_STREAMS_MAX 16384
#define TROVE_POOLS_MAX        256 /* of one client */

typedef struct trove_pool_options {
    size_t struct_bytes;
    uint32_t max_streams;      /* at once, 1 to TROVE_POOL_STREAMS_MAX; default 8 */
    uint64_t bytes_per_second; /* of all its streams together, in both directions, in equal shares; 0: no limit */
    uint64_t chunk_bytes;      /* of streams whose options don't say; 0: as without a pool */
    uint32_t channel_chunks;   /* the same */
    /* Of streams that say TROVE_BACKPRESSURE_DEFAULT; DROP makes them lossy as well. Default TROVE_BACKPRESSURE_DEFAULT: of the
     * server's pool. */
    trove_backpressure backpressure;
    uint32_t stream_timeout_ms; /* a stream that takes longer fails with DEADLINE_EXCEEDED; 0: none */
    uint32_t idle_timeout_ms;   /* so does one of which no chunk came or went for so long; 0: none */
    const char *server_pool;    /* the server's pool, of streams that don't name one; NULL: the server's default */
} trove_pool_options;

TROVE_API void trove_pool_options_init(trove_pool_options *options);

/* Makes a pool. `name` is for messages, 1 to 63 bytes. `options` may be NULL. On success *pool is the caller's, to be given back
 * by trove_pool_close. Doesn't wait. Both timeouts are held while a stream is paused.
 * Errors: INVALID_ARGUMENT, RESOURCE_EXHAUSTED (TROVE_POOLS_MAX, memory), UNAVAILABLE. */
TROVE_API TROVE_WARN_UNUSED trove_status trove_pool_create(trove_client *client, const char *name,
                                                           const trove_pool_options *options, trove_pool **pool,
                                                           trove_error *error);

/* Opens a stream of the pool, idle, as trove_stream_open does. While the pool has all the streams that it may have, it waits
 * until one is released, first come first served. `timeout_ms` is for that and for the opening together (that of the options
 * isn't read).
 * Errors besides those of trove_stream_open: DEADLINE_EXCEEDED (the pool was full all the time), UNAVAILABLE (it is being
 * closed), RESOURCE_EXHAUSTED (it is full, and a hook can't wait). */
TROVE_API TROVE_WARN_UNUSED trove_status trove_pool_acquire(trove_pool *pool, const char *bucket, const char *key,
                                                            trove_direction direction, const trove_stream_options *options,
                                                            uint32_t timeout_ms, trove_stream **stream, trove_error *error);

/* Releases a stream of the pool, as trove_stream_release does (which will do as well), and lets in who waits longest. May come
 * after trove_pool_close. NULL is allowed for the stream. */
TROVE_API void trove_pool_release(trove_pool *pool, trove_stream *stream);

/* Streams that were acquired and not released yet, those that are being opened included. */
TROVE_API uint32_t trove_pool_active_count(const trove_pool *pool);

/* What the pool does and has done: sums over all streams that it ever had. The names are those of trove_stream_metrics. */
typedef struct trove_pool_metrics {
    uint32_t max_streams;
    uint32_t active_streams;   /* trove_pool_active_count */
    uint32_t waiting_acquires; /* threads that wait for a stream now */
    uint64_t total_streams;    /* acquired so far */
    uint64_t completed_streams;
    uint64_t failed_streams;
    uint64_t cancelled_streams;
    uint64_t total_bytes; /* acknowledged (uploads) and received (downloads) */
    uint64_t total_chunks;
    double bytes_per_second; /* rolling average */
    uint64_t latency_p50_ns;
    uint64_t latency_p90_ns;
    uint64_t latency_p99_ns;
    uint64_t chunks_resent;
    uint64_t bytes_dropped;
    uint64_t chunks_dropped;
    uint64_t bytes_spilled;
    uint64_t chunks_spilled;
    uint64_t bytes_waiting; /* queued and in flight now */
    uint64_t bytes_abandoned;
    uint64_t chunks_abandoned;
} trove_pool_metrics;

TROVE_API void trove_pool_snapshot(const trove_pool *pool, trove_pool_metrics *metrics);

/* Calls `visit` for each active stream, in the order they were acquired, until it returns false. No lock is held meanwhile, and
 * the stream stays valid during the call: it may be observed and controlled, but not released, read or written, which is up to
 * whoever has acquired it. Streams that are acquired meanwhile aren't visited. */
typedef bool (*trove_pool_visit_fn)(void *context, trove_stream *stream);
TROVE_API void trove_pool_walk(trove_pool *pool, trove_pool_visit_fn visit, void *context);

/* The active stream that trove_stream_id tells as `stream_id`; NULL: none. It remains that of whoever has acquired it, but stays
 * valid, also when they release it meanwhile (then it has ended), until it is given back. What may be done with it: see
 * trove_pool_walk. (Not get and put, which are for chunks and make them the caller's.) Doesn't wait. NULL may be given back. */
TROVE_API trove_stream *trove_pool_borrow(trove_pool *pool, uint64_t stream_id);
TROVE_API void trove_pool_give_back(trove_pool *pool, trove_stream *stream);

/* Closes the pool and gives it back. Acquires that wait, and new ones, fail with UNAVAILABLE. Waits up to `drain_ms` for the
 * streams to end, then cancels those that haven't; returns how many these were. (From a hook it cancels at once: other hooks
 * can't run.) One that is still being opened then is cancelled as soon as it is open, and doesn't count. Who has a stream must
 * still release it: trove_pool_release and trove_pool_give_back of streams are all that may come after.
 * NULL is allowed. */
TROVE_API uint32_t trove_pool_close(trove_pool *pool, uint32_t drain_ms);

/* ---- the server's pools and streams --------------------------------------------------------------------------------------- */

/* A stream pool of the server, with what all its streams, of all clients, have done. Latency is a chunk's: of an upload from its
 * arrival until the store has it, of a download from when it was read until it is acknowledged. Pools without memory of their own
 * share the server's, and each shows it. */
typedef struct trove_server_pool {
    char name[64];
    bool closing; /* takes no new streams */
    uint32_t streams_active;
    uint32_t streams_max;
    uint32_t acquires_waiting; /* for a place */
    uint32_t channel_chunks;   /* of streams that don't say, as chunk_bytes */
    uint64_t chunk_bytes;
    uint32_t buffers_max; /* 0: as many as the memory has room for */
    uint64_t memory_budget_bytes;
    uint64_t memory_in_use_bytes;
    uint64_t memory_high_water_bytes;
    uint64_t buffers_allocated; /* segments of memory taken, ever */
    uint64_t buffers_released;
    uint64_t stream_timeout_ms; /* 0: none, as of the others */
    uint64_t idle_timeout_ms;
    uint64_t paused_timeout_ms;
    uint64_t bandwidth_bytes_per_second; /* its limit; 0: none */
    double bytes_per_second;             /* rolling average, both directions */
    uint64_t total_bytes;                /* acknowledged, ever; small objects in one flight included */
    uint64_t total_chunks;
    uint64_t total_streams;
    uint64_t failed_streams;
    uint64_t cancelled_streams;
    uint64_t latency_p50_ns;
    uint64_t latency_p90_ns;
    uint64_t latency_p99_ns;
    uint64_t retries;       /* chunks that were sent again */
    uint64_t drops;         /* chunks that lossy streams lost */
    uint64_t spills;        /* chunks that went through an overflow */
    uint64_t waiting_bytes; /* of chunks that are not acknowledged yet */
} trove_server_pool;

/* All pools, the default one first. On success *pools is one block, for the caller to release with
 * trove_server_pool_list_free. Errors: PERMISSION_DENIED (it needs the right `admin` on the whole server). */
TROVE_API TROVE_WARN_UNUSED trove_status trove_server_pool_list(trove_client *client, uint32_t timeout_ms,
                                                                trove_server_pool **pools, size_t *count, trove_error *error);
TROVE_API void trove_server_pool_list_free(trove_server_pool *pools);

/* A stream as its server sees it, of this client or of another. */
typedef struct trove_server_stream {
    uint64_t stream_id; /* of this server: one that comes after it has no stream with this id, all but certainly */
    trove_direction direction;
    trove_stream_state state;
    const char *bucket;
    const char *key;
    const char *pool;
    const char *principal; /* who opened it, such as "uid:1000" */
    uint64_t bytes;        /* acknowledged */
    uint64_t size;         /* TROVE_SIZE_UNKNOWN where it isn't known */
    uint64_t chunks;
    uint64_t offset;         /* next byte of the object to be received or sent */
    uint64_t started_ns;     /* since the epoch, UTC */
    double bytes_per_second; /* rolling average */
    uint64_t latency_p50_ns;
    uint64_t latency_p90_ns;
    uint64_t latency_p99_ns;
    uint64_t retries;
    uint64_t drops;
    uint64_t spills;
    uint64_t waiting_bytes;
    uint32_t acquire_place; /* waits for its pool: its place in the queue, from 1 on; 0: it has got it */
} trove_server_stream;

typedef struct trove_server_stream_options {
    size_t struct_bytes;
    const char *pool;         /* only of this pool; NULL: of all */
    uint64_t after_stream_id; /* the last one of the page before; 0: from the beginning */
    uint32_t limit;           /* streams a page, 1 to 1,000; 0 is 1,000. A page may hold fewer and still not be the last */
    uint32_t timeout_ms;
} trove_server_stream_options;

TROVE_API void trove_server_stream_options_init(trove_server_stream_options *options);

typedef struct trove_server_stream_page {
    const trove_server_stream *streams; /* in the order of their ids */
    size_t count;
    bool more; /* behind the last one */
} trove_server_stream_page;

/* One page of the streams that are open, or wait for their pool: one's own, and those of others where one has the right `admin`.
 * `options` may be NULL. Release with trove_server_stream_page_free.
 * Errors: NOT_FOUND (pool), INVALID_ARGUMENT. */
TROVE_API TROVE_WARN_UNUSED trove_status trove_server_stream_list(trove_client *client,
                                                                  const trove_server_stream_options *options,
                                                                  trove_server_stream_page **page, trove_error *error);
TROVE_API void trove_server_stream_page_free(trove_server_stream_page *page);

/* Pauses, resumes or cancels a stream of the server, whose own client is told. *state is what that led to on the server; it may
 * be NULL. Errors: NOT_FOUND (also another's, without the right `admin`), FAILED_PRECONDITION (naming the state that it is in),
 * INVALID_ARGUMENT (any other control), RESOURCE_EXHAUSTED (the other client hasn't read what it was told before). */
TROVE_API TROVE_WARN_UNUSED trove_status trove_server_stream_control(trove_client *client, uint64_t stream_id,
                                                                     trove_control control, uint32_t timeout_ms,
                                                                     trove_stream_state *state, trove_error *error);

/* Has a stream go on at another byte of its object: an upload at one up to what the server has received, and not below what is
 * durable; a download anywhere in its range. Its program is told by on_seek of trove_stream_hooks, which says what that needs. An
 * upload has gone there when this returns; a download goes there as soon as its client has answered. *state is the stream's; it
 * may be NULL.
 * Errors: NOT_FOUND and RESOURCE_EXHAUSTED as above (also: the last such seek isn't answered yet), FAILED_PRECONDITION (naming
 * the state; where an upload can't go; a two-way or lossy stream; a program that can't be moved; an upload of which everything
 * has come), OUT_OF_RANGE (a download). */
TROVE_API TROVE_WARN_UNUSED trove_status trove_server_stream_seek(trove_client *client, uint64_t stream_id, uint64_t offset,
                                                                  uint32_t timeout_ms, trove_stream_state *state,
                                                                  trove_error *error);

#ifdef __cplusplus
}
#endif

#endif
