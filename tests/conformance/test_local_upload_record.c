/* test_local_upload_record.c - the rows of the local driver's index that are about uploads: what is encoded is decoded, what is
 * damaged is refused, and says whose it was.
 */
#include "fixture.h"

#include "local_file.h"
#include "local_upload_record.h"

#include <stdlib.h>

static const struct tvs_upload_id id = {{0xAB, 0xCD, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14}};
#define ID_TEXT "abcd0102030405060708090a0b0c0d0e"

/* ---- what an upload is ------------------------------------------------------------------------------------------------ */

static struct tvs_upload_record plain_record(void) {
    static const char strings[] = "\0"; /* no content type; the literal's own NUL isn't part of it */
    struct tvs_upload_record record = {
        .bucket_id = 7,
        .created_ns = 1700000000000000000u,
        .idle_ns = 86400000000000u,
        .keep_ns = UINT64_MAX,
        .size_hint = TROVE_SIZE_UNKNOWN,
        .bucket = "bucket",
        .principal = "uid:1000",
        .key = "k",
        .strings = strings,
        .strings_bytes = 1,
    };
    for (uint8_t i = 0; i < TVS_FILE_ID_BYTES; i++) {
        record.file.bytes[i] = (uint8_t)(255 - i);
        record.request_id[i] = (uint8_t)(100 + i);
    }
    return record;
}

static struct tvs_upload_record record_with_all(enum tvs_digest_kind kind) {
    static const char strings[] = "text/plain\0color\0green\0empty\0";
    struct tvs_upload_record record = plain_record();
    record.conditions = (struct tvs_conditions_copy){
        .any = true, .if_none = true, .has_etag = true, .etag = "0123456789abcdef0123456789abcdef", .if_generation = 42};
    record.digest = (struct tvs_declared_digest){.kind = kind, .has_value = true};
    for (size_t i = 0; i < (kind == TVS_DIGEST_SHA256 ? TVS_SHA256_BYTES : TVS_BLAKE2B_BYTES); i++)
        record.digest.value[i] = (uint8_t)(i * 3);
    record.size_hint = 12345;
    record.metadata_count = 2;
    record.strings = strings;
    record.strings_bytes = sizeof strings;
    return record;
}

static struct tvs_upload_record largest_record(void) {
    static char principal[TV_PRINCIPAL_BYTES_MAX + 1], key[TV_KEY_BYTES_MAX + 1], bucket[TV_BUCKET_BYTES_MAX + 1],
        strings[TVS_STRINGS_BYTES_MAX];
    struct tvs_upload_record record = record_with_all(TVS_DIGEST_BLAKE2B);
    memset(principal, 'p', sizeof principal - 1);
    memset(key, 'k', sizeof key - 1);
    memset(bucket, 'b', sizeof bucket - 1);
    memset(strings, 's', sizeof strings);
    for (size_t i = 0; i < 1 + 2 * TV_METADATA_COUNT_MAX; i++)
        strings[i == 0 ? sizeof strings - 1 : i * 20] = '\0';
    record.bucket = bucket;
    record.principal = principal;
    record.key = key;
    record.metadata_count = TV_METADATA_COUNT_MAX;
    record.strings = strings;
    record.strings_bytes = sizeof strings;
    return record;
}

#define KINDS 5

static struct tvs_upload_record record_of(unsigned kind, const char **name) {
    static const char *const names[KINDS] = {"plain", "SHA-256", "BLAKE2b", "a digest without value", "the largest"};
    struct tvs_upload_record record = kind == 0   ? plain_record()
                                      : kind == 2 ? record_with_all(TVS_DIGEST_BLAKE2B)
                                      : kind == 4 ? largest_record()
                                                  : record_with_all(TVS_DIGEST_SHA256);
    if (kind == 3) {
        record.digest.has_value = false;
        memset(record.digest.value, 0, sizeof record.digest.value);
    }
    *name = names[kind];
    return record;
}

