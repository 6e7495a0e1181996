/* store_io.c - the real system calls. See store_io.h. Any thread. */
#include "store_io.h"

#include "descriptors.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

static int system_open_at(int directory, const char *path, int flags, mode_t mode) {
    int fd = openat(directory, path, flags, mode);
    if (fd < 0 || tv_descriptor_for_file(fd))
        return fd;
    close(fd);
    if ((flags & O_EXCL) != 0)
        (void)unlinkat(directory, path, 0);
    errno = EMFILE; /* the last ones are the index's */
    return -1;
}

static int system_clone(int from, int to) {
    return ioctl(to, FICLONE, from);
}

static int system_free_bytes(int fd, uint64_t *bytes, uint64_t *total) {
    struct statvfs info;
    if (fstatvfs(fd, &info) != 0)
        return -1;
    *bytes = (uint64_t)info.f_bavail * info.f_frsize;
    *total = (uint64_t)info.f_blocks * info.f_frsize;
    return 0;
}

const struct tvs_store_io tvs_store_io_system = {
    .open_at = system_open_at,
    .close = close,
    .make_directory_at = mkdirat,
    .unlink_at = unlinkat,
    .rename_at = renameat,
    .preadv = preadv,
    .pwritev = pwritev,
    .set_length = ftruncate,
    .fdatasync = fdatasync,
    .sync_directory = fsync,
    .clone = system_clone,
    .free_bytes = system_free_bytes,
    .index_write = rocksdb_write,
};

_Thread_local const struct tvs_io_site *tvs_io_site;
const struct tvs_store_io *tvs_store_io = &tvs_store_io_system;
