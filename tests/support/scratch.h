/* scratch.h - a folder for a test, below TMPDIR, and its end with all that is in it. */
#ifndef TROVE_TESTS_SCRATCH_H
#define TROVE_TESTS_SCRATCH_H

#include <ftw.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#define SCRATCH_BYTES 200 /* of its path. A socket in it needs one of less than 108 with its own name */

static inline bool scratch_make(char path[static SCRATCH_BYTES]) {
    const char *base = getenv("TMPDIR");
    int bytes = snprintf(path, SCRATCH_BYTES, "%s/trove-test-XXXXXX", base != NULL && base[0] != '\0' ? base : "/tmp");
    return bytes < SCRATCH_BYTES && mkdtemp(path) != NULL;
}

static inline int scratch_remove_entry(const char *path, const struct stat *info, int kind, struct FTW *where) {
    (void)info;
    (void)kind;
    (void)where;
    return remove(path);
}

/* Whether nothing of it is left. */
static inline bool scratch_remove(const char *path) {
    return nftw(path, scratch_remove_entry, 16, FTW_DEPTH | FTW_PHYS) == 0;
}

#endif
