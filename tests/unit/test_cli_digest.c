/* test_cli_digest.c - digests on the command line, and of files. */
#include "digest.h"
#include "unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SHA256_ABC "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
#define BLAKE2B_ABC                                                                                                              \
    "ba80a53f981c4d0d6a2797b69f12f6e94c212f14685ac4b74b12bb6fdbffa2d17d87c5392aab792dc252d5de4533cc9518d38aa8dbf1925ab92386edd4" \
    "009923"

static void what_can_be_given(void **state) {
    (void)state;
    static const struct {
        const char *text;
        bool ok;
        trove_digest_kind kind;
        size_t size;
    } rows[] = {
        {"sha256", true, TROVE_DIGEST_SHA256, 0},
        {"blake2b", true, TROVE_DIGEST_BLAKE2B, 0},
        {"sha256:" SHA256_ABC, true, TROVE_DIGEST_SHA256, 32},
        {"blake2b:" BLAKE2B_ABC, true, TROVE_DIGEST_BLAKE2B, 64},
        {"", false, 0, 0},
        {"md5", false, 0, 0},
        {"sha", false, 0, 0},
        {"sha2567", false, 0, 0},
        {"sha256:", false, 0, 0},
        {"sha256:" SHA256_ABC "00", false, 0, 0},
        {"sha256:xa7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad", false, 0, 0},
        {"blake2b:" SHA256_ABC, false, 0, 0},
        {"sha256:" BLAKE2B_ABC, false, 0, 0},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        trove_digest digest = {.kind = TROVE_DIGEST_NONE};
        assert_int_equal(cli_digest_parse(rows[i].text, &digest), rows[i].ok);
        assert_int_equal(digest.kind, rows[i].kind);
        assert_int_equal(digest.size, rows[i].size);
        char *text = cli_digest_text(&digest);
        if (digest.size > 0)
            assert_string_equal(text, rows[i].text);
        else
            assert_null(text);
        free(text);
    }
}

static void what_is_wrong_is_said(void **state) {
    (void)state;
    static const struct {
        const char *text;
        const char *mistake;
    } rows[] = {
        {"", "its kind is neither sha256 nor blake2b"},
        {"md5:00", "its kind is neither sha256 nor blake2b"},
        {"sha256:", "sha256 has 64 hexadecimal digits, and these are 0"},
        {"sha256:" BLAKE2B_ABC, "sha256 has 64 hexadecimal digits, and these are 128"},
        {"blake2b:" SHA256_ABC, "blake2b has 128 hexadecimal digits, and these are 64"},
        {"sha256:abcx", "character 4 of its value is no hexadecimal digit"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char *mistake = cli_digest_mistake(rows[i].text);
        assert_string_equal(mistake, rows[i].mistake);
        free(mistake);
    }
}

static void of_a_file(void **state) {
    (void)state;
    static const char *const wanted[] = {"sha256:" SHA256_ABC, "blake2b:" BLAKE2B_ABC};
    FILE *file = tmpfile();
    assert_non_null(file);
    int fd = fileno(file);
    assert_int_equal(write(fd, "abcdef", 6), 6);
    for (size_t i = 0; i < 2; i++) {
        trove_error error;
        trove_digest digest = {.kind = i == 0 ? TROVE_DIGEST_SHA256 : TROVE_DIGEST_BLAKE2B};
        assert_int_equal(cli_digest_compute(fd, 3, &digest, &error), TROVE_OK);
        char *text = cli_digest_text(&digest);
        assert_string_equal(text, wanted[i]);
        free(text);
        assert_int_equal(cli_digest_compute(fd, 7, &digest, &error), TROVE_ABORTED);
        assert_int_equal(lseek(fd, 0, SEEK_CUR), 6);
    }
    fclose(file);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_can_be_given),
        cmocka_unit_test(what_is_wrong_is_said),
        cmocka_unit_test(of_a_file),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
