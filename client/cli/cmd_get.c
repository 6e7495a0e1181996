/* cmd_get.c - trove get: objects become files. */
#include "commands.h"
#include "fetch.h"
#include "folder.h"
#include "get_list.h"
#include "human.h"
#include "local_path.h"
#include "losses.h"
#include "object_name.h"
#include "object_output.h"
#include "options.h"
#include "parallel.h"
#include "parse.h"
#include "progress.h"
#include "target.h"
#include "text.h"
#include "transfer_options.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct values {
    struct cli_transfer_values transfer;
    bool follow;
    bool allow_gaps;
    bool ranged;
    struct cli_range range;
};

enum {
    KEY_RANGE = CLI_KEYS_OF_VERB,
    KEY_ALLOW_GAPS,
    KEY_FOLLOW,
};

static const struct argp_option options[] = {
    {"recursive", 'r', NULL, 0, "All objects in the folder PREFIX, into a local folder", 0},
    {"range", KEY_RANGE, "FROM-TO", 0,
     "Only these bytes: FROM to TO, both included and counted from 0; `FROM-' is all from there, `-SUFFIX' the last so many, "
     "`FROM+LENGTH' so many from there. `0-99' are the first 100 bytes, `4M+64K' are 64 KiB",
     0},
    {"allow-gaps", KEY_ALLOW_GAPS, NULL, 0, "Zeros for what a lossy upload lost, instead of a failure", 0},
    {"follow", KEY_FOLLOW, NULL, 0, "What `put --follow' is writing now, from its beginning on, until it is done", 0},
    CLI_TRANSFER_OPTIONS,
    {NULL, 0, NULL, 0, NULL, 0},
};

static error_t parse(int key, char *argument, struct argp_state *state, void *input) {
    struct values *values = input;
    values->allow_gaps = values->allow_gaps || key == KEY_ALLOW_GAPS;
    values->follow = values->follow || key == KEY_FOLLOW;
    if (key == KEY_ALLOW_GAPS || key == KEY_FOLLOW)
        return 0;
    if (key != KEY_RANGE)
        return cli_transfer_parse(key, argument, state, &values->transfer);
    const char *mistake = cli_parse_range(argument, &values->range);
    if (mistake != NULL)
        argp_error(state, "--range takes FROM-TO, such as 0-499, FROM-, -SUFFIX or FROM+LENGTH, not '%s': %s", argument, mistake);
    values->ranged = true;
    return 0;
}

/* Zeros that one get allows another one doesn't: they don't go on with each other's file. The caller's to free. */
static char *resumed_object(const struct values *values, const char *bucket, const char *key) {
    return cli_format("%s/%s%s", bucket, key, values->allow_gaps ? " with gaps" : "");
}

static struct cli_resume resume_of(const struct values *values, const char *object) {
    return (struct cli_resume){.object = object, .anew = values->transfer.no_resume || values->ranged || values->follow};
}

static trove_stream_options stream_options(const struct values *values, const struct cli_context *context) {
    trove_stream_options stream_options = cli_transfer_stream_options(&values->transfer, context);
    stream_options.allow_gaps = values->allow_gaps;
    stream_options.follow = values->follow;
    stream_options.resumable = !values->follow && !stream_options.lossy;
    if (values->ranged && !values->range.from_end) {
        stream_options.range_offset = values->range.offset;
        stream_options.range_length = values->range.length;
    }
    return stream_options;
}

/* Where the last bytes are depends on the size, so that is asked for first; the fetch is of that object then, and no other. */
static trove_status find_suffix(struct cli_fetch *fetch, const struct cli_range *range, trove_error *error) {
    trove_stream_options *asked = &fetch->options;
    trove_object_info *found = NULL;
    trove_status status = trove_object_head(fetch->context->client, fetch->bucket, fetch->key, 0, &found, error);
    if (status != TROVE_OK)
        return status;
    asked->range_offset = found->size > range->length ? found->size - range->length : 0;
    if (asked->conditions.if_generation == 0)
        asked->conditions.if_generation = found->generation;
    trove_object_info_free(found);
    return TROVE_OK;
}

static enum cli_exit say_not_found(const struct cli_fetch *fetch, const trove_error *error) {
    char *object = cli_format("%s/%s", fetch->bucket, fetch->key);
    const struct cli_hint_about about = {.way = CLI_HINT_CALL, .bucket = fetch->bucket, .object = object};
    enum cli_exit code = cli_fail_call(fetch->context, fetch->action, object, fetch->to_text, &about, error);
    free(object);
    return code;
}

