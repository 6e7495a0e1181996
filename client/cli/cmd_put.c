/* cmd_put.c - trove put: files, folders or standard input become objects. */
#include "commands.h"
#include "digest.h"
#include "follow.h"
#include "human.h"
#include "losses.h"
#include "object_output.h"
#include "options.h"
#include "parallel.h"
#include "progress.h"
#include "put_list.h"
#include "text.h"
#include "transfer_options.h"
#include "upload.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct values {
    struct cli_transfer_values transfer;
    bool follow; /* lets others follow */
    bool follow_links;
    const char *content_type;
    trove_digest digest;
    trove_metadata *metadata;
    size_t metadata_count;
    size_t metadata_room;
};

enum {
    KEY_FOLLOW = CLI_KEYS_OF_VERB,
    KEY_FOLLOW_LINKS,
    KEY_CONTENT_TYPE,
    KEY_META,
    KEY_DIGEST,
};

static const struct argp_option options[] = {
    {"recursive", 'r', NULL, 0, "Take folders, too, with all that is below them", 0},
    {"follow", KEY_FOLLOW, NULL, 0,
     "Let others read the object while it is written: `get --follow' and `cat --follow' are sent what comes as it comes", 0},
    {"follow-links", KEY_FOLLOW_LINKS, NULL, 0, "Follow symbolic links found in folders instead of leaving them out", 0},
    {"content-type", KEY_CONTENT_TYPE, "TYPE", 0, "The objects' content type, such as image/png", 0},
    {"meta", KEY_META, "NAME=VALUE", 0, "Keep this with the objects; may be given several times", 0},
    {"digest", KEY_DIGEST, "KIND[:HEX]", 0,
     "The server publishes the object only if this is its digest: sha256 or blake2b, computed here, or one that is known, as in "
     "sha256:HEX (64 hexadecimal digits) or blake2b:HEX (128)",
     0},
    CLI_TRANSFER_OPTIONS,
    CLI_CREATE_OPTION,
    {NULL, 0, NULL, 0, NULL, 0},
};

static void add_metadata(struct values *values, char *argument, const struct argp_state *state) {
    char *equals = strchr(argument, '=');
    if (equals == NULL || equals == argument) {
        argp_error(state, "--meta takes NAME=VALUE, not '%s'", argument);
        return;
    }
    *equals = 0;
    values->metadata = cli_grow(values->metadata, &values->metadata_room, values->metadata_count + 1, sizeof *values->metadata);
    values->metadata[values->metadata_count++] = (trove_metadata){.key = argument, .value = equals + 1};
}

static error_t parse(int key, char *argument, struct argp_state *state, void *input) {
    struct values *values = input;
    switch (key) {
    case KEY_FOLLOW:
        values->follow = true;
        return 0;
    case KEY_FOLLOW_LINKS:
        values->follow_links = true;
        return 0;
    case KEY_CONTENT_TYPE:
        values->content_type = argument;
        return 0;
    case KEY_DIGEST:
        if (!cli_digest_parse(argument, &values->digest))
            argp_error(state, "--digest takes sha256 or blake2b, or one with its value, sha256:HEX or blake2b:HEX, not '%s': %s",
                       argument, cli_digest_mistake(argument)); /* ends the process */
        return 0;
    case KEY_META:
        add_metadata(values, argument, state);
        return 0;
    default:
        return cli_transfer_parse(key, argument, state, &values->transfer);
    }
}

struct put {
    struct cli_context *context;
    const struct values *values;
    const char *bucket;
    const struct cli_put_list *list;
    struct cli_progress progress;
};

static const char *source_text(const struct cli_put_file *file) {
    return strcmp(file->path, "-") == 0 ? "standard input" : file->path;
}

