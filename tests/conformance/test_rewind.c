/* test_rewind.c - going back in an unfinished put, in any driver: afterwards it is as if only what stands now had been put. */
#include "fixture.h"

#include <stdlib.h>
#include <time.h>

#define K ((uint64_t)1024)
#define B TV_BLOCK_BYTES

#define STEPS_MAX 4
#define GAPS_MAX  4

/* Goes back to `back` (the first step has nothing to go back from) and puts bytes of its own up to `end`, but for one gap. */
struct step {
    uint64_t back, end;
    trove_gap gap;
};

struct row {
    const char *name;
    struct step steps[STEPS_MAX];
    trove_gap lost[GAPS_MAX]; /* in the end */
    unsigned count;           /* of the steps */
};

/* A step's gap where it loses nothing. */
#define NONE                                                                                                                     \
    { 0, 0 }

static const struct row rows[] = {
    /* where to */
    {"to the beginning", {{0, 3 * B + 5, NONE}, {0, 3 * B + 5, NONE}}, {{0}}, 2},
    {"to the beginning, then more", {{0, 3 * B + 5, NONE}, {0, 5 * B + 1, NONE}}, {{0}}, 2},
    {"to the beginning, then less", {{0, 3 * B + 5, NONE}, {0, B + 1, NONE}}, {{0}}, 2},
    {"to a block's beginning", {{0, 3 * B + 5, NONE}, {2 * B, 4 * B, NONE}}, {{0}}, 2},
    {"to the last block's beginning", {{0, 3 * B + 5, NONE}, {3 * B, 3 * B + 6, NONE}}, {{0}}, 2},
    {"into a whole block", {{0, 3 * B + 5, NONE}, {B + 100000, 4 * B, NONE}}, {{0}}, 2},
    {"into the first block", {{0, 3 * B + 5, NONE}, {100000, 4 * B, NONE}}, {{0}}, 2},
    {"one byte into a block", {{0, 3 * B + 5, NONE}, {2 * B + 1, 3 * B + 7, NONE}}, {{0}}, 2},
    {"all but a byte of a block", {{0, 3 * B + 5, NONE}, {2 * B - 1, 3 * B + 7, NONE}}, {{0}}, 2},
    {"a page into a block", {{0, 3 * B, NONE}, {B + 4096, 3 * B, NONE}}, {{0}}, 2},
    {"into the block that isn't whole yet", {{0, 3 * B + 9000, NONE}, {3 * B + 4567, 5 * B, NONE}}, {{0}}, 2},
    {"to the end of a block", {{0, 3 * B, NONE}, {3 * B, 4 * B + 3, NONE}}, {{0}}, 2},
    {"to the end inside a block", {{0, 3 * B + 5, NONE}, {3 * B + 5, 4 * B + 3, NONE}}, {{0}}, 2},
    {"far back", {{0, 20 * B + 17, NONE}, {3 * B + 77, 5 * B, NONE}}, {{0}}, 2},
    /* what then */
    {"committed at once, at the beginning", {{0, 3 * B + 5, NONE}, {0, 0, NONE}}, {{0}}, 2},
    {"committed at once, at a block's", {{0, 3 * B + 5, NONE}, {2 * B, 2 * B, NONE}}, {{0}}, 2},
    {"committed at once, inside a block", {{0, 3 * B + 5, NONE}, {B + 9, B + 9, NONE}}, {{0}}, 2},
    {"committed at once, at the end", {{0, 3 * B + 5, NONE}, {3 * B + 5, 3 * B + 5, NONE}}, {{0}}, 2},
    {"twice, nothing between", {{0, 5 * B + 5, NONE}, {4 * B + 9, 4 * B + 9, NONE}, {B + 3, 2 * B, NONE}}, {{0}}, 3},
    {"twice into one block, nothing between",
     {{0, 5 * B + 5, NONE}, {B + 9000, B + 9000, NONE}, {B + 300, 2 * B, NONE}},
     {{0}},
     3},
    {"twice to the same place", {{0, 3 * B + 5, NONE}, {B + 9, B + 9, NONE}, {B + 9, 3 * B, NONE}}, {{0}}, 3},
    {"twice with bytes between", {{0, 5 * B + 5, NONE}, {4 * B + 9, 6 * B, NONE}, {B + 3, 2 * B + 1, NONE}}, {{0}}, 3},
    {"again and again, a little each time",
     {{0, 2 * B, NONE}, {2 * B - 9, 3 * B, NONE}, {3 * B - 9, 4 * B, NONE}, {4 * B - 9, 5 * B, NONE}},
     {{0}},
     4},
    /* small and large */
    {"an empty one", {{0, 0, NONE}, {0, 1000, NONE}}, {{0}}, 2},
    {"a small one to nothing", {{0, 1000, NONE}, {0, 0, NONE}}, {{0}}, 2},
    {"a small one stays small", {{0, 1000, NONE}, {10, 2000, NONE}}, {{0}}, 2},
    {"a small one becomes large", {{0, 64 * K, NONE}, {1000, 64 * K + 1, NONE}}, {{0}}, 2},
    {"a large one becomes empty", {{0, 64 * K + 1, NONE}, {0, 0, NONE}}, {{0}}, 2},
    {"a large one becomes the largest small one", {{0, 64 * K + 1, NONE}, {64 * K, 64 * K, NONE}}, {{0}}, 2},
    {"a large one becomes the largest small one, in steps", {{0, 9 * B + 1, NONE}, {1000, 64 * K, NONE}}, {{0}}, 2},
    {"a large one stays the smallest large one", {{0, 3 * B, NONE}, {64 * K + 1, 64 * K + 1, NONE}}, {{0}}, 2},
    {"large, small, large", {{0, 3 * B + 1, NONE}, {70, 64 * K, NONE}, {50, 2 * B + 7, NONE}}, {{0}}, 3},
    {"large, nothing, large", {{0, 3 * B + 1, NONE}, {0, 0, NONE}, {0, 2 * B + 7, NONE}}, {{0}}, 3},
    {"large, small, large, small",
     {{0, B, NONE}, {70, 64 * K, NONE}, {50, 2 * B + 7, NONE}, {64 * K - 1, 64 * K, NONE}},
     {{0}},
     4},
    /* gaps */
    {"behind a gap", {{0, 4 * B, {B + 5, 1000}}, {3 * B, 5 * B, NONE}}, {{B + 5, 1000}}, 2},
    {"behind a gap in its block", {{0, 4 * B, {B + 5, 1000}}, {B + 5000, 5 * B, NONE}}, {{B + 5, 1000}}, 2},
    {"to the end of a gap", {{0, 4 * B, {B + 5, 1000}}, {B + 1005, 5 * B, NONE}}, {{B + 5, 1000}}, 2},
    {"into a gap", {{0, 4 * B, {B + 5, 1000}}, {B + 505, 5 * B, NONE}}, {{B + 5, 500}}, 2},
    {"to the beginning of a gap", {{0, 4 * B, {B + 5, 1000}}, {B + 5, 5 * B, NONE}}, {{0}}, 2},
    {"before a gap", {{0, 4 * B, {B + 5, 1000}}, {B + 4, 5 * B, NONE}}, {{0}}, 2},
    {"into a block of a gap", {{0, 9 * B, {B + 5, 6 * B}}, {3 * B + 99, 5 * B, NONE}}, {{B + 5, 2 * B + 94}}, 2},
    {"between blocks of a gap", {{0, 9 * B, {B + 5, 6 * B}}, {3 * B, 5 * B, NONE}}, {{B + 5, 2 * B - 5}}, 2},
    {"into a gap at the end", {{0, 9 * B, {2 * B, 7 * B}}, {4 * B + 4096, 5 * B, NONE}}, {{2 * B, 2 * B + 4096}}, 2},
    {"into a gap, committed at once", {{0, 9 * B, {2 * B, 6 * B}}, {4 * B + 1, 4 * B + 1, NONE}}, {{2 * B, 2 * B + 1}}, 2},
    {"all is lost, some of it is left", {{0, 9 * B + 1, {0, 9 * B + 1}}, {4 * B + 1, 4 * B + 1, NONE}}, {{0, 4 * B + 1}}, 2},
    {"a gap instead of bytes", {{0, 9 * B, NONE}, {2 * B + 7, 8 * B, {2 * B + 7, 5 * B}}}, {{2 * B + 7, 5 * B}}, 2},
    {"bytes instead of a gap", {{0, 9 * B, {B, 7 * B}}, {B, 9 * B, NONE}}, {{0}}, 2},
    {"a gap behind what is left of one", {{0, 4 * B, {B, B}}, {B + 77, 4 * B, {B + 77, 500}}}, {{B, 577}}, 2},
    {"a gap some bytes behind it", {{0, 4 * B, {B, B}}, {B + 77, 4 * B, {B + 79, 500}}}, {{B, 77}, {B + 79, 500}}, 2},
    {"two gaps, one is forgotten", {{0, 4 * B, {5, B}}, {3 * B, 9 * B, {4 * B, 3 * B}}, {4 * B, 5 * B, NONE}}, {{5, B}}, 3},
    {"a gap that made it large", {{0, 90000, {60000, 30000}}, {60500, 61000, NONE}}, {{60000, 500}}, 2},
    {"a gap in a small one", {{0, 5000, {100, 3000}}, {1000, 5000, NONE}}, {{100, 900}}, 2},
};

