/* fetch.c - see fetch.h. */
#include "fetch.h"

#include "condition_options.h"
#include "text.h"

#include <inttypes.h>
#include <poll.h>
#include <stdlib.h>

/* Whether the other end of a pipe is closed, which trove_get_fd's status doesn't tell from other failed writes. */
static bool reader_is_gone(int fd) {
    struct pollfd state = {.fd = fd, .events = POLLOUT};
    return poll(&state, 1, 0) == 1 && (state.revents & POLLERR) != 0;
}

static enum cli_exit fail(const struct cli_fetch *fetch, bool is_local, const trove_error *error) {
    char *object = cli_format("%s/%s", fetch->bucket, fetch->key);
    char *hint = NULL;
    if (error->status == TROVE_NOT_FOUND && !is_local)
        hint = cli_format("'trove ls %s' lists what is there", fetch->bucket);
    else if (!is_local)
        hint = cli_conditions_hint(&fetch->options.conditions, error->status, object);
    enum cli_exit code = cli_fail(fetch->context, fetch->action, object, fetch->to_text, hint, error);
    free(hint);
    free(object);
    return code;
}

enum cli_exit cli_fetch_fail_local(const struct cli_fetch *fetch, const trove_error *error) {
    return fail(fetch, true, error);
}

enum cli_exit cli_fetch_run(const struct cli_fetch *fetch, struct cli_target *target, trove_object_info **info) {
    trove_error error = {0};
    trove_object_info *fetched = NULL;
    if (trove_get_fd(fetch->context->client, fetch->bucket, fetch->key, target->fd, &fetch->options, &fetched, &error) !=
        TROVE_OK) {
        bool silent = reader_is_gone(target->fd);
        cli_target_discard(target);
        return silent ? CLI_EXIT_PIPE : fail(fetch, false, &error);
    }
    if (cli_target_publish(target, &error) != TROVE_OK) {
        trove_object_info_free(fetched);
        return fail(fetch, true, &error);
    }
    if (fetched->gap_count > 0)
        cli_output_note(&fetch->context->output,
                        "%s/%s: %" PRIu64 " of its %" PRIu64 " bytes were lost when it was stored, and are zeros; 'trove stat' "
                        "tells which",
                        fetch->bucket, fetch->key, fetched->gap_bytes, fetched->size);
    *info = fetched;
    return CLI_EXIT_OK;
}
