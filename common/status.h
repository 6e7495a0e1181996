/* status.h - how functions report failure: a trove_status returned and a caller-owned trove_error filled in.
 *
 * `TV_FAIL(error, CODE, format, ...)` is an expression that fills the error (which may be NULL) and yields the code, so that
 * `return TV_FAIL(error, NOT_FOUND, "bucket %s doesn't exist", name);` reads as one step. A message is always valid
 * UTF-8: it is cut at a character, and what is no character becomes '?'.
 */
#ifndef TV_STATUS_H
#define TV_STATUS_H

#include "trove.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

trove_status tv_error_set(trove_error *error, trove_status status, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* The code again, as a constant: compilers and analyzers see that it isn't OK without looking into tv_error_set. */
static inline trove_status tv_failed_with(trove_status set, trove_status code) {
    (void)set;
    return code;
}

#define TV_FAIL(error, code, ...) tv_failed_with(tv_error_set((error), TROVE_##code, __VA_ARGS__), TROVE_##code)

/* Copies what `from` says to `to`, which may be NULL, and yields its status. */
trove_status tv_error_copy(trove_error *to, const trove_error *from);

/* A canonical status for an errno of a system call on storage: ENOSPC, EDQUOT, EFBIG, EMFILE, ENFILE and ENOMEM are
 * RESOURCE_EXHAUSTED, EIO is DATA_LOSS, EACCES, EPERM and EROFS PERMISSION_DENIED, ENOENT NOT_FOUND, ETIMEDOUT DEADLINE_EXCEEDED;
 * anything else is INTERNAL. */
trove_status tv_status_from_errno(int error_number);

/* Fills `error` with "WHAT: strerror (what to do)" for a failed system call. */
trove_status tv_error_errno(trove_error *error, int error_number, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* For our own bugs only, and on in every build: a peer, a disk or a config file must never be able to trip one. */
#define TV_ASSERT(condition)                                                                                                     \
    do {                                                                                                                         \
        if (__builtin_expect(!(condition), 0))                                                                                   \
            tv_assert_failed(#condition, __FILE__, __LINE__);                                                                    \
    } while (0)

__attribute__((noreturn)) void tv_assert_failed(const char *condition, const char *file, int line);

#endif
