/* transfer_options.h - the options that put and get share. */
#ifndef CLI_TRANSFER_OPTIONS_H
#define CLI_TRANSFER_OPTIONS_H

#include "bandwidth.h"
#include "condition_options.h"

#include <argp.h>

struct cli_transfer_values {
    bool recursive;
    bool no_resume;
    uint64_t parallel; /* 0: not given */
    uint64_t chunk_bytes;
    trove_conditions conditions;
    struct cli_bandwidth bandwidth;
    const char *pool;
    uint32_t acquire_timeout_ms;     /* 0: not given */
    uint32_t retry_for_ms;           /* 0: not given */
    trove_backpressure backpressure; /* what the server's pool has, unless it is given */
    bool backpressure_given;
};

enum {
    CLI_KEY_CHUNK_SIZE = CLI_KEYS_OF_TRANSFERS,
    CLI_KEY_POOL,
    CLI_KEY_ACQUIRE_TIMEOUT,
    CLI_KEY_BACKPRESSURE,
    CLI_KEY_NO_RESUME,
    CLI_KEY_RETRY_FOR,
};

/* `cat` has these alone. */
#define CLI_POOL_OPTIONS                                                                                                         \
    {"pool", CLI_KEY_POOL, "NAME", 0, "Take the server's stream pool NAME (`trove pools' lists them)", 0}, {                     \
        "acquire-timeout", CLI_KEY_ACQUIRE_TIMEOUT, "SECONDS", 0,                                                                \
            "Wait so long for a place in a pool that is full (default: as --timeout, else 30)", 0                                \
    }

#define CLI_RETRY_OPTION                                                                                                         \
    {                                                                                                                            \
        "retry-for", CLI_KEY_RETRY_FOR, "SECONDS", 0,                                                                            \
            "Connect again for so long when the connection is lost or the server restarts, and go on (default: 60); 0: don't", 0 \
    }

#define CLI_TRANSFER_OPTIONS                                                                                                     \
    {"parallel", 'p', "N", 0, "So many transfers at once, 1 to 64 (default: 4 where there are many)", 0},                        \
        {"chunk-size", CLI_KEY_CHUNK_SIZE, "SIZE", 0, "Bytes a chunk, as 256K or 4MiB; at most 64MiB", 0}, CLI_BWLIMIT_OPTION,   \
        CLI_POOL_OPTIONS, CLI_RETRY_OPTION,                                                                                      \
        {"backpressure",                                                                                                         \
         CLI_KEY_BACKPRESSURE,                                                                                                   \
         "MODE",                                                                                                                 \
         0,                                                                                                                      \
         "When the other end doesn't keep up: `block' waits (the default, unless the server's pool has another); `drop' loses "  \
         "what has waited longest, for live "                                                                                    \
         "sources, not for files, and says how much (it reads as zeros; `get' needs --allow-gaps for what `put' lost, and to "   \
         "write to a file); `buffer' keeps up to 1 "                                                                             \
         "GiB of a put in memory and a file in $TMPDIR, so that a source that can't wait doesn't have to (`get' waits); "        \
         "`adaptive' waits and looks for the chunk size that goes best, up to --chunk-size",                                     \
         0},                                                                                                                     \
        {"no-resume",                                                                                                            \
         CLI_KEY_NO_RESUME,                                                                                                      \
         NULL,                                                                                                                   \
         0,                                                                                                                      \
         "Begin anew, and leave nothing to go on with. Without it the same command goes on where an earlier one was cut off",    \
         0},                                                                                                                     \
        CLI_CONDITION_OPTIONS

/* ARGP_ERR_UNKNOWN for an option that isn't one of them (and 'r', which both have with a help text of their own). */
error_t cli_transfer_parse(int key, char *argument, struct argp_state *state, struct cli_transfer_values *values);

/* The library's options with what was given. */
trove_stream_options cli_transfer_stream_options(const struct cli_transfer_values *values, const struct cli_context *context);

/* What --retry-for says, as the client takes it. */
uint32_t cli_transfer_retry_ms(const struct cli_transfer_values *values);

/* Ends with a usage error where an option contradicts --follow. */
void cli_transfer_check_follow(const char *verb, const struct cli_transfer_values *values);

/* Threads for so many files. */
size_t cli_transfer_threads(const struct cli_transfer_values *values);

#endif
