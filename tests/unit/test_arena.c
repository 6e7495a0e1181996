/* test_arena.c - the arena's ceiling, its growth between uses, and that memory given out doesn't overlap. */
#include "arena.h"

#include "unit.h"

static struct tv_arena arena;

static void hands_out_memory_of_its_own(void **state) {
    (void)state;
    uint64_t random = unit_seed();
    tv_arena_init(&arena, 64 * 1024);
    for (unsigned use = 0; use < 50; use++) {
        struct {
            uint8_t *memory;
            size_t bytes;
        } given[200];
        size_t count = 0;
        while (count < 200) {
            size_t bytes = unit_random(&random) % 700;
            uint8_t *memory = tv_arena_alloc(&arena, bytes);
            if (memory == NULL)
                break;
            assert_int_equal((uintptr_t)memory % _Alignof(max_align_t), 0);
            memset(memory, (int)count, bytes);
            given[count].memory = memory;
            given[count++].bytes = bytes;
        }
        assert_true(count > 50);
        for (size_t i = 0; i < count; i++)
            for (size_t j = 0; j < given[i].bytes; j++)
                assert_int_equal(given[i].memory[j], (uint8_t)i);
        tv_arena_reset(&arena);
    }
    tv_arena_fini(&arena);
}

static void ends_at_its_ceiling(void **state) {
    (void)state;
    static const struct {
        const char *name;
        size_t before, bytes;
        bool fits;
    } rows[] = {
        {"all but one unit", 0, 4096 - 16, true},   {"all of it", 0, 4096, true},
        {"one byte more", 0, 4097, false},          {"the rest", 1024, 3072, true},
        {"the rest and a byte", 1024, 3073, false}, {"nothing where nothing is left", 4096, 0, false},
        {"SIZE_MAX", 0, SIZE_MAX, false},           {"SIZE_MAX - 15", 16, SIZE_MAX - 15, false},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        unit_row(rows[i].name);
        tv_arena_init(&arena, 4096);
        if (rows[i].before > 0)
            assert_non_null(tv_arena_alloc(&arena, rows[i].before));
        void *memory = tv_arena_alloc(&arena, rows[i].bytes);
        assert_int_equal(memory != NULL, rows[i].fits);
        if (memory == NULL) { /* what was refused once stays refused: protobuf-c gives up at the first NULL */
            assert_null(tv_arena_alloc(&arena, 1));
            assert_true(arena.wanted > arena.bytes_max);
        }
        tv_arena_reset(&arena);
        assert_non_null(tv_arena_alloc(&arena, 4096));
        tv_arena_fini(&arena);
    }
}

static void grows_between_uses_and_then_allocates_no_more(void **state) {
    (void)state;
    tv_arena_init(&arena, 128 * 1024);
    assert_int_equal(arena.capacity, 0); /* nothing before the first use */
    assert_non_null(tv_arena_alloc(&arena, 60));
    size_t small = arena.capacity;
    assert_true(small > 0 && small <= 4096);
    for (int i = 0; i < 10; i++)
        assert_non_null(tv_arena_alloc(&arena, 3000));
    assert_non_null(arena.overflow);
    tv_arena_reset(&arena);
    assert_null(arena.overflow);
    assert_true(arena.capacity >= 30060);
    char *memory = arena.memory;
    for (int use = 0; use < 3; use++) {
        for (int i = 0; i < 10; i++)
            assert_non_null(tv_arena_alloc(&arena, 3000));
        assert_null(arena.overflow);
        tv_arena_reset(&arena);
        assert_ptr_equal(arena.memory, memory);
    }
    for (int i = 0; i < 1000; i++)
        (void)tv_arena_alloc(&arena, 1000);
    tv_arena_reset(&arena);
    assert_true(arena.capacity <= 128 * 1024);
    tv_arena_fini(&arena);
    tv_arena_fini(&arena);
}

static void serves_protobuf_c(void **state) {
    (void)state;
    tv_arena_init(&arena, 1024);
    void *memory = arena.allocator.alloc(arena.allocator.allocator_data, 100);
    assert_non_null(memory);
    arena.allocator.free(arena.allocator.allocator_data, memory);
    assert_ptr_not_equal(arena.allocator.alloc(arena.allocator.allocator_data, 100), memory);
    tv_arena_fini(&arena);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hands_out_memory_of_its_own),
        cmocka_unit_test(ends_at_its_ceiling),
        cmocka_unit_test(grows_between_uses_and_then_allocates_no_more),
        cmocka_unit_test(serves_protobuf_c),
    };
    return cmocka_run_group_tests_name("arena", tests, NULL, NULL);
}
