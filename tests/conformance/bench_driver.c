/* bench_driver.c - measures a driver alone: `bench_driver DSN small|big|big-buffered|list [COUNT] [OUTSTANDING]`. Not a test; run
 * by hand.
 *
 * small: durable 1 KiB puts, so many outstanding, from one thread, and then reading them. big: one object in 1 MiB runs of page-
 * aligned memory, written and read, in GB/s (big-buffered: without O_DIRECT). list: pages of a bucket of COUNT objects.
 */
#include "driver.h"
#include "store_io.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

/* How many puts are under way. The producer is woken when a quarter of them is done, not for each. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t room = PTHREAD_COND_INITIALIZER;
static unsigned submitted;
static atomic_uint completed, wake_at;
static unsigned batches; /* of local's index, and the time they took */
static double batch_seconds, batch_seconds_max;
static int failures;

static double now_seconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

static double cpu_seconds(void) {
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
           (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) * 1e-6;
}

static void check(trove_status status, const trove_error *error) {
    if (status == TROVE_OK)
        return;
    fprintf(stderr, "%s: %s\n", trove_status_name(status), error->message);
    exit(1);
}

static void timed_index_write(rocksdb_t *db, const rocksdb_writeoptions_t *options, rocksdb_writebatch_t *batch, char **error) {
    double start = now_seconds();
    tvs_store_io_system.index_write(db, options, batch, error);
    double took = now_seconds() - start;
    batches++;
    batch_seconds += took;
    batch_seconds_max = took > batch_seconds_max ? took : batch_seconds_max;
}

static int buffered_open_at(int directory, const char *path, int flags, mode_t mode) {
    if ((flags & O_DIRECT) != 0) {
        errno = EINVAL;
        return -1;
    }
    return tvs_store_io_system.open_at(directory, path, flags, mode);
}

static void small_done(void *context, trove_status status, const struct tvs_object *object, const trove_error *error) {
    (void)context;
    (void)object;
    if (status != TROVE_OK && failures++ == 0)
        fprintf(stderr, "%s\n", error->message);
    if (atomic_fetch_add(&completed, 1) + 1 != atomic_load(&wake_at))
        return;
    pthread_mutex_lock(&lock);
    pthread_cond_signal(&room);
    pthread_mutex_unlock(&lock);
}

/* Until at most so many are under way. */
static void wait_for(unsigned outstanding) {
    pthread_mutex_lock(&lock);
    unsigned target = submitted - outstanding;
    atomic_store(&wake_at, target);
    while ((int)(atomic_load(&completed) - target) < 0)
        pthread_cond_wait(&room, &lock);
    pthread_mutex_unlock(&lock);
}

static void put_many(struct tvs_driver *driver, const char *format, unsigned count, unsigned outstanding, size_t bytes) {
    char *memory = malloc(bytes);
    memset(memory, 'x', bytes);
    struct tvs_put_options options = {.content_type = ""};
    for (unsigned i = 0; i < count; i++) {
        char key[64];
        snprintf(key, sizeof key, format, i * 2654435761u);
        memcpy(memory, &i, sizeof i);
        struct tv_data data = {.bytes = bytes, .iov_count = 1, .iov[0] = {memory, bytes}};
        tv_data_hash(&data);
        if (submitted - atomic_load(&completed) >= outstanding)
            wait_for(outstanding - outstanding / 4);
        submitted++;
        driver->ops->put_small(driver, "bench", key, &options, &data, small_done, NULL);
    }
    wait_for(0);
    free(memory);
}

static void bench_small(struct tvs_driver *driver, unsigned count, unsigned outstanding) {
    put_many(driver, "warm/%08x", count / 10, outstanding, 1024);
    batches = 0;
    batch_seconds = batch_seconds_max = 0;
    double start = now_seconds(), cpu = cpu_seconds();
    put_many(driver, "objects/%08x", count, outstanding, 1024);
    double took = now_seconds() - start;
    printf("small puts: %u of 1 KiB, %u outstanding: %.0f/s, %.2f us CPU each, %d failures\n", count, outstanding, count / took,
           (cpu_seconds() - cpu) / count * 1e6, failures);
    if (batches > 0)
        printf("  %.1f a batch; a batch's write took %.0f us on average, %.1f ms at most; %.0f%% of the time\n",
               (double)count / batches, batch_seconds / batches * 1e6, batch_seconds_max * 1e3, batch_seconds / took * 100);
    start = now_seconds();
    trove_error error = {0};
    char memory[1024];
    unsigned gets = count / 4;
    for (unsigned i = 0; i < gets; i++) {
        char key[64];
        snprintf(key, sizeof key, "objects/%08x", i * 2654435761u);
        struct tvs_get *get;
        struct tvs_object object;
        check(driver->ops->get_begin(driver, "bench", key, NULL, &get, &object, &error), &error);
        struct tv_data data = {.bytes = 1024, .iov_count = 1, .iov[0] = {memory, 1024}};
        check(driver->ops->get_read(get, &data, &error), &error);
        driver->ops->get_end(get);
        tvs_object_fini(&object);
    }
    printf("small gets: %.0f/s\n", gets / (now_seconds() - start));
}

