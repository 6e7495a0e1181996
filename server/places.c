/* places.c - see places.h. Pure. */
#include "places.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

static bool is_absolute(const char *path) {
    return path != NULL && path[0] == '/';
}

static char *join(const char *before, const char *folder, const char *after) {
    char *text = NULL;
    return asprintf(&text, "%s%s%s", before, folder, after) < 0 ? NULL : text;
}

char *tvs_place_listen(const char *runtime_folder, uid_t user) {
    if (user == 0 || !is_absolute(runtime_folder))
        return strdup("ipc:///run/trove/troved.sock");
    return join("ipc://", runtime_folder, "/trove/troved.sock");
}

char *tvs_place_store(const char *data_folder, const char *home, uid_t user) {
    if (user == 0)
        return strdup("local:///var/lib/trove");
    if (is_absolute(data_folder))
        return join("local://", data_folder, "/trove");
    return is_absolute(home) ? join("local://", home, "/.local/share/trove") : NULL;
}
