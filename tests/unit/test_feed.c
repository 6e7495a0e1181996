/* test_feed.c - a put that is read while it is written: who writes, who is told and when, and that nobody reads a put that is
 * being published. The put is a fake: bytes in memory, and reads that can be held up.
 */
#include "feed.h"
#include "unit.h"

#include <pthread.h>
#include <sched.h>

#define PUT_BYTES 64

/* ---- the fake put ---- */

struct tvs_put {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    char bytes[PUT_BYTES];
    bool held;   /* reads wait, but for those of no bytes */
    int reading; /* of them */
    bool fails;
};

static struct tvs_put put;

static trove_status put_read(struct tvs_put *from, struct tv_data *data, trove_error *error) {
    pthread_mutex_lock(&from->lock);
    from->reading++;
    pthread_cond_broadcast(&from->changed);
    while (from->held && data->bytes > 0)
        pthread_cond_wait(&from->changed, &from->lock);
    from->reading--;
    memcpy(data->iov[0].iov_base, from->bytes + data->offset, data->bytes);
    pthread_mutex_unlock(&from->lock);
    return from->fails ? TV_FAIL(error, DATA_LOSS, "damaged") : TROVE_OK;
}

static const struct tvs_driver_ops ops = {.scheme = "fake", .put_read = put_read};

static void hold(bool held) {
    pthread_mutex_lock(&put.lock);
    put.held = held;
    pthread_cond_broadcast(&put.changed);
    pthread_mutex_unlock(&put.lock);
}

/* ---- followers ---- */

struct listener {
    struct tvs_follower follower; /* first */
    int held;
    int told;
    struct tvs_feed *asks_again; /* from within `told` */
    uint64_t end;
};

static void acquire(struct tvs_follower *follower) {
    ((struct listener *)follower)->held++;
}

static void told(struct tvs_follower *follower) {
    struct listener *listener = (struct listener *)follower;
    listener->held--;
    listener->told++;
    if (listener->asks_again != NULL)
        (void)tvs_feed_look(listener->asks_again, follower, &listener->end);
}

static void enter(struct tvs_feed *feed, struct listener *listener) {
    *listener = (struct listener){.follower = {.acquire = acquire, .told = told}};
    assert_true(tvs_feed_enter(feed, &listener->follower));
}

static enum tvs_feed_news look(struct tvs_feed *feed, struct listener *listener) {
    return tvs_feed_look(feed, &listener->follower, &listener->end);
}

/* ---- the fixture: a feed that is open, and its writer ---- */

static struct tvs_feeds feeds;

static struct tvs_feed *join(const char *bucket, const char *key, bool expected_writer) {
    struct tvs_feed *feed = NULL;
    bool writer = !expected_writer;
    trove_error error;
    assert_int_equal(tvs_feeds_join(&feeds, bucket, key, &feed, &writer, &error), TROVE_OK);
    assert_int_equal(writer, expected_writer);
    return feed;
}

static struct tvs_feed *begin(void) {
    tvs_feeds_init(&feeds);
    put = (struct tvs_put){.held = false};
    pthread_mutex_init(&put.lock, NULL);
    pthread_cond_init(&put.changed, NULL);
    for (size_t i = 0; i < PUT_BYTES; i++)
        put.bytes[i] = (char)('a' + i % 26);
    struct tvs_feed *feed = join("media", "log", true);
    tvs_feed_open(feed, &ops, &put);
    return feed;
}

static const struct tvs_object published = {.size = 40, .generation = 7, .etag = "00112233445566778899aabbccddeeff"};

static void settle(struct tvs_feed *feed, bool good) {
    trove_error why;
    TV_FAIL(&why, CANCELLED, "the writer was cancelled");
    tvs_feed_retire(feed);
    tvs_feed_close(feed);
    tvs_feed_settle(feed, good ? &published : NULL, &why);
}

static void end(struct tvs_feed *feed) {
    settle(feed, true);
    tvs_feed_release(feed);
    tvs_feeds_fini(&feeds);
}

static trove_status read_bytes(struct tvs_feed *feed, uint64_t bytes, bool *closed) {
    char memory[PUT_BYTES];
    trove_error error;
    struct tv_data data = {.bytes = bytes, .iov_count = 1, .iov[0] = {memory, bytes}};
    trove_status status = tvs_feed_read(feed, &data, closed, &error);
    if (status == TROVE_OK && !*closed)
        assert_memory_equal(memory, put.bytes, bytes);
    return status;
}

/* ---- who writes ---- */

static void test_the_first_one_writes(void **state) {
    (void)state;
    struct tvs_feed *feed = begin();
    struct tvs_feed *again = join("media", "log", false);
    assert_ptr_equal(again, feed);
    struct tvs_feed *others[] = {join("media", "logs", true), join("medi", "alog", true), join("media", "Log", true)};
    for (size_t i = 0; i < 3; i++) {
        assert_ptr_not_equal(others[i], feed);
        tvs_feed_retire(others[i]);
        tvs_feed_release(others[i]);
    }
    tvs_feed_release(again);
    end(feed);
}

