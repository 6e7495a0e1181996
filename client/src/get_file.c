/* get_file.c - reading an object into a file: a `.part` file in the same folder, renamed when it is whole. See transfer.h.
 *
 * The file is not synced: it can be fetched again, and who needs more calls fsync. (Rejected: syncing always; it costs most
 * programs far more than the transfer.)
 */
#include "stream.h"
#include "transfer.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Not made from the name of the file, which may be as long as names can be. */
#define PART_NAME ".trove-XXXXXX.part"
#define PART_TAIL 5 /* of the name, behind the X */

/* What is there already must be a file: renaming would replace a device, a pipe or a link. */
static trove_status check_target(const char *path, trove_error *error) {
    struct stat found;
    if (path == NULL || *path == '\0')
        return TV_FAIL(error, INVALID_ARGUMENT, "the path is %s", path == NULL ? "NULL" : "empty");
    if (lstat(path, &found) != 0)
        return errno == ENOENT ? TROVE_OK : tv_error_errno(error, errno, "%.300s", path);
    if (!S_ISREG(found.st_mode))
        return TV_FAIL(error, INVALID_ARGUMENT, "%.300s is not a regular file; use trove_get_fd to write to it", path);
    return TROVE_OK;
}

static trove_status make_part(const char *path, char **part_out, int *fd_out, trove_error *error) {
    const char *slash = strrchr(path, '/');
    size_t folder_bytes = slash != NULL ? (size_t)(slash + 1 - path) : 0;
    char *part = malloc(folder_bytes + sizeof PART_NAME);
    if (part == NULL)
        return TV_FAIL(error, RESOURCE_EXHAUSTED, "no memory for a path");
    memcpy(part, path, folder_bytes);
    memcpy(part + folder_bytes, PART_NAME, sizeof PART_NAME);
    int fd = mkostemps(part, PART_TAIL, O_CLOEXEC); /* 0600 */
    if (fd < 0) {
        int failed = errno;
        free(part);
        return tv_error_errno(error, failed, "can't make a file beside %.300s", path);
    }
    *part_out = part;
    *fd_out = fd;
    return TROVE_OK;
}

trove_status trove_get_file(trove_client *client, const char *bucket, const char *key, const char *path,
                            const trove_stream_options *options, trove_object_info **info, trove_error *error) {
    char *part = NULL;
    int fd = -1;
    trove_object_info *object = NULL;
    trove_status status = check_target(path, error);
    if (status == TROVE_OK)
        status = make_part(path, &part, &fd, error);
    if (status != TROVE_OK)
        return status;
    status = trove_get_fd(client, bucket, key, fd, options, info != NULL ? &object : NULL, error);
    if (close(fd) != 0 && status == TROVE_OK)
        status = tv_error_errno(error, errno, "%.300s", part);
    if (status == TROVE_OK && rename(part, path) != 0)
        status = tv_error_errno(error, errno, "can't rename %.300s", part);
    if (status == TROVE_OK) {
        if (info != NULL)
            *info = object;
    } else {
        unlink(part);
        trove_object_info_free(object);
    }
    free(part);
    return status;
}
