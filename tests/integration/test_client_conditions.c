/* test_client_conditions.c - conditions of libtrove's puts, in one flight and streamed, against what others do meanwhile; and
 * many writers and readers of one key, each on a connection of its own: one whole winner, and never a mix.
 */
#include "client_test.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WRITERS 6
#define READERS 2
#define ROUNDS  12

static trove_object_info *head(const struct client_test *test, const char *key) {
    trove_object_info *info = NULL;
    trove_error error;
    CHECK_OK(trove_object_head(test->client, BUCKET, key, 0, &info, &error), &error);
    return info;
}

static void put(trove_client *client, const char *key, const void *bytes, size_t size) {
    trove_error error;
    CHECK_OK(trove_put_memory(client, BUCKET, key, bytes, size, NULL, NULL, &error), &error);
}

/* ---- what changes between the opening and the end --------------------------------------------------------------------- */

/* Opens with these conditions, which hold; lets `meanwhile` happen; completes. */
static trove_status complete_after(const struct client_test *test, const trove_conditions *conditions,
                                   void (*meanwhile)(const struct client_test *), trove_error *error) {
    trove_stream_options options;
    trove_stream_options_init(&options);
    options.conditions = *conditions;
    trove_stream *stream = open_stream(test, "raced", TROVE_DIRECTION_UPLOAD, &options);
    CHECK_OK(write_bytes(stream, test->bytes, 3 * MIB, 0, error), error);
    meanwhile(test);
    trove_status status = trove_stream_complete(stream, 0, NULL, error);
    trove_stream_release(stream);
    return status;
}

static void nothing(const struct client_test *test) {
    (void)test;
}

static void another_put(const struct client_test *test) {
    put(test->client, "raced", "another", 7);
}

static void the_same_put(const struct client_test *test) {
    put(test->client, "raced", "before", 6);
}

static void a_delete(const struct client_test *test) {
    trove_error error;
    CHECK_OK(trove_object_delete(test->client, BUCKET, "raced", NULL, 0, &error), &error);
}

static void test_judged_when_it_takes_effect(void **state) {
    const struct client_test *test = *state;
    enum {
        IF_NONE,
        IF_MATCH,
        IF_GENERATION
    };
    static const struct {
        const char *name;
        int condition;
        void (*meanwhile)(const struct client_test *);
        bool wins;
    } rows[] = {
        {"created, and nobody else has", IF_NONE, nothing, true},
        {"created meanwhile", IF_NONE, another_put, false},
        {"the etag is still the same", IF_MATCH, nothing, true},
        {"replaced by other bytes", IF_MATCH, another_put, false},
        {"replaced by the same bytes", IF_MATCH, the_same_put, true},
        {"its etag is gone with it", IF_MATCH, a_delete, false},
        {"the generation is still the same", IF_GENERATION, nothing, true},
        {"another generation of other bytes", IF_GENERATION, another_put, false},
        {"another generation of the same bytes", IF_GENERATION, the_same_put, false},
        {"its generation is gone with it", IF_GENERATION, a_delete, false},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        print_message("    %s\n", rows[i].name);
        trove_error error;
        trove_object_info *before = NULL;
        trove_conditions conditions = {.if_none_match = rows[i].condition == IF_NONE};
        put(test->client, "raced", "before", 6);
        before = head(test, "raced");
        if (rows[i].condition == IF_NONE)
            a_delete(test);
        else if (rows[i].condition == IF_MATCH)
            conditions.if_match = before->etag;
        else
            conditions.if_generation = before->generation;
        trove_status status = complete_after(test, &conditions, rows[i].meanwhile, &error);
        if (rows[i].wins) {
            check_ok(status, &error, rows[i].name, __FILE__, __LINE__);
            check_object(test, "raced", test->bytes, 3 * MIB);
        } else {
            check_fails(status, TROVE_FAILED_PRECONDITION, &error, BUCKET "/raced", __FILE__, __LINE__);
            assert_null(strstr(error.message, "storing")); /* it says by itself what it is about */
            if (rows[i].meanwhile == a_delete)
                CHECK_FAILS(trove_object_delete(test->client, BUCKET, "raced", NULL, 0, &error), NOT_FOUND, "raced", &error);
            else
                check_object(test, "raced", (const uint8_t *)(rows[i].meanwhile == the_same_put ? "before" : "another"),
                             rows[i].meanwhile == the_same_put ? 6 : 7);
        }
        trove_object_info_free(before);
    }
}