static void test_who_may_not_write_finds_who_does(void **state) {
    (void)state;
    struct tvs_feed *feed = begin();
    struct tvs_feed *found = tvs_feeds_find(&feeds, "media", "log");
    assert_ptr_equal(found, feed);
    tvs_feed_release(found);
    assert_null(tvs_feeds_find(&feeds, "media", "logs"));
    tvs_feed_retire(feed);
    assert_null(tvs_feeds_find(&feeds, "media", "log"));
    end(feed);
}

/* The same slot, whatever the hash: feeds are found by their names. */
static void test_many_feeds(void **state) {
    (void)state;
    enum {
        MANY = 3 * TVS_FEED_SLOTS
    };
    static struct tvs_feed *many[MANY];
    struct tvs_feed *feed = begin();
    char key[32];
    for (int i = 0; i < MANY; i++) {
        snprintf(key, sizeof key, "key %d", i);
        many[i] = join("media", key, true);
    }
    for (int i = 0; i < MANY; i += 2) {
        tvs_feed_retire(many[i]);
        tvs_feed_retire(many[i]); /* twice does no harm */
    }
    for (int i = 0; i < MANY; i++) {
        snprintf(key, sizeof key, "key %d", i);
        struct tvs_feed *found = join("media", key, i % 2 == 0);
        assert_true(i % 2 == 0 ? found != many[i] : found == many[i]);
        tvs_feed_retire(found);
        tvs_feed_release(found);
        tvs_feed_release(many[i]);
    }
    end(feed);
}

static void test_the_next_one_writes_anew(void **state) {
    (void)state;
    struct tvs_feed *feed = begin();
    struct listener follower;
    enter(feed, &follower);
    tvs_feed_retire(feed);
    struct tvs_feed *next = join("media", "log", true); /* while the old one still has its follower */
    assert_ptr_not_equal(next, feed);
    settle(feed, false);
    assert_int_equal(follower.told, 1);
    tvs_feed_retire(feed); /* doesn't take the new one away */
    struct tvs_feed *found = join("media", "log", false);
    assert_ptr_equal(found, next);
    tvs_feed_release(found);
    tvs_feed_retire(next);
    tvs_feed_release(next);
    tvs_feed_release(feed);
    tvs_feeds_fini(&feeds);
}

/* ---- who is told ---- */

static void test_those_who_wait_are_told(void **state) {
    (void)state;
    struct tvs_feed *feed = begin();
    struct listener quick, slow;
    enter(feed, &quick);
    enter(feed, &slow);
    assert_int_equal(look(feed, &quick), TVS_FEED_NONE);
    assert_int_equal(look(feed, &quick), TVS_FEED_NONE); /* asked twice, told once */
    tvs_feed_grow(feed, 10);
    assert_int_equal(quick.told, 1);
    assert_int_equal(slow.told, 0);
    tvs_feed_grow(feed, 20);
    assert_int_equal(quick.told, 1); /* it hasn't asked again */
    assert_int_equal(look(feed, &quick), TVS_FEED_MORE);
    assert_int_equal(quick.end, 20);
    assert_int_equal(look(feed, &slow), TVS_FEED_MORE);
    assert_int_equal(look(feed, &slow), TVS_FEED_NONE);
    tvs_feed_grow(feed, 30);
    assert_int_equal(slow.told, 1);
    assert_int_equal(quick.told, 1);
    assert_int_equal(quick.held + slow.held, 0);
    end(feed);
    assert_int_equal(quick.told, 2);
    assert_int_equal(slow.told, 2);
}

/* Whoever asks again while it is told is told of the next change, and not twice of this one. */
static void test_asking_while_being_told(void **state) {
    (void)state;
    struct tvs_feed *feed = begin();
    struct listener followers[3];
    for (size_t i = 0; i < 3; i++) {
        enter(feed, &followers[i]);
        followers[i].asks_again = feed;
        assert_int_equal(look(feed, &followers[i]), TVS_FEED_NONE);
    }
    for (uint64_t step = 1; step <= 5; step++) {
        tvs_feed_grow(feed, step);
        for (size_t i = 0; i < 3; i++) {
            assert_int_equal(followers[i].told, step);
            assert_int_equal(followers[i].end, step);
            assert_int_equal(look(feed, &followers[i]), TVS_FEED_NONE);
        }
    }
    end(feed);
}

static void test_who_has_left_is_not_told(void **state) {
    (void)state;
    struct tvs_feed *feed = begin();
    struct listener followers[4];
    for (size_t i = 0; i < 4; i++) {
        enter(feed, &followers[i]);
        if (i > 0)
            assert_int_equal(look(feed, &followers[i]), TVS_FEED_NONE);
    }
    tvs_feed_leave(feed, &followers[2].follower); /* in the middle of those who wait */
    tvs_feed_leave(feed, &followers[2].follower);
    tvs_feed_grow(feed, 1);
    assert_int_equal(followers[1].told, 1);
    assert_int_equal(followers[2].told, 0);
    assert_int_equal(followers[3].told, 1);
    tvs_feed_leave(feed, &followers[0].follower);
    tvs_feed_leave(feed, &followers[3].follower);
    end(feed);
    assert_int_equal(followers[0].told, 0);
    assert_int_equal(followers[1].told, 2);
    assert_int_equal(followers[3].told, 1);
}

