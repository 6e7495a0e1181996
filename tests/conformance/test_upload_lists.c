/* test_upload_lists.c - resumable uploads as a crowd, in any driver that has them: listed, expired, collected. */
#include "uploads.h"

#include "mem_upload.h"

#include <pthread.h>
#include <stdlib.h>

#define B TV_BLOCK_BYTES

/* ---- deadlines ------------------------------------------------------------------------------------------------------- */

static void test_deadlines(void **state) {
    (void)state;
    static const struct {
        const char *name;
        uint64_t now, idle, created, keep, before, expires;
    } rows[] = {
        {"begun", 1000, 50, 1000, 200, 0, 1050},
        {"touched", 1040, 50, 1000, 200, 1050, 1090},
        {"touched near the cap", 1160, 50, 1000, 200, 1150, 1200},
        {"touched at the cap", 1200, 50, 1000, 200, 1200, 1200},
        {"touched behind the cap", 1300, 50, 1000, 200, 1200, 1200},
        {"the clock went back", 900, 50, 1000, 200, 1050, 1050},
        {"a shorter time than before", 1040, 5, 1000, 200, 1050, 1050},
        {"a cap that is below the idle time", 1000, 500, 1000, 200, 0, 1200},
        {"never", 1000, UINT64_MAX, 1000, UINT64_MAX, 0, UINT64_MAX},
        {"at once", 1000, 0, 1000, 200, 0, 1000},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        print_message("    %s\n", rows[i].name);
        assert_int_equal(tvs_upload_expiry(rows[i].now, rows[i].idle, rows[i].created, rows[i].keep, rows[i].before),
                         rows[i].expires);
    }
}

static void test_each_touch_moves_the_deadline(void **state) {
    struct store *store = *state;
    struct begin_how how = {.idle_ns = 1000000000000u, .keep_ns = 900000000000000u};
    struct told told, last;
    struct tvs_put *put = must_begin(store, "object", &how, &told);
    assert_true(told.expires_ns >= told.created_ns + how.idle_ns);
    last = told;
    must_write(store, put, "abc", 0, 3);
    upload_flush(store, put, &told);
    must(told.status, &told.error);
    assert_true(told.expires_ns > last.expires_ns);
    last = told;
    must(upload_stat(store, &told.id, "alice", &told), &told.error);
    assert_int_equal(told.expires_ns, last.expires_ns); /* asking touches nothing */
    upload_attach(store, &told.id, "alice", &told);
    must(told.status, &told.error);
    assert_true(told.expires_ns > last.expires_ns);
    last = told;
    store->ops->put_abort(put);
    put = must_attach(store, &told.id, 3, &told);
    must_commit(store, put);
    assert_true(told.expires_ns > last.expires_ns);
    last = told;
    must(upload_stat(store, &told.id, "alice", &told), &told.error);
    assert_true(told.complete);
    assert_true(told.expires_ns > last.expires_ns);

    how = (struct begin_how){.idle_ns = 2 * DAY_NS, .keep_ns = DAY_NS};
    put = must_begin(store, "capped", &how, &told);
    assert_int_equal(told.expires_ns, told.created_ns + DAY_NS);
    last = told;
    upload_flush(store, put, &told);
    assert_int_equal(told.expires_ns, last.expires_ns);
    store->ops->put_abort(put);
}

/* ---- collecting ------------------------------------------------------------------------------------------------------ */

