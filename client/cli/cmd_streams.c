/* cmd_streams.c - trove streams: the server's streams, of all its clients; pausing, resuming, cancelling and moving them. */
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
    {"seek", TROVE_CONTROL_SEEK},
};

static trove_control find_control(const char *name) {
    for (size_t i = 0; i < sizeof controls / sizeof controls[0]; i++)
        if (strcmp(controls[i].name, name) == 0)
            return controls[i].control;
    cli_usage_error("streams", "'%s' is neither pause, resume, cancel nor seek", name);
}

static enum cli_exit control_one(struct cli_context *context, const char *action, trove_control control, uint64_t offset,
                                 const char *id_text) {
    uint64_t id = strtoull(id_text, NULL, 10); /* it was looked at before */
    bool seek = control == TROVE_CONTROL_SEEK;
    trove_stream_state state;
    trove_error error = {0};
    trove_status status = seek ? trove_server_stream_seek(context->client, id, offset, 0, &state, &error)
                               : trove_server_stream_control(context->client, id, control, 0, &state, &error);
    if (status != TROVE_OK)
        return cli_fail_call(context, action, id_text, NULL, NULL, &error);
    if (!context->output.json && seek)
        cli_output_done(&context->output, "stream %" PRIu64 " is %s, and goes on at byte %" PRIu64, id,
                        trove_stream_state_name(state), offset);
    else if (!context->output.json)
        cli_output_done(&context->output, "stream %" PRIu64 " is %s", id, trove_stream_state_name(state));
    if (!context->output.json)
        return CLI_EXIT_OK;
    json_t *result = json_object();
    json_object_set_new(result, "stream", cli_json_number(id));
    json_object_set_new(result, "state", json_string(trove_stream_state_name(state)));
    if (seek)
        json_object_set_new(result, "offset", cli_json_number(offset));
    cli_output_json(&context->output, result);
    return CLI_EXIT_OK;
}

/* The last operand of a seek; the others are as of all controls. */
static uint64_t take_offset(struct cli_operands *operands) {
    uint64_t offset = 0;
    if (operands->count != 3)
        cli_usage_error("streams", "seek takes one stream's ID and the OFFSET to go on at");
    if (!cli_parse_size(operands->texts[2], &offset))
        cli_usage_error("streams", "'%s' is no offset: a number of bytes, such as 1048576 or 1MiB", operands->texts[2]);
    operands->count = 2;
    return offset;
}

enum cli_exit cmd_streams(struct cli_context *context, int argc, char **argv) {
    const struct cli_usage usage = {
        .operands = "\npause|resume|cancel ID...\nseek ID OFFSET",
        .doc = "Lists the streams that are open on the server, of all its clients, or moves some of them.\v"
               "A stream that waits for a place in its pool has a number under PLACE, its own in the queue, also while it is "
               "paused. A "
               "paused stream holds its place; its client is told, and so it is of a cancel. `seek' has a stream go on at byte "
               "OFFSET of "
               "its object (a unit may follow, as in 64MiB): an upload at what the server has received at most, and not below "
               "what is durable, a download anywhere; its program must be able to, as the put of a file is.",
        .options = options,
        .parse = parse,
        .operands_max = CLI_OPERANDS_ANY,
    };
    const char *pool = NULL;
    struct cli_operands operands = cli_options_parse_verb(context, &usage, argc, argv, &pool);
    trove_control control = operands.count > 0 ? find_control(operands.texts[0]) : TROVE_CONTROL_PAUSE;
    uint64_t id;
    uint64_t offset = 0;
    if (operands.count == 1)
        cli_usage_error("streams", "%s what? `trove streams' lists the ids", operands.texts[0]);
    if (control == TROVE_CONTROL_SEEK)
        offset = take_offset(&operands);
    for (int i = 1; i < operands.count; i++)
        if (!cli_parse_count(operands.texts[i], 1, UINT64_MAX, &id))
            cli_usage_error("streams", "'%s' is no stream's id", operands.texts[i]);
    enum cli_exit worst = cli_connect(context, 0);
    if (worst == CLI_EXIT_OK && operands.count == 0)
        return list(context, pool);
    for (int i = 1; i < operands.count && cli_context_usable(context, worst); i++)
        worst = cli_exit_worst(worst, control_one(context, operands.texts[0], control, offset, operands.texts[i]));
    return worst;
}
