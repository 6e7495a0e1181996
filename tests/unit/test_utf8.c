/* test_utf8.c - what is UTF-8, and text that is made so. */
#include "utf8.h"

#include "unit.h"

static void judges_utf8(void **state) {
    (void)state;
    static const struct {
        const char *name;
        const char *text;
        size_t bytes;
        bool valid;
    } rows[] = {
#define ROW(name, text, valid) {name, text, sizeof text - 1, valid}
        ROW("nothing", "", true),
        ROW("ASCII", "photos/2024.jpg", true),
        ROW("control characters", "\x01\x1F\x7F", true),
        ROW("a NUL", "a\0b", false),
        ROW("two octets, the first", "\xC2\x80", true),
        ROW("two octets, the last", "\xDF\xBF", true),
        ROW("an overlong slash", "\xC0\xAF", false),
        ROW("an overlong NUL", "\xC0\x80", false),
        ROW("overlong in two octets, the last", "\xC1\xBF", false),
        ROW("three octets, the first", "\xE0\xA0\x80", true),
        ROW("overlong in three octets, the last", "\xE0\x9F\xBF", false),
        ROW("before the surrogates", "\xED\x9F\xBF", true),
        ROW("the first surrogate", "\xED\xA0\x80", false),
        ROW("the last surrogate", "\xED\xBF\xBF", false),
        ROW("after the surrogates", "\xEE\x80\x80", true),
        ROW("three octets, the last", "\xEF\xBF\xBF", true),
        ROW("four octets, the first", "\xF0\x90\x80\x80", true),
        ROW("overlong in four octets, the last", "\xF0\x8F\xBF\xBF", false),
        ROW("U+10FFFF", "\xF4\x8F\xBF\xBF", true),
        ROW("U+110000", "\xF4\x90\x80\x80", false),
        ROW("a lead of F5", "\xF5\x80\x80\x80", false),
        ROW("a lead of FF", "\xFF", false),
        ROW("a continuation alone", "\x80", false),
        ROW("two octets cut off", "\xC3", false),
        ROW("three octets cut off", "\xE2\x82", false),
        ROW("four octets cut off", "\xF0\x9F\x90", false),
        ROW("a lead where a continuation belongs", "\xE2\x82\xC3", false),
        ROW("ASCII where a continuation belongs", "\xC3(", false),
        ROW("bad at the end only", "abc\xC3\xA9\xFF", false),
#undef ROW
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        unit_row(rows[i].name);
        char *text = unit_copy(rows[i].text, rows[i].bytes);
        assert_int_equal(tv_utf8_valid(text, rows[i].bytes), rows[i].valid);
        free(text);
    }
}

/* Every code point, encoded by the book. */
static void takes_every_character(void **state) {
    (void)state;
    for (uint32_t c = 1; c < 0x110000; c++) {
        char text[4];
        size_t bytes = c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
        static const unsigned char leads[] = {0, 0, 0xC0, 0xE0, 0xF0};
        for (size_t i = bytes - 1; i > 0; i--)
            text[i] = (char)(0x80 | (c >> (6 * (bytes - 1 - i)) & 0x3F));
        text[0] = (char)(leads[bytes] | c >> (6 * (bytes - 1)));
        bool surrogate = c >= 0xD800 && c <= 0xDFFF;
        if (tv_utf8_valid(text, bytes) == surrogate)
            fail_msg("U+%04X", c);
    }
}

static void scrubs(void **state) {
    (void)state;
    static const struct {
        const char *name;
        const char *text;
        const char *scrubbed;
    } rows[] = {
        {"nothing", "", ""},
        {"good text", "a key \xC3\xA4 \xE2\x82\xAC \xF0\x9F\x90\x8B", "a key \xC3\xA4 \xE2\x82\xAC \xF0\x9F\x90\x8B"},
        {"Latin-1",
         "Gr\xFC\xDF"
         "e",
         "Gr??e"},
        {"half a character, then ASCII", "\xE2\x82, b", "??, b"},
        {"half a character, then another", "\xE2\xE2\x82\xAC", "?\xE2\x82\xAC"},
        {"half a character at the end", "a\xF0\x9F\x90", "a???"},
        {"a surrogate", "\xED\xA0\x80", "???"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        unit_row(rows[i].name);
        char *text = unit_copy(rows[i].text, strlen(rows[i].text) + 1);
        tv_utf8_scrub(text);
        assert_string_equal(text, rows[i].scrubbed);
        free(text);
    }
}

/* A room of each size for characters of one to four octets: what is copied is whole, and no character that fits is missing. */
static void copies_whole_characters(void **state) {
    (void)state;
    static const char text[] = "x\xC3\xA4\xE2\x82\xAC\xF0\x9F\x90\x8B";
    static const size_t ends[] = {0, 1, 1, 3, 3, 3, 6, 6, 6, 6, 10};
    for (size_t capacity = 1; capacity <= sizeof text; capacity++) {
        char *copy = malloc(capacity);
        tv_utf8_copy(copy, capacity, text);
        assert_int_equal(strlen(copy), ends[capacity - 1]);
        assert_memory_equal(copy, text, strlen(copy));
        free(copy);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(judges_utf8),
        cmocka_unit_test(takes_every_character),
        cmocka_unit_test(scrubs),
        cmocka_unit_test(copies_whole_characters),
    };
    return cmocka_run_group_tests_name("utf8", tests, NULL, NULL);
}
