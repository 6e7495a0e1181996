/* test_local_store.c - what only the local driver promises: reopening, orphans, damage, the lock, full disks, few syncs. */
#include "fault_io.h"
#include "fixture.h"
#include "local_disk.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static void reopen(struct store *store) {
    store_close(store);
    store_open(store);
}

static void test_reopened_has_all(void **state) {
    struct store *store = *state;
    const size_t kept[] = {0, 10, 65536, 65537, 1000000};
    trove_metadata pair = {.key = "k", .value = "v"};
    uint64_t generation = 0, all = 0;
    for (size_t i = 0; i < 5; i++) {
        char key[16];
        snprintf(key, sizeof key, "kept-%zu", i);
        char *bytes = bytes_make(kept[i], i);
        trove_error error = {0};
        struct tvs_object object;
        struct put_how how = {.object = &object, .options = {.content_type = "a/b", .metadata = &pair, .metadata_count = 1}};
        must(put_object(store, "bucket", key, bytes, kept[i], &how, &error), &error);
        generation = object.generation;
        tvs_object_fini(&object);
        free(bytes);
        all += kept[i];
    }
    for (int round = 0; round < 2; round++) {
        reopen(store);
        must_count(store, "bucket", 5, all);
        for (size_t i = 0; i < 5; i++) {
            char key[16];
            snprintf(key, sizeof key, "kept-%zu", i);
            char *bytes = bytes_make(kept[i], i);
            must_hold(store, "bucket", key, bytes, kept[i]);
            free(bytes);
        }
        char *text = list_text(store, "", "", "", 10);
        assert_string_equal(text, "kept-0 kept-1 kept-2 kept-3 kept-4 |");
        free(text);
    }
    trove_error error = {0};
    struct tvs_object object;
    must(store->ops->head(store->driver, "bucket", "kept-1", &object, &error), &error);
    assert_string_equal(object.content_type, "a/b");
    assert_string_equal(object.metadata[0].value, "v");
    tvs_object_fini(&object);
    must(store->ops->delete (store->driver, "bucket", "kept-4", NULL, &error), &error);
    reopen(store);
    struct put_how how = {.object = &object};
    must(put_object(store, "bucket", "kept-4", "x", 1, &how, &error), &error);
    assert_true(object.generation > generation);
    tvs_object_fini(&object);
}

static void test_files_come_and_go(void **state) {
    struct store *store = *state;
    trove_error error = {0};
    char *bytes = bytes_make(200000, 1);
    must_put(store, "bucket", "small", bytes, 65536);
    assert_int_equal(count_files(store, NULL), 0);
    must_put(store, "bucket", "large", bytes, 65537);
    assert_int_equal(count_files(store, NULL), 1);
    must_put(store, "bucket", "large", bytes, 200000);
    must_put(store, "bucket", "other", bytes, 200000);
    must(store->ops->delete (store->driver, "bucket", "other", NULL, &error), &error);
    struct tvs_put *put;
    must(put_uncommitted(store, "bucket", "aborted", bytes, 200000, NULL, &put, &error), &error);
    assert_true(count_files(store, NULL) >= 2);
    store->ops->put_abort(put);
    struct put_how how = {.options.conditions.if_generation = 1};
    must_fail(put_object(store, "bucket", "large", bytes, 200000, &how, &error), TROVE_FAILED_PRECONDITION, &error, "large");
    assert_int_equal(count_files(store, NULL), 1);
    reopen(store);
    assert_int_equal(count_files(store, NULL), 1);
    must_put(store, "bucket", "large", bytes, 10);
    reopen(store);
    assert_int_equal(count_files(store, NULL), 0);
    free(bytes);
}

