/* test_overflow.c - order, bounds, and that nothing accepted is lost, whatever the disk does: on a file in memory, which can fail
 * its nth call, move less than asked, and be damaged. (On a real one: test_overflow_file.c.)
 */
#include "overflow_test.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

/* ---- a file in memory
 * --------------------------------------------------------------------------------------------------------- */

#define FILE_BYTES ((size_t)1 << 20)
#define FILE_FD    1000

static struct {
    char bytes[FILE_BYTES];
    size_t length;
    size_t longest;
    unsigned calls;   /* of pread, pwrite and truncate */
    unsigned nth;     /* this call fails, if not 0 */
    int error_number; /* with this; 0: it moves nothing */
    bool partly;      /* half of what was asked is moved first, by a call of its own */
    unsigned hits;
    unsigned truncated;
    bool no_tmpfile;
    int temporary_error;
    int unlink_error;
    int closed;
} file;

static bool fails(void) {
    file.calls++;
    if (file.nth == 0 || file.calls != file.nth)
        return false;
    file.hits++;
    errno = file.error_number;
    return true;
}

static int file_open(const char *path, int flags, mode_t mode) {
    assert_string_equal(path, "/nowhere");
    assert_int_equal(flags, O_TMPFILE | O_EXCL | O_RDWR | O_CLOEXEC);
    assert_int_equal(mode, 0600);
    if (file.no_tmpfile) {
        errno = EOPNOTSUPP;
        return -1;
    }
    return fails() ? -1 : FILE_FD;
}

static int file_make_temporary(char *path, int flags) {
    assert_int_equal(flags, O_CLOEXEC);
    assert_string_equal(path, "/nowhere/.trove-overflow-XXXXXX");
    memcpy(path + strlen(path) - 6, "abcdef", 6);
    errno = file.temporary_error;
    return file.temporary_error != 0 ? -1 : FILE_FD;
}

static int file_unlink(const char *path) {
    assert_string_equal(path, "/nowhere/.trove-overflow-abcdef");
    errno = file.unlink_error;
    return file.unlink_error != 0 ? -1 : 0;
}

static ssize_t file_pread(int fd, void *memory, size_t bytes, off_t offset) {
    assert_int_equal(fd, FILE_FD);
    if (fails())
        return file.error_number != 0 ? -1 : 0;
    if (file.partly && bytes > 1)
        bytes /= 2;
    assert_true((size_t)offset + bytes <= file.length);
    memcpy(memory, file.bytes + offset, bytes);
    return (ssize_t)bytes;
}

static ssize_t file_pwrite(int fd, const void *memory, size_t bytes, off_t offset) {
    assert_int_equal(fd, FILE_FD);
    if (fails())
        return file.error_number != 0 ? -1 : 0;
    if (file.partly && bytes > 1)
        bytes /= 2;
    assert_true((size_t)offset + bytes <= FILE_BYTES);
    memcpy(file.bytes + offset, memory, bytes);
    if (file.length < (size_t)offset + bytes)
        file.length = (size_t)offset + bytes;
    if (file.longest < file.length)
        file.longest = file.length;
    return (ssize_t)bytes;
}

static int file_truncate(int fd, off_t bytes) {
    assert_int_equal(fd, FILE_FD);
    assert_int_equal(bytes, 0);
    file.truncated++;
    if (fails())
        return -1;
    file.length = 0;
    return 0;
}

static int file_close(int fd) {
    assert_int_equal(fd, FILE_FD);
    file.closed++;
    return 0;
}

static const struct tv_overflow_io memory_io = {
    .open = file_open,
    .make_temporary = file_make_temporary,
    .unlink = file_unlink,
    .pread = file_pread,
    .pwrite = file_pwrite,
    .truncate = file_truncate,
    .close = file_close,
};

