/* config_schema.c - see config_schema.h. Any thread.
 *
 * libcyaml tells what is wrong through its log alone: one line with the reason, then a backtrace of keys from the inside out. The
 * log function below turns them into a path and a message in the words of who writes configs.
 */
#include "config_schema.h"

#include "config.h"

#include <cyaml/cyaml.h>
#include <string.h>

#define TEXT_BYTES_MAX 4096
#define COUNT(array)   (sizeof(array) / sizeof(array)[0])

static const cyaml_strval_t booleans[] = {{"true", 1}, {"false", 0}};
static const cyaml_strval_t durabilities[] = {{"strict", TVS_DURABILITY_STRICT}, {"relaxed", TVS_DURABILITY_RELAXED}};
static const cyaml_strval_t log_levels[] = {
    {"debug", TVS_LOG_DEBUG}, {"info", TVS_LOG_INFO}, {"warn", TVS_LOG_WARN}, {"error", TVS_LOG_ERROR}};
static const cyaml_strval_t backpressures[] = {{"block", TROVE_BACKPRESSURE_BLOCK},
                                               {"drop", TROVE_BACKPRESSURE_DROP},
                                               {"buffer", TROVE_BACKPRESSURE_BUFFER},
                                               {"adaptive", TROVE_BACKPRESSURE_ADAPTIVE}};
static const cyaml_strval_t log_formats[] = {{"logfmt", TVS_LOG_LOGFMT}, {"json", TVS_LOG_JSON}};

static const cyaml_strval_t socket_modes[] = {{"0600", 0600}, {"0660", 0660}, {"0666", 0666}};

bool tvs_config_word(enum tvs_config_words words, const char *word, int *value) {
    static const struct {
        const cyaml_strval_t *words;
        size_t count;
    } tables[] = {
        [TVS_WORDS_BOOLEAN] = {booleans, COUNT(booleans)},
        [TVS_WORDS_DURABILITY] = {durabilities, COUNT(durabilities)},
        [TVS_WORDS_LOG_LEVEL] = {log_levels, COUNT(log_levels)},
        [TVS_WORDS_LOG_FORMAT] = {log_formats, COUNT(log_formats)},
        [TVS_WORDS_SOCKET_MODE] = {socket_modes, COUNT(socket_modes)},
    };
    for (size_t i = 0; i < tables[words].count; i++)
        if (strcmp(tables[words].words[i].str, word) == 0) {
            *value = (int)tables[words].words[i].val;
            return true;
        }
    return false;
}

/* ---- the schema ---- */

/* Every key may be missing; every value is a pointer, NULL where it is. */
#define KEY_FLAGS         (CYAML_FLAG_OPTIONAL | CYAML_FLAG_POINTER)
#define TEXT(key, member) CYAML_FIELD_STRING_PTR(key, KEY_FLAGS, struct tvs_config_raw, member, 1, TEXT_BYTES_MAX)
#define WORD(key, member, words)                                                                                                 \
    CYAML_FIELD_ENUM_PTR(key, KEY_FLAGS | CYAML_FLAG_STRICT, struct tvs_config_raw, member, words, COUNT(words))
/* A section's keys are written with their offsets in the whole, so the section itself begins at 0. */
#define SECTION(name, fields)                                                                                                    \
    {                                                                                                                            \
        .key = name, .data_offset = 0, .value = { CYAML_VALUE_MAPPING(CYAML_FLAG_OPTIONAL, struct tvs_config_raw, fields) }      \
    }

static const cyaml_schema_value_t list_text = {CYAML_VALUE_STRING(CYAML_FLAG_POINTER, char, 1, TEXT_BYTES_MAX)};

/* A pool's keys, in the section `pool` (whole is the config, at is "pool.") or in an entry of `pools`. */
#define POOL_TEXT(whole, at, key) CYAML_FIELD_STRING_PTR(#key, KEY_FLAGS, struct whole, at key, 1, TEXT_BYTES_MAX)
#define POOL_KEYS(whole, at)                                                                                                     \
    POOL_TEXT(whole, at, streams), POOL_TEXT(whole, at, chunk_size), POOL_TEXT(whole, at, channel_size),                         \
        POOL_TEXT(whole, at, buffers), POOL_TEXT(whole, at, memory), POOL_TEXT(whole, at, bandwidth),                            \
        POOL_TEXT(whole, at, stream_timeout), POOL_TEXT(whole, at, idle_timeout), POOL_TEXT(whole, at, min_rate),                \
        POOL_TEXT(whole, at, paused_timeout), POOL_TEXT(whole, at, credit_expiry),                                               \
        CYAML_FIELD_ENUM_PTR("backpressure", KEY_FLAGS | CYAML_FLAG_STRICT, struct whole, at backpressure, backpressures,        \
                             COUNT(backpressures)),                                                                              \
        CYAML_FIELD_END

