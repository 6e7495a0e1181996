/* lossy.c - a lossy sender, frame by frame: however it tells of its losses, they are taken in order and stored. */
#include "raw_client.h"
#include "stock_client.h"
#include "troved.h"

#define GAPS        2000
#define CHUNK_BYTES 1000

static struct troved *server;

static int begin_group(void **state) {
    const struct troved_options options = {.listen = {"ipc://%s/socket"}, .store = "local://%s/store"};
    (void)state;
    server = troved_start(&options, NULL);
    return 0;
}

static int end_group(void **state) {
    (void)state;
    return troved_stop(server, false);
}

static void send_gap(struct raw_client *client, uint64_t id, uint64_t index) {
    raw_frame frame = TROVE__V1__FRAME__INIT;
    Trove__V1__Gap gap = TROVE__V1__GAP__INIT;
    gap.first_index = index;
    gap.count = 1;
    gap.offset = index * CHUNK_BYTES;
    gap.length = CHUNK_BYTES;
    frame.call_id = id;
    frame.body_case = RAW_BODY(GAP);
    frame.gap = &gap;
    raw_send(client, &frame);
}

static void make_bucket(struct raw_client *client) {
    Trove__V1__BucketCreateRequest request = TROVE__V1__BUCKET_CREATE_REQUEST__INIT;
    request.bucket = raw_text("media");
    uint64_t id = raw_call(client, "trove.v1.Buckets/Create", &request.base);
    ProtobufCMessage *answer = raw_answer(client, id, &trove__v1__bucket_create_response__descriptor);
    protobuf_c_message_free_unpacked(answer, NULL);
}

/* A producer that goes on while nothing may be sent: each loss was told when the chunk behind it was lost as well. */
static void test_gaps_in_a_row(void **state) {
    (void)state;
    struct raw_client client;
    Trove__V1__Open open;
    Trove__V1__Chunk chunk;
    uint8_t bytes[CHUNK_BYTES] = {1, 2, 3};
    raw_open(&client, troved_url(server, "ipc"));
    raw_greet(&client, true);
    make_bucket(&client);
    raw_init_open(&open, "media", "lossy", true);
    open.lossy = true;
    open.backpressure_given_case = TROVE__V1__OPEN__BACKPRESSURE_GIVEN_BACKPRESSURE;
    open.backpressure = TROVE__V1__BACKPRESSURE__DROP;
    open.channel_chunks = 1;
    uint64_t id = raw_open_stream(&client, &open);
    raw_frame *opened = raw_receive(&client);
    assert_non_null(opened);
    assert_int_equal(opened->body_case, RAW_BODY(OPENED));
    raw_free(opened);
    for (uint64_t index = 0; index < GAPS; index++)
        send_gap(&client, id, index);
    raw_init_chunk(&chunk, id, GAPS, GAPS * CHUNK_BYTES, bytes, CHUNK_BYTES);
    chunk.final = true;
    raw_send_chunk(&client, id, &chunk, bytes, CHUNK_BYTES);
    raw_send_complete(&client, id, (GAPS + 1) * CHUNK_BYTES, GAPS + 1);
    raw_frame *answer = raw_receive_answer(&client);
    assert_non_null(answer);
    assert_int_equal(answer->body_case, RAW_BODY(COMPLETED));
    assert_int_equal(answer->completed->dropped_chunks, GAPS);
    assert_int_equal(answer->completed->dropped_bytes, GAPS * CHUNK_BYTES);
    assert_int_equal(answer->completed->n_gaps, 1);
    raw_free(answer);
    raw_close(&client);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_gaps_in_a_row),
    };
    return cmocka_run_group_tests(tests, begin_group, end_group);
}
