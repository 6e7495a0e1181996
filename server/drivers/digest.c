/* digest.c - see digest.h. */
#include "digest.h"

#include "object.h"

#include <pthread.h>
#include <sodium.h>
#include <string.h>

/* So much of a digest is told: all of a SHA-256, enough of a BLAKE2b to know it again, and room for the object's name. */
#define TOLD_BYTES 32

struct tvs_digest {
    union {
        crypto_hash_sha256_state sha256;
        crypto_generichash_blake2b_state blake2b; /* aligned to 64 */
    } state;
    struct tvs_declared_digest declared;
};

_Static_assert(crypto_hash_sha256_BYTES == TVS_SHA256_BYTES, "SHA-256 has 32 bytes");
_Static_assert(crypto_generichash_blake2b_BYTES_MAX == TVS_BLAKE2B_BYTES, "BLAKE2b has 64 bytes");

static pthread_once_t sodium_once = PTHREAD_ONCE_INIT;

/* Looks for the CPU's vector instructions; without it BLAKE2b is right, but slow. */
static void init_sodium(void) {
    (void)!sodium_init();
}

static const char *kind_name(enum tvs_digest_kind kind) {
    return kind == TVS_DIGEST_SHA256 ? "SHA-256" : kind == TVS_DIGEST_BLAKE2B ? "BLAKE2b" : "none";
}

size_t tvs_digest_value_bytes(enum tvs_digest_kind kind) {
    return kind == TVS_DIGEST_SHA256 ? TVS_SHA256_BYTES : kind == TVS_DIGEST_BLAKE2B ? TVS_BLAKE2B_BYTES : 0;
}

bool tvs_digest_is_same(const struct tvs_declared_digest *a, const struct tvs_declared_digest *b) {
    return a->kind == b->kind && a->has_value == b->has_value &&
           (!a->has_value || memcmp(a->value, b->value, tvs_digest_value_bytes(a->kind)) == 0);
}

void tvs_digest_restart(struct tvs_digest *digest) {
    if (digest->declared.kind == TVS_DIGEST_SHA256)
        (void)crypto_hash_sha256_init(&digest->state.sha256);
    else
        (void)crypto_generichash_blake2b_init(&digest->state.blake2b, NULL, 0, TVS_BLAKE2B_BYTES);
}

static void init(struct tvs_digest *digest, const struct tvs_declared_digest *declared) {
    pthread_once(&sodium_once, init_sodium);
    digest->declared = *declared;
    tvs_digest_restart(digest);
}

trove_status tvs_digest_create(const struct tvs_declared_digest *declared, struct tvs_digest **digest, trove_error *error) {
    if (declared == NULL || declared->kind == TVS_DIGEST_NONE)
        return TROVE_OK;
    struct tvs_digest *made = aligned_alloc(_Alignof(struct tvs_digest), sizeof *made);
    if (made == NULL)
        return tvs_fail_no_memory("a digest's state", error);
    init(made, declared);
    *digest = made;
    return TROVE_OK;
}

void tvs_digest_destroy(struct tvs_digest *digest) {
    free(digest);
}

void tvs_digest_add(struct tvs_digest *digest, const struct tv_data *data) {
    for (uint32_t i = 0; i < data->iov_count; i++) {
        if (digest->declared.kind == TVS_DIGEST_SHA256)
            (void)crypto_hash_sha256_update(&digest->state.sha256, data->iov[i].iov_base, data->iov[i].iov_len);
        else
            (void)crypto_generichash_blake2b_update(&digest->state.blake2b, data->iov[i].iov_base, data->iov[i].iov_len);
    }
}

static const char *value_text(enum tvs_digest_kind kind, const uint8_t *value, char text[2 * TOLD_BYTES + 4]) {
    sodium_bin2hex(text, 2 * TOLD_BYTES + 1, value, TOLD_BYTES);
    if (tvs_digest_value_bytes(kind) > TOLD_BYTES)
        memcpy(text + 2 * TOLD_BYTES, "...", sizeof "...");
    return text;
}

trove_status tvs_digest_expect(struct tvs_digest *digest, const struct tvs_declared_digest *declared, trove_error *error) {
    enum tvs_digest_kind kind = digest != NULL ? digest->declared.kind : TVS_DIGEST_NONE;
    if (declared->kind != kind)
        return TV_FAIL(error, INVALID_ARGUMENT, "a digest of the kind %s at the end, but of the kind %s at the beginning",
                       kind_name(declared->kind), kind_name(kind));
    if (digest == NULL || !declared->has_value)
        return TROVE_OK;
    char own[2 * TOLD_BYTES + 4], other[2 * TOLD_BYTES + 4];
    if (digest->declared.has_value && memcmp(digest->declared.value, declared->value, tvs_digest_value_bytes(kind)) != 0)
        return TV_FAIL(error, INVALID_ARGUMENT, "the %s at the end is %s, the one at the beginning was %s", kind_name(kind),
                       value_text(kind, declared->value, other), value_text(kind, digest->declared.value, own));
    digest->declared = *declared;
    return TROVE_OK;
}

void tvs_digest_redeclare(struct tvs_digest *digest, const struct tvs_declared_digest *declared) {
    TV_ASSERT(declared->kind == digest->declared.kind);
    digest->declared = *declared;
}

trove_status tvs_digest_check(const struct tvs_digest *digest, trove_error *error) {
    if (digest == NULL)
        return TROVE_OK;
    enum tvs_digest_kind kind = digest->declared.kind;
    if (!digest->declared.has_value)
        return TV_FAIL(error, INVALID_ARGUMENT, "a %s was announced, but never given", kind_name(kind));
    uint8_t value[TVS_DIGEST_BYTES_MAX];
    struct tvs_digest copy = *digest; /* finishing one ends it */
    if (kind == TVS_DIGEST_SHA256)
        (void)crypto_hash_sha256_final(&copy.state.sha256, value);
    else
        (void)crypto_generichash_blake2b_final(&copy.state.blake2b, value, TVS_BLAKE2B_BYTES);
    if (memcmp(value, digest->declared.value, tvs_digest_value_bytes(kind)) == 0)
        return TROVE_OK;
    char came[2 * TOLD_BYTES + 4], wanted[2 * TOLD_BYTES + 4];
    return TV_FAIL(error, DATA_LOSS, "the bytes that came have the %s %s, declared was %s", kind_name(kind),
                   value_text(kind, value, came), value_text(kind, digest->declared.value, wanted));
}

trove_status tvs_digest_check_data(const struct tvs_declared_digest *declared, const struct tv_data *data, trove_error *error) {
    if (declared == NULL || declared->kind == TVS_DIGEST_NONE)
        return TROVE_OK;
    struct tvs_digest digest;
    init(&digest, declared);
    tvs_digest_add(&digest, data);
    return tvs_digest_check(&digest, error);
}
