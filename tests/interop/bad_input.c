/* bad_input.c - bad input ends its call or connection with a clear error, and nothing else: nothing is stored, nothing leaks,
 * others are served. Runs every row of the tables and every peer against mem:// and local://, over a unix socket and tcp.
 */
#include "bad_input.h"

#include <time.h>

#define QUIET_S     30
#define CLAIM_BYTES ((uint64_t)4 << 20) /* a quarter of the budget in `config` */
#define CLAIM_COUNT 3
#define CASES_MAX   256

static const char config[] = "memory: 16MiB\n"
                             "workers: 2\n";

uint8_t bad_bytes[1 << 20];
struct troved *bad_server;
const char *bad_url;
struct raw_client bad_client = {.fd = -1};
struct raw_client bad_bystander = {.fd = -1};

/* ---- the bystander's checks ---- */

uint64_t bad_send_inline(const char *bucket, const char *key, size_t count) {
    raw_frame frame = TROVE__V1__FRAME__INIT;
    Trove__V1__Open open;
    raw_init_open(&open, bucket, key, true);
    frame.call_id = raw_new_id(&bad_bystander);
    open.inline_checksum_given_case = TROVE__V1__OPEN__INLINE_CHECKSUM_GIVEN_INLINE_CHECKSUM;
    open.inline_checksum = stock_chunk_checksum(frame.call_id, 0, 0, bad_bytes, count);
    frame.body_case = RAW_BODY(OPEN);
    frame.open = &open;
    frame.payload.data = bad_bytes;
    frame.payload.len = count;
    raw_send(&bad_bystander, &frame);
    return frame.call_id;
}

uint64_t bad_send_delete(const char *bucket, const char *key) {
    Trove__V1__ObjectDeleteRequest request = TROVE__V1__OBJECT_DELETE_REQUEST__INIT;
    request.bucket = raw_text(bucket);
    request.key = raw_text(key);
    return raw_call(&bad_bystander, "trove.v1.Objects/Delete", &request.base);
}

static Trove__V1__ObjectListResponse *list_objects(void) {
    Trove__V1__ObjectListRequest request = TROVE__V1__OBJECT_LIST_REQUEST__INIT;
    request.bucket = raw_text("bad");
    uint64_t id = raw_call(&bad_bystander, "trove.v1.Objects/List", &request.base);
    return (Trove__V1__ObjectListResponse *)raw_answer(&bad_bystander, id, &trove__v1__object_list_response__descriptor);
}

static void check_listing(size_t expected) {
    Trove__V1__ObjectListResponse *list = list_objects();
    assert_int_equal(list->n_entries, 1 + expected);
    bool kept = false;
    for (size_t i = 0; i < list->n_entries; i++)
        kept |= strcmp(list->entries[i]->key, "kept") == 0 && list->entries[i]->size == BAD_KEPT_BYTES;
    assert_true(kept);
    protobuf_c_message_free_unpacked(&list->base, NULL);
}

static bool is_quiet(void) {
    Trove__V1__PoolListRequest request = TROVE__V1__POOL_LIST_REQUEST__INIT;
    uint64_t id = raw_call(&bad_bystander, "trove.v1.Pools/List", &request.base);
    ProtobufCMessage *answer = raw_answer(&bad_bystander, id, &trove__v1__pool_list_response__descriptor);
    const Trove__V1__PoolInfo *pool = ((const Trove__V1__PoolListResponse *)answer)->pools[0];
    bool quiet = pool->streams_active == 0 && pool->buffers_allocated == pool->buffers_released && pool->memory_in_use_bytes == 0;
    protobuf_c_message_free_unpacked(answer, NULL);
    return quiet;
}

/* What was broken off is cleaned up behind the client's back: each look is a round trip. */
static void wait_until_quiet(void) {
    time_t end = time(NULL) + QUIET_S;
    while (!is_quiet())
        if (time(NULL) > end)
            fail_msg("streams or buffers are still in use");
}

/* Waits until a stream has been granted all that it asked for. */
static void wait_for_credit(struct raw_client *client, uint64_t bytes) {
    for (uint64_t credit = 0; credit < bytes;) {
        raw_frame *frame = raw_receive(client);
        assert_non_null(frame);
        if (frame->body_case == RAW_BODY(OPENED))
            credit += frame->opened->credit;
        else if (frame->body_case == RAW_BODY(CREDIT))
            credit += frame->credit->bytes;
        else
            fail_msg("body %d wasn't expected", (int)frame->body_case);
        raw_free(frame);
    }
}

/* Three uploads that ask for a quarter each are granted it: no reservation was lost. */
static void check_budget(void) {
    uint64_t ids[CLAIM_COUNT];
    Trove__V1__Open open;
    raw_init_open(&open, "bad", "claim", true);
    open.chunk_bytes = open.demand = CLAIM_BYTES;
    open.channel_chunks = 1;
    for (unsigned i = 0; i < CLAIM_COUNT; i++) {
        ids[i] = raw_open_stream(&bad_bystander, &open);
        wait_for_credit(&bad_bystander, CLAIM_BYTES);
    }
    for (unsigned i = 0; i < CLAIM_COUNT; i++) {
        raw_send_control(&bad_bystander, ids[i], TROVE__V1__CONTROL_TYPE__CANCEL, 1);
        raw_frame *state = raw_receive(&bad_bystander);
        assert_non_null(state);
        assert_int_equal(state->body_case, RAW_BODY(STATE));
        assert_int_equal(state->state->state, TROVE__V1__STREAM_STATE__STREAM_CANCELLED);
        raw_free(state);
        raw_frame *status = raw_receive(&bad_bystander);
        assert_non_null(status);
        assert_int_equal(status->body_case, RAW_BODY(STATUS));
        assert_int_equal(status->status->code, TROVE__V1__CODE__CANCELLED);
        raw_free(status);
    }
}

