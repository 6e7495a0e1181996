/* put_list.h - which files a put stores under which keys. */
#ifndef CLI_PUT_LIST_H
#define CLI_PUT_LIST_H

#include "context.h"
#include "object_name.h"

#include <stddef.h>
#include <stdint.h>

struct cli_put_file {
    char *path; /* "-" for standard input */
    char *key;
    uint64_t size;     /* TROVE_SIZE_UNKNOWN for what isn't a regular file */
    bool follow_links; /* else `path` itself must not be a link: it was found in a folder */
};

struct cli_put_list {
    struct cli_put_file *files;
    size_t count;
    size_t room;
    enum cli_exit worst; /* of what was said while the list was made */
};

/* One file. A key that is a folder gets the file's name behind it. */
void cli_put_list_one(struct cli_put_list *list, struct cli_context *context, const char *path, const struct cli_object_name *to);

/* Many files, and folders if `recursive`, below the key as a folder. Says what it leaves out and why. Two files for one key are
 * both left out. */
void cli_put_list_many(struct cli_put_list *list, struct cli_context *context, char *const *paths, size_t path_count,
                       const struct cli_object_name *to, bool recursive, bool follow_links);

void cli_put_list_fini(struct cli_put_list *list);

#endif
