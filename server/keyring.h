/* keyring.h - who is known to the server, and as what: public keys from the file authorized_keys, users of this machine from the
 * config.
 *
 * The server's own user and root may do everything over a unix socket, unless the config says otherwise of them; other users what
 * the config says, which is nothing by default. The overflow uid, as which the kernel shows everybody that has no name in the
 * server's user namespace, is nobody.
 * Threads: create, reload and destroy by one thread (main); asking from any. What is found is the asker's, with a reference to
 * its rights: a reload changes nothing about it (tvs_session_reauthorize asks again).
 */
#ifndef TVS_KEYRING_H
#define TVS_KEYRING_H

#include "principal.h"

#include <stddef.h>

/* Entries of `users` in the config. */
#define TVS_USERS_MAX 64

struct tvs_pool_set;

struct tvs_user {
    uint32_t uid;
    char *rights; /* as in rights.h; owned by the config */
    uint64_t quota_bytes;
    uint64_t bandwidth;             /* bytes a second; 0: no limit */
    char pool[TVS_POOL_NAME_BYTES]; /* "": none in particular */
};

struct tvs_keyring_options {
    const char *authorized_keys; /* path; NULL: no keys */
    const struct tvs_user *users;
    size_t user_count;
    const struct tvs_pool_set *pools; /* that keys may be bound to; NULL: any */
};

struct tvs_keyring;

/* Reads the file: at most 1 MiB, a regular file, which nobody but its owner may write to, who is this user or root. Blocks for
 * it.
 * Errors: NOT_FOUND, PERMISSION_DENIED and others of reading; FAILED_PRECONDITION (what others may write to); INVALID_ARGUMENT,
 * with the line, the key or the user; RESOURCE_EXHAUSTED. */
TROVE_WARN_UNUSED trove_status tvs_keyring_create(const struct tvs_keyring_options *options, struct tvs_keyring **keyring,
                                                  trove_error *error);
/* The same anew; on failure nothing has changed. */
TROVE_WARN_UNUSED trove_status tvs_keyring_reload(struct tvs_keyring *keyring, const struct tvs_keyring_options *options,
                                                  trove_error *error);
void tvs_keyring_destroy(struct tvs_keyring *keyring); /* NULL is allowed */

/* *out is for tvs_principal_fini. UNAUTHENTICATED: nobody has this key, or it has expired. The message names nobody, for whoever
 * asks hasn't shown yet that they have it. */
TROVE_WARN_UNUSED trove_status tvs_keyring_find(struct tvs_keyring *keyring, const uint8_t public_key[TVS_PUBLIC_KEY_BYTES],
                                                struct tvs_principal *out, trove_error *error);
/* Errors: UNAUTHENTICATED (the overflow uid), PERMISSION_DENIED (a user without any rights). */
TROVE_WARN_UNUSED trove_status tvs_keyring_find_user(struct tvs_keyring *keyring, uint64_t uid, struct tvs_principal *out,
                                                     trove_error *error);
/* Anybody, where the server was told to let them in: everything is allowed. */
void tvs_keyring_anonymous(struct tvs_keyring *keyring, struct tvs_principal *out);
size_t tvs_keyring_count(struct tvs_keyring *keyring); /* of keys */

#endif
