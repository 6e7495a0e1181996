/* many_buckets.c - as many buckets as a store may have, with the longest names, are all listed. */
#include "raw_client.h"
#include "troved.h"

#define BUCKETS_MAX 2500
#define NAME_BYTES  63

static uint64_t create(struct raw_client *client, unsigned number) {
    Trove__V1__BucketCreateRequest request = TROVE__V1__BUCKET_CREATE_REQUEST__INIT;
    char name[NAME_BYTES + 1];
    snprintf(name, sizeof name, "bucket-%056u", number);
    assert_int_equal(strlen(name), NAME_BYTES);
    request.bucket = name;
    return raw_call(client, "trove.v1.Buckets/Create", &request.base);
}

static void test_as_many_as_there_may_be(void **state) {
    (void)state;
    const struct troved_options options = {.listen = {"ipc://%s/socket"}};
    struct troved *server = troved_start(&options, NULL);
    struct raw_client client;
    raw_open(&client, troved_url(server, "ipc"));
    raw_greet(&client, false);
    for (unsigned i = 0; i < BUCKETS_MAX; i++) {
        uint64_t id = create(&client, i);
        protobuf_c_message_free_unpacked(raw_answer(&client, id, &trove__v1__bucket_create_response__descriptor), NULL);
    }
    raw_expect_failure(&client, create(&client, BUCKETS_MAX), TROVE__V1__CODE__RESOURCE_EXHAUSTED, "2500 buckets");
    Trove__V1__BucketListRequest request = TROVE__V1__BUCKET_LIST_REQUEST__INIT;
    uint64_t id = raw_call(&client, "trove.v1.Buckets/List", &request.base);
    ProtobufCMessage *answer = raw_answer(&client, id, &trove__v1__bucket_list_response__descriptor);
    assert_int_equal(((const Trove__V1__BucketListResponse *)answer)->n_buckets, BUCKETS_MAX);
    protobuf_c_message_free_unpacked(answer, NULL);
    raw_close(&client);
    assert_int_equal(troved_stop(server, false), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_as_many_as_there_may_be)};
    return cmocka_run_group_tests_name("many buckets", tests, NULL, NULL);
}
