/* transport_nng.h - what transport.c and listener.c share; included by them alone. */
#ifndef TV_TRANSPORT_NNG_H
#define TV_TRANSPORT_NNG_H

#include "transport.h"

#include <nng/nng.h>
#include <nng/supplemental/util/platform.h>

#define TV_WS_MESSAGE_BYTES_MAX (TV_PAYLOAD_BYTES_MAX + TV_HEADER_BYTES_MAX)

/* What dialers and listeners of ws are set to: type, name, value. "ws:msgmode" isn't in nng's headers, but what its own SP
 * transport sets. */
#define TV_WS_OPTIONS(X)                                                                                                         \
    X(bool, "ws:msgmode", true)                                                                                                  \
    X(string, NNG_OPT_WS_PROTOCOL, "pair.sp.nanomsg.org")                                                                        \
    X(size, NNG_OPT_WS_RECVMAXFRAME, TV_WS_MESSAGE_BYTES_MAX)                                                                    \
    X(size, NNG_OPT_RECVMAXSZ, TV_WS_MESSAGE_BYTES_MAX)

/* Fills `error` with "URL: reason" for an error code of nng's; `what` comes before that, and ends with a space unless it is
 * empty. */
trove_status tv_nng_error(trove_error *error, int code, const char *what, const char *url);

/* Takes the stream over, on failure too. */
TROVE_WARN_UNUSED trove_status tv_nng_transport_create(nng_stream *stream_move, const char *url, struct tv_transport **transport,
                                                       trove_error *error);

#endif
