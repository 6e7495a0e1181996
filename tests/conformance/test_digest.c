/* test_digest.c - declared digests as a module: published vectors, in pieces of any size, and what is said when they don't
 * match. */
#include "fixture.h"

#include "digest.h"

#include <stdlib.h>

static uint8_t hex_digit(char digit) {
    return (uint8_t)(digit <= '9' ? digit - '0' : digit - 'a' + 10);
}

static struct tvs_declared_digest declare(enum tvs_digest_kind kind, const char *hex) {
    struct tvs_declared_digest declared = {.kind = kind, .has_value = hex != NULL};
    for (size_t i = 0; hex != NULL && hex[2 * i] != '\0'; i++)
        declared.value[i] = (uint8_t)(hex_digit(hex[2 * i]) << 4 | hex_digit(hex[2 * i + 1]));
    return declared;
}

/* FIPS 180-2, appendix B, and NIST's SHA256ShortMsg; RFC 7693, appendix A, and BLAKE2's own test vectors (blake2b, unkeyed). */
static const struct {
    const char *name;
    enum tvs_digest_kind kind;
    const char *text;
    unsigned times;
    const char *value;
} vectors[] = {
    {"SHA-256 of nothing", TVS_DIGEST_SHA256, "", 1, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
    {"SHA-256 of abc", TVS_DIGEST_SHA256, "abc", 1, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"},
    {"SHA-256 of 56 letters", TVS_DIGEST_SHA256, "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq", 1,
     "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"},
    {"SHA-256 of a million a", TVS_DIGEST_SHA256, "a", 1000000,
     "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0"},
    {"BLAKE2b of nothing", TVS_DIGEST_BLAKE2B, "", 1,
     "786a02f742015903c6c6fd852552d272912f4740e15847618a86e217f71f5419d25e1031afee585313896444934eb04b903a685b1448b755d56f701afe9"
     "be2"
     "ce"},
    {"BLAKE2b of abc", TVS_DIGEST_BLAKE2B, "abc", 1,
     "ba80a53f981c4d0d6a2797b69f12f6e94c212f14685ac4b74b12bb6fdbffa2d17d87c5392aab792dc252d5de4533cc9518d38aa8dbf1925ab92386edd40"
     "099"
     "23"},
};

#define VECTOR_COUNT (sizeof vectors / sizeof *vectors)

static char *vector_bytes(size_t index, size_t *size) {
    size_t length = strlen(vectors[index].text);
    *size = length * vectors[index].times;
    char *bytes = malloc(*size + 1);
    for (unsigned i = 0; i < vectors[index].times; i++)
        memcpy(bytes + i * length, vectors[index].text, length);
    return bytes;
}

static void add_in_pieces(struct tvs_digest *digest, char *bytes, size_t size, size_t piece) {
    for (size_t at = 0; at < size;) {
        struct tv_data data = {.offset = at};
        while (at < size && data.iov_count < 3) {
            size_t here = size - at < piece ? size - at : piece;
            data.iov[data.iov_count++] = (struct iovec){bytes + at, here};
            data.bytes += here;
            at += here;
        }
        tvs_digest_add(digest, &data);
    }
}

static void test_vectors(void **state) {
    (void)state;
    static const size_t pieces[] = {1, 3, 64, 127, 100000, 2000000};
    for (size_t i = 0; i < VECTOR_COUNT; i++) {
        print_message("    %s\n", vectors[i].name);
        size_t size;
        char *bytes = vector_bytes(i, &size);
        struct tvs_declared_digest declared = declare(vectors[i].kind, vectors[i].value);
        for (size_t p = 0; p < sizeof pieces / sizeof *pieces; p++) {
            trove_error error = {0};
            struct tvs_digest *digest = NULL;
            must(tvs_digest_create(&declared, &digest, &error), &error);
            add_in_pieces(digest, bytes, size, pieces[p]);
            must(tvs_digest_check(digest, &error), &error);
            must(tvs_digest_check(digest, &error), &error); /* checking it doesn't end it */
            add_in_pieces(digest, (char[]){'x'}, 1, 1);
            must_fail(tvs_digest_check(digest, &error), TROVE_DATA_LOSS, &error, "declared");
            tvs_digest_restart(digest);
            add_in_pieces(digest, bytes, size, pieces[p]);
            must(tvs_digest_check(digest, &error), &error);
            tvs_digest_destroy(digest);
        }
        free(bytes);
    }
}

static void test_a_mismatch_names_both(void **state) {
    (void)state;
    for (size_t i = 0; i < VECTOR_COUNT; i++) {
        size_t size;
        char *bytes = vector_bytes(i, &size), begins[33];
        struct tvs_declared_digest declared = declare(vectors[i].kind, vectors[i].value);
        declared.value[0] ^= 1;
        trove_error error = {0};
        struct tvs_digest *digest = NULL;
        must(tvs_digest_create(&declared, &digest, &error), &error);
        add_in_pieces(digest, bytes, size, 5000);
        memcpy(begins, vectors[i].value, 32);
        begins[32] = '\0';
        must_fail(tvs_digest_check(digest, &error), TROVE_DATA_LOSS, &error, begins);
        snprintf(begins, sizeof begins, "%02x%.30s", declared.value[0], vectors[i].value + 2);
        assert_non_null(strstr(error.message, begins));
        assert_non_null(strstr(error.message, vectors[i].kind == TVS_DIGEST_SHA256 ? "SHA-256" : "BLAKE2b"));
        tvs_digest_destroy(digest);
        free(bytes);
    }
}

static void test_nothing_declared(void **state) {
    (void)state;
    trove_error error = {0};
    struct tvs_digest *digest = NULL;
    const struct tvs_declared_digest none = {0}, sha256 = declare(TVS_DIGEST_SHA256, vectors[1].value);
    must(tvs_digest_create(NULL, &digest, &error), &error);
    must(tvs_digest_create(&none, &digest, &error), &error);
    assert_null(digest);
    must(tvs_digest_check(NULL, &error), &error);
    must(tvs_digest_expect(NULL, &none, &error), &error);
    must_fail(tvs_digest_expect(NULL, &sha256, &error), TROVE_INVALID_ARGUMENT, &error, "SHA-256");
    must(tvs_digest_check_data(NULL, &(struct tv_data){0}, &error), &error);
    tvs_digest_destroy(NULL);
}

static void test_a_value_that_comes_later(void **state) {
    (void)state;
    for (size_t i = 1; i < VECTOR_COUNT; i += 4) {
        trove_error error = {0};
        struct tvs_digest *digest = NULL;
        struct tvs_declared_digest without = declare(vectors[i].kind, NULL), with = declare(vectors[i].kind, vectors[i].value),
                                   other = with;
        other.kind = with.kind == TVS_DIGEST_SHA256 ? TVS_DIGEST_BLAKE2B : TVS_DIGEST_SHA256;
        must(tvs_digest_create(&without, &digest, &error), &error);
        add_in_pieces(digest, (char[]){'a', 'b', 'c'}, 3, 2);
        must_fail(tvs_digest_check(digest, &error), TROVE_INVALID_ARGUMENT, &error, "never given");
        must_fail(tvs_digest_expect(digest, &other, &error), TROVE_INVALID_ARGUMENT, &error, "SHA-256");
        must(tvs_digest_expect(digest, &without, &error), &error);
        must(tvs_digest_expect(digest, &with, &error), &error);
        must(tvs_digest_expect(digest, &with, &error), &error);
        must(tvs_digest_check(digest, &error), &error);
        other = with;
        other.value[5] ^= 1;
        must_fail(tvs_digest_expect(digest, &other, &error), TROVE_INVALID_ARGUMENT, &error, "at the beginning");
        must(tvs_digest_check(digest, &error), &error);
        tvs_digest_destroy(digest);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_vectors),
        cmocka_unit_test(test_a_mismatch_names_both),
        cmocka_unit_test(test_nothing_declared),
        cmocka_unit_test(test_a_value_that_comes_later),
    };
    return cmocka_run_group_tests_name("declared digests", tests, NULL, NULL);
}
