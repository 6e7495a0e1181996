/* store_io.h - the system calls by which the local driver changes its store and reads its objects, and the write of its index, in
 * one table. What only looks (fstat, readdir), asks for caching, or opens the store's own small files at the start, goes past it.
 *
 * The table is the real one but in tests, which put their own in place before a store is opened, to make the nth call fail, to
 * write short, to count. Constant while a store is open, so any thread may use it.
 *
 * Calls are written TVS_IO(preadv)(fd, ...), which leaves a mark: all the places of the source where one stands are an array that
 * the linker puts together, and the calling thread tells which of them it is at. So a test can tell which of them it hasn't made
 * to fail. What that costs is a store of a pointer beside a system call.
 */
#ifndef TVS_STORE_IO_H
#define TVS_STORE_IO_H

#include <rocksdb/c.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

struct tvs_store_io {
    int (*open_at)(int directory, const char *path, int flags, mode_t mode);
    int (*close)(int fd);
    int (*make_directory_at)(int directory, const char *path, mode_t mode);
    int (*unlink_at)(int directory, const char *path, int flags);
    int (*rename_at)(int from_directory, const char *from, int to_directory, const char *to);
    ssize_t (*preadv)(int fd, const struct iovec *iov, int count, off_t offset);
    ssize_t (*pwritev)(int fd, const struct iovec *iov, int count, off_t offset);
    int (*set_length)(int fd, off_t length);                     /* ftruncate: shorter, or longer by a hole */
    int (*fdatasync)(int fd);                                    /* a file's bytes and length */
    int (*sync_directory)(int fd);                               /* a directory's entries: fsync */
    int (*clone)(int from, int to);                              /* FICLONE: shares all blocks of a file */
    int (*free_bytes)(int fd, uint64_t *bytes, uint64_t *total); /* of the file system, for one without privileges */
    /* One batch into the index, durable on return where the options say so. *error: as RocksDB's C API has it. */
    void (*index_write)(rocksdb_t *db, const rocksdb_writeoptions_t *options, rocksdb_writebatch_t *batch, char **error);
};

/* A place of the source that calls through the table. */
struct tvs_io_site {
    const char *call;
    const char *file;
    unsigned line;
} __attribute__((aligned(32))); /* their array has no holes, whatever a compiler likes objects to be aligned to */

extern _Thread_local const struct tvs_io_site *tvs_io_site; /* where the calling thread is, or was last */

#define TVS_IO(name)                                                                                                             \
    (*({                                                                                                                         \
        static const struct tvs_io_site tvs_io_here                                                                              \
            __attribute__((section("tvs_io_sites"), used)) = {#name, __FILE__, __LINE__};                                        \
        tvs_io_site = &tvs_io_here;                                                                                              \
        tvs_store_io->name;                                                                                                      \
    }))

extern const struct tvs_store_io tvs_store_io_system;
extern const struct tvs_store_io *tvs_store_io; /* the one in use */

#endif
