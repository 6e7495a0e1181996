/* test_lost.c - objects with gaps in any driver: what was lost reads as zeros and is told, what wasn't is as it was written. */
#include "fixture.h"

#include <stdlib.h>

#define K ((uint64_t)1024)
#define B TV_BLOCK_BYTES

struct row {
    const char *name;
    size_t size;
    trove_gap gaps[5];   /* as they are put */
    trove_gap listed[5]; /* as they are told; empty: the same */
};

static const struct row rows[] = {
    {"none", 3 * B + 5, {{0}}, {{0}}},
    {"at the beginning, inside a block", 3 * B + 5, {{0, 100}}, {{0}}},
    {"at the beginning, whole blocks", 3 * B + 5, {{0, 2 * B}}, {{0}}},
    {"at the beginning, blocks and a bit", 3 * B + 5, {{0, 2 * B + 7}}, {{0}}},
    {"in the middle of a block", 3 * B + 5, {{B + 1000, 5000}}, {{0}}},
    {"a page in the middle", 3 * B + 5, {{B + 4096, 4096}}, {{0}}},
    {"exactly a block", 3 * B + 5, {{B, B}}, {{0}}},
    {"a block, and a byte before and behind", 3 * B + 5, {{B - 1, B + 2}}, {{0}}},
    {"a block but for its ends", 3 * B + 5, {{B + 1, B - 2}}, {{0}}},
    {"over three blocks", 5 * B, {{200000, 800001}}, {{0}}},
    {"at the end, inside a block", 3 * B + 5, {{3 * B + 1, 4}}, {{0}}},
    {"at the end, blocks and a bit", 3 * B + 5, {{B + 9, 2 * B - 4}}, {{0}}},
    {"at the end of a whole block", 4 * B, {{3 * B, B}}, {{0}}},
    {"all of a byte", 1, {{0, 1}}, {{0}}},
    {"all of a small object", 1000, {{0, 1000}}, {{0}}},
    {"all of the largest small object", 64 * K, {{0, 64 * K}}, {{0}}},
    {"all of the smallest large object", 64 * K + 1, {{0, 64 * K + 1}}, {{0}}},
    {"all of a large object", 7 * B + 3, {{0, 7 * B + 3}}, {{0}}},
    {"a small object that a gap makes large", 90000, {{60000, 30000}}, {{0}}},
    {"a small object that stays small behind one", 60000, {{3, 50000}}, {{0}}},
    {"several in a small object", 5000, {{0, 1}, {10, 20}, {4999, 1}}, {{0}}},
    {"several in a block", B, {{5, 5}, {20, 5}, {4096, 8192}, {B - 1, 1}}, {{0}}},
    {"everywhere", 9 * B, {{0, 7}, {B, 3 * B}, {5 * B - 3, 9}, {6 * B + 4096, 4096}, {9 * B - 1, 1}}, {{0}}},
    {"neighbours are one", 3 * B, {{100, B}, {100 + B, B}, {100 + 2 * B, 5}}, {{100, 2 * B + 5}}},
};

#define ROW_COUNT (sizeof rows / sizeof *rows)

static size_t count_of(const trove_gap gaps[5]) {
    size_t count = 0;
    while (count < 5 && gaps[count].length > 0)
        count++;
    return count;
}

/* The bytes as they read: zeros in the gaps. */
static char *bytes_with_zeros(size_t size, uint64_t seed, const trove_gap *gaps, size_t count) {
    char *bytes = bytes_make(size, seed);
    for (size_t i = 0; i < count; i++)
        memset(bytes + gaps[i].offset, 0, (size_t)gaps[i].length);
    return bytes;
}

static const struct row *row_of(const char *name) {
    size_t i = 0;
    while (i < ROW_COUNT && strcmp(rows[i].name, name) != 0)
        i++;
    assert_true(i < ROW_COUNT);
    return &rows[i];
}

/* By head and by get. */
static void must_tell_stored(struct store *store, const char *key, const trove_gap *gaps, size_t count) {
    trove_error error = {0};
    struct tvs_object object = {0};
    must(store->ops->head(store->driver, "bucket", key, &object, &error), &error);
    must_tell(&object, gaps, count);
    tvs_object_fini(&object);
    struct tvs_get *get;
    must(store->ops->get_begin(store->driver, "bucket", key, NULL, &get, &object, &error), &error);
    must_tell(&object, gaps, count);
    store->ops->get_end(get);
    tvs_object_fini(&object);
}

