/* target.h - the local file that a download becomes: whole, or not at all.
 *
 * The bytes go to a new file in the folder where the target will be, which takes the target's name when it is complete. All is
 * done relative to the folder's descriptor, and folders below a download's root are entered one by one without following
 * symbolic links: no key, and nobody who plants a link meanwhile, leads outside. That is why this is not left to
 * trove_get_file, which takes a path.
 */
#ifndef CLI_TARGET_H
#define CLI_TARGET_H

#include "context.h"

#include <stdbool.h>

struct cli_target {
    struct cli_interrupt *interrupt;
    int fd;        /* write here; a pipe is in non-blocking mode, so that waiting for its reader has a limit */
    int lock_fd;   /* keeps the lock of one that can be gone on with (see part.h) when `fd` is closed; -1: another */
    int folder_fd; /* -1 where there is no folder: standard output, a device, a pipe */
    char *name;
    mode_t mode;
    struct cli_unfinished unfinished;
};

/* What may be left of an earlier download of the object into the same target (see part.h). */
struct cli_resume {
    const char *object; /* BUCKET/KEY, and what else makes a difference */
    bool anew;          /* it is removed; else it is gone on with */
};

/* What a person named: "-" is standard output; an existing folder means `default_name` in it; a symbolic link is followed to
 * what it points to; a device or a named pipe is written directly. Waits for somebody who reads a named pipe.
 * `resume` says what becomes of an earlier try; NULL: none is meant. */
trove_status cli_target_open(struct cli_target *target, struct cli_context *context, const char *path, const char *default_name,
                             const struct cli_resume *resume, trove_error *error);

struct cli_target cli_target_stdout(void);

/* A path below the folder, which must have passed cli_local_path_refusal; folders on the way are made. */
trove_status cli_target_open_below(struct cli_target *target, struct cli_context *context, int folder_fd, const char *relative,
                                   const struct cli_resume *resume, trove_error *error);

/* Gives the target its name. Whatever this yields, the target is closed. */
trove_status cli_target_publish(struct cli_target *target, trove_error *error);

/* Closes the target of what failed with `status` and leaves nothing behind, but for what the same command can go on with: then it
 * is true. */
bool cli_target_discard(struct cli_target *target, trove_status status);

#endif
