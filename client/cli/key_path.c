/* key_path.c - see key_path.h. */
#include "key_path.h"

#include "text.h"

#include <stddef.h>

char *cli_key_path_default(const char *config_folder, const char *home) {
    if (config_folder != NULL && config_folder[0] == '/')
        return cli_format("%s/trove/key", config_folder);
    if (home != NULL && home[0] == '/')
        return cli_format("%s/.config/trove/key", home);
    return NULL;
}