static struct tv_overflow *make(uint64_t memory_bytes_max, uint64_t bytes_max, uint32_t chunks_max) {
    memset(&file, 0, sizeof file);
    struct tv_overflow_options options = {.memory_bytes_max = memory_bytes_max,
                                          .bytes_max = bytes_max,
                                          .chunks_max = chunks_max,
                                          .folder = "/nowhere",
                                          .io = &memory_io};
    struct tv_overflow *overflow;
    assert_int_equal(tv_overflow_create(&options, &overflow, NULL), TROVE_OK);
    return overflow;
}

/* ---- order and place
 * ------------------------------------------------------------------------------------------------------------- */

static void memory_first_then_the_file_and_order_is_kept(void **state) {
    (void)state;
    struct tv_overflow *overflow = make(100, 1000, 100);
    struct tv_overflow_chunk chunk;
    assert_false(tv_overflow_peek(overflow, &chunk));
    overflow_push_ok(overflow, 1, 60);
    overflow_push_ok(overflow, 2, 40);
    assert_int_equal(file.calls, 0); /* to the brim, and the file isn't even made */
    overflow_push_ok(overflow, 3, 1);
    assert_int_equal(overflow_stats_of(overflow).file_bytes, 1);
    overflow_pop_ok(overflow, 1, 60);
    overflow_push_ok(overflow, 4, 50); /* memory again, while an older one lies in the file */
    assert_int_equal(overflow_stats_of(overflow).file_bytes, 1);
    overflow_push_ok(overflow, 5, 11);
    overflow_push_ok(overflow, 6, 0); /* an empty one, as the last chunk may be */
    struct tv_overflow_stats stats = overflow_stats_of(overflow);
    assert_int_equal(stats.bytes, 102);
    assert_int_equal(stats.chunks, 5);
    assert_int_equal(stats.file_bytes, 12);
    assert_int_equal(stats.spilled_chunks, 2);
    assert_int_equal(stats.spilled_bytes, 12);
    assert_int_equal(stats.high_water_bytes, 102);
    overflow_pop_ok(overflow, 2, 40);
    overflow_pop_ok(overflow, 3, 1);
    overflow_pop_ok(overflow, 4, 50);
    overflow_pop_ok(overflow, 5, 11);
    overflow_pop_ok(overflow, 6, 0);
    assert_false(tv_overflow_peek(overflow, &chunk));
    stats = overflow_stats_of(overflow);
    assert_int_equal(stats.bytes + stats.chunks + stats.file_bytes, 0);
    assert_int_equal(stats.spilled_chunks, 2);
    tv_overflow_destroy(overflow);
    assert_int_equal(file.closed, 1);
}

static void an_empty_file_is_cut(void **state) {
    (void)state;
    struct tv_overflow *overflow = make(0, 1000, 100);
    for (uint64_t i = 0; i < 100; i++) {
        overflow_push_ok(overflow, i, 100);
        overflow_push_ok(overflow, i, 100);
        assert_int_equal(file.length, 200); /* from the start again */
        overflow_pop_ok(overflow, i, 100);
        assert_int_equal(file.length, 200);
        overflow_pop_ok(overflow, i, 100);
        assert_int_equal(file.length, 0);
    }
    assert_int_equal(file.truncated, 100);
    tv_overflow_destroy(overflow);
}