static size_t encode(const struct tvs_upload_record *record, uint8_t row[TVS_UPLOAD_RECORD_BYTES_MAX]) {
    size_t bytes = tvs_upload_record_bytes(record);
    assert_true(bytes <= TVS_UPLOAD_RECORD_BYTES_MAX);
    tvs_upload_record_encode(record, row);
    return bytes;
}

static void test_round_trip(void **state) {
    (void)state;
    static uint8_t row[TVS_UPLOAD_RECORD_BYTES_MAX];
    for (unsigned kind = 0; kind < KINDS; kind++) {
        const char *name;
        struct tvs_upload_record record = record_of(kind, &name), back;
        print_message("    %s\n", name);
        size_t bytes = encode(&record, row);
        assert_true(kind != 4 || bytes == TVS_UPLOAD_RECORD_BYTES_MAX);
        assert_int_equal(row[0], 1);
        trove_error error = {0};
        must(tvs_upload_record_decode(&id, row, bytes, &back, &error), &error);
        assert_memory_equal(back.file.bytes, record.file.bytes, sizeof record.file.bytes);
        assert_memory_equal(back.request_id, record.request_id, sizeof record.request_id);
        assert_int_equal(back.bucket_id, record.bucket_id);
        assert_int_equal(back.created_ns, record.created_ns);
        assert_int_equal(back.idle_ns, record.idle_ns);
        assert_true(back.keep_ns == record.keep_ns && back.size_hint == record.size_hint);
        assert_memory_equal(&back.conditions, &record.conditions, sizeof record.conditions);
        assert_memory_equal(&back.digest, &record.digest, sizeof record.digest);
        assert_string_equal(back.bucket, record.bucket);
        assert_string_equal(back.principal, record.principal);
        assert_string_equal(back.key, record.key);
        assert_int_equal(back.metadata_count, record.metadata_count);
        assert_int_equal(back.strings_bytes, record.strings_bytes);
        assert_memory_equal(back.strings, record.strings, record.strings_bytes);
    }
}

/* On the heap, so that a sanitizer sees the byte behind. */
static trove_status decode_copy(const uint8_t *row, size_t bytes, trove_error *error) {
    struct tvs_upload_record back;
    uint8_t *exact = malloc(bytes + 1);
    memcpy(exact + 1, row, bytes);
    trove_status status = tvs_upload_record_decode(&id, exact + 1, bytes, &back, error);
    free(exact);
    return status;
}

static void test_of_any_length(void **state) {
    (void)state;
    static uint8_t row[TVS_UPLOAD_RECORD_BYTES_MAX + 1];
    for (unsigned kind = 0; kind < KINDS; kind++) {
        const char *name;
        struct tvs_upload_record record = record_of(kind, &name);
        size_t bytes = encode(&record, row);
        for (size_t cut = 0; cut < bytes; cut++) {
            trove_error error = {0};
            must_fail(decode_copy(row, cut, &error), TROVE_DATA_LOSS, &error, ID_TEXT);
        }
        trove_error error = {0};
        row[bytes] = 0;
        must_fail(decode_copy(row, bytes + 1, &error), TROVE_DATA_LOSS, &error, ID_TEXT);
        row[bytes] = 'x';
        must_fail(decode_copy(row, bytes + 1, &error), TROVE_DATA_LOSS, &error, ID_TEXT);
    }
}

static void test_of_any_bytes(void **state) {
    (void)state;
    static uint8_t row[TVS_UPLOAD_RECORD_BYTES_MAX];
    for (unsigned kind = 0; kind < 3; kind++) {
        const char *name;
        struct tvs_upload_record record = record_of(kind, &name);
        size_t bytes = encode(&record, row);
        for (size_t at = 0; at < bytes; at++) {
            uint8_t before = row[at];
            for (unsigned value = 0; value < 256; value++) {
                row[at] = (uint8_t)value;
                trove_error error = {0};
                trove_status status = decode_copy(row, bytes, &error);
                assert_true(status == TROVE_OK || strstr(error.message, ID_TEXT) != NULL);
                assert_true(status == TROVE_OK || status == TROVE_DATA_LOSS || (at == 0 && status == TROVE_FAILED_PRECONDITION));
            }
            row[at] = before;
        }
    }
    row[0] = 2;
    trove_error error = {0};
    must_fail(decode_copy(row, 200, &error), TROVE_FAILED_PRECONDITION, &error, "newer troved");
}

