/* test_cli_upload_record.c - what is remembered of an upload comes back as it was, or not at all. */
#include "unit.h"
#include "upload_record.h"

#include <sodium.h>
#include <string.h>

static const struct cli_upload_record some = {
    .request_id = {1, 2, 3, 0xff, 5},
    .upload_id = "0123456789abcdef0123456789abcdef",
    .how = "fedcba9876543210fedcba9876543210",
    .source = {.size = UINT64_MAX, .modified_ns = 1, .inode = UINT64_C(1) << 63, .device = 0},
};

static void check_equal(const struct cli_upload_record *left, const struct cli_upload_record *right) {
    assert_memory_equal(left->request_id, right->request_id, sizeof left->request_id);
    assert_string_equal(left->upload_id, right->upload_id);
    assert_string_equal(left->how, right->how);
    assert_true(cli_source_mark_equal(&left->source, &right->source));
}

static void written_and_read(void **state) {
    (void)state;
    struct cli_upload_record record = some;
    for (int i = 0; i < 2; i++) {
        char text[CLI_UPLOAD_RECORD_BYTES_MAX];
        struct cli_upload_record read = {0};
        cli_upload_record_write(&record, text);
        assert_true(strlen(text) < CLI_UPLOAD_RECORD_BYTES_MAX / 2);
        assert_true(cli_upload_record_read(text, &read));
        check_equal(&read, &record);
        record.upload_id[0] = 0; /* not known yet */
    }
}

/* Cut off, or with a byte that is another one, anywhere. */
static void damaged(void **state) {
    (void)state;
    char text[CLI_UPLOAD_RECORD_BYTES_MAX];
    struct cli_upload_record read = some;
    cli_upload_record_write(&some, text);
    size_t bytes = strlen(text);
    for (size_t i = 0; i < bytes; i++) {
        char spoilt[CLI_UPLOAD_RECORD_BYTES_MAX];
        memcpy(spoilt, text, bytes + 1);
        spoilt[i] ^= 1;
        assert_false(cli_upload_record_read(spoilt, &read));
        spoilt[i] = 0;
        assert_false(cli_upload_record_read(spoilt, &read));
    }
    text[bytes] = 'x';
    text[bytes + 1] = 0;
    assert_false(cli_upload_record_read(text, &read));
    assert_false(cli_upload_record_read("", &read));
    assert_false(cli_upload_record_read("{}", &read));
    check_equal(&read, &some); /* untouched */
}

/* Of some, with another text for its size, and a check that is right. */
static void with_size(const char *size, char text[CLI_UPLOAD_RECORD_BYTES_MAX]) {
    char record[CLI_UPLOAD_RECORD_BYTES_MAX], check[2 * 16 + 1];
    unsigned char sum[16];
    cli_upload_record_write(&some, record);
    char *at = strstr(record, "18446744073709551615");
    assert_non_null(at);
    char *after = at + strlen("18446744073709551615"), *end = strstr(record, ",\"check\"");
    assert_non_null(end);
    *at = *end = 0;
    int bytes = snprintf(text, CLI_UPLOAD_RECORD_BYTES_MAX, "%s%s%s", record, size, after);
    crypto_generichash(sum, sizeof sum, (const unsigned char *)text, (unsigned long long)bytes, NULL, 0);
    sodium_bin2hex(check, sizeof check, sum, sizeof sum);
    snprintf(text + bytes, CLI_UPLOAD_RECORD_BYTES_MAX - (size_t)bytes, ",\"check\":\"%s\"}\n", check);
}

static void numbers_are_what_they_say(void **state) {
    (void)state;
    static const struct {
        const char *size;
        bool good;
        uint64_t number;
    } rows[] = {{"0", true, 0},
                {"18446744073709551615", true, UINT64_MAX},
                {"18446744073709551616", false, 0},
                {"99999999999999999999999", false, 0},
                {"-1", false, 0},
                {"+1", false, 0},
                {" 1", false, 0},
                {"1 ", false, 0},
                {"1x", false, 0},
                {"0x1", false, 0},
                {"", false, 0}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char text[CLI_UPLOAD_RECORD_BYTES_MAX];
        struct cli_upload_record read = some;
        unit_row(rows[i].size);
        with_size(rows[i].size, text);
        assert_int_equal(cli_upload_record_read(text, &read), rows[i].good);
        if (rows[i].good)
            assert_true(read.source.size == rows[i].number);
        else
            check_equal(&read, &some); /* untouched */
    }
}

static void every_part_of_a_mark_counts(void **state) {
    (void)state;
    for (int i = 0; i < 4; i++) {
        struct cli_source_mark other = some.source;
        uint64_t *const parts[] = {&other.size, &other.modified_ns, &other.inode, &other.device};
        assert_true(cli_source_mark_equal(&other, &some.source));
        *parts[i] ^= 1;
        assert_false(cli_source_mark_equal(&other, &some.source));
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(written_and_read),
        cmocka_unit_test(damaged),
        cmocka_unit_test(numbers_are_what_they_say),
        cmocka_unit_test(every_part_of_a_mark_counts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
