/* digest.h - the whole object's digest, as it goes by. See trove_digest in trove.h. One thread at a time. */
#ifndef TVC_DIGEST_H
#define TVC_DIGEST_H

#include "frame.h"
#include "status.h"

struct tvc_digest_state;

/* 0 for a kind that is none. */
size_t tvc_digest_bytes(trove_digest_kind kind);
/* A kind that there is, and a value that fits it. */
trove_status tvc_digest_check(const trove_digest *digest, trove_error *error);

/* NULL: no memory. */
struct tvc_digest_state *tvc_digest_create(trove_digest_kind kind);
/* As if nothing had been added. */
void tvc_digest_restart(struct tvc_digest_state *state);
void tvc_digest_add(struct tvc_digest_state *state, const void *bytes, size_t count);
/* Nothing may be added after it. */
void tvc_digest_final(struct tvc_digest_state *state, trove_digest *digest);
/* NULL is allowed. */
void tvc_digest_destroy(struct tvc_digest_state *state);

/* Fills in value and size of what is in memory. Errors: RESOURCE_EXHAUSTED. */
trove_status tvc_digest_of(trove_digest *digest, const void *bytes, size_t count, trove_error *error);

/* *wire borrows the value. NULL where there is none to be told. */
Trove__V1__Digest *tvc_digest_to_wire(const trove_digest *digest, Trove__V1__Digest *wire);

#endif
