/* authorized_keys.c - see authorized_keys.h. */
#include "authorized_keys.h"

#include "units.h"

#include <sodium.h>
#include <string.h>
#include <time.h>

#define BLANKS         " \t"
#define KEY_TEXT_BYTES 44 /* base64 of 32 bytes */
#define NAME_CHARS     "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._@-"

/* One that is being read, with the lines of those before it. */
struct reading {
    struct tvs_authorized_keys *keys;
    unsigned *lines; /* by position in the list, while that isn't sorted */
    size_t capacity;
};

/* ---- one line ---- */

static trove_status parse_name(const char *word, struct tvs_principal *key, trove_error *error) {
    size_t bytes = strlen(word);
    if (bytes > TVS_KEY_NAME_BYTES_MAX || strspn(word, NAME_CHARS) != bytes)
        return TV_FAIL(error, INVALID_ARGUMENT, "\"%.80s\" is no name; it has 1 to %d of A-Z, a-z, 0-9, '.', '_', '@' and '-'",
                       word, TVS_KEY_NAME_BYTES_MAX);
    snprintf(key->name, sizeof key->name, "key:%s", word);
    return TROVE_OK;
}

static trove_status parse_key(const char *word, struct tvs_principal *key, trove_error *error) {
    size_t bytes = 0;
    if (strlen(word) != KEY_TEXT_BYTES ||
        sodium_base642bin(key->public_key, sizeof key->public_key, word, KEY_TEXT_BYTES, NULL, &bytes, NULL,
                          sodium_base64_VARIANT_ORIGINAL) != 0 ||
        bytes != sizeof key->public_key)
        return TV_FAIL(error, INVALID_ARGUMENT, "the second word is no public key; that is base64 of 32 bytes, in %d characters",
                       KEY_TEXT_BYTES);
    return TROVE_OK;
}

static trove_status parse_expires(const char *text, struct tvs_principal *key, trove_error *error) {
    struct tm when = {0};
    const char *end = strptime(text, "%Y-%m-%dT%H:%M:%SZ", &when);
    char again[32] = "";
    if (end == NULL) {
        memset(&when, 0, sizeof when);
        end = strptime(text, "%Y-%m-%d", &when);
        strftime(again, sizeof again, "%Y-%m-%d", &when);
    } else {
        strftime(again, sizeof again, "%Y-%m-%dT%H:%M:%SZ", &when);
    }
    /* strptime also takes fewer digits, and the 31st of a month that has 30: those don't come out as they went in. */
    struct tm normal = when;
    time_t seconds = end != NULL && *end == '\0' ? timegm(&normal) : -1;
    if (seconds <= 0 || strcmp(again, text) != 0 || normal.tm_mday != when.tm_mday || normal.tm_sec != when.tm_sec)
        return TV_FAIL(error, INVALID_ARGUMENT, "expires=%.40s is no time; write 2027-01-31 or 2027-01-31T12:00:00Z", text);
    key->expires_ns = (uint64_t)seconds * 1000000000;
    return TROVE_OK;
}

static trove_status parse_quota(const char *text, struct tvs_principal *key, trove_error *error) {
    trove_error why;
    trove_status status = tvs_parse_bytes(text, &key->quota_bytes, &why);
    if (status == TROVE_OK && key->quota_bytes == 0)
        status = TV_FAIL(&why, INVALID_ARGUMENT, "0 would allow nothing; leave it out for no limit");
    return status == TROVE_OK ? status : tv_error_set(error, status, "quota: %s", why.message);
}

static trove_status parse_bandwidth(const char *text, struct tvs_principal *key, trove_error *error) {
    trove_error why;
    trove_status status = tvs_parse_bytes(text, &key->bandwidth, &why);
    if (status == TROVE_OK && (key->bandwidth < TVS_BANDWIDTH_MIN || key->bandwidth > TVS_BANDWIDTH_MAX))
        status =
            TV_FAIL(&why, INVALID_ARGUMENT, "%.40s; 1KiB to 1024GiB a second are allowed, or leave it out for no limit", text);
    return status == TROVE_OK ? status : tv_error_set(error, status, "bandwidth: %s", why.message);
}

static trove_status parse_pool(const char *text, struct tvs_principal *key, trove_error *error) {
    if (!tvs_pool_name_valid(text))
        return TV_FAIL(error, INVALID_ARGUMENT, "pool=%.80s: a pool's name has 1 to %d of a-z, 0-9, _ and -", text,
                       TVS_POOL_NAME_BYTES - 1);
    snprintf(key->pool, sizeof key->pool, "%s", text);
    return TROVE_OK;
}

