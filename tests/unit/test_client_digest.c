/* test_client_digest.c - declared digests: kinds, sizes, values of known texts, in one piece and in many. */
#include "digest.h"
#include "unit.h"

static const struct {
    const char *name;
    trove_digest_kind kind;
    size_t size;
    bool ok;
} checks[] = {
    {"none", TROVE_DIGEST_NONE, 0, true},
    {"none, with a value", TROVE_DIGEST_NONE, 1, false},
    {"SHA-256 to be computed", TROVE_DIGEST_SHA256, 0, true},
    {"SHA-256 too short", TROVE_DIGEST_SHA256, 31, false},
    {"SHA-256", TROVE_DIGEST_SHA256, 32, true},
    {"SHA-256 too long", TROVE_DIGEST_SHA256, 33, false},
    {"BLAKE2b to be computed", TROVE_DIGEST_BLAKE2B, 0, true},
    {"BLAKE2b too short", TROVE_DIGEST_BLAKE2B, 63, false},
    {"BLAKE2b", TROVE_DIGEST_BLAKE2B, 64, true},
    {"BLAKE2b too long", TROVE_DIGEST_BLAKE2B, 65, false},
    {"no kind", (trove_digest_kind)3, 0, false},
};

static void test_check(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof checks / sizeof checks[0]; i++) {
        const trove_digest digest = {.kind = checks[i].kind, .size = checks[i].size};
        trove_error error;
        trove_status status = tvc_digest_check(&digest, &error);
        if (status != (checks[i].ok ? TROVE_OK : TROVE_INVALID_ARGUMENT))
            fail_msg("%s: %s", checks[i].name, trove_status_name(status));
    }
}

/* Of "abc": FIPS 180-2, B.1; RFC 7693, appendix A. */
static const struct {
    trove_digest_kind kind;
    size_t size;
    uint8_t first[8];
} known[] = {
    {TROVE_DIGEST_SHA256, 32, {0xba, 0x78, 0x16, 0xbf, 0x8f, 0x01, 0xcf, 0xea}},
    {TROVE_DIGEST_BLAKE2B, 64, {0xba, 0x80, 0xa5, 0x3f, 0x98, 0x1c, 0x4d, 0x0d}},
};

static void test_values(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        trove_digest whole = {.kind = known[i].kind};
        trove_digest pieces = {.kind = TROVE_DIGEST_NONE};
        trove_error error;
        assert_int_equal(tvc_digest_of(&whole, "abc", 3, &error), TROVE_OK);
        assert_int_equal(whole.size, known[i].size);
        assert_memory_equal(whole.value, known[i].first, sizeof known[i].first);
        struct tvc_digest_state *digesting = tvc_digest_create(known[i].kind);
        assert_non_null(digesting);
        tvc_digest_add(digesting, "a", 1);
        tvc_digest_add(digesting, "", 0);
        tvc_digest_add(digesting, "bc", 2);
        tvc_digest_final(digesting, &pieces);
        tvc_digest_destroy(digesting);
        assert_int_equal(pieces.kind, known[i].kind);
        assert_int_equal(pieces.size, whole.size);
        assert_memory_equal(pieces.value, whole.value, whole.size);
    }
    tvc_digest_destroy(NULL);
}

static void test_wire(void **state) {
    (void)state;
    Trove__V1__Digest wire;
    trove_digest digest = {.kind = TROVE_DIGEST_NONE};
    assert_null(tvc_digest_to_wire(&digest, &wire));
    digest = (trove_digest){.kind = TROVE_DIGEST_SHA256, .size = 32, .value = {7}};
    assert_ptr_equal(tvc_digest_to_wire(&digest, &wire), &wire);
    assert_int_equal(wire.kind, TROVE__V1__DIGEST_KIND__SHA256);
    assert_int_equal(wire.value.len, 32);
    assert_int_equal(wire.value.data[0], 7);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_check),
        cmocka_unit_test(test_values),
        cmocka_unit_test(test_wire),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
