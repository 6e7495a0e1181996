/* local_record.c - see local_record.h. */
#include "local_record.h"

#include <endian.h>
#include <sodium.h>
#include <string.h>

#define VERSION           1
#define VERSION_WITH_GAPS 2 /* of an object's row */

/* An object's row: version 1, place 1, size 8, generation 8, modified 8, etag 16, [file id 16 | checksum 8], metadata count 2,
 * [packed gaps (gaps.h)], strings. */
#define FIXED_BYTES (1 + 1 + 8 + 8 + 8 + TVS_ETAG_RAW_BYTES)

uint64_t tvs_read_u64(const uint8_t *from) {
    uint64_t value;
    memcpy(&value, from, sizeof value);
    return le64toh(value);
}

void tvs_write_u64(uint8_t *to, uint64_t value) {
    value = htole64(value);
    memcpy(to, &value, sizeof value);
}

static size_t place_bytes(enum tvs_record_place place) {
    return place == TVS_PLACE_FILE ? TVS_FILE_ID_BYTES : place == TVS_PLACE_INLINE ? 8 : 0;
}

size_t tvs_record_bytes(const struct tvs_record *record) {
    return FIXED_BYTES + place_bytes(record->place) + 2 + record->gaps.packed_bytes + record->strings_bytes;
}

void tvs_record_stamp(uint8_t *row, uint64_t generation, uint64_t modified_ns) {
    tvs_write_u64(row + TVS_RECORD_GENERATION_OFFSET, generation);
    tvs_write_u64(row + TVS_RECORD_MODIFIED_OFFSET, modified_ns);
}

void tvs_record_encode(const struct tvs_record *record, uint8_t *to) {
    to[0] = record->gaps.listed > 0 ? VERSION_WITH_GAPS : VERSION;
    to[1] = (uint8_t)record->place;
    tvs_write_u64(to + 2, record->size);
    tvs_record_stamp(to, record->generation, record->modified_ns);
    memcpy(to + 26, record->etag, TVS_ETAG_RAW_BYTES);
    to += FIXED_BYTES;
    if (record->place == TVS_PLACE_FILE)
        memcpy(to, record->file.bytes, TVS_FILE_ID_BYTES);
    else if (record->place == TVS_PLACE_INLINE)
        tvs_write_u64(to, record->inline_sum);
    to += place_bytes(record->place);
    to[0] = (uint8_t)(record->metadata_count & 0xFF);
    to[1] = (uint8_t)(record->metadata_count >> 8);
    to += 2;
    if (record->gaps.packed_bytes > 0)
        memcpy(to, record->gaps.packed, record->gaps.packed_bytes);
    memcpy(to + record->gaps.packed_bytes, record->strings, record->strings_bytes);
}

static trove_status check_version(const uint8_t *from, size_t count, int newest, const char *what, trove_error *error) {
    if (count < 1)
        return TV_FAIL(error, DATA_LOSS, "an index row of %s is empty", what);
    if (from[0] > newest)
        return TV_FAIL(error, FAILED_PRECONDITION, "an index row of %s has version %u, I know %d: use a newer troved", what,
                       from[0], newest);
    if (from[0] < VERSION)
        return TV_FAIL(error, DATA_LOSS, "an index row of %s has version %u, which never was", what, from[0]);
    return TROVE_OK;
}

static bool size_fits_place(const struct tvs_record *record) {
    switch (record->place) {
    case TVS_PLACE_NONE:
        return record->size == 0;
    case TVS_PLACE_INLINE:
        return record->size > 0 && record->size <= TV_INLINE_BYTES_MAX;
    case TVS_PLACE_FILE:
        return record->size > 0 && record->size <= (uint64_t)INT64_MAX / 2;
    }
    return false;
}

trove_status tvs_record_decode(const void *bytes, size_t count, struct tvs_record *record, trove_error *error) {
    const uint8_t *from = bytes;
    trove_status status = check_version(from, count, VERSION_WITH_GAPS, "an object", error);
    if (status != TROVE_OK)
        return status;
    if (count < FIXED_BYTES || from[1] > TVS_PLACE_FILE)
        return TV_FAIL(error, DATA_LOSS, "an index row of an object is damaged: %zu bytes, place %u", count,
                       count > 1 ? from[1] : 0);
    struct tvs_record read = {
        .place = (enum tvs_record_place)from[1],
        .size = tvs_read_u64(from + 2),
        .generation = tvs_read_u64(from + TVS_RECORD_GENERATION_OFFSET),
        .modified_ns = tvs_read_u64(from + TVS_RECORD_MODIFIED_OFFSET),
    };
    memcpy(read.etag, from + 26, TVS_ETAG_RAW_BYTES);
    size_t header = FIXED_BYTES + place_bytes(read.place) + 2;
    if (count < header || count > TVS_RECORD_BYTES_MAX || !size_fits_place(&read))
        return TV_FAIL(error, DATA_LOSS, "an index row of an object is damaged: %zu bytes for an object of %llu", count,
                       (unsigned long long)read.size);
    if (read.place == TVS_PLACE_FILE)
        memcpy(read.file.bytes, from + FIXED_BYTES, TVS_FILE_ID_BYTES);
    else if (read.place == TVS_PLACE_INLINE)
        read.inline_sum = tvs_read_u64(from + FIXED_BYTES);
    read.metadata_count = (uint16_t)(from[header - 2] | from[header - 1] << 8);
    if (from[0] == VERSION_WITH_GAPS) {
        trove_error inner;
        status = tv_gaps_read(from + header, count - header, read.size, &read.gaps, &inner);
        if (status != TROVE_OK)
            return tv_error_set(error, status, "an index row of an object is damaged: %s", inner.message);
        header += read.gaps.packed_bytes;
    }
    read.strings = (const char *)from + header;
    read.strings_bytes = count - header;
    if (read.metadata_count > TV_METADATA_COUNT_MAX || !tvs_strings_valid(read.strings, read.strings_bytes, read.metadata_count))
        return TV_FAIL(error, DATA_LOSS, "an index row of an object is damaged: its %u metadata pairs don't add up",
                       read.metadata_count);
    *record = read;
    return TROVE_OK;
}

