/* test_cli_parse.c - values of the command line. */
#include "parse.h"

#include "unit.h"

static void sizes(void **state) {
    (void)state;
    static const struct {
        const char *text;
        bool ok;
        uint64_t bytes;
    } rows[] = {
        {"0", true, 0},
        {"1", true, 1},
        {"17B", true, 17},
        {"256K", true, 262144},
        {"256k", true, 262144},
        {"1M", true, 1048576},
        {"4MiB", true, 4194304},
        {"4mib", true, 4194304},
        {"1KB", true, 1000},
        {"2GB", true, 2000000000},
        {"1T", true, UINT64_C(1) << 40},
        {"18446744073709551615", true, UINT64_MAX},
        {"18446744073709551616", false, 0},
        {"16777215T", true, UINT64_C(16777215) << 40},
        {"16777216T", false, 0},
        {"", false, 0},
        {"K", false, 0},
        {"-1", false, 0},
        {"+1", false, 0},
        {" 1", false, 0},
        {"1 K", false, 0},
        {"1.5M", false, 0},
        {"1X", false, 0},
        {"1KiBB", false, 0},
        {"0x10", false, 0},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        unit_row(rows[i].text);
        uint64_t bytes = 4711;
        assert_int_equal(cli_parse_size(rows[i].text, &bytes), rows[i].ok);
        assert_int_equal(bytes, rows[i].ok ? rows[i].bytes : 4711);
    }
}

static void ranges(void **state) {
    (void)state;
    static const struct {
        const char *text;
        const char *mistake; /* NULL: none */
        struct cli_range range;
    } rows[] = {
        {"0-0", NULL, {false, 0, 1}},
        {"0-499", NULL, {false, 0, 500}},
        {"100-149", NULL, {false, 100, 50}},
        {"100+50", NULL, {false, 100, 50}},
        {"100-", NULL, {false, 100, UINT64_MAX}},
        {"-5", NULL, {true, 0, 5}},
        {"-1MB", NULL, {true, 0, 1000000}},
        {"4M+64K", NULL, {false, 4194304, 65536}},
        {"1KB-1KiB", NULL, {false, 1000, 25}},
        {"18446744073709551614+1", NULL, {false, UINT64_MAX - 1, 1}},
        {"18446744073709551614-18446744073709551614", NULL, {false, UINT64_MAX - 1, 1}},
        {"18446744073709551614+2", "it ends beyond 64 bits", {0}},
        {"0-18446744073709551615", "it is too long", {0}},
        {"0-18446744073709551614", "it ends beyond 64 bits", {0}},
        {"1-18446744073709551615", "it ends beyond 64 bits", {0}},
        {"0+18446744073709551615", "it ends beyond 64 bits", {0}},
        {"0-18446744073709551616", "TO is no size", {0}},
        {"-18446744073709551615", "it is too long", {0}},
        {"5-4", "TO is before FROM", {0}},
        {"0+0", "it has no bytes", {0}},
        {"-0", "it has no bytes", {0}},
        {"5", "there is no '-' or '+' in it", {0}},
        {"", "there is no '-' or '+' in it", {0}},
        {"-", "SUFFIX is no size", {0}},
        {"+", "FROM is no size", {0}},
        {"+5", "FROM is no size", {0}},
        {"5+", "LENGTH is no size", {0}},
        {"1-2-3", "TO is no size", {0}},
        {"1--2", "TO is no size", {0}},
        {"a-b", "FROM is no size", {0}},
        {"00000000000000000000000000000000000001-1", "FROM is too long", {0}},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        unit_row(rows[i].text);
        struct cli_range range = {false, 4711, 4712};
        const char *mistake = cli_parse_range(rows[i].text, &range);
        if (rows[i].mistake != NULL) {
            assert_string_equal(mistake, rows[i].mistake);
            assert_int_equal(range.offset, 4711);
            continue;
        }
        assert_null(mistake);
        assert_int_equal(range.from_end, rows[i].range.from_end);
        assert_int_equal(range.offset, rows[i].range.offset);
        assert_int_equal(range.length, rows[i].range.length);
    }
}

static void seconds(void **state) {
    (void)state;
    static const struct {
        const char *text;
        bool ok;
        uint32_t milliseconds;
    } rows[] = {
        {"1", true, 1000},
        {"30", true, 30000},
        {"0.25", true, 250},
        {"0.001", true, 1},
        {"1.5", true, 1500},
        {"2.050", true, 2050},
        {"1000000", true, 1000000000},
        {"1000000.001", false, 0},
        {"1000001", false, 0},
        {"0", false, 0},
        {"0.000", false, 0},
        {"0.0001", false, 0},
        {"1.", false, 0},
        {".5", false, 0},
        {"-1", false, 0},
        {"1s", false, 0},
        {"", false, 0},
        {"99999999999999999999", false, 0},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        unit_row(rows[i].text);
        uint32_t milliseconds = 4711;
        assert_int_equal(cli_parse_seconds(rows[i].text, &milliseconds), rows[i].ok);
        assert_int_equal(milliseconds, rows[i].ok ? rows[i].milliseconds : 4711);
    }
}

static void counts(void **state) {
    (void)state;
    static const struct {
        const char *text;
        bool ok;
        uint64_t value;
    } rows[] = {
        {"0", false, 0}, {"1", true, 1}, {"64", true, 64}, {"65", false, 0}, {"", false, 0}, {"4K", false, 0}, {"-1", false, 0},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        unit_row(rows[i].text);
        uint64_t value = 4711;
        assert_int_equal(cli_parse_count(rows[i].text, 1, 64, &value), rows[i].ok);
        assert_int_equal(value, rows[i].ok ? rows[i].value : 4711);
    }
}

static void etags(void **state) {
    (void)state;
    static const struct {
        const char *text;
        bool ok;
    } rows[] = {
        {"0123456789abcdef0123456789abcdef", true},
        {"0123456789abcdef0123456789abcde", false},
        {"0123456789abcdef0123456789abcdef0", false},
        {"0123456789ABCDEF0123456789ABCDEF", false},
        {"0123456789abcdeg0123456789abcdef", false},
        {"\"0123456789abcdef0123456789abcdef\"", false},
        {"", false},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        unit_row(rows[i].text);
        assert_int_equal(cli_parse_etag(rows[i].text), rows[i].ok);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sizes),  cmocka_unit_test(ranges), cmocka_unit_test(seconds),
        cmocka_unit_test(counts), cmocka_unit_test(etags),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
