/* test_gaps.c - the list of what a lossy stream lost: merging, the cap, cutting, finding, packing, what a damaged disk may
 * hold. */
#include "gaps.h"

#include "unit.h"

static trove_error error;

static void append(struct tv_gaps *gaps, uint64_t offset, uint64_t length) {
    assert_int_equal(tv_gaps_append(gaps, offset, length, &error), TROVE_OK);
}

/* `count` gaps of 3 bytes, 10 apart. */
static void fill(struct tv_gaps *gaps, uint32_t count) {
    tv_gaps_init(gaps);
    for (uint32_t i = 0; i < count; i++)
        append(gaps, 10 * (uint64_t)i, 3);
}

/* ---- appending ---- */

static void test_appending(void **state) {
    (void)state;
    static const struct {
        const char *name;
        trove_gap given[4];
        trove_gap kept[4];
        uint64_t count, bytes;
    } rows[] = {
        {"none", {{0}}, {{0}}, 0, 0},
        {"one", {{5, 7}}, {{5, 7}}, 1, 7},
        {"at the beginning", {{0, 1}}, {{0, 1}}, 1, 1},
        {"neighbours merge", {{5, 7}, {12, 3}}, {{5, 10}}, 1, 10},
        {"three neighbours", {{0, 1}, {1, 1}, {2, 1}}, {{0, 3}}, 1, 3},
        {"a byte between", {{5, 7}, {13, 3}}, {{5, 7}, {13, 3}}, 2, 10},
        {"merged, then apart", {{0, 2}, {2, 2}, {9, 1}}, {{0, 4}, {9, 1}}, 2, 5},
        {"up to 2^64", {{1, UINT64_MAX - 1}}, {{1, UINT64_MAX - 1}}, 1, UINT64_MAX - 1},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        unit_row(rows[i].name);
        struct tv_gaps gaps;
        tv_gaps_init(&gaps);
        for (size_t g = 0; g < 4 && rows[i].given[g].length > 0; g++)
            append(&gaps, rows[i].given[g].offset, rows[i].given[g].length);
        uint32_t kept = 0;
        while (kept < 4 && rows[i].kept[kept].length > 0)
            kept++;
        assert_int_equal(gaps.listed, kept);
        if (kept > 0)
            assert_memory_equal(gaps.list, rows[i].kept, kept * sizeof *gaps.list);
        assert_int_equal(gaps.count, rows[i].count);
        assert_int_equal(gaps.bytes, rows[i].bytes);
        tv_gaps_fini(&gaps);
    }
}

static void test_nothing_is_no_gap(void **state) {
    (void)state;
    struct tv_gaps gaps;
    tv_gaps_init(&gaps);
    append(&gaps, 5, 0);
    assert_int_equal(gaps.listed, 0);
    assert_int_equal(gaps.count, 0);
    append(&gaps, 5, 1);
    append(&gaps, 9, 0);
    assert_int_equal(gaps.count, 1);
    assert_int_equal(gaps.bytes, 1);
    tv_gaps_fini(&gaps);
}

static void test_beyond_2_64_is_refused(void **state) {
    (void)state;
    struct tv_gaps gaps;
    tv_gaps_init(&gaps);
    append(&gaps, 0, 1);
    assert_int_equal(tv_gaps_append(&gaps, 2, UINT64_MAX - 1, &error), TROVE_OUT_OF_RANGE);
    assert_int_equal(gaps.listed, 1);
    assert_int_equal(gaps.bytes, 1);
    tv_gaps_fini(&gaps);
}

/* ---- the cap ---- */

