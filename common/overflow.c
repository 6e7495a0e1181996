/* overflow.c - see overflow.h.
 *
 * Why no lock is held over a copy or the disk: a push first sets space aside under the lock, fills it without, and then lists the
 * chunk; a pop reads the oldest listed chunk, and only then gives its space back. So the space that either works on is its own.
 * The file may be cut only when no space in it is set aside; a push that wants some meanwhile waits for that one call.
 */
#include "overflow.h"

#include "bounds.h"
#include "xxh3.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <string.h>
#include <unistd.h>

#define LIST_FIRST 16

/* Space that is taken at one end and given back at the other. */
struct ring {
    uint64_t size;
    uint64_t head; /* the oldest byte in use */
    uint64_t used;
};

struct entry {
    struct tv_overflow_chunk chunk;
    uint64_t at; /* in its ring */
    uint64_t sum;
    bool in_file;
};

_Static_assert(sizeof(struct entry) <= 64, "what the header says that a chunk costs");

struct tv_overflow {
    /* constant */
    const struct tv_overflow_io *io;
    char *folder;
    uint64_t bytes_max;
    uint32_t chunks_max;

    /* the pushing thread's, until a chunk lies there */
    int fd; /* -1: not made yet */
    char *memory;

    pthread_mutex_t lock;
    pthread_cond_t cut;
    /* under the lock */
    struct ring memory_ring;
    struct ring file_ring;
    struct entry *list; /* a ring of list_size entries */
    uint32_t list_size;
    uint32_t list_head;
    uint32_t count;
    uint64_t bytes;    /* in both rings */
    bool file_written; /* since it was last cut */
    bool cutting;
    bool pushing; /* one thread at a time */
    bool popping;
    uint64_t spilled_chunks;
    uint64_t spilled_bytes;
    uint64_t high_water_bytes;
};

/* ---- the system's calls ---------------------------------------------------------------------------------------------------- */

static int system_open(const char *path, int flags, mode_t mode) {
    return open(path, flags, mode);
}

const struct tv_overflow_io tv_overflow_io_system = {
    .open = system_open,
    .make_temporary = mkostemp,
    .unlink = unlink,
    .pread = pread,
    .pwrite = pwrite,
    .truncate = ftruncate,
    .close = close,
};

/* ---- beginning and end ----------------------------------------------------------------------------------------------------- */

trove_status tv_overflow_create(const struct tv_overflow_options *options, struct tv_overflow **overflow, trove_error *error) {
    if (options->bytes_max > TV_OVERFLOW_BYTES_MAX || options->chunks_max == 0)
        return TV_FAIL(error, INVALID_ARGUMENT,
                       "an overflow of %" PRIu64 " bytes in %" PRIu32 " chunks; at most 2^62 bytes, at least one chunk",
                       options->bytes_max, options->chunks_max);
    struct tv_overflow *made = calloc(1, sizeof *made);
    char *folder = strdup(options->folder);
    if (made == NULL || folder == NULL) {
        free(made);
        free(folder);
        return TV_FAIL(error, RESOURCE_EXHAUSTED, "no memory for an overflow");
    }
    uint64_t memory_bytes = options->memory_bytes_max < options->bytes_max ? options->memory_bytes_max : options->bytes_max;
    *made = (struct tv_overflow){
        .io = options->io != NULL ? options->io : &tv_overflow_io_system,
        .folder = folder,
        .bytes_max = options->bytes_max,
        .chunks_max = options->chunks_max,
        .fd = -1,
        .memory_ring.size = memory_bytes,
        .file_ring.size = options->bytes_max, /* whatever is free in memory, all that may wait fits here */
    };
    pthread_mutex_init(&made->lock, NULL);
    pthread_cond_init(&made->cut, NULL);
    *overflow = made;
    return TROVE_OK;
}

void tv_overflow_destroy(struct tv_overflow *overflow) {
    if (overflow == NULL)
        return;
    if (overflow->fd >= 0)
        overflow->io->close(overflow->fd);
    pthread_mutex_destroy(&overflow->lock);
    pthread_cond_destroy(&overflow->cut);
    free(overflow->memory);
    free(overflow->list);
    free(overflow->folder);
    free(overflow);
}

/* ---- the file; without the lock -------------------------------------------------------------------------------------------- */

