/* cmd_cat.c - trove cat: objects to standard output, one after the other. */
#include "bandwidth.h"
#include "commands.h"
#include "fetch.h"
#include "object_name.h"
#include "options.h"
#include "target.h"
#include "transfer_options.h"

enum {
    KEY_ALLOW_GAPS = CLI_KEYS_OF_VERB,
    KEY_FOLLOW,
    KEY_RANGE,
};

struct values {
    struct cli_transfer_values transfer;
    bool allow_gaps;
    bool follow;
};

static const struct argp_option options[] = {
    {"allow-gaps", KEY_ALLOW_GAPS, NULL, 0, "Zeros for what a lossy upload lost, instead of a failure", 0},
    {"follow", KEY_FOLLOW, NULL, 0, "What `put --follow' is writing now, from its beginning on, until it is done", 0},
    {"range", KEY_RANGE, "FROM-TO", OPTION_HIDDEN, NULL, 0}, /* it is looked for here, too */
    CLI_BWLIMIT_OPTION,
    CLI_POOL_OPTIONS,
    CLI_RETRY_OPTION,
    {NULL, 0, NULL, 0, NULL, 0},
};

static error_t parse(int key, char *argument, struct argp_state *state, void *input) {
    struct values *values = input;
    switch (key) {
    case KEY_ALLOW_GAPS:
        values->allow_gaps = true;
        return 0;
    case KEY_FOLLOW:
        values->follow = true;
        return 0;
    case KEY_RANGE:
        argp_error(state, "a part of an object is fetched by 'trove get --range %s BUCKET/KEY -'", argument);
        return 0;
    case CLI_KEY_POOL:
    case CLI_KEY_ACQUIRE_TIMEOUT:
    case CLI_KEY_BWLIMIT:
    case CLI_KEY_RETRY_FOR:
        return cli_transfer_parse(key, argument, state, &values->transfer);
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

enum cli_exit cmd_cat(struct cli_context *context, int argc, char **argv) {
    const struct cli_usage usage = {
        .operands = "BUCKET/KEY...",
        .doc =
            "Fetches objects to standard output, one after the other.\v`trove get' has more options. With --json the bytes stay "
            "bytes, and failures are JSON.",
        .options = options,
        .parse = parse,
        .operands_min = 1,
        .operands_max = CLI_OPERANDS_ANY,
    };
    struct values values = {0};
    struct cli_operands operands = cli_options_parse_verb(context, &usage, argc, argv, &values);
    struct cli_object_name *names = cli_operands_objects("cat", &operands, true);
    context->retry_for_ms = cli_transfer_retry_ms(&values.transfer);
    enum cli_exit worst = cli_connect(context, 0);
    if (worst == CLI_EXIT_OK)
        worst = cli_bandwidth_begin(&values.transfer.bandwidth, context, 1);
    for (int i = 0, count = worst == CLI_EXIT_OK ? operands.count : 0; i < count; i++) {
        struct cli_fetch fetch = {.context = context, .action = "cat", .bucket = names[i].bucket, .key = names[i].key};
        fetch.options = cli_transfer_stream_options(&values.transfer, context);
        fetch.options.allow_gaps = values.allow_gaps;
        fetch.options.follow = values.follow;
        fetch.options.resumable = !values.follow;
        struct cli_target target = cli_target_stdout();
        trove_object_info *info = NULL;
        enum cli_exit code = cli_fetch_run(&fetch, &target, &info);
        worst = cli_exit_worst(worst, code);
        trove_object_info_free(info);
        if (code == CLI_EXIT_PIPE || code == CLI_EXIT_UNAVAILABLE)
            break;
    }
    cli_bandwidth_end(&values.transfer.bandwidth);
    cli_object_names_free(names, operands.count);
    return worst;
}
