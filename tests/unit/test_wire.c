/* test_wire.c - an object in the wire's terms: what was lost of it, and that the largest description fits a frame. */
#include "wire.h"

#include "unit.h"

static trove_gap gaps[TV_GAPS_MAX];
static trove_metadata metadata[TV_METADATA_COUNT_MAX];
static char names[TV_METADATA_COUNT_MAX][2][TV_METADATA_BYTES_MAX / TV_METADATA_COUNT_MAX / 2 + 1];
static char bucket[TV_BUCKET_BYTES_MAX + 1], key[TV_KEY_BYTES_MAX + 1], content_type[TV_CONTENT_TYPE_BYTES_MAX + 1];

static char *text_of(char *text, size_t bytes) {
    memset(text, 'x', bytes);
    text[bytes] = '\0';
    return text;
}

/* As long as every name and number may be; its last gap ends at `end`. */
static struct tvs_object largest(uint32_t gap_count, uint64_t end) {
    struct tvs_object object = {
        .key = text_of(key, TV_KEY_BYTES_MAX),
        .size = end,
        .generation = UINT64_MAX,
        .modified_ns = UINT64_MAX,
        .content_type = text_of(content_type, TV_CONTENT_TYPE_BYTES_MAX),
        .metadata = metadata,
        .metadata_count = TV_METADATA_COUNT_MAX,
        .gap_count = gap_count,
        .gaps = gaps,
        .gaps_listed = gap_count,
    };
    text_of(object.etag, TROVE_ETAG_BYTES - 1);
    text_of(bucket, TV_BUCKET_BYTES_MAX);
    for (size_t i = 0; i < TV_METADATA_COUNT_MAX; i++)
        metadata[i] = (trove_metadata){.key = text_of(names[i][0], sizeof names[i][0] - 1),
                                       .value = text_of(names[i][1], sizeof names[i][1] - 1)};
    uint64_t each = end / (gap_count + 1);
    for (uint32_t i = 0; i < gap_count; i++) {
        gaps[i] = (trove_gap){.offset = end - (gap_count - i) * each, .length = each - 1};
        object.gap_bytes += gaps[i].length;
    }
    return object;
}

static void test_gaps(void **state) {
    (void)state;
    static const uint32_t counts[] = {0, 1, 2, TV_GAPS_MAX - 1, TV_GAPS_MAX};
    for (size_t c = 0; c < sizeof counts / sizeof *counts; c++) {
        struct tvs_object object = largest(counts[c], 1000000000);
        struct tvs_wire_object wire;
        struct tvs_wire_gaps listed;
        Trove__V1__Completed completed;
        trove_error error;
        tvs_wire_object(bucket, &object, &wire);
        assert_int_equal(tvs_wire_gaps_init(&listed, &object, &error), TROVE_OK);
        assert_int_equal(listed.count, counts[c]);
        assert_true((listed.memory == NULL) == (counts[c] == 0));
        tvs_wire_completed(&wire, &listed, &completed);
        assert_ptr_equal(completed.object, &wire.info);
        assert_int_equal(completed.object->has_gaps, counts[c] > 0);
        assert_int_equal(completed.object->gap_bytes, object.gap_bytes);
        assert_int_equal(completed.gap_count, counts[c]);
        assert_int_equal(completed.n_gaps, counts[c]);
        for (size_t i = 0; i < completed.n_gaps; i++) {
            assert_int_equal(completed.gaps[i]->offset, gaps[i].offset);
            assert_int_equal(completed.gaps[i]->length, gaps[i].length);
        }
        tvs_wire_gaps_fini(&listed);
        assert_null(listed.list);
        tvs_wire_completed(&wire, NULL, &completed);
        assert_int_equal(completed.n_gaps, 0);
        assert_int_equal(completed.gap_count, counts[c]);
    }
}

/* `completed` and `opened` are headers, and those are bounded: in bytes, and in what unpacking them takes. */
static void test_the_largest_fit_a_header(void **state) {
    (void)state;
    static uint8_t packed[TV_HEADER_BYTES_MAX];
    struct tvs_object object = largest(TV_GAPS_MAX, (uint64_t)1 << 50);
    struct tvs_wire_object wire;
    struct tvs_wire_gaps listed;
    Trove__V1__Completed completed;
    Trove__V1__Opened opened = TROVE__V1__OPENED__INIT;
    trove_error error;
    tvs_wire_object(bucket, &object, &wire);
    assert_int_equal(tvs_wire_gaps_init(&listed, &object, &error), TROVE_OK);
    tvs_wire_completed(&wire, &listed, &completed);
    completed.dropped_chunks = completed.dropped_bytes = UINT64_MAX;
    opened.object = &wire.info;
    opened.gaps = listed.list;
    opened.n_gaps = listed.count;
    opened.stream_id = opened.chunk_bytes = opened.credit = UINT64_MAX;
    for (int which = 0; which < 2; which++) {
        tv_frame frame = TROVE__V1__FRAME__INIT, *back = NULL;
        frame.call_id = UINT64_MAX;
        frame.body_case = which == 0 ? TV_BODY(COMPLETED) : TV_BODY(OPENED);
        if (which == 0)
            frame.completed = &completed;
        else
            frame.opened = &opened;
        size_t bytes = tv_frame_pack(&frame, 0, true, packed, sizeof packed);
        print_message("    %zu of %llu bytes\n", bytes, (unsigned long long)TV_HEADER_BYTES_MAX);
        assert_true(bytes > 0);
        struct tv_arena arena;
        tv_arena_init(&arena, TV_ARENA_BYTES_MAX);
        struct tv_frame_layout layout;
        assert_int_equal(tv_frame_scan(packed, bytes, bytes, &layout, &error), TV_SCAN_OK);
        assert_int_equal(tv_frame_unpack(packed, layout.header_bytes, &arena, &back, &error), TROVE_OK);
        size_t count = which == 0 ? back->completed->n_gaps : back->opened->n_gaps;
        assert_int_equal(count, TV_GAPS_MAX);
        tv_arena_fini(&arena);
    }
    tvs_wire_gaps_fini(&listed);
}

static void test_conditions(void **state) {
    (void)state;
    struct tvs_conditions conditions;
    tvs_conditions_from_wire(NULL, &conditions);
    assert_true(conditions.if_match == NULL && !conditions.if_none && conditions.if_generation == 0);
    Trove__V1__Conditions wire = TROVE__V1__CONDITIONS__INIT;
    tvs_conditions_from_wire(&wire, &conditions);
    assert_true(conditions.if_match == NULL && !conditions.if_none && conditions.if_generation == 0);
    wire.if_match = (char *)"abc";
    wire.if_none_match = true;
    wire.if_generation = 7;
    tvs_conditions_from_wire(&wire, &conditions);
    assert_string_equal(conditions.if_match, "abc");
    assert_true(conditions.if_none);
    assert_int_equal(conditions.if_generation, 7);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_gaps),
        cmocka_unit_test(test_the_largest_fit_a_header),
        cmocka_unit_test(test_conditions),
    };
    return cmocka_run_group_tests_name("objects on the wire", tests, NULL, NULL);
}
