/* fault_io.c - see fault_io.h. */
#include "fault_io.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

atomic_uint fault_counts[FAULT_CALLS];
atomic_uint fault_hits;

/* The driver's own threads ask as well, at any time. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER; /* `present` */
static struct fault_plan present;                         /* under `lock` */
static unsigned calls;                                    /* of present.call since it was set; under `lock` */

/* All places, as the linker has put them together. */
extern const struct tvs_io_site __start_tvs_io_sites[], __stop_tvs_io_sites[]; /* NOLINT(bugprone-reserved-identifier) */
#define SITES_MAX 256
static unsigned site_calls[SITES_MAX], site_failures[SITES_MAX]; /* under `lock` */
#define TRACE_MAX 4096
static const struct tvs_io_site *trace[TRACE_MAX]; /* under `lock` */
static size_t trace_count;
static rocksdb_writeoptions_t *unsynced; /* NULL: syncs are real; constant once a store is open */

static struct fault_plan plan_now(void) {
    pthread_mutex_lock(&lock);
    struct fault_plan plan = present;
    pthread_mutex_unlock(&lock);
    return plan;
}

void fault_plan_set(struct fault_plan plan) {
    pthread_mutex_lock(&lock);
    present = plan;
    calls = 0;
    trace_count = 0;
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&lock);
    atomic_store(&fault_hits, 0);
}

unsigned fault_sites_all(void) {
    return (unsigned)(__stop_tvs_io_sites - __start_tvs_io_sites);
}

const struct tvs_io_site *fault_site(unsigned index, unsigned *calls_made, unsigned *failed) {
    pthread_mutex_lock(&lock);
    *calls_made = site_calls[index];
    *failed = site_failures[index];
    pthread_mutex_unlock(&lock);
    return &__start_tvs_io_sites[index];
}

unsigned fault_sites(void) {
    unsigned count = 0, calls_made, failed;
    for (unsigned i = 0; i < fault_sites_all(); i++) {
        (void)fault_site(i, &calls_made, &failed);
        count += failed > 0;
    }
    return count;
}

size_t fault_trace(const struct tvs_io_site **to, size_t capacity) {
    pthread_mutex_lock(&lock);
    size_t count = trace_count < capacity ? trace_count : capacity;
    memcpy(to, trace, count * sizeof(const struct tvs_io_site *));
    pthread_mutex_unlock(&lock);
    return count;
}

/* Whether the present plan is about this call. Under the lock. */
static bool is_meant(enum fault_call call) {
    return present.call == call || (present.call == FAULT_ANY && call != FAULT_INDEX_WRITE);
}

/* Counts a call, of the thread's present place in the source, and tells whether it is the one. */
static bool hit(enum fault_call call) {
    size_t site = (size_t)(tvs_io_site - __start_tvs_io_sites);
    atomic_fetch_add(&fault_counts[call], 1);
    pthread_mutex_lock(&lock);
    bool counts = present.nth != 0 && is_meant(call);
    calls += counts;
    bool is_hit = counts && (calls == present.nth || (present.lasting && calls > present.nth));
    int error_number = present.error_number;
    site_calls[site % SITES_MAX]++;
    site_failures[site % SITES_MAX] += is_hit;
    if (call != FAULT_INDEX_WRITE && trace_count < TRACE_MAX)
        trace[trace_count++] = tvs_io_site;
    pthread_mutex_unlock(&lock);
    if (!is_hit)
        return false;
    atomic_fetch_add(&fault_hits, 1);
    errno = error_number;
    return true;
}

static int fault_open_at(int directory, const char *path, int flags, mode_t mode) {
    if (hit(FAULT_OPEN))
        return -1;
    if (plan_now().refuse_direct && (flags & O_DIRECT) != 0) {
        errno = EINVAL;
        return -1;
    }
    return tvs_store_io_system.open_at(directory, path, flags, mode);
}

/* Half of the first iov, so that a short move ends in the middle of things. */
static ssize_t move_half(bool write, int fd, const struct iovec *iov, off_t offset) {
    size_t half = iov[0].iov_len > 1 ? iov[0].iov_len / 2 : iov[0].iov_len;
    int flags = fcntl(fd, F_GETFL);
    if (write && (flags & O_DIRECT) != 0 && half % 512 != 0)
        half = half > 512 ? half / 512 * 512 : iov[0].iov_len;
    return write ? pwrite(fd, iov[0].iov_base, half, offset) : pread(fd, iov[0].iov_base, half, offset);
}

