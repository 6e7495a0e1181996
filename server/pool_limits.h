/* pool_limits.h - what an operator may say about a stream pool: its name and its limits. Pure; any thread. */
#ifndef TVS_POOL_LIMITS_H
#define TVS_POOL_LIMITS_H

#include "bounds.h"
#include "status.h"

#include <stdint.h>

#define TVS_POOL_NAME_BYTES   64 /* a NUL included */
#define TVS_POOL_NAME_DEFAULT "default"
/* Pools that a config may have, the default one included. */
#define TVS_POOLS_MAX 32
/* A pool with memory of its own has at least so much: a few of the segments that memory comes in. */
#define TVS_POOL_MEMORY_BYTES_MIN (4 * TV_SEGMENT_BYTES)
#define TVS_POOL_MEMORY_BYTES_MAX (1024 * TV_GIB)
/* With fewer chunk buffers one chunk would be more than a quarter of the pool's memory. */
#define TVS_POOL_BUFFERS_MIN 4

/* A limit of bytes a second that somebody gives: of a pool, a key or a user. */
#define TVS_BANDWIDTH_MIN (1 * TV_KIB)
#define TVS_BANDWIDTH_MAX (1024 * TV_GIB)

struct tvs_pool_limits {
    uint32_t streams_max;       /* open at once; further ones wait for their turn */
    uint64_t bandwidth;         /* bytes a second, both directions together; 0: no limit */
    uint64_t chunk_bytes;       /* of streams that don't say */
    uint32_t channel_chunks;    /* likewise */
    uint64_t memory_bytes;      /* of its own, beside the server's; 0: it shares the server's (unless buffers_max is given) */
    uint32_t buffers_max;       /* chunk buffers at once: its own memory is at most so many times chunk_bytes; 0: no such limit */
    uint32_t stream_timeout_ms; /* a stream's whole life, from its turn on; 0: no limit */
    uint32_t idle_timeout_ms;   /* an active stream without any progress fails after this */
    uint64_t rate_min;          /* an active stream that moves fewer bytes a second for idle_timeout_ms fails; 0: no limit */
    uint32_t paused_timeout_ms; /* one that is paused, or was never started, after this; 0: no limit */
    trove_backpressure backpressure; /* of streams that say nothing; DROP: of lossy ones, the others block */
    uint32_t grant_expiry_ms;        /* credit that a sender doesn't use may be taken back after this */
};

struct tvs_pool_config {
    char name[TVS_POOL_NAME_BYTES];
    struct tvs_pool_limits limits;
};

void tvs_pool_limits_init(struct tvs_pool_limits *limits);

/* 1 to 63 of a-z 0-9 _ and -. */
bool tvs_pool_name_valid(const char *name);

/* Memory of its own that a pool gets; 0: it shares the server's. */
uint64_t tvs_pool_own_bytes(const struct tvs_pool_limits *limits);

/* That a pool's chunks fit into a quarter of its memory, which for one that shares is `server_bytes`: a larger chunk would wait
 * for memory for ever, and all others behind it. INVALID_ARGUMENT, naming the pool and both sizes. */
trove_status tvs_pool_config_check(const struct tvs_pool_config *pool, uint64_t server_bytes, trove_error *error);

#endif
