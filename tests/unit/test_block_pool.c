/* test_block_pool.c - blocks out and in, their holders, the count of it all, and mistakes that must not pass. */
#include "block_pool.h"

#include "unit_abort.h"

#include <pthread.h>
#include <sys/mman.h>
#include <unistd.h>

static struct tv_block_pool *pool;

static struct tv_block_stats stats(void) {
    struct tv_block_stats now;
    tv_block_pool_stats(pool, &now);
    return now;
}

static void create(size_t block_bytes, size_t blocks_max) {
    assert_int_equal(tv_block_pool_create(block_bytes, blocks_max, &pool, NULL), TROVE_OK);
}

static void destroy(void) {
    tv_block_pool_destroy(pool);
    pool = NULL;
}

static void rounds_blocks_up_to_pages(void **state) {
    (void)state;
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    const struct {
        size_t asked, given;
    } rows[] = {{1, page}, {page - 1, page}, {page, page}, {page + 1, 2 * page}, {262144, 262144}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        create(rows[i].asked, 3);
        assert_int_equal(stats().block_bytes, rows[i].given);
        char *block = tv_block_pool_get(pool);
        assert_int_equal((uintptr_t)block % page, 0);
        memset(block, 1, rows[i].given);
        tv_block_pool_put(pool, block);
        destroy();
    }
}

static void refuses_what_no_machine_has(void **state) {
    (void)state;
    static const struct {
        const char *name;
        size_t block_bytes, blocks_max;
    } rows[] = {
        {"more than the address space", (size_t)1 << 40, (size_t)1 << 20},
        {"a product beyond 2^64", (size_t)1 << 50, (size_t)1 << 20},
        {"a block that can't be rounded up", SIZE_MAX, 1},
        {"more blocks than have numbers", 4096, (size_t)UINT32_MAX + 1},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        unit_row(rows[i].name);
        trove_error error;
        struct tv_block_pool *none = NULL;
        assert_int_equal(tv_block_pool_create(rows[i].block_bytes, rows[i].blocks_max, &none, &error), TROVE_RESOURCE_EXHAUSTED);
        assert_null(none);
        assert_non_null(strstr(error.message, "address space"));
    }
    tv_block_pool_destroy(NULL);
}

static void counts_and_ends_at_its_size(void **state) {
    (void)state;
    create(4096, 3);
    char *blocks[3];
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(stats().in_use, i);
        blocks[i] = tv_block_pool_get(pool);
        assert_non_null(blocks[i]);
        memset(blocks[i], (int)i, 4096);
    }
    assert_null(tv_block_pool_get(pool));
    struct tv_block_stats full = stats();
    assert_int_equal(full.allocated, 3);
    assert_int_equal(full.in_use, 3);
    assert_int_equal(full.high_water, 3);
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(blocks[i][4095], i);
        tv_block_pool_put(pool, blocks[i]);
    }
    struct tv_block_stats empty = stats();
    assert_int_equal(empty.released, 3);
    assert_int_equal(empty.in_use, 0);
    assert_int_equal(empty.high_water, 3);
    assert_int_equal(empty.blocks_max, 3);
    destroy();
}

/* The steady state touches no new memory, and reuses what was given back last. */
static void reuses_the_warmest_block(void **state) {
    (void)state;
    create(4096, 100);
    void *first = tv_block_pool_get(pool);
    void *second = tv_block_pool_get(pool);
    tv_block_pool_put(pool, first);
    tv_block_pool_put(pool, second);
    for (int i = 0; i < 1000; i++) {
        void *block = tv_block_pool_get(pool);
        assert_ptr_equal(block, second);
        tv_block_pool_put(pool, block);
    }
    assert_int_equal(stats().created, 2);
    assert_int_equal(stats().allocated, 1002);
    destroy();
}

/* Pages of the block that have memory; the system says it of free ones as well. */
static size_t resident_pages(void *block, size_t bytes) {
    unsigned char pages[64];
    size_t count = bytes / (size_t)sysconf(_SC_PAGESIZE);
    assert_true(count <= sizeof pages);
    assert_int_equal(mincore(block, bytes, pages), 0);
    size_t resident = 0;
    for (size_t i = 0; i < count; i++)
        resident += pages[i] & 1;
    return resident;
}

static void gives_back_the_memory_of_what_lies_idle(void **state) {
    (void)state;
    enum {
        COUNT = 6,
        BYTES = 65536
    };
    char *blocks[COUNT];
    const size_t pages = BYTES / (size_t)sysconf(_SC_PAGESIZE);
    create(BYTES, COUNT);
    for (size_t i = 0; i < COUNT; i++) {
        blocks[i] = tv_block_pool_get(pool);
        memset(blocks[i], 'x', BYTES);
    }
    for (size_t i = 0; i < COUNT; i++)
        tv_block_pool_put(pool, blocks[i]);
    tv_block_pool_trim(pool, 1, COUNT); /* they have just been used */
    assert_int_equal(stats().dry, 0);
    assert_ptr_equal(tv_block_pool_get(pool), blocks[5]);
    assert_ptr_equal(tv_block_pool_get(pool), blocks[4]);
    tv_block_pool_put(pool, blocks[4]);
    tv_block_pool_trim(pool, 1, 3); /* those that weren't, in steps, the coldest first */
    assert_int_equal(stats().dry, 3);
    for (size_t i = 0; i < COUNT; i++)
        assert_int_equal(resident_pages(blocks[i], BYTES), i < 3 ? 0 : pages);
    tv_block_pool_trim(pool, 2, COUNT); /* not the one in use, and one more is kept */
    assert_int_equal(stats().dry, 4);
    assert_int_equal(resident_pages(blocks[4], BYTES), pages);
    assert_ptr_equal(tv_block_pool_get(pool), blocks[4]);
    assert_int_equal(stats().dry, 4);
    for (size_t i = 4; i-- > 0;) { /* and are blocks as before */
        assert_ptr_equal(tv_block_pool_get(pool), blocks[i]);
        assert_int_equal(blocks[i][BYTES - 1], 0);
        memset(blocks[i], 'y', BYTES);
    }
    assert_int_equal(stats().dry, 0);
    assert_int_equal(stats().created, COUNT);
    for (size_t i = 0; i < COUNT; i++)
        tv_block_pool_put(pool, blocks[i]);
    destroy();
}

