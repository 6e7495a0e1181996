/* test_chunks.c - a stream's chunk pool: what may be out at once, and in how many pieces a chunk may come. */
#include "unit.h"

#include "chunks.h"

static struct tvc_chunks *make(size_t chunk_bytes, size_t count) {
    struct tvc_chunks *chunks = NULL;
    trove_error error;
    assert_int_equal(tvc_chunks_create(chunk_bytes, count, true, &chunks, &error), TROVE_OK);
    return chunks;
}

/* The largest chunk in the smallest frames, cut where blocks end as well; one more is one too many. */
static void test_fragments(void **state) {
    struct tvc_chunks *chunks = make(4096, 1);
    struct tvc_chunk *chunk = &chunks->all[0];
    trove_error error;
    uint64_t at = 0;
    uint64_t offset = 1; /* of the chunk in the object */
    uint32_t count = 0;
    (void)state;
    while (at < TV_CHUNK_BYTES_MAX) {
        uint64_t bytes = TVC_FRAGMENT_BYTES_MIN;
        uint64_t to_block_end = TV_BLOCK_BYTES - (offset + at) % TV_BLOCK_BYTES;
        bytes = bytes < to_block_end ? bytes : to_block_end;
        bytes = bytes < TV_CHUNK_BYTES_MAX - at ? bytes : TV_CHUNK_BYTES_MAX - at;
        const struct tvc_fragment fragment = {.at = at, .bytes = bytes};
        assert_int_equal(tvc_chunk_add_fragment(chunk, &fragment, &error), TROVE_OK);
        at += bytes;
        count++;
    }
    assert_int_equal(count, TVC_FRAGMENTS_MAX);
    assert_int_equal(tvc_chunk_add_fragment(chunk, &(struct tvc_fragment){0}, &error), TROVE_RESOURCE_EXHAUSTED);
    assert_int_equal(chunk->fragment_count, TVC_FRAGMENTS_MAX);
    tvc_chunks_destroy(chunks);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fragments),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