static void test_modes(void **state) {
    struct store *store = *state;
    char *bytes = bytes_make(100000, 1);
    must_put(store, "bucket", "large", bytes, 100000);
    free(bytes);
    char path[400];
    struct stat info;
    assert_int_equal(count_files(store, path), 1);
    assert_int_equal(stat(path, &info), 0);
    assert_int_equal(info.st_mode & 0777, 0600);
    const char *folders[] = {"objects", "objects/00", "index"};
    for (size_t i = 0; i < 3; i++) {
        snprintf(path, sizeof path, "%s/%s", store->path, folders[i]);
        assert_int_equal(stat(path, &info), 0);
        assert_int_equal(info.st_mode & 0777, 0700);
    }
    snprintf(path, sizeof path, "%s/made", store->path);
    struct tvs_driver_config config = {.path = path};
    struct tvs_driver *driver;
    trove_error error = {0};
    must(store->ops->open(&config, &driver, &error), &error);
    store->ops->close(driver);
    assert_int_equal(stat(path, &info), 0);
    assert_int_equal(info.st_mode & 0777, 0700);
}

/* What a crash leaves: a file without an entry goes, what isn't ours stays. */
static void test_orphans_are_removed(void **state) {
    struct store *store = *state;
    char *bytes = bytes_make(100000, 1);
    must_put(store, "bucket", "large", bytes, 100000);
    store_close(store);
    char path[400];
    snprintf(path, sizeof path, "%s/objects/ab/0000000000000000000000000000ab01", store->path);
    close(open(path, O_CREAT | O_WRONLY, 0600));
    snprintf(path, sizeof path, "%s/objects/ab/0000000000000000000000000000ab02", store->path);
    close(open(path, O_CREAT | O_WRONLY, 0600));
    snprintf(path, sizeof path, "%s/objects/ac/notes.txt", store->path);
    close(open(path, O_CREAT | O_WRONLY, 0600));
    assert_int_equal(count_files(store, NULL), 4);
    store_open(store);
    assert_int_equal(count_files(store, NULL), 2);
    must_hold(store, "bucket", "large", bytes, 100000);
    free(bytes);
}

static void test_damage_is_named(void **state) {
    struct store *store = *state;
    char *bytes = bytes_make(900000, 1);
    must_put(store, "bucket", "damaged", bytes, 900000);
    char path[400];
    assert_int_equal(count_files(store, path), 1);
    trove_error error = {0};
    char *got;
    size_t size;
    const struct {
        off_t offset;
        const char *word;
    } damages[] = {{5, "bytes from 0 to 262144"},
                   {262144, "bytes from 262144 to 524288"},
                   {899999, "bytes from 786432 to 900000"},
                   {900000, "bytes from 0 to 262144"}, /* a stored checksum */
                   {900031, "bytes from 786432 to 900000"}};
    for (size_t i = 0; i < sizeof damages / sizeof *damages; i++) {
        flip_byte(path, damages[i].offset);
        must_fail(get_object(store, "bucket", "damaged", 0, &got, &size, &error), TROVE_DATA_LOSS, &error, "bucket/damaged");
        assert_non_null(strstr(error.message, damages[i].word));
        struct tvs_object object;
        must_fail(copy_object(store, "bucket", "damaged", "bucket", "copy", NULL, &object, &error), TROVE_DATA_LOSS, &error,
                  "bucket/damaged");
        flip_byte(path, damages[i].offset);
    }
    /* A range that isn't touched is still good. */
    flip_byte(path, 5);
    must(get_object(store, "bucket", "damaged", 262144, &got, &size, &error), &error);
    free(got);
    flip_byte(path, 900001);
    uint64_t sum; /* of another block than the one that is damaged */
    struct tvs_object object;
    must_fail(store->ops->block_sums(store->driver, "bucket", "damaged", 1, 1, &sum, &size, &object, &error), TROVE_DATA_LOSS,
              &error, "etag");
    assert_int_equal(truncate(path, 900000), 0);
    must_fail(get_object(store, "bucket", "damaged", 0, &got, &size, &error), TROVE_DATA_LOSS, &error, "bytes instead of");
    assert_int_equal(unlink(path), 0);
    must_fail(get_object(store, "bucket", "damaged", 0, &got, &size, &error), TROVE_DATA_LOSS, &error, "bucket/damaged");
    must_put(store, "bucket", "damaged", bytes, 900000);
    must_hold(store, "bucket", "damaged", bytes, 900000);
    free(bytes);
}

