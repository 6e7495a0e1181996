/* test_data.c - pieces, their sums however the memory is cut, and the etag's exact bytes. */
#include "data.h"

#include "unit.h"

#include <xxhash.h>

#define BLOCK TV_BLOCK_BYTES

static void counts_pieces(void **state) {
    (void)state;
    static const struct {
        const char *name;
        uint64_t offset, bytes;
        uint32_t pieces;
    } rows[] = {
        {"nothing", 0, 0, 0},
        {"nothing at a boundary", BLOCK, 0, 0},
        {"a byte", 0, 1, 1},
        {"a block less one", 0, BLOCK - 1, 1},
        {"a block", 0, BLOCK, 1},
        {"a block and one", 0, BLOCK + 1, 2},
        {"up to a boundary", BLOCK - 1, 1, 1},
        {"over a boundary", BLOCK - 1, 2, 2},
        {"both ends inside", 1, 2 * BLOCK, 3},
        {"a full frame", 0, TV_PAYLOAD_BYTES_MAX, TV_DATA_PIECES_MAX - 1},
        {"a full frame, unaligned", 1, TV_PAYLOAD_BYTES_MAX, TV_DATA_PIECES_MAX},
        {"far out", (UINT64_C(1) << 62) + 5, BLOCK, 2},
        {"the largest chunk, unaligned", 7, TV_CHUNK_BYTES_MAX, 257},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        unit_row(rows[i].name);
        assert_int_equal(tv_data_piece_count(rows[i].offset, rows[i].bytes), rows[i].pieces);
    }
}

/* The same bytes have the same sums in one piece of memory and in up to six, wherever the cuts are. */
static void hashes_the_same_however_memory_is_cut(void **state) {
    (void)state;
    uint64_t random = unit_seed();
    uint8_t *bytes = malloc(TV_PAYLOAD_BYTES_MAX);
    for (size_t i = 0; i < TV_PAYLOAD_BYTES_MAX; i++)
        bytes[i] = (uint8_t)unit_random(&random);
    for (unsigned round = 0; round < 200; round++) {
        uint64_t count = round % 4 == 0 ? TV_PAYLOAD_BYTES_MAX : 1 + unit_random(&random) % TV_PAYLOAD_BYTES_MAX;
        struct tv_data data = {.offset = unit_random(&random) % (8 * BLOCK), .bytes = count};
        uint64_t left = count;
        while (left > 0) {
            bool last = data.iov_count == TV_DATA_PIECES_MAX;
            uint64_t here = last || round % 3 == 0 ? left : unit_random(&random) % (left + 1); /* may be empty */
            data.iov[data.iov_count++] = (struct iovec){bytes + (count - left), here};
            left -= here;
        }
        tv_data_hash(&data);
        assert_int_equal(data.piece_count, tv_data_piece_count(data.offset, data.bytes));
        uint64_t at = 0;
        for (uint32_t i = 0; i < data.piece_count; i++) {
            uint64_t piece = BLOCK - (data.offset + at) % BLOCK;
            if (piece > count - at)
                piece = count - at;
            assert_int_equal(data.piece_sums[i], XXH3_64bits(bytes + at, piece));
            at += piece;
        }
        assert_int_equal(at, count);
    }
    free(bytes);
}

static void nothing_has_no_pieces(void **state) {
    (void)state;
    struct tv_data data = {.offset = 5, .piece_count = 3};
    tv_data_hash(&data);
    assert_int_equal(data.piece_count, 0);
}

static void hashes_as_xxh3(void **state) {
    (void)state;
    assert_int_equal(tv_hash("", 0), UINT64_C(0x2D06800538D394C2)); /* published: XXH3-64 of nothing */
    assert_int_equal(tv_hash("trove", 5), XXH3_64bits("trove", 5));
    assert_int_equal(tv_hash_seeded("trove", 5, 77), XXH3_64bits_withSeed("trove", 5, 77));
    assert_int_not_equal(tv_hash_seeded("trove", 5, 77), tv_hash_seeded("trove", 5, 78));
}

static void etags_follow_size_and_blocks(void **state) {
    (void)state;
    uint64_t sums[2] = {0x1122334455667788, 0xAABBCCDDEEFF0011};
    uint64_t words[3] = {300000, sums[0], sums[1]}; /* little-endian here, as on the wire */
    XXH128_canonical_t digest;
    XXH128_canonicalFromHash(&digest, XXH3_128bits(words, sizeof words));
    char expected[33];
    for (size_t i = 0; i < 16; i++)
        snprintf(expected + 2 * i, 3, "%02x", digest.digest[i]);
    char etag[33], other[33];
    tv_etag(300000, sums, 2, etag);
    assert_string_equal(etag, expected);
    tv_etag(300001, sums, 2, other);
    assert_string_not_equal(etag, other);
    tv_etag(300000, sums, 1, other);
    assert_string_not_equal(etag, other);
    tv_etag(0, NULL, 0, etag);
    assert_int_equal(strlen(etag), 32);
    uint64_t many[100];
    for (size_t i = 0; i < 100; i++)
        many[i] = i * 0x9E3779B97F4A7C15u;
    tv_etag(100 * TV_BLOCK_BYTES, many, 100, etag);
    for (size_t part = 1; part <= 100; part++) { /* however they are given */
        struct tv_etag_hash hash;
        tv_etag_begin(&hash, 100 * TV_BLOCK_BYTES);
        for (size_t at = 0; at < 100; at += part)
            tv_etag_add(&hash, many + at, part < 100 - at ? part : 100 - at);
        tv_etag_end(&hash, other);
        assert_string_equal(other, etag);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(counts_pieces),
        cmocka_unit_test(hashes_the_same_however_memory_is_cut),
        cmocka_unit_test(nothing_has_no_pieces),
        cmocka_unit_test(hashes_as_xxh3),
        cmocka_unit_test(etags_follow_size_and_blocks),
    };
    return cmocka_run_group_tests_name("data", tests, NULL, NULL);
}
