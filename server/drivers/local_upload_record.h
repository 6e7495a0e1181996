/* local_upload_record.h - the rows of the local driver's index that are about resumable uploads, as bytes. Pure; any thread.
 *
 * As in local_record.h: every row begins with its format's version, numbers are little-endian, and a decoder trusts nothing.
 *
 *   "u" ID              what the upload is: written once, when it is begun
 *   "j" ID              the journal's entry: epoch, durable offset, deadline; in the end the result. All that changes
 *   "s" ID SEGMENT(4)   block checksums of what is durable: TVS_SEGMENT_SUMS of them a row, the last row fewer
 *   "q" REQUEST PRINCIPAL  the upload that this request began
 *   "l" CURSOR          its place in listings (upload.h), while it isn't complete
 *   "x" TIME(8) ID      looked at when this time has come; the deadline may be later by then, and the row moves there
 *   "f" FILE-ID         its file has an owner (local_record.h)
 *
 * Why so many: a flush writes "j" and the last one or two rows of "s", however large the upload and its description are; and none
 * of the rows that a listing or the collection goes through. (Rejected: moving "x" with each touch. Each would leave a tombstone
 * where the collection begins to look.)
 */
#ifndef TVS_LOCAL_UPLOAD_RECORD_H
#define TVS_LOCAL_UPLOAD_RECORD_H

#include "local_record.h"
#include "upload.h"

/* "u", decoded. The texts are NUL-terminated and point into the row. */
struct tvs_upload_record {
    struct tvs_file_id file;
    uint8_t request_id[TVS_REQUEST_ID_BYTES];
    uint64_t bucket_id;
    uint64_t created_ns, idle_ns, keep_ns;
    uint64_t size_hint;
    struct tvs_conditions_copy conditions;
    struct tvs_declared_digest digest;
    const char *bucket, *principal, *key;
    uint16_t metadata_count;
    const char *strings;
    size_t strings_bytes;
};

#define TVS_UPLOAD_RECORD_FIXED_BYTES (1 + 1 + 1 + TVS_FILE_ID_BYTES + TVS_REQUEST_ID_BYTES + 6 * 8 + 2)
#define TVS_UPLOAD_RECORD_BYTES_MAX                                                                                              \
    (TVS_UPLOAD_RECORD_FIXED_BYTES + (TROVE_ETAG_BYTES - 1) + TVS_DIGEST_BYTES_MAX + TV_BUCKET_BYTES_MAX + 1 +                   \
     TV_PRINCIPAL_BYTES_MAX + 1 + TV_KEY_BYTES_MAX + 1 + TVS_STRINGS_BYTES_MAX)

size_t tvs_upload_record_bytes(const struct tvs_upload_record *record);
void tvs_upload_record_encode(const struct tvs_upload_record *record, uint8_t *to);
/* Errors: DATA_LOSS (not a row of ours), FAILED_PRECONDITION (of a later version); both name the upload. */
trove_status tvs_upload_record_decode(const struct tvs_upload_id *id, const void *bytes, size_t count,
                                      struct tvs_upload_record *record, trove_error *error);

enum tvs_journal_state {
    TVS_JOURNAL_OPEN = 0,
    TVS_JOURNAL_COMPLETE = 1,
    TVS_JOURNAL_LOST = 2, /* bytes that were durable are gone */
};

/* "j", decoded. */
struct tvs_journal {
    enum tvs_journal_state state;
    uint64_t epoch;    /* at least 1 */
    uint64_t offset;   /* durable; complete: the object's size */
    uint64_t tail_sum; /* checksum of the durable bytes of the block that `offset` lies inside of; 0 where it is a block's end */
    uint64_t expires_ns; /* the deadline */
    uint64_t timer_ns;   /* of its "x" row; at most the deadline */
    /* complete */
    uint64_t generation;
    uint64_t modified_ns;
    uint8_t etag[TVS_ETAG_RAW_BYTES];
};

#define TVS_JOURNAL_BYTES_MAX (1 + 1 + 5 * 8 + 8 + 8 + TVS_ETAG_RAW_BYTES)
size_t tvs_journal_encode(const struct tvs_journal *journal, uint8_t to[TVS_JOURNAL_BYTES_MAX]);
/* Errors: as above. */
trove_status tvs_journal_decode(const struct tvs_upload_id *id, const void *bytes, size_t count, struct tvs_journal *journal,
                                trove_error *error);

/* "s": so many sums make a row of about a page, for 128 MiB. */
#define TVS_SEGMENT_SUMS      512
#define TVS_SEGMENT_BYTES_MAX (1 + TVS_SEGMENT_SUMS * 8)
size_t tvs_segment_encode(const uint64_t *sums, size_t sum_count, uint8_t *to);
/* Of a row that must have `sum_count` sums. Errors: as above. */
trove_status tvs_segment_decode(const struct tvs_upload_id *id, const void *bytes, size_t count, uint64_t *sums, size_t sum_count,
                                trove_error *error);
/* How many rows the sums of so many durable bytes take. */
uint32_t tvs_segment_count(uint64_t offset);

/* "q". */
#define TVS_REQUEST_RECORD_BYTES (1 + TVS_UPLOAD_ID_BYTES)
void tvs_request_record_encode(const struct tvs_upload_id *id, uint8_t to[TVS_REQUEST_RECORD_BYTES]);
trove_status tvs_request_record_decode(const void *bytes, size_t count, struct tvs_upload_id *id, trove_error *error);

/* Keys of the index. Each function returns the key's length. */
#define TVS_UPLOAD_KEY_BYTES      (1 + TVS_UPLOAD_ID_BYTES)
#define TVS_SEGMENT_KEY_BYTES     (1 + TVS_UPLOAD_ID_BYTES + 4)
#define TVS_REQUEST_KEY_BYTES_MAX (1 + TVS_REQUEST_ID_BYTES + TV_PRINCIPAL_BYTES_MAX)
#define TVS_PLACE_KEY_BYTES_MAX   (1 + TVS_UPLOAD_CURSOR_BYTES_MAX)
#define TVS_TIMER_KEY_BYTES       (1 + 8 + TVS_UPLOAD_ID_BYTES)
size_t tvs_index_key_upload(const struct tvs_upload_id *id, uint8_t *to);
size_t tvs_index_key_journal(const struct tvs_upload_id *id, uint8_t *to);
size_t tvs_index_key_segment(const struct tvs_upload_id *id, uint32_t segment, uint8_t *to);
size_t tvs_index_key_request(const uint8_t request_id[TVS_REQUEST_ID_BYTES], const char *principal, uint8_t *to);
size_t tvs_index_key_place(const struct tvs_upload_cursor *cursor, uint8_t *to);
size_t tvs_index_key_timer(uint64_t time_ns, const struct tvs_upload_id *id, uint8_t *to);

#endif
