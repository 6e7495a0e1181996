/* exit.c - see exit.h. */
#include "exit.h"

enum cli_exit cli_exit_from_status(trove_status status) {
    switch (status) {
    case TROVE_OK:
        return CLI_EXIT_OK;
    case TROVE_NOT_FOUND:
        return CLI_EXIT_NOT_FOUND;
    case TROVE_ALREADY_EXISTS:
    case TROVE_FAILED_PRECONDITION:
    case TROVE_ABORTED:
        return CLI_EXIT_CONFLICT;
    case TROVE_PERMISSION_DENIED:
    case TROVE_UNAUTHENTICATED:
        return CLI_EXIT_DENIED;
    case TROVE_RESOURCE_EXHAUSTED:
        return CLI_EXIT_EXHAUSTED;
    case TROVE_UNAVAILABLE:
        return CLI_EXIT_UNAVAILABLE;
    case TROVE_DEADLINE_EXCEEDED:
        return CLI_EXIT_DEADLINE;
    case TROVE_DATA_LOSS:
        return CLI_EXIT_DATA_LOSS;
    case TROVE_INVALID_ARGUMENT:
    case TROVE_OUT_OF_RANGE:
        return CLI_EXIT_INVALID;
    case TROVE_CANCELLED:
        return CLI_EXIT_CANCELLED;
    case TROVE_UNKNOWN:
    case TROVE_UNIMPLEMENTED:
    case TROVE_INTERNAL:
        break;
    }
    return CLI_EXIT_FAILURE;
}

static int severity(enum cli_exit code) {
    static const struct {
        enum cli_exit code;
        int severity;
    } rows[] = {
#define CLI_EXIT_ROW(name, number, severity, meaning) {CLI_EXIT_##name, severity},
        CLI_EXIT_LIST(CLI_EXIT_ROW)
#undef CLI_EXIT_ROW
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        if (rows[i].code == code)
            return rows[i].severity;
    return 0;
}

enum cli_exit cli_exit_worst(enum cli_exit left, enum cli_exit right) {
    return severity(right) > severity(left) ? right : left;
}

const char *cli_exit_table(void) {
#define CLI_EXIT_LINE(name, number, severity, meaning) "  " #number "\t" meaning "\n"
    return CLI_EXIT_LIST(CLI_EXIT_LINE);
#undef CLI_EXIT_LINE
}
