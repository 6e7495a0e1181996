/* cmd_streams.c - trove streams: the server's streams, of all its clients; pausing, resuming and cancelling them. */
#include "commands.h"
#include "object_output.h"
#include "options.h"
#include "parse.h"
#include "server_output.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum {
    KEY_POOL = CLI_KEYS_OF_VERB,
};

static const struct argp_option options[] = {
    {"pool", KEY_POOL, "NAME", 0, "Only those of the server's stream pool NAME", 0},
    {NULL, 0, NULL, 0, NULL, 0},
};

static error_t parse(int key, char *argument, struct argp_state *state, void *input) {
    const char **pool = input;
    if (key != KEY_POOL)
        return ARGP_ERR_UNKNOWN;
    if (*argument == 0)
        argp_error(state, "--pool takes the name of a pool; `trove pools' lists them");
    *pool = argument;
    return 0;
}

/* ---- lists ---- */

struct listing {
    struct cli_output *output;
    bool begun;
};

static bool show_page(void *context, const trove_server_stream_page *page) {
    struct listing *listing = context;
    struct cli_output *output = listing->output;
    if (!output->json && !listing->begun)
        cli_output_text(output, cli_stream_head(SIZE_MAX));
    listing->begun = true;
    for (size_t i = 0; i < page->count; i++) {
        if (output->json)
            cli_output_json(output, cli_stream_json(&page->streams[i]));
        else
            cli_output_text(output, cli_stream_row(&page->streams[i], SIZE_MAX));
    }
    return cli_output_works(output);
}

static enum cli_exit list(struct cli_context *context, const char *pool) {
    struct listing listing = {.output = &context->output};
    trove_error error = {0};
    if (cli_streams_run(context->client, pool, show_page, &listing, &error) == TROVE_OK)
        return CLI_EXIT_OK;
    return cli_fail_call(context, "streams", NULL, NULL, NULL, &error);
}

/* ---- controls ---- */

static const struct {
    const char *name;
    trove_control control;
} controls[] = {
    {"pause", TROVE_CONTROL_PAUSE},
    {"resume", TROVE_CONTROL_RESUME},
    {"cancel", TROVE_CONTROL_CANCEL},
};

static trove_control find_control(const char *name) {
    for (size_t i = 0; i < sizeof controls / sizeof controls[0]; i++)
        if (strcmp(controls[i].name, name) == 0)
            return controls[i].control;
    cli_usage_error("streams", "'%s' is neither pause, resume nor cancel", name);
}

static enum cli_exit control_one(struct cli_context *context, const char *action, trove_control control, const char *id_text) {
    uint64_t id = strtoull(id_text, NULL, 10); /* it was looked at before */
    trove_stream_state state;
    trove_error error = {0};
    trove_status status = trove_server_stream_control(context->client, id, control, 0, &state, &error);
    if (status != TROVE_OK)
        return cli_fail_call(context, action, id_text, NULL, NULL, &error);
    if (!context->output.json) {
        cli_output_done(&context->output, "stream %" PRIu64 " is %s", id, trove_stream_state_name(state));
        return CLI_EXIT_OK;
    }
    json_t *result = json_object();
    json_object_set_new(result, "stream", cli_json_number(id));
    json_object_set_new(result, "state", json_string(trove_stream_state_name(state)));
    cli_output_json(&context->output, result);
    return CLI_EXIT_OK;
}

enum cli_exit cmd_streams(struct cli_context *context, int argc, char **argv) {
    const struct cli_usage usage = {
        .operands = "\npause|resume|cancel ID...",
        .doc = "Lists the streams that are open on the server, of all its clients, or moves some of them.\v"
               "A stream that waits for a place in its pool has a number under PLACE, its own in the queue, also while it is "
               "paused. A "
               "paused stream holds its place; its client is told, and so it is of a cancel.",
        .options = options,
        .parse = parse,
        .operands_max = CLI_OPERANDS_ANY,
    };
    const char *pool = NULL;
    struct cli_operands operands = cli_options_parse_verb(context, &usage, argc, argv, &pool);
    trove_control control = operands.count > 0 ? find_control(operands.texts[0]) : TROVE_CONTROL_PAUSE;
    uint64_t id;
    if (operands.count == 1)
        cli_usage_error("streams", "%s what? `trove streams' lists the ids", operands.texts[0]);
    for (int i = 1; i < operands.count; i++)
        if (!cli_parse_count(operands.texts[i], 1, UINT64_MAX, &id))
            cli_usage_error("streams", "'%s' is no stream's id", operands.texts[i]);
    enum cli_exit worst = cli_connect(context, 0);
    if (worst == CLI_EXIT_OK && operands.count == 0)
        return list(context, pool);
    for (int i = 1; i < operands.count && cli_context_usable(context, worst); i++)
        worst = cli_exit_worst(worst, control_one(context, operands.texts[0], control, operands.texts[i]));
    return worst;
}