static const cyaml_schema_field_t pool_keys[] = {POOL_KEYS(tvs_config_raw, pool.)};

static const cyaml_schema_field_t pool_entry_keys[] = {
    CYAML_FIELD_STRING_PTR("name", CYAML_FLAG_POINTER, struct tvs_config_raw_pool, name, 1, TEXT_BYTES_MAX),
    POOL_KEYS(tvs_config_raw_pool, ),
};

static const cyaml_schema_value_t pool_entry = {
    CYAML_VALUE_MAPPING(CYAML_FLAG_DEFAULT, struct tvs_config_raw_pool, pool_entry_keys)};

static const cyaml_schema_field_t user_keys[] = {
    CYAML_FIELD_STRING_PTR("uid", CYAML_FLAG_POINTER, struct tvs_config_raw_user, uid, 1, TEXT_BYTES_MAX),
    CYAML_FIELD_STRING_PTR("rights", CYAML_FLAG_POINTER, struct tvs_config_raw_user, rights, 1, TEXT_BYTES_MAX),
    CYAML_FIELD_STRING_PTR("quota", KEY_FLAGS, struct tvs_config_raw_user, quota, 1, TEXT_BYTES_MAX),
    CYAML_FIELD_STRING_PTR("bandwidth", KEY_FLAGS, struct tvs_config_raw_user, bandwidth, 1, TEXT_BYTES_MAX),
    CYAML_FIELD_STRING_PTR("pool", KEY_FLAGS, struct tvs_config_raw_user, pool, 1, TEXT_BYTES_MAX),
    CYAML_FIELD_END,
};

static const cyaml_schema_value_t user = {CYAML_VALUE_MAPPING(CYAML_FLAG_DEFAULT, struct tvs_config_raw_user, user_keys)};

static const cyaml_schema_field_t connection_keys[] = {
    TEXT("max", connections.max),
    TEXT("per_address", connections.per_address),
    TEXT("handshakes_per_address", connections.handshakes_per_address),
    TEXT("streams", connections.streams),
    TEXT("calls", connections.calls),
    TEXT("keepalive", connections.keepalive),
    TEXT("min_rate", connections.min_rate),
    TEXT("handshake_timeout", connections.handshake_timeout),
    TEXT("call_timeout", connections.call_timeout),
    CYAML_FIELD_END,
};

static const cyaml_schema_field_t upload_keys[] = {
    TEXT("idle_timeout", uploads.idle_timeout),
    TEXT("keep", uploads.keep),
    CYAML_FIELD_END,
};

static const cyaml_schema_field_t log_keys[] = {
    WORD("level", log.level, log_levels),
    WORD("format", log.format, log_formats),
    CYAML_FIELD_END,
};

static const cyaml_schema_field_t keys[] = {
    CYAML_FIELD_SEQUENCE("listen", KEY_FLAGS, struct tvs_config_raw, listen, &list_text, 1, TVS_LISTEN_MAX),
    WORD("insecure", insecure, booleans),
    TEXT("store", store),
    TEXT("store_memory", store_memory),
    TEXT("key_file", key_file),
    TEXT("authorized_keys", authorized_keys),
    CYAML_FIELD_SEQUENCE("users", KEY_FLAGS, struct tvs_config_raw, users, &user, 1, TVS_USERS_MAX),
    WORD("socket_mode", socket_mode, socket_modes),
    CYAML_FIELD_SEQUENCE("allow_origins", KEY_FLAGS, struct tvs_config_raw, allow_origins, &list_text, 1, TVS_ORIGINS_MAX),
    TEXT("audit_log", audit_log),
    WORD("durability", durability, durabilities),
    TEXT("memory", memory),
    TEXT("workers", workers),
    SECTION("pool", pool_keys),
    CYAML_FIELD_SEQUENCE("pools", KEY_FLAGS, struct tvs_config_raw, pools, &pool_entry, 1, TVS_POOLS_MAX - 1),
    SECTION("connections", connection_keys),
    SECTION("uploads", upload_keys),
    SECTION("log", log_keys),
    TEXT("drain_timeout", drain_timeout),
    CYAML_FIELD_END,
};

