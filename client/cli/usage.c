/* usage.c - see usage.h. */
#include "usage.h"

#include "exit.h"
#include "failure.h"
#include "text.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct {
    bool json;
    const char *verb;
    FILE *error; /* the real one, while what goes there is caught; else NULL */
    char *caught;
    size_t caught_bytes;
} usage;

void cli_usage_look(int argc, char **argv) {
    for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i++)
        usage.json |= strlen(argv[i]) > 2 && strncmp("--json", argv[i], strlen(argv[i])) == 0; /* argp takes beginnings, too */
}

void cli_usage_say(const char *verb, const char *message) {
    if (!usage.json) {
        fprintf(stderr, "trove%s%s: %s\n", verb != NULL ? " " : "", verb != NULL ? verb : "", message);
        if (verb != NULL)
            fprintf(stderr, "Try `trove %s --help' for more information.\n", verb);
        return;
    }
    char *hint = cli_format("'trove %s%s--help' tells more", verb != NULL ? verb : "", verb != NULL ? " " : "");
    json_t *error = json_object();
    json_object_set_new(error, "action", cli_json_text(verb != NULL ? verb : "trove"));
    json_object_set_new(error, "status", cli_json_text(trove_status_name(TROVE_INVALID_ARGUMENT)));
    json_object_set_new(error, "message", cli_json_text(message));
    json_object_set_new(error, "hint", cli_json_text(hint));
    json_object_set_new(error, "exit", json_integer(CLI_EXIT_USAGE));
    json_t *whole = json_object();
    json_object_set_new(whole, "error", error);
    char *text = json_dumps(whole, JSON_COMPACT | JSON_ENSURE_ASCII);
    fprintf(stderr, "%s\n", text != NULL ? text : "{}");
    free(text);
    json_decref(whole);
    free(hint);
}

/* The first line, without the program's name. */
static void say_caught(void) {
    if (usage.error == NULL)
        return;
    fclose(stderr);
    stderr = usage.error;
    usage.error = NULL;
    if (usage.caught_bytes == 0)
        return; /* it was --help, or --version */
    usage.caught[strcspn(usage.caught, "\n")] = 0;
    const char *colon = strstr(usage.caught, ": ");
    cli_usage_say(usage.verb, colon != NULL ? colon + 2 : usage.caught);
}

void cli_usage_begin(const char *verb) {
    static bool registered;
    usage.verb = verb;
    FILE *catcher = usage.json ? open_memstream(&usage.caught, &usage.caught_bytes) : NULL;
    if (catcher == NULL)
        return;
    usage.error = stderr;
    stderr = catcher;
    if (!registered)
        atexit(say_caught);
    registered = true;
}

void cli_usage_end(void) {
    if (usage.error == NULL)
        return;
    fclose(stderr);
    stderr = usage.error;
    usage.error = NULL;
    free(usage.caught);
}
