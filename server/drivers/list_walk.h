/* list_walk.h - one page of a listing over any ordered cursor: prefixes, delimiters, where to go on, whether more follows.
 *
 * An entry is an object's key or, with a delimiter, the part of keys up to it that they share behind the prefix. Entries come in
 * byte order, and an entry is listed when it is greater than `after`: so a page may end and the next begin at either kind. Keys
 * below a common prefix are jumped over with one seek, however many they are. Pure; used by all drivers that list.
 */
#ifndef TVS_LIST_WALK_H
#define TVS_LIST_WALK_H

#include "driver.h"

struct tvs_list_cursor {
    void *context;
    /* Moves to the first key that isn't less than these bytes. */
    void (*seek)(void *context, const char *key, size_t key_bytes);
    void (*next)(void *context);
    /* The present key; NULL at the end. Valid until the next move. */
    const char *(*key)(void *context, size_t *key_bytes);
    /* Describes the present key's object, valid until the next move; its key need not be set. */
    trove_status (*object)(void *context, struct tvs_object *object, trove_error *error);
};

/* Errors: INVALID_ARGUMENT (prefix, cursor), DATA_LOSS (a key that can't be one), and those of the cursor. */
trove_status tvs_list_walk(const struct tvs_list_cursor *cursor, const struct tvs_list_query *query, tvs_list_visit visit,
                           void *context, bool *more, trove_error *error);

#endif
