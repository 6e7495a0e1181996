/* Sizes, times and counts of the config: what is taken, what isn't, and the way back. */
#include "unit.h"
#include "units.h"

static void bytes_are_parsed(void **state) {
    (void)state;
    static const struct {
        const char *text;
        uint64_t bytes;
    } good[] = {
        {"0B", 0},
        {"1B", 1},
        {"256MiB", UINT64_C(268435456)},
        {"007KiB", 7168},
        {"1GiB", UINT64_C(1) << 30},
        {"10KB", 10000},
        {"20MB", 20000000},
        {"3GB", UINT64_C(3000000000)},
        {"18446744TB", UINT64_C(18446744000000000000)},
        {"16777215TiB", UINT64_C(16777215) << 40},
        {"18446744073709551615B", UINT64_MAX},
    };
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        uint64_t bytes = 42;
        unit_row(good[i].text);
        assert_int_equal(tvs_parse_bytes(good[i].text, &bytes, NULL), TROVE_OK);
        assert_true(bytes == good[i].bytes);
    }
    static const char *const bad[] = {
        "",           "256", "MiB",    "-1MiB", "+1MiB", " 1MiB", "1MiB ",  "1 MiB",       "1mib",
        "1mb",        "1M",  "1.5GiB", "0x1B",  "1e3B",  "1MiBB", "1MiB\n", "16777216TiB", "18446744073709551616B",
        "18446745TB", "1kB",
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        uint64_t bytes = 42;
        trove_error error;
        unit_row(bad[i]);
        assert_int_equal(tvs_parse_bytes(bad[i], &bytes, &error), TROVE_INVALID_ARGUMENT);
        assert_true(bytes == 42);
        assert_non_null(strstr(error.message, "256MiB"));
    }
}

static void times_are_parsed(void **state) {
    (void)state;
    static const struct {
        const char *text;
        uint32_t milliseconds;
    } good[] = {
        {"0ms", 0},
        {"500ms", 500},
        {"5s", 5000},
        {"5m", 300000},
        {"1h", 3600000},
        {"4294967295ms", UINT32_MAX},
        {"1193h", 4294800000U},
    };
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        uint32_t milliseconds = 42;
        unit_row(good[i].text);
        assert_int_equal(tvs_parse_ms(good[i].text, &milliseconds, NULL), TROVE_OK);
        assert_int_equal(milliseconds, good[i].milliseconds);
    }
    static const char *const bad[] = {"",     "5",  "s",  "-5s",          "5 s",   "0.5s",
                                      "5sec", "5S", "1d", "4294967296ms", "1194h", "99999999999999999999s"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        uint32_t milliseconds = 42;
        unit_row(bad[i]);
        assert_int_equal(tvs_parse_ms(bad[i], &milliseconds, NULL), TROVE_INVALID_ARGUMENT);
        assert_int_equal(milliseconds, 42);
    }
}

static void counts_are_parsed(void **state) {
    (void)state;
    uint32_t count = 42;
    assert_int_equal(tvs_parse_count("4294967295", &count, NULL), TROVE_OK);
    assert_int_equal(count, UINT32_MAX);
    assert_int_equal(tvs_parse_count("010", &count, NULL), TROVE_OK);
    assert_int_equal(count, 10);
    static const char *const bad[] = {"", "-1", "+1", " 1", "1 ", "0x10", "1k", "4294967296", "one"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        unit_row(bad[i]);
        assert_int_equal(tvs_parse_count(bad[i], &count, NULL), TROVE_INVALID_ARGUMENT);
        assert_int_equal(count, 10);
    }
}

static void the_way_back_is_exact(void **state) {
    (void)state;
    static const struct {
        uint64_t value;
        const char *bytes;
        const char *time;
    } rows[] = {
        {0, "0B", "0ms"},
        {1023, "1023B", "1023ms"},
        {1024, "1KiB", "1024ms"},
        {90000, "90000B", "90s"},
        {UINT64_C(256) << 20, "256MiB", "268435456ms"},
        {3600000, "3600000B", "1h"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char text[32];
        tvs_format_bytes(rows[i].value, text);
        assert_string_equal(text, rows[i].bytes);
        tvs_format_ms(rows[i].value, text);
        assert_string_equal(text, rows[i].time);
    }
    uint64_t random = unit_seed();
    for (int i = 0; i < 10000; i++) {
        uint64_t value = unit_random(&random) >> unit_random(&random) % 64 << unit_random(&random) % 32;
        uint64_t back = 0;
        char text[32];
        tvs_format_bytes(value, text);
        assert_int_equal(tvs_parse_bytes(text, &back, NULL), TROVE_OK);
        assert_true(back == value);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bytes_are_parsed),
        cmocka_unit_test(times_are_parsed),
        cmocka_unit_test(counts_are_parsed),
        cmocka_unit_test(the_way_back_is_exact),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
