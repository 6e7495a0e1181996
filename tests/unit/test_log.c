/* Log lines: both formats must stay readable to machines whatever the values are, and nothing may be forged or lost in silence.
 * JSON is judged by jansson; logfmt by a small reader here whose quoted values are JSON strings too. */
#include "log.h"
#include "unit.h"

#include <jansson.h>
#include <unistd.h>

static int pipe_ends[2];
static char output[8192];

static const enum tvs_log_format formats[] = {TVS_LOG_LOGFMT, TVS_LOG_JSON};

static int set_up(void **state) {
    (void)state;
    return pipe(pipe_ends);
}

static int tear_down(void **state) {
    (void)state;
    close(pipe_ends[0]);
    close(pipe_ends[1]);
    return 0;
}

/* What one call of tvs_log_end has written. */
static size_t read_output(void) {
    ssize_t bytes = read(pipe_ends[0], output, sizeof output - 1);
    assert_true(bytes > 0);
    output[bytes] = '\0';
    return (size_t)bytes;
}

/* One logfmt value from *at on; quoted ones are read as JSON strings. The caller's to free. */
static char *logfmt_value(const char **at) {
    if (**at != '"') {
        size_t bytes = strcspn(*at, " \n");
        char *value = strndup(*at, bytes);
        *at += bytes;
        return value;
    }
    const char *end = *at + 1;
    while (*end != '"') {
        assert_true(*end != '\0' && *end != '\n');
        end += *end == '\\' ? 2 : 1;
    }
    json_error_t error;
    json_t *string = json_loadb(*at, (size_t)(end + 1 - *at), JSON_DECODE_ANY, &error);
    assert_non_null(string);
    char *value = strdup(json_string_value(string));
    json_decref(string);
    *at = end + 1;
    return value;
}

/* The line as an object of strings and numbers (logfmt: strings alone). */
static json_t *parse_logfmt(const char *at) {
    json_t *fields = json_object();
    while (*at != '\n') {
        size_t key_bytes = strcspn(at, "= \n");
        assert_int_equal(at[key_bytes], '=');
        char *key = strndup(at, key_bytes);
        at += key_bytes + 1;
        char *value = logfmt_value(&at);
        json_object_set_new(fields, key, json_string(value));
        free(key);
        free(value);
        if (*at == ' ')
            at++;
    }
    assert_int_equal(at[1], '\0');
    return fields;
}

static json_t *parse_line(enum tvs_log_format format) {
    size_t bytes = read_output();
    assert_int_equal(output[bytes - 1], '\n');
    assert_ptr_equal(strchr(output, '\n'), output + bytes - 1);
    if (format == TVS_LOG_LOGFMT)
        return parse_logfmt(output);
    json_error_t error;
    json_t *fields = json_loads(output, JSON_REJECT_DUPLICATES, &error);
    assert_non_null(fields);
    return fields;
}

static const char *text_of(const json_t *fields, const char *key) {
    return json_string_value(json_object_get(fields, key));
}

static json_t *log_value(enum tvs_log_format format, const char *value) {
    struct tvs_log_line line;
    tvs_log_setup(TVS_LOG_DEBUG, format, pipe_ends[1]);
    tvs_log_begin(&line, TVS_LOG_INFO, "said");
    tvs_log_text(&line, "value", value);
    tvs_log_text(&line, "after", "here");
    tvs_log_end(&line);
    return parse_line(format);
}

