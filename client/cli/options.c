/* options.c - see options.h. */
#include "options.h"

#include "parse.h"
#include "text.h"
#include "usage.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    KEY_SERVER = 's',
    KEY_QUIET = 'q',
    KEY_JSON = CLI_KEYS_OF_ALL,
    KEY_TIMEOUT,
    KEY_SERVER_KEY,
    KEY_KEY_FILE,
    KEY_KNOWN_SERVERS,
    KEY_TRUST,
};

static void print_version(FILE *stream, struct argp_state *state) {
    (void)state;
    fprintf(stream, "trove %d.%d.%d (libtrove %s)\n", TROVE_VERSION_MAJOR, TROVE_VERSION_MINOR, TROVE_VERSION_PATCH,
            trove_version());
}

static const struct argp_option global_options[] = {
    {"server", KEY_SERVER, "URL", 0,
     "The server: ipc:///PATH, tcp://HOST:PORT or ws://HOST:PORT/PATH. Default: TROVE_SERVER, else troved's own socket", 0},
    {"server-key", KEY_SERVER_KEY, "KEY", 0,
     "The server's public key, of which trove keygen tells: the connection is encrypted, and made with nobody else. Default: "
     "TROVE_SERVER_KEY; or behind the URL, as in tcp://HOST:PORT?key=KEY",
     0},
    {"key-file", KEY_KEY_FILE, "FILE", 0,
     "Your own key, which the server must know. Default: TROVE_KEY_FILE, else ~/.config/trove/key", 0},
    {"known-servers", KEY_KNOWN_SERVERS, "FILE", 0,
     "Servers and their public keys, where none is given: lines of HOST:PORT (or a socket's path) and KEY. Default: "
     "TROVE_KNOWN_SERVERS, else ~/.config/trove/known_servers",
     0},
    {"trust-on-first-use", KEY_TRUST, NULL, 0,
     "Ask a server that isn't known for its public key, and record it: from then on any other key is refused. Who answers the "
     "first "
     "time is believed",
     0},
    {"json", KEY_JSON, NULL, 0,
     "Results as JSON, one object a line, and failures as JSON on standard error; the bytes of objects stay bytes", 0},
    {"quiet", KEY_QUIET, NULL, 0, "Say nothing of what was done, no notes, no progress bar; answers and failures stay", 0},
    {"timeout", KEY_TIMEOUT, "SECONDS", 0,
     "Longest wait in any step that makes no progress: for the server (default: 5 to connect, 30 for the rest), and for a pipe "
     "or "
     "a terminal that gives or takes nothing (default: 240). 0 or `none': no limit for the latter, the defaults for the server",
     0},
    {NULL, 0, NULL, 0, NULL, 0},
};

static void parse_timeout(struct cli_context *context, const char *argument, const struct argp_state *state) {
    if (strcmp(argument, "0") == 0 || strcmp(argument, "none") == 0) {
        context->timeout_ms = 0;
        context->io_timeout_ms = TROVE_NO_TIMEOUT;
        return;
    }
    if (!cli_parse_seconds(argument, &context->timeout_ms))
        argp_error(state, "--timeout takes seconds, such as 30 or 0.5, or `none', not '%s'", argument);
    context->io_timeout_ms = context->timeout_ms;
}

