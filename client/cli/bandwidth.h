/* bandwidth.h - --bwlimit: the limit that all transfers of a command keep together, as streams of one pool. */
#ifndef CLI_BANDWIDTH_H
#define CLI_BANDWIDTH_H

#include "options.h"

#include <argp.h>

enum {
    CLI_KEY_BWLIMIT = CLI_KEYS_OF_BANDWIDTH,
};

#define CLI_BWLIMIT_OPTION                                                                                                       \
    {                                                                                                                            \
        "bwlimit", CLI_KEY_BWLIMIT, "RATE", 0,                                                                                   \
            "At most RATE bytes a second for all transfers together, as 500KiB or 10MB (10,000,000)", 0                          \
    }

struct cli_bandwidth {
    uint64_t bytes_per_second; /* 0: no limit */
    trove_pool *pool;          /* NULL: none is needed */
};

/* ARGP_ERR_UNKNOWN for another option. */
error_t cli_bandwidth_parse(int key, const char *argument, const struct argp_state *state, struct cli_bandwidth *bandwidth);

/* Once connected, for up to `streams` at a time. Says by itself what went wrong. */
enum cli_exit cli_bandwidth_begin(struct cli_bandwidth *bandwidth, struct cli_context *context, size_t streams);
void cli_bandwidth_end(struct cli_bandwidth *bandwidth);

#endif
