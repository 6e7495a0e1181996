/* server_url.h - which server to talk to. Pure. */
#ifndef CLI_SERVER_URL_H
#define CLI_SERVER_URL_H

#include <sys/types.h>

/* The unix socket of `troved`'s default config: below the user's runtime folder, or below /run for root and where there is no
 * such folder. `runtime_folder` is XDG_RUNTIME_DIR's value or NULL. The caller's to free. */
char *cli_server_url_default(const char *runtime_folder, uid_t user);

#endif
