/* noise.c - see noise.h. Sections and names (MixKey, EncryptAndHash, Split) are those of the specification. */
#include "noise.h"

#include "secret.h"

#include <string.h>

#define BLOCK_BYTES 128 /* of BLAKE2b */

struct tv_noise {
    struct tv_noise_cipher cipher; /* first: aligned */
    bool keyed;                    /* it has a key */
    bool initiator;
    unsigned messages; /* written and read */
    enum tv_cipher kind;
    uint8_t chaining_key[TV_NOISE_HASH_BYTES];
    uint8_t hash[TV_NOISE_HASH_BYTES];
    uint8_t own_private[TV_NOISE_KEY_BYTES];
    uint8_t own_public[TV_NOISE_KEY_BYTES];
    uint8_t ephemeral_private[TV_NOISE_KEY_BYTES];
    uint8_t ephemeral_public[TV_NOISE_KEY_BYTES];
    uint8_t peer_public[TV_NOISE_KEY_BYTES];
    uint8_t peer_ephemeral[TV_NOISE_KEY_BYTES];
};

static const uint8_t names[TV_CIPHER_COUNT][64] = {
    [TV_CIPHER_CHACHAPOLY] = "Noise_IK_25519_ChaChaPoly_BLAKE2b",
    [TV_CIPHER_AESGCM] = "Noise_IK_25519_AESGCM_BLAKE2b",
};

/* ---- hashing: sections 4.3 and 5.2 ---- */

static void hash_two(const void *first, size_t first_bytes, const void *second, size_t second_bytes, uint8_t *out) {
    crypto_generichash_state state;
    crypto_generichash_init(&state, NULL, 0, TV_NOISE_HASH_BYTES);
    crypto_generichash_update(&state, first, first_bytes);
    crypto_generichash_update(&state, second, second_bytes);
    crypto_generichash_final(&state, out, TV_NOISE_HASH_BYTES);
    sodium_memzero(&state, sizeof state);
}

/* HMAC of RFC 2104 over the unkeyed hash; the key is as long as a hash, so it fits a block. */
static void hmac(const uint8_t key[static TV_NOISE_HASH_BYTES], const void *data, size_t bytes, uint8_t *out) {
    uint8_t pad[BLOCK_BYTES];
    uint8_t inner[TV_NOISE_HASH_BYTES];
    for (size_t i = 0; i < BLOCK_BYTES; i++)
        pad[i] = (uint8_t)((i < TV_NOISE_HASH_BYTES ? key[i] : 0) ^ 0x36);
    hash_two(pad, sizeof pad, data, bytes, inner);
    for (size_t i = 0; i < BLOCK_BYTES; i++)
        pad[i] ^= 0x36 ^ 0x5C;
    hash_two(pad, sizeof pad, inner, sizeof inner, out);
    sodium_memzero(pad, sizeof pad);
    sodium_memzero(inner, sizeof inner);
}

/* HKDF with two outputs. `first` may be the chaining key. */
static void hkdf(const uint8_t *chaining_key, const void *material, size_t bytes, uint8_t first[static TV_NOISE_HASH_BYTES],
                 uint8_t second[static TV_NOISE_HASH_BYTES]) {
    uint8_t temporary[TV_NOISE_HASH_BYTES];
    uint8_t next[TV_NOISE_HASH_BYTES + 1];
    hmac(chaining_key, material, bytes, temporary);
    next[0] = 1;
    hmac(temporary, next, 1, first);
    memcpy(next, first, TV_NOISE_HASH_BYTES);
    next[TV_NOISE_HASH_BYTES] = 2;
    hmac(temporary, next, sizeof next, second);
    sodium_memzero(temporary, sizeof temporary);
    sodium_memzero(next, sizeof next);
}

static void mix_hash(struct tv_noise *self, const void *data, size_t bytes) {
    hash_two(self->hash, sizeof self->hash, data, bytes, self->hash);
}

static void mix_key(struct tv_noise *self, const uint8_t *material, size_t bytes) {
    uint8_t key[TV_NOISE_HASH_BYTES];
    hkdf(self->chaining_key, material, bytes, self->chaining_key, key);
    tv_noise_cipher_set(&self->cipher, self->kind, key); /* its first 32 bytes */
    self->keyed = true;
    sodium_memzero(key, sizeof key);
}

/* ---- encryption and key agreement ---- */

/* Every payload of this pattern, and the one static key, comes after a key agreement: there is always a key. */
static trove_status encrypt_and_hash(struct tv_noise *self, const void *plain, size_t bytes, uint8_t *out, trove_error *error) {
    TV_ASSERT(self->keyed);
    trove_status status = tv_noise_seal(&self->cipher, self->hash, sizeof self->hash, plain, bytes, out, out + bytes, error);
    if (status == TROVE_OK)
        mix_hash(self, out, bytes + TV_NOISE_TAG_BYTES);
    return status;
}

