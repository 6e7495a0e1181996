/* both_ways.c - see both_ways.h. */
#include "both_ways.h"

#include "stock_client.h"

#include <time.h>

#define QUIET_S     30
#define CHUNK_BYTES ((uint64_t)65536)

/* ---- what comes ---- */

static void take_opened(struct both_ways *peer, const Trove__V1__Opened *opened) {
    assert_false(peer->opened);
    peer->opened = true;
    peer->stream_id = opened->stream_id;
    peer->has_object = opened->object != NULL;
    peer->object_size = opened->object != NULL ? opened->object->size : 0;
    peer->writer = opened->writer;
    peer->credit_bytes += opened->credit;
}

static void take_ack(struct both_ways *peer, const Trove__V1__Ack *ack) {
    assert_int_equal(ack->n_ranges, 1);
    assert_int_equal(ack->ranges[0]->first, peer->acked_chunks);
    assert_false(ack->not_taken);
    peer->acked_chunks += ack->ranges[0]->count;
    peer->credit_bytes += ack->credit;
    assert_true(peer->acked_chunks <= peer->sent_chunks);
}

static void take_credit(struct both_ways *peer, const Trove__V1__Credit *credit) {
    peer->credit_bytes += credit->bytes;
    assert_true(credit->expired <= peer->credit_bytes);
    peer->credit_bytes -= credit->expired;
}

static void take_chunk(struct both_ways *peer, const raw_frame *frame) {
    const Trove__V1__Chunk *chunk = frame->chunk;
    size_t count = frame->payload.len;
    assert_true(peer->opened && !peer->final_came);
    if (peer->came_chunks == 0 && chunk->fragment_offset == 0)
        peer->first_offset = chunk->offset;
    assert_int_equal(chunk->index, peer->came_chunks);
    assert_int_equal(chunk->offset, peer->first_offset + peer->came_bytes);
    assert_int_equal(chunk->checksum, stock_chunk_checksum(peer->id, chunk->index, chunk->offset, frame->payload.data, count));
    assert_true(peer->came_bytes + count <= BOTH_DOWN_BYTES_MAX);
    if (count > 0)
        memcpy(peer->bytes + peer->came_bytes, frame->payload.data, count);
    peer->came_bytes += count;
    if (chunk->fragment_offset + count < chunk->chunk_bytes)
        return;
    peer->came_chunks++;
    peer->final_came = chunk->final;
    if (!peer->holds)
        raw_send_ack(peer->client, peer->id, chunk->index, 1, chunk->chunk_bytes, false);
}

/* It is acknowledged with the chunk behind it. */
static void take_gap(struct both_ways *peer, const Trove__V1__Gap *gap) {
    assert_int_equal(gap->first_index, peer->came_chunks);
    assert_int_equal(gap->offset, peer->first_offset + peer->came_bytes);
    assert_true(peer->came_bytes + gap->length <= BOTH_DOWN_BYTES_MAX);
    memset(peer->bytes + peer->came_bytes, 0, gap->length);
    peer->came_bytes += gap->length;
    peer->came_chunks += gap->count;
    peer->lost_chunks += gap->count;
    if (!peer->holds)
        raw_send_ack(peer->client, peer->id, gap->first_index, gap->count, 0, false);
}

static void take_complete(struct both_ways *peer, const Trove__V1__Complete *complete) {
    assert_false(peer->complete);
    assert_int_equal(complete->size, peer->came_bytes);
    assert_int_equal(complete->chunks, peer->came_chunks);
    peer->complete = true;
    peer->complete_size = complete->size;
    peer->complete_chunks = complete->chunks;
    snprintf(peer->complete_etag, sizeof peer->complete_etag, "%s", complete->etag);
}

static void take_completed(struct both_ways *peer, const Trove__V1__Completed *completed) {
    assert_false(peer->completed || peer->ended);
    peer->completed = true;
    peer->published_size = completed->object->size;
    peer->published_generation = completed->object->generation;
    snprintf(peer->published_etag, sizeof peer->published_etag, "%s", completed->object->etag);
    peer->dropped_chunks = completed->dropped_chunks;
    peer->dropped_bytes = completed->dropped_bytes;
}

static void take_status(struct both_ways *peer, const Trove__V1__Status *status) {
    if (!peer->may_fail)
        fail_msg("status %d: %s", (int)status->code, status->message);
    assert_false(peer->completed || peer->ended);
    peer->ended = true;
    peer->code = status->code;
    snprintf(peer->message, sizeof peer->message, "%s", status->message);
}