static void test_what_has_expired_is_collected(void **state) {
    struct store *store = *state;
    char *bytes = bytes_make((size_t)(2 * B), 1);
    trove_error error = {0};
    struct told held, flushed, small, complete, later;
    const struct begin_how day = {0}, week = {.idle_ns = 7 * DAY_NS};
    struct tvs_put *put = must_begin(store, "held", &day, &held), *gone = must_begin(store, "flushed", &day, &flushed);
    must_write(store, put, bytes, 0, B);
    must_write(store, gone, bytes, 0, 2 * B);
    must_flush(store, gone, 2 * B);
    store->ops->put_abort(gone);
    gone = must_begin(store, "small", &day, &small);
    must_write(store, gone, bytes, 0, 100);
    must_flush(store, gone, 100);
    store->ops->put_abort(gone);
    gone = must_begin(store, "complete", &day, &complete);
    must_write(store, gone, bytes, 0, B);
    must_commit(store, gone);
    gone = must_begin(store, "later", &week, &later);
    must_write(store, gone, bytes, 0, B);
    must_flush(store, gone, B);
    store->ops->put_abort(gone);

    assert_int_equal(must_collect(store, held.created_ns + DAY_NS / 2, 10), 0);
    assert_int_equal(must_collect(store, held.created_ns + 2 * DAY_NS, 10), 4);
    assert_int_equal(must_collect(store, held.created_ns + 2 * DAY_NS, 10), 0);
    must_be_gone(store, &held.id);
    must_be_gone(store, &flushed.id);
    must_be_gone(store, &small.id);
    must_be_gone(store, &complete.id);
    must_hold(store, "bucket", "complete", bytes, (size_t)B); /* only its result has expired */
    struct tv_data data = {.offset = B, .bytes = 100, .iov_count = 1, .iov[0] = {bytes, 100}};
    tv_data_hash(&data);
    must_fail(store->ops->put_write(put, &data, &error), TROVE_NOT_FOUND, &error, "expired");
    store->ops->put_abort(put);
    if (survives_restart()) {
        store_close(store);
        store_open(store);
    }
    put = must_attach(store, &later.id, B, &later);
    must_write(store, put, bytes, B, 2 * B);
    must_commit(store, put);
    must_hold(store, "bucket", "later", bytes, (size_t)(2 * B));
    free(bytes);
}

/* A touch counts, however long ago the upload was begun. */
static void test_what_was_touched_stays(void **state) {
    struct store *store = *state;
    const struct begin_how how = {.idle_ns = 1000, .keep_ns = 100 * DAY_NS};
    struct told told, touched;
    struct tvs_put *put = must_begin(store, "object", &how, &told);
    uint64_t first = told.expires_ns;
    do
        upload_flush(store, put, &touched);
    while (touched.expires_ns <= first + 10);
    must(touched.status, &touched.error);
    for (int round = 0; round < 3; round++)
        assert_int_equal(must_collect(store, first, 10), 0);
    assert_int_equal(must_collect(store, touched.expires_ns - 1, 10), 0);
    must(upload_stat(store, &told.id, NULL, &told), &told.error);
    assert_int_equal(must_collect(store, touched.expires_ns, 10), 1);
    must_be_gone(store, &told.id);
    store->ops->put_abort(put);
}

static void test_collecting_is_bounded(void **state) {
    struct store *store = *state;
    enum {
        COUNT = 25
    };
    struct told told;
    for (int i = 0; i < COUNT; i++) {
        struct tvs_put *put = must_begin(store, "object", NULL, &told);
        store->ops->put_abort(put);
    }
    uint32_t removed;
    bool more;
    trove_error error = {0};
    must(store->ops->upload_collect(store->driver, told.expires_ns, 10, &removed, &more, &error), &error);
    assert_int_equal(removed, 10);
    assert_true(more);
    assert_int_equal(must_collect(store, told.expires_ns, 1), COUNT - 10);
    char *text = uploads_text(store, "", NULL, 10);
    assert_string_equal(text, "|");
    free(text);
}

/* Those that expired while the store was closed go when it is opened. */
static void test_collected_at_the_start(void **state) {
    struct store *store = *state;
    if (!survives_restart())
        return;
    const struct begin_how at_once = {.idle_ns = 1};
    struct told told, kept;
    store->ops->put_abort(must_begin(store, "expired", &at_once, &told));
    store->ops->put_abort(must_begin(store, "kept", NULL, &kept));
    store_close(store);
    store_open(store);
    must_be_gone(store, &told.id);
    must(upload_stat(store, &kept.id, NULL, &kept), &kept.error);
}

/* ---- listing --------------------------------------------------------------------------------------------------------- */

static void begin_at(struct store *store, const char *bucket, const char *key, struct told *told) {
    upload_begin(store, bucket, key, NULL, told);
    must(told->status, &told->error);
}

static void must_list(struct store *store, const char *bucket, struct tvs_upload_cursor *cursor, uint32_t limit,
                      const char *expected) {
    char *text = uploads_text(store, bucket, cursor, limit);
    assert_string_equal(text, expected);
    free(text);
}

