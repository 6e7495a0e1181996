/* bad_readers.c - peers that don't read what they are sent, or late: echoes, listings, downloads, answers to controls. See
 * bad_input.h. */
#include "bad_input.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#define CODE(name) TROVE__V1__CODE__##name

/* ---- peers that don't read ---- */

/* Resident memory of the server, in bytes. */
static uint64_t server_memory(void) {
    char path[64];
    unsigned long pages = 0;
    snprintf(path, sizeof path, "/proc/%d/statm", (int)troved_pid(bad_server));
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    assert_int_equal(fscanf(file, "%*u %lu", &pages), 1);
    fclose(file);
    return (uint64_t)pages * (uint64_t)sysconf(_SC_PAGESIZE);
}

/* Sends `bytes` again and again, `times` at most, until the server takes no more while the bystander was served some times.
 * Returns how many bytes it has taken. */
static size_t flood(int fd, const uint8_t *bytes, size_t count, size_t times) {
    size_t sent = 0;
    unsigned refused = 0;
    while (sent < count * times && refused < 50) {
        size_t at = sent % count;
        ssize_t step = send(fd, bytes + at, count - at, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (step > 0) {
            sent += (size_t)step;
            refused = 0;
            continue;
        }
        assert_true(errno == EAGAIN);
        raw_echo(&bad_bystander);
        refused++;
    }
    return sent;
}

/* Room for what the allocator and the sanitizers keep on top. */
#define MEMORY_GROWTH_MAX ((uint64_t)96 << 20)
#define ECHO_BYTES        60000
#define ECHO_COUNT        5000 /* 300 MB */

/* Thousands of echoes without reading one answer; then all the answers are there. */
static void test_never_reads_echoes(void **state) {
    (void)state;
    struct raw_client *client = bad_connect(BAD_WELCOMED);
    struct raw_client one;
    raw_collect(&one, client->type_octet);
    Trove__V1__EchoRequest request = TROVE__V1__ECHO_REQUEST__INIT;
    request.data.data = bad_bytes;
    request.data.len = ECHO_BYTES;
    (void)raw_call(&one, "trove.v1.Server/Echo", &request.base);
    uint64_t before = server_memory();
    size_t sent = flood(client->fd, one.sent, one.sent_bytes, ECHO_COUNT);
    uint64_t after = server_memory();
    print_message("    %zu bytes taken, memory from %llu to %llu\n", sent, (unsigned long long)before, (unsigned long long)after);
    assert_true(sent < one.sent_bytes * ECHO_COUNT);
    assert_true(after < before + MEMORY_GROWTH_MAX);
    /* Now it reads: one answer for each call that went out whole, and for the rest of the one that didn't. */
    size_t calls = sent / one.sent_bytes;
    for (size_t i = 0; i < calls; i++)
        raw_expect_answer(client, 1, RAW_BODY(STATUS));
    size_t rest = sent % one.sent_bytes;
    if (rest > 0) {
        raw_bytes(client, one.sent + rest, one.sent_bytes - rest);
        raw_expect_answer(client, 1, RAW_BODY(STATUS));
    }
    raw_close(&one);
    raw_echo(client);
    raw_expect_end(client);
    bad_check_server(0);
}

#define LONG_KEYS     220
#define LISTING_COUNT 20000
#define LATE_COUNT    300 /* answers of 66 MB in all */
#define CONTROL_COUNT 400000

static void call_with_bucket(const char *method, const char *bucket) {
    Trove__V1__BucketCreateRequest request = TROVE__V1__BUCKET_CREATE_REQUEST__INIT;
    request.bucket = raw_text(bucket);
    uint64_t id = raw_call(&bad_bystander, method, &request.base);
    raw_expect_answer(&bad_bystander, id, RAW_BODY(STATUS));
}

/* A bucket whose listing nearly fills a message: empty objects with long keys. */
static void fill_bucket(const char *bucket, bool remove) {
    char key[1024];
    if (!remove)
        call_with_bucket("trove.v1.Buckets/Create", bucket);
    memset(key, 'k', sizeof key - 1);
    for (unsigned i = 0; i < LONG_KEYS; i++) {
        snprintf(key + 1000, sizeof key - 1000, "%u", i);
        uint64_t id = remove ? bad_send_delete(bucket, key) : bad_send_inline(bucket, key, 0);
        raw_expect_answer(&bad_bystander, id, remove ? RAW_BODY(STATUS) : RAW_BODY(COMPLETED));
    }
    if (remove)
        call_with_bucket("trove.v1.Buckets/Delete", bucket);
}

/* The same with calls whose answers are much larger than they, and come from the workers. */
static void test_never_reads_listings(void **state) {
    (void)state;
    struct raw_client *client = bad_connect(BAD_WELCOMED);
    struct raw_client many;
    fill_bucket("long-keys", false);
    raw_collect(&many, client->type_octet);
    Trove__V1__ObjectListRequest request = TROVE__V1__OBJECT_LIST_REQUEST__INIT;
    request.bucket = raw_text("long-keys");
    for (unsigned i = 0; i < LISTING_COUNT; i++)
        (void)raw_call(&many, "trove.v1.Objects/List", &request.base);
    uint64_t before = server_memory();
    size_t sent = flood(client->fd, many.sent, many.sent_bytes, 1);
    for (unsigned i = 0; i < 200; i++) /* behind the listings that wait for a worker */
        call_with_bucket("trove.v1.Buckets/Create", "bad");
    uint64_t after = server_memory();
    print_message("    %zu of %zu bytes taken, memory from %llu to %llu\n", sent, many.sent_bytes, (unsigned long long)before,
                  (unsigned long long)after);
    assert_true(after < before + MEMORY_GROWTH_MAX);
    raw_close(&many);
    raw_close(client); /* with all of that unread */
    *client = (struct raw_client){.fd = -1};
    fill_bucket("long-keys", true);
    bad_check_server(0);
}

/* Answers that wait for a slow reader do come, each once. */
static void test_reads_listings_late(void **state) {
    (void)state;
    struct raw_client *client = bad_connect(BAD_WELCOMED);
    bool answered[LATE_COUNT + 1] = {false};
    fill_bucket("long-keys", false);
    Trove__V1__ObjectListRequest request = TROVE__V1__OBJECT_LIST_REQUEST__INIT;
    request.bucket = raw_text("long-keys");
    for (unsigned i = 0; i < LATE_COUNT; i++)
        (void)raw_call(client, "trove.v1.Objects/List", &request.base);
    for (unsigned i = 0; i < 50; i++) /* the workers are done with what they do at once */
        call_with_bucket("trove.v1.Buckets/Create", "bad");
    for (unsigned i = 0; i < LATE_COUNT; i++) {
        raw_frame *frame = raw_receive(client);
        assert_non_null(frame);
        assert_int_equal(frame->body_case, RAW_BODY(STATUS));
        assert_int_equal(frame->status->code, CODE(OK));
        assert_in_range(frame->call_id, 1, LATE_COUNT);
        assert_false(answered[frame->call_id]);
        answered[frame->call_id] = true;
        raw_free(frame);
    }
    raw_echo(client);
    raw_expect_end(client);
    fill_bucket("long-keys", true);
    bad_check_server(0);
}

/* A client that takes no larger payloads than it must isn't sent any, however much there is to tell. */
static void test_smallest_payloads(void **state) {
    (void)state;
    struct raw_client *client = bad_connect(BAD_GREETED);
    raw_frame frame = TROVE__V1__FRAME__INIT;
    Trove__V1__Hello hello = TROVE__V1__HELLO__INIT;
    hello.version = 1;
    hello.payload_bytes_max = 262144;
    frame.body_case = RAW_BODY(HELLO);
    frame.hello = &hello;
    raw_send(client, &frame);
    raw_frame *welcome = raw_receive(client);
    assert_non_null(welcome);
    assert_int_equal(welcome->body_case, RAW_BODY(WELCOME));
    assert_int_equal(welcome->welcome->payload_bytes_max, 262144);
    raw_free(welcome);
    fill_bucket("long-keys", false);
    Trove__V1__ObjectListRequest request = TROVE__V1__OBJECT_LIST_REQUEST__INIT;
    request.bucket = raw_text("long-keys");
    (void)raw_call(client, "trove.v1.Objects/List", &request.base);
    raw_frame *answer = raw_receive(client);
    assert_non_null(answer);
    assert_int_equal(answer->status->code, CODE(OK));
    assert_in_range(answer->payload.len, 65537, 262144);
    raw_free(answer);
    raw_expect_end(client);
    fill_bucket("long-keys", true);
    bad_check_server(0);
}

/* Downloads that are never read, more than the budget could carry; others get their turn. */
static void test_never_reads_downloads(void **state) {
    (void)state;
    struct raw_client *client = bad_connect(BAD_WELCOMED);
    Trove__V1__Open open;
    Trove__V1__Chunk chunk;
    raw_init_open(&open, "bad", "large", true);
    open.chunk_bytes = open.demand = 500000;
    uint64_t id = raw_opened_stream(client, &open);
    for (uint64_t i = 0; i < 16; i++) {
        if (i > 0)
            for (bool credit = false; !credit;) {
                raw_frame *frame = raw_receive(client);
                assert_non_null(frame);
                credit = (frame->body_case == RAW_BODY(ACK) && frame->ack->credit > 0) || frame->body_case == RAW_BODY(CREDIT);
                raw_free(frame);
            }
        raw_init_chunk(&chunk, id, i, i * 500000, bad_bytes, 500000);
        chunk.final = i == 15;
        raw_send_chunk(client, id, &chunk, bad_bytes, 500000);
    }
    raw_send_complete(client, id, 16 * 500000, 16);
    raw_expect_answer(client, id, RAW_BODY(COMPLETED));
    raw_init_open(&open, "bad", "large", false);
    open.chunk_bytes = (uint64_t)1 << 20;
    open.channel_chunks = 64;
    open.credit = (uint64_t)1 << 30;
    for (unsigned i = 0; i < 32; i++)
        (void)raw_open_stream(client, &open);
    for (unsigned i = 0; i < 200; i++)
        raw_echo(&bad_bystander);
    raw_close(client);
    *client = (struct raw_client){.fd = -1};
    bad_check_server(1);
    bad_remove("large");
}

/* More controls than answers may be due, for nobody reads them: the stream fails, the connection stays, and nothing is kept. */
static void test_control_flood(void **state) {
    (void)state;
    struct raw_client *client = bad_connect(BAD_WELCOMED);
    struct raw_client many;
    uint64_t id = raw_upload(client);
    const int few = 4096; /* what the system keeps of the answers, or it would take all of them */
    assert_int_equal(setsockopt(client->fd, SOL_SOCKET, SO_RCVBUF, &few, sizeof few), 0);
    raw_collect(&many, client->type_octet);
    for (uint64_t i = 1; i <= CONTROL_COUNT; i++)
        raw_send_control(&many, id, i % 2 == 1 ? TROVE__V1__CONTROL_TYPE__PAUSE : TROVE__V1__CONTROL_TYPE__RESUME, i);
    uint64_t before = server_memory();
    size_t sent = flood(client->fd, many.sent, many.sent_bytes, 1);
    uint64_t after = server_memory();
    print_message("    %zu of %zu bytes taken, memory from %llu to %llu\n", sent, many.sent_bytes, (unsigned long long)before,
                  (unsigned long long)after);
    raw_close(&many);
    assert_true(after < before + MEMORY_GROWTH_MAX);
    for (bool failed = false; !failed;) {
        raw_frame *frame = raw_receive_answer(client);
        assert_non_null(frame);
        assert_true(frame->body_case == RAW_BODY(STATE) || frame->body_case == RAW_BODY(STATUS));
        failed = frame->body_case == RAW_BODY(STATUS);
        assert_true(!failed || frame->status->code == CODE(RESOURCE_EXHAUSTED));
        raw_free(frame);
    }
    raw_close(client);
    *client = (struct raw_client){.fd = -1};
    bad_check_server(0);
}

const struct CMUnitTest bad_reader_tests[] = {
    cmocka_unit_test(test_never_reads_echoes),    cmocka_unit_test(test_never_reads_listings),
    cmocka_unit_test(test_reads_listings_late),   cmocka_unit_test(test_smallest_payloads),
    cmocka_unit_test(test_never_reads_downloads), cmocka_unit_test(test_control_flood),
};
const size_t bad_reader_test_count = sizeof bad_reader_tests / sizeof bad_reader_tests[0];
