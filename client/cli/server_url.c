/* server_url.c - see server_url.h. */
#include "server_url.h"

#include "text.h"

#include <stddef.h>

char *cli_server_url_default(const char *runtime_folder, uid_t user) {
    /* The base directory specification wants relative values ignored. */
    if (user == 0 || runtime_folder == NULL || runtime_folder[0] != '/')
        return cli_copy("ipc:///run/trove/troved.sock");
    return cli_format("ipc://%s/trove/troved.sock", runtime_folder);
}