/* Opens what the list found. In the meantime it may have become something else: a pipe, a link that leads away. */
static trove_status open_source(const struct cli_put_file *file, int *fd, trove_error *error) {
    if (strcmp(file->path, "-") == 0) {
        *fd = STDIN_FILENO;
        return TROVE_OK;
    }
    /* Opening a pipe that nobody writes to doesn't wait, for reading it does, and that has a limit. */
    int flags = O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK;
    if (file->size != TROVE_SIZE_UNKNOWN && !file->follow_links)
        flags |= O_NOFOLLOW;
    int opened = open(file->path, flags);
    if (opened < 0)
        return cli_error_errno(error, errno, "the file can't be read");
    struct stat found;
    if (file->size != TROVE_SIZE_UNKNOWN && (fstat(opened, &found) != 0 || !S_ISREG(found.st_mode))) {
        close(opened);
        return cli_error_set(error, TROVE_FAILED_PRECONDITION, "it is no regular file any more");
    }
    *fd = opened;
    return TROVE_OK;
}

static void say_stored(const char *source, const struct cli_upload *upload, const trove_object_info *info) {
    struct cli_output *output = &upload->context->output;
    const trove_stream_metrics *metrics = upload->options.metrics;
    cli_losses_say(output, upload->object, metrics, true);
    if (!output->json) {
        cli_output_done(output, "%s -> %s (%s)", source, upload->object, cli_human_size(info->size).text);
        return;
    }
    json_t *result = cli_object_json(info);
    json_object_set_new(result, "source", cli_json_text(source));
    char *digest = cli_digest_text(&upload->options.digest);
    if (digest != NULL)
        json_object_set_new(result, "digest", cli_json_text(digest));
    free(digest);
    cli_object_json_add_metrics(result, metrics, upload->resumed_bytes);
    cli_output_json(output, result);
}

static enum cli_exit say_failed(const struct put *put, const struct cli_put_file *file, const struct cli_upload *upload,
                                trove_error *error) {
    const struct cli_hint_about about = {
        .way = CLI_HINT_STORE,
        .bucket = put->bucket,
        .object = upload->object,
        .conditions = &put->values->transfer.conditions,
        .waits_for_pipe = file->size == TROVE_SIZE_UNKNOWN,
        .goes_on = upload->goes_on,
        .begins_anew = upload->begins_anew,
    };
    cli_error_name_descriptor(error, upload->fd, upload->path_text);
    return cli_fail_call(put->context, "put", source_text(file), upload->object, &about, error);
}

/* A file can be read twice: its digest is known before it is sent. *computed: it was computed here. */
static trove_status declare_digest(struct cli_upload *upload, bool *computed, trove_error *error) {
    struct stat found;
    trove_digest *digest = &upload->options.digest;
    if (digest->kind == TROVE_DIGEST_NONE || digest->size > 0 || upload->path == NULL || fstat(upload->fd, &found) != 0 ||
        !S_ISREG(found.st_mode) || found.st_size == 0)
        return TROVE_OK;
    *computed = true;
    return cli_digest_compute(upload->fd, (uint64_t)found.st_size, digest, error);
}

/* Bytes are checked piece by piece as they come: where they haven't the digest of what was read before, that was something
 * else. */
static trove_status judge_digest(const struct cli_upload *upload, trove_status status, trove_error *error) {
    if (status != TROVE_DATA_LOSS || strstr(error->message, ", declared was ") == NULL)
        return status;
    return cli_error_set(error, TROVE_FAILED_PRECONDITION,
                         "%s has changed while it was sent: it hasn't the digest any more that it had before; put it again when "
                         "nothing changes it",
                         upload->path_text);
}

static trove_status store(const struct put *put, const struct cli_put_file *file, struct cli_upload *upload,
                          trove_object_info **info, trove_error *error) {
    bool computed = false;
    trove_status status = declare_digest(upload, &computed, error);
    if (status != TROVE_OK)
        return status;
    if (put->values->follow)
        return cli_follow_put_fd(put->context->client, put->bucket, file->key, upload->fd, &upload->options, info, error);
    status = cli_upload_run(upload, info, error);
    return computed ? judge_digest(upload, status, error) : status;
}

