/* stock_stream.c - uploads and downloads. See stock_client.h. */
#include "stock_client.h"

#include <endian.h>
#include <stdio.h>
#include <xxhash.h>

#define BLOCK_BYTES ((uint64_t)262144)
#define CHANNEL     4

/* ---- checksums ---- */

/* The XXH3-64 of each piece, cut where the object's offset is a multiple of a block. Returns how many. */
static size_t hash_pieces(uint64_t offset, const uint8_t *bytes, size_t count, uint64_t *sums) {
    size_t pieces = 0;
    while (count > 0) {
        size_t piece = BLOCK_BYTES - offset % BLOCK_BYTES;
        piece = piece < count ? piece : count;
        sums[pieces++] = htole64(XXH3_64bits(bytes, piece));
        offset += piece;
        bytes += piece;
        count -= piece;
    }
    return pieces;
}

uint64_t stock_chunk_checksum(uint64_t call_id, uint64_t index, uint64_t offset, const uint8_t *bytes, size_t count) {
    uint64_t *words = calloc(count / BLOCK_BYTES + 6, sizeof *words);
    assert_non_null(words);
    words[0] = htole64(call_id);
    words[1] = htole64(index);
    words[2] = htole64(offset);
    words[3] = htole64(count);
    size_t pieces = hash_pieces(offset, bytes, count, words + 4);
    uint64_t sum = XXH3_64bits(words, (4 + pieces) * sizeof *words);
    free(words);
    return sum;
}

void stock_etag(const uint8_t *bytes, size_t count, char etag[33]) {
    uint64_t *words = calloc(count / BLOCK_BYTES + 2, sizeof *words);
    assert_non_null(words);
    words[0] = htole64(count);
    size_t blocks = hash_pieces(0, bytes, count, words + 1);
    XXH128_canonical_t digest;
    XXH128_canonicalFromHash(&digest, XXH3_128bits(words, (1 + blocks) * sizeof *words));
    for (size_t i = 0; i < sizeof digest.digest; i++)
        snprintf(etag + 2 * i, 3, "%02x", digest.digest[i]);
    free(words);
}

/* ---- uploads ---- */

/* Where an upload stands. */
struct upload {
    struct stock_client *client;
    const struct stock_put *put;
    uint64_t id;
    uint64_t credit;
    uint64_t sent_chunks;
    uint64_t acked_chunks;
    bool completed;
};

static char *text(const char *constant) {
    return (char *)(uintptr_t)constant;
}

static void send_demand(struct upload *upload, uint64_t bytes) {
    stock_frame frame = TROVE__V1__FRAME__INIT;
    Trove__V1__Demand demand = TROVE__V1__DEMAND__INIT;
    demand.bytes = bytes;
    frame.call_id = upload->id;
    frame.body_case = STOCK_BODY(DEMAND);
    frame.demand = &demand;
    stock_send(upload->client, &frame);
}

static void open_upload(struct upload *upload) {
    const struct stock_put *put = upload->put;
    stock_frame frame = TROVE__V1__FRAME__INIT;
    Trove__V1__Open open = TROVE__V1__OPEN__INIT;
    open.direction = TROVE__V1__DIRECTION__UPLOAD;
    open.bucket = text(put->bucket);
    open.key = text(put->key);
    open.chunk_bytes = put->chunk_bytes;
    open.channel_chunks = CHANNEL;
    open.content_type = text("text/plain");
    open.size_given_case = TROVE__V1__OPEN__SIZE_GIVEN_SIZE;
    open.size = put->size;
    open.demand = put->demand_in_open ? put->size : 0;
    frame.call_id = upload->id = stock_new_id(upload->client);
    frame.body_case = STOCK_BODY(OPEN);
    frame.open = &open;
    stock_send(upload->client, &frame);
    stock_frame *opened = stock_expect(upload->client, upload->id, STOCK_BODY(OPENED));
    assert_int_equal(opened->opened->chunk_bytes, put->chunk_bytes);
    assert_int_equal(opened->opened->channel_chunks, CHANNEL);
    assert_true(opened->opened->stream_id > 0);
    upload->credit = opened->opened->credit;
    stock_free(opened);
    if (!put->demand_in_open && put->size > 0)
        send_demand(upload, put->size);
}

static void check_object(const struct stock_put *put, const Trove__V1__ObjectInfo *object) {
    char etag[33];
    stock_etag(put->bytes, put->size, etag);
    assert_non_null(object);
    assert_string_equal(object->bucket, put->bucket);
    assert_string_equal(object->key, put->key);
    assert_int_equal(object->size, put->size);
    assert_string_equal(object->etag, etag);
    assert_true(object->generation > 0 && object->modified_ns > 0);
}

