/* principal.h - who somebody is to the server, and what they may do. Threads: whoever has it; see rights.h for what it points to.
 *
 *   key:NAME    whoever has shown that they hold the private key of a line of authorized_keys
 *   uid:N       a user of this machine, over a unix socket
 *   anonymous   anybody at all, where the server was told that it may (insecure: true)
 */
#ifndef TVS_PRINCIPAL_H
#define TVS_PRINCIPAL_H

#include "pool_limits.h"
#include "rights.h"

#include <stdint.h>

#define TVS_PUBLIC_KEY_BYTES         32
#define TVS_KEY_NAME_BYTES_MAX       63
#define TVS_PRINCIPAL_NAME_BYTES     (sizeof "key:" + TVS_KEY_NAME_BYTES_MAX)
#define TVS_PRINCIPAL_NAME_ANONYMOUS "anonymous"

enum tvs_principal_kind {
    TVS_PRINCIPAL_NOBODY, /* not known (yet): may do nothing */
    TVS_PRINCIPAL_ANONYMOUS,
    TVS_PRINCIPAL_UID,
    TVS_PRINCIPAL_KEY,
};

struct tvs_principal {
    enum tvs_principal_kind kind;
    char name[TVS_PRINCIPAL_NAME_BYTES];
    struct tvs_rights *rights;      /* with a reference */
    uint64_t expires_ns;            /* since the epoch; 0: never */
    uint64_t quota_bytes;           /* that it may have stored; 0: any number */
    uint64_t bandwidth;             /* bytes a second of all its connections, both directions together; 0: no limit */
    char pool[TVS_POOL_NAME_BYTES]; /* that has all its streams; "": which one they ask for */
    /* how it is found again when the rights have been read anew */
    uint8_t public_key[TVS_PUBLIC_KEY_BYTES];
    uint64_t uid;
};

/* Of zeroed ones, too. */
void tvs_principal_fini(struct tvs_principal *principal);

bool tvs_principal_expired(const struct tvs_principal *principal, uint64_t now_ns);

/* PERMISSION_DENIED, with the same words whether there is such an object or not, unless tvs_rights_allow says yes. */
TROVE_WARN_UNUSED trove_status tvs_principal_check(const struct tvs_principal *principal, unsigned wanted, const char *bucket,
                                                   const char *prefix, trove_error *error);

#endif