static void test_second_opener_is_refused(void **state) {
    struct store *store = *state;
    trove_error error = {0};
    struct tvs_driver *driver;
    char pid[32];
    snprintf(pid, sizeof pid, "process %ld", (long)getpid());
    must_fail(store->ops->open(&store->config, &driver, &error), TROVE_FAILED_PRECONDITION, &error, pid);
    must_put(store, "bucket", "k", "still works", 11);
    reopen(store);
}

static void test_only_stores_are_opened(void **state) {
    struct store *store = *state;
    char path[300], file[400];
    trove_error error = {0};
    struct tvs_driver *driver;
    snprintf(path, sizeof path, "%s/foreign", store->path);
    struct tvs_driver_config config = {.path = path};
    assert_int_equal(mkdir(path, 0700), 0);
    snprintf(file, sizeof file, "%s/thesis.txt", path);
    close(open(file, O_CREAT | O_WRONLY, 0600));
    must_fail(store->ops->open(&config, &driver, &error), TROVE_FAILED_PRECONDITION, &error, "FORMAT");
    assert_int_equal(access(file, F_OK), 0);
    snprintf(file, sizeof file, "%s/FORMAT", path);
    int fd = open(file, O_CREAT | O_WRONLY, 0600);
    assert_int_equal(write(fd, "trove-local 99\n", 15), 15);
    close(fd);
    must_fail(store->ops->open(&config, &driver, &error), TROVE_FAILED_PRECONDITION, &error, "trove-local 99");
    config.path = "relative";
    must_fail(store->ops->open(&config, &driver, &error), TROVE_INVALID_ARGUMENT, &error, "relative");
    config.path = "/proc/nowhere/store";
    assert_true(store->ops->open(&config, &driver, &error) != TROVE_OK);
    assert_non_null(strstr(error.message, "/proc/nowhere/store"));
}

/* ---- syncs ----------------------------------------------------------------------------------------------------------- */

struct blocked {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool open, inside;
    atomic_uint done;
};

static void block_first(void *context, trove_status status, const struct tvs_object *object, const trove_error *error) {
    (void)status, (void)object, (void)error;
    struct blocked *blocked = context;
    pthread_mutex_lock(&blocked->lock);
    blocked->inside = true;
    pthread_cond_broadcast(&blocked->changed);
    while (!blocked->open)
        pthread_cond_wait(&blocked->changed, &blocked->lock);
    pthread_mutex_unlock(&blocked->lock);
    atomic_fetch_add(&blocked->done, 1);
}

static void count_done(void *context, trove_status status, const struct tvs_object *object, const trove_error *error) {
    (void)object, (void)error;
    struct blocked *blocked = context;
    assert_int_equal(status, TROVE_OK);
    atomic_fetch_add(&blocked->done, 1);
}

static void submit(struct store *store, unsigned number, tvs_commit_done done, void *context) {
    char key[32];
    snprintf(key, sizeof key, "sync-%u", number);
    struct tv_data data = {.bytes = 6, .iov_count = 1, .iov[0] = {key, 6}};
    tv_data_hash(&data);
    struct tvs_put_options options = {.content_type = ""};
    store->ops->put_small(store->driver, "bucket", key, &options, &data, done, context);
}