#define ROW_COUNT (sizeof rows / sizeof *rows)

static const struct put_how ways[] = {{.write_bytes = 0},
                                      {.write_bytes = 100003, .iov_bytes = 30011},
                                      {.write_bytes = 262144, .shift = 1},
                                      {.write_bytes = 500001}};
#define WAY_COUNT (sizeof ways / sizeof *ways)

static bool keeps_bytes(void) {
    return fixture_ops != &tvs_null_driver;
}

/* What one step puts; steps in a row put different bytes. */
#define STEP_BYTES (32 * B)
static char *step_bytes[STEPS_MAX];

/* `bytes`: the object so far, which becomes what it is after this step. Returns false where the driver can't go there. */
static bool take_step(struct store *store, struct tvs_put *put, const struct step *step, uint64_t before, unsigned number,
                      struct put_how how, char *bytes) {
    trove_error error = {0};
    trove_status status = store->ops->put_rewind(put, step->back, &error);
    if (!keeps_bytes() && step->back % B != 0 && step->back != before) {
        must_fail(status, TROVE_UNIMPLEMENTED, &error, "null");
        return false;
    }
    must(status, &error);
    memcpy(bytes + step->back, step_bytes[number % STEPS_MAX] + step->back, (size_t)(step->end - step->back));
    memset(bytes + step->gap.offset, 0, (size_t)step->gap.length);
    uint64_t near = step->back > B ? step->back - B - step->back % B : 0; /* a block before it */
    if (keeps_bytes())
        put_read_hold(store, put, bytes, near, step->back);
    how.gaps = &step->gap;
    how.gap_count = step->gap.length > 0;
    must(put_more(store, put, bytes, (size_t)step->back, (size_t)step->end, &how, &error), &error);
    if (keeps_bytes())
        put_read_hold(store, put, bytes, near, step->end);
    return true;
}

