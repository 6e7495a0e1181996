/* digest.h - declared digests of whole objects: hashed along while the bytes are written, compared before they are published.
 *
 * Only a put that declares one pays for it: SHA-256 runs at about 0.4 GB/s here and BLAKE2b at 0.7, where the block checksums
 * that every put has run at tens. Drivers call it, not the engine: going on with an upload means hashing once more what the store
 * already has, and going back inside a put does, too, and only the driver can read that. Both are libsodium's.
 *
 * One thread at a time.
 */
#ifndef TVS_DIGEST_H
#define TVS_DIGEST_H

#include "driver.h"

struct tvs_digest;

size_t tvs_digest_value_bytes(enum tvs_digest_kind kind); /* 0 for none */

/* Whether they say the same. */
bool tvs_digest_is_same(const struct tvs_declared_digest *a, const struct tvs_declared_digest *b);

/* *digest is NULL where `declared` is or has no kind. Errors: RESOURCE_EXHAUSTED. */
trove_status tvs_digest_create(const struct tvs_declared_digest *declared, struct tvs_digest **digest, trove_error *error);
void tvs_digest_destroy(struct tvs_digest *digest); /* NULL is allowed */

void tvs_digest_add(struct tvs_digest *digest, const struct tv_data *data);
/* As if nothing had been added. */
void tvs_digest_restart(struct tvs_digest *digest);

/* What the value must be, where it wasn't known at the beginning. `digest` NULL: the put declared none.
 * Errors: INVALID_ARGUMENT (another kind; another value than the one declared). */
trove_status tvs_digest_expect(struct tvs_digest *digest, const struct tvs_declared_digest *declared, trove_error *error);
/* Forgets what was expected since: `declared` counts, which has the same kind. */
void tvs_digest_redeclare(struct tvs_digest *digest, const struct tvs_declared_digest *declared);
/* Compares what was added. More may be added afterwards. `digest` NULL: there is nothing to compare.
 * Errors: DATA_LOSS, naming both; INVALID_ARGUMENT (no value was given). */
trove_status tvs_digest_check(const struct tvs_digest *digest, trove_error *error);
/* All of it in one step, for an object that comes in one piece. */
trove_status tvs_digest_check_data(const struct tvs_declared_digest *declared, const struct tv_data *data, trove_error *error);

#endif
