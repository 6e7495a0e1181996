/* principal.c - see principal.h. */
#include "principal.h"

#include <string.h>

void tvs_principal_fini(struct tvs_principal *principal) {
    tvs_rights_release(principal->rights);
    memset(principal, 0, sizeof *principal);
}

bool tvs_principal_expired(const struct tvs_principal *principal, uint64_t now_ns) {
    return principal->expires_ns != 0 && now_ns >= principal->expires_ns;
}

/* The first right that is missing: one is enough to be told. */
static enum tvs_right missing(const struct tvs_principal *principal, unsigned wanted, const char *bucket, const char *prefix) {
    unsigned right = 1;
    while ((wanted & right) == 0 || tvs_rights_allow(principal->rights, right, bucket, prefix))
        right <<= 1;
    return (enum tvs_right)right;
}

trove_status tvs_principal_check(const struct tvs_principal *principal, unsigned wanted, const char *bucket, const char *prefix,
                                 trove_error *error) {
    if (tvs_rights_allow(principal->rights, wanted, bucket, prefix))
        return TROVE_OK;
    const char *right = tvs_right_name(missing(principal, wanted, bucket, prefix));
    if (bucket == NULL)
        return TV_FAIL(error, PERMISSION_DENIED, "%s doesn't have the right `%s` on the whole server", principal->name, right);
    if (prefix[0] == '\0')
        return TV_FAIL(error, PERMISSION_DENIED, "%s doesn't have the right `%s` on the whole of bucket %.63s", principal->name,
                       right, bucket);
    return TV_FAIL(error, PERMISSION_DENIED, "%s doesn't have the right `%s` on %.63s/%.200s", principal->name, right, bucket,
                   prefix);
}
