/* test_client_options.c - options as the library takes them from programs: of an older or a newer trove.h. */
#include "unit.h"

#include "options.h"

/* A structure that ends before `client_pool`, as an older trove.h may have had it. */
static void test_older_program(void **state) {
    (void)state;
    trove_stream_options given;
    trove_stream_options taken;
    trove_error error;
    trove_stream_options_init(&given);
    given.chunk_bytes = 12345;
    given.client_pool = (trove_pool *)&given; /* what lies behind the program's structure isn't looked at */
    given.struct_bytes = offsetof(trove_stream_options, client_pool);
    assert_int_equal(tvc_stream_options_copy(&given, &taken, &error), TROVE_OK);
    assert_int_equal(taken.chunk_bytes, 12345);
    assert_null(taken.client_pool);
    /* A copy that is given on is whole, whatever it was made from. */
    trove_stream_options again;
    taken.client_pool = (trove_pool *)&given;
    assert_int_equal(tvc_stream_options_copy(&taken, &again, &error), TROVE_OK);
    assert_int_equal(again.chunk_bytes, 12345);
    assert_ptr_equal(again.client_pool, &given);
}

static void test_newer_program(void **state) {
    (void)state;
    struct {
        trove_stream_options known;
        uint64_t later;
    } given;
    trove_stream_options taken;
    trove_error error;
    trove_stream_options_init(&given.known);
    given.known.struct_bytes = sizeof given;
    given.known.chunk_bytes = 12345;
    given.later = 1;
    assert_int_equal(tvc_stream_options_copy(&given.known, &taken, &error), TROVE_OK);
    assert_int_equal(taken.chunk_bytes, 12345);
    assert_int_equal(taken.struct_bytes, sizeof taken);
}

static void test_never_set_up(void **state) {
    (void)state;
    const trove_stream_options given = {.chunk_bytes = 12345};
    trove_stream_options taken;
    trove_error error;
    assert_int_equal(tvc_stream_options_copy(&given, &taken, &error), TROVE_INVALID_ARGUMENT);
    assert_non_null(strstr(error.message, "trove_stream_options_init"));
}

/* A program that leaves one of these 0, as all other times say "the default", gets it. */
static void test_no_time(void **state) {
    (void)state;
    trove_client_options given;
    trove_client_options defaults;
    trove_client_options taken;
    trove_error error;
    trove_client_options_init(&defaults);
    given = defaults;
    given.connect_timeout_ms = given.call_timeout_ms = given.keepalive_ms = 0;
    assert_int_equal(tvc_client_options_take(&given, &taken, &error), TROVE_OK);
    assert_int_equal(taken.connect_timeout_ms, defaults.connect_timeout_ms);
    assert_int_equal(taken.call_timeout_ms, defaults.call_timeout_ms);
    assert_int_equal(taken.keepalive_ms, defaults.keepalive_ms);
    given.connect_timeout_ms = given.call_timeout_ms = 1;
    given.keepalive_ms = 1000;
    assert_int_equal(tvc_client_options_take(&given, &taken, &error), TROVE_OK);
    assert_int_equal(taken.connect_timeout_ms, 1);
    assert_int_equal(taken.call_timeout_ms, 1);
    assert_int_equal(taken.keepalive_ms, 1000);
    given.keepalive_ms = 999; /* looking once a second, a client would give up before it asks */
    assert_int_equal(tvc_client_options_take(&given, &taken, &error), TROVE_INVALID_ARGUMENT);
    assert_non_null(strstr(error.message, "999"));
}

static const struct {
    uint32_t given;
    uint32_t taken;
} retries[] = {{0, 60000}, {1, 1}, {60000, 60000}, {TROVE_NO_RETRY, TROVE_NO_RETRY}, {TROVE_NO_TIMEOUT, TROVE_NO_TIMEOUT}};

static void test_retry(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof retries / sizeof retries[0]; i++) {
        trove_client_options given;
        trove_client_options taken;
        trove_error error;
        trove_client_options_init(&given);
        given.retry_for_ms = retries[i].given;
        assert_int_equal(tvc_client_options_take(&given, &taken, &error), TROVE_OK);
        assert_int_equal(taken.retry_for_ms, retries[i].taken);
    }
}

