/* noise_cipher.c - see noise_cipher.h. */
#include "noise_cipher.h"

#include "bytes.h"

#include <string.h>

#define NONCE_BYTES 12

_Static_assert(crypto_aead_aes256gcm_NPUBBYTES == NONCE_BYTES && crypto_aead_chacha20poly1305_ietf_NPUBBYTES == NONCE_BYTES &&
                   crypto_aead_aes256gcm_KEYBYTES == TV_NOISE_KEY_BYTES &&
                   crypto_aead_chacha20poly1305_ietf_KEYBYTES == TV_NOISE_KEY_BYTES &&
                   crypto_aead_aes256gcm_ABYTES == TV_NOISE_TAG_BYTES &&
                   crypto_aead_chacha20poly1305_ietf_ABYTES == TV_NOISE_TAG_BYTES,
               "both ciphers have the same sizes");

bool tv_cipher_available(enum tv_cipher cipher) {
    return cipher == TV_CIPHER_CHACHAPOLY || (cipher == TV_CIPHER_AESGCM && crypto_aead_aes256gcm_is_available() != 0);
}

const char *tv_cipher_name(enum tv_cipher cipher) {
    return cipher == TV_CIPHER_AESGCM ? "AESGCM" : "ChaChaPoly";
}

void tv_noise_cipher_set(struct tv_noise_cipher *self, enum tv_cipher cipher, const uint8_t key[static TV_NOISE_KEY_BYTES]) {
    memcpy(self->key, key, TV_NOISE_KEY_BYTES);
    self->cipher = cipher;
    self->counter = 0;
    if (cipher == TV_CIPHER_AESGCM)
        crypto_aead_aes256gcm_beforenm(&self->aes, self->key);
}

/* Section 12.3 and 12.4: 32 bits of zeros, then the counter, little-endian for ChaChaPoly and big-endian for AESGCM. */
static void make_nonce(enum tv_cipher cipher, uint64_t counter, uint8_t nonce[static NONCE_BYTES]) {
    memset(nonce, 0, 4);
    tv_write_le64(nonce + 4, cipher == TV_CIPHER_AESGCM ? __builtin_bswap64(counter) : counter);
}

static void seal(const struct tv_noise_cipher *self, uint64_t counter, const void *ad, size_t ad_bytes, const void *plain,
                 size_t bytes, void *sealed, uint8_t *tag) {
    uint8_t nonce[NONCE_BYTES];
    make_nonce(self->cipher, counter, nonce);
    if (self->cipher == TV_CIPHER_AESGCM)
        crypto_aead_aes256gcm_encrypt_detached_afternm(sealed, tag, NULL, plain, bytes, ad, ad_bytes, NULL, nonce, &self->aes);
    else
        crypto_aead_chacha20poly1305_ietf_encrypt_detached(sealed, tag, NULL, plain, bytes, ad, ad_bytes, NULL, nonce, self->key);
}

/* Section 5.1: the largest counter is for rekeying alone. */
static trove_status check_counter(const struct tv_noise_cipher *self, trove_error *error) {
    if (self->counter == UINT64_MAX)
        return TV_FAIL(error, RESOURCE_EXHAUSTED, "a connection's keys are used up; connect again");
    return TROVE_OK;
}

trove_status tv_noise_seal(struct tv_noise_cipher *self, const void *ad, size_t ad_bytes, const void *plain, size_t bytes,
                           void *sealed, uint8_t tag[static TV_NOISE_TAG_BYTES], trove_error *error) {
    trove_status status = check_counter(self, error);
    if (status == TROVE_OK)
        seal(self, self->counter++, ad, ad_bytes, plain, bytes, sealed, tag);
    return status;
}

trove_status tv_noise_open(struct tv_noise_cipher *self, const void *ad, size_t ad_bytes, const void *sealed, size_t bytes,
                           const uint8_t tag[static TV_NOISE_TAG_BYTES], void *plain, trove_error *error) {
    uint8_t nonce[NONCE_BYTES];
    trove_status status = check_counter(self, error);
    if (status != TROVE_OK)
        return status;
    make_nonce(self->cipher, self->counter, nonce);
    int failed;
    if (self->cipher == TV_CIPHER_AESGCM)
        failed = crypto_aead_aes256gcm_decrypt_detached_afternm(plain, NULL, sealed, bytes, tag, ad, ad_bytes, nonce, &self->aes);
    else
        failed =
            crypto_aead_chacha20poly1305_ietf_decrypt_detached(plain, NULL, sealed, bytes, tag, ad, ad_bytes, nonce, self->key);
    if (failed != 0)
        return TV_FAIL(error, DATA_LOSS,
                       "what came isn't what was sealed: it was changed, repeated, left out or moved on the way");
    self->counter++;
    return TROVE_OK;
}

void tv_noise_rekey(struct tv_noise_cipher *self) {
    static const uint8_t zeros[TV_NOISE_KEY_BYTES];
    uint8_t key[TV_NOISE_KEY_BYTES];
    uint8_t tag[TV_NOISE_TAG_BYTES];
    uint64_t counter = self->counter;
    seal(self, UINT64_MAX, NULL, 0, zeros, sizeof zeros, key, tag);
    tv_noise_cipher_set(self, self->cipher, key);
    self->counter = counter;
    sodium_memzero(key, sizeof key);
}
