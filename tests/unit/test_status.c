/* test_status.c - codes, messages that are cut at a character, system errors. */
#include "status.h"

#include "unit_abort.h"
#include "utf8.h"

#include <errno.h>

static void codes_are_frozen(void **state) {
    (void)state;
    static const char *const names[] = {
        "OK",        "CANCELLED",       "UNKNOWN",           "INVALID_ARGUMENT",   "DEADLINE_EXCEEDED",
        "NOT_FOUND", "ALREADY_EXISTS",  "PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION",
        "ABORTED",   "OUT_OF_RANGE",    "UNIMPLEMENTED",     "INTERNAL",           "UNAVAILABLE",
        "DATA_LOSS", "UNAUTHENTICATED",
    };
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        assert_string_equal(trove_status_name((trove_status)i), names[i]);
    assert_string_equal(trove_status_name((trove_status)17), "UNKNOWN");
    assert_string_equal(trove_status_name((trove_status)-1), "UNKNOWN");
}

static void sets_and_copies(void **state) {
    (void)state;
    trove_error error, copy;
    assert_int_equal(TV_FAIL(&error, NOT_FOUND, "bucket %s doesn't exist", "b"), TROVE_NOT_FOUND);
    assert_int_equal(error.status, TROVE_NOT_FOUND);
    assert_string_equal(error.message, "bucket b doesn't exist");
    assert_int_equal(TV_FAIL(NULL, ABORTED, "nobody listens"), TROVE_ABORTED);
    assert_int_equal(tv_error_copy(&copy, &error), TROVE_NOT_FOUND);
    assert_string_equal(copy.message, error.message);
    assert_int_equal(tv_error_copy(NULL, &error), TROVE_NOT_FOUND);
    assert_int_equal(tv_error_copy(&error, &error), TROVE_NOT_FOUND);
    assert_string_equal(error.message, "bucket b doesn't exist");
}

/* Around the end of the buffer, with characters of one to four octets there: what stays is whole, and no character is lost that
 * would have fitted. */
static void cuts_long_messages_at_a_character(void **state) {
    (void)state;
    static const char *const characters[] = {"x", "\xC3\xA4", "\xE2\x82\xAC", "\xF0\x9F\x90\x8B"};
    for (size_t c = 0; c < 4; c++)
        for (size_t before = TROVE_ERROR_MESSAGE_BYTES - 8; before <= TROVE_ERROR_MESSAGE_BYTES; before++) {
            char text[TROVE_ERROR_MESSAGE_BYTES + 64];
            memset(text, 'a', before);
            strcpy(text + before, characters[c]);
            strcat(text, "tail");
            trove_error error;
            (void)TV_FAIL(&error, INTERNAL, "%s", text);
            size_t length = strlen(error.message);
            size_t room = TROVE_ERROR_MESSAGE_BYTES - 1;
            assert_true(tv_utf8_valid(error.message, length));
            assert_memory_equal(error.message, text, length);
            size_t whole = before + (c + 1) <= room ? before + (c + 1) : before;
            size_t expected = before + (c + 1) <= room ? (whole + 4 < room ? whole + 4 : room) : whole;
            assert_int_equal(length, expected < room ? expected : room);
        }
}

/* Whatever is put into it, cut by a precision or not. */
static void a_message_is_always_text(void **state) {
    (void)state;
    trove_error error;
    (void)TV_FAIL(&error, ABORTED, "key %.4s is gone", "\xE2\x82\xAC\xE2\x82\xAC");
    assert_string_equal(error.message, "key \xE2\x82\xAC? is gone");
    (void)TV_FAIL(&error, ABORTED, "%s",
                  "Gr\xFC\xDF"
                  "e");
    assert_string_equal(error.message, "Gr??e");
    (void)tv_error_errno(&error, EIO, "reading %.2s", "\xE2\x82\xAC");
    assert_true(tv_utf8_valid(error.message, strlen(error.message)));
}

static void judges_system_errors(void **state) {
    (void)state;
    static const struct {
        int number;
        trove_status status;
        const char *says;
    } rows[] = {
        {ENOSPC, TROVE_RESOURCE_EXHAUSTED, "free some space"},
        {EDQUOT, TROVE_RESOURCE_EXHAUSTED, "quota"},
        {EMFILE, TROVE_RESOURCE_EXHAUSTED, "open files"},
        {ENFILE, TROVE_RESOURCE_EXHAUSTED, "open files"},
        {ENOMEM, TROVE_RESOURCE_EXHAUSTED, "memory"},
        {EFBIG, TROVE_RESOURCE_EXHAUSTED, "too large"},
        {EIO, TROVE_DATA_LOSS, "Input/output"},
        {EACCES, TROVE_PERMISSION_DENIED, "denied"},
        {EPERM, TROVE_PERMISSION_DENIED, "not permitted"},
        {EROFS, TROVE_PERMISSION_DENIED, "read-only"},
        {ENOENT, TROVE_NOT_FOUND, "No such file"},
        {ETIMEDOUT, TROVE_DEADLINE_EXCEEDED, "timed out"},
        {EINVAL, TROVE_INTERNAL, "Invalid argument"},
        {99999, TROVE_INTERNAL, "99999"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        unit_row(rows[i].says);
        trove_error error;
        assert_int_equal(tv_status_from_errno(rows[i].number), rows[i].status);
        assert_int_equal(tv_error_errno(&error, rows[i].number, "writing %s", "f"), rows[i].status);
        assert_int_equal(error.status, rows[i].status);
        assert_int_equal(strncmp(error.message, "writing f: ", 11), 0);
        assert_non_null(strstr(error.message, rows[i].says));
        assert_int_equal(tv_error_errno(NULL, rows[i].number, "writing"), rows[i].status);
    }
}

static void break_an_invariant(void) {
    TV_ASSERT(1 + 1 == 3);
}

static void a_broken_invariant_ends_the_process(void **state) {
    (void)state;
    TV_ASSERT(1 + 1 == 2);
    unit_expect_abort(break_an_invariant);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(codes_are_frozen),
        cmocka_unit_test(sets_and_copies),
        cmocka_unit_test(cuts_long_messages_at_a_character),
        cmocka_unit_test(a_message_is_always_text),
        cmocka_unit_test(judges_system_errors),
        cmocka_unit_test(a_broken_invariant_ends_the_process),
    };
    return cmocka_run_group_tests_name("status", tests, NULL, NULL);
}
