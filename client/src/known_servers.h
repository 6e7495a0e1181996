/* known_servers.h - the file of servers whose public keys are known, as text and on the disk. See trove.h.
 *
 *   # comment
 *   ADDRESS PUBLIC_KEY [COMMENT]
 *
 * The address is host:port, as the URL of tcp or ws has it, or the path of a unix socket. Looking is pure
 * (tvc_known_servers_look); the others block for the file. Any thread, any process: adding locks the file's folder, and puts a
 * whole new file in the old one's place, so that whoever reads sees the one or the other.
 */
#ifndef TVC_KNOWN_SERVERS_H
#define TVC_KNOWN_SERVERS_H

#include "noise_cipher.h"

#define TVC_KNOWN_SERVERS_BYTES_MAX ((size_t)1 << 20)

struct tvc_known_server {
    unsigned line; /* from 1 on */
    uint8_t key[TV_NOISE_KEY_BYTES];
};

/* What stands in a line for the server of this URL, which has no key behind it. *address is the caller's to free.
 * Errors: INVALID_ARGUMENT (no such URL; a path with a blank, which can't stand in a line), RESOURCE_EXHAUSTED. */
TROVE_WARN_UNUSED trove_status tvc_known_servers_address(const char *url, char **address, trove_error *error);

/* Looks the address up in a file's content; `name` stands for the file in messages. Errors: NOT_FOUND; INVALID_ARGUMENT, with the
 * line (what is no such line, wherever; a second one of the address with another key). */
TROVE_WARN_UNUSED trove_status tvc_known_servers_look(const char *name, const char *text, size_t bytes, const char *address,
                                                      struct tvc_known_server *found, trove_error *error);

/* The same in the file, by URL. Errors: those of both, NOT_FOUND where there is no file, or the address can't stand in one;
 * FAILED_PRECONDITION (others may write to it, or it is somebody else's); those of reading. */
TROVE_WARN_UNUSED trove_status tvc_known_servers_find(const char *path, const char *url, struct tvc_known_server *found,
                                                      trove_error *error);

/* Adds a line, and has it synced; one that is there already with the same key is enough. Errors: as above; ALREADY_EXISTS
 * (another key is recorded); UNAVAILABLE (somebody else has it locked all the time); RESOURCE_EXHAUSTED (the file is full); those
 * of writing, and then the file is as it was. */
TROVE_WARN_UNUSED trove_status tvc_known_servers_add(const char *path, const char *url,
                                                     const uint8_t key[static TV_NOISE_KEY_BYTES], trove_error *error);

#endif
