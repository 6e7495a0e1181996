/* local_path.h - which keys may become files below a folder. Pure.
 *
 * Keys are any text: "../../etc/passwd", "/x", "a//b" and both "a" and "a/b" are good keys and no good paths. A key that can't be
 * a path exactly as it stands is refused rather than rewritten: two keys must never become one file.
 */
#ifndef CLI_LOCAL_PATH_H
#define CLI_LOCAL_PATH_H

#include <stdbool.h>
#include <stddef.h>

/* NULL if the relative path stays below the folder it begins in, else why it isn't taken, for a message. Static memory. */
const char *cli_local_path_refusal(const char *relative);

/* For paths in byte order without doubles: the index of one that lies below paths[index] as if that were a folder (so both can't
 * exist as files), `count` if there is none. Logarithmic. */
size_t cli_local_path_below(const char *const *paths, size_t count, size_t index);

#endif
