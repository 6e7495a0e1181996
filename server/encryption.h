/* encryption.h - the server's own key, and who is let in by theirs. See common/secure.h. */
#ifndef TVS_ENCRYPTION_H
#define TVS_ENCRYPTION_H

#include "session.h"

/* Reads the key file of the options, if there is one; without it no connection is encrypted. Blocks for the file.
 * Errors: those of tv_key_load. */
TROVE_WARN_UNUSED trove_status tvs_encryption_begin(struct tvs_server *server, trove_error *error);
/* After the last session is gone. */
void tvs_encryption_end(struct tvs_server *server);

/* What a session's connection is to be created with. */
struct tv_conn_options tvs_encryption_options(struct tvs_server *server, const struct tv_transport *transport);

/* Says, once, that keys lie in memory that the system may write to its swap. */
void tvs_encryption_warn(void);

#endif
