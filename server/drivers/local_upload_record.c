/* local_upload_record.c - see local_upload_record.h. */
#include "local_upload_record.h"

#include "digest.h"
#include "local_file.h"

#include <endian.h>
#include <string.h>

#define VERSION 1

/* Flags of "u". */
#define FLAG_DIGEST_VALUE 1
#define FLAG_IF_NONE      2
#define FLAG_IF_MATCH     4
#define FLAGS_ALL         7

#define ETAG_TEXT_BYTES ((size_t)TROVE_ETAG_BYTES - 1)

static trove_status damaged(const struct tvs_upload_id *id, const char *what, size_t count, trove_error *error) {
    char text[TVS_UPLOAD_ID_TEXT_BYTES];
    return TV_FAIL(error, DATA_LOSS, "upload %s is damaged: its %s, of %zu bytes, isn't one; begin again",
                   tvs_upload_id_text(id, text), what, count);
}

static trove_status check_version(const struct tvs_upload_id *id, const uint8_t *from, size_t count, const char *what,
                                  trove_error *error) {
    char text[TVS_UPLOAD_ID_TEXT_BYTES];
    if (count > 0 && from[0] > VERSION)
        return TV_FAIL(error, FAILED_PRECONDITION, "upload %s: its %s has version %u, I know %d: use a newer troved",
                       tvs_upload_id_text(id, text), what, from[0], VERSION);
    return count > 0 && from[0] == VERSION ? TROVE_OK : damaged(id, what, count, error);
}

/* ---- what it is ------------------------------------------------------------------------------------------------------ */

static size_t digest_bytes(const struct tvs_declared_digest *digest) {
    return digest->has_value ? tvs_digest_value_bytes(digest->kind) : 0;
}

size_t tvs_upload_record_bytes(const struct tvs_upload_record *record) {
    return TVS_UPLOAD_RECORD_FIXED_BYTES + (record->conditions.has_etag ? ETAG_TEXT_BYTES : 0) + digest_bytes(&record->digest) +
           strlen(record->bucket) + 1 + strlen(record->principal) + 1 + strlen(record->key) + 1 + record->strings_bytes;
}

static uint8_t *put_bytes(uint8_t *to, const void *bytes, size_t count) {
    memcpy(to, bytes, count);
    return to + count;
}

static uint8_t *put_u64(uint8_t *to, uint64_t value) {
    tvs_write_u64(to, value);
    return to + 8;
}

static uint8_t *put_text(uint8_t *to, const char *text) {
    return put_bytes(to, text, strlen(text) + 1);
}

void tvs_upload_record_encode(const struct tvs_upload_record *record, uint8_t *to) {
    const struct tvs_conditions_copy *conditions = &record->conditions;
    *to++ = VERSION;
    *to++ = (uint8_t)record->digest.kind;
    *to++ = (uint8_t)((record->digest.has_value ? FLAG_DIGEST_VALUE : 0) | (conditions->if_none ? FLAG_IF_NONE : 0) |
                      (conditions->has_etag ? FLAG_IF_MATCH : 0));
    to = put_bytes(to, record->file.bytes, sizeof record->file.bytes);
    to = put_bytes(to, record->request_id, sizeof record->request_id);
    to = put_u64(to, record->bucket_id);
    to = put_u64(to, record->created_ns);
    to = put_u64(to, record->idle_ns);
    to = put_u64(to, record->keep_ns);
    to = put_u64(to, record->size_hint);
    to = put_u64(to, conditions->if_generation);
    *to++ = (uint8_t)(record->metadata_count & 0xFF);
    *to++ = (uint8_t)(record->metadata_count >> 8);
    if (conditions->has_etag)
        to = put_bytes(to, conditions->etag, ETAG_TEXT_BYTES);
    to = put_bytes(to, record->digest.value, digest_bytes(&record->digest));
    to = put_text(to, record->bucket);
    to = put_text(to, record->principal);
    to = put_text(to, record->key);
    put_bytes(to, record->strings, record->strings_bytes);
}

/* What is left of a row. */
struct reader {
    const uint8_t *at;
    size_t left;
    bool good;
};

static const uint8_t *take(struct reader *reader, size_t count) {
    static const uint8_t nothing[64];
    _Static_assert(sizeof nothing >= TVS_DIGEST_BYTES_MAX, "anything of a fixed size can be taken of a row that is too short");
    reader->good = reader->good && reader->left >= count;
    if (!reader->good)
        return nothing;
    const uint8_t *taken = reader->at;
    reader->at += count;
    reader->left -= count;
    return taken;
}

static uint64_t take_u64(struct reader *reader) {
    return tvs_read_u64(take(reader, 8));
}

static const char *take_text(struct reader *reader, size_t bytes_min, size_t bytes_max) {
    size_t length = strnlen((const char *)reader->at, reader->left);
    if (length == reader->left || length < bytes_min || length > bytes_max)
        reader->good = false;
    return (const char *)take(reader, length + 1);
}

