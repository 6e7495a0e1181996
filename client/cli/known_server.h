/* known_server.h - trust on first use: a server that isn't known yet is asked for its public key, which is recorded. */
#ifndef CLI_KNOWN_SERVER_H
#define CLI_KNOWN_SERVER_H

#include "context.h"

/* Does so where it is asked for (--trust-on-first-use) and neither the settings nor the file of known servers has the server's
 * key; says which key is trusted from now on. Else it does nothing. `wait_ms` as of cli_connect. */
trove_status cli_known_server_trust(struct cli_context *context, uint32_t wait_ms, trove_error *error);

#endif
