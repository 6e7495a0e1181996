/* log.h - structured lines on standard error: logfmt or JSON.
 *
 * A line is built on the caller's stack and written with one write(2), so lines of several threads don't mix. Values are escaped:
 * what a peer sends can't forge a line or an escape sequence. A line that is too long is cut and says so.
 * Threads: any, but tvs_log_setup, which is called while there is only one: before the first line, and again with what the config
 * says.
 */
#ifndef TVS_LOG_H
#define TVS_LOG_H

#include "status.h"

#include <stddef.h>

enum tvs_log_level {
    TVS_LOG_DEBUG,
    TVS_LOG_INFO,
    TVS_LOG_WARN,
    TVS_LOG_ERROR,
};

enum tvs_log_format {
    TVS_LOG_LOGFMT, /* time=2026-01-02T03:04:05.678Z level=info msg=ready listen=ipc:///run/trove/troved.sock */
    TVS_LOG_JSON,
};

/* Lines of `lowest` and above go to `fd`, which stays the caller's. */
void tvs_log_setup(enum tvs_log_level lowest, enum tvs_log_format format, int fd);
/* Whether a line of this level would be written. */
bool tvs_log_enabled(enum tvs_log_level level);

struct tvs_log_line {
    bool enabled;
    bool truncated;
    size_t used;
    size_t capacity;
    size_t value_bytes_max;
    char *text; /* `own`, or a record's */
    char own[2048];
};

/* tvs_log_begin(&line, TVS_LOG_INFO, "ready"); tvs_log_text(&line, "listen", url); tvs_log_end(&line); */
void tvs_log_begin(struct tvs_log_line *line, enum tvs_log_level level, const char *message);
void tvs_log_text(struct tvs_log_line *line, const char *key, const char *value);
void tvs_log_number(struct tvs_log_line *line, const char *key, uint64_t value);
/* Adds status and message of an error: status=NOT_FOUND error="..." */
void tvs_log_error(struct tvs_log_line *line, const trove_error *error);
void tvs_log_end(struct tvs_log_line *line);

/* A line for elsewhere, whatever its level, in memory of the caller's; each value may take all of it. tvs_log_finish ends it,
 * instead of tvs_log_end, and returns its length with the newline. */
void tvs_log_begin_record(struct tvs_log_line *line, const char *message, char *text, size_t capacity);
size_t tvs_log_finish(struct tvs_log_line *line);
/* Puts finished lines into the log. */
void tvs_log_write(const char *text, size_t bytes);

#endif
