/* config.c - see config.h. One thread at a time per config.
 *
 * libcyaml loads the text into `struct raw` by the schema below; there everything is a pointer, and NULL means "not given", so
 * that the defaults stay in one place. Numbers are loaded as text and parsed here: libcyaml would take "010" for eight, and every
 * word that isn't "false" for true (`insecure: flase`!), hence the enumeration for booleans. A key that is missing from the
 * schema is an error by libcyaml's default, so nothing that is written in a config is without effect.
 */
#include "config.h"

#include "bounds.h"
#include "config_lines.h"
#include "config_schema.h"
#include "units.h"
#include "url.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#define FILE_BYTES_MAX (1 * TV_MIB)

enum kind {
    KIND_BYTES,
    KIND_MS,
    KIND_COUNT
};

/* A number: where its text is, what it means, what is allowed (both ends included) and where it goes. Offsets are those of the
 * whole, or of a pool. */
struct number {
    const char *path;
    size_t raw_offset;
    size_t config_offset;
    enum kind kind;
    uint64_t min;
    uint64_t max;
    bool zero_is_none; /* 0 is allowed as well, and means that there is no such limit */
};

#define RAW(member)    offsetof(struct tvs_config_raw, member)
#define OPTION(member) offsetof(struct tvs_config, server.member)
#define SECONDS(count) ((uint64_t)(count)*1000)
#define HOURS(count)   SECONDS((count)*3600)

static const struct number numbers[] = {
    {"memory", RAW(memory), OPTION(memory_bytes), KIND_BYTES, 8 * TV_MIB, TVS_POOL_MEMORY_BYTES_MAX, false},
    {"store_memory", RAW(store_memory), OPTION(store_memory_bytes), KIND_BYTES, 1 * TV_MIB, 1024 * TV_GIB, false},
    {"workers", RAW(workers), OPTION(workers), KIND_COUNT, 1, TV_WORKERS_MAX, false},
    {"connections.max", RAW(connections.max), OPTION(connections_max), KIND_COUNT, 1, TVS_CONNECTIONS_MAX, false},
    {"connections.per_address", RAW(connections.per_address), OPTION(per_address_max), KIND_COUNT, 1, TVS_CONNECTIONS_MAX, false},
    {"connections.handshakes_per_address", RAW(connections.handshakes_per_address), OPTION(handshakes_max), KIND_COUNT, 1,
     1000000, false},
    {"connections.streams", RAW(connections.streams), OPTION(streams_max), KIND_COUNT, 1, TV_STREAMS_PER_CONN_MAX, false},
    {"connections.calls", RAW(connections.calls), OPTION(calls_max), KIND_COUNT, 1, TV_CALLS_PER_CONN_MAX, false},
    {"connections.keepalive", RAW(connections.keepalive), OPTION(keepalive_ms), KIND_MS, SECONDS(1), HOURS(1), false},
    {"connections.min_rate", RAW(connections.min_rate), OPTION(rate_min), KIND_BYTES, 1, TVS_BANDWIDTH_MAX, true},
    {"connections.handshake_timeout", RAW(connections.handshake_timeout), OPTION(handshake_ms), KIND_MS, 100, SECONDS(60), false},
    {"connections.call_timeout", RAW(connections.call_timeout), OPTION(call_deadline_ms), KIND_MS, 100, HOURS(1), false},
    {"uploads.idle_timeout", RAW(uploads.idle_timeout), OPTION(uploads_idle_ms), KIND_MS, 100, HOURS(24 * 30), false},
    {"uploads.keep", RAW(uploads.keep), OPTION(uploads_keep_ms), KIND_MS, 100, HOURS(24 * 30), false},
    {"drain_timeout", RAW(drain_timeout), offsetof(struct tvs_config, drain_timeout_ms), KIND_MS, 100, HOURS(1), false},
};

#define IN_POOL(key, member) #key, offsetof(struct tvs_config_raw_pool, key), offsetof(struct tvs_pool_limits, member)

