/* overflow.h - where chunks wait when the window is full and the producer shall not: backpressure "buffer".
 *
 * A first-in-first-out of chunks' bytes: in memory as far as that goes, else in a file without a name, bounded in all. What push
 * accepted is there until pop has given it back whole and in order; bytes that come from the file are checked first.
 *
 *     push --> memory, a ring of memory_bytes_max ----+--> pop
 *          \-> file,   a ring of at most bytes_max ---/        in the order of the pushes, wherever each lies
 *
 * Both are rings because what goes in first comes out first, so space is used again without a search, and the file never grows
 * beyond bytes_max however long the stream; whenever it has become empty it is cut to nothing, which gives its space back to the
 * disk and saves the kernel writing what nobody needs any more. The list of what lies where is in memory: a damaged file can't
 * mislead it. (Rejected: headers in the file, which need checks of their own and a read to tell a size; a file for each chunk, or
 * appending and punching holes: more system calls for each chunk.)
 *
 * Threads: at most one pushes and one pops at a time (they may be two), anyone reads the numbers. Push and pop copy, and wait for
 * the disk: never call them under a stream's lock. The lock inside is not held meanwhile.
 */
#ifndef TV_OVERFLOW_H
#define TV_OVERFLOW_H

#include "status.h"

#include <stddef.h>
#include <sys/types.h>
#include <sys/uio.h>

struct tv_overflow;

/* The system calls on the file; tests put others in place to make them fail. */
struct tv_overflow_io {
    int (*open)(const char *path, int flags, mode_t mode);
    int (*make_temporary)(char *path_template, int flags);
    int (*unlink)(const char *path);
    ssize_t (*pread)(int fd, void *memory, size_t bytes, off_t offset);
    ssize_t (*pwrite)(int fd, const void *memory, size_t bytes, off_t offset);
    int (*truncate)(int fd, off_t bytes);
    int (*close)(int fd);
};

extern const struct tv_overflow_io tv_overflow_io_system;

struct tv_overflow_options {
    uint64_t memory_bytes_max; /* of chunks in memory; 0: all go to the file. Touched when first needed, kept until the end */
    uint64_t bytes_max;        /* of chunks in all; what exceeds memory_bytes_max is the file's. At most 2^62 */
    uint32_t chunks_max;       /* each costs up to 64 bytes of memory besides; at least 1 */
    const char *folder;        /* for the file, which is made when first needed: 0600, without a name; copied */
    const struct tv_overflow_io *io; /* NULL: the system's */
};

/* A chunk as it was pushed. */
struct tv_overflow_chunk {
    uint64_t bytes;
    uint64_t written_ns;
    bool final;
};

struct tv_overflow_stats {
    uint64_t bytes; /* waiting now */
    uint64_t chunks;
    uint64_t file_bytes;     /* of them, in the file */
    uint64_t spilled_chunks; /* that went to the file, ever */
    uint64_t spilled_bytes;
    uint64_t high_water_bytes; /* most that waited at once */
};

/* Errors: RESOURCE_EXHAUSTED (memory); INVALID_ARGUMENT for options out of range. */
TROVE_WARN_UNUSED trove_status tv_overflow_create(const struct tv_overflow_options *options, struct tv_overflow **overflow,
                                                  trove_error *error);
/* What still waits is forgotten. NULL is allowed. */
void tv_overflow_destroy(struct tv_overflow *overflow);

/* Copies a chunk, whose bytes `iov` describes; without bytes iov may be NULL. On an error the overflow is as before, so the chunk
 * is still the caller's: RESOURCE_EXHAUSTED past a bound or on a full disk, and whatever else the file system says. */
TROVE_WARN_UNUSED trove_status tv_overflow_push(struct tv_overflow *overflow, const struct tv_overflow_chunk *chunk,
                                                const struct iovec *iov, trove_error *error);

/* Whether a chunk of so many bytes is within the bounds now, and then it stays so until the next push: what a push of it fails
 * with is not a bound. For the pushing thread. */
bool tv_overflow_fits(struct tv_overflow *overflow, uint64_t bytes);

/* What the next pop will give. False: nothing waits. For the popping thread. */
bool tv_overflow_peek(struct tv_overflow *overflow, struct tv_overflow_chunk *chunk);

/* Copies the oldest chunk to `iov`, which must have room for its bytes, and lets go of it. There must be one. On an error it is
 * still there: DATA_LOSS if the file doesn't have what was written, and whatever else the file system says. */
TROVE_WARN_UNUSED trove_status tv_overflow_pop(struct tv_overflow *overflow, const struct iovec *iov, trove_error *error);

/* Forgets the oldest `chunks` of those that wait, without reading them; there must be as many. For the popping thread. */
void tv_overflow_discard(struct tv_overflow *overflow, uint64_t chunks);

void tv_overflow_stats(struct tv_overflow *overflow, struct tv_overflow_stats *stats);

#endif
