/* test_client_objects.c - whole objects through libtrove and a real troved: sizes, ranges, names, lists, many at once. (From and
 * to files and pipes: test_client_files.c.) */
#include "client_test.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const size_t sizes[] = {0, 1, 4095, 65535, 65536, 65537, 262144, 1 * MIB - 1, 1 * MIB, 1 * MIB + 1, 5 * MIB + 4321};
#define SIZE_COUNT (sizeof sizes / sizeof sizes[0])

/* ---- sizes ---- */

static void test_memory(void **state) {
    const struct client_test *test = *state;
    static const uint64_t chunk_sizes[] = {0, 100000, 262144, 4 * MIB};
    char etag[TROVE_ETAG_BYTES];
    for (size_t i = 0; i < SIZE_COUNT; i++) {
        for (size_t j = 0; j < sizeof chunk_sizes / sizeof chunk_sizes[0]; j++) {
            trove_stream_options options;
            trove_object_info *info = NULL;
            trove_error error;
            trove_stream_options_init(&options);
            options.chunk_bytes = chunk_sizes[j];
            CHECK_OK(trove_put_memory(test->client, BUCKET, "memory", test->bytes, sizes[i], &options, &info, &error), &error);
            assert_int_equal(info->size, sizes[i]);
            if (j == 0)
                memcpy(etag, info->etag, sizeof etag);
            assert_string_equal(info->etag, etag); /* however it was cut */
            trove_object_info_free(info);
            check_object(test, "memory", test->bytes, sizes[i]);
        }
    }
}

/* A pipe that gives nothing, and one that takes nothing: each has its own limit, and the message tells which it was. */
static void test_silent_pipe(void **state) {
    const struct client_test *test = *state;
    int ends[2];
    trove_stream_options options;
    trove_error error;
    CHECK_OK(trove_put_memory(test->client, BUCKET, "unread", test->bytes, 2 * MIB, NULL, NULL, &error), &error);
    for (int own = 0; own < 2; own++) {
        trove_stream_options_init(&options);
        options.timeout_ms = own ? TROVE_NO_TIMEOUT : 300;
        options.io_timeout_ms = own ? 300 : 0;
        assert_int_equal(pipe2(ends, O_NONBLOCK), 0);
        uint64_t begun_ms = now_ms();
        CHECK_FAILS(trove_put_fd(test->client, BUCKET, "silent", ends[0], &options, NULL, &error), DEADLINE_EXCEEDED,
                    "has given nothing for 0.3 s", &error);
        CHECK_FAILS(trove_get_fd(test->client, BUCKET, "unread", ends[1], &options, NULL, &error), DEADLINE_EXCEEDED,
                    "has taken nothing for 0.3 s", &error);
        assert_in_range(now_ms() - begun_ms, 600, 10000);
        close(ends[0]);
        close(ends[1]);
    }
}

/* ---- ranges ---- */

static void test_ranges(void **state) {
    const struct client_test *test = *state;
    static const struct {
        const char *name;
        uint64_t offset;
        uint64_t length;
        size_t expected;
    } rows[] = {
        {"whole", 0, TROVE_SIZE_UNKNOWN, 5 * MIB},
        {"from a block", 262144, TROVE_SIZE_UNKNOWN, 5 * MIB - 262144},
        {"odd to odd", 100001, 1234567, 1234567},
        {"inside a block", 262145, 100, 100},
        {"last byte", 5 * MIB - 1, 1, 1},
        {"beyond the end", 4 * MIB, 2 * MIB, 1 * MIB},
        {"nothing", 1000, 0, 0},
        {"at the end", 5 * MIB, TROVE_SIZE_UNKNOWN, 0},
    };
    uint8_t *got = malloc(5 * MIB);
    trove_error error;
    CHECK_OK(trove_put_memory(test->client, BUCKET, "range", test->bytes, 5 * MIB, NULL, NULL, &error), &error);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        trove_stream_options options;
        size_t size = SIZE_MAX;
        trove_stream_options_init(&options);
        options.range_offset = rows[i].offset;
        options.range_length = rows[i].length;
        trove_status status = trove_get_memory(test->client, BUCKET, "range", got, 5 * MIB, &options, &size, NULL, &error);
        if (status != TROVE_OK || size != rows[i].expected || memcmp(got, test->bytes + rows[i].offset, size) != 0)
            fail_msg("%s: %s: %s; %zu bytes", rows[i].name, trove_status_name(status), error.message, size);
    }
    size_t size = 7;
    CHECK_FAILS(trove_get_memory(test->client, BUCKET, "range", got, 1000, NULL, &size, NULL, &error), OUT_OF_RANGE, "5242880",
                &error);
    assert_int_equal(size, 7);
    free(got);
}