static enum cli_exit put_file(void *input, size_t index) {
    struct put *put = input;
    const struct cli_put_file *file = &put->list->files[index];
    bool is_stdin = strcmp(file->path, "-") == 0;
    char *object = cli_format("%s/%s", put->bucket, file->key);
    trove_stream_metrics metrics;
    struct cli_upload upload = {
        .context = put->context,
        .bucket = put->bucket,
        .key = file->key,
        .object = object,
        .path = is_stdin ? NULL : file->path,
        .path_text = source_text(file),
        .fd = -1,
        .options = cli_transfer_stream_options(&put->values->transfer, put->context),
        .anew = put->values->transfer.no_resume,
    };
    upload.options.content_type = put->values->content_type;
    upload.options.metadata = put->values->metadata;
    upload.options.metadata_count = put->values->metadata_count;
    upload.options.digest = put->values->digest;
    upload.options.metrics = &metrics;
    struct cli_progress_item item;
    cli_progress_item_begin(&item, &put->progress, file->size, &upload.options.hooks);

    enum cli_exit code = CLI_EXIT_OK;
    trove_error error = {0};
    trove_object_info *info = NULL;
    if (open_source(file, &upload.fd, &error) != TROVE_OK)
        code = cli_fail(put->context, "put", upload.path_text, object, NULL, &error);
    else if (store(put, file, &upload, &info, &error) == TROVE_OK)
        say_stored(upload.path_text, &upload, info);
    else
        code = say_failed(put, file, &upload, &error);
    cli_progress_item_end(&item, code == CLI_EXIT_OK);
    trove_object_info_free(info);
    if (upload.fd >= 0 && !is_stdin)
        close(upload.fd);
    free(object);
    return code;
}

static enum cli_exit put_list(struct cli_context *context, const struct values *values, const char *bucket,
                              const struct cli_put_list *list) {
    struct put put = {.context = context, .values = values, .bucket = bucket, .list = list};
    cli_progress_start(&put.progress, context, list->count == 1 ? source_text(&list->files[0]) : NULL, list->count);
    for (size_t i = 0; i < list->count; i++)
        cli_progress_expect(&put.progress, list->files[i].size);
    size_t skipped = 0;
    enum cli_exit code = cli_parallel_run(list->count, cli_transfer_threads(&values->transfer), put_file, &put, &skipped);
    cli_progress_stop(&put.progress);
    if (skipped > 0)
        cli_output_note(&context->output, "%zu more files were not tried without a server", skipped);
    return code;
}

static bool is_file(const char *path) {
    struct stat found;
    int status = strcmp(path, "-") == 0 ? fstat(STDIN_FILENO, &found) : stat(path, &found);
    return status == 0 && S_ISREG(found.st_mode);
}

/* A file gives its bytes whenever they are wanted: to drop some would spoil the object for nothing. */
static void check_drop(const struct cli_operands *operands, bool recursive) {
    if (recursive)
        cli_usage_error("put",
                        "--recursive takes files, which can wait; --backpressure drop loses bytes, and is for live sources, "
                        "such as a pipe");
    for (int i = 0; i + 1 < operands->count; i++)
        if (is_file(operands->texts[i]))
            cli_usage_error("put",
                            "'%s' is a file, which can wait; --backpressure drop loses bytes, and is for live sources, such as a "
                            "pipe",
                            operands->texts[i]);
}

