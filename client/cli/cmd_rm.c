/* cmd_rm.c - trove rm: deletes objects, or all in a folder of keys. */
#include "commands.h"
#include "condition_options.h"
#include "listing.h"
#include "object_name.h"
#include "options.h"
#include "parallel.h"
#include "text.h"

#include <stdlib.h>

/* More at once than for transfers: a delete is all waiting for the server's disk, which commits many together. */
enum {
    DELETES_AT_ONCE = 16
};

struct values {
    bool recursive;
    trove_conditions conditions;
};

static const struct argp_option options[] = {
    {"recursive", 'r', NULL, 0, "All objects in the folders BUCKET/PREFIX; BUCKET alone is all that is in it", 0},
    CLI_CONDITION_OPTIONS,
    {NULL, 0, NULL, 0, NULL, 0},
};

static error_t parse(int key, char *argument, struct argp_state *state, void *input) {
    struct values *values = input;
    if (key != 'r')
        return cli_conditions_parse(key, argument, state, &values->conditions);
    values->recursive = true;
    return 0;
}

static enum cli_exit delete_object(struct cli_context *context, const char *bucket, const char *key,
                                   const trove_conditions *conditions) {
    char *object = cli_format("%s/%s", bucket, key);
    trove_error error = {0};
    enum cli_exit code = CLI_EXIT_OK;
    if (trove_object_delete(context->client, bucket, key, conditions, 0, &error) != TROVE_OK) {
        const struct cli_hint_about about = {.bucket = bucket, .object = object, .conditions = conditions};
        code = cli_fail_call(context, "rm", object, NULL, &about, &error);
    } else if (context->output.json) {
        json_t *result = json_object();
        json_object_set_new(result, "bucket", cli_json_text(bucket));
        json_object_set_new(result, "key", cli_json_text(key));
        json_object_set_new(result, "action", cli_json_text("deleted"));
        cli_output_json(&context->output, result);
    } else {
        cli_output_done(&context->output, "deleted %s", object);
    }
    free(object);
    return code;
}

struct deletion {
    struct cli_context *context;
    const char *bucket;
    const trove_list_page *page;
    uint64_t found_count;
    enum cli_exit worst;
};

static enum cli_exit delete_entry(void *input, size_t index) {
    const struct deletion *deletion = input;
    static const trove_conditions always;
    return delete_object(deletion->context, deletion->bucket, deletion->page->entries[index].key, &always);
}

static bool delete_page(void *input, const trove_list_page *page) {
    struct deletion *deletion = input;
    deletion->page = page;
    deletion->found_count += page->count;
    size_t skipped = 0;
    enum cli_exit code = cli_parallel_run(page->count, DELETES_AT_ONCE, delete_entry, deletion, &skipped);
    deletion->worst = cli_exit_worst(deletion->worst, code);
    return code != CLI_EXIT_UNAVAILABLE && cli_output_works(&deletion->context->output);
}

static enum cli_exit delete_folder(struct cli_context *context, const struct cli_object_name *name) {
    char *folder = *name->key != 0 ? cli_key_folder(name->key) : cli_copy("");
    struct deletion deletion = {.context = context, .bucket = name->bucket, .worst = CLI_EXIT_OK};
    trove_error error = {0};
    trove_status status =
        cli_listing_run(context->client, name->bucket, folder, NULL, UINT64_MAX, delete_page, &deletion, &error);
    if (status == TROVE_OK && deletion.found_count == 0 && *folder != 0)
        status = cli_error_set(&error, TROVE_NOT_FOUND, "no key begins with %s", folder);
    enum cli_exit code = deletion.worst;
    if (status != TROVE_OK) {
        char *object = cli_format("%s/%s", name->bucket, folder);
        const struct cli_hint_about about = {.bucket = name->bucket};
        code = cli_exit_worst(code, cli_fail_call(context, "rm", object, NULL, &about, &error));
        free(object);
    }
    free(folder);
    return code;
}

enum cli_exit cmd_rm(struct cli_context *context, int argc, char **argv) {
    const struct cli_usage usage = {
        .operands = "BUCKET/KEY...\n--recursive BUCKET[/PREFIX]...",
        .doc = "Deletes objects.\vWith --recursive PREFIX is a folder: `b/photos' and `b/photos/' are all keys that begin "
               "with photos/, and not photos2 nor photos itself. The bucket stays; `trove rb' removes it.",
        .options = options,
        .parse = parse,
        .operands_min = 1,
        .operands_max = CLI_OPERANDS_ANY,
    };
    struct values values = {0};
    struct cli_operands operands = cli_options_parse_verb(context, &usage, argc, argv, &values);
    bool recursive = values.recursive;
    if ((recursive || operands.count > 1) && cli_conditions_are_for_one(&values.conditions))
        cli_usage_error("rm", "--if-match and --if-generation are for one object");
    /* Nothing is deleted before all arguments are known to make sense. */
    struct cli_object_name *names = cli_operands_objects("rm", &operands, !recursive);
    enum cli_exit worst = cli_connect(context, 0);
    for (int i = 0; i < operands.count && cli_context_usable(context, worst); i++) {
        enum cli_exit code = recursive ? delete_folder(context, &names[i])
                                       : delete_object(context, names[i].bucket, names[i].key, &values.conditions);
        worst = cli_exit_worst(worst, code);
    }
    cli_object_names_free(names, operands.count);
    return worst;
}
