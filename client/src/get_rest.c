/* get_rest.c - going on with a download that a file has the beginning of. See trove.h and kept.h.
 *
 * The rest is asked for under the condition that the object is the one that the kept blocks were compared with: so a file never
 * has bytes of two objects. One that changes between the two is compared again; while it is read, the server gives what it had
 * when the stream was opened.
 */
#include "kept.h"
#include "options.h"
#include "transfer.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* After so many changes in a row, each just between the comparison and the opening, it is read from its beginning on. */
#define TRIES_MAX 3

static trove_status check(const struct tvc_transfer *transfer, int fd, trove_error *error) {
    struct stat found;
    const trove_stream_options *options = &transfer->options;
    if (options->range_offset != 0 || options->range_length != TROVE_SIZE_UNKNOWN)
        return TV_FAIL(error, INVALID_ARGUMENT, "what is gone on with is the whole object, not a range of it");
    if (fstat(fd, &found) != 0)
        return tv_error_errno(error, errno, "%s/%.200s: descriptor %d", transfer->bucket, transfer->key, fd);
    int flags = fcntl(fd, F_GETFL);
    if (!S_ISREG(found.st_mode) || flags < 0 || (flags & O_ACCMODE) != O_RDWR || (flags & O_APPEND) != 0)
        return TV_FAIL(error, INVALID_ARGUMENT, "%s/%.200s: going on needs a regular file, open for reading and writing",
                       transfer->bucket, transfer->key);
    return TROVE_OK;
}

static trove_status cut(const struct tvc_transfer *transfer, int fd, uint64_t bytes, trove_error *error) {
    if (ftruncate(fd, (off_t)bytes) != 0 || lseek(fd, (off_t)bytes, SEEK_SET) < 0)
        return tv_error_errno(error, errno, "%s/%.200s: the file can't be cut back", transfer->bucket, transfer->key);
    return TROVE_OK;
}

static bool has_grown(int fd, uint64_t bytes) {
    struct stat found;
    return fstat(fd, &found) != 0 || (uint64_t)found.st_size > bytes;
}

/* A condition of the program's own that isn't that etag isn't met by the object either: the opening says so. */
static bool may_pin(const trove_conditions *conditions, const struct tvc_kept *kept) {
    return kept->bytes > 0 && (conditions->if_match == NULL || strcmp(conditions->if_match, kept->etag) == 0);
}

/* Whether the object was another one already when it was opened, by no condition of the program's. */
static bool has_changed(const trove_conditions *conditions, const struct tvc_kept *kept, int fd, trove_status status) {
    bool own = conditions->if_match != NULL || conditions->if_none_match || conditions->if_generation != 0;
    return status == TROVE_FAILED_PRECONDITION && kept->bytes > 0 && !own && !has_grown(fd, kept->bytes);
}

/* What is kept was never across a gap that the program doesn't allow, but the file may come from one that did. */
static trove_status check_gaps(const struct tvc_transfer *transfer, const trove_object_info *info, trove_error *error) {
    if (info->gap_count == 0 || transfer->options.allow_gaps)
        return TROVE_OK;
    return TV_FAIL(error, DATA_LOSS,
                   "%s/%.200s: %llu of its bytes were lost when it was stored; allow gaps to get zeros for them",
                   transfer->bucket, transfer->key, (unsigned long long)info->gap_bytes);
}

static trove_status get_from(const struct tvc_transfer *transfer, const trove_stream_options *given, int fd,
                             const struct tvc_kept *kept, trove_object_info **info, trove_error *error) {
    trove_stream_options options;
    trove_status status = tvc_stream_options_copy(given, &options, error);
    options.range_offset = kept->bytes;
    if (kept->bytes > 0)
        options.conditions.if_match = kept->etag;
    if (status == TROVE_OK)
        status = cut(transfer, fd, kept->bytes, error);
    if (status == TROVE_OK)
        status = trove_get_fd(transfer->client, transfer->bucket, transfer->key, fd, &options, info, error);
    if (status != TROVE_OK || kept->bytes == 0)
        return status;
    status = check_gaps(transfer, *info, error);
    if (status != TROVE_OK)
        trove_object_info_free(*info);
    return status;
}

trove_status trove_get_rest(trove_client *client, const char *bucket, const char *key, int fd, const trove_stream_options *given,
                            uint64_t *kept_bytes, trove_object_info **info_out, trove_error *error) {
    struct tvc_transfer transfer;
    trove_object_info *info = NULL;
    trove_error why;
    struct tvc_kept kept;
    trove_status status = tvc_transfer_begin(&transfer, client, bucket, key, TROVE_DIRECTION_DOWNLOAD, given, error);
    if (status == TROVE_OK)
        status = check(&transfer, fd, error);
    if (status != TROVE_OK)
        return status;
    for (unsigned tries = 0;; tries++) {
        status = tvc_kept_find(client, bucket, key, fd, transfer.timeout_ms, &kept, error);
        if (status != TROVE_OK)
            return status;
        if (tries == TRIES_MAX || !may_pin(&transfer.options.conditions, &kept))
            kept = (struct tvc_kept){0};
        status = get_from(&transfer, given, fd, &kept, &info, &why);
        if (!has_changed(&transfer.options.conditions, &kept, fd, status))
            break;
    }
    if (status != TROVE_OK)
        return tv_error_copy(error, &why);
    if (kept_bytes != NULL)
        *kept_bytes = kept.bytes;
    if (info_out != NULL)
        *info_out = info;
    else
        trove_object_info_free(info);
    return TROVE_OK;
}
