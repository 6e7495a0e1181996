/* condition_options.h - the options that say what an object must be like for a verb to touch it. */
#ifndef CLI_CONDITION_OPTIONS_H
#define CLI_CONDITION_OPTIONS_H

#include "options.h"

#include <argp.h>

enum {
    CLI_KEY_IF_MATCH = CLI_KEYS_OF_CONDITIONS,
    CLI_KEY_IF_GENERATION,
    CLI_KEY_IF_NONE_MATCH,
};

#define CLI_CONDITION_OPTIONS                                                                                                    \
    {"if-match", CLI_KEY_IF_MATCH, "ETAG", 0, "Only if the server's object has this etag", 0}, {                                 \
        "if-generation", CLI_KEY_IF_GENERATION, "N", 0, "Only if the server's object has this generation", 0                     \
    }

/* For what creates objects. */
#define CLI_CREATE_OPTION                                                                                                        \
    { "if-none-match", CLI_KEY_IF_NONE_MATCH, NULL, 0, "Only if the server has no such object yet: replaces none", 0 }

/* ARGP_ERR_UNKNOWN for an option that isn't one of them. */
error_t cli_conditions_parse(int key, char *argument, const struct argp_state *state, trove_conditions *conditions);

/* Whether one object's state is asked for, which can't be that of many. */
bool cli_conditions_are_for_one(const trove_conditions *conditions);
/* Ends with a usage error where the options contradict each other. */
void cli_conditions_check(const char *verb, const trove_conditions *conditions);

#endif