/* What was fetched of an object: its range, which may end behind it. */
static uint64_t fetched_bytes(const trove_stream_options *asked, const trove_object_info *info) {
    uint64_t left = info->size > asked->range_offset ? info->size - asked->range_offset : 0;
    return left < asked->range_length ? left : asked->range_length;
}

static void say_fetched(struct cli_output *output, const char *file, const trove_object_info *info,
                        const struct cli_fetch *fetch) {
    const trove_stream_options *asked = &fetch->options;
    uint64_t bytes = fetched_bytes(asked, info);
    if (!output->json && *fetch->kept_bytes > 0) {
        cli_output_done(output, "%s/%s -> %s (%s, %s of it from before)", info->bucket, info->key, file,
                        cli_human_size(bytes).text, cli_human_size(*fetch->kept_bytes).text);
        return;
    }
    if (!output->json && bytes == info->size) {
        cli_output_done(output, "%s/%s -> %s (%s)", info->bucket, info->key, file, cli_human_size(bytes).text);
        return;
    }
    if (!output->json) {
        cli_output_done(output, "%s/%s -> %s (%s of %s, from byte %" PRIu64 " on)", info->bucket, info->key, file,
                        cli_human_size(bytes).text, cli_human_size(info->size).text, asked->range_offset);
        return;
    }
    json_t *result = cli_object_json(info);
    json_object_set_new(result, "file", cli_json_text(file));
    json_object_set_new(result, "offset", cli_json_number(asked->range_offset));
    json_object_set_new(result, "bytes", cli_json_number(bytes));
    cli_object_json_add_metrics(result, asked->metrics, *fetch->kept_bytes);
    cli_output_json(output, result);
}

static void say_lost(struct cli_output *output, const trove_object_info *info, const trove_stream_metrics *metrics,
                     bool has_result) {
    char *object = cli_format("%s/%s", info->bucket, info->key);
    cli_losses_say(output, object, metrics, has_result);
    free(object);
}

/* ---- one object ---- */

/* The current folder is meant where no file is given: there not even a link is followed, and a key "x/-" is a file named "-". */
static trove_status open_target(struct cli_target *target, struct cli_context *context, const char *key, const char *path,
                                const struct cli_resume *resume, trove_error *error) {
    const char *name = cli_key_base(key);
    if (path != NULL)
        return cli_target_open(target, context, path, name, resume, error);
    const char *refusal = cli_local_path_refusal(name);
    if (refusal != NULL)
        return cli_error_set(error, TROVE_FAILED_PRECONDITION, "the key's last part can't be a file's name: %s; give a FILE",
                             refusal);
    return cli_target_open_below(target, context, AT_FDCWD, name, resume, error);
}

/* What people are told about where it goes. The caller's to free. */
static char *target_text(const struct cli_object_name *name, const char *path) {
    const char *base = cli_key_base(name->key);
    if (path == NULL)
        return cli_copy(base);
    if (strcmp(path, "-") == 0)
        return cli_copy("standard output");
    struct stat found;
    if (stat(path, &found) != 0 || !S_ISDIR(found.st_mode))
        return cli_copy(path);
    return cli_format("%s%s%s", path, path[strlen(path) - 1] == '/' ? "" : "/", base);
}