static void test_cap(void **state) {
    (void)state;
    static const struct {
        const char *name;
        uint32_t count;
        uint32_t listed;
        uint64_t last_length;
    } rows[] = {
        {"one below", TV_GAPS_MAX - 1, TV_GAPS_MAX - 1, 3},
        {"full", TV_GAPS_MAX, TV_GAPS_MAX, 3},
        {"one above", TV_GAPS_MAX + 1, TV_GAPS_MAX, 13},
        {"many above", TV_GAPS_MAX + 500, TV_GAPS_MAX, 5003},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        unit_row(rows[i].name);
        struct tv_gaps gaps;
        fill(&gaps, rows[i].count);
        assert_int_equal(gaps.listed, rows[i].listed);
        assert_int_equal(gaps.count, rows[i].count);
        assert_int_equal(gaps.bytes, 3 * (uint64_t)rows[i].count);
        const trove_gap *last = &gaps.list[gaps.listed - 1];
        assert_int_equal(last->offset, 10 * (uint64_t)(rows[i].listed - 1));
        assert_int_equal(last->length, rows[i].last_length);
        /* A neighbour of the last one is merged, full or not. */
        append(&gaps, last->offset + last->length, 2);
        assert_int_equal(gaps.listed, rows[i].listed);
        assert_int_equal(gaps.count, rows[i].count);
        assert_int_equal(gaps.list[gaps.listed - 1].length, rows[i].last_length + 2);
        /* Nothing that is lost is missing from the list. */
        for (uint32_t g = 0; g < rows[i].count; g++)
            assert_non_null(tv_gaps_find(gaps.list, gaps.listed, 10 * (uint64_t)g + 2, 1));
        tv_gaps_fini(&gaps);
    }
}

/* ---- truncating ---- */

static void test_truncating(void **state) {
    (void)state;
    static const struct {
        const char *name;
        uint64_t offset;
        trove_gap kept[3];
    } rows[] = {
        {"to nothing", 0, {{0}}},
        {"before all", 9, {{0}}},
        {"at the first one's beginning", 10, {{0}}},
        {"a byte of it", 11, {{10, 1}}},
        {"all but a byte of it", 14, {{10, 4}}},
        {"at its end", 15, {{10, 5}}},
        {"behind it", 16, {{10, 5}}},
        {"at the second one's beginning", 20, {{10, 5}}},
        {"inside the second one", 25, {{10, 5}, {20, 5}}},
        {"at the third one's end", 130, {{10, 5}, {20, 10}, {100, 30}}},
        {"behind all", 1000, {{10, 5}, {20, 10}, {100, 30}}},
        {"at 2^64", UINT64_MAX, {{10, 5}, {20, 10}, {100, 30}}},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        unit_row(rows[i].name);
        struct tv_gaps gaps;
        tv_gaps_init(&gaps);
        append(&gaps, 10, 5);
        append(&gaps, 20, 10);
        append(&gaps, 100, 30);
        uint32_t kept = 0;
        uint64_t lost = 0;
        for (; kept < 3 && rows[i].kept[kept].length > 0; kept++)
            lost += rows[i].kept[kept].length;
        /* The second time there is nothing left to forget. */
        for (int round = 0; round < 2; round++) {
            tv_gaps_truncate(&gaps, rows[i].offset);
            assert_int_equal(gaps.listed, kept);
            assert_int_equal(gaps.count, kept);
            assert_int_equal(gaps.bytes, lost);
            if (kept > 0)
                assert_memory_equal(gaps.list, rows[i].kept, kept * sizeof *gaps.list);
        }
        tv_gaps_fini(&gaps);
    }
    struct tv_gaps none;
    tv_gaps_init(&none);
    tv_gaps_truncate(&none, 0);
    assert_int_equal(none.count, 0);
    tv_gaps_fini(&none);
}

/* A shortened gap is lengthened again where the next one touches it. */
static void test_appending_behind_a_truncation(void **state) {
    (void)state;
    struct tv_gaps gaps;
    tv_gaps_init(&gaps);
    append(&gaps, 10, 10);
    append(&gaps, 30, 10);
    tv_gaps_truncate(&gaps, 15);
    append(&gaps, 15, 3);
    append(&gaps, 40, 1);
    const trove_gap kept[] = {{10, 8}, {40, 1}};
    assert_int_equal(gaps.count, 2);
    assert_int_equal(gaps.bytes, 9);
    assert_memory_equal(gaps.list, kept, sizeof kept);
    tv_gaps_fini(&gaps);
}

