/* pool_limits.c - see pool_limits.h. Pure. */
#include "pool_limits.h"

#include "units.h"

#include <string.h>

void tvs_pool_limits_init(struct tvs_pool_limits *limits) {
    *limits = (struct tvs_pool_limits){
        .streams_max = TV_STREAMS_PER_CONN_MAX,
        .chunk_bytes = TV_CHUNK_BYTES_DEFAULT,
        .channel_chunks = TV_CHANNEL_CHUNKS_DEFAULT,
        .idle_timeout_ms = 300000,
        .paused_timeout_ms = 3600000,
        .grant_expiry_ms = 5000,
    };
}

bool tvs_pool_name_valid(const char *name) {
    size_t bytes = strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_-");
    return bytes > 0 && bytes < TVS_POOL_NAME_BYTES && name[bytes] == '\0';
}

uint64_t tvs_pool_own_bytes(const struct tvs_pool_limits *limits) {
    uint64_t bytes = limits->memory_bytes;
    if (limits->buffers_max > 0) {
        uint64_t buffers = limits->buffers_max * limits->chunk_bytes; /* 32 bits times 64 MiB */
        if (bytes == 0 || buffers < bytes)
            bytes = buffers;
    }
    return bytes == 0 || bytes > TVS_POOL_MEMORY_BYTES_MIN ? bytes : TVS_POOL_MEMORY_BYTES_MIN;
}

trove_status tvs_pool_config_check(const struct tvs_pool_config *pool, uint64_t server_bytes, trove_error *error) {
    const struct tvs_pool_limits *limits = &pool->limits;
    uint64_t own_bytes = tvs_pool_own_bytes(limits);
    uint64_t bytes = own_bytes > 0 ? own_bytes : server_bytes;
    if (own_bytes > TVS_POOL_MEMORY_BYTES_MAX)
        return TV_FAIL(error, INVALID_ARGUMENT, "pool \"%s\": its buffers (%u) would be more than 1024GiB of memory", pool->name,
                       limits->buffers_max);
    if (limits->chunk_bytes <= bytes / 4)
        return TROVE_OK;
    char chunk[32];
    char memory[32];
    tvs_format_bytes(limits->chunk_bytes, chunk);
    tvs_format_bytes(bytes, memory);
    return TV_FAIL(error, INVALID_ARGUMENT,
                   "pool \"%s\": its chunk_size is %s and doesn't fit into a quarter of %s, %s; raise the latter", pool->name,
                   chunk, own_bytes > 0 ? "its own memory" : "`memory`", memory);
}