/* As a plain put of the same bytes is. */
static void must_be_plain(struct store *store, const struct tvs_object *object, const char *bytes, size_t size) {
    uint64_t sums[STEP_BYTES / B];
    char etag[TROVE_ETAG_BYTES];
    size_t count = (size_t)tv_block_count(size);
    for (size_t i = 0; i < count; i++)
        sums[i] = tv_hash(bytes + i * B, i + 1 < count ? B : size - i * B);
    tv_etag(size, sums, count, etag);
    assert_int_equal(object->size, size);
    assert_string_equal(object->etag, etag);
    if (keeps_bytes()) {
        must_hold(store, "bucket", "object", bytes, size);
        must_have_sums(store, "bucket", "object", bytes, size);
        must_count(store, "bucket", 1, size);
    }
}

static void run_row(struct store *store, const struct row *row, const struct put_how *how, char *bytes) {
    trove_error error = {0};
    struct tvs_put *put;
    struct tvs_object object = {0};
    must(put_uncommitted(store, "bucket", "object", NULL, 0, NULL, &put, &error), &error);
    uint64_t size = 0;
    for (unsigned i = 0; i < row->count; i++) {
        if (!take_step(store, put, &row->steps[i], size, i, *how, bytes)) {
            store->ops->put_abort(put);
            return;
        }
        size = row->steps[i].end;
    }
    must(put_commit_wait(store, put, &object, &error), &error);
    size_t lost = 0;
    while (lost < GAPS_MAX && row->lost[lost].length > 0)
        lost++;
    must_tell(&object, row->lost, lost);
    must_be_plain(store, &object, bytes, (size_t)size);
    tvs_object_fini(&object);
}

static void test_rows(void **state) {
    char *bytes = malloc((size_t)STEP_BYTES);
    for (size_t i = 0; i < ROW_COUNT; i++) {
        print_message("    %s\n", rows[i].name);
        for (size_t w = 0; w < WAY_COUNT; w++)
            run_row(*state, &rows[i], &ways[w], bytes);
    }
    free(bytes);
}

