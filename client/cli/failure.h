/* failure.h - what went wrong, as one line for people or one JSON object for programs. Pure. */
#ifndef CLI_FAILURE_H
#define CLI_FAILURE_H

#include "trove.h"

#include <jansson.h>

/* Fills `error` and yields its status, so that `return cli_error_set(...)` is one step. */
trove_status cli_error_set(trove_error *error, trove_status status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* "WHAT: strerror", with the status that the same trouble would have on the server. */
trove_status cli_error_errno(trove_error *error, int error_number, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* The library knows a descriptor alone; people the file that they have named. */
void cli_error_name_descriptor(trove_error *error, int fd, const char *name);

struct cli_failure {
    const char *action; /* "put" */
    const char *from;   /* the file or object it is about; NULL where there is none */
    const char *to;     /* where it was to go; NULL where that says nothing new */
    const char *hint;   /* what to do; NULL where there is no advice */
    const trove_error *error;
};

/* "put report.pdf to media/report.pdf: MESSAGE (NOT_FOUND); make it with 'trove mb media'". The caller's to free. */
char *cli_failure_text(const struct cli_failure *failure);

/* {"error": {"action", "from", "to", "status", "message", "hint", "exit"}}. The caller's reference. */
json_t *cli_failure_json(const struct cli_failure *failure);

/* A JSON string of any bytes: what isn't UTF-8 is replaced. */
json_t *cli_json_text(const char *text);

#endif
