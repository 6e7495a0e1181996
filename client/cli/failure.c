/* failure.c - see failure.h. */
#include "failure.h"

#include "exit.h"
#include "text.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

trove_status cli_error_set(trove_error *error, trove_status status, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    error->status = status;
    vsnprintf(error->message, sizeof error->message, format, arguments);
    va_end(arguments);
    return status;
}

static trove_status status_from_errno(int error_number) {
    switch (error_number) {
    case ENOENT:
        return TROVE_NOT_FOUND;
    case EACCES:
    case EPERM:
    case EROFS:
        return TROVE_PERMISSION_DENIED;
    case ENOSPC:
    case EDQUOT:
    case EFBIG:
    case ENOMEM:
    case EMFILE:
    case ENFILE:
        return TROVE_RESOURCE_EXHAUSTED;
    case EEXIST:
    case EISDIR:
    case ENOTDIR:
    case ENOTEMPTY:
    case ELOOP:
        return TROVE_FAILED_PRECONDITION;
    case ENAMETOOLONG:
        return TROVE_INVALID_ARGUMENT;
    case EIO:
        return TROVE_DATA_LOSS;
    default:
        return TROVE_INTERNAL;
    }
}

trove_status cli_error_errno(trove_error *error, int error_number, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    error->status = status_from_errno(error_number);
    int used = vsnprintf(error->message, sizeof error->message, format, arguments);
    va_end(arguments);
    if (used >= 0 && (size_t)used < sizeof error->message)
        snprintf(error->message + used, sizeof error->message - (size_t)used, ": %s", strerrordesc_np(error_number));
    return error->status;
}

void cli_error_name_descriptor(trove_error *error, int fd, const char *name) {
    char *descriptor = cli_format("descriptor %d", fd);
    const char *found = NULL; /* the last: before it stands the object's name, which may be anything */
    for (const char *at = strstr(error->message, descriptor); at != NULL; at = strstr(at + 1, descriptor))
        found = at;
    const char *rest = found != NULL ? found + strlen(descriptor) : "";
    if (found != NULL && (*rest == 0 || *rest == ':' || *rest == ' ')) {
        char *message = cli_format("%.*s%s%s", (int)(found - error->message), error->message, name, rest);
        cli_error_set(error, error->status, "%s", message);
        free(message);
    }
    free(descriptor);
}

/* The library's messages begin with what they are about, which is said here. */
static const char *behind(const char *message, const char *name) {
    size_t bytes = name != NULL ? strlen(name) : 0;
    bool said = bytes > 0 && strncmp(message, name, bytes) == 0 && strncmp(message + bytes, ": ", 2) == 0;
    return said ? message + bytes + 2 : message;
}

char *cli_failure_text(const struct cli_failure *failure) {
    const char *message = behind(behind(failure->error->message, failure->from), failure->to);
    return cli_format("%s%s%s%s%s: %s (%s)%s%s", failure->action, failure->from != NULL ? " " : "",
                      failure->from != NULL ? failure->from : "", failure->to != NULL ? " to " : "",
                      failure->to != NULL ? failure->to : "", message, trove_status_name(failure->error->status),
                      failure->hint != NULL ? "; " : "", failure->hint != NULL ? failure->hint : "");
}

json_t *cli_json_text(const char *text) {
    json_t *string = json_string(text);
    if (string != NULL)
        return string;
    char *clean = cli_text_to_utf8(text);
    string = json_string(clean);
    free(clean);
    return string;
}

json_t *cli_failure_json(const struct cli_failure *failure) {
    json_t *error = json_object();
    json_object_set_new(error, "action", cli_json_text(failure->action));
    if (failure->from != NULL)
        json_object_set_new(error, "from", cli_json_text(failure->from));
    if (failure->to != NULL)
        json_object_set_new(error, "to", cli_json_text(failure->to));
    json_object_set_new(error, "status", cli_json_text(trove_status_name(failure->error->status)));
    json_object_set_new(error, "message", cli_json_text(failure->error->message));
    if (failure->hint != NULL)
        json_object_set_new(error, "hint", cli_json_text(failure->hint));
    json_object_set_new(error, "exit", json_integer(cli_exit_from_status(failure->error->status)));
    json_t *outer = json_object();
    json_object_set_new(outer, "error", error);
    return outer;
}
