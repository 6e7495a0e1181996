/* test_cli_text.c - names of others can't do anything to a terminal, and JSON is always UTF-8. */
#include "text.h"

#include "unit.h"

static const struct {
    const char *name;
    const char *text;
    const char *escaped;
    const char *utf8;
} rows[] = {
    {"plain", "report.pdf", "report.pdf", "report.pdf"},
    {"empty", "", "", ""},
    {"accent", "caf\xC3\xA9", "caf\xC3\xA9", "caf\xC3\xA9"},
    {"emoji", "\xF0\x9F\x98\x80", "\xF0\x9F\x98\x80", "\xF0\x9F\x98\x80"},
    {"colour", "\x1b[31m", "\\x1b[31m", "\x1b[31m"},
    {"newline", "a\nb\r\t", "a\\x0ab\\x0d\\x09", "a\nb\r\t"},
    {"delete", "\x7f", "\\x7f", "\x7f"},
    {"C1 as UTF-8",
     "\xC2\x9B"
     "31m",
     "\\u{9b}31m",
     "\xC2\x9B"
     "31m"},
    {"C1 as byte",
     "\x9B"
     "31m",
     "\\x9b31m",
     "\xEF\xBF\xBD"
     "31m"},
    /* NOLINTNEXTLINE(misc-misleading-bidirectional): that is what it is about */
    {"direction", "\xE2\x80\xAEtxt", "\\u{202e}txt", "\xE2\x80\xAEtxt"},
    {"line separator", "\xE2\x80\xA8", "\\u{2028}", "\xE2\x80\xA8"},
    {"cut short", "\xE2\x82", "\\xe2\\x82", "\xEF\xBF\xBD\xEF\xBF\xBD"},
    {"overlong", "\xC0\xAF", "\\xc0\\xaf", "\xEF\xBF\xBD\xEF\xBF\xBD"},
    {"overlong of three", "\xE0\x80\xAF", "\\xe0\\x80\\xaf", "\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD"},
    {"surrogate", "\xED\xA0\x80", "\\xed\\xa0\\x80", "\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD"},
    {"too large", "\xF4\x90\x80\x80", "\\xf4\\x90\\x80\\x80", "\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD"},
};

static void escapes(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        unit_row(rows[i].name);
        char *escaped = cli_text_escape(rows[i].text);
        assert_string_equal(escaped, rows[i].escaped);
        free(escaped);
    }
}

static void replaces(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        unit_row(rows[i].name);
        char *utf8 = cli_text_to_utf8(rows[i].text);
        assert_string_equal(utf8, rows[i].utf8);
        free(utf8);
    }
}

static void fits_whole_characters(void **state) {
    (void)state;
    const char *text = "a\xC3\xA9"
                       "b"; /* 1, 2 and 1 cells */
    static const size_t bytes[] = {0, 1, 1, 3, 4, 4};
    for (size_t cells = 0; cells < sizeof bytes / sizeof bytes[0]; cells++)
        assert_int_equal(cli_text_fit(text, cells), bytes[cells]);
    assert_int_equal(cli_text_cells(text), 4);
}

static void arrays_grow(void **state) {
    (void)state;
    size_t room = 0;
    int *numbers = NULL;
    for (size_t i = 0; i < 1000; i++) {
        numbers = cli_grow(numbers, &room, i + 1, sizeof *numbers);
        assert_true(room > i);
        numbers[i] = (int)i;
    }
    for (size_t i = 0; i < 1000; i++)
        assert_int_equal(numbers[i], i);
    free(numbers);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(escapes),
        cmocka_unit_test(replaces),
        cmocka_unit_test(fits_whole_characters),
        cmocka_unit_test(arrays_grow),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
