/* config.h - what `troved` is told: defaults, then the config file, then the command line; each beats the one before.
 *
 * Threads: any, one at a time per config. Errors name the file, the line, the key, the value and what would be allowed.
 */
#ifndef TVS_CONFIG_H
#define TVS_CONFIG_H

#include "log.h"
#include "server.h"

struct tvs_config {
    /* Strings are the config's own. None, and NULL, mean "the default place" (places.h). */
    char *listen[TVS_LISTEN_MAX];
    unsigned listen_count;
    char *store;
    bool insecure;         /* tcp:// and ws:// are allowed, without authentication */
    char *key_file;        /* the server's own; NULL: none */
    char *authorized_keys; /* path; NULL: none */
    struct tvs_user users[TVS_USERS_MAX];
    size_t user_count;
    char *origins[TVS_ORIGINS_MAX]; /* of web pages that may connect over ws:// */
    size_t origin_count;
    char *audit_log; /* path, or "log"; NULL: none */
    enum tvs_log_level log_level;
    enum tvs_log_format log_format;
    uint32_t drain_timeout_ms;
    struct tvs_server_options server; /* all but what points to the above (tvs_config_server) */
};

void tvs_config_init(struct tvs_config *config);
void tvs_config_fini(struct tvs_config *config);

/* Reads a file of at most 1 MiB over what `config` holds; keys that the file doesn't have stay as they are. Blocks for the file.
 * Errors: NOT_FOUND, PERMISSION_DENIED and others of reading; INVALID_ARGUMENT for what is in it. `config` may then be changed in
 * part and is good for tvs_config_fini alone. */
trove_status tvs_config_load(struct tvs_config *config, const char *path, trove_error *error);

/* The same for a text in memory; `name` stands for the file in messages. */
trove_status tvs_config_parse(struct tvs_config *config, const char *name, const char *text, size_t bytes, trove_error *error);

/* For the command line: each replaces what stood there. Errors: INVALID_ARGUMENT (too many), RESOURCE_EXHAUSTED. */
trove_status tvs_config_add_listen(struct tvs_config *config, const char *url, trove_error *error);
void tvs_config_clear_listen(struct tvs_config *config);
trove_status tvs_config_set_store(struct tvs_config *config, const char *dsn, trove_error *error);

/* "debug" ... "error"; "logfmt", "json". False for anything else. */
bool tvs_config_log_level(const char *text, enum tvs_log_level *level);
bool tvs_config_log_format(const char *text, enum tvs_log_format *format);

/* Puts into config->server what it has of the above: what points there is good as long as `config`. */
void tvs_config_server(struct tvs_config *config);

/* What can be judged only when all is known: that the values go together, and that nothing listens on the network without
 * keys or `insecure`. Errors: INVALID_ARGUMENT, FAILED_PRECONDITION. */
trove_status tvs_config_check(const struct tvs_config *config, trove_error *error);

#endif
