/* key_path.c - see key_path.h. */
#include "key_path.h"

#include "text.h"

#include <stddef.h>

static char *in_folder(const char *config_folder, const char *home, const char *name) {
    if (config_folder != NULL && config_folder[0] == '/')
        return cli_format("%s/trove/%s", config_folder, name);
    if (home != NULL && home[0] == '/')
        return cli_format("%s/.config/trove/%s", home, name);
    return NULL;
}

char *cli_key_path_default(const char *config_folder, const char *home) {
    return in_folder(config_folder, home, "key");
}

char *cli_known_servers_path_default(const char *config_folder, const char *home) {
    return in_folder(config_folder, home, "known_servers");
}