/* What a lengthened list becomes: gaps of 3 bytes, 10 apart, the last of which are known by their number alone. */
static void test_truncating_a_lengthened_list(void **state) {
    (void)state;
    const uint64_t full = TV_GAPS_MAX, last = 10 * (full - 1);
    const struct {
        const char *name;
        uint64_t offset, listed, count, bytes, last_length;
    } rows[] = {
        {"behind all", last + 33, full, full + 3, 3 * (full + 3), 33},
        {"inside the third unknown one", last + 32, full, full + 3, 3 * (full + 3), 32},
        {"right behind the first unknown one", last + 13, full, full + 1, 3 * full + 3, 13},
        {"two bytes of the first unknown one", last + 12, full, full + 1, 3 * full + 2, 12},
        {"a byte of the first unknown one", last + 11, full, full + 1, 3 * full + 1, 11},
        {"before the first unknown one", last + 10, full, full, 3 * full, 3},
        {"between", last + 5, full, full, 3 * full, 3},
        {"inside the last entry's own", last + 1, full, full, 3 * full - 2, 1},
        {"before the last entry", last, full - 1, full - 1, 3 * full - 3, 3},
        {"far before", 11, 2, 2, 4, 1},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        unit_row(rows[i].name);
        struct tv_gaps gaps;
        fill(&gaps, TV_GAPS_MAX + 3);
        tv_gaps_truncate(&gaps, rows[i].offset);
        assert_int_equal(gaps.listed, rows[i].listed);
        assert_int_equal(gaps.count, rows[i].count);
        assert_int_equal(gaps.bytes, rows[i].bytes);
        assert_int_equal(gaps.list[gaps.listed - 1].length, rows[i].last_length);
        tv_gaps_fini(&gaps);
    }
}

#define MODEL_BYTES 20000

/* The list against a map of the lost bytes: exact where it says so, no lost byte missing, always one that can be read. */
static void check_model(const struct tv_gaps *gaps, const bool *lost, uint64_t end, bool exact) {
    uint64_t count = 0, bytes = 0;
    for (uint64_t i = 0; i < end; i++) {
        bytes += lost[i];
        count += lost[i] && (i == 0 || !lost[i - 1]);
        bool listed = tv_gaps_find(gaps->list, gaps->listed, i, 1) != NULL;
        assert_true(listed || !lost[i]);
        assert_true(lost[i] || !listed || (gaps->count > gaps->listed && i >= gaps->list[gaps->listed - 1].offset));
    }
    assert_true(gaps->bytes >= bytes);
    if (exact || gaps->count == gaps->listed) {
        assert_int_equal(gaps->bytes, bytes);
        assert_int_equal(gaps->count, count);
    }
    uint8_t packed[TV_GAPS_PACKED_BYTES_MAX];
    struct tv_packed_gaps made = tv_gaps_pack(gaps, packed), read;
    if (made.packed_bytes > 0)
        assert_int_equal(tv_gaps_read(packed, made.packed_bytes, end, &read, &error), TROVE_OK);
}

static void test_truncating_against_a_model(void **state) {
    (void)state;
    uint64_t random = unit_seed();
    static bool lost[MODEL_BYTES];
    for (int round = 0; round < 40; round++) {
        memset(lost, 0, sizeof lost);
        struct tv_gaps gaps;
        tv_gaps_init(&gaps);
        uint64_t end = 0;
        bool exact = true;
        for (int step = 0; step < 12; step++) {
            uint64_t to = end + unit_random(&random) % (MODEL_BYTES - end);
            while (end + 10 < to) {
                uint64_t length = 1 + unit_random(&random) % 5;
                end += unit_random(&random) % 6;
                append(&gaps, end, length);
                memset(lost + end, true, (size_t)length);
                end += length;
            }
            check_model(&gaps, lost, end, exact);
            uint64_t back = unit_random(&random) % 3 == 0 ? unit_random(&random) % (end + 1) : unit_random(&random) % 20;
            end -= back < end ? back : end;
            memset(lost + end, false, sizeof lost - (size_t)end);
            tv_gaps_truncate(&gaps, end);
            exact = gaps.count == gaps.listed;
            check_model(&gaps, lost, end, exact);
        }
        tv_gaps_fini(&gaps);
    }
}

/* ---- finding ---- */

static void test_finding(void **state) {
    (void)state;
    static const trove_gap list[] = {{10, 5}, {20, 1}, {100, 50}, {UINT64_MAX - 5, 5}};
    static const struct {
        const char *name;
        uint64_t offset, length;
        int found; /* -1: none */
    } rows[] = {
        {"before all", 0, 10, -1},
        {"the last byte is the first lost", 0, 11, 0},
        {"nothing at a gap", 10, 0, -1},
        {"one byte inside", 12, 1, 0},
        {"the last lost byte", 14, 1, 0},
        {"right behind", 15, 5, -1},
        {"between, up to the next", 15, 6, 1},
        {"over several: the first", 0, 1000, 0},
        {"over the second", 16, 1000, 1},
        {"the third's middle", 120, 1, 2},
        {"right behind the third", 150, 1000, -1},
        {"to the end of all", 150, UINT64_MAX - 150, 3},
        {"a range that ends above 2^64", 150, UINT64_MAX, 3},
        {"the last byte of all", UINT64_MAX - 1, 1, 3},
        {"behind all", UINT64_MAX, 1, -1},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        unit_row(rows[i].name);
        const trove_gap *found = tv_gaps_find(list, 4, rows[i].offset, rows[i].length);
        if (rows[i].found < 0)
            assert_null(found);
        else
            assert_ptr_equal(found, &list[rows[i].found]);
    }
    assert_null(tv_gaps_find(NULL, 0, 0, UINT64_MAX));
}

