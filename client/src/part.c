/* part.c - see part.h. */
#include "part.h"

#include "bounds.h"
#include "data.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

/* Not made from the name of the target alone, which may be as long as names can be. */
#define NAME_FORMAT ".trove-%016llx.part"
#define NAME_RANDOM ".trove-XXXXXX.part"
#define NAME_TAIL   5  /* of the random one, behind the X */
#define NAME_BYTES  32 /* of either */

#define OPEN_FLAGS (O_RDWR | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC)
/* Whoever had the file may be through with it between its opening and its lock: then there is a next one, or none. */
#define TRIES_MAX 4
/* Less isn't worth a file that nobody may ever come back to. */
#define KEEP_BYTES_MIN TV_MIB

static char *path_beside(const char *target, const char *name) {
    const char *slash = strrchr(target, '/');
    size_t folder_bytes = slash != NULL ? (size_t)(slash + 1 - target) : 0;
    size_t name_bytes = strlen(name) + 1;
    char *path = malloc(folder_bytes + name_bytes);
    if (path == NULL)
        return NULL;
    memcpy(path, target, folder_bytes);
    memcpy(path + folder_bytes, name, name_bytes);
    return path;
}

/* The same for the same object and target, whatever the way to its folder. */
static void kept_name(const char *target, const char *bucket, const char *key, char name[NAME_BYTES]) {
    const char *slash = strrchr(target, '/');
    const char *parts[] = {slash != NULL ? slash + 1 : target, bucket, key};
    uint64_t hash = 0;
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++)
        hash = tv_hash_seeded(parts[i], strlen(parts[i]), hash);
    snprintf(name, NAME_BYTES, NAME_FORMAT, (unsigned long long)hash);
}

/* Ours alone, and still the one of this name. */
static bool is_usable(int fd, const char *path) {
    struct stat opened;
    struct stat named;
    return fstat(fd, &opened) == 0 && S_ISREG(opened.st_mode) && opened.st_uid == geteuid() && opened.st_nlink == 1 &&
           lstat(path, &named) == 0 && named.st_dev == opened.st_dev && named.st_ino == opened.st_ino;
}

/* False: it can't be had. */
static bool open_kept(struct tvc_part *part) {
    for (unsigned tries = 0; tries < TRIES_MAX; tries++) {
        part->fd = open(part->path, OPEN_FLAGS, 0600);
        if (part->fd < 0)
            return false;
        bool locked = flock(part->fd, LOCK_EX | LOCK_NB) == 0;
        if (locked && is_usable(part->fd, part->path) && fchmod(part->fd, 0600) == 0) {
            part->lock_fd = fcntl(part->fd, F_DUPFD_CLOEXEC, 0);
            if (part->lock_fd >= 0)
                return true;
        }
        close(part->fd);
        if (!locked)
            return false;
    }
    return false;
}

trove_status tvc_part_open(struct tvc_part *part, const char *target, const char *bucket, const char *key, bool resumable,
                           trove_error *error) {
    char name[NAME_BYTES];
    *part = (struct tvc_part){.fd = -1, .lock_fd = -1};
    if (resumable) {
        kept_name(target, bucket, key, name);
        part->path = path_beside(target, name);
        if (part->path != NULL && open_kept(part))
            return TROVE_OK;
        free(part->path);
    }
    part->path = path_beside(target, NAME_RANDOM);
    if (part->path == NULL)
        return TV_FAIL(error, RESOURCE_EXHAUSTED, "no memory for a path");
    part->fd = mkostemps(part->path, NAME_TAIL, O_CLOEXEC); /* 0600 */
    if (part->fd < 0) {
        int failed = errno;
        free(part->path);
        return tv_error_errno(error, failed, "can't make a file beside %.300s", target);
    }
    return TROVE_OK;
}

trove_status tvc_part_publish(struct tvc_part *part, const char *target, trove_error *error) {
    /* Late errors of network file systems come out at the close. */
    int closed = close(part->fd);
    part->fd = -1;
    if (closed != 0)
        return tv_error_errno(error, errno, "%.300s", part->path);
    if (rename(part->path, target) != 0)
        return tv_error_errno(error, errno, "can't rename %.300s", part->path);
    return TROVE_OK;
}

/* A right that was taken may be given again, and a key let in. */
static bool makes_sense(trove_status status) {
    return status == TROVE_UNAVAILABLE || status == TROVE_DEADLINE_EXCEEDED || status == TROVE_CANCELLED ||
           status == TROVE_ABORTED || status == TROVE_RESOURCE_EXHAUSTED || status == TROVE_PERMISSION_DENIED ||
           status == TROVE_UNAUTHENTICATED;
}

/* What can't be finished for want of room is better not there: it takes the last of it from all others. */
static bool has_room(int fd) {
    struct statvfs disk;
    return fstatvfs(fd, &disk) != 0 || (uint64_t)disk.f_bavail * disk.f_frsize >= KEEP_BYTES_MIN;
}

static bool stays(const struct tvc_part *part, trove_status status) {
    struct stat found;
    return part->lock_fd >= 0 && makes_sense(status) && fstat(part->lock_fd, &found) == 0 &&
           found.st_size >= (off_t)KEEP_BYTES_MIN && has_room(part->lock_fd);
}

void tvc_part_close(struct tvc_part *part, trove_status status) {
    if (status != TROVE_OK && !stays(part, status))
        unlink(part->path);
    if (part->fd >= 0)
        close(part->fd);
    if (part->lock_fd >= 0)
        close(part->lock_fd);
    free(part->path);
}
