/* test_put_read.c - reading a put that isn't finished, in any driver: by the one who writes it, and by many meanwhile. */
#include "fixture.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>

#define K ((uint64_t)1024)
#define B TV_BLOCK_BYTES

/* The null store has only zeros to give. */
static char *bytes_as_read(size_t size, uint64_t seed) {
    if (fixture_ops == &tvs_null_driver)
        return calloc(1, size + 1);
    return bytes_make(size, seed);
}

/* Every prefix of what was written can be read, from any block on. */
static void test_what_was_written(void **state) {
    struct store *store = *state;
    static const size_t ends[] = {1,         4095,      64 * K,       64 * K + 1,   B - 1,          B,     B + 1,
                                  2 * B + 9, 5 * B - 1, 9 * B + 4096, 9 * B + 4097, 9 * B + 100000, 12 * B};
    const struct put_how ways[] = {{.write_bytes = 0},
                                   {.write_bytes = 100003, .iov_bytes = 30011},
                                   {.write_bytes = 65536},
                                   {.write_bytes = 262144, .shift = 1}};
    size_t size = (size_t)(12 * B);
    char *bytes = bytes_as_read(size, 1);
    for (size_t w = 0; w < sizeof ways / sizeof *ways; w++) {
        trove_error error = {0};
        struct tvs_put *put;
        must(put_uncommitted(store, "bucket", "object", NULL, 0, NULL, &put, &error), &error);
        size_t written = 0;
        for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) {
            must(put_more(store, put, bytes, written, ends[i], &ways[w], &error), &error);
            written = ends[i];
            for (uint64_t from = 0; from <= written; from += B)
                put_read_hold(store, put, bytes, from, written);
        }
        must(put_commit_wait(store, put, NULL, &error), &error);
        if (fixture_ops != &tvs_null_driver)
            must_hold(store, "bucket", "object", bytes, size);
    }
    free(bytes);
}

/* Also to where an earlier write ended, inside a block that is whole by now. */
static void test_to_an_earlier_end(void **state) {
    struct store *store = *state;
    char *bytes = bytes_as_read((size_t)(4 * B), 1);
    static const size_t ends[] = {10, 70000, B + 5, 2 * B + 4097, 2 * B + 200000};
    trove_error error = {0};
    struct tvs_put *put;
    must(put_uncommitted(store, "bucket", "object", NULL, 0, NULL, &put, &error), &error);
    size_t written = 0;
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) {
        must(put_more(store, put, bytes, written, ends[i], &(struct put_how){0}, &error), &error);
        written = ends[i];
        for (size_t e = 0; e <= i; e++)
            put_read_hold(store, put, bytes, 0, ends[e]);
    }
    store->ops->put_abort(put);
    free(bytes);
}

static void test_nothing(void **state) {
    struct store *store = *state;
    trove_error error = {0};
    struct tvs_put *put;
    must(put_uncommitted(store, "bucket", "object", NULL, 0, NULL, &put, &error), &error);
    for (int round = 0; round < 2; round++) {
        struct tv_data data = {.offset = 0, .piece_count = 7};
        must(store->ops->put_read(put, &data, &error), &error);
        assert_int_equal(data.piece_count, 0);
        must(round == 0 ? store->ops->put_gap(put, 0, 3 * B, &error) : TROVE_OK, &error);
    }
    store->ops->put_abort(put);
}

static void test_gaps_are_zeros(void **state) {
    struct store *store = *state;
    static const trove_gap gaps[] = {{0, 70000}, {B + 9, 100}, {2 * B, B}, {4 * B - 5, 3 * B + 10}, {8 * B + 5, 90000}};
    const size_t size = 9 * B;
    char *bytes = bytes_as_read(size, 1);
    for (size_t i = 0; i < 5; i++)
        memset(bytes + gaps[i].offset, 0, (size_t)gaps[i].length);
    trove_error error = {0};
    struct tvs_put *put;
    struct put_how how = {.write_bytes = 100003, .gaps = gaps, .gap_count = 5};
    must(put_uncommitted(store, "bucket", "object", NULL, 0, NULL, &put, &error), &error);
    size_t written = 0;
    for (size_t i = 0; i <= 5; i++) {
        size_t end = i < 5 ? (size_t)(gaps[i].offset + gaps[i].length) : size;
        must(put_more(store, put, bytes, written, end, &how, &error), &error);
        written = end;
        put_read_hold(store, put, bytes, 0, written);
    }
    store->ops->put_abort(put);
    free(bytes);
}

