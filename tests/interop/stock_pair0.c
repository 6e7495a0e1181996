/* stock_pair0.c - any language can be a client: a stock nng_pair0 socket and the stock generated protobuf code make a bucket, put
 * and get objects over tcp, ipc and ws, with and without header checksums; and when the server is restarted the socket connects
 * again by itself and goes on.
 */
#include "stock_client.h"
#include "troved.h"

#include <stdio.h>

#define MIB ((size_t)1 << 20)

static const struct troved_options options = {
    .listen = {"tcp://127.0.0.1:0", "ipc://%s/socket", "ws://127.0.0.1:0/trove"},
    .store = "local://%s/store",
};

/* Sizes around what is special: nothing, a block, a frame's payload, a chunk; the last one needs many chunks and a rest. */
static const struct {
    const char *key;
    size_t size;
    uint64_t chunk_bytes;
} objects[] = {
    {"empty", 0, 65536},
    {"a", 1, 1},
    {"a/b", 4095, 1000},
    {"block", 262144, 262144},
    {"block and one", 262145, 300000},
    {"../../etc/passwd", 524288, 524288},
    {"\xF0\x9F\x90\x99", 524289, MIB},
    {"large", 9 * MIB + 12345, MIB},
    {"odd chunks", 3 * MIB + 1, 700001},
};
#define OBJECT_COUNT (sizeof objects / sizeof objects[0])

static uint8_t *content;

static void create_bucket(struct stock_client *client, const char *bucket) {
    Trove__V1__BucketCreateRequest request = TROVE__V1__BUCKET_CREATE_REQUEST__INIT;
    request.bucket = (char *)(uintptr_t)bucket;
    assert_int_equal(stock_call(client, "Buckets/Create", &request.base, NULL, NULL), TROVE__V1__CODE__OK);
    assert_int_equal(stock_call(client, "Buckets/Create", &request.base, NULL, NULL), TROVE__V1__CODE__ALREADY_EXISTS);
}

static void check_listing(struct stock_client *client, const char *bucket, size_t count) {
    Trove__V1__ObjectListRequest request = TROVE__V1__OBJECT_LIST_REQUEST__INIT;
    ProtobufCMessage *answer = NULL;
    request.bucket = (char *)(uintptr_t)bucket;
    assert_int_equal(stock_call(client, "Objects/List", &request.base, &trove__v1__object_list_response__descriptor, &answer),
                     TROVE__V1__CODE__OK);
    const Trove__V1__ObjectListResponse *list = (const Trove__V1__ObjectListResponse *)answer;
    assert_int_equal(list->n_entries, count);
    for (size_t i = 1; i < list->n_entries; i++)
        assert_true(strcmp(list->entries[i - 1]->key, list->entries[i]->key) < 0);
    protobuf_c_message_free_unpacked(answer, NULL);
}

/* Nothing is under way any more, and every buffer is back. The stream that ended last may still be cleaning up: each call is a
 * round trip. */
static void check_pool(struct stock_client *client) {
    bool quiet = false;
    for (unsigned tries = 0; !quiet && tries < 10000; tries++) {
        Trove__V1__PoolListRequest request = TROVE__V1__POOL_LIST_REQUEST__INIT;
        ProtobufCMessage *answer = NULL;
        assert_int_equal(stock_call(client, "Pools/List", &request.base, &trove__v1__pool_list_response__descriptor, &answer),
                         TROVE__V1__CODE__OK);
        const Trove__V1__PoolInfo *pool = ((const Trove__V1__PoolListResponse *)answer)->pools[0];
        assert_int_equal(pool->failed_streams, 0);
        quiet = pool->streams_active == 0 && pool->buffers_allocated == pool->buffers_released && pool->memory_in_use_bytes == 0;
        protobuf_c_message_free_unpacked(answer, NULL);
    }
    assert_true(quiet);
}

static void put_all(struct stock_client *client, const char *bucket) {
    for (size_t i = 0; i < OBJECT_COUNT; i++) {
        const struct stock_put put = {
            .bucket = bucket,
            .key = objects[i].key,
            .bytes = content,
            .size = objects[i].size,
            .chunk_bytes = objects[i].chunk_bytes,
            .demand_in_open = i % 2 == 0,
        };
        print_message("    put %s\n", put.key);
        stock_put(client, &put);
    }
}

static void get_all(struct stock_client *client, const char *bucket) {
    for (size_t i = 0; i < OBJECT_COUNT; i++) {
        print_message("    get %s\n", objects[i].key);
        stock_get(client, bucket, objects[i].key, content, objects[i].size, objects[i].chunk_bytes);
    }
}

