/* scrub.c - a bucket verified by the server, call by call to its end. See trove.h. */
#include "call.h"
#include "client.h"
#include "names.h"
#include "options.h"

#include <string.h>

/* What one call may take at the server: often enough to show how it goes on. */
#define BUDGET_MS 1000u

struct scrub {
    trove_client *client;
    trove_scrub_options options;
    Trove__V1__ScrubRequest request;
    trove_scrub_report report;
    char damaged[TV_KEY_BYTES_MAX + 1]; /* key of the last damage: an object may have many */
};

static void tell(struct scrub *scrub, const Trove__V1__ScrubDamage *wire) {
    const trove_scrub_damage damage = {
        .key = wire->key,
        .generation = wire->generation,
        .offset = wire->offset,
        .length = wire->length,
        .message = wire->message,
    };
    if (scrub->report.damaged_objects == 0 || strcmp(scrub->damaged, wire->key) != 0)
        scrub->report.damaged_objects++;
    scrub->report.damaged_bytes += wire->length;
    (void)snprintf(scrub->damaged, sizeof scrub->damaged, "%s", wire->key);
    if (scrub->options.on_damage != NULL)
        scrub->options.on_damage(scrub->options.context, &damage);
}

/* Where the next call goes on; false: that was the last one. */
static bool take_cursor(struct scrub *scrub, const ProtobufCBinaryData *cursor, trove_error *error) {
    free(scrub->request.cursor.data);
    scrub->request.cursor = (ProtobufCBinaryData){0, NULL};
    if (cursor->len == 0)
        return false;
    scrub->request.cursor.data = malloc(cursor->len);
    if (scrub->request.cursor.data == NULL) {
        TV_FAIL(error, RESOURCE_EXHAUSTED, "no memory for a cursor");
        return false;
    }
    scrub->request.cursor.len = cursor->len;
    memcpy(scrub->request.cursor.data, cursor->data, cursor->len);
    return true;
}

static trove_status call(struct scrub *scrub, bool *more, trove_error *error) {
    ProtobufCMessage *answer = NULL;
    trove_status status = tvc_call(scrub->client, "trove.v1.Admin/Scrub", &scrub->request.base,
                                   &trove__v1__scrub_response__descriptor, scrub->options.timeout_ms, &answer, error);
    if (status != TROVE_OK)
        return status;
    const Trove__V1__ScrubResponse *found = (const Trove__V1__ScrubResponse *)answer;
    trove_error failure = {TROVE_OK, ""};
    for (size_t i = 0; i < found->n_damages; i++)
        tell(scrub, found->damages[i]);
    scrub->report.objects += found->objects;
    scrub->report.bytes += found->bytes;
    *more = take_cursor(scrub, &found->next_cursor, &failure);
    tvc_answer_free(answer);
    return failure.status == TROVE_OK ? TROVE_OK : tv_error_copy(error, &failure);
}

static trove_status run(struct scrub *scrub, trove_error *error) {
    trove_status status = TROVE_OK;
    for (bool more = true; status == TROVE_OK && more;) {
        status = call(scrub, &more, error);
        if (status == TROVE_OK && scrub->options.on_progress != NULL &&
            !scrub->options.on_progress(scrub->options.context, &scrub->report))
            break;
    }
    return status;
}

static uint32_t budget_ms(const struct scrub *scrub) {
    uint32_t timeout_ms = scrub->options.timeout_ms != 0 ? scrub->options.timeout_ms : scrub->client->call_timeout_ms;
    uint32_t half = timeout_ms / 2 > 0 ? timeout_ms / 2 : 1;
    return half < BUDGET_MS ? half : BUDGET_MS;
}

trove_status trove_scrub(trove_client *client, const char *bucket, const trove_scrub_options *options, trove_scrub_report *report,
                         trove_error *error) {
    if (bucket == NULL || report == NULL)
        return TV_FAIL(error, INVALID_ARGUMENT, "the %s is NULL", bucket == NULL ? "bucket" : "place for the report");
    struct scrub scrub = {.client = client, .request = TROVE__V1__SCRUB_REQUEST__INIT};
    trove_status status = tv_bucket_check(bucket, error);
    if (status == TROVE_OK)
        status = tvc_scrub_options_take(options, &scrub.options, error);
    if (status != TROVE_OK)
        return status;
    scrub.request.bucket = (char *)bucket;
    if (scrub.options.prefix != NULL)
        scrub.request.prefix = (char *)scrub.options.prefix;
    scrub.request.budget_ms = budget_ms(&scrub);
    status = run(&scrub, error);
    free(scrub.request.cursor.data);
    if (status == TROVE_OK)
        *report = scrub.report;
    return status;
}