/* The etag that the sender computed is that of what stands in the end. */
static void test_the_senders_etag(void **state) {
    struct store *store = *state;
    char *bytes = bytes_make((size_t)(4 * B), 1);
    trove_error error = {0};
    struct tvs_object plain = {0};
    must(put_object(store, "bucket", "plain", bytes, (size_t)(4 * B), &(struct put_how){.object = &plain}, &error), &error);
    for (int round = 0; round < 2; round++) {
        struct tvs_put *put;
        char *others = bytes_make((size_t)(4 * B), round == 0 ? 1 : 2);
        must(put_uncommitted(store, "bucket", "object", bytes, (size_t)(3 * B), NULL, &put, &error), &error);
        must(store->ops->put_rewind(put, 2 * B, &error), &error);
        must(put_more(store, put, others, (size_t)(2 * B), (size_t)(4 * B), &(struct put_how){0}, &error), &error);
        trove_status status = put_commit_as(store, put, plain.etag, NULL, &error);
        assert_int_equal(status, round == 0 ? TROVE_OK : TROVE_DATA_LOSS);
        free(others);
    }
    tvs_object_fini(&plain);
    free(bytes);
}

static void test_aborted_after_it(void **state) {
    struct store *store = *state;
    char *bytes = bytes_make((size_t)(4 * B), 1);
    static const uint64_t backs[] = {0, 2 * B, 4 * B};
    for (size_t i = 0; i < sizeof backs / sizeof *backs; i++) {
        trove_error error = {0};
        struct tvs_put *put;
        must(put_uncommitted(store, "bucket", "object", bytes, (size_t)(4 * B), NULL, &put, &error), &error);
        must(store->ops->put_rewind(put, backs[i], &error), &error);
        store->ops->put_abort(put);
    }
    if (keeps_bytes())
        must_count(store, "bucket", 0, 0);
    free(bytes);
}

/* ---- more gaps than are listed ---------------------------------------------------------------------------------------- */

#define STEP 997

/* Where the list is exact, and where it isn't: what is told then covers all that is lost, and the bytes are those put. */
static void test_a_list_that_is_full(void **state) {
    struct store *store = *state;
    enum {
        COUNT = TV_GAPS_MAX + 300
    };
    const size_t size = COUNT * STEP;
    trove_gap *gaps = calloc(COUNT, sizeof *gaps);
    char *bytes = bytes_make(size, 1);
    for (size_t i = 0; i < COUNT; i++) {
        gaps[i] = (trove_gap){.offset = i * STEP + 7, .length = 100};
        memset(bytes + gaps[i].offset, 0, 100);
    }
    static const size_t lefts[] = {3, TV_GAPS_MAX - 1, TV_GAPS_MAX, TV_GAPS_MAX + 1, TV_GAPS_MAX + 200, COUNT};
    for (size_t i = 0; i < sizeof lefts / sizeof *lefts; i++) {
        size_t left = lefts[i], to = left * STEP;
        trove_error error = {0};
        struct tvs_put *put;
        struct tvs_object object = {0};
        struct put_how how = {.gaps = gaps, .gap_count = COUNT};
        must(put_uncommitted(store, "bucket", "object", bytes, size, &how, &put, &error), &error);
        must(store->ops->put_rewind(put, to, &error), &error);
        must(put_commit_wait(store, put, &object, &error), &error);
        must_be_plain(store, &object, bytes, to);
        bool exact = left <= TV_GAPS_MAX || left == COUNT;
        assert_true(object.gap_bytes >= left * 100);
        assert_int_equal(object.gaps_listed, left < TV_GAPS_MAX ? left : TV_GAPS_MAX);
        assert_true(!exact || (object.gap_count == left && object.gap_bytes == left * 100));
        for (size_t g = 0; g < left; g++)
            assert_non_null(tv_gaps_find(object.gaps, object.gaps_listed, gaps[g].offset, 100));
        tvs_object_fini(&object);
        /* A copy doesn't take for lost what only may be. */
        must(copy_object(store, "bucket", "object", "bucket", "copy", NULL, &object, &error), &error);
        must_hold(store, "bucket", "copy", bytes, to);
        must(store->ops->delete (store->driver, "bucket", "copy", NULL, &error), &error);
        tvs_object_fini(&object);
    }
    free(gaps);
    free(bytes);
}

/* ---- at random -------------------------------------------------------------------------------------------------------- */

static uint64_t draw(uint64_t *random, uint64_t below) {
    *random = *random * 6364136223846793005u + 1442695040888963407u;
    return below > 0 ? (*random >> 33) % below : 0;
}

