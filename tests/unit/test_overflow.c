/* test_overflow.c - order, bounds, and that nothing accepted is lost, whatever the disk does.
 *
 * Most tests run on a file in memory, which can fail its nth call, move less than asked, and be damaged; some on a real one.
 */
#include "overflow.h"

#include "elsewhere.h"
#include "scratch.h"
#include "unit.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- a file in memory --------------------------------------------------------------------------------------------------------- */

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

/* ---- chunks whose bytes follow from their number --------------------------------------------------------------------------------- */

#define CHUNK_BYTES_MAX 4096

static void fill(uint64_t number, char *memory, uint64_t bytes) {
    for (uint64_t i = 0; i < bytes; i++)
        memory[i] = (char)((number * 31 + i * 7) >> (i % 3));
}

static trove_status push(struct tv_overflow *overflow, uint64_t number, uint64_t bytes, trove_error *error) {
    char memory[CHUNK_BYTES_MAX];
    fill(number, memory, bytes);
    uint64_t first = bytes > 0 ? number % bytes : 0;
    struct iovec iov[3] = {{memory, first}, {memory + first, 0}, {memory + first, bytes - first}};
    struct tv_overflow_chunk chunk = {.bytes = bytes, .written_ns = number, .final = number % 5 == 0};
    return tv_overflow_push(overflow, &chunk, iov, error);
}

/* What comes back is the chunk `number` with so many bytes, unless pop fails. */
static trove_status pop(struct tv_overflow *overflow, uint64_t number, uint64_t bytes, trove_error *error) {
    struct tv_overflow_chunk chunk;
    assert_true(tv_overflow_peek(overflow, &chunk));
    assert_int_equal(chunk.written_ns, number);
    assert_int_equal(chunk.bytes, bytes);
    assert_int_equal(chunk.final, number % 5 == 0);
    char memory[CHUNK_BYTES_MAX + 1], expected[CHUNK_BYTES_MAX];
    memory[bytes] = 'x';
    uint64_t first = bytes / 3;
    struct iovec iov[2] = {{memory, first}, {memory + first, sizeof memory - first}}; /* more room than needed */
    trove_status status = tv_overflow_pop(overflow, iov, error);
    if (status != TROVE_OK)
        return status;
    fill(number, expected, bytes);
    assert_memory_equal(memory, expected, bytes);
    assert_int_equal(memory[bytes], 'x');
    return TROVE_OK;
}

static void push_ok(struct tv_overflow *overflow, uint64_t number, uint64_t bytes) {
    assert_int_equal(push(overflow, number, bytes, NULL), TROVE_OK);
}

static void pop_ok(struct tv_overflow *overflow, uint64_t number, uint64_t bytes) {
    assert_int_equal(pop(overflow, number, bytes, NULL), TROVE_OK);
}

static struct tv_overflow_stats stats_of(struct tv_overflow *overflow) {
    struct tv_overflow_stats stats;
    tv_overflow_stats(overflow, &stats);
    return stats;
}

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

/* ---- order and place ------------------------------------------------------------------------------------------------------------- */

static void memory_first_then_the_file_and_order_is_kept(void **state) {
    (void)state;
    struct tv_overflow *overflow = make(100, 1000, 100);
    struct tv_overflow_chunk chunk;
    assert_false(tv_overflow_peek(overflow, &chunk));
    push_ok(overflow, 1, 60);
    push_ok(overflow, 2, 40);
    assert_int_equal(file.calls, 0); /* to the brim, and the file isn't even made */
    push_ok(overflow, 3, 1);
    assert_int_equal(stats_of(overflow).file_bytes, 1);
    pop_ok(overflow, 1, 60);
    push_ok(overflow, 4, 50); /* memory again, while an older one lies in the file */
    assert_int_equal(stats_of(overflow).file_bytes, 1);
    push_ok(overflow, 5, 11);
    push_ok(overflow, 6, 0); /* an empty one, as the last chunk may be */
    struct tv_overflow_stats stats = stats_of(overflow);
    assert_int_equal(stats.bytes, 102);
    assert_int_equal(stats.chunks, 5);
    assert_int_equal(stats.file_bytes, 12);
    assert_int_equal(stats.spilled_chunks, 2);
    assert_int_equal(stats.spilled_bytes, 12);
    assert_int_equal(stats.high_water_bytes, 102);
    pop_ok(overflow, 2, 40);
    pop_ok(overflow, 3, 1);
    pop_ok(overflow, 4, 50);
    pop_ok(overflow, 5, 11);
    pop_ok(overflow, 6, 0);
    assert_false(tv_overflow_peek(overflow, &chunk));
    stats = stats_of(overflow);
    assert_int_equal(stats.bytes + stats.chunks + stats.file_bytes, 0);
    assert_int_equal(stats.spilled_chunks, 2);
    tv_overflow_destroy(overflow);
    assert_int_equal(file.closed, 1);
}