/* Refused at once: not a byte is sent for what can't come true. */
static void test_judged_when_it_is_opened(void **state) {
    const struct client_test *test = *state;
    trove_error error;
    trove_stream_options options;
    trove_stream *stream = NULL;
    put(test->client, "there", "abc", 3);
    trove_stream_options_init(&options);
    options.conditions.if_none_match = true;
    trove_status status = trove_stream_open(test->client, BUCKET, "there", TROVE_DIRECTION_UPLOAD, &options, &stream, &error);
    if (status == TROVE_OK) {
        status = trove_stream_start(stream, &error);
        trove_stream_release(stream);
    }
    check_fails(status, TROVE_FAILED_PRECONDITION, &error, BUCKET "/there", __FILE__, __LINE__);
}

/* ---- many at once ------------------------------------------------------------------------------------------------------ */

struct crowd {
    const struct client_test *test;
    const char *key;
    void (*act)(struct crowd *crowd, trove_client *client, unsigned number, unsigned round);
    atomic_uint writing; /* writers that aren't done */
    atomic_uint wins;
    atomic_uint reads;
};

struct member {
    pthread_t thread;
    struct crowd *crowd;
    unsigned number;
};

static trove_client *connect_to(const struct client_test *test) {
    trove_client *client = NULL;
    trove_error error;
    CHECK_OK(trove_connect(test->url, NULL, &client, &error), &error);
    return client;
}

static void *write_rounds(void *argument) {
    struct member *member = argument;
    trove_client *client = connect_to(member->crowd->test);
    for (unsigned round = 0; round < ROUNDS; round++)
        member->crowd->act(member->crowd, client, member->number, round);
    trove_close(client);
    atomic_fetch_sub(&member->crowd->writing, 1);
    return NULL;
}

/* A version's bytes: its number, again and again. In one flight, or streamed. */
static size_t version_bytes(unsigned number) {
    return number % 3 == 0 ? 9 * 8 : 128 * KIB + (size_t)number % 5 * 40000 / 8 * 8;
}

static uint64_t *make_version(unsigned number) {
    size_t size = version_bytes(number);
    uint64_t *bytes = malloc(size);
    assert_non_null(bytes);
    for (size_t i = 0; i < size / 8; i++)
        bytes[i] = number;
    return bytes;
}

static void check_whole(const uint64_t *bytes, size_t size) {
    assert_true(size >= 8);
    assert_int_equal(size, version_bytes((unsigned)bytes[0]));
    for (size_t i = 1; i < size / 8; i++)
        assert_true(bytes[i] == bytes[0]);
}

static void *read_on(void *argument) {
    struct member *member = argument;
    struct crowd *crowd = member->crowd;
    trove_client *client = connect_to(crowd->test);
    size_t room = 512 * KIB;
    uint64_t *bytes = malloc(room);
    assert_non_null(bytes);
    for (unsigned reads = 0; atomic_load(&crowd->writing) > 0 || reads == 0; reads++) {
        trove_error error;
        size_t size = 0;
        CHECK_OK(trove_get_memory(client, BUCKET, crowd->key, bytes, room, NULL, &size, NULL, &error), &error);
        check_whole(bytes, size);
        atomic_fetch_add(&crowd->reads, 1);
    }
    free(bytes);
    trove_close(client);
    return NULL;
}

static void run_crowd(struct crowd *crowd, unsigned readers) {
    struct member members[WRITERS + READERS];
    atomic_init(&crowd->writing, WRITERS);
    for (unsigned i = 0; i < WRITERS + readers; i++) {
        members[i] = (struct member){.crowd = crowd, .number = i};
        assert_int_equal(pthread_create(&members[i].thread, NULL, i < WRITERS ? write_rounds : read_on, &members[i]), 0);
    }
    for (unsigned i = 0; i < WRITERS + readers; i++)
        pthread_join(members[i].thread, NULL);
}

