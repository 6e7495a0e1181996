/* bandwidth.c - see bandwidth.h. */
#include "bandwidth.h"

#include "parse.h"

/* As the server's pools have it. With less the waiting for a first chunk is longer than anybody waits. */
#define RATE_MIN 1024

error_t cli_bandwidth_parse(int key, const char *argument, const struct argp_state *state, struct cli_bandwidth *bandwidth) {
    if (key != CLI_KEY_BWLIMIT)
        return ARGP_ERR_UNKNOWN;
    if (!cli_parse_size(argument, &bandwidth->bytes_per_second) || bandwidth->bytes_per_second < RATE_MIN)
        argp_error(state, "--bwlimit takes bytes a second, from 1KiB on, such as 500KiB or 10MB, not '%s': " CLI_SIZE_UNITS,
                   argument);
    return 0;
}

enum cli_exit cli_bandwidth_begin(struct cli_bandwidth *bandwidth, struct cli_context *context, size_t streams) {
    if (bandwidth->bytes_per_second == 0)
        return CLI_EXIT_OK;
    trove_pool_options options;
    trove_error error = {0};
    trove_pool_options_init(&options);
    options.max_streams = (uint32_t)streams;
    options.bytes_per_second = bandwidth->bytes_per_second;
    if (trove_pool_create(context->client, "bwlimit", &options, &bandwidth->pool, &error) == TROVE_OK)
        return CLI_EXIT_OK;
    return cli_fail(context, "limit", NULL, NULL, NULL, &error);
}

void cli_bandwidth_end(struct cli_bandwidth *bandwidth) {
    (void)trove_pool_close(bandwidth->pool, 0); /* its streams are released */
    bandwidth->pool = NULL;
}