/* For file systems that have no O_TMPFILE: the name is gone before anything is written. */
static int make_and_unlink(struct tv_overflow *overflow) {
    char path[4096];
    int length = snprintf(path, sizeof path, "%s/.trove-overflow-XXXXXX", overflow->folder);
    if (length < 0 || (size_t)length >= sizeof path) {
        errno = ENAMETOOLONG;
        return -1;
    }
    int fd = overflow->io->make_temporary(path, O_CLOEXEC); /* 0600 */
    if (fd < 0 || overflow->io->unlink(path) == 0)
        return fd;
    int error_number = errno;
    overflow->io->close(fd);
    errno = error_number;
    return -1;
}

static trove_status open_file(struct tv_overflow *overflow, trove_error *error) {
    if (overflow->fd >= 0)
        return TROVE_OK;
    int fd = overflow->io->open(overflow->folder, O_TMPFILE | O_EXCL | O_RDWR | O_CLOEXEC, 0600);
    if (fd < 0 && (errno == EOPNOTSUPP || errno == EISDIR || errno == EINVAL))
        fd = make_and_unlink(overflow);
    if (fd < 0)
        return tv_error_errno(error, errno, "making a file for waiting chunks in %.200s", overflow->folder);
    overflow->fd = fd;
    return TROVE_OK;
}

/* Moves `bytes` between the file at `at` and memory, over the ring's end. */
static trove_status move_file(struct tv_overflow *overflow, bool write, uint64_t at, char *memory, uint64_t bytes,
                              trove_error *error) {
    while (bytes > 0) {
        uint64_t here = overflow->file_ring.size - at;
        if (here > bytes)
            here = bytes;
        ssize_t moved = write ? overflow->io->pwrite(overflow->fd, memory, here, (off_t)at)
                              : overflow->io->pread(overflow->fd, memory, here, (off_t)at);
        if (moved < 0 && errno == EINTR)
            continue;
        if (moved < 0)
            return tv_error_errno(error, errno, "%s %" PRIu64 " bytes of waiting chunks in %.200s", write ? "writing" : "reading",
                                  here, overflow->folder);
        if (moved == 0)
            return TV_FAIL(error, DATA_LOSS, "the file of waiting chunks in %.200s %s byte %" PRIu64, overflow->folder,
                           write ? "takes nothing at" : "ends before", at);
        memory += moved;
        bytes -= (uint64_t)moved;
        at = (at + (uint64_t)moved) % overflow->file_ring.size;
    }
    return TROVE_OK;
}

static void move_memory(struct tv_overflow *overflow, bool write, uint64_t at, char *memory, uint64_t bytes) {
    uint64_t here = overflow->memory_ring.size - at;
    if (here > bytes)
        here = bytes;
    if (write) {
        memcpy(overflow->memory + at, memory, here);
        memcpy(overflow->memory, memory + here, bytes - here);
    } else {
        memcpy(memory, overflow->memory + at, here);
        memcpy(memory + here, overflow->memory, bytes - here);
    }
}

/* Copies a whole chunk between its place and `iov`, and hashes it if it passes through the file. */
static trove_status move_chunk(struct tv_overflow *overflow, bool write, const struct entry *entry, const struct iovec *iov,
                               uint64_t *sum, trove_error *error) {
    XXH3_state_t state;
    XXH3_64bits_reset(&state);
    uint64_t at = entry->at;
    for (uint64_t left = entry->chunk.bytes; left > 0; iov++) {
        uint64_t here = iov->iov_len < left ? iov->iov_len : left;
        if (!entry->in_file) {
            move_memory(overflow, write, at, iov->iov_base, here);
            at = (at + here) % overflow->memory_ring.size;
        } else {
            trove_status status = move_file(overflow, write, at, iov->iov_base, here, error);
            if (status != TROVE_OK)
                return status;
            XXH3_64bits_update(&state, iov->iov_base, here);
            at = (at + here) % overflow->file_ring.size;
        }
        left -= here;
    }
    *sum = XXH3_64bits_digest(&state);
    return TROVE_OK;
}

/* ---- space; under the lock ------------------------------------------------------------------------------------------------- */

static uint64_t ring_take(struct ring *ring, uint64_t bytes) {
    uint64_t at = ring->size > 0 ? (ring->head + ring->used) % ring->size : 0;
    ring->used += bytes;
    return at;
}

static void ring_shrink(struct ring *ring, uint64_t bytes) {
    ring->used -= bytes;
    if (ring->used == 0)
        ring->head = 0; /* what is used again is warm, and the file stays short */
}

static void ring_give_oldest(struct ring *ring, uint64_t bytes) {
    ring->head = ring->size > 0 ? (ring->head + bytes) % ring->size : 0;
    ring_shrink(ring, bytes);
}

