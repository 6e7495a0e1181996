/* test_local_tails.c - what unfinished puts of the local store gather in memory is bounded for all together, and nobody is
 * refused for want of room: they make their files earlier, and end as any other.
 */
#include "local.h"
#include "local_disk.h"
#include "uploads.h"

#include <pthread.h>
#include <stdlib.h>

#define K ((uint64_t)1024)
#define B TV_BLOCK_BYTES

static atomic_ullong *held(struct store *store) {
    return &tvs_local_of(store->driver)->files.tail_bytes;
}

/* As if others had all that there is. */
static void take_all(struct store *store) {
    assert_int_equal(atomic_exchange(held(store), TVS_TAIL_BYTES_MAX), 0);
}

static void give_all(struct store *store) {
    assert_int_equal(atomic_exchange(held(store), 0), TVS_TAIL_BYTES_MAX);
}

static const struct put_how ways[] = {{.write_bytes = 0},
                                      {.write_bytes = 1, .iov_bytes = 1},
                                      {.write_bytes = 4095},
                                      {.write_bytes = 4096, .shift = 1},
                                      {.write_bytes = 100003, .iov_bytes = 30011},
                                      {.write_bytes = 300001},
                                      {.write_bytes = 262144, .shift = 8}};

/* Of any size, in pieces of any size. */
static void test_sizes(void **state) {
    struct store *store = *state;
    static const uint64_t sizes[] = {0, 1, 4096, 4097, 20000, 64 * K, 64 * K + 1, 5 * B + 4097};
    char *bytes = bytes_make((size_t)(6 * B), 1);
    take_all(store);
    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
        for (size_t w = 0; w < sizeof ways / sizeof *ways; w++) {
            trove_error error = {0};
            if (ways[w].write_bytes == 1 && sizes[s] > 20000)
                continue;
            must(put_object(store, "bucket", "object", bytes, (size_t)sizes[s], &ways[w], &error), &error);
            must_hold(store, "bucket", "object", bytes, (size_t)sizes[s]);
            must_have_sums(store, "bucket", "object", bytes, (size_t)sizes[s]);
            assert_int_equal(atomic_load(held(store)), TVS_TAIL_BYTES_MAX);
        }
    }
    give_all(store);
    free(bytes);
}

/* Room comes and goes while one is written, gone back in and read. */
static void test_going_back(void **state) {
    struct store *store = *state;
    static const uint64_t backs[] = {3 * B + 4096, 3 * B + 5, 2 * B, B + 77, 64 * K + 1, 64 * K, 20000, 4097, 4096, 100, 0};
    char *bytes = bytes_make((size_t)(6 * B), 1);
    for (unsigned when = 0; when < 4; when++) {
        for (size_t w = 0; w < sizeof ways / sizeof *ways; w++) {
            if (ways[w].write_bytes == 1)
                continue;
            trove_error error = {0};
            struct tvs_put *put;
            must(put_uncommitted(store, "bucket", "object", bytes, 10000, &ways[w], &put, &error), &error);
            uint64_t at = 10000;
            for (size_t b = 0; b < sizeof backs / sizeof *backs; b++) {
                uint64_t held_before = atomic_fetch_add(held(store), when & 1 ? TVS_TAIL_BYTES_MAX : 0);
                assert_true(held_before <= B);
                must(put_more(store, put, bytes, (size_t)at, (size_t)(4 * B + b), &ways[w], &error), &error);
                atomic_fetch_sub(held(store), when & 1 ? TVS_TAIL_BYTES_MAX : 0);
                put_read_hold(store, put, bytes, 2 * B, 4 * B + b);
                (void)atomic_fetch_add(held(store), when & 2 ? TVS_TAIL_BYTES_MAX : 0);
                must(store->ops->put_rewind(put, backs[b], &error), &error);
                atomic_fetch_sub(held(store), when & 2 ? TVS_TAIL_BYTES_MAX : 0);
                put_read_hold(store, put, bytes, 0, backs[b]);
                at = backs[b];
            }
            must(put_more(store, put, bytes, 0, (size_t)(64 * K * (w + 1)), &ways[w], &error), &error);
            must(put_commit_wait(store, put, NULL, &error), &error);
            must_hold(store, "bucket", "object", bytes, (size_t)(64 * K * (w + 1)));
            assert_int_equal(atomic_load(held(store)), 0);
        }
    }
    free(bytes);
}

