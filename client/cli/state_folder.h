/* state_folder.h - the folder where uploads under way are remembered: trove/uploads in $XDG_STATE_HOME, else in
 * ~/.local/state. */
#ifndef CLI_STATE_FOLDER_H
#define CLI_STATE_FOLDER_H

#include "trove.h"

/* Makes what is missing (0700) and opens it; *folder_fd is the caller's to close. One that others may look into is corrected.
 * Removes records that nobody has come back to for a month. Errors: FAILED_PRECONDITION (no home, somebody else's folder), those
 * of the file system. */
trove_status cli_state_folder_open(int *folder_fd, trove_error *error);

#endif
