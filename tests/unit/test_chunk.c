/* test_chunk.c - hashing and slicing of chunks wherever their cuts fall, and the frame's checksum. */
#include "chunk.h"

#include "unit_chunk.h"

#include <string.h>

#define BLOCK TV_BLOCK_BYTES

static struct tv_chunk *filled(uint64_t offset, uint64_t bytes, uint64_t segment, uint64_t first) {
    struct tv_chunk *chunk = unit_chunk_new(bytes, segment, first);
    chunk->offset = offset;
    unit_chunk_fill(chunk);
    return chunk;
}

static const struct chunk_row {
    const char *name;
    uint64_t offset;
    uint64_t bytes;
    uint64_t segment;
    uint64_t first;
    uint32_t pieces;
} chunk_rows[] = {
    {"empty", 12345, 0, BLOCK, BLOCK, 0},
    {"one byte", 0, 1, BLOCK, BLOCK, 1},
    {"one byte before a boundary", BLOCK - 1, 1, BLOCK, BLOCK, 1},
    {"one byte each side of a boundary", BLOCK - 1, 2, BLOCK, BLOCK, 2},
    {"a block less one", 0, BLOCK - 1, BLOCK, BLOCK, 1},
    {"a block", 0, BLOCK, BLOCK, BLOCK, 1},
    {"a block and one", 0, BLOCK + 1, BLOCK, BLOCK, 2},
    {"a block across a boundary", 100, BLOCK, BLOCK, BLOCK, 2},
    {"1 MiB in segments", 4 * BLOCK, 4 * BLOCK, BLOCK, BLOCK, 4},
    {"1 MiB in one piece of memory", 4 * BLOCK, 4 * BLOCK, 4 * BLOCK, 4 * BLOCK, 4},
    {"1 MiB, unaligned, memory cut as the blocks", 70000, 4 * BLOCK, BLOCK, BLOCK - 70000, 5},
    {"1 MiB, unaligned, memory cut elsewhere", 70000, 4 * BLOCK, BLOCK, BLOCK, 5},
    {"3 MiB, unaligned at both ends", BLOCK - 3, 12 * BLOCK + 1000, BLOCK, 5, 14},
};

/* Every sum of a chunk is that of the bytes of its block. */
static void hashes_chunks(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof chunk_rows / sizeof chunk_rows[0]; i++) {
        const struct chunk_row *row = &chunk_rows[i];
        unit_row(row->name);
        struct tv_chunk *chunk = filled(row->offset, row->bytes, row->segment, row->first);
        assert_int_equal(chunk->piece_count, row->pieces);
        uint8_t *block = malloc(BLOCK);
        uint64_t offset = row->offset;
        for (uint32_t piece = 0; piece < row->pieces; piece++) {
            size_t bytes = 0;
            do
                block[bytes++] = unit_byte_at(offset++);
            while (offset % BLOCK != 0 && offset < row->offset + row->bytes);
            assert_int_equal(chunk->piece_sums[piece], tv_hash(block, bytes));
        }
        assert_int_equal(offset, row->offset + row->bytes);
        free(block);
        tv_chunk_release(chunk);
    }
    assert_int_equal(unit_chunks_alive, 0);
}

static void slices_chunks(void **state) {
    (void)state;
    static const uint64_t sizes[] = {1, 1000, 65536, BLOCK - 1, BLOCK, BLOCK + 1, 2 * BLOCK, TV_PAYLOAD_BYTES_MAX};
    uint64_t random = unit_seed();
    for (size_t i = 0; i < sizeof chunk_rows / sizeof chunk_rows[0]; i++) {
        const struct chunk_row *row = &chunk_rows[i];
        unit_row(row->name);
        struct tv_chunk *chunk = filled(row->offset, row->bytes, row->segment, row->first);
        for (unsigned round = 0; round < 40; round++) {
            uint64_t bytes = sizes[round % (sizeof sizes / sizeof sizes[0])];
            if (bytes > row->bytes)
                bytes = row->bytes;
            uint64_t room = row->bytes - bytes;
            uint64_t at = round < 8 ? 0 : round < 16 ? room : room == 0 ? 0 : unit_random(&random) % room;
            struct tv_data data;
            tv_chunk_slice(chunk, at, bytes, &data);
            assert_int_equal(data.offset, row->offset + at);
            assert_int_equal(data.bytes, bytes);
            unit_data_check(&data);
        }
        tv_chunk_release(chunk);
    }
    assert_int_equal(unit_chunks_alive, 0);
}