static void the_bounds(void **state) {
    (void)state;
    static const struct {
        const char *name;
        uint64_t memory_bytes_max, bytes_max;
    } rows[] = {{"all in memory", 1000, 1000},
                {"more memory than bytes", 5000, 1000},
                {"all in the file", 0, 1000},
                {"both", 300, 1000},
                {"one byte of memory", 1, 1000}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        unit_row(rows[i].name);
        trove_error error;
        struct tv_overflow *overflow = make(rows[i].memory_bytes_max, rows[i].bytes_max, 100);
        assert_false(tv_overflow_fits(overflow, 1001));
        assert_int_equal(overflow_push(overflow, 1, 1001, &error), TROVE_RESOURCE_EXHAUSTED);
        assert_true(tv_overflow_fits(overflow, 1000));
        overflow_push_ok(overflow, 1, 1000);
        assert_true(tv_overflow_fits(overflow, 0));
        assert_false(tv_overflow_fits(overflow, 1));
        assert_int_equal(overflow_push(overflow, 2, 1, &error), TROVE_RESOURCE_EXHAUSTED);
        assert_non_null(strstr(error.message, "1000"));
        overflow_push_ok(overflow, 2, 0);
        overflow_pop_ok(overflow, 1, 1000);
        overflow_push_ok(overflow, 3, 250); /* pieces that don't fit the gaps of either ring */
        overflow_push_ok(overflow, 4, 600);
        overflow_pop_ok(overflow, 2, 0);
        overflow_pop_ok(overflow, 3, 250);
        assert_int_equal(overflow_push(overflow, 5, 401, &error), TROVE_RESOURCE_EXHAUSTED);
        overflow_push_ok(overflow, 5, 399);
        assert_int_equal(overflow_push(overflow, 6, 2, &error), TROVE_RESOURCE_EXHAUSTED);
        overflow_push_ok(overflow, 6, 1);
        overflow_pop_ok(overflow, 4, 600);
        overflow_pop_ok(overflow, 5, 399);
        overflow_pop_ok(overflow, 6, 1);
        assert_true(file.longest <= 1000);
        tv_overflow_destroy(overflow);
    }
}

static void chunks_are_bounded_too(void **state) {
    (void)state;
    for (uint32_t max = 1; max < 70; max++) {
        struct tv_overflow *overflow = make(10, 1000, max);
        trove_error error;
        for (uint32_t round = 0; round < 3; round++) {
            for (uint32_t i = 0; i < max; i++)
                overflow_push_ok(overflow, i, 1);
            assert_false(tv_overflow_fits(overflow, 0));
            assert_int_equal(overflow_push(overflow, 99, 0, &error), TROVE_RESOURCE_EXHAUSTED);
            assert_non_null(strstr(error.message, "chunks wait"));
            for (uint32_t i = 0; i < max; i++)
                overflow_pop_ok(overflow, i, 1);
        }
        tv_overflow_destroy(overflow);
    }
}

static void what_is_discarded_was_never_read(void **state) {
    (void)state;
    struct tv_overflow *overflow = make(100, 1000, 100);
    for (uint64_t round = 0; round < 5; round++) {
        overflow_push_ok(overflow, 1, 60);
        overflow_push_ok(overflow, 2, 200);
        overflow_push_ok(overflow, 3, 40);
        overflow_push_ok(overflow, 4, 0);
        overflow_push_ok(overflow, 5, 300);
        file.length = 0; /* nothing could be read any more */
        tv_overflow_discard(overflow, 0);
        tv_overflow_discard(overflow, 4);
        struct tv_overflow_stats stats = overflow_stats_of(overflow);
        assert_int_equal(stats.chunks, 1);
        assert_int_equal(stats.bytes, 300);
        assert_int_equal(stats.file_bytes, 300);
        unsigned truncated = file.truncated;
        tv_overflow_discard(overflow, 1);
        assert_int_equal(file.truncated, truncated + 1); /* and the disk has its space back */
        overflow_push_ok(overflow, 6, 1000);
        overflow_pop_ok(overflow, 6, 1000);
    }
    tv_overflow_destroy(overflow);
}

static void options_out_of_range(void **state) {
    (void)state;
    struct tv_overflow *overflow = NULL;
    trove_error error;
    struct tv_overflow_options options = {.bytes_max = (UINT64_C(1) << 62) + 1, .chunks_max = 1, .folder = "/"};
    assert_int_equal(tv_overflow_create(&options, &overflow, &error), TROVE_INVALID_ARGUMENT);
    options.bytes_max--;
    options.chunks_max = 0;
    assert_int_equal(tv_overflow_create(&options, &overflow, &error), TROVE_INVALID_ARGUMENT);
    assert_null(overflow);
    options.chunks_max = UINT32_MAX;
    assert_int_equal(tv_overflow_create(&options, &overflow, &error), TROVE_OK);
    struct tv_overflow_chunk chunk = {.bytes = UINT64_MAX};
    assert_int_equal(tv_overflow_push(overflow, &chunk, NULL, &error), TROVE_RESOURCE_EXHAUSTED);
    tv_overflow_destroy(overflow);
    tv_overflow_destroy(NULL);
}

