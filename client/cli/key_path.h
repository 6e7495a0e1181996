/* key_path.h - where the command's own key, and the keys of known servers, are, unless it is told otherwise. Pure. */
#ifndef CLI_KEY_PATH_H
#define CLI_KEY_PATH_H

/* $XDG_CONFIG_HOME/trove/key, else $HOME/.config/trove/key; NULL where there is neither (relative ones count for nothing). The
 * caller's to free. */
char *cli_key_path_default(const char *config_folder, const char *home);

/* The same folder's known_servers. */
char *cli_known_servers_path_default(const char *config_folder, const char *home);

#endif
