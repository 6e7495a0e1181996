/* exit.h - the command's exit codes: the one table of them, which `trove --help` prints.
 *
 * They are fixed: scripts rely on them. Local failures (a file that can't be read) go through a trove_status as well, so that
 * the same trouble has the same code on both sides.
 */
#ifndef CLI_EXIT_H
#define CLI_EXIT_H

#include "trove.h"

/* X(NAME, number, severity, meaning). Of several failures in one run the one with the highest severity gives the code. */
#define CLI_EXIT_LIST(X)                                                                                                         \
    X(OK, 0, 0, "success")                                                                                                       \
    X(FAILURE, 1, 10, "general or internal error (INTERNAL, UNKNOWN, UNIMPLEMENTED)")                                            \
    X(USAGE, 2, 1, "wrong usage of the command")                                                                                 \
    X(NOT_FOUND, 3, 2, "bucket, object or file not found (NOT_FOUND)")                                                           \
    X(CONFLICT, 4, 4, "exists already, precondition failed or aborted (ALREADY_EXISTS, FAILED_PRECONDITION, ABORTED)")           \
    X(DENIED, 5, 6, "permission denied or not authenticated (PERMISSION_DENIED, UNAUTHENTICATED)")                               \
    X(EXHAUSTED, 6, 9, "out of space, memory or another resource (RESOURCE_EXHAUSTED)")                                          \
    X(UNAVAILABLE, 7, 8, "no server answers (UNAVAILABLE)")                                                                      \
    X(DEADLINE, 8, 7, "deadline exceeded (DEADLINE_EXCEEDED)")                                                                   \
    X(DATA_LOSS, 9, 11, "data damaged or lost (DATA_LOSS)")                                                                      \
    X(INVALID, 10, 3, "an argument was refused as invalid (INVALID_ARGUMENT, OUT_OF_RANGE)")                                     \
    X(CANCELLED, 11, 5, "cancelled by somebody else (`trove streams cancel') or by the server (CANCELLED)")                      \
    X(HANGUP, 129, 13, "ended by SIGHUP")                                                                                        \
    X(INTERRUPTED, 130, 13, "ended by SIGINT (Ctrl-C)")                                                                          \
    X(PIPE, 141, 12, "the reader of standard output went away")                                                                  \
    X(TERMINATED, 143, 13, "ended by SIGTERM")

enum cli_exit {
#define CLI_EXIT_ENUM(name, number, severity, meaning) CLI_EXIT_##name = number,
    CLI_EXIT_LIST(CLI_EXIT_ENUM)
#undef CLI_EXIT_ENUM
};

enum cli_exit cli_exit_from_status(trove_status status);

/* The more severe of the two. */
enum cli_exit cli_exit_worst(enum cli_exit left, enum cli_exit right);

/* The table as text for --help: one line a code. Static memory. */
const char *cli_exit_table(void);

#endif