/* ---- names, descriptions, lists ---- */

static void test_description(void **state) {
    const struct client_test *test = *state;
    const trove_metadata metadata[] = {{"colour", "blue"}, {"\xC3\xBC", "\xE2\x82\xAC"}};
    trove_stream_options options;
    trove_object_info *info = NULL;
    trove_error error;
    trove_stream_options_init(&options);
    options.content_type = "video/mp4";
    options.metadata = metadata;
    options.metadata_count = 2;
    static const size_t few[] = {100, 2 * MIB}; /* in one flight, and as a stream */
    for (size_t i = 0; i < 2; i++) {
        CHECK_OK(trove_put_memory(test->client, BUCKET, "a/../b \xF0\x9F\x90\x99", test->bytes, few[i], &options, NULL, &error),
                 &error);
        CHECK_OK(trove_object_copy(test->client, BUCKET, "a/../b \xF0\x9F\x90\x99", BUCKET, "copy", NULL, 0, NULL, &error),
                 &error);
        CHECK_OK(trove_object_head(test->client, BUCKET, "copy", 0, &info, &error), &error);
        assert_string_equal(info->bucket, BUCKET);
        assert_string_equal(info->key, "copy");
        assert_string_equal(info->content_type, "video/mp4");
        assert_int_equal(info->size, few[i]);
        assert_int_equal(info->metadata_count, 2);
        assert_string_equal(info->metadata[0].key, "colour");
        assert_string_equal(info->metadata[1].value, "\xE2\x82\xAC");
        assert_true(info->modified_ns > 1600000000ull * 1000000000ull && info->generation > 0);
        trove_object_info_free(info);
        check_object(test, "copy", test->bytes, few[i]);
    }
    CHECK_OK(trove_object_delete(test->client, BUCKET, "copy", NULL, 0, &error), &error);
    CHECK_FAILS(trove_object_head(test->client, BUCKET, "copy", 0, &info, &error), NOT_FOUND, "copy", &error);
}

/* ---- conditions ---- */

static trove_status put_if(const struct client_test *test, size_t size, trove_conditions conditions, trove_error *error) {
    trove_stream_options options;
    trove_stream_options_init(&options);
    options.conditions = conditions;
    return trove_put_memory(test->client, BUCKET, "conditional", test->bytes, size, &options, NULL, error);
}

static void test_conditions(void **state) {
    const struct client_test *test = *state;
    trove_object_info *info = NULL, *copied = NULL;
    trove_error error;
    static const size_t few[] = {100, 2 * MIB}; /* in one flight, and as a stream */
    for (size_t i = 0; i < 2; i++) {
        CHECK_OK(put_if(test, few[i], (trove_conditions){.if_none_match = true}, &error), &error);
        CHECK_OK(trove_object_head(test->client, BUCKET, "conditional", 0, &info, &error), &error);
        const trove_conditions right = {.if_match = info->etag, .if_generation = info->generation};
        const trove_conditions wrong[] = {{.if_none_match = true},
                                          {.if_match = "00000000000000000000000000000000"},
                                          {.if_match = info->etag, .if_generation = info->generation + 1}};
        for (size_t w = 0; w < 3; w++) {
            CHECK_FAILS(put_if(test, few[i], wrong[w], &error), FAILED_PRECONDITION, BUCKET "/conditional", &error);
            CHECK_FAILS(trove_object_copy(test->client, BUCKET, "conditional", BUCKET, "conditional", &wrong[w], 0, NULL, &error),
                        FAILED_PRECONDITION, BUCKET "/conditional", &error);
            if (w > 0)
                CHECK_FAILS(trove_object_delete(test->client, BUCKET, "conditional", &wrong[w], 0, &error), FAILED_PRECONDITION,
                            BUCKET "/conditional", &error);
        }
        check_object(test, "conditional", test->bytes, few[i]);
        CHECK_OK(put_if(test, few[i], right, &error), &error);
        CHECK_FAILS(put_if(test, few[i], right, &error), FAILED_PRECONDITION, "generation", &error);
        CHECK_OK(trove_object_copy(test->client, BUCKET, "conditional", BUCKET, "conditional",
                                   &(trove_conditions){.if_match = info->etag}, 0, &copied, &error),
                 &error);
        CHECK_OK(trove_object_delete(test->client, BUCKET, "conditional",
                                     &(trove_conditions){.if_generation = copied->generation}, 0, &error),
                 &error);
        trove_object_info_free(copied);
        trove_object_info_free(info);
    }
}

