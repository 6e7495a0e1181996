/* config_schema.h - the config file's shape: which keys there are and of what type. Private to config.c.
 *
 * Threads: any. Values are checked for their type here and for their bounds in config.c.
 */
#ifndef TVS_CONFIG_SCHEMA_H
#define TVS_CONFIG_SCHEMA_H

#include "config_lines.h"

/* The values that are words. */
enum tvs_config_words {
    TVS_WORDS_BOOLEAN,
    TVS_WORDS_DURABILITY,
    TVS_WORDS_LOG_LEVEL,
    TVS_WORDS_LOG_FORMAT,
    TVS_WORDS_SOCKET_MODE
};

/* The value that a word stands for; false where it is none of them. */
bool tvs_config_word(enum tvs_config_words words, const char *word, int *value);

enum tvs_durability {
    TVS_DURABILITY_STRICT,
    TVS_DURABILITY_RELAXED
};

/* A pool: the section `pool`, which has no name, or an entry of `pools`. */
struct tvs_config_raw_pool {
    char *name;
    char *streams;
    char *chunk_size;
    char *channel_size;
    char *buffers;
    char *memory;
    char *bandwidth;
    char *stream_timeout;
    char *idle_timeout;
    char *min_rate;
    char *paused_timeout;
    char *credit_expiry;
    int *backpressure;
};

/* An entry of `users`. */
struct tvs_config_raw_user {
    char *uid;
    char *rights;
    char *quota;
    char *bandwidth;
    char *pool;
};

/* What was loaded. Every member is NULL where the file doesn't have the key. */
struct tvs_config_raw {
    char **listen;
    uint32_t listen_count;
    int *insecure;
    char *key_file;
    char *authorized_keys;
    struct tvs_config_raw_user *users;
    uint32_t users_count;
    int *socket_mode;
    char **allow_origins;
    uint32_t allow_origins_count;
    char *audit_log;
    char *store;
    char *store_memory;
    int *durability;
    char *memory;
    char *workers;
    struct tvs_config_raw_pool pool;
    struct tvs_config_raw_pool *pools;
    uint32_t pools_count;
    struct {
        char *max;
        char *per_address;
        char *handshakes_per_address;
        char *streams;
        char *calls;
        char *keepalive;
        char *min_rate;
        char *handshake_timeout;
        char *call_timeout;
    } connections;
    struct {
        int *level;
        int *format;
    } log;
    struct {
        char *idle_timeout;
        char *keep;
    } uploads;
    char *drain_timeout;
};

/* Loads the text, which tvs_config_lines_read has passed. *raw is NULL for a text without any key; else the caller's, for
 * tvs_config_raw_free. On failure `bad_key` is the path of the key that is to blame, "" where none is.
 * Errors: INVALID_ARGUMENT, RESOURCE_EXHAUSTED. */
trove_status tvs_config_raw_load(const char *text, size_t bytes, struct tvs_config_raw **raw,
                                 char bad_key[static TVS_CONFIG_PATH_BYTES_MAX], trove_error *error);
void tvs_config_raw_free(struct tvs_config_raw *raw); /* NULL is allowed */

#endif