static const cyaml_schema_value_t whole = {CYAML_VALUE_MAPPING(CYAML_FLAG_POINTER, struct tvs_config_raw, keys)};

/* ---- what libcyaml says ---- */

/* What sscanf reads below is as wide as the variables that it goes to. */
_Static_assert(TVS_CONFIG_PATH_BYTES_MAX == 95 + 1, "the patterns say %95[");

struct report {
    char reason[256];
    char path[TVS_CONFIG_PATH_BYTES_MAX]; /* of the place where it stopped, from the outside in */
};

/* The backtrace comes from the inside out: each part goes before what is there. */
static void prepend(struct report *report, const char *part) {
    char inner[sizeof report->path];
    memcpy(inner, report->path, sizeof inner);
    const char *dot = inner[0] != '\0' && inner[0] != '[' ? "." : "";
    /* Keys beyond the path's size have been refused by the walk before; cutting would cost the line number alone. */
    int written = snprintf(report->path, sizeof report->path, "%s%s%s", part, dot, inner);
    if (written < 0 || (size_t)written >= sizeof report->path)
        report->path[0] = '\0';
}

__attribute__((format(printf, 3, 0))) static void on_log(cyaml_log_t level, void *context, const char *format,
                                                         va_list arguments) {
    struct report *report = context;
    char line[256];
    char key[TVS_CONFIG_PATH_BYTES_MAX];
    unsigned entry;
    if (level < CYAML_LOG_ERROR)
        return;
    vsnprintf(line, sizeof line, format, arguments);
    line[strcspn(line, "\n")] = '\0';
    if (sscanf(line, "  in mapping field '%95[^']'", key) == 1) {
        prepend(report, key);
    } else if (sscanf(line, "  in sequence entry '%u'", &entry) == 1 && entry > 0) {
        snprintf(key, sizeof key, "[%u]", entry - 1); /* libcyaml counts from 1 */
        prepend(report, key);
    } else if (report->reason[0] == '\0' && strncmp(line, "Load: ", 6) == 0 && strcmp(line, "Load: Backtrace:") != 0) {
        snprintf(report->reason, sizeof report->reason, "%s", line + 6);
    }
}

/* The key at the beginning of `path`, without the number that tells an entry of its list. */
static const cyaml_schema_field_t *find_key(const cyaml_schema_field_t *fields, const char *path) {
    size_t bytes = strcspn(path, ".[");
    while (fields->key != NULL && (strncmp(fields->key, path, bytes) != 0 || fields->key[bytes] != '\0'))
        fields++;
    return fields->key != NULL ? fields : NULL;
}

/* The keys that may stand in a section, or in an entry of a list; NULL where it has none. */
static const cyaml_schema_field_t *keys_in(const cyaml_schema_field_t *field) {
    const cyaml_schema_value_t *value = field->value.type == CYAML_SEQUENCE ? field->value.sequence.entry : &field->value;
    return value->type == CYAML_MAPPING ? value->mapping.fields : NULL;
}

/* The field that stands at `path`, such as "pools[1].streams"; NULL for the whole file. For an entry of a list: the list. */
static const cyaml_schema_field_t *find(const char *path) {
    const cyaml_schema_field_t *fields = keys;
    for (;;) {
        const cyaml_schema_field_t *field = find_key(fields, path);
        path += strcspn(path, ".");
        if (field == NULL || *path == '\0')
            return field;
        fields = keys_in(field);
        if (fields == NULL)
            return NULL;
        path++;
    }
}

static void append(char *text, size_t room, const char *word) {
    size_t used = strlen(text);
    snprintf(text + used, room - used, "%s%s", used > 0 ? ", " : "", word);
}

static trove_status unknown_key(struct report *report, const char *key, trove_error *error) {
    const cyaml_schema_field_t *section = report->path[0] != '\0' ? find(report->path) : NULL;
    const cyaml_schema_field_t *fields = section != NULL ? keys_in(section) : keys;
    char known[256] = "";
    for (; fields != NULL && fields->key != NULL; fields++)
        append(known, sizeof known, fields->key);
    char section_path[sizeof report->path];
    memcpy(section_path, report->path, sizeof section_path);
    report->path[0] = '\0';
    prepend(report, key);
    if (section_path[0] != '\0')
        prepend(report, section_path);
    return TV_FAIL(error, INVALID_ARGUMENT, "unknown key `%s`; known here: %s", report->path, known);
}