static void test_texts_out_of_bounds(void **state) {
    (void)state;
    static char text[2000];
    static uint8_t row[3 * TVS_UPLOAD_RECORD_BYTES_MAX];
    memset(text, 'x', sizeof text - 1);
    const struct {
        const char *name;
        size_t bucket, principal, key;
    } rows[] = {
        {"a bucket of two", 2, 5, 5}, {"a bucket too long", TV_BUCKET_BYTES_MAX + 1, 5, 5},
        {"no principal", 5, 0, 5},    {"a principal too long", 5, TV_PRINCIPAL_BYTES_MAX + 1, 5},
        {"no key", 5, 5, 0},          {"a key too long", 5, 5, TV_KEY_BYTES_MAX + 1},
    };
    const char *end = text + sizeof text - 1;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        print_message("    %s\n", rows[i].name);
        struct tvs_upload_record record = plain_record();
        record.bucket = end - rows[i].bucket;
        record.principal = end - rows[i].principal;
        record.key = end - rows[i].key;
        tvs_upload_record_encode(&record, row);
        trove_error error = {0};
        must_fail(decode_copy(row, tvs_upload_record_bytes(&record), &error), TROVE_DATA_LOSS, &error, "description");
    }
    struct tvs_upload_record record = plain_record();
    record.digest.has_value = true; /* of no kind */
    tvs_upload_record_encode(&record, row);
    trove_error error = {0};
    must_fail(decode_copy(row, tvs_upload_record_bytes(&record), &error), TROVE_DATA_LOSS, &error, "description");
}

/* ---- the journal ----------------------------------------------------------------------------------------------------- */

static const struct {
    const char *name;
    struct tvs_journal journal;
} entries[] = {
    {"just begun", {.epoch = 1, .expires_ns = 5, .timer_ns = 5}},
    {"inside a block", {.epoch = 3, .offset = 300000, .tail_sum = 0x123456789ABCDEF0, .expires_ns = 9, .timer_ns = 5}},
    {"at a block's end", {.epoch = UINT64_MAX, .offset = 262144, .expires_ns = UINT64_MAX, .timer_ns = 0}},
    {"as far as can be", {.epoch = 1, .offset = TVS_FILE_OBJECT_BYTES_MAX, .expires_ns = 9, .timer_ns = 5}},
    {"lost", {.state = TVS_JOURNAL_LOST, .epoch = 3, .offset = 5, .tail_sum = 6, .expires_ns = 9, .timer_ns = 5}},
    {"complete",
     {.state = TVS_JOURNAL_COMPLETE,
      .epoch = 3,
      .offset = 12345,
      .expires_ns = 9,
      .timer_ns = 5,
      .generation = 77,
      .modified_ns = 88,
      .etag = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16}}},
};

#define ENTRY_COUNT (sizeof entries / sizeof *entries)

static trove_status decode_journal(const uint8_t *row, size_t bytes, struct tvs_journal *back, trove_error *error) {
    uint8_t *exact = malloc(bytes + 1);
    memcpy(exact + 1, row, bytes);
    trove_status status = tvs_journal_decode(&id, exact + 1, bytes, back, error);
    free(exact);
    return status;
}

