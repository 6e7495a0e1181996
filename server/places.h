/* places.h - where `troved` puts its socket and its store when nobody says. Pure; any thread. */
#ifndef TVS_PLACES_H
#define TVS_PLACES_H

#include <sys/types.h>

/* Arguments are the values of XDG_RUNTIME_DIR, XDG_DATA_HOME and HOME, or NULL. Relative ones are ignored, as the XDG Base
 * Directory Specification wants. The caller's to free; NULL without memory. */

/* The unix socket: below the user's runtime folder, or below /run for root and where there is no such folder. The command looks
 * in the same place: cli_server_url_default in client/cli/server_url.c, which can't share this code, must stay equal to it. */
char *tvs_place_listen(const char *runtime_folder, uid_t user);

/* The store's DSN: /var/lib/trove for root, else below $XDG_DATA_HOME or ~/.local/share. NULL also where neither is known. */
char *tvs_place_store(const char *data_folder, const char *home, uid_t user);

#endif