static enum cli_exit get_one(struct cli_context *context, const struct values *values, const struct cli_object_name *name,
                             const char *path) {
    bool to_stdout = path != NULL && strcmp(path, "-") == 0;
    char *shown = target_text(name, path);
    struct cli_fetch fetch = {
        .context = context,
        .action = "get",
        .bucket = name->bucket,
        .key = name->key,
        .to_text = shown,
        .options = stream_options(values, context),
    };
    struct cli_target target;
    trove_stream_metrics metrics;
    trove_error error = {0};
    uint64_t kept_bytes = 0;
    fetch.options.metrics = &metrics;
    fetch.kept_bytes = &kept_bytes;
    if (values->ranged && values->range.from_end && find_suffix(&fetch, &values->range, &error) != TROVE_OK) {
        enum cli_exit failed = say_not_found(&fetch, &error);
        free(shown);
        return failed;
    }
    char *object = resumed_object(values, name->bucket, name->key);
    const struct cli_resume resume = resume_of(values, object);
    trove_status opened = open_target(&target, context, name->key, path, &resume, &error);
    free(object);
    if (opened != TROVE_OK) {
        enum cli_exit failed = cli_fetch_fail_local(&fetch, &error);
        free(shown);
        return failed;
    }
    struct cli_progress progress;
    struct cli_progress_item item;
    /* Where the bytes themselves go to the terminal, a line between them would only spoil both. */
    bool drawn = !(to_stdout && context->output.stdout_is_terminal);
    if (drawn) {
        cli_progress_start(&progress, context, shown, 1);
        cli_progress_expect(&progress, TROVE_SIZE_UNKNOWN);
        cli_progress_item_begin(&item, &progress, TROVE_SIZE_UNKNOWN, &fetch.options.hooks);
    }
    trove_object_info *info = NULL;
    enum cli_exit code = cli_fetch_run(&fetch, &target, &info);
    if (drawn) {
        cli_progress_item_end(&item, code == CLI_EXIT_OK);
        cli_progress_stop(&progress);
    }
    if (info != NULL)
        say_lost(&context->output, info, &metrics, !to_stdout);
    if (info != NULL && !to_stdout)
        say_fetched(&context->output, shown, info, &fetch);
    trove_object_info_free(info);
    free(shown);
    return code;
}

/* ---- many ---- */

struct get {
    struct cli_context *context;
    const struct values *values;
    const char *bucket;
    const struct cli_get_list *list;
    const char *folder;
    int folder_fd;
    struct cli_progress progress;
};

static enum cli_exit get_file(void *input, size_t index) {
    struct get *get = input;
    const struct cli_get_object *object = &get->list->objects[index];
    const char *relative = object->key + get->list->folder_bytes;
    char *file = cli_format("%s/%s", get->folder, relative);
    struct cli_fetch fetch = {
        .context = get->context,
        .action = "get",
        .bucket = get->bucket,
        .key = object->key,
        .to_text = file,
        .options = stream_options(get->values, get->context),
    };
    struct cli_progress_item item;
    cli_progress_item_begin(&item, &get->progress, object->size, &fetch.options.hooks);
    struct cli_target target;
    trove_error error = {0};
    trove_object_info *info = NULL;
    trove_stream_metrics metrics;
    enum cli_exit code = CLI_EXIT_OK;
    uint64_t kept_bytes = 0;
    fetch.options.metrics = &metrics;
    fetch.kept_bytes = &kept_bytes;
    char *resumed = resumed_object(get->values, get->bucket, object->key);
    const struct cli_resume resume = resume_of(get->values, resumed);
    if (cli_target_open_below(&target, get->context, get->folder_fd, relative, &resume, &error) == TROVE_OK)
        code = cli_fetch_run(&fetch, &target, &info);
    else
        code = cli_fetch_fail_local(&fetch, &error);
    if (info != NULL) {
        say_lost(&get->context->output, info, &metrics, true);
        say_fetched(&get->context->output, file, info, &fetch);
    }
    free(resumed);
    cli_progress_item_end(&item, code == CLI_EXIT_OK);
    trove_object_info_free(info);
    free(file);
    return code;
}

static enum cli_exit get_many(struct cli_context *context, const struct values *values, const struct cli_object_name *name,
                              const char *folder) {
    char *key_folder = *name->key != 0 ? cli_key_folder(name->key) : cli_copy("");
    struct cli_get_list list;
    struct get get = {
        .context = context,
        .values = values,
        .bucket = name->bucket,
        .list = &list,
        .folder = folder,
        .folder_fd = -1,
    };
    enum cli_exit code = cli_get_list_make(&list, context, name->bucket, key_folder);
    trove_error error = {0};
    if (code == CLI_EXIT_OK && cli_folder_make(folder, &get.folder_fd, &error) != TROVE_OK)
        code = cli_fail(context, "get", name->bucket, folder, NULL, &error);
    if (code == CLI_EXIT_OK) {
        cli_progress_start(&get.progress, context, NULL, list.count);
        for (size_t i = 0; i < list.count; i++)
            cli_progress_expect(&get.progress, list.objects[i].size);
        size_t skipped = 0;
        code = cli_parallel_run(list.count, cli_transfer_threads(&values->transfer), get_file, &get, &skipped);
        cli_progress_stop(&get.progress);
        if (skipped > 0)
            cli_output_note(&context->output, "%zu more objects were not tried without a server", skipped);
        close(get.folder_fd);
    }
    code = cli_exit_worst(code, list.worst);
    cli_get_list_fini(&list);
    free(key_folder);
    return code;
}