/* Sums of whole pieces are taken over, not computed again: a chunk with false sums gives them away. */
static void takes_sums_over_where_the_cut_allows(void **state) {
    (void)state;
    struct tv_chunk *chunk = filled(1000, 4 * BLOCK, BLOCK, BLOCK);
    for (uint32_t i = 0; i < chunk->piece_count; i++)
        chunk->piece_sums[i] = 1000 + i;
    struct tv_data data;
    tv_chunk_slice(chunk, 0, 4 * BLOCK, &data);
    for (uint32_t i = 0; i < 5; i++)
        assert_int_equal(data.piece_sums[i], 1000 + i);
    tv_chunk_slice(chunk, 5, 3 * BLOCK, &data); /* begins and ends inside pieces */
    assert_int_equal(data.piece_count, 4);
    assert_int_not_equal(data.piece_sums[0], 1000);
    assert_int_equal(data.piece_sums[1], 1001);
    assert_int_equal(data.piece_sums[2], 1002);
    assert_int_not_equal(data.piece_sums[3], 1003);
    tv_chunk_release(chunk);
}

/* Wherever a chunk is cut, its sums are those of a chunk that was never larger; those of whole pieces aren't computed again. */
static void cuts_chunks(void **state) {
    (void)state;
    static const struct row {
        const char *name;
        uint64_t offset;
        uint64_t end;
    } rows[] = {
        {"nothing", 1000, 1000 + 4 * BLOCK},
        {"its first byte", 1001, 1000 + 4 * BLOCK},
        {"up to a boundary", BLOCK, 1000 + 4 * BLOCK},
        {"some blocks and a half", 2 * BLOCK + BLOCK / 2, 1000 + 4 * BLOCK},
        {"all but its last byte", 999 + 4 * BLOCK, 1000 + 4 * BLOCK},
        {"all, from its beginning", 1000 + 4 * BLOCK, 1000 + 4 * BLOCK},
        {"its last byte", 1000, 999 + 4 * BLOCK},
        {"from a boundary on", 1000, 4 * BLOCK},
        {"from behind a boundary on", 1000, 3 * BLOCK + 1},
        {"all but its first byte", 1000, 1001},
        {"all, from its end", 1000, 1000},
        {"both ends", BLOCK + 3, 3 * BLOCK - 5},
        {"both ends, within a block", 2 * BLOCK + 3, 2 * BLOCK + 5},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const struct row *row = &rows[i];
        struct tv_data data;
        unit_row(row->name);
        struct tv_chunk *chunk = filled(1000, 4 * BLOCK, 4 * BLOCK, 4 * BLOCK);
        void *memory = chunk->iov->iov_base;
        chunk->piece_sums[1] = 4711; /* a false one, of the block from BLOCK on */
        tv_chunk_cut(chunk, row->offset, row->end);
        assert_int_equal(chunk->offset, row->offset);
        assert_int_equal(chunk->bytes, row->end - row->offset);
        assert_int_equal(chunk->piece_count, tv_data_piece_count(row->offset, chunk->bytes));
        if (row->offset < BLOCK && row->end > 2 * BLOCK) {
            assert_int_equal(chunk->piece_sums[1], 4711);
            chunk->piece_sums[1] = tv_hash((const char *)memory + BLOCK - 1000, BLOCK);
        }
        uint64_t part = chunk->bytes < BLOCK ? chunk->bytes : BLOCK;
        tv_chunk_slice(chunk, 0, part, &data);
        unit_data_check(&data);
        tv_chunk_slice(chunk, chunk->bytes - part, part, &data);
        unit_data_check(&data);
        chunk->iov->iov_base = memory;
        tv_chunk_release(chunk);
    }
    assert_int_equal(unit_chunks_alive, 0);
}

/* The words of trove.proto's Chunk.checksum, put together by hand; each of them counts. */
static void checksums_what_the_contract_says(void **state) {
    (void)state;
    struct tv_data data = {.offset = 0x1122, .bytes = 0x3344, .piece_count = 2, .piece_sums = {0x55, 0x66}};
    uint8_t words[6 * 8] = {0};
    words[0] = 7;
    words[8] = 9;
    words[16] = 0x22;
    words[17] = 0x11;
    words[24] = 0x44;
    words[25] = 0x33;
    words[32] = 0x55;
    words[40] = 0x66;
    uint64_t sum = tv_chunk_checksum(7, 9, &data);
    assert_int_equal(sum, tv_hash(words, sizeof words));
    assert_int_not_equal(sum, tv_chunk_checksum(8, 9, &data));
    assert_int_not_equal(sum, tv_chunk_checksum(7, 8, &data));
    data.piece_count = 1;
    assert_int_not_equal(sum, tv_chunk_checksum(7, 9, &data));
}

static void is_released_by_its_last_reference(void **state) {
    (void)state;
    struct tv_chunk *chunk = filled(0, 10, BLOCK, BLOCK);
    tv_chunk_acquire(chunk);
    tv_chunk_release(chunk);
    assert_int_equal(unit_chunks_alive, 1);
    tv_chunk_release(chunk);
    assert_int_equal(unit_chunks_alive, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hashes_chunks),
        cmocka_unit_test(slices_chunks),
        cmocka_unit_test(takes_sums_over_where_the_cut_allows),
        cmocka_unit_test(cuts_chunks),
        cmocka_unit_test(checksums_what_the_contract_says),
        cmocka_unit_test(is_released_by_its_last_reference),
    };
    return cmocka_run_group_tests_name("chunk", tests, NULL, NULL);
}
