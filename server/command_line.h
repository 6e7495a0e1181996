/* command_line.h - what the command line of `troved` says, and its help. The main thread's. */
#ifndef TVS_COMMAND_LINE_H
#define TVS_COMMAND_LINE_H

#include "config.h"

extern const char tvs_command_line_version[]; /* "0.1.0" */

/* What the command line says; it is put over the config file's settings once that is read. Strings are argv's. */
struct tvs_command_line {
    const char *config;
    const char *listen[TVS_LISTEN_MAX];
    unsigned listen_count;
    const char *store;
    bool insecure;
    bool check_only;
    bool has_log_format;
    bool has_log_level;
    enum tvs_log_format log_format;
    enum tvs_log_level log_level;
};

/* Ends the process on wrong usage (64), for --help and for --version. */
void tvs_command_line_parse(struct tvs_command_line *line, int argc, char **argv);
/* Over what the config file has said. Errors: INVALID_ARGUMENT, RESOURCE_EXHAUSTED. */
TROVE_WARN_UNUSED trove_status tvs_command_line_apply(const struct tvs_command_line *line, struct tvs_config *config,
                                                      trove_error *error);

#endif
