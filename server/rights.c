/* rights.c - see rights.h. Pure but for the counter. */
#include "rights.h"

#include "bounds.h"
#include "names.h"
#include "utf8.h"

#include <ctype.h>
#include <stdatomic.h>
#include <string.h>

#define BLANKS " \t"

struct grant {
    unsigned rights;
    const char *bucket; /* NULL: all */
    const char *prefix;
};

/* One block: grants, then the strings that they point to. */
struct tvs_rights {
    atomic_uint references;
    size_t count;
    struct grant grants[TVS_GRANTS_MAX];
    size_t used;
    char texts[];
};

static const struct {
    const char *name;
    unsigned rights;
} words[] = {
    {"read", TVS_RIGHT_READ}, {"write", TVS_RIGHT_WRITE}, {"delete", TVS_RIGHT_DELETE},
    {"list", TVS_RIGHT_LIST}, {"admin", TVS_RIGHT_ADMIN}, {"all", TVS_RIGHTS_ALL},
};

const char *tvs_right_name(enum tvs_right right) {
    size_t i = 0;
    while (words[i].rights != right && words[i].rights != TVS_RIGHTS_ALL)
        i++;
    return words[i].name;
}

/* ---- from text ---- */

#define WORD_COUNT (sizeof words / sizeof words[0])

/* WORD_COUNT: it is none. */
static size_t find_word(const char *text, size_t bytes) {
    size_t i = 0;
    while (i < WORD_COUNT && (strlen(words[i].name) != bytes || memcmp(words[i].name, text, bytes) != 0))
        i++;
    return i;
}

static trove_status parse_words(const char *text, size_t bytes, unsigned *rights, trove_error *error) {
    for (const char *end = text + bytes;; text++) {
        const char *comma = memchr(text, ',', (size_t)(end - text));
        size_t word_bytes = (size_t)((comma != NULL ? comma : end) - text);
        size_t i = find_word(text, word_bytes);
        if (i == WORD_COUNT)
            return TV_FAIL(error, INVALID_ARGUMENT, "\"%.*s\" is no right; there are read, write, delete, list, admin and all",
                           (int)(word_bytes < 80 ? word_bytes : 80), text);
        *rights |= words[i].rights;
        if (comma == NULL)
            return TROVE_OK;
        text = comma;
    }
}

static int hex_digit(char digit) {
    if (digit >= '0' && digit <= '9')
        return digit - '0';
    return digit >= 'A' && digit <= 'F' ? digit - 'A' + 10 : -1;
}

/* A prefix is as long as a key at most, and text as a key is. */
static trove_status unescape(const char *text, size_t bytes, char *out, trove_error *error) {
    size_t used = 0;
    for (size_t i = 0; i < bytes; i++) {
        unsigned char byte = (unsigned char)text[i];
        if (byte == '%') {
            int high = i + 2 < bytes ? hex_digit(text[i + 1]) : -1;
            int low = high >= 0 ? hex_digit(text[i + 2]) : -1;
            if (low < 0 || high * 16 + low == 0)
                return TV_FAIL(error, INVALID_ARGUMENT, "a prefix with a '%%' that isn't followed by two digits of 0-9 and A-F");
            byte = (unsigned char)(high * 16 + low);
            i += 2;
        } else if (iscntrl(byte)) {
            return TV_FAIL(error, INVALID_ARGUMENT, "a prefix with a control character; write it as %%%02X", byte);
        }
        out[used++] = (char)byte;
    }
    out[used] = '\0';
    if (used > TV_KEY_BYTES_MAX)
        return TV_FAIL(error, INVALID_ARGUMENT, "a prefix of %zu bytes; a key has at most %d", used, TV_KEY_BYTES_MAX);
    return tv_utf8_valid(out, used) ? TROVE_OK : TV_FAIL(error, INVALID_ARGUMENT, "a prefix that isn't UTF-8");
}

/* "read:media/a,write:media/b" is meant as two grants, and would be one of an odd prefix. */
static bool holds_a_grant(const char *prefix, size_t bytes) {
    const char *end = prefix + bytes;
    for (const char *at = prefix; (at = memchr(at, ',', (size_t)(end - at))) != NULL;) {
        at++;
        const char *colon = memchr(at, ':', (size_t)(end - at));
        if (colon != NULL && find_word(at, (size_t)(colon - at)) != WORD_COUNT)
            return true;
    }
    return false;
}

/* What was written at the end of the texts stays there. */
static const char *keep(struct tvs_rights *rights, size_t bytes) {
    const char *kept = rights->texts + rights->used;
    rights->used += bytes + 1;
    return kept;
}