/* While one commit is under way 64 more arrive: they take one synced batch, not 64. */
static void test_64_puts_few_syncs(void **state) {
    struct store *store = *state;
    struct blocked blocked = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};
    submit(store, 0, block_first, &blocked);
    pthread_mutex_lock(&blocked.lock);
    while (!blocked.inside)
        pthread_cond_wait(&blocked.changed, &blocked.lock);
    pthread_mutex_unlock(&blocked.lock);
    unsigned before = atomic_load(&fault_counts[FAULT_INDEX_WRITE]);
    for (unsigned i = 1; i <= 64; i++)
        submit(store, i, count_done, &blocked);
    pthread_mutex_lock(&blocked.lock);
    blocked.open = true;
    pthread_cond_broadcast(&blocked.changed);
    pthread_mutex_unlock(&blocked.lock);
    while (atomic_load(&blocked.done) < 65)
        usleep(100);
    assert_int_equal(atomic_load(&fault_counts[FAULT_INDEX_WRITE]) - before, 1);
    must_count(store, "bucket", 65, 65 * 6);
}

struct putter {
    pthread_t thread;
    struct store *store;
    unsigned number;
    size_t size;
};

static void *put_one(void *argument) {
    struct putter *putter = argument;
    char key[32];
    snprintf(key, sizeof key, "put-%u", putter->number);
    char *bytes = bytes_make(putter->size, putter->number);
    must_put(putter->store, "bucket", key, bytes, putter->size);
    free(bytes);
    return NULL;
}

/* The same with 64 threads that each wait for their own, small and large. */
static void test_64_threads_few_syncs(void **state) {
    struct store *store = *state;
    const size_t put_sizes[] = {1000, 100000};
    for (int large = 0; large < 2; large++) {
        struct putter putters[64];
        unsigned index_before = atomic_load(&fault_counts[FAULT_INDEX_WRITE]);
        unsigned data_before = atomic_load(&fault_counts[FAULT_SYNC]);
        for (unsigned i = 0; i < 64; i++) {
            putters[i] = (struct putter){.store = store, .number = i, .size = put_sizes[large]};
            assert_int_equal(pthread_create(&putters[i].thread, NULL, put_one, &putters[i]), 0);
        }
        for (unsigned i = 0; i < 64; i++)
            pthread_join(putters[i].thread, NULL);
        unsigned batches = atomic_load(&fault_counts[FAULT_INDEX_WRITE]) - index_before;
        print_message("64 puts of %zu bytes: %u synced batches\n", put_sizes[large], batches);
        assert_true(batches < 64);
        /* Small ones have no file to sync. */
        assert_int_equal(atomic_load(&fault_counts[FAULT_SYNC]) - data_before, large ? 64 : 0);
    }
}

static void test_relaxed_has_no_syncs(void **state) {
    struct store *store = *state;
    store_close(store);
    store->config.relaxed = true;
    store_open(store);
    unsigned syncs = atomic_load(&fault_counts[FAULT_SYNC]);
    unsigned directory_syncs = atomic_load(&fault_counts[FAULT_SYNC_DIRECTORY]);
    char *bytes = bytes_make(300000, 1);
    must_put(store, "bucket", "relaxed", bytes, 300000);
    must_hold(store, "bucket", "relaxed", bytes, 300000);
    assert_int_equal(atomic_load(&fault_counts[FAULT_SYNC]), syncs);
    assert_int_equal(atomic_load(&fault_counts[FAULT_SYNC_DIRECTORY]), directory_syncs);
    free(bytes);
}

/* ---- faults ---------------------------------------------------------------------------------------------------------- */

