/* test_local_uploads.c - what only the local driver promises of resumable uploads: their files, syncs, limits. Damage and
 * failing calls: test_local_upload_faults.c.
 */
#include "elsewhere.h"
#include "fault_io.h"
#include "local_disk.h"
#include "uploads.h"

#include "local.h"

#include <pthread.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define K ((uint64_t)1024)
#define B TV_BLOCK_BYTES

static void reopen(struct store *store) {
    store_close(store);
    store_open(store);
}

static uint64_t length_of(const char *path) {
    struct stat info;
    assert_int_equal(stat(path, &info), 0);
    return (uint64_t)info.st_size;
}

/* ---- files ------------------------------------------------------------------------------------------------------------ */

/* From its first flush on there is one, and no start takes it for an orphan. */
static void test_files_of_uploads(void **state) {
    struct store *store = *state;
    char *bytes = bytes_make((size_t)(4 * B), 1), path[LOCAL_PATH_BYTES];
    struct told told;
    struct tvs_put *put = must_begin(store, "object", NULL, &told);
    must_write(store, put, bytes, 0, 1000);
    assert_int_equal(count_files(store, NULL), 0);
    must_flush(store, put, 1000);
    assert_int_equal(count_files(store, NULL), 1);
    store->ops->put_abort(put);
    reopen(store);
    assert_int_equal(count_files(store, path), 1);
    put = must_attach(store, &told.id, 1000, &told);
    assert_int_equal(length_of(path), 1000);
    must_write(store, put, bytes, 1000, 3 * B + 5);
    assert_true(length_of(path) >= 3 * B);
    must_flush(store, put, 3 * B + 5);
    must_write(store, put, bytes, 3 * B + 5, 4 * B);
    store->ops->put_abort(put);
    reopen(store);
    assert_int_equal(count_files(store, path), 1);
    put = must_attach(store, &told.id, 3 * B + 5, &told);
    assert_int_equal(length_of(path), 3 * B + 5); /* what wasn't flushed is cut off */
    must_commit(store, put);
    assert_int_equal(count_files(store, NULL), 1);
    assert_int_equal(length_of(path), 3 * B + 5 + 4 * 8);
    reopen(store);
    must_hold(store, "bucket", "object", bytes, (size_t)(3 * B + 5));
    free(bytes);
}

/* What ends small goes into the index after all; what was aborted or has expired leaves nothing. */
static void test_files_that_go(void **state) {
    struct store *store = *state;
    char *bytes = bytes_make((size_t)(4 * B), 1);
    static const struct {
        const char *name;
        uint64_t flushed, size;
    } rows[] = {{"empty", 0, 0}, {"small, flushed", 1000, 1000}, {"small, not flushed", 0, 1000}, {"large once", 0, 1000}};
    struct told told;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        print_message("    %s\n", rows[i].name);
        trove_error error = {0};
        struct tvs_put *put = must_begin(store, "object", NULL, &told);
        must_write(store, put, bytes, 0, rows[i].flushed);
        must_flush(store, put, rows[i].flushed);
        if (i == 3) {
            must_write(store, put, bytes, 0, 4 * B);
            must(store->ops->put_rewind(put, 0, &error), &error);
        }
        must_write(store, put, bytes, rows[i].flushed, rows[i].size);
        must_commit(store, put);
        must_hold(store, "bucket", "object", bytes, (size_t)rows[i].size);
        reopen(store); /* waits for the janitor */
        assert_int_equal(count_files(store, NULL), 0);
        must_hold(store, "bucket", "object", bytes, (size_t)rows[i].size);
    }
    for (int round = 0; round < 2; round++) {
        struct tvs_put *put = must_begin(store, "other", NULL, &told);
        must_write(store, put, bytes, 0, 2 * B);
        must_flush(store, put, 2 * B);
        store->ops->put_abort(put);
        if (round == 0)
            must_abort(store, &told.id);
        else
            assert_true(must_collect(store, told.expires_ns + DAY_NS, 10) >= 1);
        reopen(store);
        assert_int_equal(count_files(store, NULL), 0);
    }
    free(bytes);
}