static const struct number pool_numbers[] = {
    {IN_POOL(streams, streams_max), KIND_COUNT, 1, 1000000, false},
    {IN_POOL(chunk_size, chunk_bytes), KIND_BYTES, 4 * TV_KIB, TV_CHUNK_BYTES_MAX, false},
    {IN_POOL(channel_size, channel_chunks), KIND_COUNT, 1, TV_CHANNEL_CHUNKS_MAX, false},
    {IN_POOL(buffers, buffers_max), KIND_COUNT, TVS_POOL_BUFFERS_MIN, 1000000, true},
    {IN_POOL(memory, memory_bytes), KIND_BYTES, TVS_POOL_MEMORY_BYTES_MIN, TVS_POOL_MEMORY_BYTES_MAX, true},
    {IN_POOL(bandwidth, bandwidth), KIND_BYTES, TVS_BANDWIDTH_MIN, TVS_BANDWIDTH_MAX, true},
    {IN_POOL(stream_timeout, stream_timeout_ms), KIND_MS, SECONDS(1), HOURS(24 * 30), true},
    {IN_POOL(idle_timeout, idle_timeout_ms), KIND_MS, SECONDS(1), HOURS(24), false},
    {IN_POOL(min_rate, rate_min), KIND_BYTES, 1, 1024 * TV_GIB, true},
    {IN_POOL(paused_timeout, paused_timeout_ms), KIND_MS, SECONDS(1), HOURS(24 * 30), true},
    {IN_POOL(credit_expiry, grant_expiry_ms), KIND_MS, 100, SECONDS(600), false},
};

void tvs_config_init(struct tvs_config *config) {
    memset(config, 0, sizeof *config);
    config->log_level = TVS_LOG_INFO;
    config->log_format = TVS_LOG_LOGFMT;
    config->drain_timeout_ms = 10000;
    tvs_server_options_init(&config->server);
    config->server.store = NULL;
}

void tvs_config_fini(struct tvs_config *config) {
    tvs_config_clear_listen(config);
    for (size_t i = 0; i < config->user_count; i++)
        free(config->users[i].rights);
    for (size_t i = 0; i < config->origin_count; i++)
        free(config->origins[i]);
    free(config->key_file);
    free(config->authorized_keys);
    free(config->audit_log);
    free(config->store);
    tvs_config_init(config);
}

void tvs_config_clear_listen(struct tvs_config *config) {
    for (unsigned i = 0; i < config->listen_count; i++)
        free(config->listen[i]);
    config->listen_count = 0;
}

trove_status tvs_config_add_listen(struct tvs_config *config, const char *url, trove_error *error) {
    if (config->listen_count == TVS_LISTEN_MAX)
        return TV_FAIL(error, INVALID_ARGUMENT, "%s: more than %d URLs to listen on", url, TVS_LISTEN_MAX);
    char *copy = strdup(url);
    if (copy == NULL)
        return TV_FAIL(error, RESOURCE_EXHAUSTED, "no memory for the config");
    config->listen[config->listen_count++] = copy;
    return TROVE_OK;
}

static trove_status set_text(char **at, const char *text, trove_error *error) {
    char *copy = strdup(text);
    if (copy == NULL)
        return TV_FAIL(error, RESOURCE_EXHAUSTED, "no memory for the config");
    free(*at);
    *at = copy;
    return TROVE_OK;
}

trove_status tvs_config_set_store(struct tvs_config *config, const char *dsn, trove_error *error) {
    return set_text(&config->store, dsn, error);
}

bool tvs_config_log_level(const char *text, enum tvs_log_level *level) {
    int value = 0;
    if (!tvs_config_word(TVS_WORDS_LOG_LEVEL, text, &value))
        return false;
    *level = (enum tvs_log_level)value;
    return true;
}