#define ID "0123456789abcdef0123456789abcdef"

static const uint8_t request[TROVE_REQUEST_ID_BYTES];

/* What a resumable stream may have. */
static const struct {
    const char *name;
    trove_direction direction;
    bool resumable;
    const char *upload_id;
    const uint8_t *request_id;
    uint64_t keep_bytes;
    trove_backpressure backpressure;
    bool ok;
} resumables[] = {
    {"an upload", TROVE_DIRECTION_UPLOAD, true, NULL, NULL, 0, TROVE_BACKPRESSURE_BLOCK, true},
    {"with all", TROVE_DIRECTION_UPLOAD, true, NULL, request, 65536, TROVE_BACKPRESSURE_ADAPTIVE, true},
    {"an upload that goes on", TROVE_DIRECTION_UPLOAD, true, ID, NULL, 0, TROVE_BACKPRESSURE_BLOCK, true},
    {"the same without saying so", TROVE_DIRECTION_UPLOAD, false, ID, NULL, 0, TROVE_BACKPRESSURE_BLOCK, true},
    {"a download", TROVE_DIRECTION_DOWNLOAD, true, NULL, NULL, 0, TROVE_BACKPRESSURE_BLOCK, true},
    {"a download with an id", TROVE_DIRECTION_DOWNLOAD, true, ID, NULL, 0, TROVE_BACKPRESSURE_BLOCK, false},
    {"a download that keeps", TROVE_DIRECTION_DOWNLOAD, true, NULL, NULL, 65536, TROVE_BACKPRESSURE_BLOCK, false},
    {"two ways", TROVE_DIRECTION_BIDI, true, NULL, NULL, 0, TROVE_BACKPRESSURE_BLOCK, false},
    {"both ids", TROVE_DIRECTION_UPLOAD, true, ID, request, 0, TROVE_BACKPRESSURE_BLOCK, false},
    {"a short id", TROVE_DIRECTION_UPLOAD, true, "0123456789abcdef0123456789abcde", NULL, 0, TROVE_BACKPRESSURE_BLOCK, false},
    {"a long id", TROVE_DIRECTION_UPLOAD, true, ID "0", NULL, 0, TROVE_BACKPRESSURE_BLOCK, false},
    {"an id of no digits", TROVE_DIRECTION_UPLOAD, true, "0123456789abcdef0123456789abcdeg", NULL, 0, TROVE_BACKPRESSURE_BLOCK,
     false},
    {"little to keep", TROVE_DIRECTION_UPLOAD, true, NULL, NULL, 65535, TROVE_BACKPRESSURE_BLOCK, false},
    {"an overflow", TROVE_DIRECTION_UPLOAD, true, NULL, NULL, 0, TROVE_BACKPRESSURE_BUFFER, false},
    {"a request of no resumable one", TROVE_DIRECTION_UPLOAD, false, NULL, request, 0, TROVE_BACKPRESSURE_BLOCK, false},
};

static void test_resumable(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof resumables / sizeof resumables[0]; i++) {
        trove_stream_options given;
        trove_stream_options taken;
        trove_error error;
        trove_stream_options_init(&given);
        given.resumable = resumables[i].resumable;
        given.upload_id = resumables[i].upload_id;
        given.request_id = resumables[i].request_id;
        given.keep_bytes = resumables[i].keep_bytes;
        given.backpressure = resumables[i].backpressure;
        assert_int_equal(tvc_stream_options_take(&given, &taken, &error), TROVE_OK);
        trove_status status = tvc_stream_options_check(&taken, resumables[i].direction, &error);
        if (status != (resumables[i].ok ? TROVE_OK : TROVE_INVALID_ARGUMENT))
            fail_msg("%s: %s", resumables[i].name, trove_status_name(status));
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_older_program), cmocka_unit_test(test_newer_program), cmocka_unit_test(test_never_set_up),
        cmocka_unit_test(test_no_time),       cmocka_unit_test(test_retry),         cmocka_unit_test(test_resumable),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
