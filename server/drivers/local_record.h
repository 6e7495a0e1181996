/* local_record.h - the rows of the local driver's index as bytes. Pure; any thread.
 *
 * Every row begins with its format's version: 1, or 2 for an object that has gaps (so a store that never saw a lossy stream is
 * one that an older troved can read, too). Numbers are little-endian and have fixed widths. A decoder trusts nothing: it takes
 * bytes from a disk, checks every length against what is there, and refuses what has a byte too many. RocksDB checksums its
 * blocks and its log, so rows carry none of their own.
 *
 * Keys of the index (one column family; "inline" is another):
 *   "b" NAME                        a bucket: id, counters
 *   "o" BUCKET-ID(8, big-endian) KEY  an object; a key's bytes are kept as they are, so that RocksDB's order is the keys' order
 *   "f" FILE-ID(16)                 a file below objects/ has an owner: its bucket's id and key (for orphans and for people)
 *   "g"                             the store's last number: generations and bucket ids count up together
 * and in "inline": GENERATION(8, big-endian), the bytes of a small object.
 *
 * Why small objects' bytes aren't in their row: a listing reads rows, a thousand a page, and would read 64 MiB of bytes along.
 * Their family's keys only grow, so its tables never overlap and compaction moves them without rewriting them. Gaps are in the
 * row, though a full list has 16 KiB: it changes with the row and never without, objects with so many gaps are few, and a row of
 * its own would have to be fetched by every get.
 */
#ifndef TVS_LOCAL_RECORD_H
#define TVS_LOCAL_RECORD_H

#include "object.h"

#define TVS_FILE_ID_BYTES  16
#define TVS_ETAG_RAW_BYTES 16

struct tvs_file_id {
    uint8_t bytes[TVS_FILE_ID_BYTES];
};

enum tvs_record_place {
    TVS_PLACE_NONE = 0,   /* an empty object */
    TVS_PLACE_INLINE = 1, /* in the family "inline", under its generation */
    TVS_PLACE_FILE = 2,
};

/* An object's row, decoded; `strings` points into the row. */
struct tvs_record {
    enum tvs_record_place place;
    uint64_t size;
    uint64_t generation;
    uint64_t modified_ns;
    uint8_t etag[TVS_ETAG_RAW_BYTES];
    struct tvs_file_id file; /* place file */
    uint64_t inline_sum;     /* place inline: the checksum of its one block */
    uint16_t metadata_count;
    const char *strings;
    size_t strings_bytes;
    struct tv_packed_gaps gaps; /* points into the row, too */
};

/* Where an encoded row has what is only known when it is committed. */
#define TVS_RECORD_GENERATION_OFFSET 10
#define TVS_RECORD_MODIFIED_OFFSET   18
#define TVS_RECORD_FIXED_BYTES_MAX   (1 + 1 + 8 + 8 + 8 + 16 + 16 + 2) /* all but gaps and strings */
#define TVS_RECORD_BYTES_MAX         (TVS_RECORD_FIXED_BYTES_MAX + TV_GAPS_PACKED_BYTES_MAX + TVS_STRINGS_BYTES_MAX)

size_t tvs_record_bytes(const struct tvs_record *record);
void tvs_record_encode(const struct tvs_record *record, uint8_t *to);
/* Errors: DATA_LOSS (not a row of ours), FAILED_PRECONDITION (of a later version). */
trove_status tvs_record_decode(const void *bytes, size_t count, struct tvs_record *record, trove_error *error);
void tvs_record_stamp(uint8_t *row, uint64_t generation, uint64_t modified_ns);

void tvs_etag_to_raw(const char etag[TROVE_ETAG_BYTES], uint8_t raw[TVS_ETAG_RAW_BYTES]);
void tvs_etag_from_raw(const uint8_t raw[TVS_ETAG_RAW_BYTES], char etag[TROVE_ETAG_BYTES]);

struct tvs_bucket_record {
    uint64_t id;
    uint64_t created_ns;
    uint64_t object_count;
    uint64_t object_bytes;
};

#define TVS_BUCKET_RECORD_BYTES (1 + 4 * 8)
void tvs_bucket_record_encode(const struct tvs_bucket_record *record, uint8_t to[TVS_BUCKET_RECORD_BYTES]);
trove_status tvs_bucket_record_decode(const void *bytes, size_t count, struct tvs_bucket_record *record, trove_error *error);

/* The row of a file: its owner. */
struct tvs_owner_record {
    uint64_t bucket_id;
    const char *key; /* points into the row; no NUL */
    size_t key_bytes;
};

#define TVS_OWNER_RECORD_BYTES_MAX (1 + 8 + TV_KEY_BYTES_MAX)
size_t tvs_owner_record_encode(const struct tvs_owner_record *record, uint8_t *to);
trove_status tvs_owner_record_decode(const void *bytes, size_t count, struct tvs_owner_record *record, trove_error *error);

/* Big-endian, so that what begins with numbers is sorted by them. */
void tvs_write_u64_be(uint64_t number, uint8_t to[8]);

/* Keys of the index. Each function returns the key's length. */
#define TVS_INDEX_KEY_BYTES_MAX     (1 + 8 + TV_KEY_BYTES_MAX)
#define TVS_OBJECT_KEY_PREFIX_BYTES (1 + 8) /* in front of the key's own bytes */
size_t tvs_index_key_bucket(const char *name, uint8_t *to);
size_t tvs_index_key_object(uint64_t bucket_id, const char *key, size_t key_bytes, uint8_t *to);
size_t tvs_index_key_file(const struct tvs_file_id *id, uint8_t *to);
void tvs_index_key_inline(uint64_t generation, uint8_t to[8]);

uint64_t tvs_read_u64(const uint8_t *from); /* little-endian */
void tvs_write_u64(uint8_t *to, uint64_t value);

#endif