/* Flushed anywhere, gone on with after a restart, small at last. */
static void test_uploads(void **state) {
    struct store *store = *state;
    static const uint64_t flushes[] = {10, 4096, 20000, 70000, B + 4096, 3 * B + 5, 3 * B + 6}, sizes[] = {30000, 4 * B + 9};
    char *bytes = bytes_make((size_t)(5 * B), 1);
    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
        struct told told;
        take_all(store);
        struct tvs_put *put = must_begin(store, "object", NULL, &told);
        uint64_t at = 0;
        for (size_t f = 0; f < sizeof flushes / sizeof *flushes && flushes[f] < sizes[s]; f++) {
            must_write(store, put, bytes, at, flushes[f]);
            must_flush(store, put, at = flushes[f]);
            must_write(store, put, bytes, at, at + 5000); /* the next holder doesn't find that */
            store->ops->put_abort(put);
            give_all(store);
            store_close(store);
            store_open(store);
            take_all(store);
            put = must_attach(store, &told.id, at, &told);
            put_read_hold(store, put, bytes, 0, at);
        }
        must_write(store, put, bytes, at, sizes[s]);
        must_commit(store, put);
        give_all(store);
        must_hold(store, "bucket", "object", bytes, (size_t)sizes[s]);
        must_have_sums(store, "bucket", "object", bytes, (size_t)sizes[s]);
    }
    free(bytes);
}

/* So many may gather at a time; one more makes a file. All is given back, however they end. */
static void test_the_bound(void **state) {
    struct store *store = *state;
    enum {
        MOST = TVS_TAIL_BYTES_MAX / (TV_INLINE_BYTES_MAX - TVS_DIRECT_ALIGNMENT)
    };
    struct tvs_put *puts[MOST + 2];
    char *bytes = bytes_make(5000, 1);
    trove_error error = {0};
    for (size_t i = 0; i < MOST + 2; i++) {
        char key[20];
        snprintf(key, sizeof key, "%zu", i);
        must(put_uncommitted(store, "bucket", key, bytes, i < MOST ? 4097 : 5000, NULL, &puts[i], &error), &error);
        if (i + 1 >= MOST)
            assert_int_equal(count_files(store, NULL), i + 1 - MOST);
        assert_true(atomic_load(held(store)) <= TVS_TAIL_BYTES_MAX);
    }
    for (size_t i = 0; i < MOST; i++)
        store->ops->put_abort(puts[i]);
    assert_int_equal(atomic_load(held(store)), 0);
    must(put_commit_wait(store, puts[MOST], NULL, &error), &error);
    must_hold(store, "bucket", "1092", bytes, 5000);
    store->ops->put_abort(puts[MOST + 1]);
    WAIT_FOR(count_files(store, NULL) == 1);
    free(bytes);
}

/* ---- read meanwhile ---------------------------------------------------------------------------------------------------- */

struct reader {
    struct store *store;
    struct tvs_put *put;
    const char *bytes;
    atomic_ullong written;
};

static void *follow(void *argument) {
    struct reader *reader = argument;
    for (uint64_t end = 0; end < 4 * B;) {
        end = atomic_load(&reader->written);
        put_read_hold(reader->store, reader->put, reader->bytes, end > B ? (end - B) / B * B : 0, end);
    }
    return NULL;
}

/* What is gathered moves as it grows, and goes to the file, while others read it. */
static void test_readers(void **state) {
    struct store *store = *state;
    char *bytes = bytes_make((size_t)(4 * B), 1);
    for (unsigned round = 0; round < 2; round++) {
        trove_error error = {0};
        struct reader reader = {.store = store, .bytes = bytes};
        pthread_t thread;
        (void)atomic_fetch_add(held(store), round == 1 ? TVS_TAIL_BYTES_MAX : 0);
        must(put_uncommitted(store, "bucket", "object", NULL, 0, NULL, &reader.put, &error), &error);
        assert_int_equal(pthread_create(&thread, NULL, follow, &reader), 0);
        for (uint64_t at = 0, end; at < 4 * B; at = end) {
            end = at + 3001 < 4 * B ? at + 3001 : 4 * B;
            must_write(store, reader.put, bytes, at, end);
            atomic_store(&reader.written, end);
        }
        pthread_join(thread, NULL);
        must(put_commit_wait(store, reader.put, NULL, &error), &error);
        must_hold(store, "bucket", "object", bytes, (size_t)(4 * B));
        atomic_fetch_sub(held(store), round == 1 ? TVS_TAIL_BYTES_MAX : 0);
        assert_int_equal(atomic_load(held(store)), 0);
    }
    free(bytes);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, relaxed_setup, store_teardown)

int main(void) {
    fixture_ops = &tvs_local_driver;
    const struct CMUnitTest tests[] = {TEST(test_sizes), TEST(test_going_back), TEST(test_uploads), TEST(test_the_bound),
                                       TEST(test_readers)};
    return cmocka_run_group_tests_name("what puts into the local store gather", tests, NULL, NULL);
}
