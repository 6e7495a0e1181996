/* local_writer.c - writing the files of the local driver. See local_file.h. A writer is one thread's; what it has shown can be read by
 * others (local_unfinished.c).
 */
#include "local_file.h"

#include "store_io.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

/* Less than this isn't worth a write of its own: it is gathered with what comes next. */
#define DIRECT_BYTES_MIN (64 * TV_KIB)

void tvs_file_writer_init(struct tvs_file_writer *writer, struct tvs_file_store *store) {
    *writer = (struct tvs_file_writer){.store = store, .fd = -1, .read_fd = -1};
    pthread_mutex_init(&writer->lock, NULL);
}

int tvs_file_writer_open(struct tvs_file_writer *writer, int flags) {
    struct tvs_file_store *store = writer->store;
    char path[TVS_FILE_PATH_BYTES];
    tvs_file_path(&writer->id, path);
    writer->direct = atomic_load_explicit(&store->direct, memory_order_relaxed);
    writer->fd = TVS_IO(open_at)(store->directory, path, flags | (writer->direct ? O_DIRECT : 0), 0600);
    if (writer->fd < 0 && writer->direct && errno == EINVAL) {
        /* Some file systems make the file before they refuse the flag. */
        if ((flags & O_CREAT) != 0)
            (void)TVS_IO(unlink_at)(store->directory, path, 0);
        atomic_store_explicit(&store->direct, false, memory_order_relaxed);
        writer->direct = false;
        writer->fd = TVS_IO(open_at)(store->directory, path, flags, 0600);
    }
    return writer->fd < 0 ? errno : 0;
}

trove_status tvs_file_writer_create(struct tvs_file_writer *writer, trove_error *error) {
    if (!writer->kept)
        tvs_file_id_draw(writer->store, &writer->id);
    /* Of a kept one a holder before may have left a file that couldn't be removed. */
    int failure = tvs_file_writer_open(writer, O_RDWR | O_CREAT | (writer->kept ? O_TRUNC : O_EXCL) | O_NOFOLLOW | O_CLOEXEC);
    if (failure == 0)
        return TROVE_OK;
    char path[TVS_FILE_PATH_BYTES];
    tvs_file_path(&writer->id, path);
    return tv_error_errno(error, failure, "can't make the file objects/%s", path);
}

bool tvs_file_writer_leave_direct(struct tvs_file_writer *writer) {
    int flags = fcntl(writer->fd, F_GETFL);
    writer->direct = false;
    return flags >= 0 && fcntl(writer->fd, F_SETFL, flags & ~O_DIRECT) == 0;
}

trove_status tvs_file_writer_write(struct tvs_file_writer *writer, struct iovec *iov, int count, trove_error *error) {
    /* The last of the space is the index's: without it not even a deletion could be written down. */
    if (tvs_file_space_is_low(writer->store->directory, writer->store->index_bytes))
        return TV_FAIL(error, RESOURCE_EXHAUSTED, "the store's disk is nearly full; delete something or give it more room");
    while (count > 0) {
        ssize_t put = TVS_IO(pwritev)(writer->fd, iov, count, (off_t)writer->file_bytes);
        if (put < 0 && errno == EINTR)
            continue;
        /* Alignment that this file system doesn't take, perhaps after a short write. */
        if (put < 0 && errno == EINVAL && writer->direct && tvs_file_writer_leave_direct(writer))
            continue;
        if (put <= 0)
            return tv_error_errno(error, put < 0 ? errno : EIO, "can't write to the store");
        writer->file_bytes += (uint64_t)put;
        while (count > 0 && (size_t)put >= iov->iov_len) {
            put -= (ssize_t)iov->iov_len;
            iov++;
            count--;
        }
        if (count > 0) {
            iov->iov_base = (char *)iov->iov_base + put;
            iov->iov_len -= (size_t)put;
        }
    }
    return TROVE_OK;
}

static trove_status flush_tail(struct tvs_file_writer *writer, trove_error *error) {
    struct iovec iov = {.iov_base = writer->tail, .iov_len = writer->tail_bytes};
    writer->tail_bytes = 0;
    trove_status status = tvs_file_writer_write(writer, &iov, 1, error);
    if (status == TROVE_OK)
        tvs_file_writer_show(writer); /* the buffer is used again from its beginning on */
    return status;
}

