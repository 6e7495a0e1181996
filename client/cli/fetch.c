/* fetch.c - see fetch.h. */
#include "fetch.h"

#include "follow.h"
#include "text.h"

#include <inttypes.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/stat.h>

/* Whether the other end of a pipe is closed, which trove_get_fd's status, INTERNAL, doesn't tell from other failed writes. */
static bool reader_is_gone(int fd) {
    struct pollfd state = {.fd = fd, .events = POLLOUT};
    return poll(&state, 1, 0) == 1 && (state.revents & POLLERR) != 0;
}

static bool is_file(int fd) {
    struct stat found;
    return fstat(fd, &found) == 0 && S_ISREG(found.st_mode);
}

static enum cli_exit fail(const struct cli_fetch *fetch, enum cli_hint_way way, bool waits_for_pipe, bool goes_on,
                          const trove_error *error) {
    char *object = cli_format("%s/%s", fetch->bucket, fetch->key);
    const struct cli_hint_about about = {
        .way = way,
        .bucket = fetch->bucket,
        .object = object,
        .conditions = &fetch->options.conditions,
        .waits_for_pipe = waits_for_pipe,
        .goes_on = goes_on,
    };
    enum cli_exit code = cli_fail_call(fetch->context, fetch->action, object, fetch->to_text, &about, error);
    free(object);
    return code;
}

enum cli_exit cli_fetch_fail_local(const struct cli_fetch *fetch, const trove_error *error) {
    char *object = cli_format("%s/%s", fetch->bucket, fetch->key);
    const char *hint = error->status == TROVE_DEADLINE_EXCEEDED ? "--timeout 0 waits for any time" : NULL;
    enum cli_exit code = cli_fail(fetch->context, fetch->action, object, fetch->to_text, hint, error);
    free(object);
    return code;
}

static trove_status get(const struct cli_fetch *fetch, const struct cli_target *target, trove_object_info **info,
                        trove_error *error) {
    const struct cli_context *context = fetch->context;
    uint32_t silence_ms = context->timeout_ms > 0 ? context->timeout_ms : TROVE_NO_TIMEOUT;
    if (fetch->options.follow)
        return cli_follow_get_fd(context->client, fetch->bucket, fetch->key, target->fd, silence_ms, &fetch->options, info,
                                 error);
    if (target->lock_fd >= 0)
        return trove_get_rest(context->client, fetch->bucket, fetch->key, target->fd, &fetch->options, fetch->kept_bytes, info,
                              error);
    return trove_get_fd(context->client, fetch->bucket, fetch->key, target->fd, &fetch->options, info, error);
}

enum cli_exit cli_fetch_run(const struct cli_fetch *fetch, struct cli_target *target, trove_object_info **info) {
    trove_error error = {0};
    trove_object_info *fetched = NULL;
    if (get(fetch, target, &fetched, &error) != TROVE_OK) {
        bool silent = error.status == TROVE_INTERNAL && reader_is_gone(target->fd);
        bool waits_for_pipe = target->folder_fd < 0 && !is_file(target->fd);
        enum cli_hint_way way = target->folder_fd < 0 ? CLI_HINT_TO_OUTPUT : CLI_HINT_TO_FILE;
        if (fetch->to_text != NULL)
            cli_error_name_descriptor(&error, target->fd, fetch->to_text);
        bool goes_on = cli_target_discard(target, error.status);
        return silent ? CLI_EXIT_PIPE : fail(fetch, way, waits_for_pipe, goes_on, &error);
    }
    if (cli_target_publish(target, &error) != TROVE_OK) {
        trove_object_info_free(fetched);
        return cli_fetch_fail_local(fetch, &error);
    }
    if (fetched->gap_count > 0)
        cli_output_note(&fetch->context->output,
                        "%s/%s: %" PRIu64 " of its %" PRIu64 " bytes were lost when it was stored, and are zeros; 'trove stat' "
                        "tells which",
                        fetch->bucket, fetch->key, fetched->gap_bytes, fetched->size);
    *info = fetched;
    return CLI_EXIT_OK;
}
