/* condition_options.c - see condition_options.h. */
#include "condition_options.h"

#include "parse.h"

error_t cli_conditions_parse(int key, char *argument, const struct argp_state *state, trove_conditions *conditions) {
    switch (key) {
    case CLI_KEY_IF_MATCH:
        if (!cli_parse_etag(argument))
            argp_error(state, "--if-match takes an etag, 32 digits as `trove stat' shows them, not '%s'", argument);
        conditions->if_match = argument;
        return 0;
    case CLI_KEY_IF_GENERATION:
        if (!cli_parse_count(argument, 1, UINT64_MAX, &conditions->if_generation))
            argp_error(state, "--if-generation takes a number from 1 on, as `trove stat' shows it, not '%s'", argument);
        return 0;
    case CLI_KEY_IF_NONE_MATCH:
        conditions->if_none_match = true;
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

bool cli_conditions_are_for_one(const trove_conditions *conditions) {
    return conditions->if_match != NULL || conditions->if_generation != 0;
}

void cli_conditions_check(const char *verb, const trove_conditions *conditions) {
    if (conditions->if_none_match && cli_conditions_are_for_one(conditions))
        cli_usage_error(verb, "--if-none-match asks for no object, and %s for one",
                        conditions->if_match != NULL ? "--if-match" : "--if-generation");
}