static void values_come_back(void **state) {
    (void)state;
    static const struct {
        const char *name;
        const char *value;
        const char *logged; /* NULL: the same */
    } rows[] = {
        {"plain", "ipc:///run/trove/troved.sock", NULL},
        {"empty", "", NULL},
        {"blank", "two words", NULL},
        {"equals sign", "a=b", NULL},
        {"quote", "say \"hi\"", NULL},
        {"backslash", "a\\b", NULL},
        {"line feed forges no line", "x\nlevel=error msg=forged", NULL},
        {"carriage return and tab", "a\r\tb", NULL},
        {"escape sequence", "\x1B[2J", NULL},
        {"all C0 controls", "\x01\x02\x03\x04\x05\x06\x07\x08\x0B\x0C\x0E\x0F\x10\x1F", NULL},
        {"DEL", "a\x7F", NULL},
        {"C1 control, in UTF-8", "\xC2\x9B", NULL},
        {"two, three, four bytes", "\xC3\xA4\xE2\x82\xAC\xF0\x9F\x98\x80", NULL},
        {"right-to-left override",
         "gpj.\xE2\x80\xAE" /* NOLINT(misc-misleading-bidirectional): that is what it is about */
         "exe",
         NULL},
        {"line separator",
         "a\xE2\x80\xA8"
         "b",
         NULL},
        {"a lone byte",
         "a\xFF"
         "b",
         "a\xEF\xBF\xBD"
         "b"},
        {"C1 control as a lone byte", "\x9B", "\xEF\xBF\xBD"},
        {"overlong slash", "\xC0\xAF", "\xEF\xBF\xBD\xEF\xBF\xBD"},
        {"surrogate", "\xED\xA0\x80", "\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD"},
        {"cut character at the end", "a\xE2\x82", "a\xEF\xBF\xBD\xEF\xBF\xBD"},
        {"beyond U+10FFFF", "\xF4\x90\x80\x80", "\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD"},
        {"cut character before a quote", "\xF0\x9F\"", "\xEF\xBF\xBD\xEF\xBF\xBD\""},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        unit_row(rows[i].name);
        for (size_t f = 0; f < 2; f++) {
            json_t *fields = log_value(formats[f], rows[i].value);
            assert_string_equal(text_of(fields, "value"), rows[i].logged != NULL ? rows[i].logged : rows[i].value);
            assert_string_equal(text_of(fields, "after"), "here");
            assert_null(json_object_get(fields, "truncated"));
            json_decref(fields);
        }
    }
}

/* What could move a terminal's cursor or reorder what it shows is never written as it is. */
static void output_is_harmless(void **state) {
    (void)state;
    for (size_t f = 0; f < 2; f++) {
        /* NOLINTNEXTLINE(misc-misleading-bidirectional): that is what it is about */
        json_decref(log_value(formats[f], "\x1B[31m\x7F\xC2\x9B\x07\xE2\x80\xAE\xE2\x81\xA6\xE2\x80\xA8\xFF\x9B"));
        for (const char *at = output; at[1] != '\0'; at++) {
            assert_true((unsigned char)*at >= 0x20 && *at != 0x7F);
            assert_false(memcmp(at, "\xC2\x9B", 2) == 0);
        }
        assert_null(strstr(output, "\xE2\x80"));
        assert_null(strstr(output, "\xE2\x81"));
    }
}

static void random_bytes_stay_readable(void **state) {
    (void)state;
    uint64_t random = unit_seed();
    for (int round = 0; round < 2000; round++) {
        char value[64];
        size_t bytes = unit_random(&random) % sizeof value;
        for (size_t i = 0; i < bytes; i++)
            value[i] = (char)(1 + unit_random(&random) % 255);
        value[bytes] = '\0';
        for (size_t f = 0; f < 2; f++)
            json_decref(log_value(formats[f], value));
    }
}

static void a_long_value_is_cut_at_a_character(void **state) {
    (void)state;
    static const struct {
        const char *name;
        const char *unit;
    } rows[] = {{"letters", "a"}, {"quotes", "\""}, {"euro signs", "\xE2\x82\xAC"}, {"controls", "\x01"}, {"bad bytes", "\xFF"}};
    char value[4096];
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        size_t step = strlen(rows[i].unit);
        unit_row(rows[i].name);
        for (size_t at = 0; at + step < sizeof value; at += step)
            memcpy(value + at, rows[i].unit, step + 1);
        for (size_t f = 0; f < 2; f++) {
            json_t *fields = log_value(formats[f], value);
            assert_non_null(json_object_get(fields, "truncated"));
            assert_string_equal(text_of(fields, "after"), "here");
            const char *logged = text_of(fields, "value");
            assert_true(strlen(logged) > 100 && strlen(logged) < 800);
            assert_true(rows[i].unit[0] == '\xFF' || strncmp(logged, value, strlen(logged)) == 0);
            json_decref(fields);
        }
    }
}