static ssize_t fault_preadv(int fd, const struct iovec *iov, int count, off_t offset) {
    if (hit(FAULT_READ))
        return -1;
    return plan_now().short_moves ? move_half(false, fd, iov, offset) : preadv(fd, iov, count, offset);
}

static ssize_t fault_pwritev(int fd, const struct iovec *iov, int count, off_t offset) {
    if (hit(FAULT_WRITE))
        return -1;
    if (plan_now().refuse_alignment && (fcntl(fd, F_GETFL) & O_DIRECT) != 0) {
        errno = EINVAL;
        return -1;
    }
    return plan_now().short_moves ? move_half(true, fd, iov, offset) : pwritev(fd, iov, count, offset);
}

static int fault_set_length(int fd, off_t length) {
    return hit(FAULT_SET_LENGTH) ? -1 : ftruncate(fd, length);
}

static int fault_fdatasync(int fd) {
    if (hit(FAULT_SYNC))
        return -1;
    return unsynced != NULL ? 0 : fdatasync(fd);
}

static int fault_sync_directory(int fd) {
    if (hit(FAULT_SYNC_DIRECTORY))
        return -1;
    return unsynced != NULL ? 0 : fsync(fd);
}

static int fault_unlink_at(int directory, const char *path, int flags) {
    bool fails = hit(FAULT_UNLINK);
    pthread_mutex_lock(&lock);
    while (present.hold_unlink)
        pthread_cond_wait(&changed, &lock);
    pthread_mutex_unlock(&lock);
    return fails ? -1 : unlinkat(directory, path, flags);
}

/* The descriptor is gone in any case, as Linux has it. */
static int fault_close(int fd) {
    bool fails = hit(FAULT_CLOSE);
    int failure = errno;
    if (close(fd) != 0)
        return -1;
    errno = failure;
    return fails ? -1 : 0;
}

static int fault_make_directory_at(int directory, const char *path, mode_t mode) {
    return hit(FAULT_MAKE_DIRECTORY) ? -1 : mkdirat(directory, path, mode);
}

static int fault_rename_at(int from_directory, const char *from, int to_directory, const char *to) {
    return hit(FAULT_RENAME) ? -1 : renameat(from_directory, from, to_directory, to);
}

static int fault_clone(int from, int to) {
    if (hit(FAULT_CLONE))
        return -1;
    if (!plan_now().clone) {
        errno = EOPNOTSUPP;
        return -1;
    }
    struct stat info;
    if (fstat(from, &info) != 0 || fcntl(to, F_SETFL, fcntl(to, F_GETFL) & ~O_DIRECT) != 0)
        return -1;
    char *all = malloc((size_t)info.st_size);
    bool good =
        pread(from, all, (size_t)info.st_size, 0) == info.st_size && pwrite(to, all, (size_t)info.st_size, 0) == info.st_size;
    free(all);
    return good ? 0 : -1;
}

static int fault_free_bytes(int fd, uint64_t *bytes, uint64_t *total) {
    if (hit(FAULT_FREE_BYTES))
        return -1;
    if (!plan_now().no_space)
        return tvs_store_io_system.free_bytes(fd, bytes, total);
    *bytes = 1000000;
    *total = (uint64_t)1 << 40;
    return 0;
}

static void fault_index_write(rocksdb_t *db, const rocksdb_writeoptions_t *options, rocksdb_writebatch_t *batch, char **error) {
    bool fails = hit(FAULT_INDEX_WRITE);
    pthread_mutex_lock(&lock);
    while (present.hold_index)
        pthread_cond_wait(&changed, &lock);
    pthread_mutex_unlock(&lock);
    if (fails)
        *error = strdup("IO error: made to fail by the test");
    else
        rocksdb_write(db, unsynced != NULL ? unsynced : options, batch, error);
}

void fault_io_without_syncs(void) {
    unsynced = rocksdb_writeoptions_create();
}

void fault_io_install(void) {
    static struct tvs_store_io table;
    table = tvs_store_io_system;
    table.open_at = fault_open_at;
    table.close = fault_close;
    table.make_directory_at = fault_make_directory_at;
    table.rename_at = fault_rename_at;
    table.preadv = fault_preadv;
    table.pwritev = fault_pwritev;
    table.set_length = fault_set_length;
    table.fdatasync = fault_fdatasync;
    table.sync_directory = fault_sync_directory;
    table.unlink_at = fault_unlink_at;
    table.clone = fault_clone;
    table.free_bytes = fault_free_bytes;
    table.index_write = fault_index_write;
    tvs_store_io = &table;
}