/* A bucket is deleted and the process ends before its uploads have gone: nobody sees them, and the next start removes them. */
static void test_files_of_a_deleted_bucket(void **state) {
    struct store *store = *state;
    char *bytes = bytes_make((size_t)(2 * B), 1);
    struct tvs_local *local = tvs_local_of(store->driver);
    struct tvs_local_bucket *bucket;
    struct tvs_commit *deletion;
    struct told told, kept;
    trove_error error = {0};
    for (int i = 0; i < 3; i++) {
        struct tvs_put *put = must_begin(store, "object", NULL, &told);
        must_write(store, put, bytes, 0, 2 * B);
        must_flush(store, put, 2 * B);
        store->ops->put_abort(put);
    }
    must(tvs_local_bucket_acquire(&local->buckets, "bucket", &bucket, &error), &error);
    must(tvs_commit_create_bucket(bucket, "bucket", &deletion, &error), &error);
    must(tvs_committer_run(&local->committer, deletion, &error), &error);
    must(store->ops->bucket_create(store->driver, "bucket", &error), &error);
    assert_int_equal(count_files(store, NULL), 3);
    must_be_gone(store, &told.id);
    char *text = uploads_text(store, "", NULL, 10);
    assert_string_equal(text, "|");
    free(text);
    store->ops->put_abort(must_begin(store, "kept", NULL, &kept));
    reopen(store);
    local = tvs_local_of(store->driver);
    must_be_gone(store, &told.id);
    assert_int_equal(atomic_load(&local->uploads.unfinished), 1);
    reopen(store); /* waits for the janitor */
    assert_int_equal(count_files(store, NULL), 0);
    must(upload_stat(store, &kept.id, "alice", &kept), &kept.error);
    free(bytes);
}

/* More blocks than one row of the index has checksums for. */
static void test_many_checksums(void **state) {
    struct store *store = *state;
    const uint64_t row = TVS_SEGMENT_SUMS * B;
    static const int64_t offsets[] = {-2 * (int64_t)TV_MIB, -1, 0, 1, (int64_t)TV_BLOCK_BYTES, (int64_t)TV_MIB + 5};
    char *bytes = bytes_make((size_t)(row + 2 * TV_MIB), 1);
    struct told told;
    struct tvs_put *put = must_begin(store, "object", NULL, &told);
    uint64_t at = 0;
    for (size_t i = 0; i < sizeof offsets / sizeof *offsets; i++) {
        uint64_t to = (uint64_t)((int64_t)row + offsets[i]);
        must_write(store, put, bytes, at, to);
        must_flush(store, put, to);
        at = to;
        store->ops->put_abort(put);
        if (i % 2 == 0)
            reopen(store);
        put = must_attach(store, &told.id, at, &told);
    }
    must_write(store, put, bytes, at, row + 2 * TV_MIB);
    must_commit(store, put);
    must_have_sums(store, "bucket", "object", bytes, (size_t)(row + 2 * TV_MIB));
    must_hold(store, "bucket", "object", bytes, (size_t)(row + 2 * TV_MIB));
    free(bytes);
}

static void test_what_file_systems_refuse(void **state) {
    struct store *store = *state;
    char *bytes = bytes_make((size_t)(6 * B), 1);
    const struct fault_plan plans[] = {
        {.refuse_alignment = true}, {.short_moves = true}, {.refuse_direct = true}, {.refuse_direct = true, .short_moves = true}};
    const struct put_how ways[] = {{.write_bytes = 0}, {.write_bytes = 300001}, {.write_bytes = 262144, .shift = 8}};
    static const uint64_t flushes[] = {700, 70000, B + 4096, 3 * B + 5, 3 * B + 6, 5 * B};
    for (size_t p = 0; p < sizeof plans / sizeof *plans; p++) {
        for (size_t w = 0; w < sizeof ways / sizeof *ways; w++) {
            fault_plan_set(plans[p]);
            trove_error error = {0};
            struct told told;
            struct tvs_put *put = must_begin(store, "object", NULL, &told);
            uint64_t at = 0;
            for (size_t f = 0; f < sizeof flushes / sizeof *flushes; f++) {
                must(put_more(store, put, bytes, (size_t)at, (size_t)flushes[f], &ways[w], &error), &error);
                must_flush(store, put, at = flushes[f]);
                if (f % 2 == 0)
                    continue;
                store->ops->put_abort(put);
                put = must_attach(store, &told.id, at, &told);
                put_read_hold(store, put, bytes, 0, at);
            }
            must(put_more(store, put, bytes, (size_t)at, (size_t)(6 * B), &ways[w], &error), &error);
            must_commit(store, put);
            must_hold(store, "bucket", "object", bytes, (size_t)(6 * B));
        }
    }
    free(bytes);
}