/* ---- as bytes ---- */

static uint8_t *pack(const struct tv_gaps *gaps, size_t *bytes) {
    *bytes = tv_gaps_packed_bytes(gaps);
    uint8_t *packed = malloc(*bytes + 1);
    struct tv_packed_gaps made = tv_gaps_pack(gaps, packed);
    assert_int_equal(made.packed_bytes, *bytes);
    assert_int_equal(made.count, gaps->count);
    return packed;
}

static void test_packing(void **state) {
    (void)state;
    static const uint32_t counts[] = {1, 2, TV_GAPS_MAX - 1, TV_GAPS_MAX, TV_GAPS_MAX + 1, TV_GAPS_MAX + 700};
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
        struct tv_gaps gaps, copy;
        fill(&gaps, counts[i]);
        size_t bytes;
        uint8_t *packed = pack(&gaps, &bytes);
        assert_true(bytes <= TV_GAPS_PACKED_BYTES_MAX);
        uint64_t end = 10 * (uint64_t)(counts[i] - 1) + 3;
        struct tv_packed_gaps read;
        packed[bytes] = 'x'; /* what comes behind isn't the list's */
        assert_int_equal(tv_gaps_read(packed, bytes + 1, end, &read, &error), TROVE_OK);
        assert_int_equal(read.packed_bytes, bytes);
        assert_int_equal(read.listed, gaps.listed);
        assert_int_equal(read.count, gaps.count);
        assert_int_equal(read.bytes, gaps.bytes);
        trove_gap list[TV_GAPS_MAX];
        tv_gaps_unpack(&read, list);
        assert_memory_equal(list, gaps.list, gaps.listed * sizeof *list);
        assert_int_equal(tv_gaps_read(packed, bytes, end - 1, &read, &error), TROVE_DATA_LOSS);
        tv_gaps_init(&copy);
        assert_int_equal(tv_gaps_copy(&copy, list, read.listed, read.count, read.bytes, &error), TROVE_OK);
        size_t copy_bytes;
        uint8_t *copy_packed = pack(&copy, &copy_bytes);
        assert_int_equal(copy_bytes, bytes);
        assert_memory_equal(copy_packed, packed, bytes);
        free(copy_packed);
        free(packed);
        tv_gaps_fini(&copy);
        tv_gaps_fini(&gaps);
    }
}

static void test_an_empty_list_has_no_bytes(void **state) {
    (void)state;
    struct tv_gaps gaps, copy;
    tv_gaps_init(&gaps);
    assert_int_equal(tv_gaps_packed_bytes(&gaps), 0);
    struct tv_packed_gaps packed = tv_gaps_pack(&gaps, NULL);
    assert_int_equal(packed.packed_bytes, 0);
    assert_int_equal(packed.listed, 0);
    tv_gaps_init(&copy);
    assert_int_equal(tv_gaps_copy(&copy, NULL, 0, 0, 0, &error), TROVE_OK);
    assert_int_equal(copy.count, 0);
    tv_gaps_fini(&copy);
}

static void put_u64(uint8_t *to, uint64_t value) {
    for (size_t i = 0; i < 8; i++)
        to[i] = (uint8_t)(value >> 8 * i);
}

