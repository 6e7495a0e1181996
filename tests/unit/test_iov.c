/* test_iov.c - bytes put into and taken out of memory in pieces, with steps of any size, against the same bytes in one piece. */
#include "iov.h"

#include "unit.h"

#define PIECES 4
#define BYTES  12

static uint8_t memory[BYTES];

/* Pieces of 1, 0, 5 and 6 bytes, one behind the other. */
static void cut(struct iovec *iov) {
    static const size_t lengths[PIECES] = {1, 0, 5, 6};
    size_t at = 0;
    for (unsigned i = 0; i < PIECES; i++) {
        iov[i] = (struct iovec){memory + at, lengths[i]};
        at += lengths[i];
    }
    assert_int_equal(tv_iov_bytes(iov, PIECES), BYTES);
}

static void puts_in_steps(void **state) {
    (void)state;
    for (size_t step = 1; step <= BYTES + 1; step++) {
        struct iovec iov[PIECES];
        unsigned first = 0;
        memset(memory, 0, sizeof memory);
        cut(iov);
        size_t put = 0;
        for (size_t taken = 1; taken > 0; put += taken) {
            uint8_t bytes[BYTES + 1];
            for (size_t i = 0; i < step; i++)
                bytes[i] = (uint8_t)(put + i + 1);
            taken = tv_iov_put(iov, PIECES, &first, bytes, step);
            assert_int_equal(tv_iov_bytes(iov + first, PIECES - first), BYTES - put - taken);
        }
        assert_int_equal(put, BYTES);
        assert_int_equal(first, PIECES);
        for (size_t i = 0; i < BYTES; i++)
            assert_int_equal(memory[i], i + 1);
    }
}

static void advances(void **state) {
    (void)state;
    for (size_t bytes = 0; bytes <= BYTES; bytes++) {
        struct iovec iov[PIECES];
        unsigned first = 0;
        cut(iov);
        tv_iov_advance(iov, PIECES, &first, bytes);
        assert_int_equal(tv_iov_bytes(iov + first, PIECES - first), BYTES - bytes);
        if (bytes < BYTES)
            assert_ptr_equal(iov[first].iov_base, memory + bytes);
        else
            assert_int_equal(first, PIECES);
    }
}

static void gets_any_stretch(void **state) {
    (void)state;
    struct iovec iov[PIECES];
    cut(iov);
    for (size_t i = 0; i < BYTES; i++)
        memory[i] = (uint8_t)(i + 1);
    for (size_t skip = 0; skip <= BYTES + 1; skip++)
        for (size_t bytes = 0; bytes <= BYTES + 1; bytes++) {
            uint8_t got[BYTES + 1] = {0};
            size_t left = skip < BYTES ? BYTES - skip : 0;
            size_t expected = bytes < left ? bytes : left;
            assert_int_equal(tv_iov_get(iov, PIECES, skip, got, bytes), expected);
            assert_memory_equal(got, memory + (skip < BYTES ? skip : 0), expected);
            assert_int_equal(got[expected], 0);
        }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(puts_in_steps),
        cmocka_unit_test(advances),
        cmocka_unit_test(gets_any_stretch),
    };
    return cmocka_run_group_tests_name("iov", tests, NULL, NULL);
}
