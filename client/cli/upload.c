/* upload.c - see upload.h.
 *
 * Four ways: a file that is large enough is remembered (upload_state.h) and gone on with by the next command; what can't be, such
 * as a pipe, outlives a lost connection alone; a small file isn't worth the server's records, and is put once more when the
 * connection was lost; and what may lose chunks or has an overflow does neither.
 */
#include "upload.h"

#include "failure.h"
#include "human.h"
#include "state_folder.h"
#include "text.h"
#include "upload_state.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum {
    REMEMBERED_BYTES_MIN = 8 << 20, /* less is sent again sooner than the records are synced */
    ASK_TIMEOUT_MS = 5000,          /* for what is asked or said of an upload that has failed */
};

static uint64_t now_ms(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static trove_status put(const struct cli_upload *upload, const trove_stream_options *options, trove_object_info **info,
                        trove_error *error) {
    return trove_put_fd(upload->context->client, upload->bucket, upload->key, upload->fd, options, info, error);
}

/* ---- small files: once more ---- */

static bool lost_connection(const struct cli_upload *upload, trove_status status) {
    trove_client_metrics metrics;
    trove_client_metrics_get(upload->context->client, &metrics);
    return status == TROVE_UNAVAILABLE || (status == TROVE_DEADLINE_EXCEEDED && metrics.reconnecting);
}

/* With conditions the second try might be refused for what the first one has done. */
static bool is_repeatable(const struct cli_upload *upload) {
    const trove_conditions *conditions = &upload->options.conditions;
    return upload->context->retry_for_ms != TROVE_NO_RETRY && conditions->if_match == NULL && !conditions->if_none_match &&
           conditions->if_generation == 0;
}

static trove_status put_again(const struct cli_upload *upload, trove_object_info **info, trove_error *error) {
    off_t begin = lseek(upload->fd, 0, SEEK_CUR);
    uint64_t until_ms = 0;
    for (;;) {
        trove_status status = put(upload, &upload->options, info, error);
        if (status == TROVE_OK || begin < 0 || !is_repeatable(upload) || !lost_connection(upload, status))
            return status;
        if (until_ms == 0)
            until_ms = now_ms() + upload->context->retry_for_ms;
        if (now_ms() >= until_ms || lseek(upload->fd, begin, SEEK_SET) != begin)
            return status;
    }
}

/* ---- resumable ones ---- */

/* What the hooks work with. */
struct watch {
    struct cli_upload *upload;
    trove_stream_hooks outer;
    struct cli_interrupt *interrupt;
    struct cli_parked parked;
    struct cli_upload_state *state; /* NULL: it isn't remembered */
};

static void on_progress(void *context, const trove_progress *progress) {
    const struct watch *watch = context;
    watch->outer.on_progress(watch->outer.context, progress);
}

static void on_opened(void *context, const char *upload_id) {
    struct watch *watch = context;
    if (watch->parked.id[0] != 0 && strcmp(watch->parked.id, upload_id) != 0) {
        cli_output_note(&watch->upload->context->output, "the server has lost what it had of %s: it begins anew",
                        watch->upload->path_text);
        watch->upload->resumed_bytes = 0;
    }
    if (watch->state != NULL)
        cli_upload_state_opened(watch->state, upload_id);
    cli_interrupt_park_named(watch->interrupt, &watch->parked, upload_id);
}

/* Throws away what nobody can go on with. It would expire some day; where the server can't be asked it does. True: it is gone. */
static bool throw_away(const struct cli_upload *upload, const char *upload_id) {
    return upload_id[0] != 0 && trove_upload_abort(upload->context->client, upload_id, ASK_TIMEOUT_MS, NULL) == TROVE_OK;
}

/* The library says of an upload that has failed that it is kept, and as what: a clause of its own, at the end. */
static void unsay_kept(trove_error *error, const char *upload_id) {
    char *id = strstr(error->message, upload_id);
    char *clause = id != NULL ? memrchr(error->message, ';', (size_t)(id - error->message)) : NULL;
    if (clause != NULL)
        *clause = 0;
}

/* Whether the server may still have what has failed so. What is gone for good the next command is told when it looks. */
static bool may_stay(trove_status status) {
    switch (status) {
    case TROVE_INTERNAL:
    case TROVE_UNKNOWN:
        return true;
    default:
        return cli_part_can_go_on(status);
    }
}

/* Who aborts an upload ends its put with the same code as who only goes on with it elsewhere. */
static bool was_aborted(const struct cli_upload *upload, const char *upload_id, trove_status status) {
    trove_upload *found = NULL;
    if (status != TROVE_ABORTED)
        return false;
    trove_status asked = trove_upload_stat(upload->context->client, upload_id, ASK_TIMEOUT_MS, &found, NULL);
    trove_upload_free(found);
    return asked == TROVE_NOT_FOUND;
}

/* *opened: set when the server has the upload. */
static trove_status put_resumable(struct cli_upload *upload, const trove_stream_options *given, struct cli_upload_state *state,
                                  trove_object_info **info, bool *opened, trove_error *error) {
    trove_stream_options options = *given;
    struct watch watch = {
        .upload = upload,
        .outer = upload->options.hooks,
        .interrupt = &upload->context->interrupt,
        .parked = {.remembered = state != NULL},
        .state = state,
    };
    options.resumable = true;
    options.hooks = (trove_stream_hooks){.context = &watch, .on_opened = on_opened};
    if (watch.outer.on_progress != NULL)
        options.hooks.on_progress = on_progress;
    cli_interrupt_park_begin(watch.interrupt, &watch.parked);
    trove_status status = put(upload, &options, info, error);
    cli_interrupt_park_end(watch.interrupt, &watch.parked);
    *opened |= watch.parked.id[0] != 0;
    bool goes_on = state != NULL && may_stay(status);
    if (status != TROVE_OK && !goes_on && !lost_connection(upload, status) && throw_away(upload, watch.parked.id))
        unsay_kept(error, watch.parked.id);
    return status;
}

static trove_status put_unremembered(struct cli_upload *upload, trove_object_info **info, trove_error *error) {
    bool opened = false;
    return put_resumable(upload, &upload->options, NULL, info, &opened, error);
}

/* ---- remembered ones ---- */

static bool find_about(const struct cli_upload *upload, const char *source, struct cli_upload_about *about) {
    struct stat found;
    if (fstat(upload->fd, &found) != 0)
        return false;
    *about = (struct cli_upload_about){
        .server = upload->context->server,
        .own_key = upload->context->own_key,
        .source = source,
        .object = upload->object,
        .mark = {.size = (uint64_t)found.st_size,
                 .modified_ns = (uint64_t)found.st_mtim.tv_sec * 1000000000 + (uint64_t)found.st_mtim.tv_nsec,
                 .inode = found.st_ino,
                 .device = found.st_dev},
        .options = &upload->options,
    };
    return S_ISREG(found.st_mode);
}

static bool is_unchanged(const struct cli_upload *upload, const struct cli_upload_about *about) {
    struct cli_upload_about now;
    return find_about(upload, NULL, &now) && cli_source_mark_equal(&now.mark, &about->mark);
}

/* What isn't complete is gone on with at what is durable. What is complete is done if the object is still that one: it may have
 * been deleted or replaced since, and who may only write can't tell. *usable: it isn't complete; else, and if it isn't done, it
 * begins anew.
 * Errors: it can't be told whether the upload is there, and so it may be. */
static trove_status look_at_upload(struct cli_upload *upload, const char *upload_id, bool *usable, trove_object_info **done,
                                   trove_error *error) {
    trove_client *client = upload->context->client;
    trove_upload *found = NULL;
    trove_object_info *now = NULL;
    *usable = false;
    trove_status status = trove_upload_stat(client, upload_id, 0, &found, error);
    if (status == TROVE_NOT_FOUND)
        return TROVE_OK;
    if (status != TROVE_OK)
        return status;
    upload->resumed_bytes = found->durable_offset;
    *usable = found->completed == NULL;
    if (found->completed != NULL) {
        status = trove_object_head(client, upload->bucket, upload->key, 0, &now, error);
        if (status == TROVE_OK && now->generation == found->completed->generation) {
            upload->resumed_bytes = now->size;
            *done = now;
            now = NULL;
        } else if (status == TROVE_NOT_FOUND || status == TROVE_PERMISSION_DENIED) {
            status = TROVE_OK;
        }
    }
    trove_object_info_free(now);
    trove_upload_free(found);
    return status;
}

static void say_begins_anew(const struct cli_upload *upload, const struct cli_upload_state *state,
                            const struct cli_upload_about *about) {
    bool changed = !cli_source_mark_equal(&state->record.source, &about->mark);
    if (state->record.upload_id[0] != 0)
        cli_output_note(&upload->context->output, "%s %s: it begins anew", upload->path_text,
                        changed ? "has changed since an earlier put was cut off"
                                : "was put with other options when it was cut off");
}

/* Where it goes on, which is at nothing unless `usable`. */
static trove_status prepare(struct cli_upload *upload, struct cli_upload_state *state, enum cli_upload_found found, bool usable,
                            const struct cli_upload_about *about, trove_stream_options *options, trove_error *error) {
    struct cli_output *output = &upload->context->output;
    if (found == CLI_UPLOAD_DAMAGED)
        cli_output_note(output, "the record of an earlier put of %s is damaged; it begins anew", upload->path_text);
    if (found == CLI_UPLOAD_CHANGED) {
        say_begins_anew(upload, state, about);
        throw_away(upload, state->record.upload_id);
    }
    if (!usable) {
        upload->resumed_bytes = 0;
        trove_status status = cli_upload_state_begin(state, about, error);
        if (status != TROVE_OK)
            return status;
    }
    options->request_id = state->record.request_id;
    if (usable && state->record.upload_id[0] != 0) {
        options->upload_id = state->record.upload_id;
        options->request_id = NULL;
        cli_output_note(output, "%s goes on at %s of %s", upload->path_text, cli_human_size(upload->resumed_bytes).text,
                        cli_human_size(about->mark.size).text);
    }
    return TROVE_OK;
}

/* Bytes are checked piece by piece as they come. Where the whole isn't what was read here all the same, what an earlier command
 * sent of it was something else. */
static trove_status judge_mismatch(const struct cli_upload *upload, const struct cli_upload_about *about, trove_status status,
                                   trove_error *error) {
    if (status != TROVE_DATA_LOSS || upload->resumed_bytes == 0 || strstr(error->message, "have the etag") == NULL)
        return status;
    return cli_error_set(
        error, TROVE_FAILED_PRECONDITION,
        "%s has changed %s, and isn't what the %s are of that an earlier put has sent; nothing of it was stored, and "
        "the same command begins anew",
        upload->path_text, is_unchanged(upload, about) ? "since, under its old size and time" : "while it was sent",
        cli_human_size(upload->resumed_bytes).text);
}

static trove_status send(struct cli_upload *upload, struct cli_upload_state *state, const struct cli_upload_about *about,
                         const trove_stream_options *options, trove_object_info **info, bool *opened, trove_error *error) {
    trove_stream_options own = *options;
    char id[TROVE_UPLOAD_ID_BYTES]; /* the hook writes to the record's */
    if (own.upload_id != NULL) {
        memcpy(id, own.upload_id, sizeof id);
        own.upload_id = id;
    }
    return judge_mismatch(upload, about, put_resumable(upload, &own, state, info, opened, error), error);
}

/* The upload was there, and went before it was attached to: it expired, or its bucket was deleted. Nothing was sent yet. */
static trove_status send_anew(struct cli_upload *upload, struct cli_upload_state *state, const struct cli_upload_about *about,
                              off_t begin, trove_object_info **info, bool *opened, trove_error *error) {
    trove_stream_options options = upload->options;
    if (lseek(upload->fd, begin, SEEK_SET) != begin)
        return cli_error_errno(error, errno, "it can't be read from its beginning again");
    cli_output_note(&upload->context->output, "the server has lost what it had of %s: it begins anew", upload->path_text);
    trove_status status = prepare(upload, state, CLI_UPLOAD_NEW, false, about, &options, error);
    return status == TROVE_OK ? send(upload, state, about, &options, info, opened, error) : status;
}

static trove_status put_remembered(struct cli_upload *upload, struct cli_upload_state *state, enum cli_upload_found found,
                                   const struct cli_upload_about *about, trove_object_info **info, trove_error *error) {
    trove_stream_options options = upload->options;
    bool opened = found == CLI_UPLOAD_FOUND && state->record.upload_id[0] != 0;
    bool usable = found == CLI_UPLOAD_FOUND;
    trove_status status = TROVE_OK;
    if (opened)
        status = look_at_upload(upload, state->record.upload_id, &usable, info, error);
    opened = opened && usable;
    if (status != TROVE_OK || *info != NULL) {
        *upload->options.metrics = (trove_stream_metrics){.direction = TROVE_DIRECTION_UPLOAD};
        upload->goes_on = status != TROVE_OK;
        cli_upload_state_close(state, upload->goes_on);
        return status;
    }
    status = prepare(upload, state, found, usable, about, &options, error);
    if (status == TROVE_OK) {
        bool attached = false;
        off_t begin = lseek(upload->fd, 0, SEEK_CUR);
        status = send(upload, state, about, &options, info, &attached, error);
        bool gone = status == TROVE_NOT_FOUND && !attached && options.upload_id != NULL;
        if (gone)
            status = send_anew(upload, state, about, begin, info, &attached, error);
        opened = attached || (opened && !gone);
    }
    upload->begins_anew = opened && was_aborted(upload, state->record.upload_id, status);
    upload->goes_on = opened && may_stay(status) && !upload->begins_anew;
    if (upload->goes_on && !is_unchanged(upload, about)) { /* and so the next put would begin anew */
        upload->goes_on = false;
        throw_away(upload, state->record.upload_id);
    }
    cli_upload_state_close(state, upload->goes_on || lost_connection(upload, status));
    return status;
}

/* ---- which of them ---- */

/* Asked once: a put from a pipe can't find out by trying, for the bytes that it has read are gone then. */
static bool has_resumable_uploads(const struct cli_upload *upload) {
    static atomic_int known; /* 1: it has, 2: it hasn't */
    if (atomic_load(&known) != 0)
        return atomic_load(&known) == 1;
    trove_upload_list_options options;
    trove_upload_page *page = NULL;
    trove_upload_list_options_init(&options);
    options.limit = 1;
    trove_status status = trove_upload_list(upload->context->client, &options, &page, NULL);
    trove_upload_page_free(page);
    if (status == TROVE_OK || status == TROVE_UNIMPLEMENTED)
        atomic_store(&known, status == TROVE_OK ? 1 : 2);
    return status != TROVE_UNIMPLEMENTED; /* what else may be wrong the put says */
}

static void say_not_remembered(const struct cli_upload *upload, const trove_error *why) {
    static atomic_bool said; /* what is wrong with the folder is wrong for all files */
    if (why->status == TROVE_ABORTED || !atomic_exchange(&said, true))
        cli_output_note(&upload->context->output, "%s won't be gone on with after a crash: %s", upload->path_text, why->message);
}

/* What an earlier put has left is thrown away, on both sides. */
static trove_status put_anew(struct cli_upload *upload, const struct cli_upload_about *about, trove_object_info **info,
                             trove_error *error) {
    struct cli_upload_state state;
    enum cli_upload_found found;
    trove_error ignored;
    int folder_fd = -1;
    if (cli_state_folder_open(&folder_fd, &ignored) == TROVE_OK &&
        cli_upload_state_open(&state, folder_fd, about, &found, &ignored) == TROVE_OK) {
        if (found == CLI_UPLOAD_FOUND || found == CLI_UPLOAD_CHANGED)
            throw_away(upload, state.record.upload_id);
        cli_upload_state_close(&state, false);
    }
    return put_again(upload, info, error);
}

static trove_status put_file(struct cli_upload *upload, const struct cli_upload_about *about, trove_object_info **info,
                             trove_error *error) {
    struct cli_upload_state state;
    enum cli_upload_found found;
    trove_error why;
    int folder_fd = -1;
    if (about->mark.size < REMEMBERED_BYTES_MIN || !has_resumable_uploads(upload))
        return put_again(upload, info, error);
    if (upload->anew)
        return put_anew(upload, about, info, error);
    if (cli_state_folder_open(&folder_fd, &why) != TROVE_OK ||
        cli_upload_state_open(&state, folder_fd, about, &found, &why) != TROVE_OK) {
        say_not_remembered(upload, &why);
        return put_unremembered(upload, info, error);
    }
    return put_remembered(upload, &state, found, about, info, error);
}

trove_status cli_upload_run(struct cli_upload *upload, trove_object_info **info, trove_error *error) {
    const trove_stream_options *options = &upload->options;
    struct cli_upload_about about;
    if (options->lossy || options->backpressure == TROVE_BACKPRESSURE_BUFFER)
        return put_again(upload, info, error);
    char *source = upload->path != NULL ? realpath(upload->path, NULL) : NULL;
    bool is_file = source != NULL && find_about(upload, source, &about) && about.mark.size > 0; /* those of /proc say 0 */
    trove_status status;
    if (is_file)
        status = put_file(upload, &about, info, error);
    else
        status = upload->anew || !has_resumable_uploads(upload) ? put_again(upload, info, error)
                                                                : put_unremembered(upload, info, error);
    free(source);
    return status;
}