void bad_check_server(size_t expected) {
    raw_echo(&bad_bystander);
    wait_until_quiet();
    check_listing(expected);
    check_budget();
    wait_until_quiet();
}

void bad_remove(const char *key) {
    uint64_t id = bad_send_delete("bad", key);
    protobuf_c_message_free_unpacked(raw_answer(&bad_bystander, id, &trove__v1__object_delete_response__descriptor), NULL);
}

void bad_remove_all(void) {
    wait_until_quiet();
    Trove__V1__ObjectListResponse *list = list_objects();
    for (size_t i = 0; i < list->n_entries; i++)
        if (strcmp(list->entries[i]->key, "kept") != 0)
            bad_remove(list->entries[i]->key);
    protobuf_c_message_free_unpacked(&list->base, NULL);
}

/* ---- one row ---- */

struct raw_client *bad_connect(enum bad_begin begin) {
    if (begin == BAD_CONNECTED)
        raw_connect(&bad_client, bad_url);
    else
        raw_open(&bad_client, bad_url);
    if (begin == BAD_WELCOMED || begin == BAD_CHECKSUMS)
        raw_greet(&bad_client, begin == BAD_CHECKSUMS);
    return &bad_client;
}

static void run_case(void **state) {
    const struct bad_case *row = *state;
    struct raw_client *client = bad_connect(row->begin);
    uint64_t id = row->send(client);
    if (row->begin == BAD_CONNECTED)
        raw_skip_greeting(client);
    raw_expect_failure(client, id, row->code, row->word);
    if (id != 0)
        raw_echo(client); /* the connection goes on */
    raw_expect_end(client);
    bad_check_server(0);
}

static int close_client(void **state) {
    (void)state;
    raw_close(&bad_client);
    bad_client = (struct raw_client){.fd = -1};
    return 0;
}

/* ---- groups ---- */

static const char *group_store;
static const char *group_scheme;

static int start_server(void **state) {
    (void)state;
    const struct troved_options options = {
        .listen = {"ipc://%s/socket", "tcp://127.0.0.1:0"}, .store = group_store, .config = config};
    bad_server = troved_start(&options, NULL);
    bad_url = troved_url(bad_server, group_scheme);
    raw_open(&bad_bystander, bad_url);
    raw_greet(&bad_bystander, false);
    Trove__V1__BucketCreateRequest request = TROVE__V1__BUCKET_CREATE_REQUEST__INIT;
    request.bucket = raw_text("bad");
    uint64_t id = raw_call(&bad_bystander, "trove.v1.Buckets/Create", &request.base);
    protobuf_c_message_free_unpacked(raw_answer(&bad_bystander, id, &trove__v1__bucket_create_response__descriptor), NULL);
    id = bad_send_inline("bad", "kept", BAD_KEPT_BYTES);
    raw_frame *completed = raw_receive(&bad_bystander);
    assert_non_null(completed);
    assert_int_equal(completed->body_case, RAW_BODY(COMPLETED));
    assert_int_equal(completed->call_id, id);
    raw_free(completed);
    return 0;
}

static int stop_server(void **state) {
    (void)state;
    raw_close(&bad_bystander);
    assert_int_equal(troved_stop(bad_server, false), 0);
    return 0;
}

static size_t add_cases(const struct bad_case *rows, struct CMUnitTest *tests, size_t count) {
    for (; rows->name != NULL; rows++) {
        assert_true(count < CASES_MAX);
        tests[count++] = (struct CMUnitTest){
            .name = rows->name,
            .test_func = run_case,
            .teardown_func = close_client,
            .initial_state = (void *)(uintptr_t)rows,
        };
    }
    return count;
}

static size_t add_tests(const struct CMUnitTest *from, size_t from_count, struct CMUnitTest *tests, size_t count) {
    assert_true(count + from_count <= CASES_MAX);
    for (size_t i = 0; i < from_count; i++) {
        tests[count] = from[i];
        tests[count++].teardown_func = close_client;
    }
    return count;
}

static int run_group(const char *store, const char *scheme) {
    struct CMUnitTest tests[CASES_MAX];
    char name[128];
    size_t count = add_cases(bad_frame_cases, tests, 0);
    count = add_cases(bad_call_cases, tests, count);
    count = add_cases(bad_stream_cases, tests, count);
    count = add_tests(bad_peer_tests, bad_peer_test_count, tests, count);
    count = add_tests(bad_reader_tests, bad_reader_test_count, tests, count);
    count = add_tests(bad_control_tests, bad_control_test_count, tests, count);
    group_store = store;
    group_scheme = scheme;
    snprintf(name, sizeof name, "%s over %s", store, scheme);
    print_message("---- %s ----\n", name);
    return _cmocka_run_group_tests(name, tests, count, start_server, stop_server);
}

int main(void) {
    for (size_t i = 0; i < sizeof bad_bytes; i++)
        bad_bytes[i] = (uint8_t)(i * 2654435761u >> 13);
    int failed = run_group("mem://", "ipc");
    failed += run_group("mem://", "tcp");
    failed += run_group("local://%s/store", "ipc");
    failed += run_group("local://%s/store", "tcp");
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