static void a_held_block_waits_for_its_last_holder(void **state) {
    (void)state;
    create(4096, 1);
    void *block = tv_block_pool_get(pool);
    tv_block_pool_hold(pool, block);
    tv_block_pool_hold(pool, block);
    for (int i = 0; i < 2; i++) {
        tv_block_pool_put(pool, block);
        assert_null(tv_block_pool_get(pool));
        assert_int_equal(stats().in_use, 1);
    }
    tv_block_pool_put(pool, block);
    assert_ptr_equal(tv_block_pool_get(pool), block);
    tv_block_pool_put(pool, block);
    assert_int_equal(stats().allocated, 2); /* a hold is no allocation */
    destroy();
}

static void reserves_up_to_its_size(void **state) {
    (void)state;
    create(4096, 4);
    assert_true(tv_block_pool_reserve(pool, 4 * 4096 - 1));
    assert_false(tv_block_pool_reserve(pool, 2));
    assert_true(tv_block_pool_reserve(pool, 1));
    assert_false(tv_block_pool_reserve(pool, 1));
    assert_false(tv_block_pool_reserve(pool, UINT64_MAX));
    assert_true(tv_block_pool_reserve(pool, 0));
    assert_int_equal(stats().reserved_bytes, 4 * 4096);
    tv_block_pool_unreserve(pool, 4096);
    assert_true(tv_block_pool_reserve(pool, 4096));
    tv_block_pool_unreserve(pool, 4 * 4096);
    assert_int_equal(stats().reserved_bytes, 0);
    destroy();
}

static void put_twice(void) {
    void *block = tv_block_pool_get(pool);
    tv_block_pool_put(pool, block);
    tv_block_pool_put(pool, block);
}

static void put_the_middle_of_a_block(void) {
    tv_block_pool_put(pool, (char *)tv_block_pool_get(pool) + 1);
}

static void put_what_was_never_got(void) {
    tv_block_pool_put(pool, (char *)tv_block_pool_get(pool) + 4096);
}

static void put_what_is_none_of_it(void) {
    int local;
    tv_block_pool_put(pool, &local);
}

static void hold_what_was_put(void) {
    void *block = tv_block_pool_get(pool);
    tv_block_pool_put(pool, block);
    tv_block_pool_hold(pool, block);
}

static void unreserve_too_much(void) {
    tv_block_pool_unreserve(pool, 1);
}

static void destroy_in_use(void) {
    (void)tv_block_pool_get(pool);
    tv_block_pool_destroy(pool);
}

static void mistakes_end_the_process(void **state) {
    (void)state;
    create(4096, 4);
    unit_expect_abort(put_twice);
    unit_expect_abort(put_the_middle_of_a_block);
    unit_expect_abort(put_what_was_never_got);
    unit_expect_abort(put_what_is_none_of_it);
    unit_expect_abort(hold_what_was_put);
    unit_expect_abort(unreserve_too_much);
    unit_expect_abort(destroy_in_use);
    destroy();
}

static void *get_and_put(void *context) {
    uint64_t random = (uintptr_t)context;
    for (int i = 0; i < 5000; i++) {
        uint64_t *block = tv_block_pool_get(pool);
        if (block == NULL)
            continue;
        uint64_t mark = unit_random(&random);
        block[0] = mark;
        block[511] = mark;
        if (mark % 4 == 0) {
            tv_block_pool_hold(pool, block);
            tv_block_pool_put(pool, block);
        }
        if (block[0] != mark || block[511] != mark)
            abort(); /* somebody else has it too */
        tv_block_pool_put(pool, block);
    }
    return NULL;
}

static void many_threads_at_once(void **state) {
    (void)state;
    create(4096, 3);
    pthread_t threads[4];
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, get_and_put, (void *)(i + 1)), 0);
    for (size_t i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(stats().in_use, 0);
    assert_true(stats().high_water <= 3);
    destroy();
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rounds_blocks_up_to_pages),
        cmocka_unit_test(refuses_what_no_machine_has),
        cmocka_unit_test(counts_and_ends_at_its_size),
        cmocka_unit_test(reuses_the_warmest_block),
        cmocka_unit_test(gives_back_the_memory_of_what_lies_idle),
        cmocka_unit_test(a_held_block_waits_for_its_last_holder),
        cmocka_unit_test(reserves_up_to_its_size),
        cmocka_unit_test(mistakes_end_the_process),
        cmocka_unit_test(many_threads_at_once),
    };
    return cmocka_run_group_tests_name("block_pool", tests, NULL, NULL);
}