bool tvs_config_log_format(const char *text, enum tvs_log_format *format) {
    int value = 0;
    if (!tvs_config_word(TVS_WORDS_LOG_FORMAT, text, &value))
        return false;
    *format = (enum tvs_log_format)value;
    return true;
}

/* ---- from text to values ---- */

static trove_status parse_number(const struct number *number, const char *text, uint64_t *value, trove_error *error) {
    uint32_t narrow = 0;
    trove_status status;
    if (number->kind == KIND_BYTES)
        return tvs_parse_bytes(text, value, error);
    if (number->kind == KIND_MS)
        status = tvs_parse_ms(text, &narrow, error);
    else
        status = tvs_parse_count(text, &narrow, error);
    *value = narrow;
    return status;
}

static void format_bound(const struct number *number, uint64_t value, char text[static 32]) {
    if (number->kind == KIND_BYTES)
        tvs_format_bytes(value, text);
    else if (number->kind == KIND_MS)
        tvs_format_ms(value, text);
    else
        snprintf(text, 32, "%llu", (unsigned long long)value);
}

static void store_number(const struct number *number, uint64_t value, void *config) {
    char *to = (char *)config + number->config_offset;
    uint32_t narrow = (uint32_t)value;
    if (number->kind == KIND_BYTES)
        memcpy(to, &value, sizeof value);
    else
        memcpy(to, &narrow, sizeof narrow);
}

/* Where an error belongs to. */
struct place {
    char path[TVS_CONFIG_PATH_BYTES_MAX];
};

static trove_status apply_number(const struct number *number, const struct place *place, const char *text, void *config,
                                 trove_error *error) {
    uint64_t value = 0;
    trove_error why;
    trove_status status = parse_number(number, text, &value, &why);
    if (status != TROVE_OK)
        return tv_error_set(error, status, "`%s`: %s", place->path, why.message);
    bool none = number->zero_is_none && value == 0;
    if (!none && (value < number->min || value > number->max)) {
        char least[32];
        char most[32];
        format_bound(number, number->min, least);
        format_bound(number, number->max, most);
        return TV_FAIL(error, INVALID_ARGUMENT, "`%s` is %.40s; %s%s to %s are allowed", place->path, text,
                       number->zero_is_none ? "0 (none) and " : "", least, most);
    }
    store_number(number, value, config);
    return TROVE_OK;
}

/* A table of numbers, from one structure to the other; `section` stands before their names in the file. */
static trove_status apply_numbers(const struct number *table, size_t count, const char *section, const void *raw, void *config,
                                  struct place *place, trove_error *error) {
    trove_status status = TROVE_OK;
    for (size_t i = 0; i < count && status == TROVE_OK; i++) {
        const char *text;
        memcpy(&text, (const char *)raw + table[i].raw_offset, sizeof text);
        snprintf(place->path, sizeof place->path, "%s%s", section, table[i].path);
        if (text != NULL)
            status = apply_number(&table[i], place, text, config, error);
    }
    return status;
}

/* ---- pools ---- */

static trove_status apply_pool(const struct tvs_config_raw_pool *raw, const char *section, struct tvs_pool_limits *limits,
                               struct place *place, trove_error *error) {
    if (raw->backpressure != NULL)
        limits->backpressure = (trove_backpressure)*raw->backpressure;
    return apply_numbers(pool_numbers, sizeof pool_numbers / sizeof pool_numbers[0], section, raw, limits, place, error);
}

static trove_status name_pool(const char *name, const struct tvs_pool_set *set, struct tvs_pool_config *pool, struct place *place,
                              trove_error *error) {
    if (!tvs_pool_name_valid(name))
        return TV_FAIL(error, INVALID_ARGUMENT, "`%s` is \"%.80s\"; a pool's name has 1 to %d of a-z, 0-9, _ and -", place->path,
                       name, TVS_POOL_NAME_BYTES - 1);
    for (uint32_t i = 0; i < set->count; i++)
        if (strcmp(set->pools[i].name, name) == 0)
            return TV_FAIL(error, INVALID_ARGUMENT, "`%s`: there is a pool \"%s\" already%s", place->path, name,
                           i == 0 ? "; it is the section `pool`" : "");
    snprintf(pool->name, sizeof pool->name, "%s", name);
    return TROVE_OK;
}