static void take(struct both_ways *peer, const raw_frame *frame) {
    switch (frame->body_case) {
    case RAW_BODY(OPENED):
        take_opened(peer, frame->opened);
        break;
    case RAW_BODY(ACK):
        take_ack(peer, frame->ack);
        break;
    case RAW_BODY(CREDIT):
        take_credit(peer, frame->credit);
        break;
    case RAW_BODY(CHUNK):
        take_chunk(peer, frame);
        break;
    case RAW_BODY(GAP):
        take_gap(peer, frame->gap);
        break;
    case RAW_BODY(COMPLETE):
        take_complete(peer, frame->complete);
        break;
    case RAW_BODY(COMPLETED):
        take_completed(peer, frame->completed);
        break;
    case RAW_BODY(STATE):
        peer->answers++;
        peer->state = frame->state->state;
        peer->refusal = frame->state->status != NULL ? frame->state->status->code : TROVE__V1__CODE__OK;
        break;
    case RAW_BODY(CONTROL):
        peer->controls++;
        peer->control = frame->control->type;
        break;
    case RAW_BODY(STATUS):
        take_status(peer, frame->status);
        break;
    default:
        fail_msg("body %d wasn't expected", (int)frame->body_case);
    }
}

void both_take(struct both_ways *peers, size_t count) {
    raw_frame *frame = raw_receive(peers->client);
    if (frame == NULL)
        fail_msg("the server closed the connection");
    size_t i = 0;
    while (i < count && peers[i].id != frame->call_id)
        i++;
    if (i == count)
        fail_msg("body %d came for call %llu, which isn't waited for", (int)frame->body_case, (unsigned long long)frame->call_id);
    take(&peers[i], frame);
    raw_free(frame);
}

/* ---- what is sent ---- */

void both_init_open(Trove__V1__Open *open, const char *bucket, const char *key) {
    raw_init_open(open, bucket, key, true);
    open->direction = TROVE__V1__DIRECTION__BIDI;
    open->chunk_bytes = CHUNK_BYTES;
    open->demand = open->credit = CHUNK_BYTES * open->channel_chunks;
}

void both_open(struct both_ways *peer, struct raw_client *client, Trove__V1__Open *open) {
    *peer = (struct both_ways){.client = client, .bytes = malloc(BOTH_DOWN_BYTES_MAX)};
    assert_non_null(peer->bytes);
    peer->id = raw_open_stream(client, open);
}

void both_close(struct both_ways *peer) {
    free(peer->bytes);
    peer->bytes = NULL;
}

void both_send(struct both_ways *peer, const void *bytes, size_t count, bool final) {
    Trove__V1__Chunk chunk;
    raw_init_chunk(&chunk, peer->id, peer->sent_chunks, peer->sent_bytes, bytes, count);
    chunk.final = final;
    raw_send_chunk(peer->client, peer->id, &chunk, bytes, count);
    peer->credit_bytes -= count < peer->credit_bytes ? count : peer->credit_bytes;
    peer->sent_bytes += count;
    peer->sent_chunks++;
}

void both_send_all(struct both_ways *peer, const uint8_t *bytes, size_t count, size_t chunk_bytes, bool final) {
    while (count > 0) {
        size_t step = count < chunk_bytes ? count : chunk_bytes;
        BOTH_UNTIL(peer, peer->credit_bytes >= step);
        both_send(peer, bytes, step, final && step == count);
        bytes += step;
        count -= step;
    }
    if (final)
        both_send_complete(peer);
}

void both_send_complete(struct both_ways *peer) {
    raw_send_complete(peer->client, peer->id, peer->sent_bytes, peer->sent_chunks);
}

Trove__V1__StreamState both_control(struct both_ways *peer, Trove__V1__ControlType type) {
    unsigned before = peer->answers;
    raw_send_control(peer->client, peer->id, type, before + 1);
    BOTH_UNTIL(peer, peer->answers > before);
    return peer->state;
}

void both_finish(struct both_ways *peer) {
    BOTH_UNTIL(peer, peer->complete);
    raw_send_completed(peer->client, peer->id);
    BOTH_UNTIL(peer, peer->completed);
    both_close(peer);
}

void both_expect_end(struct both_ways *peer, Trove__V1__Code code, const char *word) {
    peer->may_fail = true;
    BOTH_UNTIL(peer, peer->ended);
    print_message("    %d %s\n", (int)peer->code, peer->message);
    if (peer->code != code || strstr(peer->message, word) == NULL)
        fail_msg("code %d and the word \"%s\" were expected", (int)code, word);
    both_close(peer);
}

/* ---- whole objects ---- */

