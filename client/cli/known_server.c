/* known_server.c - see known_server.h. */
#include "known_server.h"

#include "folder.h"
#include "text.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum {
    STEP_MS = 100,
};

static uint64_t now_ms(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* Again and again, while a server that is just starting may be the reason that there is no answer. */
static trove_status ask(const struct cli_context *context, uint32_t wait_ms, char key[TROVE_KEY_TEXT_BYTES], trove_error *error) {
    uint64_t until_ms = now_ms() + wait_ms;
    for (;;) {
        trove_status status = trove_server_key(context->server, context->timeout_ms, key, error);
        bool may_come = status == TROVE_UNAVAILABLE || status == TROVE_DEADLINE_EXCEEDED;
        if (!may_come || now_ms() + STEP_MS >= until_ms)
            return status;
        usleep(STEP_MS * 1000);
    }
}

static void say_trusted(struct cli_context *context, const char *key) {
    cli_output_note(&context->output,
                    "%s has the key %s, which is recorded in %s; from now on it is taken for this server by no other",
                    context->server, key, context->known_servers);
    if (!context->output.json)
        return;
    json_t *note = json_object();
    json_object_set_new(note, "server", cli_json_text(context->server));
    json_object_set_new(note, "server_key", cli_json_text(key));
    json_object_set_new(note, "recorded_in", cli_json_text(context->known_servers));
    cli_output_json_note(&context->output, note);
}

trove_status cli_known_server_trust(struct cli_context *context, uint32_t wait_ms, trove_error *error) {
    char key[TROVE_KEY_TEXT_BYTES];
    if (!context->trusts_first || context->server_key != NULL || strstr(context->server, "?key=") != NULL)
        return TROVE_OK;
    if (context->known_servers == NULL)
        return cli_error_set(error, TROVE_INVALID_ARGUMENT,
                             "HOME isn't set; say where servers are recorded with --known-servers FILE");
    trove_status status = trove_known_server_find(context->known_servers, context->server, key, error);
    if (status != TROVE_NOT_FOUND)
        return status;
    status = ask(context, wait_ms, key, error);
    if (status == TROVE_OK && context->default_known)
        status = cli_folder_make_above(context->known_servers, error);
    if (status == TROVE_OK)
        status = trove_known_server_add(context->known_servers, context->server, key, error);
    if (status == TROVE_OK)
        say_trusted(context, key);
    return status;
}
