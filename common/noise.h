/* noise.h - the handshake Noise IK, revision 34 of the specification: Noise_IK_25519_ChaChaPoly_BLAKE2b and
 * Noise_IK_25519_AESGCM_BLAKE2b.
 *
 *   <- s
 *   ...
 *   -> e, es, s, ss     the initiator knows the responder's key, and sends its own encrypted
 *   <- e, ee, se
 *
 * From libsodium's primitives; what it has no function for (Noise's HMAC and HKDF over BLAKE2b) is built here. Pure: takes and
 * gives bytes, reads and writes nothing else but random numbers. One thread at a time. All of it lives in memory of secret.h, and
 * is wiped at the end, ephemeral keys as soon as they have been used.
 * (Rejected: a library of its own. It would bring other implementations of what libsodium has, and every pattern that there is;
 * of one pattern what is left is some 200 lines, which the published test vectors check.)
 */
#ifndef TV_NOISE_H
#define TV_NOISE_H

#include "noise_cipher.h"

#define TV_NOISE_HASH_BYTES 64
/* Of the two messages, without a payload: e, encrypted s, tag; e, tag. */
#define TV_NOISE_FIRST_BYTES  (TV_NOISE_KEY_BYTES + TV_NOISE_KEY_BYTES + TV_NOISE_TAG_BYTES + TV_NOISE_TAG_BYTES)
#define TV_NOISE_SECOND_BYTES (TV_NOISE_KEY_BYTES + TV_NOISE_TAG_BYTES)
#define TV_NOISE_MESSAGE_MAX  1024 /* bytes, with a payload; we send none */

struct tv_noise;

struct tv_noise_options {
    bool initiator;
    enum tv_cipher cipher;
    const uint8_t *private_key;   /* own static one, TV_NOISE_KEY_BYTES */
    const uint8_t *peer_key;      /* initiator: the responder's public static one */
    const uint8_t *ephemeral_key; /* tests: a private one; NULL draws it */
    const void *prologue;         /* what both must agree on */
    size_t prologue_bytes;
};

/* Whether somebody with this public key is let in. Anything but TROVE_OK ends the handshake with that status. */
typedef trove_status (*tv_noise_peer)(void *context, const uint8_t public_key[TV_NOISE_KEY_BYTES], trove_error *error);

/* Everything is copied. Errors: RESOURCE_EXHAUSTED; INVALID_ARGUMENT (a public key that is none). */
TROVE_WARN_UNUSED trove_status tv_noise_create(const struct tv_noise_options *options, struct tv_noise **noise,
                                               trove_error *error);
void tv_noise_destroy(struct tv_noise *noise); /* wipes it; NULL is allowed */

/* The next message, which must be this side's turn, with `payload` in it (that of the first message can be replayed). `message`
 * has room for TV_NOISE_MESSAGE_MAX. Errors: INVALID_ARGUMENT (a public key that is none). */
TROVE_WARN_UNUSED trove_status tv_noise_write(struct tv_noise *noise, const void *payload, size_t payload_bytes, uint8_t *message,
                                              size_t *message_bytes, trove_error *error);
/* The peer's. `payload` has room for TV_NOISE_MESSAGE_MAX. Of the first message `peer` (NULL: everybody) is asked as soon as the
 * initiator's key is known, before any key agreement with it. After an error the handshake is over.
 * Errors: UNAUTHENTICATED (it doesn't fit: other keys, another prologue, changed on the way), INVALID_ARGUMENT (its size),
 * `peer`'s. */
TROVE_WARN_UNUSED trove_status tv_noise_read(struct tv_noise *noise, const uint8_t *message, size_t message_bytes,
                                             tv_noise_peer peer, void *context, void *payload, size_t *payload_bytes,
                                             trove_error *error);

/* After both messages: the keys to send and to receive with. */
void tv_noise_split(struct tv_noise *noise, struct tv_noise_cipher *send, struct tv_noise_cipher *receive);
/* The handshake's hash, which no other handshake has. */
void tv_noise_hash(const struct tv_noise *noise, uint8_t hash[static TV_NOISE_HASH_BYTES]);
/* The peer's public static key; the responder's copy is proven after tv_noise_read, and said to be live by the first record. */
const uint8_t *tv_noise_peer_key(const struct tv_noise *noise);

/* The public key of a private one. */
void tv_noise_public_key(const uint8_t private_key[static TV_NOISE_KEY_BYTES], uint8_t public_key[static TV_NOISE_KEY_BYTES]);

#endif
