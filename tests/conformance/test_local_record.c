/* test_local_record.c - the rows of the local driver's index: what is encoded is decoded, what is damaged is refused. */
#include "fixture.h"

#include "local_file.h"

#include <stdlib.h>

static struct tvs_record sample(enum tvs_record_place place) {
    static const char strings[] = "text/plain\0color\0green\0empty\0";
    struct tvs_record record = {
        .place = place,
        .size = place == TVS_PLACE_NONE     ? 0
                : place == TVS_PLACE_INLINE ? 1000
                                            : 123456789,
        .generation = 42,
        .modified_ns = 1700000000000000000u,
        .inline_sum = place == TVS_PLACE_INLINE ? 0x0123456789ABCDEFu : 0,
        .metadata_count = 2,
        .strings = strings,
        .strings_bytes = sizeof strings,
    };
    for (uint8_t i = 0; i < TVS_ETAG_RAW_BYTES; i++) {
        record.etag[i] = (uint8_t)(i * 17);
        record.file.bytes[i] = place == TVS_PLACE_FILE ? (uint8_t)(255 - i) : 0;
    }
    return record;
}

/* The same with two gaps, where the object has room for them. */
static struct tvs_record sample_with_gaps(enum tvs_record_place place) {
    static uint8_t packed[TV_GAPS_HEADER_BYTES + 2 * TV_GAPS_ENTRY_BYTES];
    trove_gap list[2] = {{10, 20}, {100, 900}};
    struct tv_gaps gaps = {.list = list, .listed = 2, .count = 2, .bytes = 920};
    struct tvs_record record = sample(place);
    record.gaps = tv_gaps_pack(&gaps, packed);
    return record;
}

static const struct {
    enum tvs_record_place place;
    bool gaps;
} kinds[] = {{TVS_PLACE_NONE, false},
             {TVS_PLACE_INLINE, false},
             {TVS_PLACE_FILE, false},
             {TVS_PLACE_INLINE, true},
             {TVS_PLACE_FILE, true}};

#define KIND_COUNT (sizeof kinds / sizeof *kinds)

static struct tvs_record sample_of(size_t kind) {
    return kinds[kind].gaps ? sample_with_gaps(kinds[kind].place) : sample(kinds[kind].place);
}

static void test_record_round_trip(void **state) {
    (void)state;
    for (size_t kind = 0; kind < KIND_COUNT; kind++) {
        struct tvs_record record = sample_of(kind), back;
        uint8_t row[TVS_RECORD_BYTES_MAX];
        size_t bytes = tvs_record_bytes(&record);
        tvs_record_encode(&record, row);
        assert_int_equal(row[0], kinds[kind].gaps ? 2 : 1);
        trove_error error = {0};
        must(tvs_record_decode(row, bytes, &back, &error), &error);
        assert_int_equal(back.place, record.place);
        assert_int_equal(back.size, record.size);
        assert_int_equal(back.generation, record.generation);
        assert_int_equal(back.modified_ns, record.modified_ns);
        assert_true(back.inline_sum == record.inline_sum);
        assert_int_equal(back.metadata_count, 2);
        assert_memory_equal(back.etag, record.etag, sizeof record.etag);
        assert_memory_equal(back.file.bytes, record.file.bytes, sizeof record.file.bytes);
        assert_int_equal(back.strings_bytes, record.strings_bytes);
        assert_memory_equal(back.strings, record.strings, record.strings_bytes);
        assert_int_equal(back.gaps.packed_bytes, record.gaps.packed_bytes);
        assert_int_equal(back.gaps.count, kinds[kind].gaps ? 2 : 0);
        assert_int_equal(back.gaps.bytes, kinds[kind].gaps ? 920 : 0);
        if (kinds[kind].gaps)
            assert_memory_equal(back.gaps.packed, record.gaps.packed, record.gaps.packed_bytes);
        tvs_record_stamp(row, 77, 88);
        must(tvs_record_decode(row, bytes, &back, &error), &error);
        assert_int_equal(back.generation, 77);
        assert_int_equal(back.modified_ns, 88);
    }
}