static void test_conditions_that_make_no_sense(void **state) {
    const struct client_test *test = *state;
    trove_error error;
    static const struct {
        trove_conditions conditions;
        const char *text;
    } rows[] = {{{.if_match = ""}, "no etag"},
                {{.if_match = "0123"}, "no etag"},
                {{.if_match = "0000000000000000000000000000000G"}, "no etag"},
                {{.if_none_match = true, .if_generation = 1}, "if_generation"},
                {{.if_none_match = true, .if_match = "00000000000000000000000000000000"}, "if_match"}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        CHECK_FAILS(put_if(test, 1, rows[i].conditions, &error), INVALID_ARGUMENT, rows[i].text, &error);
        CHECK_FAILS(trove_object_copy(test->client, BUCKET, "a", BUCKET, "b", &rows[i].conditions, 0, NULL, &error),
                    INVALID_ARGUMENT, rows[i].text, &error);
    }
    const trove_conditions none = {.if_none_match = true};
    CHECK_FAILS(trove_object_delete(test->client, BUCKET, "a", &none, 0, &error), INVALID_ARGUMENT, "creates", &error);
    trove_stream_options options;
    trove_stream_options_init(&options);
    options.conditions = none;
    char byte;
    CHECK_FAILS(trove_get_memory(test->client, BUCKET, "a", &byte, 1, &options, NULL, NULL, &error), INVALID_ARGUMENT, "creates",
                &error);
}

/* What is whole has no gaps, and uploads can't allow any. */
static void test_no_gaps(void **state) {
    const struct client_test *test = *state;
    trove_stream_options options;
    trove_object_info *info = NULL;
    trove_error error;
    trove_stream_options_init(&options);
    options.allow_gaps = true;
    CHECK_FAILS(trove_put_memory(test->client, BUCKET, "no-gaps", test->bytes, 100, &options, NULL, &error), INVALID_ARGUMENT,
                "allow_gaps", &error);
    CHECK_OK(trove_put_memory(test->client, BUCKET, "no-gaps", test->bytes, 2 * MIB, NULL, &info, &error), &error);
    assert_true(info->gap_count == 0 && info->gap_bytes == 0 && info->gaps_listed == 0);
    trove_object_info_free(info);
    uint8_t *got = malloc(2 * MIB);
    CHECK_OK(trove_get_memory(test->client, BUCKET, "no-gaps", got, 2 * MIB, &options, NULL, &info, &error), &error);
    assert_memory_equal(got, test->bytes, 2 * MIB);
    assert_true(info->gap_count == 0 && info->gaps_listed == 0);
    trove_object_info_free(info);
    free(got);
}