struct counted {
    uint64_t count, bytes;
};

static bool count_lost(void *context, const struct tvs_list_entry *entry) {
    struct counted *counted = context;
    counted->count += entry->object->gap_count;
    counted->bytes += entry->object->gap_bytes;
    return true;
}

static struct counted list_lost(struct store *store, const char *key) {
    trove_error error = {0};
    struct counted counted = {0};
    struct tvs_list_query query = {.prefix = key, .delimiter = "", .after = "", .limit = 1};
    bool more;
    must(store->ops->list(store->driver, "bucket", &query, count_lost, &counted, &more, &error), &error);
    return counted;
}

static void reopen_if_durable(struct store *store) {
    if ((store->ops->capabilities & TVS_CAP_DURABLE) == 0)
        return;
    store_close(store);
    store_open(store);
}

/* ---- what is put ------------------------------------------------------------------------------------------------------ */

/* Puts a row's object; *put is its description. */
static void put_row(struct store *store, const struct row *row, const char *bytes, struct put_how how, struct tvs_object *put) {
    trove_error error = {0};
    how.gaps = row->gaps;
    how.gap_count = count_of(row->gaps);
    how.object = put;
    must(put_object(store, "bucket", "lossy", bytes, row->size, &how, &error), &error);
}

static void test_what_is_lost_is_told(void **state) {
    struct store *store = *state;
    const struct put_how ways[] = {{.write_bytes = 0},
                                   {.write_bytes = 100003, .iov_bytes = 30011},
                                   {.write_bytes = 65536},
                                   {.write_bytes = 262144, .shift = 1}};
    for (size_t i = 0; i < ROW_COUNT; i++) {
        print_message("    %s\n", rows[i].name);
        const trove_gap *listed = rows[i].listed[0].length > 0 ? rows[i].listed : rows[i].gaps;
        size_t count = count_of(listed);
        char *bytes = bytes_with_zeros(rows[i].size, i, listed, count);
        trove_error error = {0};
        struct tvs_object plain = {0};
        must(put_object(store, "bucket", "plain", bytes, rows[i].size, &(struct put_how){.object = &plain}, &error), &error);
        for (size_t w = 0; w < sizeof ways / sizeof *ways; w++) {
            struct tvs_object put = {0};
            put_row(store, &rows[i], bytes, ways[w], &put);
            must_tell(&put, listed, count);
            assert_int_equal(put.size, rows[i].size);
            assert_string_equal(put.etag, plain.etag);
            if (fixture_ops != &tvs_null_driver) {
                must_hold(store, "bucket", "lossy", bytes, rows[i].size);
                must_tell_stored(store, "lossy", listed, count);
                must_have_sums(store, "bucket", "lossy", bytes, rows[i].size);
                assert_int_equal(list_lost(store, "lossy").count, count);
                assert_int_equal(list_lost(store, "lossy").bytes, put.gap_bytes);
            }
            tvs_object_fini(&put);
        }
        tvs_object_fini(&plain);
        free(bytes);
    }
}

static void test_ranges_around_gaps(void **state) {
    struct store *store = *state;
    const struct row *row = row_of("everywhere");
    char *bytes = bytes_with_zeros(row->size, 1, row->gaps, count_of(row->gaps));
    struct tvs_object put = {0};
    put_row(store, row, bytes, (struct put_how){0}, &put);
    for (uint64_t offset = 0; offset < row->size; offset += B) {
        trove_error error = {0};
        char *got;
        size_t size;
        must(get_object(store, "bucket", "lossy", offset, &got, &size, &error), &error);
        assert_int_equal(size, row->size - offset);
        assert_memory_equal(got, bytes + offset, size);
        free(got);
    }
    tvs_object_fini(&put);
    free(bytes);
}

/* The etag that the sender computed has the zeros in it, and so it is checked as ever. */
static void test_the_senders_etag(void **state) {
    struct store *store = *state;
    const struct row *row = row_of("over three blocks");
    size_t count = count_of(row->gaps);
    char *bytes = bytes_with_zeros(row->size, 1, row->gaps, count), *others = bytes_make(row->size, 1);
    trove_error error = {0};
    struct tvs_object put = {0}, other = {0};
    put_row(store, row, bytes, (struct put_how){0}, &put);
    put_row(store, row, bytes, (struct put_how){.etag = put.etag}, &other);
    tvs_object_fini(&other);
    must(put_object(store, "bucket", "other", others, row->size, &(struct put_how){.object = &other}, &error), &error);
    struct put_how wrong = {.gaps = row->gaps, .gap_count = count, .etag = other.etag};
    must_fail(put_object(store, "bucket", "lossy", bytes, row->size, &wrong, &error), TROVE_DATA_LOSS, &error, put.etag);
    tvs_object_fini(&other);
    tvs_object_fini(&put);
    free(others);
    free(bytes);
}