static void millions_in_random_rhythm(void **state) {
    (void)state;
    static const struct {
        const char *name;
        uint64_t memory_bytes_max, bytes_max;
        uint32_t chunks_max;
        bool partly;
    } rows[] = {{"memory and file", 5000, 20000, 100000, false},
                {"a prime of each", 997, 19997, 100000, false},
                {"file alone, half a move at a time", 0, 10007, 100000, true},
                {"few chunks", 300, 1000000, 77, false}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        unit_row(rows[i].name);
        struct tv_overflow *overflow = make(rows[i].memory_bytes_max, rows[i].bytes_max, rows[i].chunks_max);
        file.partly = rows[i].partly;
        overflow_random_rhythm(overflow, rows[i].bytes_max, rows[i].chunks_max, OVERFLOW_OPERATIONS);
        assert_true(file.longest <= rows[i].bytes_max);
        assert_int_equal(file.length, 0);
        tv_overflow_destroy(overflow);
    }
}

/* ---- faults
 * ----------------------------------------------------------------------------------------------------------------------- */

struct fault {
    const char *name;
    int error_number;
    trove_status status;
};

static void try_again(struct tv_overflow *overflow, bool pushes, uint64_t number, uint64_t bytes, const struct fault *fault) {
    trove_error error;
    struct tv_overflow_stats before = overflow_stats_of(overflow);
    unsigned hits = file.hits;
    trove_status status = pushes ? overflow_push(overflow, number, bytes, &error) : overflow_pop(overflow, number, bytes, &error);
    if (status == TROVE_OK)
        return;
    assert_int_equal(file.hits, hits + 1);
    assert_int_equal(status, fault->status);
    assert_int_equal(error.status, fault->status);
    assert_non_null(strstr(error.message, "/nowhere"));
    struct tv_overflow_stats after = overflow_stats_of(overflow);
    assert_memory_equal(&before, &after, sizeof before);
    assert_int_equal(pushes ? overflow_push(overflow, number, bytes, &error) : overflow_pop(overflow, number, bytes, &error),
                     TROVE_OK);
}

/* Through memory, the file and over the file's end. */
static void script(struct tv_overflow *overflow, const struct fault *fault) {
    for (uint64_t round = 0; round < 3; round++) {
        for (uint64_t i = 0; i < 5; i++)
            try_again(overflow, true, i, 50, fault);
        for (uint64_t i = 0; i < 3; i++)
            try_again(overflow, false, i, 50, fault);
        for (uint64_t i = 5; i < 9; i++)
            try_again(overflow, true, i, 47, fault);
        for (uint64_t i = 3; i < 5; i++)
            try_again(overflow, false, i, 50, fault);
        for (uint64_t i = 5; i < 9; i++)
            try_again(overflow, false, i, 47, fault);
    }
}

static void whatever_call_fails_nothing_is_lost(void **state) {
    (void)state;
    static const struct fault faults[] = {{"full disk", ENOSPC, TROVE_RESOURCE_EXHAUSTED},
                                          {"broken disk", EIO, TROVE_DATA_LOSS},
                                          {"nothing moved", 0, TROVE_DATA_LOSS},
                                          {"quota", EDQUOT, TROVE_RESOURCE_EXHAUSTED},
                                          {"interrupted", EINTR, TROVE_OK}};
    for (size_t i = 0; i < sizeof faults / sizeof *faults; i++) {
        unit_row(faults[i].name);
        unsigned nth = faults[i].error_number == EINTR || faults[i].error_number == 0 ? 2 : 1; /* open isn't interrupted */
        for (bool met = true; met; nth++) {
            struct tv_overflow *overflow = make(50, 300, 50);
            file.nth = nth;
            file.error_number = faults[i].error_number;
            script(overflow, &faults[i]);
            assert_int_equal(overflow_stats_of(overflow).chunks, 0);
            met = file.hits > 0;
            tv_overflow_destroy(overflow);
        }
        assert_true(nth > 40);
    }
}

