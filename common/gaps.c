/* gaps.c - see gaps.h. */
#include "gaps.h"

#include "bytes.h"

#include <endian.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

_Static_assert(TROVE_GAPS_MAX == TV_GAPS_MAX, "the program is told the truth");

void tv_gaps_init(struct tv_gaps *gaps) {
    *gaps = (struct tv_gaps){0};
}

void tv_gaps_fini(struct tv_gaps *gaps) {
    free(gaps->list);
    tv_gaps_init(gaps);
}

static uint64_t end_of(const trove_gap *gap) {
    return gap->offset + gap->length;
}

static trove_status reserve(struct tv_gaps *gaps, uint32_t wanted, trove_error *error) {
    if (wanted <= gaps->capacity)
        return TROVE_OK;
    uint32_t capacity = gaps->capacity * 2 > wanted ? gaps->capacity * 2 : wanted;
    trove_gap *grown = realloc(gaps->list, capacity * sizeof *grown);
    if (grown == NULL)
        return TV_FAIL(error, RESOURCE_EXHAUSTED, "no memory for a list of %u gaps", capacity);
    gaps->list = grown;
    gaps->capacity = capacity;
    return TROVE_OK;
}

trove_status tv_gaps_append(struct tv_gaps *gaps, uint64_t offset, uint64_t length, trove_error *error) {
    trove_gap *last = gaps->listed > 0 ? &gaps->list[gaps->listed - 1] : NULL;
    TV_ASSERT(last == NULL || offset >= end_of(last));
    if (length == 0)
        return TROVE_OK;
    if (length > UINT64_MAX - offset)
        return TV_FAIL(error, OUT_OF_RANGE, "a gap of %" PRIu64 " bytes at %" PRIu64 " ends above 2^64", length, offset);
    bool touches = last != NULL && offset == end_of(last);
    if (touches || gaps->listed == TV_GAPS_MAX) {
        if (!touches && gaps->count == gaps->listed) {
            gaps->own_bytes = last->length;
            gaps->beyond_offset = offset;
        }
        last->length = offset + length - last->offset;
    } else {
        trove_status status = reserve(gaps, gaps->listed + 1, error);
        if (status != TROVE_OK)
            return status;
        gaps->list[gaps->listed++] = (trove_gap){.offset = offset, .length = length};
    }
    gaps->count += !touches;
    gaps->bytes += length;
    return TROVE_OK;
}

static uint64_t covered_bytes(const struct tv_gaps *gaps, uint32_t listed) {
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < listed; i++)
        bytes += gaps->list[i].length;
    return bytes;
}

static uint64_t least(uint64_t a, uint64_t b) {
    return a < b ? a : b;
}

/* The truncation falls behind the first gap that the list doesn't know. Of what lies between the two all may be lost, and there
 * are as many gaps as that leaves room for: each has at least a byte before it that isn't lost. */
static void truncate_lengthened(struct tv_gaps *gaps, uint64_t offset) {
    trove_gap *last = &gaps->list[gaps->listed - 1];
    if (offset >= end_of(last))
        return;
    uint64_t others = covered_bytes(gaps, gaps->listed - 1);
    uint64_t room = offset - gaps->beyond_offset; /* at least 1 */
    uint64_t lost = least(gaps->bytes - others, gaps->own_bytes + room);
    uint64_t beyond = least(gaps->count - gaps->listed, least((room + 1) / 2, gaps->own_bytes + room - lost + 1));
    last->length = offset - last->offset;
    gaps->count = gaps->listed + beyond;
    gaps->bytes = others + lost;
}

void tv_gaps_truncate(struct tv_gaps *gaps, uint64_t offset) {
    if (gaps->count > gaps->listed) {
        TV_ASSERT(gaps->own_bytes > 0);
        if (offset > gaps->beyond_offset) {
            truncate_lengthened(gaps, offset);
            return;
        }
        gaps->list[gaps->listed - 1].length = gaps->own_bytes;
        gaps->count = gaps->listed;
        gaps->bytes = covered_bytes(gaps, gaps->listed);
    }
    while (gaps->listed > 0 && end_of(&gaps->list[gaps->listed - 1]) > offset) {
        trove_gap *last = &gaps->list[gaps->listed - 1];
        uint64_t kept = offset > last->offset ? offset - last->offset : 0;
        gaps->bytes -= last->length - kept;
        last->length = kept;
        if (kept == 0) {
            gaps->listed--;
            gaps->count--;
        }
    }
}

trove_status tv_gaps_copy(struct tv_gaps *gaps, const trove_gap *list, uint32_t listed, uint64_t count, uint64_t bytes,
                          trove_error *error) {
    TV_ASSERT(gaps->count == 0 && listed <= TV_GAPS_MAX);
    trove_status status = reserve(gaps, listed, error);
    if (status != TROVE_OK)
        return status;
    if (listed > 0)
        memcpy(gaps->list, list, listed * sizeof *list);
    gaps->listed = listed;
    gaps->count = count;
    gaps->bytes = bytes;
    return TROVE_OK;
}