/* The default pool, then the others, which have its limits where they say nothing. */
static trove_status apply_pools(const struct tvs_config_raw *raw, struct tvs_pool_set *set, struct place *place,
                                trove_error *error) {
    trove_status status = apply_pool(&raw->pool, "pool.", &set->pools[0].limits, place, error);
    if (raw->pools_count > 0)
        set->count = 1;
    for (uint32_t i = 0; i < raw->pools_count && status == TROVE_OK; i++) {
        char section[32];
        struct tvs_pool_config *pool = &set->pools[set->count];
        *pool = (struct tvs_pool_config){.limits = set->pools[0].limits};
        snprintf(place->path, sizeof place->path, "pools[%u].name", i);
        status = name_pool(raw->pools[i].name, set, pool, place, error);
        snprintf(section, sizeof section, "pools[%u].", i);
        if (status == TROVE_OK)
            status = apply_pool(&raw->pools[i], section, &pool->limits, place, error);
        set->count++;
    }
    return status;
}

/* ---- who is let in ---- */

static const struct number user_numbers[] = {
    {"quota", offsetof(struct tvs_config_raw_user, quota), offsetof(struct tvs_user, quota_bytes), KIND_BYTES, 1,
     1024 * 1024 * TV_GIB, true},
    {"bandwidth", offsetof(struct tvs_config_raw_user, bandwidth), offsetof(struct tvs_user, bandwidth), KIND_BYTES,
     TVS_BANDWIDTH_MIN, TVS_BANDWIDTH_MAX, true},
};

static trove_status apply_rights(const char *text, struct tvs_user *user, struct place *place, const char *section,
                                 trove_error *error) {
    struct tvs_rights *rights = NULL;
    trove_error why;
    snprintf(place->path, sizeof place->path, "%srights", section);
    trove_status status = tvs_rights_parse(text, &rights, &why);
    tvs_rights_release(rights);
    if (status != TROVE_OK)
        return tv_error_set(error, status, "`%s`: %s", place->path, why.message);
    return set_text(&user->rights, text, error);
}

/* The pools are known by then. */
static trove_status apply_user_pool(const char *name, const struct tvs_config *config, struct tvs_user *user, const char *section,
                                    struct place *place, trove_error *error) {
    const struct tvs_pool_set *set = &config->server.pools;
    snprintf(place->path, sizeof place->path, "%spool", section);
    for (uint32_t i = 0; i < set->count; i++)
        if (strcmp(set->pools[i].name, name) == 0) {
            snprintf(user->pool, sizeof user->pool, "%s", name);
            return TROVE_OK;
        }
    return TV_FAIL(error, INVALID_ARGUMENT, "`%s` is \"%.80s\"; there is no pool of this name", place->path, name);
}

static trove_status apply_user(const struct tvs_config_raw_user *raw, struct tvs_config *config, unsigned index,
                               struct place *place, trove_error *error) {
    struct tvs_user *user = &config->users[config->user_count++];
    char section[32];
    trove_error why;
    *user = (struct tvs_user){.uid = 0};
    snprintf(section, sizeof section, "users[%u].", index);
    snprintf(place->path, sizeof place->path, "%suid", section);
    trove_status status = tvs_parse_count(raw->uid, &user->uid, &why);
    if (status != TROVE_OK)
        return tv_error_set(error, status, "`%s`: %s", place->path, why.message);
    for (size_t i = 0; i + 1 < config->user_count; i++)
        if (config->users[i].uid == user->uid)
            return TV_FAIL(error, INVALID_ARGUMENT, "`%s`: uid %u is there already", place->path, user->uid);
    status = apply_rights(raw->rights, user, place, section, error);
    if (status == TROVE_OK)
        status = apply_numbers(user_numbers, sizeof user_numbers / sizeof user_numbers[0], section, raw, user, place, error);
    return status == TROVE_OK && raw->pool != NULL ? apply_user_pool(raw->pool, config, user, section, place, error) : status;
}

