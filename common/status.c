/* status.c - see status.h. Any thread. */
#include "status.h"

#include "utf8.h"

#include <errno.h>
#include <string.h>

const char *trove_status_name(trove_status status) {
    switch (status) {
#define STATUS_NAME(name, number)                                                                                                \
    case TROVE_##name:                                                                                                           \
        return #name;
        TROVE_STATUS_LIST(STATUS_NAME)
#undef STATUS_NAME
    }
    return "UNKNOWN";
}

/* Messages travel as UTF-8, but vsnprintf cuts at a byte, at the end as well as where the format has a precision, and what a
 * program gives as a reason may be anything. */
static void set_message(trove_error *error, const char *format, va_list arguments) {
    int written = vsnprintf(error->message, sizeof error->message, format, arguments);
    if (written >= (int)sizeof error->message)
        tv_utf8_trim(error->message);
    tv_utf8_scrub(error->message);
}

trove_status tv_error_set(trove_error *error, trove_status status, const char *format, ...) {
    if (error == NULL)
        return status;
    error->status = status;
    va_list arguments;
    va_start(arguments, format);
    set_message(error, format, arguments);
    va_end(arguments);
    return status;
}

trove_status tv_error_copy(trove_error *to, const trove_error *from) {
    if (to != NULL && to != from)
        *to = *from;
    return from->status;
}

trove_status tv_status_from_errno(int error_number) {
    switch (error_number) {
    case ENOSPC:
    case EDQUOT:
    case EMFILE:
    case ENFILE:
    case ENOMEM:
    case EFBIG:
        return TROVE_RESOURCE_EXHAUSTED;
    case EIO:
        return TROVE_DATA_LOSS;
    case EACCES:
    case EPERM:
    case EROFS:
        return TROVE_PERMISSION_DENIED;
    case ENOENT:
        return TROVE_NOT_FOUND;
    case ETIMEDOUT:
        return TROVE_DEADLINE_EXCEEDED;
    default:
        return TROVE_INTERNAL;
    }
}

static const char *advice_for_errno(int error_number) {
    switch (error_number) {
    case ENOSPC:
        return "; free some space on that file system and try again";
    case EDQUOT:
        return "; the quota of that file system is used up";
    case EMFILE:
    case ENFILE:
        return "; raise the limit of open files";
    case EROFS:
        return "; the file system is mounted read-only";
    default:
        return "";
    }
}

trove_status tv_error_errno(trove_error *error, int error_number, const char *format, ...) {
    trove_status status = tv_status_from_errno(error_number);
    if (error == NULL)
        return status;
    trove_error what;
    va_list arguments;
    va_start(arguments, format);
    set_message(&what, format, arguments);
    va_end(arguments);
    char text[128];
    const char *reason = strerror_r(error_number, text, sizeof text);
    return tv_error_set(error, status, "%s: %s%s", what.message, reason, advice_for_errno(error_number));
}

void tv_assert_failed(const char *condition, const char *file, int line) {
    fprintf(stderr, "trove: broken invariant: %s (%s:%d); this is a bug in Trove\n", condition, file, line);
    abort();
}