/* Takes one frame of the server's. */
static void take_answer(struct upload *upload) {
    stock_frame *frame = stock_receive(upload->client);
    assert_int_equal(frame->call_id, upload->id);
    switch (frame->body_case) {
    case STOCK_BODY(ACK):
        assert_int_equal(frame->ack->n_ranges, 1);
        assert_false(frame->ack->not_taken);
        assert_int_equal(frame->ack->ranges[0]->first, upload->acked_chunks);
        upload->acked_chunks += frame->ack->ranges[0]->count;
        upload->credit += frame->ack->credit;
        assert_true(upload->acked_chunks <= upload->sent_chunks);
        break;
    case STOCK_BODY(CREDIT):
        assert_int_equal(frame->credit->expired, 0);
        upload->credit += frame->credit->bytes;
        break;
    case STOCK_BODY(COMPLETED):
        check_object(upload->put, frame->completed->object);
        upload->completed = true;
        break;
    case STOCK_BODY(STATUS):
        fail_msg("status %d: %s", (int)frame->status->code, frame->status->message);
        break;
    default:
        fail_msg("body %d wasn't expected", (int)frame->body_case);
    }
    stock_free(frame);
}

/* One chunk, in fragments where it is larger than a frame's payload. */
static void send_chunk(struct upload *upload, uint64_t offset, uint64_t bytes) {
    const struct stock_put *put = upload->put;
    uint64_t most = upload->client->welcome->payload_bytes_max;
    uint64_t at = 0;
    do {
        stock_frame frame = TROVE__V1__FRAME__INIT;
        Trove__V1__Chunk chunk = TROVE__V1__CHUNK__INIT;
        uint64_t step = bytes - at < most ? bytes - at : most;
        chunk.index = upload->sent_chunks;
        chunk.offset = offset + at;
        chunk.chunk_bytes = bytes;
        chunk.fragment_offset = at;
        chunk.final = offset + bytes == put->size;
        chunk.checksum_given_case = TROVE__V1__CHUNK__CHECKSUM_GIVEN_CHECKSUM;
        chunk.checksum = stock_chunk_checksum(upload->id, chunk.index, chunk.offset, put->bytes + chunk.offset, step);
        frame.call_id = upload->id;
        frame.body_case = STOCK_BODY(CHUNK);
        frame.chunk = &chunk;
        frame.payload.data = (uint8_t *)(uintptr_t)(put->bytes + chunk.offset);
        frame.payload.len = step;
        stock_send(upload->client, &frame);
        at += step;
    } while (at < bytes);
    upload->sent_chunks++;
    upload->credit -= bytes;
}

static void send_complete(struct upload *upload) {
    stock_frame frame = TROVE__V1__FRAME__INIT;
    Trove__V1__Complete complete = TROVE__V1__COMPLETE__INIT;
    char etag[33];
    stock_etag(upload->put->bytes, upload->put->size, etag);
    complete.size = upload->put->size;
    complete.chunks = upload->sent_chunks;
    complete.etag = etag;
    frame.call_id = upload->id;
    frame.body_case = STOCK_BODY(COMPLETE);
    frame.complete = &complete;
    stock_send(upload->client, &frame);
}

void stock_put(struct stock_client *client, const struct stock_put *put) {
    struct upload upload = {.client = client, .put = put};
    open_upload(&upload);
    uint64_t offset = 0;
    do {
        uint64_t bytes = put->size - offset < put->chunk_bytes ? put->size - offset : put->chunk_bytes;
        while (upload.credit < bytes)
            take_answer(&upload);
        send_chunk(&upload, offset, bytes);
        offset += bytes;
    } while (offset < put->size);
    send_complete(&upload);
    while (!upload.completed)
        take_answer(&upload);
    assert_int_equal(upload.acked_chunks, upload.sent_chunks);
}

void stock_put_inline(struct stock_client *client, const char *bucket, const char *key, const uint8_t *bytes, size_t size) {
    stock_frame frame = TROVE__V1__FRAME__INIT;
    Trove__V1__Open open = TROVE__V1__OPEN__INIT;
    frame.call_id = stock_new_id(client);
    open.direction = TROVE__V1__DIRECTION__UPLOAD;
    open.bucket = text(bucket);
    open.key = text(key);
    open.inline_checksum_given_case = TROVE__V1__OPEN__INLINE_CHECKSUM_GIVEN_INLINE_CHECKSUM;
    open.inline_checksum = stock_chunk_checksum(frame.call_id, 0, 0, bytes, size);
    frame.body_case = STOCK_BODY(OPEN);
    frame.open = &open;
    frame.payload.data = (uint8_t *)(uintptr_t)bytes;
    frame.payload.len = size;
    stock_send(client, &frame);
    stock_frame *answer = stock_expect(client, frame.call_id, STOCK_BODY(COMPLETED));
    const struct stock_put put = {.bucket = bucket, .key = key, .bytes = bytes, .size = size};
    check_object(&put, answer->completed->object);
    stock_free(answer);
}

/* ---- downloads ---- */

