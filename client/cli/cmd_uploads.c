/* cmd_uploads.c - trove uploads: one's own resumable uploads that aren't complete; throwing them away. */
#include "commands.h"
#include "human.h"
#include "object_output.h"
#include "options.h"
#include "text.h"

#include <stdlib.h>
#include <string.h>

/* ---- lists ---- */

#define LINE "%-32s %10s %10s %-19s %-19s %s"

struct listing {
    struct cli_output *output;
    bool begun;
};

static void show(struct listing *listing, const trove_upload *upload) {
    struct cli_output *output = listing->output;
    if (output->json) {
        json_t *object = json_object();
        json_object_set_new(object, "upload", cli_json_text(upload->id));
        json_object_set_new(object, "bucket", cli_json_text(upload->bucket));
        json_object_set_new(object, "key", cli_json_text(upload->key));
        json_object_set_new(object, "received_bytes", cli_json_number(upload->received_offset));
        json_object_set_new(object, "durable_bytes", cli_json_number(upload->durable_offset));
        json_object_set_new(object, "created", cli_json_text(cli_human_time_utc(upload->created_ns).text));
        json_object_set_new(object, "expires", cli_json_text(cli_human_time_utc(upload->expires_ns).text));
        cli_output_json(output, object);
        return;
    }
    if (!listing->begun)
        cli_output_line(output, LINE, "ID", "RECEIVED", "DURABLE", "BEGUN", "EXPIRES", "OBJECT");
    listing->begun = true;
    char *object = cli_format("%s/%s", upload->bucket, upload->key);
    cli_output_line(output, LINE, upload->id, cli_human_size(upload->received_offset).text,
                    cli_human_size(upload->durable_offset).text, cli_human_time(upload->created_ns).text,
                    cli_human_time(upload->expires_ns).text, object);
    free(object);
}

static enum cli_exit list(struct cli_context *context, const char *bucket) {
    struct listing listing = {.output = &context->output};
    char *cursor = NULL;
    trove_error error = {0};
    trove_status status;
    do {
        trove_upload_list_options options;
        trove_upload_page *page = NULL;
        trove_upload_list_options_init(&options);
        options.bucket = bucket;
        options.cursor = cursor;
        status = trove_upload_list(context->client, &options, &page, &error);
        free(cursor);
        cursor = NULL;
        if (status != TROVE_OK)
            break;
        for (size_t i = 0; i < page->count; i++)
            show(&listing, &page->uploads[i]);
        if (page->next_cursor != NULL && cli_output_works(&context->output))
            cursor = cli_copy(page->next_cursor);
        trove_upload_page_free(page);
    } while (cursor != NULL);
    if (status == TROVE_OK)
        return CLI_EXIT_OK;
    const struct cli_hint_about about = {.bucket = bucket};
    return cli_fail_call(context, "uploads ls", bucket, NULL, &about, &error);
}

/* ---- abort ---- */

static enum cli_exit abort_one(struct cli_context *context, const char *id) {
    trove_error error = {0};
    if (trove_upload_abort(context->client, id, 0, &error) != TROVE_OK) {
        const char *hint = error.status == TROVE_NOT_FOUND ? "'trove uploads ls' lists them" : NULL;
        return cli_fail(context, "uploads abort", id, NULL, hint, &error);
    }
    if (context->output.json) {
        json_t *result = json_object();
        json_object_set_new(result, "upload", cli_json_text(id));
        json_object_set_new(result, "action", cli_json_text("aborted"));
        cli_output_json(&context->output, result);
    } else {
        cli_output_done(&context->output, "aborted %s", id);
    }
    return CLI_EXIT_OK;
}

static void check_id(const char *id) {
    if (strlen(id) != TROVE_UPLOAD_ID_BYTES - 1 || strspn(id, "0123456789abcdefABCDEF") != TROVE_UPLOAD_ID_BYTES - 1)
        cli_usage_error("uploads", "'%s' is no upload's id; 'trove uploads ls' lists them", id);
}

enum cli_exit cmd_uploads(struct cli_context *context, int argc, char **argv) {
    const struct cli_usage usage = {
        .operands = "ls [BUCKET]\nabort ID...",
        .doc = "Lists the resumable uploads that you have begun and that aren't complete, or throws them away.\v"
               "RECEIVED is what the server has been sent, DURABLE what would survive a crash, and where an upload goes on. One "
               "that nobody goes on with expires. Aborting one that is going on ends its stream with ABORTED.",
        .operands_min = 1,
        .operands_max = CLI_OPERANDS_ANY,
    };
    struct cli_operands operands = cli_options_parse_verb(context, &usage, argc, argv, NULL);
    bool aborts = strcmp(operands.texts[0], "abort") == 0;
    if (!aborts && strcmp(operands.texts[0], "ls") != 0)
        cli_usage_error("uploads", "'%s' is neither ls nor abort", operands.texts[0]);
    if (aborts && operands.count < 2)
        cli_usage_error("uploads", "the upload's ID is missing");
    if (!aborts && operands.count > 2)
        cli_usage_error("uploads", "'%s' is one argument too many", operands.texts[2]);
    for (int i = 1; aborts && i < operands.count; i++)
        check_id(operands.texts[i]);
    enum cli_exit worst = cli_connect(context, 0);
    if (worst != CLI_EXIT_OK)
        return worst;
    if (!aborts)
        return list(context, operands.count > 1 ? operands.texts[1] : NULL);
    for (int i = 1; i < operands.count && cli_context_usable(context, worst); i++)
        worst = cli_exit_worst(worst, abort_one(context, operands.texts[i]));
    return worst;
}