static trove_status apply_access(const struct tvs_config_raw *raw, struct tvs_config *config, struct place *place,
                                 trove_error *error) {
    const struct {
        const char *path;
        const char *text;
        char **to;
    } texts[] = {
        {"key_file", raw->key_file, &config->key_file},
        {"authorized_keys", raw->authorized_keys, &config->authorized_keys},
        {"audit_log", raw->audit_log, &config->audit_log},
    };
    trove_status status = TROVE_OK;
    for (size_t i = 0; i < sizeof texts / sizeof texts[0] && status == TROVE_OK; i++) {
        snprintf(place->path, sizeof place->path, "%s", texts[i].path);
        if (texts[i].text != NULL)
            status = set_text(texts[i].to, texts[i].text, error);
    }
    for (unsigned i = 0; i < raw->users_count && status == TROVE_OK; i++)
        status = apply_user(&raw->users[i], config, i, place, error);
    for (unsigned i = 0; i < raw->allow_origins_count && status == TROVE_OK; i++)
        status = set_text(&config->origins[config->origin_count++], raw->allow_origins[i], error);
    return status;
}

/* *place is the key that an error belongs to. */
static trove_status apply(const struct tvs_config_raw *raw, struct tvs_config *config, struct place *place, trove_error *error) {
    if (raw->insecure != NULL)
        config->insecure = *raw->insecure != 0;
    if (raw->socket_mode != NULL)
        config->server.socket_mode = (uint32_t)*raw->socket_mode;
    if (raw->durability != NULL)
        config->server.relaxed = *raw->durability == TVS_DURABILITY_RELAXED;
    if (raw->log.level != NULL)
        config->log_level = (enum tvs_log_level) * raw->log.level;
    if (raw->log.format != NULL)
        config->log_format = (enum tvs_log_format) * raw->log.format;
    *place = (struct place){"store"};
    trove_status status = raw->store != NULL ? tvs_config_set_store(config, raw->store, error) : TROVE_OK;
    if (status != TROVE_OK)
        return status;
    *place = (struct place){"listen"};
    if (raw->listen_count > 0)
        tvs_config_clear_listen(config);
    for (unsigned i = 0; status == TROVE_OK && i < raw->listen_count; i++)
        status = tvs_config_add_listen(config, raw->listen[i], error);
    if (status == TROVE_OK)
        status = apply_numbers(numbers, sizeof numbers / sizeof numbers[0], "", raw, config, place, error);
    if (status == TROVE_OK)
        status = apply_pools(raw, &config->server.pools, place, error);
    return status == TROVE_OK ? apply_access(raw, config, place, error) : status;
}

/* Puts "NAME line N: " before a message. */
static trove_status place_error(trove_error *error, const char *name, unsigned line, trove_status status, const char *message) {
    if (line == 0)
        return tv_error_set(error, status, "%s: %s", name, message);
    return tv_error_set(error, status, "%s line %u: %s", name, line, message);
}

static trove_status parse_with(struct tvs_config_lines *lines, struct tvs_config *config, const char *name, const char *text,
                               size_t bytes, trove_error *error) {
    trove_error why;
    trove_status status = tvs_config_lines_read(text, bytes, lines, &why);
    if (status != TROVE_OK)
        return tv_error_set(error, status, "%s %s", name, why.message);
    char bad_key[TVS_CONFIG_PATH_BYTES_MAX] = "";
    struct tvs_config_raw *raw = NULL;
    status = tvs_config_raw_load(text, bytes, &raw, bad_key, &why);
    if (status != TROVE_OK)
        return place_error(error, name, tvs_config_line(lines, bad_key), status, why.message);
    /* A text of comments alone loads as nothing at all. */
    struct place place = {""};
    if (raw != NULL)
        status = apply(raw, config, &place, &why);
    tvs_config_raw_free(raw);
    return status == TROVE_OK ? TROVE_OK : place_error(error, name, tvs_config_line(lines, place.path), status, why.message);
}

