/* local_file.c - names, directories and their syncs; reading. Writing: local_writer.c, local_durable.c, local_unfinished.c. See
 * local_file.h.
 */
#include "local_file.h"

#include "store_io.h"

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>

/* Objects of this size on don't stay in the page cache: they would push everything else out of it. Smaller ones are often read
 * again, which costs the disk nothing then (measured: 1.4 instead of 1.05 GiB/s for 256 MiB that were read before). */
#define DROP_BEHIND_BYTES_MIN  TV_GIB
#define DROP_BEHIND_STEP_BYTES (8 * TV_MIB)

/* ---- names ----------------------------------------------------------------------------------------------------------- */

/* 256 files in a row share a directory, so that what is written at the same time shares the sync of its directory. */
static unsigned shard_of(const struct tvs_file_id *id) {
    return id->bytes[TVS_FILE_ID_BYTES - 2];
}

void tvs_file_id_draw(struct tvs_file_store *store, struct tvs_file_id *id) {
    uint64_t number = atomic_fetch_add_explicit(&store->next_number, 1, memory_order_relaxed);
    tvs_write_u64_be(store->incarnation, id->bytes);
    tvs_write_u64_be(number, id->bytes + 8);
}

void tvs_file_path(const struct tvs_file_id *id, char path[TVS_FILE_PATH_BYTES]) {
    uint8_t shard = (uint8_t)shard_of(id);
    sodium_bin2hex(path, 3, &shard, 1);
    path[2] = '/';
    sodium_bin2hex(path + 3, TVS_FILE_PATH_BYTES - 3, id->bytes, TVS_FILE_ID_BYTES);
}

bool tvs_file_id_parse(unsigned shard, const char *name, struct tvs_file_id *id) {
    if (strlen(name) != 2 * TVS_FILE_ID_BYTES || strspn(name, "0123456789abcdef") != 2 * TVS_FILE_ID_BYTES)
        return false;
    return sodium_hex2bin(id->bytes, TVS_FILE_ID_BYTES, name, 2 * TVS_FILE_ID_BYTES, NULL, NULL, NULL) == 0 &&
           shard_of(id) == shard;
}

/* ---- the store ------------------------------------------------------------------------------------------------------- */

static trove_status make_shards(int directory, bool relaxed, trove_error *error) {
    for (unsigned shard = 0; shard < TVS_FILE_SHARDS; shard++) {
        char name[3];
        snprintf(name, sizeof name, "%02x", shard);
        if (TVS_IO(make_directory_at)(directory, name, 0700) != 0 && errno != EEXIST)
            return tv_error_errno(error, errno, "can't make the directory objects/%s", name);
    }
    if (!relaxed && TVS_IO(sync_directory)(directory) != 0)
        return tv_error_errno(error, errno, "can't sync the directory objects");
    return TROVE_OK;
}

trove_status tvs_file_store_init(struct tvs_file_store *store, int directory_move, bool relaxed, trove_error *error) {
    memset(store, 0, sizeof *store);
    store->directory = directory_move;
    store->relaxed = relaxed;
    atomic_init(&store->direct, true);
    pthread_mutex_init(&store->lock, NULL);
    pthread_cond_init(&store->synced, NULL);
    if (getrandom(&store->incarnation, sizeof store->incarnation, 0) != (ssize_t)sizeof store->incarnation)
        return tv_error_errno(error, errno, "can't get random bytes for the names of files");
    return make_shards(directory_move, relaxed, error);
}

void tvs_file_store_fini(struct tvs_file_store *store) {
    if (store->directory >= 0)
        TVS_IO(close)(store->directory);
    pthread_cond_destroy(&store->synced);
    pthread_mutex_destroy(&store->lock);
}

bool tvs_file_space_is_low(int fd, uint64_t index_bytes) {
    uint64_t available, total;
    if (TVS_IO(free_bytes)(fd, &available, &total) != 0)
        return false;
    return available < (total / 4 < index_bytes ? total / 4 : index_bytes);
}

void tvs_file_remove(struct tvs_file_store *store, const struct tvs_file_id *id) {
    char path[TVS_FILE_PATH_BYTES];
    tvs_file_path(id, path);
    (void)TVS_IO(unlink_at)(store->directory, path, 0);
}

/* ---- reading --------------------------------------------------------------------------------------------------------- */

/* What of the object's bytes is lost with the end of its file. The checksums stand behind the bytes: of bytes that are there
 * without theirs nobody can say what they are. */
