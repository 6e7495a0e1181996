/* cmd_cat.c - trove cat: objects to standard output, one after the other. */
#include "bandwidth.h"
#include "commands.h"
#include "fetch.h"
#include "object_name.h"
#include "options.h"
#include "target.h"

#include <unistd.h>

struct values {
    bool allow_gaps;
    struct cli_bandwidth bandwidth;
};

enum {
    KEY_ALLOW_GAPS = 0x1000 + 0x100
};

static const struct argp_option options[] = {
    {"allow-gaps", KEY_ALLOW_GAPS, NULL, 0, "Zeros for what a lossy upload lost, instead of a failure", 0},
    CLI_BWLIMIT_OPTION,
    {NULL, 0, NULL, 0, NULL, 0},
};

static error_t parse(int key, char *argument, struct argp_state *state, void *input) {
    struct values *values = input;
    if (key != KEY_ALLOW_GAPS)
        return cli_bandwidth_parse(key, argument, state, &values->bandwidth);
    values->allow_gaps = true;
    return 0;
}

enum cli_exit cmd_cat(struct cli_context *context, int argc, char **argv) {
    const struct cli_usage usage = {
        .operands = "BUCKET/KEY...",
        .doc = "Fetches objects to standard output, one after the other.\v`trove get' has more options.",
        .options = options,
        .parse = parse,
        .operands_min = 1,
    };
    struct values values = {0};
    struct cli_operands operands = cli_options_parse_verb(context, &usage, argc, argv, &values);
    struct cli_object_name *names = cli_operands_objects("cat", &operands, true);
    enum cli_exit worst = cli_connect(context, 0);
    if (worst == CLI_EXIT_OK)
        worst = cli_bandwidth_begin(&values.bandwidth, context, 1);
    for (int i = 0, count = worst == CLI_EXIT_OK ? operands.count : 0; i < count; i++) {
        struct cli_fetch fetch = {.context = context, .action = "cat", .bucket = names[i].bucket, .key = names[i].key};
        trove_stream_options_init(&fetch.options);
        fetch.options.allow_gaps = values.allow_gaps;
        fetch.options.client_pool = values.bandwidth.pool;
        struct cli_target target = {.fd = STDOUT_FILENO, .folder_fd = -1};
        trove_object_info *info = NULL;
        enum cli_exit code = cli_fetch_run(&fetch, &target, &info);
        worst = cli_exit_worst(worst, code);
        trove_object_info_free(info);
        if (code == CLI_EXIT_PIPE || code == CLI_EXIT_UNAVAILABLE)
            break;
    }
    cli_bandwidth_end(&values.bandwidth);
    cli_object_names_free(names, operands.count);
    return worst;
}