/* The part of a word behind "OPTION="; NULL: it is another one. */
static const char *option(const char *word, const char *name) {
    size_t bytes = strlen(name);
    return strncmp(word, name, bytes) == 0 && word[bytes] == '=' ? word + bytes + 1 : NULL;
}

/* *is_option stays false for a word that is one of rights. */
static trove_status parse_option(const char *word, struct tvs_principal *key, bool *is_option, trove_error *error) {
    const char *value;
    bool twice = false;
    trove_status status = TROVE_OK;
    *is_option = true;
    if ((value = option(word, "expires")) != NULL) {
        twice = key->expires_ns != 0;
        status = parse_expires(value, key, error);
    } else if ((value = option(word, "quota")) != NULL) {
        twice = key->quota_bytes != 0;
        status = parse_quota(value, key, error);
    } else if ((value = option(word, "bandwidth")) != NULL) {
        twice = key->bandwidth != 0;
        status = parse_bandwidth(value, key, error);
    } else if ((value = option(word, "pool")) != NULL) {
        twice = key->pool[0] != '\0';
        status = parse_pool(value, key, error);
    } else {
        *is_option = false;
    }
    return twice ? TV_FAIL(error, INVALID_ARGUMENT, "\"%.80s\": this option is there already", word) : status;
}

/* Cuts the next word off, which a comment ends; NULL: there is none. */
static char *next_word(char **at) {
    char *word = *at + strspn(*at, BLANKS);
    if (*word == '\0' || *word == '#')
        return NULL;
    size_t bytes = strcspn(word, BLANKS);
    *at = word + bytes;
    if (word[bytes] != '\0')
        *(*at)++ = '\0';
    return word;
}

static trove_status parse_rest(char *line, struct tvs_principal *key, trove_error *error) {
    char grants[TVS_RIGHTS_TEXT_BYTES_MAX + 1];
    size_t used = 0;
    grants[0] = '\0';
    for (char *word; (word = next_word(&line)) != NULL;) {
        bool is_option;
        trove_status status = parse_option(word, key, &is_option, error);
        if (status != TROVE_OK)
            return status;
        if (is_option)
            continue;
        if (strlen(word) + 2 > sizeof grants - used)
            return TV_FAIL(error, INVALID_ARGUMENT, "rights of more than %d bytes", TVS_RIGHTS_TEXT_BYTES_MAX);
        used += (size_t)snprintf(grants + used, sizeof grants - used, "%s ", word);
    }
    return tvs_rights_parse(grants, &key->rights, error);
}

static trove_status parse_words(const char *name_word, char *line, struct tvs_principal *key, trove_error *error) {
    key->kind = TVS_PRINCIPAL_KEY;
    trove_status status = parse_name(name_word, key, error);
    char *key_word = next_word(&line);
    if (status == TROVE_OK && key_word == NULL)
        status = TV_FAIL(error, INVALID_ARGUMENT, "there is no public key behind the name \"%s\"", name_word);
    if (status == TROVE_OK)
        status = parse_key(key_word, key, error);
    return status == TROVE_OK ? parse_rest(line, key, error) : status;
}

/* ---- the whole ---- */

static trove_status check_new(const struct reading *reading, const struct tvs_principal *key, trove_error *error) {
    for (size_t i = 0; i < reading->keys->count; i++) {
        const struct tvs_principal *other = &reading->keys->list[i];
        if (strcmp(other->name, key->name) == 0)
            return TV_FAIL(error, INVALID_ARGUMENT, "the name \"%s\" is there already, in line %u", key->name + strlen("key:"),
                           reading->lines[i]);
        if (memcmp(other->public_key, key->public_key, sizeof key->public_key) == 0)
            return TV_FAIL(error, INVALID_ARGUMENT, "this public key is there already, in line %u", reading->lines[i]);
    }
    return TROVE_OK;
}

