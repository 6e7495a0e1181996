/* trove_keys.h - keys of encrypted connections.
 * Comes with trove.h, whose first comment is true of this as well.
 */
#include "trove.h" /* before the guard: whoever includes this one alone gets all of them, in their order */

#ifndef TROVE_KEYS_H
#define TROVE_KEYS_H

#ifdef __cplusplus
extern "C" {
#endif

/* ---- keys ----------------------------------------------------------------------------------------------------------------- */

/* A key is a pair: the private one stays in its file, which its owner alone can read, the public one is what others know it by.
 * As text a public key is base64 of 32 bytes. Clients and servers have keys of the same kind. */
#define TROVE_KEY_TEXT_BYTES 45 /* 44 characters and a NUL */

/* Draws a key and writes it to a new file at `path` (0600), synced; `public_key` is its public key. Blocks for the disk.
 * Errors: ALREADY_EXISTS (no file is ever replaced), NOT_FOUND (no such folder) and others of writing. */
TROVE_API TROVE_WARN_UNUSED trove_status trove_key_create(const char *path, char public_key[TROVE_KEY_TEXT_BYTES],
                                                          trove_error *error);

/* The public key of the key file at `path`. Errors: NOT_FOUND and others of reading; FAILED_PRECONDITION (others can use the
 * file, or it is somebody else's); INVALID_ARGUMENT (it holds no key). */
TROVE_API TROVE_WARN_UNUSED trove_status trove_key_public(const char *path, char public_key[TROVE_KEY_TEXT_BYTES],
                                                          trove_error *error);

/* Asks the server at `url` (without a key) for its public key. Nothing shows that it really has it, or that nobody else answers
 * in its place, before a connection is made with that key: what is asked once, in a place where that can be trusted, is recorded
 * (trove_known_server_add), and whoever answers later with another key is refused. No key of one's own is needed.
 * Blocks up to timeout_ms; 0: 5,000. Errors: INVALID_ARGUMENT, UNAVAILABLE, DEADLINE_EXCEEDED as of trove_connect;
 * FAILED_PRECONDITION (it doesn't encrypt), UNIMPLEMENTED (it doesn't tell). */
TROVE_API TROVE_WARN_UNUSED trove_status trove_server_key(const char *url, uint32_t timeout_ms,
                                                          char public_key[TROVE_KEY_TEXT_BYTES], trove_error *error);

/* The key that the file of known servers at `path` has for `url`: lines of ADDRESS, PUBLIC_KEY and what else there is as a
 * comment, divided by blanks; lines that begin with '#' are comments, too. ADDRESS is HOST:PORT of tcp and ws, or the path of a
 * unix socket.
 * Blocks for the disk. Errors: NOT_FOUND (no such line, or no file), INVALID_ARGUMENT (a line that is none, two that contradict
 * each other, no such URL), FAILED_PRECONDITION (others may write to the file, or it is somebody else's) and others of
 * reading. */
TROVE_API TROVE_WARN_UNUSED trove_status trove_known_server_find(const char *path, const char *url,
                                                                 char public_key[TROVE_KEY_TEXT_BYTES], trove_error *error);

/* Adds a line; one that has the same key already is left. A file that isn't there is made (0600), its folder isn't. Readers find
 * the old file or the new one, whole and synced; several who add wait for each other, for 5 s at most.
 * Errors: those of trove_known_server_find; ALREADY_EXISTS (the file has another key for it: never replaced), UNAVAILABLE
 * (somebody else keeps the file's folder locked), RESOURCE_EXHAUSTED (the file is 1 MiB long), and others of writing. */
TROVE_API TROVE_WARN_UNUSED trove_status trove_known_server_add(const char *path, const char *url, const char *public_key,
                                                                trove_error *error);

#ifdef __cplusplus
}
#endif

#endif