static void take_conditions(struct reader *reader, uint8_t flags, uint64_t if_generation,
                            struct tvs_conditions_copy *conditions) {
    conditions->if_none = (flags & FLAG_IF_NONE) != 0;
    conditions->has_etag = (flags & FLAG_IF_MATCH) != 0;
    conditions->if_generation = if_generation;
    if (conditions->has_etag)
        memcpy(conditions->etag, take(reader, ETAG_TEXT_BYTES), ETAG_TEXT_BYTES);
    conditions->any = conditions->if_none || conditions->has_etag || if_generation != 0;
}

trove_status tvs_upload_record_decode(const struct tvs_upload_id *id, const void *bytes, size_t count,
                                      struct tvs_upload_record *record, trove_error *error) {
    static const char what[] = "description";
    trove_status status = check_version(id, bytes, count, what, error);
    if (status != TROVE_OK)
        return status;
    struct reader reader = {.at = (const uint8_t *)bytes + 1, .left = count - 1, .good = count <= TVS_UPLOAD_RECORD_BYTES_MAX};
    struct tvs_upload_record read = {0};
    uint8_t kind = *take(&reader, 1), flags = *take(&reader, 1);
    memcpy(read.file.bytes, take(&reader, sizeof read.file.bytes), sizeof read.file.bytes);
    memcpy(read.request_id, take(&reader, sizeof read.request_id), sizeof read.request_id);
    read.bucket_id = take_u64(&reader);
    read.created_ns = take_u64(&reader);
    read.idle_ns = take_u64(&reader);
    read.keep_ns = take_u64(&reader);
    read.size_hint = take_u64(&reader);
    uint64_t if_generation = take_u64(&reader);
    const uint8_t *metadata_count = take(&reader, 2);
    read.metadata_count = (uint16_t)(metadata_count[0] | metadata_count[1] << 8);
    if (!reader.good || kind > TVS_DIGEST_BLAKE2B || (flags & ~FLAGS_ALL) != 0)
        return damaged(id, what, count, error);
    take_conditions(&reader, flags, if_generation, &read.conditions);
    read.digest.kind = (enum tvs_digest_kind)kind;
    read.digest.has_value = (flags & FLAG_DIGEST_VALUE) != 0;
    memcpy(read.digest.value, take(&reader, digest_bytes(&read.digest)), digest_bytes(&read.digest));
    read.bucket = take_text(&reader, TV_BUCKET_BYTES_MIN, TV_BUCKET_BYTES_MAX);
    read.principal = take_text(&reader, 1, TV_PRINCIPAL_BYTES_MAX);
    read.key = take_text(&reader, 1, TV_KEY_BYTES_MAX);
    read.strings = (const char *)reader.at;
    read.strings_bytes = reader.left;
    if (!reader.good || (kind == TVS_DIGEST_NONE && read.digest.has_value) || read.metadata_count > TV_METADATA_COUNT_MAX ||
        read.strings_bytes > TVS_STRINGS_BYTES_MAX || !tvs_strings_valid(read.strings, read.strings_bytes, read.metadata_count))
        return damaged(id, what, count, error);
    *record = read;
    return TROVE_OK;
}

/* ---- the journal ----------------------------------------------------------------------------------------------------- */

#define JOURNAL_BYTES (TVS_JOURNAL_BYTES_MAX - 8 - 8 - TVS_ETAG_RAW_BYTES) /* without a result */

size_t tvs_journal_encode(const struct tvs_journal *journal, uint8_t to[TVS_JOURNAL_BYTES_MAX]) {
    *to++ = VERSION;
    *to++ = (uint8_t)journal->state;
    to = put_u64(to, journal->epoch);
    to = put_u64(to, journal->offset);
    to = put_u64(to, journal->tail_sum);
    to = put_u64(to, journal->expires_ns);
    to = put_u64(to, journal->timer_ns);
    if (journal->state != TVS_JOURNAL_COMPLETE)
        return JOURNAL_BYTES;
    to = put_u64(to, journal->generation);
    to = put_u64(to, journal->modified_ns);
    put_bytes(to, journal->etag, sizeof journal->etag);
    return TVS_JOURNAL_BYTES_MAX;
}

trove_status tvs_journal_decode(const struct tvs_upload_id *id, const void *bytes, size_t count, struct tvs_journal *journal,
                                trove_error *error) {
    static const char what[] = "journal's entry";
    trove_status status = check_version(id, bytes, count, what, error);
    if (status != TROVE_OK)
        return status;
    struct reader reader = {.at = (const uint8_t *)bytes + 1, .left = count - 1, .good = true};
    uint8_t state = *take(&reader, 1);
    struct tvs_journal read = {.epoch = take_u64(&reader)};
    read.offset = take_u64(&reader);
    read.tail_sum = take_u64(&reader);
    read.expires_ns = take_u64(&reader);
    read.timer_ns = take_u64(&reader);
    read.state = (enum tvs_journal_state)state;
    if (state == TVS_JOURNAL_COMPLETE) {
        read.generation = take_u64(&reader);
        read.modified_ns = take_u64(&reader);
        memcpy(read.etag, take(&reader, sizeof read.etag), sizeof read.etag);
    }
    bool block_end = read.offset % TV_BLOCK_BYTES == 0 || state == TVS_JOURNAL_COMPLETE;
    if (!reader.good || reader.left > 0 || state > TVS_JOURNAL_LOST || read.epoch == 0 ||
        read.offset > TVS_FILE_OBJECT_BYTES_MAX || (block_end && read.tail_sum != 0) || read.timer_ns > read.expires_ns)
        return damaged(id, what, count, error);
    *journal = read;
    return TROVE_OK;
}

