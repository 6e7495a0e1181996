/* data.c - see data.h. Any thread. */
#include "data.h"

#include "status.h"
#include "xxh3.h"

#include <endian.h>
#include <sodium.h>
#include <string.h>

uint64_t tv_hash(const void *memory, size_t bytes) {
    return XXH3_64bits(memory, bytes);
}

uint64_t tv_hash_seeded(const void *memory, size_t bytes, uint64_t seed) {
    return XXH3_64bits_withSeed(memory, bytes, seed);
}

uint32_t tv_data_piece_count(uint64_t offset, uint64_t bytes) {
    if (bytes == 0)
        return 0;
    return (uint32_t)((offset + bytes - 1) / TV_BLOCK_BYTES - offset / TV_BLOCK_BYTES + 1);
}

struct cursor {
    const struct iovec *iov;
    size_t used; /* of *iov */
};

/* The hash of the next `bytes`: in one go where they lie together, else through a streaming state. */
static uint64_t hash_next(struct cursor *at, uint64_t bytes) {
    while (at->used == at->iov->iov_len) {
        at->iov++;
        at->used = 0;
    }
    if (at->iov->iov_len - at->used >= bytes) {
        uint64_t sum = XXH3_64bits((const char *)at->iov->iov_base + at->used, bytes);
        at->used += bytes;
        return sum;
    }
    XXH3_state_t state;
    XXH3_64bits_reset(&state);
    while (bytes > 0) {
        size_t here = at->iov->iov_len - at->used;
        if (here > bytes)
            here = bytes;
        XXH3_64bits_update(&state, (const char *)at->iov->iov_base + at->used, here);
        bytes -= here;
        at->used += here;
        if (at->used == at->iov->iov_len && bytes > 0) {
            at->iov++;
            at->used = 0;
        }
    }
    return XXH3_64bits_digest(&state);
}

void tv_data_hash(struct tv_data *data) {
    uint64_t end = data->offset + data->bytes;
    struct cursor at = {.iov = data->iov};
    data->piece_count = 0;
    for (uint64_t offset = data->offset, next; offset < end; offset = next) {
        next = tv_piece_end(offset, end);
        TV_ASSERT(data->piece_count < TV_DATA_PIECES_MAX);
        data->piece_sums[data->piece_count++] = hash_next(&at, next - offset);
    }
}

_Static_assert(sizeof(XXH3_state_t) <= sizeof(struct tv_etag_hash), "its state fits");

static XXH3_state_t *state_of(struct tv_etag_hash *hash) {
    return (XXH3_state_t *)(void *)hash->state;
}

void tv_etag_begin(struct tv_etag_hash *hash, uint64_t object_bytes) {
    uint64_t size_le = htole64(object_bytes);
    XXH3_128bits_reset(state_of(hash));
    XXH3_128bits_update(state_of(hash), &size_le, sizeof size_le);
}

void tv_etag_add(struct tv_etag_hash *hash, const uint64_t *block_sums, size_t count) {
#if __BYTE_ORDER == __LITTLE_ENDIAN
    if (count > 0)
        XXH3_128bits_update(state_of(hash), block_sums, count * sizeof *block_sums);
#else
    for (size_t i = 0; i < count; i++) {
        uint64_t sum_le = htole64(block_sums[i]);
        XXH3_128bits_update(state_of(hash), &sum_le, sizeof sum_le);
    }
#endif
}

void tv_etag_end(struct tv_etag_hash *hash, char etag[33]) {
    XXH128_canonical_t digest;
    XXH128_canonicalFromHash(&digest, XXH3_128bits_digest(state_of(hash)));
    sodium_bin2hex(etag, 33, digest.digest, sizeof digest.digest);
}

void tv_etag(uint64_t object_bytes, const uint64_t *block_sums, size_t block_count, char etag[33]) {
    struct tv_etag_hash hash;
    tv_etag_begin(&hash, object_bytes);
    tv_etag_add(&hash, block_sums, block_count);
    tv_etag_end(&hash, etag);
}