/* What isn't there yet becomes one. */
static bool becomes_file(const char *path) {
    struct stat found;
    if (path == NULL)
        return true;
    int status = strcmp(path, "-") == 0 ? fstat(STDOUT_FILENO, &found) : stat(path, &found);
    return status != 0 || S_ISREG(found.st_mode) || S_ISDIR(found.st_mode);
}

enum cli_exit cmd_get(struct cli_context *context, int argc, char **argv) {
    const struct cli_usage usage = {
        .operands = "BUCKET/KEY [FILE|-]\n--recursive BUCKET[/PREFIX] FOLDER",
        .doc =
            "Fetches an object into a file; `-' is standard output.\v"
            "Without FILE it gets the last part of KEY as its name, in the current folder; where FILE is a folder, "
            "in that. A file appears (or is replaced) when it is whole, or not at all. A FILE that is a symbolic link is "
            "followed to "
            "the file it points to; one that points to nothing is replaced itself, and so is a link that has the file's name in "
            "the folder. With --recursive PREFIX is a "
            "folder of keys, and the rest of each key the path below FOLDER, which is made if need be; keys that "
            "would lead out of it or that would be file and folder at once are refused, each with a message, and "
            "symbolic links below it are not followed. With --follow bytes are written as they come, and the FILE "
            "appears when the object is published; a writer that is silent is waited for as long as it takes, unless "
            "--timeout says otherwise.\n\n"
            "When the connection is lost or the server restarts, it is made again (--retry-for), and the get goes on. One that "
            "was cut off otherwise leaves what it has, if that is 1 MiB or more, in a file .trove-*.part beside FILE; the same "
            "command goes on with it, as far as it has the same bytes as the object.",
        .options = options,
        .parse = parse,
        .operands_min = 1,
        .operands_max = 2,
    };
    struct values values = {0};
    struct cli_operands operands = cli_options_parse_verb(context, &usage, argc, argv, &values);
    struct cli_object_name name;
    if (!cli_object_name_parse(operands.texts[0], &name))
        cli_usage_error("get", "'%s' has no bucket; objects are BUCKET/KEY", operands.texts[0]);
    const char *path = operands.count > 1 ? operands.texts[1] : NULL;
    bool recursive = values.transfer.recursive;
    if (!recursive && *name.key == 0)
        cli_usage_error("get", "'%s' has no key; objects are BUCKET/KEY, and --recursive takes a whole bucket",
                        operands.texts[0]);
    if (!recursive && path != NULL && *path == 0)
        cli_usage_error("get", "the FILE's name is empty");
    if (recursive && (path == NULL || *path == 0 || strcmp(path, "-") == 0))
        cli_usage_error("get", "--recursive needs a folder to write to, such as '.'");
    if (values.follow)
        cli_transfer_check_follow("get", &values.transfer);
    if (values.transfer.backpressure == TROVE_BACKPRESSURE_DROP && !values.allow_gaps && becomes_file(path))
        cli_usage_error("get", "--backpressure drop loses bytes, and a file would have zeros in their place: that takes "
                               "--allow-gaps, or another mode");
    if (values.follow && values.ranged)
        cli_usage_error("get", "--follow reads all from the beginning on, not a --range");
    if (recursive && (values.ranged || cli_conditions_are_for_one(&values.transfer.conditions)))
        cli_usage_error("get", "--range, --if-match and --if-generation are for one object, not with --recursive");

    context->retry_for_ms = cli_transfer_retry_ms(&values.transfer);
    enum cli_exit code = cli_connect(context, 0);
    if (code == CLI_EXIT_OK)
        code = cli_bandwidth_begin(&values.transfer.bandwidth, context, cli_transfer_threads(&values.transfer));
    if (code == CLI_EXIT_OK)
        code = recursive ? get_many(context, &values, &name, path) : get_one(context, &values, &name, path);
    cli_bandwidth_end(&values.transfer.bandwidth);
    cli_object_name_fini(&name);
    return code;
}
