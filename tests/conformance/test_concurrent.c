/* test_concurrent.c - many threads at one store: whole winners, no reader disturbed, true counters. */
#include "elsewhere.h"
#include "fixture.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

enum {
    WRITERS = 8,
    ROUNDS = 12,
    OBJECT_BYTES = 300000
};

struct worker {
    pthread_t thread;
    struct store *store;
    unsigned number;
    atomic_uint *writing; /* of write_versions: so many haven't come to their end */
    unsigned winners;
};

static void start_workers(struct store *store, void *(*run)(void *), struct worker *workers, atomic_uint *writing) {
    for (unsigned i = 0; i < WRITERS; i++) {
        workers[i] = (struct worker){.store = store, .number = i, .writing = writing};
        assert_int_equal(pthread_create(&workers[i].thread, NULL, run, &workers[i]), 0);
    }
}

/* Every version is bytes_make of the seed that its first eight bytes tell. */
static char *version_make(uint64_t seed, size_t size) {
    char *bytes = bytes_make(size, seed);
    memcpy(bytes, &seed, sizeof seed);
    return bytes;
}

static void must_be_whole(const char *bytes, size_t size) {
    uint64_t seed;
    memcpy(&seed, bytes, sizeof seed);
    char *expected = version_make(seed, size);
    assert_memory_equal(bytes, expected, size);
    free(expected);
}

static void *write_versions(void *argument) {
    struct worker *worker = argument;
    for (unsigned i = 0; i < ROUNDS; i++) {
        /* Some are small: the object moves between the index and files. */
        size_t size = (worker->number + i) % 3 == 0 ? 1000 : OBJECT_BYTES;
        char *bytes = version_make(worker->number * 1000 + i + 1, size);
        must_put(worker->store, "bucket", "contended", bytes, size);
        free(bytes);
    }
    atomic_fetch_sub(worker->writing, 1);
    return NULL;
}

static void test_one_key_many_writers(void **state) {
    struct store *store = *state;
    struct worker workers[WRITERS];
    atomic_uint writing = WRITERS;
    trove_error error = {0};
    char *first = version_make(1, 1000);
    must_put(store, "bucket", "contended", first, 1000);
    free(first);
    start_workers(store, write_versions, workers, &writing);
    unsigned reads = 0;
    while (atomic_load(&writing) > 0 || reads == 0) {
        char *got;
        size_t size;
        must(get_object(store, "bucket", "contended", 0, &got, &size, &error), &error);
        must_be_whole(got, size);
        free(got);
        reads++;
    }
    for (unsigned i = 0; i < WRITERS; i++)
        pthread_join(workers[i].thread, NULL);
    char *got;
    size_t size;
    must(get_object(store, "bucket", "contended", 0, &got, &size, &error), &error);
    must_be_whole(got, size);
    free(got);
    must_count(store, "bucket", 1, size);
}

static void *create_each(void *argument) {
    struct worker *worker = argument;
    for (unsigned i = 0; i < ROUNDS * 4; i++) {
        char key[32];
        snprintf(key, sizeof key, "once-%u", i);
        trove_error error = {0};
        struct put_how how = {.small = (worker->number + i) % 2 == 0, .options.conditions.if_none = true};
        trove_status status = put_object(worker->store, "bucket", key, key, strlen(key), &how, &error);
        if (status == TROVE_OK)
            worker->winners++;
        else
            MUST(status == TROVE_FAILED_PRECONDITION);
    }
    return NULL;
}

static void test_must_not_exist_has_one_winner(void **state) {
    struct store *store = *state;
    struct worker workers[WRITERS];
    start_workers(store, create_each, workers, NULL);
    unsigned winners = 0;
    for (unsigned i = 0; i < WRITERS; i++) {
        pthread_join(workers[i].thread, NULL);
        winners += workers[i].winners;
    }
    assert_int_equal(winners, ROUNDS * 4);
}