void both_make_bucket(struct raw_client *client, const char *bucket) {
    Trove__V1__BucketCreateRequest request = TROVE__V1__BUCKET_CREATE_REQUEST__INIT;
    request.bucket = raw_text(bucket);
    uint64_t id = raw_call(client, "trove.v1.Buckets/Create", &request.base);
    protobuf_c_message_free_unpacked(raw_answer(client, id, &trove__v1__bucket_create_response__descriptor), NULL);
}

void both_put(struct raw_client *client, const char *bucket, const char *key, const uint8_t *bytes, size_t count) {
    struct both_ways peer;
    Trove__V1__Open open;
    both_init_open(&open, bucket, key);
    open.direction = TROVE__V1__DIRECTION__UPLOAD;
    open.credit = 0;
    both_open(&peer, client, &open);
    both_send_all(&peer, bytes, count, CHUNK_BYTES, true);
    BOTH_UNTIL(&peer, peer.completed);
    both_close(&peer);
}

void both_check(struct raw_client *client, const char *bucket, const char *key, const uint8_t *bytes, size_t count) {
    struct both_ways peer;
    Trove__V1__Open open;
    both_init_open(&open, bucket, key);
    open.direction = TROVE__V1__DIRECTION__DOWNLOAD;
    open.demand = 0;
    both_open(&peer, client, &open);
    BOTH_UNTIL(&peer, peer.complete);
    raw_send_completed(client, peer.id);
    assert_int_equal(peer.came_bytes, count);
    if (count > 0)
        assert_memory_equal(peer.bytes, bytes, count);
    both_close(&peer);
}

Trove__V1__ObjectHeadResponse *both_head(struct raw_client *client, const char *bucket, const char *key) {
    Trove__V1__ObjectHeadRequest request = TROVE__V1__OBJECT_HEAD_REQUEST__INIT;
    request.bucket = raw_text(bucket);
    request.key = raw_text(key);
    uint64_t id = raw_call(client, "trove.v1.Objects/Head", &request.base);
    raw_frame *frame = raw_expect(client, id, RAW_BODY(STATUS));
    ProtobufCMessage *answer = NULL;
    if (frame->status->code == TROVE__V1__CODE__OK)
        answer = protobuf_c_message_unpack(&trove__v1__object_head_response__descriptor, NULL, frame->payload.len,
                                           frame->payload.data);
    else
        assert_int_equal(frame->status->code, TROVE__V1__CODE__NOT_FOUND);
    raw_free(frame);
    return (Trove__V1__ObjectHeadResponse *)answer;
}

void both_check_absent(struct raw_client *client, const char *bucket, const char *key) {
    assert_null(both_head(client, bucket, key));
}

/* ---- the server ---- */

const Trove__V1__PoolInfo *both_pool(struct raw_client *client, const char *name, ProtobufCMessage **answer) {
    Trove__V1__PoolListRequest request = TROVE__V1__POOL_LIST_REQUEST__INIT;
    uint64_t id = raw_call(client, "trove.v1.Pools/List", &request.base);
    *answer = raw_answer(client, id, &trove__v1__pool_list_response__descriptor);
    const Trove__V1__PoolListResponse *list = (const Trove__V1__PoolListResponse *)*answer;
    for (size_t i = 0; i < list->n_pools; i++)
        if (strcmp(list->pools[i]->name, name) == 0)
            return list->pools[i];
    fail_msg("there is no pool %s", name);
    return NULL;
}

Trove__V1__StreamListResponse *both_streams(struct raw_client *client) {
    Trove__V1__StreamListRequest request = TROVE__V1__STREAM_LIST_REQUEST__INIT;
    uint64_t id = raw_call(client, "trove.v1.Streams/List", &request.base);
    return (Trove__V1__StreamListResponse *)raw_answer(client, id, &trove__v1__stream_list_response__descriptor);
}

static bool is_quiet(struct raw_client *client) {
    ProtobufCMessage *answer;
    const Trove__V1__PoolInfo *pool = both_pool(client, "default", &answer);
    bool quiet = pool->buffers_allocated == pool->buffers_released && pool->memory_in_use_bytes == 0;
    protobuf_c_message_free_unpacked(answer, NULL);
    Trove__V1__StreamListResponse *streams = both_streams(client);
    quiet = quiet && streams->n_streams == 0;
    protobuf_c_message_free_unpacked(&streams->base, NULL);
    return quiet;
}

void both_wait_until_quiet(struct raw_client *client) {
    time_t end = time(NULL) + QUIET_S;
    while (!is_quiet(client))
        if (time(NULL) > end)
            fail_msg("streams or buffers are still in use");
}
