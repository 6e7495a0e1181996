/* digest.c - see digest.h. */
#include "digest.h"

#include <sodium.h>

_Static_assert(crypto_generichash_BYTES_MAX == TROVE_DIGEST_BYTES_MAX, "BLAKE2b has the longest value");

/* libsodium wants its BLAKE2b state aligned to more than malloc gives. */
struct tvc_digest_state {
    union {
        crypto_generichash_state blake2b;
        crypto_hash_sha256_state sha256;
    };
    trove_digest_kind kind;
};

size_t tvc_digest_bytes(trove_digest_kind kind) {
    if (kind == TROVE_DIGEST_SHA256)
        return crypto_hash_sha256_BYTES;
    return kind == TROVE_DIGEST_BLAKE2B ? crypto_generichash_BYTES_MAX : 0;
}

trove_status tvc_digest_check(const trove_digest *digest, trove_error *error) {
    size_t bytes = tvc_digest_bytes(digest->kind);
    if (digest->kind != TROVE_DIGEST_NONE && bytes == 0)
        return TV_FAIL(error, INVALID_ARGUMENT, "%d is no kind of digest", (int)digest->kind);
    if (digest->size != 0 && digest->size != bytes)
        return TV_FAIL(error, INVALID_ARGUMENT, "a digest of %zu bytes; this kind has %zu", digest->size, bytes);
    return TROVE_OK;
}

struct tvc_digest_state *tvc_digest_create(trove_digest_kind kind) {
    struct tvc_digest_state *state = aligned_alloc(_Alignof(struct tvc_digest_state), sizeof *state);
    if (state == NULL)
        return NULL;
    state->kind = kind;
    tvc_digest_restart(state);
    return state;
}

void tvc_digest_restart(struct tvc_digest_state *state) {
    if (state->kind == TROVE_DIGEST_SHA256)
        crypto_hash_sha256_init(&state->sha256);
    else
        crypto_generichash_init(&state->blake2b, NULL, 0, crypto_generichash_BYTES_MAX);
}

void tvc_digest_add(struct tvc_digest_state *state, const void *bytes, size_t count) {
    if (state->kind == TROVE_DIGEST_SHA256)
        crypto_hash_sha256_update(&state->sha256, bytes, count);
    else
        crypto_generichash_update(&state->blake2b, bytes, count);
}

void tvc_digest_final(struct tvc_digest_state *state, trove_digest *digest) {
    digest->kind = state->kind;
    digest->size = tvc_digest_bytes(state->kind);
    if (state->kind == TROVE_DIGEST_SHA256)
        crypto_hash_sha256_final(&state->sha256, digest->value);
    else
        crypto_generichash_final(&state->blake2b, digest->value, digest->size);
}

void tvc_digest_destroy(struct tvc_digest_state *state) {
    free(state);
}

trove_status tvc_digest_of(trove_digest *digest, const void *bytes, size_t count, trove_error *error) {
    struct tvc_digest_state *state = tvc_digest_create(digest->kind);
    if (state == NULL)
        return TV_FAIL(error, RESOURCE_EXHAUSTED, "no memory for a digest");
    tvc_digest_add(state, bytes, count);
    tvc_digest_final(state, digest);
    tvc_digest_destroy(state);
    return TROVE_OK;
}

Trove__V1__Digest *tvc_digest_to_wire(const trove_digest *digest, Trove__V1__Digest *wire) {
    if (digest->kind == TROVE_DIGEST_NONE)
        return NULL;
    trove__v1__digest__init(wire);
    wire->kind = (Trove__V1__DigestKind)digest->kind;
    wire->value = (ProtobufCBinaryData){digest->size, (uint8_t *)digest->value};
    return wire;
}
