/* object_output.c - see object_output.h. */
#include "object_output.h"

#include "failure.h"
#include "human.h"

json_t *cli_json_number(uint64_t number) {
    return json_integer(number > INT64_MAX ? INT64_MAX : (json_int_t)number);
}

static json_t *gaps_json(const trove_object_info *info) {
    json_t *gaps = json_array();
    for (size_t i = 0; i < info->gaps_listed; i++) {
        json_t *gap = json_object();
        json_object_set_new(gap, "offset", cli_json_number(info->gaps[i].offset));
        json_object_set_new(gap, "length", cli_json_number(info->gaps[i].length));
        json_array_append_new(gaps, gap);
    }
    return gaps;
}

json_t *cli_object_json(const trove_object_info *info) {
    json_t *object = json_object();
    json_object_set_new(object, "bucket", cli_json_text(info->bucket));
    json_object_set_new(object, "key", cli_json_text(info->key));
    json_object_set_new(object, "size", cli_json_number(info->size));
    json_object_set_new(object, "etag", cli_json_text(info->etag));
    json_object_set_new(object, "generation", cli_json_number(info->generation));
    json_object_set_new(object, "modified", cli_json_text(cli_human_time_utc(info->modified_ns).text));
    json_object_set_new(object, "content_type", cli_json_text(info->content_type));
    json_t *metadata = json_object();
    for (size_t i = 0; i < info->metadata_count; i++)
        json_object_set_new(metadata, info->metadata[i].key, cli_json_text(info->metadata[i].value));
    json_object_set_new(object, "metadata", metadata);
    json_object_set_new(object, "gap_count", cli_json_number(info->gap_count));
    json_object_set_new(object, "gap_bytes", cli_json_number(info->gap_bytes));
    if (info->gaps_listed > 0)
        json_object_set_new(object, "gaps", gaps_json(info));
    return object;
}

void cli_object_json_add_metrics(json_t *object, const trove_stream_metrics *metrics, uint64_t resumed_bytes) {
    json_t *transfer = json_object();
    json_object_set_new(transfer, "p50_ns", cli_json_number(metrics->latency_p50_ns));
    json_object_set_new(transfer, "p90_ns", cli_json_number(metrics->latency_p90_ns));
    json_object_set_new(transfer, "p99_ns", cli_json_number(metrics->latency_p99_ns));
    json_object_set_new(transfer, "resumed_bytes", cli_json_number(resumed_bytes));
    json_object_set_new(transfer, "sent_bytes", cli_json_number(metrics->bytes_sent));
    json_object_set_new(transfer, "received_bytes", cli_json_number(metrics->bytes_received));
    json_object_set_new(transfer, "reconnects", cli_json_number(metrics->reconnects));
    json_object_set_new(transfer, "retries", cli_json_number(metrics->chunks_resent));
    json_object_set_new(transfer, "dropped_chunks", cli_json_number(metrics->chunks_dropped));
    json_object_set_new(transfer, "dropped_bytes", cli_json_number(metrics->bytes_dropped));
    json_object_set_new(transfer, "spilled_bytes", cli_json_number(metrics->bytes_spilled));
    json_object_set_new(object, "transfer", transfer);
}