static void run(const char *scheme, bool checksums) {
    struct troved *troved = troved_start(&options, NULL);
    struct stock_client client;
    stock_open(&client, troved_url(troved, scheme));
    stock_greet(&client, checksums);
    create_bucket(&client, "stock");
    put_all(&client, "stock");
    stock_put_inline(&client, "stock", "inline", content, 1000);
    stock_put_inline(&client, "stock", "inline empty", content, 0);
    get_all(&client, "stock");
    stock_get(&client, "stock", "inline", content, 1000, 65536);
    check_listing(&client, "stock", OBJECT_COUNT + 2);
    check_pool(&client);
    stock_close(&client);
    assert_int_equal(troved_stop(troved, false), 0);
}

static void test_tcp(void **state) {
    (void)state;
    run("tcp", false);
}

static void test_tcp_checksums(void **state) {
    (void)state;
    run("tcp", true);
}

static void test_ipc(void **state) {
    (void)state;
    run("ipc", false);
}

static void test_ipc_checksums(void **state) {
    (void)state;
    run("ipc", true);
}

static void test_ws(void **state) {
    (void)state;
    run("ws", false);
}

static void test_ws_checksums(void **state) {
    (void)state;
    run("ws", true);
}

/* ---- restart ---- */

/* The server says that it drains, and then that it goes. */
static void expect_go_away(struct stock_client *client, Trove__V1__Code code) {
    stock_frame *frame = stock_expect(client, 0, STOCK_BODY(GO_AWAY));
    assert_int_equal(frame->go_away->status->code, code);
    assert_true(strlen(frame->go_away->status->message) > 0);
    stock_free(frame);
}

static void restart(const char *scheme) {
    struct troved *troved = troved_start(&options, NULL);
    char folder[512];
    char url[512];
    snprintf(folder, sizeof folder, "%s", troved_folder(troved));
    snprintf(url, sizeof url, "%s", troved_url(troved, scheme));
    struct stock_client client;
    stock_open(&client, url);
    stock_greet(&client, true);
    create_bucket(&client, "stock");
    const struct stock_put put = {.bucket = "stock", .key = "kept", .bytes = content, .size = 2 * MIB + 7, .chunk_bytes = 300000};
    stock_put(&client, &put);
    stock_put_inline(&client, "stock", "inline", content, 1000);

    troved_ask_to_end(troved);
    expect_go_away(&client, TROVE__V1__CODE__OK);
    expect_go_away(&client, TROVE__V1__CODE__UNAVAILABLE);
    /* The client has read why and closes; the socket dials again. Over tcp this is left to the server, which waits for a moment
     * and then closes. (nng's ws doesn't notice that if nobody is receiving.) */
    if (strcmp(scheme, "tcp") != 0)
        stock_hang_up(&client);
    assert_int_equal(troved_stop(troved, true), 0);

    const struct troved_options again = {.listen = {url}, .store = options.store};
    troved = troved_start(&again, folder);
    stock_wait_connected(&client, 2);
    stock_greet(&client, false);
    stock_get(&client, "stock", "kept", content, put.size, MIB);
    stock_get(&client, "stock", "inline", content, 1000, MIB);
    stock_put(&client, &put);
    check_listing(&client, "stock", 2);
    check_pool(&client);
    stock_close(&client);
    assert_int_equal(troved_stop(troved, false), 0);
}

static void test_restart_tcp(void **state) {
    (void)state;
    restart("tcp");
}

static void test_restart_ipc(void **state) {
    (void)state;
    restart("ipc");
}

static void test_restart_ws(void **state) {
    (void)state;
    restart("ws");
}

int main(void) {
    content = malloc(10 * MIB);
    if (content == NULL)
        return EXIT_FAILURE;
    uint64_t word = 1;
    for (size_t i = 0; i < 10 * MIB; i++) {
        word = word * 6364136223846793005u + 1442695040888963407u;
        content[i] = (uint8_t)(word >> 56);
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ipc),         cmocka_unit_test(test_ipc_checksums),
        cmocka_unit_test(test_tcp),         cmocka_unit_test(test_tcp_checksums),
        cmocka_unit_test(test_ws),          cmocka_unit_test(test_ws_checksums),
        cmocka_unit_test(test_restart_ipc), cmocka_unit_test(test_restart_tcp),
        cmocka_unit_test(test_restart_ws),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    free(content);
    nng_fini();
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