static trove_status parse_place(struct tvs_rights *rights, const char *text, size_t bytes, struct grant *grant,
                                trove_error *error) {
    const char *slash = memchr(text, '/', bytes);
    size_t bucket_bytes = slash != NULL ? (size_t)(slash - text) : bytes;
    char *at = rights->texts + rights->used;
    memcpy(at, text, bucket_bytes);
    at[bucket_bytes] = '\0';
    trove_status status = tv_bucket_check(at, error);
    if (status != TROVE_OK)
        return status;
    grant->bucket = keep(rights, bucket_bytes);
    if (slash == NULL)
        return TROVE_OK;
    if (holds_a_grant(slash + 1, bytes - bucket_bytes - 1))
        return TV_FAIL(error, INVALID_ARGUMENT,
                       "a comma stands between rights; between grants it is a space (and in a prefix %%2C)");
    char *prefix = rights->texts + rights->used;
    status = unescape(slash + 1, bytes - bucket_bytes - 1, prefix, error);
    grant->prefix = status == TROVE_OK ? keep(rights, strlen(prefix)) : "";
    return status;
}

static trove_status parse_grant(struct tvs_rights *rights, const char *text, size_t bytes, trove_error *error) {
    if (rights->count == TVS_GRANTS_MAX)
        return TV_FAIL(error, INVALID_ARGUMENT, "more than %d grants", TVS_GRANTS_MAX);
    struct grant *grant = &rights->grants[rights->count];
    *grant = (struct grant){.prefix = ""};
    const char *colon = memchr(text, ':', bytes);
    size_t words_bytes = colon != NULL ? (size_t)(colon - text) : bytes;
    trove_error why;
    trove_status status = parse_words(text, words_bytes, &grant->rights, &why);
    if (status == TROVE_OK && colon != NULL)
        status = parse_place(rights, colon + 1, bytes - words_bytes - 1, grant, &why);
    if (status != TROVE_OK)
        return tv_error_set(error, status, "grant \"%.*s\": %s", (int)(bytes < 120 ? bytes : 120), text, why.message);
    rights->count++;
    return TROVE_OK;
}

trove_status tvs_rights_parse(const char *text, struct tvs_rights **rights_out, trove_error *error) {
    size_t bytes = strlen(text);
    if (bytes > TVS_RIGHTS_TEXT_BYTES_MAX)
        return TV_FAIL(error, INVALID_ARGUMENT, "rights of %zu bytes; at most %d are taken", bytes, TVS_RIGHTS_TEXT_BYTES_MAX);
    /* Bucket and prefix with a NUL each are as long as ":BUCKET/PREFIX", what they are read from. */
    struct tvs_rights *rights = calloc(1, sizeof *rights + bytes + 1);
    if (rights == NULL)
        return TV_FAIL(error, RESOURCE_EXHAUSTED, "no memory for rights");
    atomic_init(&rights->references, 1);
    trove_status status = TROVE_OK;
    for (text += strspn(text, BLANKS); *text != '\0' && status == TROVE_OK; text += strspn(text, BLANKS)) {
        size_t grant_bytes = strcspn(text, BLANKS);
        status = parse_grant(rights, text, grant_bytes, error);
        text += grant_bytes;
    }
    if (status == TROVE_OK && rights->count == 0)
        status = TV_FAIL(error, INVALID_ARGUMENT, "no rights are named; say read, write, delete, list, admin or all");
    if (status != TROVE_OK) {
        free(rights);
        return status;
    }
    *rights_out = rights;
    return TROVE_OK;
}

/* ---- life ---- */

struct tvs_rights *tvs_rights_acquire(struct tvs_rights *rights) {
    if (rights != NULL)
        atomic_fetch_add_explicit(&rights->references, 1, memory_order_relaxed);
    return rights;
}

void tvs_rights_release(struct tvs_rights *rights) {
    if (rights != NULL && atomic_fetch_sub_explicit(&rights->references, 1, memory_order_acq_rel) == 1)
        free(rights);
}

/* ---- asking ---- */

static bool covers(const struct grant *grant, const char *bucket, const char *prefix) {
    if (grant->bucket == NULL)
        return true;
    return bucket != NULL && strcmp(grant->bucket, bucket) == 0 && strncmp(grant->prefix, prefix, strlen(grant->prefix)) == 0;
}

bool tvs_rights_allow(const struct tvs_rights *rights, unsigned wanted, const char *bucket, const char *prefix) {
    for (size_t i = 0; rights != NULL && i < rights->count && wanted != 0; i++)
        if (covers(&rights->grants[i], bucket, prefix))
            wanted &= ~rights->grants[i].rights;
    return wanted == 0;
}

bool tvs_rights_touch(const struct tvs_rights *rights, unsigned any_of, const char *bucket) {
    for (size_t i = 0; rights != NULL && i < rights->count; i++) {
        const struct grant *grant = &rights->grants[i];
        bool here = grant->bucket == NULL || strcmp(grant->bucket, bucket) == 0;
        if (here && (grant->rights & any_of) != 0)
            return true;
    }
    return false;
}
