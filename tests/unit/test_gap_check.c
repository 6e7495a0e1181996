/* test_gap_check.c - who may read across what was lost. */
#include "gap_check.h"

#include "unit.h"

static trove_gap gaps[] = {{100, 50}, {1000, 1}, {4000, 96}};

static struct tvs_object lossy(uint64_t gap_count) {
    return (struct tvs_object){
        .key = "film.mkv", .size = 4096, .gap_count = gap_count, .gap_bytes = 147, .gaps = gaps, .gaps_listed = 3};
}

static void test_ranges(void **state) {
    (void)state;
    static const struct {
        const char *name;
        uint64_t offset, length;
        const char *lost; /* NULL: it may be read */
    } rows[] = {
        {"all of it", 0, TROVE_SIZE_UNKNOWN, "100 to 150"},
        {"before the first gap", 0, 100, NULL},
        {"up to its first byte", 0, 101, "100 to 150"},
        {"its last byte", 149, 1, "100 to 150"},
        {"between gaps", 150, 850, NULL},
        {"the second one", 200, 3800, "1000 to 1001"},
        {"between the second and the last", 1001, 2999, NULL},
        {"the end", 1001, TROVE_SIZE_UNKNOWN, "4000 to 4096"},
        {"nothing, inside a gap", 120, 0, NULL},
        {"behind the object", 4096, TROVE_SIZE_UNKNOWN, NULL},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        unit_row(rows[i].name);
        struct tvs_object object = lossy(3);
        trove_error error = {0};
        trove_status status = tvs_gaps_check("media", &object, rows[i].offset, rows[i].length, false, &error);
        assert_int_equal(status, rows[i].lost == NULL ? TROVE_OK : TROVE_DATA_LOSS);
        assert_int_equal(error.status, status);
        if (rows[i].lost != NULL) {
            assert_non_null(strstr(error.message, rows[i].lost));
            assert_non_null(strstr(error.message, "media/film.mkv"));
            assert_non_null(strstr(error.message, "--allow-gaps"));
            assert_null(strstr(error.message, "in part"));
        }
        assert_int_equal(tvs_gaps_check("media", &object, rows[i].offset, rows[i].length, true, NULL), TROVE_OK);
    }
}

static void test_whole_objects(void **state) {
    (void)state;
    struct tvs_object object = {.key = "whole", .size = 4096};
    assert_int_equal(tvs_gaps_check("media", &object, 0, TROVE_SIZE_UNKNOWN, false, NULL), TROVE_OK);
}

/* More gaps than are listed: the last entry doesn't say that all in it is lost. */
static void test_a_lengthened_entry(void **state) {
    (void)state;
    struct tvs_object object = lossy(7);
    trove_error error = {0};
    assert_int_equal(tvs_gaps_check("media", &object, 4050, 1, false, &error), TROVE_DATA_LOSS);
    assert_non_null(strstr(error.message, "in part"));
    assert_int_equal(tvs_gaps_check("media", &object, 100, 1, false, &error), TROVE_DATA_LOSS);
    assert_null(strstr(error.message, "in part"));
}

static void test_long_keys_leave_room_for_the_advice(void **state) {
    (void)state;
    char key[TV_KEY_BYTES_MAX + 1];
    memset(key, 'k', TV_KEY_BYTES_MAX);
    key[TV_KEY_BYTES_MAX] = '\0';
    struct tvs_object object = lossy(UINT64_MAX);
    object.key = key;
    object.gap_bytes = UINT64_MAX;
    trove_gap far = {UINT64_MAX - 7, 7};
    object.gaps = &far;
    object.gaps_listed = 1;
    char bucket[TV_BUCKET_BYTES_MAX + 1];
    memset(bucket, 'b', TV_BUCKET_BYTES_MAX);
    bucket[TV_BUCKET_BYTES_MAX] = '\0';
    trove_error error = {0};
    assert_int_equal(tvs_gaps_check(bucket, &object, 0, UINT64_MAX, false, &error), TROVE_DATA_LOSS);
    assert_non_null(strstr(error.message, "--allow-gaps) to read zeros for them"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ranges),
        cmocka_unit_test(test_whole_objects),
        cmocka_unit_test(test_a_lengthened_entry),
        cmocka_unit_test(test_long_keys_leave_room_for_the_advice),
    };
    return cmocka_run_group_tests_name("gap check", tests, NULL, NULL);
}
