/* test_client_rest.c - going on with a download: what of a file is kept, and that it never has bytes of two objects. */
#include "client_test.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define BLOCK (256 * KIB)
#define SIZE  (10 * BLOCK + 12345)

/* An unnamed file with these bytes. */
static int file_of(const struct client_test *test, const uint8_t *bytes, size_t size) {
    int fd = open(troved_folder(test->server), O_TMPFILE | O_RDWR, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, bytes, size), size);
    return fd;
}

static void check_fd(int fd, const uint8_t *bytes, size_t size) {
    uint8_t *got = malloc(size + 1);
    assert_non_null(got);
    assert_int_equal(pread(fd, got, size + 1, 0), size);
    assert_memory_equal(got, bytes, size);
    free(got);
}

static void put(const struct client_test *test, const char *key, const uint8_t *bytes, size_t size) {
    trove_error error;
    CHECK_OK(trove_put_memory(test->client, BUCKET, key, bytes, size, NULL, NULL, &error), &error);
}

static void test_what_is_kept(void **state) {
    const struct client_test *test = *state;
    static const struct {
        const char *name;
        size_t object;
        size_t file;    /* that many bytes of the object, and what is behind its end of others */
        size_t damaged; /* this byte is another one; SIZE_MAX: none */
        uint64_t kept;
    } rows[] = {
        {"nothing", SIZE, 0, SIZE_MAX, 0},
        {"less than a block", SIZE, BLOCK - 1, SIZE_MAX, 0},
        {"a block", SIZE, BLOCK, SIZE_MAX, BLOCK},
        {"blocks and a half", SIZE, 3 * BLOCK + 1000, SIZE_MAX, 3 * BLOCK},
        {"all but a byte", SIZE, SIZE - 1, SIZE_MAX, 10 * BLOCK},
        {"all", SIZE, SIZE, SIZE_MAX, 10 * BLOCK},
        {"more than all", SIZE, SIZE + 3 * BLOCK, SIZE_MAX, 10 * BLOCK},
        {"all of whole blocks", 4 * BLOCK, 4 * BLOCK, SIZE_MAX, 3 * BLOCK},
        {"more than whole blocks", 4 * BLOCK, 6 * BLOCK, SIZE_MAX, 3 * BLOCK},
        {"damaged at the beginning", SIZE, 5 * BLOCK, 0, 0},
        {"damaged at a block's end", SIZE, 5 * BLOCK, 3 * BLOCK - 1, 2 * BLOCK},
        {"damaged at a block's beginning", SIZE, 5 * BLOCK, 3 * BLOCK, 3 * BLOCK},
        {"of a small object", 1000, 3 * BLOCK, SIZE_MAX, 0},
        {"of an empty object", 0, 3 * BLOCK, SIZE_MAX, 0},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        uint8_t *bytes = malloc(rows[i].file + 1);
        uint64_t kept = UINT64_MAX;
        trove_object_info *info = NULL;
        trove_stream_metrics metrics;
        trove_stream_options options;
        trove_error error;
        print_message("    %s\n", rows[i].name);
        assert_non_null(bytes);
        memcpy(bytes, test->bytes, rows[i].file);
        if (rows[i].damaged < rows[i].file)
            bytes[rows[i].damaged] ^= 1;
        int fd = file_of(test, bytes, rows[i].file);
        put(test, "kept", test->bytes, rows[i].object);
        trove_stream_options_init(&options);
        options.metrics = &metrics;
        CHECK_OK(trove_get_rest(test->client, BUCKET, "kept", fd, &options, &kept, &info, &error), &error);
        assert_int_equal(kept, rows[i].kept);
        assert_int_equal(info->size, rows[i].object);
        assert_int_equal(metrics.bytes_received, rows[i].object - rows[i].kept);
        check_fd(fd, test->bytes, rows[i].object);
        trove_object_info_free(info);
        close(fd);
        free(bytes);
    }
}