static void test_journal(void **state) {
    (void)state;
    for (size_t i = 0; i < ENTRY_COUNT; i++) {
        print_message("    %s\n", entries[i].name);
        uint8_t row[TVS_JOURNAL_BYTES_MAX + 1] = {0};
        struct tvs_journal back = {0};
        trove_error error = {0};
        size_t bytes = tvs_journal_encode(&entries[i].journal, row);
        must(decode_journal(row, bytes, &back, &error), &error);
        assert_memory_equal(&back, &entries[i].journal, sizeof back);
        for (size_t cut = 0; cut <= sizeof row; cut++)
            if (cut != bytes)
                must_fail(decode_journal(row, cut, &back, &error), TROVE_DATA_LOSS, &error, ID_TEXT);
        for (size_t at = 0; at < bytes; at++) {
            uint8_t before = row[at];
            for (unsigned value = 0; value < 256; value++) {
                row[at] = (uint8_t)value;
                trove_status status = decode_journal(row, bytes, &back, &error);
                assert_true(status == TROVE_OK || strstr(error.message, ID_TEXT) != NULL);
            }
            row[at] = before;
        }
        row[0] = 2;
        must_fail(decode_journal(row, bytes, &back, &error), TROVE_FAILED_PRECONDITION, &error, "newer troved");
    }
}

static void test_journals_that_cannot_be(void **state) {
    (void)state;
    static const struct {
        const char *name;
        struct tvs_journal journal;
    } rows[] = {
        {"no epoch", {.epoch = 0, .expires_ns = 5, .timer_ns = 5}},
        {"a sum of nothing", {.epoch = 1, .tail_sum = 1, .expires_ns = 5, .timer_ns = 5}},
        {"too large", {.epoch = 1, .offset = TVS_FILE_OBJECT_BYTES_MAX + 1, .expires_ns = 5, .timer_ns = 5}},
        {"a timer behind the deadline", {.epoch = 1, .expires_ns = 5, .timer_ns = 6}},
        {"of no state", {.state = 3, .epoch = 1, .expires_ns = 5, .timer_ns = 5}},
        {"a sum of what is complete",
         {.state = TVS_JOURNAL_COMPLETE, .epoch = 1, .offset = 5, .tail_sum = 1, .expires_ns = 5, .timer_ns = 5}},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        print_message("    %s\n", rows[i].name);
        uint8_t row[TVS_JOURNAL_BYTES_MAX];
        struct tvs_journal back;
        trove_error error = {0};
        size_t bytes = tvs_journal_encode(&rows[i].journal, row);
        must_fail(decode_journal(row, bytes, &back, &error), TROVE_DATA_LOSS, &error, "journal");
    }
}

/* ---- the rest -------------------------------------------------------------------------------------------------------- */

static void test_segments(void **state) {
    (void)state;
    static uint64_t sums[TVS_SEGMENT_SUMS], back[TVS_SEGMENT_SUMS];
    static uint8_t row[TVS_SEGMENT_BYTES_MAX + 8];
    for (size_t i = 0; i < TVS_SEGMENT_SUMS; i++)
        sums[i] = i * 0x9E3779B97F4A7C15u;
    static const size_t counts[] = {0, 1, 2, TVS_SEGMENT_SUMS - 1, TVS_SEGMENT_SUMS};
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
        size_t bytes = tvs_segment_encode(sums, counts[i], row);
        trove_error error = {0};
        assert_int_equal(bytes, 1 + 8 * counts[i]);
        must(tvs_segment_decode(&id, row, bytes, back, counts[i], &error), &error);
        if (counts[i] > 0)
            assert_memory_equal(back, sums, counts[i] * sizeof *sums);
        for (size_t cut = 0; cut < bytes + 8; cut++)
            if (cut != bytes)
                must_fail(tvs_segment_decode(&id, row, cut, back, counts[i], &error), TROVE_DATA_LOSS, &error, ID_TEXT);
        row[0] = 9;
        must_fail(tvs_segment_decode(&id, row, bytes, back, counts[i], &error), TROVE_FAILED_PRECONDITION, &error, "newer");
    }
    static const struct {
        uint64_t offset;
        uint32_t count;
    } rows[] = {{0, 0},
                {TV_BLOCK_BYTES - 1, 0},
                {TV_BLOCK_BYTES, 1},
                {TVS_SEGMENT_SUMS * TV_BLOCK_BYTES, 1},
                {(TVS_SEGMENT_SUMS + 1) * TV_BLOCK_BYTES - 1, 1},
                {(TVS_SEGMENT_SUMS + 1) * TV_BLOCK_BYTES, 2},
                {TVS_FILE_OBJECT_BYTES_MAX, 40960}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        assert_int_equal(tvs_segment_count(rows[i].offset), rows[i].count);
}

