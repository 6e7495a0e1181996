/* url.h - the addresses of servers: what may be dialled, and what may be listened on. Pure; any thread.
 *
 * nng takes more than these (a tcp address without a port, or with a path), and then listens where nobody looks for it. Its
 * answer for a wrong address is also the one for a name that nobody knows: what is wrong has to be found before it is asked.
 */
#ifndef TV_URL_H
#define TV_URL_H

#include "bounds.h"
#include "status.h"

#include <stdbool.h>

/* What messages say of them. */
#define TV_URL_FORMS "ipc:///PATH, tcp://HOST:PORT or ws://HOST:PORT/PATH"

enum tv_url_use {
    TV_URL_TO_DIAL,
    TV_URL_TO_LISTEN /* also with the port 0 for any, and with no host or * for all addresses of the machine */
};

/* Whether the URL has one of these forms. Nothing is resolved, opened or looked up. Errors: INVALID_ARGUMENT, with the rule. */
TROVE_WARN_UNUSED trove_status tv_url_check(const char *url, enum tv_url_use use, trove_error *error);

/* Whether peers come over a network: tcp:// and ws://. */
bool tv_url_is_network(const char *url);

/* The host's name or address, without brackets; "" where the URL has none, as those of unix sockets. Of a URL that was
 * checked. */
struct tv_url_host {
    char text[TV_URL_BYTES_MAX + 1];
};
struct tv_url_host tv_url_host(const char *url);

#endif