static void test_list(void **state) {
    const struct client_test *test = *state;
    trove_error error;
    CHECK_OK(trove_bucket_create(test->client, "lists", 0, &error), &error);
    for (int i = 0; i < 25; i++) {
        char key[64];
        snprintf(key, sizeof key, "%s/%03d", i % 2 == 0 ? "even" : "odd", i);
        CHECK_OK(trove_put_memory(test->client, "lists", key, key, strlen(key), NULL, NULL, &error), &error);
    }
    trove_list_options options;
    trove_list_options_init(&options);
    options.limit = 10;
    char cursor[8192] = "";
    char previous[64] = "";
    size_t count = 0;
    for (bool more = true; more;) {
        trove_list_page *page = NULL;
        options.cursor = cursor[0] != '\0' ? cursor : NULL;
        CHECK_OK(trove_list(test->client, "lists", &options, &page, &error), &error);
        for (size_t i = 0; i < page->count; i++, count++) {
            assert_true(strcmp(previous, page->entries[i].key) < 0);
            assert_int_equal(page->entries[i].size, strlen(page->entries[i].key));
            snprintf(previous, sizeof previous, "%s", page->entries[i].key);
        }
        more = page->next_cursor != NULL;
        snprintf(cursor, sizeof cursor, "%s", more ? page->next_cursor : "");
        trove_list_page_free(page);
    }
    assert_int_equal(count, 25);
    options.cursor = NULL;
    options.delimiter = "/";
    trove_list_page *page = NULL;
    CHECK_OK(trove_list(test->client, "lists", &options, &page, &error), &error);
    assert_int_equal(page->count, 2);
    assert_true(page->entries[0].is_prefix);
    assert_string_equal(page->entries[1].key, "odd/");
    trove_list_page_free(page);
    options.cursor = "zz";
    CHECK_FAILS(trove_list(test->client, "lists", &options, &page, &error), INVALID_ARGUMENT, "cursor", &error);
    CHECK_FAILS(trove_bucket_delete(test->client, "lists", 0, &error), FAILED_PRECONDITION, "lists", &error);
}

static void test_buckets(void **state) {
    const struct client_test *test = *state;
    trove_error error;
    trove_bucket_info *buckets = NULL;
    size_t count = 0;
    CHECK_OK(trove_bucket_create(test->client, "another", 0, &error), &error);
    CHECK_FAILS(trove_bucket_create(test->client, "another", 0, &error), ALREADY_EXISTS, "another", &error);
    CHECK_OK(trove_bucket_list(test->client, 0, &buckets, &count, &error), &error);
    assert_true(count >= 2);
    assert_string_equal(buckets[0].name, "another");
    trove_bucket_list_free(buckets);
    CHECK_OK(trove_bucket_delete(test->client, "another", 0, &error), &error);
    CHECK_FAILS(trove_bucket_delete(test->client, "another", 0, &error), NOT_FOUND, "another", &error);
}

/* ---- many at once ---- */

struct worker {
    const struct client_test *test;
    int number;
    pthread_t thread;
    char failure[600];
};

static trove_status put_and_get(const struct worker *worker, int round, uint8_t *got, trove_error *error) {
    trove_client *client = worker->test->client;
    size_t size = sizes[(size_t)(worker->number + round) % SIZE_COUNT];
    const uint8_t *bytes = worker->test->bytes + worker->number * 4096;
    char key[64];
    size_t got_bytes = 0;
    snprintf(key, sizeof key, "thread/%d", worker->number);
    trove_status status = trove_put_memory(client, BUCKET, key, bytes, size, NULL, NULL, error);
    if (status == TROVE_OK)
        status = trove_get_memory(client, BUCKET, key, got, 6 * MIB, NULL, &got_bytes, NULL, error);
    if (status == TROVE_OK && (got_bytes != size || memcmp(got, bytes, size) != 0)) {
        snprintf(error->message, sizeof error->message, "%zu bytes came back otherwise", size);
        status = TROVE_DATA_LOSS;
    }
    return status;
}

static void *work(void *argument) {
    struct worker *worker = argument;
    uint8_t *got = malloc(6 * MIB);
    trove_error error;
    for (int round = 0; round < (int)SIZE_COUNT && worker->failure[0] == '\0'; round++) {
        trove_status status = put_and_get(worker, round, got, &error);
        if (status != TROVE_OK)
            snprintf(worker->failure, sizeof worker->failure, "%s: %s", trove_status_name(status), error.message);
    }
    free(got);
    return NULL;
}

static void test_threads(void **state) {
    struct worker workers[8] = {0};
    for (int i = 0; i < 8; i++) {
        workers[i].test = *state;
        workers[i].number = i;
        assert_int_equal(pthread_create(&workers[i].thread, NULL, work, &workers[i]), 0);
    }
    for (int i = 0; i < 8; i++)
        pthread_join(workers[i].thread, NULL);
    for (int i = 0; i < 8; i++)
        assert_string_equal(workers[i].failure, "");
}

/* ---- many small calls ---- */

struct counter {
    atomic_int done;
    atomic_int failed;
    const uint8_t *expected;
};

static void echoed(void *context, const trove_error *error, const void *data, size_t size) {
    struct counter *counter = context;
    if (error != NULL || size != 1000 || memcmp(data, counter->expected, size) != 0)
        atomic_fetch_add(&counter->failed, 1);
    atomic_fetch_add(&counter->done, 1);
}

