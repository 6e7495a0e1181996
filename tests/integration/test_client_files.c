/* test_client_files.c - whole objects from and to files and pipes, through libtrove and a real troved: all sizes, and sources and
 * targets that misbehave. */
#include "client_test.h"

#include "elsewhere.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const size_t sizes[] = {0, 1, 4095, 65535, 65536, 65537, 262144, 1 * MIB - 1, 1 * MIB, 1 * MIB + 1, 5 * MIB + 4321};
#define SIZE_COUNT (sizeof sizes / sizeof sizes[0])

static void path_in_folder(const struct client_test *test, const char *name, char path[512]) {
    snprintf(path, 512, "%s/%s", troved_folder(test->server), name);
}

static void write_file(const char *path, const uint8_t *bytes, size_t size) {
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    while (size > 0) {
        ssize_t step = write(fd, bytes, size);
        assert_true(step > 0);
        bytes += step;
        size -= (size_t)step;
    }
    assert_int_equal(close(fd), 0);
}

static void check_file(const char *path, const uint8_t *bytes, size_t size) {
    struct stat found;
    assert_int_equal(stat(path, &found), 0);
    assert_int_equal(found.st_size, size);
    assert_int_equal(found.st_mode & 0777, 0600);
    uint8_t *got = malloc(size + 1);
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    assert_int_equal(fread(got, 1, size + 1, file), size);
    assert_true(memcmp(got, bytes, size) == 0);
    fclose(file);
    free(got);
}

/* ---- sizes ---- */

static void test_file(void **state) {
    const struct client_test *test = *state;
    char from[512];
    char to[512];
    path_in_folder(test, "from", from);
    path_in_folder(test, "to", to);
    for (size_t i = 0; i < SIZE_COUNT; i++) {
        trove_error error;
        write_file(from, test->bytes, sizes[i]);
        CHECK_OK(trove_put_file(test->client, BUCKET, "file", from, NULL, NULL, &error), &error);
        check_object(test, "file", test->bytes, sizes[i]);
        CHECK_OK(trove_get_file(test->client, BUCKET, "file", to, NULL, NULL, &error), &error);
        check_file(to, test->bytes, sizes[i]);
    }
    unlink(from);
    unlink(to);
}

struct feeder {
    int fd;
    const uint8_t *bytes;
    size_t size;
};

/* Odd portions, as pipes give them. */
static void *feed(void *argument) {
    struct feeder *feeder = argument;
    for (size_t at = 0; at < feeder->size;) {
        size_t portion = 1 + at % 77777;
        if (portion > feeder->size - at)
            portion = feeder->size - at;
        ssize_t step = write(feeder->fd, feeder->bytes + at, portion);
        if (step <= 0)
            break;
        at += (size_t)step;
    }
    close(feeder->fd);
    return NULL;
}

static void *drain(void *argument) {
    struct feeder *feeder = argument;
    uint8_t *got = malloc(feeder->size + 1);
    size_t have = 0;
    ssize_t step;
    while ((step = read(feeder->fd, got + have, feeder->size + 1 - have)) > 0)
        have += (size_t)step;
    bool same = have == feeder->size && memcmp(got, feeder->bytes, have) == 0;
    free(got);
    close(feeder->fd);
    return same ? feeder : NULL;
}

static void test_pipe(void **state) {
    const struct client_test *test = *state;
    for (size_t i = 0; i < SIZE_COUNT; i++) {
        int up[2];
        int down[2];
        pthread_t thread;
        trove_error error;
        void *same = NULL;
        assert_int_equal(pipe(up), 0);
        assert_int_equal(pipe(down), 0);
        struct feeder feeder = {up[1], test->bytes, sizes[i]};
        pthread_create(&thread, NULL, feed, &feeder);
        CHECK_OK(trove_put_fd(test->client, BUCKET, "pipe", up[0], NULL, NULL, &error), &error);
        pthread_join(thread, NULL);
        check_object(test, "pipe", test->bytes, sizes[i]);
        struct feeder drainer = {down[0], test->bytes, sizes[i]};
        pthread_create(&thread, NULL, drain, &drainer);
        CHECK_OK(trove_get_fd(test->client, BUCKET, "pipe", down[1], NULL, NULL, &error), &error);
        close(down[1]);
        close(up[0]);
        pthread_join(thread, &same);
        assert_non_null(same);
    }
}