static void test_listed_in_order(void **state) {
    struct store *store = *state;
    trove_error error = {0};
    struct told told, done;
    must(store->ops->bucket_create(store->driver, "another", &error), &error);
    must_list(store, "", NULL, 10, "|");
    must_list(store, "another", NULL, 10, "|");
    static const char *const keys[] = {"b", "a/b", "a", "a", "\xC3\xA4"};
    for (size_t i = 0; i < 5; i++)
        begin_at(store, "bucket", keys[i], &told);
    begin_at(store, "another", "z", &told);
    begin_at(store, "another", "a", &done);
    must_list(store, "bucket", NULL, 10, "bucket/a bucket/a bucket/a/b bucket/b bucket/\xC3\xA4 |");
    must_list(store, "another", NULL, 10, "another/a another/z |");
    /* Of all buckets: in the order in which they were made. */
    must_list(store, "", NULL, 10, "bucket/a bucket/a bucket/a/b bucket/b bucket/\xC3\xA4 another/a another/z |");
    must_list(store, "", NULL, 7, "bucket/a bucket/a bucket/a/b bucket/b bucket/\xC3\xA4 another/a another/z |");
    must_list(store, "", NULL, 6, "bucket/a bucket/a bucket/a/b bucket/b bucket/\xC3\xA4 another/a | more");
    struct tvs_upload_cursor cursor = {0};
    must_list(store, "", &cursor, 1, "bucket/a | more");
    must_list(store, "", &cursor, 3, "bucket/a bucket/a/b bucket/b | more");
    must_list(store, "", &cursor, 2, "bucket/\xC3\xA4 another/a | more");
    must_list(store, "", &cursor, 2, "another/z |");
    must_list(store, "", &cursor, 2, "|");
    cursor.count = 0;
    must_list(store, "bucket", &cursor, 4, "bucket/a bucket/a bucket/a/b bucket/b | more");
    must_list(store, "bucket", &cursor, 4, "bucket/\xC3\xA4 |");
    must_list(store, "another", &cursor, 4, "another/a another/z |"); /* one from before its bucket */
    must_list(store, "bucket", &cursor, 4, "|");                      /* one from behind it */
    /* What is complete or gone isn't unfinished. */
    must_commit(store, must_attach(store, &done.id, 0, &done));
    must_abort(store, &told.id);
    must_list(store, "another", NULL, 10, "|");
    if (survives_restart()) {
        store_close(store);
        store_open(store);
    }
    if (survives_restart())
        must_list(store, "", NULL, 10, "bucket/a bucket/a bucket/a/b bucket/b bucket/\xC3\xA4 |");
}

static bool take_two(void *context, const struct tvs_upload_info *info) {
    (void)info;
    unsigned *count = context;
    return ++*count <= 2;
}

static void test_a_page_that_its_visitor_ends(void **state) {
    struct store *store = *state;
    trove_error error = {0};
    struct told told;
    static const char *const keys[] = {"a", "b", "c", "d"};
    for (size_t i = 0; i < 4; i++)
        begin_at(store, "bucket", keys[i], &told);
    struct tvs_upload_cursor cursor = {0};
    unsigned count = 0;
    bool more = false;
    must(store->ops->upload_list(store->driver, "bucket", &cursor, 10, take_two, &count, &more, &error), &error);
    assert_int_equal(count, 3);
    assert_true(more);
    must_list(store, "bucket", &cursor, 10, "bucket/c bucket/d |");
}

static void test_bad_cursors(void **state) {
    struct store *store = *state;
    struct told told;
    trove_error error = {0};
    begin_at(store, "bucket", "key", &told);
    struct tvs_upload_cursor good = {0};
    must_list(store, "bucket", &good, 1, "bucket/key |");
    for (size_t count = 1; count <= good.count + 1; count++) {
        struct tvs_upload_cursor cursor = good;
        unsigned visited = 0;
        bool more = false;
        cursor.count = count;
        if (count == good.count)
            continue;
        must_fail(store->ops->upload_list(store->driver, "bucket", &cursor, 1, take_two, &visited, &more, &error),
                  TROVE_INVALID_ARGUMENT, &error, "cursor");
    }
    struct tvs_upload_cursor cursor = {.count = sizeof cursor.bytes + 1};
    bool more;
    must_fail(store->ops->upload_list(store->driver, "", &cursor, 1, take_two, &(unsigned){0}, &more, &error),
              TROVE_INVALID_ARGUMENT, &error, "cursor");
    must_fail(store->ops->upload_list(store->driver, "nowhere", &(struct tvs_upload_cursor){0}, 1, take_two, &(unsigned){0},
                                      &more, &error),
              TROVE_NOT_FOUND, &error, "nowhere");
}

