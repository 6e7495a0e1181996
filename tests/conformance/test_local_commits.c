/* test_local_commits.c - what is asked of the local store while a batch is being written: it is judged as if that batch were in
 * the index already, told after it, and written with few syncs. The write is held by fault_io.
 */
#include "elsewhere.h"
#include "fault_io.h"
#include "fixture.h"
#include "local.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

/* More than the committer waits for while a batch is written (WAKE_COUNT), so that some are judged meanwhile. */
#define MANY 100

/* The results, in the order in which they were told. */
struct told {
    pthread_mutex_t lock;
    unsigned count;
    trove_status statuses[2 * MANY];
    uint64_t generations[2 * MANY]; /* 0: none */
};

static void told_done(void *context, trove_status status, const struct tvs_object *object, const trove_error *error) {
    (void)error;
    struct told *told = context;
    pthread_mutex_lock(&told->lock);
    told->statuses[told->count] = status;
    told->generations[told->count++] = object != NULL ? object->generation : 0;
    pthread_mutex_unlock(&told->lock);
}

/* For so many that they aren't kept. */
static void count_told(void *context, trove_status status, const struct tvs_object *object, const trove_error *error) {
    (void)object;
    (void)error;
    struct told *told = context;
    MUST(status == TROVE_OK);
    pthread_mutex_lock(&told->lock);
    told->count++;
    pthread_mutex_unlock(&told->lock);
}

static unsigned told_count(struct told *told) {
    pthread_mutex_lock(&told->lock);
    unsigned count = told->count;
    pthread_mutex_unlock(&told->lock);
    return count;
}

static void submit(struct store *store, const char *bucket, const char *key, const char *text, bool if_none, struct told *told) {
    struct tv_data data = {.bytes = strlen(text), .iov_count = 1, .iov[0] = {(void *)(uintptr_t)text, strlen(text)}};
    tv_data_hash(&data);
    struct tvs_put_options options = {.content_type = "", .conditions = {.if_none = if_none}};
    store->ops->put_small(store->driver, bucket, key, &options, &data, told_done, told);
}

static unsigned index_writes(void) {
    return atomic_load(&fault_counts[FAULT_INDEX_WRITE]);
}

/* From now on the next write of the index doesn't come back. */
static unsigned hold(void) {
    fault_plan_set((struct fault_plan){.hold_index = true});
    return index_writes();
}

static void wait_until_held(unsigned before) {
    WAIT_FOR(index_writes() > before);
}

static void let_go(struct told *told, unsigned count) {
    assert_int_equal(told_count(told), 0);
    fault_plan_set((struct fault_plan){0});
    WAIT_FOR(told_count(told) == count);
}

static void test_one_creator_wins(void **state) {
    struct store *store = *state;
    struct told told = {.lock = PTHREAD_MUTEX_INITIALIZER};
    unsigned before = hold();
    submit(store, "bucket", "object", "first", true, &told);
    wait_until_held(before);
    for (unsigned i = 0; i < MANY; i++)
        submit(store, "bucket", "object", "later", true, &told);
    let_go(&told, 1 + MANY);
    assert_int_equal(told.statuses[0], TROVE_OK);
    for (unsigned i = 1; i <= MANY; i++)
        assert_int_equal(told.statuses[i], TROVE_FAILED_PRECONDITION);
    must_hold(store, "bucket", "object", "first", 5);
    must_count(store, "bucket", 1, 5);
}

static void test_overwritten_again_and_again(void **state) {
    struct store *store = *state;
    struct told told = {.lock = PTHREAD_MUTEX_INITIALIZER};
    must_put(store, "bucket", "object", "before", 6);
    unsigned before = hold();
    submit(store, "bucket", "object", "held", false, &told);
    wait_until_held(before);
    for (unsigned i = 1; i < MANY; i++)
        submit(store, "bucket", "object", i + 1 < MANY ? "later" : "last", false, &told);
    let_go(&told, MANY);
    for (unsigned i = 0; i < MANY; i++) {
        assert_int_equal(told.statuses[i], TROVE_OK);
        assert_true(i == 0 || told.generations[i] == told.generations[i - 1] + 1);
    }
    must_hold(store, "bucket", "object", "last", 4);
    must_count(store, "bucket", 1, 4);
    store_close(store);
    store_open(store);
    must_hold(store, "bucket", "object", "last", 4);
    must_count(store, "bucket", 1, 4);
}