/* ---- sources that misbehave ---- */

#define CHANGED_BYTES (20 * (off_t)MIB)

struct changer {
    const char *path;
    off_t size; /* as it was: a byte of it is changed instead */
    int done;
};

/* The first chunk is acknowledged while most of the file hasn't been read. */
static void change(void *context, const trove_chunk_ack *ack) {
    struct changer *changer = context;
    (void)ack;
    if (changer->done++ > 0)
        return;
    MUST(truncate(changer->path, changer->size) == 0);
    if (changer->size != CHANGED_BYTES)
        return;
    int file = open(changer->path, O_WRONLY | O_CLOEXEC);
    MUST(file >= 0 && write(file, "", 1) == 1 && close(file) == 0);
}

static void put_changed(const struct client_test *test, off_t size, const char *how) {
    char path[512];
    trove_stream_options options;
    trove_error error;
    trove_object_info *info = NULL;
    path_in_folder(test, "changed", path);
    struct changer changer = {.path = path, .size = size};
    write_file(path, test->bytes, CHANGED_BYTES);
    const struct timespec long_ago[] = {{.tv_sec = 1000000000}, {.tv_sec = 1000000000}};
    MUST(utimensat(AT_FDCWD, path, long_ago, 0) == 0);
    trove_stream_options_init(&options);
    options.chunk_bytes = 64 * KIB;
    options.channel_chunks = 2;
    options.hooks.on_chunk = change;
    options.hooks.context = &changer;
    CHECK_FAILS(trove_put_file(test->client, BUCKET, "changed", path, &options, NULL, &error), ABORTED, how, &error);
    CHECK_FAILS(trove_object_head(test->client, BUCKET, "changed", 0, &info, &error), NOT_FOUND, "changed", &error);
    unlink(path);
}

static void test_changed_file(void **state) {
    put_changed(*state, CHANGED_BYTES - (off_t)MIB, "shrank");
    put_changed(*state, CHANGED_BYTES + (off_t)MIB, "grew");
    put_changed(*state, CHANGED_BYTES, "was written to");
}

static void test_odd_sources(void **state) {
    const struct client_test *test = *state;
    trove_error error;
    trove_object_info *info = NULL;
    CHECK_OK(trove_put_file(test->client, BUCKET, "proc", "/proc/self/status", NULL, &info, &error), &error);
    assert_true(info->size > 100); /* such files say that they are empty */
    trove_object_info_free(info);
    CHECK_FAILS(trove_put_file(test->client, BUCKET, "x", "/", NULL, NULL, &error), INVALID_ARGUMENT, "directory", &error);
    CHECK_FAILS(trove_put_file(test->client, BUCKET, "x", "/no/such/file", NULL, NULL, &error), NOT_FOUND, "/no/such/file",
                &error);
    CHECK_FAILS(trove_put_fd(test->client, BUCKET, "x", -1, NULL, NULL, &error), INTERNAL, "descriptor -1", &error);
    CHECK_FAILS(trove_get_file(test->client, BUCKET, "proc", "/dev/null", NULL, NULL, &error), INVALID_ARGUMENT, "/dev/null",
                &error);
    CHECK_FAILS(trove_get_file(test->client, BUCKET, "proc", "/no/such/folder/file", NULL, NULL, &error), NOT_FOUND, "/no/such",
                &error);
}

/* A file that can't be got leaves the old one as it was, and nothing beside it. */
static void test_failed_get(void **state) {
    const struct client_test *test = *state;
    char path[512];
    trove_error error;
    path_in_folder(test, "kept", path);
    write_file(path, test->bytes, 1000);
    CHECK_FAILS(trove_get_file(test->client, BUCKET, "missing", path, NULL, NULL, &error), NOT_FOUND, "missing", &error);
    check_file(path, test->bytes, 1000);
    char command[1024];
    snprintf(command, sizeof command, "test -z \"$(find %s -name '*.part')\"", troved_folder(test->server));
    assert_int_equal(system(command), 0);
    unlink(path);
}

