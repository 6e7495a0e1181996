/* test_overflow_file.c - the overflow on a real file system: what is to be seen of its file, and three threads at once. */
#include "overflow_test.h"

#include "elsewhere.h"
#include "scratch.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <sys/stat.h>
#include <unistd.h>

static char folder[SCRATCH_BYTES];

static int make_folder(void **state) {
    (void)state;
    return scratch_make(folder) ? 0 : -1;
}

/* Fails where something was left in it. */
static int remove_folder(void **state) {
    (void)state;
    int code = rmdir(folder);
    (void)scratch_remove(folder);
    return code;
}

static int opened_fd = -1;

static int watched_open(const char *path, int flags, mode_t mode) {
    return opened_fd = tv_overflow_io_system.open(path, flags, mode);
}

static int refused_open(const char *path, int flags, mode_t mode) {
    (void)path, (void)flags, (void)mode;
    errno = EISDIR; /* what kernels and file systems say that don't know O_TMPFILE */
    return -1;
}

static int watched_make_temporary(char *path, int flags) {
    return opened_fd = tv_overflow_io_system.make_temporary(path, flags);
}

static struct tv_overflow *make_real(struct tv_overflow_io *io, uint64_t memory_bytes_max, uint64_t bytes_max) {
    struct tv_overflow_options options = {
        .memory_bytes_max = memory_bytes_max, .bytes_max = bytes_max, .chunks_max = 100000, .folder = folder, .io = io};
    struct tv_overflow *overflow;
    assert_int_equal(tv_overflow_create(&options, &overflow, NULL), TROVE_OK);
    return overflow;
}

static unsigned names_in_folder(void) {
    unsigned count = 0;
    DIR *directory = opendir(folder);
    assert_non_null(directory);
    while (readdir(directory) != NULL)
        count++;
    closedir(directory);
    return count - 2;
}

static void the_file_has_no_name_and_is_private(void **state) {
    (void)state;
    for (int named = 0; named < 2; named++) {
        struct tv_overflow_io io = tv_overflow_io_system;
        io.open = named ? refused_open : watched_open;
        io.make_temporary = watched_make_temporary;
        struct tv_overflow *overflow = make_real(&io, 10, 20000);
        overflow_push_ok(overflow, 1, 4096);
        assert_int_equal(names_in_folder(), 0);
        struct stat info;
        assert_int_equal(fstat(opened_fd, &info), 0);
        assert_int_equal(info.st_mode, S_IFREG | 0600);
        assert_int_equal(info.st_nlink, 0);
        assert_int_equal(info.st_size, 4096);
        assert_int_equal(fcntl(opened_fd, F_GETFD), FD_CLOEXEC);
        overflow_pop_ok(overflow, 1, 4096);
        assert_int_equal(fstat(opened_fd, &info), 0);
        assert_int_equal(info.st_blocks, 0);
        tv_overflow_destroy(overflow);
        assert_int_equal(fstat(opened_fd, &info), -1);
    }
}

static void a_real_file_in_random_rhythm(void **state) {
    (void)state;
    struct tv_overflow *overflow = make_real(NULL, 5000, 50000);
    overflow_random_rhythm(overflow, 50000, 100000, OVERFLOW_OPERATIONS / 5);
    tv_overflow_destroy(overflow);
}

static void a_folder_that_is_not_there(void **state) {
    (void)state;
    struct tv_overflow_options options = {.bytes_max = 100, .chunks_max = 10, .folder = "/nowhere/at/all"};
    struct tv_overflow *overflow;
    trove_error error;
    assert_int_equal(tv_overflow_create(&options, &overflow, &error), TROVE_OK);
    assert_int_equal(overflow_push(overflow, 1, 64, &error), TROVE_NOT_FOUND);
    assert_non_null(strstr(error.message, "/nowhere/at/all"));
    tv_overflow_destroy(overflow);
}

#define THREAD_CHUNKS (OVERFLOW_OPERATIONS / 10)

static void *push_all(void *context) {
    for (uint64_t number = 0; number < THREAD_CHUNKS;)
        number += overflow_push(context, number, overflow_chunk_bytes(17, number), NULL) == TROVE_OK;
    return NULL;
}

/* One thread pushes, this one pops, a third reads the numbers. */
static void *watch(void *context) {
    struct tv_overflow_stats stats = {0};
    while (stats.spilled_chunks < 10) {
        sched_yield();
        tv_overflow_stats(context, &stats);
        MUST(stats.bytes <= 5000 && stats.file_bytes <= stats.bytes);
    }
    return NULL;
}

static void two_threads(void **state) {
    (void)state;
    struct tv_overflow *overflow = make_real(NULL, 300, 5000);
    pthread_t pusher, watcher;
    assert_int_equal(pthread_create(&pusher, NULL, push_all, overflow), 0);
    assert_int_equal(pthread_create(&watcher, NULL, watch, overflow), 0);
    for (uint64_t number = 0; number < THREAD_CHUNKS;) {
        struct tv_overflow_chunk chunk;
        if (tv_overflow_peek(overflow, &chunk)) {
            overflow_pop_ok(overflow, number, overflow_chunk_bytes(17, number));
            number++;
        }
    }
    pthread_join(pusher, NULL);
    pthread_join(watcher, NULL);
    assert_int_equal(overflow_stats_of(overflow).chunks, 0);
    tv_overflow_destroy(overflow);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_file_has_no_name_and_is_private),
        cmocka_unit_test(a_real_file_in_random_rhythm),
        cmocka_unit_test(a_folder_that_is_not_there),
        cmocka_unit_test(two_threads),
    };
    return cmocka_run_group_tests_name("overflow in a file", tests, make_folder, remove_folder);
}