/* Two gaps, {10, 5} and {20, 5}, of an object of 30 bytes; then one number is another. */
static void test_what_is_refused(void **state) {
    (void)state;
    static const struct {
        const char *name;
        size_t at;
        uint64_t value;
        trove_status status;
    } rows[] = {
        {"as it was", 8, 10, TROVE_OK},
        {"a gap more than is listed", 0, 3, TROVE_DATA_LOSS},
        {"a gap fewer", 0, 1, TROVE_DATA_LOSS},
        {"a byte more than is covered", 8, 11, TROVE_DATA_LOSS},
        {"a byte fewer", 8, 9, TROVE_DATA_LOSS},
        {"an entry more than there is room for", 16, 3 | (uint64_t)10 << 32, TROVE_DATA_LOSS},
        {"more entries than there may be", 16, TV_GAPS_MAX + 1, TROVE_DATA_LOSS},
        {"no entry", 16, (uint64_t)10 << 32, TROVE_DATA_LOSS},
        {"an entry of nothing", 28, 0, TROVE_DATA_LOSS},
        {"up to the next one", 28, 10, TROVE_DATA_LOSS},
        {"over the next one", 28, 11, TROVE_DATA_LOSS},
        {"out of order", 20, 26, TROVE_DATA_LOSS},
        {"behind the object", 36, 31, TROVE_DATA_LOSS},
        {"over the object's end", 44, 11, TROVE_DATA_LOSS},
        {"over 2^64", 44, UINT64_MAX, TROVE_DATA_LOSS},
    };
    struct tv_gaps gaps;
    tv_gaps_init(&gaps);
    append(&gaps, 10, 5);
    append(&gaps, 20, 5);
    size_t bytes;
    uint8_t *packed = pack(&gaps, &bytes);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        unit_row(rows[i].name);
        uint8_t *changed = unit_copy(packed, bytes);
        put_u64(changed + rows[i].at, rows[i].value);
        struct tv_packed_gaps read;
        assert_int_equal(tv_gaps_read(changed, bytes, 30, &read, &error), rows[i].status);
        free(changed);
    }
    for (size_t cut = 0; cut < bytes; cut++) {
        uint8_t *exact = unit_copy(packed, cut);
        struct tv_packed_gaps read;
        assert_int_equal(tv_gaps_read(exact, cut, 30, &read, &error), TROVE_DATA_LOSS);
        free(exact);
    }
    free(packed);
    tv_gaps_fini(&gaps);
}

/* A full list whose last entry is lengthened has numbers that must add up, too. */
static void test_lengthened_lists_are_checked(void **state) {
    (void)state;
    struct tv_gaps gaps;
    fill(&gaps, TV_GAPS_MAX + 2); /* the last entry: 3 of 23 bytes, and two gaps of 3 */
    const uint64_t count = TV_GAPS_MAX + 2, lost = 3 * count;
    const struct {
        const char *name;
        uint64_t count, bytes;
        trove_status status;
    } rows[] = {
        {"as it was", count, lost, TROVE_OK},
        {"nothing good between", count, lost + 14, TROVE_DATA_LOSS},
        {"one good byte between three", count, lost + 13, TROVE_DATA_LOSS},
        {"two good bytes between three", count, lost + 12, TROVE_OK},
        {"a byte for each", count, lost - 6, TROVE_OK},
        {"fewer than that", count, lost - 7, TROVE_DATA_LOSS},
        {"as many as are listed", TV_GAPS_MAX, lost, TROVE_DATA_LOSS},
        {"more than could lie there", count + 20, lost, TROVE_DATA_LOSS},
        {"absurdly many", UINT64_MAX, lost, TROVE_DATA_LOSS},
        {"absurdly large", count, UINT64_MAX, TROVE_DATA_LOSS},
    };
    size_t bytes;
    uint8_t *packed = pack(&gaps, &bytes);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        unit_row(rows[i].name);
        put_u64(packed, rows[i].count);
        put_u64(packed + 8, rows[i].bytes);
        struct tv_packed_gaps read;
        assert_int_equal(tv_gaps_read(packed, bytes, 1000000, &read, &error), rows[i].status);
    }
    free(packed);
    tv_gaps_fini(&gaps);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_appending),
        cmocka_unit_test(test_nothing_is_no_gap),
        cmocka_unit_test(test_beyond_2_64_is_refused),
        cmocka_unit_test(test_cap),
        cmocka_unit_test(test_truncating),
        cmocka_unit_test(test_appending_behind_a_truncation),
        cmocka_unit_test(test_truncating_a_lengthened_list),
        cmocka_unit_test(test_truncating_against_a_model),
        cmocka_unit_test(test_finding),
        cmocka_unit_test(test_packing),
        cmocka_unit_test(test_an_empty_list_has_no_bytes),
        cmocka_unit_test(test_what_is_refused),
        cmocka_unit_test(test_lengthened_lists_are_checked),
    };
    return cmocka_run_group_tests_name("gaps", tests, NULL, NULL);
}
