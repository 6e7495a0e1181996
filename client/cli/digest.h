/* digest.h - declared digests: read from the command line, computed of files. */
#ifndef CLI_DIGEST_H
#define CLI_DIGEST_H

#include "trove.h"

/* "sha256", "blake2b" (to be computed: no value), "sha256:HEX", "blake2b:HEX". False for anything else. */
bool cli_digest_parse(const char *text, trove_digest *digest);

/* What is wrong with what cli_digest_parse doesn't take. The caller's to free. */
char *cli_digest_mistake(const char *text);

/* Reads the first `size` bytes of a file, whose position stays, and fills in the value of the digest's kind. Errors: ABORTED (it
 * has fewer), those of reading. */
trove_status cli_digest_compute(int fd, uint64_t size, trove_digest *digest, trove_error *error);

/* "sha256:HEX"; NULL where there is no value. The caller's to free. */
char *cli_digest_text(const trove_digest *digest);

#endif