static void check_operands(const struct cli_operands *operands, const struct values *values, const struct cli_object_name *to) {
    bool many = operands->count > 2 || values->transfer.recursive;
    cli_conditions_check("put", &values->transfer.conditions);
    if (values->follow)
        cli_transfer_check_follow("put", &values->transfer);
    if (values->follow && many)
        cli_usage_error("put", "--follow writes one object, not many");
    if (many && values->digest.size > 0)
        cli_usage_error("put", "a digest with its value is that of one file, not of many");
    if (values->digest.kind != TROVE_DIGEST_NONE && values->follow)
        cli_usage_error("put", "--digest can't be had with --follow");
    if (values->digest.kind != TROVE_DIGEST_NONE && values->transfer.backpressure == TROVE_BACKPRESSURE_DROP)
        cli_usage_error("put", "--digest can't be had with --backpressure drop, which may lose bytes");
    if (values->transfer.backpressure == TROVE_BACKPRESSURE_DROP)
        check_drop(operands, values->transfer.recursive);
    if (many && cli_conditions_are_for_one(&values->transfer.conditions))
        cli_usage_error("put", "--if-match and --if-generation are for one object, not for many files");
    struct stat found;
    for (int i = 0; i + 1 < operands->count; i++) {
        if (!values->transfer.recursive && stat(operands->texts[i], &found) == 0 && S_ISDIR(found.st_mode))
            cli_usage_error("put", "'%s' is a folder; --recursive takes folders, with all that is below them",
                            operands->texts[i]);
        if (strcmp(operands->texts[i], "-") != 0)
            continue;
        if (many)
            cli_usage_error("put", "standard input can't be one of many files");
        if (cli_key_is_folder(to->key))
            cli_usage_error("put", "standard input has no name; give the whole key, as in %s/%sNAME", to->bucket, to->key);
    }
}

enum cli_exit cmd_put(struct cli_context *context, int argc, char **argv) {
    const struct cli_usage usage = {
        .operands = "FILE|- BUCKET/KEY\nFILE... BUCKET[/PREFIX]\n--recursive FOLDER... BUCKET[/PREFIX]",
        .doc =
            "Stores files as objects; `-' is standard input, of any length.\v"
            "A KEY that is missing or ends in '/' gets the file's name behind it. With many files or --recursive "
            "PREFIX is a folder and a '/' is put behind it; a folder's files become PREFIX/ and their path below "
            "the folder (among several arguments: below the folder's own name first). An object is replaced at once "
            "and whole, or not at all. With --follow others see what was written of it before; only one can write an object "
            "like that at a time. A file that fails doesn't keep the others back; the exit code is that of the "
            "gravest failure.\n\n"
            "When the connection is lost or the server restarts, it is made again (--retry-for), and the put goes on. A file of "
            "8 MiB or more that was cut off otherwise goes on when the same command is run again: what is needed for that is "
            "kept in $XDG_STATE_HOME/trove/uploads, else ~/.local/state/trove/uploads, until it is stored. A file that has "
            "changed begins anew. Of a pipe's put that is killed `trove uploads' shows what is left, until it expires.",
        .options = options,
        .parse = parse,
        .operands_min = 2,
        .operands_max = CLI_OPERANDS_ANY,
    };
    struct values values = {0};
    struct cli_operands operands = cli_options_parse_verb(context, &usage, argc, argv, &values);
    const char *last = operands.texts[operands.count - 1];
    struct cli_object_name to;
    if (!cli_object_name_parse(last, &to))
        cli_usage_error("put", "'%s' has no bucket; objects are BUCKET/KEY", last);
    check_operands(&operands, &values, &to);

    struct cli_put_list list = {.worst = CLI_EXIT_OK};
    context->retry_for_ms = cli_transfer_retry_ms(&values.transfer);
    enum cli_exit code = cli_connect(context, 0);
    if (code == CLI_EXIT_OK)
        code = cli_bandwidth_begin(&values.transfer.bandwidth, context, cli_transfer_threads(&values.transfer));
    if (code == CLI_EXIT_OK) {
        size_t count = (size_t)operands.count - 1;
        if (count > 1 || values.transfer.recursive)
            cli_put_list_many(&list, context, operands.texts, count, &to, values.transfer.recursive, values.follow_links);
        else
            cli_put_list_one(&list, context, operands.texts[0], &to);
        code = cli_exit_worst(list.worst, put_list(context, &values, to.bucket, &list));
    }
    cli_bandwidth_end(&values.transfer.bandwidth);
    cli_put_list_fini(&list);
    cli_object_name_fini(&to);
    free(values.metadata);
    return code;
}