static trove_status gather(struct tvs_file_writer *writer, const char *from, size_t bytes, trove_error *error) {
    if (writer->tail == NULL && (writer->tail = aligned_alloc(TVS_DIRECT_ALIGNMENT, TV_BLOCK_BYTES)) == NULL)
        return tvs_fail_no_memory("a write buffer", error);
    while (bytes > 0) {
        size_t here = TV_BLOCK_BYTES - writer->tail_bytes < bytes ? TV_BLOCK_BYTES - writer->tail_bytes : bytes;
        memcpy(writer->tail + writer->tail_bytes, from, here);
        writer->tail_bytes += here;
        from += here;
        bytes -= here;
        if (writer->tail_bytes == TV_BLOCK_BYTES) {
            trove_status status = flush_tail(writer, error);
            if (status != TROVE_OK)
                return status;
        }
    }
    return TROVE_OK;
}

/* How many of the bytes from iov[index] on may be written straight from their memory; *count: in so many iovs, the last of which
 * is perhaps not used whole. */
static size_t straight_bytes(const struct tvs_file_writer *writer, const struct tv_data *data, uint32_t index, int *count) {
    *count = 0;
    if (writer->tail_bytes != 0 || writer->file_bytes % TVS_DIRECT_ALIGNMENT != 0)
        return 0;
    size_t bytes = 0;
    for (uint32_t i = index; i < data->iov_count; i++) {
        if ((uintptr_t)data->iov[i].iov_base % TVS_DIRECT_ALIGNMENT != 0)
            break;
        size_t here = data->iov[i].iov_len;
        bytes += here - here % TVS_DIRECT_ALIGNMENT;
        (*count)++;
        if (here % TVS_DIRECT_ALIGNMENT != 0)
            break;
    }
    return bytes;
}

static trove_status write_straight(struct tvs_file_writer *writer, const struct tv_data *data, uint32_t index, size_t bytes,
                                   int count, trove_error *error) {
    struct iovec iov[TV_DATA_PIECES_MAX + 1];
    memcpy(iov, data->iov + index, (size_t)count * sizeof *iov);
    size_t before = 0;
    for (int i = 0; i < count - 1; i++)
        before += iov[i].iov_len;
    iov[count - 1].iov_len = bytes - before;
    return tvs_file_writer_write(writer, iov, iov[count - 1].iov_len > 0 ? count : count - 1, error);
}

static trove_status append_to_file(struct tvs_file_writer *writer, const struct tv_data *data, trove_error *error) {
    trove_status status = TROVE_OK;
    for (uint32_t i = 0; i < data->iov_count && status == TROVE_OK; i++) {
        const char *from = data->iov[i].iov_base;
        size_t left = data->iov[i].iov_len;
        int count;
        size_t straight = straight_bytes(writer, data, i, &count);
        if (straight >= DIRECT_BYTES_MIN) {
            status = write_straight(writer, data, i, straight, count, error);
            if (status != TROVE_OK)
                return status;
            i += (uint32_t)count - 1;
            size_t rest = data->iov[i].iov_len % TVS_DIRECT_ALIGNMENT;
            from = (const char *)data->iov[i].iov_base + (data->iov[i].iov_len - rest);
            left = rest;
        }
        if (left > 0)
            status = gather(writer, from, left, error);
    }
    return status;
}

/* Counts `bytes` more, and makes the file when it is time to. */
static trove_status grow(struct tvs_file_writer *writer, uint64_t bytes, trove_error *error) {
    if (bytes > TVS_FILE_OBJECT_BYTES_MAX - writer->bytes)
        return TV_FAIL(error, OUT_OF_RANGE, "an object may have at most %llu bytes",
                       (unsigned long long)TVS_FILE_OBJECT_BYTES_MAX);
    writer->bytes += bytes;
    return writer->fd < 0 && writer->bytes > TV_INLINE_BYTES_MAX ? tvs_file_writer_create(writer, error) : TROVE_OK;
}

static trove_status gather_zeros(struct tvs_file_writer *writer, uint64_t bytes, trove_error *error) {
    static const char zeros[TVS_DIRECT_ALIGNMENT];
    trove_status status = TROVE_OK;
    while (bytes > 0 && status == TROVE_OK) {
        size_t here = bytes < sizeof zeros ? (size_t)bytes : sizeof zeros;
        status = gather(writer, zeros, here, error);
        bytes -= here;
    }
    return status;
}

