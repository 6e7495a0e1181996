/* part.h - the unfinished file of a download that can be gone on with: its name, its lock, whether it is worth keeping.
 *
 * The name is made of target and object, so that the same command finds it again. It is locked (flock) while it is used, from its
 * opening until it has its final name or is gone. What is in it doesn't matter: trove_get_rest keeps what is the object's.
 */
#ifndef CLI_PART_H
#define CLI_PART_H

#include "trove.h"

#define CLI_PART_NAME_BYTES 40

/* For the file `target` that the object BUCKET/KEY becomes. */
void cli_part_name(const char *target, const char *object, char name[CLI_PART_NAME_BYTES]);

/* Opens it for reading and writing, new (0600) or as it was left, and locks it. -1, with errno set: it can't be had (EWOULDBLOCK:
 * somebody else has it; it isn't ours; a file system without locks), and its user does without. Doesn't wait. */
int cli_part_open(int folder_fd, const char *name);

/* Removes one that nobody has. */
void cli_part_remove(int folder_fd, const char *name);

/* Whether there is so much of it that it should stay, and its disk isn't full. */
bool cli_part_is_worth(int folder_fd, const char *name);

/* Whether it makes sense to go on with what failed so. */
bool cli_part_can_go_on(trove_status status);

#endif