/* A file that has the beginning of what the object was: only blocks that are the new one's, too, are kept. */
static void test_another_version(void **state) {
    const struct client_test *test = *state;
    uint64_t kept = 0;
    trove_error error;
    int fd = file_of(test, test->bytes, 6 * BLOCK);
    put(test, "version", test->bytes + 100, SIZE);
    CHECK_OK(trove_get_rest(test->client, BUCKET, "version", fd, NULL, &kept, NULL, &error), &error);
    assert_int_equal(kept, 0);
    check_fd(fd, test->bytes + 100, SIZE);
    close(fd);
    uint8_t *mixed = malloc(SIZE);
    assert_non_null(mixed);
    memcpy(mixed, test->bytes, SIZE);
    memset(mixed + 2 * BLOCK, 7, BLOCK);
    put(test, "version", mixed, SIZE);
    fd = file_of(test, test->bytes, 6 * BLOCK);
    CHECK_OK(trove_get_rest(test->client, BUCKET, "version", fd, NULL, &kept, NULL, &error), &error);
    assert_int_equal(kept, 2 * BLOCK);
    check_fd(fd, mixed, SIZE);
    close(fd);
    free(mixed);
}

static void test_conditions(void **state) {
    const struct client_test *test = *state;
    trove_object_info *info = NULL;
    trove_stream_options options;
    uint64_t kept = 0;
    trove_error error;
    put(test, "condition", test->bytes, SIZE);
    CHECK_OK(trove_object_head(test->client, BUCKET, "condition", 0, &info, &error), &error);
    trove_stream_options_init(&options);
    options.conditions.if_match = info->etag;
    options.conditions.if_generation = info->generation;
    int fd = file_of(test, test->bytes, 3 * BLOCK);
    CHECK_OK(trove_get_rest(test->client, BUCKET, "condition", fd, &options, &kept, NULL, &error), &error);
    assert_int_equal(kept, 3 * BLOCK);
    check_fd(fd, test->bytes, SIZE);
    options.conditions.if_generation++;
    CHECK_FAILS(trove_get_rest(test->client, BUCKET, "condition", fd, &options, NULL, NULL, &error), FAILED_PRECONDITION,
                "generation", &error);
    options.conditions.if_generation = 0;
    options.conditions.if_match = "0123456789abcdef0123456789abcdef";
    CHECK_FAILS(trove_get_rest(test->client, BUCKET, "condition", fd, &options, NULL, NULL, &error), FAILED_PRECONDITION, "etag",
                &error);
    close(fd);
    trove_object_info_free(info);
}

static void test_arguments(void **state) {
    const struct client_test *test = *state;
    trove_stream_options options;
    trove_error error;
    int ends[2];
    put(test, "arguments", test->bytes, 10);
    assert_int_equal(pipe(ends), 0);
    CHECK_FAILS(trove_get_rest(test->client, BUCKET, "arguments", ends[1], NULL, NULL, NULL, &error), INVALID_ARGUMENT,
                "regular file", &error);
    close(ends[0]);
    close(ends[1]);
    CHECK_FAILS(trove_get_rest(test->client, BUCKET, "arguments", -1, NULL, NULL, NULL, &error), INTERNAL, "descriptor -1",
                &error);
    int fd = open(troved_folder(test->server), O_TMPFILE | O_WRONLY, 0600);
    CHECK_FAILS(trove_get_rest(test->client, BUCKET, "arguments", fd, NULL, NULL, NULL, &error), INVALID_ARGUMENT,
                "reading and writing", &error);
    close(fd);
    fd = file_of(test, test->bytes, 5 * BLOCK);
    trove_stream_options_init(&options);
    options.range_offset = 1;
    CHECK_FAILS(trove_get_rest(test->client, BUCKET, "arguments", fd, &options, NULL, NULL, &error), INVALID_ARGUMENT, "range",
                &error);
    CHECK_FAILS(trove_get_rest(test->client, BUCKET, "missing", fd, NULL, NULL, NULL, &error), NOT_FOUND, "missing", &error);
    check_fd(fd, test->bytes, 5 * BLOCK); /* as it was */
    close(fd);
}

int main(int argc, char **argv) {
    client_test_arguments(argc, argv);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_is_kept),
        cmocka_unit_test(test_another_version),
        cmocka_unit_test(test_conditions),
        cmocka_unit_test(test_arguments),
    };
    return cmocka_run_group_tests_name(client_test_store(), tests, client_test_begin, client_test_end);
}
