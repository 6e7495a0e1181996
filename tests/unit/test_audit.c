/* The audit log's file: lines come whole and in order, it can be moved away, and what can't be written is counted and said. */
#include "audit.h"
#include "unit.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

struct folder {
    char path[64];
    char file[96];
    char moved[96];
};

static int set_up(void **state) {
    struct folder *folder = calloc(1, sizeof *folder);
    assert_non_null(folder);
    snprintf(folder->path, sizeof folder->path, "/tmp/trove-audit-XXXXXX");
    assert_non_null(mkdtemp(folder->path));
    snprintf(folder->file, sizeof folder->file, "%s/audit.log", folder->path);
    snprintf(folder->moved, sizeof folder->moved, "%s/moved.log", folder->path);
    *state = folder;
    return 0;
}

static int tear_down(void **state) {
    struct folder *folder = *state;
    unlink(folder->file);
    unlink(folder->moved);
    assert_int_equal(rmdir(folder->path), 0);
    free(folder);
    return 0;
}

static struct tvs_audit *create(const char *place) {
    struct tvs_audit *audit = NULL;
    trove_error error = {.message = ""};
    trove_status status = tvs_audit_create(place, &audit, &error);
    assert_string_equal(error.message, "");
    assert_int_equal(status, TROVE_OK);
    return audit;
}

static void write_line(struct tvs_audit *audit, const char *event, uint64_t number, const char *key) {
    struct tvs_audit_line line;
    tvs_audit_begin(&line, event);
    tvs_log_number(&line.line, "n", number);
    tvs_log_text(&line.line, "key", key);
    tvs_audit_end(audit, &line);
}

/* The caller's to free. */
static char *read_file(const char *path) {
    struct stat info;
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    assert_int_equal(fstat(fileno(file), &info), 0);
    char *text = calloc(1, (size_t)info.st_size + 1);
    assert_non_null(text);
    assert_int_equal(fread(text, 1, (size_t)info.st_size, file), info.st_size);
    fclose(file);
    return text;
}

static void lines_come_whole_and_in_order(void **state) {
    struct folder *folder = *state;
    struct stat info;
    struct tvs_audit *audit = create(folder->file);
    enum {
        COUNT = 1000 /* less than what memory holds */
    };
    for (uint64_t i = 0; i < COUNT; i++)
        write_line(audit, "test", i, "a");
    tvs_audit_destroy(audit);
    audit = create(folder->file); /* goes on behind what is there */
    write_line(audit, "test", COUNT, "a");
    tvs_audit_destroy(audit);
    assert_int_equal(stat(folder->file, &info), 0);
    assert_int_equal(info.st_mode & 07777, 0600);
    char *text = read_file(folder->file);
    char *line = text;
    for (uint64_t i = 0; i <= COUNT; i++) {
        char wanted[64];
        char *end = strchr(line, '\n');
        assert_non_null(end);
        snprintf(wanted, sizeof wanted, " msg=audit event=test n=%llu key=a\n", (unsigned long long)i);
        assert_int_equal(strncmp(line, "time=2", 6), 0);
        assert_int_equal(strncmp(strstr(line, " msg="), wanted, strlen(wanted)), 0);
        line = end + 1;
    }
    assert_string_equal(line, "");
    free(text);
}

static void nothing_can_be_forged(void **state) {
    struct folder *folder = *state;
    struct tvs_audit *audit = create(folder->file);
    write_line(audit, "test", 1, "x\ntime=2026 msg=audit event=connect \x1B[2J \xFF\"\r");
    tvs_audit_destroy(audit);
    char *text = read_file(folder->file);
    assert_ptr_equal(strchr(text, '\n'), text + strlen(text) - 1);
    assert_non_null(strstr(text, "key=\"x\\ntime=2026 msg=audit event=connect \\u001b[2J \xEF\xBF\xBD\\\"\\r\"\n"));
    free(text);
}

static void the_longest_names_are_whole(void **state) {
    struct folder *folder = *state;
    char key[1025];
    memset(key, 0x7F, sizeof key - 1); /* each becomes six characters */
    key[sizeof key - 1] = '\0';
    struct tvs_audit *audit = create(folder->file);
    struct tvs_audit_line line;
    tvs_audit_begin(&line, "Objects/Copy");
    tvs_log_text(&line.line, "from_key", key);
    tvs_log_text(&line.line, "to_key", key);
    tvs_audit_end(audit, &line);
    tvs_audit_destroy(audit);
    char *text = read_file(folder->file);
    assert_null(strstr(text, "truncated"));
    assert_true(strlen(text) > (size_t)2 * 6 * 1024);
    free(text);
}

