/* context.c - see context.h. */
#include "context.h"

#include "server_url.h"
#include "text.h"

#include <stdlib.h>
#include <unistd.h>

void cli_context_init(struct cli_context *context) {
    *context = (struct cli_context){0};
    const char *server = getenv("TROVE_SERVER");
    if (server != NULL && *server != 0)
        context->server = cli_copy(server);
    else
        context->server = cli_server_url_default(getenv("XDG_RUNTIME_DIR"), geteuid());
    cli_output_init(&context->output);
    cli_interrupt_init(&context->interrupt, &context->output);
}

void cli_context_fini(struct cli_context *context) {
    trove_close(context->client);
    cli_interrupt_fini(&context->interrupt);
    cli_output_fini(&context->output);
    free(context->server);
}

enum cli_exit cli_connect(struct cli_context *context, uint32_t wait_ms) {
    trove_client_options options;
    trove_client_options_init(&options);
    options.name = "trove";
    if (context->timeout_ms > 0) {
        options.connect_timeout_ms = context->timeout_ms;
        options.call_timeout_ms = context->timeout_ms;
    }
    trove_error error = {0};
    trove_status status = wait_ms > 0 ? trove_connect_wait(context->server, &options, wait_ms, &context->client, &error)
                                      : trove_connect(context->server, &options, &context->client, &error);
    if (status == TROVE_OK)
        return CLI_EXIT_OK;
    const char *hint = NULL;
    if (status == TROVE_UNAVAILABLE || status == TROVE_DEADLINE_EXCEEDED)
        hint = "start a server with 'troved', or name another one with --server URL or TROVE_SERVER";
    else if (status == TROVE_INVALID_ARGUMENT)
        hint = "a server's URL is ipc:///PATH, tcp://HOST:PORT or ws://HOST:PORT/PATH";
    return cli_fail(context, "connect", NULL, context->server, hint, &error);
}

enum cli_exit cli_fail(struct cli_context *context, const char *action, const char *from, const char *to, const char *hint,
                       const trove_error *error) {
    const struct cli_failure failure = {
        .action = action,
        .from = from,
        .to = to,
        .hint = hint != NULL ? hint : cli_hint_for_status(error->status),
        .error = error,
    };
    return cli_output_failure(&context->output, &failure);
}