/* ---- many at once ---------------------------------------------------------------------------------------------------- */

enum {
    HOLDERS = 6,
    BEGINNERS = 6,
    OBJECT_BYTES = 700000
};

/* What the holders of one upload have flushed so far. */
struct race {
    pthread_mutex_t lock;
    pthread_cond_t moved;
    unsigned flushes;
    unsigned commits;
};

struct holder {
    pthread_t thread;
    struct store *store;
    struct tvs_upload_id id;
    const char *bytes;
    struct race *race;
};

static unsigned flushes_of(struct race *race) {
    pthread_mutex_lock(&race->lock);
    unsigned flushes = race->flushes;
    pthread_mutex_unlock(&race->lock);
    return flushes;
}

static void count_flush(struct race *race, bool committed) {
    pthread_mutex_lock(&race->lock);
    race->flushes++;
    race->commits += committed;
    pthread_cond_broadcast(&race->moved);
    pthread_mutex_unlock(&race->lock);
}

/* Who is fenced lets the one who did it come to something, or they would fence each other for ever. */
static void wait_for_another(struct race *race, unsigned flushes) {
    pthread_mutex_lock(&race->lock);
    while (race->flushes == flushes)
        pthread_cond_wait(&race->moved, &race->lock);
    pthread_mutex_unlock(&race->lock);
}

/* Writes and flushes a little, and with that perhaps completes it. ABORTED: somebody else has taken it over. */
static trove_status go_on(const struct holder *holder, struct tvs_put *put_move, uint64_t at) {
    static const struct put_how how = {.write_bytes = 50000};
    struct store *store = holder->store;
    trove_error error = {0};
    struct told told = {.status = TROVE_OK};
    uint64_t end = at + 100000 < OBJECT_BYTES ? at + 100000 : OBJECT_BYTES;
    trove_status status = put_more(store, put_move, holder->bytes, (size_t)at, (size_t)end, &how, &error);
    if (status == TROVE_OK) {
        upload_flush(store, put_move, &told);
        status = told.status;
    }
    bool complete = status == TROVE_OK && told.durable_offset == OBJECT_BYTES;
    if (complete)
        status = put_commit_wait(store, put_move, NULL, &error);
    else
        store->ops->put_abort(put_move);
    if (status == TROVE_OK)
        count_flush(holder->race, complete);
    return status;
}

static void *hold_on(void *argument) {
    const struct holder *holder = argument;
    struct store *store = holder->store;
    for (;;) {
        struct told told;
        trove_error error = {0};
        struct tvs_put *put;
        unsigned flushes = flushes_of(holder->race);
        upload_attach(store, &holder->id, "alice", &told);
        must(told.status, &told.error);
        if (told.complete)
            return NULL;
        trove_status status;
        do
            status = store->ops->upload_open(store->driver, &told.id, told.epoch, &put, &error);
        while (status == TROVE_UNAVAILABLE);
        if (status == TROVE_OK)
            status = go_on(holder, put, told.durable_offset);
        if (status == TROVE_ABORTED)
            wait_for_another(holder->race, flushes);
        else
            assert_true(status == TROVE_OK || status == TROVE_FAILED_PRECONDITION);
    }
}

static void test_many_want_to_hold_it(void **state) {
    struct store *store = *state;
    char *bytes = bytes_make(OBJECT_BYTES, 1);
    for (int round = 0; round < 4; round++) {
        struct holder holders[HOLDERS];
        struct race race = {.lock = PTHREAD_MUTEX_INITIALIZER, .moved = PTHREAD_COND_INITIALIZER};
        struct told told;
        begin_at(store, "bucket", "object", &told);
        for (unsigned i = 0; i < HOLDERS; i++) {
            holders[i] = (struct holder){.store = store, .id = told.id, .bytes = bytes, .race = &race};
            assert_int_equal(pthread_create(&holders[i].thread, NULL, hold_on, &holders[i]), 0);
        }
        for (unsigned i = 0; i < HOLDERS; i++)
            pthread_join(holders[i].thread, NULL);
        assert_int_equal(race.commits, 1);
        must_hold(store, "bucket", "object", bytes, OBJECT_BYTES);
    }
    must_count(store, "bucket", 1, OBJECT_BYTES);
    free(bytes);
}

