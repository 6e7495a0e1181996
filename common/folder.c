/* folder.c - see folder.h. */
#include "folder.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* The path's length without the slashes at its end; that of "/" is 1. */
static size_t length_of(const char *path, size_t bytes) {
    while (bytes > 1 && path[bytes - 1] == '/')
        bytes--;
    return bytes;
}

/* Leaves the folder that the path's last part is in. */
static void cut(char *path) {
    size_t bytes = length_of(path, strlen(path));
    while (bytes > 1 && path[bytes - 1] != '/')
        bytes--;
    path[length_of(path, bytes)] = '\0';
}

trove_status tv_folder_check(const char *path, unsigned missing_max, trove_error *error) {
    char there[PATH_MAX];
    if ((size_t)snprintf(there, sizeof there, "%s", path) >= sizeof there)
        return tv_error_errno(error, ENAMETOOLONG, "%.200s", path);
    struct stat found;
    for (unsigned missing = 0; stat(there, &found) != 0; missing++) {
        if (errno != ENOENT && errno != ENOTDIR)
            return tv_error_errno(error, errno, "%.300s can't be looked at", there);
        if (missing == missing_max)
            return TV_FAIL(error, NOT_FOUND, "the folder %.300s doesn't exist; make it first, or choose another place", there);
        cut(there);
    }
    if (!S_ISDIR(found.st_mode))
        return TV_FAIL(error, FAILED_PRECONDITION, "%.300s is no folder; move it away, or choose another place", there);
    if (faccessat(AT_FDCWD, there, W_OK | X_OK, AT_EACCESS) != 0)
        return tv_error_errno(error, errno, "the user %u can't write to the folder %.300s; allow it, or choose another place",
                              geteuid(), there);
    return TROVE_OK;
}