static void a_file_that_was_moved_away_is_made_anew(void **state) {
    struct folder *folder = *state;
    trove_error error;
    struct tvs_audit *audit = create(folder->file);
    write_line(audit, "test", 1, "a");
    assert_int_equal(rename(folder->file, folder->moved), 0);
    assert_int_equal(tvs_audit_reopen(audit, &error), TROVE_OK);
    write_line(audit, "test", 2, "a");
    tvs_audit_destroy(audit);
    char *text = read_file(folder->file);
    assert_non_null(strstr(text, "n=2"));
    free(text);
}

static void what_is_no_file_is_refused(void **state) {
    struct folder *folder = *state;
    struct tvs_audit *audit = NULL;
    trove_error error;
    assert_int_equal(tvs_audit_create(folder->path, &audit, &error), TROVE_FAILED_PRECONDITION);
    assert_int_equal(tvs_audit_create("relative", &audit, &error), TROVE_INVALID_ARGUMENT);
    assert_non_null(strstr(error.message, "neither a path that begins with / nor \"log\""));
    assert_int_equal(tvs_audit_create("/nowhere/at/all", &audit, &error), TROVE_NOT_FOUND);
    assert_int_equal(symlink("/etc/passwd", folder->file), 0);
    assert_int_equal(tvs_audit_create(folder->file, &audit, &error), TROVE_FAILED_PRECONDITION);
    assert_null(audit);
}

/* The disk is full at a small size of the file; memory at a larger one. */
static void what_is_lost_is_counted_and_said(void **state) {
    struct folder *folder = *state;
    struct rlimit before;
    struct rlimit small;
    char key[1000];
    memset(key, 'k', sizeof key - 1);
    key[sizeof key - 1] = '\0';
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    small = before;
    small.rlim_cur = 64 << 10;
    signal(SIGXFSZ, SIG_IGN);
    int null_fd = open("/dev/null", O_WRONLY);
    tvs_log_setup(TVS_LOG_INFO, TVS_LOG_LOGFMT, null_fd); /* it says so in the log */
    struct tvs_audit *audit = create(folder->file);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    enum {
        COUNT = 4096 /* more than fit the memory */
    };
    for (uint64_t i = 0; i < COUNT; i++)
        write_line(audit, "test", i, key);
    assert_int_equal(rename(folder->file, folder->moved), 0);
    trove_error error;
    assert_int_equal(tvs_audit_reopen(audit, &error), TROVE_OK);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    tvs_audit_destroy(audit);
    audit = create(folder->file);
    write_line(audit, "test", COUNT, "end");
    tvs_audit_destroy(audit);
    /* Each line is in one of the files or counted as lost; no line is half. */
    uint64_t lines = 0;
    uint64_t lost = 0;
    const char *const paths[] = {folder->moved, folder->file};
    for (size_t i = 0; i < 2; i++) {
        char *text = read_file(paths[i]);
        for (char *line = text, *end; *line != '\0'; line = end + 1) {
            end = strchr(line, '\n');
            assert_non_null(end);
            *end = '\0';
            assert_int_equal(strncmp(line, "time=2", 6), 0);
            const char *said = strstr(line, " event=lost lines=");
            lost += said != NULL ? strtoull(said + strlen(" event=lost lines="), NULL, 10) : 0;
            lines += said == NULL;
        }
        free(text);
    }
    assert_true(lost > 0);
    assert_int_equal(lines + lost, COUNT + 1);
    tvs_log_setup(TVS_LOG_INFO, TVS_LOG_LOGFMT, STDERR_FILENO);
    close(null_fd);
}

static void the_log_will_do(void **state) {
    (void)state;
    int ends[2];
    char text[512] = "";
    assert_int_equal(pipe(ends), 0);
    tvs_log_setup(TVS_LOG_ERROR, TVS_LOG_JSON, ends[1]);
    struct tvs_audit *audit = create("log");
    write_line(audit, "test", 7, "a");
    trove_error error;
    assert_int_equal(tvs_audit_reopen(audit, &error), TROVE_OK);
    tvs_audit_destroy(audit);
    assert_true(read(ends[0], text, sizeof text - 1) > 0);
    assert_non_null(strstr(text, "\"msg\":\"audit\",\"event\":\"test\",\"n\":7,\"key\":\"a\"}\n"));
    tvs_log_setup(TVS_LOG_INFO, TVS_LOG_LOGFMT, STDERR_FILENO);
    close(ends[0]);
    close(ends[1]);
    tvs_audit_destroy(NULL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(lines_come_whole_and_in_order, set_up, tear_down),
        cmocka_unit_test_setup_teardown(nothing_can_be_forged, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_longest_names_are_whole, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_file_that_was_moved_away_is_made_anew, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_is_no_file_is_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_is_lost_is_counted_and_said, set_up, tear_down),
        cmocka_unit_test(the_log_will_do),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
