/* config_lines.h - the places in a YAML text: which key stands on which line. Pure; any thread. */
#ifndef TVS_CONFIG_LINES_H
#define TVS_CONFIG_LINES_H

#include "status.h"

#include <stddef.h>

#define TVS_CONFIG_KEYS_MAX       512
#define TVS_CONFIG_PATH_BYTES_MAX 96

struct tvs_config_place {
    unsigned line;                        /* from 1 */
    char path[TVS_CONFIG_PATH_BYTES_MAX]; /* "pool.chunk_size", "listen[0]" */
};

struct tvs_config_lines {
    unsigned count;
    struct tvs_config_place places[TVS_CONFIG_KEYS_MAX];
};

/* Walks the text and notes the place of every key and list entry. What no config may contain is INVALID_ARGUMENT here, with its
 * line: broken YAML, a key that is given twice, aliases, a second document, keys that are no plain words, NUL. Messages begin
 * with "line N: ". */
trove_status tvs_config_lines_read(const char *text, size_t bytes, struct tvs_config_lines *lines, trove_error *error);

/* The line of a key, 0 where the text doesn't have it. */
unsigned tvs_config_line(const struct tvs_config_lines *lines, const char *path);

#endif