const trove_gap *tv_gaps_find(const trove_gap *list, size_t listed, uint64_t offset, uint64_t length) {
    size_t low = 0, high = listed; /* the first entry that ends behind `offset` */
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (end_of(&list[middle]) > offset)
            high = middle;
        else
            low = middle + 1;
    }
    bool meets = low < listed && length > 0 && (list[low].offset <= offset || list[low].offset - offset < length);
    return meets ? &list[low] : NULL;
}

/* ---- as bytes ---- */

static uint8_t *put_le64(uint8_t *to, uint64_t value) {
    tv_write_le64(to, value);
    return to + sizeof value;
}

size_t tv_gaps_packed_bytes(const struct tv_gaps *gaps) {
    return gaps->listed > 0 ? TV_GAPS_HEADER_BYTES + (size_t)gaps->listed * TV_GAPS_ENTRY_BYTES : 0;
}

struct tv_packed_gaps tv_gaps_pack(const struct tv_gaps *gaps, uint8_t *to) {
    struct tv_packed_gaps packed = {
        .packed_bytes = tv_gaps_packed_bytes(gaps), .listed = gaps->listed, .count = gaps->count, .bytes = gaps->bytes};
    if (packed.packed_bytes == 0)
        return packed;
    packed.packed = to;
    uint32_t listed_le = htole32(gaps->listed);
    to = put_le64(to, gaps->count);
    to = put_le64(to, gaps->bytes);
    memcpy(to, &listed_le, sizeof listed_le);
    to += sizeof listed_le;
    for (uint32_t i = 0; i < gaps->listed; i++) {
        to = put_le64(to, gaps->list[i].offset);
        to = put_le64(to, gaps->list[i].length);
    }
    return packed;
}

static trove_gap entry_at(const uint8_t *packed, uint32_t index) {
    const uint8_t *from = packed + TV_GAPS_HEADER_BYTES + (size_t)index * TV_GAPS_ENTRY_BYTES;
    return (trove_gap){.offset = tv_read_le64(from), .length = tv_read_le64(from + 8)};
}

/* Whether the entries are in order, apart from each other and inside the object. *covered_bytes: what all of them cover;
 * *last_bytes: what the last one does. */
static bool entries_valid(const uint8_t *from, uint32_t listed, uint64_t object_bytes, uint64_t *covered_bytes,
                          uint64_t *last_bytes) {
    uint64_t end = 0, covered = 0;
    for (uint32_t i = 0; i < listed; i++) {
        trove_gap gap = entry_at(from, i);
        bool apart = i == 0 || gap.offset > end;
        if (!apart || gap.length == 0 || gap.offset > object_bytes || gap.length > object_bytes - gap.offset)
            return false;
        end = end_of(&gap);
        covered += gap.length; /* at most object_bytes */
        *last_bytes = gap.length;
    }
    *covered_bytes = covered;
    return true;
}

trove_status tv_gaps_read(const uint8_t *from, size_t available, uint64_t object_bytes, struct tv_packed_gaps *packed,
                          trove_error *error) {
    if (available < TV_GAPS_HEADER_BYTES)
        return TV_FAIL(error, DATA_LOSS, "a list of gaps is cut short: %zu bytes", available);
    struct tv_packed_gaps read = {.packed = from, .count = tv_read_le64(from), .bytes = tv_read_le64(from + 8)};
    uint32_t listed_le;
    memcpy(&listed_le, from + 16, sizeof listed_le);
    read.listed = le32toh(listed_le);
    read.packed_bytes = TV_GAPS_HEADER_BYTES + (size_t)read.listed * TV_GAPS_ENTRY_BYTES;
    if (read.listed == 0 || read.listed > TV_GAPS_MAX || available < read.packed_bytes)
        return TV_FAIL(error, DATA_LOSS, "a list of %u gaps in %zu bytes can't be", read.listed, available);
    uint64_t covered = 0, last = 0;
    if (!entries_valid(from, read.listed, object_bytes, &covered, &last))
        return TV_FAIL(error, DATA_LOSS, "a list of %u gaps has one out of order, or outside of its object", read.listed);
    /* Only the last one of a full list covers more than what is lost: the gaps beyond the list, each at least a byte, with
     * something between them. */
    bool exact = read.count == read.listed && read.bytes == covered;
    uint64_t beyond = read.count - read.listed;
    bool lengthened = read.listed == TV_GAPS_MAX && read.count > read.listed && beyond < last && read.bytes < covered &&
                      read.bytes > covered - last + beyond && covered - read.bytes >= beyond;
    if (!exact && !lengthened)
        return TV_FAIL(error, DATA_LOSS,
                       "a list of %u gaps that cover %" PRIu64 " bytes can't stand for %" PRIu64 " gaps of %" PRIu64, read.listed,
                       covered, read.count, read.bytes);
    *packed = read;
    return TROVE_OK;
}

void tv_gaps_unpack(const struct tv_packed_gaps *packed, trove_gap *list) {
    for (uint32_t i = 0; i < packed->listed; i++)
        list[i] = entry_at(packed->packed, i);
}
