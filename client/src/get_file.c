/* get_file.c - reading an object into a file: a `.part` file in the same folder, renamed when it is whole. See part.h.
 *
 * The file is not synced: it can be fetched again, and who needs more calls fsync. (Rejected: syncing always; it costs most
 * programs far more than the transfer.)
 */
#include "options.h"
#include "part.h"
#include "transfer.h"

#include <errno.h>
#include <sys/stat.h>

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

static trove_status get(trove_client *client, const char *bucket, const char *key, const struct tvc_part *part,
                        const trove_stream_options *options, trove_object_info **info, trove_error *error) {
    if (part->lock_fd >= 0)
        return trove_get_rest(client, bucket, key, part->fd, options, NULL, info, error);
    return trove_get_fd(client, bucket, key, part->fd, options, info, error);
}

trove_status trove_get_file(trove_client *client, const char *bucket, const char *key, const char *path,
                            const trove_stream_options *options, trove_object_info **info, trove_error *error) {
    struct tvc_part part;
    trove_stream_options taken;
    trove_object_info *object = NULL;
    trove_error why;
    trove_status status = check_target(path, error);
    if (status == TROVE_OK)
        status = tvc_names_check(bucket, key, error);
    if (status == TROVE_OK)
        status = tvc_stream_options_copy(options, &taken, error);
    if (status != TROVE_OK)
        return status;
    bool whole = taken.range_offset == 0 && taken.range_length == TROVE_SIZE_UNKNOWN;
    status = tvc_part_open(&part, path, bucket, key, taken.resumable && whole, error);
    if (status != TROVE_OK)
        return status;
    status = get(client, bucket, key, &part, options, info != NULL ? &object : NULL, &why);
    if (status == TROVE_OK)
        status = tvc_part_publish(&part, path, &why);
    tvc_part_close(&part, status);
    if (status != TROVE_OK) {
        trove_object_info_free(object);
        return tv_error_copy(error, &why);
    }
    if (info != NULL)
        *info = object;
    return TROVE_OK;
}