static trove_status make_room(struct reading *reading, trove_error *error) {
    struct tvs_authorized_keys *keys = reading->keys;
    if (keys->count == TVS_AUTHORIZED_KEYS_MAX)
        return TV_FAIL(error, INVALID_ARGUMENT, "more than %d keys", TVS_AUTHORIZED_KEYS_MAX);
    if (keys->count < reading->capacity)
        return TROVE_OK;
    size_t capacity = reading->capacity > 0 ? reading->capacity * 2 : 16;
    struct tvs_principal *list = reallocarray(keys->list, capacity, sizeof *list);
    if (list != NULL)
        keys->list = list;
    unsigned *lines = reallocarray(reading->lines, capacity, sizeof *lines);
    if (lines != NULL)
        reading->lines = lines;
    if (list == NULL || lines == NULL)
        return TV_FAIL(error, RESOURCE_EXHAUSTED, "no memory for %zu keys", capacity);
    reading->capacity = capacity;
    return TROVE_OK;
}

static trove_status add_line(struct reading *reading, char *line, unsigned number, trove_error *error) {
    char *name_word = next_word(&line);
    if (name_word == NULL)
        return TROVE_OK;
    trove_status status = make_room(reading, error);
    if (status != TROVE_OK)
        return status;
    struct tvs_principal key = {.rights = NULL};
    status = parse_words(name_word, line, &key, error);
    if (status == TROVE_OK)
        status = check_new(reading, &key, error);
    if (status != TROVE_OK) {
        tvs_principal_fini(&key);
        return status;
    }
    reading->lines[reading->keys->count] = number;
    reading->keys->list[reading->keys->count++] = key;
    return TROVE_OK;
}

/* `text` is cut up. */
static trove_status add_lines(struct reading *reading, const char *name, char *text, char *end, trove_error *error) {
    for (unsigned number = 1; text < end; number++) {
        char *line_end = memchr(text, '\n', (size_t)(end - text));
        line_end = line_end != NULL ? line_end : end;
        trove_error why;
        trove_status status = TROVE_OK;
        for (const char *at = text; at < line_end && status == TROVE_OK; at++)
            if (((unsigned char)*at < ' ' && *at != '\t') || *at == 0x7F)
                status = TV_FAIL(&why, INVALID_ARGUMENT, "a control character (%02X) in column %zu", (unsigned char)*at,
                                 (size_t)(at - text) + 1);
        *line_end = '\0';
        if (status == TROVE_OK)
            status = add_line(reading, text, number, &why);
        if (status != TROVE_OK)
            return tv_error_set(error, status, "%s line %u: %s", name, number, why.message);
        text = line_end + 1;
    }
    return TROVE_OK;
}

static int compare(const void *left, const void *right) {
    return memcmp(((const struct tvs_principal *)left)->public_key, ((const struct tvs_principal *)right)->public_key,
                  TVS_PUBLIC_KEY_BYTES);
}

trove_status tvs_authorized_keys_parse(const char *name, const char *text, size_t bytes, struct tvs_authorized_keys *keys,
                                       trove_error *error) {
    *keys = (struct tvs_authorized_keys){.count = 0};
    if (bytes > TVS_AUTHORIZED_KEYS_BYTES_MAX)
        return TV_FAIL(error, INVALID_ARGUMENT, "%s is larger than %zu bytes; is it the right file?", name,
                       TVS_AUTHORIZED_KEYS_BYTES_MAX);
    char *copy = malloc(bytes + 1);
    if (copy == NULL)
        return TV_FAIL(error, RESOURCE_EXHAUSTED, "no memory to read %s", name);
    if (bytes > 0)
        memcpy(copy, text, bytes);
    struct reading reading = {.keys = keys};
    trove_status status = add_lines(&reading, name, copy, copy + bytes, error);
    free(copy);
    free(reading.lines);
    if (status != TROVE_OK)
        tvs_authorized_keys_fini(keys);
    else if (keys->count > 0)
        qsort(keys->list, keys->count, sizeof *keys->list, compare);
    return status;
}

void tvs_authorized_keys_fini(struct tvs_authorized_keys *keys) {
    for (size_t i = 0; i < keys->count; i++)
        tvs_principal_fini(&keys->list[i]);
    free(keys->list);
    *keys = (struct tvs_authorized_keys){.count = 0};
}

const struct tvs_principal *tvs_authorized_keys_find(const struct tvs_authorized_keys *keys,
                                                     const uint8_t public_key[TVS_PUBLIC_KEY_BYTES]) {
    struct tvs_principal wanted;
    memcpy(wanted.public_key, public_key, sizeof wanted.public_key);
    return keys->count > 0 ? bsearch(&wanted, keys->list, keys->count, sizeof *keys->list, compare) : NULL;
}