static trove_status fail_length(uint64_t size, uint64_t found, uint64_t expected, trove_error *error) {
    char lost[128] = "";
    if (found < size)
        snprintf(lost, sizeof lost, "bytes from %llu to %llu are missing, and with them the checksums of all; ",
                 (unsigned long long)found, (unsigned long long)size);
    else if (found < expected)
        snprintf(lost, sizeof lost, "the checksums of bytes from %llu to %llu are missing; ",
                 (unsigned long long)((found - size) / sizeof(uint64_t) * TV_BLOCK_BYTES), (unsigned long long)size);
    return TV_FAIL(error, DATA_LOSS, "%sits file has %llu bytes instead of %llu", lost, (unsigned long long)found,
                   (unsigned long long)expected);
}

trove_status tvs_file_reader_open(struct tvs_file_store *store, const struct tvs_file_id *id, uint64_t size,
                                  struct tvs_file_reader *reader, trove_error *error) {
    char path[TVS_FILE_PATH_BYTES];
    tvs_file_path(id, path);
    int fd = TVS_IO(open_at)(store->directory, path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC, 0);
    if (fd < 0)
        return tv_error_errno(error, errno, "can't open objects/%s", path);
    struct stat info;
    uint64_t expected = size + tv_block_count(size) * sizeof(uint64_t);
    bool is_file = fstat(fd, &info) == 0 && S_ISREG(info.st_mode);
    if (!is_file || (uint64_t)info.st_size != expected) {
        TVS_IO(close)(fd);
        return is_file ? fail_length(size, (uint64_t)info.st_size, expected, error)
                       : TV_FAIL(error, DATA_LOSS, "objects/%s isn't a file", path);
    }
    if (size > TV_PAYLOAD_BYTES_MAX)
        (void)posix_fadvise(fd, 0, 0, POSIX_FADV_SEQUENTIAL);
    *reader = (struct tvs_file_reader){.fd = fd, .size = size};
    return TROVE_OK;
}

static uint64_t iov_bytes(const struct iovec *iov, uint32_t count) {
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < count; i++)
        bytes += iov[i].iov_len;
    return bytes;
}

trove_status tvs_file_read_all(int fd, const struct iovec *iov, uint32_t count, uint64_t offset, trove_error *error) {
    struct iovec left[TV_DATA_PIECES_MAX + 1];
    TV_ASSERT(count <= TV_DATA_PIECES_MAX + 1);
    memcpy(left, iov, count * sizeof *iov);
    struct iovec *at = left;
    while (count > 0) {
        ssize_t got = TVS_IO(preadv)(fd, at, (int)count, (off_t)offset);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return tv_error_errno(error, errno, "can't read from the store");
        if (got == 0)
            return TV_FAIL(error, DATA_LOSS, "its file ends at byte %llu instead of %llu or later", (unsigned long long)offset,
                           (unsigned long long)(offset + iov_bytes(at, count)));
        offset += (uint64_t)got;
        while (count > 0 && (size_t)got >= at->iov_len) {
            got -= (ssize_t)at->iov_len;
            at++;
            count--;
        }
        if (count > 0) {
            at->iov_base = (char *)at->iov_base + got;
            at->iov_len -= (size_t)got;
        }
    }
    return TROVE_OK;
}

/* A large object is read once for each get and would push everything else out of the page cache: what is behind the reader is let
 * go of, some MiB at a time, and the same few pages serve the whole object. */
static void drop_behind(struct tvs_file_reader *reader, uint64_t read_to) {
    if (reader->size < DROP_BEHIND_BYTES_MIN || read_to - reader->kept_from < DROP_BEHIND_STEP_BYTES)
        return;
    (void)posix_fadvise(reader->fd, (off_t)reader->kept_from, (off_t)(read_to - reader->kept_from), POSIX_FADV_DONTNEED);
    reader->kept_from = read_to;
}

trove_status tvs_file_reader_read(struct tvs_file_reader *reader, const struct tv_data *data, trove_error *error) {
    trove_status status = tvs_file_read_all(reader->fd, data->iov, data->iov_count, data->offset, error);
    if (data->offset < reader->kept_from)
        reader->kept_from = data->offset;
    if (status == TROVE_OK)
        drop_behind(reader, data->offset + data->bytes);
    return status;
}

trove_status tvs_file_reader_sums(const struct tvs_file_reader *reader, uint64_t first, size_t count, uint64_t *sums,
                                  trove_error *error) {
    struct iovec iov = {.iov_base = sums, .iov_len = count * sizeof *sums};
    trove_status status = tvs_file_read_all(reader->fd, &iov, 1, reader->size + first * sizeof *sums, error);
    for (size_t i = 0; status == TROVE_OK && i < count; i++)
        sums[i] = le64toh(sums[i]);
    return status;
}

void tvs_file_reader_close(struct tvs_file_reader *reader) {
    if (reader->fd >= 0)
        TVS_IO(close)(reader->fd);
    reader->fd = -1;
}
