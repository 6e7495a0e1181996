/* test_cli_exit.c - the exit codes are a fixed table: scripts rely on the numbers. */
#include "exit.h"

#include "unit.h"

#include "trove.h"

static const struct {
    trove_status status;
    enum cli_exit code;
} expected[] = {
    {TROVE_OK, 0},
    {TROVE_CANCELLED, 11},
    {TROVE_UNKNOWN, 1},
    {TROVE_INVALID_ARGUMENT, 10},
    {TROVE_DEADLINE_EXCEEDED, 8},
    {TROVE_NOT_FOUND, 3},
    {TROVE_ALREADY_EXISTS, 4},
    {TROVE_PERMISSION_DENIED, 5},
    {TROVE_RESOURCE_EXHAUSTED, 6},
    {TROVE_FAILED_PRECONDITION, 4},
    {TROVE_ABORTED, 4},
    {TROVE_OUT_OF_RANGE, 10},
    {TROVE_UNIMPLEMENTED, 1},
    {TROVE_INTERNAL, 1},
    {TROVE_UNAVAILABLE, 7},
    {TROVE_DATA_LOSS, 9},
    {TROVE_UNAUTHENTICATED, 5},
};

static void every_status_has_its_code(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof expected / sizeof expected[0]; i++)
        assert_int_equal(cli_exit_from_status(expected[i].status), expected[i].code);
    assert_int_equal(cli_exit_from_status((trove_status)99), CLI_EXIT_FAILURE);
}

static void worst_is_by_gravity_and_in_any_order(void **state) {
    (void)state;
    const enum cli_exit by_gravity[] = {
        CLI_EXIT_OK,     CLI_EXIT_USAGE,    CLI_EXIT_NOT_FOUND,   CLI_EXIT_INVALID,   CLI_EXIT_CONFLICT, CLI_EXIT_CANCELLED,
        CLI_EXIT_DENIED, CLI_EXIT_DEADLINE, CLI_EXIT_UNAVAILABLE, CLI_EXIT_EXHAUSTED, CLI_EXIT_FAILURE,  CLI_EXIT_DATA_LOSS,
    };
    size_t count = sizeof by_gravity / sizeof by_gravity[0];
    for (size_t i = 0; i < count; i++)
        for (size_t j = 0; j < count; j++)
            assert_int_equal(cli_exit_worst(by_gravity[i], by_gravity[j]), by_gravity[i > j ? i : j]);
}

static void table_names_every_code(void **state) {
    (void)state;
#define CHECK_LINE(name, number, severity, meaning) assert_non_null(strstr(cli_exit_table(), "  " #number "\t" meaning "\n"));
    CLI_EXIT_LIST(CHECK_LINE)
#undef CHECK_LINE
}

/* In the line of the code that it gives, and in no other. */
static void table_names_every_failure(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof expected / sizeof expected[0]; i++) {
        char begin[16];
        unit_row(trove_status_name(expected[i].status));
        if (expected[i].status == TROVE_OK)
            continue;
        snprintf(begin, sizeof begin, "  %d\t", (int)expected[i].code);
        const char *line = strstr(cli_exit_table(), begin);
        const char *name = strstr(cli_exit_table(), trove_status_name(expected[i].status));
        assert_true(line != NULL && name > line && name < strchr(line, '\n'));
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_status_has_its_code),
        cmocka_unit_test(worst_is_by_gravity_and_in_any_order),
        cmocka_unit_test(table_names_every_code),
        cmocka_unit_test(table_names_every_failure),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
