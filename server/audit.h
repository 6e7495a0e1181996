/* audit.h - the audit log: who did what to which object, with which result, one line each, in the form of the log.
 *
 * Lines are gathered in memory, at most TVS_AUDIT_BYTES_MAX of them, and written by a thread of its own: who is served never
 * waits for this disk. What finds no room is lost, and a line says how many were (event=lost). To the log itself lines are
 * written at once. (Rejected: to wait instead. A full disk would stop the server; who wants that watches for event=lost.)
 * Threads: any, but create, reopen and destroy, which are main's.
 */
#ifndef TVS_AUDIT_H
#define TVS_AUDIT_H

#include "log.h"

#define TVS_AUDIT_BYTES_MAX      ((size_t)1 << 20)
#define TVS_AUDIT_LINE_BYTES_MAX ((size_t)16 << 10) /* two names of full length, all of which must be escaped, and an error */
#define TVS_AUDIT_LOG            "log"              /* instead of a path: lines go to the log */

struct tvs_audit;

/* Opens the file, to which lines are appended, or makes it (0600). Blocks for it.
 * Errors: those of opening; FAILED_PRECONDITION (no regular file); RESOURCE_EXHAUSTED. */
TROVE_WARN_UNUSED trove_status tvs_audit_create(const char *place, struct tvs_audit **audit, trove_error *error);
/* Whether that could be done, without touching anything. */
TROVE_WARN_UNUSED trove_status tvs_audit_check(const char *place, trove_error *error);
/* The file was moved away: the path is opened anew. On failure the old one goes on. */
TROVE_WARN_UNUSED trove_status tvs_audit_reopen(struct tvs_audit *audit, trove_error *error);
/* Writes what is gathered, within a bounded time. NULL is allowed. */
void tvs_audit_destroy(struct tvs_audit *audit);

/* A line: begin, fields by tvs_log_text and its likes on `line`, end. */
struct tvs_audit_line {
    struct tvs_log_line line;
    char text[TVS_AUDIT_LINE_BYTES_MAX];
};

void tvs_audit_begin(struct tvs_audit_line *line, const char *event);
void tvs_audit_end(struct tvs_audit *audit, struct tvs_audit_line *line);

#endif
