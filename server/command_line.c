/* command_line.c - see command_line.h. */
#include "command_line.h"

#include <argp.h>
#include <string.h>
#include <sysexits.h>

#define TEXT_OF(value) #value
#define TEXT(macro)    TEXT_OF(macro)
#define VERSION        TEXT(TROVE_VERSION_MAJOR) "." TEXT(TROVE_VERSION_MINOR) "." TEXT(TROVE_VERSION_PATCH)

const char tvs_command_line_version[] = VERSION;

enum {
    OPTION_CONFIG = 0x100,
    OPTION_LISTEN,
    OPTION_STORE,
    OPTION_INSECURE,
    OPTION_LOG_FORMAT,
    OPTION_LOG_LEVEL,
    OPTION_CHECK
};

static const struct argp_option option_list[] = {
    {"config", OPTION_CONFIG, "FILE", 0, "Read settings from FILE; troved.yaml in the documentation explains them all", 0},
    {"listen", OPTION_LISTEN, "URL", 0,
     "Listen on URL: ipc:///PATH, tcp://HOST:PORT or ws://HOST:PORT/PATH; may be given several times", 0},
    {"store", OPTION_STORE, "DSN", 0, "Keep objects in DSN: local:///FOLDER, mem:// or null://", 0},
    {"insecure", OPTION_INSECURE, NULL, 0, "Allow tcp:// and ws:// without keys: whoever reaches them may do everything", 0},
    {"log-format", OPTION_LOG_FORMAT, "logfmt|json", 0, "Form of the log on standard error (default: logfmt)", 0},
    {"log-level", OPTION_LOG_LEVEL, "LEVEL", 0, "Log from LEVEL on: debug, info, warn or error (default: info)", 0},
    {"check-config", OPTION_CHECK, NULL, 0,
     "Check config and options, and whether the places that they name could be used, without touching them, and exit", 0},
    {NULL, 0, NULL, 0, NULL, 0},
};

static const char doc[] =
    "The server of Trove, a streaming engine that moves objects between programs and storage."
    "\v"
    "The command line beats the config file, which beats the defaults. Without --listen it listens on "
    "$XDG_RUNTIME_DIR/trove/troved.sock (root: /run/trove/troved.sock), which its own user alone can reach. "
    "Without --store it keeps objects in ~/.local/share/trove (root: /var/lib/trove).\n"
    "\n"
    "SIGTERM and SIGINT end it when what is under way is done, within `drain_timeout` in any case; a second one ends it at "
    "once. SIGHUP has the config and the keys read again: pools, users, keys and `drain_timeout` take effect.\n"
    "\n"
    "Exit codes: 0 ended as it should, 1 couldn't start or was ended by a second signal, 64 wrong usage. A store whose index "
    "can't be written any more ends it by SIGABRT.\n";

static error_t parse_option(int key, char *argument, struct argp_state *state) {
    struct tvs_command_line *line = state->input;
    switch (key) {
    case OPTION_CONFIG:
        line->config = argument;
        return 0;
    case OPTION_LISTEN:
        if (line->listen_count == TVS_LISTEN_MAX)
            argp_error(state, "--listen is given more than %d times", TVS_LISTEN_MAX);
        line->listen[line->listen_count++] = argument;
        return 0;
    case OPTION_STORE:
        line->store = argument;
        return 0;
    case OPTION_INSECURE:
        line->insecure = true;
        return 0;
    case OPTION_LOG_FORMAT:
        line->has_log_format = true;
        if (!tvs_config_log_format(argument, &line->log_format))
            argp_error(state, "--log-format is logfmt or json, not '%s'", argument);
        return 0;
    case OPTION_LOG_LEVEL:
        line->has_log_level = true;
        if (!tvs_config_log_level(argument, &line->log_level))
            argp_error(state, "--log-level is debug, info, warn or error, not '%s'", argument);
        return 0;
    case OPTION_CHECK:
        line->check_only = true;
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static void print_version(FILE *stream, struct argp_state *state) {
    (void)state;
    fprintf(stream, "troved " VERSION "\n");
}

void tvs_command_line_parse(struct tvs_command_line *line, int argc, char **argv) {
    static const struct argp argp = {option_list, parse_option, NULL, doc, NULL, NULL, NULL};
    argp_program_version_hook = print_version;
    argp_err_exit_status = EX_USAGE;
    memset(line, 0, sizeof *line);
    argp_parse(&argp, argc, argv, 0, NULL, line); /* ends the process on wrong usage */
}

trove_status tvs_command_line_apply(const struct tvs_command_line *line, struct tvs_config *config, trove_error *error) {
    config->insecure |= line->insecure;
    if (line->has_log_format)
        config->log_format = line->log_format;
    if (line->has_log_level)
        config->log_level = line->log_level;
    if (line->listen_count > 0)
        tvs_config_clear_listen(config);
    trove_status status = TROVE_OK;
    for (unsigned i = 0; status == TROVE_OK && i < line->listen_count; i++)
        status = tvs_config_add_listen(config, line->listen[i], error);
    if (status == TROVE_OK && line->store != NULL)
        status = tvs_config_set_store(config, line->store, error);
    return status;
}
