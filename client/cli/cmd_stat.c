/* cmd_stat.c - trove stat: what is known of an object. */
#include "commands.h"
#include "human.h"
#include "object_name.h"
#include "object_output.h"
#include "options.h"
#include "text.h"

#include <inttypes.h>
#include <stdlib.h>

/* So many are shown to people; --json has all that the server tells. */
#define GAPS_SHOWN_MAX 10

static void show_gaps(struct cli_output *output, const trove_object_info *info) {
    cli_output_line(output, "Gaps          %" PRIu64 ", %" PRIu64 " bytes lost (%s)", info->gap_count, info->gap_bytes,
                    cli_human_size(info->gap_bytes).text);
    size_t shown = info->gaps_listed < GAPS_SHOWN_MAX ? info->gaps_listed : GAPS_SHOWN_MAX;
    for (size_t i = 0; i < shown; i++)
        cli_output_line(output, "Lost          %" PRIu64 "+%" PRIu64, info->gaps[i].offset, info->gaps[i].length);
    if (shown < info->gap_count)
        cli_output_line(output, "              and %" PRIu64 " more", info->gap_count - shown);
}

static void show(struct cli_output *output, const trove_object_info *info) {
    if (output->json) {
        cli_output_json(output, cli_object_json(info));
        return;
    }
    cli_output_line(output, "Object        %s/%s", info->bucket, info->key);
    cli_output_line(output, "Size          %" PRIu64 " (%s)", info->size, cli_human_size(info->size).text);
    cli_output_line(output, "Modified      %s", cli_human_time(info->modified_ns).text);
    cli_output_line(output, "ETag          %s", info->etag);
    cli_output_line(output, "Generation    %" PRIu64, info->generation);
    if (*info->content_type != 0)
        cli_output_line(output, "Content type  %s", info->content_type);
    for (size_t i = 0; i < info->metadata_count; i++)
        cli_output_line(output, "Metadata      %s=%s", info->metadata[i].key, info->metadata[i].value);
    if (info->gap_count > 0)
        show_gaps(output, info);
}

static enum cli_exit stat_object(struct cli_context *context, const struct cli_object_name *name) {
    trove_error error = {0};
    trove_object_info *info = NULL;
    if (trove_object_head(context->client, name->bucket, name->key, 0, &info, &error) == TROVE_OK) {
        show(&context->output, info);
        trove_object_info_free(info);
        return CLI_EXIT_OK;
    }
    char *object = cli_format("%s/%s", name->bucket, name->key);
    const struct cli_hint_about about = {.bucket = name->bucket, .object = object};
    enum cli_exit code = cli_fail_call(context, "stat", object, NULL, &about, &error);
    free(object);
    return code;
}

enum cli_exit cmd_stat(struct cli_context *context, int argc, char **argv) {
    const struct cli_usage usage = {
        .operands = "BUCKET/KEY...",
        .doc = "Shows size, time, etag, content type and metadata of objects, and what lossy uploads lost of them.\v"
               "What was lost is shown as FROM+LENGTH, as `trove get --range' takes it; `trove get --allow-gaps' reads zeros "
               "there. "
               "With --json up to 1000 gaps are told; of more, the last one covers the rest and what lies between them.",
        .operands_min = 1,
        .operands_max = CLI_OPERANDS_ANY,
    };
    struct cli_operands operands = cli_options_parse_verb(context, &usage, argc, argv, NULL);
    struct cli_object_name *names = cli_operands_objects("stat", &operands, true);
    enum cli_exit worst = cli_connect(context, 0);
    for (int i = 0; i < operands.count && cli_context_usable(context, worst); i++)
        worst = cli_exit_worst(worst, stat_object(context, &names[i]));
    cli_object_names_free(names, operands.count);
    return worst;
}
