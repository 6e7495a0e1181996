/* gaps.h - the ranges of an object that a lossy stream lost: a bounded list in order. Pure; one thread at a time.
 *
 * Up to TV_GAPS_MAX gaps are kept one by one. Each one more lengthens the last entry over everything that lies between: the list
 * then says of some bytes that they may be lost which are not, never the other way round. `count` and `bytes` stay exact. So
 * whoever reads what no entry covers gets what was written; every lost byte lies in an entry and reads as zero; a byte that a
 * lengthened entry covers and that is not lost still reads as it was written, so that the etag is that of the bytes as they read
 * and the sender's own etag can be checked. (Rejected: reading all of a lengthened entry as zeros, which destroys good bytes and
 * gives the object another etag than its sender computed. Rejected: a list without a bound; a gap a chunk for a day is one.)
 *
 * One case isn't exact: a truncation between two gaps of which the list doesn't know. `bytes` is then the most that can be lost
 * below it, and `count` a number that fits to that. (Rejected: refusing it, which would end an upload for a figure.)
 */
#ifndef TV_GAPS_H
#define TV_GAPS_H

#include "bounds.h"
#include "status.h"

#include <stddef.h>

/* Zeroed memory is an empty list. */
struct tv_gaps {
    trove_gap *list; /* in order; no two touch */
    uint32_t listed; /* at most TV_GAPS_MAX */
    uint32_t capacity;
    uint64_t count; /* of all gaps */
    uint64_t bytes; /* lost in all */
    /* for a truncation, while the last entry is lengthened (count > listed) */
    uint64_t own_bytes;     /* its length before that */
    uint64_t beyond_offset; /* of the first gap that lengthened it */
};

void tv_gaps_init(struct tv_gaps *gaps);
void tv_gaps_fini(struct tv_gaps *gaps);

/* Adds what was lost at `offset`, which is not below the last gap's end; a gap that begins there is merged with it. A length of 0
 * adds nothing. Errors: RESOURCE_EXHAUSTED; OUT_OF_RANGE (it would end above 2^64). */
TROVE_WARN_UNUSED trove_status tv_gaps_append(struct tv_gaps *gaps, uint64_t offset, uint64_t length, trove_error *error);

/* Forgets what was lost from `offset` on; a gap that reaches across it ends there. Not for a list that was copied. */
void tv_gaps_truncate(struct tv_gaps *gaps, uint64_t offset);

/* Instead of appending: the gaps of another object. Errors: RESOURCE_EXHAUSTED. */
TROVE_WARN_UNUSED trove_status tv_gaps_copy(struct tv_gaps *gaps, const trove_gap *list, uint32_t listed, uint64_t count,
                                            uint64_t bytes, trove_error *error);

/* The first entry that has a byte in common with the range; NULL: none has. */
const trove_gap *tv_gaps_find(const trove_gap *list, size_t listed, uint64_t offset, uint64_t length);

/* ---- as bytes, for a disk ---- */

/* count 8, bytes 8, listed 4, and for each entry offset 8, length 8; little-endian. */
#define TV_GAPS_HEADER_BYTES     20
#define TV_GAPS_ENTRY_BYTES      16
#define TV_GAPS_PACKED_BYTES_MAX (TV_GAPS_HEADER_BYTES + TV_GAPS_MAX * TV_GAPS_ENTRY_BYTES)

/* A list that was packed; borrowed. Zeroed: an empty list, which has no bytes. */
struct tv_packed_gaps {
    const uint8_t *packed;
    size_t packed_bytes;
    uint32_t listed;
    uint64_t count;
    uint64_t bytes;
};

size_t tv_gaps_packed_bytes(const struct tv_gaps *gaps);
/* `to` has room for tv_gaps_packed_bytes. */
struct tv_packed_gaps tv_gaps_pack(const struct tv_gaps *gaps, uint8_t *to);

/* Checks `available` bytes of foreign origin, of which the list may be the beginning, against everything that holds for the list
 * of an object of `object_bytes`. Errors: DATA_LOSS. */
TROVE_WARN_UNUSED trove_status tv_gaps_read(const uint8_t *from, size_t available, uint64_t object_bytes,
                                            struct tv_packed_gaps *packed, trove_error *error);
/* `list` has room for packed->listed. */
void tv_gaps_unpack(const struct tv_packed_gaps *packed, trove_gap *list);

#endif
