/* test_id_table.c - calls and streams by id, also those of a peer who chooses his ids with care. */
#include "id_table.h"

#include "unit.h"

#define COUNT 16384

static struct tv_id_table table;
static struct tv_id_node nodes[COUNT];

static void fill(uint64_t first, uint64_t step) {
    assert_int_equal(tv_id_table_init(&table, NULL), TROVE_OK);
    for (size_t i = 0; i < COUNT; i++) {
        nodes[i].id = first + i * step;
        tv_id_table_add(&table, &nodes[i]);
    }
    assert_int_equal(table.count, COUNT);
}

static size_t longest_chain(void) {
    size_t longest = 0;
    for (size_t i = 0; i < table.slot_count; i++) {
        size_t length = 0;
        for (const struct tv_id_node *node = table.slots[i]; node != NULL; node = node->next)
            length++;
        if (length > longest)
            longest = length;
    }
    return longest;
}

static void finds_what_was_added(void **state) {
    (void)state;
    fill(1, 1);
    for (size_t i = 0; i < COUNT; i++)
        assert_ptr_equal(tv_id_table_find(&table, i + 1), &nodes[i]);
    assert_null(tv_id_table_find(&table, 0));
    assert_null(tv_id_table_find(&table, COUNT + 1));
    for (size_t i = 0; i < COUNT; i += 2)
        tv_id_table_remove(&table, &nodes[i]);
    for (size_t i = 0; i < COUNT; i++)
        assert_ptr_equal(tv_id_table_find(&table, i + 1), i % 2 == 0 ? NULL : &nodes[i]);
    tv_id_table_fini(&table);
    assert_null(tv_id_table_find(&table, 2));
}

static void a_walk_meets_each_once(void **state) {
    (void)state;
    fill(1, 1);
    static bool met[COUNT];
    size_t count = 0;
    for (struct tv_id_node *node = NULL; (node = tv_id_table_next(&table, node)) != NULL; count++) {
        assert_false(met[node->id - 1]);
        met[node->id - 1] = true;
    }
    assert_int_equal(count, COUNT);
    for (struct tv_id_node *node; (node = tv_id_table_any(&table)) != NULL;)
        tv_id_table_remove(&table, node);
    assert_int_equal(table.count, 0);
    assert_null(tv_id_table_next(&table, NULL));
    tv_id_table_fini(&table);
}

/* Ids that are alike in some of their bits don't end up in one chain. (An eighth of all in one is what one table in a million
 * has.) */
static void ids_spread_however_they_are_chosen(void **state) {
    (void)state;
    static const uint64_t steps[] = {1, 2, 16, COUNT, 2 * COUNT, UINT64_C(1) << 32, UINT64_C(1) << 50, UINT64_C(0x100000001)};
    for (size_t i = 0; i < sizeof steps / sizeof steps[0]; i++) {
        fill(steps[i], steps[i]);
        print_message("    step %llu: %zu\n", (unsigned long long)steps[i], longest_chain());
        assert_true(longest_chain() < COUNT / 8);
        tv_id_table_fini(&table);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(finds_what_was_added),
        cmocka_unit_test(a_walk_meets_each_once),
        cmocka_unit_test(ids_spread_however_they_are_chosen),
    };
    return cmocka_run_group_tests_name("id_table", tests, NULL, NULL);
}