/* A row as every troved has written it so far: it is read, and written again to the byte. */
static void test_rows_without_gaps_stay_as_they_were(void **state) {
    (void)state;
    static const uint8_t row[] = {
        1,    1,                                                                                /* version, inline */
        0xE8, 0x03, 0,    0,    0,    0,    0,    0,                                            /* size */
        42,   0,    0,    0,    0,    0,    0,    0,                                            /* generation */
        1,    2,    3,    4,    5,    6,    7,    0,                                            /* modified */
        0,    17,   34,   51,   68,   85,   102,  119,  136, 153, 170, 187, 204, 221, 238, 255, /* etag */
        0xEF, 0xCD, 0xAB, 0x89, 0x67, 0x45, 0x23, 0x01,                                         /* checksum */
        1,    0,    't',  '/',  'p',  0,    'k',  0,    'v', 0,                                 /* metadata count, strings */
    };
    struct tvs_record record;
    uint8_t again[sizeof row];
    trove_error error = {0};
    must(tvs_record_decode(row, sizeof row, &record, &error), &error);
    assert_int_equal(record.size, 1000);
    assert_int_equal(record.generation, 42);
    assert_true(record.inline_sum == 0x0123456789ABCDEFu);
    assert_int_equal(record.gaps.count, 0);
    assert_int_equal(tvs_record_bytes(&record), sizeof row);
    tvs_record_encode(&record, again);
    assert_memory_equal(again, row, sizeof row);
}

/* Every row that is cut short, and every row with a byte too many, on the heap so that a sanitizer sees the byte behind. */
static void test_record_of_any_length(void **state) {
    (void)state;
    for (size_t kind = 0; kind < KIND_COUNT; kind++) {
        struct tvs_record record = sample_of(kind), back;
        uint8_t row[TVS_RECORD_BYTES_MAX];
        size_t bytes = tvs_record_bytes(&record);
        tvs_record_encode(&record, row);
        for (size_t cut = 0; cut < bytes; cut++) {
            uint8_t *exact = malloc(cut + 1);
            memcpy(exact + 1, row, cut);
            trove_error error = {0};
            assert_int_equal(tvs_record_decode(exact + 1, cut, &back, &error), TROVE_DATA_LOSS);
            assert_true(error.message[0] != '\0');
            free(exact);
        }
        row[bytes] = 0;
        assert_int_equal(tvs_record_decode(row, bytes + 1, &back, NULL), TROVE_DATA_LOSS);
        row[bytes] = 'x';
        assert_int_equal(tvs_record_decode(row, bytes + 1, &back, NULL), TROVE_DATA_LOSS);
    }
}

static void test_a_list_of_gaps_that_cannot_be(void **state) {
    (void)state;
    struct tvs_record record = sample_with_gaps(TVS_PLACE_INLINE), back;
    uint8_t row[TVS_RECORD_BYTES_MAX];
    size_t bytes = tvs_record_bytes(&record);
    tvs_record_encode(&record, row);
    trove_error error = {0};
    tvs_write_u64(row + 2, 999); /* the object ends inside its last gap */
    must_fail(tvs_record_decode(row, bytes, &back, &error), TROVE_DATA_LOSS, &error, "gaps");
    tvs_record_encode(&record, row);
    row[0] = 1; /* what stands where the strings are then isn't any */
    must_fail(tvs_record_decode(row, bytes, &back, &error), TROVE_DATA_LOSS, &error, "damaged");
    record = sample(TVS_PLACE_INLINE);
    tvs_record_encode(&record, row);
    row[0] = 2;
    must_fail(tvs_record_decode(row, tvs_record_bytes(&record), &back, &error), TROVE_DATA_LOSS, &error, "gaps");
}

static void decode_any(const uint8_t *changed, size_t bytes) {
    struct tvs_record back;
    if (tvs_record_decode(changed, bytes, &back, NULL) != TROVE_OK)
        return;
    struct tvs_object object;
    char etag[TROVE_ETAG_BYTES];
    tvs_etag_from_raw(back.etag, etag);
    struct tvs_object_facts facts = {.key = "k",
                                     .key_bytes = 1,
                                     .etag = etag,
                                     .strings = back.strings,
                                     .strings_bytes = back.strings_bytes,
                                     .metadata_count = back.metadata_count,
                                     .gaps = back.gaps};
    must(tvs_object_build(&facts, &object, NULL), NULL);
    tvs_object_fini(&object);
}

/* Any byte may have any value: a status, never a read outside. What decodes stays within its limits. */
static void test_record_of_any_bytes(void **state) {
    (void)state;
    uint8_t row[TVS_RECORD_BYTES_MAX];
    for (size_t kind = 2; kind < KIND_COUNT; kind++) {
        struct tvs_record record = sample_of(kind);
        size_t bytes = tvs_record_bytes(&record);
        tvs_record_encode(&record, row);
        for (size_t at = 0; at < bytes; at++) {
            for (unsigned value = 0; value < 256; value++) {
                uint8_t *changed = malloc(bytes);
                memcpy(changed, row, bytes);
                changed[at] = (uint8_t)value;
                decode_any(changed, bytes);
                free(changed);
            }
        }
        row[0] = 3;
        struct tvs_record back;
        trove_error error = {0};
        must_fail(tvs_record_decode(row, bytes, &back, &error), TROVE_FAILED_PRECONDITION, &error, "newer troved");
    }
}

