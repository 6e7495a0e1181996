/* test_folder.c - folders that could be used, found out without making any. */
#include "folder.h"

#include "scratch.h"
#include "unit.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

static char root[SCRATCH_BYTES];

static int make_root(void **state) {
    (void)state;
    return scratch_make(root) ? 0 : -1;
}

static void path_below(const char *name, char path[static 256]) {
    snprintf(path, 256, "%s%s", root, name);
}

static int remove_root(void **state) {
    (void)state;
    return scratch_remove(root) ? 0 : -1;
}

static void judged(void **state) {
    (void)state;
    static const struct {
        const char *name; /* below the root */
        unsigned missing_max;
        trove_status status;
        const char *named; /* below the root: what the message is about */
    } rows[] = {
        {"", 0, TROVE_OK, ""},
        {"/folder", 0, TROVE_OK, ""},
        {"/folder///", 0, TROVE_OK, ""},
        {"/new", 0, TROVE_NOT_FOUND, "/new doesn't exist"},
        {"/new", 1, TROVE_OK, ""},
        {"/new//", 1, TROVE_OK, ""},
        {"/new/er", 1, TROVE_NOT_FOUND, "/new doesn't exist"},
        {"/new//er/", 1, TROVE_NOT_FOUND, "/new doesn't exist"},
        {"/new/er", 2, TROVE_OK, ""},
        {"/new/er/est", 2, TROVE_NOT_FOUND, "/new doesn't exist"},
        {"/new/er/est", 1000, TROVE_OK, ""},
        {"/file", 0, TROVE_FAILED_PRECONDITION, "/file is no folder"},
        {"/file", 1, TROVE_FAILED_PRECONDITION, "/file is no folder"},
        {"/file/below", 1, TROVE_FAILED_PRECONDITION, "/file is no folder"},
        {"/file/far/below", 1, TROVE_NOT_FOUND, "/file/far doesn't exist"},
    };
    char path[256];
    path_below("/folder", path);
    assert_int_equal(mkdir(path, 0700), 0);
    path_below("/file", path);
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    close(fd);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        trove_error error = {.message = ""};
        char named[256] = "";
        unit_row(rows[i].name);
        path_below(rows[i].name, path);
        if (*rows[i].named != '\0')
            path_below(rows[i].named, named);
        assert_int_equal(tv_folder_check(path, rows[i].missing_max, &error), rows[i].status);
        assert_non_null(strstr(error.message, named));
    }
    path_below("/new", path);
    assert_int_equal(access(path, F_OK), -1);
}

static void the_root_is_a_folder(void **state) {
    (void)state;
    trove_error error;
    assert_int_equal(tv_folder_check("/no-such-folder-anywhere/x", 1, &error), TROVE_NOT_FOUND);
    assert_non_null(strstr(error.message, "/no-such-folder-anywhere doesn't exist"));
    assert_int_not_equal(tv_folder_check("/", 0, NULL), TROVE_NOT_FOUND);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(judged, make_root, remove_root),
        cmocka_unit_test(the_root_is_a_folder),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