static void an_empty_file_is_cut(void **state) {
    (void)state;
    struct tv_overflow *overflow = make(0, 1000, 100);
    for (uint64_t i = 0; i < 100; i++) {
        push_ok(overflow, i, 100);
        push_ok(overflow, i, 100);
        assert_int_equal(file.length, 200); /* from the start again */
        pop_ok(overflow, i, 100);
        assert_int_equal(file.length, 200);
        pop_ok(overflow, i, 100);
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
        assert_int_equal(push(overflow, 1, 1001, &error), TROVE_RESOURCE_EXHAUSTED);
        assert_true(tv_overflow_fits(overflow, 1000));
        push_ok(overflow, 1, 1000);
        assert_true(tv_overflow_fits(overflow, 0));
        assert_false(tv_overflow_fits(overflow, 1));
        assert_int_equal(push(overflow, 2, 1, &error), TROVE_RESOURCE_EXHAUSTED);
        assert_non_null(strstr(error.message, "1000"));
        push_ok(overflow, 2, 0);
        pop_ok(overflow, 1, 1000);
        push_ok(overflow, 3, 250); /* pieces that don't fit the gaps of either ring */
        push_ok(overflow, 4, 600);
        pop_ok(overflow, 2, 0);
        pop_ok(overflow, 3, 250);
        assert_int_equal(push(overflow, 5, 401, &error), TROVE_RESOURCE_EXHAUSTED);
        push_ok(overflow, 5, 399);
        assert_int_equal(push(overflow, 6, 2, &error), TROVE_RESOURCE_EXHAUSTED);
        push_ok(overflow, 6, 1);
        pop_ok(overflow, 4, 600);
        pop_ok(overflow, 5, 399);
        pop_ok(overflow, 6, 1);
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
                push_ok(overflow, i, 1);
            assert_false(tv_overflow_fits(overflow, 0));
            assert_int_equal(push(overflow, 99, 0, &error), TROVE_RESOURCE_EXHAUSTED);
            assert_non_null(strstr(error.message, "chunks wait"));
            for (uint32_t i = 0; i < max; i++)
                pop_ok(overflow, i, 1);
        }
        tv_overflow_destroy(overflow);
    }
}

