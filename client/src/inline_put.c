/* inline_put.c - see inline_put.h. */
#include "inline_put.h"

#include "chunk.h"
#include "client.h"
#include "conditions.h"
#include "digest.h"
#include "object_info.h"

#include <string.h>

void tvc_open_fill(Trove__V1__Open *open, struct tvc_open_parts *parts, const char *bucket, const char *key,
                   trove_direction direction, const trove_stream_options *options) {
    trove__v1__open__init(open);
    open->direction = (Trove__V1__Direction)direction;
    open->bucket = (char *)bucket;
    open->key = (char *)key;
    if (options->pool != NULL)
        open->pool = (char *)options->pool;
    open->chunk_bytes = options->chunk_bytes;
    open->channel_chunks = options->channel_chunks;
    open->acquire_timeout_ms = options->acquire_timeout_ms;
    if (options->backpressure != TROVE_BACKPRESSURE_DEFAULT) { /* else the server's pool says */
        open->backpressure_given_case = TROVE__V1__OPEN__BACKPRESSURE_GIVEN_BACKPRESSURE;
        open->backpressure = (Trove__V1__Backpressure)options->backpressure;
    }
    open->lossy = options->lossy;
    if (options->content_type != NULL)
        open->content_type = (char *)options->content_type;
    for (size_t i = 0; i < options->metadata_count; i++) {
        trove__v1__entry__init(&parts->entries[i]);
        parts->entries[i].key = (char *)options->metadata[i].key;
        parts->entries[i].value = (char *)options->metadata[i].value;
        parts->entry_list[i] = &parts->entries[i];
    }
    open->n_metadata = options->metadata_count;
    open->metadata = parts->entry_list;
    open->conditions = tvc_conditions_to_wire(&options->conditions, &parts->conditions);
    open->allow_gaps = options->allow_gaps;
    open->follow = options->follow;
    open->digest = tvc_digest_to_wire(&options->digest, &parts->digest);
    if (options->size != TROVE_SIZE_UNKNOWN) {
        open->size_given_case = TROVE__V1__OPEN__SIZE_GIVEN_SIZE;
        open->size = options->size;
    }
    if (options->range_offset == 0 && options->range_length == TROVE_SIZE_UNKNOWN)
        return;
    trove__v1__byte_range__init(&parts->range);
    parts->range.offset = options->range_offset;
    if (options->range_length != TROVE_SIZE_UNKNOWN) {
        parts->range.length_given_case = TROVE__V1__BYTE_RANGE__LENGTH_GIVEN_LENGTH;
        parts->range.length = options->range_length;
    }
    open->range = &parts->range;
}

/* The checksum covers the call id, so it is made when that is known. */
static void add_checksum(void *context, tv_frame *frame) {
    frame->open->inline_checksum = tv_chunk_checksum(frame->call_id, 0, context);
}

trove_status tvc_inline_put_start(trove_client *client, struct tvc_call *call, const char *bucket, const char *key,
                                  const void *data, size_t size, const trove_stream_options *options, trove_error *error) {
    tv_frame frame = TROVE__V1__FRAME__INIT;
    Trove__V1__Open open;
    struct tvc_open_parts parts;
    tvc_open_fill(&open, &parts, bucket, key, TROVE_DIRECTION_UPLOAD, options);
    open.lossy = false; /* nothing is queued, so nothing is lost */
    open.backpressure_given_case = TROVE__V1__OPEN__BACKPRESSURE_GIVEN__NOT_SET;
    open.size_given_case = TROVE__V1__OPEN__SIZE_GIVEN_SIZE;
    open.size = size;
    open.inline_checksum_given_case = TROVE__V1__OPEN__INLINE_CHECKSUM_GIVEN_INLINE_CHECKSUM;
    frame.body_case = TV_BODY(OPEN);
    frame.open = &open;
    struct tv_data bytes = {.bytes = size, .iov_count = 1, .iov[0] = {(void *)data, size}};
    tv_data_hash(&bytes);
    call->is_put = true;
    return tvc_client_begin(client, &call->entry, &frame, data, size, add_checksum, &bytes, error);
}

uint64_t tvc_inline_put_most(trove_client *client) {
    const struct tvc_limits limits = tvc_client_limits(client);
    return limits.inline_bytes_max < limits.early_data_bytes ? limits.inline_bytes_max : limits.early_data_bytes;
}

trove_status tvc_inline_put(trove_client *client, const char *bucket, const char *key, const void *data, size_t size,
                            const trove_stream_options *options, uint64_t deadline_ns, trove_object_info **info, bool *not_taken,
                            trove_error *error) {
    struct tvc_call *call = NULL;
    trove_status status = tvc_call_claim(client, TVC_CALL_WAITED, size, deadline_ns, &call, error);
    if (status != TROVE_OK)
        return status;
    status = tvc_inline_put_start(client, call, bucket, key, data, size, options, error);
    if (status == TROVE_OK)
        status = tvc_call_wait(client, call, error);
    *not_taken = call->not_taken;
    if (status == TROVE_OK && info != NULL)
        *info = call->object;
    else
        trove_object_info_free(call->object);
    tvc_call_give_back(client, call);
    return status;
}