static struct ring *ring_of(struct tv_overflow *overflow, const struct entry *entry) {
    return entry->in_file ? &overflow->file_ring : &overflow->memory_ring;
}

static trove_status make_room_in_list(struct tv_overflow *overflow, trove_error *error) {
    if (overflow->count < overflow->list_size)
        return TROVE_OK;
    uint32_t size = overflow->list_size == 0 ? LIST_FIRST : overflow->list_size * 2;
    if (size > overflow->chunks_max || size < overflow->list_size)
        size = overflow->chunks_max;
    struct entry *list = malloc(size * sizeof *list);
    if (list == NULL)
        return TV_FAIL(error, RESOURCE_EXHAUSTED, "no memory for a list of %" PRIu32 " waiting chunks", size);
    uint32_t first = overflow->list_size - overflow->list_head;
    if (overflow->count > 0) {
        memcpy(list, overflow->list + overflow->list_head, first * sizeof *list);
        memcpy(list + first, overflow->list, overflow->list_head * sizeof *list);
    }
    free(overflow->list);
    overflow->list = list;
    overflow->list_size = size;
    overflow->list_head = 0;
    return TROVE_OK;
}

static trove_status check_bounds(const struct tv_overflow *overflow, uint64_t bytes, trove_error *error) {
    if (overflow->count == overflow->chunks_max)
        return TV_FAIL(error, RESOURCE_EXHAUSTED,
                       "%" PRIu32 " chunks wait for the receiver, as many as may; write larger ones, or slower", overflow->count);
    if (bytes > overflow->bytes_max - overflow->bytes)
        return TV_FAIL(error, RESOURCE_EXHAUSTED,
                       "%" PRIu64 " bytes wait for the receiver, and a chunk of %" PRIu64 " more would exceed the %" PRIu64
                       " that may; write slower, or raise the bound",
                       overflow->bytes, bytes, overflow->bytes_max);
    return TROVE_OK;
}

/* Sets space aside for the chunk and says where. */
static trove_status reserve(struct tv_overflow *overflow, struct entry *entry, trove_error *error) {
    uint64_t bytes = entry->chunk.bytes;
    trove_status status = check_bounds(overflow, bytes, error);
    if (status == TROVE_OK)
        status = make_room_in_list(overflow, error);
    if (status != TROVE_OK)
        return status;
    entry->in_file = bytes > overflow->memory_ring.size - overflow->memory_ring.used;
    while (entry->in_file && overflow->cutting)
        pthread_cond_wait(&overflow->cut, &overflow->lock);
    entry->at = ring_take(ring_of(overflow, entry), bytes);
    overflow->bytes += bytes;
    overflow->file_written |= entry->in_file;
    return TROVE_OK;
}

static void append(struct tv_overflow *overflow, const struct entry *entry) {
    overflow->list[(overflow->list_head + (uint64_t)overflow->count) % overflow->list_size] = *entry;
    overflow->count++;
    if (overflow->bytes > overflow->high_water_bytes)
        overflow->high_water_bytes = overflow->bytes;
    if (entry->in_file) {
        overflow->spilled_chunks++;
        overflow->spilled_bytes += entry->chunk.bytes;
    }
}

/* Gives the file's space back to the disk once nothing is in it. Where that fails it is used again all the same. Under the lock,
 * which is let go of meanwhile. */
static void cut_file(struct tv_overflow *overflow) {
    if (!overflow->file_written || overflow->file_ring.used > 0 || overflow->cutting)
        return;
    overflow->cutting = true;
    pthread_mutex_unlock(&overflow->lock);
    bool done = overflow->fd < 0 || overflow->io->truncate(overflow->fd, 0) == 0;
    pthread_mutex_lock(&overflow->lock);
    overflow->cutting = false;
    overflow->file_written = !done;
    pthread_cond_broadcast(&overflow->cut);
}

/* ---- push and pop ---------------------------------------------------------------------------------------------------------- */

/* Where the chunk goes must be there first. */
static trove_status prepare(struct tv_overflow *overflow, const struct entry *entry, trove_error *error) {
    if (entry->in_file)
        return open_file(overflow, error);
    if (overflow->memory == NULL && entry->chunk.bytes > 0)
        overflow->memory = malloc(overflow->memory_ring.size);
    if (overflow->memory == NULL && entry->chunk.bytes > 0)
        return TV_FAIL(error, RESOURCE_EXHAUSTED, "no memory for %" PRIu64 " bytes of waiting chunks",
                       overflow->memory_ring.size);
    return TROVE_OK;
}