struct beginner {
    pthread_t thread;
    struct store *store;
    struct told told;
};

static void *begin_the_same(void *argument) {
    struct beginner *beginner = argument;
    upload_begin(beginner->store, "bucket", "object", &(struct begin_how){.request = 7}, &beginner->told);
    return NULL;
}

/* One request that arrives many times at once is one upload, with an epoch for each. */
static void test_one_request_at_once(void **state) {
    struct store *store = *state;
    struct beginner beginners[BEGINNERS];
    unsigned epochs = 0;
    for (unsigned i = 0; i < BEGINNERS; i++) {
        beginners[i] = (struct beginner){.store = store};
        assert_int_equal(pthread_create(&beginners[i].thread, NULL, begin_the_same, &beginners[i]), 0);
    }
    for (unsigned i = 0; i < BEGINNERS; i++) {
        pthread_join(beginners[i].thread, NULL);
        must(beginners[i].told.status, &beginners[i].told.error);
        assert_memory_equal(&beginners[i].told.id, &beginners[0].told.id, sizeof beginners[0].told.id);
        epochs |= 1u << beginners[i].told.epoch;
    }
    assert_int_equal(epochs, ((1u << BEGINNERS) - 1) << 1);
    must_list(store, "", NULL, 10, "bucket/object |");
}

/* ---- mem's own limits ------------------------------------------------------------------------------------------------- */

static void test_as_many_as_mem_takes(void **state) {
    struct store *store = *state;
    struct told first, told;
    begin_at(store, "bucket", "first", &first);
    for (unsigned i = 1; i < TVS_MEM_UPLOADS_MAX; i++)
        begin_at(store, "bucket", "object", &told);
    upload_begin(store, "bucket", "more", NULL, &told);
    must_fail(told.status, TROVE_RESOURCE_EXHAUSTED, &told.error, "unfinished uploads");
    must_commit(store, must_attach(store, &first.id, 0, &first));
    begin_at(store, "bucket", "more", &told);
    upload_begin(store, "bucket", "more", NULL, &told);
    must_fail(told.status, TROVE_RESOURCE_EXHAUSTED, &told.error, "unfinished uploads");
    assert_int_equal(must_collect(store, told.expires_ns + first.expires_ns + 100 * DAY_NS, 1000), TVS_MEM_UPLOADS_MAX + 1);
}

static void test_as_many_results_as_mem_keeps(void **state) {
    struct store *store = *state;
    struct told *told = calloc(TVS_MEM_RESULTS_MAX + 2, sizeof *told);
    for (unsigned i = 0; i < TVS_MEM_RESULTS_MAX + 2; i++) {
        must_commit(store, must_begin(store, "object", NULL, &told[i]));
        if (i == TVS_MEM_RESULTS_MAX - 1)
            must(upload_stat(store, &told[0].id, NULL, &told[0]), &told[0].error);
    }
    must_be_gone(store, &told[0].id);
    must_be_gone(store, &told[1].id);
    must(upload_stat(store, &told[2].id, NULL, &told[2]), &told[2].error);
    assert_true(told[2].complete);
    free(told);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, relaxed_setup, store_teardown)

int main(int count, char **arguments) {
    fixture_choose(count, arguments);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_deadlines),  TEST(test_each_touch_moves_the_deadline), TEST(test_what_has_expired_is_collected),
        TEST(test_what_was_touched_stays), TEST(test_collecting_is_bounded),         TEST(test_collected_at_the_start),
        TEST(test_listed_in_order),        TEST(test_a_page_that_its_visitor_ends),  TEST(test_bad_cursors),
        TEST(test_many_want_to_hold_it),   TEST(test_one_request_at_once),
    };
    const struct CMUnitTest mem_tests[] = {TEST(test_as_many_as_mem_takes), TEST(test_as_many_results_as_mem_keeps)};
    int failed = cmocka_run_group_tests_name("resumable uploads, many of them", tests, NULL, NULL);
    if (fixture_ops == &tvs_mem_driver)
        failed += cmocka_run_group_tests_name("resumable uploads, as many as mem takes", mem_tests, NULL, NULL);
    return failed != 0;
}