/* ---- syncs ------------------------------------------------------------------------------------------------------------ */

struct counts {
    unsigned data, directories, index;
};

static struct counts counts_now(void) {
    return (struct counts){atomic_load(&fault_counts[FAULT_SYNC]), atomic_load(&fault_counts[FAULT_SYNC_DIRECTORY]),
                           atomic_load(&fault_counts[FAULT_INDEX_WRITE])};
}

static void must_have_synced(struct counts *before, unsigned data, unsigned directories, unsigned index) {
    struct counts now = counts_now();
    assert_int_equal(now.data - before->data, data);
    assert_int_equal(now.directories - before->directories, directories);
    assert_int_equal(now.index - before->index, index);
    *before = now;
}

static void test_what_is_synced(void **state) {
    struct store *store = *state;
    char *bytes = bytes_make((size_t)(4 * B), 1);
    struct told told;
    struct counts counts = counts_now();
    struct tvs_put *put = must_begin(store, "object", NULL, &told);
    must_have_synced(&counts, 0, 0, 1);
    must_flush(store, put, 0);
    must_have_synced(&counts, 0, 0, 1);
    must_write(store, put, bytes, 0, 2 * B);
    must_have_synced(&counts, 0, 0, 0);
    must_flush(store, put, 2 * B);
    must_have_synced(&counts, 1, 1, 1);
    must_flush(store, put, 2 * B);
    must_have_synced(&counts, 0, 0, 1);
    must_write(store, put, bytes, 2 * B, 3 * B + 5);
    must_flush(store, put, 3 * B + 5);
    must_have_synced(&counts, 1, 0, 1);
    store->ops->put_abort(put);
    must_have_synced(&counts, 0, 0, 0);
    put = must_attach(store, &told.id, 3 * B + 5, &told);
    must_have_synced(&counts, 0, 0, 1);
    must_write(store, put, bytes, 3 * B + 5, 4 * B);
    must_commit(store, put);
    must_have_synced(&counts, 1, 0, 1);
    must_put(store, "bucket", "plain", bytes, (size_t)(4 * B));
    must_have_synced(&counts, 1, 1, 1);
    free(bytes);
}

struct flusher {
    pthread_mutex_t lock;
    unsigned told;
    uint64_t last_offset;
};

static void count_flush(void *context, trove_status status, const struct tvs_upload_info *info, const trove_error *error) {
    (void)error;
    struct flusher *flusher = context;
    pthread_mutex_lock(&flusher->lock);
    if (status == TROVE_OK) {
        MUST(info->durable_offset >= flusher->last_offset);
        flusher->last_offset = info->durable_offset;
    }
    flusher->told++;
    pthread_mutex_unlock(&flusher->lock);
}

static unsigned told_by(struct flusher *flusher) {
    pthread_mutex_lock(&flusher->lock);
    unsigned told = flusher->told;
    pthread_mutex_unlock(&flusher->lock);
    return told;
}

static void wait_for(struct flusher *flusher, unsigned count) {
    WAIT_FOR(told_by(flusher) >= count);
}

/* While the index is being written a put goes on, and is flushed again; all of that takes few writes. */
static void test_nobody_waits_for_the_index(void **state) {
    struct store *store = *state;
    enum {
        FLUSHES = 40
    };
    char *bytes = bytes_make((size_t)(3 * B), 1);
    struct flusher flusher = {.lock = PTHREAD_MUTEX_INITIALIZER};
    struct told told;
    struct tvs_put *put = must_begin(store, "object", NULL, &told);
    struct counts before = counts_now();
    fault_plan_set((struct fault_plan){.hold_index = true});
    for (unsigned i = 0; i < FLUSHES; i++) {
        must_write(store, put, bytes, i * 10000, (i + 1) * 10000);
        store->ops->put_flush(put, count_flush, &flusher);
    }
    assert_int_equal(told_by(&flusher), 0);
    fault_plan_set((struct fault_plan){0});
    wait_for(&flusher, FLUSHES);
    assert_int_equal(flusher.last_offset, FLUSHES * 10000);
    assert_true(counts_now().index - before.index <= 4);
    store->ops->put_abort(put);
    put = must_attach(store, &told.id, FLUSHES * 10000, &told);
    must_commit(store, put);
    must_hold(store, "bucket", "object", bytes, FLUSHES * 10000);
    free(bytes);
}

