/* local_durable.c - making the files of the local driver durable: at the end of a put, and of a resumable one in between. See
 * local_file.h; the order of syncs is at the top of local_committer.c.
 *
 * A flush ends anywhere in a block, while the file goes on in whole ones. What isn't whole is written where it belongs, padded to
 * what O_DIRECT takes, and stays in memory all the same; later the block is written once more, with the same bytes before the
 * flush's end. So a block that is torn by a power cut has these bytes in either half, and what lies behind them is nobody's.
 * (Rejected: flushing whole blocks only. A slow stream's bytes would never be durable.)
 */
#include "local_file.h"

#include "store_io.h"

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

/* ---- syncs ----------------------------------------------------------------------------------------------------------- */

static int sync_shard(struct tvs_file_store *store, unsigned shard) {
    char name[3];
    snprintf(name, sizeof name, "%02x", shard);
    int fd = TVS_IO(open_at)(store->directory, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC, 0);
    if (fd < 0)
        return errno;
    int failure = TVS_IO(sync_directory)(fd) != 0 ? errno : 0;
    TVS_IO(close)(fd);
    return failure;
}

/* Makes the directory entry of a file that exists durable. One sync serves all that asked before it began; those who ask while
 * it runs wait for the next one. Returns an errno or 0. */
static int sync_entry(struct tvs_file_store *store, const struct tvs_file_id *id) {
    unsigned shard = id->bytes[TVS_FILE_ID_BYTES - 2];
    struct tvs_directory_sync *sync = &store->syncs[shard];
    pthread_mutex_lock(&store->lock);
    uint64_t ticket = ++sync->wanted;
    while (sync->finished < ticket) {
        if (sync->running) {
            pthread_cond_wait(&store->synced, &store->lock);
            continue;
        }
        sync->running = true;
        uint64_t covered = sync->wanted;
        pthread_mutex_unlock(&store->lock);
        int failure = sync_shard(store, shard);
        pthread_mutex_lock(&store->lock);
        sync->running = false;
        sync->finished = covered;
        if (failure != 0) {
            sync->failed = covered;
            sync->failure = failure;
        }
        pthread_cond_broadcast(&store->synced);
    }
    /* A ticket of an earlier, good sync may be told of a later failure here. That is the safe side. */
    int failure = ticket <= sync->failed ? sync->failure : 0;
    pthread_mutex_unlock(&store->lock);
    return failure;
}

/* Bytes first, then the entry that leads to them. */
static trove_status make_durable(struct tvs_file_writer *writer, trove_error *error) {
    struct tvs_file_store *store = writer->store;
    if (store->relaxed)
        return TROVE_OK;
    if (TVS_IO(fdatasync)(writer->fd) != 0) {
        /* Nobody knows any more what is on the disk, unless it was only too full to take it: then what was there hasn't
         * changed. */
        writer->sync_failed = errno != ENOSPC && errno != EDQUOT;
        return tv_error_errno(error, errno, "can't make an object's bytes durable");
    }
    /* Where that fails nothing was durable yet: whoever goes on begins with another file. */
    int failure = writer->entry_durable ? 0 : sync_entry(store, &writer->id);
    if (failure != 0)
        return tv_error_errno(error, failure, "can't make a directory of the store durable");
    writer->entry_durable = true;
    return TROVE_OK;
}

/* ---- at the end ------------------------------------------------------------------------------------------------------ */

static trove_status close_file(struct tvs_file_writer *writer, trove_error *error) {
    int fd = writer->fd;
    writer->fd = -1;
    if (TVS_IO(close)(fd) == 0 || errno == EINTR)
        return TROVE_OK;
    trove_status status = tv_error_errno(error, errno, "can't close an object's file");
    if (!writer->kept)
        tvs_file_remove(writer->store, &writer->id);
    return status;
}

trove_status tvs_file_writer_finish(struct tvs_file_writer *writer, const uint64_t *sums, size_t sum_count, trove_error *error) {
    TV_ASSERT(writer->fd >= 0);
    TV_ASSERT(writer->file_bytes + writer->tail_bytes == writer->bytes);
    /* The rest and the checksums end anywhere: through the page cache. */
    if (writer->direct && !tvs_file_writer_leave_direct(writer))
        return tv_error_errno(error, errno, "can't change how an object's file is written");
#if __BYTE_ORDER != __LITTLE_ENDIAN
#error "checksums are written as they lie in memory"
#endif
    struct iovec iov[2] = {{.iov_base = writer->tail, .iov_len = writer->tail_bytes},
                           {.iov_base = (void *)(uintptr_t)sums, .iov_len = sum_count * sizeof *sums}};
    bool rest = writer->tail_bytes > 0;
    writer->tail_bytes = 0;
    trove_status status = tvs_file_writer_write(writer, rest ? iov : iov + 1, rest ? 2 : 1, error);
    if (status == TROVE_OK && writer->kept) /* an earlier flush may have padded it to more */
        status = tvs_file_writer_set_length(writer, writer->file_bytes, error);
    if (status == TROVE_OK)
        status = make_durable(writer, error);
    if (status == TROVE_OK)
        status = close_file(writer, error);
    tvs_file_writer_release_tail(writer);
    return status;
}