void tvs_etag_to_raw(const char etag[TROVE_ETAG_BYTES], uint8_t raw[TVS_ETAG_RAW_BYTES]) {
    int failed = sodium_hex2bin(raw, TVS_ETAG_RAW_BYTES, etag, TROVE_ETAG_BYTES - 1, NULL, NULL, NULL);
    TV_ASSERT(failed == 0); /* it is one of ours */
}

void tvs_etag_from_raw(const uint8_t raw[TVS_ETAG_RAW_BYTES], char etag[TROVE_ETAG_BYTES]) {
    sodium_bin2hex(etag, TROVE_ETAG_BYTES, raw, TVS_ETAG_RAW_BYTES);
}

void tvs_bucket_record_encode(const struct tvs_bucket_record *record, uint8_t to[TVS_BUCKET_RECORD_BYTES]) {
    to[0] = VERSION;
    tvs_write_u64(to + 1, record->id);
    tvs_write_u64(to + 9, record->created_ns);
    tvs_write_u64(to + 17, record->object_count);
    tvs_write_u64(to + 25, record->object_bytes);
}

trove_status tvs_bucket_record_decode(const void *bytes, size_t count, struct tvs_bucket_record *record, trove_error *error) {
    const uint8_t *from = bytes;
    trove_status status = check_version(from, count, VERSION, "a bucket", error);
    if (status != TROVE_OK)
        return status;
    if (count != TVS_BUCKET_RECORD_BYTES)
        return TV_FAIL(error, DATA_LOSS, "an index row of a bucket is damaged: it has %zu bytes", count);
    *record = (struct tvs_bucket_record){.id = tvs_read_u64(from + 1),
                                         .created_ns = tvs_read_u64(from + 9),
                                         .object_count = tvs_read_u64(from + 17),
                                         .object_bytes = tvs_read_u64(from + 25)};
    return TROVE_OK;
}

size_t tvs_owner_record_encode(const struct tvs_owner_record *record, uint8_t *to) {
    to[0] = VERSION;
    tvs_write_u64(to + 1, record->bucket_id);
    memcpy(to + 9, record->key, record->key_bytes);
    return 9 + record->key_bytes;
}

trove_status tvs_owner_record_decode(const void *bytes, size_t count, struct tvs_owner_record *record, trove_error *error) {
    const uint8_t *from = bytes;
    trove_status status = check_version(from, count, VERSION, "a file", error);
    if (status != TROVE_OK)
        return status;
    if (count < 9 || count > TVS_OWNER_RECORD_BYTES_MAX)
        return TV_FAIL(error, DATA_LOSS, "an index row of a file is damaged: it has %zu bytes", count);
    *record =
        (struct tvs_owner_record){.bucket_id = tvs_read_u64(from + 1), .key = (const char *)from + 9, .key_bytes = count - 9};
    return TROVE_OK;
}

void tvs_write_u64_be(uint64_t number, uint8_t to[8]) {
    number = htobe64(number);
    memcpy(to, &number, sizeof number);
}

size_t tvs_index_key_bucket(const char *name, uint8_t *to) {
    size_t bytes = strlen(name);
    to[0] = 'b';
    memcpy(to + 1, name, bytes);
    return bytes + 1;
}

size_t tvs_index_key_object(uint64_t bucket_id, const char *key, size_t key_bytes, uint8_t *to) {
    to[0] = 'o';
    tvs_write_u64_be(bucket_id, to + 1);
    memcpy(to + TVS_OBJECT_KEY_PREFIX_BYTES, key, key_bytes);
    return TVS_OBJECT_KEY_PREFIX_BYTES + key_bytes;
}

size_t tvs_index_key_file(const struct tvs_file_id *id, uint8_t *to) {
    to[0] = 'f';
    memcpy(to + 1, id->bytes, TVS_FILE_ID_BYTES);
    return 1 + TVS_FILE_ID_BYTES;
}

void tvs_index_key_inline(uint64_t generation, uint8_t to[8]) {
    tvs_write_u64_be(generation, to);
}
