/* cmd_scrub.c - trove scrub: the server reads and verifies what it has stored. */
#include "commands.h"
#include "human.h"
#include "object_output.h"
#include "options.h"
#include "text.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum {
    KEY_PREFIX = CLI_KEYS_OF_VERB,
};

static const struct argp_option options[] = {
    {"prefix", KEY_PREFIX, "PREFIX", 0, "Only keys that begin with PREFIX", 0},
    {NULL, 0, NULL, 0, NULL, 0},
};

static error_t parse(int key, char *argument, struct argp_state *state, void *input) {
    const char **prefix = input;
    (void)state;
    if (key != KEY_PREFIX)
        return ARGP_ERR_UNKNOWN;
    *prefix = argument;
    return 0;
}

struct scrub {
    struct cli_output *output;
    const char *bucket;
};

static void show_damage(void *context, const trove_scrub_damage *damage) {
    const struct scrub *scrub = context;
    if (!scrub->output->json) {
        if (damage->length > 0)
            cli_output_line(scrub->output, "%s/%s: %" PRIu64 " bytes from %" PRIu64 " on: %s", scrub->bucket, damage->key,
                            damage->length, damage->offset, damage->message);
        else
            cli_output_line(scrub->output, "%s/%s: %s", scrub->bucket, damage->key, damage->message);
        return;
    }
    json_t *object = json_object();
    json_object_set_new(object, "bucket", cli_json_text(scrub->bucket));
    json_object_set_new(object, "key", cli_json_text(damage->key));
    json_object_set_new(object, "generation", cli_json_number(damage->generation));
    json_object_set_new(object, "offset", cli_json_number(damage->offset));
    json_object_set_new(object, "length", cli_json_number(damage->length));
    json_object_set_new(object, "message", cli_json_text(damage->message));
    cli_output_json(scrub->output, object);
}

static char *summary(const struct scrub *scrub, const trove_scrub_report *report) {
    return cli_format("%s: %" PRIu64 " objects, %s, %" PRIu64 " damaged", scrub->bucket, report->objects,
                      cli_human_size(report->bytes).text, report->damaged_objects);
}

static bool show_progress(void *context, const trove_scrub_report *so_far) {
    const struct scrub *scrub = context;
    if (scrub->output->stderr_is_terminal && !scrub->output->quiet && !scrub->output->json) {
        char *line = summary(scrub, so_far);
        char *shown = cli_text_escape(line);
        cli_output_status(scrub->output, shown);
        free(shown);
        free(line);
    }
    return cli_output_works(scrub->output);
}

static void show_report(const struct scrub *scrub, const trove_scrub_report *report) {
    if (!scrub->output->json) {
        char *line = summary(scrub, report);
        cli_output_done(scrub->output, "%s", line);
        free(line);
        return;
    }
    json_t *object = json_object();
    json_object_set_new(object, "bucket", cli_json_text(scrub->bucket));
    json_object_set_new(object, "objects", cli_json_number(report->objects));
    json_object_set_new(object, "bytes", cli_json_number(report->bytes));
    json_object_set_new(object, "damaged_objects", cli_json_number(report->damaged_objects));
    json_object_set_new(object, "damaged_bytes", cli_json_number(report->damaged_bytes));
    cli_output_json(scrub->output, object);
}

static enum cli_exit scrub_bucket(struct cli_context *context, const char *bucket, const char *prefix) {
    struct scrub scrub = {.output = &context->output, .bucket = bucket};
    trove_scrub_report report = {0};
    trove_scrub_options call;
    trove_error error = {0};
    trove_scrub_options_init(&call);
    call.prefix = prefix;
    call.timeout_ms = context->timeout_ms;
    call.on_damage = show_damage;
    call.on_progress = show_progress;
    call.context = &scrub;
    trove_status status = trove_scrub(context->client, bucket, &call, &report, &error);
    if (context->output.stderr_is_terminal)
        cli_output_status(&context->output, NULL);
    if (status != TROVE_OK) {
        const struct cli_hint_about about = {.bucket = bucket};
        return cli_fail_call(context, "scrub", bucket, NULL, &about, &error);
    }
    show_report(&scrub, &report);
    if (report.damaged_objects == 0)
        return CLI_EXIT_OK;
    cli_error_set(&error, TROVE_DATA_LOSS, "%" PRIu64 " of %" PRIu64 " objects are damaged", report.damaged_objects,
                  report.objects);
    return cli_fail(context, "scrub", bucket, NULL, "put them again, from wherever they are whole", &error);
}

enum cli_exit cmd_scrub(struct cli_context *context, int argc, char **argv) {
    const struct cli_usage usage = {
        .operands = "BUCKET",
        .doc = "Has the server read every object of a bucket and verify it: bytes, checksums, etag, and what its store keeps "
               "elsewhere about it.\v"
               "Each damaged object is told with the bytes that are lost, neighbouring blocks as one where they are found "
               "together; at last how many objects and bytes were looked at. Exits with 9 where something is damaged. The "
               "server reads behind everything else that it has to do, and the store goes on as ever meanwhile.",
        .options = options,
        .parse = parse,
        .operands_min = 1,
        .operands_max = 1,
    };
    const char *prefix = NULL;
    struct cli_operands operands = cli_options_parse_verb(context, &usage, argc, argv, &prefix);
    const char *bucket = operands.texts[0];
    if (strchr(bucket, '/') != NULL)
        cli_usage_error("scrub", "'%s' is no bucket; use --prefix for a part of one", bucket);
    enum cli_exit code = cli_connect(context, 0);
    return code == CLI_EXIT_OK ? scrub_bucket(context, bucket, prefix) : code;
}
