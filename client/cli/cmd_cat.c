/* cmd_cat.c - trove cat: objects to standard output, one after the other. */
#include "commands.h"
#include "fetch.h"
#include "object_name.h"
#include "options.h"
#include "target.h"

#include <unistd.h>

enum cli_exit cmd_cat(struct cli_context *context, int argc, char **argv) {
    const struct cli_usage usage = {
        .operands = "BUCKET/KEY...",
        .doc = "Fetches objects to standard output, one after the other.\v`trove get' has more options.",
        .operands_min = 1,
    };
    struct cli_operands operands = cli_options_parse_verb(context, &usage, argc, argv, NULL);
    struct cli_object_name *names = cli_operands_objects("cat", &operands, true);
    enum cli_exit worst = cli_connect(context, 0);
    for (int i = 0; i < operands.count && context->client != NULL; i++) {
        struct cli_fetch fetch = {.context = context, .action = "cat", .bucket = names[i].bucket, .key = names[i].key};
        trove_stream_options_init(&fetch.options);
        struct cli_target target = {.fd = STDOUT_FILENO, .folder_fd = -1};
        trove_object_info *info = NULL;
        enum cli_exit code = cli_fetch_run(&fetch, &target, &info);
        worst = cli_exit_worst(worst, code);
        trove_object_info_free(info);
        if (code == CLI_EXIT_PIPE || code == CLI_EXIT_UNAVAILABLE)
            break;
    }
    cli_object_names_free(names, operands.count);
    return worst;
}