static trove_status missing_key(struct report *report, const char *key, trove_error *error) {
    char *entry_end = strrchr(report->path, ']');
    if (entry_end != NULL) /* it stopped at the entry's last key */
        entry_end[1] = '\0';
    return TV_FAIL(error, INVALID_ARGUMENT, "`%s` has no `%s`; it must have one", report->path, key);
}

static trove_status unknown_word(const struct report *report, const char *word, trove_error *error) {
    const cyaml_schema_field_t *field = find(report->path);
    char allowed[128] = "";
    for (uint32_t i = 0; field != NULL && i < field->value.enumeration.count; i++)
        append(allowed, sizeof allowed, field->value.enumeration.strings[i].str);
    return TV_FAIL(error, INVALID_ARGUMENT, "`%s` is \"%.40s\"; allowed are: %s", report->path, word, allowed);
}

static trove_status wrong_type(const struct report *report, const char *expected, trove_error *error) {
    if (report->path[0] == '\0')
        return TV_FAIL(error, INVALID_ARGUMENT, "this is no config: it must consist of lines like `key: value`");
    const char *form = "one plain value";
    if (strcmp(expected, "SEQUENCE") == 0)
        form = "a list: one entry a line, each after a dash";
    else if (strcmp(expected, "MAPPING") == 0)
        form = "a section: keys of its own, indented, on the lines below it";
    return TV_FAIL(error, INVALID_ARGUMENT, "`%s` must be %s", report->path, form);
}

static trove_status explain(struct report *report, cyaml_err_t code, trove_error *error) {
    char word[TVS_CONFIG_PATH_BYTES_MAX];
    if (code == CYAML_ERR_OOM)
        return TV_FAIL(error, RESOURCE_EXHAUSTED, "no memory to read the config");
    if (sscanf(report->reason, "Unexpected key: %95[^\n]", word) == 1)
        return unknown_key(report, word, error);
    if (sscanf(report->reason, "Missing required mapping field: %95[^\n]", word) == 1)
        return missing_key(report, word, error);
    if (sscanf(report->reason, "Invalid ENUM value: %95[^\n]", word) == 1)
        return unknown_word(report, word, error);
    if (sscanf(report->reason, "Expecting %31[A-Z_],", word) == 1)
        return wrong_type(report, word, error);
    if (code == CYAML_ERR_STRING_LENGTH_MIN || code == CYAML_ERR_SEQUENCE_ENTRIES_MIN)
        return TV_FAIL(error, INVALID_ARGUMENT, "`%s` is empty; give it a value or leave the key out", report->path);
    if (code == CYAML_ERR_STRING_LENGTH_MAX)
        return TV_FAIL(error, INVALID_ARGUMENT, "`%s` is longer than %d bytes", report->path, TEXT_BYTES_MAX);
    if (code == CYAML_ERR_SEQUENCE_ENTRIES_MAX) {
        report->path[strcspn(report->path, "[")] = '\0'; /* it stopped at an entry, but the list is to blame */
        const cyaml_schema_field_t *list = find(report->path);
        return TV_FAIL(error, INVALID_ARGUMENT, "`%s` has more than %u entries", report->path,
                       list != NULL ? list->value.sequence.max : 0);
    }
    return TV_FAIL(error, INVALID_ARGUMENT, "`%s`: %s", report->path, cyaml_strerror(code));
}

static cyaml_config_t cyaml_config(struct report *report) {
    return (cyaml_config_t){
        .log_fn = on_log,
        .log_ctx = report,
        .log_level = CYAML_LOG_ERROR,
        .mem_fn = cyaml_mem,
        .flags = CYAML_CFG_NO_ALIAS,
    };
}

trove_status tvs_config_raw_load(const char *text, size_t bytes, struct tvs_config_raw **raw,
                                 char bad_key[static TVS_CONFIG_PATH_BYTES_MAX], trove_error *error) {
    struct report report = {.reason = "", .path = ""};
    const cyaml_config_t config = cyaml_config(&report);
    cyaml_data_t *data = NULL;
    cyaml_err_t code = cyaml_load_data((const uint8_t *)text, bytes, &config, &whole, &data, NULL);
    if (code != CYAML_OK) {
        trove_status status = explain(&report, code, error);
        memcpy(bad_key, report.path, sizeof report.path);
        return status;
    }
    *raw = data;
    return TROVE_OK;
}

void tvs_config_raw_free(struct tvs_config_raw *raw) {
    struct report report = {.reason = "", .path = ""};
    const cyaml_config_t config = cyaml_config(&report);
    cyaml_free(&config, &whole, raw, 0);
}