/* What comes during one sync takes a few more, not one each. */
static void test_few_syncs(void **state) {
    struct store *store = *state;
    struct told told = {.lock = PTHREAD_MUTEX_INITIALIZER};
    unsigned before = hold();
    for (unsigned i = 0; i < 2 * MANY; i++) {
        char key[32];
        snprintf(key, sizeof key, "object-%u", i);
        submit(store, "bucket", key, "text", false, &told);
        if (i == 0)
            wait_until_held(before);
    }
    let_go(&told, 2 * MANY);
    print_message("%d puts, one of them held: %u synced batches\n", 2 * MANY, index_writes() - before);
    assert_true(index_writes() - before <= 4);
    must_count(store, "bucket", 2 * MANY, 8 * MANY);
}

#define PUTTERS 64

struct putter {
    pthread_t thread;
    struct store *store;
    unsigned number;
    size_t size;
    struct told *told;
    atomic_uint *asked;
};

static void *put_one(void *argument) {
    struct putter *putter = argument;
    char key[32];
    snprintf(key, sizeof key, "put-%u", putter->number);
    char *bytes = bytes_make(putter->size, putter->number);
    struct tvs_put *put = NULL;
    trove_error error = {0};
    must(put_uncommitted(putter->store, "bucket", key, bytes, putter->size, NULL, &put, &error), &error);
    putter->store->ops->put_commit(put, NULL, count_told, putter->told);
    atomic_fetch_add(putter->asked, 1);
    free(bytes);
    return NULL;
}

/* The same from many threads at once, small objects and those that have files. */
static void test_few_syncs_of_many_threads(void **state) {
    struct store *store = *state;
    static const size_t put_sizes[] = {1000, 100000};
    for (int large = 0; large < 2; large++) {
        struct told told = {.lock = PTHREAD_MUTEX_INITIALIZER};
        struct putter putters[PUTTERS];
        atomic_uint asked = 0;
        unsigned data_before = atomic_load(&fault_counts[FAULT_SYNC]);
        unsigned before = hold();
        for (unsigned i = 0; i < PUTTERS; i++) {
            putters[i] = (struct putter){.store = store, .number = i, .size = put_sizes[large], .told = &told, .asked = &asked};
            assert_int_equal(pthread_create(&putters[i].thread, NULL, put_one, &putters[i]), 0);
        }
        WAIT_FOR(atomic_load(&asked) == PUTTERS);
        wait_until_held(before);
        let_go(&told, PUTTERS);
        for (unsigned i = 0; i < PUTTERS; i++)
            pthread_join(putters[i].thread, NULL);
        print_message("%d puts of %zu bytes: %u synced batches\n", PUTTERS, put_sizes[large], index_writes() - before);
        assert_true(index_writes() - before <= 4);
        /* Small ones have no file to sync. */
        assert_int_equal(atomic_load(&fault_counts[FAULT_SYNC]) - data_before, large ? PUTTERS : 0);
    }
}

