/* local_writer.c - writing the files of the local driver. See local_file.h. A writer is one thread's; what it has shown can be
 * read by others (local_unfinished.c).
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

/* ---- the tail -------------------------------------------------------------------------------------------------------- */

_Static_assert(TV_INLINE_BYTES_MAX % TVS_DIRECT_ALIGNMENT == 0 && TV_BLOCK_BYTES % TVS_DIRECT_ALIGNMENT == 0,
               "a full tail is whole pages");

static bool take_room(struct tvs_file_store *store, size_t bytes) {
    uint64_t before = atomic_fetch_add_explicit(&store->tail_bytes, bytes, memory_order_relaxed);
    if (before <= TVS_TAIL_BYTES_MAX - bytes)
        return true;
    atomic_fetch_sub_explicit(&store->tail_bytes, bytes, memory_order_relaxed);
    return false;
}

/* Of a tail of this capacity, what counts. */
static size_t counted(size_t capacity) {
    return capacity > TVS_DIRECT_ALIGNMENT ? capacity - TVS_DIRECT_ALIGNMENT : 0;
}

static size_t capacity_for(size_t bytes) {
    return bytes <= TVS_DIRECT_ALIGNMENT  ? TVS_DIRECT_ALIGNMENT
           : bytes <= TV_INLINE_BYTES_MAX ? TV_INLINE_BYTES_MAX
                                          : TV_BLOCK_BYTES;
}

bool tvs_file_writer_reserve_tail(struct tvs_file_writer *writer, size_t bytes) {
    size_t before = writer->tail_capacity, capacity = capacity_for(bytes);
    if (bytes <= before)
        return true;
    if (bytes > (writer->fd >= 0 ? TV_BLOCK_BYTES : TV_INLINE_BYTES_MAX) ||
        !take_room(writer->store, counted(capacity) - counted(before)))
        return false;
    uint8_t *larger = aligned_alloc(TVS_DIRECT_ALIGNMENT, capacity), *smaller = writer->tail;
    if (larger == NULL) {
        atomic_fetch_sub_explicit(&writer->store->tail_bytes, counted(capacity) - counted(before), memory_order_relaxed);
        return false;
    }
    if (writer->tail_bytes > 0)
        memcpy(larger, smaller, writer->tail_bytes);
    writer->tail = larger;
    writer->tail_capacity = capacity;
    tvs_file_writer_show(writer); /* nobody reads the smaller one any more */
    free(smaller);
    return true;
}

void tvs_file_writer_release_tail(struct tvs_file_writer *writer) {
    free(writer->tail);
    writer->tail = NULL;
    writer->tail_bytes = 0;
    atomic_fetch_sub_explicit(&writer->store->tail_bytes, counted(writer->tail_capacity), memory_order_relaxed);
    writer->tail_capacity = 0;
}

static trove_status flush_tail(struct tvs_file_writer *writer, trove_error *error) {
    struct iovec iov = {.iov_base = writer->tail, .iov_len = writer->tail_bytes};
    writer->tail_bytes = 0;
    trove_status status = tvs_file_writer_write(writer, &iov, 1, error);
    if (status == TROVE_OK)
        tvs_file_writer_show(writer); /* the buffer is used again from its beginning on */
    return status;
}

/* The tail is full and gets no larger: it goes to the file now. One of a page isn't worth a write of its own: with it go all
 * whole pages of what comes next, which lie in memory as they like. */
static trove_status write_past_tail(struct tvs_file_writer *writer, const char **from, size_t *bytes, trove_error *error) {
    if (writer->tail == NULL)
        return tvs_fail_no_memory("a write buffer", error);
    trove_status status = writer->fd < 0 ? tvs_file_writer_create(writer, error) : TROVE_OK;
    size_t whole = writer->tail_capacity == TVS_DIRECT_ALIGNMENT ? *bytes - *bytes % TVS_DIRECT_ALIGNMENT : 0;
    if (status == TROVE_OK && whole > 0 && writer->direct && !tvs_file_writer_leave_direct(writer))
        status = tv_error_errno(error, errno, "can't change how an object's file is written");
    if (status != TROVE_OK)
        return status;
    struct iovec iov[2] = {{.iov_base = writer->tail, .iov_len = writer->tail_bytes},
                           {.iov_base = (void *)(uintptr_t)*from, .iov_len = whole}};
    writer->tail_bytes = 0;
    status = tvs_file_writer_write(writer, iov, whole > 0 ? 2 : 1, error);
    *from += whole;
    *bytes -= whole;
    if (status == TROVE_OK)
        tvs_file_writer_show(writer);
    return status;
}

static trove_status gather(struct tvs_file_writer *writer, const char *from, size_t bytes, trove_error *error) {
    trove_status status = TROVE_OK;
    while (bytes > 0 && status == TROVE_OK) {
        if (writer->tail_bytes == writer->tail_capacity && !tvs_file_writer_reserve_tail(writer, writer->tail_bytes + 1)) {
            status = write_past_tail(writer, &from, &bytes, error);
            continue;
        }
        size_t room = writer->tail_capacity - writer->tail_bytes, here = room < bytes ? room : bytes;
        memcpy(writer->tail + writer->tail_bytes, from, here);
        writer->tail_bytes += here;
        from += here;
        bytes -= here;
        if (writer->tail_bytes == TV_BLOCK_BYTES)
            status = flush_tail(writer, error);
    }
    return status;
}

/* ---- appending ------------------------------------------------------------------------------------------------------- */

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

/* What was gathered while there was no file goes to it at once where it can: what follows is written straight from its memory,
 * and thousands of uploads that stand still don't hold a buffer each. */
static trove_status empty_tail(struct tvs_file_writer *writer, trove_error *error) {
    if (writer->tail_bytes == 0 || writer->tail_bytes % TVS_DIRECT_ALIGNMENT != 0)
        return TROVE_OK;
    trove_status status = flush_tail(writer, error);
    if (status != TROVE_OK)
        return status;
    tvs_file_writer_release_tail(writer);
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

void tvs_file_writer_drop_file(struct tvs_file_writer *writer) {
    if (writer->read_fd >= 0)
        TVS_IO(close)(writer->read_fd);
    writer->read_fd = -1;
    if (writer->fd >= 0) {
        TVS_IO(close)(writer->fd);
        writer->fd = -1;
        if (!writer->kept)
            tvs_file_remove(writer->store, &writer->id);
    }
    writer->file_bytes = 0;
}

void tvs_file_writer_abandon(struct tvs_file_writer *writer) {
    tvs_file_writer_drop_file(writer);
    tvs_file_writer_release_tail(writer);
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
