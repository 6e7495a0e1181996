/* transfer.c - see transfer.h. */
#include "transfer.h"

#include "options.h"
#include "stream.h"

trove_status tvc_transfer_begin(struct tvc_transfer *transfer, trove_client *client, const char *bucket, const char *key,
                                trove_direction direction, const trove_stream_options *options, trove_error *error) {
    if (client == NULL)
        return TV_FAIL(error, INVALID_ARGUMENT, "the client is NULL");
    *transfer = (struct tvc_transfer){.client = client, .bucket = bucket, .key = key};
    trove_status status = tvc_names_check(bucket, key, error);
    if (status == TROVE_OK)
        status = tvc_stream_options_take(options, &transfer->options, error);
    if (status == TROVE_OK)
        status = tvc_stream_options_check(&transfer->options, direction, error);
    transfer->timeout_ms = transfer->options.timeout_ms;
    return status;
}

uint64_t tvc_transfer_deadline(const struct tvc_transfer *transfer) {
    return tvc_client_deadline(transfer->client, transfer->timeout_ms);
}

trove_status tvc_transfer_open(const struct tvc_transfer *transfer, trove_direction direction, bool own_bytes,
                               trove_stream **stream, trove_error *error) {
    struct tvc_stream_request request = {
        .bucket = transfer->bucket,
        .key = transfer->key,
        .direction = direction,
        .options = transfer->options,
        .own_bytes = own_bytes,
    };
    return tvc_stream_open(transfer->client, &request, tvc_transfer_deadline(transfer), stream, error);
}