/* ---- the end ---- */

static void test_published(void **state) {
    (void)state;
    struct tvs_feed *feed = begin();
    struct listener follower, late;
    enter(feed, &follower);
    assert_false(tvs_feed_settled(feed));
    settle(feed, true);
    assert_true(tvs_feed_settled(feed));
    assert_int_equal(look(feed, &follower), TVS_FEED_SETTLED);
    late = (struct listener){.follower = {.acquire = acquire, .told = told}};
    assert_false(tvs_feed_enter(feed, &late.follower));
    assert_int_equal(look(feed, &late), TVS_FEED_SETTLED);
    const struct tvs_feed_outcome *outcome = tvs_feed_outcome(feed);
    assert_true(outcome->published);
    assert_int_equal(outcome->size, 40);
    assert_int_equal(outcome->generation, 7);
    assert_string_equal(outcome->etag, published.etag);
    tvs_feed_release(feed);
    tvs_feeds_fini(&feeds);
}

/* Also a writer that never had a put, with followers that wait already. */
static void test_given_up(void **state) {
    (void)state;
    tvs_feeds_init(&feeds);
    struct tvs_feed *feed = join("media", "log", true);
    struct listener follower;
    bool closed = false;
    enter(feed, &follower);
    assert_int_equal(look(feed, &follower), TVS_FEED_NONE);
    assert_int_equal(read_bytes(feed, 0, &closed), TROVE_OK);
    assert_true(closed);
    settle(feed, false);
    assert_int_equal(follower.told, 1);
    assert_false(tvs_feed_outcome(feed)->published);
    assert_string_equal(tvs_feed_outcome(feed)->why.message, "the writer was cancelled");
    tvs_feed_release(feed);
    tvs_feeds_fini(&feeds);
}

/* ---- reading ---- */

static void test_reading(void **state) {
    (void)state;
    struct tvs_feed *feed = begin();
    bool closed = true;
    tvs_feed_grow(feed, 20);
    assert_int_equal(read_bytes(feed, 20, &closed), TROVE_OK);
    assert_false(closed);
    put.fails = true; /* the reader's alone */
    assert_int_equal(read_bytes(feed, 5, &closed), TROVE_DATA_LOSS);
    put.fails = false;
    assert_int_equal(read_bytes(feed, 5, &closed), TROVE_OK);
    tvs_feed_close(feed);
    assert_int_equal(read_bytes(feed, 5, &closed), TROVE_OK);
    assert_true(closed);
    end(feed);
}

/* Returns NULL where it could read. */
static void *read_thread(void *feed) {
    char memory[PUT_BYTES];
    trove_error error;
    struct tv_data data = {.bytes = 10, .iov_count = 1, .iov[0] = {memory, 10}};
    bool closed = true;
    bool good = tvs_feed_read(feed, &data, &closed, &error) == TROVE_OK && !closed;
    return good ? NULL : feed;
}

static atomic_bool has_closed;

static void *close_thread(void *feed) {
    tvs_feed_close(feed);
    atomic_store(&has_closed, true);
    return NULL;
}

/* Closing waits for the reads that run; none begins meanwhile. */
static void test_closing_waits_for_reads(void **state) {
    (void)state;
    struct tvs_feed *feed = begin();
    pthread_t readers[3], closer;
    tvs_feed_grow(feed, 10);
    hold(true);
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(pthread_create(&readers[i], NULL, read_thread, feed), 0);
    pthread_mutex_lock(&put.lock);
    while (put.reading < 3)
        pthread_cond_wait(&put.changed, &put.lock);
    pthread_mutex_unlock(&put.lock);
    atomic_store(&has_closed, false);
    assert_int_equal(pthread_create(&closer, NULL, close_thread, feed), 0);
    for (bool closed = false; !closed; sched_yield()) /* when it closes, reads are refused */
        assert_int_equal(read_bytes(feed, 0, &closed), TROVE_OK);
    assert_false(atomic_load(&has_closed));
    hold(false);
    for (size_t i = 0; i < 3; i++) {
        void *failed = NULL;
        pthread_join(readers[i], &failed);
        assert_null(failed);
    }
    pthread_join(closer, NULL);
    assert_true(atomic_load(&has_closed));
    end(feed);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_first_one_writes),
        cmocka_unit_test(test_who_may_not_write_finds_who_does),
        cmocka_unit_test(test_many_feeds),
        cmocka_unit_test(test_the_next_one_writes_anew),
        cmocka_unit_test(test_those_who_wait_are_told),
        cmocka_unit_test(test_asking_while_being_told),
        cmocka_unit_test(test_who_has_left_is_not_told),
        cmocka_unit_test(test_published),
        cmocka_unit_test(test_given_up),
        cmocka_unit_test(test_reading),
        cmocka_unit_test(test_closing_waits_for_reads),
    };
    return cmocka_run_group_tests_name("feed", tests, NULL, NULL);
}
