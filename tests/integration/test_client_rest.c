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

/* Cancels the download, from outside, when so much has come. */
struct canceller {
    const struct client_test *test;
    uint64_t after;
    bool done;
};

static void cancel(void *context, const trove_chunk_ack *ack) {
    struct canceller *canceller = context;
    trove_server_stream_page *page = NULL;
    trove_error error;
    if (canceller->done || ack->received_offset < canceller->after)
        return;
    canceller->done = true;
    CHECK_OK(trove_server_stream_list(canceller->test->client, NULL, &page, &error), &error);
    for (size_t i = 0; i < page->count; i++)
        (void)!trove_server_stream_control(canceller->test->client, page->streams[i].stream_id, TROVE_CONTROL_CANCEL, 0, NULL,
                                           &error);
    trove_server_stream_page_free(page);
}

static bool parts_are_left(const struct client_test *test) {
    char command[1024];
    snprintf(command, sizeof command, "test -n \"$(find %s -name '.trove-*.part')\"", troved_folder(test->server));
    return system(command) == 0;
}

/* A file that was cut off is found by the next call, and gone on with. Little isn't kept, and nothing where it isn't asked
 * for. */
static void test_file(void **state) {
    const struct client_test *test = *state;
    static const struct {
        const char *name;
        bool resumable;
        uint64_t after;
        bool stays;
    } rows[] = {
        {"resumable", true, 8 * MIB, true},
        {"little", true, 1, false},
        {"not resumable", false, 8 * MIB, false},
    };
    char path[512];
    snprintf(path, sizeof path, "%s/target", troved_folder(test->server));
    put(test, "file", test->bytes, 20 * MIB);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct canceller canceller = {.test = test, .after = rows[i].after};
        trove_stream_metrics metrics;
        trove_stream_options options;
        trove_error error;
        print_message("    %s\n", rows[i].name);
        trove_stream_options_init(&options);
        options.resumable = rows[i].resumable;
        options.metrics = &metrics;
        options.chunk_bytes = 64 * KIB;
        options.channel_chunks = 4;
        options.hooks = (trove_stream_hooks){.context = &canceller, .on_chunk = cancel};
        CHECK_FAILS(trove_get_file(test->client, BUCKET, "file", path, &options, NULL, &error), CANCELLED, "", &error);
        assert_int_not_equal(access(path, F_OK), 0);
        assert_int_equal(parts_are_left(test), rows[i].stays);
        options.hooks = (trove_stream_hooks){0};
        CHECK_OK(trove_get_file(test->client, BUCKET, "file", path, &options, NULL, &error), &error);
        assert_true(rows[i].stays ? metrics.bytes_received < 13 * MIB : metrics.bytes_received == 20 * MIB);
        assert_false(parts_are_left(test));
        int fd = open(path, O_RDONLY);
        check_fd(fd, test->bytes, 20 * MIB);
        close(fd);
        unlink(path);
    }
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
        cmocka_unit_test(test_what_is_kept), cmocka_unit_test(test_another_version), cmocka_unit_test(test_conditions),
        cmocka_unit_test(test_file),         cmocka_unit_test(test_arguments),
    };
    return cmocka_run_group_tests_name(client_test_store(), tests, client_test_begin, client_test_end);
}
