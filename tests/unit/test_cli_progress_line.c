/* test_cli_progress_line.c - the progress line fits every width and tells no lies; the speed forgets. */
#include "progress_line.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "text.h"
#include "trove.h"

#include <string.h>

static const struct cli_progress_view half = {
    .label = "report.pdf",
    .bytes = UINT64_C(150) << 20,
    .total_bytes = UINT64_C(300) << 20,
    .bytes_per_second = 50.0 * 1048576,
    .elapsed_seconds = 3,
};

static void every_width_has_its_pieces(void **state) {
    (void)state;
    static const struct {
        unsigned columns;
        const char *line;
    } rows[] = {
        {0, ""},
        {1, ""},
        {4, ""},
        {5, " 50%"},
        {19, " 50%  50.0 MiB/s"},
        {30, " 50%  50.0 MiB/s  0:03 left"},
        {52, " 50%  150.0 MiB/300.0 MiB  50.0 MiB/s  0:03 left"},
        {62, "report.pdf   50%  150.0 MiB/300.0 MiB  50.0 MiB/s  0:03 left"},
        {80, "report.pdf  [=======>       ]   50%  150.0 MiB/300.0 MiB  50.0 MiB/s  0:03 left"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char line[CLI_PROGRESS_LINE_BYTES];
        cli_progress_render(&half, rows[i].columns, line);
        assert_string_equal(line, rows[i].line);
    }
}

static void a_lost_connection_is_told_instead_of_speed_and_time(void **state) {
    (void)state;
    static const struct {
        unsigned columns;
        const char *line;
    } rows[] = {
        {19, " 50%  reconnecting"},
        {18, " 50%"},
        {60, "report.pdf   50%  150.0 MiB/300.0 MiB  reconnecting"},
    };
    struct cli_progress_view view = half;
    view.reconnecting = true;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char line[CLI_PROGRESS_LINE_BYTES];
        cli_progress_render(&view, rows[i].columns, line);
        assert_string_equal(line, rows[i].line);
    }
}

static void no_width_is_exceeded(void **state) {
    (void)state;
    static const char *const labels[] = {"", "x", "a rather long name of a file that goes on and on.pdf",
                                         "\xE6\x97\xA5\xE6\x9C\xAC\xE8\xAA\x9E\xE6\x97\xA5\xE6\x9C\xAC\xE8\xAA\x9E.txt"};
    for (size_t i = 0; i < sizeof labels / sizeof labels[0]; i++)
        for (unsigned columns = 0; columns < 1000; columns++)
            for (int known = 0; known < 2; known++) {
                struct cli_progress_view view = half;
                view.label = labels[i];
                view.total_bytes = known ? half.total_bytes : TROVE_SIZE_UNKNOWN;
                char line[CLI_PROGRESS_LINE_BYTES];
                cli_progress_render(&view, columns, line);
                assert_true(cli_text_cells(line) <= (columns == 0 ? 0 : columns - 1));
            }
}

static void pipe_has_no_percent(void **state) {
    (void)state;
    struct cli_progress_view view = half;
    view.total_bytes = TROVE_SIZE_UNKNOWN;
    char line[CLI_PROGRESS_LINE_BYTES];
    cli_progress_render(&view, 80, line);
    assert_string_equal(line, "report.pdf  150.0 MiB  50.0 MiB/s  0:03");
}

static void hundred_is_said_only_when_true(void **state) {
    (void)state;
    struct cli_progress_view view = half;
    char line[CLI_PROGRESS_LINE_BYTES];
    view.bytes = view.total_bytes - 1;
    cli_progress_render(&view, 20, line);
    assert_non_null(strstr(line, " 99%"));
    view.bytes = view.total_bytes;
    cli_progress_render(&view, 20, line);
    assert_non_null(strstr(line, "100%"));
    view.bytes = view.total_bytes + 1;
    cli_progress_render(&view, 20, line);
    assert_non_null(strstr(line, "100%"));
    view.bytes = 0;
    view.total_bytes = 0;
    cli_progress_render(&view, 20, line);
    assert_non_null(strstr(line, "100%"));
}

static void no_speed_no_estimate(void **state) {
    (void)state;
    struct cli_progress_view view = half;
    view.bytes_per_second = 0;
    char line[CLI_PROGRESS_LINE_BYTES];
    cli_progress_render(&view, 80, line);
    assert_non_null(strstr(line, "-:-- left"));
}

static void rate_follows_and_forgets(void **state) {
    (void)state;
    struct cli_rate rate = {0};
    cli_rate_add(&rate, 1000, 0);
    assert_true(rate.bytes_per_second < 1);
    cli_rate_add(&rate, 1100, 100);
    assert_true(rate.bytes_per_second > 999 && rate.bytes_per_second < 1001);
    /* The same moment twice is no division by zero. */
    cli_rate_add(&rate, 1100, 5000);
    assert_true(rate.bytes_per_second < 1001);
    /* Nothing for half a minute: next to nothing is left. */
    for (uint64_t now = 1200; now < 31200; now += 100)
        cli_rate_add(&rate, now, 100);
    assert_true(rate.bytes_per_second >= 0 && rate.bytes_per_second < 1);
    /* Bytes taken back are no negative speed. */
    cli_rate_add(&rate, 31300, 0);
    assert_true(rate.bytes_per_second >= 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_width_has_its_pieces),     cmocka_unit_test(a_lost_connection_is_told_instead_of_speed_and_time),
        cmocka_unit_test(no_width_is_exceeded),           cmocka_unit_test(pipe_has_no_percent),
        cmocka_unit_test(hundred_is_said_only_when_true), cmocka_unit_test(no_speed_no_estimate),
        cmocka_unit_test(rate_follows_and_forgets),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
