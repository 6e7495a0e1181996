/* local_path.c - see local_path.h. */
#include "local_path.h"

#include <limits.h>
#include <string.h>

const char *cli_local_path_refusal(const char *relative) {
    if (*relative == 0)
        return "it is empty and gives no file name";
    if (*relative == '/')
        return "it begins with '/' and would leave the folder";
    for (const char *at = relative;;) {
        size_t bytes = strcspn(at, "/");
        if (bytes == 0)
            return at[0] == 0 ? "it ends in '/' and gives no file name" : "it has an empty part between two '/'";
        if (bytes == 1 && at[0] == '.')
            return "it has a part \".\", which no file can be named";
        if (bytes == 2 && at[0] == '.' && at[1] == '.')
            return "it has a part \"..\" and would leave the folder";
        if (bytes > NAME_MAX)
            return "it has a part of more than 255 bytes, too long for a file name";
        if (at[bytes] == 0)
            return NULL;
        at += bytes + 1;
    }
}

/* Compares paths[i] with `path` followed by a slash, without building that string. */
static int compare_with_folder(const char *candidate, const char *path, size_t path_bytes) {
    int order = strncmp(candidate, path, path_bytes);
    if (order != 0)
        return order;
    return (int)(unsigned char)candidate[path_bytes] - '/';
}

size_t cli_local_path_below(const char *const *paths, size_t count, size_t index) {
    const char *path = paths[index];
    size_t path_bytes = strlen(path);
    size_t low = index + 1;
    size_t high = count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (compare_with_folder(paths[middle], path, path_bytes) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low < count && compare_with_folder(paths[low], path, path_bytes) == 0 ? low : count;
}