/* Puts and deletes of few keys by many threads: the counters are those of what is left. */
static void *put_and_delete(void *argument) {
    struct worker *worker = argument;
    uint64_t x = worker->number + 1;
    for (unsigned i = 0; i < ROUNDS * 10; i++) {
        x = x * 6364136223846793005u + 1442695040888963407u;
        char key[32];
        snprintf(key, sizeof key, "few-%u", (unsigned)(x >> 60));
        trove_error error = {0};
        if ((x >> 40) % 3 == 0) {
            trove_status status = worker->store->ops->delete (worker->store->driver, "bucket", key, NULL, &error);
            MUST(status == TROVE_OK || status == TROVE_NOT_FOUND);
        } else {
            struct put_how how = {.small = true};
            char bytes[200] = {0};
            must(put_object(worker->store, "bucket", key, bytes, (x >> 50) % 200, &how, &error), &error);
        }
    }
    return NULL;
}

struct sum {
    uint64_t objects, bytes;
};

static bool add_entry(void *context, const struct tvs_list_entry *entry) {
    struct sum *sum = context;
    sum->objects++;
    sum->bytes += entry->object->size;
    return true;
}

static void test_counters_stay_true(void **state) {
    struct store *store = *state;
    struct worker workers[WRITERS];
    start_workers(store, put_and_delete, workers, NULL);
    for (unsigned i = 0; i < WRITERS; i++)
        pthread_join(workers[i].thread, NULL);
    trove_error error = {0};
    struct sum sum = {0};
    struct tvs_list_query query = {.prefix = "", .delimiter = "", .after = "", .limit = 1000};
    bool more;
    must(store->ops->list(store->driver, "bucket", &query, add_entry, &sum, &more, &error), &error);
    must_count(store, "bucket", sum.objects, sum.bytes);
}

/* One that fails its condition doesn't disturb those that are committed along with it. */
static void count_done(void *context, trove_status status, const struct tvs_object *object, const trove_error *error) {
    atomic_uint *counts = context;
    MUST((status == TROVE_OK) == (object != NULL));
    MUST(status == TROVE_OK || status == TROVE_FAILED_PRECONDITION);
    MUST(status == TROVE_OK || error->message[0] != '\0');
    atomic_fetch_add(&counts[status == TROVE_OK ? 0 : 1], 1);
}

static void test_failures_dont_poison(void **state) {
    struct store *store = *state;
    atomic_uint counts[2];
    atomic_init(&counts[0], 0);
    atomic_init(&counts[1], 0);
    enum {
        COUNT = 300
    };
    for (unsigned i = 0; i < COUNT; i++) {
        char key[32];
        snprintf(key, sizeof key, "p-%03u", i);
        struct tv_data data = {.bytes = 5, .iov_count = 1, .iov[0] = {key, 5}};
        tv_data_hash(&data);
        struct tvs_put_options options = {.content_type = "", .conditions.if_generation = i % 3 == 0 ? 12345678 : 0};
        store->ops->put_small(store->driver, "bucket", key, &options, &data, count_done, counts);
    }
    WAIT_FOR(atomic_load(&counts[0]) + atomic_load(&counts[1]) == COUNT);
    assert_int_equal(atomic_load(&counts[0]), COUNT / 3 * 2);
    must_count(store, "bucket", COUNT / 3 * 2, COUNT / 3 * 2 * 5);
    trove_error error = {0};
    struct tvs_object object;
    must_fail(store->ops->head(store->driver, "bucket", "p-003", &object, &error), TROVE_NOT_FOUND, &error, "p-003");
    must_hold(store, "bucket", "p-004", "p-004", 5);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, store_setup, store_teardown)

int main(int count, char **arguments) {
    fixture_choose(count, arguments);
    const struct CMUnitTest tests[] = {
        TEST(test_one_key_many_writers),
        TEST(test_must_not_exist_has_one_winner),
        TEST(test_counters_stay_true),
        TEST(test_failures_dont_poison),
    };
    return cmocka_run_group_tests_name(fixture_ops == &tvs_mem_driver ? "threads in mem" : "threads in local", tests, NULL, NULL);
}