struct queued {
    pthread_t thread;
    struct store *store;
    struct tvs_upload_id id;
    struct told told;
};

static void *attach_queued(void *argument) {
    struct queued *queued = argument;
    upload_attach(queued->store, &queued->id, "alice", &queued->told);
    return NULL;
}

/* Of all requests that haven't been told yet. */
static size_t queued_bytes(struct store *store) {
    struct tvs_committer *committer = &tvs_local_of(store->driver)->committer;
    pthread_mutex_lock(&committer->lock);
    size_t bytes = committer->queued_bytes;
    pthread_mutex_unlock(&committer->lock);
    return bytes;
}

static void commit_told(void *context, trove_status status, const struct tvs_object *object, const trove_error *error) {
    (void)object;
    (void)error;
    *(trove_status *)context = status;
}

/* A fence holds for what is asked behind it, and not for what was asked before, whenever either is written. */
static void test_a_fence_in_the_queue(void **state) {
    struct store *store = *state;
    static const struct {
        const char *name;
        bool commit, before; /* else a flush; else behind the fence */
    } rows[] = {{"a flush before", false, true},
                {"a flush behind", false, false},
                {"a commit before", true, true},
                {"a commit behind", true, false}};
    char *bytes = bytes_make((size_t)(3 * B), 1);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        print_message("    %s\n", rows[i].name);
        struct flusher flusher = {.lock = PTHREAD_MUTEX_INITIALIZER};
        trove_status committed = TROVE_OK;
        struct told told, other;
        must_put(store, "bucket", "object", "old", 3);
        struct tvs_put *put = must_begin(store, "object", NULL, &told);
        must_write(store, put, bytes, 0, B);
        unsigned before = atomic_load(&fault_counts[FAULT_INDEX_WRITE]);
        fault_plan_set((struct fault_plan){.hold_index = true});
        store->ops->put_flush(put, count_flush, &flusher); /* this is being written; what follows is judged meanwhile */
        WAIT_FOR(atomic_load(&fault_counts[FAULT_INDEX_WRITE]) > before);
        must_write(store, put, bytes, B, 2 * B);
        struct queued queued = {.store = store, .id = told.id};
        for (int step = 0; step < 2; step++) {
            size_t queued_before = queued_bytes(store);
            if ((step == 0) != rows[i].before)
                assert_int_equal(pthread_create(&queued.thread, NULL, attach_queued, &queued), 0);
            else if (rows[i].commit)
                store->ops->put_commit(put, NULL, commit_told, &committed);
            else
                store->ops->put_flush(put, count_flush, &flusher);
            WAIT_FOR(queued_bytes(store) != queued_before);
        }
        fault_plan_set((struct fault_plan){0});
        pthread_join(queued.thread, NULL);
        wait_for(&flusher, rows[i].commit ? 1 : 2);
        must(queued.told.status, &queued.told.error);
        assert_int_equal(queued.told.complete, rows[i].commit && rows[i].before);
        if (queued.told.complete) {
            must_hold(store, "bucket", "object", bytes, (size_t)(2 * B));
            continue;
        }
        uint64_t durable = rows[i].before ? 2 * B : B;
        assert_int_equal(queued.told.epoch, 2);
        assert_int_equal(queued.told.durable_offset, durable);
        assert_int_equal(flusher.last_offset, durable);
        must_hold(store, "bucket", "object", "old", 3);
        if (!rows[i].commit)
            store->ops->put_abort(put);
        put = must_attach(store, &told.id, durable, &other);
        assert_int_equal(committed, rows[i].commit ? TROVE_ABORTED : TROVE_OK);
        must_write(store, put, bytes, durable, 3 * B);
        must_commit(store, put);
        must_hold(store, "bucket", "object", bytes, (size_t)(3 * B));
    }
    free(bytes);
}

/* ---- limits ------------------------------------------------------------------------------------------------------- */

