/* test_cli_failure.c - failures as text and as JSON. */
#include "failure.h"

#include "unit.h"

#include <errno.h>

static void text_says_what_which_and_what_to_do(void **state) {
    (void)state;
    trove_error error;
    cli_error_set(&error, TROVE_NOT_FOUND, "bucket %s doesn't exist", "media");
    const struct cli_failure failure = {.action = "put",
                                        .from = "report.pdf",
                                        .to = "media/report.pdf",
                                        .hint = "make it with 'trove mb media'",
                                        .error = &error};
    char *text = cli_failure_text(&failure);
    assert_string_equal(text, "put report.pdf to media/report.pdf: bucket media doesn't exist (NOT_FOUND); "
                              "make it with 'trove mb media'");
    free(text);
}

/* The library's messages begin with what they are about. */
static void nothing_is_said_twice(void **state) {
    (void)state;
    static const struct {
        const char *message;
        const char *text;
    } rows[] = {
        {"media/k: too large", "put k to media/k: too large (INTERNAL)"},
        {"k: it changed", "put k to media/k: it changed (INTERNAL)"},
        {"media/key: too large", "put k to media/k: media/key: too large (INTERNAL)"},
        {"media/k isn't there", "put k to media/k: media/k isn't there (INTERNAL)"},
        {"kept", "put k to media/k: kept (INTERNAL)"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        trove_error error;
        cli_error_set(&error, TROVE_INTERNAL, "%s", rows[i].message);
        char *text = cli_failure_text(&(struct cli_failure){.action = "put", .from = "k", .to = "media/k", .error = &error});
        assert_string_equal(text, rows[i].text);
        free(text);
    }
}

static void parts_that_are_missing_leave_no_trace(void **state) {
    (void)state;
    trove_error error;
    cli_error_set(&error, TROVE_INTERNAL, "no");
    char *text = cli_failure_text(&(struct cli_failure){.action = "ls", .error = &error});
    assert_string_equal(text, "ls: no (INTERNAL)");
    free(text);
    json_t *json = cli_failure_json(&(struct cli_failure){.action = "ls", .error = &error});
    assert_null(json_object_get(json_object_get(json, "error"), "from"));
    assert_null(json_object_get(json_object_get(json, "error"), "hint"));
    json_decref(json);
}

static void json_is_valid_for_any_bytes(void **state) {
    (void)state;
    trove_error error;
    cli_error_set(&error, TROVE_NOT_FOUND, "no \xFF\x1b[31m");
    json_t *json = cli_failure_json(&(struct cli_failure){.action = "put", .from = "a\xC3(", .error = &error});
    char *text = json_dumps(json, JSON_COMPACT);
    assert_string_equal(text, "{\"error\":{\"action\":\"put\",\"from\":\"a\xEF\xBF\xBD(\",\"status\":\"NOT_FOUND\","
                              "\"message\":\"no \xEF\xBF\xBD\\u001B[31m\",\"exit\":3}}");
    free(text);
    json_decref(json);
}

static void errno_has_the_servers_status(void **state) {
    (void)state;
    static const struct {
        int number;
        trove_status status;
    } rows[] = {
        {ENOENT, TROVE_NOT_FOUND},
        {EACCES, TROVE_PERMISSION_DENIED},
        {ENOSPC, TROVE_RESOURCE_EXHAUSTED},
        {EISDIR, TROVE_FAILED_PRECONDITION},
        {EIO, TROVE_DATA_LOSS},
        {EBADF, TROVE_INTERNAL},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        trove_error error;
        assert_int_equal(cli_error_errno(&error, rows[i].number, "x"), rows[i].status);
        assert_int_equal(error.status, rows[i].status);
        assert_int_equal(strncmp(error.message, "x: ", 3), 0);
    }
}

static void long_messages_are_cut(void **state) {
    (void)state;
    char name[2 * TROVE_ERROR_MESSAGE_BYTES];
    memset(name, 'n', sizeof name - 1);
    name[sizeof name - 1] = 0;
    trove_error error;
    cli_error_errno(&error, ENOENT, "%s", name);
    assert_int_equal(strlen(error.message), TROVE_ERROR_MESSAGE_BYTES - 1);
}

static void a_descriptor_gets_its_name(void **state) {
    (void)state;
    static const struct {
        const char *message;
        const char *named;
    } rows[] = {
        {"b/k: writing to descriptor 6: No space left on device", "b/k: writing to /dev/full: No space left on device"},
        {"b/k: descriptor 6 has taken nothing for 2 s", "b/k: /dev/full has taken nothing for 2 s"},
        {"waiting for descriptor 6", "waiting for /dev/full"},
        {"b/descriptor 6: writing to descriptor 6: it", "b/descriptor 6: writing to /dev/full: it"},
        {"b/k: writing to descriptor 66: it", "b/k: writing to descriptor 66: it"},
        {"b/k: writing to standard output: it", "b/k: writing to standard output: it"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        trove_error error;
        cli_error_set(&error, TROVE_RESOURCE_EXHAUSTED, "%s", rows[i].message);
        cli_error_name_descriptor(&error, 6, "/dev/full");
        assert_string_equal(error.message, rows[i].named);
        assert_int_equal(error.status, TROVE_RESOURCE_EXHAUSTED);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(text_says_what_which_and_what_to_do),
        cmocka_unit_test(nothing_is_said_twice),
        cmocka_unit_test(parts_that_are_missing_leave_no_trace),
        cmocka_unit_test(json_is_valid_for_any_bytes),
        cmocka_unit_test(errno_has_the_servers_status),
        cmocka_unit_test(long_messages_are_cut),
        cmocka_unit_test(a_descriptor_gets_its_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
