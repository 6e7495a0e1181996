/* folder.h - local folders: the files below one, and making one. */
#ifndef CLI_FOLDER_H
#define CLI_FOLDER_H

#include "trove.h"

#include <stdbool.h>

/* What a walk meets. `relative` is the path below the folder, with '/'. */
struct cli_folder_visitor {
    void *context;
    void (*on_file)(void *context, const char *path, const char *relative, uint64_t size);
    /* A link, a device, a pipe: left out, and why. */
    void (*on_skipped)(void *context, const char *path, const char *why);
    /* Something that can't be read; the walk goes on with the rest. */
    void (*on_error)(void *context, const char *path, const trove_error *error);
};

/* Visits all regular files in order of their names. The folder itself may be a link; links below it are followed only if
 * `follow_links` (a link that leads back above itself is reported, not walked for ever). */
void cli_folder_walk(const char *folder, bool follow_links, const struct cli_folder_visitor *visitor);

/* Makes the folder and those above it where they are missing, and opens it. *folder_fd is the caller's to close. */
trove_status cli_folder_make(const char *path, int *folder_fd, trove_error *error);

/* Makes the folders above a file of the command's own, where they are missing: nobody else may look into them (0700). */
trove_status cli_folder_make_above(const char *file, trove_error *error);

#endif
