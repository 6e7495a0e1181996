/* context.c - see context.h. */
#include "context.h"

#include "key_path.h"
#include "known_server.h"
#include "options.h"
#include "server_url.h"
#include "text.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Shorter than the server's own limit for a stream on which nothing moves: it is the command that says why. */
#define IO_TIMEOUT_MS 240000

/* A variable's value, for the caller to free; NULL where it isn't set or is empty. */
static char *variable(const char *name) {
    const char *value = getenv(name);
    return value != NULL && *value != 0 ? cli_copy(value) : NULL;
}

void cli_context_init(struct cli_context *context) {
    *context = (struct cli_context){.io_timeout_ms = IO_TIMEOUT_MS, .retry_for_ms = TROVE_NO_RETRY};
    const char *server = getenv("TROVE_SERVER");
    bool given = server != NULL && *server != 0;
    context->server = given ? cli_copy(server) : cli_server_url_default(getenv("XDG_RUNTIME_DIR"), geteuid());
    context->server_from = given ? "TROVE_SERVER" : "XDG_RUNTIME_DIR";
    context->server_key = variable("TROVE_SERVER_KEY");
    context->server_key_from = "TROVE_SERVER_KEY";
    context->key_file = variable("TROVE_KEY_FILE");
    context->key_file_from = context->key_file != NULL ? "TROVE_KEY_FILE" : "--key-file";
    if (context->key_file == NULL)
        context->key_file = cli_key_path_default(getenv("XDG_CONFIG_HOME"), getenv("HOME"));
    context->known_servers = variable("TROVE_KNOWN_SERVERS");
    context->default_known = context->known_servers == NULL;
    if (context->default_known)
        context->known_servers = cli_known_servers_path_default(getenv("XDG_CONFIG_HOME"), getenv("HOME"));
    cli_output_init(&context->output);
    cli_interrupt_init(&context->interrupt, &context->output);
}

void cli_context_fini(struct cli_context *context) {
    cli_interrupt_connected(&context->interrupt, NULL);
    trove_close(context->client);
    cli_interrupt_fini(&context->interrupt);
    cli_output_fini(&context->output);
    free(context->server_key);
    free(context->key_file);
    free(context->known_servers);
    free(context->server);
}

bool cli_context_usable(const struct cli_context *context, enum cli_exit worst) {
    return context->client != NULL && worst != CLI_EXIT_UNAVAILABLE;
}

/* As who the server knows this command: what it has of one key it gives to no other. */
static void learn_own_key(struct cli_context *context) {
    char known[TROVE_KEY_TEXT_BYTES];
    bool encrypted = context->server_key != NULL || strstr(context->server, "?key=") != NULL ||
                     (context->known_servers != NULL &&
                      trove_known_server_find(context->known_servers, context->server, known, NULL) == TROVE_OK);
    if (!encrypted || trove_key_public(context->key_file, context->own_key, NULL) != TROVE_OK)
        context->own_key[0] = '\0';
}

/* HOME may be somebody else's, and its file of known servers out of reach: a socket's own mode still says who is behind it. Over
 * a network nothing does; a file that can't be read lets nobody through there. */
static bool may_go_unchecked(const struct cli_context *context) {
    return context->default_known && context->known_servers != NULL && strncmp(context->server, "ipc://", 6) == 0 &&
           access(context->known_servers, R_OK) != 0;
}

static bool begins_with(const char *text, const char *begin) {
    return begin != NULL && *begin != 0 && strncmp(text, begin, strlen(begin)) == 0;
}

/* The option or variable that a message of wrong arguments is about. Files are named in it. */
static const char *at_fault(const struct cli_context *context, const trove_error *error) {
    const char *message = error->message;
    if (begins_with(message, "the server's key") && strstr(message, "in the options") != NULL)
        return context->server_key_from;
    if (begins_with(message, context->known_servers))
        return "--known-servers";
    if (begins_with(message, "HOME isn't set"))
        return "--trust-on-first-use";
    if (begins_with(message, context->key_file) || begins_with(message, "the key file ") ||
        strstr(message, "no key file of one's own") != NULL)
        return context->key_file_from;
    return context->server_from;
}

enum cli_exit cli_connect(struct cli_context *context, uint32_t wait_ms) {
    trove_client_options options;
    trove_client_options_init(&options);
    options.name = "trove";
    options.retry_for_ms = context->retry_for_ms;
    options.server_key = context->server_key;
    options.key_file = context->key_file;
    if (context->timeout_ms > 0) {
        options.connect_timeout_ms = context->timeout_ms;
        options.call_timeout_ms = context->timeout_ms;
    }
    trove_error error = {0};
    trove_status status = cli_known_server_trust(context, wait_ms, &error);
    options.known_servers = may_go_unchecked(context) ? NULL : context->known_servers;
    if (status == TROVE_OK)
        status = wait_ms > 0 ? trove_connect_wait(context->server, &options, wait_ms, &context->client, &error)
                             : trove_connect(context->server, &options, &context->client, &error);
    if (status == TROVE_OK) {
        cli_interrupt_connected(&context->interrupt, context->client);
        learn_own_key(context);
        return CLI_EXIT_OK;
    }
    if (status == TROVE_INVALID_ARGUMENT)
        cli_usage_error(context->verb, "%s: %s", at_fault(context, &error), error.message);
    char *hint = cli_connect_hint(context->server, context->key_file, &error);
    enum cli_exit code = cli_fail(context, "connect", NULL, context->server, hint, &error);
    free(hint);
    return code;
}

enum cli_exit cli_fail(struct cli_context *context, const char *action, const char *from, const char *to, const char *hint,
                       const trove_error *error) {
    const struct cli_failure failure = {
        .action = action,
        .from = from,
        .to = to,
        .hint = hint,
        .error = error,
    };
    return cli_output_failure(&context->output, &failure);
}

enum cli_exit cli_fail_call(struct cli_context *context, const char *action, const char *from, const char *to,
                            const struct cli_hint_about *about, const trove_error *error) {
    char *hint = cli_hint(about, error);
    enum cli_exit code = cli_fail(context, action, from, to, hint, error);
    free(hint);
    return code;
}