static void bench_big(struct tvs_driver *driver, unsigned mebibytes) {
    trove_error error = {0};
    char *memory = aligned_alloc(4096, TV_MIB);
    memset(memory, 7, TV_MIB);
    struct tv_data data = {.bytes = TV_MIB, .iov_count = 4};
    for (unsigned i = 0; i < 4; i++)
        data.iov[i] = (struct iovec){memory + i * TV_BLOCK_BYTES, TV_BLOCK_BYTES};
    tv_data_hash(&data);
    struct tvs_put_options options = {.content_type = "", .size_hint = mebibytes * TV_MIB};
    double start = now_seconds(), cpu = cpu_seconds();
    struct tvs_put *put;
    check(driver->ops->put_begin(driver, "bench", "big", &options, &put, &error), &error);
    for (unsigned i = 0; i < mebibytes; i++) {
        data.offset = i * TV_MIB;
        check(driver->ops->put_write(put, &data, &error), &error);
    }
    submitted++;
    driver->ops->put_commit(put, NULL, small_done, NULL);
    wait_for(0);
    double took = now_seconds() - start;
    printf("big put: %u MiB: %.2f GB/s, %.3f CPU-s/GB (its sums came along, as from a client)\n", mebibytes,
           mebibytes * 1.048576e-3 / took, (cpu_seconds() - cpu) / (mebibytes * 1.048576e-3));
    for (int round = 0; round < 2; round++) {
        struct tvs_get *get;
        struct tvs_object object;
        start = now_seconds();
        cpu = cpu_seconds();
        check(driver->ops->get_begin(driver, "bench", "big", NULL, &get, &object, &error), &error);
        for (unsigned i = 0; i < mebibytes; i++) {
            data.offset = i * TV_MIB;
            check(driver->ops->get_read(get, &data, &error), &error);
        }
        driver->ops->get_end(get);
        tvs_object_fini(&object);
        took = now_seconds() - start;
        printf("big get %d: %.2f GB/s, %.3f CPU-s/GB\n", round + 1, mebibytes * 1.048576e-3 / took,
               (cpu_seconds() - cpu) / (mebibytes * 1.048576e-3));
    }
    free(memory);
}

static bool count_entry(void *context, const struct tvs_list_entry *entry) {
    struct {
        unsigned count;
        char last[TV_KEY_BYTES_MAX + 1];
    } *page = context;
    page->count++;
    strcpy(page->last, entry->key);
    return true;
}

static void bench_list(struct tvs_driver *driver, unsigned count) {
    put_many(driver, "objects/%08x", count, 200, 100);
    trove_error error = {0};
    struct {
        unsigned count;
        char last[TV_KEY_BYTES_MAX + 1];
    } page;
    for (int round = 0; round < 3; round++) {
        struct tvs_list_query query = {.prefix = "", .delimiter = "", .after = "", .limit = 1000};
        bool more = true;
        unsigned all = 0, pages = 0;
        double start = now_seconds(), first = 0;
        char after[TV_KEY_BYTES_MAX + 1] = "";
        while (more) {
            page.count = 0;
            query.after = after;
            check(driver->ops->list(driver, "bench", &query, count_entry, &page, &more, &error), &error);
            strcpy(after, page.last);
            all += page.count;
            if (pages++ == 0)
                first = now_seconds() - start;
        }
        printf("list: first page of 1000 %.3f ms, all %u in %u pages %.1f ms\n", first * 1e3, all, pages,
               (now_seconds() - start) * 1e3);
    }
}

int main(int count, char **arguments) {
    if (count < 3) {
        fprintf(stderr, "usage: bench_driver DSN small|big|big-buffered|list [COUNT] [OUTSTANDING]\n");
        return 2;
    }
    trove_error error = {0};
    struct tvs_driver_config config = {0};
    const struct tvs_driver_ops *ops = tvs_driver_find(arguments[1], &config.path, &error);
    if (ops == NULL)
        check(error.status, &error);
    config.memory_bytes = strcmp(ops->scheme, "mem") == 0 ? 4 * TV_GIB : 0;
    struct tvs_store_io timed = tvs_store_io_system;
    timed.index_write = timed_index_write;
    if (strcmp(arguments[2], "big-buffered") == 0)
        timed.open_at = buffered_open_at;
    tvs_store_io = &timed;
    struct tvs_driver *driver;
    check(ops->open(&config, &driver, &error), &error);
    (void)!ops->bucket_create(driver, "bench", NULL);
    unsigned number = count > 3 ? (unsigned)atoi(arguments[3]) : 0;
    unsigned outstanding = count > 4 ? (unsigned)atoi(arguments[4]) : 200;
    if (strcmp(arguments[2], "small") == 0)
        bench_small(driver, number != 0 ? number : 200000, outstanding);
    else if (strncmp(arguments[2], "big", 3) == 0)
        bench_big(driver, number != 0 ? number : 1024);
    else
        bench_list(driver, number != 0 ? number : 100000);
    ops->close(driver);
    return 0;
}
