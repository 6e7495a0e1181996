/* address_limits.h - what one address may have of the server before anybody knows who it is: connections at once, and handshakes
 * a minute, each of which costs key agreements.
 *
 * An address is an IPv4 address, the first half of an IPv6 address (whoever has one has all of that half), or a user of this
 * machine. Those without connections are remembered until their handshakes are forgotten, and forgotten earlier where others need
 * the room.
 * Threads: any; one lock, under which nothing else is taken. Time is given.
 */
#ifndef TVS_ADDRESS_LIMITS_H
#define TVS_ADDRESS_LIMITS_H

#include "status.h"

#include <stdbool.h>
#include <stddef.h>

/* Connections of an address beyond what it may have that are still told why, instead of just being closed. */
#define TVS_REFUSED_POLITELY_MAX 16

struct tvs_address_limits;
struct tvs_address;

struct tvs_address_limits_options {
    uint32_t connections_max; /* of one address */
    uint32_t handshakes_max;  /* of one address, in a minute */
    uint32_t addresses_max;   /* with connections: at least as many as there can be at once */
};

TROVE_WARN_UNUSED trove_status tvs_address_limits_create(const struct tvs_address_limits_options *options,
                                                         struct tvs_address_limits **limits, trove_error *error);
/* Everybody has left. NULL is allowed. */
void tvs_address_limits_destroy(struct tvs_address_limits *limits);

/* What became of a connection: it has to leave in any case. */
struct tvs_entry {
    struct tvs_address *address; /* NULL: it wasn't counted, and has nothing to leave */
    bool refused;
    bool politely; /* there is time to tell it why */
};

/* A connection from `peer`, as transports describe it ("10.0.0.1:4711", "[::1]:4711", "pid 1 uid 2"); with a handshake, or
 * without.
 * Errors: RESOURCE_EXHAUSTED, naming the limit; *entry is filled in then as well. */
TROVE_WARN_UNUSED trove_status tvs_address_limits_enter(struct tvs_address_limits *limits, const char *peer, bool handshake,
                                                        uint64_t now_ns, struct tvs_entry *entry, trove_error *error);
void tvs_address_limits_leave(struct tvs_address_limits *limits, struct tvs_entry *entry);
size_t tvs_address_limits_count(struct tvs_address_limits *limits); /* of addresses that are remembered */

#endif
