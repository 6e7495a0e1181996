/* key_file.h - keys as text, and the files in which private ones are kept.
 *
 * A public key is 44 characters of base64, as WireGuard's are. A key file is text: lines that begin with '#', empty ones, and one
 *
 *   private_key BASE64
 *
 * so that nobody takes the one for the other. Nobody but its owner may be able to read it. Private keys are in memory of secret.h
 * from the file on. Any thread; those that touch files block for them.
 */
#ifndef TV_KEY_FILE_H
#define TV_KEY_FILE_H

#include "noise_cipher.h"

#define TV_KEY_TEXT_BYTES     45   /* NUL included */
#define TV_KEY_FILE_BYTES_MAX 4096 /* a file with a key in it is smaller */

/* A pair. In memory of secret.h: from tv_key_load, or a struct of the caller's in such memory. */
struct tv_key {
    uint8_t private_key[TV_NOISE_KEY_BYTES];
    uint8_t public_key[TV_NOISE_KEY_BYTES];
};

void tv_key_format(const uint8_t key[static TV_NOISE_KEY_BYTES], char text[static TV_KEY_TEXT_BYTES]);
/* A public key. Errors: INVALID_ARGUMENT, which doesn't repeat the text: it might be a private one by mistake. */
TROVE_WARN_UNUSED trove_status tv_key_parse(const char *text, uint8_t key[static TV_NOISE_KEY_BYTES], trove_error *error);

/* A key file's content; `name` stands for it in messages. Errors: INVALID_ARGUMENT. */
TROVE_WARN_UNUSED trove_status tv_key_file_parse(const char *name, const char *text, size_t bytes, struct tv_key *key,
                                                 trove_error *error);

/* *key is the caller's, for tv_key_destroy. Errors: NOT_FOUND and others of reading; FAILED_PRECONDITION (no regular file,
 * somebody else's, or others can read it); INVALID_ARGUMENT (no key in it); RESOURCE_EXHAUSTED. */
TROVE_WARN_UNUSED trove_status tv_key_load(const char *path, struct tv_key **key, trove_error *error);
void tv_key_destroy(struct tv_key *key); /* wipes it; NULL is allowed */

/* Draws a key, and writes it to a new file, which its owner alone may read and write (0600); synced. `text` is the public key.
 * Errors: ALREADY_EXISTS (nothing is ever replaced), and others of writing: then there is no file. */
TROVE_WARN_UNUSED trove_status tv_key_create(const char *path, char text[static TV_KEY_TEXT_BYTES], trove_error *error);

#endif
