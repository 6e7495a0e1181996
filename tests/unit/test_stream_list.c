/* test_stream_list.c - streams in the order of their ids, and pages that begin behind any id, there or not. */
#include "stream.h"
#include "stream_list.h"

#include "unit.h"

#include <pthread.h>

#define STREAMS 3000 /* several stretches of a page */

static struct tvs_pool pools[2];
static struct tvs_stream *all[STREAMS]; /* by id - 1 - begin; NULL: gone, or not there yet */
static uint64_t begin;                  /* the id before the first one */

static void init(struct tvs_stream_list *list) {
    tvs_stream_list_init(list);
    begin = list->last_id;
}

static void add(struct tvs_stream_list *list, size_t index, struct tvs_pool *pool) {
    all[index] = calloc(1, sizeof *all[index]);
    assert_non_null(all[index]);
    atomic_init(&all[index]->references, 1);
    all[index]->pool = pool;
    tvs_stream_list_add(list, all[index]);
    assert_int_equal(all[index]->id, begin + index + 1);
}

static void drop(struct tvs_stream_list *list, size_t index) {
    assert_int_equal(atomic_load(&all[index]->references), 1);
    tvs_stream_list_remove(list, all[index]);
    free(all[index]);
    all[index] = NULL;
}

/* A page against what a walk over all of them finds. */
static void check_page(struct tvs_stream_list *list, const struct tvs_pool *pool, uint64_t after_id, size_t count_max) {
    static struct tvs_stream *page[STREAMS + 1];
    size_t count = tvs_stream_list_page(list, pool, after_id, page, count_max);
    size_t expected = 0;
    for (uint64_t i = after_id > begin ? after_id - begin : 0; i < STREAMS && expected < count_max; i++) {
        struct tvs_stream *stream = all[i];
        if (stream == NULL || (pool != NULL && stream->pool != pool))
            continue;
        assert_true(expected < count);
        assert_ptr_equal(page[expected++], stream);
    }
    assert_int_equal(count, expected);
    for (size_t i = 0; i < count; i++)
        assert_int_equal(atomic_fetch_sub(&page[i]->references, 1), 2);
}

static void check(struct tvs_stream_list *list) {
    static const uint64_t behind[] = {0, 1, 2, 511, 512, 513, 1500, STREAMS - 1, STREAMS, STREAMS + 1};
    static const size_t most[] = {1, 2, 64, 511, 512, 513, STREAMS + 1};
    for (size_t i = 0; i < sizeof behind / sizeof behind[0]; i++)
        for (size_t j = 0; j < sizeof most / sizeof most[0]; j++)
            for (size_t pool = 0; pool <= 2; pool++)
                check_page(list, pool < 2 ? &pools[pool] : NULL, begin + behind[i], most[j]);
    check_page(list, NULL, 0, STREAMS + 1);
    assert_int_equal(tvs_stream_list_page(list, NULL, UINT64_MAX, NULL, 0), 0);
    for (size_t i = 0; i < STREAMS; i++) {
        struct tvs_stream *found = tvs_stream_list_find(list, begin + i + 1);
        assert_ptr_equal(found, all[i]);
        if (found != NULL)
            atomic_fetch_sub(&found->references, 1);
    }
    assert_null(tvs_stream_list_find(list, 0));
    assert_null(tvs_stream_list_find(list, begin));
    assert_null(tvs_stream_list_find(list, begin + STREAMS + 1));
    assert_null(tvs_stream_list_find(list, UINT64_MAX));
}

static void pages_follow_the_ids(void **state) {
    (void)state;
    struct tvs_stream_list list;
    uint64_t random = unit_seed();
    init(&list);
    check(&list);
    for (size_t i = 0; i < STREAMS; i++)
        add(&list, i, &pools[i % 100 == 7]); /* one pool has few, far between */
    check(&list);
    size_t left = STREAMS;
    for (size_t goal = STREAMS / 2;; goal /= 3) {
        while (left > goal) {
            size_t index = (size_t)(unit_random(&random) % STREAMS);
            if (all[index] == NULL)
                continue;
            drop(&list, index);
            left--;
        }
        check(&list);
        if (goal == 0)
            break;
    }
    tvs_stream_list_fini(&list);
}

/* Whoever pages while streams come and go sees each that is there throughout, once. */
struct churn {
    struct tvs_stream_list *list;
    atomic_bool over;
};

static void *come_and_go(void *context) {
    struct churn *churn = context;
    while (!atomic_load(&churn->over)) {
        struct tvs_stream *some[16];
        for (size_t i = 0; i < 16; i++) {
            some[i] = calloc(1, sizeof *some[i]);
            atomic_init(&some[i]->references, 1);
            some[i]->pool = &pools[1];
            tvs_stream_list_add(churn->list, some[i]);
        }
        for (size_t i = 0; i < 16; i++) {
            tvs_stream_list_remove(churn->list, some[i]);
            while (atomic_load(&some[i]->references) > 1) /* somebody has it in a page */
                continue;
            free(some[i]);
        }
    }
    return NULL;
}

static void pages_while_others_come_and_go(void **state) {
    (void)state;
    struct tvs_stream_list list;
    pthread_t thread;
    init(&list);
    for (size_t i = 0; i < STREAMS; i++)
        add(&list, i, &pools[0]);
    struct churn churn = {.list = &list};
    assert_int_equal(pthread_create(&thread, NULL, come_and_go, &churn), 0);
    for (unsigned round = 0; round < 50; round++) {
        struct tvs_stream *page[100];
        uint64_t after_id = 0;
        uint64_t next = begin + 1;
        for (size_t count; (count = tvs_stream_list_page(&list, NULL, after_id, page, 100)) > 0;) {
            after_id = page[count - 1]->id;
            for (size_t i = 0; i < count; i++) {
                if (page[i]->pool == &pools[0])
                    assert_int_equal(page[i]->id, next++);
                atomic_fetch_sub(&page[i]->references, 1);
            }
        }
        assert_int_equal(next, begin + STREAMS + 1);
    }
    atomic_store(&churn.over, true);
    pthread_join(thread, NULL);
    for (size_t i = 0; i < STREAMS; i++)
        drop(&list, i);
    tvs_stream_list_fini(&list);
}

/* An id of one server is nobody's at the next one. */
static void ids_are_of_one_server(void **state) {
    (void)state;
    uint64_t begins[4];
    bool differ = false;
    for (size_t i = 0; i < 4; i++) {
        struct tvs_stream_list list;
        tvs_stream_list_init(&list);
        begins[i] = list.last_id;
        assert_true(begins[i] < 100000000 - 1000000); /* eight digits, as the command's lists have room for */
        differ |= begins[i] != begins[0];
        tvs_stream_list_fini(&list);
    }
    assert_true(differ);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pages_follow_the_ids),
        cmocka_unit_test(pages_while_others_come_and_go),
        cmocka_unit_test(ids_are_of_one_server),
    };
    return cmocka_run_group_tests_name("list of streams", tests, NULL, NULL);
}