static trove_status doesnt_fit(const struct tv_noise *self, trove_error *error) {
    if (self->initiator)
        return TV_FAIL(error, UNAUTHENTICATED,
                       "the handshake doesn't fit: whoever answered doesn't have the server's key, or something was changed on "
                       "the way");
    return TV_FAIL(error, UNAUTHENTICATED,
                   "the handshake doesn't fit: the client expects another server key than this server has, or something was "
                   "changed on the way");
}

static trove_status decrypt_and_hash(struct tv_noise *self, const uint8_t *sealed, size_t bytes, void *plain,
                                     trove_error *error) {
    TV_ASSERT(self->keyed);
    if (tv_noise_open(&self->cipher, self->hash, sizeof self->hash, sealed, bytes, sealed + bytes, plain, NULL) != TROVE_OK)
        return doesnt_fit(self, error);
    mix_hash(self, sealed, bytes + TV_NOISE_TAG_BYTES);
    return TROVE_OK;
}

/* A key agreement, mixed in. Points of low order, which lead to a secret that everybody knows, are refused. */
static trove_status agree(struct tv_noise *self, const uint8_t *private_key, const uint8_t *public_key, trove_error *error) {
    uint8_t shared[TV_NOISE_KEY_BYTES];
    if (crypto_scalarmult_curve25519(shared, private_key, public_key) != 0 || sodium_is_zero(shared, sizeof shared))
        return TV_FAIL(error, INVALID_ARGUMENT, "a public key that is none: it leads to a secret that everybody knows");
    mix_key(self, shared, sizeof shared);
    sodium_memzero(shared, sizeof shared);
    return TROVE_OK;
}

/* ---- the messages ---- */

static void write_ephemeral(struct tv_noise *self, uint8_t *message) {
    memcpy(message, self->ephemeral_public, TV_NOISE_KEY_BYTES);
    mix_hash(self, message, TV_NOISE_KEY_BYTES);
}

static void read_ephemeral(struct tv_noise *self, const uint8_t *message) {
    memcpy(self->peer_ephemeral, message, TV_NOISE_KEY_BYTES);
    mix_hash(self, message, TV_NOISE_KEY_BYTES);
}

/* -> e, es, s, ss */
static trove_status write_first(struct tv_noise *self, uint8_t *message, trove_error *error) {
    write_ephemeral(self, message);
    trove_status status = agree(self, self->ephemeral_private, self->peer_public, error);
    if (status == TROVE_OK)
        status = encrypt_and_hash(self, self->own_public, TV_NOISE_KEY_BYTES, message + TV_NOISE_KEY_BYTES, error);
    return status == TROVE_OK ? agree(self, self->own_private, self->peer_public, error) : status;
}

static trove_status read_first(struct tv_noise *self, const uint8_t *message, tv_noise_peer peer, void *context,
                               trove_error *error) {
    read_ephemeral(self, message);
    trove_status status = agree(self, self->own_private, self->peer_ephemeral, error);
    if (status == TROVE_OK)
        status = decrypt_and_hash(self, message + TV_NOISE_KEY_BYTES, TV_NOISE_KEY_BYTES, self->peer_public, error);
    if (status == TROVE_OK && peer != NULL)
        status = peer(context, self->peer_public, error);
    return status == TROVE_OK ? agree(self, self->own_private, self->peer_public, error) : status;
}

/* <- e, ee, se */
static trove_status write_second(struct tv_noise *self, uint8_t *message, trove_error *error) {
    write_ephemeral(self, message);
    trove_status status = agree(self, self->ephemeral_private, self->peer_ephemeral, error);
    return status == TROVE_OK ? agree(self, self->ephemeral_private, self->peer_public, error) : status;
}

static trove_status read_second(struct tv_noise *self, const uint8_t *message, trove_error *error) {
    read_ephemeral(self, message);
    trove_status status = agree(self, self->ephemeral_private, self->peer_ephemeral, error);
    return status == TROVE_OK ? agree(self, self->own_private, self->peer_ephemeral, error) : status;
}

static size_t bytes_of(const struct tv_noise *self) {
    return self->messages == 0 ? TV_NOISE_FIRST_BYTES : TV_NOISE_SECOND_BYTES;
}

static void count_message(struct tv_noise *self) {
    if (++self->messages == 2)
        sodium_memzero(self->ephemeral_private, sizeof self->ephemeral_private);
}

