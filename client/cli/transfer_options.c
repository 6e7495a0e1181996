/* transfer_options.c - see transfer_options.h. */
#include "transfer_options.h"

#include "options.h"
#include "parallel.h"
#include "parse.h"

#include <string.h>

static const uint32_t ACQUIRE_TIMEOUT_MS = 30000;
static const uint32_t RETRY_FOR_MS = 60000;
static const uint64_t CHUNK_BYTES_MAX = UINT64_C(64) << 20; /* trove_stream_options.chunk_bytes */

static const struct {
    const char *name;
    trove_backpressure backpressure;
} modes[] = {
    {"block", TROVE_BACKPRESSURE_BLOCK},
    {"drop", TROVE_BACKPRESSURE_DROP},
    {"buffer", TROVE_BACKPRESSURE_BUFFER},
    {"adaptive", TROVE_BACKPRESSURE_ADAPTIVE},
};

static void parse_backpressure(const char *argument, const struct argp_state *state, struct cli_transfer_values *values) {
    for (size_t i = 0; i < sizeof modes / sizeof modes[0]; i++) {
        if (strcmp(argument, modes[i].name) != 0)
            continue;
        values->backpressure = modes[i].backpressure;
        values->backpressure_given = true;
        return;
    }
    argp_error(state, "--backpressure takes block, drop, buffer or adaptive, not '%s'", argument);
}

error_t cli_transfer_parse(int key, char *argument, struct argp_state *state, struct cli_transfer_values *values) {
    switch (key) {
    case 'r':
        values->recursive = true;
        return 0;
    case 'p':
        if (!cli_parse_count(argument, 1, CLI_PARALLEL_MAX, &values->parallel))
            argp_error(state, "--parallel takes a number from 1 to %d, not '%s'", CLI_PARALLEL_MAX, argument);
        return 0;
    case CLI_KEY_CHUNK_SIZE:
        if (!cli_parse_size(argument, &values->chunk_bytes) || values->chunk_bytes == 0 || values->chunk_bytes > CHUNK_BYTES_MAX)
            argp_error(state, "--chunk-size takes a size from 1 to 64MiB, such as 256KiB or 4MiB, not '%s': " CLI_SIZE_UNITS,
                       argument);
        return 0;
    case CLI_KEY_BWLIMIT:
        return cli_bandwidth_parse(key, argument, state, &values->bandwidth);
    case CLI_KEY_POOL:
        if (*argument == 0)
            argp_error(state, "--pool takes the name of a pool; `trove pools' lists them");
        values->pool = argument;
        return 0;
    case CLI_KEY_ACQUIRE_TIMEOUT:
        if (!cli_parse_seconds(argument, &values->acquire_timeout_ms))
            argp_error(state, "--acquire-timeout takes seconds, such as 600 or 0.5, not '%s'", argument);
        return 0;
    case CLI_KEY_RETRY_FOR:
        if (strcmp(argument, "0") == 0)
            values->retry_for_ms = TROVE_NO_RETRY;
        else if (!cli_parse_seconds(argument, &values->retry_for_ms))
            argp_error(state, "--retry-for takes seconds, such as 600 or 0, not '%s'", argument);
        return 0;
    case CLI_KEY_NO_RESUME:
        values->no_resume = true;
        return 0;
    case CLI_KEY_BACKPRESSURE:
        parse_backpressure(argument, state, values);
        return 0;
    default:
        return cli_conditions_parse(key, argument, state, &values->conditions);
    }
}

trove_stream_options cli_transfer_stream_options(const struct cli_transfer_values *values, const struct cli_context *context) {
    trove_stream_options options;
    trove_stream_options_init(&options);
    options.chunk_bytes = values->chunk_bytes;
    options.conditions = values->conditions;
    options.client_pool = values->bandwidth.pool;
    options.pool = values->pool;
    if (values->backpressure_given)
        options.backpressure = values->backpressure;
    options.lossy = values->backpressure == TROVE_BACKPRESSURE_DROP;
    options.acquire_timeout_ms = context->timeout_ms > 0 ? context->timeout_ms : ACQUIRE_TIMEOUT_MS;
    if (values->acquire_timeout_ms > 0)
        options.acquire_timeout_ms = values->acquire_timeout_ms;
    options.io_timeout_ms = context->io_timeout_ms;
    return options;
}

uint32_t cli_transfer_retry_ms(const struct cli_transfer_values *values) {
    return values->retry_for_ms != 0 ? values->retry_for_ms : RETRY_FOR_MS;
}

void cli_transfer_check_follow(const char *verb, const struct cli_transfer_values *values) {
    const trove_conditions *conditions = &values->conditions;
    if (values->recursive)
        cli_usage_error(verb, "--follow is for one object, not with --recursive");
    if (conditions->if_none_match || cli_conditions_are_for_one(conditions))
        cli_usage_error(verb, "--follow can't be had with conditions (--if-match and the like)");
    if (values->backpressure == TROVE_BACKPRESSURE_DROP)
        cli_usage_error(verb, "--follow can't be had with --backpressure drop: who follows reads all");
}

size_t cli_transfer_threads(const struct cli_transfer_values *values) {
    return values->parallel > 0 ? (size_t)values->parallel : CLI_PARALLEL_DEFAULT;
}