/* ---- many readers ----------------------------------------------------------------------------------------------------- */

enum {
    READERS = 4
};

struct upload {
    struct store *store;
    struct tvs_put *put;
    const char *bytes;
    uint64_t size;
    atomic_ullong written;
};

struct follower {
    pthread_t thread;
    struct upload *upload;
    uint64_t step; /* reads so many blocks at a time; odd ones keep behind */
};

/* Goes after the writer; a part of a block is read again when it has grown. */
static void *follow(void *argument) {
    struct follower *follower = argument;
    struct upload *upload = follower->upload;
    uint64_t at = 0, seen = 0;
    while (seen < upload->size) {
        uint64_t written = atomic_load_explicit(&upload->written, memory_order_acquire);
        if (written == seen) {
            sched_yield();
            continue;
        }
        uint64_t to = at + follower->step * B < written ? at + follower->step * B : written;
        put_read_hold(upload->store, upload->put, upload->bytes, at, to);
        seen = to;
        at = to - to % B;
    }
    return NULL;
}

/* Sizes that are drawn: most end inside a block, some are large, some are lost. */
static void write_upload(struct upload *upload, uint64_t seed, const trove_gap *gap) {
    static const uint64_t sizes[] = {1, 100, 4096, 5000, 65536, 100000, B, B + 1, 2 * B, 4 * B};
    struct put_how how = {.gaps = gap, .gap_count = 1};
    uint64_t written = 0, random = seed;
    while (written < upload->size) {
        random = random * 6364136223846793005u + 1442695040888963407u;
        uint64_t end = written + sizes[(random >> 33) % (sizeof sizes / sizeof *sizes)];
        if (written < gap->offset && end > gap->offset)
            end = gap->offset;
        if (written == gap->offset)
            end = written + gap->length;
        if (end > upload->size)
            end = upload->size;
        trove_error error = {0};
        must(put_more(upload->store, upload->put, upload->bytes, (size_t)written, (size_t)end, &how, &error), &error);
        written = end;
        atomic_store_explicit(&upload->written, written, memory_order_release);
    }
}

static void test_readers_follow_a_writer(void **state) {
    struct store *store = *state;
    const trove_gap gap = {7 * B + 77, 3 * B};
    for (uint64_t round = 0; round < 6; round++) {
        uint64_t size = round == 0 ? 60 * K : 40 * B + round * 1000;
        char *bytes = bytes_as_read((size_t)size, round);
        if (gap.offset < size)
            memset(bytes + gap.offset, 0, (size_t)gap.length);
        struct upload upload = {.store = store, .bytes = bytes, .size = size};
        trove_error error = {0};
        must(put_uncommitted(store, "bucket", "object", NULL, 0, NULL, &upload.put, &error), &error);
        struct follower followers[READERS];
        for (unsigned i = 0; i < READERS; i++) {
            followers[i] = (struct follower){.upload = &upload, .step = i + 1};
            assert_int_equal(pthread_create(&followers[i].thread, NULL, follow, &followers[i]), 0);
        }
        write_upload(&upload, round + 1, &gap);
        for (unsigned i = 0; i < READERS; i++)
            pthread_join(followers[i].thread, NULL);
        must(put_commit_wait(store, upload.put, NULL, &error), &error);
        if (fixture_ops != &tvs_null_driver)
            must_hold(store, "bucket", "object", bytes, (size_t)size);
        free(bytes);
    }
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, store_setup, store_teardown)

int main(int count, char **arguments) {
    fixture_choose(count, arguments);
    const struct CMUnitTest tests[] = {
        TEST(test_what_was_written), TEST(test_to_an_earlier_end),       TEST(test_nothing),
        TEST(test_gaps_are_zeros),   TEST(test_readers_follow_a_writer),
    };
    return cmocka_run_group_tests_name("reading unfinished puts", tests, NULL, NULL);
}