static void what_is_discarded_was_never_read(void **state) {
    (void)state;
    struct tv_overflow *overflow = make(100, 1000, 100);
    for (uint64_t round = 0; round < 5; round++) {
        push_ok(overflow, 1, 60);
        push_ok(overflow, 2, 200);
        push_ok(overflow, 3, 40);
        push_ok(overflow, 4, 0);
        push_ok(overflow, 5, 300);
        file.length = 0; /* nothing could be read any more */
        tv_overflow_discard(overflow, 0);
        tv_overflow_discard(overflow, 4);
        struct tv_overflow_stats stats = stats_of(overflow);
        assert_int_equal(stats.chunks, 1);
        assert_int_equal(stats.bytes, 300);
        assert_int_equal(stats.file_bytes, 300);
        unsigned truncated = file.truncated;
        tv_overflow_discard(overflow, 1);
        assert_int_equal(file.truncated, truncated + 1); /* and the disk has its space back */
        push_ok(overflow, 6, 1000);
        pop_ok(overflow, 6, 1000);
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

/* The sanitizers are slow. */
#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
#define OPERATIONS 100000
#else
#define OPERATIONS 1000000
#endif

/* ---- against a model -------------------------------------------------------------------------------------------------------------- */

/* Chunks waiting are numbers from `oldest` to `next`, whose sizes are drawn again from their numbers. */
static uint64_t size_of(uint64_t seed, uint64_t number) {
    uint64_t random = seed ^ number << 20;
    uint64_t draw = unit_random(&random);
    return draw % 100 == 0 ? draw / 100 % CHUNK_BYTES_MAX : draw / 100 % 24;
}

static void random_rhythm(struct tv_overflow *overflow, uint64_t bytes_max, uint32_t chunks_max, uint64_t operations) {
    uint64_t random = unit_seed(), seed = random;
    uint64_t oldest = 0, next = 0, bytes = 0, refused = 0, spilled_before = 0;
    unsigned pushes_of_eight = 7; /* until it is full for the first time */
    for (uint64_t i = 0; i < operations; i++) {
        if (unit_random(&random) % 1000 == 0 && refused > 0)
            pushes_of_eight = 1 + (unsigned)(unit_random(&random) % 7); /* sometimes the one is faster, sometimes the other */
        if (unit_random(&random) % 8 < pushes_of_eight) {
            uint64_t size = size_of(seed, next);
            bool fits = size <= bytes_max - bytes && next - oldest < chunks_max;
            trove_status status = push(overflow, next, size, NULL);
            assert_int_equal(status, fits ? TROVE_OK : TROVE_RESOURCE_EXHAUSTED);
            next += fits;
            bytes += fits ? size : 0;
            refused += !fits;
        } else if (oldest < next) {
            pop_ok(overflow, oldest, size_of(seed, oldest));
            bytes -= size_of(seed, oldest++);
        }
        if (i % 64 == 0) {
            struct tv_overflow_stats stats = stats_of(overflow);
            assert_int_equal(stats.bytes, bytes);
            assert_int_equal(stats.chunks, next - oldest);
            assert_true(stats.high_water_bytes <= bytes_max && stats.file_bytes <= bytes);
            assert_true(stats.spilled_chunks >= spilled_before);
            spilled_before = stats.spilled_chunks;
        }
    }
    for (; oldest < next; oldest++)
        pop_ok(overflow, oldest, size_of(seed, oldest));
    assert_true(refused > 0 && spilled_before > 0);
    assert_int_equal(stats_of(overflow).bytes + stats_of(overflow).chunks, 0);
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
        random_rhythm(overflow, rows[i].bytes_max, rows[i].chunks_max, OPERATIONS);
        assert_true(file.longest <= rows[i].bytes_max);
        assert_int_equal(file.length, 0);
        tv_overflow_destroy(overflow);
    }
}

/* ---- faults ----------------------------------------------------------------------------------------------------------------------- */

struct fault {
    const char *name;
    int error_number;
    trove_status status;
};

static void try_again(struct tv_overflow *overflow, bool pushes, uint64_t number, uint64_t bytes, const struct fault *fault) {
    trove_error error;
    struct tv_overflow_stats before = stats_of(overflow);
    unsigned hits = file.hits;
    trove_status status = pushes ? push(overflow, number, bytes, &error) : pop(overflow, number, bytes, &error);
    if (status == TROVE_OK)
        return;
    assert_int_equal(file.hits, hits + 1);
    assert_int_equal(status, fault->status);
    assert_int_equal(error.status, fault->status);
    assert_non_null(strstr(error.message, "/nowhere"));
    struct tv_overflow_stats after = stats_of(overflow);
    assert_memory_equal(&before, &after, sizeof before);
    assert_int_equal(pushes ? push(overflow, number, bytes, &error) : pop(overflow, number, bytes, &error), TROVE_OK);
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
            assert_int_equal(stats_of(overflow).chunks, 0);
            met = file.hits > 0;
            tv_overflow_destroy(overflow);
        }
        assert_true(nth > 40);
    }
}