static void test_requests(void **state) {
    (void)state;
    uint8_t row[TVS_REQUEST_RECORD_BYTES + 1] = {0};
    struct tvs_upload_id back;
    trove_error error = {0};
    tvs_request_record_encode(&id, row);
    must(tvs_request_record_decode(row, TVS_REQUEST_RECORD_BYTES, &back, &error), &error);
    assert_memory_equal(&back, &id, sizeof id);
    for (size_t cut = 0; cut <= sizeof row; cut++)
        if (cut != TVS_REQUEST_RECORD_BYTES)
            must_fail(tvs_request_record_decode(row, cut, &back, &error), TROVE_DATA_LOSS, &error, "request");
    row[0] = 2;
    must_fail(tvs_request_record_decode(row, TVS_REQUEST_RECORD_BYTES, &back, &error), TROVE_FAILED_PRECONDITION, &error,
              "newer");
}

/* Keys of one kind stand together, and in the order that listings and the collection go by. */
static void test_keys_keep_order(void **state) {
    (void)state;
    uint8_t keys[8][TVS_PLACE_KEY_BYTES_MAX];
    size_t bytes[8];
    struct tvs_upload_cursor cursor;
    static const struct {
        uint64_t bucket;
        const char *key;
    } places[] = {{1, "b"}, {2, ""}, {2, "a"}, {2, "a/"}, {2, "a/b"}, {2, "ab"}, {2, "\xC3\xA4"}, {256, "a"}};
    for (size_t i = 0; i < 8; i++) {
        tvs_upload_cursor_write(places[i].bucket, places[i].key, &id, &cursor);
        bytes[i] = tvs_index_key_place(&cursor, keys[i]);
        assert_int_equal(keys[i][0], 'l');
        uint64_t bucket;
        const char *key;
        struct tvs_upload_id back;
        trove_error error = {0};
        must(tvs_upload_cursor_read(&cursor, &bucket, &key, &back, &error), &error);
        assert_int_equal(bucket, places[i].bucket);
        assert_string_equal(key, places[i].key);
        assert_memory_equal(&back, &id, sizeof id);
        if (i == 0)
            continue;
        int order = memcmp(keys[i - 1], keys[i], bytes[i - 1] < bytes[i] ? bytes[i - 1] : bytes[i]);
        assert_true(order < 0 || (order == 0 && bytes[i - 1] < bytes[i]));
    }
    assert_int_equal(tvs_index_key_timer(255, &id, keys[0]), TVS_TIMER_KEY_BYTES);
    tvs_index_key_timer(256, &id, keys[1]);
    assert_true(memcmp(keys[0], keys[1], TVS_TIMER_KEY_BYTES) < 0);
    tvs_index_key_segment(&id, 255, keys[0]);
    tvs_index_key_segment(&id, 256, keys[1]);
    assert_true(memcmp(keys[0], keys[1], TVS_SEGMENT_KEY_BYTES) < 0);
    static const uint8_t request[TVS_REQUEST_ID_BYTES] = {1};
    assert_int_equal(tvs_index_key_request(request, "ab", keys[0]), 1 + TVS_REQUEST_ID_BYTES + 2);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),      cmocka_unit_test(test_of_any_length),
        cmocka_unit_test(test_of_any_bytes),    cmocka_unit_test(test_texts_out_of_bounds),
        cmocka_unit_test(test_journal),         cmocka_unit_test(test_journals_that_cannot_be),
        cmocka_unit_test(test_segments),        cmocka_unit_test(test_requests),
        cmocka_unit_test(test_keys_keep_order),
    };
    return cmocka_run_group_tests_name("rows of uploads in the local index", tests, NULL, NULL);
}