/* However much is queued, small puts don't wait for it; and they hold no more than their caller was told. */
static void test_small_puts_never_wait(void **state) {
    struct store *store = *state;
    struct told told = {.lock = PTHREAD_MUTEX_INITIALIZER};
    trove_metadata pairs[TV_METADATA_COUNT_MAX];
    char *bytes = bytes_make(TV_INLINE_BYTES_MAX, 1), value[100], key[TV_KEY_BYTES_MAX + 1];
    memset(value, 'v', sizeof value - 1);
    value[sizeof value - 1] = '\0';
    for (size_t i = 0; i < TV_METADATA_COUNT_MAX; i++)
        pairs[i] = (trove_metadata){.key = "some name", .value = value};
    const struct tvs_put_options plain = {.content_type = ""};
    const struct tvs_put_options rich = {
        .content_type = "text/plain", .metadata = pairs, .metadata_count = TV_METADATA_COUNT_MAX};
    unsigned before = hold();
    uint64_t held = 0;
    unsigned count = 0;
    for (unsigned i = 0; held < 2 * TVS_COMMIT_QUEUE_BYTES_MAX; i++) {
        const struct tvs_put_options *options = i % 2 != 0 ? &rich : &plain;
        size_t size = i % 3 != 0 ? TV_INLINE_BYTES_MAX : 0;
        struct tv_data data = {.bytes = size, .iov_count = size > 0, .iov[0] = {bytes, size}};
        tv_data_hash(&data);
        memset(key, 'k', sizeof key - 1);
        key[i % 5 == 0 ? 1 : TV_KEY_BYTES_MAX] = '\0';
        held += tvs_small_put_bytes(key, options, size);
        store->ops->put_small(store->driver, "bucket", key, options, &data, count_told, &told);
        if (i == 0)
            wait_until_held(before);
        count++;
    }
    struct tvs_committer *committer = &tvs_local_of(store->driver)->committer;
    pthread_mutex_lock(&committer->lock);
    size_t queued = committer->queued_bytes;
    pthread_mutex_unlock(&committer->lock);
    print_message("%u small puts queued: %zu bytes, told %llu\n", count, queued, (unsigned long long)held);
    assert_true(queued > TVS_COMMIT_QUEUE_BYTES_MAX && queued <= held);
    fault_plan_set((struct fault_plan){0});
    store_close(store); /* does what is queued */
    store_open(store);
    assert_int_equal(told.count, count);
    free(bytes);
}

struct change {
    pthread_t thread;
    struct store *store;
    trove_status status;
    trove_error error;
};

static void *delete_other(void *argument) {
    struct change *change = argument;
    change->status = change->store->ops->bucket_delete(change->store->driver, "other", &change->error);
    return NULL;
}

/* Requests that the committer hasn't taken yet. */
static size_t queued_count(struct store *store) {
    struct tvs_committer *committer = &tvs_local_of(store->driver)->committer;
    pthread_mutex_lock(&committer->lock);
    size_t count = committer->queued_count;
    pthread_mutex_unlock(&committer->lock);
    return count;
}

static void begin_delete(struct change *change, struct store *store) {
    *change = (struct change){.store = store};
    assert_int_equal(pthread_create(&change->thread, NULL, delete_other, change), 0);
}

/* A bucket that is being put into isn't deleted, and one that is being deleted takes nothing more. */
static void test_buckets(void **state) {
    struct store *store = *state;
    trove_error error = {0};
    struct told told = {.lock = PTHREAD_MUTEX_INITIALIZER};
    struct change change;
    must(store->ops->bucket_create(store->driver, "other", &error), &error);
    unsigned before = hold();
    submit(store, "other", "object", "text", false, &told);
    wait_until_held(before);
    begin_delete(&change, store);
    WAIT_FOR(queued_count(store) == 1);
    for (unsigned i = 0; i < MANY; i++) /* so many that it is judged while the put is being written */
        submit(store, "bucket", "object", "text", false, &told);
    let_go(&told, 1 + MANY);
    pthread_join(change.thread, NULL);
    must_fail(change.status, TROVE_FAILED_PRECONDITION, &change.error, "isn't empty");

    must(store->ops->delete (store->driver, "other", "object", NULL, &error), &error);
    told.count = 0;
    before = hold();
    begin_delete(&change, store);
    wait_until_held(before);
    for (unsigned i = 0; i < MANY; i++)
        submit(store, "other", "object", "text", false, &told);
    let_go(&told, MANY);
    pthread_join(change.thread, NULL);
    must(change.status, &change.error);
    for (unsigned i = 0; i < MANY; i++)
        assert_int_equal(told.statuses[i], TROVE_NOT_FOUND);
    store_close(store);
    store_open(store);
    must(store->ops->bucket_create(store->driver, "other", &error), &error);
    must_count(store, "other", 0, 0);
}

static int commits_setup(void **state) {
    fault_plan_set((struct fault_plan){0});
    return store_setup(state);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, commits_setup, store_teardown)

int main(void) {
    fault_io_install();
    fixture_ops = &tvs_local_driver;
    const struct CMUnitTest tests[] = {
        TEST(test_one_creator_wins),          TEST(test_overwritten_again_and_again), TEST(test_few_syncs),
        TEST(test_few_syncs_of_many_threads), TEST(test_small_puts_never_wait),       TEST(test_buckets),
    };
    return cmocka_run_group_tests_name("commits while one is written", tests, NULL, NULL);
}