static void test_random_steps(void **state) {
    struct store *store = *state;
    const char *given = getenv("TROVE_TEST_SEED");
    uint64_t seed = given != NULL ? strtoull(given, NULL, 0) : (uint64_t)time(NULL), random = seed;
    print_message("TROVE_TEST_SEED=%llu\n", (unsigned long long)seed);
    char *bytes = malloc((size_t)STEP_BYTES);
    for (int round = 0; round < 15; round++) {
        trove_error error = {0};
        struct tvs_put *put;
        struct tvs_object object = {0};
        must(put_uncommitted(store, "bucket", "object", NULL, 0, NULL, &put, &error), &error);
        uint64_t size = 0, small = draw(&random, 3) == 0 ? 100 * K : 3 * B;
        for (unsigned i = 0; i < 8; i++) {
            struct step step = {.back = draw(&random, 3) == 0 ? size - size % 4096 : draw(&random, size + 1)};
            step.end = step.back + draw(&random, small);
            if (draw(&random, 2) == 0) {
                step.gap.offset = step.back + draw(&random, step.end - step.back);
                step.gap.length = draw(&random, step.end - step.gap.offset + 1);
            }
            take_step(store, put, &step, size, i, ways[draw(&random, WAY_COUNT)], bytes);
            size = step.end;
        }
        must(put_commit_wait(store, put, &object, &error), &error);
        must_be_plain(store, &object, bytes, (size_t)size);
        tvs_object_fini(&object);
    }
    free(bytes);
}

/* ---- what it costs ---------------------------------------------------------------------------------------------------- */

/* What is forgotten costs nothing any more, whatever is left. */
static void test_all_is_given_back(void **state) {
    struct store *store = *state;
    trove_error error = {0};
    store_close(store);
    store->config.memory_bytes = 4 * TV_MIB;
    store_open(store);
    (void)!store->ops->bucket_create(store->driver, "bucket", NULL);
    char *bytes = bytes_make((size_t)(12 * B), 1);
    struct tvs_put *put;
    must(put_uncommitted(store, "bucket", "object", NULL, 0, NULL, &put, &error), &error);
    static const uint64_t backs[] = {0, 1, B, B + 1, 3 * B - 1};
    uint64_t size = 0;
    for (int round = 0; round < 20; round++) { /* each of these twice in either way */
        if (round % 2 == 0)
            must(put_more(store, put, bytes, (size_t)size, (size_t)(12 * B), &(struct put_how){0}, &error), &error);
        else
            must(store->ops->put_gap(put, size, 32 * TV_GIB, &error), &error);
        size = backs[round % 5];
        must(store->ops->put_rewind(put, size, &error), &error);
    }
    must(put_commit_wait(store, put, NULL, &error), &error);
    must(store->ops->delete (store->driver, "bucket", "object", NULL, &error), &error);
    must_put(store, "bucket", "object", bytes, (size_t)(12 * B));
    free(bytes);
}

/* A put that goes to and fro over what it lost holds no more of the store's share for that than it needs. */
static void test_gaps_again_and_again(void **state) {
    struct store *store = *state;
    trove_error error = {0};
    struct tvs_put *put;
    struct tvs_object object = {0};
    must(put_uncommitted(store, "bucket", "object", "abc", 3, NULL, &put, &error), &error);
    for (int round = 0; round < 56; round++) { /* more, together, than all may have lost: 2 TiB */
        must(store->ops->put_gap(put, 3, 40 * TV_GIB, &error), &error);
        must(store->ops->put_rewind(put, round % 2 == 0 ? 3 : 0, &error), &error);
        if (round % 2 == 1)
            must(put_more(store, put, "abc", 0, 3, &(struct put_how){0}, &error), &error);
    }
    must(store->ops->put_gap(put, 3, 40 * TV_GIB, &error), &error);
    must(put_commit_wait(store, put, &object, &error), &error);
    assert_int_equal(object.gap_bytes, 40 * TV_GIB);
    tvs_object_fini(&object);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, relaxed_setup, store_teardown)

int main(int count, char **arguments) {
    fixture_choose(count, arguments);
    for (uint64_t i = 0; i < STEPS_MAX; i++)
        step_bytes[i] = bytes_make((size_t)STEP_BYTES, i + 1);
    const struct CMUnitTest any_tests[] = {TEST(test_rows), TEST(test_the_senders_etag), TEST(test_aborted_after_it)};
    const struct CMUnitTest tests[] = {TEST(test_a_list_that_is_full), TEST(test_random_steps), TEST(test_all_is_given_back),
                                       TEST(test_gaps_again_and_again)};
    int failed = cmocka_run_group_tests_name("going back in any driver", any_tests, NULL, NULL);
    if (keeps_bytes())
        failed += cmocka_run_group_tests_name("going back where bytes are kept", tests, NULL, NULL);
    for (uint64_t i = 0; i < STEPS_MAX; i++)
        free(step_bytes[i]);
    return failed != 0;
}
