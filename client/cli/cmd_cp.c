/* cmd_cp.c - trove cp: a copy inside the server. */
#include "commands.h"
#include "condition_options.h"
#include "object_name.h"
#include "object_output.h"
#include "options.h"
#include "text.h"

#include <stdlib.h>

static const struct argp_option options[] = {
    {"if-match", CLI_KEY_IF_MATCH, "ETAG", 0, "Only if the target is there already and has this etag", 0},
    {"if-generation", CLI_KEY_IF_GENERATION, "N", 0, "Only if the target is there already and has this generation", 0},
    CLI_CREATE_OPTION,
    {NULL, 0, NULL, 0, NULL, 0},
};

static error_t parse(int key, char *argument, struct argp_state *state, void *input) {
    return cli_conditions_parse(key, argument, state, input);
}

enum cli_exit cmd_cp(struct cli_context *context, int argc, char **argv) {
    const struct cli_usage usage = {
        .operands = "BUCKET/KEY BUCKET/KEY",
        .doc =
            "Copies an object inside the server, content type, metadata and gaps included.\v"
            "A target that is a bucket or ends in '/' gets the last part of the source's key behind it. A large object takes its "
            "time, which is waited for; --timeout limits it.",
        .options = options,
        .parse = parse,
        .operands_min = 2,
        .operands_max = 2,
    };
    trove_conditions conditions = {0};
    struct cli_operands operands = cli_options_parse_verb(context, &usage, argc, argv, &conditions);
    cli_conditions_check("cp", &conditions);
    struct cli_object_name from;
    struct cli_object_name to;
    if (!cli_object_name_parse(operands.texts[0], &from) || *from.key == 0)
        cli_usage_error("cp", "'%s' is no object; objects are BUCKET/KEY", operands.texts[0]);
    if (!cli_object_name_parse(operands.texts[1], &to))
        cli_usage_error("cp", "'%s' has no bucket; objects are BUCKET/KEY", operands.texts[1]);
    const char *added = cli_key_is_folder(to.key) ? cli_key_base(from.key) : "";
    char *to_key = cli_format("%s%s", to.key, added);
    if (*to_key == 0)
        cli_usage_error("cp", "'%s' gives the copy no name; write the whole key", operands.texts[0]);
    char *target = cli_format("%s/%s", to.bucket, to_key);

    enum cli_exit code = cli_connect(context, 0);
    if (code == CLI_EXIT_OK) {
        trove_error error = {0};
        trove_object_info *info = NULL;
        /* Nobody tells how far a copy is: one that is large takes as long as it takes, while the server is there. */
        uint32_t timeout_ms = context->timeout_ms > 0 ? context->timeout_ms : TROVE_NO_TIMEOUT;
        trove_status status =
            trove_object_copy(context->client, from.bucket, from.key, to.bucket, to_key, &conditions, timeout_ms, &info, &error);
        if (status != TROVE_OK) {
            const struct cli_hint_about about = {.bucket = from.bucket, .object = target, .conditions = &conditions};
            code = cli_fail_call(context, "cp", operands.texts[0], target, &about, &error);
        } else if (context->output.json) {
            cli_output_json(&context->output, cli_object_json(info));
        } else {
            cli_output_done(&context->output, "%s -> %s", operands.texts[0], target);
        }
        trove_object_info_free(info);
    }
    free(target);
    free(to_key);
    cli_object_name_fini(&to);
    cli_object_name_fini(&from);
    return code;
}
