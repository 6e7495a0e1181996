/* commands.h - the verbs, each in a file of its own. Each reads its part of the command line (argv[0] is the verb), does its
 * work and says what came of it. */
#ifndef CLI_COMMANDS_H
#define CLI_COMMANDS_H

#include "context.h"

enum cli_exit cmd_mb(struct cli_context *context, int argc, char **argv);
enum cli_exit cmd_rb(struct cli_context *context, int argc, char **argv);
enum cli_exit cmd_ls(struct cli_context *context, int argc, char **argv);
enum cli_exit cmd_put(struct cli_context *context, int argc, char **argv);
enum cli_exit cmd_get(struct cli_context *context, int argc, char **argv);
enum cli_exit cmd_cat(struct cli_context *context, int argc, char **argv);
enum cli_exit cmd_stat(struct cli_context *context, int argc, char **argv);
enum cli_exit cmd_cp(struct cli_context *context, int argc, char **argv);
enum cli_exit cmd_rm(struct cli_context *context, int argc, char **argv);
enum cli_exit cmd_scrub(struct cli_context *context, int argc, char **argv);
enum cli_exit cmd_streams(struct cli_context *context, int argc, char **argv);
enum cli_exit cmd_uploads(struct cli_context *context, int argc, char **argv);
enum cli_exit cmd_pools(struct cli_context *context, int argc, char **argv);
enum cli_exit cmd_top(struct cli_context *context, int argc, char **argv);
enum cli_exit cmd_keygen(struct cli_context *context, int argc, char **argv);
enum cli_exit cmd_ping(struct cli_context *context, int argc, char **argv);

#endif