static void test_a_gap_of_nothing(void **state) {
    struct store *store = *state;
    trove_error error = {0};
    struct tvs_put *put;
    struct tvs_object object = {0};
    must(put_uncommitted(store, "bucket", "nothing", "abc", 3, NULL, &put, &error), &error);
    must(store->ops->put_gap(put, 3, 0, &error), &error);
    must(put_commit_wait(store, put, &object, &error), &error);
    assert_int_equal(object.size, 3);
    must_tell(&object, NULL, 0);
    tvs_object_fini(&object);
}

/* ---- beyond the list -------------------------------------------------------------------------------------------------- */

#define STEP 997

/* Gaps of 100 bytes at every 997th byte; the list's last entry reaches up to the end of the last of them. */
static void test_more_than_are_listed(void **state) {
    struct store *store = *state;
    static const size_t counts[] = {TV_GAPS_MAX - 1, TV_GAPS_MAX, TV_GAPS_MAX + 1, TV_GAPS_MAX + 300};
    for (size_t c = 0; c < sizeof counts / sizeof *counts; c++) {
        size_t count = counts[c], listed = count < TV_GAPS_MAX ? count : TV_GAPS_MAX;
        size_t size = count * STEP + 50;
        trove_gap *gaps = calloc(count, sizeof *gaps);
        for (size_t i = 0; i < count; i++)
            gaps[i] = (trove_gap){.offset = i * STEP + 7, .length = 100};
        char *bytes = bytes_with_zeros(size, c, gaps, count);
        trove_error error = {0};
        struct tvs_object object = {0}, plain = {0};
        struct put_how how = {.gaps = gaps, .gap_count = count, .object = &object};
        must(put_object(store, "bucket", "many", bytes, size, &how, &error), &error);
        must(put_object(store, "bucket", "plain", bytes, size, &(struct put_how){.object = &plain}, &error), &error);
        assert_string_equal(object.etag, plain.etag);
        gaps[listed - 1].length = gaps[count - 1].offset + 100 - gaps[listed - 1].offset;
        for (int round = 0; round < 3; round++) {
            assert_int_equal(object.gap_count, count);
            assert_int_equal(object.gap_bytes, count * 100);
            assert_int_equal(object.gaps_listed, listed);
            assert_memory_equal(object.gaps, gaps, listed * sizeof *gaps);
            tvs_object_fini(&object);
            if (fixture_ops == &tvs_null_driver)
                break;
            must_hold(store, "bucket", round == 2 ? "copy" : "many", bytes, size);
            if (round == 0)
                must(store->ops->head(store->driver, "bucket", "many", &object, &error), &error);
            else if (round == 1)
                must(copy_object(store, "bucket", "many", "bucket", "copy", NULL, &object, &error), &error);
        }
        tvs_object_fini(&plain);
        free(bytes);
        free(gaps);
    }
}