/* What no more room is left for is said early; what helps still works. */
static void test_a_full_disk(void **state) {
    struct store *store = *state;
    char *bytes = bytes_make((size_t)(4 * B), 1);
    trove_error error = {0};
    static const struct put_how plain;
    struct told told, other;
    struct tvs_put *put = must_begin(store, "object", NULL, &told), *second;
    must_write(store, put, bytes, 0, B + 5);
    must_flush(store, put, B + 5);
    fault_plan_set((struct fault_plan){.no_space = true});
    upload_begin(store, "bucket", "other", NULL, &other);
    must_fail(other.status, TROVE_RESOURCE_EXHAUSTED, &other.error, "full");
    must_fail(put_more(store, put, bytes, (size_t)(B + 5), (size_t)(3 * B), &plain, &error), TROVE_RESOURCE_EXHAUSTED, &error,
              "full");
    store->ops->put_abort(put);
    put = must_attach(store, &told.id, B + 5, &told);
    must_flush(store, put, B + 5);
    must_write(store, put, bytes, B + 5, B + 10); /* in memory */
    upload_flush(store, put, &other);
    must_fail(other.status, TROVE_RESOURCE_EXHAUSTED, &other.error, "full");
    store->ops->put_abort(put);
    put = must_attach(store, &told.id, B + 5, &told);
    must_fail(put_commit_wait(store, put, NULL, &error), TROVE_RESOURCE_EXHAUSTED, &error, "full");
    fault_plan_set((struct fault_plan){0});
    put = must_attach(store, &told.id, B + 5, &told);
    must_write(store, put, bytes, B + 5, 4 * B);
    must_commit(store, put);
    must_hold(store, "bucket", "object", bytes, (size_t)(4 * B));

    second = must_begin(store, "second", NULL, &other);
    must_write(store, second, bytes, 0, B);
    must_flush(store, second, B);
    fault_plan_set((struct fault_plan){.no_space = true});
    must_abort(store, &other.id);
    store->ops->put_abort(second);
    fault_plan_set((struct fault_plan){0});
    reopen(store);
    assert_int_equal(count_files(store, NULL), 1);
    free(bytes);
}

static void test_too_many(void **state) {
    struct store *store = *state;
    struct told told, other;
    atomic_ullong *unfinished = &tvs_local_of(store->driver)->uploads.unfinished;
    atomic_store(unfinished, TVS_LOCAL_UPLOADS_MAX - 1);
    struct tvs_put *put = must_begin(store, "last", NULL, &told);
    assert_int_equal(atomic_load(unfinished), TVS_LOCAL_UPLOADS_MAX);
    upload_begin(store, "bucket", "more", NULL, &other);
    must_fail(other.status, TROVE_RESOURCE_EXHAUSTED, &other.error, "1000000");
    must_commit(store, put);
    put = must_begin(store, "more", NULL, &other);
    store->ops->put_abort(put);
    must_abort(store, &other.id);
    assert_int_equal(atomic_load(unfinished), TVS_LOCAL_UPLOADS_MAX - 1);
    store->ops->put_abort(must_begin(store, "counted", NULL, &told));
    reopen(store);
    assert_int_equal(atomic_load(&tvs_local_of(store->driver)->uploads.unfinished), 1);
}

static int synced_setup(void **state) {
    fault_plan_set((struct fault_plan){0});
    return store_setup(state);
}

static int unsynced_setup(void **state) {
    fault_plan_set((struct fault_plan){0});
    return relaxed_setup(state);
}

#define TEST(function)   cmocka_unit_test_setup_teardown(function, unsynced_setup, store_teardown)
#define SYNCED(function) cmocka_unit_test_setup_teardown(function, synced_setup, store_teardown)

int main(void) {
    fault_io_install();
    fault_io_without_syncs(); /* they are counted */
    fixture_ops = &tvs_local_driver;
    const struct CMUnitTest tests[] = {
        TEST(test_files_of_uploads),          TEST(test_files_that_go),    TEST(test_many_checksums),
        TEST(test_what_file_systems_refuse),  SYNCED(test_what_is_synced), TEST(test_nobody_waits_for_the_index),
        TEST(test_a_fence_in_the_queue),      TEST(test_a_full_disk),      TEST(test_too_many),
        TEST(test_files_of_a_deleted_bucket),
    };
    return cmocka_run_group_tests_name("resumable uploads in the local store", tests, NULL, NULL);
}