trove_status tvs_file_writer_skip(struct tvs_file_writer *writer, uint64_t bytes, trove_error *error) {
    trove_status status = grow(writer, bytes, error);
    if (status != TROVE_OK)
        return status;
    /* The hole begins and ends on the alignment, so that what comes behind it is written as directly as ever. */
    uint64_t at = writer->file_bytes + writer->tail_bytes;
    uint64_t before = (TVS_DIRECT_ALIGNMENT - at % TVS_DIRECT_ALIGNMENT) % TVS_DIRECT_ALIGNMENT;
    if (writer->fd < 0 || bytes < before + TVS_DIRECT_ALIGNMENT)
        return gather_zeros(writer, bytes, error);
    status = gather_zeros(writer, before, error);
    if (status == TROVE_OK && writer->tail_bytes > 0)
        status = flush_tail(writer, error);
    if (status != TROVE_OK)
        return status;
    bytes -= before;
    writer->file_bytes += bytes - bytes % TVS_DIRECT_ALIGNMENT;
    status = tvs_file_writer_set_length(writer, writer->file_bytes, error);
    return status == TROVE_OK ? gather_zeros(writer, bytes % TVS_DIRECT_ALIGNMENT, error) : status;
}

/* What was gathered while there was no file goes to it at once where it can: what follows is written straight from its memory, and
 * thousands of uploads that stand still don't hold a buffer each. */
static trove_status empty_tail(struct tvs_file_writer *writer, trove_error *error) {
    if (writer->tail_bytes == 0 || writer->tail_bytes % TVS_DIRECT_ALIGNMENT != 0)
        return TROVE_OK;
    trove_status status = flush_tail(writer, error);
    if (status != TROVE_OK)
        return status;
    free(writer->tail);
    writer->tail = NULL;
    tvs_file_writer_show(writer);
    return TROVE_OK;
}

trove_status tvs_file_writer_append(struct tvs_file_writer *writer, const struct tv_data *data, trove_error *error) {
    bool without_file = writer->fd < 0;
    trove_status status = grow(writer, data->bytes, error);
    if (status == TROVE_OK && without_file && writer->fd >= 0)
        status = empty_tail(writer, error);
    if (status != TROVE_OK)
        return status;
    if (writer->fd >= 0)
        return append_to_file(writer, data, error);
    /* Not more than fits the buffer: TV_INLINE_BYTES_MAX is less than a block. */
    for (uint32_t i = 0; i < data->iov_count; i++) {
        status = gather(writer, data->iov[i].iov_base, data->iov[i].iov_len, error);
        if (status != TROVE_OK)
            return status;
    }
    return TROVE_OK;
}

/* ---- otherwise than by appending ---------------------------------------------------------------------------------------- */

trove_status tvs_file_writer_clone(struct tvs_file_writer *writer, int from_fd, uint64_t size, trove_error *error) {
    TV_ASSERT(writer->fd < 0 && writer->bytes == 0);
    trove_status status = tvs_file_writer_create(writer, error);
    if (status != TROVE_OK)
        return status;
    if (TVS_IO(clone)(from_fd, writer->fd) != 0) {
        tvs_file_writer_abandon(writer);
        return TV_FAIL(error, UNIMPLEMENTED, "the file system can't share blocks between files");
    }
    writer->bytes = writer->file_bytes = size;
    return TROVE_OK;
}

void tvs_file_writer_abandon(struct tvs_file_writer *writer) {
    if (writer->read_fd >= 0)
        TVS_IO(close)(writer->read_fd);
    writer->read_fd = -1;
    if (writer->fd >= 0) {
        TVS_IO(close)(writer->fd);
        writer->fd = -1;
        if (!writer->kept)
            tvs_file_remove(writer->store, &writer->id);
    }
    free(writer->tail);
    writer->tail = NULL;
    writer->tail_bytes = 0;
}

bool tvs_file_writer_leave(struct tvs_file_writer *writer, struct tvs_file_id *id) {
    if (writer->fd < 0 || writer->kept)
        return false;
    *id = writer->id;
    writer->kept = true;
    return true;
}

void tvs_file_writer_fini(struct tvs_file_writer *writer) {
    tvs_file_writer_abandon(writer);
    pthread_mutex_destroy(&writer->lock);
}