/* Every length around every limit: the line ends properly, and says so exactly when something is missing. */
static void a_full_line_ends_properly(void **state) {
    (void)state;
    char value[1024];
    memset(value, 'v', sizeof value);
    for (size_t bytes = 0; bytes < sizeof value; bytes++) {
        value[bytes] = '\0';
        for (size_t f = 0; f < 2; f++) {
            struct tvs_log_line line;
            tvs_log_setup(TVS_LOG_DEBUG, formats[f], pipe_ends[1]);
            tvs_log_begin(&line, TVS_LOG_INFO, "said");
            tvs_log_text(&line, "a", value);
            tvs_log_text(&line, "b", value);
            tvs_log_text(&line, "c", value);
            tvs_log_number(&line, "n", INT64_MAX); /* the largest that jansson takes */
            tvs_log_end(&line);
            json_t *fields = parse_line(formats[f]);
            assert_true(strlen(output) <= sizeof line.own);
            bool whole = json_object_get(fields, "n") != NULL;
            static const char *const keys[] = {"a", "b", "c"};
            for (size_t i = 0; i < 3; i++) {
                const char *logged = text_of(fields, keys[i]);
                whole = whole && logged != NULL && strcmp(logged, value) == 0;
            }
            assert_int_equal(whole, json_object_get(fields, "truncated") == NULL);
            json_decref(fields);
        }
        value[bytes] = 'v';
    }
}

static void a_line_has_its_fields(void **state) {
    (void)state;
    trove_error error;
    (void)TV_FAIL(&error, NOT_FOUND, "bucket \"%s\" doesn't exist", "x");
    struct tvs_log_line line;
    tvs_log_setup(TVS_LOG_DEBUG, TVS_LOG_LOGFMT, pipe_ends[1]);
    tvs_log_begin(&line, TVS_LOG_WARN, "refused");
    tvs_log_number(&line, "stream", 7);
    tvs_log_error(&line, &error);
    tvs_log_end(&line);
    read_output();
    unsigned year;
    assert_int_equal(sscanf(output, "time=%4u-%*2u-%*2uT%*2u:%*2u:%*2u.%*3uZ level=warn", &year), 1);
    assert_true(year >= 2024);
    assert_non_null(
        strstr(output, "Z level=warn msg=refused stream=7 status=NOT_FOUND error=\"bucket \\\"x\\\" doesn't exist\"\n"));
}

static void levels_are_kept_apart(void **state) {
    (void)state;
    tvs_log_setup(TVS_LOG_WARN, TVS_LOG_LOGFMT, pipe_ends[1]);
    assert_false(tvs_log_enabled(TVS_LOG_INFO));
    assert_true(tvs_log_enabled(TVS_LOG_WARN));
    assert_true(tvs_log_enabled(TVS_LOG_ERROR));
    for (int level = TVS_LOG_DEBUG; level <= TVS_LOG_ERROR; level++) {
        struct tvs_log_line line;
        tvs_log_begin(&line, (enum tvs_log_level)level, level < TVS_LOG_WARN ? "quiet" : "heard");
        tvs_log_text(&line, "key", "value");
        tvs_log_number(&line, "number", 1);
        tvs_log_end(&line);
    }
    read_output();
    assert_null(strstr(output, "quiet"));
    assert_non_null(strstr(output, "level=warn msg=heard key=value number=1\n"));
    assert_non_null(strstr(output, "level=error msg=heard"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(values_come_back, set_up, tear_down),
        cmocka_unit_test_setup_teardown(output_is_harmless, set_up, tear_down),
        cmocka_unit_test_setup_teardown(random_bytes_stay_readable, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_long_value_is_cut_at_a_character, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_full_line_ends_properly, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_line_has_its_fields, set_up, tear_down),
        cmocka_unit_test_setup_teardown(levels_are_kept_apart, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