/* A sender may lose terabytes in one word: that costs next to nothing, or is refused, and what was refused costs nothing. */
static void test_huge_gaps(void **state) {
    struct store *store = *state;
    trove_error error = {0};
    const uint64_t huge = 40 * TV_GIB;
    struct tvs_put *put;
    struct tvs_object object = {0};
    must(put_uncommitted(store, "bucket", "huge", "abc", 3, NULL, &put, &error), &error);
    must(store->ops->put_gap(put, 3, huge, &error), &error);
    must(put_commit_wait(store, put, &object, &error), &error);
    assert_int_equal(object.size, huge + 3);
    assert_int_equal(object.gap_bytes, huge);
    tvs_object_fini(&object);
    for (int round = 0; round < 3; round++) {
        static const uint64_t absurd[] = {(uint64_t)1 << 45, (uint64_t)1 << 60, UINT64_MAX - 3};
        must(put_uncommitted(store, "bucket", "absurd", "abc", 3, NULL, &put, &error), &error);
        trove_status status = store->ops->put_gap(put, 3, absurd[round], &error);
        assert_true(status == TROVE_RESOURCE_EXHAUSTED || status == TROVE_OUT_OF_RANGE);
        store->ops->put_abort(put);
    }
    must(put_uncommitted(store, "bucket", "again", "abc", 3, NULL, &put, &error), &error);
    must(store->ops->put_gap(put, 3, huge, &error), &error);
    store->ops->put_abort(put);
    if (fixture_ops == &tvs_null_driver)
        return;
    must_count(store, "bucket", 1, huge + 3);
    char *area = calloc(1, B);
    struct tvs_get *get;
    must(store->ops->get_begin(store->driver, "bucket", "huge", NULL, &get, &object, &error), &error);
    memset(area, 'x', B);
    must(get_rest(store, get, huge - B, huge, area, &error), &error);
    assert_true(area[0] == 0 && memcmp(area, area + 1, B - 1) == 0);
    must(get_rest(store, get, huge, huge + 3, area, &error), &error);
    store->ops->get_end(get);
    tvs_object_fini(&object);
    /* A copy is no dearer. */
    must(copy_object(store, "bucket", "huge", "bucket", "copy", NULL, &object, &error), &error);
    assert_int_equal(object.gap_bytes, huge);
    tvs_object_fini(&object);
    free(area);
}

/* ---- what becomes of them --------------------------------------------------------------------------------------------- */

static void test_copies_have_the_gaps(void **state) {
    struct store *store = *state;
    for (size_t i = 0; i < ROW_COUNT; i++) {
        print_message("    %s\n", rows[i].name);
        const trove_gap *listed = rows[i].listed[0].length > 0 ? rows[i].listed : rows[i].gaps;
        size_t count = count_of(listed);
        char *bytes = bytes_with_zeros(rows[i].size, i, listed, count);
        trove_error error = {0};
        struct tvs_object put = {0}, copied = {0};
        put_row(store, &rows[i], bytes, (struct put_how){0}, &put);
        must(copy_object(store, "bucket", "lossy", "bucket", "copy", NULL, &copied, &error), &error);
        must_tell(&copied, listed, count);
        assert_string_equal(copied.etag, put.etag);
        must(store->ops->delete (store->driver, "bucket", "lossy", NULL, &error), &error);
        must_hold(store, "bucket", "copy", bytes, rows[i].size);
        must_tell_stored(store, "copy", listed, count);
        must_have_sums(store, "bucket", "copy", bytes, rows[i].size);
        tvs_object_fini(&put);
        tvs_object_fini(&copied);
        free(bytes);
    }
}

static void test_replaced_by_a_whole_one(void **state) {
    struct store *store = *state;
    for (size_t i = 0; i < ROW_COUNT; i++) {
        size_t count = count_of(rows[i].gaps);
        char *bytes = bytes_with_zeros(rows[i].size, i, rows[i].gaps, count), *whole = bytes_make(rows[i].size, i);
        struct tvs_object put = {0};
        put_row(store, &rows[i], bytes, (struct put_how){0}, &put);
        tvs_object_fini(&put);
        must_put(store, "bucket", "lossy", whole, rows[i].size);
        must_tell_stored(store, "lossy", NULL, 0);
        must_hold(store, "bucket", "lossy", whole, rows[i].size);
        assert_int_equal(list_lost(store, "lossy").count, 0);
        free(whole);
        free(bytes);
    }
    must_count(store, "bucket", 1, rows[ROW_COUNT - 1].size);
}

/* Where the store outlives anything: the others are only looked at twice. */
static void test_gaps_outlive_the_store(void **state) {
    struct store *store = *state;
    char key[32];
    for (size_t i = 0; i < ROW_COUNT; i++) {
        snprintf(key, sizeof key, "kept-%zu", i);
        char *bytes = bytes_with_zeros(rows[i].size, i, rows[i].gaps, count_of(rows[i].gaps));
        struct put_how how = {.gaps = rows[i].gaps, .gap_count = count_of(rows[i].gaps)};
        trove_error error = {0};
        must(put_object(store, "bucket", key, bytes, rows[i].size, &how, &error), &error);
        free(bytes);
    }
    for (int round = 0; round < 2; round++) {
        reopen_if_durable(store);
        for (size_t i = 0; i < ROW_COUNT; i++) {
            snprintf(key, sizeof key, "kept-%zu", i);
            const trove_gap *listed = rows[i].listed[0].length > 0 ? rows[i].listed : rows[i].gaps;
            char *bytes = bytes_with_zeros(rows[i].size, i, rows[i].gaps, count_of(rows[i].gaps));
            must_hold(store, "bucket", key, bytes, rows[i].size);
            must_tell_stored(store, key, listed, count_of(listed));
            free(bytes);
        }
    }
}