/* The disk stays full: what is in memory goes on, what doesn't fit there is refused, and what a refused push wrote is cut away. */
static void a_disk_that_stays_full(void **state) {
    (void)state;
    struct tv_overflow *overflow = make(100, 1000, 100);
    trove_error error;
    push_ok(overflow, 0, 100);
    for (unsigned i = 1; i < 20; i++) {
        file.partly = true;
        file.nth = file.calls + (i == 1 ? 3 : 2); /* the second write of it */
        file.error_number = ENOSPC;
        assert_int_equal(push(overflow, i, 60, &error), TROVE_RESOURCE_EXHAUSTED);
        assert_non_null(strstr(error.message, "free some space"));
        assert_int_equal(file.length, 0);
        pop_ok(overflow, i - 1, 100);
        push_ok(overflow, i, 100);
    }
    tv_overflow_destroy(overflow);
}

static void damage_is_found(void **state) {
    (void)state;
    trove_error error;
    for (size_t bit = 0; bit < 8 * 64; bit++) {
        struct tv_overflow *overflow = make(0, 1000, 10);
        push_ok(overflow, 1, 64);
        push_ok(overflow, 2, 64);
        file.bytes[bit / 8] ^= (char)(1 << bit % 8);
        assert_int_equal(pop(overflow, 1, 64, &error), TROVE_DATA_LOSS);
        assert_non_null(strstr(error.message, "changed"));
        file.bytes[bit / 8] ^= (char)(1 << bit % 8); /* it was the reading that erred */
        pop_ok(overflow, 1, 64);
        pop_ok(overflow, 2, 64);
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
        assert_int_equal(push(overflow, 1, 64, NULL), rows[i].status);
        assert_int_equal(file.closed, rows[i].unlink_error != 0 ? 1 : 0);
        file.temporary_error = file.unlink_error = 0;
        if (rows[i].status != TROVE_OK)
            push_ok(overflow, 1, 64);
        pop_ok(overflow, 1, 64);
        tv_overflow_destroy(overflow);
    }
}

/* ---- on a real file system -------------------------------------------------------------------------------------------------------- */

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
        push_ok(overflow, 1, 4096);
        assert_int_equal(names_in_folder(), 0);
        struct stat info;
        assert_int_equal(fstat(opened_fd, &info), 0);
        assert_int_equal(info.st_mode, S_IFREG | 0600);
        assert_int_equal(info.st_nlink, 0);
        assert_int_equal(info.st_size, 4096);
        assert_int_equal(fcntl(opened_fd, F_GETFD), FD_CLOEXEC);
        pop_ok(overflow, 1, 4096);
        assert_int_equal(fstat(opened_fd, &info), 0);
        assert_int_equal(info.st_blocks, 0);
        tv_overflow_destroy(overflow);
        assert_int_equal(fstat(opened_fd, &info), -1);
    }
}

static void a_real_file_in_random_rhythm(void **state) {
    (void)state;
    struct tv_overflow *overflow = make_real(NULL, 5000, 50000);
    random_rhythm(overflow, 50000, 100000, OPERATIONS / 5);
    tv_overflow_destroy(overflow);
}

static void a_folder_that_is_not_there(void **state) {
    (void)state;
    struct tv_overflow_options options = {.bytes_max = 100, .chunks_max = 10, .folder = "/nowhere/at/all"};
    struct tv_overflow *overflow;
    trove_error error;
    assert_int_equal(tv_overflow_create(&options, &overflow, &error), TROVE_OK);
    assert_int_equal(push(overflow, 1, 64, &error), TROVE_NOT_FOUND);
    assert_non_null(strstr(error.message, "/nowhere/at/all"));
    tv_overflow_destroy(overflow);
}

#define THREAD_CHUNKS (OPERATIONS / 10)

static void *push_all(void *context) {
    for (uint64_t number = 0; number < THREAD_CHUNKS;)
        number += push(context, number, size_of(17, number), NULL) == TROVE_OK;
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
            pop_ok(overflow, number, size_of(17, number));
            number++;
        }
    }
    pthread_join(pusher, NULL);
    pthread_join(watcher, NULL);
    assert_int_equal(stats_of(overflow).chunks, 0);
    tv_overflow_destroy(overflow);
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
        cmocka_unit_test(the_file_has_no_name_and_is_private),
        cmocka_unit_test(a_real_file_in_random_rhythm),
        cmocka_unit_test(a_folder_that_is_not_there),
        cmocka_unit_test(two_threads),
    };
    return cmocka_run_group_tests_name("overflow", tests, make_folder, remove_folder);
}