static void test_other_rows(void **state) {
    (void)state;
    trove_error error = {0};
    struct tvs_bucket_record bucket = {.id = 1, .created_ns = 2, .object_count = 3, .object_bytes = UINT64_MAX}, bucket_back;
    uint8_t row[TVS_OWNER_RECORD_BYTES_MAX];
    tvs_bucket_record_encode(&bucket, row);
    must(tvs_bucket_record_decode(row, TVS_BUCKET_RECORD_BYTES, &bucket_back, &error), &error);
    assert_memory_equal(&bucket, &bucket_back, sizeof bucket);
    for (size_t cut = 0; cut <= TVS_BUCKET_RECORD_BYTES + 1; cut++)
        if (cut != TVS_BUCKET_RECORD_BYTES)
            assert_int_equal(tvs_bucket_record_decode(row, cut, &bucket_back, NULL), TROVE_DATA_LOSS);
    struct tvs_owner_record owner = {.bucket_id = 9, .key = "some/key", .key_bytes = 8}, owner_back;
    size_t bytes = tvs_owner_record_encode(&owner, row);
    must(tvs_owner_record_decode(row, bytes, &owner_back, &error), &error);
    assert_int_equal(owner_back.bucket_id, 9);
    assert_int_equal(owner_back.key_bytes, 8);
    assert_memory_equal(owner_back.key, "some/key", 8);
    for (size_t cut = 0; cut < 9; cut++)
        assert_int_equal(tvs_owner_record_decode(row, cut, &owner_back, NULL), TROVE_DATA_LOSS);
}

static void test_etag_text(void **state) {
    (void)state;
    uint8_t raw[TVS_ETAG_RAW_BYTES];
    char text[TROVE_ETAG_BYTES];
    tvs_etag_to_raw("0123456789abcdef00ff7f80deadbeef", raw);
    tvs_etag_from_raw(raw, text);
    assert_string_equal(text, "0123456789abcdef00ff7f80deadbeef");
}

static void test_index_keys_keep_order(void **state) {
    (void)state;
    const char *keys[] = {"", "\x01", "a", "a/", "a/b", "b", "\xC3\xA4", "\xF0\x9F\x98\x80"};
    uint8_t last[TVS_INDEX_KEY_BYTES_MAX], next[TVS_INDEX_KEY_BYTES_MAX];
    size_t last_bytes = tvs_index_key_object(255, keys[0], 0, last);
    for (size_t i = 1; i < sizeof keys / sizeof *keys; i++) {
        size_t next_bytes = tvs_index_key_object(255, keys[i], strlen(keys[i]), next);
        int order = memcmp(last, next, last_bytes < next_bytes ? last_bytes : next_bytes);
        assert_true(order < 0 || (order == 0 && last_bytes < next_bytes));
        memcpy(last, next, next_bytes);
        last_bytes = next_bytes;
    }
    size_t other = tvs_index_key_object(256, "", 0, next);
    assert_true(memcmp(last, next, other) < 0);
}

static void test_file_names(void **state) {
    (void)state;
    struct tvs_file_id id, back;
    for (uint8_t i = 0; i < TVS_FILE_ID_BYTES; i++)
        id.bytes[i] = (uint8_t)(i * 16 + 3);
    char path[TVS_FILE_PATH_BYTES];
    tvs_file_path(&id, path);
    assert_string_equal(path, "e3/03132333435363738393a3b3c3d3e3f3");
    assert_true(tvs_file_id_parse(0xE3, path + 3, &back));
    assert_memory_equal(&id, &back, sizeof id);
    const char *bad[] = {"",
                         "x",
                         "03132333435363738393a3b3c3d3e3f",
                         "03132333435363738393a3b3c3d3e3f30",
                         "03132333435363738393A3B3C3D3E3F3",
                         "../../../../../../../../etc/passw"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_false(tvs_file_id_parse(0xE3, bad[i], &back));
    assert_false(tvs_file_id_parse(0xE4, path + 3, &back));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_record_round_trip),
        cmocka_unit_test(test_rows_without_gaps_stay_as_they_were),
        cmocka_unit_test(test_record_of_any_length),
        cmocka_unit_test(test_a_list_of_gaps_that_cannot_be),
        cmocka_unit_test(test_record_of_any_bytes),
        cmocka_unit_test(test_other_rows),
        cmocka_unit_test(test_etag_text),
        cmocka_unit_test(test_index_keys_keep_order),
        cmocka_unit_test(test_file_names),
    };
    return cmocka_run_group_tests_name("rows of the local index", tests, NULL, NULL);
}
