/* cmd_bucket.c - trove mb, trove rb. */
#include "commands.h"
#include "options.h"
#include "text.h"

#include <stdlib.h>
#include <string.h>

/* "bucket" and "bucket/" are the same to a person; "bucket/key" is a mistake. */
static void cut_operand(const char *verb, char *text) {
    size_t bytes = strcspn(text, "/");
    if (bytes == 0 || (text[bytes] == '/' && text[bytes + 1] != 0))
        cli_usage_error(verb, "'%s' is no bucket", text);
    text[bytes] = 0;
}

static void say_done(struct cli_context *context, const char *action, const char *bucket) {
    if (!context->output.json) {
        cli_output_done(&context->output, "%s %s", action, bucket);
        return;
    }
    json_t *result = json_object();
    json_object_set_new(result, "bucket", cli_json_text(bucket));
    json_object_set_new(result, "action", cli_json_text(action));
    cli_output_json(&context->output, result);
}

enum cli_exit cmd_mb(struct cli_context *context, int argc, char **argv) {
    const struct cli_usage usage = {
        .operands = "BUCKET...",
        .doc = "Makes buckets.\vA name has 3 to 63 characters of a-z, 0-9, '-' and '.', with a letter or digit at both "
               "ends.",
        .operands_min = 1,
        .operands_max = CLI_OPERANDS_ANY,
    };
    struct cli_operands operands = cli_options_parse_verb(context, &usage, argc, argv, NULL);
    for (int i = 0; i < operands.count; i++)
        cut_operand("mb", operands.texts[i]);
    enum cli_exit worst = cli_connect(context, 0);
    for (int i = 0; i < operands.count && cli_context_usable(context, worst); i++) {
        const char *bucket = operands.texts[i];
        trove_error error = {0};
        if (trove_bucket_create(context->client, bucket, 0, &error) == TROVE_OK)
            say_done(context, "made", bucket);
        else
            worst = cli_exit_worst(worst, cli_fail_call(context, "mb", bucket, NULL, NULL, &error));
    }
    return worst;
}

static enum cli_exit say_kept(struct cli_context *context, const char *bucket, const trove_error *error) {
    if (error->status != TROVE_FAILED_PRECONDITION)
        return cli_fail_call(context, "rb", bucket, NULL, NULL, error);
    char *hint = cli_format("'trove rm --recursive %s' empties it", bucket);
    enum cli_exit code = cli_fail(context, "rb", bucket, NULL, hint, error);
    free(hint);
    return code;
}

enum cli_exit cmd_rb(struct cli_context *context, int argc, char **argv) {
    const struct cli_usage usage = {
        .operands = "BUCKET...",
        .doc = "Removes buckets, which must be empty.\v`trove rm --recursive BUCKET' empties one.",
        .operands_min = 1,
        .operands_max = CLI_OPERANDS_ANY,
    };
    struct cli_operands operands = cli_options_parse_verb(context, &usage, argc, argv, NULL);
    for (int i = 0; i < operands.count; i++)
        cut_operand("rb", operands.texts[i]);
    enum cli_exit worst = cli_connect(context, 0);
    for (int i = 0; i < operands.count && cli_context_usable(context, worst); i++) {
        const char *bucket = operands.texts[i];
        trove_error error = {0};
        trove_status status = trove_bucket_delete(context->client, bucket, 0, &error);
        if (status == TROVE_OK) {
            say_done(context, "removed", bucket);
            continue;
        }
        worst = cli_exit_worst(worst, say_kept(context, bucket, &error));
    }
    return worst;
}
