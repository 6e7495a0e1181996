/* mem_copy.c - copies inside the mem driver: everything of an object once more, charged like a put. */
#include "mem.h"

#include <string.h>

#define STEP_BLOCKS 64 /* 16 MiB */

struct tvs_copy {
    struct tvs_mem *mem;
    char bucket[TV_BUCKET_BYTES_MAX + 1]; /* the target's */
    struct tvs_conditions_copy conditions;
    struct tvs_mem_object *from;
    struct tvs_mem_object *to; /* being filled: it has block_count blocks so far */
};

/* What copying it takes: bytes, tables of holes, gaps. */
static uint64_t clone_bytes(const struct tvs_mem_object *from) {
    uint64_t bytes = from->size + from->gaps.packed_bytes;
    for (size_t i = 0; i < from->block_count; i++)
        if (from->blocks[i] == NULL)
            bytes = bytes - TV_BLOCK_BYTES + TVS_MEM_HOLE_BYTES;
    return bytes;
}

static trove_status clone_gaps(const struct tvs_mem_object *from, struct tvs_mem_object *to, trove_error *error) {
    if (from->packed_gaps == NULL)
        return TROVE_OK;
    to->packed_gaps = malloc(from->gaps.packed_bytes);
    if (to->packed_gaps == NULL)
        return tvs_fail_no_memory("a copy", error);
    memcpy(to->packed_gaps, from->packed_gaps, from->gaps.packed_bytes);
    to->gaps = from->gaps;
    to->gaps.packed = to->packed_gaps;
    return TROVE_OK;
}

/* Memory for it, and the tables. */
static trove_status prepare(struct tvs_mem *mem, const struct tvs_mem_object *from, struct tvs_mem_object *to,
                            trove_error *error) {
    uint64_t bytes = clone_bytes(from);
    trove_status status = tvs_mem_charge(mem, bytes, error);
    if (status != TROVE_OK)
        return status;
    to->charged_bytes += bytes;
    to->blocks = calloc(from->block_count + 1, sizeof *to->blocks);
    to->sums = calloc(from->block_count + 1, sizeof *to->sums);
    if (to->blocks == NULL || to->sums == NULL)
        return tvs_fail_no_memory("a copy", error);
    to->size = from->size;
    memcpy(to->etag, from->etag, sizeof to->etag);
    return clone_gaps(from, to, error);
}

trove_status tvs_mem_copy_begin(struct tvs_driver *driver, const char *from_bucket, const char *from_key, const char *to_bucket,
                                const char *to_key, const struct tvs_conditions *conditions, struct tvs_copy **copy_out,
                                trove_error *error) {
    struct tvs_copy *copy = calloc(1, sizeof *copy);
    if (copy == NULL)
        return tvs_fail_no_memory("a copy", error);
    copy->mem = tvs_mem_of(driver);
    memcpy(copy->bucket, to_bucket, strlen(to_bucket) + 1);
    tvs_conditions_keep(conditions, &copy->conditions);
    trove_status status = tvs_mem_object_open(copy->mem, from_bucket, from_key, &copy->from, error);
    if (status == TROVE_OK)
        status =
            tvs_mem_object_create(copy->mem, to_key, copy->from->strings_bytes, copy->from->metadata_count, &copy->to, error);
    if (status == TROVE_OK) {
        memcpy(copy->to->key + copy->to->key_bytes + 1, copy->from->strings, copy->from->strings_bytes);
        status = prepare(copy->mem, copy->from, copy->to, error);
    }
    if (status != TROVE_OK) {
        tvs_mem_copy_abort(copy);
        return status;
    }
    *copy_out = copy;
    return TROVE_OK;
}

/* Copies the bytes of each block, for an object owns its blocks. */
trove_status tvs_mem_copy_step(struct tvs_copy *copy, bool *finished, trove_error *error) {
    const struct tvs_mem_object *from = copy->from;
    struct tvs_mem_object *to = copy->to;
    for (size_t i = 0; i < STEP_BLOCKS && to->block_count < from->block_count; i++) {
        size_t at = to->block_count;
        uint64_t left = from->size - at * TV_BLOCK_BYTES;
        size_t bytes = left < TV_BLOCK_BYTES ? (size_t)left : TV_BLOCK_BYTES;
        if (from->blocks[at] != NULL) {
            to->blocks[at] = malloc(bytes);
            if (to->blocks[at] == NULL)
                return tvs_fail_no_memory("a copy", error);
            memcpy(to->blocks[at], from->blocks[at], bytes);
        }
        to->sums[at] = from->sums[at];
        to->block_count++;
    }
    *finished = to->block_count == from->block_count;
    return TROVE_OK;
}

void tvs_mem_copy_commit(struct tvs_copy *copy_move, tvs_commit_done done, void *context) {
    struct tvs_copy *copy = copy_move;
    struct tvs_object described = {0};
    trove_error error = {0};
    trove_status status = tvs_mem_describe(copy->to, &described, &error);
    if (status == TROVE_OK)
        status = tvs_mem_publish(
            copy->mem,
            &(struct tvs_mem_change){
                .bucket = copy->bucket, .key = copy->to->key, .conditions = &copy->conditions, .object = copy->to},
            &error);
    described.generation = copy->to->generation;
    described.modified_ns = copy->to->modified_ns;
    done(context, status, status == TROVE_OK ? &described : NULL, &error);
    tvs_object_fini(&described);
    tvs_mem_copy_abort(copy);
}

void tvs_mem_copy_abort(struct tvs_copy *copy_move) {
    if (copy_move == NULL)
        return;
    tvs_mem_object_release(copy_move->from);
    tvs_mem_object_release(copy_move->to);
    free(copy_move);
}
