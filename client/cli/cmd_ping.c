/* cmd_ping.c - trove ping: does the server answer, and how fast. */
#include "commands.h"
#include "object_output.h"
#include "options.h"
#include "parse.h"

#include <inttypes.h>
#include <string.h>

struct values {
    uint64_t count;
    uint32_t wait_ms;
};

static const struct argp_option options[] = {
    {"count", 'c', "N", 0, "Ask N times, one after the other (default: 1)", 0},
    {"wait", 'w', "SECONDS", 0, "Keep trying so long for a server that isn't there yet", 0},
    {NULL, 0, NULL, 0, NULL, 0},
};

static error_t parse(int key, char *argument, struct argp_state *state, void *input) {
    struct values *values = input;
    switch (key) {
    case 'c':
        if (!cli_parse_count(argument, 1, 1000000000, &values->count))
            argp_error(state, "--count takes a number from 1 on, not '%s'", argument);
        return 0;
    case 'w':
        if (!cli_parse_seconds(argument, &values->wait_ms))
            argp_error(state, "--wait takes seconds, such as 10 or 0.5, not '%s'", argument);
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

struct times {
    uint64_t count;
    uint64_t sum_ns;
    uint64_t min_ns;
    uint64_t max_ns;
};

static double milliseconds(uint64_t ns) {
    return (double)ns / 1e6;
}

static double average_ms(const struct times *times) {
    return milliseconds(times->sum_ns) / (double)times->count;
}

static void show_json(struct cli_context *context, const trove_server_info *info, const struct times *times) {
    json_t *result = json_object();
    json_object_set_new(result, "server", cli_json_text(context->server));
    json_object_set_new(result, "name", cli_json_text(info->name));
    json_object_set_new(result, "version", cli_json_text(info->version));
    json_object_set_new(result, "driver", cli_json_text(info->driver));
    json_object_set_new(result, "uptime_ms", cli_json_number(info->uptime_ms));
    json_object_set_new(result, "connections", cli_json_number(info->connections));
    json_object_set_new(result, "streams_active", cli_json_number(info->streams_active));
    json_object_set_new(result, "memory_budget_bytes", cli_json_number(info->memory_budget_bytes));
    json_object_set_new(result, "memory_in_use_bytes", cli_json_number(info->memory_in_use_bytes));
    json_object_set_new(result, "count", cli_json_number(times->count));
    json_object_set_new(result, "min_ms", json_real(milliseconds(times->min_ns)));
    json_object_set_new(result, "avg_ms", json_real(average_ms(times)));
    json_object_set_new(result, "max_ms", json_real(milliseconds(times->max_ns)));
    cli_output_json(&context->output, result);
}

static trove_status measure(struct cli_context *context, const trove_server_info *info, uint64_t count, struct times *times,
                            trove_error *error) {
    *times = (struct times){.min_ns = UINT64_MAX};
    while (times->count < count && cli_output_works(&context->output)) {
        uint64_t round_trip_ns = 0;
        trove_status status = trove_ping(context->client, 0, &round_trip_ns, error);
        if (status != TROVE_OK)
            return status;
        times->count++;
        times->sum_ns += round_trip_ns;
        times->min_ns = round_trip_ns < times->min_ns ? round_trip_ns : times->min_ns;
        times->max_ns = round_trip_ns > times->max_ns ? round_trip_ns : times->max_ns;
        if (!context->output.json)
            cli_output_done(&context->output, "%s %s (%s) at %s answers in %.3f ms", info->name, info->version, info->driver,
                            context->server, milliseconds(round_trip_ns));
    }
    return TROVE_OK;
}

enum cli_exit cmd_ping(struct cli_context *context, int argc, char **argv) {
    const struct cli_usage usage = {
        .operands = "",
        .doc = "Asks the server (see --server) for an answer and tells how long it took.\v"
               "`trove ping --quiet --wait 10' waits for a server that is just starting, without a word.",
        .options = options,
        .parse = parse,
    };
    struct values values = {.count = 1};
    cli_options_parse_verb(context, &usage, argc, argv, &values);
    enum cli_exit code = cli_connect(context, values.wait_ms);
    if (code != CLI_EXIT_OK)
        return code;
    trove_error error = {0};
    trove_server_info info = {0};
    struct times times;
    if (trove_server_info_get(context->client, 0, &info, &error) != TROVE_OK ||
        measure(context, &info, values.count, &times, &error) != TROVE_OK)
        return cli_fail_call(context, "ping", NULL, context->server, NULL, &error);
    if (context->output.json)
        show_json(context, &info, &times);
    else if (times.count > 1)
        cli_output_done(&context->output, "%" PRIu64 " answers: min %.3f, avg %.3f, max %.3f ms", times.count,
                        milliseconds(times.min_ns), average_ms(&times), milliseconds(times.max_ns));
    return CLI_EXIT_OK;
}