/* ---- in between ------------------------------------------------------------------------------------------------------ */

static trove_status write_tail(struct tvs_file_writer *writer, trove_error *error) {
    if (writer->tail_bytes == 0)
        return TROVE_OK;
    size_t bytes = writer->tail_bytes;
    if (writer->direct)
        bytes = (bytes + TVS_DIRECT_ALIGNMENT - 1) / TVS_DIRECT_ALIGNMENT * TVS_DIRECT_ALIGNMENT; /* at most the buffer's */
    memset(writer->tail + writer->tail_bytes, 0, bytes - writer->tail_bytes);
    struct iovec iov = {.iov_base = writer->tail, .iov_len = bytes};
    uint64_t file_bytes = writer->file_bytes;
    trove_status status = tvs_file_writer_write(writer, &iov, 1, error);
    writer->file_bytes = file_bytes;
    return status;
}

trove_status tvs_file_writer_sync(struct tvs_file_writer *writer, trove_error *error) {
    TV_ASSERT(writer->kept);
    if (writer->bytes == writer->synced_bytes)
        return TROVE_OK;
    trove_status status = writer->fd < 0 ? tvs_file_writer_create(writer, error) : TROVE_OK;
    if (status == TROVE_OK)
        status = write_tail(writer, error);
    if (status == TROVE_OK)
        status = make_durable(writer, error);
    if (status == TROVE_OK)
        writer->synced_bytes = writer->bytes;
    return status;
}

/* ---- going on -------------------------------------------------------------------------------------------------------- */

static trove_status length_of(int fd, const char *path, uint64_t *bytes, trove_error *error) {
    struct stat info;
    if (fstat(fd, &info) != 0)
        return tv_error_errno(error, errno, "can't look at objects/%s", path);
    if (!S_ISREG(info.st_mode))
        return TV_FAIL(error, DATA_LOSS, "objects/%s isn't a file", path);
    *bytes = (uint64_t)info.st_size;
    return TROVE_OK;
}

static trove_status open_kept(struct tvs_file_writer *writer, const char *path, trove_error *error) {
    int failure = tvs_file_writer_open(writer, O_RDWR | O_NOFOLLOW | O_CLOEXEC);
    if (failure == ENOENT)
        return TV_FAIL(error, DATA_LOSS, "its file objects/%s is gone", path);
    return failure == 0 ? TROVE_OK : tv_error_errno(error, failure, "can't open objects/%s", path);
}

trove_status tvs_file_writer_reopen(struct tvs_file_writer *writer, const struct tvs_file_id *id, uint64_t bytes,
                                    trove_error *error) {
    TV_ASSERT(writer->fd < 0 && writer->bytes == 0);
    char path[TVS_FILE_PATH_BYTES];
    tvs_file_path(id, path);
    writer->kept = true;
    writer->id = *id;
    if (bytes == 0) {
        tvs_file_remove(writer->store, id); /* what a holder before wrote and didn't flush */
        return TROVE_OK;
    }
    uint64_t length = 0;
    trove_status status = open_kept(writer, path, error);
    if (status == TROVE_OK)
        status = length_of(writer->fd, path, &length, error);
    if (status == TROVE_OK && length < bytes)
        status = TV_FAIL(error, DATA_LOSS, "its file objects/%s has %llu bytes, and %llu were durable", path,
                         (unsigned long long)length, (unsigned long long)bytes);
    if (status == TROVE_OK && length > bytes)
        status = tvs_file_writer_set_length(writer, bytes, error);
    if (status != TROVE_OK)
        return status;
    writer->bytes = writer->file_bytes = writer->synced_bytes = bytes;
    writer->entry_durable = true;
    tvs_file_writer_show(writer);
    return TROVE_OK;
}

trove_status tvs_file_length(struct tvs_file_store *store, const struct tvs_file_id *id, uint64_t *bytes, trove_error *error) {
    char path[TVS_FILE_PATH_BYTES];
    tvs_file_path(id, path);
    int fd = TVS_IO(open_at)(store->directory, path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC, 0);
    if (fd < 0)
        return tv_error_errno(error, errno, "can't open objects/%s", path);
    trove_status status = length_of(fd, path, bytes, error);
    TVS_IO(close)(fd);
    return status;
}
