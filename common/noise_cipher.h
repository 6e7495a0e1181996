/* noise_cipher.h - a key, a cipher and a counter: the CipherState of the Noise specification (revision 34, section 5.1).
 *
 * Sealed bytes and their tag are kept apart: several records lie side by side, and their tags elsewhere.
 * Pure; whoever has it. It holds a key, so it belongs in memory of secret.h. What is sealed may be opened where it lies.
 */
#ifndef TV_NOISE_CIPHER_H
#define TV_NOISE_CIPHER_H

#include "status.h"

#include <sodium.h>
#include <stddef.h>
#include <stdint.h>

#define TV_NOISE_KEY_BYTES 32
#define TV_NOISE_TAG_BYTES 16

/* The numbers travel: bits of Offer.ciphers. */
enum tv_cipher {
    TV_CIPHER_CHACHAPOLY,
    TV_CIPHER_AESGCM, /* where both machines do it in hardware */
    TV_CIPHER_COUNT
};

struct tv_noise_cipher {
    crypto_aead_aes256gcm_state aes; /* AESGCM: the key, expanded; aligned to 16 */
    uint8_t key[TV_NOISE_KEY_BYTES];
    uint64_t counter; /* of the next message */
    enum tv_cipher cipher;
};

/* Whether this machine has it. After tv_secret_ready. */
bool tv_cipher_available(enum tv_cipher cipher);
/* As in the names of Noise's protocols. */
const char *tv_cipher_name(enum tv_cipher cipher);

/* Sets a key; the counter is 0. */
void tv_noise_cipher_set(struct tv_noise_cipher *self, enum tv_cipher cipher, const uint8_t key[static TV_NOISE_KEY_BYTES]);

/* To `sealed`, of as many bytes, which may be `plain`. Errors: RESOURCE_EXHAUSTED (the counter is used up: 2^64 - 1 messages). */
TROVE_WARN_UNUSED trove_status tv_noise_seal(struct tv_noise_cipher *self, const void *ad, size_t ad_bytes, const void *plain,
                                             size_t bytes, void *sealed, uint8_t tag[static TV_NOISE_TAG_BYTES],
                                             trove_error *error);
/* The same back. Where the tag doesn't fit `plain` holds nothing of use, and the counter stays. Errors: DATA_LOSS (it isn't what
 * was sealed with this key, counter and `ad`), RESOURCE_EXHAUSTED. */
TROVE_WARN_UNUSED trove_status tv_noise_open(struct tv_noise_cipher *self, const void *ad, size_t ad_bytes, const void *sealed,
                                             size_t bytes, const uint8_t tag[static TV_NOISE_TAG_BYTES], void *plain,
                                             trove_error *error);
/* Section 4.2: the next key comes from this one, which is forgotten. The counter goes on. */
void tv_noise_rekey(struct tv_noise_cipher *self);

#endif
