/* block_sums.c - see block_sums.h. */
#include "block_sums.h"

#include "xxh3.h"

#include <stdlib.h>

#define CAPACITY_AT_FIRST 64

void tvc_block_sums_fini(struct tvc_block_sums *sums) {
    free(sums->sums);
    XXH3_freeState(sums->hash);
    *sums = (struct tvc_block_sums){.abandoned = true};
}

static void append(struct tvc_block_sums *sums, uint64_t sum) {
    if (sums->count == sums->capacity) {
        size_t capacity = sums->capacity == 0 ? CAPACITY_AT_FIRST : sums->capacity * 2;
        uint64_t *larger = capacity > TVC_BLOCK_SUMS_MAX ? NULL : realloc(sums->sums, capacity * sizeof *larger);
        if (larger == NULL) {
            sums->abandoned = true;
            return;
        }
        sums->sums = larger;
        sums->capacity = capacity;
    }
    sums->sums[sums->count++] = sum;
}

/* A piece of a block; `at` is its place in the block. */
static void add_part(struct tvc_block_sums *sums, uint64_t at, const void *memory, uint64_t bytes) {
    if (sums->hash == NULL)
        sums->hash = XXH3_createState();
    if (sums->hash == NULL) {
        sums->abandoned = true;
        return;
    }
    if (at == 0)
        XXH3_64bits_reset(sums->hash);
    XXH3_64bits_update(sums->hash, memory, bytes);
    if (at + bytes == TV_BLOCK_BYTES)
        append(sums, XXH3_64bits_digest(sums->hash));
}

void tvc_block_sums_add(struct tvc_block_sums *sums, const void *memory, uint64_t bytes, const uint64_t *piece_sums) {
    const char *from = memory;
    for (size_t i = 0; bytes > 0 && !sums->abandoned; i++) {
        uint64_t at = sums->bytes % TV_BLOCK_BYTES;
        uint64_t piece = TV_BLOCK_BYTES - at < bytes ? TV_BLOCK_BYTES - at : bytes;
        if (piece == TV_BLOCK_BYTES)
            append(sums, piece_sums[i]);
        else
            add_part(sums, at, from, piece);
        sums->bytes += piece;
        from += piece;
        bytes -= piece;
    }
}

bool tvc_block_sums_etag(struct tvc_block_sums *sums, char etag[33]) {
    if (!sums->abandoned && sums->bytes % TV_BLOCK_BYTES != 0)
        append(sums, XXH3_64bits_digest(sums->hash));
    if (sums->abandoned)
        return false;
    tv_etag(sums->bytes, sums->sums, sums->count, etag);
    return true;
}
