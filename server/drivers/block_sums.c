/* block_sums.c - see block_sums.h. */
#include "block_sums.h"

#include "object.h"
#include "xxh3.h"

#include <string.h>

/* A rewound list that has more room than this many times what it holds gives it back. */
#define SPARE_MAX    4
#define CAPACITY_MIN 16

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

void tvs_block_sums_init(struct tvs_block_sums *sums, atomic_ullong *held_bytes) {
    *sums = (struct tvs_block_sums){.held_bytes = held_bytes};
    pthread_mutex_init(&sums->lock, NULL);
}

/* ---- how much of it there is ---- */

static void hold(struct tvs_block_sums *sums, size_t capacity) {
    if (sums->held_bytes != NULL)
        atomic_fetch_add_explicit(sums->held_bytes, capacity * sizeof *sums->sums, memory_order_relaxed);
}

static void let_go(struct tvs_block_sums *sums, size_t capacity) {
    if (sums->held_bytes != NULL)
        atomic_fetch_sub_explicit(sums->held_bytes, capacity * sizeof *sums->sums, memory_order_relaxed);
}

/* Counts first and then looks: two at a time may both be refused, but the bound isn't passed. */
static bool admit(struct tvs_block_sums *sums, size_t capacity) {
    hold(sums, capacity);
    if (sums->held_bytes == NULL || atomic_load_explicit(sums->held_bytes, memory_order_relaxed) <= TVS_BLOCK_SUMS_BYTES_MAX)
        return true;
    let_go(sums, capacity);
    return false;
}

static bool resize(struct tvs_block_sums *sums, size_t capacity) {
    pthread_mutex_lock(&sums->lock);
    uint64_t *resized = realloc(sums->sums, capacity * sizeof *resized);
    if (resized != NULL)
        sums->sums = resized;
    pthread_mutex_unlock(&sums->lock);
    if (resized != NULL)
        sums->capacity = capacity;
    return resized != NULL;
}

static trove_status grow(struct tvs_block_sums *sums, trove_error *error) {
    size_t before = sums->capacity;
    size_t capacity = before == 0 ? CAPACITY_MIN : before * 2;
    if (!admit(sums, capacity)) /* beside the old one, from which it is copied */
        return TV_FAIL(
            error, RESOURCE_EXHAUSTED,
            "the checksums of all that is being stored, 8 bytes for each 256 KiB, are at their limit of %llu bytes; try "
            "again when some of it is complete",
            (unsigned long long)TVS_BLOCK_SUMS_BYTES_MAX);
    bool grown = resize(sums, capacity);
    let_go(sums, grown ? before : capacity);
    return grown ? TROVE_OK : tvs_fail_no_memory("block checksums", error);
}

static trove_status add(struct tvs_block_sums *sums, uint64_t sum, trove_error *error) {
    trove_status status = sums->count == sums->capacity ? grow(sums, error) : TROVE_OK;
    if (status != TROVE_OK)
        return status;
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

static trove_status need_state(struct tvs_block_sums *sums, trove_error *error) {
    if (sums->state == NULL && (sums->state = XXH3_createState()) == NULL)
        return tvs_fail_no_memory("a checksum's state", error);
    return TROVE_OK;
}

static trove_status take_part(struct tvs_block_sums *sums, const struct cursor *at, uint64_t bytes, trove_error *error) {
    trove_status status = need_state(sums, error);
    if (status != TROVE_OK)
        return status;
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
    hold(sums, count);
    sums->bytes = bytes;
    sums->finished = true;
}

void tvs_block_sums_load(struct tvs_block_sums *sums, uint64_t *all_move, size_t count) {
    TV_ASSERT(sums->bytes == 0 && sums->sums == NULL);
    sums->sums = all_move;
    sums->count = sums->capacity = count;
    hold(sums, count);
    sums->bytes = count * TV_BLOCK_BYTES;
}

uint64_t tvs_block_sums_tail(const struct tvs_block_sums *sums) {
    return sums->bytes % TV_BLOCK_BYTES != 0 ? XXH3_64bits_digest(sums->state) : 0;
}

static trove_status fail_mismatch(uint64_t begin, uint64_t bytes, trove_error *error) {
    return TV_FAIL(error, DATA_LOSS, "bytes from %llu to %llu don't match their checksum", (unsigned long long)begin,
                   (unsigned long long)(begin + bytes));
}

trove_status tvs_block_sums_rewind(struct tvs_block_sums *sums, uint64_t bytes, const void *block, trove_error *error) {
    TV_ASSERT(bytes <= sums->bytes && !sums->finished);
    size_t index = (size_t)(bytes / TV_BLOCK_BYTES), kept = (size_t)(bytes % TV_BLOCK_BYTES);
    if (bytes == sums->bytes)
        return TROVE_OK;
    if (kept > 0) {
        trove_status status = need_state(sums, error);
        if (status != TROVE_OK)
            return status;
        uint64_t begin = bytes - kept;
        size_t seen = sums->bytes - begin < TV_BLOCK_BYTES ? (size_t)(sums->bytes - begin) : TV_BLOCK_BYTES;
        const void *from = block != NULL ? block : zeros;
        if (tv_hash(from, seen) != (index < sums->count ? sums->sums[index] : XXH3_64bits_digest(sums->state)))
            return fail_mismatch(begin, seen, error);
        XXH3_64bits_reset(sums->state);
        XXH3_64bits_update(sums->state, from, kept);
    }
    sums->count = index;
    sums->bytes = bytes;
    size_t before = sums->capacity;
    size_t capacity = index > CAPACITY_MIN ? index : CAPACITY_MIN;
    if (before / SPARE_MAX > capacity && resize(sums, capacity)) { /* that a smaller one can't be had does no harm */
        hold(sums, capacity);
        let_go(sums, before);
    }
    return TROVE_OK;
}

trove_status tvs_block_sums_verify(struct tvs_block_sums *sums, const struct tv_data *data, trove_error *error) {
    TV_ASSERT(data->offset % TV_BLOCK_BYTES == 0);
    size_t first = (size_t)(data->offset / TV_BLOCK_BYTES), whole = (size_t)(data->bytes / TV_BLOCK_BYTES), good = 0;
    pthread_mutex_lock(&sums->lock);
    while (good < whole && sums->sums[first + good] == data->piece_sums[good])
        good++;
    pthread_mutex_unlock(&sums->lock);
    return good == whole ? TROVE_OK : fail_mismatch(data->offset + good * TV_BLOCK_BYTES, TV_BLOCK_BYTES, error);
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

void tvs_block_sums_resume(struct tvs_block_sums *sums) {
    if (sums->finished && sums->bytes % TV_BLOCK_BYTES != 0)
        sums->count--; /* its block's state is still there */
    sums->finished = false;
}

void tvs_block_sums_fini(struct tvs_block_sums *sums) {
    let_go(sums, sums->capacity);
    free(sums->sums);
    XXH3_freeState(sums->state);
    pthread_mutex_destroy(&sums->lock);
    *sums = (struct tvs_block_sums){0};
}