/* The disk stays full: what is in memory goes on, what doesn't fit there is refused, and what a refused push wrote is cut
 * away. */
static void a_disk_that_stays_full(void **state) {
    (void)state;
    struct tv_overflow *overflow = make(100, 1000, 100);
    trove_error error;
    overflow_push_ok(overflow, 0, 100);
    for (unsigned i = 1; i < 20; i++) {
        file.partly = true;
        file.nth = file.calls + (i == 1 ? 3 : 2); /* the second write of it */
        file.error_number = ENOSPC;
        assert_int_equal(overflow_push(overflow, i, 60, &error), TROVE_RESOURCE_EXHAUSTED);
        assert_non_null(strstr(error.message, "free some space"));
        assert_int_equal(file.length, 0);
        overflow_pop_ok(overflow, i - 1, 100);
        overflow_push_ok(overflow, i, 100);
    }
    tv_overflow_destroy(overflow);
}

static void flip(size_t bit) {
    uint8_t byte = (uint8_t)file.bytes[bit / 8];
    file.bytes[bit / 8] = (char)(byte ^ 1u << bit % 8);
}

static void damage_is_found(void **state) {
    (void)state;
    trove_error error;
    for (size_t bit = 0; bit < 8 * 64; bit++) {
        struct tv_overflow *overflow = make(0, 1000, 10);
        overflow_push_ok(overflow, 1, 64);
        overflow_push_ok(overflow, 2, 64);
        flip(bit);
        assert_int_equal(overflow_pop(overflow, 1, 64, &error), TROVE_DATA_LOSS);
        assert_non_null(strstr(error.message, "changed"));
        flip(bit); /* it was the reading that erred */
        overflow_pop_ok(overflow, 1, 64);
        overflow_pop_ok(overflow, 2, 64);
        tv_overflow_destroy(overflow);
    }
}

static void where_files_cannot_be_made_without_a_name(void **state) {
    (void)state;
    static const struct {
        const char *name;
        int temporary_error, unlink_error;
        trove_status status;
    } rows[] = {{"named and unlinked at once", 0, 0, TROVE_OK},
                {"nor with one", EACCES, 0, TROVE_PERMISSION_DENIED},
                {"no folder", ENOENT, 0, TROVE_NOT_FOUND},
                {"and it can't be unlinked", 0, EPERM, TROVE_PERMISSION_DENIED}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        unit_row(rows[i].name);
        struct tv_overflow *overflow = make(0, 1000, 10);
        file.no_tmpfile = true;
        file.temporary_error = rows[i].temporary_error;
        file.unlink_error = rows[i].unlink_error;
        assert_int_equal(overflow_push(overflow, 1, 64, NULL), rows[i].status);
        assert_int_equal(file.closed, rows[i].unlink_error != 0 ? 1 : 0);
        file.temporary_error = file.unlink_error = 0;
        if (rows[i].status != TROVE_OK)
            overflow_push_ok(overflow, 1, 64);
        overflow_pop_ok(overflow, 1, 64);
        tv_overflow_destroy(overflow);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(memory_first_then_the_file_and_order_is_kept),
        cmocka_unit_test(an_empty_file_is_cut),
        cmocka_unit_test(the_bounds),
        cmocka_unit_test(chunks_are_bounded_too),
        cmocka_unit_test(what_is_discarded_was_never_read),
        cmocka_unit_test(options_out_of_range),
        cmocka_unit_test(millions_in_random_rhythm),
        cmocka_unit_test(whatever_call_fails_nothing_is_lost),
        cmocka_unit_test(a_disk_that_stays_full),
        cmocka_unit_test(damage_is_found),
        cmocka_unit_test(where_files_cannot_be_made_without_a_name),
    };
    return cmocka_run_group_tests_name("overflow", tests, NULL, NULL);
}
