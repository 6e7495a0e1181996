/* proxy.h - for tests: what stands between two ends and spoils what goes through, by a seed.
 *
 * It passes on bytes and knows nothing of what they mean, so it takes tcp, unix sockets and ws alike. A connection has so many
 * faults each way, at places that the seed, the connection's number and the direction decide about: "the 1,234th byte up has its
 * third bit flipped". So a run has the same faults again as long as the ends send the same bytes; when what happens is up to
 * them. One thread of its own, plain poll(). What can't be done fails the cmocka test.
 */
#ifndef TROVE_TESTS_PROXY_H
#define TROVE_TESTS_PROXY_H

#include <stdint.h>

/* Of a connection: in each direction 0 to so many of each. */
struct proxy_faults {
    uint64_t seed;
    uint64_t span_bytes; /* before this byte, most of them early */
    unsigned flips;      /* of a bit */
    unsigned cuts;       /* RST, FIN of both ways, or FIN of one way and silence; on a unix socket RST is a close */
    unsigned delays;     /* of 1 to delay_ms */
    unsigned delay_ms;
    unsigned stalls; /* of 1 to stall_ms */
    unsigned stall_ms;
    unsigned black_holes; /* nothing more comes through this way until one end gives up */
    unsigned pieces;      /* so many bytes at the beginning go on in pieces of 1 to 16 */
    unsigned connections; /* only the first ones have faults; 0: all */
};

struct proxy_counts {
    uint64_t connections;
    uint64_t bytes_up;
    uint64_t bytes_down;
    uint64_t flips;
    uint64_t cuts;
    uint64_t waits; /* delays, stalls, black holes */
};

struct proxy;

/* Listens as `upstream` does: on a unix socket in `folder`, or on a free port of 127.0.0.1. */
struct proxy *proxy_start(const char *folder, const char *upstream, const struct proxy_faults *faults);
/* What clients dial; a ws URL's path is that of `upstream`. Belongs to the proxy. */
const char *proxy_url(const struct proxy *proxy);
/* For connections that come from now on. */
void proxy_set_faults(struct proxy *proxy, const struct proxy_faults *faults);
void proxy_get_counts(struct proxy *proxy, struct proxy_counts *counts);
/* Cuts what is open, and takes its socket away. */
void proxy_stop(struct proxy *proxy);

#endif
