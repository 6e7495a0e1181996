/* pump_seal.c - encryption for the pump: AES-256-GCM in records of 32 KiB, as an encrypted connection of Trove has it where both
 * machines have that cipher; tags in front of the chunk, sealed out of place, opened in place. See pump.h.
 *
 * There is no handshake and the key is the same everywhere: what is measured is the way of the bytes.
 */
#include "pump.h"

#include <sodium.h>
#include <stdio.h>
#include <string.h>

static crypto_aead_aes256gcm_state state;

static bool works;

void pump_seal_init(void) {
    const unsigned char key[crypto_aead_aes256gcm_KEYBYTES] = "the pump keeps nothing secret..";
    works = sodium_init() >= 0 && crypto_aead_aes256gcm_is_available() != 0;
    if (works)
        crypto_aead_aes256gcm_beforenm(&state, key);
}

bool pump_seal_works(void) {
    return works;
}

size_t pump_tags_bytes(size_t bytes) {
    return (bytes + PUMP_RECORD_BYTES - 1) / PUMP_RECORD_BYTES * PUMP_TAG_BYTES;
}

static void make_nonce(uint64_t index, size_t record, unsigned char nonce[static crypto_aead_aes256gcm_NPUBBYTES]) {
    const uint64_t parts[2] = {index << 16 | record, 0};
    memcpy(nonce, parts, crypto_aead_aes256gcm_NPUBBYTES);
}

void pump_seal(uint64_t index, const unsigned char *chunk, size_t bytes, unsigned char *out) {
    unsigned char *sealed = out + pump_tags_bytes(bytes);
    for (size_t at = 0, record = 0; at < bytes; at += PUMP_RECORD_BYTES, record++) {
        unsigned char nonce[crypto_aead_aes256gcm_NPUBBYTES];
        size_t step = bytes - at < PUMP_RECORD_BYTES ? bytes - at : PUMP_RECORD_BYTES;
        make_nonce(index, record, nonce);
        crypto_aead_aes256gcm_encrypt_detached_afternm(sealed + at, out + record * PUMP_TAG_BYTES, NULL, chunk + at, step, NULL,
                                                       0, NULL, nonce, &state);
    }
}

int pump_open(uint64_t index, unsigned char *chunk, size_t bytes, const unsigned char *tags) {
    int failed = 0;
    for (size_t at = 0, record = 0; at < bytes; at += PUMP_RECORD_BYTES, record++) {
        unsigned char nonce[crypto_aead_aes256gcm_NPUBBYTES];
        size_t step = bytes - at < PUMP_RECORD_BYTES ? bytes - at : PUMP_RECORD_BYTES;
        make_nonce(index, record, nonce);
        failed |= crypto_aead_aes256gcm_decrypt_detached_afternm(chunk + at, NULL, chunk + at, step,
                                                                 tags + record * PUMP_TAG_BYTES, NULL, 0, nonce, &state);
    }
    if (failed != 0)
        fprintf(stderr, "pump: a record isn't what was sealed\n");
    return failed;
}
