/* fetch.h - one object into one opened target; what get and cat have in common. */
#ifndef CLI_FETCH_H
#define CLI_FETCH_H

#include "context.h"
#include "progress.h"
#include "target.h"

struct cli_fetch {
    struct cli_context *context;
    const char *action; /* "get" or "cat", for messages */
    const char *bucket;
    const char *key;
    const char *to_text;          /* where it goes, for messages; NULL where that says nothing */
    trove_stream_options options; /* `follow`: from who writes it now, as it is written */
    uint64_t *kept_bytes;         /* where it is told how much of the file was there already; NULL: nowhere */
};

/* Fetches into the target and closes it: published whole, or discarded. Says what went wrong; a reader of a pipe that went away
 * is CLI_EXIT_PIPE without a word. On success *info is the caller's. */
enum cli_exit cli_fetch_run(const struct cli_fetch *fetch, struct cli_target *target, trove_object_info **info);

/* Says that the target can't be opened: advice about what is on the server would be wrong then. */
enum cli_exit cli_fetch_fail_local(const struct cli_fetch *fetch, const trove_error *error);

#endif
