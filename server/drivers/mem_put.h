/* mem_put.h - a put into the mem driver: what mem_put.c and mem_upload.c share. */
#ifndef TVS_MEM_PUT_H
#define TVS_MEM_PUT_H

#include "block_sums.h"
#include "digest.h"
#include "mem_upload.h"

/* One thread writes it; put_read looks at its blocks from others meanwhile. A block that is whole stays where it is, and bytes
 * that were written don't change: only what moves must be kept from them. */
struct tvs_put {
    struct tvs_mem_upload
        *upload; /* a holder's put: only this, `mem` and the epoch are used, the bytes are the upload's; else NULL */
    uint64_t epoch;
    pthread_mutex_t lock; /* held where the table of blocks or the last block moves, and by other threads that read */
    struct tvs_mem *mem;
    uint64_t bucket_id;
    char bucket[TV_BUCKET_BYTES_MAX + 1];
    struct tvs_conditions_copy conditions;
    struct tvs_block_sums sums;
    struct tv_gaps gaps;
    struct tvs_digest *digest;     /* NULL: none declared */
    struct tvs_mem_object *object; /* being built */
    size_t block_capacity;         /* of its table of blocks */
    size_t last_capacity;          /* of its last block, in bytes */
};

/* The same as the driver's put_rewind, of a put that has its bytes itself. */
trove_status tvs_mem_content_rewind(struct tvs_put *put, uint64_t offset, trove_error *error);

#endif
