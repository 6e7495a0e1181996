/* options.h - reading the command line with argp: the global options, and a frame for the verbs' own.
 *
 * The global options are taken before the verb and behind it, since people type `trove ls --json`. Wrong usage ends the process
 * with CLI_EXIT_USAGE, --help and --version with CLI_EXIT_OK, as argp does.
 */
#ifndef CLI_OPTIONS_H
#define CLI_OPTIONS_H

#include "context.h"
#include "object_name.h"

#include <argp.h>

/* Where the keys of options without a letter begin: those that may meet in one verb must differ. */
enum {
    CLI_KEYS_OF_ALL = 0x1000,
    CLI_KEYS_OF_VERB = 0x2000,
    CLI_KEYS_OF_TRANSFERS = 0x3000,
    CLI_KEYS_OF_CONDITIONS = 0x4000,
    CLI_KEYS_OF_BANDWIDTH = 0x5000,
};

#define CLI_OPERANDS_ANY (-1)

/* A verb's command line. */
struct cli_usage {
    const char *operands; /* for the help, such as "BUCKET..." */
    const char *doc;      /* what it does; behind a \v what stands below the options */
    const struct argp_option *options;
    /* Takes one option into `values`; ARGP_ERR_UNKNOWN for what isn't one of the verb's own. NULL where it has none. */
    error_t (*parse)(int key, char *argument, struct argp_state *state, void *values);
    int operands_min;
    int operands_max; /* or CLI_OPERANDS_ANY */
};

struct cli_operands {
    int count;
    char **texts; /* point into argv */
};

/* Reads the options before the verb. Returns the index of the verb in argv, argc if there is none. */
int cli_options_parse_global(struct cli_context *context, int argc, char **argv, const char *verbs_doc);

/* Reads what follows it; argv[0] is the verb. `values` is the verb's own structure, with its defaults set. */
struct cli_operands cli_options_parse_verb(struct cli_context *context, const struct cli_usage *usage, int argc, char **argv,
                                           void *values);

/* The operands cut in bucket and key, for the caller to give to cli_object_names_free. Ends with a usage error where one has no
 * bucket, or no key though `key_needed`. To be called before the connection is made: wrong usage costs nobody anything then. */
struct cli_object_name *cli_operands_objects(const char *verb, const struct cli_operands *operands, bool key_needed);
void cli_object_names_free(struct cli_object_name *names, int count);

/* Ends with "trove VERB: MESSAGE" and a pointer to --help, for wrong usage that is seen only behind the parsing; as JSON where
 * the command line has --json. NULL: of no verb. */
_Noreturn void cli_usage_error(const char *verb, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