static void put_version(struct crowd *crowd, trove_client *client, unsigned number, unsigned round) {
    unsigned version = number * ROUNDS + round + 1;
    uint64_t *bytes = make_version(version);
    put(client, crowd->key, bytes, version_bytes(version));
    free(bytes);
}

static void test_never_a_mix(void **state) {
    struct crowd crowd = {.test = *state, .key = "contended", .act = put_version};
    put_version(&crowd, crowd.test->client, 0, 0);
    run_crowd(&crowd, READERS);
    trove_object_info *info = head(crowd.test, "contended");
    uint64_t *bytes = malloc(info->size);
    size_t size;
    trove_error error;
    assert_non_null(bytes);
    CHECK_OK(trove_get_memory(crowd.test->client, BUCKET, "contended", bytes, info->size, NULL, &size, NULL, &error), &error);
    check_whole(bytes, size);
    free(bytes);
    trove_object_info_free(info);
}

static trove_status put_if(trove_client *client, const char *key, const void *bytes, size_t size,
                           const trove_conditions *conditions, trove_error *error) {
    trove_stream_options options;
    trove_stream_options_init(&options);
    options.conditions = *conditions;
    return trove_put_memory(client, BUCKET, key, bytes, size, &options, NULL, error);
}

/* All create the same key in each round, every other one by a stream. */
static void create_one(struct crowd *crowd, trove_client *client, unsigned number, unsigned round) {
    char key[32];
    size_t size = number % 2 == 0 ? 1000 : 200 * KIB;
    trove_error error;
    snprintf(key, sizeof key, "created-%u", round);
    trove_status status =
        put_if(client, key, crowd->test->bytes + number * MIB, size, &(trove_conditions){.if_none_match = true}, &error);
    if (status == TROVE_OK)
        atomic_fetch_add(&crowd->wins, 1);
    else
        check_fails(status, TROVE_FAILED_PRECONDITION, &error, key, __FILE__, __LINE__);
}

static void test_one_creates_it(void **state) {
    struct crowd crowd = {.test = *state, .act = create_one};
    run_crowd(&crowd, 0);
    assert_int_equal(atomic_load(&crowd.wins), ROUNDS);
}

/* Reads a number, puts one more if what was read is still there; else begins again. */
static void count_up(struct crowd *crowd, trove_client *client, unsigned number, unsigned round) {
    (void)round;
    for (;;) {
        struct {
            uint64_t count;
            uint8_t rest[99992];
        } counter = {0};
        trove_object_info *info = NULL;
        size_t size;
        trove_error error;
        CHECK_OK(trove_get_memory(client, BUCKET, crowd->key, &counter, sizeof counter, NULL, &size, &info, &error), &error);
        trove_conditions conditions = {0};
        if (number % 2 == 0) /* each count has other bytes, so either will do */
            conditions.if_match = info->etag;
        else
            conditions.if_generation = info->generation;
        counter.count++;
        trove_status status = put_if(client, crowd->key, &counter, number % 3 == 0 ? 8 : sizeof counter, &conditions, &error);
        trove_object_info_free(info);
        if (status == TROVE_OK)
            return;
        check_fails(status, TROVE_FAILED_PRECONDITION, &error, crowd->key, __FILE__, __LINE__);
    }
}

static void test_no_update_is_lost(void **state) {
    struct crowd crowd = {.test = *state, .key = "counter", .act = count_up};
    uint64_t count = 0;
    size_t size;
    trove_error error;
    uint8_t bytes[100000];
    put(crowd.test->client, crowd.key, &count, sizeof count);
    run_crowd(&crowd, 0);
    CHECK_OK(trove_get_memory(crowd.test->client, BUCKET, crowd.key, bytes, sizeof bytes, NULL, &size, NULL, &error), &error);
    memcpy(&count, bytes, sizeof count);
    assert_int_equal(count, WRITERS * ROUNDS);
}

int main(int argc, char **argv) {
    client_test_arguments(argc, argv);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_judged_when_it_takes_effect),
        cmocka_unit_test(test_judged_when_it_is_opened),
        cmocka_unit_test(test_never_a_mix),
        cmocka_unit_test(test_one_creates_it),
        cmocka_unit_test(test_no_update_is_lost),
    };
    return cmocka_run_group_tests_name("conditions", tests, client_test_begin, client_test_end);
}
