/* keys.c - key files for programs. See trove.h; the rest is in common/key_file.c. */
#include "key_file.h"

#include <string.h>

_Static_assert(TROVE_KEY_TEXT_BYTES == TV_KEY_TEXT_BYTES, "one form of keys as text");

static trove_status check(const char *path, const char *text, trove_error *error) {
    if (path == NULL || text == NULL)
        return TV_FAIL(error, INVALID_ARGUMENT, "the %s is NULL", path == NULL ? "key file's path" : "place for the public key");
    return TROVE_OK;
}

trove_status trove_key_create(const char *path, char public_key[TROVE_KEY_TEXT_BYTES], trove_error *error) {
    trove_status status = check(path, public_key, error);
    return status == TROVE_OK ? tv_key_create(path, public_key, error) : status;
}

trove_status trove_key_public(const char *path, char public_key[TROVE_KEY_TEXT_BYTES], trove_error *error) {
    struct tv_key *key = NULL;
    trove_status status = check(path, public_key, error);
    if (status == TROVE_OK)
        status = tv_key_load(path, &key, error);
    if (status != TROVE_OK)
        return status;
    tv_key_format(key->public_key, public_key);
    tv_key_destroy(key);
    return TROVE_OK;
}
