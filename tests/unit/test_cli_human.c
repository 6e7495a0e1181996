/* test_cli_human.c - sizes, spans and times for people. */
#include "human.h"

#include "unit.h"

#include <math.h>
#include <time.h>

static void sizes(void **state) {
    (void)state;
    static const struct {
        uint64_t bytes;
        const char *text;
    } rows[] = {
        {0, "0 B"},
        {1023, "1023 B"},
        {1024, "1.0 KiB"},
        {1536, "1.5 KiB"},
        {1048575, "1.0 MiB"}, /* not 1024.0 KiB */
        {1048576, "1.0 MiB"},
        {UINT64_C(300) << 20, "300.0 MiB"},
        {UINT64_C(1) << 40, "1.0 TiB"},
        {UINT64_MAX, "16.0 EiB"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        unit_row(rows[i].text);
        assert_string_equal(cli_human_size(rows[i].bytes).text, rows[i].text);
    }
}

static void spans(void **state) {
    (void)state;
    static const struct {
        double seconds;
        const char *text;
    } rows[] = {
        {0, "0:00"},       {7.4, "0:07"},      {59.6, "1:00"}, {754, "12:34"},  {3600, "1:00:00"},     {86399, "23:59:59"},
        {86400, "1d 00h"}, {352800, "4d 02h"}, {-1, "-:--"},   {1e300, "-:--"}, {(double)NAN, "-:--"}, {(double)INFINITY, "-:--"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        unit_row(rows[i].text);
        assert_string_equal(cli_human_span(rows[i].seconds).text, rows[i].text);
    }
}

static void times(void **state) {
    (void)state;
    const uint64_t moment_ns = UINT64_C(1717155900123456789);
    assert_string_equal(cli_human_time_utc(moment_ns).text, "2024-05-31T11:45:00.123456789Z");
    assert_string_equal(cli_human_time_utc(0).text, "1970-01-01T00:00:00.000000000Z");
    assert_string_equal(cli_human_time_utc(UINT64_MAX).text, "2554-07-21T23:34:33.709551615Z");
    setenv("TZ", "CET-1", 1);
    tzset();
    assert_string_equal(cli_human_time(moment_ns).text, "2024-05-31 12:45:00");
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(sizes), cmocka_unit_test(spans), cmocka_unit_test(times)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
