/* kept.h - what a file has of an object already: its first blocks, compared with the server's block checksums. Blocking; any
 * thread. */
#ifndef TVC_KEPT_H
#define TVC_KEPT_H

#include "client.h"

struct tvc_kept {
    uint64_t bytes;              /* whole blocks from the beginning on, never all of the object: something is left to be read */
    char etag[TROVE_ETAG_BYTES]; /* of the object that they belong to; "" where `bytes` is 0 */
};

/* Looks at the file `fd`, whose first bytes may be the object's. `timeout_ms` is for each of the calls, one for 4 GiB of the
 * file; a file without a whole block needs none. A file that can't be read has nothing. Errors: those of the calls. */
trove_status tvc_kept_find(trove_client *client, const char *bucket, const char *key, int fd, uint32_t timeout_ms,
                           struct tvc_kept *kept, trove_error *error);

#endif
