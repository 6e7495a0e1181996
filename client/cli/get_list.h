/* get_list.h - which objects a recursive get fetches, and to which paths. */
#ifndef CLI_GET_LIST_H
#define CLI_GET_LIST_H

#include "context.h"

#include <stddef.h>
#include <stdint.h>

struct cli_get_object {
    char *key;
    uint64_t size;
};

struct cli_get_list {
    struct cli_get_object *objects; /* in byte order of their keys */
    size_t count;
    size_t room;
    size_t folder_bytes; /* what all keys begin with; the path is what stands behind it */
    size_t found_count;  /* with those that were refused */
    enum cli_exit worst; /* of what was said while the list was made */
};

/* All objects in the folder of keys ("" is the whole bucket). Keys that can't be paths below one folder are refused, each with
 * its reason, and left out. */
enum cli_exit cli_get_list_make(struct cli_get_list *list, struct cli_context *context, const char *bucket, const char *folder);
void cli_get_list_fini(struct cli_get_list *list);

#endif