static void stored(void *context, const trove_error *error, const void *data, size_t size) {
    struct counter *counter = context;
    if (error != NULL || data != NULL || size != 0)
        atomic_fetch_add(&counter->failed, 1);
    atomic_fetch_add(&counter->done, 1);
}

static void wait_for_done(struct counter *counter, int count) {
    WAIT_FOR(atomic_load(&counter->done) == count);
    assert_int_equal(atomic_load(&counter->failed), 0);
}

static void test_async(void **state) {
    const struct client_test *test = *state;
    struct counter echoes = {.expected = test->bytes};
    struct counter puts = {.expected = test->bytes};
    trove_error error;
    for (int i = 0; i < 5000; i++)
        CHECK_OK(trove_echo_async(test->client, test->bytes, 1000, 0, echoed, &echoes, &error), &error);
    for (int i = 0; i < 300; i++) {
        char key[64];
        snprintf(key, sizeof key, "async/%d", i);
        CHECK_OK(trove_put_async(test->client, BUCKET, key, test->bytes + i, (size_t)i * 200, 0, stored, &puts, &error), &error);
    }
    wait_for_done(&echoes, 5000);
    wait_for_done(&puts, 300);
    check_object(test, "async/299", test->bytes + 299, 299 * 200);
    check_object(test, "async/0", test->bytes, 0);
    CHECK_FAILS(trove_echo_async(test->client, test->bytes, 65537, 0, echoed, NULL, &error), INVALID_ARGUMENT, "65537", &error);
    struct counter missing = {0};
    CHECK_OK(trove_put_async(test->client, "no-such-bucket", "k", "", 0, 0, stored, &missing, &error), &error);
    WAIT_FOR(atomic_load(&missing.done) == 1);
    assert_int_equal(atomic_load(&missing.failed), 1);
}

/* More than the connection's early data holds: while one of them waits for room, those before it must be under way. */
#define FOLLOWERS 40

struct follow {
    const struct client_test *test;
    struct counter puts;
    atomic_int refused; /* -1: not begun yet */
};

static void follow_up(void *context, const trove_error *error, const void *data, size_t size) {
    struct follow *follow = context;
    int refused = error != NULL;
    (void)data, (void)size;
    for (int i = 0; i < FOLLOWERS; i++) {
        char key[64];
        trove_error why;
        snprintf(key, sizeof key, "follow/%d", i);
        refused += trove_put_async(follow->test->client, BUCKET, key, follow->test->bytes + i, 65536, 10000, stored,
                                   &follow->puts, &why) != TROVE_OK;
    }
    /* A call that is waited for isn't stuck behind them either. */
    trove_object_info *info = NULL;
    refused += trove_put_memory(follow->test->client, BUCKET, "follow/last", "x", 1, NULL, &info, NULL) != TROVE_OK;
    trove_object_info_free(info);
    atomic_store(&follow->refused, refused);
}

static void test_async_from_done(void **state) {
    const struct client_test *test = *state;
    struct follow follow = {.test = test, .refused = -1};
    trove_error error;
    CHECK_OK(trove_echo_async(test->client, "x", 1, 0, follow_up, &follow, &error), &error);
    wait_for_done(&follow.puts, FOLLOWERS);
    WAIT_FOR(atomic_load(&follow.refused) >= 0);
    assert_int_equal(atomic_load(&follow.refused), 0);
    check_object(test, "follow/39", test->bytes + 39, 65536);
    check_object(test, "follow/last", (const uint8_t *)"x", 1);
}

int main(int argc, char **argv) {
    client_test_arguments(argc, argv);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_memory),     cmocka_unit_test(test_silent_pipe),
        cmocka_unit_test(test_ranges),     cmocka_unit_test(test_description),
        cmocka_unit_test(test_conditions), cmocka_unit_test(test_conditions_that_make_no_sense),
        cmocka_unit_test(test_no_gaps),    cmocka_unit_test(test_list),
        cmocka_unit_test(test_buckets),    cmocka_unit_test(test_threads),
        cmocka_unit_test(test_async),      cmocka_unit_test(test_async_from_done),
    };
    return cmocka_run_group_tests_name(client_test_store(), tests, client_test_begin, client_test_end);
}
