/* put.c - storing whole objects from memory. See transfer.h; from descriptors and files: put_fd.c. */
#include "anew.h"
#include "digest.h"
#include "inline_put.h"
#include "stream.h"
#include "transfer.h"

/* Adds what needs not be sent to the sums of the whole, `left` bytes up to a block; how much that was. */
static size_t sum_bytes(trove_stream *stream, const char *data, size_t at, uint64_t left) {
    size_t bytes = left < TV_BLOCK_BYTES ? (size_t)left : TV_BLOCK_BYTES;
    struct tv_data piece = {.offset = at, .bytes = bytes, .iov_count = 1, .iov[0] = {(void *)(data + at), bytes}};
    tv_data_hash(&piece);
    tvc_block_sums_add(&stream->upload.sums, data + at, bytes, piece.piece_sums);
    if (stream->upload.digesting != NULL)
        tvc_digest_add(stream->upload.digesting, data + at, bytes);
    return bytes;
}

static trove_status write_all(const struct tvc_transfer *transfer, trove_stream *stream, const char *data, size_t size,
                              trove_error *error) {
    trove_status status = TROVE_OK;
    size_t at = 0;
    uint64_t stored = trove_stream_offset(stream); /* it may be moved at any time */
    for (; at < size && at < stored; at += sum_bytes(stream, data, at, stored - at))
        continue; /* what the server has already of an upload that goes on, or was moved */
    while (at < size && status == TROVE_OK) {
        struct tvc_chunk *chunk = NULL;
        uint64_t seen = tvc_transfer_moved(stream);
        do
            status = tvc_upload_chunk(stream, tvc_transfer_deadline(transfer), &chunk, error);
        while (tvc_transfer_again(stream, status, &seen));
        if (status != TROVE_OK)
            return status;
        size_t bytes = (size_t)tvc_upload_chunk_bytes(stream);
        if (bytes > size - at)
            bytes = size - at;
        chunk->iov = (struct iovec){(void *)(data + at), bytes};
        chunk->wire.offset = at;
        chunk->wire.bytes = bytes;
        at += bytes;
        chunk->wire.final = at == size;
        do
            status = tvc_upload_write(stream, chunk, tvc_transfer_deadline(transfer), NULL, error);
        while (tvc_transfer_again(stream, status, &seen));
        if (status != TROVE_OK)
            tv_chunk_release(&chunk->wire);
    }
    return status;
}

/* *again: its upload is lost, and another one is to be begun. */
static trove_status put_once(struct tvc_transfer *transfer, struct tvc_anew *anew, const void *data, size_t size,
                             trove_object_info **info, bool *again, trove_error *error) {
    trove_stream *stream = NULL;
    trove_error why;
    const struct tvc_own_memory own = {(void *)data, size};
    trove_status status = tvc_transfer_open(transfer, TROVE_DIRECTION_UPLOAD, &own, &stream, error);
    if (status != TROVE_OK)
        return status;
    do {
        if (!stream->resume.complete)
            status = write_all(transfer, stream, data, size, &why);
        if (status == TROVE_OK)
            status = tvc_transfer_complete(transfer, stream, info, &why);
    } while (status == TROVE_OUT_OF_RANGE && tvc_upload_take_move(stream));
    if (status != TROVE_OK) {
        trove_stream_fail(stream, status, why.message);
        tv_error_copy(error, &why);
    }
    tvc_transfer_take_back(stream);
    *again = status != TROVE_OK && tvc_anew_lost(stream) && tvc_anew_begin(anew, transfer, stream);
    tvc_transfer_release(transfer, stream);
    return status;
}

trove_status tvc_put_memory_stream(const struct tvc_transfer *transfer, const void *data, size_t size, trove_object_info **info,
                                   trove_error *error) {
    struct tvc_transfer sized = *transfer;
    struct tvc_anew anew = {0};
    trove_status status;
    bool again;
    sized.options.size = size;
    sized.replays = true;
    do {
        again = false;
        status = put_once(&sized, &anew, data, size, info, &again, error);
    } while (again);
    tvc_anew_add(&anew, transfer);
    return status;
}

/* As a stream would tell it that has moved the one chunk. */
static void fill_metrics(trove_stream_metrics *metrics, uint64_t size, uint64_t took_ns) {
    *metrics = (trove_stream_metrics){
        .state = TROVE_STREAM_COMPLETED,
        .direction = TROVE_DIRECTION_UPLOAD,
        .bytes_sent = size,
        .bytes_accepted = size,
        .bytes_acknowledged = size,
        .chunks_sent = 1,
        .chunks_accepted = 1,
        .chunks_acknowledged = 1,
        .elapsed_ns = took_ns,
        .bytes_per_second = took_ns > 0 ? (double)size * 1e9 / (double)took_ns : 0,
        .latency_p50_ns = took_ns,
        .latency_p90_ns = took_ns,
        .latency_p99_ns = took_ns,
    };
}

trove_status tvc_put_small(const struct tvc_transfer *transfer, const void *data, size_t size, trove_object_info **info,
                           bool *not_taken, trove_error *error) {
    uint64_t begun_ns = tv_now_ns();
    trove_status status = TROVE_OK;
    trove_stream_options options = transfer->options;
    if (options.digest.kind != TROVE_DIGEST_NONE && options.digest.size == 0)
        status = tvc_digest_of(&options.digest, data, size, error);
    if (status == TROVE_OK)
        status = tvc_inline_put(transfer->client, transfer->bucket, transfer->key, data, size, &options,
                                tvc_transfer_deadline(transfer), info, not_taken, error);
    if (status == TROVE_OK && transfer->options.metrics != NULL)
        fill_metrics(transfer->options.metrics, size, tv_now_ns() - begun_ns);
    return status;
}

trove_status trove_put_memory(trove_client *client, const char *bucket, const char *key, const void *data, size_t size,
                              const trove_stream_options *options, trove_object_info **info, trove_error *error) {
    struct tvc_transfer transfer;
    trove_status status = tvc_transfer_begin(&transfer, client, bucket, key, TROVE_DIRECTION_UPLOAD, options, error);
    if (status == TROVE_OK && data == NULL && size > 0)
        status = TV_FAIL(error, INVALID_ARGUMENT, "the data is NULL");
    if (status == TROVE_OK && transfer.options.size != TROVE_SIZE_UNKNOWN && transfer.options.size != size)
        status = TV_FAIL(error, INVALID_ARGUMENT, "the options declare %llu bytes, and %zu are given",
                         (unsigned long long)transfer.options.size, size);
    if (status != TROVE_OK)
        return status;
    if (tvc_transfer_in_one_flight(&transfer, size)) {
        bool not_taken = false;
        status = tvc_put_small(&transfer, data, size, info, &not_taken, error);
        if (!not_taken)
            return status;
    }
    return tvc_put_memory_stream(&transfer, data, size, info, error);
}
