/* block_sums.c - see block_sums.h. */
#include "block_sums.h"

#include "object.h"
#include "xxh3.h"

#include <pthread.h>
#include <string.h>

static const char zeros[TV_BLOCK_BYTES];
static uint64_t zero_block_sum;
static pthread_once_t zero_block_once = PTHREAD_ONCE_INIT;

static void hash_zero_block(void) {
    zero_block_sum = tv_hash(zeros, sizeof zeros);
}

uint64_t tvs_zeros_sum(size_t bytes) {
    pthread_once(&zero_block_once, hash_zero_block);
    return bytes == TV_BLOCK_BYTES ? zero_block_sum : tv_hash(zeros, bytes);
}

static trove_status add(struct tvs_block_sums *sums, uint64_t sum, trove_error *error) {
    if (sums->count == sums->capacity) {
        size_t capacity = sums->capacity == 0 ? 16 : sums->capacity * 2;
        uint64_t *grown = realloc(sums->sums, capacity * sizeof *grown);
        if (grown == NULL)
            return tvs_fail_no_memory("block checksums", error);
        sums->sums = grown;
        sums->capacity = capacity;
    }
    sums->sums[sums->count++] = sum;
    return TROVE_OK;
}

/* The iov at a byte of the run. */
struct cursor {
    const struct iovec *iov;
    size_t used;
};

static void cursor_skip(struct cursor *at, uint64_t bytes) {
    while (bytes > 0 && bytes >= at->iov->iov_len - at->used) {
        bytes -= at->iov->iov_len - at->used;
        at->iov++;
        at->used = 0;
    }
    at->used += bytes;
}

static void hash_part(XXH3_state_t *state, struct cursor at, uint64_t bytes) {
    while (bytes > 0) {
        size_t here = at.iov->iov_len - at.used;
        if (here > bytes)
            here = (size_t)bytes;
        XXH3_64bits_update(state, (const char *)at.iov->iov_base + at.used, here);
        bytes -= here;
        at.iov++;
        at.used = 0;
    }
}

static trove_status take_part(struct tvs_block_sums *sums, const struct cursor *at, uint64_t bytes, trove_error *error) {
    if (sums->state == NULL && (sums->state = XXH3_createState()) == NULL)
        return tvs_fail_no_memory("a checksum's state", error);
    if (sums->bytes % TV_BLOCK_BYTES == 0)
        XXH3_64bits_reset(sums->state);
    hash_part(sums->state, *at, bytes);
    if ((sums->bytes + bytes) % TV_BLOCK_BYTES != 0)
        return TROVE_OK;
    return add(sums, XXH3_64bits_digest(sums->state), error);
}

trove_status tvs_block_sums_append(struct tvs_block_sums *sums, const struct tv_data *data, trove_error *error) {
    TV_ASSERT(data->offset == sums->bytes);
    TV_ASSERT(data->piece_count == tv_data_piece_count(data->offset, data->bytes));
    struct cursor at = {.iov = data->iov};
    uint64_t left = data->bytes;
    for (uint32_t i = 0; i < data->piece_count; i++) {
        uint64_t piece = TV_BLOCK_BYTES - sums->bytes % TV_BLOCK_BYTES;
        if (piece > left)
            piece = left;
        trove_status status =
            piece == TV_BLOCK_BYTES ? add(sums, data->piece_sums[i], error) : take_part(sums, &at, piece, error);
        if (status != TROVE_OK)
            return status;
        left -= piece;
        sums->bytes += piece;
        if (left > 0)
            cursor_skip(&at, piece);
    }
    return TROVE_OK;
}

trove_status tvs_block_sums_append_zeros(struct tvs_block_sums *sums, uint64_t bytes, trove_error *error) {
    while (bytes > 0) {
        uint64_t piece = TV_BLOCK_BYTES - sums->bytes % TV_BLOCK_BYTES;
        if (piece > bytes)
            piece = bytes;
        const struct iovec iov = {.iov_base = (void *)(uintptr_t)zeros, .iov_len = (size_t)piece};
        const struct cursor at = {.iov = &iov};
        trove_status status =
            piece == TV_BLOCK_BYTES ? add(sums, tvs_zeros_sum(TV_BLOCK_BYTES), error) : take_part(sums, &at, piece, error);
        if (status != TROVE_OK)
            return status;
        bytes -= piece;
        sums->bytes += piece;
    }
    return TROVE_OK;
}

void tvs_block_sums_set(struct tvs_block_sums *sums, uint64_t bytes, uint64_t *all_move, size_t count) {
    TV_ASSERT(sums->bytes == 0 && sums->sums == NULL);
    sums->sums = all_move;
    sums->count = sums->capacity = count;
    sums->bytes = bytes;
    sums->finished = true;
}

trove_status tvs_block_sums_finish(struct tvs_block_sums *sums, const char *expected, char etag[TROVE_ETAG_BYTES],
                                   trove_error *error) {
    if (!sums->finished && sums->bytes % TV_BLOCK_BYTES != 0) {
        trove_status status = add(sums, XXH3_64bits_digest(sums->state), error);
        if (status != TROVE_OK)
            return status;
    }
    sums->finished = true;
    tv_etag(sums->bytes, sums->sums, sums->count, etag);
    if (expected != NULL && strcmp(expected, etag) != 0)
        return TV_FAIL(error, DATA_LOSS, "the bytes that came have the etag %s, those that were sent %.32s: damaged on the way",
                       etag, expected);
    return TROVE_OK;
}

void tvs_block_sums_fini(struct tvs_block_sums *sums) {
    free(sums->sums);
    XXH3_freeState(sums->state);
    *sums = (struct tvs_block_sums){0};
}
