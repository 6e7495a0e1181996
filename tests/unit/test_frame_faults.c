/* test_frame_faults.c - unpacking without memory: the first, second, ... allocation fails until a run meets no fault. It is never
 * taken for the peer's mistake, and leaves nothing behind.
 */
#include "frame.h"

#include "unit.h"

static unsigned allocations_left; /* until one fails */
static bool failed;

void *__real_malloc(size_t bytes);
void *__wrap_malloc(size_t bytes);

void *__wrap_malloc(size_t bytes) {
    if (allocations_left > 0 && --allocations_left == 0) {
        failed = true;
        return NULL;
    }
    return __real_malloc(bytes);
}

#define ENTRIES 64

/* An open with so much metadata that it doesn't fit the arena's first kilobyte, nor one overflow block. */
static uint8_t header[32 * 1024];

static size_t pack_open(void) {
    tv_frame frame = TROVE__V1__FRAME__INIT;
    Trove__V1__Open open = TROVE__V1__OPEN__INIT;
    static Trove__V1__Entry entries[ENTRIES];
    static Trove__V1__Entry *list[ENTRIES];
    static char value[128];
    memset(value, 'v', sizeof value - 1);
    for (size_t i = 0; i < ENTRIES; i++) {
        trove__v1__entry__init(&entries[i]);
        entries[i].value = value;
        list[i] = &entries[i];
    }
    open.metadata = list;
    open.n_metadata = ENTRIES;
    frame.call_id = 1;
    frame.body_case = TV_BODY(OPEN);
    frame.open = &open;
    size_t bytes = tv_frame_pack(&frame, 0, false, header, sizeof header);
    assert_true(bytes > 8192);
    return bytes;
}

static void no_memory_is_nobody_elses_fault(void **state) {
    (void)state;
    size_t bytes = pack_open();
    unsigned faults = 0;
    failed = true;
    for (unsigned n = 1; failed; n++) {
        struct tv_arena arena;
        tv_frame *frame = NULL;
        trove_error error = {TROVE_OK, ""};
        tv_arena_init(&arena, TV_ARENA_BYTES_MAX);
        failed = false;
        allocations_left = n;
        trove_status status = tv_frame_unpack(header, bytes, &arena, &frame, &error);
        allocations_left = 0;
        faults += failed;
        assert_int_equal(status, failed ? TROVE_RESOURCE_EXHAUSTED : TROVE_OK);
        assert_int_equal(error.status, status);
        tv_arena_reset(&arena);
        assert_int_equal(tv_frame_unpack(header, bytes, &arena, &frame, &error), TROVE_OK); /* the next one goes well */
        assert_int_equal(frame->open->n_metadata, ENTRIES);
        tv_arena_fini(&arena);
    }
    assert_true(faults >= 3);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_memory_is_nobody_elses_fault),
    };
    return cmocka_run_group_tests_name("frame_faults", tests, NULL, NULL);
}