struct download {
    struct stock_client *client;
    uint64_t id;
    const uint8_t *bytes;
    size_t size;
    uint64_t offset;
    uint64_t index;
    uint64_t credit; /* that the server has left */
    bool final;
};

static void open_download(struct download *download, const char *bucket, const char *key, uint64_t chunk_bytes) {
    stock_frame frame = TROVE__V1__FRAME__INIT;
    Trove__V1__Open open = TROVE__V1__OPEN__INIT;
    open.direction = TROVE__V1__DIRECTION__DOWNLOAD;
    open.bucket = text(bucket);
    open.key = text(key);
    open.chunk_bytes = chunk_bytes;
    open.channel_chunks = CHANNEL;
    open.credit = download->credit = chunk_bytes * CHANNEL;
    frame.call_id = download->id = stock_new_id(download->client);
    frame.body_case = STOCK_BODY(OPEN);
    frame.open = &open;
    stock_send(download->client, &frame);
    stock_frame *opened = stock_expect(download->client, download->id, STOCK_BODY(OPENED));
    const struct stock_put put = {.bucket = bucket, .key = key, .bytes = download->bytes, .size = download->size};
    check_object(&put, opened->opened->object);
    assert_int_equal(opened->opened->chunk_bytes, chunk_bytes);
    stock_free(opened);
}

/* Acknowledges a chunk and gives its credit back. */
static void send_ack(struct download *download, uint64_t index, uint64_t bytes) {
    stock_frame frame = TROVE__V1__FRAME__INIT;
    Trove__V1__Ack ack = TROVE__V1__ACK__INIT;
    Trove__V1__IndexRange range = TROVE__V1__INDEX_RANGE__INIT;
    Trove__V1__IndexRange *ranges[] = {&range};
    range.first = index;
    range.count = 1;
    ack.n_ranges = 1;
    ack.ranges = ranges;
    ack.received_offset = download->offset;
    ack.credit = bytes;
    frame.call_id = download->id;
    frame.body_case = STOCK_BODY(ACK);
    frame.ack = &ack;
    stock_send(download->client, &frame);
    download->credit += bytes;
}

static void take_fragment(struct download *download, const stock_frame *frame) {
    const Trove__V1__Chunk *chunk = frame->chunk;
    size_t bytes = frame->payload.len;
    assert_false(download->final);
    assert_int_equal(chunk->index, download->index);
    assert_int_equal(chunk->offset, download->offset);
    assert_true(bytes <= download->client->welcome->payload_bytes_max && bytes <= download->size - download->offset);
    assert_int_equal(chunk->checksum_given_case, TROVE__V1__CHUNK__CHECKSUM_GIVEN_CHECKSUM);
    assert_int_equal(chunk->checksum,
                     stock_chunk_checksum(download->id, chunk->index, chunk->offset, frame->payload.data, bytes));
    if (bytes > 0)
        assert_memory_equal(frame->payload.data, download->bytes + download->offset, bytes);
    if (chunk->fragment_offset == 0) {
        assert_true(chunk->chunk_bytes <= download->credit);
        download->credit -= chunk->chunk_bytes;
    }
    download->offset += bytes;
    if (chunk->fragment_offset + bytes < chunk->chunk_bytes)
        return;
    assert_int_equal(chunk->fragment_offset + bytes, chunk->chunk_bytes);
    download->index++;
    download->final = chunk->final;
    send_ack(download, chunk->index, chunk->chunk_bytes);
}

static void finish_download(struct download *download, const Trove__V1__Complete *complete) {
    char etag[33];
    stock_etag(download->bytes, download->size, etag);
    assert_true(download->final);
    assert_int_equal(download->offset, download->size);
    assert_int_equal(complete->size, download->size);
    assert_int_equal(complete->chunks, download->index);
    assert_string_equal(complete->etag, etag);
    stock_frame frame = TROVE__V1__FRAME__INIT;
    Trove__V1__Completed completed = TROVE__V1__COMPLETED__INIT;
    frame.call_id = download->id;
    frame.body_case = STOCK_BODY(COMPLETED);
    frame.completed = &completed;
    stock_send(download->client, &frame);
}

void stock_get(struct stock_client *client, const char *bucket, const char *key, const uint8_t *bytes, size_t size,
               uint64_t chunk_bytes) {
    struct download download = {.client = client, .bytes = bytes, .size = size};
    open_download(&download, bucket, key, chunk_bytes);
    for (bool done = false; !done;) {
        stock_frame *frame = stock_receive(client);
        assert_int_equal(frame->call_id, download.id);
        if (frame->body_case == STOCK_BODY(STATUS))
            fail_msg("status %d: %s", (int)frame->status->code, frame->status->message);
        done = frame->body_case == STOCK_BODY(COMPLETE);
        if (done)
            finish_download(&download, frame->complete);
        else
            assert_int_equal(frame->body_case, STOCK_BODY(CHUNK));
        if (!done)
            take_fragment(&download, frame);
        stock_free(frame);
    }
}
