/* security.h - whether a client's connection is encrypted, and by which keys: from its options and its URL. */
#ifndef TVC_SECURITY_H
#define TVC_SECURITY_H

#include "client.h"

/* Takes "?key=PUBLIC_KEY" off the URL's end, which becomes client->url, and reads the key file. Blocks for the file.
 * Errors: INVALID_ARGUMENT (what is no key; a server's key without a file, or two that differ), those of reading the file,
 * RESOURCE_EXHAUSTED. */
TROVE_WARN_UNUSED trove_status tvc_security_begin(struct trove_client *client, const char *url,
                                                  const trove_client_options *options, trove_error *error);
/* After the connection is gone. */
void tvc_security_end(struct trove_client *client);

#endif
