/* part.h - the file that a download is written to until it is whole, beside the one that it becomes.
 *
 * One that may be gone on with has a name made of target and object, and is locked (flock) while it is used: from the moment it
 * is opened until it has its final name or is gone. Where that can't be had (somebody else has it, a file system without locks,
 * something that isn't ours under the name) it is a new file with a name of its own, which goes with its download.
 */
#ifndef TVC_PART_H
#define TVC_PART_H

#include "status.h"

#include <stdbool.h>

struct tvc_part {
    char *path;
    int fd;      /* open for reading and writing */
    int lock_fd; /* -1: a name of its own. The same open file: it stays locked when `fd` is closed */
};

/* `resumable`: what an earlier one has left is in it. Errors: those of making a file in the target's folder. */
trove_status tvc_part_open(struct tvc_part *part, const char *target, const char *bucket, const char *key, bool resumable,
                           trove_error *error);

/* Gives it the target's name. On failure it is still there. */
trove_status tvc_part_publish(struct tvc_part *part, const char *target, trove_error *error);

/* Closes it. After a failure, `status`, it stays if it can be gone on with and that makes sense. */
void tvc_part_close(struct tvc_part *part, trove_status status);

#endif