/* ---- checksums ------------------------------------------------------------------------------------------------------- */

size_t tvs_segment_encode(const uint64_t *sums, size_t sum_count, uint8_t *to) {
    TV_ASSERT(sum_count <= TVS_SEGMENT_SUMS);
    *to++ = VERSION;
    for (size_t i = 0; i < sum_count; i++)
        to = put_u64(to, sums[i]);
    return 1 + sum_count * 8;
}

trove_status tvs_segment_decode(const struct tvs_upload_id *id, const void *bytes, size_t count, uint64_t *sums, size_t sum_count,
                                trove_error *error) {
    static const char what[] = "list of checksums";
    trove_status status = check_version(id, bytes, count, what, error);
    if (status != TROVE_OK)
        return status;
    if (count != 1 + sum_count * 8)
        return damaged(id, what, count, error);
    for (size_t i = 0; i < sum_count; i++)
        sums[i] = tvs_read_u64((const uint8_t *)bytes + 1 + i * 8);
    return TROVE_OK;
}

uint32_t tvs_segment_count(uint64_t offset) {
    return (uint32_t)((offset / TV_BLOCK_BYTES + TVS_SEGMENT_SUMS - 1) / TVS_SEGMENT_SUMS);
}

/* ---- requests -------------------------------------------------------------------------------------------------------- */

void tvs_request_record_encode(const struct tvs_upload_id *id, uint8_t to[TVS_REQUEST_RECORD_BYTES]) {
    to[0] = VERSION;
    memcpy(to + 1, id->bytes, sizeof id->bytes);
}

trove_status tvs_request_record_decode(const void *bytes, size_t count, struct tvs_upload_id *id, trove_error *error) {
    const uint8_t *from = bytes;
    if (count > 0 && from[0] > VERSION)
        return TV_FAIL(error, FAILED_PRECONDITION, "an index row of a request has version %u, I know %d: use a newer troved",
                       from[0], VERSION);
    if (count != TVS_REQUEST_RECORD_BYTES || from[0] != VERSION)
        return TV_FAIL(error, DATA_LOSS, "an index row of a request is damaged: it has %zu bytes; use another request id", count);
    memcpy(id->bytes, from + 1, sizeof id->bytes);
    return TROVE_OK;
}

/* ---- keys ------------------------------------------------------------------------------------------------------------ */

static size_t key_of(char kind, const struct tvs_upload_id *id, uint8_t *to) {
    to[0] = (uint8_t)kind;
    memcpy(to + 1, id->bytes, sizeof id->bytes);
    return TVS_UPLOAD_KEY_BYTES;
}

size_t tvs_index_key_upload(const struct tvs_upload_id *id, uint8_t *to) {
    return key_of('u', id, to);
}

size_t tvs_index_key_journal(const struct tvs_upload_id *id, uint8_t *to) {
    return key_of('j', id, to);
}

size_t tvs_index_key_segment(const struct tvs_upload_id *id, uint32_t segment, uint8_t *to) {
    uint32_t big = htobe32(segment);
    size_t bytes = key_of('s', id, to);
    memcpy(to + bytes, &big, sizeof big);
    return bytes + sizeof big;
}

size_t tvs_index_key_request(const uint8_t request_id[TVS_REQUEST_ID_BYTES], const char *principal, uint8_t *to) {
    size_t principal_bytes = strlen(principal);
    to[0] = 'q';
    memcpy(to + 1, request_id, TVS_REQUEST_ID_BYTES);
    memcpy(to + 1 + TVS_REQUEST_ID_BYTES, principal, principal_bytes);
    return 1 + TVS_REQUEST_ID_BYTES + principal_bytes;
}

size_t tvs_index_key_place(const struct tvs_upload_cursor *cursor, uint8_t *to) {
    to[0] = 'l';
    memcpy(to + 1, cursor->bytes, cursor->count);
    return 1 + cursor->count;
}

size_t tvs_index_key_timer(uint64_t time_ns, const struct tvs_upload_id *id, uint8_t *to) {
    uint64_t big = htobe64(time_ns);
    to[0] = 'x';
    memcpy(to + 1, &big, sizeof big);
    memcpy(to + 9, id->bytes, sizeof id->bytes);
    return TVS_TIMER_KEY_BYTES;
}
