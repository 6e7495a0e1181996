/* cmd_cp.c - trove cp: a copy inside the server. */
#include "commands.h"
#include "object_name.h"
#include "object_output.h"
#include "options.h"
#include "text.h"

#include <stdlib.h>

enum cli_exit cmd_cp(struct cli_context *context, int argc, char **argv) {
    const struct cli_usage usage = {
        .operands = "BUCKET/KEY BUCKET/KEY",
        .doc = "Copies an object inside the server, content type and metadata included.\v"
               "A target that is a bucket or ends in '/' gets the last part of the source's key behind it.",
        .operands_min = 2,
        .operands_max = 2,
    };
    struct cli_operands operands = cli_options_parse_verb(context, &usage, argc, argv, NULL);
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
        trove_status status = trove_object_copy(context->client, from.bucket, from.key, to.bucket, to_key, 0, &info, &error);
        if (status != TROVE_OK) {
            char *hint = status == TROVE_NOT_FOUND ? cli_format("see 'trove ls %s' and 'trove ls'", from.bucket) : NULL;
            code = cli_fail(context, "cp", operands.texts[0], target, hint, &error);
            free(hint);
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