static error_t parse_global(int key, char *argument, struct argp_state *state) {
    struct cli_context *context = state->input;
    switch (key) {
    case KEY_SERVER:
        free(context->server);
        context->server = cli_copy(argument);
        context->server_from = "--server";
        return 0;
    case KEY_SERVER_KEY:
        free(context->server_key);
        context->server_key = cli_copy(argument);
        context->server_key_from = "--server-key";
        return 0;
    case KEY_KEY_FILE:
        free(context->key_file);
        context->key_file = cli_copy(argument);
        context->key_file_from = "--key-file";
        return 0;
    case KEY_KNOWN_SERVERS:
        free(context->known_servers);
        context->known_servers = cli_copy(argument);
        context->default_known = false;
        return 0;
    case KEY_TRUST:
        context->trusts_first = true;
        return 0;
    case KEY_JSON:
        context->output.json = true;
        return 0;
    case KEY_QUIET:
        context->output.quiet = true;
        return 0;
    case KEY_TIMEOUT:
        parse_timeout(context, argument, state);
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp global_parser = {.options = global_options, .parser = parse_global};

/* ---- before the verb ---- */

struct outer {
    struct cli_context *context;
    const char *verbs_doc;
    int verb_index;
};

static error_t parse_outer(int key, char *argument, struct argp_state *state) {
    struct outer *outer = state->input;
    (void)argument;
    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = outer->context;
        return 0;
    case ARGP_KEY_ARGS:
        outer->verb_index = state->next;
        state->next = state->argc;
        return 0;
    case ARGP_KEY_NO_ARGS:
        argp_error(state, "a verb is missing");
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static char *help_outer(int key, const char *text, void *input) {
    if (key != ARGP_KEY_HELP_POST_DOC)
        return (char *)(uintptr_t)text;
    const struct outer *outer = input;
    /* argp gives no input while it only prints. */
    return cli_format("%s\nSizes are digits and a unit, none for bytes: " CLI_SIZE_UNITS
                      ".\n\nExit codes (of several failures the gravest counts):\n%s",
                      outer != NULL ? outer->verbs_doc : "", cli_exit_table());
}

int cli_options_parse_global(struct cli_context *context, int argc, char **argv, const char *verbs_doc) {
    argp_err_exit_status = CLI_EXIT_USAGE;
    argp_program_version_hook = print_version;
    static char name[] = "trove";
    argv[0] = name; /* messages begin with it, wherever the program was found */
    const struct argp_child children[] = {{&global_parser, 0, NULL, 0}, {NULL, 0, NULL, 0}};
    const struct argp parser = {
        .parser = parse_outer,
        .args_doc = "VERB [ARGUMENT...]",
        .doc = "Moves objects between files and a Trove server.\v",
        .children = children,
        .help_filter = help_outer,
    };
    struct outer outer = {.context = context, .verbs_doc = verbs_doc, .verb_index = argc};
    cli_usage_look(argc, argv);
    cli_usage_begin(NULL);
    argp_parse(&parser, argc, argv, ARGP_IN_ORDER, NULL, &outer);
    cli_usage_end();
    return outer.verb_index;
}

/* ---- behind the verb ---- */

struct inner {
    struct cli_context *context;
    const struct cli_usage *usage;
    void *values;
    struct cli_operands operands;
};

static error_t parse_inner(int key, char *argument, struct argp_state *state) {
    struct inner *inner = state->input;
    const struct cli_usage *usage = inner->usage;
    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = inner->context;
        return 0;
    case ARGP_KEY_ARGS:
        inner->operands = (struct cli_operands){.count = state->argc - state->next, .texts = state->argv + state->next};
        return 0;
    case ARGP_KEY_END:
        if (inner->operands.count < usage->operands_min)
            argp_error(state, "%s is missing", inner->operands.count == 0 ? "an argument" : "another argument");
        if (usage->operands_max != CLI_OPERANDS_ANY && inner->operands.count > usage->operands_max)
            argp_error(state, "'%s' is one argument too many", inner->operands.texts[usage->operands_max]);
        return 0;
    default:
        return usage->parse != NULL ? usage->parse(key, argument, state, inner->values) : ARGP_ERR_UNKNOWN;
    }
}

struct cli_operands cli_options_parse_verb(struct cli_context *context, const struct cli_usage *usage, int argc, char **argv,
                                           void *values) {
    const struct argp_child children[] = {{&global_parser, 0, "For every verb:", 1}, {NULL, 0, NULL, 0}};
    const struct argp parser = {
        .options = usage->options,
        .parser = parse_inner,
        .args_doc = usage->operands,
        .doc = usage->doc,
        .children = children,
    };
    struct inner inner = {.context = context, .usage = usage, .values = values};
    char *verb = argv[0];
    char *name = cli_format("trove %s", verb);
    argv[0] = name;
    cli_usage_begin(verb);
    argp_parse(&parser, argc, argv, 0, NULL, &inner);
    cli_usage_end();
    argv[0] = verb;
    free(name);
    return inner.operands;
}

void cli_usage_error(const char *verb, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    char *message = NULL;
    if (vasprintf(&message, format, arguments) < 0)
        message = cli_copy("wrong usage");
    va_end(arguments);
    cli_usage_say(verb, message);
    exit(CLI_EXIT_USAGE);
}

struct cli_object_name *cli_operands_objects(const char *verb, const struct cli_operands *operands, bool key_needed) {
    struct cli_object_name *names = cli_alloc((size_t)operands->count * sizeof *names);
    for (int i = 0; i < operands->count; i++) {
        if (!cli_object_name_parse(operands->texts[i], &names[i]))
            cli_usage_error(verb, "'%s' has no bucket before its first '/'; objects are BUCKET/KEY", operands->texts[i]);
        if (key_needed && *names[i].key == 0)
            cli_usage_error(verb, "'%s' is a bucket; objects are BUCKET/KEY", operands->texts[i]);
    }
    return names;
}

void cli_object_names_free(struct cli_object_name *names, int count) {
    for (int i = 0; i < count; i++)
        cli_object_name_fini(&names[i]);
    free(names);
}
