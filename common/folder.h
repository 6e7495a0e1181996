/* folder.h - whether a folder could be used, without touching anything. Any thread; blocks for the file system. */
#ifndef TV_FOLDER_H
#define TV_FOLDER_H

#include "status.h"

/* Whether the folder is there and this process may write to it, or could make it: as many as `missing_max` of the path's last
 * parts may be missing. What another process does meanwhile isn't known, of course.
 * Errors: NOT_FOUND (more are missing), FAILED_PRECONDITION (something else is in the way), PERMISSION_DENIED and others of
 * looking. */
TROVE_WARN_UNUSED trove_status tv_folder_check(const char *path, unsigned missing_max, trove_error *error);

#endif
