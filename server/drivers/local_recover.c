/* local_recover.c - the directory of a local store: who may open it, what format it has, what a crash left behind. */
#include "folder.h"
#include "local.h"
#include "store_io.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char format_text[] = "trove-local 1\n";

static trove_status read_small(int directory, const char *name, char *text, size_t capacity, trove_error *error) {
    int fd = TVS_IO(open_at)(directory, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC, 0);
    if (fd < 0)
        return tv_error_errno(error, errno, "can't open %s of the store", name);
    ssize_t bytes = read(fd, text, capacity - 1);
    int failure = errno;
    TVS_IO(close)(fd);
    if (bytes < 0)
        return tv_error_errno(error, failure, "can't read %s of the store", name);
    text[bytes] = '\0';
    return TROVE_OK;
}

static trove_status write_small(int directory, const char *name, const char *text, trove_error *error) {
    int fd = TVS_IO(open_at)(directory, name, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return tv_error_errno(error, errno, "can't make %s of the store", name);
    struct iovec iov = {.iov_base = (void *)(uintptr_t)text, .iov_len = strlen(text)};
    errno = ENOSPC; /* of a write that was cut short without a word */
    bool good = TVS_IO(pwritev)(fd, &iov, 1, 0) == (ssize_t)iov.iov_len && TVS_IO(fdatasync)(fd) == 0;
    int failure = errno;
    TVS_IO(close)(fd);
    return good ? TROVE_OK : tv_error_errno(error, failure, "can't write %s of the store", name);
}

/* ---- the lock -------------------------------------------------------------------------------------------------------- */

/* An open-file-description lock: it ends with the process however that ends, and a second open in the same process is refused as
 * well (a plain fcntl lock wouldn't). */
static trove_status take_lock(const char *path, int root, int *lock_fd, trove_error *error) {
    int fd = TVS_IO(open_at)(root, "LOCK", O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return tv_error_errno(error, errno, "can't open the lock %s/LOCK", path);
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    if (fcntl(fd, F_OFD_SETLK, &lock) != 0) {
        int failure = errno;
        char holder[32] = "";
        (void)read_small(root, "LOCK", holder, sizeof holder, NULL);
        holder[strcspn(holder, "\n")] = '\0';
        TVS_IO(close)(fd);
        if (failure != EAGAIN && failure != EACCES)
            return tv_error_errno(error, failure, "can't lock %s/LOCK", path);
        return TV_FAIL(error, FAILED_PRECONDITION,
                       "the store %s is in use by process %s; stop that one first, or use another directory", path,
                       holder[0] != '\0' ? holder : "(unknown)");
    }
    *lock_fd = fd;
    return TROVE_OK;
}

/* For people only: a failure to write it doesn't matter. */
static void write_holder(int lock_fd) {
    char own[32];
    snprintf(own, sizeof own, "%ld\n", (long)getpid());
    if (ftruncate(lock_fd, 0) == 0) {
        struct iovec iov = {.iov_base = own, .iov_len = strlen(own)};
        (void)TVS_IO(pwritev)(lock_fd, &iov, 1, 0);
    }
}

/* ---- the format ------------------------------------------------------------------------------------------------------ */

/* A directory that has nothing but what the steps before this one leave. */
static bool is_empty_directory(int root) {
    int fd = openat(root, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *entries = fd < 0 ? NULL : fdopendir(fd);
    if (entries == NULL) {
        if (fd >= 0)
            close(fd);
        return false;
    }
    bool empty = true;
    const struct dirent *entry;
    while (empty && (entry = readdir(entries)) != NULL)
        empty = strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0 || strcmp(entry->d_name, "LOCK") == 0 ||
                strcmp(entry->d_name, "FORMAT.new") == 0 || strcmp(entry->d_name, "lost+found") == 0;
    closedir(entries);
    return empty;
}

/* Synced by itself, relaxed or not: what is made after it must not be found without it. */
static trove_status make_format(int root, trove_error *error) {
    trove_status status = write_small(root, "FORMAT.new", format_text, error);
    if (status != TROVE_OK)
        return status;
    if (TVS_IO(rename_at)(root, "FORMAT.new", root, "FORMAT") != 0 || TVS_IO(sync_directory)(root) != 0)
        return tv_error_errno(error, errno, "can't make FORMAT of the store");
    return TROVE_OK;
}

/* Changes nothing. *missing: it is a directory to make a store in. */
static trove_status check_format(const char *path, int root, bool *missing, trove_error *error) {
    char text[64];
    trove_error inner = {0};
    trove_status status = read_small(root, "FORMAT", text, sizeof text, &inner);
    *missing = status == TROVE_NOT_FOUND;
    if (*missing && is_empty_directory(root))
        return TROVE_OK;
    if (*missing)
        return TV_FAIL(error, FAILED_PRECONDITION,
                       "%s isn't empty and isn't a store of Trove's (it has no FORMAT); use another directory", path);
    if (status != TROVE_OK)
        return tv_error_copy(error != NULL ? error : &inner, &inner);
    if (strcmp(text, format_text) != 0) {
        text[strcspn(text, "\n")] = '\0';
        return TV_FAIL(error, FAILED_PRECONDITION,
                       "the store %s has the format \"%s\", this troved knows \"trove-local 1\"; use a troved of its time, or "
                       "another directory",
                       path, text);
    }
    return TROVE_OK;
}

/* The entry of the store's directory itself. Where a file system is mounted there is none of it. */
static trove_status sync_parent(const char *path, int root, bool made, trove_error *error) {
    int fd = TVS_IO(open_at)(root, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
    if (fd < 0 && errno == EACCES && !made)
        return TROVE_OK; /* somebody made it for us in a directory that isn't ours to read, nor to sync */
    if (fd < 0)
        return tv_error_errno(error, errno, "can't open the directory above %s", path);
    struct stat above;
    struct stat own;
    bool same = fstat(fd, &above) == 0 && fstat(root, &own) == 0 && above.st_dev == own.st_dev;
    bool failed = same && TVS_IO(sync_directory)(fd) != 0;
    int failure = errno;
    TVS_IO(close)(fd);
    return failed ? tv_error_errno(error, failure, "can't sync the directory above %s", path) : TROVE_OK;
}

static trove_status check_path(const char *path, trove_error *error) {
    if (path == NULL || path[0] != '/')
        return TV_FAIL(error, INVALID_ARGUMENT,
                       "a local store needs an absolute path, such as local:///var/lib/trove; got \"%s\"",
                       path == NULL ? "" : path);
    if (strlen(path) > TVS_LOCAL_PATH_BYTES_MAX)
        return TV_FAIL(error, INVALID_ARGUMENT, "the store's path %.100s... has %zu bytes; at most %d are allowed", path,
                       strlen(path), TVS_LOCAL_PATH_BYTES_MAX);
    return TROVE_OK;
}

trove_status tvs_local_directory_check(const char *path, unsigned missing_max, trove_error *error) {
    trove_status status = check_path(path, error);
    if (status == TROVE_OK)
        status = tv_folder_check(path, missing_max, error);
    if (status != TROVE_OK)
        return status;
    int root = TVS_IO(open_at)(AT_FDCWD, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
    if (root < 0 && errno == ENOENT)
        return TROVE_OK;
    if (root < 0)
        return tv_error_errno(error, errno, "can't open the store's directory %s", path);
    bool missing;
    status = check_format(path, root, &missing, error);
    TVS_IO(close)(root);
    return status;
}

trove_status tvs_local_directory_open(const char *path, bool relaxed, int *root, int *lock_fd, trove_error *error) {
    trove_status valid = check_path(path, error);
    if (valid != TROVE_OK)
        return valid;
    bool made = TVS_IO(make_directory_at)(AT_FDCWD, path, 0700) == 0;
    if (!made && errno != EEXIST)
        return tv_error_errno(error, errno, "can't make the store's directory %s", path);
    int fd = TVS_IO(open_at)(AT_FDCWD, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
    if (fd < 0)
        return tv_error_errno(error, errno, "can't open the store's directory %s", path);
    int lock = -1;
    bool missing = false;
    trove_status status = relaxed ? TROVE_OK : sync_parent(path, fd, made, error);
    if (status == TROVE_OK) /* before a LOCK is made in somebody else's directory, or one of his taken */
        status = check_format(path, fd, &missing, error);
    if (status == TROVE_OK)
        status = take_lock(path, fd, &lock, error);
    if (status == TROVE_OK)
        status = check_format(path, fd, &missing, error);
    if (status == TROVE_OK && missing)
        status = make_format(fd, error);
    if (status != TROVE_OK) {
        if (lock >= 0)
            TVS_IO(close)(lock);
        TVS_IO(close)(fd);
        return status;
    }
    write_holder(lock);
    *root = fd;
    *lock_fd = lock;
    return TROVE_OK;
}

static trove_status make_directory(int root, const char *name, trove_error *error) {
    if (TVS_IO(make_directory_at)(root, name, 0700) != 0 && errno != EEXIST)
        return tv_error_errno(error, errno, "can't make the directory %s of the store", name);
    return TROVE_OK;
}

trove_status tvs_local_objects_open(int root, bool relaxed, int *objects, trove_error *error) {
    trove_status status = make_directory(root, "objects", error);
    /* RocksDB makes its files readable for all; nobody else gets into the directory. */
    if (status == TROVE_OK)
        status = make_directory(root, "index", error);
    if (status != TROVE_OK)
        return status;
    if (!relaxed && TVS_IO(sync_directory)(root) != 0)
        return tv_error_errno(error, errno, "can't sync the store's directory");
    int fd = TVS_IO(open_at)(root, "objects", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC, 0);
    if (fd < 0)
        return tv_error_errno(error, errno, "can't open the directory objects of the store");
    *objects = fd;
    return TROVE_OK;
}

/* ---- orphans --------------------------------------------------------------------------------------------------------- */

static trove_status has_owner(struct tvs_local *local, const struct tvs_file_id *id, bool *owned, trove_error *error) {
    uint8_t key[1 + TVS_FILE_ID_BYTES];
    struct tvs_row row;
    trove_status status = tvs_index_get(&local->index, local->index.rows, key, tvs_index_key_file(id, key), &row, error);
    if (status != TROVE_OK)
        return status;
    *owned = row.bytes != NULL;
    tvs_row_fini(&row);
    return TROVE_OK;
}

/* Names that aren't ours are left alone: somebody else's file is not ours to delete. */
static trove_status clean_shard(struct tvs_local *local, unsigned shard, uint64_t *removed, trove_error *error) {
    char name[3];
    snprintf(name, sizeof name, "%02x", shard);
    int fd = TVS_IO(open_at)(local->files.directory, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC, 0);
    DIR *entries = fd < 0 ? NULL : fdopendir(fd);
    if (entries == NULL) {
        trove_status status = tv_error_errno(error, errno, "can't read the directory objects/%s", name);
        if (fd >= 0)
            TVS_IO(close)(fd);
        return status;
    }
    trove_status status = TROVE_OK;
    const struct dirent *entry;
    while (status == TROVE_OK && (entry = readdir(entries)) != NULL) {
        struct tvs_file_id id;
        bool owned = true;
        if (tvs_file_id_parse(shard, entry->d_name, &id))
            status = has_owner(local, &id, &owned, error);
        if (status == TROVE_OK && !owned) {
            tvs_janitor_remove(&local->janitor, &id);
            ++*removed;
        }
    }
    closedir(entries);
    return status;
}

trove_status tvs_local_remove_orphans(struct tvs_local *local, uint64_t *removed, trove_error *error) {
    *removed = 0;
    for (unsigned shard = 0; shard < TVS_FILE_SHARDS; shard++) {
        trove_status status = clean_shard(local, shard, removed, error);
        if (status != TROVE_OK)
            return status;
    }
    return TROVE_OK;
}