trove_status tvs_config_parse(struct tvs_config *config, const char *name, const char *text, size_t bytes, trove_error *error) {
    struct tvs_config_lines *lines = malloc(sizeof *lines);
    if (lines == NULL)
        return TV_FAIL(error, RESOURCE_EXHAUSTED, "no memory to read the config %s", name);
    trove_status status = parse_with(lines, config, name, text, bytes, error);
    free(lines);
    return status;
}

/* ---- the file ---- */

/* Reads until the end, at most one byte more than is allowed: that byte tells that it is too much. A pipe will do. */
static trove_status read_all(int fd, const char *path, char *text, size_t *bytes, trove_error *error) {
    size_t used = 0;
    while (used <= FILE_BYTES_MAX) {
        ssize_t got = read(fd, text + used, FILE_BYTES_MAX + 1 - used);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return tv_error_errno(error, errno, "reading the config %s", path);
        if (got == 0) {
            *bytes = used;
            return TROVE_OK;
        }
        used += (size_t)got;
    }
    return TV_FAIL(error, INVALID_ARGUMENT, "the config %s is larger than 1 MiB; is it the right file?", path);
}

trove_status tvs_config_load(struct tvs_config *config, const char *path, trove_error *error) {
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return tv_error_errno(error, errno, "opening the config %s", path);
    char *text = malloc(FILE_BYTES_MAX + 1);
    size_t bytes = 0;
    trove_status status = text == NULL ? TV_FAIL(error, RESOURCE_EXHAUSTED, "no memory to read the config %s", path)
                                       : read_all(fd, path, text, &bytes, error);
    close(fd);
    if (status == TROVE_OK)
        status = tvs_config_parse(config, path, text, bytes, error);
    free(text);
    return status;
}

/* ---- the whole ---- */

void tvs_config_server(struct tvs_config *config) {
    struct tvs_server_options *server = &config->server;
    server->store = config->store;
    server->insecure = config->insecure;
    server->audit_log = config->audit_log;
    server->key_file = config->key_file;
    server->origins = (const char *const *)config->origins;
    server->origin_count = config->origin_count;
    server->access = (struct tvs_keyring_options){
        .authorized_keys = config->authorized_keys,
        .users = config->users,
        .user_count = config->user_count,
        .pools = &server->pools,
    };
}

trove_status tvs_config_check(const struct tvs_config *config, trove_error *error) {
    for (unsigned i = 0; i < config->listen_count; i++) {
        const char *url = config->listen[i];
        trove_error why;
        trove_status status = tv_url_check(url, TV_URL_TO_LISTEN, &why);
        if (status != TROVE_OK)
            return tv_error_set(error, status, "`listen`: %s", why.message);
        if (tv_url_is_network(url) && !config->insecure && (config->key_file == NULL || config->authorized_keys == NULL))
            return TV_FAIL(
                error, FAILED_PRECONDITION,
                "won't listen on %s: whoever can reach it could read, change and delete everything, for without keys there is "
                "neither authentication nor encryption on tcp:// and ws://. Listen on ipc:///PATH instead, give the config "
                "`key_file` and `authorized_keys`, or say --insecure (insecure: true in the config) where the network is closed "
                "to "
                "others",
                url);
    }
    trove_status status = TROVE_OK;
    for (uint32_t i = 0; i < config->server.pools.count && status == TROVE_OK; i++)
        status = tvs_pool_config_check(&config->server.pools.pools[i], config->server.memory_bytes, error);
    return status;
}