trove_status tv_overflow_push(struct tv_overflow *overflow, const struct tv_overflow_chunk *chunk, const struct iovec *iov,
                              trove_error *error) {
    struct entry entry = {.chunk = *chunk};
    pthread_mutex_lock(&overflow->lock);
    TV_ASSERT(!overflow->pushing);
    overflow->pushing = true;
    trove_status status = reserve(overflow, &entry, error);
    if (status != TROVE_OK) {
        overflow->pushing = false;
        pthread_mutex_unlock(&overflow->lock);
        return status;
    }
    pthread_mutex_unlock(&overflow->lock);
    status = prepare(overflow, &entry, error);
    if (status == TROVE_OK)
        status = move_chunk(overflow, true, &entry, iov, &entry.sum, error);
    pthread_mutex_lock(&overflow->lock);
    if (status == TROVE_OK) {
        append(overflow, &entry);
    } else {
        overflow->bytes -= chunk->bytes;
        ring_shrink(ring_of(overflow, &entry), chunk->bytes); /* its newest bytes: nobody else pushes */
        cut_file(overflow);
    }
    overflow->pushing = false;
    pthread_mutex_unlock(&overflow->lock);
    return status;
}

bool tv_overflow_fits(struct tv_overflow *overflow, uint64_t bytes) {
    pthread_mutex_lock(&overflow->lock);
    bool fits = check_bounds(overflow, bytes, NULL) == TROVE_OK;
    pthread_mutex_unlock(&overflow->lock);
    return fits;
}

bool tv_overflow_peek(struct tv_overflow *overflow, struct tv_overflow_chunk *chunk) {
    pthread_mutex_lock(&overflow->lock);
    bool some = overflow->count > 0;
    if (some)
        *chunk = overflow->list[overflow->list_head].chunk;
    pthread_mutex_unlock(&overflow->lock);
    return some;
}

/* Under the lock. */
static void remove_oldest(struct tv_overflow *overflow) {
    const struct entry *oldest = &overflow->list[overflow->list_head];
    overflow->bytes -= oldest->chunk.bytes;
    ring_give_oldest(ring_of(overflow, oldest), oldest->chunk.bytes);
    overflow->list_head = (uint32_t)(((uint64_t)overflow->list_head + 1) % overflow->list_size);
    overflow->count--;
}

trove_status tv_overflow_pop(struct tv_overflow *overflow, const struct iovec *iov, trove_error *error) {
    pthread_mutex_lock(&overflow->lock);
    TV_ASSERT(overflow->count > 0 && !overflow->popping);
    struct entry entry = overflow->list[overflow->list_head];
    overflow->popping = true;
    pthread_mutex_unlock(&overflow->lock);
    uint64_t sum = 0;
    trove_status status = move_chunk(overflow, false, &entry, iov, &sum, error);
    if (status == TROVE_OK && entry.in_file && sum != entry.sum)
        status = TV_FAIL(error, DATA_LOSS, "a waiting chunk of %" PRIu64 " bytes came back changed from the file in %.200s",
                         entry.chunk.bytes, overflow->folder);
    pthread_mutex_lock(&overflow->lock);
    if (status == TROVE_OK) {
        remove_oldest(overflow);
        cut_file(overflow);
    }
    overflow->popping = false;
    pthread_mutex_unlock(&overflow->lock);
    return status;
}

void tv_overflow_discard(struct tv_overflow *overflow, uint64_t chunks) {
    pthread_mutex_lock(&overflow->lock);
    TV_ASSERT(chunks <= overflow->count && !overflow->popping);
    overflow->popping = true;
    while (chunks-- > 0)
        remove_oldest(overflow);
    cut_file(overflow);
    overflow->popping = false;
    pthread_mutex_unlock(&overflow->lock);
}

void tv_overflow_stats(struct tv_overflow *overflow, struct tv_overflow_stats *stats) {
    pthread_mutex_lock(&overflow->lock);
    *stats = (struct tv_overflow_stats){
        .bytes = overflow->bytes,
        .chunks = overflow->count,
        .file_bytes = overflow->file_ring.used,
        .spilled_chunks = overflow->spilled_chunks,
        .spilled_bytes = overflow->spilled_bytes,
        .high_water_bytes = overflow->high_water_bytes,
    };
    pthread_mutex_unlock(&overflow->lock);
}
