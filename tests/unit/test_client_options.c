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

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_older_program),
        cmocka_unit_test(test_newer_program),
        cmocka_unit_test(test_never_set_up),
        cmocka_unit_test(test_no_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