/* One call after the other fails while an object is replaced: the right status, the old object, no file too many. */
static void faults_of_a_put(struct store *store, bool lossy) {
    const enum fault_call calls[] = {FAULT_OPEN, FAULT_WRITE, FAULT_SYNC, FAULT_SYNC_DIRECTORY};
    const struct {
        int number;
        trove_status status;
    } errors[] = {{ENOSPC, TROVE_RESOURCE_EXHAUSTED}, {EIO, TROVE_DATA_LOSS}, {EMFILE, TROVE_RESOURCE_EXHAUSTED}};
    /* One that cuts what waits to be written, one between writes, one that reaches to the end. */
    static const trove_gap gaps[] = {{70000, 300000}, {900000, 5000}, {1400000, 100000}};
    char *old = bytes_make(400000, 1), *new = bytes_make(1500000, 2);
    for (size_t i = 0; i < 3 && lossy; i++)
        memset(new + gaps[i].offset, 0, (size_t)gaps[i].length);
    must_put(store, "bucket", "object", old, 400000);
    for (size_t c = 0; c < sizeof calls / sizeof *calls; c++) {
        for (size_t e = 0; e < sizeof errors / sizeof *errors; e++) {
            unsigned nth = 0;
            do {
                fault_plan_set((struct fault_plan){.call = calls[c], .nth = ++nth, .error_number = errors[e].number});
                trove_error error = {0};
                struct put_how how = {.write_bytes = 500001, .gaps = gaps, .gap_count = lossy ? 3 : 0};
                trove_status status = put_object(store, "bucket", "object", new, 1500000, &how, &error);
                if (atomic_load(&fault_hits) == 0) {
                    must(status, &error);
                    break;
                }
                must_fail(status, errors[e].status, &error, "");
                fault_plan_set((struct fault_plan){0});
                must_hold(store, "bucket", "object", old, 400000);
            } while (nth < 100);
            assert_true(nth > 1 && nth < 100);
            fault_plan_set((struct fault_plan){0});
            must_hold(store, "bucket", "object", new, 1500000);
            must_put(store, "bucket", "object", old, 400000);
        }
    }
    reopen(store);
    must_hold(store, "bucket", "object", old, 400000);
    must_count(store, "bucket", 1, 400000);
    assert_int_equal(count_files(store, NULL), 1);
    free(old);
    free(new);
}

static void test_faults_of_a_put(void **state) {
    faults_of_a_put(*state, false);
}

static void test_faults_of_a_put_with_gaps(void **state) {
    faults_of_a_put(*state, true);
}

static void test_full_disk_is_said_early(void **state) {
    struct store *store = *state;
    trove_error error = {0};
    char *bytes = bytes_make(400000, 1);
    must_put(store, "bucket", "small", "old", 3);
    must_put(store, "bucket", "large", bytes, 400000);
    fault_plan_set((struct fault_plan){.no_space = true});
    struct put_how small = {.small = true};
    must_fail(put_object(store, "bucket", "small", "newer", 5, &small, &error), TROVE_RESOURCE_EXHAUSTED, &error, "full");
    must_fail(put_object(store, "bucket", "large", bytes, 300000, NULL, &error), TROVE_RESOURCE_EXHAUSTED, &error, "full");
    must_hold(store, "bucket", "small", "old", 3);
    must_hold(store, "bucket", "large", bytes, 400000);
    /* Deleting is what helps, so it works. */
    must(store->ops->delete (store->driver, "bucket", "large", NULL, &error), &error);
    fault_plan_set((struct fault_plan){0});
    must_put(store, "bucket", "large", bytes, 300000);
    must_count(store, "bucket", 2, 300003);
    free(bytes);
}

static void test_what_file_systems_refuse(void **state) {
    struct store *store = *state;
    static const trove_gap gap = {1000001, 600000};
    char *bytes = bytes_make(3000000, 1), *zeroed = bytes_make(3000000, 1);
    memset(zeroed + gap.offset, 0, (size_t)gap.length);
    const struct fault_plan plans[] = {
        {.refuse_alignment = true}, {.short_moves = true}, {.refuse_direct = true}, {.refuse_direct = true, .short_moves = true}};
    const struct put_how ways[] = {{.write_bytes = 0}, {.write_bytes = 300001}, {.write_bytes = 262144, .shift = 8}};
    for (size_t p = 0; p < sizeof plans / sizeof *plans; p++) {
        for (size_t w = 0; w < sizeof ways / sizeof *ways; w++) {
            fault_plan_set(plans[p]);
            trove_error error = {0};
            must(put_object(store, "bucket", "object", bytes, 3000000, &ways[w], &error), &error);
            must_hold(store, "bucket", "object", bytes, 3000000);
            struct put_how lossy = ways[w];
            lossy.gaps = &gap;
            lossy.gap_count = 1;
            must(put_object(store, "bucket", "object", bytes, 3000000, &lossy, &error), &error);
            must_hold(store, "bucket", "object", zeroed, 3000000);
        }
    }
    free(zeroed);
    free(bytes);
}

