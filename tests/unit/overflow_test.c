/* overflow_test.c - see overflow_test.h. */
#include "overflow_test.h"

static void fill(uint64_t number, char *memory, uint64_t bytes) {
    for (uint64_t i = 0; i < bytes; i++)
        memory[i] = (char)((number * 31 + i * 7) >> (i % 3));
}

trove_status overflow_push(struct tv_overflow *overflow, uint64_t number, uint64_t bytes, trove_error *error) {
    char memory[OVERFLOW_CHUNK_BYTES_MAX];
    fill(number, memory, bytes);
    uint64_t first = bytes > 0 ? number % bytes : 0;
    struct iovec iov[3] = {{memory, first}, {memory + first, 0}, {memory + first, bytes - first}};
    struct tv_overflow_chunk chunk = {.bytes = bytes, .written_ns = number, .final = number % 5 == 0};
    return tv_overflow_push(overflow, &chunk, iov, error);
}

trove_status overflow_pop(struct tv_overflow *overflow, uint64_t number, uint64_t bytes, trove_error *error) {
    struct tv_overflow_chunk chunk;
    assert_true(tv_overflow_peek(overflow, &chunk));
    assert_int_equal(chunk.written_ns, number);
    assert_int_equal(chunk.bytes, bytes);
    assert_int_equal(chunk.final, number % 5 == 0);
    char memory[OVERFLOW_CHUNK_BYTES_MAX + 1], expected[OVERFLOW_CHUNK_BYTES_MAX];
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

void overflow_push_ok(struct tv_overflow *overflow, uint64_t number, uint64_t bytes) {
    assert_int_equal(overflow_push(overflow, number, bytes, NULL), TROVE_OK);
}

void overflow_pop_ok(struct tv_overflow *overflow, uint64_t number, uint64_t bytes) {
    assert_int_equal(overflow_pop(overflow, number, bytes, NULL), TROVE_OK);
}

struct tv_overflow_stats overflow_stats_of(struct tv_overflow *overflow) {
    struct tv_overflow_stats stats;
    tv_overflow_stats(overflow, &stats);
    return stats;
}

/* Chunks waiting are numbers from `oldest` to `next`, whose sizes are drawn again from their numbers. */
uint64_t overflow_chunk_bytes(uint64_t seed, uint64_t number) {
    uint64_t random = seed ^ number << 20;
    uint64_t draw = unit_random(&random);
    return draw % 100 == 0 ? draw / 100 % OVERFLOW_CHUNK_BYTES_MAX : draw / 100 % 24;
}

void overflow_random_rhythm(struct tv_overflow *overflow, uint64_t bytes_max, uint32_t chunks_max, uint64_t operations) {
    uint64_t random = unit_seed(), seed = random;
    uint64_t oldest = 0, next = 0, bytes = 0, refused = 0, spilled_before = 0;
    unsigned pushes_of_eight = 7; /* until it is full for the first time */
    for (uint64_t i = 0; i < operations; i++) {
        if (unit_random(&random) % 1000 == 0 && refused > 0)
            pushes_of_eight = 1 + (unsigned)(unit_random(&random) % 7); /* sometimes the one is faster, sometimes the other */
        if (unit_random(&random) % 8 < pushes_of_eight) {
            uint64_t size = overflow_chunk_bytes(seed, next);
            bool fits = size <= bytes_max - bytes && next - oldest < chunks_max;
            trove_status status = overflow_push(overflow, next, size, NULL);
            assert_int_equal(status, fits ? TROVE_OK : TROVE_RESOURCE_EXHAUSTED);
            next += fits;
            bytes += fits ? size : 0;
            refused += !fits;
        } else if (oldest < next) {
            overflow_pop_ok(overflow, oldest, overflow_chunk_bytes(seed, oldest));
            bytes -= overflow_chunk_bytes(seed, oldest++);
        }
        if (i % 64 == 0) {
            struct tv_overflow_stats stats = overflow_stats_of(overflow);
            assert_int_equal(stats.bytes, bytes);
            assert_int_equal(stats.chunks, next - oldest);
            assert_true(stats.high_water_bytes <= bytes_max && stats.file_bytes <= bytes);
            assert_true(stats.spilled_chunks >= spilled_before);
            spilled_before = stats.spilled_chunks;
        }
    }
    for (; oldest < next; oldest++)
        overflow_pop_ok(overflow, oldest, overflow_chunk_bytes(seed, oldest));
    assert_true(refused > 0 && spilled_before > 0);
    assert_int_equal(overflow_stats_of(overflow).bytes + overflow_stats_of(overflow).chunks, 0);
}
