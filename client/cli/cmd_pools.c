/* cmd_pools.c - trove pools: the server's stream pools, their limits and what they have done. */
#include "commands.h"
#include "options.h"
#include "server_output.h"

enum cli_exit cmd_pools(struct cli_context *context, int argc, char **argv) {
    const struct cli_usage usage = {
        .operands = "",
        .doc = "Lists the server's stream pools: streams open and allowed, those that wait for a place, bytes a second and their "
               "limit, the 99th percentile of the chunks' latency, bytes in all, failed streams.\vWith --json there is more.",
    };
    cli_options_parse_verb(context, &usage, argc, argv, NULL);
    enum cli_exit code = cli_connect(context, 0);
    if (code != CLI_EXIT_OK)
        return code;
    trove_error error = {0};
    trove_server_pool *pools = NULL;
    size_t count = 0;
    if (trove_server_pool_list(context->client, 0, &pools, &count, &error) != TROVE_OK)
        return cli_fail_call(context, "pools", NULL, NULL, NULL, &error);
    if (!context->output.json)
        cli_output_text(&context->output, cli_pool_head());
    for (size_t i = 0; i < count; i++) {
        if (context->output.json)
            cli_output_json(&context->output, cli_pool_json(&pools[i]));
        else
            cli_output_text(&context->output, cli_pool_row(&pools[i]));
    }
    trove_server_pool_list_free(pools);
    return CLI_EXIT_OK;
}