/* As long as a name may be; the unfinished file needs one as well. */
static void test_long_name(void **state) {
    const struct client_test *test = *state;
    char name[256];
    char path[512];
    trove_error error;
    memset(name, 'n', 255);
    name[255] = '\0';
    path_in_folder(test, name, path);
    CHECK_OK(trove_put_memory(test->client, BUCKET, "long", test->bytes, 1000, NULL, NULL, &error), &error);
    CHECK_OK(trove_get_file(test->client, BUCKET, "long", path, NULL, NULL, &error), &error);
    check_file(path, test->bytes, 1000);
    unlink(path);
    assert_int_equal(chdir(troved_folder(test->server)), 0);
    CHECK_OK(trove_get_file(test->client, BUCKET, "long", "here", NULL, NULL, &error), &error);
    check_file("here", test->bytes, 1000);
    unlink("here");
    assert_int_equal(chdir("/"), 0);
}

/* A symbolic link isn't a regular file: it would be replaced, and not what it leads to. */
static void test_link(void **state) {
    const struct client_test *test = *state;
    char path[512];
    char link[512];
    struct stat found;
    trove_error error;
    path_in_folder(test, "end", path);
    path_in_folder(test, "link", link);
    CHECK_OK(trove_put_memory(test->client, BUCKET, "link", test->bytes, 1000, NULL, NULL, &error), &error);
    assert_int_equal(symlink("end", link), 0);
    for (int i = 0; i < 2; i++) {
        CHECK_FAILS(trove_get_file(test->client, BUCKET, "link", link, NULL, NULL, &error), INVALID_ARGUMENT, "regular", &error);
        assert_int_equal(lstat(link, &found), 0);
        assert_true(S_ISLNK(found.st_mode));
        if (i == 0)
            write_file(path, test->bytes, 10);
    }
    check_file(path, test->bytes, 10);
    unlink(link);
    unlink(path);
}

/* What was declared must come, whether there is so little that it would go up in one flight or not. */
static void test_declared_size(void **state) {
    const struct client_test *test = *state;
    static const struct {
        const char *name;
        size_t declared;
        size_t size;
        trove_status status;
        const char *said;
    } rows[] = {
        {"as declared", 100, 100, TROVE_OK, ""},
        {"cut off", 100, 50, TROVE_FAILED_PRECONDITION, "50 bytes were written of the 100"},
        {"nothing came", 1, 0, TROVE_FAILED_PRECONDITION, "0 bytes were written of the 1"},
        {"more than declared", 50, 51, TROVE_INVALID_ARGUMENT, "more is written than the 50 bytes"},
        {"large and cut off", 200000, 100000, TROVE_FAILED_PRECONDITION, "100000 bytes were written of the 200000"},
        {"large after all", 100, 100000, TROVE_INVALID_ARGUMENT, "more is written than the 100 bytes"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        trove_stream_options options;
        trove_object_info *info = NULL;
        trove_error error = {TROVE_OK, ""};
        pthread_t thread;
        int ends[2];
        print_message("    %s\n", rows[i].name);
        trove_stream_options_init(&options);
        options.size = rows[i].declared;
        assert_int_equal(pipe(ends), 0);
        struct feeder feeder = {ends[1], test->bytes, rows[i].size};
        pthread_create(&thread, NULL, feed, &feeder);
        trove_status status = trove_put_fd(test->client, BUCKET, rows[i].name, ends[0], &options, NULL, &error);
        pthread_join(thread, NULL);
        close(ends[0]);
        if (rows[i].status == TROVE_OK) {
            CHECK_OK(status, &error);
            check_object(test, rows[i].name, test->bytes, rows[i].size);
        } else {
            check_fails(status, rows[i].status, &error, rows[i].said, __FILE__, __LINE__);
            CHECK_FAILS(trove_object_head(test->client, BUCKET, rows[i].name, 0, &info, &error), NOT_FOUND, "", &error);
        }
    }
}

int main(int argc, char **argv) {
    client_test_arguments(argc, argv);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_file),        cmocka_unit_test(test_pipe),          cmocka_unit_test(test_changed_file),
        cmocka_unit_test(test_odd_sources), cmocka_unit_test(test_failed_get),    cmocka_unit_test(test_long_name),
        cmocka_unit_test(test_link),        cmocka_unit_test(test_declared_size),
    };
    return cmocka_run_group_tests_name(client_test_store(), tests, client_test_begin, client_test_end);
}
