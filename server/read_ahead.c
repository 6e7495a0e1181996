/* read_ahead.c - see read_ahead.h. */
#include "read_ahead.h"

void tvs_read_ahead_init(struct tvs_read_ahead *ahead, struct tvs_budget *budget) {
    *ahead = (struct tvs_read_ahead){.budget = budget};
    pthread_mutex_init(&ahead->spare_lock, NULL);
}

void tvs_read_ahead_fini(struct tvs_read_ahead *ahead) {
    TV_ASSERT(ahead->first == NULL);
    while (ahead->spare != NULL) {
        struct tvs_run *run = ahead->spare;
        ahead->spare = run->next;
        free(run);
    }
    pthread_mutex_destroy(&ahead->spare_lock);
}

/* ---- runs ---- */

static struct tvs_run *take_spare(struct tvs_read_ahead *ahead) {
    pthread_mutex_lock(&ahead->spare_lock);
    struct tvs_run *run = ahead->spare;
    if (run != NULL)
        ahead->spare = run->next;
    pthread_mutex_unlock(&ahead->spare_lock);
    return run != NULL ? run : malloc(sizeof *run);
}

trove_status tvs_run_create(struct tvs_read_ahead *ahead, uint64_t offset, uint32_t block_count, struct tvs_run **run_out,
                            trove_error *error) {
    uint64_t reserved_bytes = block_count * TV_SEGMENT_BYTES;
    TV_ASSERT(block_count > 0 && block_count <= TVS_RUN_BLOCKS_MAX && offset % TV_BLOCK_BYTES == 0);
    struct tvs_run *run = take_spare(ahead);
    if (run == NULL) {
        tvs_budget_give(ahead->budget, reserved_bytes);
        return TV_FAIL(error, RESOURCE_EXHAUSTED, "no memory to read ahead");
    }
    *run = (struct tvs_run){.owner = ahead, .reserved_bytes = reserved_bytes, .offset = offset};
    atomic_init(&run->references, 1);
    tvs_budget_read_ahead_add(ahead->budget, reserved_bytes);
    while (run->block_count < block_count) {
        void *block = tv_block_pool_get(tvs_budget_pool(ahead->budget));
        if (block == NULL) {
            tvs_run_release(run);
            return TV_FAIL(error, RESOURCE_EXHAUSTED, "no memory to read ahead");
        }
        run->blocks[run->block_count++] = block;
    }
    *run_out = run;
    return TROVE_OK;
}

void tvs_run_release(struct tvs_run *run) {
    if (atomic_fetch_sub_explicit(&run->references, 1, memory_order_acq_rel) != 1)
        return;
    struct tvs_read_ahead *ahead = run->owner;
    for (uint32_t i = 0; i < run->block_count; i++)
        tv_block_pool_put(tvs_budget_pool(ahead->budget), run->blocks[i]);
    tvs_budget_read_ahead_sub(ahead->budget, run->reserved_bytes);
    tvs_budget_give(ahead->budget, run->reserved_bytes);
    pthread_mutex_lock(&ahead->spare_lock);
    run->next = ahead->spare;
    ahead->spare = run;
    pthread_mutex_unlock(&ahead->spare_lock);
}

void tvs_run_slice(const struct tvs_run *run, uint64_t at, uint64_t bytes, struct tv_data *data) {
    uint64_t end = at + bytes;
    TV_ASSERT(at >= run->offset && end <= run->offset + run->bytes);
    *data = (struct tv_data){.offset = at, .bytes = bytes};
    while (at < end) {
        uint64_t inside = at % TV_BLOCK_BYTES;
        uint32_t block = (uint32_t)((at - run->offset) / TV_BLOCK_BYTES);
        uint64_t step = TV_BLOCK_BYTES - inside < end - at ? TV_BLOCK_BYTES - inside : end - at;
        const char *memory = (const char *)run->blocks[block] + inside;
        bool whole = inside == 0 && (step == TV_BLOCK_BYTES || at + step == run->offset + run->bytes);
        data->iov[data->iov_count++] = (struct iovec){(char *)memory, step};
        data->piece_sums[data->piece_count++] = whole ? run->sums[block] : tv_hash(memory, step);
        at += step;
    }
}

/* ---- what was read; under the owner's lock ---- */

static void pop(struct tvs_read_ahead *ahead) {
    struct tvs_run *run = ahead->first;
    ahead->first = run->next;
    if (ahead->first == NULL)
        ahead->last = NULL;
    tvs_run_release(run);
}

void tvs_read_ahead_move(struct tvs_read_ahead *ahead, uint64_t position) {
    while (ahead->first != NULL)
        pop(ahead);
    ahead->end = position - position % TV_BLOCK_BYTES;
    ahead->moves++;
}

void tvs_read_ahead_append(struct tvs_read_ahead *ahead, struct tvs_run *run) {
    TV_ASSERT(run->offset == ahead->end && run->bytes > 0);
    run->next = NULL;
    if (ahead->last != NULL)
        ahead->last->next = run;
    else
        ahead->first = run;
    ahead->last = run;
    ahead->end += run->bytes;
}

void tvs_read_ahead_discard(struct tvs_read_ahead *ahead, uint64_t begin, uint64_t end) {
    struct tvs_run *before = NULL;
    for (struct tvs_run *run = ahead->first; run != NULL && run->offset < end;) {
        struct tvs_run *next = run->next;
        if (run->offset < begin || run->offset + run->bytes > end) {
            before = run;
        } else {
            *(before != NULL ? &before->next : &ahead->first) = next;
            if (ahead->last == run)
                ahead->last = before;
            tvs_run_release(run);
        }
        run = next;
    }
}

struct tvs_run *tvs_read_ahead_at(struct tvs_read_ahead *ahead, uint64_t position, uint64_t *bytes) {
    while (ahead->first != NULL && position >= ahead->first->offset + ahead->first->bytes)
        pop(ahead);
    struct tvs_run *run = ahead->first;
    if (run == NULL || position < run->offset)
        return NULL;
    *bytes = run->offset + run->bytes - position;
    return run;
}
