/* cmd_keygen.c - trove keygen: a new key in a file of its own, or the public key of one that is there. No server is asked. */
#include "commands.h"
#include "folder.h"
#include "key_path.h"
#include "options.h"
#include "text.h"

#include <stdlib.h>

struct values {
    char *path;
    bool show;
};

static const struct argp_option options[] = {
    {"output", 'o', "FILE", 0, "The key file (default: ~/.config/trove/key)", 0},
    {"public", 'p', NULL, 0, "Make nothing: print the public key of the key file that is there", 0},
    {NULL, 0, NULL, 0, NULL, 0},
};

static error_t parse(int key, char *argument, struct argp_state *state, void *input) {
    struct values *values = input;
    (void)state;
    switch (key) {
    case 'o':
        free(values->path);
        values->path = cli_copy(argument);
        return 0;
    case 'p':
        values->show = true;
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static enum cli_exit say(struct cli_context *context, const struct values *values, const char *path, const char *public_key) {
    if (context->output.json) {
        json_t *result = json_object();
        json_object_set_new(result, "file", cli_json_text(path));
        json_object_set_new(result, "public_key", json_string(public_key));
        cli_output_json(&context->output, result);
        return CLI_EXIT_OK;
    }
    cli_output_line(&context->output, "%s", public_key);
    if (!values->show)
        cli_output_note(&context->output, "the private key is in %s; the line above is the public one, which others may know",
                        path);
    return CLI_EXIT_OK;
}

static enum cli_exit run(struct cli_context *context, const struct values *values, const char *path, bool is_default) {
    char public_key[TROVE_KEY_TEXT_BYTES];
    trove_error error = {0};
    trove_status status = is_default && !values->show ? cli_folder_make_above(path, &error) : TROVE_OK;
    if (status == TROVE_OK)
        status = values->show ? trove_key_public(path, public_key, &error) : trove_key_create(path, public_key, &error);
    if (status != TROVE_OK)
        return cli_fail(context, "keygen", NULL, NULL, NULL, &error);
    return say(context, values, path, public_key);
}

enum cli_exit cmd_keygen(struct cli_context *context, int argc, char **argv) {
    const struct cli_usage usage = {
        .operands = "",
        .doc = "Makes a key in a file that its owner alone can read, and prints its public key, which the other side is told: a "
               "server's goes to its clients (--server-key), a client's to the server (authorized_keys).\v"
               "A file that is there is never replaced.",
        .options = options,
        .parse = parse,
    };
    struct values values = {0};
    cli_options_parse_verb(context, &usage, argc, argv, &values);
    bool is_default = values.path == NULL;
    char *path = is_default ? cli_key_path_default(getenv("XDG_CONFIG_HOME"), getenv("HOME")) : cli_copy(values.path);
    if (path == NULL)
        cli_usage_error("keygen", "HOME isn't set; say where the key is to be with --output FILE");
    enum cli_exit code = run(context, &values, path, is_default);
    free(path);
    free(values.path);
    return code;
}