static void test_failing_reads(void **state) {
    struct store *store = *state;
    char *bytes = bytes_make(1000000, 1), *got;
    size_t size;
    must_put(store, "bucket", "object", bytes, 1000000);
    trove_error error = {0};
    fault_plan_set((struct fault_plan){.call = FAULT_READ, .nth = 1, .error_number = EIO});
    must_fail(get_object(store, "bucket", "object", 0, &got, &size, &error), TROVE_DATA_LOSS, &error, "bucket/object");
    fault_plan_set((struct fault_plan){.call = FAULT_OPEN, .nth = 1, .error_number = EMFILE});
    must_fail(get_object(store, "bucket", "object", 0, &got, &size, &error), TROVE_RESOURCE_EXHAUSTED, &error, "open files");
    must_hold(store, "bucket", "object", bytes, 1000000);
    free(bytes);
}

/* What was lost takes no space, in a copy neither; and where something stands in a hole, that is damage as anywhere. */
static void test_gaps_are_holes(void **state) {
    struct store *store = *state;
    static const trove_gap gap = {300000, 50000000};
    char *bytes = bytes_make(50400000, 1), path[400], *got;
    memset(bytes + gap.offset, 0, (size_t)gap.length);
    struct put_how how = {.gaps = &gap, .gap_count = 1};
    trove_error error = {0};
    struct tvs_object object;
    must(put_object(store, "bucket", "object", bytes, 50400000, &how, &error), &error);
    assert_int_equal(count_files(store, path), 1);
    assert_true(disk_bytes(path) < 1000000);
    must(copy_object(store, "bucket", "object", "bucket", "copy", NULL, &object, &error), &error);
    assert_int_equal(object.gap_bytes, gap.length);
    tvs_object_fini(&object);
    must(store->ops->delete (store->driver, "bucket", "object", NULL, &error), &error);
    reopen(store);
    assert_int_equal(count_files(store, path), 1);
    assert_true(disk_bytes(path) < 2000000);
    must_hold(store, "bucket", "copy", bytes, 50400000);
    flip_byte(path, 25000000);
    size_t size;
    must_fail(get_object(store, "bucket", "copy", 0, &got, &size, &error), TROVE_DATA_LOSS, &error, "bytes from 24903680");
    free(bytes);
}

static void test_copy_by_clone(void **state) {
    struct store *store = *state;
    static const trove_gap gap = {5, 700000};
    char *bytes = bytes_make(1000000, 1);
    memset(bytes + gap.offset, 0, (size_t)gap.length);
    struct put_how how = {.gaps = &gap, .gap_count = 1};
    must(put_object(store, "bucket", "object", bytes, 1000000, &how, NULL), NULL);
    fault_plan_set((struct fault_plan){.clone = true});
    trove_error error = {0};
    struct tvs_object object;
    must(copy_object(store, "bucket", "object", "bucket", "copy", NULL, &object, &error), &error);
    assert_int_equal(object.gap_count, 1);
    assert_memory_equal(object.gaps, &gap, sizeof gap);
    tvs_object_fini(&object);
    must(store->ops->delete (store->driver, "bucket", "object", NULL, &error), &error);
    must_hold(store, "bucket", "copy", bytes, 1000000);
    reopen(store);
    must_hold(store, "bucket", "copy", bytes, 1000000);
    free(bytes);
}

