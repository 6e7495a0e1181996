/* local_unfinished.c - reading what a writer has written so far, and taking some of it back. See local_file.h.
 *
 * Threads: one writes; any number read what was shown to them meanwhile. Bytes of the file that were shown don't change, so they
 * are read without the lock. The tail is added to behind what was shown of it, which is no conflict either; but once it is in the
 * file it is used again, and so the writer shows that it is empty before it does, and readers copy from it under the lock. The
 * lock is never held over a system call. (Rejected: the lock around each append, which makes readers wait for the disk.)
 *
 * Readers share a descriptor of their own, through the page cache: the writer's may bypass that, which takes aligned memory and
 * lengths, and several that follow one upload read it from the disk once.
 */
#include "local_file.h"

#include "store_io.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

void tvs_file_writer_show(struct tvs_file_writer *writer) {
    pthread_mutex_lock(&writer->lock);
    writer->shown.file_bytes = writer->file_bytes;
    writer->shown.tail = writer->tail;
    writer->shown.tail_bytes = writer->tail_bytes;
    pthread_mutex_unlock(&writer->lock);
}

/* ---- reading --------------------------------------------------------------------------------------------------------- */

/* Two that come first at the same time both open it; one of them has it for nothing. */
static trove_status open_to_read(struct tvs_file_writer *writer, int *fd, trove_error *error) {
    char path[TVS_FILE_PATH_BYTES];
    tvs_file_path(&writer->id, path);
    int opened = TVS_IO(open_at)(writer->store->directory, path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC, 0);
    if (opened < 0)
        return tv_error_errno(error, errno, "can't open objects/%s", path);
    pthread_mutex_lock(&writer->lock);
    bool first = writer->read_fd < 0;
    if (first)
        writer->read_fd = opened;
    *fd = writer->read_fd;
    pthread_mutex_unlock(&writer->lock);
    if (!first)
        TVS_IO(close)(opened);
    return TROVE_OK;
}

/* Under the lock: copies what of data's bytes from `skip` on lies in the tail. */
static void copy_from_tail(const struct tvs_file_writer *writer, const struct tv_data *data, uint64_t skip) {
    TV_ASSERT(data->offset + data->bytes <= writer->shown.file_bytes + writer->shown.tail_bytes);
    const uint8_t *from = writer->shown.tail + (data->offset + skip - writer->shown.file_bytes);
    for (uint32_t i = 0; i < data->iov_count; i++) {
        size_t length = data->iov[i].iov_len;
        size_t before = skip < length ? (size_t)skip : length;
        if (before < length)
            memcpy((char *)data->iov[i].iov_base + before, from, length - before);
        from += length - before;
        skip -= before;
    }
}

static trove_status read_from_file(int fd, const struct tv_data *data, uint64_t bytes, trove_error *error) {
    struct iovec iov[TV_DATA_PIECES_MAX + 1];
    uint32_t count = 0;
    for (; bytes > 0; count++) {
        iov[count] = data->iov[count];
        if (iov[count].iov_len > bytes)
            iov[count].iov_len = (size_t)bytes;
        bytes -= iov[count].iov_len;
    }
    return tvs_file_read_all(fd, iov, count, data->offset, error);
}

trove_status tvs_file_writer_read(struct tvs_file_writer *writer, const struct tv_data *data, trove_error *error) {
    pthread_mutex_lock(&writer->lock);
    uint64_t end = writer->shown.file_bytes;
    uint64_t in_file = end > data->offset ? end - data->offset : 0;
    if (in_file < data->bytes)
        copy_from_tail(writer, data, in_file);
    else
        in_file = data->bytes;
    int fd = writer->read_fd;
    pthread_mutex_unlock(&writer->lock);
    if (in_file == 0)
        return TROVE_OK;
    trove_status status = fd < 0 ? open_to_read(writer, &fd, error) : TROVE_OK;
    return status == TROVE_OK ? read_from_file(fd, data, in_file, error) : status;
}

/* ---- going back ------------------------------------------------------------------------------------------------------ */

trove_status tvs_file_writer_set_length(struct tvs_file_writer *writer, uint64_t length, trove_error *error) {
    int result;
    do
        result = TVS_IO(set_length)(writer->fd, (off_t)length);
    while (result != 0 && errno == EINTR);
    return result == 0 ? TROVE_OK : tv_error_errno(error, errno, "can't change the length of an object's file");
}

/* What lies in the file up to a page's beginning stays there, and what is left of that page goes back into the tail: so the file
 * goes on aligned, and what may be in it behind its end is gone. What is durable of a kept one isn't cut off: it stays in the
 * file, and is written once more over itself. What is small enough for the index goes back to memory whole, if there is room for
 * it. */
trove_status tvs_file_writer_rewind(struct tvs_file_writer *writer, uint64_t bytes, const void *block, trove_error *error) {
    TV_ASSERT(bytes <= writer->bytes && bytes >= writer->synced_bytes);
    uint64_t begin = bytes - bytes % TV_BLOCK_BYTES, page = bytes - bytes % TVS_DIRECT_ALIGNMENT;
    bool small = bytes <= TV_INLINE_BYTES_MAX;
    bool back = small && writer->file_bytes > 0 && tvs_file_writer_reserve_tail(writer, (size_t)bytes);
    bool cut = back || page < writer->file_bytes;
    writer->bytes = bytes;
    if (cut) {
        writer->tail_bytes = 0;
        writer->file_bytes = back ? 0 : page;
        size_t rest = (size_t)(bytes - writer->file_bytes);
        if (!tvs_file_writer_reserve_tail(writer, rest))
            return tvs_fail_no_memory("a write buffer", error);
        if (rest > 0)
            memcpy(writer->tail, (const char *)block + (writer->file_bytes - begin), rest);
    }
    writer->tail_bytes = (size_t)(bytes - writer->file_bytes);
    if (small && writer->file_bytes == 0 && !writer->kept) {
        tvs_file_writer_drop_file(writer);
        return TROVE_OK;
    }
    uint64_t length = writer->file_bytes > writer->synced_bytes ? writer->file_bytes : writer->synced_bytes;
    return cut ? tvs_file_writer_set_length(writer, length, error) : TROVE_OK;
}
