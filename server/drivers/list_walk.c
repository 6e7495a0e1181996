/* list_walk.c - see list_walk.h. */
#include "list_walk.h"

#include <string.h>

struct walk {
    const struct tvs_list_cursor *cursor;
    const struct tvs_list_query *query;
    size_t prefix_bytes;
    size_t delimiter_bytes;
    size_t after_bytes;
    char name[TV_KEY_BYTES_MAX + 2]; /* the present entry's, NUL-terminated; room to make a seek's target of it */
};

/* How long the common prefix of a key is that begins with the query's prefix; 0: it has none and is an entry itself. */
static size_t common_prefix_bytes(const struct walk *walk, const char *key, size_t key_bytes) {
    if (walk->delimiter_bytes == 0)
        return 0;
    const char *found =
        memmem(key + walk->prefix_bytes, key_bytes - walk->prefix_bytes, walk->query->delimiter, walk->delimiter_bytes);
    return found == NULL ? 0 : (size_t)(found - key) + walk->delimiter_bytes;
}

/* To the first key behind all that begin with these bytes. UTF-8 has no byte 0xFF, so adding one never carries. */
static void seek_past(struct walk *walk, const char *text, size_t bytes) {
    memmove(walk->name, text, bytes);
    TV_ASSERT(bytes > 0 && (unsigned char)walk->name[bytes - 1] != 0xFF);
    walk->name[bytes - 1] = (char)((unsigned char)walk->name[bytes - 1] + 1);
    walk->cursor->seek(walk->cursor->context, walk->name, bytes);
}

static void seek_start(struct walk *walk) {
    const struct tvs_list_query *query = walk->query;
    if (walk->after_bytes == 0 || strcmp(query->after, query->prefix) < 0) {
        walk->cursor->seek(walk->cursor->context, query->prefix, walk->prefix_bytes);
        return;
    }
    if (strncmp(query->after, query->prefix, walk->prefix_bytes) == 0) {
        size_t common = common_prefix_bytes(walk, query->after, walk->after_bytes);
        if (common > 0) {
            seek_past(walk, query->after, common);
            return;
        }
    }
    /* The next possible key behind `after` has a byte 1 more. */
    memcpy(walk->name, query->after, walk->after_bytes);
    walk->name[walk->after_bytes] = '\1';
    walk->cursor->seek(walk->cursor->context, walk->name, walk->after_bytes + 1);
}

/* The present key, if the query covers it; NULL: none does any more. One that can't be a key isn't the end but damage. */
static trove_status present(const struct walk *walk, const char **key_out, size_t *key_bytes, trove_error *error) {
    const char *key = walk->cursor->key(walk->cursor->context, key_bytes);
    if (key != NULL && (*key_bytes == 0 || *key_bytes > TV_KEY_BYTES_MAX))
        return TV_FAIL(error, DATA_LOSS, "the store's list of keys is damaged: one has %zu bytes", *key_bytes);
    bool covered = key != NULL && *key_bytes >= walk->prefix_bytes && memcmp(key, walk->query->prefix, walk->prefix_bytes) == 0;
    *key_out = covered ? key : NULL;
    return TROVE_OK;
}

trove_status tvs_list_walk(const struct tvs_list_cursor *cursor, const struct tvs_list_query *query, tvs_list_visit visit,
                           void *context, bool *more, trove_error *error) {
    struct walk walk = {
        .cursor = cursor,
        .query = query,
        .prefix_bytes = strlen(query->prefix),
        .delimiter_bytes = strlen(query->delimiter),
        .after_bytes = strlen(query->after),
    };
    if (walk.prefix_bytes > TV_KEY_BYTES_MAX || walk.after_bytes > TV_KEY_BYTES_MAX)
        return TV_FAIL(error, INVALID_ARGUMENT, "a listing's prefix and cursor have at most %d bytes, as keys do",
                       TV_KEY_BYTES_MAX);
    seek_start(&walk);
    uint32_t taken = 0;
    size_t key_bytes;
    const char *key = NULL;
    for (;;) {
        trove_status status = present(&walk, &key, &key_bytes, error);
        if (status != TROVE_OK)
            return status;
        if (key == NULL || taken == query->limit)
            break;
        size_t common = common_prefix_bytes(&walk, key, key_bytes);
        size_t name_bytes = common > 0 ? common : key_bytes;
        memcpy(walk.name, key, name_bytes);
        walk.name[name_bytes] = '\0';
        struct tvs_object object = {0};
        if (common == 0) {
            status = cursor->object(cursor->context, &object, error);
            if (status != TROVE_OK)
                return status;
            object.key = walk.name;
        }
        struct tvs_list_entry entry = {.key = walk.name, .is_prefix = common > 0, .object = common > 0 ? NULL : &object};
        if (!visit(context, &entry))
            break;
        taken++;
        if (common > 0)
            seek_past(&walk, walk.name, common);
        else
            cursor->next(cursor->context);
    }
    *more = key != NULL;
    return TROVE_OK;
}
