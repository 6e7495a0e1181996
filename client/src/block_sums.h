/* block_sums.h - the block checksums of an object as its bytes go by, for its etag: an end-to-end check of a whole transfer.
 *
 * Bytes come as the pieces that data.h cuts. A piece that is a whole block brings the block's checksum with it; blocks that
 * come in several pieces (chunk sizes that are no multiple of a block) are hashed a second time. Eight bytes a block are kept,
 * up to TVC_BLOCK_SUMS_MAX; above that, or without memory, there is no etag, which is an optional check. One thread at a time.
 */
#ifndef TVC_BLOCK_SUMS_H
#define TVC_BLOCK_SUMS_H

#include "data.h"

#include <stdbool.h>

#define TVC_BLOCK_SUMS_MAX (TV_MIB * 4) /* 1 TiB of object, 32 MiB of sums */

struct tvc_block_sums {
    uint64_t *sums;
    size_t count;
    size_t capacity;
    uint64_t bytes; /* so far */
    void *hash;     /* of a block that comes in pieces; made when the first one does */
    bool abandoned;
};

/* Zeroed memory is an empty one. */
void tvc_block_sums_fini(struct tvc_block_sums *sums);

/* The next bytes of the object, whose pieces' checksums are `piece_sums`. */
void tvc_block_sums_add(struct tvc_block_sums *sums, const void *memory, uint64_t bytes, const uint64_t *piece_sums);

/* The etag of what was added; nothing may be added after it. False: it isn't known. */
bool tvc_block_sums_etag(struct tvc_block_sums *sums, char etag[33]);

#endif
