/* authorized_keys.h - the file that says which public keys are let in, and what for. Pure; any thread.
 *
 * One key a line; a word that begins with '#' begins a comment:
 *
 *   NAME PUBLIC_KEY RIGHTS... [expires=TIME] [quota=BYTES] [bandwidth=BYTES] [pool=NAME]
 *
 *   backup  aS0V...=  read,write,list:media/backup/  expires=2027-01-31  quota=100GiB
 *
 * NAME is 1 to 63 of A-Z, a-z, 0-9, '.', '_', '@' and '-'. PUBLIC_KEY is base64 of 32 bytes. RIGHTS as in rights.h. TIME is a
 * day, at whose beginning the key expires, or 2027-01-31T12:00:00Z; UTC. BYTES as in the config ("10MiB"): what may be stored,
 * and what may be moved in a second, up and down, on all connections of this key together. NAME: the pool that has all its
 * streams. Anything else is a mistake, and a mistake in one line is one of the whole file: half of it would lock somebody out, or
 * let somebody in.
 */
#ifndef TVS_AUTHORIZED_KEYS_H
#define TVS_AUTHORIZED_KEYS_H

#include "principal.h"

#include <stddef.h>

#define TVS_AUTHORIZED_KEYS_MAX       4096
#define TVS_AUTHORIZED_KEYS_BYTES_MAX ((size_t)1 << 20)

struct tvs_authorized_keys {
    struct tvs_principal *list; /* by public key, in order */
    size_t count;
};

/* `name` stands for the file in messages, which have the form "NAME line N: ...". *keys is the caller's, to be finished; on
 * failure it is empty. Errors: INVALID_ARGUMENT, RESOURCE_EXHAUSTED. */
TROVE_WARN_UNUSED trove_status tvs_authorized_keys_parse(const char *name, const char *text, size_t bytes,
                                                         struct tvs_authorized_keys *keys, trove_error *error);
void tvs_authorized_keys_fini(struct tvs_authorized_keys *keys);

/* NULL: it isn't there. */
const struct tvs_principal *tvs_authorized_keys_find(const struct tvs_authorized_keys *keys,
                                                     const uint8_t public_key[TVS_PUBLIC_KEY_BYTES]);

#endif