trove_status tv_noise_write(struct tv_noise *self, const void *payload, size_t payload_bytes, uint8_t *message,
                            size_t *message_bytes, trove_error *error) {
    TV_ASSERT(self->messages < 2 && self->initiator == (self->messages == 0));
    size_t keys_bytes = bytes_of(self) - TV_NOISE_TAG_BYTES;
    TV_ASSERT(payload_bytes <= TV_NOISE_MESSAGE_MAX - bytes_of(self));
    trove_status status = self->messages == 0 ? write_first(self, message, error) : write_second(self, message, error);
    if (status == TROVE_OK)
        status = encrypt_and_hash(self, payload, payload_bytes, message + keys_bytes, error);
    if (status != TROVE_OK)
        return status;
    *message_bytes = keys_bytes + payload_bytes + TV_NOISE_TAG_BYTES;
    count_message(self);
    return TROVE_OK;
}

trove_status tv_noise_read(struct tv_noise *self, const uint8_t *message, size_t message_bytes, tv_noise_peer peer, void *context,
                           void *payload, size_t *payload_bytes, trove_error *error) {
    TV_ASSERT(self->messages < 2 && self->initiator == (self->messages == 1));
    if (message_bytes < bytes_of(self) || message_bytes > TV_NOISE_MESSAGE_MAX)
        return TV_FAIL(error, INVALID_ARGUMENT, "a handshake message of %zu bytes; this one has %zu to %d", message_bytes,
                       bytes_of(self), TV_NOISE_MESSAGE_MAX);
    size_t keys_bytes = bytes_of(self) - TV_NOISE_TAG_BYTES;
    size_t bytes = message_bytes - bytes_of(self);
    trove_status status =
        self->messages == 0 ? read_first(self, message, peer, context, error) : read_second(self, message, error);
    if (status == TROVE_OK)
        status = decrypt_and_hash(self, message + keys_bytes, bytes, payload, error);
    if (status != TROVE_OK)
        return status;
    *payload_bytes = bytes;
    count_message(self);
    return TROVE_OK;
}

/* ---- beginning and end ---- */

void tv_noise_public_key(const uint8_t private_key[static TV_NOISE_KEY_BYTES], uint8_t public_key[static TV_NOISE_KEY_BYTES]) {
    crypto_scalarmult_curve25519_base(public_key, private_key);
}

/* Section 5.2: a name that fits a hash is padded to it. */
static void begin(struct tv_noise *self, const struct tv_noise_options *options) {
    _Static_assert(sizeof names[0] == TV_NOISE_HASH_BYTES, "the names fit a hash");
    memcpy(self->hash, names[options->cipher], TV_NOISE_HASH_BYTES);
    memcpy(self->chaining_key, self->hash, TV_NOISE_HASH_BYTES);
    mix_hash(self, options->prologue, options->prologue_bytes);
    mix_hash(self, options->initiator ? self->peer_public : self->own_public, TV_NOISE_KEY_BYTES);
}

trove_status tv_noise_create(const struct tv_noise_options *options, struct tv_noise **noise, trove_error *error) {
    struct tv_noise *self = tv_secret_alloc(sizeof *self);
    if (self == NULL)
        return TV_FAIL(error, RESOURCE_EXHAUSTED, "no memory for a handshake");
    self->initiator = options->initiator;
    self->kind = options->cipher;
    memcpy(self->own_private, options->private_key, TV_NOISE_KEY_BYTES);
    tv_noise_public_key(self->own_private, self->own_public);
    if (options->initiator)
        memcpy(self->peer_public, options->peer_key, TV_NOISE_KEY_BYTES);
    if (options->ephemeral_key != NULL)
        memcpy(self->ephemeral_private, options->ephemeral_key, TV_NOISE_KEY_BYTES);
    else
        randombytes_buf(self->ephemeral_private, TV_NOISE_KEY_BYTES);
    tv_noise_public_key(self->ephemeral_private, self->ephemeral_public);
    begin(self, options);
    *noise = self;
    return TROVE_OK;
}

void tv_noise_destroy(struct tv_noise *noise) {
    tv_secret_free(noise);
}

/* Section 5.2: the first key is for what the initiator sends. */
void tv_noise_split(struct tv_noise *noise, struct tv_noise_cipher *send, struct tv_noise_cipher *receive) {
    TV_ASSERT(noise->messages == 2);
    uint8_t first[TV_NOISE_HASH_BYTES];
    uint8_t second[TV_NOISE_HASH_BYTES];
    hkdf(noise->chaining_key, NULL, 0, first, second);
    tv_noise_cipher_set(send, noise->kind, noise->initiator ? first : second);
    tv_noise_cipher_set(receive, noise->kind, noise->initiator ? second : first);
    sodium_memzero(first, sizeof first);
    sodium_memzero(second, sizeof second);
}

void tv_noise_hash(const struct tv_noise *noise, uint8_t hash[static TV_NOISE_HASH_BYTES]) {
    memcpy(hash, noise->hash, TV_NOISE_HASH_BYTES);
}

const uint8_t *tv_noise_peer_key(const struct tv_noise *noise) {
    return noise->peer_public;
}