/* What can't be removed now is removed at the next start. */
static void test_failing_unlink(void **state) {
    struct store *store = *state;
    char *bytes = bytes_make(100000, 1);
    must_put(store, "bucket", "object", bytes, 100000);
    fault_plan_set((struct fault_plan){.call = FAULT_UNLINK, .nth = 1, .error_number = EIO});
    must_put(store, "bucket", "object", bytes, 100000);
    assert_int_equal(count_files(store, NULL), 2);
    reopen(store);
    assert_int_equal(count_files(store, NULL), 1);
    must_hold(store, "bucket", "object", bytes, 100000);
    free(bytes);
}

static void log_to_stderr(void *context, const char *message) {
    (void)context;
    fprintf(stderr, "logged: %s\n", message);
}

/* This program again, as `test_local_store crash STORE`: its first commit's write of the index fails. (Not only forked: RocksDB's
 * threads don't survive that.) */
static int crash_at_commit(const char *path) {
    struct rlimit none = {0};
    setrlimit(RLIMIT_CORE, &none);
    fault_io_install();
    struct store store = {.ops = &tvs_local_driver, .config = {.path = path, .log = log_to_stderr}};
    if (store.ops->open(&store.config, &store.driver, NULL) != TROVE_OK)
        return 1;
    fault_plan_set((struct fault_plan){.call = FAULT_INDEX_WRITE, .nth = 1, .error_number = EIO});
    trove_error error = {0};
    (void)!put_object(&store, "bucket", "lost", "abc", 3, NULL, &error);
    return 2;
}

/* A failed write of the index ends the process, and what was acknowledged before is there afterwards. */
static void test_failed_index_write_ends_the_process(void **state) {
    struct store *store = *state;
    must_put(store, "bucket", "acknowledged", "abc", 3);
    store_close(store);
    int output[2];
    assert_int_equal(pipe(output), 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        dup2(output[1], 2);
        execl("/proc/self/exe", "test_local_store", "crash", store->path, (char *)NULL);
        _exit(3);
    }
    close(output[1]);
    FILE *text = fdopen(output[0], "r");
    char said[4000];
    said[fread(said, 1, sizeof said - 1, text)] = '\0';
    fclose(text);
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
    char *once = strstr(said, "logged: the store's index can't be written");
    assert_non_null(once);
    assert_null(strstr(once + 10, "the store's index can't be written"));
    store_open(store);
    must_hold(store, "bucket", "acknowledged", "abc", 3);
    must_count(store, "bucket", 1, 3);
}

static int local_setup(void **state) {
    fault_plan_set((struct fault_plan){0});
    return store_setup(state);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, local_setup, store_teardown)

int main(int count, char **arguments) {
    if (count == 3 && strcmp(arguments[1], "crash") == 0)
        return crash_at_commit(arguments[2]);
    fault_io_install();
    fixture_ops = &tvs_local_driver;
    const struct CMUnitTest tests[] = {
        TEST(test_reopened_has_all),
        TEST(test_files_come_and_go),
        TEST(test_modes),
        TEST(test_orphans_are_removed),
        TEST(test_damage_is_named),
        TEST(test_second_opener_is_refused),
        TEST(test_only_stores_are_opened),
        TEST(test_64_puts_few_syncs),
        TEST(test_64_threads_few_syncs),
        TEST(test_relaxed_has_no_syncs),
        TEST(test_faults_of_a_put),
        TEST(test_faults_of_a_put_with_gaps),
        TEST(test_gaps_are_holes),
        TEST(test_full_disk_is_said_early),
        TEST(test_what_file_systems_refuse),
        TEST(test_failing_reads),
        TEST(test_copy_by_clone),
        TEST(test_failing_unlink),
        TEST(test_failed_index_write_ends_the_process),
    };
    return cmocka_run_group_tests_name("the local store", tests, NULL, NULL);
}
