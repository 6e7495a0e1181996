/* cmd_ls.c - trove ls: buckets, or keys with what they share up to the next slash. */
#include "commands.h"
#include "human.h"
#include "listing.h"
#include "object_name.h"
#include "object_output.h"
#include "options.h"
#include "parse.h"
#include "text.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

struct values {
    bool recursive;
    bool human;
    bool details;
    uint64_t limit;
};

static const struct argp_option options[] = {
    {"recursive", 'r', NULL, 0, "All keys below the prefix, in full, instead of one level", 0},
    {"human", 'H', NULL, 0, "Sizes such as 1.5 MiB", 0},
    {"long", 'l', NULL, 0, "Etag, generation and lost bytes as well, in front of the name", 0},
    {"limit", 'n', "N", 0, "At most N entries", 0},
    {NULL, 0, NULL, 0, NULL, 0},
};

static error_t parse(int key, char *argument, struct argp_state *state, void *input) {
    struct values *values = input;
    switch (key) {
    case 'r':
        values->recursive = true;
        return 0;
    case 'H':
        values->human = true;
        return 0;
    case 'l':
        values->details = true;
        return 0;
    case 'n':
        if (!cli_parse_count(argument, 1, UINT64_MAX, &values->limit))
            argp_error(state, "--limit takes a number from 1 on, not '%s'", argument);
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

struct listing {
    struct cli_context *context;
    const struct values *values;
    size_t shown_from; /* how much of each key is the same for all, and left out */
};

static struct cli_human size_text(const struct values *values, uint64_t size) {
    struct cli_human text;
    if (values->human)
        return cli_human_size(size);
    snprintf(text.text, sizeof text.text, "%" PRIu64, size);
    return text;
}

static void show_json(struct cli_output *output, const trove_list_entry *entry) {
    json_t *object = json_object();
    json_object_set_new(object, entry->is_prefix ? "prefix" : "key", cli_json_text(entry->key));
    if (!entry->is_prefix) {
        json_object_set_new(object, "size", cli_json_number(entry->size));
        json_object_set_new(object, "etag", cli_json_text(entry->etag));
        json_object_set_new(object, "generation", cli_json_number(entry->generation));
        json_object_set_new(object, "modified", cli_json_text(cli_human_time_utc(entry->modified_ns).text));
        json_object_set_new(object, "gap_bytes", cli_json_number(entry->gap_bytes));
    }
    cli_output_json(output, object);
}

struct details {
    char text[32 + 1 + 20 + 1 + sizeof(struct cli_human) + 2];
};

/* The columns of a long listing; "" where it isn't one. */
static struct details details_text(const struct values *values, const trove_list_entry *entry) {
    struct details text = {{0}};
    if (!values->details)
        return text;
    if (entry->is_prefix)
        snprintf(text.text, sizeof text.text, "%32s %10s %12s ", "", "", "");
    else
        snprintf(text.text, sizeof text.text, "%.32s %10" PRIu64 " %12s ", entry->etag, entry->generation,
                 size_text(values, entry->gap_bytes).text);
    return text;
}

static bool show_page(void *input, const trove_list_page *page) {
    const struct listing *listing = input;
    struct cli_output *output = &listing->context->output;
    for (size_t i = 0; i < page->count; i++) {
        const trove_list_entry *entry = &page->entries[i];
        /* A key that is the folder's own name would be nothing: it is shown in full. */
        const char *name = strlen(entry->key) > listing->shown_from ? entry->key + listing->shown_from : entry->key;
        if (output->json)
            show_json(output, entry);
        else if (entry->is_prefix)
            cli_output_line(output, "%19s %12s %s%s", "", "PRE", details_text(listing->values, entry).text, name);
        else
            cli_output_line(output, "%s %12s %s%s", cli_human_time(entry->modified_ns).text,
                            size_text(listing->values, entry->size).text, details_text(listing->values, entry).text, name);
    }
    return cli_output_works(output);
}

static enum cli_exit list_buckets(struct cli_context *context, const struct values *values) {
    trove_bucket_info *buckets = NULL;
    size_t count = 0;
    trove_error error = {0};
    if (trove_bucket_list(context->client, 0, &buckets, &count, &error) != TROVE_OK)
        return cli_fail_call(context, "ls", NULL, NULL, NULL, &error);
    for (size_t i = 0; i < count && i < values->limit; i++) {
        const trove_bucket_info *bucket = &buckets[i];
        if (!context->output.json) {
            cli_output_line(&context->output, "%s %12s %s/", cli_human_time(bucket->created_ns).text,
                            size_text(values, bucket->object_bytes).text, bucket->name);
            continue;
        }
        json_t *object = json_object();
        json_object_set_new(object, "bucket", cli_json_text(bucket->name));
        json_object_set_new(object, "created", cli_json_text(cli_human_time_utc(bucket->created_ns).text));
        json_object_set_new(object, "objects", cli_json_number(bucket->object_count));
        json_object_set_new(object, "bytes", cli_json_number(bucket->object_bytes));
        cli_output_json(&context->output, object);
    }
    trove_bucket_list_free(buckets);
    return CLI_EXIT_OK;
}

static enum cli_exit list_keys(struct cli_context *context, const struct values *values, const struct cli_object_name *name) {
    struct listing listing = {
        .context = context,
        .values = values,
        .shown_from = values->recursive ? 0 : (size_t)(cli_key_base(name->key) - name->key),
    };
    trove_error error = {0};
    trove_status status = cli_listing_run(context->client, name->bucket, name->key, values->recursive ? NULL : "/", values->limit,
                                          show_page, &listing, &error);
    if (status == TROVE_OK)
        return CLI_EXIT_OK;
    bool folder_may = status == TROVE_PERMISSION_DENIED && *name->key != 0 && !cli_key_is_folder(name->key);
    if (!folder_may)
        return cli_fail_call(context, "ls", name->bucket, NULL, NULL, &error);
    /* Keys that begin with it may lie beside the folder, and a right on the folder isn't one on them. */
    char *hint = cli_format("what is in the folder 'trove ls %s%s/%s/' lists, with its '/'", values->recursive ? "-r " : "",
                            name->bucket, name->key);
    enum cli_exit code = cli_fail(context, "ls", name->bucket, NULL, hint, &error);
    free(hint);
    return code;
}

enum cli_exit cmd_ls(struct cli_context *context, int argc, char **argv) {
    const struct cli_usage usage = {
        .operands = "[BUCKET[/PREFIX]]",
        .doc = "Lists buckets (made, bytes, name), or the keys that begin with PREFIX (modified, bytes, name).\v"
               "Keys that go on behind another '/' are put together in one line PRE, as folders. PREFIX is any text: "
               "`b/2024-' lists what begins with it, `b/photos/' the folder. Names are shown behind the prefix's last "
               "'/', with --recursive and --json in full. On a terminal control characters in names are escaped.",
        .options = options,
        .parse = parse,
        .operands_max = 1,
    };
    struct values values = {.limit = UINT64_MAX};
    struct cli_operands operands = cli_options_parse_verb(context, &usage, argc, argv, &values);
    struct cli_object_name *name = cli_operands_objects("ls", &operands, false);
    enum cli_exit code = cli_connect(context, 0);
    if (code == CLI_EXIT_OK)
        code = operands.count == 0 ? list_buckets(context, &values) : list_keys(context, &values, name);
    cli_object_names_free(name, operands.count);
    return code;
}
