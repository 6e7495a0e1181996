/* cut_proxy.h - for tests of what outlives a connection: stands between a client and a troved, and cuts.
 *
 * It listens on a unix socket beside the server's, which may come and go, and passes bytes on. A connection is cut when it has
 * carried so many bytes up or down, as often as the test has said; or at once.
 */
#ifndef CUT_PROXY_H
#define CUT_PROXY_H

#include <stdint.h>

struct cut_proxy;

/* For the server whose socket is at `url` (ipc). */
struct cut_proxy *cut_proxy_start(const char *url);
/* All connections have ended by then. */
void cut_proxy_stop(struct cut_proxy *proxy);
const char *cut_proxy_url(const struct cut_proxy *proxy);

/* From now on each connection is cut after so many bytes, `times` of them. */
void cut_proxy_after_up(struct cut_proxy *proxy, uint64_t bytes, unsigned times);
void cut_proxy_after_down(struct cut_proxy *proxy, uint64_t bytes, unsigned times);
/* Cuts what there is now. */
void cut_proxy_now(struct cut_proxy *proxy);
/* While it is shut nobody is let in. */
void cut_proxy_shut(struct cut_proxy *proxy, int shut);
/* Passed on from clients to the server, in all. */
uint64_t cut_proxy_bytes_up(const struct cut_proxy *proxy);

#endif