/* The checksums of an object that has many, a few at a time: one block of bytes, and nothing but gaps around it. */
static void test_some_of_many_checksums(void **state) {
    struct store *store = *state;
    enum {
        BLOCKS = 10000,
        FULL = 5000
    };
    trove_error error = {0};
    struct tvs_put *put;
    struct put_how how = {0};
    char *bytes = bytes_make(B, 1);
    struct tv_data data = {.offset = FULL * B, .bytes = B, .iov_count = 1, .iov[0] = {bytes, B}};
    tv_data_hash(&data);
    must(put_uncommitted(store, "bucket", "many", "", 0, &how, &put, &error), &error);
    must(store->ops->put_gap(put, 0, FULL * B, &error), &error);
    must(store->ops->put_write(put, &data, &error), &error);
    must(store->ops->put_gap(put, (FULL + 1) * B, (BLOCKS - FULL - 1) * B, &error), &error);
    must(put_commit_wait(store, put, NULL, &error), &error);
    memset(bytes, 0, B);
    uint64_t zeros = tv_hash(bytes, B);
    static uint64_t sums[BLOCKS];
    const struct {
        uint64_t first;
        size_t count;
    } ranges[] = {{0, BLOCKS}, {4095, 2}, {4096, 1}, {FULL - 1, 3}, {FULL, 1}, {8191, 2}, {BLOCKS - 1, 1}, {100, 9000}};
    for (size_t r = 0; r < sizeof ranges / sizeof *ranges; r++) {
        struct tvs_object object;
        size_t count;
        memset(sums, 0xEE, sizeof sums);
        must(store->ops->block_sums(store->driver, "bucket", "many", ranges[r].first, ranges[r].count, sums, &count, &object,
                                    &error),
             &error);
        tvs_object_fini(&object);
        assert_int_equal(count, ranges[r].count);
        for (size_t i = 0; i < count; i++)
            assert_true(sums[i] == (ranges[r].first + i == FULL ? data.piece_sums[0] : zeros));
    }
    free(bytes);
}

/* All that gaps cost comes back. */
static void test_mem_gives_all_back(void **state) {
    struct store *store = *state;
    trove_error error = {0};
    store_close(store);
    store->config.memory_bytes = 4 * TV_MIB;
    store_open(store);
    must(store->ops->bucket_create(store->driver, "bucket", &error), &error);
    for (int round = 0; round < 40; round++) {
        struct tvs_put *put;
        struct tvs_object object = {0};
        must(put_uncommitted(store, "bucket", "mem", "abc", 3, NULL, &put, &error), &error);
        must(store->ops->put_gap(put, 3, 16 * TV_GIB, &error), &error);
        if (round % 2 == 0) {
            store->ops->put_abort(put);
            continue;
        }
        must(put_commit_wait(store, put, NULL, &error), &error);
        must(copy_object(store, "bucket", "mem", "bucket", "copy", NULL, &object, &error), &error);
        tvs_object_fini(&object);
        must(store->ops->delete (store->driver, "bucket", "copy", NULL, &error), &error);
    }
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, store_setup, store_teardown)

int main(int count, char **arguments) {
    fixture_choose(count, arguments);
    const struct CMUnitTest any_tests[] = {
        TEST(test_what_is_lost_is_told), TEST(test_the_senders_etag), TEST(test_a_gap_of_nothing),
        TEST(test_more_than_are_listed), TEST(test_huge_gaps),
    };
    const struct CMUnitTest tests[] = {
        TEST(test_ranges_around_gaps),     TEST(test_copies_have_the_gaps),   TEST(test_replaced_by_a_whole_one),
        TEST(test_gaps_outlive_the_store), TEST(test_some_of_many_checksums),
    };
    const struct CMUnitTest mem_tests[] = {TEST(test_mem_gives_all_back)};
    int failed = cmocka_run_group_tests_name("gaps in any driver", any_tests, NULL, NULL);
    if (fixture_ops != &tvs_null_driver)
        failed += cmocka_run_group_tests_name("gaps that are stored", tests, NULL, NULL);
    if (fixture_ops == &tvs_mem_driver)
        failed += cmocka_run_group_tests_name("gaps in mem", mem_tests, NULL, NULL);
    return failed != 0;
}
