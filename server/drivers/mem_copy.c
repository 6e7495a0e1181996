/* mem_copy.c - copies inside the mem driver: everything of an object once more, charged like a put. */
#include "mem.h"

#include <string.h>

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

/* Copies the bytes of each block, for an object owns its blocks. */
static trove_status clone_blocks(struct tvs_mem *mem, const struct tvs_mem_object *from, struct tvs_mem_object *to,
                                 trove_error *error) {
    uint64_t bytes = clone_bytes(from);
    trove_status status = tvs_mem_charge(mem, bytes, error);
    if (status != TROVE_OK)
        return status;
    to->charged_bytes += bytes;
    to->blocks = calloc(from->block_count + 1, sizeof *to->blocks);
    to->sums = calloc(from->block_count + 1, sizeof *to->sums);
    for (size_t i = 0; to->blocks != NULL && to->sums != NULL && i < from->block_count; i++) {
        size_t left =
            (size_t)(from->size - i * TV_BLOCK_BYTES < TV_BLOCK_BYTES ? from->size - i * TV_BLOCK_BYTES : TV_BLOCK_BYTES);
        to->blocks[i] = from->blocks[i] != NULL ? malloc(left) : NULL;
        if (from->blocks[i] != NULL && to->blocks[i] == NULL)
            break;
        if (from->blocks[i] != NULL)
            memcpy(to->blocks[i], from->blocks[i], left);
        to->sums[i] = from->sums[i];
        to->block_count++;
    }
    if (to->blocks == NULL || to->sums == NULL || to->block_count != from->block_count)
        return tvs_fail_no_memory("a copy", error);
    to->size = from->size;
    memcpy(to->etag, from->etag, sizeof to->etag);
    return clone_gaps(from, to, error);
}

trove_status tvs_mem_copy(struct tvs_driver *driver, const char *from_bucket, const char *from_key, const char *to_bucket,
                          const char *to_key, const struct tvs_conditions *conditions, struct tvs_object *object,
                          trove_error *error) {
    struct tvs_mem *mem = tvs_mem_of(driver);
    struct tvs_mem_object *from = NULL, *to = NULL;
    struct tvs_object described = {0};
    struct tvs_conditions_copy wanted;
    tvs_conditions_keep(conditions, &wanted);
    trove_status status = tvs_mem_object_open(mem, from_bucket, from_key, &from, error);
    if (status == TROVE_OK)
        status = tvs_mem_object_create(mem, to_key, from->strings_bytes, from->metadata_count, &to, error);
    if (status == TROVE_OK) {
        memcpy(to->key + to->key_bytes + 1, from->strings, from->strings_bytes);
        status = clone_blocks(mem, from, to, error);
    }
    if (status == TROVE_OK)
        status = tvs_mem_describe(to, &described, error);
    if (status == TROVE_OK)
        status = tvs_mem_publish(mem, to_bucket, 0, to_key, &wanted, to, error);
    if (status == TROVE_OK) {
        described.generation = to->generation;
        described.modified_ns = to->modified_ns;
        *object = described;
    } else {
        tvs_object_fini(&described);
    }
    tvs_mem_object_release(from);
    tvs_mem_object_release(to);
    return status;
}
