/* output.h - all that the command says: results on standard output, failures, notes and the progress line on standard error.
 *
 * One lock keeps lines of several threads whole, and takes the progress line away before anything else is printed. Text for a
 * terminal is escaped as a whole line, so no name of anybody's can get through unescaped; a pipe gets it raw.
 */
#ifndef CLI_OUTPUT_H
#define CLI_OUTPUT_H

#include "exit.h"
#include "failure.h"

#include <jansson.h>
#include <pthread.h>
#include <stdbool.h>

struct cli_output {
    /* Constant after the command line is read. */
    bool json;
    bool quiet;
    bool stdout_is_terminal;
    bool stderr_is_terminal;
    /* Under the lock. */
    pthread_mutex_t lock;
    char *status_line; /* on the terminal now; NULL if none */
    int stdout_error;  /* errno of the first failed write, 0 if none */
};

void cli_output_init(struct cli_output *output);
void cli_output_fini(struct cli_output *output);

/* A result line. */
void cli_output_line(struct cli_output *output, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* The same for a line that was made before, which is freed. */
void cli_output_text(struct cli_output *output, char *line_move);

/* The same for what a verb has done, where that is no answer anyone asked for: nothing when quiet. */
void cli_output_done(struct cli_output *output, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* A result as one line of JSON; takes the reference. */
void cli_output_json(struct cli_output *output, json_t *value_move);

/* Whether standard output still takes anything: a long listing stops when it doesn't. */
bool cli_output_works(struct cli_output *output);

/* Says "trove: ..." on standard error, as JSON where that is wanted, and yields the exit code that belongs to it. */
enum cli_exit cli_output_failure(struct cli_output *output, const struct cli_failure *failure);

/* A remark on standard error that is no failure; nothing when quiet or with JSON. */
void cli_output_note(struct cli_output *output, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* A remark on standard error as one line of JSON; takes the reference. */
void cli_output_json_note(struct cli_output *output, json_t *value_move);

/* Replaces the progress line (NULL: takes it away). Only called where standard error is a terminal. */
void cli_output_status(struct cli_output *output, const char *line);

/* Flushes standard output. A reader that went away makes it CLI_EXIT_PIPE without a word; another trouble (a full disk) is said.
 * Yields the worse of that and `code`. */
enum cli_exit cli_output_finish(struct cli_output *output, enum cli_exit code);

/* For the way out on a signal, whatever the other threads are at: takes the progress line away and flushes what is printed, but
 * waits for no lock longer than a moment. */
void cli_output_abandon(struct cli_output *output, const char *action, int exit_code, const char *reason);

#endif
