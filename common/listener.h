/* listener.h - waiting for peers at an address: each that comes is a transport.
 *
 * Threads: peers are told of on nng's threads; the functions may be called from any other.
 */
#ifndef TV_LISTENER_H
#define TV_LISTENER_H

#include "transport.h"

struct tv_listener;

/* Whether a listener could be made: the URL's form, and the place of a unix socket. Touches nothing; whether the address is taken
 * shows only when it is. Errors: INVALID_ARGUMENT, FAILED_PRECONDITION, NOT_FOUND, PERMISSION_DENIED. */
TROVE_WARN_UNUSED trove_status tv_listener_check(const char *url, trove_error *error);

/* A new peer; the transport is the callee's. On nng's thread; must not block. */
typedef void (*tv_accepted)(void *context, struct tv_transport *transport_move);

/* Listens on tcp://HOST:PORT (0 for any), ipc:///PATH, ws://HOST:PORT/PATH and begins to accept. An ipc path that is anything but
 * a socket is refused, one that a live server holds too. The socket has `ipc_mode`, and before nng has changed it what the umask
 * leaves, which should be 077; its directory is made 0700 if it doesn't exist. Running out of file descriptors is waited out with
 * a timer. */
TROVE_WARN_UNUSED trove_status tv_listener_create(const char *url, unsigned ipc_mode, tv_accepted accepted, void *context,
                                                  struct tv_listener **listener, trove_error *error);
/* The URL with the real port. */
const char *tv_listener_url(const struct tv_listener *listener);
/* No more `accepted` after it returns. Not from a completion. NULL is allowed. */
void tv_listener_destroy(struct tv_listener *listener);

#endif
