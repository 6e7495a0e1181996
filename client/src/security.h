/* security.h - whether a client's connection is encrypted, and by which keys: from its options and its URL. */
#ifndef TVC_SECURITY_H
#define TVC_SECURITY_H

#include "client.h"

/* Takes "?key=PUBLIC_KEY" off the URL's end, which becomes client->url, and reads the key file. Blocks for the files.
 * A server's key that nobody gives is looked up among the known servers, if the options name their file; where it isn't there,
 * either, the connection isn't encrypted.
 * Errors: INVALID_ARGUMENT (what is no key; a server's key without a file, or two that differ), those of reading the files,
 * RESOURCE_EXHAUSTED. */
TROVE_WARN_UNUSED trove_status tvc_security_begin(struct trove_client *client, const char *url,
                                                  const trove_client_options *options, trove_error *error);
/* The key that stands at a URL's end, behind "?key="; NULL: there is none. Pure. */
const char *tvc_security_url_key(const char *url);

/* After the connection is gone. */
void tvc_security_end(struct trove_client *client);

#endif
